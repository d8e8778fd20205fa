"""The notebook that tries every panel, in a real JupyterLab: each is there and can be stepped with the keyboard."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, open_notebook, run_all

pytestmark = pytest.mark.browser


def test_every_panel_can_be_stepped(lab: Lab, page: Page, theme: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 1000})
    open_notebook(page, lab, "panels.ipynb")
    run_all(page, timeout=180_000)
    players = page.locator(".jp-OutputArea .kvm")
    count = players.count()
    assert count >= 8
    for n in range(count):
        player = players.nth(n)
        player.scroll_into_view_if_needed()
        expect(player).to_have_attribute("data-theme", theme)
        number = player.locator("[data-p=n]")
        player.focus()
        page.keyboard.press("Home")
        expect(number).to_have_text(re.compile(r"^\s*1/\d+$"), use_inner_text=True)
        before = player.locator("[data-p=title]").inner_text()
        if number.inner_text().strip() != "1/1":
            page.keyboard.press("ArrowRight")
            expect(number).to_have_text(re.compile(r"^\s*2/\d+$"), use_inner_text=True)
            page.keyboard.press("ArrowLeft")
        expect(player.locator("[data-p=title]")).to_have_text(before, use_inner_text=True)
    names = {name for one in page.locator(".kvm").all() for name in (one.get_attribute("class") or "").split()}
    assert {"fault", "tables", "cache", "vmid", "tlb", "notifier", "ioremap", "flush"} <= names
