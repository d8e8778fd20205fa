"""The stage-2 translation table walk: from an IPA to a physical address, or to a fault with its level."""

from __future__ import annotations

from typing import NamedTuple

from kvmlab.engine.errors import check_int
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, AF, check_access, kind_of, permits
from kvmlab.engine.hardware.memory import PhysicalMemory

IPA_BITS = 40
IPA_MAX = (1 << IPA_BITS) - 1
ROOT_ALIGNMENT = 8192
VTTBR_ROOT_MASK = ADDRESS_MASK & ~(ROOT_ALIGNMENT - 1)
VTCR_S, VTCR_SL0_LEVEL1, VTCR_T0SZ_40_BITS, VTCR_RES1 = 1 << 4, 1 << 6, 0x8, 1 << 31
LEVEL_SHIFT = {1: 30, 2: 21, 3: 12}

TRANSLATION, ACCESS_FLAG, PERMISSION, EXTERNAL = "translation", "access flag", "permission", "external abort"


class Step(NamedTuple):
    """One descriptor that the walker read.

    Attributes:
        level: 1 to 3.
        index: entry in the table; 0 to 1023 at level 1, which is two concatenated tables, else 0 to 511.
        entry: physical address of the descriptor.
        descriptor: the 64 bits read.
    """

    level: int
    index: int  # type: ignore[assignment]  # a field may be called as a method of tuple is
    entry: int
    descriptor: int


class Walk(NamedTuple):
    """What a walk found.

    Attributes:
        steps: descriptors read, in order.
        pa: physical address, or -1 after a fault.
        fault: "" or "translation", "access flag", "permission", "external abort".
        level: level of the last descriptor: where the page was found, or where the fault is.
    """

    steps: tuple[Step, ...]
    pa: int
    fault: str
    level: int

    @property
    def descriptor(self) -> int:
        """The last descriptor read; 0 if none was."""
        return self.steps[-1].descriptor if self.steps else 0


def index_of(ipa: int, level: int) -> int:
    """Return which entry of a table of this level translates ``ipa``.

    >>> [index_of(0x8020_3000, level) for level in (1, 2, 3)]
    [2, 1, 3]
    """
    return ipa >> LEVEL_SHIFT[level] & (0x3FF if level == 1 else 0x1FF)


def walk(memory: PhysicalMemory, vttbr: int, ipa: int, access: str = "read") -> Walk:
    """Translate an IPA as the hardware does, starting at level 1.

    Args:
        memory: where the tables are.
        vttbr: the register: VMID at 55:48, root at 39:13.
        ipa: 0 to 2^40 - 1.
        access: "read", "write" or "fetch".

    Returns:
        The walk: its steps, and an address or a fault.

    Raises:
        InputError: no such IPA or access.

    Source: ARM DDI 0406C, B3.6; VTCR as ``kvm_arch`` sets it: T0SZ -8, SL0 1.
    Differs: intermediate entries are not cached between walks; a table outside the RAM for tables is an external abort.
    """
    check_int("ipa", ipa, 0, IPA_MAX)
    check_access(access)
    table = vttbr & VTTBR_ROOT_MASK
    steps: list[Step] = []
    for level, shift in LEVEL_SHIFT.items():
        index = ipa >> shift & (0x3FF if level == 1 else 0x1FF)
        entry = table + 8 * index
        if not memory.holds(entry):
            return Walk(tuple(steps), -1, EXTERNAL, level)
        word = memory.read(entry)
        steps.append(Step(level, index, entry, word))
        kind = kind_of(word, level)
        if kind == "table":
            table = word & ADDRESS_MASK
            continue
        if kind in ("invalid", "reserved"):
            return Walk(tuple(steps), -1, TRANSLATION, level)
        if not word & AF:
            return Walk(tuple(steps), -1, ACCESS_FLAG, level)
        if not permits(word, access):
            return Walk(tuple(steps), -1, PERMISSION, level)
        offset = (1 << shift) - 1
        return Walk(tuple(steps), word & ADDRESS_MASK & ~offset | ipa & offset, "", level)
    raise AssertionError("level 3 holds no table descriptors")
