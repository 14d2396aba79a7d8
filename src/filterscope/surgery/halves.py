"""Which images a cut is chosen on, and which it is proven on: two halves that share none."""

import numpy as np
from numpy.typing import NDArray

from filterscope.errors import BadImages
from filterscope.images import ImageSource


def halves(of: ImageSource | NDArray[np.int64] | int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split images into those that choose and those that verify: by chance, of every class the same number.

    What looked best on some images looks better there than it is, so that the proof needs others.

    Args:
        of: a set of images, with labels or without; or (image), the number of every image's class, -1 where it has
            none; or how many images there are.
        seed: the same one splits the same images alike.
    Returns:
        The numbers of the images that choose and of those that verify, both in order. Of a class, and in all, they
        differ by one at most.
    Raises:
        BadImages: if there are fewer than two images.
    Example:
        >>> choose, verify = halves(np.array([0, 0, 0, 0, 1, 1]))
        >>> sorted([*choose.tolist(), *verify.tolist()]), len(choose)
        ([0, 1, 2, 3, 4, 5], 3)
    """
    labels = _classes(of)
    if len(labels) < 2:
        raise BadImages(f"{len(labels)} images cannot be halved into some to choose on and some to verify; give more")
    order = np.random.default_rng(seed).permutation(len(labels))
    # Classes in the order in which they come up: however they are numbered, the halves are the same.
    _, first, own = np.unique(labels[order], return_index=True, return_inverse=True)
    # Dealt out in turn, class after class, no class favours a half by more than one image, nor do all together.
    order = order[np.argsort(first[own], kind="stable")]
    return np.sort(order[::2]), np.sort(order[1::2])


def _classes(of: ImageSource | NDArray[np.int64] | int) -> NDArray[np.int64]:
    if isinstance(of, int):
        return np.zeros(of, np.int64)
    if isinstance(of, np.ndarray):
        return of
    numbers = {name: number for number, name in enumerate(of.labels)}
    return np.array([numbers.get(of.label(image) or "", -1) for image in range(len(of))], np.int64)
