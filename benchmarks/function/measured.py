"""What the lenses say of units whose function is known: measured once a network, and kept in an atlas."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from constructed import Constructed, Truth
from jaxtyping import Float
from numpy.typing import NDArray

import filterscope as fs
from filterscope.atlas.records import Perturbation, Tuning
from filterscope.findings.behaviour import Behaviour, behaviour
from filterscope.lenses import Lens, Perturbations, TuningCurves

CROPS, SCENES = 96, 384
"""Parts of images, and the drawn scenes they are chosen from: half of what the lens takes by itself, to save time."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Units and their statistics, in the same order."""

    networks: tuple[str, ...]
    truths: tuple[Truth, ...]
    behaviour: Behaviour

    def where(self, chosen: NDArray[np.integer[Any]]) -> "Measured":
        """Some of the units."""
        own = self.behaviour
        some = Behaviour(own.values[chosen], own.drawn[:, chosen], own.fires[chosen])
        return Measured(
            tuple(self.networks[index] for index in chosen), tuple(self.truths[index] for index in chosen), some
        )


def measured(
    one: Constructed, folder: Path, *, images: Any = None, seed: int = 0, draws: int = 200, truths: Sequence[Truth] = ()
) -> Measured:
    """Look at a network through the lenses, or take what an earlier call kept in ``folder``."""
    truths = tuple(truths or one.truths)
    names = list(dict.fromkeys(truth.layer for truth in truths))
    lenses: list[Lens | str] = [TuningCurves(), Perturbations(crops=CROPS, scenes=SCENES, seed=seed, strips=False)]
    pictures = "scenes" if images is None else "images"
    out = folder / f"{one.name.replace(', ', '-').replace(' ', '_')}-{one.network.digest[:12]}-{pictures}{seed}.atlas"
    atlas = fs.inspect(one.network, images, out=out, layers=names, lenses=lenses)
    channels = {layer.name: layer.channels for layer in one.network.layers()}
    found = {
        name: behaviour(
            channels[name],
            atlas.records(Perturbation, layer=name),
            atlas.records(Tuning, layer=name),
            draws=draws,
        )
        for name in names
    }
    rows = [(found[truth.layer], truth.unit) for truth in truths]
    return Measured(
        tuple(one.name for _ in truths),
        truths,
        Behaviour(
            np.stack([own.values[unit] for own, unit in rows]),
            np.stack([own.drawn[:, unit] for own, unit in rows], 1),
            np.array([own.fires[unit] for own, unit in rows]),
        ),
    )


def joined(parts: Sequence[Measured]) -> Measured:
    """The units of several networks."""
    return Measured(
        tuple(name for part in parts for name in part.networks),
        tuple(truth for part in parts for truth in part.truths),
        Behaviour(
            np.concatenate([part.behaviour.values for part in parts]),
            np.concatenate([part.behaviour.drawn for part in parts], 1),
            np.concatenate([part.behaviour.fires for part in parts]),
        ),
    )


def targets(truths: Sequence[Truth], classes: Sequence[str]) -> Float[np.ndarray, "unit label"]:
    """The shares of every unit."""
    return np.array([[truth.shares.get(name, 0.0) for name in classes] for truth in truths])
