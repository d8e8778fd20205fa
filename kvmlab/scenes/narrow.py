"""Parts that stand elsewhere in a narrow panel, where the type is larger: each says where, the styles say when."""

from __future__ import annotations

from collections.abc import Iterable

from kvmlab.scenes.svg import number

LARGER = 1.27
"""How much larger parts are drawn in a narrow panel; the styles have the same number."""


def moved(dx: float, dy: float, inside: Iterable[str], *, css: str = "mv", **more: float) -> str:
    """Return parts that move in a narrow panel.

    Args:
        dx: how far to the right, in units of the drawing.
        dy: how far down.
        inside: the parts.
        css: the class by which the styles know them.
        more: other lengths that the styles of narrow panels need, by name.

    >>> moved(3, -4, ["<path/>"], high=5)
    '<g class="mv" style="--dx:3px;--dy:-4px;--high:5px"><path/></g>'
    """
    lengths = {"dx": dx, "dy": dy, **more}
    style = ";".join(f"--{name}:{number(value)}px" for name, value in lengths.items())
    return f'<g class="{css}" style="{style}">{"".join(inside)}</g>'


def larger(at: tuple[float, float], to: tuple[float, float], inside: Iterable[str]) -> str:
    """Return parts that are drawn larger, all in one, in a narrow panel.

    Args:
        at: a point of them.
        to: where that point stands then.
        inside: the parts.

    >>> larger((100, 0), (130, 20), ["<path/>"])
    '<g class="lg" style="--dx:3px;--dy:20px"><path/></g>'
    """
    return moved(to[0] - LARGER * at[0], to[1] - LARGER * at[1], inside, css="lg")
