"""What is told of a run outside the notebook is what its panels show."""

import pytest

from kvmlab import panels
from kvmlab.engine import Config
from kvmlab.panels.starts import RAM
from kvmlab.scenes.stories import STORIES, story
from kvmlab.session import Session


@pytest.mark.parametrize("name", STORIES)
def test_a_panel_and_the_command_line_show_the_same(name):
    session = Session(Config(vmid_bits=4, CONFIG_MMU_NOTIFIER=False))
    for _ in range(2):
        session.do("create_vm", slots=[RAM])
    session.do("access", vm=1, ipa=RAM.ipa, access="write", value=7)
    session.do("swap_out", vm=1, hva=RAM.hva)
    options = {} if name in ("vmids", "tlb") else {"vm": 1}
    shown = getattr(panels, name)(session, **options).scene
    assert story(name, session.machine, 1).read(session.machine.stream).to_dict() == shown.to_dict()
