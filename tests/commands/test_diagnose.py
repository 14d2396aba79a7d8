"""`filterscope diagnose`: a screen, worst first; findings by kind; exit codes for CI; one line for every mistake."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

BUILD = """
from torch import nn

def build():
    features = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU()
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network with a dead filter, one that nobody reads, and two that are the same."""
    folder = tmp_path / "ill"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    (folder / "model.toml").write_text(
        'builder = "build.py:build"\nweights = "w.safetensors"\ninput_size = [14, 14]\nclasses = "classes.json"\n'
    )
    (folder / "classes.json").write_text('["dark", "light"]')
    torch.manual_seed(0)
    features = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU()
    module = nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        module[0].bias[1] = -100
        module[0].weight[4], module[0].bias[4] = module[0].weight[3], module[0].bias[3]
        module[6].weight[:, 2] = 0
        module[2].bias += 1
    save_file(module.state_dict(), folder / "w.safetensors")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    dice = np.random.default_rng(0)
    y = np.arange(48) % 2
    x = dice.integers(0, 128, (48, 14, 14, 3)) + 100 * y[:, None, None, None]
    np.savez(tmp_path / "photos.npz", x=x.astype(np.uint8), y=y)
    return tmp_path / "photos.npz"


def test_by_weights_alone_a_screen_with_the_worst_first(run, model, tmp_path):
    code, shown, _ = run("diagnose", model, "--out", tmp_path / "x.atlas")
    assert code == 0
    lines = shown.splitlines()
    assert lines[0].endswith("2 layers, 10 filters, no images: by weights alone")
    assert [line for line in lines if line.startswith("! ")] == [
        "! 1 of 10 filters is dead, whatever the image: 0:1",
        "! 1 of 10 filters is read by nothing: 2:2",
        "! 1 of 10 filters equals another one: 0:4",
    ]
    assert lines[-1].startswith(f"wrote {tmp_path / 'x.atlas'}")
    assert len(lines) <= 24, "no more than a screen"


def test_the_command_that_shows_more_shows_more(run, model, tmp_path):
    _, shown, _ = run("diagnose", model, "--out", tmp_path / "x.atlas")
    more = re.search(r'filterscope (diagnose) (\S+) --kind "(provably dead)"', shown)
    code, told, _ = run(*more.groups()[:2], "--kind", more.group(3))
    assert code == 0
    assert told.startswith("0:1: for no image with pixels from black to white")
    assert "would overturn it" in told


def test_with_images_and_training_images_everything_is_asked(run, model, photos, tmp_path):
    code, shown, _ = run(
        "diagnose", model, "--images", photos, "--train", photos, "--out", tmp_path / "x.atlas", "--json"
    )
    assert code == 0
    found = {one["kind"]: one for one in json.loads(shown)}
    assert {"provably dead", "unread", "equal", "near-duplicates"} <= set(found)
    assert next(iter(found)) == "near-duplicates", "what makes all else doubtful comes first"
    assert found["near-duplicates"]["findings"][0]["value"] == 1.0, "they are the same images"
    dead = found["provably dead"]["findings"][0]
    assert (dead["layer"], dead["unit"]) == ("0", 1)
    assert dead["value"] < 0


def test_fail_on_is_for_ci(run, model, tmp_path):
    out = ("--out", tmp_path / "x.atlas")
    code, _, error = run("diagnose", model, *out, "--fail-on", "never fired", "--fail-on", "equal")
    assert code == 1
    assert error.strip().endswith("found what must not be: equal")
    assert run("diagnose", model, *out, "--fail-on", "never fired")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("MODEL", "--fail-on", "ded"), "no kind of finding 'ded'"),
        (("MODEL", "--train", "PHOTOS"), "--train is compared with validation images"),
        (("MODEL", "--images", "nowhere"), "nowhere"),
        (("MODEL", "--layers", "3.conv"), "no layer '3.conv'"),
        (("nowhere.atlas",), "nowhere.atlas"),
    ],
)
def test_a_mistake_gives_one_line(run, model, photos, tmp_path, arguments, said):
    given = [{"MODEL": model, "PHOTOS": photos}.get(one, one) for one in arguments]
    code, _, error = run("diagnose", *given, "--out", tmp_path / "x.atlas")
    assert code == 2
    assert said in error
    assert len(error.strip().splitlines()) == 1
