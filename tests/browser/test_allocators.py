"""The two allocators side by side, in a notebook: they move together, ask, count, and can be used by everybody."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.accessibility import pictures, violations
from tests.browser.lab import open_notebook, run_all, shoot

pytestmark = pytest.mark.browser

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
CELL = "from kvmlab.panels.allocators import allocators\nallocators(predict={predict})"
WIDTHS = {1280: 2, 800: 1}
"""Width of the window, and how many players stand beside each other in it."""


@pytest.fixture
def opened(lab, page):
    """Open a notebook with the comparison, at a width, asking or not; return its part of the page."""
    path = lab.folder / "allocators.ipynb"

    def open_(width, predict=False):
        nbformat.write(new_notebook(cells=[new_code_cell(CELL.format(predict=predict))], metadata=KERNEL), path)
        page.set_viewport_size({"width": width, "height": 2400})
        open_notebook(page, lab, path.name)
        run_all(page)
        return page.locator(".kvmlab-compare")

    yield open_
    path.unlink()


def titles(panel):
    return [title.inner_text() for title in panel.locator("[data-p=title]").all()]


def row(panel, name):
    return panel.locator("table tr", has_text=name).locator("td").all_inner_texts()


@pytest.mark.parametrize("width", WIDTHS)
def test_they_move_together_and_what_it_cost_is_counted(opened, page, theme, width):
    panel = opened(width)
    for entries in ("15", "29"):
        panel.get_by_role("button", name="Next rollover").click()
        expect(panel.locator("table tr", has_text="5.18").locator("td").first).to_have_text(entries)
    assert row(panel, "3.9") == ["29", "2", "1", "1", "10"]
    assert row(panel, "5.18") == ["29", "1", "0", "0", "9"]
    panel.locator(".kvm").first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert titles(panel) == ["CPU 0 is kicked out of its guest", "Nobody is kicked: VMID 14 stays with its guest"]
    expect(panel.locator("table tr", has_text="3.9").locator("td").nth(2)).to_have_text("2")
    links = [link.get_attribute("href") for link in panel.locator("[data-p=fn]").all()]
    assert links == [
        "https://elixir.bootlin.com/linux/v3.9/source/arch/arm/kvm/arm.c",
        "https://elixir.bootlin.com/linux/v5.18/source/arch/arm64/kvm/vmid.c",
    ]
    assert panel.locator("[data-p=fn]").last.get_attribute("title").startswith("arch/arm64/kvm/vmid.c, Linux 5.18")
    tops = {round(box["y"]) for box in (player.bounding_box() for player in panel.locator(".kvm").all())}
    assert len(tops) == 3 - WIDTHS[width]
    assert panel.evaluate("box => box.scrollWidth <= box.clientWidth + 1")
    assert violations(page, ".kvmlab-compare") == {}
    assert [picture["says"].split(".")[0] for picture in pictures(page, ".kvmlab-compare")] == titles(panel)
    assert shoot(panel, f"allocators-{theme}-{width}").stat().st_size > 20_000


def test_whoever_is_used_asks_and_the_other_one_waits(opened, page):
    panel = opened(1280, predict=True)
    panel.get_by_role("button", name="Next rollover").click()
    expect(panel.locator("table tr", has_text="5.18").locator("td").first).to_have_text("15")
    before = titles(panel)
    first, second = panel.locator(".kvm").all()
    second.focus()
    page.keyboard.press("ArrowRight")
    asked = second.locator("[data-p=asked]")
    expect(asked).to_contain_text("All 15 numbers are taken")
    assert first.locator("[data-p=asked]").is_hidden()
    assert titles(panel) == before, "nobody goes on before the answer"
    page.keyboard.press("1")
    expect(asked).to_contain_text("It did")
    assert [title.endswith("needs a VMID") for title in titles(panel)] == [True, True]
