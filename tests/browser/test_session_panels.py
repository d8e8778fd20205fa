"""Panels of one run move together; runs do not disturb each other; a kernel that is gone is said to be gone."""

from bisect import bisect_right

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from kvmlab.panels import fault, vmids
from kvmlab.panels.starts import one_guest
from tests.browser.lab import open_notebook, run_all, shoot

pytestmark = pytest.mark.browser

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
CELLS = [
    "from kvmlab.panels import fault, vmids\nfrom kvmlab.panels.starts import one_guest\n"
    "run, other = one_guest(vmid_bits=4), one_guest()",
    "one = fault(run)\none",
    "vmids(run)",
    "fault(other)",
    "one",
]


@pytest.fixture
def notebook(lab, page):
    """A notebook with two panels of one run, one of another, and the first one once more; all cells run."""
    path = lab.folder / "session.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in CELLS], metadata=KERNEL), path)
    open_notebook(page, lab, path.name)
    run_all(page)
    yield page
    path.unlink()


def panels(page):
    return [page.locator(".kvmlab-panel").nth(number) for number in range(4)]


def at(panel):
    return int(panel.locator("[data-p=n]").inner_text().split("/")[0]) - 1


def title(panel):
    return panel.locator("[data-p=title]").inner_text()


def test_they_grow_and_move_together_and_others_stay(notebook):
    one, tags, other, twin = panels(notebook)
    before = (at(other), title(other), other.locator("[data-p=n]").inner_text())
    one.get_by_role("button", name="Access").click()
    expect(tags.locator("[data-p=title]")).not_to_have_text("No guest has run yet")

    run = one_guest(vmid_bits=4)  # the same, without a browser
    faults, numbers = fault(run), vmids(run)
    faults.access()
    expect(one.locator("[data-p=n]")).to_contain_text(f"/{len(faults.scene.steps)}")
    expect(tags.locator("[data-p=n]")).to_contain_text(f"/{len(numbers.scene.steps)}")
    events = [step.event for step in numbers.scene.steps]
    one.locator(".kvm").focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "End", "ArrowLeft", "PageUp"):
        notebook.keyboard.press(key)
        step = faults.scene.steps[at(one)]
        assert title(one) == title(twin) == step.title
        assert at(tags) == max(0, bisect_right(events, step.event) - 1)
    assert (at(other), title(other), other.locator("[data-p=n]").inner_text()) == before


def test_undo_and_another_past_side_by_side(notebook):
    one, *_ = panels(notebook)
    field = one.locator("input[type=text]").first
    one.get_by_role("button", name="Access").click()
    expect(one.locator(".kvmlab-message").first).to_contain_text("done, 1 fault")
    field.fill("0x80200000")
    one.get_by_role("button", name="Access").click()
    expect(one.locator(".kvmlab-message").first).to_contain_text("0x80200000")
    one.get_by_role("button", name="Undo").click()
    expect(one.locator(".kvmlab-message").first).to_contain_text("undone")
    one.get_by_role("button", name="Redo").click()
    expect(one.locator(".kvmlab-message").first).to_contain_text("done again")

    one.locator(".kvm").first.focus()
    notebook.keyboard.press("End")
    one.get_by_role("button", name="Branch").first.click()
    compared = one.locator(".kvmlab-compare")
    compared.wait_for()
    compared.locator("input[type=text]").first.fill("0xc0000000")
    compared.get_by_role("button", name="Access").click()
    expect(compared.locator(".differs").first).to_be_attached()
    assert compared.locator(".kvm").count() == 2
    notebook.set_viewport_size({"width": 1600, "height": 2400})
    compared.scroll_into_view_if_needed()
    assert shoot(compared, "branch").stat().st_size > 20_000


def test_a_kernel_that_is_gone_is_said_to_be_gone(notebook):
    one, *_ = panels(notebook)
    one.get_by_role("button", name="Access").click()
    expect(one.locator("[data-p=n]")).to_contain_text("2/")
    notebook.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(one.locator("[data-p=lost]")).to_be_visible(timeout=20_000)
    assert "run all cells" in one.locator("[data-p=lost]").inner_text()
    one.locator(".kvm").focus()
    notebook.keyboard.press("ArrowRight")
    assert at(one) == 2
    notebook.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'", timeout=30_000
    )
    run_all(notebook)
    one, *_ = panels(notebook)
    expect(one.locator("[data-p=lost]")).to_be_hidden()
    one.get_by_role("button", name="Access").click()
    expect(one.locator(".kvmlab-message").first).to_contain_text("done, 1 fault")
