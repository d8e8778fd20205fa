"""Measure the rollover laboratory: ``python -m benchmarks.rollover``, and with ``--long`` a run of 10^9 entries.

Whoever is compared takes turns within each repeat, and all must find the same flushes. Ratios are medians over the
repeats; compare them, not seconds. C needs gcc, the peers need SimPy and Mesa; what is missing is said and left out.
"""

import ctypes
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.peers import PEERS, Diary, Host
from kvmlab.rollover import theory
from kvmlab.rollover.compiled import AVAILABLE
from kvmlab.rollover.schedules import CHUNK, schedule
from kvmlab.rollover.simulate import CompiledFinder, NumpyFinder
from kvmlab.rollover.sweep import Plan, sweep

HERE = Path(__file__).resolve().parent
NUMBERS = theory.usable(8)
MOST = 1024
Finding = Callable[[np.ndarray, int], np.ndarray]
# What a process of its own is asked: for the time to load numba and compile, and for its memory after runs.
COMPILE = """
import time
from kvmlab.rollover.schedules import schedule
from kvmlab.rollover.simulate import simulate
start = time.perf_counter()
for guests in (256, 257):  # ids of one byte, and of two
    simulate(schedule("uniform"), guests, 1, fast=True)
print(time.perf_counter() - start)
"""
LONG = """
import sys, time
from kvmlab.rollover.schedules import schedule
from kvmlab.rollover.simulate import simulate
fast, entries = sys.argv[1] == "compiled", int(sys.argv[2])
def peak():  # of this program alone: what getrusage says is never below the peak of the process that started it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
simulate(schedule("uniform"), 300, 1_000_000, fast=fast)
before, start = peak(), time.perf_counter()
simulate(schedule("uniform"), 300, entries, fast=fast)
print(time.perf_counter() - start, before, peak())
"""


class Row(NamedTuple):
    """One line of the table; `met` is None where there is no goal."""

    what: str
    value: str
    goal: str = ""
    met: bool | None = None


def interleaved(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each work in each repeat; the first round, which warms up, does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if repeat:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(slow: list[float], quick: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, quick, strict=True))


def at_least(what: str, value: float, goal: float | None = None) -> Row:
    shown = f"{value:.3f}x" if value < 10 else f"{value:.0f}x"
    return Row(what, shown) if goal is None else Row(what, shown, f"at least {goal:g}x", value >= goal)


def under(what: str, seconds: float, goal: float) -> Row:
    if goal < 1:
        return Row(what, f"{seconds * 1e3:.1f} ms", f"under {goal * 1e3:g} ms", seconds < goal)
    return Row(what, f"{seconds:.2f} s", f"under {goal:g} s", seconds < goal)


def in_c() -> Finding | None:
    """Compile the loop and return it as a function; None without gcc."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "loop.so")
        flags = ["-O3", "-march=native", "-shared", "-fPIC"]
        subprocess.run([gcc, *flags, "-o", library, HERE / "rollover_loop.c"], check=True)
        loop = ctypes.CDLL(str(library)).find
    loop.restype = ctypes.c_size_t
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    loop.argtypes = [pointer, size, pointer, size, pointer]

    def find(ids: np.ndarray, guests: int) -> np.ndarray:
        assert ids.dtype == np.uint16
        of, room = np.zeros(guests, np.int64), np.empty(len(ids) // NUMBERS + 1, np.int64)
        found = loop(ids.ctypes.data, len(ids), of.ctypes.data, NUMBERS, room.ctypes.data)
        return room[:found]

    return find


def by(kind: type[NumpyFinder] | type[CompiledFinder], ids: np.ndarray, guests: int) -> np.ndarray:
    """Find flushes in chunks, as `simulate` does; where the guests are too few it does not even ask."""
    find = kind(guests, NUMBERS)
    return np.concatenate([find.feed(ids[at : at + CHUNK]) + at for at in range(0, len(ids), CHUNK)])


def finders() -> dict[str, Finding]:
    """Return who can find flushes on this machine."""
    found: dict[str, Finding] = {"numpy": partial(by, NumpyFinder)}
    if AVAILABLE:
        found["compiled"] = partial(by, CompiledFinder)
    if loop := in_c():
        found["C"] = loop
    return found


def loops(entries: int = 1 << 23, repeats: int = 9) -> Iterator[Row]:
    """Compare our finders with C on the same ids of the same width."""
    found = finders()
    goals = {("compiled", 300): 0.8, ("numpy", 300): 0.06, ("numpy", 1024): 0.03}
    for missing in {"compiled": "numba", "C": "gcc"}.items():
        if missing[0] not in found:
            yield Row(f"{missing[0]}: left out", f"{missing[1]} is missing")
    for guests in (64, 300, 1024):
        ids = np.random.default_rng(guests).integers(guests, size=entries, dtype=np.uint16)
        agree({name: find(ids, guests) for name, find in found.items()}, some=guests > NUMBERS)
        times = interleaved({name: partial(find, ids, guests) for name, find in found.items()}, repeats)
        for name in ("compiled", "numpy"):
            if {name, "C"} <= {*found} and (name, guests) != ("numpy", 64):  # numpy has nothing to do there
                what = f"{name} against gcc -O3, {guests} guests"
                yield at_least(what, ratio(times["C"], times[name]), goals.get((name, guests)))
        rates = (f"{name} {entries / statistics.median(times[name]) / 1e6:.0f}" for name in sorted(found))
        if guests > NUMBERS:
            yield Row(f"... millions of entries per second, {guests} guests", ", ".join(rates))


def agree(found: dict[str, np.ndarray], *, some: bool = True) -> None:
    """Make sure that all found the same flushes."""
    first, *others = found.values()
    assert (len(first) > 0) == some
    assert all(np.array_equal(first, other) for other in others), f"{', '.join(found)} do not find the same flushes"


def peers(entries: int = 100_000, repeats: int = 5) -> Iterator[Row]:
    """Compare the numpy finder with general simulators, on the order in which their guests enter."""
    goals = {"simpy": ("SimPy, guests as processes", 300), "mesa": ("Mesa, shuffle_do", 20)}
    for name, (words, goal) in goals.items():
        if name not in PEERS:
            yield Row(f"{words}: left out", f"{name} is missing")
            continue
        for guests in (300, MOST):
            diary = Diary(NUMBERS)
            PEERS[name](diary, guests, entries)
            ids = np.array(diary.ids, np.uint16)
            again = Host(NUMBERS)
            PEERS[name](again, guests, entries)
            agree(
                {name: np.array(diary.flushes), "again": np.array(again.flushes), "numpy": by(NumpyFinder, ids, guests)}
            )
            times = interleaved(
                {
                    "peer": lambda run=PEERS[name], guests=guests: run(Host(NUMBERS), guests, entries),
                    "numpy": lambda ids=ids, guests=guests: by(NumpyFinder, ids, guests),
                },
                repeats,
            )
            yield at_least(f"numpy against {words}, {guests} guests", ratio(times["peer"], times["numpy"]), goal)


def sweeps(most: int = MOST, entries: int = 1_000_000, repeats: int = 5) -> Iterator[Row]:
    """Sweep over numbers of guests, random numbers and all."""
    kinds = {"compiled": (True, 2.0), "numpy": (False, 12.0)}
    if not AVAILABLE:
        del kinds["compiled"]
    rows: dict[str, list[object]] = {}

    def run(name: str, fast: bool) -> None:
        rows[name] = list(sweep(Plan(entries=entries, fast=fast), range(1, most + 1), progress=False))

    times = interleaved({name: partial(run, name, fast) for name, (fast, _) in kinds.items()}, repeats)
    assert all(found == rows["numpy"] for found in rows.values()), "the sweeps differ"
    for name, (_, goal) in kinds.items():
        yield under(f"sweep of 1 to {most} guests x {entries:,} entries, {name}", statistics.median(times[name]), goal)
    draw = schedule("uniform").turns(300, 1)
    many = -(-entries // CHUNK)
    drawn = interleaved({"draw": lambda: [next(draw) for _ in range(many)]}, repeats)["draw"]
    share = statistics.median(drawn) * max(0, most - NUMBERS) / many / CHUNK * entries
    yield Row("... of it, drawing random numbers", f"about {share:.2f} s")
    if AVAILABLE:
        seconds = statistics.median(float(asked(COMPILE)) for _ in range(repeats))
        yield Row("... once per process, loading numba and compiling", f"{seconds:.2f} s")


def curve(most: int = 4096, repeats: int = 9) -> Iterator[Row]:
    """Compute the exact law for every number of guests."""
    times = interleaved({"law": lambda: [theory.uniform(guests) for guests in range(1, most + 1)]}, repeats)
    yield under(f"exact curve, 1 to {most} guests, 8 bits, uniform", statistics.median(times["law"]), 0.05)


def long(entries: int = 10**9) -> Iterator[Row]:
    """Run so many entries that an array of them would be large; needs Linux, which says how much memory was used."""
    for name in ["compiled"] * AVAILABLE + ["numpy"]:
        seconds, before, after = map(float, asked(LONG, name, str(entries)).split())
        rate = f"{entries / seconds / 1e6:.0f} million entries per second, random numbers and all"
        yield Row(f"{entries:,} entries, 300 guests, {name}", rate)
        more = (after - before) / 1e6
        yield Row(
            "... peak memory, and what it is above that of 1,000,000 entries",
            f"{after / 1e6:.0f} MB, {more:.1f} MB",
            "at most 8 MB more",
            more <= 8,
        )


def asked(script: str, *arguments: str) -> str:
    """Return what a Python of its own prints."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent).stdout


def show(rows: Iterable[Row]) -> None:
    """Print a table, each row when it is there."""
    print("| measure | value | goal | met |\n|---|---|---|---|")
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "no"
        print(f"| {row.what} | {row.value} | {row.goal} | {met} |", flush=True)


def main() -> None:
    parts = [loops, peers, sweeps, curve, *[long] * ("--long" in sys.argv[1:])]
    show(row for part in parts for row in part())


if __name__ == "__main__":
    main()
