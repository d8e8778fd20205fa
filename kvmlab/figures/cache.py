"""Draw how a vCPU's memory cache empties and fills while one fault follows the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from matplotlib import style
from matplotlib.ticker import MaxNLocator

from kvmlab.engine import Config, Machine, Slot
from kvmlab.engine.errors import check_int
from kvmlab.engine.kernel.kvm import KVM_USER_MEM_SLOTS
from kvmlab.engine.kernel.pgtable import PAGE_SIZE, PMD_SIZE, PUD_SIZE
from kvmlab.figures.charts import AXES, name_axes, say, unit
from kvmlab.figures.style import Look, Slide, new_figure, plot_axes

MOST_GIB, MOST_OTHERS = KVM_USER_MEM_SLOTS, 200


@dataclass(frozen=True)
class Refill:
    """Hold one top-up that found too few pages.

    Args:
        fault: which fault it was for, from 1.
        before: pages left in the cache.
        taken: pages allocated for it.
    """

    fault: int
    before: int
    taken: int


@dataclass(frozen=True)
class Storm:
    """Hold what happened to the cache.

    Args:
        phases: faults in each of the three phases.
        steps: (place, pages in the cache from there on); fault k lies between k - 1 and k.
        refills: when it was filled.
        tables: tables that each fault took, in order.
        least: KVM fills the cache when it holds fewer pages than this.
        most: and then up to this.
    """

    phases: tuple[int, int, int]
    steps: tuple[tuple[float, int], ...]
    refills: tuple[Refill, ...]
    tables: tuple[int, ...]
    least: int
    most: int


@cache
def storm(gib: int = 24, mib: int = 40, pages: int = 14) -> Storm:
    """Let one vCPU of the engine fault again and again, and read from the events what its cache held.

    Args:
        gib: faults that each touch a GiB of guest addresses for the first time, 1 to 32.
        mib: faults after them that each touch new 2 MiB of the last of these GiB, 0 to 200.
        pages: faults after them that each touch a new page of the last 2 MiB, 0 to 200.

    Raises:
        InputError: an argument is out of range.
    """
    check_int("gib", gib, 1, MOST_GIB)
    check_int("mib", mib, 0, MOST_OTHERS)
    check_int("pages", pages, 0, MOST_OTHERS)
    machine = Machine(Config(ncpus=1))
    touched = [i * PUD_SIZE for i in range(gib)]
    touched += [touched[-1] + i * PMD_SIZE for i in range(1, mib + 1)]
    touched += [touched[-1] + i * PAGE_SIZE for i in range(1, pages + 1)]
    sizes = [PAGE_SIZE] * (gib - 1) + [touched[-1] + PAGE_SIZE - touched[gib - 1]]
    vm = machine.create_vm([Slot(i * PUD_SIZE, size, i * PAGE_SIZE) for i, size in enumerate(sizes)])
    steps: list[tuple[float, int]] = [(0.0, 0)]
    refills, tables = [], []
    bounds: dict[str, int] = {}
    for number, ipa in enumerate(touched):
        first = len(machine.stream)
        machine.access(vm, ipa, "write")
        seen = [(name, args) for name, args in machine.stream.marks(first) if name.startswith("cache/")]
        for place, (name, args) in enumerate(seen, 1):
            steps.append((number + place / 4, args["nobjs"]))
            if name == "cache/topped_up":
                refills.append(Refill(number + 1, args["nobjs"] - args["taken"], args["taken"]))
        bounds = seen[0][1]
        tables.append(sum(name == "cache/taken" for name, _ in seen))
    steps.append((float(len(touched)), steps[-1][1]))
    return Storm((gib, mib, pages), tuple(steps), tuple(refills), tuple(tables), bounds["min"], bounds["max"])


def _phases(data: Storm, look: Look) -> list[tuple[int, int, str, str]]:
    """Return first and last fault of each phase that has any, what its faults touch, and what each takes."""
    if look.measure.headed:
        names, takes = (
            ("each in a new GiB", "each in new 2 MiB", "on new pages"),
            ("takes 2 tables", "takes 1 table", "no table"),
        )
    else:
        names, takes = ("new GiB", "new 2 MiB", "pages"), ("2 tables", "1 table", "none")
    ends = [sum(data.phases[: i + 1]) for i in range(3)]
    rows = zip(ends, data.phases, names, takes, strict=True)
    return [(end - count, end, name, take) for end, count, name, take in rows if count]


@style.context("default")
def cache_storm(theme: str = "light", size: str = "slide", *, gib: int = 24, mib: int = 40, pages: int = 14) -> Slide:
    """A vCPU's memory cache through a storm of faults: when it is filled, and what each fault takes out of it.

    Source: a run of the engine: one vCPU touches memory it never touched before, first in a new GiB each time, then in
    new 2 MiB, then page by page. The counts are the events of `mmu_topup_memory_cache` and `mmu_memory_cache_alloc`
    (arch/arm/kvm/mmu.c, Linux 3.9).

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        gib: faults in a new GiB, 1 to 32.
        mib: faults after them in new 2 MiB, 0 to 200.
        pages: faults after them on a new page of the same 2 MiB, 0 to 200.

    Raises:
        InputError: no such theme or size, or a number is out of range.
    """
    look, data = Look(theme, size), storm(gib, mib, pages)
    faults = sum(data.phases)
    filled = ", ".join(f"at fault {r.fault} ({r.before} left, {r.taken} allocated)" for r in data.refills)
    figure = new_figure(
        look,
        title="The cache is filled before the lock, never under it",
        why=f"Under mmu_lock the kernel may not sleep, so tables come from a cache. A fault can need {data.least} of "
        f"them: with fewer left, the cache is first filled to {data.most}; else nothing is allocated.",
        alt=f"Pages in mmu_page_cache after each step of {faults} faults, as a falling staircase between 0 and "
        f"{data.most}. {gib} faults in a new GiB take 2 each, {mib} in new 2 MiB take 1 each, {pages} on a new page "
        f"take none. It is filled {filled}.",
        source=f"Linux 3.9, one vCPU, {faults} fault{'s' * (faults > 1)}: {gib} in a new GiB, {mib} in new 2 MiB, "
        f"{pages} on a new page · counts from the events of a run",
        height=2.5,
    )
    _draw(figure, look, data)
    return figure


def _draw(figure: Slide, look: Look, data: Storm) -> None:
    k, colour, headed = unit(look), look.colour, look.measure.headed
    axes = plot_axes(figure, look, left=0.55 * k, bottom=0.72 * k, right=1.95 * k, top=0.98 * k)
    faults = sum(data.phases)
    axes.set_xlim(0, faults)
    axes.set_ylim(0, 1.04 * data.most)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_yticks(range(0, data.most + 1, 10))
    for number, (first, last, name, take) in enumerate(_phases(data, look)):
        if number % 2 == 0:
            axes.axvspan(first, last, color=colour["band"], zorder=0, linewidth=0)
        middle, high = ((first + last) / 2, 1.0), ("data", AXES)
        say(axes, look, middle, name, beside=(0, 33), where=high, across="center", down="baseline")
        say(
            axes,
            look,
            middle,
            take,
            beside=(0, 8),
            where=high,
            across="center",
            down="bottom",
            colour="kern",
            bold=True,
        )
    x, y = zip(*data.steps, strict=True)
    axes.plot(x, y, color=colour["kern"], linewidth=look.line(3), drawstyle="steps-post", zorder=3)
    axes.axhline(data.least, color=colour["ink"], linewidth=look.line(1.8), linestyle=(0, (5, 3)), zorder=2)
    free = 0.0
    for refill in data.refills:
        at, top = refill.fault - 0.75, refill.before + refill.taken
        axes.plot(
            [at, at], [refill.before, top - 2], color=colour["now"], linewidth=look.line(4), zorder=4, clip_on=False
        )
        axes.plot(at, top - 0.9, "^", color=colour["now"], markersize=look.line(15), zorder=4, clip_on=False)
        said = f"filled: +{refill.taken}" if headed and refill is data.refills[0] else f"+{refill.taken}"
        wide = 0.8 * look.measure.label * len(said) / 72 / figure.get_figwidth() / axes.get_position().width * faults
        if at > free:
            say(axes, look, (at, 0.22 * top), said, beside=(9, 0), colour="now", bold=True)
            free = at + wide
    name_axes(axes, look, across="faults, one after the other", up="")
    say(
        axes,
        look,
        (0, 1),
        "pages in the cache" + ", mmu_page_cache" * headed,
        beside=(-36, 56),
        where=AXES,
        down="bottom",
    )
    edge: tuple[Any, str] = (AXES, "data")
    say(axes, look, (1, data.most), f"{data.most}: full", beside=(10, 0), where=edge, colour="ink", bold=True)
    say(
        axes,
        look,
        (1, data.least),
        f"fewer than {data.least}:\nfill it first",
        beside=(10, 8),
        where=edge,
        colour="ink",
    )
