"""What goes into a network and what is read from it, the same way for every step and every measurement."""

import torch
from jaxtyping import Float
from torch import Tensor

from filterscope.atlas.records import Layer
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.tensors import standardise
from filterscope.model.layers import units_last
from filterscope.model.tap import Outputs


def network_input(
    images: Float[Tensor, "item channel height width"], preprocessing: Preprocessing, dtype: torch.dtype
) -> Float[Tensor, "item channel height width"]:
    """What a network of ``dtype`` takes for images in 0 to 1, in the order in memory that convolutions like best."""
    return standardise(images, preprocessing).to(dtype).contiguous(memory_format=torch.channels_last)


def maps_of(outputs: Outputs, layer: Layer) -> Float[Tensor, "item unit row column"]:
    """A layer's pre-activations, in float32; of a layer that is called more than once those of the first call."""
    output = outputs[layer.observed]
    return units_last(output[0] if isinstance(output, tuple) else output, layer).movedim(3, 1).float()
