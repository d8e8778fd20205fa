"""Schedules: run tasks in one order, in every order, and find the shortest order that goes wrong.

A program makes a machine and the operations that run on it at the same time. A schedule is data: the names of the
tasks in the order in which they take their steps, so it can be saved, and replayed step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kvmlab.engine.errors import InputError
from kvmlab.engine.machine import Machine, Operation
from kvmlab.engine.tasks import Deadlock, Point

STEP_LIMIT = 1000
"""A schedule longer than this is taken for one that never ends."""


@dataclass
class Program:
    """Operations that run at the same time on one machine.

    Attributes:
        machine: in the state in which they start.
        operations: by the name that a schedule uses.
        judge: looks at the machine when all have ended; says what is wrong, or "".
    """

    machine: Machine
    operations: dict[str, Operation]
    judge: Callable[[Machine], str]


@dataclass
class Run:
    """A program under way. ``step`` lets one task go on to its next point.

    Attributes:
        program: what runs.
        schedule: the tasks that have stepped so far, in order.
        points: where each task that has not ended stands; "start" before its first step.
        results: what the tasks that have ended returned.
    """

    program: Program
    schedule: list[str] = field(default_factory=list)
    points: dict[str, Point] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put every task at its start."""
        self.points = {name: Point("start") for name in self.program.operations}

    @property
    def enabled(self) -> list[str]:
        """The tasks that can take a step now, in the program's order."""
        return [name for name, point in self.points.items() if point.ready is None or point.ready()]

    @property
    def ended(self) -> bool:
        """Whether every task has ended."""
        return not self.points

    def step(self, name: str) -> None:
        """Let a task run to its next point, or to its end.

        Raises:
            InputError: the task has ended, waits, or does not exist.
        """
        if name not in self.enabled:
            raise InputError(f"task is {name!r}; allowed now: {', '.join(self.enabled) or 'none, all have ended'}")
        operation = self.program.operations[name]
        stream = self.program.machine.stream
        before, stream.task = stream.task, operation.task
        try:
            self.points[name] = next(operation.steps)
        except StopIteration as end:
            del self.points[name]
            self.results[name] = end.value
        finally:
            stream.task = before
        self.schedule.append(name)

    def verdict(self) -> str:
        """Return what is wrong with the end, or ""."""
        return self.program.judge(self.program.machine)


@dataclass(frozen=True)
class Outcome:
    """One schedule and how it ended.

    Attributes:
        schedule: the tasks in the order of their steps.
        verdict: what is wrong with the end; "" if nothing is.
        results: what each task returned.
    """

    schedule: tuple[str, ...]
    verdict: str
    results: dict[str, Any]

    @property
    def switches(self) -> int:
        """How often the CPU changes hands."""
        return sum(a != b for a, b in zip(self.schedule, self.schedule[1:], strict=False))


def run_schedule(program: Program, schedule: Sequence[str]) -> Run:
    """Run a program under a schedule; where the schedule ends before the program, the first task that can goes on.

    Args:
        program: freshly made.
        schedule: names of tasks.

    Raises:
        InputError: the schedule names a task that cannot step there.
        Deadlock: no task can go on.
    """
    run = Run(program)
    for name in schedule:
        run.step(name)
    while not run.ended:
        run.step(_next(run))
    return run


def _next(run: Run) -> str:
    if not run.enabled:
        waiting = ", ".join(f"{name} ({point.name})" for name, point in run.points.items())
        raise Deadlock(f"after {' '.join(run.schedule)}: {waiting}")
    if len(run.schedule) >= STEP_LIMIT:
        raise Deadlock(f"no end after {STEP_LIMIT} steps: {' '.join(run.schedule[:20])} ...")
    return run.enabled[0]


def explore(make: Callable[[], Program]) -> Iterator[Outcome]:
    """Run a program under every schedule, in lexical order of the program's tasks.

    Operations cannot be copied half-way, so every schedule starts from a fresh program.

    Args:
        make: makes the program; the same one each time.

    Yields:
        One outcome a schedule.

    Raises:
        Deadlock: some schedule comes to a point where no task can go on.
    """
    prefix: list[str] | None = []
    while prefix is not None:
        run = Run(make())
        choices: list[list[str]] = []
        while not run.ended:
            default = _next(run)
            here = run.enabled
            at = len(run.schedule)
            name = prefix[at] if at < len(prefix) else default
            choices.append(here)
            run.step(name)
        yield Outcome(tuple(run.schedule), run.verdict(), run.results)
        prefix = _following(run.schedule, choices)


def _following(schedule: list[str], choices: list[list[str]]) -> list[str] | None:
    """Return the shortest prefix of the next schedule in order, or None after the last."""
    for at in range(len(schedule) - 1, -1, -1):
        later = choices[at][choices[at].index(schedule[at]) + 1 :]
        if later:
            return [*schedule[:at], later[0]]
    return None


def shortest_counterexample(make: Callable[[], Program]) -> Outcome | None:
    """Return a schedule that goes wrong, with the fewest switches and then the fewest steps; None if none does."""
    bad = [outcome for outcome in explore(make) if outcome.verdict]
    return min(bad, key=lambda outcome: (outcome.switches, len(outcome.schedule)), default=None)
