"""Draw curves of the flush rate: the exact zero, the cliff, lines, marks, and the names at the ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvmlab.figures.charts import name_axes, say, unit
from kvmlab.figures.rates import Curve
from kvmlab.figures.style import Look, Slide, plot_axes
from kvmlab.rollover.survey import PER
from kvmlab.scenes.flush.picture import apart

DASHES = (0, (4, 2))
"""Of approximate lines."""
_LONGEST = 28
"""Letters of a name beside a curve, on a slide."""


def rate_axes(figure: Slide, look: Look, found: Sequence[Curve]) -> Any:
    """Return axes for curves, from a rate of 0 on, with room for their names on the right.

    Args:
        figure: from `style.new_figure`.
        look: theme and size.
        found: the curves.
    """
    k, headed = unit(look), look.measure.headed
    top = 1.08 * max(rate for curve in found for _, rate in curve.exact + curve.measured)
    left, right = (0.4 if top > 2 else 0.75) * k, 3.75 if headed else 1.12  # a smaller rate has more digits
    axes = plot_axes(figure, look, left=left, bottom=0.8 * k, right=right, top=0.4 * k)
    axes.set_ylim(0, top)
    axes.locator_params(axis="y", nbins=5)
    name_axes(axes, look, across="running guests" if headed else "guests", up=f"full flushes per {PER} guest entries")
    return axes


def draw_zero(axes: Any, look: Look, first: float, last: float) -> None:
    """Draw the exact zero: a bar on the axis, up to as many guests as there are numbers.

    Args:
        axes: of the chart.
        look: theme and size.
        first: guests where the bar begins.
        last: guests where it ends.
    """
    axes.plot(
        [first, last], [0, 0], color=look.colour["ink"], linewidth=look.line(6.5), solid_capstyle="butt",
        clip_on=False, zorder=3, label="zero",
    )  # fmt: skip


def draw_cliff(axes: Any, look: Look, numbers: int) -> None:
    """Draw where numbers run out: a dotted line between the last number of guests without flushes and the first with.

    Args:
        axes: of the chart.
        look: theme and size.
        numbers: VMIDs for guests.
    """
    cliff, over = numbers + 0.5, axes.get_xaxis_transform()
    axes.plot(
        [cliff, cliff], [-0.03, 1], ":", transform=over, color=look.colour["ink"], linewidth=look.line(1.8),
        clip_on=False, zorder=2, label="cliff",
    )  # fmt: skip
    style: dict[str, Any] = {"where": ("data", "axes fraction"), "across": "center", "colour": "ink", "bold": True}
    say(axes, look, (cliff, 0), f"{numbers} | {numbers + 1}", beside=(0, -9), down="top", **style)
    say(axes, look, (cliff, 0), "VMIDs run out", beside=(0, -28), down="top", **style)


def draw_curve(axes: Any, look: Look, curve: Curve, numbers: int, *, steps: bool = False, mark: float = 10) -> None:
    """Draw the law from the cliff on, the band round it, and what was counted.

    Args:
        axes: of the chart.
        look: theme and size.
        curve: what to draw.
        numbers: VMIDs for guests.
        steps: draw each number of guests as a step, not a point of a line.
        mark: size of the marks, points on a slide.
    """
    hue, paper = look.colour[curve.token], look.colour["paper"]
    if curve.band:
        guests, low, high = zip(*curve.band, strict=True)
        axes.fill_between(guests, low, high, color=hue, alpha=0.25, linewidth=0, step="mid" if steps else None)
    beyond = [point for point in curve.exact if point[0] > numbers]
    if beyond:
        axes.plot(
            *zip(*beyond, strict=True), color=hue, linestyle=DASHES if curve.approximate else "solid",
            linewidth=look.line(2.8), solid_capstyle="butt", label=curve.name, zorder=3,
            drawstyle="steps-mid" if steps else "default",
        )  # fmt: skip
    marks = [point for point in curve.measured if point[0] > numbers]
    if marks:
        axes.plot(
            *zip(*marks, strict=True), curve.marker, color=hue, markersize=look.line(mark), markeredgecolor=paper,
            markeredgewidth=look.line(1.2), clip_on=False, zorder=4, label=f"{curve.name}, counted",
        )  # fmt: skip


def name_curves(axes: Any, look: Look, found: Sequence[Curve], most: float, *, ends: bool = True) -> None:
    """Write the name of each curve beside its end.

    Args:
        axes: of the chart, with its limits set.
        look: theme and size.
        found: the curves.
        most: guests at the end.
        ends: write what the end means under the name.
    """
    k, size = unit(look), look.measure
    per_point = (axes.get_ylim()[1] - axes.get_ylim()[0]) / (axes.bbox.height * 72 / axes.figure.dpi)
    both = 1.5 * (size.label + ends * size.small)
    places = apart({curve.name: curve.last for curve in found}, both * per_point)
    for curve in found:
        at = most, places[curve.name]
        up = 2 if ends else -size.label / 2 / k
        name = curve.name if size.headed and len(curve.name) <= _LONGEST else curve.short
        say(axes, look, at, name, beside=(15, up), down="bottom", colour=curve.token, bold=True)
        if ends:
            say(axes, look, at, curve.end, beside=(15, -2), down="top", size=size.small)
