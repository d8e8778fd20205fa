"""Give every figure the same colours, type and paper, for a slide or for a column of a paper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.text import Text

from kvmlab.engine.errors import InputError
from kvmlab.figures.files import SETTINGS, save
from kvmlab.figures.show import show

THEMES = ("light", "dark")


@cache
def _sheets() -> dict[str, dict[str, str]]:
    """Return the panels' own colours, by theme and token."""
    light, dark = files("kvmlab").joinpath("panels/static/tokens.css").read_text().split('[data-theme="dark"]')
    return {
        theme: dict(re.findall(r"--([\w-]+): *(#[0-9a-f]{6})", sheet))
        for theme, sheet in zip(THEMES, (light, dark), strict=True)
    }


def tokens(theme: str) -> dict[str, str]:
    """Return the colours of a theme, by token: those of the panels.

    Args:
        theme: "light" or "dark".

    Raises:
        InputError: if there is no such theme.
    """
    if theme not in THEMES:
        raise InputError(f"theme is {theme!r}; allowed: {' or '.join(map(repr, THEMES))}")
    return _sheets()[theme]


@dataclass(frozen=True)
class Size:
    """What a figure is made for. All type is in points, at the figure's full size.

    Attributes:
        width, height: inches.
        title, text, label, small: sizes of type; no letter is smaller than `small`.
        stroke: factor for the width of lines and the size of marks; 1 on a slide.
        headed: whether title, reason and source stand in the figure; in a paper they stand in its caption.
    """

    width: float
    height: float
    title: float
    text: float
    label: float
    small: float
    stroke: float
    headed: bool


SIZES = {
    "slide": Size(12.8, 7.2, 25, 16, 16, 14, 1.0, True),
    "column": Size(3.5, 2.6, 9, 8, 7.5, 7, 0.45, False),
}
"""A slide of 16:9, to be read from the last row, and one column of a paper in two columns."""


@dataclass(frozen=True)
class Look:
    """Colours of a theme and measures of a size.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".

    Raises:
        InputError: there is no such theme or size.
    """

    theme: str = "light"
    size: str = "slide"

    def __post_init__(self) -> None:
        """Check the names."""
        tokens(self.theme)
        if self.size not in SIZES:
            raise InputError(f"size is {self.size!r}; allowed: {' or '.join(map(repr, SIZES))}")

    @property
    def colour(self) -> Mapping[str, str]:
        """The theme's colours, by token."""
        return tokens(self.theme)

    @property
    def measure(self) -> Size:
        """The measures of the size."""
        return SIZES[self.size]

    def line(self, points: float) -> float:
        """Return a width of line or a size of mark, given for a slide, for this size; points."""
        return points * self.measure.stroke


class Slide(Figure):
    """A figure that shows itself in a notebook and writes itself to a file, with words for those who cannot see it.

    Attributes:
        kvmlab_title: one line.
        kvmlab_alt: what can be seen, in sentences.
        kvmlab_source: where it comes from: what ran, and with which seed.
    """

    kvmlab_title = kvmlab_alt = kvmlab_source = ""

    def draw(self, renderer: Any) -> None:
        """Draw it the same whatever has been set for other figures; letters keep the widths they are laid out for."""
        for text in self.findobj(Text):
            if hasattr(text, "set_fontfeatures"):  # from matplotlib 3.11 on: else "fff" is drawn as one sign
                text.set_fontfeatures(["-liga"])
        with style.context(SETTINGS):
            super().draw(renderer)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the figure to a file, replacing what was there; the same picture gives the same bytes.

        Args:
            path: the file; its name ends in ``.svg``, ``.pdf`` or ``.png``, and that chooses the format.

        Returns:
            The path.

        Raises:
            InputError: another ending, or nothing can be written there; the message says why.
        """
        return save(self, path)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return what Jupyter displays."""
        return show(self)._repr_mimebundle_(include, exclude)


MARGIN = 0.24
"""Empty edge of a slide, inches."""
HEAD, FOOT = 1.5, 0.66
"""Height of title and reason above, and of the source below, on a slide, inches."""
_LETTER = 0.53
"""Width of a letter, as a part of the size of type."""


def new_figure(
    look: Look, *, title: str, why: str, alt: str, source: str, height: float | None = None, sub: str = ""
) -> Slide:
    """Return a figure with its words, and room for the drawing; see `room`.

    Args:
        look: theme and size.
        title: what one sees, at most some 60 letters.
        why: why it is so, one or two sentences; at most two lines on a slide.
        alt: what can be seen, in sentences.
        source: where it comes from: what ran, with which values and which seed.
        height: inches, for a column only; a slide is 16:9.
        sub: what the small line at the foot says; the source if not given.
    """
    size, colour = look.measure, look.colour
    tall = size.height if size.headed or height is None else height
    figure = Slide(figsize=(size.width, tall), dpi=100, facecolor=colour["paper"])
    figure.kvmlab_title, figure.kvmlab_alt, figure.kvmlab_source = title, alt, source
    if size.headed:
        left, wide = MARGIN / size.width, 72 * (size.width - 2 * MARGIN)
        figure.text(left, 1 - 0.2 / tall, title, color=colour["ink"], fontsize=size.title, fontweight="bold", va="top")
        lines = fill(why, int(wide / (_LETTER * size.text)))
        figure.text(left, 1 - 0.72 / tall, lines, color=colour["ink2"], fontsize=size.text, va="top")
        foot = fill(sub or source, int(wide / (_LETTER * size.small)))
        figure.text(left, 0.14 / tall, foot, color=colour["ink3"], fontsize=size.small, va="bottom")
    return figure


def room(figure: Slide) -> tuple[float, float, float, float]:
    """Return what of a figure is free for the drawing, between its words: left, bottom, width, height, inches."""
    wide, tall = figure.get_size_inches()
    headed = bool(figure.texts)
    edge, below, above = (MARGIN, FOOT, HEAD) if headed else (0.06, 0.06, 0.06)
    return edge, below, wide - 2 * edge, tall - above - below


def plot_axes(figure: Slide, look: Look, *, left: float, bottom: float, right: float = 0.1, top: float = 0.1) -> Any:
    """Return axes for a chart in the free room of a figure, without a box, with quiet lines across.

    Args:
        figure: from `new_figure`.
        look: theme and size.
        left: room beside the axes for numbers and names, inches.
        bottom: room below them.
        right: room on the other side.
        top: room above them.
    """
    x, y, wide, high = room(figure)
    whole_wide, whole_high = figure.get_size_inches()
    axes = figure.add_axes(
        ((x + left) / whole_wide, (y + bottom) / whole_high, (wide - left - right) / whole_wide,
         (high - bottom - top) / whole_high), facecolor="none",
    )  # fmt: skip
    colour, small = look.colour, look.measure.small
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=colour["line"], linewidth=look.line(0.9))
    axes.tick_params(axis="x", color=colour["line2"], labelcolor=colour["ink2"], labelsize=small, length=look.line(5))
    axes.tick_params(axis="y", length=0, labelcolor=colour["ink2"], labelsize=small)
    return axes
