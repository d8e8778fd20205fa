"""The commands of a machine: each checks all its arguments, then returns who does it, how it is called, and its steps.

A command changes nothing before all of it has been checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from kvmlab.engine.errors import InputError, check_int
from kvmlab.engine.guest import REFAULT_LIMIT, Request, access_memory, leave_guest, make_run
from kvmlab.engine.hardware.cpu import Cpu
from kvmlab.engine.hardware.descriptor import check_access, encode_page
from kvmlab.engine.hardware.tlb import ASID_MAX, HOST_VMID
from kvmlab.engine.hardware.walker import IPA_MAX
from kvmlab.engine.host.mm import KSM, PRESENT, PROTECTED, HostMemory, ksm_merge
from kvmlab.engine.kernel.ioremap import kvm_phys_addr_ioremap
from kvmlab.engine.kernel.kvm import KVM_MAX_VCPUS, KVM_USER_MEM_SLOTS, Kvm, Vcpu
from kvmlab.engine.kernel.memslot import MemorySlot, kvm_memslots, kvm_set_memory_region
from kvmlab.engine.kernel.mmio import io_mem_abort
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT, PAGE_SIZE
from kvmlab.engine.kernel.run import kvm_arch_destroy_vm, kvm_arch_init_vm
from kvmlab.engine.tasks import Steps

if TYPE_CHECKING:
    from kvmlab.engine.machine import Machine

WORD_MAX = 0xFFFF_FFFF
HOST = "host"


class Slot(NamedTuple):
    """A piece of guest memory.

    Attributes:
        ipa: where the guest sees it, in bytes, a multiple of 4096.
        size: bytes, a multiple of 4096.
        hva: where it lies in the host process, in bytes, a multiple of 4096.
    """

    ipa: int
    size: int
    hva: int


class Checked(NamedTuple):
    """A command whose arguments are good.

    Attributes:
        task: who does it.
        said: its arguments as the stream shows them.
        steps: what it does.
    """

    task: str
    said: dict[str, Any]
    steps: Steps[Any]


def create_vm(machine: Machine, slots: Iterable[Slot | tuple[int, int, int]] = (), vcpus: int = 1) -> Checked:
    """Make a VM; its number, or -ENOMEM."""
    check_int("vcpus", vcpus, 1, KVM_MAX_VCPUS)
    regions: list[MemorySlot] = []
    for slot in slots:
        regions.append(_region(machine, slot, regions, len(regions)))
    linux = machine.linux
    number = linux.nr_vms

    def steps() -> Steps[int]:
        yield from ()
        config = machine.config
        host = HostMemory(number, machine.frames, notify=config.CONFIG_MMU_NOTIFIER, fast_gup=config.fast_gup)
        kvm = host.kvm = Kvm(linux, number, vcpus, host, io_mem_abort)
        ret = kvm_arch_init_vm(kvm)
        if ret:
            return ret
        linux.nr_vms += 1
        linux.vm_list[number] = kvm
        machine.hosts[number] = host
        for region in regions:
            ret = kvm_set_memory_region(kvm, region)
            if ret:
                return ret
        return number

    said = [[r.base_gfn << PAGE_SHIFT, r.npages << PAGE_SHIFT, r.userspace_addr] for r in regions]
    return Checked(HOST, {"vm": number, "slots": said, "vcpus": vcpus}, steps())


def _region(
    machine: Machine, slot: Slot | tuple[int, int, int], others: Iterable[MemorySlot], number: int
) -> MemorySlot:
    """Check a slot against the rules and the other slots."""
    try:
        ipa, size, hva = slot
    except (TypeError, ValueError):
        raise InputError(f"slot is {slot!r}; a slot is (ipa, size, hva)") from None
    mask = machine.linux.ulong_mask
    check_int("number of slots", number + 1, 1, KVM_USER_MEM_SLOTS)
    check_int("slot's ipa", ipa, 0, IPA_MAX, multiple=PAGE_SIZE)
    check_int("slot's hva", hva, 0, mask, multiple=PAGE_SIZE)
    check_int("slot's size", size, PAGE_SIZE, mask + 1 - hva, multiple=PAGE_SIZE)
    region = MemorySlot(ipa >> PAGE_SHIFT, size >> PAGE_SHIFT, hva, number)
    for other in others:
        if region.base_gfn < other.base_gfn + other.npages and other.base_gfn < region.base_gfn + region.npages:
            first, last = other.base_gfn << PAGE_SHIFT, (other.base_gfn + other.npages << PAGE_SHIFT) - 1
            raise InputError(
                f"slot's ipa is {ipa:#x}, size {size:#x}: it overlaps slot {other.id} ({first:#x} to {last:#x}); "
                "allowed: guest addresses that no other slot has"
            )
    return region


def destroy_vm(machine: Machine, vm: int) -> Checked:
    """Destroy a VM; its vCPUs leave their CPUs first."""
    kvm = machine.kvm(vm)

    def steps() -> Steps[None]:
        yield from ()
        for cpu in machine.cpus:
            running = machine.linux.vcpu_on(cpu.number)
            if running is not None and running.kvm is kvm:
                leave_guest(running, cpu)
                machine.linux.kvm_arm_running_vcpu[cpu.number] = 0
        kvm_arch_destroy_vm(kvm)

    return Checked(HOST, {"vm": vm}, steps())


def add_slot(machine: Machine, vm: int, slot: Slot | tuple[int, int, int]) -> Checked:
    """Give a VM more memory."""
    kvm = machine.kvm(vm)
    present = list(kvm_memslots(kvm))
    used = {other.id for other in present}
    region = _region(machine, slot, present, next(i for i in range(KVM_USER_MEM_SLOTS + 1) if i not in used))
    return Checked(HOST, {"vm": vm, "slot": list(slot)}, _plain(kvm_set_memory_region, kvm, region))


def remove_slot(machine: Machine, vm: int, slot: int) -> Checked:
    """Take a memory slot away."""
    kvm = machine.kvm(vm)
    used = sorted(other.id for other in kvm_memslots(kvm))
    if isinstance(slot, bool) or slot not in used:
        raise InputError(f"slot is {slot!r}; allowed: {', '.join(map(str, used)) or 'none, the VM has no slots'}")
    return Checked(HOST, {"vm": vm, "slot": slot}, _plain(kvm_set_memory_region, kvm, MemorySlot(0, 0, 0, slot)))


def access(
    machine: Machine,
    vm: int,
    ipa: int,
    access: str = "read",
    value: int = 0,
    vcpu: int = 0,
    cpu: int | None = None,
    asid: int = 0,
    limit: int = REFAULT_LIMIT,
) -> Checked:
    """Let a guest load, store or fetch one word; gives up after ``limit`` faults."""
    who, where = _vcpu(machine, vm, vcpu, cpu)
    check_int("ipa", ipa, 0, IPA_MAX, multiple=4)
    check_int("value", value, 0, WORD_MAX)
    check_int("asid", asid, 0, ASID_MAX)
    check_int("limit", limit, 1, 1000)
    request = Request(ipa, check_access(access), value, asid)
    said = {"vm": vm, "vcpu": vcpu, "cpu": where.number, **request._asdict()}
    return Checked(f"cpu{where.number}", said, access_memory(who, where, machine.ram, request, limit))


def enter(machine: Machine, vm: int, vcpu: int = 0, cpu: int | None = None) -> Checked:
    """Enter a guest without an access."""
    who, where = _vcpu(machine, vm, vcpu, cpu)
    said = {"vm": vm, "vcpu": vcpu, "cpu": where.number}
    return Checked(f"cpu{where.number}", said, make_run(who, where))


def leave(machine: Machine, cpu: int = 0) -> Checked:
    """Take the guest on a CPU back to the host."""
    where = machine.cpus[check_int("cpu", cpu, 0, len(machine.cpus) - 1)]
    running = machine.linux.vcpu_on(cpu)
    return Checked(f"cpu{cpu}", {"cpu": cpu}, _plain(leave_guest, running, where))


def ioremap(machine: Machine, vm: int, ipa: int, pa: int, size: int) -> Checked:
    """Map a device into a guest."""
    kvm = machine.kvm(vm)
    check_int("ipa", ipa, 0, IPA_MAX)
    check_int("pa", pa, 0, IPA_MAX)
    check_int("size", size, 0, min(machine.linux.ulong_mask, IPA_MAX + 1 - ipa))
    said = {"vm": vm, "ipa": ipa, "pa": pa, "size": size}
    return Checked(HOST, said, kvm_phys_addr_ioremap(kvm, ipa, pa, size))


def swap_out(machine: Machine, vm: int, hva: int) -> Checked:
    """Let the host move a page to swap."""
    return Checked(HOST, {"vm": vm, "hva": hva}, _present(machine, vm, "hva", hva).swap_out(hva))


def swap_in(machine: Machine, vm: int, hva: int) -> Checked:
    """Let the host bring a page in; its frame number."""
    host = machine.host(vm)
    return Checked(HOST, {"vm": vm, "hva": hva}, host.touch(_hva(machine, "hva", hva), write=False))


def discard(machine: Machine, vm: int, hva: int, size: int = PAGE_SIZE) -> Checked:
    """Let the host throw pages away."""
    start, end = _range(machine, hva, size)
    return Checked(HOST, {"vm": vm, "hva": hva, "size": size}, machine.host(vm).discard(start, end))


def protect(machine: Machine, vm: int, hva: int, size: int = PAGE_SIZE, writable: bool = False) -> Checked:
    """Take the host process's right to write away, or give it back."""
    start, end = _range(machine, hva, size)
    if not isinstance(writable, bool):
        raise InputError(f"writable is {writable!r}; allowed: True or False")
    said = {"vm": vm, "hva": hva, "size": size, "writable": writable}
    return Checked(HOST, said, machine.host(vm).protect(start, end, writable=writable))


def merge(machine: Machine, vm: int, hva: int, vm2: int, hva2: int) -> Checked:
    """Let KSM put one frame behind two equal pages; whether it did."""
    first, second = _present(machine, vm, "hva", hva), _present(machine, vm2, "hva2", hva2)
    if (vm, hva) == (vm2, hva2):
        raise InputError(f"hva2 is {hva2:#x}, the same page as hva; allowed: another page")
    pfns = first.pte(hva) >> PAGE_SHIFT, second.pte(hva2) >> PAGE_SHIFT
    if machine.ram.page(pfns[0]) != machine.ram.page(pfns[1]):
        raise InputError(f"hva2 is {hva2:#x}; its contents differ from those at {hva:#x}: KSM merges equal pages")
    for name, host, page in (("hva", first, hva), ("hva2", second, hva2)):
        if host.pte(page) & KSM and pfns[0] != pfns[1]:
            raise InputError(f"{name} is {page:#x}; that page is already merged with another one")
    said = {"vm": vm, "hva": hva, "vm2": vm2, "hva2": hva2}
    return Checked(HOST, said, ksm_merge(first, hva, second, hva2))


def host_write(machine: Machine, vm: int, hva: int, value: int) -> Checked:
    """Let the host process store a word; the frame number it ends up in."""
    host = machine.host(vm)
    _hva(machine, "hva", hva, multiple=4)
    check_int("value", value, 0, WORD_MAX)
    page = hva & ~(PAGE_SIZE - 1)
    if host.pte(page) & PROTECTED:
        raise InputError(f"hva is {hva:#x}; the process may not write there (see protect)")

    def steps() -> Steps[int]:
        pfn = yield from host.touch(page, write=True)
        machine.ram.store(pfn << PAGE_SHIFT | hva & PAGE_SIZE - 1, value)
        machine.stream.mark("host/stored", vm=vm, hva=hva, pfn=pfn, value=value)
        return pfn

    return Checked(HOST, {"vm": vm, "hva": hva, "value": value}, steps())


def host_touch(machine: Machine, cpu: int, hva: int) -> Checked:
    """Let the host use one of its own addresses on a CPU: a TLB entry of VMID 0."""
    where = machine.cpus[check_int("cpu", cpu, 0, len(machine.cpus) - 1)]
    page = _hva(machine, "hva", hva, multiple=1) & ~(PAGE_SIZE - 1)

    def steps() -> Steps[None]:
        yield from ()
        leave_guest(machine.linux.vcpu_on(cpu), where)
        if where.tlb.lookup(HOST_VMID, 0, page >> PAGE_SHIFT) is None:
            where.tlb.fill(HOST_VMID, 0, page >> PAGE_SHIFT, encode_page(page, memattr=0xF, hap=3, sh=3))
        machine.stream.mark("host/touched", cpu=cpu, hva=page)

    return Checked(HOST, {"cpu": cpu, "hva": hva}, steps())


def fail_alloc(machine: Machine, k: int) -> Checked:
    """Make the k-th page allocation from now fail; 0 for none."""
    check_int("k", k, 0, 1 << 20)
    return Checked(HOST, {"k": k}, _plain(setattr, machine.linux.pages, "fail_in", k))


def _plain(function: Callable[..., Any], *args: Any) -> Steps[Any]:
    """Make a plain function an operation that nobody can interrupt."""
    yield from ()
    return function(*args)


def _vcpu(machine: Machine, vm: int, vcpu: int, cpu: int | None) -> tuple[Vcpu, Cpu]:
    kvm = machine.kvm(vm)
    check_int("vcpu", vcpu, 0, len(kvm.vcpus) - 1)
    last = len(machine.cpus) - 1
    return kvm.vcpus[vcpu], machine.cpus[vcpu % (last + 1) if cpu is None else check_int("cpu", cpu, 0, last)]


def _hva(machine: Machine, name: str, hva: int, multiple: int = PAGE_SIZE) -> int:
    return check_int(name, hva, 0, machine.linux.ulong_mask, multiple=multiple)


def _range(machine: Machine, hva: int, size: int) -> tuple[int, int]:
    start = _hva(machine, "hva", hva)
    return start, start + check_int("size", size, PAGE_SIZE, machine.linux.ulong_mask - start, multiple=PAGE_SIZE)


def _present(machine: Machine, vm: int, name: str, hva: int) -> HostMemory:
    host = machine.host(vm)
    if not host.pte(_hva(machine, name, hva)) & PRESENT:
        raise InputError(f"{name} is {hva:#x}; the host has no page there: let the guest touch it first")
    return host


COMMANDS: dict[str, Callable[..., Checked]] = {
    "create_vm": create_vm,
    "destroy_vm": destroy_vm,
    "add_slot": add_slot,
    "remove_slot": remove_slot,
    "access": access,
    "enter": enter,
    "leave": leave,
    "ioremap": ioremap,
    "swap_out": swap_out,
    "swap_in": swap_in,
    "discard": discard,
    "protect": protect,
    "ksm_merge": merge,
    "host_write": host_write,
    "host_touch": host_touch,
    "fail_alloc": fail_alloc,
}
"""Every command by its name."""
