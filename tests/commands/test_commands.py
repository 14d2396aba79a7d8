"""The command line: what it prints, and one clear line with exit code 2 for every mistake a user can make."""

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import filterscope as fs

BUILD = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, (3, 1), stride=2, padding=(0, 1)))

def without_convolution():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 20, 2))

def fixed_size():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 30 * 30, 2))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "small_network"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    (folder / "model.toml").write_text('builder = "build.py:build"\nweights = "w.safetensors"\ninput_size = [16, 20]\n')
    torch.manual_seed(0)
    built = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, (3, 1)))
    save_file(built.state_dict(), folder / "w.safetensors")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for number in range(12):
        place = folder / ["cat", "dog"][number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(place / f"{number}.png")
    return folder


def test_layers_as_json_has_the_promised_keys(run, model):
    code, out, _ = run("layers", model, "--json")
    assert code == 0
    first, second = json.loads(out)
    assert first["name"] == "0"
    assert first["receptive_field"] == {"size": [3, 3], "stride": [1, 1], "start": [0, 0]}
    assert second["receptive_field"] == {"size": [5, 3], "stride": [2, 2], "start": [0, -1]}
    assert second["kernel"] == [3, 1]
    assert second["output_size"] == [6, 10]
    keys = "name kind channels kernel stride padding dilation groups output_size parameters flops calls receptive_field"
    assert set(keys.split()) <= set(first)
    assert second["parameters"] == 6 * 4 * 3 + 6
    assert second["flops"] == 2 * 6 * 4 * 3 * 6 * 10


def test_layers_as_a_table_names_every_layer(run, model):
    code, out, _ = run("layers", model)
    assert code == 0
    assert len(out.strip().splitlines()) == 3


def test_inspect_writes_an_atlas_says_where_and_then_does_nothing(run, model, photos, tmp_path):
    (photos / "cat/broken.jpg").write_bytes(b"no picture")
    out_folder = tmp_path / "x.atlas"
    code, out, err = run("inspect", model, "--images", photos, "--out", out_folder)
    assert (code, err) == (0, "")
    last, report = out.strip().splitlines()
    assert report.startswith(f"wrote {tmp_path / 'x.report/index.html'}: 2 layers, 10 units")
    assert last.startswith("wrote 2 layers, 10 units, 12 images")
    assert str(out_folder) in last
    assert "skipped 1 images (cat/broken.jpg" in last
    atlas = fs.Atlas(out_folder)
    # A sheet a layer and lens, one of the images, and one a task of those with activation maps.
    assert len(atlas.sheets()) == 2 * 6 + 1 + 3
    assert all(sheet.exists() for sheet in atlas.sheets())
    assert sorted(atlas.images().label.dropna().unique()) == ["cat", "dog"]
    code, out, _ = run("inspect", model, "--images", photos, "--out", out_folder)
    assert code == 0
    assert out.startswith("nothing to do")


def test_inspect_without_images_shows_kernels_optima_and_drawn_scenes(run, model, tmp_path):
    code, _, _ = run("inspect", model, "--out", tmp_path / "x.atlas", "--kernel-scale", "layer", "--steps", "2")
    assert code == 0
    lenses = {sheet.lens for sheet in fs.Atlas(tmp_path / "x.atlas").records(_sheet())}
    assert lenses == {"kernels", "optima", "perturbations"}


def _sheet():
    from filterscope.atlas.records import Sheet

    return Sheet


def test_an_npz_is_looked_at(run, model, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.integers(0, 256, (10, 16, 20, 3), np.uint8), y=np.arange(10) % 2)
    code, out, _ = run("inspect", model, "--images", tmp_path / "x.npz", "--out", tmp_path / "x.atlas")
    assert code == 0
    assert "10 images" in out


def test_a_wrong_layer_name_offers_the_nearest(run, refused, model, photos, tmp_path):
    outcome = run("inspect", model, "--images", photos, "--out", tmp_path / "a", "--layers", "O")
    refused(outcome, "no layer 'O'", "filterscope layers")


def test_a_wrong_lens_or_scale_offers_the_nearest(run, refused, model, photos, tmp_path):
    refused(
        run("inspect", model, "--images", photos, "--out", tmp_path / "a", "--lens", "patchs"), "did you mean 'patches'"
    )
    refused(run("inspect", model, "--out", tmp_path / "a", "--kernel-scale", "units"), "did you mean 'unit'")


def test_a_wrong_model_offers_the_nearest(run, refused, tmp_path):
    refused(run("layers", "torchvision:resnet19"), "did you mean", "resnet18")
    refused(run("layers", "torchvison:resnet18"), "torchvision:resnet18")
    refused(run("layers", tmp_path / "nowhere"), "nowhere", "model.toml")
    refused(run("layers", tmp_path), "model.toml")


def test_a_folder_without_images_is_told(run, refused, model, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(run("inspect", model, "--images", tmp_path / "empty", "--out", tmp_path / "a"), "empty", ".jpg")
    refused(run("inspect", model, "--images", tmp_path / "gone", "--out", tmp_path / "a"), "gone")
    assert not (tmp_path / "a").exists()


def test_unreadable_weights_are_told(run, refused, model):
    (model / "w.safetensors").write_bytes(b"\x00" * 100)
    refused(run("layers", model), "w.safetensors")
    (model / "w.safetensors").unlink()
    refused(run("layers", model), "w.safetensors")


class Malicious:
    """A pickle that wants to run code."""

    def __reduce__(self):
        return (Path.touch, (Path(__file__).with_name("ran-code"),))


def test_a_pickle_that_wants_to_run_code_is_refused_and_runs_none(run, refused, model):
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, buffer)
    buffer.seek(0)
    with zipfile.ZipFile(buffer) as plain, zipfile.ZipFile(model / "w.pth", "w") as bad:
        for name in plain.namelist():
            content = pickle.dumps({"a": Malicious()}) if name.endswith("data.pkl") else plain.read(name)
            bad.writestr(name, content)
    (model / "model.toml").write_text((model / "model.toml").read_text().replace("w.safetensors", "w.pth"))
    refused(run("layers", model), "w.pth is refused", "torch.save")
    assert not Path(__file__).with_name("ran-code").exists()


def test_weights_that_do_not_fit_say_which_keys(run, refused, model):
    save_file(
        {"0.weight": torch.zeros(4, 3, 5, 5), "0.bias": torch.zeros(4), "odd": torch.zeros(1)}, model / "w.safetensors"
    )
    refused(run("layers", model), "2.weight", "odd", "0.weight")


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        ("without_convolution", ["no filter"]),
        ("fixed_size", ["refuses an input of 1 x 3 x 16 x 20"]),
        ("missing", ["missing"]),
    ],
)
def test_networks_that_cannot_be_looked_into_are_told(run, refused, model, builder, words):
    (model / "model.toml").write_text(f'builder = "build.py:{builder}"\ninput_size = [16, 20]\n')
    refused(run("layers", model), *words)


def test_an_out_that_exists_is_not_overwritten(run, refused, model, photos, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious")
    refused(run("inspect", model, "--images", photos, "--out", mine), "is no atlas", "--out")
    refused(run("inspect", model, "--images", photos, "--out", mine, "--force"), "is no atlas")
    refused(run("inspect", model, "--images", photos, "--out", mine / "thesis.txt"), "is a file")
    assert (mine / "thesis.txt").read_text() == "precious"


def test_an_atlas_of_another_network_is_not_overwritten_without_force(run, refused, model, photos, tmp_path):
    out = tmp_path / "x.atlas"
    assert run("inspect", model, "--images", photos, "--out", out)[0] == 0
    shutil.copytree(model, tmp_path / "other")
    torch.manual_seed(1)
    save_file(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, (3, 1))).state_dict(),
        tmp_path / "other/w.safetensors",
    )
    refused(run("inspect", tmp_path / "other", "--images", photos, "--out", out), "another network", "--force")
    refused(run("inspect", model, "--images", photos, "--out", out, "--patches", "4"), "count was 9, now 4")
    assert run("inspect", tmp_path / "other", "--images", photos, "--out", out, "--force")[0] == 0


def test_unknown_options_and_devices_end_with_code_2(run, refused, model, tmp_path):
    assert run("inspect", model, "--imagse", "x")[0] == 2
    assert run("inspect", model, "--patches", "0")[0] == 2
    refused(run("inspect", model, "--device", "gpu", "--out", tmp_path / "a"), "gpu", "cuda")


def test_ctrl_c_keeps_what_is_finished(run, model, photos, tmp_path, monkeypatch):
    from filterscope.lenses import kernels

    draw, drawn = kernels.DrawKernels.__call__, []

    def interrupted(self, bench):
        if drawn:
            raise KeyboardInterrupt
        drawn.append(self)
        return draw(self, bench)

    monkeypatch.setattr(kernels.DrawKernels, "__call__", interrupted)
    code, _, err = run("inspect", model, "--images", photos, "--out", tmp_path / "a")
    assert code == 130
    assert "run the same command again" in err
    assert len(fs.Atlas(tmp_path / "a").tasks()) == 1


def test_the_help_names_every_lens_there_is():
    from filterscope.commands.inspect import LENS_NAMES
    from filterscope.inspection import LENSES

    assert LENS_NAMES.split(", ") == list(LENSES)
