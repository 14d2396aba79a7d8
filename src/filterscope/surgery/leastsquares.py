"""Least squares on responses: weights that make up for what a layer lost, and what losing more of it would cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PENDING = 256
"""Columns of what an inverse still has to lose, from which on they are taken from it at once."""

RIDGE = 1e-2
"""Added to the diagonal, as a share of its mean: what images do not tell apart stays as the weights had it."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Means over images and places of what a layer reads, a one appended, and of what it should answer.

    Attributes:
        inputs: (column, column) mean products of what it reads; the last column is the one.
        cross: (column, unit) mean products of what it reads and what it should answer.
        rows: of how many patches.
    """

    inputs: Tensor
    cross: Tensor
    rows: int


def fitted(moments: Moments, before: Tensor, gone: Sequence[int] = (), ridge: float = RIDGE) -> Tensor:
    """Weights that come nearest to the wanted answers without some columns, and else stay near what they were.

    Minimises, over weights W that are zero at ``gone``, mean |W x - y|^2 + r |W - W_before|^2; the bias is free.
    Where y = W_before x it is W_S + W_R G_RS (G_SS + r I)^-1 of the columns R that go and S that stay, up to the ridge.

    Args:
        moments: of the layer.
        before: (unit, column), the weights before, with the bias as their last column.
        gone: columns that are zero afterwards.
        ridge: r, as a share of the mean square of what is read.
    Returns:
        (unit, column): weights and bias.
    """
    width = before.shape[1]
    stays = torch.ones(width, dtype=torch.bool)
    stays[list(gone)] = False
    inside = moments.inputs[stays][:, stays].clone()
    level = ridge * inside.diagonal()[:-1].mean() if stays.sum() > 1 else inside.new_zeros(())
    damp = torch.full((int(stays.sum()),), float(level), dtype=inside.dtype)
    damp[-1] = 0
    # A column that is always zero would leave the equations singular.
    inside.diagonal().add_(damp + 1e-12 * float(inside.diagonal().max()))
    right = moments.cross[stays] + damp[:, None] * before[:, stays].T
    new = torch.zeros_like(before)
    new[:, stays] = torch.linalg.solve(inside, right).T
    return new


@dataclass(frozen=True, eq=False)
class Losing:
    """A layer that reads units of which some are to go.

    Attributes:
        moments: of what it reads.
        weights: (unit, column), what fits it best at present.
        curvature: (unit, unit), how strongly errors of its answers change the network's.
        columns: for every bundle of units that could go, its columns; as many each.
        gone: columns that went before.
    """

    moments: Moments
    weights: Tensor
    curvature: Tensor
    columns: tuple[tuple[int, ...], ...]
    gone: tuple[int, ...] = ()


@dataclass(frozen=True)
class Lost:
    """A bundle that was taken away: what it cost, and the share of what it told that the others tell as well."""

    bundle: int
    cost: float
    told: float


def elimination(readers: Sequence[Losing], count: int, ridge: float = RIDGE) -> list[Lost]:
    """Take away bundles of units, one after the other, always the one whose loss costs least once it is made up for.

    The cost of losing columns q of a layer with weights W, all others free to make up for it, is
    tr(F W_q [(H^-1)_qq]^-1 W_q^T), with H the damped mean products of what is read and F the curvature; W and H^-1 are
    brought up to date by block elimination after every bundle.

    Args:
        readers: the layers that read the units.
        count: how many bundles, at most all but one.
    Returns:
        Which bundles, in order, and what each of them cost.
    Source: structured optimal brain surgeon: Hassibi, Stork (1992), NeurIPS 5; Kurtic, Frantar, Alistarh (2023),
        arXiv:2302.04089
    """
    work = [_Work(one, ridge) for one in readers]
    left = list(range(len(readers[0].columns)))
    order: list[Lost] = []
    for _ in range(min(count, len(left) - 1)):
        cost = sum(one.costs(left) for one in work)
        assert isinstance(cost, Tensor)
        best = int(cost.argmin())
        alone = sum(one.alone(left[best]) for one in work)
        for one in work:
            one.take(left[best])
        order.append(Lost(left.pop(best), float(cost[best]), 1 - float(cost[best]) / alone if alone > 0 else 1.0))
    return order


class _Work:
    """One layer during an elimination: what is told of its weights through the curvature, and the inverse.

    Sums over units are taken once, with a root of the curvature. Of the inverse only what costs need is brought up to
    date at once, the blocks of the bundles; the rest when there is enough of it for one product.
    """

    def __init__(self, reader: Losing, ridge: float) -> None:
        width = reader.weights.shape[1]
        here = [column for column in range(width - 1) if column not in set(reader.gone)]
        place = {column: at for at, column in enumerate(here)}
        inside = reader.moments.inputs[[*here, width - 1]][:, [*here, width - 1]].clone()
        damp = ridge * float(inside.diagonal()[:-1].mean()) + 1e-12 * float(inside.diagonal().max())
        inside.diagonal()[:-1].add_(damp)
        self.columns = torch.tensor([[place[column] for column in bundle] for bundle in reader.columns])
        self.inverse = torch.linalg.inv(inside)
        values, vectors = torch.linalg.eigh(reader.curvature)
        self.told = (vectors * values.clamp(min=0).sqrt()).T @ reader.weights[:, [*here, width - 1]]
        self.inside = self._blocks_of(inside)
        self.blocks = self._blocks_of(self.inverse)
        self.left, self.right = self.inverse[:, :0], self.inverse[:, :0]

    def _blocks_of(self, matrix: Tensor) -> Tensor:
        return matrix[self.columns[:, :, None], self.columns[:, None, :]]

    def costs(self, bundles: Sequence[int]) -> Tensor:
        own = self.told[:, self.columns[list(bundles)]].transpose(0, 1)
        cost: Tensor = (torch.linalg.inv(self.blocks[list(bundles)]) * (own.transpose(1, 2) @ own)).sum((1, 2))
        return cost

    def alone(self, bundle: int) -> float:
        """What a bundle would cost if nothing made up for it."""
        own = self.told[:, self.columns[bundle]]
        return float((self.inside[bundle] * (own.T @ own)).sum())

    def take(self, bundle: int) -> None:
        columns = self.columns[bundle]
        across = self.inverse[:, columns] - self.left @ self.right[columns].T
        scaled = across @ torch.linalg.inv(across[columns])
        self.told = self.told - self.told[:, columns] @ scaled.T
        self.told[:, columns] = 0
        self.blocks = self.blocks - scaled[self.columns] @ across[self.columns].transpose(1, 2)
        self.left, self.right = torch.cat([self.left, scaled], 1), torch.cat([self.right, across], 1)
        if self.left.shape[1] > PENDING:
            self.inverse -= self.left @ self.right.T
            self.left, self.right = self.left[:, :0], self.right[:, :0]
