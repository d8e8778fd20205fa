"""The page allocator, as much of it as page tables need: frames, page_count, and failure on demand."""

from __future__ import annotations

from array import array

from kvmlab.engine.config import Config
from kvmlab.engine.events import BANK_BITS, PAGES, Stream
from kvmlab.engine.hardware.memory import FRAME_SIZE, PhysicalMemory
from kvmlab.engine.state import Field, Struct

_NEVER_USED, _LIVE, _FREED = range(3)


class PageAllocator(Struct):
    """Frames for page tables, numbered from ``memory.base``.

    A frame is handed out once; with ``Config(reuse_frames=True)`` single frames are handed out again, last freed first,
    zeroed. A frame has a page_count (``struct page._count``), which may be wrong: that is the point of some lessons.

    Attributes:
        next_frame: first frame never handed out.
        free_head: the frame freed last, plus one; 0 if none.
        nr_live: frames handed out and not returned.
        fail_in: the k-th attempt from now fails; 0 for none.

    Source: mm/page_alloc.c, Linux 3.9: alloc_pages, free_pages, put_page.
    Differs: no zones, no buddy merging; GFP flags are ignored, an allocation fails when told to or when RAM is used up.
    """

    next_frame = Field()
    free_head = Field()
    nr_live = Field()
    fail_in = Field()

    def __init__(self, stream: Stream, memory: PhysicalMemory, config: Config) -> None:
        """Start with every frame unused."""
        super().__init__(stream, "page_allocator")
        self.memory = memory
        self.reuse = config.reuse_frames
        self._pages = array("Q")  # per frame: page_count; state, and above it the next frame in the free list plus one
        self._grow()

    def _grow(self) -> None:
        self._pages.extend([0] * (2 * self.memory.frames - len(self._pages)))
        self.stream.set_bank(PAGES, self._pages, self._key)

    def _key(self, index: int) -> str:
        pa = self.memory.base + (index >> 1) * FRAME_SIZE
        return f"page[{pa:#x}].state" if index & 1 else f"page_count[{pa:#x}]"

    def _frame(self, pa: int) -> int:
        return (pa - self.memory.base) // FRAME_SIZE

    def page_count(self, pa: int) -> int:
        """Return the reference count of the frame that holds ``pa``."""
        return self._pages[(pa - self.memory.base >> 12) << 1]

    def is_live(self, pa: int) -> bool:
        """Return whether the frame that holds ``pa`` has been handed out and not returned."""
        return self._pages[2 * self._frame(pa) + 1] & 3 == _LIVE

    def alloc_pages(self, order: int = 0) -> int | None:
        """Hand out 2^order frames, zeroed.

        Returns:
            Physical address of the first, aligned to the block's size; None for NULL. The first frame of a block has
            page_count 1, the others 0, as the kernel leaves them.

        Emits:
            page/allocated, page/refused.
        """
        if self.fail_in:
            self.fail_in -= 1
            if not self.fail_in:
                self.stream.mark("page/refused", order=order, why="injected failure")
                return None
        frame = self._take_freed() if self.reuse and order == 0 else None
        if frame is None:
            frame = -(-self.next_frame >> order) << order
            if (frame + (1 << order)) * FRAME_SIZE > self.memory.size:
                self.stream.mark("page/refused", order=order, why="no memory left")
                return None
            self.next_frame = frame + (1 << order)
            if self.next_frame > self.memory.frames:
                self.memory.grow(self.next_frame)
                self._grow()
        for i in range(frame, frame + (1 << order)):
            self._set(2 * i + 1, _LIVE)
        self._set(2 * frame, 1)
        self.nr_live += 1 << order
        pa = self.memory.base + frame * FRAME_SIZE
        self.stream.mark("page/allocated", pa=pa, order=order)
        return pa

    def _take_freed(self) -> int | None:
        if not self.free_head:
            return None
        frame = self.free_head - 1
        self.free_head = self._pages[2 * frame + 1] >> 2
        pa = self.memory.base + frame * FRAME_SIZE
        for index, word in enumerate(self.memory.table(pa)):
            if word:
                self.memory.write(pa + 8 * index, 0)
        return frame

    def get_page(self, pa: int) -> None:
        """Take a reference to the frame that holds ``pa``."""
        index = (pa - self.memory.base >> 12) << 1
        count = self._pages[index]
        if not count:
            self.stream.mark("kernel/warned", text="get_page on a frame with page_count 0", pa=pa)
        self.stream.write(index << BANK_BITS | PAGES, count + 1)

    def put_page(self, pa: int) -> None:
        """Drop a reference to the frame that holds ``pa``; the last one returns the frame."""
        frame = self._frame(pa)
        count = self._pages[2 * frame]
        if not count:
            self.stream.mark("kernel/warned", text="put_page on a frame with page_count 0", pa=pa)
            return
        self._set(2 * frame, count - 1)
        if count == 1:
            self._release(frame)

    def free_pages(self, pa: int, order: int) -> bool:
        """Return a block to the allocator, if its first frame has no other reference.

        Returns:
            Whether the frames are free now.
        """
        frame = self._frame(pa)
        count = self._pages[2 * frame]
        self._set(2 * frame, max(count - 1, 0))
        if count > 1:
            self.stream.mark("kernel/leaked", pa=pa, page_count=count - 1)
            return False
        for i in range(frame, frame + (1 << order)):
            self._release(i)
        return True

    def _release(self, frame: int) -> None:
        pa = self.memory.base + frame * FRAME_SIZE
        if self._pages[2 * frame + 1] & 3 != _LIVE:
            self.stream.mark("kernel/warned", text="a frame is freed twice", pa=pa)
            return
        self._set(2 * frame + 1, _FREED | (self.free_head << 2 if self.reuse else 0))
        if self.reuse:
            self.free_head = frame + 1
        self.nr_live -= 1
        self.stream.mark("page/freed", pa=pa)

    def _set(self, index: int, value: int) -> None:
        self.stream.write(index << BANK_BITS | PAGES, value)
