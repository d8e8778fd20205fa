"""Memory slots: which piece of the host process is which piece of guest memory.

Source: virt/kvm/kvm_main.c and include/linux/kvm_host.h, Linux 3.9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kvmlab.engine.kernel.errno import EFAULT
from kvmlab.engine.kernel.flush import kvm_tlb_flush_vmid
from kvmlab.engine.kernel.kvm import SLOT_WORDS, Kvm
from kvmlab.engine.kernel.pgtable import KVM_PHYS_SIZE, PAGE_SHIFT
from kvmlab.engine.kernel.tables import unmap_stage2_range


class MemorySlot(NamedTuple):
    """``struct kvm_memory_slot``.

    Attributes:
        base_gfn: first guest page.
        npages: number of pages; 0: not in use.
        userspace_addr: address of the first page in the host process, in bytes.
        id: number that user space gave it, 0 to 31.
    """

    base_gfn: int
    npages: int
    userspace_addr: int
    id: int = 0


def kvm_memslots(kvm: Kvm) -> Iterator[MemorySlot]:
    """Yield the slots in the order the kernel walks them, up to the first with npages 0."""
    words = kvm.memslots.values()
    for i in range(0, len(words), SLOT_WORDS):
        slot = MemorySlot(*words[i : i + SLOT_WORDS])
        if not slot.npages:
            return
        yield slot


def install_memslots(kvm: Kvm, slots: Iterable[MemorySlot]) -> None:
    """Make these the VM's slots, in this order.

    Source: install_new_memslots. Differs: the order is the caller's; the kernel sorts by descending npages.
    """
    words = [word for slot in slots for word in slot]
    words += [0] * (kvm.memslots.size - len(words))
    for index, (old, new) in enumerate(zip(kvm.memslots.values(), words, strict=True)):
        if old != new:
            kvm.memslots[index] = new


def kvm_set_memory_region(kvm: Kvm, slot: MemorySlot) -> int:
    """Add a slot, or, with npages 0, take the one with this id away.

    Args:
        kvm: the VM.
        slot: checked before: aligned, and no overlap.

    Returns:
        0; -EFAULT for a slot beyond 2^40 with the fix "slots within IPA".

    Source: __kvm_set_memory_region, sort_memslots, kvm_arch_prepare_memory_region, Linux 3.9.
    Differs: slots of equal size keep the order in which they came.
    """
    fixes = kvm.linux.fixes
    if "slots within IPA" in fixes and slot.base_gfn + slot.npages > KVM_PHYS_SIZE >> PAGE_SHIFT:
        return -EFAULT
    others = [other for other in kvm_memslots(kvm) if other.id != slot.id]
    if not slot.npages and "unmap deleted slot" in fixes:
        for gone in (other for other in kvm_memslots(kvm) if other.id == slot.id):
            unmap_stage2_range(kvm, gone.base_gfn << PAGE_SHIFT, gone.npages << PAGE_SHIFT)
            kvm_tlb_flush_vmid(kvm)
    slots = [*others, slot] if slot.npages else others
    install_memslots(kvm, sorted(slots, key=lambda s: -s.npages))
    kvm.stream.mark("slot/changed", vm=kvm.number, id=slot.id, gfn=slot.base_gfn, npages=slot.npages)
    return 0


def gfn_to_memslot(kvm: Kvm, gfn: int) -> MemorySlot | None:
    """Return the first slot that holds the guest page, or None."""
    for slot in kvm_memslots(kvm):
        if slot.base_gfn <= gfn < slot.base_gfn + slot.npages:
            return slot
    return None


def hva_to_gfn_memslot(hva: int, slot: MemorySlot) -> int:
    """Return the guest page at host address ``hva``, which must lie in the slot."""
    return slot.base_gfn + (hva - slot.userspace_addr >> PAGE_SHIFT)


def gfn_to_hva(gfn: int, slot: MemorySlot) -> int:
    """Return the host address of a guest page in the slot."""
    return slot.userspace_addr + (gfn - slot.base_gfn << PAGE_SHIFT)
