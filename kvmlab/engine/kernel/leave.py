"""The way out of a guest: what Hyp mode saves, and the return to the host.

Source: arch/arm/kvm/interrupts.S, Linux 3.9.
"""

from __future__ import annotations

from kvmlab.engine.hardware.cpu import Cpu
from kvmlab.engine.hardware.syndrome import FSC_TYPE_MASK, FSC_TYPES, S1PTW, encode_hpfar
from kvmlab.engine.kernel.kvm import Linux, Vcpu


def exit_guest(vcpu: Vcpu, cpu: Cpu) -> None:
    """Leave the guest: the host's VTTBR is 0.

    Emits:
        kvm_exit.

    Source: __kvm_vcpu_return, kvm_arch_vcpu_ioctl_run. Differs: nothing.
    """
    cpu.vttbr = 0
    cpu.in_guest = 0
    vcpu.stream.mark("kvm_exit", vcpu_pc=vcpu.pc, vm=vcpu.kvm.number, vcpu=vcpu.number, cpu=cpu.number)


def guest_trap(vcpu: Vcpu, cpu: Cpu) -> None:
    """Save what Hyp mode knows of the abort: HSR, the faulting address, the faulting IPA.

    After a permission fault outside a stage-1 walk HPFAR says nothing, so the hyp code translates the faulting address
    with stage 1 and takes the IPA from PAR.

    Emits:
        hyp/resolved if HPFAR had to be found that way.

    Source: guest_trap, arch/arm/kvm/interrupts.S. Differs: stage 1 is off in this guest, so the address is the IPA.
    """
    vcpu.hsr = cpu.hsr
    vcpu.hxfar = cpu.hxfar
    if cpu.hsr & FSC_TYPE_MASK == FSC_TYPES["permission"] and not cpu.hsr & S1PTW:
        vcpu.hpfar = encode_hpfar(cpu.par)
        vcpu.stream.mark("hyp/resolved", ipa=cpu.par, hpfar=vcpu.hpfar)
    else:
        vcpu.hpfar = cpu.hpfar


def leave_guest(linux: Linux, cpu: Cpu) -> None:
    """Take the guest that runs on a CPU, if one does, back to the host (an interrupt, an IPI, a reschedule)."""
    vcpu = linux.vcpu_on(cpu.number)
    if vcpu is not None and cpu.in_guest:
        exit_guest(vcpu, cpu)


def kvm_arm_vmid_clear_active(linux: Linux, cpu: Cpu) -> None:
    """Note that no VM is active on a CPU: its vCPU is taken off, so a rollover need not reserve its number.

    With the allocator of Linux 3.9 nothing happens.

    Source: kvm_arm_vmid_clear_active, arch/arm64/kvm/vmid.c, Linux 5.18. Differs: a vCPU is taken off when another
    takes its CPU, when it moves and when its VM ends; not when it waits or asks user space for something.
    """
    if linux.config.allocator == "5.18":
        linux.vmids.active_vmids[cpu.number] = linux.vmids.VMID_ACTIVE_INVALID
