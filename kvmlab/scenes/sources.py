"""Where the code of a step stands: each kernel function's file in Linux 3.9, as a link to a public source browser."""

from __future__ import annotations

import re

BROWSER = "https://elixir.bootlin.com/linux/v3.9/source/"
"""Only a link: nothing is fetched until somebody follows it."""

_FUNCTIONS = {
    "arch/arm/kvm/mmu.c": (
        "mmu_topup_memory_cache mmu_free_memory_cache mmu_memory_cache_alloc kvm_alloc_stage2_pgd clear_pud_entry "
        "clear_pmd_entry clear_pte_entry unmap_stage2_range kvm_free_stage2_pgd stage2_set_pte kvm_phys_addr_ioremap "
        "coherent_icache_guest_page user_mem_abort kvm_handle_guest_abort handle_hva_to_gpa kvm_unmap_hva "
        "kvm_unmap_hva_handler kvm_unmap_hva_range kvm_set_spte_hva kvm_set_spte_handler kvm_tlb_flush_vmid "
        "kvm_set_pte kvm_mmu_free_memory_caches"
    ),
    "arch/arm/kvm/arm.c": (
        "update_vttbr need_new_vmid_gen force_vm_exit kvm_arch_init_vm kvm_arch_destroy_vm kvm_arch_vcpu_ioctl_run "
        "kvm_arch_vcpu_load handle_exit"
    ),
    "arch/arm/kvm/interrupts.S": "__kvm_flush_vm_context __kvm_tlb_flush_vmid __kvm_vcpu_run guest_trap",
    "arch/arm/kvm/init.S": "__kvm_hyp_init",
    "arch/arm/kvm/emulate.c": "kvm_inject_pabt kvm_inject_dabt",
    "arch/arm/kvm/mmio.c": "io_mem_abort kvm_handle_mmio_return",
    "arch/arm/kvm/vgic.c": "kvm_vgic_init",
    "arch/arm/include/asm/kvm_mmu.h": "kvm_is_write_fault",
    "arch/arm/include/asm/tlbflush.h": "local_flush_tlb_all",
    "virt/kvm/kvm_main.c": (
        "kvm_mmu_notifier_invalidate_page kvm_mmu_notifier_change_pte kvm_mmu_notifier_invalidate_range_start "
        "kvm_mmu_notifier_invalidate_range_end gfn_to_memslot gfn_to_pfn_prot hva_to_pfn_slow "
        "__kvm_set_memory_region kvm_set_memory_region kvm_release_pfn_clean kvm_set_pfn_dirty kvm_create_vm "
        "kvm_destroy_vm"
    ),
    "include/linux/kvm_host.h": "mmu_notifier_retry kvm_memslots",
    "include/linux/spinlock.h": "spin_lock spin_unlock",
    "include/linux/mmu_notifier.h": "mmu_notifier_invalidate_range_start mmu_notifier_invalidate_range_end",
    "mm/rmap.c": "try_to_unmap_one",
    "mm/memory.c": "do_swap_page do_wp_page do_anonymous_page zap_page_range",
    "mm/mprotect.c": "change_protection mprotect_fixup",
    "mm/ksm.c": "try_to_merge_two_pages write_protect_page replace_page",
    "mm/page_alloc.c": "__alloc_pages_nodemask __get_free_pages free_pages should_fail_alloc_page",
    "mm/swap.c": "put_page",
    "include/linux/mm.h": "get_page",
    "include/linux/gfp.h": "alloc_pages",
}
_LATER = {
    "https://elixir.bootlin.com/linux/v5.18/source/arch/arm64/kvm/vmid.c": (
        "kvm_arm_vmid_update new_vmid check_update_reserved_vmid flush_context kvm_arm_vmid_clear_active "
        "kvm_arm_vmid_alloc_init"
    ),
}
"""Functions that Linux 3.9 has not, by the whole address of their file."""
OF_FUNCTION = {name: file for file, names in (_FUNCTIONS | _LATER).items() for name in names.split()}

_BESIDE = {
    "stage-2 walk": "arch/arm/kvm/init.S",
    "TLB": "arch/arm/kvm/interrupts.S",
    "exit to Hyp mode": "arch/arm/kvm/interrupts.S",
    "guest code": "arch/arm/kvm/interrupts.S",
    "user space": "arch/arm/kvm/arm.c",
    "host process": "mm/memory.c",
    "start of KVM": "arch/arm/kvm/arm.c",
    "start": "arch/arm/kvm/arm.c",
}
"""What is no kernel function, and the kernel's file beside it: that sets the unit up, enters the guest or leaves it."""


def source_of(fn: str) -> str | None:
    """Return the kernel's file that a step's function stands in; for hardware, guest and user space the file beside it.

    Args:
        fn: as a step names it: a function, perhaps with its arguments, or a unit of the hardware.

    Returns:
        The file's path in the tree of Linux 3.9; for a function of a later kernel the whole address, which names its
        version; None if none is known.

    >>> source_of("mmu_topup_memory_cache(2, 40)"), source_of("stage-2 walk, level 1")
    ('arch/arm/kvm/mmu.c', 'arch/arm/kvm/init.S')
    """
    word = re.match(r"\w*", fn)
    if word and (file := OF_FUNCTION.get(word.group())):
        return file
    return next((file for unit, file in _BESIDE.items() if fn.startswith(unit)), None)
