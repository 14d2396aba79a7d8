"""A layer's units as affine functions of what the layer is given: weights and bias, batch norm folded in."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from filterscope.atlas.records import Layer
from filterscope.lenses.kernels import kernel_array
from filterscope.model import Network


@dataclass(frozen=True, eq=False)
class Affine:
    """Unit k gives weights[k] * input + bias[k], where its group of the input's channels is meant."""

    weights: Float[np.ndarray, "unit channel height width"]
    bias: Float[np.ndarray, "unit"]
    groups: int

    def vectors(self) -> Float[np.ndarray, "unit number"]:
        """Weights and bias of every unit in one row."""
        return np.concatenate([self.weights.reshape(len(self.weights), -1), self.bias[:, None]], 1)

    def group_of(self) -> NDArray[np.int64]:
        """(unit,): units of one group read the same channels."""
        return np.arange(len(self.weights)) // max(len(self.weights) // self.groups, 1)


def affine(network: Network, layer: Layer) -> Affine | None:
    """A layer's units in float64; None where it has no weights of that form, or they are not finite."""
    weights = kernel_array(network, layer)
    if weights is None:
        return None
    own = network.module.get_submodule(layer.name)
    scale, shift = batch_norm(network.module, layer)
    bias = getattr(own, "bias", None)
    plain = bias.detach().double().cpu().numpy() if isinstance(bias, Tensor) else np.zeros(layer.channels)
    folded = Affine(weights * scale[:, None, None, None], plain * scale + shift, layer.groups or 1)
    return folded if np.isfinite(folded.vectors()).all() else None


def batch_norm(module: nn.Module, layer: Layer) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By what the batch norm that belongs to a layer multiplies every unit, and what it adds; 1 and 0 without one."""
    names = [layer.observed, layer.observed.rpartition(".")[0]] if layer.observed != layer.name else []
    for norm in (module.get_submodule(name) for name in names if name):
        variance, mean = getattr(norm, "running_var", None), getattr(norm, "running_mean", None)
        if isinstance(variance, Tensor) and isinstance(mean, Tensor) and len(variance) == layer.channels:
            gamma, beta = getattr(norm, "weight", None), getattr(norm, "bias", None)
            top = gamma.detach().double() if isinstance(gamma, Tensor) else torch.ones(layer.channels).double()
            base = beta.detach().double() if isinstance(beta, Tensor) else torch.zeros(layer.channels).double()
            scale = top.cpu() / (variance.detach().double().cpu() + float(getattr(norm, "eps", 1e-5))).sqrt()
            shift = base.cpu() - mean.detach().double().cpu() * scale
            return np.asarray(scale.numpy()), np.asarray(shift.numpy())
    return np.ones(layer.channels), np.zeros(layer.channels)
