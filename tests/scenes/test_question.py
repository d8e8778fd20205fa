"""Questions say what the run says, name beliefs that exist, and do not come too often."""

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from kvmlab.scenes.fault.questions import APART, ASKS, TIMES
from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.labels import _OF_MARK
from kvmlab.scenes.misconceptions import MISCONCEPTIONS
from kvmlab.scenes.question import Question, check_question, question
from tests.scenes.runs import RUNS

GOOD = Question("How many?", ("1", "2"), ("", "M03"), 0, "So it is.")


def asked(name):
    """Return the machine of a run, and its steps that ask something."""
    machine = RUNS[name]()
    return machine, [step for step in fault_scene(machine.stream).steps if step.ask]


def right(step):
    return step.ask.choices[step.ask.right]


def find(name, *words):
    machine, steps = asked(name)
    found = [step for step in steps if all(word in step.ask.ask for word in words)]
    assert found
    return machine, found


@pytest.mark.parametrize(
    "broken",
    [
        replace(GOOD, ask="x" * 121),
        replace(GOOD, because="x" * 161),
        replace(GOOD, choices=("1", "x" * 71)),
        replace(GOOD, choices=("1", "1")),
        replace(GOOD, choices=("1",), beliefs=("",)),
        replace(GOOD, beliefs=("",)),
        replace(GOOD, right=2),
        replace(GOOD, right=1),
        replace(GOOD, beliefs=("", "M99")),
    ],
)
def test_a_broken_question_is_refused(broken):
    assert check_question(GOOD) == ""
    assert check_question(broken)


def test_the_place_does_not_give_the_right_answer_away():
    places = {
        step.ask.right / (len(step.ask.choices) - 1)
        for name in RUNS
        for step in asked(name)[1]
        if len(step.ask.choices)
    }
    assert {0, 1} < places
    assert question("?", "10", [("9", ""), ("0xb", "")], "...").choices == ("9", "10", "0xb")


def test_no_question_without_a_wrong_answer():
    assert question("?", "2", [("2", "M03")], "...") is None


def test_beliefs_are_told_plainly():
    assert list(MISCONCEPTIONS) == [f"M{number:02}" for number in range(1, 44)]
    for belief, truth in MISCONCEPTIONS.values():
        for words in (belief, truth):
            name_of_code = "_" in words.split()[0] or words.split()[0] in ("count", "seq", "ioremap")
            assert words[0].isupper() or words[0].isdigit() or name_of_code, words
            assert words.endswith((".", ".)"))
            assert "  " not in words
        assert len(belief) <= 80
        assert 30 <= len(truth) <= 200
    assert len({belief for belief, _ in MISCONCEPTIONS.values()}) == 43


def test_questions_are_about_events_that_exist():
    assert set(ASKS) <= set(_OF_MARK)


@pytest.mark.parametrize("name", RUNS)
def test_questions_do_not_come_too_often(name):
    scene = fault_scene(RUNS[name]().stream)
    kinds = Counter(re.sub(r"0x[0-9a-f]+|\d+|load|store|fetch", "#", step.ask.ask) for step in scene.steps if step.ask)
    assert max(kinds.values(), default=0) <= TIMES
    places = [number for number, step in enumerate(scene.steps) if step.ask]
    assert all(later - one >= APART for one, later in pairwise(places))


def test_the_runs_ask_all_that_there_is_to_ask():
    made = {step.ask.ask[:12] for name in RUNS for step in asked(name)[1]}
    assert len(made) >= len({ask for asks in ASKS.values() for ask in asks})


def test_hpfar_is_that_of_the_machine():
    machine, found = find("everything", "HPFAR")
    for step in found:
        machine.seek(step.event)
        assert right(step) == f"{machine.cpus[0].hpfar:#x}"
        ipa = int(re.search("0x[0-9a-f]+", step.ask.ask).group(), 16)
        assert dict(zip(step.ask.choices, step.ask.beliefs, strict=True))[f"{ipa:#x}"] == "M13"


def test_the_cache_is_that_of_the_machine():
    machine, found = find("everything", "The cache holds")
    for step in found:
        machine.seek(step.event)
        assert right(step) == str(machine.linux.vm_list[0].vcpus[0].mmu_page_cache.nobjs)


def test_the_entry_is_that_in_memory():
    machine, found = find("race", "what does the entry hold")
    for step in found:
        machine.seek(step.event)
        ipa, hva, pfn = (int(word, 16) for word in re.findall("0x[0-9a-f]+", step.ask.ask))
        mapped = [e for e in machine.stream if e.name == "tables/mapped" and e.seq < step.event][-1]
        word = machine.linux.memory.read(mapped.args["entry"])
        assert right(step) == f"{word:#x}"
        assert (mapped.args["ipa"], word >> 12 & 0xFFF_FFFF) == (ipa, pfn)
        assert {f"{hva + (word & 0xFFF):#x}", f"{pfn << 12:#x}"} < set(step.ask.choices)


def test_the_level_is_that_of_the_walk():
    machine, found = find("everything", "Where does the walk end")
    for step in found:
        faulted = [e for e in machine.stream if e.name == "walk/faulted" and e.seq < step.event][-1]
        assert right(step) == f"level {faulted.args['level']}"


def test_a_load_maps_read_only_and_the_store_after_it_faults():
    _, found = find("everything", "With which right")
    assert {right(step) for step in found} == {"read only"}
    _, found = find("everything", "is mapped", "What happens")
    assert {right(step) for step in found} == {"a permission fault"}


def test_a_hole_ends_as_the_machine_ends_it():
    _, found = find("everything", "No memory slot")
    assert [right(step) for step in found] == ["user space emulates a device", "user space emulates a device"]


@pytest.mark.parametrize("name", ["race", "an_open_range", "guests_share_a_page"])
def test_after_a_retry_nothing_is_mapped(name):
    machine, found = find(name, "Is the page mapped now?")
    for step in found:
        assert right(step).startswith("no: the guest will fault once more")
        after = [event.name for event in machine.stream.since(step.event) if event.kind == "mark"]
        assert after.index("walk/faulted") < after.index("tables/mapped")
