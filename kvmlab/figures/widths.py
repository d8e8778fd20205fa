"""Draw what a wider VMID buys: the entries from one full flush to the next, for three widths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from matplotlib import style
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from kvmlab.engine.errors import InputError, check_int
from kvmlab.figures.charts import AXES, name_axes, say, unit
from kvmlab.figures.rates import MAX_SEED
from kvmlab.figures.style import Look, Slide, new_figure, plot_axes
from kvmlab.rollover import theory
from kvmlab.rollover.schedules import schedule
from kvmlab.rollover.simulate import simulate
from kvmlab.rollover.theory import MANY

WIDTHS = (4, 8, 16)
"""Of a toy that fits on a screen, of ARMv7, and of ARMv8.1."""
_BEYOND, _POINTS, _MARKS, _LANE = 4, 200, 4, 1.25
Points = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Width:
    """Hold one width of a VMID; every point is (guests, entries from one full flush to the next).

    Args:
        bits: the width.
        numbers: VMIDs for guests; up to so many guests no flush ever comes.
        random: in random order, exact, from the first number of guests with flushes on.
        turn: in turn, the same.
        counted: in random order, counted.
    """

    bits: int
    numbers: int
    random: Points
    turn: Points
    counted: Points


@cache
def width(bits: int, most: int, entries: int, seed: int) -> Width:
    """Return the gaps between full flushes for one width.

    Args:
        bits: width of a VMID, 2 to 16 bits.
        most: guests up to which to go.
        entries: guest entries behind each count; where a run would see fewer than five flushes, nothing is counted.
        seed: of the random order; each number of guests draws its own.

    Raises:
        InputError: an argument is out of range.
    """
    numbers = theory.usable(bits)
    first = numbers + 1
    guests = sorted({*_even(first, most, _POINTS), *range(first, min(most, first + _POINTS))})
    random = {n: float(theory.uniform(n, bits).mean) for n in guests}
    marks = [n for n in sorted({*_even(first, most, _MARKS)}) if entries >= MANY * theory.uniform(n, bits).mean]
    counted = ((n, simulate(schedule("uniform"), n, entries, vmid_bits=bits, seed=seed + n).gap.mean) for n in marks)
    turn = tuple((n, float(theory.round_robin(n, bits).mean)) for n in (first, most))
    return Width(bits, numbers, tuple(random.items()), turn, tuple((n, float(mean)) for n, mean in counted))


def _even(first: int, last: int, points: int) -> list[int]:
    """Return whole numbers from first to last, in equal steps of a log scale."""
    return [round(first * (last / first) ** (k / (points - 1))) for k in range(points)]


@style.context("default")
def flush_widths(
    theme: str = "light",
    size: str = "slide",
    *,
    widths: Sequence[int] = WIDTHS,
    entries: int = 4_000_000,
    seed: int = 1,
) -> Slide:
    """Flush frequency for VMIDs of several widths: from never to one flush in so many entries, where numbers run out.

    Both scales are logarithmic, so the axis counts the entries from one flush to the next: no flush at all is a lane of
    its own above it, as a log scale has no zero.

    Source: lines: the laws of `kvmlab.rollover.theory`. Marks: counted by the rule of update_vttbr (arch/arm/kvm/arm.c,
    Linux 3.9) over a run of `kvmlab.rollover.simulate`; where it would see fewer than five flushes, there is no mark.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        widths: 1 to 3 widths of a VMID, 2 to 16 bits, at least 4 apart.
        entries: guest entries behind each mark, 1 or more.
        seed: of the random order, 0 or more.

    Raises:
        InputError: no such theme or size, or a number is out of range.
    """
    look = Look(theme, size)
    bits = sorted(check_int("widths", one, 2, theory.MAX_BITS) for one in widths)
    if not 1 <= len(bits) <= 3 or any(b - a < 4 for a, b in pairwise(bits)):
        raise InputError(f"widths is {widths!r}; allowed: 1 to 3 widths, at least 4 bits apart")
    check_int("entries", entries, 1, theory.MAX_ENTRIES)
    check_int("seed", seed, 0, MAX_SEED)
    most = _BEYOND << bits[-1]
    found = [width(one, most, entries, seed) for one in bits]
    last = found[-1]
    steps = " ".join(
        f"{one.bits} bits: never up to {one.numbers} guests; with {one.numbers + 1}, in random order, one in "
        f"{one.random[0][1]:.0f} entries; with more guests, it comes closer to one in {one.numbers}, as in turn."
        for one in found
    )
    figure = new_figure(
        look,
        title=f"With {last.bits} bits, no flush up to {last.numbers} guests",
        why="A flush comes when all numbers are taken and one more is needed: never, as long as each guest has one. "
        "Beyond, a flush is the rarer the more numbers there are to use up.",
        alt="Guest entries from one full TLB flush to the next against running guests, both on log scales, with a lane "
        f"for never. {steps}",
        source=f"Linux 3.9's allocator, VMIDs of {', '.join(map(str, bits))} bits, 1 CPU, after the first entry · "
        f"lines: exact · marks: counted in {entries} entries each, seed {seed}",
        height=3.1,
    )
    _draw(figure, look, found, most)
    return figure


def _draw(figure: Slide, look: Look, found: Sequence[Width], most: int) -> None:
    k, colour, headed, small = unit(look), look.colour, look.measure.headed, look.measure.small
    axes = plot_axes(figure, look, left=1.05 * k, bottom=0.75 * k, right=2.35 * k, top=0.45 * k)
    decades = math.ceil(math.log10(max(rate for one in found for _, rate in one.random)))
    low, top = 10 ** math.floor(math.log10(found[0].numbers)), 10.0**decades
    lanes = [top * 10 ** (_LANE * (0.35 + 0.42 * row)) for row in range(len(found))]
    axes.set(xscale="log", yscale="log", xlim=(1, most), ylim=(low, top * 10 ** (_LANE * (0.5 + 0.42 * len(found)))))
    plain = FuncFormatter(lambda value, _: f"{value:.0f}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(plain)
    axes.xaxis.set_major_locator(FixedLocator([1, *(one.numbers + 1 for one in found)]))
    axes.yaxis.set_major_locator(FixedLocator([10**n for n in range(round(math.log10(low)), decades + 1)]))
    axes.axhspan(top * 10**0.1, axes.get_ylim()[1], color=colour["band"], linewidth=0, zorder=0)
    edge: Any = (AXES, "data")
    middle = math.sqrt(lanes[0] * lanes[-1])
    say(axes, look, (0, middle), "never", beside=(-8, 0), where=edge, across="right", colour="ink", bold=True)
    for one, lane in zip(found, lanes, strict=True):
        first = one.numbers + 1
        bar: Any = {"color": colour["ink"], "solid_capstyle": "butt", "zorder": 3}
        axes.plot([1, one.numbers], [lane, lane], linewidth=look.line(6.5), label=f"{one.bits} bits, never", **bar)
        axes.plot(
            [first - 0.5] * 2, [low, lane], ":", color=colour["ink"], linewidth=look.line(1.8), zorder=2, label="cliff"
        )
        near: dict[str, Any] = {"beside": (9, 0)} if headed else {"beside": (5, 0), "size": small}
        say(axes, look, (first, lane), f"{one.bits} bits", colour="ink", bold=True, **near)
        rarest = first, one.random[0][1]
        style: dict[str, Any] = {"color": colour["uni"], "zorder": 3, "label": f"{one.bits} bits, in random order"}
        axes.plot(*zip(*one.random, strict=True), linewidth=look.line(3.4), **style)
        style = {"color": colour["rr"], "zorder": 4, "label": f"{one.bits} bits, in turn"}
        axes.plot(*zip(*one.turn, strict=True), linewidth=look.line(2), linestyle=(0, (4, 3)), **style)
        if one.counted:
            style = {"color": colour["uni"], "zorder": 5, "label": f"{one.bits} bits, counted", "clip_on": False}
            style |= {"markeredgecolor": colour["paper"], "markeredgewidth": look.line(1.2)}
            axes.plot(*zip(*one.counted, strict=True), "o", markersize=look.line(10), **style)
        left: dict[str, Any] = {"across": "right", "colour": "uni"}
        lower: dict[str, Any] = {"beside": (-9, 0)}
        name, value = "in random order" if headed else "random\norder", f"one in {rarest[1]:.0f}"
        if one is found[-1]:
            say(axes, look, rarest, name, beside=(-9, 3), down="top", bold=True, **left)
            value, lower = f"{first} guests: {value}", {"beside": (-9, -18), "down": "top"}
        if headed:
            say(axes, look, rarest, value, size=small, **lower, **left)
        end = most, one.numbers
        say(axes, look, end, f"{one.bits} bits, in turn", beside=(15, 2), down="bottom", colour="rr", bold=True)
        say(axes, look, end, f"one in {one.numbers}, always", beside=(15, -2), down="top", size=small)
    across = "running guests (log scale)" if headed else "guests (log scale)"
    name_axes(axes, look, across=across, up="guest entries from one full flush to the next (log scale)")
