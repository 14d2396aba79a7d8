"""What tasks hand on to each other comes back as it was."""

import numpy as np
import pytest

from filterscope.lenses.packing import packed, packed_pictures, unpacked, unpacked_pictures


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
