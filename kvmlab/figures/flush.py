"""Draw how often VMIDs run out: full TLB flushes per 1,000 guest entries against the number of running guests."""

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from kvmlab.figures.style import Slide, tokens
from kvmlab.rollover import theory
from kvmlab.rollover.schedules import SCHEDULES, Schedule
from kvmlab.rollover.simulate import simulate
from kvmlab.rollover.survey import APPROXIMATE, PER, Survey
from kvmlab.scenes.flush import words
from kvmlab.scenes.flush.picture import apart
from kvmlab.scenes.scene import plain

LEFT, BOTTOM, PLOT_WIDTH, PLOT_HEIGHT = 0.09, 0.19, 0.6, 0.53
LINE = 116
"""Letters in a line of the sentence under the title."""
NAME_HEIGHT = 64
"""Room for a name and the line under it, px."""
MARKS_BEFORE, MARKS_AFTER = 5, 8

Points = tuple[tuple[int, float], ...]
Style = dict[str, Any]
Law = Callable[[int, int], theory.Gap]


@dataclass(frozen=True)
class Curve:
    """Hold one order in which guests run; every point is (running guests, full flushes per 1,000 entries).

    Args:
        name: what the order is called in the figure.
        token: colour token of the line.
        marker: matplotlib's name for the shape of the marks, the curve's second sign.
        size: of the marks, px; where curves meet, the smaller mark lies on the larger.
        exact: the law, from the first number of guests on; without a law, empty.
        measured: what was counted.
        end: what the end of the line says.
        band: guests, lowest and highest rate between which 95 % of counted rates lie.
        approximate: the law is one.
    """

    name: str
    token: str
    marker: str
    size: int
    exact: Points
    measured: Points
    end: str
    band: tuple[tuple[int, float, float], ...] = ()
    approximate: bool = False


@dataclass(frozen=True)
class FlushData:
    """Hold all that the figure shows; the flush of the very first entry after boot is left out.

    Args:
        vmid_bits: width of a VMID.
        entries: guest entries behind each measured point.
        curves: one for each order.
        cpus: number of CPUs.
        title, why, alt: the words over the figure, and those for who cannot see it; general ones if not given.
    """

    vmid_bits: int
    entries: int
    curves: tuple[Curve, ...]
    cpus: int = 1
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


def flush_data(vmid_bits: int = 8, *, entries: int = 100_000, seed: int = 1, progress: bool = True) -> FlushData:
    """Measure the flush rate in the engine's allocator, and compute the exact one.

    Args:
        vmid_bits: width of a VMID; the guests go from 1 to 2**(vmid_bits + 1).
        entries: guest entries behind each measured point, 1 or more.
        seed: of the random order.
        progress: show a progress bar.

    Raises:
        InputError: if an argument is out of range.
    """
    numbers = theory.usable(vmid_bits)
    most = 2 * (numbers + 1)
    guests = [*_spread(1, numbers, MARKS_BEFORE, 1), *_spread(numbers + 1, most, MARKS_AFTER, 2)]

    def curve(name: str, token: str, marker: str, size: int, order: Schedule, law: Law) -> Curve:
        bar = tqdm(guests, desc="guests", leave=False, disable=not progress)
        runs = {n: simulate(order, n, entries, vmid_bits=vmid_bits, seed=seed) for n in bar}
        exact = tuple((n, PER * float(law(n, vmid_bits).rate)) for n in range(1, most + 1))
        gap = law(most, vmid_bits)
        end = f"{most} guests: one in {gap.mean:.0f}" if gap.variance else f"one entry in {gap.mean:.0f}, always"
        return Curve(name, token, marker, size, exact, tuple((n, PER * run.rate) for n, run in runs.items()), end)

    return FlushData(
        vmid_bits,
        entries,
        (
            curve("in turn (round robin)", "rr", "s", 16, SCHEDULES["round-robin"], theory.round_robin),
            curve("in random order", "uni", "o", 12, SCHEDULES["uniform"], theory.uniform),
        ),
    )


_LOOKS = {
    "round-robin": ("rr", "s", 16),
    "uniform": ("uni", "o", 12),
    "runs": ("host", "D", 12),
    "zipf": ("zipf", "^", 14),
}
"""Each schedule's colour, and the shape and size of its marks."""


def of_survey(found: Survey) -> FlushData:
    """Return a survey as data for the figure: the laws of all schedules, and what was counted under one of them.

    Args:
        found: what theory and counting have given.
    """
    one = found.setting
    curves = []
    for key, line in found.lines.items():
        token, marker, size = _LOOKS[key]
        exact = tuple((n, PER * float(gap.rate)) for n, gap in line)
        chosen = key == one.schedule
        counted = tuple((n, PER * run.rate) for n, run in found.runs.items()) if chosen else ()
        if exact or counted:
            about, band = key in APPROXIMATE, found.band() if chosen else ()
            end = words.end(found, key)
            curves.append(Curve(SCHEDULES[key].name, token, marker, size, exact, counted, end, band, about))
    said = words.title(found), plain(words.why(found)), words.label(found)
    return FlushData(one.vmid_bits, one.entries, tuple(curves), one.cpus, *said)


def table(data: FlushData) -> str:
    """Return the measured points beside the exact values, as text: the figure for those who read it."""
    exact = [dict(curve.exact) for curve in data.curves]
    head = "".join(f"{curve.name:>26}" for curve in data.curves)
    lines = [f"{'':>7}{head}", f"{'guests':>7}" + f"{'exact':>14}{'measured':>12}" * len(data.curves)]
    for n, _ in data.curves[0].measured:
        cells = (f"{e[n]:14.3f}{dict(c.measured)[n]:12.3f}" for e, c in zip(exact, data.curves, strict=True))
        lines.append(f"{n:>7}" + "".join(cells))
    return "\n".join(lines)


def alt_text(data: FlushData) -> str:
    """Return what the figure shows, in sentences."""
    numbers, most = data.numbers, data.most
    ends = ", ".join(f"{curve.exact[-1][1]:.2f} {curve.name}" for curve in data.curves)
    starts = ", ".join(f"{curve.exact[numbers][1]:.2f} {curve.name}" for curve in data.curves)
    return (
        f"Full TLB flushes per {PER} guest entries against running guests, 1 to {most}, {data.vmid_bits}-bit VMIDs. "
        f"Up to {numbers} guests: exactly 0. At {numbers + 1} guests: {starts}. At {most} guests: {ends}. "
        f"Lines are exact, marks are counted in the model of Linux 3.9's allocator and lie on the lines."
    )


def draw(data: FlushData, theme: str = "light") -> Figure:
    """Draw the figure.

    Args:
        data: from `flush_data`.
        theme: "light" or "dark".

    Returns:
        A figure of 1280 x 720 px, with its text alternative in `kvmlab_alt`.

    Raises:
        InputError: if there is no such theme.
    """
    colour = tokens(theme)
    figure = Slide(figsize=(12.8, 7.2), dpi=100, facecolor=colour["paper"])
    figure.kvmlab_alt = data.alt or alt_text(data)
    numbers = data.numbers
    title = data.title or f"No flush up to {numbers}; from {numbers + 1} on the order decides"
    why = data.why or (
        "In turn is a cliff, in random order a slope. Not shown: what a flush costs; no published figure was found."
    )
    lines = "lines: exact, dashed: approximate" if any(curve.approximate for curve in data.curves) else "lines: exact"
    source = f"Linux 3.9, {data.vmid_bits}-bit VMIDs, CPUs: {data.cpus}, after the first entry · {lines} · "
    marks = f"marks: {data.entries} entries each, through the rule of the kernel's allocator"
    figure.text(24 / 1280, 0.9, title, color=colour["ink"], fontsize=px(33), fontweight="bold", va="center")
    figure.text(24 / 1280, 0.835, fill(why, LINE), color=colour["ink2"], fontsize=px(19), va="center")
    figure.text(24 / 1280, 0.05, source + marks, color=colour["ink3"], fontsize=px(13.5), va="center")

    axes = figure.add_axes((LEFT, BOTTOM, PLOT_WIDTH, PLOT_HEIGHT), facecolor="none")
    _frame(axes, data, colour)
    axes.plot([1, numbers], [0, 0], color=colour["ink"], linewidth=px(9), solid_capstyle="butt", clip_on=False)
    highest, pixels = axes.get_ylim()[1], PLOT_HEIGHT * figure.bbox.height
    ends = {curve.name: (curve.exact or curve.measured)[-1][1] for curve in data.curves}
    places = apart(ends, NAME_HEIGHT * highest / pixels)
    for curve in data.curves:
        _curve(axes, curve, numbers, colour)
        _name(axes, curve, (data.most, places[curve.name]), colour)
    return figure


def _frame(axes: Axes, data: FlushData, colour: dict[str, str]) -> None:
    """Draw grid, ticks, the exact zero and the cliff."""
    numbers, most = data.numbers, data.most
    highest = max(rate for curve in data.curves for _, rate in curve.exact + curve.measured)
    axes.set_xlim(0, most)
    axes.set_ylim(0, 1.08 * highest)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.locator_params(axis="y", nbins=5)
    axes.grid(axis="y", color=colour["line"], linewidth=px(1.2))
    axes.set_axisbelow(True)
    axes.set_xticks([1, (numbers + 1) // 2, 3 * (numbers + 1) // 2, most])
    axes.tick_params(axis="x", color=colour["line2"], labelcolor=colour["ink2"], labelsize=px(21), length=px(7))
    axes.tick_params(axis="y", length=0, labelcolor=colour["ink2"], labelsize=px(21), pad=px(12))
    small: Style = {"color": colour["ink2"], "fontsize": px(21)}
    bold: Style = {"color": colour["ink"], "fontsize": px(21), "fontweight": "bold", "ha": "center"}
    over = axes.get_xaxis_transform()
    axes.text(0, 1.04, f"full flushes per {PER} guest entries", transform=axes.transAxes, va="bottom", **small)
    axes.text(0.875, -0.115, "running guests", transform=axes.transAxes, ha="center", va="top", **small)
    cliff = numbers + 0.5
    axes.plot([cliff, cliff], [-0.03, 1.03], ":", transform=over, color=colour["ink"], linewidth=px(2), clip_on=False)
    axes.text(cliff, -0.032, f"{numbers} | {numbers + 1}", transform=over, va="top", **bold)
    axes.text(cliff, -0.115, "VMIDs run out", transform=over, va="top", **bold)
    note: Style = {"color": colour["ink"], "va": "bottom", "linespacing": 1.15}
    axes.text(0.03 * numbers, 0.155, "exactly 0", transform=over, fontsize=px(24), fontweight="bold", **note)
    axes.text(0.03 * numbers, 0.035, "each guest\nkeeps its VMID", transform=over, fontsize=px(20), **note)


def _curve(axes: Axes, curve: Curve, numbers: int, colour: dict[str, str]) -> None:
    """Draw the law from the cliff on, the band round it, and the measured marks."""
    hue = colour[curve.token]
    if curve.band:
        guests, low, high = zip(*curve.band, strict=True)
        axes.fill_between(guests, low, high, color=hue, alpha=0.22, linewidth=0)
    beyond = [point for point in curve.exact if point[0] > numbers]
    if beyond:
        style: Style = {"linestyle": (0, (4, 2)) if curve.approximate else "solid", "linewidth": px(4)}
        axes.plot(*zip(*beyond, strict=True), color=hue, solid_capstyle="butt", label=curve.name, **style)
    marks: Style = {
        "marker": curve.marker,
        "markersize": px(curve.size),
        "markeredgewidth": px(1.6),
        "markeredgecolor": colour["paper"],
    }
    shown = curve.measured or curve.exact[:: max(1, len(curve.exact) - 1)]
    axes.plot(*zip(*shown, strict=True), linestyle="none", color=hue, clip_on=False, zorder=3, **marks)


def _name(axes: Axes, curve: Curve, place: tuple[float, float], colour: dict[str, str]) -> None:
    """Write the name of a curve, and where it ends, beside its end."""
    beside: Style = {"textcoords": "offset points", "annotation_clip": False}
    bold: Style = {"color": colour[curve.token], "fontsize": px(24), "fontweight": "bold", "va": "bottom"}
    axes.annotate(curve.name, place, (px(22), px(3)), **beside, **bold)
    axes.annotate(curve.end, place, (px(22), px(-3)), **beside, color=colour["ink2"], fontsize=px(20), va="top")


def px(size: float) -> float:
    """Return a length of so many pixels in points, the unit of matplotlib's type and lines."""
    return size * 72 / 100


def _spread(first: int, last: int, count: int, power: int) -> list[int]:
    """Return `count` whole numbers from first to last; with power 2 they crowd at the first."""
    steps = (first + (last - first) * (k / (count - 1)) ** power for k in range(count))
    return sorted({round(step) for step in steps})
