"""Count what a full TLB flush makes the hardware do: more walks, and for each of them reads of two-stage tables."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from kvmlab.engine.config import Config
from kvmlab.engine.errors import InputError, check_int
from kvmlab.engine.events import Stream
from kvmlab.engine.hardware.tlb import PAGE_BITS, VMID_BITS, Tlb
from kvmlab.engine.hardware.walker import LEVEL_SHIFT
from kvmlab.rollover.schedules import SCHEDULES

MAX_LEVELS = 4
MAX_ACCESSES = 2_000_000
ORDERS = ("random", "in order")
STAGE1 = {"off": 0, "short descriptors": 2, "long descriptors (LPAE)": 3}
"""Levels of a guest's own tables on ARMv7, by their format, for pages of 4 KiB."""
STAGE2_LEVELS = len(LEVEL_SHIFT)
"""Levels of the stage-2 tables of Linux 3.9 on ARM: those that the engine walks."""


@dataclass(frozen=True)
class Read:
    """Hold one read of a two-stage walk.

    A figure of it has a column for each address that needs stage 2, and a row for each level read for that address;
    the guest's own descriptor is the last row of its column.

    Args:
        order: 1 for the first read of the walk.
        stage: whose table is read: 1 is the guest's, 2 the hypervisor's.
        level: level of that table, counted from the first one walked, which is 1.
        column: level of the stage-1 table whose address is sought; one more than there are for the output address.
        row: the read's place within its column, from 1.
        kind: the same in words.
    """

    order: int
    stage: Literal[1, 2]
    level: int
    column: int
    row: int
    kind: str


def walk_reads(stage1_levels: int, stage2_levels: int = STAGE2_LEVELS) -> tuple[Read, ...]:
    """List the reads of a walk through two stages of tables, in their order, when nothing of it is cached.

    The guest knows its tables by their IPA. So before each stage-1 descriptor can be read, stage 2 has to translate the
    address where it lies; and in the end the address that stage 1 gave. The stage-2 tables lie at physical addresses.

    Args:
        stage1_levels: levels of the guest's tables, 0 (stage 1 is off) to 4; see `STAGE1`.
        stage2_levels: levels of the hypervisor's tables, 0 (no stage 2) to 4.

    Returns:
        With n and m levels, (n + 1) * (m + 1) - 1 reads.

    Raises:
        InputError: if an argument is out of range.

    Source: ARM Architecture Reference Manual, ARMv7-A and ARMv7-R (DDI 0406C), chapter "Virtual Memory System
        Architecture", section "Translation tables"; the count as in Bhargava and others, "Accelerating two-dimensional
        page walks for virtualized systems", ASPLOS 2008.
    Differs: every table ends in pages of 4 KiB, and nothing is left over from earlier walks. The Cortex-A15 also
        caches parts of walks (DDI 0438, 5.6), so this is what a walk costs at most. The levels have ARMv7's numbers;
        ARMv8 calls the first of four levels 0.
    """
    check_int("stage1_levels", stage1_levels, 0, MAX_LEVELS)
    check_int("stage2_levels", stage2_levels, 0, MAX_LEVELS)
    return tuple(Read(order, *read) for order, read in enumerate(_reads(stage1_levels, stage2_levels), 1))


def _reads(n: int, m: int) -> Iterator[tuple[Literal[1, 2], int, int, int, str]]:
    for column in range(1, n + 2):
        sought = f"the table of stage 1 level {column}" if column <= n else "the output address"
        for level in range(1, m + 1):
            yield 2, level, column, level, f"stage 2 level {level} for {sought}"
        if column <= n:
            yield 1, column, column, m + 1, f"stage 1 level {column}"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Say what the guests on one CPU touch, and when all of its TLB is flushed.

    A round is as many turns as there are guests.

    Args:
        guests: their number, 1 to 65,535.
        pages: pages in each guest's working set, 1 or more; which ones is drawn at random.
        accesses: accesses in a turn, 1 or more.
        order: "random", each page equally likely; or "in order" of their numbers, over and over.
        schedule: whose turn it is, a word of `SCHEDULES`.
        spread: working sets are drawn from the pages 0 to `spread` - 1 of each guest; `pages` or more, to 2**28.
        rounds_before: rounds before the flush, 0 or more.
        rounds_after: rounds after the flush, 0 or more.
        seed: of the random numbers, 0 or more.
        sets: sets of the TLB, 1 to 1024.
        ways: entries in a set, 1 to 16.

    Raises:
        InputError: if an argument is out of range, or all together are more than `MAX_ACCESSES` accesses.

    Source: 128 sets of 4 ways is the second-level TLB of the Cortex-A15. All else is the user's to choose.
    """

    guests: int
    pages: int
    accesses: int = 64
    order: str = "random"
    schedule: str = "round-robin"
    spread: int = 1 << 18
    rounds_before: int = 2
    rounds_after: int = 2
    seed: int = 0
    sets: int = Config.tlb_sets
    ways: int = Config.tlb_ways

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        check_int("guests", self.guests, 1, (1 << VMID_BITS) - 1)
        check_int("pages", self.pages, 1, 1 << PAGE_BITS)
        check_int("spread", self.spread, self.pages, 1 << PAGE_BITS)
        check_int("accesses", self.accesses, 1, MAX_ACCESSES)
        check_int("rounds_before", self.rounds_before, 0, MAX_ACCESSES)
        check_int("rounds_after", self.rounds_after, 0, MAX_ACCESSES)
        check_int("seed", self.seed, 0, 1 << 62)
        Config(tlb_sets=self.sets, tlb_ways=self.ways)
        for name, allowed in (("order", ORDERS), ("schedule", tuple(SCHEDULES))):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}")
        total = self.guests * max(self.pages, self.accesses * (self.rounds_before + self.rounds_after))
        if total > MAX_ACCESSES:
            raise InputError(
                f"guests, pages, accesses and rounds make {total} accesses; allowed: {MAX_ACCESSES} or fewer"
            )

    def turns(self) -> Iterator[tuple[int, list[int]]]:
        """Return turn after turn who runs, and the numbers of the pages it touches; the same for the same seed."""
        draws = [random.Random(f"{self.seed}/{guest}") for guest in range(self.guests)]
        working = [sorted(draw.sample(range(self.spread), self.pages)) for draw in draws]
        place = [0] * self.guests
        number = self.guests * (self.rounds_before + self.rounds_after)
        for guest, _ in islice(SCHEDULES[self.schedule].entries(self.guests, self.seed), number):
            pages = working[guest]
            if self.order == "random":
                yield guest, draws[guest].choices(pages, k=self.accesses)
            else:
                yield guest, [pages[(place[guest] + i) % self.pages] for i in range(self.accesses)]
                place[guest] += self.accesses


class Turn(NamedTuple):
    """Hold one turn after the flush.

    Attributes:
        guest: who ran, from 0.
        accesses: how many it made.
        kept: how many of them missed in the TLB without the flush.
        flushed: how many missed with it.
    """

    guest: int
    accesses: int
    kept: int
    flushed: int


@dataclass(frozen=True)
class Extra:
    """Hold the misses that one full flush added, on one CPU.

    Args:
        workload: what ran.
        alive: entries that the flush dropped.
        turns: what each turn after the flush did.
    """

    workload: Workload
    alive: int
    turns: tuple[Turn, ...]

    @property
    def total(self) -> int:
        """Return the extra misses: 0 to `alive`, since every entry dropped can be missed once at most."""
        return sum(turn.flushed - turn.kept for turn in self.turns)

    @property
    def per_guest(self) -> tuple[int, ...]:
        """Return the extra misses of each guest."""
        extra = [0] * self.workload.guests
        for turn in self.turns:
            extra[turn.guest] += turn.flushed - turn.kept
        return tuple(extra)

    @property
    def capacity(self) -> int:
        """Return the entries of the TLB: the extra misses that one would guess who takes all of them for useful."""
        return self.workload.sets * self.workload.ways

    @property
    def curve(self) -> tuple[tuple[int, float, float], ...]:
        """Return, turn by turn after the flush: its number from 1, misses per access without and with the flush."""
        return tuple(
            (i, turn.kept / turn.accesses, turn.flushed / turn.accesses) for i, turn in enumerate(self.turns, 1)
        )


def extra_misses(workload: Workload) -> Extra:
    """Run the same accesses twice through the engine's TLB, once with a full flush after `rounds_before`.

    An entry that the flush dropped costs a miss only if somebody wants it again, and if it would still have been there
    then: where many guests share a TLB, the others would have driven most entries out anyway.

    Args:
        workload: what runs, and when the flush comes.

    Returns:
        What the flush added up to the end of `rounds_after`.

    Source: the TLB is `kvmlab.engine.hardware.tlb.Tlb`, least recently used out first.
    Differs: one CPU, one address space a guest, no entries of the host, no instruction cache. Every guest has a number
        of its own throughout; after a rollover it would have another one, which with an empty TLB changes nothing.
        One flush is compared with none; where the next comes before all is warm again, each costs less.
        One run is one sample; for a curve, take the mean of several seeds.
    """
    _, kept = _misses(workload, flush=False)
    alive, flushed = _misses(workload, flush=True)
    first = workload.guests * workload.rounds_before
    pairs = zip(kept[first:], flushed[first:], strict=True)
    return Extra(workload, alive, tuple(Turn(guest, workload.accesses, a, b) for (guest, a), (_, b) in pairs))


def _misses(workload: Workload, *, flush: bool) -> tuple[int, list[tuple[int, int]]]:
    """Return the entries flushed, and guest and misses of every turn."""
    tlb = Tlb(Stream(recording=False), "tlb", workload.sets, workload.ways)
    flush_at = workload.guests * workload.rounds_before if flush else -1
    alive, found = 0, []
    for number, (guest, pages) in enumerate(workload.turns()):
        if number == flush_at:
            alive = tlb.flush_all()
        misses = 0
        for page in pages:
            if tlb.lookup(guest + 1, 0, page) is None:
                tlb.fill(guest + 1, 0, page, 0)
                misses += 1
        found.append((guest, misses))
    return alive, found
