"""`filterscope ablate`: the rows say what whole passes say, together and each alone; one line for every mistake."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import filterscope as fs
from filterscope.images.tensors import normalise


@pytest.fixture
def images(tmp_path):
    dice = np.random.default_rng(0)
    x = (dice.integers(0, 256, (12, 32, 32, 3)) * dice.random((12, 1, 1, 3))).astype(np.uint8)
    np.savez(tmp_path / "twelve.npz", x=x, y=np.arange(12) % 3)
    return tmp_path / "twelve.npz"


def test_json_and_table_say_what_whole_passes_say(run, images, tmp_path):
    asked = ["block1.conv1:3", "block4.conv2:7"]
    code, shown, _ = run("ablate", "demo", *asked, "--images", images, "--json", "--out", tmp_path / "t.csv")
    assert code == 0
    told = json.loads(shown)
    assert (told["images"], told["of_a_known_class"], told["held_at"]) == (12, 12, 0)
    assert [row["units"] for row in told["ablations"]] == [" ".join(asked), *asked]
    network, source = fs.load("demo"), np.load(images)
    module = network.module.eval()
    height, width = network.preprocessing.input_size
    fitted = np.stack([fs.images.preprocessing.fit(one, network.preprocessing) for one in source["x"]])
    assert fitted.shape[1:3] == (height, width)
    pixels = normalise(fitted, network.preprocessing)

    def losses() -> torch.Tensor:
        with torch.no_grad():
            return torch.nn.functional.cross_entropy(module(pixels), torch.from_numpy(source["y"]), reduction="none")

    bare = losses()
    handles = [
        module.get_submodule(layer).register_forward_hook(
            lambda _m, _i, output, index=index: output.index_fill(1, torch.tensor(index), 0.0)
        )
        for layer, index in (("block1.conv1", 3), ("block4.conv2", 7))
    ]
    together = losses()
    handles[1].remove()
    alone = losses()
    handles[0].remove()
    assert told["loss"] == pytest.approx(float(bare.mean()), rel=1e-4)
    rows = told["ablations"]
    assert rows[0]["loss_change"] == pytest.approx(float((together - bare).mean()), abs=1e-4)
    assert rows[1]["loss_change"] == pytest.approx(float((alone - bare).mean()), abs=1e-4)
    table = pd.read_csv(tmp_path / "t.csv")
    np.testing.assert_allclose(table.loss_change, [row["loss_change"] for row in rows])


def test_a_line_each_and_what_was_done_to_them(run, images, tmp_path):
    code, shown, _ = run("ablate", "demo", "block1.conv1:3", "--images", images, "--mean", "--limit", 4)
    assert code == 0
    assert "4 images; switched off: pre-activation held at its mean" in shown
    assert "block1.conv1:3" in shown
    np.savez(tmp_path / "plain.npz", x=np.load(images)["x"])
    code, shown, _ = run("ablate", "demo", "block1.conv1:3", "--images", tmp_path / "plain.npz")
    assert "no image has a class that the network knows" in shown
    assert "accuracy" not in shown


def test_mistakes_are_answered_in_one_line(run, refused, images, tmp_path):
    refused(run("ablate", "demo", "--images", images), "nothing to switch off", "LAYER:INDEX")
    refused(run("ablate", "demo", "block1.conv1:3"), "--images DIR")
    refused(run("ablate", "demo", "block1.conv1:99", "--images", images), "has the units 0 to 23")
    refused(run("ablate", "demo", "block1.conv1", "--images", images), "is no unit")
    refused(run("ablate", "demo", "block1.conv1:3", "--images", tmp_path / "none"), "none")
    refused(run("ablate", "demo", "block1.conv1:3", "--images", images, "--limit", 0), "at least 1, not 0")
    refused(run("ablate", "demo", "block1.conv1:3", "--images", images, "--out", tmp_path / "t.txt"), ".csv")
    (tmp_path / "t.csv").write_text("mine")
    refused(run("ablate", "demo", "block1.conv1:3", "--images", images, "--out", tmp_path / "t.csv"), "--force")
    assert (tmp_path / "t.csv").read_text() == "mine"
