"""The fault scene's stage: every part laid out once, under the id by which it changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kvmlab.scenes import svg
from kvmlab.scenes.fault.layout import ROW, Link, Row, Table, Tree
from kvmlab.scenes.moment import Path
from kvmlab.scenes.narrow import moved

HARDWARE_TOP, TREE_TOP, PAGE_X, PAGE_WIDTH = 42, 180, 606, 180
TREE_HEIGHT = 221
HARDWARE_HEIGHT, KERNEL_HEIGHT = 124, 119
HARDWARE_MORE, KERNEL_MORE = 50, 93
"""What the two zones grow by in a narrow panel; fault.css makes room for the sum below the drawing."""
SLOTS, TLB_CELLS = 40, 4
COLUMNS = (
    (8, 39, 30, "level 1", 1024),
    (216, 29, 21, "level 2", 512),
    (408, 20, 12, "level 3", 512),
    (600, 11, 0, "offset", 4096),
)
FIELDS = (
    (133, 72, "58:55 sw", 55, 4),
    (208, 82, "54 XN", 54, 1),
    (293, 89, "39:12 frame", 12, 28),
    (385, 72, "10 AF", 10, 1),
    (460, 59, "9:8 SH", 8, 2),
    (522, 72, "7:6 HAP", 6, 2),
    (597, 115, "5:2 MemAttr", 2, 4),
    (715, 72, "1:0 type", 0, 2),
)


def name(kind: str, path: Path) -> str:
    """Return the id of a part of the tree: "t" table, "r" row, "l" link, "p" host page.

    >>> name("r", (2, 0, 511)), name("t", ())
    ('r2.0.511', 't')
    """
    return kind + ".".join(map(str, path))


def markup(tree: Tree, label: str) -> str:
    """Return the drawing of a whole run; everything that is not there yet is hidden at its place."""
    height = max(tree.height, TREE_HEIGHT)
    bottom = TREE_TOP + height + 9
    rows = [row for table in tree.tables for row in table.rows if len(row.path) == 3]
    guest = svg.zone("zG", "guest", 0, 0, 800, 34, [
        moved(6, 0, [svg.text(84, 23, css="m b", size=16, part="g.do")]),
        svg.text(790, 22.5, css="end", size=14, part="g.run"),
    ])  # fmt: skip
    hardware = svg.zone("zH", "hw", 0, HARDWARE_TOP, 800, HARDWARE_HEIGHT, _hardware())
    host = svg.zone("zO", "host", 596, TREE_TOP - 4, 204, height + 5, [
        svg.text(666, TREE_TOP + 11, css="m q", part="o.hva"), *(_page(row) for row in rows),
    ])  # fmt: skip
    trees = [*(_table(table) for table in tree.tables), *(_link(link) for link in tree.links)]
    kernel = svg.zone("zK", "kern", 0, bottom, 800, KERNEL_HEIGHT, _kernel(bottom))
    parts = [
        _ground(0, 0, 0, 34, [guest]),
        _ground(0, 0, HARDWARE_TOP, HARDWARE_HEIGHT + HARDWARE_MORE, [hardware]),
        _ground(HARDWARE_MORE, 596, TREE_TOP - 4, height + 5, [host]),
        moved(0, HARDWARE_MORE, trees),
        _ground(HARDWARE_MORE, 0, bottom, KERNEL_HEIGHT + KERNEL_MORE, [kernel]),
    ]
    return svg.picture(800, bottom + 120, label, parts)


def _ground(dy: float, x: float, y: float, height: float, zone: Iterable[str]) -> str:
    """Return a zone, with its corner (where its chip grows from) and its height in a narrow panel."""
    return moved(0, dy, zone, x=x, y=y, high=height)


def _hardware() -> Iterator[str]:
    y = HARDWARE_TOP
    yield moved(16, 2, [svg.text(108, y + 15.2, css="m", part="h.vttbr")])
    registers = svg.group("h.reg", "", [svg.text(334, y + 15.2, css="m", part="h.reg.t")])
    yield moved(-326, 24, [registers])
    yield moved(0, 24, [*_address(y), *_tlb(y)])


def _address(y: float) -> Iterator[str]:
    for column, (x, high, low, title, entries) in enumerate(COLUMNS):
        width = 16 * (high - low + 1)
        yield svg.text(x, y + 36, str(high), css="q3 m", size=12.5)
        yield svg.text(x + width, y + 36, str(low), css="q3 m end", size=12.5)
        yield svg.text(x + width / 2, y + 36, title, css="b mid", size=14)
        for bit in range(high, low - 1, -1):
            left = x + 16 * (high - bit)
            cell = svg.box(left, y + 41, 16, 20, css="c", radius=0)
            yield svg.group(
                f"b{bit}", "bit", [cell, svg.text(left + 8, y + 56, css="m mid", size=13.5, part=f"b{bit}.t")]
            )
        frame = svg.box(x, y + 65, width, 25, css="c") + svg.box(x, y + 65, width, 25, css="ring", radius=3)
        words = svg.text(x + 8, y + 84.5, css="m b", size=19, part=f"ix{column}.t")
        yield svg.group(
            f"ix{column}", "ix", [frame, words, svg.text(x + width - 8, y + 83, f"of {entries}", css="q3 end")]
        )


def _tlb(y: float) -> Iterator[str]:
    count = moved(7, 0, [svg.text(42, y + 113, css="m q", part="h.tlb.n")])
    yield svg.group("h.tlb", "", [svg.text(8, y + 113, "TLB", css="b", size=14), count])
    for entry in range(TLB_CELLS):
        at = 66 + 183.5 * entry
        frame = svg.box(at, y + 98, 181, 20, css="c") + svg.ring(at, y + 98, 181, 20)
        words = svg.text(at + 3, y + 112.6, css="m", size=12, part=f"tlb{entry}.t")
        row, column = divmod(entry, 2)
        yield moved(84 + 356 * column - at, 26 * row, [svg.group(f"tlb{entry}", "entry", [frame, words])])


def _table(table: Table) -> str:
    x, y, width = table.x, table.y, table.width
    me = name("t", table.path)
    frame = svg.box(x, y, width, table.height, css="tb", radius=3) + svg.ring(x, y, width, table.height)
    head = svg.text(x + 5, y + 15.5, css="th m", size=12.5, part=f"{me}.h")
    refs = svg.group(f"{me}.n", "", [svg.text(x + width - 5, y + 15.5, css="end refs", size=12.5, part=f"{me}.n.t")])
    gaps = [svg.text(x + 12, at, words, css="q3", size=12.5) for at, words in table.gaps]
    return svg.group(me, "table", [frame, head, refs, *(_row(table, row) for row in table.rows), *gaps])


def _row(table: Table, row: Row) -> str:
    x, y, width = table.x + 5, row.y, table.width - 10
    me = name("r", row.path)
    frame = svg.box(x, y, width, ROW, css="c") + _pattern(x, y, width) + svg.ring(x, y, width, ROW)
    words = svg.text(x + 8, y + 15, str(row.path[-1]), css="m b", size=14)
    value = svg.text(x + width - 7, y + 14.8, css="end m", size=13.5, part=f"{me}.x")
    cross = svg.line(f"M{svg.number(x + width + 2)} {svg.number(y + 10)}h17m-5 -6l12 12m0 -12l-12 12", css="xx")
    return svg.group(me, "row", [frame, words, value, cross])


def _pattern(x: float, y: float, width: float) -> str:
    stripes = svg.box(x, y, width, ROW, css="stripes", extra=' fill="url(#{uid}stripes)"')
    dots = svg.box(x, y, width, ROW, css="dots", extra=' fill="url(#{uid}dots)"')
    return stripes + dots + svg.line(f"M{svg.number(x + width - 9)} {svg.number(y - 1)}h10v10z", css="cut")


def _page(row: Row) -> str:
    me = name("p", row.path)
    frame = (
        svg.box(PAGE_X, row.y, PAGE_WIDTH, ROW, css="c")
        + _pattern(PAGE_X, row.y, PAGE_WIDTH)
        + svg.ring(PAGE_X, row.y, PAGE_WIDTH, ROW)
    )
    value = svg.text(PAGE_X + 8, row.y + 15, css="m b", size=14, part=f"{me}.t")
    kind = svg.text(PAGE_X + PAGE_WIDTH - 12, row.y + 14.8, css="end m", size=13.5, part=f"{me}.k")
    return svg.group(me, "page", [frame, value, kind])


def _link(link: Link) -> str:
    (x, y), *rest = link.points
    end = rest[-1]
    path = f"M{svg.number(x)} {svg.number(y)}" + "".join(
        f"L{svg.number(a)} {svg.number(b)}" for a, b in [*rest[:-1], (end[0] - 7, end[1])]
    )
    head = f"M{svg.number(end[0] - 1)} {svg.number(end[1])}l-8 -4.5v9z"
    return svg.group(name("l", link.path), "link", [svg.line(path, css="l"), svg.line(head, css="hd")])


def _kernel(y: float) -> Iterator[str]:
    lock = svg.box(133, y + 5.5, 12, 12, css="ic")
    yield svg.group("k.lk", "lock", [lock, svg.text(152, y + 16.6, css="m", size=14, part="k.lk.t")])
    yield svg.group("k.seq", "", [svg.text(332, y + 16.6, css="m", size=14, part="k.seq.t")])
    yield moved(-5, 0, [svg.text(10, y + 42, css="b", size=14, part="k.name")])
    yield moved(5, 0, [svg.group("k.cache", "", [svg.text(122, y + 42, css="end m b", size=14, part="k.cache.t")])])
    for slot in range(SLOTS):
        x = 133 + 16.35 * slot
        frame = svg.box(x, y + 27, 14.4, 20, css="c") + svg.ring(x, y + 27, 14.4, 20, flag=False)
        yield svg.group(f"c{slot}", "slot", [frame])
    yield descriptor(y)


def descriptor(y: float) -> str:
    """Return the fields of one descriptor, with their upper edge 54 below `y`; ``descriptor_now`` fills them."""
    return svg.group("d", "fields", [
        svg.text(10, y + 69, "descriptor", css="b", size=14),
        moved(110, -18, [svg.text(10, y + 87, css="m", size=12, part="d.hex")]),
        moved(323, -36, [svg.text(7, y + 105, css="q", part="d.at")]),
        *(_field(index, y) for index in range(len(FIELDS))),
    ])  # fmt: skip


def _field(index: int, y: float) -> str:
    x, width, title, _, _ = FIELDS[index]
    words = [
        svg.box(x, y + 54, width, 60, css="c") + svg.ring(x, y + 54, width, 60, flag=False),
        svg.text(x + 7, y + 69, title, css="q", size=12.5),
        svg.text(x + 7, y + 87, css="m b", size=15, part=f"d{index}.b"),
        svg.text(x + 7, y + 106, css="", size=12.5, part=f"d{index}.m"),
    ]
    row, column = divmod(index, 4)
    return moved(10 + 197 * column - x, 26 + 66 * row, [svg.group(f"d{index}", "fld", words)])
