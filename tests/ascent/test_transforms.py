"""Transforms: exact numeric cases, and draws that are each image's own."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from filterscope.ascent.dice import Dice, generator
from filterscope.ascent.transforms import (
    centre_crop,
    chain,
    crop,
    crops,
    jitter,
    noise,
    pad,
    rotate,
    scale,
    warped,
)


def dice(*numbers: int) -> Dice:
    return Dice([generator("a test", number) for number in numbers])


def numbered(count: int, height: int, width: int) -> torch.Tensor:
    """Images in which every value occurs once."""
    return torch.arange(count * 2 * height * width).reshape(count, 2, height, width).float()


def ramp(height: int, width: int) -> torch.Tensor:
    """Two channels: how far right and how far down of the centre a pixel lies, in pixels."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x - (width - 1) / 2, y - (height - 1) / 2])[None].double()


NOW = torch.zeros(3)


@pytest.mark.parametrize(
    ("transform", "size"), [(jitter(3), (6, 8)), (crop((6, 8)), (6, 8)), (jitter(20), (1, 1)), (crop((9, 2)), (9, 2))]
)
def test_jitter_and_crop_give_windows_of_the_image_and_every_window_is_met(transform, size):
    images = numbered(3, 9, 11)
    seen = set()
    many = dice(0, 1, 2)
    for _ in range(300):
        found = transform(images, many, NOW)
        assert found.shape == (3, 2, *size)
        for image, window in zip(images, found, strict=True):
            # Values occur once: the first tells where the window lies.
            top, left = (int(place) for place in (image[0] == window[0, 0, 0]).nonzero()[0])
            assert torch.equal(image[:, top : top + size[0], left : left + size[1]], window)
            seen.add((top, left))
    assert len(seen) == (9 - size[0] + 1) * (11 - size[1] + 1)


def test_a_crop_of_the_whole_image_is_the_image():
    images = numbered(3, 5, 4)
    assert torch.equal(crop((5, 4))(images, dice(0, 1, 2), NOW), images)


def test_the_gradient_of_a_crop_is_one_inside_of_its_window():
    images = torch.zeros(1, 1, 6, 7, requires_grad=True)
    found = crop((3, 2))(images, dice(0), NOW[:1])
    (gradient,) = torch.autograd.grad(found.sum(), images)
    assert sorted(gradient.flatten().tolist()) == [0.0] * 36 + [1.0] * 6


def test_the_centre_crop_is_the_middle():
    assert torch.equal(centre_crop(numbered(2, 7, 9), (3, 4)), numbered(2, 7, 9)[:, :, 2:5, 2:6])


@pytest.mark.parametrize("size", [(8, 8), (5, 9)], ids=str)
def test_scale_1_and_rotate_0_leave_the_image_as_it_is(size):
    images = torch.rand(3, 3, *size, generator=generator("images", 0))
    for transform in (scale(1, 1), rotate(0)):
        np.testing.assert_allclose(transform(images, dice(0, 1, 2), NOW), images, atol=1e-6)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turning_by_right_angles_moves_every_pixel_to_its_place(turns):
    images = torch.rand(2, 3, 7, 7, generator=generator("images", 0), dtype=torch.float64)
    angle = torch.full((2,), turns * math.pi / 2, dtype=torch.float64)
    np.testing.assert_allclose(warped(images, torch.ones(2), angle), torch.rot90(images, turns, (2, 3)), atol=1e-6)


def test_half_a_turn_of_an_image_that_is_not_square_turns_it_over():
    images = torch.rand(2, 3, 5, 12, generator=generator("images", 0), dtype=torch.float64)
    found = warped(images, torch.ones(2), torch.full((2,), math.pi, dtype=torch.float64))
    np.testing.assert_allclose(found, images.flip(2, 3), atol=1e-6)


@pytest.mark.parametrize("size", [(21, 21), (15, 41)], ids=str)
@pytest.mark.parametrize(("factor", "degrees"), [(1.0, 10.0), (0.9, 0.0), (0.8, -25.0)])
def test_distances_and_angles_are_those_of_pixels_also_where_the_image_is_not_square(size, factor, degrees):
    # Sampling a plane is exact: its new slopes tell the map, away from the edges where it is reflected.
    angle = math.radians(degrees)
    x, y = warped(ramp(*size), torch.tensor([factor]).double(), torch.tensor([angle]).double())[0].numpy()
    right, down = ramp(*size)[0].numpy()
    expected_x = factor * (math.cos(angle) * right - math.sin(angle) * down)
    expected_y = factor * (math.sin(angle) * right + math.cos(angle) * down)
    inside = (np.abs(expected_x) < size[1] / 2 - 1) & (np.abs(expected_y) < size[0] / 2 - 1)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(x[inside], expected_x[inside], atol=1e-5)
    np.testing.assert_allclose(y[inside], expected_y[inside], atol=1e-5)


def slope(image: torch.Tensor) -> tuple[float, float]:
    """Of the first channel of a ramp, in its middle: by one pixel to the right, and by one down."""
    y, x = image.shape[1] // 2, image.shape[2] // 2
    return (image[0, y, x + 1] - image[0, y, x]).item(), (image[0, y + 1, x] - image[0, y, x]).item()


def test_scale_enlarges_by_its_factor_and_rotate_keeps_to_its_degrees():
    many = dice(*range(200))
    images, now = ramp(21, 21).repeat(200, 1, 1, 1), torch.zeros(200)
    factors = [1 / slope(image)[0] for image in scale(0.8, 1.3)(images, many, now)]
    assert 0.8 <= min(factors) < 0.82
    assert 1.28 < max(factors) <= 1.3
    angles = [math.degrees(math.atan2(*slope(image)[::-1])) for image in rotate(12)(images, many, now)]
    assert -12 <= min(angles) < -11.5
    assert 11.5 < max(angles) <= 12


def test_pad_reflects_and_is_grey_where_the_image_is_too_small_for_it():
    images = numbered(2, 4, 5)
    expected = np.pad(images.numpy(), [(0, 0), (0, 0), (3, 3), (3, 3)], mode="reflect")
    assert np.array_equal(pad(3)(images, dice(0, 1), NOW), expected)
    grey = np.pad(images.numpy(), [(0, 0), (0, 0), (4, 4), (4, 4)], constant_values=0.5)
    assert np.array_equal(pad(4)(images, dice(0, 1), NOW), grey)
    assert np.array_equal(pad(4, mode="constant")(images, dice(0, 1), NOW), grey)


def test_one_box_of_the_whole_image_is_the_image_resized():
    images = torch.rand(3, 3, 9, 12, generator=generator("images", 0))
    found = crops(1, 1.0, 1.0, (18, 5))(images, dice(0, 1, 2), NOW)
    expected = F.interpolate(images, size=(18, 5), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_boxes_shrink_as_the_ascent_goes_on_and_lie_inside_the_image():
    images = ramp(40, 60).repeat(3, 1, 1, 1)
    progress = torch.tensor([0.0, 0.5, 1.0])
    found = crops(50, 0.8, 0.2, (10, 10))(images, dice(0, 1, 2), progress).reshape(50, 3, 2, 10, 10)
    for item, share in enumerate((0.8, 0.5, 0.2)):
        width, height = (
            (found[:, item, 0, 5, 6] - found[:, item, 0, 5, 5]),
            (found[:, item, 1, 6, 5] - found[:, item, 1, 5, 5]),
        )
        np.testing.assert_allclose(width, 60 * share / 10, rtol=1e-5)
        np.testing.assert_allclose(height, 40 * share / 10, rtol=1e-5)
        assert found[:, item, 0].abs().max() <= 29.5
        assert found[:, item, 1].abs().max() <= 19.5
        # Anywhere: the centres reach over most of the room there is.
        centres = found[:, item, 0].mean((1, 2))
        assert (centres.max() - centres.min()).item() > 0.8 * 60 * (1 - share)


def test_of_several_boxes_all_first_ones_come_first():
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 8, 8)
    found = crops(4, 0.5, 0.5, (4, 4))(images, dice(0, 1, 2), NOW)
    np.testing.assert_allclose(found.mean((1, 2, 3)), [0, 1, 2] * 4)
    # What follows knows whose copies they are.
    moved = chain(crops(4, 1.0, 1.0, (8, 8)), crop((4, 4)), scale(0.9, 1.1), noise(0.0))(images, dice(0, 1, 2), NOW)
    np.testing.assert_allclose(moved.mean((1, 2, 3)), [0, 1, 2] * 4, atol=1e-6)


def test_noise_has_mean_zero_and_the_spread_that_was_asked_for():
    images = torch.full((4, 3, 50, 50), 0.5)
    found = noise(0.1)(images, dice(0, 1, 2, 3), NOW) - images
    assert found.mean().item() == pytest.approx(0, abs=0.002)
    np.testing.assert_allclose(found.std((1, 2, 3)), 0.1, rtol=0.05)


def test_a_chain_runs_from_left_to_right():
    images = numbered(2, 6, 6)
    both = chain(pad(2), crop((3, 3)))(images, dice(4, 5), NOW)
    assert torch.equal(both, crop((3, 3))(pad(2)(images, dice(4, 5), NOW), dice(4, 5), NOW))


RANDOM = {
    "jitter": jitter(3),
    "crop": crop((5, 6)),
    "scale": scale(0.8, 1.2),
    "rotate": rotate(20),
    "crops": crops(3, 0.8, 0.3, (6, 6)),
    "noise": noise(0.3),
    "many": chain(pad(2), jitter(4), scale(0.9, 1.1), rotate(10), crop((5, 5)), crops(2, 0.6, 0.3, (5, 5)), noise(0.1)),
}


@pytest.mark.parametrize("transform", RANDOM.values(), ids=RANDOM)
def test_draws_do_not_depend_on_what_shares_the_batch(transform):
    images = torch.rand(3, 3, 10, 11, generator=generator("images", 0))
    progress = torch.tensor([0.0, 0.3, 0.9])
    together, alone = dice(7, 8, 9), dice(9)
    for _ in range(3):
        found = transform(images, together, progress)
        single = transform(images[2:], alone, progress[2:])
        np.testing.assert_allclose(found[2::3], single, atol=1e-6)
        assert not torch.allclose(found[0::3], found[1::3], atol=1e-3)
