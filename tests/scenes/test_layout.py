"""Tables stand where their address bits are, never over each other, and always in the same places."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kvmlab.scenes.fault.layout import TABLE_X, lay_out

PATHS = st.sets(st.tuples(st.integers(0, 1023), st.integers(0, 511), st.integers(0, 511)), max_size=12)


@given(PATHS, st.randoms(use_true_random=False))
def test_the_same_tree_whatever_the_order(paths, random):
    shuffled = list(paths)
    random.shuffle(shuffled)
    assert lay_out(paths, (), 180, 606) == lay_out(shuffled, (), 180, 606)


@given(PATHS)
def test_nothing_overlaps_and_every_row_is_there(paths):
    tree = lay_out(paths, (), 180, 606)
    for column in TABLE_X:
        tables = sorted((t for t in tree.tables if t.x == column), key=lambda t: t.y)
        for upper, lower in pairwise(tables):
            assert upper.y + upper.height < lower.y
    for table in tree.tables:
        edges = [row.y for row in table.rows]
        assert edges == sorted(edges)
        assert all(table.y < y < table.y + table.height - 20 for y in edges)
        assert table.y + table.height <= 180 + tree.height
    assert {row.path for table in tree.tables for row in table.rows if len(row.path) == 3} == paths


def test_gaps_say_which_entries_stay_empty():
    tree = lay_out({(2, 0, 5), (2, 511, 7)}, (), 180, 606)
    gaps = {table.path: [words for _, words in table.gaps] for table in tree.tables}
    assert gaps == {(): ["0–1 empty", "3–1023 empty"], (2,): ["1–510 empty"], (2, 0): [], (2, 511): []}
