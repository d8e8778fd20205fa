"""Descriptors side by side, field by field: what differs stands out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from kvmlab.engine import Machine
from kvmlab.engine.hardware.descriptor import DescriptorField, decode
from kvmlab.engine.hardware.walker import walk


def leaf_of(machine: Machine, vm: int, ipa: int) -> int:
    """Return the last descriptor that a walk for an IPA reads; 0 if it ends at an empty entry.

    Args:
        machine: the machine.
        vm: number of the VM, which has run.
        ipa: address in bytes.
    """
    return walk(machine.linux.memory, machine.kvm(vm).vttbr, ipa).descriptor


@dataclass(frozen=True)
class DescriptorTable:
    """Level-3 descriptors, taken apart: one column each, one row a field.

    Args:
        words: descriptors by the name that heads the column.
    """

    words: Mapping[str, int]

    def rows(self) -> list[tuple[str, list[DescriptorField]]]:
        """Return the fields' names with their bits, and the field of each descriptor; reserved bits are left out."""
        columns = [
            [f for f in decode(word, 3).fields if f.name not in ("ignored", "reserved")] for word in self.words.values()
        ]
        names = {
            f"{f.high}:{f.low} {f.name}" if f.high > f.low else f"{f.low} {f.name}": None
            for column in columns
            for f in column
        }
        return [(name, [next(f for f in column if f.name == name.split()[-1]) for column in columns]) for name in names]

    def __str__(self) -> str:
        """Return the table as text, a star at the rows that differ."""
        lines = [" ".join(["field", *(f"{name} = {word:#x}" for name, word in self.words.items())])]
        for name, fields in self.rows():
            star = "*" if len({field.value for field in fields}) > 1 else " "
            lines.append(f"{star} {name}: " + " | ".join(_cell(field) for field in fields))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the table for a notebook; rows that differ are bold and marked."""
        head = "".join(f"<th>{escape(name)}<br><code>{word:#x}</code></th>" for name, word in self.words.items())
        body = ""
        for name, fields in self.rows():
            differ = len({field.value for field in fields}) > 1
            cells = "".join(f"<td style='text-align:left'>{escape(_cell(field))}</td>" for field in fields)
            weight, mark = ("bold", " ≠") if differ else ("normal", "")
            body += (
                f"<tr style='font-weight:{weight}'><th "
                f"style='text-align:left;font-weight:inherit'>{escape(name)}{mark}</th>{cells}</tr>"
            )
        return (
            f"<table><thead><tr><th style='text-align:left'>field</th>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def _cell(field: DescriptorField) -> str:
    value = f"{field.value:#x}" if field.name == "address" else field.bits
    return f"{value} {field.meaning}".rstrip()
