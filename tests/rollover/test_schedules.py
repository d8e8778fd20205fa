"""Look at who enters next: the same for the same seed, in the proportions that the schedule names."""

from collections import Counter
from itertools import groupby, islice

import pytest

from kvmlab.engine import InputError
from kvmlab.rollover.schedules import SCHEDULES, round_robin, uniform, zipf
from kvmlab.rollover.theory import BURST


def take(rows, count):
    return list(islice(rows, count))


def test_in_turn_can_begin_anywhere():
    assert take(round_robin(3), 7) == [0, 1, 2, 0, 1, 2, 0]
    assert take(round_robin(3, 2), 4) == [2, 0, 1, 2]
    assert take(SCHEDULES["in turn"].entries(3, 1, 2, first_cpu=1), 4) == [(1, 1), (2, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("key", SCHEDULES)
@pytest.mark.parametrize("cpus", [1, 3])
def test_the_same_seed_gives_the_same_entries(key, cpus):
    schedule = SCHEDULES[key]
    one = take(schedule.entries(20, 5, cpus), 500)
    assert one == take(schedule.entries(20, 5, cpus), 500)
    assert one != take(schedule.entries(20, 6, cpus), 500)
    assert {guest for guest, _ in one} <= set(range(20))
    assert {cpu for _, cpu in one} == set(range(cpus))


@pytest.mark.parametrize("key", SCHEDULES)
def test_nobody_runs_on_two_cpus(key):
    running = {}
    for guest, cpu in take(SCHEDULES[key].entries(4, 2, 3), 1000):
        running[cpu] = guest
        assert len(set(running.values())) == len(running)


def test_each_guest_is_drawn_as_often_as_it_should_be():
    count = 60_000
    even, uneven = Counter(take(uniform(6, 3), count)), Counter(take(zipf(6, 3), count))
    whole = sum(1 / rank for rank in range(1, 7))
    for guest in range(6):
        assert abs(even[guest] - count / 6) < 5 * (count * 5 / 36) ** 0.5
        share = 1 / (guest + 1) / whole
        assert abs(uneven[guest] - count * share) < 5 * (count * share * (1 - share)) ** 0.5


def test_a_burst_is_so_many_entries_in_a_row_on_one_cpu():
    turns = [len(list(row)) for _, row in groupby(take(SCHEDULES["bursts"].entries(50, 1, 2), 800))]
    assert {length % BURST for length in turns} == {0}
    assert turns.count(BURST) > 90


def test_fewer_guests_than_cpus_use_fewer_cpus():
    assert {cpu for _, cpu in take(SCHEDULES["random"].entries(2, 1, 4), 50)} == {0, 1}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: round_robin(0), "guests is 0; allowed: 1 to"),
        (lambda: round_robin(3, 3), "first is 3; allowed: 0 to 2"),
        (lambda: uniform(3, -1), "seed is -1; allowed: 0 to"),
        (lambda: zipf(0, 1), "guests is 0; allowed: 1 to"),
        (lambda: SCHEDULES["zipf"].entries(3, 1, 0), "cpus is 0; allowed: 1 to"),
    ],
)
def test_bad_values_are_named(call, words):
    with pytest.raises(InputError, match=words):
        list(islice(call(), 1))
