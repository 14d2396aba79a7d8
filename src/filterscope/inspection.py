"""Which lenses over which layers: their tasks go to an engine, their results to the atlas."""

import importlib.metadata
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from filterscope.atlas import Atlas, Identity, Ledger, open_ledger
from filterscope.atlas.records import Layer
from filterscope.atlas.work import Result, Task
from filterscope.engines import Engine, LocalEngine
from filterscope.errors import BadImages, UnknownName
from filterscope.findings.capacity import Capacity
from filterscope.findings.families import Families
from filterscope.findings.functions import Functions
from filterscope.findings.generalisation.lens import Generalisation
from filterscope.findings.redundancy import Redundancy
from filterscope.images import ImageSource, open_images
from filterscope.images.folder import Folder
from filterscope.lenses import (
    Activations,
    BackProjections,
    Classes,
    EffectiveKernels,
    Kernels,
    Lens,
    Moments,
    Optima,
    Patches,
    Perturbations,
    Stage,
    TuningCurves,
    Workbench,
    digest,
)
from filterscope.lenses.lens import no_pictures, nothing, settings_of, unknown
from filterscope.model import Network, load

LENSES: dict[str, type[Lens]] = {
    "kernels": Kernels,
    "patches": Patches,
    "backprojections": BackProjections,
    "effective_kernels": EffectiveKernels,
    "tuning": TuningCurves,
    "perturbations": Perturbations,
    "functions": Functions,
    "optima": Optima,
    "classes": Classes,
    "activations": Activations,
    "moments": Moments,
    "redundancy": Redundancy,
    "families": Families,
    "capacity": Capacity,
    "generalisation": Generalisation,
}
"""Every lens by its name, in the order in which they are used."""

DIAGNOSIS = ("moments", "redundancy", "families", "capacity", "generalisation")
"""Lenses that are used by `diagnose`, or when they are named."""

BATCH = {"cpu": 32}
BATCH_ELSEWHERE = 128
"""Images at a time. On a CPU larger batches are no faster, and push each other's activations out of the caches."""


@runtime_checkable
class Watcher(Protocol):
    """Is told how the work goes on."""

    def stage(self, title: str, unit: str, total: int, done: int) -> None:
        """A stage begins; ``done`` of its ``total`` units of work were done by an earlier run."""

    def advance(self, amount: int) -> None:
        """Some work has been done."""

    def finished(self, task: Task) -> None:
        """A task has been written to the atlas."""


class Nobody:
    """A watcher that does not look."""

    def stage(self, title: str, unit: str, total: int, done: int) -> None:
        """Not noted."""

    def advance(self, amount: int) -> None:
        """Not noted."""

    def finished(self, task: Task) -> None:
        """Not noted."""


def inspect(
    network: Network | str | Path,
    images: Any = None,
    out: str | Path = "network.atlas",
    *,
    layers: Sequence[str] | None = None,
    lenses: Sequence[Lens | str] | None = None,
    engine: Engine | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    force: bool = False,
    watcher: Watcher | None = None,
) -> Atlas:
    """Look at every unit of a network through the lenses, and keep what is seen in an atlas.

    An interrupted call goes on where it was when it is made again; a finished one does nothing.

    Args:
        network: a network, or what :func:`filterscope.load` takes.
        images: a folder, an ``.npz``, a torch Dataset or an iterable; see :func:`filterscope.images.open_images`.
            Without images only the lenses that need none are used.
        out: the folder of the atlas.
        layers: names or patterns (``features.*``) of layers; None: every convolution. Any module can be named.
        lenses: names or settings of lenses; None: all but those of a diagnosis (moments, redundancy,
            families, capacity, generalisation).
        engine: where the tasks run; None: in this process.
        batch_size: images at a time; None: chosen for the network's device.
        workers: processes that decode images; None: chosen for the images and this machine.
        force: begin the atlas anew, whatever it is of; the old one is kept until the first result is written.
        watcher: is told about the progress.
    Returns:
        The atlas, open for reading.
    Raises:
        FilterscopeError: with one line on what cannot be used.
    """
    begun = time.monotonic()
    network = network if isinstance(network, Network) else load(network)
    source = None if images is None else open_images(images, classes=network.classes or None)
    chosen_lenses = choose_lenses(lenses, source)
    chosen = choose_layers(network, layers)
    identity = Identity(
        network.name or type(network.module).__name__,
        network.digest,
        None if source is None else str(images) if isinstance(images, str | Path) else type(images).__name__,
        None if source is None else source.digest,
    )
    watcher = watcher or Nobody()
    device = network.device.type
    bench = Workbench(
        network,
        source,
        batch_size or BATCH.get(device, BATCH_ELSEWHERE),
        choose_workers(source) if workers is None else workers,
        watcher.advance,
    )
    with open_ledger(Path(out), identity, force=force) as ledger:
        settings = {
            lens.name: {**settings_of(lens), "layers": [layer.name for layer in chosen]} for lens in chosen_lenses
        }
        unfinished = [
            lens
            for lens in chosen_lenses
            if not ledger.begin_lens(lens.name, digest(settings[lens.name]), settings[lens.name])
        ]
        if unfinished:
            run = ledger.begin_run(identity, settings, versions())
            ledger.write(*chosen, *network.graph())
            look = Look(
                ledger,
                engine or LocalEngine(),
                replace(
                    bench,
                    found=ledger.records,
                    settings=ledger.settings,
                    pictures=lambda records: Atlas(out).tiles(records),
                ),
                watcher,
            )
            for lens in unfinished:
                look.through(lens, chosen)
            ledger.finish_run(run, time.monotonic() - begun)
    return Atlas(out)


@dataclass(frozen=True)
class TimedWork:
    """What an engine applies to a task: do it on the workbench, and say how long it took."""

    bench: Workbench

    def __call__(self, task: Task) -> tuple[Result, float]:
        """The result, and seconds."""
        begun = time.monotonic()
        return task.work(self.bench), time.monotonic() - begun


@dataclass(frozen=True)
class Look:
    """A run of lenses over layers: the one place where tasks meet the engine and the ledger."""

    ledger: Ledger
    engine: Engine
    bench: Workbench
    watcher: Watcher

    def through(self, lens: Lens, layers: Sequence[Layer]) -> None:
        """Do what is left to do for one lens."""
        stages = lens.stages(self.bench, layers)
        stage = next(stages, None)
        while stage is not None:
            folded = self.run(stage)
            try:
                stage = stages.send(folded)
            except StopIteration:
                stage = None
        self.ledger.finish_lens(lens.name)

    def run(self, stage: Stage) -> bytes | None:
        """Run a stage's open tasks and write each as it comes; returns the folded partial result."""
        done = [task for task in stage.tasks if self.ledger.done(task)]
        written = {task.digest for task in done}
        left = [task for task in stage.tasks if task.digest not in written]
        total = sum(task.size for task in stage.tasks)
        self.watcher.stage(stage.title, stage.unit, total, sum(task.size for task in done))
        previous = done[-1] if done else None
        folded = self.ledger.partial(previous.digest) if previous else None
        work = TimedWork(replace(self.bench, found=nothing, settings=unknown, pictures=no_pictures))
        for task, (result, seconds) in self.engine.run(self.ready(left), work):
            if stage.fold and folded is not None and result.partial is not None:
                result = replace(result, partial=stage.fold(folded, result.partial))
            over = (previous.digest,) if stage.fold and previous else task.needs
            self.ledger.commit(task, result, seconds, instead_of=over)
            previous, folded = task, result.partial
            self.watcher.finished(task)
        return folded

    def ready(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """Give each task the partial results that it needs, when its turn comes and not before."""
        for task in tasks:
            if task.needs:
                task = replace(task, work=partial(task.work, before=[self.ledger.partial(one) for one in task.needs]))
            yield task


def usual(*, with_images: bool) -> list[str]:
    """The lenses that are used when none is named: all that can be, but those of a diagnosis."""
    every = [kind() for name, kind in LENSES.items() if name not in DIAGNOSIS]
    return [lens.name for lens in every if with_images or not lens.needs_images]


def choose_lenses(lenses: Sequence[Lens | str] | None, source: ImageSource | None) -> list[Lens]:
    """The lenses named, with their default settings; None: the usual ones that can be used.

    Raises:
        UnknownName: for a name that is no lens.
        BadImages: if a lens that was named needs images and there are none.
    """
    if lenses is None:
        return [LENSES[name]() for name in usual(with_images=source is not None)]
    chosen = []
    for lens in lenses:
        if isinstance(lens, str):
            if lens not in LENSES:
                raise UnknownName.of("lens", lens, LENSES, f"there are: {', '.join(LENSES)}")
            lens = LENSES[lens]()
        if lens.needs_images and source is None:
            raise BadImages(f"the lens '{lens.name}' looks at images; give some with --images DIR")
        chosen.append(lens)
    return chosen


def choose_layers(network: Network, patterns: Sequence[str] | None) -> list[Layer]:
    """The convolutions, or the layers that names and patterns choose, in execution order.

    Raises:
        UnknownName: for a name or pattern that fits nothing.
    """
    if patterns is None:
        return network.layers()
    every = network.layers() if network.has_convolution else []
    chosen = {}
    for pattern in patterns:
        if not pattern:
            raise UnknownName("no layer ''; list them with: filterscope layers MODEL")
        found = [layer for layer in every if fnmatchcase(layer.name, pattern)] or [network.layer(pattern)]
        chosen.update({layer.name: layer for layer in found})
    return sorted(chosen.values(), key=lambda layer: layer.position)


def choose_workers(source: ImageSource | None) -> int:
    """Decoding processes: a quarter of the processors where files are decoded, none where arrays are only sliced.

    Decoding a photograph takes a tenth of a light network's time, starting the processes some tenths of a second.
    """
    return min(8, (os.cpu_count() or 1) // 4) if isinstance(source, Folder) else 0


def versions() -> dict[str, str]:
    """The versions that can change a result."""
    return {
        name: importlib.metadata.version(name) for name in ("filterscope", "torch", "torchvision", "numpy", "pillow")
    }
