"""Guest accesses outside the memory slots: emulated I/O.

Source: arch/arm/kvm/mmio.c, Linux 3.9 (45e96ea6b369).
"""

from __future__ import annotations

from kvmlab.engine.hardware.syndrome import CM, EA, ISV, S1PTW, SAS_SHIFT, SRT_SHIFT, WNR
from kvmlab.engine.kernel.errno import EFAULT, ENOSYS
from kvmlab.engine.kernel.kvm import Vcpu


def io_mem_abort(vcpu: Vcpu, fault_ipa: int) -> int:
    """Hand an access to an address without memory to user space.

    Args:
        vcpu: the vCPU; its hsr describes the instruction.
        fault_ipa: the whole IPA, low bits included.

    Returns:
        0 to exit to user space, which emulates the device; 1 if an abort was injected into the guest; -ENOSYS without
        instruction details in HSR; -EFAULT for the reserved access size.

    Emits:
        mmio/exited or inject_dabt.

    Source: io_mem_abort, decode_hsr. Differs: no device is emulated in the kernel (the VGIC distributor is).
    """
    hsr, stream = vcpu.hsr, vcpu.stream
    if not hsr & ISV:
        stream.mark("kernel/warned", text="load/store instruction decoding not implemented")
        return -ENOSYS
    if hsr & (EA | CM) or hsr & S1PTW:
        vcpu.injected += 1
        stream.mark("inject_dabt", hxfar=vcpu.hxfar)
        return 1
    size = hsr >> SAS_SHIFT & 3
    if size == 3:
        stream.mark("kernel/warned", text="Hardware is weird: SAS 0b11 is reserved")
        return -EFAULT
    write, register = bool(hsr & WNR), hsr >> SRT_SHIFT & 15
    stream.mark("mmio/exited", ipa=fault_ipa, write=write, size=1 << size, register=register)
    return 0
