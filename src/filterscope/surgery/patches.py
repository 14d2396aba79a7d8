"""What a layer is given, as rows of numbers at some places: what least squares on responses needs of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def grid(own: nn.Module, given: Tensor) -> tuple[int, int]:
    """At how many places of every image a convolution or linear layer answers: rows, and places in each."""
    if isinstance(own, nn.Linear):
        return 1, int(given[0].numel() // given.shape[-1])
    assert isinstance(own, nn.Conv2d)
    right, below = own._reversed_padding_repeated_twice[:2], own._reversed_padding_repeated_twice[2:]
    sizes = given.shape[2] + sum(below), given.shape[3] + sum(right)
    rows, columns = (
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, dilation, kernel, stride in zip(sizes, own.dilation, own.kernel_size, own.stride, strict=True)
    )
    return rows, columns


def patches(own: nn.Module, given: Tensor, places: Tensor) -> Tensor:
    """What a layer reads at some places, its padding included: (image * place, column), in the order of its weights.

    Args:
        own: a convolution without groups, or a linear layer.
        given: what it is given, (image, channel, height, width) or (image, ..., feature).
        places: which places, counted row by row over its answers.
    """
    if isinstance(own, nn.Linear):
        return given.reshape(len(given), -1, given.shape[-1])[:, places].flatten(0, 1)
    assert isinstance(own, nn.Conv2d)
    mode = "constant" if own.padding_mode == "zeros" else own.padding_mode
    padded = functional.pad(given, own._reversed_padding_repeated_twice, mode=mode)
    width = grid(own, given)[1]
    down, right = (torch.arange(size, device=given.device) for size in own.kernel_size)
    rows = (places // width * own.stride[0])[:, None, None] + down[:, None] * own.dilation[0]
    columns = (places % width * own.stride[1])[:, None, None] + right * own.dilation[1]
    seen = padded[:, :, rows, columns]
    return seen.transpose(1, 2).flatten(2).flatten(0, 1)


def answers_at(own: nn.Module, output: Tensor, places: Tensor) -> Tensor:
    """What a layer answers at some places: (image * place, unit)."""
    if isinstance(own, nn.Linear):
        return output.reshape(len(output), -1, output.shape[-1])[:, places].flatten(0, 1)
    return output.flatten(2)[:, :, places].transpose(1, 2).flatten(0, 1)


def columns_of(own: nn.Module, channels: tuple[int, ...]) -> list[int]:
    """The columns of a patch that belong to some of a layer's input channels."""
    size = 1
    if isinstance(own, nn.Conv2d):
        size = own.kernel_size[0] * own.kernel_size[1]
    return [channel * size + at for channel in channels for at in range(size)]
