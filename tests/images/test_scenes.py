"""Scenes: the same at every call, other ones for another seed, of any size, and of all sorts."""

import colorsys

import numpy as np
import pytest

from filterscope.images.stimuli.scenes import scenes

SIZE = (64, 64)


def test_the_same_arguments_give_the_same_scenes_and_more_of_them_begin_alike():
    few, many = list(scenes(SIZE, 5, seed=3)), list(scenes(SIZE, 12, seed=3))
    assert len(many) == 12
    for one, other in zip(few, many, strict=False):
        np.testing.assert_array_equal(one, other)


def test_no_two_scenes_of_any_seeds_are_alike():
    found = [scene.tobytes() for seed in range(3) for scene in scenes(SIZE, 40, seed)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("size", [(8, 8), (8, 64), (33, 20), (224, 160), (512, 512)])
def test_every_size_is_filled_with_bytes(size):
    for scene in scenes(size, 12, seed=1):
        assert scene.shape == (*size, 3)
        assert scene.dtype == np.uint8


def test_without_colours_all_scenes_are_grey_and_not_flat():
    found = np.stack(list(scenes(SIZE, 60, colour=False)))
    assert (found == found[..., :1]).all()
    assert np.median(found.std((1, 2, 3))) > 15


def test_there_is_every_hue_in_full_colour_and_there_are_grey_scenes():
    means = [colorsys.rgb_to_hsv(*(scene[20:44, 20:44].mean((0, 1)) / 255)) for scene in scenes(SIZE, 300)]
    hues = [hue for hue, saturation, _ in means if saturation > 0.5]
    assert set(np.floor(np.array(hues) * 8)) == set(range(8))
    assert sum(saturation < 0.02 for _, saturation, _ in means) > 30


def test_scenes_reach_from_black_to_white_and_are_as_bright_as_dark():
    found = np.stack(list(scenes(SIZE, 200)))
    assert found.min() < 5
    assert found.max() > 250
    assert found.mean() == pytest.approx(127, abs=15)


def test_contours_have_all_directions():
    grey = np.stack(list(scenes(SIZE, 200, seed=2))).astype(float).mean(3)
    down, right = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(down, right)
    turns = np.degrees(np.arctan2(down, right)) % 180
    share, _ = np.histogram(turns, 8, (0, 180), weights=strength)
    assert (share / share.sum()).min() > 0.06


def test_scenes_have_fine_and_coarse_structure():
    centroids = []
    for scene in scenes(SIZE, 200, seed=4):
        grey = scene.astype(float).mean(2)
        power = np.abs(np.fft.rfft2(grey - grey.mean())) ** 2
        frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64))
        if power.sum() > 1e4:
            centroids.append((power * frequency).sum() / power.sum())
    assert np.quantile(centroids, 0.1) < 0.07
    assert np.quantile(centroids, 0.9) > 0.15
