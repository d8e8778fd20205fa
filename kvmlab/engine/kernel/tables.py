"""The stage-2 tables: made, filled, emptied, freed.

Source: arch/arm/kvm/mmu.c, Linux 3.9 (d5d8184d35c9).
Differs: data cache maintenance is left out (that ``clean_pte_table`` cleans the wrong 4 KiB does no harm where walks
snoop the data cache).
"""

from __future__ import annotations

from kvmlab.engine.errors import KernelBug
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.engine.kernel.cache import KvmMmuMemoryCache, mmu_memory_cache_alloc
from kvmlab.engine.kernel.errno import EFAULT, EINVAL, ENOMEM
from kvmlab.engine.kernel.flush import kvm_tlb_flush_vmid
from kvmlab.engine.kernel.kvm import Kvm
from kvmlab.engine.kernel.pgtable import (
    KVM_PHYS_SIZE,
    PAGE_SIZE,
    PMD_SIZE,
    PMD_TYPE_TABLE,
    PTRS_PER_S2_PGD,
    PUD_SHIFT,
    PUD_SIZE,
    S2_PGD_ORDER,
    pgd_index,
    pmd_index,
    pte_index,
    pte_present,
)


def kvm_alloc_stage2_pgd(kvm: Kvm) -> int:
    """Allocate the level-1 table: two frames, zeroed.

    Returns:
        0; -EINVAL if there is one already; -ENOMEM.

    Emits:
        tables/created.

    Source: kvm_alloc_stage2_pgd. Differs: nothing.
    """
    if kvm.pgd:
        kvm.stream.mark("kernel/warned", text="kvm_arch already initialized?", pa=kvm.pgd)
        return -EINVAL
    pages = kvm.linux.pages
    pgd = pages.alloc_pages(S2_PGD_ORDER)
    if pgd is None:
        return -ENOMEM
    if "pgd reference counts" in kvm.linux.fixes:
        pages.get_page(pgd + PAGE_SIZE)
    kvm.pgd = pgd
    kvm.stream.mark("tables/created", vm=kvm.number, pgd=pgd)
    return 0


def kvm_free_stage2_pgd(kvm: Kvm) -> None:
    """Unmap everything and free the level-1 table.

    What ``unmap_stage2_range`` skips stays allocated, and then so does the level-1 table. No TLB is flushed.

    Emits:
        tables/destroyed.

    Source: kvm_free_stage2_pgd. Differs: nothing.
    """
    pgd = kvm.pgd
    if not pgd:
        return
    unmap_stage2_range(kvm, 0, KVM_PHYS_SIZE)
    pages = kvm.linux.pages
    if "pgd reference counts" in kvm.linux.fixes:
        pages.put_page(pgd + PAGE_SIZE)
        pages.put_page(pgd)
    else:
        pages.free_pages(pgd, S2_PGD_ORDER)
    kvm.pgd = 0
    kvm.stream.mark("tables/destroyed", vm=kvm.number, pgd=pgd)


def stage2_set_pte(kvm: Kvm, cache: KvmMmuMemoryCache | None, addr: int, new_pte: int, iomap: bool) -> int:
    """Write one level-3 descriptor, making the tables above it if they are missing. Under mmu_lock.

    Args:
        kvm: the VM.
        cache: where missing tables come from; None: with a table missing, nothing happens.
        addr: IPA in bytes; bits 11:0 are ignored.
        new_pte: the descriptor, 64 bits.
        iomap: refuse to replace a present descriptor.

    Returns:
        0, or -EFAULT for a refused replacement.

    Emits:
        tables/set, cache/taken, tables/linked, then tables/mapped, tables/refused or tables/ignored.

    Raises:
        KernelBug: a table is missing and the cache is empty. A level-2 table linked before stays linked.

    Source: stage2_set_pte. Differs: nothing.
    """
    linux = kvm.linux
    memory, pages, stream = linux.memory, linux.pages, linux.stream
    if stream.recording:  # asked here too, as this runs once a page
        stream.mark("tables/set", vm=kvm.number, ipa=addr, new=new_pte, iomap=iomap)
    pud = kvm.pgd + 8 * _checked_pgd_index(addr)
    word = memory.read(pud)
    if not word:
        if cache is None:
            stream.mark("tables/ignored", ipa=addr, level=1)
            return 0
        word = _link_table(kvm, cache, 1, addr, pgd_index(addr), pud)
    pmd = (word & ADDRESS_MASK) + 8 * pmd_index(addr)
    word = memory.read(pmd)
    if not word:
        if cache is None:
            stream.mark("tables/ignored", ipa=addr, level=2)
            return 0
        word = _link_table(kvm, cache, 2, addr, pmd_index(addr), pmd)
    index = pte_index(addr)
    pte = (word & ADDRESS_MASK) + 8 * index
    old_pte = memory.read(pte)
    present = old_pte & 3
    if present and iomap:
        stream.mark("tables/refused", ipa=addr, old=old_pte)
        return -EFAULT
    if present and "break before make" in linux.fixes:
        memory.write(pte, 0)
        kvm_tlb_flush_vmid(kvm)
        memory.write(pte, new_pte)
        stream.mark("tables/mapped", ipa=addr, index=index, entry=pte, old=old_pte, new=new_pte)
        return 0
    memory.write(pte, new_pte)
    if stream.recording:
        stream.mark("tables/mapped", ipa=addr, index=index, entry=pte, old=old_pte, new=new_pte)
    if present:
        kvm_tlb_flush_vmid(kvm)
    else:
        pages.get_page(pte)
    return 0


def _checked_pgd_index(addr: int) -> int:
    """Return the level 1 index; ``pgd_index`` is not masked, so it may lie beyond the table."""
    index = addr >> PUD_SHIFT
    if index >= PTRS_PER_S2_PGD:
        raise KernelBug("pgd_offset", f"IPA {addr:#x} has level 1 index {index}, beyond the {PTRS_PER_S2_PGD} entries")
    return index


def _link_table(kvm: Kvm, cache: KvmMmuMemoryCache, level: int, addr: int, index: int, entry: int) -> int:
    """Put a page from the cache under an empty entry (pud_populate, pmd_populate_kernel) and return the descriptor."""
    linux = kvm.linux
    table = mmu_memory_cache_alloc(cache)
    descriptor = table | PMD_TYPE_TABLE
    linux.memory.write(entry, descriptor)
    linux.pages.get_page(entry)
    linux.stream.mark(
        "tables/linked", level=level, ipa=addr, index=index, entry=entry, table=table, descriptor=descriptor
    )
    return descriptor


def unmap_stage2_range(kvm: Kvm, start: int, size: int) -> int:
    """Clear every level-3 descriptor in a range of IPAs, and free the tables this empties. Under mmu_lock.

    A step of 1 GiB or 2 MiB is added to the address as it is, aligned or not, so the head of the next region can be
    skipped. No TLB is flushed in here.

    Args:
        kvm: the VM, which has a level-1 table.
        start: IPA in bytes, need not be aligned.
        size: bytes, 0 or more.

    Returns:
        How many descriptors were cleared.

    Emits:
        tables/cleared, tables/unlinked, page/freed.

    Source: unmap_stage2_range. Differs: in C it returns nothing.
    """
    linux = kvm.linux
    memory, pages, pgd = linux.memory, linux.pages, kvm.pgd
    to_boundary = "unmap to boundary" in linux.fixes
    addr, end, cleared = start, start + size, 0
    while addr < end:
        pud = pgd + 8 * _checked_pgd_index(addr)
        word = memory.read(pud)
        if not word:
            step = PUD_SIZE
        else:
            pmd = (word & ADDRESS_MASK) + 8 * pmd_index(addr)
            word = memory.read(pmd)
            if not word:
                step = PMD_SIZE
            else:
                step = PAGE_SIZE
                pte = (word & ADDRESS_MASK) + 8 * pte_index(addr)
                cleared += clear_pte_entry(kvm, pte, addr)
                if pages.page_count(pte) == 1:
                    clear_pmd_entry(kvm, pmd, addr)
                    step = PMD_SIZE
                    if pages.page_count(pmd) == 1:
                        clear_pud_entry(kvm, pud, addr)
                        step = PUD_SIZE
        addr = (addr // step + 1) * step if to_boundary else addr + step
    return cleared


def clear_pud_entry(kvm: Kvm, pud: int, addr: int) -> None:
    """Unlink and free the level-2 table under the level-1 entry at physical address ``pud``.

    Source: clear_pud_entry. Differs: nothing.
    """
    _unlink_table(kvm, 1, pgd_index(addr), pud, addr)


def clear_pmd_entry(kvm: Kvm, pmd: int, addr: int) -> None:
    """Unlink and free the level-3 table under the level-2 entry at physical address ``pmd``.

    Source: clear_pmd_entry. Differs: nothing.
    """
    _unlink_table(kvm, 2, pmd_index(addr), pmd, addr)


def _unlink_table(kvm: Kvm, level: int, index: int, entry: int, addr: int) -> None:
    linux = kvm.linux
    table = linux.memory.read(entry) & ADDRESS_MASK
    linux.memory.write(entry, 0)
    linux.stream.mark("tables/unlinked", level=level, ipa=addr, index=index, entry=entry, table=table)
    linux.pages.put_page(table)
    linux.pages.put_page(entry)


def clear_pte_entry(kvm: Kvm, pte: int, addr: int) -> bool:
    """Clear the level-3 descriptor at physical address ``pte``, if it is present, and return whether it was.

    Source: clear_pte_entry. Differs: in C it returns nothing.
    """
    linux = kvm.linux
    old = linux.memory.read(pte)
    if not pte_present(old):
        return False
    linux.memory.write(pte, 0)
    linux.stream.mark("tables/cleared", ipa=addr, entry=pte, old=old)
    linux.pages.put_page(pte)
    return True
