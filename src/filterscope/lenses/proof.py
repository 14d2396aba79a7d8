"""The proof of a reconstruction: how far W x + b is from the network, measured in two precisions and elsewhere."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from filterscope.errors import BadModel
from filterscope.lenses.goal import Goal
from filterscope.model import Gates, Outputs, record, replay, tap
from filterscope.model.gate_weights import bias_of, rows_by_backward
from filterscope.model.running import copied

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Largest difference, relative to the largest output, that counts as equal."""

COARSE = 0.05
"""The same for float16 and bfloat16."""

PROVEN = 8
"""So many outputs' W is computed in float64 as well, evenly spread over all of them."""

CHANGED = 0.01
"""A slope that differs by more between two precisions is a gate that flipped."""


@dataclass(frozen=True)
class Proof:
    """How far the reconstruction is from the network, measured; differences are relative to the largest output.

    ``table`` has a row for each output: the network's answer and W x + b, in the network's own precision; and both in
    float64 (NaN where W was not computed in float64).
    """

    table: pd.DataFrame = field(repr=False)
    precision: str
    absolute: float
    relative: float
    absolute64: float
    relative64: float
    gated64: float
    """The network and its gated self on the image, all outputs, in float64."""
    gates: int
    """How many single ReLUs and their like there are."""
    near_zero: int
    """How many of them sit so near zero that rounding could flip them."""
    flipped: int
    """How many of them are different in float64."""
    elsewhere64: float
    """W x + b and the gated network on other images, in float64: an affine map is the same everywhere."""
    original_elsewhere64: float
    """W x + b and the network itself on the same images: only a network that is affine agrees."""
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether W x + b is the network on its image, and the gated network everywhere."""
        exact = TOLERANCE[torch.float64]
        # Each for itself: the largest of some numbers and a NaN may be one of the numbers.
        differences64 = (self.relative64, self.gated64, self.elsewhere64)
        return self.relative <= self.tolerance and all(value <= exact for value in differences64)

    def figures(self) -> dict[str, Any]:
        """Everything but the table, as JSON takes it: a value that is not finite is null."""
        found: dict[str, Any] = {"ok": self.ok, "tolerance64": TOLERANCE[torch.float64]}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name != "table":
                found[one.name] = None if isinstance(value, float) and not math.isfinite(value) else value
        return found

    def __str__(self) -> str:
        return told(self.figures())


def told(figures: dict[str, Any]) -> str:
    """The figures of a proof in three lines."""

    def short(name: str) -> str:
        return "not finite" if figures[name] is None else f"{figures[name]:.2g}"

    return "\n".join(
        (
            f"W x + b and the network: largest relative difference {short('relative')} in {figures['precision']}, "
            f"{short('relative64')} in float64: {'equal' if figures['ok'] else 'NOT EQUAL'}",
            f"gates: {figures['gates']:,}, of them {figures['near_zero']:,} near zero, "
            f"{figures['flipped']:,} different in float64",
            f"on other images: {short('elsewhere64')} from the gated network, "
            f"{short('original_elsewhere64')} from the network itself",
        )
    )


def proof_of(
    module: nn.Module,
    goal: Goal,
    model: Callable[[Tensor], Tensor],
    x: Float[Tensor, "1 channel height width"],
    batch: int,
) -> Proof:
    """Measure a reconstruction against the network itself, which runs as ever.

    Args:
        module: the network's module; it is left as it was.
        goal: what was reconstructed.
        model: W x + b, on the CPU.
        x: the image.
        batch: so many outputs at once.
    Raises:
        BadModel: if the network cannot be copied for float64.
    """
    gates = goal.gates
    original = goal.select(_plain(module, gates, x))[0].cpu().double()
    reconstructed = model(x.cpu())[0].double()
    exact = _double(module)
    x64 = x.double()
    gates64 = record(exact, x64, gates.layers, calls=gates.calls)
    original64 = goal.select(_plain(exact, gates, x64))[0]
    gated64 = goal.select(replay(gates64, x64))[0]
    count = len(goal.names)
    few = min(PROVEN, count)
    some = [round(step * (count - 1) / max(few - 1, 1)) for step in range(few)]

    def select(outputs: Outputs) -> Tensor:
        return goal.select(outputs)[:, some]

    weight = torch.cat([rows for _, rows in rows_by_backward(gates64, select, x64, batch)]).flatten(1)
    bias = bias_of(gates64, select)

    def affine(images: Tensor) -> Tensor:
        return torch.nn.functional.linear(images.flatten(1), weight, bias)

    reconstructed64 = affine(x64)[0]
    others = _others(x64)
    there = affine(torch.cat(others))
    gated = torch.cat([select(replay(gates64, other)) for other in others])
    itself = torch.cat([select(_plain(exact, gates, other)) for other in others])
    absolute, relative = difference(reconstructed, original)
    absolute64, relative64 = difference(reconstructed64, original64[some])
    spread = torch.full_like(original64, torch.nan)
    spread[some] = reconstructed64
    columns = {
        "original": original.numpy(),
        "reconstructed": reconstructed.numpy(),
        "original64": original64.cpu().numpy(),
        "reconstructed64": spread.cpu().numpy(),
    }
    return Proof(
        table=pd.DataFrame(columns, index=pd.Index(goal.names, name="output")),
        precision=str(x.dtype).removeprefix("torch."),
        absolute=absolute,
        relative=relative,
        absolute64=absolute64,
        relative64=relative64,
        gated64=difference(gated64, original64)[1],
        gates=gates.count,
        near_zero=gates.near_zero,
        flipped=_flipped(gates, gates64),
        elsewhere64=difference(there, gated)[1],
        original_elsewhere64=difference(there, itself)[1],
        tolerance=TOLERANCE.get(x.dtype, COARSE),
    )


def difference(given: Tensor, wanted: Tensor) -> tuple[float, float]:
    """The largest absolute difference, and the same relative to the largest value that is wanted.

    Relative to each value for itself it would say nothing where a value is near zero.
    """
    absolute = float((given - wanted).abs().max())
    largest = float(wanted.abs().max())
    return absolute, absolute / largest if largest else absolute


def _plain(module: nn.Module, gates: Gates, x: Tensor) -> Outputs:
    """What the network itself puts out."""
    with torch.no_grad(), tap(module, gates.layers, stop=gates.calls is not None, calls=gates.calls) as read:
        return read(x)


def _double(module: nn.Module) -> nn.Module:
    """A copy in float64, or the module itself if it is."""
    own = [*module.parameters(), *module.buffers()]
    if all(tensor.dtype == torch.float64 for tensor in own if tensor.is_floating_point()):
        return module
    try:
        return copied(module).double()
    except BadModel as error:
        raise BadModel(f"{error}; the proof needs a copy in float64: use prove=False") from error


def _others(x: Tensor) -> list[Tensor]:
    """Images that the gates were not made for: the same one mirrored and darkened, and noise."""
    noise = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0)).to(x.device)
    return [0.7 * x.flip(-1), noise]


def _flipped(gates: Gates, gates64: Gates) -> int:
    pairs = zip(gates.rectifiers, gates64.rectifiers, strict=True)
    return sum(int(((one.slope.double() - two.slope.double()).abs() > CHANGED).sum()) for one, two in pairs)
