"""The law of each schedule: the gap between full flushes, exact where an exact form is known."""

from __future__ import annotations

from typing import NamedTuple

from kvmlab.rollover import theory, zipf
from kvmlab.rollover.schedules import Schedule
from kvmlab.rollover.theory import NEVER, Gap


class Law(NamedTuple):
    """What theory says about a schedule.

    Attributes:
        gap: between full flushes, in guest entries as scheduled.
        exact: False for an approximation, whose variance is not known.
    """

    gap: Gap
    exact: bool


def law(schedule: Schedule, guests: int, vmid_bits: int = 8, cpus: int = 1, *, approximate: bool = False) -> Law | None:
    """Return the law of a schedule, or None where none is known.

    Args:
        schedule: who enters next.
        guests: number of guests, each with one vCPU.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs.
        approximate: take an approximation where the exact law costs much to compute: for Zipf's.

    Raises:
        InputError: an argument is out of range.
    """
    kind, value = schedule.kind, schedule.value
    if guests <= theory.usable(vmid_bits):
        return Law(NEVER, True)
    match kind:
        case "round-robin":
            return Law(theory.round_robin(guests, vmid_bits, cpus, length=schedule.length), True)
        case "uniform" | "runs":
            return Law(theory.runs(guests, vmid_bits, cpus, length=schedule.length), True)
        case _ if cpus > 1:
            return None
        case "switches":
            return Law(theory.switches(guests, vmid_bits, length=schedule.length), True)
        case "sticky":
            return Law(theory.sticky(guests, vmid_bits, stay=value or 0), True)
    exponent = 0.0 if value is None else value
    if approximate or guests > zipf.MAX_EXACT_GUESTS or vmid_bits > zipf.MAX_EXACT_BITS:
        return Law(zipf.fluid(zipf.shares(guests, exponent), vmid_bits), False)
    return Law(zipf.zipf(guests, vmid_bits, exponent), True)
