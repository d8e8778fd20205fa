"""The hyp calls that invalidate TLBs.

Source: arch/arm/kvm/interrupts.S, Linux 3.9.
"""

from __future__ import annotations

from kvmlab.engine.kernel.kvm import Kvm, Linux
from kvmlab.engine.kernel.pgtable import VTTBR_VMID_SHIFT


def kvm_tlb_flush_vmid(kvm: Kvm) -> None:
    """Drop all TLB entries tagged with the VM's VMID, on every CPU.

    Before the VM's first entry its vttbr is 0, so the entries of VMID 0, the host's, go instead.

    Emits:
        tlb/flushed with scope "vmid".

    Source: __kvm_tlb_flush_vmid (TLBIALLIS). Differs: finished translations only; the CPUs have no walk cache here.
    """
    vmid = kvm.vttbr >> VTTBR_VMID_SHIFT & kvm.linux.vmid_mask
    removed = sum([cpu.tlb.flush_vmid(vmid) for cpu in kvm.linux.cpus])
    kvm.stream.mark("tlb/flushed", scope="vmid", vmid=vmid, removed=removed, vm=kvm.number)


def kvm_flush_vm_context(linux: Linux) -> None:
    """Drop all TLB entries of all VMIDs, the host's too, on every CPU, and the instruction caches.

    Emits:
        tlb/flushed with scope "all".

    Source: __kvm_flush_vm_context (TLBIALLNSNHIS, ICIALLUIS). Differs: instruction caches hold nothing here.
    """
    removed = sum([cpu.tlb.flush_all() for cpu in linux.cpus])
    linux.stream.mark("tlb/flushed", scope="all", vmid=-1, removed=removed, vm=-1)
