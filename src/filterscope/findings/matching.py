"""How like the references kernels are: the best one of each, shares of energy, and what chance alone would give."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from filterscope.findings.references import References

GREY = np.ones(3) / np.sqrt(3)
"""The direction of brightness among red, green and blue."""

TERMS = 3
"""References that a kernel is taken apart into, at most."""

MEMORY = 1 << 26
"""Bytes that the products of kernels and references may take at a time."""


@dataclass(frozen=True, eq=False)
class Best:
    """The reference that explains most of each kernel, with the weight of every channel free."""

    reference: Int[np.ndarray, "kernel"]
    explained: Float[np.ndarray, "kernel"]
    """Share of the kernel's energy: the square of the correlation."""
    channels: Float[np.ndarray, "kernel channel"]
    """Weight of every channel, of length one."""
    mixture: Float[np.ndarray, "kernel two"]
    """Of the two patterns of the basis, of length one."""

    def fitted(self, references: References, energy: NDArray[np.float64]) -> Float[np.ndarray, "kernel channel pixel"]:
        """The reference at its own strength, in kernels of that energy."""
        pattern = np.einsum("kt,ktp->kp", self.mixture, references.basis[self.reference])
        strength = np.sqrt(self.explained * energy)
        return np.asarray(strength[:, None, None] * self.channels[:, :, None] * pattern[:, None, :])


def best(kernels: Float[np.ndarray, "kernel channel pixel"], references: References) -> Best:
    """Find each kernel's best reference: the largest energy-normalised correlation over all of them.

    A reference with a free phase is a plane of patterns; with the channels free, the best that it can do is the
    largest singular value of the kernel's products with it, (channel, two).
    """
    count, channels, _ = kernels.shape
    chunk = max(1, MEMORY // (16 * channels * len(references.kinds)))
    found = [_best(kernels[first : first + chunk], references) for first in range(0, count, chunk)]
    return Best(*(np.concatenate([getattr(one, name) for one in found]) for name in Best.__dataclass_fields__))


def _best(kernels: NDArray[np.float64], references: References) -> Best:
    count, channels, pixels = kernels.shape
    energy = (kernels**2).sum((1, 2))
    flat = references.basis.reshape(-1, pixels).T
    products = (kernels.reshape(-1, pixels) @ flat).reshape(count, channels, -1, 2)
    power = np.einsum("kcrt,kcrt->krt", products, products)
    mixed = np.einsum("kcr,kcr->kr", products[..., 0], products[..., 1])
    middle, half = power.sum(2) / 2, (power[..., 0] - power[..., 1]) / 2
    largest = middle + np.sqrt(half**2 + mixed**2)
    chosen = largest.argmax(1)
    rows = np.arange(count)
    # The eigenvector of the larger eigenvalue of a symmetric 2 x 2 matrix.
    angle = np.arctan2(mixed[rows, chosen], half[rows, chosen]) / 2
    mixture = np.stack([np.cos(angle), np.sin(angle)], 1)
    weights = np.einsum("kct,kt->kc", products[rows, :, chosen], mixture)
    length = np.linalg.norm(weights, axis=1, keepdims=True)
    weights = np.divide(weights, length, out=np.zeros_like(weights), where=length > 0)
    share = np.divide(largest[rows, chosen], energy, out=np.zeros(count), where=energy > 0)
    return Best(chosen, np.clip(share, 0.0, 1.0), weights, mixture)


def pursue(kernels: Float[np.ndarray, "kernel channel pixel"], references: References) -> Iterator[Best]:
    """Take each kernel apart by matching pursuit: its best reference, that of what is left, and so on.

    ``explained`` of every term is a share of the whole kernel's energy; what is left is at right angles to the term, so
    the shares add up to what all terms explain together.
    """
    total = (kernels**2).sum((1, 2))
    left = kernels
    for _ in range(TERMS):
        one = best(left, references)
        energy = (left**2).sum((1, 2))
        left = left - one.fitted(references, energy)
        share = np.divide(one.explained * energy, total, out=np.zeros_like(total), where=total > 0)
        yield Best(one.reference, share, one.channels, one.mixture)


def of_the_rest(terms: Iterable[Best]) -> Iterator[Float[np.ndarray, "kernel"]]:
    """Of every term the share that it explains of what those before it have left; zero where they left nothing."""
    left: NDArray[np.float64] | float = 1.0
    for one in terms:
        rest = np.broadcast_to(left, one.explained.shape)
        yield np.divide(one.explained, rest, out=np.zeros_like(one.explained), where=rest > 1e-9)
        left = rest - one.explained


def rearranged(
    kernel: Float[np.ndarray, "channel pixel"], count: int, rng: np.random.Generator
) -> Float[np.ndarray, "count channel pixel"]:
    """A kernel without its arrangement: its pixels permuted, each with a random sign. A pixel keeps its colour.

    Without the signs a blur would stay a blur however it is shuffled.
    """
    order = rng.random((count, 1, kernel.shape[1])).argsort(2)
    signs = rng.choice((-1.0, 1.0), order.shape)
    return np.asarray(np.take_along_axis(kernel[None], order, 2) * signs)


def recoloured(
    kernel: Float[np.ndarray, "channel pixel"], count: int, rng: np.random.Generator
) -> Float[np.ndarray, "count channel pixel"]:
    """A kernel without its colours: all weights permuted over pixels and channels, each with a random sign."""
    flat = rearranged(kernel.reshape(1, -1), count, rng)
    return flat.reshape(count, *kernel.shape)


def unit_length(kernels: Float[np.ndarray, "kernel channel pixel"]) -> Float[np.ndarray, "kernel channel pixel"]:
    """Each of energy one; zeros stay."""
    # First by the largest, so that no square under- or overflows.
    largest = np.abs(kernels).max((1, 2), keepdims=True)
    scaled = kernels / np.where(largest > 0, largest, 1)
    norm = np.sqrt((scaled**2).sum((1, 2), keepdims=True))
    return np.asarray(scaled / np.where(norm > 0, norm, 1))


def p_values(own: Float[np.ndarray, "kernel"], chance: Float[np.ndarray, "draw"]) -> Float[np.ndarray, "kernel"]:
    """How many of the shuffled kernels are explained as well: (1 + so many) / (1 + all)."""
    ordered = np.sort(chance)
    as_good = len(ordered) - np.searchsorted(ordered, own - 1e-9)
    return np.asarray((1 + as_good) / (1 + len(ordered)))
