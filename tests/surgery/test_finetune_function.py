"""Fine-tuning by a function of the user's own."""

import pytest
import torch
from torch import nn

import filterscope as fs
from filterscope.errors import BadModel


def network() -> fs.Network:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    with torch.no_grad():
        module[0].weight[2] = 0
        module[1].bias[2] = -1
    return fs.Network(module.eval(), fs.Preprocessing((9, 9)))


def in_place(small: fs.Network) -> None:
    assert len(small.module[0].weight) == 7
    small.module.train()
    with torch.no_grad():
        small.module[5].bias += 1


def given_back(small: fs.Network) -> nn.Module:
    in_place(small)
    return small.module


def as_network(small: fs.Network) -> fs.Network:
    in_place(small)
    return fs.Network(small.module, small.preprocessing)


@pytest.mark.parametrize("train", [in_place, given_back, as_network])
def test_what_a_function_trains_is_what_comes_out_and_no_longer_proven(train) -> None:
    original = network()
    state = {name: one.clone() for name, one in original.module.state_dict().items()}
    small = fs.trim(original, finetune=train)
    images = torch.randn(3, 3, 9, 9)
    torch.testing.assert_close(small.network.module(images), original.module(images) + 1)
    assert small.finetuned
    assert not small.is_proven
    assert "fine-tuned" in str(small)
    assert not small.network.module.training
    assert all(torch.equal(one, state[name]) for name, one in original.module.state_dict().items())


def test_without_a_function_nothing_is_trained() -> None:
    small = fs.trim(network())
    assert not small.finetuned
    assert small.is_proven


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(BadModel, match="it gave int"):
        fs.trim(network(), finetune=lambda _small: 3)
