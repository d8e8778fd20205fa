"""Where the tables of a run stand: columns by level, under the address bits that index them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kvmlab.scenes.moment import Path

TABLE_X, TABLE_WIDTH = (8, 216, 408), (160, 144, 144)
ENTRIES = (1024, 512, 512)
ROW, PITCH, HEAD, GAP, FOOT, BETWEEN = 20, 22, 22, 17, 5, 5
TRACKS = (24, 16, 8)


@dataclass(frozen=True)
class Row:
    """An entry that the run will show.

    Args:
        path: which entry.
        y: top edge.
    """

    path: Path
    y: float


@dataclass(frozen=True)
class Table:
    """A table that will exist at some time of the run.

    Args:
        path: the entry it hangs under; () for the level-1 table.
        x: left edge.
        y: top edge.
        width: of the box.
        height: of the box.
        rows: its entries, top to bottom.
        gaps: runs of entries that stay empty all along: baseline and words.
    """

    path: Path
    x: float
    y: float
    width: float
    height: float
    rows: tuple[Row, ...]
    gaps: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Link:
    """The line from an entry to the table (or the host page) it leads to, by its corner points."""

    path: Path
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Tree:
    """All tables and links, and the height they need."""

    tables: tuple[Table, ...]
    links: tuple[Link, ...]
    height: float


def lay_out(
    rows: Iterable[Path], tables: Iterable[Path], top: float, page_x: float, more: Mapping[Path, int] | None = None
) -> Tree:
    """Place the tables of a run.

    Args:
        rows: every entry that is touched during the run; entries above them are added.
        tables: entries under which a table is linked at some time.
        top: upper edge of the first table.
        page_x: left edge of the host pages, which stand beside their level-3 rows.
        more: for tables that are too full, how many touched entries are left out.

    Returns:
        The tree. The same rows and tables give the same tree, in whatever order they come.
    """
    wanted = {path[:n] for path in rows for n in range(1, len(path) + 1)}
    exists = sorted({(), *tables} | {path[:-1] for path in wanted})
    below: dict[Path, list[Path]] = {}
    for path in wanted:
        below.setdefault(path[:-1], []).append(path)
    placed: dict[Path, Table] = {}
    free = [top, top, top]
    for path in exists:
        level = len(path)
        if level == 1:
            free[1] = free[2] = max(free[1], free[2])
        table = _table(path, sorted(below.get(path, ())), free[level], (more or {}).get(path, 0))
        placed[path] = table
        free[level] = table.y + table.height + BETWEEN
    links = [link for table in placed.values() for link in _links(table, placed, page_x)]
    return Tree(tuple(placed.values()), tuple(links), max(free) - BETWEEN - top)


def _table(path: Path, rows: list[Path], y: float, more: int) -> Table:
    level = len(path)
    placed, gaps, at, entry = [], [], y + HEAD, 0
    for row in [*rows, None]:
        stop = row[-1] if row else ENTRIES[level]
        if level < 2 and entry < stop:
            words = f"{entry} empty" if entry == stop - 1 else f"{entry}–{stop - 1} empty"
            gaps.append((at + 11.6, words))
            at += GAP
        if row:
            placed.append(Row(row, at))
            at, entry = at + PITCH, stop + 1
    if more:
        gaps.append((at + 11.6, "more in use, not drawn"))
        at += GAP
    bottom = at - (PITCH - ROW if placed and not (gaps and gaps[-1][0] > placed[-1].y) else 2) + FOOT
    return Table(path, TABLE_X[level], y, TABLE_WIDTH[level], bottom - y, tuple(placed), tuple(gaps))


def _links(table: Table, placed: dict[Path, Table], page_x: float) -> Iterable[Link]:
    right, track, below = table.x + table.width - 3, 0, 0.0
    for row in table.rows:
        middle = row.y + ROW / 2
        if len(row.path) == 3:
            yield Link(row.path, ((right, middle), (page_x, middle)))
        elif target := placed.get(row.path):
            goal = target.y + 11
            track = track + 1 if middle < below else 0
            below = max(below, goal)
            x = right + TRACKS[track % len(TRACKS)]
            yield Link(row.path, ((right, middle), (x, middle), (x, goal), (target.x, goal)))
