"""Notebook 02 in a real JupyterLab: run it, step by keyboard and mouse, let another guest enter, look at the figure."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab, open_notebook, run_all, shoot
from tests.browser.pictures import look_at_figures

pytestmark = pytest.mark.browser

NOTEBOOK = "02-vmids-run-out.ipynb"
FIGURES = ("Up to 255 guests: exactly 0", "250 to 270", "512 entries", "the marks of both")
"""The flush frequency, the cliff, the cost, and both allocators."""


def test_the_notebook_in_the_browser(lab: Lab, page: Page, theme: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 1400})
    open_notebook(page, lab, NOTEBOOK)
    run_all(page)
    panels = page.locator(".kvmlab-panel")  # the first entry; 16 guests on 4 bits; 258 guests on 8
    expect(panels).to_have_count(3)
    walk_the_classroom(panels.nth(1), page, theme)
    let_another_guest_enter(panels.nth(1), page, theme)
    look_at_eight_bits(panels.nth(2).locator(".kvm"), page, theme)
    look_at_figures(page, theme, FIGURES, "vmid-figure")
    set_both_allocators_beside_each_other(page.locator(".kvmlab-compare"), page, theme)


def walk_the_classroom(panel: Locator, page: Page, theme: str) -> None:
    player = panel.locator(".kvm")
    player.scroll_into_view_if_needed()
    expect(player).to_have_attribute("data-theme", theme)
    title, flushes = player.locator("[data-p=title]"), player.locator("[data-id='n.fl.t']")

    # keyboard
    player.focus()
    page.keyboard.press("Home")
    expect(title).to_have_text("16 numbers, none of them in use")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("CPU 0 wants to enter guest 0, which has no VMID yet")
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("16 numbers, none of them in use")
    page.keyboard.press("PageDown")
    expect(title).to_have_text("A full flush, although nothing is there to flush")
    expect(flushes).to_have_text("1")
    page.keyboard.press("PageDown")
    expect(title).to_have_text("FULL FLUSH: all TLBs, all CPUs")
    expect(flushes).to_have_text("2")
    expect(player.locator("[data-id='cpu0.v']")).to_have_text("kicked")
    expect(player.locator("[data-id='ev.a']")).to_have_text("FULL FLUSH")
    expect(player.locator("[data-id=v7]")).to_have_class("cell stale")
    shoot(player, f"vmid-flush-{theme}")

    # mouse: buttons, then the slider
    player.locator("[data-p=back]").click()
    expect(title).to_have_text("CPU 0 is kicked out of its guest")
    player.locator("[data-p=step]").click()
    player.locator("[data-p=step]").click()
    expect(title).to_have_text("Guest 15 gets VMID 1")
    expect(player.locator("[data-id='v1.t']")).to_have_text("guest 15")
    expect(player.locator("[data-id='gen.t']")).to_have_text("3")
    slider = player.locator(".score input")
    box = slider.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    expect(player.locator("[data-p=n]")).to_have_text(" 1/27", use_inner_text=True)
    expect(flushes).to_have_text("0")


def let_another_guest_enter(panel: Locator, page: Page, theme: str) -> None:
    title, count = panel.locator("[data-p=title]"), panel.locator("[data-p=n]")
    field = panel.locator(".kvmlab-guest input")
    field.fill("0")
    field.press("Tab")
    panel.locator(".kvmlab-enter").click()
    expect(title).to_have_text("Guest 0 comes back and gets VMID 2")
    expect(count).to_have_text("28/28")
    expect(panel.locator(".kvmlab-message")).to_contain_text("guest 0 entered on CPU 0")
    page.keyboard.press("ArrowLeft")  # the focus has gone to the player
    expect(title).to_have_text("Guest 15 gets VMID 1")
    page.keyboard.press("End")
    shoot(panel, f"vmid-panel-{theme}")

    field.fill("99")
    field.press("Tab")
    panel.locator(".kvmlab-enter").click()
    expect(panel.locator(".kvmlab-message [role=alert]")).to_have_text("Not done: guest is 99; allowed: 0 to 19")
    expect(count).to_have_text("28/28")


def look_at_eight_bits(player: Locator, page: Page, theme: str) -> None:
    player.scroll_into_view_if_needed()
    player.focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    expect(player.locator("[data-p=title]")).to_have_text("FULL FLUSH: all TLBs, all CPUs")
    expect(player.locator("[data-id=cpu3] > text").first).to_have_text("CPU 3")
    assert player.locator("[data-id^=v][class~=stale]").count() == 255
    shoot(player, f"vmid-eight-{theme}")


def set_both_allocators_beside_each_other(both: Locator, page: Page, theme: str) -> None:
    both.scroll_into_view_if_needed()
    players, rows = both.locator(".kvm"), both.locator(".kvmlab-costs tbody tr")
    expect(players).to_have_count(2)
    players.first.focus()
    page.keyboard.press("End")
    expect(rows.nth(0).locator("td").first).to_have_text("40")
    expect(rows.nth(1).locator("td").first).to_have_text("40")
    cells = [rows.nth(n).locator("td").all_inner_texts() for n in (0, 1)]
    (_, flushes, kicks, forced, renumbered), (_, later, none, nothing, fewer) = (map(int, row) for row in cells)
    assert flushes == later + 1 > 1  # the one at boot
    assert kicks == forced > none == nothing == 0
    assert renumbered > fewer
    shoot(both, f"vmid-allocators-{theme}")
