"""What became of two networks' answers: against counts by hand, scipy and brute force."""

import math

import numpy as np
import pytest
from scipy.special import rel_entr, softmax
from scipy.stats import ttest_rel

from filterscope.findings.generalisation.scores import score
from filterscope.surgery.compared import Scored, compare

CLASSES = ("ant", "bee", "cat")


def told(answers: list[int]) -> np.ndarray:
    """Logits that name these classes."""
    return 3.0 * np.eye(3)[answers]


def test_lost_and_won_are_counted_and_tested_exactly() -> None:
    labels = np.array([0] * 12 + [1] * 12)
    before = told([0] * 12 + [1] * 10 + [0] * 2)
    after = told([1] * 7 + [0] * 5 + [1] * 10 + [1, 0])
    found = compare(before, after, labels, CLASSES)
    assert (found.lost, found.won) == (7, 1)
    # McNemar by hand: 8 tosses of a coin, 0 or 1 heads, on both sides.
    assert found.p_value == pytest.approx(2 * (1 + 8) / 2**8)
    assert found.accuracy is not None
    assert found.accuracy.before == pytest.approx(22 / 24)
    assert found.accuracy.change.value == pytest.approx(-6 / 24)
    assert found.agreement.value == pytest.approx(16 / 24)
    assert found.worst_class is not None
    assert (found.worst_class.name, found.worst_class.images) == ("ant", 12)
    assert found.worst_class.change.value == pytest.approx(-7 / 12)


def test_loss_and_divergence_are_scipys() -> None:
    dice = np.random.default_rng(0)
    before, labels = dice.normal(size=(50, 3)), dice.integers(0, 3, 50)
    after = before + 0.3 * dice.normal(size=(50, 3))
    found = compare(before, after, labels, CLASSES)
    losses = [-np.log(softmax(one, 1)[np.arange(50), labels]) for one in (before, after)]
    theirs = ttest_rel(losses[1], losses[0]).confidence_interval()
    assert found.loss is not None
    assert found.loss.change == pytest.approx((losses[1].mean() - losses[0].mean(), theirs.low, theirs.high))
    assert found.divergence.value == pytest.approx(rel_entr(softmax(before, 1), softmax(after, 1)).sum(1).mean())


def test_calibration_is_that_of_the_diagnosis_and_its_change_is_paired() -> None:
    dice = np.random.default_rng(0)
    labels = dice.integers(0, 3, 400)
    before = 4 * np.eye(3)[labels] + 2 * dice.normal(size=(400, 3))
    found = compare(before, 20 * before, labels, CLASSES).calibration
    assert found is not None
    assert found.before == pytest.approx(score(Scored(before, labels)).error.value)
    assert found.after == pytest.approx(score(Scored(20 * before, labels)).error.value)
    # An over-confident copy makes the same mistakes: the interval leaves 0 out.
    assert found.change.low > 0
    same = compare(before, before, labels, CLASSES).calibration
    assert same is not None
    assert same.change == (0, 0, 0)


def test_without_labels_agreement_and_divergence_are_left() -> None:
    found = compare(told([0, 1, 2]), told([0, 1, 1]), np.full(3, -1), CLASSES)
    assert found.accuracy is found.loss is found.calibration is found.worst_class is found.p_value is None
    assert found.agreement.value == pytest.approx(2 / 3)
    assert math.isfinite(found.divergence.value)
    assert (found.images, found.labelled) == (3, 0)
