"""Reads a run and decides what of it is told about the tables: the steps, before they are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kvmlab.scenes.labels import Label, label_of
from kvmlab.scenes.log import actor_of, last_lines, log_line
from kvmlab.scenes.moment import Event, leaf_kind, path_of
from kvmlab.scenes.question import Question
from kvmlab.scenes.scene import Actor, Group
from kvmlab.scenes.tables.forest import Forest, Put, Spot, frame_of
from kvmlab.scenes.tables.questions import put_questions
from kvmlab.scenes.tables.wishes import WISHES, doing
from kvmlab.scenes.tables.words import TELLERS, Context, Tale, start

ALIKE, A_COMMAND, WISHED, LINES = 8, 6, 40, 6
"""After ALIKE of a kind steps are fast; a command tells A_COMMAND of a kind; WISHED commands of a kind get a step of
their own for who asked; a step shows LINES of the log."""
LOGGED = ("tables/", "kvm_", "tlb/flushed", "cache/taken", "page/freed", "notifier/counted", "ioremap/done", "kernel/")
CLOSING = ("ioremap/done", "tables/destroyed")
WITHIN = ("page/freed", "kernel/leaked")
MANY = {
    "tables/linked": "linked",
    "tables/mapped": "mapped",
    "tables/cleared": "cleared",
    "tables/unlinked": "unlinked",
    "tables/ignored": "ignored",
    "tlb/flushed": "flushes",
}
OUTCOMES = {
    "tables/linked": ("table", "tables"),
    "tables/mapped": ("entry", "entries"),
    "tables/unlinked": ("freed", "freed"),
    "tables/cleared": ("cleared", "cleared"),
}
"""What a bracket says of a command: the first that there was; for one, and for more."""


@dataclass
class Told:
    """A step before it is drawn.

    Attributes:
        name: the event it tells.
        args: its values.
        tale: the words.
        label: which of the six questions it answers.
        doing: the command it belongs to, in words.
        command: number of that command.
        puts: what changes in the tables.
        log: its lines of the log.
        event: how many events have happened then.
        flushes: how many flushes there have been of these VMs' TLB entries.
        refs: page_count of the level 3 table that it writes to, afterwards.
        fast: whether it is one of many alike.
        ask: a question before it.
    """

    name: str
    args: Any
    tale: Tale
    label: Label
    doing: str
    command: int
    puts: list[Put] = field(default_factory=list)
    log: tuple[tuple[Actor, str], ...] = ()
    event: int = 0
    flushes: int = 0
    refs: int = 0
    fast: bool = False
    ask: Question | None = None


class Narrator:
    """Takes a run in, event by event.

    Args:
        vms: the VMs whose tables are told of.

    Attributes:
        seen: how many events have been taken in.
        told: the steps.
        groups: brackets over the steps of a command.
        forest: the tables after the last event.
        touched: each table that ever existed, with the indices of its entries that were ever used.
    """

    def __init__(self, vms: Sequence[int]) -> None:
        """Begin before the first event."""
        self.vms = tuple(vms)
        self.seen = 0
        self.forest = Forest()
        self.touched: dict[Spot, set[int]] = {}
        self.told: list[Told] = []
        self.groups: list[Group] = []
        self._puts: list[Put] = []
        self._log: list[tuple[Actor, str]] = []
        self._waiting: tuple[Told, int] | None = None
        self._command, self._first, self._doing = -1, 0, ""
        self._wish: Tale | None = None
        self._event: Event | None = None
        self._vm_of: dict[str, int] = {}
        self._slot = self._freed = self._flushes = 0
        self._here: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._kinds: Counter[tuple[str, str]] = Counter()
        self._asked: Counter[str] = Counter()
        self._numbers: Counter[str] = Counter()
        self._tell("start", {}, start(), "WHICH PAGE")

    def take(self, event: Event) -> None:
        """Take one event in."""
        if event.kind == "command":
            self.close()
            self._begin(event)
        elif event.kind == "mark":
            if event.name not in WITHIN:
                self._settle()
            if event.name in CLOSING:
                self._rest()
        for put in self.forest.puts(event, self.vms):
            self.forest.put(*put)
            self._puts.append(put)
        self.seen = event.seq + 1
        if event.kind == "mark":
            self._hear(event)
        elif self._waiting and event.name == f"page_count[{self._waiting[1]:#x}]":
            self._settle()

    def close(self) -> None:
        """End the command under way."""
        self._settle()
        self._rest()
        here, self._first = self.told[self._first :], len(self.told)
        if not here or self._event is None:
            return
        put_questions(here, self._asked)
        if len(here) > 1:
            name = self._event.args["access"] if self._event.name == "access" else self._event.name.split("_")[0]
            self._numbers[name] += 1
            number, last = self._numbers[name], len(self.told) - 1
            first, after = last + 1 - len(here), f"{number}: {self._outcome()}"
            self.groups.append(Group(first=first, last=last, before=f"{name} {number}", after=after))

    # -- one command -----------------------------------------------------------------------------------------------

    def _begin(self, event: Event) -> None:
        self._command += 1
        self._event, self._doing = event, doing(event.name, event.args)
        self._wish, self._freed = None, 0
        self._here.clear()
        self._log.clear()
        self._line(event)
        if event.name in WISHES and self._kinds["wish", event.name] < WISHED:
            self._wish = WISHES[event.name](event.args)

    def _hear(self, event: Event) -> None:
        """Take a mark in; tell it, if it is about one of these VMs."""
        name, a = event.name, event.args
        if name in ("notifier/counted", "tables/set"):
            self._vm_of[event.task] = a["vm"]
        elif name == "cache/taken":
            self._slot = a["slot"]
        elif name == "page/freed":
            self._freed += 1
        if name.startswith(LOGGED):
            self._line(event)
        vm = self._vm(event)
        if name not in TELLERS or vm is None:
            return
        spot = self._spot(event, vm)
        self._touch(name, spot)
        self._flushes += name == "tlb/flushed"
        tale = TELLERS[name](Context(self.forest, vm, spot, self._slot, self._freed), a)
        if tale is None:
            return
        self._here[name] += 1
        kind = (name, leaf_kind(a["new"]) if name == "tables/mapped" else str(a.get("level", "")))
        if self._count_here(kind) > A_COMMAND:
            self._skipped[name] += 1
            self._log.clear()
            return
        if self._wish and self._event and name not in ("tables/created", "slot/changed"):
            wish, self._wish = self._wish, None
            self._kinds["wish", self._event.name] += 1
            self._tell(self._event.name, self._event.args, wish, "WHO ASKED", quiet=True)
        told = self._tell(name, a, tale, label_of("mark", name), wait=tale.late)
        told.fast = self._kinds[kind] > ALIKE
        if tale.late:
            self._waiting = told, frame_of(a["entry"])

    def _count_here(self, kind: tuple[str, str]) -> int:
        """Count one of a kind, in the run and in this command; returns how many of them this command has had."""
        key = ":".join(kind)
        self._here[key] += 1
        self._kinds[kind] += self._here[key] <= A_COMMAND
        return self._here[key]

    def _vm(self, event: Event) -> int | None:
        """Return which VM a mark is about, None for one that is not shown."""
        a = event.args
        if "entry" in a:
            owner = self.forest.owner(a["entry"])
            return owner[0] if owner else None
        vm = a["vm"] if "vm" in a else self._vm_of.get(event.task, -1)
        return vm if vm in self.vms else None

    def _spot(self, event: Event, vm: int) -> Spot:
        a = event.args
        return (vm, path_of(a["ipa"], a.get("level", 3))) if "ipa" in a else (vm, ())

    def _touch(self, name: str, spot: Spot) -> None:
        """Remember that an entry or a table was used."""
        vm, path = spot
        if name == "tables/created":
            self.touched.setdefault(spot, set())
        elif name in ("tables/linked", "tables/mapped"):
            self.touched[vm, path[:-1]].add(path[-1])
            if name == "tables/linked":
                self.touched.setdefault(spot, set())

    # -- steps -----------------------------------------------------------------------------------------------------

    def _tell(self, name: str, args: Any, tale: Tale, label: Label, *, wait: bool = False, quiet: bool = False) -> Told:
        """Begin a step; what changes is put into it at once, or when it settles. A quiet one takes nothing."""
        told = Told(name, args, tale, label, self._doing, max(self._command, 0), event=self.seen)
        told.flushes = self._flushes
        if quiet and self._event:
            told.log, told.event = tuple(self._log[:1]), self._event.seq + 1
            del self._log[:1]
        if not wait:
            self._finish(told, quiet)
        return told

    def _finish(self, told: Told, quiet: bool = False) -> None:
        if not quiet:
            told.puts, self._puts = self._puts, []
            told.log = last_lines(self._log, LINES)
            self._log.clear()
            told.event = self.seen
        self.told.append(told)

    def _settle(self) -> None:
        """End a step whose last writes come after its mark."""
        if self._waiting:
            (told, frame), self._waiting = self._waiting, None
            told.refs = self.forest.counts.get(frame, 0)
            self._finish(told)

    def _rest(self) -> None:
        """Show where a long command has led to, without its many steps."""
        if not self._skipped:
            return
        counts = ", ".join(f"{count} {MANY.get(name, name)}" for name, count in self._skipped.items())
        most = max(self._skipped.values())
        self._skipped.clear()
        why = f"{{c|The command goes on in the same way}}, so there are {counts} more. {{e|This is the state then}}."
        tale = Tale(actor="kern", fn="stage2_set_pte()", title=f"The same for {most} more, all at once", why=why)
        if self._here["tables/cleared"]:
            tale = replace(tale, fn="unmap_stage2_range()")
        self._tell("rest", {}, tale, "PUBLISH")

    def _line(self, event: Event) -> None:
        if (line := log_line(event)) is not None:
            self._log.append((actor_of(event), line))

    def _outcome(self) -> str:
        """Return what a command has come to, in a few words."""
        for name, noun in OUTCOMES.items():
            if count := self._here[name]:
                return f"{count} {noun[count > 1]}"
        return "no change"
