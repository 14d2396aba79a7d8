"""The bundled network: its shape, its size on disk, what it learned, and the states on its way there."""

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from filterscope.demo import network as demo
from filterscope.demo.creatures import CLASSES
from filterscope.demo.train import accuracy, creatures, initialise, normalised
from filterscope.errors import BadModel

FRESH = 600
UNSEEN = 77
"""A series that is neither trained nor tested on by the training command."""


@pytest.fixture(scope="module")
def fresh() -> tuple[Tensor, Tensor]:
    return creatures(FRESH, seed=UNSEEN, workers=1)


def of_checkpoint(number: int) -> nn.Module:
    network = demo.build()
    network.load_state_dict({name: value.float() for name, value in load_file(demo.checkpoints()[number][1]).items()})
    return network.eval()


def test_it_is_a_plain_stack_of_convolutions_within_its_budget() -> None:
    network = demo.build()
    kinds = {type(module) for module in network.modules()}
    assert kinds == {nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear}
    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    assert 10 <= len(convolutions) <= 13
    assert convolutions[0] == "block1.conv1"
    assert sum(parameter.numel() for parameter in network.parameters()) <= 600_000
    assert network(torch.zeros(2, 3, *demo.INPUT_SIZE)).shape == (2, len(CLASSES))


def test_it_names_at_least_95_percent_of_fresh_creatures(fresh: tuple[Tensor, Tensor]) -> None:
    network = demo.trained()
    assert not network.training
    assert accuracy(network, *fresh) >= 0.95


def test_it_confuses_no_class_with_another_as_a_rule(fresh: tuple[Tensor, Tensor]) -> None:
    images, labels = fresh
    with torch.no_grad():
        named = demo.trained()(normalised(images)).argmax(dim=1)
    for label, name in enumerate(CLASSES):
        assert (named[labels == label] == label).float().mean() >= 0.8, name


def test_nearly_every_filter_fires_on_some_creature(fresh: tuple[Tensor, Tensor]) -> None:
    maps = normalised(fresh[0][:200])
    dead = units = 0
    with torch.no_grad():
        for module in (
            each for block in demo.trained() for each in block.modules() if not isinstance(each, nn.Sequential)
        ):
            maps = module(maps)
            if isinstance(module, nn.Conv2d):
                units += module.out_channels
                dead += int((maps.amax(dim=(0, 2, 3)) <= 0).sum())
    assert units == sum(map(sum, demo.WIDTHS))
    assert dead <= 0.05 * units


def test_the_files_are_small_and_the_checkpoints_half_precision() -> None:
    steps = [step for step, _ in demo.checkpoints()]
    assert len(steps) == 12
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert (demo.FOLDER / demo.WEIGHTS).stat().st_size <= 2_000_000
    assert sum(path.stat().st_size for _, path in demo.checkpoints()) <= 4_000_000
    assert {value.dtype for _, path in demo.checkpoints() for value in load_file(path).values()} == {torch.float16}


def test_the_checkpoints_lead_from_the_seed_to_the_weights(fresh: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    untrained = demo.build()
    initialise(untrained)
    first, last, final = of_checkpoint(0), of_checkpoint(-1), demo.trained()
    for begun, before, after, ended in zip(*(net.parameters() for net in (untrained, first, last, final)), strict=True):
        assert torch.equal(begun.half().float(), before)
        assert torch.equal(ended.half().float(), after)
    assert accuracy(first, *fresh) < 0.2
    assert accuracy(last, *fresh) >= 0.95


def test_missing_weights_say_how_to_make_them(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    with pytest.raises(BadModel, match=r"python -m filterscope\.demo\.train"):
        demo.trained()
    assert demo.checkpoints() == []
