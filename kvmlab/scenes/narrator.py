"""A narrator: turns beats into the steps of a scene, each with what changed in the picture since the one before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from kvmlab.scenes.beat import Beat
from kvmlab.scenes.log import actor_of, last_lines, log_line
from kvmlab.scenes.moment import Event
from kvmlab.scenes.question import question
from kvmlab.scenes.scene import Actor, Patch, Picture, Step, changes

LINES_A_STEP = 12
ASKED_AT_MOST = 2
Wrong = list[tuple[str, str]]
"""Wrong answers, each with the misconception that leads to it, or ""."""


def begins(event: Event) -> bool:
    """Return whether a command begins here, and not a part of one that is under way."""
    return event.kind == "command" and "part_of" not in event.args


class Narrator:
    """Collects the steps of a run.

    Attributes:
        steps: the steps so far.
        seen: how many events have been heard.
        command: number of the command under way, from 0; -1 before the first.
    """

    def __init__(self) -> None:
        """Begin with no steps."""
        self.steps: list[Step] = []
        self.seen = 0
        self.command = -1
        self._shown: Picture = {}
        self._log: list[tuple[Actor, str]] = []
        self._asked: Counter[str] = Counter()
        self._begun: tuple[int, Picture] = (0, {})

    def hear(self, event: Event, *, aloud: bool = True) -> None:
        """Take in an event.

        Args:
            event: what happened.
            aloud: whether the log of the next step says so.
        """
        self.seen = event.seq + 1
        if begins(event):
            self.command += 1
            self._log.clear()
        if aloud and (line := log_line(event)) is not None:
            self._log.append((actor_of(event), line))

    def tell(self, beat: Beat, picture: Picture, *, lane: str | None = None, fast: bool = False) -> int:
        """Make a step and return its number.

        Args:
            beat: its words; without a label it answers WHO ASKED.
            picture: what every part shows then.
            lane: its lane of the score; by default, the actor's.
            fast: whether it is one of many alike.
        """
        before = self._shown or dict.fromkeys(picture, ("", ""))
        self.steps.append(
            Step(
                actor=beat.actor,
                label=beat.label or "WHO ASKED",
                fn=beat.fn,
                title=beat.title,
                why=beat.why,
                log=last_lines(self._log, LINES_A_STEP),
                patches=_sorted(changes(before, picture)),
                now=beat.now,
                cause=beat.cause,
                mark=beat.mark,
                lane=lane,
                command=max(self.command, 0),
                event=self.seen,
                fast=fast,
            )
        )
        self._shown = picture
        self._log.clear()
        return len(self.steps) - 1

    def begin(self) -> None:
        """Remember this place: the steps from here on may be taken back."""
        self._begun = (len(self.steps), self._shown)

    @property
    def begun(self) -> int:
        """The step at which ``begin`` was called."""
        return self._begun[0]

    def amend(self, at: int, shown: Picture) -> None:
        """Let parts that are new in the picture show something from step number `at` on; later ones come later."""
        if at >= len(self.steps):
            return
        before = {part: self._shown.get(part, ("", "")) for part in shown}
        step = self.steps[at]
        self.steps[at] = replace(step, patches=_sorted((*step.patches, *changes(before, shown))))
        self._shown = {**self._shown, **shown}

    def show(self, at: int, part: str, state: str) -> None:
        """Let a part that no picture speaks of take a state in step number `at`, as something that is new there."""
        step = self.steps[at]
        self.steps[at] = replace(step, patches=(*step.patches, (part, state, None)), now=(*step.now, part))

    def take_back(self) -> None:
        """Take the steps since ``begin`` back; what they logged will stand in the next one."""
        first, self._shown = self._begun
        self._log[:0] = [line for step in self.steps[first:] for line in step.log]
        del self.steps[first:]

    def ask(self, at: int, ask: str, right: str, wrong: Wrong, because: str) -> None:
        """Let a question be asked before step number `at`, unless the same has been asked often enough."""
        made = question(ask, right, wrong, because)
        if made and not self.steps[at].ask and self._asked[ask] < ASKED_AT_MOST:
            self._asked[ask] += 1
            self.steps[at] = replace(self.steps[at], ask=made)


def _sorted(patches: Iterable[Patch]) -> tuple[Patch, ...]:
    """Put patches in order of their parts, so that it does not matter which part the picture got first."""
    return tuple(sorted(patches, key=lambda patch: patch[0]))
