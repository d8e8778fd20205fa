"""The line of guest pages: which pages a run is about, and where each stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kvmlab.engine.hardware.walker import IPA_MAX
from kvmlab.scenes.moment import Event

ROWS, WIDTH, CELL, GAP, LABEL = 3, 792, 70, 10, 94
"""Rows of cells, and in units of the drawing: a row, a cell, what parts two runs of pages, a run's address."""
FIRST_PAGES, LAST_PAGE = 5, IPA_MAX >> 12
"""Pages of a range that are drawn from its beginning; a longer range shows its last one, too."""


@dataclass(frozen=True)
class Cell:
    """A page's place.

    Args:
        gfn: the page.
        row: its row, from 0.
        x: its left edge.
        leads: whether it is the first of a run of neighbours, and so carries its address.
    """

    gfn: int
    row: int
    x: float
    leads: bool


@dataclass
class Line:
    """The pages of a run, in order of address; more than there is room for are counted.

    Attributes:
        pages: those drawn.
        left_out: those not drawn.
    """

    pages: list[int] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)

    def find_room(self, events: Iterable[Event], vm: int) -> None:
        """Take in the pages that events are about; a command's pages come all together, or are left out one by one."""
        for event in events:
            if event.args.get("vm", vm) != vm and event.kind == "command":
                continue
            for gfn in _pages_of(event):
                if gfn not in self.pages and gfn not in self.left_out:
                    wider = sorted([*self.pages, gfn])
                    if lay_out(wider)[-1].row < ROWS:
                        self.pages = wider
                    else:
                        self.left_out.add(gfn)

    def cells(self) -> list[Cell]:
        """Return where each page stands."""
        return lay_out(self.pages)


def lay_out(pages: Iterable[int]) -> list[Cell]:
    """Return cells for pages in order of address: neighbours touch, and a run has room for its address.

    >>> [(cell.gfn, cell.row, cell.x, cell.leads) for cell in lay_out([4, 5, 9])]
    [(4, 0, 4, True), (5, 0, 74, False), (9, 0, 154, True)]
    """
    cells: list[Cell] = []
    row, x, begun = 0, 4.0, 4.0
    before = -2
    for gfn in pages:
        leads = gfn != before + 1
        if leads and cells:
            x = max(x + GAP, begun + LABEL + GAP)
        if x + (LABEL if leads else CELL) > WIDTH + 4:
            row, x, leads = row + 1, 4.0, True
        begun = x if leads else begun
        cells.append(Cell(gfn, row, int(x), leads))
        x += CELL
        before = gfn
    return cells


def _pages_of(event: Event) -> list[int]:
    a = event.args
    if event.kind == "command" and event.name == "access":
        return [a["ipa"] >> 12]
    if event.kind == "command" and event.name == "ioremap":
        first, last = a["ipa"] >> 12, max(a["ipa"], a["ipa"] + a["size"] - 1) >> 12
        pages = [*range(first, min(last, first + FIRST_PAGES - 1) + 1), last, first - 1, last + 1]
        return [gfn for gfn in dict.fromkeys(pages) if 0 <= gfn <= LAST_PAGE]
    if event.kind == "mark" and event.name == "tables/refused":
        return [a["ipa"] >> 12]
    return []
