"""The host's page frames for guest memory, with reference counts."""

from __future__ import annotations

from kvmlab.engine.config import Config
from kvmlab.engine.events import BANK_BITS, VARIABLES, Stream
from kvmlab.engine.hardware.memory import SparseRam
from kvmlab.engine.state import Field, Struct

_SWAP_BASE = 1 << 36
"""Frame number of swap slot 0, beyond any physical frame."""
REFS, PINS, DIRTY, NEXT_FREE = range(4)
_FIELDS = ("refs", "pins", "dirty", "next_free")


class HostFrames(Struct):
    """Frames for guest pages, and swap slots.

    A frame's ``refs`` is the number of host page-table entries that name it, plus pins; the last reference frees it.

    Attributes:
        next_pfn: frames handed out so far.
        next_swap: swap slots handed out so far.
        free_head: the frame freed last, plus one; used with ``Config(reuse_frames=True)`` only.

    Differs: memory does not run out; reclaim that finds a page pinned does not try again later.
    """

    next_pfn = Field()
    next_swap = Field()
    free_head = Field()

    def __init__(self, stream: Stream, ram: SparseRam, config: Config) -> None:
        """Start with every frame free."""
        super().__init__(stream, "host_frames")
        self.ram = ram
        self.first = config.host_ram_base >> 12
        self.reuse = config.reuse_frames
        self._pages: dict[int, int] = {}  # pfn -> its variables; a directory, not state

    def get(self, pfn: int, field: int) -> int:
        """Read a frame's REFS, PINS, DIRTY or NEXT_FREE."""
        base = self._pages.get(pfn)
        return 0 if base is None else self.stream.variables[base + field]

    def put(self, pfn: int, field: int, value: int) -> None:
        """Write a frame's REFS, PINS, DIRTY or NEXT_FREE."""
        if pfn not in self._pages:
            self._pages[pfn] = self.stream.allocate(4, lambda i: f"host_page[{pfn:#x}].{_FIELDS[i]}")
        self.stream.write(self._pages[pfn] + field << BANK_BITS | VARIABLES, value)

    def alloc(self) -> int:
        """Return a zeroed frame with one reference."""
        if self.reuse and self.free_head:
            pfn = self.free_head - 1
            self.free_head = self.get(pfn, NEXT_FREE)
            for offset in self.ram.page(pfn):
                self.ram.store(pfn << 12 | offset, 0)
        else:
            pfn = self.first + self.next_pfn
            self.next_pfn += 1
        self.put(pfn, REFS, 1)
        return pfn

    def alloc_swap(self) -> int:
        """Return a swap slot, as a frame number beyond all of memory."""
        self.next_swap += 1
        return _SWAP_BASE + self.next_swap - 1

    def get_ref(self, pfn: int) -> None:
        """Take a reference."""
        self.put(pfn, REFS, self.get(pfn, REFS) + 1)

    def put_ref(self, pfn: int) -> None:
        """Drop a reference; the last one frees the frame.

        Emits:
            host/page_freed.
        """
        refs = self.get(pfn, REFS) - 1
        self.put(pfn, REFS, refs)
        if refs == 0:
            if self.reuse:
                self.put(pfn, NEXT_FREE, self.free_head)
                self.free_head = pfn + 1
            self.stream.mark("host/page_freed", pfn=pfn)

    def pin(self, pfn: int) -> None:
        """Hold the frame while somebody uses it."""
        self.get_ref(pfn)
        self.put(pfn, PINS, self.get(pfn, PINS) + 1)

    def unpin(self, pfn: int) -> None:
        """Let go of the frame."""
        self.put(pfn, PINS, self.get(pfn, PINS) - 1)
        self.put_ref(pfn)
