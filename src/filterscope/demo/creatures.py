"""Small creatures on varied backgrounds, drawn without end and with known truth: class, parts and their boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from filterscope.demo.backgrounds import background, ink
from filterscope.demo.bodies import PLANS
from filterscope.demo.foregrounds import NOTHING, foreground
from filterscope.demo.shapes import Points, turned
from filterscope.demo.sketch import Rgb, Shape, Sketch
from filterscope.demo.species import COLOURS, SECOND, SPECIES, Hsv, Species
from filterscope.demo.textures import TEXTURES, Grain

SIZE = 64
"""Height and width of an image in pixels."""

CLASSES: tuple[str, ...] = tuple(species.name for species in SPECIES)

_FINE = 4
"""Creatures are drawn at four times the size and averaged down, so that their edges are smooth."""

_TURN = {"octopus": 0.5, "jellyfish": 0.5, "fish": 0.6, "insect": np.pi, "paddler": np.pi}
"""How far (radians) a creature may be turned, if not by 0.3: those seen from above any way round."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """A part as far as it is visible: its box in pixels, ``bottom`` and ``right`` just past it."""

    name: str
    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class Drawing:
    """An image ``(64, 64, 3)``, the index of its class in ``CLASSES`` and the visible parts of its creature."""

    image: Picture
    label: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Scene:
    """All that was decided by chance for one image; painting it decides nothing more.

    ``shapes`` lie in fine pixels, ``names`` are those of their parts; ``frame`` (2, 3) takes a fine pixel back to the
    creature's own coordinates. ``gain`` is the colour of the light, ``slope`` says from where it comes.
    """

    species: Species
    behind: Image.Image
    shapes: tuple[Shape, ...]
    names: tuple[str, ...]
    frame: Points
    second: Rgb
    grain: Grain
    gain: NDArray[np.float32]
    slope: tuple[float, float]
    noise: NDArray[np.float32]


class Creatures(Sequence[tuple[Picture, int]]):
    """``count`` images and labels, drawn when asked for; a torch ``Dataset`` as it stands.

    Example:
        >>> image, label = Creatures(10, seed=1)[3]
        >>> image.shape, CLASSES[label]
        ((64, 64, 3), 'dragon')
    """

    def __init__(self, count: int, seed: int = 0) -> None:
        self._length = count
        self._seed = seed

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> tuple[Picture, int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[Picture, int]]: ...
    def __getitem__(self, index: int | slice) -> tuple[Picture, int] | list[tuple[Picture, int]]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self._length))]
        number = range(self._length)[index]
        return paint(compose(number, self._seed)), number % len(CLASSES)


def draw(index: int, seed: int = 0) -> Drawing:
    """Draw creature number ``index`` of the endless series ``seed``; the same two numbers give the same image.

    Args:
        index: from 0; the classes take turns.
        seed: from 0; another seed gives other images throughout.
    Raises:
        ValueError: if either is negative.
    """
    scene = compose(index, seed)
    return Drawing(paint(scene), index % len(CLASSES), visible_parts(scene))


def batch(indices: range, seed: int = 0) -> tuple[Picture, NDArray[np.int64]]:
    """Draw many at once, without their parts: images ``(n, 64, 64, 3)`` and labels ``(n,)``."""
    images = np.stack([paint(compose(index, seed)) for index in indices])
    return images, np.array(indices, dtype=np.int64) % len(CLASSES)


def compose(index: int, seed: int = 0) -> Scene:
    """Decide everything about image ``index`` of series ``seed``, without painting it."""
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed count from 0, not {index} and {seed}")
    random = np.random.default_rng([seed, index])
    species = SPECIES[index % len(SPECIES)]
    colour, second = _vary(COLOURS[species.colour], random), _vary(SECOND[species.name], random)
    sketch = Sketch(species.limbs, colour, second, random)
    PLANS[species.plan](sketch)
    points = np.concatenate([shape.outline for shape in sketch.shapes])
    matrix, shift = _place(points, _TURN.get(species.plan, 0.3), random)
    shapes = tuple(
        Shape(shape.part, shape.outline @ matrix.T + shift, shape.colour, shape.textured, shape.edged)
        for shape in sketch.shapes
    )
    # What hides a part is painted last and owned by no part, so that boxes hold what can be seen.
    shapes += foreground(random, _FINE * SIZE)
    back = np.linalg.inv(matrix)
    grain = Grain(random.uniform(0.38, 0.5), random.random(), random.random(), random.uniform(-0.35, 0.35))
    light = random.uniform(0, 2 * np.pi)
    return Scene(
        species=species,
        behind=background(random),
        shapes=shapes,
        names=tuple(sketch.names),
        frame=np.column_stack([back, -back @ shift]),
        second=second,
        grain=grain,
        gain=(random.uniform(0.8, 1.12) * (1 + 0.06 * random.standard_normal(3))).astype(np.float32),
        slope=(0.16 * np.cos(light), 0.16 * np.sin(light)),
        noise=random.standard_normal((SIZE, SIZE, 1), dtype=np.float32) * random.uniform(0.5, 3.5),
    )


def _vary(colour: Hsv, random: np.random.Generator) -> Rgb:
    hue, saturation, value = colour
    stray = random.uniform(-1, 1, 3)
    red, green, blue = ink(hue + 0.045 * stray[0], saturation * (1 + 0.28 * stray[1]), value * (1 + 0.18 * stray[2]))
    return red / 255, green / 255, blue / 255


def _place(points: Points, turn: float, random: np.random.Generator) -> tuple[Points, Points]:
    """Turn, stretch, flip, scale and shift so that the creature fits: matrix and shift to fine pixels."""
    stretch = np.diag([random.uniform(0.9, 1.1) * random.choice([-1, 1]), random.uniform(0.9, 1.1)])
    matrix = turned(random.uniform(-turn, turn)) @ stretch
    placed = points @ matrix.T
    low, high = placed.min(axis=0), placed.max(axis=0)
    scale = _FINE * random.uniform(32, 60) / (high - low).max()
    free = _FINE * SIZE - scale * (high - low)
    return scale * matrix, free * random.uniform(0.0, 1.0, 2) - scale * low


def paint(scene: Scene) -> Picture:
    """Paint a scene: background, shadow, shapes in their order, then light and noise; uint8 ``(64, 64, 3)``."""
    canvas = scene.behind.resize((_FINE * SIZE, _FINE * SIZE), Image.Resampling.NEAREST)
    _shadow(canvas, scene.shapes)
    pen = ImageDraw.Draw(canvas)
    for shape in scene.shapes:
        corners = shape.outline.ravel().tolist()
        if shape.textured:
            _skin(canvas, shape, scene)
        else:
            pen.polygon(corners, fill=_bytes(shape.colour))
        if shape.edged:
            pen.line([*corners, *corners[:4]], fill=_bytes(shape.colour, 0.48), width=3)
    small = np.asarray(canvas.reduce(_FINE), dtype=np.float32)
    across = np.linspace(-1, 1, SIZE, dtype=np.float32)
    light = 1 + scene.slope[0] * across[None, :, None] + scene.slope[1] * across[:, None, None]
    return np.asarray(np.clip(small * light * scene.gain + scene.noise, 0, 255), np.uint8)


def _bytes(colour: Rgb, shade: float = 1.0) -> tuple[int, int, int]:
    return round(255 * shade * colour[0]), round(255 * shade * colour[1]), round(255 * shade * colour[2])


def _shadow(canvas: Image.Image, shapes: tuple[Shape, ...]) -> None:
    """A soft dark glow round the creature lifts it off the background."""
    points = np.concatenate([shape.outline for shape in shapes if shape.part != NOTHING])
    low, high = points.min(axis=0), points.max(axis=0)
    left, top = (low - 0.12 * (high - low)).astype(int).tolist()
    right, bottom = (high + 0.12 * (high - low)).astype(int).tolist()
    canvas.paste((18, 14, 30), (left, top), _glow().resize((right - left, bottom - top), Image.Resampling.NEAREST))


_GLOW: list[Image.Image] = []


def _glow() -> Image.Image:
    if not _GLOW:
        _GLOW.append(Image.radial_gradient("L").point(lambda value: max(0, 95 - value * 0.6)))
    return _GLOW[0]


def _skin(canvas: Image.Image, shape: Shape, scene: Scene) -> None:
    """Paint a textured shape, rounded by light from above left."""
    low, high = np.floor(shape.outline.min(axis=0)), np.ceil(shape.outline.max(axis=0)) + 1
    low, high = np.maximum(low, 0), np.minimum(high, _FINE * SIZE)
    left, top, right, bottom = (int(each) for each in (*low, *high))
    if right <= left or bottom <= top:
        return
    column = np.arange(left, right, dtype=np.float32)[None] + 0.5
    row = np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5
    frame = scene.frame.astype(np.float32)
    x = frame[0, 0] * column + frame[0, 1] * row + frame[0, 2]
    y = frame[1, 0] * column + frame[1, 1] * row + frame[1, 2]
    second = TEXTURES[scene.species.texture](x, y, scene.grain)[..., None]
    across, down = (
        np.linspace(-1, 1, right - left, dtype=np.float32)[None],
        np.linspace(-1, 1, bottom - top, dtype=np.float32)[:, None],
    )
    light = (1.06 - 0.16 * (across + 0.4) ** 2 - 0.3 * np.maximum(down + 0.5, 0) ** 2 / 1.5)[..., None] * 255
    base = np.array(shape.colour, dtype=np.float32)
    skin = (base + second * (np.array(scene.second, dtype=np.float32) - base)) * light
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).polygon((shape.outline - low).ravel().tolist(), fill=255)
    canvas.paste(Image.fromarray(np.minimum(skin, 255).astype(np.uint8)), (left, top), mask)


def visible_parts(scene: Scene) -> tuple[Part, ...]:
    """The parts of a scene that can be seen, in painting order, each with the box of its visible pixels."""
    owner = Image.new("L", (_FINE * SIZE, _FINE * SIZE))
    pen = ImageDraw.Draw(owner)
    for shape in scene.shapes:
        corners = shape.outline.ravel().tolist()
        pen.polygon(corners, fill=shape.part + 1)
        if shape.edged:
            pen.line([*corners, *corners[:4]], fill=shape.part + 1, width=3)
    return tuple(
        part for number, name in enumerate(scene.names) if (part := _box(np.asarray(owner) == number + 1, name))
    )


def _box(mask: NDArray[np.bool_], name: str) -> Part | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)) // _FINE, np.flatnonzero(mask.any(axis=0)) // _FINE
    if not len(rows):
        return None
    return Part(name, int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
