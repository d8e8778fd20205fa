"""Every number of the reference is looked at: what is exact is reproduced, what was simulated lies where it should."""

import json
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import pytest

from kvmlab.rollover import theory, zipf
from kvmlab.rollover.allocators import Counts, compare
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.rollover.theory import NEVER, Gap

ORACLE = json.loads((Path(__file__).parent.parent / "oracles" / "vmid_rollover.json").read_text())
ENTRIES = 10**6


def near(value: float, rel: float = 1e-11) -> object:
    return pytest.approx(value, rel=rel, abs=1e-300)


def check_gap(gap: Gap, row: dict, seen: Counter, mean: str = "gap_mean", variance: str = "gap_var") -> None:
    """Compare a law with a row: its mean, variance, rate and counts, and the simulation with the law."""
    known = {mean: gap.mean, variance: gap.variance, "rate": gap.rate}
    if gap is NEVER:
        known = {
            mean: None,
            variance: None,
            "rate": 0,
            "sim_gap": None,
            "sim_gap_var": None,
            "sim_flushes": 0,
            "z": None,
        }
    for key in known.keys() & row.keys():
        assert row[key] == known[key] or row[key] == near(known[key], 1e-9), key
        seen[key] += 1
    if gap is not NEVER and "sim_gap" in row:
        flushes = row.get("sim_flushes")
        z = (row["sim_gap"] - gap.mean) / (gap.variance / flushes) ** 0.5 if flushes else 0
        assert abs(z) < 4
        if "z" in row and flushes:
            # the reference estimated the spread from its own run
            assert z == pytest.approx(row["z"], rel=0.05, abs=0.05)
        if "sim_gap_var" in row:
            assert row["sim_gap_var"] == pytest.approx(gap.variance, rel=0.05)
        seen.update(key for key in ("sim_gap", "sim_gap_var", "sim_flushes", "z") if key in row)


def uniform(seen: Counter) -> Iterator[dict]:
    for guests, row in ORACLE["uniform_iid"]["table"].items():
        n, gap = int(guests), theory.uniform(int(guests))
        check_gap(gap, row, seen)
        assert row["flushes_mean_1e6"] == near(float(gap.rate) * ENTRIES)
        low, high = gap.interval(ENTRIES, level=0.95)
        assert row["flush_count_sd_per_1e6"] == near((high - low) / 2 * ENTRIES / theory.normal(0.95), 1e-8)
        last = row["mean_entry_of_last_vmid"]
        assert last == near(theory.last_number(n)) or (last is None and theory.last_number(n) == float("inf"))
        assert row["P_gap_is_255"] == near(float(theory.shortest(n)), 1e-10)
        if "z_recheck_1.8e9_entries" in row:
            assert abs(row["z_recheck_1.8e9_entries"]) < 3
        seen.update({"flushes_mean_1e6", "flush_count_sd_per_1e6", "mean_entry_of_last_vmid", "P_gap_is_255"})
        seen.update({"z_recheck_1.8e9_entries"} & row.keys())
        yield row


def round_robin(seen: Counter) -> Iterator[dict]:
    for guests, row in ORACLE["round_robin"]["table"].items():
        gap = theory.round_robin(int(guests))
        never = gap is NEVER
        assert row["gap"] == (None if never else gap.mean)
        assert row["rate"] == gap.rate
        assert row["flushes_in_1e6"] == row["sim_flushes_in_1e6"] == gap.flushes(ENTRIES)
        assert row["first_flush_index"] == (None if never else gap.mean)
        seen.update(row.keys())
        yield row


def sticky(seen: Counter) -> Iterator[dict]:
    for guests, row in ORACLE["sticky"]["table"].items():
        n = int(guests)
        laws = {
            "runs_k10_iid_owner": theory.runs(n, length=10),
            "runs_k10_owner_changes": theory.switches(n, length=10),
            "stay_prob_0.9": theory.sticky(n, stay=0.9),
            "round_robin_k10": theory.round_robin(n, length=10),
        }
        for name, gap in laws.items():
            check_gap(gap, row[name], seen)
            yield row[name]
        assert row.keys() == laws.keys()


def zipfs(seen: Counter) -> Iterator[dict]:
    for exponent, rows in ORACLE["zipf"]["table"].items():
        for guests, row in rows.items():
            p = zipf.shares(int(guests), float(exponent))
            if int(guests) > 300:
                check = {"gap_mean", "gap_var"} & row.keys()  # the long ones: test_zipf
                seen.update(row.keys() if check else ())
                yield row
                continue
            gap = zipf.zipf(int(guests), 8, float(exponent))
            check_gap(gap, row, seen)
            if gap is not NEVER:
                fluid, first = zipf.fluid(p).mean, zipf.gap(p, first=True).mean
                assert row["fluid"] == near(fluid, 1e-8)
                assert row["fluid_rel_err"] == pytest.approx(fluid / gap.mean - 1, rel=1e-4)
                assert row["first_gap_mean"] == near(first, 1e-9)
                assert row["EL_min"] < gap.mean < row["EL_max"]
                assert row["kernel_rowsum_err"] < 1e-9
                seen.update({"fluid", "fluid_rel_err", "first_gap_mean", "EL_min", "EL_max", "kernel_rowsum_err"})
            yield row


def widths(seen: Counter) -> Iterator[dict]:
    for bits, rows in ORACLE["bits"]["table"].items():
        for row in rows.values():
            turn, gap = (law(row["N"], int(bits)) for law in (theory.round_robin, theory.uniform))
            assert row["rr_gap"] == (None if turn is NEVER else turn.mean)
            check_gap(gap, row, seen, "uniform_gap", "uniform_var")
            if "sim_gap" in row and row["sim_gap"] is not None:
                assert abs(row["z"]) < 4
                assert abs(row.get("z_recheck_1.8e9_entries", 0)) < 3
            seen.update({"N", "rr_gap", "z_recheck_1.8e9_entries"})
            yield row


@lru_cache
def counted(guests: int, cpus: int, key: str) -> dict[str, Counts]:
    return compare(SCHEDULES[key], guests, 60_000, cpus=cpus)


def several_cpus(seen: Counter) -> Iterator[dict]:
    for guests, rows in ORACLE["pcpus"]["table"].items():
        for text, row in rows.items():
            n, cpus = int(guests), int(text)
            gap, turn = theory.uniform(n, 8, cpus), theory.round_robin(n, 8, cpus)
            seen.update(row.keys())
            if gap is NEVER:
                assert set(row.values()) == {None}
                yield row
                continue
            assert row["uniform_gap_events"] == near(gap.mean)
            assert row["uniform_gap_entries_39"] == near(gap.mean + cpus - 1)
            assert row["rr_gap_events"] == row["sim39_rr_gap"] == row["sim518_rr_gap"] == turn.mean
            for key in ("sim39_gap", "sim518_gap"):
                assert row[key] == pytest.approx(gap.mean, rel=0.02)
            both = counted(n, cpus, "uniform")
            later, flushes = both["5.18"], both["5.18"].flushes
            # 3.9 gives every number of a generation anew, those of the guests that come back at once included
            assert row["sim39_slow_per_flush"] == pytest.approx(theory.usable(8), abs=0.05)
            assert both["3.9"].numbered / both["3.9"].flushes == pytest.approx(theory.usable(8), rel=0.03)
            assert later.renumbered / flushes == pytest.approx(row["sim518_vmid_changed_per_flush"], rel=0.12)
            kept = row["sim518_vmid_kept_per_flush"] + row["sim518_reserved_hits_per_flush"]
            first_numbers = n  # of guests that had none before
            assert (later.numbered - later.renumbered - first_numbers) / flushes == pytest.approx(kept, rel=0.12)
            yield row


@pytest.mark.slow
@pytest.mark.parametrize("part", [uniform, round_robin, sticky, zipfs, widths, several_cpus])
def test_every_number_of_a_table(part) -> None:
    seen: Counter = Counter()
    rows = list(part(seen))
    assert len(rows) > 8
    unseen = {key for row in rows for key in row} - seen.keys()
    assert not unseen


def test_the_small_fractions() -> None:
    assert set(ORACLE["small_exact"]) == {"U=3,N=4", "U=3,N=5", "U=15,N=16", "U=3,N=4 P(gap=3)"}
    assert theory.shortest(4, 2) == Fraction(ORACLE["small_exact"]["U=3,N=4 P(gap=3)"])
    assert set(ORACLE) == {
        "_note", "round_robin", "uniform_iid", "sticky", "pcpus", "bits", "small_exact", "trace_lcg", "zipf",
    }  # fmt: skip  # the fractions: test_theory; the traces: test_measure, test_simulate


def test_the_shortest_gap_by_trying() -> None:
    """3 numbers for 5 guests: of all orders of three draws after the first guest, those without a repetition."""
    from itertools import product

    good = sum(len({0, *draws}) == 4 for draws in product(range(5), repeat=3))
    assert theory.shortest(5, 2) == Fraction(good, 5**3)
    assert theory.shortest(3, 2) == 0
    assert theory.last_number(2, 2) == float("inf")
