"""What the atlas keeps of a diagnosis: what was measured of filters, layers and the network, and what follows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas.record import Record

WHOLE = -1
"""The unit of a finding about a layer as a whole."""

NETWORK = ""
"""The layer of a finding about the network."""


@dataclass(frozen=True)
class Finding(Record):
    """A conclusion about a unit, a layer (unit -1) or the network (layer "", unit -1), with the number it rests on.

    ``low`` and ``high`` bound ``value`` with 95 % confidence; null: the number is exact, or has no such bound, as
    ``evidence`` says: what was measured, on what, and what would overturn it.
    """

    table: ClassVar[str] = "finding"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit", "kind")

    layer: str
    unit: int
    kind: str
    value: float | None
    low: float | None
    high: float | None
    evidence: str


@dataclass(frozen=True)
class Moment(Record):
    """First and second moments of what a layer's units hand on, at some positions of every image.

    ``of``: "response", the value after the non-linearity that reads the unit alone, or "pre-activation" where there is
    none, or where several units are added first. ``samples`` positions in ``images`` images. ``means`` and ``scales``
    are the mean and standard deviation (population form) of every unit, little-endian float64; ``covariances`` the
    upper triangle, row by row, of the correlation matrix as little-endian float32: entry (i, j) times scales[i] x
    scales[j] is the covariance.
    """

    table: ClassVar[str] = "moment"
    key: ClassVar[tuple[str, ...]] = ("layer",)

    layer: str
    of: str
    units: int
    images: int
    samples: int
    means: bytes
    scales: bytes
    covariances: bytes

    def mean(self) -> NDArray[np.float64]:
        """(unit)"""
        return np.frombuffer(self.means, "<f8").astype(np.float64)

    def correlation(self) -> NDArray[np.float64]:
        """(unit, unit), zero in rows and columns of units that are constant."""
        full = np.zeros((self.units, self.units))
        upper = np.triu_indices(self.units)
        full[upper] = np.frombuffer(self.covariances, "<f4")
        return full + np.triu(full, 1).T

    def covariance(self) -> NDArray[np.float64]:
        """(unit, unit)"""
        scale = np.frombuffer(self.scales, "<f8")
        return self.correlation() * np.outer(scale, scale)


@dataclass(frozen=True)
class Spectrum(Record):
    """How many directions a layer's responses take, beside how many units it has.

    ``dimension`` is the number of eigenvalues of the responses' covariance that make 99 % of the variance,
    ``participation`` (sum of eigenvalues)^2 / sum of their squares; both with their 95 % interval over images where it
    is known. ``live`` units are neither dead nor constant, ``mergeable`` of them equal another up to a scale.
    ``recommended`` units, and ``error``: the share of the responses' energy that as many of the units, chosen one
    after the other, do not give back by least squares. ``eigenvalues`` are little-endian float32, the largest first, as
    shares of the variance.
    """

    table: ClassVar[str] = "spectrum"
    key: ClassVar[tuple[str, ...]] = ("layer",)

    layer: str
    images: int
    samples: int
    width: int
    live: int
    mergeable: int
    dimension: int
    dimension_low: int | None
    dimension_high: int | None
    participation: float
    recommended: int
    error: float
    eigenvalues: bytes

    def shares(self) -> NDArray[np.float32]:
        """The eigenvalues as shares of the variance, the largest first."""
        return np.frombuffer(self.eigenvalues, "<f4").astype(np.float32)


@dataclass(frozen=True)
class Probe(Record):
    """How well a linear classifier tells the classes apart by a layer's responses alone.

    ``of`` says on which images it was measured: "validation" or "training", those that it was fitted on.
    ``features`` numbers an image; ``accuracy`` with its 95 % interval.
    """

    table: ClassVar[str] = "probe"
    key: ClassVar[tuple[str, ...]] = ("layer", "of")

    layer: str
    of: str
    classes: int
    images: int
    features: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Block(Record):
    """What a part of the network that gives what it takes, in size, does; and what happens without it.

    ``name`` is the module's dotted name. ``influence`` is 1 - mean cosine of what goes in and what comes out;
    ``similarity`` the linear CKA of the network's final features with and without it. ``accuracy_change`` and
    ``loss_change`` are those when it is bypassed and batch norm recalibrated, in points of a share, with 95 % intervals
    over images (null: no labels).
    """

    table: ClassVar[str] = "block"
    key: ClassVar[tuple[str, ...]] = ("name",)

    name: str
    kind: str
    layers: tuple[str, ...]
    parameters: int
    flops: int | None
    images: int
    influence: float
    similarity: float | None
    agreement: float | None
    accuracy_change: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    loss_change: float | None
    loss_low: float | None
    loss_high: float | None


@dataclass(frozen=True)
class Ablation(Record):
    """What happens to the network's answers when one unit is switched off.

    ``of`` says on which images: "validation" or "training". ``value`` is what its pre-activation is held at. Changes
    are after less before, means over images with 95 % intervals: ``accuracy`` as a share, ``loss`` the cross entropy in
    nats, ``margin`` the score of the right class less the largest other (null: no labels); ``agreement`` is the share
    of images with the same answer. ``worst_class`` is the class that loses most accuracy, ``worst_change`` how much.
    """

    table: ClassVar[str] = "ablation"
    key: ClassVar[tuple[str, ...]] = ("layer", "unit", "of")

    layer: str
    unit: int
    of: str
    value: float
    images: int
    agreement: float
    accuracy_change: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    loss_change: float | None
    loss_low: float | None
    loss_high: float | None
    margin_change: float | None
    worst_class: str | None
    worst_change: float | None


DIAGNOSIS: tuple[type[Record], ...] = (Finding, Moment, Spectrum, Probe, Block, Ablation)
"""Every record class of a diagnosis."""
