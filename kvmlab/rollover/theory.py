"""Give the exact mean and variance of the gap between two full TLB flushes.

A *gap* is the number of guest entries from one flushing entry to the next. With b-bit VMIDs there are U = 2**b - 1
numbers for guests (0 is the host's). The entry that needs the (U+1)-th different guest of a generation flushes, and is
itself the first guest of the new generation. So U or fewer running guests never flush again after boot, and from U + 1
on the order in which guests run decides how often it happens.

At boot `kvm_next_vmid` is 0, which also means "none left": the very first entry flushes too. The gap says nothing about
that one; where it matters, `cold_boot=True` counts it.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

import numpy as np

from kvmlab.engine.errors import InputError, check_int

Number = float | Fraction
MAX_BITS = 16
MAX_GUESTS = 1 << 24
MAX_ENTRIES = 1 << 62
MAX_CPUS = 8
BURST = 8
"""Entries in a row by one guest, where guests enter in bursts."""


@dataclass(frozen=True)
class Gap:
    """Hold mean and variance of the guest entries between two full flushes.

    Args:
        mean: entries; `math.inf` when no flush ever comes.
        variance: entries squared; 0 when every gap is the same; `math.nan` when it is not known.
    """

    mean: Number
    variance: Number

    @property
    def rate(self) -> Number:
        """Return full flushes per guest entry: 1 / mean, and exactly 0 when no flush ever comes."""
        return 1 / self.mean

    def interval(self, entries: int, level: float = 0.95) -> tuple[float, float]:
        """Return the interval in which a measured rate lies with the given probability.

        Args:
            entries: length of the measured run, in guest entries, 1 or more; it should be many gaps long.
            level: probability, above 0 and below 1.

        Returns:
            Lowest and highest rate, in full flushes per guest entry.

        Raises:
            InputError: if an argument is out of range.

        Source: central limit theorem for renewal counts; standard deviation sqrt(variance / (entries * mean**3)).
        """
        check_int("entries", entries, 1, MAX_ENTRIES)
        if not 0 < level < 1:
            raise InputError(f"level is {level}; allowed: above 0 and below 1")
        if math.isinf(self.mean):
            return 0.0, 0.0
        rate = float(self.rate)
        reach = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(float(self.variance) * rate**3 / entries)
        return rate - reach, rate + reach

    def flushes(self, entries: int, *, cold_boot: bool = False) -> float:
        """Return the mean number of full flushes in the first guest entries after boot.

        Args:
            entries: number of guest entries, 0 or more.
            cold_boot: count the flush of the very first entry after boot as well.

        Returns:
            The exact number when every gap is the same; else the renewal theorem's mean, for runs of many gaps.

        Raises:
            InputError: if `entries` is negative.

        Source: renewal theorem for whole-numbered gaps; the first entry of a generation has index 0.
        """
        check_int("entries", entries, 0, MAX_ENTRIES)
        boot = 1 if cold_boot and entries else 0
        if entries == 0 or math.isinf(self.mean):
            return boot
        if self.variance == 0:
            return boot + (entries - 1) // self.mean
        mean, variance = float(self.mean), float(self.variance)
        return boot + entries / mean + (variance / mean**2 - 1) / 2 - 1 / (2 * mean)


NEVER = Gap(math.inf, 0)


def usable(vmid_bits: int) -> int:
    """Return how many VMIDs there are for guests.

    Args:
        vmid_bits: width of a VMID, 2 to 16 bits (8 on ARMv7).

    Raises:
        InputError: if the width is not one of those.
    """
    return (1 << check_int("vmid_bits", vmid_bits, 2, MAX_BITS)) - 1


def round_robin(guests: int, vmid_bits: int = 8, cpus: int = 1) -> Gap:
    """Return the gap when the guests run in turn, over and over.

    Args:
        guests: number of running guests, 1 to 2**24.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs, 1 to 8, fewer than there are VMIDs; see `uniform`.

    Returns:
        Always U entries: each one is by a guest that lost its number, so a generation lasts as long as its numbers.

    Raises:
        InputError: if an argument is out of range.
    """
    numbers = _numbers(guests, vmid_bits, cpus)
    return Gap(numbers, 0) if guests > numbers else NEVER


def uniform(guests: int, vmid_bits: int = 8, cpus: int = 1, *, exact: bool = False) -> Gap:
    """Return the gap when each entry is by a guest drawn at random, all equally likely.

    With i guests numbered in this generation, a draw needs a new number with probability (N - i) / N. So the wait for
    the next one is geometric, and the gap is the sum of U independent waits, i = 1 to U.

    With P CPUs the draw is among the N - P + 1 guests that run on no other CPU. A rollover takes the P - 1 guests on
    the other CPUs out, and they come back at once: P - 1 more entries, and P guests numbered to begin with.

    Args:
        guests: number of running guests N, 1 to 2**24, each with one vCPU.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs P, 1 to 8, fewer than there are VMIDs.
        exact: return fractions, not floats (for small cases: the fractions grow with 2**vmid_bits).

    Raises:
        InputError: if an argument is out of range.
    """
    return bursts(guests, vmid_bits, cpus, length=1, exact=exact)


def bursts(guests: int, vmid_bits: int = 8, cpus: int = 1, *, length: int = BURST, exact: bool = False) -> Gap:
    """Return the gap when each turn, of several entries in a row, goes to a guest drawn at random.

    Only the first entry of a turn can need a number, so the gap is as many times as long as for single entries.

    Args:
        guests: number of running guests, as for `uniform`.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs, as for `uniform`.
        length: entries in a turn, 1 or more.
        exact: return fractions, not floats.

    Raises:
        InputError: if an argument is out of range.
    """
    numbers = _numbers(guests, vmid_bits, cpus)
    check_int("length", length, 1, MAX_ENTRIES)
    if guests <= numbers:
        return NEVER
    free = guests - cpus + 1
    new = range(guests - numbers, free)  # guests without a number, at the last wait and at the first
    if exact:
        sum_of_waits = sum((Fraction(free, i) for i in new), Fraction(0))
        return Gap(
            length * sum_of_waits + cpus - 1,
            length**2 * sum((Fraction((free - i) * free, i**2) for i in new), Fraction(0)),
        )
    floats = np.arange(new.start, new.stop, dtype=float)
    mean, variance = (free / floats).sum(), ((free - floats) * free / floats**2).sum()
    return Gap(length * float(mean) + cpus - 1, length**2 * float(variance))


def zipf(guests: int, vmid_bits: int = 8) -> Gap:
    """Return the gap, nearly, when guest i is drawn in proportion to 1 / i, on one CPU.

    The number of different guests after t entries is taken to be what it is on average, and the gap is the t at which
    that is U + 1/2. For 8 bits that is within 0.4 % of the exact mean from 257 guests on, and within 2 % at 256.

    Args:
        guests: number of running guests, 1 to 2**24.
        vmid_bits: width of a VMID, 2 to 16 bits.

    Returns:
        An approximate mean; the variance is not known (nan).

    Raises:
        InputError: if an argument is out of range.

    Source: Che's approximation, with a half added for the whole numbers.
    """
    numbers = _numbers(guests, vmid_bits)
    if guests <= numbers:
        return NEVER
    share = 1 / np.arange(1, guests + 1)
    share /= share.sum()
    entries = float(numbers)
    while True:  # Newton from below, on a concave function: every step goes up to the solution and never beyond it
        unseen = np.exp(-share * entries)
        step = (numbers + 0.5 - guests + unseen.sum()) / (share * unseen).sum()
        entries += step
        if step <= 1e-9 * entries:
            return Gap(entries, math.nan)


def _numbers(guests: int, vmid_bits: int, cpus: int = 1) -> int:
    """Return the usable VMIDs, after checking the arguments."""
    check_int("guests", guests, 1, MAX_GUESTS)
    numbers = usable(vmid_bits)
    check_int("cpus", cpus, 1, min(MAX_CPUS, numbers - 1))
    return numbers
