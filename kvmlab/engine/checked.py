"""What a command is once its arguments have been checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kvmlab.engine.tasks import Steps

WORD_MAX = 0xFFFF_FFFF
"""Largest value of a guest's word."""
HOST = "host"
"""The task of everything that no CPU's guest does."""


class Checked(NamedTuple):
    """A command whose arguments are good.

    Attributes:
        task: who does it.
        said: its arguments as the stream shows them.
        steps: what it does.
    """

    task: str
    said: dict[str, Any]
    steps: Steps[Any]


def plain(function: Callable[..., Any], *args: Any) -> Steps[Any]:
    """Make a plain function an operation that nobody can interrupt."""
    yield from ()
    return function(*args)
