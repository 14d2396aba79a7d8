"""Runs resumed at a layer: the same answers as whole passes with a hook, with nothing before the layer computed."""

from collections import Counter
from typing import Any

import hard_networks
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import models

from filterscope.errors import BadModel, UnknownName
from filterscope.model.resume import resumable
from filterscope.model.running import tensors_in


def hooked(module: nn.Module, name: str, images: Tensor, change: Any) -> Any:
    """A whole forward pass with PyTorch's own hook."""
    handle = module.get_submodule(name).register_forward_hook(lambda _m, _i, output: change(output))
    with torch.no_grad():
        answer = module(images.clone())
    handle.remove()
    return answer


def without(unit: int) -> Any:
    def change(output: Tensor) -> Tensor:
        changed = output.clone()
        changed[:, unit] = 0
        return changed

    return change


class Heavy(TorchDispatchMode):
    """Counts what is computed: this mode sees only what the inner one lets through."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


class Functional(nn.Module):
    """A block like a residual one, all of it functions; what comes before the layer is changed after it, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.beside = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        x = F.relu_(self.stem(x))
        y = self.inner(x)
        y = F.relu_(y)
        z = F.relu(self.beside(x), inplace=True)
        x += y
        x = torch.cat([F.relu_(x), z], 1)
        return F.log_softmax(self.head(x.mean((2, 3))), 1)


def real(name: str) -> nn.Module:
    torch.manual_seed(0)
    module = models.get_model(name, weights=None)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
    return module.eval()


CASES = [
    (hard_networks.Residual, ["stem", "first", "second", "shortcut", "last"]),
    (hard_networks.Inception, ["one", "dilated", "pooled", "last"]),
    (hard_networks.Gated, ["first", "squeeze", "excite"]),
    (hard_networks.Shared, ["stem", "conv", "norm"]),
    (hard_networks.Shuffled, ["stem", "depthwise"]),
    (hard_networks.Hourglass, ["down", "after", "first"]),
    (Functional, ["stem", "inner", "beside"]),
    (lambda: real("resnet18"), ["bn1", "layer1.0.conv1", "layer2.0.downsample.1", "layer4.1.bn2", "layer3.0"]),
    (lambda: real("squeezenet1_1"), ["features.0", "features.9.expand1x1", "features.9.expand3x3", "classifier.1"]),
    (lambda: real("mobilenet_v3_small"), ["features.4.block.1.1", "features.4.block.2.fc1", "features.12.1"]),
    (lambda: real("densenet121"), ["features.conv0", "features.denseblock3.denselayer5.conv1", "features.norm5"]),
    (lambda: real("shufflenet_v2_x0_5"), ["stage2.1.branch2.0", "stage3.0.branch1.0"]),
    (lambda: real("swin_t"), ["features.1.1.attn", "features.3.0.mlp.0"]),
]


@pytest.mark.parametrize(("make", "layers"), CASES, ids=range(len(CASES)))
def test_a_resumed_run_is_a_whole_one_with_a_hook_bit_for_bit(make, layers):
    torch.manual_seed(1)
    module = make().eval()
    images = torch.rand(2, 3, 64, 64)
    before = images.clone()
    for layer in layers:
        with resumable(module, layer) as runs:
            run = runs.record(images)
            assert runs.whole is None
            assert run.whole is None
            plain = hooked(module, layer, images, lambda output: None)
            assert all(torch.equal(a, b) for a, b in zip(tensors_in(run.answer), tensors_in(plain), strict=True))
            for change in (without(0), torch.neg, without(1), torch.neg):
                pair = run.resume({layer: change}), hooked(module, layer, images, change)
                assert all(torch.equal(a, b) for a, b in zip(*map(tensors_in, pair), strict=True))
            assert not torch.equal(next(tensors_in(pair[0])), next(tensors_in(plain)))
    assert torch.equal(images, before)


class Doubling(nn.Module):
    """What its layers put out is changed in place, and twice is not once."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).mul_(2)
        return self.last(x).sub_(1)


def test_several_layers_are_changed_at_once_and_each_alone():
    module, images = Doubling().eval(), torch.rand(2, 3, 16, 16)
    only_last = hooked(module, "last", images, without(3))
    handle = module.first.register_forward_hook(lambda _m, _i, output: -output)
    both = hooked(module, "last", images, without(3))
    handle.remove()
    with resumable(module, "last", "first") as runs:
        run = runs.record(images)
        for _ in range(2):
            assert torch.equal(run.resume({}), run.answer)
            assert torch.equal(run.resume({"last": without(3)}), only_last)
            assert torch.equal(run.resume({"first": torch.neg, "last": without(3)}), both)
        assert run.whole is None
    assert not torch.equal(only_last, both)


def computed(module: nn.Module, layer: str, images: Tensor) -> int:
    """Convolutions that a resumed run computes."""
    with Heavy() as heavy, resumable(module, layer) as runs:
        run = runs.record(images)
        heavy.seen.clear()
        run.resume({layer: torch.neg})
    return heavy.seen["convolution"]


def test_nothing_before_or_beside_the_layer_is_computed_again():
    images = torch.rand(2, 3, 64, 64)
    assert computed(Functional().eval(), "inner", images) == 0
    assert computed(Functional().eval(), "stem", images) == 2
    assert computed(real("squeezenet1_1"), "features.9.expand1x1", images) == 3 * 3 + 1
    # conv2 of the last block; the shortcut is an addition.
    assert computed(real("resnet18"), "layer4.1.bn1", images) == 1


def test_the_module_is_as_it_was_also_after_an_exception():
    module = real("resnet18").train()
    module.layer1[0].eval()
    modes = [child.training for child in module.modules()]
    state = {key: value.clone() for key, value in module.state_dict().items()}

    def broken(output: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), resumable(module, "layer2") as runs:  # noqa: PT012
        run = runs.record(torch.rand(2, 3, 64, 64))
        run.resume({"layer2": torch.neg})
        run.resume({"layer2": broken})
    assert [child.training for child in module.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())


class Watching(nn.Module):
    """Its code looks at values, and takes another way where they are small."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.large, self.small = (nn.Conv2d(3, 3, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.large(x) if float(x.abs().sum()) > 1e-3 else torch.sin(self.small(x))


class Counting(nn.Module):
    """It keeps a number in a buffer, which it uses."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.conv(x).relu() + 0 * self.calls


class Outside(nn.Module):
    """It computes something where PyTorch does not see it, before the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.from_numpy((x * 2).numpy().mean((2, 3), keepdims=True))
        return self.conv(x) * mean


def test_a_network_that_takes_another_way_runs_as_a_whole():
    module, images = Watching().eval(), torch.rand(2, 3, 8, 8)
    with resumable(module, "conv") as runs:
        run = runs.record(images)
        assert run.whole is None
        assert torch.equal(run.resume({"conv": torch.zeros_like}), hooked(module, "conv", images, torch.zeros_like))
        assert run.whole is not None
        assert torch.equal(run.resume({"conv": torch.neg}), hooked(module, "conv", images, torch.neg))


@pytest.mark.parametrize("make", [Counting, Outside])
def test_what_cannot_be_recorded_runs_as_a_whole_with_a_reason(make):
    module, images = make().eval(), torch.rand(2, 3, 8, 8)
    with resumable(module, "conv") as runs:
        run = runs.record(images)
        assert runs.whole
        assert torch.allclose(run.resume({"conv": torch.neg}), hooked(module, "conv", images, torch.neg))


def test_what_is_no_layer_or_does_not_run_is_told():
    with pytest.raises(UnknownName, match="layr1"), resumable(real("resnet18"), "layr1"):
        pass
    module = nn.Sequential(nn.Conv2d(3, 3, 1))
    module[0].unused = nn.ReLU()
    with pytest.raises(BadModel, match="does not run"), resumable(module, "0.unused") as runs:
        runs.record(torch.rand(1, 3, 4, 4))
