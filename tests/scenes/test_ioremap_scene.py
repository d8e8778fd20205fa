"""The ioremap scene says what the engine's tables hold, at every step, in whatever pieces the run is read."""

import random
from itertools import pairwise

import pytest

from kvmlab.engine import Config, KernelBug, Machine, Slot
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.kernel.memslot import gfn_to_memslot
from kvmlab.scenes.ioremap.line import ROWS, WIDTH, Line, lay_out
from kvmlab.scenes.ioremap.story import IoremapStory, ioremap_scene
from kvmlab.scenes.moment import leaf_kind
from tests.scenes.runs import RAM, RUNS, guest

KINDS = {"rw": "RW", "ro": "RO", "dev": "DEV", "ram": "RAM", "hole": "hole"}


def vgic():
    """The VGIC's virtual CPU interface, then accesses to it and beside it."""
    machine = guest()
    machine.access(0, RAM.ipa, "write", value=1)
    machine.ioremap(0, 0x2C00_2000, 0x2C00_6000, 0x2000)
    machine.access(0, 0x2C00_2000, "write", value=1)
    machine.access(0, 0x2C00_4000, "read")
    return machine


def over_ram():
    """The third of four pages is memory in use."""
    machine = guest()
    machine.access(0, RAM.ipa + 0x3000, "write")
    machine.ioremap(0, RAM.ipa + 0x1000, 0x2C00_0000, 0x4000)
    return machine


def half_way():
    """The second page finds no frame."""
    machine = guest()
    machine.fail_alloc(3)
    machine.ioremap(0, 0x2C1F_E000 + 0x1000, 0x1C00_0000, 0x4000)
    return machine


def crooked():
    """Ranges that begin in a page, end at 4 GiB, or are empty."""
    machine = guest()
    for ipa, size in (
        (0x3000_0800, 0x1000),
        (0xFFFF_F000, 0x1000),
        (0x3100_0000, 0),
        (0x3200_0800, 0),
        (1 << 39, 0x1000),
    ):
        machine.ioremap(0, ipa, 0x1C00_0000, size)
    return machine


def long_range():
    """A large device, a page of which is looked at later; memory comes and goes; another VM; the end."""
    machine = guest()
    machine.ioremap(0, 0x5000_0000, 0x1C00_0000, 0x4_0000)
    machine.access(0, 0x5002_0000, "read")
    machine.create_vm([RAM])
    machine.ioremap(1, 0x5000_0000, 0x1C00_0000, 0x1000)
    machine.access(0, RAM.ipa, "write")
    machine.add_slot(0, Slot(0x1_0000_0000, 0x1000, 0x7000_0000))
    machine.access(0, 0x1_0000_0000, "read")
    machine.remove_slot(0, 1)
    machine.do("race", vm=0, guest={"ipa": RAM.ipa + 0x1000, "access": "write"}, host="swap_out", args={"hva": RAM.hva})
    machine.discard(0, RAM.hva, RAM.size)
    machine.destroy_vm(0)
    return machine


def many_places():
    """More places than the line has room for."""
    machine = guest()
    for number in range(40):
        machine.access(0, RAM.ipa + 0x4000 * number, "write")
    return machine


MADE = {made.__name__: made for made in (vgic, over_ram, half_way, crooked, long_range, many_places)} | RUNS


@pytest.fixture(scope="module", params=MADE)
def run(request):
    machine = MADE[request.param]()
    return machine, ioremap_scene(machine.stream)


def agrees(machine, picture):
    """Compare the line, the cache and the lock with the engine as it stands."""
    linux = machine.linux
    kvm = linux.vm_list[0]
    for part, (state, _) in picture.items():
        if not (part[0] == "p" and part[1:].isalnum()):
            continue
        gfn = int(part[1:], 16)
        found = walk(linux.memory, kvm.pgd, gfn << 12) if kvm.pgd else None
        word = found.descriptor if found and found.level == 3 else 0
        unmapped = "ram" if kvm.created and gfn_to_memslot(kvm, gfn) else "hole"
        assert state == (leaf_kind(word) if word else unmapped), part
        assert picture[f"{part}.k"][1] == KINDS[state]
        assert picture[f"{part}.t"][1] == (f"{(word & ADDRESS_MASK) >> 12:#x}" if word else "empty")
    assert (picture["k.lk"][0] == "held") == bool(kvm.mmu_lock.held)
    assert picture["n.live.t"][1] == str(linux.pages.nr_live)


def test_every_step_agrees_with_the_engine_at_that_time(run):
    machine, scene = run
    picture = dict(scene.base())
    for step in scene.steps:
        for part, state, text in step.patches:
            old = picture[part]
            picture[part] = (old[0] if state is None else state, old[1] if text is None else text)
        machine.seek(step.event)
        if step.event > 1:
            agrees(machine, picture)
    machine.seek(len(machine.stream))


def test_it_is_the_same_in_pieces_of_any_size(run):
    machine, scene = run
    events = list(machine.stream)
    starts = [event.seq for event in events if event.kind == "command" and "part_of" not in event.args][1:]
    draw = random.Random(3)
    for pieces in (2, 4, len(starts)):
        cuts = [0, *sorted(draw.sample(starts, min(len(starts), pieces))), len(events)]
        story = IoremapStory()
        for first, last in pairwise(cuts):
            told = story.read(events[first:last])
        assert told == scene


def test_steps_never_go_back_in_time(run):
    _, scene = run
    events = [step.event for step in scene.steps]
    assert events == sorted(events)


def test_a_question_is_asked_at_most_twice(run):
    _, scene = run
    asked = [step.ask.ask for step in scene.steps if step.ask]
    assert all(asked.count(question) <= 2 for question in asked)


def titles(machine):
    return [step.title for step in ioremap_scene(machine.stream).steps]


def asked(machine, start):
    """The right answer of the question that begins so, and what its wrong ones stand for."""
    step = next(step for step in ioremap_scene(machine.stream).steps if step.ask and step.ask.ask.startswith(start))
    return step.ask.choices[step.ask.right], dict(zip(step.ask.choices, step.ask.beliefs, strict=True))


def test_a_device_page_is_reached_without_an_exit_and_a_hole_traps():
    machine = vgic()
    said = titles(machine)
    assert "The guest stores to 0x2c002000: no fault, no exit" in said
    assert said[-3:] == [
        "The guest loads from 0x2c004000: it traps",
        "gfn 0x2c004 is in no memory slot: not RAM",
        "The load of 4 bytes goes to user space",
    ]
    right, beliefs = asked(machine, "The guest goes to a page that ioremap has mapped")
    assert right.startswith("nobody")
    assert set(beliefs.values()) == {"", "M42"}
    assert asked(machine, "2 pages of a device")[0] == "2"


def test_no_code_runs_from_a_device_page():
    machine = vgic()
    seen = len(ioremap_scene(machine.stream).steps)
    machine.access(0, 0x2C00_2000, "fetch")
    steps = ioremap_scene(machine.stream).steps[seen:]
    assert steps[0].title == "The guest fetches from 0x2c002000: it traps"
    assert steps[0].ask is None
    assert steps[-1].fn == "kvm_inject_pabt()"


def test_the_memory_attribute_is_told_once_and_noted():
    machine = vgic()
    scene = ioremap_scene(machine.stream)
    at = [step.title for step in scene.steps].index("MemAttr is 0100, and that is no device type")
    picture = scene.at(at)
    assert picture["d6.b"][1] == "0100"
    assert "outer non-cacheable, inner reserved" in picture["d.note0"][1]
    assert scene.at(0)["d.note0"][1] == ""
    mended = Machine(Config(fixes=frozenset({"device memory type"})))
    mended.create_vm([RAM])
    mended.ioremap(0, 0x2C00_2000, 0x2C00_6000, 0x1000)
    assert "MemAttr is 0001: device" in titles(mended)
    assert {
        shown[1] for n in range(9) for part, shown in ioremap_scene(mended.stream).at(n).items() if "note" in part
    } == {""}


def test_over_ram_the_pages_before_stay():
    machine = over_ram()
    scene = ioremap_scene(machine.stream)
    assert scene.steps[-1].title == "It returns -14; 2 pages of it stay mapped"
    last = scene.at(len(scene.steps) - 1)
    assert [last[f"p{gfn:x}"][0] for gfn in range(0x80001, 0x80005)] == ["dev", "dev", "rw", "ram"]
    right, beliefs = asked(machine, "The call ends with an error")
    assert (right, beliefs["0"]) == ("2", "M31")


def test_half_way_the_first_page_stays_and_a_spare_frame_goes_back():
    machine = half_way()
    said = titles(machine)
    assert said[-2].startswith("Page 2: no frame for the cache")
    assert said[-1].startswith("It returns -12; 1 page")
    assert asked(machine, "The call ends with an error")[0] == "1"
    machine.fail_alloc(4)
    machine.ioremap(0, 0x2C3F_F000, 0x1C00_0000, 0x4000)  # the level 2 table is there now
    assert titles(machine)[-2] == "One frame is left on the stack, and given back"
    assert "2 pages of it stay mapped" in titles(machine)[-1]


def test_ranges_that_surprise():
    machine = crooked()
    scene = ioremap_scene(machine.stream)
    done = [step for step in scene.steps if step.fn == "kvm_phys_addr_ioremap()" and "returns" in step.title]
    assert [step.title for step in done] == [
        "The device is mapped, 2 pages; it returns 0",
        "Nothing was mapped, and it returns 0",
        "Nothing was mapped, and it returns 0",
        "The device is mapped, 1 page; it returns 0",
        "Nothing was mapped, and it returns 0",
    ]
    assert "starts at 0x30000800, unaligned" in done[0].why
    assert "0x100000000, is cut to 32 bits" in done[1].why
    assert "The size is 0" in done[2].why
    right, beliefs = asked(machine, "What does the call come to?")
    assert right == "no page is mapped, it returns 0"
    assert beliefs["1 mapped, it returns 0"] == "M31"


def test_a_long_range_is_told_shortly_and_counted_in_full():
    scene = ioremap_scene(long_range().stream)
    at = [step.title for step in scene.steps].index("The device is mapped, 64 pages; it returns 0")
    assert scene.at(at)["n.map.t"][1] == "64"
    assert at < 40
    assert scene.at(at)["p50020"][0] == "dev"  # drawn only because of a later access


def test_what_has_no_room_is_counted():
    scene = ioremap_scene(many_places().stream)
    drawn = [part for part in scene.base() if part[0] == "p" and part[1:].isalnum()]
    assert f"{40 - len(drawn)} more pages not drawn" in scene.source
    assert 20 <= len(drawn) < 40


def test_many_faults_for_memory_are_told_quickly():
    scene = ioremap_scene(many_places().stream)
    assert sum(step.fast for step in scene.steps) == 37
    assert all(step.title.startswith("RAM: the fault maps") for step in scene.steps if step.fast)


def test_the_line_stays_inside_the_drawing_and_nothing_touches():
    draw = random.Random(1)
    line = Line(pages=sorted(draw.sample(range(0x80000, 0x80040), 20)))
    cells = lay_out(line.pages)
    assert all(cell.x + 70 <= WIDTH + 4 for cell in cells)
    for before, after in pairwise(cells):
        if before.row == after.row:
            assert after.x - before.x >= (70 if after.gfn == before.gfn + 1 else 80)
    assert ROWS == 3


def test_there_is_a_first_step_even_for_nothing():
    assert [step.title for step in ioremap_scene([]).steps] == ["How a guest gets a device of its own"]
    assert len(ioremap_scene(vgic().stream, vm=4).steps) == 1


def test_a_kernel_that_dies_leaves_a_picture_that_is_true():
    machine = Machine()
    machine.create_vm([RAM, Slot((1 << 40) - 0x1000, 0x2000, 0x7000_0000)])
    machine.access(0, RAM.ipa, "write")
    machine.swap_in(0, 0x7000_1000)
    with pytest.raises(KernelBug):
        machine.discard(0, 0x7000_1000)
    machine.ioremap(0, 0x2C00_2000, 0x2C00_6000, 0x1000)
    scene = ioremap_scene(machine.stream)
    agrees(machine, scene.at(len(scene.steps) - 1))
    assert scene.steps[-1].title == "The device is mapped, 1 page; it returns 0"
