"""Set the VMID allocators of Linux 3.9 and 5.18 side by side, on the same entries: what differs, and what does not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from matplotlib import style
from matplotlib.ticker import NullLocator

from kvmlab.engine.errors import InputError, check_int
from kvmlab.figures.charts import AXES, name_axes, say, unit
from kvmlab.figures.rate_chart import draw_cliff, draw_zero
from kvmlab.figures.style import Look, Slide, new_figure, plot_axes, room
from kvmlab.rollover import theory
from kvmlab.rollover.allocators import Counts, compare
from kvmlab.rollover.schedules import schedule
from kvmlab.rollover.survey import LEAST_BITS, PER, spread

MOST_BITS, MOST_ENTRIES, _MARKS = 12, 10_000_000, 6
LOOKS = {"3.9": ("ink", "s", 17.0), "5.18": ("kern", "o", 9.0)}
"""Of each allocator: colour token, shape and size of its marks; the smaller one lies on the larger."""


@dataclass(frozen=True)
class Deed:
    """Hold what an allocator did between two full flushes, on average.

    Args:
        kicked: guests taken out of other CPUs.
        again: entries that followed from that.
        renumbered: guests that got another number than they had.
    """

    kicked: float
    again: float
    renumbered: float


@dataclass(frozen=True)
class Beside:
    """Hold both allocators; the flush of the very first entry after boot, which only Linux 3.9 makes, is left out.

    Args:
        rates: for each, (guests, full flushes per 1,000 entries).
        law: the exact rate in random order, (guests, rate); empty for other orders on several CPUs.
        deeds: for each, what it did with the number of guests of the figure.
        flushes: for each, how often it flushed then.
    """

    rates: dict[str, tuple[tuple[int, float], ...]]
    law: tuple[tuple[int, float], ...]
    deeds: dict[str, Deed]
    flushes: dict[str, int]


def _after_boot(one: Counts) -> int:
    return sum(at > 0 for at in one.at)


@cache
def beside(guests: int, cpus: int, entries: int, vmid_bits: int, order: str, seed: int) -> Beside:
    """Run both allocators on the same entries, with some numbers of guests.

    Args:
        guests: those whose counts are wanted.
        cpus: number of CPUs.
        entries: guest entries of each run.
        vmid_bits: width of a VMID, 2 to 16 bits.
        order: who enters next, as for `schedules.schedule`.
        seed: of the random order.

    Raises:
        InputError: an argument is out of range, or there are too few entries for a flush after the one at boot.
    """
    chosen, first = schedule(order), theory.usable(vmid_bits) + 1
    runs = {
        n: compare(chosen, n, entries, vmid_bits=vmid_bits, cpus=cpus, seed=seed)
        for n in sorted({guests, *(n for n in spread(first, 4 * first, _MARKS) if abs(n - guests) > first / 8)})
    }
    flushes = {name: _after_boot(one) for name, one in runs[guests].items()}
    if not all(flushes.values()):
        raise InputError(f"entries is {entries}; too few for a flush after the first entry, with {guests} guests")
    deeds = {
        name: Deed(one.kicks / flushes[name], one.reentries / flushes[name], one.renumbered / flushes[name])
        for name, one in runs[guests].items()
    }
    rates = {
        name: tuple((n, PER * _after_boot(both[name]) / both[name].entries) for n, both in runs.items())
        for name in LOOKS
    }
    law = ((n, theory.uniform(n, vmid_bits, cpus)) for n in sorted({*range(first, 4 * first), 4 * first}))
    exact = tuple((n, PER * float(gap.rate)) for n, gap in law) if chosen.kind == "uniform" else ()
    return Beside(rates, exact, deeds, flushes)


@style.context("default")
def allocators(
    theme: str = "light",
    size: str = "slide",
    *,
    guests: int = 300,
    cpus: int = 8,
    vmid_bits: int = 8,
    entries: int = 100_000,
    order: str = "uniform",
    seed: int = 1,
) -> Slide:
    """Linux 3.9 beside 5.18 on the same entries: as many full flushes, but nobody is kicked and fewer are renumbered.

    Source: marks and bars: `kvmlab.rollover.allocators`, the rules of update_vttbr and force_vm_exit
    (arch/arm/kvm/arm.c, Linux 3.9) and of arch/arm64/kvm/vmid.c (Linux 5.18). Line: the exact law.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        guests: running guests of the bars, from as many as a VMID has values to four times as many.
        cpus: number of CPUs, 2 to 64.
        vmid_bits: width of a VMID, 4 to 12 bits.
        entries: guest entries of each run, so many that there are flushes.
        order: who enters next: "uniform", "round-robin", "runs:8", "zipf:1", ...
        seed: of the random order, 0 or more.

    Raises:
        InputError: no such theme, size or order, or a number is out of range.
    """
    look = Look(theme, size)
    numbers = theory.usable(check_int("vmid_bits", vmid_bits, LEAST_BITS, MOST_BITS))
    check_int("guests", guests, numbers + 1, 4 * (numbers + 1))
    check_int("cpus", cpus, 2, min(theory.MAX_CPUS, numbers - 1))
    check_int("entries", entries, 1, MOST_ENTRIES)
    data = beside(guests, cpus, entries, vmid_bits, order, seed)
    old, new = data.deeds["3.9"], data.deeds["5.18"]
    figure = new_figure(
        look,
        title="Linux 5.18 flushes as often, but kicks nobody",
        why="Both flush when all numbers are taken. Linux 3.9 then takes every guest's number away, so running guests "
        "must leave; since 5.18 who runs keeps it, and who returns may find the old one free.",
        alt=f"Left: full flushes per {PER} entries against guests, exactly 0 up to {numbers}; beyond, the marks of "
        f"both lie on one another. Right: per full flush with {guests} guests, {cpus} CPUs: Linux 3.9 kicked "
        f"{old.kicked:.1f} guests, which entered {old.again:.1f} times again, and renumbered {old.renumbered:.1f}; "
        f"Linux 5.18 kicked {new.kicked:.1f}, {new.again:.1f} entered again, and {new.renumbered:.1f} were renumbered. "
        f"Full flushes: {data.flushes['3.9']} and {data.flushes['5.18']}.",
        source=f"Linux 3.9 and 5.18, {vmid_bits}-bit VMIDs, {cpus} CPUs, {schedule(order).name}, the same {entries} "
        f"entries for both, seed {seed}, after the first entry{' · line: exact' if data.law else ''} · with {guests} "
        f"guests {data.flushes['3.9']} and {data.flushes['5.18']} full flushes",
        height=4.9,
    )
    k = unit(look)
    _, _, wide, high = room(figure)
    if look.measure.headed:
        left = plot_axes(figure, look, left=0.45 * k, bottom=0.75 * k, right=wide - 5.6, top=0.5 * k)
        right = plot_axes(figure, look, left=6.75, bottom=0.1, right=1.8, top=0.5 * k)
    else:
        left = plot_axes(figure, look, left=0.45 * k, bottom=high / 2 + 0.75 * k, right=0.1, top=0.5 * k)
        right = plot_axes(figure, look, left=0.1, bottom=0.05, right=0.95, top=high / 2 + 0.55 * k)
    _rates(left, look, data, numbers)
    _deeds(right, look, data, guests)
    return figure


def _rates(axes: Any, look: Look, data: Beside, numbers: int) -> None:
    """Draw how often each flushes, one mark within the other."""
    most = 4 * (numbers + 1)
    axes.set(xlim=(0, most), ylim=(0, 1.12 * max(rate for line in data.rates.values() for _, rate in line)))
    axes.set_xticks([most // 2, 3 * most // 4, most])
    axes.locator_params(axis="y", nbins=5)
    draw_zero(axes, look, 1, numbers)
    draw_cliff(axes, look, numbers)
    if data.law:
        axes.plot(
            *zip(*data.law, strict=True), color=look.colour["ink3"], linewidth=look.line(2), zorder=2, label="exact"
        )
    for name, (token, marker, wide) in LOOKS.items():
        hollow = name == "3.9"
        axes.plot(
            *zip(*data.rates[name], strict=True), marker, color=look.colour[token], markersize=look.line(wide),
            markerfacecolor=look.colour["paper" if hollow else token], markeredgewidth=look.line(2.2 if hollow else 0),
            zorder=4, clip_on=False, label=f"Linux {name}",
        )  # fmt: skip
    small = look.measure.small
    say(axes, look, (0, 0), "exactly 0", beside=(6, 9), down="bottom", colour="ink", size=small)
    headed = look.measure.headed
    said = dict[str, Any](across="right", where=AXES, bold=True, clear=True)
    say(axes, look, (1, 0), "\u25a1 Linux 3.9", beside=(0, 78 if headed else 60), colour="ink", **said)
    say(axes, look, (1, 0), "\u25cf Linux 5.18", beside=(0, 55 if headed else 40), colour="kern", **said)
    same = dict[str, Any](across="right", where=AXES, size=small)
    say(axes, look, (1, 0), "\u25cf in \u25a1: the same rate", beside=(0, 32 if headed else 20), **same)
    name_axes(axes, look, across="running guests", up=f"full flushes per {PER} guest entries")


def _deeds(axes: Any, look: Look, data: Beside, guests: int) -> None:
    """Draw what comes with a flush, as bars on one scale."""
    rows = (
        ("kicked out of another CPU", "kicked"),
        ("made to enter again", "again"),
        ("given another number", "renumbered"),
    )
    axes.set(xlim=(0, max(one.renumbered for one in data.deeds.values())), ylim=(2.6, -0.3))
    axes.grid(visible=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(NullLocator())
    for row, (words, field) in enumerate(rows):
        say(axes, look, (0, row), words, beside=(0, 6), down="bottom", colour="ink", bold=True)
        for place, (name, (token, _, _)) in enumerate(LOOKS.items()):
            value, y = getattr(data.deeds[name], field), row + 0.14 + 0.27 * place
            hollow = name == "3.9"
            axes.barh(
                y, value, 0.22, facecolor=look.colour["paper" if hollow else token], edgecolor=look.colour[token],
                linewidth=look.line(2.2), label=f"{name} {field}", clip_on=False,
            )  # fmt: skip
            said = f"{value:.1f} in {name}" if value else f"none in {name}"
            say(axes, look, (value, y), said, beside=(9, 0), colour=token, bold=True)
    name_axes(axes, look, across="", up=f"guests per full flush, with {guests} guests")
