"""Runs that the tests of scenes look at."""

import random

from kvmlab.engine import Config, Machine, Slot
from kvmlab.engine.explore import Program, Run

RAM = Slot(ipa=0x8000_0000, size=64 << 20, hva=0x4000_0000)


def guest(**config):
    """A machine with one guest that has not run."""
    machine = Machine(Config(**config))
    machine.create_vm([RAM])
    return machine


def first_store():
    """The guest stores to one fresh page."""
    machine = guest()
    machine.access(0, 0x8000_0000, "write", value=0x2A)
    return machine


def everything():
    """Loads, stores and fetches, inside and outside of memory; devices; the host takes a page back; failures."""
    machine = first_store()
    for ipa, access in (
        (0x8000_0000, "read"),
        (0x8000_1000, "write"),
        (0x8000_2004, "read"),
        (0x8000_2004, "write"),
        (0x8020_0000, "fetch"),
        (0xC000_0000, "read"),
        (0xC000_0000, "write"),
        (0xC000_0000, "fetch"),
        (0xFF_FFFF_FFFC, "read"),
    ):
        machine.access(0, ipa, access, value=0xFFFF_FFFF if access == "write" else 0)
    machine.ioremap(0, 0x2C00_2000, 0x2C00_6000, 0x2000)
    machine.access(0, 0x2C00_2000, "read")
    machine.ioremap(0, 0x8000_0000, 0x2C00_6000, 0x1000)
    machine.ioremap(0, 0xFFFF_F000, 0x2C00_6000, 0x1000)
    machine.swap_out(0, RAM.hva + 0x1000)
    machine.access(0, 0x8000_1000, "read")
    machine.discard(0, RAM.hva, RAM.size)
    machine.fail_alloc(1)
    machine.access(0, 0x8000_0000, "write")
    machine.ioremap(0, 0x3000_0000, 0x2C00_6000, 0x1000)
    return machine


def another_guest_runs():
    """Two guests take turns; only the first is to be seen."""
    machine = first_store()
    machine.create_vm([Slot(ipa=0x8000_0000, size=1 << 20, hva=0x5000_0000)])
    machine.access(1, 0x8000_0000, "write", value=1, cpu=1)
    machine.access(0, 0x8000_1000, "write", value=2)
    return machine


def the_host_changes_its_mind():
    """Every command of the host: swap, merge, copy on write, protect, slots, entries, failures, the end of the VM."""
    machine = first_store()
    page = RAM.hva + 0x1000
    machine.access(0, 0x8000_1000, "write", value=7)
    machine.host_write(0, RAM.hva, 7)
    machine.ksm_merge(0, RAM.hva, 0, page)
    machine.access(0, 0x8000_1000, "read")
    machine.access(0, 0x8000_1000, "write", value=8)
    machine.host_write(0, RAM.hva, 9)
    machine.swap_out(0, page)
    machine.swap_in(0, page)
    machine.swap_in(0, RAM.hva + 0x5000)
    machine.protect(0, page)
    machine.access(0, 0x8000_1000, "write", value=8)
    machine.protect(0, page, writable=True)
    machine.discard(0, RAM.hva, 0x2000)
    machine.access(0, 0x8000_0000, "read")
    machine.enter(0)
    machine.leave()
    machine.leave()
    machine.host_touch(0, 0xC000_0000)
    machine.fail_alloc(3)
    machine.fail_alloc(0)
    machine.add_slot(0, (0xA000_0000, 0x10_0000, 0x6000_0000))
    machine.access(0, 0xA000_0000, "write", value=1)
    machine.remove_slot(0, 1)
    machine.access(0, 0xA000_0000, "read")
    machine.destroy_vm(0)
    return machine


def guests_share_a_page():
    """KSM merges pages of two guests, and the second one's first touch is not to be seen; only the first is."""
    machine = first_store()
    machine.create_vm([Slot(ipa=0x4000_0000, size=1 << 20, hva=0x5000_0000)])
    machine.access(1, 0x4000_0000, "write", value=0x2A, cpu=1)
    machine.ksm_merge(1, 0x5000_0000, 0, RAM.hva)
    machine.access(0, 0x8000_0000, "read")
    machine.access(0, 0x8000_0000, "write", value=3)
    return machine


def race(retry="both"):
    """The host takes a page back between a fault's look-up and its test: the fault has to try again."""
    machine = guest(retry=retry)
    machine.access(0, 0x8000_1000, "write", value=1)
    fault = machine.begin("access", vm=0, ipa=0x8000_0000, access="write", value=7)
    run = Run(Program(machine, {"fault": fault, "host": machine.begin("discard", vm=0, hva=RAM.hva)}, lambda _: ""))
    while not any(event.name == "page/looked_up" and event.args["gfn"] == 0x80000 for event in machine.stream):
        run.step("fault")
    while not run.ended:
        run.step("host" if "host" in run.enabled else "fault")
    return machine


def an_open_range():
    """The host has begun to take a page back, and not ended, while the guest faults: count keeps it out."""
    machine = first_store()
    fault = machine.begin("access", vm=0, ipa=0x8000_1000, access="write", value=7)
    run = Run(Program(machine, {"fault": fault, "host": machine.begin("discard", vm=0, hva=RAM.hva)}, lambda _: ""))
    while machine.kvm(0).mmu_notifier_count == 0:
        run.step("host")
    while not any(event.name == "notifier/retried" for event in machine.stream):
        run.step("fault")
    while not run.ended:
        run.step("host" if "host" in run.enabled else "fault")
    return machine


def nobody_tells_kvm():
    """Without MMU notifiers the host's changes never reach the guest's tables."""
    machine = guest(CONFIG_MMU_NOTIFIER=False)
    machine.access(0, 0x8000_0000, "write", value=5)
    machine.swap_out(0, RAM.hva)
    machine.access(0, 0x8000_0000, "read")
    return machine


RUNS = {
    run.__name__: run
    for run in (
        guest,
        first_store,
        everything,
        another_guest_runs,
        the_host_changes_its_mind,
        guests_share_a_page,
        race,
        an_open_range,
        nobody_tells_kvm,
    )
}


def turns(entries: int, guests: int, ncpus: int) -> list[tuple[int, int]]:
    """Return who enters where: guests in turn, CPUs in turn."""
    return [(i % guests, i % ncpus) for i in range(entries)]


def shuffled(entries: int, guests: int, ncpus: int, seed: int) -> list[tuple[int, int]]:
    """Return who enters where, at random."""
    draw = random.Random(seed)
    return [(draw.randrange(guests), draw.randrange(ncpus)) for _ in range(entries)]
