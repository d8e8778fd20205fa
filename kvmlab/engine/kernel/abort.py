"""A guest fault, from the trap to the new mapping.

Source: arch/arm/kvm/mmu.c, Linux 3.9 (94f8e6418d39).
"""

from __future__ import annotations

from kvmlab.engine.hardware.syndrome import EC_IABT, EC_SHIFT, FSC_TYPE_MASK, FSC_TYPES, ISV, WNR
from kvmlab.engine.kernel.cache import mmu_topup_memory_cache
from kvmlab.engine.kernel.errno import EFAULT
from kvmlab.engine.kernel.kvm import KVM_PFN_ERR_FAULT, Vcpu
from kvmlab.engine.kernel.memslot import gfn_to_hva, gfn_to_memslot
from kvmlab.engine.kernel.notifier import mmu_notifier_retry
from kvmlab.engine.kernel.pgtable import KVM_NR_MEM_OBJS, L_PTE_S2_RDWR, PAGE_SHIFT, pfn_pte
from kvmlab.engine.kernel.tables import stage2_set_pte
from kvmlab.engine.tasks import Point, Steps, spin_lock, spin_unlock

FSC_FAULT, FSC_PERM = FSC_TYPES["translation"], FSC_TYPES["permission"]


def kvm_is_write_fault(hsr: int) -> bool:
    """Return whether KVM takes the abort for a write: every data abort but a load with a valid syndrome.

    Source: kvm_is_write_fault. Differs: nothing.
    """
    return hsr >> EC_SHIFT != EC_IABT and not (hsr & ISV and not hsr & WNR)


def kvm_handle_guest_abort(vcpu: Vcpu) -> Steps[int]:
    """Handle a stage-2 abort that the vCPU's hsr, hpfar and hxfar describe.

    Args:
        vcpu: the vCPU that faulted.

    Returns:
        1 to resume the guest, 0 to leave to user space (emulated I/O), or a negative error.

    Yields:
        Where ``user_mem_abort`` does.

    Emits:
        kvm_guest_fault, slot/found or slot/missed, abort/handled.

    Source: kvm_handle_guest_abort. Differs: srcu left out; ``io_mem_abort`` is whatever ``kvm.io_mem_abort`` is.
    """
    kvm, stream = vcpu.kvm, vcpu.stream
    hsr_ec = vcpu.hsr >> EC_SHIFT
    fault_ipa = (vcpu.hpfar & ~0xF) << 8
    stream.mark("kvm_guest_fault", vcpu_pc=vcpu.pc, hsr=vcpu.hsr, hxfar=vcpu.hxfar, ipa=fault_ipa)
    fault_status = vcpu.hsr & FSC_TYPE_MASK
    gfn = fault_ipa >> PAGE_SHIFT
    if fault_status not in (FSC_FAULT, FSC_PERM):
        stream.mark("kernel/warned", text=f"Unsupported fault status: EC={hsr_ec:#x} DFCS={fault_status:#x}")
        ret = -EFAULT
    elif (slot := gfn_to_memslot(kvm, gfn)) is None:
        stream.mark("slot/missed", gfn=gfn)
        ret = _outside_slots(vcpu, hsr_ec, fault_status, fault_ipa)
    else:
        stream.mark("slot/found", gfn=gfn, slot=slot.id, hva=gfn_to_hva(gfn, slot))
        ret = yield from user_mem_abort(vcpu, fault_ipa, gfn, fault_status)
        ret = ret or 1
    stream.mark("abort/handled", ret=ret)
    return ret


def _outside_slots(vcpu: Vcpu, hsr_ec: int, fault_status: int, fault_ipa: int) -> int:
    if hsr_ec == EC_IABT:
        kvm_inject_pabt(vcpu, vcpu.hxfar)
        return 1
    if fault_status != FSC_FAULT:
        vcpu.stream.mark("kernel/warned", text=f"Unsupported fault status on io memory: {fault_status:#x}")
        return -EFAULT
    fault_ipa |= vcpu.hxfar & 0xFFF
    vcpu.stream.mark("io_mem_abort", ipa=fault_ipa)
    return vcpu.kvm.io_mem_abort(vcpu, fault_ipa)


def kvm_inject_pabt(vcpu: Vcpu, addr: int) -> None:
    """Make the guest take a prefetch abort at virtual address ``addr``.

    Source: kvm_inject_pabt, arch/arm/kvm/emulate.c, Linux 3.9. Differs: only counted; no exception vector is run.
    """
    vcpu.injected += 1
    vcpu.stream.mark("inject_pabt", hxfar=addr)


def user_mem_abort(vcpu: Vcpu, fault_ipa: int, gfn: int, fault_status: int) -> Steps[int]:
    """Map the guest page that faulted, in memory that the host process provides.

    Pages for tables are taken before mmu_lock, where one may sleep. Whether the host page is still the right one is
    tested under mmu_lock, with the sequence sampled before the look-up; if it may not be, nothing is mapped and the
    guest faults again.

    Args:
        vcpu: the vCPU that faulted; its hsr says what for.
        fault_ipa: IPA in bytes.
        gfn: its page.
        fault_status: FSC_FAULT or FSC_PERM.

    Returns:
        0, also after a retry; -ENOMEM; -EFAULT if the host has no page, or for a permission fault that is no write.

    Yields:
        Before the sequence is sampled, before the look-up and inside it, before mmu_lock, before the page is released.

    Emits:
        notifier/sampled, page/looked_up, icache/maintained, notifier/passed or notifier/retried, page/dirtied.

    Source: user_mem_abort. Differs: ``memslot`` is not passed, the kernel does not use it; instruction caches hold
    nothing here.
    """
    kvm, stream = vcpu.kvm, vcpu.stream
    linux = kvm.linux
    cache = vcpu.mmu_page_cache
    late = linux.config.retry == "sampled late"
    write_fault = kvm_is_write_fault(vcpu.hsr)
    if fault_status == FSC_PERM and not write_fault:
        stream.mark("kernel/warned", text="Unexpected L2 read permission error")
        return -EFAULT
    ret = mmu_topup_memory_cache(cache, linux.pages, 2, KVM_NR_MEM_OBJS)
    if ret:
        return ret
    mmu_seq = 0
    if not late:
        mmu_seq = yield from _sample(vcpu)
    yield Point("look the page up")
    pfn, writable = yield from kvm.mm.gfn_to_pfn_prot(kvm, gfn, write_fault)
    stream.mark("page/looked_up", gfn=gfn, write_fault=write_fault, pfn=pfn, writable=writable)
    if pfn == KVM_PFN_ERR_FAULT:
        return -EFAULT
    if late:
        mmu_seq = yield from _sample(vcpu)
    new_pte = pfn_pte(pfn, linux.PAGE_S2)
    stream.mark("icache/maintained", gfn=gfn)
    yield from spin_lock(kvm.mmu_lock)
    try:
        retry = mmu_notifier_retry(kvm, mmu_seq)
        stream.mark(
            "notifier/retried" if retry else "notifier/passed",
            sampled=mmu_seq,
            seq=kvm.mmu_notifier_seq,
            count=kvm.mmu_notifier_count,
        )
        if not retry:
            if writable:
                new_pte |= L_PTE_S2_RDWR
                kvm.mm.kvm_set_pfn_dirty(pfn)
                stream.mark("page/dirtied", pfn=pfn)
            stage2_set_pte(kvm, cache, fault_ipa, new_pte, False)
    finally:
        spin_unlock(kvm.mmu_lock)
    yield Point("release the page")
    kvm.mm.kvm_release_pfn_clean(pfn)
    return 0


def _sample(vcpu: Vcpu) -> Steps[int]:
    yield Point("sample mmu_notifier_seq")
    seq = vcpu.kvm.mmu_notifier_seq
    vcpu.stream.mark("notifier/sampled", seq=seq)
    return seq
