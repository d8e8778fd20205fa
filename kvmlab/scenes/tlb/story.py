"""The TLB scene: what each CPU's TLB holds, which look-ups hit, and what a VMID switch and a flush do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from kvmlab.scenes.fault.tell_hardware import DOES, NOUN
from kvmlab.scenes.labels import label_of
from kvmlab.scenes.log import actor_of, log_line
from kvmlab.scenes.moment import Event
from kvmlab.scenes.question import Question
from kvmlab.scenes.scene import Scene
from kvmlab.scenes.tlb import questions, words
from kvmlab.scenes.tlb.stage import Plan
from kvmlab.scenes.tlb.state import Look, TlbState
from kvmlab.scenes.tlb.steps import TlbSteps


class TlbStory(TlbSteps):
    """Reads a run and tells it as a scene; reading on costs no more than what is new.

    A small TLB is drawn whole, sets as rows and ways as columns; of a large one the entries used last.

    Args:
        ncpus: CPUs, 1 to 16; the first four are drawn.
        vmid_bits: width of a VMID.
        tlb_sets, tlb_ways: geometry of each TLB.
        allocator: "3.9" or "5.18": who gives VMIDs.

    Attributes:
        seen: how many events have been read.
        state: what holds after them.
    """

    def __init__(self, *, ncpus: int, vmid_bits: int, tlb_sets: int, tlb_ways: int, allocator: str = "3.9") -> None:
        """Begin with empty TLBs."""
        plan = Plan(ncpus, tlb_sets, tlb_ways)
        room = 0 if plan.by_sets else plan.cells
        super().__init__(plan, TlbState(ncpus, tlb_sets, tlb_ways, vmid_bits, room, allocator == "5.18"))
        self._access: dict[str, Mapping[str, Any]] = {}  # by task: the access under way,
        self._acted: dict[str, bool] = {}  # whether it has been told,
        self._came: dict[str, str] = {}  # what came of its last look-up,
        self._scope: dict[str, str | None] = {}  # and the flush that had taken what it looked for
        self._vm: dict[str, int] = {}  # by task: the VM that it works for
        self._new: set[int] = set()  # VMs with a new VMID that have not entered yet
        self._page: int | None = None  # whose leaf was changed last
        self._idle, self._told = 0, False  # in this command: flushes that took nothing; whether the host has spoken
        self._waiting: tuple[Mapping[str, Any], bool] | None = None
        self.step(words.start(self.state))

    def read(self, events: Iterable[Event]) -> Scene:
        """Take in what happened next, complete commands only, and return the scene of everything so far."""
        for event in events:
            self._take(event)
        self._settle()
        return self.scene()

    def _take(self, event: Event) -> None:
        if event.kind == "write":
            self.state.apply(event)
            self.seen = event.seq + 1
            return
        self._settle()
        if isinstance(vm := event.args.get("vm"), int) and vm >= 0:
            self._vm[event.task] = vm
        if event.kind == "command":
            self._begin(event)
        elif event.name in ("tlb/missed", "tlb/hit") and not self._acted.get(event.task, True):
            self._act(event)
        if (line := log_line(event)) is not None:
            self.log.append((actor_of(event), line))
        self.state.apply(event)
        self.seen = event.seq + 1
        if event.kind == "mark" and event.name in _TELLERS:
            self.label = label_of(event.kind, event.name)
            _TELLERS[event.name](self, event)
        self.state.forget_news()

    def _begin(self, event: Event) -> None:
        task, a = event.task, event.args
        if "part_of" not in a:
            self.begin(NOUN[a["access"]] if event.name == "access" else event.name.replace("_", " "))
            self.state.look = self.state.leaf = self._page = None
            self._idle, self._told = 0, False
        self._access.pop(task, None)
        self._came.pop(task, None)
        if event.name == "access":
            self._access[task], self._acted[task] = a, False

    def _act(self, event: Event) -> None:
        """Tell what the guest wants, before the TLB answers."""
        access, a, state = self._access[event.task], event.args, self.state
        state.look, state.leaf, self._acted[event.task] = _look(a), None, True
        verb = f"{DOES[access['access']]} {'to' if access['access'] == 'write' else 'from'}"
        self.does = f"guest {access['vm']} {verb} {a['ipa']:#x}"
        self.runs = f"ASID {a['asid']}, on CPU {a['cpu']}"
        self.step(words.acts(state, access, a))

    # -- one kind of event each ----------------------------------------------------------------------------------------

    def _assigned(self, event: Event) -> None:
        self._new.add(event.args["vm"])

    def _entered(self, event: Event) -> None:
        """Wait for VTTBR to be loaded; an entry after a fault is told by the look-up that follows."""
        new = event.args["vm"] in self._new
        self._new.discard(event.args["vm"])
        if new or not (event.task in self._access and self._acted[event.task]):
            self._waiting = event.args, new

    def _settle(self) -> None:
        if self._waiting:
            (a, new), self._waiting = self._waiting, None
            guests = self.state.guests
            self.step(words.entered(self.state, a, new, f"g{guests.index(a['vm'])}" if a["vm"] in guests else None))

    def _left(self, event: Event) -> None:
        if self.kind == "leave":
            self.step(words.left(self.state, event.args))

    def _hit(self, event: Event) -> None:
        a, state = event.args, self.state
        look = _look(a)
        place = next(p for p, said in state.compared(look).items() if said == "match")
        self.outcome = self._came[event.task] = "hit"
        ask = self.ask("tags", questions.which_tags(state, look, hit=True))
        access = self._access[event.task]["access"]
        self.step(replace(words.hit(state, a, access, place, self.cell(a["cpu"], place)), ask=ask))

    def _missed(self, event: Event) -> None:
        a, look, state = event.args, _look(event.args), self.state
        again = self._came.get(event.task) == "fault"
        self._came[event.task], self.outcome = "again" if again else "miss", self.outcome or "miss"
        self._scope[event.task] = state.dropped.get((self._access[event.task]["vm"], look.page))
        state.leaf = None
        other = state.near(look)
        near = next((self.cell(a["cpu"], p) for p, e in state.entries[a["cpu"]].items() if e is other), None)
        ask = None if again else self.ask("tags", questions.which_tags(state, look, hit=False))
        self.step(replace(words.missed(state, a, again, near), ask=ask))

    def _filled(self, event: Event) -> None:
        a, state = event.args, self.state
        state.leaf = (self._access[event.task]["vm"], a["ipa"] >> 12)
        evicted = next((entry for _, _, entry in state.gone), None)
        cell = next((self.cell(cpu, place) for cpu, place in state.filled), None)
        ask = self._ask_who_finds(event.task, faulted=False)
        self.step(replace(words.filled(state, a, cell, evicted), ask=ask))

    def _trapped(self, event: Event) -> None:
        access = self._access[event.task]
        page = access["ipa"] >> 12
        self.state.leaf = (access["vm"], page)
        ask = self._ask_who_finds(event.task, faulted=True)
        self.outcome = self._came[event.task] = "fault"
        self.step(replace(words.trapped(self.state, event.args, page), ask=ask))

    def _ask_who_finds(self, task: str, *, faulted: bool) -> Question | None:
        if self._came.get(task) != "miss":
            return None
        scope = self._scope[task]
        return self.ask(f"walk {scope} {faulted}", questions.who_finds(faulted, scope), times=1)

    def _changed(self, event: Event) -> None:
        """Tell a leaf that is written or cleared."""
        a, vm, page = event.args, self._vm.get(event.task, 0), event.args["ipa"] >> 12
        gone = event.name == "tables/cleared"
        self._page = page
        if not (gone or a["old"] & 3 or event.task in self._access):
            return
        self.state.leaf = (vm, page)
        stale = [
            (c, p) for c, p, e in self.state.everything() if (e.owner, e.page) == (vm, page) and self.state.stale(e)
        ]
        cells = tuple(cell for c, p in stale if (cell := self.cell(c, p)))
        if gone and self.kind == "destroy vm" and not stale:
            return
        if gone:
            ask = self.ask("stale", questions.still_usable(len(stale)))
            self.step(replace(words.cleared(self.state, a, len(stale), cells), ask=ask))
        else:
            self.step(words.mapped(self.state, a, len(stale), cells))

    def _flushed(self, event: Event) -> None:
        a, state = event.args, self.state
        self._idle += not a["removed"]
        if not a["removed"] and self._idle > 1:
            self.skipped += 1
            return
        if a["scope"] == "all":
            ask = self.ask("rollover", questions.what_goes(state, a))
        else:
            ask = self.ask("flush", questions.how_many_go(state, a, self._page))
        drawn = ((cpu, slot) for cpu, slot, _ in state.gone if slot is not None and cpu < self.plan.cpus)
        cells = tuple(f"e{cpu}.{slot}" for cpu, slot in drawn)
        self.outcome = self.outcome or "flush"
        self.step(replace(words.flushed(state, a, cells), ask=ask))

    def _notified(self, event: Event) -> None:
        if not self._told:
            self._told = True
            self.step(words.notified(event.name, event.args))

    def _touched(self, event: Event) -> None:
        a, state = event.args, self.state
        page = a["hva"] >> 12
        place = next(p for p, e in state.entries[a["cpu"]].items() if e.owner is None and e.page == page)
        self.step(words.touched(state, a, self.cell(a["cpu"], place), bool(state.filled)))

    def _rolled_over(self, event: Event) -> None:
        self.step(words.rolled_over(self.state, event.args))

    def _kicked(self, event: Event) -> None:
        if event.args["cpus"]:
            self.step(words.kicked(self.state, event.args))

    def _destroyed(self, event: Event) -> None:
        self.step(words.destroyed(self.state, event.args))


def _look(a: Mapping[str, Any]) -> Look:
    """Return the look-up that an event tells of, without its answer."""
    return Look(a["cpu"], a["vmid"], a["asid"], a["ipa"] >> 12)


_TELLERS: dict[str, Callable[[TlbStory, Event], None]] = {
    "vmid/assigned": TlbStory._assigned,
    "kvm_entry": TlbStory._entered,
    "kvm_exit": TlbStory._left,
    "tlb/hit": TlbStory._hit,
    "tlb/missed": TlbStory._missed,
    "tlb/filled": TlbStory._filled,
    "cpu/trapped": TlbStory._trapped,
    **dict.fromkeys(("kvm_unmap_hva", "kvm_unmap_hva_range", "kvm_set_spte_hva"), TlbStory._notified),
    "tables/mapped": TlbStory._changed,
    "tables/cleared": TlbStory._changed,
    "tlb/flushed": TlbStory._flushed,
    "host/touched": TlbStory._touched,
    "vmid/rolled_over": TlbStory._rolled_over,
    "vmid/kicked": TlbStory._kicked,
    "vm/destroyed": TlbStory._destroyed,
}
