"""Reading layers: right whatever happens next, stopped where it may be, and without a trace."""

from collections.abc import Callable

import hard_networks
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from filterscope.errors import BadModel, UnknownName
from filterscope.model import Network, tap
from filterscope.model.tap import Reader


class Tricky(nn.Module):
    """In-place activations and additions, a tuple out, a functional ReLU, dropout, and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.pair = Pair()
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.drop = nn.Dropout(0.5, inplace=True)
        self.unused = nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        first, second = self.pair(x)
        first += self.shared(second)
        x = F.relu(self.shared(first), inplace=True)
        x *= 2
        return self.last(self.drop(x))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x - 1, x + 1


NAMES = ["conv", "norm", "relu", "pair", "shared", "last"]


def by_hand(module: Tricky, x: Tensor) -> dict[str, list[Tensor]]:
    """Compute every output out of place, in eval mode."""
    norm = module.norm
    conv = F.conv2d(x, module.conv.weight, module.conv.bias, padding=1)
    normed = F.batch_norm(conv, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    relu = F.relu(normed)
    shared = [F.conv2d(relu + 1, module.shared.weight, module.shared.bias, padding=1)]
    shared.append(F.conv2d(relu - 1 + shared[0], module.shared.weight, module.shared.bias, padding=1))
    last = F.conv2d(F.relu(shared[1]) * 2, module.last.weight, module.last.bias)
    return {"conv": [conv], "norm": [normed], "relu": [relu], "pair": [relu - 1], "shared": shared, "last": [last]}


def listed(value: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


@pytest.fixture
def module() -> Tricky:
    torch.manual_seed(0)
    module = Tricky()
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    return module


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def state(module: nn.Module) -> object:
    """Everything that a reader could leave behind."""
    return (
        {key: value.reshape(-1).view(torch.uint8).tolist() for key, value in module.state_dict().items()},
        [(p.requires_grad, p.grad, p._version, id(p)) for p in module.parameters()],
        [
            (c.training, *map(len, (c._forward_hooks, c._forward_pre_hooks, c._backward_hooks)))
            for c in module.modules()
        ],
        [sorted(vars(child)) for child in module.modules()],
    )


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_every_output_is_what_was_computed_whatever_is_done_to_it_in_place(
    module: Tricky, x: Tensor, stop: bool, training: bool
) -> None:
    module.train(training)
    expected = by_hand(module, x)
    with tap(module, NAMES, stop=stop) as read:
        for _ in range(2):  # the second time it knows how often each is called
            outputs = read(x)
            assert list(outputs) == NAMES
            for name, output in outputs.items():
                assert all(torch.equal(a, b) for a, b in zip(listed(output), expected[name], strict=True)), name


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_forward_equals_the_full_one_bit_for_bit(module: Tricky, x: Tensor, name: str) -> None:
    with tap(module, NAMES, stop=False) as read:
        full = read(x)[name]
    with tap(module, [name]) as read:
        read(x)
        truncated = read(x)[name]
    assert all(torch.equal(a, b) for a, b in zip(listed(full), listed(truncated), strict=True))


def test_the_forward_ends_at_the_last_layer_asked_for(module: Tricky, x: Tensor) -> None:
    ran: list[str] = []
    for name, child in module.named_modules():
        child.register_forward_hook(lambda _m, _i, _o, name=name: ran.append(name))
    with tap(module, ["conv", "shared"]) as read:
        read(x)
        assert ran[-2:] == ["last", ""]  # how often `shared` is called is not known yet
        ran.clear()
        read(x)
        assert ran == ["conv", "norm", "relu", "pair", "shared", "shared"]
    ran.clear()
    with tap(module, ["norm"], calls={"norm": 1}) as read:
        read(x)
    assert ran == ["conv", "norm"]
    with Network(module).tap(["pair"]) as read:
        ran.clear()
        read(x)
    assert ran == ["conv", "norm", "relu", "pair"]


def test_a_visitor_sees_each_output_before_it_is_changed_in_place(module: Tricky, x: Tensor) -> None:
    seen: list[tuple[str, int, Tensor]] = []
    with tap(module, NAMES) as read:
        read.visit(x, lambda name, call, output: seen.append((name, call, output.detach().clone())))
    expected = by_hand(module, x)
    assert [(name, call) for name, call, _ in seen] == [
        *((name, 0) for name in ("conv", "norm", "relu", "pair")),
        *(("shared", 0), ("shared", 1), ("last", 0)),
    ]
    assert all(torch.equal(output, expected[name][call]) for name, call, output in seen)


@pytest.mark.parametrize("name", ["norm", "pair", "shared"])
def test_gradients_of_an_output_are_right_though_an_in_place_relu_follows(module: Tricky, x: Tensor, name: str) -> None:
    module.eval()
    image = x.clone().requires_grad_()
    with tap(module, NAMES, stop=False) as read:
        output = listed(read(image)[name])[0]
    reference = x.clone().requires_grad_()
    weights = torch.randn(output.shape)
    (expected,) = torch.autograd.grad((by_hand(module, reference)[name][0] * weights).sum(), reference)
    (found,) = torch.autograd.grad((output * weights).sum(), image)
    assert torch.equal(found, expected)
    with torch.no_grad(), tap(module, [name]) as read:
        assert not listed(read(x)[name])[0].requires_grad


def interrupted(read: Reader, x: Tensor) -> None:
    def visitor(name: str, call: int, output: Tensor) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read.visit(x, visitor)


def refused(read: Reader, x: Tensor) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        read(x[:, :1])


@pytest.mark.parametrize("use", [lambda read, x: read(x), interrupted, refused], ids=["read", "interrupted", "refused"])
def test_reading_leaves_no_trace(module: Tricky, x: Tensor, use: Callable[[Reader, Tensor], object]) -> None:
    module.train()
    module.norm.eval()  # frozen as fine-tuning does it
    module.norm.weight.requires_grad_(False)
    module.last.weight.grad = torch.ones_like(module.last.weight)
    torch.manual_seed(3)
    answer = module(x)
    before = state(module)
    with tap(module, NAMES) as read:
        use(read, x)
        use(read, x)
        inside = module(x)  # not stopped, though read() is
        assert torch.equal(inside, by_hand(module, x)["last"][0])
    assert str(state(module)) == str(before)
    torch.manual_seed(3)
    assert torch.equal(module(x), answer)


def test_an_exception_in_the_block_leaves_no_trace(module: Tricky) -> None:
    before = str(state(module))
    with pytest.raises(ZeroDivisionError), tap(module, NAMES):
        raise ZeroDivisionError
    with pytest.raises(UnknownName), tap(module, ["conv", "norn"]):
        pass
    assert str(state(module)) == before


class Swallowing(nn.Module):
    """Has an except clause in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.last = nn.Conv2d(2, 2, 1)
        self.caught = False

    def forward(self, x: Tensor) -> Tensor:
        try:
            return self.last(self.conv(x))
        except Exception:  # noqa: BLE001  the point of this network
            self.caught = True
            return x


def test_a_network_that_catches_exceptions_does_not_catch_the_end_of_the_forward(x: Tensor) -> None:
    module = Swallowing()
    with tap(module, ["conv"], calls={"conv": 1}) as read:
        assert torch.equal(listed(read(x)["conv"])[0], module.conv(x))
    assert not module.caught


def test_two_taps_on_one_module_do_not_meet(module: Tricky, x: Tensor) -> None:
    with tap(module, ["norm"]) as outer, tap(module, ["shared"]) as inner:
        assert list(outer(x)) == ["norm"]
        assert list(inner(x)) == ["shared"]
        assert list(outer(x)) == ["norm"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("unused", BadModel, "'unused' does not run when the network does"),
        ("sharde", UnknownName, r"no layer 'sharde'; did you mean 'shared'\? list them with: filterscope layers MODEL"),
    ],
)
def test_layers_that_cannot_be_read_are_named(
    module: Tricky, x: Tensor, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message), tap(module, [name]) as read:
        read(x)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_every_layout_and_precision_will_do(
    module: Tricky, x: Tensor, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    module = module.to(dtype=dtype, memory_format=layout).eval()
    x = x.to(dtype=dtype, memory_format=layout)
    with tap(module, NAMES) as read:
        outputs = read(x)
    expected = by_hand(module, x)
    for name, output in outputs.items():
        assert all(torch.equal(a, b) for a, b in zip(listed(output), expected[name], strict=True)), name
        assert listed(output)[0].is_contiguous(memory_format=layout)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_reading_works_on_a_gpu(module: Tricky, x: Tensor) -> None:
    module, x = module.cuda(), x.cuda()
    with tap(module, NAMES) as read:
        outputs = read(x)
    expected = by_hand(module, x)
    assert all(torch.allclose(listed(outputs[name])[0], expected[name][0], atol=1e-5) for name in NAMES)
    assert Network(module).device.type == "cuda"


def test_shared_and_hard_networks_are_read_as_they_run(x: Tensor) -> None:
    module = hard_networks.Shared().eval()
    seen: list[Tensor] = []
    handle = module.conv.register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))
    module(x)
    handle.remove()
    with tap(module, ["conv", "alias"]) as read:
        for _ in range(2):
            outputs = read(x)
            for name in ("conv", "alias"):
                assert all(torch.equal(a, b) for a, b in zip(listed(outputs[name]), seen, strict=True))
