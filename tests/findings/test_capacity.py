"""Widths, probes and blocks with a known truth; bad input gets a line that says what was left out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import filterscope as fs
from filterscope.atlas.diagnosis import Block, Finding, Probe, Spectrum
from filterscope.findings import blocks, probes, spectra
from filterscope.findings.capacity import (
    BLOCKS_LEFT_OUT,
    PROBES_LEFT_OUT,
    SEES_ALL,
    SPECTRUM_LEFT_OUT,
    Capacity,
    sees_all,
)
from filterscope.findings.features import Features, Sums, group_of, join
from filterscope.findings.reading import Reading

DICE = np.random.default_rng(0)


def sums_of(values: np.ndarray, groups: np.ndarray) -> Sums:
    """Those of responses (image, sample, unit)."""
    sums = Sums.empty(values.shape[2], values[0].mean(0).astype(float))
    sums.add(torch.from_numpy(values).float(), groups)
    return sums


def test_sums_in_parts_are_those_of_the_whole():
    values = DICE.standard_normal((40, 7, 5)) * 3 + 100
    groups = np.arange(40) % 10
    parts = [
        Features(np.arange(len(some)), {"a": np.zeros((len(some), 2), np.float32)}, {"a": sums_of(some, place)})
        for some, place in ((values[:11], groups[:11]), (values[11:], groups[11:]))
    ]
    joined = Features.of_bytes(join(parts[0].to_bytes(), parts[1].to_bytes()))
    flat = values.reshape(-1, 5)
    mean, covariance = joined.sums["a"].moments()
    np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(flat.T, bias=True), atol=1e-4)
    left = values[groups != 3].reshape(-1, 5)
    np.testing.assert_allclose(joined.sums["a"].moments(3)[1], np.cov(left.T, bias=True), atol=1e-4)
    assert len(joined.ids) == len(joined.pooled["a"]) == 40
    assert {group_of(image) for image in range(60)} == set(range(10))


def test_a_known_spectrum_is_counted():
    covariance = np.diag([90.0, 9.0, 0.9, 0.1])
    found = spectra.dimensions(covariance)
    assert (found.dimension, found.low, found.high) == (2, None, None)
    assert found.participation == pytest.approx(100**2 / (90**2 + 9**2 + 0.9**2 + 0.1**2))
    assert spectra.dimensions(np.eye(10)).dimension == 10
    assert spectra.dimensions(np.eye(10)).participation == pytest.approx(10)
    turn = np.linalg.qr(DICE.standard_normal((4, 4)))[0]
    np.testing.assert_allclose(spectra.dimensions(turn @ covariance @ turn.T).shares, found.shares, atol=1e-12)
    assert spectra.dimensions(np.zeros((3, 3))).dimension == 0


def test_the_interval_of_a_dimension_holds_the_truth_of_all_images():
    """Positions of an image are alike, as in networks: 300 images are not 300 x 4 draws."""
    scale = 0.82 ** np.arange(40)
    truth = spectra.dimensions(np.diag(scale**2)).dimension
    held = []
    for seed in range(40):
        dice = np.random.default_rng(seed)
        own = dice.standard_normal((300, 1, 40)) * 0.9 + dice.standard_normal((300, 4, 40)) * 0.19**0.5
        values = own * scale
        sums = sums_of(values, np.arange(300) % 10)
        found = spectra.dimensions(sums.moments()[1], sums)
        held.append(found.low <= truth <= found.high)
        assert found.high - found.low <= 6
    assert np.mean(held) >= 0.9


def rest_by_least_squares(values: np.ndarray, chosen: np.ndarray) -> float:
    values = values - values.mean(0)
    weights = np.linalg.lstsq(values[:, chosen], values, rcond=None)[0]
    return float(np.square(values - values[:, chosen] @ weights).sum() / np.square(values).sum())


def test_chosen_units_give_back_what_least_squares_says():
    base = DICE.standard_normal((500, 4)) * [4, 3, 2, 1]
    values = np.concatenate([base, base @ DICE.standard_normal((4, 6)), base[:, :2] * [2, -1]], 1)
    chosen = spectra.select(np.cov(values.T, bias=True))
    assert len(chosen.order) == 4
    for count in range(1, 5):
        assert chosen.left[count - 1] == pytest.approx(rest_by_least_squares(values, chosen.order[:count]), abs=1e-9)
    assert chosen.enough(1e-9) == (4, pytest.approx(0, abs=1e-9))
    first = [rest_by_least_squares(values, np.array([unit])) for unit in range(12)]
    assert chosen.order[0] == int(np.argmin(first))
    assert len(spectra.select(np.zeros((3, 3))).order) == 0


def layer_of(network: fs.Network, name: str):
    return network.layer(name)


class Chain(nn.Module):
    """Layers of which one has copies, one a dead filter, and a residual block that does nothing."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.head = nn.Linear(8, 3)
        self.second.weight.data[4:] = self.second.weight.data[:4]
        self.second.bias.data[4:] = self.second.bias.data[:4]
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.head(torch.relu(self.depth(self.block(x))).mean((2, 3)))


def network_of(module: nn.Module) -> fs.Network:
    return fs.Network(module, fs.Preprocessing((12, 12), (0.5,) * 3, (0.25,) * 3), ("a", "b", "c"))


def npz(folder: Path, count: int = 60, y: list[int] | None = None) -> Path:
    """Images whose class is their colour."""
    truth = np.arange(count) % 3
    x = DICE.integers(0, 100, (count, 12, 12, 3)) + 120 * np.eye(3, dtype=int)[truth][:, None, None]
    labels = truth if y is None else np.array(y)
    np.savez(folder / "images.npz", x=x.astype(np.uint8), **({"y": labels} if len(labels) else {}))
    return folder / "images.npz"


def looked(module: nn.Module, images: Path, out: Path, **settings) -> fs.Atlas:
    return fs.inspect(network_of(module), images, out, lenses=[Capacity(**settings)])


def kinds(atlas: fs.Atlas) -> dict[str, str]:
    return {(one.layer, one.kind): one.evidence for one in atlas.records(Finding)}


def test_copies_leave_half_a_layer_to_spare(tmp_path):
    atlas = looked(Chain(), npz(tmp_path), tmp_path / "a.atlas", ablations=("second",))
    found = {one.layer: one for one in atlas.records(Spectrum)}
    assert found["second"].dimension <= 4
    assert found["second"].recommended <= 4
    assert found["second"].error < 0.01
    assert (found["second"].width, found["second"].images) == (8, 60)
    told = kinds(atlas)
    assert "chosen" not in told[("second", spectra.TOO_MANY)]
    assert f"{found['second'].recommended} of its filters give the others back" in told[("second", spectra.TOO_MANY)]
    if ("depth", spectra.TOO_MANY) in told:
        assert "the layer before it" in told[("depth", spectra.TOO_MANY)]
    (block,) = [one for one in atlas.records(Block) if one.name == "block"]
    assert block.layers == ("block.0",)
    assert 0 <= block.influence <= 2
    assert block.accuracy_low <= block.accuracy_change <= block.accuracy_high
    assert len(list(atlas.records(fs.atlas.diagnosis.Ablation))) == 8
    accuracies = {(one.layer, one.of): one for one in atlas.records(Probe)}
    assert accuracies[("first", "validation")].accuracy == 1
    assert (accuracies[("first", "validation")].classes, accuracies[("first", "validation")].images) == (3, 30)


@pytest.mark.parametrize(
    ("labels", "words"),
    [([], "no image has a label"), ([0] * 60, "of one class"), ([*range(60)], "of 60 classes 0 have the 4 images")],
)
def test_why_there_are_no_probes_is_told(tmp_path, labels, words):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(400, 80))
    network = fs.Network(module, fs.Preprocessing((12, 12), (0.5,) * 3, (0.25,) * 3))
    atlas = fs.inspect(network, npz(tmp_path, y=labels), tmp_path / "a.atlas", lenses=[Capacity()])
    told = kinds(atlas)
    assert words in told[("", PROBES_LEFT_OUT)]
    assert "no part of the network" in told[("", BLOCKS_LEFT_OUT)]
    assert not list(atlas.records(Probe))
    assert len(list(atlas.records(Spectrum))) == 1


def test_of_fewer_images_than_filters_no_dimension_is_claimed(tmp_path):
    atlas = looked(Chain(), npz(tmp_path, 6), tmp_path / "a.atlas")
    assert not list(atlas.records(Spectrum))
    assert "6 images are fewer than its 8 filters" in kinds(atlas)[("first", SPECTRUM_LEFT_OUT)]
    assert all(block.images == 3 for block in atlas.records(Block))


def test_a_network_without_class_scores_has_no_blocks_and_says_so(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 1, 3))
    atlas = fs.inspect(network_of(module), npz(tmp_path), tmp_path / "a.atlas", lenses=[Capacity()])
    assert "no class scores" in kinds(atlas)[("", BLOCKS_LEFT_OUT)]
    assert "pre-activations" in next(
        (text for (_, kind), text in kinds(atlas).items() if kind == spectra.TOO_MANY), "pre-activations"
    )


def test_probes_of_noise_are_at_chance_and_halves_are_even():
    labels = np.repeat(np.arange(4), 100)
    parts = probes.part(labels)
    assert np.bincount(parts.labels[parts.training]).tolist() == [50] * 4
    assert not set(parts.training) & set(parts.validation)
    found = probes.probe("noise", DICE.standard_normal((400, 20)), parts)
    assert found.records[0].low < 0.25 < found.records[0].high
    assert probes.part(np.array([0, 0, 0, 0, 1, 1, -1])) is None


def test_saturation_is_the_first_layer_that_no_later_one_surely_beats():
    labels = np.repeat(np.arange(2), 150)
    parts = probes.part(labels)
    signal = (2.0 * labels - 1)[:, None]

    def layer(strength: float) -> np.ndarray:
        return np.random.default_rng(3).standard_normal((300, 3)) + strength * signal

    found = {
        name: probes.probe(name, layer(strength), parts) for name, strength in zip("abcd", (0, 0.4, 3, 3), strict=True)
    }
    found["e"] = found["d"]
    assert probes.saturation(found, "abcde").layer == "c"
    assert probes.saturation(found, "abc") is None
    assert probes.saturation(dict.fromkeys("abc", found["a"]), "abc") is None


def test_a_bypass_is_the_network_without_the_block(tmp_path):
    module = Chain()
    module.block[1].running_mean.fill_(0.3)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    network, source = network_of(module), fs.open_images(npz(tmp_path))
    assert [part.name for part in blocks.candidates(network)] == ["second", "block", "depth"]
    changed = blocks.bypassed(module, "block", None)
    how = Reading(network, source, np.arange(10))
    (_, pixels), *_ = how
    with torch.no_grad():
        inner = torch.relu(module.second(torch.relu(module.first(pixels))))
        by_hand = module.head(torch.relu(module.depth(inner)).mean((2, 3)))
        assert torch.equal(changed(pixels), by_hand)
        given = module.block(inner)
    wanted = 1 - torch.nn.functional.cosine_similarity(inner, given, dim=1).mean()
    assert blocks.influence(network, ["block"], how)["block"] == pytest.approx(float(wanted), abs=1e-5)
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())


def test_batch_norm_is_told_anew_what_comes_its_way(tmp_path):
    module, source = Chain(), fs.open_images(npz(tmp_path))
    network = network_of(module)
    how = Reading(network, source, np.arange(60), batch_size=60)
    changed = blocks.bypassed(module, "second", how)
    (_, pixels), *_ = how
    with torch.no_grad():
        taken = module.block[0](torch.relu(torch.relu(module.first(pixels))))
    torch.testing.assert_close(changed.block[1].running_mean, taken.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(changed.block[1].running_var, taken.var((0, 2, 3)), rtol=1e-3, atol=1e-5)


def test_similarity_is_one_of_turned_features_and_zero_of_unrelated_ones():
    one = DICE.standard_normal((60, 30))
    turn = np.linalg.qr(DICE.standard_normal((30, 30)))[0]
    assert blocks.similarity(one, 3 * one @ turn) == pytest.approx(1)
    others = [blocks.similarity(one, DICE.standard_normal((60, 30))) for _ in range(60)]
    assert abs(np.mean(others)) < 0.02
    assert blocks.similarity(one[:3], one[:3]) is None
    assert blocks.similarity(one, np.ones((60, 2))) is None


def test_kernels_that_bring_nothing_new_into_view_are_told():
    module = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(8)), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3))
    network = network_of(module)
    found = {layer.name: sees_all(layer, (12, 12)) for layer in network.layers()}
    # Before layer n (from 0) every value sees 2 n + 1 pixels; 12 of them from n = 6 on.
    assert [name for name, finding in found.items() if finding] == ["6", "7", "9"]
    assert found["6"].kind == SEES_ALL
    assert found["6"].value == pytest.approx(13 / 12)
