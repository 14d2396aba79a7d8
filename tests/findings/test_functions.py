"""The lens that tells functions: shares are shares, what is missing is said, what changes nothing changes nothing."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import filterscope as fs
from assassin import Assassin, Killed
from filterscope.atlas.records import Function, LayerFunction
from filterscope.errors import FilterscopeError
from filterscope.findings import functions
from filterscope.findings.behaviour import STATISTICS
from filterscope.findings.calibration import CLASSES, FITS, Examples, fitted
from filterscope.findings.functions import DEAD, MIXED, NAMES, Functions, compound, label_of
from filterscope.findings.importance import WeighUnits, add, importances
from filterscope.images.tensors import normalise
from filterscope.lenses import Perturbations, Workbench
from filterscope.lenses.perturbations import images_of

SIZE = (16, 16)
POOL = Perturbations(crops=10, strongest=6, scenes=20, strips=False)
QUICK = Functions(draws=20)


def network_of(module: nn.Module, channels: int = 3) -> fs.Network:
    order = {1: "L", 3: "RGB"}.get(channels, "")
    return fs.Network(module, fs.Preprocessing(SIZE, (0.5,) * channels, (0.25,) * channels, channels=order))


class Small(nn.Module):
    """Two convolutions, batch norm between them, and three classes."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(channels, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.second, self.head = nn.Conv2d(5, 4, 3, padding=1), nn.Linear(4, 3)
        self.norm.running_var.uniform_(0.5, 2)
        self.norm.running_mean.normal_()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.head(torch.relu(self.second(x)).mean((2, 3)))


def npz(folder: Path, channels: int = 3, labels: int = 0, count: int = 12) -> Path:
    coarse = np.random.default_rng(0).integers(0, 256, (count, 8, 8, channels))
    more = {"y": np.arange(count) % labels} if labels else {}
    np.savez(folder / "images.npz", x=coarse.repeat(2, 1).repeat(2, 2).astype(np.uint8), **more)
    return folder / "images.npz"


def looked(module: nn.Module, out: Path, images: Path, *, channels: int = 3, lenses=("tuning", POOL, QUICK), **more):
    return fs.inspect(network_of(module, channels), images, out, lenses=list(lenses), **more)


def shares(record: Function | LayerFunction, ending: str = "") -> np.ndarray:
    return np.array([getattr(record, name + ending) for name in NAMES], float)


def check(record: Function | LayerFunction) -> None:
    """Shares sum to one, and lie within their bounds."""
    mean, low, high = (shares(record, ending) for ending in ("", "_low", "_high"))
    assert np.nansum(mean) == pytest.approx(1)
    known = np.isfinite(mean)
    assert (np.isfinite(low) == known).all()
    assert (low[known] <= mean[known]).all()
    assert (mean[known] <= high[known]).all()
    assert low[known].min() >= 0
    assert high[known].max() <= 1 + 1e-9


@pytest.fixture(scope="module", autouse=True)
def fits():
    """Classifiers of classes that lie anywhere: what is tested here does not depend on what they were fitted on."""
    dice = np.random.default_rng(0)
    which = np.arange(210) % len(CLASSES)
    centres = dice.uniform(0, 1.2, (len(CLASSES), len(STATISTICS)))
    values = centres[which] + dice.normal(0, 0.8, (210, len(STATISTICS)))
    examples = Examples(values, np.eye(len(CLASSES))[which], tuple(f"{one} {n % 3}" for n, one in enumerate(which)))
    made = {name: fitted(examples, statistics, members=3) for name, statistics in FITS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions, "load", lambda: made)
        yield made


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A network's functions, by all there is."""
    folder = tmp_path_factory.mktemp("plain")
    return looked(Small(), folder / "a", npz(folder))


def test_shares_sum_to_one_and_lie_within_their_bounds(plain):
    found = plain.records(Function)
    assert [(one.layer, one.unit) for one in found] == [("first", n) for n in range(5)] + [
        ("second", n) for n in range(4)
    ]
    layers = plain.records(LayerFunction)
    assert {(one.layer, one.weighted) for one in layers} == {(a, b) for a in ("first", "second") for b in (0, 1)}
    for one in (*found, *layers):
        if one.label != DEAD:
            check(one)
    for layer in ("first", "second"):
        assert sum(one.importance for one in found if one.layer == layer) == pytest.approx(1)
    assert all(one.missing is None or "parts of them count" in one.missing for one in found)


def transformed(how: str) -> Small:
    """The same function by other weights."""
    module = Small()
    with torch.no_grad():
        if how == "permuted":
            order = torch.tensor([3, 0, 4, 2, 1])
            module.first.weight.copy_(module.first.weight[order])
            module.first.bias.copy_(module.first.bias[order])
            module.second.weight.copy_(module.second.weight[:, order])
            for one in (module.norm.running_mean, module.norm.running_var):
                one.copy_(one[order])
        if how == "scaled":
            factor = torch.tensor([2.0, 1e-5, 1.0, 1e5, 2.0])
            module.norm.weight.mul_(factor)
            module.norm.bias.mul_(factor)
            module.second.weight.div_(factor[:, None, None])
        if how == "folded":
            norm = module.norm
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            module.first.bias.copy_((module.first.bias - norm.running_mean) * scale + norm.bias)
            module.first.weight.mul_(scale[:, None, None, None])
            module.norm = nn.Identity()
    return module


@pytest.mark.parametrize(("how", "order"), [("permuted", [3, 0, 4, 2, 1]), ("scaled", None), ("folded", None)])
def test_what_does_not_change_the_network_changes_no_share(plain, tmp_path, how, order):
    atlas = looked(transformed(how), tmp_path / "a", npz(tmp_path))
    found, before = (one.records(Function) for one in (atlas, plain))
    for place, unit in enumerate([*(order or range(5)), 5, 6, 7, 8]):
        for ending in ("", "_low", "_high"):
            np.testing.assert_allclose(shares(found[place], ending), shares(before[unit], ending), atol=1e-5)
        assert found[place].label == before[unit].label
        assert found[place].importance == pytest.approx(before[unit].importance, abs=1e-5)
    for one, other in zip(atlas.records(LayerFunction), plain.records(LayerFunction), strict=True):
        for ending in ("", "_low", "_high"):
            np.testing.assert_allclose(shares(one, ending), shares(other, ending), atol=1e-4)


def test_a_run_that_was_killed_and_goes_on_tells_the_same(plain, tmp_path):
    images = npz(tmp_path)
    tasks = len(plain.tasks())
    for after in (tasks - 2, tasks - 1):
        with pytest.raises(Killed):
            looked(Small(), tmp_path / f"{after}", images, watcher=Assassin(after))
        atlas = looked(Small(), tmp_path / f"{after}", images)
        assert atlas.records(Function) == plain.records(Function)
        assert atlas.records(LayerFunction) == plain.records(LayerFunction)


@pytest.mark.parametrize(("lenses", "missing"), [(["tuning"], "parts of images"), ([POOL], "stimuli")])
def test_with_one_of_the_lenses_alone_shares_are_told_and_what_is_missing_is_said(tmp_path, lenses, missing):
    atlas = looked(Small(), tmp_path / "a", npz(tmp_path), lenses=[*lenses, QUICK])
    for one in atlas.records(Function):
        assert missing in one.missing
        check(one)


def test_with_neither_of_the_lenses_one_line_says_which_are_needed_before_any_work(tmp_path):
    network = network_of(Small())
    network.layers()
    calls = []
    network.module.register_forward_hook(lambda *about: calls.append(1))
    with pytest.raises(FilterscopeError) as told:
        fs.inspect(network, npz(tmp_path), tmp_path / "a", lenses=[QUICK])
    assert "'tuning' and 'perturbations'" in str(told.value)
    assert "\n" not in str(told.value)
    # What the inspection itself asks of any network, no images.
    assert len(calls) <= 1


@pytest.mark.parametrize("channels", [1, 24])
def test_where_channels_are_no_colours_colour_is_not_applicable(tmp_path, channels):
    module = Small(channels)
    with torch.no_grad():
        module.second.weight.zero_()
    atlas = looked(module, tmp_path / "a", npz(tmp_path, channels), channels=channels)
    for one in (*atlas.records(Function), *atlas.records(LayerFunction)):
        if one.label != DEAD:
            assert (one.colour, one.colour_low, one.colour_high) == (None, None, None)
            check(one)
    assert all(one.missing.startswith("colours") for one in atlas.records(Function, layer="first"))


def test_a_unit_below_zero_is_dead_before_a_relu_and_not_before_a_sum(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        module[0].bias[1] = -1000
        module[2].bias.fill_(-1000)
        module[2].bias[2] = -900
    atlas = looked(module, tmp_path / "a", npz(tmp_path))
    first, last = (atlas.records(Function, layer=name) for name in ("0", "2"))
    assert [one.label == DEAD for one in first] == [False, True, False, False]
    assert np.isnan(shares(first[1])).all()
    assert first[1].importance == 0
    # Of the last ones the answer names the largest: the others do not matter, and are no more than below zero.
    assert last[2].label != DEAD
    assert last[2].importance == 1
    layer = atlas.records(LayerFunction, layer="0")
    assert [(one.units, one.dead) for one in layer] == [(3, 1)] * 2


def test_a_layer_all_of_which_is_dead_says_so(tmp_path):
    module = Small()
    with torch.no_grad():
        module.second.bias.fill_(-1000)
    atlas = looked(module, tmp_path / "a", npz(tmp_path))
    assert {one.label for one in atlas.records(Function, layer="second")} == {DEAD}


def test_a_unit_that_the_answer_ignores_counts_nothing_in_the_weighted_layer(tmp_path, monkeypatch, fits):
    exact = {name: replace(one, confusion=np.eye(len(one.classes))) for name, one in fits.items()}
    monkeypatch.setattr(functions, "load", lambda: exact)
    module = Small()
    with torch.no_grad():
        module.head.weight[:, 1:] = 0
    atlas = looked(module, tmp_path / "a", npz(tmp_path))
    units = atlas.records(Function, layer="second")
    assert [one.importance for one in units] == pytest.approx([1, 0, 0, 0])
    weighted = next(one for one in atlas.records(LayerFunction, layer="second") if one.weighted)
    np.testing.assert_allclose(shares(weighted), shares(units[0]), atol=1e-5)
    others = next(one for one in atlas.records(LayerFunction, layer="second") if not one.weighted)
    np.testing.assert_allclose(shares(others), np.mean([shares(one) for one in units], 0), atol=1e-5)


def test_importance_is_the_pre_activation_times_the_gradient_summed_over_images():
    module = Small().eval()
    network = network_of(module)
    layers = tuple(network.layers())
    work = WeighUnits(layers, (0, 3, 5))
    found = importances(work(Workbench(network)).partial, layers)
    source = images_of(Workbench(network), Perturbations())
    total = {"first": np.zeros(5), "second": np.zeros(4)}
    for index in (0, 3, 5):
        x = normalise(source.load(index)[None], network.preprocessing)
        # `first` is read where its batch norm has been applied.
        one = module.norm(module.first(x)).detach().requires_grad_()
        two = module.second(torch.relu(one))
        two.retain_grad()
        module.head(torch.relu(two).mean((2, 3)))[0].max().backward()
        for name, value in (("first", one), ("second", two)):
            total[name] += np.abs((value * value.grad).sum((0, 2, 3)).detach().numpy())
    for name, values in total.items():
        np.testing.assert_allclose(found[name], values / values.sum(), atol=1e-5)
    parts = [WeighUnits(layers, some)(Workbench(network)).partial for some in ((0, 3), (5,))]
    for name, values in importances(add(*parts), layers).items():
        np.testing.assert_allclose(values, found[name], atol=1e-9)


def test_without_images_units_are_weighed_on_the_scenes_that_perturbations_were_seen_in(tmp_path):
    network, pool = network_of(Small()), replace(POOL, seed=5)
    for lens in (pool, QUICK):
        atlas = fs.inspect(network, None, tmp_path / "a", lenses=[lens])
    layers, every = tuple(network.layers()), tuple(range(pool.scenes))
    own, others = (
        importances(WeighUnits(layers, every, shown)(Workbench(network)).partial, layers) for shown in (pool, POOL)
    )
    told = np.array([one.importance for one in atlas.records(Function)])
    np.testing.assert_allclose(told, np.concatenate([own[layer.name] for layer in layers]), atol=1e-9)
    assert np.abs(told - np.concatenate([others[layer.name] for layer in layers])).max() > 1e-4


class Odd(nn.Module):
    """A network whose answer is no table of scores."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.conv, self.answer = nn.Conv2d(3, 4, 3), answer

    def forward(self, x: Tensor) -> object:
        return self.answer(torch.relu(self.conv(x)))


@pytest.mark.parametrize(
    "answer",
    [
        lambda y: y.mean(),
        lambda y: y.mean((1, 2, 3)),
        lambda y: None,
        lambda y: y.mean((2, 3)).argmax(1),
        Tensor.detach,
    ],
)
def test_networks_without_scores_have_functions_and_no_importance(tmp_path, answer):
    network = network_of(Odd(answer))
    assert WeighUnits(tuple(network.layers()), (0,))(Workbench(network)).partial is None
    assert importances(None, network.layers()) == {"conv": None}


def test_without_importance_layers_have_no_weighted_shares_and_no_unit_is_dead(tmp_path):
    atlas = looked(Odd(lambda y: y.mean()), tmp_path / "a", npz(tmp_path))
    assert {one.importance for one in atlas.records(Function)} == {None}
    assert [one.weighted for one in atlas.records(LayerFunction)] == [False]


def test_selectivity_is_of_class_means_and_only_where_there_are_labels(plain, tmp_path):
    assert {one.selectivity for one in plain.records(Function)} == {None}
    atlas = looked(Small(), tmp_path / "a", npz(tmp_path, labels=2, count=14), lenses=["patches", "tuning", QUICK])
    for one in atlas.records(Function):
        assert one.label == DEAD or 0 <= one.selectivity <= 1


def test_labels_are_the_largest_part_or_mixed_and_compounds_what_is_sure():
    classes = (*NAMES[:5], "bag of parts", "unclassified")
    assert label_of(np.array([0.1, 0.6, 0.3, 0, 0, 0, 0]), classes) == "edge"
    assert label_of(np.array([0.3, 0.3, 0.3, 0.1, 0, 0, 0]), classes) == MIXED
    assert label_of(np.array([0, 0, 0.2, 0, 0, 0.8, 0]), classes) == "bag of parts"
    mean = np.array([np.nan, 0.1, 0.8, 0.08, 0.02, 0])
    assert compound(mean, np.array([np.nan, 0.1, 0.7, 0.01, 0, 0]), 0.1) == "80 % texture + 10 % edge"
    assert compound(mean, np.zeros(6), 0.1) == ""
    assert {field.name for field in fields(Function)} >= {
        f"{name}{end}" for name in NAMES for end in ("", "_low", "_high")
    }


def test_settings_out_of_range_are_refused():
    for settings in ({"threshold": 0}, {"threshold": 1}, {"draws": 19}, {"draws": 10_001}):
        with pytest.raises(FilterscopeError, match="not"):
            Functions(**settings)
