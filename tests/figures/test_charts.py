"""Test the charts as data, against counts and sums made in another way, and look at the words as they are drawn."""

import ast
import inspect
import math
from collections import Counter
from fractions import Fraction
from itertools import islice, pairwise, product

import pytest

from kvmlab.engine import Config, InputError, Machine, Slot
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.engine.kernel import abort
from kvmlab.engine.kernel.pgtable import KVM_NR_MEM_OBJS, PAGE_SIZE, PMD_SIZE, PTRS_PER_S2_PGD, PUD_SIZE
from kvmlab.figures.cache import cache_storm, storm
from kvmlab.figures.cost import cost
from kvmlab.figures.cost_data import GUESTS, lost, prices
from kvmlab.figures.files import to_bytes
from kvmlab.figures.footprint import PATTERNS, amount, counted, footprint, line, table_bytes
from kvmlab.figures.occupancy import expected_in_use, occupancy, occupancy_of
from kvmlab.figures.raster import raster, raster_of
from kvmlab.figures.style import SIZES, THEMES
from kvmlab.rollover import theory
from kvmlab.rollover.cost import NOTHING_PUBLISHED, Cost
from kvmlab.rollover.schedules import schedule
from tests.figures.boxes import drawn, faults

CHARTS = (cost, raster, occupancy, footprint, cache_storm)
ODD = (
    (cost, {"cpus": 1}),
    (cost, {"pages": 4, "accesses": 8}),
    (cost, {"ns_per_read": 0, "us_per_kick": 0, "cpus": 64}),
    (raster, {"order": "round-robin", "vmid_bits": 5, "guests": 40, "entries": 1000}),
    (raster, {"guests": 1, "entries": 2}),
    (occupancy, {"guests": 200, "vmid_bits": 16, "entries": 2000}),
    (occupancy, {"guests": 20, "vmid_bits": 4, "entries": 100}),
    (footprint, {"most": 1}),
    (cache_storm, {"gib": 1, "mib": 0, "pages": 0}),
    (cache_storm, {"gib": 32, "mib": 200, "pages": 200}),
)


def ids(guests, entries, order, seed):
    return [guest for guest, _ in islice(schedule(order).entries(guests, seed), entries)]


def numbered(owners, numbers):
    """By sets: who needs a number, who flushes, and how many numbers are in use after each entry."""
    in_use, needs, flushes, counts = set(range(-numbers, 0)), [], [], []
    for at, guest in enumerate(owners):
        needs.append(guest not in in_use)
        if needs[-1] and len(in_use) == numbers:
            in_use = set()
            flushes.append(at)
        in_use.add(guest)
        counts.append(len(in_use))
    return needs, flushes, counts


# -- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("guests", "bits", "order"), [(20, 4, "uniform"), (20, 4, "round-robin"), (9, 3, "zipf:1")])
def test_raster_and_occupancy_are_those_of_sets_of_guests(guests, bits, order):
    owners = ids(guests, 300, order, 5)
    needs, flushes, counts = numbered(owners, (1 << bits) - 1)
    one = raster_of(guests, 300, bits, order, 5)
    assert one.entries == tuple(zip(owners, needs, strict=True))
    assert one.flushes == tuple(flushes)
    assert one.generation == 2
    other = occupancy_of(order, guests, 300, bits, 5)
    assert other.in_use == tuple(counts)
    assert other.flushes == tuple(flushes)
    assert len(flushes) > 3


def test_in_turn_every_entry_needs_a_number_and_with_enough_of_them_only_the_first_ones():
    turn = occupancy_of("round-robin", 300, 1600, 8, 1)
    assert [b - a for a, b in pairwise(turn.flushes)] == [255] * 6
    assert max(turn.in_use) == 255
    few = raster_of(12, 400, 4, "uniform", 1)
    assert few.flushes == (0,)
    assert Counter(guest for guest, needs in few.entries if needs) == dict.fromkeys(range(12), 1)


def test_expected_numbers_are_the_mean_over_all_orders():
    for guests, entries in ((1, 3), (3, 4), (4, 5)):
        orders = list(product(range(guests), repeat=entries))
        mean = Fraction(sum(len(set(order)) for order in orders), len(orders))
        assert expected_in_use(guests, entries) == pytest.approx(float(mean), rel=1e-12)
    assert expected_in_use(300, 0) == 0
    crossing = next(t for t in range(2000) if expected_in_use(300, t) >= 255.5)
    assert crossing == pytest.approx(theory.uniform(300).mean, rel=0.01)


def test_the_random_run_lies_about_its_expectation():
    one = occupancy_of("uniform", 300, 1600, 8, 1)
    spread = math.sqrt(300 / 4)  # of the count of different guests: at most that of 300 independent coins
    for begin, end in pairwise(one.flushes):
        for t in range(1, min(end - begin, 400)):
            assert abs(one.in_use[begin + t - 1] - expected_in_use(300, t)) < 4 * spread


def walked(machine, vm):
    """Count the bytes of the tables that a walker can reach."""
    memory, tables = machine.linux.memory, 0
    for entry in memory.table(machine.kvm(vm).pgd, PTRS_PER_S2_PGD):
        if entry:
            level2 = [word for word in memory.table(entry & ADDRESS_MASK) if word]
            tables += 1 + len(level2)
    return 8 * PTRS_PER_S2_PGD + PAGE_SIZE * tables


@pytest.mark.parametrize(("step", "pages"), [(PAGE_SIZE, 700), (PMD_SIZE, 515), (PUD_SIZE, 3)])
def test_table_bytes_are_those_of_tables_that_a_walker_finds(step, pages):
    machine = Machine(Config(ncpus=1, recording=False))
    vm = machine.create_vm([Slot(0, 1 << 32, 0)])
    for page in range(pages):
        machine.access(vm, page * step)
        if page % 73 == 0 or page == pages - 1:
            assert table_bytes(page + 1, step) == walked(machine, vm)


@pytest.mark.parametrize("pattern", PATTERNS, ids=[pattern.name for pattern in PATTERNS])
def test_the_line_goes_through_what_was_counted(pattern):
    found = counted(pattern.step, 600)
    assert [pages for pages, _ in found] == [1 << i for i in range(len(found))]
    assert len(found) >= 8
    assert all(table_bytes(pages, pattern.step) == tables for pages, tables in found)
    assert line(pattern)[-1] == (pattern.pages, table_bytes(pattern.pages, pattern.step))


def test_ends_of_the_footprint_are_sums_by_hand():
    each_gib, each_mib, dense = PATTERNS
    assert (each_gib.pages, each_mib.pages, dense.pages) == (1 << 10, 1 << 19, 1 << 20)
    assert table_bytes(0, PAGE_SIZE) == 8192
    assert table_bytes(each_gib.pages, each_gib.step) == 8192 + 4096 * (1024 + 1024)
    assert table_bytes(each_mib.pages, each_mib.step) == 8192 + 4096 * (1024 + 512 * 1024)
    assert table_bytes(dense.pages, dense.step) == 8192 + 4096 * (4 + 2048)
    assert [amount(n) for n in (0, 8192, 1536, 1 << 32)] == ["0 B", "8 KiB", "1.5 KiB", "4 GiB"]


def test_the_storm_is_that_of_a_counter():
    one, cache, steps, refills = storm(24, 40, 14), 0, [], []
    for number, need in enumerate([2] * 24 + [1] * 40 + [0] * 14, 1):
        if cache < 2:
            refills.append((number, cache, 40 - cache))
            cache = 40
        steps += [cache, *(cache - i for i in range(1, need + 1))]
        cache -= need
        assert one.tables[number - 1] == need
    assert [objects for _, objects in one.steps] == [0, *steps, cache]
    assert [(r.fault, r.before, r.taken) for r in one.refills] == refills
    assert refills == [(1, 0, 40), (21, 0, 40), (56, 1, 39)]
    assert [place for place, _ in one.steps] == sorted(place for place, _ in one.steps)


def test_bounds_of_the_cache_are_the_kernels():
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(abort))) if isinstance(node, ast.Call)]
    (call,) = [c for c in calls if getattr(c.func, "id", "") == "mmu_topup_memory_cache"]
    least, most = call.args[2:]
    assert (storm().least, storm().most) == (least.value, KVM_NR_MEM_OBJS) == (2, 40)
    assert most.id == "KVM_NR_MEM_OBJS"


@pytest.mark.slow
def test_what_a_flush_drops_fits_the_tlb_and_what_is_missed_was_dropped():
    capacity = Config.tlb_sets * Config.tlb_ways
    for order in ("uniform", "round-robin"):
        found = lost(order)
        assert [one.guests for one in found] == [1, 2, 4, 8, 16, 32, 64, 128, 256] == list(GUESTS)
        assert all(0 <= one.missed <= one.dropped <= capacity for one in found)
    alone = lost("round-robin")[0]
    assert alone.missed == alone.dropped == 64  # one guest: all its pages fit, and all are touched again
    assert lost("round-robin")[-1].missed == 0  # in turn, 255 others with 40 pages each go through 512 entries first
    assert lost("uniform")[-1].dropped == capacity
    assert lost("uniform")[-1].missed < capacity / 10


def test_guest_time_is_a_sum_by_hand():
    old, new = prices(Cost(ns_per_read=10, us_per_kick=5), 20, 4)
    assert (old.policy, new.policy) == ("3.9", "5.18")
    assert [n for n, _ in old.line] == list(range(256, 513))
    walks = 4 * 20 * (3 * 4 + 3) * 10 / 1000  # CPUs, misses, reads of a walk through 3 and 3 levels, ns
    for n in (256, 300, 512):
        rate = 1000 / (sum((n - 3) / (n - i) for i in range(4, 256)))
        assert dict(new.line)[n] == pytest.approx(rate * walks)
        assert dict(old.line)[n] == pytest.approx(rate * (walks + 3 * 5))


# -- drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chart", CHARTS, ids=[chart.__name__ for chart in CHARTS])
def test_words_can_be_read(chart, size, theme):
    figure = chart(theme, size)
    assert not faults(figure, {"slide": 14, "column": 7}[size])
    assert figure.get_size_inches()[0] == {"slide": 12.8, "column": 3.5}[size]
    assert 20 < len(figure.kvmlab_title) <= 60
    assert len(figure.kvmlab_alt) > 150
    assert "Linux 3.9" in figure.kvmlab_source or NOTHING_PUBLISHED in figure.kvmlab_source


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("chart", "options"), ODD, ids=[f"{chart.__name__} {options}" for chart, options in ODD])
def test_words_can_be_read_for_other_values(chart, options, size):
    assert not faults(chart(size=size, **options), SIZES[size].small)


@pytest.mark.slow
def test_the_measure_sees_what_is_wrong():
    figure = footprint()
    figure.text(0.5, 0.5, "over one another", fontsize=20)
    figure.text(0.51, 0.51, "tiny", fontsize=13)
    figure.text(0.99, 0.3, "beyond the edge", fontsize=14)
    found = faults(figure, 14)
    assert any("over one another" in fault and "tiny" in fault and "overlap" in fault for fault in found)
    assert "13.0 pt: 'tiny'" in found
    assert "leaves the figure: 'beyond the edge'" in found


@pytest.mark.slow
@pytest.mark.parametrize("chart", CHARTS, ids=[chart.__name__ for chart in CHARTS])
def test_the_same_bytes_twice(chart):
    first, again = chart(), chart()
    assert to_bytes(first) == to_bytes(again)
    assert to_bytes(first, "png") == to_bytes(again, "png")
    assert to_bytes(first) != to_bytes(chart("dark"))


@pytest.mark.slow
def test_what_the_charts_say():
    def said(figure):
        return " ".join(text.get_text().replace("\n", " ") for text, _ in drawn(figure))

    assert "No rollover rate and no time per rollover is published" in said(cost()).replace("  ", " ")
    assert "exactly 0: no flush" in said(cost())
    assert "6.24" in said(cost())
    assert "a flush after 572 entries on average" in said(occupancy())
    assert "255 numbers are enough: no flush" in said(occupancy(guests=200))
    assert "The 15 numbers run out" in said(raster())
    assert "200 %: 8 MiB for 4 MiB" in said(footprint())
    assert "fewer than 2: fill it first" in said(cache_storm())


@pytest.mark.parametrize(
    ("chart", "options", "message"),
    [
        (raster, {"theme": "pink"}, "theme is 'pink'"),
        (cache_storm, {"size": "poster"}, "size is 'poster'"),
        (raster, {"guests": 0}, "guests is 0; allowed: 1 to 40"),
        (raster, {"vmid_bits": 6}, "vmid_bits is 6; allowed: 2 to 5"),
        (raster, {"order": "uniforme"}, "did you mean 'uniform'"),
        (occupancy, {"guests": 2001}, "guests is 2001; allowed: 1 to 2000"),
        (occupancy, {"entries": -1}, "entries is -1"),
        (occupancy, {"vmid_bits": 1}, "vmid_bits is 1"),
        (footprint, {"most": 0}, "most is 0; allowed: 1 to 16384"),
        (cache_storm, {"gib": 33}, "gib is 33; allowed: 1 to 32"),
        (cost, {"cpus": 65}, "cpus is 65; allowed: 1 to 64"),
        (cost, {"ns_per_read": -1}, "ns_per_read is -1"),
        (cost, {"accesses": 129}, "accesses is 129; allowed: 1 to 128"),
    ],
)
def test_bad_values_are_named(chart, options, message):
    with pytest.raises(InputError, match=message):
        chart(**options)


def test_steps_of_a_footprint_are_checked():
    with pytest.raises(InputError, match="step is 3"):
        table_bytes(1, 3)
    with pytest.raises(InputError, match="pages is 1025; allowed: 0 to 1024"):
        table_bytes(1025, PUD_SIZE)
