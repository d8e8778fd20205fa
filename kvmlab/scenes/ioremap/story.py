"""The ioremap scene: a device is mapped ahead of any fault, page by page, and the guest then reaches it directly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kvmlab.scenes.beat import Beat
from kvmlab.scenes.fault.tell_fault import FAULT
from kvmlab.scenes.fault.tell_tables import TABLES
from kvmlab.scenes.ioremap import words
from kvmlab.scenes.ioremap.line import Line
from kvmlab.scenes.ioremap.past import Past
from kvmlab.scenes.ioremap.picture import picture
from kvmlab.scenes.ioremap.questions import ask_about_call, ask_about_device, ask_about_hole, ask_about_type
from kvmlab.scenes.ioremap.stage import markup
from kvmlab.scenes.ioremap.state import Call, IoremapState
from kvmlab.scenes.labels import label_of
from kvmlab.scenes.moment import Event
from kvmlab.scenes.narrator import Narrator, begins
from kvmlab.scenes.scene import Group, Scene

TITLE = "A device for a guest: mapped ahead of any fault, reached without an exit"
IN_FULL, QUICKLY = 2, 24
"""Pages of a call that are told step by step, and up to which one each page has a step."""
FILLS = 3
"""After so many faults for memory since the last call, each of the next has one quick step."""
SHARED = {
    **{name: FAULT[name] for name in ("slot/missed", "mmio/exited", "inject_pabt")},
    **{name: FAULT[name] for name in ("cache/checked", "cache/topped_up")},
    "tables/linked": TABLES["tables/linked"],
}
"""What is told as in a fault."""


def ioremap_scene(events: Iterable[Event], *, vm: int = 0) -> Scene:
    """Return a run as the ioremap scene shows it.

    Args:
        events: the stream, from its beginning.
        vm: number of the VM to show.
    """
    return IoremapStory(vm).read(events)


class IoremapStory:
    """Reads a run and tells it as a scene; reading on costs no more than what is new.

    Args:
        vm: number of the VM.

    Attributes:
        seen: how many events have been read.
    """

    def __init__(self, vm: int = 0) -> None:
        """Begin with a line of no pages."""
        self.seen = 0
        self._state = IoremapState(vm)
        self._line = Line()
        self._cells = self._line.cells()
        self._past = Past()
        self._narrator = Narrator()
        self._groups: list[Group] = []
        self._who: dict[str, str] = {}
        self._cleared: tuple[Event, int] | None = None
        self._typed = False
        self._fills = 0
        self._tell(words.start())

    def read(self, events: Iterable[Event]) -> Scene:
        """Take in what happened next, complete commands only, and return the scene of everything so far."""
        events = list(events)
        self._find_room(events)
        for event in events:
            self._take(event)
            self.seen = event.seq + 1
        self._close()
        left_out = len(self._line.left_out)
        more = f" · {left_out} more pages not drawn" if left_out else ""
        return Scene(
            name="ioremap",
            title=TITLE,
            markup=markup(self._cells),
            steps=tuple(self._narrator.steps),
            groups=tuple(self._groups),
            jump="access or error",
            source=f"Linux 3.9 · VM {self._state.vm} · below each page's kind: its pfn{more}",
        ).check()

    def _find_room(self, events: list[Event]) -> None:
        """Lay the line out for the pages that are new, and let the steps told so far show what was behind them."""
        drawn = set(self._line.pages)
        self._line.find_room(events, self._state.vm)
        self._cells = self._line.cells()
        for gfn in self._line.pages:
            if gfn not in drawn:
                for step, shown in self._past.of(gfn):
                    self._narrator.amend(step, shown)

    def _tell(self, beat: Beat, *, fast: bool = False) -> int:
        shown = picture(self._state, self._cells, beat.actor)
        now, cause = (tuple(part for part in parts if part in shown) for parts in (beat.now, beat.cause))
        return self._narrator.tell(replace(beat, now=now, cause=cause), shown, fast=fast)

    def _take(self, event: Event) -> None:
        if begins(event):
            self._close()
        state = self._state
        if event.kind == "command":
            self._who[event.task] = event.name
        state.apply(event)
        self._past.note(event, state, len(self._narrator.steps))
        mine = state.moment.mine.get(event.task)
        self._narrator.hear(event, aloud=bool(mine))
        if event.name == "tables/cleared" and state.owns(event):
            self._cleared = (event, 1 + (self._cleared[1] if self._cleared else 0))
        if not mine or event.kind == "write":
            return
        if event.kind == "command":
            self._fills = self._fills if event.name == "access" else 0
            if event.name == "ioremap" and state.call:
                state.call.first = self._tell(words.called(state, state.call))
        elif self._who.get(event.task) == "ioremap" and state.call:
            self._mapping(state.call, event)
        elif self._who.get(event.task) == "access":
            self._access(event)
        elif event.name == "vm/destroyed":
            self._cleared = None
            self._tell(words.destroyed())
        elif event.name == "slot/changed" and self._who.get(event.task) == "create_vm" and len(state.slots) == 1:
            base, count = event.args["gfn"], event.args["npages"]
            self._tell(words.created([[base << 12, count << 12, 0]]))

    def _mapping(self, call: Call, event: Event) -> None:
        """Tell a step of a call."""
        state, moment, name, a = self._state, self._state.moment, event.name, event.args
        full = call.mapped < IN_FULL
        if name == "cache/failed":
            self._tell(words.failed(state, call, a))
        elif name == "tables/linked":
            call.links += 1
            if call.mapped < QUICKLY:
                self._shared(event, now=("n.tab",))
        elif name == "tables/mapped":
            beat = words.mapped(state, call, a) if full else words.quick(state, call, a)
            call.mapped += 1
            if call.mapped <= QUICKLY:
                self._tell(beat, fast=not full)
            if not self._typed:
                self._typed = True
                ask_about_type(self._narrator, self._tell(words.memory_type(a["new"])), a["new"])
        elif name == "tables/refused":
            self._tell(words.over(state, moment, a))
        elif name == "cache/freed":
            self._tell(words.given_back(a))
        elif name == "ioremap/done":
            call.ret = a["ret"]
            at = self._tell(words.done(state, call, moment, a))
            ask_about_call(self._narrator, call, at, a["ret"], state.live)
            number = sum(group.before.startswith("call") for group in self._groups) + 1
            after = f"{number}: returns {a['ret']}"
            self._groups.append(Group(first=call.first, last=at, before=f"call {number}", after=after))
        elif name in SHARED and full:
            self._shared(event)

    def _access(self, event: Event) -> None:
        """Tell a step of a guest's access."""
        state, moment, name, a = self._state, self._state.moment, event.name, event.args
        if name == "cpu/trapped":
            self._narrator.begin()
            at = self._tell(words.trapped(state, moment))
            if state.kind(moment.access["ipa"] >> 12) == "hole":
                ask_about_hole(self._narrator, at)
        elif name == "tables/mapped":
            self._fills += 1
            if quick := self._fills > FILLS:
                self._narrator.take_back()
            self._tell(words.filled(moment, a), fast=quick)
        elif name == "access/done" and not a["faults"] and a["status"] == "done":
            at = self._tell(words.reached(state, moment))
            if state.kind(moment.access["ipa"] >> 12) == "dev":
                ask_about_device(self._narrator, at)
        elif name in ("slot/missed", "mmio/exited", "inject_pabt"):
            self._shared(event)

    def _shared(self, event: Event, now: tuple[str, ...] = ()) -> None:
        """Tell an event as a fault's scene tells it."""
        beat = SHARED[event.name](self._state.moment, event.args)
        if beat:
            label = beat.label or label_of(event.kind, event.name)
            self._tell(replace(beat, label=label, now=(*beat.now, *now)))

    def _close(self) -> None:
        """Tell what the last command cleared."""
        if self._cleared:
            (event, count), self._cleared = self._cleared, None
            self._tell(words.taken_away(self._state.moment, event.args, count))
