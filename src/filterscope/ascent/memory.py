"""How many images ascend at once, and how the memory of their steps is kept from the operating system's hands."""

import ctypes
import ctypes.util
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import torch
from torch import Tensor

from filterscope.atlas.records import Pair
from filterscope.errors import FilterscopeError

SLOTS = {"cpu": 16}
SLOTS_ELSEWHERE = 128
"""Images at a time where memory is no concern. On a CPU more are no faster."""

SHARE = 0.5
"""Of the memory that is free, what the steps may take."""


def slots_that_fit(step: Callable[[int], Tensor], device: torch.device, size: Pair) -> int:
    """How many images can ascend at once.

    Args:
        step: makes one forward pass of that many images and gives their scores.
        device: where.
        size: of an image, for the message.
    Raises:
        FilterscopeError: if not even one fits.
    """
    wanted = SLOTS.get(device.type, SLOTS_ELSEWHERE)
    needed = bytes_kept(step)
    free = free_memory(device)
    # Gradients and what an operation needs while it runs come on top: as much again.
    fitting = int(SHARE * free / max(2 * needed, 1))
    if fitting < 1:
        raise FilterscopeError(
            f"one image of {size[0]} x {size[1]} needs about {2 * needed / 2**30:.1f} GB for a step and {device} has "
            f"{free / 2**30:.1f} GB free; choose a smaller input size, an earlier layer or another --device"
        )
    return min(wanted, fitting)


def pixels_at_once(device: torch.device, size: Pair, images: int) -> int:
    """Pixels of a full batch where memory is no concern."""
    return min(images, SLOTS.get(device.type, SLOTS_ELSEWHERE)) * size[0] * size[1]


def bytes_kept(step: Callable[[int], Tensor]) -> int:
    """Bytes that a forward pass of one image keeps for its gradient, weights not counted."""
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        # A leaf is a weight, or the image.
        if not tensor.is_leaf:
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step(1)
    return sum(seen.values())


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on ``device``."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's `mallopt`, from malloc.h."""
DYNAMIC_LIMIT = 32 * 2**20
"""The largest threshold that glibc chooses by itself (DEFAULT_MMAP_THRESHOLD_MAX on 64-bit machines)."""


@contextmanager
def memory_kept() -> Iterator[None]:
    """Inside the block the C library keeps freed memory for the next step, where it is glibc.

    Without it glibc hands blocks of some megabytes back to the kernel at every step, and their page faults cost up to
    half of the time. After the block the thresholds are those that glibc chooses by itself in a program that has once
    freed a block of 32 MB, which any program with a network soon has, and the memory kept is given back.
    """
    libc = glibc()
    if libc is None:
        yield
        return
    libc.mallopt(M_MMAP_THRESHOLD, 2**30)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, DYNAMIC_LIMIT)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * DYNAMIC_LIMIT)
        libc.malloc_trim(0)


def glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc."""
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)
