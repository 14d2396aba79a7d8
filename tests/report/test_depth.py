"""The figure of probes and widths: what it draws is what the atlas holds."""

import numpy as np
import pytest

import filterscope as fs
from filterscope.atlas.diagnosis import Probe, Spectrum
from filterscope.errors import FilterscopeError
from filterscope.findings.capacity import Capacity


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> fs.Atlas:
    folder = tmp_path_factory.mktemp("depth")
    dice = np.random.default_rng(0)
    x = dice.integers(0, 256, (60, 32, 32, 3), np.uint8)
    np.savez(folder / "x.npz", x=x, y=np.arange(60) % 2)
    layers = ["block1.conv1", "block1.conv2", "block2.conv1"]
    return fs.inspect("demo", folder / "x.npz", folder / "a.atlas", layers=layers, lenses=[Capacity(blocks=False)])


def test_points_are_the_records(atlas, tmp_path):
    drawn = fs.figure(atlas, "capacity")
    accuracy, width = drawn.axes
    lines = {line.get_label(): line.get_ydata() for axes in drawn.axes for line in axes.get_lines()}
    order = ["block1.conv1", "block1.conv2", "block2.conv1"]
    probes = {(one.layer, one.of): one.accuracy for one in atlas.records(Probe)}
    spectra = {one.layer: one for one in atlas.records(Spectrum)}
    np.testing.assert_allclose(lines["other images, 95 % interval"], [probes[name, "validation"] for name in order])
    np.testing.assert_allclose(lines["images it was fitted on"], [probes[name, "training"] for name in order])
    np.testing.assert_allclose(lines["directions for 99 %"], [spectra[name].dimension / 24 for name in order])
    assert [label.get_text() for label in width.get_xticklabels()] == order
    assert all(not label.get_text() for label in accuracy.get_xticklabels())
    drawn.write(tmp_path / "f.svg")
    assert "block2.conv1" in (tmp_path / "f.svg").read_text()


def test_an_atlas_without_them_says_what_to_run(tmp_path):
    atlas = fs.inspect("demo", None, tmp_path / "a.atlas", layers=["block1.conv1"], lenses=["kernels"])
    with pytest.raises(FilterscopeError, match="--lens capacity"):
        fs.figure(atlas, "capacity")
