"""Notebooks 05 and 07 in a real JupyterLab: step through what the host does, act by the controls, answer, look."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab, open_notebook, run_all, shoot

pytestmark = pytest.mark.browser
LONG = 180_000


def titles_to(player: Locator, page: Page, wanted: str) -> list[str]:
    """Step forward until a title begins as wanted, at most 40 steps; return the titles on the way."""
    player.scroll_into_view_if_needed()
    player.focus()
    title, seen = player.locator("[data-p=title]"), []
    for _ in range(40):
        seen.append(title.inner_text())
        if seen[-1].startswith(wanted):
            return seen
        page.keyboard.press("ArrowRight")
    raise AssertionError(f"no {wanted!r} in {seen}")


def choose(panel: Locator, name: str, label: str) -> None:
    panel.locator(f".kvmlab-{name} select").select_option(label=label)


def test_the_host_takes_pages_back(lab: Lab, page: Page, theme: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 1000})
    open_notebook(page, lab, "05-the-host-takes-pages-back.ipynb")
    run_all(page, timeout=LONG)
    panels = page.locator(".kvmlab-panel")

    swapped = panels.first.locator(".kvm")
    expect(swapped).to_have_attribute("data-theme", theme)
    seen = titles_to(swapped, page, "Frame 0xa0000 is free")
    assert [title.split(":")[0] for title in seen[-3:-1]] == [
        "The host's entry for hva 0x40000000 is cleared",
        "KVM is told",
    ]
    expect(panels.nth(1).locator("[data-p=title]")).to_have_text("Flush by VMID 1: 2 entries go")

    seven = panels.last
    seven.scroll_into_view_if_needed()
    for ipa, act in (("0x80000000", "merge with the next"), ("0x80002000", "swap out")):
        field = seven.locator(".kvmlab-ipa input")
        field.fill(ipa)
        field.press("Tab")
        choose(seven, "host", act)
        seven.get_by_role("button", name="Host", exact=True).click()
        expect(seven.locator(".kvmlab-message")).to_contain_text(act)
    page.keyboard.press("End")
    expect(seven.locator("[data-id='seq.t']")).to_have_text("7")
    shoot(seven, f"notifier-seven-{theme}")


def test_two_cpus_at_once(lab: Lab, page: Page, theme: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 1000})
    open_notebook(page, lab, "07-two-cpus-at-once.ipynb")
    run_all(page, timeout=LONG)
    broken = page.locator(".kvmlab-panel").nth(2)
    seen = titles_to(broken.locator(".kvm"), page, "Frame 0xa0001 is free, and still mapped")
    assert "Sampled 0, now 1, count 0: mapped all the same" in seen
    shoot(broken, f"race-broken-{theme}")

    grids = page.locator(f"img.kvmlab-{theme}")
    expect(grids).to_have_count(2)
    for number, words in enumerate(("150 of 462 schedules end badly", "105 of 462 schedules end badly")):
        grids.nth(number).scroll_into_view_if_needed()
        expect(grids.nth(number)).to_be_visible()
        assert words in (grids.nth(number).get_attribute("alt") or "")
    shoot(grids.first, f"race-grid-{theme}")
