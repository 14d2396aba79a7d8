"""Two layers with nothing between them become one where that is exact and smaller; else it is said why not."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import filterscope as fs
from filterscope.surgery.composing import adjacent
from filterscope.surgery.plan import COMPOSE, Plan

SIZE = (13, 11)


def network(module: nn.Module) -> fs.Network:
    torch.manual_seed(0)
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.running_mean, part.running_var, part.weight, part.bias):
                tensor.data.uniform_(0.5, 1.5)
    return fs.Network(module.double().eval(), fs.Preprocessing(SIZE))


def same(one: nn.Module, other: nn.Module, size: tuple[int, int] = SIZE) -> bool:
    images = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        before, after = one(images), other(images)
    return float((before - after).abs().max()) <= 1e-9 * float(before.abs().max())


def tail() -> list[nn.Module]:
    return [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]


EXACT = {
    "1x1 behind": [nn.Conv2d(3, 20, 3, padding=1, bias=False), nn.BatchNorm2d(20), nn.Conv2d(20, 4, 1)],
    "strides and kernels": [nn.Conv2d(3, 40, 2, stride=2, padding=1), nn.Conv2d(40, 4, 2, stride=2)],
    "reflected": [nn.Conv2d(3, 20, 3, padding=1, padding_mode="reflect"), nn.Conv2d(20, 4, 1, bias=False)],
    "dilated": [nn.Conv2d(3, 20, 3, padding=2, dilation=2), nn.Conv2d(20, 4, 1)],
    "1x1 in front": [nn.Conv2d(3, 20, 1, bias=False), nn.Conv2d(20, 4, 3, padding=1)],
}


@pytest.mark.parametrize("name", EXACT)
def test_what_one_convolution_can_do_is_done_by_one(name):
    net = network(nn.Sequential(*EXACT[name], *tail()))
    small = fs.trim(net)
    assert [one.step.kind for one in small.having("done")] == [COMPOSE]
    assert sum(isinstance(one, nn.Conv2d) for one in small.network.module.modules()) == 1
    assert small.parameters[1] < small.parameters[0]
    assert same(net.module, small.network.module)
    assert same(net.module, small.network.module, (16, 18))
    again = fs.apply(net, Plan.of_json(small.plan.to_json()))
    assert again.network.digest == small.network.digest


@pytest.mark.parametrize("name", EXACT)
def test_a_plan_has_the_layers_that_one_can_do(name):
    net = network(nn.Sequential(*EXACT[name], *tail()))
    plan = fs.plan([], net)
    assert [(step.kind, step.layer, step.other) for step in plan.steps] == [(COMPOSE, "0", str(len(EXACT[name]) - 1))]
    small = fs.apply(net, Plan.of_json(plan.to_json()))
    assert [one.status for one in small.outcomes] == ["done"]
    assert same(net.module, small.network.module)


def test_a_plan_has_a_chain_of_layers_link_by_link():
    net = network(nn.Sequential(nn.Conv2d(3, 30, 3), nn.Conv2d(30, 20, 1), nn.Conv2d(20, 4, 1), *tail()))
    plan = fs.plan([], net)
    assert [(step.layer, step.other) for step in plan.steps] == [("0", "1"), ("1", "2")]
    small = fs.apply(net, plan)
    assert small.parameters == fs.trim(net).parameters
    assert same(net.module, small.network.module)


REFUSED = {
    "puts zeros around": [nn.Conv2d(3, 20, 3), nn.Conv2d(20, 4, 3, padding=1)],
    "would be larger": [nn.Conv2d(3, 2, 3), nn.Conv2d(2, 4, 3)],
    "has groups": [nn.Conv2d(3, 20, 3), nn.Conv2d(20, 4, 1, groups=2)],
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_would_not_be_exact_or_not_smaller_is_refused_by_name(reason):
    net = network(nn.Sequential(*REFUSED[reason], *tail()))
    assert not fs.plan([], net).steps
    small = fs.trim(net)
    assert [(one.status, reason in one.reason) for one in small.outcomes] == [("refused", True)]
    assert small.network.module[0].out_channels == net.module[0].out_channels


def test_linear_layers_with_nothing_but_a_dropout_between():
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 30), nn.Dropout(), nn.Linear(30, 5)]
    net = network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *head))
    small = fs.trim(net)
    assert [type(one) for one in small.network.module][4:] == [nn.Identity, nn.Dropout, nn.Linear]
    assert same(net.module, small.network.module)


class Twice(nn.Module):
    """Somebody else takes what the first convolution makes; or it is written over in between."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.a, self.b, self.how = nn.Conv2d(3, 20, 3), nn.Conv2d(20, 4, 1), how

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        if self.how == "written":
            x.clamp_(min=0)
        y = self.b(x)
        return y.mean((2, 3)) + (F.relu(x).mean() if self.how == "taken" else 0)


@pytest.mark.parametrize(("how", "found"), [("alone", 1), ("taken", 0), ("written", 0)])
def test_only_what_is_given_on_as_it_is_to_one_alone_counts_as_adjacent(how, found):
    assert len(adjacent(network(Twice(how)))) == found
