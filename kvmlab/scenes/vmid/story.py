"""Tell how VMIDs are handed out and run out: events in, scene out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, ClassVar

from kvmlab.engine.errors import check_int
from kvmlab.scenes.labels import Label
from kvmlab.scenes.moment import Event
from kvmlab.scenes.question import Question
from kvmlab.scenes.scene import Group, Picture, Scene, Step, changes
from kvmlab.scenes.vmid import questions as ask_for
from kvmlab.scenes.vmid import words
from kvmlab.scenes.vmid.counts import Counter as CostCounter
from kvmlab.scenes.vmid.counts import Counts
from kvmlab.scenes.vmid.stage import markup
from kvmlab.scenes.vmid.state import GONE, Cpu, State

Taken = tuple[tuple[int, int] | None, tuple[int, int] | None]
"""What the guest had before it was given a number, and who had that number: (VMID or guest, generation)."""

MAX_BITS, MAX_CPUS = 8, 4
"""What the picture has room for."""
SCORE, LABEL = 690, 16
"""Width of the score, and of a letter and its like on the other side of a mark, in units of 800."""
OFTEN = 2
"""A question is asked no more often than this in a run."""
_HOST = (("host", "host"),)
ALIKE = 5
"""After so many entries of one kind in a row, the next ones are played quickly."""


def vmid_scene(events: Iterable[Event], *, vmid_bits: int = 8, ncpus: int = 2) -> Scene:
    """Return the scene of a run: one step for an entry, six when the numbers run out.

    Args:
        events: the stream of a machine, from boot on.
        vmid_bits: width of a VMID in that machine, 2 to 8 bits: the grid has room for no more.
        ncpus: number of CPUs in that machine, 1 to 4.

    Raises:
        InputError: the machine does not fit into the picture.
    """
    return VmidStory(vmid_bits, ncpus).read(events)


class VmidStory:
    """The steps of a run so far. Events may come bit by bit: the scene is the same as if they came at once.

    Args:
        vmid_bits: width of a VMID, 2 to 8 bits.
        ncpus: number of CPUs, 1 to 4.

    Attributes:
        costs: for each step, what had been counted by then.

    Raises:
        InputError: the machine does not fit into the picture.
    """

    bitmap: ClassVar[bool] = False
    kernel: ClassVar[str] = "Linux 3.9"
    subject: ClassVar[str] = "VMIDs"

    def __init__(self, vmid_bits: int, ncpus: int) -> None:
        check_int("vmid_bits", vmid_bits, 2, MAX_BITS)
        check_int("ncpus", ncpus, 1, MAX_CPUS)
        self.state = State(vmid_bits, [Cpu() for _ in range(ncpus)], next=int(self.bitmap), bitmap=self.bitmap)
        self.steps: list[Step] = []
        self.shown: Picture = {}
        self.asked: Counter[str] = Counter()
        self.alike = 0
        self.kind = ""
        self.command = 0
        self.rolled: set[int] = set()  # CPUs whose entry began the generation
        self.taken: dict[int, Taken] = {}  # by CPU
        self.last_cpu: dict[int, int] = {}
        self.freed: int | None = None  # number of the last guest that was destroyed in this generation
        self.hosts = False  # whether the host does anything in this run
        self.seen = self.at = 0
        self.cpu = 0
        self.cost, self.costs = CostCounter(), list[Counts]()
        self._step("start", self._start(vmid_bits))

    def _start(self, bits: int) -> words.Told:
        return words.start(bits)

    def _scene(self) -> Scene:
        bits, ncpus = self.state.bits, len(self.state.cpus)
        return Scene(
            name="vmid",
            title=f"{self.subject}: {(1 << bits) - 1} numbers for any number of guests",
            markup=markup(bits, ncpus, self.bitmap),
            steps=tuple(self.steps),
            groups=_diamonds([n for n, step in enumerate(self.steps) if step.mark], len(self.steps)),
            lanes=(*((f"cpu{n}", f"CPU {n}") for n in range(ncpus)), *_HOST[: int(self.hosts)]),
            jump="full flush",
            source=f"{self.kernel} · {bits}-bit VMIDs · CPUs: {ncpus}",
        ).check()

    def read(self, events: Iterable[Event]) -> Scene:
        """Take in the next events, in order, and return the scene of everything so far."""
        for event in events:
            if event.kind == "command":
                self.command += not self.cost.returns(event)  # who was kicked comes back: still the same command
            elif event.kind == "mark" and event.name in _HEARD:
                self.at = event.seq + 1
                self.cpu = int(event.task.removeprefix("cpu")) if event.task.startswith("cpu") else 0
                self.cost.take(event.name, event.args)
                getattr(self, _HEARD[event.name])(event.args)
            self.seen = event.seq + 1
        return self._scene()

    def _checked(self, args: Mapping[str, Any]) -> None:
        """Stop at the test only when a rollover follows; otherwise the entry tells it all."""
        state, guest = self.state, args["vm"]
        if not args["need"] or state.next:
            return
        self._wants(guest)
        carries = state.given.get(guest, (0, 0))[1]
        told = words.checked(guest, self.cpu, carries, state.generation, state.bits)
        ask = ask_for.first_entry(state.bits) if state.generation == 1 else ask_for.one_too_many(guest, state.bits)
        self._step("checked", told, now=(f"cpu{self.cpu}",), ask=ask)
        self._step("none left", words.none_left(self.cpu, state.generation), now=("nxt",), cause=("v0",))

    def _wants(self, guest: int) -> None:
        self.state.cpus[self.cpu] = Cpu(guest, status="next")

    def _rolled_over(self, args: Mapping[str, Any]) -> None:
        state = self.state
        running = sum(cpu.status == "in" for cpu in state.cpus)
        state.generation, state.next, self.freed = args["generation"], args["next"], None
        self.rolled.add(self.cpu)
        told = words.rolled_over(self.cpu, state.generation, state.bits)
        ask = ask_for.who_loses(running) if state.generation > 3 else None  # "checked" asks it the first time
        self._step("rolled over", told, now=("gen", "nxt", "grid"), cause=(f"cpu{self.cpu}",), ask=ask)

    def _kicked(self, args: Mapping[str, Any]) -> None:
        state = self.state
        state.kicks, state.event = state.kicks + len(args["cpus"]), "kick"
        for other in args["cpus"]:
            state.cpus[other].status = "kicked"
        others = [f"cpu{n}" for n in range(len(state.cpus)) if n != self.cpu]
        told = words.kicked(self.cpu, args["cpus"], len(state.cpus), state.generation)
        counted = ["n.ipi"] if args["cpus"] else []
        self._step("kicked", told, now=(*others, *counted, "ev"))

    def _flushed(self, args: Mapping[str, Any]) -> None:
        if args["scope"] != "all":
            return
        state = self.state
        state.flushes, state.event = state.flushes + 1, "flush"
        cpus = [f"cpu{n}" for n in range(len(state.cpus))]
        told, ask = self._tell_flush(args["removed"]), self._ask_flush()
        self._step("flushed", told, now=("n.fl", "grid", "ev", *cpus), mark="flush", ask=ask)

    def _tell_flush(self, removed: int) -> words.Told:
        return words.flushed(removed, self.state.flushes)

    def _ask_flush(self) -> Question | None:
        return ask_for.after_the_flush() if self.state.generation > 2 else None

    def _assigned(self, args: Mapping[str, Any]) -> None:
        """Hand the number out; the entry that follows shows it."""
        state, guest, vmid = self.state, args["vm"], args["vmid"]
        self.taken[self.cpu] = (state.given.get(guest), state.holders.get(vmid))
        state.given[guest] = (vmid, args["generation"])
        state.holders[vmid] = (guest, args["generation"])
        state.next = args["next"]

    def _entered(self, args: Mapping[str, Any]) -> None:
        state, guest, cpu = self.state, args["vm"], args["cpu"]
        vmid, generation = state.given.get(guest, (0, 0))
        left = state.cpus[cpu]
        taken, rolled = self.taken.pop(cpu, None), cpu in self.rolled
        entry = words.Entry(
            guest=guest,
            cpu=cpu,
            vmid=vmid,
            generation=generation,
            left=state.left,
            new=taken is not None,
            had=taken[0] if taken else None,
            owner=taken[1] if taken else None,
            instead_of=left.guest if left.vmid and left.generation == generation else None,
            moved=self.last_cpu.get(guest, cpu) != cpu,
            rolled=rolled,
            first=state.entries == 0,
            **self._more(cpu),
        )
        state.cpus[cpu] = Cpu(guest, vmid, generation, "in")
        state.entries, state.event = state.entries + 1, ""
        state.since = 0 if rolled else state.since + 1
        self.rolled.discard(cpu)
        self.last_cpu[guest] = cpu
        kind, told = self._tell_entry(entry)
        now = (f"v{vmid}", f"cpu{cpu}", "n.ent")
        self._step(kind, told, now=now, cause=() if entry.new else ("gen",), ask=self._question(kind, entry))

    def _tell_entry(self, entry: words.Entry) -> tuple[str, words.Told]:
        return words.entered(entry)

    def _more(self, cpu: int) -> dict[str, Any]:
        """Return what else is known of an entry on a CPU."""
        return {}

    def _question(self, kind: str, entry: words.Entry) -> Question | None:
        """Return what may be asked before an entry."""
        if kind in ("new", "again"):
            return ask_for.number(entry, self.freed)
        if kind == "last":
            return ask_for.last_number(entry.guest, entry.vmid)
        if kind == "moved":
            return ask_for.other_cpu(entry.guest, entry.vmid, entry.cpu)
        return ask_for.known_guest(entry.guest, entry.left == 0) if kind == "kept" else None

    def _left(self, args: Mapping[str, Any]) -> None:
        self.state.cpus[args["cpu"]].status = "host"

    def _destroyed(self, args: Mapping[str, Any]) -> None:
        """Show the number as taken by nobody; without a good number there is nothing to tell."""
        state, guest = self.state, args["vm"]
        vmid, generation = state.given.pop(guest, (0, 0))
        if generation == state.generation or (vmid and state.kept.get(vmid) == guest):
            state.holders[vmid] = (GONE, generation)
            self.freed, self.hosts = vmid, True
            self._step("destroyed", words.destroyed(guest, vmid), now=(f"v{vmid}",), lane="host")

    def _step(
        self,
        kind: str,
        told: words.Told,
        *,
        now: tuple[str, ...] = (),
        cause: tuple[str, ...] = (),
        mark: str | None = None,
        ask: Question | None = None,
        lane: str | None = None,
    ) -> None:
        self.alike = self.alike + 1 if kind == self.kind else 0
        self.kind = kind
        picture = self.state.picture()
        before = self.shown or dict.fromkeys(picture, ("", ""))
        self.shown = picture
        self.costs.append(self.cost.counts)
        if ask:
            self.asked[kind] += 1
        self.steps.append(
            Step(
                actor=told.actor,
                label=_LABELS.get(kind, "PUBLISH"),
                fn=told.fn,
                title=told.title,
                why=told.why,
                log=tuple((told.actor, line) for line in told.log),
                patches=changes(before, picture),
                now=now,
                cause=cause,
                mark=mark,
                lane=lane or f"cpu{self.cpu}",
                chip=told.chip,
                command=self.command,
                event=self.at,
                fast=self.alike >= ALIKE,
                ask=ask if self.asked[kind] <= OFTEN else None,
            )
        )


_LABELS: dict[str, Label] = {
    "start": "WHO ASKED",
    "checked": "MAY I STILL",
    "kept": "MAY I STILL",
    "moved": "MAY I STILL",
    "none left": "IS THERE ROOM",
    "rolled over": "IS THERE ROOM",
    "kicked": "TELL THE OTHERS",
    "kept over": "TELL THE OTHERS",
    "flushed": "TELL THE OTHERS",
    "destroyed": "IS THERE ROOM",
}
"""By kind of step; all others hand out a number."""
_HEARD = {
    "vmid/checked": "_checked",
    "vmid/rolled_over": "_rolled_over",
    "vmid/kicked": "_kicked",
    "tlb/flushed": "_flushed",
    "vmid/assigned": "_assigned",
    "kvm_entry": "_entered",
    "kvm_exit": "_left",
    "vm/destroyed": "_destroyed",
}


def _diamonds(flushes: list[int], count: int) -> tuple[Group, ...]:
    """Return a mark under the score for each full flush, with as many words as leave room for the next one's."""
    pitch = SCORE / max(1, count - 1)
    nearest = min((b - a for a, b in pairwise(flushes)), default=count) * pitch
    form = next((form for form in ("full flush {}", "{}") if nearest > LABEL * (len(form) + 1)), "")
    return tuple(Group(first=t, last=t, before="", after=form.format(n)) for n, t in enumerate(flushes, 1))
