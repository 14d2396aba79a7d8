"""Pictures of a reconstruction: W in true colours, W x as evidence, differences, and W rearranged to show structure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from filterscope.errors import FilterscopeError, UnknownName
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.tensors import denormalise, per_pixel
from filterscope.lenses.overlay import laid_over
from filterscope.lenses.tiles import Span, colour_kernel, full_colour, signed

SIGMA = 64
"""W is smoothed with a Gaussian whose sigma is the image's longer side over this, and at least one pixel."""

MOST = 0.6
"""A window with more than this share of the image's rows or columns shows no more than the image."""

SCALES = ("common", "own")
"""Full colour stands for the same value in all pictures, so that they can be compared, or for each picture's own."""

PIXELS, BIAS, SUM, BESIDE = (62, 62, 68), (198, 160, 92), (24, 24, 27), (235, 235, 231)
"""Of the bars: W x, b, their sum and what is beside them. Neither blue nor red, which are signs here."""


@dataclass(frozen=True)
class Drawn:
    """Some pictures, and what full colour stands for in each of them."""

    pictures: UInt8[np.ndarray, "picture height width 3"]
    full: Float[np.ndarray, "picture"]


@dataclass(frozen=True)
class SingularImages:
    """The images that the W of some outputs are sums of: W = sum of loading x image, those with most energy first.

    Each image is orthogonal to the others, and its sign such that its largest loading is above zero.
    """

    images: Float[np.ndarray, "component channel height width"]
    """Of length one."""
    loadings: Float[np.ndarray, "output component"]
    """How much of an image is in the W of an output, in the units of W."""
    shares: Float[np.ndarray, "component"]
    """Of the energy, the sum of all squares of W; together one."""


@dataclass(frozen=True, eq=False)
class WeightPictures:
    """W and W x of some outputs for one image, ready to be drawn. What was made of them is of the same kind.

    All pictures are uint8 (output, height, width, 3).
    """

    names: tuple[str, ...]
    """Of the outputs."""
    weight: Float[np.ndarray, "output channel height width"]
    """Output per step of a pixel from black to white, colours in the order RGB: so its hue is true."""
    evidence: Float[np.ndarray, "output height width"]
    """W x, summed over the channels: what each pixel adds to the output. x counts from the preprocessing's mean."""
    bias: Float[np.ndarray, "output"]
    """What b adds."""
    picture: UInt8[np.ndarray, "height width channel"]
    """The image as the network sees it."""

    @property
    def from_pixels(self) -> Float[np.ndarray, "output"]:
        """What W x adds."""
        return np.asarray(self.evidence.sum((1, 2), dtype=np.float64))

    def number(self, name: str | int) -> int:
        """Where an output stands.

        Raises:
            UnknownName: if it is not here.
        """
        if isinstance(name, int) and 0 <= name < len(self.names):
            return name
        if name not in self.names:
            raise UnknownName.of("output", str(name), self.names, "only outputs that were reconstructed are here")
        return self.names.index(str(name))

    def some(self, numbers: Sequence[int]) -> "WeightPictures":
        """Some of the outputs, by where they stand."""
        chosen = list(numbers)
        names = tuple(self.names[number] for number in chosen)
        return WeightPictures(
            names, self.weight[chosen], self.evidence[chosen], self.bias[chosen], picture=self.picture
        )

    def difference(self, one: str | int, other: str | int) -> "WeightPictures":
        """Why ``one`` and not ``other``: the difference of their W, W x and b, which is that of the outputs.

        Raises:
            UnknownName: if one of them is not here.
        """
        a, b = self.number(one), self.number(other)
        return WeightPictures(
            (f"{self.names[a]} - {self.names[b]}",),
            (self.weight[a] - self.weight[b])[None],
            (self.evidence[a] - self.evidence[b])[None],
            (self.bias[a] - self.bias[b])[None],
            picture=self.picture,
        )

    def windows(self) -> list[tuple[Span, Span]]:
        """For each output the rows and columns in which all of its W lies, all windows of one size.

        What smoothing brings beyond W's own edge is within. A window of most of the image is the image.
        """
        size = (self.picture.shape[0], self.picture.shape[1])
        reached = [np.abs(one).max(0) > 0 for one in self.weight]
        boxes = [(_extent(one.any(1)), _extent(one.any(0))) for one in reached]
        margin = math.ceil(2 * self.sigma)
        lengths = [
            min(max(last - first for first, last in spans) + 2 * margin, length)
            for spans, length in zip(zip(*boxes, strict=True), size, strict=True)
        ]
        if any(length > MOST * whole for length, whole in zip(lengths, size, strict=True)):
            return [((0, size[0]), (0, size[1]))] * len(self.weight)
        return [(_around(rows, lengths[0], size[0]), _around(columns, lengths[1], size[1])) for rows, columns in boxes]

    @property
    def sigma(self) -> float:
        """By which ``smoothed`` smooths if it is not told, in pixels."""
        return max(1.0, float(max(self.picture.shape[:2])) / SIGMA)

    def smoothed(self, sigma: float | None = None) -> "WeightPictures":
        """W and W x averaged over the neighbours of each pixel by a Gaussian; the sums over all pixels stay.

        Raises:
            FilterscopeError: if ``sigma`` is not above zero.
        """
        sigma = self.sigma if sigma is None else sigma
        if not sigma > 0:
            raise FilterscopeError(f"sigma is a number of pixels above 0, not {sigma}")
        weight = gaussian_filter(self.weight, (0, 0, sigma, sigma))
        return replace(self, weight=weight, evidence=gaussian_filter(self.evidence, (0, sigma, sigma)))

    def weights(self, scale: str = "common") -> Drawn:
        """W in colours: mid grey is zero; a pixel made more of the colour that is shown raises the output.

        Of images that have neither one nor three channels the sum over them is shown, blue below zero and red above.
        """
        if self.weight.shape[1] in (1, 3):
            full = full_colours(self.weight, scale)
            return Drawn(in_colour(self.weight, full), full)
        summed = self.weight.sum(1)
        full = full_colours(summed, scale)
        return Drawn(in_sign(summed, full), full)

    def channels(self, scale: str = "common") -> Drawn:
        """Each channel of W for itself, (output x channel, height, width, 3): blue below zero, red above."""
        planes = self.weight.reshape(-1, *self.weight.shape[2:])
        full = full_colours(planes, scale)
        return Drawn(in_sign(planes, full), full)

    def evidences(self, scale: str = "common") -> Drawn:
        """W x: red where a pixel raises the output, blue where it lowers it."""
        full = full_colours(self.evidence, scale)
        return Drawn(in_sign(self.evidence, full), full)

    def over_image(self, scale: str = "common") -> Drawn:
        """W x over the image in light grey; to be read where it was smoothed."""
        full = full_colours(self.evidence, scale)
        size = (self.picture.shape[0], self.picture.shape[1])
        box = ((0, size[0]), (0, size[1]))
        return Drawn(laid_over(self.picture, self.evidence, full, box, size), full)

    def bars(self, width: int, height: int = 14) -> UInt8[np.ndarray, "output {height} {width} 3"]:
        """The share of each output that comes from W x (upper half, dark) and from b (lower half, ochre).

        All are on one scale; each half begins at zero, where a line is, and a stroke marks the sum.
        """
        parts = np.stack([self.from_pixels, self.bias.astype(np.float64)], 1)
        ends = np.concatenate([parts.ravel(), parts.sum(1), [0.0]])
        low, high = float(ends.min()), float(ends.max())
        places = (parts - low) / (high - low or 1.0) * (width - 3) + 1
        zero = round(-low / (high - low or 1.0) * (width - 3)) + 1
        drawn = np.full((len(parts), height, width, 3), BESIDE, np.uint8)
        rows = (slice(1, height // 2), slice(height // 2, height - 1))
        for bar, ends_here, total in zip(drawn, places, parts.sum(1), strict=True):
            for row, end, colour in zip(rows, ends_here, (PIXELS, BIAS), strict=True):
                first, last = sorted((round(end), zero))
                bar[row, first:last] = colour
            bar[:, zero] = (150, 150, 150)
            at = round((total - low) / (high - low or 1.0) * (width - 3)) + 1
            bar[:, max(at - 1, 0) : at + 1] = SUM
        return drawn

    def singular(self, most: int = 5) -> SingularImages:
        """The strongest images that the W of these outputs are sums of, by a singular value decomposition.

        W of all outputs stacked, (output, all pixels and channels), is U S V^T; an image is a row of V^T. Nothing is
        subtracted before: what all outputs have in common comes first. Images that carry no energy are left out.
        """
        stacked = self.weight.reshape(len(self.weight), -1).astype(np.float64)
        # By way of the products between outputs: there are few of them, and many pixels.
        energies, left = np.linalg.eigh(stacked @ stacked.T)
        order = [int(one) for one in np.argsort(-energies, kind="stable") if energies[one] > 1e-12 * energies[-1]]
        chosen = order[:most]
        values = np.sqrt(energies[chosen])
        left = left[:, chosen]
        strongest = np.abs(left).argmax(0)
        left = left * np.where(left[strongest, np.arange(len(chosen))] < 0, -1.0, 1.0)
        images = (left / values).T @ stacked if chosen else np.zeros((0, stacked.shape[1]))
        return SingularImages(
            images.reshape(-1, *self.weight.shape[1:]).astype(np.float32),
            (left * values).astype(np.float32),
            (energies[chosen] / max(float(np.clip(energies, 0, None).sum()), np.finfo(np.float64).tiny)).astype(
                np.float32
            ),
        )


def weight_pictures(
    weight: Float[Tensor, "output channel height width"],
    bias: Float[Tensor, "output"],
    image: Float[Tensor, "channel height width"],
    names: Sequence[str],
    preprocessing: Preprocessing | None,
) -> WeightPictures:
    """From an affine model of what a network takes to something that can be drawn.

    Args:
        weight: in output per unit of the normalised pixel.
        bias: b.
        image: preprocessed.
        names: of the outputs.
        preprocessing: how pixels become what the network takes; None, or one that names no colours: W is left as it
            is, and the image is stretched to what can be seen.
    """
    exact = weight.detach().cpu().double()
    seen = image.detach().cpu().double()
    evidence = (exact * seen).sum(1)
    if preprocessing is not None:
        exact = per_pixel(exact, preprocessing)
    if preprocessing is None or not preprocessing.channels:
        low, high = float(seen.min()), float(seen.max())
        stretched = (seen - low) / (high - low or 1.0) * 255
        picture = np.asarray(stretched.round().permute(1, 2, 0).numpy(), np.uint8)
    else:
        picture = denormalise(seen[None], preprocessing)[0]
    return WeightPictures(
        tuple(names),
        exact.float().numpy(),
        evidence.float().numpy(),
        bias.detach().cpu().float().numpy(),
        np.ascontiguousarray(picture),
    )


def _extent(reached: NDArray[np.bool_]) -> Span:
    """From the first to the last that is true; nothing at all is in the middle."""
    places = np.flatnonzero(reached)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (len(reached) // 2, len(reached) // 2)


def _around(span: Span, length: int, whole: int) -> Span:
    """A span of that length about the middle of another, within the image."""
    first = min(max((span[0] + span[1] - length) // 2, 0), whole - length)
    return first, first + length


def full_colours(values: Float[np.ndarray, "picture *rest"], scale: str) -> Float[np.ndarray, "picture"]:
    """What full colour stands for in every picture: a high quantile of the absolute values, never zero.

    W has a few very large values: scaled by the largest, most of it would be grey.

    Raises:
        UnknownName: if the scale is neither "common" nor "own".
    """
    if scale not in SCALES:
        raise UnknownName.of("scale", scale, SCALES, "it is 'common' or 'own'")
    if scale == "common":
        largest = np.full(len(values), full_colour(values, zeros=False), np.float32)
    else:
        largest = np.array([full_colour(one, zeros=False) for one in values], np.float32)
    # Pictures of zeros are drawn as zeros.
    full: NDArray[np.float32] = np.where(largest > 0, largest, 1).astype(np.float32)
    return full


def in_colour(
    values: Float[np.ndarray, "picture channel height width"], full: Float[np.ndarray, "picture"]
) -> UInt8[np.ndarray, "picture height width 3"]:
    """Signed values of one or three channels as colours around mid grey."""
    return colour_kernel(values.repeat(3 // values.shape[1], 1) / full[:, None, None, None], 1.0)


def in_sign(
    values: Float[np.ndarray, "picture height width"], full: Float[np.ndarray, "picture"]
) -> UInt8[np.ndarray, "picture height width 3"]:
    """Signed values in blue and red."""
    return signed((values / full[:, None, None]).astype(np.float32), 1.0)
