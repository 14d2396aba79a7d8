"""What the ascent moves: pixels, Fourier coefficients in decorrelated colours, or phases alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from filterscope.ascent.dice import Dice
from filterscope.atlas.records import Pair

Images = Float[Tensor, "item channel height width"]

COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""Square root of the covariance of ImageNet's colours: from uncorrelated values to red, green, blue.

Source: lucid (Apache 2.0), optvis/param/color.py, `color_correlation_svd_sqrt`."""

SPREAD = 1.0
"""Standard deviation of a natural image's logits, for images made with a natural spectrum. Measured: 0.9 to 1.3 over
photographs."""

EDGE = 0.02
"""Starting images are kept this far from black and white, where the logistic function is flat."""


SMALL = 16
"""Below this side, in pixels, an image holds no natural scene: colours need not vary as in one."""


@dataclass(frozen=True)
class Space:
    """The images that are sought: size in pixels, channels, whether these are red, green, blue, and the device."""

    size: Pair
    channels: int = 3
    colour: bool = True
    device: torch.device | str = "cpu"


@dataclass(frozen=True)
class Parametrisation:
    """Variables for images, as four plain functions."""

    start: Callable[[Dice], Tensor]
    """Variables (item, ...) to begin with."""
    image: Callable[[Tensor], Tensor]
    """Variables to images (item, channel, height, width) in 0 to 1."""
    variables: Callable[[Tensor], Tensor]
    """Images to variables: the inverse, as far as there is one."""
    clip: Callable[[Tensor], Tensor] = lambda variables: variables
    """Variables brought back to where they may be, after every step."""


Parametrise = Callable[[Space], Parametrisation]


def pixels(spread: float = 0.08) -> Parametrise:
    """The pixels themselves, held between black and white, from grey with noise of standard deviation ``spread``."""

    def parametrise(space: Space) -> Parametrisation:
        def start(dice: Dice) -> Tensor:
            return (0.5 + spread * dice.normal(space.channels, *space.size)).clamp(0, 1)

        return Parametrisation(start, lambda x: x, lambda x: x.clone(), lambda x: x.clamp(0, 1))

    return parametrise


def fourier(
    spread: float = 0.01,
    decay: float = 1.0,
    decorrelate: bool = True,
    colour: float | None = None,
    scale: float = 1.0,
) -> Parametrise:
    """Fourier coefficients, scaled as natural images fall off, in decorrelated colours, through a logistic function.

    A step of steepest ascent then moves large shapes further than fine grain, as the eye expects; the images that can
    be reached are the same.

    Args:
        spread: standard deviation of the coefficients at the start.
        decay: exponent of the fall over frequency; 1 as in natural images, 0 for none.
        decorrelate: let the colours vary together as natural ones do (where there are three).
        colour: exponent of their spread along each uncorrelated axis; 1 as in natural images, where brightness spreads
            8 times as far as the least of colours, 0 for none. At 1 pictures look most like natural ones, but a filter
            of few pixels that wants pure green or magenta is driven to black or white, where the logistic function is
            flat, and stays there at a third of its maximum: None is 0.5 for images below 16 pixels, else 1.
        scale: of the slowest frequency, in an orthonormal transform.
    Source: Olah, Mordvintsev, Schubert (2017), Feature Visualization, doi:10.23915/distill.00007.
    """

    def parametrise(space: Space) -> Parametrisation:
        exponent = (0.5 if min(space.size) < SMALL else 1.0) if colour is None else colour
        colours = colour_matrix(space, decorrelate, exponent)
        # Constants go to the device once: a copy a step would make it wait.
        scales = (scale * (1 / cycles(space.size)) ** decay).to(space.device)
        # Complex numbers as pairs: (item, channel, row, column, 2).
        shape = (space.channels, *scales.shape, 2)

        def image(variables: Tensor) -> Tensor:
            spectrum = torch.view_as_complex(variables) * scales.to(variables)
            return torch.sigmoid(mixed(plane(spectrum, space.size), colours))

        def variables(images: Tensor) -> Tensor:
            spectrum = torch.fft.rfft2(unmixed(images, colours), norm="ortho") / scales.to(images)
            return torch.view_as_real(spectrum).contiguous()

        return Parametrisation(lambda dice: spread * dice.normal(*shape), image, variables)

    return parametrise


def phases(magnitude: Float[Tensor, "channel row column"] | None = None, decorrelate: bool = True) -> Parametrise:
    """Phases alone: the magnitude of every frequency is that of natural images and stays so.

    Args:
        magnitude: of the decorrelated logits, as `natural_magnitude` measures it; None: falls off as 1/frequency.
        decorrelate: give the colours the correlation of natural ones (where there are three).
    Source: Fel et al. (2023), MACO, arXiv:2306.06805.
    """

    def parametrise(space: Space) -> Parametrisation:
        colours = colour_matrix(space, decorrelate)
        shape = (space.channels, *cycles(space.size).shape)
        size = default_magnitude(space) if magnitude is None else resized(magnitude, space.size)
        size = size.to(space.device)

        def image(variables: Tensor) -> Tensor:
            angles = paired(variables, space.size)
            spectrum = torch.polar(size.to(angles).expand_as(angles), angles)
            return torch.sigmoid(mixed(plane(spectrum, space.size), colours))

        def variables(images: Tensor) -> Tensor:
            angles: Tensor = torch.fft.rfft2(unmixed(images, colours), norm="ortho").angle()
            return angles

        return Parametrisation(lambda dice: dice.uniform(-math.pi, math.pi, *shape), image, variables)

    return parametrise


def natural_magnitude(images: Images, *, decorrelate: bool = True) -> Float[Tensor, "channel row column"]:
    """The mean magnitude of every frequency over real images, for `phases`.

    Args:
        images: in 0 to 1, at least one.
        decorrelate: as for `phases`.
    """
    space = Space((images.shape[2], images.shape[3]), images.shape[1], images.shape[1] == 3)
    logits = unmixed(images, colour_matrix(space, decorrelate))
    magnitude: Tensor = torch.fft.rfft2(logits, norm="ortho").abs().mean(0)
    return magnitude


def default_magnitude(space: Space) -> Float[Tensor, "channel row column"]:
    """Falling off as 1/frequency, so that the image's logits have the spread of a natural image's."""
    size = (1 / cycles(space.size)).expand(space.channels, -1, -1).clone()
    size[:, 0, 0] = 0
    # In an orthonormal transform the mean square over coefficients is that over pixels. A coefficient of the half plane
    # stands for two, but for those of the first column and of the last of an even width.
    twice = torch.full_like(size, 2)
    twice[..., [0, -1] if space.size[1] % 2 == 0 else [0]] = 1
    spread = ((size.square() * twice).sum((1, 2), keepdim=True) / math.prod(space.size)).sqrt().clamp_min(1e-12)
    return size * SPREAD / spread


def paired(phases: Float[Tensor, "item channel row half"], size: Pair) -> Float[Tensor, "item channel row half"]:
    """Phases that a real image can have, so that none of its magnitude is lost.

    The first column of a half plane, and the last of an even width, hold both of every pair of conjugates: the second
    of a pair has the opposite phase of the first, and what is its own conjugate is real.
    """
    rows, columns = size
    second = rows // 2 + 1
    phases = phases.clone()
    for column in {0, columns // 2} if columns % 2 == 0 else {0}:
        line = phases[..., column].clone()
        phases[..., second:, column] = -line[..., 1 : rows - second + 1].flip(-1)
        for row in {0, rows // 2} if rows % 2 == 0 else {0}:
            phases[..., row, column] = math.pi * (line[..., row].detach().cos() < 0)
    return phases


def resized(magnitude: Float[Tensor, "channel row half"], size: Pair) -> Float[Tensor, "channel row_ half_"]:
    """A magnitude measured at one image size, for another: that of the same frequencies in cycles per pixel.

    Natural images look alike at every scale: in an orthonormal transform their magnitude falls as 1/frequency, whatever
    their size. What that leaves is smooth and is interpolated; the mean alone grows with the side.
    """
    rows, columns = magnitude.shape[1], max(1, 2 * (magnitude.shape[2] - 1))
    if magnitude.shape[1:] == (size[0], size[1] // 2 + 1):
        return magnitude
    flat = magnitude * frequencies((rows, columns))
    flat[:, 0, 0] = (flat[:, min(1, rows - 1), 0] + flat[:, 0, min(1, columns // 2)]) / 2
    # Rows hold positive frequencies, then negative ones: in the middle they are next to each other.
    flat = torch.fft.fftshift(flat, dim=1)
    y = (torch.fft.fftfreq(size[0]) * rows + rows // 2) * 2 / max(rows - 1, 1) - 1
    x = torch.fft.rfftfreq(size[1]) * columns * 2 / max(flat.shape[2] - 1, 1) - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], 2)[None].to(flat)
    found = torch.nn.functional.grid_sample(flat[None], grid, padding_mode="border", align_corners=True)[0]
    found = found / frequencies(size)
    found[:, 0, 0] = magnitude[:, 0, 0] * math.sqrt(math.prod(size) / (rows * columns))
    return found


def frequencies(size: Pair) -> Float[Tensor, "row column"]:
    """The frequency of every coefficient of ``rfft2``, in cycles per pixel; for the mean 1."""
    rows, columns = torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])[None]
    found: Tensor = (rows.square() + columns.square()).sqrt()
    found[0, 0] = 1
    return found


def cycles(size: Pair) -> Float[Tensor, "row column"]:
    """The frequency of every coefficient of ``rfft2``, in cycles per image (geometric mean side), at least 1."""
    found = frequencies(size) * math.sqrt(size[0] * size[1])
    found[0, 0] = 1
    return found.clamp_min(1.0)


def plane(spectrum: Complex[Tensor, "item channel row half"], size: Pair) -> Images:
    """From coefficients back to pixels."""
    images: Tensor = torch.fft.irfft2(spectrum, s=size, norm="ortho")
    return images


def colour_matrix(space: Space, decorrelate: bool, spread: float = 1.0) -> Float[Tensor, "to from"] | None:
    """From uncorrelated values to colours, largest column of length 1; None: they are left as they are.

    ``spread`` is the exponent of the natural spread along each axis.
    """
    if not (decorrelate and space.colour and space.channels == 3):
        return None
    axes, lengths, turned = torch.linalg.svd(torch.tensor(COLOURS))
    matrix: Tensor = axes * lengths.pow(spread) @ turned
    longest: Tensor = matrix.norm(dim=0).max()
    return (matrix / longest).to(space.device)


def mixed(values: Images, colours: Tensor | None) -> Images:
    """Uncorrelated values as colours."""
    return values if colours is None else torch.einsum("tf,ifhw->ithw", colours.to(values), values)


def unmixed(images: Images, colours: Tensor | None) -> Images:
    """Images in 0 to 1 as uncorrelated logits."""
    logits = torch.logit(images.clamp(EDGE, 1 - EDGE))
    return logits if colours is None else torch.einsum("ft,ithw->ifhw", torch.linalg.inv(colours).to(logits), logits)
