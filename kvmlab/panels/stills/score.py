"""The score of a run at one step: who has acted when, as the player draws it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import pairwise

from kvmlab.panels.stills.draw import measure
from kvmlab.scenes.scene import Group, Scene
from kvmlab.scenes.svg import number

WIDTH, LEFT, RIGHT, TOP, LANE = 800, 106, 786, 15, 17
BELOW = 31.5
"""Room below the lowest lane, for brackets and their words."""
DENSE = 4.2
"""Steps that stand closer than this are ticks, not dots."""
LETTERS = 13
PAST, HERE = " done", " done cur"


def score_height(scene: Scene) -> float:
    """Return how high the score of a scene is, in units of 800."""
    return _bottom(scene) + BELOW


def score(scene: Scene, step: int) -> str:
    """Return the score as SVG, with the classes of the panels' stylesheet.

    Args:
        scene: the run.
        step: the step shown, from 0.
    """
    count = len(scene.steps)
    gap = (RIGHT - LEFT) / max(1, count - 1)
    x = [LEFT + gap * one for one in range(count)]
    lanes = {key: TOP + LANE * row for row, (key, _) in enumerate(scene.lanes)}
    y = [lanes[one.lane or one.actor] for one in scene.steps]
    parts = [_lane(key, label, lanes[key]) for key, label in scene.lanes]
    for group in scene.groups:
        parts += _bracket(group, x, _bottom(scene) + 9.5, step, count)
    if gap >= DENSE:
        for at, ((x1, x2), (y1, y2)) in enumerate(zip(pairwise(x), pairwise(y), strict=True), 1):
            parts.append(_line(x1, y1, x2, y2, "seg" + _state(at, step)))
    radius = max(2, min(5, gap * 0.42))
    for at, one in enumerate(scene.steps):
        hue = "" if one.lane else f" {one.actor}"
        if gap < DENSE:
            parts.append(_line(x[at], y[at] - 4.5, x[at], y[at] + 4.5, f"tick{hue}{_state(at, step)}"))
        else:
            place = f'cx="{number(x[at])}" cy="{number(y[at])}" r="{number(radius)}"'
            parts.append(f'<circle {place} class="dot{hue}{_state(at, step)}"/>')
    parts.append(
        f'<g class="head" transform="translate({x[step]:.2f} 0)"><path d="M-7 0h14l-7 9z"/>'
        f"{_line(0, 8, 0, _bottom(scene) + 4.5, '')}</g>"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {number(score_height(scene))}">'
    return f"{head}{''.join(parts)}</svg>"


def _bottom(scene: Scene) -> float:
    """Return the height of the lowest lane."""
    return TOP + LANE * (len(scene.lanes) - 1)


def _state(at: int, step: int) -> str:
    return PAST if at < step else HERE if at == step else ""


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" class="{css}"/>'


def _lane(key: str, label: str, y: float) -> str:
    """Return a lane and its name."""
    name = f'<text x="{LEFT - 16}" y="{y + 5}" class="lname end {escape(key)}">{escape(label)}</text>'
    return _line(LEFT - 8, y, 794, y, "lane") + name


def _bracket(group: Group, x: list[float], base: float, step: int, count: int) -> Iterator[str]:
    """Return a bracket below the steps of a group, or a diamond below its one step; words where they fit."""
    one = group.first == group.last
    past = step > group.last or (step == group.last == count - 1)
    state = "post" if past else "on" if step >= group.first else ""
    words = group.after if past or (one and step >= group.first) else group.before
    left, right = x[group.first] - 3, x[group.last] + 3
    middle = (left + right) / 2
    yield f'<g class="{state}">'
    if one:
        yield f'<path d="M{middle:.2f} {base - 1:.2f}l5 5l-5 5l-5 -5z" class="diamond"/>'
        place, css = (middle - 9, "brt end") if middle > 620 else (middle + 9, "brt")
        room, y = 400.0, base + 8.5
    else:
        yield f'<path d="M{left:.2f} {base:.2f}v4H{right:.2f}v-4" class="br"/>'
        place, css, room, y = middle, "brt mid", right - left - 2, base + 17
    if measure(words, LETTERS, bold=state == "on") <= room:
        yield f'<text x="{place:.2f}" y="{y:.2f}" class="{css}">{escape(words)}</text>'
    yield "</g>"
