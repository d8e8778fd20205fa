"""Write a still as SVG, PNG or PDF: the same bytes each time, with words inside for those who cannot see it."""

from __future__ import annotations

import re
from html import escape
from io import BytesIO
from os import PathLike
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from kvmlab.figures.style import SALT
from kvmlab.panels.files import checked, write

_CLIP = re.compile(rb"(?<=[\"#])p[0-9a-f]{10}(?=[\")])")
SUFFIXES = (".svg", ".png", ".pdf")


def save(figure: Figure, path: str | PathLike[str]) -> Path:
    """Write a figure to a file, replacing what was there.

    Args:
        figure: what `figure` or `filmstrip` returned.
        path: the file; its name ends in ``.svg``, ``.png`` or ``.pdf``, and that chooses the format.

    Returns:
        The path.

    Raises:
        InputError: another ending, or nothing can be written there; the message says why.
    """
    file = checked(path, SUFFIXES, "step.svg")
    return write(file, to_bytes(figure, file.suffix.lower()[1:]))


def to_bytes(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file: the same bytes for the same picture, given the same matplotlib.

    Args:
        figure: what `figure` or `filmstrip` returned.
        kind: "svg", "png" or "pdf".
    """
    title, alt = (_one_line(getattr(figure, name, "")) for name in ("kvmlab_title", "kvmlab_alt"))
    about = {
        "svg": {"Title": title, "Description": alt, "Date": None},
        "png": {"Title": title, "Description": alt},
        "pdf": {"Title": title, "Subject": alt, "CreationDate": None},
    }[kind]
    data = BytesIO()
    # In SVG letters are outlines, so they look the same everywhere; in PDF they are text that can be searched.
    with style.context(["default", {"svg.fonttype": "path", "svg.hashsalt": SALT, "pdf.fonttype": 42}]):
        figure.savefig(data, format=kind, metadata=about)
    return _described(data.getvalue(), alt) if kind == "svg" else data.getvalue()


def _described(svg: bytes, alt: str) -> bytes:
    """Say in the SVG itself that it is one picture, and what it shows, where screen readers look for it."""
    names: dict[bytes, bytes] = {}  # matplotlib calls clips after where they lay in memory; here they are counted
    svg = _CLIP.sub(lambda found: names.setdefault(found[0], b"clip%d" % len(names)), svg)
    words = escape(alt, quote=False).encode("utf-8", "replace")
    svg = svg.replace(b"<svg ", b'<svg role="img" ', 1)
    return svg.replace(b"</title>", b"</title>\n <desc>" + words + b"</desc>", 1)


def _one_line(words: str) -> str:
    """Return words without letters that no file may hold."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
