"""Open a notebook with all eight panels, and bring each of them to a step, to its help, to a question."""

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect

from tests.browser.eight import ANY, CELL, KINDS
from tests.browser.lab import Lab, open_notebook, run_all

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
TO_STEP = "(slider, step) => { slider.value = step; slider.dispatchEvent(new Event('input', { bubbles: true })); }"


def open_cells(page: Page, lab: Lab, cells: list[str]) -> None:
    """Write a notebook of these cells, open it and run it."""
    path = lab.folder / "walk.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=KERNEL), path)
    open_notebook(page, lab, path.name)
    run_all(page)
    path.unlink()


def open_eight(page: Page, lab: Lab) -> dict[str, Locator]:
    """Open a notebook with all eight panels; return each panel by its kind."""
    open_cells(page, lab, [CELL.format(kind=kind) for kind in KINDS])
    expect(page.locator(f":is({ANY}) .stage > svg")).to_have_count(len(KINDS))
    return {kind: page.locator(ANY).nth(number) for number, kind in enumerate(KINDS)}


def go(panel: Locator, step: int) -> None:
    """Show a step, as the slider does."""
    panel.locator(".score input").evaluate(TO_STEP, step)


def ask(panel: Locator, step: int) -> None:
    """Have the panel ask what will happen at a step."""
    go(panel, step - 1)
    toggle = panel.locator("[data-p=ask]")
    if toggle.get_attribute("aria-pressed") == "false":
        toggle.click()
    panel.locator("[data-p=step]").click()
    expect(panel.locator("[data-p=asked] .q")).to_be_visible()
