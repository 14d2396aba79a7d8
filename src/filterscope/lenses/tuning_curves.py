"""From responses to the series of stimuli to tuning curves: what each parameter does, all else at its best.

Everything here is for all units at once; the last axis of every array is the unit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.images.stimuli import Arc, Bar, Corner, Edge, Grating, Grey, Hue, Noise, Stimulus, Texture
from filterscope.images.stimuli.canvas import AXES, LUMINANCE
from filterscope.images.stimuli.series import ANGLES, BENDS, DIRECTIONS, HUES, LEVELS, OFFSETS, ORIENTATIONS, PHASES
from filterscope.images.stimuli.texture import FAMILIES

Array = NDArray[np.float64]

NEARLY = 0.95
"""Share of the largest response at which a larger window brings no more that matters."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One kind of curve of all units of a layer."""

    of: str
    values: Float[np.ndarray, "value unit"]
    """The parameter, which may run over other values for every unit."""
    responses: Float[np.ndarray, "value unit"]
    """Pre-activation minus that to mid grey."""
    preferred: Float[np.ndarray, "unit"]
    selectivity: Float[np.ndarray, "unit"]
    """NaN where it is not defined."""


class Responses:
    """What the units of a layer say to the series, minus what they say to mid grey; looked up by parameters.

    Args:
        shown: the series.
        values: (stimulus, unit) pre-activations at the centre.
        seen: the shorter side of the receptive field in pixels, at most the image's; coarser stimuli are left out.
    """

    def __init__(self, shown: Sequence[Stimulus], values: Float[np.ndarray, "stimulus unit"], seen: int) -> None:
        self.place = {stimulus: number for number, stimulus in enumerate(shown)}
        self.grey = np.asarray(values[self.place[Grey()]], np.float64)
        self.values = np.asarray(values, np.float64) - self.grey
        self.seen = seen
        self.units = self.values.shape[1]
        self.noise: Array = self.values[[n for stimulus, n in self.place.items() if isinstance(stimulus, Noise)]].max(0)
        self.best: Array = self.values.max(0)

    def to(self, *axes: Sequence[object], make: Callable[..., Stimulus]) -> Array:
        """(one axis after the other, unit): the responses to what ``make`` makes of every combination of values."""
        shape = tuple(len(axis) for axis in axes)
        places = [self.place[make(*(axis[i] for axis, i in zip(axes, at, strict=True)))] for at in np.ndindex(*shape)]
        return self.values[places].reshape(*shape, self.units)

    def parameters(self, kind: type, name: str, **fixed: object) -> list[float]:
        """The different values of a parameter of a kind of stimulus in the series, in rising order."""
        found = {
            getattr(one, name)
            for one in self.place
            if isinstance(one, kind) and all(getattr(one, key) == value for key, value in fixed.items())
        }
        return sorted(found)

    def waves(
        self, diameter: float, axis: str = LUMINANCE, coarse: bool = False
    ) -> tuple[list[float], list[float], Array]:
        """Frequencies, orientations, and (orientation, frequency, phase, unit) of gratings in a window.

        ``coarse``: every other frequency and orientation, as they are shown in smaller windows and in colours.
        """
        frequencies = self.parameters(Grating, "frequency", diameter=diameter, axis=axis)
        orientations = self.parameters(Grating, "orientation", diameter=diameter, axis=axis)
        if coarse:
            frequencies, orientations = frequencies[::-2][::-1], orientations[::2]
        # A wave of which the unit sees less than half is a flat image to it. Two are kept in any case.
        kept = [frequency for frequency in frequencies if frequency * self.seen >= 0.5]
        frequencies = kept if len(kept) >= 2 else frequencies[-2:]
        shown = self.to(
            orientations, frequencies, PHASES, make=lambda turn, wave, phase: Grating(turn, wave, phase, diameter, axis)
        )
        return frequencies, orientations, shown


def curves(responses: Responses) -> Iterator[Curve]:
    """Every curve that the series allows; hues and axes only where it has colours."""
    yield from grating_curves(responses)
    yield from colour_curves(responses)
    yield brightness_curve(responses)
    yield from edge_curves(responses)
    yield bar_curve(responses)
    yield corner_curve(responses)
    yield curvature_curve(responses)
    yield from texture_curves(responses)


def grating_curves(responses: Responses) -> Iterator[Curve]:
    """Orientation, frequency, phase and size."""
    sizes = responses.parameters(Grating, "diameter", axis=LUMINANCE)
    full = sizes[-1]
    frequencies, orientations, shown = responses.waves(full)
    best = strongest_phase(shown)
    turn, wave = largest_pair(best)
    by_turn, by_wave = pick(best, 1, wave), pick(best, 0, turn)
    degrees = np.array(orientations)
    yield Curve("orientation", spread(degrees, by_turn), by_turn, peak_on_circle(degrees, by_turn, 180), pull(by_turn))
    octaves = np.log2(frequencies)
    preferred = 2 ** peak_on_line(octaves, by_wave)
    yield Curve("frequency", spread(np.array(frequencies), by_wave), by_wave, preferred, sharpness(by_wave))
    phases = pick(pick(shown, 1, wave), 0, turn)
    mean, first = harmonics(phases)
    share = divided(np.abs(first), np.abs(first) + np.abs(mean))
    yield Curve("phase", spread(np.array(PHASES), phases), phases, np.rad2deg(np.angle(first)) % 360, share)
    yield size_curve(responses, sizes)


def size_curve(responses: Responses, sizes: Sequence[float]) -> Curve:
    """The best grating in windows of growing size, the last one with all of the receptive field at full strength."""
    smaller = sum(size < 2 * responses.seen for size in sizes)
    kept = sizes[: max(smaller + 1, 2)]
    rows = []
    for size in kept:
        _, _, shown = responses.waves(size, coarse=size == sizes[-1])
        rows.append(strongest_phase(shown).max((0, 1)))
    found = np.stack(rows)
    values = spread(np.array(kept), found)
    enough = (found >= NEARLY * found.max(0)).argmax(0)
    drop = divided(found.max(0) - np.maximum(found[-1], 0), found.max(0))
    return Curve("size", values, found, values[enough, 0], drop)


def colour_curves(responses: Responses) -> Iterator[Curve]:
    """Hue, and the three axes of colour; nothing where the network sees no colours."""
    if not responses.parameters(Hue, "hue"):
        return
    degrees = np.array(HUES)
    hues = responses.to(HUES, make=lambda hue: Hue(hue))
    yield Curve("hue", spread(degrees, hues), hues, peak_on_circle(degrees, hues, 360), pull(hues))
    full = responses.parameters(Grating, "diameter")[-1]
    rows = []
    for axis in AXES:
        _, _, shown = responses.waves(full, axis, coarse=axis == LUMINANCE)
        rows.append(strongest_phase(shown).max((0, 1)))
    found = np.stack(rows)
    energy = np.maximum(found, 0) ** 2
    # The better axis alone: of a unit that does not mind, two axes together would have two thirds.
    chroma = divided(energy[1:].max(0), energy[0] + energy[1:].max(0))
    yield Curve("axis", spread(np.arange(3), found), found, found.argmax(0).astype(float), chroma)


def brightness_curve(responses: Responses) -> Curve:
    """Flat greys: -1 prefers the dark, 1 the bright."""
    found = responses.to(LEVELS, make=lambda level: Grey(level))
    black, white = np.maximum(found[0], 0), np.maximum(found[-1], 0)
    values = spread(np.array(LEVELS), found)
    return Curve("brightness", values, found, values[found.argmax(0), 0], divided(white - black, white + black))


def edge_curves(responses: Responses) -> Iterator[Curve]:
    """An edge's direction in the window that suits best, and the window's size in the direction that suits best."""
    sizes = responses.parameters(Edge, "diameter")
    shown = responses.to(
        DIRECTIONS, sizes, OFFSETS, make=lambda turn, size, offset: Edge(turn, size, offset * size)
    ).max(2)
    turn, size = largest_pair(shown)
    by_turn, by_size = pick(shown, 1, size), pick(shown, 0, turn)
    degrees = np.array(DIRECTIONS)
    yield Curve("edge", spread(degrees, by_turn), by_turn, peak_on_circle(degrees, by_turn, 360), pull(by_turn))
    values = spread(np.array(sizes), by_size)
    enough = (by_size >= NEARLY * by_size.max(0)).argmax(0)
    yield Curve("edge size", values, by_size, values[enough, 0], sharpness(by_size))


def bar_curve(responses: Responses) -> Curve:
    """The width of the best bar, bright or dark, of any orientation."""
    widths = responses.parameters(Bar, "width")
    shown = responses.to(
        widths,
        ORIENTATIONS,
        (1, -1),
        (-0.5, 0.0, 0.5),
        make=lambda width, turn, polarity, offset: Bar(turn, width, polarity, offset * width),
    )
    found = shown.max((1, 2, 3))
    values = spread(np.array(widths), found)
    return Curve("bar", values, found, values[found.argmax(0), 0], sharpness(found))


def corner_curve(responses: Responses) -> Curve:
    """The angle of the best wedge, 180 degrees being an edge in the same window; 1: no edge will do."""
    sizes = responses.parameters(Corner, "diameter")
    wedges = responses.to(
        ANGLES, sizes, DIRECTIONS, (1, -1), make=lambda angle, size, turn, sign: Corner(turn, angle, size, sign)
    ).max((2, 3))
    edges = responses.to(sizes, DIRECTIONS, make=lambda size, turn: Edge(turn, size)).max(1)
    shown = np.concatenate([wedges, edges[None]])
    _, size = largest_pair(shown)
    found = pick(shown, 1, size)
    values = spread(np.array([*ANGLES, 180]), found)
    return Curve("corner", values, found, values[found.argmax(0), 0], beyond(found, found[-1]))


def curvature_curve(responses: Responses) -> Curve:
    """The curvature of the best line, in the window that suits best; 1: no straight line will do."""
    sizes = responses.parameters(Arc, "diameter")
    straight = DIRECTIONS[: len(DIRECTIONS) // 2]
    rows = [
        responses.to(
            sizes,
            DIRECTIONS if bend else straight,
            (1, -1),
            make=lambda size, turn, sign, bend=bend: Arc(turn, bend / size, max(size / 8, 1.0), size, sign),
        ).max((1, 2))
        for bend in BENDS
    ]
    shown = np.stack(rows)
    _, size = largest_pair(shown)
    found = pick(shown, 1, size)
    values = np.array(BENDS)[:, None] / np.array(sizes)[size]
    return Curve("curvature", values, found, take(values, found.argmax(0)), beyond(found, found[0]))


def texture_curves(responses: Responses) -> Iterator[Curve]:
    """Every texture at its best scale, mean over samples; and noise of its spectrum at that scale."""
    scales = responses.parameters(Texture, "scale")
    samples = responses.parameters(Texture, "sample")
    names = tuple(FAMILIES)
    drawn, noise = (
        responses.to(
            names,
            scales,
            samples,
            make=lambda name, scale, sample, other=other: Texture(name, scale, sample, scrambled=other),
        ).mean(2)
        for other in (False, True)
    )
    scale = drawn.argmax(1)
    found, matched = (np.take_along_axis(one, scale[:, None], 1)[:, 0] for one in (drawn, noise))
    best = found.argmax(0)
    most, same = np.maximum(take(found, best), 0), np.maximum(take(matched, best), 0)
    values = spread(np.arange(len(names)), found)
    nothing = np.full(responses.units, np.nan)
    yield Curve("texture", values, found, best.astype(float), divided(most - same, most + same))
    yield Curve("texture noise", values, matched, matched.argmax(0).astype(float), nothing)


def harmonics(phases: Array) -> tuple[Array, NDArray[np.complex128]]:
    """Mean over the phases (first axis), and the amplitude of the response that follows the phase, as a complex."""
    turns = np.exp(1j * np.deg2rad(PHASES))
    first: NDArray[np.complex128] = np.asarray(2 * np.tensordot(turns, phases, (0, 0)) / len(PHASES))
    return np.asarray(phases.mean(0)), first


def strongest_phase(shown: Array) -> Array:
    """(orientation, frequency, unit): the response at the best phase, also one between those that were shown."""
    mean, first = harmonics(np.moveaxis(shown, 2, 0))
    return np.asarray(mean + np.abs(first))


def largest_pair(values: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where (first axis, second axis) the largest value of every unit is; of equal ones the first."""
    first, second = np.unravel_index(values.reshape(-1, values.shape[-1]).argmax(0), values.shape[:2])
    return np.asarray(first), np.asarray(second)


def pick(values: Array, axis: int, index: NDArray[np.int64]) -> Array:
    """One place along an axis, for every unit its own."""
    places = index.reshape(*[1] * (values.ndim - 1), -1)
    return np.take_along_axis(values, places, axis).squeeze(axis)


def take(values: Array, index: NDArray[np.int64]) -> Array:
    """(unit,): of every unit one of its values."""
    return np.asarray(values[index, np.arange(len(index))])


def spread(values: NDArray[np.generic], like: Array) -> Array:
    """The same values for every unit."""
    return np.broadcast_to(np.asarray(values, np.float64)[:, None], like.shape)


def peak_on_circle(degrees: NDArray[np.generic], responses: Array, period: float) -> Array:
    """Where a curve on a circle is largest: the top of the parabola through the largest value and its neighbours."""
    best = responses.argmax(0)
    before, after = (take(responses, (best + step) % len(responses)) for step in (-1, 1))
    step = period / len(responses)
    found = np.asarray(degrees, np.float64)[best] + step * summit(before, take(responses, best), after)
    return np.asarray(found % period)


def peak_on_line(places: Array, responses: Array) -> Array:
    """Where a curve over equal steps is largest, by the same parabola; at the ends the end."""
    best = responses.argmax(0)
    if len(responses) < 3:
        return np.asarray(places[best])
    inner = np.clip(best, 1, len(responses) - 2)
    before, top, after = (take(responses, inner + step) for step in (-1, 0, 1))
    shift = np.where(inner == best, summit(before, top, after), 0.0)
    return np.asarray(places[best] + (places[1] - places[0]) * shift)


def summit(before: Array, top: Array, after: Array) -> Array:
    """How far the top of a parabola is from its middle point, in steps: -0.5 to 0.5."""
    bend = before - 2 * top + after
    return np.where(bend < 0, (before - after) / np.where(bend < 0, 2 * bend, 1), 0.0)


def pull(responses: Array) -> Array:
    """The length of the mean vector of the responses above zero on a circle: 1 - circular variance. NaN: none is.

    A turn of the circle is the length of the curve: half a turn of the image for orientations.
    """
    above = np.maximum(responses, 0)
    turns = np.exp(2j * np.pi * np.arange(len(responses)) / len(responses))
    return divided(np.abs(np.tensordot(turns, above, (0, 0))), above.sum(0))


def sharpness(responses: Array) -> Array:
    """1 - mean / maximum of the responses above zero: 0 flat, near 1 for a single value. NaN: there are none."""
    above = np.maximum(responses, 0)
    return 1 - divided(above.mean(0), above.max(0))


def beyond(responses: Array, plain: Array) -> Array:
    """What share of the largest response the plain stimulus does not reach: 0 to 1."""
    return 1 - divided(np.maximum(plain, 0), np.maximum(responses.max(0), 0))


def divided(above: Array, below: Array) -> Array:
    """A quotient; NaN where the divisor is not above zero."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)
