"""The ioremap scene's stage: the guest's pages as a line, the call with its small cache, and one descriptor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvmlab.scenes import svg
from kvmlab.scenes.fault.stage import descriptor
from kvmlab.scenes.ioremap.line import CELL, Cell
from kvmlab.scenes.narrow import larger, moved

LINE_Y, ROW_PITCH, CELL_HEIGHT = 42, 64, 40
KERNEL_Y = LINE_Y + 28 + 3 * ROW_PITCH + 4
KERNEL_HEIGHT = 180
STACK_SLOTS = 2
KEY_MORE, KERNEL_MORE = 36, 144
"""What key and kernel grow by in a narrow panel; ioremap.css makes room for the sum below the drawing."""
LABEL = (
    "Guest pages in order of their address: memory filled by faults, devices mapped ahead, holes; the call that maps "
    "a device, its cache of two frames on the stack, and the descriptor last read or written, field by field."
)
KEY = (
    ("rw", "RW", "memory, mapped by a fault"),
    ("dev", "DEV", "device, mapped ahead"),
    ("ram", "RAM", "memory, not mapped yet"),
    ("hole", "hole", "neither"),
)


def markup(cells: Sequence[Cell]) -> str:
    """Return the drawing for a line of pages."""
    guest = svg.zone("zG", "guest", 0, 0, 800, 34, [
        moved(6, 0, [svg.text(84, 23, css="m b", size=16, part="g.do")]),
        svg.text(790, 22.5, css="end", size=14, part="g.run"),
    ])  # fmt: skip
    kernel = svg.zone("zK", "kern", 0, KERNEL_Y, 800, KERNEL_HEIGHT, _kernel())
    parts = [
        guest,
        *_key(),
        moved(0, KEY_MORE, map(_cell, cells)),
        moved(0, KEY_MORE, [kernel], x=0, y=KERNEL_Y, high=KERNEL_HEIGHT + KERNEL_MORE),
    ]
    return svg.picture(800, KERNEL_Y + KERNEL_HEIGHT, LABEL, parts)


def _key() -> Iterator[str]:
    x = 4.0
    for number, (css, short, words) in enumerate(KEY):
        swatch = [*_ground(x, LINE_Y + 2, 40, 19), svg.text(x + 20, LINE_Y + 16, short, css="m mid", size=12.5)]
        row, column = divmod(number, 2)
        yield larger((x, LINE_Y + 2), (8 + 390 * column, LINE_Y + 2 + 28 * row), [
            f'<g class="page {css}">{"".join(swatch)}</g>', svg.text(x + 46, LINE_Y + 16, words, css="q", size=12.5),
        ])  # fmt: skip
        x += 64 + 6.9 * len(words)


def _ground(x: float, y: float, width: float, height: float) -> Iterator[str]:
    yield svg.box(x, y, width, height, css="c")
    yield svg.box(x, y, width, height, css="stripes", extra=' fill="url(#{uid}stripes)"')
    yield svg.box(x, y, width, height, css="dots", extra=' fill="url(#{uid}dots)"')
    yield svg.line(f"M{svg.number(x + width - 9)} {svg.number(y - 1)}h10v10z", css="cut")


def _cell(cell: Cell) -> str:
    x, y, me = cell.x, LINE_Y + 28 + cell.row * ROW_PITCH, f"p{cell.gfn:x}"
    middle = x + CELL / 2
    inside = [
        *_ground(x, y + 18, CELL, CELL_HEIGHT),
        svg.ring(x, y + 18, CELL, CELL_HEIGHT),
        svg.text(middle, y + 35, css="m b mid", size=14, part=f"{me}.k"),
        svg.text(middle, y + 51.5, css="m mid", size=12.5, part=f"{me}.t"),
    ]
    head = svg.text(x, y + 13, f"{cell.gfn << 12:#x}", css="q m", size=12.5) if cell.leads else ""
    return head + svg.group(me, "page", inside)


def _kernel() -> Iterator[str]:
    y = KERNEL_Y
    lock = svg.box(690, y + 5.5, 12, 12, css="ic")
    yield moved(17, 2, [svg.text(94, y + 16.6, css="m b", size=14, part="k.call")])
    held = svg.group("k.lk", "lock", [lock, svg.text(708, y + 16.6, css="m", size=12.5, part="k.lk.t")])
    yield larger((690, y + 5.5), (662, y + 38), [held])
    yield larger((10, y + 51), (10, y + 54), _stack())
    yield larger((366, y + 30), (10, y + 72), _counts())
    yield moved(0, 50, [descriptor(y + 20)])
    for line, at in enumerate((153, 170)):
        yield moved(0, 143 + 3 * line, [svg.text(10, y + at, css="q", part=f"d.note{line}")])


def _stack() -> Iterator[str]:
    y = KERNEL_Y
    yield svg.text(10, y + 51, "cache on the stack", css="b", size=14)
    for slot in range(STACK_SLOTS):
        x = 168 + 97 * slot
        yield svg.group(f"c{slot}", "slot", [
            svg.box(x, y + 34, 92, 26, css="c"),
            svg.ring(x, y + 34, 92, 26, flag=False),
            svg.text(x + 46, y + 51.5, css="m mid", size=12.5, part=f"c{slot}.t"),
        ])  # fmt: skip


def _counts() -> Iterator[str]:
    y = KERNEL_Y
    for x, width, part, name in (
        (366, 132, "n.map", "pages mapped"),
        (504, 132, "n.tab", "tables made"),
        (642, 150, "n.live", "frames in use"),
    ):
        yield svg.group(part, "card", [
            svg.box(x, y + 30, width, 34, css="c", radius=4),
            svg.ring(x, y + 30, width, 34),
            svg.text(x + 8, y + 51.5, name, css="q", size=12.5),
            svg.text(x + width - 8, y + 53, css="m b end", size=17, part=f"{part}.t"),
        ])  # fmt: skip
