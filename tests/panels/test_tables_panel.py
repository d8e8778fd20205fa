"""The tables panel without a browser: its controls drive the engine, clicks fold and pick, errors are words."""

import random
import re

import pytest

from kvmlab.engine import Config, InputError, Machine
from kvmlab.panels.fault import fault
from kvmlab.panels.starts import RAM
from kvmlab.panels.tables import DEVICE, TablesPanel, tables
from kvmlab.scenes.scene import Scene
from kvmlab.scenes.tables.story import tables_scene


def shown(panel):
    return Scene.from_dict(panel.player.scene)


def do(panel, action, address=None, pages=1):
    panel.action.value, panel.pages.value = action, pages
    if address is not None:
        panel.address.value = address
    panel.button.click()


def test_it_starts_by_itself():
    panel = tables()
    assert isinstance(panel, TablesPanel)
    assert shown(panel).check() == tables_scene(panel.machine.stream)
    assert panel.step == 0
    kinds = {text for part, (_, text) in shown(panel).at(10_000).items() if re.fullmatch(r"r0(\.\d+){3}\.x", part)}
    assert kinds == {"RW", "RO", "DEV"}


def test_each_action_changes_the_tables_and_says_so():
    panel = tables(fault().session)
    do(panel, "store", f"{RAM.ipa:#x}", 3)
    assert "guest 0, write of 3 pages from 0x80000000 on: 3 faults" in panel.message.value
    assert shown(panel).steps[panel.step].title == "Guest 0 stores to 0x80000000 and faults"
    do(panel, "load", f"{RAM.ipa + 0x3000:#x}")
    assert "read of 1 page from 0x80003000 on: 1 fault" in panel.message.value
    do(panel, "host takes back", f"{RAM.ipa:#x}", 2)
    assert f"the host took 2 pages from hva {RAM.hva:#x} on" in panel.message.value
    assert shown(panel).at(10_000)["r0.2.0.0"][0].split()[0] == "inv"
    do(panel, "map a device", "0x2c002000", 2)
    assert "ioremap of 2 pages at 0x2c002000 returned 0" in panel.message.value
    assert shown(panel).at(10_000)["r0.0.352.3.m"][1] == f"pfn {(DEVICE >> 12) + 1:#x}"
    do(panel, "map a device", f"{RAM.ipa + 0x2000:#x}")
    assert "returned -14" in panel.message.value
    do(panel, "destroy guest")
    assert "guest 0 is gone" in panel.message.value
    do(panel, "destroy guest")
    assert 'role="alert"' in panel.message.value
    assert shown(panel) == tables_scene(panel.machine.stream)


@pytest.mark.parametrize(
    ("action", "address", "pages", "says"),
    [
        ("store", "", 1, "IPA is &#x27;&#x27;"),
        ("store", "<script>alert(1)</script>", 1, "&lt;script&gt;"),
        ("load", "9" * 10_000, 1, "allowed: 0 to 0xffffffffff"),
        ("store", "0x80000000", 513, "pages is 513; allowed: 1 to 512"),
        ("store", "0x80000000", 0, "pages is 0"),
        ("host takes back", "0x10000000", 1, "IPA is 0x10000000; guest 0 has no memory there"),
        ("map a device", "-4", 1, "allowed: 0 to"),
    ],
)
def test_bad_input_is_said_in_words_and_changes_nothing(action, address, pages, says):
    panel = tables()
    before = len(panel.machine.stream), panel.player.scene
    do(panel, action, address, pages)
    assert says in panel.message.value
    assert 'role="alert"' in panel.message.value
    assert (len(panel.machine.stream), panel.player.scene) == before


def test_enter_in_the_field_acts():
    panel = tables()
    panel.address._handle_custom_msg({"event": "submit"}, [])
    assert "guest 0, write of 1 page" in panel.message.value


@pytest.mark.parametrize("vms", [(7,), (), (0, 0), ("x",), (-1,)])
def test_guests_that_do_not_exist_are_refused(vms):
    session = tables().session
    with pytest.raises(InputError, match=r"vms? is"):
        tables(session, vms=vms)


def test_a_machine_that_records_nothing_is_refused():
    machine = Machine(Config(recording=False))
    machine.create_vm([RAM])
    with pytest.raises(InputError, match="recording is False"):
        tables(machine)


def test_a_click_unfolds_a_run_and_folds_it_again():
    panel = tables()
    do(panel, "store", f"{RAM.ipa:#x}", 16)
    panel.step = 9
    before = panel.player.scene
    run = next(part for part in shown(panel).base() if re.fullmatch(r"r0\.2\.0\.\d+-\d+", part))
    first, last = map(int, run.rpartition(".")[2].split("-"))
    assert (
        f'data-pick="{run}" role="button" tabindex="0" aria-label="level 3, entries {first} to {last}: unfold"'
        in (before["markup"])
    )
    panel.pick(run)
    opened = shown(panel).base()
    assert f"{run.rpartition('-')[0]}-{min(first + 7, last)}" in opened
    assert panel.step == 9
    panel.pick(run)
    assert panel.player.scene == before


def test_a_click_picks_an_entry_and_lets_it_go_again():
    panel = tables(start="end")
    pgd = panel.machine.kvm(0).pgd
    panel.pick("r0.2")
    assert shown(panel).at(panel.step)["d.t"][1].startswith(f"2 of the level 1 table {pgd:#x}")
    panel.pick("r0.2")
    assert "last written" in shown(panel).at(panel.step)["d.t"][1]


def test_a_table_is_folded_by_its_head_and_shown_by_its_row():
    panel = tables()
    panel.pick("h0.2.0")
    assert "t0.2.0" not in shown(panel).base()
    assert shown(panel).at(10_000)["r0.2.0.x"][1].startswith("▸ 0x")
    panel.pick("r0.2.0")
    assert "t0.2.0" in shown(panel).base()


def test_nonsense_picked_does_nothing():
    panel = tables()
    before = panel.player.scene
    for part in ("", "w", "r9.9", "<script>", "r0.2.0.0-7", "t0"):
        panel.pick(part)
    assert panel.player.scene == before


def test_random_clicks_and_commands_never_break_it():
    chance, panel = random.Random(1), tables()
    for _ in range(60):
        if chance.random() < 0.3:
            address = RAM.ipa + 4096 * chance.randrange(2000)
            do(panel, chance.choice(panel.action.options[:4]), f"{address:#x}", chance.choice((1, 2, 40)))
        else:
            panel.pick(chance.choice(re.findall(r'data-pick="([^"]+)"', panel.player.scene["markup"])))
    assert shown(panel).check() == tables_scene(panel.machine.stream, view=panel.view)


def test_it_shows_the_run_of_another_panel():
    left = fault()
    right = tables(left.session, predict=True)
    left.button.click()
    assert shown(right) == tables_scene(left.machine.stream)
    assert right.player.predict
    left.step = len(left.scene.steps) - 1
    assert right.step == len(right.scene.steps) - 1


def test_two_guests_side_by_side():
    session = tables().session
    session.do("create_vm", slots=[RAM])
    panel = tables(session, vms=(0, 1), start="last")
    panel.guest.value = 1
    do(panel, "store")
    assert {"t0", "t1", "t1.2.0"} <= set(shown(panel).base())
    assert panel.again(session.branch(1)).vms == (0,)


def test_undo_tells_the_past_anew():
    panel = tables()
    do(panel, "store", "0x80005000")
    panel.undo_button.click()
    do(panel, "load", "0x80006000")
    assert shown(panel) == tables_scene(panel.machine.stream)


def test_an_export_has_the_decoded_entry(tmp_path):
    panel = tables()
    page = panel.export(tmp_path / "tables.html").read_text(encoding="utf-8")
    assert "Level 3 entry 0 maps pfn 0xa0000, read and write" in page
    assert panel.scene.at(10_000)["d.hex"][1] == f"{(DEVICE + 4096) | 0xC0_0000_0000_07D3:#018x}"
