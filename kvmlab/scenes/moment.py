"""One VM's state at one moment, folded from events: what the fault scene draws, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, HAP_WRITE, XN, kind_of
from kvmlab.scenes.fault.whose import Event as Event
from kvmlab.scenes.fault.whose import Whose

Path = tuple[int, ...]
"""An entry of the tree: its level-1 index, then its level-2 and level-3 index if it lies that deep."""

SHIFTS = (30, 21, 12)


def path_of(ipa: int, level: int = 3) -> Path:
    """Return where the walk of an IPA goes, down to `level`.

    >>> path_of(0x8020_3000)
    (2, 1, 3)
    """
    return tuple(ipa >> shift & (0x3FF if shift == 30 else 0x1FF) for shift in SHIFTS[:level])


def leaf_kind(word: int) -> str:
    """Return what a level-3 descriptor maps: "rw", "ro", "dev" (execute-never) or "inv" (nothing)."""
    if kind_of(word, 3) != "page":
        return "inv"
    return "dev" if word & XN else "rw" if word & HAP_WRITE else "ro"


@dataclass
class Moment:
    """Everything the fault scene needs to know about one VM, right after some event.

    Args:
        vm: number of the VM.

    Attributes:
        cells: every value written so far, by key.
        access: the arguments of the guest access under way or last made; empty before the first.
        cpus: the CPUs on which the guest runs.
        looking: the IPA in the walker; None when no address has been looked up yet.
        read: entries the walker has read in this walk, in order.
        missed: the entry at which the walk broke off.
        registers: hsr, hpfar, hxfar of the last abort of this access; None before it.
        tlb: translations that the TLBs hold, of all VMs: (cpu, vmid, asid, page) to descriptor, oldest first.
        left: whether the last exit took it off one of them.
        whose: tells which events are about this VM.
        concerns: whether the last command or mark was.
        by: the command that the last event belongs to.
        locked: whether mmu_lock is held.
        counts: mmu_notifier_seq and count before the host's last change of them, and after it.
        spte: whether the host has KVM put another frame behind a page (change_pte).
        wrote: whether an entry was written since mmu_lock was taken.
        flushes: TLB flushes of this VM since then.
        cleared, told: entries cleared since the command began, and whether the host has told KVM of a change since.
        retried: whether the last test for a retry stopped the fault.
        cache: key of the memory cache in use.
        word: the descriptor last read or written, its level and its path.
        named: host pages looked up but not mapped yet: path to pfn.
        hva: host address of the guest page under way.
    """

    vm: int = 0
    cells: dict[str, int] = field(default_factory=dict)
    access: Mapping[str, Any] = field(default_factory=dict)
    cpus: set[int] = field(default_factory=set)
    left: bool = False
    looking: int | None = None
    read: tuple[Path, ...] = ()
    missed: Path | None = None
    registers: tuple[int, int, int] | None = None
    tlb: dict[tuple[int, int, int, int], int] = field(default_factory=dict)
    locked: bool = False
    cache: str = ""
    word: tuple[int, int, Path] | None = None
    named: dict[Path, int] = field(default_factory=dict)
    hva: int | None = None
    whose: Whose = field(default_factory=Whose)
    concerns: bool = False
    by: str = ""
    counts: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    spte: bool = False
    wrote: bool = False
    flushes: int = 0
    cleared: int = 0
    told: bool = False
    retried: bool = False

    def __post_init__(self) -> None:
        """Watch for what is about this VM."""
        self.whose.vm = self.vm

    @property
    def running(self) -> bool:
        """Whether the guest runs, on any CPU."""
        return bool(self.cpus)

    @property
    def mine(self) -> dict[str, bool]:
        """For each task, whether the command it carries out is for this VM."""
        return self.whose.mine

    @property
    def translations(self) -> dict[tuple[int, int, int, int], int]:
        """The TLB entries that carry this VM's VMID."""
        vmid = self.cell("vmid")
        return {key: word for key, word in self.tlb.items() if key[1] == vmid}

    def cell(self, key: str) -> int:
        """Return a value of this VM ("vttbr", "mmu_notifier_seq", ...)."""
        return self.cells.get(f"kvm[{self.vm}].{key}", 0)

    def entry_at(self, path: Path) -> int:
        """Return the physical address of an entry's descriptor, or 0 if its table does not exist."""
        table = self.table_at(path[:-1])
        return table + 8 * path[-1] if table else 0

    def word_at(self, path: Path) -> int:
        """Return an entry's descriptor, 0 if its table does not exist."""
        entry = self.entry_at(path)
        return self.cells.get(f"mem[{entry:#x}]", 0) if entry else 0

    def table_at(self, path: Path) -> int:
        """Return the physical address of the table under an entry (of the level-1 table for the empty path), or 0."""
        if not path:
            return self.cell("pgd")
        word = self.word_at(path)
        return word & ADDRESS_MASK if kind_of(word, len(path)) == "table" else 0

    def page_count(self, pa: int) -> int:
        """Return the reference count of a frame."""
        return self.cells.get(f"page_count[{pa:#x}]", 0)

    @property
    def nobjs(self) -> int:
        """How many pages the memory cache in use holds."""
        return self.cells.get(f"{self.cache}.nobjs", 0)

    def apply(self, event: Event) -> None:
        """Take one event in."""
        if event.kind == "write":
            self.cells[event.name] = event.args["new"]
            return
        self.concerns = self.whose.take(event)
        self.by = self.whose.doing.get(event.task, "")
        if handler := _OF_ALL.get(event.name) or (self.concerns and _HANDLERS.get(event.name)):
            handler(self, event.args)


def _access(m: Moment, a: Mapping[str, Any]) -> None:
    m.access, m.looking, m.read, m.missed, m.registers, m.hva, m.word = a, None, (), None, None, None, None
    m.named, m.told = {}, False
    m.cache = f"kvm[{m.vm}].vcpu[{a.get('vcpu', 0)}].mmu_page_cache"


def _nothing_asked(m: Moment, a: Mapping[str, Any]) -> None:
    m.access, m.looking, m.read, m.missed, m.registers, m.hva, m.word = {}, None, (), None, None, None, None


def _host_asked(m: Moment, a: Mapping[str, Any]) -> None:
    m.hva, m.cleared, m.told = a.get("hva"), 0, False


def _entered(m: Moment, a: Mapping[str, Any]) -> None:
    if a["vm"] == m.vm:
        m.cpus.add(a["cpu"])


def _left(m: Moment, a: Mapping[str, Any]) -> None:
    m.left = a["vm"] == m.vm and a["cpu"] in m.cpus
    if m.left:
        m.cpus.remove(a["cpu"])


def _looked(m: Moment, a: Mapping[str, Any]) -> None:
    m.looking, m.read, m.missed = a["ipa"], (), None


def _hit(m: Moment, a: Mapping[str, Any]) -> None:
    _looked(m, a)
    m.word = (a["descriptor"], 3, path_of(a["ipa"]))


def _level(m: Moment, a: Mapping[str, Any]) -> None:
    path = path_of(a["ipa"], a["level"])
    m.read += (path,)
    m.word = (a["descriptor"], a["level"], path)


def _faulted(m: Moment, a: Mapping[str, Any]) -> None:
    m.missed = m.read[-1] if m.read else None


def _trapped(m: Moment, a: Mapping[str, Any]) -> None:
    m.registers = (a["hsr"], a["hpfar"], a["hxfar"])
    m.retried = False
    m.cpus.discard(a["cpu"])


def _filled(m: Moment, a: Mapping[str, Any]) -> None:
    if a["evicted"]:
        vmid, asid, page = a["evicted"]
        m.tlb.pop((a["cpu"], vmid, asid, page), None)
    m.tlb[(a["cpu"], a["vmid"], a["asid"], a["ipa"] >> 12)] = a["descriptor"]


def _flushed(m: Moment, a: Mapping[str, Any]) -> None:
    m.tlb = {key: word for key, word in m.tlb.items() if a["scope"] == "vmid" and key[1] != a["vmid"]}
    m.flushes += a["vm"] == m.vm


def _lock(held: bool) -> Any:
    def handler(m: Moment, a: Mapping[str, Any]) -> None:
        if a["lock"] == f"kvm[{m.vm}].mmu_lock":
            m.locked, m.spte = held, False
            if held:
                m.wrote, m.flushes = False, 0

    return handler


def _cache(m: Moment, a: Mapping[str, Any]) -> None:
    m.cache = a["cache"]


def _slot(m: Moment, a: Mapping[str, Any]) -> None:
    m.hva = a["hva"]


def _page(m: Moment, a: Mapping[str, Any]) -> None:
    if a["pfn"] >= 0:
        m.named = {path_of(a["gfn"] << 12): a["pfn"]}


def _linked(m: Moment, a: Mapping[str, Any]) -> None:
    m.word, m.read, m.missed = (a["descriptor"], a["level"], path_of(a["ipa"], a["level"])), (), None


def _mapped(m: Moment, a: Mapping[str, Any]) -> None:
    m.word, m.named, m.read, m.missed = (a["new"], 3, path_of(a["ipa"])), {}, (), None
    m.wrote = True


def _cleared(m: Moment, a: Mapping[str, Any]) -> None:
    m.cleared += 1


def _counted(m: Moment, a: Mapping[str, Any]) -> None:
    m.counts, m.told = (m.counts[1], (a["seq"], a["count"])), True


def _changes_pte(m: Moment, a: Mapping[str, Any]) -> None:
    m.spte = True


def _tested(retried: bool) -> Any:
    def handler(m: Moment, a: Mapping[str, Any]) -> None:
        m.retried = retried
        if retried:
            m.named = {}

    return handler


_OF_ALL = {
    "kvm_entry": _entered,
    "kvm_exit": _left,
    "tlb/filled": _filled,
    "tlb/flushed": _flushed,
    "lock/taken": _lock(True),
    "lock/released": _lock(False),
}
"""What concerns the VM whoever it is done for; these look for themselves."""
_HANDLERS = {
    "access": _access,
    "ioremap": _nothing_asked,
    "enter": _nothing_asked,
    **dict.fromkeys(
        ("swap_out", "swap_in", "discard", "protect", "ksm_merge", "host_write", "remove_slot"), _host_asked
    ),
    "tlb/missed": _looked,
    "tlb/hit": _hit,
    "walk/level": _level,
    "walk/faulted": _faulted,
    "cpu/trapped": _trapped,
    "cache/checked": _cache,
    "cache/topped_up": _cache,
    "cache/failed": _cache,
    "cache/taken": _cache,
    "slot/found": _slot,
    "page/looked_up": _page,
    "tables/linked": _linked,
    "tables/mapped": _mapped,
    "tables/cleared": _cleared,
    "notifier/counted": _counted,
    "notifier/passed": _tested(False),
    "notifier/retried": _tested(True),
    "kvm_set_spte_hva": _changes_pte,
}
