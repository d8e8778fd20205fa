"""Device memory in a guest: ``kvm_phys_addr_ioremap``.

Source: arch/arm/kvm/mmu.c, Linux 3.9 (d5d8184d35c9).
"""

from __future__ import annotations

from kvmlab.engine.kernel.cache import mmu_free_memory_cache, mmu_topup_memory_cache
from kvmlab.engine.kernel.kvm import Kvm
from kvmlab.engine.kernel.pgtable import L_PTE_S2_RDWR, PAGE_SHIFT, PAGE_SIZE, page_s2_device, pfn_pte
from kvmlab.engine.kernel.tables import stage2_set_pte
from kvmlab.engine.tasks import Steps, spin_lock, spin_unlock


def kvm_phys_addr_ioremap(kvm: Kvm, guest_ipa: int, pa: int, size: int) -> Steps[int]:
    """Map a device into the guest, page by page.

    On an error the pages already mapped stay. Every page needs two cached pages, even if no table is missing. With the
    kernel's 32-bit PAGE_MASK the end of the range is cut to 32 bits: one that ends at 4 GiB or above maps nothing.

    Args:
        kvm: the VM.
        guest_ipa: IPA in bytes; the loop starts at it as it is, aligned or not.
        pa: physical address of the device in bytes; bits 11:0 are ignored.
        size: bytes.

    Returns:
        0, -ENOMEM, or -EFAULT if something is mapped there.

    Yields:
        Before mmu_lock is taken for each page.

    Emits:
        ioremap/done.

    Source: kvm_phys_addr_ioremap. Differs: nothing.
    """
    linux = kvm.linux
    page_mask = -PAGE_SIZE
    if "signed PAGE_MASK" not in linux.fixes:
        page_mask &= linux.ulong_mask
    end = guest_ipa + size + PAGE_SIZE - 1 & page_mask
    prot = page_s2_device(fixed="device memory type" in linux.fixes) | L_PTE_S2_RDWR
    pfn = pa >> PAGE_SHIFT & linux.ulong_mask
    addr, ret, mapped = guest_ipa, 0, 0
    with linux.stack_cache() as cache:
        while addr < end:
            ret = mmu_topup_memory_cache(cache, linux.pages, 2, 2)
            if ret:
                break
            yield from spin_lock(kvm.mmu_lock)
            try:
                ret = stage2_set_pte(kvm, cache, addr, pfn_pte(pfn, prot), True)
            finally:
                spin_unlock(kvm.mmu_lock)
            if ret:
                break
            addr += PAGE_SIZE
            pfn += 1
            mapped += 1
        mmu_free_memory_cache(cache, linux.pages)
    linux.stream.mark("ioremap/done", vm=kvm.number, ret=ret, mapped=mapped)
    return ret
