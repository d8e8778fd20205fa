"""Give the exact gap between two full TLB flushes when some guests run more often than others.

Each entry is by guest i with probability p_i, whatever happened before. A generation starts with the flushing guest j
and lasts until U others were seen, U being the number of VMIDs for guests. Which guest flushes is a Markov chain: the
next one, k, is the last of those U. So the gap's law is that for each j, averaged over how often j is the one that
flushes in the long run.

`seen` has the integrals, and `subsets` the same in fractions for few guests.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from kvmlab.engine.errors import InputError, check_int
from kvmlab.rollover.seen import Floats, Integrals, fluid_time
from kvmlab.rollover.theory import MAX_GUESTS, NEVER, Gap, uniform, usable

MAX_EXACT_GUESTS = 4096
MAX_EXACT_BITS = 10
MAX_S = 3.0
MIN_SHARE = 1e-100


def shares(guests: int, s: float = 1.0) -> Floats:
    """Return how often each guest runs when guest i does so in proportion to i**-s (Zipf's law).

    Args:
        guests: number of running guests, 1 to 2**24.
        s: exponent, 0 (all the same) to 3.

    Returns:
        Probabilities, the largest first; their sum is 1.

    Raises:
        InputError: if an argument is out of range.
    """
    check_int("guests", guests, 1, MAX_GUESTS)
    share = np.arange(1, guests + 1) ** -_exponent(s)
    return np.asarray(share / share.sum())


def zipf(guests: int, vmid_bits: int = 8, s: float = 1.0) -> Gap:
    """Return the exact gap when guest i is drawn in proportion to i**-s, on one CPU; see `gap`.

    Args:
        guests: number of running guests, 1 to 4096, or any number for which no flush ever comes.
        vmid_bits: width of a VMID, 2 to 10 bits, or any for which no flush ever comes.
        s: exponent, 0 (the gap of `theory.uniform`, and with its limits) to 3.

    Returns:
        Mean and variance, computed once for each set of arguments.

    Raises:
        InputError: if an argument is out of range; beyond 4096 guests or 10 bits, `fluid` is there.
    """
    check_int("guests", guests, 1, MAX_GUESTS)
    numbers, s = usable(vmid_bits), _exponent(s)
    if guests <= numbers:
        return NEVER
    return _zipf(guests, vmid_bits, s) if s else uniform(guests, vmid_bits)


@lru_cache(maxsize=4096)
def _zipf(guests: int, vmid_bits: int, s: float) -> Gap:
    return gap(shares(guests, s), vmid_bits)


def gap(p: Sequence[float] | Floats, vmid_bits: int = 8, *, first: bool = False) -> Gap:
    """Return the exact gap when each entry is by a guest drawn with the given probabilities, on one CPU.

    Exact but for rounding: relative errors are below 1e-11 for the mean and 1e-8 for the variance. One core of 2025
    takes 0.1 s for 300 different shares, about 1 s for 1024, and for 4096 5 s (8 bits) to 9 s (10 bits). Guests with
    the same share count as one.

    Successive gaps are not quite independent, as the guest that ends one begins the next; `Gap.interval` takes them to
    be. For 300 guests, 8 bits and Zipf's law with s = 1 their correlation is -0.00075, which makes the variance of the
    number of flushes in a long run 0.15 % smaller; with s from 0.8 to 2 and 256 guests or more, less than 0.4 %. With
    few guests it is more: for 4 guests, 2 bits and s = 1, 10 %.

    Args:
        p: probability of each guest, 0 or at least 1e-100; their sum is 1. At most 4096 guests that run at all.
        vmid_bits: width of a VMID, 2 to 10 bits.
        first: return the gap that begins at boot, with any guest, not that from one flush to the next.

    Returns:
        Mean and variance of one gap.

    Raises:
        InputError: if an argument is out of range, or if the integrals do not confirm each other (the flushing guest's
            probabilities must add up to 1); no such shares are known.

    Source: Poissonisation, and the Poisson-binomial law from its characteristic function, as for the coupon collector.
    """
    share = _probabilities(p)
    numbers = usable(vmid_bits)
    if len(share) <= numbers:
        return NEVER
    _check_size(len(share), vmid_bits)
    integrals = Integrals(share, numbers)
    law = integrals.count * integrals.share if first else integrals.flusher()
    centre = integrals.centre
    mean = float(law @ integrals.mean)
    return Gap(mean, float(law @ integrals.square) - (mean - centre) ** 2 - mean)


def fluid(p: Sequence[float] | Floats, vmid_bits: int = 8) -> Gap:
    """Return an approximation of the gap for any number of guests, on one CPU.

    The number of different guests after t entries is taken to be what it is on average, and the gap is the t at which
    that is U + 1/2. That is too long, for Zipf's law with s from 0 to 3 and as measured against `gap`: with 8 bits by
    0.1 to 0.42 % from 257 guests on and by 1.9 to 2.5 % at 256, with 10 bits by at most 1.9 %, with 4 bits by up to
    8 %, and with 2 bits by 10 to 22 %.

    Args:
        p: probability of each guest, 0 or at least 1e-100; their sum is 1. At most 2**24 guests.
        vmid_bits: width of a VMID, 2 to 16 bits.

    Returns:
        An approximate mean; the variance is not known (nan).

    Raises:
        InputError: if an argument is out of range.

    Source: Che's approximation, with a half added for the whole numbers.
    """
    share = _probabilities(p)
    numbers = usable(vmid_bits)
    return Gap(fluid_time(share, np.ones(len(share)), numbers), math.nan) if len(share) > numbers else NEVER


def _probabilities(p: Sequence[float] | Floats) -> Floats:
    """Return the shares of the guests that run at all, after checking them."""
    try:
        share = np.asarray(p, dtype=float)
    except (TypeError, ValueError):
        raise InputError("the shares of the guests must be numbers") from None
    if share.ndim != 1 or not 1 <= share.size <= MAX_GUESTS:
        raise InputError(f"the shares have shape {share.shape}; allowed: a list of 1 to {MAX_GUESTS:#x} numbers")
    good = (share == 0) | ((share >= MIN_SHARE) & (share <= 1))
    if not good.all():
        raise InputError(f"the share of a guest is {share[~good][0]}; allowed: 0, or {MIN_SHARE} to 1")
    if abs(share.sum() - 1) > 1e-9:
        raise InputError(f"the sum of the shares is {share.sum()}; it must be 1")
    return np.asarray(share[share > 0] / share.sum())


def _exponent(s: object) -> float:
    """Return the exponent after checking it."""
    if isinstance(s, bool) or not isinstance(s, int | float) or not 0 <= s <= MAX_S:
        raise InputError(f"s is {s!r}; allowed: 0 to {MAX_S:g}")
    return float(s)


def _check_size(guests: int, vmid_bits: int) -> None:
    """Refuse what would take minutes."""
    if guests > MAX_EXACT_GUESTS or vmid_bits > MAX_EXACT_BITS:
        raise InputError(
            f"exact numbers for {guests} guests and {vmid_bits} bits take too long; allowed: up to {MAX_EXACT_GUESTS} "
            f"guests and {MAX_EXACT_BITS} bits. zipf.fluid has approximate ones for any"
        )
