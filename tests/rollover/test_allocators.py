"""Set the allocators of 3.9 and 5.18 side by side: same flushes, and what differs, as the reference says."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from kvmlab.engine import Config, InputError, Machine
from kvmlab.rollover.allocators import Linux39, Linux518, compare
from kvmlab.rollover.schedules import SCHEDULES, schedule
from kvmlab.rollover.simulate import positions

ORACLE = json.loads((Path(__file__).parent.parent / "oracles" / "vmid_rollover.json").read_text())["pcpus"]["table"]


@pytest.mark.parametrize("key", [*SCHEDULES, "switches"])
@pytest.mark.parametrize(("guests", "bits", "cpus"), [(300, 8, 1), (300, 8, 8), (18, 4, 4), (6, 2, 2), (9, 3, 6)])
def test_both_flush_at_the_entries_that_the_simulation_finds(key: str, guests: int, bits: int, cpus: int) -> None:
    one, entries = schedule(key), 12_000
    if cpus > one.most_cpus:
        cpus = 1
    both = compare(one, guests, entries, vmid_bits=bits, cpus=cpus, seed=5)
    ids = np.concatenate(list(islice(one.turns(guests, 5, cpus), 2)))[: entries // one.length]
    found = [int(turn) * one.length for part in positions([ids], guests, vmid_bits=bits, cpus=cpus) for turn in part]
    assert len(found) > 0
    assert both["3.9"].at == [0, *found]  # and at boot
    assert both["5.18"].at == found
    assert both["3.9"].kicks == both["3.9"].reentries == (cpus - 1) * len(found)
    assert both["5.18"].kicks == both["5.18"].reentries == 0
    assert both["3.9"].renumbered > both["5.18"].renumbered


@pytest.mark.parametrize("guests", ["300", "512"])
@pytest.mark.parametrize("cpus", ["1", "8"])
def test_how_many_change_their_number_is_what_the_reference_counted(guests: str, cpus: str) -> None:
    row = ORACLE[guests][cpus]
    later = compare(SCHEDULES["uniform"], int(guests), 200_000, cpus=int(cpus))["5.18"]
    assert later.renumbered / later.flushes == pytest.approx(row["sim518_vmid_changed_per_flush"], rel=0.03)


@pytest.mark.parametrize("release", ["3.9", "5.18"])
@pytest.mark.parametrize(("bits", "guests", "cpus"), [(2, 5, 1), (3, 11, 3), (4, 20, 4)])
def test_the_engine_gives_the_same_numbers(release: str, bits: int, guests: int, cpus: int) -> None:
    machine = Machine(Config(ncpus=cpus, vmid_bits=bits, allocator=release, recording=False))
    for _ in range(guests):
        machine.create_vm()
    short = {"3.9": Linux39, "5.18": Linux518}[release](bits, cpus)
    turns = islice(SCHEDULES["uniform"].entries(guests, 8, cpus), 600)
    for guest, cpu in turns:
        running = list(short.running)
        kicks = short.counts.kicks
        machine.enter(guest, cpu=cpu)
        short.turn(guest, cpu)
        if short.counts.kicks > kicks:  # who was kicked comes back at once
            for other, who in enumerate(running):
                if other != cpu and who >= 0:
                    machine.enter(who, cpu=other)
        numbers = {who: machine.kvm(who).vmid for who in short.vmid}
        assert numbers == short.vmid
    assert short.counts.flushes > 10


def test_bad_values_are_named() -> None:
    with pytest.raises(InputError, match="cpus is 3; allowed: 1 to 2"):
        compare(SCHEDULES["uniform"], 9, 10, vmid_bits=2, cpus=3)
    with pytest.raises(InputError, match="entries is -1; allowed: 0 to"):
        compare(SCHEDULES["uniform"], 9, -1)
