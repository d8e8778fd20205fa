"""Test the flush figure as data: what is drawn, not how its pixels came out."""

from itertools import pairwise

import pytest

from kvmlab.engine import InputError
from kvmlab.figures import flush, style
from kvmlab.figures.files import to_bytes
from kvmlab.figures.show import show
from kvmlab.rollover import theory
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.rollover.survey import Setting, survey
from tests.figures.boxes import drawn, faults

pytestmark = pytest.mark.slow  # all together


@pytest.fixture(scope="module")
def data() -> flush.FlushData:
    return flush.flush_data(entries=20_000, progress=False)


@pytest.fixture(scope="module")
def small() -> flush.FlushData:
    return flush.flush_data(vmid_bits=4, entries=4_000, progress=False)


def lines(figure: style.Slide) -> dict[str, list[tuple[float, float]]]:
    return {
        line.get_label(): [(float(x), float(y)) for x, y in line.get_xydata()] for line in figure.axes[0].get_lines()
    }


def texts(figure: style.Slide) -> list[str]:
    return [text.get_text() for text in [*figure.texts, *figure.axes[0].texts]]


def test_lines_are_exact_for_every_number_of_guests(data: flush.FlushData) -> None:
    turn, random = data.curves
    assert turn.exact == tuple((n, 1000 / 255 if n > 255 else 0.0) for n in range(1, 513))
    assert [n for n, _ in random.exact] == list(range(1, 513))
    for n in (256, 257, 300, 512):
        assert dict(random.exact)[n] == pytest.approx(1000 / theory.uniform(n).mean)


def test_exactly_zero_up_to_255_and_a_cliff_at_256(data: flush.FlushData) -> None:
    for curve in data.curves:
        measured = dict(curve.measured)
        assert {255, 256, 512} <= measured.keys()
        assert {rate for n, rate in curve.exact + curve.measured if n <= 255} == {0.0}
        assert min(rate for n, rate in curve.exact + curve.measured if n > 255) > 0.5


def test_marks_lie_on_the_lines(data: flush.FlushData) -> None:
    turn, random = data.curves
    for n, rate in turn.measured:
        assert rate == pytest.approx(dict(turn.exact)[n], rel=1e-12)
    for n, rate in random.measured:
        low, high = theory.uniform(n).interval(data.entries, level=0.9999)
        assert 1000 * low - 0.05 <= rate <= 1000 * high + 0.05


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_drawing_holds_the_data(data: flush.FlushData, theme: str) -> None:
    figure = flush.draw(data, theme)
    kept = lines(figure)
    for curve in data.curves:
        assert kept[curve.name] == [point for point in curve.exact if point[0] > 255]
        assert kept[f"{curve.name}, counted"] == [point for point in curve.measured if point[0] > 255]
    assert kept["zero"] == [(1.0, 0.0), (255.0, 0.0)]
    assert {x for x, _ in kept["cliff"]} == {255.5}
    colours = [line.get_color() for line in figure.axes[0].get_lines()]
    assert {style.tokens(theme)["rr"], style.tokens(theme)["uni"]} <= set(colours)


@pytest.mark.parametrize("size", ["slide", "column"])
def test_words_are_large_whole_and_apart(data: flush.FlushData, small: flush.FlushData, size: str) -> None:
    for one in (data, small):
        assert faults(flush.draw(one, "light", size), style.SIZES[size].small) == []


def test_what_the_figure_says(data: flush.FlushData, small: flush.FlushData) -> None:
    said = texts(flush.draw(data))
    for words in ("exactly 0", "255 | 256", "VMIDs run out", "one entry in 255, always", "512 guests: one in 353"):
        assert words in said
    assert "No flush up to 255 guests; beyond, the order decides" in said
    assert "No flush up to 15 guests; beyond, the order decides" in texts(flush.draw(small))


def test_a_curve_has_a_second_sign(data: flush.FlushData) -> None:
    assert len({curve.marker for curve in data.curves}) == len(data.curves)
    assert {curve.name for curve in data.curves} <= set(texts(flush.draw(data)))


def test_the_same_bytes_twice(small: flush.FlushData) -> None:
    again = flush.flush_data(vmid_bits=4, entries=4_000, progress=False)
    assert again == small
    for kind in ("svg", "png"):
        assert to_bytes(flush.draw(small), kind) == to_bytes(flush.draw(again), kind)
    assert to_bytes(flush.draw(small)) != to_bytes(flush.draw(small, "dark"))


def test_words_for_those_who_cannot_see_it(data: flush.FlushData) -> None:
    figure = flush.draw(data)
    words = figure.kvmlab_alt
    assert "Up to 255 guests: exactly 0. At 256 guests: 3.92 in turn (round robin), 0.638 in random order." in words
    shown = show(figure, flush.draw(data, "dark"))._repr_mimebundle_()
    assert shown["text/plain"] == words
    assert shown["text/html"].count(f'alt="{words.replace(chr(39), "&#x27;")}"') == 2
    assert "data-jp-theme-light" in shown["text/html"]
    assert shown["text/html"].count("<img") == 2
    assert show(figure)._repr_mimebundle_()["text/html"].count("<img") == 1


def test_the_table_has_the_same_numbers(data: flush.FlushData) -> None:
    rows = [line.split() for line in flush.table(data).splitlines()]
    assert ["256", "3.922", "3.922", "0.638", f"{dict(data.curves[1].measured)[256]:.3f}"] in rows
    assert ["255", "0.000", "0.000", "0.000", "0.000"] in rows


def test_bad_values_are_named(small: flush.FlushData) -> None:
    with pytest.raises(InputError, match="theme is 'pink'; allowed: 'light' or 'dark'"):
        flush.draw(small, "pink")
    with pytest.raises(InputError, match="kind is 'gif'; allowed: svg, pdf, png"):
        to_bytes(flush.draw(small), "gif")
    for bad, said in (
        ({"vmid_bits": 1}, "vmid_bits is 1; allowed: 4 to 16"),
        ({"vmid_bits": 40}, "vmid_bits is 40; allowed: 4 to 16"),
        ({"entries": 0}, "entries is 0"),
        ({"entries": -1}, "entries is -1"),
        ({"most": 0}, "most is 0; allowed: 512 to 1024"),
        ({"most": 1025}, "most is 1025; allowed: 512 to 1024"),
        ({"orders": ("unifrm",)}, "schedule is 'unifrm'.*did you mean 'uniform'"),
        ({"orders": "uniform"}, "orders is 'uniform'; allowed: 1 to 4 names of schedules, each once"),
        ({"orders": ()}, "orders is "),
        ({"orders": ("uniform", "uniform")}, "orders is "),
        ({"size": "poster"}, "size is 'poster'; allowed: 'slide' or 'column'"),
    ):
        with pytest.raises(InputError, match=said):
            flush.flush_frequency(**bad)


@pytest.mark.parametrize("key", ["round-robin", "uniform", "runs", "zipf"])
@pytest.mark.parametrize(("guests", "bits", "cpus"), [(300, 8, 1), (300, 8, 2), (100_000, 16, 1)])
def test_a_survey_is_drawn_with_its_band_and_its_marks(key: str, guests: int, bits: int, cpus: int) -> None:
    found = survey(Setting(guests, bits, key, cpus, 30_000))
    data = flush.of_survey(found)
    figure = flush.draw(data)
    kept, said = lines(figure), texts(figure)
    enough = [n for n, run in found.runs.items() if run.gaps >= theory.MANY]
    counted = [(n, 1000 * found.runs[n].rate) for n in enough]
    [chosen] = [curve for curve in data.curves if curve.name == SCHEDULES[key].name] or [None]
    if chosen and chosen.measured:
        assert kept[f"{chosen.name}, counted"] == list(chosen.measured)
        assert set(counted) <= set(chosen.measured)
        assert all(rate > 0 for _, rate in chosen.measured)
    else:
        assert not counted
        assert "too few to count" in figure.kvmlab_source
    assert len(figure.axes[0].collections) == bool(found.band())
    assert data.title in said
    for curve in data.curves:
        assert curve.name in said
        if curve.exact:
            assert kept[curve.name] == list(curve.exact)
    assert (len(data.curves) == 4) == (cpus == 1 or key == "zipf")
    assert f"Exactly 0 up to {(1 << bits) - 1} guests." in figure.kvmlab_alt
    names = {text.get_text(): box for text, box in drawn(figure)}
    order = sorted(data.curves, key=lambda curve: curve.last)
    assert all(names[a.name].y1 <= names[b.name].y0 for a, b in pairwise(order))
    assert faults(figure, style.SIZES["slide"].small) == []
