"""One VM's memory seen from both sides, folded from events: the guest's entries, the host's, and the frames between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.engine.host.mm import PRESENT
from kvmlab.engine.kernel.kvm import SLOT_WORDS
from kvmlab.engine.kernel.memslot import MemorySlot, gfn_to_hva, hva_to_gfn_memslot
from kvmlab.scenes.moment import Event, Moment, leaf_kind, path_of

PAGE = 0x1000


class Reach(NamedTuple):
    """Where a guest page leads.

    Attributes:
        pfn: the frame.
        how: "rw", "ro" or "dev" if it is mapped; "named" if a fault has looked it up and not mapped it.
    """

    pfn: int
    how: str


@dataclass
class Fault:
    """A fault under way.

    Attributes:
        task: of the vCPU.
        ipa: the guest page.
        sampled: mmu_notifier_seq as it was noted; None before.
        pfn: the frame that the host named; None before.
        verdict: "map" or "retry" once tested.
        begun: the step at which the window opened.
        over: whether KVM has returned from it.
    """

    task: str
    ipa: int
    sampled: int | None = None
    pfn: int | None = None
    verdict: str = ""
    begun: int = -1
    over: bool = False


@dataclass
class State:
    """Everything the scene shows, right after some event.

    Attributes:
        moment: the cells, and the tables in them.
        slots: the VM's memory slots, in the kernel's order.
        fault: the fault under way, or the last one until the next.
        holder: the task that holds mmu_lock.
        users: how many host entries name a frame, by pfn.
        last: the host page that a frame was behind last: (vm, hva), by pfn.
        asking: the guest page of the access under way.
        access: the arguments of the VM's last access.
        mine: for each task, whether the command that it carries out is for this VM.
    """

    moment: Moment
    slots: list[MemorySlot] = field(default_factory=list)
    fault: Fault | None = None
    holder: str = ""
    users: Counter[int] = field(default_factory=Counter)
    last: dict[int, tuple[int, int]] = field(default_factory=dict)
    asking: int | None = None
    access: Mapping[str, Any] = field(default_factory=dict)
    mine: dict[str, bool] = field(default_factory=dict)

    @property
    def vm(self) -> int:
        """Number of the VM."""
        return self.moment.vm

    def apply(self, event: Event) -> None:
        """Take one event in."""
        name, args = event.name, event.args
        if event.kind == "write":
            if entry := host_entry(name):
                self._host_writes(entry, args)
            self.moment.cells[name] = args["new"]
            return
        if event.kind == "command":
            self.mine[event.task] = args.get("vm") == self.vm
            if asked(event):
                self.asking = self.fault = None
        if name == "slot/changed" and args["vm"] == self.vm:
            self._read_slots()
        elif name == "lock/taken" and args["lock"] == f"kvm[{self.vm}].mmu_lock":
            self.holder = event.task
        elif name == "lock/released" and args["lock"] == f"kvm[{self.vm}].mmu_lock":
            self.holder = ""
        elif self.mine.get(event.task) and event.task != "host":
            self._guest(event)

    def _guest(self, event: Event) -> None:
        name, args = event.name, event.args
        if name == "access":
            self.asking, self.fault, self.access = args["ipa"] & -PAGE, None, args
        elif name == "kvm_guest_fault":
            self.fault = Fault(event.task, args["ipa"] & -PAGE)
        elif name == "access/done":
            self.asking = self.fault = None
        elif self.fault is None or self.fault.task != event.task:
            return
        elif name == "notifier/sampled":
            self.fault.sampled = args["seq"]
        elif name == "page/looked_up" and args["pfn"] >= 0:
            self.fault.pfn = args["pfn"]
        elif name in ("notifier/passed", "notifier/retried"):
            self.fault.verdict = "retry" if name == "notifier/retried" else "map"
        elif name == "abort/handled":
            self.fault.over = True

    def _host_writes(self, entry: tuple[int, int], args: Mapping[str, Any]) -> None:
        for word, one in ((args["old"], -1), (args["new"], 1)):
            if word & PRESENT:
                self.users[word >> 12] += one
        if args["new"] & PRESENT:
            self.last[args["new"] >> 12] = entry

    def _read_slots(self) -> None:
        key, self.slots = f"kvm[{self.vm}].memslots", []
        while True:
            at = len(self.slots) * SLOT_WORDS
            slot = MemorySlot(*(self.moment.cells.get(f"{key}[{at + i}]", 0) for i in range(SLOT_WORDS)))
            if not slot.npages:
                return
            self.slots.append(slot)

    # -- looking at it -------------------------------------------------------------------------------------------------

    def slot_of(self, ipa: int) -> MemorySlot | None:
        """Return the slot of a guest page."""
        gfn = ipa >> 12
        return next((slot for slot in self.slots if slot.base_gfn <= gfn < slot.base_gfn + slot.npages), None)

    def hva_of(self, ipa: int) -> int | None:
        """Return the host page of a guest page, or None if no slot has it."""
        slot = self.slot_of(ipa)
        return None if slot is None else gfn_to_hva(ipa >> 12, slot)

    def ipas_of(self, hva: int) -> list[int]:
        """Return the guest pages that show a host page, slot by slot."""
        return [
            hva_to_gfn_memslot(hva, slot) << 12
            for slot in self.slots
            if slot.userspace_addr <= hva < slot.userspace_addr + slot.npages * PAGE
        ]

    def pte(self, hva: int) -> int:
        """Return the host's entry for a page."""
        return self.moment.cells.get(f"host[{self.vm}].pte[{hva:#x}]", 0)

    def frame(self, hva: int) -> int | None:
        """Return the frame that the host names for a page, or None."""
        pte = self.pte(hva)
        return pte >> 12 if pte & PRESENT else None

    def word(self, ipa: int) -> int:
        """Return the guest page's level-3 descriptor, 0 if there is none."""
        return self.moment.word_at(path_of(ipa))

    def has_table(self, ipa: int) -> bool:
        """Return whether the level-3 table for a guest page exists."""
        return bool(self.moment.table_at(path_of(ipa, 2)))

    def reach(self, ipa: int) -> Reach | None:
        """Return the frame that a guest page leads to, or that a fault is about to make it lead to."""
        word = self.word(ipa)
        if (kind := leaf_kind(word)) != "inv":
            return Reach((word & ADDRESS_MASK) >> 12, kind)
        if self.fault and self.fault.ipa == ipa and self.fault.pfn is not None and not self.fault.over:
            return Reach(self.fault.pfn, "named")
        return None

    def refs(self, pfn: int) -> int:
        """Return a frame's number of references."""
        return self.moment.cells.get(f"host_page[{pfn:#x}].refs", 0)

    def pins(self, pfn: int) -> int:
        """Return how many of its references are pins."""
        return self.moment.cells.get(f"host_page[{pfn:#x}].pins", 0)

    def leaving(self, pfn: int) -> bool:
        """Return whether a host entry has let go of a frame that has not been given away yet."""
        return self.refs(pfn) - self.pins(pfn) > self.users[pfn]

    def stale(self, ipa: int, hva: int) -> bool:
        """Return whether a guest page is mapped to a frame that is not its own any more."""
        reach = self.reach(ipa)
        if reach is None or reach.how in ("named", "dev") or reach.pfn == self.frame(hva):
            return False
        return not self.leaving(reach.pfn)


def asked(event: Event) -> bool:
    """Return whether an event is a command that somebody gave, and not a part of one."""
    return event.kind == "command" and "part_of" not in event.args


def host_entry(key: str) -> tuple[int, int] | None:
    """Return VM and page if a cell is a host page-table entry.

    >>> host_entry("host[0].pte[0x40000000]")
    (0, 1073741824)
    """
    if not key.startswith("host["):
        return None
    vm, hva = key[5:-1].split("].pte[")
    return int(vm), int(hva, 16)
