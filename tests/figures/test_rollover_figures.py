"""Test the figures on flush frequency: what is drawn against laws and counts, and every word for its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvmlab.engine import InputError
from kvmlab.figures.allocators import allocators
from kvmlab.figures.cliff import cliff
from kvmlab.figures.files import to_bytes
from kvmlab.figures.flush import flush_frequency
from kvmlab.figures.rates import LOOKS, ORDERS
from kvmlab.figures.style import SIZES, Slide
from kvmlab.figures.widths import flush_widths
from kvmlab.rollover import theory, zipf
from kvmlab.rollover.allocators import compare
from kvmlab.rollover.laws import law
from kvmlab.rollover.schedules import schedule
from kvmlab.rollover.simulate import simulate
from tests.figures.boxes import faults

pytestmark = pytest.mark.slow  # all together

Draw = Callable[..., Slide]
CASES: list[tuple[Draw, dict[str, Any]]] = [
    (flush_frequency, {}),
    (flush_frequency, {"vmid_bits": 4, "entries": 5000}),
    (flush_frequency, {"most": 600, "orders": ("sticky", "switches:4", "runs:2", "uniform")}),
    (cliff, {}),
    (cliff, {"vmid_bits": 4, "above": 5}),
    (flush_widths, {}),
    (flush_widths, {"widths": (8, 12), "entries": 100_000}),
    (flush_widths, {"widths": (8,), "entries": 100_000}),
    (allocators, {}),
    (allocators, {"vmid_bits": 4, "guests": 40, "cpus": 2, "entries": 3000}),
    (allocators, {"order": "round-robin", "guests": 1024}),
]
NAMES = {name: schedule(name).name for name in ORDERS}


def lines(figure: Slide, axes: int = 0) -> dict[str, list[tuple[float, float]]]:
    return {
        str(line.get_label()): [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]
        for line in figure.axes[axes].get_lines()
    }


def said(figure: Slide) -> str:
    return "\n".join(text.get_text() for axes in figure.axes for text in axes.texts)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("draw", "options"), CASES)
def test_words_are_large_whole_and_apart(draw: Draw, options: dict[str, Any], size: str) -> None:
    figure = draw("light", size, **options)
    assert faults(figure, SIZES[size].small) == []
    assert len(figure.kvmlab_title) <= 60
    if size == "slide":
        assert [text.get_text().count("\n") <= 1 for text in figure.texts] == [True] * 3


def rate(name: str, guests: int, vmid_bits: int = 8) -> float:
    known = law(schedule(name), guests, vmid_bits)
    assert known
    assert known.exact
    return 1000 * float(known.gap.rate)


def near(name: str, counted: list[tuple[float, float]], entries: int) -> None:
    """Assert that counted rates lie where 9,999 in 10,000 do."""
    assert len(counted) > 4
    for guests, measured in counted:
        known = law(schedule(name), int(guests))
        assert known
        low, high = known.gap.interval(entries, level=0.9999)
        assert 1000 * low - 1e-9 <= measured <= 1000 * high + 1e-9, (name, guests)


def test_flush_frequency_draws_the_laws_and_what_is_counted() -> None:
    kept = lines(flush_frequency())
    for name, words in NAMES.items():
        line = dict(kept[words])
        assert (min(line), max(line)) == (256, 1024)
        some = (256, 1024) if name == "zipf" else (256, 257, 300, 512, 1000, 1024)
        for guests in some:
            assert line[guests] == pytest.approx(rate(name, guests), rel=1e-12)
        counted = kept[f"{words}, counted"]
        near(name, counted, 100_000)
        for guests, measured in counted[-2:]:
            assert measured == 1000 * simulate(schedule(name), int(guests), 100_000, seed=1 + int(guests)).rate
    assert kept["zero"] == [(1, 0), (255, 0)]


def test_zipfs_line_is_right_between_its_exact_values() -> None:
    line = dict(lines(flush_frequency())[NAMES["zipf"]])
    for guests in (258, 300, 430, 600):
        assert line[guests] == pytest.approx(1000 / float(zipf.zipf(guests).mean), rel=1e-3)


def test_an_approximate_line_is_dashed_and_a_count_of_too_few_is_left_out() -> None:
    figure = flush_frequency(vmid_bits=12, entries=60_000, most=8192)
    dashed = {str(line.get_label()): line.is_dashed() for line in figure.axes[0].get_lines()}
    assert {name: dashed[words] for name, words in NAMES.items()} == {name: name == "zipf" for name in ORDERS}
    assert "dashed: approximate" in figure.kvmlab_source
    marks = lines(figure).get(f"{NAMES['uniform']}, counted", [])
    assert marks
    assert all(5 * theory.uniform(int(n), 12).mean <= 60_000 for n, _ in marks)
    assert f"{NAMES['runs']}, counted" not in lines(figure)


def test_each_order_has_a_colour_and_a_mark_of_its_own() -> None:
    figure = flush_frequency(orders=("zipf:0.5", "zipf:2", "sticky:0.5", "uniform"), vmid_bits=4, entries=5000)
    marks = [line for line in figure.axes[0].get_lines() if str(line.get_label()).endswith(", counted")]
    assert len({line.get_marker() for line in marks}) == len({line.get_color() for line in marks}) == len(LOOKS)


def test_the_cliff_is_zero_at_255_and_not_at_256_in_every_order() -> None:
    kept = lines(cliff())
    assert kept["counted zeros"] == [(n, 0) for n in range(250, 256)]
    assert kept["zero"] == [(249.5, 0), (255.5, 0)]
    assert {x for x, _ in kept["cliff"]} == {255.5}
    for name, words in NAMES.items():
        assert kept[words] == [(n, pytest.approx(rate(name, n), rel=1e-12)) for n in range(256, 271)]
        assert [n for n, _ in kept[f"{words}, counted"]] == list(range(256, 271))
        near(name, kept[f"{words}, counted"], 300_000)
        assert kept[words][0][1] > 0.05
        assert {simulate(schedule(name), n, 300_000).rollovers for n in range(250, 256)} == {0}


def test_widths_never_flush_up_to_the_last_number() -> None:
    figure = flush_widths()
    kept = lines(figure)
    top = max(y for name, line in kept.items() if "order" in name or "turn" in name for _, y in line)
    for bits, numbers in ((4, 15), (8, 255), (16, 65535)):
        (begin, lane), (end, same) = kept[f"{bits} bits, never"]
        assert (begin, end, lane) == (1, numbers, same)
        assert lane > 1.2 * top
        line = kept[f"{bits} bits, in random order"]
        assert line[0] == (numbers + 1, pytest.approx(float(theory.uniform(numbers + 1, bits).mean)))
        assert line[-1] == (4 * 65536, pytest.approx(float(theory.uniform(4 * 65536, bits).mean)))
        assert kept[f"{bits} bits, in turn"] == [(numbers + 1, numbers), (4 * 65536, numbers)]
        for guests, mean in kept[f"{bits} bits, counted"]:
            low, high = theory.uniform(int(guests), bits).interval(4_000_000, level=0.9999)
            assert 1 / high <= mean <= 1 / low
    assert {axis.get_scale() for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis)} == {"log"}
    assert "never" in said(figure)


def test_allocators_flush_alike_and_differ_in_the_rest() -> None:
    figure = allocators()
    kept = lines(figure)
    assert dict(kept["Linux 3.9"]) == pytest.approx(dict(kept["Linux 5.18"]), rel=0.03)
    both = compare(schedule("uniform"), 300, 100_000, cpus=8)
    flushes = {name: len([at for at in one.at if at]) for name, one in both.items()}
    for name, one in both.items():
        assert (300, 1000 * flushes[name] / 100_000) in kept[f"Linux {name}"]
        for guests, measured in kept[f"Linux {name}"]:
            low, high = theory.uniform(int(guests), cpus=8).interval(100_000, level=0.9999)
            assert 1000 * low - 0.01 <= measured <= 1000 * high + 0.01
        widths = [bar[0].get_width() for bar in figure.axes[1].containers if bar.get_label().startswith(name)]
        assert widths == [count / flushes[name] for count in (one.kicks, one.reentries, one.renumbered)]
    assert dict(kept["exact"])[300] == pytest.approx(1000 / 551.71, rel=1e-5)
    assert said(figure).count("none in 5.18") == 2
    assert "7.0 in 3.9" in said(figure)


def test_guests_renumbered_by_518_are_as_many_as_the_reference_counted() -> None:
    bars = {bar.get_label(): bar[0].get_width() for bar in allocators().axes[1].containers}
    table = json.loads((Path(__file__).parent.parent / "oracles" / "vmid_rollover.json").read_text())["pcpus"]["table"]
    assert bars["5.18 renumbered"] == pytest.approx(table["300"]["8"]["sim518_vmid_changed_per_flush"], rel=0.03)
    assert 250 < bars["3.9 renumbered"] < 255


@pytest.mark.parametrize(
    ("draw", "options"),
    [
        (flush_frequency, {"vmid_bits": 4, "entries": 3000}),
        (cliff, {"vmid_bits": 4, "entries": 3000}),
        (flush_widths, {"widths": (4, 8), "entries": 30_000}),
        (allocators, {"vmid_bits": 4, "guests": 20, "cpus": 2, "entries": 1000}),
    ],
)
def test_the_same_bytes_twice(draw: Draw, options: dict[str, Any]) -> None:
    for kind in ("svg", "png"):
        one = to_bytes(draw(**options), kind)
        assert one == to_bytes(draw(**options), kind)
        assert one != to_bytes(draw("dark", **options), kind)
        assert one != to_bytes(draw(seed=2, **options), kind)


@pytest.mark.parametrize(
    ("draw", "options", "words"),
    [
        (cliff, {"vmid_bits": 1}, "vmid_bits is 1; allowed: 4 to 10"),
        (cliff, {"vmid_bits": 40}, "vmid_bits is 40; allowed: 4 to 10"),
        (cliff, {"above": 0}, "above is 0; allowed: 5 to 30"),
        (cliff, {"entries": -5}, "entries is -5"),
        (cliff, {"seed": -1}, "seed is -1"),
        (flush_widths, {"seed": -1}, "seed is -1"),
        (allocators, {"seed": -1}, "seed is -1"),
        (cliff, {"orders": ("in turn",)}, "schedule is 'in turn'; allowed: round-robin"),
        (flush_widths, {"widths": (1, 8)}, "widths is 1; allowed: 2 to 16"),
        (flush_widths, {"widths": (8, 40)}, "widths is 40; allowed: 2 to 16"),
        (flush_widths, {"widths": (8, 9)}, r"widths is \(8, 9\); allowed: 1 to 3 widths, at least 4 bits apart"),
        (flush_widths, {"widths": ()}, r"widths is \(\)"),
        (flush_widths, {"entries": 0}, "entries is 0"),
        (allocators, {"guests": 0}, "guests is 0; allowed: 256 to 1024"),
        (allocators, {"guests": 255}, "guests is 255; allowed: 256 to 1024"),
        (allocators, {"cpus": 1}, "cpus is 1; allowed: 2 to 64"),
        (allocators, {"vmid_bits": 40}, "vmid_bits is 40; allowed: 4 to 12"),
        (allocators, {"order": "zip"}, "schedule is 'zip'.*did you mean 'zipf'"),
        (allocators, {"order": "sticky"}, "cpus"),
        (allocators, {"entries": 100}, "entries is 100; too few for a flush"),
        (allocators, {"theme": "pink"}, "theme is 'pink'"),
    ],
)
def test_bad_values_are_named(draw: Draw, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        draw(**options)
