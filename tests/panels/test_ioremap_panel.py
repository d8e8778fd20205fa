"""The ioremap panel without a browser: its controls drive the engine, its errors are words, its scene grows."""

import pytest

from kvmlab.engine import InputError
from kvmlab.panels.cache import cache
from kvmlab.panels.ioremap import ioremap
from kvmlab.panels.starts import one_guest
from kvmlab.scenes.ioremap.story import ioremap_scene


def last(panel):
    """What the last call or access came to, and its last step."""
    return panel.message.value, panel.scene.steps[-1].title


def test_it_starts_with_memory_and_a_device():
    panel = ioremap()
    titles = [step.title for step in panel.scene.steps]
    assert panel.step == 0
    assert titles[-1] == "The device is mapped, 2 pages; it returns 0"
    assert "RAM: the fault maps IPA 0x80000000, read and write" in titles


def test_a_device_is_mapped_and_used():
    panel = ioremap(one_guest())
    panel.map_button.click()
    assert "ioremap 0x2c002000, 0x2000 bytes: returned 0" in panel.message.value
    assert panel.scene.steps[panel.step].title == "KVM is to map 0x2000 bytes of a device"
    assert panel.address.value == "0x2c002000"
    panel.access_button.click()
    assert last(panel)[0].endswith("read 0x2c002000: done, no fault</span>")
    panel.address.value = "0x2c004000"
    panel.access_button.click()
    assert "read 0x2c004000: mmio, 1 fault" in panel.message.value
    assert panel.scene == ioremap_scene(panel.session.machine.stream)


@pytest.mark.parametrize(
    ("button", "returned", "ends"),
    [
        ("over_button", -14, "It returns -14; 2 pages of it stay mapped"),
        ("end_button", 0, "Nothing was mapped, and it returns 0"),
        ("fail_button", -12, "It returns -12; 1 page"),
        ("crooked_button", 0, "The device is mapped, 2 pages; it returns 0"),
    ],
)
def test_what_surprises_does_so_every_time(button, returned, ends):
    panel = ioremap()
    for _ in range(3):
        getattr(panel, button).click()
        message, title = last(panel)
        assert f"returned {returned}<" in message
        assert title.startswith(ends)


def test_all_of_them_after_each_other():
    panel = ioremap()
    for button in (panel.fail_button, panel.crooked_button, panel.over_button, panel.fail_button, panel.end_button):
        button.click()
    titles = [step.title for step in panel.scene.steps if "returns" in step.title]
    assert [title.split("returns ")[1].split(";")[0] for title in titles] == ["0", "-12", "0", "-14", "-12", "0"]
    assert len({step.command for step in panel.scene.steps}) > 5


def test_enter_in_a_field_does_it():
    panel = ioremap(one_guest())
    panel.size._handle_custom_msg({"event": "submit"}, [])
    assert "returned 0" in panel.message.value
    panel.address._handle_custom_msg({"event": "submit"}, [])
    assert "read 0x2c002000: done" in panel.message.value


@pytest.mark.parametrize(
    ("field", "typed", "says"),
    [
        ("ipa", "", "IPA is &#x27;&#x27;"),
        ("ipa", "<script>alert(1)</script>", "&lt;script&gt;"),
        ("pa", "there", "PA is &#x27;there&#x27;"),
        ("size", "-1", "size is -1; allowed: 0 to"),
        ("ipa", "0x10000000000", "allowed: 0 to 0xffffffffff"),
        ("size", "9" * 1000, "allowed: 0 to"),
    ],
)
def test_bad_input_is_said_in_words_and_changes_nothing(field, typed, says):
    panel = ioremap()
    before = len(panel.session.machine.stream), panel.scene
    getattr(panel, field).value = typed
    panel.map_button.click()
    assert says in panel.message.value
    assert 'role="alert"' in panel.message.value
    assert (len(panel.session.machine.stream), panel.scene) == before
    assert getattr(panel, field).value == typed


def test_a_bad_address_for_the_guest():
    panel = ioremap()
    for typed in ("here", "0x2c002001"):
        panel.address.value = typed
        panel.access_button.click()
        assert 'role="alert"' in panel.message.value


def test_it_shows_the_same_run_as_another_panel():
    panel = ioremap()
    other = cache(panel.session)
    panel.crooked_button.click()
    assert other.scene.steps[-1].title == "A device is mapped without this cache"
    panel.session.undo()
    assert panel.scene.steps[panel.step].event <= panel.session.cursor
    panel.session.redo()
    assert panel.scene == ioremap_scene(panel.session.machine.stream)


def test_options():
    assert ioremap(start="end").step == len(ioremap().scene.steps) - 1
    assert ioremap(predict=True).player.predict
    with pytest.raises(InputError, match="start is 'middle'"):
        ioremap(start="middle")


def test_a_device_of_a_thousand_pages_is_told_in_few_steps():
    panel = ioremap(one_guest())
    panel.size.value = "0x400000"
    panel.map_button.click()
    assert len(panel.scene.steps) < 60
    assert panel.scene.at(len(panel.scene.steps) - 1)["n.map.t"][1] == "1024"
