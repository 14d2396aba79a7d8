"""Redundant filters: each kind planted by hand in a small network, and told by its own name and no other."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import filterscope as fs
from filterscope.atlas.diagnosis import Finding
from filterscope.atlas.records import Optimum, Relation
from filterscope.findings import duplicates, silence


class Plain(nn.Module):
    """Three layers with batch norm, a residual stream, and a head."""

    def __init__(self, activation=F.relu) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.second, self.third = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 6, 3)
        self.head = nn.Linear(6, 3)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm(self.first(x)))
        x = self.activation(x + self.third(self.activation(self.second(x))))
        return self.head(self.activation(self.last(x)).mean((2, 3)))


def built(activation=F.relu) -> Plain:
    torch.manual_seed(0)
    module = Plain(activation).eval()
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    module.norm.weight.data.uniform_(0.5, 2)
    return module


@pytest.fixture(scope="module")
def photos() -> list[tuple[np.ndarray, str]]:
    dice = np.random.default_rng(0)
    return [(dice.integers(0, 256, (12, 12, 3), np.uint8), "ab"[index % 2]) for index in range(60)]


def told(module: nn.Module, tmp_path, photos=None) -> fs.Atlas:
    network = fs.Network(module, fs.Preprocessing((12, 12)), classes=("a", "b", "c"))
    lenses = ["redundancy"] if photos is None else ["patches", "moments", "redundancy"]
    return fs.inspect(network, photos, tmp_path / "x.atlas", lenses=lenses, force=True)


def kinds(atlas: fs.Atlas) -> set[tuple[str, int, str]]:
    return {(one.layer, one.unit, one.kind) for one in atlas.records(Finding)}


def test_of_random_weights_nothing_is_said(tmp_path):
    assert kinds(told(built(), tmp_path)) == set()


def test_dead_constant_and_unread_units_are_told_apart_by_weights_alone(tmp_path):
    module = built()
    with torch.no_grad():
        module.norm.bias[1] = -1e3
        module.norm.weight[2], module.norm.bias[2] = 0, 0.7
        module.second.weight[3], module.second.bias[3] = -module.second.weight[3].abs(), -0.1
        module.second.weight[4] = 0
        module.second.weight[4, 1], module.second.bias[4] = 1, -0.5
        module.third.weight[:, 5] = 0
        module.head.weight[:, 2] = 0
    assert kinds(told(module, tmp_path)) == {
        ("first", 1, silence.DEAD),
        ("first", 2, silence.CONSTANT),
        ("second", 3, silence.DEAD),
        ("second", 4, silence.DEAD),
        ("second", 5, silence.UNREAD),
        ("last", 2, silence.UNREAD),
    }


def test_in_a_residual_stream_a_unit_is_dead_only_if_every_addend_is(tmp_path):
    module = built()
    with torch.no_grad():
        module.third.weight[[1, 2]] = 0
        module.third.bias[[1, 2]] = -0.5
        module.norm.bias[1] = -1e3
    # Channel 1 gets nothing from the stem either; channel 2 does, and its constant is added to it.
    assert kinds(told(module, tmp_path)) == {
        ("first", 1, silence.DEAD),
        ("third", 1, silence.DEAD),
        ("third", 2, silence.CONSTANT),
    }


def test_smooth_activations_have_no_dead_zone(tmp_path):
    module = built(F.silu)
    with torch.no_grad():
        module.norm.bias[1] = -30.0
        module.second.weight[2] = 0
        module.second.weight[4] = 3 * module.second.weight[3]
        module.second.bias[4] = 3 * module.second.bias[3]
        module.second.weight[6], module.second.bias[6] = module.second.weight[5], module.second.bias[5]
    # A factor does not pass through SiLU: scaled units are not the same there, equal ones are.
    assert kinds(told(module, tmp_path)) == {("second", 2, silence.CONSTANT), ("second", 6, duplicates.EQUAL)}


def test_never_fired_comes_with_its_bound_and_the_classes_seen(tmp_path, photos):
    module = built()
    with torch.no_grad():
        # Only an image of one colour all over brings it above: no photograph of noise does.
        module.first.weight[2] = 1.0
        module.norm.weight[2], module.norm.running_mean[2], module.norm.running_var[2] = 1.0, 0.0, 1.0
        module.norm.bias[2] = -25.0
    found = [
        one for one in told(module, tmp_path, photos).records(Finding, layer="first") if one.kind in silence.SILENT
    ]
    assert [(one.layer, one.unit, one.kind) for one in found] == [("first", 2, silence.NEVER_FIRED)]
    assert (found[0].low, found[0].high) == (0.0, pytest.approx(3 / 60))
    assert "of 2 classes of 3" in found[0].evidence
    white = torch.ones(1, 3, 12, 12)
    assert module.norm(module.first(white))[0, 2].max() > 0, "and so it is not dead"


def test_a_unit_that_varies_in_no_image_is_constant_by_what_was_seen(tmp_path, photos):
    module = built()
    with torch.no_grad():
        module.second.weight[1] *= 1e-9
        module.second.bias[1] = 0.4
    found = [
        one for one in told(module, tmp_path, photos).records(Finding, layer="second") if one.kind in silence.SILENT
    ]
    found = [one for one in found if one.unit == 1]
    assert [(one.layer, one.unit, one.kind) for one in found] == [("second", 1, silence.CONSTANT)]
    assert "60 images" in found[0].evidence


def test_equal_scaled_and_opposite_units_are_told_with_their_factor(tmp_path):
    module = built()
    with torch.no_grad():
        for unit, other, factor in ((3, 1, 1.0), (4, 1, 2.5), (6, 5, -0.5)):
            module.second.weight[unit] = factor * module.second.weight[other]
            module.second.bias[unit] = factor * module.second.bias[other]
    atlas = told(module, tmp_path)
    found = {(one.unit, one.other, one.kind): one.scale for one in atlas.records(Relation, layer="second")}
    assert set(found) == {(3, 1, "equal"), (4, 1, "scaled"), (5, 6, "antiphase"), (6, 5, "antiphase")}
    assert found[(4, 1, "scaled")] == pytest.approx(2.5, rel=1e-6)
    assert found[(6, 5, "antiphase")] == pytest.approx(-0.5, rel=1e-6)


def test_batch_norm_is_folded_in_before_units_are_compared(tmp_path):
    module = built()
    with torch.no_grad():
        module.first.weight[4] = module.first.weight[3] * 7
        std = (module.norm.running_var + module.norm.eps).sqrt()
        module.norm.weight[4] = module.norm.weight[3] / std[3] * std[4] / 7
        shift = module.norm.bias[3] - module.norm.running_mean[3] * module.norm.weight[3] / std[3]
        module.norm.bias[4] = shift + module.norm.running_mean[4] * module.norm.weight[4] / std[4]
        module.first.weight[6] = module.first.weight[5]  # of another scale and shift: not the same
    assert kinds(told(module, tmp_path)) == {("first", 4, duplicates.EQUAL)}


def test_units_of_different_groups_with_equal_weights_are_not_equal(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4), nn.ReLU(), nn.Conv2d(8, 2, 1))
    with torch.no_grad():
        for part in (module[2].weight, module[2].bias):
            part[3] = part[0]
            part[5] = part[4]
    assert kinds(told(module.eval(), tmp_path)) == {("2", 5, duplicates.EQUAL)}


def test_an_exact_combination_is_told_with_its_parts(tmp_path):
    module = built()
    with torch.no_grad():
        for part in (module.second.weight, module.second.bias):
            part[7] = 0.5 * part[2] - 1.5 * part[3]
    atlas = told(module, tmp_path)
    parts = {one.other: one.scale for one in atlas.records(Relation, layer="second") if one.unit == 7}
    assert parts == {2: pytest.approx(0.5, rel=1e-4), 3: pytest.approx(-1.5, rel=1e-4)}
    # Each of the three is a combination of the other two, and nobody else is one.
    assert kinds(atlas) == {("second", unit, duplicates.COMBINATION) for unit in (2, 3, 7)}


def test_near_duplicates_and_combinations_are_told_by_responses(tmp_path, photos):
    module = built()
    dice = torch.Generator().manual_seed(1)
    with torch.no_grad():
        part = module.second.weight
        part[2] = 1.5 * part[1] + 0.02 * torch.randn(part[1].shape, generator=dice)
        module.second.bias[2] = 1.5 * module.second.bias[1]
        module.second.bias[[3, 4, 5]] = 5.0  # always on: their sum stays a sum behind the ReLU
        part[5] = part[3] + part[4]
    atlas = told(module, tmp_path, photos)
    near = [one for one in atlas.records(Relation, layer="second") if one.kind == duplicates.NEAR]
    assert {(one.unit, one.other) for one in near} == {(1, 2), (2, 1)}
    responses = responses_of(module, photos)
    assert near[0].similarity == pytest.approx(np.corrcoef(responses[:, 1], responses[:, 2])[0, 1], abs=0.02)
    found = {one.unit: one for one in atlas.records(Finding, layer="second")}
    assert {3, 4, 5} <= {unit for unit, one in found.items() if one.kind == duplicates.NEAR_COMBINATION}
    others = np.delete(responses, 5, 1)
    design = np.c_[others, np.ones(len(others))]
    rest = responses[:, 5] - design @ np.linalg.lstsq(design, responses[:, 5], rcond=None)[0]
    assert found[5].value == pytest.approx(rest.var() / responses[:, 5].var(), abs=0.003)


def responses_of(module: Plain, photos) -> np.ndarray:
    """What the second layer hands on, (position, unit), at all positions."""
    pixels = torch.from_numpy(np.stack([one for one, _ in photos])).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        maps = F.relu(module.second(F.relu(module.norm(module.first(pixels)))))
    return maps.permute(0, 2, 3, 1).reshape(-1, 8).double().numpy()


def test_no_stimulus_found_is_said_of_all_starts_together_and_never_of_the_dead():
    tries = [
        Optimum("l", unit, "positive", seed, 1, value, None, None, 1, None, None, None, None, "noise", 9, 1.0, status)
        for unit, seed, value, status in (
            (0, 0, -0.4, silence.NO_STIMULUS),
            (0, 1, -0.1, silence.NO_STIMULUS),
            (1, 0, -0.1, silence.NO_STIMULUS),
            (1, 1, 2.0, "converged"),
        )
    ]
    assert list(silence.without_stimulus(tries)) == [0]
    said = silence.no_stimulus("l", 0, tries[:2])
    assert said.value == -0.1
    assert "2 starts" in said.evidence
    assert "no proof" in said.evidence


def test_a_second_run_does_nothing_and_a_killed_one_is_resumed(tmp_path, photos):
    first = told(built(), tmp_path, photos)
    network = fs.Network(built(), fs.Preprocessing((12, 12)), classes=("a", "b", "c"))
    again = fs.inspect(network, photos, tmp_path / "x.atlas", lenses=["patches", "moments", "redundancy"])
    assert again.records(Finding) == first.records(Finding)
