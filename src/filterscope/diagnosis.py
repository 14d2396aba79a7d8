"""Diagnosis: which filters are good or bad, too many or too few, and why a network overfits, in one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filterscope.atlas import Atlas
from filterscope.atlas.diagnosis import Finding
from filterscope.engines import Engine
from filterscope.findings.generalisation.lens import Generalisation
from filterscope.images import open_images
from filterscope.inspection import Watcher, inspect
from filterscope.lenses import Lens
from filterscope.model import Network, load
from filterscope.report.verdicts import WARNING, Verdict, verdicts

WITHOUT_IMAGES = ("redundancy", "families")
WITH_IMAGES = ("patches", "moments", "redundancy", "families", "capacity")


@dataclass(frozen=True)
class Diagnosis:
    """What was found: ``verdicts`` worst first, and the atlas with every finding and what it rests on."""

    atlas: Atlas
    verdicts: tuple[Verdict, ...]

    def __str__(self) -> str:
        return "\n".join(("! " if one.level == WARNING else "  ") + one.claim for one in self.verdicts)

    def findings(self, kind: str | None = None) -> list[Finding]:
        """Every finding, or those of a kind."""
        every = [one for verdict in self.verdicts for one in verdict.findings]
        return [one for one in every if kind in (None, one.kind)]


def diagnose(
    network: Network | str | Path,
    images: Any = None,
    train: Any = None,
    out: str | Path = "network.atlas",
    *,
    layers: Sequence[str] | None = None,
    engine: Engine | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    force: bool = False,
    watcher: Watcher | None = None,
) -> Diagnosis:
    """Say which filters are dead, repeated, too many or too few, and with training images why the network overfits.

    An atlas that was made before of the same network and images is gone on with: what it has is not looked for again,
    and optima in it are used. Without images only what follows from the weights is said.

    Args:
        network: a network, or what :func:`filterscope.load` takes; it is left as it was.
        images: validation images, see :func:`filterscope.open_images`; what needs labels is left out without them.
        train: training images, or some of them.
        out: the folder of the atlas.
        layers: names or patterns of layers; None: every convolution.
        engine: where the tasks run; None: in this process.
        batch_size: images at a time; None: chosen for the network's device.
        workers: processes that decode images; None: chosen for the images and this machine.
        force: begin the atlas anew, whatever it is of.
        watcher: is told about the progress.
    Raises:
        FilterscopeError: with one line on what cannot be used.
    Example:
        >>> import filterscope as fs
        >>> print(fs.diagnose("demo", "photos/", out="demo.atlas"))  # doctest: +SKIP
    """
    network = network if isinstance(network, Network) else load(network)
    # Opened once for both: an iterable can be read only once.
    source = None if images is None else open_images(images, classes=network.classes or None)
    names = WITHOUT_IMAGES if source is None else WITH_IMAGES
    lenses: list[Lens | str] = list(names)
    if train is not None:
        lenses.append(Generalisation(train=open_images(train, classes=network.classes or None)))
    atlas = inspect(
        network,
        images if isinstance(images, str | Path) else source,
        out,
        layers=layers,
        lenses=lenses,
        engine=engine,
        batch_size=batch_size,
        workers=workers,
        force=force,
        watcher=watcher,
    )
    return Diagnosis(atlas, tuple(verdicts(atlas)))
