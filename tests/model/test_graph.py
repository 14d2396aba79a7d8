"""The graph of a network: what takes what, held against autograd and against architectures written down by hand."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hard_networks
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torchvision import models

import filterscope as fs
from filterscope.atlas.records import Node
from filterscope.errors import BadModel
from filterscope.model.graph import find_graph
from filterscope.model.layers import find_layers
from filterscope.model.running import tensors_in

IMAGE = torch.zeros(1, 3, 32, 32)
NODES = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def predecessors(module: nn.Module, example: Tensor) -> dict[str, set[str]]:
    """Layer -> layers that reach it through no other layer, by autograd.

    Every layer's output is replaced by noise that begins anew: gradients end there.
    """
    module = module.eval().double().requires_grad_(False)
    begun: list[tuple[str, Tensor]] = []
    ended: list[tuple[str, Tensor]] = []

    def begin(name: str, value: Tensor) -> Tensor:
        begun.append((name, torch.randn_like(value, dtype=torch.float64).requires_grad_()))
        return begun[-1][1].clone()

    handles = [
        child.register_forward_hook(
            lambda _module, _inputs, output, name=name: ended.append((name, output)) or begin(name, output)
        )
        for name, child in module.named_modules()
        if isinstance(child, NODES)
    ]
    answer = module(begin("input", example))
    for handle in handles:
        handle.remove()
    ended += [("output", tensor) for tensor in tensors_in(answer)]
    found: dict[str, set[str]] = {}
    for name, value in ended:
        before = found.setdefault(name, set())
        if value.requires_grad:
            weighted = (value * torch.randn_like(value)).sum()
            gradients = torch.autograd.grad(weighted, [leaf for _, leaf in begun], retain_graph=True, allow_unused=True)
            before |= {
                begin
                for (begin, _), gradient in zip(begun, gradients, strict=True)
                if gradient is not None and gradient.any()
            }
    return found


def contracted(nodes: list[Node]) -> dict[str, set[str]]:
    """The same of a graph: what meets in joining nodes belongs to whoever takes from them."""

    def behind(node: Node) -> Iterator[str]:
        for number in node.inputs:
            before = nodes[number]
            if before.name or before.kind == "input":
                yield before.name or before.kind
            else:
                yield from behind(before)

    return {node.name or node.kind: set(behind(node)) for node in nodes if node.name or node.kind == "output"}


def label(nodes: list[Node], number: int) -> str:
    """A node in words: its name, or its kind with what it takes."""
    node = nodes[number]
    if node.name or node.kind == "input":
        return node.name or node.kind
    return f"{node.kind}({', '.join(label(nodes, before) for before in node.inputs)})"


def joins(nodes: list[Node]) -> list[str]:
    """The joining nodes in words."""
    return [label(nodes, node.id) for node in nodes if node.name is None and node.kind not in ("input", "output")]


def real(name: str) -> nn.Module:
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, **options)


@pytest.mark.parametrize(
    ("name", "size", "kinds"),
    [
        ("resnet18", 64, {"layer": 20, "add": 8, "linear": 1}),
        ("squeezenet1_1", 64, {"layer": 26, "cat": 8}),
        ("googlenet", 64, {"layer": 57, "cat": 9, "linear": 1}),
        ("densenet121", 64, {"layer": 120, "cat": 6 + 12 + 24 + 16, "linear": 1}),
        ("mobilenet_v3_small", 64, {"layer": 52, "add": 6, "mul": 9, "linear": 2}),
        ("inception_v3", 96, {"layer": 94, "cat": 11 + 2 * 2, "linear": 1}),
        ("convnext_tiny", 64, {"layer": 22, "add": 18, "linear": 2 * 18 + 1}),
    ],
)
def test_real_networks_are_connected_as_gradients_flow(name: str, size: int, kinds: dict[str, int]) -> None:
    module, example = real(name), torch.zeros(1, 3, size, size)
    nodes = find_graph(module, example)
    assert Counter(node.kind for node in nodes) == {**kinds, "input": 1, "output": 1}
    assert [node.id for node in nodes] == list(range(len(nodes)))
    assert all(before < node.id for node in nodes for before in node.inputs)
    assert all(len(set(node.inputs)) == len(node.inputs) > 1 for node in nodes if node.kind in ("add", "cat", "mul"))
    assert contracted(nodes) == predecessors(module, example)


def test_every_block_of_a_resnet_adds_its_shortcut() -> None:
    nodes = find_graph(real("resnet18"), torch.zeros(1, 3, 64, 64))
    expected, before = [], "conv1"
    for block in (f"layer{stage}.{index}" for stage in (1, 2, 3, 4) for index in (0, 1)):
        shortcut = f"{block}.downsample.0" if block in ("layer2.0", "layer3.0", "layer4.0") else before
        before = f"add({block}.conv2, {shortcut})"
        expected.append(before)
    assert joins(nodes) == expected
    assert [(node.channels, node.size) for node in nodes if node.kind == "add"] == [
        (channels, (size, size)) for channels, size in ((64, 16), (128, 8), (256, 4), (512, 2)) for _ in range(2)
    ]
    assert label(nodes, len(nodes) - 1) == "output(fc)"
    assert (nodes[0].channels, nodes[0].size, nodes[-1].channels, nodes[-1].size) == (3, (64, 64), 1000, None)


def test_branches_of_a_fire_module_and_an_inception_block_are_concatenated() -> None:
    squeezenet = find_graph(real("squeezenet1_1"), torch.zeros(1, 3, 64, 64))
    fires = (3, 4, 6, 7, 9, 10, 11, 12)
    assert joins(squeezenet) == [f"cat(features.{at}.expand1x1, features.{at}.expand3x3)" for at in fires]
    googlenet = find_graph(real("googlenet"), torch.zeros(1, 3, 64, 64))
    blocks = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    ends = ("branch1", "branch2.1", "branch3.1", "branch4.1")
    assert joins(googlenet) == [f"cat({', '.join(f'inception{block}.{end}.conv' for end in ends)})" for block in blocks]


def test_a_dense_block_concatenates_all_that_came_before() -> None:
    nodes = find_graph(real("densenet121"), torch.zeros(1, 3, 64, 64))
    place = {node.name: node.id for node in nodes if node.name}
    # The first layer of a block has nothing to concatenate; after the last one, all of the block is.
    start = "conv0"
    for block, length in enumerate((6, 12, 24, 16), 1):
        grown = [place[f"features.{start}"]]
        for layer in range(1, length + 1):
            taken = nodes[nodes[place[f"features.denseblock{block}.denselayer{layer}.conv1"]].inputs[0]]
            assert (taken.kind, list(taken.inputs)) == ("cat", grown) if layer > 1 else taken.id == grown[0]
            grown.append(place[f"features.denseblock{block}.denselayer{layer}.conv2"])
        start = f"transition{block}.conv"
        after = place[f"features.{start}" if block < 4 else "classifier"]
        assert list(nodes[nodes[after].inputs[0]].inputs) == grown


def test_a_squeeze_and_excite_gate_multiplies_what_it_was_made_of() -> None:
    nodes = find_graph(real("mobilenet_v3_small"), torch.zeros(1, 3, 64, 64))
    gates = [node for node in nodes if node.kind == "mul"]
    names = [[nodes[number].name or "" for number in gate.inputs] for gate in gates]
    assert names[0] == ["features.1.block.1.fc2", "features.1.block.0.0"]
    assert all(gate.endswith("fc2") and gate[: -len("2.fc2")] == gated[: -len("1.0")] for gate, gated in names[1:])


BY_HAND = {
    "Residual": ["add(second, shortcut)"],
    "Inception": ["cat(one, five, dilated, pooled)"],
    "Gated": ["mul(first, excite)"],
    "CeilPooling": [],
    "Hourglass": ["cat(first, after)"],
    "Shared": [],
    "Shuffled": ["write(stem, depthwise)"],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_hard_networks_are_connected_as_gradients_flow(name: str) -> None:
    module = vars(hard_networks)[name]()
    nodes = find_graph(module, IMAGE)
    assert joins(nodes) == BY_HAND[name]
    assert contracted(nodes) == predecessors(module, IMAGE.repeat(8, 1, 1, 1))


@pytest.mark.parametrize("network", [*(vars(hard_networks)[name] for name in BY_HAND), models.mobilenet_v3_small])
def test_its_convolutions_are_the_layers_that_are_listed(network: Callable[[], nn.Module]) -> None:
    module = network()
    assert [(node.name, node.channels, node.size) for node in find_graph(module, IMAGE) if node.kind == "layer"] == [
        (layer.name, layer.channels, layer.output_size) for layer in find_layers(module, IMAGE)
    ]


def test_a_gate_without_a_gradient_is_a_gate() -> None:
    assert joins(find_graph(hard_networks.Gated(open_gate=True), IMAGE)) == ["mul(first, excite)"]


def test_a_shared_module_is_one_node_under_its_first_name_and_may_take_from_itself() -> None:
    nodes = find_graph(hard_networks.Shared(), IMAGE)
    assert [(node.kind, node.name, node.size, node.inputs) for node in nodes] == [
        ("input", None, (32, 32), ()),
        ("layer", "stem", (32, 32), (0,)),
        ("layer", "conv", (32, 32), (1, 2)),
        ("output", None, (16, 16), (2,)),
    ]


class Ways(nn.Module):
    """Three convolutions and a last one; ``way`` says what becomes of their outputs."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 4, 3, padding=1) for _ in range(3))
        self.way = way
        made = getattr(self, way)(*torch.zeros(3, 1, 4, 32, 32))
        first, second = (made, made) if isinstance(made, Tensor) else made
        self.last, self.other = nn.Conv2d(first.shape[1], 2, 1), nn.Conv2d(second.shape[1], 2, 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...] | dict[str, Tensor]:
        made = getattr(self, self.way)(self.a(x), self.b(x), self.c(x))
        return self.last(made) if isinstance(made, Tensor) else (self.last(made[0]), self.other(made[1]))

    def chained(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        a += b.relu_()
        return a.sub_(c).relu_()

    def half_changed(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        a[:, :2].add_(b[:, :2])
        return a[:, 2:] * 2, a.relu()

    def half_taken(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        a[:, :2] = b[:, :2]
        return a[:, :2] + c[:, :2], a[:, 2:]

    def filled(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        out = a.new_zeros(len(a), 12, *a.shape[2:])
        for number, part in enumerate((a, b, c)):
            out[:, number::3] = part
        return out.relu()

    def overwritten(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        a.copy_(b)
        return a

    def emptied(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return a.zero_() + b

    def shape_alone(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return torch.zeros_like(a) + b.reshape_as(c).type_as(c) + a.new_ones(1)

    def split(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        upper, lower = (a + b).chunk(2, 2)
        first, *_rest = torch.stack([upper, lower], 4).unbind(4)
        return first + c.split((16, 16), 2)[1], sum(c.split(2, 1), torch.zeros(()))

    def pooled_with_places(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        values, places = F.max_pool2d(a, 2, return_indices=True)
        return F.max_unpool2d(values, places, 2) - b

    def itself(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return torch.cat([a * a.sigmoid(), a.flip(2), a.mean((2, 3), keepdim=True).expand_as(a)], 1)

    def reals(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        pairs = torch.view_as_complex(a.unflatten(1, (2, 2)).movedim(2, -1).contiguous())
        torch.view_as_real(pairs)[..., 1] = b[:, :2]
        return pairs.real, pairs.imag

    def product(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return 1 - (a @ b).sub_(c)


WAYS = {
    "chained": ["add(a, b)", "sub(add(a, b), c)"],
    "half_changed": ["add(a, b)", "write(a, add(a, b))"],
    "half_taken": ["add(b, c)"],
    "filled": ["write(a, b, c)"],
    "overwritten": [],
    "emptied": [],
    "shape_alone": [],
    "split": ["add(a, b)", "add(add(a, b), c)"],
    "pooled_with_places": ["sub(a, b)"],
    "itself": [],
    "reals": [],
    "product": ["matmul(a, b)", "sub(matmul(a, b), c)"],
}


@pytest.mark.parametrize("way", WAYS)
def test_views_tuples_and_what_is_changed_in_place_are_followed_as_gradients_are(way: str) -> None:
    module = Ways(way)
    nodes = find_graph(module, IMAGE)
    assert joins(nodes) == WAYS[way]
    assert contracted(nodes) == predecessors(module, IMAGE.repeat(8, 1, 1, 1))


class Attending(nn.Module):
    """Queries from one convolution, keys and values from others; ``way`` says through which function."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(3, 8, 4, 4) for _ in range(3))
        self.module = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 5)
        self.way = way

    def forward(self, x: Tensor) -> dict[str, object]:
        query, key, value = (layer(x).flatten(2).mT for layer in (self.query, self.key, self.value))
        if self.way == "module":
            tokens, _weights = self.module(query, key, value)
        elif self.way == "heads":
            query, key, value = (part.unflatten(2, (2, 4)).transpose(1, 2) for part in (query, key, value))
            tokens = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        else:
            tokens = F.scaled_dot_product_attention(query, key, value, scale=0.5)
        return {"scores": self.head(tokens), "kept": [key, (tokens,)]}


@pytest.mark.parametrize("way", ["module", "heads", "function"])
def test_attention_takes_three_and_a_nested_answer_gives_all_its_tensors(way: str) -> None:
    nodes = find_graph(Attending(way), IMAGE)
    assert label(nodes, len(nodes) - 1) == "output(head, key, attention(query, key, value))"
    assert [(node.kind, node.channels, node.size) for node in nodes[4:]] == [
        ("attention", 8, None),
        ("linear", 5, None),
        ("output", 5, None),
    ]


class Wasteful(nn.Module):
    """Makes and forgets many tensors, so that memory and Python ids come again for something else."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.freed = False

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(20):
            made = self.a(x)
            memory = StorageWeakRef(made.untyped_storage())
            del made
            self.freed = memory.expired()
            constant = torch.ones(1, 3, 32, 32) + torch.ones(())
        return self.b(constant)


def test_memory_that_comes_again_is_not_taken_for_what_it_was() -> None:
    module = Wasteful()
    nodes = find_graph(module, IMAGE)
    assert {node.name or node.kind: node.inputs for node in nodes} == {"input": (), "a": (0,), "b": (), "output": (2,)}
    assert module.freed


class Doubtful(nn.Module):
    """Which layer runs depends on the image; a scripted function lies between."""

    def __init__(self) -> None:
        super().__init__()
        self.dark, self.bright, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.swish = torch.jit.script(swish)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bright(x) if x.mean() > 0.5 else self.dark(x)
        return self.last(self.swish(y)) * y


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize(("value", "layer"), [(0, "dark"), (1, "bright")])
def test_scripts_and_decisions_of_the_run_are_followed(value: int, layer: str) -> None:
    nodes = find_graph(Doubtful(), torch.full((1, 3, 8, 8), value, dtype=torch.float32))
    assert joins(nodes) == [f"mul(last, {layer})"]
    assert contracted(nodes) == {layer: {"input"}, "last": {layer}, "output": {"last", layer}}


def test_channels_that_come_last_are_told_from_rows() -> None:
    nodes = find_graph(real("swin_t"), torch.zeros(1, 3, 64, 64))
    assert [(node.kind, node.channels, node.size) for node in nodes[1:5]] == [
        ("layer", 96, (16, 16)),
        ("linear", 384, (16, 16)),
        ("linear", 96, (16, 16)),
        ("add", 96, (16, 16)),
    ]
    convnext = find_graph(real("convnext_tiny"), torch.zeros(1, 3, 64, 64))
    assert {(node.channels, node.size) for node in convnext if node.kind == "add"} == {
        (96, (16, 16)),
        (192, (8, 8)),
        (384, (4, 4)),
        (768, (2, 2)),
    }


class Counting(nn.Module):
    """Keeps something of what it sees in a buffer, and refuses small images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.register_buffer("seen", torch.zeros(4))
        self.seen: Tensor

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        self.seen += 1 + y.mean((0, 2, 3))
        if y.shape[-1] < 8:
            raise ValueError("too small\nfor me")
        return y


def test_looking_leaves_no_trace_also_after_a_refusal() -> None:
    module = Counting().train().requires_grad_(False)
    module.norm.eval()
    module.conv.weight.requires_grad_(True)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    find_graph(module, IMAGE)
    with pytest.raises(BadModel, match=r"^the network refuses an input of 1 x 3 x 8 x 8: too small for me$"):
        find_graph(module, torch.zeros(1, 3, 8, 8))
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert [child.training for child in (module, module.conv, module.norm)] == [True, True, False]
    assert [parameter.requires_grad for parameter in module.parameters()] == [True, False, False, False]
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.is_grad_enabled()
    for child in module.modules():
        assert not child._forward_hooks
        assert not child._forward_pre_hooks


def test_an_atlas_holds_the_graph(tmp_path: Path) -> None:
    network = fs.Network(hard_networks.Residual(), fs.Preprocessing((16, 16)), name="residual")
    atlas = fs.inspect(network, out=tmp_path / "residual.atlas", lenses=["kernels"], layers=["stem"])
    assert atlas.records(Node) == network.graph() == find_graph(network.module, network.example())
    frame = atlas.nodes()
    assert frame.kind.tolist() == ["input", *["layer"] * 4, "add", "layer", "output"]
    assert frame.set_index("id").inputs[5] == (3, 4)
    assert frame["size"].tolist()[:3] == [(16, 16), (16, 16), (8, 8)]
