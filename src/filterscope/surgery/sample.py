"""The images that a cut is chosen on, as batches that can be read again and again."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filterscope.errors import BadImages
from filterscope.findings.reading import Reading, batch_for
from filterscope.findings.scoring import NONE, class_numbers
from filterscope.images import ImageSource, open_images
from filterscope.images.digest import digest_of
from filterscope.images.subset import Subset
from filterscope.model import Network
from filterscope.surgery.halves import halves

KEPT = 2**28
"""Numbers of pixels that are kept in memory, 1 GiB in float32; of more images every batch is decoded anew."""


@dataclass(eq=False)
class Sample:
    """Images as a network takes them, in the order in which they were chosen.

    Attributes:
        network: what they are prepared for.
        pixels: (image, channel, height, width); None: they are read from ``source``.
        source: where they come from, and ``ids``, which of them.
        labels: (image), the number of each one's class; -1: none.
        batch_size: images at a time.
        digest: of all the images that these were drawn from.
    """

    network: Network
    pixels: Tensor | None
    source: ImageSource | None
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    batch_size: int
    digest: str = ""
    _reading: Reading | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_labelled(self) -> bool:
        """Whether any image has a class that the network knows."""
        return bool((self.labels != NONE).any())

    @property
    def given(self) -> Tensor | ImageSource:
        """The images as others take them."""
        if self.pixels is not None:
            return self.pixels
        assert self.source is not None
        return Subset(self.source, tuple(int(one) for one in self.ids))

    def first(self, count: int) -> "Sample":
        """At most so many of the images, spread over all of them."""
        return self._of(np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(np.int64)))

    def parted(self, most: int, seed: int = 0) -> tuple["Sample", "Sample"]:
        """Those that weights are fitted to, half of the images and no more than ``most``; and those that judge them.

        A layer that reads thousands of numbers answers the images that it was fitted to better than any others.
        """
        if len(self) < 2:
            return self, self
        fit = halves(self.labels, seed)[0]
        fit = fit[np.unique(np.linspace(0, len(fit) - 1, min(most, len(fit))).round().astype(np.int64))]
        return self._of(fit), self._of(np.setdiff1d(np.arange(len(self)), fit))

    def _of(self, places: NDArray[np.int64]) -> "Sample":
        pixels = None if self.pixels is None else self.pixels[torch.from_numpy(places)]
        return replace(self, pixels=pixels, ids=self.ids[places], labels=self.labels[places], _reading=None)

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Give (places in this sample, pixels); what cannot be read is left out."""
        if self.pixels is not None:
            for begin in range(0, len(self), self.batch_size):
                here = np.arange(begin, min(begin + self.batch_size, len(self)))
                yield here, self.pixels[begin : begin + self.batch_size]
            return
        if self._reading is None:
            assert self.source is not None
            self._reading = Reading(self.network, self.source, self.ids, self.batch_size)
        place = {int(one): at for at, one in enumerate(self.ids)}
        for ids, pixels in self._reading:
            yield np.array([place[int(one)] for one in ids], np.int64), pixels


def choosing(network: Network, images: Any, seed: int = 0) -> Sample:
    """The half of some images that chooses; the other half is not looked at.

    Args:
        network: what the images are for.
        images: a tensor as the network takes it, without labels; or what :func:`filterscope.open_images` takes.
        seed: of the split.
    Raises:
        BadImages: if there are fewer than two, or none can be read.
    """
    return _half(network, images, seed, 0)


def verifying(network: Network, images: Any, seed: int = 0) -> Sample:
    """The other half; see :func:`choosing`."""
    return _half(network, images, seed, 1)


def _half(network: Network, images: Any, seed: int, which: int) -> Sample:
    if isinstance(images, Tensor):
        numbers = halves(len(images), seed)[which]
        pixels = images[torch.from_numpy(numbers)].to(network.device, network.dtype)
        content = images.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        none = np.full(len(numbers), NONE, np.int64)
        return Sample(network, pixels, None, numbers, none, batch_for(network), digest_of([content]))
    source = images if isinstance(images, ImageSource) else open_images(images, classes=network.classes or None)
    classes = class_numbers(source, network.classes)
    numbers = halves(source, seed)[which]
    return _read(Sample(network, None, source, numbers, classes[numbers], batch_for(network), source.digest))


def _read(sample: Sample) -> Sample:
    """Keep the pixels of a sample where they are few enough, without the images that cannot be read."""
    height, width = sample.network.preprocessing.input_size
    if len(sample) * sample.network.preprocessing.channel_count * height * width > KEPT:
        return sample
    parts = list(sample)
    if not parts:
        raise BadImages("there is no image that can be read; give some with --images DIR")
    found = np.concatenate([here for here, _ in parts])
    pixels = torch.cat([one for _, one in parts])
    return replace(sample, pixels=pixels, ids=sample.ids[found], labels=sample.labels[found], _reading=None)
