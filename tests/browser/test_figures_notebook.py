"""Notebook 08 in a real JupyterLab: every figure has its words and the colours of the theme, the files are written."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, open_notebook, run_all
from tests.browser.pictures import look_at_figures

pytestmark = pytest.mark.browser


def test_figures_for_a_talk(lab: Lab, page: Page, theme: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 1000})
    open_notebook(page, lab, "08-make-figures.ipynb")
    run_all(page, timeout=180_000)

    walks = "0x802032a4", "0x80001008", "0xc0000000"
    look_at_figures(page, theme, (*walks, "4-bit VMIDs"), "figures")

    player = page.locator(".kvmlab-panel .kvm").first
    player.scroll_into_view_if_needed()
    player.focus()
    page.keyboard.press("Home")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    expect(player.locator("[data-p=title]")).to_have_text("Before any lock: the cache is filled to 40 pages")
    still = page.locator(".jp-OutputArea img[alt*='Before any lock']").first
    expect(still).to_be_visible()

    written = {path.name for path in (lab.folder / "figures").iterdir()}
    assert written >= {"cache.svg", "again.svg", "cliff-dark.png", "cliff.pdf", "walk.gif", "walk.html"}
