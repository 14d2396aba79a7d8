"""The pool: parts of images that are strong for all units, cut where the unit that named them looks."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import filterscope as fs
from filterscope.ascent.canvas import fit_canvas
from filterscope.images.tensors import normalise
from filterscope.lenses import Workbench
from filterscope.lenses.centre import Centre
from filterscope.lenses.pool import Crop, Strongest, choose, cut, groups, mirrored, origin, seen

SIDE = 40


def strongest(*entries: tuple[int, int, int, int, float]) -> Strongest:
    """From (unit, image, top, left, share)."""
    unit, image, top, left, share = zip(*entries, strict=True)
    return Strongest(*(np.array(one, np.int64) for one in (unit, image, top, left)), np.array(share, float))


def random_places(units: int, each: int, seed: int = 0, images: int = 6) -> Strongest:
    dice = np.random.default_rng(seed)
    count = units * each
    share = dice.random((units, each))
    share /= share.max(1, keepdims=True)
    unit, image = np.repeat(np.arange(units), each), dice.integers(0, images, count)
    return Strongest(unit, image, dice.integers(-8, 60, count), dice.integers(-8, 60, count), share.ravel())


def by_hand(of: Strongest, count: int, near: int) -> list[Crop]:
    """The same greedy choice, in sets and loops."""
    parts: dict[tuple[int, int, int], list[int]] = {}
    for index in range(len(of.unit)):
        key = (int(of.image[index]), int(of.top[index]) // near, int(of.left[index]) // near)
        parts.setdefault(key, []).append(index)
    had = dict.fromkeys(of.unit.tolist(), 0)
    found = []
    while parts and len(found) < count:
        worth = {key: sum(of.share[i] / (1 + had[of.unit[i]]) for i in some) for key, some in parts.items()}
        most = max(worth.values())
        best = min(key for key in parts if worth[key] > most - 1e-12)
        some = parts.pop(best)
        for unit in {int(of.unit[i]) for i in some}:
            had[unit] += 1
        at = min(some, key=lambda i: (-of.share[i], of.top[i], of.left[i]))
        found.append(Crop(int(of.image[at]), int(of.top[at]), int(of.left[at])))
    return found


@pytest.mark.parametrize("near", [1, 4, 9])
@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_the_greedy_one_by_hand(near, seed):
    places = random_places(7, 9, seed)
    for count in (1, 8, 30, 1000):
        assert choose(places, count, near) == by_hand(places, count, near)


def test_neither_the_order_of_units_nor_that_of_places_matters():
    places = random_places(8, 9)
    expected = choose(places, 20, 4)
    dice = np.random.default_rng(1)
    for _ in range(5):
        order, names = dice.permutation(72), dice.permutation(8)
        shuffled = Strongest(names[places.unit[order]], *(one[order] for one in list(vars(places).values())[1:]))
        assert choose(shuffled, 20, 4) == expected


def test_where_all_shares_are_alike_the_order_of_units_does_not_matter_either():
    """Sums of thirds and sevenths differ in their last bits with the order of their terms."""
    for seed in range(20):
        places = replace(random_places(12, 6, seed, images=2), share=np.ones(72))
        expected = choose(places, 30, 25)
        order = np.random.default_rng(seed).permutation(72)
        assert choose(Strongest(*(one[order] for one in vars(places).values())), 30, 25) == expected


def test_every_unit_has_a_part_before_any_has_a_second_where_no_part_is_shared():
    entries = [(unit, image, 10 * unit, 0, share) for unit in range(9) for image, share in enumerate((1, 0.9, 0.8))]
    chosen = choose(strongest(*entries), 18, 2)
    assert sorted(crop.top // 10 for crop in chosen[:9]) == list(range(9))
    assert sorted(crop.top // 10 for crop in chosen[9:]) == list(range(9))
    assert {crop.image for crop in chosen[:9]} == {0}


def test_a_part_that_is_strong_for_two_comes_before_those_of_one():
    chosen = choose(strongest((0, 0, 0, 0, 1), (1, 1, 0, 0, 1), (0, 2, 0, 0, 0.6), (1, 2, 1, 1, 0.7)), 3, 8)
    # Where one that stands for two is cut: where the stronger is.
    assert chosen == [Crop(2, 1, 1), Crop(0, 0, 0), Crop(1, 0, 0)]


def test_there_are_no_more_parts_than_places_and_none_twice():
    places = random_places(5, 4)
    chosen = choose(places, 500, 1)
    assert len(set(chosen)) == len(chosen) <= 20
    none = Strongest(*(np.zeros(0, np.int64),) * 4, np.zeros(0))
    assert choose(none, 5, 3) == []


@pytest.mark.parametrize(("top", "left", "size"), [(5, 7, (9, 4)), (0, 0, (20, 30)), (19, 29, (1, 1))])
def test_inside_of_the_image_a_part_is_a_slice(top, left, size):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    assert (cut(image, Crop(0, top, left), size) == image[top : top + size[0], left : left + size[1]]).all()


@pytest.mark.parametrize(("top", "left", "size"), [(-5, 22, (11, 15)), (-20, -30, (60, 90)), (15, -3, (25, 36))])
def test_beyond_the_edges_the_image_is_mirrored(top, left, size):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    around = np.pad(image, ((60, 60), (90, 90), (0, 0)), "symmetric")
    expected = around[60 + top : 60 + top + size[0], 90 + left : 90 + left + size[1]]
    assert (cut(image, Crop(0, top, left), size) == expected).all()


def test_an_image_of_one_pixel_is_that_pixel_everywhere():
    assert mirrored(-4, 9, 1).tolist() == [0] * 9


MODULES = {
    "padded": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2)),
    "strided": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1)),
    "unpadded": lambda: nn.Sequential(nn.Conv2d(3, 4, 4, 3), nn.ReLU(True), nn.Conv2d(4, 4, 2)),
    "pooled": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, (3, 1), padding=(1, 0))),
}


@pytest.mark.parametrize("kind", MODULES)
def test_in_the_middle_of_the_part_that_it_names_a_unit_says_what_it_said_in_the_image(kind):
    torch.manual_seed(0)
    network = fs.Network(MODULES[kind](), fs.Preprocessing((SIDE, SIDE), (0.5,) * 3, (0.25,) * 3))
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    layers = network.layers()
    canvas = fit_canvas(network, layers).size
    assert max(canvas) < SIDE
    checked = 0
    for number, layer in enumerate(layers):
        maps: list[Tensor] = []
        handle = network.module.get_submodule(layer.name).register_forward_hook(
            lambda *about, maps=maps: maps.append(about[2].clone())
        )
        with torch.no_grad():
            network.module(normalise(image[None], network.preprocessing))
        handle.remove()
        step = max(2, maps[0].shape[2] // 5)
        for y in range(0, maps[0].shape[2], step):
            for x in range(1, maps[0].shape[3], step + 1):
                top, left = origin(network, layer, canvas, (y, x))
                if min(top, left) < 0 or top + canvas[0] > SIDE or left + canvas[1] > SIDE:
                    continue
                part = cut(image, Crop(0, top, left), canvas)[None]
                with Centre(Workbench(network), layers, canvas) as centre:
                    np.testing.assert_allclose(centre.hear(part)[number][0], maps[0][0, :, y, x], atol=1e-5)
                checked += 1
    assert checked >= 8


def test_a_unit_that_sees_all_names_the_whole_image():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 1))
    network = fs.Network(module, fs.Preprocessing((SIDE, SIDE), (0.5,) * 3, (0.25,) * 3))
    layer = network.layer("2")
    assert origin(network, layer, (SIDE, SIDE), (0, 0)) == (0, 0)
    assert seen(layer, (SIDE, 24)) == SIDE


def test_layers_of_a_group_see_alike_and_every_layer_is_in_one():
    module = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(12)))
    network = fs.Network(module, fs.Preprocessing((16, 64), (0.5,) * 3, (0.25,) * 3))
    layers = network.layers()
    found = groups(network, layers)
    assert sorted(layer.position for group in found for layer in group) == list(range(12))
    sizes = [[min(3 + 2 * layer.position, 64) for layer in group] for group in found]
    for some in sizes:
        assert some == sorted(some)
        assert max(some) <= 1.5 * min(some)
    # No group could have taken the first one of the next.
    assert all(max(one) > 1.5 * min(other) for one, other in itertools.pairwise(sizes))
    assert groups(network, layers[::-1]) == found
