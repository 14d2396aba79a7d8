"""Pictures of a reconstruction: their colours are those that raise the output, whatever the preprocessing does."""

import numpy as np
import pytest
import torch
from torch import nn

import filterscope as fs
from filterscope.errors import FilterscopeError, UnknownName
from filterscope.images import Preprocessing
from filterscope.images.tensors import normalise
from filterscope.lenses.tiles import BEYOND, NEGATIVE, POSITIVE, ZERO
from filterscope.lenses.weight_pictures import BIAS, PIXELS, WeightPictures, weight_pictures
from filterscope.model import Network

STANDS = Preprocessing((8, 10), (0.3, 0.5, 0.7), (0.1, 0.2, 0.4), channels="RGB")


def linear(weight, bias, preprocessing, names=("cat", "dog")):
    """A network whose W is known: its one layer's weights."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(weight[0].numel(), len(weight)))
    with torch.no_grad():
        module[1].weight[:] = weight.flatten(1)
        module[1].bias[:] = torch.tensor(bias)
    return Network(module, preprocessing, names)


def pixels(seed=0, size=(8, 10)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def pictures_of(weight, height=6, width=8):
    """From W in output per step from black to white, with nothing else to it."""
    weight = np.asarray(weight, np.float32)
    count = len(weight)
    return WeightPictures(
        tuple(map(str, range(count))), weight, weight.sum(1), np.zeros(count, np.float32),
        np.zeros((height, width, weight.shape[1]), np.uint8),
    )  # fmt: skip


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_the_colour_of_a_pixel_is_the_one_that_raises_the_output(order):
    """The oracle changes pixels of the image, one colour at a time, and asks the network."""
    preprocessing = Preprocessing((8, 10), STANDS.mean, STANDS.std, channels=order, value_range=(-1.0, 2.0))
    network = linear(torch.randn(2, 3, 8, 10, generator=torch.Generator().manual_seed(1)), [0.5, -1.0], preprocessing)
    image = pixels() // 2 + 50

    def answers(given):
        with torch.no_grad():
            return network.module.double()(normalise(given[None], preprocessing, dtype=torch.float64))[0].numpy()

    before = answers(image)
    network.module.float()
    shown = fs.reconstruct(network, image).pictures().weights("own").pictures.astype(int) - 128
    changes = np.zeros((2, 8, 10, 3))
    for place in np.ndindex(8, 10, 3):
        more = image.copy()
        more[place] += 51
        changes[(slice(None), *place)] = (answers(more) - before) * 5
    network.module.float()
    np.testing.assert_allclose(
        fs.reconstruct(network, image).pictures().weight, changes.transpose(0, 3, 1, 2), rtol=1e-4
    )
    for one, change in zip(shown, changes, strict=True):
        full = np.quantile(np.abs(change), 1 - BEYOND)
        np.testing.assert_allclose(one, np.clip(change / full, -1, 1) * 127.5, atol=1.01)


def test_evidence_is_what_each_pixel_adds_and_the_bars_show_its_sum():
    weight = torch.zeros(2, 3, 8, 10)
    weight[0, :, 2, 3] = torch.tensor([1.0, 2.0, 3.0])
    weight[1, 0, 4, 5] = -4.0
    image = pixels(3)
    model = fs.reconstruct(linear(weight, [6.0, -2.0], STANDS), image)
    seen = (image / 255 - np.array(STANDS.mean)) / np.array(STANDS.std)
    pictures = model.pictures()
    at = float(seen[2, 3] @ [1, 2, 3])
    assert pictures.evidence[0, 2, 3] == pytest.approx(at, rel=1e-5)
    assert pictures.evidence[1, 4, 5] == pytest.approx(-4 * seen[4, 5, 0], rel=1e-5)
    assert np.count_nonzero(pictures.evidence) == 2
    np.testing.assert_allclose(pictures.from_pixels + pictures.bias, model(model.image)[0].numpy(), rtol=1e-5)
    np.testing.assert_array_equal(pictures.picture, image)
    drawn = pictures.evidences()
    np.testing.assert_array_equal(drawn.pictures[0, 2, 3], POSITIVE if at > 0 else NEGATIVE)
    np.testing.assert_array_equal(drawn.pictures[0, 0, 0], np.rint(ZERO))


def test_bars_are_as_long_as_what_they_stand_for():
    one = pictures_of(np.zeros((2, 3, 6, 8)))
    evidence = np.zeros((2, 6, 8), np.float32)
    evidence[0, 0, 0], evidence[1, 0, 0] = 3.0, -1.0
    bars = WeightPictures(one.names, one.weight, evidence, np.array([1.0, 2.0], np.float32), one.picture).bars(503)
    # From -1 to 4 over 500 pixels: 100 a unit.
    lengths = [[int((bar == colour).all(2).any(0).sum()) for colour in (PIXELS, BIAS)] for bar in bars]
    np.testing.assert_allclose(lengths, [[300, 100], [100, 200]], atol=4)
    strokes = [np.flatnonzero((bar[0] == (24, 24, 27)).all(1)).mean() for bar in bars]
    np.testing.assert_allclose(strokes, [500, 200], atol=2)


def test_a_difference_is_antisymmetric_and_that_of_the_outputs():
    weight = torch.randn(3, 3, 8, 10, generator=torch.Generator().manual_seed(4))
    model = fs.reconstruct(linear(weight, [1.0, 2.0, -1.0], STANDS, ("cat", "dog", "cow")), pixels(5))
    pictures = model.pictures()
    one, other = pictures.difference("cat", "cow"), pictures.difference("cow", 0)
    assert one.names == ("cat - cow",)
    np.testing.assert_array_equal(one.weight[0], pictures.weight[0] - pictures.weight[2])
    np.testing.assert_array_equal(one.weight, -other.weight)
    outputs = model(model.image)[0]
    assert float(one.from_pixels[0] + one.bias[0]) == pytest.approx(float(outputs[0] - outputs[2]), rel=1e-5)
    grey = one.weights().pictures.astype(int) + other.weights().pictures.astype(int)
    assert 254 <= grey.min() <= grey.max() <= 256
    red, blue = (shown.evidences().pictures[0] for shown in (one, other))
    assert ((red == POSITIVE).all(2) == (blue == NEGATIVE).all(2)).all()


def test_smoothing_keeps_the_sums_and_spreads_as_a_gaussian_of_its_sigma():
    weight = np.zeros((1, 3, 41, 41), np.float32)
    weight[0, 1, 20, 20] = 5.0
    smooth = pictures_of(weight, 41, 41).smoothed(2.5)
    spread = smooth.weight[0, 1]
    assert spread.sum() == pytest.approx(5.0, rel=1e-4)
    rows = np.arange(41) - 20
    assert (spread.sum(1) / 5 * rows**2).sum() == pytest.approx(2.5**2, rel=0.02)
    assert smooth.evidence.sum() == pytest.approx(5.0, rel=1e-4)
    assert not smooth.weight[0, [0, 2]].any()
    assert pictures_of(weight, 41, 41).sigma == 1
    assert pictures_of(np.zeros((1, 3, 224, 100)), 224, 100).sigma == 3.5
    with pytest.raises(FilterscopeError, match="above 0"):
        smooth.smoothed(0)


def test_the_singular_images_of_a_stack_of_rank_one_are_one_image():
    form = np.random.default_rng(6).normal(size=(3, 6, 8))
    form /= np.linalg.norm(form)
    found = pictures_of(np.stack([2 * form, -5 * form, form])).singular()
    assert found.images.shape == (1, 3, 6, 8)
    # Its sign is such that the largest loading, that of the second, is above zero.
    np.testing.assert_allclose(found.images[0], -form, atol=1e-5)
    np.testing.assert_allclose(found.loadings[:, 0], [-2, 5, -1], rtol=1e-5)
    np.testing.assert_allclose(found.shares, [1.0])
    assert len(pictures_of(np.zeros((2, 3, 6, 8))).singular().shares) == 0


def test_the_singular_images_are_those_of_the_decomposition_and_make_w_again():
    weight = np.random.default_rng(7).normal(size=(4, 3, 6, 8)) * np.array([1, 2, 3, 4])[:, None, None, None]
    found = pictures_of(weight).singular()
    values = np.linalg.svd(weight.reshape(4, -1), compute_uv=False)
    np.testing.assert_allclose(found.shares, values**2 / (values**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(np.einsum("ok,kchw->ochw", found.loadings, found.images), weight, atol=1e-4)
    np.testing.assert_allclose(np.einsum("achw,bchw->ab", found.images, found.images), np.eye(4), atol=1e-5)
    two = pictures_of(weight).singular(2)
    np.testing.assert_array_equal(two.images, found.images[:2])
    np.testing.assert_array_equal(two.shares, found.shares[:2])


def test_a_scale_is_common_or_each_picture_has_its_own():
    weight = np.zeros((2, 3, 6, 8))
    weight[0, 0, 1, 1], weight[1, 0, 1, 1] = 1.0, 100.0
    pictures = pictures_of(weight)
    own, common = pictures.weights("own"), pictures.weights()
    np.testing.assert_allclose(own.full, [1, 100], rtol=1e-5)
    assert common.full[0] == common.full[1]
    assert own.pictures[0, 1, 1, 0] == own.pictures[1, 1, 1, 0] == 255
    assert common.pictures[0, 1, 1, 0] == 129
    nothing = pictures_of(np.zeros((1, 3, 6, 8))).weights()
    assert (np.abs(nothing.pictures.astype(int) - 128) <= 0).all()
    with pytest.raises(UnknownName, match="'common' or 'own'"):
        pictures.weights("each")


def test_channels_are_shown_one_by_one_and_images_of_other_channels_by_their_sign():
    weight = np.zeros((1, 3, 6, 8))
    weight[0, :, 1, 1] = [1, -1, 0]
    colours = pictures_of(weight).channels().pictures[:, 1, 1]
    np.testing.assert_array_equal(colours, [POSITIVE, NEGATIVE, np.rint(ZERO)])
    two = pictures_of(np.array([1.0, -3.0])[None, :, None, None] * np.ones((1, 2, 6, 8)))
    assert (two.weights().pictures == NEGATIVE).all()
    grey = pictures_of(np.ones((1, 1, 6, 8)))
    assert (grey.weights().pictures == 255).all()


def test_windows_hold_all_of_w_and_are_of_one_size():
    weight = np.zeros((3, 3, 64, 50))
    weight[0, 0, 10:13, 20:22] = 1
    weight[1, 2, 0, 49] = 1
    pictures = pictures_of(weight, 64, 50)
    windows = pictures.windows()
    assert {(rows[1] - rows[0], columns[1] - columns[0]) for rows, columns in windows} == {(7, 6)}
    assert windows[0] == ((8, 15), (18, 24))
    assert windows[1] == ((0, 7), (44, 50))
    everywhere = pictures_of(np.ones((2, 3, 64, 50)), 64, 50)
    assert everywhere.windows() == [((0, 64), (0, 50))] * 2


def test_without_preprocessing_w_is_left_as_it_is_and_the_image_is_made_visible():
    weight, image = torch.randn(2, 3, 4, 5), torch.randn(3, 4, 5) * 7
    pictures = weight_pictures(weight, torch.zeros(2), image, ["a", "b"], None)
    np.testing.assert_allclose(pictures.weight, weight.numpy(), rtol=1e-6)
    assert (pictures.picture.min(), pictures.picture.max()) == (0, 255)
    with pytest.raises(UnknownName, match="no output 'c'"):
        pictures.difference("a", "c")


def test_w_over_the_image_colours_what_counts_and_leaves_the_rest_grey():
    weight = torch.zeros(1, 3, 8, 10)
    weight[0, 0, 2:4, 3:5] = 1.0
    image = np.full((8, 10, 3), 255, np.uint8)
    shown = fs.reconstruct(linear(weight, [0.0], STANDS, ("cat",)), image).pictures().over_image().pictures[0]
    np.testing.assert_array_equal(shown[2, 3], POSITIVE)
    assert (shown[0, 0] == shown[0, 0, 0]).all()
