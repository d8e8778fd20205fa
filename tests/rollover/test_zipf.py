"""Compare the gap for unequal guests with the reference, with exact sets of guests, and with plain simulations."""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlab.engine.errors import InputError
from kvmlab.rollover import seen, theory, zipf
from kvmlab.rollover.subsets import chain

ORACLE = json.loads((Path(__file__).parent.parent / "oracles" / "vmid_rollover.json").read_text())
TABLE = [
    pytest.param(float(s), int(guests), row, id=f"{s}-{guests}", marks=[pytest.mark.slow] * (int(guests) > 300))
    for s, rows in ORACLE["zipf"]["table"].items()
    for guests, row in rows.items()
]
SMALL = [case for case in ORACLE["small_exact"] if case.startswith("U=3") and "P(" not in case]


def fractions(weights: list[int]) -> list[Fraction]:
    return [Fraction(weight, sum(weights)) for weight in weights]


def play(p: list[float], numbers: int, entries: int, seed: int) -> list[int]:
    """Return the flushing entries after a first entry that found no guest numbered."""
    seen: set[int] = set()
    flushes = []
    for entry, guest in enumerate(np.random.default_rng(seed).choice(len(p), size=entries, p=p).tolist()):
        if guest not in seen and len(seen) == numbers:
            seen.clear()
            flushes.append(entry)
        seen.add(guest)
    return flushes


def assert_moments(gaps: np.ndarray, gap: theory.Gap) -> None:
    """Compare mean and variance within 4 standard errors."""
    deviation = gaps - gaps.mean()
    assert abs(gaps.mean() - gap.mean) < 4 * gaps.std() / math.sqrt(len(gaps))
    assert abs(gaps.var() - gap.variance) < 4 * (deviation**2).std() / math.sqrt(len(gaps))


@pytest.mark.parametrize(("s", "guests", "row"), TABLE)
def test_reference(s: float, guests: int, row: dict) -> None:
    gap, share = zipf.zipf(guests, s=s), zipf.shares(guests, s)
    if row["gap_mean"] is None:
        assert gap is zipf.gap(share) is zipf.fluid(share) is theory.NEVER
        return
    assert gap.mean == pytest.approx(row["gap_mean"], rel=1e-11)
    assert gap.variance == pytest.approx(row["gap_var"], rel=1e-9)
    assert gap.rate == pytest.approx(row["rate"], rel=1e-11)
    assert abs(gap.mean - row["sim_gap"]) < 4 * math.sqrt(gap.variance / row["sim_flushes"])
    assert zipf.gap(share, first=True).mean == pytest.approx(row["first_gap_mean"], rel=1e-11)
    near = zipf.fluid(share)
    assert near.mean == pytest.approx(row["fluid"], rel=1e-8)
    assert math.isnan(near.variance)
    error = near.mean / gap.mean - 1
    assert error == pytest.approx(row["fluid_rel_err"], rel=1e-5)
    assert 0.019 < error < 0.025 if guests == 256 else 0.001 < error < 0.0042


def test_the_reference_has_every_case() -> None:
    assert len(TABLE) == 25
    assert sum(case.values[2]["gap_mean"] is not None for case in TABLE) == 19


@pytest.mark.parametrize(("guests", "bits"), [(4, 2), (1024, 2), (8, 3), (256, 8), (300, 8), (4096, 8), (2048, 10)])
def test_equal_shares_are_the_closed_form(guests: int, bits: int) -> None:
    gap, closed = zipf.gap(zipf.shares(guests, 0), bits), theory.uniform(guests, bits)
    assert gap.mean == pytest.approx(closed.mean, rel=1e-11)
    assert gap.variance == pytest.approx(closed.variance, rel=1e-8)
    assert zipf.zipf(guests, bits, 0) == closed


def test_nearly_equal_shares_are_near_the_closed_form() -> None:
    """Guests are then no longer one group, which takes another way through the code."""
    share = zipf.shares(300, 1e-7)
    assert len(set(share.tolist())) == 300
    assert zipf.gap(share).mean == pytest.approx(theory.uniform(300).mean, rel=1e-11)


@pytest.mark.parametrize("case", SMALL)
def test_chain_of_equal_guests(case: str) -> None:
    assert len(SMALL) == 2
    numbers, guests = (int(part.split("=")[1]) for part in case.split(","))
    gap = chain(fractions([1] * guests), (numbers + 1).bit_length() - 1)
    assert gap.mean == Fraction(ORACLE["small_exact"][case]["gap_mean"])
    assert gap.variance == Fraction(ORACLE["small_exact"][case]["gap_var"])


@pytest.mark.parametrize(("guests", "bits"), [(3, 2), (4, 2), (7, 2), (8, 3), (9, 3)])
def test_chain_is_uniform_in_fractions(guests: int, bits: int) -> None:
    assert chain(fractions([1] * guests), bits) == theory.uniform(guests, bits, exact=True)


@given(st.lists(st.integers(1, 1000), min_size=4, max_size=7))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_chain_and_integrals_agree(weights: list[int]) -> None:
    p = fractions(weights)
    exact, gap = chain(p), zipf.gap([float(share) for share in p], 2)
    assert gap.mean == pytest.approx(float(exact.mean), rel=1e-10)
    assert gap.variance == pytest.approx(float(exact.variance), rel=1e-8)


@pytest.mark.parametrize(
    "weights", [[1, 10**-3, 10**-8, 10**-14], [1, 10**-10, 10**-30, 10**-60], [1, 1, 1e-20, 1e-20]]
)
def test_very_unequal_guests(weights: list[float]) -> None:
    p = [Fraction(weight) / sum(map(Fraction, weights)) for weight in weights]
    exact, gap = chain(p), zipf.gap([float(share) for share in p], 2)
    assert gap.mean == pytest.approx(float(exact.mean), rel=1e-10)
    assert gap.variance == pytest.approx(float(exact.variance), rel=1e-8)


def test_chain_of_three_bits() -> None:
    p = fractions([1, 50, 3, 8, 3, 20, 5, 2, 9])
    exact, gap = chain(p, 3), zipf.gap([float(share) for share in p], 3)
    assert gap.mean == pytest.approx(float(exact.mean), rel=1e-11)
    assert gap.variance == pytest.approx(float(exact.variance), rel=1e-9)


def test_many_guests_and_three_numbers() -> None:
    """With three numbers all orders in which guests are seen (j, a, b, then k flushes) can be written out."""
    n, p = 60, zipf.shares(60)
    j, a, b = np.ogrid[:n, :n, :n]
    different = (j != a) & (j != b) & (a != b)
    one, two = 1 - p[j], 1 - p[j] - p[a]
    three = np.where(different, two - p[b], 1)
    chance = np.where(different, p[a] / one * p[b] / np.where(j == a, 1, two), 0)
    mean = (chance * (1 / one + 1 / np.where(j == a, 1, two) + 1 / three)).sum((1, 2))
    third = chance / three
    kernel = p * (third.sum((1, 2))[:, None] - third.sum(2) - third.sum(1))
    np.fill_diagonal(kernel, 0)
    assert np.allclose(kernel.sum(1), 1, rtol=0, atol=1e-13)
    law = np.linalg.matrix_power(kernel, 64)[0]
    assert zipf.gap(p, 2).mean == pytest.approx(law @ mean, rel=1e-11)
    assert zipf.gap(p, 2, first=True).mean == pytest.approx(p @ mean, rel=1e-11)


def test_simulation_of_a_skewed_case() -> None:
    p = [0.4, 0.25, 0.2, 0.08, 0.05, 0.02]
    flushes = play(p, 3, 300_000, seed=11)
    assert len(flushes) > 20_000
    assert_moments(np.diff(flushes), zipf.gap(p, 2))


def test_simulation_of_the_first_gap() -> None:
    p = [0.6, 0.2, 0.1, 0.06, 0.04]
    first, later = zipf.gap(p, 2, first=True), zipf.gap(p, 2)
    gaps = np.array([play(p, 3, 400, seed)[0] for seed in range(4000)])
    assert_moments(gaps, first)
    assert abs(later.mean - first.mean) > 4 * gaps.std() / math.sqrt(len(gaps)), "the case tells the two apart"


def test_order_and_guests_that_never_run_do_not_matter() -> None:
    share = zipf.shares(20).tolist()
    mean = pytest.approx(zipf.gap(share, 4).mean, rel=1e-13)
    assert zipf.gap([*reversed(share), 0.0, 0.0], 4).mean == mean
    assert zipf.gap([*share[:15], 0.0, *share[15:]], 4).mean == mean
    assert zipf.gap([0.25, 0.5, 0.0, 0.25], 2) is theory.NEVER
    assert zipf.fluid([0.25, 0.5, 0.0, 0.25], 2) is theory.NEVER


def test_equal_shares_among_others_are_grouped() -> None:
    p = fractions([1, 1, 1, 7, 7, 40])
    exact, gap = chain(p), zipf.gap([float(share) for share in p], 2)
    assert gap.mean == pytest.approx(float(exact.mean), rel=1e-11)
    assert gap.variance == pytest.approx(float(exact.variance), rel=1e-9)


def test_nothing_is_computed_twice() -> None:
    assert zipf.zipf(280) is zipf.zipf(280, 8, 1)


def test_a_coarse_quadrature_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "PANEL", 1000)
    with pytest.raises(InputError, match="no exact numbers for these shares"):
        zipf.gap(zipf.shares(300))


def test_shares() -> None:
    assert zipf.shares(3) == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    assert zipf.shares(2, 2) == pytest.approx([0.8, 0.2])


def test_many_guests_are_for_the_fluid_form() -> None:
    assert zipf.zipf(60_000, 16) is theory.NEVER
    with pytest.raises(InputError, match=r"4097 guests and 8 bits take too long.*4096.*zipf\.fluid"):
        zipf.zipf(4097)
    assert 255 < zipf.fluid(zipf.shares(100_000)).mean < zipf.fluid(zipf.shares(4096)).mean
    with pytest.raises(InputError, match=r"2048 guests and 11 bits take too long.*10 bits"):
        zipf.gap(zipf.shares(2048), 11)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: zipf.gap([0.5, 0.75, -0.25]), r"share of a guest is -0\.25; allowed: 0, or"),
        (lambda: zipf.gap([0.5, math.nan]), "share of a guest is nan; allowed"),
        (lambda: zipf.gap([0.5, math.inf]), "share of a guest is inf; allowed"),
        (lambda: zipf.gap([1, 1e-200], 2), "share of a guest is 1e-200; allowed: 0, or 1e-100 to 1"),
        (lambda: zipf.fluid([0.5, 0.4]), r"sum of the shares is 0\.9; it must be 1"),
        (lambda: zipf.gap([]), r"shape \(0,\); allowed: a list"),
        (lambda: zipf.gap([[0.5, 0.5]]), r"shape \(1, 2\); allowed: a list"),
        (lambda: zipf.gap(["a", "b"]), "must be numbers"),
        (lambda: zipf.gap([1.0], 1), "vmid_bits is 1; allowed: 2 to 16"),
        (lambda: zipf.zipf(0), "guests is 0; allowed: 1 to"),
        (lambda: zipf.zipf(300.0), r"guests must be a whole number, not 300\.0"),
        (lambda: zipf.zipf(300, 8, -1), "s is -1; allowed: 0 to 3"),
        (lambda: zipf.zipf(300, 8, math.nan), "s is nan; allowed: 0 to 3"),
        (lambda: zipf.shares(300, "1"), "s is '1'; allowed: 0 to 3"),
        (lambda: chain([0.5, 0.5]), "must be Fractions above 0"),
        (lambda: chain([Fraction(1, 2), Fraction(1, 3)]), "their sum exactly 1"),
        (lambda: chain([Fraction(1), Fraction(0)]), "must be Fractions above 0"),
        (lambda: chain([Fraction(1, 13)] * 13), r"13 guests have 2\*\*13 sets; allowed: 1 to 12 guests"),
    ],
)
def test_bad_values_are_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
