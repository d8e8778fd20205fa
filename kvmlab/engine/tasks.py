"""Operations that can be interrupted: generators, and how to run one.

Such a generator yields wherever another CPU may run: where the C code takes a lock, or reads something that it tests
again later. It yields a ``Point``: a label, or a label with a condition that must hold before it can go on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from kvmlab.engine.events import Stream
from kvmlab.engine.state import Field, Struct

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Point:
    """A place where another CPU may run.

    Attributes:
        name: what the task will do next.
        ready: whether it can go on; None for always.
    """

    name: str
    ready: Callable[[], bool] | None = None


Steps = Generator[Point, None, T]
"""An interruptible operation with a result of type T."""


class Deadlock(Exception):
    """No task can go on; a bug of kvmlab if the modelled code cannot deadlock."""


class Lock(Struct):
    """A spinlock: ``held`` is 0 or 1."""

    held = Field()


def spin_lock(lock: Lock) -> Steps[None]:
    """Take a spinlock.

    Yields:
        Once before it is taken, and for as long as another task holds it.
    """
    yield Point(f"take {lock.key}", lambda: not lock.held)
    lock.held = 1
    lock.stream.mark("lock/taken", lock=lock.key)


def spin_unlock(lock: Lock) -> None:
    """Release a spinlock."""
    lock.held = 0
    lock.stream.mark("lock/released", lock=lock.key)


def run(steps: Steps[T]) -> T:
    """Run an operation to its end, alone.

    Raises:
        Deadlock: it waits for something that only another task could do.
    """
    try:
        while True:
            point = next(steps)
            if point.ready is not None and not point.ready():
                steps.close()
                raise Deadlock(f"{point.name}: nobody else is there to make it possible")
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def run_as(stream: Stream, task: str, steps: Steps[T]) -> T:
    """Run an operation to its end under the name of ``task``."""
    before, stream.task = stream.task, task
    try:
        return run(steps)
    finally:
        stream.task = before
