"""The VMID allocators of Linux 3.9 and 5.18 on the same entries: who is kicked, who is renumbered, what is flushed.

A short copy of what the engine does, guest by guest, for long runs. Turn t is on CPU t modulo the number of CPUs, and
the guests on the other CPUs go on running.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from kvmlab.engine.errors import check_int
from kvmlab.rollover.schedules import Schedule
from kvmlab.rollover.theory import MAX_CPUS, MAX_ENTRIES, usable


@dataclass
class Counts:
    """What an allocator did.

    Attributes:
        entries: entries as scheduled.
        flushes: full flushes of all TLBs, with the one at boot.
        kicks: guests taken out of other CPUs.
        reentries: entries that followed from that.
        numbered: times that a guest was given a number, or told that it may keep its own, in a new generation.
        renumbered: those of them in which a guest that had a number got another one.
        at: the scheduled entries that flushed, from 0.
    """

    entries: int = 0
    flushes: int = 0
    kicks: int = 0
    reentries: int = 0
    numbered: int = 0
    renumbered: int = 0
    at: list[int] = field(default_factory=list)


class Linux39:
    """One counter: numbers go up, and when they have run out every guest loses its own.

    Args:
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs.

    Source: update_vttbr, force_vm_exit, arch/arm/kvm/arm.c, Linux 3.9. Differs: no interleavings within it.
    """

    def __init__(self, vmid_bits: int, cpus: int) -> None:
        """Boot."""
        self.numbers, self.counts = usable(vmid_bits), Counts()
        self.next = 0
        self.vmid: dict[int, int] = {}  # of this generation
        self.before: dict[int, int] = {}  # of guests that have lost theirs
        self.running = [-1] * cpus

    def turn(self, guest: int, cpu: int) -> None:
        """Let a guest enter on a CPU instead of whoever ran there."""
        self.running[cpu] = guest
        if guest not in self.vmid and self._number(guest):
            kicked = [other for other in self.running if other not in (-1, guest)]
            self.counts.kicks += len(kicked)
            for other in kicked:  # each comes back at once
                self.counts.reentries += 1
                self._number(other)
        self.counts.entries += 1

    def _number(self, guest: int) -> bool:
        """Give a guest the next number, and return whether that flushed."""
        counts, rolled = self.counts, self.next == 0
        if rolled:
            self.before |= self.vmid
            self.vmid.clear()
            self.next = 1
            counts.flushes += 1
            counts.at.append(counts.entries)
        counts.numbered += 1
        counts.renumbered += self.before.get(guest, self.next) != self.next
        self.vmid[guest] = self.next
        self.next = (self.next + 1) % (self.numbers + 1)
        return rolled


class Linux518:
    """A bitmap: a guest that comes back asks for the number it had, and those that run keep theirs.

    Args:
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs.

    Source: kvm_arm_vmid_update, new_vmid, check_update_reserved_vmid, flush_context, arch/arm64/kvm/vmid.c,
    Linux 5.18. Differs: no interleavings within it.
    """

    def __init__(self, vmid_bits: int, cpus: int) -> None:
        """Boot."""
        self.numbers, self.counts = usable(vmid_bits), Counts()
        self.first = 1  # all numbers below are taken
        self.taken = {0}
        self.vmid: dict[int, int] = {}  # of every guest that ever had one
        self.current: set[int] = set()  # guests whose number is of this generation
        self.running = [-1] * cpus
        self.active = [-1] * cpus  # who has entered since the last flush, and not left
        self.reserved = [-1] * cpus  # who ran on the CPU at the last flush

    def turn(self, guest: int, cpu: int) -> None:
        """Let a guest enter on a CPU instead of whoever ran there."""
        if self.running[cpu] != guest:
            self.running[cpu], self.active[cpu] = -1, -1  # who ran there leaves first
        if guest not in self.current:
            self._number(guest)
        self.running[cpu] = self.active[cpu] = guest
        self.counts.entries += 1

    def _number(self, guest: int) -> None:
        counts, had = self.counts, self.vmid.get(guest, 0)
        counts.numbered += 1
        if guest not in self.reserved and (not had or had in self.taken):
            had_before, had = had, self._free()
            counts.renumbered += had_before not in (0, had)
            self.vmid[guest] = self.first = had
        self.taken.add(had)
        self.current.add(guest)

    def _free(self) -> int:
        """Return a number that is not taken, after a flush if there is none."""
        if len(self.taken) > self.numbers:
            for cpu, (active, running) in enumerate(zip(self.active, self.running, strict=True)):
                if active >= 0 or running < 0:
                    self.reserved[cpu] = active
            self.active = [-1] * len(self.active)
            self.taken = {0, *(self.vmid[guest] for guest in self.reserved if guest >= 0)}
            self.current.clear()
            self.counts.flushes += 1
            self.counts.at.append(self.counts.entries)
            self.first = 1
        return next(number for number in range(self.first, self.numbers + 1) if number not in self.taken)


ALLOCATORS: dict[str, type[Linux39] | type[Linux518]] = {"3.9": Linux39, "5.18": Linux518}
"""The allocators, by the release of Linux."""


def compare(
    schedule: Schedule, guests: int, entries: int, *, vmid_bits: int = 8, cpus: int = 1, seed: int = 1
) -> dict[str, Counts]:
    """Let the same guests enter in the same order under each allocator.

    Args:
        schedule: who enters next.
        guests: number of guests, each with one vCPU, 1 to 2**24.
        entries: guest entries, 0 or more; with turns of several entries the last turn is finished.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs, fewer than there are VMIDs.
        seed: of the random numbers, 0 or more.

    Returns:
        What each did, by the release of Linux.

    Raises:
        InputError: an argument is out of range.
    """
    check_int("entries", entries, 0, MAX_ENTRIES)
    check_int("cpus", cpus, 1, min(MAX_CPUS, usable(vmid_bits) - 1))
    chunks, used, length = schedule.turns(guests, seed, cpus), min(cpus, guests), schedule.length
    both = {name: make(vmid_bits, used) for name, make in ALLOCATORS.items()}
    owners = (guest for chunk in chunks for guest in chunk.tolist())
    for turn, guest in enumerate(islice(owners, -(-entries // length))):
        for one in both.values():
            one.turn(guest, turn % used)
            one.counts.entries += length - 1  # the others in a row need no number
    return {name: one.counts for name, one in both.items()}
