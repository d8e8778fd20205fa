"""A scene: one picture laid out once, and for each step the few parts of it that change. Plain data, no drawing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from xml.etree import ElementTree

from kvmlab.scenes.labels import LABELS, Label
from kvmlab.scenes.misconceptions import MISCONCEPTIONS
from kvmlab.scenes.question import Question, check_question
from kvmlab.scenes.sources import BROWSER, source_of

Actor = Literal["guest", "hw", "kern", "host"]
"""Who acts: the guest, the hardware, the kernel (KVM), or the host with its memory."""

Patch = tuple[str, str | None, str | None]
"""A part's id, its new state (class words) and its new text; None leaves that half as it is."""

Picture = dict[str, tuple[str, str]]
"""What every part shows at one moment: id to (state, text)."""

ACTORS: dict[Actor, str] = {"guest": "guest", "hw": "hardware", "kern": "kernel", "host": "host"}
TITLE_LIMIT = 62
WHY_LIMIT = 160
_MARKED = re.compile(r"\{[ce]\|([^{}]*)\}")


class SceneError(Exception):
    """A scene breaks a rule of its own: a mistake in the code that made it, never in what a learner typed."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One moment that a learner stops at.

    Args:
        actor: who acts; gives the chip and its colour.
        label: which of the six questions it answers.
        fn: the kernel function or hardware unit it happened in.
        title: what happened, subject and verb; at most 62 characters.
        why: one sentence; ``{c|cause}`` and ``{e|effect}`` mark its ends; at most 160 characters without the marks.
        log: lines in the kernel's words, each with its actor.
        patches: the parts that change from the step before.
        now: ids of what changed in this step (orange rings).
        cause: ids of what it changed because of (dotted rings).
        mark: what one can jump to ("fault", "flush"), or None.
        lane: the score's lane; the actor's own by default.
        chip: the text of the chip; the actor's name by default.
        command: number of the command, in the run, that the step belongs to.
        event: how many events of the stream have happened when the step is shown.
        fast: play it quickly, as one of many alike.
        ask: what a learner may be asked before the step is shown.
        differs: ids of what another run shows otherwise at this moment, where two are compared.
    """

    actor: Actor
    label: Label
    fn: str
    title: str
    why: str
    log: tuple[tuple[Actor, str], ...] = ()
    patches: tuple[Patch, ...] = ()
    now: tuple[str, ...] = ()
    cause: tuple[str, ...] = ()
    mark: str | None = None
    lane: str | None = None
    chip: str | None = None
    command: int = 0
    event: int = 0
    fast: bool = False
    ask: Question | None = None
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Group:
    """A bracket under the score, from step `first` to `last` (one step: a diamond); `after` is for when it is past."""

    first: int
    last: int
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture and its steps.

    Args:
        name: CSS class of the scene's own styles.
        title: what the whole run is about; the accessible name of the panel.
        markup: SVG in which each part that can change has a ``data-id``. It may hold ``{uid}`` where an id must differ
            between two panels on one page (patterns).
        steps: at least one.
        groups: brackets under the score, in order.
        lanes: the score's lanes, top to bottom: key and label.
        jump: what the jump buttons look for, in words.
        source: one line on where the picture comes from.
    """

    name: str
    title: str
    markup: str
    steps: tuple[Step, ...]
    groups: tuple[Group, ...] = ()
    lanes: tuple[tuple[str, str], ...] = tuple(ACTORS.items())
    jump: str = "mark"
    source: str = ""

    def base(self) -> Picture:
        """Return what the markup itself shows, before any step."""
        root = ElementTree.fromstring(self.markup)
        return {part.attrib["data-id"]: ("", part.text or "") for part in root.iter() if "data-id" in part.attrib}

    def at(self, step: int) -> Picture:
        """Return what every part shows at `step` (0 is the first), by replaying the patches up to it."""
        picture = self.base()
        for one in self.steps[: step + 1]:
            for part, state, text in one.patches:
                old = picture[part]
                picture[part] = (old[0] if state is None else state, old[1] if text is None else text)
        return picture

    def check(self) -> Scene:
        """Return the scene itself if it keeps the rules: ids unique and known, words short, lanes and groups in range.

        Raises:
            SceneError: naming the step and the rule.
        """
        ids = [
            part.attrib["data-id"] for part in ElementTree.fromstring(self.markup).iter() if "data-id" in part.attrib
        ]
        known, lanes = set(ids), {key for key, _ in self.lanes}
        if len(known) != len(ids):
            raise SceneError(f"{self.name}: these ids are not unique: {sorted({i for i in ids if ids.count(i) > 1})}")
        if not self.steps:
            raise SceneError(f"{self.name}: a scene needs at least one step")
        for number, step in enumerate(self.steps):
            named = {part for part, _, _ in step.patches}.union(step.now, step.cause, step.differs)
            strange = named - known
            if strange:
                raise SceneError(f"{self.name}, step {number}: no part is called {sorted(strange)}")
            if len(step.title) > TITLE_LIMIT or len(plain(step.why)) > WHY_LIMIT:
                raise SceneError(f"{self.name}, step {number}: too long: {step.title!r} / {step.why!r}")
            if (step.lane or step.actor) not in lanes:
                raise SceneError(f"{self.name}, step {number}: no lane is called {step.lane or step.actor!r}")
            if step.label not in LABELS:
                raise SceneError(f"{self.name}, step {number}: no label is called {step.label!r}")
            if step.ask and (wrong := check_question(step.ask)):
                raise SceneError(f"{self.name}, step {number}: {wrong}: {step.ask}")
            if not source_of(step.fn):
                raise SceneError(f"{self.name}, step {number}: no source file is known for {step.fn!r}")
        for group in self.groups:
            if not 0 <= group.first <= group.last < len(self.steps):
                raise SceneError(f"{self.name}: group {group} reaches beyond the {len(self.steps)} steps")
        return self

    def to_dict(self, start: int = 0) -> dict[str, Any]:
        """Return the scene as the dictionary that the player and `from_dict` take; steps leave out what is empty.

        The player also gets the files of the functions, and the truth behind each wrong answer.

        Args:
            start: the first step to write; those before it are left out.
        """
        asked = {belief for step in self.steps if step.ask for belief in step.ask.beliefs if belief}
        return {
            **vars(self),
            "steps": [step_to_dict(step) for step in self.steps[start:]],
            "groups": [vars(group) for group in self.groups],
            "browser": BROWSER,
            "files": {fn: file for fn in dict.fromkeys(step.fn for step in self.steps) if (file := source_of(fn))},
            "cards": {key: list(MISCONCEPTIONS[key]) for key in sorted(asked)},
        }

    def to_json(self) -> str:
        """Return the scene as JSON text: the same events give the same bytes."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Scene:
        """Return the scene that `to_dict` (or its JSON) describes."""
        names = {"name", "title", "markup", "jump", "source"}
        steps = tuple(_step(step) for step in data["steps"])
        groups = tuple(Group(**group) for group in data["groups"])
        rest = {key: data[key] for key in names}
        return Scene(steps=steps, groups=groups, lanes=_tuples(data["lanes"]), **rest)


def step_to_dict(step: Step) -> dict[str, Any]:
    """Return a step as the player takes it, without what is empty."""
    filled = {key: value for key, value in vars(step).items() if value not in ((), None, 0, False)}
    return filled | ({"ask": asdict(step.ask)} if step.ask else {})


def _step(data: Mapping[str, Any]) -> Step:
    """Return the step that a dictionary describes."""
    values = {key: _tuples(value) for key, value in data.items() if key != "ask"}
    ask = {key: _tuples(value) for key, value in data["ask"].items()} if "ask" in data else None
    return Step(**values, ask=Question(**ask) if ask else None)


def plain(why: str) -> str:
    """Return a sentence without its cause and effect marks.

    >>> plain("{c|Entry 2 is zero}, so {e|the walk ends}.")
    'Entry 2 is zero, so the walk ends.'
    """
    return _MARKED.sub(r"\1", why)


def changes(before: Picture, after: Picture) -> tuple[Patch, ...]:
    """Return the smallest patches that turn one picture into the other; both hold the same ids."""
    patches = []
    for part, (state, text) in after.items():
        old = before[part]
        if (state, text) != old:
            patches.append((part, state if state != old[0] else None, text if text != old[1] else None))
    return tuple(patches)


def _tuples(value: Any) -> Any:
    """Turn lists, at any depth, into tuples."""
    return (
        tuple(_tuples(item) for item in value) if isinstance(value, Iterable) and not isinstance(value, str) else value
    )
