"""The optima in an atlas: their figures are those of the picture on the sheet, and of the real patches."""

import numpy as np
import pytest
import torch
from torch import nn

import filterscope as fs
from filterscope.ascent import fit_canvas, recipe
from filterscope.ascent.ascend import seen, with_margin
from filterscope.atlas.records import Optimum, Patch, Sheet
from filterscope.errors import FilterscopeError, UnknownName
from filterscope.lenses.optima import tile, window

STEPS = 12


def small_module() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(6, 7, 3, padding=1), nn.ReLU(inplace=True)
    )


@pytest.fixture
def network() -> fs.Network:
    module = small_module()
    with torch.no_grad():
        module[2].bias[4] = -1000.0
    preprocessing = fs.Preprocessing((48, 40), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    return fs.Network(module, preprocessing, name="small")


@pytest.fixture
def photos() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (30, 12, 10, 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def value_at(network: fs.Network, picture: np.ndarray, layer: str, unit: int, place: tuple[int, int]) -> float:
    """A unit's pre-activation at a place, by torch alone."""
    x = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
    mean, std = (torch.tensor(v)[:, None, None] for v in (network.preprocessing.mean, network.preprocessing.std))
    out = (x - mean) / std
    for name, child in network.module.named_children():
        out = child(out)
        if name == layer:
            return float(out[0, unit, place[0], place[1]].detach())
    raise AssertionError(layer)


def test_the_picture_on_the_sheet_has_the_activation_that_is_written_beside_it(network, tmp_path):
    atlas = fs.inspect(network, None, tmp_path / "a", lenses=[fs.Optima(steps=STEPS)])
    for record in atlas.records(Optimum):
        canvas = fit_canvas(network, [network.layer(record.layer)])
        picture = atlas.tile(record)
        factor = picture.shape[0] // canvas.size[0]
        if record.status == "no stimulus found":
            continue
        shown = picture[::factor, ::factor]
        measured = value_at(network, shown, record.layer, record.unit, canvas.centres[record.layer])
        assert measured == pytest.approx(record.activation, rel=1e-4)
    assert {record.unit for record in atlas.records(Optimum, layer="0")} == set(range(6))


def test_a_unit_with_a_bias_of_minus_1000_finds_no_stimulus_and_the_sheet_says_so(network, tmp_path, monkeypatch):
    legends = []
    drawn = fs.lenses.optima.DrawOptima.legend
    monkeypatch.setattr(
        fs.lenses.optima.DrawOptima, "legend", lambda self, best: legends.append(drawn(self, best)) or legends[-1]
    )
    atlas = fs.inspect(network, None, tmp_path / "a", layers=["2"], lenses=[fs.Optima(steps=STEPS)])
    status = {record.unit: record.status for record in atlas.records(Optimum)}
    assert status.pop(4) == "no stimulus found"
    assert set(status.values()) <= {"steps", "converged"}
    assert "1 of 7 units found no stimulus" in legends[0]


def test_ratio_is_to_the_strongest_real_patch(network, photos, tmp_path):
    atlas = fs.inspect(network, photos, tmp_path / "a", lenses=["patches", fs.Optima(steps=STEPS)])
    strongest = {(p.layer, p.unit): p.activation for p in atlas.records(Patch) if p.rank == 1}
    compared = 0
    for record in atlas.records(Optimum):
        natural = strongest[record.layer, record.unit]
        if natural <= 0:
            assert record.natural is None
            assert record.ratio is None
            continue
        assert record.natural == natural
        assert record.ratio == pytest.approx(record.activation / natural)
        compared += record.layer == "2"
    assert compared == 6
    assert all(record.path_similarity is not None for record in atlas.records(Optimum, layer="2"))


def test_without_images_nothing_is_said_of_real_ones(network, tmp_path):
    atlas = fs.inspect(network, None, tmp_path / "a", lenses=[fs.Optima(steps=4)])
    for record in atlas.records(Optimum):
        assert (record.natural, record.ratio, record.path_similarity, record.path_natural) == (None,) * 4


def test_a_patch_laid_on_the_canvas_has_at_its_centre_the_activation_that_it_had_in_its_image(
    network, photos, tmp_path
):
    atlas = fs.inspect(network, photos, tmp_path / "a", lenses=["patches"])
    checked = 0
    for patch in atlas.records(Patch):
        layer = network.layer(patch.layer)
        canvas = fit_canvas(network, [layer])
        (top, bottom), (left, right) = canvas.box(layer, patch.y, patch.x)
        if top < 0 or left < 0 or bottom > 48 or right > 40:
            continue
        size = with_margin(canvas.size, recipe("full"))
        crop = window(network, photos[patch.image], canvas, layer, patch, size)
        assert crop.shape[:2] == size
        shown = seen(crop[None], canvas.size)[0]
        measured = value_at(network, shown, patch.layer, patch.unit, canvas.centres[patch.layer])
        assert measured == pytest.approx(patch.activation, rel=1e-4, abs=1e-4)
        checked += 1
    assert checked > 20


def test_seeds_are_ranked_and_their_agreement_is_the_cosine_of_their_responses(network, tmp_path):
    atlas = fs.inspect(network, None, tmp_path / "a", layers=["2"], lenses=[fs.Optima(steps=STEPS, seeds=3, seed=5)])
    for unit in range(7):
        own = sorted(atlas.records(Optimum, unit=unit), key=lambda record: record.rank)
        assert [record.rank for record in own] == [1, 2, 3]
        assert {record.seed for record in own} == {5, 6, 7}
        assert sorted((record.activation for record in own), reverse=True) == [record.activation for record in own]
        assert all(-1.0 <= record.agreement <= 1.0 + 1e-6 for record in own)
    one = own[0]
    canvas = fit_canvas(network, [network.layer("2")])
    factor = atlas.tile(one).shape[0] // canvas.size[0]
    vectors = []
    for record in own:
        picture = atlas.tile(record)[::factor, ::factor]
        vectors.append([value_at(network, picture, "2", unit, canvas.centres["2"]) for unit in range(7)])
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = np.array(vectors) @ np.array(vectors).T / np.outer(lengths, lengths)
    assert one.agreement == pytest.approx((cosines[0, 1] + cosines[0, 2]) / 2, rel=1e-3)


@pytest.mark.parametrize("order", ["activation", "index"])
def test_a_sheet_is_in_the_order_asked_for(network, tmp_path, order):
    atlas = fs.inspect(network, None, tmp_path / "a", layers=["0"], lenses=[fs.Optima(steps=STEPS, order=order)])
    sheet = atlas.records(Sheet)[0]
    place = {r.unit: (r.row, r.column) for r in atlas.records(Optimum)}
    across = len(sheet.lefts)
    on_sheet = sorted(place, key=lambda unit: place[unit][0] * across + place[unit][1])
    activation = {r.unit: r.activation for r in atlas.records(Optimum)}
    expected = sorted(activation, key=lambda unit: -activation[unit]) if order == "activation" else list(range(6))
    assert on_sheet == expected


def test_tiles_are_enlarged_in_whole_pixels_and_reduced_only_beyond_the_limit():
    picture = np.random.default_rng(0).integers(0, 256, (15, 11, 3), np.uint8)
    shown = tile(picture)
    assert shown.shape == (75, 55, 3)
    assert (shown[::5, ::5] == picture).all()
    assert tile(np.zeros((224, 100, 1), np.uint8)).shape == (224, 100, 3)
    assert tile(np.zeros((448, 200, 3), np.uint8)).shape == (224, 100, 3)


def test_settings_out_of_range_are_refused():
    with pytest.raises(UnknownName, match="did you mean 'quick'"):
        fs.Optima(preset="quik")
    with pytest.raises(UnknownName, match="it is activation or index"):
        fs.Optima(order="size")
    for settings in ({"steps": 0}, {"seeds": 0}, {"seeds": 101}):
        with pytest.raises(FilterscopeError):
            fs.Optima(**settings)


def test_the_module_is_left_as_it_was(network, photos, tmp_path):
    module = network.module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    fs.inspect(network, photos, tmp_path / "a", lenses=["patches", fs.Optima(steps=3)])
    assert all(child.training for child in module.modules())
    assert all(not child._forward_hooks for child in module.modules())
    for name, parameter in module.named_parameters():
        assert parameter.requires_grad
        assert parameter.grad is None
        assert torch.equal(parameter, before[name])


def test_squeezenet_units_are_driven_beyond_their_strongest_photographs(shared, tmp_path):
    network = fs.load(shared / "models/squeezenet1_1")
    folder = shared / "images/imagenet_samples"
    source = fs.open_images(folder, classes=network.classes)
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(0, 700, 14):
        (photos / source.name(index)).symlink_to(folder / source.name(index))
    layer = "features.4.expand3x3"
    atlas = fs.inspect(network, photos, tmp_path / "s.atlas", layers=[layer], lenses=["patches", "optima"])
    optima = atlas.records(Optimum)
    assert len(optima) == 64
    assert np.mean([record.ratio > 1 for record in optima if record.ratio]) >= 0.95
    assert np.mean([record.selectivity_rank == 1 for record in optima]) >= 0.8
