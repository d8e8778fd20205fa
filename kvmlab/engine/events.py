"""The one stream of events, and the only way state changes.

All state of a machine is integers in *cells*. A cell belongs to a bank (table memory, page structs, variables) and has
a key, its readable name. ``Stream.write`` is the only way to change a cell, and every change is an event, so the state
at step t is the writes up to t, and a step back puts the old values back.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, MutableSequence
from dataclasses import dataclass
from typing import Any

from kvmlab.engine.errors import InputError

BANK_BITS = 2
MEMORY, PAGES, VARIABLES = range(3)
"""The banks: 64-bit words of table memory, page structs, named variables. Cell = index << BANK_BITS | bank."""

KINDS = ("command", "mark", "write")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        seq: position in the stream, from 0.
        task: who did it: "cpu0", "cpu1", ..., "host".
        kind: "command" (what someone asked for), "mark" (what happened, in the kernel's words) or "write".
        name: name of the command or mark; for a write, the key of the cell.
        args: plain values; for a write ``{"old": int, "new": int}``.
    """

    seq: int
    task: str
    kind: str
    name: str
    args: dict[str, Any]

    @property
    def asked(self) -> bool:
        """Whether it is a command that somebody gave, and not a part of one."""
        return self.kind == "command" and "part_of" not in self.args

    def to_json(self) -> str:
        """Return the event as one line of JSON; ``from_json`` gives it back."""
        return json.dumps([self.seq, self.task, self.kind, self.name, self.args], separators=(",", ":"))

    @staticmethod
    def from_json(line: str) -> Event:
        """Return the event that ``to_json`` wrote.

        Raises:
            InputError: the line is not an event.
        """
        try:
            seq, task, kind, name, args = json.loads(line)
        except ValueError as error:
            raise InputError(f"not an event: {line[:80]!r}") from error
        plain = type(seq) is int and all(type(s) is str for s in (task, kind, name)) and type(args) is dict
        if not plain or kind not in KINDS:
            raise InputError(f"not an event: {line[:80]!r}; expected [seq, task, {'|'.join(KINDS)}, name, args]")
        return Event(seq, task, kind, name, args)


class Stream:
    """A list of events that can be walked in both directions.

    Writes lie in a packed journal (cell, old, new: 24 bytes, and 8 for their place in the order); they become ``Event``
    objects when somebody looks.

    Args:
        recording: False for bulk work: state changes, nothing is remembered.
    """

    def __init__(self, *, recording: bool = True) -> None:
        """Start with no events and no cells."""
        self.variables: list[int] = []
        self._task = "host"
        self.edition = 0
        """Goes up whenever events are dropped: who has read some must begin anew."""
        self.write: Callable[[int, int], None]
        """Change one cell: ``write(cell, new)``. Rebound when recording is switched and when standing in the past."""
        self._banks: list[MutableSequence[int] | memoryview] = [[], [], self.variables]
        self._keys: list[Callable[[int], str]] = [str, str, self._variable_key]
        self._regions: list[tuple[int, Callable[[int], str]]] = []
        self._forget()
        self.recording = recording
        """Whether changes are remembered; see ``record``."""
        self._bind()

    # -- cells ---------------------------------------------------------------------------------------------------

    def set_bank(self, bank: int, data: MutableSequence[int] | memoryview, key: Callable[[int], str]) -> None:
        """Say where a bank's integers live now, and how its cells are called; a bank may only grow."""
        self._banks[bank] = data
        self._keys[bank] = key

    def allocate(self, count: int, key: Callable[[int], str]) -> int:
        """Make ``count`` new variables, all 0, and return the index of the first.

        Args:
            count: how many.
            key: called with 0..count-1, gives the variable's key.
        """
        base = len(self.variables)
        self.variables.extend([0] * count)
        self._regions.append((base, key))
        return base

    def key(self, cell: int) -> str:
        """Return the readable name of a cell."""
        return self._keys[cell & (1 << BANK_BITS) - 1](cell >> BANK_BITS)

    def _variable_key(self, index: int) -> str:
        base, key = self._regions[bisect_right(self._regions, index, key=lambda item: item[0]) - 1]
        return key(index - base)

    @property
    def task(self) -> str:
        """Who does what comes next: "cpu0", "cpu1", ..., "host"."""
        return self._task

    @task.setter
    def task(self, name: str) -> None:
        if name != self._task:
            self._task = name
            self._tasks.append((len(self._order), name))

    # -- appending -----------------------------------------------------------------------------------------------

    def record(self, on: bool) -> None:
        """Switch recording on or off. Switching it on starts an empty stream at the present state."""
        if on != self.recording:
            self.forget()
            self.recording = on
            self._bind()

    def forget(self) -> None:
        """Drop all events and start an empty stream at the present end's state."""
        self.seek(len(self))
        self._forget()
        self._bind()

    def command(self, name: str, **args: Any) -> None:
        """Append what someone asked for."""
        if self._past is not None:
            self._refuse(0, 0)
        if self.recording:
            self._commands.add(len(self._said))
            self.mark(name, **args)

    def mark(self, name: str, **args: Any) -> None:
        """Append what happened, in the kernel's words."""
        if self.recording:
            if self._past is not None:
                self._refuse(0, 0)
            self._order.append(~len(self._said))
            self._said.append(name)
            self._said_args.append(args)

    def _record(self, cell: int, new: int) -> None:
        bank = self._banks[cell & 3]
        index = cell >> 2
        self._order.append(len(self._cells))
        self._cells.append(cell)
        self._old.append(bank[index])
        self._new.append(new)
        bank[index] = new

    def _change(self, cell: int, new: int) -> None:
        self._banks[cell & 3][cell >> 2] = new

    def _refuse(self, cell: int, new: int) -> None:
        raise InputError(
            f"the machine stands at event {self.cursor} of {len(self)}: "
            f"seek({len(self)}) to go on from the end, or truncate() to drop what came later"
        )

    def _bind(self) -> None:
        if self._past is not None:
            self.write = self._refuse
        else:
            self.write = self._record if self.recording else self._change

    def _forget(self) -> None:
        self._order = array("q")
        self._cells, self._old, self._new = array("Q"), array("Q"), array("Q")
        self._said: list[str] = []  # of marks and commands
        self._said_args: list[dict[str, Any]] = []
        self._commands: set[int] = set()  # which of them are commands
        self._tasks = [(0, self._task)]  # from which event on, who
        self._past: int | None = None  # where the machine stands, if not at the end
        self.edition += 1

    # -- reading -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self._order)

    def __getitem__(self, seq: int) -> Event:
        """Return event ``seq``; negative numbers count from the end."""
        if seq < 0:
            seq += len(self)
        place = self._order[seq]
        task = self._tasks[bisect_right(self._tasks, seq, key=lambda item: item[0]) - 1][1]
        if place < 0:
            kind = "command" if ~place in self._commands else "mark"
            return Event(seq, task, kind, self._said[~place], self._said_args[~place])
        return Event(
            seq, task, "write", self.key(self._cells[place]), {"old": self._old[place], "new": self._new[place]}
        )

    def __iter__(self) -> Iterator[Event]:
        """Yield all events in order."""
        return self.since(0)

    def since(self, start: int) -> Iterator[Event]:
        """Yield the events from ``start`` on, up to the present end."""
        return (self[seq] for seq in range(start, len(self)))

    def marks(self, start: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (name, args) of the marks and commands from event ``start`` on: quicker than whole events."""
        for place in self._order[start:]:
            if place < 0:
                yield self._said[~place], self._said_args[~place]

    def writes(self, start: int = 0) -> Iterator[tuple[int, int, int]]:
        """Yield (cell, old, new) of the writes from event ``start`` on: quicker than whole events."""
        for place in self._order[start:]:
            if place >= 0:
                yield self._cells[place], self._old[place], self._new[place]

    @property
    def nbytes(self) -> int:
        """Bytes that the journal of writes takes (marks not counted)."""
        writes = len(self._cells)
        return self._order.itemsize * (len(self._order) - len(self._said)) + 3 * self._cells.itemsize * writes

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> int:
        """How many events the present state includes, 0 to ``len(self)``."""
        return len(self._order) if self._past is None else self._past

    def seek(self, step: int) -> None:
        """Put the state to what it was after the first ``step`` events.

        Raises:
            InputError: ``step`` is not within 0 and ``len(self)``.
        """
        if not 0 <= step <= len(self):
            raise InputError(f"step is {step}; allowed: 0 to {len(self)}")
        for seq in range(self.cursor, step):
            self._put(seq, self._new)
        for seq in range(self.cursor - 1, step - 1, -1):
            self._put(seq, self._old)
        self._past = None if step == len(self) else step
        self._bind()

    def _put(self, seq: int, values: array[int]) -> None:
        """Set the cell that event ``seq`` wrote, if it is a write, to its new or its old value."""
        place = self._order[seq]
        if place >= 0:
            cell = self._cells[place]
            self._banks[cell & 3][cell >> 2] = values[place]

    def back(self) -> None:
        """Go one event back; at the beginning nothing happens."""
        self.seek(max(0, self.cursor - 1))

    def forward(self) -> None:
        """Go one event forward; at the end nothing happens."""
        self.seek(min(len(self), self.cursor + 1))

    def truncate(self) -> None:
        """Drop the events after the present state, so that another future can begin."""
        dropped = self._order[self.cursor :]
        del self._order[self.cursor :]
        if writes := [place for place in dropped if place >= 0]:
            for values in (self._cells, self._old, self._new):
                del values[writes[0] :]
        if said := [~place for place in dropped if place < 0]:
            del self._said[said[0] :], self._said_args[said[0] :]
            self._commands = {place for place in self._commands if place < said[0]}
        while len(self._tasks) > 1 and self._tasks[-1][0] >= len(self._order):
            self._tasks.pop()
        self._task = self._tasks[-1][1]
        self._past = None
        self.edition += 1
        self._bind()
