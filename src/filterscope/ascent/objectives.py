"""What is to be made as large as can be: units, neurons, directions, classes, layers, likeness, and sums of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from filterscope.ascent.reading import maps_of
from filterscope.atlas.records import Layer, Pair
from filterscope.errors import FilterscopeError, UnknownName
from filterscope.images.preprocessing import fit
from filterscope.images.tensors import normalise
from filterscope.model import Network, tap

OUTPUT = ""
"""Stands among the layers for the network's answer."""

POSITIONS = ("centre", "mean", "max")
"""Where a unit is driven: in the middle of the canvas, everywhere alike, or where it is largest."""


@dataclass(frozen=True)
class Reading:
    """What one forward pass has given for a batch of images.

    ``maps`` holds, by layer, pre-activations (item, unit, row, column), and for ``OUTPUT`` (item, class); ``centres``
    the middle position of each; ``images`` the images themselves (item, channel, height, width) in 0 to 1; ``items``
    which of the objective's items each of them is for.
    """

    maps: Mapping[str, Tensor]
    centres: Mapping[str, Pair]
    images: Float[Tensor, "item channel height width"]
    items: Int[Tensor, "item"]


Score = Callable[[Reading], Tensor]
"""From a reading to one number an image, (item): the larger the better."""


@dataclass(frozen=True)
class Objective:
    """A description of what to maximise. Objectives add, subtract and multiply, with each other and with numbers.

    ``bind`` checks it against a network and gives the function that scores a reading. A ``coupled`` objective compares
    the images of a batch with each other, a ``whole`` one needs the network's full input size. ``class_name`` is the
    class of an objective that is a class and nothing else.

    Example:
        >>> print(0.5 * unit("conv1:3") - neuron("conv2:1", 4, 4))
        0.5 * conv1:3 - conv2:1[4, 4]
    """

    name: str
    layers: tuple[str, ...]
    bind: Callable[[Network], Score]
    coupled: bool = False
    whole: bool = False
    class_name: str | int | None = None

    def __str__(self) -> str:
        return self.name

    def __add__(self, other: "Objective | float") -> "Objective":
        return combined(self, "+", other)

    def __radd__(self, other: float) -> "Objective":
        # sum() begins with 0.
        return self if other == 0 else combined(constant(other), "+", self)

    def __sub__(self, other: "Objective | float") -> "Objective":
        return combined(self, "-", other)

    def __rsub__(self, other: float) -> "Objective":
        return combined(constant(other), "-", self)

    def __mul__(self, other: "Objective | float") -> "Objective":
        return combined(self, "*", other)

    def __rmul__(self, other: float) -> "Objective":
        return combined(constant(other), "*", self)

    def __truediv__(self, other: float) -> "Objective":
        return self * (1 / other)

    def __neg__(self) -> "Objective":
        return Objective(
            f"-({self})" if " " in self.name else f"-{self}", self.layers, negated(self.bind), **flags(self)
        )


Target = str | Objective
"""What a user may give: a unit written LAYER:INDEX, or an objective."""

OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
}


def combined(left: Objective, sign: str, right: "Objective | float") -> Objective:
    """Two objectives as one; the operands stay as they are."""
    if not isinstance(right, Objective):
        right = constant(right)
    operation = OPERATIONS[sign]
    first, second = left.bind, right.bind

    def bind(network: Network) -> Score:
        one, other = first(network), second(network)
        return lambda reading: operation(one(reading), other(reading))

    layers = tuple(dict.fromkeys(left.layers + right.layers))
    sides = [f"({side})" if " " in side.name and sign == "*" else str(side) for side in (left, right)]
    if sign == "-" and (" + " in right.name or " - " in right.name):
        sides[1] = f"({right})"
    return Objective(f"{sides[0]} {sign} {sides[1]}", layers, bind, **flags(left, right))


def flags(*objectives: Objective) -> dict[str, bool]:
    """What holds for a sum if it holds for one of its parts."""
    return {
        "coupled": any(one.coupled for one in objectives),
        "whole": any(one.whole for one in objectives),
    }


def negated(bind: Callable[[Network], Score]) -> Callable[[Network], Score]:
    """The same, downwards."""

    def bound(network: Network) -> Score:
        score = bind(network)
        return lambda reading: -score(reading)

    return bound


def constant(value: float) -> Objective:
    """A number as an objective: a factor in a product."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise FilterscopeError(f"an objective adds and multiplies with objectives and finite numbers, not {value!r}")
    return Objective(f"{value:g}", (), lambda _network: lambda reading: torch.full((), float(value)).to(reading.images))


def as_objective(target: Target) -> Objective:
    """An objective from what a user gave.

    Raises:
        FilterscopeError: if it is neither a unit's name nor an objective.
    """
    if isinstance(target, str):
        return unit(target)
    if not isinstance(target, Objective):
        raise FilterscopeError(f"a target is a unit 'LAYER:INDEX' or an objective such as fs.unit(...), not {target!r}")
    return target


def unit(text: str, position: str = "centre") -> Objective:
    """One unit, written ``LAYER:INDEX``, at its pre-activation.

    Args:
        text: the unit.
        position: "centre" (the position in the middle of the canvas), "mean" or "max" over the map.
    Raises:
        FilterscopeError: if there is no such position. UnknownName: (when bound) if there is no such unit.
    """
    layer = text.rpartition(":")[0]
    return Objective(text, (layer,), bind_units(layer, lambda network: [network.unit(text)[1]], position))


def units(layer: str, indices: Sequence[int], position: str = "centre") -> Objective:
    """Many units of one layer, one an image: the k-th item is the k-th of ``indices``.

    Raises:
        FilterscopeError: as for `unit`.
    """
    chosen = tuple(indices)

    def check(network: Network) -> Sequence[int]:
        return [network.unit(f"{layer}:{index}")[1] for index in chosen]

    return Objective(f"{layer}:{','.join(map(str, chosen))}", (layer,), bind_units(layer, check, position))


def bind_units(layer: str, indices: Callable[[Network], Sequence[int]], position: str) -> Callable[[Network], Score]:
    """The score of one unit for all images, or of a unit for each."""
    if position not in POSITIONS:
        raise UnknownName.of("position", position, POSITIONS, f"there are: {', '.join(POSITIONS)}")

    def bind(network: Network) -> Score:
        chosen = torch.tensor(list(indices(network)))

        def score(reading: Reading) -> Tensor:
            maps = reading.maps[layer]
            items = reading.items if len(chosen) > 1 else torch.zeros_like(reading.items)
            index = chosen.to(maps.device)[items]
            rows = torch.arange(len(maps), device=maps.device)
            if position == "centre":
                y, x = reading.centres[layer]
                return maps[rows, index, y, x]
            own = maps[rows, index].flatten(1)
            return own.mean(1) if position == "mean" else own.amax(1)

        return score

    return bind


def neuron(text: str, y: int, x: int) -> Objective:
    """One position of a unit's map, at the network's full input size.

    Raises:
        UnknownName: (when bound) if there is no such unit or position.
    """
    layer = text.rpartition(":")[0]

    def bind(network: Network) -> Score:
        found, number = network.unit(text)
        size = found.output_size or (1, 1)
        if not (0 <= y < size[0] and 0 <= x < size[1]):
            raise UnknownName(f"no position ({y}, {x}) in {layer!r}; its map is {size[0]} x {size[1]}, counted from 0")
        return lambda reading: reading.maps[layer][:, number, y, x]

    return Objective(f"{text}[{y}, {x}]", (layer,), bind, whole=True)


def direction(layer: str, vector: Sequence[float], *, cosine: float = 0.0, position: str = "centre") -> Objective:
    """A direction in the space of a layer's units: the dot product of the responses with ``vector``.

    Args:
        layer: the layer.
        vector: one number a unit; taken at length 1.
        cosine: exponent of the cosine between responses and vector that multiplies the product. Above 0 the responses
            are drawn towards the direction itself and not only far along it. Source: Olah et al. (2017),
            doi:10.23915/distill.00007 and the library lucid.
        position: "centre" or "mean" over the map.
    Raises:
        FilterscopeError: (when bound) if the vector does not have one number a unit, or is zero.
    """
    if position not in ("centre", "mean"):
        raise UnknownName.of("position", position, ("centre", "mean"), "a direction is driven at the centre or mean")

    def bind(network: Network) -> Score:
        wanted = torch.as_tensor(np.asarray(vector, np.float32))
        channels = network.layer(layer).channels
        if wanted.shape != (channels,) or not wanted.norm() > 0:
            raise FilterscopeError(
                f"a direction in {layer!r} is {channels} numbers, not all zero; given: {tuple(wanted.shape)}"
            )

        def score(reading: Reading) -> Tensor:
            maps = reading.maps[layer]
            y, x = reading.centres[layer]
            response = maps[:, :, y, x] if position == "centre" else maps.mean((2, 3))
            return aligned(response, (wanted / wanted.norm()).to(response), cosine)

        return score

    return Objective(f"direction({layer})", (layer,), bind)


def aligned(response: Tensor, wanted: Tensor, exponent: float) -> Tensor:
    """Dot product times a power of the cosine, (item)."""
    dot = (response * wanted).flatten(1).sum(1)
    if exponent == 0:
        return dot
    length = response.flatten(1).norm(dim=1) * wanted.norm()
    # Where they point apart a power of the cosine has no useful gradient: a floor leaves the dot product's.
    cosine = (dot / length.clamp_min(1e-12)).clamp_min(0.1)
    result: Tensor = dot * cosine.pow(exponent)
    return result


def logit(name: str | int) -> Objective:
    """A class of the network, by name or number: its value in the network's answer, before a softmax.

    It grows with everything that the class shares with others; `class_evidence` tells it from them. Where the answer is
    a softmax already, its logarithm is taken.

    Raises:
        UnknownName: (when bound) if there is no such class; the nearest names are offered.
    """
    return replace(class_evidence(name, rivals=0.0), name=f"logit {name}")


def class_evidence(name: str | int, rivals: float = 0.5) -> Objective:
    """A class against its rivals: its logit minus ``rivals`` times the log-sum-exp of all other logits.

    Args:
        name: of the class, or its number.
        rivals: 0 is the plain logit, 1 the logarithm of the odds. Between them both what the class looks like and what
            tells it from look-alikes count. Measured on squeezenet1_1, 100 classes: of images made for the logit 93
            reach a probability of 0.99, at 0.5 all.
    Raises:
        UnknownName: (when bound) if there is no such class; the nearest names are offered.
    """

    def bind(network: Network) -> Score:
        number = class_number(network, name)

        def score(reading: Reading) -> Tensor:
            answer = reading.maps[OUTPUT]
            if number >= answer.shape[1]:
                raise UnknownName(f"no class {number}; the network's answer has {answer.shape[1]} values")
            logits = answer.clamp_min(1e-30).log() if is_distribution(answer) else answer
            own = logits[:, number]
            if rivals == 0 or logits.shape[1] == 1:
                return own
            others = torch.cat([logits[:, :number], logits[:, number + 1 :]], 1)
            return own - rivals * others.logsumexp(1)

        return score

    return Objective(f"class {name}", (OUTPUT,), bind, whole=True, class_name=name)


def is_distribution(answer: Float[Tensor, "item class"]) -> bool:
    """Whether every row is already a softmax: nothing below 0, sum 1."""
    with torch.no_grad():
        sums = answer.float().sum(1)
        # Shares that were rounded to the 8 bits of bfloat16 sum to 1 but for 1/256.
        return bool((answer >= 0).all() and ((sums - 1).abs() < 5e-3).all() and answer.shape[1] > 1)


def class_number(network: Network, name: str | int) -> int:
    """The number of a class.

    Raises:
        UnknownName: if there is none of that name or number; the nearest names are offered.
    """
    known = network.classes
    if isinstance(name, str) and name in known:
        return known.index(name)
    if isinstance(name, int) or name.isdecimal():
        if int(name) < 0 and not known:
            raise UnknownName(f"no class {name}; classes are counted from 0")
        if int(name) < 0 or (known and int(name) >= len(known)):
            raise UnknownName(f"no class {name}; the network has the classes 0 to {len(known) - 1}")
        return int(name)
    if not known:
        raise UnknownName(f"no class {name!r}: the network's classes have no names; give a number")
    folded = {one.casefold().replace("_", " "): one for one in known}
    if name.casefold().replace("_", " ") in folded:
        return known.index(folded[name.casefold().replace("_", " ")])
    raise UnknownName.of("class", name, known, "or give its number")


def energy(layer: str) -> Objective:
    """All of a layer at once: the mean square of its pre-activations above zero, as in DeepDream.

    Source: Mordvintsev, Olah, Tyka (2015), Inceptionism.
    """

    def bind(network: Network) -> Score:
        network.layer(layer)
        return lambda reading: reading.maps[layer].clamp_min(0).square().flatten(1).mean(1)

    return Objective(f"energy({layer})", (layer,), bind, whole=True)


def likeness(layer: str, image: UInt8[np.ndarray, "height width channel"], *, cosine: float = 1.0) -> Objective:
    """Responses of ``layer`` as to ``image``, only stronger: a caricature of what the layer keeps of it.

    Args:
        layer: the layer.
        image: any size; it is fitted to the network.
        cosine: exponent of the cosine that multiplies the dot product.
    Source: the recipe 'caricature' of lucid; Olah et al. (2017), doi:10.23915/distill.00007.
    """

    def bind(network: Network) -> Score:
        found = network.layer(layer)
        pixels = fit(image, network.preprocessing)[None]
        x = normalise(pixels, network.preprocessing, device=network.device, dtype=network.dtype)
        with tap(network.module, [found.observed], calls={found.observed: found.calls}) as read, torch.no_grad():
            wanted = maps_of(read(x), found)
        wanted = wanted / wanted.norm().clamp_min(1e-12)
        return lambda reading: aligned(reading.maps[layer], wanted, cosine)

    return Objective(f"likeness({layer})", (layer,), bind, whole=True)


def diversity(layer: str) -> Objective:
    """How different the images of a batch look to ``layer``: minus the mean cosine of their Gram matrices.

    Added to a unit with a weight, it finds the several things that the unit answers to; all images of the batch ascend
    together. Source: Olah et al. (2017), doi:10.23915/distill.00007, section on diversity.
    """

    def bind(network: Network) -> Score:
        network.layer(layer)

        def score(reading: Reading) -> Tensor:
            flat = reading.maps[layer].flatten(2)
            gram = torch.nn.functional.normalize((flat @ flat.mT).flatten(1), dim=1)
            likeness = gram @ gram.T
            others = likeness.sum(1) - likeness.diagonal()
            return -others / max(len(flat) - 1, 1)

        return score

    return Objective(f"diversity({layer})", (layer,), bind, coupled=True)


def total_variation() -> Objective:
    """How rough the image is: the mean absolute step between neighbouring pixels. Subtract it to have a smooth one.

    Source: Mahendran, Vedaldi (2015), doi:10.1109/CVPR.2015.7299155.
    """

    def score(reading: Reading) -> Tensor:
        images = reading.images
        down = images.diff(dim=2).abs().flatten(1).sum(1)
        across = images.diff(dim=3).abs().flatten(1).sum(1)
        return (down + across) / images[0].numel()

    return Objective("total variation", (), bind=lambda _network: score)


def layers_of(network: Network, objective: Objective) -> list[Layer]:
    """The layers that an objective reads, described; the network's answer is none.

    Raises:
        UnknownName: if one does not exist.
    """
    return [network.layer(name) for name in objective.layers if name != OUTPUT]
