"""The split into images that choose and images that verify."""

import numpy as np
import pytest

from filterscope.errors import BadImages
from filterscope.images import open_images
from filterscope.surgery.halves import halves


@pytest.mark.parametrize("count", [2, 7, 100])
def test_every_image_is_in_one_half(count: int) -> None:
    choose, verify = halves(count)
    assert sorted([*choose, *verify]) == list(range(count))
    assert abs(len(choose) - len(verify)) <= 1


def test_each_class_is_halved_whatever_its_size() -> None:
    labels = np.random.default_rng(0).choice([-1, 0, 1, 2, 3], 501, p=[0.1, 0.5, 0.3, 0.05, 0.05])
    choose, verify = halves(labels, seed=4)
    for label in np.unique(labels):
        assert abs((labels[choose] == label).sum() - (labels[verify] == label).sum()) <= 1
    assert abs(len(choose) - len(verify)) <= 1


def test_a_seed_splits_alike_and_another_otherwise() -> None:
    first, again, other = halves(50, 1), halves(50, 1), halves(50, 2)
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert set(first[0].tolist()) != set(other[0].tolist())


def test_a_set_of_images_is_halved_by_its_own_labels() -> None:
    labels = np.arange(40) % 3
    source = open_images([(np.zeros((4, 4, 3), np.uint8), int(label)) for label in labels])
    for ours, theirs in zip(halves(source, 5), halves(labels, 5), strict=True):
        assert ours.tolist() == theirs.tolist()


def test_halves_do_not_depend_on_how_classes_are_numbered() -> None:
    labels = np.random.default_rng(0).integers(0, 4, 60)
    assert halves(labels, 3)[0].tolist() == halves(np.array([7, -1, 3, 0])[labels], 3)[0].tolist()


def test_a_single_image_cannot_be_halved() -> None:
    with pytest.raises(BadImages, match="1 images cannot be halved"):
        halves(1)
