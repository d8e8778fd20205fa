"""Read the VMID scene of a machine with the allocator of Linux 5.18, and compare it with the machine."""

import random
from collections import Counter

import pytest

from kvmlab.engine import Config, Machine
from kvmlab.scenes.scene import Scene, plain
from kvmlab.scenes.sources import BROWSER, source_of
from kvmlab.scenes.stories import vmids
from kvmlab.scenes.vmid.bitmap import BitmapStory
from kvmlab.scenes.vmid.counts import Counts, count
from kvmlab.scenes.vmid.story import VmidStory
from tests.scenes.runs import shuffled, turns


def machine(bits: int, ncpus: int, order: list[tuple[int, int]], allocator: str = "5.18") -> Machine:
    """Return a machine on which guests have entered: (guest, cpu), ..."""
    made = Machine(Config(vmid_bits=bits, ncpus=ncpus, allocator=allocator))
    for _ in range(1 + max(guest for guest, _ in order)):
        made.create_vm()
    for guest, cpu in order:
        made.enter(guest, cpu=cpu)
    return made


def scene(made: Machine) -> Scene:
    return vmids(made).read(made.stream).check()


RUNS = {
    "classroom": (4, 2, turns(60, 18, 2)),
    "one cpu": (4, 1, turns(53, 16, 1)),
    "tiny": (2, 2, shuffled(120, 6, 2, 1)),
    "real": (8, 4, turns(262, 257, 4)),
    "random": (3, 4, shuffled(300, 14, 4, 2)),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest) -> tuple[Machine, Scene]:
    made = machine(*RUNS[request.param])
    return made, scene(made)


def test_every_step_shows_the_machine_at_that_moment(run: tuple[Machine, Scene]) -> None:
    made, told = run
    linux, end = made.linux, len(made.stream)
    shown = told.base()
    for step in told.steps:
        for part, state, text in step.patches:
            shown[part] = (shown[part][0] if state is None else state, shown[part][1] if text is None else text)
        if "enters" not in step.title and "gets" not in step.title and "keeps" not in step.title:
            continue
        made.stream.seek(step.event)
        current = {kvm.vmid: kvm.number for kvm in linux.vm_list.values() if kvm.vmid_gen == linux.generation}
        held = {int(p[1:]): shown[f"{p}.t"][1] for p, (state, _) in shown.items() if "held" in state and p[0] == "v"}
        assert {vmid: int(text.removeprefix("guest ")) for vmid, text in held.items()} == current
        kept = {int(p[1:]) for p, (state, _) in shown.items() if "kept" in state and p[0] == "v"}
        taken = {n for n in range(1, linux.vmids.size) if linux.vmids.vmid_map[n // 64] >> n % 64 & 1}
        assert kept == taken - set(current)
        nothing = linux.vmids.find_zero(linux.vmids.cur_idx) or "none"
        assert (shown["gen.t"][1], shown["nxt.t"][1]) == (str(linux.generation), str(nothing))
        marked = [p for p, (state, _) in shown.items() if " next" in state]
        assert marked == ([] if nothing == "none" else [f"v{nothing}"])
        for cpu in made.cpus:
            if cpu.in_guest and f"cpu{cpu.number}" not in step.now:
                assert shown[f"cpu{cpu.number}.v"][1] == f"VMID {cpu.vmid}"
                vcpu = linux.vcpu_on(cpu.number)
                assert vcpu is not None
                assert shown[f"cpu{cpu.number}.g"][1] == f"guest {vcpu.kvm.number}"
    made.stream.seek(end)


def test_nobody_is_ever_kicked_and_the_flushes_are_counted(run: tuple[Machine, Scene]) -> None:
    made, told = run
    shown = told.at(len(told.steps) - 1)
    flushes = [name for name, _ in made.stream.marks()].count("tlb/flushed")
    assert (shown["n.ipi.t"][1], shown["n.fl.t"][1]) == ("0", str(flushes))
    assert [step.mark for step in told.steps].count("flush") == flushes > 0
    assert not any("kicked out" in step.title for step in told.steps)


def test_words_keep_the_rules_and_lead_to_linux_5_18(run: tuple[Machine, Scene]) -> None:
    _, told = run
    for step in told.steps:
        assert step.why.count("{c|") <= 1
        assert step.why.count("{e|") == 1
        assert "!" not in step.title + plain(step.why)
        assert step.log
        assert source_of(step.fn) == "https://elixir.bootlin.com/linux/v5.18/source/arch/arm64/kvm/vmid.c"
    assert BROWSER.replace("v3.9", "v5.18") in source_of("flush_context()")
    assert "5.18" in told.title
    assert "5.18" in told.source


def test_a_rollover_with_guests_on_the_other_cpus() -> None:
    told = scene(machine(4, 2, [*turns(15, 15, 2), (15, 1), (14, 0), (0, 1), (13, 1)]))
    titles = [step.title for step in told.steps]
    assert titles[15:] == [
        "Guest 14 takes the last free number, 15",
        "Guest 15 wants to enter on CPU 1 and needs a VMID",
        "The bitmap is full: no number is free",
        "Generation 2: the bitmap is emptied",
        "Nobody is kicked: VMID 15 stays with its guest",
        "FULL FLUSH: all TLBs, all CPUs",
        "Guest 15 gets VMID 1",
        "Guest 14 enters on CPU 0 and keeps VMID 15",
        "Guest 0 comes back and gets VMID 2",
        "Guest 13 comes back and keeps VMID 14",
    ]
    rolled, kept = told.at(18), told.at(19)
    assert {rolled[f"v{n}"][0].removesuffix(" next") for n in range(1, 16)} == {"stale"}
    assert kept["v15"][0].split()[-1] == "kept"
    assert kept["v15.t"][1] == "guest 14"
    assert (kept["cpu0.n"][1], kept["cpu0.v"][1]) == ("kept", "VMID 15")
    assert "guest 15 has taken it" in told.steps[23].why


def test_the_first_entry_flushes_nothing() -> None:
    told = scene(machine(4, 2, [(0, 0)]))
    assert [step.title for step in told.steps] == ["16 numbers, none of them in use", "Guest 0 gets VMID 1"]


def test_a_destroyed_guest_keeps_its_number_taken_until_the_rollover() -> None:
    made = machine(2, 1, [(0, 0), (1, 0)])
    made.destroy_vm(1)
    made.enter(made.create_vm())
    told = scene(made)
    shown = told.at(len(told.steps) - 1)
    assert ("held" in shown["v2"][0], shown["v2.t"][1], shown["v3.t"][1]) == (True, "gone", "guest 2")
    ask = told.steps[-1].ask
    assert ask is not None
    assert dict(zip(ask.choices, ask.beliefs, strict=True)).get("2") == "M23" or "last" in told.steps[-1].title


def test_questions_have_the_runs_answers() -> None:
    kinds = Counter[str]()
    for bits, ncpus, order in (*RUNS.values(), (4, 2, [*turns(18, 18, 2), (16, 0)])):
        told = scene(machine(bits, ncpus, order))
        for number, step in enumerate(told.steps):
            if not step.ask:
                continue
            right = step.ask.choices[step.ask.right]
            kinds[step.ask.because] += 1
            if right.isdigit():
                assert f"VMID {right}" in step.title + step.why
            elif right.startswith("no"):
                assert step.mark is None
                assert told.at(number)["n.fl.t"] == told.at(number - 1)["n.fl.t"]
            elif right.startswith("all TLBs"):
                assert [later.mark for later in told.steps[number:]].index("flush") == 4
    assert len(kinds) >= 8


def test_a_run_can_be_read_bit_by_bit(run: tuple[Machine, Scene]) -> None:
    made, told = run
    draw, story, at = random.Random(1), vmids(made), 0
    assert isinstance(story, BitmapStory)
    while at < len(made.stream):
        step = draw.randrange(1, 400)
        part = story.read([made.stream[n] for n in range(at, min(at + step, len(made.stream)))])
        at += step
    assert part == told
    assert Scene.from_dict(told.to_dict()) == told
    assert len(story.costs) == len(told.steps)
    assert story.costs[-1] == count(made.stream)


def recount(made: Machine) -> Counts:
    """Count by walking the machine through its run and looking at it, without reading what it says."""
    end, counts = len(made.stream), Counter[str]()
    numbers: dict[int, int] = {}
    before: dict[int, tuple[int, int]] = {}
    for event in list(made.stream):
        made.stream.seek(event.seq + 1)
        if event.kind == "write" and event.name.endswith(".in_guest"):
            cpu = int(event.name[4])
            vcpu = made.linux.vcpu_on(cpu)
            assert vcpu is not None
            who = vcpu.kvm.number, vcpu.number
            if event.args["new"]:
                counts["reentries" if before.pop(cpu, None) == who else "entries"] += 1
                number = made.cpus[cpu].vmid
                counts["renumbered"] += numbers.get(who[0], number) != number
                numbers[who[0]] = number
            elif event.args["old"] and event.task not in ("host", f"cpu{cpu}"):
                counts["kicks"] += 1
                before[cpu] = who
        counts["flushes"] += event.name == "vmid/rolled_over"
    made.stream.seek(end)
    return Counts(**counts)


@pytest.mark.parametrize("allocator", ["3.9", "5.18"])
def test_what_is_counted_can_be_seen_in_the_machine(allocator: str) -> None:
    made = machine(3, 3, shuffled(1, 14, 3, 0), allocator)
    for _ in range(14):
        made.create_vm()
    draw, on = random.Random(5), [0, 1, 2]
    for guest, cpu in zip(on, range(3), strict=True):
        made.enter(guest, cpu=cpu)
    for _ in range(120):
        cpu = draw.randrange(3)
        on[cpu] = draw.choice([guest for guest in range(14) if guest not in on[:cpu] + on[cpu + 1 :]])
        made.enter(on[cpu], cpu=cpu)
        for other in range(3):
            if not made.cpus[other].in_guest:
                made.enter(on[other], cpu=other)
    counts = count(made.stream)
    assert counts == recount(made)
    assert counts.flushes > 5
    assert counts.kicks == counts.reentries
    assert (counts.kicks > 5) == (allocator == "3.9")


def test_another_guest_on_the_cpu_of_one_that_was_kicked_is_no_reentry() -> None:
    made = machine(2, 2, [(0, 0), (1, 1), (2, 0), (3, 0)], "3.9")
    made.enter(2, cpu=1)
    assert count(made.stream) == Counts(entries=5, flushes=2, kicks=1, reentries=0, renumbered=1)
    made.enter(1, cpu=1)
    assert count(made.stream) == Counts(entries=6, flushes=2, kicks=1, reentries=0, renumbered=2)


def test_a_guest_with_a_reserved_number_enters_although_none_is_free() -> None:
    told = scene(machine(2, 2, [(0, 1), (1, 0), (2, 0), (3, 0), (4, 0), (0, 1)]))
    before, last = told.steps[-2:]
    assert before.title == "Guest 4 takes the last free number, 3"
    assert last.title == "Guest 0 enters on CPU 1 and keeps VMID 1"
    assert told.at(len(told.steps) - 2)["v1"][0].split() == ["g0", "kept"]
    assert told.at(len(told.steps) - 1)["v1"][0].split() == ["g1", "held"]


def test_who_comes_back_after_a_kick_belongs_to_the_command_that_kicked() -> None:
    made = machine(4, 2, [*turns(16, 16, 2), (14, 0), (1, 0)], "3.9")
    story = VmidStory(4, 2)
    commands = [step.command for step in story.read(made.stream).steps]
    back = next(n for n, step in enumerate(story.steps) if step.title == "Guest 14 comes back and gets VMID 2")
    assert commands[back] == commands[back - 1] == commands[back + 1] - 1
