"""Back-projection: which pixels of an image made a unit fire, by any of seven methods."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from filterscope.atlas.records import Pair
from filterscope.errors import BadImages, FilterscopeError, UnknownName
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.tensors import denormalise, standardise
from filterscope.lenses.activations import as_html, short
from filterscope.lenses.class_maps import class_map
from filterscope.lenses.cones import SAME, Cutter, Seed
from filterscope.lenses.given import as_input, as_network
from filterscope.lenses.integrated_gradients import integrated_gradients
from filterscope.lenses.occlusion import occlusion
from filterscope.lenses.overlay import fitting, laid_over, shares, weighed
from filterscope.lenses.patches import clipped, field_box, fields
from filterscope.lenses.seeds import Place, Start, Target, off_note, start
from filterscope.lenses.tiles import Span, full_colour, signed_colour, viewable
from filterscope.lenses.way_back import METHODS as ONE_PASS
from filterscope.lenses.way_back import as_picture, check_method, forward
from filterscope.model import Network

METHODS = (*ONE_PASS, "integrated gradients", "occlusion", "class activation map")
"""Every method."""

BASELINES = ("mean", "black", "white", "blurred")
"""Images without content: the mean colour that the preprocessing subtracts, black, white, the image itself blurred."""

BLUR = 8
"""Deviation of the blur: one in so many of the image's shorter side."""

PER_PIXEL = "pre-activation per pixel value (1: from black to white)"
UNITS = {
    "gradient": PER_PIXEL,
    "guided": PER_PIXEL,
    "deconvnet": PER_PIXEL,
    "gradient x input": "pre-activation",
    "integrated gradients": "pre-activation",
    "occlusion": "fall of the pre-activation where it is covered",
    "class activation map": "weighted features",
}
"""What the values are in."""


SHOWS = ("signed", "absolute")
"""Ways to show values."""


@dataclass(frozen=True)
class Settings:
    """What some methods want to know. Occlusion: ``window``, ``stride``; integrated gradients: ``steps``.

    ``baseline``: where integrated gradients begin, and what occlusion covers with.
    """

    baseline: str | Tensor = "mean"
    steps: int | None = None
    window: int | None = None
    stride: int | None = None


@dataclass(frozen=True, eq=False)
class Projection:
    """What a unit carries back to the pixels of one image. A notebook shows it beside the image."""

    unit: str
    method: str
    """The method; of a class activation map "CAM" or "Grad-CAM"."""
    image: UInt8[np.ndarray, "height width channel"] = field(repr=False)
    """The image as the network sees it, colours in the order RGB."""
    values: Float[np.ndarray, "height width colour"] = field(repr=False)
    """By pixel of the image; colours in the order RGB, or one channel."""
    measured_in: str
    """What the values are in."""
    activation: float
    """What was carried back: the unit's pre-activation at the seed (of "map" their mean, weighted by themselves)."""
    seed: str
    position: Pair | None
    """Of the seed on the unit's map, where it is a single one of several."""
    box: tuple[Span, Span]
    """Rows and columns of the image that the seed sees, cut to the image."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What the method tells of itself."""
    note: str = ""
    """What has to be known, e.g. that the unit is off."""

    def full(self, show: str = "signed") -> float:
        """What full colour stands for: one in 200 values of the box is beyond it."""
        values = self.cropped(self.values)
        return full_colour(strength(values) if show == "absolute" else values)

    def scaled(self, show: str = "signed", full: float | None = None) -> str:
        """How the picture is to be read."""
        scale = "its own scale" if full is None else "one scale for all of its method"
        words = f"full colour {short(self.full(show) if full is None else full)} {self.measured_in}, {scale}"
        if show == "absolute":
            return f"absolute, summed over colours, white is zero, {words}"
        zero = "mid grey is zero" if self.values.shape[2] > 1 else "blue negative, white zero, red positive"
        return f"signed, {zero}, {words}"

    def cropped(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The part of a picture of the image's size that the seed sees."""
        return picture[slice(*self.box[0]), slice(*self.box[1])]

    def picture(
        self, side: int = 256, show: str = "signed", full: float | None = None
    ) -> UInt8[np.ndarray, "height width 3"]:
        """What the seed sees, its longer side ``side`` pixels.

        Args:
            side: of the picture.
            show: "signed": colours around mid grey; of one channel blue and red over the image. "absolute": how strong
                each pixel is, white to black, colours summed.
            full: what full colour stands for; None: the picture's own 99.5th percentile.
        Raises:
            UnknownName: if ``show`` is neither.
        """
        if show not in SHOWS:
            raise UnknownName.of("way to show", show, SHOWS, "it is signed or absolute")
        values = self.cropped(self.values)
        size = fitting((values.shape[0], values.shape[1]), side)
        full = (self.full(show) if full is None else full) or 1.0
        if show == "absolute":
            grey = 255 * (1 - np.clip(resized(strength(values), size) / full, 0, 1))
            return np.asarray(np.rint(np.repeat(grey, 3, axis=2)), np.uint8)
        if values.shape[2] > 1:
            return signed_colour(resized(values, size), full)
        maps = np.ascontiguousarray(values[None, ..., 0])
        extents = ((0.0, float(values.shape[0])), (0.0, float(values.shape[1])))
        under = np.ascontiguousarray(self.cropped(self.image))
        return np.asarray(laid_over(under, maps, np.array([full], np.float32), extents, size)[0])

    def _repr_html_(self) -> str:
        seen = viewable(self.cropped(self.image))
        factor = max(1, 256 // max(seen.shape[:2]))
        pictures = (seen.repeat(factor, 0).repeat(factor, 1), self.picture())
        names = (f"what {self.unit} sees", f"{self.method} of {self.unit}")
        shown = " ".join(as_html(picture, name) for picture, name in zip(pictures, names, strict=True))
        words = f"{self.unit}, {self.method}, from {self.seed}: {short(self.activation)}; {self.scaled()}"
        return f"<div>{shown}<br>{escape(words)}{'<br>' + escape(self.note) if self.note else ''}</div>"


def backproject(
    network: Network | nn.Module | str | Path,
    image: Any,
    unit: str | None = None,
    method: str = "guided",
    *,
    class_name: str | int | None = None,
    seed: Place = "max",
    baseline: str | Tensor = "mean",
    steps: int | None = None,
    window: int | None = None,
    stride: int | None = None,
) -> Projection:
    """Carry a unit's activation for one image back to the pixels.

    Args:
        network: a network, any module, or what :func:`filterscope.load` takes.
        image: as for :func:`filterscope.reconstruct`: a file, pixels, or a preprocessed tensor.
        unit: written LAYER:INDEX, e.g. ``features.12.expand3x3:5``.
        method: ``gradient``: the derivative of the unit's pre-activation, as it is. ``gradient x input``: times the
            normalised image. ``guided``: ReLUs let only positive gradient pass, and only where they are open.
            ``deconvnet``: ReLUs let only positive gradient pass, open or not. ``integrated gradients``: summed along
            the way from ``baseline``. ``occlusion``: covered window by window. ``class activation map``: CAM where the
            head is an average and a linear layer, Grad-CAM elsewhere; for a class above all.
        class_name: a class by name or number, in place of a unit.
        seed: where on the unit's map to start: ``max``, its largest value; ``map``, everywhere, weighted by activation
            (where it is above zero); or a position (row, column).
        baseline: of integrated gradients and occlusion: ``mean`` (colour), ``black``, ``white``, ``blurred``, or a
            preprocessed image.
        steps: of integrated gradients; None: until the sum is right to 1 %, at most 512.
        window, stride: of occlusion, in pixels; None: an eighth of what the unit sees, and half of that.
    Raises:
        BadImages: for anything but one image of a size that the network takes, without NaN.
        BadModel: if a way back stands on gates and an operation cannot be replayed: it is named.
        UnknownName: if there is no such unit, class or method.
        FilterscopeError: if a setting is out of its range.
    Source: Simonyan et al. (2014), arXiv:1312.6034 (gradient); Springenberg et al. (2015), arXiv:1412.6806 (guided);
        Zeiler, Fergus (2014), arXiv:1311.2901 (deconvnet, occlusion); docs/explanation/back-projection.md has the rest.
    """
    check_method(method, METHODS)
    network = as_network(network, image)
    return project(
        network, as_input(network, image), unit, method, class_name, seed, Settings(baseline, steps, window, stride)
    )


def project(
    network: Network,
    x: Float[Tensor, "1 channel height width"],
    unit: str | None,
    method: str,
    class_name: str | int | None,
    seed: Place,
    settings: Settings,
    from_start: Start | None = None,
) -> Projection:
    """The same for an image as the network takes it; ``from_start``: where to start, found before."""
    target = Target.of(network, unit, class_name)
    with torch.no_grad():
        begun = from_start or start(forward(network, x, target.layer, "gradient"), target, seed)
    if not np.isfinite(begun.value):
        raise BadImages(f"{target.name} is NaN or infinity for this image; look for broken weights or preprocessing")
    box = seen_box(network, begun)
    answer = MAKERS[method](Question(network, x, begun, method, box, settings))
    return Projection(
        unit=target.name,
        method=answer.method,
        image=denormalise(x, network.preprocessing)[0],
        values=answer.values,
        measured_in=UNITS[method] if target.layer else UNITS[method].replace("pre-activation", "output"),
        activation=begun.value,
        seed=words_of(seed, begun),
        position=begun.position,
        box=box,
        figures=answer.figures,
        note=off_note(begun),
    )


def strength(values: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "height width 1"]:
    """How strong each pixel is, whatever the sign and colour."""
    return np.asarray(np.abs(values).sum(-1, keepdims=True), np.float32)


def resized(values: Float[np.ndarray, "height width channel"], size: Pair) -> NDArray[np.float32]:
    """Values as averages over ``size`` equal parts; where they are fewer, each as a block."""
    rows, columns = (
        shares((0, extent), extent, (0, extent), pieces) for extent, pieces in zip(values.shape[:2], size, strict=True)
    )
    return weighed(rows, values, columns)


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of a method."""

    network: Network
    image: Float[Tensor, "1 channel height width"]
    start: Start
    method: str
    box: tuple[Span, Span]
    settings: Settings

    def run(self, images: Tensor) -> list[Float[Tensor, "image row column unit"]]:
        """What the layer does with images, as autograd sees it."""
        return forward(self.network, images, self.start.target.layer, "gradient")

    def score(self, images: Tensor) -> Float[Tensor, "image"]:
        """The number that is explained, for other images."""
        return self.start.score(self.run(images))


@dataclass(frozen=True, eq=False)
class Answer:
    """Values by pixel, what the method turned out to be, and figures."""

    values: Float[np.ndarray, "height width channel"]
    method: str
    figures: dict[str, float] = field(default_factory=dict)


def one_pass(asked: Question) -> Answer:
    """Gradient, gradient x input, guided, deconvnet."""
    x = asked.image.detach().clone().requires_grad_()
    given = asked.start.score(forward(asked.network, x, asked.start.target.layer, asked.method))
    (gradient,) = torch.autograd.grad(given.sum(), x)
    values = as_picture(gradient, asked.image, asked.method, asked.network.preprocessing)[0]
    figures = {"sum": float(values.sum(dtype=np.float64))} if asked.method == "gradient x input" else {}
    return Answer(values, asked.method, figures)


def integrated(asked: Question) -> Answer:
    """Integrated gradients."""
    preprocessing = asked.network.preprocessing
    baseline = empty(asked.settings.baseline, asked.image, preprocessing)
    added, figures = integrated_gradients(asked.score, asked.image, baseline, asked.settings.steps)
    added = added.flip(1) if preprocessing.channels == "BGR" else added
    return Answer(added[0].permute(1, 2, 0).float().cpu().numpy(), asked.method, figures)


def occluded(asked: Question) -> Answer:
    """Occlusion, in no more of the image than the seed sees."""
    settings, begun = asked.settings, asked.start
    cover = empty(settings.baseline, asked.image, asked.network.preprocessing)
    values = np.zeros((*asked.image.shape[2:], 1), np.float32)
    rows, columns = (0, asked.image.shape[2]), (0, asked.image.shape[3])
    score = asked.score
    if begun.position is not None:
        cutter = Cutter.of(asked.network, begun.target.layer)
        seed = Seed(0, begun.target.index, *begun.position, begun.call)
        part = cutter.part(seed)
        y, x = cutter.place(seed, part)

        def score_of_part(images: Tensor) -> Tensor:
            return asked.run(images)[begun.call][:, y, x, begun.target.index]

        if same_in_part(score_of_part, asked.image[..., slice(*part[0]), slice(*part[1])], begun.value):
            score, (rows, columns) = score_of_part, part
    piece = (..., slice(*rows), slice(*columns))
    inner = tuple(
        (max(edge[0] - first, 0), min(edge[1], last) - first)
        for edge, (first, last) in zip(asked.box, (rows, columns), strict=True)
    )
    falls, figures = occlusion(
        score, asked.image[piece], (inner[0], inner[1]), cover[piece], settings.window, settings.stride
    )
    values[slice(*rows), slice(*columns)] = falls
    return Answer(values, asked.method, figures)


def same_in_part(score: Callable[[Tensor], Tensor], part: Tensor, value: float) -> bool:
    """Whether a unit has the same value in a part of the image. A network may take no image of that size."""
    try:
        with torch.no_grad():
            given = float(score(part)[0])
    except (FilterscopeError, RuntimeError, IndexError):
        return False
    return abs(given - value) <= SAME * max(abs(value), 1e-6)


def mapped(asked: Question) -> Answer:
    """A class activation map, each position where its receptive field has its centre."""
    layer = asked.start.target.layer
    weight = None if layer is None else getattr(asked.network.module.get_submodule(layer.name), "weight", None)
    found = class_map(asked.run, asked.start.score, asked.image, weight)
    rows, columns = found.values.shape
    size = (asked.image.shape[2], asked.image.shape[3])
    before = asked.network.layers() if asked.network.has_convolution else []
    alike = [one for one in before if one.output_size == (rows, columns)]
    box = alike[-1].map_box((rows, columns)) if alike else None
    # Without a receptive field the map is stretched over the image.
    box = box or ((0.0, float(size[0])), (0.0, float(size[1])))
    weights = [
        shares(edges, count, (0, extent), extent)
        for edges, count, extent in zip(box, found.values.shape, size, strict=True)
    ]
    cover = weights[0].sum(1)[:, None] * weights[1].sum(1)
    values = weights[0] @ found.values @ weights[1].T
    values = np.divide(values, cover, out=np.zeros_like(values), where=cover > 0)
    figures = {"sum": float(found.values.sum()), "features": found.channels, "rows": rows, "columns": columns}
    return Answer(values[..., None].astype(np.float32), found.kind, figures)


MAKERS: dict[str, Callable[[Question], Answer]] = {
    **dict.fromkeys(ONE_PASS, one_pass),
    "integrated gradients": integrated,
    "occlusion": occluded,
    "class activation map": mapped,
}
"""How each method answers."""


def seen_box(network: Network, begun: Start) -> tuple[Span, Span]:
    """Rows and columns of the image that the seed sees."""
    size = network.preprocessing.input_size
    layer = begun.target.layer
    if layer is None or begun.position is None:
        return (0, size[0]), (0, size[1])
    box = field_box(fields(network, layer)[begun.call], begun.position, size)
    rows, columns = (
        (clipped(span[0], extent), clipped(span[1], extent)) for span, extent in zip(box, size, strict=True)
    )
    return rows, columns


def words_of(place: Place, begun: Start) -> str:
    """The seed in words."""
    if begun.target.layer is None:
        return "the output"
    if place == "map":
        return "its whole map, weighted by activation"
    where = "its only position" if begun.position is None else f"position {begun.position}"
    return f"its largest value, at {where}" if place == "max" else where


def empty(
    given: str | Tensor, image: Float[Tensor, "1 channel height width"], preprocessing: Preprocessing
) -> Float[Tensor, "1 channel height width"]:
    """An image without content, as the network takes it.

    Raises:
        UnknownName: if there is no such one.
        BadImages: if a tensor has another shape than the image.
    """
    if isinstance(given, Tensor):
        if given.shape[-3:] != image.shape[1:] or given.numel() != image.numel():
            raise BadImages(f"the baseline is {tuple(given.shape)}, the image {tuple(image.shape[1:])}")
        return given.detach().reshape(image.shape).to(image)
    if given not in BASELINES:
        raise UnknownName.of("baseline", given, BASELINES, f"there are: {', '.join(BASELINES)}")
    if given == "mean":
        # What the preprocessing subtracts.
        return torch.zeros_like(image)
    if given == "blurred":
        deviation = max(min(image.shape[2:]) / BLUR, 0.5)
        longest = min(image.shape[2:]) // 2 * 2 - 1
        kernel = min(2 * math.ceil(2 * deviation) + 1, max(longest, 1))
        blurred: Tensor = gaussian_blur(image, [kernel, kernel], [deviation, deviation])
        return blurred
    plain = torch.zeros_like(image) if given == "black" else torch.ones_like(image)
    return standardise(plain, preprocessing)
