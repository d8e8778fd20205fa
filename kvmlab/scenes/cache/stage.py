"""The cache scene's stage: the allocator, the tray across two lanes, the tables, and what each fault leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvmlab.scenes import svg
from kvmlab.scenes.cache.state import ROWS, SLOTS, Fault
from kvmlab.scenes.narrow import LARGER, larger, moved

LANES_Y, LANES_HEIGHT = 42, 292
TRAY_X, TRAY_WIDTH, MIDDLE = 164, 378, 353
COLUMNS, SLOT_WIDTH, SLOT_HEIGHT = 4, 91.5, 19
TOP = LANES_Y + 60
LIST_X, LIST_WIDTH = 554, 238
CHART_Y, CHART_HEIGHT, CHART_X, CHART_WIDTH = 342, 118, 68, 724
NARROW_MIDDLE, NARROW_TRAY, NARROW_LIST, NARROW_PITCH, MORE = 438, (198, 74), (10, 412), 330, 242
"""In a narrow panel: where the lanes part, where tray and tables stand, from one column of tables to the next, and how
much higher all that is; cache.css makes room for it below the drawing."""
BARS = 60
"""Faults that the chart has room for at first; with more the bars get thinner."""
BARS_LIMIT = 960
LABEL = (
    "A vCPU's memory cache: the page allocator, the 40 slots with the address of the frame in each, the guest's "
    "stage-2 tables made of such frames, and how many frames each fault has left."
)
COUNTS = (("root", "root table"), ("tables", "other tables"), ("tray", "in this cache"), ("else", "elsewhere"))


def capacity(faults: int) -> int:
    """Return how many bars the chart is laid out for.

    >>> capacity(0), capacity(61), capacity(5000)
    (60, 120, 960)
    """
    room = BARS
    while room < min(faults, BARS_LIMIT):
        room *= 2
    return room


def markup(faults: Sequence[Fault]) -> str:
    """Return the drawing of a run with these faults; a bar is hidden until its fault is over."""
    guest = svg.zone("zG", "guest", 0, 0, 800, 34, [
        moved(6, 0, [svg.text(84, 23, css="m b", size=16, part="g.do")]),
        svg.text(790, 22.5, css="end", size=14, part="g.run"),
    ])  # fmt: skip
    return svg.picture(800, CHART_Y + CHART_HEIGHT, LABEL, [
        guest,
        _lane("la", 0, MIDDLE, "MAY SLEEP", 100, (0, NARROW_MIDDLE)),
        _lane("lb", MIDDLE + 4, 800 - MIDDLE - 4, "MAY NOT SLEEP", 142, (NARROW_MIDDLE + 4, 796 - NARROW_MIDDLE)),
        *_lock(),
        *_allocator(),
        *_tray(),
        *_tables(),
        *_chart(faults),
    ])  # fmt: skip


def _lane(part: str, x: float, width: float, name: str, chip: float, narrow: tuple[float, float]) -> str:
    y = LANES_Y
    at, wide = narrow
    head = [
        svg.box(x, y, width, LANES_HEIGHT, css="box", radius=4),
        svg.box(x, y, chip, 20, css="zc", radius=4),
        svg.text(x + chip / 2, y + 14.6, name, css="zn mid"),
    ]
    return moved(at - x, 0, [svg.group(part, "zone kern lane", head)], x=x, y=y, wide=wide)


def _lock() -> Iterator[str]:
    y = LANES_Y + 5
    yield larger((112, y + 10), (130, y + 12), [svg.text(112, y + 10, "GFP_KERNEL, no lock held", css="q")])
    icon = svg.box(MIDDLE + 160, y, 12, 12, css="ic")
    lock = svg.group("lk", "lock", [icon, svg.text(MIDDLE + 179, y + 11, css="m", size=14, part="lk.t")])
    yield larger((MIDDLE + 160, y), (NARROW_MIDDLE + 184, y), [lock])


def _allocator() -> Iterator[str]:
    yield larger((8, TOP - 26), (10, NARROW_TRAY[1]), _frames())


def _frames() -> Iterator[str]:
    x, y, width = 8, TOP - 26, 144
    yield svg.text(x, y + 12, "page allocator", css="b", size=14)
    inside = [
        svg.box(x, y + 22, width, 60, css="c", radius=4),
        svg.ring(x, y + 22, width, 60),
        svg.text(x + 9, y + 40, "frames in use", css="q"),
        svg.text(x + width - 9, y + 71, css="m b end", size=26, part="al.t"),
    ]
    yield svg.group("al", "card", inside)
    for row, (key, name) in enumerate(COUNTS):
        at = y + 104 + 22 * row
        yield svg.text(x + 9, at, name, css="q")
        yield svg.text(x + width - 9, at, css="m b end", size=14, part=f"al.{key}")
    yield svg.group("fail", "fail", [
        svg.box(x, y + 190, width, 40, css="c", radius=4),
        svg.ring(x, y + 190, width, 40),
        svg.text(x + 9, y + 206, css="q", part="fail.a"),
        svg.text(x + 9, y + 223, css="b", part="fail.b"),
    ])  # fmt: skip


def _tray() -> Iterator[str]:
    yield larger((TRAY_X, TOP - 30), NARROW_TRAY, _slots())


def _slots() -> Iterator[str]:
    x, y = TRAY_X, TOP - 30
    height = LANES_Y + LANES_HEIGHT - y - 8
    head = [
        svg.box(x, y, TRAY_WIDTH, height, css="tb", radius=4),
        svg.ring(x, y, TRAY_WIDTH, height),
        svg.text(x + 8, y + 18, css="b", size=14, part="tray.n"),
        svg.text(x + TRAY_WIDTH - 8, y + 20, css="m b end", size=19, part="tray.t"),
    ]
    yield svg.group("tray", "card", head)
    for slot in range(SLOTS):
        row, column = divmod(SLOTS - 1 - slot, COLUMNS)  # the top of the cache stands at the top left
        at_x, at_y = x + 6 + SLOT_WIDTH * column, TOP + row * (SLOT_HEIGHT + 1)
        yield svg.group(f"s{slot}", "slot", [
            svg.box(at_x, at_y, SLOT_WIDTH - 2, SLOT_HEIGHT - 1, css="c"),
            svg.ring(at_x, at_y, SLOT_WIDTH - 2, SLOT_HEIGHT - 1, flag=False),
            svg.text(at_x + (SLOT_WIDTH - 2) / 2, at_y + 13.6, css="m mid", size=12.5, part=f"s{slot}.t"),
        ])  # fmt: skip
    yield svg.text(
        x + 8, y + height - 8, "taken from the top, slot 39 first; filled to 40 when below 2", css="q3", size=12.5
    )


def _tables() -> Iterator[str]:
    x, y = LIST_X, TOP - 26
    left, top = NARROW_LIST
    yield larger((x, y), NARROW_LIST, [
        svg.text(x, y + 12, "tables of the guest", css="b", size=14),
        svg.text(x + LIST_WIDTH, y + 12, css="m b end", size=14, part="tb.n"),
    ])  # fmt: skip
    for row in range(ROWS):
        at = TOP + row * (SLOT_HEIGHT + 1)
        column, line = divmod(row, ROWS // 2)
        table = svg.group(f"t{row}", "table", [
            svg.box(x, at, LIST_WIDTH, SLOT_HEIGHT - 1, css="c"),
            svg.ring(x, at, LIST_WIDTH, SLOT_HEIGHT - 1, flag=False),
            svg.text(x + 6, at + 13.6, css="m", size=12.5, part=f"t{row}.t"),
            svg.text(x + LIST_WIDTH - 6, at + 13.6, css="m end", size=12.5, part=f"t{row}.e"),
        ])  # fmt: skip
        place = (left + column * NARROW_PITCH, top + 26 + LARGER * line * (SLOT_HEIGHT + 1))
        yield larger((x, at), place, [table])
    low = LANES_Y + LANES_HEIGHT - 17
    more = svg.text(x, low, css="q3", size=12.5, part="tb.more")
    yield larger((x, low), (left + NARROW_PITCH, top + 15), [more])


def _chart(faults: Sequence[Fault]) -> Iterator[str]:
    """Yield the count that each fault leaves, as bars; a full one has a cap, a failed one a cross."""
    yield moved(0, MORE, _bars(faults))


def _bars(faults: Sequence[Fault]) -> Iterator[str]:
    room = capacity(len(faults))
    pitch, floor = CHART_WIDTH / room, CHART_Y + CHART_HEIGHT - 18
    top, unit = CHART_Y + 10, (CHART_HEIGHT - 28) / SLOTS
    for count, name in ((SLOTS, "40"), (2, "2")):
        y = floor - unit * count
        yield svg.line(f"M{CHART_X} {svg.number(y)}H{CHART_X + CHART_WIDTH}", css="level")
        yield svg.text(CHART_X - 6, y + 4.5, name, css="q m end", size=12.5)
    yield svg.text(0, top + 26, "frames", css="q", size=12.5)
    yield svg.text(0, top + 42, "left", css="q", size=12.5)
    yield svg.text(CHART_X, floor + 15, "fault 1", css="q3", size=12.5)
    yield svg.text(CHART_X + CHART_WIDTH, floor + 15, css="q end", size=12.5, part="ch.t")
    wide = max(0.6, pitch * 0.72)
    for number, fault in enumerate(faults[:room]):
        x, height = CHART_X + pitch * number, max(unit * fault.nobjs, 0.6)
        bar = svg.box(x, floor - height, wide, height, css="rod", radius=0)
        sign = ""
        if fault.topped_up:
            sign = svg.line(f"M{svg.number(x - 1)} {svg.number(top - 3)}h{svg.number(wide + 2)}", css="cap")
        elif fault.failed:
            middle, low = svg.number(x + wide / 2), svg.number(floor - height - 13)
            sign = svg.line(f"M{middle} {low}m-4 0l8 8m0 -8l-8 8", css="cross")
        yield svg.group(f"f{number}", "bar", [bar, sign])
