"""The network that comes with the package."""

from filterscope.images.preprocessing import Preprocessing
from filterscope.model.network import Network


def open_bundled() -> Network:
    """Open the bundled network, trained on the images that the package draws."""
    from filterscope.demo.creatures import CLASSES
    from filterscope.demo.network import INPUT_SIZE, MEAN, STD, trained

    preprocessing = Preprocessing(input_size=INPUT_SIZE, mean=MEAN, std=STD)
    return Network(trained(), preprocessing, CLASSES, name="demo")
