"""All stories of a run by the name of the panel that shows them: how each is made for a machine."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from kvmlab.engine.errors import InputError
from kvmlab.scenes.cache.story import CacheStory
from kvmlab.scenes.fault.story import FaultStory
from kvmlab.scenes.ioremap.story import IoremapStory
from kvmlab.scenes.notifier.story import NotifierStory
from kvmlab.scenes.tables.layout import View
from kvmlab.scenes.tables.story import TablesStory
from kvmlab.scenes.tlb.story import TlbStory
from kvmlab.scenes.vmid.bitmap import BitmapStory
from kvmlab.scenes.vmid.story import VmidStory

if TYPE_CHECKING:
    from kvmlab.engine import Machine
    from kvmlab.scenes.story import Story


def fault(machine: Machine, vm: int = 0) -> FaultStory:
    """Return a new story of one guest's faults."""
    return FaultStory(vm)


def tables(machine: Machine, *vms: int, view: View | None = None) -> TablesStory:
    """Return a new story of the tables of some guests; of the first one if none is named."""
    return TablesStory(vms or (0,), view)


def cache(machine: Machine, vm: int = 0, vcpu: int = 0) -> CacheStory:
    """Return a new story of one vCPU's memory cache."""
    return CacheStory(vm, vcpu)


def vmids(machine: Machine, *_: int) -> VmidStory:
    """Return a new story of the VMIDs of all guests.

    Raises:
        InputError: the machine does not fit into the picture.
    """
    made = BitmapStory if machine.config.allocator == "5.18" else VmidStory
    return made(machine.config.vmid_bits, machine.config.ncpus)


def tlb(machine: Machine, *_: int) -> TlbStory:
    """Return a new story of all TLBs."""
    config = machine.config
    return TlbStory(
        ncpus=config.ncpus, vmid_bits=config.vmid_bits, tlb_sets=config.tlb_sets, tlb_ways=config.tlb_ways,
        allocator=config.allocator,
    )  # fmt: skip


def notifiers(machine: Machine, vm: int = 0) -> NotifierStory:
    """Return a new story of what the host does with one guest's memory."""
    return NotifierStory(vm, machine.config.CONFIG_MMU_NOTIFIER)


def ioremap(machine: Machine, vm: int = 0) -> IoremapStory:
    """Return a new story of the devices of one guest."""
    return IoremapStory(vm)


STORIES: dict[str, Callable[..., Story]] = {
    made.__name__: made for made in (fault, tables, cache, vmids, tlb, notifiers, ioremap)
}
"""The stories by name; each takes the machine and the number of the VM to show, which some have no use for."""


def story(name: str, machine: Machine, vm: int = 0) -> Story:
    """Return a new story of a machine's run.

    Args:
        name: what to show: "fault", "tables", "cache", "vmids", "tlb", "notifiers" or "ioremap".
        machine: the machine; only its configuration and how many VMs there were matter.
        vm: number of the VM to show, where a story shows one.

    Raises:
        InputError: there is no such story, the run never makes such a VM, or the machine does not fit into the picture.
    """
    if name not in STORIES:
        raise InputError(f"panel is {name!r}{_nearest(name)}; allowed: {', '.join(STORIES)}")
    made = machine.linux.nr_vms
    if vm not in range(made):
        raise InputError(f"vm is {vm!r}; allowed: {', '.join(map(str, range(made))) or 'none, the run makes no VM'}")
    return STORIES[name](machine, vm)


def _nearest(name: str) -> str:
    found = get_close_matches(name, STORIES, n=1)
    return f", perhaps {found[0]!r}" if found else ""
