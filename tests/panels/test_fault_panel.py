"""The fault panel without a browser: its controls drive the engine, its errors are words, its scene grows."""

import pytest

from kvmlab.engine import Config, InputError, Machine, Slot
from kvmlab.panels import Player, fault
from kvmlab.panels.fault import RAM, parse_number
from kvmlab.panels.player import STATIC, style
from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.scene import Scene


def shown(panel):
    return Scene.from_dict(panel.player.scene)


def test_it_starts_by_itself():
    panel = fault()
    assert shown(panel).check().steps[0].title == "The guest gets an empty level 1 table"
    assert panel.step == 0


def test_an_access_appears_as_steps():
    panel = fault()
    old = len(shown(panel).steps)
    panel.address.value, panel.value.value = "0x80001000", "0x2a"
    panel.button.click()
    assert panel.session.machine.access(0, 0x8000_1000).value == 0x2A
    assert len(shown(panel).steps) > old
    assert shown(panel).steps[panel.step].command == 1
    assert "write 0x80001000: done, 1 fault" in panel.message.value


def test_the_scene_is_that_of_the_stream():
    panel = fault()
    for address, kind in (("0x80000000", "read"), ("0x80000000", "write"), ("0x90000000", "fetch"), ("0", "read")):
        panel.address.value, panel.kind.value = address, kind
        panel.button.click()
    assert shown(panel) == fault_scene(panel.session.machine.stream)


def test_enter_in_the_field_is_an_access():
    panel = fault()
    panel.address._handle_custom_msg({"event": "submit"}, [])
    assert "write 0x80000000: done" in panel.message.value


@pytest.mark.parametrize(
    ("address", "value", "says"),
    [
        ("", "0", "IPA is &#x27;&#x27;"),
        ("eight", "0", "IPA is &#x27;eight&#x27;; write a number"),
        ("0x80000001", "0", "it must be a multiple of 4"),
        ("0x10000000000", "0", "allowed: 0 to 0xffffffffff"),
        ("-4", "0", "allowed: 0 to 0xffffffffff"),
        ("0x80000000", "0x100000000", "allowed: 0 to 0xffffffff"),
        ("0x80000000", "much", "value is &#x27;much&#x27;"),
        ("<script>alert(1)</script>", "0", "&lt;script&gt;"),
        ("9" * 10_000, "0", "allowed: 0 to 0xffffffffff"),
    ],
)
def test_bad_input_is_said_in_words_and_changes_nothing(address, value, says):
    panel = fault()
    before = len(panel.session.machine.stream), panel.player.scene
    panel.address.value, panel.value.value = address, value
    panel.button.click()
    assert says in panel.message.value
    assert 'role="alert"' in panel.message.value
    assert len(panel.message.value) < 2_000
    assert (len(panel.session.machine.stream), panel.player.scene) == before


def test_a_dead_kernel_is_said_in_words():
    machine = Machine()
    machine.create_vm([Slot(ipa=0x8000_0000, size=1 << 20, hva=0x4000_0000)])
    panel = fault(machine)
    machine.destroy_vm(0)
    panel.button.click()
    assert "vm is 0" in panel.message.value


def test_where_it_stands_at_first():
    machine = fault().session.machine
    machine.access(0, 0x8000_0000, "write")
    machine.access(0, 0x8000_1000, "write")
    last = fault(machine, start="last")
    assert shown(last).steps[last.step].title.startswith("The guest stores 0x0 to 0x80001000")
    end = fault(machine, start="end")
    assert end.step == len(shown(end).steps) - 1
    with pytest.raises(InputError, match="start is 'middle'; allowed: begin, last, end"):
        fault(machine, start="middle")
    with pytest.raises(InputError, match="vm is 3"):
        fault(machine, vm=3)


def test_what_happened_elsewhere_appears_on_refresh():
    panel = fault()
    panel.session.machine.access(0, 0x8000_0000, "write")
    panel.refresh()
    assert shown(panel) == fault_scene(panel.session.machine.stream)
    step = panel.step
    panel.step = 3
    panel.refresh()
    assert (panel.step, step > 0) == (3, True)


def test_a_changed_past_is_told_anew():
    panel = fault()
    born = len(panel.session.machine.stream)
    panel.button.click()
    panel.session.machine.seek(born)
    panel.session.machine.stream.truncate()
    panel.refresh()
    assert shown(panel) == fault_scene(panel.session.machine.stream)


def test_a_machine_that_records_nothing_is_refused():
    with pytest.raises(InputError, match="recording is False"):
        fault(Machine(Config(recording=False)))


def test_the_cursor_stays_inside_the_run():
    player = Player(fault_scene(fault().session.machine.stream))
    last = len(player.scene["steps"]) - 1
    player.step = 10_000
    assert player.step == last
    player.step = -5
    assert player.step == 0


@pytest.mark.parametrize(("text", "value"), [(" 0x8000_1000 ", 0x8000_1000), ("4096", 4096), ("0b100", 4), ("-4", -4)])
def test_addresses_as_people_write_them(text, value):
    assert parse_number("IPA", text) == value


def test_every_style_is_scoped_and_nothing_is_fetched():
    module = (STATIC / "player.js").read_text(encoding="utf-8")
    assert "http" not in module.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in style()
    assert "@import" not in style()
    assert all(
        line.startswith((".kvm", "}", "@container kvm", "@media", "/*", " ")) for line in style().splitlines() if line
    )


def test_a_past_that_was_changed_and_has_grown_again_is_told_anew():
    machine = Machine()
    guest = machine.create_vm([RAM])
    here = len(machine.stream)
    machine.access(guest, 0x8000_0000, "read")
    panel = fault(machine)
    machine.seek(here)
    machine.stream.truncate()
    machine.access(guest, 0x8040_0000, "write", value=1)
    machine.access(guest, 0x8080_0000, "write", value=2)
    panel.refresh()
    assert panel.player.scene == fault_scene(machine.stream).to_dict()


def test_panels_of_one_session_move_together():
    first = fault()
    second = fault(first.session)
    first.button.click()
    assert shown(first) == shown(second)
    first.step = 7
    assert second.step == 7


def test_what_the_host_does_in_between_is_told_too():
    panel = fault()
    panel.button.click()
    panel.session.do("swap_out", vm=0, hva=RAM.hva)
    assert shown(panel).steps[panel.step].title == "The host moves a page to swap"
    panel.button.click()
    assert any("comes back from swap" in step.title for step in shown(panel).steps)


def test_predict_mode_has_something_to_ask():
    panel = fault(predict=True)
    panel.button.click()
    assert panel.player.predict
    assert any(step.ask for step in shown(panel).steps)
