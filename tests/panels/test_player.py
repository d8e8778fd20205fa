"""What travels to the browser: enough to show the same scene, and no more than has changed."""

import json

import pytest

from kvmlab import panels
from kvmlab.engine import Config
from kvmlab.panels.player import Player
from kvmlab.panels.starts import RAM
from kvmlab.session import Session
from tests.panels.test_all_panels import KINDS, play


class Browser:
    """A scene as the browser holds it: the first one, and what the player sends after that."""

    def __init__(self, player, monkeypatch):
        self.scene, self.sizes = json.loads(json.dumps(player.scene)), []
        monkeypatch.setattr(player, "send", self.hear)

    def hear(self, message, buffers=None):
        message = json.loads(json.dumps(message))
        self.sizes.append(len(json.dumps(message)))
        more = message["grow"]
        kept = self.scene["steps"][: message["from"]]
        for number, step in message["changed"].items():
            kept[int(number)] = step
        for grown in ("cards", "files"):
            more[grown] = {**self.scene[grown], **more[grown]}
        self.scene = {**self.scene, **more, "steps": kept + more["steps"]}


def a_session():
    session = Session(Config(vmid_bits=4, tlb_sets=4, tlb_ways=2))
    session.do("create_vm", slots=[RAM])
    return session


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_makes_the_same_scene(kind, monkeypatch):
    session = a_session()
    panel = getattr(panels, kind)(session)
    browser = Browser(panel.player, monkeypatch)
    for seed in range(2):
        play(session, seed, 8)
        session.undo()
        session.undo()
        session.do("access", vm=0, ipa=RAM.ipa + (seed << 12))
        assert browser.scene["steps"] == json.loads(json.dumps(panel.scene.to_dict()["steps"]))
        assert browser.scene["markup"] == panel.scene.markup
        shown = json.loads(json.dumps(panel.player.scene))
        assert {**shown, "cards": 0, "files": 0} == {**browser.scene, "cards": 0, "files": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_a_command_costs_the_same_late_in_a_run(kind, monkeypatch):
    session = a_session()
    panel: panels.Panel = getattr(panels, kind)(session)
    assert isinstance(panel.player, Player)
    browser = Browser(panel.player, monkeypatch)
    for page in range(60):
        session.do("access", vm=0, ipa=RAM.ipa + (page << 12), access="write")
    assert max(browser.sizes[-10:]) < 120_000
