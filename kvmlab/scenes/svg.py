"""Small pieces of SVG that scenes are laid out with: text, boxes, cards, zones. Every text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from kvmlab.scenes.scene import ACTORS, Actor

LETTER = 0.602
"""Width of one letter of the widest monospaced font (DejaVu Sans Mono), as a part of its size."""


def number(value: float) -> str:
    """Return a coordinate without needless digits."""
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, words: str = "", *, css: str = "", size: float = 13, part: str | None = None) -> str:
    """Return a line of text with its baseline at `y`; `part` makes it changeable under that id.

    >>> text(8, 20, "a < b", css="m", size=14)
    '<text x="8" y="20" class="m" style="font-size:14px">a &lt; b</text>'
    """
    name = f' data-id="{escape(part)}"' if part else ""
    style = f' style="font-size:{number(size)}px"' if size != 13 else ""
    return f'<text x="{number(x)}" y="{number(y)}" class="{css}"{style}{name}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, *, css: str, radius: float = 2, extra: str = "") -> str:
    """Return a rectangle."""
    size = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    return f'<rect {size} rx="{number(radius)}" class="{css}"{extra}/>'


def line(path: str, *, css: str) -> str:
    """Return a path."""
    return f'<path d="{path}" class="{css}"/>'


def group(part: str, css: str, inside: Iterable[str]) -> str:
    """Return parts that change together, under the id `part`."""
    return f'<g data-id="{escape(part)}" class="{css}">{"".join(inside)}</g>'


def ring(x: float, y: float, width: float, height: float, *, flag: bool = True) -> str:
    """Return the ring (and the corner flag) that appears round a part which changed or which is the cause."""
    rim = box(x - 1.5, y - 1.5, width + 3, height + 3, css="ring", radius=3)
    return rim + (line(f"M{number(x - 3)} {number(y - 3)}h11l-11 11z", css="flag") if flag else "")


def zone(part: str, actor: Actor, x: float, y: float, width: float, height: float, inside: Iterable[str]) -> str:
    """Return the ground of one actor, with its name on a chip in the corner."""
    name = ACTORS[actor].upper()
    chip = 15 + 10.2 * len(name)
    head = (
        box(x, y, width, height, css="box", radius=4)
        + box(x, y, chip, 20, css="zc", radius=4)
        + text(x + chip / 2, y + 14.6, name, css="zn mid")
    )
    return group(part, f"zone {actor}", [head, *inside])


def picture(width: float, height: float, label: str, inside: Iterable[str], *, role: str = "img") -> str:
    """Return the whole drawing; `label` says in words what it shows; with buttons inside, its role is "group"."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" role="{role}"'
    return f'{head} aria-label="{escape(label)}">{PATTERNS}{"".join(inside)}</svg>'


PATTERNS = (
    '<defs><pattern id="{uid}stripes" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path d="M0 0v7" class="stripe"/></pattern>'
    '<pattern id="{uid}dots" width="7" height="7" patternUnits="userSpaceOnUse">'
    '<circle cx="2" cy="2" r=".9" class="speck"/></pattern>'
    "</defs>"
)
"""Stripes for read-only, dots for device; used as ``fill="url(#{uid}stripes)"``."""
