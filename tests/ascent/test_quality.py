"""How good a picture is: figures held against plain hooks, numpy and cases whose answer is known beforehand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from small_networks import hooked, linear, looks, small
from torch import nn

import filterscope as fs
from filterscope.ascent import Canvas, fit_canvas
from filterscope.ascent.quality import Path, agreement, disturbed, measure, similarity


def some_pictures(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, height, width, channels), np.uint8)


def of(network: fs.Network, name: str, pictures: np.ndarray, units: list[int]):
    layer = network.layer(name)
    return measure(network, layer, fit_canvas(network, [layer]), pictures, units)


@pytest.mark.parametrize("name", ["stem", "body"])
def test_activation_and_rank_are_those_of_a_plain_hook_on_the_middle_of_the_picture(name):
    network = small()
    layer = network.layer(name)
    canvas = fit_canvas(network, [layer])
    height, width = canvas.size
    # Larger than the canvas by an odd margin: the network sees the middle.
    pictures = some_pictures(40, height + 3, width + 6)
    units = [number % layer.channels for number in range(40)]
    found = measure(network, layer, canvas, pictures, units)
    y, x = canvas.centres[name]
    expected = hooked(network, layer.observed, pictures[:, 1 : 1 + height, 3 : 3 + width])[:, :, y, x]
    np.testing.assert_allclose(found.response, expected, rtol=1e-4, atol=1e-5)
    own = expected[range(40), units]
    np.testing.assert_allclose(found.activation, own, rtol=1e-4, atol=1e-5)
    places = [sorted(row, reverse=True).index(row[unit]) + 1 for row, unit in zip(expected, units, strict=True)]
    assert found.rank.tolist() == places
    assert set(places) >= {1, layer.channels}


def test_a_constant_unit_keeps_everything_when_disturbed_and_one_below_zero_has_nothing_to_keep():
    network = linear(np.zeros((3, 3, 5, 5)), bias=np.array([2.0, -2.0, 0.0]))
    found = of(network, "0", some_pictures(3, 6, 6), [0, 1, 2])
    assert found.activation.tolist() == [2.0, -2.0, 0.0]
    assert found.robustness[0] == 1
    assert np.isnan(found.robustness[1:]).all()
    assert found.rank.tolist() == [1, 3, 2]


def test_a_uniform_picture_is_not_disturbed_by_shift_blur_and_rescaling():
    kernel = np.ones((1, 3, 7, 7))
    found = of(linear(kernel), "0", np.full((1, 8, 8, 3), 200, np.uint8), [0])
    assert found.robustness[0] == pytest.approx(1, abs=1e-5)


def test_a_picture_that_hangs_on_the_exact_place_of_its_pixels_keeps_nothing():
    y, _ = np.mgrid[:21, :21]
    stripes = (y % 2).astype(float) * 2 - 1
    network = linear(np.repeat(stripes[None, None], 3, axis=1))
    picture = np.repeat(np.where(stripes > 0, 255, 0)[None, ..., None], 3, axis=3).astype(np.uint8)
    # The shift turns stripes of one pixel over, the blur and the rescaling grey them.
    assert of(network, "0", picture, [0]).robustness[0] < 0.3


def test_robustness_is_the_mean_share_over_the_disturbed_pictures():
    network = linear(np.random.default_rng(0).normal(size=(2, 3, 9, 9)), bias=np.array([50.0, 50.0]))
    layer = network.layer("0")
    canvas = fit_canvas(network, [layer])
    pictures = some_pictures(2, 13, 11)
    found = measure(network, layer, canvas, pictures, [0, 1])
    images = torch.from_numpy(pictures).movedim(3, 1) / 255
    shares = []
    for changed in disturbed(images, canvas):
        values = nn.functional.conv2d((changed - 0.5) / 0.25, network.module[0].weight, network.module[0].bias)
        own = values.detach().numpy()[[0, 1], [0, 1], 0, 0]
        shares.append(np.minimum(own / found.activation, 1))
    assert len(shares) == 5
    np.testing.assert_allclose(found.robustness, np.mean(shares, axis=0), rtol=1e-4)


def test_the_disturbances_are_two_shifts_a_blur_and_two_scales():
    canvas = Canvas((64, 64), {}, (64, 64))
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=(1, 2, 72, 72)), (0, 0, 3, 3))
    images = torch.from_numpy((smooth - smooth.min()) / np.ptp(smooth)).float()
    values = images.numpy()
    back, forth, blurred, smaller, larger = (changed.numpy() for changed in disturbed(images, canvas))
    inner = values[:, :, 4:68, 4:68]
    # By 1/64 of 64 pixels: one, both ways at once.
    np.testing.assert_array_equal(back, values[:, :, 5:69, 5:69])
    np.testing.assert_array_equal(forth, values[:, :, 3:67, 3:67])
    np.testing.assert_allclose(
        blurred, gaussian_filter(values, (0, 0, 0.5, 0.5), mode="mirror", truncate=4)[:, :, 4:68, 4:68], atol=1e-4
    )
    # A point d from the middle has come from d / factor.
    grid = np.arange(64) - 31.5
    for changed, factor in ((smaller, 0.95), (larger, 1.05)):
        # 72 pixels become 68 and 76.
        factor = round(72 * factor) / 72
        places = torch.from_numpy(grid / factor / 36).float()
        sampled = nn.functional.grid_sample(
            images, torch.stack(torch.meshgrid(places, places, indexing="ij")[::-1], 2)[None], align_corners=False
        ).numpy()
        np.testing.assert_allclose(changed[:, :, 2:-2, 2:-2], sampled[:, :, 2:-2, 2:-2], atol=0.01)
        assert np.abs(changed - inner).max() > 0.03


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 8)], ids=str)
def test_the_smallest_pictures_can_be_disturbed_too(size):
    found = of(linear(np.ones((1, 3, *size)), size=(8, 8)), "0", np.full((1, *size, 3), 255, np.uint8), [0])
    assert found.robustness[0] == pytest.approx(1, abs=1e-5)


def test_a_unit_that_gives_nan_ranks_last():
    network = linear(np.random.default_rng(0).normal(size=(4, 3, 3, 3)))
    network.module[0].bias = nn.Parameter(torch.tensor([0.0, float("nan"), 0.0, 0.0]))
    found = of(network, "0", some_pictures(2, 3, 3), [1, 2])
    assert found.rank[0] == 4
    assert np.isnan(found.activation[0])
    assert np.isfinite(found.activation[1])


def test_agreement_is_the_mean_cosine_with_the_other_seeds():
    same = np.tile(np.array([[1.0, -2.0, 3.0]], np.float32), (4, 1))
    np.testing.assert_allclose(agreement(same), 1, rtol=1e-6)
    np.testing.assert_allclose(agreement(same * np.array([[1], [2], [5], [0.1]], np.float32)), 1, rtol=1e-6)
    np.testing.assert_allclose(agreement(np.eye(3, dtype=np.float32)), 0, atol=1e-7)
    some = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    for row in range(5):
        cosines = [
            some[row] @ some[k] / np.linalg.norm(some[row]) / np.linalg.norm(some[k]) for k in range(5) if k != row
        ]
        assert agreement(some)[row] == pytest.approx(np.mean(cosines), abs=1e-6)


def test_one_seed_agrees_with_none():
    assert np.isnan(agreement(np.ones((1, 3), np.float32))).all()


def test_similarity_is_the_mean_over_layers_of_the_correlation_over_units():
    rng = np.random.default_rng(0)
    one, other = ([rng.normal(size=(4, units)) for units in (5, 9)] for _ in range(2))
    expected = [
        np.mean([np.corrcoef(left[item], right[item])[0, 1] for left, right in zip(one, other, strict=True)])
        for item in range(4)
    ]
    np.testing.assert_allclose(similarity(one, other), expected, rtol=1e-9)
    np.testing.assert_allclose(similarity(one, one), 1)
    np.testing.assert_allclose(similarity(one, [3 * layer + 2 for layer in one]), 1)
    np.testing.assert_allclose(similarity(one, [-layer for layer in one]), -1)


class Twice(nn.Module):
    """A convolution that is called two times: the path reads the first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu_(self.stem(x))
        return self.twice(torch.relu_(self.twice(x)))


def test_path_responses_are_means_over_the_map_in_natural_standard_deviations():
    torch.manual_seed(0)
    network = fs.Network(Twice(), looks(3, (12, 12)))
    layers = tuple(network.layer(name) for name in ("stem", "twice"))
    rng = np.random.default_rng(0)
    path = Path(layers, tuple(rng.normal(size=4) for _ in layers), tuple(rng.uniform(0.5, 2, 4) for _ in layers))
    canvas = Canvas((10, 8), {}, (12, 12))
    pictures = some_pictures(20, 12, 10)
    found = path.responses(network, canvas, pictures)
    for number, layer in enumerate(layers):
        maps = hooked(network, layer.name, pictures[:, 1:11, 1:9])
        expected = (maps.mean((2, 3)) - path.mean[number]) / path.std[number]
        np.testing.assert_allclose(found[number], expected, rtol=1e-4, atol=1e-5)
