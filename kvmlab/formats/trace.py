"""Read a trace file: JSON Lines, a header and then operations. Everything is checked; nothing is executed.

A stage-2 trace holds operations (a kernel function, its input, what it did), checkpoints (the whole state) and notes.
A VMID trace holds events as arrays. See ``tests/golden/FORMAT.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvmlab.engine import InputError
from kvmlab.engine.commands import COMMANDS
from kvmlab.engine.config import Config
from kvmlab.engine.kernel.kvm import KVM_MEM_SLOTS_NUM
from kvmlab.engine.kernel.memslot import MemorySlot
from kvmlab.engine.kernel.pgtable import KVM_NR_MEM_OBJS, KVM_PHYS_SHIFT, PAGE_SHIFT
from kvmlab.formats.checks import Check, hex_number, list_of, map_of, nullable, object_with, show, text, whole

FORMAT = "kvmlab-trace/1"
LINE_LIMIT = 16 << 20
"""Longest line that is read, in characters."""

U32, U40, U64 = (1 << 32) - 1, (1 << 40) - 1, (1 << 64) - 1
VMID_COLUMNS = (
    "op", "vm", "cpu", "need_new_vmid_gen", "vmid", "vm_gen", "global_gen", "kvm_next_vmid", "force_vm_exit",
    "full_flush",
)  # fmt: skip
VMID_OPS = ("new", "enter", "check", "free")


class TraceError(InputError):
    """A trace file that is no trace; the message names file and line."""


@dataclass(frozen=True)
class Record:
    """One line of a trace.

    Attributes:
        line: its number in the file, from 1.
        kind: "header", "op", "checkpoint", "note", "vmid" or "race".
        data: the checked contents: hex strings are numbers now.
    """

    line: int
    kind: str
    data: dict[str, Any]


def _ret(name: str, value: Any) -> int | str | None:
    if value is None or value == "BUG":
        return value  # type: ignore[no-any-return]
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f'{name} is {show(value)}; allowed: a whole number, null or "BUG"')
    return value


def _label(name: str, value: Any) -> str:
    level, _, base = value.partition("@")
    if level not in ("L1", "L2", "L3"):
        raise InputError(f"{name} is {show(value)}; allowed: L1@, L2@ or L3@ and an address")
    return f"{level}@{hex_number(U40)(name, base):#x}"


_vcpu, _gfn = whole(0, 15), hex_number(U64 >> PAGE_SHIFT)
_u32, _u40, _u64 = hex_number(U32), hex_number(U40), hex_number(U64)
_hva = _u32
_count = whole(0, 1 << 32)
_host = nullable(object_with({"pfn": _u64, "writable": whole(0, 1)}))

NOTIFIERS: dict[str, dict[str, Check]] = {
    "kvm_mmu_notifier_invalidate_page": {"address": _hva},
    "kvm_mmu_notifier_change_pte": {"address": _hva, "pte": _u64},
    "kvm_mmu_notifier_invalidate_range_start": {"start": _hva, "end": _hva},
    "kvm_mmu_notifier_invalidate_range_end": {"start": _hva, "end": _hva},
}
OPERATIONS: dict[str, dict[str, Check]] = {
    "kvm_alloc_stage2_pgd": {},
    "kvm_free_stage2_pgd": {},
    "kvm_phys_addr_ioremap": {"guest_ipa": _u40, "pa": _u64, "size": _u32},
    "kvm_handle_guest_abort": {
        "vcpu": _vcpu, "hsr": _u32, "hpfar": _u32, "hxfar": _u32, "host": _host,
    },
    "user_mem_abort": {
        "vcpu": _vcpu, "fault_ipa": _u40, "hsr": _u32, "fault_status": hex_number(0x3F), "host": _host,
    },
    "kvm_unmap_hva": {"hva": _hva},
    "kvm_unmap_hva_range": {"start": _hva, "end": _hva},
    "kvm_set_spte_hva": {"hva": _hva, "pte": _u64},
    "unmap_stage2_range": {"start": _u40, "size": hex_number(1 << 40)},
    "stage2_set_pte": {"addr": _u40, "new_pte": _u64, "iomap": whole(0, 1), "cache": nullable(_vcpu)},
    "mmu_topup_memory_cache": {"vcpu": _vcpu, "min": whole(0, KVM_NR_MEM_OBJS), "max": whole(0, 1000)},
    "kvm_mmu_free_memory_caches": {"vcpu": _vcpu},
    **NOTIFIERS,
}  # fmt: skip
"""Every operation and its inputs, by the kernel's names."""


def _during(name: str, value: Any) -> list[dict[str, Any]]:
    return [_operation(f"{name}[{i}]", item, NOTIFIERS) for i, item in enumerate(list_of(lambda _, v: v)(name, value))]


def _operation(name: str, value: Any, allowed: dict[str, dict[str, Check]]) -> dict[str, Any]:
    both = object_with({"op": text, "in": lambda _, v: v})(name, value)
    if both["op"] not in allowed:
        raise InputError(f"{name}.op is {show(both['op'])}; allowed: {', '.join(allowed)}")
    extra = {} if allowed is NOTIFIERS else {"fail_alloc": whole(1, 1 << 20), "during": _during}
    return {"op": both["op"], "in": object_with(allowed[both["op"]], extra)(f"{name}.in", both["in"])}


_tables = map_of(_label, nullable(_count))
_leaves = map_of(_u40, nullable(_u64))
_pgd = nullable(list_of(_count, size=2))
_OUT = object_with(
    {"ret": _ret, "flush": _count, "alloc": _count, "free": _count, "live": _count},
    {
        "cache": whole(0, KVM_NR_MEM_OBJS),
        "tab": _tables,
        "pte": _leaves,
        "pgd": _pgd,
        "seq": _count,
        "count": whole(-(1 << 31), 1 << 31),
        "dirty": _count,
        "gup": object_with({"gfn": _gfn, "write_fault": whole(0, 1)}),
        "io": object_with({}, {"io_mem_abort": _u40, "inject_pabt": _u32}),
        "events": list_of(text),
        "leaked": map_of(_label, list_of(_count, size=2)),
    },
)
_CHECKPOINT = object_with(
    {
        "t": text,
        "i": _count,
        "tables": _tables,
        "leaves": _leaves,
        "pgd": _pgd,
        "live": _count,
        "caches": list_of(whole(0, KVM_NR_MEM_OBJS)),
        "seq": _count,
        "count": whole(-(1 << 31), 1 << 31),
    }
)
_SLOT = object_with({"base_gfn": _gfn, "npages": _count, "userspace_addr": _hva})
_ABOUT: dict[str, Check] = dict.fromkeys(("name", "desc", "kernel"), text)
_HEADERS = {
    "stage2": object_with(
        {
            "t": text,
            "format": text,
            "kind": text,
            "long_bits": whole(32, 64),
            "PHYS_SHIFT": whole(KVM_PHYS_SHIFT, KVM_PHYS_SHIFT),
            "PAGE_SHIFT": whole(PAGE_SHIFT, PAGE_SHIFT),
            "ncpus": whole(1, 16),
            "KVM_NR_MEM_OBJS": whole(KVM_NR_MEM_OBJS, KVM_NR_MEM_OBJS),
            "PAGE_S2": _u64,
            "PAGE_S2_DEVICE": _u64,
            "L_PTE_S2_RDWR": _u64,
            "memslots": list_of(_SLOT, limit=KVM_MEM_SLOTS_NUM),
        },
        {**_ABOUT, "seed": _count},
    ),
    "vmid": object_with(
        {
            "t": text,
            "format": text,
            "kind": text,
            "vmid_bits": whole(2, 16),
            "ncpus": whole(1, 16),
            "initial": object_with(
                dict.fromkeys(("kvm_vmid_gen", "kvm_next_vmid", "new_vm_vmid_gen", "new_vm_vmid"), _count)
            ),
            "cols": list_of(text),
        },
        {**_ABOUT, "seed": _count, "vttbr_attr": text},
    ),
}
_HEADERS["machine"] = object_with(
    {"t": text, "format": text, "kind": text, "config": lambda _, v: v}, {**_ABOUT, "seed": _count}
)
_COMMAND = object_with({"t": text, "i": _count, "op": text, "in": map_of(text, lambda _, v: v)})
_SEEN = dict.fromkeys(("need_new_vmid_gen", "vmid_field", "vmid_gen_field", "vttbr_vmid_loaded"), _count)
_RACE = object_with({"t": text, "at": text, "seen": object_with(dict(_SEEN))})
_NOTE = object_with({"t": text, "text": text}, {"i": _count})
_maybe = nullable(_count)
_VMID_ROW: tuple[Check, ...] = (text, _count, nullable(whole(0, 15)), nullable(whole(0, 1)), *[_maybe] * 6)


def read_trace(path: Path) -> Iterator[Record]:
    """Yield the records of a trace file, the header first.

    Args:
        path: the file.

    Raises:
        TraceError: it cannot be read, or a line is not what it should be; the message names file, line and field.
    """
    reader = _Reader()
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            while line := file.readline(LINE_LIMIT):
                number += 1
                if len(line) == LINE_LIMIT:
                    raise InputError(f"the line is longer than {LINE_LIMIT} characters")
                if line.strip():
                    yield Record(number, *reader.read(line))
        if not number or reader.kind is None:
            raise InputError("the file is empty; the first line of a trace is its header")
    except InputError as error:
        raise TraceError(f"{path}:{max(number, 1)}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{path}:{number + 1}: cannot be read: {error}") from None


class _Reader:
    """What one line may be depends on the lines before it: the header's kind, and the number of the next operation."""

    def __init__(self) -> None:
        self.kind: str | None = None
        self.cpus = 0
        self.next_op = 0

    def read(self, line: str) -> tuple[str, dict[str, Any]]:
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"not JSON ({error}): {line[:60].rstrip()!r}; is the file cut short?") from None
        if self.kind is None:
            return "header", self._header(value)
        if self.kind == "vmid" and isinstance(value, list):
            return "vmid", self._row(value)
        kind = value.get("t") if isinstance(value, dict) else None
        if kind == "note":
            return "note", _NOTE("note", value)
        if kind == "race" and self.kind == "vmid":
            return "race", _RACE("race", value)
        if kind == "op" and self.kind == "stage2":
            return "op", self._op(value)
        if kind == "op" and self.kind == "machine":
            return "op", self._command(value)
        if kind == "checkpoint" and self.kind == "stage2":
            return "checkpoint", self._checkpoint(value)
        allowed = {"stage2": "op, checkpoint, note", "machine": "op, note"}.get(self.kind, "an array, race, note")
        raise InputError(f"t is {show(kind)}; allowed in a {self.kind} trace: {allowed}")

    def _header(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or value.get("t") != "header" or value.get("format") != FORMAT:
            raise InputError(f'no header; the first line has "t":"header" and "format":"{FORMAT}"')
        if text("kind", value.get("kind")) not in _HEADERS:
            raise InputError(f"kind is {show(value.get('kind'))}; allowed: {', '.join(_HEADERS)}")
        header: dict[str, Any] = _HEADERS[value["kind"]]("header", value)
        if header["kind"] == "stage2":
            header["memslots"] = _slots(header["memslots"])
            if header["long_bits"] not in (32, 64):
                raise InputError(f"header.long_bits is {header['long_bits']}; allowed: 32 or 64")
        elif header["kind"] == "machine":
            map_of(text, lambda _, v: v)("header.config", header["config"])
        elif tuple(header["cols"]) != VMID_COLUMNS:
            raise InputError(f"header.cols is {show(header['cols'])}; allowed: {show(list(VMID_COLUMNS))}")
        self.kind = header["kind"]
        self.cpus = header.get("ncpus", 0)
        return header

    def _op(self, value: dict[str, Any]) -> dict[str, Any]:
        frame = object_with({"t": text, "i": _count, "op": text, "in": lambda _, v: v, "out": _OUT})("op", value)
        self._number(frame)
        checked = _operation("op", {"op": frame["op"], "in": frame["in"]}, OPERATIONS)
        for key in ("vcpu", "cache"):
            if (number := checked["in"].get(key)) is not None and number >= self.cpus:
                raise InputError(f"op.in.{key} is {number}; allowed: 0 to {self.cpus - 1}")
        return {"i": frame["i"], **checked, "out": frame["out"]}

    def _command(self, value: dict[str, Any]) -> dict[str, Any]:
        command: dict[str, Any] = _COMMAND("op", value)
        if command["op"] not in COMMANDS:
            raise InputError(f"op.op is {show(command['op'])}; allowed: {', '.join(COMMANDS)}")
        self._number(command)
        return command

    def _number(self, op: dict[str, Any]) -> None:
        if op["i"] != self.next_op:
            raise InputError(f"op.i is {op['i']}; allowed: {self.next_op}, the number of this operation")
        self.next_op += 1

    def _checkpoint(self, value: dict[str, Any]) -> dict[str, Any]:
        checkpoint: dict[str, Any] = _CHECKPOINT("checkpoint", value)
        if checkpoint["i"] != self.next_op:
            raise InputError(f"checkpoint.i is {checkpoint['i']}; allowed: {self.next_op}, the operations so far")
        if len(checkpoint["caches"]) != self.cpus:
            raise InputError(f"checkpoint.caches has {len(checkpoint['caches'])} numbers; allowed: {self.cpus}")
        return checkpoint

    def _row(self, value: list[Any]) -> dict[str, Any]:
        if len(value) != len(VMID_COLUMNS):
            raise InputError(f"the array has {len(value)} values; allowed: {len(VMID_COLUMNS)}")
        row = {name: check(name, item) for name, check, item in zip(VMID_COLUMNS, _VMID_ROW, value, strict=True)}
        if row["op"] not in VMID_OPS:
            raise InputError(f"op is {show(row['op'])}; allowed: {', '.join(VMID_OPS)}")
        if row["op"] in ("enter", "check"):
            whole(0, self.cpus - 1)("cpu", row["cpu"])
        return row


def _slots(slots: list[dict[str, int]]) -> list[MemorySlot]:
    return [
        MemorySlot(slot["base_gfn"], slot["npages"], slot["userspace_addr"], number)
        for number, slot in enumerate(slots)
    ]


def config_of(header: dict[str, Any]) -> Config:
    """Return the machine that a header asks for.

    Raises:
        InputError: there is no such machine.
    """
    if header["kind"] == "vmid":
        return Config(ncpus=header["ncpus"], vmid_bits=header["vmid_bits"])
    return Config(ncpus=header["ncpus"], long_bits=header["long_bits"], smp=bool(header["PAGE_S2"] & 0x300))
