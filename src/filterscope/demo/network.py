"""The bundled network: a plain VGG-style stack of convolutions that tells the drawn creatures apart."""

from collections import OrderedDict
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from filterscope.demo.creatures import CLASSES, SIZE

INPUT_SIZE = (SIZE, SIZE)
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
"""Round numbers near those of the drawn images: mean 0.50, 0.50, 0.52, standard deviation 0.23 to 0.24."""

WIDTHS = ((16, 16), (24, 24), (32, 32, 32), (48, 48, 48), (48, 48))
"""Units of the convolutions of each block; between blocks the size is halved."""

FILES = Path(__file__).parent / "weights"


class Creature(nn.Module):
    """Five blocks of 3x3 convolutions with ReLU, max pooling between them, a mean over space and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for number, widths in enumerate(WIDTHS, start=1):
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            for place, width in enumerate(widths, start=1):
                layers[f"conv{place}"] = nn.Conv2d(channels, width, 3, padding=1)
                layers[f"relu{place}"] = nn.ReLU()
                channels = width
            if number < len(WIDTHS):
                layers["pool"] = nn.MaxPool2d(2)
            self.add_module(f"block{number}", nn.Sequential(layers))
        self.classifier = nn.Linear(channels, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """(image, 3, 64, 64) to logits (image, class)."""
        maps = images
        for number in range(1, len(WIDTHS) + 1):
            maps = self.get_submodule(f"block{number}")(maps)
        return self.classifier(maps.mean((2, 3)))  # type: ignore[no-any-return]


def build() -> Creature:
    """Make the network with random weights."""
    return Creature()


def trained(weights: Path | None = None) -> Creature:
    """Make the network with the bundled weights, or those of a checkpoint, in eval mode."""
    network = build()
    state = load_file(weights or FILES / "creatures.safetensors")
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return network.eval()


def checkpoints() -> list[tuple[int, Path]]:
    """(step, file) of the checkpoints of the bundled training, in half precision, first the untrained network."""
    found = [(int(path.stem.removeprefix("step")), path) for path in FILES.glob("step*.safetensors")]
    return sorted(found)
