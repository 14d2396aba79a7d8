"""Is overfitting told from what looks like it: an overfitted and a healthy copy of the demo, and planted impostors.

    python benchmarks/diagnosis/overfitting.py --folder DIR [--models DIR --images DIR] [--quick]

The copies are trained once and kept in the folder: one on 200 drawn images, one on 20,000 (with --quick, the bundled
network takes its place). With the folders of models and of images, the same is asked of networks trained on CIFAR-10.
A line says what was asked and what was found; the exit code is 1 if one is not as asked.
"""

import argparse
import copy
import io
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import filterscope as fs
from filterscope.demo import network as demo
from filterscope.demo.creatures import CLASSES
from filterscope.demo.train import Settings, creatures, train, write
from filterscope.findings.generalisation import kinds
from filterscope.findings.generalisation.norms import norms_of
from filterscope.images.alterations import blurred
from filterscope.images.arrays import Arrays

OVERFITTED = Settings(seed=2, images=200, epochs=100, batch=40, workers=1)
HEALTHY = Settings(seed=0, images=20_000, epochs=5, workers=1)
FRESH = 1
"""Seed of the images that neither has seen."""

LOOKED_AT = 2000
"""Images of each set."""

PART = 0.05
"""Of the validation images are planted duplicates, or have a planted wrong label."""


@dataclass(frozen=True, eq=False)
class Case:
    """A network with its sets, and what is to be found: kinds of impostors, and whether it overfits (None: either)."""

    name: str
    network: fs.Network
    training: Arrays
    validation: Arrays
    impostors: tuple[str, ...] = ()
    overfits: bool | None = False


def trained(folder: Path, name: str, settings: Settings) -> fs.Network:
    """A copy of the demo, from the folder or trained now."""
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        begun = time.process_time()
        images, labels = creatures(settings.images, settings.seed, settings.workers)
        write(train(settings, images, labels), path)
        print(f"{name}: trained on {settings.images} images in {time.process_time() - begun:.0f} CPU s", flush=True)
    module = demo.build()
    module.load_state_dict(load_file(path))
    like = fs.load("demo")
    return fs.Network(module.eval(), like.preprocessing, like.classes, name)


def drawn(count: int, seed: int) -> Arrays:
    """Creatures with their labels."""
    images, labels = creatures(count, seed, 1)
    return Arrays.of(images.permute(0, 2, 3, 1).numpy(), labels.numpy(), CLASSES)


def numbers(given: Arrays) -> NDArray[np.int64]:
    """The labels as numbers."""
    return given.classes.of_image.astype(np.int64)


def cut(given: Arrays, count: int) -> Arrays:
    """So many of the images, by chance."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(given))[:count])
    return Arrays.of(np.asarray(given.images[chosen]), numbers(given)[chosen], given.labels)


def re_encoded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As a JPEG of quality 85 has it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=85)
    return np.asarray(Image.open(buffer))


def with_duplicates(case: Case) -> Case:
    """Some validation images are training images that were compressed."""
    dice = np.random.default_rng(1)
    images, labels = np.array(case.validation.images), numbers(case.validation).copy()
    places = dice.choice(len(images), int(PART * len(images)), replace=False)
    taken = dice.choice(len(case.training), len(places), replace=False)
    for place, one in zip(places, taken, strict=True):
        images[place], labels[place] = re_encoded(case.training.images[one]), numbers(case.training)[one]
    return planted(case, "5 % duplicates", images, labels, kinds.TWINS)


def with_blur(case: Case) -> Case:
    """The validation set is a little out of focus."""
    images = blurred(np.array(case.validation.images), case.validation.images.shape[1] / 48)
    found = planted(case, "validation blurred", images, numbers(case.validation), kinds.SHIFT)
    return replace(found, overfits=False)


def with_wrong_labels(case: Case) -> Case:
    """Some labels of the validation set are drawn by chance from the other classes."""
    dice = np.random.default_rng(2)
    labels, count = numbers(case.validation).copy(), len(case.validation.labels)
    places = dice.choice(len(labels), int(PART * len(labels)), replace=False)
    labels[places] = (labels[places] + dice.integers(1, count, len(places))) % count
    return planted(case, "5 % wrong labels", np.array(case.validation.images), labels, kinds.WRONG_IN_VALIDATION)


def with_other_shares(case: Case) -> Case:
    """The validation set has a fifth only of the first half of the classes."""
    dice = np.random.default_rng(3)
    labels = numbers(case.validation)
    kept = (labels >= len(case.validation.labels) / 2) | (dice.random(len(labels)) < 0.2)
    return planted(case, "classes unlike", np.array(case.validation.images)[kept], labels[kept], kinds.CLASS_SHARES)


def with_few(case: Case) -> Case:
    """A validation set of 30."""
    chosen = np.random.default_rng(4).permutation(len(case.validation))[:30]
    images, labels = np.array(case.validation.images)[chosen], numbers(case.validation)[chosen]
    return planted(case, "30 images", images, labels, kinds.TOO_SMALL)


def with_broken_norms(case: Case) -> Case:
    """Running means of a third of the batch norms are off by a standard deviation."""
    module = copy.deepcopy(case.network.module)
    for norm in list(norms_of(module).values())[::3]:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean += norm.running_var.sqrt()
    network = fs.Network(module, case.network.preprocessing, case.network.classes, case.network.name)
    return replace(case, name=f"{case.name}, running statistics off", network=network, impostors=(kinds.NORMS,))


def planted(case: Case, what: str, images: NDArray[np.uint8], labels: NDArray[np.int64], kind: str) -> Case:
    """The case with another validation set."""
    validation = Arrays.of(images, labels, case.validation.labels)
    return replace(case, name=f"{case.name}, {what}", validation=validation, impostors=(kind,))


PLANTS: tuple[Callable[[Case], Case], ...] = (
    with_duplicates,
    with_blur,
    with_wrong_labels,
    with_other_shares,
    with_few,
)


def has_norms(module: nn.Module) -> bool:
    """Whether there are running statistics to break."""
    return bool(norms_of(module))


def with_plants(case: Case) -> Iterator[Case]:
    """The case as it is, and with every impostor."""
    yield case
    for plant in PLANTS:
        yield plant(case)
    if has_norms(case.network.module):
        yield with_broken_norms(case)


def cases(folder: Path, models: Path | None, images: Path | None, quick: bool) -> Iterator[Case]:
    """Every case."""
    fresh = drawn(500 if quick else LOOKED_AT, FRESH)
    overfitted = trained(folder, "overfitted", OVERFITTED)
    yield Case("overfitted", overfitted, drawn(OVERFITTED.images, OVERFITTED.seed), fresh, overfits=True)
    healthy = fs.load("demo") if quick else trained(folder, "healthy", HEALTHY)
    yield from with_plants(Case("healthy", healthy, drawn(len(fresh), HEALTHY.seed), fresh))
    if models is None or images is None:
        return
    for name in ("resnet20_cifar10",) if quick else ("resnet20_cifar10", "vgg16_half_cifar10"):
        network = fs.load(models / name)
        sets = [
            cut(Arrays.from_file(images / file, network.classes), LOOKED_AT)
            for file in ("cifar10_train_10000.npz", "cifar10_test_5000.npz")
        ]
        yield from with_plants(Case(name, network, sets[0], sets[1]))


def shown(case: Case) -> bool:
    """Look at a case and print a line; True if all is as asked."""
    begun = time.process_time()
    found = fs.generalisation(case.network, case.training, case.validation, most=LOOKED_AT)
    seconds = time.process_time() - begun
    told = {one.kind: one for one in found.findings}
    impostors = tuple(kind for kind in kinds.IMPOSTORS if kind in told)
    # Few images do not leave enough to tell the rest.
    right = set(case.impostors) == set(impostors) and case.overfits in (None, found.overfits)
    gap = "  -  " if found.measured.gap is None else f"{100 * found.measured.gap.accuracy.value:+5.1f}"
    numbers = ", ".join(f"{kind} {told[kind].value:.3f}" for kind in impostors) or "-"
    others = [kind for kind in (kinds.OVER_CONFIDENT, kinds.MORE_DATA, kinds.SMALLER) if kind in told]
    opened = [one.layer or "final features" for one in found.findings if one.kind == kinds.OPENS]
    units = [sum(one.kind == kind for one in found.findings) for kind in (kinds.MEMORISES, kinds.SINGLE_IMAGE)]
    print(
        f"{'ok ' if right else 'NOT'} {case.name:44} gap {gap}  asked: {', '.join(case.impostors) or '-':28} "
        f"found: {numbers}; overfits: {found.overfits} (asked {case.overfits}); opens: {', '.join(opened) or '-'}; "
        f"memorising {units[0]}, single-image {units[1]}; {', '.join(others) or '-'}; {seconds:.0f} CPU s",
        flush=True,
    )
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the trained copies are kept")
    parser.add_argument("--models", type=Path, help="folder with resnet20_cifar10 and vgg16_half_cifar10")
    parser.add_argument("--images", type=Path, help="folder with cifar10_train_10000.npz and cifar10_test_5000.npz")
    parser.add_argument("--quick", action="store_true", help="fewer images, and no training of the healthy copy")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    every = cases(chosen.folder, chosen.models, chosen.images, chosen.quick)
    asked = [shown(case) for case in every if chosen.only in case.name]
    print(f"{sum(asked)} of {len(asked)} as asked")
    sys.exit(not all(asked))


if __name__ == "__main__":
    main()
