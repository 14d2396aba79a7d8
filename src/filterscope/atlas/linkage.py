"""Groups of what is alike, from likeness of all pairs: who finds families and who shows them join them by one rule."""

import numpy as np
from jaxtyping import Float, Int

FAMILY = 0.5
"""Mean likeness of the members of two families of units, unrelated ones counting zero, from which on they are one."""

FEW = 128
"""Items up to which joining them takes less time than loading the library that joins many."""


def groups(likeness: Float[np.ndarray, "item item"], threshold: float) -> Int[np.ndarray, "item"]:
    """The group of every item: the two groups most alike on average are joined as long as that is ``threshold``.

    Agglomerative clustering with average linkage: nothing is drawn, and but for ties the order of the items does not
    matter.
    """
    apart = np.maximum(1 - (likeness + likeness.T) / 2, 0.0)
    return joined(apart, 1 - threshold) if len(apart) <= FEW else joined_many(apart, 1 - threshold)


def joined(apart: Float[np.ndarray, "item item"], most: float) -> Int[np.ndarray, "item"]:
    """Join the two groups that are nearest to each other on average, again and again up to a distance."""
    apart, group = apart.copy(), np.arange(len(apart))
    sizes = np.ones(len(apart))
    np.fill_diagonal(apart, np.inf)
    while len(apart) > 1:
        one, other = divmod(int(apart.argmin()), len(apart))
        if apart[one, other] > most:
            break
        apart[one] = (sizes[one] * apart[one] + sizes[other] * apart[other]) / (sizes[one] + sizes[other])
        apart[:, one] = apart[one]
        apart[other] = apart[:, other] = apart[one, one] = np.inf
        sizes[one] += sizes[other]
        group[group == other] = one
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


def joined_many(apart: Float[np.ndarray, "item item"], most: float) -> Int[np.ndarray, "item"]:
    """The same, in time that grows with the square of the items only."""
    from scipy.cluster.hierarchy import fcluster, linkage

    tree = linkage(apart[np.triu_indices(len(apart), 1)], "average")
    return np.asarray(fcluster(tree, most, "distance"), np.int64) - 1
