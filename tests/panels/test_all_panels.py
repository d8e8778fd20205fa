"""What holds for every panel of a run: one run, many views; together, apart, undone, branched, exported, drawn."""

import random
import shutil
from bisect import bisect_right
from contextlib import suppress

import pytest

from kvmlab import panels
from kvmlab.engine import Config, InputError, KernelBug, Machine, Slot
from kvmlab.panels.player import Player
from kvmlab.scenes.labels import LABELS
from kvmlab.scenes.scene import Scene
from kvmlab.scenes.sources import source_of
from kvmlab.session import Session

KINDS = ["fault", "tables", "cache", "vmids", "tlb", "notifiers", "ioremap"]
RAM = Slot(0x8000_0000, 1 << 21, 0x4000_0000)


def made(kind, run, **options):
    return getattr(panels, kind)(run, **options)


def wishes(dice, vms):
    """Any command that a learner might give, some of them refused or deadly."""
    vm, page = dice.randrange(vms + 1), dice.randrange(6)
    ipa, hva = RAM.ipa + page * 0x1000, RAM.hva + page * 0x1000
    return dice.choice(
        [
            ("access", {"vm": vm, "ipa": ipa, "access": dice.choice(["read", "write"]), "cpu": dice.randrange(2)}),
            ("access", {"vm": vm, "ipa": ipa, "access": "fetch"}),
            ("access", {"vm": vm, "ipa": ipa + (1 << 30), "access": "write", "asid": dice.randrange(3)}),
            ("enter", {"vm": vm, "cpu": dice.randrange(2)}),
            ("leave", {"cpu": dice.randrange(2)}),
            ("ioremap", {"vm": vm, "ipa": 0x2C00_2000, "pa": 0x2C00_6000, "size": 0x2000}),
            ("ioremap", {"vm": vm, "ipa": ipa, "pa": 0x2C00_6000, "size": 0x3000}),
            ("swap_out", {"vm": vm, "hva": hva}),
            ("swap_in", {"vm": vm, "hva": hva}),
            ("discard", {"vm": vm, "hva": hva, "size": 0x4000}),
            ("protect", {"vm": vm, "hva": hva}),
            ("host_write", {"vm": vm, "hva": hva, "value": 5}),
            ("host_touch", {"cpu": dice.randrange(2), "hva": 0xB000_0000}),
            ("ksm_merge", {"vm": vm, "hva": hva, "vm2": vm, "hva2": RAM.hva}),
            ("fail_alloc", {"k": dice.randrange(4)}),
            ("add_slot", {"vm": vm, "slot": [0x9000_0000 + page * 0x1000, 0x1000, hva]}),
            ("remove_slot", {"vm": vm, "slot": 0}),
            ("create_vm", {"slots": [list(RAM)]}),
            ("destroy_vm", {"vm": dice.randrange(1, vms + 2)}),
        ]
    )  # fmt: skip


def play(session, seed, count):
    dice = random.Random(seed)
    for _ in range(count):
        name, args = wishes(dice, session.machine.linux.nr_vms)
        with suppress(InputError, KernelBug):
            session.do(name, **args)


def fresh():
    session = Session(Config(vmid_bits=4, tlb_sets=4, tlb_ways=2))
    session.do("create_vm", slots=[RAM])
    return session


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_told_bit_by_bit_is_the_run_told_at_once(kind, seed):
    session = fresh()
    panel = made(kind, session)
    play(session, seed, 40)
    panel.scene.check()
    assert panel.scene.steps == made(kind, session).scene.steps
    assert panel.scene == Scene.from_dict(panel.player.scene)
    assert [step.event for step in panel.scene.steps] == sorted(step.event for step in panel.scene.steps)


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_has_a_label_and_a_source_and_the_scene_keeps_its_rules(kind):
    session = fresh()
    play(session, 7, 60)
    scene = made(kind, session).scene.check()
    assert all(step.label in LABELS and source_of(step.fn) for step in scene.steps)
    assert len({step.label for step in scene.steps}) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_walking_n_steps_running_to_n_and_scrubbing_to_n_show_the_same(kind):
    session = fresh()
    play(session, 11, 25)
    scene = made(kind, session).scene
    walked = scene.base()
    for number, step in enumerate(scene.steps):
        for part, state, text in step.patches:
            old = walked[part]
            walked[part] = (old[0] if state is None else state, old[1] if text is None else text)
        if number % 7 == 0 or number == len(scene.steps) - 1:
            assert scene.at(number) == walked


def test_panels_of_one_session_stand_at_one_moment():
    session = fresh()
    play(session, 3, 15)
    shown = [made(kind, session) for kind in KINDS]
    apart = made("fault", fresh())
    for leader in shown:
        for step in (0, len(leader.scene.steps) // 2, len(leader.scene.steps) - 1):
            leader.step = step
            for panel in shown:
                if panel is not leader:
                    events = [one.event for one in panel.scene.steps]
                    assert panel.step == max(0, bisect_right(events, leader.event) - 1)
    assert apart.step == 0
    before = [len(panel.scene.steps) for panel in shown]
    session.do("access", vm=0, ipa=RAM.ipa + 0x10_0000, access="write")
    grown = [len(panel.scene.steps) > count for panel, count in zip(shown, before, strict=True)]
    assert all(grown[:5]), dict(zip(KINDS, grown, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_undo_goes_back_and_a_new_command_replaces_what_was_undone(kind):
    session = fresh()
    play(session, 5, 10)
    panel = made(kind, session, start="end")
    length = len(session.machine.stream)
    session.do("access", vm=0, ipa=RAM.ipa + 0x8000, access="write")
    panel.undo_button.click()
    assert session.cursor == length
    assert panel.event <= length
    session.do("access", vm=0, ipa=RAM.ipa + 0x9000, access="write")
    assert panel.scene == made(kind, session).scene
    panel.redo_button.click()
    assert "nothing" in panel.message.value


@pytest.mark.parametrize("kind", KINDS)
def test_another_past_stands_beside_the_run_with_the_differences_marked(kind):
    session = fresh()
    for page in range(3):
        session.do("access", vm=0, ipa=RAM.ipa + (page << 12), access="write")
    panel = made(kind, session, start="last")
    before = panel.scene
    panel.branch_button.click()
    (beside,) = panel.below.children
    other = beside.other.session
    assert [done.command.args.get("ipa") for done in other.commands] == [None, RAM.ipa, RAM.ipa + 0x1000]
    other.do("leave", cpu=0)
    other.do("access", vm=0, ipa=RAM.ipa + 0x2000, access="read")
    one, two = (player.shown for player in beside.players)
    assert any(step.differs for step in one.steps)
    assert any(step.differs for step in two.steps)
    first = next(step.command for step in one.steps if step.differs)
    assert all(not step.differs for step in one.steps if step.command < first)
    assert panel.scene == before, "the run as it was stays as it was"
    for step in (0, len(two.steps) - 1):
        beside.players[1].step = step
        events = [one_step.event for one_step in one.steps]
        assert beside.players[0].step == bisect_right(events, two.steps[step].event) - 1
    panel.branch_button.click()
    assert panel.below.children != (beside,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_walk_fits_into_a_small_file(kind, tmp_path):
    session = fresh()
    panel = made(kind, session)
    page = 0
    while len(panel.scene.steps) < 200:
        with session.together():
            session.do("access", vm=0, ipa=RAM.ipa + (page % 8 << 12), access="write")
            session.do("swap_out", vm=0, hva=RAM.hva + (page % 8 << 12))
            session.do("enter", vm=0, cpu=page % 2)
            session.do("ioremap", vm=0, ipa=0x2C00_0000 + (page << 12), pa=0x2C00_6000, size=0x1000)
        page += 1
    size = panel.export(tmp_path / "walk.html").stat().st_size
    assert size * 200 / len(panel.scene.steps) < 300_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_still_of_any_panel_can_be_had(kind, tmp_path):
    session = fresh()
    play(session, 9, 4)
    panel = made(kind, session, start="end")
    still = panel.figure()
    for suffix in ("svg", "png", "pdf"):
        assert still.save(tmp_path / f"step.{suffix}").stat().st_size > 5_000


@pytest.mark.parametrize("kind", KINDS)
def test_start_predict_and_bad_input(kind):
    session = fresh()
    play(session, 2, 6)
    assert made(kind, session, start="end").step == len(made(kind, session).scene.steps) - 1
    assert made(kind, session, predict=True).player.predict is True
    with pytest.raises(InputError, match="start is 'middle'; allowed: begin, last, end"):
        made(kind, session, start="middle")
    silent = Machine(Config(recording=False, vmid_bits=4))
    silent.create_vm([RAM])
    with pytest.raises(InputError, match="recording is False"):
        made(kind, silent)


@pytest.mark.parametrize("kind", [*KINDS, "flushes"])
def test_it_works_without_dot(kind, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("dot") is None
    panel = getattr(panels, kind)()
    assert panel._repr_mimebundle_()
    if kind != "flushes":
        panel.session.do("access", vm=0, ipa=RAM.ipa, access="write")
        assert panel.export(tmp_path / "walk.html").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_start_is_a_run_with_something_to_predict(kind):
    panel = getattr(panels, kind)(predict=True)
    assert isinstance(panel.player, Player)
    play(panel.session, 1, 15)
    assert any(step.ask for step in panel.scene.steps)
