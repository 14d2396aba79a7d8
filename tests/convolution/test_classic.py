"""Classic filters: published numbers, scipy's and scikit-image's own, and what every size has to keep."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import filters
from skimage.filters import gabor_kernel

from filterscope.convolution import bank, classic, shapes
from filterscope.convolution.classic import EDITING, FUNCTIONS, KINDS
from filterscope.errors import FilterscopeError, UnknownName

PUBLISHED = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "sharpen centre": [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]],
    "sharpen edge": [[1, 1, 1], [1, -7, 1], [1, 1, 1]],
    "edge 360": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    "edge 45": [[-1, 0, 0], [0, 2, 0], [0, 0, -1]],
    "emboss 45": [[-1, -1, 0], [-1, 1, 1], [0, 1, 1]],
    "emboss asymmetric": [[2, 0, 0], [0, -1, 0], [0, 0, -1]],
    "cross blur": [[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]],
    "box blur": [[1 / 9] * 3] * 3,
    "motion blur": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "gaussian blur": [[1 / 36, 4 / 36, 1 / 36], [4 / 36, 16 / 36, 4 / 36], [1 / 36, 4 / 36, 1 / 36]],
    "laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_filter_of_3_x_3_has_the_published_numbers(name):
    np.testing.assert_allclose(classic(name).weights, PUBLISHED[name], atol=1e-12)


def test_the_eleven_of_image_editors_are_all_there():
    assert set(EDITING) == set(PUBLISHED) - {"laplacian"}


def impulse(size: int) -> np.ndarray:
    """An image with one bright pixel: a filter's answer to it is its kernel, turned round by convolution."""
    image = np.zeros((size, size))
    image[size // 2, size // 2] = 1
    return image


def same_direction(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("name", ["sobel", "scharr", "prewitt"])
def test_a_derivative_is_that_of_scikit_image(name):
    # skimage's horizontal derivative is bright above after the half turn that convolution brings.
    theirs = getattr(filters, f"{name}_h")(impulse(7))[2:5, 2:5]
    assert same_direction(classic(name).weights, theirs) == pytest.approx(-1 if theirs[0, 1] < 0 else 1)
    vertical = getattr(filters, f"{name}_v")(impulse(7))[2:5, 2:5]
    assert same_direction(classic(name, orientation=90).weights, vertical) == pytest.approx(
        -1 if vertical[1, 0] < 0 else 1
    )


def test_a_derivative_at_0_degrees_is_bright_above_and_at_90_left():
    for name in ("sobel", "scharr", "prewitt"):
        assert classic(name, 5).weights[0].sum() > 0 > classic(name, 5).weights[-1].sum()
        assert classic(name, 5, orientation=90).weights[:, 0].sum() > 0


def test_sobel_of_5_x_5_is_the_one_of_the_tables():
    np.testing.assert_array_equal(classic("sobel", 5).weights, np.outer([1, 2, 0, -2, -1], [1, 4, 6, 4, 1]))


def test_a_log_is_that_of_scipy():
    theirs = -ndimage.gaussian_laplace(impulse(41), 3.0, truncate=8)
    np.testing.assert_allclose(classic("log", 41, sigma=3.0).weights, theirs / np.linalg.norm(theirs), atol=1e-4)


def test_a_dog_is_the_difference_of_two_of_scipys_gaussians():
    narrow, wide = (ndimage.gaussian_filter(impulse(41), sigma, truncate=8) for sigma in (2.5, 4.0))
    mine = classic("dog", 41, sigma=2.5).weights
    assert same_direction(mine, narrow - wide) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("orientation", [0, 30, 90, 150])
def test_a_gabor_filter_is_that_of_scikit_image(orientation):
    # Theirs is given by the direction across the line, with rows counted downwards.
    across = np.radians(90 - orientation)
    theirs = gabor_kernel(0.15, across, sigma_x=3, sigma_y=3, n_stds=5)
    side = theirs.shape[0]
    mine = [
        classic("gabor", side, orientation=orientation, frequency=0.15, phase=phase, sigma=3).weights
        for phase in (0, 90)
    ]
    assert same_direction(mine[0], theirs.real) == pytest.approx(1, abs=1e-3)
    assert abs(same_direction(mine[1], theirs.imag)) == pytest.approx(1, abs=1e-3)


SIZES = [2, 3, 4, 7, 11, (3, 5), (1, 3), (6, 1)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_filter_has_every_size_and_the_sum_of_its_kind(name, size):
    one = classic(name, size)
    assert one.weights.shape[-2:] == ((size, size) if isinstance(size, int) else size)
    assert np.isfinite(one.weights).all()
    assert one.function in FUNCTIONS
    assert one.source
    if not one.weights.any() or name in ("motion blur", "edge 45", "emboss 45", "emboss asymmetric"):
        return
    one_in_all = one.function in ("identity", "sharpening", "smoothing")
    total = one.weights.sum((-2, -1)) if name != "single-opponent" else one.weights.sum(0)
    np.testing.assert_allclose(total, 1.0 if one_in_all else 0.0, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if "orientation" in kind.defaults])
def test_90_degrees_more_is_a_quarter_turn_anticlockwise(name):
    for size in (3, 5, 8):
        first, second = (classic(name, size, orientation=angle).weights for angle in (30, 120))
        np.testing.assert_allclose(np.rot90(first, axes=(-2, -1)), second, atol=1e-9)


def test_a_bank_has_filters_of_colours_for_three_channels_alone():
    assert {one.function for one in bank(5, 3)} == set(FUNCTIONS)
    grey = bank(5, 1)
    assert {one.function for one in grey} == set(FUNCTIONS) - {"colour"}
    assert all(one.kernel(24).shape == (24, 5, 5) for one in grey)


def test_a_filter_does_to_a_colour_image_what_it_does_to_a_grey_one():
    grey = np.random.default_rng(0).random((9, 9))
    kernel = classic("sobel").kernel(3)
    coloured = sum(ndimage.correlate(grey, kernel[channel]) for channel in range(3))
    np.testing.assert_allclose(coloured, ndimage.correlate(grey, classic("sobel").weights))


def test_a_phase_of_90_degrees_is_bright_above_and_0_is_bright_in_the_middle():
    edge, line = (shapes.gabor((9, 9), 0, 0.1, phase, 2, 4) for phase in (90, 0))
    assert edge[:4].sum() > 0 > edge[5:].sum()
    assert line[4, 4] == line.max()


@pytest.mark.parametrize(
    ("name", "size", "given", "error", "words"),
    [
        ("sobbel", 3, {}, UnknownName, "sobel"),
        ("sobel", 3, {"phase": 0}, UnknownName, "orientation"),
        ("sobel", 3, {"orientation": "up"}, FilterscopeError, "number"),
        ("gabor", 3, {"sigma": -1}, FilterscopeError, "from 0"),
        ("double-opponent", 3, {"axis": "pink"}, UnknownName, "red-green"),
        ("sobel", 0, {}, FilterscopeError, "1 to 255"),
        ("sobel", (3, 3, 3), {}, FilterscopeError, "1 to 255"),
    ],
)
def test_a_mistake_is_told(name, size, given, error, words):
    with pytest.raises(error, match=words):
        classic(name, size, **given)
