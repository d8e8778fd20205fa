"""Draw all schedules of a fault and an act of the host as ways through a grid, and how they end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from textwrap import wrap

from matplotlib import style

from kvmlab.engine.explore import Outcome, run_schedule
from kvmlab.engine.litmus import FaultAgainstHost, outcomes, step_names
from kvmlab.figures.canvas import Canvas
from kvmlab.figures.style import Look, Slide, new_figure

TESTS = {
    "both": "Sequence and count",
    "none": "No retry test",
    "seq only": "Only the sequence",
    "count only": "Only the count",
    "sampled late": "Sampled after the look-up",
}
"""The tests of a fault, for the title."""
SHORT = {
    "the guest's instruction": "touch", "sample mmu_notifier_seq": "sample", "look the page up": "look up",
    "take kvm[0].mmu_lock": "lock", "release the page": "drop", "clear the host's entries": "clear",
    "clear the host's entry": "clear", "free the frames": "free", "write the page to swap and free it": "free",
}  # fmt: skip
"""The steps in one word, where there is no room for more."""


@dataclass(frozen=True)
class Schedules:
    """Hold all schedules of a race.

    Args:
        steps: names of the steps, by task: "G", the guest's fault, and "H", the host.
        through: schedules that pass a cell: (steps done by the fault, by the host).
        bad: those of them that end badly.
        path: a schedule to draw, as a word of G and H, or "".
    """

    steps: dict[str, list[str]]
    through: Counter[tuple[int, int]]
    bad: Counter[tuple[int, int]]
    path: str


def cells_of(schedule: str) -> list[tuple[int, int]]:
    """Return the cells that a schedule passes, from corner to corner.

    >>> cells_of("GHG")
    [(0, 0), (1, 0), (1, 1), (2, 1)]
    """
    steps = (((1, 0) if task == "G" else (0, 1)) for task in schedule)
    return list(accumulate(steps, lambda a, b: (a[0] + b[0], a[1] + b[1]), initial=(0, 0)))


def schedules(race: FaultAgainstHost, path: str | None = None) -> Schedules:
    """Run a race under every schedule.

    Args:
        race: which one.
        path: the schedule to draw; it may stop early. The bad one with the fewest switches if not given.

    Raises:
        InputError: the schedule names a task that cannot step there.
    """
    ends = outcomes(race)
    through: Counter[tuple[int, int]] = Counter()
    bad: Counter[tuple[int, int]] = Counter()
    for outcome in ends:
        cells = cells_of("".join(outcome.schedule))
        through.update(cells)
        bad.update(cells if outcome.verdict else ())
    if path is None:
        worst = min((one for one in ends if one.verdict), key=_simple, default=None)
        path = "".join(worst.schedule) if worst else ""
    elif path:
        path = "".join(run_schedule(race(), path).schedule)
    return Schedules(step_names(race), through, bad, path)


def _simple(outcome: Outcome) -> int:
    return outcome.switches


@style.context("default")
def schedule_grid(
    theme: str = "light", size: str = "slide", *, retry: str = "none", host: str = "discard", path: str | None = None
) -> Slide:
    """Show every schedule of a fault and the host as a way through a grid, and in each cell how many end badly.

    Source:
        `kvmlab.engine.litmus.FaultAgainstHost`, run under every schedule.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        retry: the test that the fault makes; see `Config`.
        host: what the host does: "discard" or "swap_out".
        path: a schedule to draw, as a word of G (the guest's fault) and H (the host); where it stops the rest follows
            by itself. Without one the bad schedule with the fewest switches is drawn; "" draws none.

    Raises:
        InputError: there is no such test, act, theme or size, or the schedule names a task that cannot step there.
    """
    look = Look(theme, size)
    data = schedules(FaultAgainstHost(retry=retry, host=host), path)
    whole, wrong = data.through[0, 0], data.bad[0, 0]
    figure = new_figure(
        look,
        title=f"{TESTS[retry]}: {wrong} of {whole} schedules end badly",
        why="A way from the upper left to the lower right corner is one schedule. A cell says how many of the "
        "schedules through it end with a frame that the host has taken back; the hatched part is their share.",
        alt=_alt(data, wrong, whole),
        source=f'Linux 3.9, a fault against "{host}", retry test "{retry}", run under each of {whole} schedules',
        height=(GRIDS[size].top + (len(data.steps["H"]) + 1) * GRIDS[size].row + 9) / 72,
    )
    _draw(Canvas(figure, look), data)
    return figure


def _alt(data: Schedules, wrong: int, whole: int) -> str:
    rows = (
        f"Host {row}: " + ", ".join(f"{data.bad[at, row]}/{data.through[at, row]}" for at in range(_wide(data))) + "."
        for row in range(len(data.steps["H"]) + 1)
    )
    drawn = f" Drawn is the schedule {data.path}." if data.path else ""
    return (
        f"A grid: to the right the fault's steps ({', '.join(data.steps['G'])}), down the host's "
        f"({', '.join(data.steps['H'])}). {wrong} of {whole} schedules end badly. Of those through each cell, by steps "
        f"done: {' '.join(rows)}{drawn}"
    )


def _wide(data: Schedules) -> int:
    return len(data.steps["G"]) + 1


@dataclass(frozen=True)
class Grid:
    """Hold the measures of the drawing, points.

    Args:
        top: height of the fault's steps.
        side: width of the host's steps.
        row: from row to row.
        gap: between cells, where steps are.
        bar: height of the hatched share.
        letters: in a line of a step's name, at most: at the top, at the side.
    """

    top: float
    side: float
    row: float
    gap: tuple[float, float]
    bar: float
    letters: tuple[int, int]


GRIDS = {
    "slide": Grid(50, 196, 50, (22, 14), 10, (12, 24)),
    "column": Grid(12, 30, 22, (6, 5), 4.5, (7, 7)),
}


def _draw(canvas: Canvas, data: Schedules) -> None:
    look, grid = canvas.look, GRIDS[canvas.look.size]
    small, full = look.measure.small, look.measure.headed
    pitch = (canvas.width - grid.side - 2 + grid.gap[0]) / _wide(data)
    wide, high = pitch - grid.gap[0], grid.row - grid.gap[1]

    def corner(cell: tuple[int, int]) -> tuple[float, float]:
        return grid.side + cell[0] * pitch, grid.top + cell[1] * grid.row

    for number, name in enumerate(data.steps["G"], 1):
        x = corner((number, 0))[0] - grid.gap[0] / 2
        canvas.words(x, grid.top - 6 * look.measure.stroke, _said(name, full, grid.letters[0]), size=small,
                     colour="kern", across="center", down="bottom")  # fmt: skip
    for number, name in enumerate(data.steps["H"], 1):
        y = corner((0, number))[1] - grid.gap[1] / 2
        canvas.words(0, y, _said(name, full, grid.letters[1]), size=small, colour="host")
    if full:
        canvas.words(0, 0, "fault →\nhost ↓", size=small, bold=True, down="top")
    passed = cells_of(data.path)
    for cell, ways in data.through.items():
        x, y = corner(cell)
        on = bool(data.path) and cell in passed
        canvas.box(x, y, wide, high, fill="band", edge="ink" if on else "line2", width=2.6 if on else 1)
        if share := data.bad[cell] / ways:
            canvas.box(x, y + high - grid.bar, wide * share, grid.bar, edge="ink", width=1, hatch="/////", above=2)
        said = f"{data.bad[cell]}/{ways}" if full else f"{data.bad[cell]}"
        canvas.words(x + wide / 2, y + (high - grid.bar) / 2, said, size=small, mono=True, across="center")
    for here, there, task in zip(passed, passed[1:], data.path, strict=False):
        (x, y), (left, top) = corner(here), corner(there)
        if task == "G":
            canvas.arrow((x + wide, y + high / 2), (left, y + high / 2), colour="kern", width=3)
        else:
            canvas.arrow((x + wide / 2, y + high), (x + wide / 2, top), colour="host", width=3)


def _said(name: str, full: bool, letters: int) -> str:
    """Return a step's name in lines, or in a word where there is no room."""
    if not full:
        return SHORT.get(name, name)
    return "\n".join(wrap(name.replace("mmu_notifier_", "").replace("kvm[0].", ""), letters))
