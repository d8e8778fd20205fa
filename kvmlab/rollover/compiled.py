"""The inner loop of `simulate`, compiled by numba where it is installed (extra ``fast``): the same flushes, sooner.

There is no branch on whether a turn needs a number: which ones do is hard to guess, and a wrong guess costs a CPU more
than the few instructions that are saved.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

AVAILABLE = find_spec("numba") is not None


def find(ids: Any, of: Any, state: Any, lead: int, before: int, numbers: int, flushes: Any) -> int:
    """Find flushing turns; plain Python that numba compiles.

    Args:
        ids: whose turn it is; the first `lead` ones have been looked at before, and come to nothing new.
        of: for each guest the generation of its number; changed.
        state: the present generation, and how many numbers are taken; changed.
        lead: turns at the beginning that were in the chunk before.
        before: guests that run on other CPUs when a turn flushes.
        numbers: VMIDs for guests.
        flushes: filled with the flushing turns, counted from the first new one.

    Returns:
        How many there are.
    """
    generation, taken, found = state[0], state[1], 0
    for turn in range(len(ids)):  # from 0 on, so that the compiler need not think of indices below 0
        guest = ids[turn]
        taken += of[guest] != generation
        of[guest] = generation
        if taken > numbers:
            flushes[found] = turn - lead
            found += 1
            generation += 1
            of[guest] = generation
            taken = 1
            for back in range(1, before + 1):
                running = ids[turn - back]
                taken += of[running] != generation
                of[running] = generation
    state[0], state[1] = generation, taken
    return found


@cache
def _compiled() -> Callable[..., int]:
    from numba import njit

    quick: Callable[..., int] = njit(find, nogil=True, error_model="numpy")
    return quick


class CompiledFinder:
    """Find flushes with the compiled loop; as `simulate.NumpyFinder`.

    Args:
        guests: number of guests.
        numbers: VMIDs for guests, U.
        cpus: number of CPUs, P.
    """

    def __init__(self, guests: int, numbers: int, cpus: int = 1) -> None:
        """Start as after boot, with all numbers free."""
        self.numbers, self.before = numbers, cpus - 1
        self.of = np.zeros(guests, np.int64)
        self.state = np.array([1, 0])
        self.tail = np.zeros(0, np.intp)

    def feed(self, ids: Any) -> Any:
        """Return which of these turns flush, counted from the first turn of the chunk."""
        lead = len(self.tail)
        turns = np.concatenate([self.tail.astype(ids.dtype), ids]) if lead else ids
        room = np.empty(len(ids) // (self.numbers - self.before) + 1, np.int64)
        found = _compiled()(turns, self.of, self.state, lead, self.before, self.numbers, room)
        self.tail = turns[max(0, len(turns) - self.before) :] if self.before else self.tail
        return room[:found].copy()
