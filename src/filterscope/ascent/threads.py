"""How many threads a step is worth: small images on many threads wait for each other longer than they work."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PIXELS_A_THREAD = 2**16
"""Pixels of a batch that keep a thread busy. Measured on two shared cores, 16 images of up to 64 pixels a side: with
two threads the sweep over the demo network took 4 times the processor time of one, and 4 times as long."""


@contextmanager
def worthwhile_threads(pixels: int) -> Iterator[None]:
    """Inside the block PyTorch uses no more threads than ``pixels`` (of a whole batch) keep busy, and at least one.

    The number is PyTorch's own for the whole process, and is set back afterwards.
    """
    before = torch.get_num_threads()
    wanted = max(1, min(before, round(pixels / PIXELS_A_THREAD)))
    if wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
