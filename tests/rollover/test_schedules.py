"""Look at who enters next: the same for the same seed, in the proportions that the schedule names."""

from collections import Counter
from itertools import groupby, islice, pairwise

import numpy as np
import pytest

from kvmlab.engine import InputError
from kvmlab.rollover.schedules import KINDS, SCHEDULES, schedule
from kvmlab.rollover.theory import BURST


def take(rows, count):
    return list(islice(rows, count))


def owners(name, guests, seed, count, cpus=1):
    chunks = schedule(name).turns(guests, seed, cpus)
    return take((int(guest) for chunk in chunks for guest in chunk), count)


def test_in_turn_the_seed_says_who_begins():
    assert owners("round-robin", 3, 0, 7) == [0, 1, 2, 0, 1, 2, 0]
    assert owners("round-robin", 3, 5, 4) == [2, 0, 1, 2]
    row = owners("round-robin", 7, 1, 200_000)
    assert all((b - a) % 7 == 1 for a, b in pairwise(row))
    where = take(SCHEDULES["round-robin"].entries(3, 1, 2, first_cpu=1), 4)
    assert where == [(1, 1), (2, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cpus", [1, 3])
def test_the_same_seed_gives_the_same_entries(kind, cpus):
    one = schedule(kind)
    if cpus > one.most_cpus:
        return
    entries = take(one.entries(20, 5, cpus), 500)
    assert entries == take(one.entries(20, 5, cpus), 500)
    assert entries != take(one.entries(20, 6, cpus), 500)
    assert {guest for guest, _ in entries} <= set(range(20))
    assert {cpu for _, cpu in entries} == set(range(cpus))


@pytest.mark.parametrize("key", SCHEDULES)
def test_nobody_runs_on_two_cpus(key):
    running = {}
    for guest, cpu in take(SCHEDULES[key].entries(4, 2, 3), 1000):
        running[cpu] = guest
        assert len(set(running.values())) == len(running)


def test_each_guest_is_drawn_as_often_as_it_should_be():
    count = 60_000
    for name, weights in {
        "uniform": [1] * 6,
        "zipf:1": [1 / k for k in range(1, 7)],
        "zipf:2": [k**-2 for k in range(1, 7)],
    }.items():
        seen = Counter(owners(name, 6, 3, count))
        for guest, weight in enumerate(weights):
            share = weight / sum(weights)
            assert abs(seen[guest] - count * share) < 5 * (count * share * (1 - share)) ** 0.5


def test_the_next_owner_is_another_and_each_as_likely():
    row = owners("switches", 5, 3, 200_000)
    steps = Counter((b - a) % 5 for a, b in pairwise(row))
    assert set(steps) == {1, 2, 3, 4}
    assert max(steps.values()) - min(steps.values()) < 5 * (200_000 / 4) ** 0.5


def test_a_sticky_guest_stays_as_often_as_it_says():
    row, count = owners("sticky:0.9", 50, 3, 200_000), 200_000
    same = sum(a == b for a, b in pairwise(row))
    chance = 0.9 + 0.1 / 50
    assert abs(same - count * chance) < 5 * (count * chance * (1 - chance)) ** 0.5


@pytest.mark.parametrize("kind", ["runs", "switches"])
def test_a_burst_is_so_many_entries_in_a_row_on_one_cpu(kind):
    turns = [len(list(row)) for _, row in groupby(take(SCHEDULES["runs"].entries(50, 1, 2), 800))]
    assert {length % BURST for length in turns} == {0}
    assert turns.count(BURST) > 90
    assert schedule(f"{kind}:3").length == 3


def test_fewer_guests_than_cpus_use_fewer_cpus():
    assert {cpu for _, cpu in take(SCHEDULES["uniform"].entries(2, 1, 4), 50)} == {0, 1}
    assert owners("switches", 1, 1, 5) == [0] * 5


def test_guests_are_whole_numbers_of_a_width_that_fits():
    for kind in KINDS:
        chunk = next(schedule(kind).turns(70_000, 1))
        assert np.issubdtype(chunk.dtype, np.integer)
        assert 0 <= chunk.min() <= chunk.max() < 70_000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("uniforn", "schedule is 'uniforn'; allowed: round-robin, uniform, .*; did you mean 'uniform'"),
        ("xyz", "allowed: round-robin, uniform, runs, switches, sticky, zipf$"),
        ("uniform:3", "uniform takes no value"),
        ("runs:0", "allowed: runs:1 and more"),
        ("runs:2.5", "allowed: runs:1 and more"),
        ("runs:inf", "allowed: runs:1 and more"),
        ("switches:many", "what follows the colon must be a number"),
        ("sticky:1", "allowed: sticky:0 to below 1"),
        ("zipf:-1", "allowed: zipf:0 to zipf:3"),
        ("zipf:nan", "allowed: zipf:0 to zipf:3"),
    ],
)
def test_a_bad_name_is_told(name, words):
    with pytest.raises(InputError, match=words):
        schedule(name)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SCHEDULES["uniform"].turns(0, 1), "guests is 0; allowed: 1 to"),
        (lambda: SCHEDULES["uniform"].turns(3, -1), "seed is -1; allowed: 0 to"),
        (lambda: SCHEDULES["zipf"].entries(3, 1, 0), "cpus is 0; allowed: 1 to"),
    ],
)
def test_bad_values_are_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
