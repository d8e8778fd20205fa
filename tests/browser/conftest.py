"""A JupyterLab, a Chromium, and a page that forgives nothing."""

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.lab import running_lab, watch
from tests.programs import find_chromium

CHROMIUM_ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A JupyterLab of its own on a copy of the notebooks, one for all tests."""
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium; for one module only, because Playwright keeps an event loop running meanwhile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(params=["light", "dark"])
def theme(request, lab):
    """Each of JupyterLab's two themes in turn; a test that takes no theme sees the light one."""
    lab.set_theme(request.param)
    yield request.param
    lab.set_theme("light")


@pytest.fixture
def page(chromium, lab):
    """An empty page. The test fails on any error in its console and any request off this machine."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems = watch(page, lab)
    yield page
    seen = list(problems)  # what closing the page may bring does not count
    context.close()
    lab.stop_kernels()
    assert not seen, "\n".join(seen)
