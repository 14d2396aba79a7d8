"""Reading weights: nothing is run, and what does not fit is said key by key."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from filterscope.errors import BadModel
from filterscope.model.weights import fit_weights, read_weights


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def wrapped(weights: dict[str, Any]) -> Any:
    return {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in weights.items()}, "loss": [1.0]}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin", ".ckpt"])
@pytest.mark.parametrize("wrap", [dict, wrapped, lambda weights: {"model": weights}])
def test_weights_come_out_as_they_went_in(module: nn.Module, tmp_path: Path, suffix: str, wrap: Any) -> None:
    path, weights = tmp_path / f"weights{suffix}", module.state_dict()
    if suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(wrap(weights), path)
    read = read_weights(path)
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[key], value) for key, value in weights.items())


class Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> Any:
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_that_wants_to_run_code_is_refused_with_the_way_to_convert_it(tmp_path: Path, save: Any) -> None:
    victim, path = tmp_path / "touched", tmp_path / "model.pth"
    save({"state_dict": {"a": torch.ones(1)}, "extra": Malicious(victim)}, path)
    with pytest.raises(BadModel, match=r"wants to run code .*convert it once in Python: torch\.save\(.*") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert not victim.exists()


def test_a_whole_module_is_refused_and_the_way_to_convert_it_works(module: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(module, path)
    with pytest.raises(BadModel, match="wants to run code") as caught:
        read_weights(path)
    code = str(caught.value).partition("in Python: ")[2].replace("'weights.pth'", repr(str(tmp_path / "weights.pth")))
    exec(code, {"torch": torch})
    assert read_weights(tmp_path / "weights.pth").keys() == module.state_dict().keys()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kept", [0, 7, 200, -40])
def test_a_file_that_is_cut_off_is_refused_in_one_line(
    module: nn.Module, tmp_path: Path, suffix: str, kept: int
) -> None:
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(module.state_dict(), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadModel, match=r"weights\.\w+ cannot be read, it may be cut off") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.pth", None, "no weights at .*none.pth"),
        ("text.txt", b"hello", "is no file of weights; they end in .safetensors"),
        ("text.pth", b"hello, this is no pickle at all", "cannot be read"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadModel, match=message):
        read_weights(tmp_path / name)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(BadModel, match="holds no weights but list"):
        read_weights(tmp_path / "list.pth")


def test_weights_that_fit_are_put_in_and_counters_may_be_missing(module: nn.Module) -> None:
    weights = {key: torch.ones_like(value) for key, value in module.state_dict().items() if "num_batches" not in key}
    fit_weights(module, weights, "them")
    assert all(bool((parameter == 1).all()) for parameter in module.parameters())


def test_weights_that_do_not_fit_are_told_key_by_key_and_nothing_is_put_in(module: nn.Module) -> None:
    weights = {key: torch.full_like(value, 9) for key, value in module.state_dict().items()}
    del weights["0.bias"]
    weights["1.weight"] = torch.ones(5)
    weights |= {f"head.{index}": torch.ones(1) for index in range(5)}
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(BadModel) as caught:
        fit_weights(module, weights, "model.pth")
    assert str(caught.value) == (
        "model.pth does not fit the network: 1 missing (0.bias), "
        "5 not in the network (head.0, head.1, head.2, ...), 1 of another shape (1.weight [5] instead of [4])"
    )
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
