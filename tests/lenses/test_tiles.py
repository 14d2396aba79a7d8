"""Pictures of patches and kernels, pixel by pixel."""

import numpy as np

from filterscope.lenses.tiles import OUTSIDE, crop, signed, viewable


def test_a_small_field_is_enlarged_into_even_squares():
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    tile = crop(image, (2, 5), (1, 4), 12)
    np.testing.assert_array_equal(tile, image[2:5, 1:4].repeat(4, 0).repeat(4, 1))


def test_what_lies_outside_the_image_is_grey_and_the_rest_in_its_place():
    image = np.full((10, 10, 3), 9, np.uint8)
    tile = crop(image, (-2, 2), (8, 12), 8)
    assert (tile[:4] == OUTSIDE).all()
    assert (tile[:, 4:] == OUTSIDE).all()
    assert (tile[4:, :4] == 9).all()


def test_a_large_field_is_averaged():
    image = np.zeros((4, 4, 3), np.uint8)
    image[::2, ::2] = 200
    assert (crop(image, (0, 4), (0, 4), 2) == 50).all()


def test_a_box_that_is_not_square_keeps_its_aspect():
    tile = crop(np.full((20, 20, 3), 7, np.uint8), (0, 10), (0, 20), 20)
    assert (tile[5:15] == 7).all()
    assert (tile[:5] == OUTSIDE).all()


def test_signed_weights_are_blue_below_zero_and_red_above():
    colours = signed(np.array([-1.0, 0.0, 1.0], np.float32), 1.0).astype(int)
    assert colours[0, 2] > colours[0, 0] + 100
    assert colours[2, 0] > colours[2, 2] + 100
    assert colours[1].min() > 240


def test_grey_and_many_channels_can_be_viewed():
    assert viewable(np.zeros((2, 3, 1), np.uint8)).shape == (2, 3, 3)
    assert viewable(np.zeros((2, 3, 24), np.uint8)).shape == (2, 3, 3)
