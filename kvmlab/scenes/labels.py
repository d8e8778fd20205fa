"""The six questions that every step answers one of: the same words in all scenes, so that runs can be compared.

A learner who has them can read any of these paths: somebody asks, a page is found, there has to be room, it has to be
still allowed, it is published, and whoever holds an old answer is told.
"""

from __future__ import annotations

from typing import Literal

Label = Literal["WHO ASKED", "WHICH PAGE", "IS THERE ROOM", "MAY I STILL", "PUBLISH", "TELL THE OTHERS"]
LABELS: dict[Label, str] = {
    "WHO ASKED": "somebody wants something: a guest, the host, a device's owner",
    "WHICH PAGE": "an address is looked up, or the entry for it is read",
    "IS THERE ROOM": "a frame, a slot or a number is needed and has to be there",
    "MAY I STILL": "a lock is taken, or what was true before is tested again",
    "PUBLISH": "an entry, a number or a value is written where others see it",
    "TELL THE OTHERS": "whoever holds an old answer is told, or an answer is returned",
}

_OF_MARK: dict[str, Label] = {
    "tlb/missed": "WHICH PAGE",
    "tlb/hit": "WHICH PAGE",
    "tlb/filled": "PUBLISH",
    "tlb/flushed": "TELL THE OTHERS",
    "walk/level": "WHICH PAGE",
    "walk/faulted": "WHICH PAGE",
    "walk/done": "WHICH PAGE",
    "cpu/trapped": "WHO ASKED",
    "hyp/resolved": "WHICH PAGE",
    "kvm_guest_fault": "WHO ASKED",
    "slot/found": "WHICH PAGE",
    "slot/missed": "WHICH PAGE",
    "slot/changed": "PUBLISH",
    "page/looked_up": "WHICH PAGE",
    "page/dirtied": "PUBLISH",
    "page/allocated": "IS THERE ROOM",
    "page/refused": "IS THERE ROOM",
    "page/freed": "IS THERE ROOM",
    "cache/checked": "IS THERE ROOM",
    "cache/topped_up": "IS THERE ROOM",
    "cache/failed": "IS THERE ROOM",
    "cache/taken": "IS THERE ROOM",
    "cache/freed": "IS THERE ROOM",
    "notifier/sampled": "MAY I STILL",
    "notifier/passed": "MAY I STILL",
    "notifier/retried": "MAY I STILL",
    "notifier/counted": "TELL THE OTHERS",
    "lock/taken": "MAY I STILL",
    "lock/released": "TELL THE OTHERS",
    "icache/maintained": "TELL THE OTHERS",
    "tables/created": "PUBLISH",
    "tables/set": "WHICH PAGE",
    "tables/linked": "PUBLISH",
    "tables/mapped": "PUBLISH",
    "tables/refused": "MAY I STILL",
    "tables/ignored": "IS THERE ROOM",
    "tables/cleared": "PUBLISH",
    "tables/unlinked": "PUBLISH",
    "tables/destroyed": "PUBLISH",
    "vmid/checked": "MAY I STILL",
    "vmid/stale": "MAY I STILL",
    "vmid/rolled_over": "IS THERE ROOM",
    "vmid/kicked": "TELL THE OTHERS",
    "vmid/assigned": "PUBLISH",
    "kvm_entry": "WHO ASKED",
    "kvm_exit": "TELL THE OTHERS",
    "kvm_unmap_hva": "WHICH PAGE",
    "kvm_unmap_hva_range": "WHICH PAGE",
    "kvm_set_spte_hva": "WHICH PAGE",
    "abort/handled": "TELL THE OTHERS",
    "ioremap/done": "TELL THE OTHERS",
    "access/done": "TELL THE OTHERS",
    "io_mem_abort": "TELL THE OTHERS",
    "mmio/exited": "TELL THE OTHERS",
    "inject_pabt": "TELL THE OTHERS",
    "inject_dabt": "TELL THE OTHERS",
    "ram/stored": "PUBLISH",
    "ram/loaded": "TELL THE OTHERS",
    "ram/fetched": "TELL THE OTHERS",
    "host/page_given": "IS THERE ROOM",
    "host/swapped_in": "PUBLISH",
    "host/swapped_out": "PUBLISH",
    "host/copied": "PUBLISH",
    "host/reused": "MAY I STILL",
    "host/discarded": "PUBLISH",
    "host/protected": "PUBLISH",
    "host/write_protected": "PUBLISH",
    "host/merged": "PUBLISH",
    "host/not_merged": "MAY I STILL",
    "host/page_freed": "IS THERE ROOM",
    "host/stored": "PUBLISH",
    "host/touched": "PUBLISH",
    "vm/destroyed": "PUBLISH",
    "kernel/leaked": "IS THERE ROOM",
    "kernel/warned": "TELL THE OTHERS",
}


def label_of(kind: str, name: str) -> Label:
    """Return the label of a step that tells an event.

    Args:
        kind: the event's kind; a command is always somebody's wish.
        name: its name.

    Raises:
        KeyError: no label is known for such a mark.

    >>> label_of("command", "access"), label_of("mark", "tables/linked")
    ('WHO ASKED', 'PUBLISH')
    """
    return "WHO ASKED" if kind == "command" else _OF_MARK[name]
