"""The command line: what it prints, and what it returns."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kvmlab.cli import main
from kvmlab.engine import Config
from kvmlab.figures.catalogue import FIGURES
from kvmlab.session import Session


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    session = Session(Config(vmid_bits=4))
    for _ in range(2):
        session.do("create_vm", slots=[[0x8000_0000, 1 << 20, 0x4000_0000]])
    session.do("access", vm=1, ipa=0x8000_0000, access="write", value=7)
    session.do("enter", vm=0)
    session.save(tmp_path / "run.jsonl")
    return tmp_path / "run.jsonl"


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    session = Session(Config(vmid_bits=16))
    session.do("create_vm")
    session.save(tmp_path / "wide.jsonl")
    return tmp_path / "wide.jsonl"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--vm", "1"], "The guest stores 0x7 to 0x80000000"),
        (["--panel", "vmids"], "gets VMID 2"),
        (["--panel", "tables", "--vm", "1"], "Guest 1 gets an empty level 1 table"),
    ],
)
def test_export_writes_a_page(
    saved: Path, tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "walk.html"
    assert main(["export", str(saved), str(page), *options]) == 0
    text = page.read_text(encoding="utf-8")
    assert words in text
    said = capsys.readouterr().out
    assert said == f"{page}: {text.count('<h3>')} steps, {page.stat().st_size / 1000:.0f} KB\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "none.jsonl", "walk.html"], "none.jsonl:1: cannot be read"),
        (["export", "{saved}", "walk.txt"], "it must end in .html"),
        (["export", "{saved}", "walk.html", "--vm", "9"], "vm is 9; allowed: 0, 1"),
        (["export", "{saved}", "walk.html", "--vm", "9", "--panel", "tlb"], "vm is 9; allowed: 0, 1"),
        (["export", "{saved}", "walk.html", "--panel", "vmid"], "panel is 'vmid', perhaps 'vmids'; allowed: fault, "),
        (["export", "{saved}", "walk.html", "--panel", "?"], "panel is '?'; allowed: fault, tables, cache, vmids, tlb"),
        (["export", "{wide}", "walk.html", "--panel", "vmids"], "vmid_bits is 16; allowed: 2 to 8"),
    ],
)
def test_bad_input_is_one_sentence(
    saved: Path,
    wide: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([word.format(saved=saved, wide=wide) for word in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kvmlab: ")
    assert words in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.glob("walk.*"))


def test_an_unknown_word_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["conform", "x.jsonl", "--fast"])
    assert end.value.code == 2
    assert "--fast" in capsys.readouterr().err


# -- flush -------------------------------------------------------------------------------------------------------------


def flush(*words: object) -> int:
    return main(["flush", *map(str, words)])


def test_flush_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert flush("--guests", "14:18:2", "--schedule", "round-robin", "--bits", 4, "--entries", 1000) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(out.splitlines()))
    assert [(row["guests"], row["flushes"]) for row in rows] == [("14", "0"), ("16", "66"), ("18", "66")]
    assert {row["exact"] for row in rows} == {"True"}
    assert err == ""


def test_flush_writes_what_it_would_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--guests", "16:20", "--bits", 4, "--entries", 5000, "--seed", 7, "--cpus", 2, "--policy", "5.18"]
    assert flush(*options) == 0
    printed = capsys.readouterr().out
    assert flush(*options, "--csv", tmp_path / "a.csv") == 0
    assert (tmp_path / "a.csv").read_text() == printed
    assert capsys.readouterr().out == f"{tmp_path / 'a.csv'}: 5 of 5 numbers of guests\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.csv"]


@pytest.mark.slow
def test_flush_on_two_processes_writes_the_same(tmp_path: Path) -> None:
    for workers in (1, 2):
        options = ["--guests", "16:30", "--bits", 4, "--entries", 5000, "--workers", workers]
        assert flush(*options, "--csv", tmp_path / f"{workers}.csv") == 0
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    words = ["--guests", "256:100000", "--entries", "3000000", "--csv", str(table)]
    with subprocess.Popen([sys.executable, "-m", "kvmlab", "flush", *words], stdout=subprocess.PIPE, text=True) as run:
        time.sleep(4)
        run.send_signal(signal.SIGINT)
        said, _ = run.communicate(timeout=60)
        assert run.returncode == 130
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) >= 1
    assert said == f"{table}: {len(rows)} of 99745 numbers of guests\n"
    assert [int(row["guests"]) for row in rows] == list(range(256, 256 + len(rows)))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--guests", "0"], "guests is 0; allowed: 1 to"),
        (["--guests", "9:5"], "last number of guests is 5; allowed: 9 to"),
        (["--guests", "a:b"], "guests is 'a:b'; allowed: a number, FIRST:LAST or FIRST:LAST:STEP"),
        (["--guests", "1:2:3:4"], "guests is '1:2:3:4'; allowed: a number"),
        (["--guests", "1:9:0"], "step of guests is 0; allowed: 1 to"),
        (["--bits", "1"], "vmid_bits is 1; allowed: 2 to 16"),
        (["--bits", "40"], "vmid_bits is 40; allowed: 2 to 16"),
        (["--entries", "-1"], "entries is -1; allowed: 0 to"),
        (["--cpus", "0"], "cpus is 0; allowed: 1 to"),
        (["--schedule", "unifrom"], "did you mean 'uniform'"),
        (["--schedule", "\x1b[31m"], r"schedule is '\x1b[31m'; allowed: round-robin"),
        (["--policy", "4"], "policy is '4'; allowed: 3.9, 5.18"),
        (["--workers", "0"], "workers is 0; allowed: 1 to"),
        (["--csv", "missing/a.csv"], "there is no directory 'missing'"),
        (["--csv", "file/a.csv"], "there is no directory 'file'"),
        (["--csv", "a.txt"], "it must end in .csv"),
        (["--csv", "/proc/a.csv"], "cannot be written"),
    ],
)
def test_bad_input_to_flush_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "old.csv").write_text("kept")
    table = [] if "--csv" in words else ["--csv", "old.csv"]
    assert flush("--guests", "300", "--entries", "10", *table, *words) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("kvmlab: ")
    assert says in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "old.csv"]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"kept"}


# -- figures -----------------------------------------------------------------------------------------------------------


def test_figures_are_listed_with_what_they_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figures", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(FIGURES)
    assert all(len(line.split()) > 4 and line.endswith(".") for line in lines)


@pytest.mark.slow
def test_figures_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "figures"
    options = ["--only", "descriptor", "--sizes", "column", "--themes", "dark", "light", "--kinds", "png", "svg"]
    assert main(["figures", "--out", str(out), *options]) == 0
    assert capsys.readouterr().out == f"{out}: 4 files\n"
    expected = {f"descriptor-column-{theme}.{kind}" for theme in ("light", "dark") for kind in ("svg", "png")}
    assert {path.name for path in out.iterdir()} == expected


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "new", "--only", "desciptor"], "figure is 'desciptor'; allowed: flush-frequency, "),
        (["--out", "new", "--only", "desciptor"], "did you mean 'descriptor'?"),
        (["--list", "--only", "clif"], "did you mean 'cliff'?"),
        (["--out", "new", "--kinds", "gif"], "kind is 'gif'; allowed: svg, pdf, png"),
        (["--out", "new", "--sizes", "slides"], "did you mean 'slide'?"),
        (["--out", "new", "--themes", "pink"], "theme is 'pink'; allowed: light, dark"),
        (["--out", "file"], "it is no directory"),
        (["--out", "file/new"], "cannot be made"),
        (["--out", "/proc/new"], "cannot be made"),
        ([], "--out is missing"),
    ],
)
def test_bad_input_to_figures_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    assert main(["figures", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert says in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
