# ruff: noqa: E501  a line of a trace is as long as it is
"""The engine against traces recorded from the real kernel code, and conform against bad files."""

import json
import re
from pathlib import Path

import pytest

from kvmlab.cli import main
from kvmlab.engine.kernel import abort, cache, tables
from kvmlab.formats.conform import conform

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = sorted(GOLDEN.glob("*/*.jsonl"))


def lines_of(name: str) -> list[dict]:
    return [json.loads(line) for line in (GOLDEN / name).read_text().splitlines()]


def written(tmp_path: Path, lines: list) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_every_golden_trace_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    operations = sum(len(re.findall(r'^\{"t":"op"', path.read_text(), re.MULTILINE)) for path in FILES)
    events = sum(len(re.findall(r"^\[", path.read_text(), re.MULTILINE)) for path in FILES)
    assert main(["conform", *map(str, FILES)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"conform: {len(FILES)} files, {operations} operations, {events} vmid events, 0 mismatches"
    assert (len(FILES), operations, events) == (37, 3249, 11693)


def changed(value: object) -> object:
    """Return something else of the same form."""
    match value:
        case None:
            return 1
        case bool() | int():
            return value + 1
        case str() if value.startswith("0x"):
            return hex(int(value, 16) ^ 0x1000)
        case str():
            return 0
        case list():
            return [changed(value[0]), *value[1:]]
        case dict() if value:
            first = next(iter(value))
            return {**value, first: changed(value[first]) if value[first] is not None else "0x1"}
        case dict():
            return {"L2@0x0": [1, 1]}
    raise AssertionError(value)


FIELDS = [
    ("ret", "02", 1), ("flush", "02", 6), ("alloc", "02", 1), ("free", "02", 9), ("live", "02", 1), ("cache", "02", 1),
    ("tab", "02", 1), ("pte", "02", 1), ("pgd", "02", 1), ("seq", "17", 1), ("count", "17", 4), ("dirty", "02", 1),
    ("gup", "02", 1), ("io", "03", 22), ("leaked", "14", 8), ("leaked", "15", 6), ("ret", "18", 2),
]  # fmt: skip


@pytest.mark.parametrize(("field", "trace", "op"), FIELDS)
def test_every_output_field_is_compared(tmp_path: Path, field: str, trace: str, op: int) -> None:
    lines = lines_of(next(path for path in FILES if path.name.startswith(trace)).relative_to(GOLDEN).as_posix())
    number = next(n for n, line in enumerate(lines) if line["t"] == "op" and line["i"] == op)
    lines[number]["out"][field] = changed(lines[number]["out"][field])
    (mismatch,) = conform([written(tmp_path, lines)]).mismatches
    assert (mismatch.line, mismatch.field) == (number + 1, field)
    assert mismatch.operation == f"op {op} {lines[number]['op']}"


@pytest.mark.parametrize("field", ["tab", "pte", "pgd", "seq", "dirty", "gup", "io"])
def test_a_field_that_is_left_out_is_compared_too(tmp_path: Path, field: str) -> None:
    """What a trace does not mention must not have happened."""
    invented = {"tab": {"L2@0x0": 1}, "pte": {"0x0": "0x1"}, "pgd": [9, 9], "seq": 9, "dirty": 1,
                "gup": {"gfn": "0x1", "write_fault": 1}, "io": {"io_mem_abort": "0x1"}}  # fmt: skip
    lines = lines_of("hand/01_alloc_free.jsonl")
    lines[1]["out"][field] = invented[field]
    (mismatch,) = conform([written(tmp_path, lines)]).mismatches
    assert (mismatch.line, mismatch.field) == (2, field)


@pytest.mark.parametrize("field", ["tables", "leaves", "pgd", "live", "caches", "seq", "count"])
def test_every_checkpoint_field_is_compared(tmp_path: Path, field: str) -> None:
    lines = lines_of("hand/17_notifier_retry.jsonl")
    number = next(n for n, line in enumerate(lines) if line["t"] == "checkpoint")
    lines[number][field] = changed(lines[number][field])
    (mismatch,) = conform([written(tmp_path, lines)]).mismatches
    assert (mismatch.line, mismatch.field) == (number + 1, field)


@pytest.mark.parametrize("column", range(3, 10))
def test_every_vmid_column_is_compared(tmp_path: Path, column: int) -> None:
    lines = lines_of("vmid/v2_rollover.jsonl")
    number = next(n for n, line in enumerate(lines) if isinstance(line, list) and line[:2] == ["enter", 255])
    lines[number][column] = lines[number][column] ^ 1
    (mismatch,) = conform([written(tmp_path, lines)]).mismatches
    assert (mismatch.line, mismatch.field) == (number + 1, lines[0]["cols"][column])


def test_what_a_second_vcpu_sees_is_compared(tmp_path: Path) -> None:
    lines = lines_of("vmid/v7_generation_race.jsonl")
    lines[-1]["seen"]["vttbr_vmid_loaded"] = 2
    (mismatch,) = conform([written(tmp_path, lines)]).mismatches
    assert mismatch.field == "seen"
    assert "vttbr_vmid_loaded: 0x6" in mismatch.got


def test_a_mismatch_names_everything_and_the_next_file_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lines_of("hand/02_first_fault.jsonl")
    lines[2]["out"].update(flush=3, live=41)
    path = written(tmp_path, lines)
    assert main(["conform", str(path), str(FILES[0])]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f"mismatch: {path}:3: op 1 kvm_handle_guest_abort: flush: expected 3, got 0",
        f"mismatch: {path}:3: op 1 kvm_handle_guest_abort: live: expected 41, got 42",
        "conform: 2 files, 12 operations, 0 vmid events, 2 mismatches",
    ]


def refault(vcpu, *args):  # type: ignore[no-untyped-def]
    """Map nothing, ever."""
    yield from ()
    return 0


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (abort, "kvm_is_write_fault", lambda hsr: bool(hsr & 0x40)),
        (abort, "L_PTE_S2_RDWR", 1 << 6),
        (abort, "user_mem_abort", refault),
        (cache, "KVM_NR_MEM_OBJS", 39),
        (tables, "PMD_SIZE", 1 << 22),
        (tables, "kvm_tlb_flush_vmid", lambda kvm: None),
    ],
)
def test_a_wrong_engine_is_found_out(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, broken: object
) -> None:
    monkeypatch.setattr(module, name, broken)
    assert not conform(sorted(GOLDEN.glob("hand/*.jsonl"))).ok


HEADER = (GOLDEN / "hand/01_alloc_free.jsonl").read_text().splitlines()[0]
VMID_HEADER = (GOLDEN / "vmid/v1_first_guests.jsonl").read_text().splitlines()[0]
OP = '{"t":"op","i":0,"op":"kvm_alloc_stage2_pgd","in":{},"out":{"ret":0,"flush":0,"alloc":2,"free":0,"pgd":[1,0],"live":2}}'
BAD = {
    "empty": ([], 1, "the file is empty"),
    "not JSON": ([HEADER, "{"], 2, "not JSON"),
    "cut short": ([HEADER, OP[:60]], 2, "is the file cut short?"),
    "no header": ([OP], 1, "no header"),
    "other format": ([HEADER.replace("trace/1", "trace/9")], 1, "no header"),
    "other kind": ([HEADER.replace('"stage2"', '"stage3"')], 1, 'kind is "stage3"; allowed: stage2, vmid, machine'),
    "kind is a list": ([HEADER.replace('"stage2"', '["stage2"]')], 1, 'kind is ["stage2"]; allowed: text'),
    "commands only": (['{"t":"header","format":"kvmlab-trace/1","kind":"machine","config":{}}'], 1, "nothing recorded"),
    "header lacks": ([HEADER.replace('"ncpus":2,', "")], 1, "header lacks 'ncpus'"),
    "PHYS_SHIFT": ([HEADER.replace('"PHYS_SHIFT":40', '"PHYS_SHIFT":48')], 1, "header.PHYS_SHIFT is 48"),
    "long_bits": ([HEADER.replace('"long_bits":32', '"long_bits":33')], 1, "header.long_bits is 33; allowed: 32 or 64"),
    "unknown operation": ([HEADER, OP.replace("kvm_alloc_stage2_pgd", "kvm_frob")], 2, 'op.op is "kvm_frob"; allowed: '),
    "string for a number": ([HEADER, OP.replace('"flush":0', '"flush":"0"')], 2, 'op.out.flush is "0"; allowed: a whole'),
    "number for a string": ([HEADER, OP.replace('"op":"kvm_alloc_stage2_pgd"', '"op":1')], 2, "op.op is 1; allowed: text"),
    "true for a number": ([HEADER, OP.replace('"flush":0', '"flush":true')], 2, "op.out.flush is true"),
    "unknown input": ([HEADER, OP.replace('"in":{}', '"in":{"x":1}')], 2, "op.in has 'x'"),
    "unknown output": ([HEADER, OP.replace('"flush":0', '"flush":0,"y":1')], 2, "op.out has 'y'"),
    "missing output": ([HEADER, OP.replace('"flush":0,', "")], 2, "op.out lacks 'flush'"),
    "wrong i": ([HEADER, OP.replace('"i":0', '"i":4')], 2, "op.i is 4; allowed: 0"),
    "null line": ([HEADER, "null"], 2, "t is null; allowed in a stage2 trace: op, checkpoint, note"),
    "vmid row in stage2": ([HEADER, '["new",0,null,null,0,0,1,0,0,0]'], 2, "allowed in a stage2 trace"),
    "no such vcpu": (
        [HEADER, '{"t":"op","i":0,"op":"kvm_mmu_free_memory_caches","in":{"vcpu":2},"out":{"ret":null,"flush":0,"alloc":0,"free":0,"live":0}}'],
        2, "op.in.vcpu is 2; allowed: 0 to 1",
    ),
    "IPA too large": (
        [HEADER, '{"t":"op","i":0,"op":"unmap_stage2_range","in":{"start":"0x10000000000","size":"0x1000"},"out":{"ret":null,"flush":0,"alloc":0,"free":0,"live":0}}'],
        2, "op.in.start is 0x10000000000; allowed: 0x0 to 0xffffffffff",
    ),
    "negative size": (
        [HEADER, '{"t":"op","i":0,"op":"unmap_stage2_range","in":{"start":"0x0","size":"-0x1"},"out":{"ret":null,"flush":0,"alloc":0,"free":0,"live":0}}'],
        2, 'op.in.size is "-0x1"; allowed: a hex number',
    ),
    "checkpoint number": (
        [HEADER, '{"t":"checkpoint","i":3,"tables":{},"leaves":{},"pgd":null,"live":0,"caches":[0,0],"seq":0,"count":0}'],
        2, "checkpoint.i is 3; allowed: 0",
    ),
    "checkpoint caches": (
        [HEADER, '{"t":"checkpoint","i":0,"tables":{},"leaves":{},"pgd":null,"live":0,"caches":[0],"seq":0,"count":0}'],
        2, "checkpoint.caches has 1 numbers; allowed: 2",
    ),
    "vmid columns": ([VMID_HEADER, '["new",0,null]'], 2, "the array has 3 values; allowed: 10"),
    "vmid operation": ([VMID_HEADER, '["leave",0,0,0,0,0,1,0,0,0]'], 2, 'op is "leave"; allowed: new, enter, check, free'),
    "vmid cpu": ([VMID_HEADER, '["enter",0,9,1,1,2,2,2,1,1]'], 2, "cpu is 9; allowed: a whole number from 0 to 3"),
    "vmid string": ([VMID_HEADER, '["new","0",null,null,0,0,1,0,0,0]'], 2, 'vm is "0"; allowed: a whole number'),
    "vmid unknown vm": ([VMID_HEADER, '["enter",7,0,1,1,2,2,2,1,1]'], 2, "vm is 7; allowed: none"),
    "vmid twice": ([VMID_HEADER, *['["new",0,null,null,0,0,1,0,0,0]'] * 2], 3, "vm is 0; allowed: a new number"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_an_error_with_its_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, number, message = BAD[case]
    path = written(tmp_path, lines)
    assert main(["conform", str(path), str(FILES[0])]) == 2
    error, last = capsys.readouterr().out.splitlines()
    assert error.startswith(f"error: {path}:{number}: ")
    assert message in error
    assert last.startswith("conform: 2 files, ")
    assert last.endswith(" 1 mismatches")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", str(tmp_path / "none.jsonl")]) == 2
    assert "cannot be read" in capsys.readouterr().out


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in conform([path]).errors[0]


def test_every_prefix_of_a_trace_is_a_trace_or_an_error(tmp_path: Path) -> None:
    """Cut at any byte, a file is replayed or refused; nothing else happens."""
    text = (GOLDEN / "hand/05_ioremap_over_present.jsonl").read_text()
    for end in range(0, len(text), 97):
        path = tmp_path / "cut.jsonl"
        path.write_text(text[:end])
        report = conform([path])
        assert report.files == 1
        assert not report.mismatches
        assert bool(report.errors) == (not end or text[end - 1] not in "\n}" or not text[:end].strip().endswith("}"))
