"""Test the flush figure as data: what is drawn, not how its pixels came out."""

from itertools import pairwise

import pytest

from kvmlab.engine import InputError
from kvmlab.figures import flush, style
from kvmlab.figures.files import to_bytes
from kvmlab.figures.show import show
from kvmlab.rollover import theory
from kvmlab.rollover.survey import Setting, survey

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
    drawn = lines(figure)
    for curve in data.curves:
        assert drawn[curve.name] == [point for point in curve.exact if point[0] > 255]
        assert list(curve.measured) in drawn.values()
    assert [(1.0, 0.0), (255.0, 0.0)] in drawn.values()
    assert any({x for x, _ in points} == {255.5} for points in drawn.values())
    colours = [line.get_color() for line in figure.axes[0].get_lines()]
    assert {style.tokens(theme)["rr"], style.tokens(theme)["uni"]} <= set(colours)


def test_what_the_figure_says(data: flush.FlushData, small: flush.FlushData) -> None:
    said = texts(flush.draw(data))
    for words in ("exactly 0", "255 | 256", "VMIDs run out", "one entry in 255, always", "512 guests: one in 353"):
        assert words in said
    assert "No flush up to 255; from 256 on the order decides" in said
    assert "No flush up to 15; from 16 on the order decides" in texts(flush.draw(small))
    sizes = [text.get_fontsize() * 100 / 72 for text in flush.draw(data).axes[0].texts]
    assert min(sizes) >= 20


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
    assert "Up to 255 guests: exactly 0. At 256 guests: 3.92 in turn (round robin), 0.64 in random order." in words
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


@pytest.mark.parametrize("key", ["round-robin", "uniform", "runs", "zipf"])
@pytest.mark.parametrize(("guests", "bits", "cpus"), [(300, 8, 1), (300, 8, 2), (100_000, 16, 1)])
def test_a_survey_is_drawn_with_its_band_and_its_marks(key: str, guests: int, bits: int, cpus: int) -> None:
    found = survey(Setting(guests, bits, key, cpus, 30_000))
    data = flush.of_survey(found)
    figure = flush.draw(data)
    drawn, said = lines(figure), texts(figure)
    counted = [(n, 1000 * run.rate) for n, run in found.runs.items()]
    assert counted in drawn.values()
    assert len(figure.axes[0].collections) == bool(found.band())
    assert data.title in said
    for curve in data.curves:
        assert curve.name in said
        if curve.exact:
            assert drawn[curve.name] == list(curve.exact)
    assert (len(data.curves) == 4) == (cpus == 1 or key == "zipf")
    assert f"Exactly 0 up to {(1 << bits) - 1} guests." in figure.kvmlab_alt
    names = [text for text in figure.axes[0].texts if text.get_text() in {curve.name for curve in data.curves}]
    heights = sorted(text.xy[1] for text in names)
    per_pixel = figure.axes[0].get_ylim()[1] / (flush.PLOT_HEIGHT * 720)
    assert min(b - a for a, b in pairwise(heights)) >= 0.99 * flush.NAME_HEIGHT * per_pixel
