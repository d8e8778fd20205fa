"""Compare the finders of flushes with the engine, with each other, with plain sets, and with the reference traces."""

import hashlib
import struct
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlab.engine import InputError
from kvmlab.rollover import compiled, measure, simulate, theory
from kvmlab.rollover.schedules import KINDS, SCHEDULES, schedule
from kvmlab.rollover.simulate import positions
from tests.rollover.test_measure import LCG, LCG_ENTRIES, lcg

FAST = [False, *[True] * compiled.AVAILABLE]


def in_chunks(ids: list[int], size: int) -> Iterator[np.ndarray]:
    return (np.array(ids[at : at + size]) for at in range(0, len(ids), size))


def found(ids: list[int], guests: int, size: int = 1000, **how) -> list[int]:
    return [int(at) for part in positions(in_chunks(ids, size), guests, **how) for at in part]


def by_sets(ids: list[int], numbers: int, cpus: int) -> list[int]:
    """The rule as one would tell it: a generation is the set of those who have a number."""
    numbered: set[int] = set()
    flushes = []
    for turn, guest in enumerate(ids):
        if guest not in numbered and len(numbered) == numbers:
            flushes.append(turn)
            numbered = {*ids[max(0, turn - cpus + 1) : turn]}
        numbered.add(guest)
    return flushes


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize("guests", [pytest.param(int(n), marks=[pytest.mark.slow] * (int(n) > 300)) for n in LCG])
def test_the_reference_traces(guests: int, fast: bool) -> None:
    row = LCG[str(guests)]
    flushes = found(list(islice(lcg(guests), LCG_ENTRIES)), guests, 7919, fast=fast)
    assert len(flushes) == row["flushes"]
    assert hashlib.sha256(struct.pack(f"<{len(flushes)}Q", *flushes)).hexdigest() == row["sha256_positions"]


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("bits", "guests"), [(2, 4), (4, 15), (4, 20), (8, 300), pytest.param(8, 600, marks=pytest.mark.slow)]
)
def test_the_engines_allocator_flushes_at_the_same_entries(kind: str, bits: int, guests: int, fast: bool) -> None:
    one, entries = schedule(kind), 1200 << bits // 2
    ids = [guest for guest, _ in islice(one.entries(guests, seed=4), entries)]
    run = measure.run(ids, entries, vmid_bits=bits)
    assert found(ids, guests, 999, vmid_bits=bits, fast=fast) == list(run.flushes[1:])
    assert len(run.flushes) > 1 or guests == 15 or kind in ("runs", "switches", "sticky", "zipf")


@pytest.mark.parametrize("fast", FAST)
@given(
    data=st.data(),
    bits=st.integers(2, 4),
    cpus=st.integers(1, 6),
    more=st.integers(0, 12),
    size=st.integers(1, 40),
)
def test_plain_sets_find_the_same(fast: bool, data: st.DataObject, bits: int, cpus: int, more: int, size: int) -> None:
    numbers = theory.usable(bits)
    cpus = min(cpus, numbers - 1)
    guests = numbers + more
    drawn = data.draw(st.lists(st.integers(0, guests - 1), max_size=200))
    ids: list[int] = []
    for guest in drawn:  # who runs on another CPU is passed over
        if guest not in ids[len(ids) - cpus + 1 :] or cpus == 1:
            ids.append(guest)
    assert found(ids, guests, size, vmid_bits=bits, cpus=cpus, fast=fast) == by_sets(ids, numbers, cpus)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("bits", "guests", "cpus"),
    [
        (8, 300, 1),
        (8, 300, 5),
        (4, 24, 3),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((8, 1000, 1), (9, 513, 1))),
    ],
)
def test_both_loops_and_any_chunk_come_to_the_same(kind: str, bits: int, guests: int, cpus: int) -> None:
    one = schedule(kind)
    if cpus > one.most_cpus:
        with pytest.raises(InputError, match=f"cpus is {cpus}; allowed: 1 to 1"):
            one.turns(guests, 1, cpus)
        return
    runs = [
        simulate.simulate(one, guests, 200_000, vmid_bits=bits, cpus=cpus, seed=3, fast=fast) for fast in (*FAST, None)
    ]
    assert len(set(runs)) == 1
    ids = np.concatenate(list(islice(one.turns(guests, 3, cpus), 4)))[: -(-200_000 // one.length)]
    flushes = by_sets(ids.tolist(), theory.usable(bits), cpus)
    assert runs[0].rollovers == len(flushes)
    if len(flushes) > 2:
        first = 0 if cpus == 1 else flushes[0]
        gaps = np.diff([first, *flushes[cpus > 1 :]]) * one.length
        assert runs[0].gap.mean == pytest.approx(gaps.mean())
        assert runs[0].gap.variance == pytest.approx(gaps.var(), abs=1e-6)


@pytest.mark.parametrize(("bits", "cpus"), [pytest.param(8, 1, marks=pytest.mark.slow), (4, 4), (6, 2)])
@pytest.mark.parametrize("key", ["round-robin", "uniform", "runs"])
def test_counts_lie_in_the_interval_as_often_as_it_says(key: str, bits: int, cpus: int) -> None:
    law = {"round-robin": theory.round_robin, "uniform": theory.uniform, "runs": theory.runs}[key]
    guests, entries = 2 << bits, 400 << bits
    gap = law(guests, bits, cpus)
    low, high = gap.interval(entries, level=0.95)
    runs = [simulate.simulate(SCHEDULES[key], guests, entries, vmid_bits=bits, cpus=cpus, seed=s) for s in range(60)]
    if key == "round-robin":
        assert {run.rate for run in runs} == {gap.rate}
    else:
        assert 50 <= sum(low <= run.rate <= high for run in runs) < 60  # each has a chance below 1 in 1,000 to fail


def test_round_robin_is_exact_on_any_number_of_cpus() -> None:
    for cpus in (1, 2, 5):
        run = simulate.simulate(SCHEDULES["round-robin"], 300, 10_000, cpus=cpus)
        assert run.gap == theory.round_robin(300, 8, cpus)
        assert run.forced == (cpus - 1) * run.rollovers > 0 or cpus == 1


def test_boot_and_policy() -> None:
    uniform = SCHEDULES["uniform"]
    warm, cold = (simulate.simulate(uniform, 300, 5000, cold_boot=boot) for boot in (False, True))
    assert (cold.flushes, cold.rate) == (warm.flushes + 1, warm.rate)
    later = simulate.simulate(uniform, 300, 5000, cold_boot=True, policy="5.18", cpus=4)
    assert (later.flushes, later.forced) == (later.rollovers, 0)
    assert simulate.simulate(uniform, 300, 0, cold_boot=True).flushes == 0
    assert simulate.simulate(uniform, 255, 10**12, cold_boot=True).flushes == 1  # nothing is drawn
    assert simulate.simulate(uniform, 255, 10).gap is theory.NEVER


@pytest.mark.parametrize("fast", FAST)
def test_long_runs_need_no_room(fast: bool) -> None:
    """A finder holds the same few numbers after 64 chunks as after one."""
    import tracemalloc

    find = simulate.finder(300, 8, 1, fast)
    chunks = SCHEDULES["uniform"].turns(300, 1)
    find.feed(next(chunks))
    tracemalloc.start()
    try:
        find.feed(next(chunks))
        after_one = tracemalloc.get_traced_memory()[0]
        for _ in range(62):
            find.feed(next(chunks))
        assert tracemalloc.get_traced_memory()[0] < after_one + 100_000
    finally:
        tracemalloc.stop()


def test_bad_values_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    uniform = SCHEDULES["uniform"]
    for words, how in {
        "guests is 0; allowed: 1 to": {"guests": 0},
        "entries is -1; allowed: 0 to": {"entries": -1},
        "vmid_bits is 40; allowed: 2 to 16": {"vmid_bits": 40},
        "cpus is 3; allowed: 1 to 2": {"vmid_bits": 2, "cpus": 3},
        "seed is -1; allowed: 0 to": {"seed": -1},
        "policy is '4.0'; allowed: 3.9, 5.18": {"policy": "4.0"},
    }.items():
        with pytest.raises(InputError, match=words):
            simulate.simulate(uniform, **{"guests": 9, "entries": 10, **how})
    monkeypatch.setattr(simulate, "AVAILABLE", False)
    with pytest.raises(InputError, match=r"numba is not installed: pip install 'kvmlab\[fast\]'"):
        simulate.simulate(uniform, 300, 10, fast=True)
    assert isinstance(simulate.finder(300, 8, 1), simulate.NumpyFinder)
