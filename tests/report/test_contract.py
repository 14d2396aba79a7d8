"""What the writer hands to the page is what the contract says, and what stands in the atlas's records."""

import base64
import re
import sqlite3
import statistics
import struct
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from filterscope.atlas.records import (
    ActivationMap,
    BackProjection,
    ClassActivation,
    ClassImage,
    Label,
    Optimum,
    Patch,
    Tuning,
)
from filterscope.report import write_report
from filterscope.report.classes import Responses, matched
from filterscope.report.means import class_selectivity, packed_means

SHARES = (0.1, 0.2, 0.3, 0.25, 0.05, 0.1)
"""Of unit 0 and of its layer: colour, edge, texture, part, whole, unclassified."""
CONTRACT = Path(__file__).resolve().parents[2] / "web/src/data/contract.ts"


def interfaces() -> dict[str, tuple[set[str], set[str]]]:
    """The contract's interfaces: names of the fields that must be there, and of those that may."""
    text = re.sub(r"/\*\*.*?\*/", "", CONTRACT.read_text(), flags=re.DOTALL)
    found = {}
    for name, body in re.findall(r"^export interface (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        fields = re.findall(r"^  (\w+)(\??):", body, re.MULTILINE)
        found[name] = ({field for field, maybe in fields if not maybe}, {field for field, _ in fields})
    return found


@pytest.fixture
def report(hand_made, read):
    return read(write_report(hand_made.atlas))


def test_every_object_has_the_fields_of_its_interface(report):
    known = interfaces()
    manifest, data = report.manifest, report.shards["0/layer-000"]
    classes, behaviour = report.shards["0/classes"], report.shards["0/behaviour-000"]
    diagnosis = report.shards["0/diagnosis"]
    pairs = {
        "Index": [report.shards["index"]],
        "Manifest": [manifest],
        "LayerInfo": manifest["layers"],
        "GraphNode": manifest["nodes"],
        "Band": manifest["bands"],
        "Column": manifest["columns"],
        "Missing": manifest["missing"],
        "PictureSet": [*manifest["overview"].values(), manifest["photographPicture"], classes["pictures"]],
        "LayerData": [data, report.shards["0/layer-001"]],
        "OptimumInfo": [one for some in data["optima"] for one in some],
        "PatchInfo": [one for some in data["patches"] for one in some],
        "BackProjections": data["backprojections"],
        "EffectiveKernelInfo": [one for one in data["effective"] if one],
        "ActivationMap": report.shards["0/maps-000"],
        "MapImages": [report.shards["0/map-images"]],
        "HistogramInfo": [data["histograms"][1]["image"]],
        "ClassMeans": [report.shards["0/means-000"]],
        "Images": [report.shards["0/images"]],
        "Classes": [classes],
        "LayerShares": [one for one in manifest["layers"][0]["functions"].values() if one],
        "UnitFunction": [one for one in data["functions"] if one],
        "Behaviour": [behaviour],
        "TuningData": [behaviour["tuning"]],
        "TuningCurves": behaviour["tuning"]["curves"],
        "PerturbationInfo": [one for one in behaviour["perturbations"] if one],
        "ClassInfo": classes["classes"],
        "Diagnosis": [diagnosis],
        "Verdict": diagnosis["verdicts"],
        "FindingInfo": [one for verdict in diagnosis["verdicts"] for one in verdict["findings"]],
        "SpectrumInfo": diagnosis["spectra"],
        "ProbeInfo": diagnosis["probes"],
        "BlockInfo": diagnosis["blocks"],
        "RelationInfo": diagnosis["relations"],
        "FamilyInfo": diagnosis["families"],
    }
    assert len(known) == len(pairs)
    for name, objects in pairs.items():
        required, allowed = known[name]
        for one in objects:
            assert required <= set(one) <= allowed, name


def test_the_manifest_tells_what_the_atlas_is_of_and_not_where_it_lay(report):
    manifest = report.manifest
    assert (manifest["title"], manifest["network"], manifest["images"]) == ("small", "net", "photos")
    assert (manifest["networkDigest"], manifest["imageCount"], manifest["inputSize"]) == ("digest-of-net", 8, [8, 8])
    assert manifest["missing"] == []
    assert manifest["made"].startswith("20")
    assert manifest["labels"] == [{"name": n, "images": i} for n, i in (("cat", 3), ("dog", 3), ("eel", 2))]
    first, second = manifest["layers"]
    assert (first["name"], first["id"], first["kernel"], first["gated"], first["flops"]) == (
        "conv1",
        0,
        [3, 5],
        True,
        None,
    )
    assert (first["firstPicture"], second["firstPicture"]) == (0, 3)
    assert (first["hasMeans"], second["hasMeans"]) == (True, False)
    assert "someone" not in str(report.shards["index"])


def test_units_carry_the_numbers_of_their_records(report, hand_made):
    data = report.shards["0/layer-000"]
    best = [one for one in hand_made.records[Optimum] if one.rank == 1]
    assert data["units"] == [0, 1, 2]
    assert data["numbers"]["activation_max"] == [-1, 8, 3]
    assert data["numbers"]["mean"] == [0.1235] * 3
    assert data["numbers"]["optimum_activation"] == [one.activation for one in best]
    assert data["numbers"]["agreement"] == [None] * 3
    assert data["numbers"]["similarity"] == [0.9, None, None]
    assert data["alike"] == [[[2, 0.9], [1, 0.2]], [], []]
    assert data["slices"] == [[2, 0, 1, 5, 4]] * 3
    assert [[one["seed"] for one in some] for some in data["optima"]] == [[0, 1]] * 3
    assert data["optima"][2][0]["status"] == "no stimulus found"
    assert data["optima"][0][0]["seconds"] == 0.5123
    assert data["histograms"][1] == {"image": {"width": 0.5, "first": -2, "counts": [1, 0, 4, 3]}, "position": None}
    columns = [column["id"] for column in report.manifest["columns"]]
    assert "agreement" not in columns
    assert set(columns) <= set(data["numbers"])


def test_units_without_records_are_there_and_unknown(report):
    data = report.shards["0/layer-001"]
    assert data["units"] == [0, 1, 2, 3]
    assert data["numbers"]["activation_max"] == [-1, 8, 3, None]
    assert data["optima"] == data["patches"] == [[]] * 4
    assert (data["slices"], data["histograms"], data["alike"], data["pictures"]) == (None, None, None, {})
    assert (data["backprojections"], data["effective"]) == ([], None)
    assert not report.manifest["layers"][1]["hasMaps"]
    assert "0/maps-001" not in report.shards


def test_patches_speak_of_images_by_their_place(report, hand_made):
    sources = report.shards["0/images"]["sources"]
    assert sources == [f"photo {number}.jpg" for number in (2, 3, 4, 7)]
    assert report.shards["0/images"]["labels"] == ["eel", "cat", "dog", "dog"]
    for record in hand_made.records[Patch]:
        shown = report.shards["0/layer-000"]["patches"][record.unit][record.rank - 1]
        assert sources[shown["image"]] == f"photo {record.image}.jpg"
        assert shown["box"] == [0, 0, 3, 5]


def test_maps_are_those_of_the_atlas_in_their_place(report, hand_made):
    assert (report.manifest["mapImages"], report.manifest["layers"][0]["hasMaps"]) == (2, True)
    images, maps = report.shards["0/map-images"], report.shards["0/maps-000"]
    assert (images["ids"], images["sources"], images["labels"]) == ([1, 4], ["photo 1.jpg", "photo 4.jpg"], [None] * 2)
    assert [images["ids"][one["image"]] for one in maps] == [1, 4], "those of an image that came later are left out"
    for shown, record in zip(maps, hand_made.records[ActivationMap], strict=False):
        values = record.maps()
        assert shown["size"] == [3, 2]
        assert shown["scales"] == [pytest.approx(np.abs(row).max(), rel=1e-3) for row in values]
        assert shown["largest"] == [pytest.approx(row.max() + 1, rel=1e-3, abs=0.02) for row in values]
        # As the contract says it, without numpy.
        differences, width = zlib.decompress(base64.b64decode(shown["values"])), shown["size"][1]
        levels = [sum(differences[at - at % width : at + 1]) for at in range(len(differences))]
        signed = [(level + 128) % 256 - 128 for level in levels]
        assert signed == record.levels().ravel().tolist()
        # Of the whole map, 6 x 4 positions a pixel apart: the first field is centred at 0 + 3 / 2 and -2 + 5 / 2.
        assert shown["box"] == [1, 0, 7, 4]


def test_back_projections_stand_in_the_order_of_their_patches(report, hand_made):
    data = report.shards["0/layer-000"]
    assert [one["method"] for one in data["backprojections"]] == ["deconvnet", "guided"]
    peaks = {(one.method, one.unit, one.rank): one.peak for one in hand_made.records[BackProjection]}
    for shown in data["backprojections"]:
        for unit in range(3):
            expected = [peaks.get((shown["method"], unit, rank)) for rank in (1, 2)]
            assert shown["peaks"][unit] == [peak and pytest.approx(peak, rel=1e-3) for peak in expected]
    assert data["backprojections"][1]["peaks"][2][0] is None


def test_effective_kernels_tell_their_linearity(report):
    data = report.shards["0/layer-000"]
    first = {"images": 16, "linearity": 0.3457, "floor": 0.0625, "size": [3, 5], "peak": 0.25}
    zero = {"images": 16, "linearity": None, "floor": None, "size": [3, 5], "peak": 0}
    assert data["effective"] == [first, None, zero]
    assert data["numbers"]["linearity"] == [0.3457, None, None]
    assert {"id": "linearity", "kind": "correlation"} in report.manifest["columns"]


def test_functions_have_their_shares_among_the_numbers_and_their_intervals_beside_them(report):
    data = report.shards["0/layer-000"]
    names = ("colour", "edge", "texture", "part", "whole", "unclassified")
    assert [data["numbers"][name] for name in names] == [[share, None, None] for share in SHARES]
    assert (data["numbers"]["importance"], data["numbers"]["selectivity"]) == ([0.25, None, 2.25], [0.5, None, 0.5])
    first, none, dead = data["functions"]
    assert (first["label"], first["compound"], first["missing"]) == ("bag of parts", "30 % bag of parts", "images")
    assert first["low"] == pytest.approx([share - 0.02 for share in SHARES], abs=1e-4)
    assert first["high"] == pytest.approx([share + 0.0312 for share in SHARES], abs=1e-4)
    assert none is None
    assert (dead["label"], dead["low"], dead["missing"]) == ("dead", [None] * 6, None)
    assert {"id": "texture", "kind": "share"} in report.manifest["columns"]


def test_layers_have_their_shares_by_number_and_by_importance(report):
    functions = report.manifest["layers"][0]["functions"]
    assert functions["number"]["shares"] == list(SHARES)
    assert functions["importance"]["shares"] == [None, *SHARES[1:]], "colour that is not applicable is not 0"
    assert [functions["number"][name] for name in ("units", "dead", "bags", "mixed")] == [2, 1, 1, 0]
    assert (functions["number"]["label"], functions["number"]["compound"]) == ("texture", "30 % texture + 25 % part")
    assert report.manifest["layers"][1]["functions"] is None
    assert report.shards["0/layer-001"]["functions"] is None


def test_tuning_curves_come_back_within_half_a_step(report, hand_made):
    tuning = report.shards["0/behaviour-000"]["tuning"]
    assert (tuning["noise"], tuning["best"]) == ([0.5, None, 0.5], [8, None, 8])
    curves = {one["of"]: one for one in tuning["curves"]}
    assert (curves["orientation"]["status"], curves["size"]["status"]) == ("c-s", "w-n")
    assert curves["orientation"]["sets"] == [[0, 60, 120]], "written once"
    assert curves["size"]["sets"] == [[8, 16], [8, 32]]
    for record in hand_made.records[Tuning]:
        shown = curves[record.of]
        values = shown["sets"][shown["which"][record.unit]]
        assert values == list(record.values)
        longest = max(map(len, shown["sets"]))
        packed = struct.unpack(f"<{3 * longest}b", base64.b64decode(shown["responses"]))
        largest = shown["largest"][record.unit]
        for place, response in enumerate(record.curve().tolist()):
            assert largest * packed[record.unit * longest + place] / 127 == pytest.approx(
                response, abs=largest / 250 + 1e-4
            )
        assert shown["selectivity"][record.unit] == 0.5123
    assert curves["size"]["which"][1] is None


def test_strips_tell_what_stays(report):
    shown, asleep, unknown = report.shards["0/behaviour-000"]["perturbations"]
    assert shown["stays"] == [1, 0.3123, 0.4, 0.5, 1.25, 0, 0.25]
    assert (shown["crops"], shown["extent"], shown["superadditivity"]) == (2, 3.5, 0.1)
    assert asleep is None, "no part brought it above its response to grey"
    assert unknown is None
    assert [layer["hasBehaviour"] for layer in report.manifest["layers"]] == [True, False]
    assert "0/behaviour-001" not in report.shards


def test_channels_that_are_no_colours_have_no_share_without_colour(hand_made, read):
    with closing(sqlite3.connect(hand_made.atlas.folder / "atlas.sqlite")) as connection, connection:
        connection.execute("UPDATE node SET channels = 24 WHERE kind = 'input'")
    shown = read(write_report(hand_made.atlas)).shards["0/behaviour-000"]["perturbations"][0]
    assert shown["stays"] == [1, None, 0.4, 0.5, 1.25, 0, 0.25]


def test_what_units_answer_to_does_not_burden_the_first_view(report):
    first = str([report.shards["index"], report.shards["0/layer-000"]])
    assert "responses" not in first
    assert "stays" not in first


def test_maps_do_not_burden_the_first_view(report):
    values = [one["values"] for one in report.shards["0/maps-000"]]
    first = str([report.shards["index"], report.shards["0/layer-000"]])
    assert not any(value in first for value in values)


def test_layers_are_summed_up(report):
    first, second = report.manifest["layers"]
    assert first["medians"]["image_firing_rate"] == statistics.median([0, 0.5, 0.125])
    assert (first["medians"]["ratio"], second["medians"]["ratio"]) == (3.5, None)
    assert (first["neverFired"], first["noStimulus"]) == (1, 2)
    assert (second["neverFired"], second["noStimulus"]) == (1, None)
    bands = {band["id"]: {part["id"]: part["values"] for part in band["parts"]} for band in report.manifest["bands"]}
    assert bands["filters"] == {"channels": [3, 4]}
    assert bands["parameters"] == {"parameters": [0.25, 0.75]}
    assert bands["awake"] == {"never_fired": [0.3333, 0.25], "no_stimulus": [0.3333, None], "awake": [0.3333, 0.75]}


def test_class_means_come_back_within_half_a_step(report, hand_made):
    packed = report.shards["0/means-000"]
    steps = struct.unpack("<9h", base64.b64decode(packed["values"]))
    for record in hand_made.records[ClassActivation]:
        means = struct.unpack("<3f", record.means)
        offset, scale = packed["offset"][record.unit], packed["scale"][record.unit]
        assert scale == pytest.approx((max(means) - min(means)) / 65534)
        for label, mean in enumerate(means):
            assert abs(offset + scale * steps[3 * record.unit + label] - mean) <= 0.5001 * scale


def test_a_class_of_which_no_image_was_read_has_no_mean():
    rows = [ClassActivation("a", 0, np.array([1, np.nan, 3, 5], "<f4").tobytes()), None]
    packed = packed_means(rows, 4)
    steps = struct.unpack("<8h", base64.b64decode(packed["values"]))
    assert [step == -32768 for step in steps] == [False, True, False, False, True, True, True, True]
    assert class_selectivity(rows, 4) == [pytest.approx(2 / statistics.pstdev([1, 3, 5])), None]


def test_two_classes_say_nothing_of_selectivity():
    rows = [ClassActivation("a", 0, np.array([1, 9], "<f4").tobytes())]
    assert class_selectivity(rows, 2) == [None]


def test_classes_of_network_and_images_are_one_list(report, hand_made):
    classes = report.shards["0/classes"]["classes"]
    assert [(one["name"], one["number"], one["label"]) for one in classes] == [
        ("eel", 5, 2),
        ("cat", None, 0),
        ("dog", None, 1),
    ]
    assert classes[0]["image"] == {"probability": 0.9877, "logit": 12.35, "status": "converged", "steps": 256}
    assert classes[0]["contributions"] == [[0, 2, 0.75, 3], [0, 0, 0.25, 1]]
    for one in classes:
        expected = []
        for record in hand_made.records[ClassActivation]:
            means = struct.unpack("<3f", record.means)
            score = (means[one["label"]] - statistics.mean(means)) / statistics.pstdev(means)
            if score >= 1:
                expected.append([0, record.unit, pytest.approx(score, rel=1e-3)])
        assert sorted(one["responses"]) == expected


def test_a_class_lists_the_strongest_five_units_of_each_layer():
    rng = np.random.default_rng(3)
    responses, every = Responses(4), []
    for layer in (0, 1):
        means = rng.normal(size=(40, 4)).astype("<f4")
        responses.add(layer, [ClassActivation("a", unit, row.tobytes()) for unit, row in enumerate(means)])
        scores = [(row[2] - statistics.mean(row)) / statistics.pstdev(row) for row in means.astype(float).tolist()]
        every += sorted(((score, layer, unit) for unit, score in enumerate(scores)), reverse=True)[:5]
    found = responses.of(2)
    assert [(layer, unit) for layer, unit, _ in found] == [one[1:] for one in sorted(every, reverse=True)]
    assert [score for *_, score in found] == [pytest.approx(one[0], abs=1e-3) for one in sorted(every, reverse=True)]


def test_a_name_that_the_network_has_twice_takes_each_label_once():
    images = [ClassImage(number, "crane", 1.0, 1.0, 0, 1, 1.0, "converged") for number in (134, 517)]
    found = matched(images, [Label(0, "crane", 2), Label(1, "boat", 1)])
    assert [(name, image and image.number, label) for name, image, label in found] == [
        ("crane", 134, 0),
        ("crane", 517, None),
        ("boat", None, 1),
    ]


def test_both_forms_hold_the_same(hand_made, read):
    folder = read(write_report(hand_made.atlas))
    single = read(write_report(hand_made.atlas, single_file=True))
    assert folder.shards == single.shards


def test_several_atlases_stand_side_by_side(hand_made, read, tmp_path):
    report = read(write_report([hand_made.atlas, hand_made.atlas.folder], tmp_path / "both.report"))
    assert [one["key"] for one in report.shards["index"]["atlases"]] == ["0", "1"]
    assert {name.removeprefix("0/") for name in report.shards if name.startswith("0/")} == {
        name.removeprefix("1/") for name in report.shards if name.startswith("1/")
    }
    assert report.shards["index"]["atlases"][1]["overview"]["patch"]["sheets"] == ["sheets/1/overview-patch-0"]
