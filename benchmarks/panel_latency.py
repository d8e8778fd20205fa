"""Measure all panels on one page of a real JupyterLab: memory, traffic, new commands, and scrubbing through long runs.

    python -m benchmarks.panel_latency

Needs Chromium. Times are milliseconds in the browser. `dom`: until the page has been changed; `paint`: until the next
frame has been drawn as well.
"""

import json
import re
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, WebSocket, sync_playwright

from tests.browser.lab import Lab, open_notebook, run_all, running_lab
from tests.programs import find_chromium

COMMANDS, STEPS, LONG = 25, 100, 2_000
SHARED = ("fault", "tables", "cache", "tlb", "vmids")
OWN = ("notifiers", "ioremap", "flushes")
ALL = [
    "from kvmlab import panels\nfrom kvmlab.engine import Config\nfrom kvmlab.session import Session",
    "session = Session(Config(vmid_bits=8))\nfor _ in range(2):\n"
    "    session.do('create_vm', slots=[(0x8000_0000, 64 << 20, 0x4000_0000)])",
    *(f"panels.{name}(session)" for name in SHARED),
    *(f"panels.{name}()" for name in OWN),
]
LONG_RUNS = [
    f"""from kvmlab import panels
from kvmlab.panels.starts import RAM, one_guest

def grown(panel, page=0):
    while len(panel.scene.steps) < {LONG}:
        with panel.session.together():
            for page in range(page + 1, page + 11):
                panel.session.do("access", vm=0, ipa=RAM.ipa + (page << 12), access="write")
    return panel""",
    f"many = panels.vmids()\nwhile len(many.scene.steps) < {LONG}:\n    many.run(250)\nmany",
    "grown(panels.fault(one_guest()))",
    "grown(panels.tables(one_guest()))",
]

# The clock starts at the click, or at the key on a slider, and stops when the picture has changed, and again after
# the next frame.
CLICK = """async ([panel, button]) => {
    const from = performance.now();
    const changed = new Promise((done, fail) => {
        setTimeout(() => fail(new Error("no change")), 20000);
        new MutationObserver((_, observer) => { observer.disconnect(); done(performance.now() - from); })
            .observe(panel.querySelector('[data-p=stage]'),
                {childList: true, attributes: true, characterData: true, subtree: true});
    });
    if (button.matches("button")) button.click();
    else button.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
    const dom = await changed;
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    return [dom, performance.now() - from];
}"""
# Jumps of every length, as a hand on the slider makes them. One frame each.
SCRUB = """async ([root, steps]) => {
    const range = root.querySelector('input[type=range]'), last = Number(range.max), times = [];
    for (let i = 0; i < steps; i++) {
        range.value = Math.round(last / 2 * (1 - Math.cos(i * i / steps)));
        const from = performance.now();
        range.dispatchEvent(new Event('input', {bubbles: true}));
        const script = performance.now() - from;
        await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
        times.push([script, performance.now() - from]);
    }
    return times;
}"""
MEMORY = """async () => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const asked = { code: '', user_expressions: { status: "open('/proc/self/status').read()" } };
    return (await kernel.requestExecute(asked).done).content.user_expressions.status.data['text/plain'];
}"""


class Traffic:
    """Bytes and messages between the page and its kernel."""

    def __init__(self, page: Page) -> None:
        self.count = self.size = 0
        page.on("websocket", self._watch)

    def _watch(self, socket: WebSocket) -> None:
        if "/channels" in socket.url:
            socket.on("framesent", self._add)
            socket.on("framereceived", self._add)

    def _add(self, frame: str | bytes) -> None:
        self.count += 1
        self.size += len(frame)

    def take(self) -> dict[str, int]:
        """Return what has passed since this was last asked."""
        taken = {"messages": self.count, "bytes": self.size}
        self.count = self.size = 0
        return taken


def tell(what: str, **values: object) -> None:
    print(json.dumps({"what": what, **values}), flush=True)


def spread(samples: list[list[float]], clocks: tuple[str, str]) -> dict[str, float]:
    """Return median and 95th percentile of both clocks."""
    result: dict[str, float] = {"samples": len(samples)}
    for clock, values in zip(clocks, zip(*samples, strict=True), strict=True):
        ordered = sorted(values)
        result[f"{clock}_median_ms"] = round(statistics.median(ordered), 1)
        result[f"{clock}_p95_ms"] = round(ordered[int(0.95 * (len(ordered) - 1))], 1)
    return result


def opened(page: Page, lab: Lab, cells: list[str]) -> list[Locator]:
    """Run a notebook of these cells and return what its last cells show."""
    path = lab.folder / "benchmark.ipynb"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=kernel), path)
    open_notebook(page, lab, path.name)
    run_all(page, timeout=300_000)
    found = page.locator(".kvmlab-panel, .kvmlab-flush")
    count = sum("panels." in cell and "import" not in cell for cell in cells)
    found.nth(count - 1).locator(".kvm .title").wait_for()
    return [found.nth(number) for number in range(count)]


def commands(name: str, panel: Locator) -> Callable[[int], Locator]:
    """Return what prepares the n-th new command of a panel and returns the button or slider that gives it."""

    def press(button: str) -> Locator:
        return panel.get_by_role("button", name=button, exact=True).first

    def at(base: int, button: str) -> Callable[[int], Locator]:
        def fill(number: int) -> Locator:
            panel.locator("input[type=text]").first.fill(f"{base + 4096 * number:#x}")
            return press(button)

        return fill

    def vmids(number: int) -> Locator:
        panel.locator("input[type=number]").first.fill(str(number % 2))
        return press("Enter")

    known: dict[str, Callable[[int], Locator]] = {
        "fault": at(0x8010_0000, "Access"),
        "tables": at(0x8100_0000, "Do it"),
        "cache": lambda _: press("Store"),
        "tlb": lambda _: press("Access"),
        "vmids": vmids,
        "notifiers": lambda number: press("Guest" if number % 2 else "Host"),
        "ioremap": lambda _: press("over RAM"),
        "flushes": lambda _: panel.locator(".kvmlab-guests .noUi-handle").first,
    }
    return known[name]


def main() -> None:
    """Measure and print one JSON object a line."""
    with tempfile.TemporaryDirectory() as home, running_lab(Path(home)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        traffic = Traffic(page)
        panels = dict(zip((*SHARED, *OWN), opened(page, lab, ALL), strict=True))
        tell("memory, all panels shown", kernel_mib=memory(page))
        for name, panel in panels.items():
            prepare, times = commands(name, panel), []
            for number in range(COMMANDS):
                button = prepare(number)
                page.wait_for_timeout(300)  # what was typed reaches Python by itself
                traffic.take()
                times.append(page.evaluate(CLICK, [panel.element_handle(), button.element_handle()]))
            page.wait_for_timeout(300)
            tell(f"new command: {name}", **spread(times, ("dom", "paint")), **traffic.take())
        traffic.take()
        scrubbed = page.evaluate(SCRUB, [panels["fault"].locator(".kvm").element_handle(), STEPS])
        tell("five panels of one run, scrubbed", **spread(scrubbed, ("script", "paint")), **traffic.take())
        page.wait_for_timeout(1000)
        tell("when the hand rests", **traffic.take())
        tell("memory, all panels used", kernel_mib=memory(page))

        for panel, name in zip(opened(page, lab, LONG_RUNS), ("vmids", "fault", "tables"), strict=True):
            steps = int(panel.locator("[data-p=n]").inner_text().split("/")[1])
            times = page.evaluate(SCRUB, [panel.locator(".kvm").element_handle(), STEPS])
            tell(f"scrub: {name}", steps=steps, **spread(times, ("script", "paint")))
        browser.close()


def memory(page: Page) -> float:
    """Return the resident memory of the notebook's kernel, in MiB."""
    found = re.search(r"VmRSS:[\s\\t]+(\d+) kB", page.evaluate(MEMORY))
    assert found
    return round(int(found[1]) / 1024, 1)


if __name__ == "__main__":
    main()
