"""What is known of a network's units without any image: findings anew, after every round of surgery."""

import numpy as np

from filterscope.atlas.diagnosis import Finding
from filterscope.atlas.records import Relation
from filterscope.findings.affine import affine
from filterscope.findings.duplicates import by_weights
from filterscope.findings.silence import silence, standings
from filterscope.model import Network


def look(network: Network) -> list[Finding | Relation]:
    """What the lens ``redundancy`` says of a network from its weights alone.

    Raises:
        BadModel: if the network has no convolution, or does not run.
    """
    layers = network.layers()
    found: list[Finding | Relation] = []
    for name, standing in standings(network, layers, {}).items():
        layer = next(one for one in layers if one.name == name)
        found += silence(layer, standing, (), (), "")
        units = affine(network, layer)
        if units is not None:
            silent = np.asarray(standing.dead | standing.fixed)
            found += by_weights(name, units, silent, homogeneous=standing.homogeneous).relations
    return found
