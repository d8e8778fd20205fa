"""Give the exact gap in fractions for few guests: by following every set of guests that have a number."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

from kvmlab.engine.errors import InputError
from kvmlab.rollover.theory import NEVER, Gap, usable

MAX_CHAIN_GUESTS = 12


def chain(p: Sequence[Fraction], vmid_bits: int = 2) -> Gap:
    """Return the exact gap in fractions, for few guests, by following every set of guests with a number.

    It shares no step with `gap`, and takes up to some seconds for 12 guests.

    Args:
        p: probability of each guest, above 0; their sum is exactly 1. At most 12 guests (they have 2**12 sets),
            or any number for which no flush ever comes.
        vmid_bits: width of a VMID, 2 to 16 bits.

    Returns:
        Mean and variance as fractions; see `gap`.

    Raises:
        InputError: if an argument is out of range.
    """
    guests, numbers = len(p), usable(vmid_bits)
    if set(map(type, p)) != {Fraction} or min(p) <= 0 or sum(p) != 1:
        raise InputError("the shares of the guests must be Fractions above 0, and their sum exactly 1")
    if guests <= numbers:
        return NEVER
    if guests > MAX_CHAIN_GUESTS:
        raise InputError(
            f"{guests} guests have 2**{guests} sets; allowed: 1 to {MAX_CHAIN_GUESTS} guests. See zipf.gap"
        )
    end = (Fraction(0), Fraction(0))
    todo: dict[frozenset[int], tuple[Fraction, Fraction]] = {}  # entries still to come: mean, mean of the square
    last: dict[frozenset[int], list[Fraction]] = {}  # who will flush
    for size in range(numbers, 0, -1):
        for seen in map(frozenset, combinations(range(guests), size)):
            new = [k for k in range(guests) if k not in seen]
            chance = sum((p[k] for k in new), Fraction(0))
            step = {k: p[k] / chance for k in new}
            after = {k: todo.get(seen | {k}, end) for k in new}
            rest = sum((step[k] * after[k][0] for k in new), Fraction(0))
            square = sum((step[k] * after[k][1] for k in new), Fraction(0))
            todo[seen] = 1 / chance + rest, (2 - chance) / chance**2 + 2 * rest / chance + square
            if size == numbers:
                last[seen] = [step.get(k, Fraction(0)) for k in range(guests)]
            else:
                last[seen] = [sum((step[n] * last[seen | {n}][k] for n in new), Fraction(0)) for k in range(guests)]
    law = _stationary([last[frozenset({j})] for j in range(guests)])
    mean, square = (sum((law[j] * todo[frozenset({j})][n] for j in range(guests)), Fraction(0)) for n in (0, 1))
    return Gap(mean, square - mean**2)


def _stationary(kernel: list[list[Fraction]]) -> list[Fraction]:
    """Return the stationary law of a Markov chain: states are taken out one by one, and put back in."""
    for n in range(len(kernel) - 1, 0, -1):
        leave = sum(kernel[n][:n], Fraction(0))
        for row in kernel[:n]:
            row[n] /= leave
            for j in range(n):
                row[j] += row[n] * kernel[n][j]
    law = [Fraction(1)]
    for n in range(1, len(kernel)):
        law.append(sum((law[i] * kernel[i][n] for i in range(n)), Fraction(0)))
    total = sum(law)
    return [weight / total for weight in law]
