"""The kernel's view of a descriptor: its constants and the small functions around them.

Source: arch/arm/include/asm/{kvm_arm,kvm_mmu,pgtable,pgtable-3level,pgtable-3level-hwdef}.h and arch/arm/mm/mmu.c,
Linux 3.9. Values for PAGE_S2 are what ``build_mem_type_table`` leaves on ARMv7.
"""

from __future__ import annotations

from kvmlab.engine.hardware.walker import (
    VTCR_RES1,
    VTCR_S,
    VTCR_SL0_LEVEL1,
    VTCR_T0SZ_40_BITS,
)

PAGE_SHIFT, PMD_SHIFT, PUD_SHIFT = 12, 21, 30
PAGE_SIZE, PMD_SIZE, PUD_SIZE = 1 << PAGE_SHIFT, 1 << PMD_SHIFT, 1 << PUD_SHIFT
PHYS_MASK = (1 << 40) - 1
KVM_PHYS_SHIFT = 40
KVM_PHYS_SIZE = 1 << KVM_PHYS_SHIFT
PTRS_PER_S2_PGD = 1 << KVM_PHYS_SHIFT - PUD_SHIFT
S2_PGD_ORDER = 1
KVM_NR_MEM_OBJS = 40

PMD_TYPE_TABLE = 0x3
PAGE_S2_SMP, PAGE_S2_UP = 0x77F, 0x47F
PAGE_S2_DEVICE = 0x00C0_0000_0000_0753
L_PTE_S2_RDWR = 3 << 6
_DEVICE_MEMATTR, _DEVICE_MEMATTR_FIXED = 0x4 << 2, 0x1 << 2

VTTBR_BADDR_MASK = 0x7F_FFFF_F000
"""Bits 38:12, off by one both ways; the field is 39:13."""
VTTBR_BADDR_MASK_FIXED = 0xFF_FFFF_E000
VTTBR_VMID_SHIFT = 48
VTCR_SH_ORGN_IRGN_SMP, VTCR_SH_ORGN_IRGN_UP = 0x3500, 0x0F00
"""Copied by the kernel from its own TTBCR: inner shareable and write-back on SMP."""


def vtcr(*, smp: bool) -> int:
    """Return VTCR as the kernel sets it: 40-bit IPAs, walks start at level 1.

    Source: arch/arm/kvm/init.S, Linux 3.9.

    >>> hex(vtcr(smp=True))
    '0x80003558'
    """
    return (
        VTCR_RES1
        | VTCR_SL0_LEVEL1
        | VTCR_S
        | VTCR_T0SZ_40_BITS
        | (VTCR_SH_ORGN_IRGN_SMP if smp else VTCR_SH_ORGN_IRGN_UP)
    )


def page_s2_device(*, fixed: bool) -> int:
    """Return the attributes of a device page.

    Args:
        fixed: with the memory type that later kernels use.
    """
    return PAGE_S2_DEVICE & ~_DEVICE_MEMATTR | _DEVICE_MEMATTR_FIXED if fixed else PAGE_S2_DEVICE


def pfn_pte(pfn: int, prot: int) -> int:
    """Return the descriptor of page frame ``pfn`` with attributes ``prot``; 64 bits."""
    return (pfn << PAGE_SHIFT | prot) & 0xFFFF_FFFF_FFFF_FFFF


def pte_pfn(pte: int) -> int:
    """Return the page frame number in bits 39:12."""
    return (pte & PHYS_MASK) >> PAGE_SHIFT


def pte_present(pte: int) -> bool:
    """Return whether either of the two low bits is set."""
    return bool(pte & 3)


def pgd_index(addr: int) -> int:
    """Return the level 1 index: a plain shift, not masked."""
    return addr >> PUD_SHIFT


def pmd_index(addr: int) -> int:
    """Return the level 2 index, 0 to 511."""
    return addr >> PMD_SHIFT & 511


def pte_index(addr: int) -> int:
    """Return the level 3 index, 0 to 511."""
    return addr >> PAGE_SHIFT & 511
