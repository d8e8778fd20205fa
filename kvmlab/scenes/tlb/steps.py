"""The TLB scene as it is put together: steps, brackets under the score, and what is asked and left out."""

from __future__ import annotations

from collections import Counter

from kvmlab.scenes.beat import Beat
from kvmlab.scenes.labels import Label
from kvmlab.scenes.question import Question
from kvmlab.scenes.scene import Actor, Group, Picture, Scene, Step, changes
from kvmlab.scenes.tlb.picture import picture
from kvmlab.scenes.tlb.stage import Plan, markup
from kvmlab.scenes.tlb.state import TlbState

STEPS_A_COMMAND, LINES_A_STEP = 24, 8
LABEL = (
    "The TLB of each CPU: entries with VMID, ASID, guest page, host page and rights; the tags that a look-up compares; "
    "hit rates; the guests' VMIDs."
)


class TlbSteps:
    """The steps told so far.

    Args:
        plan: what is drawn.
        state: what holds.

    Attributes:
        seen: how many events have been read.
        kind, outcome: the command under way and what came of it, in a word.
        does, runs: what a guest wants, and where.
        log: lines that no step has shown yet.
        label: the label of the event that is told.
        skipped: how many steps of this command are not told one by one.
    """

    def __init__(self, plan: Plan, state: TlbState) -> None:
        """Begin with an empty scene."""
        self.plan, self.state = plan, state
        self.seen = 0
        self.kind = self.outcome = self.does = self.runs = ""
        self.log: list[tuple[Actor, str]] = []
        self.label: Label = "WHICH PAGE"
        self.skipped = 0
        self._markup = markup(plan, LABEL)
        self._steps: list[Step] = []
        self._groups: list[Group] = []
        self._shown: Picture = {}
        self._asked: Counter[str] = Counter()
        self._begun = 0
        self._command = -1

    def scene(self) -> Scene:
        """Return the scene of everything so far."""
        self._close()
        plan = self.plan
        each = f"{plan.sets} sets of {plan.ways}" if plan.sets * plan.ways > 1 else "one entry"
        return Scene(
            name="tlb",
            title="TLBs: which translations each CPU keeps, and who may use them",
            markup=self._markup,
            steps=tuple(self._steps),
            groups=tuple(self._groups),
            jump="flush",
            source=f"Linux 3.9 · {self.state.bits}-bit VMIDs · each TLB: {each} · finished translations, no walk cache",
        ).check()

    def begin(self, kind: str) -> None:
        """Begin with the steps of a command."""
        self._close()
        self._command += 1
        self.log.clear()
        self._begun = len(self._steps)
        self.kind, self.outcome, self.does, self.runs = kind, "", "", ""

    def cell(self, cpu: int, place: int) -> str | None:
        """Return the part that shows an entry, if it is drawn."""
        slot = self.state.slot(cpu, place) if cpu < self.plan.cpus else None
        return None if slot is None else f"e{cpu}.{slot}"

    def ask(self, kind: str, ask: Question | None, *, times: int = 2) -> Question | None:
        """Return the question, unless one of its kind has been asked so many times."""
        if ask is None or self._asked[kind] >= times:
            return None
        self._asked[kind] += 1
        return ask

    def step(self, beat: Beat, *, beyond: bool = False) -> None:
        """Make a step of the present state; beyond the limit of a command, only count it."""
        if len(self._steps) - self._begun >= STEPS_A_COMMAND and not beyond:
            self.skipped += 1
            return
        after = picture(self.state, self.plan, beat.actor, self.does, self.runs)
        self._steps.append(
            Step(
                actor=beat.actor,
                label=beat.label or self.label,
                fn=beat.fn,
                title=beat.title,
                why=beat.why,
                log=tuple(self.log[-LINES_A_STEP:]),
                patches=changes(self._shown or dict.fromkeys(after, ("", "")), after),
                now=tuple(part for part in beat.now if part in after),
                cause=tuple(part for part in beat.cause if part in after),
                mark=beat.mark,
                ask=beat.ask,
                command=max(self._command, 0),
                event=self.seen,
            )
        )
        self._shown = after
        self.log.clear()

    def _close(self) -> None:
        """End what is told of a command: say what was left out, and put a bracket under it."""
        if self.skipped:
            title = f"{self.skipped} more steps like these, all at once"
            why = (
                "{c|The command goes on page after page}, and {e|each page has its flush}. This is the state after it."
            )
            self.skipped = 0
            self.step(
                Beat(actor="kern", fn="kvm_tlb_flush_vmid()", title=title, why=why, label="TELL THE OTHERS"),
                beyond=True,
            )
        last = len(self._steps) - 1
        if self.kind and last > self._begun and not (self._groups and self._groups[-1].first == self._begun):
            after = f"{self.kind}: {self.outcome}" if self.outcome else self.kind
            self._groups.append(Group(first=self._begun, last=last, before=self.kind, after=after))
