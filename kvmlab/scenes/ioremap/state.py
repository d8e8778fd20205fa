"""What the picture of device mappings knows: a VM's tables and cache, its memory slots, and the call under way."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvmlab.scenes.moment import Event, Moment, leaf_kind, path_of

PAGE, WORD = 1 << 12, 1 << 32


Slots = dict[int, tuple[int, int]]
"""Memory slots by number: first page and number of pages."""


def kind_behind(word: int, gfn: int, slots: Slots) -> str:
    """Return what stands behind a page: "rw", "ro", "dev" (mapped), "ram" (memory, not mapped) or "hole".

    Args:
        word: its level-3 descriptor, 0 if it has none.
        gfn: the page.
        slots: the VM's memory.
    """
    kind = leaf_kind(word)
    if kind != "inv":
        return kind
    return "ram" if any(base <= gfn < base + count for base, count in slots.values()) else "hole"


@dataclass
class Call:
    """A call of kvm_phys_addr_ioremap.

    Args:
        ipa, pa, size: its arguments.
        live: frames in use when it began.

    Attributes:
        ret: what it returned; None while it runs.
        mapped: pages mapped so far.
        links: tables made so far.
        first: number of its first step.
    """

    ipa: int
    pa: int
    size: int
    live: int
    ret: int | None = None
    mapped: int = 0
    links: int = 0
    first: int = 0

    @property
    def asked(self) -> int:
        """How many pages the loop would map if nothing stopped it and 32 bits did not cut the end."""
        return max(0, -(-(self.end - self.ipa) // PAGE))

    @property
    def end(self) -> int:
        """Where the range ends, rounded up to a page, before 32 bits cut it."""
        return (self.ipa + self.size + PAGE - 1) // PAGE * PAGE


@dataclass
class IoremapState:
    """What is known right after some event.

    Args:
        vm: number of the VM.

    Attributes:
        moment: the VM's tables, cache in use, lock and guest.
        slots: its memory.
        call: the call under way or last made.
    """

    vm: int = 0
    moment: Moment = field(init=False)
    slots: Slots = field(default_factory=dict)
    call: Call | None = None

    def __post_init__(self) -> None:
        """Begin with nothing known."""
        self.moment = Moment(vm=self.vm)

    @property
    def live(self) -> int:
        """Frames that the allocator has handed out."""
        return self.moment.cells.get("page_allocator.nr_live", 0)

    def owns(self, event: Event) -> bool:
        """Return whether an event that writes or clears a level-3 entry is about this VM's tables."""
        return bool(self.moment.entry_at(path_of(event.args["ipa"])) == event.args["entry"])

    def kind(self, gfn: int) -> str:
        """Return what stands behind a page now; see ``kind_behind``."""
        return kind_behind(self.moment.word_at(path_of(gfn << 12)), gfn, self.slots)

    def apply(self, event: Event) -> None:
        """Take an event in."""
        if event.kind == "command" and event.name == "ioremap" and event.args["vm"] == self.vm:
            a = event.args
            self.call = Call(a["ipa"], a["pa"], a["size"], self.live)
        self.moment.apply(event)
        if event.kind != "mark":
            return
        a = event.args
        if event.name == "slot/changed" and a["vm"] == self.vm:
            self.slots[a["id"]] = (a["gfn"], a["npages"])
        elif event.name == "tables/destroyed" and a["vm"] == self.vm:
            self.slots = {}
