"""The exported page as text: it holds the scene, tells it in words, asks for nothing, and hostile text stays text."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from kvmlab.engine import InputError
from kvmlab.panels import fault, vmids
from kvmlab.panels.export import export, to_html
from kvmlab.panels.player import module, style
from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.scene import ACTORS, Scene, plain
from tests.scenes.runs import RUNS, first_store, guest

NASTY = """</script><script>alert(1)</script> <!-- <script> ]]> "double" 'single' &amp; \u202eright to left\u202c """
SCENES = [fault_scene(run().stream) for run in RUNS.values()]


class Page(HTMLParser):
    """An HTML file, read: what stands in each element, and the attributes of all of them."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.attributes, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, name, value) for name, value in attributes]
        self.texts.append((tag, dict(attributes), []))
        if tag not in ("meta", "br"):
            self.open.append(self.texts[-1])

    def handle_endtag(self, tag):
        assert self.open[-1][0] == tag
        self.open.pop()

    def handle_data(self, data):
        for _, _, pieces in self.open:
            pieces.append(data)

    def all(self, wanted, **attributes):
        """Return the text of each such element."""
        return [
            "".join(pieces) for tag, has, pieces in self.texts if tag == wanted and attributes.items() <= has.items()
        ]

    def scene(self):
        """Return the scene that the player gets."""
        (packed,) = self.all("script", id="scene")
        return Scene.from_dict(json.loads(zlib.decompress(base64.b64decode(packed))))


def long_walk():
    """A guest stores to one fresh block after another, for at least 200 steps; each takes a table and a page."""
    machine, count = guest(), 0
    while len((scene := fault_scene(machine.stream)).steps) < 200:
        machine.access(0, 0x8000_0000 + count * 0x20_0000, "write", value=count)
        count += 1
    return scene


def nasty_scene(words=NASTY):
    """A scene in which every text that is shown is hostile."""
    scene = fault_scene(first_store().stream)
    steps = tuple(
        replace(step, title=words, why=f"{{c|{words}}}, so {{e|{words}}}", fn=words, chip=words, log=(("kern", words),))
        for step in scene.steps
    )
    return replace(scene, title=words, source=words, steps=steps)


@pytest.mark.parametrize(
    "scene", [*SCENES, nasty_scene(), nasty_scene("x" * 10_000)], ids=lambda scene: scene.title[:9]
)
def test_it_holds_the_scene_and_tells_every_step(scene):
    page = Page(to_html(scene))
    assert page.open == []
    assert page.scene() == scene
    assert page.all("title") == page.all("h1") == [scene.title]
    told = [text for text in page.all("section", **{"class": "words"})[0].splitlines() if text]
    expected = []
    for number, step in enumerate(scene.steps, 1):
        expected += [f"{number}. {step.title}", f"{step.chip or ACTORS[step.actor]} · {step.fn}", plain(step.why)]
        expected += [f"{ACTORS[actor]} {text}" for actor, text in step.log]
    assert told[1 + bool(scene.source) :] == expected


def test_the_same_run_gives_the_same_bytes(tmp_path):
    one, two = (
        export(fault_scene(first_store().stream), tmp_path / name).read_bytes() for name in ("a.html", "b.html")
    )
    assert one == two
    assert b"\r" not in one


@pytest.mark.parametrize("scene", [SCENES[1], nasty_scene()], ids=["plain", "nasty"])
def test_its_policy_allows_the_player_and_nothing_else(scene):
    page = Page(to_html(scene))
    (policy,) = [value for tag, name, value in page.attributes if name == "content" and value.startswith("default-src")]
    (script,) = page.all("script", type="module")
    seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert dict(rule.split(maxsplit=1) for rule in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": f"'sha256-{seal}'",
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert len(page.all("script")) == 2
    assert [name for _, name, _ in page.attributes if name in ("src", "href") or name.startswith("on")] == []
    assert re.findall(r"@import|url\((?!#)", page.all("style")[0]) == []


def test_it_is_the_same_player_and_the_same_style():
    page = Page(to_html(SCENES[0]))
    assert page.all("script", type="module")[0].startswith(module())
    assert style() in page.all("style")[0]


def test_a_walk_of_200_steps_is_small():
    scene = long_walk()
    page = to_html(scene)
    assert 200 <= len(scene.steps) < 230
    assert len(page.encode()) < 300_000
    assert Page(page).scene() == scene


def test_half_a_character_is_replaced(tmp_path):
    scene = nasty_scene("half \ud800 of it")
    page = Page(export(scene, tmp_path / "half.html").read_text(encoding="utf-8"))
    assert page.all("h1") == ["half ? of it"]
    assert page.scene().title == "half ? of it"


def test_panels_export_what_they_show(tmp_path):
    one, other = fault(), vmids(vmid_bits=4)
    one.access()
    other.run(20)
    for panel in (one, other):
        path = panel.export(str(tmp_path / "walk.html"))  # the second replaces the first
        assert path == tmp_path / "walk.html"
        assert Page(path.read_text(encoding="utf-8")).scene() == Scene.from_dict(panel.player.scene)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("walk.htm", "must end in .html"),
        ("walk", "must end in .html"),
        ("", "must end in .html"),
        ("folder.html", "it is a directory"),
        ("missing/walk.html", "there is no directory"),
        ("file.txt/walk.html", "there is no directory"),
        ("nul\0.html", "null byte"),
        ("x" * 5_000 + ".html", "cannot be written"),
    ],
)
def test_a_wrong_path_is_said_in_words(tmp_path, name, says):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file.txt").write_text("kept")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=says) as caught:
        export(SCENES[0], f"{tmp_path}/{name}")
    assert len(str(caught.value)) < 1_000
    assert sorted(tmp_path.iterdir()) == before


def test_a_path_that_is_no_path_is_said_in_words():
    with pytest.raises(InputError, match=r"path is '3'; it must be the name of a file"):
        export(SCENES[0], 3)
