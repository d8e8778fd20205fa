"""Draw the two-dimensional walk: stage 2 for each address that stage 1 needs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from matplotlib import style

from kvmlab.engine.errors import check_int
from kvmlab.figures.canvas import Canvas, Point
from kvmlab.figures.style import Look, Slide, new_figure
from kvmlab.rollover.walks import STAGE1, STAGE2_LEVELS, Read, walk_reads

MOST = max(STAGE1.values())
"""Levels of a guest's own tables on ARMv7, at most."""


@style.context("default")
def nested_walk(theme: str = "light", size: str = "slide", *, stage1_levels: int = MOST) -> Slide:
    """Show the two-dimensional walk: every read of a stage-1 walk within stage 2, in order.

    Source:
        `kvmlab.rollover.walks.walk_reads`, with the levels of stage 2 that Linux 3.9 uses; nothing of the walk is
        cached, so this is what a TLB miss costs at most (ARM DDI 0406C, "Translation tables"; Bhargava and others,
        ASPLOS 2008).

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        stage1_levels: levels of the guest's own tables, 0 (its MMU is off) to 3; ARMv7 has 2 or 3.

    Raises:
        InputError: an argument is out of range, or there is no such theme or size.
    """
    look = Look(theme, size)
    check_int("stage1_levels", stage1_levels, 0, MOST)
    reads = walk_reads(stage1_levels)
    n, m, grid = stage1_levels, STAGE2_LEVELS, GRIDS[size]
    why = (
        "The guest knows its own tables by IPA, so before each of them can be read stage 2 has to translate its "
        f"address; and the output of stage 1 is an IPA too. Alone, stage 1 would be {n} reads."
    )
    if not n:
        why = (
            "The guest's MMU is off, so its addresses are IPAs already, and one walk through stage-2 tables is all. "
            "Once it turns its MMU on, each level of its own adds a column."
        )
    figure = new_figure(
        look,
        title=f"A TLB miss in a guest: up to {len(reads)} reads",
        why=why,
        alt=f"{formula(n, m)}. " + " ".join(f"{read.order}: {read.kind}." for read in reads),
        source=f"Linux 3.9, stage 1 of {n} levels, stage 2 of {m} levels, nothing cached",
        height=(grid.top + m * grid.step + grid.high + FOOT[size] + 9) / 72,
    )
    _draw(Canvas(figure, look), n, m, reads)
    return figure


def formula(n: int, m: int) -> str:
    """Return how many reads there are, as a sum.

    >>> formula(3, 3)
    '(3 + 1) × (3 + 1) − 1 = 15 reads'
    """
    return f"({n} + 1) × ({m} + 1) − 1 = {len(walk_reads(n, m))} reads"


@dataclass(frozen=True)
class Grid:
    """Hold the measures of the drawing, points.

    Args:
        top: height of the columns' names.
        step: from row to row.
        high: of a box.
        side: room for the names of the stages.
        widest: from column to column, at most.
        gap: between columns.
        letters: size of the numbers.
    """

    top: float
    step: float
    high: float
    side: float
    widest: float
    gap: float
    letters: float


GRIDS = {
    "slide": Grid(46, 68, 48, 84, 250, 50, 20),
    "column": Grid(22, 28, 19, 41, 80, 13, 8),
}
FOOT = {"slide": 56.0, "column": 16.0}
"""Room for the sum below the grid."""


def _draw(canvas: Canvas, n: int, m: int, reads: tuple[Read, ...]) -> None:
    name, small = canvas.look.size, canvas.look.measure.small
    grid, full = GRIDS[name], canvas.look.measure.headed
    pitch = min((canvas.width - grid.side + grid.gap - 2) / (n + 1), grid.widest)
    used = grid.side + (n + 1) * pitch - grid.gap
    start, wide = max(1.0, (canvas.width - used) / 2), pitch - grid.gap

    def corner(column: int, row: int) -> tuple[float, float]:
        return start + grid.side + (column - 1) * pitch, grid.top + (row - 1) * grid.step

    for column in range(1, n + 2):
        _head(canvas, column, n, corner(column, 1)[0] + wide / 2)
    _sides(canvas, grid, start, n, m)
    spots = [corner(read.column, read.row) for read in reads]
    goal = corner(n + 1, m + 1)
    for here, there in pairwise([*spots, goal]):
        _step(canvas, grid, here, there, wide)
    for read, (x, y) in zip(reads, spots, strict=True):
        hue = "guest" if read.stage == 1 else "kern"
        canvas.box(x, y, wide, grid.high, fill=f"{hue}-t", edge=hue, width=1.6)
        middle = y + grid.high / 2
        across = x + wide * (0.24 if full else 0.5)
        canvas.words(across, middle, f"{read.order}", size=grid.letters, bold=True, mono=True, across="center")
        if full:
            canvas.words(x + wide - 10, middle, f"level {read.level}", size=small, colour="ink2", across="right")
    canvas.box(*goal, wide, grid.high, edge="host", width=1.6, dashed=True)
    said = "the data" if full else "data"
    canvas.words(goal[0] + wide / 2, goal[1] + grid.high / 2, said, size=small, bold=True, across="center",
                 colour="host")  # fmt: skip
    y = grid.top + m * grid.step + grid.high + FOOT[name] * 0.6
    canvas.words(start, y, formula(n, m), size=canvas.look.measure.text if full else small, bold=True, mono=True)
    if full and n:
        canvas.words(canvas.width - 2, y, "the corner left out is the access itself", size=small, colour="ink2",
                     across="right")  # fmt: skip


def _head(canvas: Canvas, column: int, n: int, x: float) -> None:
    """Say what a column is about: whose address is translated."""
    full, small = canvas.look.measure.headed, canvas.look.measure.small
    if column <= n:
        lines = (f"guest table {column}", "its IPA to a PA") if full else (f"table {column}", "IPA→PA")
    else:
        lines = ("the data", "its IPA to a PA") if full else ("data", "IPA→PA")
    for number, said in enumerate(lines):
        colour, y = "ink2" if number else "guest", (0.85 + 1.4 * number) * small
        canvas.words(x, y, said, size=small, bold=not number, across="center", down="baseline", colour=colour)


def _sides(canvas: Canvas, grid: Grid, x: float, n: int, m: int) -> None:
    """Name the stages beside their rows."""
    small, edge = canvas.look.measure.small, x + grid.side - canvas.look.line(14)
    above, below = grid.top, grid.top + (m - 1) * grid.step + grid.high
    canvas.line(((edge, above), (edge, below)), colour="kern", width=3)
    canvas.words(x, (above + below) / 2, "stage 2", size=small, bold=True, colour="kern")
    if n:
        above = grid.top + m * grid.step
        canvas.line(((edge, above), (edge, above + grid.high)), colour="guest", width=3)
        canvas.words(x, above + grid.high / 2, "stage 1", size=small, bold=True, colour="guest")


def _step(canvas: Canvas, grid: Grid, here: Point, there: Point, wide: float) -> None:
    """Draw the way from one read to the next: down, or up to the next column."""
    if here[0] == there[0]:
        x = here[0] + wide / 2
        canvas.arrow((x, here[1] + grid.high), (x, there[1]), colour="hw", width=2)
        return
    y, end = here[1] + grid.high / 2, there[1] + grid.high / 2
    middle, head = (here[0] + wide + there[0]) / 2, canvas.look.line(8)
    canvas.line(((here[0] + wide, y), (middle, y), (middle, end), (there[0] - head, end)), colour="hw", width=2)
    canvas.arrow((there[0] - head - 1, end), (there[0], end), colour="hw", width=2)
