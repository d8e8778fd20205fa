"""Sweeps: rows beside theory, on one machine and on a cluster, interrupted, and as CSV."""

import csv
import io
import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvmlab.engine import InputError
from kvmlab.rollover import theory, zipf
from kvmlab.rollover.sweep import Plan, row, sweep, to_csv


@pytest.mark.parametrize("schedule", ["uniform", "runs:3", "switches:3", "sticky:0.5", "zipf:0.8"])
@pytest.mark.parametrize("bits", [4, 8])
def test_counts_lie_about_theory(schedule: str, bits: int) -> None:
    guests = [(1 << bits) * k // 4 for k in (4, 5, 6, 8)]
    rows = list(sweep(Plan(schedule, 400 << bits, bits, seed=11), guests, progress=False))
    assert [one.guests for one in rows] == guests
    assert all(one.exact for one in rows)
    assert all(abs(one.z) < 4 for one in rows)
    assert any(one.low <= one.per_1000 <= one.high for one in rows)
    assert sum(one.z * one.z for one in rows) > 0.01  # a z that is always 0 says nothing


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["uniform", "zipf:1", "sticky:0.9"])
def test_z_is_a_standard_normal_variable(schedule: str) -> None:
    rows = [row(Plan(schedule, 60_000, 6, seed=1000 * s), 90) for s in range(200)]
    z = [one.z for one in rows]
    mean = sum(z) / len(z)
    assert abs(mean) < 0.3
    assert 0.8 < math.sqrt(sum((one - mean) ** 2 for one in z) / len(z)) < 1.2
    assert 180 <= sum(one.low <= one.per_1000 <= one.high for one in rows) < 200


@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("guests", [15, 16, 40])
def test_in_turn_theory_is_the_count(cpus: int, guests: int) -> None:
    for cold in (False, True):
        one = row(Plan("round-robin", 1003, 4, cpus, cold_boot=cold), guests)
        assert one.per_1000 == pytest.approx(one.theory, rel=1e-12)
        assert (one.low, one.high, one.z) == (one.theory, one.theory, None)
        assert one.forced == (cpus - 1) * (one.flushes - cold)
        assert (one.flushes == cold) == (guests == 15)


@pytest.mark.parametrize("cpus", [2, 5])
def test_several_cpus_begin_alone(cpus: int) -> None:
    """After boot the other CPUs run nobody yet, and theory allows for that: else z would be off here."""
    z = [row(Plan("uniform", 3_000, 4, cpus, seed=97 * s), 17).z for s in range(40)]
    assert abs(sum(z) / len(z)) < 0.6


def test_where_theory_says_less() -> None:
    few = row(Plan("uniform", 2000), 256)  # one gap is 1567 entries
    assert few.theory == pytest.approx(1000 / theory.uniform(256).mean, rel=1e-12)
    assert (few.low, few.high, few.z) == (None, None, None)
    assert row(Plan("zipf", 2000, cpus=2), 300).theory is None
    far = row(Plan("zipf", 10, 16), 70_000)
    assert far.theory == pytest.approx(1000 / zipf.fluid(zipf.shares(70_000), 16).mean, rel=1e-12)
    assert not far.exact
    nothing = row(Plan("uniform", 0), 300)
    assert (nothing.entries, nothing.flushes, nothing.per_1000) == (0, 0, 0)


def test_workers_find_the_same() -> None:
    plan, guests = Plan("uniform", 3_000, 4, seed=5), range(10, 30)
    alone = list(sweep(plan, guests, progress=False))
    with ThreadPoolExecutor(3) as workers:
        together = list(sweep(plan, guests, workers=workers, progress=False))
    assert sorted(together, key=lambda one: one.guests) == alone
    assert to_csv(plan, together) == to_csv(plan, alone)


@pytest.mark.slow
def test_a_cluster_finds_the_same() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the cluster's own libraries warn of is not ours
        from distributed import Client, LocalCluster

        plan, guests = Plan("uniform", 3_000, 4, seed=5), range(10, 30)
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            rows = list(sweep(plan, guests, workers=client.get_executor(), progress=False))
    assert to_csv(plan, rows) == to_csv(plan, sweep(plan, guests, progress=False))


def test_who_stops_keeps_what_is_finished() -> None:
    rows = sweep(Plan("uniform", 100, 4), range(1, 10**6), progress=False)
    kept = [next(rows) for _ in range(3)]
    rows.close()
    assert [one.guests for one in kept] == [1, 2, 3]


def test_csv_can_be_read_back() -> None:
    plan = Plan("uniform", 5_000, 4, seed=3)
    rows = list(sweep(plan, [40, 15, 16], progress=False))
    table = list(csv.DictReader(io.StringIO(to_csv(plan, rows))))
    assert [int(line["guests"]) for line in table] == [15, 16, 40]
    for line, one in zip(table, sorted(rows, key=lambda one: one.guests), strict=True):
        assert float(line["per_1000"]) == one.per_1000
        assert (line["z"] == "") == (one.z is None)
        assert (line["schedule"], line["vmid_bits"], line["seed"], line["policy"]) == ("uniform", "4", "3", "3.9")


def test_a_bar_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    list(sweep(Plan("uniform", 10, 4), [1, 2], progress=False))
    assert capsys.readouterr().err == ""
    list(sweep(Plan("uniform", 10, 4), [1, 2]))
    assert "guests" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schedule": "unifrom"}, "did you mean 'uniform'"),
        ({"entries": -1}, "entries is -1; allowed: 0 to"),
        ({"vmid_bits": 1}, "vmid_bits is 1; allowed: 2 to 16"),
        ({"vmid_bits": 40}, "vmid_bits is 40; allowed: 2 to 16"),
        ({"cpus": 0}, "cpus is 0; allowed: 1 to"),
        ({"cpus": 2, "schedule": "sticky"}, "cpus is 2; allowed: 1 to 1"),
        ({"seed": -1}, "seed is -1; allowed: 0 to"),
        ({"policy": "6.0"}, "policy is '6.0'; allowed: 3.9, 5.18"),
    ],
)
def test_a_bad_plan_is_refused_before_anything_runs(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Plan(**options)


def test_a_bad_number_of_guests_is_refused() -> None:
    with pytest.raises(InputError, match="guests is 0; allowed: 1 to"):
        next(sweep(Plan(), [5, 0], progress=False))
