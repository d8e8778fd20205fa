"""Say who enters next: endless rows of guests, the same ones for the same seed.

A *turn* is a guest that is put on a CPU; it may enter several times in a row there. With several CPUs the turns go to
them one after the other, and a guest that runs on one CPU is not put on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice, repeat

import numpy as np

from kvmlab.engine.errors import check_int
from kvmlab.rollover.theory import BURST, MAX_GUESTS

Owners = Callable[[int, int], Iterator[int]]
"""From a number of guests N and a seed to an endless row of guests, 0 to N - 1: whose turn it is."""

_DRAWN = 4096
"""Guests drawn at once."""


def round_robin(guests: int, first: int = 0) -> Iterator[int]:
    """Return guests 0 to N - 1 in turn, over and over.

    Args:
        guests: their number N, 1 or more.
        first: who begins, 0 to N - 1.

    Raises:
        InputError: an argument is out of range.
    """
    check_int("first", first, 0, check_int("guests", guests, 1, MAX_GUESTS) - 1)
    return islice(cycle(range(guests)), first, None)


def uniform(guests: int, seed: int) -> Iterator[int]:
    """Return guests in random order, each equally likely every time.

    Args:
        guests: their number N, 1 or more.
        seed: of the random numbers, 0 or more.

    Raises:
        InputError: an argument is out of range.
    """
    check_int("guests", guests, 1, MAX_GUESTS)
    draw = _generator(seed)
    return (guest for _ in iter(int, 1) for guest in draw.integers(guests, size=_DRAWN).tolist())


def zipf(guests: int, seed: int) -> Iterator[int]:
    """Return guests in random order, guest i in proportion to 1 / (i + 1): a few are busy, most hardly ever run.

    Args:
        guests: their number N, 1 or more.
        seed: of the random numbers, 0 or more.

    Raises:
        InputError: an argument is out of range.
    """
    check_int("guests", guests, 1, MAX_GUESTS)
    draw, upto = _generator(seed), np.cumsum(1 / np.arange(1, guests + 1))
    last = guests - 1  # a sum may be rounded
    return (
        min(guest, last)
        for _ in iter(int, 1)
        for guest in np.searchsorted(upto, draw.random(_DRAWN) * upto[-1], side="right").tolist()
    )


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(check_int("seed", seed, 0, 1 << 62))


@dataclass(frozen=True)
class Schedule:
    """One way in which guests take turns.

    Args:
        name: in words.
        short: in fewer words.
        owners: whose turn it is.
        length: entries in a turn.
    """

    name: str
    short: str
    owners: Owners
    length: int = 1

    def turns(self, guests: int, seed: int, cpus: int = 1, *, first_cpu: int = 0) -> Iterator[tuple[int, int]]:
        """Return whose turn it is, and where: pairs of guest and CPU, without end.

        Args:
            guests: number of guests, 1 or more.
            seed: of the random numbers, 0 or more.
            cpus: number of CPUs, 1 or more; no more of them are used than there are guests.
            first_cpu: who is next, 0 or more, counted on from the last CPU.

        Raises:
            InputError: an argument is out of range.
        """
        used = min(check_int("cpus", cpus, 1, MAX_GUESTS), guests)
        owners = self.owners(guests, seed)
        return zip(owners, repeat(0)) if used == 1 else _placed(owners, used, first_cpu % used)

    def entries(self, guests: int, seed: int, cpus: int = 1, *, first_cpu: int = 0) -> Iterator[tuple[int, int]]:
        """Return who enters where: each of the `turns` as often as it has entries."""
        return (turn for turn in self.turns(guests, seed, cpus, first_cpu=first_cpu) for _ in range(self.length))


def _placed(owners: Iterator[int], cpus: int, cpu: int) -> Iterator[tuple[int, int]]:
    """Put turns on CPUs, one after the other; who runs on another CPU is passed over."""
    running = [-1] * cpus
    for guest in owners:
        if guest in running and running[cpu] != guest:
            continue
        running[cpu] = guest
        yield guest, cpu
        cpu = (cpu + 1) % cpus


SCHEDULES = {
    "in turn": Schedule("in turn (round robin)", "in turn", lambda guests, seed: round_robin(guests, seed % guests)),
    "random": Schedule("in random order", "in random order", uniform),
    "bursts": Schedule(f"in bursts of {BURST}", f"in bursts of {BURST}", uniform, BURST),
    "zipf": Schedule("few busy, many idle (Zipf)", "few busy (Zipf)", zipf),
}
"""All schedules, by the word that chooses them. In turn, the seed says who begins."""
