"""The questions of the lectures: the answer called right is what the engine does."""

from html import escape

import pytest

from kvmlab.engine import Config, InputError, Machine, Slot
from kvmlab.engine.kernel.tables import unmap_stage2_range
from kvmlab.scenes.misconceptions import MISCONCEPTIONS
from kvmlab.scenes.peer import LETTERS, QUESTIONS, cards, peer_questions

RAM = Slot(0x8000_0000, 64 << 20, 0x4000_0000)
NEXT = 0x20_0000


def guest(**config):
    machine = Machine(Config(**config))
    machine.create_vm([RAM])
    return machine


def right(name):
    return next(answer.text for answer in QUESTIONS[name].answers if answer.right)


def marks(machine, start=0):
    return [event for event in list(machine.stream)[start:] if event.kind == "mark"]


def count(machine, start, name):
    return sum(event.name == name for event in marks(machine, start))


def test_each_question_has_four_answers_and_one_is_right():
    for name, question in QUESTIONS.items():
        assert len(question.answers) == len(LETTERS), name
        assert sum(answer.right for answer in question.answers) == 1, name
        assert all(answer.why for answer in question.answers if not answer.right), name
        assert {answer.belief for answer in question.answers} - {""} <= MISCONCEPTIONS.keys()


def test_three_questions_to_a_lecture():
    assert [len(peer_questions(lecture).names) for lecture in (1, 2, 3)] == [3, 3, 3]


def test_the_right_letter_cannot_be_guessed_from_the_one_before():
    for lecture in (1, 2, 3):
        assert len({QUESTIONS[name].right for name in peer_questions(lecture).names}) > 1, lecture


def test_p2_the_next_page():
    machine = guest()
    machine.access(0, RAM.ipa, "write")
    here = len(machine.stream)
    machine.access(0, RAM.ipa + 0x1000, "write")
    frames, flushes = (count(machine, here, name) for name in ("tables/linked", "tlb/flushed"))
    assert right("P2") == f"{frames} and {flushes}"


def test_p3_a_read_maps_read_only():
    machine = guest()
    machine.access(0, RAM.ipa, "read")
    leaf = next(event.args["new"] for event in marks(machine) if event.name == "tables/mapped")
    assert (leaf >> 6 & 3, count(machine, 0, "page/dirtied")) == (0b01, 0)
    assert right("P3") == "a read-only leaf"
    here = len(machine.stream)
    machine.access(0, RAM.ipa, "write")
    assert [event.args["fault"] for event in marks(machine, here) if event.name == "walk/faulted"] == ["permission"]
    assert [count(machine, here, name) for name in ("page/dirtied", "tlb/flushed")] == [1, 1]


def test_p4_a_stale_copy_answers():
    machine = guest()
    machine.access(0, RAM.ipa, "write", value=7)
    assert unmap_stage2_range(machine.kvm(0), RAM.ipa, 0x1000) == 1
    load = machine.access(0, RAM.ipa)
    assert (load.faults, load.value) == (0, 7)
    assert right("P4") == "it may still read the old page"


def test_p5_all_lose_their_numbers_and_keep_their_tables():
    machine = guest(ncpus=1)
    machine.access(0, RAM.ipa, "write")
    for _ in range(254):
        machine.enter(machine.create_vm())
    assert {machine.kvm(number).vmid for number in range(255)} == set(range(1, 256))
    assert machine.linux.kvm_vmid_gen == 2
    tables = machine.image(0).frames
    machine.enter(machine.create_vm())
    assert machine.linux.kvm_vmid_gen == 3
    assert all(machine.kvm(number).vmid_gen == 2 for number in range(255)), "all of them are of the old generation"
    assert machine.image(0).frames == tables
    assert machine.cpus[0].tlb.entries() == []
    assert right("P5") == "all lose their numbers, TLBs are flushed, tables stay"


def test_p6_one_table_comes_back():
    machine = guest()
    for ipa in (RAM.ipa, RAM.ipa + NEXT):
        machine.access(0, ipa, "write")
    here = len(machine.stream)
    machine.swap_out(0, RAM.hva)
    assert right("P6") == str(count(machine, here, "page/freed"))


def test_p7_another_page_makes_the_fault_return_empty_handed():
    machine = guest()
    machine.access(0, RAM.ipa + 0x1000)
    here = len(machine.stream)
    machine.race(0, {"ipa": RAM.ipa, "access": "write"}, "swap_out", {"hva": RAM.hva + 0x1000})
    names = [event.name for event in marks(machine, here)]
    first = names[: names.index("abort/handled")]
    assert "notifier/retried" in first
    assert "tables/mapped" not in first
    assert next(event for event in marks(machine, here) if event.name == "abort/handled").args["ret"] == 1
    assert right("P7") == "it returns to the guest with nothing mapped"


def test_p8_an_open_range_does_not_move_the_sequence():
    machine = guest()
    machine.access(0, RAM.ipa + 0x1000)
    here = len(machine.stream)
    fault = {"ipa": RAM.ipa, "access": "write"}
    machine.race(0, fault, "discard", {"hva": RAM.hva + 0x1000}, "before the sample", 2)
    tested = next(event.args for event in marks(machine, here) if event.name == "notifier/retried")
    assert (tested["sampled"] == tested["seq"], tested["count"]) == (True, 1)
    assert right("P8").endswith("sees the same sequence")


def test_p9_what_is_tested_must_be_stored_last():
    """A reader that finds the new generation at any moment must find the new VTTBR; and the engine agrees."""
    orders = [answer.text.split(", ") for answer in QUESTIONS["P9"].answers if "generation" in answer.text]
    moments = [(order, order[:stored]) for order in orders for stored in range(4)]
    unsafe = {", ".join(order) for order, seen in moments if "generation" in seen and "VTTBR" not in seen}
    assert unsafe == {", ".join(order) for order in orders} - {right("P9")}
    assert order_of_stores() == "generation, VMID, VTTBR"
    assert order_of_stores("vmid before generation") == right("P9")


def order_of_stores(*fixes):
    """Return the order in which the engine makes the three stores."""
    machine = guest(fixes=frozenset(fixes))
    here = len(machine.stream)
    machine.enter(0)
    names = {"kvm[0].vmid_gen": "generation", "kvm[0].vmid": "VMID", "kvm[0].vttbr": "VTTBR"}
    written = [names[event.name] for event in list(machine.stream)[here:] if event.name in names]
    return ", ".join(dict.fromkeys(written))


def test_no_misconception_is_used_for_the_right_answer():
    for name in QUESTIONS:
        told, _, answer = peer_questions(name)._repr_html_().partition("<details>")
        letter = QUESTIONS[name].right
        assert f"<li><b>{letter}</b> {escape(right(name))}</li>" in told, name
        assert f"<li><b>{letter}</b>" not in answer, name
        assert f"<p><b>{letter}</b>" in answer, name


def test_the_answer_is_folded_away():
    html = peer_questions("P5")._repr_html_()
    before, _, after = html.partition("<details>")
    assert "M25" not in before
    assert "M25" in after


@pytest.mark.parametrize("which", [0, 4, "P0", ["P1", "X"]])
def test_an_unknown_one_is_refused(which):
    with pytest.raises(InputError, match="allowed: "):
        peer_questions(which)


def test_a_card_holds_belief_and_truth():
    assert [row[0] for row in cards().rows] == list(MISCONCEPTIONS)
    assert cards(["M07"]).rows == (("M07", *MISCONCEPTIONS["M07"]),)
    with pytest.raises(InputError, match="'M99'"):
        cards(["M99"])
