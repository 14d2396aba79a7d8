"""Groups of what is alike, from likeness of all pairs: who finds families and who shows them join them by one rule."""

import numpy as np
from jaxtyping import Float, Int

FAMILY = 0.5
"""Mean likeness of the members of two families of units, unrelated ones counting zero, from which on they are one."""


def groups(likeness: Float[np.ndarray, "item item"], threshold: float) -> Int[np.ndarray, "item"]:
    """The group of every item: the two groups most alike on average are joined as long as that is ``threshold``.

    Agglomerative clustering with average linkage: nothing is drawn, and the order of the items does not matter.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    count = len(likeness)
    if count < 2:
        return np.zeros(count, np.int64)
    apart = 1 - (likeness + likeness.T) / 2
    tree = linkage(np.maximum(apart[np.triu_indices(count, 1)], 0.0), "average")
    return np.asarray(fcluster(tree, 1 - threshold, "distance"), np.int64) - 1
