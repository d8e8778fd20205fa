"""Parts that stand elsewhere in a narrow panel, where the type is larger: each says how far, the styles say when."""

from __future__ import annotations

from collections.abc import Iterable

from kvmlab.scenes.svg import number


def moved(dx: float, dy: float, inside: Iterable[str], **more: float) -> str:
    """Return parts that move in a narrow panel.

    Args:
        dx: how far to the right, in units of the drawing.
        dy: how far down.
        inside: the parts.
        more: other lengths that the styles of narrow panels need, by name.

    >>> moved(3, -4, ["<path/>"], high=5)
    '<g class="mv" style="--dx:3px;--dy:-4px;--high:5px"><path/></g>'
    """
    lengths = {"dx": dx, "dy": dy, **more}
    style = ";".join(f"--{name}:{number(value)}px" for name, value in lengths.items())
    return f'<g class="mv" style="{style}">{"".join(inside)}</g>'
