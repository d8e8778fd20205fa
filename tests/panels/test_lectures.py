"""The lectures: timetables that add up, pages that show what they are for, an index that leads there."""

import argparse
import re
from html import unescape

import pytest

from kvmlab.cli import lectures as command
from kvmlab.engine import InputError
from kvmlab.exercises import TEMPLATES
from kvmlab.panels.lectures import LECTURES, PAGES, timetable, write_lectures
from kvmlab.scenes.peer import QUESTIONS
from kvmlab.scenes.stories import story

MINUTES = 50
PEER = 6


def scene(name):
    page = PAGES[name]
    machine = page.run().machine
    return story(page.panel, machine).read(machine.stream)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("lectures") / "new"
    assert {path.name for path in write_lectures(out)} == {"index.html", *(f"{name}.html" for name in PAGES)}
    return out


@pytest.mark.parametrize("number", LECTURES)
def test_a_lecture_fills_its_time(number):
    parts = LECTURES[number].parts
    assert sum(part.minutes for part in parts) == MINUTES
    assert {part.minutes for part in parts if part.question} == {PEER}
    assert timetable(number).rows[-1][0].endswith(f"–{MINUTES}")


def test_each_question_is_asked_once_in_its_lecture_and_order():
    asked = [(number, part.question) for number, lecture in LECTURES.items() for part in lecture.parts if part.question]
    assert asked == [(question.lecture, name) for name, question in QUESTIONS.items()]


def test_a_question_and_its_part_open_the_same_page():
    pages = {part.question: part.page for lecture in LECTURES.values() for part in lecture.parts if part.question}
    assert pages == {name: question.page for name, question in QUESTIONS.items()}


def test_exercises_that_are_named_exist():
    text = " ".join(lecture.due + " ".join(part.what for part in lecture.parts) for lecture in LECTURES.values())
    named = re.findall(r"“([a-z-]+)”", text)
    assert len(named) > 5
    assert set(named) <= {template.name for template in TEMPLATES.values()}


def test_every_page_is_opened_by_some_part():
    assert {part.page for lecture in LECTURES.values() for part in lecture.parts} - {""} == PAGES.keys()


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("stale", "A stale entry hits: the guest reaches the old page"),
        ("rollover", "FULL FLUSH: all TLBs, all CPUs"),
        ("ladder", "The level 3 table at .* is freed"),
        ("no-retry", "The guest's store goes to frame .*, not its own"),
        ("first-store", "The store is done: .*"),
    ],
)
def test_a_page_shows_what_it_is_for(name, title):
    assert any(re.fullmatch(title, step.title) for step in scene(name).steps)


def test_links_lead_to_steps_that_are_there(folder):
    index = (folder / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([\w-]+)\.html#step-(\d+)"', index)
    assert {name for name, _ in links} == PAGES.keys()
    for name, step in links:
        steps = scene(name).steps
        assert 1 <= int(step) <= len(steps)
        assert steps[int(step) - 1].command >= PAGES[name].command
        assert int(step) == 1 or steps[int(step) - 2].command < PAGES[name].command


def test_the_index_needs_nothing_from_anywhere(folder):
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|<script|@import|url\(", index)
    for question in QUESTIONS.values():
        assert question.asks in unescape(index)


def test_the_same_bytes_each_time(folder, tmp_path):
    for path in write_lectures(tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken"):
        list(write_lectures(tmp_path / "taken"))


def test_the_command_writes_and_says_so(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    out = tmp_path / "pages"
    assert command.run(parser.parse_args(["lectures", "--out", str(out)])) == 0
    assert len(list(out.iterdir())) == len(PAGES) + 1
    assert capsys.readouterr().out.startswith(f"{out}: {len(PAGES) + 1} files, ")
