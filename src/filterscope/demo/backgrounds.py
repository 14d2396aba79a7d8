"""What is behind a creature: landscapes and wallpapers that say nothing about its class."""

from collections.abc import Callable
from colorsys import hsv_to_rgb

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIZE = 128
"""Backgrounds are drawn at twice the final size."""

Ink = tuple[int, int, int]
Random = np.random.Generator


def ink(hue: float, saturation: float, value: float) -> Ink:
    """A colour for Pillow; the hue wraps round, the rest is clipped."""
    red, green, blue = hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return round(255 * red), round(255 * green), round(255 * blue)


def background(random: Random) -> Image.Image:
    """A random background, ``SIZE`` pixels square, with some clutter."""
    scene = SCENES[int(random.integers(len(SCENES)))]
    image = scene(random)
    _clutter(ImageDraw.Draw(image), random)
    return image


def _gradient(top: Ink, bottom: Ink) -> Image.Image:
    share = np.linspace(0, 1, SIZE)[:, None, None]
    rows: NDArray[np.float64] = (1 - share) * np.array(top) + share * np.array(bottom)
    return Image.fromarray(np.repeat(rows.astype(np.uint8), SIZE, axis=1))


def _hill(draw: ImageDraw.ImageDraw, random: Random, height: float, colour: Ink) -> None:
    x = np.linspace(-4, SIZE + 4, 18)
    rise, width, shift = random.uniform(3, 14), random.uniform(14, 30), random.uniform(0, 6.3)
    y = height * SIZE + rise * np.sin(x / width + shift)
    draw.polygon([*np.stack([x, y], 1).ravel().tolist(), SIZE + 4, SIZE + 4, -4, SIZE + 4], fill=colour)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, colour: Ink, flat: float = 1.0) -> None:
    draw.ellipse((x - size, y - size * flat, x + size, y + size * flat), fill=colour)


def _meadow(random: Random) -> Image.Image:
    sky, grass = random.uniform(0.5, 0.6), random.uniform(0.2, 0.36)
    image = _gradient(ink(sky, 0.45, 0.95), ink(sky, 0.12, 1.0))
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 4))):
        x, y = random.uniform(0, SIZE), random.uniform(8, 45)
        for step in (-9, 0, 9):
            _disc(draw, x + step, y - 3 * (step == 0), 9, (252, 253, 255), 0.6)
    _hill(draw, random, random.uniform(0.45, 0.6), ink(grass + 0.06, 0.3, 0.85))
    _hill(draw, random, random.uniform(0.62, 0.75), ink(grass, 0.45, 0.78))
    for x, y, hue in zip(random.uniform(0, SIZE, 9), random.uniform(98, SIZE, 9), random.random(9), strict=True):
        _disc(draw, x, y, 2.2, ink(hue, 0.45, 1.0))
    return image


def _sea(random: Random) -> Image.Image:
    hue = random.uniform(0.46, 0.6)
    image = _gradient(ink(hue, 0.35, 0.95), ink(hue + 0.05, 0.7, 0.5))
    draw = ImageDraw.Draw(image)
    _hill(draw, random, random.uniform(0.8, 0.9), ink(0.11, 0.35, 0.8))
    for _ in range(int(random.integers(2, 5))):
        x, height, shade = random.uniform(0, SIZE), random.uniform(25, 70), random.uniform(0.4, 0.7)
        y = np.arange(SIZE, SIZE - height, -6)
        weed = np.stack([x + 4 * np.sin(y / 7 + x), y], 1).ravel().tolist()
        draw.line(weed, fill=ink(random.uniform(0.28, 0.45), 0.55, shade), width=5)
    for x, y, size in zip(
        random.uniform(0, SIZE, 8), random.uniform(0, 100, 8), random.uniform(1.5, 5, 8), strict=True
    ):
        draw.ellipse((x - size, y - size, x + size, y + size), outline=ink(hue, 0.12, 1.0), width=2)
    return image


def _night(random: Random) -> Image.Image:
    hue = random.uniform(0.58, 0.82)
    image = _gradient(ink(hue, 0.6, 0.25), ink(hue + 0.08, 0.45, 0.6))
    draw = ImageDraw.Draw(image)
    for x, y, size in zip(
        random.uniform(0, SIZE, 22), random.uniform(0, 90, 22), random.uniform(0.6, 1.8, 22), strict=True
    ):
        _disc(draw, x, y, size, (255, 250, 220))
    x, y, size = random.uniform(15, 113), random.uniform(12, 40), random.uniform(8, 14)
    _disc(draw, x, y, size, (255, 244, 205))
    _disc(draw, x + 0.4 * size, y - 0.2 * size, 0.85 * size, ink(hue, 0.58, 0.32))
    _hill(draw, random, random.uniform(0.7, 0.85), ink(hue - 0.1, 0.45, 0.3))
    return image


def _desert(random: Random) -> Image.Image:
    hue = random.uniform(0.03, 0.12)
    image = _gradient(ink(hue - 0.1, 0.3, 0.95), ink(hue + 0.04, 0.35, 1.0))
    draw = ImageDraw.Draw(image)
    _disc(draw, random.uniform(10, 118), random.uniform(12, 50), random.uniform(8, 15), ink(hue + 0.05, 0.25, 1.0))
    for step in range(3):
        _hill(draw, random, 0.5 + 0.16 * step, ink(hue, 0.35 + 0.1 * step, 0.9 - 0.1 * step))
    return image


def _forest(random: Random) -> Image.Image:
    hue = random.uniform(0.22, 0.48)
    image = _gradient(ink(hue, 0.25, 0.9), ink(hue, 0.5, 0.5))
    draw = ImageDraw.Draw(image)
    for depth in range(7):
        x, width = random.uniform(0, SIZE), random.uniform(3, 8)
        bark = ink(random.uniform(0.02, 0.12), 0.4, 0.35 + 0.04 * depth)
        draw.rectangle((x - width, 0, x + width, 108 + 2 * depth), fill=bark)
    for x, y in zip(random.uniform(0, SIZE, 12), random.uniform(-4, 22, 12), strict=True):
        _disc(draw, x, y, 14, ink(hue + random.uniform(-0.04, 0.04), 0.5, random.uniform(0.4, 0.7)))
    _hill(draw, random, 0.85, ink(hue, 0.55, 0.45))
    return image


def _snow(random: Random) -> Image.Image:
    hue = random.uniform(0.5, 0.9)
    image = _gradient(ink(hue, 0.3, 0.8), ink(hue, 0.08, 0.97))
    draw = ImageDraw.Draw(image)
    _hill(draw, random, 0.62, ink(hue, 0.12, 0.93))
    _hill(draw, random, 0.78, ink(hue, 0.04, 1.0))
    for x, y, size in zip(
        random.uniform(0, SIZE, 26), random.uniform(0, SIZE, 26), random.uniform(0.8, 2.4, 26), strict=True
    ):
        _disc(draw, x, y, size, (255, 255, 255))
    return image


def _wallpaper(random: Random) -> Image.Image:
    """Dots, stripes or checks behind the creature: a texture alone must not give a class away."""
    hue, saturation, value = random.random(), random.uniform(0.1, 0.5), random.uniform(0.55, 1.0)
    here = np.arange(SIZE, dtype=np.float32)
    turn, pitch = random.uniform(0, np.pi), random.uniform(9, 26)
    c, s = np.cos(turn) * 2 * np.pi / pitch, np.sin(turn) * 2 * np.pi / pitch
    one, other = np.sin(c * here[None] + s * here[:, None]), np.sin(c * here[:, None] - s * here[None])
    kind = random.integers(3)
    pattern = one > 0 if kind == 0 else (one * other > 0 if kind == 1 else one + other > 1.0)
    pair = np.array([ink(hue, saturation, value), ink(hue + random.uniform(-0.1, 0.1), saturation * 0.6, value * 0.88)])
    return Image.fromarray(pair[pattern.astype(np.intp)].astype(np.uint8))


def _studio(random: Random) -> Image.Image:
    hue = random.random()
    image = _gradient(
        ink(hue, 0.3, random.uniform(0.5, 1)), ink(hue + random.uniform(-0.15, 0.15), 0.35, random.uniform(0.4, 0.95))
    )
    draw = ImageDraw.Draw(image)
    for x, y, size in zip(
        random.uniform(0, SIZE, 6), random.uniform(0, SIZE, 6), random.uniform(4, 16, 6), strict=True
    ):
        _disc(draw, x, y, size, ink(hue + random.uniform(-0.1, 0.1), 0.25, random.uniform(0.6, 1.0)))
    return image


def _clutter(draw: ImageDraw.ImageDraw, random: Random) -> None:
    """Pebbles, leaves and sticks in any colour."""
    for _ in range(int(random.integers(0, 6))):
        x, y, size, kind = random.uniform(0, SIZE), random.uniform(0, SIZE), random.uniform(3, 9), random.integers(4)
        colour = ink(random.random(), random.uniform(0.2, 0.8), random.uniform(0.4, 1.0))
        if kind == 0:
            _disc(draw, x, y, size, colour, 0.7)
        elif kind == 1:
            lean = random.uniform(-1, 1) * size
            draw.polygon((x - size, y, x + lean, y - size, x + size, y, x - lean, y + size), fill=colour)
        elif kind == 2:
            draw.line((x, y, x + random.uniform(-25, 25), y + random.uniform(-25, 25)), fill=colour, width=4)
        else:
            for angle in np.arange(5) * (2 * np.pi / 5):
                _disc(draw, x + 0.8 * size * np.cos(angle), y + 0.8 * size * np.sin(angle), 0.5 * size, colour)
            _disc(draw, x, y, 0.45 * size, (255, 240, 170))


SCENES: tuple[Callable[[Random], Image.Image], ...] = (
    _meadow,
    _sea,
    _night,
    _desert,
    _forest,
    _snow,
    _wallpaper,
    _studio,
)
