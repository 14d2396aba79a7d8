"""Drawn scenes as images: what a network is shown where there are no photographs."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8

from filterscope.images.digest import digest_of
from filterscope.images.stimuli.canvas import Size


@dataclass(frozen=True)
class Scenes:
    """So many scenes of one size, drawn when they are first asked for.

    Args:
        size: (height, width) in pixels.
        count: how many.
        seed: another one gives other scenes.
        colour: whether they have colours.
        channels: 3, or of inputs that are no pictures as many as they have, all alike.
    """

    size: Size
    count: int
    seed: int = 0
    colour: bool = True
    channels: int = field(default=3, repr=False)

    labels = ()

    @property
    def digest(self) -> str:
        """Of what they are drawn from."""
        return digest_of([repr(self).encode()])

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """The scene's number."""
        return f"scene {index}"

    def label(self, index: int) -> str | None:
        """None: scenes have no classes."""
        return None

    def load(self, index: int) -> UInt8[np.ndarray, "height width channel"]:
        """The scene."""
        scene = drawn(self)[index]
        return scene if self.channels == 3 else np.repeat(scene[..., :1], self.channels, axis=2)


@lru_cache(maxsize=2)
def drawn(of: Scenes) -> tuple[UInt8[np.ndarray, "height width 3"], ...]:
    """All of the scenes."""
    from filterscope.images.stimuli.scenes import scenes

    return tuple(scenes(of.size, of.count, seed=of.seed, colour=of.colour))
