"""A notifier's path as data: what happened in one run of the engine, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kvmlab.engine import Event, InputError, Machine
from kvmlab.engine.kernel.notifier import handle_hva_to_gpa
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT, PAGE_SIZE
from kvmlab.figures.guests import RAM
from kvmlab.scenes.notifier.picture import host_words
from kvmlab.scenes.scene import Actor

HVA, IPA = RAM[2] + 0x3000, RAM[0] + 0x3000
"""The page that is followed. The page after it is mapped too, so the level 3 table stays."""
WORD = 7
"""What the guest writes there: two guests that write the same have pages that KSM can merge."""
LONGEST = 22
"""Letters beside a frame's number for which there is room."""
PTE = f"host[0].pte[{HVA:#x}]"


@dataclass(frozen=True)
class Cause:
    """Hold what a host may do to a page.

    Args:
        does: subject and verb, for the title.
        wants: the same as the first step of the path.
        act: do it, on a machine with the guest that `_guest` makes, and another with the same page.
    """

    does: str
    wants: str
    act: Callable[[Machine], Any]


CAUSES = {
    "swap_out": Cause("The host swaps a page out", "The host takes a page to swap", lambda m: m.swap_out(0, HVA)),
    "discard": Cause("The host throws a page away", "The host throws the page away", lambda m: m.discard(0, HVA)),
    "protect": Cause("The host forbids writing", "The host forbids writing", lambda m: m.protect(0, HVA)),
    "ksm_merge": Cause(
        "KSM merges two pages", "KSM finds two equal pages", lambda m: m.ksm_merge(0, HVA, 1, HVA)
    ),
    "host_write": Cause(
        "The host unshares a page", "The host writes to a merged page", lambda m: m.host_write(0, HVA, WORD + 1)
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """Hold one step of the path.

    Args:
        lane: who acts.
        title: what happens, in words.
        value: the same in numbers.
        mark: "now" for the entry that goes, "event" for a flush or a fault, else empty.
    """

    lane: Actor
    title: str
    value: str
    mark: str = ""


@dataclass(frozen=True)
class PathData:
    """Hold the path that one run took.

    Args:
        event: what the host did.
        rows: the steps, the guest's next read among them.
        again: number of the row in which the guest reads, from 0.
        seq: mmu_notifier_seq before and after.
    """

    event: str
    rows: tuple[Row, ...]
    again: int
    seq: tuple[int, int]

    @property
    def faults(self) -> bool:
        """Return whether the guest's read faults."""
        return any(row.mark == "event" for row in self.rows[self.again :])


def path_data(event: str = "swap_out") -> PathData:
    """Run the engine and tell what happened, step by step.

    Args:
        event: "swap_out", "discard", "protect", "ksm_merge" or "host_write".

    Raises:
        InputError: there is no such event.
    """
    if event not in CAUSES:
        raise InputError(f"event is {event!r}; allowed: {', '.join(CAUSES)}")
    machine = Machine()
    for vm in range(2 if event in ("ksm_merge", "host_write") else 1):
        machine.create_vm([RAM])
        for ipa in (IPA, IPA + PAGE_SIZE):
            machine.access(vm, ipa, "write", value=WORD, cpu=vm)
    if event == "host_write":
        machine.ksm_merge(0, HVA, 1, HVA)
        machine.access(0, IPA)
    kvm, first = machine.kvm(0), len(machine.stream)
    before = kvm.mmu_notifier_seq, kvm.mmu_notifier_count
    CAUSES[event].act(machine)
    machine.access(0, IPA)
    gpas: list[int] = []
    handle_hva_to_gpa(kvm, HVA, HVA + PAGE_SIZE, gpas.append)
    rows = tuple(_rows(event, [*machine.stream.since(first)], before, gpas))
    again = next(number for number, row in enumerate(rows) if row.lane == "guest")
    return PathData(event, rows, again, (before[0], kvm.mmu_notifier_seq))


def _rows(event: str, events: list[Event], counters: tuple[int, int], gpas: list[int]) -> Iterator[Row]:
    """Tell what concerns VM 0 and its page; what the host does to another VM is left out."""
    there = ", ".join(f"{gpa:#x}" for gpa in gpas)
    mine, how, own = True, "finds the page", 0
    for place, e in enumerate(events):
        a: Mapping[str, Any] = e.args
        if e.name in ("lock/taken", "lock/released"):
            mine = e.name == "lock/released" or a["lock"] == "kvm[0].mmu_lock"
        elif e.asked and e.task == "host":
            yield Row("host", CAUSES[event].wants, f"hva {HVA:#x}")
        elif e.name == PTE and e.task == "host":
            own = own or a["old"] >> PAGE_SHIFT
            yield Row("host", "It changes its own entry", _pte_words(a["old"], a["new"]))
        elif not mine:
            continue
        elif e.name == "notifier/counted":
            new = a["seq"], a["count"]
            yield Row("kern", _call(counters, new, events[place:]), _counter_words(counters, new))
            counters = new
        elif e.name in ("kvm_unmap_hva", "kvm_unmap_hva_range", "kvm_set_spte_hva"):
            yield Row("kern", "handle_hva_to_gpa()", f"hva {HVA:#x} → gpa {there}")
        elif e.name == "host/page_freed" and a["pfn"] == own:
            yield Row("host", "The frame is free", f"pfn {own:#x}")
        elif e.name in _FOUND:
            how = _FOUND[e.name]
        elif e.name == "page/looked_up":
            yield Row("host", f"The host {how}", f"gfn {a['gfn']:#x} → pfn {a['pfn']:#x}")
        elif told := _TOLD.get(e.name):
            yield told(a)


_FOUND = {"host/swapped_in": "swaps the page in", "host/page_given": "gives a new page"}


def _flush(a: Mapping[str, Any]) -> Row:
    entries = f"{a['removed']} {'entry' if a['removed'] == 1 else 'entries'} dropped"
    return Row("hw", "TLB flush of the whole VMID", f"VMID {a['vmid']}: {entries}", "event")


def _entry(a: Mapping[str, Any]) -> str:
    return f"L3[{(a['entry'] & PAGE_SIZE - 1) // 8}] {a['old']:#x} → {a.get('new', 0):#x}"


_TOLD: dict[str, Callable[[Mapping[str, Any]], Row]] = {
    "tables/cleared": lambda a: Row("kern", "The stage-2 entry is cleared", _entry(a), "now"),
    "tables/mapped": lambda a: Row("kern", "The stage-2 entry is written", _entry(a), "now"),
    "tables/ignored": lambda a: Row("kern", "No table is there: ignored", f"level {a['level']}"),
    "tlb/flushed": _flush,
    "access": lambda a: Row("guest", f"The guest {a['access']}s the page", f"IPA {a['ipa']:#x}"),
    "tlb/hit": lambda a: Row("hw", "The TLB still answers", f"PA {a['pa']:#x}"),
    "walk/faulted": lambda a: Row("hw", "TLB miss, the walk breaks off", f"{a['fault']} fault, level {a['level']}",
                                  "event"),
    "walk/done": lambda a: Row("hw", "TLB miss, the walk succeeds", f"IPA {a['ipa']:#x} → PA {a['pa']:#x}"),
    "notifier/sampled": lambda a: Row("kern", "The fault samples the counter", f"mmu_notifier_seq {a['seq']}"),
    "notifier/passed": lambda a: Row("kern", "Unchanged, so it may map",
                                     f"seq {a['seq']} = {a['sampled']}, count {a['count']}"),
    "notifier/retried": lambda a: Row("kern", "Changed, so it may not map",
                                      f"seq {a['seq']}, sampled {a['sampled']}, count {a['count']}"),
}  # fmt: skip


def _call(old: tuple[int, int], new: tuple[int, int], rest: list[Event]) -> str:
    """Return which notifier changed the counters so."""
    if new[1] != old[1]:
        return f"invalidate_range_{'start' if new[1] > old[1] else 'end'}()"
    after = next((e.name for e in rest if e.name.startswith(("kvm_unmap", "kvm_set"))), "")
    return "change_pte()" if after == "kvm_set_spte_hva" else "invalidate_page()"


def _counter_words(old: tuple[int, int], new: tuple[int, int]) -> str:
    names = ("seq", "count")
    moved = [f"{name} {a} → {b}" for name, a, b in zip(names, old, new, strict=True) if a != b]
    return "mmu_notifier_" + ", ".join(moved)


def _pte_words(old: int, new: int) -> str:
    """Return how the host's entry changed.

    >>> _pte_words(0xA0000003, 0xA0000001), _pte_words(0xA0000003, 0xA0002003)
    ('pfn 0xa0000: writable → read-only', 'pfn 0xa0000 → 0xa0002')
    """
    before, after = host_words(old), host_words(new)
    if before.startswith("no page") or not new & 1:
        return f"pfn {old >> PAGE_SHIFT:#x}, {before} → {after}"
    if old >> PAGE_SHIFT == new >> PAGE_SHIFT:
        said = f"{before} → {after}"
        return said if len(said) > LONGEST else f"pfn {old >> PAGE_SHIFT:#x}: {said}"
    return f"pfn {old >> PAGE_SHIFT:#x} → {new >> PAGE_SHIFT:#x}"
