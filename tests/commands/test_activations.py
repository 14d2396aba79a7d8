"""`filterscope activations`: a sheet a layer, its colours and its legend, and one line for every mistake."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from filterscope.lenses.tiles import NEGATIVE, POSITIVE

BUILD = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 3, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(3, 2),
    )
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    (folder / "model.toml").write_text('builder = "build.py:build"\nweights = "w.safetensors"\ninput_size = [20, 24]\n')
    torch.manual_seed(0)
    state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3)).state_dict()
    # Weights that sum to zero: each filter answers both ways, but for one that is never above zero.
    state["0.weight"] -= state["0.weight"].mean((1, 2, 3), keepdim=True)
    state["0.bias"][:] = torch.tensor([0, 0, -1000, 0])
    state |= {"5.weight": torch.ones(2, 3), "5.bias": torch.zeros(2)}
    save_file(state, folder / "w.safetensors")
    return folder


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def has(pixels: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((pixels == colour).all(2).any())


def test_every_layer_gets_a_sheet_and_a_line(run, model, photo, tmp_path):
    out = tmp_path / "out"
    code, shown, err = run("activations", model, photo, "--out", out)
    assert code == 0, err
    assert sorted(path.name for path in out.iterdir()) == ["fish.000_0.unit.png", "fish.001_2.unit.png"]
    lines = shown.strip().splitlines()
    assert lines[0].startswith("0: 4 maps of 18 x 22; strongest ")
    assert "; 1 off; " in lines[0]
    assert lines[-1] == f"wrote 2 sheets to {out}"
    for path in out.iterdir():
        sheet = pixels_of(path)
        assert has(sheet, POSITIVE)
        assert has(sheet, NEGATIVE)


def test_json_tells_the_figures_that_the_library_gives(run, model, photo, tmp_path):
    import filterscope as fs

    _, shown, _ = run("activations", model, photo, "0", "--json", "--out", tmp_path / "a")
    (facts,) = json.loads(shown)
    maps = fs.activations(model, photo).maps["0"]
    assert facts["layer"] == "0"
    assert (facts["units"], facts["rows"], facts["columns"], facts["off"]) == (4, 18, 22, 1)
    assert facts["in_place"] is True
    order = sorted(range(4), key=lambda unit: -maps[unit].max())
    assert [unit for unit, _ in facts["strongest"]] == order
    assert facts["strongest"][0][1] == pytest.approx(float(maps.max()))
    assert facts["full"] == pytest.approx(float(np.abs(maps).max()))
    assert Path(facts["picture"]).is_file()


def test_the_scale_is_a_choice_and_names_the_file(run, model, photo, tmp_path):
    out = tmp_path / "out"
    for scale in ("unit", "layer"):
        assert run("activations", model, photo, "0", "--scale", scale, "--out", out)[0] == 0
    own, common = (pixels_of(out / f"fish.000_0.{scale}.png") for scale in ("unit", "layer"))
    # One filter is at -1000: by the layer's scale the others are all but white.
    start = 220  # below the scale itself
    assert has(own[start:], POSITIVE)
    assert not has(common[start:], POSITIVE)


def test_modules_that_see_the_whole_image_are_shown_without_it(run, model, photo, tmp_path):
    code, shown, _ = run("activations", model, photo, "5", "2", "--out", tmp_path / "out")
    assert code == 0
    lines = shown.splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["2", "5"]
    assert "shown without the image" in lines[1]
    assert "shown without the image" not in lines[0]


def test_run_again_it_makes_what_is_missing_and_overwrites_nothing(run, refused, model, photo, tmp_path):
    out = ("--out", tmp_path / "out")
    first = run("activations", model, photo, "0", *out)[1]
    path = tmp_path / "out" / "fish.000_0.unit.png"
    before = path.stat().st_mtime_ns
    code, second, _ = run("activations", model, photo, *out)
    assert code == 0
    assert second.splitlines()[0] == first.splitlines()[0]
    assert second.splitlines()[-1].startswith("wrote 1 sheet to ")
    assert path.stat().st_mtime_ns == before
    assert run("activations", model, photo, *out)[1].splitlines()[-1].startswith("nothing to do")
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(photo)
    refused(run("activations", model, photo, *out), "exists already and was made otherwise", "--force")
    assert path.stat().st_mtime_ns == before
    assert run("activations", model, photo, *out, "--force")[0] == 0
    assert path.stat().st_mtime_ns != before


def test_every_mistake_is_one_line_and_writes_nothing(run, refused, model, photo, tmp_path):
    out = ("--out", tmp_path / "out")
    (tmp_path / "notes.txt").write_text("not an image")
    refused(run("activations", model, tmp_path / "notes.txt", *out), "notes.txt", "no image of a known kind")
    refused(run("activations", model, tmp_path / "none.png", *out), "none.png", "No such file")
    refused(run("activations", model, tmp_path, *out), "cannot read the image")
    refused(run("activations", model, photo, "0x", *out), "no layer '0x'", "filterscope layers")
    refused(run("activations", model, photo, "features.*", *out), "no layer 'features.*'")
    refused(run("activations", model, photo, "--scale", "image", *out), "no scale 'image'", "'unit' or 'layer'")
    refused(run("activations", model, photo, "--device", "tpu", *out), "no device 'tpu'")
    refused(run("activations", "nothing", photo, *out), "nothing")
    assert not (tmp_path / "out").exists()
