"""Compare the closed forms with an independent reference: tests/oracles/vmid_rollover.json."""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from kvmlab.engine.errors import InputError
from kvmlab.rollover import theory

ORACLE = json.loads((Path(__file__).parent.parent / "oracles" / "vmid_rollover.json").read_text())
UNIFORM = ORACLE["uniform_iid"]["table"]
ROUND_ROBIN = ORACLE["round_robin"]["table"]
BITS = [(int(b), row) for b, rows in ORACLE["bits"]["table"].items() for row in rows.values()]


@pytest.mark.parametrize("guests", UNIFORM)
def test_uniform_mean_and_variance(guests: str) -> None:
    row, gap = UNIFORM[guests], theory.uniform(int(guests))
    if row["gap_mean"] is None:
        assert gap is theory.NEVER
        assert gap.rate == 0
        return
    assert gap.mean == pytest.approx(row["gap_mean"], rel=1e-13)
    assert gap.variance == pytest.approx(row["gap_var"], rel=1e-12)
    assert gap.rate == pytest.approx(row["rate"], rel=1e-13)


@pytest.mark.parametrize("guests", UNIFORM)
def test_interval_is_that_of_the_oracle(guests: str) -> None:
    row, n = UNIFORM[guests], 1_000_000
    low, high = theory.uniform(int(guests)).interval(n, level=0.95)
    sd = row["flush_count_sd_per_1e6"] / n
    assert high - low == pytest.approx(2 * 1.959963984540054 * sd, rel=1e-9)
    assert (low + high) / 2 == pytest.approx(row["rate"], rel=1e-12)


@pytest.mark.parametrize("guests", ROUND_ROBIN)
def test_round_robin_is_exact(guests: str) -> None:
    row, gap = ROUND_ROBIN[guests], theory.round_robin(int(guests))
    assert (None if gap is theory.NEVER else gap.mean) == row["gap"]
    assert gap.rate == row["rate"]
    assert gap.variance == 0
    assert gap.flushes(1_000_000) == row["flushes_in_1e6"]
    assert gap.flushes(1_000_000, cold_boot=True) == row["flushes_in_1e6"] + 1


def test_any_width() -> None:
    assert len(BITS) > 40
    for bits, row in BITS:
        random, turn = theory.uniform(row["N"], bits), theory.round_robin(row["N"], bits)
        if row["rr_gap"] is None:
            assert random is turn is theory.NEVER
        else:
            assert turn.mean == row["rr_gap"] == theory.usable(bits)
            assert random.mean == pytest.approx(row["uniform_gap"], rel=1e-12)
            assert random.variance == pytest.approx(row["uniform_var"], rel=1e-12)


@pytest.mark.parametrize("case", [key for key in ORACLE["small_exact"] if "P(" not in key])
def test_fractions(case: str) -> None:
    numbers, guests = (int(part.split("=")[1]) for part in case.split(","))
    gap = theory.uniform(guests, (numbers + 1).bit_length() - 1, exact=True)
    expected = ORACLE["small_exact"][case]
    assert gap.mean == Fraction(expected["gap_mean"])
    assert isinstance(gap.mean, Fraction)
    if "gap_var" in expected:
        assert gap.variance == Fraction(expected["gap_var"])


def test_floats_agree_with_fractions() -> None:
    exact, near = theory.uniform(300, exact=True), theory.uniform(300)
    assert near.mean == pytest.approx(float(exact.mean), rel=1e-15)
    assert near.variance == pytest.approx(float(exact.variance), rel=1e-15)


def test_mean_count_of_the_recorded_random_traces() -> None:
    entries, checked = 200_000, 0
    for guests, row in ORACLE["trace_lcg"]["table"].items():
        gap = theory.uniform(int(guests))
        low, high = gap.interval(entries, level=0.9999)
        assert abs(row["flushes"] - gap.flushes(entries)) <= (high - low) / 2 * entries
        checked += row["flushes"] > 0
    assert checked >= 7


def test_the_first_entry_after_boot_is_an_option() -> None:
    assert theory.NEVER.flushes(10**9) == 0
    assert theory.NEVER.flushes(10**9, cold_boot=True) == 1
    assert theory.NEVER.flushes(0, cold_boot=True) == 0
    assert theory.round_robin(256).flushes(255) == 0
    assert theory.round_robin(256).flushes(256) == 1


def test_no_interval_around_zero() -> None:
    assert theory.NEVER.interval(1000) == (0.0, 0.0)
    assert math.isinf(theory.NEVER.mean)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.uniform(0), "guests is 0; allowed: 1 to"),
        (lambda: theory.round_robin(-1), "guests is -1; allowed: 1 to"),
        (lambda: theory.uniform(2.5), r"guests must be a whole number, not 2\.5"),
        (lambda: theory.usable(1), "vmid_bits is 1; allowed: 2 to 16"),
        (lambda: theory.uniform(300, 17), "vmid_bits is 17; allowed: 2 to 16"),
        (lambda: theory.uniform(300).interval(0), "entries is 0; allowed: 1 to"),
        (lambda: theory.uniform(300).interval(10, 1.0), r"level is 1\.0; allowed: above 0 and below 1"),
        (lambda: theory.uniform(300).flushes(-1), "entries is -1; allowed: 0 to"),
    ],
)
def test_bad_values_are_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


def test_runs_switches_and_sticky_owners_as_in_the_reference() -> None:
    checked = 0
    for guests, row in ORACLE["sticky"]["table"].items():
        n = int(guests)
        for column, gap in {
            "runs_k10_iid_owner": theory.runs(n, length=10),
            "runs_k10_owner_changes": theory.switches(n, length=10),
            "stay_prob_0.9": theory.sticky(n, stay=0.9),
        }.items():
            mean = row[column]["gap_mean"]
            if mean is None:
                assert gap is theory.NEVER
                continue
            assert gap.mean == pytest.approx(mean, rel=1e-12)
            checked += 1
            counted, flushes = row[column]["sim_gap"], row[column]["sim_flushes"]
            assert abs(counted - gap.mean) < 4 * (gap.variance / flushes) ** 0.5
    assert checked == 21


def test_several_cpus_as_in_the_reference() -> None:
    checked = 0
    for guests, rows in ORACLE["pcpus"]["table"].items():
        for cpus, row in rows.items():
            if row["uniform_gap_events"] is not None:
                gap = theory.uniform(int(guests), 8, int(cpus))
                assert gap.mean == pytest.approx(row["uniform_gap_events"], rel=1e-12)
                assert theory.round_robin(int(guests), 8, int(cpus)).mean == row["rr_gap_events"]
                checked += 1
    assert checked > 20


def test_fractions_of_the_others() -> None:
    """Each wait by hand: 4 guests, 3 numbers; a turn of 2 entries; stay with one half."""
    third, half = Fraction(1, 3), Fraction(1, 2)
    assert theory.switches(4, 2, length=2, exact=True).mean == 2 * (1 + 1 / (2 * third) + 1 / third)
    waits = [1 / (half * Fraction(3 - k, 4)) for k in range(3)]
    assert theory.sticky(4, 2, stay=half, exact=True) == theory.Gap(sum(waits), sum(w * w - w for w in waits))
    assert theory.sticky(4, 2, stay=0, exact=True) == theory.uniform(4, 2, exact=True)


def chain(numbers: int, draw: Callable[[frozenset[int], int], dict[int, Fraction]]) -> Fraction:
    """The mean gap from first principles: a chain over who has a number and who entered last, solved in fractions.

    Whoever flushes first is guest 0, as all guests are alike.
    """
    from functools import cache

    @cache
    def left(numbered: frozenset[int], last: int) -> Fraction:
        chances = draw(numbered, last)
        new = {guest: chance for guest, chance in chances.items() if guest not in numbered}
        # entries by guests with a number change nothing but who is last, and with alike guests that does not matter
        wait = 1 / sum(new.values(), Fraction(0))
        if len(numbered) == numbers:
            return wait
        return wait + sum(p * wait * left(numbered | {guest}, guest) for guest, p in new.items())

    return left(frozenset({0}), 0)


@pytest.mark.parametrize(("guests", "bits"), [(4, 2), (5, 2), (6, 2), (9, 3)])
def test_uniform_from_first_principles(guests: int, bits: int) -> None:
    numbers = theory.usable(bits)
    assert theory.uniform(guests, bits, exact=True).mean == chain(
        numbers, lambda numbered, last: dict.fromkeys(range(guests), Fraction(1, guests))
    )
    assert theory.switches(guests, bits, length=1, exact=True).mean == chain(
        numbers, lambda numbered, last: {g: Fraction(1, guests - 1) for g in range(guests) if g != last}
    )
