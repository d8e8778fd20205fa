"""One CPU's TLB: a set-associative cache of finished translations, each tagged with VMID and ASID."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kvmlab.engine.events import Stream
from kvmlab.engine.state import Field, Struct, Words

HOST_VMID = 0
PAGE_BITS, ASID_BITS, VMID_BITS = 28, 16, 16
ASID_MAX = 255
"""ASIDs are 8 bits wide on ARMv7."""

_ASID_SHIFT = PAGE_BITS
_VMID_SHIFT = PAGE_BITS + ASID_BITS
_GLOBAL = 1 << _VMID_SHIFT + VMID_BITS
_VALID = _GLOBAL << 1
_ASID_FIELD = (1 << ASID_BITS) - 1 << _ASID_SHIFT


class TlbEntry(NamedTuple):
    """One cached translation.

    Attributes:
        place: set * ways + way.
        vmid: whose it is; 0 is the host's.
        asid: address space within the guest; -1 for an entry that is global in it.
        page: number of the 4 KiB page, IPA or VA >> 12.
        descriptor: the leaf: output address and permissions.
        used: when it was last used, larger is later.
    """

    place: int
    vmid: int
    asid: int
    page: int
    descriptor: int
    used: int


class Tlb(Struct):
    """A TLB with ``sets`` sets of ``ways`` entries, least recently used out first.

    Differs: one level; only finished translations, no walk cache; a replacement policy the manual leaves open.
    """

    clock = Field()

    def __init__(self, stream: Stream, key: str, sets: int, ways: int) -> None:
        """Start with every entry invalid."""
        super().__init__(stream, key)
        self.sets, self.ways = sets, ways
        self.tag = Words(stream, f"{key}.tag", sets * ways)
        self.descriptor = Words(stream, f"{key}.descriptor", sets * ways)
        self.used = Words(stream, f"{key}.used", sets * ways)

    def _set(self, page: int) -> range:
        first = page % self.sets * self.ways
        return range(first, first + self.ways)

    def lookup(self, vmid: int, asid: int, page: int) -> int | None:
        """Return the descriptor cached for this page of this guest, or None. A hit makes the entry the youngest."""
        wanted = _VALID | vmid << _VMID_SHIFT | asid << _ASID_SHIFT | page
        for place in self._set(page):
            tag = self.tag[place]
            if tag == wanted or (tag & _GLOBAL and tag & ~_ASID_FIELD == wanted & ~_ASID_FIELD | _GLOBAL):
                self._touch(place)
                return self.descriptor[place]
        return None

    def fill(self, vmid: int, asid: int, page: int, descriptor: int) -> TlbEntry | None:
        """Cache a translation and return the entry that had to make room, if any.

        Args:
            vmid: whose translation it is.
            asid: address space, or -1 for a translation that holds in all of the guest's.
            page: page number.
            descriptor: the leaf.
        """
        tag = _VALID | vmid << _VMID_SHIFT | page | (_GLOBAL if asid < 0 else asid << _ASID_SHIFT)
        places = self._set(page)
        twins = [p for p in places if self.tag[p] == tag]
        empty = [p for p in places if not self.tag[p]]
        place = (twins or empty or [min(places, key=lambda p: self.used[p])])[0]
        evicted = None if twins or empty else self._entry(place)
        self.tag[place] = tag
        self.descriptor[place] = descriptor
        self._touch(place)
        return evicted

    def _touch(self, place: int) -> None:
        self.clock += 1
        self.used[place] = self.clock

    def _entry(self, place: int) -> TlbEntry:
        tag = self.tag[place]
        vmid = tag >> _VMID_SHIFT & (1 << VMID_BITS) - 1
        asid = -1 if tag & _GLOBAL else (tag & _ASID_FIELD) >> _ASID_SHIFT
        return TlbEntry(place, vmid, asid, tag & (1 << PAGE_BITS) - 1, self.descriptor[place], self.used[place])

    def entries(self) -> list[TlbEntry]:
        """Return the valid entries, in order of their place."""
        return [self._entry(place) for place, tag in enumerate(self.tag.values()) if tag]

    def flush_vmid(self, vmid: int) -> int:
        """Drop every entry of one guest and return how many there were (TLBIALL of one VMID)."""
        wanted = _VALID | vmid << _VMID_SHIFT
        mine = _VALID | (1 << VMID_BITS) - 1 << _VMID_SHIFT
        return self._drop(lambda tag: tag & mine == wanted)

    def flush_all(self) -> int:
        """Drop the entries of every VMID, the host's too, and return how many there were (TLBIALLNSNH)."""
        return self._drop(bool)

    def _drop(self, doomed: Callable[[int], bool]) -> int:
        tags = self.tag.values()
        if not any(tags):
            return 0
        places = [place for place, tag in enumerate(tags) if doomed(tag)]
        for place in places:
            self.tag[place] = 0
        return len(places)
