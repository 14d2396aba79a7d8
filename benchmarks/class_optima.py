"""How certain a network is of the images made for its classes, and what one costs.

    python benchmarks/class_optima.py [MODEL] [--classes N] [--seed N] [--judge MODEL ...] [--out PNG]

Classes are drawn at random; one of them (``--often``) is made with many seeds. Probabilities are those of a plain
forward pass over the picture's bytes. CPU time is that of the whole call, by the process clock.
"""

import argparse
import math
import platform
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

import filterscope as fs
from filterscope.ascent.judge import Verdict, judge_class
from filterscope.ascent.optimum import CERTAIN
from filterscope.images.tensors import normalise

ASKED_SHARE, ASKED_SECONDS = 0.98, 4.0
"""Of the images, how many are to be certain; and CPU seconds of an image, in the median."""

TILE, CAPTION = 144, 26
"""Pixels of the contact sheet: side of a picture, height of the two lines below it."""


@dataclass(frozen=True)
class Made:
    """A class image and what it cost."""

    image: fs.OptimalImage
    name: str
    probability: float
    seconds: float
    verdicts: tuple[Verdict, ...]


def main() -> None:
    """Make the images and print what they are worth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default="../shared/models/squeezenet1_1")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the draw, and of the images")
    parser.add_argument("--often", default="goldfish", help="the class that is among them and is made with many seeds")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--judge", nargs="+", default=[], metavar="MODEL", help="networks with the same classes")
    # With more threads their waiting for each other counts as CPU time too.
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, metavar="PNG", help="where to draw the pictures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network, judges = fs.load(options.model), [fs.load(judge) for judge in options.judge]
    names = drawn(network.classes, options.classes, options.seed, options.often)
    print(f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, {options.model}, preset quick")
    # What is imported or cached at first use is no image's cost.
    fs.optimum(network, fs.class_evidence(names[0]), steps=1)
    images = [made(network, name, options.seed, judges) for name in names]
    often = [made(network, options.often, seed, judges) for seed in range(options.seeds)]
    report(f"{len(images)} classes, seed {options.seed}", images)
    report(f"{options.often}, {len(often)} seeds", often)
    if options.out:
        sheet([*images, *often]).save(options.out)


def drawn(classes: Sequence[str], count: int, seed: int, included: str) -> list[str]:
    """So many classes at random, ``included`` among them."""
    others = [name for name in classes if name != included]
    chosen = random.Random(seed).sample(others, min(count - 1, len(others)))
    return [included, *chosen]


def made(network: fs.Network, name: str, seed: int, judges: Sequence[fs.Network]) -> Made:
    """The image of a class."""
    begun = time.process_time()
    image = fs.optimum(network, fs.class_evidence(name), seed=seed)
    seconds = time.process_time() - begun
    verdicts = tuple(judge_class(judge, name, image.picture) for judge in judges)
    return Made(image, name, certainty(network, image.picture, name), seconds, verdicts)


def certainty(network: fs.Network, picture: np.ndarray, name: str) -> float:
    """The probability of a class by a plain forward pass: nothing of the ascent takes part."""
    with torch.inference_mode():
        answer = network.module(normalise(picture[None], network.preprocessing)).softmax(1)
    return float(answer[0, network.classes.index(name)])


def report(title: str, images: Sequence[Made]) -> None:
    """What some images are worth, beside what was asked for."""
    certain = sum(one.probability >= CERTAIN for one in images)
    seconds = np.array([one.seconds for one in images])
    print(f"{title}:")
    print(
        f"  p >= {CERTAIN}: {certain} of {len(images)} (asked for: {math.ceil(ASKED_SHARE * len(images))}); "
        f"lowest {min(one.probability for one in images):.4f}"
    )
    print(
        f"  CPU seconds an image: median {np.median(seconds):.2f} (asked for: at most {ASKED_SECONDS:g}), "
        f"90th percentile {np.quantile(seconds, 0.9):.2f}, largest {seconds.max():.2f}; "
        f"steps: median {np.median([one.image.steps for one in images]):.0f}, "
        f"most {max(one.image.steps for one in images)}"
    )
    for one in images:
        if one.probability < CERTAIN:
            print(f"  {one.name}, seed {one.image.seed}: p {one.probability:.4f} ({one.image.status})")
    for verdicts in zip(*(one.verdicts for one in images), strict=True):
        report_judge(verdicts)


def report_judge(verdicts: Sequence[Verdict]) -> None:
    """What a second network makes of the images."""
    agrees = sum(verdict.agrees for verdict in verdicts)
    five = sum(verdict.rank <= 5 for verdict in verdicts)
    probability = np.median([verdict.probability for verdict in verdicts])
    print(
        f"  {verdicts[0].judge}: the same class first in {agrees} of {len(verdicts)}, among its first five in {five}; "
        f"its probability {probability:.2f} in the median"
    )


def sheet(images: Sequence[Made]) -> Image.Image:
    """All pictures side by side, each over its class and probability."""
    columns = math.ceil(math.sqrt(1.4 * len(images)))
    rows = math.ceil(len(images) / columns)
    page = Image.new("RGB", (columns * (TILE + 4), rows * (TILE + CAPTION + 4)), "white")
    draw = ImageDraw.Draw(page)
    for number, one in enumerate(images):
        left, top = number % columns * (TILE + 4), number // columns * (TILE + CAPTION + 4)
        page.paste(one.image.image().resize((TILE, TILE), Image.Resampling.LANCZOS), (left, top))
        caption = f"{one.name[:24]}\n{one.probability:.4f}  {one.seconds:.1f} s"
        draw.multiline_text((left + 2, top + TILE), caption, fill="black", spacing=0, font_size=10)
    return page


if __name__ == "__main__":
    main()
