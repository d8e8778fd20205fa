"""Set paragraphs on pages of A4, as PDF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from io import BytesIO
from typing import NamedTuple

from matplotlib import style
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

import kvmlab
from kvmlab.exercises.sheet import Line
from kvmlab.figures.files import SETTINGS

WIDTH, HEIGHT, MARGIN, FOOT = 595.0, 842.0, 56.0, 34.0
"""A4 and its margins, points."""
LEADING = 1.38


class Look(NamedTuple):
    """How a kind of paragraph is set; all in points."""

    size: float
    before: float
    indent: float
    weight: str = "normal"
    family: str = "DejaVu Sans"


LOOKS = {
    "title": Look(14, 0, 0, "bold"),
    "head": Look(10.5, 13, 0, "bold"),
    "text": Look(9.5, 2, 0),
    "given": Look(8.5, 1, 12, family="DejaVu Sans Mono"),
    "answer": Look(9.5, 6, 12),
}


class Set(NamedTuple):
    """A line of type: its look, its words, and how far below the line before it stands, points."""

    look: Look
    words: str
    down: float


def to_pdf(blocks: Sequence[Sequence[Line]]) -> bytes:
    """Return paragraphs as a PDF: the same bytes each time, given the same matplotlib.

    Args:
        blocks: paragraphs; those of a block stay on one page if they fit on one.
    """
    data = BytesIO()
    about = {"Title": blocks[0][0].words, "Creator": f"kvmlab {kvmlab.__version__}", "CreationDate": None}
    with style.context(SETTINGS):
        pages = list(_pages(blocks))
        with PdfPages(data, metadata=about) as file:
            for number, page in enumerate(pages, 1):
                file.savefig(_draw(page, f"{number} / {len(pages)}"))
    return data.getvalue()


def _pages(blocks: Sequence[Sequence[Line]]) -> Iterator[list[Set]]:
    """Break blocks into pages."""
    room = HEIGHT - 2 * MARGIN
    page: list[Set] = []
    used = 0.0
    for block in blocks:
        rows = [row for line in block for row in _rows(line)]
        high = sum(row.down for row in rows)
        if page and used + high > room:
            yield page
            page, used = [], 0.0
        for row in rows:
            if used + row.down > room:
                yield page
                page, used = [], 0.0
            page.append(row)
            used += row.down
    yield page


def _rows(line: Line) -> Iterator[Set]:
    """Break a paragraph into lines that fit."""
    look = LOOKS[line.kind]
    room = WIDTH - 2 * MARGIN - look.indent
    row, before = "", look.before
    for word in line.words.split(" "):
        longer = f"{row} {word}" if row else word
        if row and _wide(longer, look) > room:
            yield Set(look, row, before + LEADING * look.size)
            row, before = word, 0.0
        else:
            row = longer
    yield Set(look, row, before + LEADING * look.size)


@cache
def _font(look: Look) -> FontProperties:
    return FontProperties(family=look.family, weight=look.weight, size=look.size)


def _wide(words: str, look: Look) -> float:
    """Return the width of some words, points."""
    return float(TextToPath().get_text_width_height_descent(words, _font(look), ismath=False)[0])


def _draw(rows: Sequence[Set], foot: str) -> Figure:
    page = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
    down = MARGIN
    for row in rows:
        down += row.down
        _put(page, MARGIN + row.look.indent, down, row.words, row.look)
    _put(page, WIDTH / 2, HEIGHT - FOOT, foot, LOOKS["text"])
    return page


def _put(page: Figure, x: float, down: float, words: str, look: Look) -> None:
    page.text(x / WIDTH, 1 - down / HEIGHT, words, fontproperties=_font(look), color="black", parse_math=False)
