"""Give every figure the same colours and type, the same bytes on each run, and words for those who cannot see it."""

import base64
import html
import io
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from kvmlab.engine.errors import InputError

WIDTH, HEIGHT = 1280, 720
SALT = "kvmlab"
NEVER_DATED = {"Date": None}

# The values of the panels' colour tokens. A curve's second sign is the shape of its marks, and a label at its end.
TOKENS = {
    "light": {
        "paper": "#ffffff",
        "ink": "#10151b",
        "ink2": "#434c58",
        "ink3": "#5f6975",
        "line": "#c9d0d9",
        "line2": "#7b8592",
        "now": "#b83c06",
        "rr": "#10151b",
        "uni": "#0e5cd3",
        "zipf": "#5e1478",
        "host": "#0f6b59",
    },
    "dark": {
        "paper": "#10151b",
        "ink": "#f1f4f8",
        "ink2": "#bcc5d0",
        "ink3": "#a2adb9",
        "line": "#3a4450",
        "line2": "#7d8997",
        "now": "#ff9a52",
        "rr": "#f1f4f8",
        "uni": "#5a9cf5",
        "zipf": "#e7b6f5",
        "host": "#50cca8",
    },
}


def tokens(theme: str) -> dict[str, str]:
    """Return the colours of a theme, by token.

    Args:
        theme: "light" or "dark".

    Raises:
        InputError: if there is no such theme.
    """
    if theme not in TOKENS:
        raise InputError(f"theme is {theme!r}; allowed: {' or '.join(map(repr, TOKENS))}")
    return TOKENS[theme]


class Slide(Figure):
    """A figure that shows itself in a notebook, with a text alternative.

    Attributes:
        kvmlab_alt: what can be seen, in sentences.
    """

    kvmlab_alt = ""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return what Jupyter displays."""
        return show(self)._repr_mimebundle_(include, exclude)


def new_figure(theme: str) -> Slide:
    """Return an empty figure for one slide, 1280 x 720 px at 100 dots an inch, on the paper of the theme."""
    return Slide(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor=tokens(theme)["paper"])


def px(size: float) -> float:
    """Return a length of so many pixels in points, the unit of matplotlib's type and lines."""
    return size * 72 / 100


def alt(figure: Figure) -> str:
    """Return the figure's text alternative: what it shows, in sentences."""
    return str(figure.kvmlab_alt)  # type: ignore[attr-defined]


def to_bytes(figure: Figure, kind: str = "svg") -> bytes:
    """Return the figure as a file, byte for byte the same for the same data.

    Args:
        figure: a figure of this package.
        kind: "svg" (letters as outlines, so it looks the same everywhere) or "png".

    Raises:
        InputError: if the kind is another.
    """
    if kind not in ("svg", "png"):
        raise InputError(f"kind is {kind!r}; allowed: 'svg' or 'png'")
    about: dict[str, Any] = {"Title": alt(figure)} if kind == "png" else {**NEVER_DATED, "Description": alt(figure)}
    with matplotlib.rc_context({"svg.hashsalt": SALT, "svg.fonttype": "path"}), io.BytesIO() as file:
        figure.savefig(file, format=kind, metadata=about)
        return file.getvalue()


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
        return Shown(_picture(light, ""), alt(light))
    rule = (
        "<style>body[data-jp-theme-light=false] .kvmlab-light,"
        "body:not([data-jp-theme-light=false]) .kvmlab-dark{display:none}</style>"
    )
    return Shown(rule + _picture(light, "kvmlab-light") + _picture(dark, "kvmlab-dark"), alt(light))


def _picture(figure: Figure, name: str) -> str:
    data = base64.b64encode(to_bytes(figure)).decode()
    style = f"width:100%;max-width:{WIDTH}px;height:auto"
    words = html.escape(alt(figure))
    return f'<img class="{name}" alt="{words}" style="{style}" src="data:image/svg+xml;base64,{data}">'
