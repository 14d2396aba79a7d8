"""`filterscope reconstruct`: what it writes loads again and is true, a failed proof is exit code 1, mistakes are 2."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import filterscope as fs
from filterscope.commands import reconstruction_sheets
from filterscope.demo.creatures import draw
from filterscope.lenses import reconstruction

FILES = [
    "difference.png",
    "evidence.png",
    "model.safetensors",
    "proof.json",
    "structure.png",
    "table.csv",
    "weights.png",
]

BUILD = """
import torch
from torch import nn

class Odd(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x * x

    @staticmethod
    def backward(context, gradient):
        return gradient

class Last(nn.Module):
    def forward(self, x):
        return {last}

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), Last())
"""


@pytest.fixture
def tiger(tmp_path: Path) -> Path:
    Image.fromarray(draw(28, seed=7).image).save(tmp_path / "tiger.png")
    return tmp_path / "tiger.png"


@pytest.fixture
def folder(tmp_path):
    """A network in a folder, whose last step is told; its classes have commas in their names."""

    def made(last="x.mean((2, 3))", name="tiny", spoil=False):
        place = tmp_path / name
        place.mkdir()
        (place / "build.py").write_text(BUILD.format(last=last))
        (place / "classes.json").write_text(json.dumps(["crane, bird", "crane", "cat", "dog", "cow", "hen"]))
        (place / "model.toml").write_text(
            'builder = "build.py:build"\nweights = "w.safetensors"\ninput_size = [20, 24]\nclasses = "classes.json"\n'
        )
        torch.manual_seed(0)
        state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3)).state_dict()
        if spoil:
            state["2.weight"][0, 0, 0, 0] = torch.nan
        save_file(state, place / "w.safetensors")
        return place

    return made


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_it_writes_pictures_a_table_a_proof_and_a_model_that_is_the_network(run, tiger, tmp_path):
    out = tmp_path / "out"
    code, shown, err = run("reconstruct", "demo", tiger, "--out", out)
    assert code == 0, err
    assert sorted(path.name for path in out.iterdir()) == FILES
    network = fs.load("demo")
    kept = load_file(out / "model.safetensors")
    with torch.no_grad():
        outputs = network.module(kept["image"][None])[0]
    order = outputs.argsort(descending=True)[:5]
    model = fs.Reconstruction.load(out / "model.safetensors")
    assert model.names == tuple(network.classes[one] for one in order)
    torch.testing.assert_close(model(kept["image"])[0], outputs[order], rtol=1e-4, atol=1e-5)
    lines = shown.splitlines()
    assert lines[0].split() == ["output", "original", "reconstructed", "from", "W", "x", "from", "b"]
    for line, name, value in zip(lines[1:6], model.names, outputs[order].tolist(), strict=True):
        assert line.split()[:3] == [name, f"{value:.2f}", f"{value:.2f}"]
    assert lines[7].endswith("equal")
    assert lines[-1].startswith(f"wrote 7 files to {out}: proof.json, ")
    table = pd.read_csv(out / "table.csv").set_index("output")
    np.testing.assert_allclose(table["original64"], table["reconstructed64"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(table["from_pixels"] + table["from_bias"], table["original"], rtol=1e-4, atol=1e-5)
    assert json.loads((out / "proof.json").read_text())["proof"]["ok"] is True
    for name in FILES:
        if name.endswith(".png"):
            sheet = pixels_of(out / name)
            assert sheet.shape[1] > 600
            assert sheet.std() > 10


def test_the_sheet_shows_w_in_the_colours_of_the_library(run, tiger, tmp_path):
    """Each pixel is a square of four by four: cut back out, the picture is the library's."""
    run("reconstruct", "demo", tiger, "--classes", "tiger,leopard", "--out", tmp_path / "out")
    sheet = pixels_of(tmp_path / "out/weights.png")
    expected = fs.reconstruct("demo", tiger, units=["tiger", "leopard"], prove=False).pictures().weights().pictures
    for picture in expected:
        large = picture.repeat(4, 0).repeat(4, 1)
        starts = np.argwhere((sheet[:-255, :-255] == large[0, 0]).all(2))
        assert any(np.array_equal(sheet[y : y + 256, x : x + 256], large) for y, x in starts)


def test_classes_are_taken_in_their_order_and_their_difference_is_drawn(run, folder, tiger, tmp_path):
    model = folder()
    for asked, names in [
        (["--classes", "dog,cat"], ["dog", "cat"]),
        (["--classes", "crane, bird", "--classes", "hen,3"], ["crane, bird", "hen", "dog"]),
        (["--classes", "all"], ["crane, bird", "crane", "cat", "dog", "cow", "hen"]),
    ]:
        out = tmp_path / asked[1]
        code, shown, err = run("reconstruct", model, tiger, *asked, "--json", "--out", out)
        assert code == 0, err
        told = json.loads(shown)
        assert [row["output"] for row in told["outputs"]] == names
        assert told["proof"]["ok"] is True
        assert all(Path(file).is_file() for file in told["files"])
    code, shown, _ = run("reconstruct", model, tiger, "--classes", "hen", "--out", tmp_path / "one")
    assert code == 0
    assert "difference.png" not in shown
    assert not (tmp_path / "one/difference.png").exists()


def test_units_of_a_layer_are_explained_where_they_are_asked_for(run, folder, tiger, tmp_path):
    model, out = folder(), tmp_path / "out"
    for position, place in [("max", None), ("3,5", (3, 5)), ("centre", (9, 11)), ("mean", None)]:
        code, shown, err = run(
            "reconstruct", model, tiger, "--layer", "0", "--units", "3,1", "--position", position, "--json",
            "--out", out / position,
        )  # fmt: skip
        assert code == 0, err
        rows = json.loads(shown)["outputs"]
        maps = fs.activations(str(model), tiger).maps["0"]
        for row, unit in zip(rows, (3, 1), strict=True):
            at = (row["row"], row["column"])
            assert row["output"] == f"0:{unit}"
            if position == "mean":
                assert at == (None, None)
                assert row["original"] == pytest.approx(float(maps[unit].mean()), rel=1e-4, abs=1e-6)
            else:
                assert row["original"] == pytest.approx(float(maps[unit][at]), rel=1e-4, abs=1e-6)
                assert place is None or at == place
                assert place is not None or maps[unit].max() == maps[unit][at]
    assert run("reconstruct", model, tiger, "--layer", "0", "--out", out / "top")[0] == 0
    assert len(fs.Reconstruction.load(out / "top/model.safetensors").names) == 4


def test_of_many_outputs_the_strongest_are_drawn(run, folder, tiger, tmp_path, monkeypatch):
    drawn, block = [], reconstruction_sheets.singular_block
    monkeypatch.setattr(import_module("filterscope.commands.reconstruct"), "DRAWN", 3)
    monkeypatch.setattr(
        reconstruction_sheets, "singular_block", lambda pictures: drawn.append(pictures.names) or block(pictures)
    )
    _, shown, _ = run("reconstruct", folder(), tiger, "--classes", "all", "--json", "--out", tmp_path / "out")
    rows = sorted(json.loads(shown)["outputs"], key=lambda row: -row["original"])
    assert drawn == [tuple(row["output"] for row in rows[:3])]


def test_it_computes_in_the_precision_asked_for(run, folder, tiger, tmp_path):
    run("reconstruct", folder(), tiger, "--precision", "float64", "--out", tmp_path / "out")
    assert load_file(tmp_path / "out/model.safetensors")["weight"].dtype == torch.float64
    facts = json.loads((tmp_path / "out/proof.json").read_text())
    assert facts["proof"]["precision"] == "float64"
    assert facts["proof"]["relative"] < 1e-12


def test_run_again_it_makes_what_is_missing_and_overwrites_nothing(run, refused, folder, tiger, tmp_path):
    model, out = folder(), ("--out", tmp_path / "out")
    first = run("reconstruct", model, tiger, *out)[1].splitlines()
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = run("reconstruct", model, tiger, *out)[1].splitlines()
    assert again[:-1] == first[:-1]
    assert again[-1].startswith("nothing to do, all is there already: ")
    (tmp_path / "out/table.csv").unlink()
    assert run("reconstruct", model, tiger, *out)[1].splitlines()[-1].endswith(": table.csv")
    later = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert {name for name in times if later[name] != times[name]} == {"table.csv"}
    refused(run("reconstruct", model, tiger, "--classes", "cat", *out), "made otherwise", "--force")
    Image.fromarray(draw(29, seed=7).image).save(tiger)
    refused(run("reconstruct", model, tiger, *out), "made otherwise", "--force")
    (tmp_path / "out/proof.json").unlink()
    refused(run("reconstruct", model, tiger, *out), "exists already", "--force")
    assert run("reconstruct", model, tiger, *out, "--force")[0] == 0
    assert (tmp_path / "out/weights.png").stat().st_mtime_ns != times["weights.png"]


def test_a_failed_proof_is_exit_code_1_also_when_it_is_read_again(run, folder, tiger, tmp_path, monkeypatch):
    model, right = folder(), reconstruction.bias_of
    monkeypatch.setattr(reconstruction, "bias_of", lambda *given: right(*given) + 0.01)
    for _ in range(2):
        code, shown, err = run("reconstruct", model, tiger, "--out", tmp_path / "out")
        assert code == 1
        assert "NOT EQUAL" in shown
        assert err.startswith("filterscope: the proof failed")
        assert len(err.splitlines()) == 1
    assert json.loads((tmp_path / "out/proof.json").read_text())["proof"]["ok"] is False


def test_a_rule_that_is_wrong_is_found(run, folder, tiger, tmp_path, monkeypatch):
    """A network whose ReLU is replayed as something else does not pass."""
    from filterscope.model import gate_modes

    replayed = gate_modes.Replayer.__torch_function__

    def wrong(self, function, types, arguments=(), options=None):
        answer = replayed(self, function, types, arguments, options)
        return answer * 1.01 if function.__name__ == "conv2d" else answer

    monkeypatch.setattr(gate_modes.Replayer, "__torch_function__", wrong)
    assert run("reconstruct", folder(), tiger, "--out", tmp_path / "out")[0] == 1


def test_every_mistake_is_one_line_and_writes_nothing(run, refused, folder, tiger, tmp_path):
    model, out = folder(), ("--out", tmp_path / "out")
    (tmp_path / "notes.txt").write_text("not an image")
    odd, nan = folder("Odd.apply(x).mean((2, 3))", "odd"), folder(name="nan", spoil=True)
    for given, words in [
        ((model, tmp_path / "notes.txt"), ["notes.txt", "no image of a known kind"]),
        ((model, tmp_path), ["cannot read the image"]),
        ((model, tmp_path / "none.png"), ["none.png", "No such file"]),
        ((model, tiger, "--classes", "cat,dgo"), ["no class 'dgo'", "did you mean 'dog'"]),
        ((model, tiger, "--classes", "9"), ["no class 9", "0 to 5"]),
        ((model, tiger, "--units", "3"), ["--units are those of a layer", "--layer"]),
        ((model, tiger, "--layer", "0", "--classes", "cat"), ["--classes are those of the network's output"]),
        ((model, tiger, "--layer", "0", "--units", "3,4"), ["no unit 4", "0 to 3"]),
        ((model, tiger, "--layer", "0", "--units", "3,x"), ["no unit 'x'"]),
        ((model, tiger, "--layer", "0x"), ["no layer '0x'", "filterscope layers"]),
        ((model, tiger, "--layer", "0", "--position", "50,1"), ["no position (50, 1)", "rows 0 to 17"]),
        ((model, tiger, "--position", "top"), ["no position 'top'", "max, centre, mean"]),
        ((model, tiger, "--precision", "float16"), ["no precision 'float16'"]),
        ((model, tiger, "--device", "tpu"), ["no device 'tpu'"]),
        ((odd, tiger), ["Odd"]),
        ((nan, tiger), ["not finite"]),
        (("nothing", tiger), ["nothing"]),
    ]:
        refused(run("reconstruct", *given, *out), *words)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    refused(run("reconstruct", model, tiger, "--out", tmp_path / "file"), "cannot write to")


def test_a_disk_without_room_is_told(run, refused, folder, tiger, tmp_path, monkeypatch):
    usage = reconstruction.shutil._ntuple_diskusage(10, 9, 1)
    monkeypatch.setattr(reconstruction.shutil, "disk_usage", lambda _folder: usage)
    refused(run("reconstruct", folder(), tiger, "--out", tmp_path / "out"), "choose fewer units")
