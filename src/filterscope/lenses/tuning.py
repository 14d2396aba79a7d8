"""The lens that shows drawn stimuli to all units at once and keeps their tuning curves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from filterscope.atlas.records import Layer, Pair, Tuning
from filterscope.atlas.work import Result, Task
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.stimuli import Stimulus, series
from filterscope.lenses.centre import Centre
from filterscope.lenses.lens import Stage, Stages, Workbench, digest
from filterscope.lenses.packing import packed, unpacked
from filterscope.lenses.patches import fields
from filterscope.lenses.tuning_curves import Curve, Responses, curves
from filterscope.model import Network

STIMULI_A_TASK = 512
"""What a run that is killed loses at most."""

NOTHING = 0.05
"""Share of a unit's largest response to anything, below which a curve has nothing to tell. Ten times what the rounding
of equally bright colours to bytes can do."""

SMALL = 64 * 64
"""Pixels of a stimulus that is kept once drawn: a series of such takes some 40 MB, and drawing it longer than a small
network takes to answer."""

ROUNDING = 1e-5
"""Share of a unit's largest value that the arithmetic of a network in float32 may be off by."""


@dataclass(frozen=True)
class TuningCurves:
    """What every unit answers to gratings, hues, edges, bars, corners, arcs and textures; needs no images.

    The same series is shown to all units of all layers: its cost does not depend on how many there are.
    """

    name: ClassVar[str] = "tuning"
    needs_images: ClassVar[bool] = False

    def stages(self, bench: Workbench, layers: Sequence[Layer]) -> Stages:
        """The series, some stimuli a task, and then the curves of all layers."""
        shown = shown_to(bench.network.preprocessing)
        facts = (bench.network.digest, self, list(layers), len(shown))
        parts = [
            Task(
                digest=digest("stimuli", *facts, first),
                lens=self.name,
                title=f"stimuli {first} to {min(first + STIMULI_A_TASK, len(shown)) - 1}",
                work=ShowStimuli(tuple(layers), first, min(first + STIMULI_A_TASK, len(shown))),
                size=min(STIMULI_A_TASK, len(shown) - first),
            )
            for first in range(0, len(shown), STIMULI_A_TASK)
        ]
        last = Task(
            digest=digest("tuning curves", [part.digest for part in parts]),
            lens=self.name,
            title=f"tuning curves of {len(layers)} layers",
            work=FindCurves(tuple(layers)),
            size=0,
            needs=tuple(part.digest for part in parts),
        )
        yield Stage(f"tuning of {len(layers)} layers", "stimuli", [*parts, last])


def shown_to(preprocessing: Preprocessing) -> list[Stimulus]:
    """The series for a network: with colours where its channels are known to be red, green and blue."""
    return series(preprocessing.input_size, colour=preprocessing.channels in ("RGB", "BGR"))


def drawn(stimulus: Stimulus, size: Pair) -> UInt8[np.ndarray, "height width 3"]:
    """The stimulus; small ones are kept for the next network."""
    return kept(stimulus, size) if size[0] * size[1] <= SMALL else stimulus.draw(size)


@lru_cache(maxsize=8192)
def kept(stimulus: Stimulus, size: Pair) -> UInt8[np.ndarray, "height width 3"]:
    """The stimulus, drawn once."""
    return stimulus.draw(size)


def as_pixels(
    image: UInt8[np.ndarray, "height width 3"], preprocessing: Preprocessing
) -> UInt8[np.ndarray, "height width channel"]:
    """A stimulus in as many channels as the network takes; luminance is shown in all channels alike."""
    if preprocessing.channels in ("RGB", "BGR"):
        return image
    return np.repeat(image[..., :1], preprocessing.channel_count, axis=2)


@dataclass(frozen=True)
class ShowStimuli:
    """Show some of the series to all layers. Called with the workbench; its partial: (stimulus, unit) of each layer."""

    layers: tuple[Layer, ...]
    first: int
    stop: int

    def __call__(self, bench: Workbench) -> Result:
        """What every unit says in the middle of the image."""
        preprocessing = bench.network.preprocessing
        shown = shown_to(preprocessing)[self.first : self.stop]
        heard: list[list[NDArray[np.float32]]] = [[] for _ in self.layers]
        with Centre(bench, self.layers, preprocessing.input_size) as centre:
            for begin in range(0, len(shown), bench.batch_size):
                batch = shown[begin : begin + bench.batch_size]
                pixels = np.stack(
                    [as_pixels(drawn(stimulus, preprocessing.input_size), preprocessing) for stimulus in batch]
                )
                for parts, values in zip(heard, centre.hear(pixels), strict=True):
                    parts.append(values)
                bench.tick(len(batch))
        return Result(partial=packed({str(number): np.concatenate(parts) for number, parts in enumerate(heard)}))


@dataclass(frozen=True)
class FindCurves:
    """The curves of all units. Called with the workbench and what the stimuli gave."""

    layers: tuple[Layer, ...]

    def __call__(self, bench: Workbench, before: Sequence[bytes]) -> Result:
        """Records, layer by layer."""
        shown = shown_to(bench.network.preprocessing)
        parts = [unpacked(data) for data in before]
        records: list[Tuning] = []
        for number, layer in enumerate(self.layers):
            values = np.concatenate([part[str(number)] for part in parts])
            seen = shorter_side(bench.network, layer)
            responses = Responses(shown, values, seen)
            found = list(curves(responses))
            # A peak between two phases that were shown is a response as well.
            best = np.maximum.reduce([responses.best, *(curve.responses.max(0) for curve in found)])
            for curve in found:
                records += told(layer, curve, responses, best)
        return Result(tuple(records))


def shorter_side(network: Network, layer: Layer) -> int:
    """Of a layer's receptive field, in pixels; at most the image's."""
    size: Pair = network.preprocessing.input_size
    return min(
        extent if axis is None else min(axis.size, extent)
        for axis, extent in zip(fields(network, layer)[0], size, strict=True)
    )


def told(layer: Layer, curve: Curve, responses: Responses, largest: Float[np.ndarray, "unit"]) -> Iterator[Tuning]:
    """A curve of all units as records; ``largest`` is each unit's response to what it likes best."""
    # What no arithmetic can tell from zero. By each unit's own numbers: those of other channels may be of other sizes.
    nothing = ROUNDING * np.maximum(np.abs(responses.grey), np.abs(responses.values).max(0))
    for unit in range(responses.units):
        peak, best, noise = (float(one[unit]) for one in (curve.responses.max(0), largest, responses.noise))
        state = status(peak, best, noise, float(nothing[unit]))
        defined = state in ("clear", "weak")
        selectivity = float(curve.selectivity[unit])
        yield Tuning(
            layer=layer.name,
            unit=unit,
            of=curve.of,
            values=tuple(float(f"{value:.4g}") for value in curve.values[:, unit]),
            responses=curve.responses[:, unit].astype("<f4").tobytes(),
            preferred=float(curve.preferred[unit]) if defined else None,
            selectivity=selectivity if defined and np.isfinite(selectivity) else None,
            peak=peak,
            grey=float(responses.grey[unit]),
            noise=noise,
            best=best,
            status=state,
        )


def status(peak: float, best: float, noise: float, nothing: float) -> str:
    """How sure a curve is, from its largest response and those to anything and to noise."""
    if best <= nothing:
        return "silent"
    if peak <= NOTHING * best:
        return "none"
    return "weak" if peak <= noise else "clear"
