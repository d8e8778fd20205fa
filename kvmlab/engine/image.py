"""A VM's stage-2 tables as hardware sees them: bytes at physical addresses, and the registers that point to them."""

from __future__ import annotations

from typing import NamedTuple

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, kind_of
from kvmlab.engine.hardware.memory import FRAME_SIZE
from kvmlab.engine.kernel.kvm import Kvm
from kvmlab.engine.kernel.pgtable import PTRS_PER_S2_PGD, VTTBR_VMID_SHIFT, vtcr
from kvmlab.engine.kernel.vmid import vttbr_base


class Image(NamedTuple):
    """What a CPU needs to walk a VM's tables.

    Attributes:
        frames: physical address -> the 4096 bytes there; the level-1 table is two frames. Empty after the VM's end.
        root: physical address of the level-1 table, a multiple of 8192; 0 if there is none.
        vttbr: the register: root, and VMID at 55:48.
        vtcr: the register: 40-bit IPAs, walks start at level 1.
    """

    frames: dict[int, bytes]
    root: int
    vttbr: int
    vtcr: int


def image_of(kvm: Kvm) -> Image:
    """Return the tables that are reachable from a VM's level-1 table."""
    linux = kvm.linux
    root = kvm.pgd
    frames: dict[int, bytes] = {}
    todo = [(root, 1, PTRS_PER_S2_PGD)] if root else []
    while todo:
        table, level, entries = todo.pop()
        for pa in range(table, table + 8 * entries, FRAME_SIZE):
            frames[pa] = linux.memory.frame(pa)
        words = linux.memory.table(table, entries) if level < 3 else []
        todo += [(word & ADDRESS_MASK, level + 1, 512) for word in words if kind_of(word, level) == "table"]
    vttbr = vttbr_base(kvm) | kvm.vmid << VTTBR_VMID_SHIFT
    return Image(dict(sorted(frames.items())), root, vttbr, vtcr(smp=linux.config.smp))
