"""The notifier scene's stage: guest on the left, host on the right, the frames they share in the middle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kvmlab.scenes import svg
from kvmlab.scenes.narrow import moved
from kvmlab.scenes.scene import Actor

TOP, PITCH, HIGH = 32, 42, 36
LEAST_ROWS, MOST_ROWS = 4, 7
"""Rows there is room for from the beginning, and rows that are drawn at most."""
GUEST, ENTRY, FRAME, HOST = (10, 130), (178, 188), (402, 176), (616, 174)
"""Left edge and width of the four columns' cards."""
HALF = 84
"""Width of a frame's card where two stand side by side."""
TEETH = 7


@dataclass
class HostPage:
    """A page of the host process, and the guest pages that show it.

    Attributes:
        hva: its address.
        ipas: guest addresses, in the order in which they were met; none for memory that no guest sees.
    """

    hva: int
    ipas: list[int] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows it takes."""
        return max(1, len(self.ipas))


def row(kind: str, page: HostPage, ipa: int) -> str:
    """Return the id of a part that belongs to one guest page."""
    return f"{kind}{page.hva:x}.{ipa:x}"


def markup(pages: Iterable[HostPage], label: str) -> str:
    """Return the drawing; a part that has no state yet is hidden at its place."""
    pages = list(pages)
    room = PITCH * max(LEAST_ROWS, sum(page.rows for page in pages)) + TOP
    bottom = room + 16
    guest: list[str] = []
    host: list[str] = []
    middle: list[str] = []
    y = TOP
    for page in pages:
        guest += [_guest(page, ipa, y + PITCH * n) for n, ipa in enumerate(page.ipas)]
        host.append(_host(page, y))
        middle += _between(page, y)
        y += PITCH * page.rows
    parts = [
        HATCH,
        _zone("zG", "guest", 0, 0, 150, room, [svg.text(140, 15, "IPA", css="end q"), *guest]),
        _zone("zO", "host", 606, 0, 194, room, [svg.text(790, 15, "hva", css="end q"), *host]),
        svg.text(ENTRY[0], 15, "stage-2 entry", css="b"),
        svg.text(FRAME[0] + FRAME[1] / 2, 15, "page frame", css="b mid"),
        *middle,
        svg.text(376, room + 11, css="q mid", part="more"),
        _zone("zK", "kern", 0, bottom, 800, 100, _kernel(bottom)),
    ]
    ground = '<g style="--stripes:url(#{uid}stripes);--hatch:url(#{uid}hatch)">'
    return svg.picture(800, bottom + 102, label, [ground, *parts, "</g>"])


def _zone(part: str, actor: Actor, x: float, y: float, width: float, height: float, inside: Iterable[str]) -> str:
    """Return a zone whose chip can grow in a narrow panel, from its corner."""
    return moved(0, 0, [svg.zone(part, actor, x, y, width, height, inside)], x=x, y=y)


HATCH = (
    '<defs><pattern id="{uid}hatch" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<path d="M0 0l6 6M6 0l-6 6" class="hatch"/></pattern></defs>'
)


def _card(part: str, x: float, y: float, width: float, height: float, inside: Iterable[str]) -> str:
    head = svg.box(x, y, width, height, css="c", radius=3) + svg.box(x, y, width, height, css="pt", radius=3)
    return svg.group(part, "card", [head, svg.ring(x, y, width, height), *inside])


def _two(part: str, x: float, y: float, value: str = "", *, mid: bool = False) -> Iterator[str]:
    """Yield a value and a word below it; without a value, it changes under the id `part` + ".v"."""
    css = "m b mid" if mid else "m b"
    yield svg.text(x, y + 15.5, value, css=css, size=14, part=None if value else f"{part}.v")
    yield svg.text(x, y + 30.5, css="q mid" if mid else "q", size=12.5, part=f"{part}.w")


def _guest(page: HostPage, ipa: int, y: float) -> str:
    part, (x, width) = row("g", page, ipa), GUEST
    return _card(part, x, y, width, HIGH, _two(part, x + 9, y, f"{ipa:#x}"))


def _host(page: HostPage, y: float) -> str:
    part, (x, width), height = f"h{page.hva:x}", HOST, PITCH * page.rows - PITCH + HIGH
    return _card(part, x, y, width, height, _two(part, x + 9, y + (height - HIGH) / 2, f"{page.hva:#x}"))


def _between(page: HostPage, y: float) -> Iterator[str]:
    """Yield the entries of a host page's rows, its frame, the frames that they lead to instead, and the arrows."""
    x, width = FRAME
    height = PITCH * page.rows - PITCH + HIGH
    inner = y + (height - HIGH) / 2
    whole, half = f"f{page.hva:x}", f"d{page.hva:x}"
    yield _card(whole, x, y, width, height, _two(whole, x + width / 2, inner, mid=True))
    yield _card(half, x + width - HALF, y, HALF, height, _two(half, x + width - HALF / 2, inner, mid=True))
    yield _arrow(f"lh{page.hva:x}", HOST[0], x + width, y + height / 2)
    for n, ipa in enumerate(page.ipas):
        top = y + PITCH * n
        yield from _entry(page, ipa, top)
        other = row("x", page, ipa)
        yield _card(other, x, top, HALF, HIGH, _two(other, x + HALF / 2, top, mid=True))


def _entry(page: HostPage, ipa: int, y: float) -> Iterator[str]:
    part, (x, width), middle = row("e", page, ipa), ENTRY, y + HIGH / 2
    inside = [
        svg.text(x + 9, y + 15.5, f"L3[{ipa >> 12 & 0x1FF}]", css="m b", size=14),
        svg.text(x + width - 9, y + 15.5, css="m end", size=14, part=f"{part}.v"),
        svg.text(x + width - 9, y + 30.5, css="q end", size=12.5, part=f"{part}.w"),
    ]
    yield _card(part, x, y, width, HIGH, inside)
    yield _arrow(row("lg", page, ipa), sum(GUEST), x, middle, "gu")
    yield _arrow(row("le", page, ipa), x + width, FRAME[0], middle)
    yield _arrow(row("ll", page, ipa), x + width, FRAME[0] + FRAME[1] - HALF, middle)


def _arrow(part: str, start: float, end: float, y: float, css: str = "") -> str:
    """Return an arrow from one column to the next, to either side."""
    way = 1 if end > start else -1
    start, end = start + 3 * way, end - 3 * way
    left, right = svg.number(start), svg.number(end - 8 * way)
    head = f"M{svg.number(end)} {svg.number(y)}l{-9 * way} -5v10z"
    inside = [svg.line(f"M{left} {svg.number(y)}H{right}", css="l"), svg.line(head, css="hd")]
    return svg.group(part, f"link {css}", inside)


def _kernel(y: float) -> Iterator[str]:
    lock = svg.box(104, y + 5.5, 11, 11, css="ic", radius=1)
    yield svg.group("lk", "lock", [lock, svg.text(121, y + 15.5, css="m", part="lk.t")])
    yield svg.text(790, y + 15.5, css="q end", part="cfg")
    yield _number("smp", "seq sampled", 10, y + 27, 142)
    yield svg.text(171, y + 70, css="m b mid", size=26, part="sgn")
    yield _number("seq", "mmu_notifier_seq", 190, y + 27, 172)
    yield _number("cnt", "mmu_notifier_count", 372, y + 27, 190)
    x, top, width, height = 574, y + 27, 216, 63
    right = "".join(f"l{TEETH if i % 2 == 0 else -TEETH} {TEETH}" for i in range(height // TEETH))
    left = "".join(f"l{TEETH if i % 2 == 0 else -TEETH} {-TEETH}" for i in range(height // TEETH))
    teeth = f"M{x + TEETH} {top}H{x + width - TEETH}{right}H{x}{left}z"
    inside = [
        svg.box(x, top, width, height, css="c", radius=3),
        svg.line(teeth, css="tt"),
        svg.text(x + width / 2, top + 31, css="b mid", size=22, part="vd.t"),
        svg.text(x + width / 2, top + 51, css="mid", part="vd.r"),
    ]
    yield svg.group("vd", "vd", inside)


def _number(part: str, name: str, x: float, y: float, width: float) -> str:
    inside = [
        svg.text(x + 9, y + 18, name, css="q m"),
        svg.text(x + width - 10, y + 53, css="m b end", size=24, part=f"{part}.t"),
    ]
    return _card(part, x, y, width, 63, inside)
