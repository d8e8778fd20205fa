"""Ten ways to ask for nonsense, and more: each gets a sentence with name, value and what is allowed."""

import dataclasses

import pytest

from kvmlab.engine import Config, InputError, Machine, Slot
from kvmlab.engine.commands import COMMANDS
from kvmlab.engine.explore import Program, Run
from kvmlab.engine.hardware import descriptor, syndrome
from kvmlab.engine.hardware.walker import walk

IPA, HVA, SIZE = 0x8000_0000, 0x4000_0000, 16 << 20


def fresh() -> Machine:
    machine = Machine()
    machine.create_vm([Slot(IPA, SIZE, HVA)])
    machine.access(0, IPA, "write", value=1)
    return machine


# what is asked: the words the message must hold
COMMANDS_REFUSED = {
    "IPA beyond 40 bits": (("access", {"vm": 0, "ipa": 1 << 40}), ["ipa", "0x10000000000", "0 to 0xffffffffff"]),
    "negative IPA": (("access", {"vm": 0, "ipa": -4}), ["ipa is -4", "0 to 0xffffffffff"]),
    "unaligned IPA": (("access", {"vm": 0, "ipa": IPA + 2}), ["ipa is 0x80000002", "multiple of 4"]),
    "IPA as text": (("access", {"vm": 0, "ipa": "0x80000000"}), ["ipa", "whole number", "'0x80000000'"]),
    "IPA True": (("access", {"vm": 0, "ipa": True}), ["ipa", "whole number", "True"]),
    "no such access": (("access", {"vm": 0, "ipa": IPA, "access": "execute"}), ["'execute'", "read, write, fetch"]),
    "value too wide": (("access", {"vm": 0, "ipa": IPA, "value": 1 << 32}), ["value is 0x100000000", "0xffffffff"]),
    "ASID too large": (("access", {"vm": 0, "ipa": IPA, "asid": 256}), ["asid is 256", "0 to 255"]),
    "no such VM": (("access", {"vm": 7, "ipa": IPA}), ["vm is 7", "allowed: 0"]),
    "VM True": (("access", {"vm": False, "ipa": IPA}), ["vm is False", "allowed: 0"]),
    "no such CPU": (("access", {"vm": 0, "ipa": IPA, "cpu": 2}), ["cpu is 2", "0 to 1"]),
    "no such vCPU": (("enter", {"vm": 0, "vcpu": 1}), ["vcpu is 1", "0 to 0"]),
    "no such vCPU number": (("create_vm", {"slots": [], "vcpus": 5}), ["vcpus is 5", "1 to 4"]),
    "negative size": (("ioremap", {"vm": 0, "ipa": 0, "pa": 0, "size": -1}), ["size is -1", "0 to"]),
    "device beyond 40 bits": (("ioremap", {"vm": 0, "ipa": 1 << 40, "pa": 0, "size": 1}), ["ipa is 0x10000000000"]),
    "range over the end": (
        ("ioremap", {"vm": 0, "ipa": (1 << 40) - 4096, "pa": 0, "size": 8192}), ["size is 8192", "0 to 4096"],
    ),
    "overlapping slots": (
        ("create_vm", {"slots": [(IPA, SIZE, HVA), (IPA + 0x1000, 0x1000, 0)]}),
        ["slot's ipa is 0x80001000", "overlaps slot 0 (0x80000000 to 0x80ffffff)", "allowed"],
    ),
    "slot overlaps": (("add_slot", {"vm": 0, "slot": (IPA - 0x1000, 0x2000, 0)}), ["overlaps slot 0"]),
    "slot unaligned": (("create_vm", {"slots": [(IPA + 1, SIZE, HVA)]}), ["slot's ipa", "multiple of 4096"]),
    "slot empty": (("create_vm", {"slots": [(IPA, 0, HVA)]}), ["slot's size is 0", "4096 to"]),
    "slot beyond the process": (("create_vm", {"slots": [(IPA, SIZE, 0xFFFF_F000)]}), ["slot's size", "4096 to 4096"]),
    "slot is no slot": (("create_vm", {"slots": [7]}), ["slot is 7", "(ipa, size, hva)"]),
    "slots are no list": (("create_vm", {"slots": 5}), ["slots is 5", "a list of"]),
    "not the next VM": (("create_vm", {"vm": 3}), ["vm is 3", "allowed: 1, the next number"]),
    "33 slots": (
        ("create_vm", {"slots": [(n << 20, 4096, 0) for n in range(33)]}), ["number of slots is 33", "1 to 32"],
    ),
    "wrong slot": (("remove_slot", {"vm": 0, "slot": 3}), ["slot is 3", "allowed: 0"]),
    "no host page": (("swap_out", {"vm": 0, "hva": HVA + 0x1000}), ["hva is 0x40001000", "no page there"]),
    "unaligned hva": (("swap_out", {"vm": 0, "hva": HVA + 4}), ["hva is 0x40000004", "multiple of 4096"]),
    "hva beyond 32 bits": (("swap_in", {"vm": 0, "hva": 1 << 32}), ["hva is 0x100000000", "0 to 0xffffffff"]),
    "negative discard": (("discard", {"vm": 0, "hva": HVA, "size": -4096}), ["size is -4096", "4096 to"]),
    "merge with itself": (
        ("ksm_merge", {"vm": 0, "hva": HVA, "vm2": 0, "hva2": HVA}), ["the same page", "allowed: another page"],
    ),
    "host CPU": (("host_touch", {"cpu": -1, "hva": 0}), ["cpu is -1", "0 to 1"]),
    "host address": (("host_touch", {"cpu": 0, "hva": "x"}), ["hva must be a whole number", "'x'"]),
    "writable": (("protect", {"vm": 0, "hva": HVA, "writable": 1}), ["writable is 1", "True or False"]),
    "race at no place": (
        ("race", {"vm": 0, "guest": {"ipa": IPA}, "host": "discard", "args": {"hva": HVA}, "at": "soon"}),
        ["at is 'soon'", "before the lock"],
    ),
    "failing allocation": (("fail_alloc", {"k": -1}), ["k is -1", "0 to"]),
    "no such command": (("explode", {}), ["'explode'", "create_vm", "access"]),
    "argument missing": (("access", {"vm": 0}), ["access", "missing", "ipa"]),
    "argument unknown": (("access", {"vm": 0, "ipa": IPA, "colour": 1}), ["access", "colour"]),
}  # fmt: skip


@pytest.mark.parametrize("case", COMMANDS_REFUSED)
def test_a_bad_command_is_explained_and_changes_nothing(case: str) -> None:
    (name, args), words = COMMANDS_REFUSED[case]
    machine = fresh()
    before = [event.to_json() for event in machine.stream], tuple(machine.stream.variables)
    with pytest.raises(InputError) as caught:
        machine.do(name, **args)
    for word in words:
        assert word in str(caught.value)
    assert before == ([event.to_json() for event in machine.stream], tuple(machine.stream.variables))
    assert machine.access(0, IPA).value == 1


def test_every_command_is_tried_with_nonsense() -> None:
    tried = {name for (name, _), _ in COMMANDS_REFUSED.values()}
    assert COMMANDS.keys() - tried == {"destroy_vm", "leave", "host_write"}
    for call in ({"name": "destroy_vm", "vm": 9}, {"name": "leave", "cpu": 9}):
        with pytest.raises(InputError, match="is 9; allowed: 0"):
            fresh().do(**call)
    with pytest.raises(InputError, match="value is 0x100000000"):
        fresh().host_write(0, HVA, 1 << 32)


def test_unequal_pages_are_not_merged() -> None:
    machine = fresh()
    machine.access(0, IPA + 0x1000, "write", value=2)
    with pytest.raises(InputError, match="contents differ"):
        machine.ksm_merge(0, HVA, 0, HVA + 0x1000)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("ncpus", 0, "ncpus is 0; allowed: 1 to 16"),
        ("vmid_bits", 17, "vmid_bits is 17; allowed: 2 to 16"),
        ("ram_base", 0x1000, "ram_base is 4096; it must be a multiple of 8192"),
        ("long_bits", 48, "long_bits is 48; allowed: 32 or 64"),
        ("retry", "maybe", "retry is 'maybe'; allowed: both, none"),
        ("host_ram_base", 0x4000_0000, "host_ram_base is 0x40000000, inside the RAM for page tables"),
        ("tlb_ways", "4", "tlb_ways must be a whole number, not '4'"),
    ],
)
def test_a_machine_that_cannot_be_built(option: str, value: object, words: str) -> None:
    with pytest.raises(InputError) as caught:
        dataclasses.replace(Config(), **{option: value})
    assert words in str(caught.value)


def test_a_fix_that_does_not_exist() -> None:
    with pytest.raises(InputError, match="fixes has 'everything'; allowed: unmap to boundary"):
        Machine(Config(fixes=frozenset({"everything"})))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: descriptor.decode(1 << 64, 3), "descriptor is 0x10000000000000000"),
        (lambda: descriptor.decode(0, 4), "level is 4; allowed: 1 to 3"),
        (lambda: descriptor.encode_page(5, memattr=0, hap=0), "pa is 5; it must be a multiple of 4096"),
        (lambda: descriptor.encode_page(0, memattr=16, hap=0), "memattr is 16; allowed: 0 to 15"),
        (lambda: descriptor.encode_table(1 << 40), "table address is 0x10000000000"),
        (lambda: syndrome.decode_hsr(0x1_0000_0000), "hsr is 0x100000000"),
        (lambda: syndrome.decode_hsr(0x4800_0000), "exception class 0x12; an abort has 0x20 or 0x24"),
        (lambda: syndrome.Syndrome(fetch=False, fault="odd", level=1).encode(), "fault is 'odd'; allowed: translation"),
        (lambda: syndrome.encode_hpfar(1 << 40), "ipa is 0x10000000000"),
        (lambda: walk(fresh().linux.memory, 0x4000_0000, 1 << 40), "ipa is 0x10000000000; allowed: 0 to 0xffffffffff"),
        (lambda: walk(fresh().linux.memory, 0x4000_0000, 0, "peek"), "access is 'peek'; allowed: read, write, fetch"),
    ],
)
def test_hardware_refuses_nonsense(call, words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)


def test_a_schedule_names_a_task_that_is_there() -> None:
    machine = fresh()
    run = Run(Program(machine, {"a": machine.begin("leave", cpu=0)}, lambda _: ""))
    with pytest.raises(InputError, match="task is 'b'; allowed now: a"):
        run.step("b")
