"""A session: a machine, the commands it was given, a place in them, and ways to change the past."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvmlab.engine import Config, InputError, KernelBug, Machine
from kvmlab.formats.scenario import Command, Scenario, read_scenario, write_scenario


@dataclass(frozen=True)
class Done:
    """A command of a session and the events that came of it.

    Attributes:
        command: what was asked.
        first: the event that says so.
        last: one past its last event.
    """

    command: Command
    first: int
    last: int


class Session:
    """A run that can be undone, repeated, branched, saved and loaded. All of it is read off the machine's events.

    Args:
        config: the machine to build; the default is ``Config()``.
        machine: a machine that runs already, instead.

    Attributes:
        machine: the machine; after commands given to it directly, ``tell`` lets the panels know.
        news: the event at which the latest change by ``do`` or ``together`` began.

    >>> session = Session()
    >>> vm = session.do("create_vm", slots=[(0x8000_0000, 1 << 20, 0x4000_0000)])
    >>> session.do("access", vm=vm, ipa=0x8000_0000, access="write", value=7).faults
    1
    >>> session.undo()
    >>> session.do("access", vm=vm, ipa=0x8000_0000).value
    0
    >>> [done.command.name for done in session.commands]
    ['create_vm', 'access']
    """

    def __init__(self, config: Config | None = None, *, machine: Machine | None = None) -> None:
        """Boot a machine that records."""
        self.machine = machine or Machine(config)
        if not self.machine.stream.recording:
            raise InputError("recording is False; allowed: True, a session is its events")
        self._listeners: list[Callable[[], None]] = []
        self._held = self.news = 0

    # -- commands --------------------------------------------------------------------------------------------------

    def do(self, name: str, **args: Any) -> Any:
        """Run a command and return its result. After ``undo`` it replaces what was undone.

        Args:
            name: a command: "create_vm", "access", "ioremap", "swap_out", ...
            args: its arguments, by name.

        Raises:
            InputError: there is no such command, or an argument is wrong; the session is as it was.
            KernelBug: the modelled kernel died; what it did stays.
        """
        operation = self.machine.begin(name, **args)  # checked first: nothing is lost for a command that is refused
        if self.machine.stream.cursor < len(self.machine.stream):
            self.machine.stream.truncate()
        if not self._held:
            self.news = self.cursor
        try:
            return self.machine.run(operation)
        finally:
            self.tell()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Tell of all commands in the block at once, at its end."""
        self.news = self.news if self._held else self.cursor
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self.tell()

    @property
    def commands(self) -> list[Done]:
        """The commands so far, with those that were undone and not replaced."""
        stream = self.machine.stream
        firsts = [event for event in stream if event.asked]
        ends = [event.seq for event in firsts[1:]] + [len(stream)]
        return [Done(Command(event.name, event.args), event.seq, end) for event, end in zip(firsts, ends, strict=True)]

    @property
    def cursor(self) -> int:
        """How many events the machine's present state includes."""
        return self.machine.stream.cursor

    def undo(self) -> None:
        """Go back to before the last command; before the first, nothing happens."""
        before = [done.first for done in self.commands if done.first < self.cursor]
        if before:
            self.machine.seek(before[-1])
            self.tell()

    def redo(self) -> None:
        """Go on to after the next command that was undone; with none, nothing happens."""
        after = [done.last for done in self.commands if done.last > self.cursor]
        if after:
            self.machine.seek(after[0])
            self.tell()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after every change; returns a function that stops it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self) -> None:
        """Call the listeners: something has changed."""
        if not self._held:
            for listener in list(self._listeners):
                listener()

    # -- other runs --------------------------------------------------------------------------------------------------

    def branch(self, commands: int | None = None) -> Session:
        """Return a new session that has had the same first commands, and can go another way.

        Args:
            commands: how many commands to repeat; all up to the cursor if not given.

        Raises:
            InputError: there are not so many.
        """
        here = [done for done in self.commands if done.last <= self.cursor]
        count = len(here) if commands is None else commands
        if not 0 <= count <= len(self.commands):
            raise InputError(f"commands is {count}; allowed: 0 to {len(self.commands)}")
        return Session.of(self.scenario().config, [done.command for done in self.commands[:count]])

    @classmethod
    def of(cls, config: Config, commands: Iterable[Command]) -> Session:
        """Return a session that has had these commands.

        Raises:
            InputError: a command is refused; the message gives its number.
        """
        session = cls(config)
        for number, command in enumerate(commands):
            try:
                session.machine.do(command.name, **command.args)
            except InputError as error:
                raise InputError(f"command {number}, {command.name}: {error}") from None
            except KernelBug:
                pass  # a kernel that dies again is part of the run
        return session

    # -- files -------------------------------------------------------------------------------------------------------

    def scenario(self, name: str = "") -> Scenario:
        """Return the session as plain data: the machine's configuration and the commands up to the cursor."""
        here = tuple(done.command for done in self.commands if done.last <= self.cursor)
        return Scenario(name, self.machine.config, here)

    def save(self, path: Path | str, name: str = "") -> None:
        """Write the session to a file, replacing what was there.

        Args:
            path: the file.
            name: a title for it.
        """
        write_scenario(Path(path), self.scenario(name))

    @classmethod
    def load(cls, path: Path | str) -> Session:
        """Return the session that a file holds; its commands are run again.

        Raises:
            InputError: the file is no session; the message names file, line and field.
        """
        scenario = read_scenario(Path(path))
        try:
            return cls.of(scenario.config, scenario.commands)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
