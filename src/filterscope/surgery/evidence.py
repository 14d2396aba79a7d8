"""What is known of a network's units without any image: findings anew, after every round of surgery."""

import numpy as np

from filterscope.atlas.diagnosis import Finding
from filterscope.atlas.records import Relation
from filterscope.findings.affine import affine
from filterscope.findings.duplicates import by_weights
from filterscope.findings.silence import silence, standings
from filterscope.model import Network
from filterscope.surgery.seen import Seen


def look(network: Network, seen: Seen | None = None) -> list[Finding | Relation]:
    """What the lens ``redundancy`` says of a network from its weights alone, and from what it did with images.

    Args:
        seen: what its units did in images, if any were shown.
    Raises:
        BadModel: if the network has no convolution, or does not run.
    """
    layers = network.layers()
    found: list[Finding | Relation] = []
    by_layer = {} if seen is None else seen.by_layer
    largest = {name: np.array([one.max for one in some]) for name, some in by_layer.items()}
    classes = "" if seen is None else seen.classes
    for name, standing in standings(network, layers, largest).items():
        layer = next(one for one in layers if one.name == name)
        found += silence(layer, standing, by_layer.get(name, ()), (), classes)
        units = affine(network, layer)
        if units is not None:
            silent = np.asarray(standing.dead | standing.fixed)
            found += by_weights(name, units, silent, homogeneous=standing.homogeneous).relations
    return found
