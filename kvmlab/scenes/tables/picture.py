"""What every part of the tables scene's stage shows at one moment."""

from __future__ import annotations

from collections import Counter

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, DescriptorField, decode, kind_of
from kvmlab.scenes.moment import leaf_kind
from kvmlab.scenes.scene import ACTORS, Actor, Picture
from kvmlab.scenes.tables.forest import Forest, Spot
from kvmlab.scenes.tables.layout import Card, Layout, Line, View, part
from kvmlab.scenes.tables.rows import Row
from kvmlab.scenes.tables.stage import DUMP_ROWS, FIELD_ROWS, reach, reach_words

KINDS = {"rw": "RW", "ro": "RO", "dev": "DEV"}


def whole(forest: Forest, layout: Layout, view: View) -> Picture:
    """Return what all parts show, but for who acts."""
    shown: Picture = {}
    for card in layout.cards.values():
        shown.update(card_now(forest, card))
        for line in card.lines:
            shown.update(row_now(forest, card.spot, line, layout, view))
    return shown | entry_now(forest, view)


def who_now(actor: Actor, doing: str, flushes: int) -> Picture:
    """Return who acts, on whose wish, and how many flushes there have been of these VMs' TLB entries."""
    strip: Picture = {"w": (f"{actor} on", ""), "w.n": ("", ACTORS[actor].upper()), "w.do": ("", doing)}
    return strip | {"w.f": ("", ""), "w.f.t": ("", f"TLB flushes {flushes}")}


def card_now(forest: Forest, card: Card) -> Picture:
    """Return the head of a table and the link to it."""
    spot = card.spot
    vm, path = spot
    me, pa = part("t", spot), forest.tables.get(spot)
    leaked = pa in forest.leaked
    state = "off" if pa is None else "leak" if leaked else ""
    counts = " · ".join(map(str, forest.refs(spot))) if pa is not None else ""
    range_ = reach_words(spot) if path else f"pgd of guest {vm}: 1024 GiB"
    shown: Picture = {
        me: (state, ""),
        f"{me}.a": ("", "" if pa is None else f"{pa:#x}"),
        f"{me}.i": ("", "" if pa is None else "leaked: never freed" if leaked else range_),
        part("n", spot): ("", ""),
        f"{part('n', spot)}.t": ("", f"page_count {counts}" if counts else ""),
    }
    if path:
        shown[part("h", spot)] = (state, "")
        there = pa is not None and kind_of(forest.word(spot), len(path)) == "table"
        shown[part("l", spot)] = ("" if there else "off", "")
    return shown


def row_now(forest: Forest, spot: Spot, line: Line, layout: Layout, view: View) -> Picture:
    """Return a row: one entry, or what a span of entries comes to."""
    row, level = line.row, len(spot[1])
    state, middle, right = _links(forest, spot, row, layout) if level < 2 else _leaves(forest, spot, row)
    if spot not in forest.tables:
        state = "off"
    picked = view.picked or forest.last
    if picked and layout.seen(picked) == line.id:
        state += " pick"
    shown: Picture = {line.id: (state, ""), f"{line.id}.x": ("", right)}
    if level == 2:
        shown[f"{line.id}.m"] = ("", middle)
    return shown


def _links(forest: Forest, spot: Spot, row: Row, layout: Layout) -> tuple[str, str, str]:
    vm, path = spot
    entries = [(vm, (*path, index)) for index in range(row.first, row.last + 1)]
    words = [(entry, word) for entry in entries if (word := forest.word(entry))]
    if not words:
        return "inv", "", "empty"
    if row.inside:
        return "tab part", "", f"{len(words)} table{'s' if len(words) > 1 else ''}"
    entry, word = words[0]
    if kind_of(word, len(entry[1])) != "table":
        return "inv", "", "invalid"
    folded = entry not in layout.cards
    first, final = reach(entry)
    far = not path and final >> 32  # so long that there is no room for the sign and both of its ends
    range_ = f"{word & ADDRESS_MASK:#x}" if path else f"{first:#x}…" if far and folded else reach_words(entry)
    return "tab far" if far else "tab", "", "▸ " * folded + range_


def _leaves(forest: Forest, spot: Spot, row: Row) -> tuple[str, str, str]:
    found = forest.used(spot, row.first, row.last)
    kinds: Counter[str] = Counter()
    for attributes, count in Counter([word & ~ADDRESS_MASK for _, word in found]).items():
        kinds[leaf_kind(attributes)] += count
    invalid = kinds.pop("inv", 0)
    if not kinds:
        return "inv", "", "invalid" if invalid else "empty"
    state = next(iter(kinds)) if len(kinds) == 1 else "mix"
    pages = {((word & ADDRESS_MASK) >> 12) - index for index, word in found}
    if not row.inside:
        return state, f"pfn {(found[0][1] & ADDRESS_MASK) >> 12:#x}", KINDS[state]
    whole_ = len(found) == row.last - row.first + 1 and not invalid
    right = " ".join(f"{count} {KINDS[kind]}" for kind, count in sorted(kinds.items()))
    first = f"{(found[0][1] & ADDRESS_MASK) >> 12:#x}…" if len(pages) == 1 and state != "mix" else ""
    return state if whole_ else f"{state} part", first, right


def entry_now(forest: Forest, view: View) -> Picture:
    """Return the entry that is decoded: the one picked, or the one last written."""
    spot = view.picked or forest.last
    table = forest.tables.get((spot[0], spot[1][:-1])) if spot else None
    if spot is None or table is None:
        return _no_entry(view.picked, forest.last)
    word, level, index = forest.word(spot), len(spot[1]), spot[1][-1]
    fields = decode(word, level).fields
    kind = decode(word, level).kind
    chosen = "picked" if view.picked else "last written"
    shown: Picture = {
        "d": ("", ""),
        "d.t": ("", f"{index} of the level {level} table {table:#x}, guest {spot[0]}: {kind} ({chosen})"),
        "d.hex": ("", f"{word:#018x}"),
        "d.bits": ("", " ".join(one.bits for one in fields)),
    }
    shown.update(_fields_now(fields))
    first = index - index % DUMP_ROWS
    shown["x.t"] = ("", f"bytes from {table + 8 * first:#x} on")
    for number in range(DUMP_ROWS):
        word = forest.words.get(table + 8 * (first + number), 0)
        shown[f"x{number}"] = ("at" if first + number == index else "", "")
        shown[f"x{number}.i"] = ("", str(first + number))
        shown[f"x{number}.b"] = ("", word.to_bytes(8, "little").hex(" "))
    return shown


def _no_entry(picked: Spot | None, last: Spot | None) -> Picture:
    gone = "the table of the entry last written is gone" if last else "nothing has been written yet"
    says = "the table of the picked entry does not exist at this step" if picked else gone
    shown: Picture = {"d": ("dim", ""), "d.t": ("", says), "d.hex": ("", ""), "d.bits": ("", ""), "x.t": ("", "")}
    for number in range(DUMP_ROWS):
        shown |= {f"x{number}": ("", ""), f"x{number}.i": ("", ""), f"x{number}.b": ("", "")}
    return shown | _fields_now(())


def field_place(fields: tuple[DescriptorField, ...], number: int) -> int:
    """Return the line on which a field stands: the address and what is above it left, the rest right, the type last."""
    if fields[number].name == "type":
        return FIELD_ROWS - 1
    left = sum(one.low >= 12 for one in fields)
    return number if number < left else FIELD_ROWS // 2 + number - left


def _fields_now(fields: tuple[DescriptorField, ...]) -> Picture:
    shown: Picture = {}
    for place in range(FIELD_ROWS):
        me = f"d{place}"
        shown |= {me: ("off", "")} | {f"{me}.{half}": ("", "") for half in "pnbmk"}
    for number, one in enumerate(fields):
        me = f"d{field_place(fields, number)}"
        wide = one.high - one.low > 10
        spare = one.name in ("ignored", "reserved")
        shown[me] = ("spare" if spare else "", "")
        shown[f"{me}.p"] = ("", f"{one.high}:{one.low}" if one.high > one.low else str(one.low))
        shown[f"{me}.n"] = ("", one.name)
        shown[f"{me}.b"] = ("", f"{one.value:#x}" if wide else one.bits)
        meaning, comma, more = one.meaning.partition(", ")
        shown[f"{me}.m"], shown[f"{me}.k"] = ("", meaning + comma.strip()), ("", more)
    return shown
