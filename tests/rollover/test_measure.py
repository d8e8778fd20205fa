"""Run the engine's allocator and compare with the reference traces, and with the closed forms."""

import hashlib
import json
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from kvmlab.engine import Config, InputError, Machine
from kvmlab.rollover import measure, schedules, theory
from kvmlab.rollover.schedules import SCHEDULES

LCG = json.loads((Path(__file__).parent.parent / "oracles" / "vmid_rollover.json").read_text())["trace_lcg"]["table"]
LCG_ENTRIES = 200_000


def lcg(guests: int) -> Iterator[int]:
    """The reference's random numbers: see trace_lcg.note in the oracle."""
    x = 12345
    while True:
        x = (1664525 * x + 1013904223) % 2**32
        yield ((x >> 16) * guests) >> 16


@pytest.mark.parametrize("guests", [pytest.param(int(n), marks=[pytest.mark.slow] * (int(n) > 256)) for n in LCG])
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
    run = measure.run(schedules.round_robin(guests), entries, vmid_bits=bits)
    assert run.flushes == tuple(range(0, entries, gap))
    assert run.rate == theory.round_robin(guests, bits).rate
    assert len(run.flushes) == theory.round_robin(guests, bits).flushes(entries, cold_boot=True)


@pytest.mark.parametrize(("bits", "guests"), [(8, 1), (8, 255), (4, 15), (2, 3)])
def test_no_flush_after_boot_while_the_numbers_last(bits: int, guests: int) -> None:
    for order in (schedules.round_robin(guests), schedules.uniform(guests, seed=3)):
        run = measure.run(order, 2000, vmid_bits=bits)
        assert run.flushes == (0,)
        assert run.rate == 0


@pytest.mark.parametrize(
    ("bits", "guests", "entries"), [(8, 300, 60_000), (8, 512, 60_000), (4, 16, 40_000), (4, 20, 40_000)]
)
def test_uniform_lies_within_its_bounds(bits: int, guests: int, entries: int) -> None:
    gap = theory.uniform(guests, bits)
    run = measure.run(schedules.uniform(guests, seed=7), entries, vmid_bits=bits)
    low, high = gap.interval(entries, level=0.999)
    assert abs(len(run.after_boot) - gap.flushes(entries)) <= (high - low) / 2 * entries
    assert len(run.after_boot) > 100


def test_the_same_seed_gives_the_same_order() -> None:
    first = list(islice(schedules.uniform(300, seed=5), 1000))
    assert first == list(islice(schedules.uniform(300, seed=5), 1000))
    assert first != list(islice(schedules.uniform(300, seed=6), 1000))
    assert set(first) <= set(range(300))


def test_an_order_may_end_early() -> None:
    run = measure.run([0, 1, 0], 10, vmid_bits=2)
    assert (run.entries, run.flushes, run.generation, run.next_vmid) == (3, (0,), 2, 3)
    assert measure.run([], 10).flushes == ()


def test_sweep_is_one_run_for_each_number(capsys: pytest.CaptureFixture[str]) -> None:
    runs = measure.sweep(schedules.round_robin, [3, 4, 5], 100, vmid_bits=2, progress=False)
    assert {n: run.rate for n, run in runs.items()} == {3: 0, 4: 1 / 3, 5: 1 / 3}
    assert capsys.readouterr().err == ""
    measure.sweep(schedules.round_robin, [3, 4], 100, vmid_bits=2)
    assert "guests" in capsys.readouterr().err


def test_bad_values_are_named() -> None:
    with pytest.raises(InputError, match="guests is 0; allowed: 1 to"):
        schedules.round_robin(0)
    with pytest.raises(InputError, match="guests is 0; allowed: 1 to"):
        schedules.uniform(0, seed=1)
    with pytest.raises(InputError, match="entries is -1; allowed: 0 to"):
        measure.run([0], -1)
    with pytest.raises(InputError, match="vmid_bits is 99; allowed: 2 to 16"):
        measure.run([0], 1, vmid_bits=99)


@pytest.mark.parametrize("key", SCHEDULES)
@pytest.mark.parametrize(("bits", "guests"), [(2, 4), (4, 15), (4, 20), (8, 300)])
def test_the_quick_count_is_the_engines(key: str, bits: int, guests: int) -> None:
    schedule, entries = SCHEDULES[key], 1200 << bits // 2
    order = (guest for guest, _ in schedule.entries(guests, seed=4))
    slow = measure.run(order, entries, vmid_bits=bits)
    assert measure.count(schedule, guests, entries, vmid_bits=bits, seed=4) == slow
    assert len(slow.flushes) > 1 or guests == 15


@pytest.mark.parametrize("key", SCHEDULES)
@pytest.mark.parametrize("cpus", [2, 4])
def test_the_quick_count_is_a_machines_on_several_cpus(key: str, cpus: int) -> None:
    """Whoever is kicked enters again at once, as the run loop of its vCPU does."""
    bits, guests, entries = 4, 18, 1500
    machine = Machine(Config(ncpus=cpus, vmid_bits=bits))
    for _ in range(guests):
        machine.create_vm()
    flushes, made = [], 0
    for number, (guest, cpu) in enumerate(SCHEDULES[key].entries(guests, 9, cpus)):
        if made >= entries and number % SCHEDULES[key].length == 0:
            break
        there = [other.number for other in machine.cpus if other.in_guest and other.number != cpu]
        inside = [machine.linux.vcpu_on(other).kvm.number for other in there]
        assert guest not in inside
        generation = machine.linux.kvm_vmid_gen
        machine.enter(guest, cpu=cpu)
        if machine.linux.kvm_vmid_gen != generation:
            flushes.append(made)
            for other, who in zip(there, inside, strict=True):
                machine.enter(who, cpu=other)
                made += 1
        made += 1
    counted = measure.count(SCHEDULES[key], guests, entries, vmid_bits=bits, cpus=cpus, seed=9)
    assert (counted.entries, counted.flushes) == (made, tuple(flushes))
    assert counted.generation == machine.linux.kvm_vmid_gen
    assert counted.next_vmid == machine.linux.kvm_next_vmid
    assert len(flushes) > 3


def test_gaps_that_were_seen() -> None:
    run = measure.Run(100, (0, 10, 30), 4, 1)
    assert (run.gap.mean, run.gap.variance) == (15, 25)
    assert run.rate == 2 / 30
    assert measure.Run(100, (0,), 2, 1).gap.mean == float("inf")
    assert measure.count(SCHEDULES["random"], 3, 0) == measure.Run(0, (), 1, 0)


def test_bad_values_of_the_quick_count_are_named() -> None:
    with pytest.raises(InputError, match="cpus is 3; allowed: 1 to 2"):
        measure.count(SCHEDULES["random"], 9, 10, vmid_bits=2, cpus=3)
    with pytest.raises(InputError, match="entries is -1; allowed: 0 to"):
        measure.count(SCHEDULES["random"], 9, -1)
