"""The stream: state is the writes up to a step, in both directions, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlab.engine import Config, Event, InputError, Machine, Slot
from kvmlab.engine.events import Stream
from kvmlab.engine.state import Field, Struct

IPA, HVA = 0x8000_0000, 0x4000_0000


def busy_machine() -> Machine:
    machine = Machine()
    vm = machine.create_vm([Slot(IPA, 4 << 20, HVA)], vcpus=2)
    machine.access(vm, IPA, "write", value=1)
    machine.access(vm, IPA + 0x1000)
    machine.access(vm, IPA + (2 << 20), "write", value=2, vcpu=1)
    machine.ioremap(vm, 0x2C00_2000, 0x2C00_6000, 0x2000)
    machine.swap_out(vm, HVA)
    machine.access(vm, IPA)
    machine.destroy_vm(vm)
    return machine


def everything(machine: Machine) -> tuple:
    memory = machine.linux.memory
    return bytes(memory.buffer), tuple(machine.linux.pages._pages), tuple(machine.stream.variables)


def fold(stream: Stream, step: int) -> dict[str, int]:
    """State as the writes up to a step say it, by key: an independent reading of the events."""
    state: dict[str, int] = {}
    for event in stream:
        if event.seq >= step:
            break
        if event.kind == "write":
            assert state.get(event.name, 0) == event.args["old"]
            state[event.name] = event.args["new"]
    return {key: value for key, value in state.items() if value}


def actual(machine: Machine) -> dict[str, int]:
    memory, stream = machine.linux.memory, machine.stream
    cells = [(f"mem[{memory.base + 8 * i:#x}]", w) for i, w in enumerate(memory.words.tolist()) if w]
    cells += [(machine.linux.pages._key(i), w) for i, w in enumerate(machine.linux.pages._pages) if w]
    cells += [(stream._variable_key(i), w) for i, w in enumerate(stream.variables) if w]
    assert len(dict(cells)) == len(cells), "every cell has a key of its own"
    return dict(cells)


def test_state_is_the_writes_up_to_a_step() -> None:
    machine = busy_machine()
    for step in [0, 1, 7, len(machine.stream) // 3, len(machine.stream) // 2, len(machine.stream)]:
        machine.seek(step)
        assert actual(machine) == fold(machine.stream, step)


def test_initial_values_are_writes_too() -> None:
    machine = busy_machine()
    machine.seek(0)
    assert actual(machine) == {}
    assert not any(machine.linux.memory.buffer)


def test_back_and_forward_are_byte_exact() -> None:
    machine = busy_machine()
    end = everything(machine)
    snapshots = []
    while machine.stream.cursor:
        snapshots.append(everything(machine))
        for _ in range(37):
            machine.back()
    machine.seek(len(machine.stream))
    assert everything(machine) == end
    for steps, snapshot in enumerate(snapshots):
        machine.seek(len(machine.stream) - 37 * steps)
        assert everything(machine) == snapshot


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=10))
def test_any_walk_through_time_ends_where_it_says(steps: list[int]) -> None:
    machine = _SHARED
    for step in [*(s % (len(machine.stream) + 1) for s in steps), len(machine.stream)]:
        machine.seek(step)
    assert everything(machine) == _END


_SHARED = busy_machine()
_END = everything(_SHARED)


def test_events_are_numbered_and_plain() -> None:
    stream = busy_machine().stream
    for number, event in enumerate(stream):
        assert event.seq == number
        assert stream[number] == event
        assert Event.from_json(event.to_json()) == event
        assert json.loads(json.dumps(event.args)) == event.args
    assert stream[-1] == stream[len(stream) - 1]


def test_the_same_commands_give_the_same_events() -> None:
    first, second = (["".join(e.to_json() for e in m.stream)] for m in (busy_machine(), busy_machine()))
    assert first == second


def test_commands_alone_give_the_same_run() -> None:
    first = busy_machine()
    second = Machine()
    for event in [e for e in first.stream if e.kind == "command"]:
        second.do(event.name, **event.args)
    assert [e.to_json() for e in second.stream] == [e.to_json() for e in first.stream]


def test_the_task_is_who_did_it() -> None:
    stream = busy_machine().stream
    assert {event.task for event in stream} == {"host", "cpu0", "cpu1"}
    assert {e.task for e in stream if e.name == "tlb/filled" and e.args["cpu"] == 1} == {"cpu1"}


def test_writing_in_the_past_is_refused_and_changes_nothing() -> None:
    machine = busy_machine()
    machine.seek(50)
    before = everything(machine)
    with pytest.raises(InputError, match=r"stands at event 50 of \d+: seek"):
        machine.create_vm()
    assert everything(machine) == before


def test_another_future_can_begin() -> None:
    machine = Machine()
    vm = machine.create_vm([Slot(IPA, 4 << 20, HVA)])
    here = len(machine.stream)
    machine.access(vm, IPA, "write", value=1)
    first = [event.to_json() for event in machine.stream]
    machine.seek(here)
    machine.stream.truncate()
    assert len(machine.stream) == here
    machine.access(vm, IPA, "write", value=1)
    assert [event.to_json() for event in machine.stream] == first
    machine.seek(0)
    machine.stream.truncate()
    assert len(machine.stream) == 0


def test_a_vm_made_after_truncation_is_a_new_one() -> None:
    machine = Machine()
    start = len(machine.stream)
    machine.create_vm([Slot(IPA, 4 << 20, HVA)], vcpus=2)
    machine.seek(start)
    with pytest.raises(InputError, match="vm is 0; allowed: none, create one first"):
        machine.kvm(0)
    machine.stream.truncate()
    assert machine.create_vm(vcpus=1) == 0
    assert len(machine.kvm(0).vcpus) == 1


@pytest.mark.parametrize("step", [-1, 10_000_000])
def test_seek_beyond_the_ends_is_refused(step: int) -> None:
    machine = busy_machine()
    with pytest.raises(InputError, match=rf"step is {step}; allowed: 0 to \d+"):
        machine.seek(step)


def test_recording_off_changes_the_same_state() -> None:
    loud, quiet = Machine(), Machine(Config(recording=False))
    for machine in (loud, quiet):
        vm = machine.create_vm([Slot(IPA, 4 << 20, HVA)])
        machine.access(vm, IPA, "write", value=9)
    assert everything(loud) == everything(quiet)
    assert len(quiet.stream) == 0
    quiet.stream.record(True)
    quiet.access(0, IPA + 0x1000, "write", value=9)
    loud.access(0, IPA + 0x1000, "write", value=9)
    assert everything(loud) == everything(quiet)
    here = everything(quiet)
    quiet.seek(0)
    quiet.seek(len(quiet.stream))
    assert everything(quiet) == here


@pytest.mark.parametrize(
    "line",
    ["", "[]", "{}", '[0,"a","b","c",{}]', '["0","a","mark","c",{}]', '[0,"a","mark","c",[]]', '[0,1,"mark","c",{}]'],
)
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(InputError, match="not an event"):
        Event.from_json(line)


def test_a_field_of_an_array_of_structs_has_its_own_key() -> None:
    class Pair(Struct):
        left = Field()
        right = Field()

    stream = Stream()
    pairs = [Pair(stream, f"pair[{i}]") for i in range(3)]
    pairs[1].right = 5
    assert (stream[-1].name, pairs[1].right, pairs[0].right) == ("pair[1].right", 5, 0)
    assert isinstance(Pair.left, Field)


def test_journal_takes_32_bytes_a_write() -> None:
    stream = busy_machine().stream
    writes = sum(event.kind == "write" for event in stream)
    assert stream.nbytes == 32 * writes
