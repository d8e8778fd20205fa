"""Look at the figures of a notebook: each is there in the colours of the theme, loaded, and says what it shows."""

from collections.abc import Sequence

from playwright.sync_api import Page, expect

from tests.browser.lab import shoot


def look_at_figures(page: Page, theme: str, words: Sequence[str], name: str) -> None:
    """Expect these figures, each with such words in its alternative text, and keep a picture of each."""
    other = "dark" if theme == "light" else "light"
    shown, hidden = page.locator(f"img.kvmlab-{theme}"), page.locator(f"img.kvmlab-{other}")
    expect(shown).to_have_count(len(words))
    for n, said in enumerate(words):
        figure = shown.nth(n)
        figure.scroll_into_view_if_needed()
        expect(figure).to_be_visible()
        expect(hidden.nth(n)).to_be_hidden()
        assert said in (figure.get_attribute("alt") or "")
        assert figure.evaluate("img => img.complete && img.naturalWidth") > 1000
        shoot(figure, f"{name}-{n}-{theme}")
