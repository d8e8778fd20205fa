"""Write a figure as SVG, PNG or PDF: the same bytes each time.

Inside are words for those who cannot see it, and where it comes from: version, scenario, seed.
"""

from __future__ import annotations

import re
from html import escape
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure

import kvmlab
from kvmlab.engine.errors import InputError
from kvmlab.files import checked, write

_CLIP = re.compile(rb"(?<=[\"#])p[0-9a-f]{10}(?=[\")])")
KINDS = ("svg", "pdf", "png")
SETTINGS: list[str | dict[str, Any]] = [
    "default",
    {"text.hinting": "no_hinting", "svg.fonttype": "path", "svg.hashsalt": "kvmlab", "pdf.fonttype": 42},
]
"""What is set while a figure is drawn, whatever has been set for other figures."""


def save(figure: Figure, path: str | PathLike[str]) -> Path:
    """Write a figure to a file, replacing what was there.

    Args:
        figure: any figure of kvmlab.
        path: the file; its name ends in ``.svg``, ``.png`` or ``.pdf``, and that chooses the format.

    Returns:
        The path.

    Raises:
        InputError: another ending, or nothing can be written there; the message says why.
    """
    file = checked(path, tuple(f".{kind}" for kind in KINDS), "figure.svg")
    return write(file, to_bytes(figure, file.suffix.lower()[1:]))


def to_bytes(figure: Figure, kind: str = "svg") -> bytes:
    """Return a figure as a file: the same bytes for the same picture, given the same matplotlib.

    Args:
        figure: any figure of kvmlab.
        kind: "svg" and "png" look the same everywhere, in "pdf" letters are text that can be searched.

    Raises:
        InputError: the kind is another.
    """
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; allowed: {', '.join(KINDS)}")
    title, alt, source = (_one_line(getattr(figure, f"kvmlab_{name}", "")) for name in ("title", "alt", "source"))
    maker = f"kvmlab {kvmlab.__version__}"
    about = {
        "svg": {"Title": title, "Description": alt, "Source": source, "Creator": maker, "Date": None},
        "png": {"Title": title, "Description": alt, "Source": source, "Software": maker},
        "pdf": {"Title": title, "Subject": alt, "Keywords": source, "Creator": maker, "CreationDate": None},
    }[kind]
    data = BytesIO()
    with style.context(SETTINGS):
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
