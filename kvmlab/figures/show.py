"""Show a figure in a notebook: with a text alternative, and in the colours of the notebook's theme."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from matplotlib.figure import Figure

from kvmlab.engine.errors import InputError
from kvmlab.figures.files import to_bytes

WIDEST = 1280
"""Pixels."""


@dataclass(frozen=True)
class Shown:
    """Hold a figure for a notebook: a picture with a text alternative, and that text alone where pictures do not go.

    Args:
        html: the picture.
        words: the text alternative.
    """

    html: str
    words: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return what Jupyter displays."""
        del include, exclude
        return {"text/html": self.html, "text/plain": self.words}


def show(light: Figure, dark: Figure | None = None) -> Shown:
    """Return the figure for a notebook.

    Args:
        light: the figure.
        dark: the same figure in dark colours; where given, the notebook's own theme chooses.
    """
    if dark is None:
        return Shown(_picture(light, ""), _words(light))
    rule = (
        "<style>body[data-jp-theme-light=false] .kvmlab-light,"
        "body:not([data-jp-theme-light=false]) .kvmlab-dark{display:none}</style>"
    )
    return Shown(rule + _picture(light, "kvmlab-light") + _picture(dark, "kvmlab-dark"), _words(light))


def _words(figure: Figure) -> str:
    return str(getattr(figure, "kvmlab_alt", ""))


def _picture(figure: Figure, name: str) -> str:
    return _image(to_bytes(figure), "image/svg+xml", _words(figure), WIDEST, name)


def _image(data: bytes, kind: str, words: str, width: int, name: str = "") -> str:
    style, source = f"width:100%;max-width:{width}px;height:auto", base64.b64encode(data).decode()
    return f'<img class="{name}" alt="{html.escape(words)}" style="{style}" src="data:{kind};base64,{source}">'


def embedded(path: PathLike[str] | str, words: str, *, width: int = WIDEST) -> Shown:
    """Return a picture from a file for a notebook, with its text alternative, which Jupyter's own ``Image`` drops.

    Args:
        path: a file that ends in .gif, .png or .svg.
        words: the text alternative; not empty.
        width: pixels, at most.

    Raises:
        InputError: `words` is empty, or the file is of another kind.
    """
    place = Path(path)
    kinds = {".gif": "image/gif", ".png": "image/png", ".svg": "image/svg+xml"}
    if place.suffix not in kinds:
        raise InputError(f"path ends in {place.suffix!r}; allowed: {', '.join(kinds)}")
    if not words.strip():
        raise InputError("words is empty; allowed: a sentence that says what the picture shows")
    return Shown(_image(place.read_bytes(), kinds[place.suffix], words, width), words)
