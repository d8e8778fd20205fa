"""Every notebook of the course is made as a lesson should be, and runs from top to bottom with warnings as errors."""

import ast
import json
import re
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.alternatives import missing_alternatives

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
LESSONS = [path for path in NOTEBOOKS if path.name[:1] == "0"]
"""The course. The others are no lessons: words are looked up; the teacher's and the tour of the panels are browsed."""

VERBS = {"Find", "Follow", "Watch", "Build", "Allocate", "Give", "Let", "Make", "Read", "Look", "Teach", "Try"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LONGEST_CELL, LONGEST_LOOP, MEDIAN = 15, 3, 3
"""Lines."""
FEWEST_PREDICTIONS = 5

NO_THREE_BEFORE = {"00-start-here": "nothing comes before it; it asks what one should know already"}
NO_PREDICTION = {
    ("03-build-the-tables", "Run: cut an address into four"): "a worked example comes first, and is complete",
    ("05-the-host-takes-pages-back", "Whose memory it is"): "only sets the scene, and shows nothing",
    ("07-two-cpus-at-once", "Two tasks"): "names the steps that all predictions are about",
}
PLAIN_TERMS = [
    "VMID", "TLB", "IPA", "HVA", "HSR", "HPFAR", "HxFAR", "ISV", "VTTBR", "VTCR", "HAP", "XN", "MemAttr", "KSM", "SRCU",
    "vCPU", "GFP_KERNEL", "IPI",
]  # fmt: skip
"""Words of the glossary that mean one thing only, wherever they stand."""
SPELT_SO = {"simpy": "the name of a package"}
WRITTEN = [*NOTEBOOKS, *(path for name in ("README.md", "docs") if (path := NOTEBOOKS[0].parents[1] / name).exists())]
UNASKED = ("Three from before", "Make", "On your own", "In practice")
"""Sections that are exercises themselves."""

# Run in the kernel before the first cell; what the kernel itself does while it stops is not the notebook's fault.
STRICT = "import warnings; warnings.simplefilter('error'); warnings.filterwarnings('ignore', module='ipykernel')"

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def cells(path, kind=None):
    """Return id and text of the cells of a notebook."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["id"], "".join(cell["source"])) for cell in found if kind in (None, cell["cell_type"])]


def sections(path):
    """Yield heading, text and code cells of each section of a notebook, the code without that of exercises."""
    heading, words, code = "", "", []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            code += [] if re.search(r"^kl\.\w+\(.*\)$", source, re.MULTILINE) else [cell["id"]]
            continue
        first, *others = re.split(r"^## +", source, flags=re.MULTILINE)
        words += first
        for other in others:
            yield heading, words, code
            heading, _, words = other.partition("\n")
            code = []
            words = heading + words
    yield heading, words, code


def headings(path):
    return [text for _, source in cells(path, "markdown") for text in re.findall(r"^## +(.+)", source, re.MULTILINE)]


@every_notebook
def test_a_notebook_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec == KERNEL
    assert notebook.metadata.language_info == {"name": "python"}
    for cell in notebook.cells:
        assert not cell.get("outputs"), cell.id
        assert cell.get("execution_count") is None, cell.id
        assert not cell.metadata, cell.id


@every_notebook
def test_cells_have_names_of_their_own(path):
    names = [name for name, _ in cells(path)]
    assert [name for name in names if not re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", name)] == []
    assert len(set(names)) == len(names)


@every_notebook
def test_a_notebook_opens_with_what_it_is_for(path):
    (kind, source) = next(
        (cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_text())["cells"]
    )
    assert kind == "markdown"
    title, *rest = source.splitlines()
    assert title.removeprefix("# ").split()[0] in VERBS
    said = re.findall(r"^\*\*What you'll (\w+)\.?\*\*", "\n".join(rest), re.MULTILINE)
    assert said == ["do", "learn", "need"]


@every_lesson
def test_a_lesson_begins_with_what_was_before(path):
    opening = headings(path)[0]
    assert (opening == "Three from before") != (path.stem in NO_THREE_BEFORE)
    asked = [source for name, source in cells(path, "code") if name.startswith("before-")]
    assert sum("kl.practice(" in source for source in asked) == (0 if path.stem in NO_THREE_BEFORE else 3)


@every_notebook
def test_a_notebook_ends_with_work_and_practice(path):
    last = headings(path)[-3:]
    assert ["On your own", "In practice"] in (last[-2:], last[:2] if last[-1:] == ["References"] else [])


@every_lesson
def test_a_lesson_leads_on(path):
    name, source = cells(path)[-1]
    links = re.findall(r"\[([^]]+)\]\((\w[\w-]+\.ipynb)\)", source)
    at = LESSONS.index(path)
    beside = [LESSONS[n] for n in (at - 1, at + 1) if 0 <= n < len(LESSONS)]
    assert name == "next"
    wanted = [(cells(other)[0][1].splitlines()[0].removeprefix("# "), other.name) for other in beside]
    assert [link for link in links if link[1] != "glossary.ipynb"] == wanted


@every_notebook
def test_cells_are_short(path):
    lines = [len(source.strip().splitlines()) for _, source in cells(path, "code")]
    assert max(lines) <= LONGEST_CELL
    if path in LESSONS:
        assert statistics.median(lines) <= MEDIAN


@every_notebook
def test_there_is_no_logic_in_cells(path):
    for name, source in cells(path, "code"):
        assert logic(source) == [], name


def logic(source):
    """Return what belongs into the package: functions, classes, branches; loops over `LONGEST_LOOP` lines."""
    forbidden = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.If, ast.While, ast.Match)
    loops = (ast.For, ast.With, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    return [
        type(node).__name__
        for node in ast.walk(ast.parse(source))
        if isinstance(node, forbidden) or (isinstance(node, loops) and node.end_lineno - node.lineno >= LONGEST_LOOP)
    ]


def test_logic_is_found():
    assert logic("def f():\n    return 1") == ["FunctionDef"]
    assert logic("for n in range(3):\n    a = n\n    b = n\n    c = n") == ["For"]
    assert logic("[n for n in range(3)]") == logic("for n in range(3):\n    print(n)") == []


@every_lesson
def test_a_lesson_asks_before_it_tells(path):
    """There are predictions enough, and one in each section that shows something."""
    said = list(sections(path))
    assert sum(words.count("Predict") for _, words, _ in said) >= FEWEST_PREDICTIONS
    silent = [
        heading
        for heading, words, code in said
        if code and "predict" not in words.lower() and not heading.startswith(UNASKED)
    ]
    assert silent == [heading for name, heading in NO_PREDICTION if name == path.stem]


@every_notebook
def test_no_picture_is_fetched(path):
    for name, source in cells(path):
        assert not re.search(r"!\[[^]]*\]\(\s*(https?:)?//|<img[^>]*src=['\"]?(https?:)?//|%pip|!pip", source), name


@every_lesson
def test_a_lesson_has_exercises_of_three_kinds_and_says_what_they_came_to(path):
    code = [source for _, source in cells(path, "code")]
    kinds = {kind for source in code for kind in re.findall(r'kl\.practice\("([\w-]+)"', source)}
    assert len(kinds) >= 3
    assert [source for source in code if "kl.progress" in source] == [f'kl.progress("{path.name[:2]}")']


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem != "glossary"], ids=lambda path: path.stem)
def test_a_word_leads_to_the_glossary_where_it_is_first_used_and_only_there(path):
    text = "\n\n".join(source for name, source in cells(path, "markdown") if name != "next")
    linked = re.findall(r"\]\(glossary\.ipynb#([^)]+)\)", text)
    assert [term for term, times in Counter(linked).items() if times > 1] == []
    prose = re.sub(r"^(#|    ).*|^.*\n(?=\|[-| ]+\|$)|`[^`\n]*`|\*\*", "", text, flags=re.MULTILINE)
    first = {term: re.search(rf"\b{term}s?\b([^][\n]*\]\(glossary)?", prose) for term in PLAIN_TERMS}
    assert [term for term, found in first.items() if found and not found[1]] == []


def test_spelling():
    said = subprocess.run(
        [sys.executable, "-m", "codespell_lib", f"--ignore-words-list={','.join(SPELT_SO)}", *map(str, WRITTEN)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (said.stdout, said.returncode) == ("", 0)


def run(notebook, folder):
    """Run a notebook in ``folder`` and return the outputs of its cells."""
    strict = nbformat.v4.new_code_cell(STRICT)
    notebook.cells.insert(0, strict)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow
@every_notebook
def test_a_notebook_runs(path, tmp_path):
    outputs = run(nbformat.read(path, as_version=4), tmp_path)
    assert outputs, "the notebook shows nothing"
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert [missing for output in outputs for missing in missing_alternatives(output)] == []


def test_a_warning_stops_a_notebook(tmp_path):
    careless = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import warnings; warnings.warn('careful')")])
    with pytest.raises(CellExecutionError) as stopped:
        run(careless, tmp_path)
    assert (stopped.value.ename, stopped.value.evalue) == ("UserWarning", "careful")
