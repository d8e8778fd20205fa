"""Sheets on paper: the same exercises on sheet and key, the same bytes each time."""

import re
import subprocess
import sys
import zlib
from html import unescape

import pytest

from kvmlab.engine import InputError
from kvmlab.exercises import TEMPLATES, exercise
from kvmlab.exercises.sheet import choose, lines, to_bytes

SCRIPT = """
import sys; from hashlib import sha256; from kvmlab.exercises.sheet import *
some = choose(42)
for kind in ("html", "pdf"):
    for key in (False, True):
        print(sha256(to_bytes(some, 42, key=key, kind=kind)).hexdigest())
"""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_two_processes():
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1]
    assert len(set(runs[0].split())) == 4


def test_the_same_sheet_is_the_same_bytes():
    some = choose(9, ["gfn", "tlb-hits"])
    for kind in ("html", "pdf"):
        files = [to_bytes(some, 9, key=key, kind=kind) for key in (False, True, False, True)]
        assert files[:2] == files[2:]
        assert files[0] != files[1]


def test_another_seed_is_another_sheet():
    assert choose(1) != choose(2)
    assert choose(1) == choose(1)
    assert len(choose(1)) == 10


def test_what_is_on_the_sheet_is_what_the_notebook_shows():
    for one in choose(42, count=100):
        assert one == exercise(one.template, one.seed)
    some = choose(42, count=100)
    assert len(some) == len({(one.template, one.seed) for one in some}) == 100
    assert {one.template for one in some} == set(TEMPLATES)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_sheet_and_key_of_every_kind(name):
    some = choose(5, [name], 2)
    sheet, key = (to_bytes(some, 5, key=key, kind="html").decode() for key in (False, True))
    words = unescape(re.sub(r"<[^>]+>", "\n", key))
    for one in some:
        shown = one.form.show(one.answer)
        assert all(part in words for part in shown.split("; "))
        assert one.because in unescape(key)
        assert one.task in unescape(sheet)
        assert one.because not in unescape(sheet)
        assert f"seed {one.seed}" in sheet
    assert "http" not in sheet
    assert "<script" not in sheet


def test_the_sheet_does_not_hold_its_answers():
    some = choose(5, ["hva", "vmid", "leaf"])
    sheet = "\n".join(line.words for block in lines(some, 5, key=False) for line in block)
    for one in some:
        assert one.form.show(one.answer) not in sheet


def test_names_and_notebooks_can_be_chosen():
    assert {TEMPLATES[one.template].notebooks[0] for one in choose(1, ["03"])} == {"03"}
    assert [one.template for one in choose(1, ["gfn", "leaf"])] == ["gfn", "leaf"]
    assert len(choose(1, ["gfn"], 5)) == 5
    assert [one.seed for one in choose(1, ["gfn"], 3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("seed", "only", "count"),
    [
        (-1, [], None),
        (1 << 31, [], None),
        (1, ["no"], None),
        (1, ["77"], None),
        (1, [], 0),
        (1, [], 201),
        ((1 << 31) - 1, ["gfn"], 2),
    ],
)
def test_what_makes_no_sheet_is_refused(seed, only, count):
    with pytest.raises(InputError):
        choose(seed, only, count)


@pytest.mark.slow
def test_the_pdf_has_all_words_on_its_pages():
    some = choose(42, count=42)
    pdf = to_bytes(some, 42, key=False, kind="pdf")
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") >= 8
    assert b"CreationDate" not in pdf
    streams = [
        zlib.decompress(part)
        for part in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
        if part[:1] == b"x"
    ]
    assert len(streams) > 8
    with pytest.raises(InputError, match="pdf, html"):
        to_bytes(some, 42, key=False, kind="txt")


@pytest.mark.slow
def test_no_line_leaves_the_paper():
    from kvmlab.exercises.paper import HEIGHT, MARGIN, WIDTH, _pages, _wide

    for key in (False, True):
        for page in _pages(lines(choose(42, count=42), 42, key=key)):
            assert sum(row.down for row in page) <= HEIGHT - 2 * MARGIN
            for row in page:
                assert _wide(row.words, row.look) <= WIDTH - 2 * MARGIN - row.look.indent, row.words
