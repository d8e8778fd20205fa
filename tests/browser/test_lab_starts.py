"""The way from a click to Python and back to the page, with a notebook of three lines."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.lab import open_notebook, run_all, shoot, watch

pytestmark = pytest.mark.browser

BUTTON = """\
import ipywidgets
button, label = ipywidgets.Button(description="Count"), ipywidgets.Label("0")
label.add_class("count")
button.add_class("counter")
button.on_click(lambda _: setattr(label, "value", str(int(label.value) + 1)))
ipywidgets.VBox([button, label])
"""


@pytest.fixture
def notebook(lab):
    """Return a function that puts a notebook of one code cell into the served folder and returns its name."""
    path = lab.folder / "for-this-test.ipynb"

    def write(source):
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # else JupyterLab asks for one
        nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata=kernel), path)
        return path.name

    yield write
    path.unlink()


def test_a_click_reaches_python_and_comes_back(lab, theme, page, notebook):
    open_notebook(page, lab, notebook(BUTTON))
    run_all(page)
    expect(page.locator(".count")).to_have_text("0")
    page.locator(".counter").click()
    page.locator(".counter").click()
    expect(page.locator(".count")).to_have_text("2")
    assert page.locator("body").get_attribute("data-jp-theme-light") == ("true" if theme == "light" else "false")
    assert shoot(page, f"button-{theme}").stat().st_size > 10_000


@pytest.mark.parametrize("cell", ["1 / 0", "import warnings\nwarnings.warn('careful')"])
def test_an_error_or_a_warning_in_a_cell_is_noticed(lab, page, notebook, cell):
    open_notebook(page, lab, notebook(cell))
    with pytest.raises(AssertionError, match=r"ZeroDivisionError|careful"):
        run_all(page)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("console.error('broken')", "console: broken"),
        ("setTimeout(() => { throw new Error('thrown') })", "error: thrown"),
        ("fetch('http://kvmlab.invalid/x').catch(() => 0)", "request: http://kvmlab.invalid/x"),
    ],
)
def test_the_page_forgives_nothing(chromium, lab, script, problem):
    page = chromium.new_page()
    problems = watch(page, lab)
    page.goto("about:blank")  # where no policy of a server forbids the request
    page.evaluate(script)
    page.wait_for_timeout(200)
    assert problem in problems
    page.close()
