"""Find pictures that say nothing to those who cannot see them, in the outputs of a notebook."""

from html.parser import HTMLParser


class _Pictures(HTMLParser):
    """Collects the pictures of a piece of HTML that have no words."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        hidden = said.get("aria-hidden") == "true"
        named = said.get("alt") if tag == "img" else said.get("aria-label") or said.get("aria-labelledby")
        if tag in ("img", "svg") and not hidden and not named:
            self.silent.append(f"<{tag}> without words")


def missing_alternatives(output):
    """Return what is wrong with the pictures of an output.

    A picture has to come as HTML: JupyterLab shows any other, SVG with a title included, as an image without words.
    """
    data = output.get("data", {})
    if html := data.get("text/html"):
        pictures = _Pictures()
        pictures.feed(html)
        return pictures.silent
    return [f"{kind} alone, without words" for kind in data if kind.startswith("image/")]
