"""Draw the tables of a guest without Graphviz, and in which colours they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from kvmlab.scenes import svg

if TYPE_CHECKING:
    from kvmlab.scenes.pgd import Node


class Colours(NamedTuple):
    """What a drawing is coloured with."""

    ink: str
    paper: str
    kernel: str
    kernel_tint: str
    host_tint: str
    device: str

    def fill(self, kind: str) -> tuple[str, str]:
        """Return ground and ink of an entry of a kind."""
        tinted = {"tab": self.kernel_tint, "rw": self.host_tint, "ro": self.host_tint}
        return (self.device, self.paper) if kind == "dev" else (tinted.get(kind, self.paper), self.ink)


LIGHT = Colours("#10151b", "#ffffff", "#0e5cd3", "#dbe8fc", "#cdebdf", "#2b323b")
DARK = Colours("#f1f4f8", "#10151b", "#5a9cf5", "#14315e", "#0e4235", "#d9dfe7")


def own_drawing(nodes: Sequence[Node], colours: Colours = LIGHT) -> str:
    """Return the same drawing, with the same ids, made without Graphviz."""
    width, row, gap = 290.0, 20, 40
    places: dict[str, tuple[float, float]] = {}
    parts: list[str] = []
    free = [8.0, 8.0, 8.0]
    for node in nodes:
        level = len(node.path)
        if level == 1:
            free[1] = free[2] = max(free[1], free[2])
        x, y = 8 + level * (width + gap), free[level]
        height = row * (1 + max(1, len(node.entries))) + 6
        free[level] = y + height + 8
        places[node.id] = (x, y)
        frame = f'fill="{colours.paper}" stroke="{colours.kernel}"'
        inside = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" {frame}/>']
        inside.append(_line(x + 6, y + 15, node.title, colours.kernel, bold=True))
        for at, entry in enumerate(node.entries):
            fill, ink = colours.fill(entry.kind)
            top = y + row * (at + 1)
            places[f"{node.id}:r{entry.first}"] = (x + width, top + row / 2)
            inside.append(f'<rect x="{x + 3}" y="{top}" width="{width - 6}" height="{row - 2}" fill="{fill}"/>')
            inside.append(_line(x + 6, top + 14, f"{entry.index}  {entry.words}", ink))
        parts.append(f'<g id="{node.id}">{"".join(inside)}</g>')
    for node in nodes:
        for entry in node.entries:
            target = places.get(f"{node.id}{'.' if node.path else ''}{entry.first}") if entry.kind == "tab" else None
            if target:
                (x, y), (a, b) = places[f"{node.id}:r{entry.first}"], target
                curve = f"M{x} {svg.number(y)}C{x + 20} {svg.number(y)} {a - 20} {b + 12} {a} {b + 12}"
                parts.append(f'<path d="{curve}" fill="none" stroke="{colours.kernel}"/>')
    wide, high = 16 + 3 * width + 2 * gap, max(free)
    ground = f'<rect width="{wide}" height="{svg.number(high)}" fill="{colours.paper}"/>'
    size = f'width="{wide}" height="{svg.number(high)}" viewBox="0 0 {wide} {svg.number(high)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{ground}{"".join(parts)}</svg>'


def _line(x: float, y: float, words: str, ink: str, *, bold: bool = False) -> str:
    place = f'x="{svg.number(x)}" y="{svg.number(y)}" font-weight="{700 if bold else 400}"'
    return f'<text {place} font-family="monospace" font-size="12" fill="{ink}">{escape(words)}</text>'
