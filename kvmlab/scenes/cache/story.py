"""The cache scene: frames for tables are taken before the lock, where one may sleep, and used under it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kvmlab.scenes.beat import Beat
from kvmlab.scenes.cache import words
from kvmlab.scenes.cache.picture import picture
from kvmlab.scenes.cache.questions import ask_about
from kvmlab.scenes.cache.stage import BARS_LIMIT, markup
from kvmlab.scenes.cache.state import CacheState, Fault
from kvmlab.scenes.moment import Event
from kvmlab.scenes.narrator import Narrator, begins
from kvmlab.scenes.scene import Group, Scene

TITLE = "The memory cache: frames for tables, taken while one may sleep, used while one may not"
ALIKE = 2
"""After so many faults of one kind in a row, the next ones are told in one quick step each."""
LANES = (
    ("guest", "guest"),
    ("hw", "hardware"),
    ("sleep", "may sleep"),
    ("lock", "lock held"),
    ("host", "host"),
)
"""The kernel has two: before and after the lock, and under it."""
CHECKS = ("cache/checked", "cache/topped_up", "cache/failed")


def cache_scene(events: Iterable[Event], *, vm: int = 0, vcpu: int = 0) -> Scene:
    """Return a run as the cache of one vCPU sees it.

    Args:
        events: the stream, from its beginning.
        vm: number of the VM.
        vcpu: number of its vCPU.
    """
    return CacheStory(vm, vcpu).read(events)


@dataclass
class Handling:
    """A fault under way.

    Attributes:
        before: frames in the cache when it began.
        held: frames after the check; None before it.
        checked: what the check came to: "cache/checked", ...; "" before it.
        levels: the tables made, by level.
        check, take: numbers of the steps that tell the check, and the first frame taken or that none is.
        retried: whether the host was faster.
    """

    before: int
    held: int | None = None
    checked: str = ""
    levels: list[int] = field(default_factory=list)
    check: int = -1
    take: int = -1
    retried: bool = False

    @property
    def kind(self) -> tuple[str, int, bool]:
        """What makes one fault like another."""
        return self.checked, len(self.levels), self.retried


class CacheStory:
    """Reads a run and tells it as a scene; reading on costs no more than what is new.

    Args:
        vm: number of the VM.
        vcpu: number of its vCPU.

    Attributes:
        seen: how many events have been read.
    """

    def __init__(self, vm: int = 0, vcpu: int = 0) -> None:
        """Begin with an empty cache."""
        self.seen = 0
        self._state = CacheState(vm, vcpu)
        self._narrator = Narrator()
        self._groups: list[Group] = []
        self._who: dict[str, tuple[str, int | None, int | None]] = {}
        self._fault: Handling | None = None
        self._task = ""
        self._alike = 0
        self._kind: tuple[str, int, bool] = ("", 0, False)
        self._unlinked = 0
        self._tell(words.start(self._state))

    def read(self, events: Iterable[Event]) -> Scene:
        """Take in what happened next, complete commands only, and return the scene of everything so far."""
        for event in events:
            self._take(event)
            self.seen = event.seq + 1
        self._close()
        state = self._state
        return Scene(
            name="cache",
            title=TITLE,
            markup=markup(state.faults),
            steps=tuple(self._narrator.steps),
            groups=tuple(self._groups),
            lanes=LANES,
            jump="top-up or failure",
            source=f"Linux 3.9 · VM {state.vm}, vCPU {state.vcpu} · every frame is named by its address",
        ).check()

    def _tell(self, beat: Beat, *, fast: bool = False) -> int:
        lane = ("lock" if self._state.locked else "sleep") if beat.actor == "kern" else None
        return self._narrator.tell(beat, picture(self._state, beat.actor), lane=lane, fast=fast)

    def _take(self, event: Event) -> None:
        state = self._state
        if begins(event):
            self._close()
        if event.kind == "command":
            a = event.args
            if event.task == self._task:
                self._fault = None  # the kernel died in it
            self._who[event.task] = (event.name, a.get("vm"), a.get("vcpu"))
            if event.name == "access" and (a["vm"], a["vcpu"]) == (state.vm, state.vcpu):
                state.access = a
        name, vm, vcpu = self._who.get(event.task, ("", None, None))
        mine = vm == state.vm
        ours = mine and name == "access" and vcpu == state.vcpu
        self._narrator.hear(event, aloud=mine or name == "fail_alloc")
        if event.kind == "write":
            state.write(event.name, event.args["new"])
            if name == "fail_alloc":
                self._tell(words.armed(state, state.fail_in))
        elif event.kind == "mark":
            self._unlinked += event.name == "tables/unlinked" and event.args["table"] in state.tables
            state.mark(event, mine)
            if ours:
                self._ours(event)
            elif mine:
                self._others(event)

    def _ours(self, event: Event) -> None:
        """Tell what this vCPU's access does."""
        state, name, a = self._state, event.name, event.args
        if name == "cpu/trapped":
            self._narrator.begin()
            self._fault, self._task = Handling(state.nobjs), event.task
            self._tell(words.trapped(state, len(state.faults) + 1))
        elif name == "access/done" and not a["faults"]:
            self._tell(words.no_fault(state))
        elif self._fault:
            self._handle(self._fault, event)

    def _handle(self, fault: Handling, event: Event) -> None:
        """Tell a step of a fault of this vCPU."""
        state, name, a = self._state, event.name, event.args
        if name in CHECKS and a["cache"] == state.key:
            fault.checked, fault.held = name, a["nobjs"]
            beat = {
                "cache/checked": lambda: words.checked(state, a),
                "cache/topped_up": lambda: words.topped_up(state, a),
                "cache/failed": lambda: words.failed(state, a, fault.before),
            }[name]()
            fault.check = self._tell(beat)
        elif name == "lock/taken" and state.locked and fault.checked:
            self._tell(words.locked(state))
        elif name == "tables/linked":
            step = self._tell(words.linked(state, a))
            fault.take = step if not fault.levels else fault.take
            fault.levels.append(a["level"] + 1)
        elif name == "tables/mapped" and not fault.levels:
            fault.take = self._tell(words.none_missing(state))
        elif name == "notifier/retried":
            fault.retried = True
        elif name == "slot/missed":
            self._narrator.take_back()
            self._tell(words.not_ram(state))
            self._fault = None
        elif name == "abort/handled":
            self._finish(fault, a["ret"])

    def _finish(self, fault: Handling, ret: int) -> None:
        """Tell the end of a fault, or all of it at once where it is like the last ones."""
        state, narrator = self._state, self._narrator
        self._fault = None
        if not fault.checked:  # a permission fault that is no store: an error before the cache is looked at
            narrator.take_back()
            return
        topped, failed = fault.checked == "cache/topped_up", fault.checked == "cache/failed"
        state.faults.append(Fault(state.nobjs, topped, failed))
        self._alike = self._alike + 1 if fault.kind == self._kind else 0
        self._kind = fault.kind
        bar = f"f{len(state.faults) - 1}"
        if self._alike >= ALIKE and fault.checked == "cache/checked" and ret > 0 and not fault.retried:
            narrator.take_back()
            step = self._tell(words.quick(state, len(state.faults), len(fault.levels)), fast=True)
        else:
            first = narrator.begun
            step = self._tell(words.handled(state, ret, len(fault.levels), words.RETRIED if fault.retried else ""))
            ask_about(narrator, fault, state)
            number = len(state.faults)
            after = f"{number}: {'failed' if failed else 'topped up' if topped else words.COUNT[len(fault.levels)]}"
            self._groups.append(Group(first=first, last=step, before=f"fault {number}", after=after))
        if len(state.faults) <= BARS_LIMIT:
            narrator.show(step, bar, "past")

    def _others(self, event: Event) -> None:
        """Tell what else is done for this VM."""
        state, name, a = self._state, event.name, event.args
        command, _, vcpu = self._who[event.task]
        if name == "tables/created":
            self._tell(words.created(state))
        elif name == "tables/destroyed":
            self._close()
        elif name in CHECKS and command == "access" and vcpu is not None:
            self._tell(words.other_vcpu(state, vcpu))
        elif name == "ioremap/done":
            self._tell(words.ioremapped(state))
        elif name == "cache/freed" and a["cache"] == state.key:
            self._tell(words.freed(state, a["given_back"]))

    def _close(self) -> None:
        """Tell the tables that were freed since this was last told."""
        if self._unlinked:
            count, self._unlinked = self._unlinked, 0
            step = self._tell(words.unlinked(self._state, count))
            self._narrator.ask(
                step,
                "A table has lost its last entry. Where does its frame go?",
                "back to the page allocator",
                [("back into the vCPU's cache", "M29"), ("nowhere: empty tables wait for the VM's end", "M28")],
                "The cache only ever gives frames away; freed tables go to the allocator like any other page.",
            )
