"""Each step says which of the six questions it answers, and where its code stands."""

import re
from pathlib import Path

import pytest

import kvmlab.engine
from kvmlab.scenes import sources
from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.fault.tell_commands import COMMANDS
from kvmlab.scenes.labels import _OF_MARK, LABELS, label_of
from kvmlab.scenes.sources import BROWSER, source_of
from tests.scenes.runs import RUNS

ENGINE = Path(kvmlab.engine.__file__).parent
AREA = re.compile(r"[a-z]+/[a-z_]+")
MADE = re.compile(r"\bmark\(\s*([^,()]*?\"[^,()]*?),", re.DOTALL)
NAMED = re.compile(r"\"([a-z_]+(?:/[a-z_]+)?)\"")


def emitted():
    """Return the names of the marks in the engine's source: those in calls of mark, and what looks like "area/what"."""
    names = set()
    for file in ENGINE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for call in MADE.findall(text):
            names.update(NAMED.findall(call))
        names.update(name for name in NAMED.findall(text) if AREA.fullmatch(name))
    return names


def test_every_mark_of_the_engine_has_a_label_and_no_label_is_left_over():
    names = emitted()
    assert {"kvm_entry", "io_mem_abort", "ram/fetched", "notifier/retried", "tables/linked"} <= names
    assert names == set(_OF_MARK)
    assert set(_OF_MARK.values()) == set(LABELS)


def test_every_mark_of_a_run_has_a_label():
    for run in RUNS.values():
        for event in run().stream:
            if event.kind != "write":
                assert label_of(event.kind, event.name) in LABELS


@pytest.mark.parametrize("name", RUNS)
def test_every_step_carries_a_label_and_a_file(name):
    for step in fault_scene(RUNS[name]().stream).steps:
        assert step.label in LABELS
        assert source_of(step.fn), step.fn


def test_a_run_answers_all_six():
    assert {step.label for step in fault_scene(RUNS["everything"]().stream).steps} == set(LABELS)


def test_what_somebody_wants_comes_first():
    machine = RUNS["the_host_changes_its_mind"]()
    first = {}
    for step in fault_scene(machine.stream).steps:
        first.setdefault(step.command, step.label)
    commands = [event.name for event in machine.stream if event.kind == "command"]
    asked = {commands[command] for command, label in first.items() if label == "WHO ASKED"}
    assert asked == {*COMMANDS, "access", "leave"} - {"ioremap"}


def test_each_function_stands_in_one_file():
    names = [name for listed in sources._FUNCTIONS.values() for name in listed.split()]
    assert len(names) == len(set(names)) > 60


def test_files_are_links_to_the_tag():
    assert BROWSER == "https://elixir.bootlin.com/linux/v3.9/source/"
    for file in {*sources._FUNCTIONS, *sources._BESIDE.values()}:
        assert re.fullmatch(r"(arch/arm/(kvm|include/asm)|virt/kvm|include/linux|mm)/[a-z_]+\.[chS]", file), file


@pytest.mark.parametrize(
    ("fn", "file"),
    [
        ("kvm_set_pte", "arch/arm/kvm/mmu.c"),
        ("kvm_is_write_fault", "arch/arm/include/asm/kvm_mmu.h"),
        ("kvm_tlb_flush_vmid()", "arch/arm/kvm/mmu.c"),
        ("__kvm_tlb_flush_vmid", "arch/arm/kvm/interrupts.S"),
        ("force_vm_exit(all)", "arch/arm/kvm/arm.c"),
        ("io_mem_abort()", "arch/arm/kvm/mmio.c"),
        ("kvm_inject_pabt()", "arch/arm/kvm/emulate.c"),
        ("spin_lock(&kvm->mmu_lock)", "include/linux/spinlock.h"),
        ("TLB look-up", "arch/arm/kvm/interrupts.S"),
        ("stage-2 walk, level 3", "arch/arm/kvm/init.S"),
    ],
)
def test_where_functions_stand_in_linux_3_9(fn, file):
    assert source_of(fn) == file


def test_a_function_of_a_later_kernel_is_not_known():
    assert source_of("kvm_tlb_flush_vmid_ipa()") is None
