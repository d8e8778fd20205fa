"""What all charts need: names and units at the axes, words beside the marks."""

from __future__ import annotations

from typing import Any

from kvmlab.figures.style import Look

AXES = "axes fraction"


def unit(look: Look) -> float:
    """Return by how much room for words shrinks, from 1 on a slide: type sets the measure."""
    return look.measure.small / 14


def say(
    axes: Any,
    look: Look,
    at: tuple[float, float],
    words: str,
    *,
    beside: tuple[float, float] = (0, 0),
    where: Any = "data",
    colour: str = "ink2",
    bold: bool = False,
    across: str = "left",
    down: str = "center",
    size: float | None = None,
    clear: bool = False,
) -> None:
    """Write words at a place of a chart; they may lie outside of the axes.

    Args:
        axes: of the chart.
        look: theme and size.
        at: the place, in units of the axes.
        words: several lines are allowed.
        beside: how far from the place, points on a slide, to the right and up.
        where: what `at` counts in, as matplotlib's `xycoords`: "data", `AXES`, or a pair of them.
        colour: a token.
        bold: heavy.
        across: "left", "center" or "right" of the words is there.
        down: "top", "center", "bottom" or "baseline" of them is there.
        size: of the type, points; that of labels if not given.
        clear: keep the lines behind the words away from them.
    """
    ground = {"facecolor": look.colour["paper"], "edgecolor": "none", "pad": look.line(2)} if clear else None
    axes.annotate(
        words, at, (unit(look) * beside[0], unit(look) * beside[1]), xycoords=where, textcoords="offset points",
        annotation_clip=False, color=look.colour[colour], fontsize=size or look.measure.label, ha=across, va=down,
        fontweight="bold" if bold else "normal", linespacing=1.2, parse_math=False, zorder=5,
        bbox=ground,
    )  # fmt: skip


def name_axes(axes: Any, look: Look, *, across: str, up: str) -> None:
    """Write what the axes count: one below, at the right, the other above, at the left, where it is read first.

    Args:
        axes: of the chart.
        look: theme and size.
        across: what the horizontal axis counts, with its unit; nothing if empty.
        up: the same for the vertical axis.
    """
    if across:
        say(axes, look, (1, 0), across, beside=(0, -27), where=AXES, across="right", down="top")
    if up:
        say(axes, look, (0, 1), up, beside=(-8, 10), where=AXES, down="bottom")
