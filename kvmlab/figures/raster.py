"""Draw every entry of one run, guest by guest, and the full flushes between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise

from matplotlib import style
from matplotlib.ticker import MaxNLocator

from kvmlab.engine import Config, Machine
from kvmlab.engine.errors import check_int
from kvmlab.figures.charts import AXES, name_axes, say, unit
from kvmlab.figures.style import Look, Slide, new_figure, plot_axes
from kvmlab.rollover import theory
from kvmlab.rollover.schedules import schedule

MOST_GUESTS, MOST_BITS, MOST_ENTRIES = 40, 5, 1000
HUES = ("g0", "g1", "g2")
"""Of the generations: (generation - 2) mod 3."""


@dataclass(frozen=True)
class Raster:
    """Hold one run.

    Args:
        entries: (guest, needs a number) of each entry, in order.
        flushes: which entries flushed, from 0; the first after boot is one of them.
        generation: the generation that the first flush began.
    """

    entries: tuple[tuple[int, bool], ...]
    flushes: tuple[int, ...]
    generation: int


@cache
def raster_of(guests: int, entries: int, vmid_bits: int, order: str, seed: int) -> Raster:
    """Let guests enter one after the other on one CPU of the engine, and read from the events what each entry did.

    Args:
        guests: their number, 1 or more.
        entries: guest entries from boot on.
        vmid_bits: width of a VMID, 2 to 16 bits.
        order: who enters next, as for `kvmlab.rollover.schedules.schedule`.
        seed: of the random numbers.

    Raises:
        InputError: an argument is out of range.
    """
    machine = Machine(Config(ncpus=1, vmid_bits=vmid_bits))
    vms = [machine.create_vm() for _ in range(guests)]
    seen, flushes, generations = [], [], []
    for number, (guest, _) in enumerate(islice(schedule(order).entries(guests, seed), entries)):
        first = len(machine.stream)
        machine.enter(vms[guest])
        marks = dict(machine.stream.marks(first))
        seen.append((guest, "vmid/assigned" in marks))
        if "vmid/rolled_over" in marks:
            flushes.append(number)
            generations.append(marks["vmid/rolled_over"]["generation"])
    return Raster(tuple(seen), tuple(flushes), generations[0])


@style.context("default")
def raster(
    theme: str = "light",
    size: str = "slide",
    *,
    guests: int = 20,
    vmid_bits: int = 4,
    entries: int = 160,
    order: str = "uniform",
    seed: int = 1,
) -> Slide:
    """Flushes in time for one run: each row is a guest, each mark an entry, each vertical line a full flush.

    Source: a run of the engine, one CPU, from boot on: the events of update_vttbr (arch/arm/kvm/arm.c, Linux 3.9).

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        guests: running guests, 1 to 40.
        vmid_bits: width of a VMID, 2 to 5 bits: so few that one can see each of them.
        entries: guest entries, 2 to 1000.
        order: who enters next: "uniform", "round-robin", "runs:4", "zipf:1", ...
        seed: of the random order.

    Raises:
        InputError: no such theme, size or order, or a number is out of range.
    """
    look = Look(theme, size)
    check_int("guests", guests, 1, MOST_GUESTS)
    check_int("vmid_bits", vmid_bits, 2, MOST_BITS)
    check_int("entries", entries, 2, MOST_ENTRIES)
    data, numbers = raster_of(guests, entries, vmid_bits, order, seed), theory.usable(vmid_bits)
    fresh = sum(new for _, new in data.entries)
    again = len(data.flushes) - 1
    many = guests > numbers
    figure = new_figure(
        look,
        title=f"The {numbers} numbers run out, and all guests begin anew"
        if many
        else f"{guests} guests: each is numbered once",
        why=f"The generation's {numbers} numbers went to the first {numbers} guests that entered. The next guest finds "
        "none, so all TLBs are flushed and every guest needs a new number at its next entry."
        if many
        else f"There are {numbers} numbers, so each guest keeps the one that it gets at its first entry, and nothing "
        "is flushed after the very first entry.",
        alt=f"{guests} rows, one for each guest, with {entries} entries in time; {fresh} of them need a new number. "
        f"Full flushes at entry {', '.join(str(at + 1) for at in data.flushes)}: the first entry after boot, and "
        f"{again} more. Between two flushes lies a generation, in which each guest needs a number at its first entry.",
        source=f"Linux 3.9, {vmid_bits}-bit VMIDs ({numbers} numbers), {guests} guests on one CPU, "
        f"{schedule(order).name}, {entries} entries from boot on, seed {seed}",
        height=3.2,
    )
    _draw(figure, look, data, guests)
    return figure


def _draw(figure: Slide, look: Look, data: Raster, guests: int) -> None:
    k, colour = unit(look), look.colour
    axes = plot_axes(figure, look, left=0.65 * k, bottom=0.72 * k, right=2.75 * k, top=0.62 * k)
    entries = len(data.entries)
    axes.set_xlim(0, entries)
    axes.set_ylim(guests - 0.4, -0.6)
    axes.grid(visible=False)
    axes.tick_params(axis="y", pad=look.line(10))
    axes.set_yticks(sorted({0, guests // 2, guests - 1}))
    axes.xaxis.set_major_locator(MaxNLocator(8 if look.measure.headed else 4, integer=True))
    for index, (begin, end) in enumerate(pairwise([*data.flushes, entries])):
        generation = data.generation + index
        hue = HUES[(generation - 2) % 3]
        axes.axvspan(begin, end, color=colour[f"{hue}-t"], zorder=0, linewidth=0)
        axes.axvline(begin, color=colour["now"], linewidth=look.line(3), zorder=2, clip_on=False)
        axes.plot(begin, -0.6, "D", color=colour["now"], markersize=look.line(10), clip_on=False, zorder=5)
        rows = [(at + 0.5, *data.entries[at]) for at in range(begin, end)]
        new = [(x, guest) for x, guest, needs in rows if needs]
        old = [(x, guest) for x, guest, needs in rows if not needs]
        axes.plot(
            *zip(*new, strict=True),
            "s",
            color=colour[hue],
            markersize=look.line(9),
            zorder=4,
            markeredgewidth=0,
            clip_on=False,
        )
        if old:
            axes.plot(
                *zip(*old, strict=True), "o", markersize=look.line(6), zorder=3, markerfacecolor=colour["paper"],
                markeredgecolor=colour["ink3"], markeredgewidth=look.line(1.2), clip_on=False,
            )  # fmt: skip
        letters = (end - begin) * axes.bbox.width * 72 / figure.dpi / entries / (0.75 * look.measure.label)
        name = (
            f"gen {generation}"
            if letters > len("gen") + 3
            else f"{generation}"
            if letters > len(f"{generation}") + 0.3
            else ""
        )
        middle, above = ((begin + end) / 2, 1.0), ("data", AXES)
        say(
            axes,
            look,
            middle,
            name,
            where=above,
            beside=(0, 16),
            colour=hue,
            across="center",
            down="baseline",
            bold=True,
        )
    name_axes(axes, look, across="guest entries since boot", up="")
    say(axes, look, (0, 1), "guest", where=AXES, beside=(-46, 16), down="baseline")
    key = (
        ("\u25c6 full flush", "now", "every guest's entries\nleave every TLB"),
        ("\u25a0 needs a number", "ink", "the guest's first entry\nin this generation"),
        ("\u25cb keeps its number", "ink", "got in this generation"),
    )
    for line, (mark, token, words) in enumerate(key):
        say(axes, look, (1, 1), mark, where=AXES, beside=(14, -80 * line), colour=token, bold=True, down="top")
        say(axes, look, (1, 1), words, where=AXES, beside=(14, -24 - 80 * line), down="top")
    say(axes, look, (1, 0), "bands: generations", where=AXES, beside=(14, 0), down="bottom")
