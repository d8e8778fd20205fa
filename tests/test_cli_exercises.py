"""kvmlab check and kvmlab sheet: what they print, write and return."""

import csv
import json

import pytest

import kvmlab.cli
from kvmlab.cli import check, sheet
from kvmlab.exercises import check as judge
from kvmlab.exercises import exercise
from kvmlab.exercises.record import Record, Try
from kvmlab.exercises.report import to_text


@pytest.fixture
def main(monkeypatch):
    others = [command for command in kvmlab.cli.COMMANDS if command not in (check, sheet)]
    monkeypatch.setattr(kvmlab.cli, "COMMANDS", (*others, check, sheet))
    return kvmlab.cli.main


def report(path, *, wrong=0, hints=0, shown=0):
    """A report of three exercises, some of them first answered wrong."""
    record = Record()
    for number, name in enumerate(("gfn", "vmid", "tlb-hits")):
        one, entry = exercise(name, 5), record.see(name, 5)
        for _ in range(4 if number < shown else hints):
            record.open_hint(entry)
        for given in [one.wrong[0].answer] * (number < wrong) + [one.answer]:
            record.add(entry, Try(given, judge(one, given).right))
    path.write_text(to_text(record.entries, "02"))
    return path


def test_a_class_is_one_table(main, tmp_path, capsys):
    files = [report(tmp_path / "ada.json"), report(tmp_path / "bob.json", wrong=2, hints=1, shown=1)]
    table = tmp_path / "class.csv"
    assert main(["check", *map(str, files), "--csv", str(table)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["file", "notebook", "tried", "solved", "first", "try", "hints", "shown", "state"]
    assert rows[1] == [str(files[0]), "02", "3", "3", "3", "0", "0", "holds"]
    assert rows[2] == [str(files[1]), "02", "3", "2", "1", "5", "1", "holds"]
    with table.open() as file:
        lines = list(csv.reader(file))
    assert lines[0] == list(check.COLUMNS)
    assert lines[2] == [str(files[1]), "02", "3", "2", "1", "5", "1", "holds"]


def test_what_does_not_hold_is_said_with_file_and_line(main, tmp_path, capsys):
    good, bad = report(tmp_path / "good.json"), report(tmp_path / "bad.json", wrong=1)
    text = bad.read_text()
    bad.write_text(text.replace('"right": false', '"right": true'))
    assert main(["check", str(good), str(bad)]) == 1
    out, err = capsys.readouterr()
    assert f"{bad}:1: the digest does not fit: the file was changed after it was saved" in err
    assert f"{bad}:2: gfn, seed 5, try 1: said to be right, but it is wrong" in err
    assert out.splitlines()[1].split()[-1] == "holds"
    assert out.splitlines()[2].split()[-1] == "changed"


def test_a_file_that_is_no_report_is_said_so_and_the_others_are_checked(main, tmp_path, capsys):
    good, other = report(tmp_path / "good.json"), tmp_path / "other.json"
    other.write_text("[1, 2]")
    assert main(["check", str(other), str(tmp_path / "none.json"), str(good)]) == 2
    out, err = capsys.readouterr()
    assert f"{other}:1: no report of kvmlab" in err
    assert "none.json:1: cannot be read" in err
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["report", "report", "holds"]


def test_what_a_file_says_cannot_steer_the_terminal_or_a_spreadsheet(main, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = report(tmp_path / "=cmd()\x1b[2J.json")
    value = json.loads(evil.read_text())
    value["exercises"][0]["template"] = "\x1b]0;owned\x07"
    value["version"] = "\x1b[31m"
    evil.write_text(json.dumps(value))
    assert main(["check", evil.name, "--csv", "class.csv"]) == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\x07" not in out + err
    with (tmp_path / "class.csv").open() as file:
        assert list(csv.reader(file))[1][0].startswith("'=cmd()")


@pytest.mark.parametrize("table", ["class.txt", "no/such/class.csv"])
def test_a_table_that_cannot_be_written_is_refused_before_the_work(main, tmp_path, capsys, table):
    good = report(tmp_path / "good.json")
    assert main(["check", str(good), "--csv", str(tmp_path / table)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kvmlab: path is ")


def test_sheet_and_key_are_written(main, tmp_path, capsys):
    out, key = tmp_path / "sheet.html", tmp_path / "key.pdf"
    words = ["sheet", "--seed", "42", "--out", str(out), "--key", str(key), "--only", "gfn", "06", "--count", "3"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{out}: 3 exercises\n{key}: the key to 3 exercises\n"
    first = out.read_bytes(), key.read_bytes()
    assert main(words) == 0
    assert (out.read_bytes(), key.read_bytes()) == first
    assert first[0].startswith(b"<!DOCTYPE html>")
    assert first[1].startswith(b"%PDF")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "sheet.txt"], "must end in .pdf or .html"),
        (["--out", "sheet.pdf", "--key", "sheet.pdf"], "the same file as the sheet"),
        (["--only", "nothing"], "allowed: "),
        (["--count", "0"], "count is 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--out", "no/sheet.pdf"], "there is no directory"),
    ],
)
def test_what_makes_no_sheet_is_said_and_nothing_is_written(main, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["sheet", *words]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
