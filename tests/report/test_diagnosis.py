"""The diagnosis of the page: what the records say, worst first; families lie as the maps between their members do."""

import itertools

import numpy as np
import pytest

from filterscope.atlas.records import Relation
from filterscope.report import write_report
from filterscope.report.kin import families
from small_atlas import small_atlas


@pytest.fixture
def diagnosis(hand_made, read):
    return read(write_report(hand_made.atlas)).shards["0/diagnosis"]


def test_verdicts_are_those_of_the_command_and_warnings_come_first(diagnosis):
    told = [(one["kind"], one["level"], one["number"], len(one["findings"])) for one in diagnosis["verdicts"]]
    assert told == [
        ("overfits", "warning", "points", 1),
        ("scaled", "warning", "filters", 1),
        # Of the two layers that were looked at one has a family.
        ("families", "note", "layers", 1),
        ("family", "note", "filters", 2),
        ("blocks left out", "left out", "none", 1),
    ]
    overfits, scaled, _, family, left_out = diagnosis["verdicts"]
    assert overfits["claim"].endswith("12.3 points (10.0 to 15.0)")
    assert overfits["findings"] == [
        {"layer": None, "unit": None, "value": 0.1235, "low": 0.1, "high": 0.15, "evidence": "by so much"}
    ]
    assert [(one["layer"], one["unit"]) for one in scaled["findings"]] == [(1, 3)]
    assert [one["unit"] for one in family["findings"]] == [0, 1]
    assert left_out["findings"][0]["value"] is None


def test_where_the_atlas_lay_is_not_told(diagnosis, hand_made):
    commands = [one["command"] for one in diagnosis["verdicts"]]
    assert commands[0] == 'filterscope diagnose small.atlas --kind "overfits"'
    assert str(hand_made.atlas.folder.parent) not in str(diagnosis)


def test_plots_have_the_numbers_of_the_records_in_the_order_of_the_layers(diagnosis):
    one, other = diagnosis["spectra"]
    assert (one["layer"], other["layer"]) == (0, 1)
    assert one["shares"] == [0.75, 0.2, 0.05]
    assert (one["width"], one["dimension"], one["low"], one["high"]) == (3, 2, 1, 3)
    assert (other["low"], other["participation"], other["error"]) == (None, 1.877, 0.01235)
    assert [(one["layer"], one["of"]) for one in diagnosis["probes"]] == [
        (0, "training"),
        (0, "validation"),
        (1, "training"),
        (1, "validation"),
    ]
    assert {(one["accuracy"], one["low"], one["high"]) for one in diagnosis["probes"]} == {(0.6123, 0.5, 0.7)}
    assert [(one["name"], one["layers"], one["change"]) for one in diagnosis["blocks"]] == [("body", [1], -0.0625)]


def test_relations_are_those_of_the_diagnosis_alone(diagnosis):
    pairs = [(one["layer"], one["kind"], one["unit"], one["other"]) for one in diagnosis["relations"]]
    assert sorted(pairs) == [(0, "rotated", 0, 1), (0, "rotated", 1, 0), (1, "scaled", 3, 1)]
    members = [{"unit": 0, "angle": 0, "mirrored": False}, {"unit": 1, "angle": 90, "mirrored": False}]
    assert diagnosis["families"] == [{"layer": 0, "unit": 0, "members": members}]


def test_without_a_diagnosis_there_is_none(tmp_path, read):
    report = read(write_report(small_atlas(tmp_path / "a.atlas", lenses=("kernels",)).atlas))
    assert report.manifest["hasDiagnosis"] is False
    assert not any("diagnosis" in name for name in report.shards)


MIRROR = np.diag([-1.0, 1.0])


def turned(angle: float, mirrored: bool) -> np.ndarray:
    """As a map of the plane: mirrored left to right, then turned counter-clockwise."""
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return rotation @ MIRROR if mirrored else rotation


def between(unit: int, other: int, lies: list[np.ndarray], similarity: float) -> Relation:
    """What must be done to ``other`` to have ``unit``, read off the map that does it."""
    done = lies[unit] @ np.linalg.inv(lies[other])
    mirrored = bool(np.linalg.det(done) < 0)
    rotation = done @ MIRROR if mirrored else done
    angle = float(np.rad2deg(np.arctan2(rotation[1, 0], rotation[0, 0])) % 360)
    kind = "mirrored" if mirrored else "rotated"
    return Relation("a", unit, kind, other, similarity, angle=angle, mirrored=mirrored)


@pytest.mark.parametrize("seed", range(20))
def test_members_lie_as_the_maps_between_them_say(seed):
    rng = np.random.default_rng(seed)
    lies = [turned(float(rng.integers(24) * 15), bool(rng.integers(2))) for _ in range(7)]
    every = list(itertools.combinations(range(7), 2))
    # Of most pairs it is known how they lie, not of all.
    pairs = {every[place] for place in rng.permutation(len(every))[2:]}
    links = [between(*ends, lies, 0.9) for one, other in sorted(pairs) for ends in ((one, other), (other, one))]
    (members,) = families(links, {("a", unit) for unit in range(7)})
    assert sorted(one.unit for one in members) == list(range(7))
    head = members[0].unit
    assert (members[0].angle, members[0].mirrored) == (0, False)
    for one in members:
        np.testing.assert_allclose(turned(one.angle, one.mirrored) @ lies[head], lies[one.unit], atol=1e-9)


def test_pairs_that_no_finding_speaks_of_are_no_family():
    links = [between(*ends, [turned(0, False), turned(30, False)], 0.9) for ends in ((0, 1), (1, 0))]
    assert families(links, {("a", 0), ("b", 1)}) == []


def test_a_weak_pair_does_not_make_two_families_one():
    lies = [turned(30.0 * unit, False) for unit in range(6)]
    pairs = [*itertools.combinations(range(3), 2), *itertools.combinations(range(3, 6), 2), (2, 3)]
    links = [between(*ends, lies, 0.9) for one, other in pairs for ends in ((one, other), (other, one))]
    found = families(links, {("a", unit) for unit in range(6)})
    assert [sorted(one.unit for one in members) for members in found] == [[0, 1, 2], [3, 4, 5]]
