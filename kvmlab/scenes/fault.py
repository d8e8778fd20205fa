"""The fault scene: how a guest page gets its memory, from the guest's instruction to the finished mapping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from kvmlab.engine.errors import InputError
from kvmlab.scenes.beat import Beat, Teller
from kvmlab.scenes.fault_picture import picture
from kvmlab.scenes.fault_stage import PAGE_X, TREE_TOP, markup
from kvmlab.scenes.layout import Tree, lay_out
from kvmlab.scenes.log import actor_of, log_line
from kvmlab.scenes.moment import Event, Moment, Path, path_of
from kvmlab.scenes.scene import Actor, Group, Patch, Picture, Scene, Step, changes
from kvmlab.scenes.tell_fault import FAULT
from kvmlab.scenes.tell_hardware import HARDWARE, NOUN, guest_acts
from kvmlab.scenes.tell_host import COMMANDS
from kvmlab.scenes.tell_tables import TABLES

TELLERS: dict[str, Teller] = {**HARDWARE, **FAULT, **TABLES}
TITLE = "A guest faults: how its page gets memory, step by step"
LABEL = (
    "The stage-2 tables of a guest: the address cut into indices, three table levels, host pages, the TLB, "
    "and the kernel's lock, page cache and current descriptor."
)
MANY = "the same again"
NUMBER = {0: "no", 1: "one", 2: "two"}
ROWS_A_TABLE, STEPS_A_COMMAND, LINES_A_STEP = 16, 200, 12
"""What is drawn and told at most; beyond that there is a number."""
SOURCE = "Linux 3.9 · every value is computed by the engine · tables are named by their address"


def fault_scene(events: Iterable[Event], *, vm: int = 0) -> Scene:
    """Return a run as the fault scene shows it.

    Args:
        events: the stream, from its beginning.
        vm: number of the VM to show; what other VMs do changes the state but makes no steps.

    Raises:
        InputError: the run never makes such a VM.
    """
    return FaultStory(vm).read(events)


def touched(events: Iterable[Event], vm: int) -> tuple[dict[Path, None], dict[Path, None]]:
    """Return the entries of a VM's tables that a run reads or writes, and those under which it links a table.

    Both are in the order in which they are met first, each entry after those above it.
    """
    rows: dict[Path, None] = {}
    tables: dict[Path, None] = {}
    mine: dict[str, bool] = {}
    for event in events:
        if event.kind == "command":
            mine[event.task] = event.args.get("vm", vm) == vm
        elif event.kind == "mark" and mine.get(event.task):
            if event.name in ("walk/level", "tables/linked", "tables/unlinked"):
                path = path_of(event.args["ipa"], event.args["level"])
            elif event.name in ("tables/mapped", "tables/cleared", "tables/refused"):
                path = path_of(event.args["ipa"])
            else:
                continue
            rows.update((path[:n], None) for n in range(1, len(path) + 1))
            if event.name == "tables/linked":
                tables[path] = None
    return rows, tables


class FaultStory:
    """Reads a run and tells it as a scene; reading on costs no more than what is new.

    Args:
        vm: number of the VM to show.

    Attributes:
        seen: how many events have been read.
    """

    def __init__(self, vm: int = 0) -> None:
        """Begin with nothing read."""
        self.seen = 0
        self._vm = vm
        self._rows: set[Path] = set()
        self._tables: set[Path] = set()
        self._left_out: set[Path] = set()
        self._more: Counter[Path] = Counter()
        self._tree = self._lay_out()
        self._moment = Moment(vm=vm)
        self._steps: list[Step] = []
        self._groups: list[Group] = []
        self._log: list[tuple[Actor, str]] = []
        self._first: Picture = {}
        self._shown: Picture = {}
        self._waiting: Beat | None = None
        self._acted = self._mine = True
        self._command, self._begun = -1, 0
        self._kind, self._faults, self._links, self._skipped = "", 0, 0, 0

    def read(self, events: Iterable[Event]) -> Scene:
        """Take in what happened next, complete commands only, and return the scene of everything so far.

        Args:
            events: the events that follow those read before.

        Raises:
            InputError: there is nothing to show of the VM.
        """
        events = list(events)
        self._find_room(events)
        for event in events:
            self._take(event)
        self._settle()
        self._close_group()
        if not self._steps:
            raise InputError(f"vm is {self._vm}; there is nothing to show of it: create it first")
        return Scene(
            name="fault",
            title=TITLE,
            markup=markup(self._tree, LABEL),
            steps=tuple(self._steps),
            groups=tuple(self._groups),
            jump="fault, hit or flush",
            source=SOURCE,
        )

    def _lay_out(self) -> Tree:
        return lay_out(self._rows, self._tables, TREE_TOP, PAGE_X, self._more)

    def _find_room(self, events: Iterable[Event]) -> None:
        """Lay the picture out for what is new; where a table gets too long, count the rest instead."""
        rows, tables = touched(events, self._vm)
        new = [path for path in rows if path not in self._rows and path not in self._left_out]
        if not new and all(path in self._tables for path in tables):
            return
        for path in new:
            table = path[:-1]
            full = sum(row[:-1] == table for row in self._rows) >= ROWS_A_TABLE
            if full or table in self._left_out:
                self._left_out.add(path)
                self._more[table] += 1
            else:
                self._rows.add(path)
        self._tables |= {path for path in tables if path in self._rows}
        self._tree = self._lay_out()
        self._make_room()

    def _make_room(self) -> None:
        """Let the steps told so far show the parts that are new in the picture: untouched until now, so all alike."""
        if not self._steps:
            return
        untouched = picture(Moment(vm=self._vm), self._tree, "kern")
        self._first = {**untouched, **self._first}
        self._shown = {**untouched, **self._shown}
        self._steps[0] = replace(self._steps[0], patches=_from_nothing(self._first))

    def _take(self, event: Event) -> None:
        """Take one event in and make a step of it if it means something to a learner."""
        if event.kind != "write":
            self._settle()
        if event.kind == "command":
            self._begin(event)
        elif event.kind == "mark" and self._moment.mine.get(event.task):
            if not self._acted and event.name in ("tlb/missed", "tlb/hit"):
                self._act()
            if (line := log_line(event)) is not None:
                self._log.append((actor_of(event), line))
        self._moment.apply(event)
        self.seen = event.seq + 1
        if event.kind == "mark" and self._moment.mine.get(event.task):
            self._tell(event)

    def _begin(self, event: Event) -> None:
        self._close_group()
        self._command += 1
        self._log.clear()
        self._mine = event.args.get("vm", self._moment.vm) == self._moment.vm
        self._begun, self._kind, self._faults, self._links = len(self._steps), event.name, 0, 0
        self._acted = event.name != "access"
        if not self._mine:
            return
        if (line := log_line(event)) is not None:
            self._log.append((actor_of(event), line))
        if event.name == "access":
            self._kind = NOUN[event.args["access"]]
        elif event.name in COMMANDS:
            self._moment.apply(event)
            self._step(COMMANDS[event.name](self._moment, event.args))

    def _act(self) -> None:
        self._acted = True
        self._step(guest_acts(self._moment))

    def _tell(self, event: Event) -> None:
        if not self._acted and event.name == "kvm_entry":
            self._act()
            return
        teller = TELLERS.get(event.name)
        beat = teller(self._moment, event.args) if teller else None
        if beat is None:
            return
        self._faults += event.name == "cpu/trapped"
        self._links += event.name == "tables/linked"
        if beat.late:
            self._waiting = beat
        else:
            self._step(beat)

    def _settle(self) -> None:
        if self._waiting:
            beat, self._waiting = self._waiting, None
            self._step(beat)

    def _step(self, beat: Beat) -> None:
        if len(self._steps) - self._begun >= STEPS_A_COMMAND and beat.fn != MANY:
            self._skipped += 1
            return
        after = picture(self._moment, self._tree, beat.actor)
        self._steps.append(
            Step(
                actor=beat.actor,
                fn=beat.fn,
                title=beat.title,
                why=beat.why,
                log=_short(self._log),
                patches=changes(self._shown, after) if self._steps else _from_nothing(after),
                now=tuple(part for part in beat.now if part in after),
                cause=tuple(part for part in beat.cause if part in after),
                mark=beat.mark,
                command=max(self._command, 0),
                event=self.seen,
            )
        )
        self._first = self._first or after
        self._shown = after
        self._log.clear()

    def _tell_the_rest(self) -> None:
        """Show where a long command has led to, without its many steps."""
        if self._skipped:
            title = f"{self._skipped} more steps like these, all at once"
            why = "The command goes on in the same way. {e|This is the state after it}; the log keeps the last lines."
            self._skipped = 0
            self._step(Beat(actor="kern", fn=MANY, title=title, why=why, now=("zK",)))

    def _close_group(self) -> None:
        self._tell_the_rest()
        last = len(self._steps) - 1
        if self._groups and self._groups[-1].first == self._begun:
            return
        if self._mine and last > self._begun and self._kind in (*NOUN.values(), "ioremap"):
            number = len(self._groups) + 1
            self._groups.append(
                Group(
                    first=self._begun, last=last, before=f"{self._kind} {number}", after=f"{number}: {self._outcome()}"
                )
            )

    def _outcome(self) -> str:
        tables = f"{NUMBER.get(self._links, self._links)} table{'' if self._links == 1 else 's'}"
        if self._kind == "ioremap":
            return tables
        return {0: "no fault", 1: tables}.get(self._faults, f"{self._faults} faults")


def _from_nothing(picture: Picture) -> tuple[Patch, ...]:
    """Return the patches of a first step."""
    return changes(dict.fromkeys(picture, ("", "")), picture)


def _short(log: list[tuple[Actor, str]]) -> tuple[tuple[Actor, str], ...]:
    """Return the lines of a step, or its last ones and how many are left out."""
    over = len(log) - LINES_A_STEP
    return tuple(log) if over <= 0 else (("kern", f"... {over + 1} lines"), *log[over + 1 :])


def words(scene: Scene) -> Iterator[str]:
    """Yield the scene as text, a line or two for each step: for screen readers, searching and tests."""
    for number, step in enumerate(scene.steps, 1):
        yield f"{number}. [{step.actor}] {step.fn}: {step.title}"
