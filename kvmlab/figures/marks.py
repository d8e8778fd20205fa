"""The marks of pages, the same in all diagrams: writable, read-only, device, nothing."""

from __future__ import annotations

from kvmlab.figures.canvas import Canvas


def leaf_box(canvas: Canvas, kind: str, x: float, y: float, wide: float, high: float) -> str:
    """Draw the box of a page, with the mark of its kind, and return the token of the words on it.

    Args:
        canvas: where.
        kind: "rw", "ro", "dev", or another word for what maps nothing.
        x: left edge, points.
        y: upper edge.
        wide: points.
        high: points.
    """
    if kind == "dev":
        canvas.box(x, y, wide, high, fill="dev", edge="dev", cut=high / 3)
        return "dev-ink"
    if kind in ("rw", "ro"):
        canvas.box(x, y, wide, high, fill="host-t", edge="host", width=1.2)
        if kind == "ro":
            strip = mark_width(canvas, wide)
            canvas.box(x + wide - strip, y, strip, high, edge="host", width=1.2, hatch="////")
        return "ink"
    canvas.box(x, y, wide, high, dashed=True)
    return "ink2"


def mark_width(canvas: Canvas, wide: float) -> float:
    """Return the width of the mark at the right of a page's box, where no words should stand; points."""
    return min(canvas.look.line(18), wide / 5)
