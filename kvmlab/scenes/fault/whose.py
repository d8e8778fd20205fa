"""An event as the readers of a stream see it, and which VM it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Event(Protocol):
    """What a reader of the stream relies on."""

    @property
    def seq(self) -> int:
        """Its position in the stream."""

    @property
    def task(self) -> str:
        """Who did it: "cpu0", ..., "host"."""

    @property
    def kind(self) -> str:
        """The kind: "command", "mark" or "write"."""

    @property
    def name(self) -> str:
        """Which command or mark, or the key that was written."""

    @property
    def args(self) -> Mapping[str, Any]:
        """Its values."""


@dataclass
class Whose:
    """Tells whether a mark is about one VM: it says so, or its task holds the VM's mmu_lock or works for the VM.

    Args:
        vm: number of the VM.

    Attributes:
        mine: for each task, whether the command it carries out is for this VM.
        holds: for each task that holds an mmu_lock, the key of that lock.
        doing: for each task, the name of that command.
    """

    vm: int = 0
    mine: dict[str, bool] = field(default_factory=dict)
    holds: dict[str, str] = field(default_factory=dict)
    doing: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> bool:
        """Take a command or a mark in, in order, and return whether it is about the VM."""
        a = event.args
        if event.kind == "command":
            named = {a[key] for key in ("vm", "vm2") if key in a}
            self.mine[event.task], self.doing[event.task] = not named or self.vm in named, event.name
            return self.mine[event.task]
        if event.name == "lock/taken" and a["lock"].endswith("mmu_lock"):
            self.holds[event.task] = a["lock"]
        lock = self.holds.get(event.task)
        if event.name == "lock/released" and a["lock"] == lock:
            del self.holds[event.task]
        if a.get("vm", -1) >= 0:
            return bool(a["vm"] == self.vm)
        return lock == f"kvm[{self.vm}].mmu_lock" if lock else self.mine.get(event.task, False)
