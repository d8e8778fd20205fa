"""Tell how VMIDs are handed out and run out: events in, scene out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from kvmlab.engine.errors import check_int
from kvmlab.engine.events import Event
from kvmlab.scenes import vmid_words as words
from kvmlab.scenes.scene import Group, Picture, Scene, Step, changes
from kvmlab.scenes.vmid_layout import markup
from kvmlab.scenes.vmid_state import Cpu, State

MAX_BITS, MAX_CPUS = 8, 4
"""What the picture has room for."""
SCORE, LABEL = 690, 16
"""Width of the score, and of a letter and its like on the other side of a mark, in units of 800."""
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
    return Story(vmid_bits, ncpus).hear(events).scene()


class Story:
    """The steps of a run so far. Events may come bit by bit: the scene is the same as if they came at once.

    Args:
        vmid_bits: width of a VMID, 2 to 8 bits.
        ncpus: number of CPUs, 1 to 4.

    Raises:
        InputError: the machine does not fit into the picture.
    """

    def __init__(self, vmid_bits: int, ncpus: int) -> None:
        check_int("vmid_bits", vmid_bits, 2, MAX_BITS)
        check_int("ncpus", ncpus, 1, MAX_CPUS)
        self.state = State(vmid_bits, [Cpu() for _ in range(ncpus)])
        self.steps: list[Step] = []
        self.shown: Picture = {}
        self.alike = 0
        self.kind = ""
        self.command = 0
        self.rolled = False
        self.taken: tuple[tuple[int, int] | None, tuple[int, int] | None] | None = None
        self.last_cpu: dict[int, int] = {}
        self.seen = 0
        self.cpu = 0
        self._step("start", words.start(vmid_bits))

    def scene(self) -> Scene:
        """Return the scene of what has been heard."""
        bits, ncpus = self.state.bits, len(self.state.cpus)
        return Scene(
            name="vmid",
            title=f"VMIDs: {(1 << bits) - 1} numbers for any number of guests",
            markup=markup(bits, ncpus),
            steps=tuple(self.steps),
            groups=_diamonds([n for n, step in enumerate(self.steps) if step.mark], len(self.steps)),
            lanes=tuple((f"cpu{n}", f"CPU {n}") for n in range(ncpus)),
            jump="full flush",
            source=f"Linux 3.9 · {bits}-bit VMIDs · CPUs: {ncpus}",
        ).check()

    def hear(self, events: Iterable[Event]) -> Story:
        """Take the next events, in order, and return the story itself."""
        for event in events:
            if event.kind == "command":
                self.command += 1
            elif event.kind == "mark" and event.name in _HEARD:
                self.seen = event.seq + 1
                self.cpu = int(event.task.removeprefix("cpu")) if event.task.startswith("cpu") else 0
                _HEARD[event.name](self, event.args)
        return self

    def _checked(self, args: dict[str, Any]) -> None:
        """Stop at the test only when a rollover follows; otherwise the entry tells it all."""
        state, guest = self.state, args["vm"]
        if not args["need"] or state.next:
            return
        state.cpus[self.cpu] = Cpu(guest, status="next")
        carries = state.given.get(guest, (0, 0))[1]
        told = words.checked(guest, self.cpu, carries, state.generation, state.bits)
        self._step("checked", told, now=(f"cpu{self.cpu}",))
        self._step("none left", words.none_left(self.cpu, state.generation), now=("nxt",), cause=("v0",))

    def _rolled_over(self, args: dict[str, Any]) -> None:
        self.state.generation, self.state.next, self.rolled = args["generation"], args["next"], True
        told = words.rolled_over(self.cpu, self.state.generation, self.state.bits)
        self._step("rolled over", told, now=("gen", "nxt", "grid"), cause=(f"cpu{self.cpu}",))

    def _kicked(self, args: dict[str, Any]) -> None:
        state = self.state
        state.kicks, state.event = state.kicks + 1, "kick"
        for other in args["cpus"]:
            state.cpus[other].status = "kicked"
        others = [f"cpu{n}" for n in range(len(state.cpus)) if n != self.cpu]
        told = words.kicked(self.cpu, args["cpus"], len(state.cpus), state.generation)
        self._step("kicked", told, now=(*others, "n.ipi", "ev"))

    def _flushed(self, args: dict[str, Any]) -> None:
        if args["scope"] != "all":
            return
        state = self.state
        state.flushes, state.event = state.flushes + 1, "flush"
        cpus = [f"cpu{n}" for n in range(len(state.cpus))]
        told = words.flushed(args["removed"], state.flushes)
        self._step("flushed", told, now=("n.fl", "grid", "ev", *cpus), mark="flush")

    def _assigned(self, args: dict[str, Any]) -> None:
        """Hand the number out; the entry that follows shows it."""
        state, guest, vmid = self.state, args["vm"], args["vmid"]
        self.taken = (state.given.get(guest), state.holders.get(vmid))
        state.given[guest] = (vmid, args["generation"])
        state.holders[vmid] = (guest, args["generation"])
        state.next = args["next"]

    def _entered(self, args: dict[str, Any]) -> None:
        state, guest, cpu = self.state, args["vm"], args["cpu"]
        vmid, generation = state.given[guest]
        left = state.cpus[cpu]
        entry = words.Entry(
            guest=guest,
            cpu=cpu,
            vmid=vmid,
            generation=generation,
            left=-state.next % (1 << state.bits),
            new=self.taken is not None,
            had=self.taken[0] if self.taken else None,
            owner=self.taken[1] if self.taken else None,
            instead_of=left.guest if left.vmid and left.generation == generation else None,
            moved=self.last_cpu.get(guest, cpu) != cpu,
            rolled=self.rolled,
            first=state.entries == 0,
        )
        state.cpus[cpu] = Cpu(guest, vmid, generation, "in")
        state.entries, state.event = state.entries + 1, ""
        state.since = 0 if self.rolled else state.since + 1
        self.taken, self.rolled, self.last_cpu[guest] = None, False, cpu
        kind, told = words.entered(entry)
        self._step(kind, told, now=(f"v{vmid}", f"cpu{cpu}", "n.ent"), cause=() if entry.new else ("gen",))

    def _left(self, args: dict[str, Any]) -> None:
        self.state.cpus[args["cpu"]].status = "host"

    def _step(
        self,
        kind: str,
        told: words.Told,
        *,
        now: tuple[str, ...] = (),
        cause: tuple[str, ...] = (),
        mark: str | None = None,
    ) -> None:
        self.alike = self.alike + 1 if kind == self.kind else 0
        self.kind = kind
        picture = self.state.picture()
        before = self.shown or dict.fromkeys(picture, ("", ""))
        self.shown = picture
        self.steps.append(
            Step(
                actor=told.actor,
                fn=told.fn,
                title=told.title,
                why=told.why,
                log=tuple((told.actor, line) for line in told.log),
                patches=changes(before, picture),
                now=now,
                cause=cause,
                mark=mark,
                lane=f"cpu{self.cpu}",
                chip=told.chip,
                command=self.command,
                event=self.seen,
                fast=self.alike >= ALIKE,
            )
        )


_HEARD = {
    "vmid/checked": Story._checked,
    "vmid/rolled_over": Story._rolled_over,
    "vmid/kicked": Story._kicked,
    "tlb/flushed": Story._flushed,
    "vmid/assigned": Story._assigned,
    "kvm_entry": Story._entered,
    "kvm_exit": Story._left,
}


def _diamonds(flushes: list[int], count: int) -> tuple[Group, ...]:
    """Return a mark under the score for each full flush, with as many words as leave room for the next one's."""
    pitch = SCORE / max(1, count - 1)
    nearest = min((b - a for a, b in pairwise(flushes)), default=count) * pitch
    form = next((form for form in ("full flush {}", "{}") if nearest > LABEL * (len(form) + 1)), "")
    return tuple(Group(first=t, last=t, before="", after=form.format(n)) for n, t in enumerate(flushes, 1))
