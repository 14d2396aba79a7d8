"""Families: planted copies are found and told rightly, random weights have none, and what turns is what is said."""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import nn

import filterscope as fs
from assassin import Assassin, Killed
from filterscope.atlas.diagnosis import WHOLE, Finding
from filterscope.atlas.records import Optimum, Relation
from filterscope.errors import FilterscopeError
from filterscope.findings.discoveries import discoveries, tail_p
from filterscope.findings.families import FAMILIES, FAMILY, INVARIANT, Families
from filterscope.findings.kernel_families import copies
from filterscope.findings.links import MIRRORED, ROTATED, SHIFTED, Link, families
from filterscope.findings.optimum_parts import ShowOptima, parts_each
from filterscope.findings.pixel_kernels import PixelKernels
from filterscope.findings.response_families import by_turn, curves_of, likenesses, turned_copies
from filterscope.findings.shifted_copies import likeness, shifted_copies
from filterscope.lenses import Optima, Workbench
from filterscope.lenses.packing import unpacked
from filterscope.lenses.pool import Crop, Strongest
from filterscope.lenses.turned_parts import TURNS, turned, turning_canvas, wide, with_margin
from filterscope.lenses.turned_parts import Heard as Turned

QUICK = Families(parts=24, scenes=48)


@pytest.fixture(scope="module")
def known() -> Iterator[SimpleNamespace]:
    """The networks of the benchmark, which lies beside the package: by its folder."""
    folder = str(Path(__file__).resolve().parents[2] / "benchmarks" / "diagnosis")
    sys.path.insert(0, folder)
    try:
        import turning_networks

        yield turning_networks
    finally:
        sys.path.remove(folder)


def layer(weights: np.ndarray, colours: bool = True) -> PixelKernels:
    return PixelKernels("conv", weights, colours, weights)


def only(links: list[Link]) -> Link:
    assert len(links) == 1, links
    return links[0]


# Kernels


def planted(shape: tuple[int, ...], copy, seed: int = 0) -> list[Link]:
    """What is found among random kernels of which the last is made of the second."""
    weights = np.random.default_rng(seed).standard_normal(shape)
    weights[-1] = copy(weights[1])
    return copies(layer(weights, colours=shape[1] == 3))


@pytest.mark.parametrize("shape", [(24, 3, 3, 3), (20, 3, 5, 5), (12, 1, 7, 7)])
def test_a_kernel_turned_by_quarters_or_mirrored_is_found_at_its_angle(shape):
    for quarter in (1, 2, 3):
        link = only(planted(shape, lambda kernel, q=quarter: np.rot90(kernel, q, (1, 2)), quarter))
        assert (link.unit, link.other, link.kind, link.angle) == (1, shape[0] - 1, ROTATED, 90 * quarter)
        assert link.similarity > 0.99
        assert link.p < 1e-3
    link = only(planted(shape, lambda kernel: np.rot90(kernel[:, :, ::-1], 1, (1, 2))))
    assert (link.kind, link.mirrored, link.angle) == (MIRRORED, True, 90)


def test_a_shifted_kernel_is_found_with_where_it_went_and_its_strength():
    def down_and_dark(kernel: np.ndarray) -> np.ndarray:
        moved = np.zeros_like(kernel)
        moved[:, 1:, :-1] = -3 * kernel[:, :-1, 1:]
        return moved

    link = only(planted((24, 3, 5, 5), down_and_dark, 3))
    assert (link.kind, link.dy, link.dx, link.angle) == (SHIFTED, 1, -1, 0)
    assert -3 < link.scale < -2


def test_gabors_at_every_fifteen_degrees_are_one_family(known):
    """Kernels of 11 pixels can be turned by any angle."""
    rng = np.random.default_rng(0)
    order = rng.permutation(12)
    gabors = np.stack([known.gabor(11, 15 * turn, 6, 0.8) for turn in order])
    others = rng.standard_normal((20, 11, 11))
    weights = np.concatenate([gabors, others])[:, None] * np.ones((1, 3, 1, 1))
    links = copies(layer(weights))
    assert {one.unit for one in links} | {one.other for one in links} <= set(range(12))
    plain = [one for one in links if one.kind == ROTATED and one.scale > 0]
    assert len(plain) > 40
    for one in plain:
        apart = (15 * (order[one.other] - order[one.unit]) - one.angle + 180) % 360 - 180
        # Of a slightly odd Gabor half a turn more is nearly the same.
        assert min(abs(apart), 180 - abs(apart)) <= 15
    assert sorted(families(32, links)[0].members) == list(range(12))


@pytest.mark.parametrize("shape", [(64, 3, 3, 3), (16, 1, 3, 3), (20, 3, 7, 7)])
def test_random_kernels_have_no_families(shape):
    found = [len(copies(layer(np.random.default_rng(seed).standard_normal(shape)))) for seed in range(4)]
    assert sum(found) == 0


def test_what_blobs_of_one_colour_have_in_common_makes_no_copies():
    rng = np.random.default_rng(0)
    blob = np.exp(-(np.hypot(*np.mgrid[-2:3, -2:3]) ** 2) / 4)
    weights = np.array([1, -0.5, -0.5])[:, None, None] * blob + 0.1 * rng.standard_normal((16, 3, 5, 5))
    assert copies(layer(weights)) == []


def test_kernels_of_zeros_and_of_single_taps_are_left_alone():
    weights = np.random.default_rng(0).standard_normal((12, 3, 3, 3))
    weights[3:6] = 0
    weights[6:9] = 0
    weights[6, :, 0, 0] = weights[7, :, 2, 2] = weights[8, :, 1, 1] = 1
    assert copies(layer(weights)) == []
    assert copies(layer(weights[:1])) == []


# Turning


def test_turned_parts_are_those_of_another_program():
    """Pillow turns counter-clockwise as well."""
    rng = np.random.default_rng(0)
    size = (31, 31)
    outer, margin = with_margin(size)
    small = Image.fromarray(rng.integers(60, 190, (9, 9, 3)).astype(np.uint8))
    big = small.resize((outer[1], outer[0]), Image.Resampling.BICUBIC)
    parts = np.asarray(big)[None]
    seen = set()
    for mirrored, step, shown in turned(parts, size, 31):
        seen.add((mirrored, step))
        source = big.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else big
        wanted = np.asarray(source.rotate(360 / TURNS * step, Image.Resampling.BICUBIC))[margin:-margin, margin:-margin]
        # The middle of the window, where it lets all through.
        middle = (slice(11, 20), slice(11, 20))
        assert np.abs(shown[0][middle].astype(int) - wanted[middle]).max() <= 4
    assert len(seen) == 2 * TURNS


def test_units_are_shown_parts_at_whose_middle_they_look():
    network = stem()
    layers = network.layers()
    size = turning_canvas(network, layers[1:])
    field = layers[1].field_size[0]
    assert (field - size[0]) % 2 == 0


def stem() -> fs.Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2))
    return network_of(module, (40, 40))


def network_of(module: nn.Module, size: tuple[int, int], channels: int = 3) -> fs.Network:
    order = {1: "L", 3: "RGB"}.get(channels, "")
    return fs.Network(module, fs.Preprocessing(size, (0.5,) * channels, (0.25,) * channels, channels=order))


def test_a_part_is_cut_with_what_lies_around_it():
    image = np.random.default_rng(0).integers(0, 255, (60, 60, 3)).astype(np.uint8)
    _, margin = with_margin((10, 10))
    part = wide(image, Crop(0, 25, 20), (10, 10))
    assert (part[margin:-margin, margin:-margin] == image[25:35, 20:30]).all()
    assert (part == image[25 - margin : 35 + margin, 20 - margin : 30 + margin]).all()


# Responses


def test_likenesses_are_correlations_over_all_parts_at_all_turns():
    rng = np.random.default_rng(0)
    shown = by_turn(rng.standard_normal((2, 3, TURNS, 5)).astype(np.float32))
    found = np.concatenate([products for _, products in likenesses(shown, shown)], axis=2)
    for unit, other in itertools.product(range(5), repeat=2):
        for turn in (0, 5, 17):
            plain = sum(
                float(shown[m, x, t, unit] * shown[m, x, (t + turn) % TURNS, other])
                for m, x, t in itertools.product(range(2), range(3), range(TURNS))
            )
            flipped = sum(
                float(shown[m, x, t, unit] * shown[1 - m, x, (turn - t) % TURNS, other])
                for m, x, t in itertools.product(range(2), range(3), range(TURNS))
            )
            assert found[:, turn, unit, other] == pytest.approx([plain, flipped], abs=1e-9)


def heard_of(turns: list[int], *, units: int = 12, seed: int = 0) -> np.ndarray:
    """Units with peaks of their own in thirty parts; the first ones are copies of the very first, turned by so much."""
    rng = np.random.default_rng(seed)
    steps = np.arange(TURNS)
    heard = np.zeros((2, 30, TURNS, units), np.float32)
    for unit in range(units):
        peak, strong = rng.integers(0, TURNS, (2, 30)), rng.random((2, 30)) ** 2
        apart = (steps - peak[..., None] + 12) % TURNS - 12
        heard[..., unit] = strong[..., None] * np.exp(-(apart**2) / 8)
    # Something has to be strong as it is.
    heard[0, :4, 0, 0] = 1
    for unit, turn in enumerate(turns):
        heard[..., unit] = np.roll(heard[..., 0], turn, 2)
    return heard


def told(heard: np.ndarray) -> list[Link]:
    units = heard.shape[3]
    return turned_copies(heard, curves_of(heard, heard.max((0, 1, 2)), np.zeros(units)))


def test_a_unit_that_says_the_same_to_turned_parts_is_turned_and_one_that_says_the_same_is_not():
    links = told(heard_of([0, 4, 0, 9]))
    # Unit 2 is unit 0, not turned: a duplicate, and no relation of this kind.
    assert {(one.unit, one.other): one.angle for one in links} == {
        (0, 1): 60,
        (1, 2): 300,
        (0, 3): 135,
        (2, 3): 135,
        (1, 3): 75,
    }


def test_of_units_that_have_nothing_in_common_none_are_related():
    assert sum(len(told(heard_of([], units=40, seed=seed))) for seed in range(5)) == 0


def test_a_weak_copy_that_leaves_out_half_of_the_parts_is_none():
    heard = heard_of([0, 4])
    heard[:, ::2, :, 1] = 0
    assert told(heard) == []


def test_units_that_never_fire_and_units_that_see_no_turn_are_in_no_family():
    heard = heard_of([0, 4, 8])
    heard[..., 3] = -1
    heard[..., 4:6] = np.random.default_rng(0).random((2, 30, 1, 1))
    curves = curves_of(heard, heard.max((0, 1, 2)), np.zeros(12))
    assert not curves.tested[3]
    assert curves.invariant.nonzero()[0].tolist() == [4, 5]
    assert curves.flat[4] == pytest.approx(1, abs=1e-6)
    assert {one.other for one in turned_copies(heard, curves)} <= {1, 2}


# Displaced copies


@pytest.mark.parametrize(("stride", "norm"), [(1, True), (2, False)])
def test_a_deep_kernel_moved_by_a_place_is_told_to_be_moved_there(known, stride, norm, tmp_path):
    torch.manual_seed(0)
    conv = nn.Conv2d(10, 16, 3, padding=1, bias=not norm)
    module = nn.Sequential(nn.Conv2d(3, 10, 5, padding=2), nn.ReLU(), conv, nn.BatchNorm2d(16) if norm else nn.ReLU())
    network = network_of(module.eval(), (20, 20))
    truths = known.displaced(network, "2", 4, np.random.default_rng(0))
    if stride > 1:
        # Kernels are moved by one place, maps by half of one: no two places of them say the same.
        conv.stride = (2, 2)
    lens = replace(QUICK, parts=8)
    network = fs.Network(network.module, network.preprocessing)
    atlas = fs.inspect(network, None, tmp_path / "a", lenses=[lens], layers=["2"])
    found = {(one.other, one.unit): (one.dy, one.dx) for one in atlas.records(Relation, layer="2", kind=SHIFTED)}
    if stride == 1:
        assert truths.items() <= found.items()
        backwards = {(copy, unit): (-down, -right) for (unit, copy), (down, right) in truths.items()}
        assert found == {**truths, **backwards}
    else:
        assert not set(truths) & set(found)


def around_of(steps: dict[int, tuple[int, int]], *, units: int = 14, parts: int = 30, seed: int = 0) -> np.ndarray:
    """Smooth maps that have nothing to do with each other, seen through a window; some are the first one displaced."""
    maps = gaussian_filter(np.random.default_rng(seed).standard_normal((parts, 15, 15, units)), (0, 1, 1, 0))
    for unit, step in steps.items():
        maps[..., unit] = np.roll(maps[..., 0], step, (1, 2))
    return (maps[:, 4:11, 4:11] * 10).astype(np.float32)


def told_around(heard: np.ndarray) -> list[Link]:
    return shifted_copies(heard, heard.max((0, 1, 2)), np.zeros(heard.shape[3]), 2)[0]


def test_units_that_say_the_same_some_places_further_are_told_by_how_far():
    links = told_around(around_of({1: (2, 0), 2: (0, 0), 3: (-1, 1), 4: (3, 3)}))
    # What a unit says further down it sees further up; what is the same without a step is a duplicate, no copy; three
    # places each way are more than is looked for.
    assert {(one.unit, one.other): (one.dy, one.dx) for one in links} == {
        (0, 1): (-2, 0),
        (1, 2): (2, 0),
        (0, 3): (1, -1),
        (2, 3): (1, -1),
    }
    assert all(one.similarity > 0.999 for one in links)


def test_of_smooth_maps_that_have_nothing_in_common_none_are_displaced():
    assert sum(len(told_around(around_of({}, units=40, seed=seed))) for seed in range(4)) == 0


def test_a_displaced_unit_that_leaves_out_half_of_the_parts_is_no_copy():
    heard = around_of({1: (1, 0)})
    heard[::2, ..., 1] = 0
    assert told_around(heard) == []


def test_likeness_by_place_is_the_correlation_of_what_overlaps():
    rng = np.random.default_rng(0)
    heard = rng.standard_normal((3, 5, 7, 4)).astype(np.float32)
    for down, right in ((0, 0), (1, 0), (2, -1), (-1, 2)):
        found = likeness(heard, heard, (down, right))
        for unit, other in itertools.product(range(4), repeat=2):
            mine, theirs = [], []
            for part in range(3):
                places = [
                    (y, x) for y, x in itertools.product(range(5), range(7)) if 0 <= y + down < 5 and 0 <= x + right < 7
                ]
                one = np.array([heard[part, y, x, unit] for y, x in places], np.float64)
                two = np.array([heard[part, y + down, x + right, other] for y, x in places], np.float64)
                mine, theirs = [*mine, *(one - one.mean())], [*theirs, *(two - two.mean())]
            if found[unit, other]:
                assert found[unit, other] == pytest.approx(np.corrcoef(mine, theirs)[0, 1], abs=1e-5)


# Optima as parts


def test_optima_that_the_atlas_has_are_turned_beside_the_parts_of_images(tmp_path, monkeypatch):
    """The pictures of units that no part was chosen for, as the network was shown them."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 12, 3))
    network = network_of(module, (24, 24))
    shown = []
    plain = ShowOptima.__call__
    monkeypatch.setattr(ShowOptima, "__call__", lambda self, bench: (shown.append(self), plain(self, bench))[1])
    lens = replace(QUICK, parts=2, scenes=8, optima=2.0)
    fs.inspect(network, None, tmp_path / "without", lenses=[lens])
    assert shown == []
    atlas = fs.inspect(network, None, tmp_path / "with", lenses=[Optima(steps=10), lens])
    assert shown
    for one in shown:
        for (number, unit), picture in zip(one.units, one.pictures, strict=True):
            layer = one.layers[number]
            record = atlas.records(Optimum, layer=layer.name, unit=unit)[0]
            # The oracle: the network says to the picture what the record says that it does.
            pixels = torch.from_numpy((picture / 255 - 0.5) / 0.25).permute(2, 0, 1)[None].float()
            part = network.module[: int(layer.name) + 1](pixels)
            assert part[0, unit, part.shape[2] // 2, part.shape[3] // 2].item() == pytest.approx(
                record.activation, rel=1e-3
            )
    evidence = atlas.records(Finding, kind=FAMILIES, layer="2")[0].evidence
    beside = sum(len(one.units) for one in shown if "2" in [layer.name for layer in one.layers])
    assert f"{beside} of them optima" in evidence
    without = fs.Atlas(tmp_path / "without").records(Finding, kind=FAMILIES, layer="2")[0].evidence
    assert "optima" not in without


def test_an_optimum_is_no_stronger_for_its_unit_than_images_are():
    torch.manual_seed(0)
    network = network_of(nn.Sequential(nn.Conv2d(3, 4, 5, bias=False)), (9, 9))
    layers = tuple(network.layers())
    picture = np.random.default_rng(0).integers(0, 255, (5, 5, 3)).astype(np.uint8)
    work = ShowOptima(layers, (picture,), ((0, 2),), (0.05,), (9, 9), 5)
    heard = Turned.unpacked([unpacked(work(Workbench(network)).partial)], 0)
    assert heard.values[..., 2].max() + heard.grey[2] == pytest.approx(0.05, rel=0.01)
    free = replace(work, largest=(1e6,))
    whole = Turned.unpacked([unpacked(free(Workbench(network)).partial)], 0)
    ratio = heard.values[..., 2].max() / whole.values[..., 2].max()
    # All units alike: relations between them stay as they are.
    assert np.allclose(heard.values, ratio * whole.values, atol=2e-3 * np.abs(heard.values).max())


def test_optima_are_those_of_units_that_have_the_fewest_parts():
    strongest = Strongest(
        *(np.array(one) for one in ([0, 0, 1, 2], [0, 1, 0, 5], [0, 0, 1, 9], [0, 0, 0, 0], [1.0] * 4))
    )
    have = parts_each(strongest, [Crop(0, 0, 0), Crop(1, 0, 0)], 4)
    assert have.tolist() == [2, 1, 0]


# Many tests at once


def test_discoveries_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.random(30) ** 3
        order = np.sort(p)
        last = max((k for k in range(1, 31) if order[k - 1] <= 0.05 * k / 30), default=0)
        assert discoveries(p, 0.05).sum() == last
        assert last == 0 or (p[discoveries(p, 0.05)].max() <= order[last - 1])


def test_p_values_beyond_all_draws_go_on_as_the_tail_does():
    chance = np.random.default_rng(0).exponential(size=20_000)
    values = np.array([1.0, 5.0, 15.0, 20.0])
    assert np.log(tail_p(values, chance)) == pytest.approx(-values, rel=0.15)
    assert tail_p(np.array([99.0]), chance[:50])[0] == pytest.approx(1 / 51)


def test_a_chain_of_pairs_is_no_family():
    chain = [Link(unit, unit + 1, ROTATED, 0.9, 15.0) for unit in range(7)]
    assert max(len(one.members) for one in families(8, chain)) == 2
    ring = [Link(a, b, ROTATED, 0.9, 45.0 * (b - a)) for a, b in itertools.combinations(range(8), 2)]
    assert [len(one.members) for one in families(8, ring)] == [8]


def test_a_link_reversed_undoes_it():
    turned_link, mirrored = Link(0, 1, ROTATED, 1, 60.0, scale=2.0), Link(0, 1, MIRRORED, 1, 60.0, mirrored=True)
    assert (turned_link.reversed().angle, turned_link.reversed().scale) == (300, 0.5)
    kernel = np.random.default_rng(0).standard_normal((5, 5))
    there = np.rot90(kernel[:, ::-1], 1)
    assert (np.rot90(there[:, ::-1], 1) == kernel).all()
    assert mirrored.reversed().angle == 60
    assert mirrored.reversed().reversed() == mirrored


# Whole networks


def test_exact_copies_in_a_second_layer_are_found_at_their_angles(known, tmp_path):
    network, truths = known.equivariant(1, first=2, second=3, side=24)
    atlas = fs.inspect(network, None, tmp_path / "a", lenses=[Families(parts=32, scenes=96)])
    below, deep = ([one for one in truths if one.layer == name] for name in ("0", "2"))
    relations = {(one.other, one.unit): one for one in atlas.records(Relation, layer="2")}
    right = [
        (one.mirrored, one.angle) == (relations[pair].mirrored, relations[pair].angle)
        for one in deep
        if (pair := (one.unit, one.other)) in relations
    ]
    assert len(right) >= 0.95 * len(deep)
    assert all(right)
    every = {(one.unit, one.other) for one in deep} | {(one.other, one.unit) for one in deep}
    assert set(relations) <= every
    sizes = [one.value for one in atlas.records(Finding, layer="2", kind=FAMILY)]
    assert np.mean(np.array(sizes) == 8) >= 0.95
    evidence = atlas.records(Finding, layer="2", kind=FAMILY)[0].evidence
    assert "one family of 8 orientations" in evidence
    assert "Not waste" in evidence
    kernels = {(one.other, one.unit) for one in atlas.records(Relation, layer="0")}
    weights = network.module.get_parameter("0.weight").detach().flatten(1)
    weights = weights / weights.norm(dim=1, keepdim=True)
    # Gabors whose mirror image is nearly themselves are duplicates, and no mirrored copies.
    unlike = [one for one in below if abs(float(weights[one.unit] @ weights[one.other])) < 0.85]
    assert len(unlike) > 40
    assert all((one.unit, one.other) in kernels for one in unlike)


def test_a_round_kernel_sees_no_turn_and_a_grating_does(known, tmp_path):
    down, right = np.mgrid[-4:5, -4:5]
    round_one = np.exp(-(down**2 + right**2) / 6) - 0.4 * np.exp(-(down**2 + right**2) / 12)
    conv = nn.Conv2d(3, 2, 9, bias=False)
    for unit, one in enumerate((round_one, known.gabor(9, 30, 6, 0))):
        conv.weight.data[unit] = torch.from_numpy(np.stack([one] * 3)).float()
    atlas = fs.inspect(network_of(nn.Sequential(conv), (32, 32)), None, tmp_path / "a", lenses=[QUICK])
    found = atlas.records(Finding, kind=INVARIANT)
    assert [one.unit for one in found] == [0]
    assert 0.8 <= found[0].low <= found[0].value <= found[0].high <= 1


ODD = {
    "tiny": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)), (5, 5), 3),
    "one channel": (lambda: nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Conv2d(6, 4, 1)), (16, 16), 1),
    "no square": (lambda: nn.Sequential(nn.Conv2d(3, 6, (3, 5)), nn.ReLU(), nn.Conv2d(6, 4, 3)), (14, 22), 3),
    "all of the image": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1)), 16, 3),
    "pixels one by one": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 1, 1)), (8, 8), 3),
    "never": (lambda: nn.Sequential(never(nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.Conv2d(4, 4, 3)), (16, 16), 3),
}


def never(conv: nn.Conv2d) -> nn.Conv2d:
    """Every unit is off for ever."""
    conv.bias.data[:] = -1000
    return conv


@pytest.mark.parametrize("name", ODD)
def test_odd_networks_are_told_something_of_every_layer(name, tmp_path):
    make, size, channels = ODD[name]
    torch.manual_seed(0)
    size = size if isinstance(size, tuple) else (size, size)
    network = network_of(make(), size, channels)
    atlas = fs.inspect(network, None, tmp_path / "a", lenses=[replace(QUICK, parts=4, scenes=8)])
    found = atlas.records(Finding, kind=FAMILIES)
    assert sorted(one.layer for one in found) == sorted(one.name for one in network.layers())
    assert all(one.unit == WHOLE and 0 <= one.value <= 1 for one in found)
    if name == "never":
        assert atlas.records(Finding, kind=FAMILY, layer="2") == []
        assert atlas.records(Finding, kind=INVARIANT) == []


def test_a_run_that_was_killed_finds_the_same(known, tmp_path):
    network, _ = known.equivariant(2, first=1, second=1, side=20)
    lens = replace(QUICK, parts=20, scenes=24)
    with pytest.raises(Killed):
        fs.inspect(network, None, tmp_path / "killed", lenses=[lens], watcher=Assassin(3))
    fs.inspect(network, None, tmp_path / "killed", lenses=[lens])
    fs.inspect(network, None, tmp_path / "whole", lenses=[lens])
    for kind in (Relation, Finding):
        assert fs.Atlas(tmp_path / "killed").records(kind) == fs.Atlas(tmp_path / "whole").records(kind)


@pytest.mark.parametrize("setting", [{"parts": 1}, {"rate": 0.0}, {"scenes": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(FilterscopeError, match=r"not [01]"):
        Families(**setting)
