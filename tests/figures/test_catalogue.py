"""What must hold for every figure on the shelf: its words, its type, its files, the same bytes each time."""

import inspect
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from PIL import Image

import kvmlab
from kvmlab.engine import InputError
from kvmlab.figures.catalogue import FIGURES, chosen, describe, figure, shown, write_all
from kvmlab.figures.files import KINDS, to_bytes
from kvmlab.figures.style import SIZES, THEMES, Look
from tests.figures.boxes import faults

SVG = "{http://www.w3.org/2000/svg}"
LETTERS = 62
"""Letters that fit into a title."""


@pytest.mark.parametrize("name", FIGURES)
def test_the_list_says_what_a_figure_shows(name):
    words = describe(name)
    assert words.endswith(".")
    assert 30 < len(words) < 120
    assert "flush" in name or "\n" not in words


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FIGURES)
def test_words_can_be_read_and_do_not_overlap(name, size, theme):
    drawn = figure(name, theme, size)
    assert faults(drawn, 14 if size == "slide" else 7) == []
    wide, high = drawn.get_size_inches()
    assert wide == SIZES[size].width
    assert (size == "column") or wide / high == pytest.approx(16 / 9)
    assert 0 < len(drawn.kvmlab_title) <= LETTERS
    assert len(drawn.kvmlab_alt) > 80
    assert re.search(r"\d", drawn.kvmlab_alt), "words without a number answer nothing"
    assert "Linux" in drawn.kvmlab_source


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_words_and_origin_are_in_the_files(name):
    drawn = figure(name)
    root = ElementTree.fromstring(to_bytes(drawn, "svg"))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == drawn.kvmlab_title
    assert root.findtext(f"{SVG}desc") == " ".join(drawn.kvmlab_alt.split())
    text = "".join(root.itertext())
    assert " ".join(drawn.kvmlab_source.split()) in text
    assert f"kvmlab {kvmlab.__version__}" in text
    png = Image.open(io.BytesIO(to_bytes(drawn, "png")))
    assert png.info["Title"] == drawn.kvmlab_title
    assert png.info["Software"] == f"kvmlab {kvmlab.__version__}"
    assert png.info["Source"] == " ".join(drawn.kvmlab_source.split())
    assert b"/Keywords" in to_bytes(drawn, "pdf")


def test_a_notebook_gets_both_themes_and_the_words():
    mime = shown("descriptor")._repr_mimebundle_()
    assert mime["text/html"].count("<img") == 2
    assert mime["text/html"].count('alt="') == 2
    assert mime["text/plain"] == figure("descriptor").kvmlab_alt


SCRIPT = """
import hashlib, sys
from kvmlab.figures.catalogue import write_all
for look in (("slide", "light"), ("column", "dark")):
    size, theme = ([name] for name in look)
    for path in write_all(sys.argv[1], sizes=size, themes=theme):
        print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path):
    def run(seed):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / str(seed))]
        root = Path(__file__).parents[2]
        return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True).stdout

    first = run(1).splitlines()
    assert len(first) == len(FIGURES) * 2 * len(KINDS)
    assert len({line.split()[1] for line in first}) == len(first)
    assert first == run(2).splitlines()


def test_settings_for_other_figures_do_not_matter():
    before = to_bytes(figure("nested-walk"), "png")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.facecolor": "red", "savefig.dpi": 30}):
        assert to_bytes(figure("nested-walk"), "png") == before


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_had_in_both_sizes_and_themes(name):
    module, function = FIGURES[name].split(":")
    drawn = getattr(__import__(f"kvmlab.figures.{module}", fromlist=[function]), function)
    theme, size, *own = inspect.signature(drawn).parameters.values()
    assert (theme.default, size.default) == ("light", "slide")
    assert all(one.default is not one.empty for one in own)
    with pytest.raises(InputError, match="theme is 'pink'; allowed: 'light' or 'dark'"):
        drawn("pink")
    with pytest.raises(InputError, match="size is 'huge'; allowed: 'slide' or 'column'"):
        drawn("light", "huge")


def test_bad_names_are_told(tmp_path):
    with pytest.raises(InputError, match=r"figure is 'cliffs'; allowed: .*; did you mean 'cliff'\?"):
        figure("cliffs")
    with pytest.raises(InputError, match="figure is 3; allowed"):
        chosen([3])
    with pytest.raises(InputError, match="kind is 'gif'"):
        write_all(tmp_path / "new", kinds=["gif"])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cliff-slide-light.svg").mkdir()
    with pytest.raises(InputError, match="it is a directory"):
        write_all(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(InputError, match="size is 'poster'"):
        Look(size="poster")
