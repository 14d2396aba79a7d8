"""The classic filters by name: each with what it is for, its parameters and its source."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from filterscope.convolution import shapes, stencils
from filterscope.convolution.shapes import Pattern, Size
from filterscope.errors import FilterscopeError, UnknownName

FUNCTIONS = ("colour", "edge", "texture", "spot", "smoothing", "identity", "sharpening", "embossing")
"""What a classic filter is for: it answers to colours, edges, repeated patterns, small things; or it edits."""

EDITORS = "filters of image editors, as in JNingWei/Image_Filter"
EVERY_45, EVERY_90 = (0.0, 45.0, 90.0, 135.0), (0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0)
OPPONENT = {"red-green": (1.0, -1.0, 0.0), "blue-yellow": (-0.5, -0.5, 1.0)}
"""Axes of colour: weights of red, green and blue, of sum zero."""


@dataclass(frozen=True, eq=False)
class ClassicFilter:
    """A filter with a name.

    Args:
        name: as `classic` takes it.
        function: one of ``FUNCTIONS``.
        weights: (height, width), the same for every channel; of a filter of colours (3, height, width), red first.
        parameters: what it was made with: degrees, cycles a pixel, pixels.
        source: where it comes from.
    """

    name: str
    function: str
    weights: NDArray[np.float64]
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    source: str = ""

    def kernel(self, channels: int) -> NDArray[np.float64]:
        """The weights (channel, height, width) that do to an image of ``channels`` what they do to a grey one.

        Raises:
            FilterscopeError: if it is a filter of colours and ``channels`` is not 3.
        """
        if self.weights.ndim == 2:
            return np.repeat(self.weights[None] / channels, channels, axis=0)
        if channels != 3:
            raise FilterscopeError(f"{self.name} is a filter of colours: it has 3 channels, not {channels}")
        return self.weights


@dataclass(frozen=True)
class Kind:
    """How filters of a name are made. ``views``: parameters of those that a bank holds."""

    function: str
    make: Callable[..., NDArray[np.float64]]
    defaults: Mapping[str, float | str]
    source: str
    views: tuple[Mapping[str, float | str], ...] = ({},)


def scaled(size: Size, share: float) -> float:
    """A share of the window's shorter side, at least 0.6 pixels: what sigma is if it is not told."""
    return max(0.6, share * (min(size) if min(size) > 1 else max(size)))


def unit_length(pattern: Pattern) -> Pattern:
    """Of L2 norm one; what is zero but for rounding is zero."""
    norm = float(np.linalg.norm(pattern))
    return np.zeros_like(pattern) if norm < 1e-9 else pattern / norm


def _log(size: Size, sigma: float) -> Pattern:
    return unit_length(shapes.laplacian_of_gaussian(size, sigma or scaled(size, 0.2)))


def _dog(size: Size, sigma: float) -> Pattern:
    return unit_length(shapes.difference_of_gaussians(size, sigma or scaled(size, 0.2)))


def _centre_surround(size: Size, radius: float) -> Pattern:
    return unit_length(shapes.disc_and_ring(size, radius or max(0.5, 0.3 * min(size))))


def _gabor(size: Size, orientation: float, frequency: float, phase: float, sigma: float) -> Pattern:
    return unit_length(wave(size, orientation, frequency, phase, sigma, 0.25))


def _grating(size: Size, orientation: float, frequency: float, phase: float) -> Pattern:
    return unit_length(shapes.gabor(size, orientation, frequency or 1 / 3, phase))


def _bar(size: Size, orientation: float, sigma: float) -> Pattern:
    width = sigma or scaled(size, 0.15)
    _, off = shapes.turned(size, orientation)
    square = off**2 / (2 * width**2)
    return unit_length(shapes.balanced((1 - 2 * square) * np.exp(-square), np.exp(-square)))


def _corner(size: Size, orientation: float, sigma: float) -> Pattern:
    return unit_length(shapes.corner(size, orientation, sigma or scaled(size, 0.5)))


def _hatch(size: Size, orientation: float, frequency: float, sigma: float) -> Pattern:
    return unit_length(shapes.hatch(size, orientation, frequency or 1 / 3, sigma or math.inf))


def _single_opponent(size: Size, axis: str, sigma: float) -> NDArray[np.float64]:
    return coloured(shapes.gaussian(size, sigma or scaled(size, 0.3)), axis)


def _double_opponent(size: Size, axis: str, sigma: float) -> NDArray[np.float64]:
    return coloured(shapes.difference_of_gaussians(size, sigma or scaled(size, 0.2)), axis)


def _double_opponent_edge(
    size: Size, axis: str, orientation: float, frequency: float, phase: float, sigma: float
) -> NDArray[np.float64]:
    return coloured(wave(size, orientation, frequency, phase, sigma, 0.25), axis)


def wave(size: Size, orientation: float, frequency: float, phase: float, sigma: float, share: float) -> Pattern:
    """A Gabor filter; a frequency or sigma of 0 is that which suits the window."""
    width = sigma or scaled(size, share)
    return shapes.gabor(size, orientation, frequency or 1 / max(size), phase, width, width)


def coloured(pattern: Pattern, axis: str) -> NDArray[np.float64]:
    """A pattern along an axis of colour, of L2 norm one.

    Raises:
        UnknownName: if there is no such axis.
    """
    if axis not in OPPONENT:
        raise UnknownName.of("axis of colour", str(axis), OPPONENT, f"there are: {', '.join(OPPONENT)}")
    return unit_length(np.array(OPPONENT[axis])[:, None, None] * pattern)


def turns(*angles: float) -> tuple[Mapping[str, float | str], ...]:
    """One view an orientation."""
    return tuple({"orientation": angle} for angle in angles)


AXES: tuple[Mapping[str, float | str], ...] = tuple({"axis": axis} for axis in OPPONENT)
TURN: Mapping[str, float | str] = {"orientation": 0.0}
SIGMA: Mapping[str, float | str] = {"sigma": 0.0}
WAVE: Mapping[str, float | str] = {"orientation": 0.0, "frequency": 0.0, "phase": 0.0}

KINDS: dict[str, Kind] = {
    "identity": Kind("identity", stencils.identity, {}, EDITORS),
    "sharpen centre": Kind("sharpening", stencils.sharpen_centre, {}, EDITORS),
    "sharpen edge": Kind("sharpening", stencils.sharpen_edge, {}, EDITORS),
    "edge 360": Kind("edge", stencils.edge_360, {}, EDITORS),
    "edge 45": Kind("edge", stencils.edge_45, {}, EDITORS),
    "emboss 45": Kind("embossing", stencils.emboss_45, {}, EDITORS),
    "emboss asymmetric": Kind("embossing", stencils.emboss_asymmetric, {}, EDITORS),
    "cross blur": Kind("smoothing", stencils.cross_blur, {}, EDITORS),
    "box blur": Kind("smoothing", stencils.box_blur, {}, EDITORS),
    "motion blur": Kind("smoothing", stencils.motion_blur, {}, EDITORS),
    "gaussian blur": Kind("smoothing", stencils.gaussian_blur, {}, EDITORS),
    "sobel": Kind("edge", stencils.sobel, TURN, "Sobel and Feldman (1968)", turns(*EVERY_45)),
    "scharr": Kind("edge", stencils.scharr, TURN, "Scharr (2000)", turns(*EVERY_45)),
    "prewitt": Kind("edge", stencils.prewitt, TURN, "Prewitt (1970)", turns(*EVERY_45)),
    "laplacian": Kind("edge", stencils.laplacian, {}, "the sum of second derivatives"),
    "log": Kind("spot", _log, SIGMA, "Marr and Hildreth (1980), doi:10.1098/rspb.1980.0020"),
    "dog": Kind("spot", _dog, SIGMA, "Rodieck (1965), doi:10.1016/0042-6989(65)90033-7"),
    "centre-surround": Kind("spot", _centre_surround, {"radius": 0.0}, "Kuffler (1953), doi:10.1152/jn.1953.16.1.37"),
    "bar": Kind("edge", _bar, {**TURN, **SIGMA}, "second derivative of a Gaussian", turns(*EVERY_45)),
    "gabor": Kind(
        "edge",
        _gabor,
        {**WAVE, **SIGMA},
        "Daugman (1985), doi:10.1364/JOSAA.2.001160",
        tuple({"orientation": angle, "phase": phase} for angle in EVERY_45 for phase in (0.0, 90.0)),
    ),
    "corner": Kind("edge", _corner, {**TURN, **SIGMA}, "a quarter against the rest", turns(*EVERY_90)),
    "grating": Kind("texture", _grating, WAVE, "a wave without an end", turns(*EVERY_45)),
    "cross-hatch": Kind(
        "texture", _hatch, {**TURN, "frequency": 0.0, **SIGMA}, "two waves across each other", turns(0.0, 45.0)
    ),
    "single-opponent": Kind(
        "colour", _single_opponent, {"axis": "red-green", **SIGMA}, "Shapley and Hawken (2011)", AXES
    ),
    "double-opponent": Kind(
        "colour", _double_opponent, {"axis": "red-green", **SIGMA}, "Shapley and Hawken (2011)", AXES
    ),
    "double-opponent edge": Kind(
        "colour",
        _double_opponent_edge,
        {"axis": "red-green", **WAVE, "phase": 90.0, **SIGMA},
        "Shapley and Hawken (2011), doi:10.1016/j.visres.2011.02.012",
        tuple({**axis, "orientation": angle} for axis in AXES for angle in EVERY_45),
    ),
}
"""All of them. A sigma, radius or frequency of 0 is that which suits the window."""

EDITING = tuple(name for name, kind in KINDS.items() if kind.source == EDITORS)
"""The eleven of image editors: what the plain L2 comparison compares with."""


def classic(name: str, size: int | Size = 3, **parameters: float | str) -> ClassicFilter:
    """A classic filter by name.

    Args:
        name: identity, 'sharpen centre', 'sharpen edge', 'edge 360', 'edge 45', 'emboss 45', 'emboss asymmetric',
            'cross blur', 'box blur', 'motion blur', 'gaussian blur', sobel, scharr, prewitt, laplacian, log, dog,
            centre-surround, bar, gabor, corner, grating, cross-hatch, single-opponent, double-opponent,
            'double-opponent edge'.
        size: of the window, in pixels: a number, or (height, width).
        parameters: what the filter of that name has of: orientation and phase in degrees, frequency in cycles a
            pixel, sigma and radius in pixels, axis ('red-green' or 'blue-yellow').
    Raises:
        UnknownName: if there is no such filter, or it has no such parameter.
        FilterscopeError: if the window is no window.
    Example:
        >>> classic("sobel").weights.tolist()
        [[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]]
    """
    if name not in KINDS:
        raise UnknownName.of("classic filter", str(name), KINDS, f"there are: {', '.join(KINDS)}")
    kind = KINDS[name]
    for given in parameters:
        if given not in kind.defaults:
            has = ", ".join(kind.defaults) or "none"
            raise UnknownName.of(f"parameter of {name}", given, kind.defaults, f"it has: {has}")
    for given, value in parameters.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
        wrong = isinstance(kind.defaults[given], float) and (
            not number or (given not in ("orientation", "phase") and float(value) < 0)
        )
        if wrong:
            raise FilterscopeError(f"{given} of {name} is a number{_least(given)}, not {value!r}")
    chosen = {**kind.defaults, **parameters}
    weights = kind.make(window(size), **chosen)
    # An even window has no pixel in its middle, and rounding leaves a trace in what is zero.
    return ClassicFilter(name, kind.function, np.where(np.abs(weights) < 1e-12, 0.0, weights), chosen, kind.source)


def _least(given: str) -> str:
    return "" if given in ("orientation", "phase") else " from 0"


def window(size: int | Size) -> Size:
    """(height, width) from what was given.

    Raises:
        FilterscopeError: if it is no window of 1 to 255 pixels a side.
    """
    pair = (size, size) if isinstance(size, int | np.integer) else tuple(size)
    whole = all(isinstance(side, int | np.integer) and 1 <= side <= 255 for side in pair)
    if len(pair) != 2 or not whole:
        raise FilterscopeError(f"a window is 1 to 255 pixels a side, a whole number or (height, width), not {size!r}")
    return int(pair[0]), int(pair[1])


def bank(size: int | Size = 3, channels: int = 3) -> list[ClassicFilter]:
    """All classic filters at a size, those with a direction in several; filters of colours where there are 3 channels.

    What a window has no room for (a Laplacian of 2 x 2) is left out.
    """
    made = [classic(name, size, **view) for name, kind in KINDS.items() for view in kind.views]
    return [one for one in made if one.weights.any() and (one.weights.ndim == 2 or channels == 3)]
