"""Reports: written, read, and every kind of change noticed."""

import json
from pathlib import Path

import pytest

import kvmlab
from kvmlab.engine import InputError
from kvmlab.exercises import check, exercise
from kvmlab.exercises.record import SHOWN, TRIES_LIMIT, Record, Try
from kvmlab.exercises.report import SIZE_LIMIT, _digest, read, to_text

HEAD = ("format", "version", "notebook")


def answer(record, name, seed, *givens, hints=0):
    """Answer an exercise: "right", a number of one of its wrong answers, or an answer."""
    one, entry = exercise(name, seed), record.see(name, seed)
    for _ in range(hints):
        record.open_hint(entry)
    for given in givens:
        given = one.answer if given == "right" else one.wrong[given].answer if isinstance(given, int) else given
        record.add(entry, Try(given, check(one, given).right))


@pytest.fixture
def record():
    record = Record()
    answer(record, "gfn", 7, 0, "right", hints=1)
    answer(record, "descriptor", 3, 1)
    answer(record, "fault-steps", 2, "right")
    answer(record, "bad-schedule", 1, "right", hints=2)
    answer(record, "tlb-hits", 5, "right", hints=SHOWN)
    record.see("flushes", 1)
    return record


@pytest.fixture
def report(record, tmp_path: Path):
    path = tmp_path / "report.json"
    path.write_text(to_text(record.entries, "03"))
    return path


def test_a_report_holds_what_was_tried_and_no_more(report, record):
    read_back, findings = read(report)
    assert findings == []
    assert (read_back.version, read_back.notebook, read_back.changed) == (kvmlab.__version__, "03", False)
    assert list(read_back.entries) == [entry for entry in record.entries if entry.touched]
    assert [entry.template for entry in read_back.entries] == [
        "gfn",
        "descriptor",
        "fault-steps",
        "bad-schedule",
        "tlb-hits",
    ]
    assert [entry.solved for entry in read_back.entries] == [True, False, True, True, False]
    assert read_back.lines == (2, 3, 4, 5, 6)
    assert json.loads(report.read_text())["exercises"][0]["tries"][1]["right"] is True


def test_an_empty_report_is_one(tmp_path):
    path = tmp_path / "none.json"
    path.write_text(to_text([]))
    assert read(path)[1] == []


def forge(report, change):
    """Change a report, and make a digest that fits."""
    value = json.loads(report.read_text())
    change(value)
    value["digest"] = _digest({key: value[key] for key in HEAD}, value["exercises"])
    rows = ",\n".join(map(json.dumps, value.pop("exercises")))
    head = json.dumps({key: value[key] for key in HEAD})[:-1]
    tail = f'"digest": "{value["digest"]}"}}'
    report.write_text(f'{head}, "exercises": [\n{rows}\n], {tail}\n')


def at(*keys, to):
    def change(value):
        place = value["exercises"]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (at(1, "tries", 0, "right", to=True), 3, "said to be right, but it is wrong"),
        (at(0, "tries", 1, "right", to=False), 2, "said to be wrong, but it is right"),
        (at(0, "seed", to=8), 2, "said to be right, but it is wrong"),
        (at(1, "solved", to=True), 3, "said to be solved, but it is not solved"),
        (at(0, "solved", to=False), 2, "said to be not solved, but it is solved"),
        (at(4, "hints", to=0), 6, "said to be not solved, but it is solved"),
        (at(0, "template", to="no such thing"), 2, "no exercise is called 'no such thing'"),
        (at(2, "template", to="gfn"), 4, "no answer to this exercise"),
        (at(3, "tries", 0, "given", to=[0, 0, 0]), 5, "said to be right, but it is wrong"),
        (at(0, "tries", to=[{"given": [1, 2], "right": True}] * 2), 2, "goes on after a right answer"),
        (lambda value: value["exercises"].append(value["exercises"][0]), 7, "stands there twice"),
        (lambda value: value.update(version="9.9"), 1, "made with kvmlab '9.9'"),
        (at(0, "template", to="\x1b[2J" + "x" * 500), 2, "no exercise is called '\\x1b[2Jxxxx"),
    ],
)
def test_what_does_not_hold_is_named_with_its_line(report, change, line, words):
    forge(report, change)
    found, findings = read(report)
    assert not found.changed
    assert [finding.line for finding in findings if words in finding.words] == [line], findings
    assert all(len(finding.words) < 300 for finding in findings)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"right": false', '"right": true '),
        ('"hints": 1', '"hints": 0'),
        ('"notebook": "03"', '"notebook": "04"'),
        ('"seed": 7', '"seed": 8'),
    ],
)
def test_a_change_by_hand_breaks_the_digest(report, old, new):
    text = report.read_text()
    assert old in text
    report.write_text(text.replace(old, new, 1))
    found, findings = read(report)
    assert found.changed
    assert "the file was changed" in findings[0].words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ":1: not JSON"),
        ("[]", "no report of kvmlab"),
        ("{}", "no report of kvmlab"),
        ('{"t":"header","format":"kvmlab-trace/1"}\n{"t":"op"}\n', ":2: not JSON"),
        ('{"format": "kvmlab report 2"}', "no report of kvmlab"),
        ('{"format": "kvmlab report 1"}', "lacks 'version'"),
        ("[" * 100_000, "not JSON"),
        ('{"format": ' + "9" * 6000 + "}", "not JSON"),
        ("\x00\x01", "not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"x" * (SIZE_LIMIT + 1), "too large"),
    ],
)
def test_a_foreign_file_is_said_to_be_one(tmp_path, text, words):
    path = tmp_path / "other.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        read(path)
    assert words in str(error.value)
    assert str(error.value).startswith(f"{path}:")


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (at(1, "hints", to=5), 3, "hints"),
        (at(1, "hints", to=-1), 3, "hints"),
        (at(2, "seed", to=1 << 31), 4, "seed"),
        (at(2, "seed", to="2"), 4, "seed"),
        (at(0, "tries", 0, "given", to=["1"]), 2, "given"),
        (at(0, "tries", 0, "given", to=[1] * 65), 2, "given"),
        (at(0, "tries", 0, "right", to=1), 2, "right"),
        (at(0, "tries", to=[{"given": [1], "right": False}] * (TRIES_LIMIT + 1)), 2, "tries"),
        (at(0, "extra", to="x"), 2, "extra"),
        (at(0, to=None), 2, "exercise is null"),
        (lambda value: value.update(notebook="../../etc"), 1, "notebook"),
    ],
)
def test_a_report_of_another_shape_is_refused_with_the_line(report, change, line, words):
    forge(report, change)
    with pytest.raises(InputError, match=words) as error:
        read(report)
    assert str(error.value).startswith(f"{report}:{line}: ")


def test_a_report_in_another_layout_is_still_read(report):
    value = json.loads(report.read_text())
    report.write_text(json.dumps(value, indent=2))
    found, findings = read(report)
    assert findings == []
    assert found.lines[0] == 6
    assert len(set(found.lines)) == 5


def test_no_directory_and_no_missing_file_is_a_report(tmp_path):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError, match="cannot be read"):
            read(path)


def test_tries_end_with_a_right_answer_and_hints_with_the_answer_shown():
    record = Record()
    heard = []
    record.on_change(lambda: heard.append(1))
    answer(record, "gfn", 1, 0, "right", 0, "right")
    entry = record.see("gfn", 1)
    assert [one.right for one in entry.tries] == [False, True]
    assert record.open_hint(entry) == 0
    other = record.see("gfn", 2)
    assert [record.open_hint(other) for _ in range(6)] == [1, 2, 3, 4, 4, 4]
    answer(record, "gfn", 2, "right")
    assert not other.solved
    many = record.see("gfn", 3)
    for _ in range(TRIES_LIMIT + 5):
        record.add(many, Try((1, 1), right=False))
    assert len(many.tries) == TRIES_LIMIT
    assert heard
