"""Test the diagrams: every number that is drawn against the engine, and every word for its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from kvmlab.engine import InputError, Machine, Slot
from kvmlab.engine.hardware.walker import walk as walk_tables
from kvmlab.figures.descriptor import descriptor, leaf_data
from kvmlab.figures.files import to_bytes
from kvmlab.figures.guests import DEVICE, RAM, TOUCHED, standard_guest
from kvmlab.figures.nested import nested_walk
from kvmlab.figures.notifier import notifier_path
from kvmlab.figures.notifier_data import CAUSES, HVA, path_data
from kvmlab.figures.notifier_data import IPA as NOTIFIED
from kvmlab.figures.style import SIZES, Slide
from kvmlab.figures.tree import pgd_tree
from kvmlab.figures.tree_layout import GRIDS, fitting
from kvmlab.figures.walk import walk
from kvmlab.figures.walk_data import IPA, walk_data
from kvmlab.scenes.pgd import pgd_graph
from kvmlab.session import Session
from tests.figures.boxes import faults

Draw = Callable[..., Slide]
HIGH = 0xFF_FFE0_0000
UNMAPPED = {1: 0x1_0000_0000, 2: RAM[0] + 0x40_0010, 3: RAM[0] + 0x2FFC}
"""Addresses of the standard guest's at which a walk ends, by level."""


def crowded() -> Machine:
    """Return a machine with more pages than a figure can show, some of them behind the highest indices."""
    machine = Machine()
    machine.create_vm([Slot(*RAM), Slot(HIGH, 1 << 20, 0x9000_0000)])
    for number in range(60):
        machine.access(0, RAM[0] + number * 0x4_1000, "write" if number % 3 else "read")
    machine.access(0, HIGH + 0xF_F000, "write")
    machine.ioremap(0, HIGH + 0x1F_E000, 0xFF_FFFF_C000, 0x2000)
    return machine


CASES: list[tuple[Draw, dict[str, Any]]] = [
    (pgd_tree, {}),
    (pgd_tree, {"run": crowded}),
    (walk, {}),
    (walk, {"ipa": HIGH + 0xF_FABC, "run": crowded}),
    (walk, {"ipa": HIGH + 0x1F_FABC, "run": crowded}),
    (walk, {"ipa": TOUCHED[1][0], "access": "write"}),
    *((walk, {"ipa": ipa}) for ipa in UNMAPPED.values()),
    *((descriptor, {"leaf": leaf}) for leaf in ("rw", "ro", "dev", (1 << 64) - 1)),
    *((notifier_path, {"event": event}) for event in CAUSES),
    *((nested_walk, {"stage1_levels": levels}) for levels in range(4)),
]


def axes(figure: Slide) -> Axes:
    (found,) = figure.axes
    return found


def texts(figure: Slide) -> list[str]:
    return [text.get_text() for text in axes(figure).texts]


def place(text: Text) -> tuple[float, float]:
    x, y = text.get_position()
    return float(x), float(y)


def bits(figure: Slide) -> str:
    """Return the digits in the cells, row by row: those that are centred and of equal width."""
    cells = [t for t in axes(figure).texts if t.get_text() in ("0", "1") and t.get_ha() == "center"]
    cells = [t for t in cells if t.get_family() == ["DejaVu Sans Mono"]]
    return "".join(t.get_text() for t in sorted(cells, key=lambda t: (round(place(t)[1]), place(t)[0])))


# -- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "args"), CASES)
@pytest.mark.parametrize("size", SIZES)
def test_every_word_can_be_read(draw: Draw, args: dict[str, Any], size: str) -> None:
    given = {name: value() if callable(value) else value for name, value in args.items()}
    figure = draw("light", size, **given)
    assert faults(figure, SIZES[size].small) == []
    assert len(figure.kvmlab_title) <= 60
    assert "Linux 3.9" in figure.kvmlab_source
    assert bool(figure.texts) == (size == "slide")  # in a paper the words stand in the caption


@pytest.mark.slow
@pytest.mark.parametrize("draw", [pgd_tree, walk, descriptor, notifier_path, nested_walk])
def test_the_same_bytes_twice_and_others_in_the_dark(draw: Draw) -> None:
    first, again, dark = (to_bytes(draw(theme)) for theme in ("light", "light", "dark"))
    assert first == again != dark
    assert b"<desc>" in first


@pytest.mark.parametrize(
    ("draw", "args", "named"),
    [
        (walk, {"ipa": 1 << 40}, "ipa is 0x10000000000; allowed: 0 to 0xffffffffff"),
        (walk, {"ipa": -1}, "ipa is -1"),
        (walk, {"ipa": "0x1000"}, "ipa must be a whole number, not '0x1000'"),
        (walk, {"access": "jump"}, "access is 'jump'; allowed: read, write, fetch"),
        (walk, {"vm": 3}, "vm is 3; allowed: 0"),
        (walk, {"run": 7}, "run is 7; allowed: a Session, a Machine, or None"),
        (pgd_tree, {"vm": 3}, "vm is 3; allowed: 0"),
        (pgd_tree, {"run": "guest"}, "run is 'guest'"),
        (descriptor, {"leaf": "rx"}, "leaf is 'rx'; allowed: 'rw', 'ro', 'dev'"),
        (descriptor, {"leaf": 0xA000_0001}, "leaf is 0xa0000001, which maps nothing"),
        (descriptor, {"leaf": 1 << 64}, "leaf is 0x10000000000000000; allowed"),
        (descriptor, {"leaf": None}, "leaf must be a whole number, not None"),
        (notifier_path, {"event": "reboot"}, "event is 'reboot'; allowed: swap_out, discard"),
        (nested_walk, {"stage1_levels": 9}, "stage1_levels is 9; allowed: 0 to 3"),
        (nested_walk, {"stage1_levels": 1.5}, "stage1_levels must be a whole number, not 1.5"),
        (nested_walk, {"theme": "sepia"}, "theme is 'sepia'"),
        (pgd_tree, {"size": "poster"}, "size is 'poster'"),
    ],
)
def test_a_mistake_is_named(draw: Draw, args: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=re.escape(named)):
        draw(**args)


# -- the tree ------------------------------------------------------------------------------------------------------


def test_the_tree_shows_what_lies_in_memory() -> None:
    machine = standard_guest()
    memory, pages, pgd = machine.linux.memory, machine.linux.pages, machine.kvm(0).pgd
    said = texts(pgd_tree())
    assert f"refs {pages.page_count(pgd)} · {pages.page_count(pgd + 4096)}" in said
    for ipa in (*(ipa for ipa, _ in TOUCHED), DEVICE["ipa"]):
        one, two, leaf = walk_tables(memory, machine.kvm(0).vttbr, ipa).steps
        for table in (one.descriptor & ~3, two.descriptor & ~3):
            assert f"{table:#x}" in said
            assert f"refs {pages.page_count(table)}" in said
        assert {f"{one.descriptor:#x}", f"{two.descriptor:#x}", f"{ipa:#x}"} <= set(said)
        assert any(text.startswith(f"{(leaf.descriptor & 0xFF_FFFF_F000) >> 12:#x}") for text in said)
    assert [said.count(kind) for kind in ("RW", "RO", "DEV")] == [2, 1, 1]
    assert "353–511 empty" in said  # beside entry 352, through which the interrupt controller is reached


def test_the_tree_of_a_session_follows_its_cursor() -> None:
    session = Session()
    session.do("create_vm", slots=[RAM])
    session.do("access", vm=0, ipa=RAM[0], access="write")
    assert texts(pgd_tree(run=session)).count("RW") == 1
    session.undo()
    assert "0–1023 empty" in texts(pgd_tree(run=session))


def test_what_does_not_fit_is_counted() -> None:
    machine = crowded()
    nodes = pgd_graph(machine).tables
    leaves = sum(1 for node in nodes for entry in node.entries if entry.kind != "tab")
    for size, height in (("slide", 363.0), ("column", 300.0), ("column", 5000.0)):
        placed, left_out = fitting(nodes, GRIDS[size], height)
        assert max(table.y + table.high for table in placed) <= height
        shown = sum(1 for table in placed for entry, _ in table.rows if entry.kind != "tab")
        assert shown + left_out == leaves
        for table in placed:
            more = [int(words.split()[0]) for _, words in table.notes if "more" in words]
            assert len(table.rows) + sum(more) == len(table.node.entries)
    assert left_out == 0


def test_no_table_lies_on_another() -> None:
    grid = GRIDS["column"]
    placed, _ = fitting(pgd_graph(crowded()).tables, grid, 5000)
    for level in range(3):
        column = [table for table in placed if len(table.node.path) == level]
        assert all(one.y + one.high + grid.gap <= other.y for one, other in pairwise(column))
        assert grid.lefts[level] + grid.widths[level] < grid.lefts[level + 1]


# -- the walk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ipa", [IPA, TOUCHED[0][0], DEVICE["ipa"] + 0x1010, *UNMAPPED.values(), 0xFF_FFFF_FFFF])
def test_every_number_of_a_walk_is_the_walkers(ipa: int, size: str) -> None:
    machine = standard_guest()
    found = walk_tables(machine.linux.memory, machine.kvm(0).vttbr, ipa)
    figure = walk("light", size, ipa=ipa)
    said = texts(figure)
    assert bits(figure) == f"{ipa:040b}"
    for shift, entries in ((30, 1024), (21, 512), (12, 512)):
        assert f"= {(ipa >> shift) % entries}" in said
    assert f"= {ipa & 0xFFF:#x}" in said
    for step in found.steps:
        base = step.entry - 8 * step.index
        assert f"{step.descriptor:#x}" in said
        if size == "slide":
            assert {f"{base:#x}", f"+ 8 × {step.index}", f"{8 * step.index:#x}", f"{step.entry:#x}"} <= set(said)
        else:
            assert f"{base:#x} + 8 × {step.index} = {step.entry:#x}" in said
    end = f"translation fault, level {found.level}" if found.fault else f"{found.pa:#x}"
    assert any(text.endswith(end) for text in said)
    assert sum(text in ("base", "holds") for text in said) == (2 * len(found.steps) if size == "slide" else 0)


def test_the_default_walk_by_hand() -> None:
    data = walk_data()
    assert [step.index for step in data.found.steps] == [2, 1, 3]
    assert [data.base(step) for step in data.found.steps[1:]] == [s.descriptor & ~3 for s in data.found.steps[:-1]]
    assert data.offset == 0x2A4
    assert data.found.pa == data.found.descriptor & 0xFF_FFFF_F000 | 0x2A4
    assert [data.says(step) for step in data.found.steps] == ["table", "table", "page"]


@pytest.mark.parametrize(("level", "ipa"), UNMAPPED.items())
def test_a_walk_breaks_off_where_nothing_is(level: int, ipa: int) -> None:
    data = walk_data(ipa)
    assert (data.found.level, len(data.found.steps), data.says(data.found.steps[-1])) == (level, level, "empty")
    assert [data.reaches(part) for part in range(4)] == [part < level for part in range(4)]
    figure = walk(ipa=ipa)
    assert f"HPFAR {ipa >> 12 << 4:#x}" in texts(figure)
    assert figure.kvmlab_title == f"IPA {ipa:#x}: translation fault at level {level}"


def test_a_write_to_a_page_that_was_read_is_forbidden() -> None:
    assert "permission fault, level 3" in texts(walk(ipa=TOUCHED[1][0], access="write"))
    assert not walk_data(TOUCHED[1][0]).found.fault
    assert not walk_data(TOUCHED[0][0], access="write").found.fault


def test_a_guest_that_has_not_run_has_an_empty_vttbr() -> None:
    machine = Machine()
    machine.create_vm([RAM])
    data = walk_data(RAM[0], run=machine)
    assert (data.vttbr, data.root, data.found.level) == (0, machine.kvm(0).pgd, 1)
    assert any("has not run yet" in text for text in texts(walk(ipa=RAM[0], run=machine)))


# -- the descriptor ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("leaf", "low"), [("rw", 0x7FF), ("ro", 0x77F), ("dev", 0xC0_0000_0000_07D3)], ids=["rw", "ro", "dev"]
)
def test_all_64_bits_are_those_that_the_kernel_wrote(leaf: str, low: int, size: str) -> None:
    machine = standard_guest()
    ipa = {"rw": TOUCHED[0][0], "ro": TOUCHED[1][0], "dev": DEVICE["ipa"]}[leaf]
    word = walk_tables(machine.linux.memory, machine.kvm(0).vttbr, ipa).descriptor
    assert word & ~0xFF_FFFF_F000 == low
    figure = descriptor("light", size, leaf=leaf)
    said = texts(figure)
    assert bits(figure) == f"{word:064b}"
    assert f"{word:#018x}" in said
    assert f"{word & 0xFF_FFFF_F000:#x}" in said
    assert {f"{word >> 2 & 15:04b}", f"{word >> 55 & 15:04b}"} <= set(said)
    assert {"type", "MemAttr", "HAP, S2AP", "SH", "AF", "address", "contiguous", "XN", "software"} <= set(said)


def test_a_given_value_is_taken_apart() -> None:
    data = leaf_data(0xFF_FFFF_F003 | 1 << 54)
    assert (data.kind, data.ipa, data.leaf.address) == ("dev", None, 0xFF_FFFF_F000)
    assert "a given value" in " ".join(texts(descriptor(leaf=0xFF_FFFF_F003)))


# -- the notifier --------------------------------------------------------------------------------------------------


def test_the_path_of_a_swap_out_step_by_step() -> None:
    data = path_data()
    lanes = "".join({"host": "H", "kern": "K", "hw": "W", "guest": "G"}[row.lane] for row in data.rows)
    assert lanes == "HHKKKWHGWKHKKW"
    assert data.seq == (0, 1)
    assert data.faults
    values = [row.value for row in data.rows]
    assert values[2] == "mmu_notifier_seq 0 → 1"
    assert values[3] == f"hva {HVA:#x} → gpa {NOTIFIED:#x}"
    assert [row.mark for row in data.rows if row.mark] == ["now", "event", "event", "now"]


def test_the_numbers_of_the_path_are_those_of_a_run() -> None:
    machine = Machine()
    machine.create_vm([RAM])
    for ipa in (NOTIFIED, NOTIFIED + 4096):
        machine.access(0, ipa, "write", value=7)
    old = walk_tables(machine.linux.memory, machine.kvm(0).vttbr, NOTIFIED)
    held = sum(len(cpu.tlb.entries()) for cpu in machine.cpus)
    machine.swap_out(0, HVA)
    gone = walk_tables(machine.linux.memory, machine.kvm(0).vttbr, NOTIFIED)
    machine.access(0, NOTIFIED)
    new = walk_tables(machine.linux.memory, machine.kvm(0).vttbr, NOTIFIED)
    said = texts(notifier_path())
    index = old.steps[-1].index
    assert f"L3[{index}] {old.descriptor:#x} → 0x0" in said
    assert f"L3[{index}] 0x0 → {new.descriptor:#x}" in said
    assert f"{gone.fault} fault, level {gone.level}" in said
    assert f"IPA {NOTIFIED:#x} → PA {new.pa:#x}" in said
    assert f"VMID {machine.kvm(0).vmid}: {held} entries dropped" in said
    assert f"pfn {old.pa >> 12:#x}" in said


@pytest.mark.parametrize("event", CAUSES)
def test_no_step_of_the_path_is_out_of_order(event: str) -> None:
    data = path_data(event)
    titles = [row.title for row in data.rows]
    before = titles[: data.again]
    assert before.index("The stage-2 entry is cleared") < before.index("TLB flush of the whole VMID")
    if "The frame is free" in before:
        assert before.index("TLB flush of the whole VMID") < before.index("The frame is free")
    if "invalidate_range_start()" in before:
        assert before.index("invalidate_range_start()") < before.index("It changes its own entry")
        assert before.index("It changes its own entry") < before.index("invalidate_range_end()")
    assert data.seq[1] - data.seq[0] == sum("seq" in row.value for row in data.rows[: data.again])
    assert titles[-1] == "TLB miss, the walk succeeds"
    assert data.faults == ("The stage-2 entry is written" not in before)


# -- the two-dimensional walk --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("levels", "reads"), [(0, 3), (1, 7), (2, 11), (3, 15)])
def test_the_reads_stand_in_their_order(levels: int, reads: int, size: str) -> None:
    figure = nested_walk("light", size, stage1_levels=levels)
    numbers = {int(t.get_text()): place(t) for t in axes(figure).texts if t.get_text().isdigit()}
    assert sorted(numbers) == list(range(1, reads + 1))
    assert any(text.endswith(f"= {reads} reads") for text in texts(figure))
    assert f"{reads} reads" in figure.kvmlab_title
    columns = sorted({round(x) for x, _ in numbers.values()})
    assert len(columns) == levels + 1
    for order, (x, y) in numbers.items():
        column, row = divmod(order - 1, 4)  # three reads of stage 2, then one of stage 1
        assert columns.index(round(x)) == column
        assert sorted(b for a, b in numbers.values() if round(a) == round(x)).index(y) == row
