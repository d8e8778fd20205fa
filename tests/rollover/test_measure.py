"""Run the engine's allocator and compare with the reference traces, and with the closed forms."""

import hashlib
import json
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from kvmlab.engine import InputError
from kvmlab.rollover import measure, theory

LCG = json.loads((Path(__file__).parent.parent / "oracles" / "vmid_rollover.json").read_text())["trace_lcg"]["table"]
LCG_ENTRIES = 200_000


def lcg(guests: int) -> Iterator[int]:
    """The reference's random numbers: see trace_lcg.note in the oracle."""
    x = 12345
    while True:
        x = (1664525 * x + 1013904223) % 2**32
        yield ((x >> 16) * guests) >> 16


@pytest.mark.parametrize("guests", [int(n) for n in LCG])
def test_flush_positions_equal_the_reference(guests: int) -> None:
    """The reference starts with generation 1 and next VMID 1; Linux 3.9 starts with next VMID 0.

    So here the very first entry flushes as well, and the generation is one higher; all else is the same.
    """
    row, run = LCG[str(guests)], measure.run(lcg(guests), LCG_ENTRIES)
    assert run.flushes[0] == 0
    assert list(run.after_boot[:10]) == row["first10"]
    assert len(run.after_boot) == row["flushes"]
    assert hashlib.sha256(struct.pack(f"<{row['flushes']}Q", *run.after_boot)).hexdigest() == row["sha256_positions"]
    assert (run.generation - 1, run.next_vmid) == (row["final_generation"], row["final_next_vmid"])
    assert run.entries == LCG_ENTRIES


@pytest.mark.parametrize(("bits", "guests"), [(8, 256), (8, 300), (8, 512), (4, 16), (4, 31), (2, 4)])
def test_round_robin_is_exact(bits: int, guests: int) -> None:
    gap, entries = theory.usable(bits), 3000
    run = measure.run(measure.round_robin(guests), entries, vmid_bits=bits)
    assert run.flushes == tuple(range(0, entries, gap))
    assert run.rate == theory.round_robin(guests, bits).rate
    assert len(run.flushes) == theory.round_robin(guests, bits).flushes(entries, cold_boot=True)


@pytest.mark.parametrize(("bits", "guests"), [(8, 1), (8, 255), (4, 15), (2, 3)])
def test_no_flush_after_boot_while_the_numbers_last(bits: int, guests: int) -> None:
    for order in (measure.round_robin(guests), measure.uniform(guests, seed=3)):
        run = measure.run(order, 2000, vmid_bits=bits)
        assert run.flushes == (0,)
        assert run.rate == 0


@pytest.mark.parametrize(
    ("bits", "guests", "entries"), [(8, 300, 60_000), (8, 512, 60_000), (4, 16, 40_000), (4, 20, 40_000)]
)
def test_uniform_lies_within_its_bounds(bits: int, guests: int, entries: int) -> None:
    gap = theory.uniform(guests, bits)
    run = measure.run(measure.uniform(guests, seed=7), entries, vmid_bits=bits)
    low, high = gap.interval(entries, level=0.999)
    assert abs(len(run.after_boot) - gap.flushes(entries)) <= (high - low) / 2 * entries
    assert len(run.after_boot) > 100


def test_the_same_seed_gives_the_same_order() -> None:
    first = list(islice(measure.uniform(300, seed=5), 1000))
    assert first == list(islice(measure.uniform(300, seed=5), 1000))
    assert first != list(islice(measure.uniform(300, seed=6), 1000))
    assert set(first) <= set(range(300))


def test_an_order_may_end_early() -> None:
    run = measure.run([0, 1, 0], 10, vmid_bits=2)
    assert (run.entries, run.flushes, run.generation, run.next_vmid) == (3, (0,), 2, 3)
    assert measure.run([], 10).flushes == ()


def test_sweep_is_one_run_for_each_number(capsys: pytest.CaptureFixture[str]) -> None:
    runs = measure.sweep(measure.round_robin, [3, 4, 5], 100, vmid_bits=2, progress=False)
    assert {n: run.rate for n, run in runs.items()} == {3: 0, 4: 1 / 3, 5: 1 / 3}
    assert capsys.readouterr().err == ""
    measure.sweep(measure.round_robin, [3, 4], 100, vmid_bits=2)
    assert "guests" in capsys.readouterr().err


def test_bad_values_are_named() -> None:
    with pytest.raises(InputError, match="guests is 0; allowed: 1 to"):
        measure.round_robin(0)
    with pytest.raises(InputError, match="guests is 0; allowed: 1 to"):
        measure.uniform(0, seed=1)
    with pytest.raises(InputError, match="entries is -1; allowed: 0 to"):
        measure.run([0], -1)
    with pytest.raises(InputError, match="vmid_bits is 99; allowed: 2 to 16"):
        measure.run([0], 1, vmid_bits=99)
