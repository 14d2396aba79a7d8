"""Take channels out of a module: slices of its weights, and the numbers in which it remembers its widths."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from filterscope.surgery.refused import Refused


def cut_convolution(own: nn.Conv2d | nn.ConvTranspose2d, outs: Collection[int], ins: Collection[int]) -> None:
    """Take out what it makes and what it reads; of a grouped one, as many from every group, or whole groups.

    Raises:
        Refused: if the groups that are left would not be of one size.
    """
    transposed = isinstance(own, nn.ConvTranspose2d)
    weight = own.weight.detach().transpose(0, 1) if transposed else own.weight.detach()
    made, read = weight.shape[0] // own.groups, own.in_channels // own.groups
    blocks, kept_outs, kept_ins = [], [], []
    for group in range(own.groups):
        rows = [one for one in range(group * made, (group + 1) * made) if one not in outs]
        columns = [one for one in range(group * read, (group + 1) * read) if one not in ins]
        if rows and columns:
            blocks.append(weight[rows][:, [one - group * read for one in columns]])
            kept_outs += rows
            kept_ins += columns
        elif rows or columns:
            raise Refused("a group would be left that makes nothing or reads nothing")
    if len({block.shape for block in blocks}) != 1:
        raise Refused("the groups that are left would not be of one size")
    new = torch.cat(blocks)
    replace(own, "weight", new.transpose(0, 1) if transposed else new)
    if own.bias is not None:
        replace(own, "bias", own.bias.detach()[kept_outs])
    own.groups, own.out_channels, own.in_channels = len(blocks), len(kept_outs), len(kept_ins)


def cut_linear(own: nn.Linear, outs: Collection[int], ins: Collection[int]) -> None:
    """Take out what it makes and what it reads."""
    rows = [one for one in range(own.out_features) if one not in outs]
    columns = [one for one in range(own.in_features) if one not in ins]
    replace(own, "weight", own.weight.detach()[rows][:, columns])
    if own.bias is not None:
        replace(own, "bias", own.bias.detach()[rows])
    own.out_features, own.in_features = len(rows), len(columns)


def cut_vector(own: nn.Module, attribute: str, channels: Collection[int]) -> None:
    """Take channels out of a parameter or buffer with one number a channel."""
    tensor: Tensor = getattr(own, attribute).detach()
    axis = max(range(tensor.ndim), key=lambda dim: tensor.shape[dim])
    before = tensor.shape[axis]
    kept = torch.tensor([one for one in range(before) if one not in channels], device=tensor.device)
    replace(own, attribute, tensor.index_select(axis, kept))
    for width in WIDTHS:
        if getattr(own, width, None) == before:
            setattr(own, width, len(kept))


WIDTHS = ("num_features", "num_parameters")
"""Where norms and PReLU remember how many channels they have."""


def replace(own: nn.Module, attribute: str, value: Tensor) -> None:
    """Put a smaller tensor where a parameter or buffer was."""
    if attribute in own._buffers:
        own._buffers[attribute] = value.clone()
    else:
        asks = getattr(own, attribute).requires_grad
        own._parameters[attribute] = nn.Parameter(value.clone().contiguous(), requires_grad=asks)
