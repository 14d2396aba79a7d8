"""Which channels go together is found out by running the network: shuffles, groups, splits, gates, and what locks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import filterscope as fs
from filterscope.surgery.graph import Graph, Untraced
from filterscope.surgery.refused import Refused

SIZE = (8, 8)


def graph(module: nn.Module) -> Graph:
    torch.manual_seed(0)
    return Graph(module.double().eval(), torch.zeros(1, 3, *SIZE, dtype=torch.float64))


def held(module: nn.Module, found: Graph, layer: str, units: list[int]) -> float:
    """Cut units of a copy, and compare with the network in which whoever reads them is given zero."""
    image = torch.rand(2, 3, *SIZE, dtype=torch.float64)
    coupling = found.coupling(layer, units)
    cut = copy.deepcopy(module)
    found.on(cut).cut(coupling)
    zeroed = copy.deepcopy(module)
    for one in coupling.having("reads"):
        own = zeroed.get_submodule(one.name)
        size = own.weight.shape[1]
        per = own.out_channels // own.groups if isinstance(own, nn.Conv2d) else len(own.weight)
        for channel in one.channels:
            group = channel // size
            own.weight.data[group * per : (group + 1) * per, channel % size] = 0
    with torch.no_grad():
        return float((zeroed(image) - cut(image)).abs().max())


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 8, 3, padding=1, groups=4)
        self.c = nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.b(F.relu(self.a(x))))).mean((2, 3))


def test_of_groups_as_many_of_each_go_wherever_they_lie():
    module = Grouped()
    found = graph(module)
    assert held(module, found, "a", [0, 4, 8, 10]) < 1e-12
    assert held(module, found, "b", [1, 2, 5, 6]) < 1e-12
    with pytest.raises(Refused, match="4 groups") as no:
        found.coupling("a", [0, 1, 4])
    assert no.value.instead == ()
    with pytest.raises(Refused, match="4 groups") as no:
        found.coupling("a", [0, 1, 4, 6, 7, 9])
    assert len(no.value.instead) == 4


def test_a_whole_group_goes_if_it_goes_at_both_ends():
    module = Grouped()
    found = graph(module)
    parts = [found.coupled("a", [3, 4, 5]), found.coupled("b", [2, 3])]
    assert found.unbalanced(parts[0].roots)
    assert not found.unbalanced(parts[0].roots | parts[1].roots)
    cut = copy.deepcopy(module)
    found.on(cut).cut(*parts)
    assert (cut.b.groups, cut.b.in_channels, cut.b.out_channels, cut.c.in_channels) == (3, 9, 6, 6)
    image = torch.rand(2, 3, *SIZE, dtype=torch.float64)
    module.c.weight.data[:, [2, 3]] = 0
    with torch.no_grad():
        assert torch.allclose(module(image), cut(image), atol=1e-12)


class Shuffled(nn.Module):
    """Two halves, one of which is worked on, and their channels in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.in_, self.each = nn.Conv2d(3, 8, 1), nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.out, self.head = nn.Conv2d(6, 4, 1), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        one, other = F.relu(self.a(x)).chunk(2, 1)
        other = F.relu(self.out(self.each(F.relu(self.in_(other)))))
        x = torch.cat([one, other], 1)
        x = x.view(len(x), 2, x.shape[1] // 2, *x.shape[2:]).transpose(1, 2).reshape(x.shape)
        return self.head(x).mean((2, 3))


def test_through_a_shuffle_the_same_places_of_both_halves_go():
    module = Shuffled()
    found = graph(module)
    assert held(module, found, "in_", [1, 4]) < 1e-12
    parts = [found.coupled("a", [2, 5]), found.coupled("out", [2])]
    assert not found.unbalanced(parts[0].roots | parts[1].roots)
    assert found.unbalanced(found.coupled("a", [2]).roots)
    cut = copy.deepcopy(module)
    found.on(cut).cut(*parts)
    image = torch.rand(2, 3, *SIZE, dtype=torch.float64)
    module.in_.weight.data[:, 1] = 0
    module.head.weight.data[:, [4, 5]] = 0
    with torch.no_grad():
        assert torch.allclose(module(image), cut(image), atol=1e-12)


class Gated(nn.Module):
    """A gate from a mean, a norm of its own tensors, a factor outside of any layer, filters of several a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.gate, self.factor = nn.Conv2d(3, 6, 1), nn.Linear(6, 6), nn.Parameter(torch.rand(6, 1, 1))
        self.each, self.head = nn.Conv2d(6, 12, 3, groups=6), nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x)) * self.factor
        x = x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]
        return self.head(F.relu(self.each(x))).mean((2, 3))


def test_gates_factors_and_several_filters_a_channel_go_with_it():
    module = Gated()
    found = graph(module)
    coupling = found.coupling("a", [2, 3])
    channels = {(one.name, one.role): sorted(one.channels) for one in coupling.touched}
    assert channels["each", "carries"] == [4, 5, 6, 7]
    assert channels["head", "reads"] == [4, 5, 6, 7]
    assert channels["gate", "makes"] == channels["gate", "reads"] == channels["factor", "carries"] == [2, 3]
    assert held(module, found, "a", [2, 3]) < 1e-12


class Locked(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.a, self.norm, self.how = nn.Conv2d(3, 6, 1), nn.LayerNorm([6, *SIZE]), how
        self.side, self.head = nn.Conv1d(1, 1, 3, padding=1), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        if self.how == "LayerNorm":
            x = self.norm(x)
        if self.how == "side by side":
            x = x * self.side(x.mean((2, 3))[:, None]).transpose(1, 2)[..., None]
        if self.how == "mean":
            x = x - x.mean(1, keepdim=True)
        if self.how == "fixed places":
            first, second = torch.split(x, [2, 4], 1)
            x = torch.cat([second, first], 1)
        return self.head(x).mean((2, 3))


@pytest.mark.parametrize("how", ["LayerNorm", "side by side", "mean", "fixed places"])
def test_what_mixes_channels_locks_them_and_is_named(how):
    with pytest.raises(Refused, match=how):
        graph(Locked(how)).coupling("a", [1])
    assert graph(Locked("")).coupling("a", [1]).roots


class Outside(nn.Module):
    """Leaves PyTorch in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.from_numpy(F.relu(self.a(x)).detach().numpy().copy())
        return self.b(x).mean((2, 3))


def test_what_cannot_be_traced_is_only_masked_and_says_so():
    module = Outside().double().eval()
    module.a.bias.data[2] = -1e3
    module.a.weight.data[4], module.a.bias.data[4] = 0, 0.7
    with pytest.raises(Untraced, match="operations of PyTorch"):
        graph(copy.deepcopy(module))
    net = fs.Network(module, fs.Preprocessing(SIZE))
    small = fs.trim(net)
    assert small.removed == {}
    assert all("cannot be traced" in one.reason for one in small.outcomes)
    assert small.parameters[0] == small.parameters[1]
    for unit in small.masked.get("a", ()):
        assert not small.network.module.a.weight[unit].any()
    image = torch.rand(2, 3, *SIZE, dtype=torch.float64)
    assert torch.allclose(module(image), small.network.module(image), atol=1e-12)
    assert 4 in small.masked["a"]
