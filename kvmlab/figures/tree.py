"""Draw the stage-2 tables of a guest: from the level-1 table down to the page frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib import style

from kvmlab.engine import Machine
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.figures.canvas import Canvas
from kvmlab.figures.guests import machine_of
from kvmlab.figures.marks import leaf_box, mark_width
from kvmlab.figures.style import Look, Slide, new_figure
from kvmlab.figures.tree_layout import GRIDS, Grid, Placed, fitting
from kvmlab.scenes.moment import SHIFTS, Path
from kvmlab.scenes.pgd import KIND_WORDS, Entry, Node, pgd_graph
from kvmlab.session import Session

NAMES = ("level 1 (pgd)", "level 2", "level 3")
REACH = ("1 GiB", "2 MiB", "4 KiB")


HIGHEST = 700.0
"""Height of the drawing in a column, at most; on a slide it is what there is."""


@style.context("default")
def pgd_tree(theme: str = "light", size: str = "slide", *, run: Session | Machine | None = None, vm: int = 0) -> Slide:
    """Show the stage-2 tables of a small guest, with indices, reference counts and the kinds of its pages.

    Source:
        The tables as the engine has built them: each entry is read from the machine's memory, each count is the
        page_count of the frame (arch/arm/kvm/mmu.c, Linux 3.9). Entries that do not fit are counted, not drawn.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        run: whose tables; if not given, a guest that wrote two pages, read one, and has a device.
        vm: number of the VM.

    Raises:
        InputError: there is no such theme, size or VM, or `run` is no run.
    """
    look, machine = Look(theme, size), machine_of(run)
    machine.kvm(vm)
    nodes = pgd_graph(machine, vm=vm).tables
    grid = GRIDS[size]
    pages = sum(e.last - e.first + 1 for node in nodes for e in node.entries if e.kind != "tab")
    free = 363.0 if look.measure.headed else HIGHEST
    placed, left_out = fitting(nodes, grid, free)
    bottom = max((table.y + table.high for table in placed), default=grid.top)
    source = f"Linux 3.9, VM {vm}: " + (
        "pages written, read and mapped as a device, in the engine" if run is None else "a run of the engine"
    )
    sub = source + (f" · not drawn: {left_out} more entries" if left_out else "")
    figure = new_figure(
        look,
        title=f"{_count(pages, 'page')} of a guest hang{'s' * (pages == 1)} on {_count(len(nodes), 'table')}",
        why="Every entry in use holds a reference to its table, so refs is 1 + entries: when the last entry goes, refs "
        "is 1 again and KVM frees the table. The pgd is two frames; one count each.",
        alt=_alt(nodes, left_out),
        source=source,
        sub=sub,
        height=(bottom + 12) / 72,
    )
    canvas = Canvas(figure, look)
    _heads(canvas, grid)
    for table in placed:
        _table(canvas, grid, table)
    _links(canvas, grid, placed)
    return figure


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _heads(canvas: Canvas, grid: Grid) -> None:
    small = canvas.look.measure.small
    for level, (x, name) in enumerate(zip(grid.lefts, (*NAMES, "page frames"), strict=True)):
        short = name if grid.full else name.removesuffix(" (pgd)")
        hue, first, second = "host" if level == 3 else "kern", 0.8 * small, grid.top - 0.75 * small
        canvas.words(x, first, short, size=small, bold=True, down="baseline", colour=hue)
        if level < 3:
            bits = f"IPA {(40, *SHIFTS)[level] - 1}:{SHIFTS[level]}" if grid.full else f"{REACH[level]} each"
            line = f"{bits}, {REACH[level]} each" if grid.full else bits
            canvas.words(x, second, line, size=small, colour="ink2", down="baseline")
    if grid.full:
        right = canvas.width
        canvas.words(right, first, "at IPA", size=small, bold=True, across="right", down="baseline", colour="guest")


def _table(canvas: Canvas, grid: Grid, table: Placed) -> None:
    node, level = table.node, len(table.node.path)
    x, wide, small = grid.lefts[level], grid.widths[level], canvas.look.measure.small
    pad = grid.row / 4
    canvas.box(x, table.y, wide, table.high, edge="kern", width=1.4)
    refs, middle = f"refs {' · '.join(map(str, node.refs))}", table.y + grid.head / 2
    if grid.full:
        canvas.words(x + pad, middle, f"{node.pa:#x}", size=small, bold=True, mono=True, colour="kern")
        canvas.words(x + wide - pad, middle, refs, size=small, across="right")
    else:
        canvas.words(x + pad, middle, refs, size=small)
    for y, words in table.notes:
        canvas.words(x + pad, y + grid.row / 2, words, size=small, colour="ink3")
    for entry, y in table.rows:
        _row(canvas, grid, entry, (*node.path, entry.first), y)


def _row(canvas: Canvas, grid: Grid, entry: Entry, path: Path, y: float) -> None:
    level = len(path) - 1
    x, wide, small = grid.lefts[level], grid.widths[level], canvas.look.measure.small
    pad, high, middle = grid.row / 4, grid.row - grid.row / 12, y + grid.row / 2 - grid.row / 24
    inset = canvas.look.line(4)
    if entry.kind == "tab":
        canvas.box(x + inset, y, wide - 2 * inset, high, fill="kern-t", edge="kern")
        ink, words = "ink", f"{entry.word:#x}" if grid.full else ""
    else:
        ink = leaf_box(canvas, entry.kind, x + inset, y, wide - 2 * inset, high)
        words = KIND_WORDS[entry.kind]
    canvas.words(x + inset + pad, middle, entry.index, size=small, bold=True, mono=True, colour=ink)
    edge = x + wide - inset - pad - (mark_width(canvas, wide) if entry.kind in ("ro", "dev") else 0)
    if x + inset + pad + canvas.width_of(f"{entry.index} {words}", size=small, mono=True) < edge:
        canvas.words(edge, middle, words, size=small, mono=True, across="right", colour=ink)
    if entry.kind in ("rw", "ro", "dev"):
        _page(canvas, grid, entry, path, y, high)


def _page(canvas: Canvas, grid: Grid, entry: Entry, path: Path, y: float, high: float) -> None:
    x, wide, small = grid.lefts[3], grid.widths[3], canvas.look.measure.small
    from_x, middle = grid.lefts[2] + grid.widths[2], y + high / 2
    canvas.arrow((from_x - canvas.look.line(4), middle), (x, middle), colour="kern", width=1.4)
    ink = leaf_box(canvas, entry.kind, x, y, wide, high)
    pfn = (entry.word & ADDRESS_MASK) >> 12
    frames = _frames(pfn, pfn + entry.last - entry.first, short=False)
    clear = mark_width(canvas, wide) if entry.kind != "rw" else grid.row / 5
    if canvas.width_of(frames, size=small, mono=True) > wide - grid.row / 5 - clear:
        frames = _frames(pfn, pfn + entry.last - entry.first, short=True)
    canvas.words(x + grid.row / 5, middle, frames, size=small, mono=True, colour=ink)
    if grid.full:
        ipa = sum(index << shift for index, shift in zip(path, SHIFTS, strict=True))
        canvas.words(canvas.width, middle, f"{ipa:#x}", size=small, mono=True, across="right", colour="guest")


def _frames(first: int, last: int, *, short: bool) -> str:
    """Return a run of frames; in short, of the last one only the digits that differ."""
    one, other = f"{first:#x}", f"{last:#x}"
    if short and len(one) == len(other):
        same = next((n for n, pair in enumerate(zip(one, other, strict=True)) if len(set(pair)) > 1), 0)
        other = other[same:]
    return one if first == last else f"{one}–{other}"


def _links(canvas: Canvas, grid: Grid, placed: Sequence[Placed]) -> None:
    goals = {table.node.path: table for table in placed}
    for table in placed:
        level, track, below = len(table.node.path), 0, 0.0
        right = grid.lefts[level] + grid.widths[level] - canvas.look.line(4)
        for entry, y in table.rows:
            goal = goals.get((*table.node.path, entry.first)) if entry.kind == "tab" else None
            if goal is None:
                continue
            start, end = y + grid.row / 2, goal.y + grid.head / 2
            track = track + 1 if start < below else 0
            below = max(below, end)
            x = right + canvas.look.line(4) + grid.tracks[track % len(grid.tracks)]
            corners = [(right, start), (x, start), (x, end)]
            for one, other in pairwise(corners):
                canvas.line((one, other), colour="kern", width=1.4)
            canvas.arrow((x, end), (grid.lefts[level + 1], end), colour="kern", width=1.4)


def _alt(nodes: Sequence[Node], left_out: int) -> str:
    """Return the tables in sentences."""
    parts = []
    for node in nodes[:20]:
        name = ("The pgd", "A level 2 table", "A level 3 table")[len(node.path)]
        under = f" under entry {node.path[-1]}" if node.path else ""
        held = "; ".join(
            f"entry {e.index}: " + ("a table" if e.kind == "tab" else f"{e.words.replace('pfn', 'frame')}")
            for e in node.entries[:12]
        )
        parts.append(f"{name}{under} at {node.pa:#x}, refs {' and '.join(map(str, node.refs))}: {held or 'empty'}.")
    more = f" {left_out} more entries are not drawn." if left_out else ""
    return " ".join(parts) + more
