"""Count full TLB flushes: in the engine's own VMID allocator with recording off, or in a short copy of its rule."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import pvariance

from tqdm.auto import tqdm

from kvmlab.engine import Config, Machine
from kvmlab.engine.errors import check_int
from kvmlab.engine.kernel.kvm import Kvm
from kvmlab.engine.kernel.vmid import update_vttbr
from kvmlab.engine.tasks import run as steps
from kvmlab.rollover.schedules import Schedule
from kvmlab.rollover.theory import MAX_ENTRIES, Gap, usable

Order = Callable[[int], Iterator[int]]
"""From a number of guests N to an endless row of guests, 0 to N - 1: who enters next."""


@dataclass(frozen=True)
class Run:
    """Hold what a run of guest entries did.

    Args:
        entries: guest entries made.
        flushes: which of them flushed, counted from 0; the very first entry after boot is always one of them.
        generation: kvm_vmid_gen at the end.
        next_vmid: kvm_next_vmid at the end; 0 means that none is left.
    """

    entries: int
    flushes: tuple[int, ...]
    generation: int
    next_vmid: int

    @property
    def after_boot(self) -> tuple[int, ...]:
        """Return the flushing entries without the very first one, which flushes for any number of guests."""
        return self.flushes[1:]

    @property
    def rate(self) -> float:
        """Return full flushes per guest entry, from the one at boot to the last: unfinished gaps do not count."""
        return len(self.after_boot) / self.flushes[-1] if self.after_boot else 0.0

    @property
    def gap(self) -> Gap:
        """Return mean and variance of the gaps that were seen; an infinite mean if there was none."""
        gaps = [later - earlier for earlier, later in zip(self.flushes, self.after_boot, strict=False)]
        return Gap(sum(gaps) / len(gaps), pvariance(gaps)) if gaps else Gap(math.inf, 0)


def run(order: Iterable[int], entries: int, *, vmid_bits: int = 8) -> Run:
    """Let guests enter one after the other on one CPU of a freshly booted machine.

    Args:
        order: which guest enters next; guests are made as they first appear.
        entries: guest entries to make, 0 or more; fewer if the order ends before.
        vmid_bits: width of a VMID, 2 to 16 bits.

    Raises:
        InputError: if an argument is out of range.
    """
    check_int("entries", entries, 0, MAX_ENTRIES)
    machine = Machine(Config(ncpus=1, vmid_bits=vmid_bits, recording=False))
    linux, guests = machine.linux, dict[int, Kvm]()
    flushes: list[int] = []
    made, generation = 0, linux.kvm_vmid_gen
    for made, guest in enumerate(islice(order, entries), 1):
        kvm = guests.get(guest)
        if kvm is None:
            kvm = guests[guest] = machine.kvm(machine.create_vm())
        steps(update_vttbr(kvm, 0))
        if linux.kvm_vmid_gen != generation:
            generation = linux.kvm_vmid_gen
            flushes.append(made - 1)
    return Run(made, tuple(flushes), generation, linux.kvm_next_vmid)


def count(schedule: Schedule, guests: int, entries: int, *, vmid_bits: int = 8, cpus: int = 1, seed: int = 1) -> Run:
    """Count as `run` does, by the allocator's rule alone: some ten times as fast, and on several CPUs.

    The guests that a rollover takes out of the other CPUs come back at once; those entries are counted, too.

    Args:
        schedule: who enters next.
        guests: number of guests, each with one vCPU.
        entries: guest entries to make at least, 0 or more: the last turn is finished.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs, fewer than there are VMIDs.
        seed: of the random numbers, 0 or more.

    Raises:
        InputError: if an argument is out of range.

    Source: update_vttbr, force_vm_exit, arch/arm/kvm/arm.c, Linux 3.9.
    """
    check_int("entries", entries, 0, MAX_ENTRIES)
    numbers = usable(vmid_bits)
    check_int("cpus", cpus, 1, numbers - 1)
    numbered: set[int] = set()
    running: dict[int, int] = {}
    flushes: list[int] = []
    full, made = True, 0  # at boot none is left
    for guest, cpu in schedule.turns(guests, seed, cpus):
        if made >= entries:
            break
        if guest not in numbered:
            if full:
                flushes.append(made)
                running.pop(cpu, None)
                numbered = {*running.values()}
                made += len(numbered)
            numbered.add(guest)
            full = len(numbered) == numbers
        running[cpu] = guest
        made += schedule.length
    return Run(made, tuple(flushes), 1 + len(flushes), (len(numbered) + 1) % (numbers + 1) if made else 0)


def sweep(
    order: Order, guests: Iterable[int], entries: int, *, vmid_bits: int = 8, progress: bool = True
) -> dict[int, Run]:
    """Make one run for each number of guests.

    Args:
        order: from a number of guests to the order in which they enter.
        guests: the numbers of guests.
        entries: guest entries for each.
        vmid_bits: width of a VMID, 2 to 16 bits.
        progress: show a progress bar.

    Raises:
        InputError: if an argument is out of range.
    """
    bar = tqdm(list(guests), desc="guests", leave=False, disable=not progress)
    return {n: run(order(n), entries, vmid_bits=vmid_bits) for n in bar}
