"""Read the VMID scene as data, and compare it with the machine it was made from."""

import random
from collections import Counter

import pytest

from kvmlab.engine import Config, InputError, Machine
from kvmlab.scenes.scene import TITLE_LIMIT, WHY_LIMIT, Scene, plain
from kvmlab.scenes.vmid.story import VmidStory, vmid_scene
from tests.scenes.runs import shuffled, turns


def machine(bits: int, ncpus: int, order: list[tuple[int, int]]) -> Machine:
    """Return a machine on which guests have entered: (guest, cpu), ..."""
    made = Machine(Config(vmid_bits=bits, ncpus=ncpus))
    for _ in range(1 + max(guest for guest, _ in order)):
        made.create_vm()
    for guest, cpu in order:
        for other in made.cpus:
            if other.in_guest and (other.number == cpu or made.linux.vcpu_on(other.number).kvm.number == guest):
                made.leave(other.number)
        made.enter(guest, cpu=cpu)
    return made


def scene(made: Machine) -> Scene:
    return vmid_scene(made.stream, vmid_bits=made.config.vmid_bits, ncpus=made.config.ncpus)


RUNS = {
    "classroom": (4, 2, turns(40, 18, 2)),
    "one cpu": (4, 1, turns(33, 16, 1)),
    "tiny": (2, 4, shuffled(60, 5, 4, 1)),
    "real": (8, 4, turns(262, 257, 4)),
    "random": (3, 3, shuffled(200, 12, 3, 2)),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest) -> tuple[Machine, Scene]:
    made = machine(*RUNS[request.param])
    return made, scene(made)


def test_the_last_picture_is_the_machines_state(run: tuple[Machine, Scene]) -> None:
    made, told = run
    shown = told.at(len(told.steps) - 1)
    linux = made.linux
    for kvm in linux.vm_list.values():
        cell, text = shown[f"v{kvm.vmid}"][0], shown[f"v{kvm.vmid}.t"][1]
        if kvm.vmid_gen == linux.kvm_vmid_gen:
            assert "held" in cell
            assert text.removeprefix("guest ") == str(kvm.number)
    held = [part for part, (state, _) in shown.items() if "held" in state and part.startswith("v")]
    assert len(held) == sum(kvm.vmid_gen == linux.kvm_vmid_gen for kvm in linux.vm_list.values())
    assert [part for part, (state, _) in shown.items() if " next" in state] == [f"v{linux.kvm_next_vmid}"]
    assert shown["gen.t"][1] == str(linux.kvm_vmid_gen)
    assert shown["nxt.t"][1] == str(linux.kvm_next_vmid)
    assert shown["n.fl.t"][1] == str(linux.kvm_vmid_gen - 1)
    for cpu in made.cpus:
        if cpu.in_guest:
            assert shown[f"cpu{cpu.number}.v"][1] == f"VMID {cpu.vmid}"
            assert shown[f"cpu{cpu.number}.g"][1] == f"guest {linux.vcpu_on(cpu.number).kvm.number}"
        else:
            assert "VMID" not in shown[f"cpu{cpu.number}.v"][1]


def test_counters_count(run: tuple[Machine, Scene]) -> None:
    made, told = run
    marks = [name for name, _ in made.stream.marks()]
    shown = told.at(len(told.steps) - 1)
    assert shown["n.ent.t"][1] == str(marks.count("kvm_entry"))
    kicked = [cpu for name, args in made.stream.marks() if name == "vmid/kicked" for cpu in args["cpus"]]
    assert shown["n.ipi.t"][1] == str(len(kicked))
    assert shown["n.fl.t"][1] == str(marks.count("tlb/flushed"))
    assert len([step for step in told.steps if step.mark == "flush"]) == marks.count("tlb/flushed")
    assert len(told.groups) == marks.count("tlb/flushed")
    last = len(marks) - 1 - marks[::-1].index("tlb/flushed")
    assert shown["since.t"][1] == str(marks[last:].count("kvm_entry") - 1)  # the flushing entry itself is number 0


def test_no_vmid_is_held_twice_at_any_step(run: tuple[Machine, Scene]) -> None:
    _, told = run
    picture = dict(told.base())
    for step in told.steps:
        for part, state, text in step.patches:
            picture[part] = (picture[part][0] if state is None else state, picture[part][1] if text is None else text)
        guests = [
            picture[f"{part}.t"][1]
            for part, (state, _) in picture.items()
            if "held" in state and f"{part}.t" in picture and part[0] == "v"
        ]
        assert len(guests) == len(set(guests))


def test_words_and_ids_keep_the_rules(run: tuple[Machine, Scene]) -> None:
    _, told = run
    known = set(told.base())
    for step in told.steps:
        assert 0 < len(step.title) <= TITLE_LIMIT
        assert 0 < len(plain(step.why)) <= WHY_LIMIT
        assert step.why.count("{c|") <= 1
        assert step.why.count("{e|") == 1
        assert "!" not in step.title + step.why
        assert {part for part, _, _ in step.patches} | set(step.now) | set(step.cause) <= known
        assert step.log


def test_the_same_events_give_the_same_bytes(run: tuple[Machine, Scene]) -> None:
    made, told = run
    assert scene(made).to_json() == told.to_json()
    assert Scene.from_dict(told.to_dict()) == told


def test_a_longer_run_begins_with_the_same_steps() -> None:
    order = turns(40, 18, 2)
    short, long = scene(machine(4, 2, order[:25])), scene(machine(4, 2, order))
    whole = [(step.title, step.why, step.log) for step in long.steps]
    assert [(step.title, step.why, step.log) for step in short.steps] == whole[: len(short.steps)]
    assert long.markup == short.markup


def test_the_first_entry_after_boot_rolls_over() -> None:
    told = scene(machine(4, 2, [(0, 0)]))
    assert [step.title for step in told.steps] == [
        "16 numbers, none of them in use",
        "CPU 0 wants to enter guest 0, which has no VMID yet",
        "kvm_next_vmid is 0: that means none is left",
        "Generation 2 begins",
        "The other CPUs are told to leave their guests",
        "A full flush, although nothing is there to flush",
        "Guest 0 gets VMID 1",
    ]
    assert [step.mark for step in told.steps].index("flush") == 5


def test_the_256th_guest_kicks_and_flushes() -> None:
    told = scene(machine(8, 4, turns(256, 256, 4)))
    titles = [step.title for step in told.steps]
    end = titles.index("Guest 254 gets the last number, 255")
    assert titles[end + 1 :] == [
        "Guest 255 wants to enter on CPU 3 and needs a VMID",
        "kvm_next_vmid is 0: none is left",
        "Generation 3: all 255 numbers are void",
        "CPUs 0, 1 and 2 are kicked out of their guests",
        "FULL FLUSH: all TLBs, all CPUs",
        "Guest 255 gets VMID 1",
    ]
    void = told.at(end + 3)
    assert {void[f"v{n}"][0].removesuffix(" next") for n in range(1, 256)} == {"stale"}
    kicked = told.at(end + 4)
    assert [kicked[f"cpu{n}.v"][1] for n in range(4)] == ["kicked", "kicked", "kicked", "no VMID"]
    assert kicked["ev"][0] == "kickev"
    assert told.at(end + 5)["ev"][0] == "boom"
    assert told.at(end + 6)["ev"][0] == "off"


def test_255_guests_never_roll_over_again() -> None:
    told = scene(machine(8, 2, turns(600, 255, 2)))
    assert told.at(len(told.steps) - 1)["n.fl.t"] == ("", "1")
    assert told.steps[-1].title == "Guest 89 enters on CPU 1: VMID 90 is good"


def test_a_guest_keeps_its_number_on_another_cpu() -> None:
    told = scene(machine(4, 2, [(0, 0), (1, 1), (0, 1)]))
    assert told.steps[-1].title == "Guest 0 enters on CPU 1: VMID 1 is good"
    assert told.at(len(told.steps) - 1)["cpu0.g"] == ("", "host")


def test_what_a_flush_took_is_told() -> None:
    made = Machine(Config(vmid_bits=2, ncpus=1))
    for number in range(4):
        made.create_vm([(0x8000_0000, 0x1000, 0x4000_0000)])
        made.access(number, 0x8000_0000, "write", value=number)
    told = scene(made)
    flush = [step for step in told.steps if step.mark == "flush"][-1]
    assert "All go (3 here)" in flush.why
    assert flush.log == (("hw", "tlb/flushed: all guests, all CPUs, and the I-caches: 3 TLB entries"),)


def test_answers_are_not_given_away_below_the_score(run: tuple[Machine, Scene]) -> None:
    _, told = run
    assert {group.before for group in told.groups} == {""}


def test_alike_steps_are_quick_and_a_rollover_never_is(run: tuple[Machine, Scene]) -> None:
    _, told = run
    assert all(step.title.startswith("Guest") for step in told.steps if step.fast)
    assert not any(step.fast and step.mark for step in told.steps)


def test_marks_below_the_score_leave_each_other_room() -> None:
    few, many = scene(machine(4, 2, turns(20, 18, 2))), scene(machine(2, 2, turns(300, 9, 2)))
    assert [group.after for group in few.groups] == ["full flush 1", "full flush 2"]
    assert {group.after for group in many.groups} == {""}


def test_machines_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="vmid_bits is 9; allowed: 2 to 8"):
        vmid_scene([], vmid_bits=9)
    with pytest.raises(InputError, match="ncpus is 5; allowed: 1 to 4"):
        vmid_scene([], ncpus=5)
    assert len(vmid_scene([]).steps) == 1


def everything() -> Machine:
    """Make entries by accesses too, with device memory, host commands, failures, several vCPUs and guests that go."""
    made = Machine(Config(vmid_bits=2, ncpus=2))
    slot = (0x8000_0000, 0x2_0000, 0x4000_0000)
    draw = random.Random(3)
    for _ in range(4):
        made.create_vm([slot], vcpus=2)
    for count in range(60):
        vm = draw.choice([n for n, kvm in made.linux.vm_list.items() if kvm.created])
        made.access(vm, 0x8000_0000 + draw.randrange(32) * 0x1000, draw.choice(["read", "write"]), vcpu=count % 2)
        if count % 7 == 0:
            made.access(vm, 0x8000_0000, vcpu=count % 2)
            made.swap_out(vm, 0x4000_0000)
            made.discard(vm, 0x4000_0000, 0x4000)
        if count % 9 == 0:
            made.ioremap(vm, 0x2C00_2000, 0x2C00_6000, 0x1000)
            made.leave(count % 2)
            made.host_touch(0, 0x4000_0000)
        if count % 11 == 5:
            made.destroy_vm(vm)
            made.create_vm([slot], vcpus=2)
    made.fail_alloc(1)
    made.create_vm()
    return made


@pytest.fixture(scope="module")
def long() -> tuple[Machine, Scene]:
    made = everything()
    return made, scene(made)


def test_every_step_shows_the_machine_at_that_moment(long: tuple[Machine, Scene]) -> None:
    made, told = long
    linux, end = made.linux, len(made.stream)
    for number, step in list(enumerate(told.steps))[1:]:  # the first shows a kernel that has booted
        made.stream.seek(step.event)
        shown = told.at(number)
        assert (shown["gen.t"][1], shown["nxt.t"][1]) == (str(linux.kvm_vmid_gen), str(linux.kvm_next_vmid))
        good = {kvm.vmid: n for n, kvm in linux.vm_list.items() if kvm.created and kvm.vmid_gen == linux.kvm_vmid_gen}
        held = {n: shown[f"v{n}.t"][1] for n in range(1, 4) if "held" in shown[f"v{n}"][0]}
        assert {n: text for n, text in held.items() if text != "gone"} == {n: f"guest {g}" for n, g in good.items()}
        for cpu in made.cpus:
            running = cpu.number == step_cpu(step.lane) and step.fn.startswith(("update_vttbr", "need_new"))
            if not running and "VMID " in shown[f"cpu{cpu.number}.v"][1] and step.title.startswith("Guest"):
                assert cpu.vmid == int(shown[f"cpu{cpu.number}.v"][1].split()[1])
    made.stream.seek(end)


def step_cpu(lane: str | None) -> int:
    return int((lane or "").removeprefix("cpu") or -1) if lane != "host" else -1


def test_events_never_go_back_and_a_run_can_be_read_bit_by_bit(long: tuple[Machine, Scene]) -> None:
    made, told = long
    events = [step.event for step in told.steps]
    assert events == sorted(events)
    for seed in range(3):
        draw, story, at = random.Random(seed), VmidStory(2, 2), 0
        while at < len(made.stream):
            step = draw.randrange(1, 400)
            part = story.read([made.stream[n] for n in range(at, min(at + step, len(made.stream)))])
            at += step
        assert part == told
        assert story.seen == len(made.stream)


def test_a_destroyed_guest_keeps_its_number_taken(long: tuple[Machine, Scene]) -> None:
    _, told = long
    number = next(n for n, step in enumerate(told.steps) if step.fn == "kvm_arch_destroy_vm()")
    step = told.steps[number]
    vmid = step.now[0]
    assert (step.actor, step.lane) == ("host", "host")
    assert told.lanes[-1] == ("host", "host")
    assert "held" in told.at(number)[vmid][0]
    assert told.at(number)[f"{vmid}.t"][1] == "gone"
    assert ("host", "host") not in scene(machine(4, 2, [(0, 0)])).lanes


def test_questions_have_the_runs_answers() -> None:
    asked = {}
    for bits, ncpus, order in (*RUNS.values(), (4, 2, [*turns(18, 18, 2), (17, 0)])):
        told = scene(machine(bits, ncpus, order))
        seen = Counter(step.ask.ask.split(".")[-2] for step in told.steps if step.ask)
        for number, step in enumerate(told.steps):
            if not step.ask:
                continue
            right = step.ask.choices[step.ask.right]
            asked[step.ask.because] = step.ask
            if right.isdigit():
                assert f"VMID {right}" in step.title + step.why
            elif right.startswith("yes: every TLB"):
                assert [later.mark for later in told.steps[number:]].index("flush") == 4
            elif right.startswith("no"):
                assert step.mark is None
                assert told.at(number)["n.fl.t"] == told.at(number - 1)["n.fl.t"]
        assert max(seen.values()) <= 4
    beliefs = {belief for one in asked.values() for belief in one.beliefs if belief}
    assert {"M21", "M22", "M24", "M25", "M26"} <= beliefs
    assert len(asked) >= 6


def test_a_question_after_a_guest_has_gone() -> None:
    made = machine(4, 1, [(0, 0), (1, 0), (2, 0)])
    made.destroy_vm(1)
    made.enter(made.create_vm())
    ask = scene(made).steps[-1].ask
    assert ask is not None
    assert ask.ask == "A guest with VMID 2 has been destroyed. Which VMID does guest 3 get?"
    assert (ask.choices[ask.right], dict(zip(ask.choices, ask.beliefs, strict=True))["2"]) == ("4", "M23")


def test_no_question_is_asked_more_than_twice(run: tuple[Machine, Scene]) -> None:
    _, told = run
    kinds = Counter(step.ask.because for step in told.steps if step.ask)
    assert kinds
    assert max(kinds.values()) <= 2


def test_the_race_of_two_vcpus_does_not_confuse_it() -> None:
    made = Machine(Config(vmid_bits=4, ncpus=2))
    made.create_vm(vcpus=2)
    entries = [made.begin("enter", vm=0, vcpu=n, cpu=n).steps for n in (0, 1)]
    for turn in [0] * 6 + [1] * 20 + [0] * 20:
        made.stream.task = f"cpu{turn}"
        next(entries[turn], None)
    told = scene(made)
    assert told.at(len(told.steps) - 1)["n.ent.t"][1] == "2"


def test_long_runs_stay_small() -> None:
    made = machine(8, 2, turns(2000, 300, 2))
    told = scene(made)
    assert len(told.to_json()) / len(told.steps) < 1000
    assert sum(len(step.patches) for step in told.steps) / len(told.steps) < 11
