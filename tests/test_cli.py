"""The command line: what it prints, and what it returns."""

from pathlib import Path

import pytest

from kvmlab.cli import main
from kvmlab.engine import Config
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
