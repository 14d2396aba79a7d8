"""Make the pictures of reconstructions that the documents show: `python docs/make_reconstruction_pictures.py`.

They are of the demo network and of creatures that it draws, each painted once as a tiger and once as a leopard. It
takes about half a minute.
"""

import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import filterscope as fs
from filterscope.atlas.sheets import FAINT, INK, LEGEND_SIZE, MARGIN, PAPER, TITLE_SIZE, font, text_width
from filterscope.commands.reconstruction_sheets import (
    GAP,
    SIGN,
    Block,
    block_height,
    colour_key,
    difference_sheet,
    draw_block,
    sign_key,
)
from filterscope.demo.creatures import CLASSES, Picture, compose, paint
from filterscope.demo.species import SPECIES
from filterscope.lenses.weight_pictures import WeightPictures

IMAGES = Path(__file__).parent / "images"
PAIR = ("tiger", "leopard")
SEED, CREATURES, MANY, SHIFT = 7, (0, 2, 3, 6), 200, 3
"""The series that is drawn, the creatures that are shown, how many a mean is over, and by how many pixels the shifted
copies of an image are shifted at the most."""

HUE = "W: mid grey is zero. More of the colour that a pixel shows, added to it in the image, speaks for tiger."
SMOOTH = "W x is smoothed (sigma 1 px). Each picture has a scale of its own."


def main(out: Path = IMAGES) -> None:
    """Make all of them, and say how large they are."""
    network = fs.load("demo")
    made = {
        "reconstruction_two_classes.png": two_classes(network),
        "reconstruction_means.png": means(network),
        "reconstruction_difference.png": difference(network),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, picture in made.items():
        file = io.BytesIO()
        picture.save(file, "PNG", optimize=True)
        (out / name).write_bytes(file.getvalue())
        sys.stdout.write(f"{out / name}: {len(file.getvalue()) / 1000:.0f} kB\n")


def painted(number: int, name: str) -> Picture:
    """Creature ``number`` with the skin of a class of the pair; all else is that of the tiger."""
    scene = compose(CLASSES.index(PAIR[0]) + len(CLASSES) * number, SEED)
    return paint(replace(scene, species=SPECIES[CLASSES.index(name)]))


def between(network: fs.Network, image: Picture) -> WeightPictures:
    """Tiger minus leopard for one image."""
    return fs.reconstruct(network, image, units=PAIR, prove=False).pictures().difference(*PAIR)


def averaged(some: Iterable[WeightPictures]) -> WeightPictures:
    """The mean W and the mean W x."""
    found = list(some)
    mean = [np.mean([getattr(one, name) for one in found], 0) for name in ("weight", "evidence", "bias")]
    return WeightPictures(found[0].names, *mean, picture=found[0].picture)


def shifted(network: fs.Network, image: Picture) -> WeightPictures:
    """The mean over copies of an image that are shifted by some pixels, each W shifted back."""
    return averaged(
        replace(
            one := between(network, np.roll(image, (down, right), (0, 1))),
            weight=np.roll(one.weight, (-down, -right), (2, 3)),
            evidence=np.roll(one.evidence, (-down, -right), (1, 2)),
            picture=image,
        )
        for down in range(-SHIFT, SHIFT + 1)
        for right in range(-SHIFT, SHIFT + 1)
    )


def two_classes(network: fs.Network) -> Image.Image:
    """The same creatures painted as tigers and as leopards: the difference of W and of W x."""
    blocks = []
    for name in PAIR:
        images = [painted(number, name) for number in CREATURES]
        found = [between(network, image) for image in images]
        rows = [
            (["the image"] * len(images), np.stack(images)),
            (["W: tiger - leopard"] * len(images), drawn(one.weights() for one in found)),
            (
                ["W x: tiger - leopard, over the image"] * len(images),
                drawn(one.smoothed().over_image() for one in found),
            ),
        ]
        blocks.append(Block([""] * len(images), [[]] * len(images), rows, heading=f"Painted as a {name}"))
    return page("What tells a tiger from a leopard", [HUE, SIGN.replace("raise the output", "speak for tiger")
                .replace("lower it", "for leopard"), SMOOTH], blocks)  # fmt: skip


def means(network: fs.Network) -> Image.Image:
    """One image, its shifted copies, and many images: W and W x, each averaged."""
    blocks = []
    for name in PAIR:
        image = painted(CREATURES[0], name)
        many = averaged(between(network, painted(number, name)) for number in range(MANY))
        found = [between(network, image), shifted(network, image), many]
        titles = ["one image", f"mean of {(2 * SHIFT + 1) ** 2} shifted copies", f"mean of {MANY} images"]
        rows = [
            (["W: tiger - leopard"] * 3, drawn(one.weights() for one in found)),
            (["W x: tiger - leopard, smoothed"] * 3, drawn(one.smoothed().evidences() for one in found)),
        ]
        blocks.append(Block(titles, [[]] * 3, rows, heading=f"Painted as a {name}"))
    return page("W averaged", [HUE, "W x: red speaks for tiger, blue for leopard.", SMOOTH], blocks)


def difference(network: fs.Network) -> Image.Image:
    """What `filterscope reconstruct` draws of a tiger."""
    model = fs.reconstruct(network, painted(CREATURES[1], PAIR[0]), units=PAIR)
    return difference_sheet(model.pictures(), 0, 1, "demo on tiger.png")


def drawn(pictures: Iterable[object]) -> np.ndarray:
    """The first picture of each."""
    return np.stack([one.pictures[0] for one in pictures])


def page(title: str, words: Sequence[str], blocks: Sequence[Block]) -> Image.Image:
    """Title, keys and words above the blocks."""
    keys = [colour_key(), sign_key()]
    across = max(len(block.titles) * (block.room + GAP) - GAP for block in blocks)
    width = 2 * MARGIN + max(across, *(text_width(text, LEGEND_SIZE) for text in words))
    top = MARGIN + TITLE_SIZE + 18
    below = top + max(key.height for key in keys) + 12 + 20 * len(words)
    heights = [block_height(block, width) for block in blocks]
    canvas = Image.new("RGB", (width, below + sum(heights) + MARGIN // 2), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN - 6), title, INK, font(TITLE_SIZE))
    for number, key in enumerate(keys):
        canvas.paste(key, (MARGIN + number * (key.width + 32), top))
    for number, text in enumerate(words):
        pen.text((MARGIN, below - 20 * (len(words) - number)), text, FAINT, font(LEGEND_SIZE))
    for block, height in zip(blocks, heights, strict=True):
        draw_block(canvas, pen, block, below)
        below += height
    return canvas


if __name__ == "__main__":
    main()
