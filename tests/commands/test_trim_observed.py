"""`filterscope trim --observed`: the bound and what to watch for, wherever told; its plan, edited, done again."""

import json
from pathlib import Path

import numpy as np
import pytest

import filterscope as fs
from filterscope.surgery import speed
from filterscope.surgery.forms import Forms

BUILD = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3),
    )
    with torch.no_grad():
        for part in (net[0], net[2]):
            part.weight.abs_()
            part.bias.fill_(0.1)
        for unit in (3, 4):  # They fire where an image is nearly white.
            net[0].weight[unit], net[0].bias[unit] = 1.0, -2.9
            net[0].weight[unit, unit - 3] = 1.2
    return net
"""

COUNT = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("observed") / "watched"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    classes = 'classes = "classes.txt"'
    (folder / "model.toml").write_text(f'builder = "build.py:build"\ninput_size = [8, 8]\n{classes}\n')
    (folder / "classes.txt").write_text("ant\nbee\ncat\n")
    x = np.random.default_rng(0).integers(0, 128, (COUNT, 8, 8, 3), np.uint8)
    np.savez(folder / "images.npz", x=x, y=np.arange(COUNT) % 3)
    # Of every six images one is of a class that the network knows.
    names = np.array(["bee", "newt", "owl", "newt", "owl", "yak"])
    np.savez(folder / "strange.npz", x=x, y=names[np.arange(COUNT) % 6])
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """Exporting takes seconds, and is tested elsewhere."""
    monkeypatch.setattr(speed, "MOST", 1)
    monkeypatch.setattr(Forms, "_exported", lambda self: 1 / 0)


def test_the_bound_and_what_to_watch_for_are_printed_and_in_the_plan_and_on_the_page(run, model, tmp_path):
    out = tmp_path / "small"
    command = ["trim", model, "--images", model / "images.npz", "--no-pictures", "--observed", "--seed", 3]
    code, shown, _ = run(*command, "--out", out)
    assert code == 0
    bound = "2 filters went that never fired in the images that were looked at; with 95 % confidence each fires in "
    bound += f"fewer than 3/{COUNT // 2} (15 %) of such images"
    watch = "watch the answers to images unlike those"
    for told in (shown, (out / "index.html").read_text().replace("\N{NO-BREAK SPACE}", " ")):
        assert bound in told
        assert watch in told
        assert "not proven" in told
    (step,) = json.loads((out / "plan.json").read_text())["steps"]
    assert step["at_most"] == 3 / (COUNT // 2)
    assert step["seed"] == 3
    assert all(f"fewer than 3/{COUNT // 2}" in why for why in step["why"])
    assert watch in step["expects"]
    # Random images make them fire: nothing is said of equal answers.
    assert "In float64" not in (out / "index.html").read_text()


def test_its_plan_can_be_edited_and_done_again(run, refused, model, tmp_path):
    out, plan = tmp_path / "small", tmp_path / "edited.json"
    command = ["trim", model, "--images", model / "images.npz", "--no-pictures", "--out"]
    assert run(*command, out, "--observed", "--seed", 3)[0] == 0
    written = json.loads((out / "plan.json").read_text())
    (step,) = written["steps"]
    step["units"], step["why"] = step["units"][:1], step["why"][:1]
    plan.write_text(json.dumps(written))
    code, shown, _ = run(*command, tmp_path / "edited", "--plan", plan)
    assert code == 0
    assert shown.startswith("1 filter went, from 1 layer\n")
    assert "1 filter went that never fired" in shown
    assert f"it fires in fewer than 3/{COUNT // 2} (15 %)" in shown
    assert f"{COUNT // 2} images that did not choose" in shown
    assert json.loads((tmp_path / "edited/proof.json").read_text())["seed"] == 3
    assert [layer.channels for layer in fs.load(tmp_path / "edited").layers()] == [5, 5]
    # A plan that does not say which images it was chosen on is not proven by others.
    del step["images"], step["seed"]
    plan.write_text(json.dumps(written))
    _, shown, _ = run(*command, tmp_path / "unknown", "--plan", plan)
    assert f"{COUNT} images: " in shown
    assert "those that prove may be among them" in shown
    step["at_most"] = 20
    plan.write_text(json.dumps(written))
    refused(run(*command, tmp_path / "x", "--plan", plan), "at_most", "from 0 to 1")
    written["steps"] = []
    plan.write_text(json.dumps(written))
    _, shown, _ = run(*command, tmp_path / "none", "--plan", plan)
    assert "no filter went: nothing was found that could go\n" in shown


def test_the_page_says_how_many_optima_it_leaves_out_and_how_to_get_them(run, model, tmp_path):
    command = ["trim", model, "--images", model / "images.npz", "--observed", "--out"]
    assert run(*command, tmp_path / "one", "--optima", 1)[0] == 0
    said = "Optima were made for the first 1 of 2 filters; for all of them: --optima 2."
    assert said in (tmp_path / "one/index.html").read_text()
    assert len(list((tmp_path / "one/pictures").glob("*_optimum.png"))) == 1
    assert run(*command, tmp_path / "all", "--optima", 2)[0] == 0
    assert "Optima were made" not in (tmp_path / "all/index.html").read_text()
    assert len(list((tmp_path / "all/pictures").glob("*_optimum.png"))) == 2


def test_accuracy_of_few_images_says_of_how_many(run, model, tmp_path):
    _, shown, _ = run("trim", model, "--images", model / "strange.npz", "--no-pictures", "--out", tmp_path / "few")
    assert "40 images: 100.0% answers stay; accuracy of the 7 whose class the network knows " in shown
    assert "to go further: --observed, --max-drop" in shown
    page = (tmp_path / "few/index.html").read_text()
    assert "are those of the 7 whose class the network knows" in page
    assert "95 %, 7 images" in page.replace("\N{NO-BREAK SPACE}", " ")
    again = ["--images", tmp_path / "white.npz", "--observed", "--out", tmp_path / "again"]
    np.savez(tmp_path / "white.npz", x=np.full((8, 8, 8, 3), 255, np.uint8), y=np.arange(8) % 3)
    _, shown, _ = run("trim", model, *again, "--no-pictures")
    assert "to go further: --max-drop" in shown
