"""Moments, held against NumPy's covariance of the responses themselves."""

import numpy as np
import pytest
import torch
from torch import nn

import filterscope as fs
from filterscope.atlas.diagnosis import Moment
from filterscope.lenses import Moments, scan


@pytest.fixture
def photos() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (40, 14, 14, 3), np.uint8))


@pytest.fixture
def network() -> fs.Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 4, 3, stride=2))
    module[1].running_mean.normal_()
    module[1].bias.data[2] = -100.0
    return fs.Network(module, fs.Preprocessing((14, 14)), name="small")


def responses(network: fs.Network, photos: list[np.ndarray], last: int) -> np.ndarray:
    """The output of the first modules at all positions, (position, unit)."""
    pixels = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).double() / 255
    with torch.no_grad():
        maps = network.module.double().eval()[:last](pixels)
    network.module.float()
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]).numpy()


@pytest.mark.parametrize(("layer", "last", "of"), [("0", 3, "response"), ("3", 4, "pre-activation")])
def test_moments_are_those_of_what_is_handed_on(network, photos, tmp_path, monkeypatch, layer, last, of):
    monkeypatch.setattr(scan, "CHUNK", 9)
    atlas = fs.inspect(network, photos, tmp_path / "x.atlas", lenses=[Moments(side=64)])
    (found,) = atlas.records(Moment, layer=layer)
    expected = responses(network, photos, last)
    assert (found.of, found.images, found.samples, found.units) == (of, 40, len(expected), expected.shape[1])
    np.testing.assert_allclose(found.mean(), expected.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.covariance(), np.cov(expected.T, bias=True), atol=1e-5)


def test_positions_lie_evenly_and_units_without_spread_correlate_with_nothing(network, photos, tmp_path):
    atlas = fs.inspect(network, photos, tmp_path / "x.atlas", lenses=[Moments(side=3)])
    (found,) = atlas.records(Moment, layer="0")
    assert found.samples == 9 * 40
    assert not found.correlation()[2].any()
    assert not found.correlation()[:, 2].any()


def test_without_images_it_says_so(network, tmp_path):
    with pytest.raises(fs.FilterscopeError, match="looks at images"):
        fs.inspect(network, None, tmp_path / "x.atlas", lenses=["moments"])
