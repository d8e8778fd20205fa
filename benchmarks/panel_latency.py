"""Measure the fault panel in a real JupyterLab: from a click to the changed picture, and from opening to ready.

    python -m benchmarks.panel_latency

Needs Chromium. A click counts as answered when the page has been changed (dom) and when it has been painted (paint).
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.lab import open_notebook, run_all, running_lab
from tests.programs import find_chromium

NOTEBOOK = "01-a-guest-faults.ipynb"
CLICKS, ACCESSES = 100, 25

# The clock starts at the click and stops when the step number in the panel has changed, and again after the next frame.
CLICK = """async ([button, index]) => {
    const panel = document.querySelectorAll('.kvmlab-panel')[index], number = panel.querySelector('[data-p=n]');
    const before = number.textContent, from = performance.now();
    const changed = new Promise(done => new MutationObserver((_, observer) => {
        if (number.textContent !== before) { observer.disconnect(); done(performance.now() - from); }
    }).observe(number, {childList: true, characterData: true, subtree: true}));
    panel.querySelector(button).click();
    const dom = await changed;
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    return [dom, performance.now() - from];
}"""


def describe(name: str, samples: list[list[float]]) -> dict[str, object]:
    """Return the median and the 95th percentile of both clocks, in milliseconds."""
    result: dict[str, object] = {"what": name, "samples": len(samples)}
    for clock, values in zip(("dom", "paint"), zip(*samples, strict=True), strict=True):
        ordered = sorted(values)
        result[f"{clock}_median_ms"] = round(statistics.median(ordered), 2)
        result[f"{clock}_p95_ms"] = round(ordered[int(0.95 * (len(ordered) - 1))], 2)
    return result


def scrub(page: Page, panel: int) -> list[list[float]]:
    """Click "step" until the end, then "step back", and return the times."""
    times = []
    button = "[data-p=step]"
    for _ in range(CLICKS):
        if page.evaluate(
            "([p, b]) => document.querySelectorAll('.kvmlab-panel')[p].querySelector(b).disabled", [panel, button]
        ):
            button = "[data-p=back]" if button == "[data-p=step]" else "[data-p=step]"
        times.append(page.evaluate(CLICK, [button, panel]))
    return times


def access(page: Page, panel: int) -> list[list[float]]:
    """Let the guest touch a fresh page again and again, through the kernel, and return the times."""
    times = []
    field = page.locator(".kvmlab-panel").nth(panel).locator("input[type=text]").first
    for number in range(ACCESSES):
        field.fill(f"{0x8010_0000 + 4096 * number:#x}")
        page.wait_for_timeout(300)  # what was typed reaches Python by itself
        times.append(page.evaluate(CLICK, ["button.jupyter-button", panel]))
    return times


def main() -> None:
    """Measure and print one JSON object a line."""
    with tempfile.TemporaryDirectory() as home, running_lab(Path(home)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        from_here = time.perf_counter()
        open_notebook(page, lab, NOTEBOOK)
        opened = time.perf_counter()
        run_all(page)
        page.locator(".kvmlab-panel .kvm .title").first.wait_for()
        ready = time.perf_counter()
        print(
            json.dumps(
                {
                    "what": "open notebook",
                    "kernel_s": round(opened - from_here, 2),
                    "panels_s": round(ready - from_here, 2),
                }
            )
        )
        print(json.dumps(describe("step or step back, in the browser", scrub(page, 3))))
        print(json.dumps(describe("new access, through the kernel", access(page, 0))))
        browser.close()


if __name__ == "__main__":
    main()
