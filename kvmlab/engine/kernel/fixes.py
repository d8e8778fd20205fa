"""What upstream mended later, each a switch that is off by default.

``Config(fixes=frozenset({"unmap to boundary"}))`` switches one on: the wart is gone, everything else stays Linux 3.9.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kvmlab.engine.errors import InputError


class Fix(NamedTuple):
    """One later change.

    Attributes:
        wart: what Linux 3.9 does.
        instead: what happens with the switch on.
        source: the commit, or the release by which it was mended.
    """

    wart: str
    instead: str
    source: str


FIXES = {
    "unmap to boundary": Fix(
        "unmap_stage2_range steps by 1 GiB or 2 MiB from an unaligned address and skips the head of the next region",
        "a step goes to the next boundary, so the whole range is unmapped and nothing leaks",
        "Linux 3.12.9 has pud_addr_end and pmd_addr_end; refactored in 4f853a714bf1 (2014)",
    ),
    "pgd reference counts": Fix(
        "the second frame of the level-1 table starts with page_count 0, so the last unmap above 512 GiB frees it",
        "both frames of the level-1 table start with page_count 1 and are freed one by one",
        "a987370f8e7a (2015)",
    ),
    "signed PAGE_MASK": Fix(
        "kvm_phys_addr_ioremap cuts the end of its range to 32 bits: a range ending at 4 GiB or above maps nothing",
        "the end keeps all its bits",
        "926edcc747e2 (2013)",
    ),
    "vttbr mask": Fix(
        "VTTBR_BADDR_MASK is 38:12 instead of 39:13: bit 39 of the level-1 table's address is lost",
        "the mask is 39:13",
        "5553b142be11 (2017)",
    ),
    "flush what was mapped": Fix(
        "kvm_unmap_hva_range flushes the whole VMID once for each page, mapped or not",
        "a page that was not mapped is not flushed",
        "Linux 3.12.9: the flush moved to where a leaf is cleared (48762767e1c1, 2013)",
    ),
    "break before make": Fix(
        "stage2_set_pte overwrites a present descriptor with another and flushes afterwards",
        "it clears the descriptor, flushes, then writes the new one",
        "d4b9e0790aa7 (2016)",
    ),
    "device memory type": Fix(
        "a device page gets MemAttr 0x4, the stage-1 index, which in stage-2 encoding is not a device type",
        "a device page gets MemAttr 0x1, Device",
        "later trees: L_PTE_S2_MT_DEV_SHARED is 0x1 << 2",
    ),
    "slots within IPA": Fix(
        "a memory slot may reach beyond 2^40, past the end of the level-1 table",
        "such a slot is refused with -EFAULT",
        "c3058d5da222 (2014)",
    ),
    "unmap deleted slot": Fix(
        "deleting a memory slot leaves its pages in the stage-2 tables, where the notifiers no longer find them",
        "the slot's range is unmapped first",
        "df6ce24f2ee4 (2014)",
    ),
    "vmid before generation": Fix(
        "update_vttbr stores the VM's generation before its VTTBR: another vCPU can see one without the other",
        "the generation is stored last",
        "fb544d1ca65a (2018)",
    ),
}


def check_fixes(names: Iterable[str]) -> frozenset[str]:
    """Return the names as a set.

    Raises:
        InputError: one of them is no fix.
    """
    chosen = frozenset(names)
    if unknown := sorted(map(str, chosen - FIXES.keys())):
        raise InputError(f"fixes has {unknown[0]!r}; allowed: {', '.join(FIXES)}")
    return chosen
