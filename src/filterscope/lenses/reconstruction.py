"""The network as it is for one image: the affine model W x + b, and the proof that it is equal."""

import base64
import copy
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from filterscope.ascent.objectives import class_number
from filterscope.errors import BadImages, BadModel, FilterscopeError, UnknownName
from filterscope.images import Preprocessing, decode, fit
from filterscope.images.tensors import normalise
from filterscope.model import Gates, Network, Outputs, load, record, replay, tap
from filterscope.model.gate_weights import MEMORY_LIMIT, Select, Store, bias_of, columns_by_probing, rows_by_backward
from filterscope.model.gates import WHOLE
from filterscope.model.layers import units_last
from filterscope.model.running import one_line

Position = Literal["max", "centre", "mean"] | tuple[int, int]
"""Where a unit that has a map is explained: its largest value, the middle, the mean over the map, or (row, column)."""

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Largest difference, relative to the largest output, that counts as equal."""

COARSE = 0.05
"""The same for float16 and bfloat16."""

PROVEN = 8
"""So many outputs' W is computed in float64 as well, evenly spread over all of them."""

CHANGED = 0.01
"""A slope that differs by more between two precisions is a gate that flipped."""

SHOWN = 5
"""Outputs shown in a notebook."""


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
        return self.relative <= self.tolerance and max(self.relative64, self.gated64, self.elsewhere64) <= exact

    def __str__(self) -> str:
        return "\n".join(
            (
                f"W x + b and the network: largest relative difference {self.relative:.2g} in {self.precision}, "
                f"{self.relative64:.2g} in float64: {'equal' if self.ok else 'NOT EQUAL'}",
                f"gates: {self.gates:,}, of them {self.near_zero:,} near zero, {self.flipped:,} different in float64",
                f"on other images: {self.elsewhere64:.2g} from the gated network, "
                f"{self.original_elsewhere64:.2g} from the network itself",
            )
        )


class Reconstruction(nn.Module):
    """The affine model that equals the network on one image. It runs, and can be saved, without the network.

    W x + b takes what the network takes: preprocessed images. ``weight`` is therefore in output per unit of the
    normalised pixel; for output per grey level (0 to 255) multiply channel c with (high - low) / (255 std_c) of the
    preprocessing.
    """

    weight: Float[Tensor, "output channel height width"]
    bias: Float[Tensor, "output"]
    image: Float[Tensor, "channel height width"]

    def __init__(
        self,
        weight: Float[Tensor, "output channel height width"],
        bias: Float[Tensor, "output"],
        image: Float[Tensor, "channel height width"],
        names: Sequence[str],
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("image", image)
        self.names = tuple(names)
        self.positions: tuple[tuple[int, int] | None, ...] = (None,) * len(self.names)
        """(row, column) of each output on its layer's map; None: it has no map, or the mean was taken."""
        self._proof: Proof | None = None

    @property
    def proof(self) -> Proof:
        """The measured difference from the network.

        Raises:
            FilterscopeError: if it was made without one.
        """
        if self._proof is None:
            raise FilterscopeError("this reconstruction was made with prove=False; make it again without that")
        return self._proof

    def forward(self, images: Tensor) -> Float[Tensor, "image output"]:
        """W x + b of one preprocessed image (channel, height, width), or of a batch of them.

        Raises:
            BadImages: if the size is not that of the image that the model was made for.
        """
        if images.shape[-3:] != self.weight.shape[1:] or images.ndim not in (3, 4):
            wanted = " x ".join(map(str, self.weight.shape[1:]))
            raise BadImages(f"the reconstruction takes images of {wanted}, not {' x '.join(map(str, images.shape))}")
        images = images if images.ndim == 4 else images[None]
        return torch.nn.functional.linear(images.flatten(1), self.weight.flatten(1), self.bias)

    def evidence(self) -> Float[Tensor, "output channel height width"]:
        """W x, pixel by pixel: what each adds to the output. Its sum and the bias are the output."""
        return self.weight * self.image

    def share(self) -> pd.DataFrame:
        """How much of each output comes from W x, and how much from b."""
        from_pixels = self(self.image)[0] - self.bias
        columns = {"from_pixels": from_pixels.tolist(), "from_bias": self.bias.tolist()}
        return pd.DataFrame(columns, index=pd.Index(self.names, name="output"))

    def extra_repr(self) -> str:
        """What a module shows of itself."""
        return f"outputs={len(self.names)}, image={tuple(self.weight.shape[1:])}"

    def _repr_html_(self) -> str:
        strongest = torch.argsort(self(self.image)[0], descending=True)[:SHOWN].tolist()
        cells = []
        for number in strongest:
            for title, values in (("W", self.weight[number]), ("W x", self.weight[number] * self.image)):
                name = html.escape(f"{self.names[number]}: {title}")
                cells.append(f'<figure style="display:inline-block"><img alt="{name}" src="{_picture(values)}">')
                cells.append(f"<figcaption>{name}</figcaption></figure>")
        told = html.escape(str(self._proof)) if self._proof else "not proven"
        return f"<div>{''.join(cells)}<p>Red raises the output, blue lowers it; each picture has its own scale.</p>" + (
            f"<pre>{told}</pre></div>"
        )


def reconstruct(
    network: Network | nn.Module | str | Path,
    image: Any,
    layer: str | None = None,
    units: Iterable[int | str] | None = None,
    *,
    position: Position = "max",
    method: Literal["backward", "probing"] = "backward",
    batch: int = 8,
    path: str | Path | None = None,
    prove: bool = True,
) -> Reconstruction:
    """Make the affine model W x + b that the network is for one image.

    One forward pass records what the network decides for the image: the mask of every ReLU, the switches of every
    pooling, the value of every smooth gate. With these held fixed nothing but additions and multiplications by
    constants is left. W is read off either by one backward pass for each output or by probing with one pixel at a time;
    b is the gated network's answer to an image of zeros, so that W x + b = f(x) is a test.

    Args:
        network: a network, any module, or what :func:`filterscope.load` takes.
        image: a tensor (channel, height, width), or a batch of one, preprocessed as the network takes it; or a uint8
            array (height, width, channel), a Pillow image or the path of a file, which are preprocessed here.
        layer: a layer's name, or None for the network's own output. A convolution is read at its pre-activation.
        units: their indices, at the network's output also class names; None: all.
        position: of units that have a map: ``max`` (each unit's own largest value), ``centre``, ``mean`` over the map,
            or (row, column). Of a layer that is called several times the first call is explained.
        method: ``backward``, or ``probing`` (slow: a forward pass for each pixel; no derivative is used).
        batch: so many outputs, or probes, at once.
        path: a new ``.npy`` file for W, written as it is made. Without one a W of more than 512 MiB goes to a temporary
            file.
        prove: measure the difference from the network, in its own precision and in float64 (which takes a copy of it).
    Raises:
        BadModel: if something that the network does can be neither replayed nor shown to be affine: it is named.
        BadImages: for anything but one image of a size that the network takes, without NaN.
        UnknownName: if there is no such layer, unit or class.
        FilterscopeError: if there is no room for W on disk.
    Source: Srinivas, Fleuret (2019), arXiv:1905.00780, for networks of ReLUs; docs/explanation/reconstruction.md.
    """
    if method not in ("backward", "probing"):
        raise FilterscopeError(f"the method is backward or probing, not {method!r}")
    if batch < 1:
        raise FilterscopeError(f"a batch is at least 1, not {batch}")
    network = as_network(network, image)
    x = as_input(network, image)
    goal = _goal(network, x, layer, units, position)
    model = _affine(goal, x, method, batch, None if path is None else Path(path))
    if prove:
        model._proof = _prove(network.module, goal, model, x, batch)
    return model


def as_network(network: Network | nn.Module | str | Path, image: Any) -> Network:
    """A network of whatever was given; a bare module takes images as large as the one given."""
    if isinstance(network, Network):
        return network
    if isinstance(network, nn.Module):
        if not isinstance(image, Tensor) or image.ndim < 3:
            return Network(network)
        channels, height, width = image.shape[-3:]
        return Network(network, Preprocessing((height, width), (0.0,) * channels, (1.0,) * channels, channels=""))
    return load(network)


def as_input(network: Network, image: Any) -> Float[Tensor, "1 channel height width"]:
    """One image as the network takes it.

    Raises:
        BadImages: if it is none, or several, has other channels, or holds NaN.
    """
    if isinstance(image, (str, Path)):
        image = decode(image)
    if isinstance(image, Image.Image):
        image = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    if isinstance(image, np.ndarray):
        image = image[..., None] if image.ndim == 2 else image
        if image.dtype != np.uint8 or image.ndim != 3:
            raise BadImages(f"an image is bytes (height, width, channel), not {image.dtype} {image.shape}")
        fitted = np.ascontiguousarray(fit(image, network.preprocessing))
        return normalise(fitted[None], network.preprocessing, device=network.device, dtype=network.dtype)
    if not isinstance(image, Tensor) or not image.is_floating_point() or image.ndim not in (3, 4):
        what = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
        raise BadImages(f"an image is a preprocessed tensor (channel, height, width), pixels or a file, not {what}")
    if image.ndim == 4 and len(image) != 1:
        raise BadImages(f"one image is asked for, not a batch of {len(image)}; call this for each of them")
    x = image.detach().reshape(1, *image.shape[-3:]).to(network.device, network.dtype)
    if x.shape[1] != network.preprocessing.channel_count:
        raise BadImages(f"the image has {x.shape[1]} channels, the network takes {network.preprocessing.channel_count}")
    if not bool(torch.isfinite(x).all()):
        raise BadImages("the image holds values that are not finite (NaN or infinity); there is no model of it")
    return x


@dataclass(frozen=True)
class _Goal:
    """What is to be explained: some numbers of one layer's output, and the gates of the way to it."""

    gates: Gates
    select: Select
    names: tuple[str, ...]
    positions: tuple[tuple[int, int] | None, ...]


def _goal(
    network: Network, x: Tensor, layer: str | None, units: Iterable[int | str] | None, position: Position
) -> _Goal:
    described = None if layer is None else network.layer(layer)
    name = WHOLE if described is None else described.observed
    calls = None if described is None else {name: network.layer(name).calls}
    gates = record(network.module, x, [name], calls=calls)

    def maps(outputs: Outputs) -> Tensor:
        output = outputs[name]
        output = output if isinstance(output, Tensor) else output[0]
        return _as_map(output) if described is None else units_last(output, described)

    recorded = maps(gates.outputs)
    if recorded.ndim != 4 or len(recorded) != 1:
        raise BadModel(
            f"{layer or 'the network'!r} gives {tuple(recorded.shape)}, not units of one image; choose another"
        )
    chosen = _chosen(network, layer, units, recorded.shape[-1])
    places = _places(recorded[0][..., chosen], position)

    def select(outputs: Outputs) -> Tensor:
        picked = maps(outputs)[..., chosen].flatten(1, 2)
        return picked.mean(1) if places is None else picked[:, places, torch.arange(len(chosen))]

    height, width = recorded.shape[1:3]
    where = [None if height * width == 1 else divmod(place, width) for place in places or ()]
    names = tuple(_label(network, layer, unit) for unit in chosen)
    return _Goal(gates, select, names, tuple(where) or (None,) * len(chosen))


def _as_map(output: Tensor) -> Tensor:
    """The network's own output as (image, row, column, unit)."""
    if output.ndim < 2:
        raise BadModel(f"the network gives {tuple(output.shape)}, not (image, output); choose a layer")
    output = output.movedim(1, -1)
    return output[:, None, None] if output.ndim == 2 else output[:, None] if output.ndim == 3 else output


def _label(network: Network, layer: str | None, unit: int) -> str:
    if layer is not None:
        return f"{layer}:{unit}"
    return network.classes[unit] if unit < len(network.classes) else str(unit)


def _chosen(network: Network, layer: str | None, units: Iterable[int | str] | None, count: int) -> list[int]:
    """The units by number."""
    if units is None:
        return list(range(count))
    chosen = [class_number(network, unit) if layer is None else unit for unit in units]
    for unit in chosen:
        if not isinstance(unit, int) or isinstance(unit, bool) or not 0 <= unit < count:
            raise UnknownName(f"no unit {unit!r} of {layer or 'the output'!r}; it has the units 0 to {count - 1}")
    if not chosen:
        raise UnknownName("no unit was given; give their numbers, or None for all")
    return [int(unit) for unit in chosen]


def _places(values: Float[Tensor, "row column unit"], position: Position) -> list[int] | None:
    """Where each unit is explained, counted in reading order; None: the mean over all places."""
    height, width, units = values.shape
    if position == "mean":
        return None
    if position == "max":
        return [int(place) for place in values.flatten(0, 1).argmax(0)]
    if position == "centre":
        return [height // 2 * width + width // 2] * units
    if isinstance(position, str) or len(position) != 2:
        raise FilterscopeError(f"a position is max, centre, mean or (row, column), not {position!r}")
    row, column = position
    if not (0 <= row < height and 0 <= column < width):
        raise FilterscopeError(f"no position {position}; the map has rows 0 to {height - 1}, columns 0 to {width - 1}")
    return [row * width + column] * units


def _affine(goal: _Goal, x: Tensor, method: str, batch: int, path: Path | None) -> Reconstruction:
    """Make W and b."""
    store = Store((len(goal.names), *x.shape[1:]), x.dtype, path, MEMORY_LIMIT)
    if method == "backward":
        for first, rows in rows_by_backward(goal.gates, goal.select, x, batch):
            store.put_rows(first, rows)
    else:
        for first, columns in columns_by_probing(goal.gates, goal.select, x, batch):
            store.put_columns(first, columns)
    bias = bias_of(goal.gates, goal.select).cpu()
    model = Reconstruction(store.finish(), bias, x[0].cpu(), goal.names)
    model.positions = goal.positions
    return model


def _prove(module: nn.Module, goal: _Goal, model: Reconstruction, x: Tensor, batch: int) -> Proof:
    """Measure the reconstruction against the network itself, which runs as ever."""
    gates = goal.gates
    original = goal.select(_plain(module, gates, x))[0].cpu().double()
    reconstructed = model(x.cpu())[0].double()
    exact = _double(module)
    x64 = x.double()
    gates64 = record(exact, x64, gates.layers, calls=gates.calls)
    original64 = goal.select(_plain(exact, gates, x64))[0]
    gated64 = goal.select(replay(gates64, x64))[0]
    count = len(goal.names)
    some = sorted({round(step * (count - 1) / max(PROVEN - 1, 1)) for step in range(min(PROVEN, count))})

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
        return copy.deepcopy(module).double()
    except Exception as error:
        raise BadModel(
            f"the network cannot be copied for a proof in float64 ({one_line(error)}); use prove=False"
        ) from error


def _others(x: Tensor) -> list[Tensor]:
    """Images that the gates were not made for: the same one mirrored and darkened, and noise."""
    noise = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0)).to(x.device)
    return [0.7 * x.flip(-1), noise]


def _flipped(gates: Gates, gates64: Gates) -> int:
    pairs = zip(gates.rectifiers, gates64.rectifiers, strict=True)
    return sum(int(((one.slope.double() - two.slope.double()).abs() > CHANGED).sum()) for one, two in pairs)


def _picture(values: Float[Tensor, "channel height width"]) -> str:
    """The sum over the channels, red above zero and blue below, as a PNG to put into a page."""
    summed = values.double().sum(0)
    signed = (summed / summed.abs().max().clamp(min=torch.finfo(torch.float64).tiny)).numpy()
    faint = 1 - np.abs(signed)
    red, blue = np.where(signed > 0, 1.0, faint), np.where(signed < 0, 1.0, faint)
    pixels = (255 * np.stack([red, faint, blue], axis=-1)).astype(np.uint8)
    factor = max(1, 112 // max(pixels.shape[:2]))
    buffer = io.BytesIO()
    Image.fromarray(pixels.repeat(factor, 0).repeat(factor, 1)).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
