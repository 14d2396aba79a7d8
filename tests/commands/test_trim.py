"""`filterscope trim`: a folder that loads by itself, a page, a proof; one line for every mistake."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import filterscope as fs
from filterscope.commands import main
from filterscope.surgery import speed
from filterscope.surgery.finetune import _Course
from filterscope.surgery.forms import Forms, built_from

BUILD = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(8, 10, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 3),
    )
    with torch.no_grad():
        net[0].weight[3], net[0].bias[3] = 2 * net[0].weight[1], 2 * net[0].bias[1]
        net[4].bias[6] = -1e3
    return net
"""

TOML = """
builder = "build.py:build"
input_size = [16, 16]
mean = [0.4, 0.5, 0.6]
std = [0.2, 0.25, 0.3]
classes = "classes.txt"
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A folder with a network of a dead filter, and one that is twice another."""
    folder = tmp_path_factory.mktemp("trim") / "planted"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    (folder / "model.toml").write_text(TOML)
    (folder / "classes.txt").write_text("ant\nbee\ncat <3\n")
    dice = np.random.default_rng(0)
    x = (dice.integers(0, 256, (60, 16, 16, 3)) * dice.random((60, 1, 1, 3))).astype(np.uint8)
    np.savez(folder / "images.npz", x=x, y=np.arange(60) % 3)
    return folder


@pytest.fixture(scope="module")
def trimmed(model: Path) -> Path:
    """The network trimmed, once for all tests."""
    out = model.parent / "small"
    arguments = ["trim", model, "--images", model / "images.npz", "--out", out]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "MOST", 8)
        patch.setattr(sys, "argv", ["filterscope", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return out


ALONE = """
import sys
sys.modules["filterscope"] = None  # importing it fails
import torch
from build import load

images = torch.load("images.pt")
with torch.no_grad():
    torch.save(load()(images), "alone.pt")
"""


def test_the_folder_loads_where_filterscope_cannot_be_imported(model: Path, trimmed: Path) -> None:
    original = fs.load(model).module.eval()
    images = torch.rand(5, 3, 16, 16)
    torch.save(images, trimmed / "images.pt")
    subprocess.run([sys.executable, "-c", ALONE], cwd=trimmed, check=True, timeout=120)
    answer = torch.load(trimmed / "alone.pt")
    (trimmed / "images.pt").unlink()
    (trimmed / "alone.pt").unlink()
    with torch.no_grad():
        torch.testing.assert_close(answer, original(images), rtol=1e-5, atol=1e-6)
        exported = torch.export.load(trimmed / "model.pt2").module()
        torch.testing.assert_close(exported(images), original(images), rtol=1e-5, atol=1e-6)


def test_onnx_answers_alike(trimmed: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    images = np.random.default_rng(0).random((4, 3, 16, 16), np.float32)
    session = runtime.InferenceSession(trimmed / "model.onnx", providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"images": images})
    with torch.no_grad():
        wanted = fs.load(trimmed).module(torch.from_numpy(images))
    np.testing.assert_allclose(answer, wanted, rtol=1e-4, atol=1e-5)


def test_filterscope_opens_it_again_at_its_new_widths(model: Path, trimmed: Path) -> None:
    before, after = fs.load(model), fs.load(trimmed)
    assert [layer.channels for layer in before.layers()] == [8, 10]
    assert [layer.channels for layer in after.layers()] == [7, 9]
    assert after.classes == before.classes == ("ant", "bee", "cat <3")
    assert after.preprocessing == before.preprocessing
    # And the plan does the same again.
    again = fs.apply(before, fs.Plan.open(trimmed / "plan.json"))
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(again.network.module.eval()(images), after.module.eval()(images))


def test_the_proof_says_what_is_in_the_folder(model: Path, trimmed: Path) -> None:
    proof = json.loads((trimmed / "proof.json").read_text())
    assert proof["plain"]["images"] == 60
    assert not proof["held_back"]
    assert (proof["plain"]["lost"], proof["plain"]["won"]) == (0, 0)
    assert proof["parameters"] == [sum(p.numel() for p in fs.load(at).module.parameters()) for at in (model, trimmed)]
    assert proof["difference"] < 1e-9
    written = {one["file"] for one in proof["forms"] if one["written"]}
    assert written >= {"build.py", "model.safetensors", "model.pt2", "model.toml"}
    assert {one["file"] for one in proof["forms"]} - written <= {"model.onnx"}
    assert all((trimmed / file).is_file() for file in written)


def test_the_page_shows_every_filter_that_went_and_loads_nothing_from_elsewhere(trimmed: Path) -> None:
    page = (trimmed / "index.html").read_text()
    plan = json.loads((trimmed / "plan.json").read_text())
    for step in plan["steps"]:
        for unit in step["units"]:
            assert f"<b>{step['layer']}:{unit}</b>" in page
    sources = re.findall(r'<img src="([^"]+)"', page)
    assert len(sources) >= 6
    for source in sources:
        with Image.open(trimmed / source) as picture:
            assert min(picture.size) >= 64
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert "provably dead" in page
    assert all(f'alt="{kind}' in page for kind in ("kernel", "optimum", "strongest patches"))


@pytest.mark.usefixtures("quick")
def test_nothing_to_trim_is_said_and_all_is_written(run, trimmed, tmp_path) -> None:
    code, shown, _ = run("trim", trimmed, "--out", tmp_path / "same", "--no-pictures")
    assert code == 0
    assert "no filter went: nothing was found that could go; to go further: --observed" in shown
    assert "model.pt2 was not written: ZeroDivisionError" in shown
    assert "build.py, model.safetensors, model.toml" in shown
    assert fs.load(tmp_path / "same").layers() == fs.load(trimmed).layers()
    assert built_from(tmp_path / "same/build.py") is not None


@pytest.fixture
def quick(monkeypatch) -> None:
    """Exporting takes seconds, and is tested above."""
    monkeypatch.setattr(speed, "MOST", 6)
    monkeypatch.setattr(Forms, "_exported", lambda self: 1 / 0)


@pytest.mark.usefixtures("quick")
def test_fine_tuning_trains_on_other_images_than_those_that_prove(run, refused, model, trimmed, tmp_path) -> None:
    images, out = model / "images.npz", tmp_path / "tuned"
    command = ["trim", model, "--images", images, "--out", out, "--no-pictures", "--finetune", 2]
    refused(run(*command, "--train", images), "--train and --images are the same")
    assert json.loads((trimmed / "proof.json").read_text())["original_finetuned"] is None
    assert not out.exists()
    with np.load(images) as there:
        np.savez(tmp_path / "train.npz", x=there["x"][::-1, :, ::-1], y=there["y"][::-1])
    code, shown, _ = run(*command, "--train", tmp_path / "train.npz", "--finetune-original")
    assert code == 0
    assert "fine-tuned for 2 epochs on 60 images" in shown
    assert "beside the original fine-tuned as long: 60 images: " in shown
    # What it is compared with is the original after the same training, and not as it was.
    original = fs.finetune(fs.load(model), tmp_path / "train.npz", 2).network
    tuned, plain = (
        fs.prove(one, fs.load(out), images, all_images=True, batches=()).plain for one in (original, fs.load(model))
    )
    proof = json.loads((out / "proof.json").read_text())
    as_long = proof["original_finetuned"]["plain"]
    assert as_long["loss"]["before"] == pytest.approx(tuned.loss.before, rel=1e-4)
    assert proof["plain"]["loss"]["before"] == pytest.approx(plain.loss.before, rel=1e-4)
    assert abs(as_long["loss"]["before"] - proof["plain"]["loss"]["before"]) > 1e-3
    assert as_long["loss"]["after"] == proof["plain"]["loss"]["after"]
    assert "Beside the original, fine-tuned as long" in (out / "index.html").read_text()
    before, after = fs.load(model), fs.load(out)
    assert [layer.channels for layer in after.layers()] == [7, 9]
    assert not torch.equal(after.module.state_dict()["8.weight"][:, 0], before.module.state_dict()["8.weight"][:, 0])
    # Its checkpoints have served.
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["tuned"]


@pytest.mark.usefixtures("quick")
def test_to_a_budget_the_other_half_proves_and_the_plan_does_the_same_again(run, model, tmp_path) -> None:
    images, out = model / "images.npz", tmp_path / "half"
    code, shown, _ = run("trim", model, "--images", images, "--keep", 0.6, "--out", out, "--no-pictures")
    assert code == 0
    assert "30 images that did not choose" in shown
    assert "never fired" not in shown
    proof = json.loads((out / "proof.json").read_text())
    assert proof["held_back"]
    assert proof["flops"][1] <= 0.6 * proof["flops"][0]
    again = tmp_path / "again"
    command = ["trim", model, "--images", images, "--plan", out / "plan.json", "--out", again, "--no-pictures"]
    assert run(*command)[0] == 0
    one, other = (fs.load(at).module.state_dict() for at in (out, again))
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("quick")
def test_fine_tuning_that_was_interrupted_goes_on(run, model, tmp_path, monkeypatch) -> None:
    with np.load(model / "images.npz") as there:
        np.savez(tmp_path / "train.npz", x=there["x"][::-1, :, ::-1], y=there["y"][::-1])
    command = ["trim", model, "--no-pictures", "--finetune", 3, "--train", tmp_path / "train.npz", "--out"]
    assert run(*command, tmp_path / "whole")[0] == 0
    step, seen = _Course._step, []

    def impatient(course, *given):
        seen.append(course.done)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return step(course, *given)

    monkeypatch.setattr(_Course, "_step", impatient)
    assert run(*command, tmp_path / "broken")[0] == 130
    assert not (tmp_path / "broken/build.py").exists()
    assert run(*command, tmp_path / "broken")[0] == 0
    # Of the steps that were done none is done again.
    assert seen == [0, 1, 2, 2]
    one, other = (fs.load(tmp_path / name).module.state_dict() for name in ("whole", "broken"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.usefixtures("quick")
def test_pictures_come_from_an_atlas_of_this_network_alone(run, refused, model, tmp_path) -> None:
    network = fs.load(model)
    atlas = fs.inspect(network, None, tmp_path / "own.atlas", lenses=["kernels"])
    out = tmp_path / "small"
    assert run("trim", model, "--atlas", atlas.folder, "--out", out)[0] == 0
    assert {path.name.split("_")[-1] for path in (out / "pictures").iterdir()} == {"kernel.png"}
    other = fs.inspect(fs.load(out), None, tmp_path / "other.atlas", lenses=["kernels"])
    refused(run("trim", model, "--atlas", other.folder, "--out", tmp_path / "x"), "is of another network")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--max-drop", 1, "--keep", 0.5], ["--max-drop and --keep", "choose one"]),
        (["--lossless", "--observed"], ["choose one"]),
        (["--keep", 0.5], ["--images"]),
        (["--keep", 1.5, "--images", "."], ["above 0 and at most 1", "1.5"]),
        (["--max-drop", -1, "--images", "."], ["0 to 100 points"]),
        (["--finetune", 3], ["--train"]),
        (["--finetune-original", "--images", "."], ["--finetune EPOCHS"]),
        (["--no-blocks"], ["--max-drop or --keep"]),
        (["--plan", "p.json", "--observed"], ["leave --observed out"]),
    ],
)
def test_options_that_do_not_go_together(run, refused, given, words) -> None:
    refused(run("trim", "demo", *given), *words)


def test_a_place_that_is_taken(run, refused, model, trimmed) -> None:
    refused(run("trim", model, "--out", trimmed), "holds a trimmed network already", "--force")
    refused(run("trim", model, "--out", model, "--force"), "is no trimmed network")


def test_an_atlas_of_another_network_and_a_plan_for_another(run, refused, model, trimmed, tmp_path) -> None:
    refused(run("trim", "demo", "--plan", trimmed / "plan.json", "--out", tmp_path / "x"), "for another network")
    assert not (tmp_path / "x").exists()
