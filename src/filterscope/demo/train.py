"""Train the demonstration's network from nothing: ``python -m filterscope.demo.train``."""

import argparse
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from jaxtyping import Float, Int64, UInt8
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from filterscope.demo import network as demo
from filterscope.demo.creatures import batch

Images = UInt8[Tensor, "image 3 height width"]
Labels = Int64[Tensor, "image"]

STAGES = (0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5, 0.75, 1.0)
"""When checkpoints are kept, as shares of the training: most filters take shape early."""

CHUNK = 500
"""Images that a worker process draws at a time."""


@dataclass(frozen=True)
class Settings:
    """How to train. ``images`` are drawn once and seen ``epochs`` times, each time moved and lit differently."""

    seed: int = 0
    images: int = 14_000
    epochs: int = 10
    batch: int = 64
    rate: float = 0.03
    momentum: float = 0.9
    decay: float = 2e-3
    smoothing: float = 0.05
    workers: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.batch <= self.images or self.epochs < 1:
            raise ValueError(
                f"nothing to train on: {self.images} images, {self.epochs} epochs, batches of {self.batch}"
            )

    @property
    def steps(self) -> int:
        """How many updates the training makes."""
        return self.epochs * (self.images // self.batch)

    @property
    def stages(self) -> list[int]:
        """The steps after which a checkpoint is kept; 0 is before training."""
        return sorted({round(stage * self.steps) for stage in STAGES})


@dataclass(frozen=True)
class Progress:
    """Where a training is: ``loss`` is the mean over the last epoch."""

    step: int
    steps: int
    loss: float


def creatures(count: int, seed: int, workers: int) -> tuple[Images, Labels]:
    """Draw ``count`` creatures of series ``seed``; the answer does not depend on the number of ``workers``."""
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    if workers > 1 and len(chunks) > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            drawn = list(pool.map(batch, chunks, [seed] * len(chunks)))
    else:
        drawn = [batch(chunk, seed) for chunk in chunks]
    images = torch.cat([torch.from_numpy(images) for images, _ in drawn])
    return images.permute(0, 3, 1, 2).contiguous(), torch.cat([torch.from_numpy(labels) for _, labels in drawn])


def normalised(images: Images) -> Float[Tensor, "image 3 height width"]:
    """What the network takes, from pixels."""
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (demo.MEAN, demo.STD))
    return (images.float() / 255 - mean) / std


def initialise(network: nn.Module) -> None:
    """He's initialisation, which keeps the size of signals through ReLUs; the first convolution far below it.

    What a filter starts with stays in it: at full size the first kernels end as noise with an edge somewhere within.
    The second convolution is larger instead, so that the first is moved the more.

    Source: He, Zhang, Ren, Sun (2015). doi:10.1109/ICCV.2015.123
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
    with torch.no_grad():
        convolutions[0].weight.mul_(0.05)
        convolutions[1].weight.mul_(5)


def train(
    settings: Settings,
    images: Images,
    labels: Labels,
    *,
    keep: Callable[[int, nn.Module], None] = lambda step, network: None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> nn.Module:
    """Train a new network with stochastic gradient descent; the same seed and number of threads give the same weights.

    Args:
        settings: how.
        images: uint8.
        labels: class indices.
        keep: called with the step and the network at every one of ``settings.stages``.
        watch: called after every epoch.
    """
    torch.manual_seed(settings.seed)
    network = demo.build()
    initialise(network)
    network.to(memory_format=torch.channels_last)
    optimiser = _optimiser(network, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, settings.steps))
    stages = set(settings.stages)
    keep(0, network)
    losses: list[float] = []
    for step, chosen in enumerate(_batches(settings), start=1):
        batch_images = augmented(normalised(images[chosen])).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(network(batch_images), labels[chosen], label_smoothing=settings.smoothing)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step in stages:
            keep(step, network)
        if step % (settings.images // settings.batch) == 0:
            watch(Progress(step, settings.steps, sum(losses) / len(losses)))
            losses.clear()
    return network.eval()


def _optimiser(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Weights decay, biases do not: decay would push them towards firing always or never."""
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in network.parameters() if parameter.ndim == 1]
    groups = [{"params": weights, "weight_decay": settings.decay}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=settings.rate, momentum=settings.momentum, nesterov=True)


def _rate(step: int, steps: int) -> float:
    """The share of the learning rate at ``step``: a short rise, then half a cosine."""
    rise = max(1, steps // 20)
    return min(1.0, (step + 1) / rise) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def _batches(settings: Settings) -> Iterator[Tensor]:
    for _ in range(settings.epochs):
        order = torch.randperm(settings.images)
        for start in range(0, settings.images - settings.batch + 1, settings.batch):
            yield order[start : start + settings.batch]


def augmented(images: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image 3 height width"]:
    """Mirror half of the images, move all by up to four pixels (edges repeated), vary the light and add noise."""
    count, height, width = len(images), images.shape[2], images.shape[3]
    flipped = torch.where(torch.rand(count, 1, 1, 1) < 0.5, images.flip(3), images)
    padded = F.pad(flipped, (4, 4, 4, 4), mode="replicate")
    top, left = torch.randint(0, 9, (2,)).tolist()
    moved = padded[:, :, top : top + height, left : left + width]
    lit = moved * (1 + 0.12 * torch.randn(count, 1, 1, 1)) + 0.12 * torch.randn(count, 3, 1, 1)
    return lit + 0.12 * torch.randn_like(lit)


@torch.no_grad()
def accuracy(network: nn.Module, images: Images, labels: Labels) -> float:
    """The share of ``images`` whose class the network names."""
    named = torch.cat([network(normalised(some)).argmax(dim=1) for some in torch.split(images, 250)])
    return float((named == labels).double().mean())


def write(network: nn.Module, path: Path, *, half: bool = False) -> None:
    """Write the weights as safetensors, in half precision if asked to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype = torch.float16 if half else torch.float32
    state = {name: value.detach().to(dtype).contiguous() for name, value in network.state_dict().items()}
    save_file(state, path)


def main(arguments: list[str] | None = None) -> None:
    """Draw, train, write weights and checkpoints, and say how well the network does on images that it has not seen."""
    parser = argparse.ArgumentParser(prog="python -m filterscope.demo.train", description=__doc__)
    parser.add_argument("--out", type=Path, default=demo.FOLDER, help="folder to write to (default: the package's own)")
    parser.add_argument("--seed", type=int, default=Settings.seed, help="of the images, the weights and their order")
    parser.add_argument("--images", type=int, default=Settings.images, help="how many are drawn to train on")
    parser.add_argument("--epochs", type=int, default=Settings.epochs, help="how often each is seen")
    parser.add_argument("--fresh", type=int, default=2800, help="how many, of the next seed, to test on")
    parser.add_argument("--threads", type=int, default=1, help="another number rounds differently: other weights")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    settings = Settings(chosen.seed, chosen.images, chosen.epochs, workers=os.cpu_count() or 1)
    images, labels = creatures(settings.images, settings.seed, settings.workers)

    def keep(step: int, network: nn.Module) -> None:
        write(network, demo.checkpoint(chosen.out, step), half=True)

    def watch(progress: Progress) -> None:
        print(f"step {progress.step} of {progress.steps}: loss {progress.loss:.3f}", flush=True)  # noqa: T201

    network = train(settings, images, labels, keep=keep, watch=watch)
    write(network, chosen.out / demo.WEIGHTS)
    fresh = creatures(chosen.fresh, settings.seed + 1, settings.workers)
    print(f"{accuracy(network, *fresh):.2%} of {chosen.fresh} fresh images named rightly; written to {chosen.out}")  # noqa: T201


if __name__ == "__main__":
    main()
