"""The fault scene says what the engine did: nothing else, nothing missing, in whatever way one gets to a step."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlab.engine import InputError, Slot
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.engine.hardware.syndrome import decode_hsr
from kvmlab.engine.hardware.walker import index_of, walk
from kvmlab.scenes.fault.story import FaultStory, fault_scene, touched, words
from kvmlab.scenes.moment import leaf_kind
from tests.scenes.runs import RAM, RUNS, everything, first_store, guest, race

KIND_WORDS = {"rw": "RW page", "ro": "RO page", "dev": "DEV page", "inv": "empty"}


def agrees(machine, picture, vm=0):
    """Compare every part of a picture that stands for state with the engine's own state."""
    kvm, memory, pages = machine.linux.vm_list[vm], machine.linux.memory, machine.linux.pages
    text = {part: words for part, (_, words) in picture.items()}
    assert text["h.vttbr"] == f"VTTBR {kvm.vttbr:#018x}"
    assert text["k.seq.t"] == f"mmu_notifier_seq {kvm.mmu_notifier_seq}, count {kvm.mmu_notifier_count}"
    assert text["k.lk.t"] == ("mmu_lock held" if kvm.mmu_lock.held else "mmu_lock free")
    rows, _ = touched(machine.stream, vm)
    for path in rows:
        if "r" + ".".join(map(str, path)) not in picture:
            continue  # one of many, and counted instead of drawn
        table = kvm.pgd
        for level, index in enumerate(path, 1):
            word = memory.read(table + 8 * index) if table else 0
            name = ".".join(map(str, path[:level]))
            if level == 3:
                assert text[f"r{name}.x"] == KIND_WORDS[leaf_kind(word)]
                assert picture[f"p{name}"][0] == (leaf_kind(word) if word else "off")
                assert text[f"p{name}.t"] == (f"pfn {(word & ADDRESS_MASK) >> 12:#x}" if word else "")
            else:
                assert text[f"r{name}.x"] == (f"{word:#x}" if word else "empty")
            if level < 3 and f"t{name}" in picture:
                below = word & ADDRESS_MASK
                assert text[f"t{name}.n.t"] == (f"refs {pages.page_count(below)}" if below else "")
            table = word & ADDRESS_MASK
    entries = [e for cpu in machine.cpus for e in cpu.tlb.entries() if e.vmid == kvm.vmid]
    assert text["h.tlb.n"] == str(len(entries))


@pytest.mark.parametrize("name", RUNS)
def test_the_last_picture_is_the_engines_state(name):
    machine = RUNS[name]()
    scene = fault_scene(machine.stream).check()
    agrees(machine, scene.at(len(scene.steps) - 1))


def test_the_cache_counter_is_nobjs_and_the_full_slots():
    machine = first_store()
    scene = fault_scene(machine.stream)
    picture = scene.at(len(scene.steps) - 1)
    nobjs = machine.kvm(0).vcpus[0].mmu_page_cache.nobjs
    assert picture["k.cache.t"][1] == f"{nobjs}/40"
    assert [picture[f"c{slot}"][0] for slot in range(40)] == ["full"] * nobjs + [""] * (40 - nobjs)


def test_every_step_agrees_with_the_engine_at_that_time():
    machine = first_store()
    scene = fault_scene(machine.stream)
    for number, step in enumerate(scene.steps):
        machine.seek(step.event)
        kvm = machine.linux.vm_list[0]
        if not step.title.startswith("Level 3, entry 0 maps"):  # its picture takes in the count of references, and so
            lock = scene.at(number)["k.lk.t"][1] == "mmu_lock held"  # stands just before the release of the lock
            assert lock == bool(kvm.mmu_lock.held)
        assert scene.at(number)["k.cache.t"][1] == f"{kvm.vcpus[0].mmu_page_cache.nobjs}/40"


def test_the_first_store_is_told_in_this_order():
    steps = [line.split(": ", 1)[1] for line in words(fault_scene(first_store().stream))]
    order = [
        "level 1 table", "VMID 1", "stores 0x2a", "TLB has no entry", "Level 1, entry 2 is empty", "CPU leaves",
        "KVM reads HSR: translation fault, on a store", "memory slot 0", "filled to 40", "remembers mmu_notifier_seq",
        "writable", "takes mmu_lock", "retry test passes", "slot 39 becomes the level 2", "slot 38 becomes the level 3",
        "read and write", "releases mmu_lock", "returns 1", "same instruction again", "TLB has no entry",
        "Level 1, entry 2 leads", "Level 2, entry 0 leads", "Level 3, entry 0 holds", "TLB keeps",
        "store is done: 0x2a",
    ]  # fmt: skip
    assert len(steps) == len(order)
    for said, wanted in zip(steps, order, strict=True):
        assert wanted in said


def test_reading_then_writing_is_two_faults_and_a_flush():
    machine = guest()
    machine.access(0, 0x8000_0000, "read")
    machine.access(0, 0x8000_0000, "write")
    scene = fault_scene(machine.stream)
    assert [step.mark for step in scene.steps if step.mark] == ["fault", "fault", "flush"]
    assert any("permission fault, on a store" in step.title for step in scene.steps)
    assert [group.after for group in scene.groups] == ["1: two tables", "2: no tables"]


@pytest.mark.parametrize(("earlier", "level"), [((), 1), ((0x8020_0000,), 2), ((0x8000_1000,), 3)])
def test_the_level_in_hsr_is_where_the_cross_is(earlier, level):
    machine = guest()
    for ipa in earlier:
        machine.access(0, ipa, "write")
    seen = len(machine.stream)
    machine.access(0, 0x8000_0000, "write")
    assert decode_hsr(machine.linux.vm_list[0].vcpus[0].hsr).level == level
    scene = fault_scene(machine.stream)
    at = next(i for i, step in enumerate(scene.steps) if step.event > seen and step.fn == "exit to Hyp mode")
    crossed = [part for part, (state, _) in scene.at(at).items() if "miss" in state]
    indexes = [index_of(0x8000_0000, n) for n in range(1, level + 1)]
    assert crossed == ["r" + ".".join(map(str, indexes))]
    assert f"level {level} included" in scene.steps[at].why


def test_the_address_bits_are_the_address():
    machine = guest()
    machine.access(0, 0x8020_3004, "write")
    scene = fault_scene(machine.stream)
    picture = scene.at(len(scene.steps) - 1)
    assert int("".join(picture[f"b{bit}.t"][1] for bit in range(39, -1, -1)), 2) == 0x8020_3004
    assert [picture[f"ix{n}.t"][1] for n in range(4)] == ["= 2", "= 1", "= 3", "= 0x004"]


def test_the_descriptor_fields_are_those_of_the_leaf():
    machine = first_store()
    leaf = walk(machine.linux.memory, machine.kvm(0).vttbr, 0x8000_0000).descriptor
    scene = fault_scene(machine.stream)
    at = next(i for i, step in enumerate(scene.steps) if step.title.startswith("Level 3, entry 0 maps"))
    picture = scene.at(at)
    assert picture["d.hex"][1] == f"{leaf:#x}"
    bits = [picture[f"d{n}.b"][1] for n in range(8)]
    assert bits == ["0000", "0", f"{leaf >> 12:#x}", "1", "11", "11", "1111", "11"]


def all_done(events, at):
    """Return whether every command before an event has ended there: each task goes on with a new one, if at all."""
    goes_on = {event.task: event.kind for event in reversed(events[at:])}
    return set(goes_on.values()) == {"command"}


@pytest.mark.parametrize("name", RUNS)
def test_reading_on_gives_the_same_pictures_as_reading_all(name):
    machine = RUNS[name]()
    events = list(machine.stream)
    cuts = [event.seq for event in events if event.kind == "command" and all_done(events, event.seq)][1:]
    assert cuts or name == "guest"
    story, done = FaultStory(), 0
    for cut in [*cuts, len(events)]:
        scene = story.read(events[done:cut])
        done = cut
    assert scene == fault_scene(events)


@pytest.mark.parametrize("name", RUNS)
def test_the_same_events_give_the_same_bytes(name):
    assert fault_scene(RUNS[name]().stream).to_json() == fault_scene(RUNS[name]().stream).to_json()


def told(name, command):
    """Return the machine of a run, and the titles of each of its commands of one kind."""
    machine = RUNS[name]()
    commands = [event.name for event in machine.stream if event.kind == "command"]
    steps = {}
    for step in fault_scene(machine.stream).steps:
        if commands[step.command] == command:
            steps.setdefault(step.command, []).append(step.title)
    return machine, list(steps.values())


@pytest.mark.parametrize(
    ("command", "titles"),
    [
        ("host_write", ["The host process stores 0x7", "The host process has stored 0x7 in pfn 0xa0000"]),
        ("ksm_merge", ["KSM puts one frame", "KVM takes mmu_lock", "The host opens a range: mmu_notifier_count is 1"]),
        ("swap_out", ["The host moves a page to swap", "KVM takes mmu_lock", "The host tells KVM of one page"]),
        ("swap_in", ["The host process touches its page at hva 0x40001000", "The page comes back from swap"]),
        ("protect", ["The host process loses the right to write to 1 page", "KVM takes mmu_lock"]),
        ("discard", ["The host throws 2 pages of guest memory away", "KVM takes mmu_lock"]),
        ("enter", ["User space lets the guest run on CPU 0", "The guest leaves CPU 0", "The guest runs"]),
        ("leave", ["The host takes CPU 0 back from the guest"]),
        ("host_touch", ["The host uses an address of its own on CPU 0"]),
        ("fail_alloc", ["Page allocation number 3 from now on will fail"]),
        ("add_slot", ["User space gives the VM 256 pages more memory"]),
        ("remove_slot", ["User space takes memory slot 1 away", "The slot is gone, the tables are as before"]),
        ("destroy_vm", ["The VM is destroyed", "The guest leaves CPU 0", "Level 3, entry"]),
    ],
)
def test_a_command_begins_with_what_somebody_wants(command, titles):
    _, commands = told("the_host_changes_its_mind", command)
    for said, wanted in zip(commands[0], titles, strict=False):
        assert said.startswith(wanted)
    assert len(commands[0]) >= len(titles)


def test_a_guest_that_is_not_there_is_not_taken_away():
    machine, commands = told("the_host_changes_its_mind", "leave")
    assert sum(event.name == "leave" for event in machine.stream) == 2
    assert len(commands) == 1


def test_a_fault_that_meets_a_notifier_is_told_with_its_reason():
    scene = fault_scene(RUNS["race"]().stream)
    titles = [step.title for step in scene.steps]
    order = ["remembers mmu_notifier_seq: 0", "pfn 0xa0001, writable", "host opens a range", "host closes the range",
             "host has freed 1 frame", "retry test fails", "returns 1", "same instruction",
             "remembers mmu_notifier_seq: 1",
             "pfn 0xa0002, writable", "retry test passes", "maps pfn 0xa0002"]  # fmt: skip
    at = titles.index("The guest stores 0x7 to 0x80000000")
    for wanted in order:
        at = next(number for number in range(at + 1, len(titles)) if wanted in titles[number])
    (retried,) = [number for number, step in enumerate(scene.steps) if step.mark == "retry"]
    assert "is 1" in scene.steps[retried].why
    assert scene.at(retried)["p2.0.0"][0] == "off"  # not named any longer, and not mapped
    assert scene.groups[-1].after == "2: 2 faults"
    assert scene.groups[-1].first < retried < scene.groups[-1].last


def test_an_open_range_is_told_as_the_reason():
    (step,) = [step for step in fault_scene(RUNS["an_open_range"]().stream).steps if step.mark == "retry"]
    assert "count is 1" in step.why
    scene = fault_scene(RUNS["race"]().stream)
    assert not any("count is 1" in step.why for step in scene.steps if step.mark == "retry")


def test_with_the_test_off_a_page_is_mapped_that_the_host_took_back():
    steps = fault_scene(race(retry="none").stream).steps
    passed = next(step for step in reversed(steps) if step.fn == "mmu_notifier_retry()")
    assert "lets it pass" in passed.why


def test_interleaved_steps_say_whose_they_are():
    machine = RUNS["race"]()
    starts = [event.seq for event in machine.stream if event.kind == "command"]
    tasks = [event.task for event in machine.stream if event.kind == "command"]
    for step in fault_scene(machine.stream).steps:
        marks = [e.task for e in machine.stream.since(starts[step.command]) if e.seq < step.event and e.kind != "write"]
        assert marks[-1] == tasks[step.command]


def test_what_happens_to_another_vms_tables_is_not_told():
    machine = RUNS["guests_share_a_page"]()
    scene = fault_scene(machine.stream)
    other = fault_scene(machine.stream, vm=1)
    assert "IPA 0x40000000" not in " ".join(step.why for step in scene.steps)
    assert all(part[1] == "2" for part in scene.base() if part[0] == "r" and part[1].isdigit() and "." not in part)
    assert {part for part in other.base() if part[0] == "r" and part[1].isdigit()} & {"r1.0.0", "r1.0.0.x"}
    merged = [step.title for step in scene.steps if step.fn == "replace_page()"]
    assert merged == [f"hva {RAM.hva:#x} now has the shared frame"]
    assert sum(step.fn == "replace_page()" for step in other.steps) == 1


def test_without_notifiers_it_says_that_nobody_told_kvm():
    steps = fault_scene(RUNS["nobody_tells_kvm"]().stream).steps
    (gone,) = [step for step in steps if step.title == "The page is in swap now"]
    assert "Nobody has told KVM" in gone.why
    assert not any("Nobody has told" in step.why for step in fault_scene(RUNS["everything"]().stream).steps)


def test_entering_a_guest_is_no_repetition():
    machine = first_store()
    machine.leave()
    machine.enter(0)
    assert fault_scene(machine.stream).steps[-1].title == "The guest runs"


def test_it_runs_as_long_as_one_of_its_vcpus_does():
    machine = guest()
    machine.create_vm([Slot(0x8000_0000, 1 << 20, 0x5000_0000)], vcpus=2)
    machine.enter(1, vcpu=0, cpu=0)
    machine.enter(1, vcpu=1, cpu=1)
    machine.leave(0)
    scene = fault_scene(machine.stream, vm=1)
    assert scene.at(len(scene.steps) - 1)["g.run"][1] == "▶ running"
    machine.leave(1)
    scene = fault_scene(machine.stream, vm=1)
    assert scene.at(len(scene.steps) - 1)["g.run"][1] == "■ stopped"


def test_what_another_guest_does_makes_no_steps():
    scene = fault_scene(RUNS["another_guest_runs"]().stream)
    assert not any("0x1 to" in step.title for step in scene.steps)
    assert sum(step.title.startswith("The guest stores") for step in scene.steps) == 2


@pytest.mark.parametrize("events", [[], list(first_store().stream)])
def test_a_vm_that_never_was_is_refused(events):
    with pytest.raises(InputError, match="vm is 7"):
        fault_scene(events, vm=7)


def test_many_pages_are_counted_and_not_all_drawn_or_told():
    machine = guest()
    machine.ioremap(0, 0x2C00_0000, 0x2C00_0000, 400 << 12)
    scene = fault_scene(machine.stream).check()
    agrees(machine, scene.at(len(scene.steps) - 1))
    assert len(scene.steps) < 210
    assert scene.steps[-1].title.endswith("more steps like these, all at once")
    assert "more in use, not drawn" in scene.markup
    assert len(scene.to_json()) < 300_000


def test_one_more_access_costs_little_more_data():
    machine = everything()
    story = FaultStory()
    before = len(story.read(machine.stream).to_json())
    seen = len(machine.stream)
    machine.access(0, 0x8000_3000, "write")
    after = len(story.read(machine.stream.since(seen)).to_json())
    assert after - before < 20_000
    assert before < 400_000


ACCESSES = st.lists(
    st.tuples(
        st.one_of(
            st.integers(0, RAM.size // 4 - 1).map(lambda word: RAM.ipa + 4 * word),
            st.integers(0, (1 << 38) - 1).map(lambda word: 4 * word),
        ),
        st.sampled_from(["read", "write", "fetch"]),
        st.integers(0, (1 << 32) - 1),
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(ACCESSES)
def test_any_run_makes_a_scene_that_keeps_the_rules(accesses):
    machine = guest()
    for ipa, access, value in accesses:
        machine.access(0, ipa, access, value=value if access == "write" else 0)
    scene = fault_scene(machine.stream).check()
    agrees(machine, scene.at(len(scene.steps) - 1))
