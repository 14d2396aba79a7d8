"""What tasks hand on to each other comes back as it was."""

import numpy as np
import pytest

from filterscope.lenses.packing import packed, packed_pictures, shares, unpacked, unpacked_pictures


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_facts_and_pictures_come_back_as_they_were(compressed):
    arrays = {"conv 1|mean": np.array([0.1, -np.inf, np.nan], np.float32), "conv 1|images": np.int64([[3]])}
    given = unpacked(packed(arrays, compressed=compressed))
    assert list(given) == list(arrays)
    for name, array in arrays.items():
        assert given[name].dtype == array.dtype
        np.testing.assert_array_equal(given[name], array)
    facts = [{"unit": 0, "value": 0.1, "status": None}, "é"]
    pictures = [np.full((2, 3, 3), number, np.uint8) for number in (7, 250)]
    same, tiles = unpacked_pictures(packed_pictures(facts, pictures, compressed=compressed))
    assert same == facts
    np.testing.assert_array_equal(tiles, pictures)
    assert len(unpacked_pictures(packed_pictures([], []))[1]) == 0


def test_equal_pictures_take_less_room_when_compressed():
    pictures = [np.zeros((64, 64, 3), np.uint8)] * 4
    assert len(packed_pictures([], pictures, compressed=True)) < len(packed_pictures([], pictures)) / 10


def test_shares_of_each_units_largest_come_back_to_a_two_thousandth_of_it():
    values = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32) * np.logspace(-6, 6, 6, dtype="f")
    values[..., 2] = 0
    parts, largest = shares(values)
    assert parts.dtype == np.float16
    for unit in range(6):
        most = max(abs(float(one)) for one in values[..., unit].flat)
        assert largest[unit] == np.float32(most)
        back = parts[..., unit].astype(np.float32) * largest[unit]
        assert np.abs(back - values[..., unit]).max() <= most / 2000
    assert shares(values[:0])[1].tolist() == [0] * 6
