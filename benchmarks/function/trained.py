"""Small networks trained on drawn images in which one cue alone tells the class.

    python benchmarks/function/trained.py [--seed N] [--folder DIR] [--task NAME ...]

prints how many held-out images each names rightly, how long its training took, how many it names without colour or
arrangement, and what simple measures of the same images tell. With a folder the trained weights are kept there and
read again the next time.
"""

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cues
import numpy as np
import torch
from cues import SIZE, TASKS, Task
from jaxtyping import Float
from numpy.typing import NDArray
from readouts import READOUTS, told_by
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

import filterscope as fs
from filterscope.images.arrays import Arrays

CHANNELS = (16, 24, 32, 48, 48)
MEAN, STD = 127.0 / 255, 40.0 / 255
"""Of all images of all tasks, for each channel alike."""

STEPS = {"hue": 300, "orientation": 500, "texture": 700, "part": 1000, "arrangement": 500}
"""Updates of each task's training; after half of them all networks named 94 % or more."""

HELD_OUT, SHOWN = (1, 0), (2, 0)
"""Begin the seeds of images that training has not seen: to measure accuracy, and to show to the instrument."""

Batch = tuple[Float[Tensor, "image 3 height width"], Tensor]


@dataclass(frozen=True)
class Settings:
    """How to train: ``steps`` updates on batches of images that were never shown before."""

    seed: int = 0
    steps: int = 1000
    batch: int = 64
    rate: float = 4e-3
    decay: float = 1e-2
    measured: int = 1024
    every: int = 100


@dataclass(frozen=True)
class Notes:
    """Of a training.

    Args:
        accuracy: the share of held-out images that the network names rightly.
        seconds: of CPU time, with drawing and measuring.
        curve: (step, accuracy) in the course of it.
    """

    accuracy: float
    seconds: float
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True, eq=False)
class Trained:
    """A network that knows one cue, and images of the task.

    Args:
        task: what it was trained on; ``task.function`` is what its last layers must do.
        network: for filterscope.
        images: labelled, not seen in training nor in measuring its accuracy.
        notes: of the training.
    """

    task: Task
    network: fs.Network
    images: Arrays
    notes: Notes


def networks(
    seed: int = 0, folder: str | Path | None = None, *, tasks: Sequence[str] = tuple(TASKS), shown: int = 480
) -> list[Trained]:
    """Train a network for every task, one after the other; the same seed gives the same weights.

    Args:
        seed: of the weights and of all images.
        folder: where trained weights are kept, a file for each, and read again as long as the recipe is the same.
        tasks: names of ``cues.TASKS``.
        shown: how many labelled images come with each network.
    """
    kept_in = None if folder is None else Path(folder)
    return [trained(TASKS[name], Settings(seed, STEPS[name]), kept_in, shown) for name in tasks]


def trained(task: Task, settings: Settings, folder: Path | None, shown: int) -> Trained:
    """One network, from the folder if it is there."""
    path = None if folder is None else folder / f"{task.name}-{settings.seed}.safetensors"
    made_by = recipe(settings)
    found = None if path is None else kept(path, len(task.classes), made_by)
    network, notes = found or train(task, settings)
    if path is not None and found is None:
        keep(path, network, made_by, notes)
    x, y = cues.draw(task, shown, (*SHOWN, settings.seed))
    how = fs.Preprocessing((SIZE, SIZE), (MEAN,) * 3, (STD,) * 3)
    return Trained(
        task,
        fs.Network(network, how, task.classes, name=task.name),
        Arrays.of(x, y, task.classes, where=f"task {task.name!r}"),
        notes,
    )


def build(classes: int) -> nn.Sequential:
    """Five convolutions, each with batch norm and ReLU, and pooling between them; the last sees the whole image.

    The same for every task: what its layers do then comes from the cue alone.
    """
    modules: list[nn.Module] = []
    before = 3
    for number, channels in enumerate(CHANNELS):
        modules += [nn.MaxPool2d(2)] if number else []
        width = 3 if number else 5
        modules += [nn.Conv2d(before, channels, width, padding=width // 2, bias=False)]
        modules += [nn.BatchNorm2d(channels), nn.ReLU()]
        before = channels
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def train(task: Task, settings: Settings) -> tuple[nn.Sequential, Notes]:
    """A new network, ready to be used, and notes of its training."""
    begun = time.process_time()
    with alone(settings.seed):
        network = build(len(task.classes)).to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, settings.steps))
        held_out = tensors(*cues.draw(task, settings.measured, (*HELD_OUT, settings.seed)))
        curve = []
        for step, (images, labels) in enumerate(batches(task, settings), start=1):
            loss = F.cross_entropy(network.train()(images), labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            if step % settings.every == 0 or step == settings.steps:
                curve.append((step, accuracy(network, held_out)))
    network.to(memory_format=torch.contiguous_format)
    return network.eval(), Notes(curve[-1][1], time.process_time() - begun, tuple(curve))


def _rate(step: int, steps: int) -> float:
    """The share of the learning rate: a rise over a tenth, then half a cosine."""
    return min(1.0, (step + 1) / (0.1 * steps)) * 0.5 * (1 + math.cos(math.pi * step / steps))


def batches(task: Task, settings: Settings) -> Iterator[Batch]:
    """Freshly drawn images, ``settings.steps`` times."""
    per_chunk = max(1, cues.CHUNK // settings.batch)
    for step in range(settings.steps):
        place = step % per_chunk
        if place == 0:
            x, y = cues.draw(task, per_chunk * settings.batch, (0, settings.seed, step))
        some = slice(place * settings.batch, (place + 1) * settings.batch)
        yield tensors(x[some], y[some])


def tensors(images: NDArray[np.uint8], labels: NDArray[np.intp]) -> Batch:
    """What the network takes, from bytes."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return (x / 255 - MEAN) / STD, torch.from_numpy(labels)


@torch.no_grad()
def accuracy(network: nn.Module, held_out: Batch) -> float:
    """The share of images whose class the network names."""
    network.eval()
    named = torch.cat([network(some).argmax(1) for some in torch.split(held_out[0], 128)])
    return float((named == held_out[1]).double().mean())


def grey(images: NDArray[np.uint8], dice: np.random.Generator) -> NDArray[np.uint8]:
    """Luminance alone."""
    return np.repeat(np.rint(images.mean(3, keepdims=True)).astype(np.uint8), 3, axis=3)


def shuffled(images: NDArray[np.uint8], dice: np.random.Generator, tile: int) -> NDArray[np.uint8]:
    """The image's tiles in random order."""
    rows = SIZE // tile
    tiles = images.reshape(-1, rows, tile, rows, tile, 3).swapaxes(2, 3).reshape(-1, rows**2, tile, tile, 3)
    mixed = dice.permuted(np.broadcast_to(np.arange(rows**2), tiles.shape[:2]), axis=1)
    tiles = np.take_along_axis(tiles, mixed[:, :, None, None, None], 1)
    return tiles.reshape(-1, rows, rows, tile, tile, 3).swapaxes(2, 3).reshape(images.shape)


WITHOUT: dict[str, Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]] = {
    "grey": grey,
    "16 px tiles": partial(shuffled, tile=16),
    "8 px tiles": partial(shuffled, tile=8),
}
"""What is taken from images to see whether a network needs it: colours; all that is larger than a tile."""


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """One thread, since several add up in another order, and dice of one's own; all is put back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def recipe(settings: Settings) -> str:
    """The identity of everything that a training depends on: settings, drawing and this file."""
    sources = (Path(__file__).read_bytes(), Path(cues.__file__).read_bytes())
    return hashlib.sha256(repr(settings).encode() + b"".join(sources)).hexdigest()


def keep(path: Path, network: nn.Module, made_by: str, notes: Notes) -> None:
    """Write weights and notes; a file is there wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    save_file(network.state_dict(), unfinished, {"recipe": made_by, "notes": json.dumps(asdict(notes))})
    unfinished.replace(path)


def kept(path: Path, classes: int, made_by: str) -> tuple[nn.Sequential, Notes] | None:
    """What ``keep`` wrote; None if there is nothing of this recipe, or it is damaged."""
    if not path.is_file():
        return None
    with alone(0):
        network = build(classes)
    try:
        with safe_open(path, "pt") as file:
            written: dict[str, str] = file.metadata() or {}
            if written.get("recipe") != made_by:
                return None
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except SafetensorError:
        return None
    notes = json.loads(written["notes"])
    return network.eval(), Notes(notes["accuracy"], notes["seconds"], tuple(map(tuple, notes["curve"])))


def main() -> None:
    """Train what is asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where trained weights are kept, and read again")
    parser.add_argument("--task", nargs="+", choices=list(TASKS), default=list(TASKS))
    options = parser.parse_args()
    columns = ("task", "classes", "chance", "CPU s", "network", *WITHOUT, *(f"by {name}" for name in READOUTS))
    print("|", " | ".join(columns), "|")
    print("|" + "---|" * len(columns))
    for name in options.task:
        (one,) = networks(options.seed, options.folder, tasks=[name])
        print("|", " | ".join(row(one)), "|")
        print(f"<!-- {', '.join(f'{step}: {share:.1%}' for step, share in one.notes.curve)} -->", flush=True)


def row(one: Trained) -> list[str]:
    """What there is to say about a network and its task."""
    count = len(one.task.classes)
    known, held_out = (cues.draw(one.task, images, (3, images)) for images in (4096, 2048))
    dice = np.random.default_rng(0)
    without = [accuracy(one.network.module, tensors(take(held_out[0], dice), held_out[1])) for take in WITHOUT.values()]
    told = [told_by(measure, known, held_out) for measure in READOUTS.values()]
    shares = [f"{share:.1%}" for share in (one.notes.accuracy, *without, *told)]
    return [one.task.name, str(count), f"{1 / count:.1%}", f"{one.notes.seconds:.0f}", *shares]


if __name__ == "__main__":
    main()
