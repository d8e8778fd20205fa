"""What every part of the fault scene's stage shows at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, kind_of, memattr_words
from kvmlab.scenes.fault.layout import Table, Tree
from kvmlab.scenes.fault.stage import FIELDS, SLOTS, TLB_CELLS, name
from kvmlab.scenes.moment import Moment, Path, leaf_kind, path_of
from kvmlab.scenes.scene import Actor, Picture

TLB_TEXT = 23
"""Characters that fit into a cell of the TLB."""
SHORT_KIND = {"rw": "RW", "ro": "RO", "dev": "DEV", "inv": ""}
SHORT_HAP, SHORT_SH = ("none", "RO", "WO", "RW"), ("none", "reserved", "outer", "inner")
ZONES: dict[Actor, str] = {"guest": "zG", "hw": "zH", "kern": "zK", "host": "zO"}


def picture(m: Moment, tree: Tree, actor: Actor) -> Picture:
    """Return what every part shows at a moment in which `actor` acts."""
    shown: Picture = {zone: ("on" if who == actor else "", "") for who, zone in ZONES.items()}
    shown.update(_guest(m))
    shown.update(_address(m))
    shown.update(_tlb(m))
    for table in tree.tables:
        shown.update(_table_now(m, table))
    for link in tree.links:
        shown[name("l", link.path)] = (_link_state(m, link.path), "")
    shown.update(_kernel_now(m))
    shown.update(descriptor_now(m.word))
    return shown


def verb(access: Mapping[str, Any]) -> str:
    """Return what a guest's access does, as it is written in the guest strip."""
    kind = access["access"]
    return {"write": f"store {access['value']:#x} to", "read": "load from", "fetch": "fetch from"}[str(kind)]


def _guest(m: Moment) -> Picture:
    do = f"{verb(m.access)} IPA {m.access['ipa']:#x}" if m.access else ""
    return {"g.do": ("", do), "g.run": ("", "▶ running" if m.running else "■ stopped")}


def _address(m: Moment) -> Picture:
    ipa = m.looking
    registers = "HSR {:#x} · HPFAR {:#x} · HxFAR {:#x}".format(*m.registers) if m.registers else ""
    shown: Picture = {
        "h.vttbr": ("", f"VTTBR {m.cell('vttbr'):#018x}"),
        "o.hva": ("", "" if m.hva is None else f"hva {m.hva:#x}"),
        "h.reg": ("", ""),
        "h.reg.t": ("", registers),
    }
    for bit in range(40):
        one = ipa is not None and ipa >> bit & 1
        shown[f"b{bit}"] = ("one" if one else "", "")
        shown[f"b{bit}.t"] = ("", "" if ipa is None else str(int(one)))
    indexes = path_of(ipa or 0)
    for column in range(4):
        words = "" if ipa is None else f"= {indexes[column]}" if column < 3 else f"= {ipa & 0xFFF:#05x}"
        shown[f"ix{column}"] = ("walk" if column < len(m.read) else "", "")
        shown[f"ix{column}.t"] = ("", words)
    return shown


def _tlb(m: Moment) -> Picture:
    mine = list(m.translations.items())
    shown: Picture = {"h.tlb": ("", ""), "h.tlb.n": ("", str(len(mine)))}
    first = max(0, len(mine) - TLB_CELLS)
    for cell in range(TLB_CELLS):
        at = first + (cell - first) % TLB_CELLS  # an entry keeps its cell while newer ones come
        if at < len(mine):
            (_, vmid, _, page), word = mine[at]
            shown[f"tlb{cell}"] = ("full", "")
            text = f"{vmid}: {page:#x}→{(word & ADDRESS_MASK) >> 12:#x}"
            kind = f" {SHORT_KIND[leaf_kind(word)]}" if len(text) < TLB_TEXT - 3 else ""
            shown[f"tlb{cell}.t"] = ("", text + kind)
        else:
            shown[f"tlb{cell}"], shown[f"tlb{cell}.t"] = ("", ""), ("", "")
    return shown


def tlb_cell(m: Moment, ipa: int) -> str | None:
    """Return the id of the cell that shows the translation of an IPA, if one of the cells does."""
    mine = list(m.translations)
    at = next((i for i in range(len(mine) - 1, -1, -1) if mine[i][3] == ipa >> 12), -1)
    return f"tlb{at % TLB_CELLS}" if at >= max(0, len(mine) - TLB_CELLS) else None


def _table_now(m: Moment, table: Table) -> Picture:
    me, pa = name("t", table.path), m.table_at(table.path)
    refs = f"refs {m.page_count(pa)}" + ("" if table.path else f" · {m.page_count(pa + 4096)}") if pa else ""
    shown: Picture = {
        me: ("" if pa else "off", ""),
        f"{me}.h": ("", (f"{pa:#x}" if table.path else "pgd") if pa else ""),
        f"{me}.n": ("", ""),
        f"{me}.n.t": ("", refs),
    }
    for row in table.rows:
        shown.update(_row_now(m, row.path))
    return shown


def _row_now(m: Moment, path: Path) -> Picture:
    me, word, deep = name("r", path), m.word_at(path), len(path) == 3
    kind = leaf_kind(word) if deep else "tab" if kind_of(word, len(path)) == "table" else "inv"
    state = kind + (" walk" if path in m.read else "") + (" miss" if path == m.missed else "")
    text = "empty" if kind == "inv" else f"{SHORT_KIND[kind]} page" if deep else f"{word:#x}"
    if word and kind == "inv":
        text = "invalid"
    shown: Picture = {me: (state, ""), f"{me}.x": ("", text)}
    if deep:
        pfn = m.named.get(path) if kind == "inv" else (word & ADDRESS_MASK) >> 12
        state = "off" if pfn is None else "named" if kind == "inv" else kind
        page = name("p", path)
        shown[page] = (state, "")
        shown[f"{page}.t"] = ("", "" if pfn is None else f"pfn {pfn:#x}")
        shown[f"{page}.k"] = ("", SHORT_KIND[kind])
    return shown


def _link_state(m: Moment, path: Path) -> str:
    word = m.word_at(path)
    there = leaf_kind(word) != "inv" if len(path) == 3 else kind_of(word, len(path)) == "table"
    return ("walk" if path in m.read and path != m.missed else "") if there else "off"


def _kernel_now(m: Moment) -> Picture:
    held, nobjs = m.locked, m.nobjs
    shown: Picture = {
        "k.lk": ("held" if held else "free", ""),
        "k.lk.t": ("", "mmu_lock held" if held else "mmu_lock free"),
        "k.seq": ("", ""),
        "k.seq.t": ("", f"mmu_notifier_seq {m.cell('mmu_notifier_seq')}, count {m.cell('mmu_notifier_count')}"),
        "k.name": ("", "cache" if ".vcpu[" in m.cache or not m.cache else "on stack"),
        "k.cache": ("", ""),
        "k.cache.t": ("", f"{nobjs}/{SLOTS}"),
    }
    shown.update({f"c{slot}": ("full" if slot < nobjs else "", "") for slot in range(SLOTS)})
    return shown


def descriptor_now(word: tuple[int, int, Path] | None) -> Picture:
    """Return the fields of a descriptor (its word, level and place), or empty ones."""
    shown: Picture = {"d": ("" if word and word[0] else "dim", "")}
    shown["d.hex"] = ("", f"{word[0]:#x}" if word else "none yet")
    shown["d.at"] = ("", f"level {word[1]}, entry {word[2][-1]}" if word else "")
    for index, (_, _, _, shift, width) in enumerate(FIELDS):
        bits, meaning = _field_now(word[0], word[1], shift, width) if word else ("", "")
        shown[f"d{index}"] = ("", "")
        shown[f"d{index}.b"], shown[f"d{index}.m"] = ("", bits), ("", meaning)
    return shown


def _field_now(word: int, level: int, shift: int, width: int) -> tuple[str, str]:
    """Return a field's bits and what they say; a table descriptor and an invalid one use only two fields."""
    value = word >> shift & (1 << width) - 1
    kind = kind_of(word, level)
    if shift == 0:
        return f"{value:02b}", kind
    if kind == "invalid" or (kind == "table" and shift != 12):
        return "–", "ignored" if kind == "table" else ""
    match shift:
        case 12:
            return f"{value:#x}", "next table" if kind == "table" else "page"
        case 2:
            return f"{value:04b}", {0xF: "write-back", 0x4: "NC, reserved", 0x1: "device"}.get(
                value, memattr_words(value)[:16]
            )
        case 6:
            return f"{value:02b}", SHORT_HAP[value]
        case 8:
            return f"{value:02b}", SHORT_SH[value]
        case 10:
            return f"{value}", "accessed" if value else "faults"
        case 54:
            return f"{value}", "no execute" if value else "execute"
        case _:
            return f"{value:04b}", ""
