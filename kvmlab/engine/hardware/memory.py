"""Physical memory: frames for page tables as real bytes, and the words of guest RAM, kept sparsely."""

from __future__ import annotations

import sys

from kvmlab.engine.events import BANK_BITS, MEMORY, VARIABLES, Stream

FRAME_SIZE = 4096
_FIRST_FRAMES = 64


class PhysicalMemory:
    """RAM for page tables: one byte buffer, read and written as 64-bit little-endian words.

    The buffer grows as frames are first used; what was never written reads 0.

    Args:
        stream: where writes go.
        base: physical address of the first byte, a multiple of 8192.
        size: bytes, a multiple of 8192.

    Source: LPAE tables are arrays of 64-bit descriptors, ARM DDI 0406C, B3.6.
    """

    def __init__(self, stream: Stream, base: int, size: int) -> None:
        """Make room for the first frames."""
        if sys.byteorder != "little":  # the cast below is native; every CPU that runs JupyterLab today is little-endian
            raise RuntimeError("kvmlab needs a little-endian CPU")
        self.stream = stream
        self.base = base
        self.size = size
        self.buffer = bytearray()
        self.words = memoryview(self.buffer).cast("Q")
        self.grow(_FIRST_FRAMES)

    @property
    def frames(self) -> int:
        """How many frames the buffer holds at present."""
        return len(self.buffer) // FRAME_SIZE

    def grow(self, frames: int) -> None:
        """Make the buffer at least ``frames`` frames long."""
        frames = min(max(frames, 2 * self.frames), self.size // FRAME_SIZE)
        self.words.release()
        self.buffer.extend(bytes(frames * FRAME_SIZE - len(self.buffer)))
        self.words = memoryview(self.buffer).cast("Q")
        self.stream.set_bank(MEMORY, self.words, lambda index: f"mem[{self.base + 8 * index:#x}]")

    def holds(self, pa: int) -> bool:
        """Return whether there is a word of table RAM at ``pa``."""
        return 0 <= pa - self.base < len(self.buffer)

    def read(self, pa: int) -> int:
        """Return the 64-bit word at ``pa``, a multiple of 8 inside the buffer."""
        return self.words[pa - self.base >> 3]

    def write(self, pa: int, word: int) -> None:
        """Store a 64-bit word at ``pa``, a multiple of 8 inside the buffer."""
        self.stream.write(pa - self.base >> 3 << BANK_BITS | MEMORY, word)

    def table(self, pa: int, entries: int = 512) -> list[int]:
        """Return ``entries`` descriptors from ``pa`` on."""
        first = pa - self.base >> 3
        return self.words[first : first + entries].tolist()

    def frame(self, pa: int) -> bytes:
        """Return the 4096 bytes of the frame at ``pa``."""
        return bytes(self.buffer[pa - self.base : pa - self.base + FRAME_SIZE])


class SparseRam:
    """The contents of guest pages, and of swap: 32-bit words, 0 until written.

    Differs: only aligned 32-bit words; data caches are not modelled.
    """

    def __init__(self, stream: Stream) -> None:
        """Start with all words 0."""
        self.stream = stream
        self._cells: dict[int, dict[int, int]] = {}  # frame -> offset -> variable; a directory, not state

    def load(self, pa: int) -> int:
        """Return the 32-bit word at ``pa``, a multiple of 4."""
        variable = self._cells.get(pa >> 12, {}).get(pa & 0xFFF)
        return 0 if variable is None else self.stream.variables[variable]

    def store(self, pa: int, value: int) -> None:
        """Store a 32-bit word at ``pa``, a multiple of 4."""
        page = self._cells.setdefault(pa >> 12, {})
        if (variable := page.get(pa & 0xFFF)) is None:
            variable = page[pa & 0xFFF] = self.stream.allocate(1, lambda _: f"ram[{pa:#x}]")
        self.stream.write(variable << BANK_BITS | VARIABLES, value)

    def page(self, frame: int) -> dict[int, int]:
        """Return the words of a frame that are not 0, by offset."""
        words = {offset: self.stream.variables[v] for offset, v in self._cells.get(frame, {}).items()}
        return {offset: word for offset, word in sorted(words.items()) if word}

    def copy(self, source: int, target: int) -> None:
        """Make frame ``target`` equal to frame ``source``."""
        wanted = self.page(source)
        for offset in sorted(wanted.keys() | self.page(target).keys()):
            self.store(target << 12 | offset, wanted.get(offset, 0))
