"""Images as batches in order: decoded in worker processes, in memory that does not grow with their number."""

import signal
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from filterscope.errors import BadImages, FilterscopeError
from filterscope.images.preprocessing import Preprocessing, fit
from filterscope.images.source import ImageSource

Indices = Sequence[int] | NDArray[np.integer[Any]]

# macOS and Windows cannot fork a process safely: there the source is pickled for each worker.
START = "fork" if sys.platform == "linux" else "spawn"


@dataclass(frozen=True, eq=False)
class Batch:
    """Images that were read one after the other, and those among them that could not be.

    Colours are in the order RGB; ``ids`` names the rows of ``pixels``, which may be none.
    """

    ids: tuple[int, ...]
    pixels: UInt8[np.ndarray, "image height width channel"]
    problems: tuple[tuple[int, str], ...] = ()
    """(id, reason) of every image that was left out."""


def stream(
    source: ImageSource,
    indices: Indices,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 32,
    workers: int = 0,
) -> Generator[Batch, None, None]:
    """Read the images ``indices`` of ``source``, fitted to what a network takes.

    A batch covers ``batch_size`` indices in a row (the last may cover fewer). An image that cannot be read is named in
    its batch, which is shorter by it: what is in a batch depends on neither ``workers`` nor what other batches hold.
    Workers hold two batches each beside the one that is looked at. They end with the generator: when it is exhausted,
    closed, forgotten or interrupted.

    Args:
        source: where the images come from.
        indices: which of them, in this order.
        preprocessing: the size and channels that they are fitted to.
        batch_size: indices a batch.
        workers: processes that decode; 0 decodes in this one. Where there is no fork they need a source that can be
            pickled.
    Raises:
        ValueError: if ``batch_size`` is below 1 or ``workers`` below 0.
        FilterscopeError: (while reading) if a worker died.
    """
    if batch_size < 1 or workers < 0:
        raise ValueError(f"batch_size is at least 1 and workers at least 0, not {batch_size} and {workers}")
    chunks, reader = _Chunks(indices, batch_size), _Reader(source, preprocessing)
    return _from_workers(chunks, reader, workers) if workers else _from_here(chunks, reader)


@dataclass(frozen=True)
class _Chunks:
    indices: Indices
    size: int

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        for start in range(0, len(self.indices), self.size):
            yield tuple(int(index) for index in self.indices[start : start + self.size])


@dataclass(frozen=True)
class _Reader:
    """Batches as a Dataset: its index is the ids of a batch."""

    source: ImageSource
    preprocessing: Preprocessing

    def __getitem__(self, ids: tuple[int, ...]) -> Batch:
        good: list[int] = []
        problems: list[tuple[int, str]] = []
        pixels = np.empty((len(ids), *self.preprocessing.input_size, self.preprocessing.channel_count), np.uint8)
        for index in ids:
            try:
                pixels[len(good)] = fit(self.source.load(index), self.preprocessing)
            except BadImages as problem:
                problems.append((index, str(problem)))
            else:
                good.append(index)
        return Batch(tuple(good), pixels[: len(good)], tuple(problems))


def _from_here(chunks: _Chunks, reader: _Reader) -> Generator[Batch, None, None]:
    for ids in chunks:
        yield reader[ids]


def _from_workers(chunks: _Chunks, reader: _Reader, workers: int) -> Generator[Batch, None, None]:
    from torch import Generator as RandomNumbers
    from torch.utils.data import DataLoader

    with _without_interrupts(), warnings.catch_warnings():
        # Python warns of forking beside threads (torch has some), torch of more workers than cores. The workers run
        # neither torch nor anything else that those threads may have locked.
        warnings.simplefilter("ignore")
        loader = DataLoader[Any](
            cast(Any, reader),
            batch_size=None,
            sampler=chunks,
            collate_fn=_as_it_is,
            num_workers=workers,
            multiprocessing_context=START,
            # Its own, for it draws a seed: the user's random numbers stay where they are.
            generator=RandomNumbers(),
        )
        batches: Any = iter(loader)
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).splitlines()[0].rstrip(". ")
        raise FilterscopeError(
            f"a process that decodes images died ({reason}), perhaps for want of memory; use fewer workers, or 0"
        ) from error
    finally:
        # It would do so itself when forgotten; but an exception that somebody keeps would keep it too.
        batches._shutdown_workers()


def _as_it_is(batch: Any) -> Any:
    """Stay NumPy: tensors would travel through /dev/shm, of which containers have little."""
    return batch


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach; the one that reads gets it (afterwards) and ends its workers itself.

    A terminal sends it to all of them, but the reader may want to finish what it is at, and needs its workers for it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
