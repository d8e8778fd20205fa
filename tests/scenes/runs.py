"""Runs that the tests of scenes look at."""

from kvmlab.engine import Config, Machine, Slot

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


RUNS = {run.__name__: run for run in (guest, first_store, everything, another_guest_runs)}
