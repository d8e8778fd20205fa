"""Count full TLB flushes in the engine's own VMID allocator, with recording off."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

from tqdm.auto import tqdm

from kvmlab.engine import Config, Machine
from kvmlab.engine.errors import check_int
from kvmlab.engine.kernel.kvm import Kvm
from kvmlab.engine.kernel.vmid import update_vttbr
from kvmlab.engine.tasks import run as steps
from kvmlab.rollover.theory import MAX_ENTRIES, MAX_GUESTS

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


def round_robin(guests: int) -> Iterator[int]:
    """Return guests 0 to N - 1 in turn, over and over.

    Raises:
        InputError: if there is no guest.
    """
    return cycle(range(check_int("guests", guests, 1, MAX_GUESTS)))


def uniform(guests: int, seed: int) -> Iterator[int]:
    """Return guests in random order, each equally likely every time; the same for the same seed.

    Raises:
        InputError: if there is no guest.
    """
    check_int("guests", guests, 1, MAX_GUESTS)
    draw = random.Random(seed).randrange
    return (draw(guests) for _ in iter(int, 1))


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
