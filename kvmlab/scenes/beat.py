"""A beat: what one event means to a learner, in words, before it becomes a step of a scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kvmlab.scenes.labels import Label
from kvmlab.scenes.moment import Moment
from kvmlab.scenes.question import Question
from kvmlab.scenes.scene import Actor

Args = Mapping[str, Any]
Teller = Callable[[Moment, Args], "Beat | None"]


@dataclass(frozen=True, kw_only=True)
class Beat:
    """The words of a step, and which parts of the picture they are about.

    Args:
        actor: who acts.
        fn: where it happens.
        title: what happens.
        why: why, with ``{c|cause}`` and ``{e|effect}``.
        now: ids of what changes.
        cause: ids of what it changes because of.
        mark: what one can jump to.
        label: which of the six questions it answers; by default, the one of its event.
        ask: what may be asked before it.
        late: the writes that belong to it follow the event: look at the state just before the next one.
    """

    actor: Actor
    fn: str
    title: str
    why: str
    now: tuple[str, ...] = ()
    cause: tuple[str, ...] = ()
    mark: str | None = None
    label: Label | None = None
    ask: Question | None = None
    late: bool = False
