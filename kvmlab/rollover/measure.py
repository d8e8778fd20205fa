"""Count full TLB flushes in the engine's own VMID allocator: slower than `simulate`, and the judge of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from kvmlab.engine import Config, Machine
from kvmlab.engine.errors import check_int
from kvmlab.engine.kernel.kvm import Kvm
from kvmlab.engine.kernel.vmid import update_vttbr
from kvmlab.engine.tasks import run as steps
from kvmlab.rollover.theory import MAX_ENTRIES


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


def run(order: Iterable[int], entries: int, *, vmid_bits: int = 8) -> Run:
    """Let guests enter one after the other on one CPU of a freshly booted machine.

    Args:
        order: which guest enters next; guests are made as they first appear.
        entries: guest entries to make, 0 or more; fewer if the order ends before.
        vmid_bits: width of a VMID, 2 to 16 bits.

    Raises:
        InputError: if an argument is out of range.

    Source: update_vttbr, arch/arm/kvm/arm.c, Linux 3.9.
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
