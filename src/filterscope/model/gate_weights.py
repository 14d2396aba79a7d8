"""From gates to the affine map that the gated network is: two roads to W, and b."""

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.lib.format import open_memmap
from torch import Tensor

from filterscope.errors import FilterscopeError
from filterscope.model.gates import Gates, record, replay
from filterscope.model.tap import Outputs

Select = Callable[[Outputs], Tensor]
"""From what the layers put out for images to the numbers that are explained, (image, output)."""

MEMORY_LIMIT = 512 * 2**20
"""A larger W, in bytes, is written to disk as it is made."""


def bias_of(gates: Gates, select: Select) -> Float[Tensor, "output"]:
    """Give b, what the gated network answers to an image of zeros."""
    zeros = torch.zeros(gates.shape, dtype=_dtype(gates), device=_device(gates))
    return select(replay(gates, zeros))[0]


def rows_by_backward(
    gates: Gates, select: Select, image: Float[Tensor, "1 channel height width"], batch: int
) -> Iterator[tuple[int, Float[Tensor, "row channel height width"]]]:
    """Give W row by row, one backward pass through the gated network for each output, ``batch`` of them at once.

    Where on the line the derivative is taken does not matter: the map is affine.
    """
    x = image.detach().clone().requires_grad_()
    with torch.enable_grad():
        outputs = select(replay(gates, x))[0]
    one_hot = torch.eye(len(outputs), dtype=outputs.dtype, device=outputs.device) if len(outputs) <= batch else None
    for first in range(0, len(outputs), batch):
        last = min(first + batch, len(outputs))
        seeds = one_hot
        if seeds is None:
            seeds = torch.zeros(last - first, len(outputs), dtype=outputs.dtype, device=outputs.device)
            seeds[torch.arange(last - first), torch.arange(first, last)] = 1
        yield first, _gradients(outputs, x, seeds)


def _gradients(outputs: Tensor, x: Tensor, seeds: Tensor) -> Tensor:
    with warnings.catch_warnings():
        # An operation that cannot be batched is done one by one: slower, not different.
        warnings.simplefilter("ignore")
        try:
            (rows,) = torch.autograd.grad(outputs, x, seeds, retain_graph=True, is_grads_batched=True)
        except RuntimeError:
            rows = torch.cat([torch.autograd.grad(outputs, x, seed, retain_graph=True)[0][None] for seed in seeds])
    return rows[:, 0]


def columns_by_probing(
    gates: Gates, select: Select, image: Float[Tensor, "1 channel height width"], batch: int
) -> Iterator[tuple[int, Float[Tensor, "output column"]]]:
    """Give W column by column: the answer of the gated network to one pixel of one, minus that to none.

    The pixels, one at a time, are an orthonormal set of inputs. One forward pass for each pixel and channel: for small
    images, and as a check of the other road that needs no derivative.
    """
    copies = image.expand(batch, -1, -1, -1)
    # Gates belong to the images of a batch: a batch of probes needs the image's gates as often.
    many = record(gates.module, copies, gates.layers, calls=gates.calls)
    without = select(replay(many, torch.zeros_like(copies)))
    for first in range(0, image.numel(), batch):
        count = min(batch, image.numel() - first)
        probes = torch.zeros(batch, image.numel(), dtype=image.dtype, device=image.device)
        probes[torch.arange(count), torch.arange(first, first + count)] = 1
        answers = select(replay(many, probes.view(copies.shape))) - without
        yield first, answers[:count].T


class Store:
    """Where W is put together: in memory, or in a file if it is large or one is asked for.

    Args:
        shape: (output, channel, height, width).
        path: a ``.npy`` file to write; None: a temporary one if need be, removed when W is no longer in use.
    Raises:
        FilterscopeError: if the file is there already, or the disk has no room for it.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, path: Path | None, limit: int) -> None:
        self._shape = shape
        size = int(np.prod(shape)) * dtype.itemsize
        self._memory: Tensor | None = None
        self._path, self._temporary = path, path is None
        if path is None and size <= limit:
            self._memory = torch.empty(shape[0], int(np.prod(shape[1:])), dtype=dtype)
            return
        if dtype not in (torch.float32, torch.float64, torch.float16):
            raise FilterscopeError(f"W of {dtype} cannot be written to disk; use the network in float32")
        if path is not None and path.exists():
            raise FilterscopeError(f"{str(path)!r} is there already; give another path for W")
        folder = Path(tempfile.gettempdir()) if path is None else path.parent
        free = shutil.disk_usage(folder).free
        if size > free:
            raise FilterscopeError(
                f"W takes {size / 2**30:.1f} GiB and {str(folder)!r} has {free / 2**30:.1f} left; "
                "choose fewer units, or another path"
            )
        if path is None:
            with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
                self._path = Path(file.name)
        assert self._path is not None
        rows = (shape[0], int(np.prod(shape[1:])))
        try:
            open_memmap(self._path, "w+", dtype=torch.empty(0, dtype=dtype).numpy().dtype, shape=rows).flush()
        except OSError as error:
            raise FilterscopeError(f"cannot write W to {str(self._path)!r}: {error.strerror}") from error

    def put_rows(self, first: int, rows: Tensor) -> None:
        """Put all of some outputs."""
        self._put(slice(first, first + len(rows)), slice(None), rows.flatten(1))

    def put_columns(self, first: int, columns: Tensor) -> None:
        """Put some pixels of all outputs."""
        self._put(slice(None), slice(first, first + columns.shape[1]), columns)

    def _put(self, rows: slice, columns: slice, values: Tensor) -> None:
        if self._memory is not None:
            self._memory[rows, columns] = values.to("cpu")
            return
        assert self._path is not None
        # Mapped anew each time: pages that were written do not stay in this process's memory.
        mapped = open_memmap(self._path, "r+")
        mapped[rows, columns] = values.to("cpu").numpy()
        mapped.flush()

    def finish(self) -> Float[Tensor, "output channel height width"]:
        """Give W. One that lies on disk is read as it is used; what is written into it stays in memory."""
        if self._memory is not None:
            return self._memory.view(self._shape)
        assert self._path is not None
        mapped = open_memmap(self._path, "c")
        weight = torch.from_numpy(np.asarray(mapped))
        if self._temporary:
            weakref.finalize(mapped, self._path.unlink, missing_ok=True)
        return weight.view(self._shape)


def _dtype(gates: Gates) -> torch.dtype:
    return next(iter(_tensors(gates))).dtype


def _device(gates: Gates) -> torch.device:
    return next(iter(_tensors(gates))).device


def _tensors(gates: Gates) -> Iterator[Tensor]:
    for output in gates.outputs.values():
        yield output if isinstance(output, Tensor) else output[0]
