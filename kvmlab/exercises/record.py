"""What was tried and solved since the kernel started: kept in memory, read by the progress panel and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kvmlab.exercises.parts import Answer

TRIES_LIMIT = 200
"""Tries of one exercise that are kept; later ones are counted no more."""
SHOWN = 4
"""So many hints are used when the answer itself was shown: three, and then that."""


@dataclass(frozen=True)
class Try:
    """One answer.

    Attributes:
        given: what was answered.
        right: whether it was right.
    """

    given: Answer
    right: bool


@dataclass
class Entry:
    """One exercise that somebody has seen.

    Attributes:
        template: its template.
        seed: its seed.
        tries: answers, in order; none is kept after a right one.
        hints: hints opened, 0 to 3; 4 when the answer was shown.
    """

    template: str
    seed: int
    tries: list[Try] = field(default_factory=list)
    hints: int = 0

    @property
    def done(self) -> bool:
        """Whether a right answer came."""
        return any(one.right for one in self.tries)

    @property
    def solved(self) -> bool:
        """Whether a right answer came, and was not shown before."""
        return self.hints < SHOWN and self.done

    @property
    def touched(self) -> bool:
        """Whether anything was answered or opened."""
        return bool(self.tries or self.hints)


class Record:
    """All exercises that somebody has seen, by template and seed."""

    def __init__(self) -> None:
        """Start with none."""
        self._entries: dict[tuple[str, int], Entry] = {}
        self._listeners: list[Callable[[], None]] = []

    @property
    def entries(self) -> list[Entry]:
        """The exercises in the order in which they were first seen."""
        return list(self._entries.values())

    def see(self, template: str, seed: int) -> Entry:
        """Return the entry of an exercise, new or as it was left."""
        new = (template, seed) not in self._entries
        entry = self._entries.setdefault((template, seed), Entry(template, seed))
        if new:
            self.tell()
        return entry

    def add(self, entry: Entry, one: Try) -> None:
        """Add a try."""
        if not entry.done and len(entry.tries) < TRIES_LIMIT:
            entry.tries.append(one)
        self.tell()

    def open_hint(self, entry: Entry) -> int:
        """Open the next hint, or after the third the answer; returns how many are open. After a right answer: none."""
        if not entry.done:
            entry.hints = min(entry.hints + 1, SHOWN)
        self.tell()
        return entry.hints

    def absorb(self, earlier: Sequence[Entry]) -> int:
        """Put what was done in an earlier session before what was done in this one.

        Args:
            earlier: exercises of a report; what of it is of this session changes nothing.

        Returns:
            How many of them this session had not seen like that.
        """
        news = 0
        for old in earlier:
            entry = self.see(old.template, old.seed)
            known = entry.tries[: len(old.tries)] == old.tries
            if not known:
                entry.tries = list(old.tries) if old.done else [*old.tries, *entry.tries][:TRIES_LIMIT]
            if not known or old.hints > entry.hints:
                news += 1
                entry.hints = old.hints if old.done else max(old.hints, entry.hints)
        self.tell()
        return news

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call a function after every change."""
        self._listeners.append(listener)

    def tell(self) -> None:
        """Call the listeners."""
        for listener in list(self._listeners):
            listener()


RECORD = Record()
"""Of this kernel."""
