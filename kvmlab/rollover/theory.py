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
MAX_CPUS = 64
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
        rate = float(self.rate)
        reach = normal(level) * math.sqrt(float(self.variance) * rate**3 / entries) if rate else 0.0
        return rate - reach, rate + reach

    def spread(self, entries: int) -> float:
        """Return the standard deviation of the number of full flushes in a run of many gaps.

        Args:
            entries: length of the run, in guest entries, 0 or more.

        Source: central limit theorem for renewal counts; flushes are whole numbers, which adds a twelfth.
        """
        rate = float(self.rate)
        return math.sqrt(float(self.variance) * rate**3 * entries + 1 / 12) if rate and self.variance else 0.0

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
MANY = 5
"""From so many gaps on, what a run comes to lies about its mean as the central limit theorem says."""


def normal(level: float) -> float:
    """Return how many standard deviations to either side hold a normal variable with the given probability.

    Args:
        level: probability, above 0 and below 1.

    Raises:
        InputError: it is not.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}; allowed: above 0 and below 1")
    return NormalDist().inv_cdf((1 + level) / 2)


def usable(vmid_bits: int) -> int:
    """Return how many VMIDs there are for guests.

    Args:
        vmid_bits: width of a VMID, 2 to 16 bits (8 on ARMv7).

    Raises:
        InputError: if the width is not one of those.
    """
    return (1 << check_int("vmid_bits", vmid_bits, 2, MAX_BITS)) - 1


def round_robin(guests: int, vmid_bits: int = 8, cpus: int = 1, *, length: int = 1) -> Gap:
    """Return the gap when the guests run in turn, over and over.

    Args:
        guests: number of running guests, 1 to 2**24.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs P, 1 to 64, fewer than there are VMIDs; see `uniform`.
        length: entries in a turn, 1 or more.

    Returns:
        Always U + 1 - P turns: each is by a guest that lost its number, and a generation begins with P in use.

    Raises:
        InputError: if an argument is out of range.
    """
    numbers = _numbers(guests, vmid_bits, cpus)
    check_int("length", length, 1, MAX_ENTRIES)
    return Gap((numbers + 1 - cpus) * length, 0) if guests > numbers else NEVER


def uniform(guests: int, vmid_bits: int = 8, cpus: int = 1, *, exact: bool = False) -> Gap:
    """Return the gap when each entry is by a guest drawn at random, all equally likely.

    With i guests numbered in this generation, a draw needs a new number with probability (N - i) / N. So the wait for
    the next one is geometric, and the gap is the sum of U independent waits, i = 1 to U.

    With P CPUs the draw is among the N - P + 1 guests that run on no other CPU, and a generation begins with P guests
    numbered: the one that flushed, and the P - 1 on the other CPUs. Linux 3.9 takes those out of the guest, and they
    come back at once; these P - 1 entries at each flush come on top of the entries counted here. Since 5.18 they stay
    in the guest and keep their number.

    Args:
        guests: number of running guests N, 1 to 2**24, each with one vCPU.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs P, 1 to 64, fewer than there are VMIDs.
        exact: return fractions, not floats (for small cases: the fractions grow with 2**vmid_bits).

    Raises:
        InputError: if an argument is out of range.
    """
    return runs(guests, vmid_bits, cpus, length=1, exact=exact)


def shortest(guests: int, vmid_bits: int = 8) -> Fraction:
    """Return how likely a gap is as short as it can be, U entries, when guests are drawn at random on one CPU.

    That is the chance that no guest comes twice before all numbers are used up: what always happens in turn.

    Args:
        guests: number of running guests N, 1 to 2**24.
        vmid_bits: width of a VMID, 2 to 16 bits.

    Raises:
        InputError: if an argument is out of range.
    """
    numbers = _numbers(guests, vmid_bits)
    return Fraction(math.perm(guests - 1, numbers), guests**numbers) if guests > numbers else Fraction(0)


def last_number(guests: int, vmid_bits: int = 8) -> float:
    """Return how many entries it takes on average until the last number is given, when guests are drawn at random.

    The flush comes later: when one guest more is drawn. To take this for the gap is a common slip, by U / (N - U).

    Args:
        guests: number of running guests N, 1 to 2**24.
        vmid_bits: width of a VMID, 2 to 16 bits.

    Returns:
        Entries, the one that uses the last number included; `math.inf` if there are fewer guests than numbers.

    Raises:
        InputError: if an argument is out of range.
    """
    numbers = _numbers(guests, vmid_bits)
    return float((guests / np.arange(guests - numbers + 1, guests + 1)).sum()) if guests >= numbers else math.inf


def runs(guests: int, vmid_bits: int = 8, cpus: int = 1, *, length: int = BURST, exact: bool = False) -> Gap:
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
    return _waits(range(guests - numbers, guests - cpus + 1), guests - cpus + 1, length, exact)


def switches(guests: int, vmid_bits: int = 8, *, length: int = BURST, exact: bool = False) -> Gap:
    """Return the gap on one CPU when each turn goes to a guest drawn at random from all but the last one.

    Args:
        guests: number of running guests, as for `uniform`.
        vmid_bits: width of a VMID, 2 to 16 bits.
        length: entries in a turn, 1 or more.
        exact: return fractions, not floats.

    Raises:
        InputError: if an argument is out of range.
    """
    numbers = _numbers(guests, vmid_bits)
    check_int("length", length, 1, MAX_ENTRIES)
    return _waits(range(guests - numbers, guests), guests - 1, length, exact) if guests > numbers else NEVER


def sticky(guests: int, vmid_bits: int = 8, *, stay: Number = 0.9, exact: bool = False) -> Gap:
    """Return the gap on one CPU when each entry is by the same guest again, or by one drawn from all.

    Args:
        guests: number of running guests, as for `uniform`.
        vmid_bits: width of a VMID, 2 to 16 bits.
        stay: probability that nothing is drawn, 0 to below 1; a fraction for an exact result.
        exact: return fractions, not floats.

    Raises:
        InputError: if an argument is out of range.
    """
    numbers = _numbers(guests, vmid_bits)
    if not 0 <= stay < 1:
        raise InputError(f"stay is {stay}; allowed: 0 to below 1")
    draws = guests / (1 - (Fraction(stay) if exact else stay))  # a draw of N stands for so many entries
    return _waits(range(guests - numbers, guests), draws, 1, exact) if guests > numbers else NEVER


def _waits(new: range, draws: Number, length: int, exact: bool) -> Gap:
    """Return the sum of geometric waits: a number is needed with probability i / draws, for each i in `new`.

    A turn has `length` entries, and only its first can need a number.
    """
    if exact:
        waits = [Fraction(draws) / i for i in new]
        zero = Fraction(0)
        return Gap(length * sum(waits, zero), length**2 * sum((wait * wait - wait for wait in waits), zero))
    floats, drawn = np.arange(new.start, new.stop, dtype=float), float(draws)
    mean, variance = (drawn / floats).sum(), ((drawn - floats) * drawn / floats**2).sum()
    return Gap(length * float(mean), length**2 * float(variance))


def _numbers(guests: int, vmid_bits: int, cpus: int = 1) -> int:
    """Return the usable VMIDs, after checking the arguments."""
    check_int("guests", guests, 1, MAX_GUESTS)
    numbers = usable(vmid_bits)
    check_int("cpus", cpus, 1, min(MAX_CPUS, numbers - 1))
    return numbers
