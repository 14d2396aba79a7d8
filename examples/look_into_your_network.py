"""Look into a network of your own: `python examples/look_into_your_network.py`."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor, nn

import filterscope as fs


class Small(nn.Module):
    """Any module that takes (image, channel, height, width) will do, also with functional calls in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.left = nn.Conv2d(8, 8, 3, padding=1)
        self.right = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.head = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        """(image, 3, height, width) to (image, 2)."""
        maps = self.norm(self.stem(images)).relu()
        maps = (self.left(maps) + self.right(maps)).relu()
        return self.head(maps.mean((2, 3)))


def main() -> None:
    preprocessing = fs.Preprocessing(input_size=(48, 48), mean=(0.5,) * 3, std=(0.25,) * 3)
    network = fs.Network(Small(), preprocessing, classes=["first", "second"], name="small")
    for layer in network.layers():
        print(f"{layer.name}: {layer.channels} units, see {layer.field_size} pixels, observed at {layer.observed}")

    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 48, 3), np.uint8)
    pairs = [(image, number % 2) for number, image in enumerate(noise)]
    with TemporaryDirectory() as folder:
        atlas = fs.inspect(network, pairs, Path(folder) / "small.atlas", lenses=[fs.Kernels(), fs.Patches(count=4)])
        print(atlas.units()[["layer", "unit", "firing_rate", "max", "norm"]].round(2).to_string())
        print(f"{len(atlas.sheets())} picture sheets")


if __name__ == "__main__":
    main()
