"""Look at the flush rate from both sides: what theory says for any number of guests, and what is counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from kvmlab.engine.errors import InputError, check_int
from kvmlab.rollover import theory
from kvmlab.rollover.laws import law
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.rollover.simulate import Run, simulate
from kvmlab.rollover.theory import MANY, Gap

PER = 1000
LEAST_BITS = 4
MOST_CPUS = 4
MOST_ENTRIES = 300_000
_POINTS, _MARKS = 48, 6

APPROXIMATE = frozenset({"zipf"})
"""Schedules for which an approximation is drawn: the exact law would take too long for a slider."""


@dataclass(frozen=True)
class Setting:
    """What is looked at.

    Args:
        guests: running guests, 1 to twice the number of VMIDs.
        vmid_bits: width of a VMID, 4 to 16 bits.
        schedule: "round-robin", "uniform", "runs" or "zipf".
        cpus: CPUs, 1 to 4.
        entries: guest entries behind each counted rate, 1 to 300000.
        seed: of the random numbers, 0 or more.

    Raises:
        InputError: one of them is out of range.
    """

    guests: int = 300
    vmid_bits: int = 8
    schedule: str = "uniform"
    cpus: int = 1
    entries: int = 30_000
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the values."""
        check_int("vmid_bits", self.vmid_bits, LEAST_BITS, theory.MAX_BITS)
        check_int("guests", self.guests, 1, self.most)
        check_int("cpus", self.cpus, 1, MOST_CPUS)
        check_int("entries", self.entries, 1, MOST_ENTRIES)
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule is {self.schedule!r}; allowed: {', '.join(SCHEDULES)}")

    @property
    def numbers(self) -> int:
        """VMIDs for guests."""
        return theory.usable(self.vmid_bits)

    @property
    def most(self) -> int:
        """The largest number of guests that is looked at."""
        return 2 << self.vmid_bits


@dataclass(frozen=True)
class Survey:
    """What was found.

    Args:
        setting: what was looked at.
        lines: for each schedule the law's gap at numbers of guests from the first with flushes on; none without a law.
        runs: under the schedule of the setting, for some numbers of guests, what was counted.
    """

    setting: Setting
    lines: dict[str, tuple[tuple[int, Gap], ...]]
    runs: dict[int, Run]

    @property
    def run(self) -> Run:
        """What was counted for the setting's number of guests."""
        return self.runs[self.setting.guests]

    @property
    def counted(self) -> dict[int, Run]:
        """The runs that say something: where flushes come at all, those that saw a gap from beginning to end."""
        return {n: run for n, run in self.runs.items() if n <= self.setting.numbers or run.gaps > 0}

    def gap(self, schedule: str | None = None) -> Gap | None:
        """Return the law's gap for the setting's number of guests, or None without a law.

        Args:
            schedule: another schedule than the setting's.
        """
        one = self.setting
        return _gap(schedule or one.schedule, one.guests, one.vmid_bits, one.cpus)

    def band(self, level: float = 0.95) -> tuple[tuple[int, float, float], ...]:
        """Return where counted rates lie with that probability: guests, lowest and highest rate per 1,000 entries.

        There is none where only the approximate law is known, or where a run sees too few flushes.
        """
        entries = self.setting.entries
        line = self.lines[self.setting.schedule]
        known = [(n, gap) for n, gap in line if not math.isnan(gap.variance) and entries >= MANY * gap.mean]
        reach = ((n, gap.interval(entries, level)) for n, gap in known)
        return tuple((n, max(0.0, PER * low), PER * high) for n, (low, high) in reach)


def survey(setting: Setting) -> Survey:
    """Return the laws of all schedules, and what the setting's schedule comes to when it is counted.

    What was computed before is remembered, so that only what a change touches is done again.

    Args:
        setting: what to look at.
    """
    one = setting
    lines = {key: _line(key, one.vmid_bits, one.cpus) for key in SCHEDULES}
    marks = sorted({*spread(one.numbers + 1, one.most, _MARKS), one.guests})
    runs = {n: _run(one.schedule, n, one.entries, one.vmid_bits, one.cpus, one.seed) for n in marks}
    return Survey(one, lines, runs)


@lru_cache(maxsize=256)
def _line(key: str, vmid_bits: int, cpus: int) -> tuple[tuple[int, Gap], ...]:
    first = theory.usable(vmid_bits) + 1
    points = spread(first, 2 * first, _POINTS if vmid_bits < 12 else _POINTS // 3)
    found = ((n, _gap(key, n, vmid_bits, cpus)) for n in points)
    return tuple((n, gap) for n, gap in found if gap)


def _gap(key: str, guests: int, vmid_bits: int, cpus: int) -> Gap | None:
    known = law(SCHEDULES[key], guests, vmid_bits, cpus, approximate=True)
    return known.gap if known else None


@lru_cache(maxsize=1024)
def _run(key: str, guests: int, entries: int, vmid_bits: int, cpus: int, seed: int) -> Run:
    return simulate(SCHEDULES[key], guests, entries, vmid_bits=vmid_bits, cpus=cpus, seed=seed)


def spread(first: int, last: int, points: int, power: int = 2) -> list[int]:
    """Return whole numbers from first to last that crowd at the first, where the curves are steep.

    Args:
        first: the least of them.
        last: the greatest.
        points: how many, 2 or more; fewer where two would be the same.
        power: the higher, the more they crowd; 1 for equal steps.
    """
    return sorted({round(first + (last - first) * (k / (points - 1)) ** power) for k in range(points)})
