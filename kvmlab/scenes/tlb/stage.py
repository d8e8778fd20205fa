"""The TLB scene's stage: what is looked for, a TLB for each CPU, the guests' VMIDs; every part laid out once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kvmlab.scenes import svg
from kvmlab.scenes.narrow import moved
from kvmlab.scenes.tlb.state import GUESTS_DRAWN

WIDTH, ROWS, CPUS_DRAWN = 800, 4, 4
CELL_HEIGHT, ROW_PITCH, GAP, GUTTER = 54, 60, 6, 48
GUEST_HEIGHT, HARDWARE_TOP, BLOCKS_TOP = 34, 42, 100
BLOCK_HEIGHT = 24 + ROWS * ROW_PITCH + 20
HARDWARE_HEIGHT = BLOCKS_TOP - HARDWARE_TOP + BLOCK_HEIGHT + 6
KERNEL_TOP = HARDWARE_TOP + HARDWARE_HEIGHT + 8
KERNEL_HEIGHT = 82
KEY_TOP = KERNEL_TOP + KERNEL_HEIGHT + 7
HEIGHT = KEY_TOP + 22
MORE = BLOCK_HEIGHT + GAP
"""What the hardware's zone grows by in a narrow panel, where the TLBs stand below each other; tlb.css makes room."""
SOUGHT = (("kv", 84, 114), ("ka", 204, 96), ("kp", 306, 150), ("ks", 462, 84), ("kr", 552, 240))
"""What is looked for, and the answer: id, x and width."""
KEY = (("can", 8, "can hit now"), ("not", 160, "other VMID: cannot hit"), ("can stale", 390, "stale: tables differ"))
PATTERN = (
    '<defs><pattern id="{uid}hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path d="M0 0v7M0 0h7" class="hatching"/></pattern></defs>'
)


@dataclass(frozen=True)
class Plan:
    """What is drawn of a machine's TLBs.

    Args:
        ncpus, sets, ways: the machine's CPUs and the geometry of each TLB.
    """

    ncpus: int
    sets: int
    ways: int

    @property
    def cpus(self) -> int:
        """How many CPUs are drawn."""
        return min(self.ncpus, CPUS_DRAWN)

    @property
    def columns(self) -> int:
        """Entries beside each other in one TLB."""
        return 2 if self.cpus <= 2 else 1

    @property
    def by_sets(self) -> bool:
        """Whether all of a TLB is drawn: a set is a row, a way is a column."""
        return self.cpus <= 2 and self.ways <= self.columns and self.sets <= ROWS

    @property
    def cells(self) -> int:
        """How many entries of one TLB are drawn."""
        return self.sets * self.ways if self.by_sets else ROWS * self.columns

    @property
    def block(self) -> float:
        """Width of one TLB."""
        across = 1 if self.cpus == 1 else 2 if self.cpus == 2 else CPUS_DRAWN
        return (WIDTH - 12 - GAP * (across - 1)) / across

    @property
    def narrow_block(self) -> float:
        """Width of one TLB in a narrow panel."""
        return WIDTH - 12 if self.cpus <= 2 else (WIDTH - 12 - GAP) / 2

    def width(self, block: float) -> float:
        """Return the width of an entry in a TLB drawn so wide."""
        return (block - self.gutter - GAP * self.columns) / self.columns

    @property
    def gutter(self) -> float:
        """Room at the left of the entries, for the numbers of the sets."""
        return GUTTER if self.by_sets else GAP


def markup(plan: Plan, label: str) -> str:
    """Return the drawing with every part empty."""
    grown = 0 if plan.cpus == 1 else MORE
    guest = svg.zone("zG", "guest", 0, 0, WIDTH, GUEST_HEIGHT, [
        moved(8, 0, [svg.text(84, 23, css="m b", size=16, part="g.do")]),
        svg.text(790, 22.5, css="end", part="g.who"),
    ])  # fmt: skip
    hardware = svg.zone("zH", "hw", 0, HARDWARE_TOP, WIDTH, HARDWARE_HEIGHT, _hardware(plan))
    kernel = svg.zone("zK", "kern", 0, KERNEL_TOP, WIDTH, KERNEL_HEIGHT, _kernel())
    parts = [
        _ground(0, 0, GUEST_HEIGHT, [guest]),
        _ground(0, HARDWARE_TOP, HARDWARE_HEIGHT + grown, [hardware]),
        _ground(grown, KERNEL_TOP, KERNEL_HEIGHT, [kernel]),
        moved(0, grown, _key()),
    ]
    css = "one" if plan.cpus == 1 else "many"
    ground = f'<g class="{css}" style="--hatch:url(#{{uid}}hatch);--ro:url(#{{uid}}stripes);--dv:url(#{{uid}}dots)">'
    return svg.picture(WIDTH, HEIGHT, label, [PATTERN, ground, *parts, "</g>"])


def _ground(dy: float, y: float, height: float, zone: Iterable[str]) -> str:
    """Return a zone, with its corner and its height in a narrow panel."""
    return moved(0, dy, zone, x=0, y=y, high=height)


def _hardware(plan: Plan) -> Iterator[str]:
    y = HARDWARE_TOP
    yield svg.group("all", "", [svg.text(790, y + 15, css="end b", part="all.t")])
    yield svg.text(8, y + 42, "look-up", css="b")
    for part, left, width in SOUGHT:
        frame = svg.box(left, y + 25, width, 25, css="c") + svg.ring(left, y + 25, width, 25)
        css = "b" if part == "kr" else "m"
        yield svg.group(part, "key", [frame, svg.text(left + 9, y + 42, css=css, part=f"{part}.t")])
    for cpu in range(plan.cpus):
        x = 6 + cpu * (plan.block + GAP)
        down, over = (cpu, 0) if plan.cpus <= 2 else divmod(cpu, 2)
        dx, dy = 6 + over * (plan.narrow_block + GAP) - x, down * MORE
        more = plan.narrow_block - plan.block
        yield moved(dx, dy, _tlb(plan, cpu, x), wide=plan.narrow_block, more=more)


def _tlb(plan: Plan, cpu: int, x: float) -> Iterator[str]:
    y, width = BLOCKS_TOP, plan.block
    frame = svg.box(x, y, width, BLOCK_HEIGHT, css="tb", radius=3)
    foot = y + BLOCK_HEIGHT - 6
    yield svg.group(f"c{cpu}", "cpu", [
        frame,
        svg.text(x + 8, y + 16.5, f"CPU {cpu}", css="b"),
        svg.group(f"c{cpu}.v", "", [svg.text(x + width - 8, y + 16.5, css="end", part=f"c{cpu}.v.t")]),
        svg.group(f"c{cpu}.r", "", [svg.text(x + 8, foot, css="q", part=f"c{cpu}.r.t")]),
        svg.text(x + width - 8, foot, css="q3 end", part=f"c{cpu}.n"),
    ])  # fmt: skip
    wide, narrow = plan.width(width), plan.width(plan.narrow_block)
    for slot in range(plan.cells):
        row, column = divmod(slot, plan.ways if plan.by_sets else plan.columns)
        at, top = x + plan.gutter + column * (wide + GAP), y + 24 + row * ROW_PITCH
        if plan.by_sets and column == 0:
            yield svg.text(x + 6, top + 32, f"set {row}", css="q3")
        inside = [_cell(f"e{cpu}.{slot}", at, top, wide)]
        yield moved(column * (narrow - wide), 0, inside, wide=narrow, more=narrow - wide)


def _cell(part: str, x: float, y: float, width: float) -> str:
    """Return one entry: the tags, the guest's page, the host's page with the rights, and what is said of it."""
    badge = svg.box(x + 7, y + 35, 106, 16, css="bd", radius=2)
    return svg.group(part, "cell", [
        svg.box(x, y, width, CELL_HEIGHT, css="c"),
        svg.box(x, y, width, CELL_HEIGHT, css="hatch"),
        svg.ring(x, y, width, CELL_HEIGHT),
        badge + badge.replace('"bd"', '"bp"'),
        svg.text(x + 8, y + 16, css="m b tag", size=12.5, part=f"{part}.t"),
        svg.text(x + 8, y + 31, css="m gp", part=f"{part}.p"),
        svg.text(x + 11, y + 47.5, css="m hp", size=12.5, part=f"{part}.h"),
        svg.text(x + width - 7, y + 31, css="end b", size=12.5, part=f"{part}.v"),
        svg.text(x + width - 7, y + 47.5, css="end b", size=12.5, part=f"{part}.s"),
    ])  # fmt: skip


def _kernel() -> Iterator[str]:
    y = KERNEL_TOP
    for part, x in (("gen", 102), ("nxt", 252)):
        yield svg.group(part, "word", [svg.text(x, y + 15, css="m", part=f"{part}.t")])
    yield svg.text(790, y + 15, css="q end", part="note")
    yield svg.group("leaf", "word", [svg.text(10, y + 37, css="m", part="leaf.t")])
    yield svg.text(790, y + 37, css="q3 end", part="more")
    for slot in range(GUESTS_DRAWN):
        left = 8 + 197.5 * slot
        yield svg.group(f"g{slot}", "guest", [
            svg.box(left, y + 46, 191, 28, css="c") + svg.ring(left, y + 46, 191, 28),
            svg.text(left + 9, y + 64.5, css="gp", part=f"g{slot}.n"),
            svg.text(left + 182, y + 64.5, css="m b end", part=f"g{slot}.v"),
        ])  # fmt: skip


def _key() -> Iterator[str]:
    for css, x, words in (*KEY, ("can host", 610, "host's (VMID 0)")):
        swatch = svg.box(x, KEY_TOP, 20, 15, css="c") + svg.box(x, KEY_TOP, 20, 15, css="hatch")
        yield f'<g class="cell swatch {css}">{swatch}</g>' + svg.text(x + 27, KEY_TOP + 12, words, css="q")
