"""Count what giving out VMIDs costs, from the events alone: the same for the allocators of Linux 3.9 and 5.18."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kvmlab.scenes.moment import Event

Vcpu = tuple[int, int]
"""VM, and which of its vCPUs."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What has happened since boot.

    Attributes:
        entries: guest entries, without those that a kick made necessary.
        flushes: full flushes of all TLBs.
        kicks: CPUs taken out of a guest because the numbers had run out.
        reentries: entries of guests that were kicked and came back to their CPU.
        renumbered: times that a guest which had a number got another one.
    """

    entries: int = 0
    flushes: int = 0
    kicks: int = 0
    reentries: int = 0
    renumbered: int = 0


class Counter:
    """Counts as events come.

    Attributes:
        counts: what has happened so far.
        kicked: by CPU, the vCPU that was kicked there, until somebody enters.
    """

    def __init__(self) -> None:
        """Start at boot."""
        self.counts = Counts()
        self.kicked: dict[int, Vcpu] = {}
        self._on: dict[int, Vcpu] = {}
        self._numbers: dict[int, int] = {}

    def take(self, name: str, args: Mapping[str, Any]) -> None:
        """Take in the next mark; those that do not matter change nothing."""
        counts = self.counts
        if name == "kvm_entry":
            who = args["vm"], args["vcpu"]
            self._on[args["cpu"]] = who
            if self.kicked.pop(args["cpu"], None) == who:
                self.counts = replace(counts, reentries=counts.reentries + 1)
            else:
                self.counts = replace(counts, entries=counts.entries + 1)
        elif name == "vmid/kicked":
            self.kicked |= {cpu: self._on[cpu] for cpu in args["cpus"]}
            self.counts = replace(counts, kicks=counts.kicks + len(args["cpus"]))
        elif name == "tlb/flushed" and args["scope"] == "all":
            self.counts = replace(counts, flushes=counts.flushes + 1)
        elif name == "vmid/assigned":
            other = self._numbers.get(args["vm"], args["vmid"]) != args["vmid"]
            self._numbers[args["vm"]] = args["vmid"]
            self.counts = replace(counts, renumbered=counts.renumbered + other)

    def returns(self, event: Event) -> bool:
        """Return whether a command lets a guest that was kicked come back to its CPU."""
        args = event.args
        return event.name in ("enter", "access") and self.kicked.get(args["cpu"]) == (args["vm"], args["vcpu"])


def count(events: Iterable[Event]) -> Counts:
    """Return what has happened in a run.

    Args:
        events: the stream of a machine, from boot on.
    """
    counter = Counter()
    for event in events:
        if event.kind == "mark":
            counter.take(event.name, event.args)
    return counter.counts
