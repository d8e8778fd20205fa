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

from kvmlab.engine.errors import InputError, check_int

Number = float | Fraction
MAX_BITS = 16
MAX_GUESTS = 1 << 24
MAX_ENTRIES = 1 << 62


@dataclass(frozen=True)
class Gap:
    """Hold mean and variance of the guest entries between two full flushes.

    Args:
        mean: entries; `math.inf` when no flush ever comes.
        variance: entries squared; 0 when every gap is the same.
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


def round_robin(guests: int, vmid_bits: int = 8) -> Gap:
    """Return the gap when the guests run in turn, over and over, on one CPU.

    Args:
        guests: number of running guests, 1 to 2**24.
        vmid_bits: width of a VMID, 2 to 16 bits.

    Returns:
        Always U entries: each one is by a guest that lost its number, so a generation lasts as long as its numbers.

    Raises:
        InputError: if an argument is out of range.
    """
    numbers = _numbers(guests, vmid_bits)
    return Gap(numbers, 0) if guests > numbers else NEVER


def uniform(guests: int, vmid_bits: int = 8, *, exact: bool = False) -> Gap:
    """Return the gap when each entry is by a guest drawn at random, all equally likely, on one CPU.

    With i guests numbered in this generation, a draw needs a new number with probability (N - i) / N. So the wait for
    the next one is geometric, and the gap is the sum of U independent waits, i = 1 to U.

    Args:
        guests: number of running guests N, 1 to 2**24.
        vmid_bits: width of a VMID, 2 to 16 bits.
        exact: return fractions, not floats (for small cases: the fractions grow with 2**vmid_bits).

    Raises:
        InputError: if an argument is out of range.
    """
    numbers = _numbers(guests, vmid_bits)
    if guests <= numbers:
        return NEVER
    waits = range(1, numbers + 1)
    if exact:
        mean = sum((Fraction(guests, guests - i) for i in waits), Fraction(0))
        return Gap(mean, sum((Fraction(guests * i, (guests - i) ** 2) for i in waits), Fraction(0)))
    return Gap(
        math.fsum(guests / (guests - i) for i in waits),
        math.fsum(guests * i / (guests - i) ** 2 for i in waits),
    )


def _numbers(guests: int, vmid_bits: int) -> int:
    """Return the usable VMIDs, after checking both arguments."""
    check_int("guests", guests, 1, MAX_GUESTS)
    return usable(vmid_bits)
