"""`filterscope backproject`: a sheet a unit, its figures, and one line for every mistake."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

BUILD = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 3, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(3, 2),
    )
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    (folder / "classes.json").write_text('["ant", "bee"]')
    (folder / "model.toml").write_text(
        'builder = "build.py:build"\nweights = "w.safetensors"\ninput_size = [20, 24]\nclasses = "classes.json"\n'
    )
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3, 2), nn.ReLU(), nn.Flatten(), nn.Flatten(), nn.Linear(3, 2)
    )
    with torch.no_grad():
        network[2].bias[:] = torch.tensor([0.0, 1.0, -1000.0])
    save_file(network.state_dict(), folder / "w.safetensors")
    return folder


def test_all_methods_stand_on_one_sheet_and_their_figures_in_json(run, model, photo, tmp_path):
    out = tmp_path / "out"
    code, shown, err = run(
        "backproject", model, photo, "2:1", "--class", "bee", "--method", "all", "--json", "--out", out
    )
    assert code == 0, err
    facts = json.loads(shown)
    methods = ["gradient", "gradient x input", "guided", "deconvnet", "integrated gradients", "occlusion"]
    assert [fact["method"] for fact in facts] == [*methods, "Grad-CAM", *methods, "CAM"]
    unit = facts[0]
    assert (unit["unit"], unit["box"]["rows"][1] - unit["box"]["rows"][0]) == ("2:1", 5)
    assert facts[-1]["unit"] == "bee"
    assert all(fact["full_colour"] >= 0 for fact in facts)
    assert len(list(out.iterdir())) == 2
    with Image.open(unit["picture"]) as sheet:
        assert sheet.width > 7 * 256


def test_a_second_run_does_nothing_and_another_one_overwrites_nothing(run, model, photo, tmp_path):
    out = tmp_path / "out"
    assert run("backproject", model, photo, "0:1", "--out", out)[0] == 0
    (sheet,) = out.iterdir()
    before = sheet.stat().st_mtime_ns
    code, shown, _ = run("backproject", model, photo, "0:1", "--out", out)
    assert code == 0
    assert "nothing to do" in shown
    assert sheet.stat().st_mtime_ns == before
    code, shown, err = run("backproject", model, photo, "0:1", "--method", "occlusion", "--out", out)
    assert (code, shown) == (2, "")
    assert "made otherwise" in err
    assert run("backproject", model, photo, "0:1", "--method", "occlusion", "--out", out, "--force")[0] == 0


def test_the_check_shows_a_row_for_every_step_of_shuffling(run, model, photo, tmp_path):
    code, shown, err = run(
        "backproject", model, photo, "2:1", "--method", "guided,gradient", "--randomise", "--out", tmp_path / "out"
    )
    assert code == 0, err
    assert shown.count("rank correlation with shuffled weights") == 2
    (sheet,) = (tmp_path / "out").iterdir()
    with Image.open(sheet) as picture:
        # Three rows of pictures: as it is, one layer, both.
        assert picture.height > 3 * 256
    code, shown, _ = run(
        "backproject", model, photo, "2:1", "--method", "guided,gradient", "--randomise", "--out", tmp_path / "b",
        "--json",
    )  # fmt: skip
    shuffled = [fact["shuffled"] for fact in json.loads(shown) if fact["method"] == "guided"]
    assert shuffled == [[], ["2"], ["2", "0"]]


def test_a_unit_that_is_off_is_said_to_be_off(run, model, photo, tmp_path):
    code, shown, _ = run("backproject", model, photo, "2:2", "--method", "guided", "--out", tmp_path / "out")
    assert code == 0
    assert "2:2 is off for this image" in shown
    assert "gradient is zero" in shown


def test_a_seed_and_absolute_values(run, model, photo, tmp_path):
    out = tmp_path / "out"
    code, shown, _ = run(
        "backproject", model, photo, "0:1", "--seed", "2,3", "--show", "absolute", "--method", "gradient", "--out", out
    )
    assert code == 0
    assert "at position (2, 3); sees rows 2 to 5, columns 3 to 6" in shown
    (sheet,) = out.iterdir()
    assert sheet.name == "fish.0_1.seed_2_3.absolute.png"
    assert run("backproject", model, photo, "0:1", "--seed", "map", "--method", "gradient", "--out", out)[0] == 0


def test_every_mistake_gets_one_line(run, refused, model, photo, tmp_path):
    refused(run("backproject", model, photo), "nothing to carry back", "--class")
    refused(run("backproject", model, photo, "9:1"), "no layer '9'")
    refused(run("backproject", model, photo, "0:9"), "units 0 to 3")
    refused(run("backproject", model, photo, "0:1", "--method", "guidd"), "did you mean 'guided'")
    refused(run("backproject", model, photo, "0:1", "--method", ","), "no method was given")
    refused(run("backproject", model, photo, "0:1", "--seed", "middle"), "--seed is max, map or a position y,x")
    refused(run("backproject", model, photo, "0:1", "--seed", "99,0"), "no position (99, 0)")
    refused(run("backproject", model, photo, "0:1", "--show", "grey"), "signed or absolute")
    refused(run("backproject", model, photo, "0:1", "--method", "occlusion", "--window", "0"), "at least 1 pixel")
    refused(run("backproject", model, tmp_path / "no.png", "0:1"), "no.png")
    refused(run("backproject", model, photo, "--class", "wasp"), "no class 'wasp'")
    assert not Path("backprojections").exists()
