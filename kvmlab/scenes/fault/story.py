"""The fault scene: how a guest page gets its memory, from the guest's instruction to the finished mapping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from kvmlab.engine.errors import InputError
from kvmlab.scenes.beat import Beat, Teller
from kvmlab.scenes.fault.layout import Tree, lay_out
from kvmlab.scenes.fault.notifier import NOTIFIER
from kvmlab.scenes.fault.picture import picture
from kvmlab.scenes.fault.questions import Asker
from kvmlab.scenes.fault.run import Bracket, touched
from kvmlab.scenes.fault.stage import PAGE_X, TREE_TOP, markup
from kvmlab.scenes.fault.tell_commands import COMMANDS
from kvmlab.scenes.fault.tell_fault import FAULT
from kvmlab.scenes.fault.tell_hardware import HARDWARE, NOUN, guest_acts
from kvmlab.scenes.fault.tell_host import HOST
from kvmlab.scenes.fault.tell_tables import TABLES
from kvmlab.scenes.labels import label_of
from kvmlab.scenes.log import actor_of, last_lines, log_line
from kvmlab.scenes.moment import Event, Moment, Path
from kvmlab.scenes.scene import Actor, Group, Patch, Picture, Scene, Step, changes

TELLERS: dict[str, Teller] = {**HARDWARE, **FAULT, **TABLES, **HOST, **NOTIFIER}
TITLE = "A guest faults: how its page gets memory, step by step"
LABEL = (
    "The stage-2 tables of a guest: the address cut into indices, three table levels, host pages, the TLB, "
    "and the kernel's lock, page cache and current descriptor."
)
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
        self._asker = Asker()
        self._task = ""
        self._to_act: set[str] = set()
        self._command: Counter[str] = Counter()
        self._commands, self._begun, self._skipped = -1, 0, 0
        self._bracket: Bracket | None = None

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
        self._tell_the_rest()
        self._close_bracket()
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
                self._tell_the_rest()
            self._task = event.task
            if event.name in ("tlb/missed", "tlb/hit"):
                self._act()
        self._moment.apply(event)
        self.seen = event.seq + 1
        if event.kind == "command":
            self._begin(event)
        elif event.kind == "mark" and self._moment.concerns:
            self._note(event)
            if event.name != "kvm_entry" or not self._act():
                self._tell(event)

    def _note(self, event: Event) -> None:
        if (line := log_line(event)) is not None:
            self._log.append((actor_of(event), line))

    def _begin(self, event: Event) -> None:
        self._commands += 1
        self._command[event.task] = self._commands
        self._log.clear()
        self._begun = len(self._steps)
        self._to_act.discard(event.task)
        mine = self._moment.concerns
        kind = NOUN[event.args["access"]] if event.name == "access" else event.name
        brackets = mine and event.name in ("access", "ioremap")
        if self._bracket and (brackets or self._bracket.task == event.task):
            self._close_bracket()
        if brackets:
            self._bracket = Bracket(event.task, kind)
        if not mine:
            return
        self._note(event)
        if event.name == "access":
            self._to_act.add(event.task)
        elif teller := COMMANDS.get(event.name):
            beat = teller(self._moment, event.args)
            if beat:
                self._step(beat)

    def _act(self) -> bool:
        """Tell the guest's instruction, unless it has been told; returns whether it did."""
        if self._task not in self._to_act:
            return False
        self._to_act.discard(self._task)
        self._step(guest_acts(self._moment))
        return True

    def _tell(self, event: Event) -> None:
        m, teller = self._moment, TELLERS.get(event.name)
        beat = teller(m, event.args) if teller else None
        if beat is None:
            return
        ask = self._asker.about(event.name, m, event.args, len(self._steps), self._command[event.task])
        beat = replace(beat, label=beat.label or label_of(event.kind, event.name), ask=ask)
        if self._bracket and self._bracket.task == event.task:
            self._bracket.faults += event.name == "cpu/trapped"
            self._bracket.links += event.name == "tables/linked"
        if beat.late:
            self._waiting = beat
        else:
            self._step(beat)

    def _settle(self) -> None:
        if self._waiting:
            beat, self._waiting = self._waiting, None
            self._step(beat)

    def _step(self, beat: Beat, *, beyond: bool = False) -> None:
        if len(self._steps) - self._begun >= STEPS_A_COMMAND and not beyond:
            self._skipped += 1
            return
        after = picture(self._moment, self._tree, beat.actor)
        self._steps.append(
            Step(
                actor=beat.actor,
                label=beat.label or "WHO ASKED",
                fn=beat.fn,
                title=beat.title,
                why=beat.why,
                log=last_lines(self._log, LINES_A_STEP),
                patches=changes(self._shown, after) if self._steps else _from_nothing(after),
                now=tuple(part for part in beat.now if part in after),
                cause=tuple(part for part in beat.cause if part in after),
                mark=beat.mark,
                ask=beat.ask,
                command=self._command[self._task],
                event=self.seen,
            )
        )
        if self._bracket and self._bracket.task == self._task:
            self._bracket.steps.append(len(self._steps) - 1)
        self._first = self._first or after
        self._shown = after
        self._log.clear()

    def _tell_the_rest(self) -> None:
        """Show where a long command has led to, without its many steps."""
        if self._skipped:
            title = f"{self._skipped} more steps like these, all at once"
            why = "The command goes on in the same way. {e|This is the state after it}; the log keeps the last lines."
            self._skipped = 0
            self._step(
                Beat(actor="kern", fn="stage2_set_pte()", title=title, why=why, now=("zK",), label="PUBLISH"),
                beyond=True,
            )

    def _close_bracket(self) -> None:
        bracket, self._bracket = self._bracket, None
        if bracket and len(bracket.steps) > 1:
            number = len(self._groups) + 1
            before, after = f"{bracket.kind} {number}", f"{number}: {bracket.outcome()}"
            self._groups.append(Group(first=bracket.steps[0], last=bracket.steps[-1], before=before, after=after))


def _from_nothing(picture: Picture) -> tuple[Patch, ...]:
    """Return the patches of a first step."""
    return changes(dict.fromkeys(picture, ("", "")), picture)


def words(scene: Scene) -> Iterator[str]:
    """Yield the scene as text, a line or two for each step: for screen readers, searching and tests."""
    for number, step in enumerate(scene.steps, 1):
        yield f"{number}. [{step.actor}] {step.fn}: {step.title}"
