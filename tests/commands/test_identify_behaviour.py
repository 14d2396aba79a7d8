"""`filterscope identify`: layers and filters in per cent, the sheet, the tables, and one line for every mistake."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from filterscope.commands.functions_sheet import INKS
from filterscope.findings.functions import NAMES

BUILD = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
"""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose first layer has a red, a green and a dead filter, and an upright edge."""
    folder = tmp_path_factory.mktemp("identify") / "known"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    (folder / "model.toml").write_text('builder = "build.py:build"\nweights = "w.safetensors"\ninput_size = [16, 20]\n')
    first = np.zeros((4, 3, 5, 5), np.float32)
    first[0] = np.array([2, -1, -1]).reshape(3, 1, 1) / 25
    first[1] = np.array([-1, 2, -1]).reshape(3, 1, 1) / 25
    first[3, :, :, :2], first[3, :, :, 3:] = -0.1, 0.1
    weights = {"0.weight": torch.from_numpy(first), "0.bias": torch.tensor([0.0, 0.0, -1000.0, 0.0])}
    weights |= {
        "2.weight": torch.rand(2, 4, 3, 3, generator=torch.Generator().manual_seed(1)),
        "2.bias": torch.zeros(2),
    }
    save_file(weights, folder / "w.safetensors")
    return folder


@pytest.fixture(scope="module")
def done(known: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where all that one call wrote is, and what it said."""
    from typer.testing import CliRunner

    from filterscope.commands.main import app

    out = tmp_path_factory.mktemp("out")
    found = CliRunner().invoke(app, ["identify", str(known), "--out", str(out)])
    assert found.exit_code == 0, found.output
    return out, found.output


def test_a_line_a_layer_in_the_order_of_the_network_and_what_was_written(done):
    out, shown = done
    lines = [line for line in shown.splitlines() if ": " in line]
    assert lines[-3].startswith("0: ")
    assert "; 3 filters, 1 dead" in lines[-3]
    assert lines[-2].startswith("2: ")
    assert lines[-1].startswith(f"wrote {out / 'known.functions.png'} and the tables beside it")
    assert (out / "known.functions.atlas").is_dir()


def test_the_tables_hold_shares_that_sum_to_one_within_their_intervals(done):
    out, _ = done
    units = pd.read_csv(out / "known.functions.csv")
    layers = pd.read_csv(out / "known.functions.layers.csv")
    assert units.layer.astype(str).tolist() == ["0"] * 4 + ["2"] * 2
    alive = units[units.label != "dead"]
    assert len(alive) == 5
    for frame in (alive, layers):
        np.testing.assert_allclose(frame[list(NAMES)].sum(axis=1), 1, atol=1e-6)
        for name in NAMES:
            assert (frame[f"{name}_low"] <= frame[name] + 1e-9).all()
            assert (frame[name] <= frame[f"{name}_high"] + 1e-9).all()
    assert set(layers.weighted) == {False, True}


def test_the_red_filter_is_colour_the_contour_is_not_and_the_dead_one_is_dead(done):
    units = pd.read_csv(done[0] / "known.functions.csv").set_index("unit")
    units = units[units.layer.astype(str) == "0"]
    assert units.label[2] == "dead"
    assert units.colour[[0, 1]].min() > 0.8
    assert units.colour[3] < 0.2
    assert units.loc[2, list(NAMES)].isna().all()


def test_the_sheet_shows_the_layers_in_the_inks_of_their_shares(done):
    layers = pd.read_csv(done[0] / "known.functions.layers.csv")
    with Image.open(done[0] / "known.functions.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    colour = layers[~layers.weighted].colour
    drawn = (pixels == INKS["colour"]).all(2).sum()
    # Bars are 460 x 17 pixels; there are the two of weighted shares, thin lines and the key as well.
    assert drawn >= 460 * 17 * colour.sum() * 0.9


def test_one_layer_gives_a_line_a_filter_from_the_atlas_without_looking_again(run, done, known):
    atlas = done[0] / "known.functions.atlas"
    code, shown, _ = run("identify", atlas, "--layer", "0", "--out", done[0] / "again")
    assert code == 0
    lines = shown.strip().splitlines()
    assert [line.partition(": ")[0] for line in lines[:4]] == ["0:0", "0:1", "0:2", "0:3"]
    assert lines[2] == "0:2: dead; nothing that was shown brought it above zero"
    assert lines[5].startswith("0, by importance: ")


def test_json_holds_layers_and_units_with_null_for_the_dead(run, done):
    code, shown, _ = run("identify", done[0] / "known.functions.atlas", "--json", "--out", done[0] / "json")
    assert code == 0
    facts = json.loads(shown)
    assert [(one["layer"], one["weighted"]) for one in facts["layers"]][:2] == [("0", False), ("0", True)]
    assert facts["units"][2]["colour"] is None
    assert facts["units"][2]["label"] == "dead"


def test_a_finished_call_does_nothing_again(run, done, known, monkeypatch):
    from filterscope.lenses.centre import Centre

    monkeypatch.setattr(Centre, "__enter__", lambda self: pytest.fail("the network was looked at again"))
    code, _, _ = run("identify", known, "--out", done[0])
    assert code == 0


def test_mistakes_are_told_in_one_line(run, refused, done, known, tmp_path):
    refused(run("identify", known, "--method", "behavior"), "behaviour")
    refused(run("identify", known, "--method", "l2", "--images", tmp_path), "--images")
    refused(run("identify", known, "--threshold", "2", "--out", tmp_path), "threshold")
    refused(run("identify", known, "--layer", "nope", "--out", tmp_path), "nope")
    refused(run("identify", done[0] / "known.functions.atlas", "--images", tmp_path), "--images")
    refused(run("identify", known, "--images", tmp_path / "none", "--out", tmp_path), "none")
