"""The ways back from units to pixels that take one backward pass: gradient, guided backpropagation, deconvnet."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from filterscope.atlas.records import Layer
from filterscope.errors import BadModel, FilterscopeError, UnknownName
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.tensors import per_pixel
from filterscope.model import Network, tap
from filterscope.model.gates import WHOLE, Backward, gated
from filterscope.model.layers import outputs_last, units_last
from filterscope.model.running import one_line
from filterscope.model.tap import Outputs

WAYS: dict[str, Backward | None] = {
    "gradient": None,
    "gradient x input": None,
    "guided": "guided",
    "deconvnet": "deconvnet",
    "exact": "exact",
}
"""What a ReLU does on the way back, by method; None: nothing is caught, autograd goes its own way."""

METHODS = ("gradient", "gradient x input", "guided", "deconvnet")
"""The methods that a picture can be made by; ``exact`` gives W of the affine model and is not one of them.

In a network whose only activations are piecewise linear it is the gradient.
"""


def check_method(method: str, methods: tuple[str, ...] = METHODS) -> str:
    """The method, if there is such a one.

    Raises:
        UnknownName: with those there are.
    """
    if method not in methods:
        raise UnknownName.of("method", method, methods, f"there are: {', '.join(methods)}")
    return method


def forward(network: Network, images: Tensor, layer: Layer | None, method: str) -> list[Float[Tensor, "..."]]:
    """Run the network on ``images``, which require a gradient, so that what goes back goes by the method.

    Args:
        network: the network; it is left as it was.
        images: (image, channel, height, width), preprocessed.
        layer: whose units are read; None: the network's own output.
        method: a key of ``WAYS``.
    Returns:
        Pre-activations (image, row, column, unit), one tensor a call of the layer.
    Raises:
        BadModel: if the network refuses the images; if the way back stands on gates and an operation cannot be
            replayed: it is named.
    """
    backward = WAYS[method]
    name = WHOLE if layer is None else layer.observed
    calls = None if layer is None else {name: layer.calls}
    if backward is not None:
        outputs = gated(network.module, images, [name], backward=backward, calls=calls)
    else:
        outputs = plain(network, images, name, calls)
    given: Any = outputs[name]
    calls_of = (given,) if isinstance(given, Tensor) else given
    return [outputs_last(one) if layer is None else units_last(one, layer) for one in calls_of]


def plain(network: Network, images: Tensor, name: str, calls: dict[str, int] | None) -> Outputs:
    """What a layer puts out, as autograd sees it."""
    # How often a module is called may depend on the image: where one is called again, the pass goes to its end.
    stop = calls is not None and all(count == 1 for count in calls.values())
    with torch.enable_grad(), tap(network.module, [name], stop=stop, calls=calls) as read:
        try:
            # A copy: a network that changes its input in place cannot change a leaf.
            return read(images.clone())
        except FilterscopeError:
            raise
        except Exception as error:
            size = " x ".join(str(length) for length in images.shape)
            raise BadModel(f"the network refuses an input of {size}: {one_line(error)}") from error


def as_picture(
    gradient: Float[Tensor, "image channel height width"],
    images: Float[Tensor, "image channel height width"],
    method: str,
    preprocessing: Preprocessing,
) -> Float[np.ndarray, "image height width channel"]:
    """What is shown of a gradient, colours in the order RGB.

    In pre-activation per pixel value (1: the way from black to white); of ``gradient x input`` in pre-activation.
    """
    if method == "gradient x input":
        values = gradient * images
        values = values.flip(1) if preprocessing.channels == "BGR" else values
    else:
        values = per_pixel(gradient, preprocessing)
    return np.asarray(values.detach().to("cpu", torch.float32).permute(0, 2, 3, 1).contiguous().numpy())
