"""Draw the 64 bits of a stage-2 leaf descriptor, and what those of a real one say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import style

from kvmlab.engine import InputError
from kvmlab.engine.errors import check_int
from kvmlab.engine.hardware.descriptor import Descriptor, DescriptorField, decode
from kvmlab.figures.canvas import Canvas
from kvmlab.figures.guests import DEVICE, TOUCHED, standard_guest
from kvmlab.figures.marks import leaf_box
from kvmlab.figures.style import Look, Slide, new_figure
from kvmlab.scenes.descriptors import leaf_of
from kvmlab.scenes.moment import leaf_kind

LEVEL = 3
LEAVES = {"rw": TOUCHED[0][0], "ro": TOUCHED[1][0], "dev": DEVICE["ipa"]}
"""The leaves one can ask for by a word: where the standard guest has one."""
NAMES = {"rw": "RAM, writable", "ro": "RAM, read-only", "dev": "a device"}
TOKENS = {"address": ("host-t", "host"), "software": ("kern-t", "kern"), "ignored": ("none", "line2"),
          "reserved": ("none", "line2")}  # fmt: skip
"""Fill and edge of fields that are not the walker's: the frame is the host's, the software bits are the kernel's."""
SHORT = {"contiguous": "C", "ignored": "", "reserved": "", "software": "SW", "type": "type"}
"""What fields are called where there is little room."""


@dataclass(frozen=True)
class LeafData:
    """Hold a leaf descriptor and where it stands.

    Args:
        leaf: the descriptor, taken apart.
        kind: "rw", "ro" or "dev".
        ipa: the page it maps; None for a descriptor out of no run.
    """

    leaf: Descriptor
    kind: str
    ipa: int | None

    @property
    def said(self) -> list[DescriptorField]:
        """Return the fields that mean something, from bit 0 up."""
        return [f for f in reversed(self.leaf.fields) if f.name not in ("ignored", "reserved")]


def leaf_data(leaf: str | int = "rw") -> LeafData:
    """Take a leaf apart.

    Args:
        leaf: "rw", "ro" or "dev" for one out of the engine, or the 64 bits of a level 3 page descriptor.

    Raises:
        InputError: it is neither.
    """
    if isinstance(leaf, str):
        if leaf not in LEAVES:
            raise InputError(f"leaf is {leaf!r}; allowed: {', '.join(map(repr, LEAVES))}, or a descriptor's 64 bits")
        word = leaf_of(standard_guest(), 0, LEAVES[leaf])
        return LeafData(decode(word, LEVEL), leaf_kind(word), LEAVES[leaf])
    check_int("leaf", leaf, 0, (1 << 64) - 1)
    found = decode(leaf, LEVEL)
    if not found.is_leaf:
        raise InputError(f"leaf is {leaf:#x}, which maps nothing; allowed: a descriptor whose two lowest bits are 1")
    return LeafData(found, leaf_kind(leaf), None)


@style.context("default")
def descriptor(theme: str = "light", size: str = "slide", *, leaf: str | int = "rw") -> Slide:
    """Show the layout of a stage-2 leaf descriptor, all 64 bits, with the values of a real one.

    Source:
        `kvmlab.engine.hardware.descriptor.decode` (ARM DDI 0406C, B3.6.1 and B3.6.2); the values are those that the
        engine's kernel wrote (PAGE_S2 and PAGE_S2_DEVICE of Linux 3.9, arch/arm/mm/mmu.c).

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        leaf: "rw" for RAM the guest wrote, "ro" for RAM it only read, "dev" for a device, or any 64 bits of a page.

    Raises:
        InputError: there is no such theme, size or leaf.
    """
    look, data = Look(theme, size), leaf_data(leaf)
    word = data.leaf.word
    whose = f"the leaf of IPA {data.ipa:#x}" if data.ipa is not None else "a given value"
    rows = len(data.said)
    figure = new_figure(
        look,
        title=f"A stage-2 leaf, bit by bit: {NAMES[data.kind]}",
        why=_why(data),
        alt=f"The 64 bits of {word:#018x}. " + ". ".join(_sentence(f) for f in data.leaf.fields) + ".",
        source=f"Linux 3.9, {whose}, {word:#x}",
        height=(COLUMN_TABLE + rows * COLUMN_ROW + 8) / 72,
    )
    (_on_slide if look.measure.headed else _in_column)(Canvas(figure, look), data)
    return figure


def _why(data: LeafData) -> str:
    hap, memattr = data.leaf.field("HAP"), data.leaf.field("MemAttr")
    if data.ipa is not None and data.kind == "dev":
        return (
            "Nobody shall execute a device's registers, so KVM sets XN. MemAttr reuses the kernel's stage-1 index "
            f"{memattr.bits}, which in stage 2 is no device: {memattr.meaning}."
        )
    if data.ipa is not None and data.kind == "ro":
        return (
            f"The guest has only read this page, so KVM wrote HAP {hap.bits}, {hap.meaning}. The first write faults, "
            "and from that fault KVM learns that the page gets dirty."
        )
    return (
        "Each walk ends in such a word, so it decides what the guest may do and where it gets to: "
        f"HAP {hap.bits} says {hap.meaning}, bits 39:12 say frame {data.leaf.address >> 12:#x}."
    )


def _sentence(field: DescriptorField) -> str:
    bits = f"bits {field.high} to {field.low}" if field.high > field.low else f"bit {field.low}"
    value = f"{field.value << field.low:#x}" if field.name == "address" else field.bits
    return f"{bits} {field.name} {value}" + (f", {field.meaning}" if field.meaning else "")


def _bits_of(field: DescriptorField) -> str:
    return f"{field.high}:{field.low}" if field.high > field.low else f"{field.low}"


def _look_of(field: DescriptorField, kind: str) -> tuple[str, str]:
    if field.name == "address" and kind == "dev":
        return "dev", "dev"
    return TOKENS.get(field.name, ("hw-t", "hw"))


def _part(canvas: Canvas, data: LeafData, high: int, count: int, y: float, tall: float) -> None:
    """Draw `count` bits from `high` down, field by field, numbers above and names below."""
    small = canvas.look.measure.small
    low, cell = high - count + 1, (canvas.width - 2) / count
    x0 = (canvas.width - count * cell) / 2
    for field in data.leaf.fields:
        top, bottom = min(field.high, high), max(field.low, low)
        if top < bottom:
            continue
        x, wide = x0 + (high - top) * cell, (top - bottom + 1) * cell
        fill, edge = _look_of(field, data.kind)
        silent = field.name in ("ignored", "reserved")
        canvas.box(x, y, wide, tall, fill=fill, edge=edge, width=1.0 if silent else 1.6, dashed=silent)
        ink = "dev-ink" if fill == "dev" else "ink3" if silent else "ink"
        for bit in range(top, bottom - 1, -1):
            at, set_ = x + (top - bit + 0.5) * cell, data.leaf.word >> bit & 1
            canvas.words(
                at, y + tall / 2, f"{set_}", size=small, mono=True, bold=bool(set_), across="center", colour=ink
            )
        _numbers(canvas, top, bottom, x, wide, y - 0.35 * small)
        name = _name(canvas, field, wide)
        if not silent or name:
            canvas.words(
                x + wide / 2, y + tall + 1.15 * small, name, size=small, bold=not silent, across="center",
                down="baseline", colour="ink3" if silent else "ink",
            )  # fmt: skip


def _numbers(canvas: Canvas, top: int, bottom: int, x: float, wide: float, y: float) -> None:
    """Write the numbers of a field's ends above it."""
    small, inset = canvas.look.measure.small, canvas.look.line(4)
    if top == bottom:
        canvas.words(x + wide / 2, y, f"{top}", size=small, across="center", down="baseline", colour="ink3")
        return
    canvas.words(x + inset, y, f"{top}", size=small, down="baseline", colour="ink3")
    canvas.words(x + wide - inset, y, f"{bottom}", size=small, across="right", down="baseline", colour="ink3")


def _name(canvas: Canvas, field: DescriptorField, wide: float) -> str:
    """Return the name of a field, as long as there is room for."""
    for name in (field.name, SHORT.get(field.name, field.name)):
        if canvas.width_of(name, size=canvas.look.measure.small) < wide + canvas.look.line(4):
            return name
    return ""


TALL, UPPER, LOWER, TABLE, ROW = 30.0, 18.0, 104.0, 182.0, 28.0
LONG = {"HAP": "HAP, S2AP"}
"""What else a field is called: ARMv8 has another name for it."""


def _on_slide(canvas: Canvas, data: LeafData) -> None:
    size = canvas.look.measure
    for high, y in ((63, UPPER), (31, LOWER)):
        _part(canvas, data, high, 32, y, TALL)
    _word(canvas, data, TABLE, 34, size.text)
    fields = data.said
    half = (len(fields) + 1) // 2
    _rows(canvas, fields[:half], (2, TABLE + 41), (46, 146, 200), ROW)
    _rows(canvas, fields[half:], (508, TABLE + 41), (60, 166, 220), ROW)


def _word(canvas: Canvas, data: LeafData, y: float, high: float, letters: float) -> None:
    """Draw the whole word, and say where it stands."""
    said, pad = f"{data.leaf.word:#018x}", high / 3
    wide = canvas.width_of(said, size=letters, mono=True) + 2 * pad + canvas.look.line(20)
    ink = leaf_box(canvas, data.kind, 1, y, wide, high)
    canvas.words(1 + pad, y + high / 2, said, size=letters, bold=True, mono=True, colour=ink)
    where = f"at IPA {data.ipa:#x}" if data.ipa is not None else "a given value"
    canvas.words(wide + pad + 1, y + high / 2, f"{NAMES[data.kind]}, {where}", size=letters)


def _rows(
    canvas: Canvas,
    fields: Sequence[DescriptorField],
    start: tuple[float, float],
    tabs: tuple[float, float, float],
    row: float,
) -> None:
    """Write fields, one a line: bits, name, value, meaning."""
    small = canvas.look.measure.small
    x, y = start[0], start[1] + row / 2
    for field in fields:
        address = field.name == "address"
        value = f"{field.value << field.low:#x}" if address else field.bits
        meaning = f"frame {field.value:#x}" if address else field.meaning
        canvas.words(x, y, _bits_of(field), size=small, mono=True, colour="ink3")
        canvas.words(x + tabs[0], y, LONG.get(field.name, field.name), size=small, bold=True)
        canvas.words(x + tabs[1], y, value, size=small, bold=True, mono=True)
        wide = max(tabs[2] - tabs[1], canvas.width_of(f"{value} ", size=small, mono=True))
        canvas.words(x + tabs[1] + wide, y, meaning, size=small, colour="ink2")
        y += row


COLUMN_TALL, COLUMN_PART, COLUMN_TABLE, COLUMN_ROW = 12.0, 32.0, 157.0, 12.5


def _in_column(canvas: Canvas, data: LeafData) -> None:
    for number, high in enumerate((63, 47, 31, 15)):
        _part(canvas, data, high, 16, 8.5 + number * COLUMN_PART, COLUMN_TALL)
    _word(canvas, data, 138, 15, canvas.look.measure.small)
    _rows(canvas, data.said, (1, COLUMN_TABLE), (26, 75, 97), COLUMN_ROW)
