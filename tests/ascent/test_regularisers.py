"""Regularisers, held against numpy and scipy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from filterscope.ascent.recipes import YOSINSKI, recipe
from filterscope.ascent.regularisers import blur, clip_small_contribution, clip_small_norm, decay


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((3, 3, 12, 17)))


@pytest.fixture
def gradient() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(3, 3, 12, 17)))


DUE = torch.tensor([4.0, 8.0, 12.0])


def smoothed(images: np.ndarray, width: float) -> np.ndarray:
    """Each plane by scipy, which cuts a Gaussian off as far out as ours."""
    radius = max(1, round(3 * width))
    return gaussian_filter(images, (0, 0, width, width), mode="mirror", radius=(0, 0, radius, radius))


def greyed(images: np.ndarray, weight: np.ndarray, percent: float) -> np.ndarray:
    """The lightest so many pixels of each image grey, one after the other."""
    found = images.copy()
    for image, scale in zip(found, weight, strict=True):
        for number in np.argsort(scale, axis=None)[: int(scale.size * percent / 100)]:
            image[:, number // scale.shape[1], number % scale.shape[1]] = 0.5
    return found


def test_decay_takes_its_share_of_the_distance_from_grey(images, gradient):
    found = decay(0.3)(images, gradient, DUE)
    np.testing.assert_allclose(found, 0.5 + 0.7 * (images.numpy() - 0.5))


@pytest.mark.parametrize("width", [0.5, 1.0, 1.7])
def test_blur_is_scipys(images, gradient, width):
    found = blur(width, 4)(images, gradient, DUE)
    np.testing.assert_allclose(found, smoothed(images.numpy(), width), atol=1e-6)


def test_blur_comes_every_so_many_steps_of_each_image(images, gradient):
    found = blur(1.0, 4)(images, gradient, torch.tensor([3.0, 4.0, 5.0])).numpy()
    expected = images.numpy().copy()
    expected[1] = smoothed(expected, 1.0)[1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_image_smaller_than_the_blur_is_left_alone():
    tiny = torch.rand(1, 3, 3, 9)
    assert torch.equal(blur(1.0, 1)(tiny, tiny, torch.ones(1)), tiny)


@pytest.mark.parametrize("percent", [0.0, 0.4, 20.0, 50.0, 90.0, 100.0])
def test_pixels_of_small_norm_become_grey(images, gradient, percent):
    weight = np.sqrt(((images.numpy() - 0.5) ** 2).sum(1))
    found = clip_small_norm(percent)(images, gradient, DUE)
    np.testing.assert_array_equal(found, greyed(images.numpy(), weight, percent))


@pytest.mark.parametrize("percent", [0.0, 20.0, 90.0])
def test_pixels_of_small_contribution_become_grey(images, gradient, percent):
    weight = np.abs(((images.numpy() - 0.5) * gradient.numpy()).sum(1))
    found = clip_small_contribution(percent)(images, gradient, DUE)
    np.testing.assert_array_equal(found, greyed(images.numpy(), weight, percent))


@pytest.mark.parametrize("make", [decay(0.1), blur(0.7, 2), clip_small_norm(30), clip_small_contribution(30)])
def test_what_shares_the_batch_changes_nothing(images, gradient, make):
    alone = make(images[1:2], gradient[1:2], DUE[1:2])
    np.testing.assert_allclose(make(images, gradient, DUE)[1:2], alone, atol=1e-12)


PUBLISHED = {
    # decay, width of the blur, every so many steps, percent by norm, percent by contribution
    1: (0, 0.5, 4, 50, 0),
    2: (0.3, 0, 0, 20, 0),
    3: (0.0001, 1.0, 4, 0, 0),
    4: (0, 0.5, 4, 0, 90),
}


@pytest.mark.parametrize("setting", PUBLISHED)
def test_yosinskis_four_settings_are_those_that_were_published(images, gradient, setting):
    share, width, every, norm, contribution = PUBLISHED[setting]
    assert YOSINSKI[setting - 1] == PUBLISHED[setting]
    expected = 0.5 + (1 - share) * (images.numpy() - 0.5)
    if every:
        expected = smoothed(expected, width)
    expected = greyed(expected, np.sqrt(((expected - 0.5) ** 2).sum(1)), norm)
    expected = greyed(expected, np.abs(((expected - 0.5) * gradient.numpy()).sum(1)), contribution)
    found = images
    for regularise in recipe(f"yosinski-{setting}").regularisers:
        found = regularise(found, gradient, DUE)
    np.testing.assert_allclose(found, expected, atol=1e-6)
