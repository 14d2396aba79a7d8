"""Verdicts: every kind that findings have is told, with its number, and the worst first."""

import pytest

from filterscope.atlas import Atlas, Identity, open_ledger
from filterscope.atlas.diagnosis import Finding, Spectrum
from filterscope.findings import blocks, capacity, duplicates, families, probes, silence, spectra
from filterscope.findings.generalisation import kinds as gap_kinds
from filterscope.report.verdicts import KINDS, OF_LAYERS, OF_UNITS, WARNING, verdicts
from small_atlas import layer


def every_kind() -> set[str]:
    """As the findings name them."""
    of_layers = (
        spectra.TOO_MANY,
        spectra.CANDIDATE_FOR_MORE,
        spectra.LEFT_OUT,
        capacity.PROBES_LEFT_OUT,
        capacity.BLOCKS_LEFT_OUT,
        capacity.SEES_ALL,
        blocks.BYPASSABLE,
        probes.SATURATED,
    )
    copies = (families.FAMILY, families.INVARIANT, families.FAMILIES)
    return {*silence.SILENT, *duplicates.REPEATED, *copies, *of_layers, *gap_kinds.KINDS}


def test_every_kind_of_finding_is_told_and_none_that_does_not_exist():
    assert set(KINDS) == every_kind()
    assert set(KINDS) >= OF_UNITS | OF_LAYERS


@pytest.fixture
def told(tmp_path):
    def make(*records):
        with open_ledger(tmp_path / "x.atlas", Identity("n", "d", None, None)) as ledger:
            ledger.write(layer("first", 0, 8, (3, 3), (3, 3)), layer("second", 1, 4, (3, 3), (5, 5)), *records)
        return verdicts(Atlas(tmp_path / "x.atlas"))

    return make


def finding(place: str, unit: int, kind: str, value=1.0, low=None, high=None) -> Finding:
    return Finding(place, unit, kind, value, low, high, f"because of {kind}; images could overturn it")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_of_every_kind_a_claim_can_be_made(told, kind):
    place = ("", -1) if kind not in OF_UNITS | OF_LAYERS else ("first", -1 if kind in OF_LAYERS else 2)
    (one,) = told(finding(*place, kind, 0.5, 0.4, 0.6))
    assert one.kind == kind
    assert "\n" not in one.claim
    assert "None" not in one.claim
    assert one.more.startswith("filterscope ")


def test_filters_are_counted_once_and_named_in_the_order_of_the_network(told):
    found = [finding("second", 1, "equal"), finding("first", 7, "equal"), finding("first", 2, "equal")]
    (one,) = told(*found)
    assert one.claim == "3 of 12 filters equal another one: first:2, first:7, second:1"


def test_never_fired_tells_the_bound(told):
    (one,) = told(finding("first", 3, "never fired", 0.0, 0.0, 3 / 600))
    assert one.claim.endswith(
        "never fired in the images: first:3; each fires in fewer than 0.5 % of such images (95 %)"
    )


def test_widths_are_told_beside_dimensions_the_worst_layer_first(told):
    spectrum = Spectrum("first", 9, 99, 8, 8, 0, 6, 5, 7, 3.0, 5, 0.01, b"")
    other = Spectrum("second", 9, 99, 4, 4, 0, 1, 1, 2, 1.0, 1, 0.01, b"")
    (one,) = told(
        spectrum, other, finding("first", -1, "too many filters", 6.0), finding("second", -1, "too many filters", 1.0)
    )
    assert one.claim.endswith("(99 % of the variance): second (1 of 4), first (6 of 8)")


def test_impostors_come_before_overfitting_and_both_before_waste(told):
    kinds = ("equal", "gap", "overfits", "near-duplicates", "families")
    found = told(*(finding("" if kind not in OF_UNITS | OF_LAYERS else "first", -1, kind) for kind in kinds))
    assert [one.kind for one in found] == ["near-duplicates", "overfits", "equal", "gap", "families"]
    assert [one.level == WARNING for one in found] == [True, True, True, False, False]


def test_layers_without_families_are_not_spoken_of(told):
    assert told(finding("first", -1, "families", 0.0)) == []
