"""Perturbations: what filters with a known function lose is known; and what a run shares, keeps and leaves alone."""

import itertools
import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import filterscope as fs
from assassin import Assassin, Killed
from filterscope.atlas.records import Patch, Perturbation, Tuning
from filterscope.errors import FilterscopeError
from filterscope.lenses import Patches, Perturbations, Workbench, perturbations
from filterscope.lenses.alteration_series import alterations, windows
from filterscope.lenses.centre import Centre
from filterscope.lenses.remainders import Heard, remainders

SIDE = 25
SMALL = Perturbations(crops=10, strongest=4, scenes=20)


def network_of(module: nn.Module, channels: int = 3, size=(SIDE, SIDE)) -> fs.Network:
    module = nn.Sequential(module) if isinstance(module, nn.Conv2d) else module
    order = {1: "L", 3: "RGB"}.get(channels, "")
    return fs.Network(module, fs.Preprocessing(size, (0.5,) * channels, (0.25,) * channels, channels=order))


def filters(*kernels: np.ndarray) -> nn.Conv2d:
    """One convolution without bias, padded so that its middle position sees the whole image."""
    stacked = np.stack([kernel if kernel.ndim == 3 else np.stack([kernel] * 3) / 3 for kernel in kernels])
    conv = nn.Conv2d(3, len(kernels), stacked.shape[2:], padding=stacked.shape[2] // 2, bias=False)
    conv.weight.data = torch.from_numpy(stacked.astype(np.float32))
    return conv


def places() -> tuple[np.ndarray, np.ndarray]:
    down, right = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    return down, right


def disc(radius: float) -> np.ndarray:
    return (np.hypot(*places()) <= radius).astype(float)


def pictures(*patterns: np.ndarray) -> np.ndarray:
    """Patterns of -1 to 1 around mid grey."""
    found = [np.broadcast_to(one if one.ndim == 3 else one[..., None], (SIDE, SIDE, 3)) for one in patterns]
    return np.clip(np.rint(128 + 100 * np.stack(found)), 0, 255).astype(np.uint8)


def told(module: nn.Module, pixels: np.ndarray, layer: str = "0") -> list[Perturbation]:
    """What alterations of these images leave of a layer's response: the lens without its pool."""
    network = network_of(module)
    one = network.layer(layer)
    with Centre(Workbench(network), [one], (SIDE, SIDE)) as centre:
        grey = centre.hear(np.full((1, SIDE, SIDE, 3), 128, np.uint8))
        heard = Heard.begin(pixels, centre.hear(pixels), [grey[0][0]], 4)
        for way in alterations(SIDE):
            heard.add(centre.hear(way(pixels)))
    largest = np.full(one.channels, np.inf)
    return list(remainders(layer, heard, 0, field=SIDE, own=SIDE, largest=largest))


def test_the_tiles_of_a_linear_filter_add_up():
    stripes = np.cos(0.8 * places()[1])
    for pattern in (disc(8), disc(12), stripes * disc(9)):
        record = told(filters(pattern), pictures(pattern))[0]
        # Of a square as wide as the extent: what is outside of it no tile takes.
        assert 0.7 < record.superadditivity < 1.05


def test_an_and_of_four_dots_needs_every_one_and_their_sum_does_not():
    down, right = places()
    dots = sum((np.hypot(down - y, right - x) <= 1.2).astype(float) for y in (-6, 6) for x in (-6, 6))

    def four(threshold: float) -> nn.Sequential:
        dot = filters(disc(1.2)[10:15, 10:15])
        both = nn.Conv2d(1, 1, 13, padding=6)
        with torch.no_grad():
            both.weight.zero_()
            both.weight[0, 0, ::12, ::12] = 1
            seen = dot(torch.from_numpy(pictures(dots) / 255 * 4 - 2).float().permute(0, 3, 1, 2)).max()
            both.bias.fill_(-threshold * float(seen))
        return nn.Sequential(dot, nn.ReLU(), both, nn.ReLU(), nn.Conv2d(1, 1, 1))

    needed, added = four(3), four(0)
    for module in (needed, added):
        module[4].weight.data.fill_(1)
        module[4].bias.data.zero_()
    one, other = (told(module, pictures(dots), "4")[0] for module in (needed, added))
    assert 3 < one.superadditivity <= 4.6
    assert other.superadditivity == pytest.approx(0.9, abs=0.15)
    assert one.scrambled < 0.1


def test_only_a_symmetric_filter_does_not_mind_what_is_upside_down():
    down, right = places()
    step = np.sign(right) * disc(9)
    ring = np.cos(np.hypot(down, right)) * disc(11)
    both = told(filters(ring, step), pictures(ring, step))
    assert both[0].upside_down == pytest.approx(1, abs=1e-3)
    assert both[1].upside_down == 0


def test_a_filter_for_colour_dies_in_grey_and_in_the_opposed_colour_and_one_for_brightness_does_not():
    red = np.stack([disc(8), -disc(8), np.zeros((SIDE, SIDE))])
    both = told(filters(red, disc(8)), pictures(red.transpose(1, 2, 0), disc(8)))
    # Red alone is seen as well in grey as a third of it is, and is not in cyan.
    first = np.stack([disc(8), 0 * disc(8), 0 * disc(8)])
    half = told(filters(first), pictures(first.transpose(1, 2, 0)))[0]
    assert (half.without_colour, half.complement) == (pytest.approx(1 / 3, abs=0.01), 0)
    assert (both[0].without_colour, both[0].complement) == (0, 0)
    assert both[1].without_colour == pytest.approx(1, abs=0.01)
    assert both[1].complement == pytest.approx(1, abs=0.01)


def test_the_extent_is_that_of_the_kernel_and_not_that_of_the_receptive_field():
    radii = (3, 5, 8, 12)
    records = told(filters(*(disc(radius) for radius in radii)), pictures(np.ones((SIDE, SIDE))))
    for record, radius in zip(records, radii, strict=True):
        # By area: nine tenths of a disc lie within 0.95 of its radius.
        assert record.extent / (2 * radius) == pytest.approx(1.0, abs=0.25)
        assert record.half * record.extent / (2 * radius) == pytest.approx(math.sqrt(0.5), abs=0.2)
        assert 3 <= record.extent <= SIDE


def pooled(kernel: np.ndarray, pool: nn.Module) -> nn.Sequential:
    """Four filters in the phases of the kernel and its quarter, rectified, and pooled."""
    conv = filters(kernel, -kernel, kernel.T, -kernel.T)
    last = nn.Conv2d(4, 1, 1, bias=False)
    last.weight.data.fill_(1)
    return nn.Sequential(conv, nn.ReLU(), pool, last)


def test_an_edge_that_is_looked_for_everywhere_survives_a_window_of_half_the_field():
    step = np.sign(places()[1]).astype(float)
    kernel = np.sign(np.arange(5) - 2.0)[None].repeat(5, 0)
    record = told(pooled(kernel, nn.MaxPool2d(21, 1, 10)), pictures(step), "3")[0]
    response = dict(zip(windows(SIDE), record.statistics()[4 : 4 + len(windows(SIDE)), 0], strict=True))
    assert response[windows(SIDE)[3]] > 0.9 * record.best
    assert record.extent < SIDE / 2
    filling = told(filters(step * disc(12)), pictures(step))[0]
    assert filling.window_half < 0.5
    assert filling.extent > SIDE / 2


def test_the_energy_of_stripes_survives_disorder_better_than_one_edge():
    right = places()[1]
    stripes = np.cos(2 * np.pi * right / 4)
    wave = np.cos(2 * np.pi * (np.arange(5) - 2.0) / 4)[None].repeat(5, 0)
    energy = told(pooled(wave, nn.AvgPool2d(21, 1, 10)), pictures(stripes), "3")[0]
    step = np.sign(right) * disc(12)
    edge = told(filters(step), pictures(step))[0]
    for name in ("shuffled_quarter", "scrambled", "upside_down"):
        assert getattr(energy, name) > getattr(edge, name) + 0.2


def test_windows_are_read_between_their_diameters_and_below_the_smallest_fall_to_nothing():
    record = told(filters(disc(12)), pictures(disc(12)))[0]
    kept = record.statistics().astype(float)
    share = kept[4 : 4 + len(record.windows)].sum(1) / kept[0].sum()
    # By hand: of a window of half the extent, between its neighbours' on an octave axis.
    for name, part in (("window_half", 2), ("window_quarter", 4)):
        at = math.log2(record.extent / part)
        points = sorted(zip(np.log2(record.windows), share, strict=True))
        (x0, y0), (x1, y1) = next(pair for pair in itertools.pairwise(points) if pair[0][0] <= at < pair[1][0])
        assert getattr(record, name) == pytest.approx(y0 + (y1 - y0) * (at - x0) / (x1 - x0), abs=1e-3)


def test_parts_that_do_not_bring_a_unit_above_its_grey_do_not_count():
    record = told(filters(disc(8)), pictures(disc(8), -disc(8), disc(4)))[0]
    assert record.crops == 2
    assert record.statistics().shape[1] == 2
    nothing = told(filters(disc(8)), pictures(-disc(8)))[0]
    assert (nothing.crops, nothing.extent, nothing.superadditivity, nothing.best) == (0, None, None, 0)


def small(units: int = 4, channels: int = 3, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, units, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(units, units, 3, padding=1)
    )


def looked(network: fs.Network, out: Path, images=None, *, lens: Perturbations = SMALL, **more) -> list[Perturbation]:
    lenses = more.pop("lenses", [lens])
    return fs.inspect(network, images, out, lenses=lenses, **more).records(Perturbation)


def npz(folder: Path, size=(16, 16), channels: int = 3, count: int = 9) -> Path:
    """Random images with smooth parts."""
    dice = np.random.default_rng(0)
    coarse = dice.integers(0, 256, (count, size[0] // 2, size[1] // 2, channels))
    np.savez(folder / "images.npz", x=coarse.repeat(2, 1).repeat(2, 2).astype(np.uint8))
    return folder / "images.npz"


@pytest.mark.parametrize("with_images", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 24])
def test_networks_of_all_channels_are_told_with_images_and_without(tmp_path, channels, with_images):
    images = npz(tmp_path, channels=channels) if with_images else None
    records = looked(network_of(small(channels=channels), channels, (16, 16)), tmp_path / "a", images)
    assert [(record.layer, record.unit) for record in records] == [(name, unit) for name in "02" for unit in range(4)]
    for record in records:
        assert record.crops > 0
        assert record.statistics().shape == (4 + len(record.windows) + 9 + 16, record.crops)
        # At the edge a part is mirrored on, where the image itself ended: that can be more than any image brought.
        assert 0 < record.reached < 1.5
        assert (record.statistics()[0] == np.sort(record.statistics()[0])[::-1]).all()
        assert all(0 <= getattr(record, field.name) <= 2 for field in fields(Perturbation)[8:22])
    if channels == 1:
        assert {record.without_colour for record in records} == {1.0}


@pytest.mark.parametrize("size", [(8, 8), (8, 20), (3, 3), (1, 5)])
def test_tiny_images_are_altered_too(tmp_path, size):
    records = looked(network_of(small(), size=size), tmp_path / "a")
    assert len(records) == 8
    assert any(record.crops for record in records)


def test_a_unit_that_never_fires_and_one_of_zeros_are_told(tmp_path):
    module = small()
    with torch.no_grad():
        module[0].bias[1] = -1000
        module[0].weight[2] = 0
    records = looked(network_of(module, size=(16, 16)), tmp_path / "a")
    assert records[1].grey + records[1].best < 0
    assert (records[2].crops, records[2].extent, records[2].reached, records[2].responses) == (0, None, None, b"")


class Counting(nn.Sequential):
    """Counts the images that it is shown, and how often."""

    def forward(self, x: Tensor) -> Tensor:
        self.passes = getattr(self, "passes", 0) + 1
        self.images = getattr(self, "images", 0) + len(x)
        return super().forward(x)


def test_the_number_of_forward_passes_does_not_grow_with_that_of_the_units(tmp_path):
    counts = []
    for units in (4, 40):
        network = network_of(Counting(*small(units)), size=(16, 16))
        network.layers()
        network.module.passes = network.module.images = 0
        looked(network, tmp_path / str(units))
        counts.append((network.module.passes, network.module.images))
    assert counts[0] == counts[1]
    # 20 scenes; and ten parts in every way, with grey, for the two groups of layers.
    ways = sum(len(alterations(field)) + 1 for field in (3, 5))
    assert counts[0][1] <= 20 + 10 * ways + 40


@pytest.mark.parametrize("with_images", [False, True])
def test_a_run_that_was_killed_and_goes_on_finds_what_one_in_one_piece_finds(tmp_path, monkeypatch, with_images):
    monkeypatch.setattr(perturbations, "ALTERATIONS_A_TASK", 60)
    network = network_of(small(), size=(8, 8))
    images = npz(tmp_path, (8, 8)) if with_images else None
    whole = looked(network, tmp_path / "whole", images)
    sheets = {
        path.name: path.read_bytes()
        for path in sorted((tmp_path / "whole").rglob("*"))
        if path.suffix in (".png", ".jpg")
    }
    tasks = len(fs.Atlas(tmp_path / "whole").tasks())
    assert tasks >= 6
    for after in (1, 2, tasks - 1):
        out = tmp_path / f"{after}"
        with pytest.raises(Killed):
            looked(network, out, images, watcher=Assassin(after))
        assert looked(network, out, images) == whole
        for name, data in sheets.items():
            assert next(out.rglob(name)).read_bytes() == data


def test_the_network_is_left_as_it_was(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Conv2d(4, 2, 3)).train()
    module[1].eval()
    module[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    looked(network_of(module, size=(16, 16)), tmp_path / "a")
    assert [one.training for one in module] == [True, False, True, True, True]
    assert [one.requires_grad for one in module.parameters()] == [False] + [True] * 5
    assert all(one.grad is None for one in module.parameters())
    assert all((value == before[name]).all() for name, value in module.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())


def same(one: Perturbation, other: Perturbation, factor: float = 1, close: float = 1e-4) -> None:
    """All shares alike, and the responses by a factor."""
    assert one.crops == other.crops
    np.testing.assert_allclose(other.statistics(), one.statistics() * factor, rtol=1e-3, atol=close * factor)
    for field in fields(Perturbation)[6:24]:
        before, after = getattr(one, field.name), getattr(other, field.name)
        assert (before is None) == (after is None)
        assert before is None or after == pytest.approx(before, abs=close)


def test_the_order_of_units_and_their_scale_change_nothing_that_is_told(tmp_path):
    module, other = small(), small()
    order, factor = torch.tensor([2, 0, 3, 1]), torch.tensor([1.0, 3.0, 1e-5, 1e5])
    with torch.no_grad():
        other[0].weight.copy_((module[0].weight * factor[:, None, None, None])[order])
        other[0].bias.copy_((module[0].bias * factor)[order])
        other[2].weight.copy_((module[2].weight / factor[:, None, None])[:, order])
    one, two = (looked(network_of(some, size=(16, 16)), tmp_path / str(id(some))) for some in (module, other))
    for place, unit in enumerate(order.tolist()):
        same(one[unit], two[place], float(factor[unit]))
    for unit in range(4, 8):
        same(one[unit], two[unit])


def test_folding_batch_norm_changes_nothing_that_is_told(tmp_path):
    torch.manual_seed(1)
    conv, norm, last = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3)
    with torch.no_grad():
        for one in (norm.weight, norm.running_var):
            one.uniform_(0.5, 2)
        for one in (norm.bias, norm.running_mean):
            one.normal_()
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        folded = nn.Conv2d(3, 4, 3)
        folded.weight.copy_(conv.weight * scale[:, None, None, None])
        folded.bias.copy_(norm.bias - norm.running_mean * scale)
    before = looked(network_of(nn.Sequential(conv, norm, nn.ReLU(), last), size=(16, 16)), tmp_path / "a")
    after = looked(network_of(nn.Sequential(folded, nn.ReLU(), last), size=(16, 16)), tmp_path / "b")
    assert len(before) == len(after) == 7
    for one, other in zip(before, after, strict=True):
        same(one, other)


def test_other_batches_give_the_same_and_so_does_a_second_run(tmp_path):
    network = network_of(small(), size=(16, 16))
    one, two, three = (
        looked(network, tmp_path / name, batch_size=size) for name, size in (("a", 32), ("b", 32), ("c", 7))
    )
    assert one == two
    for before, after in zip(one, three, strict=True):
        same(before, after)


def test_places_that_patches_have_found_are_not_looked_for_again_and_are_the_same(tmp_path):
    network, images = network_of(small(), size=(16, 16)), npz(tmp_path)
    alone = looked(network, tmp_path / "a", images)
    after = looked(network, tmp_path / "b", images, lenses=[Patches(), SMALL])
    for one, other in zip(alone, after, strict=True):
        same(one, other)
    atlas = fs.Atlas(tmp_path / "b")
    assert len(atlas.records(Patch)) == 8 * 9
    titles = [str(title) for title in atlas.tasks()["title"]]
    assert not any("strongest places" in title for title in titles)


def test_drawn_scenes_leave_no_images_and_no_patches_in_the_atlas(tmp_path):
    looked(network_of(small(), size=(16, 16)), tmp_path / "a")
    atlas = fs.Atlas(tmp_path / "a")
    assert not len(atlas.images())
    assert not atlas.records(Patch)
    assert not atlas.records(Tuning)


def test_another_seed_shows_other_scenes(tmp_path):
    network = network_of(small(), size=(16, 16))
    one, two = (looked(network, tmp_path / str(seed), lens=replace(SMALL, seed=seed)) for seed in (0, 1))
    assert [record.best for record in one] != [record.best for record in two]


class Twice(nn.Module):
    """One convolution, called twice, and all the louder the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(100 + self.conv(x).abs())


def test_units_that_are_strongest_in_a_later_call_are_told_by_the_first(tmp_path):
    module = Twice()
    with torch.no_grad():
        module.conv.weight.abs_()
    records = looked(network_of(module, size=(16, 16)), tmp_path / "a")
    assert len(records) == 3
    # Places are looked for in the first call, which is the one that is read: the later one is beside the point.
    assert all(record.crops and record.reached for record in records), [record.reached for record in records]


def test_settings_out_of_range_are_refused():
    for settings in ({"crops": 4, "strongest": 5}, {"strongest": 0}, {"crops": 5000}, {"scenes": 0}):
        with pytest.raises(FilterscopeError, match="1 to"):
            Perturbations(**settings)
