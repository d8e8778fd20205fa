"""Use the flush panel from Python: the picture follows the controls; its numbers are those of theory and counting."""

import asyncio
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from kvmlab.engine import InputError
from kvmlab.panels.flush import ENTRIES, flushes
from kvmlab.rollover import theory
from kvmlab.rollover.laws import law
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.rollover.simulate import simulate
from kvmlab.rollover.survey import Setting, survey
from kvmlab.scenes.flush.picture import apart
from kvmlab.scenes.flush.story import flush_scene
from kvmlab.scenes.scene import plain


def last(panel):
    return panel.scene.steps[-1]


def words(panel):
    return "\n".join(line for _, line in last(panel).log)


def label(panel):
    return ElementTree.fromstring(panel.scene.markup).attrib["aria-label"]


def test_it_stands_at_the_whole_picture_or_at_the_beginning():
    panel = flushes()
    assert panel.player.step == len(panel.scene.steps) - 1
    begin = flushes(start="begin", predict=True)
    assert (begin.player.step, begin.player.predict) == (0, True)
    hidden = {part for part, (state, _) in begin.scene.at(0).items() if state == "off"}
    assert hidden == {"zero", "cliff", "round-robin", "uniform", "runs", "zipf", "found"}
    assert {state for state, _ in panel.scene.at(len(panel.scene.steps) - 1).values()} == {""}


@pytest.mark.parametrize("key", SCHEDULES)
@pytest.mark.parametrize(("guests", "bits", "cpus"), [(300, 8, 1), (256, 8, 2), (25, 4, 4), (9, 4, 1)])
def test_the_numbers_are_those_of_theory_and_of_counting(key, guests, bits, cpus):
    panel = flushes(guests, vmid_bits=bits, schedule=key, cpus=cpus, entries=10_000)
    run = simulate(SCHEDULES[key], guests, 10_000, vmid_bits=bits, cpus=cpus)
    known = law(SCHEDULES[key], guests, bits, cpus, approximate=True)
    gap = known.gap if known else None
    if guests < 1 << bits:
        assert "no full flush" in last(panel).title
        assert "exact: 0 after the first entry" in words(panel)
        assert f"simulated: no flush in {run.entries}" in words(panel)
        return
    flushes_seen = run.rollovers
    if run.gaps > 0:
        assert f"simulated: {1000 * run.rate:#.4g} per 1000 entries, one in {run.gap.mean:.2f}" in words(panel)
        assert f"{1000 * run.rate:#.4g} at {guests}" in label(panel)
    counted = {0: "no flush", 1: "1 flush"}.get(flushes_seen, f"{flushes_seen} flushes")
    assert f"{counted} in {run.entries}" in words(panel)
    if gap is None:
        assert (key, cpus > 1) == ("zipf", True)
        assert "simulated only" in words(panel)
    else:
        kind = "approximate" if key == "zipf" else "exact"
        assert f"{kind}: {1000 * gap.rate:#.4g} per 1000 entries, one in {gap.mean:.2f}" in words(panel)
        assert f"one flush in {gap.mean:.0f}" in last(panel).title


def test_the_picture_follows_every_control():
    panel = flushes(300, entries=3_000)
    seen = [panel.scene]
    for name, value in (("guests", 400), ("schedule", "zipf"), ("cpus", 3), ("entries", 10_000), ("bits", 5)):
        getattr(panel, name).value = value
        assert panel.scene not in seen
        assert panel.scene == flush_scene(survey(panel.setting))
        assert panel.player.scene == panel.scene.to_dict()
        assert panel.player.step == len(panel.scene.steps) - 1
        seen.append(panel.scene)
    assert panel.setting == Setting(50, 5, "zipf", 3, 10_000)  # 400 of 512 is 50 of 64


def test_more_bits_and_back_keep_the_place_of_the_guests():
    panel = flushes(256)
    panel.bits.value = 4
    assert (panel.guests.value, panel.guests.max) == (16, 32)
    panel.bits.value = 16
    assert (panel.guests.value, panel.guests.max) == (65536, 131072)
    assert "one flush in" in last(panel).title
    panel.bits.value = 8
    assert panel.guests.value == 256


def test_moves_that_come_close_together_make_one_picture(monkeypatch):
    panel, drawn = flushes(300, entries=3_000), []
    redraw = panel.redraw
    monkeypatch.setattr(panel, "redraw", lambda: (drawn.append(1), redraw()))

    async def drag():
        for guests in range(301, 341):
            panel.guests.value = guests
        await asyncio.sleep(0.1)

    asyncio.run(drag())
    assert len(drawn) == 1
    assert last(panel).title.startswith("340 guests")


def test_the_exact_zero_and_the_cliff():
    turn = {n: flushes(n, schedule="round-robin", entries=3_000) for n in (255, 256, 512)}
    assert last(turn[255]).title == "255 guests, 255 VMIDs: no full flush"
    assert last(turn[256]).title == "256 guests in turn: one flush in 255 entries"
    assert [panel.found.run.rollovers for panel in turn.values()] == [0, 11, 11]
    markup = turn[256].scene.markup
    for said in ("exactly 0", "255 | 256", "VMIDs run out", "always one in 255", "at 512: one in 353"):
        assert f">{said}</text>" in markup


def test_the_curves_go_through_the_laws_values():
    panel = flushes(300)
    root = ElementTree.fromstring(panel.scene.markup)
    line = root.find(".//*[@data-id='uniform']/{*}path")
    points = [tuple(map(float, pair.split())) for pair in line.attrib["d"][1:].split("L")]
    highest = 1.06 * 1000 / 255
    for (n, gap), (x, y) in zip(panel.found.lines["uniform"], points, strict=True):
        assert gap == theory.uniform(n)
        assert x == pytest.approx(56 + 504 * n / 512, abs=0.06)
        assert y == pytest.approx(336 - 274 * 1000 * gap.rate / highest, abs=0.06)
    assert (panel.found.lines["uniform"][0][0], panel.found.lines["uniform"][-1][0]) == (256, 512)


def test_the_band_is_the_laws_and_only_where_runs_are_long_enough():
    found = survey(Setting(300, 8, "uniform", 1, 3_000))
    assert found.band()
    for n, low, high in found.band():
        assert (low, high) == pytest.approx([1000 * end for end in theory.uniform(n).interval(3_000)])
        assert theory.uniform(n).mean <= 600
    assert survey(Setting(300, 8, "zipf")).band() == ()
    assert survey(Setting(300, 8, "runs", 1, 3_000)).band() == ()
    assert "too few to say" in words(flushes(300, schedule="runs", entries=3_000))
    assert "95 % of runs of 30000 entries" in words(flushes(300))


@pytest.mark.parametrize("bits", [4, 8, *(pytest.param(bits, marks=pytest.mark.slow) for bits in (5, 12, 16))])
@pytest.mark.parametrize("cpus", [1, 4])
def test_every_setting_keeps_the_rules_of_a_scene(bits, cpus):
    for key in SCHEDULES:
        for guests in (1, (1 << bits) - 1, 1 << bits, 3 << (bits - 1), 2 << bits):
            panel_scene = flush_scene(survey(Setting(guests, bits, key, cpus, 3_000)))  # it checks itself
            title, why = panel_scene.steps[-1].title, panel_scene.steps[-1].why
            assert why.count("{c|") == why.count("{e|") == 1
            assert re.search(r"\d", title)
            assert not re.search(r"nan|inf|None|\?", title + plain(why) + panel_scene.markup)


def test_names_at_the_ends_of_curves_leave_each_other_room():
    places = apart({"a": 100.0, "b": 101.0, "c": 0.0, "d": 300.0}, 40)
    assert sorted(places.values()) == [places["c"], places["a"], places["b"], places["d"]]
    gaps = sorted(places.values())
    assert min(b - a for a, b in pairwise(gaps)) >= 40
    assert places["d"] == 300


def test_questions_have_the_laws_answers():
    asked = [step.ask for step in flushes(vmid_bits=4).scene.steps if step.ask]
    assert [one.choices[one.right] for one in asked] == ["never", "15", "fewer"]
    assert {belief for one in asked for belief in one.beliefs if belief} == {"M24"}


def test_it_can_be_taken_along(tmp_path):
    panel = flushes(300)
    page = panel.export(tmp_path / "flush.html").read_text()
    assert "300 guests in random order: one flush in 572 entries" in page
    assert "exact: 1.748 per 1000 entries, one in 571.98" in page
    with pytest.raises(InputError, match="it must end in"):
        panel.export(tmp_path / "flush.txt")
    figure = panel.figure("dark")
    said = [text.get_text() for text in [*figure.texts, *figure.axes[0].texts]]
    assert "300 guests in random order: one flush in 572 entries" in said
    assert figure.kvmlab_alt == label(panel)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"guests": 0}, "guests is 0; allowed: 1 to 512"),
        ({"guests": 513}, "guests is 513; allowed: 1 to 512"),
        ({"vmid_bits": 3}, "vmid_bits is 3; allowed: 4 to 16"),
        ({"cpus": 5}, "cpus is 5; allowed: 1 to 4"),
        ({"schedule": "<b>"}, "schedule is '<b>'; allowed: round-robin, uniform, runs, zipf"),
        ({"entries": 5}, f"entries is 5; allowed: {', '.join(map(str, ENTRIES))}"),
        ({"start": "x"}, "start is 'x'; allowed: begin, end"),
    ],
)
def test_bad_values_are_named(options, said):
    with pytest.raises(InputError, match=re.escape(said)):
        flushes(**options)


def test_a_run_too_short_to_see_a_gap_is_no_zero():
    """16 bits: a generation lasts longer than the run, and that is not the same as no flush."""
    panel = flushes(70_000, vmid_bits=16, entries=30_000)
    assert panel.found.counted == {}
    root = ElementTree.fromstring(panel.scene.markup)
    assert not [part for part in root.iter() if "counted" in part.attrib.get("class", "")]
    assert "Simulated in random order: too few entries to see a gap." in label(panel)
    assert "simulated: no flush in 30000" in words(panel)
    several = flushes(70_000, vmid_bits=16, entries=30_000, schedule="zipf", cpus=2)
    assert "a flush in more than 30000 entries" in last(several).title
