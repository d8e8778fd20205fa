"""The rows of a table: entries one by one, and many alike or many at all as one row that can be unfolded."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

FOLD, FAN, FEW, KEPT = 4, 8, 10, 6
"""A run of FOLD entries is folded; a row unfolds into at most FAN; of more than FEW rows, all but KEPT are gathered."""


@dataclass(frozen=True)
class Row:
    """A row: an entry, or a span of entries that unfolds into other rows.

    Args:
        first: index of its first entry.
        last: index of its last entry; the same for one entry.
        inside: the rows that it unfolds into; () for one entry.
    """

    first: int
    last: int
    inside: tuple[Row, ...] = ()

    @property
    def index(self) -> str:
        """Its index, or the span of indices.

        >>> Row(0, 511).index
        '0–511'
        """
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def rows_of(indexes: Iterable[int], kind: Callable[[int], Hashable]) -> tuple[Row, ...]:
    """Return the rows for some entries of a table.

    Args:
        indexes: which entries, in any order.
        kind: entries that follow each other and are of the same kind are a run.

    >>> [row.index for row in rows_of([0, 1, 2, 3, 4, 7], lambda index: "RW")]
    ['0–4', '7']
    """
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][-1] + 1 and kind(index) == kind(index - 1):
            runs[-1].append(index)
        else:
            runs.append([index])
    return tuple(_gather([row for run in runs for row in _folded(run[0], run[-1])]))


def _folded(first: int, last: int) -> Iterator[Row]:
    if last - first + 1 >= FOLD:
        yield _split(first, last)
    else:
        yield from (Row(index, index) for index in range(first, last + 1))


def _split(first: int, last: int) -> Row:
    """Return a run as a row that unfolds step by step: 512 into 8 of 64, 64 into 8 of 8."""
    count, size = last - first + 1, 1
    if count == 1:
        return Row(first, last)
    while count > FAN * size:
        size *= FAN
    return Row(first, last, tuple(_split(at, min(at + size - 1, last)) for at in range(first, last + 1, size)))


def _gather(rows: list[Row]) -> list[Row]:
    """Put what is too much for one table into a few rows that unfold."""
    if len(rows) <= FEW:
        return rows
    kept, rest = rows[:KEPT], rows[KEPT:]
    while len(rest) > FEW - KEPT:
        chunks = [rest[at : at + FAN] for at in range(0, len(rest), FAN)]
        rest = [Row(part[0].first, part[-1].last, tuple(part)) if len(part) > 1 else part[0] for part in chunks]
    return kept + rest
