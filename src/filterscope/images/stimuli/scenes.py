"""Scenes: drawn images that stand in for photographs, when a network is to be looked at and there are no images."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from filterscope.images.stimuli.canvas import Size
from filterscope.images.stimuli.texture import FAMILIES
from filterscope.images.stimuli.things import PARTS, WHOLES, Colour, Draw, Pen

Picture = UInt8[np.ndarray, "height width 3"]
Mask = Float[np.ndarray, "height width"]

FINE = 2
"""Drawn so many times as large, and then scaled down: outlines are soft over a pixel."""


def scenes(size: Size, count: int, seed: int = 0, colour: bool = True) -> Iterator[Picture]:
    """Draw scenes: backgrounds, contours, textures, parts and wholes of many sizes and colours, one over the other.

    They are made for no filter in particular: what is in them is drawn at random, so that among some hundred there is
    something for most filters. The same arguments give the same images, and the first ones of a larger count are those
    of a smaller one.

    Args:
        size: (height, width) in pixels, from 8 by 8 on.
        count: how many.
        seed: another one gives other scenes.
        colour: whether there are colours; without, all three channels of all images are equal.
    Example:
        >>> [scene.shape for scene in scenes((32, 48), 2)]
        [(32, 48, 3), (32, 48, 3)]
    """
    return (scene(size, np.random.default_rng((seed, number)), colour) for number in range(count))


def scene(size: Size, dice: np.random.Generator, colour: bool = True) -> Picture:
    """One scene."""
    palette = Palette(dice, colour)
    image = background(size, dice, palette)
    crowd = dice.random()
    if crowd < 0.25:
        pass
    elif crowd < 0.4:
        image = many_alike(image, dice, palette)
    else:
        for _ in range(int(dice.integers(1, 4))):
            image = region(image, dice, palette) if dice.random() < 0.6 else image
        image = things(image, dice, palette, int(dice.integers(1, 9)))
    if dice.random() < 0.8:
        image = subject(image, dice, palette)
    return developed(image, dice)


class Palette:
    """Colours that go together in a scene: bright and pale ones, light and dark."""

    def __init__(self, dice: np.random.Generator, colour: bool) -> None:
        self.dice = dice
        self.saturation = (dice.choice((0.0, 0.3, 0.7, 1.0), p=(0.25, 0.2, 0.25, 0.3))) if colour else 0.0
        self.hue = dice.random()
        self.spread = dice.choice((0.1, 0.5))

    def colour(self, light: float | None = None) -> Colour:
        """A colour of that lightness, from 0 to 1; None: any."""
        light = float(self.dice.uniform(0.05, 0.95)) if light is None else light
        hue = self.hue + float(self.dice.uniform(-self.spread, self.spread))
        saturation = self.saturation * float(self.dice.uniform(0.5, 1.0))
        wheel = np.clip(np.abs((hue + np.array((0, 2 / 3, 1 / 3))) % 1 * 6 - 3) - 1, 0, 1) - 0.5
        # The most chroma that there is at this lightness: towards white and black it ends.
        reach = min(1.0, 2 * light, 2 * (1 - light))
        red, green, blue = np.clip((light + saturation * reach * wheel) * 255, 0, 255).astype(int)
        return int(red), int(green), int(blue)

    def accent(self) -> Colour:
        """A colour for small things, half of the time of any hue at all."""
        if self.saturation == 0 or self.dice.random() < 0.5:
            return self.colour()
        other = Palette(self.dice, True)
        other.saturation, other.spread = 1.0, 0.5
        return other.colour(float(self.dice.uniform(0.3, 0.7)))

    def against(self, other: Colour) -> Colour:
        """A colour that stands out from another one, mostly by its lightness."""
        light = sum(other) / 765
        if self.saturation > 0.5 and self.dice.random() < 0.25:
            return self.colour(light)
        away = float(self.dice.uniform(0.35, 1.0))
        return self.colour(max(light - away, 0.0) if light > 0.5 else min(light + away, 1.0))


def background(size: Size, dice: np.random.Generator, palette: Palette) -> Picture:
    """What is behind everything: flat, a gradient, noise as in photographs, or a texture."""
    kind = dice.random()
    first, second = palette.colour(), palette.colour()
    if kind < 0.35:
        return np.full((*size, 3), first, np.uint8)
    if kind < 0.55:
        return blended(first, second, ramp(size, dice))
    if kind < 0.75:
        return blended(first, second, cloud(size, dice))
    return blended(first, palette.against(first), pattern(size, dice))


def bytes_of(values: Float[np.ndarray, "height width 3"]) -> Picture:
    """Rounded; what goes beyond black and white is cut off."""
    return np.asarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def blended(first: Colour, second: Colour, share: Mask) -> Picture:
    """From the first colour, where the share is 0, to the second."""
    one, other = np.array(first, np.float32), np.array(second, np.float32)
    return bytes_of(one + (other - one) * share[..., None].astype(np.float32))


def over(image: Picture, other: Picture, mask: Mask) -> Picture:
    """Another image over the first, where the mask is 1."""
    share = mask[..., None].astype(np.float32)
    return bytes_of(image + (other.astype(np.float32) - image) * share)


def ramp(size: Size, dice: np.random.Generator) -> Mask:
    """From 0 to 1 across the image."""
    turn = dice.uniform(0, 2 * math.pi)
    down, right = np.linspace(-0.5, 0.5, size[0])[:, None], np.linspace(-0.5, 0.5, size[1])
    return np.asarray(np.clip(0.5 + 0.8 * (right * math.cos(turn) + down * math.sin(turn)), 0, 1))


def cloud(size: Size, dice: np.random.Generator) -> Mask:
    """Noise that falls off with frequency."""
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(dice.standard_normal(size, dtype=np.float32)) * frequency ** -dice.uniform(0.7, 1.6)
    noise = np.fft.irfft2(waves, s=size)
    return np.asarray(np.clip(0.5 + 0.25 * noise / (noise.std() or 1.0), 0, 1))


def pattern(size: Size, dice: np.random.Generator) -> Mask:
    """A texture from 0 to 1: stripes, or one of the families; of any scale that the image has room for."""
    scale = math.exp(dice.uniform(math.log(2.5), math.log(max(min(size) / 4, 3.0))))
    if dice.random() < 0.35:
        turn, start = dice.uniform(0, math.pi), dice.uniform(0, 2 * math.pi)
        down, right = np.arange(size[0])[:, None], np.arange(size[1])
        wave = np.sin((right * math.cos(turn) + down * math.sin(turn)) * 2 * math.pi / scale + start)
        return np.asarray(np.clip(0.5 + dice.choice((0.5, 2.0)) * wave, 0, 1))
    # The families are drawn slowly at the largest sizes; a quarter of the image is enough to be repeated there.
    tile = (min(size[0], 128), min(size[1], 128))
    drawn = FAMILIES[str(dice.choice(list(FAMILIES)))](tile, scale, dice)
    low, high = float(drawn.min()), float(drawn.max())
    drawn = (drawn - low) / ((high - low) or 1.0)
    if tile != size:
        drawn = np.pad(drawn, ((0, size[0] - tile[0]), (0, size[1] - tile[1])), mode="symmetric")
    return np.asarray(drawn)


def region(image: Picture, dice: np.random.Generator, palette: Palette) -> Picture:
    """An area of the image with a contour: one side of an edge, a bar, an ellipse; flat, shaded or a texture."""
    size = image.shape[0], image.shape[1]
    side = min(size)
    turn = dice.uniform(0, 2 * math.pi)
    middle = dice.uniform(0.1, 0.9, 2) * size
    down, right = np.arange(size[0])[:, None] - middle[0], np.arange(size[1]) - middle[1]
    along, across = right * math.cos(turn) + down * math.sin(turn), down * math.cos(turn) - right * math.sin(turn)
    soft = dice.choice((0.5, 1.0, 0.05 * side + 0.5))
    kind = dice.random()
    if kind < 0.35:
        inside = across
    elif kind < 0.6:
        inside = math.exp(dice.uniform(math.log(0.5), math.log(0.25 * side + 0.6))) - np.abs(across)
    else:
        long, wide = dice.uniform(0.1, 0.6, 2) * side + 1
        inside = (1 - np.hypot(along / long, across / wide)) * min(long, wide)
    mask = np.clip(0.5 + inside / (2 * soft), 0, 1)
    first = palette.colour()
    kind = dice.random()
    if kind < 0.4:
        filling = np.full((*size, 3), first, np.uint8)
    elif kind < 0.6:
        filling = blended(first, palette.colour(), ramp(size, dice))
    else:
        filling = blended(first, palette.against(first), pattern(size, dice))
    return over(image, filling, mask)


def things(image: Picture, dice: np.random.Generator, palette: Palette, count: int) -> Picture:
    """Parts and wholes at random places, one over the other."""
    side = min(image.shape[:2])

    def draw(sheet: ImageDraw.ImageDraw) -> None:
        for _ in range(count):
            whole = dice.random() < 0.4
            scale = side * math.exp(dice.uniform(math.log(0.05 if not whole else 0.1), math.log(0.35)))
            middle = dice.uniform(0, 1, 2) * image.shape[1::-1]
            turn = dice.normal(0, 6) if whole else dice.uniform(0, 360)
            one_of(WHOLES if whole else PARTS, dice)(a_pen(sheet, image, middle, scale, turn, palette), dice)

    return drawn_on(image, draw)


def subject(image: Picture, dice: np.random.Generator, palette: Palette) -> Picture:
    """One thing near the centre, as photographs have it, often in front of something plain."""
    side = min(image.shape[:2])
    whole = dice.random() < 0.6
    scale = side * math.exp(dice.uniform(math.log(0.12), math.log(0.5)))
    middle = np.array(image.shape[1::-1]) / 2 + dice.normal(0, 0.04, 2) * side
    turn = dice.normal(0, 4) if whole else 22.5 * int(dice.integers(16)) + dice.normal(0, 4)

    def draw(sheet: ImageDraw.ImageDraw) -> None:
        if dice.random() < 0.45:
            x, y = middle * FINE
            wide, high = FINE * scale * dice.uniform(1.1, 2.0, 2)
            plate = sheet.ellipse if dice.random() < 0.5 else sheet.rectangle
            plate((x - wide, y - high, x + wide, y + high), palette.colour())
        one_of(WHOLES if whole else PARTS, dice)(a_pen(sheet, image, middle, scale, turn, palette), dice)

    return drawn_on(image, draw)


def many_alike(image: Picture, dice: np.random.Generator, palette: Palette) -> Picture:
    """The same thing many times, in rows or anywhere."""
    height, width = image.shape[:2]
    step = min(height, width) * dice.uniform(0.12, 0.4)
    kind = one_of(WHOLES if dice.random() < 0.3 else PARTS, dice)
    astray, spin = dice.choice((0.0, 0.25)), dice.random() < 0.5
    scale = step * dice.uniform(0.3, 0.5)

    def draw(sheet: ImageDraw.ImageDraw) -> None:
        pen = a_pen(sheet, image, np.array((width, height)) / 2, scale, 0.0, palette)
        for y in np.arange(-step * dice.random(), height + step, step):
            for x in np.arange(-step * dice.random(), width + step, step):
                place = FINE * (np.array((x, y)) + dice.normal(0, astray * step, 2))
                turn = dice.uniform(0, 360) if spin else 0.0
                kind(replace(pen, centre=(float(place[0]), float(place[1])), turn=turn), dice)

    return drawn_on(image, draw)


def one_of(kinds: dict[str, Draw], dice: np.random.Generator) -> Draw:
    """Any of them."""
    return list(kinds.values())[int(dice.integers(len(kinds)))]


def a_pen(
    sheet: ImageDraw.ImageDraw,
    image: Picture,
    middle: NDArray[np.float64],
    scale: float,
    turn: float,
    palette: Palette,
) -> Pen:
    """A pen at a place (x, y) of an image, whose ink stands out from what is there; lengths are those of the image."""
    dice = palette.dice
    column, row = (int(np.clip(at, 0, end - 1)) for at, end in zip(middle, image.shape[1::-1], strict=True))
    red, green, blue = (int(value) for value in image[row, column])
    fill = palette.colour() if dice.random() < 0.5 else None
    ink = palette.against(fill or (red, green, blue))
    width = FINE * max(scale * math.exp(dice.uniform(math.log(0.05), math.log(0.3))), 1.0)
    centre = FINE * float(middle[0]), FINE * float(middle[1])
    return Pen(sheet, centre, FINE * float(scale), float(turn), ink, float(width), fill, palette.accent())


def drawn_on(image: Picture, draw: Callable[[ImageDraw.ImageDraw], None]) -> Picture:
    """Draw on an image, with soft outlines."""
    height, width = image.shape[:2]
    sheet = Image.fromarray(image).resize((FINE * width, FINE * height), Image.Resampling.NEAREST)
    draw(ImageDraw.Draw(sheet))
    return np.asarray(sheet.reduce(FINE))


def developed(image: Picture, dice: np.random.Generator) -> Picture:
    """With less contrast, or with grain, some of the time."""
    kind = dice.random()
    if kind < 0.2:
        contrast = dice.uniform(0.3, 0.9)
        return bytes_of(128 + (image.astype(np.float32) - 128) * np.float32(contrast))
    if kind < 0.35:
        grain = dice.standard_normal(image.shape[:2], dtype=np.float32)[..., None] * np.float32(dice.uniform(2, 12))
        return bytes_of(image + grain)
    return image
