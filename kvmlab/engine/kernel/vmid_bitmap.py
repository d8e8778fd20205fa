"""VMIDs as Linux 5.18 gives them: a bitmap of the numbers, and guests that run keep theirs.

Source: arch/arm64/kvm/vmid.c, Linux 5.18 (417838392f2e, 3248136b3637, 100b4f092f87).
"""

from __future__ import annotations

from kvmlab.engine.kernel.flush import kvm_flush_vm_context
from kvmlab.engine.kernel.kvm import Kvm, Linux
from kvmlab.engine.kernel.pgtable import VTTBR_VMID_SHIFT
from kvmlab.engine.kernel.vmid import vttbr_base
from kvmlab.engine.tasks import Point, Steps, spin_lock, spin_unlock


def vmid_gen_match(kvm: Kvm) -> bool:
    """Return whether the VM's id is of the present generation. No lock needed.

    Source: vmid_gen_match. Differs: nothing.
    """
    return not (kvm.vmid_id ^ kvm.linux.vmids.vmid_generation) >> kvm.linux.config.vmid_bits


def kvm_arm_vmid_update(kvm: Kvm, cpu: int) -> Steps[None]:
    """Give the VM an id of the present generation, if it has none, and note that it is active on the CPU.

    A CPU whose ``active_vmids`` is 0 has seen a rollover and takes the lock, even if the VM's id is good.

    Args:
        kvm: the VM about to be entered.
        cpu: the CPU that will enter it.

    Yields:
        Before the CPU's active id is exchanged, before cpu_vmid_lock is taken, and where ``flush_context`` does.

    Emits:
        vmid/checked, vmid/rolled_over, tlb/flushed, vmid/assigned; never vmid/kicked.

    Source: kvm_arm_vmid_update. Differs: the width of a VMID is ``Config.vmid_bits``; that interrupts are off under
    the lock is not modelled, as nobody sends one.
    """
    linux, vmids, stream = kvm.linux, kvm.linux.vmids, kvm.stream
    vmid, active = kvm.vmid_id, vmids.active_vmids[cpu]
    good = vmid_gen_match(kvm)
    stream.mark("vmid/checked", vm=kvm.number, need=not good, generation=linux.generation)
    if active and good:
        yield Point("exchange active_vmids")
        found = vmids.active_vmids[cpu]
        if found == active:
            vmids.active_vmids[cpu] = vmid
        if found:
            return
    yield from spin_lock(vmids.cpu_vmid_lock)
    before = kvm.vmid_id
    if assigned := not vmid_gen_match(kvm):
        yield from new_vmid(kvm)
    vmids.active_vmids[cpu] = kvm.vmid_id
    if assigned:
        kept = bool(before) and before & linux.vmid_mask == kvm.vmid
        next_free = vmids.find_zero(vmids.cur_idx)
        stream.mark("vmid/assigned", vm=kvm.number, vmid=kvm.vmid, generation=kvm.vmid_gen, next=next_free, kept=kept)
    spin_unlock(vmids.cpu_vmid_lock)


def new_vmid(kvm: Kvm) -> Steps[None]:
    """Find an id of the present generation: the VM's old number if it may keep it, else one that is free.

    Only if none is free does a new generation begin.

    Args:
        kvm: the VM; cpu_vmid_lock is held.

    Yields:
        Where ``flush_context`` does.

    Emits:
        vmid/rolled_over, tlb/flushed.

    Source: new_vmid. Differs: nothing.
    """
    vmids, old = kvm.linux.vmids, kvm.vmid_id
    if old:
        number = old & kvm.linux.vmid_mask
        same = vmids.vmid_generation | number
        if check_update_reserved_vmid(kvm.linux, old, same) or not vmids.test_and_set(number):
            _store_id(kvm, same)
            return
    number = vmids.find_zero(vmids.cur_idx)
    if not number:
        vmids.vmid_generation += 1 << kvm.linux.config.vmid_bits
        yield from flush_context(kvm.linux)
        number = vmids.find_zero(1)
    vmids.test_and_set(number)
    vmids.cur_idx = number
    _store_id(kvm, vmids.vmid_generation | number)


def check_update_reserved_vmid(linux: Linux, vmid: int, newvmid: int) -> bool:
    """Return whether a CPU has reserved the id; every such CPU then reserves the new one instead.

    Args:
        linux: the host kernel.
        vmid: the id of an earlier generation.
        newvmid: the same number in the present generation.

    Source: check_update_reserved_vmid. Differs: nothing.
    """
    reserved = linux.vmids.reserved_vmids
    holders = [cpu for cpu, held in enumerate(reserved.values()) if held == vmid]
    for cpu in holders:
        reserved[cpu] = newvmid
    return bool(holders)


def flush_context(linux: Linux) -> Steps[None]:
    """Empty the bitmap, but reserve what is active on a CPU or was reserved before, then flush all TLBs.

    Yields:
        Before each CPU's active id is taken.

    Emits:
        vmid/rolled_over with the numbers that stay reserved, tlb/flushed with scope "all".

    Source: flush_context. Differs: possible CPUs are the CPUs there are.
    """
    vmids = linux.vmids
    vmids.clear()
    for cpu in linux.cpus:
        yield Point(f"take active_vmids of CPU {cpu.number}")
        vmid = vmids.active_vmids[cpu.number]
        vmids.active_vmids[cpu.number] = 0
        vmid = vmid or vmids.reserved_vmids[cpu.number]
        vmids.test_and_set(vmid & linux.vmid_mask)
        vmids.reserved_vmids[cpu.number] = vmid
    numbers = sorted({vmid & linux.vmid_mask for vmid in vmids.reserved_vmids.values()} - {0})
    linux.stream.mark("vmid/rolled_over", generation=linux.generation, next=vmids.find_zero(1), reserved=numbers)
    kvm_flush_vm_context(linux)


def _store_id(kvm: Kvm, vmid: int) -> None:
    """Store the id, and what follows from it for the hardware.

    Source: kvm_get_vttbr. Differs: Linux 5.18 makes VTTBR anew each time it is loaded, with the CnP bit, left out here.
    """
    kvm.vmid_id = vmid
    kvm.vmid_gen = vmid >> kvm.linux.config.vmid_bits
    kvm.vmid = vmid & kvm.linux.vmid_mask
    kvm.vttbr = vttbr_base(kvm) | kvm.vmid << VTTBR_VMID_SHIFT
