"""What is said to answers: right, wrong in a known way, wrong in another, none at all."""

import pytest

from kvmlab.engine import InputError
from kvmlab.exercises import Order, Schedule, check, exercise
from kvmlab.exercises.judge import sentence
from kvmlab.scenes.misconceptions import MISCONCEPTIONS


def test_a_known_error_gets_its_card():
    one = exercise("fault-address", 3)
    hpfar = int(one.given[0].split("0x")[1], 16)
    result = check(one, (hpfar,))
    assert (result.right, result.misconception) == (False, "M13")
    assert MISCONCEPTIONS["M13"].belief in result.feedback
    assert MISCONCEPTIONS["M13"].truth in result.feedback
    assert f"{one.answer[0]:#x}" not in result.feedback


def test_an_error_in_one_field_is_found_beside_right_ones():
    one = exercise("gfn", 3)
    gfn, offset = one.answer
    assert check(one, (gfn << 12, offset)).feedback.startswith("That is the address of the page")
    assert check(one, (gfn + 1, offset)).feedback == f"gfn is not {gfn + 1:#x}: one too many. Offset is right."
    assert check(one, (gfn, 0)).feedback == "gfn is right. Offset is not 0x0: too small."
    assert check(one, (gfn, offset)).right


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x + 1, "one too many"),
        (lambda x: x - 1, "one too few"),
        (lambda x: x * 7, "too large"),
        (lambda x: 3, "too small"),
        (lambda x: x >> 12, "bytes or pages"),
    ],
)
def test_an_unknown_error_is_described(change, words):
    one = exercise("hva", 3)
    given = change(one.answer[0])
    assert (given,) not in {wrong.answer for wrong in one.wrong}
    assert words in check(one, (given,)).feedback


def test_digits_in_hex_without_0x_are_recognized():
    one = next(one for one in (exercise("hva", seed) for seed in range(99)) if f"{one.answer[0]:x}".isdigit())
    assert "written with 0x" in check(one, (int(f"{one.answer[0]:x}"),)).feedback


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("gfn", (1,)),
        ("gfn", (1, 2, 3)),
        ("gfn", (-1, 0)),
        ("gfn", (1 << 64, 0)),
        ("gfn", ("1", 0)),
        ("gfn", (True, 0)),
        ("gfn", 7),
        ("gfn", None),
        ("first-to-act", (5,)),
        ("first-to-act", ()),
        ("tlb-hits", ()),
        ("tlb-hits", (1, 1)),
        ("tlb-hits", (2, 1)),
        ("tlb-hits", (6,)),
        ("fault-steps", (0,)),
        ("fault-steps", (0,) * 7),
        ("bad-schedule", ()),
        ("bad-schedule", (2,)),
        ("bad-schedule", (0,) * 65),
    ],
)
def test_what_is_no_answer_is_refused_and_not_judged(name, given):
    with pytest.raises(InputError):
        check(exercise(name, 1), given)


def test_orders_that_keep_the_rules_are_right_too():
    for seed in range(40):
        one = exercise("fault-steps", seed)
        assert isinstance(one.form, Order)
        words = [one.form.steps[n].split()[0] for n in one.answer]
        if words[:2] == ["fill", "read"]:  # nothing says which of these two comes first
            a, b, *rest = one.answer
            assert check(one, (b, a, *rest)).right
            c = rest.pop(0)
            assert check(one, (b, c, a, *rest)).right
            assert not check(one, (c, b, a, *rest)).right
            return
    pytest.fail("no exercise has both steps")


def test_every_rule_of_an_order_is_needed():
    one = next(one for one in (exercise("fault-steps", seed) for seed in range(99)) if one.form.count == 7)
    broken = set()
    for at in range(6):
        order = list(one.answer)
        order[at], order[at + 1] = order[at + 1], order[at]
        result = check(one, order)
        broken |= set() if result.right else {at}
    assert broken == {1, 2, 3, 4, 5}


def test_a_schedule_is_run():
    for seed in range(8):
        one = exercise("bad-schedule", seed)
        assert isinstance(one.form, Schedule)
        right = check(one, one.answer)
        assert right.right
        assert "does no harm" in right.feedback
        ends = one.answer.index(1) + 1
        assert check(one, one.answer[:-1]).right  # the rest runs by itself
        assert not check(one, (0, 1) * 2).right or ends
        assert check(one, (0, 0, 0)).misconception == "M36"
        stuck = check(one, (1,) * 60)
        assert not stuck.right
        assert "cannot be run" in stuck.feedback


def test_more_than_one_schedule_does_harm():
    one = exercise("bad-schedule", 0)
    a = one.answer
    others = [(*a[:n], a[n + 1], a[n], *a[n + 2 :]) for n in range(len(a) - 1) if a[n] != a[n + 1]]
    assert any(check(one, other).right for other in others)
    assert not all(check(one, other).right for other in others)


def test_the_names_of_the_kernel_stay_as_they_are():
    assert sentence("seq is 1") == "seq is 1"
    assert sentence("0x10 is it") == "0x10 is it"
    assert sentence("page_count is 1") == "page_count is 1"
    assert sentence("that is it") == "That is it"
