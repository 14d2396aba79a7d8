"""What a network costs, counted another way."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from filterscope.images.preprocessing import Preprocessing
from filterscope.model import Network
from filterscope.surgery.cost import costs, flops, parameters


class _Twice(nn.Module):
    """Runs a layer twice, has one that never runs, and reads tokens with a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.twice = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.never = nn.Conv2d(8, 80, 3)
        self.tokens = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.twice(self.twice(self.first(images)))
        tokens: Tensor = self.tokens(self.up(maps).flatten(2).transpose(1, 2))
        return tokens.mean(1)


def test_flops_are_what_the_operators_compute() -> None:
    network = Network(_Twice(), Preprocessing(input_size=(16, 12)))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.module(network.example())
    assert flops(network) == counter.get_total_flops()


def test_what_never_runs_costs_no_arithmetic_but_is_stored() -> None:
    network = Network(_Twice(), Preprocessing(input_size=(16, 12)))
    found = costs(network)
    assert [one.layer for one in found] == ["first", "twice", "up", "tokens"]
    assert [(one.units, one.reads) for one in found] == [(8, 3), (8, 8), (6, 8), (5, 6)]
    assert sum(one.parameters for one in found) + 80 * 8 * 9 + 80 == parameters(network.module)


def test_the_layer_table_counts_alike() -> None:
    network = Network(_Twice(), Preprocessing(input_size=(16, 12)))
    table = {one.name: one.flops for one in network.layers()}
    assert {one.layer: one.flops for one in costs(network) if one.layer in table} == table
