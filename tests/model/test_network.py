"""Network: what it says of itself, and that asking changes nothing."""

import copy
from pathlib import Path

import hard_networks
import pytest
import torch
from torch import nn

from filterscope.errors import BadModel, UnknownName
from filterscope.images.preprocessing import Preprocessing
from filterscope.model import Network, load

SMALL = Preprocessing(input_size=(24, 32))


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(hard_networks.Shared(), SMALL, ["cat", "dog"], name="mine")


def test_the_example_is_what_the_network_takes() -> None:
    network = Network(nn.Conv2d(1, 2, 3).double(), Preprocessing((8, 9), (0.0,), (1.0,), channels="L"))
    assert (network.example(2).shape, network.example().dtype) == ((2, 1, 8, 9), torch.float64)
    assert network.example(size=(5, 7)).shape == (1, 1, 5, 7)
    assert Network(nn.ReLU()).dtype == torch.float32


def test_digests_are_equal_for_equal_networks_alone(network: Network) -> None:
    def digest(change: str = "", preprocessing: Preprocessing = SMALL) -> str:
        module = copy.deepcopy(network.module)
        if change == "weight":
            module.conv.weight.data[0, 0, 0, 0] += 1e-6
        if change == "structure":
            module.relu = nn.ReLU()
        if change == "mode":
            module.eval().requires_grad_(False)
        if change == "precision":
            module.bfloat16()
        return Network(module, preprocessing).digest

    assert digest() == digest("mode") == network.digest
    others = [digest("weight"), digest("structure"), digest("precision"), digest("", Preprocessing((24, 33)))]
    assert len({network.digest, *others}) == 5


def test_digests_do_not_hold_addresses() -> None:
    class WithFunction(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.function = lambda x: x

        def extra_repr(self) -> str:
            return repr(self.function)

    assert Network(WithFunction()).digest == Network(WithFunction()).digest


def test_layers_are_found_once_and_given_as_a_list_of_ones_own(network: Network) -> None:
    first = network.layers()
    first.clear()
    assert [layer.name for layer in network.layers()] == ["stem", "conv"]
    assert network.layers()[0] is network.layers()[0]


def test_any_module_is_a_layer_by_its_name(network: Network) -> None:
    assert network.layer("stem") is network.layers()[0]
    norm = network.layer("norm")
    assert (norm.kind, norm.channels, norm.output_size) == ("batchnorm2d", 4, (24, 32))
    assert network.layer("alias") == network.layer("conv")
    with pytest.raises(
        UnknownName, match=r"no layer 'stm'; did you mean 'stem'\? list them with: filterscope layers mine"
    ):
        network.layer("stm")


def test_units_are_read(network: Network) -> None:
    layer, index = network.unit("stem:3")
    assert (layer.name, index) == ("stem", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stem:4", "no unit 'stem:4'; layer 'stem' has the units 0 to 3"),
        ("stem", "'stem' is no unit; a unit is written LAYER:INDEX, e.g. stem:0"),
        ("stem:-1", "'stem:-1' is no unit"),
        ("stem:", "'stem:' is no unit"),
        (":3", "':3' is no unit"),
        ("stme:3", "no layer 'stme'; did you mean 'stem'"),
    ],
)
def test_what_is_no_unit_is_told_with_what_one_is(network: Network, text: str, message: str) -> None:
    with pytest.raises(UnknownName) as caught:
        network.unit(text)
    assert str(caught.value).startswith(message)


def test_a_network_without_convolutions_has_no_layers_but_modules() -> None:
    network = Network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 32, 5)), SMALL)
    with pytest.raises(BadModel, match="no 2-d convolution"):
        network.layers()
    assert network.layer("1").channels == 5


def test_asking_changes_nothing(network: Network) -> None:
    network.module.train()
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    network.layers(), network.layer("norm"), network.unit("conv:0"), network.example(), repr(network)
    digest = network.digest
    assert all(torch.equal(value, before[key]) for key, value in network.module.state_dict().items())
    assert all(child.training and not child._forward_hooks for child in network.module.modules())
    assert Network(network.module, SMALL).digest == digest


SQUEEZENET = [3, 7, 7, 15, 15, 15, 23, 31, 31, 47, 47, 47, 63, 79, 79, 111, 111, 111, 143, 143, 143, 175, 175, 175]


@pytest.mark.parametrize(
    ("name", "fields", "observed"),
    [
        ("squeezenet1_1", [*SQUEEZENET, 207, 207], "classifier.1"),
        # 2 pixels a convolution, times the stride, which doubles at layer2 and layer3; 3 to begin with.
        ("resnet20_cifar10", [*range(3, 16, 2), *range(17, 38, 4), *range(41, 82, 8)], "layer3.2.bn2"),
        ("tinyvgg", [3, 5, 10, 14], "conv_2_2"),
        ("vgg16_half_cifar10", [3, 5, 10, 14, 24, 32, 40, 60, 76, 92, 132, 164, 196], "features.41"),
    ],
)
def test_real_networks_have_their_layers_and_fields(shared: Path, name: str, fields: list[int], observed: str) -> None:
    network = load(shared / "models" / name)
    assert [layer.field_size for layer in network.layers()] == [(size, size) for size in fields]
    assert network.layers()[-1].observed == observed
    assert len(network.classes) == (1000 if name == "squeezenet1_1" else 10)
