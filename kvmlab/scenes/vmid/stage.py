"""Lay out the VMID picture: the grid of numbers, who runs where, the counters, and the one place that shouts."""

from __future__ import annotations

from kvmlab.scenes import svg
from kvmlab.scenes.narrow import moved

WIDTH, HEIGHT = 800, 440
GRID_X, GRID_Y, GRID_WIDTH, GRID_HEIGHT = 46, 24, 432, 384
SIDE_X, SIDE_WIDTH = 494, 306
CPU_Y, CPU_PITCH, CPU_HEIGHT, CPU_WIDE = 160, 44, 38, 354
TOTALS_Y = 342
KEY_Y = 419
BELOW = 446
"""Where what stands beside the grid begins in a narrow panel: below it, so that the grid has the whole width."""

PATTERNS = (
    '<pattern id="{uid}gen1" width="5" height="5" patternUnits="userSpaceOnUse">'
    '<circle cx="2.5" cy="2.5" r="1.15" class="gdot"/></pattern>'
    '<pattern id="{uid}gen2" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path d="M0 0v6" class="gstripe"/></pattern>'
)
"""Dots and stripes of the second and third generation; the first is plain."""


def markup(vmid_bits: int, ncpus: int, bitmap: bool = False) -> str:
    """Return the picture with every part empty.

    Args:
        vmid_bits: width of a VMID, 2 to 8 bits: a grid of 4 to 256 cells.
        ncpus: number of CPUs, 1 to 4.
        bitmap: whether numbers are given as in Linux 5.18.
    """
    label = (
        f"The {1 << vmid_bits} VMIDs as a grid, who holds each and from which generation; {ncpus} CPUs; "
        "the counters; and the rollover that flushes all TLBs."
    )
    patterns = f"<defs>{PATTERNS}</defs>"
    ground = '<g style="--gen1:url(#{uid}gen1);--gen2:url(#{uid}gen2)">'
    left = GRID_X - SIDE_X
    inside = [
        *_grid(vmid_bits),
        moved(left, BELOW, [*_counters(bitmap), *_event()]),
        moved(SIDE_WIDTH - CPU_WIDE, BELOW - CPU_Y, (_cpu(c) for c in range(ncpus))),
        moved(left, BELOW + 158 - TOTALS_Y, _totals()),
        *_key(vmid_bits, bitmap),
    ]
    return svg.picture(WIDTH, HEIGHT, label, [patterns, ground, *inside, "</g>"])


def _patterned(x: float, y: float, width: float, height: float) -> str:
    """Return a box that can wear the colour and the pattern of a generation."""
    return svg.box(x, y, width, height, css="c") + svg.box(x, y, width, height, css="pt")


def _grid(bits: int) -> list[str]:
    columns = 1 << (bits + 1) // 2
    rows = (1 << bits) // columns
    width, height = GRID_WIDTH / columns, GRID_HEIGHT / rows
    roomy = bits <= 4
    parts = [svg.text(0, 15, "VMID", css="b")]
    if roomy:
        hint = "number in the corner, and the guest that has it"
        parts.append(moved(10, 0, [svg.text(GRID_X + 1, 15, hint, css="q3")], mid=0))
    else:
        firsts = ((GRID_Y + (row + 0.5) * height + 4.5, str(row * columns)) for row in range(rows))
        parts += [svg.text(GRID_X - 10, y, first, css="q3 m end", size=12.5) for y, first in firsts]
    named = () if roomy else range(columns) if columns <= 8 else (0, 4, 8, 12, 15)
    more = (WIDTH - GRID_X - 2) / columns - width
    for column in range(columns):
        x = GRID_X + column * width
        head = [svg.text(x + width / 2, 15, f"+{column}", css="q3 m mid", size=12.5)] if column in named else []
        cells = [_cell(row * columns + column, x, GRID_Y + row * height, width, height, roomy) for row in range(rows)]
        parts.append(moved(column * more, 0, [*head, *cells], wide=width + more, mid=more / 2))
    whole = (GRID_X - 3, GRID_Y - 3, GRID_WIDTH + 6, GRID_HEIGHT + 6)
    parts.append(svg.group("grid", "", [svg.ring(*whole)]))
    return parts


def _cell(number: int, x: float, y: float, width: float, height: float, roomy: bool) -> str:
    middle = y + height / 2 + (9 if roomy else 4.4)
    cell = [
        _patterned(x + 1, y + 1, width - 2, height - 2),
        svg.box(x, y, width, height, css="ring", radius=3),
        svg.text(x + width / 2, middle, css="m mid", size=17 if roomy else 12, part=f"v{number}.t"),
    ]
    if roomy:
        cell.append(svg.text(x + 8, y + 18, str(number), css="no m", size=12.5))
    return svg.group(f"v{number}", "cell", cell)


def _card(part: str, x: float, y: float, width: float, height: float, inside: list[str], css: str = "num") -> str:
    return svg.group(
        part, css, [svg.box(x, y, width, height, css="c", radius=4), svg.ring(x, y, width, height), *inside]
    )


def _number(part: str, name: str, x: float, y: float, width: float, height: float, size: int, css: str) -> str:
    """Return a card with a name and one large number."""
    inside = [
        svg.text(x + 9, y + 18, name, css=css),
        svg.text(x + width - 10, y + height - 9.5, css="m b end", size=size, part=f"{part}.t"),
    ]
    return _card(part, x, y, width, height, inside)


def _counters(bitmap: bool) -> list[str]:
    half = (SIDE_WIDTH - 8) / 2
    names, css = (("generation", "next free number"), "q") if bitmap else (("kvm_vmid_gen", "kvm_next_vmid"), "q m")
    places = (("gen", SIDE_X), ("nxt", SIDE_X + half + 8))
    return [_number(part, name, x, 0, half, 54, 24, css) for (part, x), name in zip(places, names, strict=True)]


def _event() -> list[str]:
    """Return the event slot: quiet, it counts the entries since the last flush; an event has serrated edges."""
    x, y, height, tooth = SIDE_X, 64, 84, 7
    count = height // tooth
    right = "".join(f"l{tooth if i % 2 == 0 else -tooth} {tooth}" for i in range(count))
    left = "".join(f"l{-tooth if i % 2 == 0 else tooth} {-tooth}" for i in range(count))
    teeth = f"M{x + 8} {y}H{x + SIDE_WIDTH - 8}{right}H{x + 8}{left}z"
    middle = x + SIDE_WIDTH / 2
    return [
        svg.group(
            "since",
            "num",
            [
                svg.box(x, y, SIDE_WIDTH, height, css="c", radius=4),
                svg.text(x + 10, y + 36, "entries since", css="q", size=14),
                svg.text(x + 10, y + 56, "the last full flush", css="q", size=14),
                svg.text(x + SIDE_WIDTH - 12, y + 54, css="m b end", size=30, part="since.t"),
            ],
        ),
        svg.group(
            "ev",
            "",
            [
                svg.line(teeth, css="c"),
                svg.text(middle, y + 35, css="b mid", size=25, part="ev.a"),
                svg.text(middle, y + 56, css="mid", size=14, part="ev.b"),
                svg.text(middle, y + 74, css="mid", size=14, part="ev.d"),
            ],
        ),
    ]


def _cpu(number: int) -> str:
    part, x, y = f"cpu{number}", SIDE_X, CPU_Y + CPU_PITCH * number
    badge = [_patterned(x + 164, y + 8, 56, 22), svg.text(x + 192, y + 23.6, css="mid", size=13.5, part=f"{part}.n")]
    inside = [
        svg.text(x + 10, y + 24.5, f"CPU {number}", css="b", size=15),
        svg.text(x + 70, y + 24.5, size=15, part=f"{part}.g"),
        moved(24, 0, [svg.group(f"{part}.p", "gp", badge)]),
        moved(
            CPU_WIDE - SIDE_WIDTH, 0, [svg.text(x + SIDE_WIDTH - 10, y + 24.5, css="m end", size=14, part=f"{part}.v")]
        ),
    ]
    return _card(part, x, y, SIDE_WIDTH, CPU_HEIGHT, inside, "cpu")


def _totals() -> list[str]:
    y, height = TOTALS_Y, 52
    return [
        _number("n.ent", "entries", SIDE_X, y, 98, height, 21, "q"),
        _number("n.ipi", "kicks", SIDE_X + 104, y, 88, height, 21, "q"),
        _number("n.fl", "full flushes", SIDE_X + 198, y, 108, height, 21, "q"),
    ]


def _key(bits: int, bitmap: bool) -> list[str]:
    """Return the line that names the marks; the generation in it is the one in force."""
    entries = [
        ("hostv", "H", "host"),
        ("", "", ""),
        ("free", "", "free"),
        ("stale", "7", "old" if bitmap else "void"),
        ("free next", "", "next"),
        *([("g0 kept", "7", "kept")] if bitmap else []),
    ]
    parts, x = [], GRID_X + 1
    for place, (css, inside, name) in enumerate(entries):
        swatch = [_patterned(x, KEY_Y, 20, 17), svg.text(x + 10, KEY_Y + 13.3, inside, css="m mid", size=12.5)]
        if name:
            words = svg.text(x + 26, KEY_Y + 13.5, name, css="q")
            entry, width = [f'<g class="cell {css}">{"".join(swatch)}</g>', words], 8 * len(name)
        else:
            words = svg.text(x + 26, KEY_Y + 13.5, css="q", part="key.t")
            entry, width = [svg.group("key", "cell", swatch), words], 108
        parts.append(moved(10 * place, 0, entry, wide=22, mid=0))
        x += 26 + width + 14
    if bits > 4:
        words = "in a cell: the guest" if bitmap else "a number in a cell is the guest"
        parts.append(moved(64 if bitmap else 40, 0, [svg.text(x if bitmap else SIDE_X, KEY_Y + 13.5, words, css="q3")]))
    return parts
