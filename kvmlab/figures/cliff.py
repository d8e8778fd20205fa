"""Magnify the cliff: the flush rate for each number of guests just below and just above the number of VMIDs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib import style
from matplotlib.ticker import FixedLocator

from kvmlab.engine.errors import check_int
from kvmlab.figures.charts import AXES, say
from kvmlab.figures.rate_chart import draw_cliff, draw_curve, draw_zero, name_curves, rate_axes
from kvmlab.figures.rates import ORDERS, Curve, curves, reach
from kvmlab.figures.style import Look, Slide, new_figure
from kvmlab.rollover import theory
from kvmlab.rollover.survey import LEAST_BITS, PER

MOST_BITS, BELOW, MOST_ABOVE = 10, 6, 30


@style.context("default")
def cliff(
    theme: str = "light",
    size: str = "slide",
    *,
    vmid_bits: int = 8,
    above: int = 15,
    entries: int = 300_000,
    seed: int = 1,
    orders: Sequence[str] = ORDERS,
) -> Slide:
    """The cliff magnified: with as many guests as VMIDs no flush ever comes, with one more the flushes begin.

    Source: steps: the exact laws of `kvmlab.rollover`. Marks: counted by the rule of update_vttbr (arch/arm/kvm/arm.c,
    Linux 3.9) over a run of `kvmlab.rollover.simulate`, for each number of guests.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        vmid_bits: width of a VMID, 4 to 10 bits.
        above: numbers of guests shown beyond the cliff, 5 to 30.
        entries: guest entries behind each mark, 1 or more; where a run would see fewer than five flushes, there is
            no mark.
        seed: of the random orders, 0 or more.
        orders: 1 to 4 schedules by their names: "round-robin", "uniform", "zipf:1", "runs:8", "switches:8",
            "sticky:0.9".

    Raises:
        InputError: no such theme, size or order, or a number is out of range.
    """
    look = Look(theme, size)
    numbers = theory.usable(check_int("vmid_bits", vmid_bits, LEAST_BITS, MOST_BITS))
    check_int("above", above, 5, MOST_ABOVE)
    check_int("entries", entries, 1, theory.MAX_ENTRIES)
    guests = range(numbers + 1 - BELOW, numbers + 1 + above)
    beyond = [n for n in guests if n > numbers]
    found = curves(orders, guests, beyond, guests, vmid_bits=vmid_bits, entries=entries, seed=seed)
    at = {n: ", ".join(f"{dict(one.exact)[n]:.3g} {one.name}" for one in found) for n in (numbers + 1, guests[-1])}
    worst = max(dict(one.exact)[numbers + 1] for one in found)
    figure = new_figure(
        look,
        title=f"{numbers} guests: never a flush. {numbers + 1}: up to one in {PER / worst:.0f} entries",
        why=f"{numbers} guests have {numbers} VMIDs for ever. Guest {numbers + 1} takes one that another still needs, "
        "so all get new ones. How soon the last number is needed again depends on who enters.",
        alt=f"Full TLB flushes per {PER} guest entries for each number of guests from {guests[0]} to {guests[-1]}, "
        f"{vmid_bits}-bit VMIDs. Exactly 0 up to {numbers}. At {numbers + 1}: {at[numbers + 1]}. "
        f"At {guests[-1]}: {at[guests[-1]]}. Marks are counted and lie on the steps.",
        source=f"Linux 3.9, {vmid_bits}-bit VMIDs, 1 CPU, after the first entry · steps: exact · marks: counted in "
        f"{entries} entries each, seed {seed}{reach(found)}",
        height=2.8,
    )
    _draw(figure, look, found, guests, numbers)
    return figure


def _draw(figure: Slide, look: Look, found: Sequence[Curve], guests: range, numbers: int) -> None:
    headed = look.measure.headed
    axes = rate_axes(figure, look, found)
    axes.set_xlim(guests[0] - 0.5, guests[-1] + 0.5)
    apart = 2 if headed else 5
    axes.set_xticks([n for n in guests if n not in (numbers, numbers + 1) and (n - numbers - 1) % 5 == 4])
    axes.xaxis.set_minor_locator(FixedLocator(list(guests)))
    axes.tick_params(axis="x", which="minor", color=look.colour["line2"], length=look.line(apart))
    draw_zero(axes, look, guests[0] - 0.5, numbers + 0.5)
    draw_cliff(axes, look, numbers)
    zeros = [n for n in guests if n <= numbers]
    style: dict[str, Any] = {"markersize": look.line(9), "markeredgewidth": look.line(1.8), "clip_on": False}
    axes.plot(
        zeros, [0] * len(zeros), "o", color=look.colour["ink"], markerfacecolor=look.colour["paper"], zorder=4,
        label="counted zeros", **style,
    )  # fmt: skip
    for one in found:
        draw_curve(axes, look, one, numbers, steps=True, mark=8 if headed else 6)
    name_curves(axes, look, found, guests[-1] + 0.5, ends=headed)
    over: Any = ("data", AXES)
    middle = (guests[0] + numbers) / 2, 0.0
    words = "in every order" if headed else "any order"
    small = look.measure.small
    say(axes, look, middle, "exactly 0", beside=(0, 34), where=over, across="center", down="bottom", colour="ink",
        bold=True, clear=True)  # fmt: skip
    say(axes, look, middle, words, beside=(0, 13), where=over, across="center", down="bottom", size=small)
