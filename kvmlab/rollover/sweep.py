"""Count flushes for many numbers of guests, on one machine or many, and set each beside what theory says."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass, fields, replace

from tqdm.auto import tqdm

from kvmlab.engine.errors import check_int
from kvmlab.rollover.laws import law
from kvmlab.rollover.schedules import schedule
from kvmlab.rollover.simulate import Run, simulate
from kvmlab.rollover.theory import MANY, MAX_ENTRIES, MAX_GUESTS, normal

PER = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Plan:
    """What is run for each number of guests.

    Args:
        schedule: name of a schedule, as `schedules.schedule` takes it.
        entries: guest entries for each number of guests.
        vmid_bits: width of a VMID, 2 to 16 bits.
        cpus: number of CPUs.
        seed: of the random numbers; each number of guests draws its own.
        policy: "3.9" or "5.18".
        cold_boot: count the flush of the very first entry after boot, which Linux 3.9 makes.
        fast: use the compiled loop; None: if numba is installed. It changes nothing but the time.

    Raises:
        InputError: an argument is out of range.
    """

    schedule: str = "uniform"
    entries: int = 1_000_000
    vmid_bits: int = 8
    cpus: int = 1
    seed: int = 1
    policy: str = "3.9"
    cold_boot: bool = False
    fast: bool | None = None

    def __post_init__(self) -> None:
        """Check the values: those that a run of one guest and no entry would not."""
        check_int("entries", self.entries, 0, MAX_ENTRIES)
        check_int("seed", self.seed, 0, 1 << 61)
        self.run(1, 0)

    def run(self, guests: int, entries: int | None = None) -> Run:
        """Count flushes for a number of guests.

        Args:
            guests: number of guests.
            entries: guest entries; those of the plan if not given.
        """
        return simulate(
            schedule(self.schedule), guests, self.entries if entries is None else entries,
            vmid_bits=self.vmid_bits, cpus=self.cpus, seed=self.seed + guests, policy=self.policy,
            cold_boot=self.cold_boot, fast=self.fast,
        )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What was found for one number of guests.

    Attributes:
        guests: number of guests.
        entries: guest entries as scheduled.
        flushes: full flushes, with the one at boot if it is counted.
        forced: entries that came on top, by guests that a flush took out of other CPUs.
        per_1000: flushes per 1,000 entries.
        theory: the mean of that; None where nothing is known.
        low: 95 of 100 runs have as many flushes per 1,000 entries, or more; None where it is not known.
        high: 95 of 100 runs have as many, or fewer.
        z: how far the count is from theory, in standard deviations; None where that is not known, and where all runs
            come to the same count.
        exact: whether theory is exact; None without one.
    """

    guests: int
    entries: int
    flushes: int
    forced: int
    per_1000: float
    theory: float | None = None
    low: float | None = None
    high: float | None = None
    z: float | None = None
    exact: bool | None = None


def row(plan: Plan, guests: int) -> Row:
    """Return what is found for one number of guests.

    Args:
        plan: what to run.
        guests: number of guests, 1 to 2**24.

    Raises:
        InputError: guests is out of range.
    """
    run, order = plan.run(guests), schedule(plan.schedule)
    per = PER / run.entries if run.entries else 0.0
    counted = Row(guests, run.entries, run.flushes, run.forced, PER * run.flushes / max(1, run.entries))
    known = law(order, guests, plan.vmid_bits, plan.cpus)
    if known is None:
        return counted
    gap = known.gap
    # After boot no guest runs on the other CPUs: the first gap is longer by the turns until one does on each.
    running = run.entries - (min(plan.cpus, guests) - 1) * order.length
    if not gap.rate or (gap.mean * MANY <= running and not math.isnan(gap.variance)):
        mean, spread = gap.flushes(max(0, running)) + run.boot, gap.spread(max(0, running))
        reach = normal(LEVEL) * spread
        z = (run.flushes - mean) / spread if spread else None
        low, high = max(0.0, mean - reach) * per, (mean + reach) * per
        return replace(counted, theory=mean * per, low=low, high=high, z=z, exact=known.exact)
    return replace(counted, theory=PER * float(gap.rate) + run.boot * per, exact=known.exact)


def sweep(
    plan: Plan, guests: Iterable[int], *, workers: Executor | None = None, progress: bool = True
) -> Iterator[Row]:
    """Yield a row for each number of guests, as they are finished: in order, but with workers in any order.

    Whoever stops asking loses nothing of what has been yielded.

    Args:
        plan: what to run.
        guests: the numbers of guests, each 1 to 2**24.
        workers: who makes the runs; any executor of `concurrent.futures`, or of a cluster that offers one, such as
            ``dask.distributed.Client().get_executor()``. This process itself if not given.
        progress: show a progress bar.

    Raises:
        InputError: a number of guests is out of range.
    """
    numbers = [check_int("guests", n, 1, MAX_GUESTS) for n in guests]
    bar = tqdm(total=len(numbers), desc="guests", unit="", leave=False, disable=not progress)
    with bar:
        for found in _rows(plan, numbers, workers):
            bar.update()
            yield found


def _rows(plan: Plan, numbers: list[int], workers: Executor | None) -> Iterator[Row]:
    if workers is None:
        yield from (row(plan, n) for n in numbers)
        return
    waiting = [workers.submit(row, plan, n) for n in numbers]
    try:
        yield from (done.result() for done in as_completed(waiting))
    finally:
        for one in waiting:
            one.cancel()


def to_csv(plan: Plan, rows: Iterable[Row]) -> str:
    """Return rows as CSV, fewest guests first; each says what was run, so that files can be put together.

    Args:
        plan: what was run.
        rows: what was found.
    """
    said = {name: value for name, value in asdict(plan).items() if name not in ("entries", "fast")}
    table = io.StringIO()
    writer = csv.DictWriter(table, [*(f.name for f in fields(Row)), *said], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) | said for one in sorted(rows, key=lambda one: one.guests))
    return table.getvalue()
