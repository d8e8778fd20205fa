"""Where the tables of a guest stand in the diagram of its tree, and what is left out if they are too many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kvmlab.scenes.fault.layout import ENTRIES
from kvmlab.scenes.moment import Path
from kvmlab.scenes.pgd import Entry, Node


@dataclass(frozen=True)
class Grid:
    """Hold the measures of the drawing, points.

    Args:
        lefts: left edges of the four columns: three levels, and the page frames.
        widths: their widths.
        top: height of the columns' names.
        head: height of a table's name.
        row: height of an entry.
        gap: between tables.
        tracks: where links bend, beside their table.
        full: whether addresses and empty entries are written out.
    """

    lefts: tuple[float, ...]
    widths: tuple[float, ...]
    top: float
    head: float
    row: float
    gap: float
    tracks: tuple[float, ...]
    full: bool


GRIDS = {
    "slide": Grid((1, 239, 435, 633), (208, 168, 172, 146), 48, 28, 27, 13, (20, 10), True),
    "column": Grid((1, 65, 122, 187), (50, 43, 51, 55), 22, 16, 12, 4, (9, 5), False),
}


@dataclass(frozen=True)
class Placed:
    """Hold a table and where it stands, points.

    Args:
        node: the table.
        y: upper edge.
        high: height.
        rows: entries, each with the upper edge of its row.
        notes: words that stand in a row: upper edge and words.
    """

    node: Node
    y: float
    high: float
    rows: tuple[tuple[Entry, float], ...]
    notes: tuple[tuple[float, str], ...]


def _units(nodes: Iterable[Node], most: int) -> list[Path]:
    """Return what is drawn for its own sake: up to `most` entries of each table that lead to no other, empty tables."""
    units: list[Path] = []
    for node in nodes:
        leaves = [(*node.path, entry.first) for entry in node.entries if entry.kind != "tab"]
        units += leaves[:most] if node.entries else [node.path]
    return units


def fitting(nodes: Sequence[Node], grid: Grid, height: float) -> tuple[list[Placed], int]:
    """Return as much of the tables as fits, placed, and how many entries were left out.

    First every table gets shorter; if that is not enough, the last tables are left out.

    Args:
        nodes: the tables, each before those under it.
        grid: measures.
        height: what there is, points.
    """

    def fits(units: Sequence[Path]) -> bool:
        return _bottom(_placed(nodes, units, grid)) <= height

    longest = max((len(node.entries) for node in nodes), default=1)
    most = _largest(longest, lambda most: fits(_units(nodes, most)))
    units = _units(nodes, most)
    units = units[: _largest(len(units), lambda count: fits(units[:count]))]
    return _placed(nodes, units, grid), len(_units(nodes, longest)) - len(units)


def _largest(most: int, good: Callable[[int], bool]) -> int:
    """Return the largest number up to `most` that is good, if smaller ones are too; 1 if none is."""
    low, high = 1, max(most, 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if good(middle) else (low, middle - 1)
    return low


def _bottom(placed: Iterable[Placed]) -> float:
    return max((table.y + table.high for table in placed), default=0)


def _placed(nodes: Iterable[Node], units: Iterable[Path], grid: Grid) -> list[Placed]:
    wanted = {unit[:n] for unit in units for n in range(len(unit) + 1)}
    free = [grid.top, grid.top, grid.top]
    tables = []
    for node in nodes:
        if node.path not in wanted:
            continue
        level = len(node.path)
        if level == 1:
            free[1] = free[2] = max(free[1], free[2])
        y = at = free[level]
        at += grid.head
        rows, notes = [], []
        shown = [entry for entry in node.entries if (*node.path, entry.first) in wanted]
        before = -1
        for entry in shown:
            if grid.full and level < 2 and entry.first > before + 1:
                notes.append((at, _span(before + 1, entry.first - 1) + " empty"))
                at += grid.row
            rows.append((entry, at))
            at += grid.row
            before = entry.last
        if left := len(node.entries) - len(shown):
            notes.append((at, f"{left} more in use" if grid.full else f"{left} more"))
            at += grid.row
        elif (grid.full and level < 2 and before < ENTRIES[level] - 1) or not shown:
            notes.append((at, _span(before + 1, ENTRIES[level] - 1) + " empty" if grid.full else "empty"))
            at += grid.row
        tables.append(Placed(node, y, at + 3 - y, tuple(rows), tuple(notes)))
        free[level] = at + 3 + grid.gap
    return tables


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"
