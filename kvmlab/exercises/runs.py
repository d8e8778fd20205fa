"""Small machines for exercises, and what to read off their runs."""

from __future__ import annotations

from random import Random
from typing import Any

from kvmlab.engine import Config, Machine, Slot
from kvmlab.engine.kernel.pgtable import PAGE_SIZE, PMD_SIZE

MIB = 1 << 20


def boot(**config: Any) -> Machine:
    """Return a machine with small TLBs."""
    return Machine(Config(tlb_sets=16, **config))


def any_slot(draw: Random, mib: int = 16) -> Slot:
    """Return a slot somewhere, on a boundary of 2 MiB."""
    ipa = draw.choice((0x8000_0000, 0x4000_0000, 0x1_0000_0000)) + PMD_SIZE * draw.randrange(32)
    return Slot(ipa, mib * MIB, 0x4000_0000 + PMD_SIZE * draw.randrange(256))


def any_pfn_base(draw: Random) -> int:
    """Return where guest pages may begin in physical memory."""
    return 0xA000_0000 + PAGE_SIZE * draw.randrange(1 << 16)


def marks(machine: Machine, name: str, start: int = 0) -> list[dict[str, Any]]:
    """Return the arguments of every mark of this name from event `start` on."""
    return [args for said, args in machine.stream.marks(start) if said == name]


def say_slot(slot: Slot, name: str = "slot") -> str:
    """Describe a slot in a line."""
    return f"{name}: IPA {slot.ipa:#x} to {slot.ipa + slot.size - 1:#x}, host address {slot.hva:#x}"
