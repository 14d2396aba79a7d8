"""Some images of a source as batches that a network takes, in the order in memory that is quickest for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filterscope.errors import BadModel, FilterscopeError
from filterscope.images import ImageSource, stream
from filterscope.images.tensors import normalise
from filterscope.model import Network
from filterscope.model.running import run_once


@dataclass(frozen=True)
class Reading:
    """Images by their numbers; iterate for (ids, pixels), as often as wanted. What cannot be read is left out.

    On a CPU larger batches than :func:`batch_for` gives push each other's activations out of the caches.
    """

    network: Network
    source: ImageSource
    images: NDArray[np.int64]
    batch_size: int = 16
    workers: int = 0

    def __post_init__(self) -> None:
        # Now: later there may be hooks on the network, which must not see this pass.
        _ = self.order

    @cached_property
    def order(self) -> torch.memory_format:
        """Channels last, which halves the time of convolutions on a CPU, unless the network's code cannot take it."""
        try:
            run_once(self.network.module, self.network.example().contiguous(memory_format=torch.channels_last))
        except BadModel:
            return torch.contiguous_format
        return torch.channels_last

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        network = self.network
        batches = stream(
            self.source, self.images, network.preprocessing, batch_size=self.batch_size, workers=self.workers
        )
        for batch in batches:
            if batch.ids:
                pixels = normalise(
                    batch.pixels,
                    network.preprocessing,
                    device=network.device,
                    dtype=network.dtype,
                    memory_format=self.order,
                )
                yield np.array(batch.ids, np.int64), pixels


def batch_for(network: Network) -> int:
    """Images at a time: sixteen of 224 x 224 pixels; of smaller ones more, since Python takes as long for few."""
    height, width = network.preprocessing.input_size
    return int(np.clip(16 * 224 * 224 // (height * width), 16, 512))


def spread(count: int, limit: int | None) -> NDArray[np.int64]:
    """Numbers of at most ``limit`` of ``count`` images, spread over all.

    Raises:
        FilterscopeError: if the limit is below 1.
    Example:
        >>> spread(10, 4).tolist()
        [0, 3, 6, 9]
    """
    if limit is not None and limit < 1:
        raise FilterscopeError(f"images to look at: at least 1, not {limit}")
    chosen = np.linspace(0, count - 1, min(count, limit or count)).round()
    return np.asarray(np.unique(chosen).astype(np.int64))
