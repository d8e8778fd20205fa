"""Draw how the VMIDs of a generation are used up, and how a rollover gives them all back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise, takewhile
from typing import Any

from matplotlib import style
from matplotlib.ticker import MaxNLocator

from kvmlab.engine import Config, Machine
from kvmlab.engine.errors import check_int
from kvmlab.figures.charts import AXES, name_axes, say, unit
from kvmlab.figures.style import Look, Slide, new_figure, plot_axes
from kvmlab.rollover import theory
from kvmlab.rollover.schedules import schedule

MOST_GUESTS, MOST_ENTRIES = 2000, 20_000


def expected_in_use(guests: int, entries: int) -> float:
    """Return how many different guests have entered on average, when each entry is by a guest drawn at random.

    A guest has not entered yet with probability (1 - 1/N)**t, each of them; the mean of a sum is the sum of the means.

    Args:
        guests: their number N, 1 or more.
        entries: entries t since the generation began, 0 or more.

    Returns:
        Numbers in use, as long as there are enough of them.

    Raises:
        InputError: an argument is out of range.

    Source: the coupon collector's problem.
    """
    check_int("guests", guests, 1, theory.MAX_GUESTS)
    check_int("entries", entries, 0, theory.MAX_ENTRIES)
    return guests * (1 - (1 - 1 / guests) ** entries)


@dataclass(frozen=True)
class Occupancy:
    """Hold one run.

    Args:
        order: who enters next.
        in_use: numbers in use after each entry.
        flushes: which entries flushed, from 0; the first after boot is one of them.
    """

    order: str
    in_use: tuple[int, ...]
    flushes: tuple[int, ...]


@cache
def occupancy_of(order: str, guests: int, entries: int, vmid_bits: int, seed: int) -> Occupancy:
    """Let guests enter one after the other on one CPU of the engine, and look at `kvm_next_vmid` after each entry.

    Args:
        order: who enters next, as for `kvmlab.rollover.schedules.schedule`.
        guests: their number.
        entries: guest entries from boot on.
        vmid_bits: width of a VMID, 2 to 16 bits.
        seed: of the random numbers.

    Raises:
        InputError: an argument is out of range.
    """
    machine = Machine(Config(ncpus=1, vmid_bits=vmid_bits, recording=False))
    linux, numbers = machine.linux, theory.usable(vmid_bits)
    vms = [machine.create_vm() for _ in range(guests)]
    in_use, flushes = [], []
    for number, (guest, _) in enumerate(islice(schedule(order).entries(guests, seed), entries)):
        before = linux.kvm_vmid_gen
        machine.enter(vms[guest])
        in_use.append((linux.kvm_next_vmid or numbers + 1) - 1)
        if linux.kvm_vmid_gen != before:
            flushes.append(number)
    return Occupancy(order, tuple(in_use), tuple(flushes))


@style.context("default")
def occupancy(
    theme: str = "light",
    size: str = "slide",
    *,
    guests: int = 300,
    vmid_bits: int = 8,
    entries: int = 1600,
    seed: int = 1,
) -> Slide:
    """VMID occupancy through a generation: numbers in use against entries, in turn and in random order.

    Source: both runs: `kvm_next_vmid` after each entry into a guest of the engine (update_vttbr, arch/arm/kvm/arm.c,
    Linux 3.9). The dashed line is the mean over all random orders, N (1 - (1 - 1/N)^t), from the beginning of each
    generation on.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        guests: running guests, 1 to 2000, on one CPU.
        vmid_bits: width of a VMID, 2 to 16 bits.
        entries: guest entries from boot on, 2 to 20000.
        seed: of the random order, and of who begins in turn.

    Raises:
        InputError: no such theme or size, or a number is out of range.
    """
    look = Look(theme, size)
    check_int("guests", guests, 1, MOST_GUESTS)
    check_int("entries", entries, 2, MOST_ENTRIES)
    turn, random = (occupancy_of(order, guests, entries, vmid_bits, seed) for order in ("round-robin", "uniform"))
    numbers, mean = theory.usable(vmid_bits), float(theory.uniform(guests, vmid_bits).mean)
    enough = guests <= numbers
    figure = new_figure(
        look,
        title=f"{guests} guests: {'enough numbers for all' if enough else 'in turn uses the numbers up fastest'}",
        why=f"Each guest takes one number and keeps it, so {numbers} suffice for {guests}: the lines go flat, and "
        "nothing is flushed after the first entry."
        if enough
        else f"In turn, every entry is by a guest without a number, so {numbers} entries use up a generation. In "
        f"random order some come back while they still have theirs, so it takes {mean:.0f} on average.",
        alt=f"Two charts of VMIDs in use against guest entries, {guests} guests, {numbers} numbers. In turn "
        f"{_flushed(turn)}. In random order {_flushed(random)}; a dashed line, the exact mean over all orders, lies "
        "close to the run.",
        source=f"Linux 3.9, {vmid_bits}-bit VMIDs, {guests} guests on one CPU, {entries} entries, seed {seed} · "
        "dashed: exact mean over all random orders",
        height=3.3,
    )
    k = unit(look)
    high = figure.get_size_inches()[1] - (2.16 if look.measure.headed else 0.12)
    each = (high - 0.45 * k) / 2
    for row, data in enumerate((turn, random)):
        axes = plot_axes(
            figure, look, left=0.8 * k, bottom=(1 - row) * (each) + 0.72 * k, right=2.55 * k, top=row * each + 0.5 * k
        )
        _panel(axes, look, data, guests, vmid_bits, first=row == 0)
    return figure


def _flushed(data: Occupancy) -> str:
    later = data.flushes[1:]
    if not later:
        return f"the line rises to {data.in_use[-1]} and stays there"
    return f"the line is a saw: it falls to 1 at entries {', '.join(map(str, later))}"


def _said(data: Occupancy, guests: int, vmid_bits: int) -> str:
    """Return how often a run flushes, in words."""
    numbers = theory.usable(vmid_bits)
    exact = (theory.round_robin if data.order == "round-robin" else theory.uniform)(guests, vmid_bits).mean
    if math.isinf(exact):
        return f"{numbers} numbers are\nenough: no flush"
    if data.order == "round-robin":
        return f"a flush after every\n{exact} entries"
    return f"a flush after {exact:.0f}\nentries on average"


def _panel(axes: Any, look: Look, data: Occupancy, guests: int, vmid_bits: int, *, first: bool) -> None:
    colour, token = look.colour, "rr" if first else "uni"
    entries, numbers = len(data.in_use), theory.usable(vmid_bits)
    axes.set_xlim(0, entries)
    axes.set_ylim(0, 1.05 * numbers)
    axes.set_yticks([0, (numbers + 1) // 2, numbers])
    axes.xaxis.set_major_locator(MaxNLocator(8 if look.measure.headed else 4, integer=True))
    axes.tick_params(labelbottom=not first)
    axes.tick_params(axis="y", pad=look.line(12))
    for begin, end in pairwise([*data.flushes, entries]):
        if not first:
            means = (expected_in_use(guests, t) for t in range(end - begin + 1))
            mean = list(takewhile(lambda value: value <= numbers, means))
            axes.plot(
                range(begin, begin + len(mean)), mean, color=colour["ink"], linewidth=look.line(2),
                linestyle=(0, (4, 3)), zorder=4, label="mean",
            )  # fmt: skip
        steps = range(begin, end + 1), (0, *data.in_use[begin:end])
        axes.plot(*steps, color=colour[token], linewidth=look.line(3.4), drawstyle="steps-pre", label="run")
        axes.plot([begin, begin], [0, numbers], color=colour["now"], linewidth=look.line(2.4), clip_on=False, zorder=3)
        axes.plot(begin, 0, "D", color=colour["now"], markersize=look.line(11), clip_on=False, zorder=5)
    name = "in turn" if first else "in random order"
    say(axes, look, (1, 1), name, beside=(12, 0), where=AXES, colour=token, bold=True, down="top")
    say(axes, look, (1, 1), _said(data, guests, vmid_bits), beside=(12, -24), where=AXES, down="top")
    if first:
        name_axes(axes, look, across="", up="VMIDs in use")
        said = "full flush" if len(data.flushes) > 1 else "full flush: once"
        above = dict[str, Any](where=AXES, beside=(0, 10), across="right", down="bottom")
        say(axes, look, (1, 1), f"\u25c6 {said}", colour="now", bold=True, **above)
    else:
        say(axes, look, (1, 0), "dashed: mean of\nall orders, exact", beside=(12, 0), where=AXES, down="bottom")
        name_axes(axes, look, across="guest entries since boot", up="")
