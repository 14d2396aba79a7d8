"""Kernels: known weights must come back as known pictures, in the right colours, from the right input channels."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import filterscope as fs
from filterscope.atlas.records import Kernel, Sheet
from filterscope.lenses.kernels import chroma_share, kernel_array


def atlas_of(module: nn.Module, folder, *, channels: str = "RGB", **settings) -> fs.Atlas:
    count = len(channels) or 3
    preprocessing = fs.Preprocessing((16, 16), (0.0,) * count, (1.0,) * count, channels=channels)
    return fs.inspect(fs.Network(module, preprocessing), None, folder / "a.atlas", lenses=[fs.Kernels(**settings)])


def first_layer(kernels: np.ndarray) -> nn.Sequential:
    conv = nn.Conv2d(kernels.shape[1], len(kernels), kernels.shape[2:], bias=False)
    conv.weight.data = torch.from_numpy(kernels.astype(np.float32))
    return nn.Sequential(conv)


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_a_red_a_grey_and_an_edge_kernel_look_like_that(tmp_path, channels):
    kernels = np.zeros((3, 3, 3, 3))
    kernels[0, channels.index("R")] = 1.0
    kernels[1] = 0.5
    kernels[2, :, :, 0], kernels[2, :, :, 2] = -1.0, 1.0
    atlas = atlas_of(first_layer(kernels), tmp_path, channels=channels)
    red, grey, edge = (atlas.tile(record).astype(int) for record in atlas.records(Kernel))
    # Full red; green and blue are zero, which is mid grey.
    assert np.unique(red.reshape(-1, 3), axis=0).tolist() == [[255, 128, 128]]
    assert np.unique(grey).tolist() == [255]
    width = edge.shape[1] // 3
    assert (edge[:, :width] == 0).all()
    assert (edge[:, width : 2 * width] == 128).all()
    assert (edge[:, 2 * width :] == 255).all()


def test_the_scale_is_the_units_own_or_the_layers(tmp_path):
    kernels = np.stack([np.full((3, 3, 3), 1.0), np.full((3, 3, 3), 0.1)])
    for scale, weak in (("unit", 255), ("layer", 140)):
        atlas = atlas_of(first_layer(kernels), tmp_path / scale, scale=scale)
        assert np.unique(atlas.tile(atlas.records(Kernel)[1])).tolist() == [weak]


def test_a_kernel_of_zeros_is_mid_grey_with_norm_and_chroma_zero(tmp_path):
    atlas = atlas_of(first_layer(np.zeros((2, 3, 5, 5))), tmp_path)
    record = atlas.records(Kernel)[0]
    assert (record.norm, record.chroma) == (0.0, 0.0)
    assert np.unique(atlas.tile(record)).tolist() == [128]


def test_chroma_is_0_for_grey_1_for_opponent_colours_and_two_thirds_for_pure_red():
    grey, opponent, red = np.ones((3, 1, 1)), np.array([1.0, -1.0, 0.0]).reshape(3, 1, 1), np.zeros((3, 1, 1))
    red[0] = 1.0
    shares = chroma_share(np.stack([grey, opponent, red]).astype(np.float32))
    np.testing.assert_allclose(shares, [0, 1, 2 / 3], atol=1e-7)


def test_norms_are_those_of_the_weights(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 7, (1, 3)))
    units = atlas_of(module, tmp_path).units()
    for name, conv in (("0", module[0]), ("2", module[2])):
        expected = conv.weight.detach().flatten(1).norm(dim=1).numpy()
        np.testing.assert_allclose(units[units.layer == name].norm, expected, rtol=1e-5)
    assert units[units.layer == "2"].chroma.isna().all()


def test_the_slices_are_the_strongest_input_channels_in_order(tmp_path):
    conv = nn.Conv2d(12, 2, 3, padding=1, bias=False)
    strength = torch.tensor([5, 1, 9, 0, 3, 7, 2, 8, 4, 6, 0.5, 0.1])
    conv.weight.data = (strength / 10)[None, :, None, None].expand(2, 12, 3, 3).clone()
    conv.weight.data[1] *= -1
    atlas = atlas_of(nn.Sequential(nn.Conv2d(3, 12, 1), conv), tmp_path, slices=4)
    positive, negative = atlas.records(Kernel, layer="1")
    assert positive.slices == negative.slices == (2, 7, 5, 9)
    reddish, bluish = (atlas.tile(record).reshape(-1, 3).mean(0) for record in (positive, negative))
    assert reddish[0] > reddish[2] + 100
    assert bluish[2] > bluish[0] + 100


def test_slices_of_a_grouped_layer_name_the_channels_of_their_group(tmp_path):
    torch.manual_seed(0)
    grouped = nn.Conv2d(8, 4, 3, groups=4)
    atlas = atlas_of(nn.Sequential(nn.Conv2d(3, 8, 3), grouped), tmp_path)
    for record in atlas.records(Kernel, layer="1"):
        assert set(record.slices) == {2 * record.unit, 2 * record.unit + 1}


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_layers_kernel_is_what_its_unit_draws(groups):
    # A single one at an input channel paints the kernel's slice: the oracle is the layer itself.
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(4, 6, 3, groups=groups, bias=False)
    network = fs.Network(nn.Sequential(nn.Conv2d(3, 4, 1), conv), fs.Preprocessing((8, 8)))
    kernels = kernel_array(network, network.layer("1"))
    per_group = 4 // groups
    for channel in range(4):
        spike = torch.zeros(1, 4, 1, 1)
        spike[0, channel] = 1
        painted = F.conv_transpose2d(spike, conv.weight, groups=groups)[0].detach().numpy()
        for unit in range(6):
            same_group = unit // (6 // groups) == channel // per_group
            expected = kernels[unit, channel % per_group] if same_group else np.zeros((3, 3))
            np.testing.assert_allclose(painted[unit], expected, atol=1e-7)


@pytest.mark.parametrize(("size", "tile"), [(1, 56), (3, 54), (7, 56), (11, 55)])
def test_first_layers_of_any_size_are_enlarged_by_whole_factors(tmp_path, size, tile):
    module = nn.Sequential(nn.Conv2d(3, 4, size, stride=2))
    atlas = atlas_of(module, tmp_path)
    assert atlas.records(Sheet)[0].tile_height == tile


def test_a_module_without_kernels_has_none(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    network = fs.Network(module, fs.Preprocessing((9, 9)))
    atlas = fs.inspect(network, None, tmp_path / "a", layers=["1"], lenses=["kernels"])
    assert atlas.records(Kernel) == []
    assert atlas.sheets() == []


def test_only_what_reads_the_image_is_drawn_in_colour(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 3))
    atlas = atlas_of(module, tmp_path)
    assert all(record.chroma is not None for record in atlas.records(Kernel, layer="0"))
    assert all(record.chroma is None for record in atlas.records(Kernel, layer="2"))
