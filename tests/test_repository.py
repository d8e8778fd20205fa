"""What a reader may count on in the files around the package."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import kvmlab

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKED = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEAVY = {"anywidget", "graphviz", "IPython", "ipywidgets", "jupyterlab", "matplotlib", "numpy", "tqdm"}
MADE_BY_TOOLS = {"__pycache__", "node_modules", "build", "dist", "shots"}


def texts():
    """Yield path and text of every file of the repository that is text, made by a person or kept for them."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in MADE_BY_TOOLS and (name[0] != "." or name == ".ci")]
        for name in files:
            path = Path(folder, name)
            try:
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]


def test_the_lock_and_the_constraints_agree():
    locked = {package["name"]: package["version"] for package in LOCKED if package["name"] != "kvmlab"}
    assert {item.name: str(item.specifier) for item in constraints()} == {
        name: f"=={version}" for name, version in locked.items()
    }


def test_the_lock_serves_every_dependency():
    versions = {item.name: item.specifier for item in constraints()}
    wanted = [
        *PROJECT["dependencies"],
        *(item for extra in PROJECT["optional-dependencies"].values() for item in extra),
    ]
    for item in map(Requirement, wanted):
        version = str(versions[item.name]).removeprefix("==")
        assert item.specifier.contains(version), f"{item} and the locked {version}"


def test_the_lock_names_only_the_public_index():
    text = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert set(re.findall(r"\bregistry = \"(.*?)\"", text)) == {"https://pypi.org/simple"}
    assert set(re.findall(r"\w+://[^/\"]+", text)) == {"https://pypi.org", "https://files.pythonhosted.org"}
    assert not any(item.url for item in constraints())


def test_the_version_is_said_once():
    assert kvmlab.__version__ == PROJECT["version"]
    assert [package["version"] for package in LOCKED if package["name"] == "kvmlab"] == [PROJECT["version"]]


def test_import_kvmlab_is_light():
    script = "import sys, kvmlab, kvmlab.engine; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "kvmlab" in done.stdout.split()
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("target", ["lab", "test", "check"])
def test_the_makefile_has_the_promised_targets(target):
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
    assert f"make {target}" in README


def test_binder_finds_what_it_needs():
    folder = ROOT / "binder"
    assert (folder / "runtime.txt").read_text().strip() == "python-3.12"
    assert "graphviz" in (folder / "apt.txt").read_text().split()
    assert (folder / "requirements.txt").read_text().splitlines() == ["-c ../constraints.txt", "-e ."]
    assert (folder / "postBuild").read_text().startswith("#!/usr/bin/env bash\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no executable bit")
@pytest.mark.parametrize("script", [".ci/run", "binder/postBuild"])
def test_scripts_can_be_run(script):
    assert os.access(ROOT / script, os.X_OK)


def test_every_file_that_the_readme_names_exists():
    names = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert "LICENSE" in names
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_no_text_names_a_place_on_one_machine():
    place = re.compile(r"(?<![\w.])/(?:home|Users|root|work|tmp)/\w|[A-Z]:\\Users\\\w")
    assert [f"{path}: {found[0]}" for path, text in texts() if (found := place.search(text))] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    """The form of a notebook; that it runs is tested elsewhere."""

    @pytest.fixture
    def notebook(self, path):
        return json.loads(path.read_text(encoding="utf-8"))

    @pytest.fixture
    def code(self, notebook):
        return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]

    def test_nothing_is_left_from_a_run(self, code):
        assert [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []

    def test_no_cell_is_longer_than_15_lines(self, code):
        assert max((len("".join(cell["source"]).splitlines()) for cell in code), default=0) <= 15

    def test_it_asks_for_the_plain_python_kernel(self, notebook):
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"

    def test_it_opens_with_a_title(self, notebook):
        assert "".join(notebook["cells"][0]["source"]).startswith("# ")


def test_the_readme_opens_each_lesson_on_binder():
    links = re.findall(r"https://mybinder\.org/v2/gh/([^/]+/[^/]+)/HEAD\?urlpath=lab/tree/([^)]+)\)", README)
    assert len({copy for copy, _ in links}) == 1
    lessons = {str(path.relative_to(ROOT)) for path in NOTEBOOKS if path.name[0].isdigit()}
    assert {path for _, path in links} == lessons
