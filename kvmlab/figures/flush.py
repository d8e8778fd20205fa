"""Draw how often VMIDs run out: full TLB flushes per 1,000 guest entries against the number of running guests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import style

from kvmlab.engine.errors import check_int
from kvmlab.figures.charts import say
from kvmlab.figures.rate_chart import draw_cliff, draw_curve, draw_zero, name_curves, rate_axes
from kvmlab.figures.rates import LOOKS, ORDERS, Curve, curves, reach
from kvmlab.figures.style import Look, Slide, new_figure
from kvmlab.rollover import theory
from kvmlab.rollover.laws import law
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.rollover.survey import APPROXIMATE, LEAST_BITS, PER, Survey, spread
from kvmlab.scenes.flush import words
from kvmlab.scenes.scene import plain


@dataclass(frozen=True)
class FlushData:
    """Hold all that the figure shows; the flush of the very first entry after boot is left out.

    Args:
        vmid_bits: width of a VMID.
        entries: guest entries behind each counted point.
        curves: one for each order.
        cpus: number of CPUs.
        seed: of the random orders.
        title: what the figure says; a general one if not given.
        why: the words under it.
        alt: words for those who cannot see the figure.
    """

    vmid_bits: int
    entries: int
    curves: tuple[Curve, ...]
    cpus: int = 1
    seed: int = 1
    title: str = ""
    why: str = ""
    alt: str = ""

    @property
    def numbers(self) -> int:
        """Return the VMIDs there are for guests; with more running guests the flushes begin."""
        return theory.usable(self.vmid_bits)

    @property
    def most(self) -> int:
        """Return the largest number of guests that is drawn."""
        return max(n for curve in self.curves for n, _ in curve.exact + curve.measured)


def flush_data(
    vmid_bits: int = 8,
    *,
    entries: int = 100_000,
    seed: int = 1,
    most: int | None = None,
    orders: Sequence[str] = ("round-robin", "uniform"),
    progress: bool = True,
) -> FlushData:
    """Count full flushes by the rule of the kernel's allocator, and compute the exact rates.

    Args:
        vmid_bits: width of a VMID, 4 to 16 bits.
        entries: guest entries behind each counted point, 1 or more.
        seed: of the random orders, 0 or more.
        most: guests up to which to go, from twice to four times as many as a VMID has values; twice if not given.
        orders: 1 to 4 schedules by their names, such as "uniform" or "zipf:1".
        progress: show a progress bar.

    Raises:
        InputError: if an argument is out of range.
    """
    check_int("vmid_bits", vmid_bits, LEAST_BITS, theory.MAX_BITS)
    check_int("entries", entries, 1, theory.MAX_ENTRIES)
    values = 1 << vmid_bits
    last = 2 * values if most is None else check_int("most", most, 2 * values, 4 * values)
    beyond = spread(values, last, _POINTS, 3)
    below, marks = spread(1, values - 1, _BELOW, 1), sorted({values, *beyond[:1:-2]})
    step = -(-last // _LINE)
    guests = sorted({*range(step, last, step), *below, *beyond, *spread(values, last, _LINE // 8, 3)})
    found = curves(
        orders, guests, [*range(values, values + _STEEP), *beyond], [*below, *marks],
        vmid_bits=vmid_bits, entries=entries, seed=seed, progress=progress,
    )  # fmt: skip
    return FlushData(vmid_bits, entries, found, seed=seed)


_POINTS, _BELOW, _LINE, _STEEP = 13, 5, 1024, 3
"""How many numbers of guests are looked at closely, beyond the cliff and below; of how many a line is made; and how
many there are where an approximation is not good enough to lead a line."""


def of_survey(found: Survey) -> FlushData:
    """Return a survey as data for the figure: the laws of all schedules, and what was counted under one of them.

    Args:
        found: what theory and counting have given.
    """
    one = found.setting
    kept = []
    for key, line in found.lines.items():
        exact = tuple((n, PER * float(gap.rate)) for n, gap in line)
        chosen = key == one.schedule
        enough = _enough(found) if chosen else ()
        counted = tuple((n, PER * found.runs[n].rate) for n in enough)
        if exact or counted:
            about, band, order = key in APPROXIMATE, found.band() if chosen else (), SCHEDULES[key]
            said = order.name, order.short, *LOOKS[key]
            kept.append(Curve(*said, exact, counted, words.end(found, key), band, about))
    spoken = words.title(found), plain(words.why(found)), words.label(found)
    return FlushData(one.vmid_bits, one.entries, tuple(kept), one.cpus, one.seed, *spoken)


def _enough(found: Survey) -> list[int]:
    """Return the numbers of guests with so many flushes that their rate can be told from the run, or none at all."""
    one, kept = found.setting, []
    for n, run in found.runs.items():
        known = law(SCHEDULES[one.schedule], n, one.vmid_bits, one.cpus, approximate=True)
        if n <= one.numbers or run.gaps >= theory.MANY or (known and one.entries >= theory.MANY * known.gap.mean):
            kept.append(n)
    return kept


def table(data: FlushData) -> str:
    """Return the counted points beside the exact values, as text: the figure for those who read it."""
    exact = [dict(curve.exact) for curve in data.curves]
    head = "".join(f"{curve.short:>26}" for curve in data.curves)
    lines = [f"{'':>7}{head}", f"{'guests':>7}" + f"{'exact':>14}{'counted':>12}" * len(data.curves)]
    counts = [dict(curve.measured) for curve in data.curves]
    for n in sorted(set().union(*counts)):
        cells = (
            f"{e[n]:14.3f}" + (f"{c[n]:12.3f}" if n in c else f"{'-':>12}") for e, c in zip(exact, counts, strict=True)
        )
        lines.append(f"{n:>7}" + "".join(cells))
    return "\n".join(lines)


def alt_text(data: FlushData) -> str:
    """Return what the figure shows, in sentences."""
    numbers, most = data.numbers, data.most
    rates = {n: ", ".join(f"{dict(c.exact)[n]:.3g} {c.name}" for c in data.curves) for n in (numbers + 1, most)}
    return (
        f"Full TLB flushes per {PER} guest entries against running guests, 1 to {most}, {data.vmid_bits}-bit VMIDs. "
        f"Up to {numbers} guests: exactly 0. At {numbers + 1} guests: {rates[numbers + 1]}. "
        f"At {most} guests: {rates[most]}. {_lines(data).capitalize()}. Marks are counted by the rule of Linux 3.9's "
        "allocator and lie on the lines."
    )


def _lines(data: FlushData) -> str:
    return "lines: exact, dashed: approximate" if any(curve.approximate for curve in data.curves) else "lines: exact"


def _marks(data: FlushData) -> str:
    if any(n > data.numbers for curve in data.curves for n, _ in curve.measured):
        return f"marks: counted in {data.entries} entries each, seed {data.seed}{reach(data.curves)}"
    return f"{data.entries} entries are too few to count flushes"


@style.context("default")
def flush_frequency(
    theme: str = "light",
    size: str = "slide",
    *,
    vmid_bits: int = 8,
    entries: int = 100_000,
    seed: int = 1,
    most: int | None = None,
    orders: Sequence[str] = ORDERS,
) -> Slide:
    """Flush frequency against guests: exactly 0 while VMIDs last, and then the order in which guests run decides.

    Source: lines: the laws of `kvmlab.rollover`; Zipf's is computed exactly for some numbers of guests, and between two
    of them the line follows an approximation, drawn through both. Marks: counted by the rule of update_vttbr
    (arch/arm/kvm/arm.c, Linux 3.9) over a run of `kvmlab.rollover.simulate`; where a run would see fewer than
    five flushes, there is no mark.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        vmid_bits: width of a VMID, 4 to 16 bits.
        entries: guest entries behind each mark, 1 or more.
        seed: of the random orders, 0 or more.
        most: guests up to which to go, from twice to four times as many as a VMID has values; four times if not given.
        orders: 1 to 4 schedules by their names: "round-robin", "uniform", "zipf:1", "runs:8", "switches:8",
            "sticky:0.9".

    Raises:
        InputError: no such theme, size or order, or a number is out of range.
    """
    Look(theme, size)
    if most is None:
        most = 4 << check_int("vmid_bits", vmid_bits, LEAST_BITS, theory.MAX_BITS)
    data = flush_data(vmid_bits, entries=entries, seed=seed, most=most, orders=orders, progress=False)
    return draw(data, theme, size)


@style.context("default")
def draw(data: FlushData, theme: str = "light", size: str = "slide") -> Slide:
    """Draw the figure.

    Args:
        data: from `flush_data` or `of_survey`.
        theme: "light" or "dark".
        size: "slide" or "column".

    Raises:
        InputError: if there is no such theme or size.
    """
    look, numbers = Look(theme, size), data.numbers
    figure = new_figure(
        look,
        title=data.title or f"No flush up to {numbers} guests; beyond, the order decides",
        why=data.why
        or f"With {numbers} VMIDs, up to {numbers} guests keep theirs, so nothing is flushed. With one guest more, in "
        "turn each entry needs a new number; a guest that comes back sooner still has its own.",
        alt=data.alt or alt_text(data),
        source=f"Linux 3.9, {data.vmid_bits}-bit VMIDs, {'1 CPU' if data.cpus == 1 else f'{data.cpus} CPUs'}, after "
        f"the first entry · {_lines(data)} · {_marks(data)}",
        height=2.8,
    )
    axes = rate_axes(figure, look, data.curves)
    _frame(axes, look, data)
    for curve in data.curves:
        draw_curve(axes, look, curve, numbers)
    name_curves(axes, look, data.curves, data.most, ends=look.measure.headed)
    return figure


def _frame(axes: Any, look: Look, data: FlushData) -> None:
    """Draw the numbers at the axes, the exact zero and the cliff."""
    numbers, most, headed = data.numbers, data.most, look.measure.headed
    axes.set_xlim(0, most)
    axes.set_xticks(_ticks(axes, look, numbers, most))
    draw_zero(axes, look, 1, numbers)
    draw_cliff(axes, look, numbers)
    wide = headed or most < 3 * numbers
    small = look.measure.small
    high: dict[str, Any] = {"where": ("data", "axes fraction"), "down": "bottom", "colour": "ink"}
    left = 0.03 * numbers
    said = "each guest\nkeeps its VMID" if wide else "each has\nits VMID"
    first: dict[str, Any] = {"beside": (0, 41), "clear": True} | ({"bold": True} if headed else {"size": small})
    say(axes, look, (left, 0), "exactly 0", **first, **high)
    say(axes, look, (left, 0), said, beside=(0, 7), size=small, **high)


def _ticks(axes: Any, look: Look, numbers: int, most: int) -> list[int]:
    """Return the guests written under the axis: those that leave room for the words at the cliff."""
    values, letter = numbers + 1, 0.66 * look.measure.label
    per_point = most / (axes.bbox.width * 72 / axes.figure.dpi)
    wanted = (values // 2, 2 * values, 3 * values, most) if most > 3 * values else (values // 2, 3 * values // 2, most)
    letters = len(f"{numbers} | {values}")
    return [n for n in wanted if abs(n - values) > per_point * letter * (letters + len(str(n)) + 1) / 2]
