"""Images kept for a second look: the same pixels, decoded once, within their bytes."""

import numpy as np

from filterscope.images import Preprocessing, open_images
from filterscope.images.shelf import Shelf

SIZE = Preprocessing((8, 8))
PHOTOS = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)


class Counting:
    """A source that notes what is loaded; image 3 cannot be read."""

    def __init__(self, photos):
        self._inner = open_images(photos)
        self.loaded: list[int] = []
        self.digest, self.labels = self._inner.digest, self._inner.labels

    def __len__(self):
        return len(self._inner)

    def name(self, index):
        return self._inner.name(index)

    def label(self, index):
        return self._inner.label(index)

    def load(self, index):
        self.loaded.append(index)
        if index == 3:
            from filterscope.errors import BadImages

            raise BadImages("broken")
        return self._inner.load(index)


def test_what_was_read_is_given_again_and_what_cannot_be_read_is_left_out():
    source, shelf = Counting(PHOTOS), Shelf()
    first = dict(shelf.read(source, [1, 3, 5], SIZE))
    again = dict(shelf.read(source, [5, 6, 1], SIZE))
    assert sorted(first) == [1, 5]
    assert sorted(again) == [1, 5, 6]
    assert source.loaded == [1, 3, 5, 6]
    for found in (first, again):
        for image, pixels in found.items():
            np.testing.assert_array_equal(pixels, PHOTOS[image])


def test_other_images_under_the_same_number_are_others():
    shelf = Shelf()
    dict(shelf.read(Counting(PHOTOS), [1], SIZE))
    other = dict(shelf.read(Counting(255 - PHOTOS), [1], SIZE))
    np.testing.assert_array_equal(other[1], 255 - PHOTOS[1])
    smaller = dict(shelf.read(Counting(PHOTOS), [1], Preprocessing((4, 4))))
    assert smaller[1].shape == (4, 4, 3)


def test_no_more_than_so_many_bytes_are_kept_and_the_oldest_goes_first():
    source, shelf = Counting(PHOTOS), Shelf(limit=3 * 8 * 8 * 3)
    dict(shelf.read(source, [0, 1, 2], SIZE))
    # 0 is asked for again, so that 1 is the oldest when 4 comes.
    dict(shelf.read(source, [0, 4], SIZE))
    dict(shelf.read(source, [0, 2, 4], SIZE))
    assert source.loaded == [0, 1, 2, 4]
    dict(shelf.read(source, [1], SIZE))
    assert source.loaded[-1] == 1
