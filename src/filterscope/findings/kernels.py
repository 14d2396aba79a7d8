"""What each kernel of pixels does: its best reference, how sure that is, and its energy in shares by function."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.convolution.classic import EDITING, ClassicFilter, classic
from filterscope.errors import FilterscopeError, UnknownName
from filterscope.findings import matching, naming
from filterscope.findings.matching import Best
from filterscope.findings.naming import SHARES, Match, Term
from filterscope.findings.pixel_kernels import PixelKernels, Records, of_atlas, of_network
from filterscope.findings.references import References, references
from filterscope.model import Network, load

if TYPE_CHECKING:
    import pandas

METHODS = ("kernels", "l2")
DRAWS = 199
"""Shuffled kernels a unit: a p-value is a multiple of 1/200."""

CHANCE = 0.05
"""A term counts if no more than this share of the unit's shuffled kernels is explained as well."""

ENOUGH = 0.5
"""Share of the energy that the terms that count must explain for the unit to get a label."""

PLAIN = 0.95
"""A reference that explains this much is named whatever the p-value.

A single pixel, shuffled, is a single pixel: of an identity of 3 x 3 a ninth of the shuffled kernels is the same.
"""

LEAST = 0.01
"""Terms of a smaller share of the energy are not looked at."""

LINEAR = 0.3
"""An effective kernel of a lower linearity says little of the unit: it is neither tested nor taken apart."""


@dataclass(frozen=True, eq=False)
class Identified:
    """The kernels of a layer, what they are like, and the references as they lie on them."""

    kernels: PixelKernels
    matches: tuple[Match, ...]
    fitted: Float[np.ndarray, "unit channel height width"]
    """Each unit's best reference in its place, turn, size, phase and colour, at its own strength."""

    def frame(self) -> "pandas.DataFrame":
        """A row a unit."""
        import pandas

        columns = [one.name for one in fields(Match) if one.name != "shares"]
        rows = [
            {**{name: getattr(match, name) for name in columns}, **naming.as_columns(match)} for match in self.matches
        ]
        frame = pandas.DataFrame(rows)
        frame.insert(0, "layer", self.kernels.layer)
        if self.kernels.linearity is not None:
            frame["linearity"] = np.array(self.kernels.linearity, np.float64)
        return frame


def identify_kernels(
    network_or_atlas: "Network | Records | str",
    layer: str | None = None,
    method: str = "kernels",
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> "pandas.DataFrame":
    """Say of every kernel that weighs pixels which classic filter it is like, and what it does, in shares.

    For layers that see the image's pixels, and for the effective kernels of an atlas. What deeper filters do by their
    behaviour is not told by kernels.

    Args:
        network_or_atlas: a network (or what `load` takes), or an open atlas with effective kernels.
        layer: one layer by its name; None: all that see pixels, or all that the atlas has effective kernels of.
        method: "kernels": the largest energy-normalised correlation over shift, rotation, scale, polarity, phase and
            colour. "l2": the plain L2 distance to eleven filters of image editors, to show why it fails.
        draws: shuffled kernels a unit; p-values are multiples of 1 / (draws + 1).
        seed: of the shuffling.
    Returns:
        A row a unit. ``reference`` is the best one, with ``orientation`` (degrees, of the line, anticlockwise from
        horizontal), ``frequency`` (cycles a pixel), ``phase`` (degrees), ``polarity``, ``sigma``, ``x``, ``y``
        (pixels from the middle, right and up), ``hue`` and ``chroma``; ``correlation`` (0 to 1) and ``p``; shares of
        the energy by function and ``unstructured``, of sum 1; ``label`` and ``compound``. Of an atlas
        also ``linearity``.
        What is not applicable (colour, for inputs that are not RGB) is None or NaN.
        With "l2": ``reference``, its ``function``, the ``distance`` to it and the kernel's ``norm``.
    Raises:
        UnknownName: if there is no such layer or method.
        FilterscopeError: if no kernel sees pixels, or they are 1 x 1.
        BadAtlas: if the atlas has no effective kernels.
    """
    import pandas

    if method not in METHODS:
        raise UnknownName.of("method", method, METHODS, "it is 'kernels' or 'l2'")
    found = kernels_of(network_or_atlas, layer)
    if method == "l2":
        return pandas.concat([nearest(one) for one in found], ignore_index=True)
    frames = [identified(one, draws=draws, seed=seed).frame() for one in found]
    return pandas.concat(frames, ignore_index=True)


def kernels_of(network_or_atlas: "Network | Records | str", layer: str | None = None) -> list[PixelKernels]:
    """The kernels of pixels that a network or atlas has, layer by layer."""
    given = load(network_or_atlas) if isinstance(network_or_atlas, str) else network_or_atlas
    return of_network(given, layer) if isinstance(given, Network) else of_atlas(given, layer)


def identified(
    kernels: PixelKernels, *, draws: int = DRAWS, seed: int = 0, tick: Callable[[int], object] = bool
) -> Identified:
    """Compare a layer's kernels with all references; ``tick`` is called with 1 after each unit.

    Raises:
        FilterscopeError: if ``draws`` is out of its range.
    """
    if not 19 <= draws <= 100_000:
        raise FilterscopeError(f"shuffled kernels a unit: 19 to 100000, not {draws}")
    height, width = kernels.weights.shape[2:]
    how = Chance(references((height, width)), draws, seed)
    flat = kernels.weights.reshape(*kernels.weights.shape[:2], -1)
    own = matching.unit_length(flat)
    terms = list(matching.pursue(own, how.against))
    matches = []
    for unit, kernel in enumerate(own):
        matches.append(matched(unit, kernels, kernel, terms, how) if kernel.any() else naming.nothing(unit))
        tick(1)
    fitted = terms[0].fitted(how.against, (flat**2).sum((1, 2))).reshape(kernels.weights.shape)
    return Identified(kernels, tuple(matches), fitted)


@dataclass(frozen=True)
class Chance:
    """How chance is measured."""

    against: References
    draws: int
    seed: int

    def p_values(self, unit: int, kernel: NDArray[np.float64], terms: list[Best], named: list[Term]) -> Iterator[float]:
        """A p-value for every term: how many of the unit's shuffled kernels have so much explained of what was left.

        Of a reference of colours the shuffling takes away the colours as well. A filter for a colour anywhere keeps its
        function when its pixels are permuted; one for a line does not.
        """
        # The same for every unit: the answer must not depend on the order of the units.
        rng = np.random.default_rng(self.seed)
        makers = {False: matching.rearranged, True: matching.recoloured}
        shuffled = {
            opposed: list_as_needed(matching.of_the_rest(matching.pursue(make(kernel, self.draws, rng), self.against)))
            for opposed, make in makers.items()
        }
        for number, (share, one) in enumerate(zip(matching.of_the_rest(terms), named, strict=True)):
            yield float(matching.p_values(share[unit : unit + 1], shuffled[one.opposed](number))[0])


def list_as_needed(values: Iterator[NDArray[np.float64]]) -> Callable[[int], NDArray[np.float64]]:
    """The values by their number, each computed when it is asked for: most kernels need only the first."""
    kept: list[NDArray[np.float64]] = []

    def get(number: int) -> NDArray[np.float64]:
        kept.extend(islice(values, number + 1 - len(kept)))
        return kept[number]

    return get


def matched(unit: int, kernels: PixelKernels, kernel: NDArray[np.float64], terms: list[Best], how: Chance) -> Match:
    """A unit's best reference, shares and label."""
    named = [naming.term(one, unit, how.against, kernels.colours) for one in terms]
    if kernels.linearity is not None and ((one := kernels.linearity[unit]) is None or one < LINEAR):
        # There is no one kernel, so there is nothing to take apart.
        return naming.match(unit, named[0], None, None, "not linear", "not linear")
    p_values = how.p_values(unit, kernel, terms, named)
    first = next(p_values)
    count = counted([one.explained for one in named], chain([first], p_values))
    shares = naming.shares(named[:count], kernels.colours)
    told = count > 0 and sum(one.explained for one in named[:count]) >= ENOUGH
    label, compound = naming.labels(shares) if told else ("unstructured", "unstructured")
    return naming.match(unit, named[0], first, shares, label, compound)


def counted(explained: list[float], p: Iterable[float]) -> int:
    """How many terms count: those before the first that chance explains as well."""
    for number, (share, chance) in enumerate(zip(explained, p, strict=False)):
        plain = number == 0 and share >= PLAIN
        if (chance > CHANCE and not plain) or share < LEAST:
            return number
    return len(explained)


def editing(size: tuple[int, int]) -> list[ClassicFilter]:
    """The eleven filters of image editors."""
    return [classic(name, size) for name in EDITING]


def nearest(kernels: PixelKernels) -> "pandas.DataFrame":
    """The plain comparison: of every kernel the filter at the smallest L2 distance, nothing normalised."""
    import pandas

    channels, height, width = kernels.stored.shape[1:]
    candidates = editing((height, width))
    stack = np.stack([one.kernel(channels) for one in candidates])
    apart = kernels.stored[:, None] - stack[None]
    distance = np.sqrt((apart**2).sum((2, 3, 4)))
    chosen = distance.argmin(1)
    return pandas.DataFrame(
        {
            "layer": kernels.layer,
            "unit": np.arange(len(chosen)),
            "reference": [candidates[index].name for index in chosen],
            "function": [candidates[index].function for index in chosen],
            "distance": distance.min(1),
            "norm": np.sqrt((kernels.stored**2).sum((1, 2, 3))),
        }
    )


def layer_shares(frame: "pandas.DataFrame") -> "pandas.DataFrame":
    """The mean share of every function over a layer's kernels that are not zero: a row a layer."""
    names = [name for name in (*SHARES, "unstructured") if name in frame]
    alive = frame[frame["label"] != "zero"]
    return alive.groupby("layer", sort=False)[names].mean()
