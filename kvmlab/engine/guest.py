"""One memory access by a guest, as it really goes: TLB, walk, and, if it faults, the kernel and once more."""

from __future__ import annotations

from typing import NamedTuple

from kvmlab.engine.hardware.cpu import Cpu
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, permits
from kvmlab.engine.hardware.memory import SparseRam
from kvmlab.engine.hardware.syndrome import Syndrome, encode_hpfar
from kvmlab.engine.hardware.walker import PERMISSION, walk
from kvmlab.engine.kernel.abort import kvm_handle_guest_abort
from kvmlab.engine.kernel.kvm import Vcpu
from kvmlab.engine.kernel.leave import exit_guest, guest_trap, kvm_arm_vmid_clear_active, leave_guest
from kvmlab.engine.kernel.run import enter_guest
from kvmlab.engine.tasks import Point, Steps

REFAULT_LIMIT = 8
INSTRUCTION_SIZE = 4


class Request(NamedTuple):
    """What the guest's instruction does.

    Attributes:
        ipa: address in bytes, a multiple of 4; with the guest's stage 1 off this is its virtual address too.
        access: "read", "write" or "fetch".
        value: what a write stores, 32 bits.
        asid: the guest's address space, 0 to 255.
    """

    ipa: int
    access: str
    value: int
    asid: int


class Access(NamedTuple):
    """How an access ended.

    Attributes:
        status: "done"; "mmio": user space has to emulate it; "aborted": the guest got an abort instead;
            "error": the kernel returned ``ret`` to user space; "refaulting": still nothing mapped after several faults.
        value: the word read or written.
        pa: physical address reached; -1 if none.
        faults: how many times the guest left for Hyp mode.
        ret: last return value of kvm_handle_guest_abort; 1 if there was no fault.
    """

    status: str
    value: int = 0
    pa: int = -1
    faults: int = 0
    ret: int = 1


class _Fault(NamedTuple):
    kind: str
    level: int


def access_memory(vcpu: Vcpu, cpu: Cpu, ram: SparseRam, request: Request, limit: int) -> Steps[Access]:
    """Carry out one access of a guest on a CPU, entering the guest first if it is not running there.

    Args:
        vcpu: the guest's vCPU.
        cpu: where it runs.
        ram: contents of guest pages.
        request: what to do.
        limit: give up after this many faults; the real guest would go on for ever.

    Returns:
        How it ended. The instruction is repeated after each fault, so ``pc`` moves on only at the end.

    Yields:
        Where ``enter_guest`` and ``kvm_handle_guest_abort`` do, and before the instruction.

    Emits:
        tlb/*, walk/*, cpu/trapped, kvm_exit, ram/*, access/done.

    Differs: the guest's stage 1 is off, so a virtual address is an IPA; HxFAR holds its low 32 bits. One instruction
    is one aligned 32-bit word.
    """
    faults, ret, injected = 0, 1, vcpu.injected
    result = Access("refaulting")
    while faults < limit:
        yield from make_run(vcpu, cpu)
        yield Point("the guest's instruction")
        if not _running(vcpu, cpu):
            continue  # kicked out before it could do anything
        found = _translate(cpu, vcpu, request)
        if not isinstance(found, _Fault):
            result = Access("done", _touch(ram, found, request, vcpu), found, faults, ret)
            break
        faults += 1
        _trap(vcpu, cpu, request, found)
        ret = yield from kvm_handle_guest_abort(vcpu)
        result = Access("refaulting", 0, -1, faults, ret)
        if ret != 1 or vcpu.injected != injected:
            result = result._replace(status="mmio" if ret == 0 else "error" if ret < 0 else "aborted")
            break
    if result.status in ("done", "mmio"):
        vcpu.pc += INSTRUCTION_SIZE
    vcpu.stream.mark("access/done", **result._asdict())
    return result


def _running(vcpu: Vcpu, cpu: Cpu) -> bool:
    return bool(cpu.in_guest) and vcpu.kvm.linux.kvm_arm_running_vcpu[cpu.number] == vcpu.ident


def make_run(vcpu: Vcpu, cpu: Cpu) -> Steps[None]:
    """Enter the guest if it is not running on this CPU; whoever runs there leaves first.

    A vCPU is one thread of the host process: if it runs on another CPU it leaves that one.
    """
    if _running(vcpu, cpu):
        return
    linux = vcpu.kvm.linux
    leave_guest(linux, cpu)
    if linux.kvm_arm_running_vcpu[cpu.number] not in (0, vcpu.ident):
        kvm_arm_vmid_clear_active(linux, cpu)
    for other in linux.cpus:
        if linux.vcpu_on(other.number) is vcpu:
            leave_guest(linux, other)
            if other is not cpu:
                kvm_arm_vmid_clear_active(linux, other)
    linux.kvm_arm_running_vcpu[cpu.number] = vcpu.ident
    yield from enter_guest(vcpu, cpu)


def _translate(cpu: Cpu, vcpu: Vcpu, request: Request) -> int | _Fault:
    """Look in the TLB, walk on a miss, fill on success."""
    stream, memory = cpu.stream, vcpu.kvm.linux.memory
    ipa, access, asid = request.ipa, request.access, request.asid
    vmid, page = cpu.vmid, ipa >> 12
    leaf = cpu.tlb.lookup(vmid, asid, page)
    tags = {"cpu": cpu.number, "vmid": vmid, "asid": asid, "ipa": ipa}
    if leaf is not None:
        pa = leaf & ADDRESS_MASK | ipa & 0xFFF
        stream.mark("tlb/hit", **tags, pa=pa, descriptor=leaf)
        if permits(leaf, access):
            return pa
        stream.mark("walk/faulted", ipa=ipa, fault=PERMISSION, level=3)
        return _Fault(PERMISSION, 3)
    stream.mark("tlb/missed", **tags)
    found = walk(memory, cpu.vttbr, ipa, access)
    for step in found.steps:
        stream.mark("walk/level", **step._asdict(), ipa=ipa)
    if found.fault:
        stream.mark("walk/faulted", ipa=ipa, fault=found.fault, level=found.level)
        return _Fault(found.fault, found.level)
    stream.mark("walk/done", ipa=ipa, pa=found.pa, descriptor=found.descriptor)
    leaf = found.descriptor & ~ADDRESS_MASK | found.pa & ~0xFFF
    evicted = cpu.tlb.fill(vmid, asid, page, leaf)
    gone = [evicted.vmid, evicted.asid, evicted.page] if evicted else []
    stream.mark("tlb/filled", **tags, pa=found.pa, descriptor=leaf, evicted=gone)
    return found.pa


def _trap(vcpu: Vcpu, cpu: Cpu, request: Request, fault: _Fault) -> None:
    """Take the abort to Hyp mode."""
    syndrome = Syndrome(
        fetch=request.access == "fetch", fault=fault.kind, level=fault.level, write=request.access == "write"
    )
    cpu.hsr = syndrome.encode()
    cpu.hxfar = request.ipa & 0xFFFF_FFFF
    if fault.kind == PERMISSION:
        cpu.par = request.ipa & ~0xFFF  # HPFAR is not valid now; the hyp code will ask for a translation
    else:
        cpu.hpfar = encode_hpfar(request.ipa)
    cpu.stream.mark("cpu/trapped", hsr=cpu.hsr, hpfar=cpu.hpfar, hxfar=cpu.hxfar, cpu=cpu.number)
    guest_trap(vcpu, cpu)
    exit_guest(vcpu, cpu)


def _touch(ram: SparseRam, pa: int, request: Request, vcpu: Vcpu) -> int:
    """Do the load, store or fetch at its physical address."""
    if request.access == "write":
        ram.store(pa, request.value)
        vcpu.stream.mark("ram/stored", ipa=request.ipa, pa=pa, value=request.value)
        return request.value
    value = ram.load(pa)
    name = "ram/fetched" if request.access == "fetch" else "ram/loaded"
    vcpu.stream.mark(name, ipa=request.ipa, pa=pa, value=value)
    return value
