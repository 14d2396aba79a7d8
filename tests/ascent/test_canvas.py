"""The canvas: a unit in its middle has the value that it would have inside a larger image, and no canvas is smaller."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from small_networks import looks, small
from torch import Tensor, nn

import filterscope as fs
from filterscope.ascent import Canvas, fit_canvas
from filterscope.atlas.records import Layer
from filterscope.errors import BadModel

FULL = (96, 112)


def opened(module: nn.Module, size: tuple[int, int] = FULL, channels: int = 3) -> fs.Network:
    return fs.Network(module.double().eval(), looks(channels, size))


def map_of(network: fs.Network, layer: Layer, images: Tensor) -> Tensor:
    """(item, unit, row, column), by a plain hook that copies."""
    seen: list[Tensor] = []
    module = network.module.get_submodule(layer.observed)
    handle = module.register_forward_hook(lambda m, i, output: seen.append(output.clone()))
    network.module(images)
    handle.remove()
    return seen[0]


def check_values(network: fs.Network, layer: Layer, canvas: Canvas, period: int = 1) -> int:
    """Compare a unit on the canvas with itself inside a whole image, at places all over it; says at how many."""
    g = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, *FULL, generator=g, dtype=torch.float64)
    y, x = canvas.centres[layer.name]
    with torch.no_grad():
        whole = map_of(network, layer, image)
        places = []
        for row in range(y % period, whole.shape[2], period):
            for column in range(x % period, whole.shape[3], period):
                (top, bottom), (left, right) = canvas.box(layer, row, column)
                if min(top, left) >= 0 and bottom <= FULL[0] and right <= FULL[1]:
                    assert (bottom - top, right - left) == canvas.size
                    places.append((row, column, image[:, :, top:bottom, left:right]))
        chosen = places[:: max(1, len(places) // 20)]
        alone = map_of(network, layer, torch.cat([crop for _, _, crop in chosen]))[:, :, y, x]
    expected = torch.stack([whole[0, :, row, column] for row, column, _ in chosen])
    np.testing.assert_allclose(alone, expected, rtol=1e-9, atol=1e-12)
    return len(places)


def pixels_reached(module: nn.Module, layer: Layer, size: tuple[int, int], y: int, x: int) -> tuple[int, int]:
    """Height and width of the box of pixels with a gradient for one position, where paths do not cancel."""
    image = torch.ones(1, 3, *size, dtype=torch.float64, requires_grad=True)
    seen: list[Tensor] = []
    handle = module.get_submodule(layer.observed).register_forward_hook(lambda m, i, output: seen.append(output))
    module(image)
    handle.remove()
    (gradient,) = torch.autograd.grad(seen[0][0, :, y, x].sum(), image)
    rows, columns = ((gradient[0].sum(0) != 0).any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    # A position may see nothing but padding.
    return (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) if rows else (0, 0)


def check_smallest(network: fs.Network, layer: Layer, canvas: Canvas) -> None:
    """All that a unit can see is on the canvas, and would be on none that is smaller by a row or a column."""
    module = network.module
    for parameter in module.parameters():
        parameter.data = parameter.data.abs() + 0.1
    for name, child in list(module.named_children()):
        # A maximum passes its gradient to the winner alone; an average of the same window shows who could win.
        if isinstance(child, nn.MaxPool2d):
            setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
    assert pixels_reached(module, layer, canvas.size, *canvas.centres[layer.name]) == layer.field_size
    for axis in (0, 1):
        size = (canvas.size[0] - (axis == 0), canvas.size[1] - (axis == 1))
        if min(size) < 1:
            continue
        try:
            rows, columns = map_of(network, layer, torch.ones(1, 3, *size, dtype=torch.float64)).shape[2:]
        except RuntimeError:
            continue  # a kernel does not even fit
        # Along the other axis nothing has changed: its middle will do.
        middle = canvas.centres[layer.name][1 - axis]
        places = [
            (at, min(middle, columns - 1)) if axis == 0 else (min(middle, rows - 1), at)
            for at in range((rows, columns)[axis])
        ]
        assert all(pixels_reached(module, layer, size, *place)[axis] < layer.field_size[axis] for place in places)


@st.composite
def chains(draw: st.DrawFn) -> nn.Sequential:
    """Draw up to five convolutions and poolings with all that shifts positions."""
    modules: list[nn.Module] = [
        nn.Conv2d(3, 4, draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.integers(0, 2)))
    ]
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["conv", "grouped", "depthwise", "max", "average", "oblong"]))
        kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 2))
        padding, dilation = draw(st.integers(0, 2)), draw(st.integers(1, 2))
        if kind == "max":
            modules.append(nn.MaxPool2d(kernel, stride, min(padding, kernel // 2), ceil_mode=draw(st.booleans())))
        elif kind == "average":
            modules.append(nn.AvgPool2d(kernel, stride, min(padding, kernel // 2), ceil_mode=draw(st.booleans())))
        elif kind == "oblong":
            modules.append(nn.Conv2d(4, 4, (kernel, 3), (1, stride), (padding, 1)))
        else:
            groups = {"conv": 1, "grouped": 2, "depthwise": 4}[kind]
            modules.append(nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups))
        modules.append(nn.ReLU(inplace=True))
    return nn.Sequential(*modules, nn.Conv2d(4, 4, 1))


# A chain is short as it is: to make one that fails shorter yet takes minutes.
@settings(max_examples=20, deadline=None, derandomize=True, phases=[Phase.generate])
@given(chains())
def test_a_unit_has_the_same_value_on_its_canvas_and_the_canvas_is_the_smallest(module):
    torch.manual_seed(0)
    network = opened(module)
    layer = network.layers()[-1]
    assume(layer.field_size is not None and max(layer.field_size) <= 60)
    canvas = fit_canvas(network, [layer])
    assert check_values(network, layer, canvas) > 0
    check_smallest(network, layer, canvas)


class Block(nn.Module):
    """Two ways of different reach, one strided on the shortcut; batch norm; in-place addition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.wide = nn.Conv2d(4, 4, 3, stride=2, padding=4, dilation=4)
        self.short = nn.Conv2d(4, 4, 1, stride=2)
        self.depthwise = nn.Conv2d(4, 4, (5, 3), padding=(2, 1), groups=4)
        self.last = nn.Conv2d(4, 2, 3, padding="same", dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu_(self.norm(self.stem(x))))
        x = self.wide(x).add_(self.short(x))
        return self.last(F.hardswish(self.depthwise(F.relu(x))))


@pytest.mark.parametrize("name", ["stem", "wide", "short", "depthwise"])
def test_values_and_size_hold_in_a_network_with_branches(name):
    torch.manual_seed(0)
    network = opened(Block())
    network.module.norm.running_mean.normal_()
    layer = network.layer(name)
    canvas = fit_canvas(network, [layer])
    assert all(side < full for side, full in zip(canvas.size, FULL, strict=True))
    assert check_values(network, layer, canvas) > 0
    check_smallest(network, layer, canvas)


class Hourglass(nn.Module):
    """Down and up again by a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, 2, 1)
        self.deep = nn.Conv2d(4, 4, 3, 2, 1)
        self.up = nn.ConvTranspose2d(4, 4, 4, 2, 1)
        self.last = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.up(F.relu(self.deep(F.relu(self.down(x)))))))


def test_after_upsampling_the_value_is_that_of_positions_of_the_same_phase():
    torch.manual_seed(0)
    network = opened(Hourglass())
    layer = network.layer("last")
    canvas = fit_canvas(network, [layer])
    assert canvas.size[0] < FULL[0]
    # Two positions of the upsampled map share one of the deepest.
    assert check_values(network, layer, canvas, period=2) > 0


def test_a_canvas_for_several_layers_holds_each_ones_field_at_its_centre():
    torch.manual_seed(0)
    network = opened(Block())
    layers = [network.layer(name) for name in ("stem", "wide", "depthwise")]
    canvas = fit_canvas(network, layers)
    assert canvas.size == fit_canvas(network, layers[2:]).size
    for layer in layers:
        assert check_values(network, layer, canvas) > 0


@pytest.mark.parametrize("name", ["stem", "wide", "short", "depthwise"])
@pytest.mark.parametrize("size", [64, 71, 85, None])
def test_on_a_larger_canvas_the_centre_is_the_position_whose_field_is_nearest_to_the_middle(name, size):
    network = opened(Block())
    layer = network.layer(name)
    canvas = fit_canvas(network, [layer], size=size, whole=size is None)
    positions = map_of(network, layer, torch.zeros(1, 3, *canvas.size, dtype=torch.float64)).shape[2:]
    for axis in (0, 1):
        start, length, stride = (fact[axis] for fact in (layer.field_start, layer.field_size, layer.field_stride))
        middles = start + stride * np.arange(positions[axis]) + (length - 1) / 2
        away = np.abs(middles - (canvas.size[axis] - 1) / 2)
        assert away[canvas.centres[name][axis]] == away.min()


def test_the_first_layer_of_resnet_by_hand():
    # 7 x 7 with stride 2 and padding 3: the third position is the first that sees no padding, from pixel 1 to 7.
    network = opened(Block())
    canvas = fit_canvas(network, [network.layer("stem")])
    assert canvas == Canvas((8, 8), {"stem": (2, 2)}, FULL)
    assert canvas.box(network.layer("stem"), 10, 2) == ((16, 24), (0, 8))


class Gated(nn.Module):
    """Squeeze-and-excite between two convolutions, and a head that sees everything."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, 4, 3, padding=1)
        self.excite = nn.Conv2d(4, 4, 1)
        self.after = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.before(x))
        x = self.after(x * torch.sigmoid(self.excite(F.adaptive_avg_pool2d(x, 1))))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("name", "size"), [("before", (3, 3)), ("after", (20, 30)), ("excite", (20, 30)), ("head", (20, 30))]
)
def test_what_sees_the_whole_image_gets_the_input_size(name, size):
    network = opened(Gated(), (20, 30))
    layer = network.layer(name)
    assert fit_canvas(network, [layer]).size == size


class Fussy(nn.Module):
    """Takes one size only, as networks with position embeddings do."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4 * size[0] * size[1], 2)
        self.closed = False

    def forward(self, x: Tensor) -> Tensor:
        if self.closed or x.shape[2:] != self.size:
            raise ValueError("my way or no way")
        return self.head(self.conv(x).flatten(1))


def test_a_network_that_refuses_small_images_gets_its_input_size():
    network = opened(Fussy((10, 12)), (10, 12))
    layer = network.layer("conv")
    assert fit_canvas(network, [layer]).size == (10, 12)
    network.module.closed = True
    with pytest.raises(BadModel, match="refuses an input of 10 x 12: my way or no way"):
        fit_canvas(network, [layer])


def test_a_layer_before_a_head_of_fixed_size_needs_no_more_than_its_field():
    network = fs.Network(nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 8, 2)), looks(3, (8, 12)))
    assert fit_canvas(network, [network.layer("0")]).size == (5, 5)
    assert fit_canvas(network, [network.layer("2")]).size == (8, 12)


@pytest.mark.parametrize("full", [(8, 8), (8, 40), (40, 8), (3, 5)], ids=str)
def test_the_canvas_is_never_larger_than_the_input(full):
    network = opened(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 9, 2, padding=4)), full)
    for layer in network.layers():
        canvas = fit_canvas(network, [layer])
        # 11 pixels of field and one before it, so that it begins on the image.
        longest = {"0": 4 - 1, "1": 12}[layer.name]
        assert canvas.size == tuple(min(side, longest) for side in full)
        rows, columns = map_of(network, layer, torch.zeros(1, 3, *canvas.size, dtype=torch.float64)).shape[2:]
        y, x = canvas.centres[layer.name]
        assert 0 <= y < rows
        assert 0 <= x < columns


def test_where_the_field_does_not_fit_the_centre_is_the_position_that_sees_most():
    network = opened(nn.Sequential(nn.Conv2d(3, 4, 31, padding=15)), (8, 12))
    canvas = fit_canvas(network, [network.layer("0")])
    assert canvas.size == (8, 12)
    y, x = canvas.centres["0"]
    assert y in (3, 4)
    assert x in (5, 6)


def test_a_size_may_be_asked_for_and_is_cut_to_the_input():
    network = small(size=(16, 20))
    layer = network.layer("stem")
    assert fit_canvas(network, [layer], size=10).size == (10, 10)
    assert fit_canvas(network, [layer], size=18).size == (16, 18)
    assert fit_canvas(network, [layer], whole=True).size == (16, 20)
    assert fit_canvas(network, []).size == (16, 20)


def test_fitting_leaves_the_module_in_training_as_it_was():
    network = small()
    network.module.train()
    network.module.norm.eval()
    before = network.module.norm.running_mean.clone()
    fit_canvas(network, [network.layer("body")])
    assert [child.training for child in network.module.modules()] == [True, True, False, True, True, True]
    assert torch.equal(network.module.norm.running_mean, before)
