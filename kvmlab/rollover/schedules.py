"""Say who enters next: endless rows of guests in chunks, the same ones for the same seed.

A *turn* is a guest that is put on a CPU; it may enter several times in a row there. With several CPUs the turns go to
them one after the other, and a guest that runs on one CPU is not put on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvmlab.engine.errors import InputError, check_int, did_you_mean
from kvmlab.rollover.theory import BURST, MAX_ENTRIES, MAX_GUESTS
from kvmlab.rollover.zipf import MAX_S, shares

Ids = NDArray[np.integer[Any]]
"""Guests, 0 to N - 1, in the order in which they take turns: whole numbers of any width."""
Draw = Callable[[int, int], Iterator[Ids]]
"""From the number of guests and a seed to endless chunks."""

CHUNK = 1 << 16
"""Turns drawn at once."""
STICKY = 0.9
"""How likely a sticky guest is to stay, if nothing else is said."""


def _in_turn(guests: int, seed: int) -> Iterator[Ids]:
    rounds = -(-CHUNK // guests)
    row = np.roll(np.arange(guests, dtype=np.min_scalar_type(guests)), -(seed % guests))
    chunk = np.tile(row, rounds)
    while True:
        yield chunk


def _uniform(guests: int, seed: int) -> Iterator[Ids]:
    draw = np.random.default_rng(seed)
    small = np.min_scalar_type(guests - 1)
    while True:
        yield draw.integers(guests, size=CHUNK, dtype=small)


def _zipf(exponent: float) -> Draw:
    def chunks(guests: int, seed: int) -> Iterator[Ids]:
        draw = np.random.default_rng(seed)
        upto = np.cumsum(shares(guests, exponent))
        while True:
            found = np.searchsorted(upto, draw.random(CHUNK) * upto[-1], side="right")
            yield np.minimum(found, guests - 1)  # a sum may be rounded

    return chunks


def _others(guests: int, seed: int) -> Iterator[Ids]:
    draw = np.random.default_rng(seed)
    last = int(draw.integers(guests))
    while True:
        ahead = draw.integers(1, guests, size=CHUNK) if guests > 1 else np.zeros(CHUNK, int)
        chunk = (last + np.cumsum(ahead)) % guests
        last = int(chunk[-1])
        yield chunk


def _sticky(stay: float) -> Draw:
    def chunks(guests: int, seed: int) -> Iterator[Ids]:
        draw = np.random.default_rng(seed)
        last = int(draw.integers(guests))
        while True:
            drawn = np.concatenate([[last], draw.integers(guests, size=CHUNK)])
            moved = np.concatenate([[True], draw.random(CHUNK) >= stay])
            chunk = drawn[np.maximum.accumulate(np.where(moved, np.arange(CHUNK + 1), 0))][1:]
            last = int(chunk[-1])
            yield chunk

    return chunks


@dataclass(frozen=True)
class Schedule:
    """One way in which guests take turns; make one with `schedule`.

    Args:
        kind: the word that chooses it.
        value: its parameter; None if it has none.
        name: in words.
        short: in fewer words.
        draw: endless chunks of guests, from their number and a seed.
        length: entries in a turn.
        most_cpus: how many CPUs it can be used on.
    """

    kind: str
    value: float | None
    name: str
    short: str
    draw: Draw
    length: int = 1
    most_cpus: int = MAX_GUESTS

    def turns(self, guests: int, seed: int, cpus: int = 1) -> Iterator[Ids]:
        """Return whose turn it is: chunks of guests, without end. Turn t is on CPU t modulo the number of CPUs used.

        Args:
            guests: number of guests, 1 or more.
            seed: of the random numbers, 0 or more; in turn, it says who begins: seed modulo N.
            cpus: number of CPUs, 1 or more; no more of them are used than there are guests.

        Raises:
            InputError: an argument is out of range.
        """
        check_int("guests", guests, 1, MAX_GUESTS)
        used = min(check_int("cpus", cpus, 1, self.most_cpus), guests)
        chunks = self.draw(guests, check_int("seed", seed, 0, 1 << 62))
        return chunks if used == 1 else _placed(chunks, used)

    def entries(self, guests: int, seed: int, cpus: int = 1, *, first_cpu: int = 0) -> Iterator[tuple[int, int]]:
        """Return who enters where, one by one: pairs of guest and CPU, each turn as often as it has entries.

        Args:
            guests: number of guests, 1 or more.
            seed: of the random numbers, 0 or more.
            cpus: number of CPUs, 1 or more.
            first_cpu: who is next, 0 or more, counted on from the last CPU.

        Raises:
            InputError: an argument is out of range.
        """
        chunks, used = self.turns(guests, seed, cpus), min(cpus, guests)
        owners = (guest for chunk in chunks for guest in chunk.tolist())
        return (
            (guest, (first_cpu + turn) % used) for turn, guest in enumerate(owners) for _ in range(self.length)
        )  # fmt: skip


def _placed(chunks: Iterator[Ids], cpus: int) -> Iterator[Ids]:
    """Put turns on CPUs, one after the other; who runs on another CPU is passed over."""
    others: list[int] = []  # who runs on the CPUs that are not next, first the one that has run longest
    for chunk in chunks:
        kept: list[int] = []
        for guest in chunk.tolist():
            if guest not in others:
                kept.append(guest)
                others = [*others, guest][1 - cpus :]
        yield np.array(kept, np.intp)


def _runs(value: float) -> Schedule:
    k = _length("runs", value)
    return Schedule("runs", k, f"in bursts of {k}", f"in bursts of {k}", _uniform, k)


def _switches(value: float) -> Schedule:
    k = _length("switches", value)
    name = f"{k} in a row, then always another guest"
    return Schedule("switches", k, name, f"{k}, then another", _others, k)


def _sticks(value: float) -> Schedule:
    if not 0 <= value < 1:
        raise InputError(f"schedule is 'sticky:{value:g}'; allowed: sticky:0 to below 1, the chance to stay")
    name = f"sticky: the same again in {value:.4g} of all entries"
    return Schedule("sticky", value, name, f"sticky {value:g}", _sticky(value), most_cpus=1)


def _zipfs(value: float) -> Schedule:
    if not 0 <= value <= MAX_S:
        raise InputError(f"schedule is 'zipf:{value:g}'; allowed: zipf:0 to zipf:{MAX_S:g}, the exponent")
    plain = value == 1
    name = "few busy, many idle (Zipf)" if plain else f"few busy, many idle (Zipf, s = {value:g})"
    return Schedule("zipf", value, name, "few busy (Zipf)" if plain else f"Zipf {value:g}", _zipf(value))


def _length(kind: str, value: float) -> int:
    if not 1 <= value <= MAX_ENTRIES >> 32 or value != int(value):
        raise InputError(f"schedule is '{kind}:{value:g}'; allowed: {kind}:1 and more, entries in a row")
    return int(value)


def _turns(value: float) -> Schedule:
    k = _length("round-robin", value)
    if k == 1:
        return Schedule("round-robin", None, "in turn (round robin)", "in turn", _in_turn)
    return Schedule("round-robin", k, f"in turn, {k} entries each", f"in turn, {k} each", _in_turn, k)


_PLAIN = {
    "uniform": Schedule("uniform", None, "in random order", "in random order", _uniform),
}
_WITH_VALUE: dict[str, tuple[Callable[[float], Schedule], float]] = {
    "round-robin": (_turns, 1),
    "runs": (_runs, BURST),
    "switches": (_switches, BURST),
    "sticky": (_sticks, STICKY),
    "zipf": (_zipfs, 1),
}
KINDS = ("round-robin", "uniform", "runs", "switches", "sticky", "zipf")
"""All schedules, by the word that chooses them."""


def schedule(name: str) -> Schedule:
    """Return a schedule by its name.

    Args:
        name: ``round-robin`` (or ``round-robin:8``, with 8 entries in a turn), ``uniform``, ``runs:8`` (turns of 8
            entries, whose turn is drawn from all guests), ``switches:8`` (the same, drawn from all other guests),
            ``sticky:0.9`` (each entry is by the same guest again with probability 0.9, else drawn from all) or
            ``zipf:1`` (guest i drawn in proportion to i**-1). What stands after the colon may be left out.

    Raises:
        InputError: there is no such schedule, or its value is not allowed.
    """
    kind, colon, value = str(name).partition(":")
    if kind not in KINDS:
        raise InputError(f"schedule is {name!r}; allowed: {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    if kind in _PLAIN:
        if colon:
            raise InputError(f"schedule is {name!r}; {kind} takes no value")
        return _PLAIN[kind]
    make, usual = _WITH_VALUE[kind]
    try:
        number = float(value) if colon else usual
    except ValueError:
        raise InputError(f"schedule is {name!r}; what follows the colon must be a number") from None
    return make(number)


SCHEDULES = {key: schedule(key) for key in ("round-robin", "uniform", "runs", "zipf")}
"""Those that panels offer. In turn, the seed says who begins."""
