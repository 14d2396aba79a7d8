"""The receptive field of a chain of layers in closed form: which pixels can reach a unit."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """How a convolution or pooling slides along one axis; lengths are in positions of its input."""

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1


@dataclass(frozen=True)
class ReceptiveField:
    """Along one axis, unit ``i`` sees the ``size`` pixels from ``start + i * stride`` on.

    Pixels before 0 or beyond the image are padding. The default is the image itself.
    """

    size: int = 1
    stride: int = 1
    start: int = 0

    def then(self, window: Window) -> "ReceptiveField":
        """Give the field of a layer that slides ``window`` over units with this field."""
        return ReceptiveField(
            size=self.size + (window.kernel - 1) * window.dilation * self.stride,
            stride=self.stride * window.stride,
            start=self.start - window.padding * self.stride,
        )

    def pixels(self, unit: int) -> range:
        """Give the pixels that can reach the unit at position ``unit``, those in the padding included."""
        first = self.start + unit * self.stride
        return range(first, first + self.size)


def receptive_field(path: Iterable[Window]) -> ReceptiveField:
    """Compose ``path`` into the theoretical receptive field of its last layer.

    It is what *can* reach a unit, not how strongly.

    Args:
        path: the windows from image to layer, along one axis, first layer first.
    Raises:
        ValueError: if a kernel, stride or dilation is below 1, or a padding below 0.
    Source: Araujo, Norris, Sim (2019), Distill. doi:10.23915/distill.00021
    Example:
        >>> receptive_field([Window(7, 2, 3), Window(3, 2, 1)])  # the ResNet stem
        ReceptiveField(size=11, stride=4, start=-5)
    """
    field = ReceptiveField()
    for step, window in enumerate(path):
        if min(window.kernel, window.stride, window.dilation) < 1 or window.padding < 0:
            raise ValueError(f"step {step} of the path is not a window: {window}")
        field = field.then(window)
    return field
