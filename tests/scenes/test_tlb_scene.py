"""Read the TLB scene as data, and compare it with the machine it was made from, at every step."""

import random
from collections import Counter

import pytest

from kvmlab.engine import Config, KernelBug, Machine, Slot
from kvmlab.engine.hardware.walker import walk
from kvmlab.scenes.scene import Scene, plain
from kvmlab.scenes.tlb.state import unpack
from kvmlab.scenes.tlb.story import TlbStory

IPA, HVA, SIZE = 0x8000_0000, 0x4000_0000, 1 << 20
RAM = Slot(ipa=IPA, size=SIZE, hva=HVA)
SMALL = {"vmid_bits": 2, "tlb_sets": 4, "tlb_ways": 2}


def guests(count=2, **config):
    machine = Machine(Config(**{**SMALL, **config}))
    for _ in range(count):
        machine.create_vm([RAM], vcpus=2)
    return machine


def story(machine):
    config = machine.config
    return TlbStory(ncpus=config.ncpus, vmid_bits=config.vmid_bits, tlb_sets=config.tlb_sets, tlb_ways=config.tlb_ways)


def scene(machine) -> Scene:
    return story(machine).read(machine.stream)


def classroom(**config):
    """What the panel is for: the same address in two guests, ASIDs, eviction, the host, flushes, a rollover."""
    machine = guests(**config)
    for vm in (0, 1, 0):
        machine.access(vm, IPA, asid=1, cpu=0)
    machine.access(0, IPA, "write", asid=1, cpu=0)
    machine.access(0, IPA, asid=2, cpu=0)
    machine.access(0, IPA + 0x4000, asid=2, cpu=0)
    machine.host_touch(0, 0xC000_0000)
    machine.host_touch(0, 0xC000_0000)
    machine.access(1, IPA + 0x1000, "fetch", asid=255, cpu=1)
    machine.access(0, IPA, asid=1, vcpu=1, cpu=1)
    machine.swap_out(0, HVA)
    machine.access(0, IPA, asid=1, cpu=0)
    machine.swap_out(1, HVA)
    machine.access(1, IPA + 0x1000, asid=255, cpu=1)
    for _ in range(2):
        machine.enter(machine.create_vm([RAM]), cpu=0)
    machine.leave(0)
    machine.access(0, IPA, asid=1, cpu=0)
    machine.destroy_vm(0)
    return machine


def mixed(seed, **config):
    """Any commands, in any order."""
    draw, machine = random.Random(seed), guests(4, **config)
    cpus = machine.config.ncpus
    for _ in range(90):
        vm, page, cpu = draw.randrange(4), draw.choice((0, 0, 0, 4, 4, 1)), draw.randrange(cpus)
        asid, kind = draw.randrange(2), draw.choice(["read", "write", "fetch"])
        what = draw.randrange(24)
        if vm not in machine.linux.vm_list or not machine.linux.vm_list[vm].created:
            vm = machine.create_vm([RAM])
        if what < 17:
            machine.access(vm, IPA + 0x1000 * page, kind, cpu=cpu, asid=asid)
        elif what < 20:
            machine.host_touch(cpu, 0xC000_0000 + 0x1000 * page)
        elif what == 20:
            machine.discard(vm, HVA + 0x1000 * page, 0x3000)
        elif what == 21:
            machine.protect(vm, HVA + 0x1000 * page, 0x1000, writable=draw.random() < 0.5)
        elif what == 22:
            machine.destroy_vm(vm)
    return machine


def raced():
    machine = guests()
    machine.access(0, IPA, asid=1)
    machine.host_touch(0, 0xC000_1000)
    machine.access(1, IPA, asid=1, cpu=0)
    for at in ("before the sample", "before the look-up", "before the lock", "after the test"):
        machine.swap_in(0, HVA + 0x1000)
        machine.race(0, {"ipa": IPA + 0x1000, "access": "write", "asid": 1}, "swap_out", {"hva": HVA + 0x1000}, at)
        machine.discard(0, HVA + 0x1000)
    return machine


RUNS = {
    "raced": raced,
    "classroom": classroom,
    "classroom, one CPU more": lambda: classroom(ncpus=3),
    "classroom, 512 entries": lambda: classroom(tlb_sets=128, tlb_ways=4, vmid_bits=8),
    "mixed 1": lambda: mixed(1),
    "mixed 2": lambda: mixed(2, ncpus=1, tlb_sets=2, tlb_ways=1, vmid_bits=4),
    "mixed 3": lambda: mixed(3, ncpus=4, vmid_bits=8),
    "mixed 4": lambda: mixed(5, ncpus=6, tlb_sets=1, tlb_ways=1),
    "no notifier": lambda: mixed(4, CONFIG_MMU_NOTIFIER=False),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request):
    machine = RUNS[request.param]()
    return machine, scene(machine)


def pictures(told: Scene):
    """Yield each step with its whole picture."""
    picture = dict(told.base())
    for step in told.steps:
        for part, state, text in step.patches:
            picture[part] = (picture[part][0] if state is None else state, picture[part][1] if text is None else text)
        yield step, picture


def stale(machine, entry):
    """Ask the walker whether the tables of the entry's guest still say what the TLB says."""
    linux = machine.linux
    owner = max((kvm for kvm in linux.vm_list.values() if kvm.vmid == entry.vmid), key=lambda kvm: kvm.vmid_gen)
    if not owner.pgd:
        return True
    found = walk(linux.memory, owner.pgd, entry.page << 12, "read")
    return bool(found.fault) or found.descriptor != entry.descriptor


def test_every_step_shows_what_the_tlbs_hold(run):
    machine, told = run
    config, seen = machine.config, Counter()
    whole = config.tlb_sets * config.tlb_ways <= 8 and config.ncpus <= 2
    for step, shown in pictures(told):
        machine.seek(step.event)
        for cpu in machine.cpus:
            cells = {part for part in shown if part.startswith(f"e{cpu.number}.") and part.count(".") == 1}
            held = [part for part in cells if "free" not in shown[part][0]]
            entries = {entry.place: entry for entry in cpu.tlb.entries()}
            assert len(held) == min(len(entries), len(cells))
            drawn = {
                (shown[f"{part}.t"][1], shown[f"{part}.p"][1], shown[f"{part}.h"][1].split()[0]): part for part in held
            }
            assert len(drawn) == len(held)
            for entry in entries.values():
                words = f"VMID {entry.vmid}" + (f" ASID {entry.asid}" if entry.vmid else "")
                target = f"{entry.descriptor >> 12 & 0xFFFFFFF:#x}"
                part = drawn.get((words, f"{entry.page:#x}", target))
                if part is None:
                    assert not whole
                    continue
                if whole:
                    assert part == f"e{cpu.number}.{entry.place}"
                state = shown[part][0].split()
                assert ("can" in state) == (entry.vmid == cpu.vmid)
                assert ("host" in state) == (entry.vmid == 0)
                assert (
                    ("stale" in state)
                    == (shown[f"{part}.s"][1] == "stale")
                    == (entry.vmid != 0 and stale(machine, entry))
                )
                seen.update(state)
    machine.seek(len(machine.stream))
    assert seen["can"] > 10
    assert seen["not"] > 10
    assert seen["host"]


def test_staleness_is_seen_between_table_and_flush():
    machine = classroom()
    told = scene(machine)
    first = next(n for n, step in enumerate(told.steps) if step.fn == "clear_pte_entry()")
    assert [p for p, (state, _) in told.at(first).items() if "stale" in state.split()] == ["e1.0"]
    assert told.steps[first + 1].title == "Flush by VMID 1: 2 entries go"
    assert not [p for p, (state, _) in told.at(first + 1).items() if "stale" in state.split()]


def test_hit_rates_are_counted_from_the_look_ups(run):
    machine, told = run
    hits, looked, at = Counter(), Counter(), 0
    events = list(machine.stream)
    for step, shown in pictures(told):
        for event in events[at : step.event]:
            if event.name in ("tlb/hit", "tlb/missed"):
                looked[event.args["cpu"]] += 1
                hits[event.args["cpu"]] += event.name == "tlb/hit"
        at = step.event
        for cpu in range(min(machine.config.ncpus, 4)):
            want = f"{hits[cpu]} of {looked[cpu]} hit" if looked[cpu] else "no look-up yet"
            assert shown[f"c{cpu}.r.t"][1].split(",")[0] == want
        if total := looked.total():
            assert f"{hits.total()} of {total} hit, {100 * hits.total() // total} %" in shown["all.t"][1]


def test_the_runs_hit_on_more_than_one_cpu():
    hits = {event.args["cpu"] for event in mixed(3, ncpus=4, vmid_bits=8).stream if event.name == "tlb/hit"}
    assert len(hits) > 1


def test_a_look_up_shows_which_tags_match_and_which_nearly_do():
    told = scene(classroom())
    miss = next(n for n, step in enumerate(told.steps) if step.title == "Same page, other VMID: a miss")
    shown = told.at(miss)
    assert [shown[f"{part}.t"][1] for part in ("kv", "ka", "kp", "ks", "kr")] == [
        "VMID 2", "ASID 1", "page 0x80000", "set 0", "miss"
    ]  # fmt: skip
    assert shown["e0.0.v"][1] == "other VMID"
    assert told.steps[miss].cause == ("e0.0",)
    before = told.at(miss - 1)
    assert (before["kr.t"][1], before["e0.0.v"][1]) == ("", "")  # the answer is not given away
    hit = next(n for n, step in enumerate(told.steps) if step.title == "The TLB has this page: no walk")
    assert [told.at(hit)[f"e0.{slot}.v"][1] for slot in (0, 1)] == ["match", "other VMID"]
    other = next(n for n, step in enumerate(told.steps) if "ASID 2 and page 0x80000" in plain(step.why))
    assert "other ASID" in [told.at(other)[f"e0.{slot}.v"][1] for slot in (0, 1)]


def test_a_switch_keeps_entries_and_a_full_set_loses_one():
    told = scene(classroom())
    enters = next(step for step in told.steps if step.title == "Guest 1 enters on CPU 0 with a new VMID, 2")
    assert "1 entry of other VMIDs stays but cannot hit" in plain(enters.why)
    assert any(
        "Set 0 is full" in plain(step.why) and "page 0x80000 of guest 1" in plain(step.why) for step in told.steps
    )
    hosts = [step.title for step in told.steps if step.fn == "host process"]
    assert hosts == ["The host uses 0xc0000000 on CPU 0: one entry more", "The host uses 0xc0000000 on CPU 0: a hit"]


def test_flushes_say_how_many_entries_go(run):
    machine, told = run
    flushed = {event.seq + 1: event.args for event in machine.stream if event.name == "tlb/flushed"}
    steps = [step for step in told.steps if step.mark == "flush"]
    assert steps
    for step in steps:
        removed = flushed[step.event]["removed"]
        assert f"{removed} {'entry goes' if removed == 1 else 'entries go'}" in step.title or not removed
    large = {seq for seq, args in flushed.items() if args["removed"]}
    assert large <= {step.event for step in steps}


def test_questions_are_answered_by_the_run(run):
    machine, told = run
    events = {event.seq + 1: event for event in machine.stream}
    asked = [step for step in told.steps if step.ask]
    assert asked
    assert max(Counter(step.ask.ask for step in asked).values()) <= 2
    for step in asked:
        ask, event = step.ask, events[step.event]
        right = ask.choices[ask.right]
        if event.name == "tlb/flushed":
            assert right.startswith(f"{event.args['removed']} ")
        elif event.name == "tlb/hit":
            assert right == f"a hit on the entry with VMID {event.args['vmid']}"
        elif event.name == "tlb/missed":
            assert right.startswith("a miss")
        elif event.name == "tlb/filled":
            assert right.startswith("the walker finds")
        elif event.name == "cpu/trapped":
            assert right.startswith("the walk fails")
        else:
            assert event.name == "tables/cleared"
            assert right.startswith("yes")


def test_the_classroom_meets_all_beliefs():
    machine = classroom()
    machine.access(1, IPA + 0x1000, asid=255, cpu=1)
    beliefs = {belief for step in scene(machine).steps if step.ask for belief in step.ask.beliefs}
    assert beliefs >= {"M07", "M17", "M19", "M21", "M25"}


def test_a_flush_takes_no_leaf():
    machine = guests()
    machine.access(0, IPA, asid=1, cpu=0)
    machine.access(0, IPA + 0x1000, asid=1, cpu=0)
    machine.swap_out(0, HVA)
    machine.access(0, IPA + 0x1000, asid=1, cpu=0)
    asked = [step for step in scene(machine).steps if step.ask and "M16" in step.ask.beliefs]
    assert [step.fn for step in asked] == ["TLB fill"]
    assert asked[0].ask.choices[asked[0].ask.right].startswith("the walker finds the page")


def test_a_rollover_takes_no_leaf_either():
    machine = guests(4)
    machine.access(0, IPA, asid=1, cpu=0)
    for vm in (1, 2, 3):
        machine.enter(vm, cpu=0)
    machine.access(0, IPA, asid=1, cpu=0)
    last = scene(machine).steps[-1]
    assert last.fn == "TLB fill"
    assert [belief for belief in last.ask.beliefs if belief] == ["M25"]


def test_reading_bit_by_bit_is_reading_at_once(run):
    machine, told = run
    events, draw = list(machine.stream), random.Random(7)
    firsts = [event.seq for event in events if event.asked]
    cuts = sorted(draw.sample(firsts, min(12, len(firsts))))
    told_in_parts = story(machine)
    assert len(told_in_parts.read([]).steps) == 1
    for first, last in zip([0, *cuts], [*cuts, len(events)], strict=True):
        parts = told_in_parts.read(events[first:last])
    assert parts.to_json() == told.to_json()


def test_a_longer_run_begins_with_the_same_steps_in_the_same_picture():
    machine = guests()
    machine.access(0, IPA, asid=1, cpu=0)
    short = scene(machine)
    machine.access(1, IPA, asid=1, cpu=0)
    long = scene(machine)
    assert long.markup == short.markup
    assert long.steps[: len(short.steps)] == short.steps


def test_events_never_go_back_and_ids_are_known(run):
    machine, told = run
    order = [step.event for step in told.steps]
    assert order == sorted(order)
    assert order[-1] <= len(machine.stream)
    commands = [step.command for step in told.steps]
    assert commands == sorted(commands)
    assert Scene.from_dict(told.to_dict()) == told


def test_a_long_discard_is_told_shortly():
    machine = guests()
    for page in range(64):
        machine.access(0, IPA + 0x1000 * page, asid=1, cpu=0)
    before = len(scene(machine).steps)
    machine.discard(0, HVA, SIZE)
    told = scene(machine)
    assert len(told.steps) - before <= 26
    assert "more steps like these" in told.steps[-1].title
    assert sum(step.title == "Flush by VMID 1: 0 entries go" for step in told.steps) == 1
    assert all("free" in told.at(len(told.steps) - 1)[f"e0.{slot}"][0] for slot in range(8))


def test_a_kernel_that_dies_leaves_a_scene():
    machine = guests(1)
    machine.access(0, IPA, asid=1)
    vm = machine.create_vm([Slot((1 << 40) - 0x1000, 0x2000, HVA)])
    machine.swap_in(vm, HVA + 0x1000)
    with pytest.raises(KernelBug):
        machine.discard(vm, HVA + 0x1000)
    machine.access(0, IPA, asid=1)
    assert scene(machine).steps[-1].title == "The TLB has this page: no walk"


def test_a_race_is_one_command():
    machine = guests(1)
    machine.access(0, IPA + 0x8000, asid=1)
    machine.swap_in(0, HVA)
    machine.race(0, {"ipa": IPA, "access": "write", "value": 7, "asid": 1}, "swap_out", {"hva": HVA})
    told = scene(machine)
    last = [step for step in told.steps if step.command == 3]
    assert [step.fn for step in last].count("kvm_unmap_hva") == 1
    assert last[-1].title == "The walker finds page 0x80000, the TLB keeps it"
    assert told.steps[-1] == last[-1]


def test_a_long_run_costs_what_is_new():
    machine = guests(4)
    told = story(machine)
    told.read(machine.stream)
    for turn in range(150):
        machine.access(turn % 4, IPA + 0x1000 * (turn % 9), asid=turn % 3, cpu=turn % 2)
    before = told.read(machine.stream.since(told.seen))
    machine.access(0, IPA, asid=1, cpu=0)
    after = told.read(machine.stream.since(told.seen))
    assert len(before.steps) > 500
    assert after.steps[: len(before.steps)] == before.steps
    assert max(len(step.patches) for step in after.steps[1:]) < 80


@pytest.mark.parametrize(("vmid", "asid", "page"), [(0, 0, 0xC0000), (255, 255, 0xFFFFFFF), (3, -1, 5)])
def test_tags_are_read_as_the_tlb_packs_them(vmid, asid, page):
    machine = Machine(Config(tlb_sets=1, tlb_ways=1))
    tlb = machine.cpus[0].tlb
    tlb.fill(vmid, asid, page, 0x7FF)
    assert unpack(tlb.tag[0]) == (vmid, asid, page)
