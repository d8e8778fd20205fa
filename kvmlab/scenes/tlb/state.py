"""What all TLBs hold at one moment, whose it is, and whether the tables still say the same; folded from events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kvmlab.engine.hardware.cpu import VTTBR_VMID_SHIFT
from kvmlab.engine.hardware.tlb import ASID_BITS, HOST_VMID, PAGE_BITS, VMID_BITS
from kvmlab.scenes.moment import Event, Moment, path_of

GUESTS_DRAWN = 4
_CPU = re.compile(r"cpu\[(\d+)\]\.(vttbr|tlb\.(tag|descriptor|used)\[(\d+)\])$")
_MADE = re.compile(r"kvm\[(\d+)\]\.created$")


class Cached(NamedTuple):
    """One TLB entry.

    Attributes:
        vmid, asid, page, descriptor: as in the TLB; ASID -1 fits every address space.
        owner: the VM for which it was filled; None for the host.
    """

    vmid: int
    asid: int
    page: int
    descriptor: int
    owner: int | None


class Look(NamedTuple):
    """A look-up.

    Attributes:
        cpu, vmid, asid, page: where, and what for.
        answer: in words; "" as long as nobody knows.
    """

    cpu: int
    vmid: int
    asid: int
    page: int
    answer: str = ""


def unpack(tag: int) -> tuple[int, int, int]:
    """Return VMID, ASID (-1: every one) and page of an entry's tag."""
    vmid = tag >> PAGE_BITS + ASID_BITS & (1 << VMID_BITS) - 1
    shared = tag >> PAGE_BITS + ASID_BITS + VMID_BITS & 1
    return vmid, -1 if shared else tag >> PAGE_BITS & (1 << ASID_BITS) - 1, tag & (1 << PAGE_BITS) - 1


@dataclass
class TlbState:
    """The TLBs, and what is needed to tell of them.

    Args:
        ncpus, sets, ways, bits: the machine's CPUs, the geometry of each TLB, the width of a VMID in bits.
        room: how many entries of a TLB are drawn if not all are; 0 if all are, each at its place.
        bitmap: whether VMIDs come from the allocator of Linux 5.18.

    Attributes:
        cells: every value written so far, by key.
        entries: for each CPU, its entries by place.
        drawn: for each CPU, the places drawn, slot by slot; an entry keeps its slot as long as it is drawn.
        running: for each CPU the VM that ran there last.
        hits, looked: for each CPU the guests' look-ups that hit, and all of them.
        look: the look-up of this moment.
        gone: entries that went since the last mark: CPU, the slot where it was drawn, if it was, and the entry.
        filled: CPU and place of those that came since then.
        dropped: (VM, page) of entries that a flush took and nobody has brought back, with the flush's scope.
        guests: the VMs drawn, slot by slot; made: all there are.
        leaf: the VM and page whose leaf is shown.
    """

    ncpus: int
    sets: int
    ways: int
    bits: int
    room: int = 0
    bitmap: bool = False
    cells: dict[str, int] = field(default_factory=lambda: {"kvm_vmid_gen": 1})
    entries: list[dict[int, Cached]] = field(init=False)
    drawn: list[list[int | None]] = field(init=False)
    running: list[int | None] = field(init=False)
    hits: list[int] = field(init=False)
    looked: list[int] = field(init=False)
    look: Look | None = None
    gone: list[tuple[int, int | None, Cached]] = field(default_factory=list)
    filled: list[tuple[int, int]] = field(default_factory=list)
    dropped: dict[tuple[int, int], str] = field(default_factory=dict)
    guests: list[int] = field(default_factory=list)
    entered: list[int] = field(default_factory=list)
    made: int = 0
    leaf: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Begin with empty TLBs and the host on every CPU."""
        cpus = range(self.ncpus)
        self.entries = [{} for _ in cpus]
        self.drawn = [[None] * self.room if self.room else list(range(self.sets * self.ways)) for _ in cpus]
        self.running = [None for _ in cpus]
        self.hits, self.looked = [0 for _ in cpus], [0 for _ in cpus]

    # -- what holds --------------------------------------------------------------------------------------------------

    def cell(self, vm: int, name: str) -> int:
        """Return a value of a VM."""
        return self.cells.get(f"kvm[{vm}].{name}", 0)

    def vmid_on(self, cpu: int) -> int:
        """Return the VMID in a CPU's VTTBR; 0 while the host runs."""
        return self.cells.get(f"cpu[{cpu}].vttbr", 0) >> VTTBR_VMID_SHIFT & (1 << self.bits) - 1

    def in_guest(self, cpu: int) -> bool:
        """Return whether a guest runs on a CPU."""
        return bool(self.cells.get(f"cpu[{cpu}].vttbr", 0))

    def word(self, vm: int, page: int) -> int:
        """Return the leaf that a VM's tables hold for a page now; 0 for none."""
        return Moment(vm=vm, cells=self.cells).word_at(path_of(page << 12))

    def stale(self, entry: Cached) -> bool:
        """Return whether the tables of an entry's owner say something else by now."""
        return entry.owner is not None and self.word(entry.owner, entry.page) != entry.descriptor

    def everything(self) -> Iterator[tuple[int, int, Cached]]:
        """Yield CPU, place and entry of all that is cached."""
        for cpu, held in enumerate(self.entries):
            for place, entry in held.items():
                yield cpu, place, entry

    def compared(self, look: Look) -> dict[int, str]:
        """Return what a look-up finds in each used place of its set.

        That is "match", "other VMID", "other ASID" or "other page".
        """
        first = look.page % self.sets * self.ways
        found = {}
        for place in range(first, first + self.ways):
            if (entry := self.entries[look.cpu].get(place)) is not None:
                found[place] = (
                    "other page" if entry.page != look.page
                    else "other VMID" if entry.vmid != look.vmid
                    else "match" if entry.asid in (look.asid, -1)
                    else "other ASID"
                )  # fmt: skip
        return found

    def near(self, look: Look) -> Cached | None:
        """Return an entry for the same page and ASID of another VM, on the CPU of a look-up."""
        for place, said in self.compared(look).items():
            entry = self.entries[look.cpu][place]
            if said == "other VMID" and entry.vmid != HOST_VMID and entry.asid in (look.asid, -1):
                return entry
        return None

    def slot(self, cpu: int, place: int) -> int | None:
        """Return where an entry is drawn, if it is."""
        return self.drawn[cpu].index(place) if place in self.drawn[cpu] else None

    # -- events ------------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take one event in."""
        if event.kind == "write":
            self._write(event.name, event.args["new"])
        elif handler := _HANDLERS.get(event.name):
            handler(self, event.args)

    def forget_news(self) -> None:
        """Begin a new list of what comes and goes."""
        self.gone, self.filled = [], []

    def _write(self, key: str, new: int) -> None:
        self.cells[key] = new
        if key.startswith("cpu[") and (found := _CPU.match(key)) and found[3]:
            cpu, place = int(found[1]), int(found[4])
            if found[3] == "tag":
                self._tag(cpu, place, new)
            elif found[3] == "descriptor" and place in self.entries[cpu]:
                self.entries[cpu][place] = self.entries[cpu][place]._replace(descriptor=new)
            elif found[3] == "used":
                self._show(cpu, place)
        elif key.endswith(".created") and (found := _MADE.match(key)):
            self._made(int(found[1]), new)

    def _tag(self, cpu: int, place: int, tag: int) -> None:
        old = self.entries[cpu].pop(place, None)
        if old:
            self.gone.append((cpu, self.slot(cpu, place), old))
        if tag:
            vmid, asid, page = unpack(tag)
            word = self.cells.get(f"cpu[{cpu}].tlb.descriptor[{place}]", 0)
            owner = None if vmid == HOST_VMID else self.running[cpu]
            self.entries[cpu][place] = Cached(vmid, asid, page, word, owner)
            self.filled.append((cpu, place))
            if owner is not None:
                self.dropped.pop((owner, page), None)
        elif self.room and place in self.drawn[cpu]:
            self.drawn[cpu][self.drawn[cpu].index(place)] = None

    def _show(self, cpu: int, place: int) -> None:
        """Give an entry in use a slot: a free one, or that of the entry that has not been used for longest."""
        drawn = self.drawn[cpu]
        if not self.room or place in drawn:
            return
        used = [-1 if p is None else self.cells.get(f"cpu[{cpu}].tlb.used[{p}]", 0) for p in drawn]
        drawn[used.index(min(used))] = place

    def _made(self, vm: int, alive: int) -> None:
        self.made += 1 if alive else -1
        if alive and len(self.guests) < GUESTS_DRAWN:
            self.guests.append(vm)

    def _entered(self, a: Mapping[str, Any]) -> None:
        vm = a["vm"]
        self.running[a["cpu"]] = vm
        if vm in self.entered:
            self.entered.remove(vm)
        self.entered.append(vm)
        del self.entered[:-16]
        if vm not in self.guests:
            ages = [self.entered.index(g) if g in self.entered else -1 for g in self.guests]
            self.guests[ages.index(min(ages))] = vm

    def _answered(self, a: Mapping[str, Any], answer: str) -> None:
        cpu = a["cpu"]
        self.looked[cpu] += 1
        self.look = Look(cpu, a["vmid"], a["asid"], a["ipa"] >> 12, answer)

    def _hit(self, a: Mapping[str, Any]) -> None:
        self.hits[a["cpu"]] += 1
        self._answered(a, f"hit: PA {a['pa']:#x}")

    def _missed(self, a: Mapping[str, Any]) -> None:
        self._answered(a, "miss")

    def _flushed(self, a: Mapping[str, Any]) -> None:
        for _, _, entry in self.gone:
            if entry.owner is not None:
                self.dropped[entry.owner, entry.page] = a["scope"]


_HANDLERS = {
    "kvm_entry": TlbState._entered,
    "tlb/hit": TlbState._hit,
    "tlb/missed": TlbState._missed,
    "tlb/flushed": TlbState._flushed,
}
