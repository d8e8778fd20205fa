"""Exercises and progress as widgets, without a browser: what is shown, judged, recorded and saved."""

import json
import subprocess
import sys

import pytest

import kvmlab as kl
from kvmlab.engine import InputError
from kvmlab.exercises import TEMPLATES, Fields, Several, exercise
from kvmlab.exercises.record import RECORD
from kvmlab.exercises.report import read
from kvmlab.panels.answers import describe, parse_answer


@pytest.fixture(autouse=True)
def fresh():
    """Each test begins with nothing seen."""
    kept, RECORD._entries, listeners, RECORD._listeners = RECORD._entries, {}, RECORD._listeners, []
    yield
    RECORD._entries, RECORD._listeners = kept, listeners


def words_of(one, answer):
    """An answer as a learner types or picks it."""
    form = one.form
    if isinstance(form, Fields):
        return [
            str(value) if field.choices else field.show(value) for field, value in zip(form.fields, answer, strict=True)
        ]
    return [form.show(answer)] if one.template == "bad-schedule" else [str(value) for value in answer]


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_kind_is_answered_by_what_is_typed_and_picked(name):
    panel = kl.practice(name)
    one = panel.exercise
    panel.check(words_of(one, one.wrong[0].answer))
    assert panel.said["mood"] == "wrong"
    assert panel.said["words"].startswith("✗ Not right. ")
    panel.check(words_of(one, one.answer))
    assert panel.said["mood"] == "right"
    assert panel.said["words"].startswith("✓ Right. ")
    assert panel.entry.solved
    assert [one.right for one in panel.entry.tries] == [False, True]
    assert panel.hints["next"] == ""


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_the_browser_never_gets_the_answer(name):
    panel = kl.practice(name, seed=4)
    one = panel.exercise
    state = json.dumps(panel.get_state(["shown", "said", "hints"]))
    assert one.because not in state
    assert all(hint not in state for hint in one.hints)
    assert "answer" not in panel.shown
    assert json.loads(json.dumps(describe(one.form)))["kind"] in ("fields", "several", "order", "schedule")


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("gfn", ["", ""], "gfn is empty: write a number"),
        ("gfn", [], "gfn is empty: write a number"),
        ("gfn", ["abc", "1"], "gfn is 'abc'; write a number"),
        ("gfn", ["1", "-5"], "offset is -5; allowed: 0 to"),
        ("gfn", ["1", "9" * 300], "offset is"),
        ("gfn", ["1.5", "1"], "gfn is '1.5'; write a number"),
        ("first-to-act", [], "answer is open: choose one"),
        ("first-to-act", ["99"], "answer is 99; allowed: 0 to 4"),
        ("tlb-hits", [], "nothing is ticked"),
        ("tlb-hits", ["17"], "choice is 17"),
        ("fault-steps", ["1", ""], "step 2 is open"),
        ("bad-schedule", [""], "schedule is empty: write a letter for each step, G for guest or H for host"),
        ("bad-schedule", ["GGX"], "schedule has 'X'; allowed: G for guest or H for host"),
        ("bad-schedule", ["G" * 65], "schedule has 65 letters; allowed: at most 64"),
    ],
)
def test_what_is_no_answer_is_said_plainly_and_not_counted(name, values, words):
    panel = kl.practice(name)
    panel.check(values)
    assert panel.said["words"].startswith("Not counted: ")
    assert words in panel.said["words"]
    assert panel.said["mood"] == ""
    assert not panel.entry.touched


@pytest.mark.parametrize("typed", [" 0x{:x} ", "{}", "0x{:X}", "0x_{:x}"])
def test_numbers_can_be_typed_in_many_ways(typed):
    panel = kl.practice("gfn", seed=3)
    panel.check([typed.format(value) for value in panel.exercise.answer])
    assert panel.said["mood"] == "right"


def test_schedules_can_be_written_loosely():
    form = exercise("bad-schedule", 1).form
    assert parse_answer(form, ["g g, H;h > G-H"]) == (0, 0, 1, 1, 0, 1)


def test_ticks_come_in_any_order():
    assert parse_answer(Several(("a", "b", "c")), ["2", "0"]) == (0, 2)


def test_hints_open_one_by_one_and_then_the_answer():
    panel = kl.practice("leaf", seed=9)
    one = panel.exercise
    names = [panel.hints["next"]]
    for opened in range(1, 5):
        panel.hint()
        names.append(panel.hints["next"])
        assert panel.hints["opened"] == list(one.hints[:opened])
        assert bool(panel.hints["answer"]) == (opened == 4)
    assert names == ["Hint", "Hint 2 of 3", "Hint 3 of 3", "Show the answer", ""]
    assert one.because in panel.hints["answer"]
    panel.check(words_of(one, one.answer))
    assert panel.said["mood"] == "right"
    assert not panel.entry.solved


def test_another_goes_to_the_next_seed_and_keeps_what_was_done():
    panel = kl.practice("vmid", seed=41)
    first = panel.exercise
    panel.hint()
    panel.another()
    assert panel.exercise == exercise("vmid", 42)
    assert panel.shown["task"] == panel.exercise.task
    assert panel.hints["opened"] == []
    assert [(entry.seed, entry.hints) for entry in RECORD.entries] == [(41, 1), (42, 0)]
    again = kl.practice("vmid", seed=41)
    assert again.exercise == first
    assert len(again.hints["opened"]) == 1
    last = kl.practice("gfn", seed=(1 << 31) - 1)
    last.another()
    assert last.exercise.seed == 0


def test_without_a_seed_the_first_is_always_the_same():
    assert kl.practice("gfn").exercise == kl.practice("gfn").exercise == exercise("gfn", 1)


@pytest.mark.parametrize(("name", "seed"), [("nothing", 1), (None, 1), ("gfn", -1), ("gfn", "7"), ("gfn", 1.5)])
def test_a_wrong_name_or_seed_is_said_so(name, seed):
    with pytest.raises(InputError):
        kl.practice(name, seed)


def test_the_buttons_of_the_browser_do_the_same():
    panel = kl.practice("gfn")
    one = panel.exercise
    panel._handle_custom_msg({"do": "check", "values": words_of(one, one.answer)}, [])
    assert panel.said["mood"] == "right"
    panel._handle_custom_msg({"do": "another"}, [])
    assert panel.exercise.seed == 2
    panel._handle_custom_msg({"do": "hint"}, [])
    assert len(panel.hints["opened"]) == 1


@pytest.mark.parametrize(
    "message",
    [
        None,
        7,
        "check",
        {},
        {"do": "delete"},
        {"do": "check"},
        {"do": "check", "values": "12"},
        {"do": "check", "values": [1, 2]},
        {"do": "check", "values": [None]},
        {"do": "check", "values": ["1"] * 65},
        {"do": "check", "values": ["x" * 401]},
        {"do": ["check"]},
    ],
)
def test_a_strange_message_does_nothing(message):
    panel = kl.practice("gfn")
    before = dict(panel.said), dict(panel.hints), panel.exercise
    panel._heard(panel, message, [])
    assert (dict(panel.said), dict(panel.hints), panel.exercise) == before
    assert not panel.entry.touched


def test_hostile_text_stays_text():
    panel = kl.practice("gfn")
    nasty = "<img src=x onerror=alert(1)>"
    panel.check([nasty, "1"])
    assert nasty in panel.said["words"]  # the browser sets it as text, never as HTML
    script = panel._esm
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert way not in script


def test_progress_follows_what_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    panel = kl.progress("03")
    assert "No exercise has been shown" in panel.table.value
    assert panel.save_button.disabled
    exercises = [kl.practice("gfn"), kl.practice("index"), kl.practice("leaf", seed=2)]
    assert "0 of 3 kinds of exercise solved" in panel.table.value
    assert "not tried yet" in panel.table.value
    first = exercises[0]
    first.check(words_of(first.exercise, first.exercise.wrong[0].answer))
    assert "<td>tried</td><td>0</td><td>1</td>" in panel.table.value
    first.check(words_of(first.exercise, first.exercise.answer))
    exercises[1].hint()
    assert "1 of 3 kinds of exercise solved" in panel.table.value
    assert "<td>✓ solved</td><td>1</td><td>1</td><td>0</td>" in panel.table.value
    assert not panel.save_button.disabled
    panel.save_button.click()
    path = tmp_path / "report-03.json"
    assert str(path) in panel.message.value
    report, findings = read(path)
    assert findings == []
    assert [(entry.template, entry.solved, entry.hints) for entry in report.entries] == [
        ("gfn", True, 0),
        ("index", False, 1),
    ]


def test_progress_says_where_it_cannot_save(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report-04.json").mkdir()
    panel = kl.progress("04")
    kl.practice("gfn").hint()
    panel.save_button.click()
    assert "not saved: " in panel.message.value
    assert "it is a directory" in panel.message.value
    with pytest.raises(InputError, match="must end in"):
        panel.save("report.txt")
    assert kl.progress().save() == kl.progress().save("report.json")


def do(name, seed, *answers, hints=0):
    """Answer an exercise; 0 stands for a known error, 1 for the right answer."""
    panel = kl.practice(name, seed)
    for _ in range(hints):
        panel.hint()
    for right in answers:
        panel.check(words_of(panel.exercise, panel.exercise.answer if right else panel.exercise.wrong[0].answer))


def again(*seen):
    """Begin a new session."""
    RECORD._entries = {}
    for one in seen:
        do(*one)


def test_a_report_of_an_earlier_session_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    do("gfn", 1, 1)
    do("gfn", 2, 0, hints=2)
    do("gfn", 3, 0, 0)
    kl.progress("03").save()
    again(("gfn", 1, 0), ("gfn", 2, 1), ("gfn", 4, 1))
    for _ in range(3):  # to save again changes nothing
        path = kl.progress("03").save()
        report, findings = read(path)
        assert findings == []
        assert {entry.seed: ([one.right for one in entry.tries], entry.hints) for entry in report.entries} == {
            1: ([True], 0),
            2: ([False, True], 2),
            3: ([False, False], 0),
            4: ([True], 0),
        }


@pytest.mark.parametrize("text", ["my shopping list", '{"format": "kvmlab report 1"}', None])
def test_another_file_of_that_name_is_not_replaced(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    do("gfn", 1, 0)
    panel, path = kl.progress("03"), tmp_path / "report-03.json"
    if text is None:  # a report that was changed by hand
        path.write_text(panel.save().read_text().replace('"right": false', '"right": true'))
    else:
        path.write_text(text)
    before = path.read_text()
    panel.save_button.click()
    assert "not saved: report-03.json is there already" in panel.message.value
    assert path.read_text() == before


@pytest.mark.parametrize("notebook", ["3", "10", "../x", 3, None])
def test_progress_of_no_notebook_is_refused(notebook):
    with pytest.raises(InputError, match="allowed: 00, 01"):
        kl.progress(notebook)


def test_nothing_of_it_is_loaded_before_it_is_asked_for():
    script = (
        "import sys, kvmlab; assert not {'ipywidgets', 'numpy', 'matplotlib'} & set(sys.modules);"
        "assert 'practice' in kvmlab.__all__; kvmlab.practice('gfn'); kvmlab.progress('00');"
        "assert 'matplotlib' not in sys.modules; print('good')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "good\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kl.nothing
