"""Every example in the README and in a docstring is executed, and shows what it says it shows."""

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kvmlab

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = ["kvmlab", *sorted(found.name for found in pkgutil.walk_packages(kvmlab.__path__, "kvmlab."))]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands():
    """Yield the arguments and the shown output of each kvmlab command in the README; ``...`` is any output."""
    for block in blocks("console"):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            program, *words = command.split()
            if program == ".venv/bin/kvmlab" and words[0] != "lab":
                yield words, output


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(name), optionflags=OPTIONS).failed == 0


def test_readme_in_python():
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks("python")), {}, "README.md", "README.md", 0)
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(examples)
    assert runner.summarize().failed == 0
    assert sum(">>>" in block for block in blocks("python")) == len(blocks("python")), "a block without a prompt"


@pytest.mark.slow
def test_readme_in_the_shell():
    shown = list(commands())
    assert shown
    for words, output in shown:
        arguments = [str(path) for word in words for path in (sorted(ROOT.glob(word)) if "*" in word else [word])]
        run = [sys.executable, "-m", "kvmlab", *arguments]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), words
        assert doctest.OutputChecker().check_output(output, done.stdout, OPTIONS), f"{words}\n{done.stdout}"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no make")
def test_the_make_commands_are_known_to_make():
    targets = {target for block in blocks("console") for target in re.findall(r"^\$ make (\w+)", block, re.MULTILINE)}
    assert {"lab", "test"} <= targets
    done = subprocess.run(["make", "-n", *sorted(targets)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_picture_in_the_readme_is_what_the_kit_draws(tmp_path):
    from PIL import Image, ImageChops

    from kvmlab import panels
    from kvmlab.panels.starts import one_guest

    run = one_guest()
    walk = panels.fault(run)
    run.do("access", vm=0, ipa=0x8000_0000, access="write", value=42)
    assert f"step 16 of {len(walk.scene.steps)}" in README
    name = re.search(r"\]\((notebooks/.*\.png)\)", README)[1]
    drawn = Image.open(walk.figure(15).save(tmp_path / "now.png")).convert("RGB")
    assert ImageChops.difference(drawn, Image.open(ROOT / name).convert("RGB")).getbbox() is None
