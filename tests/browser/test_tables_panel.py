"""The tables panel in JupyterLab: 5,000 leaves, folded and unfolded by click and by key, any entry decoded."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.lab import open_notebook, run_all, shoot

pytestmark = pytest.mark.browser

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
CELL = """
from kvmlab import panels
from kvmlab.panels.starts import one_guest
run = one_guest()
run.do("ioremap", vm=0, ipa=0x4000_0000, pa=0x2000_0000, size=5000 * 4096)
panels.tables(run, start="end")
"""


@pytest.fixture
def panel(lab, page):
    path = lab.folder / "leaves.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(CELL)], metadata=KERNEL), path)
    page.set_viewport_size({"width": 1280, "height": 1400})
    open_notebook(page, lab, path.name)
    run_all(page)
    yield page.locator(".kvmlab-panel")
    path.unlink()


def pick(panel, part):
    return panel.locator(f'[data-pick="{part}"]')


def test_a_run_of_leaves_unfolds_down_to_one_entry_which_is_decoded(panel):
    title = panel.locator("[data-p=title]").inner_text()
    pick(panel, "r0.1.0.0-511").click()
    expect(pick(panel, "r0.1.0.64-127")).to_be_visible()
    pick(panel, "r0.1.0.64-127").focus()
    panel.page.keyboard.press("Enter")
    expect(pick(panel, "r0.1.0.72-79")).to_be_visible()
    pick(panel, "r0.1.0.72-79").focus()
    panel.page.keyboard.press(" ")
    expect(pick(panel, "r0.1.0.75")).to_be_visible()
    pick(panel, "r0.1.0.75").click()
    expect(panel.locator(".stage")).to_contain_text(f"{0x00C0_0000_0000_07D3 | 0x2004_B000:#018x}")
    assert panel.locator("[data-p=title]").inner_text() == title, "the step stays"
    assert panel.evaluate("panel => panel.contains(document.activeElement)"), "and so does the focus"
    shoot(panel, "tables-unfolded")
    panel.page.keyboard.press("Home")
    expect(panel.locator("[data-p=n]")).to_contain_text("1/")


def test_a_table_folds_and_comes_back(panel):
    expect(pick(panel, "r0.1.0.0-511")).to_be_visible()
    pick(panel, "h0.1.0").click()
    expect(pick(panel, "r0.1.0.0-511")).to_have_count(0)
    pick(panel, "r0.1.0").click()
    expect(pick(panel, "r0.1.0.0-511")).to_be_visible()
