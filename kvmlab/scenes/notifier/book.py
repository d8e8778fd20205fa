"""The steps of the notifier scene as they are written down: beats in, steps with their patches out."""

from __future__ import annotations

from kvmlab.scenes.beat import Beat
from kvmlab.scenes.notifier.picture import picture
from kvmlab.scenes.notifier.rows import Rows
from kvmlab.scenes.notifier.state import State
from kvmlab.scenes.scene import ACTORS, Actor, Picture, Step, changes

STEPS_A_COMMAND, LINES_A_STEP = 300, 8
"""What is told of one command at most, and lines of the log in one step."""


class Book:
    """The steps so far.

    Args:
        state: what the steps are about; whoever reads the events keeps it up to date.
        rows: the pages that are drawn.
        notify: whether the kernel has CONFIG_MMU_NOTIFIER.

    Attributes:
        steps: the steps.
        log: lines for the next one.
    """

    def __init__(self, state: State, rows: Rows, notify: bool) -> None:
        """Begin with no step."""
        self.steps: list[Step] = []
        self.log: list[tuple[Actor, str]] = []
        self._state, self._rows, self._notify = state, rows, notify
        self._shown: Picture = {}
        self._command, self._told = -1, 0

    @property
    def last(self) -> int:
        """Number of the last step."""
        return len(self.steps) - 1

    def begin(self, seen: int) -> None:
        """Begin another command."""
        self.close(seen)
        self._command += 1
        self._told = 0

    def close(self, seen: int) -> None:
        """Show where a long command has led to, without its many steps."""
        over, self._told = self._told - STEPS_A_COMMAND, min(self._told, STEPS_A_COMMAND - 1)
        if over > 0:
            title = f"{over} more {'step' if over == 1 else 'steps'} like these, all at once"
            why = "{c|The command goes on in the same way}: {e|this is the state after it}."
            self.write(
                Beat(actor="kern", fn="kvm_handle_guest_abort()", title=title, why=why, now=("zK",)), "host", seen
            )

    def write(self, beat: Beat, task: str, seen: int) -> None:
        """Add a step.

        Args:
            beat: its words.
            task: who does it: "cpu0", ..., "host".
            seen: how many events have happened.
        """
        self._told += 1
        if self._told > STEPS_A_COMMAND:
            return
        after = picture(self._state, self._rows.pages, len(self._rows.left_out), beat.actor, self._notify)
        lane = "vcpu" if task.startswith("cpu") else "host"
        who = f"CPU {task.removeprefix('cpu')} · " if lane == "vcpu" and not beat.fn.startswith("kvm_mmu") else ""
        step = Step(
            actor=beat.actor,
            label=beat.label or "WHO ASKED",
            fn=beat.fn,
            title=beat.title,
            why=beat.why,
            log=tuple(self.log[-LINES_A_STEP:]),
            patches=changes(dict.fromkeys(after, ("", "")) | self._shown, after),
            now=tuple(part for part in beat.now if after.get(part, ("off",))[0] != "off"),
            cause=tuple(part for part in beat.cause if after.get(part, ("off",))[0] != "off"),
            mark=beat.mark,
            lane=lane,
            chip=None if beat.actor == "host" else who + ACTORS[beat.actor],
            command=max(self._command, 0),
            event=seen,
            ask=beat.ask,
        )
        self.steps.append(step)
        self._shown = after
        self.log.clear()
