"""The race command: a guest's fault and the host's act, interleaved, and repeatable from its arguments."""

import json

import pytest

from kvmlab.engine import Config, InputError, KernelBug, Machine, Slot
from kvmlab.engine.commands import COMMANDS
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.race import PLACES, RIVALS
from kvmlab.session import Session

IPA, HVA = 0x8000_0000, 0x4000_0000
WRITE = {"ipa": IPA, "access": "write", "value": 7}
DISCARD = {"hva": HVA, "size": 0x3000}


def machine(**config):
    """A guest whose tables exist; the host has three of its pages, two with the same contents."""
    made = Machine(Config(**config))
    made.create_vm([Slot(IPA, 1 << 20, HVA)])
    made.access(0, IPA + 0x8000, "write", value=1)
    for page in range(3):
        made.swap_in(0, HVA + 0x1000 * page)
    return made


ARGS = {
    "swap_out": {"hva": HVA},
    "swap_in": {"hva": HVA},
    "discard": DISCARD,
    "protect": DISCARD,
    "ksm_merge": {"hva": HVA, "vm2": 0, "hva2": HVA + 0x1000},
    "host_write": {"hva": HVA, "value": 9},
}


def lines(stream):
    return [event.to_json() for event in stream]


def race(made, host="discard", **more):
    before = len(made.stream)
    result = made.race(0, WRITE, host, ARGS[host], **more)
    return result, [event for event in made.stream.since(before) if event.kind != "write"]


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("host", ["discard", "swap_out"])
def test_a_fault_retries_exactly_when_the_host_acts_between_sample_and_test(host, at):
    made = machine()
    result, events = race(made, host, at=at)
    said = [event.name for event in events]
    sample, change = said.index("notifier/sampled"), said.index("notifier/counted")
    test = next(n for n, name in enumerate(said) if name in ("notifier/passed", "notifier/retried"))
    inside = sample < change < test
    assert inside == (at in ("before the look-up", "before the lock"))
    assert said.count("notifier/retried") == inside
    assert (result.guest.status, result.guest.faults) == ("done", 1 if at == "before the sample" else 2)


@pytest.mark.parametrize("host", RIVALS)
@pytest.mark.parametrize("at", PLACES)
def test_the_guest_never_keeps_a_page_that_the_host_has_taken(host, at):
    made = machine()
    race(made, host, at=at)
    found, pte = walk(made.linux.memory, made.kvm(0).pgd, IPA), made.host(0).pte(HVA)
    assert found.pa < 0 or found.pa >> 12 == pte >> 12
    assert not made.kvm(0).mmu_notifier_count


def test_step_by_step_the_fault_meets_an_open_range_and_then_a_closed_one():
    made = machine()
    result, events = race(made, at="before the lock", steps=2)
    tests = [(e.name, e.args["seq"] - e.args["sampled"], e.args["count"]) for e in events if "sampled" in e.args]
    assert tests == [("notifier/retried", 0, 1), ("notifier/retried", 1, 0), ("notifier/passed", 0, 0)]
    assert result.guest.faults == 3


@pytest.mark.parametrize("steps", [None, 1, 2, 3])
@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("host", RIVALS)
def test_it_replays_to_the_same_bytes(host, at, steps, tmp_path):
    session = Session(machine=machine())
    session.do("race", vm=0, guest=WRITE, host=host, args=ARGS[host], at=at, steps=steps)
    session.do("leave", cpu=0)
    assert [done.command.name for done in session.commands][-2:] == ["race", "leave"]
    session.save(tmp_path / "run.jsonl")
    assert lines(Session.load(tmp_path / "run.jsonl").machine.stream) == lines(session.machine.stream)


def test_undo_takes_back_both_halves():
    session = Session(machine=machine())
    before = lines(session.machine.stream)
    session.do("race", vm=0, guest=WRITE, host="swap_out", args={"hva": HVA})
    whole = lines(session.machine.stream)
    session.undo()
    assert session.cursor == len(before)
    session.redo()
    assert lines(session.machine.stream) == whole
    assert session.cursor == len(whole)


def test_each_half_is_announced_by_its_own_task_when_it_begins():
    _, events = race(machine(), "swap_out", at="before the lock")
    commands = [(event.task, event.name, event.asked) for event in events if event.kind == "command"]
    assert commands == [("host", "race", True), ("cpu0", "access", False), ("host", "swap_out", False)]
    host = [event.name for event in events if event.task == "host"]
    assert host.index("swap_out") < host.index("notifier/counted")
    order = [event.name for event in events]
    assert order.index("page/looked_up") < order.index("swap_out") < order.index("notifier/retried")
    json.dumps([event.args for event in events])


def test_a_fault_that_never_comes_is_not_waited_for():
    made = machine()
    made.access(0, IPA, "write", value=1)
    result, events = race(made, "swap_out")
    assert result.guest.faults == 0
    assert [e.name for e in events].index("access/done") < [e.name for e in events].index("swap_out")


def test_without_notifiers_the_guest_keeps_what_the_host_gave_away():
    made = machine(CONFIG_MMU_NOTIFIER=False)
    race(made, "discard")
    found = walk(made.linux.memory, made.kvm(0).pgd, IPA)
    assert found.pa >= 0
    assert not made.host(0).pte(HVA)


def test_a_kernel_that_dies_in_the_middle_dies_again(tmp_path):
    session = Session()
    session.do("create_vm", slots=[[(1 << 40) - 0x1000, 0x2000, HVA], [IPA, 0x1000, HVA + 0x4000]])
    session.do("swap_in", vm=0, hva=HVA + 0x1000)
    args = {"hva": HVA + 0x1000}
    with pytest.raises(KernelBug):
        session.do("race", vm=0, guest=WRITE, host="discard", args=args)
    assert session.machine.stream.task == "host"
    session.save(tmp_path / "run.jsonl")
    assert lines(Session.load(tmp_path / "run.jsonl").machine.stream) == lines(session.machine.stream)


REFUSED = {
    "no such act": ({"host": "destroy_vm"}, "host is 'destroy_vm'; allowed: swap_out, swap_in, discard"),
    "an act that is no text": ({"host": ["discard"]}, r"host is \['discard'\]; allowed"),
    "no such place": ({"at": "soon"}, "at is 'soon'; allowed: before the sample, before the look-up"),
    "a place that is no text": ({"at": {}}, "at is {}; allowed"),
    "no steps": ({"steps": 0}, "steps is 0; allowed: 1 to 1000"),
    "steps as text": ({"steps": "2"}, "steps must be a whole number"),
    "guest is no mapping": ({"guest": 5}, "guest is 5; allowed: the command's arguments by name"),
    "another VM": ({"args": {"vm": 1, "hva": HVA}}, "allowed: the command's arguments by name, without vm"),
    "the access is wrong": ({"guest": {"ipa": 3}}, "ipa is 3; it must be a multiple of 4"),
    "the host's part is wrong": ({"args": {"hva": 3}}, "hva is 3; it must be a multiple of 4096"),
    "something is missing": ({"args": {}}, "discard: missing a required argument: 'hva'"),
    "something is unknown": ({"guest": {"ipa": IPA, "colour": 1}}, "access: got an unexpected keyword argument"),
    "a name that is no text": ({"guest": {1: 2}}, "access: "),
    "no such VM": ({"vm": 4}, "vm is 4; allowed: 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_changes_nothing(case):
    change, words = REFUSED[case]
    made = machine()
    before = lines(made.stream), list(made.stream.variables)
    with pytest.raises(InputError, match=words):
        made.do("race", **{"vm": 0, "guest": WRITE, "host": "discard", "args": {"hva": HVA}, **change})
    assert (lines(made.stream), list(made.stream.variables)) == before


def test_rivals_are_commands():
    assert set(RIVALS) == set(ARGS) <= set(COMMANDS)
