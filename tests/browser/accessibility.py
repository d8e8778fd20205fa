"""What axe-core finds in a page, and what it cannot know: whether a picture's text says what is in it."""

from importlib.resources import files

from playwright.sync_api import Page

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
GRAVE = {"serious", "critical"}


def violations(page: Page, within: str) -> dict[str, list[str]]:
    """Return the serious and critical violations within a part of the page: rule to the elements that break it."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE)  # not as a script of the page: an export's policy allows none but its own
    found = page.evaluate("within => axe.run(within, { resultTypes: ['violations'] })", within)["violations"]
    return {
        f"{rule['id']} ({rule['impact']}): {rule['help']}": [node["html"][:200] for node in rule["nodes"]]
        for rule in found
        if rule["impact"] in GRAVE
    }


PICTURES = """within => [...document.querySelectorAll(`${within} .stage > svg, ${within} img`)].map(picture => ({
    label: picture.getAttribute('aria-label') ?? picture.getAttribute('alt') ?? '',
    says: (picture.getAttribute('aria-describedby') ?? '').split(/\\s+/).filter(Boolean)
        .map(id => document.getElementById(id)?.textContent ?? '').join(' '),
}))"""


def pictures(page: Page, within: str) -> list[dict[str, str]]:
    """Return the label and the description of every picture within a part of the page."""
    return page.evaluate(PICTURES, within)
