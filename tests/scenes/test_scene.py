"""A scene as data: what it refuses, what it keeps, and that stepping and jumping show the same."""

import json
from dataclasses import replace

import pytest

from kvmlab.scenes import svg
from kvmlab.scenes.scene import Group, Scene, SceneError, Step, changes, plain

MARKUP = svg.picture(800, 100, "two parts", [svg.group("box", "b", [svg.text(1, 2, "none", part="word")])])


def step(**changed):
    plainly = {"actor": "kern", "label": "PUBLISH", "fn": "stage2_set_pte()", "title": "It moves"}
    return Step(**plainly | {"why": "{c|a}, so {e|b}."} | changed)


def scene(*steps, **changed):
    return Scene(**{"name": "test", "title": "Test", "markup": MARKUP, "steps": steps or (step(),)} | changed)


def test_a_picture_is_what_the_patches_leave():
    shown = scene(
        step(patches=(("box", "on", None),)),
        step(patches=(("word", None, "one"),)),
        step(patches=(("box", "", None), ("word", "big", None))),
    )
    assert shown.base() == {"box": ("", ""), "word": ("", "none")}
    assert shown.at(0) == {"box": ("on", ""), "word": ("", "none")}
    assert shown.at(1) == {"box": ("on", ""), "word": ("", "one")}
    assert shown.at(2) == {"box": ("", ""), "word": ("big", "one")}


def test_changes_are_the_smallest_patches():
    before = {"a": ("", "1"), "b": ("on", "2"), "c": ("on", "3")}
    after = {"a": ("", "1"), "b": ("off", "2"), "c": ("on", "4")}
    assert changes(before, after) == (("b", "off", None), ("c", None, "4"))


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (scene(step(patches=(("nobody", "on", None),))), "no part is called"),
        (scene(step(now=("nobody",))), "no part is called"),
        (scene(step(cause=("nobody",))), "no part is called"),
        (scene(step(title="x" * 63)), "too long"),
        (scene(step(why="x" * 161)), "too long"),
        (scene(step(lane="cpu9")), "no lane is called 'cpu9'"),
        (scene(groups=(Group(first=0, last=1, before="", after=""),)), "beyond the 1 steps"),
        (scene(steps=()), "at least one step"),
        (scene(markup=MARKUP.replace('data-id="word"', 'data-id="box"')), r"not unique: \['box'\]"),
    ],
)
def test_a_broken_scene_is_refused(broken, says):
    with pytest.raises(SceneError, match=says):
        broken.check()


def test_the_marks_of_a_sentence_do_not_count():
    assert plain("{c|a < b}, so {e|it ends}") == "a < b, so it ends"
    assert scene(step(title="x" * 62, why="{c|" + "x" * 160 + "}")).check()


def test_json_and_back():
    whole = scene(
        step(
            patches=(("box", "on", None),),
            now=("box",),
            log=(("kern", "said"),),
            mark="fault",
            event=7,
            command=2,
            fast=True,
        ),
        groups=(Group(first=0, last=0, before="a", after="b"),),
        lanes=(("kern", "kernel"),),
    )
    text = whole.to_json()
    assert Scene.from_dict(json.loads(text)) == whole
    assert Scene.from_dict(json.loads(text)).to_json() == text
    assert "cause" not in json.loads(text)["steps"][0]


def test_text_is_escaped():
    nasty = '<script>alert(1)</script> & "quotes" \''
    drawing = svg.picture(8, 8, nasty, [svg.text(0, 0, nasty, part='"><b>')])
    assert "<script>" not in drawing
    shown = replace(scene(), markup=drawing).base()
    assert shown == {'"><b>': ("", nasty)}
