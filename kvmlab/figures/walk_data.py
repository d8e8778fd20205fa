"""One stage-2 walk as data: the cut of the address, the reads, and where they lead to."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.engine import InputError, Machine
from kvmlab.engine.errors import check_int
from kvmlab.engine.hardware.descriptor import check_access, kind_of
from kvmlab.engine.hardware.walker import IPA_BITS, IPA_MAX, LEVEL_SHIFT, VTTBR_ROOT_MASK, Step, Walk
from kvmlab.engine.hardware.walker import walk as walk_tables
from kvmlab.figures.guests import RAM, machine_of
from kvmlab.scenes.moment import leaf_kind
from kvmlab.session import Session

IPA = RAM[0] + 0x20_32A4
"""An address in a page that the standard guest has written; none of its indices is 0."""
LEVELS = tuple(LEVEL_SHIFT)
WORD = 8
"""Bytes of a descriptor."""


@dataclass(frozen=True)
class WalkData:
    """Hold one walk, and where it began.

    Args:
        ipa: the address.
        access: "read", "write" or "fetch".
        vttbr: the register; 0 if the guest has not run yet.
        root: physical address of the level-1 table.
        found: the walk.
    """

    ipa: int
    access: str
    vttbr: int
    root: int
    found: Walk

    @property
    def cuts(self) -> list[tuple[str, int, int]]:
        """Return the parts of the address: name, highest and lowest bit."""
        tops = [IPA_BITS, *LEVEL_SHIFT.values()]
        names = [*(f"level {level}" for level in LEVELS), "offset"]
        return [(name, top - 1, low) for name, top, low in zip(names, tops, [*tops[1:], 0], strict=True)]

    def reaches(self, place: int) -> bool:
        """Return whether the walk gets as far as the part of the address at this place, 0 to 3."""
        return place < len(self.found.steps) if self.found.fault else True

    @property
    def page(self) -> int:
        """Return the page or block that the last descriptor names."""
        return self.found.pa - self.offset

    @property
    def offset(self) -> int:
        """Return where in its page or block the address lies."""
        return self.ipa & (1 << LEVEL_SHIFT[self.found.level]) - 1

    def value(self, high: int, low: int) -> int:
        """Return some bits of the address."""
        return self.ipa >> low & (1 << high - low + 1) - 1

    def base(self, step: Step) -> int:
        """Return the table in which a descriptor was read."""
        return step.entry - WORD * step.index

    def kind(self, step: Step) -> str:
        """Return how a descriptor is drawn: "table", "rw", "ro", "dev", or "inv" for nothing mapped."""
        return "table" if kind_of(step.descriptor, step.level) == "table" else leaf_kind(step.descriptor)

    def says(self, step: Step) -> str:
        """Return what a descriptor is, in a word."""
        return kind_of(step.descriptor, step.level) if step.descriptor else "empty"


def walk_data(ipa: int = IPA, *, access: str = "read", run: Session | Machine | None = None, vm: int = 0) -> WalkData:
    """Let the engine's walker translate an address.

    Args:
        ipa: 0 to 2**40 - 1.
        access: "read", "write" or "fetch".
        run: whose tables; if not given, those of the standard guest.
        vm: number of the VM.

    Raises:
        InputError: an argument is out of range, or there is no such VM.
    """
    check_int("ipa", ipa, 0, IPA_MAX)
    check_access(access)
    machine = machine_of(run)
    kvm = machine.kvm(vm)
    found = walk_tables(machine.linux.memory, kvm.vttbr or kvm.pgd, ipa, access)
    if not found.steps:
        raise InputError(f"vm is {vm}; its level-1 table lies at {kvm.pgd:#x}, where the walker finds no memory")
    return WalkData(ipa, access, kvm.vttbr, (kvm.vttbr or kvm.pgd) & VTTBR_ROOT_MASK, found)


def why_not(data: WalkData) -> str:
    """Return why the walk ends in a fault."""
    last = data.found.steps[-1]
    if data.found.fault == "permission":
        rule = " Linux 3.9 maps what was only read as read-only; the first write pays another fault."
        return f"The page is there, but its entry does not allow a {data.access}, so the CPU traps to Hyp mode." + (
            rule if data.access == "write" else ""
        )
    missing = f"level {last.level + 1} table" if last.level < LEVELS[-1] else "page"
    return (
        f"Entry {last.index} of the level {last.level} table is {data.says(last)}, so there is no {missing} to go on "
        f"to: the CPU traps to Hyp mode, and HPFAR tells KVM which page it was."
    )


def in_words(data: WalkData) -> str:
    """Return the walk in sentences."""
    cut = ", ".join(f"bits {high} to {low} are {data.value(high, low)}" for _, high, low in data.cuts)
    steps = " ".join(
        f"Level {s.level}: {data.base(s):#x} + 8 * {s.index} = {s.entry:#x}, where {s.descriptor:#x} is read: "
        f"{data.says(s)}."
        for s in data.found.steps
    )
    end = (
        f"The walk ends in a {data.found.fault} fault at level {data.found.level}."
        if data.found.fault
        else f"{data.page:#x} + {data.offset:#x} = physical address {data.found.pa:#x}."
    )
    return f"IPA {data.ipa:#x}: {cut}. {steps} {end}"
