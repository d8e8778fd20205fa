"""Structs whose fields live in the stream: reading is plain, assigning is a write event."""

from __future__ import annotations

from typing import ClassVar, overload

from kvmlab.engine.events import BANK_BITS, VARIABLES, Stream


class Field:
    """One integer of a struct.

    >>> class Counter(Struct):
    ...     value = Field()
    >>> stream = Stream()
    >>> counter = Counter(stream, "counter")
    >>> counter.value += 5
    >>> stream[-1].name, stream[-1].args
    ('counter.value', {'old': 0, 'new': 5})
    """

    offset: int

    @overload
    def __get__(self, owner: None, kind: type) -> Field: ...
    @overload
    def __get__(self, owner: Struct, kind: type) -> int: ...
    def __get__(self, owner: Struct | None, kind: type) -> int | Field:
        """Read the cell."""
        if owner is None:
            return self
        return owner.stream.variables[owner.base + self.offset]

    def __set__(self, owner: Struct, value: int) -> None:
        """Write the cell."""
        owner.stream.write(owner.base + self.offset << BANK_BITS | VARIABLES, value)


class Words:
    """A fixed array of integers in the stream.

    Args:
        stream: where the cells are.
        key: name of the whole; element i is ``key[i]``.
        size: number of elements.
    """

    def __init__(self, stream: Stream, key: str, size: int) -> None:
        """Make ``size`` cells, all 0."""
        self.stream = stream
        self.size = size
        self.base = stream.allocate(size, lambda i: f"{key}[{i}]")

    def __getitem__(self, index: int) -> int:
        """Read element ``index``."""
        return self.stream.variables[self.base + index]

    def __setitem__(self, index: int, value: int) -> None:
        """Write element ``index``."""
        self.stream.write(self.base + index << BANK_BITS | VARIABLES, value)

    def values(self) -> list[int]:
        """Return all elements as a plain list."""
        return self.stream.variables[self.base : self.base + self.size]


class Struct:
    """A group of fields, called ``key.field`` in the stream.

    Args:
        stream: where the cells are.
        key: name of the struct; empty for global variables.
    """

    fields: ClassVar[list[str]] = []

    def __init_subclass__(cls) -> None:
        """Give every field its place."""
        cls.fields = [name for name, value in vars(cls).items() if isinstance(value, Field)]
        for offset, name in enumerate(cls.fields):
            vars(cls)[name].offset = offset

    def __init__(self, stream: Stream, key: str) -> None:
        """Make the cells, all 0."""
        names = [f"{key}.{name}" if key else name for name in self.fields]
        self.stream = stream
        self.key = key
        self.base = stream.allocate(len(names), names.__getitem__)
