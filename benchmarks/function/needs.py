"""What the last layers of the networks trained on one cue need, asked with drawn images and without the instrument.

    python benchmarks/function/needs.py [--folder KEPT]

prints what the filters of the last convolution say to one contour and to several side by side (in the middle of their
map), to a part and to its elements apart, to an arrangement and to others of the same parts (the mean of their map,
which is all that the network's answer is made of): behind the rectifier, less what mid grey brings, as a share of the
first; quartiles over the filters.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import cues
import numpy as np
import torch
from cues import PARTS, SIZE, SPOTS, TASKS
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn
from trained import Trained, networks, tensors

GREY, CONTRAST = 128.0, 70.0
COUNTS, GAP = (1, 2, 3, 5), 8.0
"""Parallel contours, and how many pixels there are from one to the next."""

HALF, WIDTH = np.full(1, 5.5, np.float32), np.full(1, 2.2, np.float32)
"""Of the elements of parts: the middle of those that the network was trained on."""

Images = UInt8[np.ndarray, "image height width channel"]
Responses = Float[np.ndarray, "unit"]


def last_maps(one: Trained, images: Images) -> Float[np.ndarray, "image unit row column"]:
    """The last convolution's maps behind their norm and rectifier."""
    children = list(one.network.module.children())
    pool = next(number for number, child in enumerate(children) if isinstance(child, nn.AdaptiveAvgPool2d))
    with torch.no_grad():
        found: Tensor = nn.Sequential(*children[:pool])(tensors(images, np.zeros(len(images), np.intp))[0])
    return np.asarray(found, np.float64)


def beyond_grey(one: Trained, images: Images) -> Float[np.ndarray, "image unit row column"]:
    """The same, less what mid grey brings."""
    return np.asarray(last_maps(one, images) - last_maps(one, np.full((1, SIZE, SIZE, 3), GREY, np.uint8)))


def in_colour(plane: NDArray[np.floating]) -> UInt8[np.ndarray, "height width 3"]:
    """A grey picture as three channels."""
    return np.repeat(np.clip(np.rint(plane), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def contours(turn: float, count: int, away: float, side: int) -> UInt8[np.ndarray, "height width 3"]:
    """Parallel lines on grey, all bright or all dark; ``away`` from the middle."""
    here = np.arange(SIZE) - (SIZE - 1) / 2
    across = here * np.sin(turn) + here[:, None] * np.cos(turn) + away
    places = (np.arange(count) - (count - 1) / 2) * GAP
    cover = np.max([np.clip(2.5 - np.abs(across - at), 0, 1) for at in places], 0)
    return in_colour(GREY + side * CONTRAST * cover)


def by_contours(one: Trained) -> Mapping[int, Responses]:
    """The largest response in the middle of the map to so many contours, of any orientation, place and polarity."""
    turns = [np.pi * step / 12 for step in range(12)]
    places = [(away, side) for away in (-6.0, -3.0, 0.0, 3.0, 6.0) for side in (1, -1)]
    found = {}
    for count in COUNTS:
        images = np.stack([contours(turn, count, away, side) for turn in turns for away, side in places])
        maps = beyond_grey(one, images)
        found[count] = maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].max(0)
    return found


def elements(kind: str, joined: bool, others: bool, side: int, dice: np.random.Generator) -> NDArray[np.uint8]:
    """The elements that make a part, joined or apart, with or without those that belong to none."""
    places, plane = PARTS[kind], np.full((SIZE, SIZE), GREY)
    spots, turn = SPOTS[dice.permutation(len(SPOTS))], dice.uniform(0, 2 * np.pi)
    for number in range(cues.DOT + 1):
        if number not in places and not others:
            continue
        (right, down), own = spots[number + 1], dice.uniform(0, 2 * np.pi)
        if joined and number in places:
            over, below, relative = places[number]
            cos, sin = np.cos(turn) * HALF[0], np.sin(turn) * HALF[0]
            right, down = spots[0] + (over * cos - below * sin, over * sin + below * cos)
            own = turn + np.radians(relative)
        x, y = cues.local(*(np.array([value], np.float32) for value in (right, down, own)))
        if number <= cues.OTHER_ARC:
            shape = cues.half_ring(x, y, HALF, WIDTH)
        else:
            shape = cues.disc(x, y, WIDTH) if number == cues.DOT else cues.bar(x, y, HALF, WIDTH)
        cover = cues.cover(shape)[0]
        plane = plane + cover * (GREY + side * CONTRAST - plane)
    return in_colour(plane)


def by_parts(one: Trained, count: int = 40) -> Mapping[str, Responses]:
    """The mean response over the map to images of the part that brings most, and to changed ones."""
    shown = {
        "the part and other elements": (True, True),
        "the part alone": (True, False),
        "the same elements apart, and others": (False, True),
    }
    found = {name: np.zeros((len(PARTS), one.network.layers()[-1].channels)) for name in shown}
    for name, (joined, others) in shown.items():
        for number, kind in enumerate(PARTS):
            dice = np.random.default_rng(number)
            images = [elements(kind, joined, others, side, dice) for side in (1, -1) for _ in range(count)]
            found[name][number] = beyond_grey(one, np.stack(images)).mean((0, 2, 3))
    best = found["the part and other elements"].argmax(0)
    return {name: each[best, np.arange(len(best))] for name, each in found.items()}


def by_arrangements(one: Trained, count: int = 1024) -> Mapping[str, Responses]:
    """The mean response over the map to the arrangement that brings most, and to the others, of the same parts."""
    images, labels = cues.draw(TASKS["arrangement"], count, (4, 0))
    found = beyond_grey(one, images).mean((2, 3))
    means = np.stack([found[labels == label].mean(0) for label in range(labels.max() + 1)])
    own = means.max(0)
    return {"the arrangement": own, "others of the same parts": (means.sum(0) - own) / (len(means) - 1)}


def quartiles(shares: Responses) -> str:
    """Of all filters."""
    low, middle, high = np.quantile(shares, (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def lines(title: str, found: Mapping[str, Responses]) -> Sequence[str]:
    """A row for each, as shares of the first."""
    first = np.maximum(next(iter(found.values())), 1e-9)
    return [f"| {title} | {name} | {quartiles(each / first)} |" for name, each in found.items()]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where trained weights are kept, and read again")
    folder = parser.parse_args().folder
    orientation, part, arrangement = networks(folder=folder, tasks=["orientation", "part", "arrangement"], shown=1)
    parallel = {f"parallel contours: {count}": each for count, each in by_contours(orientation).items()}
    rows = [
        *lines("orientation", parallel),
        *lines("part", by_parts(part)),
        *lines("arrangement", by_arrangements(arrangement)),
    ]
    print("| cue | shown | response, as a share of the first |", "|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
