"""The cache panel without a browser: its controls drive the engine, its errors are words, its scene grows."""

import pytest

from kvmlab.engine import InputError
from kvmlab.panels.cache import STORES_LIMIT, cache
from kvmlab.panels.fault import fault
from kvmlab.panels.starts import one_guest
from kvmlab.scenes.cache.story import cache_scene


def nobjs(panel):
    return panel.session.machine.linux.vm_list[0].vcpus[0].mmu_page_cache.nobjs


def test_it_starts_with_a_fault_to_walk_through():
    panel = cache()
    assert panel.step == 0
    assert panel.scene.steps[0].title == "The memory cache of vCPU 0 is empty"
    assert any(step.mark == "top-up" for step in panel.scene.steps)


def test_a_store_appears_and_the_next_address_stands_in_the_field():
    panel = cache()
    before = len(panel.scene.steps)
    panel.button.click()
    assert nobjs(panel) == 37
    assert len(panel.scene.steps) > before
    assert panel.scene.steps[panel.step].command == panel.scene.steps[-1].command
    assert "1 store from 0x80200000 on: 1 fault<" in panel.message.value
    assert panel.address.value == "0x80400000"
    panel.address._handle_custom_msg({"event": "submit"}, [])
    assert nobjs(panel) == 36


@pytest.mark.parametrize(("stride", "count", "left"), [(1 << 12, 3, 37), (1 << 21, 40, 37), (1 << 30, 20, 38)])
def test_a_row_of_stores_at_each_stride(stride, count, left):
    panel = cache()
    if stride == 1 << 30:
        panel.address.value = "0xc0000000"
    panel.stride.value, panel.count.value = stride, count
    panel.button.click()
    assert f"{count} stores" in panel.message.value
    assert nobjs(panel) == left
    assert panel.scene == cache_scene(panel.session.machine.stream)


def test_a_failure_is_injected_and_seen():
    panel = cache()
    panel.fail.value = 1
    panel.fail_button.click()
    panel.count.value = 60
    panel.button.click()
    assert "the last one ended with error" in panel.message.value
    assert panel.scene.steps[-2].mark == "failure"
    assert nobjs(panel) == 1
    panel.fail.value = 0
    panel.fail_button.click()
    assert "no allocation will fail" in panel.message.value


def test_why_not_under_the_lock_is_said_in_words_and_runs_nothing():
    panel = cache()
    before = len(panel.session.machine.stream)
    panel.why_button.click()
    assert "Not run here" in panel.message.value
    assert "scheduling while atomic" in panel.message.value
    assert panel.message.value.endswith("Recipes for Deadlock.</span>")  # nothing of it is cut off
    assert len(panel.session.machine.stream) == before


@pytest.mark.parametrize(
    ("address", "count", "says"),
    [
        ("", 1, "IPA is &#x27;&#x27;"),
        ("<script>", 1, "&lt;script&gt;"),
        ("0x80000001", 1, "it must be a multiple of 4"),
        ("-4", 1, "allowed: 0 to"),
        ("0x80000000", 0, f"stores is 0; allowed: 1 to {STORES_LIMIT}"),
        ("0x80000000", STORES_LIMIT + 1, f"allowed: 1 to {STORES_LIMIT}"),
    ],
)
def test_bad_input_is_said_in_words_and_changes_nothing(address, count, says):
    panel = cache()
    before = len(panel.session.machine.stream), panel.scene
    panel.address.value, panel.count.value = address, count
    panel.button.click()
    assert says in panel.message.value
    assert 'role="alert"' in panel.message.value
    assert (len(panel.session.machine.stream), panel.scene) == before
    assert panel.address.value == address


def test_a_failure_that_cannot_be_is_refused():
    panel = cache()
    panel.fail.value = -1
    panel.fail_button.click()
    assert 'role="alert"' in panel.message.value


def test_no_ram_ends_a_row():
    panel = cache(one_guest())
    panel.address.value, panel.stride.value, panel.count.value = "0x83fff000", 1 << 12, 5
    panel.button.click()
    assert "2 stores from 0x83fff000 on: 2 faults; the last one ended with mmio" in panel.message.value
    assert panel.scene.steps[-1].title == "0x84000000 is not RAM: no table is needed"


def test_it_shows_the_same_run_as_another_panel():
    session = one_guest()
    first, second = fault(session), cache(session)
    first.button.click()
    assert nobjs(second) == 38
    assert second.scene == cache_scene(session.machine.stream)
    second.step = len(second.scene.steps) - 1
    assert first.event <= second.event
    session.undo()
    assert second.scene.steps[second.step].event <= session.cursor


def test_options():
    assert cache(start="end").step == len(cache().scene.steps) - 1
    assert cache(predict=True).player.predict
    with pytest.raises(InputError, match="start is 'middle'"):
        cache(start="middle")
    assert "vCPU 2 is empty" in cache(vcpu=2).scene.steps[0].title
