"""Histograms of a stream against NumPy's of all values at once, with the final edges."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filterscope.lenses.histogram import BINS, Histograms, at_grid

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def counted(*batches: np.ndarray) -> Histograms:
    one = Histograms(batches[0].shape[1])
    for batch in batches:
        one.add(torch.from_numpy(batch.astype(np.float32)))
    return one


def same(one: Histograms, other: Histograms) -> bool:
    return [one.of(unit) for unit in range(one.units)] == [other.of(unit) for unit in range(other.units)]


def check_against_numpy(one: Histograms, values: np.ndarray) -> None:
    for unit in range(one.units):
        width, first, counts = one.of(unit)
        edges = (first + np.arange(len(counts) + 1)) * width
        # Every value is within, and none on the last edge, which NumPy alone would count.
        assert edges[0] <= values[:, unit].min()
        assert values[:, unit].max() < edges[-1]
        expected, _ = np.histogram(values[:, unit].astype(np.float64), edges)
        assert list(counts) == expected.tolist()
        assert counts[0]
        assert counts[-1]


def test_counts_are_those_of_numpy_whatever_the_scale():
    values = (np.random.default_rng(0).standard_normal((500, 9)) * 10.0 ** np.arange(-4, 5)).astype(np.float32)
    one = counted(values)
    check_against_numpy(one, values)
    used = [len(one.of(unit)[2]) for unit in range(9)]
    assert min(used) > 16
    assert max(used) <= BINS


@given(st.lists(st.lists(FLOATS, min_size=2, max_size=2), min_size=1, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_neither_order_nor_batches_nor_chunks_change_anything(rows, chance):
    values = np.array(rows, np.float32)
    whole = counted(values)
    check_against_numpy(whole, values)
    shuffled = values[chance.sample(range(len(values)), len(values))]
    parts = np.array_split(shuffled, chance.randint(1, 4))
    assert same(counted(*parts), whole)
    merged = Histograms(2)
    for part in parts:
        packed = counted(part).to_arrays()
        merged.merge(Histograms.from_arrays(packed))
    assert same(merged, whole)
    assert (merged.exponent == whole.exponent).all()


@pytest.mark.parametrize(
    "column",
    [
        [0.0] * 5,
        [-0.0, 0.0],
        [7.0] * 4,
        [-3.0] * 4,
        [1e-30, 2e-30, -1e-30],
        [1e30, -1e30],
        [1e30, 1e-30, -1e-30, 0.0],
        [-1e-45, 3e38],
        [float(edge) for edge in range(-16, 17)],
        [2.0**power for power in range(-3, 12)],
        [np.nextafter(np.float32(32), np.float32(0)), 32.0],
    ],
    ids=str,
)
def test_zeros_constants_edges_tiny_and_huge_values(column):
    values = np.array(column, np.float32)[:, None]
    check_against_numpy(counted(values), values)
    assert same(counted(*values[:, None]), counted(values))
    assert same(counted(*values[::-1, None]), counted(values))


def test_the_width_follows_from_the_largest_absolute_value_alone():
    for largest, width in ((16.0, 1.0), (31.99, 1.0), (32.0, 2.0), (-32.0, 2.0), (0.75, 2.0**-5)):
        assert counted(np.array([[largest], [0.01]])).of(0)[0] == width
    assert counted(np.zeros((3, 1))).of(0) == (1.0, 0, (3,))
    assert Histograms(1).of(0) == (1.0, 0, ())


def test_merging_leaves_the_other_as_it_was():
    small, large = np.array([[0.5], [-0.75]]), np.array([[100.0]])
    other = counted(small)
    counted(large).merge(other)
    assert same(other, counted(small))


def test_a_unit_with_large_values_leaves_the_bins_of_the_others_alone():
    quiet = np.random.default_rng(0).random((40, 1)).astype(np.float32)
    loud = np.full((40, 1), 1e20, np.float32)
    assert counted(np.hstack([quiet, loud])).of(0) == counted(quiet).of(0)


@pytest.mark.parametrize("shape", [(7, 5), (112, 112), (1, 1), (1, 40), (197, 1), (2, 9), (3, 3), (14, 2)])
def test_the_grid_takes_up_to_nine_places_evenly_apart_and_in_the_middle(shape):
    height, width = shape
    places = torch.arange(height * width, dtype=torch.float32).reshape(1, height, width, 1).repeat(2, 1, 1, 2)
    taken = at_grid(places).numpy()
    assert len(taken) == 2 * len(set(taken[:, 0]))
    y, x = np.divmod(taken[: len(taken) // 2, 0], width)
    rows, columns = (np.unique(axis) for axis in (y, x))
    assert min(9, height * width) * 2 / 3 <= len(rows) * len(columns) <= 9
    for axis, length in ((rows, height), (columns, width)):
        assert len(set(np.diff(axis))) <= 1
        assert abs(axis[0] - (length - 1 - axis[-1])) <= 1
        assert len(axis) == length or np.diff(axis, prepend=0, append=length - 1).max() <= -(-length // 2)


def test_the_grid_is_a_copy_that_later_work_in_place_does_not_reach():
    for shape in ((2, 1, 1, 4), (2, 3, 3, 4), (2, 8, 8, 4)):
        maps = torch.randn(shape)
        taken = at_grid(maps)
        before = taken.clone()
        maps.relu_()
        assert torch.equal(taken, before)
