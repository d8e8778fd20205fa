"""Test the grid of schedules: every number in it against counts that do not run the engine's own schedules."""

from __future__ import annotations

import re
from math import comb

import pytest

from kvmlab.engine import InputError
from kvmlab.engine.config import RETRY_CHECKS
from kvmlab.engine.explore import run_schedule
from kvmlab.engine.litmus import HOSTS, FaultAgainstHost
from kvmlab.figures.files import to_bytes
from kvmlab.figures.schedules import TESTS, cells_of, schedule_grid, schedules
from kvmlab.figures.style import SIZES
from tests.figures.boxes import faults

STEPS = {"discard": (6, 5), "swap_out": (6, 4)}


def lemma(schedule: str, retry: str) -> bool:
    """Whether a fault against a discard ends badly, by hand: from the order of a few steps alone.

    Steps of G: 2 samples, 3 looks up, 4 tests and maps under the lock (sampled late: 2 looks up, 3 samples).
    Steps of H: 1 raises count and unmaps, 2 clears the host's entry, 3 raises seq and lowers count.
    """
    at = {f"{task}{schedule[:n].count(task)}": n for n, task in enumerate(schedule)}
    sample, look = (at["G3"], at["G2"]) if retry == "sampled late" else (at["G2"], at["G3"])
    test = at["G4"]
    stale = look < at["H2"] and at["H1"] < test  # looked up before it went, mapped after the tables were emptied
    sees_count = at["H1"] < test < at["H3"] and retry not in ("none", "seq only")
    sees_seq = sample < at["H3"] < test and retry not in ("none", "count only")
    return stale and not (sees_count or sees_seq)


def ways(fault: int, host: int) -> list[str]:
    """Return every word of so many G and H."""
    if not fault or not host:
        return ["G" * fault + "H" * host]
    return [f"G{rest}" for rest in ways(fault - 1, host)] + [f"H{rest}" for rest in ways(fault, host - 1)]


@pytest.mark.parametrize("host", HOSTS)
def test_the_schedules_through_a_cell_are_ways_there_times_ways_on(host: str) -> None:
    data = schedules(FaultAgainstHost(host=host))
    f, h = STEPS[host]
    assert (len(data.steps["G"]), len(data.steps["H"])) == (f, h)
    assert dict(data.through) == {
        (i, j): comb(i + j, i) * comb(f - i + h - j, f - i) for i in range(f + 1) for j in range(h + 1)
    }


@pytest.mark.parametrize("retry", RETRY_CHECKS)
def test_bad_schedules_are_those_that_an_argument_on_paper_finds(retry: str) -> None:
    data = schedules(FaultAgainstHost(retry=retry))
    wrong = [word for word in ways(6, 5) if lemma(word, retry)]
    for cell in data.through:
        assert data.bad[cell] == sum(cell in cells_of(word) for word in wrong), cell
    assert (retry == "both") == (not wrong) == (not data.path)


def test_without_the_test_every_bad_schedule_passes_one_cell() -> None:
    data = schedules(FaultAgainstHost(retry="none"))
    assert [cell for cell in data.through if data.bad[cell] == data.through[cell]] == [(4, 2)]
    assert data.bad[4, 2] == data.bad[0, 0] == data.bad[6, 5]


def test_the_path_that_is_drawn_ends_badly_with_two_switches() -> None:
    data = schedules(FaultAgainstHost(retry="none"))
    assert run_schedule(FaultAgainstHost(retry="none")(), data.path).verdict()
    assert len(re.findall("GH|HG", data.path)) == 2
    assert schedules(FaultAgainstHost(), "HHG").path == "HHGGGGGGHHH"
    assert schedules(FaultAgainstHost(retry="none"), "").path == ""


@pytest.mark.slow
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("retry", RETRY_CHECKS)
@pytest.mark.parametrize("size", SIZES)
def test_every_word_can_be_read(size: str, retry: str, host: str) -> None:
    figure = schedule_grid("light", size, retry=retry, host=host)
    assert faults(figure, SIZES[size].small) == []
    assert len(figure.kvmlab_title) <= 60
    assert "Linux 3.9" in figure.kvmlab_source
    assert bool(figure.texts) == (size == "slide")


@pytest.mark.parametrize("size", SIZES)
def test_the_numbers_drawn_are_those_of_the_data(size: str) -> None:
    data = schedules(FaultAgainstHost(retry="count only"))
    (axes,) = schedule_grid("light", size, retry="count only").axes
    said = sorted(text.get_text() for text in axes.texts if text.get_text()[0].isdigit())
    full = size == "slide"
    assert said == sorted(f"{data.bad[c]}/{n}" if full else f"{data.bad[c]}" for c, n in data.through.items())
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == sum(number > 0 for number in data.bad.values())


def test_no_schedule_is_hatched_or_drawn_where_none_is_bad() -> None:
    figure = schedule_grid(retry="both")
    (axes,) = figure.axes
    assert not [patch for patch in axes.patches if patch.get_hatch()]
    assert "0 of 462" in figure.kvmlab_title
    assert "Drawn" not in figure.kvmlab_alt


@pytest.mark.slow
def test_the_same_bytes_twice_and_others_in_the_dark() -> None:
    first, again, dark = (to_bytes(schedule_grid(theme)) for theme in ("light", "light", "dark"))
    assert first == again != dark


def test_a_title_for_each_test() -> None:
    assert list(TESTS) == list(RETRY_CHECKS)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"retry": "twice"}, "retry is 'twice'; allowed: both, none"),
        ({"host": "reboot"}, "host is 'reboot'; allowed: discard, swap_out"),
        ({"path": "GX"}, "task is 'X'; allowed now: G, H"),
        ({"path": "HHHHHH"}, "task is 'H'; allowed now: G"),
        ({"size": "poster"}, "size is 'poster'"),
    ],
)
def test_a_mistake_is_named(args: dict[str, str], named: str) -> None:
    with pytest.raises(InputError, match=re.escape(named)):
        schedule_grid(**args)
