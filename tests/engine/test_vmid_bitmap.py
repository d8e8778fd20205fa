"""The allocator of Linux 5.18: against a plain model written from its description, and against that of Linux 3.9."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlab.engine import Config, InputError, Machine, Slot
from kvmlab.engine.explore import Program, explore
from kvmlab.session import Session

ORACLE = json.loads((Path(__file__).parents[1] / "oracles" / "vmid_rollover.json").read_text())["pcpus"]["table"]
OFF = (0, 0)
"""What a CPU says when its guest was taken off: a number of no generation."""

Id = tuple[int, int]
"""Generation and number."""
Vcpu = tuple[int, int]
"""Guest, and which of its vCPUs."""


@dataclass
class Plain:
    """The description in dictionaries: who has which number, who is on which CPU, and what a CPU keeps for him."""

    bits: int
    generation: int = 1
    taken: set[int] = field(default_factory=set)
    ids: dict[int, Id] = field(default_factory=dict)
    on: dict[int, Vcpu] = field(default_factory=dict)
    active: dict[int, Id] = field(default_factory=dict)
    reserved: dict[int, Id] = field(default_factory=dict)
    cpus: range = range(2)
    found: int = 1

    def enter(self, guest: int, vcpu: int, cpu: int) -> bool:
        """Enter; returns whether everything was flushed."""
        for place, there in list(self.on.items()):
            if (place == cpu) != (there == (guest, vcpu)):
                self.active[place] = OFF
                del self.on[place]
        self.on[cpu] = (guest, vcpu)
        flushed = False
        if guest not in self.ids or self.ids[guest][0] != self.generation:
            flushed = self._number(guest)
        self.active[cpu] = self.ids[guest]
        return flushed

    def _number(self, guest: int) -> bool:
        if guest in self.ids:
            old = self.ids[guest]
            keepers = [cpu for cpu, kept in self.reserved.items() if kept == old]
            if keepers or old[1] not in self.taken:
                self.ids[guest] = (self.generation, old[1])
                self.reserved.update(dict.fromkeys(keepers, self.ids[guest]))
                self.taken.add(old[1])
                return False
        numbers = set(range(1, 1 << self.bits))
        flushed = not numbers - self.taken
        if flushed:
            self.generation += 1
            for cpu in self.cpus:
                if cpu in self.active:
                    self.reserved[cpu] = self.active.pop(cpu)
            self.taken = {number for _, number in self.reserved.values()} - {0}
        self.found = min(numbers - self.taken)
        self.ids[guest] = (self.generation, self.found)
        self.taken.add(self.ids[guest][1])
        return flushed


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int, int]]]:
    """Draw bits, CPUs and turns (guest, vCPU, CPU): guests come, go and move as they like."""
    bits = draw(st.integers(2, 4))
    cpus = draw(st.integers(1, min(4, (1 << bits) - 2)))
    guests = draw(st.integers(1, (1 << bits) + 5))
    turn = st.tuples(st.integers(0, guests - 1), st.integers(0, 1), st.integers(0, cpus - 1))
    return bits, cpus, draw(st.lists(turn, min_size=1, max_size=70))


def booted(bits: int, cpus: int, guests: int, allocator: str = "5.18", recording: bool = True) -> Machine:
    machine = Machine(
        Config(vmid_bits=bits, ncpus=cpus, allocator=allocator, tlb_sets=4, tlb_ways=2, recording=recording)
    )
    for guest in range(guests):
        machine.create_vm([Slot(0x8000_0000, 0x1000, 0x4000_0000 + 0x1000 * guest)], vcpus=2)
    return machine


def names(machine: Machine, start: int) -> list[str]:
    return [name if args.get("scope") != "vmid" else "" for name, args in machine.stream.marks(start)]


def inside(machine: Machine) -> dict[int, int]:
    """Return by CPU the VM that runs there now."""
    runs = {cpu.number: machine.linux.vcpu_on(cpu.number) for cpu in machine.cpus if cpu.in_guest}
    return {cpu: vcpu.kvm.number for cpu, vcpu in runs.items() if vcpu}


def wrong(machine: Machine) -> str:
    """Say which of the invariants of VMIDs does not hold now."""
    running = inside(machine)
    for cpu, vm in running.items():
        if not machine.cpus[cpu].vmid or not machine.cpus[cpu].vttbr & 0xFFFF_FFFF:
            return f"CPU {cpu} runs a guest under the host's number or without tables"
        for cpu2, vm2 in running.items():
            if (vm == vm2) != (machine.cpus[cpu].vmid == machine.cpus[cpu2].vmid):
                return f"CPUs {cpu} and {cpu2} run guests {vm} and {vm2} under wrong numbers"
    for cpu, vm in running.items():
        own = {host.pte(0x4000_0000 + 0x1000 * vm) & ~0xFFF for vm2, host in machine.hosts.items() if vm2 == vm}
        for entry in machine.cpus[cpu].tlb.entries():
            if entry.vmid == machine.cpus[cpu].vmid and own and entry.descriptor & 0xFF_FFFF_F000 not in own:
                return f"CPU {cpu} has an entry of another guest under the number of guest {vm}"
    return ""


@given(runs())
def test_numbers_generations_and_flushes_are_those_of_the_plain_model(run: tuple[int, int, list]) -> None:
    bits, cpus, turns = run
    machine = booted(bits, cpus, 1 + max(guest for guest, _, _ in turns))
    model = Plain(bits, cpus=range(cpus))
    for guest, vcpu, cpu in turns:
        start, full = len(machine.stream), len(model.taken) == (1 << bits) - 1
        machine.enter(guest, vcpu=vcpu, cpu=cpu)
        flushed = model.enter(guest, vcpu, cpu)
        seen = names(machine, start)
        assert flushed <= full, "a flush only when no number is free"
        assert (seen.count("tlb/flushed"), seen.count("vmid/rolled_over")) == (flushed, flushed)
        assert "vmid/kicked" not in seen
        assert "vmid/stale" not in seen
        kvm = machine.kvm(guest)
        assert (kvm.vmid_gen, kvm.vmid) == model.ids[guest]
        assert kvm.vmid_id == kvm.vmid_gen << bits | kvm.vmid
        assert kvm.vttbr == kvm.pgd | kvm.vmid << 48
        assert machine.linux.generation == model.generation == machine.linux.vmids.vmid_generation >> bits
        taken = {n for n in range(1, 1 << bits) if machine.linux.vmids.vmid_map[n // 64] >> n % 64 & 1}
        assert taken == model.taken
        assert machine.linux.vmids.cur_idx == model.found
        assert inside(machine) == {place: vm for place, (vm, _) in model.on.items()}
        assert machine.cpus[cpu].vmid == kvm.vmid


@given(runs())
def test_the_invariants_hold_with_guests_that_use_their_memory(run: tuple[int, int, list]) -> None:
    bits, cpus, turns = run
    machine = booted(bits, cpus, 1 + max(guest for guest, _, _ in turns))
    owners: dict[int, int] = {}
    for guest, vcpu, cpu in turns:
        before = {c: (vm, machine.cpus[c].vmid) for c, vm in inside(machine).items()}
        start = len(machine.stream)
        machine.access(guest, 0x8000_0000, "write", value=guest + 1, vcpu=vcpu, cpu=cpu)
        assert machine.access(guest, 0x8000_0000, vcpu=vcpu, cpu=cpu).value == guest + 1
        assert wrong(machine) == ""
        if "vmid/rolled_over" in names(machine, start):
            for c, (vm, vmid) in before.items():
                if inside(machine).get(c) == vm and c != cpu:
                    assert machine.cpus[c].vmid == vmid, "a guest that runs on keeps its number"
            owners = {vmid: vm for c, (vm, vmid) in before.items() if inside(machine).get(c) == vm}
        assert owners.setdefault(machine.kvm(guest).vmid, guest) == guest, "one number, one guest, for a generation"


@given(st.integers(2, 4), st.integers(1, 2), st.randoms(use_true_random=False))
def test_linux_3_9_flushes_at_the_same_turns_when_nobody_idles(bits: int, cpus: int, rng: random.Random) -> None:
    guests = (1 << bits) + rng.randrange(4)
    turns = list(busy(guests, cpus, 90, rng))
    positions = {}
    for allocator in ("3.9", "5.18"):
        machine, positions[allocator] = booted(bits, cpus, guests, allocator), []
        for turn, (guest, cpu) in enumerate(turns):
            start = len(machine.stream)
            machine.enter(guest, cpu=cpu)
            if "vmid/rolled_over" in names(machine, start):
                positions[allocator].append(turn)
            for kicked in (c for n, a in list(machine.stream.marks(start)) if n == "vmid/kicked" for c in a["cpus"]):
                vcpu = machine.linux.vcpu_on(kicked)
                assert vcpu is not None
                machine.enter(vcpu.kvm.number, cpu=kicked)
    assert positions["3.9"] == [0, *positions["5.18"]], "only the flush of the very first entry is not there"


def busy(guests: int, cpus: int, turns: int, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Yield turns: first each CPU gets a guest, then one CPU at a time takes one that is on no other CPU."""
    on = dict(enumerate(range(cpus)))
    yield from ((guest, cpu) for cpu, guest in on.items())
    for _ in range(turns):
        cpu = rng.randrange(cpus)
        guest = rng.choice([g for g in range(guests) if g not in {v for c, v in on.items() if c != cpu}])
        on[cpu] = guest
        yield guest, cpu


def test_the_first_entry_gets_number_1_and_flushes_nothing() -> None:
    machine = booted(2, 2, 1)
    machine.enter(0)
    assert "tlb/flushed" not in names(machine, 0)
    assert (machine.kvm(0).vmid, machine.linux.generation) == (1, 1)


def test_a_rollover_keeps_the_numbers_of_who_is_on_a_cpu_and_says_which() -> None:
    machine = booted(2, 2, 4)
    for guest, cpu in ((0, 0), (1, 1), (2, 0)):
        machine.enter(guest, cpu=cpu)
    start = len(machine.stream)
    machine.enter(3, cpu=0)
    marks = dict(machine.stream.marks(start))
    assert marks["vmid/rolled_over"] == {"generation": 2, "next": 1, "reserved": [2]}
    assert marks["vmid/assigned"] == {"vm": 3, "vmid": 1, "generation": 2, "next": 3, "kept": False}
    assert (machine.cpus[1].vmid, machine.cpus[1].in_guest) == (2, 1)
    machine.enter(1, cpu=1)
    assert dict(machine.stream.marks(start))["vmid/assigned"]["kept"] is True


def test_a_guest_taken_off_its_cpu_or_destroyed_reserves_nothing() -> None:
    for how in ("another", "moved", "destroyed"):
        machine = booted(3, 2, 12)
        machine.enter(0, cpu=1)
        if how == "destroyed":
            machine.destroy_vm(0)
        elif how == "moved":
            machine.enter(0, cpu=0)
        else:
            machine.enter(1, cpu=1)
            machine.enter(0, cpu=0)
        for guest in range(2, 10):
            machine.enter(guest, cpu=0)
        reserved = dict(machine.stream.marks())["vmid/rolled_over"]["reserved"]
        assert reserved == ([2] if how == "another" else []), how


def test_an_exit_alone_does_not_take_a_guest_off_its_cpu() -> None:
    machine = booted(2, 2, 4)
    machine.enter(0, cpu=1)
    machine.leave(1)
    for guest in (1, 2, 3):
        machine.enter(guest, cpu=0)
    assert dict(machine.stream.marks())["vmid/rolled_over"]["reserved"] == [1]


def test_a_vcpu_that_runs_through_two_rollovers_still_shares_its_number_with_the_other_one() -> None:
    machine = booted(3, 3, 20)
    machine.enter(0, vcpu=0, cpu=1)
    machine.enter(0, vcpu=1, cpu=2)
    others = iter(range(1, 20))
    for generation in (2, 3):
        while machine.linux.generation < generation:
            machine.enter(next(others), cpu=0)
        machine.enter(0, vcpu=0, cpu=1)
        assert machine.cpus[1].vmid == machine.cpus[2].vmid == machine.kvm(0).vmid
        machine.enter(next(others), cpu=1)


@pytest.mark.parametrize("told", ["two vCPUs of a new guest", "a known guest and a rollover", "two new guests"])
def test_every_schedule_of_two_entries_keeps_the_invariants(told: str) -> None:
    def program() -> Program:
        machine = Machine(Config(vmid_bits=2, allocator="5.18", tlb_sets=1))
        for _ in range(5):
            machine.create_vm(vcpus=2)
        machine.enter(0, cpu=0)
        machine.enter(1, cpu=1)
        machine.enter(2, cpu=0)
        second = {"two vCPUs of a new guest": (3, 1), "a known guest and a rollover": (0, 0), "two new guests": (4, 0)}
        vm, vcpu = second[told]
        operations = {
            "first": machine.begin("enter", vm=3, cpu=0),
            "second": machine.begin("enter", vm=vm, vcpu=vcpu, cpu=1),
        }
        return Program(machine, operations, wrong)

    outcomes = list(explore(program))
    assert len(outcomes) > 20
    assert {outcome.verdict for outcome in outcomes} == {""}


@given(runs(), st.randoms(use_true_random=False))
def test_seeking_back_and_forth_gives_the_same_state(run: tuple[int, int, list], rng: random.Random) -> None:
    bits, cpus, turns = run
    machine = booted(bits, cpus, 1 + max(guest for guest, _, _ in turns))
    states = {}
    for guest, vcpu, cpu in turns:
        machine.enter(guest, vcpu=vcpu, cpu=cpu)
        states[len(machine.stream)] = list(machine.stream.variables)
    for place in rng.sample(sorted(states), len(states)):
        machine.seek(place)
        assert machine.stream.variables == states[place]


def test_a_saved_run_comes_back_with_its_allocator(tmp_path: Path) -> None:
    session = Session(Config(vmid_bits=2, allocator="5.18"))
    for guest in range(5):
        session.do("create_vm")
        session.do("enter", vm=guest, cpu=guest % 2)
    session.save(tmp_path / "run.jsonl")
    loaded = Session.load(tmp_path / "run.jsonl")
    assert loaded.machine.config == session.machine.config
    assert list(loaded.machine.stream) == list(session.machine.stream)
    branched = session.branch()
    assert list(branched.machine.stream) == list(session.machine.stream)


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(InputError, match=r"allocator is '6\.1'; allowed: 3\.9, 5\.18"):
        Config(allocator="6.1")
    with pytest.raises(InputError, match=r"ncpus is 3; allowed with allocator 5\.18 and 2 bits: 1 to 2"):
        Config(allocator="5.18", vmid_bits=2, ncpus=3)
    assert Config(vmid_bits=2, ncpus=3).allocator == "3.9"


@pytest.mark.slow
@pytest.mark.parametrize("cpus", [1, 4])
def test_300_guests_change_as_many_numbers_in_a_generation_as_counted_elsewhere(cpus: int) -> None:
    oracle = ORACLE["300"][str(cpus)]
    machine = booted(8, cpus, 300, recording=False)
    changed, kept, gaps, numbers, generation = [], [], [], dict[int, tuple[int, int]](), 1
    for guest, cpu in busy(300, cpus, 572 * 100, random.Random(7)):
        machine.enter(guest, cpu=cpu)
        kvm = machine.kvm(guest)
        if machine.linux.generation != generation:
            generation = machine.linux.generation
            changed.append(0)
            kept.append(0)
            gaps.append(0)
        if gaps:
            gaps[-1] += 1
            before = numbers.get(guest, (0, 0))
            if before[0] and before[0] != kvm.vmid_gen:
                changed[-1] += before[1] != kvm.vmid
                kept[-1] += before[1] == kvm.vmid
        numbers[guest] = kvm.vmid_gen, kvm.vmid
    settled = slice(5, -1)
    print(cpus, mean(changed[settled]), mean(kept[settled]), mean(gaps[settled]))
    assert mean(changed[settled]) == pytest.approx(oracle["sim518_vmid_changed_per_flush"], abs=3)
    expected = oracle["sim518_vmid_kept_per_flush"] + oracle["sim518_reserved_hits_per_flush"]
    assert mean(kept[settled]) == pytest.approx(expected, abs=3)
    assert mean(gaps[settled]) == pytest.approx(oracle["sim518_gap"], rel=0.03)
