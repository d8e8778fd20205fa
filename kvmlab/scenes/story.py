"""A story: reads a run and tells it as a scene; reading on costs no more than what is new."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kvmlab.scenes.moment import Event
from kvmlab.scenes.scene import Scene


class Story(Protocol):
    """What every kind of scene is made by.

    Attributes:
        seen: how many events have been read.
    """

    seen: int

    def read(self, events: Iterable[Event]) -> Scene:
        """Take in what happened next, complete commands only, and return the scene of everything so far.

        The parts that earlier steps show stay where they are, unless the new events need more room.

        Args:
            events: the events that follow those read before.

        Raises:
            InputError: there is nothing to show.
        """
