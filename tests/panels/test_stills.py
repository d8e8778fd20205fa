"""Stills: what a step shows is drawn, in the colours of the panels, into files that are the same each time."""

import io
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.colors import to_hex
from PIL import Image

from kvmlab.engine import InputError
from kvmlab.figures.files import save, to_bytes
from kvmlab.panels import vmids
from kvmlab.panels.stills import figure, filmstrip, gif
from kvmlab.panels.stills.draw import measure
from kvmlab.panels.stills.words import broken
from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.scene import SceneError, plain
from tests.scenes.runs import everything

pytestmark = pytest.mark.slow  # all together; test_all_panels has one still of each panel
SMALLEST = 8  # points
SVG = "{http://www.w3.org/2000/svg}"


def vmid_scene():
    panel = vmids(vmid_bits=4)
    panel.run(40)
    return panel.scene


@pytest.fixture(scope="module")
def scenes():
    return {"fault": fault_scene(everything().stream), "vmid": vmid_scene()}


@pytest.fixture(scope="module")
def scene(scenes):
    return scenes["fault"]


def drawn_texts(still):
    """Return the texts of a figure, in order."""
    (axes,) = still.axes
    return [text.get_text() for text in axes.texts]


def shown_texts(scene, step):
    """Return the texts that a step shows, by the picture alone: with no class or none above that hides."""
    picture, out = scene.at(step), []

    def look(part, hidden):
        name = part.get("data-id")
        state, text = picture[name] if name else ("", part.text)
        hidden = hidden or "off" in f"{part.get('class', '')} {state}".split()
        if part.tag == f"{SVG}text" and not hidden and (text or "").strip():
            out.append(" ".join(text.split()))
        for child in part:
            look(child, hidden)

    look(ElementTree.fromstring(scene.markup), False)
    return out


def colours(still):
    """Return the colours of all fills and edges that a figure holds."""
    (axes,) = still.axes
    return {to_hex(colour) for patch in axes.patches for colour in (patch.get_facecolor(), patch.get_edgecolor())}


@pytest.mark.parametrize("name", ["fault", "vmid"])
def test_what_a_step_shows_is_drawn_and_nothing_else(scenes, name):
    scene = scenes[name]
    counts = set()
    for step in range(0, len(scene.steps), len(scene.steps) // 7):
        texts = drawn_texts(figure(scene, step, words=False))
        assert texts == shown_texts(scene, step)
        counts.add(len(texts))
    assert len(counts) > 2  # parts come and go


def test_what_changed_is_orange_and_only_that(scene):
    for theme, orange in (("light", "#b83c06"), ("dark", "#ff9a52")):
        for step in (0, 12, 31, 40):
            still = figure(scene, step, theme=theme, words=False)
            texts = {to_hex(text.get_color()) for text in still.axes[0].texts}
            assert (orange in colours(still) | texts) == bool(scene.steps[step].now), step


def test_a_theme_is_that_of_the_panels(scene):
    for theme, paper, kern in (("light", "#ffffff", "#0e5cd3"), ("dark", "#10151b", "#5a9cf5")):
        still = figure(scene, 20, theme=theme)
        assert to_hex(still.get_facecolor()) == paper
        assert kern in colours(still)
    with pytest.raises(InputError, match="theme is 'sepia'; allowed: 'light' or 'dark'"):
        figure(scene, 0, theme="sepia")


def test_the_words_of_the_step_stand_beside_it(scene):
    step = scene.steps[30]
    words = " ".join(" ".join(drawn_texts(figure(scene, 30))).split())
    for expected in (step.title, step.label, step.fn, step.log[0][1], f"31/{len(scene.steps)}"):
        assert expected in words
    assert "".join(plain(step.why).split()) in "".join(words.split())
    assert step.title not in " ".join(drawn_texts(figure(scene, 30, words=False)))


def test_the_longest_words_stay_on_a_slide_and_can_be_read(scenes):
    for scene in scenes.values():
        why = "{c|" + "mnemonic " * 9 + "is}, so {e|" + "mnemonics " * 6 + "are}."
        wordy = replace(
            scene.steps[20], title="Wherever memory " * 3 + "may end", why=why, log=(("kern", "x " * 9000),)
        )
        long = replace(scene, steps=(*scene.steps[:20], wordy, *scene.steps[21:])).check()
        still = figure(long, 20)
        to_bytes(still, "png")
        wide, high = still.get_size_inches() * still.dpi
        assert wide / high == pytest.approx(16 / 9)
        for text in still.axes[0].texts:
            box = text.get_window_extent()
            assert text.get_fontsize() >= SMALLEST, text
            assert -1 <= box.x0 <= box.x1 <= wide + 1, text
            assert -1 <= box.y0 <= box.y1 <= high + 1, text


def test_lines_are_no_wider_than_their_column_and_lose_nothing():
    text = "a mmu_memory_cache that is far longer than any line " + "x" * 90
    lines = broken(text, 120, 11, mono=True)
    assert all(measure(line, 11, mono=True) <= 120 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert lines[:2] == ["a mmu_memory_cache", "that is far longer"]
    assert broken("  a\n b ", 120, 11) == ["a b"]
    assert broken("wide", 1, 11) == list("wide")


def test_strange_letters_are_shown_as_text(scene):
    strange = "</text><script>\u202e $x^2$ 你 \U0001f600 & \x07"
    part = "g.do"
    step = replace(scene.steps[0], patches=((part, None, strange),), title=strange)
    still = figure(replace(scene, steps=(step,), groups=(), title=strange), 0)
    assert "</text><script> $x^2$ □ □ & " in [f"{text.strip()} " for text in drawn_texts(still)]
    root = ElementTree.fromstring(to_bytes(still, "svg"))
    assert not [one for one in root.iter() if one.tag.endswith("script")]
    assert "$x^2$ 你" in root.findtext(f"{SVG}title")
    for kind in ("png", "pdf"):
        assert to_bytes(still, kind)


def test_a_figure_says_in_words_what_it_shows(scene):
    step, still = scene.steps[30], figure(scene, 30)
    root = ElementTree.fromstring(to_bytes(still, "svg"))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == f"{scene.title}: step 31 of {len(scene.steps)}, {step.title}"
    desc = root.findtext(f"{SVG}desc")
    for expected in (step.title, plain(step.why), step.fn, "The stage-2 tables of a guest"):
        assert expected in desc
    png = Image.open(io.BytesIO(to_bytes(still, "png")))
    assert (png.info["Title"], png.info["Description"]) == (root.findtext(f"{SVG}title"), desc)
    pdf = to_bytes(still, "pdf")
    assert b"/Title (" + scene.title[:9].encode() in pdf
    assert b"CreationDate" not in pdf
    shown = still._repr_mimebundle_()
    assert step.title in shown["text/plain"]
    assert step.title in shown["text/html"]


SCRIPT = """
import hashlib, sys
from kvmlab.figures.files import to_bytes
from kvmlab.panels.stills import figure, filmstrip, gif
from kvmlab.scenes.fault.story import fault_scene
from tests.scenes.runs import everything
scene = fault_scene(everything().stream)
for still in (figure(scene, len(scene.steps) - 1), filmstrip(scene, [1, 2])):
    print(*(hashlib.sha256(to_bytes(still, kind)).hexdigest() for kind in ("svg", "png", "pdf")))
print(hashlib.sha256(gif(scene, sys.argv[1], steps=[1, 2]).read_bytes()).hexdigest())
"""


def test_two_processes_write_the_same_bytes(tmp_path):
    def run(seed):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "walk.gif")]
        root = Path(__file__).parents[2]
        return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True).stdout

    first = run(1)
    assert len(set(first.split())) == 7
    assert first == run(2)


def test_settings_for_other_figures_do_not_matter(scene):
    import matplotlib

    plain_bytes = to_bytes(figure(scene, 5), "png")
    with matplotlib.rc_context({"text.usetex": True, "lines.scale_dashes": False, "font.size": 30, "savefig.dpi": 30}):
        assert to_bytes(figure(scene, 5), "png") == plain_bytes


@pytest.mark.parametrize(("name", "head"), [("a.svg", b"<?xml"), ("b.png", b"\x89PNG"), ("c.PDF", b"%PDF")])
def test_the_ending_chooses_the_format(scene, tmp_path, name, head):
    path = save(figure(scene, 3), tmp_path / name)
    assert path == tmp_path / name
    assert path.read_bytes().startswith(head)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("still.jpg", r"still.jpg'; it must end in .svg, .pdf or .png"),
        ("still", "must end in .svg, .pdf or .png"),
        ("missing/still.svg", "there is no directory"),
        ("folder.svg", "it is a directory"),
    ],
)
def test_a_wrong_path_is_said_in_words(scene, tmp_path, name, says):
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(InputError, match=says):
        save(figure(scene, 0, words=False), tmp_path / name)
    with pytest.raises(InputError, match=r"must end in \.gif"):
        gif(scene, tmp_path / "walk.mp4", steps=[0])
    with pytest.raises(InputError, match=r"must be the name of a file, such as 'figure\.svg'"):
        save(figure(scene, 0, words=False), 3)


@pytest.mark.parametrize("step", [-1, 10_000, 1.5, "2", None])
def test_a_wrong_step_is_said_in_words(scene, tmp_path, step):
    last = len(scene.steps) - 1
    for wrong in (
        lambda: figure(scene, step),
        lambda: filmstrip(scene, [0, step]),
        lambda: gif(scene, tmp_path / "walk.gif", steps=[step]),
    ):
        with pytest.raises(InputError, match=rf"step.* ({last}|must be a whole number, not {step!r})"):
            wrong()
    assert not list(tmp_path.iterdir())


def test_a_filmstrip_has_room_for_one_to_twelve(scene):
    for steps, says in (([], "holds 0 steps; allowed: 1 to 12"), (range(13), "holds 13 steps"), (3, "several steps")):
        with pytest.raises(InputError, match=says):
            filmstrip(scene, steps)


def test_a_filmstrip_shows_each_step_under_its_title(scene):
    strip = filmstrip(scene, [30, 31, 32, 33], theme="dark")
    texts = drawn_texts(strip)
    for step in (30, 31, 32, 33):
        assert scene.steps[step].title in " ".join(texts)
        assert f"{step + 1}/{len(scene.steps)}" in texts
        assert scene.steps[step].title in strip.kvmlab_alt
    pictures = sum(len(shown_texts(scene, step)) for step in (30, 31, 32, 33))
    assert len(texts) == pictures + 4 * 4  # chip, function, number, title
    assert min(text.get_fontsize() for text in strip.axes[0].texts) >= SMALLEST
    sizes = [tuple(filmstrip(scene, range(count)).get_size_inches()) for count in (1, 2, 4, 5)]
    assert sizes[1][1] == sizes[0][1]
    assert sizes[2][0] == sizes[1][0]
    assert sizes[3][0] > sizes[2][0]


def test_a_walk_moves(scene, tmp_path):
    steps = [20, 21, 22]
    path = gif(scene, tmp_path / "walk.gif", steps=steps, seconds=0.5)
    with Image.open(path) as movie:
        assert (movie.n_frames, movie.size, movie.info["loop"]) == (3, (1280, 720), 0)
        frames = []
        for frame in range(3):
            movie.seek(frame)
            assert movie.info["duration"] == 500
            frames.append(movie.convert("RGB").tobytes())
            assert movie.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    assert len(set(frames)) == 3


def test_steps_that_are_alike_pass_quickly(tmp_path):
    scene = vmid_scene()
    fast = next(number for number, step in enumerate(scene.steps) if step.fast)
    held = []
    with Image.open(gif(scene, tmp_path / "walk.gif", steps=[0, fast], seconds=2)) as movie:
        for frame in range(2):
            movie.seek(frame)
            held.append(movie.info["duration"])
    assert held == [2000, 100]


@pytest.mark.parametrize("seconds", [0, -1, 61, float("nan"), "1", None])
def test_a_wrong_pace_is_said_in_words(scene, tmp_path, seconds):
    with pytest.raises(InputError, match=r"seconds is .*; allowed: 0\.1 to 60"):
        gif(scene, tmp_path / "walk.gif", steps=[0], seconds=seconds)


@pytest.mark.parametrize(
    ("markup", "says"),
    [
        ("<ellipse rx='3' ry='3'/>", "do not know the element <ellipse>"),
        ("<ellipse rx='3' ry='3' class='off'/>", "do not know the element <ellipse>"),
        ("<text>a<tspan>b</tspan></text>", "do not know <tspan> inside <text>"),
        ("<path d='M0 0A5 5 0 0 0 9 9'/>", "do not know 'A' in the path"),
        ("<path d='M0 0L5'/>", "breaks off"),
        ("<rect width='9' height='9' fill='url(#nowhere)'/>", r"no pattern is called url\(#nowhere\)"),
        ("<rect width='9' height='9' style='fill: beige-ish'/>", "do not know the colour 'beige-ish'"),
        ("<rect width='9em' height='9'/>", "do not know the length '9em'"),
        ("<rect width='9' height='9' style='filter: blur(2px)'/>", "do not know the property 'filter'"),
        ("<g transform='skewX(3)'/>", r"do not know the transformation skewX\(3\)"),
    ],
)
def test_what_stills_do_not_know_is_said_and_not_left_out(scene, markup, says):
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{markup}</svg>'
    strange = replace(scene, markup=drawing, groups=(), steps=(replace(scene.steps[0], patches=(), now=(), cause=()),))
    with pytest.raises(SceneError, match=says):
        figure(strange, 0)


def test_a_figure_is_there_within_a_second(scenes):
    for scene in scenes.values():
        figure(scene, 10)
        times = []
        for _ in range(3):
            start = time.process_time()
            figure(scene, 10)
            times.append(time.process_time() - start)
        assert min(times) < 1
