"""One host process: which page is behind which address, and what the host does with it.

Source: mm/memory.c, mm/rmap.c, mm/ksm.c, virt/kvm/kvm_main.c, Linux 3.9, as far as KVM notices.
Differs: one level of page table; no zero page: a page that was never touched gets a frame of its own.
"""

from __future__ import annotations

from kvmlab.engine.events import BANK_BITS, VARIABLES
from kvmlab.engine.host.frames import DIRTY, PINS, REFS, HostFrames
from kvmlab.engine.kernel.kvm import KVM_PFN_ERR_FAULT, Kvm
from kvmlab.engine.kernel.memslot import gfn_to_hva, gfn_to_memslot
from kvmlab.engine.kernel.notifier import (
    kvm_mmu_notifier_change_pte,
    kvm_mmu_notifier_invalidate_page,
    kvm_mmu_notifier_invalidate_range_end,
    kvm_mmu_notifier_invalidate_range_start,
)
from kvmlab.engine.kernel.pgtable import PAGE_SIZE
from kvmlab.engine.tasks import Point, Steps

PRESENT, WRITABLE, SWAPPED, PROTECTED, KSM = 1, 2, 4, 8, 16
"""Bits of a host page-table entry; bits 63:12 hold the frame or swap slot. PROTECTED: the process may not write."""


class HostMemory:
    """The memory of the process that runs one VM, and its MMU notifiers.

    Args:
        number: which VM.
        frames: the host's frames.
        notify: whether the kernel has CONFIG_MMU_NOTIFIER.
        fast_gup: whether a read look-up may answer "writable".
    """

    def __init__(self, number: int, frames: HostFrames, *, notify: bool, fast_gup: bool) -> None:
        """Start with no page."""
        self.number = number
        self.frames = frames
        self.stream = frames.stream
        self.notify = notify
        self.fast_gup = fast_gup
        self.kvm: Kvm
        self._ptes: dict[int, int] = {}  # hva -> variable; a directory, not state

    def pte(self, hva: int) -> int:
        """Return the host's entry for the page at ``hva``, a multiple of 4096."""
        variable = self._ptes.get(hva)
        return 0 if variable is None else self.stream.variables[variable]

    def set_pte(self, hva: int, pte: int) -> None:
        """Write the host's entry for the page at ``hva``."""
        if hva not in self._ptes:
            self._ptes[hva] = self.stream.allocate(1, lambda _: f"host[{self.number}].pte[{hva:#x}]")
        self.stream.write(self._ptes[hva] << BANK_BITS | VARIABLES, pte)

    # -- what KVM asks ---------------------------------------------------------------------------------------------

    def gfn_to_pfn_prot(self, kvm: Kvm, gfn: int, write_fault: bool) -> Steps[tuple[int, bool]]:
        """Find and pin the frame behind a guest page, as a page fault of the process would.

        Args:
            kvm: the VM.
            gfn: the guest page, in a slot.
            write_fault: whether the guest wants to write.

        Returns:
            (pfn, writable). A read is answered writable = False: 3.9 ARM has no __get_user_pages_fast of its own, so
            nothing upgrades it. (KVM_PFN_ERR_FAULT, False) if the process may not do this itself.

        Yields:
            Inside a copy-on-write break.

        Source: gfn_to_pfn_prot, hva_to_pfn_slow, Linux 3.9; a real fast look-up came with 2667f50e8b81.
        """
        slot = gfn_to_memslot(kvm, gfn)
        if slot is None:  # KVM_PFN_NOSLOT, which 3.9 does not take for an error: it would map physical address 0
            return 0, False
        hva = gfn_to_hva(gfn, slot)
        if write_fault and self.pte(hva) & PROTECTED:
            return KVM_PFN_ERR_FAULT, False
        pfn = yield from self.touch(hva, write=write_fault)
        self.frames.pin(pfn)
        pte = self.pte(hva)
        return pfn, write_fault or (self.fast_gup and bool(pte & WRITABLE))

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        """Drop the pin that ``gfn_to_pfn_prot`` took."""
        if pfn:
            self.frames.unpin(pfn)

    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        """Note that the page may be written from now on."""
        self.frames.put(pfn, DIRTY, 1)

    # -- what the host does ----------------------------------------------------------------------------------------

    def touch(self, hva: int, *, write: bool) -> Steps[int]:
        """Bring a page in, and make it the process's own if it is to be written; return its frame.

        Emits:
            host/page_given, host/swapped_in, host/copied.
        """
        pte = self.pte(hva)
        if not pte & PRESENT:
            pfn = self.frames.alloc()
            if pte & SWAPPED:
                self.frames.ram.copy(pte >> 12, pfn)
                self.stream.mark("host/swapped_in", vm=self.number, hva=hva, pfn=pfn)
            else:
                self.stream.mark("host/page_given", vm=self.number, hva=hva, pfn=pfn)
            protected = pte & PROTECTED
            pte = pfn << 12 | PRESENT | (protected or WRITABLE)
            self.set_pte(hva, pte)
        if write and not pte & WRITABLE:
            yield from self._break_cow(hva)
        return self.pte(hva) >> 12

    def _break_cow(self, hva: int) -> Steps[None]:
        """Give the process a page of its own (do_wp_page)."""
        old = self.pte(hva) >> 12
        if not self.pte(hva) & KSM and self.frames.get(old, REFS) - self.frames.get(old, PINS) == 1:
            self.set_pte(hva, old << 12 | PRESENT | WRITABLE)
            self.stream.mark("host/reused", vm=self.number, hva=hva, pfn=old)
            return
        new = self.frames.alloc()
        self.frames.ram.copy(old, new)
        yield from self._replace(hva, new << 12 | PRESENT | WRITABLE)
        self.stream.mark("host/copied", vm=self.number, hva=hva, old=old, pfn=new)
        self.frames.put_ref(old)

    def _replace(self, hva: int, pte: int) -> Steps[None]:
        """Change a present entry, between range_start and range_end, with change_pte in the middle."""
        if self.notify:
            yield from kvm_mmu_notifier_invalidate_range_start(self.kvm, hva, hva + PAGE_SIZE)
        yield Point("change the host's entry")
        self.set_pte(hva, pte)
        if self.notify:
            yield from kvm_mmu_notifier_change_pte(self.kvm, hva, pte & ~(PAGE_SIZE - 1))
            yield from kvm_mmu_notifier_invalidate_range_end(self.kvm, hva, hva + PAGE_SIZE)

    def swap_out(self, hva: int) -> Steps[None]:
        """Move a page to swap.

        Yields:
            Before the entry is cleared, before the notifier's lock, before the frame is freed.

        Emits:
            host/swapped_out.

        Source: try_to_unmap_one: the entry is cleared first, then invalidate_page is called.
        """
        yield Point("clear the host's entry")
        pte = self.pte(hva)
        pfn, slot = pte >> 12, self.frames.alloc_swap()
        self.set_pte(hva, slot << 12 | SWAPPED | pte & PROTECTED)
        if self.notify:
            yield from kvm_mmu_notifier_invalidate_page(self.kvm, hva)
        yield Point("write the page to swap and free it")
        self.frames.ram.copy(pfn, slot)
        self.stream.mark("host/swapped_out", vm=self.number, hva=hva, pfn=pfn)
        self.frames.put_ref(pfn)

    def discard(self, start: int, end: int) -> Steps[None]:
        """Throw pages away (madvise MADV_DONTNEED, or a balloon): the next touch finds zeros.

        Yields:
            Before each lock, before the entries are cleared, before the frames are freed.

        Emits:
            host/discarded.

        Source: zap_page_range.
        """
        if self.notify:
            yield from kvm_mmu_notifier_invalidate_range_start(self.kvm, start, end)
        yield Point("clear the host's entries")
        gone = []
        for hva in range(start, end, PAGE_SIZE):
            pte = self.pte(hva)
            if pte & (PRESENT | SWAPPED):
                self.set_pte(hva, pte & PROTECTED)
            if pte & PRESENT:
                gone.append(pte >> 12)
        if self.notify:
            yield from kvm_mmu_notifier_invalidate_range_end(self.kvm, start, end)
        yield Point("free the frames")
        for pfn in gone:
            self.frames.put_ref(pfn)
        self.stream.mark("host/discarded", vm=self.number, start=start, end=end, pfns=gone)

    def protect(self, start: int, end: int, *, writable: bool) -> Steps[None]:
        """Let the process write to pages, or not (mprotect).

        Source: change_protection, between range_start and range_end.
        """
        if self.notify:
            yield from kvm_mmu_notifier_invalidate_range_start(self.kvm, start, end)
        yield Point("change the host's entries")
        for hva in range(start, end, PAGE_SIZE):
            pte = self.pte(hva) & ~(PROTECTED | WRITABLE)
            own = writable and pte & PRESENT and not pte & KSM
            self.set_pte(hva, pte | (0 if writable else PROTECTED) | (WRITABLE if own else 0))
        if self.notify:
            yield from kvm_mmu_notifier_invalidate_range_end(self.kvm, start, end)
        self.stream.mark("host/protected", vm=self.number, start=start, end=end, writable=writable)

    def write_protect(self, hva: int) -> Steps[None]:
        """Make a page read-only so that its contents stay put while KSM compares (write_protect_page)."""
        pte = self.pte(hva)
        if pte & WRITABLE:
            yield from self._replace(hva, pte & ~WRITABLE)
            self.stream.mark("host/write_protected", vm=self.number, hva=hva, pfn=pte >> 12)

    def merge_into(self, hva: int, pfn: int) -> Steps[None]:
        """Put the shared frame ``pfn`` behind a page and drop its own (replace_page).

        Emits:
            host/merged.
        """
        old = self.pte(hva) >> 12
        if old != pfn:
            self.frames.get_ref(pfn)
            yield from self._replace(hva, pfn << 12 | PRESENT | KSM)
            self.frames.put_ref(old)
        else:
            self.set_pte(hva, pfn << 12 | PRESENT | KSM)
        self.stream.mark("host/merged", vm=self.number, hva=hva, old=old, pfn=pfn)


def ksm_merge(first: HostMemory, first_hva: int, second: HostMemory, second_hva: int) -> Steps[bool]:
    """Let two equal pages share one frame, read-only.

    Returns:
        Whether they do: not if somebody holds one of them pinned, or their contents differ by then.

    Source: try_to_merge_two_pages, mm/ksm.c, Linux 3.9.
    """
    ram, frames = first.frames.ram, first.frames
    for mm, hva in ((first, first_hva), (second, second_hva)):
        yield from mm.write_protect(hva)
    kept, spare = first.pte(first_hva) >> 12, second.pte(second_hva) >> 12
    if ram.page(kept) != ram.page(spare) or frames.get(kept, PINS) or frames.get(spare, PINS):
        first.stream.mark("host/not_merged", pfn=kept, other=spare)
        return False
    yield from first.merge_into(first_hva, kept)
    yield from second.merge_into(second_hva, kept)
    return True
