"""The statistics of a unit: those of its records, by hand; missing ones are missing; draws are of parts of images."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from filterscope.atlas.records import Perturbation, Tuning
from filterscope.findings.behaviour import COLOURS, PERTURBED, STATISTICS, TUNED, behaviour

WINDOWS = (32.0, 22.627, 16.0, 11.314, 8.0, 5.657, 4.0)
CURVES = ("orientation", "frequency", "hue", "brightness", "edge", "bar", "corner", "texture")


def perturbation(unit: int = 0, crops: int = 3, seed: int = 0) -> Perturbation:
    """Of random responses."""
    kept = np.random.default_rng(seed).uniform(0.2, 1, (4 + len(WINDOWS) + 9 + 16, crops))
    kept[0] = np.linspace(3, 2, crops)
    kept[4] = kept[0]
    found: dict[str, Any] = dict.fromkeys((field.name for field in fields(Perturbation)[:-6]), 0.5)
    found |= {"layer": "conv", "unit": unit, "crops": crops, "extent": 16.0 if crops else None, "best": 3.0}
    return Perturbation(**found, participation=0.6, windows=WINDOWS, responses=kept.astype("<f4").tobytes())


def tuning(unit: int = 0, of: str = "orientation", **more: Any) -> Tuning:
    facts = {"preferred": 0.25, "selectivity": 0.6, "peak": 1.0, "noise": 0.4, "best": 2.0, "status": "clear"} | more
    return Tuning("conv", unit, of, (0.0, 1.0), b"", grey=0.0, **facts)


def curves(unit: int = 0, **more: Any) -> list[Tuning]:
    return [tuning(unit, of, **more) for of in CURVES]


def value(of: np.ndarray, name: str) -> float:
    return float(of[STATISTICS.index(name)])


def test_shares_are_what_is_left_of_the_sum_over_parts():
    record = perturbation()
    kept = record.statistics().astype(float)
    own = behaviour(1, [record], []).values[0]
    by_name = dict(zip(("without_colour", "complement", "upside_down"), kept[1:4].sum(1) / kept[0].sum(), strict=True))
    rest = [*PERTURBED[6:9], *PERTURBED[9:12], *PERTURBED[12:15]]
    by_name |= dict(zip(rest, kept[4 + len(WINDOWS) : -16].sum(1) / kept[0].sum(), strict=True))
    lost = (kept[0] - kept[-16:]).sum(1) / kept[0].sum()
    assert lost.sum() > 2, "elements are needed together: of what colour takes only its part is colour's"
    for name in ("without_colour", "complement"):
        by_name[name] = 1 - (1 - by_name[name]) / lost.sum()
    for name, expected in by_name.items():
        assert value(own, name) == pytest.approx(expected, abs=1e-6)
    assert value(own, "superadditivity") == pytest.approx(np.log2(lost.sum()), abs=1e-5)
    assert value(own, "largest_loss") == pytest.approx(lost.max(), abs=1e-6)
    rim = lost.sum() - lost.reshape(4, 4)[1:3, 1:3].sum()
    assert value(own, "outer_loss") == pytest.approx(rim / lost.sum(), abs=1e-6)
    assert value(own, "participation") == pytest.approx(lost.sum() ** 2 / 16 / (lost**2).sum(), abs=1e-6)


def test_what_helps_counts_no_more_than_what_does_nothing_much():
    record = perturbation()
    kept = record.statistics().copy()
    kept[1], kept[-16:] = 1.9 * kept[0], kept[0] * 1.2
    own = behaviour(1, [replace(record, responses=kept.astype("<f4").tobytes())], []).values[0]
    assert value(own, "without_colour") == 1.5
    assert value(own, "superadditivity") == -2


def test_statistics_of_stimuli_are_shares_of_the_best_of_stimuli_and_images():
    own = behaviour(1, [perturbation()], curves()).values[0]
    for name in ("hue", "brightness", "edge"):
        assert value(own, name) == pytest.approx(1 / 3)
    assert value(own, "noise") == pytest.approx(0.4 / 3)
    assert value(own, "simple") == pytest.approx(2 / 3)
    assert value(own, "orientation") == pytest.approx(0.6)
    # A quarter of a wave a pixel, in 16 pixels: four waves.
    assert value(own, "cycles") == 2
    alone = behaviour(1, [], curves()).values[0]
    assert (value(alone, "hue"), value(alone, "simple")) == (0.5, 1)


def test_the_fainter_a_response_the_less_it_tells_how_it_depends_on_a_stimulus():
    found = [behaviour(1, [perturbation()], [tuning(of=of, peak=peak) for of in CURVES]) for peak in (0, 0.1, 0.2, 2)]
    told = [value(own.values[0], "orientation") for own in found]
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, pytest.approx(0.6))
    assert told[2] == pytest.approx(2 * told[1])
    assert [bool(np.isnan(value(own.values[0], "cycles"))) for own in found] == [True, True, False, False]


def test_what_there_is_no_record_of_is_missing():
    for records, tuned, missing in (
        ([perturbation()], [], set(TUNED)),
        ([], curves(), {*PERTURBED, "cycles"}),
        ([perturbation()], [one for one in curves() if one.of != "hue"], {"hue"}),
        ([perturbation(crops=0)], curves(), {*PERTURBED, "cycles"}),
        ([perturbation()], curves(status="silent"), set(TUNED)),
    ):
        own = behaviour(1, records, tuned)
        assert {name for name in STATISTICS if np.isnan(value(own.values[0], name))} == missing
        assert (np.isnan(own.drawn) == np.isnan(own.values)).all()
        assert own.fires.all()


def test_without_colours_nothing_is_said_of_them():
    own = behaviour(1, [perturbation()], curves(), colours=False)
    assert {name for name in STATISTICS if np.isnan(value(own.values[0], name))} == set(COLOURS)
    assert (np.isnan(own.drawn) == np.isnan(own.values)).all()


@pytest.mark.parametrize("kinds", ["images", "stimuli", "both"])
def test_a_unit_fires_that_any_stimulus_or_part_brings_above_grey(kinds):
    records = [perturbation(0), perturbation(1, crops=0), perturbation(2, crops=0)] if kinds != "stimuli" else []
    loud, silent = curves(0), curves(1, status="silent", best=0.0)
    third = curves(2, status="silent" if kinds == "stimuli" else "clear")
    own = behaviour(3, records, [*loud, *silent, *third] if kinds != "images" else [])
    assert own.fires.tolist() == [True, False, kinds == "both"]
    assert np.isnan(own.values[1]).all()


def test_draws_are_of_the_parts_with_replacement_and_their_mean_is_the_value():
    own = behaviour(1, [perturbation(crops=8)], curves(), draws=2000)
    for name in ("upside_down", "scrambled"):
        place = STATISTICS.index(name)
        kept = perturbation(crops=8).statistics().astype(float)
        drawn = own.drawn[:, 0, place]
        assert drawn.mean() == pytest.approx(own.values[0, place], abs=0.02)
        row = 3 if name == "upside_down" else 4 + len(WINDOWS) + 6
        # The standard error of a ratio of sums, by the delta method.
        away = kept[row] - own.values[0, place] * kept[0]
        assert drawn.std() == pytest.approx(np.sqrt((away**2).sum()) / kept[0].sum(), rel=0.15)
    assert (own.drawn[:, 0, STATISTICS.index("hue")] == own.values[0, STATISTICS.index("hue")]).all()
    one = behaviour(1, [perturbation(crops=1)], [])
    np.testing.assert_allclose(one.drawn[:, 0, : len(PERTURBED)], one.values[[0] * 200, : len(PERTURBED)], atol=1e-12)


def test_the_order_of_units_and_of_their_records_decides_nothing():
    records = [perturbation(unit, crops=(3, 5, 3, 4)[unit], seed=unit) for unit in range(4)]
    tuned = [one for unit in range(4) for one in curves(unit)]
    one, other = behaviour(4, records, tuned), behaviour(4, records[::-1], tuned[::-1])
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.fires, other.fires)
    np.testing.assert_array_equal(one.drawn, other.drawn)
    order = [2, 0, 3, 1]
    moved = behaviour(4, [replace(records[unit], unit=place) for place, unit in enumerate(order)], tuned)
    np.testing.assert_array_equal(moved.drawn, one.drawn[:, order])
    assert not np.array_equal(one.drawn, behaviour(4, records, tuned, seed=1).drawn)
