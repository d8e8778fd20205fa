"""MMU notifiers: how the host tells KVM that one of its pages changes.

Source: arch/arm/kvm/mmu.c and virt/kvm/kvm_main.c, Linux 3.9.
Differs: srcu is left out; slots do not change under a running notifier here.
"""

from __future__ import annotations

from collections.abc import Callable

from kvmlab.engine.errors import KernelBug
from kvmlab.engine.kernel.flush import kvm_tlb_flush_vmid
from kvmlab.engine.kernel.kvm import Kvm
from kvmlab.engine.kernel.memslot import hva_to_gfn_memslot, kvm_memslots
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT, PAGE_SIZE, pfn_pte, pte_pfn
from kvmlab.engine.kernel.tables import stage2_set_pte, unmap_stage2_range
from kvmlab.engine.tasks import Steps, spin_lock, spin_unlock


def handle_hva_to_gpa(kvm: Kvm, start: int, end: int, handler: Callable[[int], None]) -> None:
    """Call ``handler`` with the IPA of every guest page that touches host addresses ``start`` to ``end`` - 1.

    Slots are taken in the kernel's order, so a host page that two slots show is handled twice.

    Source: handle_hva_to_gpa. Differs: nothing.
    """
    mask = kvm.linux.ulong_mask
    for slot in kvm_memslots(kvm):
        hva_start = max(start, slot.userspace_addr)
        hva_end = min(end, slot.userspace_addr + (slot.npages << PAGE_SHIFT) & mask)
        if hva_start >= hva_end:
            continue
        gfn_end = hva_to_gfn_memslot(hva_end + PAGE_SIZE - 1, slot)
        for gfn in range(hva_to_gfn_memslot(hva_start, slot), gfn_end):
            handler(gfn << PAGE_SHIFT)


def kvm_unmap_hva(kvm: Kvm, hva: int) -> int:
    """Unmap the guest pages at a host page. Under mmu_lock.

    Emits:
        kvm_unmap_hva, and one tlb/flushed for each page, mapped or not.

    Source: kvm_unmap_hva. Differs: nothing.
    """
    if not kvm.pgd:
        return 0
    kvm.stream.mark("kvm_unmap_hva", hva=hva)
    handle_hva_to_gpa(kvm, hva, hva + PAGE_SIZE & kvm.linux.ulong_mask, lambda gpa: _unmap_page(kvm, gpa))
    return 0


def kvm_unmap_hva_range(kvm: Kvm, start: int, end: int) -> int:
    """Unmap the guest pages at host addresses ``start`` to ``end`` - 1. Under mmu_lock.

    Emits:
        kvm_unmap_hva_range, and one tlb/flushed for each page, mapped or not.

    Source: kvm_unmap_hva_range. Differs: nothing.
    """
    if not kvm.pgd:
        return 0
    kvm.stream.mark("kvm_unmap_hva_range", start=start, end=end)
    handle_hva_to_gpa(kvm, start, end, lambda gpa: _unmap_page(kvm, gpa))
    return 0


def _unmap_page(kvm: Kvm, gpa: int) -> None:
    """Unmap one page and flush the whole VMID (kvm_unmap_hva_handler)."""
    cleared = unmap_stage2_range(kvm, gpa, PAGE_SIZE)
    if cleared or "flush what was mapped" not in kvm.linux.fixes:
        kvm_tlb_flush_vmid(kvm)


def kvm_set_spte_hva(kvm: Kvm, hva: int, pte: int) -> None:
    """Point the guest pages at a host page to another frame, read-only. Under mmu_lock.

    A page that is not mapped gets mapped if its level-3 table exists.

    Args:
        kvm: the VM.
        hva: host address; unaligned, it concerns two pages.
        pte: the host's new descriptor, of which bits 39:12 are used.

    Emits:
        kvm_set_spte_hva.

    Source: kvm_set_spte_hva. Differs: nothing.
    """
    if not kvm.pgd:
        return
    kvm.stream.mark("kvm_set_spte_hva", hva=hva)
    stage2_pte = pfn_pte(pte_pfn(pte), kvm.linux.PAGE_S2)

    def handler(gpa: int) -> None:
        stage2_set_pte(kvm, None, gpa, stage2_pte, False)

    handle_hva_to_gpa(kvm, hva, hva + PAGE_SIZE & kvm.linux.ulong_mask, handler)


def kvm_mmu_notifier_invalidate_page(kvm: Kvm, address: int) -> Steps[None]:
    """The host has taken one page back.

    Yields:
        Before mmu_lock is taken.

    Source: kvm_mmu_notifier_invalidate_page. Differs: srcu left out.
    """
    yield from spin_lock(kvm.mmu_lock)
    try:
        _count(kvm, seq=1)
        kvm_unmap_hva(kvm, address)
    finally:
        spin_unlock(kvm.mmu_lock)


def kvm_mmu_notifier_change_pte(kvm: Kvm, address: int, pte: int) -> Steps[None]:
    """The host has put another frame behind a page.

    Yields:
        Before mmu_lock is taken.

    Source: kvm_mmu_notifier_change_pte. Differs: srcu left out.
    """
    yield from spin_lock(kvm.mmu_lock)
    try:
        _count(kvm, seq=1)
        kvm_set_spte_hva(kvm, address, pte)
    finally:
        spin_unlock(kvm.mmu_lock)


def kvm_mmu_notifier_invalidate_range_start(kvm: Kvm, start: int, end: int) -> Steps[None]:
    """The host begins to take pages back; until the end, no fault may map anything.

    Yields:
        Before mmu_lock is taken.

    Source: kvm_mmu_notifier_invalidate_range_start. Differs: srcu left out.
    """
    yield from spin_lock(kvm.mmu_lock)
    try:
        _count(kvm, count=1)
        kvm_unmap_hva_range(kvm, start, end)
    finally:
        spin_unlock(kvm.mmu_lock)


def kvm_mmu_notifier_invalidate_range_end(kvm: Kvm, start: int, end: int) -> Steps[None]:
    """The host has finished with the range.

    Args:
        kvm: the VM.
        start: first byte of the range that was begun.
        end: one past its last byte.

    Yields:
        Before mmu_lock is taken.

    Raises:
        KernelBug: no range was open.

    Source: kvm_mmu_notifier_invalidate_range_end. Differs: nothing.
    """
    yield from spin_lock(kvm.mmu_lock)
    _count(kvm, seq=1, count=-1)
    spin_unlock(kvm.mmu_lock)
    if kvm.mmu_notifier_count >> kvm.linux.config.long_bits - 1:
        raise KernelBug(
            "kvm_mmu_notifier_invalidate_range_end", f"mmu_notifier_count < 0 after range {start:#x} to {end:#x}"
        )


def _count(kvm: Kvm, *, seq: int = 0, count: int = 0) -> None:
    mask = kvm.linux.ulong_mask
    if seq:
        kvm.mmu_notifier_seq = kvm.mmu_notifier_seq + seq & mask
    if count:
        kvm.mmu_notifier_count = kvm.mmu_notifier_count + count & mask
    kvm.stream.mark("notifier/counted", seq=kvm.mmu_notifier_seq, count=kvm.mmu_notifier_count, vm=kvm.number)


def mmu_notifier_retry(kvm: Kvm, mmu_seq: int) -> bool:
    """Return whether a fault that sampled ``mmu_seq`` must not map. Under mmu_lock.

    Source: mmu_notifier_retry, include/linux/kvm_host.h, Linux 3.9. Differs: ``Config.retry`` can break it.
    """
    config = kvm.linux.config
    if not config.CONFIG_MMU_NOTIFIER or config.retry == "none":
        return False
    if config.retry != "seq only" and kvm.mmu_notifier_count:
        return True
    return config.retry != "count only" and kvm.mmu_notifier_seq != mmu_seq
