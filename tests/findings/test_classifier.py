"""The logistic model: its optimum is one, its temperature comes back, and classes count alike."""

import numpy as np
import pytest

from filterscope.findings.classifier import Logistic, balanced, fit, softmax, temperature


def clouds(count: int = 60, labels: int = 3, statistics: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points around the corners of a cube, and their labels as shares."""
    dice = np.random.default_rng(seed)
    which = np.arange(count) % labels
    means = dice.normal(0, 1.5, (labels, statistics))
    return means[which] + dice.normal(size=(count, statistics)), np.eye(labels)[which]


def cross_entropy(table: np.ndarray, points, shares, weights, penalty) -> float:
    """The loss, a point at a time."""
    total = 0.0
    for point, share, weight in zip(points, shares, weights, strict=True):
        logits = [sum(point * table[:-1, label]) + table[-1, label] for label in range(shares.shape[1])]
        powers = [np.exp(one) for one in logits]
        total -= weight * sum(s * np.log(p / sum(powers)) for s, p in zip(share, powers, strict=True))
    return total + penalty * sum(one**2 for one in table[:-1].ravel())


def test_no_step_from_the_fit_to_any_side_makes_the_loss_smaller():
    points, shares = clouds()
    shares = 0.7 * shares + 0.3 * np.roll(shares, 1, 0)
    weights = np.random.default_rng(1).uniform(0.2, 2, len(points))
    model = fit(points, shares, weights, 0.3)
    table = np.vstack([model.weights, model.bias])
    least = cross_entropy(table, points, shares, weights, 0.3)
    for place in np.ndindex(table.shape):
        step = np.zeros_like(table)
        step[place] = 1e-3
        sides = [cross_entropy(table + side * step, points, shares, weights, 0.3) for side in (-1, 1)]
        assert abs(sides[1] - sides[0]) / 2e-3 < 0.02
    dice = np.random.default_rng(2)
    for _ in range(40):
        step = dice.normal(size=table.shape)
        for length in (0.3, 0.05):
            assert cross_entropy(table + length * step / np.linalg.norm(step), points, shares, weights, 0.3) > least


def test_a_fit_of_known_shares_gives_them_back():
    dice = np.random.default_rng(0)
    points = dice.normal(size=(300, 3))
    true = Logistic(dice.normal(size=(3, 4)), dice.normal(size=4))
    shares = softmax(true.logits(points))
    model = fit(points, shares, np.ones(300), 1e-6)
    np.testing.assert_allclose(softmax(model.logits(points)), shares, atol=2e-3)


def test_a_larger_penalty_gives_smaller_weights():
    points, shares = clouds()
    sizes = [np.abs(fit(points, shares, np.ones(60), penalty).weights).sum() for penalty in (0.01, 0.3, 10, 1000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.02 * sizes[0]


def test_wherever_the_search_starts_it_ends_at_the_same_model():
    points, shares = clouds()
    weights, dice = np.ones(len(points)), np.random.default_rng(5)
    one = fit(points, shares, weights, 0.3)
    for start in (
        Logistic(dice.normal(0, 3, (4, 3)), dice.normal(0, 3, 3)),
        fit(points, np.roll(shares, 1, 1), weights, 0.3),
    ):
        other = fit(points, shares, weights, 0.3, start)
        np.testing.assert_allclose(softmax(other.logits(points)), softmax(one.logits(points)), atol=2e-3)


def test_a_point_of_twice_the_weight_is_two_points():
    points, shares = clouds()
    weights = np.where(np.arange(60) < 20, 2.0, 1.0)
    one = fit(points, shares, weights, 0.3)
    two = fit(np.vstack([points, points[:20]]), np.vstack([shares, shares[:20]]), np.ones(80), 0.3)
    np.testing.assert_allclose(softmax(one.logits(points)), softmax(two.logits(points)), atol=2e-3)


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_by_which_logits_were_too_large_comes_back(true):
    dice = np.random.default_rng(0)
    logits = dice.normal(0, 2, (4000, 4))
    drawn = np.array([dice.choice(4, p=one) for one in softmax(logits)])
    assert temperature(logits * true, np.eye(4)[drawn], np.ones(4000)) == pytest.approx(true, rel=0.1)


def test_softmax_sums_to_one_however_large_the_logits():
    logits = np.array([[1e4, 0.0, -1e4], [-1e5, -1e5, -1e5], [0.0, np.log(2), np.log(3)]])
    shares = softmax(logits)
    np.testing.assert_allclose(shares, [[1, 0, 0], [1 / 3] * 3, [1 / 6, 2 / 6, 3 / 6]], atol=1e-12)


def test_balanced_weights_give_every_class_the_same_sum_and_have_mean_one():
    shares = np.eye(3)[[0] * 50 + [1] * 5 + [2] * 5]
    weights = balanced(shares)
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(weights @ shares, [20, 20, 20])
    # Of a class without any unit nothing is asked.
    without = np.eye(4)[[0, 0, 1, 2]]
    assert np.isfinite(balanced(without)).all()
