"""`filterscope optimum`: pictures, figures and animations, and one line for every mistake."""

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
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    (folder / "classes.json").write_text('["fish", "fox", "owl"]')
    (folder / "model.toml").write_text(
        'builder = "build.py:build"\nweights = "w.safetensors"\ninput_size = [20, 24]\nclasses = "classes.json"\n'
    )
    torch.manual_seed(0)
    built = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3))
    state = built.state_dict()
    # Strong enough that a class can be reached.
    state["2.weight"] *= 40
    save_file(state, folder / "w.safetensors")
    return folder


def pixels(path: Path) -> bytes:
    with Image.open(path) as picture:
        return picture.tobytes()


def test_pictures_of_units_and_classes_are_written_and_told(run, model, tmp_path):
    out = tmp_path / "out"
    code, shown, _ = run("optimum", model, "0:1", "2:0", "--class", "owl", "--out", out)
    assert code == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["0_1.quick.seed0.png", "2_0.quick.seed0.png", "class_owl.quick.seed0.png"]
    lines = shown.strip().splitlines()
    assert lines[-1] == f"wrote 3 pictures to {out}"
    assert lines[0].startswith("0:1: ")
    assert "3 x 3 px" in lines[0]
    assert "owl" in lines[2]
    assert "probability" in lines[2]
    with Image.open(out / "class_owl.quick.seed0.png") as picture:
        assert picture.size == (24 * 5, 20 * 5)


def test_json_gives_the_figures_and_the_seed_repeats_the_picture(run, model, tmp_path):
    code, shown, _ = run("optimum", model, "2:1", "--json", "--out", tmp_path / "a", "--seed", "4")
    assert code == 0
    facts = json.loads(shown)[0]
    assert facts["target"] == "2:1"
    assert facts["seed"] == 4
    assert facts["selectivity_rank"] >= 1
    run("optimum", model, "2:1", "--out", tmp_path / "b", "--seed", "4")
    first, second = (pixels(path) for path in sorted(tmp_path.glob("[ab]/*.png")))
    assert first == second


def test_the_ascent_is_an_animation(run, model, tmp_path):
    assert run("optimum", model, "2:1", "--gif", "--steps", "6", "--out", tmp_path / "a")[0] == 0
    with Image.open(next((tmp_path / "a").glob("*.gif"))) as animation:
        assert animation.n_frames >= 4


def test_downwards_is_below_upwards_and_diverse_images_are_several(run, model, tmp_path):
    _, up, _ = run("optimum", model, "2:1", "--json", "--out", tmp_path / "a")
    _, down, _ = run("optimum", model, "2:1", "--json", "--negative", "--out", tmp_path / "a")
    assert -json.loads(down)[0]["score"] < json.loads(up)[0]["score"]
    assert run("optimum", model, "2:1", "--diverse", "3", "--out", tmp_path / "d")[0] == 0
    assert len(list((tmp_path / "d").iterdir())) == 3


def test_a_judge_stands_beside_the_class_image(run, model, tmp_path):
    _, shown, _ = run("optimum", model, "--class", "owl", "--judge", model, "--out", tmp_path / "a", "--json")
    verdict = json.loads(shown)[0]["judge"]
    assert verdict["first"] in ("fish", "fox", "owl")
    assert verdict["agrees"] == (verdict["rank"] == 1)


def test_run_again_it_goes_on_with_what_is_missing(run, model, tmp_path):
    out = ("--steps", "2", "--out", tmp_path / "a")
    code, first, _ = run("optimum", model, "0:1", *out)
    assert code == 0
    path = next((tmp_path / "a").iterdir())
    before = path.stat().st_mtime_ns
    code, second, _ = run("optimum", model, "0:1", "0:2", *out)
    assert code == 0
    assert first.splitlines()[0] == second.splitlines()[0]
    assert second.splitlines()[-1] == f"wrote 1 picture to {tmp_path / 'a'}"
    assert run("optimum", model, "0:1", "0:2", *out)[1].splitlines()[-1].startswith("nothing to do")
    assert path.stat().st_mtime_ns == before


def test_an_animation_that_is_missing_is_made_and_diverse_images_go_on(run, model, tmp_path):
    out = ("--steps", "2", "--out", tmp_path / "a")
    assert run("optimum", model, "0:1", *out)[0] == 0
    assert run("optimum", model, "0:1", "--gif", *out)[0] == 0
    assert len(list((tmp_path / "a").glob("*.gif"))) == 1
    diverse = ("--steps", "2", "--diverse", "3", "--out", tmp_path / "d")
    assert run("optimum", model, "2:0", *diverse)[0] == 0
    third = sorted((tmp_path / "d").iterdir())[2]
    before = pixels(third)
    third.unlink()
    assert run("optimum", model, "2:0", *diverse)[0] == 0
    assert pixels(third) == before


def test_nothing_is_overwritten_without_force(run, refused, model, tmp_path):
    out = ("--out", tmp_path / "a")
    assert run("optimum", model, "0:1", "--steps", "2", *out)[0] == 0
    path = next((tmp_path / "a").iterdir())
    before = pixels(path)
    refused(run("optimum", model, "0:1", "--steps", "3", *out), "exists already", "--force")
    path.write_bytes(b"a picture of my own")
    refused(run("optimum", model, "0:1", "--steps", "2", *out), "exists already", "--force")
    assert run("optimum", model, "0:1", "--steps", "2", *out, "--force")[0] == 0
    assert pixels(path) == before


def test_every_mistake_is_one_line_and_writes_nothing(run, refused, model, tmp_path):
    out = ("--out", tmp_path / "a")
    refused(run("optimum", model, *out), "nothing to make", "--class")
    refused(run("optimum", model, "0:9", *out), "no unit '0:9'", "0 to 3")
    refused(run("optimum", model, "0", *out), "LAYER:INDEX")
    refused(run("optimum", model, "3x:0", *out), "no layer '3x'")
    refused(run("optimum", model, "--class", "fsh", *out), "no class 'fsh'", "did you mean 'fish'")
    refused(run("optimum", model, "--class", "7", *out), "no class 7", "0 to 2")
    refused(run("optimum", model, "0:0", "--preset", "quik", *out), "no preset 'quik'", "did you mean 'quick'")
    refused(run("optimum", model, "0:0", "--steps", "0", *out), "at least 1, not 0")
    refused(run("optimum", model, "0:0", "--diverse", "1", *out), "at least 2")
    refused(run("optimum", model, "--class", "owl", "--diverse", "2", *out), "--diverse is for units")
    refused(run("optimum", model, "0:0", "--judge", model, *out), "--class")
    assert not (tmp_path / "a").exists()
