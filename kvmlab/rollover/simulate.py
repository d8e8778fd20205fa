"""Find the entries that flush, by the allocator's rule alone: chunk by chunk, so that runs of any length need no room.

A generation ends with the turn that needs a number when all are taken. Linux 3.9 and 5.18 agree on which turn that is;
what else they do is counted by `allocators`. The engine says the same, entry by entry, and slower: `measure`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kvmlab.engine.errors import InputError, check_int
from kvmlab.rollover.compiled import AVAILABLE, CompiledFinder
from kvmlab.rollover.schedules import Ids, Schedule
from kvmlab.rollover.theory import MAX_CPUS, MAX_ENTRIES, MAX_GUESTS, NEVER, Gap, usable

Turns = NDArray[np.int64]
"""Numbers of turns, from 0."""
POLICIES = ("3.9", "5.18")
"""The allocators, by the release of Linux."""
_BLOCK = 1 << 14
"""Turns that are looked at together: few enough to stay in a CPU's cache, where arrays of them are made again."""


class Finder(Protocol):
    """Finds flushes in turns that are given to it chunk by chunk."""

    def feed(self, ids: Ids) -> Turns:
        """Return which of these turns flush, counted from the first turn of the chunk."""


class NumpyFinder:
    """Find flushes with numpy: per generation, the turns at which a guest is met first, and the U + 1st of them.

    Turns are looked at in windows, a little longer than generations have been, so that mostly one is enough. The turns
    of a generation begin P - 1 turns before it: those guests run on the other CPUs.

    Args:
        guests: number of guests.
        numbers: VMIDs for guests.
        cpus: number of CPUs, P.
    """

    def __init__(self, guests: int, numbers: int, cpus: int = 1) -> None:
        """Start as after boot, with all numbers free."""
        self.guests, self.numbers, self.before = guests, numbers, cpus - 1
        self.of = np.zeros(guests, np.int64)  # the generation of each number that was given before the block
        self.generation, self.left = 1, numbers
        self.tail = np.zeros(0, np.intp)
        self.window = 3 * numbers
        self.place = np.empty(guests, np.int32)  # in the window
        self.rising = np.arange(_BLOCK + self.before, dtype=np.int32)
        self.falling = self.rising[::-1].copy()

    def feed(self, ids: Ids) -> Turns:
        """Return which of these turns flush, counted from the first turn of the chunk."""
        if self.guests <= self.numbers:
            return np.zeros(0, np.int64)
        blocks = range(0, len(ids), _BLOCK)
        return np.array([at + turn for at in blocks for turn in self._block(ids[at : at + _BLOCK])], np.int64)

    def _block(self, ids: Ids) -> list[int]:
        """Return which of these few turns flush."""
        lead, before, place, window = len(self.tail), self.before, self.place, self.window
        turns = np.concatenate([self.tail, ids], dtype=np.intp)
        backwards, end = turns[::-1].copy(), len(turns)
        up, down = self.rising[:0], self.falling[:0]
        found: list[int] = []
        start, left, longest = lead, self.left, 0
        while True:
            stop = start + window
            if stop > end:
                stop = end
            if stop - start != len(up):
                up, down = self.rising[: stop - start], self.falling[start - stop + len(self.falling) :]
            seen = turns[start:stop]
            place[backwards[end - stop : end - start]] = down  # of equal ones, the last stored stays
            first = place[seen] == up
            if not found:
                first &= self.of[seen] != self.generation
            new = first.nonzero()[0]
            if len(new) > left:
                gap = new.item(left)
                if found and gap > longest:
                    longest = gap
                start += gap
                found.append(start - lead)
                start -= before
                left = self.numbers
            elif stop < end:
                window += window // 4 + 1
            else:
                break
        self.generation += len(found)
        self.of[turns[start:]] = self.generation
        self.left, self.tail = left - len(new), turns[end - min(end, before) :].copy()
        self.window = longest + longest // 16 + 1 if longest else window
        return found


@dataclass(frozen=True)
class Run:
    """What a run of guest entries came to.

    Args:
        entries: guest entries as scheduled; those that a flush forces come on top.
        rollovers: full flushes because numbers ran out.
        since: the entry from which gaps are counted: the first one, or with several CPUs the first rollover, because
            after boot no other CPU is in a guest.
        last: the entry that made the last rollover; `since` if none.
        squares: sum of the squared gaps between them.
        boot: whether the very first entry flushed too, as it does after boot in Linux 3.9.
        forced: entries by guests that a flush took out of other CPUs.
    """

    entries: int
    rollovers: int
    since: int
    last: int
    squares: int
    boot: bool = False
    forced: int = 0

    @property
    def flushes(self) -> int:
        """Full flushes, with the one at boot if there was one."""
        return self.rollovers + self.boot

    @property
    def gaps(self) -> int:
        """How many gaps between full flushes were seen from beginning to end."""
        return self.rollovers - 1 if self.since else self.rollovers

    @property
    def rate(self) -> float:
        """Rollovers per guest entry while gaps were counted: an unfinished gap does not count."""
        return self.gaps / (self.last - self.since) if self.gaps > 0 else 0.0

    @property
    def gap(self) -> Gap:
        """Mean and variance of the gaps that were seen; an infinite mean if there was none."""
        if self.gaps <= 0:
            return NEVER
        mean = (self.last - self.since) / self.gaps
        return Gap(mean, self.squares / self.gaps - mean * mean)


def positions(
    chunks: Iterable[Ids], guests: int, *, vmid_bits: int = 8, cpus: int = 1, fast: bool | None = None
) -> Iterator[Turns]:
    """Yield the turns that make a rollover, for each chunk those in it, counted from the first turn of all.

    The flush of the very first entry after boot is not one of them.

    Args:
        chunks: whose turn it is, as `Schedule.turns` gives it; with several CPUs turn t is on CPU t modulo P.
        guests: number of guests, 1 to 2**24.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs P, fewer than there are VMIDs.
        fast: use the compiled loop; None: if numba is installed.

    Raises:
        InputError: an argument is out of range, or the compiled loop is wanted and numba is missing.
    """
    find = finder(guests, vmid_bits, cpus, fast)
    done = 0
    for ids in chunks:
        yield find.feed(ids) + done
        done += len(ids)


def finder(guests: int, vmid_bits: int, cpus: int, fast: bool | None = None) -> Finder:
    """Return what finds flushes; see `positions` for the arguments."""
    numbers = usable(vmid_bits)
    check_int("guests", guests, 1, MAX_GUESTS)
    check_int("cpus", cpus, 1, min(MAX_CPUS, numbers - 1))
    if fast and not AVAILABLE:
        raise InputError("fast is True, but numba is not installed: pip install 'kvmlab[fast]'")
    kind = CompiledFinder if AVAILABLE and fast is not False else NumpyFinder
    return kind(guests, numbers, min(cpus, guests))


def simulate(
    schedule: Schedule,
    guests: int,
    entries: int,
    *,
    vmid_bits: int = 8,
    cpus: int = 1,
    seed: int = 1,
    policy: str = "3.9",
    cold_boot: bool = False,
    fast: bool | None = None,
) -> Run:
    """Let guests enter one after the other, and count full flushes.

    Where guests are no more than VMIDs there is nothing to look for, and nothing is drawn.

    Args:
        schedule: who enters next.
        guests: number of guests, each with one vCPU, 1 to 2**24.
        entries: guest entries, 0 or more; the last turn is finished.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs, fewer than there are VMIDs.
        seed: of the random numbers, 0 or more.
        policy: "3.9" or "5.18": whose allocator. Only Linux 3.9 flushes at the very first entry after boot, and
            makes the guests on the other CPUs enter again.
        cold_boot: count the flush of the very first entry after boot, if there is one.
        fast: use the compiled loop; None: if numba is installed.

    Raises:
        InputError: an argument is out of range.

    Source: update_vttbr, force_vm_exit, arch/arm/kvm/arm.c, Linux 3.9; arch/arm64/kvm/vmid.c, Linux 5.18.
    """
    check_int("entries", entries, 0, MAX_ENTRIES)
    if policy not in POLICIES:
        raise InputError(f"policy is {policy!r}; allowed: {', '.join(POLICIES)}")
    source = schedule.turns(guests, seed, cpus)
    find = finder(guests, vmid_bits, cpus, fast)
    turns, length = -(-entries // schedule.length), schedule.length
    boot = cold_boot and policy == "3.9" and entries > 0
    if guests <= usable(vmid_bits):
        return Run(turns * length, 0, 0, 0, 0, boot)
    used = min(cpus, guests)
    done = rollovers = since = last = squares = 0
    for ids in source:
        if done >= turns:
            break
        part = ids[: turns - done]
        flushes = (find.feed(part) + done) * length
        if len(flushes):
            if used > 1 and not rollovers:
                since = last = int(flushes[0])
            gaps = np.diff(flushes, prepend=last)
            rollovers, last, squares = rollovers + len(flushes), int(flushes[-1]), squares + int(gaps @ gaps)
        done += len(part)
    forced = rollovers * (used - 1) if policy == "3.9" else 0
    return Run(turns * length, rollovers, since, last, squares, boot, forced)
