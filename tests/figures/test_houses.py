"""The map of the machine: its addresses are those of the engine, and its words have their places."""

import re

import pytest

from kvmlab.engine import InputError, Machine, Slot
from kvmlab.engine.hardware.walker import walk
from kvmlab.figures.houses import ROOMS, four_addresses, machine_map
from kvmlab.figures.style import SIZES, THEMES
from tests.figures.boxes import faults


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", THEMES)
def test_every_word_has_its_place(theme, size):
    assert faults(machine_map(theme, size), SIZES[size].small) == []


def test_the_addresses_are_those_of_a_walk():
    found = four_addresses()
    machine = Machine()
    vm = machine.create_vm([Slot(found.ipa, 16 << 20, found.hva)])
    machine.access(vm, found.ipa, "write")
    assert walk(machine.linux.memory, machine.kvm(vm).vttbr, found.ipa).pa == found.pa
    assert machine.host(vm).pte(found.hva) >> 12 == found.pa >> 12
    assert len({found.ipa, found.hva, found.pa}) == 3, "three that can be told apart"


def test_the_words_for_those_who_do_not_see_it_say_all():
    words = machine_map().kvmlab_alt
    for _, rooms in ROOMS.values():
        assert all(room in words for room in rooms)
    assert re.findall(r"\b(\d)\. ", words) == list("123456")
    assert f"{four_addresses().pa:#x}" in words


def test_an_unknown_theme_is_refused():
    with pytest.raises(InputError, match="theme"):
        machine_map("grey")
