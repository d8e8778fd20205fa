"""Run every part of the rollover benchmark on a small scale: all who are compared find the same flushes."""

import shutil

import numpy as np
import pytest

from benchmarks import peers, rollover
from benchmarks.rollover import NUMBERS, Row
from tests.rollover.test_simulate import by_sets

GUESTS = 300
IDS = np.random.default_rng(5).integers(GUESTS, size=5 * rollover.CHUNK // 4, dtype=np.uint16)


def test_all_find_what_plain_sets_find() -> None:
    expected = by_sets(IDS.tolist(), NUMBERS, 1)
    found = rollover.finders()
    assert ("compiled" in found, "C" in found) == (rollover.AVAILABLE, shutil.which("gcc") is not None)
    assert {"numpy"} <= {*found} <= {"numpy", "compiled", "C"}
    for name, find in found.items():
        assert find(IDS, GUESTS).tolist() == expected, name
        assert not len(find(IDS % NUMBERS, GUESTS)), name
    guests = [peers.Guest(number) for number in range(GUESTS)]
    host = peers.Diary(NUMBERS)
    for guest in IDS:
        host.enter(guests[guest])
    assert (host.flushes, host.ids) == (expected, IDS.tolist())


def test_peers_that_are_installed_let_guests_enter_as_they_say() -> None:
    for name, run in peers.PEERS.items():
        host, steps = peers.Diary(NUMBERS), 4
        run(host, GUESTS, steps * GUESTS)
        rounds = [host.ids[at : at + GUESTS] for at in range(0, steps * GUESTS, GUESTS)]
        assert len(host.ids) == steps * GUESTS
        assert all(sorted(entered) == [*range(GUESTS)] for entered in rounds)
        assert (len({*map(tuple, rounds)}) == 1) == (name == "simpy")  # in turn, or each time in another order
        assert host.flushes == by_sets(host.ids, NUMBERS, 1)


def test_who_finds_something_else_is_caught() -> None:
    same = np.array([255, 700])
    rollover.agree({"one": same, "other": same.copy()})
    with pytest.raises(AssertionError, match="one, other do not find the same"):
        rollover.agree({"one": same, "other": same + 1})
    with pytest.raises(AssertionError):
        rollover.agree({"one": same[:0]})


def test_rows_say_whether_a_goal_is_met() -> None:
    assert rollover.at_least("it", 0.0649, 0.06) == Row("it", "0.065x", "at least 0.06x", True)
    assert rollover.at_least("it", 12.3, 20) == Row("it", "12x", "at least 20x", False)
    assert rollover.under("it", 0.0512, 0.05) == Row("it", "51.2 ms", "under 50 ms", False)
    assert rollover.under("it", 1.5, 2) == Row("it", "1.50 s", "under 2 s", True)
    assert rollover.ratio([2.0, 90.0, 6.0], [1.0, 1.0, 2.0]) == 3


def test_the_parts_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollover, "asked", lambda *_: "0.5")
    rows = [
        *rollover.loops(3000, 1),
        *rollover.peers(3000, 1),
        *rollover.sweeps(257, 3000, 1),
        *rollover.curve(257, 1),
    ]
    goals = [row for row in rows if row.goal]
    assert len(goals) == (3 if {"C", "compiled"} <= {*rollover.finders()} else 0) + 2 * len(peers.PEERS) + 2 + 1
    assert all((row.met is not None) == bool(row.goal) for row in rows)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollover.shutil, "which", lambda _: None)
    monkeypatch.setattr(rollover, "PEERS", {})
    rows = [*rollover.loops(3000, 1), *rollover.peers(3000, 1)]
    missing = {row.what.partition(":")[0]: row.value for row in rows if "left out" in row.what}
    words = {"C": "gcc", "SimPy, guests as processes": "simpy", "Mesa, shuffle_do": "mesa"}
    assert {name: f"{words[name]} is missing" for name in words}.items() <= missing.items()
    assert not any(row.goal for row in rows)


@pytest.mark.slow  # starts programs
def test_processes_of_their_own_answer() -> None:
    if rollover.AVAILABLE:
        assert 0 < float(rollover.asked(rollover.COMPILE)) < 60
    rows = [*rollover.long(2_000_000)]
    assert [row.met for row in rows[1::2]] == [True] * (1 + rollover.AVAILABLE)


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("loops", "peers", "sweeps", "curve", "long"):
        monkeypatch.setattr(rollover, name, lambda name=name: iter([Row(name, "1", "2", False), Row(name, "3")]))
    monkeypatch.setattr(rollover.sys, "argv", ["rollover"])
    rollover.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == ["| loops | 1 | 2 | no |", "| loops | 3 |  |  |"]
    assert len(lines) == 10
