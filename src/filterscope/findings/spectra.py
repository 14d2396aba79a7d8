"""Spectra: how many directions a layer's responses take, and how many of its filters would give them back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import stdtrit

from filterscope.atlas.diagnosis import Finding, Spectrum
from filterscope.atlas.records import Layer
from filterscope.findings.features import Sums

TOO_MANY = "too many filters"
CANDIDATE_FOR_MORE = "candidate for more filters"
LEFT_OUT = "spectrum left out"

VARIANCE = 0.99
"""Share of the variance that the counted directions make."""

LEAST_SPARE = 0.25
"""Share of the filters that a layer with too many could do without, also by the upper bound of its dimension."""

FULL = 0.95
"""Share of its width that a full layer's dimension has, also by the lower bound."""

NOTHING = 1e-12
"""Variance, as a share of the layer's, that is rounding."""


@dataclass(frozen=True, eq=False)
class Dimensions:
    """What a covariance says. Bounds are 95 %, over images; None: they are not known.

    Attributes:
        shares: eigenvalues as shares of the variance, the largest first.
        dimension: how many of them make 99 %.
        participation: the participation ratio, (sum)^2 / sum of squares.
    """

    shares: Float[np.ndarray, "direction"]
    dimension: int
    low: int | None
    high: int | None
    participation: float


def dimensions(covariance: Float[np.ndarray, "unit unit"], sums: Sums | None = None) -> Dimensions:
    """Count the directions that responses take.

    The interval is a jackknife's over ten groups of images, of the dimension between whole numbers, and is stretched to
    where it would lie without the bias that the jackknife tells: of few images a covariance has too few directions.

    Args:
        covariance: of a layer's responses.
        sums: the same by groups of images; None: no interval.
    Source: participation ratio: Gao et al. (2017), doi:10.1101/214262; jackknife: Efron, Stein (1981),
        doi:10.1214/aos/1176345462
    """
    shares = eigenshares(covariance)
    value = between(shares)
    low = high = None
    if sums is not None and (sums.count > 0).sum() > 2:
        groups = np.flatnonzero(sums.count > 0)
        left = np.array([between(eigenshares(sums.moments(int(group))[1])) for group in groups])
        count = len(groups)
        spread = np.sqrt((count - 1) / count * np.square(left - left.mean()).sum()) * stdtrit(count - 1, 0.975)
        unbiased = count * between(eigenshares(sums.moments()[1])) - (count - 1) * left.mean()
        width = len(shares)
        low = int(np.clip(np.floor(min(value, unbiased) - spread), 1, width))
        high = int(np.clip(np.ceil(max(value, unbiased) + spread), 1, width))
    squares = float(np.square(shares).sum())
    return Dimensions(shares, int(np.ceil(value)), low, high, 1 / squares if squares else 0.0)


def eigenshares(covariance: Float[np.ndarray, "unit unit"]) -> NDArray[np.float64]:
    """Eigenvalues of a covariance as shares of their sum, the largest first; all zero where nothing varies."""
    values = np.clip(np.linalg.eigvalsh((covariance + covariance.T) / 2)[::-1], 0, None)
    total = values.sum()
    return np.asarray(values / total if total > 0 else values)


def between(shares: Float[np.ndarray, "direction"]) -> float:
    """How many of the largest shares make 99 %, with the part of the last that it takes.

    Example:
        >>> between(np.array([0.5, 0.48, 0.02]))
        2.5
    """
    total = np.cumsum(shares)
    whole = int(np.searchsorted(total, VARIANCE))
    if whole >= len(shares):
        return float((shares > 0).sum())
    before = total[whole - 1] if whole else 0.0
    return float(round(whole + (VARIANCE - before) / shares[whole], 9))


@dataclass(frozen=True, eq=False)
class Selection:
    """Units in the order in which they were chosen, and what share of the variance is left after each."""

    order: NDArray[np.int64]
    left: NDArray[np.float64]

    def enough(self, tolerance: float = 1 - VARIANCE) -> tuple[int, float]:
        """The fewest units that leave no more than ``tolerance``, and what they leave."""
        within = np.flatnonzero(self.left <= tolerance)
        count = int(within[0]) + 1 if len(within) else len(self.left)
        return count, float(self.left[count - 1]) if count else 0.0


def select(covariance: Float[np.ndarray, "unit unit"]) -> Selection:
    """Choose units one after the other, each time the one from which, by least squares, most of the rest follows.

    It is column selection with pivots that look at all that is left, not only at the pivot's own variance: of many
    like units the one is taken that stands for all. It ends when nothing is left.

    Source: Farahat, Ghodsi, Kamel (2011), doi:10.1109/ICDM.2011.22
    """
    left = ((covariance + covariance.T) / 2).astype(np.float64)
    total = float(np.trace(left))
    order: list[int] = []
    rests: list[float] = []
    while total > 0 and len(order) < len(left):
        own = np.clip(left.diagonal(), 0, None)
        usable = own > NOTHING * total
        if not usable.any():
            break
        gains = np.where(usable, np.square(left).sum(0) / np.where(usable, own, 1), -1)
        best = int(gains.argmax())
        order.append(best)
        left -= np.outer(left[:, best], left[best]) / left[best, best]
        rests.append(float(np.clip(left.diagonal(), 0, None).sum()) / total)
    return Selection(np.array(order, np.int64), np.array(rests))


@dataclass(frozen=True)
class Seen:
    """What was looked at: how many images and positions, and what kind of values ("response", "pre-activation")."""

    images: int
    samples: int
    of: str


def judge(
    layer: Layer,
    seen: Seen,
    covariance: Float[np.ndarray, "unit unit"],
    sums: Sums | None,
    dead: Sequence[int] = (),
    mergeable: int = 0,
) -> tuple[Spectrum | None, list[Finding]]:
    """A layer's spectrum, and what follows for its width.

    Args:
        layer: the layer.
        seen: what the covariance was taken over.
        covariance: of its responses.
        sums: the same by groups of images, for the interval.
        dead: units that other findings call dead or constant; those without variance here are not live either.
        mergeable: how many of its units equal another up to a scale.
    """
    width = layer.channels
    if seen.images < width:
        told = f"{seen.images} images are fewer than its {width} filters: no dimension is claimed; give more images"
        return None, [Finding(layer.name, -1, LEFT_OUT, None, None, None, told)]
    found = dimensions(covariance, sums)
    live = int((covariance.diagonal() > 0).sum()) - sum(bool(covariance[unit, unit] > 0) for unit in dead)
    count, error = select(covariance).enough()
    spectrum = Spectrum(
        layer=layer.name,
        images=seen.images,
        samples=seen.samples,
        width=width,
        live=live,
        mergeable=mergeable,
        dimension=found.dimension,
        dimension_low=found.low,
        dimension_high=found.high,
        participation=found.participation,
        recommended=max(count, 1),
        error=error,
        eigenvalues=found.shares.astype("<f4").tobytes(),
    )
    return spectrum, verdicts(layer, seen, spectrum)


def verdicts(layer: Layer, seen: Seen, spectrum: Spectrum) -> list[Finding]:
    """Too many filters, or a candidate for more; nothing in between."""
    width, low, high = spectrum.width, spectrum.dimension_low, spectrum.dimension_high
    told = (
        f"{spectrum.dimension} of {width} directions make 99 % of the variance of its {seen.of}s"
        f" ({seen.samples} positions in {seen.images} images)"
    )
    most, least = high or spectrum.dimension, low or spectrum.dimension
    if max(most, spectrum.recommended) <= (1 - LEAST_SPARE) * width:
        if layer.kind == "depthwise":
            told += "; its width is that of the layer before it, which is the one to narrow"
        else:
            told += (
                f"; {spectrum.recommended} of its filters give the others back but for {spectrum.error:.1%} of the"
                " variance; accuracy after cutting it to these would overturn it"
            )
        return [Finding(layer.name, -1, TOO_MANY, spectrum.dimension, low, high, told)]
    if least >= FULL * width and spectrum.live == width and not spectrum.mergeable:
        told += "; it uses all that it has; a wider copy that is no better after training would overturn it"
        return [Finding(layer.name, -1, CANDIDATE_FOR_MORE, spectrum.dimension, low, high, told)]
    return []
