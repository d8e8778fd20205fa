"""Draw what a full flush costs: the TLB entries that are missed afterwards, and the guest time of all of it."""

from __future__ import annotations

import math
from typing import Any

from matplotlib import style
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from kvmlab.engine.errors import check_int
from kvmlab.figures.charts import AXES, name_axes, say, unit
from kvmlab.figures.cost_data import BITS, GUESTS, MOST, Lost, Price, lost, prices
from kvmlab.figures.style import Look, Slide, new_figure, plot_axes, room
from kvmlab.rollover import theory
from kvmlab.rollover.cost import ABORT_SOURCE, ABORT_US, DEFAULTS, NOTHING_PUBLISHED, Cost
from kvmlab.rollover.survey import PER
from kvmlab.rollover.walks import Workload, walk_reads

_LOOKS: dict[str, tuple[str, str, Any, str]] = {
    "3.9": ("guest", "^", "solid", "kicks other CPUs"),
    "5.18": ("host", "D", (0, (4, 2)), "kicks nobody"),
}
"""Each policy's colour, marks, dashes, and what it does."""
ROOM = 0.48
"""Height of what is said beside the end of a line, as a part of the chart's."""
MICRO = "\u00b5s"


@style.context("default")
def cost(
    theme: str = "light",
    size: str = "slide",
    *,
    cpus: int = 4,
    pages: int = 64,
    accesses: int = 64,
    ns_per_read: float = DEFAULTS["ns_per_read"].value,
    us_per_kick: float = DEFAULTS["us_per_kick"].value,
    seed: int = 0,
) -> Slide:
    """What a flush costs: TLB entries missed afterwards, and guest time per 1,000 entries in Linux 3.9 and 5.18.

    Source: left: the same accesses run twice through the engine's TLB, with a flush and without (`extra_misses`).
    Right: those misses and the kicks (`Cost`), times the exact flush rate in random order (`theory.uniform`). The time
    of a read is an assumption, that of a kick a stand-in: the mean data-abort exit on arm64, Linux commit 1218838d68f5.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        cpus: CPUs, 1 to 64.
        pages: pages that each guest uses, 1 to 256.
        accesses: accesses in a turn, 1 to 128.
        ns_per_read: nanoseconds for one read of a translation table.
        us_per_kick: microseconds that a CPU loses when it is forced out of the guest and back in.
        seed: of the random numbers.

    Raises:
        InputError: no such theme or size, or a number is out of range.

    Differs: the flush itself, the wait for the other CPUs and the instruction cache are not counted, for want of any
    figure. On the right, each CPU has the misses counted with 256 guests in random order; with more guests there are
    fewer.
    """
    look, price = Look(theme, size), Cost(ns_per_read=ns_per_read, us_per_kick=us_per_kick)
    check_int("cpus", cpus, 1, theory.MAX_CPUS)
    random, turn = (lost(schedule, pages, accesses, seed) for schedule in ("uniform", "round-robin"))
    last, reads = random[-1], len(walk_reads(price.stage1_levels, price.stage2_levels))
    little = last.little
    priced = prices(price, last.missed, cpus)
    ends = " and ".join(f"{one.line[-1][1]:.0f} {MICRO} in Linux {one.policy}" for one in priced)
    stand_in = f" (mean arm64 data abort, Linux {ABORT_SOURCE.removeprefix('Linux commit ')})"
    assumed = (
        f"{ns_per_read:g} ns a table read, {reads} reads a walk (assumed); {us_per_kick:g} {MICRO} a kick"
        f"{stand_in if us_per_kick == ABORT_US else ''}; {price.entries_per_second:g} entries/s (assumed); {pages} "
        f"pages a guest, {accesses} accesses a turn"
    )
    figure = new_figure(
        look,
        title="Where VMIDs run out, a flush has little to destroy"
        if little
        else f"With {last.guests} guests, a flush still destroys what is needed",
        why=(
            f"With {last.guests} guests, the others have driven most of a guest's entries out of the TLB anyway. "
            if little
            else f"With {last.guests} guests, the TLB still holds much of what they use, so a flush is felt. "
        )
        + "No rollover rate and no time per rollover is published: the guest time comes from assumptions.",
        alt=f"Left: TLB entries of a CPU against guests. With {last.guests} guests a flush drops {last.dropped:.0f} "
        f"entries; {last.missed:.0f} of them are wanted again in random order, {turn[-1].missed:.0f} in turn. "
        f"Right: guest time lost to flushes on {cpus} CPUs, per {PER} entries: exactly 0 up to {last.guests - 1} "
        f"guests, since nothing is flushed; with {MOST} guests {ends}. {NOTHING_PUBLISHED}",
        source=f"{assumed}; seed {seed}. {NOTHING_PUBLISHED}",
        sub=f"{assumed} · seed {seed}",
        height=4.6,
    )
    k = unit(look)
    _, _, wide, high = room(figure)
    if look.measure.headed:
        left = plot_axes(figure, look, left=0.55 * k, bottom=0.72 * k, right=wide - 5.3, top=0.5 * k)
        right = plot_axes(figure, look, left=6.25, bottom=0.72 * k, right=2.3 * k, top=0.5 * k)
    else:
        left = plot_axes(figure, look, left=0.55 * k, bottom=high / 2 + 0.72 * k, right=0.1, top=0.5 * k)
        right = plot_axes(figure, look, left=0.55 * k, bottom=0.72 * k, right=2.1 * k, top=high / 2 + 0.5 * k)
    _entries(left, look, random, turn)
    _time(right, look, priced, cpus)
    return figure


def _entries(axes: Any, look: Look, random: tuple[Lost, ...], turn: tuple[Lost, ...]) -> None:
    """Draw what a flush drops, and what of it is missed."""
    colour, top = look.colour, Workload(guests=1, pages=1).sets * Workload(guests=1, pages=1).ways
    axes.set(xscale="log", xlim=(1, GUESTS[-1] * math.sqrt(2)), ylim=(0, 1.06 * top))
    axes.xaxis.set_major_locator(FixedLocator(GUESTS[::2]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set_yticks(range(0, top + 1, top // 4))
    axes.axvline(GUESTS[-1], color=colour["ink"], linewidth=look.line(1.6), linestyle=":", zorder=1)
    marks: Any = {"markersize": look.line(10), "markeredgecolor": colour["paper"], "markeredgewidth": look.line(1.4)}
    rows = (
        ([(one.guests, one.dropped) for one in random], "ink3", "D", (0, (4, 2))),
        ([(one.guests, one.missed) for one in random], "uni", "o", "solid"),
        ([(one.guests, one.missed) for one in turn], "rr", "s", (0, (1, 1))),
    )
    for line, token, marker, dashes in rows:
        axes.plot(
            *zip(*line, strict=True), color=colour[token], marker=marker, linestyle=dashes, clip_on=False,
            linewidth=look.line(3), zorder=3, **marks,
        )  # fmt: skip
    name_axes(axes, look, across="guests on the CPU (log scale)", up="TLB entries of a CPU")
    last, up = random[-1], dict[str, Any](down="bottom", bold=True)
    end = GUESTS[-1], last.dropped
    hump = last.little  # then there is room on its right and under it, else on the left of the rise
    words = "\u25c6 dropped by\na flush" if hump else "\u25c6 dropped by a flush"
    if hump:
        say(axes, look, end, words, beside=(-10, -14), across="right", down="top", colour="ink2", bold=True)
    else:
        say(axes, look, (1.2, 0.98 * top), words, colour="ink2", bold=True, clear=True)
    words = "of these,\nwanted again:\n\u25cf random order"
    say(axes, look, (18.5, 0.6 * top) if hump else (1.2, 0.8 * top), words, colour="uni", bold=True, clear=True)
    words, at = "\u25a0 in turn", (9, 0.16 * top) if hump else (1.2, 0.6 * top)
    say(axes, look, at, words, colour="rr", bold=True, across="right" if hump else "left", clear=not hump)
    say(axes, look, (end[0], last.missed), f"{last.missed:.0f}", beside=(-6, 9), colour="uni", across="right", **up)
    say(axes, look, (1, 1), "VMIDs run out", where=AXES, beside=(0, 10), colour="ink", across="right", **up)


def _time(axes: Any, look: Look, priced: tuple[Price, ...], cpus: int) -> None:
    """Draw the guest time against guests."""
    colour, numbers = look.colour, theory.usable(BITS)
    highest = max(one.line[-1][1] for one in priced) or 1.0
    axes.set(xlim=(0, MOST), ylim=(0, 1.1 * highest))
    axes.set_xticks([1, MOST // 4, numbers, MOST * 3 // 4, MOST])
    axes.locator_params(axis="y", nbins=5)
    axes.plot([1, numbers], [0, 0], color=colour["ink"], linewidth=look.line(7), solid_capstyle="butt", clip_on=False)
    say(
        axes,
        look,
        (numbers / 2, 0),
        "exactly 0:\nno flush",
        beside=(0, 12),
        across="center",
        down="bottom",
        colour="ink",
    )
    first, second = (one.line[-1][1] / axes.get_ylim()[1] for one in priced)
    upper = min(max(first, 0.2 + ROOM), 0.91)
    places = {"3.9": upper, "5.18": min(max(second, 0.2), upper - ROOM)}
    for one in priced:
        token, marker, dashes, does = _LOOKS[one.policy]
        hue, end = colour[token], (1, places[one.policy])
        axes.plot(*zip(*one.line, strict=True), color=hue, linewidth=look.line(3.4), linestyle=dashes, zorder=3)
        some = one.line[:: (len(one.line) - 1) // 4]
        axes.plot(*zip(*some, strict=True), marker, color=hue, markersize=look.line(11), zorder=4, clip_on=False)
        does = does if cpus > 1 else "no other CPU"
        said = f"{does}:\n{one.line[-1][1]:.0f} {MICRO}, {100 * one.share:.2g} %\nof run time"
        name = f"Linux {one.policy}"
        say(axes, look, end, name, where=AXES, beside=(12, 2), colour=token, bold=True, down="bottom")
        say(axes, look, end, said, where=AXES, beside=(12, -2), down="top")
    name_axes(
        axes, look, across="running guests", up=f"{MICRO} of guest time per {PER} entries, {cpus} CPU{'s' * (cpus > 1)}"
    )
