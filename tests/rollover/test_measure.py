"""Run the engine's allocator and compare with the reference traces, and with the closed forms."""

import hashlib
import json
import struct
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest

from kvmlab.engine import Config, InputError, Machine
from kvmlab.rollover import measure, theory
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.rollover.simulate import simulate

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
    boot, *flushes = run.flushes
    assert boot == 0
    assert flushes[:10] == row["first10"]
    assert len(flushes) == row["flushes"]
    assert hashlib.sha256(struct.pack(f"<{row['flushes']}Q", *flushes)).hexdigest() == row["sha256_positions"]
    assert (run.generation - 1, run.next_vmid) == (row["final_generation"], row["final_next_vmid"])
    assert run.entries == LCG_ENTRIES


@pytest.mark.parametrize(("bits", "guests"), [(8, 256), (8, 300), (8, 512), (4, 16), (4, 31), (2, 4)])
def test_round_robin_is_exact(bits: int, guests: int) -> None:
    gap, entries = theory.usable(bits), 3000
    run = measure.run(cycle(range(guests)), entries, vmid_bits=bits)
    assert run.flushes == tuple(range(0, entries, gap))
    assert len(run.flushes) == theory.round_robin(guests, bits).flushes(entries, cold_boot=True)


@pytest.mark.parametrize(("bits", "guests"), [(8, 1), (8, 255), (4, 15), (2, 3)])
def test_no_flush_after_boot_while_the_numbers_last(bits: int, guests: int) -> None:
    assert measure.run(cycle(range(guests)), 2000, vmid_bits=bits).flushes == (0,)


def test_an_order_may_end_early() -> None:
    run = measure.run([0, 1, 0], 10, vmid_bits=2)
    assert (run.entries, run.flushes, run.generation, run.next_vmid) == (3, (0,), 2, 3)
    assert measure.run([], 10).flushes == ()


def test_bad_values_are_named() -> None:
    with pytest.raises(InputError, match="entries is -1; allowed: 0 to"):
        measure.run([0], -1)
    with pytest.raises(InputError, match="vmid_bits is 99; allowed: 2 to 16"):
        measure.run([0], 1, vmid_bits=99)


@pytest.mark.parametrize("key", SCHEDULES)
@pytest.mark.parametrize("cpus", [2, 4])
def test_the_simulation_is_a_machines_on_several_cpus(key: str, cpus: int) -> None:
    """Whoever is kicked enters again at once, as the run loop of its vCPU does."""
    bits, guests, entries = 4, 18, 1504
    machine = Machine(Config(ncpus=cpus, vmid_bits=bits))
    for _ in range(guests):
        machine.create_vm()
    flushes, forced = [], 0
    for number, (guest, cpu) in enumerate(islice(SCHEDULES[key].entries(guests, 9, cpus), entries)):
        there = [other.number for other in machine.cpus if other.in_guest and other.number != cpu]
        inside = [machine.linux.vcpu_on(other).kvm.number for other in there]
        assert guest not in inside
        generation = machine.linux.kvm_vmid_gen
        machine.enter(guest, cpu=cpu)
        if machine.linux.kvm_vmid_gen != generation:
            flushes.append(number)
            for other, who in zip(there, inside, strict=True):
                machine.enter(who, cpu=other)
                forced += 1
    counted = simulate(SCHEDULES[key], guests, entries, vmid_bits=bits, cpus=cpus, seed=9, cold_boot=True)
    assert (counted.entries, counted.flushes, counted.forced) == (entries, len(flushes), forced)
    assert (counted.since, counted.last) == (flushes[1], flushes[-1])
    assert len(flushes) > 3
