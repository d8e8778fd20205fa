"""The tables scene's stage: every part laid out once, under the id by which it changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from kvmlab.scenes import svg
from kvmlab.scenes.moment import SHIFTS
from kvmlab.scenes.narrow import LARGER, larger, moved
from kvmlab.scenes.tables.forest import Spot
from kvmlab.scenes.tables.layout import (
    COLUMN_WIDTH,
    COLUMN_X,
    HEAD,
    NARROW_WIDTH,
    NARROW_X,
    ROW,
    Card,
    Layout,
    Line,
    part,
)

TREE_TOP, LEAST_HEIGHT = 66, 200
DUMP_ROWS, FIELD_ROWS = 8, 14
ENTRY_HEIGHT, FIELD_PITCH = 200, 19.6
ENTRY_MORE = 178
"""What the entry grows by in a narrow panel; tables.css makes room for it below the drawing."""
COLUMNS = (("level 1", "39:30", "1 GiB each"), ("level 2", "29:21", "2 MiB each"), ("level 3", "20:12", "4 KiB each"))
LABEL = (
    "The stage-2 tables as a tree: level 1, level 2 and level 3 with their entries in use and their page_count, "
    "and one entry decoded field by field beside the bytes in memory."
)


def reach(spot: Spot, last: int | None = None) -> tuple[int, int]:
    """Return the first and the last IPA that an entry (to entry `last` of its table), or the table under it, covers.

    >>> [hex(ipa) for ipa in reach((0, (2, 1)))]
    ['0x80200000', '0x803fffff']
    """
    path = spot[1]
    start = sum(index << shift for index, shift in zip(path, SHIFTS, strict=False))
    size = 1 << (SHIFTS[len(path) - 1] if path else 40)
    return start, start + size * ((path[-1] if last is None else last) - path[-1] + 1 if path else 1) - 1


def reach_words(spot: Spot, last: int | None = None) -> str:
    """Return the IPAs that something covers, in words; beyond 4 GiB the second without its 0x, for room.

    >>> reach_words((0, (2,))), reach_words((0, (1023,)))
    ('0x80000000–0xbfffffff', '0xffc0000000–ffffffffff')
    """
    first, final = reach(spot, last)
    return f"{first:#x}–{final:#x}" if final < 1 << 32 else f"{first:#x}–{final:x}"


def markup(layout: Layout) -> str:
    """Return the drawing of a whole run; everything that is not there yet is hidden at its place."""
    height = max(layout.height, LEAST_HEIGHT)
    links = [_link(layout, card) for spot, card in layout.cards.items() if spot[1]]
    cards = [_card(layout, card) for card in layout.cards.values()]
    entry_top = TREE_TOP + height + 10
    parts = [_who(), *_columns(), *links, *cards, *_entry(entry_top)]
    return svg.picture(800, entry_top + ENTRY_HEIGHT, LABEL, parts, role="group")


def button(me: str, css: str, says: str, inside: Iterable[str]) -> str:
    """Return parts that can be picked with mouse or keyboard."""
    name = escape(me)
    return (
        f'<g data-id="{name}" class="{css}" data-pick="{name}" role="button" tabindex="0" aria-label="{escape(says)}">'
        f"{''.join(inside)}</g>"
    )


def _who() -> str:
    chip = svg.box(0, 0, 97, 20, css="zc", radius=4) + svg.text(48.5, 14.6, css="zn mid", part="w.n")
    what = moved(14, 0, [svg.text(110, 22.5, css="m b", size=15, part="w.do")])
    flushes = svg.group("w.f", "", [svg.text(790, 22.5, css="end", size=13, part="w.f.t")])
    return svg.group("w", "zone", [svg.box(0, 0, 800, 34, css="box", radius=4), chip, what, flushes])


def _column(level: int, inside: Iterable[str]) -> str:
    """Return what stands in a column, and how much further left and how much wider that is in a narrow panel."""
    return moved(NARROW_X[level] - COLUMN_X[level], 0, inside, css="mv column", more=_more(level))


def _more(level: int) -> int:
    return NARROW_WIDTH[level] - COLUMN_WIDTH[level]


def _columns() -> Iterator[str]:
    for level, (title, bits, each) in enumerate(COLUMNS):
        x, width = COLUMN_X[level], COLUMN_WIDTH[level]
        yield _column(level, [
            svg.text(x, 56, title, css="b", size=14),
            moved(2, 0, [svg.text(x + 62, 56, f"IPA {bits}", css="q m", size=12.5)]),
            svg.text(x + width, 56, each if level != 1 else each.removesuffix(" each"), css="q3 end", size=12.5),
        ])  # fmt: skip


def _card(layout: Layout, card: Card) -> str:
    x, y, width = card.x, TREE_TOP + card.y, card.width
    me, spot = part("t", card.spot), card.spot
    frame = svg.box(x, y, width, card.height, css="tb", radius=3) + svg.ring(x, y, width, card.height)
    count = part("n", spot)
    words = [
        svg.text(x + 6, y + 15, css="th m", size=13, part=f"{me}.a"),
        svg.group(count, "", [svg.text(x + width - 6, y + 15, css="end refs", size=12.5, part=f"{count}.t")]),
        svg.text(x + 6, y + 31, css="q m", size=12.3, part=f"{me}.i"),
    ]
    if spot[1]:
        ground = svg.box(x + 1, y + 1, width - 2, HEAD - 4, css="hit")
        words = [button(part("h", spot), "head", f"fold the level {len(spot[1]) + 1} table", [ground, *words])]
    empty = [] if card.lines else [svg.text(x + 12, y + HEAD + 14, "all empty", css="q3", size=12.5)]
    table = [frame, *words, *empty, *(_row(layout, card, line) for line in card.lines)]
    wide = NARROW_WIDTH[len(spot[1])]
    return _column(len(spot[1]), [moved(0, 0, [svg.group(me, "table", table)], wide=wide)])


def _row(layout: Layout, card: Card, line: Line) -> str:
    level = len(card.spot[1])
    indent = 5 + 9 * line.depth
    x, y, width = card.x + indent, TREE_TOP + card.y + line.y, card.width - 5 - indent
    me, row = line.id, line.row
    frame = svg.box(x, y, width, ROW, css="c") + _pattern(x, y, width) + svg.ring(x, y, width, ROW)
    bar = svg.box(x, y, 5, ROW, css="bar", radius=1)
    child = (card.spot[0], (*card.spot[1], row.first))
    folded = not row.inside and level < 2 and child not in layout.cards
    sign = "▾ " if line.open else "▸ " if row.inside else ""
    words = [svg.text(x + 9, y + 15, sign + row.index, css="m b", size=13)]
    if level == 2:
        words.append(svg.text(x + width - (66 if line.depth else 74), y + 14.6, css="end m", size=12.3, part=f"{me}.m"))
    words.append(svg.text(x + width - 7, y + 14.6, css="end m", size=12.3 if level == 0 else 12.5, part=f"{me}.x"))
    name = f"level {level + 1}, {'entries' if row.inside else 'entry'} {row.index.replace('–', ' to ')}"
    does = ("fold" if line.open else "unfold") if row.inside else "show the table" if folded else "decode"
    return moved(0, 0, [button(me, "row", f"{name}: {does}", [frame, bar, *words])], wide=width + _more(level))


def _pattern(x: float, y: float, width: float) -> str:
    stripes = svg.box(x, y, width, ROW, css="stripes", extra=' fill="url(#{uid}stripes)"')
    dots = svg.box(x, y, width, ROW, css="dots", extra=' fill="url(#{uid}dots)"')
    return stripes + dots + svg.line(f"M{svg.number(x + width - 9)} {svg.number(y - 1)}h10v10z", css="cut")


def _link(layout: Layout, card: Card) -> str:
    vm, path = card.spot
    above = layout.cards[(vm, path[:-1])]
    line, level = layout.line_of(card.spot), len(path)
    y, goal_y = TREE_TOP + above.y + (line.y if line else 0) + ROW / 2, TREE_TOP + card.y + 11
    wide = _arrow(above.x + above.width - 5, y, card.x, goal_y)
    narrow = _arrow(NARROW_X[level - 1] + NARROW_WIDTH[level - 1] - 5, y, NARROW_X[level], goal_y)
    ways = [f'<g class="in-wide">{wide}</g>', f'<g class="in-narrow">{narrow}</g>']
    return svg.group(part("l", card.spot), "link", ways)


def _arrow(x: float, y: float, goal_x: float, goal_y: float) -> str:
    bend = 0.58 * (goal_x - x)
    points = [svg.number(at) for at in (x, y, x + bend, y, goal_x - bend, goal_y, goal_x - 8, goal_y)]
    head = f"M{svg.number(goal_x - 1)} {svg.number(goal_y)}l-8 -4.5v9z"
    return svg.line("M{} {}C{} {} {} {} {} {}".format(*points), css="l") + svg.line(head, css="hd")


def _entry(y: float) -> Iterator[str]:
    """Lay out the entry that is decoded: its words, its bits, the bytes around it, its fields."""
    inside = [
        svg.box(0, y, 800, ENTRY_HEIGHT, css="c", radius=4),
        larger((10, y + 18), (10, y + 22), [
            svg.text(10, y + 18, "Entry", css="b", size=14), svg.text(62, y + 18, css="q", size=13, part="d.t"),
        ]),
        larger((790, y + 18), (790, y + 48), [svg.text(790, y + 18, css="m b end", size=14, part="d.hex")]),
        larger((10, y + 41), (10, y + 48), [svg.text(10, y + 41, "bits 63–0", css="q3", size=12.5)]),
        larger((790, y + 41), (790, y + 73), [svg.text(790, y + 41, css="m end", size=14, part="d.bits")]),
        larger((10, y + 63), (10, y + 98), [svg.text(10, y + 63, css="q3", size=12.5, part="x.t")]),
    ]  # fmt: skip
    inside += [_dump_row(number, y) for number in range(DUMP_ROWS)]
    inside += [_field(number, y) for number in range(FIELD_ROWS)]
    yield svg.group("d", "entry", inside)


def _dump_row(number: int, top: float) -> str:
    y = top + 70 + 15.8 * number
    column, row = divmod(number, DUMP_ROWS // 2)
    frame = svg.box(10, y, 212, 15, css="c2") + svg.ring(10, y, 212, 15, flag=False)
    words = svg.text(40, y + 11.8, css="q end m", size=12.3, part=f"x{number}.i")
    content = svg.text(50, y + 11.8, css="m", size=12.3, part=f"x{number}.b")
    entry = svg.group(f"x{number}", "dump", [frame, words, content])
    return larger((10, y), (10 + 412 * column, top + 105 + 20 * row), [entry])


def _field(number: int, top: float) -> str:
    """Lay out a field: the upper half of the word on the left, the lower half on the right."""
    column, row = divmod(number, FIELD_ROWS // 2)
    x, width, bits = ((228, 290, 122), (518, 276, 110))[column]
    y = top + 56 + FIELD_PITCH * row
    me = f"d{number}"
    frame = svg.box(x, y, width, 17.5, css="c2") + svg.ring(x, y, width, 17.5, flag=False)
    words = [
        svg.text(x + 42, y + 13, css="m end q", size=12.3, part=f"{me}.p"),
        svg.text(x + 49, y + 13, css="", size=12.5, part=f"{me}.n"),
        svg.text(x + bits, y + 13, css="m b", size=12.3, part=f"{me}.b"),
        svg.text(x + width - 4, y + 13, css="end", size=12.3, part=f"{me}.m"),
        svg.text(x + width - 4, y + 13 + FIELD_PITCH, css="end", size=12.3, part=f"{me}.k"),
    ]
    place = (10 + 412 * column, top + 198 + LARGER * FIELD_PITCH * row)
    return larger((x, y), place, [svg.group(me, "fld", [frame, *words])])
