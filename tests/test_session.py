"""Sessions: undo, redo, branch, save, load; all of it against a machine that was given the commands directly."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlab.engine import Config, InputError, KernelBug, Machine
from kvmlab.session import Session

IPA, HVA = 0x8000_0000, 0x4000_0000
SLOTS = [[IPA, 1 << 20, HVA]]
COMMANDS = [
    ("access", {"vm": 0, "ipa": IPA, "access": "write", "value": 1}),
    ("access", {"vm": 0, "ipa": IPA + 0x1000}),
    ("swap_in", {"vm": 0, "hva": HVA}),
    ("ioremap", {"vm": 0, "ipa": 0x2C00_2000, "pa": 0x2C00_6000, "size": 0x1000}),
    ("enter", {"vm": 0, "cpu": 1}),
    ("discard", {"vm": 0, "hva": HVA}),
    ("fail_alloc", {"k": 3}),
]


def events(session: Session) -> list[str]:
    return [event.to_json() for event in session.machine.stream]


def session_with(*numbers: int) -> Session:
    session = Session()
    session.do("create_vm", slots=SLOTS)
    for number in numbers:
        name, args = COMMANDS[number]
        session.do(name, **args)
    return session


@settings(deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.integers(0, len(COMMANDS) - 1), st.sampled_from(["undo", "redo"])), max_size=12))
def test_against_a_list_of_commands(steps: list) -> None:
    """The model: a list and an index into it; the machine must be as if given the list's first part."""
    session = session_with()
    model, at = [("create_vm", {"slots": SLOTS})], 1
    for step in steps:
        if step == "undo":
            session.undo()
            at = max(0, at - 1)
        elif step == "redo":
            session.redo()
            at = min(len(model), at + 1)
        elif at:
            name, args = COMMANDS[step]
            session.do(name, **args)
            model[at:] = [(name, args)]
            at += 1
    direct = Machine()
    for name, args in model[:at]:
        direct.do(name, **args)
    assert [done.command.name for done in session.commands] == [name for name, _ in model]
    assert session.cursor == len(direct.stream)
    assert events(session)[: session.cursor] == [event.to_json() for event in direct.stream]
    assert bytes(session.machine.linux.memory.buffer).rstrip(b"\0") == bytes(direct.linux.memory.buffer).rstrip(b"\0")


def test_a_refused_command_loses_nothing_that_was_undone() -> None:
    session = session_with(0, 1)
    before = events(session)
    session.undo()
    with pytest.raises(InputError, match="ipa is 1"):
        session.do("access", vm=0, ipa=1)
    assert events(session) == before
    session.redo()
    assert session.cursor == len(before)


def test_a_branch_goes_its_own_way() -> None:
    session = session_with(0, 1)
    other = session.branch(2)
    assert events(other) == events(session)[: len(events(other))]
    other.do("swap_out", vm=0, hva=HVA)
    assert [done.command.name for done in session.commands] == ["create_vm", "access", "access"]
    assert [done.command.name for done in other.commands] == ["create_vm", "access", "swap_out"]
    with pytest.raises(InputError, match="commands is 9; allowed: 0 to 3"):
        session.branch(9)


def test_what_is_saved_is_loaded(tmp_path) -> None:
    path = tmp_path / "run.jsonl"
    session = Session(Config(vmid_bits=4, fixes=frozenset({"vttbr mask"})))
    session.do("create_vm", slots=SLOTS)
    for name, args in COMMANDS:
        session.do(name, **args)
    session.save(path, "a run")
    loaded = Session.load(path)
    assert loaded.machine.config == session.machine.config
    assert events(loaded) == events(session)
    loaded.save(tmp_path / "again.jsonl", "a run")
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
    assert json.loads(path.read_text().splitlines()[0])["config"] == {"vmid_bits": 4, "fixes": ["vttbr mask"]}


def test_what_was_undone_is_not_saved(tmp_path) -> None:
    session = session_with(0, 1)
    session.undo()
    session.save(tmp_path / "run.jsonl")
    assert [done.command.name for done in Session.load(tmp_path / "run.jsonl").commands] == ["create_vm", "access"]


def test_a_kernel_that_died_dies_again(tmp_path) -> None:
    session = Session()
    session.do("create_vm", slots=[[(1 << 40) - 0x1000, 0x2000, HVA]])
    session.do("swap_in", vm=0, hva=HVA + 0x1000)
    with pytest.raises(KernelBug):
        session.do("discard", vm=0, hva=HVA + 0x1000)
    session.save(tmp_path / "run.jsonl")
    assert events(Session.load(tmp_path / "run.jsonl")) == events(session)


def test_listeners_hear_of_every_change() -> None:
    heard = []
    session = session_with(0)
    stop = session.on_change(lambda: heard.append(session.cursor))
    session.do("leave", cpu=0)
    session.undo()
    session.redo()
    stop()
    session.undo()
    assert heard[0] == heard[2] > heard[1]
    assert len(heard) == 3


def test_a_session_records() -> None:
    with pytest.raises(InputError, match="recording is False"):
        Session(Config(recording=False))


HEADER = '{"t":"header","format":"kvmlab-trace/1","kind":"machine","config":{}}'
VM = '{"t":"op","i":0,"op":"create_vm","in":{"slots":[[2147483648,4096,0]]}}'
BAD = {
    "empty": ("", ":1: the file is empty"),
    "other kind": ('{"t":"header","format":"kvmlab-trace/1","kind":"film"}', ':1: kind is "film"'),
    "a recording": ("<stage2>", ":1: kind is 'stage2'; allowed: machine"),
    "no such option": (HEADER.replace("{}", '{"speed":9}'), ":1: config has 'speed'; allowed: ncpus"),
    "option of another type": (HEADER.replace("{}", '{"ncpus":"2"}'), ":1: config.ncpus is '2'"),
    "option out of range": (HEADER.replace("{}", '{"ncpus":99}'), ":1: ncpus is 99; allowed: 1 to 16"),
    "config is a list": (HEADER.replace("{}", "[]"), ":1: header.config is []; allowed: an object"),
    "no such command": (
        f"{HEADER}\n" + VM.replace("create_vm", "explode"),
        ':2: op.op is "explode"; allowed: create_vm',
    ),
    "wrong number": (f"{HEADER}\n" + VM.replace('"i":0', '"i":5'), ":2: op.i is 5; allowed: 0"),
    "wrong argument": (f"{HEADER}\n" + VM.replace("4096", "4097"), "command 0, create_vm: slot's size is 4097"),
    "unknown argument": (f"{HEADER}\n" + VM.replace("slots", "spots"), "command 0, create_vm: create_vm"),
    "text for a number": (f"{HEADER}\n" + VM.replace("4096", '"4096"'), "slot's size must be a whole number"),
    "cut short": (f"{HEADER}\n{VM[:40]}", ":2: not JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_explained(case: str, tmp_path) -> None:
    text, words = BAD[case]
    path = tmp_path / "bad.jsonl"
    if text == "<stage2>":
        from tests.engine.test_conform import HEADER as STAGE2

        text = STAGE2
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Session.load(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_a_file_that_cannot_be_written_is_explained(tmp_path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        session_with().save(tmp_path / "none" / "run.jsonl")
