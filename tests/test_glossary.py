"""Every link to a word of the glossary, in any notebook, leads to a heading; every heading has an anchor of its own."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]*)\)")


def texts(path):
    """Yield id and text of the markdown cells of a notebook, without what stands in code."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            yield cell["id"], re.sub(r"```.*?```", "", "".join(cell["source"]), flags=re.DOTALL)


def anchors(path):
    """Return the anchors of a notebook's headings, as JupyterLab makes them: capitals stay, a space is a hyphen."""
    headings = [text for _, cell in texts(path) for _, text in HEADING.findall(cell)]
    return [re.sub(r"[*`]", "", text).replace(" ", "-") for text in headings]


def links(path):
    """Yield cell, notebook and anchor of each link from a notebook into a notebook; "" where a link names none."""
    for cell, text in texts(path):
        for target in LINK.findall(text):
            name, _, anchor = target.partition("#")
            if "://" not in target and (not name or name.endswith(".ipynb")):
                yield cell, name or path.name, anchor


GLOSSARY = FOLDER / "glossary.ipynb"


def terms():
    """Yield the words of the glossary with what is said of them."""
    for cell, text in texts(GLOSSARY):
        if text.startswith("### "):
            head, _, said = text.partition("\n")
            yield cell, head[4:], said.strip()


def test_an_anchor_names_one_heading():
    assert [anchor for anchor, count in Counter(anchors(GLOSSARY)).items() if count > 1] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_link_into_a_notebook_has_its_heading(path):
    missing = [
        f"{cell}: {name}#{anchor}"
        for cell, name, anchor in links(path)
        if not (FOLDER / name).exists() or (anchor and anchor not in anchors(FOLDER / name))
    ]
    assert missing == []


def test_every_word_is_explained_in_few_words():
    wrong = [head for _, head, said in terms() if not 15 <= len(said) <= 340]
    assert wrong == []


def test_every_word_is_in_the_index():
    index = next(text for cell, text in texts(GLOSSARY) if cell == "index")
    listed = LINK.findall(index)
    assert listed == ["#" + head.replace(" ", "-") for _, head, _ in terms()]


def test_a_word_that_is_used_for_another_leads_there():
    """The words are no island: most texts that name another word link to it, and no text links to itself."""
    for _, head, said in terms():
        assert f"(#{head.replace(' ', '-')})" not in said, head


@pytest.mark.parametrize(
    "word",
    # What teaching needs: addresses, walks, registers, faults, tags, memory, locks, notifiers, failures.
    ["VA IPA PA HVA GFN PFN Descriptor Level pgd Block LPAE HAP AF XN MemAttr Shareability PoC PoU HVC vCPU Exit",
     "VTTBR VTCR HCR.VM HSR HPFAR HxFAR ISV FSC S1PTW MMIO TLB VMID ASID Generation Rollover IPI Memslot",
     "gfn_to_pfn page_count Top-up GFP_KERNEL Spinlock mmu_lock RCU SRCU Retry Swap-out KSM Copy-on-write Dirty",
     "Break-before-make ioremap Race Schedule BUG EFAULT ENOMEM Stage-1 Stage-2 Two-stage-walk Hyp-mode Run-loop",
     "Concatenated-tables Device-memory Inner-shareable World-switch Translation-fault Permission-fault TLB-flush",
     "Walk-cache Memory-cache Memory-barrier MMU-notifier mmu_notifier_seq mmu_notifier_count"],
)  # fmt: skip
def test_the_words_of_the_course_are_there(word):
    assert set(word.split()) - set(anchors(GLOSSARY)) == set()
