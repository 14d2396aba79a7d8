"""What generalisation is measured by, part by part, each against another road."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import filterscope as fs
from filterscope.findings.answers import Answers, answers
from filterscope.findings.discoveries import discoveries
from filterscope.findings.generalisation.learning_curve import learning_curve
from filterscope.findings.generalisation.memorising import judged
from filterscope.findings.generalisation.probe_gap import probe_gap
from filterscope.findings.generalisation.scores import Scored, calibration_error, gap, score
from filterscope.findings.generalisation.set_sizes import balance, visible_gap
from filterscope.findings.generalisation.shift import auc
from filterscope.findings.generalisation.single_images import single_images
from filterscope.findings.generalisation.weight_spectra import power_law, weight_spectra
from filterscope.findings.generalisation.wrong_labels import wrong_labels
from filterscope.findings.intervals import share
from filterscope.findings.resampling import difference
from filterscope.findings.ridge import PENALTIES, folds, ridge
from filterscope.images.arrays import Arrays
from filterscope.images.subset import Subset


@pytest.fixture
def dice() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_interval_of_a_difference_is_newcombes():
    # Newcombe (1998), table II, example (a), method 10.
    found = difference(share(56, 70), share(48, 80))
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_of_many_true_nulls_few_are_discovered(dice):
    discovered = [discoveries(dice.random(200), 0.05).any() for _ in range(400)]
    assert np.mean(discovered) < 0.08
    p = np.r_[np.full(20, 1e-6), dice.random(180)]
    assert discoveries(p, 0.05)[:20].all()
    assert not discoveries(np.array([]), 0.05).size


def test_ridge_is_that_of_the_normal_equations_which_leaving_out_by_hand_chooses():
    dice = np.random.default_rng(1)
    x = dice.standard_normal((30, 5)) @ dice.standard_normal((5, 5)) + 3
    labels = (x[:, 0] > 3).astype(int) + (x[:, 1] > 4)
    fitted = ridge(x, np.eye(3)[labels])
    design, wanted = (x - x.mean(0)) / x.std(0), np.eye(3)[labels]

    def predicted(rows: np.ndarray, image: np.ndarray, penalty: float) -> np.ndarray:
        full = np.column_stack([design[rows], np.ones(rows.sum())])
        weight = np.linalg.solve(full.T @ full + penalty * np.diag([1] * 5 + [0]), full.T @ wanted[rows])
        return np.append(image, 1) @ weight

    errors = []
    for penalty in PENALTIES * np.square(design).sum() / 5:
        without = [predicted(np.arange(30) != one, design[one], penalty) for one in range(30)]
        errors.append((np.square(np.array(without) - wanted).sum(), penalty))
    assert fitted.penalty == pytest.approx(min(errors)[1])
    score = predicted(np.ones(30, bool), design[7], fitted.penalty)
    np.testing.assert_allclose(fitted(x[7:8])[0], score, atol=1e-8)


def test_features_that_never_change_weigh_nothing(dice):
    x = np.c_[np.full(20, 3.0), dice.standard_normal((20, 2))]
    fit = ridge(x, x[:, 1:2])
    assert fit.weights[0] == 0
    assert np.isfinite(fit(x)).all()


def test_every_class_is_spread_over_all_parts(dice):
    labels = dice.permutation(np.repeat([0, 1, 7], [50, 25, 10]))
    part = folds(labels, 5, 0)
    for label, count in ((0, 10), (1, 5), (7, 2)):
        assert np.bincount(part[labels == label], minlength=5).tolist() == [count] * 5


def test_auc_counts_pairs(dice):
    first, second = dice.integers(0, 6, 40).astype(float), dice.integers(2, 8, 30).astype(float)
    pairs = (second[:, None] > first) + 0.5 * (second[:, None] == first)
    assert auc(first, second) == pytest.approx(pairs.mean())


def test_a_probe_has_no_gap_between_sets_of_one_source_and_one_where_the_features_know_the_labels(dice):
    def drawn(count):
        labels = dice.integers(0, 3, count)
        return np.eye(3)[labels] + dice.standard_normal((count, 3)), labels

    (x, y), (u, v) = drawn(600), drawn(600)
    alike = probe_gap("a", x, y, u, v)
    assert alike.gap.low < 0 < alike.gap.high
    knows = probe_gap("a", np.c_[x, np.eye(3)[y] * 0.5], y, np.c_[u, np.zeros((600, 3))], v)
    assert knows.gap.low > 0.1


def test_a_learning_curve_rises_where_the_probe_lacks_images_and_not_where_it_has_enough(dice):
    def drawn(count, features):
        labels = np.arange(count) % 4
        return dice.standard_normal((count, features)) + np.pad(2.0 * np.eye(4), ((0, 0), (0, features - 4)))[
            labels
        ], labels

    hard, easy = (
        learning_curve("a", *drawn(images, features), *drawn(600, features))
        for images, features in ((100, 80), (800, 4))
    )
    assert hard.rising
    assert not easy.rising
    assert hard.images == (10, 25, 50, 100)


def test_the_exponent_of_drawn_power_laws_is_found(dice):
    errors = []
    for alpha in (1.8, 2.5, 4.0):
        found, tail = power_law((1 - dice.random(2000)) ** (-1 / (alpha - 1)))
        errors.append((found - alpha) / ((alpha - 1) / np.sqrt(tail)))
    assert np.abs(errors).max() < 3.5


def test_of_few_eigenvalues_no_exponent_is_told():
    (spectrum,) = weight_spectra(nn.Conv2d(3, 8, 3))
    assert spectrum.alpha is None
    assert spectrum.norm > 0


def test_calibration_error_and_cooling_know_a_network_that_is_twice_as_sure_as_it_should_be(dice):
    logits = 2 * dice.standard_normal((4000, 5))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([dice.choice(5, p=row) for row in chances])
    fair, sure = Scored(logits, labels), Scored(2 * logits, labels)
    assert score(fair).error.value < 0.03
    assert score(sure).error.low > 0.08
    assert gap(fair, sure).temperature == pytest.approx(2, rel=0.08)
    expected = -np.log(chances[np.arange(4000), labels])
    np.testing.assert_allclose(fair.losses, expected)
    found = calibration_error(np.full(10, 0.8), np.r_[np.ones(5), np.zeros(5)], dice)
    assert found.value == pytest.approx(0.3)


def test_gaps_of_the_visible_size_are_seen_in_four_of_five_measurements(dice):
    size = visible_gap(0.8, 300, 400)
    first, second = dice.binomial(300, 0.8 + size / 2, 600), dice.binomial(400, 0.8 - size / 2, 600)
    seen = [difference(share(int(a), 300), share(int(b), 400)).low > 0 for a, b in zip(first, second, strict=True)]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.06)
    assert visible_gap(1.0, 30, 30) > 0.1


def test_class_shares_are_compared_by_chance():
    alike = balance({"a": 100, "b": 100}, {"a": 48, "b": 52})
    assert alike.p > 0.3
    unlike = balance({"a": 100, "b": 100}, {"a": 10, "b": 90, "c": 3})
    assert unlike.p < 1e-6
    assert unlike.lacking == ("c",)
    assert balance({}, {"a": 1}) is None


def synthetic(final, labels, strongest=None) -> Answers:
    count = len(labels)
    return Answers(
        np.arange(count),
        labels,
        None,
        final,
        {},
        strongest or {},
        np.zeros((count, 1)),
        np.zeros((count, 1, 1, 1), np.uint8),
        0,
    )


def test_natural_mistakes_are_no_wrong_labels_and_planted_ones_are_counted(dice):
    labels = np.arange(2000) % 10
    final = 6 * np.eye(10)[labels] + dice.standard_normal((2000, 10))
    # One in ten looks like the class next to its own: its own class is then the second guess.
    confused = dice.random(2000) < 0.1
    final[confused] = 6 * np.eye(10)[(labels[confused] + 1) % 10] + 4 * np.eye(10)[labels[confused]]
    clean = wrong_labels(synthetic(final, labels), synthetic(final, labels), Scored(2 * final, labels))
    assert not clean.suspects
    given = labels.copy()
    places = dice.choice(np.flatnonzero(~confused), 100, replace=False)
    given[places] = (given[places] + dice.integers(1, 10, 100)) % 10
    seen = synthetic(final, given)
    noisy = wrong_labels(seen, seen, Scored(2 * final, given))
    assert noisy.share.low < 0.05 < noisy.share.high
    assert {one.image for one in noisy.suspects} <= set(places.tolist())


def test_units_that_help_on_training_images_alone_are_told_from_units_that_help_on_both_or_none(dice):
    noise = [(f"{n}", n, dice.standard_normal(100), dice.standard_normal(100)) for n in range(200)]
    both = ("both", 0, 1 + dice.standard_normal(100), 1 + dice.standard_normal(100))
    alone = ("alone", 0, 1 + dice.standard_normal(100), dice.standard_normal(100))
    assert [one.layer for one in judged([*noise, both, alone], range(100))] == ["alone"]
    assert judged([], ()) == ()


def test_a_unit_that_one_image_makes_fire_is_named_with_it():
    shares = np.array([0.9, 0.02]), np.array([17, 3])
    (found,) = single_images(synthetic(np.zeros((60, 1)), np.zeros(60, int), {"a": shares}), {"a": 2})
    assert (found.layer, found.unit, found.image) == ("a", 0, 17)


class Functional(nn.Module):
    """Its last weights are applied without a module."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.weight = nn.Parameter(torch.randn(4, 6))

    def forward(self, x):
        return F.linear(F.relu(self.conv(x)).mean((2, 3)), self.weight)


def test_a_pass_keeps_what_the_last_weights_read_and_what_the_network_says(dice):
    torch.manual_seed(0)
    module = Functional()
    network = fs.Network(module, fs.Preprocessing((12, 12), (0.5,) * 3, (0.25,) * 3))
    pixels = dice.integers(0, 256, (10, 12, 12, 3), dtype=np.uint8)
    seen = answers(network, Arrays.of(pixels), [7, 2], network.layers(), np.arange(10), batch_size=1)
    x = torch.from_numpy(pixels[[7, 2]]).permute(0, 3, 1, 2) / 255 * 4 - 2
    maps = F.relu(module.conv(x))
    np.testing.assert_allclose(seen.final, maps.mean((2, 3)).detach(), atol=1e-5)
    np.testing.assert_allclose(seen.logits, module(x).detach(), atol=1e-5)
    np.testing.assert_allclose(seen.layers["conv"].reshape(2, 6, 4).mean(2), maps.mean((2, 3)).detach(), atol=1e-5)
    highest = maps.amax((2, 3)).detach().numpy()
    np.testing.assert_allclose(seen.strongest["conv"][0], highest.max(0) / highest.sum(0), atol=1e-5)
    assert seen.strongest["conv"][1].tolist() == np.array([7, 2])[highest.argmax(0)].tolist()
    assert seen.labels.tolist() == [7, 2]


def test_a_subset_is_its_images(dice):
    source = Arrays.of(dice.integers(0, 256, (5, 4, 4, 3), dtype=np.uint8), np.arange(5), tuple("abcde"))
    part = Subset(source, (3, 1))
    assert [part.label(0), part.label(1), part.labels] == ["d", "b", source.labels]
    assert (part.load(1) == source.load(1)).all()
    assert part.digest != Subset(source, (1, 3)).digest
