"""A monkey plays with all panels: keys, clicks, sliders, choices, and text that is partly nonsense.

Nothing may break, and at the end each panel has to show what the engine says, part by part.
"""

import json
import random

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.browser.lab import open_notebook, run_all

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
SETUP = """
import json
from kvmlab import panels as p
from kvmlab.panels.starts import one_guest
run = one_guest(vmid_bits=4)
shown = [p.fault(run, predict=True), p.tables(run), p.cache(run), p.tlb(run), p.vmids(run, guests=3),
         p.notifiers(), p.ioremap(), p.vmids(vmid_bits=4, ncpus=3), p.flushes(20, vmid_bits=4)]

def state():
    return json.dumps([[panel.player.step, len(panel.scene.steps), panel.scene.at(panel.player.step)]
                       for panel in shown])
"""
PANELS = 9
KEYS = (
    ["ArrowRight"] * 6
    + ["ArrowLeft"] * 4
    + ["Home", "End", "PageUp", "PageDown", " ", "g", "a", "?", "Escape", "1", "2", "s", "x", "d"]
)
TEXTS = [
    "0x80000000", "0x80200000", "0x80001000", "0xc0000000", "4096", "0", "1", "7", "-1", "", " ", "eight", "0x", "1e9",
    "<script>window.broken = 1</script>", "<img src=x onerror='window.broken = 1'>", "\"'`{{}}", "\u202e0x80000000",
    "9" * 10_000, "0xffffffffffffffffffff", "é😀", "None",
]  # fmt: skip
BUSY = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
ASK = """async code => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const future = kernel.requestExecute({ code, store_history: false });
    let said = '';
    future.onIOPub = message => { said += message.content.text ?? message.content.evalue ?? ''; };
    await future.done;
    return said;
}"""
SEEN = """root => ({
    number: root.querySelector('[data-p=n]').textContent.trim(),
    parts: Object.fromEntries([...root.querySelectorAll('.stage [data-id]')].map(el =>
        [el.dataset.id, [el.getAttribute('class') ?? '', el.localName === 'text' ? el.textContent : '']])),
})"""


def act(page, dice, panel):
    """Do one thing to a panel; what cannot be done just now is left."""
    kind = dice.choice(["key"] * 4 + ["player"] * 2 + ["button"] * 3 + ["text"] * 2 + ["choice", "slider", "handle"])
    if kind == "key":
        panel.locator(".kvm").first.evaluate("el => el.focus()")
        page.keyboard.press(dice.choice(KEYS))
        return
    selector = {
        "player": ".kvm button",
        "button": ".kvmlab-controls button",
        "text": ".kvmlab-controls input[type=text], .kvmlab-controls input[type=number]",
        "choice": "select",
        "slider": ".kvm .score input",
        "handle": ".kvmlab-controls [role=slider]",
    }[kind]
    found = panel.locator(selector)
    one = found.nth(dice.randrange(max(1, found.count())))
    if not (found.count() and one.is_visible() and one.is_enabled()):
        return
    if kind in ("player", "button"):
        one.evaluate("el => el.click()")
    elif kind == "choice":
        values = one.locator("option").evaluate_all("options => options.map(option => option.value)")
        one.select_option(dice.choice(values))
    elif kind == "slider":
        most = int(one.get_attribute("max"))
        one.evaluate(
            "(el, value) => { el.value = value; el.dispatchEvent(new Event('input', { bubbles: true })); }",
            str(dice.randint(0, most)),
        )
    elif kind == "handle":
        one.focus()
        page.keyboard.press(dice.choice(["ArrowRight", "ArrowLeft", "PageUp", "PageDown"]))
    else:
        text = dice.choice(TEXTS)
        if one.get_attribute("type") == "number":
            text = str(dice.choice([-1, 0, 1, 2, 3, 5, 17, 40, 300, 10**9]))
        one.fill(text)
        if dice.random() < 0.5:
            one.press("Enter")


def settle(page):
    page.wait_for_function(BUSY, timeout=120_000)
    page.wait_for_timeout(400)  # the cursor is told when the hand rests
    page.wait_for_function(BUSY, timeout=120_000)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_five_hundred_actions_break_nothing(lab, page, seed):
    path = lab.folder / f"monkey{seed}.ipynb"
    cells = [SETUP, *(f"shown[{number}]" for number in range(PANELS))]
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=KERNEL), path)
    open_notebook(page, lab, path.name)
    run_all(page)
    panels = page.locator(".kvmlab-panel, .kvmlab-flush")
    outer = [panels.nth(number) for number in range(PANELS)]
    dice = random.Random(seed)
    for number in range(500):
        act(page, dice, dice.choice(outer))
        if number % 20 == 19:
            settle(page)
    for panel in outer:  # whoever still plays stops
        panel.locator(".kvm").first.evaluate("el => el.focus()")
        page.keyboard.press("ArrowLeft")
    settle(page)
    assert page.evaluate("window.broken") is None
    for number, (step, count, parts) in enumerate(json.loads(page.evaluate(ASK, "print(state())"))):
        root = outer[number].locator(".kvm").first
        seen = root.evaluate(SEEN)
        assert seen["number"].split("/") == [str(step + 1), str(count)], f"panel {number}"
        assert seen["parts"].keys() == parts.keys()
        for part, (state, text) in parts.items():
            words, shown = seen["parts"][part]
            assert set(state.split()) <= set(words.split()), f"panel {number}, part {part}"
            if shown or text:
                assert shown == text, f"panel {number}, part {part}"
    path.unlink()
