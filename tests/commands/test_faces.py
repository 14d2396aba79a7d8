"""`filterscope faces`: its lines, files and sheets, a network beside the faces, and one line for every mistake."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import filterscope as fs

BUILD = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.ReLU(), nn.Conv2d(5, 2, 3, bias=False))
"""


def made(folder: Path, orientations: tuple[int, ...], scale: float) -> Path:
    """A network with edges in these directions, red-green blobs, zeros and noise."""
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    (folder / "model.toml").write_text('builder = "build.py:build"\nweights = "w.safetensors"\ninput_size = [20, 24]\n')
    first = np.zeros((5, 3, 3, 3))
    for unit, orientation in enumerate(orientations):
        first[unit] = scale * fs.classic("sobel", orientation=orientation).kernel(3)
    first[2] = -scale * fs.classic("single-opponent").kernel(3)
    first[4] = np.random.default_rng(4).standard_normal((3, 3, 3))
    save_file(
        {"0.weight": torch.from_numpy(first).float(), "2.weight": torch.ones(2, 5, 3, 3)}, folder / "w.safetensors"
    )
    return folder


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    return made(tmp_path / "first", (0, 90), 1.0), made(tmp_path / "second", (180, 90), 0.01)


def test_a_line_a_face_a_function_and_what_was_written(run, models, tmp_path):
    code, shown, _ = run("faces", *models, "--out", tmp_path / "out")
    assert code == 0
    assert shown.strip().splitlines() == [
        "colour 1: 2 kernels of 2 networks; 25 % (9 % to 54 %) of all; r 1.00",
        "colour, 2 kernels: 2 in 1 face",
        "edge 1: 4 kernels of 2 networks; 50 % (25 % to 75 %) of all; r 1.00 (1.00 to 1.00)",
        "edge, 4 kernels: 4 in 1 face",
        "unstructured 1: 2 kernels of 2 networks; 25 % (9 % to 54 %) of all; r 1.00",
        "unstructured, 2 kernels: 2 in 1 face",
        "3 faces of 8 kernels of 2 networks",
        f"wrote faces.npz, faces.csv, networks.csv, kernels.csv, faces.png to {tmp_path / 'out'}",
    ]


def test_the_tables_are_those_of_the_library(run, models, tmp_path):
    run("faces", *models, "--out", tmp_path)
    found = fs.faces([str(one) for one in models])
    for name, frame in [("faces", found.frame()), ("networks", found.by_network()), ("kernels", found.members())]:
        pd.testing.assert_frame_equal(
            pd.read_csv(tmp_path / f"{name}.csv", converters={"layer": str}), frame, check_dtype=False
        )
    orientations = found.members().query("function == 'edge'").set_index(["network", "unit"]).orientation
    assert (orientations % 180).round().replace(180, 0).sort_index().tolist() == [0, 90, 0, 90]
    assert fs.faces_of(tmp_path / "faces.npz").frame().equals(found.frame())


def test_the_sheet_shows_the_face_large_bright_above_and_its_kernels_small(run, models, tmp_path):
    run("faces", *models, "--out", tmp_path)
    with Image.open(tmp_path / "faces.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    # By looking for it: of all squares the size of a face, one is white in its upper and black in its lower half.
    left = 28
    columns = pixels[:, left : left + 126].mean((1, 2))
    rows = [top for top in range(len(columns) - 126) if is_edge(pixels[top : top + 126, left : left + 126])]
    assert rows
    face = pixels[rows[0] : rows[0] + 126, left : left + 126].mean(2)
    assert face.max() > 245
    assert face.min() < 10
    # Members are drawn in full black and white, tap by tap.
    beside = pixels[rows[0] : rows[0] + 126, left + 126 + 74 : left + 126 + 74 + 126]
    assert (beside == 255).all(2).sum() > 300
    assert (beside == 0).all(2).sum() > 300


def is_edge(square: np.ndarray) -> bool:
    grey = square.mean(2)
    return bool(grey[24:32, 55:71].min() > 200 and grey[94:102, 55:71].max() < 55)


def test_json_is_one_object_with_null_for_what_is_not_applicable(run, models, tmp_path):
    code, shown, _ = run("faces", *models, "--beside", models[0], "--json", "--out", tmp_path)
    assert code == 0
    facts = json.loads(shown)
    assert facts["networks"] == {"first": 4, "second": 4}
    colour, edge, _ = facts["faces"]
    assert (colour["function"], colour["kernels"], colour["period"]) == ("colour", 2, None)
    assert colour["correlation_low"] is None
    assert edge["by_network"] == {"first": 2, "second": 2}
    assert ["second", "0:1"] in edge["members"]
    assert [one["face"] for one in facts["beside"]] == ["edge 1", "edge 1", "colour 1", "unstructured 1"]
    assert facts["beside"][2]["orientation"] is None


def test_a_network_stands_beside_saved_faces_and_noise_is_without_a_face(run, models, tmp_path):
    run("faces", models[0], models[1], "--out", tmp_path / "a")
    new = made(tmp_path / "new", (45, 135), 3.0)
    first = np.zeros((5, 3, 3, 3))
    first[0] = fs.classic("sobel", orientation=45).kernel(3)
    first[1] = fs.classic("single-opponent", axis="red-green").kernel(3)
    first[2] = np.random.default_rng(11).standard_normal((3, 3, 3))
    save_file({"0.weight": torch.from_numpy(first).float(), "2.weight": torch.ones(2, 5, 3, 3)}, new / "w.safetensors")
    code, shown, _ = run("faces", "--faces", tmp_path / "a/faces.npz", "--beside", new, "--out", tmp_path / "b")
    assert code == 0
    lines = shown.strip().splitlines()[-5:]
    assert lines[0].startswith("0:0: edge; face edge 1, r 0.9")
    assert "at 45°" in lines[0]
    assert lines[1].startswith("0:1: colour; face colour 1, r 1.00")
    assert lines[2].startswith("0:2: unstructured; without a face; nearest ")
    assert lines[3].startswith("2 of 3 kernels have a face; of shuffled kernels ")
    assert lines[4] == f"wrote new.beside.csv, new.beside.png to {tmp_path / 'b'}"
    table = pd.read_csv(tmp_path / "b/new.beside.csv")
    assert table.face.fillna("").tolist() == ["edge 1", "colour 1", ""]
    with Image.open(tmp_path / "b/new.beside.png") as sheet:
        assert np.asarray(sheet.convert("RGB")).std() > 20


def test_run_again_it_writes_nothing_and_nothing_is_overwritten_without_force(run, refused, models, tmp_path):
    out = tmp_path / "out"
    arguments = ("faces", *models, "--beside", models[1], "--out", out)
    first = run(*arguments)[1].splitlines()
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert len(before) == 7
    # In another order they are the same networks.
    again = run("faces", *models[::-1], "--beside", models[1], "--out", out)[1].splitlines()
    assert again[:-1] == first[:-1]
    assert again[-1] == f"nothing to write, all is there already: {out}"
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    refused(run(*arguments, "--threshold", "0.7"), "faces.npz exists already", "--force")
    assert run(*arguments, "--threshold", "0.7", "--force")[0] == 0
    (out / "faces.png").unlink()
    refused(run(*arguments), "faces.npz exists already", "--force")


def test_a_network_given_twice_is_told_and_counts_once(run, models, tmp_path):
    shutil.copytree(models[0], tmp_path / "copy")
    code, shown, told = run("faces", *models, tmp_path / "copy", "--out", tmp_path / "out")
    assert code == 0
    assert told.strip() == "filterscope: copy is the same network as first and counts once"
    assert "3 faces of 8 kernels of 2 networks" in shown


def test_mistakes_are_told_in_a_line(run, refused, models, tmp_path):
    refused(run("faces"), "MODEL...", "--faces")
    refused(run("faces", models[0], "--faces", "x.npz"), "not both")
    refused(run("faces", "--faces", "x.npz"), "--beside MODEL")
    refused(run("faces", "--faces", tmp_path / "x.npz", "--beside", models[0]), "no such file", "filterscope faces")
    refused(run("faces", models[0], "--threshold", "1.5"), "above 0 and below 1", "1.5")
    refused(run("faces", "--faces", "x.npz", "--beside", models[0], "--threshold", "0.5"), "--threshold")
    refused(run("faces", tmp_path / "none.atlas"), "none.atlas")
    refused(run("faces", models[0], tmp_path / "nowhere"), "nowhere")


def test_the_default_that_the_help_tells_is_that_of_the_library(run):
    code, shown, _ = run("faces", "--help")
    assert code == 0
    assert "--beside" in shown
    from filterscope.commands.faces import TOGETHER
    from filterscope.findings.faces import THRESHOLD

    assert TOGETHER == THRESHOLD
