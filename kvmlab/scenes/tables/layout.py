"""The tables panel's layout: which tables and rows of a run are drawn, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.scenes.moment import leaf_kind
from kvmlab.scenes.tables.forest import Forest, Spot
from kvmlab.scenes.tables.place import BETWEEN, Node, place
from kvmlab.scenes.tables.rows import Row, rows_of

COLUMN_X, COLUMN_WIDTH = (8, 300, 556), (236, 200, 236)
NARROW_X, NARROW_WIDTH = (0, 289, 544), (260, 226, 256)
"""The columns of a narrow panel, which need room for larger letters."""
ROW, PITCH, HEAD, FOOT = 20, 22, 37, 4
ROOM, ROOM_OF_ALL, LEAST_ROOM = 270, 400, 120
"""How high a column may get for the only guest, for several together, and for each of many; what does not fit is folded
until somebody asks for it."""


def part(kind: str, spot: Spot) -> str:
    """Return the id of a part: "t" table, "h" its head, "n" its page_count, "r" row, "l" link.

    >>> part("r", (0, (2, 0, 511)))
    'r0.2.0.511'
    """
    vm, path = spot
    return kind + ".".join(map(str, (vm, *path)))


def row_part(spot: Spot, row: Row) -> str:
    """Return the id of a row of a table; a span has its last index, too."""
    me = part("r", (spot[0], (*spot[1], row.first)))
    return f"{me}-{row.last}" if row.inside else me


@dataclass
class View:
    """What somebody chose to look at.

    Attributes:
        open: rows and tables that were unfolded (True) or folded (False), by their id.
        picked: the entry that is decoded; None: the one last written.
    """

    open: dict[str, bool] = field(default_factory=dict)
    picked: Spot | None = None


@dataclass(frozen=True)
class Line:
    """A row at its place.

    Args:
        id: the row's id.
        row: which entries.
        y: upper edge, from that of the table.
        depth: how many unfolded rows it lies in.
        open: whether it is unfolded itself.
    """

    id: str
    row: Row
    y: float
    depth: int
    open: bool


@dataclass(frozen=True)
class Card:
    """A table at its place: its corner, size and lines."""

    spot: Spot
    x: float
    y: float
    width: float
    height: float
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Layout:
    """Everything that is drawn of a run.

    Args:
        cards: the tables.
        height: what they need.
    """

    cards: dict[Spot, Card]
    height: float

    def line_of(self, spot: Spot) -> Line | None:
        """Return the innermost row that shows an entry; None if its table is not drawn."""
        return next((line for line in reversed(list(self.lines_of(spot)))), None)

    def lines_of(self, spot: Spot) -> Iterator[Line]:
        """Yield the rows that an entry lies in, the outermost first."""
        vm, path = spot
        card = self.cards.get((vm, path[:-1]))
        for line in card.lines if card else ():
            if line.row.first <= path[-1] <= line.row.last:
                yield line

    def seen(self, spot: Spot) -> str | None:
        """Return the id of the row in which an entry is to be seen: its own, or the one it is folded in."""
        vm, path = spot
        while path:
            if line := self.line_of((vm, path)):
                return line.id
            path = path[:-1]
        return None


def lay_out(touched: Mapping[Spot, Collection[int]], end: Forest, view: View) -> Layout:
    """Choose what is drawn, and place it.

    Args:
        touched: every table of the run, those above before those below, with its entries that were ever used.
        end: the tables at the end: entries that are alike then are one row.
        view: what is unfolded.
    """
    lines: dict[Spot, tuple[Line, ...]] = {}
    guests = sum(not path for _, path in touched)
    room = ROOM if guests < 2 else max(LEAST_ROOM, ROOM_OF_ALL // guests)
    full: Counter[tuple[int, int]] = Counter()  # by guest and level
    for spot, indexes in touched.items():
        rows = rows_of(indexes, partial(_alike, end, spot))
        level, height = len(spot[1]), round(_height(len(rows)))  # what somebody unfolds does not push others out
        fits = full[spot[0], level] + height <= room
        if level == 0 or (_linked(lines, spot) and view.open.get(part("h", spot), fits)):
            lines[spot] = tuple(_lines(spot, rows, view))
            full[spot[0], level] += height + BETWEEN
    nodes = tuple(
        Node(part("t", spot), len(spot[1]), _height(len(here)), part("t", (spot[0], spot[1][:-1])) if spot[1] else "")
        for spot, here in sorted(lines.items())
    )
    tops = place(nodes)
    cards = {
        spot: Card(
            spot, COLUMN_X[len(spot[1])], tops[part("t", spot)], COLUMN_WIDTH[len(spot[1])], _height(len(here)), here
        )
        for spot, here in sorted(lines.items())
    }
    return Layout(cards, max((card.y + card.height for card in cards.values()), default=0))


def _alike(end: Forest, spot: Spot, index: int) -> object:
    """Return what the entries of a run have in common: the kind of page, and how far page and entry are apart."""
    if len(spot[1]) < 2:
        return index  # links are never alike
    word = end.word((spot[0], (*spot[1], index)))
    kind = leaf_kind(word)
    return kind if kind == "inv" else (kind, ((word & ADDRESS_MASK) >> 12) - index)


def _lines(spot: Spot, rows: tuple[Row, ...], view: View) -> Iterator[Line]:
    todo = [(row, 0) for row in reversed(rows)]
    y = float(HEAD)
    while todo:
        row, depth = todo.pop()
        me = row_part(spot, row)
        open_ = bool(row.inside) and view.open.get(me, False)
        yield Line(me, row, y, depth, open_)
        y += PITCH
        if open_:
            todo += [(inner, depth + 1) for inner in reversed(row.inside)]


def _height(rows: int) -> float:
    return HEAD + PITCH * max(1, rows) + FOOT - (PITCH - ROW)


def _linked(lines: Mapping[Spot, tuple[Line, ...]], spot: Spot) -> bool:
    """Return whether the entry above a table has a row of its own that is drawn."""
    vm, path = spot
    above = lines.get((vm, path[:-1]), ())
    return any(line.row.first == path[-1] and not line.row.inside for line in above)
