"""Where units are strongest: by rounding alone no other place is named, whatever the scale, however images are cut."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import filterscope as fs
from filterscope.errors import BadImages
from filterscope.images import Batch
from filterscope.images.scenes import Scenes
from filterscope.lenses.places import (
    CANDIDATES,
    STRONGEST,
    first_of_the_largest,
    fold,
    kept,
    named_places,
    note,
    pack,
    shares,
)

NETWORK = fs.Network(torch.nn.Conv2d(3, 4, 3), fs.Preprocessing((8, 8), (0.5,) * 3, (0.25,) * 3))
SOURCE = Scenes((8, 8), 1000)


def maps(images: int, units: int = 4, seed: int = 0) -> torch.Tensor:
    """A few levels alone, so that most images and places are as good as others."""
    dice = np.random.default_rng(seed)
    return torch.from_numpy(dice.integers(0, 3, (images, 5, 6, units)) * 1.5 - 1).float()


def packed(values: torch.Tensor, first: int = 0) -> bytes:
    layer = replace(NETWORK.layers()[0], name="conv")
    found = {"conv": []}
    batch = Batch(tuple(range(first, first + len(values))), np.zeros((len(values), 8, 8, 3), np.uint8))
    note(found, SOURCE, batch, layer, 0, values)
    note(found, SOURCE, batch, layer, 1, values + 100)
    return pack({name: kept(parts) for name, parts in found.items()})


def test_the_place_is_the_first_in_reading_order_of_those_that_only_rounding_tells_apart():
    plain = maps(40)
    dice = torch.Generator().manual_seed(1)
    for _ in range(5):
        rounded = plain * (1 + 1e-6 * (torch.rand(plain.shape, generator=dice) - 0.5))
        values, at = first_of_the_largest(rounded)
        flat = plain.reshape(40, 30, 4).numpy()
        assert (at == flat.argmax(1)).all(), "NumPy's argmax names the first of exactly equal ones"
        np.testing.assert_allclose(values, flat.max(1), rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 3.7e-4, 2.9e5])
def test_neither_rounding_nor_a_positive_scale_names_other_images_or_places(scale):
    plain = maps(30)
    before = named_places(packed(plain)).places["conv"][0]
    dice = torch.Generator().manual_seed(2)
    for _ in range(5):
        rounded = scale * plain * (1 + 1e-6 * (torch.rand(plain.shape, generator=dice) - 0.5))
        assert (named_places(packed(rounded)).places["conv"][0] == before).all()


def test_the_images_named_are_the_strongest_ones_the_earlier_of_equal_ones():
    plain = maps(30, units=3, seed=4)
    where, activations = named_places(packed(plain)).places["conv"]
    best = plain.amax((1, 2)).numpy()
    for unit in range(3):
        own = where[where[:, 0] == unit]
        assert own[:, 1].tolist() == np.argsort(-best[:, unit], kind="stable")[:STRONGEST].tolist()
        for (_, image, y, x), value in zip(own, activations[where[:, 0] == unit], strict=True):
            assert value == plain[image, y, x, unit] == best[image, unit]


def test_images_in_chunks_are_as_all_at_once():
    count = 3 * CANDIDATES
    plain = torch.randn(count, 3, 3, 2, generator=torch.Generator().manual_seed(3))
    cut = CANDIDATES + 7
    parts = fold(fold(packed(plain[:cut]), packed(plain[cut : 2 * cut], cut)), packed(plain[2 * cut :], 2 * cut))
    one, other = (named_places(data).places["conv"] for data in (parts, packed(plain)))
    assert (one[0] == other[0]).all()
    assert (one[1] == other[1]).all()


def test_shares_below_zero_have_no_scale_and_only_the_best_counts():
    values = np.array([[1.0, 0.5, -1.0], [-1.0, -1.00001, -3.0]])
    assert shares(values, values.max(1, keepdims=True)).tolist() == [[1.0, 0.5, 0.0], [1.0, 1.0, 0.0]]


def test_what_is_no_number_is_told_with_the_image():
    broken = maps(3)
    broken[1, 2, 2, 0] = float("nan")
    with pytest.raises(BadImages, match="for the image scene 1;"):
        packed(broken)


def test_where_no_image_can_be_read_one_line_says_so():
    with pytest.raises(BadImages, match="none of the images could be read"):
        named_places(pack({"conv": kept([(np.zeros((2, 0), np.float32), np.zeros((2, 0, 3), np.int64))])}))
    assert named_places(None).places == {}
