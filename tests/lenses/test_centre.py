"""All layers read in the middle of an image: the unit there is the one whose gradient reaches the middle."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import filterscope as fs
from filterscope.errors import BadModel
from filterscope.images.tensors import normalise
from filterscope.lenses import Workbench
from filterscope.lenses.centre import Centre, at_place, middle, nearest


def network_of(module: nn.Module, size=(17, 17), channels: int = 3) -> fs.Network:
    order = "RGB" if channels == 3 else ""
    return fs.Network(module, fs.Preprocessing(size, (0.5,) * channels, (0.25,) * channels, channels=order))


def pictures(size=(17, 17), channels: int = 3, count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size, channels)).astype(np.uint8)


def reached(network: fs.Network, layer: str, size, place: tuple[int, int]) -> np.ndarray:
    """The middle (row, column) of the pixels that a position's gradient reaches, in an image with room around it."""
    seen: list[Tensor] = []
    handle = network.module.get_submodule(layer).register_forward_hook(lambda *about: seen.append(about[2].clone()))
    image = torch.zeros(1, 3, *size).requires_grad_()
    network.module(image)
    handle.remove()
    seen[0][0, :, place[0], place[1]].sum().backward()
    touched = image.grad.abs().sum((0, 1)).numpy()
    return np.array([(np.flatnonzero(touched.any(1 - axis))[[0, -1]]).mean() for axis in (0, 1)])


def summing(*layers: nn.Module) -> nn.Sequential:
    """Every weight positive, so that no gradient cancels."""
    module = nn.Sequential(*layers)
    with torch.no_grad():
        for weight in module.parameters():
            weight.abs_().add_(0.1)
    return module


MODULES = {
    "padded": lambda: summing(nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 2, 5, padding=2)),
    "unpadded": lambda: summing(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 4)),
    "strided": lambda: summing(nn.Conv2d(3, 2, 3, 2, 1), nn.Conv2d(2, 2, 3, 2, 1)),
    "dilated": lambda: summing(nn.Conv2d(3, 2, 3, 1, 2, dilation=2), nn.AvgPool2d(2), nn.Conv2d(2, 2, 3, padding=1)),
    "oblong": lambda: summing(nn.Conv2d(3, 2, (5, 3), (2, 1), (0, 1)), nn.Conv2d(2, 2, (1, 3))),
    "far to one side": lambda: summing(nn.ZeroPad2d((6, 0, 0, 4)), nn.Conv2d(3, 2, 3)),
}


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("size", [(33, 33), (32, 39)])
def test_no_other_unit_looks_nearer_to_the_middle_of_the_image(kind, size):
    torch.manual_seed(0)
    network = network_of(MODULES[kind](), size)
    images = pictures(size)
    layers = network.layers()
    with Centre(Workbench(network), layers, size) as centre:
        heard = centre.hear(images)
    for layer, said in zip(layers, heard, strict=True):
        with torch.no_grad():
            maps = layer_maps(network, layer.name, images)
        same = (maps - torch.from_numpy(said)[:, :, None, None]).abs().amax((0, 1))
        row, column = (int(one) for one in np.unravel_index(int(same.argmin()), same.shape))
        assert same[row, column] < 1e-4
        away = {}
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                place = (row + down, column + right)
                away[down, right] = np.abs(reached(network, layer.name, size, place) - (np.array(size) - 1) / 2)
        assert all(
            (away[0, 0] <= other + 1e-9).all() or (down, right) == (0, 0) for (down, right), other in away.items()
        )


def layer_maps(network: fs.Network, layer: str, images: np.ndarray) -> Tensor:
    """What a layer says everywhere, read by a hook of our own."""
    seen: list[Tensor] = []
    handle = network.module.get_submodule(layer).register_forward_hook(lambda *about: seen.append(about[2].clone()))
    network.module(normalise(images, network.preprocessing))
    handle.remove()
    return seen[0]


def test_what_follows_in_place_does_not_change_what_is_heard():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    in_place = nn.Sequential(plain[0], nn.ReLU(inplace=True), plain[2])
    heard = []
    for module in (plain, in_place):
        network = network_of(module)
        with Centre(Workbench(network), network.layers(), (17, 17)) as centre:
            heard.append(centre.hear(pictures()))
    assert (heard[0][0] < 0).any()
    for one, other in zip(*heard, strict=True):
        assert (one == other).all()


def test_what_was_heard_stays_when_more_is_heard():
    network = network_of(nn.Sequential(nn.Conv2d(3, 4, 1)))
    with Centre(Workbench(network, batch_size=2), network.layers(), (17, 17)) as centre:
        first = centre.hear(pictures())[0]
        kept = first.copy()
        centre.hear(255 - pictures())
    assert (first == kept).all()


def test_batches_of_any_size_say_the_same_within_rounding():
    torch.manual_seed(0)
    network = network_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)))
    heard = []
    for size in (1, 3, 8):
        with Centre(Workbench(network, batch_size=size), network.layers(), (17, 17)) as centre:
            heard.append(centre.hear(pictures()))
    for some in heard[1:]:
        for one, other in zip(heard[0], some, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_of_a_module_that_is_called_twice_the_first_call_is_heard():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x) + 100)

    network = network_of(Twice())
    with Centre(Workbench(network), network.layers(), (17, 17)) as centre:
        said = centre.hear(pictures())[0]
    with torch.no_grad():
        expected = network.module.conv(normalise(pictures(), network.preprocessing))[:, :, 8, 8]
    np.testing.assert_allclose(said, expected, atol=1e-5)


def test_a_linear_layer_is_heard_and_the_network_is_left_as_it_was():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 15 * 15, 3)).train()
    module[0].weight.requires_grad_(False)
    network = network_of(module)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    layers = [network.layer("0"), network.layer("3")]
    with Centre(Workbench(network), layers, (17, 17)) as centre:
        heard = centre.hear(pictures())
    assert [one.shape for one in heard] == [(5, 4), (5, 3)]
    assert [one.training for one in module] == [True] * 4
    assert [one.requires_grad for one in module.parameters()] == [False, True, True, True, True, True]
    assert not any(one._forward_hooks for one in module.modules())
    assert all((value == before[name]).all() for name, value in module.state_dict().items())
    with torch.no_grad():
        expected = module.eval()(normalise(pictures(), network.preprocessing))
    np.testing.assert_allclose(heard[1], expected, atol=1e-5)


def test_nan_is_told_by_the_layers_name():
    network = network_of(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)))
    with torch.no_grad():
        network.module[1].bias[0] = torch.nan
    with (
        pytest.raises(BadModel, match="layer 1 gives NaN or infinity"),
        Centre(Workbench(network), network.layers(), (17, 17)) as centre,
    ):
        centre.hear(pictures())


@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_the_nearest_position_is_inside_and_of_two_the_first(length):
    for at in np.arange(-3, 12, 0.25):
        distances = np.abs(np.arange(length) - at)
        assert nearest(float(at), length) == int(np.argmin(distances))
    assert nearest(None, length) == (length - 1) // 2


def test_where_the_field_is_not_known_the_middle_of_the_map_is_read_and_kept_apart_from_it():
    maps = torch.arange(2 * 5 * 6 * 3.0).reshape(2, 5, 6, 3)
    expected = maps[:, 2, 2].numpy().copy()
    said = at_place(maps, (None, None))
    maps.zero_()
    assert (said == expected).all()
    network = network_of(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 2, 1)))
    assert middle(network, network.layer("0"), (17, 17)) == (8.0, 8.0)
    with Centre(Workbench(network), [network.layer("2")], (17, 17)) as centre:
        heard = centre.hear(pictures())[0]
    np.testing.assert_allclose(heard, layer_maps(network, "2", pictures())[:, :, 0, 0].detach(), atol=1e-5)
