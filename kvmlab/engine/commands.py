"""The commands to guests, and the list of all commands. Each checks its arguments, then says who does it, and how.

A command changes nothing before all of it has been checked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kvmlab.engine import host_commands as host
from kvmlab.engine.checked import HOST, WORD_MAX, Checked, plain
from kvmlab.engine.errors import InputError, check_int
from kvmlab.engine.guest import REFAULT_LIMIT, Request, access_memory, make_run
from kvmlab.engine.hardware.cpu import Cpu
from kvmlab.engine.hardware.descriptor import check_access
from kvmlab.engine.hardware.tlb import ASID_MAX
from kvmlab.engine.hardware.walker import IPA_MAX
from kvmlab.engine.host.mm import HostMemory
from kvmlab.engine.kernel.ioremap import kvm_phys_addr_ioremap
from kvmlab.engine.kernel.kvm import KVM_MAX_VCPUS, KVM_USER_MEM_SLOTS, Kvm, Vcpu
from kvmlab.engine.kernel.leave import leave_guest
from kvmlab.engine.kernel.memslot import MemorySlot, kvm_memslots, kvm_set_memory_region
from kvmlab.engine.kernel.mmio import io_mem_abort
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT, PAGE_SIZE
from kvmlab.engine.kernel.run import kvm_arch_destroy_vm, kvm_arch_init_vm
from kvmlab.engine.race import RIVALS, meet
from kvmlab.engine.system import System
from kvmlab.engine.tasks import Steps


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


def create_vm(
    system: System, slots: Sequence[Slot | tuple[int, int, int]] = (), vcpus: int = 1, vm: int | None = None
) -> Checked:
    """Make a VM; its number, or -ENOMEM. ``vm`` may say which number it will get: the next one."""
    check_int("vcpus", vcpus, 1, KVM_MAX_VCPUS)
    if vm is not None and vm != system.linux.nr_vms:
        raise InputError(f"vm is {vm!r}; allowed: {system.linux.nr_vms}, the next number")
    if not isinstance(slots, list | tuple):
        raise InputError(f"slots is {slots!r}; allowed: a list of (ipa, size, hva)")
    regions: list[MemorySlot] = []
    for slot in slots:
        regions.append(_region(system, slot, regions, len(regions)))
    linux = system.linux
    number = linux.nr_vms

    def steps() -> Steps[int]:
        yield from ()
        config = system.config
        mm = HostMemory(number, system.frames, notify=config.CONFIG_MMU_NOTIFIER, fast_gup=config.fast_gup)
        kvm = mm.kvm = Kvm(linux, number, vcpus, mm, io_mem_abort)
        ret = kvm_arch_init_vm(kvm)
        if ret:
            return ret
        linux.nr_vms += 1
        linux.vm_list[number] = kvm
        system.hosts[number] = mm
        for region in regions:
            ret = kvm_set_memory_region(kvm, region)
            if ret:
                return ret
        return number

    said = [[r.base_gfn << PAGE_SHIFT, r.npages << PAGE_SHIFT, r.userspace_addr] for r in regions]
    return Checked(HOST, {"vm": number, "slots": said, "vcpus": vcpus}, steps())


def _region(system: System, slot: Slot | tuple[int, int, int], others: Iterable[MemorySlot], number: int) -> MemorySlot:
    """Check a slot against the rules and the other slots."""
    try:
        ipa, size, hva = slot
    except (TypeError, ValueError):
        raise InputError(f"slot is {slot!r}; a slot is (ipa, size, hva)") from None
    mask = system.linux.ulong_mask
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


def destroy_vm(system: System, vm: int) -> Checked:
    """Destroy a VM; its vCPUs leave their CPUs first."""
    kvm = system.kvm(vm)

    def steps() -> Steps[None]:
        yield from ()
        for cpu in system.cpus:
            running = system.linux.vcpu_on(cpu.number)
            if running is not None and running.kvm is kvm:
                leave_guest(system.linux, cpu)
                system.linux.kvm_arm_running_vcpu[cpu.number] = 0
        kvm_arch_destroy_vm(kvm)

    return Checked(HOST, {"vm": vm}, steps())


def add_slot(system: System, vm: int, slot: Slot | tuple[int, int, int]) -> Checked:
    """Give a VM more memory."""
    kvm = system.kvm(vm)
    present = list(kvm_memslots(kvm))
    used = {other.id for other in present}
    region = _region(system, slot, present, next(i for i in range(KVM_USER_MEM_SLOTS + 1) if i not in used))
    return Checked(HOST, {"vm": vm, "slot": list(slot)}, plain(kvm_set_memory_region, kvm, region))


def remove_slot(system: System, vm: int, slot: int) -> Checked:
    """Take a memory slot away."""
    kvm = system.kvm(vm)
    used = sorted(other.id for other in kvm_memslots(kvm))
    if isinstance(slot, bool) or slot not in used:
        raise InputError(f"slot is {slot!r}; allowed: {', '.join(map(str, used)) or 'none, the VM has no slots'}")
    return Checked(HOST, {"vm": vm, "slot": slot}, plain(kvm_set_memory_region, kvm, MemorySlot(0, 0, 0, slot)))


def access(
    system: System,
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
    who, where = _vcpu(system, vm, vcpu, cpu)
    check_int("ipa", ipa, 0, IPA_MAX, multiple=4)
    check_int("value", value, 0, WORD_MAX)
    check_int("asid", asid, 0, ASID_MAX)
    check_int("limit", limit, 1, 1000)
    request = Request(ipa, check_access(access), value, asid)
    said = {"vm": vm, "vcpu": vcpu, "cpu": where.number, **request._asdict()}
    if limit != REFAULT_LIMIT:
        said["limit"] = limit
    return Checked(f"cpu{where.number}", said, access_memory(who, where, system.ram, request, limit))


def enter(system: System, vm: int, vcpu: int = 0, cpu: int | None = None) -> Checked:
    """Enter a guest without an access; if it runs there already it leaves first, so this is always an entry."""
    who, where = _vcpu(system, vm, vcpu, cpu)

    def steps() -> Steps[None]:
        leave_guest(system.linux, where)
        yield from make_run(who, where)

    return Checked(f"cpu{where.number}", {"vm": vm, "vcpu": vcpu, "cpu": where.number}, steps())


def leave(system: System, cpu: int = 0) -> Checked:
    """Take the guest on a CPU back to the host."""
    where = system.cpus[check_int("cpu", cpu, 0, len(system.cpus) - 1)]
    return Checked(f"cpu{cpu}", {"cpu": cpu}, plain(leave_guest, system.linux, where))


def ioremap(system: System, vm: int, ipa: int, pa: int, size: int) -> Checked:
    """Map a device into a guest."""
    kvm = system.kvm(vm)
    check_int("ipa", ipa, 0, IPA_MAX)
    check_int("pa", pa, 0, IPA_MAX)
    check_int("size", size, 0, min(system.linux.ulong_mask, IPA_MAX + 1 - ipa))
    said = {"vm": vm, "ipa": ipa, "pa": pa, "size": size}
    return Checked(HOST, said, kvm_phys_addr_ioremap(kvm, ipa, pa, size))


def race(
    system: System,
    vm: int,
    guest: Any,
    host: str,
    args: Any,
    at: str = "before the lock",
    steps: int | None = None,
) -> Checked:
    """Let the host change a page while a guest's fault is under way: see ``race.meet``."""
    if host not in RIVALS:
        raise InputError(f"host is {host!r}; allowed: {', '.join(RIVALS)}")
    for name, given in (("guest", guest), ("args", args)):
        if not isinstance(given, Mapping) or "vm" in given:
            raise InputError(f"{name} is {given!r}; allowed: the command's arguments by name, without vm")
    fault, change = checked(system, "access", {**guest, "vm": vm}), checked(system, host, {**args, "vm": vm})
    said = {"vm": vm, "guest": dict(guest), "host": host, "args": dict(args), "at": at, "steps": steps}
    return Checked(HOST, said, meet(system.stream, vm, fault, host, change, at, steps))


def _vcpu(system: System, vm: int, vcpu: int, cpu: int | None) -> tuple[Vcpu, Cpu]:
    kvm = system.kvm(vm)
    check_int("vcpu", vcpu, 0, len(kvm.vcpus) - 1)
    last = len(system.cpus) - 1
    return kvm.vcpus[vcpu], system.cpus[vcpu % (last + 1) if cpu is None else check_int("cpu", cpu, 0, last)]


COMMANDS: dict[str, Callable[..., Checked]] = {
    "create_vm": create_vm,
    "destroy_vm": destroy_vm,
    "add_slot": add_slot,
    "remove_slot": remove_slot,
    "access": access,
    "enter": enter,
    "leave": leave,
    "ioremap": ioremap,
    "swap_out": host.swap_out,
    "swap_in": host.swap_in,
    "discard": host.discard,
    "protect": host.protect,
    "ksm_merge": host.merge,
    "host_write": host.host_write,
    "host_touch": host.host_touch,
    "fail_alloc": host.fail_alloc,
    "race": race,
}
"""Every command by its name."""


def checked(system: System, name: str, args: Mapping[str, Any]) -> Checked:
    """Check a command.

    Args:
        system: where it will run.
        name: one of ``COMMANDS``.
        args: its arguments, by name.

    Raises:
        InputError: no such command, or an argument is missing, unknown or not allowed.
    """
    if name not in COMMANDS:
        raise InputError(f"command is {name!r}; allowed: {', '.join(COMMANDS)}")
    make = COMMANDS[name]
    try:
        bound = inspect.signature(make).bind(system, **args)
    except TypeError as error:
        raise InputError(f"{name}: {error}") from error
    bound.apply_defaults()
    return make(*bound.args, **bound.kwargs)
