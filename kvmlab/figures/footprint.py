"""Draw how much memory a guest's stage-2 tables take: for a guest that uses all of its memory, and for scattered ones.

Every table is a page, and the root is two. So it is not the memory that counts, but into how many regions of 2 MiB and
of 1 GiB it falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from matplotlib import style
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from kvmlab.engine import Config, Machine, Slot
from kvmlab.engine.errors import InputError, check_int
from kvmlab.engine.kernel.kvm import KVM_USER_MEM_SLOTS
from kvmlab.engine.kernel.pgtable import KVM_PHYS_SHIFT, KVM_PHYS_SIZE, PAGE_SIZE, PMD_SIZE, PUD_SIZE, S2_PGD_ORDER
from kvmlab.figures.charts import AXES, name_axes, say, unit
from kvmlab.figures.style import Look, Slide, new_figure, plot_axes

ROOT = PAGE_SIZE << S2_PGD_ORDER
"""Bytes of the level-1 table."""
LONG = 1 << Config.long_bits
"""Bytes that a host process can address: no memory slot is larger."""
COUNTED = 1024
"""Pages up to which tables are built and counted."""


@dataclass(frozen=True)
class Pattern:
    """Hold which pages a guest touches: one page at the beginning of each step.

    Args:
        name: in words.
        step: bytes from one touched page to the next.
        pages: how many it can touch at most.
        limit: what is used up then.
        token: colour.
        marker: matplotlib's name for the shape of the marks.
    """

    name: str
    step: int
    pages: int
    limit: str
    token: str
    marker: str


PATTERNS = (
    Pattern("a page in each GiB", PUD_SIZE, KVM_PHYS_SIZE // PUD_SIZE, "guest addresses", "zipf", "^"),
    Pattern("a page in each 2 MiB", PMD_SIZE, KVM_PHYS_SIZE // PMD_SIZE, "guest addresses", "uni", "o"),
    Pattern("dense: every page", PAGE_SIZE, LONG // PAGE_SIZE, "host addresses", "rr", "s"),
)


def table_bytes(pages: int, step: int) -> int:
    """Return the bytes of the stage-2 tables of a guest that has touched one page in each step, from IPA 0 on.

    Args:
        pages: pages touched, 0 or more.
        step: bytes from one to the next, 4 KiB to 1 GiB, a power of 2.

    Returns:
        The two pages of the level-1 table; a page for each GiB with something in it, and one for each 2 MiB.

    Raises:
        InputError: an argument is out of range, or the last page lies beyond the 40 bits of an IPA.

    Source: stage2_set_pte, kvm_alloc_stage2_pgd, arch/arm/kvm/mmu.c, Linux 3.9.
    """
    if step not in (allowed := [1 << bit for bit in range(PAGE_SIZE.bit_length() - 1, PUD_SIZE.bit_length())]):
        raise InputError(f"step is {step!r}; allowed: powers of 2 from {allowed[0]} to {allowed[-1]}")
    check_int("pages", pages, 0, KVM_PHYS_SIZE // step)
    regions = (-(-pages * step // region) if step < region else pages for region in (PUD_SIZE, PMD_SIZE))
    return ROOT + PAGE_SIZE * sum(regions)


@cache
def counted(step: int, most: int = COUNTED) -> tuple[tuple[int, int], ...]:
    """Let a guest of the engine touch pages, and count the frames that its tables take.

    Args:
        step: bytes from one touched page to the next.
        most: pages; fewer if memory slots do not reach so far.

    Returns:
        (pages touched, bytes of tables), at 1, 2, 4, ... pages.

    Differs: the slots share one piece of the host's memory, so that they can cover more than a host process has.
    """
    machine = Machine(Config(ncpus=1, recording=False))
    vm = machine.create_vm([Slot(i * LONG, LONG, 0) for i in range(KVM_USER_MEM_SLOTS)])
    frames, cache_ = machine.linux.pages, machine.kvm(vm).vcpus[0].mmu_page_cache
    found = []
    for pages in range(1, min(most, KVM_USER_MEM_SLOTS * LONG // step) + 1):
        machine.access(vm, (pages - 1) * step)
        if pages & (pages - 1) == 0:
            found.append((pages, PAGE_SIZE * (frames.nr_live - cache_.nobjs)))
    return tuple(found)


def amount(number: float) -> str:
    """Write a number of bytes: 8 KiB, 2 GiB.

    Args:
        number: bytes, 0 or more.
    """
    power, unit_ = max(
        (p, u) for p, u in ((0, "B"), (10, "KiB"), (20, "MiB"), (30, "GiB")) if number >= 1 << p or not p
    )
    return f"{number / (1 << power):.1f} {unit_}".replace(".0 ", " ")


def share(pattern: Pattern) -> float:
    """Return the bytes of tables for each byte of memory, at the end of a pattern's line."""
    return table_bytes(pattern.pages, pattern.step) / (pattern.pages * PAGE_SIZE)


def percent(part: float) -> str:
    """Write a part of a whole, below 1 % with one decimal."""
    return f"{100 * part:.{0 if part >= 0.01 else 1}f} %"


@style.context("default")
def footprint(theme: str = "light", size: str = "slide", *, most: int = COUNTED) -> Slide:
    """Table memory against guest size: a dense guest, and guests that use one page in each 2 MiB or in each GiB.

    Source: the lines are counts of regions (`table_bytes`); the marks are tables built in the engine (stage2_set_pte,
    arch/arm/kvm/mmu.c, Linux 3.9), frame by frame, without those that still wait in the memory cache.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        most: pages up to which tables are built and counted, 1 to 16384.

    Raises:
        InputError: no such theme or size, or the number is out of range.

    Differs: memory slots (32, of less than 4 GiB each) would end the scattered guests' lines sooner.
    """
    look = Look(theme, size)
    check_int("most", most, 1, 1 << 14)
    each_gib, _, dense = PATTERNS
    said = "; ".join(
        f"{p.name}: {amount(table_bytes(p.pages, p.step))} for {amount(p.pages * PAGE_SIZE)}, {percent(share(p))}"
        for p in PATTERNS
    )
    figure = new_figure(
        look,
        title="A lone page can cost twice its size in tables",
        why=f"A table is {amount(PAGE_SIZE)}, however little is in it. A dense guest fills its tables: they take "
        f"{percent(share(dense))} of its memory. A lone page in a GiB needs two of its own, and they take "
        f"{percent(share(each_gib))}.",
        alt="Bytes of stage-2 tables against memory that the guest has touched, both axes logarithmic. All lines "
        f"begin at {amount(table_bytes(1, PAGE_SIZE))} for one page; the root alone is {amount(ROOT)}. "
        f"At their ends: {said}.",
        source=f"Linux 3.9, {KVM_PHYS_SHIFT}-bit guest addresses, {Config.long_bits}-bit host · lines: exact · marks: "
        f"tables built and counted, up to {most} pages",
        height=2.9,
    )
    _draw(figure, look, most)
    return figure


def _draw(figure: Slide, look: Look, most: int) -> None:
    k, colour, headed = unit(look), look.colour, look.measure.headed
    axes = plot_axes(figure, look, left=0.95 * k, bottom=0.75 * k, right=(2.85 if headed else 1.8) * k, top=0.5 * k)
    axes.set(xscale="log", yscale="log", xlim=(PAGE_SIZE, LONG), ylim=(PAGE_SIZE, LONG))
    for axis, step in ((axes.xaxis, 4 if headed else 8), (axes.yaxis, 4)):
        axis.set_major_locator(FixedLocator([PAGE_SIZE << bits for bits in range(0, 24, step)]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))
    axes.axhline(ROOT, color=colour["ink"], linewidth=look.line(1.8), linestyle=(0, (5, 3)))
    say(axes, look, (1, ROOT), f"root table: {amount(ROOT)}", where=(AXES, "data"), beside=(12, 0), colour="ink")
    for pattern in PATTERNS:
        hue = colour[pattern.token]
        pages, tables = zip(*line(pattern), strict=True)
        axes.plot([n * PAGE_SIZE for n in pages], tables, color=hue, linewidth=look.line(3.4), label=pattern.name)
        marks: Any = {
            "markersize": look.line(10),
            "markeredgecolor": colour["paper"],
            "markeredgewidth": look.line(1.4),
        }
        built, found = zip(*counted(pattern.step, most), strict=True)
        axes.plot([n * PAGE_SIZE for n in built], found, pattern.marker, color=hue, zorder=4, clip_on=False, **marks)
        _name(axes, look, pattern)
    name_axes(
        axes,
        look,
        across=f"{'memory that the guest has' if headed else 'memory'} touched (log scale)",
        up="its stage-2 tables (log scale)",
    )


def line(pattern: Pattern) -> list[tuple[int, int]]:
    """Return (pages touched, bytes of tables) along a pattern's line; its steps are there while one can see them."""
    corners = {512 * k + corner for k in range(1, 32) for corner in (0, 1)}
    spread = {round(2 ** (i / 8)) for i in range(8 * pattern.pages.bit_length())}
    return [(n, table_bytes(n, pattern.step)) for n in sorted(corners | spread | {pattern.pages}) if n <= pattern.pages]


def _name(axes: Any, look: Look, pattern: Pattern) -> None:
    """Write name and share at the end of a line: right of it, or above it where the line ends early."""
    touched, tables = pattern.pages * PAGE_SIZE, table_bytes(pattern.pages, pattern.step)
    name, said = pattern.name, f"{percent(share(pattern))}: {amount(tables)} for {amount(touched)}"
    if look.measure.headed:
        said += f";\nno more {pattern.limit}"
    else:
        name, said = name.replace("in ", "in\n").replace(": ", ":\n"), percent(share(pattern))
    hue = dict[str, Any](colour=pattern.token, bold=True, down="bottom", clear=True)
    if touched < LONG // 16:
        lift = 8 + look.measure.label / unit(look) * 1.2 * (said.count("\n") + 1.2)
        say(axes, look, (touched, tables), name, beside=(0, lift), across="right", **hue)
        say(axes, look, (touched, tables), said, beside=(0, 8), across="right", down="bottom", clear=True)
    else:
        where = (AXES, "data")
        say(axes, look, (1, tables), name, beside=(12, -6), where=where, **hue)
        say(axes, look, (1, tables), said, beside=(12, -12), where=where, down="top")
