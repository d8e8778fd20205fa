"""Compare the price of a flush with a plain model of the TLB, with walks of real tables, and with sums by hand."""

import math
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlab.engine import Config, InputError, Machine
from kvmlab.engine.hardware.walker import walk
from kvmlab.rollover import theory
from kvmlab.rollover.cost import ABORT_US, DEFAULTS, NOTHING_PUBLISHED, PUBLISHED, Cost
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.rollover.theory import NEVER, Gap
from kvmlab.rollover.walks import MAX_LEVELS, ORDERS, STAGE1, STAGE2_LEVELS, Workload, extra_misses, walk_reads

LEVELS = st.integers(0, MAX_LEVELS)
AMOUNTS = st.floats(0, 1e6)


@st.composite
def workloads(draw):
    pages = draw(st.integers(1, 12))
    return Workload(
        guests=draw(st.integers(1, 6)),
        pages=pages,
        accesses=draw(st.integers(1, 20)),
        order=draw(st.sampled_from(ORDERS)),
        schedule=draw(st.sampled_from(sorted(SCHEDULES))),
        spread=draw(st.integers(pages, 64)),
        rounds_before=draw(st.integers(0, 3)),
        rounds_after=draw(st.integers(0, 3)),
        seed=draw(st.integers(0, 1000)),
        sets=draw(st.integers(1, 8)),
        ways=draw(st.integers(1, 4)),
    )


def in_a_dict(workload, flush_at):
    """Misses of each turn, and entries flushed, of an LRU made of dicts: the youngest stands last."""
    sets, misses, alive = [{} for _ in range(workload.sets)], [], 0
    for number, (guest, pages) in enumerate(workload.turns()):
        if number == flush_at:
            alive = sum(map(len, sets))
            sets = [{} for _ in range(workload.sets)]
        misses.append(0)
        for page in pages:
            row = sets[page % workload.sets]
            misses[-1] += (guest, page) not in row
            row.pop((guest, page), None)
            row[guest, page] = True
            if len(row) > workload.ways:
                del row[next(iter(row))]
    return misses, alive


@given(workloads())
@settings(max_examples=150, deadline=None)
def test_misses_are_those_of_a_plain_lru(workload):
    extra, first = extra_misses(workload), workload.guests * workload.rounds_before
    kept, _ = in_a_dict(workload, None)
    flushed, alive = in_a_dict(workload, first)
    assert extra.alive == alive
    assert [(turn.kept, turn.flushed) for turn in extra.turns] == list(zip(kept, flushed, strict=True))[first:]
    assert [turn.guest for turn in extra.turns] == [guest for guest, _ in workload.turns()][first:]
    assert extra.total == sum(extra.per_guest) == sum(flushed) - sum(kept)


@given(workloads())
@settings(max_examples=150, deadline=None)
def test_extra_is_what_was_flushed_and_still_wanted(workload):
    """By reuse distances: an entry was worth something if, up to its next use, fewer others than ways came between."""
    first, history, wanted = workload.guests * workload.rounds_before, [], 0
    for number, (guest, pages) in enumerate(workload.turns()):
        for page in pages:
            history.append((number >= first, guest, page))
            uses = [i for i, use in enumerate(history[:-1]) if use[1:] == (guest, page)]
            if number >= first and uses and not history[uses[-1]][0]:
                between = {
                    use[1:] for use in history[uses[-1] + 1 : -1] if use[2] % workload.sets == page % workload.sets
                }
                wanted += len(between) < workload.ways
    extra = extra_misses(workload)
    assert extra.total == wanted
    assert 0 <= extra.total <= extra.alive <= extra.capacity
    assert all(n >= 0 for n in extra.per_guest)


@given(workloads())
@settings(max_examples=40, deadline=None)
def test_a_wider_tlb_has_more_to_lose(workload):
    lost = [extra_misses(replace(workload, ways=ways)).total for ways in (1, 2, 4, 8)]
    assert lost == sorted(lost)


def test_working_sets_that_fit_are_all_fetched_again():
    extra = extra_misses(Workload(guests=4, pages=128, accesses=128, spread=128, order="in order"))
    assert extra.total == extra.alive == extra.capacity == 4 * 128
    assert extra.per_guest == (128,) * 4
    assert extra.curve == (*((turn, 0, 1) for turn in range(1, 5)), *((turn, 0, 0) for turn in range(5, 9)))


def test_where_the_others_evict_everything_a_flush_costs_nothing():
    extra = extra_misses(Workload(guests=100, pages=64))
    assert extra.alive == extra.capacity
    assert extra.total == 0


def test_a_shared_tlb_has_less_to_lose_than_it_holds():
    """The lesson: all entries times a walk is far too much."""
    cost = Cost()
    few = extra_misses(Workload(guests=8, pages=64, schedule="uniform"))
    many = extra_misses(Workload(guests=100, pages=64, schedule="uniform"))
    prices = [cost.of_flush(n).walk_us for n in (many.total, few.total, few.alive, few.capacity)]
    assert prices == sorted(set(prices))
    assert 0 < many.total < many.alive / 4


def test_before_the_first_turn_there_is_nothing_to_flush():
    extra = extra_misses(Workload(guests=3, pages=8, rounds_before=0))
    assert (extra.alive, extra.total) == (0, 0)
    assert extra_misses(Workload(guests=3, pages=8, rounds_after=0)).turns == ()


def test_the_same_seed_gives_the_same_and_another_one_does_not():
    workload = Workload(guests=5, pages=40, schedule="uniform")
    assert extra_misses(workload) == extra_misses(replace(workload))
    alone = replace(workload, guests=1, order="in order")
    assert {page for _, row in alone.turns() for page in row} != {
        page for _, row in replace(alone, seed=1).turns() for page in row
    }
    assert list(workload.turns()) != list(replace(workload, seed=1).turns())


@pytest.mark.parametrize("order", ORDERS)
def test_a_guest_touches_its_working_set_only(order):
    touched = {0: [], 1: []}
    for guest, pages in Workload(guests=2, pages=5, accesses=7, spread=50, order=order, rounds_after=30).turns():
        touched[guest] += pages
    assert [len(set(pages)) for pages in touched.values()] == [5, 5]
    assert max(touched[0] + touched[1]) < 50
    assert touched[0] != touched[1]
    if order == "in order":
        assert touched[0] == (sorted(set(touched[0])) * 100)[: 32 * 7]


@given(LEVELS, LEVELS)
def test_reads_fill_a_grid_but_for_its_corner(n, m):
    reads = walk_reads(n, m)
    assert len(reads) == (n + 1) * (m + 1) - 1
    assert [read.order for read in reads] == list(range(1, len(reads) + 1))
    places = [(read.column, read.row) for read in reads]
    assert places == [(x, y) for x in range(1, n + 2) for y in range(1, m + 2)][:-1]
    assert [(read.stage, read.level) for read in reads] == [(1, x) if y == m + 1 else (2, y) for x, y in places]
    assert len({read.kind for read in reads}) == len(reads)


@pytest.mark.parametrize("levels", STAGE1.values())
def test_reads_are_those_of_a_guest_with_tables_of_its_own(levels):
    """Stage 2 is the engine's; stage 1 are words in the guest's RAM, each the IPA of the next table or of the page."""
    machine = Machine(Config(recording=False))
    vm = machine.create_vm([(0x8000_0000, 0x10_0000, 0x4000_0000)])
    kvm, ram, log = machine.kvm(vm), {}, []
    tables = [0x8000_0000 + 0x3000 * i for i in range(levels + 1)]
    for ipa in tables:
        machine.access(vm, ipa, "write")

    def read_pa(ipa):
        found = walk(machine.linux.memory, kvm.vttbr, ipa)
        log.extend((2, step.level) for step in found.steps)
        assert not found.fault
        return found.pa

    for ipa, following in pairwise(tables):
        ram[read_pa(ipa)] = following
    log.clear()
    ipa = tables[0]
    for level in range(1, levels + 1):
        ipa = ram[read_pa(ipa)]
        log.append((1, level))
    read_pa(ipa)
    assert ipa == tables[-1]
    assert [(read.stage, read.level) for read in walk_reads(levels)] == log


def test_armv7_walks():
    assert STAGE2_LEVELS == 3
    assert {name: len(walk_reads(levels)) for name, levels in STAGE1.items()} == {
        "off": 3,
        "short descriptors": 11,
        "long descriptors (LPAE)": 15,
    }
    assert len(walk_reads(4, 4)) == 24  # the count published for x86-64
    assert [read.kind for read in walk_reads(1, 1)] == [
        "stage 2 level 1 for the table of stage 1 level 1",
        "stage 1 level 1",
        "stage 2 level 1 for the output address",
    ]


def test_a_flush_priced_by_hand():
    cost = Cost(ns_per_read=20, us_per_kick=5, entries_per_second=1000, stage1_levels=2)
    old, new = (cost.of_flush(100, cpus=4, policy=policy) for policy in ("3.9", "5.18"))
    assert (old.walks, old.reads, old.kicks) == (400, 4400, 3)
    assert (old.walk_us, old.kick_us, old.us) == (pytest.approx(88), 15, pytest.approx(103))
    assert (new.walks, new.kicks, new.us) == (400, 0, pytest.approx(88))
    assert cost.share(old, Gap(500, 0)) == pytest.approx(2 * 103e-6 / 4)


def test_no_flush_no_cost():
    cost = Cost()
    flush = cost.of_flush(512, cpus=8)
    assert flush.us > 0
    assert cost.share(flush, NEVER) == 0
    assert cost.share(flush, theory.uniform(255)) == 0 < cost.share(flush, theory.uniform(256))
    assert Cost(entries_per_second=0).share(flush, theory.uniform(256)) == 0
    assert cost.of_flush(0).us == 0
    assert Cost(ns_per_read=0).of_flush(512).us == 0


@given(AMOUNTS, AMOUNTS, AMOUNTS, st.integers(1, theory.MAX_CPUS - 1), LEVELS, st.integers(0, MAX_LEVELS - 1))
def test_more_of_anything_never_costs_less(ns, us, extra, cpus, stage1, stage2):
    cost = Cost(ns_per_read=ns, us_per_kick=us, stage1_levels=stage1, stage2_levels=stage2)
    price = cost.of_flush(extra, cpus=cpus).us
    assert cost.of_flush(extra, cpus=cpus, policy="5.18").us <= price <= cost.of_flush(extra + 1, cpus=cpus).us
    assert price <= cost.of_flush(extra, cpus=cpus + 1).us
    for more in ({"ns_per_read": ns + 1}, {"us_per_kick": us + 1}, {"stage2_levels": stage2 + 1}):
        assert price <= replace(cost, **more).of_flush(extra, cpus=cpus).us


def test_shares_grow_with_the_guests():
    cost = Cost()
    flush = cost.of_flush(100)
    shares = [cost.share(flush, theory.uniform(n)) for n in (200, 256, 300, 1024)]
    assert shares == sorted(shares)
    assert cost.share(flush, theory.uniform(1 << 20)) <= cost.share(flush, theory.round_robin(256))


def test_every_parameter_has_a_source():
    assert tuple(DEFAULTS) == tuple(field.name for field in fields(Cost))
    assert Cost().parameters == tuple(DEFAULTS.values())
    assert all(p.unit and p.source for p in DEFAULTS.values())
    assert all(p.is_assumption == ("assumption" in p.source or "stand-in" in p.source) for p in DEFAULTS.values())
    changed = Cost(ns_per_read=33).parameters[0]
    assert (changed.value, changed.source, changed.unit) == (33, "set by the user", DEFAULTS["ns_per_read"].unit)


def test_the_published_abort_is_the_default_for_a_kick():
    row = next(row for row in PUBLISHED if "data-abort" in row.what)
    assert row.figure.startswith(f"{Cost().us_per_kick} us ")
    assert row.source in DEFAULTS["us_per_kick"].source
    assert Cost().us_per_kick == ABORT_US
    assert len({published.source for published in PUBLISHED}) == len(PUBLISHED)
    assert "No rate of VMID rollovers" in NOTHING_PUBLISHED


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"guests": 0}, "guests is 0"),
        ({"pages": 0}, "pages is 0"),
        ({"pages": 100, "spread": 99}, "spread is 99"),
        ({"accesses": 0}, "accesses is 0"),
        ({"rounds_before": -1}, "rounds_before is -1"),
        ({"rounds_after": -1}, "rounds_after is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"sets": 0}, "sets is 0"),
        ({"ways": 17}, "ways is 17"),
        ({"order": "backwards"}, "order is 'backwards'; allowed: random, in order"),
        ({"schedule": "never"}, "schedule is 'never'; allowed: round-robin"),
        ({"guests": 60000}, "accesses; allowed"),
        ({"pages": 1.5}, "pages must be a whole number"),
    ],
)
def test_bad_workloads_are_named(bad, named):
    with pytest.raises(InputError, match=named):
        Workload(**{"guests": 4, "pages": 64} | bad)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: walk_reads(5), "stage1_levels is 5"),
        (lambda: walk_reads(2, -1), "stage2_levels is -1"),
        (lambda: Cost(ns_per_read=-1), "ns_per_read is -1"),
        (lambda: Cost(us_per_kick=math.nan), "us_per_kick is nan"),
        (lambda: Cost(entries_per_second=math.inf), "entries_per_second is inf"),
        (lambda: Cost(ns_per_read="fast"), "ns_per_read is 'fast'"),
        (lambda: Cost(ns_per_read=True), "ns_per_read is True"),
        (lambda: Cost(stage1_levels=9), "stage1_levels is 9"),
        (lambda: Cost().of_flush(-1), "extra_misses is -1"),
        (lambda: Cost().of_flush(1, cpus=0), "cpus is 0"),
        (lambda: Cost().of_flush(1, policy="4.0"), "policy is '4.0'; allowed: 3.9, 5.18"),
    ],
)
def test_bad_costs_are_named(call, named):
    with pytest.raises(InputError, match=named):
        call()


def test_parameters_are_told_with_their_source() -> None:
    lines = Cost(ns_per_read=50).describe().splitlines()
    assert len(lines) == len(Cost().parameters)
    assert lines[0].split(maxsplit=1) == ["ns_per_read", "50 ns for each table read: set by the user"]
    assert any("1218838d68f5" in line for line in lines)
