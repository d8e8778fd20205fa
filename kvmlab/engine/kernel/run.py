"""A VM's life: made, entered, left, destroyed.

Source: arch/arm/kvm/arm.c and arch/arm/kvm/interrupts.S, Linux 3.9 (f7ed45be3ba5).
"""

from __future__ import annotations

from kvmlab.engine.hardware.cpu import Cpu
from kvmlab.engine.kernel.cache import mmu_free_memory_cache
from kvmlab.engine.kernel.kvm import Kvm, Vcpu
from kvmlab.engine.kernel.leave import kvm_arm_vmid_clear_active
from kvmlab.engine.kernel.tables import kvm_alloc_stage2_pgd, kvm_free_stage2_pgd
from kvmlab.engine.kernel.vmid import need_new_vmid_gen, update_vttbr
from kvmlab.engine.kernel.vmid_bitmap import kvm_arm_vmid_update
from kvmlab.engine.tasks import Point, Steps

FIRST_PC = 0x8000
"""Where the guest's program begins; only shown, never fetched."""


def kvm_arch_init_vm(kvm: Kvm) -> int:
    """Set a new VM up: its level-1 table, and a VMID generation that is never current.

    Returns:
        0, or -ENOMEM.

    Source: kvm_arch_init_vm. Differs: the mapping of struct kvm into Hyp mode is left out.
    """
    ret = kvm_alloc_stage2_pgd(kvm)
    if ret:
        return ret
    kvm.vmid_gen = 0
    for vcpu in kvm.vcpus:
        vcpu.pc = FIRST_PC
    kvm.created = 1
    return 0


def kvm_arch_destroy_vm(kvm: Kvm) -> None:
    """Free the VM's tables, then each vCPU's memory cache. Its VMID is not given back.

    Source: kvm_arch_destroy_vm. Differs: nothing.
    """
    vmids = kvm.linux.vmids
    for cpu in kvm.linux.cpus:
        if kvm.vmid_id and kvm.vmid_id == (vmids.active_vmids[cpu.number] or vmids.reserved_vmids[cpu.number]):
            kvm_arm_vmid_clear_active(kvm.linux, cpu)
    kvm_free_stage2_pgd(kvm)
    for vcpu in kvm.vcpus:
        kvm_mmu_free_memory_caches(vcpu)
    kvm.created = 0
    kvm.stream.mark("vm/destroyed", vm=kvm.number)


def kvm_mmu_free_memory_caches(vcpu: Vcpu) -> None:
    """Give the vCPU's cached pages back.

    Source: kvm_mmu_free_memory_caches, arch/arm/kvm/mmu.c. Differs: nothing.
    """
    mmu_free_memory_cache(vcpu.mmu_page_cache, vcpu.kvm.linux.pages)


def enter_guest(vcpu: Vcpu, cpu: Cpu) -> Steps[None]:
    """Enter the guest on a CPU: the part of the run loop from ``update_vttbr`` to the world switch.

    With the allocator of Linux 5.18 the number is got once: a rollover cannot take it away from a VM that is active.

    Yields:
        Where ``update_vttbr`` or ``kvm_arm_vmid_update`` does, before interrupts go off, and before VTTBR is loaded.

    Emits:
        vmid/checked, vmid/stale if the loop goes round again, kvm_entry.

    Source: kvm_arch_vcpu_ioctl_run. Differs: signals, the VGIC and timers are left out.
    """
    kvm, stream = vcpu.kvm, vcpu.stream
    bitmap = kvm.linux.config.allocator == "5.18"
    while True:
        yield from (kvm_arm_vmid_update if bitmap else update_vttbr)(kvm, cpu.number)
        yield Point("switch interrupts off")
        cpu.irqs_off = 1
        if bitmap or not need_new_vmid_gen(kvm):
            break
        cpu.irqs_off = 0
        stream.mark("vmid/stale", vm=kvm.number, generation=kvm.linux.kvm_vmid_gen)
    stream.mark("kvm_entry", vcpu_pc=vcpu.pc, vm=kvm.number, vcpu=vcpu.number, cpu=cpu.number)
    yield Point("load VTTBR")
    cpu.vttbr = kvm.vttbr
    cpu.in_guest = 1
    cpu.irqs_off = 0  # an IPI now takes the CPU out of the guest at once
