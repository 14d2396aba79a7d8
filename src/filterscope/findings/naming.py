"""From a fitted reference to what people call it: edge or bar, bright or dark, which colours, which functions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterscope.findings.matching import GREY, Best
from filterscope.findings.references import FUNCTIONS, References

SHARES = ("colour", "edge", "texture", "spot", "smoothing", "identity")
"""Functions that energy is shared among; what is left is unstructured."""

COLOURED = 0.5
"""A reference with more than this share of its energy in colour is one of colours."""

PART = 0.1
"""Functions with at least this share are in a compound label."""

HUES = (
    "red-cyan",
    "red-blue",
    "yellow-blue",
    "green-blue",
    "green-magenta",
    "green-red",
    "cyan-red",
    "blue-red",
    "blue-yellow",
    "blue-green",
    "magenta-green",
    "red-green",
)
"""Of a direction among the colours of sum zero, every 30 degrees: what is above zero, and what below."""

BLOBS = ("blur", "motion blur", "identity")
"""Families of one sign: with opposed colours they are single-opponent, all others double-opponent."""


@dataclass(frozen=True)
class Match:
    """What was found of a unit; angles in degrees, lengths in pixels. None: it has no such thing."""

    unit: int
    label: str
    """The function with the largest share; 'unstructured', 'not linear' or 'zero' where none is told."""
    compound: str
    """All functions of at least 10 %, the largest first."""
    reference: str | None
    """What the kernel is most like."""
    orientation: float | None = None
    frequency: float | None = None
    phase: float | None = None
    polarity: int | None = None
    """1: bright in the middle, or of an edge at orientation + 90 degrees (above a horizontal line); -1: dark there.
    None: the colours are opposed, or the phase says it.
    """
    sigma: float | None = None
    x: float | None = None
    y: float | None = None
    hue: str | None = None
    """Of a reference of colours: which are opposed; first that of the middle, or at orientation + 90 degrees."""
    chroma: float | None = None
    """Share of the reference's energy that is colour; None where the channels are no colours."""
    correlation: float | None = None
    p: float | None = None
    shares: dict[str, float | None] | None = None


@dataclass(frozen=True)
class Term:
    """One fitted reference, named."""

    reference: str
    function: str
    explained: float
    opposed: bool
    """Whether it is a reference of colours."""
    chroma: float | None
    hue: str | None
    polarity: int | None
    orientation: float | None
    frequency: float | None
    phase: float | None
    sigma: float | None
    x: float
    y: float


def term(found: Best, unit: int, references: References, colours: bool) -> Term:
    """Name a unit's fitted reference; of the two ways to give a sign to channels and pattern, choose one."""
    number = int(found.reference[unit])
    kind = references.kinds[number]
    channels, mixture = found.channels[unit], found.mixture[unit]
    free = bool(references.basis[number].any(1).all())
    chroma = colour_share(channels) if colours else None
    opposed = chroma is not None and chroma > COLOURED
    # A pattern with a free phase takes the sign; of one without, the channels have it.
    sign = chosen_sign(channels, opposed) if free else math.copysign(1.0, mixture[0])
    channels, mixture = sign * channels, sign * mixture
    phase = phase_of(mixture, references.basis[number], references.patterns[number]) if free else None
    family, polarity = kind.family, 1 if free or channels.sum() >= 0 else -1
    if family in ("edge", "bar") or (not free and kind.frequency is not None and family != "hatch"):
        if phase is None:
            phase = phase_of(mixture, references.basis[number], references.patterns[number])
        family, bright = edge_or_bar(phase)
        polarity *= bright
        if opposed and bright < 0:
            channels = -channels
    elif phase is not None:
        polarity = 0
    return Term(
        reference=called(family, opposed),
        function=FUNCTIONS[family],
        explained=float(found.explained[unit]),
        opposed=opposed,
        chroma=chroma,
        hue=hue_of(channels) if opposed else None,
        polarity=None if opposed or not polarity else polarity,
        orientation=kind.orientation,
        frequency=kind.frequency,
        phase=None if phase is None else round(phase, 6),
        sigma=kind.sigma if kind.sigma is not None and math.isfinite(kind.sigma) else None,
        x=kind.x,
        y=kind.y,
    )


def colour_share(channels: NDArray[np.float64]) -> float:
    """How much of a direction among red, green and blue is not brightness."""
    return float(np.clip(1 - (channels @ GREY) ** 2, 0, 1))


def chosen_sign(channels: NDArray[np.float64], opposed: bool) -> float:
    """1 if brightness goes up along the channels, of opposed colours if they go towards the warm ones; else -1."""
    if not opposed:
        return 1.0 if channels.sum() >= 0 else -1.0
    return 1.0 if -75 <= hue_angle(channels) < 105 else -1.0


def phase_of(mixture: NDArray[np.float64], basis: NDArray[np.float64], patterns: NDArray[np.float64]) -> float:
    """The phase, 0 to 360 degrees, from how a fit is mixed of the bright line and the edge."""
    weights, *_ = np.linalg.lstsq(patterns.T, mixture @ basis, rcond=1e-3)
    return math.degrees(math.atan2(weights[1], weights[0])) % 360


def edge_or_bar(phase: float) -> tuple[str, int]:
    """What a phase is nearest to, and whether it is bright in the middle, or above the line."""
    nearest = round(phase / 90) % 4
    return ("edge" if nearest % 2 else "bar"), (1 if nearest < 2 else -1)


def hue_angle(channels: NDArray[np.float64]) -> float:
    """Of the colours' part of a direction among red, green and blue: red is 0, green 120; -180 to 180 degrees."""
    red, green, blue = channels
    return math.degrees(math.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue))


def hue_of(channels: NDArray[np.float64]) -> str:
    """The colours that are opposed."""
    return HUES[round(hue_angle(channels) / 30) % 12]


def called(family: str, opposed: bool) -> str:
    """The reference's name."""
    if not opposed:
        return family
    return "single-opponent" if family in BLOBS else f"double-opponent {family}"


def shares(terms: Sequence[Term], colours: bool) -> dict[str, float | None]:
    """The kernel's energy by function: of every term what is colour, and the rest by its pattern."""
    found: dict[str, float] = dict.fromkeys(SHARES, 0.0)
    for one in terms:
        coloured = one.explained * (one.chroma or 0.0)
        found["colour"] += coloured
        found[one.function] += one.explained - coloured
    told: dict[str, float | None] = {**found, "unstructured": max(0.0, 1 - sum(found.values()))}
    if not colours:
        told["colour"] = None
    return told


def labels(found: dict[str, float | None]) -> tuple[str, str]:
    """The function with the largest share, and all of at least 10 %."""
    order = sorted((-(value or 0.0), name) for name, value in found.items() if name != "unstructured")
    first = order[0][1]
    return first, " + ".join(name for share, name in order if -share >= PART or name == first)


def match(
    unit: int, first: Term, p: float | None, found: dict[str, float | None] | None, label: str, compound: str
) -> Match:
    """All that is told of a unit."""
    return Match(
        unit=unit,
        label=label,
        compound=compound,
        reference=first.reference,
        orientation=first.orientation,
        frequency=first.frequency,
        phase=first.phase,
        polarity=first.polarity,
        sigma=first.sigma,
        x=first.x,
        y=first.y,
        hue=first.hue,
        chroma=first.chroma,
        correlation=math.sqrt(first.explained),
        p=p,
        shares=found,
    )


def nothing(unit: int) -> Match:
    """A kernel of zeros."""
    return Match(unit, "zero", "zero", None, shares=None)


def as_columns(found: Match) -> dict[str, float]:
    """The shares, a column each; NaN where it is not applicable."""
    shares = found.shares or {}
    return {
        name: np.nan if shares.get(name) is None else float(shares[name] or 0.0) for name in (*SHARES, "unstructured")
    }
