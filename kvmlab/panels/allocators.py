"""The allocators of Linux 3.9 and 5.18 side by side, on the same entries."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from itertools import islice
from typing import Any

import ipywidgets as widgets

from kvmlab.engine import Config, Machine
from kvmlab.engine.config import ALLOCATORS
from kvmlab.engine.errors import check_int
from kvmlab.formats.scenario import Command
from kvmlab.panels.compare import Comparison
from kvmlab.panels.runs import session_of
from kvmlab.panels.vmid import MAX_GUESTS, VmidPanel
from kvmlab.scenes.scene import Scene
from kvmlab.scenes.vmid.counts import Counter, Counts
from kvmlab.scenes.vmid.story import VmidStory
from kvmlab.session import Session

COLUMNS = {
    "entries": "entries",
    "flushes": "full flushes",
    "kicks": "CPUs kicked",
    "reentries": "forced re-entries",
    "renumbered": "guests renumbered",
}
"""What is counted: the names in `Counts`, and in words."""
_NOISE = re.compile(r"gen\.t|key\.t|cpu\d\.n|ev\.[bd]")


def allocators(
    run: Session | Machine | None = None,
    *,
    vmid_bits: int = 4,
    ncpus: int = 2,
    guests: int | None = None,
    predict: bool = False,
) -> Allocators:
    """Show Linux 3.9 and 5.18 giving VMIDs to the same guests, which enter in the same order on the same CPUs.

    A guest that Linux 3.9 kicks out of its CPU comes back there at once, as in its run loop; that entry is counted by
    itself.

    Args:
        run: a session or a machine, with either allocator, whose commands are repeated on both; without one, two new
            machines.
        vmid_bits: width of a VMID on the new machines, 2 to 8 bits; the Cortex-A15 has 8, a class uses 4.
        ncpus: physical CPUs of the new machines, 1 to 4, and fewer than there are VMIDs for guests.
        guests: how many guests the new machines have, 1 to 600; a few more than there are VMIDs if not given.
        predict: whether to ask before a step that has a consequence.

    Returns:
        A widget: let it be the last line of a cell.

    Raises:
        InputError: a number is out of range, or the machine does not fit into the picture.
    """
    if run is None:
        VmidStory(vmid_bits, ncpus)  # refuses what the picture has no room for
        config = Config(vmid_bits=vmid_bits, ncpus=ncpus)
        count = check_int("guests", (1 << vmid_bits) + 4 if guests is None else guests, 1, MAX_GUESTS)
        commands = [Command("create_vm") for _ in range(count)]
    else:
        session = session_of(run)
        config, commands = session.machine.config, scheduled(session)
    one, other = (VmidSession(replace(config, allocator=name)) for name in ALLOCATORS)
    for command in commands:
        for side in (one, other):
            side.turn(command.name, **command.args)
    return Allocators(VmidPanel(one), BothPanel(other, one), predict)


class VmidSession(Session):
    """A session in which a guest that was kicked out of its CPU comes back there at once."""

    def turn(self, name: str, **args: Any) -> None:
        """Run a command, and let those whom it has kicked come back.

        Raises:
            InputError, KernelBug: as `Session.do`.
        """
        linux, stream = self.machine.linux, self.machine.stream
        with self.together():
            start = self.cursor
            self.do(name, **args)
            kicked = [cpu for mark, told in stream.marks(start) if mark == "vmid/kicked" for cpu in told["cpus"]]
            for cpu in kicked:
                if vcpu := linux.vcpu_on(cpu):
                    self.do("enter", vm=vcpu.kvm.number, vcpu=vcpu.number, cpu=cpu)


def scheduled(session: Session) -> list[Command]:
    """Return the commands of a session up to its cursor, without the entries that a kick made necessary."""
    counter, found = Counter(), []
    for event in islice(session.machine.stream, session.cursor):
        if event.asked and not counter.returns(event):
            found.append(Command(event.name, event.args))
        elif event.kind == "mark":
            counter.take(event.name, event.args)
    return found


class BothPanel(VmidPanel):
    """Controls that do everything in two sessions.

    Args:
        run: the session shown.
        twin: the session that gets the same commands.

    Attributes:
        beside: where both are shown.
    """

    beside: Allocators

    def __init__(self, run: VmidSession, twin: VmidSession) -> None:
        """Show the one; the other follows."""
        self.both = (twin, run)
        super().__init__(run)
        row = self.children[0]
        row.children = [widget for widget in row.children if widget is not self.branch_button]

    def stand(self, step: int) -> None:
        """Stand at a step, and the other run at the same moment."""
        self.beside.players[1].step = step

    def undo(self) -> None:
        """Go back to before the last command, in both runs."""
        super().undo()
        twin, turns = self.both[0], len(scheduled(self.session))
        while len(scheduled(twin)) > turns:
            twin.undo()
        self.stand(self.step)

    def redo(self) -> None:
        """Go on to after the command that was undone, in both runs, with all who come back."""
        super().redo()
        twin, turns = self.both[0], len(scheduled(self.session))
        before = -1
        while twin.cursor != before and len(scheduled(twin)) <= turns:
            before = twin.cursor
            twin.redo()
        if len(scheduled(twin)) > turns:
            twin.undo()
        self.stand(self.step)

    def _enter(self, planned: list[tuple[int, int]]) -> None:
        twin, run = self.both
        with twin.together(), run.together():
            for guest, cpu in planned:
                for session in self.both:
                    session.turn("enter", vm=guest, cpu=cpu)


class Allocators(Comparison):
    """Linux 3.9 and 5.18 side by side, moved together, with what differs marked and what it cost counted.

    Attributes:
        costs: the table of what has been counted up to the step shown.
    """

    one: VmidPanel
    other: BothPanel

    def __init__(self, one: VmidPanel, other: BothPanel, predict: bool) -> None:
        """Show both runs."""
        other.beside = self
        self.costs = widgets.HTML()
        super().__init__(one, other, names=("Linux 3.9", "Linux 5.18"), predict=predict, above=[self.costs])
        for player in self.players:
            player.observe(self._count, "step")
        self._count()

    @property
    def counts(self) -> tuple[Counts, Counts]:
        """What has been counted up to the step shown, in Linux 3.9 and in 5.18."""
        first, second = (
            panel.costs[player.step] for panel, player in zip((self.one, self.other), self.players, strict=True)
        )
        return first, second

    def run(self, entries: int, schedule: str | None = None) -> None:
        """Let guests enter under a schedule, on both sides.

        Args:
            entries: how many entries, as `VmidPanel.run`.
            schedule: one of `kvmlab.rollover.schedules.SCHEDULES`; the one chosen above the players if not given.
        """
        self.other.run(entries, schedule)

    def _scenes(self) -> tuple[Scene, Scene]:
        one, other = super()._scenes()
        return _without_noise(one), _without_noise(other)

    def _update(self) -> None:
        super()._update()
        self._count()

    def _count(self, _: object = None) -> None:
        heads = "".join(f'<th scope="col">{words}</th>' for words in COLUMNS.values())
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th>'
            + "".join(f"<td>{getattr(counts, column)}</td>" for column in COLUMNS)
            + "</tr>"
            for name, counts in zip(self.names, self.counts, strict=True)
        )
        self.costs.value = (
            '<table class="kvmlab-costs"><caption>Up to the step shown</caption>'
            f"<thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        )


def _without_noise(scene: Scene) -> Scene:
    """Leave out of what differs what says nothing.

    That is the numbers of the generations, which in Linux 3.9 are one higher from boot on, the small print of a kick,
    and who had a number that is nobody's now.
    """
    old: set[str] = set()
    steps = []
    for step in scene.steps:
        for part, state, _ in step.patches:
            if state is not None:
                (old.add if "stale" in state.split() else old.discard)(f"{part}.t")
        differs = (part for part in step.differs if part not in old and not _NOISE.fullmatch(part))
        steps.append(replace(step, differs=tuple(differs)))
    return replace(scene, steps=tuple(steps))
