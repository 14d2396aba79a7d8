"""Alterations take what they say from an image and nothing else: colour, detail, order, phase, surround, a tile."""

from functools import partial

import numpy as np
import pytest
from scipy.fft import dctn

from filterscope.images.alterations import (
    TILES,
    blurred,
    complement,
    occluded,
    scrambled,
    shuffled,
    upside_down,
    windowed,
    without_colour,
)
from filterscope.lenses.alteration_series import Alteration, alterations

GREY = 128


def noise(height: int = 24, width: int = 24, channels: int = 3, spread: int = 128, count: int = 2) -> np.ndarray:
    """Random bytes, no further than ``spread`` from mid grey."""
    dice = np.random.default_rng(height * 1000 + width * 10 + channels)
    return dice.integers(128 - spread, 128 + spread, (count, height, width, channels)).astype(np.uint8)


@pytest.mark.parametrize(
    "size", [(24, 24, 3), (24, 24, 1), (16, 16, 24), (3, 3, 3), (1, 5, 3), (5, 1, 1), (8, 20, 3), (21, 13, 2)]
)
def test_every_alteration_of_every_size_gives_new_bytes_and_leaves_its_argument_as_it_was(size):
    images = noise(*size)
    images.flags.writeable = False
    before = images.copy()
    for way in alterations(max(size[:2])):
        found = way(images)
        assert (found.shape, found.dtype) == (images.shape, np.uint8)
        assert not np.shares_memory(found, images) or way.kind == "turn"
        assert (images == before).all()


@pytest.mark.parametrize("way", ["shuffle", "phase", "tile"])
@pytest.mark.parametrize("size", [(24, 24), (23, 31)])
@pytest.mark.parametrize("side", [8.0, 13.0, 20.0])
def test_what_lies_outside_of_the_central_square_stays(way, size, side):
    images = noise(*size)
    for first in (1, 2, 3):
        changed = (Alteration(way, side, first, 2)(images) != images).any((0, 3))
        for axis, extent in enumerate(size):
            touched = np.flatnonzero(changed.any(1 - axis))
            if first > 1 or way != "shuffle":
                middle = (touched.min() + touched.max() + 1) / 2 if way != "tile" else extent / 2
                assert abs(middle - extent / 2) <= 1
                assert abs(touched + 0.5 - extent / 2).max() <= side / 2 + 1


def test_images_of_a_batch_are_altered_as_they_are_alone_but_for_the_draw():
    images = noise(count=3)
    for way in alterations(24):
        # Orders and phases are drawn for each image: the first of a batch is as if it were alone.
        one = way(images[:1])
        assert (way(images)[:1] == one).all()
        if way.kind not in ("shuffle", "phase"):
            assert (way(images[1:2]) == way(images)[1:2]).all()


@pytest.mark.parametrize("channels", [1, 3, 24])
def test_without_colour_all_channels_are_their_mean_and_once_is_enough(channels):
    images = noise(channels=channels)
    grey = without_colour(images)
    assert (grey == grey[..., :1]).all()
    # By whole numbers, as exact as can be: twice the rounding error is at most one part in a channel.
    assert (np.abs(2 * channels * grey[..., 0].astype(int) - 2 * images.astype(int).sum(3)) <= channels).all()
    assert (without_colour(grey) == grey).all()
    assert channels != 1 or (grey == images).all()


def test_the_complement_of_the_complement_is_the_image_where_nothing_is_cut_off():
    # Multiples of three: the mean of three is a whole number.
    images = (noise(spread=20) // 3 * 3).astype(np.uint8)
    opposed = complement(images)
    assert (opposed.sum(3) == images.sum(3)).all()
    assert (complement(opposed) == images).all()
    red = np.full((1, 2, 2, 3), (180, 120, 90), np.uint8)
    assert (complement(red) == (80, 140, 170)).all()
    grey = without_colour(noise())
    assert (complement(grey) == grey).all()
    assert complement(np.full((1, 1, 1, 3), (0, 0, 255), np.uint8)).tolist() == [[[[170, 170, 0]]]]


@pytest.mark.parametrize("diameter", [4.0, 10.0, 16.0])
def test_a_window_shows_what_is_within_it_and_grey_beyond_and_nothing_between_is_new(diameter):
    images = noise(33, 33)
    shown = windowed(images, diameter).astype(int)
    away = np.hypot(*(np.mgrid[:33, :33] - 16))
    assert (shown == images)[:, away < diameter / 2 * 0.8].all()
    assert (shown == GREY)[:, away > diameter / 2 * 1.45].all()
    # Everywhere between grey and what was there.
    low, high = np.minimum(images, GREY), np.maximum(images, GREY)
    assert ((low <= shown) & (shown <= high)).all()


def test_windows_of_growing_diameter_show_more_and_at_last_all():
    images = noise(17, 17)
    left = [np.abs(windowed(images, diameter) - images.astype(float)).mean() for diameter in (2, 4, 8, 16, 32, 64)]
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


def test_a_blur_keeps_flat_images_and_the_mean_and_weakens_waves_as_a_gaussian_does():
    flat = np.full((1, 9, 9, 3), (10, 128, 255), np.uint8)
    assert (blurred(flat, 3.0) == flat).all()
    # A mirrored image is a sum of cosines; each is weakened by exp(-(2 pi f sigma)^2 / 2).
    wave = np.rint(128 + 100 * np.cos(np.pi * 4 * (np.arange(32) + 0.5) / 32)).astype(np.uint8)
    images = np.broadcast_to(wave[None, None, :, None], (1, 32, 32, 1))
    for sigma in (1.0, 2.0, 3.0):
        found = dctn(blurred(images, sigma)[0, :, :, 0] - 128.0, norm="ortho")[0, 4]
        before = dctn(images[0, :, :, 0] - 128.0, norm="ortho")[0, 4]
        assert found / before == pytest.approx(np.exp(-((2 * np.pi * 4 / 64 * sigma) ** 2) / 2), abs=0.02)
    assert abs(blurred(noise(), 2.0).mean() - noise().mean()) < 0.5
    assert (blurred(noise(), 0.05) == noise()).all()


@pytest.mark.parametrize(("side", "cuts"), [(24.0, 2), (24.0, 4), (16.0, 8), (7.0, 2), (3.0, 8), (5.5, 4)])
def test_shuffled_tiles_are_the_same_ones_and_none_is_in_its_place(side, cuts):
    number = np.arange(24 * 24).reshape(24, 24)
    planes = np.stack([number // 256, number % 256, 7 * number % 256], -1).astype(np.uint8)
    images = np.stack([planes, planes[::-1]])
    found = shuffled(images, side, cuts, 3)
    for one, other in zip(images, found, strict=True):
        before, after = (sorted(map(tuple, some.reshape(-1, 3).tolist())) for some in (one, other))
        assert before == after
        assert len(set(before)) == 24 * 24
        moved = (one != other).any(2)
        # Every pixel of the square is one of another tile: all of it has moved, and nothing around.
        length = round(moved.sum() ** 0.5)
        first = np.flatnonzero(moved.any(1))[0]
        assert moved[first : first + length, first : first + length].all()
        assert moved.sum() == length**2
        assert length == cuts * max(1, int(side / cuts)) or (side < cuts and length == cuts)


def test_tiles_stay_whole_and_each_image_and_draw_has_its_own_order():
    numbers = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1) + np.arange(6, dtype=np.uint8)[:, None, None, None]
    images = numbers.repeat(3, 1).repeat(3, 2)
    found = shuffled(images, 12.0, 4, 0)
    tiles = found.reshape(6, 4, 3, 4, 3)
    assert (tiles == tiles[:, :, :1, :, :1]).all()
    orders = tiles[:, :, 0, :, 0].reshape(6, 16) - np.arange(6)[:, None]
    assert len({tuple(order) for order in orders.tolist()}) == 6
    assert (shuffled(images, 12.0, 4, 0) == found).all()
    assert (shuffled(images, 12.0, 4, 1) != found).any()


@pytest.mark.parametrize("alter", [partial(shuffled, cuts=4), partial(scrambled, cuts=1), partial(scrambled, cuts=4)])
def test_what_is_drawn_for_an_image_does_not_depend_on_those_beside_it(alter):
    """Or the same parts of images in another order would be altered otherwise."""
    images = noise(spread=24, count=5)
    order = [3, 0, 4, 1]
    assert (alter(images[order], side=24.0, draw=1) == alter(images, side=24.0, draw=1)[order]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_what_has_no_two_tiles_cannot_be_shuffled(size):
    assert (shuffled(noise(*size), 9.0, 2, 0) == noise(*size)).all()


@pytest.mark.parametrize(("side", "cuts"), [(24.0, 1), (24.0, 4), (16.0, 8), (15.0, 1), (9.0, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_scrambled_tiles_keep_mean_and_spectrum_and_lose_their_phase(side, cuts, channels):
    images = noise(channels=channels, spread=24)
    found = scrambled(images, side, cuts, 5)
    tile = max(2, int(side / cuts))
    first = (24 - cuts * tile) // 2
    for row in range(cuts):
        for column in range(cuts):
            rows, columns = (slice(first + at * tile, first + (at + 1) * tile) for at in (row, column))
            before, after = (some[:, rows, columns].astype(float) for some in (images, found))
            np.testing.assert_allclose(after.mean((1, 2)), before.mean((1, 2)), atol=0.5)
            # Rounding to bytes adds noise of a twelfth of a byte squared a pixel: its spectrum is about tile / 3.
            amplitudes = [np.abs(np.fft.fft2(some, axes=(1, 2))) for some in (before, after)]
            np.testing.assert_allclose(*amplitudes, atol=1.5 * tile + 1)
    assert (found != images).any((1, 2, 3)).all()
    untouched = np.ones((24, 24), bool)
    untouched[first : first + cuts * tile, first : first + cuts * tile] = False
    assert (found == images)[:, untouched].all()


def test_all_channels_are_turned_alike_so_that_colours_stay():
    grey = without_colour(noise(spread=24))
    found = scrambled(grey, 24.0, 1, 0)
    assert (found == found[..., :1]).all()
    # Blue against yellow, twice as strong: still on that line, wherever the waves have gone.
    wave = noise(spread=20, channels=1).astype(int) - 128
    found = scrambled((128 + wave * (-1, -1, 2)).astype(np.uint8), 24.0, 4, 0).astype(int) - 128
    assert np.abs(found[..., 2] + 2 * found[..., 0]).max() <= 2
    assert found.std() > 5


def test_phases_differ_between_images_tiles_and_draws():
    tile = noise(6, 6, spread=24, count=1)
    images = np.concatenate([np.tile(one, (1, 4, 4, 1)) for one in (tile, tile[:, ::-1])])
    found = scrambled(images, 24.0, 4, 0)
    tiles = found.reshape(2, 4, 6, 4, 6, 3).swapaxes(2, 3).reshape(32, -1)
    assert len({one.tobytes() for one in tiles}) == 32
    assert (scrambled(images, 24.0, 4, 1) != found).any()
    assert (scrambled(images, 24.0, 4, 0) == found).all()


def test_upside_down_twice_is_the_image_and_once_has_its_first_pixel_last():
    images = noise(5, 8)
    turned = upside_down(images)
    assert (turned[:, 0, 0] == images[:, -1, -1]).all()
    assert (turned == np.rot90(images, 2, (1, 2))).all()
    assert (upside_down(turned) == images).all()


@pytest.mark.parametrize(("size", "side"), [((24, 24), 24.0), ((24, 24), 13.0), ((23, 9), 23.0), ((3, 3), 3.0)])
def test_occluded_tiles_cover_the_square_once(size, side):
    images = np.zeros((1, *size, 3), np.uint8)
    covered = sum(
        (occluded(images, side, row, column) == GREY).all(3).astype(int)
        for row in range(TILES)
        for column in range(TILES)
    )
    assert set(np.unique(covered)) == ({0, 1} if side < max(size) else {1})
    for axis, extent in enumerate(size):
        covered_along = np.flatnonzero(covered[0].any(1 - axis))
        assert abs(len(covered_along) - min(side, extent)) <= 1
        assert abs(covered_along.mean() - (extent - 1) / 2) <= 0.5


def test_tiles_are_occluded_from_top_left_to_bottom_right_and_of_one_size():
    images = np.zeros((1, 24, 24, 1), np.uint8)
    for row in range(TILES):
        for column in range(TILES):
            places = np.argwhere(occluded(images, 16.0, row, column)[0, :, :, 0] == GREY)
            assert len(places) == 16
            assert (places.min(0) == (4 + 4 * row, 4 + 4 * column)).all()


def test_ways_to_alter_are_all_there_and_no_two_of_them_alike():
    for field in (1, 3, 7, 64, 224):
        ways = alterations(field)
        assert len(set(ways)) == len(ways)
        kinds = [way.kind for way in ways]
        squares = kinds.count("tile") / TILES**2
        assert squares == {1: 1, 3: 1, 7: 2}.get(field, 3)
        assert (kinds.count("grey"), kinds.count("complement"), kinds.count("turn")) == (1, 1, 1)
        assert kinds.count("shuffle") == kinds.count("phase") == squares * 6
        assert max(way.side for way in ways if way.kind == "tile") == field
