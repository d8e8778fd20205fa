"""Notebooks 00 and 09, the glossary and the teacher's in a real JupyterLab: run, used, and their links followed."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import WAIT, Lab, open_notebook, run_all, shoot

pytestmark = pytest.mark.browser

HERE = "() => window.jupyterapp.shell.currentWidget.context.path"
ON_TOP = """anchor => {
    const node = window.jupyterapp.shell.currentWidget.node;
    const heading = node.querySelector(`h3[data-jupyter-id="${anchor}"], h3[id="${anchor}"]`);
    const box = heading?.getBoundingClientRect();
    return Boolean(box) && box.height > 0 && box.top >= 0 && box.top < window.innerHeight;
}"""


def test_the_first_panel_of_all(lab: Lab, page: Page, theme: str) -> None:
    open_notebook(page, lab, "00-start-here.ipynb")
    run_all(page)
    expect(page.get_by_alt_text("A map.", exact=False).locator("visible=true")).to_have_count(1)
    player = page.locator(".kvmlab-panel").first.locator(".kvm")
    title = player.locator("[data-p=title]")
    expect(title).to_have_text("Level 3, entry 0 maps pfn 0xa0000, read and write")  # where the next cell moved it
    player.focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    expect(title).to_have_text("Level 1, entry 2 is empty: the walk ends here")
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("The TLB has no entry for this page")
    shoot(player, f"start-here-{theme}")


def test_a_word_leads_to_the_glossary_and_there_to_its_text(lab: Lab, page: Page) -> None:
    page.goto(f"{lab.url}/lab/tree/00-start-here.ipynb?reset")
    page.locator(".jp-Notebook").first.wait_for(timeout=WAIT)
    page.get_by_role("link", name="HVA", exact=True).first.click()
    page.wait_for_function(f"() => ({HERE})() === 'glossary.ipynb'", timeout=WAIT)
    index = page.get_by_role("link", name="HVA", exact=True).locator("visible=true").first
    index.click()
    page.wait_for_function(ON_TOP, arg="HVA")
    # From now on a link in another notebook leads to the word itself.
    page.locator(".lm-TabBar-tab", has_text="00-start-here").click()
    page.get_by_role("link", name="walk cache").locator("visible=true").first.click()
    page.wait_for_function(ON_TOP, arg="Walk-cache")


def test_the_tables_of_the_code(lab: Lab, page: Page) -> None:
    open_notebook(page, lab, "09-read-the-real-code.ipynb")
    run_all(page)
    table = page.locator(".jp-OutputArea-output table").first
    expect(table.get_by_role("row").filter(has_text="user_mem_abort").first).to_contain_text("abort.py:")
    link = table.get_by_role("link", name="arch/arm/kvm/mmu.c").first
    expect(link).to_have_attribute("href", "https://elixir.bootlin.com/linux/v3.9/source/arch/arm/kvm/mmu.c")


def test_the_questions_keep_their_answers_until_asked(lab: Lab, page: Page, theme: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 1400})
    open_notebook(page, lab, "teacher.ipynb")
    run_all(page)
    question = page.locator(".jp-OutputArea-output section").filter(has_text="P4.")
    answer = question.get_by_text("The TLB has a copy of the finished walk")
    expect(answer).to_be_hidden()
    question.locator("summary").click()
    expect(answer).to_be_visible()
    shoot(question, f"peer-question-{theme}")
