"""What every part of the ioremap scene's stage shows at one moment."""

from __future__ import annotations

from collections.abc import Sequence

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, MEMATTR_SHIFT, memattr_words
from kvmlab.scenes.fault.picture import descriptor_now, verb
from kvmlab.scenes.ioremap.line import Cell
from kvmlab.scenes.ioremap.stage import STACK_SLOTS
from kvmlab.scenes.ioremap.state import IoremapState
from kvmlab.scenes.moment import leaf_kind, path_of
from kvmlab.scenes.scene import Actor, Picture

DEVICE = 0b0001
"""MemAttr of device memory in a stage-2 descriptor."""
KINDS = {"rw": "RW", "ro": "RO", "dev": "DEV", "ram": "RAM", "hole": "hole"}
EMPTY = {"ram": "empty", "hole": "empty"}
NOTE = (
    "MemAttr {bits} is stage 1's index {memattr}. Stage 2 reads it as {words};",
    "a device would be {device:04b}. Mostly no harm: where a guest's stage 1 says device, the stricter wins.",
)


def picture(s: IoremapState, cells: Sequence[Cell], actor: Actor) -> Picture:
    """Return what every part shows when `actor` acts."""
    m, call = s.moment, s.call
    does = f"{verb(m.access)} IPA {m.access['ipa']:#x}" if m.access else ""
    shown: Picture = {
        "zG": ("on" if actor in ("guest", "hw") else "", ""),
        "zK": ("on" if actor == "kern" else "", ""),
        "g.do": ("", does),
        "g.run": ("", "▶ running" if m.running else "■ stopped"),
        "k.call": ("", f"ioremap(ipa {call.ipa:#x}, pa {call.pa:#x}, size {call.size:#x})" if call else ""),
        "k.lk": ("held" if m.locked else "free", ""),
        "k.lk.t": ("", "lock held" if m.locked else "lock free"),
        "n.map.t": ("", str(call.mapped) if call else ""),
        "n.tab.t": ("", str(call.links) if call else ""),
        "n.live.t": ("", str(s.live)),
        **dict.fromkeys(("n.map", "n.tab", "n.live"), ("", "")),
    }
    on_stack = m.cache.startswith("stack")
    for slot in range(STACK_SLOTS):
        full = on_stack and slot < m.nobjs
        page = m.cells.get(f"{m.cache}.objects[{slot}]", 0)
        shown[f"c{slot}"] = ("full" if full else "", "")
        shown[f"c{slot}.t"] = ("", f"{page:#x}" if full else "")
    for cell in cells:
        word = m.word_at(path_of(cell.gfn << 12))
        shown.update(page_now(cell.gfn, s.kind(cell.gfn), word))
    note = _note(s)
    return shown | descriptor_now(m.word) | {f"d.note{line}": ("", words) for line, words in enumerate(note)}


def page_now(gfn: int, kind: str, word: int) -> Picture:
    """Return what the cell of a page shows: its kind, and the frame behind it."""
    me = f"p{gfn:x}"
    behind = EMPTY.get(kind) or f"{(word & ADDRESS_MASK) >> 12:#x}"
    return {me: (kind, ""), f"{me}.k": ("", KINDS[kind]), f"{me}.t": ("", behind)}


def _note(s: IoremapState) -> Sequence[str]:
    """Return the remark on a device descriptor's memory attribute, if one is shown and is doubtful."""
    word, level, _ = s.moment.word or (0, 0, ())
    memattr = word >> MEMATTR_SHIFT & 0xF
    if level != 3 or leaf_kind(word) != "dev" or memattr == DEVICE:
        return [""] * len(NOTE)
    values = {"bits": f"{memattr:04b}", "memattr": memattr, "words": memattr_words(memattr), "device": DEVICE}
    return [line.format(**values) for line in NOTE]
