"""`filterscope identify --method kernels`: a line a unit, sheet, table, atlases; one line for every mistake."""

import json
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
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 3, bias=False))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network whose first layer is an edge, a colour, zeros and noise."""
    folder = tmp_path / "known"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    (folder / "model.toml").write_text('builder = "build.py:build"\nweights = "w.safetensors"\ninput_size = [20, 24]\n')
    first = np.zeros((4, 3, 3, 3))
    first[0] = 0.01 * fs.classic("sobel").kernel(3)
    first[1] = fs.classic("single-opponent").kernel(3)
    first[3] = np.random.default_rng(4).standard_normal((3, 3, 3))
    weights = {"0.weight": torch.from_numpy(first).float(), "2.weight": torch.ones(2, 4, 3, 3)}
    save_file(weights, folder / "w.safetensors")
    return folder


def test_a_line_a_unit_a_summary_and_what_was_written(run, model, tmp_path):
    code, shown, _ = run("identify", model, "--method", "kernels", "--out", tmp_path / "out")
    assert code == 0
    lines = shown.strip().splitlines()
    assert lines[0] == "0:0: edge; like edge 0°, bright above, r 1.00, p 0.005; edge 100 %"
    assert lines[1].startswith("0:1: colour; like single-opponent, red-green, r 0.97, p 0.005")
    assert lines[2] == "0:2: zero; the kernel has no weights but 0"
    assert lines[3].startswith("0:3: unstructured; like ")
    assert lines[4].startswith("0, 4 kernels: ")
    assert lines[5].startswith("0, of the energy: ")
    assert lines[-1] == f"wrote 1 sheet (PNG) and table (CSV) to {tmp_path / 'out'}"


def test_the_table_is_the_frame_and_the_sheet_shows_kernel_and_reference_alike(run, model, tmp_path):
    run("identify", model, "--method", "kernels", "--out", tmp_path)
    table = pd.read_csv(tmp_path / "known.0.kernels.csv")
    frame = fs.identify_kernels(str(model))
    assert table.label.tolist() == frame.label.tolist()
    np.testing.assert_allclose(table.correlation, frame.correlation)
    with Image.open(tmp_path / "known.0.kernels.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    # The first column of the first card's two pictures, found by where the paper ends below the head.
    bright = np.argwhere((pixels == 255).all(2) | (pixels == 0).all(2))
    assert len(bright) > 100, "a Sobel filter is drawn in black and white"
    top, left = bright.min(0)
    side = 28
    kernel = pixels[top : top + 3 * side : side, left - side : left + 2 * side : side]
    reference = pixels[top : top + 3 * side : side, left - side + 90 : left + 2 * side + 90 : side]
    assert np.abs(kernel[1] - 128).max() <= 1
    assert np.abs(kernel - reference).max() < 40


def test_json_is_one_object_a_unit_with_null_for_what_is_not_applicable(run, model, tmp_path):
    code, shown, _ = run("identify", model, "--method", "kernels", "--json", "--out", tmp_path)
    assert code == 0
    facts = json.loads(shown)
    assert [fact["label"] for fact in facts] == ["edge", "colour", "zero", "unstructured"]
    assert facts[0]["hue"] is None
    assert facts[1]["orientation"] is None
    assert facts[2]["p"] is None
    assert (tmp_path / "known.0.kernels.png").exists()


def test_the_plain_comparison_stands_beside_it(run, model, tmp_path):
    code, shown, _ = run("identify", model, "--method", "l2", "--out", tmp_path)
    assert code == 0
    # Norm of Sobel x 0.01 / sqrt(3), whatever it looks like.
    assert shown.startswith("0:0: box blur (smoothing); distance 0.193, norm 0.02\n")
    assert "0, 4 kernels: 4 box blur" in shown
    assert (tmp_path / "known.0.l2.csv").exists()
    assert run("identify", model, "--method", "kernels", "--out", tmp_path)[0] == 0


def test_run_again_it_writes_nothing_and_nothing_is_overwritten_without_force(run, refused, model, tmp_path):
    run("identify", model, "--method", "kernels", "--out", tmp_path)
    sheet = tmp_path / "known.0.kernels.png"
    before = sheet.stat().st_mtime_ns
    _, shown, _ = run("identify", model, "--method", "kernels", "--out", tmp_path)
    assert shown.strip().endswith(f"nothing to write, all is there already: {tmp_path}")
    assert sheet.stat().st_mtime_ns == before
    sheet.unlink()
    refused(run("identify", model, "--method", "kernels", "--out", tmp_path), "known.0.kernels.csv", "--force")
    assert run("identify", model, "--method", "kernels", "--out", tmp_path, "--force")[0] == 0
    assert sheet.exists()


def test_the_effective_kernels_of_an_atlas_are_identified(run, refused, model, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 24, 3), np.uint8)
    fs.inspect(str(model), images, tmp_path / "a.atlas", lenses=[fs.EffectiveKernels(images=4)])
    code, shown, _ = run("identify", tmp_path / "a.atlas", "--method", "kernels", "--out", tmp_path, "--layer", "0")
    assert code == 0
    # A first layer is linear: its effective kernels are its kernels.
    assert shown.startswith("0:0: edge; like edge 0°, bright above")
    assert "linearity 1.00" in shown
    assert (tmp_path / "a.0.effective.kernels.png").exists()
    refused(run("identify", tmp_path / "a.atlas", "--method", "kernels", "--layer", "nope"), "nope", "0, 2")


def test_mistakes_are_told_in_a_line(run, refused, model, tmp_path):
    refused(run("identify", model, "--method", "kernels", "--layer", "2"), "'2'", "(0 has)", "effective_kernels")
    refused(run("identify", model, "--method", "kernels", "--layer", "7"), "7", "filterscope layers")
    refused(run("identify", model, "--method", "l1"), "l2")
    refused(run("identify", tmp_path / "none.atlas"), "none.atlas")
    fs.inspect(str(model), None, tmp_path / "b.atlas", lenses=[fs.Kernels()])
    refused(run("identify", tmp_path / "b.atlas", "--method", "kernels"), "effective_kernels")
