"""Overfitting is told from what looks like it: planted impostors are found, clean sets have none."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import filterscope as fs
from filterscope.atlas.diagnosis import Finding
from filterscope.errors import BadImages, FilterscopeError
from filterscope.findings.generalisation import kinds
from filterscope.findings.generalisation.lens import Generalisation, generalisation
from filterscope.images.alterations import blurred
from filterscope.images.arrays import Arrays
from filterscope.images.tensors import normalise

CLASSES = ("bar", "ring", "cross", "spot")
SIDE = 16


def pictures(count: int, seed: int, channels: int = 1) -> Arrays:
    """Four faint figures somewhere on strong noise."""
    dice = np.random.default_rng(seed)
    labels = dice.permutation(np.arange(count) % 4)
    y, x = np.mgrid[:7, :7] - 3
    radius = np.hypot(y, x)
    figures = np.stack([np.abs(x) < 1, np.abs(radius - 2.5) < 0.7, (np.abs(x) < 1) | (np.abs(y) < 1), radius < 2])
    images = 128 + 22 * dice.standard_normal((count, SIDE, SIDE, channels))
    for image, label, (top, left) in zip(images, labels, dice.integers(0, SIDE - 6, (count, 2)), strict=True):
        image[top : top + 7, left : left + 7] += 70 * figures[label][..., None]
    return Arrays.of(images.clip(0, 255).astype(np.uint8), labels, CLASSES)


class Small(nn.Module):
    """Three convolutions, batch norm behind the second, and four classes."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.one, self.two, self.norm = nn.Conv2d(channels, 16, 5, padding=2), nn.Conv2d(16, 24, 3), nn.BatchNorm2d(24)
        self.three, self.head = nn.Conv2d(24, 24, 3), nn.Linear(24 * 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.one(x)), 2)
        x = F.relu(self.three(F.relu(self.norm(self.two(x)))))
        return self.head(F.max_pool2d(x, 2).flatten(1))


def preprocessing(channels: int = 1) -> fs.Preprocessing:
    return fs.Preprocessing((SIDE, SIDE), (0.5,) * channels, (0.2,) * channels, channels={1: "L", 3: "RGB"}[channels])


def trained(given: Arrays, steps: int, batch: int) -> fs.Network:
    torch.manual_seed(0)
    module = Small()
    images, labels = normalise(given.images, preprocessing()), torch.from_numpy(given.classes.of_image.astype(np.int64))
    optimiser = torch.optim.Adam(module.parameters(), 5e-3)
    for _ in range(steps):
        chosen = torch.randperm(len(images))[:batch]
        optimiser.zero_grad()
        F.cross_entropy(module(images[chosen]), labels[chosen]).backward()
        optimiser.step()
    return fs.Network(module.eval(), preprocessing(), CLASSES)


@pytest.fixture(scope="module")
def validation() -> Arrays:
    return pictures(1000, 1)


@pytest.fixture(scope="module")
def many() -> Arrays:
    return pictures(3000, 2)


@pytest.fixture(scope="module")
def healthy(many) -> fs.Network:
    return trained(many, 250, 64)


@pytest.fixture(scope="module")
def few() -> Arrays:
    return pictures(80, 3)


@pytest.fixture(scope="module")
def overfitted(few) -> fs.Network:
    return trained(few, 80, 80)


def found(network: fs.Network, train: object, validation: object, **how: object) -> dict[str, list[Finding]]:
    told: dict[str, list[Finding]] = {}
    for one in generalisation(network, train, validation, **{"most": 600, "ablated_images": 60, **how}).findings:
        told.setdefault(one.kind, []).append(one)
    return told


def altered(given: Arrays, images=None, labels=None) -> Arrays:
    return Arrays.of(
        given.images if images is None else images,
        given.classes.of_image.astype(np.int64) if labels is None else labels,
        given.labels,
    )


def impostors(told: dict[str, list[Finding]]) -> list[str]:
    return [kind for kind in kinds.IMPOSTORS if kind in told]


def test_a_healthy_network_is_charged_with_nothing(healthy, many, validation):
    told = found(healthy, many, validation)
    assert not impostors(told)
    assert not {kinds.OVERFITS, kinds.OPENS, kinds.MEMORISES, kinds.MORE_DATA, kinds.SMALLER} & set(told)


def test_an_overfitted_network_is_told_for_the_right_reasons(overfitted, few, validation):
    result = generalisation(overfitted, few, validation, most=1000)
    told = {one.kind: one for one in result.findings}
    assert result.overfits
    assert not [kind for kind in kinds.IMPOSTORS if kind in told]
    right = [
        (overfitted.module(normalise(one.images, preprocessing())).argmax(1).numpy() == one.classes.of_image).mean()
        for one in (few, validation)
    ]
    assert told[kinds.OVERFITS].value == pytest.approx(right[0] - right[1])
    assert told[kinds.OVERFITS].low < right[0] - right[1] < told[kinds.OVERFITS].high
    # Late layers know the training images, the first one sees both sets alike.
    assert told[kinds.OPENS].layer != "one"
    first, last = result.measured.probes[0], result.measured.probes[-1]
    assert first.gap.low < 0 < 0.15 < last.gap.low
    assert told[kinds.MORE_DATA].low > 0
    assert result.memorising
    assert all(one.training.low > 0 >= one.validation.low for one in result.memorising)
    assert {one.layer for one in result.memorising} <= {"two", "three"}


def with_twins(few, validation):
    images, labels = validation.images.copy(), validation.classes.of_image.astype(np.int64)
    images[:30] = np.clip(few.images[10:40].astype(int) + 3, 0, 255)
    labels[:30] = few.classes.of_image[10:40]
    return altered(validation, images, labels)


def test_images_that_are_in_both_sets_are_found_and_named(overfitted, few, validation):
    result = generalisation(overfitted, few, with_twins(few, validation), ablated_units=0)
    assert {(one.validation, one.training) for one in result.measured.twins} == {(n, n + 10) for n in range(30)}
    clean = generalisation(
        overfitted, few, altered(validation, validation.images[30:], validation.classes.of_image[30:])
    )
    assert result.measured.without_twins.value == pytest.approx(clean.measured.gap.accuracy.value)
    assert result.measured.without_twins.value > result.measured.gap.accuracy.value
    assert result.findings[0].kind == kinds.TWINS


def test_a_mirrored_twin_is_one(overfitted, few, validation):
    images = validation.images.copy()
    images[0] = few.images[5][:, ::-1]
    told = generalisation(overfitted, few, altered(validation, images), ablated_units=0).measured.twins
    assert all((one.validation, one.training) == (0, 5) for one in told)


def test_blurred_validation_images_are_a_shift_and_no_overfitting(healthy, many, validation):
    told = found(healthy, many, altered(validation, blurred(validation.images, 1.0)))
    assert impostors(told) == [kinds.SHIFT]
    assert told[kinds.GAP][0].low > 0.05
    assert kinds.OVERFITS not in told


@pytest.mark.parametrize("which", ["training", "validation"])
def test_wrong_labels_are_found_and_are_those_planted(healthy, many, validation, which):
    given = {"training": altered(many, many.images[:1000], many.classes.of_image[:1000].astype(np.int64))}
    given["validation"] = validation
    labels = given[which].classes.of_image.astype(np.int64)
    wrong = np.random.default_rng(5).choice(len(labels), 100, replace=False)
    labels[wrong] = (labels[wrong] + 2) % 4
    given[which] = altered(given[which], labels=labels)
    result = generalisation(healthy, given["training"], given["validation"], most=600)
    told = {one.kind: one for one in result.findings}
    kind = {"training": kinds.WRONG_IN_TRAINING, "validation": kinds.WRONG_IN_VALIDATION}[which]
    assert [one for one in kinds.IMPOSTORS if one in told] == [kind]
    labels_found = result.measured.wrong_training if which == "training" else result.measured.wrong_validation
    suspects = {one.image for one in labels_found.suspects}
    assert len(suspects & set(wrong.tolist())) >= 0.9 * len(suspects)
    assert kinds.OVERFITS not in told


def test_running_statistics_that_are_off_are_found_on_a_copy(healthy, many, validation):
    module = copy.deepcopy(healthy.module)
    module.norm.running_mean += 4 * module.norm.running_var.sqrt()
    before = copy.deepcopy(module.state_dict())
    result = generalisation(fs.Network(module, preprocessing(), CLASSES), many, validation, most=600)
    told = {one.kind: one for one in result.findings}
    assert told[kinds.NORMS].low > 0.1
    assert result.measured.norms.layers[0].shift == pytest.approx(4, rel=0.2)
    assert not result.overfits
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not any(child.training for child in module.modules())


def test_thirty_images_are_too_few_to_say(healthy, many, validation):
    told = found(healthy, many, altered(validation, validation.images[:30], validation.classes.of_image[:30]))
    assert impostors(told) == [kinds.TOO_SMALL]
    assert kinds.OVERFITS not in told


def test_classes_that_are_filled_otherwise_are_found(healthy, many, validation):
    labels = validation.classes.of_image.astype(np.int64)
    kept = (labels > 1) | (np.random.default_rng(0).random(len(labels)) < 0.3)
    told = found(healthy, many, altered(validation, validation.images[kept], labels[kept]))
    assert kinds.CLASS_SHARES in told
    assert kinds.OVERFITS not in told


def test_classes_that_the_training_set_lacks_are_named(healthy, many, validation):
    kept = many.classes.of_image != 3
    told = found(healthy, altered(many, many.images[kept], many.classes.of_image[kept].astype(np.int64)), validation)
    assert "lacks spot" in told[kinds.CLASS_SHARES][0].evidence


def test_without_labels_the_rest_is_measured_and_what_is_left_out_is_named(healthy, many, validation):
    result = generalisation(healthy, Arrays.of(many.images[:200]), validation, most=200)
    assert result.measured.gap is None
    assert result.measured.shift is not None
    assert "no training image has a label" in str(result)
    assert "the gap" in result.measured.left_out[0]


def test_numbers_are_labels_too(healthy, many, validation):
    plain = Arrays.of(many.images, many.classes.of_image.astype(np.int64))
    assert generalisation(healthy, plain, validation, most=200).measured.training.labelled == 200


def test_one_class_has_a_gap_but_no_probes(healthy, many, validation):
    def only(one: Arrays) -> Arrays:
        kept = one.classes.of_image == 0
        return altered(one, one.images[kept][:60], one.classes.of_image[kept][:60].astype(np.int64))

    result = generalisation(healthy, only(many), only(validation))
    assert result.measured.gap is not None
    assert not result.measured.probes
    assert any("two classes" in one for one in result.measured.left_out)


def test_two_images_a_set_break_nothing(healthy, many, validation):
    result = generalisation(
        healthy, *(altered(one, one.images[:2], one.classes.of_image[:2]) for one in (many, validation))
    )
    assert not result.overfits
    assert any("a shift" in one for one in result.measured.left_out)


def test_maps_are_no_scores_of_classes(few, validation):
    torch.manual_seed(0)
    network = fs.Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1)), preprocessing(), CLASSES)
    result = generalisation(network, few, validation, most=50)
    assert "no scores" in result.measured.left_out[0]
    assert result.measured.shift is not None
    assert not result.overfits


def test_a_network_in_training_mode_is_measured_in_eval_mode_and_left_as_it_was(healthy, many, validation):
    module = copy.deepcopy(healthy.module).train()
    first, second = (
        generalisation(fs.Network(one, preprocessing(), CLASSES), many, validation, most=100).measured
        for one in (module, healthy.module)
    )
    assert first.gap == second.gap
    assert all(child.training for child in module.modules())
    assert torch.equal(module.norm.running_mean, healthy.module.norm.running_mean)


def test_unreadable_settings_are_refused():
    for wrong in ({"most": 1}, {"tolerance": 1.0}, {"ablated_images": 1}):
        with pytest.raises(FilterscopeError):
            Generalisation(**wrong)
    with pytest.raises(BadImages, match="no training set"):
        generalisation("demo", None, None)


def test_the_lens_writes_what_the_function_finds_and_knows_its_training_set(overfitted, few, validation, tmp_path):
    small = altered(validation, validation.images[:300], validation.classes.of_image[:300].astype(np.int64))
    lens = Generalisation(few, most=300, ablated_images=40)
    atlas = fs.inspect(overfitted, small, tmp_path / "a.atlas", lenses=[lens])
    expected = generalisation(overfitted, few, small, most=300, ablated_images=40).findings
    kept = {(one.layer, one.unit, one.kind): one for one in atlas.records(Finding)}
    assert kept == {(one.layer, one.unit, one.kind): one for one in expected}
    other = replace(lens, train=altered(few, few.images[:70], few.classes.of_image[:70].astype(np.int64)))
    assert other.settings() != lens.settings()
    with pytest.raises(FilterscopeError, match="other settings"):
        fs.inspect(overfitted, small, tmp_path / "a.atlas", lenses=[other])


def test_without_a_training_set_the_lens_does_nothing(healthy, validation, tmp_path):
    atlas = fs.inspect(healthy, validation, tmp_path / "a.atlas", lenses=[Generalisation()])
    assert atlas.records(Finding) == []
