"""Which units have a path of weights to the network's output: the others are never read, whatever they say.

On a copy of the network in which every weight that is not zero is a small positive number and every activation lies
where its slope is positive, nothing can cancel: the gradient of the output is zero exactly where no path leads.
"""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from filterscope.atlas.records import Layer
from filterscope.model.layers import units_last
from filterscope.model.network import Network
from filterscope.model.running import copied, tensors_in
from filterscope.model.tap import Visitor, tap

SMALL = 1e-3
"""The image's values: small ones stay where clipped activations rise."""

MIXING = (nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear)
NORMS = (nn.modules.batchnorm._BatchNorm,)


def find_paths(network: Network, layers: Sequence[Layer], seed: int = 0) -> dict[str, NDArray[np.bool_]] | None:
    """For every layer, which of its units have a path of non-zero weights to the output.

    Returns:
        (unit,) of each layer; None where the output does not depend on the layers in a way that has a gradient.
    Raises:
        BadModel: if the network cannot be copied.
    """
    module = copied(network.module).double()
    dice = torch.Generator().manual_seed(seed)
    make_positive(module, dice)
    by_module: dict[str, list[Layer]] = {}
    for layer in layers:
        by_module.setdefault(layer.observed, []).append(layer)
    example = network.example().cpu().double()
    image = SMALL * (0.5 + torch.rand(example.shape, generator=dice, dtype=torch.float64)).to(network.device)
    image.requires_grad_()
    kept: dict[str, list[Tensor]] = {name: [] for name in by_module}

    def visit(name: str, _call: int, output: Tensor) -> None:
        kept[name].append(output)

    answers = answers_of(module, by_module, image, visit)
    outputs = [output for some in kept.values() for output in some if output.requires_grad]
    if not answers or not outputs:
        return None
    # Any weights do, but equal ones would cancel behind a softmax.
    total = sum(
        (one * (0.5 + torch.rand(one.shape, generator=dice, dtype=one.dtype).to(one.device))).sum() for one in answers
    )
    slopes = torch.autograd.grad(total, outputs, allow_unused=True)  # type: ignore[arg-type]
    by_output = dict(zip(map(id, outputs), slopes, strict=True))
    found = {layer.name: np.zeros(layer.channels, bool) for layer in layers}
    for name, some in kept.items():
        for layer in by_module[name]:
            for output in some:
                slope = by_output.get(id(output))
                if slope is not None:
                    maps = units_last(slope, layer)
                    found[layer.name] |= (maps != 0).any(0).any(0).any(0).cpu().numpy()
    return found


def make_positive(module: nn.Module, dice: torch.Generator) -> None:
    """Put a small positive number in the place of every weight that is not zero, and nothing in that of biases.

    Each by the number of weights that are added up, so that values keep their size however deep the network.
    """
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, MIXING):
                weight = part.weight
                spread = 0.5 + torch.rand(weight.shape, generator=dice, dtype=torch.float64).to(weight.device)
                reach = weight[0].numel() if not isinstance(part, nn.ConvTranspose2d) else weight[:, 0].numel()
                weight.copy_((weight != 0) * spread / max(reach, 1))
                if part.bias is not None:
                    part.bias.zero_()
            elif isinstance(part, NORMS):
                if part.weight is not None:
                    part.weight.copy_((part.weight != 0).double())
                for tensor, value in ((part.bias, 0.0), (part.running_mean, 0.0), (part.running_var, 1.0)):
                    if tensor is not None:
                        tensor.fill_(value)


def answers_of(module: nn.Module, names: Iterable[str], image: Tensor, visitor: Visitor) -> list[Tensor]:
    """All of the network's outputs that have a gradient, while a visitor sees the layers."""
    answers: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _given, output: answers.extend(tensors_in(output)))
    try:
        with warnings.catch_warnings(), torch.enable_grad(), tap(module, names, stop=False) as read:
            warnings.simplefilter("ignore")
            read.visit(image, visitor)
    finally:
        handle.remove()
    return [one for one in answers if one.requires_grad]
