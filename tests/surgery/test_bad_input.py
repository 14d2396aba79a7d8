"""What surgery is given wrongly, or cannot do, is told in one line; the network stays what it was."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import filterscope as fs
from filterscope.errors import BadModel, BadPlan
from filterscope.surgery.plan import REMOVE_DEAD, Plan, Step

SIZE = (8, 8)


class Small(nn.Module):
    """Two convolutions, the second read by a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 1)

    def forward(self, x: Tensor):
        return self.b(F.relu(self.a(x))).mean((2, 3))


class AsDict(Small):
    def forward(self, x: Tensor):
        found = super().forward(x)
        return {"scores": found, "more": [found * 2, "text"]}


class AsText(Small):
    def forward(self, x: Tensor):
        return str(super().forward(x))


class FixedView(Small):
    def forward(self, x: Tensor):
        return self.b(F.relu(self.a(x)).view(-1, 6, 64).view(-1, 6, 8, 8)).mean((2, 3))


class Tied(Small):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 6, 3, padding=1)
        self.c.weight = self.a.weight

    def forward(self, x: Tensor):
        return self.b(F.relu(self.a(x)) * torch.sigmoid(self.c(x))).mean((2, 3))


def network(kind: type[nn.Module] = Small, dead: int = 2) -> fs.Network:
    torch.manual_seed(0)
    module = kind().double().eval()
    module.a.bias.data[dead] = -1e3
    return fs.Network(module, fs.Preprocessing(SIZE), name=kind.__name__)


def step(units: tuple[int, ...]) -> Step:
    return Step(REMOVE_DEAD, "a", units, ("said",) * len(units), "nothing")


def test_a_plan_for_another_network():
    with pytest.raises(BadPlan, match=r"for another network \(\w{12}, not \w{12}\); make one"):
        fs.apply(network(), Plan("", network(dead=1).digest, (step((2,)),)))


def test_a_plan_that_would_empty_a_layer():
    net = network()
    net.module.a.bias.data[:] = -1e3
    net = fs.Network(net.module, net.preprocessing)
    small = fs.apply(net, Plan("", net.digest, (step(tuple(range(6))),)))
    assert [(one.status, one.reason) for one in small.outcomes] == [("refused", "nothing would be left of a")]


def test_an_answer_that_is_no_plain_tensor_is_compared_tensor_by_tensor():
    net = network(AsDict)
    small = fs.trim(net)
    assert small.removed == {"a": (2,)}
    image = torch.rand(1, 3, *SIZE, dtype=torch.float64)
    assert torch.allclose(small.network.module(image)["more"][0], net.module(image)["more"][0])


def test_an_answer_that_holds_no_tensor():
    with pytest.raises(BadModel, match="holds no tensor"):
        fs.trim(network(AsText))


def test_frozen_parameters_stay_frozen():
    net = network()
    net.module.requires_grad_(False)
    small = fs.trim(net)
    assert small.removed == {"a": (2,)}
    assert not any(one.requires_grad for one in small.network.module.parameters())


def test_a_view_with_numbers_of_its_own():
    small = fs.trim(network(FixedView))
    assert [one.status for one in small.outcomes] == ["undone"]
    assert "does not run" in small.outcomes[0].reason
    assert small.parameters[0] == small.parameters[1]


def test_weights_shared_between_layers():
    small = fs.trim(network(Tied))
    assert not small.removed
    assert any("shares its weights" in one.reason for one in small.outcomes)
    assert all("\n" not in one.reason for one in small.outcomes)
