"""What is listed of a network: order, kinds, costs, and where each convolution is observed."""

import warnings

import hard_networks
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models
from torchvision.ops.misc import FrozenBatchNorm2d

from filterscope.errors import BadModel, UnknownName
from filterscope.model.layers import describe, find_layers

IMAGE = torch.zeros(1, 3, 32, 32)


class Backwards(nn.Module):
    """Registered in the reverse of the order in which it runs; one convolution never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.unused = nn.Conv2d(3, 3, 3)
        self.last = nn.ConvTranspose2d(4, 2, (2, 3), 2, groups=2)
        self.middle = nn.Conv2d(4, 4, (3, 4), padding="same", dilation=(2, 1), groups=4, bias=False)
        self.first = nn.Conv2d(3, 4, 3, (2, 1), groups=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(F.relu(self.norm(self.first(x)))))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_layers_come_in_the_order_in_which_they_run_with_all_that_is_known_of_them() -> None:
    layers = find_layers(Backwards(), IMAGE)
    assert [(layer.position, layer.name, layer.kind, layer.observed) for layer in layers] == [
        (0, "first", "conv", "norm"),
        (1, "middle", "depthwise", "middle"),
        (2, "last", "transposed", "last"),
    ]
    assert [layer.output_size for layer in layers] == [(15, 30), (15, 30), (30, 61)]
    assert [layer.padding for layer in layers] == [(0, 0), (2, 1), (0, 0)]
    assert [layer.parameters for layer in layers] == [3 * 4 * 9 + 4, 4 * 12, 4 * 1 * 6 + 2]
    assert layers[1].field_size == (11, 6)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("network", [Backwards, *(vars(hard_networks)[n] for n in ("Residual", "Hourglass", "Shared"))])
def test_flops_are_those_that_pytorch_counts_for_one_image(network: type[nn.Module]) -> None:
    module = network().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(2, 3, 32, 32))
    counted = sum(counter.get_flop_counts()["Global"].values())
    assert 2 * sum(layer.flops or 0 for layer in find_layers(module, IMAGE)) == counted
    assert find_layers(module, torch.zeros(3, 3, 32, 32)) == find_layers(module, IMAGE)


def test_a_module_that_is_called_three_times_and_has_two_names_is_one_layer() -> None:
    layers = find_layers(hard_networks.Shared(), IMAGE)
    assert [(layer.name, layer.calls) for layer in layers] == [("stem", 1), ("conv", 3)]
    assert layers[1].flops == 2 * 4 * 4 * 9 * (32 * 32 + 32 * 32 + 16 * 16)


class Normed(nn.Module):
    """A convolution and a batch norm, with something else that takes the convolution's output or not."""

    def __init__(self, norm: nn.Module, way: str) -> None:
        super().__init__()
        self.norm = norm
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.other = nn.Conv2d(3, 4, 3)
        self.way = way

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        y = self.conv(x)
        out = self.norm(y)
        if self.way == "added":
            return F.relu(out) + y
        if self.way == "returned":
            return out, y
        if self.way == "looked at":
            assert y.shape[1] == 4
            assert y.is_contiguous()
        if self.way == "shared norm":
            out = out + self.norm(self.other(x))
        if self.way == "changed in place":
            out = self.norm(y.relu_())
        return F.relu(out, inplace=True)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), FrozenBatchNorm2d(4)], ids=["batch norm", "frozen"])
@pytest.mark.parametrize(
    ("way", "observed"),
    [
        ("alone", "norm"),
        ("looked at", "norm"),
        ("added", "conv"),
        ("returned", "conv"),
        ("shared norm", "conv"),
        ("changed in place", "conv"),
    ],
)
def test_a_batch_norm_is_observed_where_it_takes_the_convolution_alone(
    norm: nn.Module, way: str, observed: str
) -> None:
    layers = {layer.name: layer for layer in find_layers(Normed(norm, way), IMAGE)}
    assert layers["conv"].observed == observed


class Activated(nn.BatchNorm2d):
    """A batch norm that changes its own result in place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu_()


def test_a_batch_norm_that_changes_its_result_in_place_is_not_observed() -> None:
    layers = {layer.name: layer for layer in find_layers(Normed(Activated(4), "alone"), IMAGE)}
    assert layers["conv"].observed == "conv"


def test_a_batch_norm_with_an_activation_inside_is_observed_before_the_activation() -> None:
    timm = pytest.importorskip("timm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = timm.create_model("mobilenetv3_small_050").eval()
    layer = find_layers(module, torch.zeros(1, 3, 64, 64))[0]
    outputs = {}
    for name in (layer.name, layer.observed, "bn1"):
        module.get_submodule(name).register_forward_hook(
            lambda _m, _i, output, name=name: outputs.update({name: output.clone()})
        )
    with torch.no_grad():
        module(torch.randn(1, 3, 64, 64))
    norm = module.bn1
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    expected = (outputs[layer.name] - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[
        :, None, None
    ]
    assert torch.allclose(outputs[layer.observed], expected, atol=1e-5)
    assert not torch.allclose(outputs["bn1"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "count", "normed"),
    [
        ("resnet18", 20, 20),
        ("mobilenet_v3_small", 52, 34),  # 18 are squeeze-and-excite
        ("densenet121", 120, 59),  # the 3x3 ones go into a concatenation, three into a pooling
        ("googlenet", 57, 57),  # two auxiliary heads do not run
        ("shufflenet_v2_x0_5", 56, 56),
        ("vgg11", 8, 0),
    ],
)
def test_real_networks_list_every_convolution_that_runs(name: str, count: int, normed: int) -> None:
    options = {"init_weights": False} if name == "googlenet" else {}
    module = models.get_model(name, weights=None, **options)
    layers = find_layers(module, torch.zeros(1, 3, 96, 96))
    assert len(layers) == count
    assert sum(layer.observed != layer.name for layer in layers) == normed
    assert all(layer.field_size is not None or layer.whole_image for layer in layers)


def test_shortcut_convolutions_run_after_the_block_and_are_listed_so() -> None:
    names = [layer.name for layer in find_layers(models.resnet18(weights=None), torch.zeros(1, 3, 64, 64))]
    assert names[5:8] == ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0"]


def test_parametrised_and_once_lazy_convolutions_are_convolutions() -> None:
    lazy = nn.Sequential(weight_norm(nn.Conv2d(3, 4, 3)), nn.LazyConv2d(2, 3))
    with pytest.raises(BadModel, match="lazy layers without weights; run it once"):
        find_layers(lazy, IMAGE)
    lazy(IMAGE)
    layers = find_layers(lazy, IMAGE)
    assert [(layer.kind, layer.in_channels, layer.channels) for layer in layers] == [("conv", 3, 4), ("conv", 4, 2)]


def test_any_module_is_described_by_its_name() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 7))
    relu, linear = describe(module, "1", IMAGE), describe(module, "3", IMAGE)
    assert (relu.kind, relu.channels, relu.output_size, relu.observed) == ("relu", 4, (30, 30), "1")
    assert (relu.field_size, relu.field_start, relu.kernel) == ((3, 3), (0, 0), None)
    assert (linear.kind, linear.channels, linear.in_channels, linear.flops) == ("linear", 7, 3600, 2 * 7 * 3600)
    assert linear.whole_image
    assert describe(module, "0", IMAGE) == find_layers(module, IMAGE)[0]


def test_a_linear_layer_on_a_sequence_has_its_last_axis_for_channels() -> None:
    layer = describe(hard_networks.Shuffled(), "linear", IMAGE)
    assert (layer.channels, layer.output_size, layer.field_size) == (8, (8, 8), (12, 12))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)), "^the network runs no 2-d convolution"),
        (nn.Sequential(nn.Conv2d(1, 2, 3)), r"^the network refuses an input of 1 x 3 x 32 x 32: Given groups=1.*$"),
        (nn.Sequential(nn.Conv2d(3, 2, 33)), r"^the network refuses an input of 1 x 3 x 32 x 32: Calculated padded.*$"),
    ],
)
def test_networks_that_cannot_be_looked_into_are_refused_in_one_line(module: nn.Module, message: str) -> None:
    with pytest.raises(BadModel, match=message) as caught:
        find_layers(module, IMAGE)
    assert "\n" not in str(caught.value)


def test_what_does_not_run_or_does_not_exist_cannot_be_described() -> None:
    with pytest.raises(BadModel, match="'unused' does not run"):
        describe(Backwards().requires_grad_(False), "unused", IMAGE)
    with pytest.raises(UnknownName, match=r"no layer 'frist'; did you mean 'first'\? list them with: filterscope"):
        describe(Backwards(), "frist", IMAGE)


def test_looking_leaves_no_trace() -> None:
    module = Normed(nn.BatchNorm2d(4), "added").train()
    module.norm.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    find_layers(module, IMAGE)
    describe(module, "norm", IMAGE)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert [child.training for child in (module, module.conv, module.norm)] == [True, True, False]
    for child in module.modules():
        assert not child._forward_hooks
        assert not child._forward_pre_hooks


def test_a_module_that_is_no_convolution_stands_before_the_next_one():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    example = torch.zeros(1, 3, 8, 8)
    assert [describe(module, name, example).position for name in ("0", "1", "2", "4")] == [0, 1, 1, 2]
