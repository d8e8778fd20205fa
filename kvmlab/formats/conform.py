"""Compare the engine with traces recorded from the real kernel code, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvmlab.engine import InputError
from kvmlab.engine.kernel.pgtable import L_PTE_S2_RDWR, PAGE_S2_DEVICE, VTTBR_BADDR_MASK, VTTBR_VMID_SHIFT
from kvmlab.formats.replay import Stage2Replay
from kvmlab.formats.trace import Record, TraceError, read_trace
from kvmlab.formats.vmid_replay import VmidReplay

_ABSENT: dict[str, Any] = {"tab": {}, "pte": {}, "dirty": 0}
"""Fields of ``out`` that are left out when nothing happened, and what they stand for; other fields stand for None."""

_OUT_FIELDS = (
    "ret", "flush", "alloc", "free", "live", "cache", "tab", "pte", "pgd", "seq", "count", "dirty", "gup", "io",
    "leaked",
)  # fmt: skip
_CHECKPOINT_FIELDS = ("tables", "leaves", "pgd", "live", "caches", "seq", "count")
_ADDRESSES = ("pte", "leaves", "gup", "io", "vttbr", "seen", "header")
_UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Mismatch:
    """One field in which engine and trace differ.

    Attributes:
        file: the trace.
        line: line in it, from 1.
        operation: number and name.
        field: what differs.
        expected: the trace's value.
        got: the engine's.
    """

    file: str
    line: int
    operation: str
    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        """Return the mismatch as one line."""
        return f"{self.file}:{self.line}: {self.operation}: {self.field}: expected {self.expected}, got {self.got}"


@dataclass
class Report:
    """What a replay of several files found.

    Attributes:
        files: files read.
        operations: stage-2 operations replayed.
        events: VMID events replayed.
        mismatches: every field that differs, in the first record of each file in which any does.
        errors: files that are no traces, with the line; each counts as a mismatch.
    """

    files: int = 0
    operations: int = 0
    events: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every file was a trace and everything in it agreed."""
        return not self.mismatches and not self.errors

    def __str__(self) -> str:
        """Return the closing line of ``kvmlab conform``."""
        bad = len(self.mismatches) + len(self.errors)
        return f"conform: {self.files} files, {self.operations} operations, {self.events} vmid events, {bad} mismatches"


def conform(paths: Iterable[Path], tell: Callable[[str], None] = lambda _: None) -> Report:
    """Replay traces on the engine.

    Args:
        paths: trace files.
        tell: called with a line for each mismatch and each bad file, as they are found.

    Returns:
        What was found. After the first record that differs, a file is left and the next one begins.
    """
    report = Report()
    for path in paths:
        report.files += 1
        try:
            found = _replay(path, report)
        except TraceError as error:
            report.errors.append(str(error))
            tell(f"error: {error}")
            continue
        report.mismatches += found
        for mismatch in found:
            tell(f"mismatch: {mismatch}")
    return report


Compared = tuple[Record, str, list[tuple[str, Any, Any]]]
"""A record, what it is called, and (field, expected, got) for each of its fields."""


def _replay(path: Path, report: Report) -> list[Mismatch]:
    """Replay one file up to the first record that differs."""
    records = read_trace(path)
    header = next(records)
    if header.data["kind"] not in _REPLAYS:
        raise TraceError(f"{path}:1: kind is {header.data['kind']!r}: nothing recorded; allowed: {', '.join(_REPLAYS)}")
    replay = _REPLAYS[header.data["kind"]]
    record = header
    try:
        for record, operation, fields in replay(header, records, report):
            differing = [item for item in fields if item[1] != item[2]]
            if differing:
                return [
                    Mismatch(str(path), record.line, operation, name, *_show_both(name, expected, got))
                    for name, expected, got in differing
                ]
    except TraceError:
        raise
    except InputError as error:
        raise TraceError(f"{path}:{record.line + 1}: {error}") from None
    return []


def _stage2(header: Record, records: Iterator[Record], report: Report) -> Iterator[Compared]:
    replay = Stage2Replay(header.data)
    engine = {"PAGE_S2": replay.linux.PAGE_S2, "PAGE_S2_DEVICE": PAGE_S2_DEVICE, "L_PTE_S2_RDWR": L_PTE_S2_RDWR}
    yield header, "header", [(f"header.{name}", header.data[name], value) for name, value in engine.items()]
    for record in records:
        data = record.data
        if record.kind == "checkpoint":
            fields = [(name, data[name], replay.state[name]) for name in _CHECKPOINT_FIELDS]
            yield record, f"checkpoint {data['i']}", fields
        elif record.kind == "op":
            report.operations += 1
            got, out = replay.run(data["op"], data["in"]), data["out"]
            absent = {**_ABSENT, **dict.fromkeys(("pgd", "seq", "count"), _UNCHANGED)}
            fields = [(n, out.get(n, absent.get(n)), got.get(n, absent.get(n))) for n in _OUT_FIELDS]
            yield record, f"op {data['i']} {data['op']}", fields


def _vmid(header: Record, records: Iterator[Record], report: Report) -> Iterator[Compared]:
    replay = VmidReplay(header.data)
    for record in records:
        data = record.data
        if record.kind == "race":
            yield record, "race", [("seen", data["seen"], replay.seen)]
        elif record.kind == "vmid":
            report.events += 1
            got = replay.run(data)
            fields = [(name, data[name], got[name]) for name in got if name in data and data[name] is not None]
            vttbr = got["root"] & VTTBR_BADDR_MASK | got["vmid"] << VTTBR_VMID_SHIFT
            if data["op"] == "enter":
                fields.append(("vttbr", vttbr, got["vttbr"]))
            yield record, f"event {report.events} {data['op']} vm {data['vm']}", fields


_REPLAYS = {"stage2": _stage2, "vmid": _vmid}


def _show_both(name: str, expected: Any, got: Any) -> tuple[str, str]:
    """Write two values out; of two tables only what differs."""
    if isinstance(expected, dict) and isinstance(got, dict):
        differing = [key for key in {**expected, **got} if expected.get(key) != got.get(key)]
        expected, got = ({key: value[key] for key in differing if key in value} for value in (expected, got))
    return _show(name, expected), _show(name, got)


def _show(name: str, value: Any) -> str:
    """Write a value as the trace would."""
    if isinstance(value, dict):
        pairs = (f"{key if isinstance(key, str) else hex(key)}: {_show(name, item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if value is None:
        return "null"
    if isinstance(value, int) and name.split(".")[0] in _ADDRESSES:
        return hex(value)
    return str(value)
