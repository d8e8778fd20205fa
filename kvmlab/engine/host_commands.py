"""The commands to the host: what it does with its pages, and what goes wrong on demand."""

from __future__ import annotations

from kvmlab.engine.checked import HOST, WORD_MAX, Checked, plain
from kvmlab.engine.errors import InputError, check_int
from kvmlab.engine.hardware.descriptor import encode_page
from kvmlab.engine.hardware.tlb import HOST_VMID
from kvmlab.engine.host.mm import KSM, PRESENT, PROTECTED, HostMemory, ksm_merge
from kvmlab.engine.kernel.leave import leave_guest
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT, PAGE_SIZE
from kvmlab.engine.system import System
from kvmlab.engine.tasks import Steps


def swap_out(system: System, vm: int, hva: int) -> Checked:
    """Let the host move a page to swap."""
    return Checked(HOST, {"vm": vm, "hva": hva}, _present(system, vm, "hva", hva).swap_out(hva))


def swap_in(system: System, vm: int, hva: int) -> Checked:
    """Let the host bring a page in; its frame number."""
    host = system.host(vm)
    return Checked(HOST, {"vm": vm, "hva": hva}, host.touch(_hva(system, "hva", hva), write=False))


def discard(system: System, vm: int, hva: int, size: int = PAGE_SIZE) -> Checked:
    """Let the host throw pages away."""
    start, end = _range(system, hva, size)
    return Checked(HOST, {"vm": vm, "hva": hva, "size": size}, system.host(vm).discard(start, end))


def protect(system: System, vm: int, hva: int, size: int = PAGE_SIZE, writable: bool = False) -> Checked:
    """Take the host process's right to write away, or give it back."""
    start, end = _range(system, hva, size)
    if not isinstance(writable, bool):
        raise InputError(f"writable is {writable!r}; allowed: True or False")
    said = {"vm": vm, "hva": hva, "size": size, "writable": writable}
    return Checked(HOST, said, system.host(vm).protect(start, end, writable=writable))


def merge(system: System, vm: int, hva: int, vm2: int, hva2: int) -> Checked:
    """Let KSM put one frame behind two equal pages; whether it did."""
    first, second = _present(system, vm, "hva", hva), _present(system, vm2, "hva2", hva2)
    if (vm, hva) == (vm2, hva2):
        raise InputError(f"hva2 is {hva2:#x}, the same page as hva; allowed: another page")
    pfns = first.pte(hva) >> PAGE_SHIFT, second.pte(hva2) >> PAGE_SHIFT
    if system.ram.page(pfns[0]) != system.ram.page(pfns[1]):
        raise InputError(f"hva2 is {hva2:#x}; its contents differ from those at {hva:#x}: KSM merges equal pages")
    for name, host, page in (("hva", first, hva), ("hva2", second, hva2)):
        if host.pte(page) & KSM and pfns[0] != pfns[1]:
            raise InputError(f"{name} is {page:#x}; that page is already merged with another one")
    said = {"vm": vm, "hva": hva, "vm2": vm2, "hva2": hva2}
    return Checked(HOST, said, ksm_merge(first, hva, second, hva2))


def host_write(system: System, vm: int, hva: int, value: int) -> Checked:
    """Let the host process store a word; the frame number it ends up in."""
    host = system.host(vm)
    _hva(system, "hva", hva, multiple=4)
    check_int("value", value, 0, WORD_MAX)
    page = hva & ~(PAGE_SIZE - 1)
    if host.pte(page) & PROTECTED:
        raise InputError(f"hva is {hva:#x}; the process may not write there (see protect)")

    def steps() -> Steps[int]:
        pfn = yield from host.touch(page, write=True)
        system.ram.store(pfn << PAGE_SHIFT | hva & PAGE_SIZE - 1, value)
        system.stream.mark("host/stored", vm=vm, hva=hva, pfn=pfn, value=value)
        return pfn

    return Checked(HOST, {"vm": vm, "hva": hva, "value": value}, steps())


def host_touch(system: System, cpu: int, hva: int) -> Checked:
    """Let the host use one of its own addresses on a CPU: a TLB entry of VMID 0."""
    where = system.cpus[check_int("cpu", cpu, 0, len(system.cpus) - 1)]
    page = _hva(system, "hva", hva, multiple=1) & ~(PAGE_SIZE - 1)

    def steps() -> Steps[None]:
        yield from ()
        leave_guest(system.linux, where)
        if where.tlb.lookup(HOST_VMID, 0, page >> PAGE_SHIFT) is None:
            where.tlb.fill(HOST_VMID, 0, page >> PAGE_SHIFT, encode_page(page, memattr=0xF, hap=3, sh=3))
        system.stream.mark("host/touched", cpu=cpu, hva=page)

    return Checked(HOST, {"cpu": cpu, "hva": hva}, steps())


def fail_alloc(system: System, k: int) -> Checked:
    """Make the k-th page allocation from now fail; 0 for none."""
    check_int("k", k, 0, 1 << 20)
    return Checked(HOST, {"k": k}, plain(setattr, system.linux.pages, "fail_in", k))


def _hva(system: System, name: str, hva: int, multiple: int = PAGE_SIZE) -> int:
    return check_int(name, hva, 0, system.linux.ulong_mask, multiple=multiple)


def _range(system: System, hva: int, size: int) -> tuple[int, int]:
    start = _hva(system, "hva", hva)
    return start, start + check_int("size", size, PAGE_SIZE, system.linux.ulong_mask - start, multiple=PAGE_SIZE)


def _present(system: System, vm: int, name: str, hva: int) -> HostMemory:
    host = system.host(vm)
    if not host.pte(_hva(system, name, hva)) & PRESENT:
        raise InputError(f"{name} is {hva:#x}; the host has no page there: let the guest touch it first")
    return host
