"""Random numbers that belong to an image and not to the batch it sits in."""

import hashlib
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def generator(key: str, seed: int) -> torch.Generator:
    """A stream of random numbers that depends on ``key`` (what is sought) and ``seed`` alone.

    Example:
        >>> a, b = (torch.rand(3, generator=generator("features.3:7", 0)) for _ in range(2))
        >>> bool((a == b).all())
        True
    """
    number = int.from_bytes(hashlib.sha256(f"{key}|{seed}".encode()).digest()[:8], "little")
    # torch takes signed 64 bits.
    return torch.Generator().manual_seed(number % 2**63)


class Dice:
    """Draws for the images of a batch, each from its own stream, on the CPU: the same numbers on every device."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = tuple(generators)

    def uniform(self, low: float, high: float, *shape: int) -> Float[Tensor, "item *shape"]:
        """Numbers from [low, high)."""
        return self._each(lambda g: torch.rand(shape, generator=g)) * (high - low) + low

    def normal(self, *shape: int) -> Float[Tensor, "item *shape"]:
        """Numbers with mean 0 and standard deviation 1."""
        return self._each(lambda g: torch.randn(shape, generator=g))

    def whole(self, low: int, high: int, *shape: int) -> Int[Tensor, "item *shape"]:
        """Whole numbers from low to high, both included."""
        return self._each(lambda g: torch.randint(low, high + 1, shape, generator=g))

    def _each(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        return torch.stack([draw(one) for one in self.generators])
