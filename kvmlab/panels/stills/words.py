"""The words of a step beside its picture: who, in which function, what happened and why, as in a panel."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping

from matplotlib.axes import Axes

from kvmlab.panels.stills.draw import measure, put_shape, put_text, put_underline
from kvmlab.panels.stills.path import rectangle
from kvmlab.scenes.scene import ACTORS, Scene, Step

TITLE, WHY, SMALL, FINE = 19.0, 14.5, 11.0, 9.0
"""Sizes of type, points; nothing is smaller."""
LEADING = 1.36
CHIP_HIGH = 19.0
LINE, LINES = 200, 20
"""More letters than a line has room for, and more lines than a log has."""
NAME = 50.0
"""Room for who wrote a line of the log."""

_PIECE = re.compile(r"\{([ce])\|([^{}]*)\}|([^{}]+)")

Colours = Mapping[str, str]


def words_beside(
    axes: Axes, scene: Scene, step: int, x: float, y: float, wide: float, bottom: float, colours: Colours
) -> None:
    """Write the words of a step into a column; of a long log only what there is room for.

    Args:
        axes: where; its unit is one point, downwards.
        scene: the run.
        step: the step, from 0.
        x: left edge of the column.
        y: its top.
        wide: its width, points.
        bottom: below this no line of the log begins.
        colours: the custom properties of the stylesheet, such as "--ink".
    """
    one = scene.steps[step]
    ink, ink2, ink3 = (colours[name] for name in ("--ink", "--ink2", "--ink3"))
    put_text(
        axes, x + wide, y + 13.5, f"{step + 1}/{len(scene.steps)}", size=SMALL, colour=ink, mono=True, anchor="end"
    )
    chip(axes, one, x, y, colours)
    y += CHIP_HIGH + 17
    put_text(axes, x, y, one.label, size=SMALL, colour=ink2, bold=True)
    y += 1.5 * SMALL
    for line in broken(one.fn, wide, SMALL, mono=True):
        put_text(axes, x, y, line, size=SMALL, colour=ink2, mono=True)
        y += LEADING * SMALL
    y += 17
    for line in broken(one.title, wide, TITLE, bold=True):
        put_text(axes, x, y, line, size=TITLE, colour=ink, bold=True)
        y += 1.22 * TITLE
    y += 5
    y = _sentence(axes, one.why, x, y, wide, colours)
    y += 12
    for actor, text in one.log:
        if y > bottom:
            return
        put_text(axes, x, y, ACTORS[actor], size=FINE, colour=colours[f"--{actor}"], mono=True, bold=True)
        for line in broken(text[: LINE * LINES], wide - NAME, FINE, mono=True):
            if y > bottom:
                return
            put_text(axes, x + NAME, y, line, size=FINE, colour=ink3, mono=True)
            y += LEADING * FINE


def head_height(scene: Scene, steps: Iterable[int], wide: float) -> float:
    """Return how high the words above a picture are, points; the longest title decides."""
    return CHIP_HIGH + 14 + max(len(_head(scene, step, wide)) for step in steps) * 1.22 * WHY


def _head(scene: Scene, step: int, wide: float) -> list[str]:
    return broken(scene.steps[step].title, wide, WHY, bold=True)


def heading(axes: Axes, scene: Scene, step: int, x: float, y: float, wide: float, colours: Colours) -> None:
    """Write number, actor, function and title of a step above its picture.

    Args:
        axes: where; its unit is one point, downwards.
        scene: the run.
        step: the step, from 0.
        x: left edge.
        y: top.
        wide: width, points.
        colours: the custom properties of the stylesheet, such as "--ink".
    """
    one = scene.steps[step]
    number = f"{step + 1}/{len(scene.steps)}"
    end = chip(axes, one, x, y, colours) + 8
    room = wide - (end - x) - measure(number, SMALL, mono=True) - 8
    fn = next(iter(broken(one.fn, room, SMALL, mono=True)), "")
    put_text(axes, end, y + 13.5, fn, size=SMALL, colour=colours["--ink2"], mono=True)
    put_text(axes, x + wide, y + 13.5, number, size=SMALL, colour=colours["--ink"], mono=True, anchor="end")
    for row, line in enumerate(_head(scene, step, wide)):
        put_text(axes, x, y + CHIP_HIGH + 19 + row * 1.22 * WHY, line, size=WHY, colour=colours["--ink"], bold=True)


def chip(axes: Axes, step: Step, x: float, y: float, colours: Colours) -> float:
    """Draw the chip of who acts, and return where it ends."""
    words = (step.chip or ACTORS[step.actor]).upper()
    wide = measure(words, SMALL, bold=True) + 14
    put_shape(axes, rectangle(x, y, wide, CHIP_HIGH, 3), colours[f"--{step.actor}"])
    put_text(axes, x + 7, y + 13.5, words, size=SMALL, colour=colours[f"--on-{step.actor}"], bold=True)
    return x + wide


def marked(why: str) -> tuple[str, str]:
    """Return a sentence without its marks, and for each of its letters the mark: "c", "e" or a blank.

    >>> marked("{c|zero}, so {e|on}.")
    ('zero, so on.', 'cccc     ee ')
    """
    pieces = [(found[1], found[2]) if found[1] else (" ", found[3]) for found in _PIECE.finditer(why)]
    return "".join(text for _, text in pieces), "".join(mark * len(text) for mark, text in pieces)


def _sentence(axes: Axes, why: str, x: float, y: float, wide: float, colours: Colours) -> float:
    """Write the sentence of why, its cause underlined with dots and its effect in bold, and return where it ends."""
    text, marks = marked(why)

    def long(start: int, end: int) -> float:
        return sum(measure(run, WHY, bold=mark == "e") for run, mark in _runs(text, marks, start, end))

    for start, end in _spans(text, wide, long):
        at = x
        for run, mark in _runs(text, marks, start, end):
            colour = colours["--ink" if mark.strip() else "--ink2"]
            put_text(axes, at, y, run, size=WHY, colour=colour, bold=mark == "e")
            after = at + measure(run, WHY, bold=mark == "e")
            if mark == "e":
                put_underline(axes, at, y + 4.3, after - at, colours["--now"], width=2.4)
            elif mark == "c":
                put_underline(axes, at, y + 4.3, after - at, colours["--cause"], width=1.6, kind="dotted")
            at = after
        y += LEADING * WHY
    return y


def _runs(text: str, marks: str, start: int, end: int) -> Iterator[tuple[str, str]]:
    """Split a piece of text where its mark changes."""
    while start < end:
        same = next((n for n in range(start, end) if marks[n] != marks[start]), end)
        yield text[start:same], marks[start]
        start = same


def broken(text: str, wide: float, size: float, *, bold: bool = False, mono: bool = False) -> list[str]:
    """Break plain text into lines that are no wider than a column, points; a word longer than a line is cut."""
    text = " ".join(text.split())
    spans = _spans(text, wide, lambda start, end: measure(text[start:end], size, bold=bold, mono=mono))
    return [text[start:end] for start, end in spans]


def _spans(text: str, wide: float, long: Callable[[int, int], float]) -> Iterator[tuple[int, int]]:
    """Return start and end of each line of a text; `long` says how long a piece of it is."""
    start = 0
    while start < len(text):
        most = (
            bisect_right(range(start + 1, min(len(text), start + LINE) + 1), wide, key=lambda end: long(start, end))
            + start
        )
        end = max(most, start + 1)
        blank = text.rfind(" ", start, end + 1)
        if end < len(text) and blank > start:
            end = blank
        yield start, end
        start = end + (text[end : end + 1] == " ")
