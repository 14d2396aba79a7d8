"""Every way in, and every wrong way."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from filterscope.errors import BadModel, FilterscopeError, MissingExtra, UnknownName
from filterscope.model import load

BUILDER = """
from torch import nn
from blocks import block

def build():
    return nn.Sequential(block(), nn.ReLU())

def fails():
    raise ValueError("two\\nlines")

def wrong():
    return 7
"""

BLOCKS = """
from torch import nn

def block():
    return nn.Conv2d(3, 2, 3)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "build.py").write_text(BUILDER)
    (tmp_path / "blocks.py").write_text(BLOCKS)
    return tmp_path


def describe(folder: Path, text: str) -> Path:
    (folder / "model.toml").write_text(text)
    return folder


def test_a_folder_is_opened_with_everything_that_it_says(folder: Path) -> None:
    save_file({"0.weight": torch.ones(2, 3, 3, 3), "0.bias": torch.zeros(2)}, folder / "w.safetensors")
    (folder / "classes.json").write_text('{"0": ["n1", "cat"], "1": "dog"}')
    network = load(
        describe(
            folder,
            """builder = "build.py:build"\nweights = "w.safetensors"\ninput_size = [20, 30]\nmean = [1, 2, 3.5]
            std = [4, 5, 6]\nchannels = "BGR"\nresize = 40\nvalue_range = [0, 255]\ninterpolation = "bicubic"
            classes = "classes.json" """,
        )
    )
    preprocessing = network.preprocessing
    assert (preprocessing.input_size, preprocessing.mean, preprocessing.std) == ((20, 30), (1, 2, 3.5), (4, 5, 6))
    assert (preprocessing.channels, preprocessing.resize) == ("BGR", 40)
    assert (preprocessing.value_range, preprocessing.interpolation) == ((0, 255), "bicubic")
    assert network.classes == ("cat", "dog")
    assert bool((network.module[0].weight == 1).all())
    assert [layer.name for layer in network.layers()] == ["0"]


def test_opening_a_folder_writes_nothing_into_it_and_leaves_the_path_alone(folder: Path) -> None:
    describe(folder, 'builder = "build.py:build"')
    before, path = sorted(folder.rglob("*")), list(sys.path)
    load(str(folder))
    assert (sorted(folder.rglob("*")), sys.path) == (before, path)


@pytest.mark.parametrize(("content", "names"), [("cat\ndog\n", ("cat", "dog")), ('["a", "b"]', ("a", "b"))])
def test_classes_are_a_list_or_a_name_per_line(folder: Path, content: str, names: tuple[str, ...]) -> None:
    file = "c.json" if content.startswith("[") else "c.txt"
    (folder / file).write_text(content)
    assert load(describe(folder, f'builder = "build.py:build"\nclasses = "{file}"')).classes == names


def test_one_mean_makes_a_grey_network(folder: Path) -> None:
    network = load(describe(folder, 'builder = "build.py:build"\nmean = [0.5]\nstd = [0.5]'))
    assert (network.preprocessing.channels, network.preprocessing.channel_count) == ("L", 1)


def test_an_architecture_takes_weights_from_the_folder_and_is_no_longer_random(folder: Path) -> None:
    torch.save(models.shufflenet_v2_x0_5(weights=None).state_dict(), folder / "w.pth")
    text = 'architecture = "torchvision:shufflenet_v2_x0_5"\n'
    network = load(describe(folder, text + 'weights = "w.pth"\ninput_size = [64, 64]'))
    assert (network.note, network.preprocessing.input_size, network.preprocessing.resize) == ("", (64, 64), 256)
    assert "random weights" in load(describe(folder, text)).note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no model.toml; it tells how to build the network"),
        ("builder = ", "model.toml cannot be read"),
        ('bilder = "build.py:build"', "no key 'bilder'; did you mean 'builder'?"),
        ("resize = 3", "needs either a builder"),
        ('builder = "build.py:build"\narchitecture = "torchvision:resnet18"', "needs either a builder"),
        ('builder = "build.py:build"\nresize = "big"', "resize in .* is 'big', but has to be a whole number"),
        ('builder = "build.py:build"\nmean = ["a"]', "has to be a list of numbers"),
        ('builder = "build.py:build"\nmean = [1, 2]', "mean and std have one number per channel"),
        ('builder = "build.py:build"\nchannels = "HSV"', "channels is RGB, BGR or L"),
        ('builder = "build.py:build"\ninput_size = [0, 3]', "input_size is"),
        ('builder = "none.py:build"', "no builder 'none.py:build'"),
        ('builder = "build.py"', "no builder 'build.py' in .*; write it as FILE.py:FUNCTION"),
        ('builder = "build.py:fails"', "build.py:fails fails: ValueError: two lines"),
        ('builder = "build.py:wrong"', "build.py:wrong returns int, but has to return an nn.Module"),
        ('builder = "build.py:absent"', "build.py:absent fails: AttributeError"),
        ('builder = "build.py:build"\nweights = "none.pth"', "no weights at .*none.pth"),
        ('builder = "build.py:build"\nclasses = "none.json"', "no class names in .*none.json"),
        ('architecture = "keras:resnet"', "no architecture 'keras:resnet'; write torchvision:NAME"),
    ],
)
def test_a_folder_that_cannot_be_opened_is_told_in_one_line(folder: Path, text: str | None, message: str) -> None:
    if text is not None:
        describe(folder, text)
    with pytest.raises(FilterscopeError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_the_builder_are_told_key_by_key(folder: Path) -> None:
    save_file({"0.weight": torch.ones(2, 3, 5, 5), "1.bias": torch.zeros(2)}, folder / "w.safetensors")
    with pytest.raises(BadModel, match=r"w.safetensors .*1 missing \(0.bias\), 1 not in the network \(1.bias\)"):
        load(describe(folder, 'builder = "build.py:build"\nweights = "w.safetensors"'))


def test_random_weights_are_always_the_same_and_loudly_announced() -> None:
    torch.manual_seed(1)
    first = load("torchvision:shufflenet_v2_x0_5")
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)  # the caller's random numbers go on as if nothing had been built
    assert first.digest == load("torchvision:shufflenet_v2_x0_5").digest
    assert first.note == (
        "random weights, nothing has been learned; for trained ones: torchvision:shufflenet_v2_x0_5@DEFAULT"
    )
    assert not first.module.training
    assert (len(first.classes), first.preprocessing.input_size, first.preprocessing.resize) == (1000, (224, 224), 256)


def test_published_weights_bring_their_preprocessing_and_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    state = models.efficientnet_b0(weights=None).state_dict()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_args, **_options: state)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_args, **_options: state)
    network = load("torchvision:efficientnet_b0@IMAGENET1K_V1")
    assert (network.note, network.classes[1], len(network.classes)) == ("", "goldfish", 1000)
    assert (network.preprocessing.resize, network.preprocessing.interpolation) == (256, "bicubic")
    assert torch.equal(network.module.state_dict()["features.0.0.weight"], state["features.0.0.weight"])


def test_a_download_that_fails_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_args: object, **_options: object) -> None:
        raise OSError("no\nroute")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fails)
    message = r"torchvision:resnet18@DEFAULT could not be downloaded: no route; fetch them .* torchvision:resnet18@FILE"
    with pytest.raises(BadModel, match=message):
        load("torchvision:resnet18@DEFAULT")


def test_weights_of_ones_own_are_put_into_a_library_model(tmp_path: Path) -> None:
    module = models.shufflenet_v2_x0_5(weights=None)
    save_file(module.state_dict(), tmp_path / "own.safetensors")
    network = load(f"torchvision:shufflenet_v2_x0_5@{tmp_path / 'own.safetensors'}")
    assert network.note == ""
    assert torch.equal(network.module.conv1[0].weight, module.conv1[0].weight)
    with pytest.raises(BadModel, match=r"own.safetensors does not fit the network: .* missing"):
        load(f"torchvision:squeezenet1_1@{tmp_path / 'own.safetensors'}")


def test_timm_models_bring_their_own_preprocessing() -> None:
    pytest.importorskip("timm")
    network = load("timm:test_resnet")
    assert network.preprocessing.input_size == (160, 160)
    assert network.preprocessing.resize == int(160 / 0.95)
    assert "random weights" in network.note
    assert network.digest == load("timm:test_resnet").digest
    assert network.layers()[0].field_size == (3, 3)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"timm is not installed; install it with: pip install 'filterscope\[timm"):
        load("timm:resnet18")


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("torchvision:resnet81", UnknownName, "no torchvision model 'resnet81'; did you mean 'resnet18'"),
        (
            "torchvision:resnet18@IMAGENET",
            UnknownName,
            "no weights of resnet18 'IMAGENET'; did you mean 'IMAGE",
        ),
        ("torchvision:resnet18@none.pth", BadModel, "no weights at none.pth"),
        ("timm:resnt18", UnknownName, "no timm model 'resnt18'; did you mean 'resnet18'"),
        ("timm:resnet18@latest", UnknownName, "no weights of resnet18 'latest'; there are DEFAULT, "),
        ("torchvison:resnet18", UnknownName, "no model 'torchvison:resnet18'; did you mean 'torchvision:resnet18'"),
        ("dmeo", UnknownName, r"no model 'dmeo'; did you mean 'demo'\? MODEL is demo, torchvision:NAME"),
        ("nowhere/at/all", UnknownName, "no model 'nowhere/at/all'; MODEL is demo, torchvision:NAME"),
        ("model.keras", BadModel, "model.keras: Keras files cannot be opened yet; MODEL is demo, "),
        ("model.h5", BadModel, "model.h5: Keras files cannot be opened yet"),
        ("model.onnx", BadModel, "model.onnx: ONNX files cannot be opened yet"),
        ("weights.pth", BadModel, "weights.pth holds weights, not the network they belong to"),
    ],
)
def test_wrong_names_are_told_in_one_line_with_what_is_near(spec: str, error: type[Exception], message: str) -> None:
    if spec.startswith("timm"):
        pytest.importorskip("timm")
    with pytest.raises(error, match=message) as caught:
        load(spec)
    assert "\n" not in str(caught.value)


def test_the_bundled_network_is_opened_by_its_name() -> None:
    pytest.importorskip("filterscope.demo.network")
    network = load("demo")
    assert network.note == ""
    assert network.layers()
    assert isinstance(network.module, nn.Module)
