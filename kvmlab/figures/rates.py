"""Curves of the flush rate against the number of guests: from the law, and from counting; see `rate_chart`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from tqdm.auto import tqdm

from kvmlab.engine.errors import InputError, check_int
from kvmlab.rollover.laws import Law, law
from kvmlab.rollover.schedules import schedule
from kvmlab.rollover.simulate import Run, simulate
from kvmlab.rollover.survey import PER
from kvmlab.rollover.theory import MANY, Gap, usable

ORDERS = ("round-robin", "uniform", "zipf", "runs")
"""The schedules that are drawn if nothing else is said."""
LOOKS = {"round-robin": ("rr", "s"), "uniform": ("uni", "o"), "zipf": ("zipf", "^"), "runs": ("host", "D")}
"""Colour token of each schedule, and matplotlib's name for the shape of its marks."""
MAX_SEED = 1 << 61
_ZIPF_LIMIT = 1024
"""With more guests the exact law of Zipf's takes longer than one wants to wait for a figure."""

Points = tuple[tuple[int, float], ...]
Band = tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class Curve:
    """Hold one order in which guests run; every point is (running guests, full flushes per 1,000 entries).

    Args:
        name: what the order is called in the figure.
        short: the same in fewer words.
        token: colour token of the line.
        marker: matplotlib's name for the shape of the marks, the curve's second sign.
        exact: the law; without a law, empty.
        measured: what was counted.
        end: what the end of the line says.
        band: guests, lowest and highest rate between which 95 % of counted rates lie.
        approximate: the law is one.
    """

    name: str
    short: str
    token: str
    marker: str
    exact: Points
    measured: Points
    end: str
    band: Band = ()
    approximate: bool = False

    @property
    def last(self) -> float:
        """The rate where the curve ends."""
        return (self.exact or self.measured)[-1][1]


def curves(
    orders: Sequence[str],
    guests: Sequence[int],
    knots: Sequence[int],
    marks: Sequence[int],
    *,
    vmid_bits: int,
    entries: int,
    seed: int,
    progress: bool = False,
) -> tuple[Curve, ...]:
    """Return a curve for each order, exact and counted.

    Args:
        orders: names of schedules, as `schedules.schedule` takes them; 1 to 4, each once.
        guests: where the law is wanted.
        knots: some of them beyond the cliff, the first and the last too, for a law that takes long to compute, Zipf's:
            between two of them its line follows the approximation, drawn through the exact values of both.
        marks: where flushes are counted; a count is left out where a run sees too few of them.
        vmid_bits: width of a VMID.
        entries: guest entries behind each count.
        seed: of the random orders; each number of guests draws its own.
        progress: show a progress bar.

    Raises:
        InputError: an argument is out of range.
    """
    if isinstance(orders, str) or not 1 <= len(orders) <= len(LOOKS) or len(set(orders)) < len(orders):
        raise InputError(f"orders is {orders!r}; allowed: 1 to {len(LOOKS)} names of schedules, each once")
    check_int("seed", seed, 0, MAX_SEED)
    found = []
    with tqdm(total=len(orders), desc="orders", leave=False, disable=not progress) as bar:
        for name, look in _looks(orders).items():
            found.append(_curve(name, look, guests, knots, marks, vmid_bits, entries, seed))
            bar.update()
    return tuple(found)


def _looks(orders: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Give each order its own colour and mark, or one that is free."""
    own = {name: LOOKS[kind] for name in orders if (kind := schedule(name).kind) in LOOKS}
    looks: dict[str, tuple[str, str]] = {}
    for name in orders:
        free = [look for look in LOOKS.values() if look not in looks.values()]
        spare = [look for look in free if look not in own.values()] or free
        looks[name] = own[name] if own.get(name) in free else spare[0]
    return looks


def _curve(
    name: str,
    look: tuple[str, str],
    guests: Sequence[int],
    knots: Sequence[int],
    marks: Sequence[int],
    bits: int,
    entries: int,
    seed: int,
) -> Curve:
    order, most = schedule(name), max(guests)
    slow = order.kind == "zipf" and most <= _ZIPF_LIMIT
    where = [*(n for n in guests if n <= usable(bits)), *knots] if slow else guests
    laws = {n: _law(name, n, bits, most <= _ZIPF_LIMIT) for n in sorted({*where, *marks})}
    exact = {n: PER * float(one.gap.rate) for n, one in laws.items()}
    if slow:
        exact |= _between(name, guests, exact, bits)
    seen = {n: one.gap for n, one in laws.items() if entries >= MANY * one.gap.mean}
    varied = {n: gap.interval(entries) for n, gap in seen.items() if gap.variance > 0}  # an unknown variance is not
    counted = (n for n in marks if n in seen or not laws[n].gap.rate)
    return Curve(
        order.name,
        order.short,
        *look,
        tuple(sorted(exact.items())),
        tuple((n, PER * _run(name, n, entries, bits, seed).rate) for n in counted),
        _end(laws[most].gap, most),
        tuple((n, PER * low, PER * high) for n, (low, high) in varied.items()),
        not laws[most].exact,
    )


def _between(name: str, guests: Sequence[int], exact: dict[int, float], bits: int) -> dict[int, float]:
    """Return rates between those that are known: the approximate law, times what it is off by at the known ones."""
    known = [n for n, rate in exact.items() if rate]
    about = {n: PER * float(_law(name, n, bits, False).gap.rate) for n in {*guests, *known} if n >= known[0]}
    ratio = [exact[n] / about[n] for n in known]
    return {n: rate * float(np.interp(n, known, ratio)) for n, rate in about.items() if n not in exact}


def _end(gap: Gap, guests: int) -> str:
    """Return what the last value of a curve means."""
    if not gap.rate:
        return "never"
    return f"{guests} guests: one in {gap.mean:.0f}" if gap.variance else f"one entry in {gap.mean:.0f}, always"


@lru_cache(maxsize=8192)
def _law(name: str, guests: int, bits: int, exact: bool) -> Law:
    found = law(schedule(name), guests, bits, approximate=not exact)
    if found is None:
        raise InputError(f"schedule is {name!r}; no law is known for it")
    return found


@lru_cache(maxsize=1024)
def _run(name: str, guests: int, entries: int, bits: int, seed: int) -> Run:
    return simulate(schedule(name), guests, entries, vmid_bits=bits, seed=seed + guests)


def reach(found: Sequence[Curve]) -> str:
    """Return in words how near 95 % of all counts are to their law; nothing where that is not known.

    Args:
        found: the curves.
    """
    most = max((high - low for curve in found for _, low, high in curve.band), default=0) / 2
    return f"; 95\u00a0% of such counts lie within {most:.2g} of the law" if most else ""
