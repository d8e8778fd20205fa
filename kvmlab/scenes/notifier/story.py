"""The notifier scene: the host changes its pages, the guest maps them, and two counters keep both apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kvmlab.scenes.beat import Beat
from kvmlab.scenes.labels import label_of
from kvmlab.scenes.log import actor_of, log_line
from kvmlab.scenes.moment import Event, Moment
from kvmlab.scenes.notifier import tell_calls as calls
from kvmlab.scenes.notifier import tell_host as host
from kvmlab.scenes.notifier import tell_vcpu as vcpu
from kvmlab.scenes.notifier import tell_vm as words
from kvmlab.scenes.notifier.book import Book
from kvmlab.scenes.notifier.questions import Asks
from kvmlab.scenes.notifier.rows import MANY, Rows
from kvmlab.scenes.notifier.stage import markup
from kvmlab.scenes.notifier.state import PAGE, State, asked, host_entry
from kvmlab.scenes.scene import Group, Scene

TITLE = "MMU notifiers: the host changes its pages under a running guest"
LABEL = (
    "Guest pages on the left with their stage-2 entries, host pages on the right with the host's entries, and in the "
    "middle the page frames that both lead to; below, mmu_lock, the sampled sequence, the two counters and the test."
)
SOURCE = "Linux 3.9 · every value is computed by the engine · a host's step over a window means retry"
LANES = (("vcpu", "vCPU"), ("host", "host"))


def notifier_scene(events: Iterable[Event], *, vm: int = 0, notify: bool = True) -> Scene:
    """Return a run as the notifier scene shows it.

    Args:
        events: the stream, from its beginning.
        vm: number of the VM to show.
        notify: whether the kernel was built with CONFIG_MMU_NOTIFIER.
    """
    return NotifierStory(vm, notify).read(events)


class NotifierStory:
    """Reads a run and tells it as a scene; reading on costs no more than what is new.

    Args:
        vm: number of the VM to show.
        notify: whether the kernel was built with CONFIG_MMU_NOTIFIER.

    Attributes:
        seen: how many events have been read.
    """

    def __init__(self, vm: int = 0, notify: bool = True) -> None:
        """Begin with nothing read."""
        self.seen = 0
        self._notify = notify
        self._state = State(Moment(vm=vm))
        self._rows = Rows()
        self._asks = Asks()
        self._book = Book(self._state, self._rows, notify)
        self._groups: list[Group] = []
        self._changes: list[tuple[int, int, int]] = []
        self._free: list[int] = []
        self._changer = self._freer = self._given = ""
        self._call: calls.Call | None = None
        self._moved: set[int] = set()
        self._mapped: tuple[int, int, int] | None = None
        self._faults = self._count_before = 0
        self._step(words.start(), "host")

    def read(self, events: Iterable[Event]) -> Scene:
        """Take in what happened next, complete commands only, and return the scene of everything so far.

        Args:
            events: the events that follow those read before.
        """
        for event in events:
            self._take(event)
        self._tell_changes()
        self._tell_freed()
        self._book.close(self.seen)
        return Scene(
            name="notifier",
            title=TITLE,
            markup=markup(self._rows.pages, LABEL),
            steps=tuple(self._book.steps),
            groups=tuple(self._groups),
            lanes=LANES,
            jump="notifier, test or stale page",
            source=SOURCE,
        ).check()

    def _take(self, event: Event) -> None:
        state, entry = self._state, host_entry(event.name) if event.kind == "write" else None
        if entry and entry[0] == state.vm:
            if self._changer not in ("", event.task):
                self._tell_changes()
            self._rows.meet(self._state, entry[1])
            self._changes.append((entry[1], event.args["old"], event.args["new"]))
            self._changer = event.task
        elif self._changes:
            self._tell_changes()
        if self._free and not event.name.startswith(("host/page_freed", "host_page[", "host_frames.")):
            self._tell_freed()
        if asked(event):
            self._book.begin(self.seen)
            self._call = None
        state.apply(event)
        self.seen = event.seq + 1
        if event.kind == "write":
            return
        if self._mine(event):
            if (line := log_line(event)) is not None:
                self._book.log.append((actor_of(event), line))
            if event.kind == "command":
                self._wish(event)
            else:
                self._mark(event)
        if event.name == "host/page_freed" and self._state.last.get(event.args["pfn"], (-1, 0))[0] == self._state.vm:
            self._free.append(event.args["pfn"])
            self._freer = event.task

    def _mine(self, event: Event) -> bool:
        """Return whether an event is about this VM: by what it says, or by whose command its task carries out."""
        args, own = event.args, self._state.vm
        if "lock" in args:
            return bool(args["lock"] == f"kvm[{own}].mmu_lock")
        if event.kind == "command":
            return own in (args.get("vm"), args.get("vm2"))
        if "vm" in args:
            return bool(args["vm"] == own)
        return self._call is not None or bool(self._state.mine.get(event.task))

    # -- commands --------------------------------------------------------------------------------------------------

    def _wish(self, event: Event) -> None:
        name, args = event.name, event.args
        if name == "access":
            self._faults = 0
            self._rows.meet_guest(self._state, args["ipa"] & -PAGE)
        elif name in ("swap_out", "swap_in", "host_write"):
            self._rows.meet(self._state, args["hva"] & -PAGE)
        elif name == "ksm_merge":
            for number, hva in ((args["vm"], args["hva"]), (args["vm2"], args["hva2"])):
                if number == self._state.vm:
                    self._rows.meet(self._state, hva)
        if beat := host.wish(self._state, name, args, self._notify):
            self._step(beat, event.task)

    # -- marks -----------------------------------------------------------------------------------------------------

    def _mark(self, event: Event) -> None:
        name, args, task = event.name, event.args, event.task
        if handler := _HANDLERS.get(name):
            handler(self, event)
        elif teller := {**host.MARKS, "page/looked_up": vcpu.looked_up}.get(name):
            self._step(replace(teller(self._state, args), label=label_of("mark", name)), task)

    def _sampled(self, event: Event) -> None:
        self._moved.clear()
        self._step(replace(vcpu.sampled(self._state, event.args), label="MAY I STILL"), event.task)
        if self._state.fault:
            self._state.fault.begun = self._book.last

    def _trapped(self, event: Event) -> None:
        self._faults += 1
        if beat := vcpu.trapped(self._state, event.args):
            self._step(replace(beat, label="WHO ASKED"), event.task)

    def _tested(self, event: Event) -> None:
        passed, fault = event.name == "notifier/passed", self._state.fault
        beat = vcpu.tested(self._state, event.args, passed, self._notify)
        own = self._state.hva_of(fault.ipa) if fault else None
        elsewhere = bool(self._moved) and own not in self._moved
        one = None if passed else self._asks.tested(self._state, event.args, elsewhere)
        self._step(replace(beat, ask=one, label="MAY I STILL"), event.task)
        if fault and fault.begun >= 0:
            after = "retry" if not passed else "map"
            self._groups.append(Group(first=fault.begun, last=self._book.last, before="window", after=after))

    def _found(self, event: Event) -> None:
        self._rows.meet(self._state, event.args["hva"])

    def _page_given(self, event: Event) -> None:
        self._given = event.name.removeprefix("host/")

    def _counted(self, event: Event) -> None:
        count = self._state.moment.cell("mmu_notifier_count")
        opened = count - self._count_before
        self._call = calls.Call(event.args["seq"], count, opened)

    def _locked(self, event: Event) -> None:
        self._count_before = self._state.moment.cell("mmu_notifier_count")
        self._mapped = None

    def _unlocked(self, event: Event) -> None:
        if self._call:
            call, self._call = self._call, None
            self._step(calls.called(self._state, call, self._asks), event.task)
        elif self._mapped and self._state.fault:
            self._step(vcpu.mapped(self._state, *self._mapped), event.task)
        self._mapped = None

    def _where(self, event: Event) -> None:
        if self._call:
            args = event.args
            self._call.where = (args["hva"],) if "hva" in args else (args["start"], args["end"])
            self._call.changed = event.name == "kvm_set_spte_hva"
            self._moved.update(range(self._call.where[0], self._call.where[-1] + 1, PAGE)[:MANY])

    def _cleared(self, event: Event) -> None:
        if self._call:
            self._call.cleared.append(event.args["ipa"])

    def _flushed(self, event: Event) -> None:
        if self._call:
            self._call.flushes += 1

    def _entered(self, event: Event) -> None:
        args = event.args
        if self._call:
            self._call.written.append((args["ipa"], args["new"]))
        else:
            self._mapped = (args["ipa"], args["old"], args["new"])

    def _handled(self, event: Event) -> None:
        if beat := vcpu.handled(self._state, event.args, self._asks):
            self._step(replace(beat, label="TELL THE OTHERS"), event.task)

    def _touched(self, event: Event) -> None:
        beat = vcpu.touched(self._state, event.args, vcpu.TOUCHES[event.name], self._faults)
        self._step(replace(beat, label="PUBLISH"), event.task)

    def _slot(self, event: Event) -> None:
        self._rows.grow(self._state)
        self._step(words.slot(self._state, event.args["id"]), "host")

    def _destroyed(self, event: Event) -> None:
        self._step(words.destroyed(), "host")

    def _tell_freed(self) -> None:
        """Make a step of the frames that have just been freed."""
        if not self._free:
            return
        state, pfns, self._free = self._state, self._free, []
        reached = [
            (ipa, page.hva, reach.pfn)
            for page in self._rows.pages
            for ipa in page.ipas
            if (reach := state.reach(ipa)) and reach.pfn in pfns and reach.how != "named"
        ]
        self._step(replace(host.freed(state, pfns, reached, self._asks), label="IS THERE ROOM"), self._freer)

    def _tell_changes(self) -> None:
        """Make a step of the writes to the host's page table that have just happened."""
        if self._changes:
            told, given = self._changes, self._given
            self._changes, self._given = [], ""
            self._step(host.entry_changed(self._state, told, given), self._changer)

    def _step(self, beat: Beat, task: str) -> None:
        self._book.write(beat, task, self.seen)


_HANDLERS: dict[str, Any] = {
    "cpu/trapped": NotifierStory._trapped,
    "slot/found": NotifierStory._found,
    "slot/changed": NotifierStory._slot,
    "notifier/sampled": NotifierStory._sampled,
    "notifier/passed": NotifierStory._tested,
    "notifier/retried": NotifierStory._tested,
    "host/page_given": NotifierStory._page_given,
    "host/swapped_in": NotifierStory._page_given,
    "lock/taken": NotifierStory._locked,
    "lock/released": NotifierStory._unlocked,
    "notifier/counted": NotifierStory._counted,
    "kvm_unmap_hva": NotifierStory._where,
    "kvm_unmap_hva_range": NotifierStory._where,
    "kvm_set_spte_hva": NotifierStory._where,
    "tables/cleared": NotifierStory._cleared,
    "tlb/flushed": NotifierStory._flushed,
    "tables/mapped": NotifierStory._entered,
    "abort/handled": NotifierStory._handled,
    **dict.fromkeys(vcpu.TOUCHES, NotifierStory._touched),
    "vm/destroyed": NotifierStory._destroyed,
}
