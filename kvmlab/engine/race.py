"""A guest's fault and an act of the host that meet: the fault stops at a place, and there the host acts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kvmlab.engine.checked import Checked
from kvmlab.engine.errors import InputError, check_int
from kvmlab.engine.events import Stream
from kvmlab.engine.guest import Access
from kvmlab.engine.tasks import Deadlock, Point, Steps

RIVALS = ("swap_out", "swap_in", "discard", "protect", "ksm_merge", "host_write")
"""What the host can do in a race."""
PLACES = {
    "before the sample": "sample mmu_notifier_seq",
    "before the look-up": "look the page up",
    "before the lock": "take kvm[{vm}].mmu_lock",
    "after the test": "release the page",
}
"""Where a guest's fault can be met: in words, and by the name of the point."""


class Race(NamedTuple):
    """How a race ended.

    Attributes:
        guest: the guest's access.
        host: what the host's command returned.
    """

    guest: Access
    host: Any


def meet(
    stream: Stream, vm: int, fault: Checked, host: str, change: Checked, at: str, steps: int | None
) -> Steps[Race]:
    """Run a guest's access; each time it stands at a place, the host acts.

    Both are announced in the stream as commands of their own tasks, with ``part_of``.

    Args:
        stream: of the machine.
        vm: which VM.
        fault: the access.
        host: name of the host's command.
        change: the host's command.
        at: one of ``PLACES``; where the access never comes there, the host acts after it.
        steps: how many steps the host takes each time, 1 to 1000, and the rest after the access; None for all at once.

    Raises:
        InputError: no such place, or no such number of steps; before anything has run.
    """
    if at not in list(PLACES):  # it may be anything, even what cannot be hashed
        raise InputError(f"at is {at!r}; allowed: {', '.join(PLACES)}")
    if steps is not None:
        check_int("steps", steps, 1, 1000)
    place = PLACES[at].format(vm=vm)
    first, second = _Racer(stream, "access", fault), _Racer(stream, host, change)

    def turns() -> Steps[Race]:
        yield from ()
        while not first.ended:
            if first.point.name == place:
                second.go(steps)
            first.go(1)
        second.go(None)
        return Race(first.result, second.result)

    return turns()


@dataclass
class _Racer:
    """A command that runs by turns with another one."""

    stream: Stream
    name: str
    command: Checked
    point: Point = field(default_factory=lambda: Point("start"))
    ended: bool = False
    result: Any = None

    def go(self, count: int | None) -> None:
        """Take up to ``count`` steps, or all that are left."""
        while not self.ended and count != 0:
            self._step()
            count = None if count is None else count - 1

    def _step(self) -> None:
        if self.point.ready is not None and not self.point.ready():
            raise Deadlock(f"{self.name}, {self.point.name}: it holds what it waits for")
        before, self.stream.task = self.stream.task, self.command.task
        try:
            if self.point.name == "start":
                self.stream.command(self.name, **self.command.said, part_of="race")
            self.point = next(self.command.steps)
        except StopIteration as end:
            self.ended, self.result = True, end.value
        finally:
            self.stream.task = before
