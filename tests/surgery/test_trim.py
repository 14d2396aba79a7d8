"""Lossless surgery: what was planted goes, the answers stay, and what cannot be proven is refused by name."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import filterscope as fs
from filterscope.errors import BadPlan
from filterscope.surgery import edits
from filterscope.surgery.evidence import look
from filterscope.surgery.oracle import Oracle, apart
from filterscope.surgery.plan import FOLD_CONSTANTS, MERGE, REMOVE_DEAD, REMOVE_UNREAD, Plan, Step

SIZE = (12, 12)


class Plain(nn.Module):
    """Two padded convolutions, one without padding, a mean and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.c, self.head = nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.c(F.relu(self.b(F.relu(self.a(x))))))
        return self.head(x.mean((2, 3)))


class Residual(nn.Module):
    """Batch norm everywhere, and a stream to which a block adds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm0 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.in_, self.norm1 = nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.out, self.norm2 = nn.Conv2d(6, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm0(self.stem(x)))
        x = F.relu(x + self.norm2(self.out(F.relu(self.norm1(self.in_(x))))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Concat(nn.Module):
    """Two branches side by side, pooled, read by one."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.left = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 1)
        self.right, self.c = nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(12, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        x = torch.cat([F.relu(self.left(x)), F.relu(self.right(x))], 1)
        return self.c(F.max_pool2d(x, 2)).mean((2, 3))


class Flat(nn.Sequential):
    """Sixteen columns of the linear layer a channel."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(128, 5), nn.ReLU(),
            nn.Linear(5, 4),
        )  # fmt: skip


class Depthwise(nn.Module):
    """Expand, filter every channel for itself, project."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.norm = nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.each, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8)
        self.project, self.head = nn.Conv2d(8, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm2(self.each(F.relu(self.norm(self.expand(x))))))
        return self.head(self.project(x).mean((2, 3)))


class Grouped(nn.Module):
    """A convolution in two groups between two others."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.b(F.relu(self.a(x))))).mean((2, 3))


def network(kind: type[nn.Module], seed: int = 0) -> fs.Network:
    torch.manual_seed(seed)
    module = kind().eval().double()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            ranges = ((part.running_mean, -0.1, 0.1), (part.running_var, 0.5, 2), (part.weight, 0.5, 2))
            for tensor, low, high in (*ranges, (part.bias, 0.1, 0.5)):
                tensor.data.uniform_(low, high)
    return fs.Network(module, fs.Preprocessing(SIZE), name=kind.__name__)


def kill(conv: nn.Module, unit: int, norm: nn.Module | None = None) -> None:
    (norm or conv).bias.data[unit] = -1e3


def fix(conv: nn.Module, unit: int, value: float, norm: nn.Module | None = None) -> None:
    (norm or conv).weight.data[unit], (norm or conv).bias.data[unit] = 0, value


def repeat(conv: nn.Module, unit: int, other: int, scale: float = 1.0, norm: nn.Module | None = None) -> None:
    if norm is None:
        conv.weight.data[unit], conv.bias.data[unit] = scale * conv.weight[other], scale * conv.bias[other]
        return
    conv.weight.data[unit] = conv.weight[other]
    for tensor, factor in ((norm.weight, scale), (norm.bias, scale), (norm.running_mean, 1), (norm.running_var, 1)):
        tensor.data[unit] = factor * tensor[other]


def same(one: nn.Module, other: nn.Module, size: tuple[int, int] = SIZE) -> bool:
    """The answers to images between black and white that surgery has not seen; pixels are taken as they are here."""
    images = torch.rand(3, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    images[2] = images[2].round()
    with torch.no_grad():
        before, after = one(images), other(images)
    return float((before - after).abs().max()) <= 1e-9 * float(before.abs().max())


def widths(module: nn.Module) -> list[int]:
    return [len(one.weight) for one in module.modules() if isinstance(one, (nn.Conv2d, nn.Linear))]


def test_of_random_weights_nothing_is_cut():
    found = fs.trim(network(Plain))
    assert found.plan.steps == () == found.outcomes
    assert found.parameters[0] == found.parameters[1]


def test_dead_constant_equal_scaled_and_unread_units_go_and_the_answers_stay():
    net = network(Plain)
    part = net.module
    kill(part.a, 1)
    for unit, value in ((2, 0.7), (4, 1.3), (6, 0.2)):
        fix(part.a, unit, value)
    repeat(part.b, 3, 0)
    repeat(part.b, 7, 5, 2.5)
    part.c.weight.data[:, 2] = 0
    fix(part.c, 1, 0.4)
    before = copy.deepcopy(part.state_dict())
    small = fs.trim(net)
    # Of the three constants before zeros at the border one stays; the one before the mean goes into the bias.
    assert widths(small.network.module) == [5, 5, 5, 4]
    assert small.difference <= 1e-9
    assert same(part, small.network.module)
    assert same(part, small.network.module, (15, 10))
    assert all(torch.equal(one, part.state_dict()[name]) for name, one in before.items()), "the original is untouched"
    assert {one.step.kind for one in small.having("done")} == {REMOVE_DEAD, REMOVE_UNREAD, FOLD_CONSTANTS, MERGE}


def test_in_a_residual_stream_a_channel_goes_only_if_all_that_is_added_there_goes():
    net = network(Residual)
    part = net.module
    kill(part.in_, 2, part.norm1)
    repeat(part.in_, 5, 1, 3.0, part.norm1)
    for unit in (1, 4):
        kill(part.stem, unit, part.norm0)
    fix(part.out, 4, -0.5, part.norm2)
    for conv, norm in ((part.stem, part.norm0), (part.out, part.norm2)):
        repeat(conv, 7, 3, 1.0, norm)
    repeat(part.stem, 6, 5, 1.0, part.norm0)
    small = fs.trim(net)
    assert widths(small.network.module) == [6, 4, 6, 4]
    assert same(part, small.network.module)
    refused = {(one.step.layer, unit): one.reason for one in small.having("refused") for unit in one.step.units}
    assert "out goes into the same channel" in refused["stem", 1]
    assert "treats the two differently" in refused["stem", 6]


def test_through_a_concatenation():
    net = network(Concat)
    part = net.module
    repeat(part.right, 2, 1, 0.5)
    kill(part.left, 3)
    kill(part.right, 0)
    for unit in (1, 5):
        fix(part.left, unit, 0.3 * unit)
    small = fs.trim(net)
    assert widths(small.network.module) == [8, 4, 4, 4]
    assert same(part, small.network.module)


def test_through_a_flattening_every_column_of_a_channel_follows():
    net = network(Flat)
    part = net.module
    repeat(part[0], 2, 1, 4.0)
    fix(part[0], 5, 0.9)
    kill(part[0], 6)
    small = fs.trim(net)
    assert widths(small.network.module) == [5, 5, 4]
    assert small.sizes == (SIZE,)
    assert same(part, small.network.module)


def test_through_a_depthwise_convolution():
    net = network(Depthwise)
    part = net.module
    kill(part.each, 1, part.norm2)
    for conv, norm in ((part.expand, part.norm), (part.each, part.norm2)):
        repeat(conv, 4, 3, 1.0, norm)
    repeat(part.expand, 6, 5, 1.0, part.norm)
    small = fs.trim(net)
    # The pair 5, 6 is filtered differently: it is one no more.
    assert widths(small.network.module) == [6, 6, 6, 4]
    assert same(part, small.network.module)
    assert any("each treats the two differently" in one.reason for one in small.having("refused"))


def test_of_groups_only_the_same_places_go():
    net = network(Grouped)
    part = net.module
    for unit in (1, 5, 2):
        kill(part.a, unit)
    small = fs.trim(net)
    assert widths(small.network.module) == [6, 8, 4]
    assert same(part, small.network.module)
    assert [(one.step.units, "2 groups" in one.reason) for one in small.having("refused")] == [((2,), True)]


def test_what_becomes_useless_by_a_cut_goes_in_the_next_round():
    net = network(Plain)
    part = net.module
    part.c.weight.data[:, 2] = 0
    # Only the unit that nobody reads reads this one.
    part.b.weight.data[[unit for unit in range(8) if unit != 2], 4] = 0
    # Equal once the two that they read are one.
    repeat(part.a, 1, 0)
    part.b.weight.data[6], part.b.bias.data[6] = part.b.weight[5], part.b.bias[5]
    part.b.weight.data[6, 0], part.b.weight.data[6, 1] = part.b.weight[5, 1], part.b.weight[5, 0]
    small = fs.trim(net)
    assert widths(small.network.module) == [6, 6, 6, 4]
    assert same(part, small.network.module)
    again = fs.apply(net, Plan.of_json(small.plan.to_json()))
    assert again.network.digest == small.network.digest


def test_a_plan_survives_json_and_is_refused_for_another_network(tmp_path):
    net = network(Plain)
    kill(net.module.a, 1)
    repeat(net.module.b, 3, 0, 2.0)
    plan = fs.plan(look(net), net)
    plan.save(tmp_path / "plan.json")
    assert Plan.open(tmp_path / "plan.json") == plan
    assert len(plan.steps) == 2
    with pytest.raises(BadPlan, match="for another network"):
        fs.apply(network(Plain, 1), plan)
    for text in (
        "",
        "[]",
        '{"network": "", "digest": "", "steps": [{"kind": "burn"}]}',
        plan.to_json().replace("why", "y"),
    ):
        with pytest.raises(BadPlan):
            Plan.of_json(text)


def test_an_atlas_gives_the_same_plan_as_the_findings(tmp_path):
    net = network(Plain)
    kill(net.module.a, 1)
    repeat(net.module.b, 3, 0, 2.0)
    atlas = fs.inspect(net, None, tmp_path / "x.atlas", lenses=["redundancy"])
    assert fs.plan(atlas, net) == fs.plan(look(net), net)
    with pytest.raises(BadPlan, match="of another network"):
        fs.plan(atlas, network(Plain, 1))


def test_a_step_that_would_empty_a_layer_is_refused_and_the_rest_goes_on():
    net = network(Plain)
    for unit in range(8):
        kill(net.module.b, unit)
    kill(net.module.a, 3)
    plan = Plan("", net.digest, tuple(dead(layer, range(8) if layer == "b" else [3]) for layer in ("b", "a")))
    found = fs.apply(net, plan)
    assert [(one.status, one.step.layer) for one in found.outcomes] == [("refused", "b"), ("done", "a")]
    assert "nothing would be left of" in found.outcomes[0].reason


def dead(layer: str, units) -> Step:
    return Step(REMOVE_DEAD, layer, tuple(units), ("it is said",) * len(units), "nothing")


def test_what_a_plan_says_falsely_is_refused():
    net = network(Plain)
    kill(net.module.a, 1)
    lies = (
        dead("a", [1, 2]),
        replace(dead("b", [3]), kind=REMOVE_UNREAD),
        Step(MERGE, "b", (4,), ("",), "", (5,), (2.0,)),
        dead("nowhere", [0]),
        dead("a", [99]),
        dead("head", [0]),
    )
    found = fs.apply(net, Plan("", net.digest, lies))
    done = [(one.step.layer, one.step.units) for one in found.having("done")]
    assert done == [("a", (1,))]
    assert len(found.having("refused")) == 6
    assert same(net.module, found.network.module)


def test_the_oracle_catches_a_planted_fault_and_the_edit_is_undone(monkeypatch):
    net = network(Plain)
    kill(net.module.a, 1)
    fix(net.module.c, 1, 0.4)
    kill(net.module.b, 0)
    honest = edits.into_bias
    monkeypatch.setattr(edits, "into_bias", lambda own, one, values: honest(own, one, [1.001 * v for v in values]))
    found = fs.trim(net)
    assert {one.step.layer: one.status for one in found.outcomes} == {"a": "done", "b": "done", "c": "undone"}
    assert widths(found.network.module) == [7, 7, 6, 4]
    assert same(net.module, found.network.module)


def test_a_cut_at_the_wrong_place_is_seen_even_where_the_answer_does_not_tell():
    net = network(Plain)
    net.module.c.weight.data[:, [2, 4]] = 0
    oracle, cut = Oracle(net), copy.deepcopy(net.module)
    cut.c.weight.data[:, 2] = 1e-3
    text, _ = oracle.complaint(net.module, cut, ())
    assert "differs" in text
    assert apart([torch.zeros(2)], [torch.tensor([0.0, torch.nan])]) == float("inf")


def test_types_flags_and_modes_are_those_of_the_original():
    net = network(Plain)
    net.module.float().train()
    net.module.b.weight.requires_grad_(False)
    kill(net.module.a, 1)
    small = fs.trim(net)
    assert widths(small.network.module)[0] == 7
    assert net.module.training
    assert small.network.module.training
    assert {one.dtype for one in small.network.module.parameters()} == {torch.float32}
    assert [one.requires_grad for one in small.network.module.parameters()] == [
        one.requires_grad for one in net.module.parameters()
    ]


def test_units_equal_but_for_the_rounding_of_float32_need_a_wider_tolerance():
    net = network(Plain)
    net.module.float()
    repeat(net.module.b, 3, 0)
    net.module.b.weight.data[3] *= 1 + 4e-7 * torch.randn(8, 3, 3)
    assert [one.status for one in fs.trim(net).outcomes] == ["undone"]
    assert [one.status for one in fs.trim(net, tolerance=1e-5).outcomes] == ["done"]


class Shared(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.c(F.relu(self.b(F.relu(self.b(F.relu(self.a(x)))))))).mean((2, 3)))


class Fixed(Plain):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x)).view(-1, 8, x.shape[2] * x.shape[3]).view(-1, 8, *x.shape[2:])
        return self.head(F.relu(self.c(F.relu(self.b(x)))).mean((2, 3)))


@pytest.mark.parametrize("kind", [Shared, Fixed])
def test_what_runs_twice_or_names_its_shape_is_left_as_it_is(kind):
    net = network(kind)
    kill(net.module.a, 1)
    found = fs.trim(net)
    assert not found.having("done")
    assert found.outcomes
    assert all(one.reason for one in found.outcomes)
    assert same(net.module, found.network.module)
