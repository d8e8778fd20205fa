"""Notebooks 03, 04 and 06 in a real JupyterLab: run them, and do in their panels what they ask for."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab, open_notebook, run_all, shoot

pytestmark = pytest.mark.browser


def opened(page: Page, lab: Lab, name: str, kind: str) -> Locator:
    """Run a notebook and return its panels of a kind."""
    page.set_viewport_size({"width": 1280, "height": 1400})
    open_notebook(page, lab, name)
    run_all(page)
    return page.locator(".kvmlab-panel", has=page.locator(f".kvm.{kind}"))


def fill(panel: Locator, field: str, value: str) -> None:
    box = panel.locator(f".kvmlab-{field} input")
    box.fill(value)
    box.press("Tab")


def test_the_leak_of_notebook_03(lab: Lab, page: Page, theme: str) -> None:
    panels = opened(page, lab, "03-build-the-tables.ipynb", "tables")
    expect(panels).to_have_count(3)
    player = panels.nth(2).locator(".kvm")
    title = player.locator("[data-p=title]")
    player.scroll_into_view_if_needed()
    expect(player).to_have_attribute("data-theme", theme)
    expect(title).to_have_text("Guest 0 is destroyed")
    player.focus()
    page.keyboard.press("PageDown")
    expect(title).to_have_text("The level 3 table at 0x40028000 is freed")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("Level 3 entry 2 is cleared")
    page.keyboard.press("End")
    expect(title).to_have_text("Guest 0 ends: 1 table frames freed, 4 leak")
    shoot(player, f"tables-leak-{theme}")


def test_the_failure_of_notebook_04(lab: Lab, page: Page) -> None:
    panel = opened(page, lab, "04-allocate-before-you-lock.ipynb", "cache").first
    said = panel.locator(".kvmlab-message")
    panel.locator(".kvmlab-allocate-under-the-lock\\?").click()
    expect(said).to_contain_text("GFP_KERNEL may sleep")
    fill(panel, "ipa", "0x88000000")
    fill(panel, "stores", "50")
    fill(panel, "fail-the-k-th", "3")
    panel.locator(".kvmlab-fail-it").click()
    expect(said).to_contain_text("allocation 3 from now will fail")
    panel.locator(".kvmlab-store").click()
    expect(said).to_contain_text("38 stores from 0x88000000 on: 38 faults; the last one ended with error")
    player = panel.locator(".kvm")
    player.focus()
    page.keyboard.press("End")
    expect(player.locator("[data-p=n]")).not_to_have_text("8/8")
    shoot(player, "cache-failure")


def test_the_bad_calls_of_notebook_06(lab: Lab, page: Page) -> None:
    panels = opened(page, lab, "06-give-a-guest-a-device.ipynb", "ioremap")
    expect(panels).to_have_count(2)
    panel = panels.nth(1)
    said = panel.locator(".kvmlab-message")
    for button, words in (("over-ram", "returned -14"), ("ends-at-4-gib", "returned 0"), ("fails-half-way", "-12")):
        panel.locator(f".kvmlab-{button}").click()
        expect(said).to_contain_text(words)
    fill(panel, "guest-at", "0xfffff000")
    panel.locator(".kvmlab-access button, button.kvmlab-access").click()
    expect(said).to_contain_text("read 0xfffff000: mmio, 1 fault")
    shoot(panel, "ioremap-bad-calls")
