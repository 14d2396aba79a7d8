"""Measured receptive fields, held against gradients, the closed form, published figures and networks made for it."""

import copy
from collections.abc import Iterator

import hard_networks
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision import models

from filterscope.model import ReceptiveField, Window, receptive_field
from filterscope.model.layers import find_layers
from filterscope.model.reach import Reach, reach

SIZE = (96, 80)


def fields_by_gradient(module: nn.Module, name: str, units: int = 8) -> list[ReceptiveField]:
    """Find, along each axis, the smallest moving box that holds the gradients of so many neighbours in the middle.

    After upsampling by four the fields of every fourth unit are alike: nine units tell the stride.

    All weights are made positive, so that no two paths cancel and no unit is off.
    """
    module = copy.deepcopy(module).double().eval()
    for parameter in module.parameters():
        parameter.data = parameter.data.abs() + 0.1
    outputs: list[Tensor] = []
    module.get_submodule(name).register_forward_hook(lambda _m, _i, output: outputs.append(output))
    image = torch.ones(1, 3, *SIZE, dtype=torch.float64, requires_grad=True)
    module(image)
    output = (
        outputs[0].permute(0, 3, 1, 2)
        if type(module).__name__ == "Shuffled" and name in ("norm", "linear")
        else outputs[0]
    )
    weights = torch.arange(1, output.shape[1] + 1, dtype=torch.float64)  # a plain sum is constant after a layer norm
    middle = [length // 2 for length in output.shape[2:]]
    fields = []
    for axis in (0, 1):
        ends = []
        for step in range(-(units // 2), units - units // 2):
            row, column = middle[0] + step * (axis == 0), middle[1] + step * (axis == 1)
            (gradient,) = torch.autograd.grad(output[0, :, row, column] @ weights, image, retain_graph=True)
            reached = (gradient[0].sum(0) != 0).any(1 - axis).nonzero().flatten()
            ends.append((int(reached[0]), int(reached[-1])))
        stride = round((ends[-1][0] - ends[0][0]) / (units - 1))
        starts = [first - stride * (middle[axis] - units // 2 + index) for index, (first, _) in enumerate(ends)]
        stops = [last - stride * (middle[axis] - units // 2 + index) for index, (_, last) in enumerate(ends)]
        fields.append(ReceptiveField(max(stops) - min(starts) + 1, stride, min(starts)))
    return fields


@pytest.fixture
def averaging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A maximum passes its gradient to the winner alone; an average of the same window shows who could win."""

    def average(
        x: Tensor, kernel_size: int, stride: int | None = None, padding: int = 0, dilation: int = 1, **options: bool
    ) -> Tensor:
        assert dilation == 1
        return F.avg_pool2d(x, kernel_size, stride, padding, options.get("ceil_mode", False))

    monkeypatch.setattr(F, "max_pool2d", average)


CASES = [
    *((hard_networks.Residual(), name, 8) for name in ("stem", "first", "second", "shortcut", "last")),
    *((hard_networks.Inception(), name, 8) for name in ("five", "dilated", "pooled", "last")),
    (hard_networks.Gated(open_gate=True), "last", 8),
    *((hard_networks.CeilPooling(), name, 2) for name in ("second", "last")),
    *((hard_networks.Hourglass(), name, 9) for name in ("deep", "up", "after", "last")),
    (hard_networks.Shared(), "conv", 8),
    *((hard_networks.Shuffled(), name, 4) for name in ("depthwise", "norm", "linear", "last")),
]


@pytest.mark.parametrize(("module", "name", "units"), CASES, ids=[f"{type(m).__name__}-{n}" for m, n, _ in CASES])
def test_measured_field_is_the_box_around_the_gradient(
    module: nn.Module, name: str, units: int, request: pytest.FixtureRequest
) -> None:
    found = reach(module, [name], torch.zeros(1, 3, *SIZE))[name][0]
    request.getfixturevalue("averaging")
    assert [found.height, found.width] == fields_by_gradient(module, name, units)
    assert not found.whole_image


@st.composite
def chains(draw: st.DrawFn) -> tuple[nn.Sequential, list[Window]]:
    """Draw up to six convolutions and poolings, and the windows that they slide."""
    modules: list[nn.Module] = []
    windows = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["conv", "depthwise", "max", "average"]))
        kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
        if kind in ("conv", "depthwise"):
            padding, dilation = draw(st.integers(0, 3)), draw(st.integers(1, 3))
            groups = 4 if kind == "depthwise" and modules else 1
            modules.append(nn.Conv2d(4 if modules else 1, 4, kernel, stride, padding, dilation, groups))
        else:
            padding, ceil_mode = draw(st.integers(0, kernel // 2)), draw(st.booleans())
            dilation = draw(st.integers(1, 2)) if kind == "max" else 1
            pools: dict[str, nn.Module] = {
                "max": nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode),
                "average": nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil_mode),
            }
            modules += [pools[kind], nn.ReLU(inplace=True)]
            if len(modules) == 2:
                modules.insert(0, nn.Conv2d(1, 4, 1))
        windows.append(Window(kernel, stride, padding, dilation))
    return nn.Sequential(*modules), windows


@settings(max_examples=100, deadline=None, derandomize=True)
@given(chains())
def test_measured_field_of_a_chain_is_its_closed_form(chain: tuple[nn.Sequential, list[Window]]) -> None:
    module, windows = chain
    found = reach(module, [str(len(module) - 1)], torch.zeros(1, 1, 256, 320))[str(len(module) - 1)][0]
    # A whole image is only said of what leaves fewer than three positions on the largest image that was tried.
    assert found.height == found.width == receptive_field(windows) or receptive_field(windows).stride > 256 / 3


def sizes(module: nn.Module, size: tuple[int, int] = (224, 224)) -> list[int | None]:
    return [layer.field_size and layer.field_size[0] for layer in find_layers(module, torch.zeros(1, 3, *size))]


def test_squeezenet_has_its_published_fields() -> None:
    expected = [3, 7, 7, 15, 15, 15, 23, 31, 31, 47, 47, 47, 63, 79, 79, 111, 111, 111, 143, 143, 143]
    assert sizes(models.squeezenet1_1(weights=None)) == [*expected, 175, 175, 175, 207, 207]


@pytest.mark.parametrize(
    ("name", "last", "expected"),
    [
        # Araujo, Norris, Sim (2019) and, for what came later, by hand from kernels and strides.
        ("resnet18", "layer4.1.conv2", ReceptiveField(435, 32, -217)),
        ("vgg11", "features.18", ReceptiveField(134, 16, -59)),
        ("mobilenet_v3_small", "features.12.0", ReceptiveField(639, 32, -319)),
        ("densenet121", "features.denseblock4.denselayer16.conv2", ReceptiveField(2071, 32, -1021)),
        ("convnext_tiny", "features.7.2.block.0", ReceptiveField(1688, 32, -828)),
        ("shufflenet_v2_x0_5", "conv5.0", ReceptiveField(527, 32, -263)),
    ],
)
def test_known_networks_have_their_known_fields(name: str, last: str, expected: ReceptiveField) -> None:
    module = models.get_model(name, weights=None)
    found = reach(module, [last], torch.zeros(1, 3, 224, 224))[last][0]
    assert (found.height, found.width) == (expected, expected)


def test_squeeze_and_excite_is_told_apart_from_the_local_field() -> None:
    layers = {layer.name: layer for layer in find_layers(hard_networks.Gated(), torch.zeros(1, 3, 32, 32))}
    assert [(layers[name].field_size, layers[name].gated) for name in ("first", "last")] == [
        ((3, 3), False),
        ((5, 5), True),
    ]
    assert [layers[name].whole_image for name in ("first", "squeeze", "excite", "last")] == [False, True, True, False]


def test_linear_layers_and_global_pooling_see_the_whole_image() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    found = reach(module, ["0", "1", "3"], torch.zeros(1, 3, 32, 32))
    assert [found[name][0].whole_image for name in ("0", "1", "3")] == [False, True, True]
    flat = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 6 * 6, 2))
    found = reach(flat, ["0", "1", "2"], torch.zeros(1, 3, 8, 8))
    # What is only flattened still sees three pixels, but no longer says where.
    assert [found[name][0].whole_image for name in ("0", "1", "2")] == [False, False, True]


class Pyramid(nn.Module):
    """A branch that is pooled globally and spread out again, beside a local one."""

    def __init__(self) -> None:
        super().__init__()
        self.local = nn.Conv2d(3, 2, 9, 2, 4, dilation=1)
        self.last = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.local(x)
        pooled = F.interpolate(F.adaptive_avg_pool2d(x, 1), size=x.shape[-2:], mode="bilinear")
        return self.last(torch.cat([x, pooled], 1))


def test_what_joins_a_global_branch_sees_the_whole_image() -> None:
    found = reach(Pyramid(), ["local", "last"], torch.zeros(1, 3, 64, 64))
    assert found["local"][0].height == ReceptiveField(9, 2, -4)
    assert found["last"][0] == Reach(whole_image=True)


def test_a_local_field_larger_than_the_image_is_no_whole_image() -> None:
    # As VGG does at 32 px: one position is left, and its convolution is all padding but for the middle.
    block = [nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2)]
    module = nn.Sequential(nn.Conv2d(3, 4, 1), *(5 * block), nn.Conv2d(4, 4, 3, padding=1))
    windows = 5 * [Window(3, 1, 1), Window(2, 2)] + [Window(3, 1, 1)]
    found = reach(module, ["11"], torch.zeros(1, 3, 32, 32))["11"][0]
    assert found.height == receptive_field(windows)


class Fixed(nn.Module):
    """Takes one image size alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, 8)
        self.position = nn.Parameter(torch.ones(1, 4, 2, 2))
        self.last = nn.Conv2d(4, 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-1] == 16, "only 16 px"
        return self.last(self.conv(x) + self.position)


def test_a_network_that_takes_no_larger_image_sees_all_of_the_one_that_it_takes() -> None:
    found = reach(Fixed(), ["conv", "last"], torch.zeros(1, 3, 16, 16))
    assert found["last"][0] == Reach(whole_image=True)
    assert found["conv"][0] == Reach()  # two positions: how it goes on cannot be told


class Cut(nn.Module):
    """A branch that nothing of the image reaches, and an operation that nothing is known of."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.constant = nn.Conv2d(4, 4, 3, padding=1)
        self.after = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x + self.constant(torch.ones_like(x))
        return self.after(torch.fft.ifft2(torch.fft.fft2(x)).real)


def test_constant_branches_and_unknown_operations_give_no_field_and_no_crash() -> None:
    found = reach(Cut(), ["first", "constant", "after"], torch.zeros(1, 3, 16, 16))
    assert found["first"][0].height == ReceptiveField(3, 1, 0)
    assert found["constant"][0] == Reach()
    assert found["after"][0].height is None


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm([4, 30, 30])])
def test_normalisation_over_space_is_a_gate(norm: nn.Module) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Conv2d(4, 4, 3))
    found = reach(module, ["0", "2"], torch.zeros(1, 3, 32, 32))
    assert [found[name][0].gated for name in ("0", "2")] == [False, True]
    assert found["2"][0].height == ReceptiveField(5, 1, 0)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_however_it_is_padded_the_field_is_the_same(mode: str) -> None:
    convolutions = [nn.Conv2d(3 if not index else 4, 4, 5, 2, 2, padding_mode=mode) for index in range(2)]
    found = reach(nn.Sequential(*convolutions), ["1"], torch.zeros(1, 3, 64, 64))["1"][0]
    assert found.height == receptive_field(2 * [Window(5, 2, 2)])


@pytest.mark.parametrize(
    "options",
    [
        {"scale_factor": 2, "mode": "nearest"},
        {"scale_factor": 2, "mode": "nearest-exact"},
        {"scale_factor": 2, "mode": "bicubic"},
        {"size": (24, 20), "mode": "bilinear", "antialias": True},
        {"scale_factor": 0.5, "mode": "area"},
    ],
    ids=lambda options: options["mode"],
)
def test_resampled_fields_are_the_box_around_the_gradient(options: dict[str, object]) -> None:
    module = Resampled(options)
    found = reach(module, ["last"], torch.zeros(1, 3, *SIZE))["last"][0]
    assert [found.height, found.width] == fields_by_gradient(module, "last", 5)


class Resampled(nn.Module):
    """Half the size, then resampled, then a convolution."""

    def __init__(self, options: dict[str, object]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3, 2, 1)
        self.last = nn.Conv2d(2, 2, 3)
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.interpolate(self.first(x), **self.options))


@pytest.mark.parametrize(("channels", "size"), [(1, (28, 20)), (24, (40, 96))])
def test_any_number_of_channels_and_any_shape_of_image_will_do(channels: int, size: tuple[int, int]) -> None:
    module = nn.Sequential(nn.Conv2d(channels, 4, (3, 5), (1, 2), (1, 2)), nn.MaxPool2d((2, 1)), nn.Conv2d(4, 4, 3))
    found = reach(module, ["2"], torch.zeros(1, channels, *size))["2"][0]
    assert found.height == receptive_field([Window(3, 1, 1), Window(2, 2), Window(3)])
    assert found.width == receptive_field([Window(5, 2, 2), Window(1), Window(3)])


def test_each_call_of_a_shared_module_has_its_own_field() -> None:
    found = reach(hard_networks.Shared(), ["conv"], torch.zeros(1, 3, 32, 32))["conv"]
    assert [call.height for call in found] == [
        ReceptiveField(5, 1, -2),
        ReceptiveField(7, 1, -3),
        ReceptiveField(12, 2, -5),
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_measuring_leaves_no_trace(dtype: torch.dtype) -> None:
    module = hard_networks.Shared().to(dtype).train()
    module.norm.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    found = reach(module, ["conv"], torch.zeros(1, 3, 32, 32, dtype=dtype))["conv"]
    assert found[0].height == ReceptiveField(5, 1, -2)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert [child.training for child in (module, module.conv, module.norm)] == [True, True, False]
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    assert not any(child._forward_hooks for child in module.modules())


class Counting(nn.Module):
    """Writes into its own buffers at every call; one of them is a view of something larger."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.larger = torch.zeros(4)
        self.register_buffer("largest", self.larger[:2])
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        self.largest.copy_(x[0].amax((1, 2)))
        self.seen += 1
        return x


def test_a_network_that_writes_into_its_buffers_keeps_them() -> None:
    module = Counting()
    layers = find_layers(module, torch.ones(1, 3, 8, 8))
    assert layers[0].field_size == (3, 3)
    assert module.larger.tolist() == [0, 0, 0, 0]
    assert module.seen.item() == 0


class Padded(nn.Module):
    """Writes its channels into a larger tensor of zeros, as the shortcuts of some ResNets do."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3)
        self.last = nn.Conv2d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        out = x.new_zeros(x.shape[0], 4, *x.shape[2:])
        out[:, 1:3] += x
        return self.last(out)


def test_constants_around_what_is_written_into_them_are_reached_by_nothing() -> None:
    found = reach(Padded(), ["last"], torch.zeros(1, 3, 32, 32))["last"][0]
    assert found.height == ReceptiveField(5, 1, 0)
