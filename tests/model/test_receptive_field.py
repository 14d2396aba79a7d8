"""The closed form of the receptive field, held against where gradient arrives."""

import pytest
import torch
import torch.nn.functional as F

from filterscope.model import ReceptiveField, Window, receptive_field


def pixels_with_gradient(path: list[Window], length: int, unit: int) -> range:
    image = torch.ones(1, 1, length, dtype=torch.float64, requires_grad=True)
    values = image
    for window in path:
        kernel = torch.ones(1, 1, window.kernel, dtype=torch.float64)
        values = F.conv1d(values, kernel, None, window.stride, window.padding, window.dilation)
    (gradient,) = torch.autograd.grad(values[0, 0, unit], image)
    reached = gradient[0, 0].nonzero().flatten().tolist()
    return range(reached[0], reached[-1] + 1)


@pytest.mark.parametrize(
    "path",
    [
        [],
        [Window(7, 2, 3), Window(3, 2, 1)],
        [Window(3, dilation=2), Window(3, dilation=4, padding=4)],
        [Window(4, 2, 1), Window(2), Window(3)],
        [Window(3, 1, 1), Window(1, 2), Window(3, 1, 1)],
        [Window(2, 3), Window(5, 1, 2)],
    ],
    ids=["identity", "stem", "dilated", "even kernel", "strided 1x1", "stride beyond kernel"],
)
def test_receptive_field_is_where_the_gradient_reaches(path: list[Window]) -> None:
    assert receptive_field(path).pixels(unit=6) == pixels_with_gradient(path, length=101, unit=6)


def test_pixels_in_the_padding_are_counted() -> None:
    assert receptive_field([Window(7, 2, 3)]).pixels(0) == range(-3, 4)


def test_published_sizes_are_met() -> None:
    # Araujo, Norris, Sim (2019), table 1: VGG-16 at its last convolution but pool5 has 212, AlexNet 195.
    block, pool = [Window(3, padding=1)], [Window(2, 2)]
    vgg16 = 2 * block + pool + 2 * block + pool + 3 * block + pool + 3 * block + pool + 3 * block + pool
    assert receptive_field(vgg16) == ReceptiveField(size=212, stride=32, start=-90)
    alexnet = [Window(11, 4), Window(3, 2), Window(5, 1, 2), Window(3, 2)] + 3 * [Window(3, 1, 1)] + [Window(3, 2)]
    assert receptive_field(alexnet).size == 195


@pytest.mark.parametrize("wrong", [Window(0), Window(3, 0), Window(3, 1, -1), Window(3, 1, 0, 0)])
def test_what_is_no_window_is_refused_and_named(wrong: Window) -> None:
    with pytest.raises(ValueError, match=r"step 1 of the path is not a window: Window\("):
        receptive_field([Window(3), wrong])
