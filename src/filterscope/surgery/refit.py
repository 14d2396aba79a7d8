"""Every layer fitted anew to what the original answered, given what a smaller network now hands it."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from filterscope.surgery.leastsquares import RIDGE, Moments, fitted
from filterscope.surgery.moments import Gathering
from filterscope.surgery.patches import columns_of


def can_fit(own: nn.Module) -> bool:
    """Whether a layer's weights can be fitted: it reads all of its input channels for every unit."""
    return isinstance(own, nn.Linear) or (isinstance(own, nn.Conv2d) and own.groups == 1)


def rows_of(own: nn.Module) -> Tensor:
    """(unit, column): weights of a layer, its bias as the last column; in float64."""
    assert isinstance(own, (nn.Conv2d, nn.Linear))
    weight = own.weight.detach().double().flatten(1)
    bias = weight.new_zeros(len(weight)) if own.bias is None else own.bias.detach().double()
    return torch.cat([weight, bias[:, None]], 1)


def set_rows(own: nn.Module, rows: Tensor) -> None:
    """Give a layer the weights and bias that :func:`rows_of` would tell."""
    assert isinstance(own, (nn.Conv2d, nn.Linear))
    weight, bias = rows[:, :-1].reshape(own.weight.shape).to(own.weight), rows[:, -1].to(own.weight)
    with torch.no_grad():
        own.weight.copy_(weight)
        if own.bias is not None:
            own.bias.copy_(bias)
        elif bool(bias.any()):
            own.bias = nn.Parameter(bias, requires_grad=own.weight.requires_grad)


def refit(
    module: nn.Module,
    before: Mapping[str, Tensor],
    gathering: Gathering,
    gone: Mapping[str, Sequence[int]],
    *,
    units: Mapping[str, Sequence[int]] | None = None,
    ridge: float = RIDGE,
    told: Callable[[str, Moments], None] | None = None,
) -> None:
    """Fit all layers of a copy, in place, to what the original's layers answer, given what those before them now do.

    One after the other in the order in which they run, while the images go through: fitted all at once to what they
    were given before, they would all make up for the same loss.

    Args:
        module: the copy.
        before: the rows of its layers that they stay near to.
        gathering: the images, and the original's answers.
        gone: for layers that lost some, the input channels that have to stay zero.
        units: for layers that were cut, which units of the original they still have.
        told: called with each layer's name and moments.
    """

    def fit(name: str, own: nn.Module, moments: Moments) -> None:
        set_rows(own, fitted(moments, before[name], columns_of(own, tuple(gone.get(name, ()))), ridge))
        if told is not None:
            told(name, moments)

    gathering.through(module, [name for name in before if name in gathering.wanted], fit, units)
