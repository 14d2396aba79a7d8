"""The demonstration's network: a small plain VGG, its committed weights and the checkpoints of its training."""

from collections import OrderedDict
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from filterscope.demo.creatures import CLASSES
from filterscope.errors import BadModel

INPUT_SIZE = (64, 64)
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
"""Of pixel values from 0 to 1, per channel: the network sees ``(pixel - MEAN) / STD``."""

WIDTHS: tuple[tuple[int, ...], ...] = ((24, 24), (24, 24), (32, 32, 32), (48, 48, 48), (56, 56))
"""Channels of every convolution, block by block; a max pooling follows every block but the last."""

FOLDER = Path(__file__).parent
WEIGHTS = "weights.safetensors"


def checkpoint(folder: Path, step: int) -> Path:
    """Where the training keeps what the network was after ``step`` updates."""
    return folder / "checkpoints" / f"step{step:06}.safetensors"


def build() -> nn.Sequential:
    """The untrained network, ``(image, 3, 64, 64)`` to ``(image, class)``; modules are named like ``block1.conv1``.

    The first convolution is 5x5, so that what it learned can be seen as a picture; all others are 3x3.
    """
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for number, widths in enumerate(WIDTHS, start=1):
        block: OrderedDict[str, nn.Module] = OrderedDict()
        for step, width in enumerate(widths, start=1):
            kernel = 5 if channels == 3 else 3
            block[f"conv{step}"] = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
            block[f"relu{step}"] = nn.ReLU()
            channels = width
        if number < len(WIDTHS):
            block["pool"] = nn.MaxPool2d(2)
        blocks[f"block{number}"] = nn.Sequential(block)
    blocks["pool"] = nn.AdaptiveAvgPool2d(1)
    blocks["flatten"] = nn.Flatten()
    blocks["classifier"] = nn.Linear(channels, len(CLASSES))
    return nn.Sequential(blocks)


def trained() -> nn.Sequential:
    """The network with the weights that come with the package, in evaluation mode.

    Raises:
        BadModel: if the weights are not there.
    """
    weights = FOLDER / WEIGHTS
    if not weights.is_file():
        raise BadModel(
            f"the demonstration's weights are missing: {weights}; make them with: python -m filterscope.demo.train"
        )
    network = build()
    network.load_state_dict(load_file(weights))
    return network.eval()


def checkpoints() -> list[tuple[int, Path]]:
    """Step and file (half precision) of every state of the training that comes with the package, untrained first."""
    return [
        (int(path.stem.removeprefix("step")), path)
        for path in sorted((FOLDER / "checkpoints").glob("step*.safetensors"))
    ]
