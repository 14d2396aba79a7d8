"""Running statistics against NumPy on all values at once."""

import numpy as np
import pytest
import torch

from filterscope.lenses import statistics
from filterscope.lenses.statistics import BatchReader, NotFinite, UnitStatistics, fold, pack, unpack


def scanned(maps: torch.Tensor, *, batch: int, strongest: int = 3, labels=None, classes: int = 0) -> UnitStatistics:
    """Statistics of maps (image, row, column, unit), read in batches."""
    one = UnitStatistics(maps.shape[3], strongest, classes)
    for start in range(0, len(maps), batch):
        ids = range(start, min(start + batch, len(maps)))
        reader = BatchReader(one, ids, None if labels is None else labels[list(ids)])
        reader.read(0, maps[start : start + batch])
        reader.finish()
    return one


@pytest.fixture
def maps() -> torch.Tensor:
    return torch.randn(23, 7, 5, 11, generator=torch.Generator().manual_seed(3)) * 2 - 0.5


@pytest.mark.parametrize("batch", [1, 4, 23])
@pytest.mark.parametrize("block", [1, 2**20])
def test_moments_and_firing_equal_those_of_all_values_at_once(maps, batch, block, monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK_BYTES", block)
    one = scanned(maps, batch=batch)
    flat = maps.double().numpy().reshape(-1, 11)
    assert one.positions == len(flat)
    assert one.images == 23
    np.testing.assert_allclose(one.mean, flat.mean(0), rtol=1e-6)
    np.testing.assert_allclose(one.std, flat.std(0), rtol=1e-6)
    np.testing.assert_array_equal(one.above, (flat > 0).sum(0))
    np.testing.assert_array_equal(one.images_above, (maps.numpy() > 0).any((1, 2)).sum(0))


@pytest.mark.parametrize("batch", [1, 4, 23])
def test_the_strongest_are_those_of_a_full_sort_with_their_places(maps, batch):
    one = scanned(maps, batch=batch)
    peaks = maps.numpy().max((1, 2))
    for unit in range(11):
        best = sorted(range(23), key=lambda image: (-peaks[image, unit], image))[:3]
        assert one.image[unit].tolist() == best
        for rank, image in enumerate(best):
            assert one.value[unit, rank] == peaks[image, unit]
            place = np.unravel_index(maps[image, :, :, unit].numpy().argmax(), (7, 5))
            assert (one.y[unit, rank], one.x[unit, rank]) == place


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_equal_images_rank_in_their_order_and_equal_positions_in_reading_order(batch):
    maps = torch.zeros(8, 4, 4, 2)
    maps[:, 1, 3, :] = 5.0
    maps[:, 2, 0, :] = 5.0
    one = scanned(maps, batch=batch)
    assert one.image.tolist() == [[0, 1, 2]] * 2
    assert (one.y == 1).all()
    assert (one.x == 3).all()


def test_fewer_images_than_places_leave_places_empty():
    one = scanned(torch.randn(2, 3, 3, 4), batch=2)
    assert (one.image[:, 2] == -1).all()
    assert np.isneginf(one.value[:, 2]).all()


def test_chunks_folded_in_order_equal_one_pass(maps):
    whole = scanned(maps, batch=5)
    parts = []
    for start, stop in ((0, 10), (10, 23)):
        one = UnitStatistics(11, 3)
        reader = BatchReader(one, range(start, stop), None)
        reader.read(0, maps[start:stop])
        reader.finish()
        parts.append(pack({"layer|odd name": one}))
    merged = unpack(fold(*parts))["layer|odd name"]
    np.testing.assert_array_equal(merged.image, whole.image)
    np.testing.assert_array_equal(merged.y, whole.y)
    np.testing.assert_array_equal(merged.above, whole.above)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(merged.std, whole.std, rtol=1e-6)


def test_a_large_offset_does_not_swallow_a_small_spread():
    # Sums of plain squares in float32 would give 0 or some tens here.
    maps = -1000 + 0.01 * torch.randn(8, 30, 30, 2, generator=torch.Generator().manual_seed(0))
    one = scanned(maps, batch=4)
    np.testing.assert_allclose(one.std, maps.double().numpy().reshape(-1, 2).std(0), rtol=1e-2)
    assert one.above.tolist() == [0, 0]


def test_class_means_are_means_over_the_images_of_a_class(maps):
    labels = np.arange(23) % 4 - 1  # -1: has no class
    one = scanned(maps, batch=6, labels=labels, classes=3)
    by_image = maps.double().numpy().mean((1, 2))
    for label in range(3):
        expected = by_image[labels == label].mean(0)
        np.testing.assert_allclose(one.class_sum[label] / one.class_images[label], expected, rtol=1e-5)


def test_an_image_counts_once_at_its_largest_over_all_calls():
    first, second = torch.full((2, 3, 3, 1), 1.0), torch.full((2, 2, 2, 1), 0.5)
    second[1, 1, 0, 0] = 7.0
    one = UnitStatistics(1, 3)
    reader = BatchReader(one, [0, 1], None)
    reader.read(0, first)
    reader.read(1, second)
    reader.finish()
    assert one.image.tolist() == [[1, 0, -1]]
    assert one.value[0, :2].tolist() == [7.0, 1.0]
    assert (one.call[0, 0], one.y[0, 0], one.x[0, 0]) == (1, 1, 0)
    assert one.positions == 2 * 9 + 2 * 4
    assert one.images == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_names_the_row(maps, value):
    maps[2, 3, 1, 4] = value
    with pytest.raises(NotFinite) as caught:
        scanned(maps, batch=23)
    assert caught.value.row == 2


@pytest.mark.parametrize("layout", ["channels_last", "contiguous", "bfloat16"])
def test_memory_layout_and_precision_change_no_place(maps, layout):
    nchw = maps.permute(0, 3, 1, 2).contiguous()
    if layout == "channels_last":
        nchw = nchw.contiguous(memory_format=torch.channels_last)
    if layout == "bfloat16":
        nchw = nchw.bfloat16()
    seen = scanned(nchw.permute(0, 2, 3, 1), batch=7)
    expected = scanned(nchw.float().permute(0, 2, 3, 1).contiguous(), batch=7)
    np.testing.assert_array_equal(seen.image, expected.image)
    np.testing.assert_array_equal(seen.y, expected.y)
    np.testing.assert_allclose(seen.mean, expected.mean, rtol=1e-5)


def test_histograms_and_likeness_are_of_each_images_largest_and_of_positions_of_all_calls():
    rng = torch.Generator().manual_seed(5)
    calls = [torch.randn(40, 3, 3, 4, generator=rng) * 5, torch.randn(40, 1, 2, 4, generator=rng)]
    one = UnitStatistics(4, 2)
    for start in (0, 13, 26):
        stop = 40 if start == 26 else start + 13
        reader = BatchReader(one, range(start, stop), None)
        for number, maps in enumerate(calls):
            given = maps[start:stop].clone()
            reader.read(number, given)
            # As a ReLU in place after the layer would.
            given.relu_()
        reader.finish()
    one = unpack(pack({"a": one}))["a"]
    every = np.concatenate([maps.numpy().reshape(40, -1, 4) for maps in calls], axis=1)
    peaks = every.max(1)
    # Maps of up to three by three positions are taken whole.
    for histograms, values in ((one.image_values, peaks), (one.position_values, every.reshape(-1, 4))):
        for unit in range(4):
            width, first, counts = histograms.of(unit)
            edges = (first + np.arange(len(counts) + 1)) * width
            assert list(counts) == np.histogram(values[:, unit].astype(float), edges)[0].tolist()
            assert sum(counts) == len(values)
    correlation = np.corrcoef(peaks.T.astype(float))
    found = list(one.likeness.most_alike(8))
    assert len(found) == 4 * 3
    for unit, other, similarity in found:
        assert similarity == pytest.approx(correlation[unit, other], abs=2e-6)


def test_a_layer_that_a_batch_does_not_reach_counts_nothing():
    one = UnitStatistics(2, 1)
    BatchReader(one, [0, 1], None).finish()
    assert not one.image_values.counts.any()
    assert one.likeness.images == 0
