"""The guest that diagrams show when they are given no run of their own."""

from __future__ import annotations

from kvmlab.engine import InputError, Machine
from kvmlab.session import Session

RAM = 0x8000_0000, 64 << 20, 0x4000_0000
"""Memory of the standard guest: IPA, bytes, host address."""
TOUCHED = ((RAM[0], "write"), (RAM[0] + 0x1000, "read"), (RAM[0] + 0x20_3000, "write"))
DEVICE = {"ipa": 0x2C00_2000, "pa": 0x2C00_6000, "size": 0x2000}
"""The interrupt controller's two pages for virtual CPUs, where Linux 3.9 maps them on a Versatile Express."""


def standard_guest() -> Machine:
    """Return a machine with the guest of these figures: two pages written, one read, and a device of two pages."""
    machine = Machine()
    vm = machine.create_vm([RAM])
    for ipa, access in TOUCHED:
        machine.access(vm, ipa, access)
    machine.ioremap(vm, **DEVICE)
    return machine


def machine_of(run: Session | Machine | None) -> Machine:
    """Return the machine of a run, or that of the standard guest.

    Raises:
        InputError: it is no run.
    """
    if run is None:
        return standard_guest()
    machine = getattr(run, "machine", run)
    if not isinstance(machine, Machine):
        raise InputError(f"run is {run!r}; allowed: a Session, a Machine, or None for the standard guest")
    return machine
