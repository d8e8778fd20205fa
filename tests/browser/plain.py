"""A plain page with the real player and styles: no JupyterLab, so tests of the player are quick."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, Route

from kvmlab.panels.player import module, style

ORIGIN = "http://plain.invalid"


@contextlib.contextmanager
def plain_page(chromium: Browser) -> Iterator[Page]:
    """Open a page that gets the player and looks.js and nothing else; it fails at its end on any error it has seen."""
    page_html = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>plain</title><style>body {{ margin: 0; }} '
        f'{style()}</style><script type="module">window.looks = await import("/looks.js");</script>'
    )
    files = {
        "/": ("text/html", page_html),
        "/player.js": ("text/javascript", module()),
        "/looks.js": ("text/javascript", Path(__file__).with_name("looks.js").read_text(encoding="utf-8")),
    }
    context = chromium.new_context()
    page, problems = context.new_page(), []

    def answer(route: Route) -> None:
        kind, body = files.get(route.request.url.removeprefix(ORIGIN), ("", None))
        if body is None:
            problems.append(f"request: {route.request.url}")
            route.abort()
        else:
            route.fulfill(content_type=kind, body=body)

    page.route("**/*", answer)
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{ORIGIN}/")
    page.wait_for_function("window.looks")
    yield page
    context.close()
    assert not problems, "\n".join(problems)
