"""Work out what a full flush costs: misses from the engine's TLB, guest time from the user's prices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import fmean

from kvmlab.engine.errors import check_int
from kvmlab.rollover import theory
from kvmlab.rollover.cost import POLICIES, Cost
from kvmlab.rollover.survey import PER
from kvmlab.rollover.walks import Workload, extra_misses

BITS, MOST = 8, 512
GUESTS = tuple(1 << i for i in range(BITS + 1))
"""Numbers of guests for which a flush is tried: up to the first with which VMIDs run out."""
MOST_PAGES, MOST_ACCESSES = 256, 128
_TURNS, _FLUSHES, _FEWEST = 48, 12, 4


@dataclass(frozen=True)
class Lost:
    """Hold what one full flush does to the TLB of a CPU, as a mean over several flushes.

    Args:
        guests: guests that take turns on the CPU.
        dropped: entries that the flush threw out.
        missed: accesses that missed because of it.
    """

    guests: int
    dropped: float
    missed: float

    @property
    def little(self) -> bool:
        """Return whether hardly anything of what was dropped is wanted again."""
        return self.missed < self.dropped / 4


@cache
def lost(schedule: str, pages: int = 64, accesses: int = 64, seed: int = 0) -> tuple[Lost, ...]:
    """Flush the engine's TLB while guests take turns, for more and more guests.

    Args:
        schedule: "uniform" or "round-robin".
        pages: pages that each guest uses, 1 to 256.
        accesses: accesses in a turn, 1 to 128.
        seed: of the random numbers, 0 or more.

    Raises:
        InputError: an argument is out of range.
    """
    check_int("pages", pages, 1, MOST_PAGES)
    check_int("accesses", accesses, 1, MOST_ACCESSES)
    check_int("seed", seed, 0, 1 << 32)
    found = []
    for guests in GUESTS:
        rounds = -(-_TURNS // guests)
        flushes = max(_FEWEST, min(_FLUSHES, 128 // guests)) if schedule == "uniform" else 1
        runs = [
            extra_misses(
                Workload(
                    guests=guests, pages=pages, accesses=accesses, schedule=schedule, rounds_before=rounds,
                    rounds_after=rounds, seed=seed * _FLUSHES + i,
                )
            )
            for i in range(flushes)
        ]  # fmt: skip
        found.append(Lost(guests, fmean(run.alive for run in runs), fmean(run.total for run in runs)))
    return tuple(found)


@dataclass(frozen=True)
class Price:
    """Hold what flushes cost under one of the allocators.

    Args:
        policy: Linux version, "3.9" or "5.18".
        line: (guests, microseconds of guest time per 1,000 entries).
        share: part of the run time, at the end of the line.
    """

    policy: str
    line: tuple[tuple[int, float], ...]
    share: float


def prices(price: Cost, missed: float, cpus: int) -> tuple[Price, ...]:
    """Return the guest time that flushes take, in random order.

    Args:
        price: what a read and a kick cost.
        missed: misses that a flush adds on each CPU.
        cpus: 1 to 64.

    Raises:
        InputError: an argument is out of range.
    """
    first = theory.usable(BITS) + 1
    gaps = {n: theory.uniform(n, BITS, cpus) for n in range(first, MOST + 1)}
    found = []
    for policy in POLICIES:
        flush = price.of_flush(missed, cpus=cpus, policy=policy)
        line = tuple((n, PER * float(gap.rate) * flush.us) for n, gap in gaps.items())
        found.append(Price(policy, line, price.share(flush, gaps[MOST])))
    return tuple(found)
