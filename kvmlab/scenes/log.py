"""Events as lines of a log: tracepoints as Linux 3.9 prints them, everything else as its name and values."""

from __future__ import annotations

from collections.abc import Sequence

from kvmlab.scenes.moment import Event
from kvmlab.scenes.scene import Actor

TRACEPOINTS = {
    "kvm_entry": "PC: 0x%08x",
    "kvm_exit": "PC: 0x%08x",
    "kvm_guest_fault": "ipa %#x, hsr %#08x, hxfar %#08x, pc %#08x",
    "kvm_unmap_hva": "mmu notifier unmap hva: %#08x",
    "kvm_unmap_hva_range": "mmu notifier unmap range: %#08x -- %#08x",
    "kvm_set_spte_hva": "mmu notifier set pte hva: %#08x",
}
"""The print formats of arch/arm/kvm/trace.h. Differs: C prints a zero without its 0x, Python with."""
FIELDS = {
    "kvm_entry": ("vcpu_pc",),
    "kvm_exit": ("vcpu_pc",),
    "kvm_guest_fault": ("ipa", "hsr", "hxfar", "vcpu_pc"),
    "kvm_unmap_hva": ("hva",),
    "kvm_unmap_hva_range": ("start", "end"),
    "kvm_set_spte_hva": ("hva",),
}
MARKS = {
    "tlb/missed": "VMID {vmid}, ASID {asid}, page {ipa:#x}",
    "tlb/hit": "VMID {vmid}, ASID {asid}, page {ipa:#x}: PA {pa:#x}",
    "tlb/filled": "VMID {vmid}, ASID {asid}, page {ipa:#x}: {descriptor:#x}",
    "tlb/flushed": "{scope} {vmid}: {removed} removed",
    "walk/level": "{level}, entry {index}: {descriptor:#x}",
    "walk/faulted": "{fault} fault at level {level}",
    "walk/done": "PA {pa:#x}",
    "cpu/trapped": "HSR {hsr:#x}, HPFAR {hpfar:#x}, HxFAR {hxfar:#x}",
    "cache/topped_up": "{taken} taken, {nobjs} in the cache",
    "cache/checked": "{nobjs} in the cache, at least {min}",
    "cache/failed": "{nobjs} in the cache, -ENOMEM",
    "cache/taken": "slot {slot}, page {page:#x}, {nobjs} left",
    "cache/freed": "{given_back} given back",
    "tables/set": "ipa {ipa:#x}, new {new:#x}",
    "tables/linked": "level {level}, entry {index} at {entry:#x}: {descriptor:#x}",
    "tables/mapped": "entry {index} at {entry:#x}: {old:#x} to {new:#x}",
    "page/looked_up": "gfn {gfn:#x}: pfn {pfn:#x}, writable {writable}",
    "notifier/passed": "sampled {sampled}, seq {seq}, count {count}",
    "notifier/retried": "sampled {sampled}, seq {seq}, count {count}",
    "vmid/rolled_over": "generation {generation}",
    "vmid/kicked": "CPUs {cpus}",
    "vmid/assigned": "VMID {vmid}, generation {generation}, next {next}",
    "ram/stored": "PA {pa:#x}: {value:#x}",
    "ram/loaded": "PA {pa:#x}: {value:#x}",
    "ram/fetched": "PA {pa:#x}: {value:#x}",
}
"""How a line goes on after the name of the mark; the others list all their values."""
HEX = {"ipa", "pa", "hva", "gfn", "pfn", "entry", "table", "old", "new", "value", "pgd", "start", "end", "size"}
SILENT = {"page/allocated", "access/done", "vmid/checked"}
ACTOR_OF_AREA: dict[str, Actor] = {"tlb": "hw", "walk": "hw", "cpu": "hw", "ram": "guest", "host": "host"}


def actor_of(event: Event) -> Actor:
    """Return who speaks when an event is logged."""
    if event.kind == "command":
        return "guest" if event.name == "access" else "host"
    return ACTOR_OF_AREA.get(event.name.split("/")[0], "kern")


def log_line(event: Event) -> str | None:
    """Return an event as a line of the log, or None if it is not worth one."""
    if event.kind == "write" or event.name in SILENT:
        return None
    if form := TRACEPOINTS.get(event.name):
        return f"{event.name}: {form % tuple(event.args[field] for field in FIELDS[event.name])}"
    if form := MARKS.get(event.name):
        return f"{event.name} {form.format(**event.args)}"
    return f"{event.name} {', '.join(f'{key} {_value(key, value)}' for key, value in event.args.items())}".rstrip()


def last_lines(log: Sequence[tuple[Actor, str]], most: int) -> tuple[tuple[Actor, str], ...]:
    """Return the lines of a step; of too many the last ones, after a line that says how many are left out.

    >>> last_lines([("kern", "a"), ("kern", "b"), ("kern", "c")], 2)
    (('kern', '... 2 lines'), ('kern', 'c'))
    """
    over = len(log) - most
    return tuple(log) if over <= 0 else (("kern", f"... {over + 1} lines"), *log[over + 1 :])


def _value(key: str, value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(key, item) for item in value)}]"
    if isinstance(value, int) and not isinstance(value, bool) and (key in HEX or value >= 1 << 16):
        return f"{value:#x}"
    return str(value)
