"""What all mechanisms of one network are made of: waves, spots, colours, energies, and the places of elements."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from circuit import Channel, Weights, read, weigh
from image_kernels import GREY, blob, gabor, hue, spot

ORIENTATIONS = 8
"""Number ``n`` has its contours at 22.5 n degrees, counter-clockwise from horizontal."""

FULL = 0.2
"""Of the energy of the best pattern from black to white: from here on a contour counts as there, however strong. Twice
as much of a dot, since the end of any line is half a dot."""


@dataclass(frozen=True)
class Plan:
    """The measures of a network.

    Args:
        wave: shortest wavelength of its first layer, in pixels; the other one is 1.8 times as long.
        energies: number of the stage of the energies; a pool follows it.
        parts: of the stage that puts elements together; a pool follows it.
        wholes: of the stage that puts parts together.
    """

    wave: float
    energies: int = 1
    parts: int = 2
    wholes: int = 3


class Front:
    """Channels of the first stages, each made once, when something asks for it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.waves = (plan.wave, 1.8 * plan.wave)
        self._made: dict[tuple[object, ...], Channel] = {}

    def once(self, key: tuple[object, ...], make: Callable[[], Channel]) -> Channel:
        """The channel of that key; made when it is asked for the first time."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def wave(self, turn: int, phase: int, size: int = 0) -> Channel:
        """A Gabor; phases are 0, 90, 180, 270."""
        wave = self.waves[size]
        radius = math.ceil(wave)
        return self.once(
            ("wave", turn % ORIENTATIONS, phase, size),
            lambda: read(gabor(wave, 22.5 * (turn % ORIENTATIONS), phase, radius)),
        )

    def colour(self, degrees: float) -> Channel:
        """A blob of one hue; pure colour gives 1, greys nothing."""
        width = self.plan.wave / 3
        return self.once(("hue", degrees % 360), lambda: read(blob(width, math.ceil(2 * width), hue(degrees))))

    def light(self, polarity: int) -> Channel:
        """How much brighter (1) or darker (-1) than mid grey a blob is; from 0 to 1."""
        width = self.plan.wave / 3
        weights = (2 * polarity / 3,) * 3
        return self.once(
            ("light", polarity), lambda: read(blob(width, math.ceil(2 * width), weights), bias=-float(polarity))
        )

    def spot(self, polarity: int, channels: Sequence[float] = GREY) -> Channel:
        """A bright or dark spot."""
        width = self.plan.wave / 3
        return self.once(
            ("spot", polarity, tuple(channels)),
            lambda: read(polarity * spot(width, math.ceil(3.5 * width), channels)),
        )

    def energy(self, turn: int, size: int = 0) -> Channel:
        """A contour of one orientation, whatever its phase."""
        return self.once(
            ("energy", turn % ORIENTATIONS, size),
            lambda: weigh(self.plan.energies, {self.wave(turn, phase, size): 1.0 for phase in (0, 90, 180, 270)}),
        )

    def sharp(self, turn: int, above: float = 0.0) -> Channel:
        """The same, less what the other orientations see there; ``above`` is taken from it."""
        mean = {self.wave(o, phase): -1.0 / ORIENTATIONS for o in range(ORIENTATIONS) for phase in (0, 90, 180, 270)}
        own = {self.wave(turn, phase): 1.0 - 1.0 / ORIENTATIONS for phase in (0, 90, 180, 270)}
        return self.once(
            ("sharp", turn % ORIENTATIONS, above), lambda: weigh(self.plan.energies, mean | own, bias=-above)
        )

    def dot(self, polarity: int = 0, above: float = 0.0) -> Channel:
        """A spot, bright (1), dark (-1) or either (0); ``above`` is taken from it."""
        spots = {self.spot(one): 1.0 for one in (1, -1) if one != -polarity}
        return self.once(("dot", polarity, above), lambda: weigh(self.plan.energies, spots, bias=-above))

    def tint(self, degrees: float, above: float = 0.0) -> Channel:
        """A hue; ``above`` is taken from it."""
        return self.once(
            ("tint", degrees, above), lambda: weigh(self.plan.energies, {self.colour(degrees): 1.0}, bias=-above)
        )

    def there(self, kind: str, value: float = 0) -> list[tuple[Channel, float]]:
        """Channels and weights whose sum is 1 where a contour, a dot or a hue is, and 0 where it is not.

        What goes beyond ``FULL`` is subtracted again: a strong element does not make up for one that is missing.
        """
        make: Callable[[float], Channel] = {
            "contour": lambda above: self.sharp(int(value), above),
            "dot": lambda above: self.dot(int(value), above),
            "hue": lambda above: self.tint(value, above),
        }[kind]
        full = 2 * FULL if kind == "dot" else FULL
        return [(make(0.0), 1 / full), (make(full), -1 / full)]


Placed = tuple[Channel, float, float, float]
"""A channel, how far to the right and above the centre it is read (in cells), and its weight."""


def contour(
    front: Front, turn: float, right: float, up: float, weight: float = 1.0, other: float = 0.7
) -> list[Placed]:
    """A piece of contour at a place; a contour across it counts against it. ``weight`` below 0: none must be there."""
    number = round(turn / 22.5)
    placed = [(one, right, up, weight * share) for one, share in front.there("contour", number % 8)]
    if other and weight > 0:
        placed += [(one, right, up, -other * weight * share) for one, share in front.there("contour", (number + 4) % 8)]
    return placed


def conjunction(stage: int, placed: Iterable[Placed], count: float, need: float) -> Channel:
    """1 where all ``count`` elements are, 0 where ``need`` of them are or fewer (less than 0 before the rectifier)."""
    gain = 1 / (count * (1 - need))
    kernels = spread((one, right, up, gain * weight) for one, right, up, weight in placed)
    return weigh(stage, kernels, bias=-need / (1 - need), bundle=f"of {len(kernels)}")


def spread(placed: Iterable[Placed]) -> list[tuple[Channel, Weights]]:
    """Kernels from places: a place between cells is shared among its four neighbours."""
    placed = list(placed)
    radius = math.ceil(max(max(abs(right), abs(up)) for _, right, up, _ in placed) - 1e-9)
    kernels: dict[Channel, Weights] = {}
    for channel, right, up, weight in placed:
        kernel = kernels.setdefault(channel, np.zeros((2 * radius + 3, 2 * radius + 3)))
        row, column = radius + 1 - up, radius + 1 + right
        top, left = math.floor(row), math.floor(column)
        for down, over in ((0, 0), (0, 1), (1, 0), (1, 1)):
            share = (1 - abs(row - top - down)) * (1 - abs(column - left - over))
            kernel[top + down, left + over] += weight * share
    return [(channel, kernel[1:-1, 1:-1]) for channel, kernel in kernels.items()]


def over(stage: int, terms: Iterable[tuple[Channel, float]], radius: float, bias: float = 0.0) -> Channel:
    """The mean over a round, soft window of ``radius`` cells of a weighed sum of channels."""
    line = np.arange(-math.ceil(radius), math.ceil(radius) + 1)
    away = np.hypot(*np.meshgrid(line, line))
    window = np.clip(radius + 0.5 - away, 0, 1)
    window /= window.sum()
    return weigh(stage, [(channel, weight * window) for channel, weight in terms], bias, bundle="area")
