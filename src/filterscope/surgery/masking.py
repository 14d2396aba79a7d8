"""Hold units at what they always are, in a network of which nothing can be cut out."""

from collections.abc import Sequence

import torch
from torch import nn

from filterscope.surgery.edits import State
from filterscope.surgery.refused import Refused


def mask(state: State, module: nn.Module, layer: str, units: Sequence[int]) -> None:
    """Give units no weights, and the largest pre-activation that they can have as their bias.

    Whoever reads a unit that is dead or constant is given the same for every pre-activation in its range; who does not
    read it does not care.

    Args:
        module: a copy of the state's; changed in place.
    Raises:
        Refused: if the range is not known, or there is no bias that could hold it.
    """
    if layer not in state.layers or layer not in state.ranges:
        raise Refused(f"what {layer} gives is not known")
    told = state.layers[layer]
    level = torch.from_numpy(state.ranges[layer].upper[list(units)])
    if not bool(torch.isfinite(level).all()):
        raise Refused(f"what {layer} gives has no bound")
    own = module.get_submodule(layer)
    places = [told.observed, told.observed.rpartition(".")[0]] if told.observed != layer else [layer]
    holder = next((one for name in places if name and isinstance(one := module.get_submodule(name), HOLDERS)), None)
    if not isinstance(own, nn.Conv2d) or holder is None or (holder is not own and holder.bias is None):
        raise Refused(f"{layer} has no bias at which it could be held")
    rows = list(units)
    with torch.no_grad():
        own.weight[rows] = 0
        if holder is own and own.bias is None:
            own.bias = nn.Parameter(own.weight.new_zeros(own.out_channels))
        elif own.bias is not None:
            own.bias[rows] = 0
        if holder is not own:
            holder.weight[rows] = 0
        assert holder.bias is not None
        holder.bias[rows] = level.to(holder.bias)


HOLDERS = (nn.Conv2d, nn.modules.batchnorm._BatchNorm)
