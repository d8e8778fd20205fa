"""VMIDs: who gets which number, and what happens when the numbers run out.

Source: arch/arm/kvm/arm.c, Linux 3.9 (f7ed45be3ba5).
"""

from __future__ import annotations

from kvmlab.engine.kernel.flush import kvm_flush_vm_context
from kvmlab.engine.kernel.kvm import Kvm, Linux
from kvmlab.engine.kernel.leave import leave_guest
from kvmlab.engine.kernel.pgtable import VTTBR_BADDR_MASK, VTTBR_BADDR_MASK_FIXED, VTTBR_VMID_SHIFT
from kvmlab.engine.tasks import Point, Steps, spin_lock, spin_unlock


def need_new_vmid_gen(kvm: Kvm) -> bool:
    """Return whether the VM's VMID is from an earlier generation. No lock needed.

    Source: need_new_vmid_gen. Differs: nothing.
    """
    return kvm.vmid_gen != kvm.linux.kvm_vmid_gen


def update_vttbr(kvm: Kvm, cpu: int) -> Steps[None]:
    """Give the VM a VMID of the present generation, if it has none, and make its VTTBR.

    When the numbers have run out a new generation begins: every other CPU is made to leave its guest, and all TLBs are
    flushed. ``kvm_next_vmid`` starts at 0, so the very first entry after boot does that too.

    Args:
        kvm: the VM about to be entered.
        cpu: the CPU that will enter it.

    Yields:
        Before kvm_vmid_lock is taken, while CPUs are kicked, and between the stores that another vCPU can see.

    Emits:
        vmid/checked, vmid/rolled_over, vmid/assigned.

    Source: update_vttbr. Differs: the width of a VMID is ``Config.vmid_bits``.
    """
    linux, stream = kvm.linux, kvm.stream
    need = need_new_vmid_gen(kvm)
    stream.mark("vmid/checked", vm=kvm.number, need=need, generation=linux.kvm_vmid_gen)
    if not need:
        return
    yield from spin_lock(linux.kvm_vmid_lock)
    if not need_new_vmid_gen(kvm):
        spin_unlock(linux.kvm_vmid_lock)
        return
    if not linux.kvm_next_vmid:
        linux.kvm_vmid_gen += 1
        linux.kvm_next_vmid = 1
        stream.mark("vmid/rolled_over", generation=linux.kvm_vmid_gen, next=1)
        yield from force_vm_exit(linux, cpu)
        kvm_flush_vm_context(linux)
    if "vmid before generation" in linux.fixes:
        _store_vmid(kvm)
        yield from _store_vttbr(kvm)
        yield Point("store vmid_gen")
        kvm.vmid_gen = linux.kvm_vmid_gen
    else:
        kvm.vmid_gen = linux.kvm_vmid_gen
        _store_vmid(kvm)
        yield from _store_vttbr(kvm)
    stream.mark("vmid/assigned", vm=kvm.number, vmid=kvm.vmid, generation=kvm.vmid_gen, next=linux.kvm_next_vmid)
    spin_unlock(linux.kvm_vmid_lock)


def _store_vmid(kvm: Kvm) -> None:
    linux = kvm.linux
    kvm.vmid = linux.kvm_next_vmid
    linux.kvm_next_vmid = linux.kvm_next_vmid + 1 & linux.vmid_mask


def vttbr_base(kvm: Kvm) -> int:
    """Return the part of VTTBR that points to the VM's level-1 table."""
    return kvm.pgd & (VTTBR_BADDR_MASK_FIXED if "vttbr mask" in kvm.linux.fixes else VTTBR_BADDR_MASK)


def _store_vttbr(kvm: Kvm) -> Steps[None]:
    yield Point("store vttbr")
    kvm.vttbr = vttbr_base(kvm)
    yield Point("or the VMID into vttbr")
    kvm.vttbr |= kvm.vmid << VTTBR_VMID_SHIFT


def force_vm_exit(linux: Linux, cpu: int) -> Steps[None]:
    """Make every other CPU leave its guest, and wait until it has.

    A CPU in the host answers as soon as its interrupts are on.

    Args:
        linux: the host kernel.
        cpu: the CPU that asks.

    Yields:
        While a CPU runs with interrupts off.

    Emits:
        kvm_exit for each guest that leaves, then vmid/kicked with the CPUs that were in a guest.

    Source: force_vm_exit, arch/arm/kvm/arm.c, Linux 3.9. Differs: offline CPUs are not modelled.
    """
    others = [c for c in linux.cpus if c.number != cpu]
    kicked = [c for c in others if c.in_guest]
    for other in kicked:
        leave_guest(linux, other)
    linux.stream.mark("vmid/kicked", by=cpu, cpus=[c.number for c in kicked])
    while any(c.irqs_off for c in others):
        yield Point("wait for the other CPUs", lambda: not any(c.irqs_off for c in others))
