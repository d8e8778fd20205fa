"""The cache scene says what the engine's cache holds, at every step, in whatever pieces the run is read."""

import random
from itertools import pairwise

import pytest

from kvmlab.engine import Config, KernelBug, Machine, Slot
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.scenes.cache.stage import BARS, capacity
from kvmlab.scenes.cache.story import CHECKS, CacheStory, cache_scene
from tests.scenes.runs import RUNS

RAM = Slot(ipa=0x8000_0000, size=256 << 20, hva=0x4000_0000)
HIGH = [Slot(ipa=0x8000_0000 + (gib << 30), size=1 << 20, hva=0x6000_0000 + (gib << 20)) for gib in range(1, 31)]


def guest(**config):
    machine = Machine(Config(**config))
    machine.create_vm([RAM, *HIGH], vcpus=2)
    return machine


def storm(stride, count):
    """One store after the other, so far apart."""
    machine = guest()
    for number in range(count):
        machine.access(0, RAM.ipa + number * stride, "write", value=1)
    return machine


def failures():
    """Top-ups that fail at different places, and one that then works."""
    machine = guest()
    for k in (1, 3, 40, 2):
        machine.fail_alloc(k)
        machine.access(0, RAM.ipa, "write", value=k)
    return machine


def crowd():
    """Two VMs, two vCPUs, devices, the host at work, and an end."""
    machine = guest()
    machine.create_vm([RAM])
    machine.access(0, RAM.ipa, "write", value=1)
    machine.access(1, RAM.ipa, "write", value=1, cpu=1)
    machine.access(0, RAM.ipa + (1 << 21), "read", vcpu=1)
    machine.ioremap(0, 0x2C00_2000, 0x2C00_6000, 0x2000)
    machine.access(0, 0, "write")
    machine.access(0, 0, "fetch")
    machine.swap_out(0, RAM.hva)
    machine.access(0, RAM.ipa, "write", value=1)
    machine.discard(0, RAM.hva, 16 << 20)
    machine.fail_alloc(0)
    for host in ("swap_out", "discard"):
        machine.access(0, RAM.ipa, "write", value=1)
        guest_does = {"ipa": RAM.ipa + (5 << 21), "access": "write"}
        machine.do("race", vm=0, guest=guest_does, host=host, args={"hva": RAM.hva})
    machine.destroy_vm(1)
    machine.destroy_vm(0)
    return machine


MADE = {
    "pages": lambda: storm(1 << 12, 12),
    "2 MiB": lambda: storm(1 << 21, 82),
    "GiB": lambda: storm(1 << 30, 31),
    "failures": failures,
    "crowd": crowd,
    **RUNS,
}


@pytest.fixture(scope="module", params=MADE)
def run(request):
    machine = MADE[request.param]()
    return machine, cache_scene(machine.stream)


def agrees(machine, picture):
    """Compare a picture with the cache, the lock and the allocator of the engine as they stand."""
    linux = machine.linux
    kvm = linux.vm_list[0]
    cache = kvm.vcpus[0].mmu_page_cache
    slots = [picture[f"s{slot}.t"][1] for slot in range(40)]
    assert slots == [f"{cache.objects[slot]:#x}" if slot < cache.nobjs else "" for slot in range(40)]
    assert [picture[f"s{slot}"][0] == "full" for slot in range(40)] == [slot < cache.nobjs for slot in range(40)]
    assert picture["tray.t"][1] == f"{cache.nobjs}/40"
    assert picture["al.t"][1] == str(linux.pages.nr_live)
    assert (picture["lk"][0] == "held") == bool(kvm.mmu_lock.held) == (picture["lb"][0] == "on")
    assert picture["fail"][0] == ("armed" if linux.pages.fail_in else "off")
    counts = [int(picture[f"al.{key}"][1]) for key in ("root", "tables", "tray", "else")]
    assert sum(counts) == linux.pages.nr_live
    assert min(counts) >= 0
    for row in range(10):
        if picture[f"t{row}"][0] != "off":
            level, address = picture[f"t{row}.t"][1].split()
            assert linux.pages.is_live(int(address, 16))
            assert level in ("L2", "L3")


def test_every_step_agrees_with_the_engine_at_that_time(run):
    machine, scene = run
    picture = dict(scene.base())
    for step in scene.steps:
        for part, state, text in step.patches:
            old = picture[part]
            picture[part] = (old[0] if state is None else state, old[1] if text is None else text)
        machine.seek(step.event)
        if 0 in machine.linux.vm_list and step.event > 1:
            agrees(machine, picture)
    machine.seek(len(machine.stream))


def test_every_fault_that_looked_at_the_cache_is_counted(run):
    machine, scene = run
    key = "kvm[0].vcpu[0].mmu_page_cache"
    looks = [a for name, a in machine.stream.marks() if name in CHECKS and a["cache"] == key]
    assert scene.at(len(scene.steps) - 1)["ch.t"][1] == f"faults: {len(looks)}"


def test_the_list_names_the_newest_tables_with_the_entries_that_lead_there(run):
    machine, scene = run
    for number, step in enumerate(scene.steps):
        shown = scene.at(number) if step.fn == "mmu_memory_cache_alloc()" else {}
        rows = [part for part in step.now if part[0] == "t" and part != "tray"] if shown else []
        for row in rows:
            machine.seek(step.event)
            level, address = shown[f"{row}.t"][1].split()
            assert address in step.title
            path = [int(index) for index in shown[f"{row}.e"][1].removeprefix("entry ").split(".")]
            assert len(path) == int(level[1]) - 1
            table = machine.linux.vm_list[0].pgd
            for index in path:
                table = machine.linux.memory.read(table + 8 * index) & ADDRESS_MASK
            assert f"{table:#x}" == address
        if shown:
            listed = sum(shown[f"t{row}"][0] != "off" for row in range(10))
            assert len(rows) == 1
            assert listed == min(10, int(shown["tb.n"][1]))
    machine.seek(len(machine.stream))


def test_it_is_the_same_in_pieces_of_any_size(run):
    machine, scene = run
    events = list(machine.stream)
    starts = [event.seq for event in events if event.kind == "command"][1:]
    draw = random.Random(7)
    for _ in range(3):
        cuts = [0, *sorted(draw.sample(starts, min(len(starts), 4))), len(events)]
        story = CacheStory()
        for first, last in pairwise(cuts):
            told = story.read(events[first:last])
        assert told.to_json() == scene.to_json()
        assert story.seen == len(events)


def test_steps_never_go_back_in_time_and_what_is_new_is_known(run):
    _, scene = run
    events = [step.event for step in scene.steps]
    assert events == sorted(events)
    assert all(step.why.count("{e|") <= 1 and step.why.count("{c|") <= 1 for step in scene.steps)


def test_each_fault_has_a_bar_as_high_as_what_it_leaves():
    machine = storm(1 << 21, 82)
    scene = cache_scene(machine.stream)
    left = [text for name, text in machine.stream.marks() if name.startswith("cache/") and name != "cache/freed"]
    assert [mark["nobjs"] for mark in left][:6] == [40, 39, 38, 38, 37, 37]
    assert scene.at(len(scene.steps) - 1)["ch.t"] == ("", "faults: 82")
    past = [sum(picture[0] == "past" for part, picture in scene.at(n).items() if part[0] == "f") for n in (0, 7, 12)]
    assert past == [0, 1, 2]
    assert scene.at(len(scene.steps) - 1)["f81"][0] == "past"


def top_ups(scene):
    return [step for step in scene.steps if step.mark == "top-up"]


@pytest.mark.parametrize(
    ("stride", "count", "faults"), [(1 << 21, 82, [1, 39, 78]), (1 << 30, 31, [1, 21]), (1 << 12, 82, [1])]
)
def test_the_stride_decides_when_the_cache_is_filled(stride, count, faults):
    scene = cache_scene(storm(stride, count).stream)
    before = [scene.steps[scene.steps.index(step) - 1].title for step in top_ups(scene)]
    assert [int(title.split(":")[0].removeprefix("Fault ")) for title in before] == faults


def test_a_failure_keeps_what_it_had_got():
    scene = cache_scene(failures().stream)
    failed = [n for n, step in enumerate(scene.steps) if step.mark == "failure"]
    assert [scene.at(n)["tray.t"][1] for n in failed] == ["0/40", "2/40"]  # with 2 the third attempt asks for none
    asked = scene.steps[failed[1]].ask
    assert (asked.choices[asked.right], dict(zip(asked.choices, asked.beliefs, strict=True))["0"]) == ("2", "M31")
    assert "no less than 2, and still an error" in scene.steps[failed[1]].why
    assert scene.steps[failed[0] + 1].title == "KVM returns -12: the access is not done"


def test_many_alike_are_told_quickly():
    scene = cache_scene(storm(1 << 12, 30).stream)
    quick = [step for step in scene.steps if step.fast]
    assert len(quick) > 20
    assert all(step.title.endswith("no frame taken, 38 left") for step in quick)


def test_the_same_question_is_asked_at_most_twice(run):
    _, scene = run
    asked = [step.ask.ask for step in scene.steps if step.ask]
    assert all(asked.count(question) <= 2 for question in asked)


def test_right_answers_are_what_the_picture_then_shows():
    scene = cache_scene(storm(1 << 21, 40).stream)
    told = 0
    for number, step in enumerate(scene.steps):
        if step.ask and "does the cache hold" in step.ask.ask:
            assert f"{step.ask.choices[step.ask.right]}/40" == scene.at(number)["tray.t"][1]
            told += 1
    assert told >= 3


def test_there_is_a_first_step_even_for_nothing():
    scene = cache_scene([], vm=3, vcpu=1)
    assert [step.title for step in scene.steps] == ["The memory cache of vCPU 1 is empty"]
    assert cache_scene(guest().stream, vm=9).steps[1:] == ()


def test_each_vcpu_has_its_own():
    machine = crowd()
    first, second = (cache_scene(machine.stream, vcpu=vcpu) for vcpu in (0, 1))
    assert any(step.title == "vCPU 1 faults and uses its own cache" for step in first.steps)
    assert any(step.title == "vCPU 0 faults and uses its own cache" for step in second.steps)


def test_what_needs_no_table_is_told_so():
    machine = guest()
    machine.access(0, 0, "read", vcpu=1)
    assert len(cache_scene(machine.stream).steps) == 2
    machine.access(0, 0, "read")
    machine.access(0, RAM.ipa, "write")
    machine.access(0, RAM.ipa, "write")
    titles = [step.title for step in cache_scene(machine.stream).steps]
    assert titles[2] == "0x0 is not RAM: no table is needed"
    assert titles[-1] == "The guest stores to 0x80000000: no fault"


def test_a_kernel_that_dies_leaves_a_picture_that_is_true():
    machine = Machine()
    machine.create_vm([RAM, Slot((1 << 40) - 0x1000, 0x2000, 0x7000_0000)])
    machine.access(0, RAM.ipa, "write")
    machine.swap_in(0, 0x7000_1000)
    with pytest.raises(KernelBug):
        machine.discard(0, 0x7000_1000)
    machine.access(0, RAM.ipa + (1 << 21), "write")
    scene = cache_scene(machine.stream)
    agrees(machine, scene.at(len(scene.steps) - 1))
    assert scene.steps[-1].title == "The fault took no frame; 38 left for the next"
    assert "the guest faults again" in scene.steps[-1].why  # the host's change never ended


def test_the_chart_makes_room_by_doubling():
    assert [capacity(count) for count in (1, BARS, BARS + 1, 4 * BARS)] == [BARS, BARS, 2 * BARS, 4 * BARS]
