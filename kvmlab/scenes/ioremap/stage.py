"""The ioremap scene's stage: the guest's pages as a line, the call with its small cache, and one descriptor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvmlab.scenes import svg
from kvmlab.scenes.fault.stage import descriptor
from kvmlab.scenes.ioremap.line import CELL, Cell

LINE_Y, ROW_PITCH, CELL_HEIGHT = 42, 64, 40
KERNEL_Y = LINE_Y + 28 + 3 * ROW_PITCH + 4
KERNEL_HEIGHT = 180
STACK_SLOTS = 2
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
        svg.text(84, 23, css="m b", size=16, part="g.do"),
        svg.text(790, 22.5, css="end", size=14, part="g.run"),
    ])  # fmt: skip
    kernel = svg.zone("zK", "kern", 0, KERNEL_Y, 800, KERNEL_HEIGHT, _kernel())
    return svg.picture(800, KERNEL_Y + KERNEL_HEIGHT, LABEL, [guest, *_key(), *map(_cell, cells), kernel])


def _key() -> Iterator[str]:
    x = 4.0
    for css, short, words in KEY:
        swatch = [*_ground(x, LINE_Y + 2, 40, 19), svg.text(x + 20, LINE_Y + 16, short, css="m mid", size=12.5)]
        yield f'<g class="page {css}">{"".join(swatch)}</g>'
        yield svg.text(x + 46, LINE_Y + 16, words, css="q", size=12.5)
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
    yield svg.text(94, y + 16.6, css="m b", size=14, part="k.call")
    yield svg.group("k.lk", "lock", [lock, svg.text(708, y + 16.6, css="m", size=12.5, part="k.lk.t")])
    yield svg.text(10, y + 51, "cache on the stack", css="b", size=14)
    for slot in range(STACK_SLOTS):
        x = 168 + 97 * slot
        yield svg.group(f"c{slot}", "slot", [
            svg.box(x, y + 34, 92, 26, css="c"),
            svg.ring(x, y + 34, 92, 26, flag=False),
            svg.text(x + 46, y + 51.5, css="m mid", size=12.5, part=f"c{slot}.t"),
        ])  # fmt: skip
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
    yield descriptor(y + 20)
    for line, at in enumerate((153, 170)):
        yield svg.text(10, y + at, css="q", part=f"d.note{line}")
