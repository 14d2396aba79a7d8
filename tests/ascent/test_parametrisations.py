"""Parametrisations, held against numpy's Fourier transform: what can be reached, where they start, and their slopes."""

import numpy as np
import pytest
import torch
from PIL import Image

from filterscope.ascent.dice import Dice, generator
from filterscope.ascent.parametrisations import (
    COLOURS,
    SPREAD,
    Space,
    fourier,
    natural_magnitude,
    phases,
    pixels,
    resized,
)

SIZES = [(8, 8), (7, 9), (6, 11), (9, 4), (1, 6), (5, 1), (1, 1)]
CHANNELS = [1, 3, 24]
ALL = {
    "pixels": pixels(),
    "fourier": fourier(),
    "fourier of single colours": fourier(decorrelate=False, decay=0.5),
    "phases": phases(),
}


def dice(count: int) -> Dice:
    return Dice([generator("a test", number) for number in range(count)])


def logits(images: torch.Tensor) -> np.ndarray:
    values = images.double().numpy()
    return np.log(values / (1 - values))


def some_images(count: int, channels: int, size: tuple[int, int]) -> torch.Tensor:
    return 0.05 + 0.9 * torch.rand(count, channels, *size, dtype=torch.float64, generator=generator("images", 1))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("make", [pixels(), fourier(), fourier(decorrelate=False), fourier(decay=0, colour=1.0)])
def test_an_image_made_into_variables_and_back_is_the_same(make, channels, size):
    images = some_images(2, channels, size)
    found = make(Space(size, channels, channels == 3))
    np.testing.assert_allclose(found.image(found.variables(images)), images, atol=1e-6)


def test_black_and_white_come_back_as_near_to_them_as_the_logistic_function_lets_them_move():
    images = torch.zeros(1, 3, 6, 6)
    images[..., 3:] = 1
    found = fourier()(Space((6, 6)))
    np.testing.assert_allclose(found.image(found.variables(images)), images.clamp(0.02, 0.98), atol=1e-5)


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", CHANNELS)
def test_pixels_lie_between_black_and_white_wherever_the_variables_go(make, size, channels):
    found = make(Space(size, channels, channels == 3))
    start = found.start(dice(3))
    wild = found.clip(start + 1000 * torch.randn(start.shape, generator=generator("wild", 0)))
    for variables in (start, wild):
        images = found.image(variables)
        assert images.shape == (3, channels, *size)
        assert images.min() >= 0
        assert images.max() <= 1


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_the_start_is_each_items_own_and_near_grey(make):
    found = make(Space((8, 8)))
    together, alone = found.start(dice(3)), found.start(Dice([generator("a test", 2)]))
    assert torch.equal(together[2:], alone)
    assert not torch.equal(together[0], together[1])
    assert abs(found.image(together).mean().item() - 0.5) < 0.15


def test_the_noise_of_pixels_has_the_spread_that_was_asked_for():
    start = pixels(spread=0.05)(Space((40, 40))).start(dice(4))
    assert start.mean().item() == pytest.approx(0.5, abs=0.005)
    assert start.std().item() == pytest.approx(0.05, rel=0.05)


def test_scale_multiplies_what_variables_stand_for():
    small, large = (fourier(scale=scale)(Space((9, 12))) for scale in (1.0, 4.0))
    variables = small.start(dice(2))
    np.testing.assert_allclose(large.image(variables), small.image(4 * variables), atol=1e-6)
    images = some_images(2, 3, (9, 12))
    np.testing.assert_allclose(large.image(large.variables(images)), images, atol=1e-6)


@pytest.mark.parametrize(("given", "decay"), [({"decay": 0.0}, 0), ({}, 1), ({"decay": 2.0}, 2)])
def test_spectra_at_the_start_fall_off_with_the_power_of_the_frequency(given, decay):
    # By itself as in natural images.
    found = fourier(**given, decorrelate=False)(Space((32, 32), 1, False))
    magnitude = np.abs(np.fft.rfft2(logits(found.image(found.start(dice(300)))))).mean((0, 1))
    along = [magnitude[0, 1:15], magnitude[1:15, 0], magnitude[-1:-15:-1, 0], magnitude[range(1, 15), range(1, 15)]]
    for line in along[:1] + along[3:]:
        slope = np.polyfit(np.log(np.arange(1, 15)), np.log(line), 1)[0]
        assert slope == pytest.approx(-decay, abs=0.1)
    # The first column holds both of a pair of conjugates: there too the fall is the same.
    for line in along[1:3]:
        assert np.polyfit(np.log(np.arange(1, 15)), np.log(line), 1)[0] == pytest.approx(-decay, abs=0.1)


def test_frequencies_are_counted_per_pixel_where_the_image_is_not_square():
    # A quarter of a cycle per pixel along one axis and a sixteenth along the other: the same magnitude.
    found = fourier(decorrelate=False)(Space((16, 48), 1, False))
    magnitude = np.abs(np.fft.rfft2(logits(found.image(found.start(dice(600)))))).mean((0, 1))
    assert magnitude[4, 3] / magnitude[1, 12] == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize(
    ("given", "side", "colour"), [(0.0, 16, 0.0), (0.5, 16, 0.5), (1.0, 16, 1.0), (None, 16, 1.0), (None, 15, 0.5)]
)
def test_noise_in_decorrelated_colours_varies_as_natural_colours_do_to_a_power(given, side, colour):
    # By itself to the half for filters of few pixels, else as in nature.
    found = fourier(colour=given)(Space((side, side)))
    values = logits(found.image(found.start(dice(200)))).transpose(1, 0, 2, 3).reshape(3, -1)
    natural = np.array(COLOURS) @ np.array(COLOURS).T
    lengths, axes = np.linalg.eigh(natural)
    expected = axes @ np.diag(lengths**colour) @ axes.T
    covariance = np.cov(values)
    np.testing.assert_allclose(covariance / np.trace(covariance), expected / np.trace(expected), atol=0.02)


def measured(image: torch.Tensor) -> np.ndarray:
    return np.abs(np.fft.rfft2(logits(image), norm="ortho"))


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (6, 11), (9, 4), (2, 2), (1, 6), (5, 1)], ids=str)
def test_phases_keep_the_magnitude_of_every_frequency_whatever_they_are(size):
    given = natural_magnitude(some_images(1, 2, size))
    found = phases(given)(Space(size, 2, False))
    wild = 100 * torch.randn(4, *given.shape, dtype=torch.float64, generator=generator("wild", 0))
    for variables in (found.start(dice(4)).double(), wild):
        # The logistic function is undone in float64: only its flat ends cost digits.
        expected = np.broadcast_to(given.numpy(), (4, *given.shape))
        np.testing.assert_allclose(measured(found.image(variables)), expected, rtol=1e-5, atol=1e-5)


def test_phases_of_colours_keep_the_magnitude_of_each_uncorrelated_axis():
    size = (8, 6)
    given = natural_magnitude(some_images(3, 3, size))
    found = phases(given)(Space(size))
    values = logits(found.image(found.start(dice(2)).double()))
    matrix = np.array(COLOURS) / np.linalg.norm(COLOURS, axis=0).max()
    apart = np.einsum("ft,ithw->ifhw", np.linalg.inv(matrix), values)
    magnitude = np.abs(np.fft.rfft2(apart, norm="ortho"))
    # The mean of several magnitudes is no single image's where it has to be symmetric: compared elsewhere, and there.
    np.testing.assert_allclose(magnitude, np.broadcast_to(given.numpy(), magnitude.shape), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (9, 4)], ids=str)
def test_an_image_comes_back_from_its_phases_and_its_own_magnitude(size):
    images = some_images(1, 3, size)
    found = phases(natural_magnitude(images))(Space(size))
    np.testing.assert_allclose(found.image(found.variables(images)), images, atol=1e-5)


def test_natural_magnitude_is_the_mean_over_images_of_numpys_transform_of_their_logits():
    images = some_images(5, 1, (6, 10))
    np.testing.assert_allclose(natural_magnitude(images)[0], measured(images).mean((0, 1)), rtol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (9, 9), (16, 40), (64, 64)], ids=str)
def test_without_a_magnitude_logits_spread_as_those_of_photographs(size):
    found = phases(decorrelate=False)(Space(size, 2, False))
    values = logits(found.image(found.start(dice(30))))
    assert values.std((2, 3)).mean() == pytest.approx(SPREAD, rel=0.01)
    np.testing.assert_allclose(values.mean((2, 3)), 0, atol=1e-4)


def falling(size: tuple[int, int]) -> np.ndarray:
    """1/frequency, in cycles per pixel; the mean of a grey that is the same everywhere."""
    rows, columns = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1
    found = 1 / frequency
    found[0, 0] = 0.3 * np.sqrt(size[0] * size[1])
    return found


@pytest.mark.parametrize(
    ("given", "wanted"), [((64, 64), (32, 32)), ((32, 32), (64, 64)), ((48, 64), (33, 41)), ((32, 48), (32, 48))]
)
def test_a_magnitude_that_falls_with_frequency_does_so_at_any_size(given, wanted):
    found = resized(torch.from_numpy(falling(given))[None], wanted)[0].numpy()
    np.testing.assert_allclose(found, falling(wanted), rtol=0.02)


def test_the_magnitude_of_photographs_at_one_size_serves_for_another(shared):
    paths = sorted((shared / "images/imagenet_samples").glob("*.jpg"))[::40]
    magnitude = {}
    for side in (48, 96):
        photos = [
            np.asarray(Image.open(path).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)) for path in paths
        ]
        magnitude[side] = natural_magnitude(torch.from_numpy(np.stack(photos)).movedim(3, 1) / 255)
    for one, other in ((48, 96), (96, 48)):
        found, real = resized(magnitude[one], (other, other)), magnitude[other]
        # DC, contrast as a whole, and no row is taken for another.
        np.testing.assert_allclose(found[:, 0, 0], real[:, 0, 0], rtol=0.1)
        contrast = [values.square().sum().item() - values[:, 0, 0].square().sum().item() for values in (found, real)]
        assert contrast[0] / contrast[1] == pytest.approx(1, abs=0.35)
        np.testing.assert_allclose(found[:, 1:9, 0], found[:, -8:, 0].flip(1), rtol=0.05)


@pytest.mark.parametrize("make", [fourier(spread=1.0), fourier(spread=1.0, decorrelate=False), phases()])
@pytest.mark.parametrize("size", [(4, 4), (3, 5)], ids=str)
def test_slopes_are_those_of_finite_differences(make, size):
    found = make(Space(size, 3))
    variables = found.start(dice(1)).double().requires_grad_()
    assert torch.autograd.gradcheck(found.image, variables, atol=1e-6)
