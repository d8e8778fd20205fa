"""Exercises in a real JupyterLab, by keyboard alone, in both themes and two widths; what axe-core says of them."""

import json

import pytest
from playwright.sync_api import Locator, Page, expect

from kvmlab.exercises import exercise
from tests.browser.accessibility import violations
from tests.browser.lab import Lab, open_notebook, run_all, shoot

pytestmark = pytest.mark.browser

NAMES = ("gfn", "first-to-act", "tlb-hits", "fault-steps", "bad-schedule")
WITHIN = ".jp-Notebook section.kvmlab-practice"


@pytest.fixture
def panels(lab: Lab, page: Page, theme: str) -> Locator:
    sources = ["import kvmlab as kl", *(f'kl.practice("{name}")' for name in NAMES), 'kl.progress("03")']
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        for n, source in enumerate(sources)
    ]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": cells}
    (lab.folder / "practice.ipynb").write_text(json.dumps(notebook))
    (lab.folder / "report-03.json").unlink(missing_ok=True)
    page.set_viewport_size({"width": 1280, "height": 3000})
    open_notebook(page, lab, "practice.ipynb")
    run_all(page)
    found = page.locator(WITHIN)
    expect(found).to_have_count(len(NAMES))
    return found


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_exercises_are_done_by_keyboard_alone(panels: Locator, page: Page, lab: Lab, theme: str) -> None:
    gfn, first, hits, steps, schedule = (panels.nth(n) for n in range(len(NAMES)))
    gfn.locator("input").first.focus()
    page.keyboard.type("abc")
    press(page, "Enter")  # at once: what was typed must not come too late
    expect(gfn.locator(".said")).to_contain_text("Not counted: gfn is 'abc'")
    press(page, "Control+a")
    page.keyboard.type("0x5")
    press(page, "Tab", "5", "Tab", "Enter")
    expect(gfn.locator(".said")).to_contain_text("✗ Not right. gfn is not 0x5")
    press(page, "Tab", *["Enter"] * 4)
    expect(gfn.locator(".hints li")).to_have_count(3)
    expect(gfn.locator(".hints")).to_contain_text("The answer: gfn: 0x")

    first.locator("input").first.focus()
    press(page, "Space", "ArrowDown", "ArrowDown", "ArrowUp")  # JupyterLab would go to another cell
    expect(first.locator("input").nth(1)).to_be_checked()
    press(page, "Tab", "Enter")
    expect(first.locator(".said")).to_contain_text("ight.")

    hits.locator("input").first.focus()
    press(page, "Space", "Tab", "Tab", "Space")
    assert [box.is_checked() for box in hits.locator("input").all()] == [True, False, True, False, False, False]

    steps.locator("select").first.focus()
    before = page.locator(".jp-Cell").count()
    for letter in "abdfrtw":  # commands of JupyterLab: new cells, cells deleted
        press(page, letter, "Tab")
    expect(page.locator(".jp-Cell")).to_have_count(before)
    press(page, "Enter")
    expect(steps.locator(".said")).to_contain_text("Not counted")

    schedule.locator("input").focus()
    one = exercise("bad-schedule", 1)
    page.keyboard.type(one.form.show(one.answer).lower())
    press(page, "Enter")
    expect(schedule.locator(".said")).to_contain_text("✓ Right. In the end the tables map")
    title = schedule.locator("h4")
    expect(title).to_contain_text("seed 1")
    schedule.get_by_role("button", name="Another").press("Enter")
    expect(title).to_contain_text("seed 2")
    expect(schedule.get_by_role("button", name="Another")).to_be_focused()

    page.get_by_role("button", name="Save report").press("Enter")
    expect(page.locator(".kvmlab-progress-said")).to_contain_text("saved: ")
    assert json.loads((lab.folder / "report-03.json").read_text())["notebook"] == "03"
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 3000})
        assert violations(page, WITHIN) == {}
        assert violations(page, ".kvmlab-progress") == {}
        wide = panels.evaluate_all("all => all.filter(one => one.scrollWidth > one.clientWidth).length")
        assert wide == 0
        shoot(page.locator(".jp-Notebook").first, f"practice-{theme}-{width}")
