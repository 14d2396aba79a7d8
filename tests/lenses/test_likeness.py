"""The sketch of responses against NumPy's correlation of all of them."""

import numpy as np
import pytest

from filterscope.lenses.likeness import BUCKETS, Likeness


def responses(images: int, units: int, *, seed: int = 0) -> np.ndarray:
    """Units that share few causes: correlations of every size, of both signs."""
    rng = np.random.default_rng(seed)
    causes, weights = rng.standard_normal((images, 4)), rng.standard_normal((4, units))
    return (causes @ weights + rng.standard_normal((images, units))).astype(np.float32)


def sketched(values: np.ndarray, *, batch: int = 32, ids: np.ndarray | None = None) -> Likeness:
    one = Likeness(values.shape[1])
    ids = np.arange(len(values)) if ids is None else ids
    for start in range(0, len(values), batch):
        one.add(ids[start : start + batch], values[start : start + batch])
    return one


def matrix(one: Likeness) -> np.ndarray:
    """Every correlation that it tells, NaN elsewhere."""
    found = np.full((one.units, one.units), np.nan)
    for unit, other, similarity in one.most_alike(one.units):
        found[unit, other] = similarity
    return found


def off_diagonal(square: np.ndarray) -> np.ndarray:
    return square[~np.eye(len(square), dtype=bool)]


@pytest.mark.parametrize("images", [3, 50, BUCKETS])
@pytest.mark.parametrize("batch", [1, 32, 2000])
def test_up_to_1024_images_it_is_pearsons_r(images, batch):
    values = responses(images, 20)
    found = off_diagonal(matrix(sketched(values, batch=batch)))
    np.testing.assert_allclose(found, off_diagonal(np.corrcoef(values.T.astype(float))), atol=2e-6)


def test_the_most_alike_are_the_first_of_a_full_sort():
    values = responses(200, 30)
    r = np.corrcoef(values.T.astype(float))
    np.fill_diagonal(r, -2)
    found: dict[int, list[int]] = {}
    for unit, other, _ in sketched(values).most_alike(8):
        found.setdefault(unit, []).append(other)
    assert found == {unit: np.argsort(-r[unit])[:8].tolist() for unit in range(30)}


def test_beyond_1024_images_errors_are_small_and_have_no_direction():
    # Forty draws: the same responses under other ids have other signs.
    values = responses(5000, 12, seed=1)
    truth = off_diagonal(np.corrcoef(values.T.astype(float)))
    errors = np.array(
        [
            off_diagonal(matrix(sketched(values, batch=5000, ids=np.arange(5000) + draw * 5000))) - truth
            for draw in range(40)
        ]
    )
    promised = (1 - truth**2) / np.sqrt(BUCKETS)
    spread = np.sqrt(np.mean((errors / promised) ** 2))
    assert 0.8 < spread < 1.1
    # The mean of forty lies within four standard errors of nothing.
    assert (abs(errors.mean(0)) < 4 * promised / np.sqrt(40) + 1e-3).all()


@pytest.mark.parametrize("images", [100, 3000])
def test_chunks_merged_equal_one_pass_and_survive_being_stored(images):
    values = responses(images, 15)
    cut = images // 3
    first = sketched(values[:cut])
    for start in (cut, 2 * cut):
        stop = images if start == 2 * cut else 2 * cut
        later = sketched(values[start:stop], ids=np.arange(start, stop))
        first.merge(Likeness.from_arrays(later.to_arrays()))
    np.testing.assert_allclose(matrix(first), matrix(sketched(values)), atol=2e-5)
    empty = Likeness(15)
    empty.merge(first)
    np.testing.assert_array_equal(matrix(empty), matrix(first))


def test_a_small_spread_on_a_large_mean_is_kept():
    values = (1000 + 0.01 * responses(600, 10)).astype(np.float32)
    # The first batch lies elsewhere: its mean is a bad shift.
    values[:4] -= 50
    expected = off_diagonal(np.corrcoef(values.T.astype(float)))
    np.testing.assert_allclose(off_diagonal(matrix(sketched(values, batch=4))), expected, atol=1e-5)
    late = off_diagonal(matrix(sketched(values[4:], batch=4)))
    np.testing.assert_allclose(late, off_diagonal(np.corrcoef(values[4:].T.astype(float))), atol=1e-5)


def test_a_large_mean_costs_nothing_where_images_share_a_bucket():
    values = (10_000 + 0.01 * responses(3000, 10)).astype(np.float32)
    # Near each other, so that the difference is exact.
    around_zero = values - np.float32(10_000)
    np.testing.assert_allclose(matrix(sketched(values)), matrix(sketched(around_zero)), atol=2e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_tiny_and_huge_responses_have_the_correlations_of_ordinary_ones(scale):
    values = responses(60, 8)
    scaled = (values.astype(np.float64) * scale).astype(np.float32)
    np.testing.assert_allclose(matrix(sketched(scaled)), matrix(sketched(values)), atol=2e-6)


def test_units_that_never_change_have_no_relations():
    values = responses(40, 6)
    values[:, 2] = 0.1
    values[:, 4] = 0
    # One step of float32 up and down is the rounding of the network.
    values[:, 5] = np.where(np.arange(40) % 2, 1000, np.nextafter(np.float32(1000), np.float32(2000)))
    for images in (40, 3000):
        many = np.resize(values, (images, 6))
        rows = list(sketched(many).most_alike(8))
        assert {unit for unit, _, _ in rows} == {other for _, other, _ in rows} == {0, 1, 3}
        assert len(rows) == 3 * 2


@pytest.mark.parametrize("images", [0, 1, 2])
def test_of_fewer_than_three_images_nothing_follows(images):
    assert list(sketched(responses(images, 5)).most_alike(8)) == []


@pytest.mark.parametrize("images", [30, 4000])
def test_equal_units_have_1_and_of_equals_the_lower_index_comes_first(images):
    values = np.repeat(responses(images, 1), 37, axis=1)
    values[:, 5] *= -3
    # Equal but for the rounding of float32: still a tie.
    values[:, 2] *= np.float32(0.3)
    rows = list(sketched(values).most_alike(8))
    assert [other for unit, other, _ in rows if unit == 0] == [1, 2, 3, 4, 6, 7, 8, 9]
    assert {similarity for unit, other, similarity in rows if 5 not in (unit, other)} == {1.0}
    assert {similarity for unit, _, similarity in rows if unit == 5} == {-1.0}


def test_a_layer_of_one_unit_has_no_others():
    assert list(sketched(responses(10, 1)).most_alike(8)) == []


def test_an_early_chunk_is_stored_small():
    kept = sketched(responses(256, 100)).to_arrays()
    assert kept["sketch"].nbytes == 256 * 100 * 4
