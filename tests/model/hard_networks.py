"""Small networks with everything that makes reading a network hard."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions beside a strided 1x1; in-place addition and activation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.first = nn.Conv2d(4, 4, 3, 2, 1)
        self.second = nn.Conv2d(4, 4, 3, 1, 1)
        self.shortcut = nn.Conv2d(4, 4, 1, 2)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(4, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        out = self.second(self.relu(self.first(x)))
        out += self.shortcut(x)
        return self.last(self.relu(out))


class Inception(nn.Module):
    """Branches of different reach, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 2, 1)
        self.five = nn.Conv2d(3, 2, (5, 3), padding=(2, 1))
        self.dilated = nn.Conv2d(3, 2, 3, padding=4, dilation=4)
        self.pooled = nn.Conv2d(3, 2, 1)
        self.last = nn.Conv2d(8, 3, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(x, 3, stride=1, padding=1)
        return self.last(torch.cat([self.one(x), self.five(x), self.dilated(x), self.pooled(pooled)], dim=1))


class Gated(nn.Module):
    """Squeeze-and-excite: a local field with a gate from the whole image."""

    def __init__(self, *, open_gate: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.squeeze = nn.Conv2d(4, 2, 1)
        self.excite = nn.Conv2d(2, 4, 1)
        self.last = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.open_gate = open_gate

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.first(x))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return self.last(x * (gate.detach() if self.open_gate else gate))


class CeilPooling(nn.Module):
    """Pooling windows that hang over the edge, and functional activations."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 4, 3, padding="same", dilation=2)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.last = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x)), 2, ceil_mode=True)
        return self.last(self.pool(F.relu(self.second(x), inplace=True)))


class Hourglass(nn.Module):
    """Down and up again: a transposed convolution, bilinear resampling, a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 4, 3, 2, 1)
        self.deep = nn.Conv2d(4, 4, 3, 2, 1)
        self.up = nn.ConvTranspose2d(4, 4, 4, 2, 1)
        self.after = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        deep = self.after(self.up(self.deep(F.relu(self.down(x)))))
        up = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        return self.last(torch.cat([x, up], dim=1))


class Shared(nn.Module):
    """One convolution that is called three times, the last time on a smaller map; registered under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.alias = self.conv
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.norm(self.stem(x)))
        x = F.relu_(self.conv(x))
        x = F.relu_(self.alias(x))
        return self.conv(F.avg_pool2d(x, 2))


class Shuffled(nn.Module):
    """Channels that are split, shuffled and written into a new tensor; a layer norm over channels, channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.norm = nn.LayerNorm(8)
        self.linear = nn.Linear(8, 8)
        self.last = nn.Conv2d(8, 4, 2, padding="valid")

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        left, right = x.chunk(2, dim=1)
        out = torch.zeros_like(x)
        out[:, 0::2] = left
        out[:, 1::2] = self.depthwise(right)
        out = self.linear(self.norm(out.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return self.last(F.gelu(out))


class Straight(torch.autograd.Function):
    """A ReLU whose backward pass is its own: it can be differentiated, but neither recorded nor replayed."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        return gradient * (x > 0)


class Custom(nn.Module):
    """A layer before an operation that cannot be replayed, and one after it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(Straight.apply(self.first(x))).mean((2, 3))
