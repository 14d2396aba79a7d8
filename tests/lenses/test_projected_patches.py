"""The lens of back-projections: beside each patch what carrying its unit back by itself gives."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hard_networks import Custom, Residual, Shared
from PIL import Image
from torch import nn

import filterscope as fs
from filterscope.atlas import Atlas
from filterscope.atlas.records import BackProjection, Patch, Sheet
from filterscope.engines import LocalEngine
from filterscope.errors import FilterscopeError, UnknownName
from filterscope.images import Preprocessing
from filterscope.lenses import BackProjections
from filterscope.lenses.backprojection import backproject
from filterscope.lenses.tiles import OUTSIDE, full_colour
from filterscope.model import Network

SIZE = (40, 48)
PHOTOS = np.random.default_rng(3).integers(0, 256, (24, *SIZE, 3), np.uint8)


def network_of(make):
    torch.manual_seed(0)
    return Network(make(), Preprocessing(SIZE, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)))


def tile_of(atlas: Atlas, record: BackProjection | Patch) -> np.ndarray:
    """Its picture on the sheet."""
    (sheet,) = [one for one in atlas.records(Sheet) if one.file == record.sheet]
    top, left = sheet.tops[record.row], sheet.lefts[record.column]
    with Image.open(atlas.folder / record.sheet) as picture:
        return np.asarray(picture.convert("RGB"))[top : top + sheet.tile_height, left : left + sheet.tile_width]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> Atlas:
    folder = tmp_path_factory.mktemp("projected")
    lenses = ["patches", BackProjections(("guided", "gradient x input"))]
    return fs.inspect(network_of(Residual), PHOTOS, folder / "a.atlas", lenses=lenses)


@pytest.mark.parametrize("method", ["guided", "gradient x input"])
@pytest.mark.parametrize("layer", ["stem", "second"])
def test_every_patch_has_the_picture_of_its_own_back_projection(atlas, layer, method):
    network = network_of(Residual)
    patches = {(patch.unit, patch.rank): patch for patch in atlas.records(Patch, layer=layer)}
    found = [one for one in atlas.records(BackProjection, layer=layer) if one.method == method]
    assert {(one.unit, one.rank) for one in found} == set(patches)
    assert len(found) == 4 * 9
    for record in found[::5]:
        patch = patches[record.unit, record.rank]
        alone = backproject(network, PHOTOS[patch.image], f"{layer}:{patch.unit}", method, seed=(patch.y, patch.x))
        assert alone.box == ((patch.top, patch.bottom), (patch.left, patch.right))
        assert record.activation == pytest.approx(alone.activation, rel=1e-4)
        values = alone.cropped(alone.values)
        tile, beside = tile_of(atlas, record), tile_of(atlas, patch)
        assert tile.shape == beside.shape
        # The field at the image's edge hangs over it: what is outside is the same in both pictures.
        outside = (beside == OUTSIDE).all(-1)
        np.testing.assert_array_equal((tile == OUTSIDE).all(-1), outside)
        inside = tile[~outside.all(1)][:, ~outside.all(0)].astype(float)
        factor = inside.shape[0] // values.shape[0]
        assert (values.shape[0] * factor, values.shape[1] * factor) == inside.shape[:2]
        expected = np.clip(values / record.peak, -1, 1).repeat(factor, 0).repeat(factor, 1)
        np.testing.assert_allclose((inside - 127.5) / 127.5, expected, atol=0.006)
        assert record.peak == pytest.approx(full_colour(values), rel=1e-3)


class Big(nn.Module):
    """A field of 33 px at a stride of 4: pictures are made smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 9, 4), nn.Conv2d(4, 2, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(F.relu(self.first(x)))


def test_a_large_field_is_averaged_and_keeps_its_mean(tmp_path):
    network = network_of(Big)
    lenses = [fs.Patches(tile=16), BackProjections(("gradient",))]
    atlas = fs.inspect(network, PHOTOS, tmp_path / "a.atlas", lenses=lenses, layers=["last"])
    record = next(one for one in atlas.records(BackProjection) if one.rank == 1)
    (patch,) = [one for one in atlas.records(Patch) if (one.unit, one.rank) == (record.unit, 1)]
    tile = tile_of(atlas, record)
    assert tile.shape == (16, 16, 3)
    alone = backproject(network, PHOTOS[patch.image], f"last:{patch.unit}", "gradient", seed=(patch.y, patch.x))
    shown = (tile.astype(float) - 127.5) / 127.5 * record.peak
    # Clipped at full colour, and in steps of 1 in 255; the field is the whole tile.
    assert shown.mean() == pytest.approx(alone.cropped(alone.values).mean(), abs=0.05 * record.peak)
    assert np.corrcoef(shown.ravel(), reduced(alone.cropped(alone.values)).ravel())[0, 1] > 0.98


def reduced(values: np.ndarray) -> np.ndarray:
    """Averages over 16 x 16 equal parts, by counting in thirds of a thousand: no part of the code under test."""
    fine = values.repeat(16, 0).repeat(16, 1)
    side = values.shape[0]
    return fine.reshape(16, side, 16, side, 3).mean((1, 3))


class Never(Exception):
    pass


class Stopping(LocalEngine):
    """Ends after some tasks, as a killed run does."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def run(self, tasks, do):
        for count, result in enumerate(super().run(tasks, do)):
            if count == self.after:
                raise Never
            yield result


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    def look(folder, engine=None):
        lenses = ["patches", BackProjections(("deconvnet",))]
        network = network_of(Shared)
        with torch.no_grad():
            # Larger from call to call, so that not all patches are those of the first.
            network.module.conv.weight.mul_(4)
        return fs.inspect(network, PHOTOS, folder, lenses=lenses, engine=engine)

    whole = look(tmp_path / "whole.atlas")
    for after in (1, 1, 1):
        with pytest.raises(Never):
            look(tmp_path / "cut.atlas", Stopping(after))
    resumed = look(tmp_path / "cut.atlas")
    assert whole.records(BackProjection) == resumed.records(BackProjection)
    for record in whole.records(Sheet):
        assert (whole.folder / record.file).read_bytes() == (resumed.folder / record.file).read_bytes()
    calls = {patch.call for patch in whole.records(Patch, layer="conv")}
    assert len(calls) > 1, "the layer that is called three times is to be carried back from its own call"


def test_without_patches_it_says_so_and_goes_on_when_there_are_some(tmp_path):
    with pytest.raises(FilterscopeError, match="use the lens 'patches' as well"):
        fs.inspect(network_of(Residual), PHOTOS, tmp_path / "a.atlas", lenses=["backprojections"])
    atlas = fs.inspect(network_of(Residual), PHOTOS, tmp_path / "a.atlas", lenses=["patches", "backprojections"])
    assert len(atlas.records(BackProjection)) == len(atlas.records(Patch)) > 0
    legend = {json.dumps(one.title) for one in atlas.records(Sheet) if one.lens.startswith("backprojections")}
    assert '"stem: back-projections, guided"' in legend


def test_methods_are_checked():
    with pytest.raises(UnknownName, match="did you mean 'guided'"):
        BackProjections(("guidd",))
    with pytest.raises(FilterscopeError, match="no method was given"):
        BackProjections(())


def test_where_gates_cannot_be_replayed_the_gradient_is_shown_and_said_so(tmp_path):
    atlas = fs.inspect(network_of(Custom), PHOTOS, tmp_path / "a.atlas", lenses=["patches", BackProjections()])
    methods = {(one.layer, one.method) for one in atlas.records(BackProjection)}
    # The layer before the custom function can be replayed.
    assert methods == {("first", "guided"), ("last", "gradient")}
    titles = {one.title for one in atlas.records(Sheet) if one.lens.startswith("backprojections")}
    assert titles == {"first: back-projections, guided", "last: back-projections, gradient"}
