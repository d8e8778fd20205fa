"""The tables scene against the engine: what it shows at a step is what the machine holds at that event."""

import random
import re

import pytest

from kvmlab.engine import Config, KernelBug, Machine, Slot
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, decode
from kvmlab.scenes.moment import leaf_kind
from kvmlab.scenes.scene import Scene
from kvmlab.scenes.tables import place as tables_place
from kvmlab.scenes.tables.layout import View
from kvmlab.scenes.tables.narrator import A_COMMAND
from kvmlab.scenes.tables.place import Node, by_hand, place
from kvmlab.scenes.tables.rows import FEW, rows_of
from kvmlab.scenes.tables.story import TablesStory, tables_scene
from tests.scenes.runs import RAM, RUNS, first_store, guest

DEVICE = 0x2C00_6000


def shrinking():
    """A guest with a run of pages and a device; the host takes the run back; it ends, and tables leak."""
    machine = guest()
    for page in range(6):
        machine.access(0, RAM.ipa + 4096 * page, "write")
    machine.ioremap(0, 0x2C00_2000, DEVICE, 0x3000)
    machine.discard(0, RAM.hva, 6 * 4096)
    machine.access(0, RAM.ipa, "read")
    machine.destroy_vm(0)
    return machine


def two_guests():
    """Two guests; pages are merged, written again, moved to swap; one guest ends."""
    machine = Machine()
    for vm in range(2):
        machine.create_vm([Slot(ipa=RAM.ipa, size=1 << 20, hva=RAM.hva)])
        for page in range(2):
            machine.access(vm, RAM.ipa + 4096 * page, "write", value=7)
    machine.ksm_merge(0, RAM.hva, 1, RAM.hva)
    machine.access(0, RAM.ipa, "read")
    machine.host_write(1, RAM.hva, 9)
    machine.protect(0, RAM.hva)
    machine.swap_out(1, RAM.hva + 4096)
    machine.destroy_vm(0)
    machine.enter(1)
    return machine


ALL = {**RUNS, "shrinking": shrinking, "two_guests": two_guests}


@pytest.fixture(params=ALL)
def machine(request):
    return ALL[request.param]()


def pgd_of(machine, vm):
    return machine.linux.vm_list[vm].pgd if vm in machine.linux.vm_list else 0


def word_at(machine, vm, path):
    """The descriptor at a path, read from the machine's memory from the root on; None if a table is missing."""
    table = pgd_of(machine, vm)
    for level, index in enumerate(path, 1):
        if not table:
            return None
        word = machine.linux.memory.read(table + 8 * index)
        if level == len(path):
            return word
        table = word & ADDRESS_MASK if decode(word, level).kind == "table" else 0
    return None


def spot_of(part):
    vm, *path = part[1:].split("-")[0].split(".")
    return int(vm), tuple(map(int, path))


def test_every_row_says_what_is_in_memory_at_its_step(machine):
    scene = tables_scene(machine.stream, vms=(0, 1))
    looked = set()
    for number, step in enumerate(scene.steps):
        machine.seek(step.event)
        shown = scene.at(number)
        for part in shown:
            if not re.fullmatch(r"r\d+(\.\d+)+", part):
                continue
            vm, path = spot_of(part)
            word, state, text = word_at(machine, vm, path), shown[part][0].split()[0], shown[f"{part}.x"][1]
            if word is None:
                leaked = shown[part.replace("r", "t").rpartition(".")[0]][0] == "leak"
                assert state == "off" or leaked, (number, part)
                continue
            looked.add((part, word))
            if len(path) < 3:
                assert state == ("tab" if word else "inv"), (number, part)
                if len(path) == 2:
                    assert text.removeprefix("▸ ") == (f"{word & ADDRESS_MASK:#x}" if word else "empty")
            else:
                assert state == leaf_kind(word), (number, part)
                middle = shown[f"{part}.m"][1]
                assert middle == (f"pfn {(word & ADDRESS_MASK) >> 12:#x}" if word else "")
    assert looked or not any(event.name == "tables/linked" for event in machine.stream)


def test_every_table_has_its_address_and_page_count(machine):
    scene = tables_scene(machine.stream, vms=(0, 1))
    heads = {part for part in scene.base() if re.fullmatch(r"t\d+(\.\d+)*", part)}
    for number, step in enumerate(scene.steps):
        machine.seek(step.event)
        shown = scene.at(number)
        for head in heads:
            vm, path = spot_of(head)
            word = word_at(machine, vm, path) if path else pgd_of(machine, vm)
            pa = (word or 0) & ADDRESS_MASK
            if shown[head][0] == "leak":
                continue
            assert shown[head][0] == ("" if pa else "off"), (number, head)
            frames = [pa] if path else [pa, pa + 4096]
            counts = " · ".join(str(machine.linux.pages.page_count(frame)) for frame in frames if pa)
            assert shown[f"{head}.a"][1] == (f"{pa:#x}" if pa else "")
            assert shown[head.replace("t", "n") + ".t"][1] == (f"page_count {counts}" if pa else "")


def test_the_bytes_are_those_of_the_image_and_the_fields_those_of_decode(machine):
    scene = tables_scene(machine.stream, vms=(0, 1))
    seen = 0
    for number, step in enumerate(scene.steps):
        machine.seek(step.event)
        shown = scene.at(number)
        found = re.match(r"(\d+) of the level (\d) table (0x\w+), guest (\d+)", shown["d.t"][1])
        if not found:
            continue
        index, level, table, vm = (int(value, 0) for value in found.groups())
        frames = machine.image(vm).frames
        first = index - index % 8
        if table + 8 * first & ~4095 not in frames:
            continue  # leaked: no longer reachable
        data = frames[table + 8 * first & ~4095]
        at = table + 8 * first & 4095
        dump = bytes.fromhex(" ".join(shown[f"x{row}.b"][1] for row in range(8)))
        assert dump == data[at : at + 64]
        assert [row for row in range(8) if shown[f"x{row}"][0] == "at"] == [index - first]
        word = int.from_bytes(data[at + 8 * (index - first) :][:8], "little")
        fields = decode(word, level).fields
        assert int(shown["d.bits"][1].replace(" ", ""), 2) == word == int(shown["d.hex"][1], 0)
        told = {
            shown[f"d{n}.p"][1]: " ".join(filter(None, (shown[f"d{n}.{half}"][1] for half in "nbmk")))
            for n in range(14)
            if shown[f"d{n}"][0] != "off"
        }
        assert told == {
            f"{f.high}:{f.low}" if f.high > f.low else str(f.low): " ".join(
                filter(None, (f.name, f"{f.value:#x}" if f.high - f.low > 10 else f.bits, f.meaning))
            )
            for f in fields
        }
        seen += 1
    assert seen or not any(event.name.startswith("tables/linked") for event in machine.stream)


def test_the_row_that_is_decoded_is_marked_and_no_other(machine):
    scene = tables_scene(machine.stream, vms=(0, 1))
    for number in range(len(scene.steps)):
        shown = scene.at(number)
        marked = [part for part in shown if part[0] == "r" and shown[part][0].endswith(" pick")]
        found = re.match(r"(\d+) of the level (\d)", shown["d.t"][1])
        assert len(marked) == (1 if found or "gone" in shown["d.t"][1] else 0), number
        if found and re.fullmatch(r"r\d+(\.\d+)+", marked[0]) and marked[0].count(".") == int(found[2]):
            assert marked[0].rpartition(".")[2] == found[1]


def test_steps_go_on_and_events_never_back(machine):
    scene = tables_scene(machine.stream, vms=(0, 1))
    events = [step.event for step in scene.steps]
    assert events == sorted(events)
    assert events[-1] <= len(machine.stream)
    assert Scene.from_dict(scene.to_dict()).check() == scene


@pytest.mark.parametrize("seed", range(3))
def test_reading_bit_by_bit_tells_the_same(machine, seed):
    cuts = [event.seq for event in machine.stream if event.kind == "command"]
    picked = sorted(random.Random(seed).sample(cuts, min(3, len(cuts))))
    story, events = TablesStory((0, 1)), list(machine.stream)
    for start, stop in zip([0, *picked], [*picked, len(events)], strict=True):
        scene = story.read(events[start:stop])
    assert scene == tables_scene(events, vms=(0, 1))


def test_the_story_of_a_first_store():
    scene = tables_scene(first_store().stream)
    assert [step.title.split(" at ")[0] for step in scene.steps] == [
        "Before the first guest: no table exists",
        "Guest 0 gets an empty level 1 table",
        "Guest 0 gets 16384 pages: the tables stay as they are",
        "Guest 0 stores to 0x80000000 and faults",
        "Cache slot 39 becomes the level 2 table",
        "Cache slot 38 becomes the level 3 table",
        "Level 3 entry 0 maps pfn 0xa0000, read and write",
    ]
    assert scene.groups[-1].before == "write 1"
    assert scene.groups[-1].after == "1: 2 tables"


def test_kinds_are_told_apart_by_words_too():
    machine = first_store()
    machine.access(0, RAM.ipa + 0x1000, "read")
    machine.ioremap(0, RAM.ipa + RAM.size, DEVICE, 0x1000)
    shown = tables_scene(machine.stream).at(10_000)
    leaves = [part for part in shown if re.fullmatch(r"r0(\.\d+){3}", part)]
    rows = {part: (shown[part][0].split()[0], shown[f"{part}.x"][1]) for part in leaves}
    assert rows == {"r0.2.0.0": ("rw", "RW"), "r0.2.0.1": ("ro", "RO"), "r0.2.32.0": ("dev", "DEV")}


def test_what_leaks_stays_in_sight():
    machine = shrinking()
    scene = tables_scene(machine.stream)
    last = scene.steps[-1]
    freed = {event.args["pa"] for event in machine.stream if event.name == "page/freed"}
    linked = {event.args["table"] for event in machine.stream if event.name == "tables/linked"}
    shown = scene.at(len(scene.steps) - 1)
    leaked = {shown[f"{part}.a"][1] for part in shown if part[0] == "t" and shown[part][0] == "leak"}
    pgd = next(event.args["pgd"] for event in machine.stream if event.name == "tables/created")
    assert leaked == {f"{pa:#x}" for pa in {*linked, pgd} - freed}
    assert len(leaked) > 1
    assert last.title == f"Guest 0 ends: 2 table frames freed, {len(leaked) + 1} leak"


def test_with_the_fix_nothing_leaks():
    machine = guest(fixes=frozenset({"unmap to boundary"}))
    machine.access(0, RAM.ipa, "write")
    machine.ioremap(0, 0x2C00_2000, DEVICE, 0x1000)
    machine.destroy_vm(0)
    scene = tables_scene(machine.stream)
    assert scene.steps[-1].title == "Guest 0 ends: all its 6 table frames are freed"
    assert {state for part, (state, _) in scene.at(10_000).items() if re.fullmatch(r"t[\d.]+", part)} == {"off"}


def test_a_run_is_one_row_and_unfolds_step_by_step():
    machine = guest()
    machine.ioremap(0, 0x1000_0000, DEVICE, 512 * 4096)
    view = View()
    story = TablesStory((0,), view)
    scene = story.read(machine.stream)
    end = scene.at(10_000)
    assert [part for part in end if re.fullmatch(r"r0\.0\.128\.[\d-]+", part)] == ["r0.0.128.0-511"]
    assert end["r0.0.128.0-511.x"][1] == "512 DEV"
    assert end["r0.0.128.0-511.m"][1] == f"{DEVICE >> 12:#x}…"
    for part, inside in (("r0.0.128.0-511", "r0.0.128.64-127"), ("r0.0.128.64-127", "r0.0.128.72-79")):
        view.open[part] = True
        assert story.scene().at(10_000)[f"{inside}.x"][1] == ("64 DEV" if inside.endswith("127") else "8 DEV")
    assert story.scene().steps[3].title == scene.steps[3].title
    view.open.clear()
    assert story.scene() == scene


def test_the_picked_entry_is_decoded_at_every_step():
    machine = first_store()
    scene = tables_scene(machine.stream, view=View(picked=(0, (2,))))
    values = [scene.at(number)["d.hex"][1] for number in range(len(scene.steps))]
    link = machine.linux.memory.read(machine.kvm(0).pgd + 16)
    assert values == ["", *["0x0000000000000000"] * 3, *[f"{link:#018x}"] * 3]
    assert "pick" in scene.at(6)["r0.2"][0]


def test_a_long_command_is_told_in_a_few_steps_and_its_end_is_right():
    machine = guest()
    machine.ioremap(0, 0x1000_0000, DEVICE, 5000 * 4096)
    scene = tables_scene(machine.stream)
    assert len(scene.steps) < 8 * A_COMMAND
    rest = next(step for step in scene.steps if step.title.startswith("The same for"))
    told = sum(step.title.startswith("Level 3 entry") for step in scene.steps)
    assert f"{5000 - told} mapped" in rest.why
    end = scene.at(len(scene.steps) - 1)
    spans = [text for part, (_, text) in end.items() if re.fullmatch(r"r0\.0\.\d+\.\d+-\d+\.x", part)]
    shown = sum(int(text.split()[0]) for text in spans)
    drawn = {part.split(".")[2] for part in end if re.fullmatch(r"r0\.0\.\d+\.\d+-\d+", part)}
    assert shown == sum(min(512, 5000 - 512 * (int(table) - 128)) for table in drawn) > 0


def test_many_rows_are_gathered():
    rows = rows_of(range(0, 1024, 2), lambda index: index)
    assert len(rows) <= FEW

    def singles(row):
        return sum(map(singles, row.inside)) if row.inside else 1

    assert sum(map(singles, rows)) == 512


def test_a_dead_kernel_leaves_a_scene():
    machine = first_store()
    machine.add_slot(0, (0xFF_FFFF_F000, 0x2000, 0x6000_0000))
    machine.access(0, 0xFF_FFFF_F000, "write")
    with pytest.raises(KernelBug):
        machine.discard(0, 0x6000_0000, 0x2000)
    died = tables_scene(machine.stream)
    machine.access(0, RAM.ipa + 0x1000, "write")
    assert died.steps[-1].command == 4
    assert tables_scene(machine.stream).steps == died.steps, "the open range lets nothing be mapped any more"


@pytest.mark.parametrize("run", [shrinking, RUNS["everything"]])
def test_questions_have_right_answers_from_the_run(run):
    scene = tables_scene(run().stream)
    asked = {belief for step in scene.steps if step.ask for belief in step.ask.beliefs if belief}
    assert asked >= {"M03", "M06", "M18", "M27", "M28"}
    for number, step in enumerate(scene.steps):
        if step.ask and "M27" in step.ask.beliefs:
            count = next(part for part in step.now if part[0] == "n")
            assert scene.at(number)[f"{count}.t"][1] == f"page_count {step.ask.choices[step.ask.right]}"
        if step.ask and "M28" in step.ask.beliefs:
            back = 0
            while scene.steps[number + back].title.endswith("is freed"):
                back += 1
            assert step.ask.choices[step.ask.right] == str(back)


def test_nothing_of_the_subject_still_gives_a_first_step():
    assert len(tables_scene([]).steps) == 1
    assert len(tables_scene(first_store().stream, vms=(5,)).steps) == 1


NODES = (Node("a", 0, 60, ""), Node("b", 1, 60, "a"), Node("c", 2, 80, "b"), Node("d", 2, 80, "b"))


@pytest.mark.parametrize("how", [place, by_hand])
def test_tables_of_a_level_never_overlap(how):
    tops = how(NODES)
    assert set(tops) == {"a", "b", "c", "d"}
    assert abs(tops["c"] - tops["d"]) >= 80


def test_the_tree_of_the_first_guest_stands_first():
    base = tables_scene(two_guests().stream, vms=(0, 1)).markup
    assert base.index('data-id="t0"') < base.index('data-id="t1"')
    tops = place((Node("t0", 0, 60, ""), Node("x", 1, 200, "t0"), Node("t1", 0, 60, ""), Node("y", 1, 60, "t1")))
    assert tops["x"] + 200 < min(tops["t1"], tops["y"])


def test_without_dot_the_same_parts_are_drawn(monkeypatch):
    stream, called = shrinking().stream, []
    with_dot = tables_scene(stream)
    tables_place._place_tree.cache_clear()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(tables_place, "by_hand", lambda nodes, real=by_hand: called.append(1) or real(nodes))
    without = tables_scene(stream)
    tables_place._place_tree.cache_clear()
    assert called
    assert [step.patches for step in without.steps] == [step.patches for step in with_dot.steps]
    assert without.base().keys() == with_dot.base().keys()


def test_a_small_vmid_space_does_not_matter():
    machine = Machine(Config(vmid_bits=2))
    for vm in range(5):
        machine.create_vm([RAM])
        machine.access(vm, RAM.ipa, "write")
    assert tables_scene(machine.stream, vms=(0, 4)).steps[-1].title.startswith("Level 3 entry 0 maps")
