"""What the lessons' helpers show, against the traces of the kernel's own functions."""

import json
from pathlib import Path

import pytest

from kvmlab.engine import InputError
from kvmlab.scenes.lesson_failures import HEADS, what_if_fails

HAND = Path(__file__).parents[1] / "golden" / "hand"
STORE = {"ipa": 0x8000_0000, "access": "write", "value": 1}


def ops(name):
    lines = map(json.loads, (HAND / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["t"] == "op"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_device_that_fails_as_in_the_kernel(number):
    op = ops("08_ioremap_alloc_failure")[number]
    given = op["in"]
    row = what_if_fails(
        [given["fail_alloc"]], "ioremap",
        ipa=int(given["guest_ipa"], 16), pa=int(given["pa"], 16), size=int(given["size"], 16),
    ).rows[0]  # fmt: skip
    assert (row.k, row.ret, row.tables) == (given["fail_alloc"], op["out"]["ret"], op["out"]["live"])
    assert row.mapped == len(op["out"].get("pte", {})) == 0
    assert row.again == 0


def test_a_device_that_fails_half_way_as_in_the_kernel():
    half, again = (ops("08_ioremap_alloc_failure")[number] for number in (3, 6))
    given = half["in"]
    row = what_if_fails(
        [given["fail_alloc"]], "ioremap",
        ipa=int(given["guest_ipa"], 16), pa=int(given["pa"], 16), size=int(given["size"], 16),
    ).rows[0]  # fmt: skip
    assert (row.ret, row.tables, row.mapped) == (half["out"]["ret"], half["out"]["live"], len(half["out"]["pte"]))
    assert row.again == again["out"]["ret"]


def test_a_fault_keeps_what_it_got_before_the_failure():
    ks = (1, 2, 3, 17, 40)
    for k, row in zip(ks, what_if_fails(ks, "access", **STORE).rows, strict=True):
        assert (row.ret, row.mapped, row.tables, row.cached, row.again) == (-12, 0, 2, k - 1, 1)


def test_a_fault_in_which_nothing_fails():
    first = ops("02_first_fault")[1]["out"]
    for row in what_if_fails([0, 41], "access", **STORE).rows:
        assert (row.ret, row.mapped, row.cached) == (first["ret"], len(first["pte"]), first["cache"])
        assert row.tables == first["live"] - first["cache"]


def test_the_table_has_a_head_and_a_word_for_everything():
    table = what_if_fails([0, 2], "access", **STORE)
    text, page = str(table).splitlines(), table._repr_html_()
    assert text[0] == " | ".join(HEADS)
    assert text[1].startswith("none | 1 | 1 | 4 | 38 | ")
    assert text[2] == "allocation 2 | -ENOMEM | 0 | 2 | 1 | 1"
    assert page.count("<tr>") == 3
    assert page.count("<th scope='col'>") == len(HEADS)


def test_an_unknown_command_is_refused():
    with pytest.raises(InputError, match="command is 'reboot'"):
        what_if_fails([1], "reboot")


def test_a_device_in_which_nothing_fails():
    op = ops("08_ioremap_alloc_failure")[5]
    row = what_if_fails([0], "ioremap", ipa=0x2E1F_E000, pa=0x1C00_0000, size=0x4000).rows[0]
    assert (row.ret, row.mapped) == (op["out"]["ret"], len(op["out"]["pte"]))
