"""Train the bundled network on drawn creatures: `python -m filterscope.demo.train [--out DIR] [--seed 0]`."""

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from filterscope.demo.creatures import Creatures
from filterscope.demo.network import MEAN, STD, Creature, build

FRESH_SEED = 1_000_003
"""Images for testing come from another series than any that is trained on."""


@dataclass(frozen=True)
class Plan:
    """How a training goes.

    Args:
        images: how many creatures are drawn to train on.
        epochs: passes over them.
        batch: images a step.
        rate: the largest learning rate; it rises over the first twentieth of the steps and falls to 0 along a cosine.
        decay: weight decay (AdamW), on weights and not on biases.
        seed: of the weights, the images and their order.
        checkpoints: how many snapshots are kept, at steps that grow geometrically: most happens early.
    """

    images: int = 12_000
    epochs: int = 10
    batch: int = 64
    rate: float = 3e-3
    decay: float = 0.08
    seed: int = 0
    checkpoints: int = 12

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * (self.images // self.batch)

    def snapshots(self) -> list[int]:
        """The steps at which the network is kept: 0, then ever farther apart, and the last.

        Example:
            >>> Plan(images=640, batch=64, epochs=10, checkpoints=5).snapshots()
            [0, 1, 5, 22, 100]
        """
        later = np.geomspace(1, self.steps, self.checkpoints - 1).round().astype(int)
        return sorted({0, *later.tolist()})


class Normed(nn.Module):
    """The network with a batch norm after every convolution, as it is trained; :meth:`folded` gives the plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = build()
        for child in self.plain.modules():
            if isinstance(child, nn.Conv2d):
                nn.init.kaiming_normal_(child.weight, nonlinearity="relu")
                nn.init.zeros_(child.bias) if child.bias is not None else None
        self.norms = nn.ModuleDict(
            {name.replace(".", "_"): nn.BatchNorm2d(child.out_channels) for name, child in self.convolutions()}
        )

    def convolutions(self) -> Iterator[tuple[str, nn.Conv2d]]:
        """The convolutions with their names, in order."""
        for name, child in self.plain.named_modules():
            if isinstance(child, nn.Conv2d):
                yield name, child

    def forward(self, images: Tensor) -> Tensor:
        """(image, 3, 64, 64) to logits (image, class)."""
        maps = images
        for name, child in self.plain.named_modules():
            if isinstance(child, nn.Conv2d):
                maps = F.relu(self.norms[name.replace(".", "_")](child(maps)))
            elif isinstance(child, nn.MaxPool2d):
                maps = child(maps)
        return self.plain.classifier(maps.mean((2, 3)))  # type: ignore[no-any-return]

    def folded(self) -> Creature:
        """A plain network that gives the same answers in eval mode: scale and shift go into weights and biases."""
        plain = build()
        plain.load_state_dict(self.plain.state_dict())
        with torch.no_grad():
            for name, child in plain.named_modules():
                if isinstance(child, nn.Conv2d) and child.bias is not None:
                    norm = self.norms[name.replace(".", "_")]
                    assert isinstance(norm, nn.BatchNorm2d)
                    assert norm.running_mean is not None
                    assert norm.running_var is not None
                    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                    child.weight.mul_(scale[:, None, None, None])
                    child.bias.sub_(norm.running_mean).mul_(scale).add_(norm.bias)
        return plain.eval()


def drawn(count: int, seed: int, workers: int = 2) -> tuple[Tensor, Tensor]:
    """Draw ``count`` creatures: images uint8 (image, 3, 64, 64) and labels (image)."""
    parts = [range(start, min(start + 500, count)) for start in range(0, count, 500)]
    # Spawned, not forked: torch's threads of this process would be copied half.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pieces = list(pool.map(draw_range, [(part, count, seed) for part in parts]))
    images = np.concatenate([images for images, _ in pieces])
    labels = np.concatenate([labels for _, labels in pieces])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


def draw_range(work: tuple[range, int, int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw some creatures of a series, in a worker."""
    indices, count, seed = work
    creatures = Creatures(count, seed)
    pairs = [creatures[index] for index in indices]
    return np.stack([image for image, _ in pairs]), np.array([label for _, label in pairs], np.int64)


def ready(images: Tensor) -> Tensor:
    """Bytes (image, 3, 64, 64) as the network takes them."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((images.float() / 255 - mean) / std).contiguous()


def train(
    plan: Plan,
    images: Tensor,
    labels: Tensor,
    snapshot: Callable[[int, Creature], None],
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> Creature:
    """Train on ``images`` (image, 3, 64, 64) uint8 with ``labels``; the same plan gives the same network.

    Args:
        snapshot: is given the step and the network, at the steps of ``plan.snapshots()``.
        report: is given the step and its loss, at every step.
    """
    torch.manual_seed(plan.seed)
    network = Normed()
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": plan.decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=plan.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps, pct_start=0.05)
    keep = set(plan.snapshots())
    snapshot(0, network.folded())
    order = torch.Generator().manual_seed(plan.seed)
    step = 0
    for _ in range(plan.epochs):
        shuffled = torch.randperm(len(images), generator=order)
        for start in range(0, len(images) - plan.batch + 1, plan.batch):
            chosen = shuffled[start : start + plan.batch]
            network.train()
            loss = F.cross_entropy(network(ready(shifted(images[chosen], order))), labels[chosen], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            step += 1
            report(step, float(loss.detach()))
            if step in keep:
                network.eval()
                snapshot(step, network.folded())
    return network.eval().folded()


def shifted(images: Tensor, order: torch.Generator) -> Tensor:
    """Move a batch by up to 4 pixels and mirror every other one: the drawings go further."""
    down, right = (int(amount) for amount in torch.randint(-4, 5, (2,), generator=order))
    moved = F.pad(images, (4, 4, 4, 4), mode="replicate") if images.is_floating_point() else edge_padded(images)
    moved = moved[:, :, 4 + down : 4 + down + images.shape[2], 4 + right : 4 + right + images.shape[3]]
    mirrored = torch.rand(len(images), generator=order) < 0.5
    return torch.where(mirrored[:, None, None, None], moved.flip(3), moved)


def edge_padded(images: Tensor) -> Tensor:
    """Four more pixels on every side, repeating the edge; for bytes, which ``F.pad`` cannot repeat."""
    rows = torch.arange(-4, images.shape[2] + 4).clamp(0, images.shape[2] - 1)
    columns = torch.arange(-4, images.shape[3] + 4).clamp(0, images.shape[3] - 1)
    return images[:, :, rows][:, :, :, columns]


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images told right."""
    with torch.inference_mode():
        right = [
            (network(ready(batch)).argmax(1) == truth).sum()
            for batch, truth in zip(images.split(256), labels.split(256), strict=True)
        ]
    return float(torch.stack(right).sum() / len(images))


def main() -> None:
    """Train, keep the weights and the checkpoints, and say how well the network does on fresh images."""
    parser = argparse.ArgumentParser(description="Train the bundled network on drawn creatures.")
    parser.add_argument("--out", type=Path, default=Path("creatures"), help="folder for the weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=Plan.images)
    parser.add_argument("--epochs", type=int, default=Plan.epochs)
    options = parser.parse_args()
    plan = Plan(seed=options.seed, images=options.images, epochs=options.epochs)
    begun = time.monotonic()
    images, labels = drawn(plan.images, plan.seed)
    say(f"drew {plan.images} creatures in {time.monotonic() - begun:.0f} s")
    options.out.mkdir(parents=True, exist_ok=True)

    def snapshot(step: int, network: Creature) -> None:
        state = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
        save_file(state, options.out / f"step{step:05d}.safetensors")

    def report(step: int, loss: float) -> None:
        if step % 200 == 0:
            say(f"step {step} of {plan.steps}: loss {loss:.3f}, {time.monotonic() - begun:.0f} s")

    network = train(plan, images, labels, snapshot, report)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, options.out / "creatures.safetensors")
    fresh, truth = drawn(4200, FRESH_SEED)
    say(
        f"accuracy on 4200 fresh images: {accuracy(network, fresh, truth):.2%}; {time.monotonic() - begun:.0f} s, "
        f"{time.process_time():.0f} CPU-seconds; weights in {options.out}"
    )


def say(text: str) -> None:
    """Tell whoever started the training."""
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
