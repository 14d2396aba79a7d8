"""Who reads a layer, held against networks whose readers are known, and against what a changed value changes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import filterscope as fs
from filterscope.model.readers import find_readers

SIZE = (32, 32)


class Block(nn.Module):
    """A residual stream: two convolutions are added up before anybody rectifies them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = (nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
        self.clipped, self.smooth, self.free = (nn.Conv2d(4, 4, 1) for _ in range(3))
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.stem(x))
        x = F.relu(x + self.second(F.relu(F.max_pool2d(self.first(x), 3, 1, 1))))
        left = F.relu6(self.clipped(x))
        right = self.free(F.silu(self.smooth(x)))
        return self.last(torch.cat([left, right], 1))


def reads() -> dict[str, object]:
    network = fs.Network(Block(), fs.Preprocessing(SIZE))
    return dict(find_readers(network, network.layers()))


def test_readers_are_named_through_poolings_concatenations_and_in_place():
    found = reads()
    assert {name: one.readers for name, one in found.items()} == {
        "stem": ("relu",),
        "first": ("relu",),
        "second": ("sum",),
        "clipped": ("hardtanh",),
        "smooth": ("silu",),
        "free": ("convolution",),
        "last": ("output",),
    }
    assert [name for name, one in found.items() if one.rectified] == ["stem", "first", "second", "clipped"]
    assert [name for name, one in found.items() if one.homogeneous] == ["stem", "first", "second", "free", "last"]


@pytest.mark.parametrize(("name", "function"), [("clipped", F.relu6), ("smooth", F.silu), ("stem", F.relu)])
def test_the_response_is_what_the_non_linearity_makes_of_it(name, function):
    values = torch.linspace(-9, 9, 99)
    assert torch.equal(reads()[name].respond(values), function(values))


def test_in_a_sum_a_unit_is_silent_only_if_every_addend_is():
    second = reads()["second"]
    low = {"stem": np.array([True, True, False, False]), "second": np.array([True, False, True, False])}
    assert second.silent(lambda name, value: low[name]).tolist() == [True, False, False, False]


def test_below_its_floor_a_unit_changes_nothing():
    torch.manual_seed(0)
    network = fs.Network(Block().eval(), fs.Preprocessing(SIZE))
    image = torch.randn(1, 3, *SIZE)
    told = find_readers(network, network.layers())
    alone = [name for name, read in told.items() if read.rectified and "sum" not in read.readers]
    assert alone == ["stem", "first", "clipped"]
    for name in alone:

        def lower(_module, _given, output, below=told[name].floor):
            return torch.where(output <= below, torch.full_like(output, below - 2.0), output)

        before = network.module(image)
        handle = network.module.get_submodule(name).register_forward_hook(lower)
        after = network.module(image)
        handle.remove()
        assert torch.equal(before, after), name
