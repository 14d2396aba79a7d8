"""The calibrated classifier: known classes come back, what is like none is unclassified, and a file keeps it all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from filterscope.findings import calibration
from filterscope.findings.behaviour import COLOURS, PERTURBED, STATISTICS, TUNED, Behaviour
from filterscope.findings.calibration import (
    BAG,
    CLASSES,
    FITS,
    FUNCTIONS,
    NONE,
    Examples,
    chosen,
    fitted,
    folded,
    load,
    save,
)
from filterscope.findings.layer_shares import corrected, of_layer

COUNT = len(STATISTICS)


def gaussians(each: int = 80, seed: int = 0, spread: float = 0.35) -> Examples:
    """Classes around random corners; each has four mechanisms of its own."""
    dice = np.random.default_rng(seed)
    means = np.random.default_rng(99).choice((-1.0, 1.0), (len(CLASSES), COUNT))
    which = np.repeat(np.arange(len(CLASSES)), each)
    values = means[which] + spread * dice.normal(size=(len(which), COUNT))
    mechanisms = tuple(f"{CLASSES[one]} {number % 4}" for number, one in enumerate(which))
    return Examples(values, np.eye(len(CLASSES))[which], mechanisms)


def seen(values: np.ndarray, draws: int = 40, spread: float = 0.05) -> Behaviour:
    """Units with these statistics, and draws around them."""
    dice = np.random.default_rng(7)
    drawn = values + spread * dice.normal(size=(draws, *values.shape))
    return Behaviour(values, drawn, np.ones(len(values), bool))


@pytest.fixture(scope="module")
def one():
    return fitted(gaussians(), STATISTICS, members=6)


def test_units_of_known_classes_are_told_by_them_and_shares_are_shares(one):
    new = gaussians(10, seed=5, spread=0.25)
    shares, drawn = one.told(seen(new.values))
    for some in (shares, drawn):
        np.testing.assert_allclose(some.sum(-1), 1, atol=1e-12)
        assert (some >= 0).all()
    assert (shares.argmax(1) == new.shares.argmax(1)).mean() > 0.97
    assert drawn.shape == (40, *shares.shape)


def test_what_is_far_from_all_classes_is_unclassified_and_the_nearer_the_less(one):
    means = np.stack([gaussians().values[gaussians().shares[:, at] > 0].mean(0) for at in range(len(CLASSES))])
    away = np.random.default_rng(3).normal(size=COUNT)
    none = [
        one.told(seen(means[:1] + far * away / np.linalg.norm(away)))[0][0, CLASSES.index(NONE)]
        for far in (0, 1, 2, 4, 8, 30)
    ]
    assert none[0] < 0.1
    assert none[-1] > 0.99
    assert np.diff(none).min() > -0.02


def test_at_the_limit_half_is_unclassified(one):
    logits = np.where(np.arange(len(CLASSES)) == 0, 50.0, -50.0)
    told = [one.shares(logits, np.array(one.limit * far))[CLASSES.index(NONE)] for far in (0.8, 1, 1.2)]
    assert told == pytest.approx([0, 0.5, 1], abs=1e-3)


def test_distances_are_those_of_mahalanobis_a_class_at_a_time(one):
    points = np.random.default_rng(0).normal(size=(5, 3, COUNT))
    found = one.distances(points)
    for place in np.ndindex(5, 3):
        each = [np.sqrt((points[place] - mean) @ one.precision @ (points[place] - mean)) for mean in one.means]
        assert found[place] == pytest.approx(min(each))


def test_shares_are_those_of_the_mean_of_the_members_logits(one):
    values = gaussians(2, seed=8, spread=0.25).values
    logits = []
    for value in values:
        point = (value - one.centre) / one.scale
        logits.append(np.mean([[point @ table[:-1, c] + table[-1, c] for c in range(7)] for table in one.members], 0))
    powers = np.exp(np.array(logits) / one.temperature)
    expected = powers / powers.sum(1, keepdims=True)
    shares, _ = one.told(seen(values))
    near = one.distances(one.points(values)) < 0.8 * one.limit
    assert near.sum() > 5
    np.testing.assert_allclose(shares[near], expected[near], atol=1e-4)


def test_a_missing_statistic_counts_as_a_typical_one(one):
    values = gaussians(1, seed=4).values
    typical = np.median(gaussians().values, 0)
    missing, filled = values.copy(), values.copy()
    missing[:, 3], filled[:, 3] = np.nan, typical[3]
    np.testing.assert_allclose(one.told(seen(missing))[0], one.told(seen(filled))[0], atol=1e-12)


def test_widening_moves_draws_apart_and_shares_not(one):
    values = np.mean([gaussians().values[:80:4], gaussians().values[80:160:4]], 0)
    one = replace(one, limit=1e6)
    narrow, wide = one.told(seen(values)), replace(one, widening=4.0).told(seen(values))
    assert (narrow[0] == wide[0]).all()
    assert np.ptp(wide[1], 0).mean() > 1.5 * np.ptp(narrow[1], 0).mean() > 0
    still = replace(one, widening=0.0).told(Behaviour(values, np.stack([values] * 9), np.ones(20, bool)))
    np.testing.assert_allclose(still[1], np.broadcast_to(still[0], still[1].shape), atol=1e-12)


def test_scaling_and_moving_a_statistic_in_all_units_changes_nothing(one):
    factor, offset = np.geomspace(0.01, 100, COUNT), np.linspace(-5, 5, COUNT)
    examples = gaussians()
    other = fitted(replace(examples, values=examples.values * factor + offset), STATISTICS, members=6)
    new = gaussians(3, seed=6).values
    np.testing.assert_allclose(other.told(seen(new * factor + offset))[0], one.told(seen(new))[0], atol=5e-3)


def test_confusions_are_of_mechanisms_that_were_left_out(one):
    np.testing.assert_allclose(one.confusion.sum(1), 1, atol=1e-9)
    assert np.diag(one.confusion).min() > 0.8
    # A mechanism that is like none of its class but like another: left out, it is taken for that one.
    examples = gaussians()
    values = examples.values.copy()
    edges = np.flatnonzero(examples.shares[:, 1] > 0)
    alien = edges[np.array([examples.mechanisms[at].endswith("0") for at in edges])]
    values[alien] = examples.values[np.flatnonzero(examples.shares[:, 3] > 0)[: len(alien)]]
    fooled = fitted(replace(examples, values=values), STATISTICS, members=2)
    assert fooled.confusion[1, 3] == pytest.approx(0.25, abs=0.1)
    assert fooled.temperature > one.temperature


def test_a_file_gives_back_what_was_saved(one, tmp_path):
    path = tmp_path / "fits.json"
    save({"all": one}, "Gaussians", path)
    back = load(path)["all"]
    assert back.statistics == one.statistics
    assert back.classes == one.classes
    values = gaussians(4, seed=2).values
    for before, after in zip(one.told(seen(values)), back.told(seen(values)), strict=True):
        np.testing.assert_allclose(before, after, atol=2e-3)
    save({"all": back}, "Gaussians", tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_the_same_examples_and_seed_give_the_same_file(tmp_path):
    for name in ("a", "b"):
        save({"all": fitted(gaussians(8), STATISTICS, seed=3, members=2)}, "Gaussians", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_without_colours_there_is_no_such_class_and_it_is_not_applicable():
    grey = fitted(gaussians(), FITS["no colours"], members=2)
    assert "colour" not in grey.classes
    shares, _ = grey.told(seen(gaussians(2, seed=1).values))
    told = folded(shares, grey.classes)
    assert np.isnan(told[:, 0]).all()
    np.testing.assert_allclose(told[:, 1:].sum(1), 1)


def there(names, units: int = 3) -> Behaviour:
    """Units of which these statistics are known."""
    values = np.full((units, COUNT), np.nan)
    values[:, [STATISTICS.index(name) for name in names]] = 0.5
    return Behaviour(values, values[None], np.ones(units, bool))


def test_every_set_of_statistics_has_its_fit():
    for name, statistics in FITS.items():
        assert chosen(there(statistics)) == name
    some = there(STATISTICS)
    some.values[1:] = np.nan
    assert chosen(some) == "all"
    assert chosen(there(()), False).endswith("no colours")
    assert not set(FITS["all"]) ^ (set(PERTURBED) | set(TUNED))
    assert all(not set(statistics) & set(COLOURS) for name, statistics in FITS.items() if "no colours" in name)


def test_a_bag_of_parts_is_half_texture_and_half_part():
    shares = np.array([0.1, 0.2, 0.1, 0.05, 0.05, 0.3, 0.2])
    assert (*FUNCTIONS, BAG, NONE) == CLASSES
    np.testing.assert_allclose(folded(shares, CLASSES), [0.1, 0.2, 0.25, 0.2, 0.05, 0.2])
    order = np.random.default_rng(0).permutation(7)
    np.testing.assert_allclose(folded(shares[order], [CLASSES[at] for at in order]), folded(shares, CLASSES))


def confused(seed: int) -> np.ndarray:
    """Each class mostly taken for itself."""
    dice = np.random.default_rng(seed)
    return 0.6 * np.eye(7) + 0.4 * dice.dirichlet(np.ones(7), 7)


@pytest.mark.parametrize("seed", range(5))
def test_exactly_confused_shares_are_put_right(seed):
    true = np.random.default_rng(seed + 50).dirichlet(np.full(7, 0.5))
    np.testing.assert_allclose(corrected(true @ confused(seed), confused(seed)), true, atol=1e-6)


def test_what_no_mixture_gives_becomes_the_nearest_mixture():
    table = confused(0)
    corner = np.eye(7)[2]
    found = corrected(corner, table)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    # By brute force: no other point of the simplex comes nearer.
    nearest = np.linalg.norm(found @ table - corner)
    others = np.random.default_rng(1).dirichlet(np.full(7, 0.3), 4000)
    moved = 0.98 * found + 0.02 * others
    for points in (others, moved):
        assert np.linalg.norm(points @ table - corner, axis=1).min() >= nearest - 1e-6
    np.testing.assert_allclose(corrected(corner, np.eye(7)), corner, atol=1e-9)


def test_a_layers_shares_are_the_weighted_mean_and_a_unit_of_no_weight_is_not_there(one):
    exact = replace(one, confusion=np.eye(7))
    dice = np.random.default_rng(0)
    shares = dice.dirichlet(np.ones(7), 9)
    drawn = np.stack([shares] * 60)
    weights = dice.random(9)
    weights[4] = 0
    mean, low, high = of_layer(shares, drawn, weights, exact, np.random.default_rng(1))
    expected = folded(np.average(shares, axis=0, weights=weights), CLASSES)
    np.testing.assert_allclose(mean, expected, atol=1e-6)
    assert (low <= mean).all()
    assert (mean <= high).all()
    assert (high - low).min() > 0.01
    shares[4] = np.eye(7)[0]
    again = of_layer(shares, np.stack([shares] * 60), weights, exact, np.random.default_rng(1))
    for one_bound, other in zip((mean, low, high), again, strict=True):
        np.testing.assert_allclose(one_bound, other, atol=1e-9)


def test_intervals_of_a_layer_hold_the_spread_of_means_over_units(one):
    """Of n units of two kinds by chance the share of one has the standard deviation of a binomial one."""
    exact = replace(one, confusion=np.eye(7))
    shares = np.eye(7)[np.arange(100) % 2]
    _, low, high = of_layer(shares, np.stack([shares] * 400), np.ones(100), exact, np.random.default_rng(1))
    assert (high - low)[0] == pytest.approx(2 * 1.645 * 0.05, rel=0.2)


def test_one_unit_alone_is_a_layer(one):
    shares = np.eye(7)[[3]]
    mean, low, high = of_layer(
        shares, np.stack([shares] * 5), np.ones(1), replace(one, confusion=np.eye(7)), np.random.default_rng(0)
    )
    np.testing.assert_allclose([mean[3], low[3], high[3]], 1, atol=1e-6)


def test_the_file_of_the_package_holds_every_fit_and_each_is_whole():
    if not calibration.FILE.exists():
        pytest.fail(f"{calibration.FILE} is missing: make it with python benchmarks/function/calibrate.py")
    fits = load()
    assert Path(calibration.FILE).stat().st_size < 2_000_000
    assert set(fits) == set(FITS)
    for name, fit in fits.items():
        assert fit.statistics == FITS[name]
        assert fit.classes == tuple(one for one in CLASSES if one != "colour" or "no colours" not in name)
        for array in (fit.typical, fit.centre, fit.scale, fit.members, fit.means, fit.precision, fit.confusion):
            assert np.isfinite(array).all()
        np.testing.assert_allclose(fit.confusion.sum(1), 1, atol=1e-3)
        assert np.linalg.eigvalsh(fit.precision).min() > 0
        values = np.random.default_rng(0).normal(size=(5, COUNT))
        shares, drawn = fit.told(seen(values))
        np.testing.assert_allclose(shares.sum(1), 1)
        np.testing.assert_allclose(drawn.sum(2), 1)
