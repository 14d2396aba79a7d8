"""The classes: for each an image made by gradient ascent, and the units that speak for it on that image."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from filterscope.ascent import OptimalImage, optimum, recipe
from filterscope.ascent.objectives import OUTPUT, class_evidence, class_number, is_distribution
from filterscope.ascent.optimum import CERTAIN
from filterscope.atlas.records import ClassImage, Contribution, Layer
from filterscope.atlas.work import Card, Picture, Result, Task
from filterscope.errors import BadModel, UnknownName
from filterscope.images.tensors import normalise
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.optima import tile
from filterscope.lenses.tiles import viewable
from filterscope.model import Network, tap
from filterscope.model.layers import units_last
from filterscope.model.running import run_once, tensors_in

Item = TypeVar("Item")

ALL = "all"
"""Among the names of classes: every one."""

MOST = 100
"""So many classes are all looked at unasked; a network that tells more apart waits until some are named."""

CLASSES_A_TASK = 5
"""What a run that is killed loses at most."""

CLASSES_A_SHEET = 100

LARGEST = 160
"""Longer side of a picture on a sheet, in pixels: larger ones are averaged."""

STRONGEST = 9
"""Units of a layer that are kept for every class."""

LETTER = 6
"""Pixels of a letter of a sheet's captions, about."""


@dataclass(frozen=True)
class Classes:
    """For classes of the network an image that convinces it, and in every layer the units that speak for them on it.

    Without names of classes: all, where the network tells 2 to 100 apart. One that tells more apart, or whose answer is
    no class scores, then gets none, and the stage says so.

    Args:
        classes: names or numbers of classes; "all" stands for every one. None: as above.
        preset: how the ascent is made, as for the optima.
        steps: at most so many; None: as the preset has it.
        seed: of the random numbers.
    Raises:
        FilterscopeError: if a setting is out of its range. UnknownName: (when used) if there is no such class.
    """

    classes: tuple[str, ...] | None = None
    preset: str = "quick"
    steps: int | None = None
    seed: int = 0

    name: ClassVar[str] = "classes"
    needs_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        recipe(self.preset, steps=self.steps)

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """For every sheet its classes, some a task, and then the sheet; none: a stage that says so."""
        chosen = chosen_classes(bench.network, self.classes)
        title = "classes" if chosen else f"classes (none is named; the network's answer: {told(bench.network)})"
        tasks: list[Task] = []
        for number, sheet in enumerate(groups(list(chosen.items()), CLASSES_A_SHEET)):
            parts = [self.part(bench, layers, dict(some)) for some in groups(sheet, CLASSES_A_TASK)]
            tasks += parts
            tasks.append(
                Task(
                    digest=digest("classes sheet", number, [part.digest for part in parts]),
                    lens=self.name,
                    title=f"classes {sheet[0][0]} to {sheet[-1][0]}, sheet",
                    work=DrawClasses(self, number),
                    size=0,
                    needs=tuple(part.digest for part in parts),
                )
            )
        yield Stage(title, "classes", tasks)

    def part(self, bench: Workbench, layers: Sequence[Layer], classes: Mapping[int, str]) -> Task:
        """The task that makes the images of some classes."""
        how = (self.preset, self.steps, self.seed)
        return Task(
            digest=digest("classes", bench.network.digest, how, list(layers), list(classes.items())),
            lens=self.name,
            title=f"classes {', '.join(map(str, classes))}",
            work=FindClasses(tuple(layers), dict(classes), self),
            size=len(classes),
        )


def groups(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Items in their order, so many together.

    Example:
        >>> groups("abcde", 2)
        ['ab', 'cd', 'e']
    """
    return [items[first : first + size] for first in range(0, len(items), size)]


def chosen_classes(network: Network, classes: Sequence[str] | None) -> dict[int, str]:
    """Number and name of every class that is looked at, in the order of the network's outputs.

    Args:
        network: the network; it runs once.
        classes: what the user named, see `Classes`; None: nothing.
    Raises:
        UnknownName: if the network has no class of a name; the nearest are offered.
        BadModel: if classes are named and the network's answer has no scores.
    """
    shape = answer_shape(network)
    count = shape[1] if len(shape) > 1 else 0
    names = network.classes or tuple(map(str, range(count)))
    if classes is None:
        # Maps without class names may be anything; and of a single value every softmax makes 1.
        certain = count == len(names) if network.classes else math.prod(shape) == count
        return dict(enumerate(names)) if certain and 1 < count <= MOST else {}
    if not count:
        raise BadModel("the network's answer holds no class scores: leave the names of classes out")
    every = ALL in classes
    numbers = set(range(len(names)) if every else (class_number(network, name) for name in classes))
    if beyond := [number for number in sorted(numbers) if number >= count]:
        raise UnknownName(f"no class {beyond[0]}; the network's answer has {count} values, counted from 0")
    return {number: names[number] for number in sorted(numbers)}


def answer_shape(network: Network) -> tuple[int, ...]:
    """Of the network's answer to one image; (): it is no tensor."""
    answer = next(tensors_in(run_once(network.module, network.example())), None)
    return () if answer is None else tuple(answer.shape)


def told(network: Network) -> str:
    """The size of the network's answer in words."""
    shape = answer_shape(network)
    return f"{' x '.join(map(str, shape[1:]))} values" if len(shape) > 1 else "no scores"


@dataclass(frozen=True)
class FindClasses:
    """Make the images of some classes. Called with the workbench; its partial: pictures and figures."""

    layers: tuple[Layer, ...]
    classes: Mapping[int, str]
    settings: Classes

    def __call__(self, bench: Workbench) -> Result:
        """Pictures and records, packed for the sheet."""
        how = self.settings
        found = []
        for number, name in self.classes.items():
            # A class is driven by its name, as by `filterscope optimum`: same picture. Of two alike the name is the
            # first one's.
            known = bench.network.classes
            target = name if known and known.index(name) == number else number
            image = optimum(bench.network, class_evidence(target), preset=how.preset, steps=how.steps, seed=how.seed)
            found.append(looked_at(bench.network, self.layers, number, name, image))
            bench.tick(1)
        return Result(partial=pack(found))


@dataclass(frozen=True)
class Portrait:
    """What the sheet shows and the atlas keeps of a class."""

    record: ClassImage
    contributions: tuple[Contribution, ...]
    tile: UInt8[np.ndarray, "height width colour"]


def looked_at(network: Network, layers: Sequence[Layer], number: int, name: str, image: OptimalImage) -> Portrait:
    """A class image and what the network says to it."""
    heard = evidence(network, layers, image.picture, number)
    # The database takes no NaN.
    finite = math.isfinite(heard.logit) and math.isfinite(heard.probability)
    record = ClassImage(
        number=number,
        name=name,
        probability=heard.probability if finite else 0.0,
        logit=heard.logit if finite else -math.inf,
        seed=image.seed,
        steps=image.steps,
        seconds=round(image.seconds, 4),
        status=image.status,
    )
    contributions = [one for layer in layers for one in strongest(number, layer.name, heard.values[layer.name])]
    return Portrait(record, tuple(contributions), reduced(image.picture))


@dataclass(frozen=True)
class Evidence:
    """What a network says of a class on one image.

    ``values`` holds, by layer, for every unit its pre-activation times the gradient of the class's logit, summed over
    the positions of its map and the calls of the layer.
    """

    logit: float
    probability: float
    values: Mapping[str, Float[np.ndarray, "unit"]]


def evidence(
    network: Network, layers: Sequence[Layer], picture: UInt8[np.ndarray, "height width channel"], number: int | None
) -> Evidence:
    """Ask a network for a class (None: the one it names) and for the units that speak for it: a pass forward and back.

    Where the answer is a softmax already, the logit is its logarithm. A layer that the logit does not depend on has
    zeros; so has one whose output is a view of another tensor and is changed in place afterwards (no convolution's
    and no batch norm's is), since PyTorch keeps no gradient of it.

    Source: gradient x activation; Shrikumar, Greenside, Shcherbina, Kundaje (2016), arXiv:1605.01713; at hidden units
        Olah et al. (2018), doi:10.23915/distill.00010.
    """
    calls = {layer.observed: layer.calls for layer in layers}
    seen: dict[str, list[tuple[Tensor, GradientEdge]]] = {name: [] for name in calls}
    answers: list[Tensor] = []

    def visit(name: str, _call: int, output: Tensor) -> None:
        # What comes next may change the tensor in place, its value and its place in the graph: both are taken now.
        if name in seen and output.requires_grad:
            seen[name].append((output.detach().clone(), get_gradient_edge(output)))
        if name == OUTPUT:
            answers.append(output)

    images = normalise(picture[None], network.preprocessing, device=network.device, dtype=network.dtype)
    with torch.enable_grad(), tap(network.module, [*calls, OUTPUT], calls={**calls, OUTPUT: 1}) as read:
        # Weights may be frozen, so the image asks for gradients; a leaf that does may not be changed in place.
        read.visit(images.requires_grad_().clone(), visit)
        logits = class_logits(answers[0])
        number = int(logits.argmax()) if number is None else number
        edges = [edge for some in seen.values() for _, edge in some]
        gradients = iter(torch.autograd.grad(logits[number], edges, allow_unused=True) if edges else ())
    logits = logits.detach()
    products = {name: [product(value, next(gradients)) for value, _ in some] for name, some in seen.items()}
    return Evidence(
        float(logits[number]),
        float(logits.softmax(0)[number]),
        {layer.name: summed(products[layer.observed], layer) for layer in layers},
    )


def product(value: Tensor, gradient: Tensor | None) -> Tensor:
    """Activation times gradient, in float64; None: the logit does not depend on it."""
    exact = value.to("cpu", torch.float64)
    return torch.zeros_like(exact) if gradient is None else exact * gradient.to("cpu", torch.float64)


def class_logits(answer: Tensor) -> Float[Tensor, "class"]:
    """The logits in a network's answer to one image, see :func:`every_logit`."""
    logits: Tensor = every_logit(answer)[0]
    return logits


def every_logit(answer: Tensor) -> Float[Tensor, "image class"]:
    """The logits in a network's answer, in float64."""
    return as_logits(answer.to("cpu", torch.float64))


def as_logits(answer: Tensor) -> Float[Tensor, "image class"]:
    """What a network answers as logits, differentiable: maps are averaged; of a softmax the logarithm."""
    answer = answer.flatten(2).mean(2) if answer.ndim > 2 else answer
    return answer.clamp_min(1e-30).log() if is_distribution(answer.detach()) else answer


def summed(products: Sequence[Tensor], layer: Layer) -> Float[np.ndarray, "unit"]:
    """Over positions and calls."""
    total = np.zeros(layer.channels)
    for one in products:
        total += units_last(one, layer).sum((0, 1, 2)).numpy()
    return total


def strongest(number: int, layer: str, values: Float[np.ndarray, "unit"]) -> list[Contribution]:
    """The units of a layer that speak most for a class, the strongest first; ties go to the lower index."""
    positive = np.where(np.isfinite(values) & (values > 0), values, 0.0)
    total = positive.sum()
    units = [int(unit) for unit in np.argsort(-positive, kind="stable")[:STRONGEST] if positive[unit] > 0]
    return [Contribution(number, layer, unit, float(values[unit]), float(positive[unit] / total)) for unit in units]


def reduced(picture: UInt8[np.ndarray, "height width channel"]) -> UInt8[np.ndarray, "h w colour"]:
    """A picture as it stands on the sheet: small ones with square pixels, large ones averaged."""
    longest = max(picture.shape[:2])
    if longest > LARGEST:
        height, width = (max(1, round(length * LARGEST / longest)) for length in picture.shape[:2])
        image = PillowImage.fromarray(np.ascontiguousarray(viewable(picture)))
        picture = np.asarray(image.resize((width, height), PillowImage.Resampling.BOX))
    return tile(picture)


def pack(found: Sequence[Portrait]) -> bytes:
    """Records and tiles as the bytes of an .npz."""
    facts = [(asdict(one.record), [asdict(contribution) for contribution in one.contributions]) for one in found]
    buffer = io.BytesIO()
    np.savez(buffer, tiles=np.stack([one.tile for one in found]), facts=np.array(json.dumps(facts)))
    return buffer.getvalue()


def unpack(data: bytes) -> list[Portrait]:
    """The inverse of :func:`pack`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return [
            Portrait(ClassImage(**record), tuple(Contribution(**one) for one in contributions), picture)
            for (record, contributions), picture in zip(json.loads(str(arrays["facts"])), arrays["tiles"], strict=True)
        ]


@dataclass(frozen=True)
class DrawClasses:
    """Put classes on their sheet. Called with the workbench and the packed results of its parts."""

    settings: Classes
    sheet: int

    def __call__(self, bench: Workbench, before: Sequence[bytes]) -> Result:
        """Records and sheet."""
        found = [one for data in before for one in unpack(data)]
        records = [one.record for one in found]
        contributions = [contribution for one in found for contribution in one.contributions]
        picture = Picture(
            layer="",
            lens=Classes.name,
            table=ClassImage.table,
            title=f"class images, {records[0].number} to {records[-1].number}",
            legend=self.legend(records),
            cards=tuple(Card(one.record.number, caption(one.record, one.tile), one.tile[None], 1) for one in found),
            part=self.sheet,
        )
        return Result((*records, *contributions), (picture,))

    def legend(self, records: Sequence[ClassImage]) -> str:
        """What the sheet shows, and how many classes were reached."""
        certain = sum(record.probability >= CERTAIN for record in records)
        missed = sum(record.status in ("not reached", "not finite") for record in records)
        end = f", {missed} not even one half" if missed else ""
        return (
            f"An image made by gradient ascent for each of {len(records)} classes (preset {self.settings.preset}). "
            f"Number: the network's probability; {certain} reached {CERTAIN}{end}."
        )


def caption(record: ClassImage, picture: NDArray[np.uint8]) -> str:
    """Name and probability; a name too long for the width of the picture is cut, never the number."""
    end = f"{record.probability:.2f}"
    room = picture.shape[1] // LETTER - len(f"{record.number}  {end}")
    name = record.name if len(record.name) <= room else f"{record.name[: max(room - 1, 0)].rstrip()}…"
    return f"{name} {end}"
