"""Activation maps: what every unit of a layer does with one image."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from filterscope.atlas.records import ActivationMap, Layer, Pair, Span
from filterscope.atlas.work import Card, Picture
from filterscope.errors import BadImages, FilterscopeError, UnknownName
from filterscope.images import decode, fit
from filterscope.images.pixels import pixels_of
from filterscope.images.preprocessing import Preprocessing
from filterscope.images.tensors import normalise
from filterscope.lenses.overlay import coloured, drawn, fitting, laid_over
from filterscope.lenses.tiles import enlarged, viewable
from filterscope.model import Network, load, tap
from filterscope.model.layers import units_last

LENS = "activations"
"""What the atlas calls the lens that keeps such maps, and files with them are named after."""

SCALES = ("unit", "layer")
"""What full colour may stand for: the largest absolute value of each unit's own map, or of all maps of the layer."""

SIDES = ((64, 128), (256, 96), (600, 72))
LEAST_SIDE = 56
"""Longer side of a picture on a sheet of at most so many units; of more units the least."""

ALONE = 96
"""Side of a map that is shown without the image."""

SINGLE = 24
"""Height of a single value that is shown as a field of colour."""

LETTER = 7
"""Pixels of a letter of a sheet's captions, at the most."""

SHOWN, SHOWN_SIDE, SHOWN_LAYERS = 6, 72, 60
"""In a notebook: units of a layer, side of a picture, layers."""


@dataclass(frozen=True, eq=False)
class ActivationMaps:
    """What every unit of some layers does with one image. A notebook shows the strongest of every layer."""

    picture: UInt8[np.ndarray, "height width channel"]
    """The image as the network sees it, colours in the order RGB."""
    maps: Mapping[str, Float[np.ndarray, "unit row column"]]
    """Pre-activations by the layer's name, in execution order. Of a layer that is called more than once: its first
    call. Tokens are rows of one column; a layer without space has one position."""
    layers: Mapping[str, Layer]
    """The layers by name."""
    name: str = "the image"
    """What the image is called."""

    def __repr__(self) -> str:
        height, width = self.picture.shape[:2]
        units = sum(len(maps) for maps in self.maps.values())
        return f"<ActivationMaps of {self.name}, {height} x {width} px: {len(self.maps)} layers, {units} units>"

    def strongest(self, layer: str) -> list[int]:
        """The units of a layer by their largest pre-activation, the strongest first; ties go to the lower index.

        Raises:
            UnknownName: if its maps are not here.
        """
        return [int(unit) for unit in np.argsort(-self.of(layer).max((1, 2)), kind="stable")]

    def scales(self, layer: str, scale: str = "unit") -> Float[np.ndarray, "unit"]:
        """What full colour stands for, for every unit: its own largest absolute value, or that of its layer.

        Raises:
            UnknownName: if the layer's maps are not here, or the scale is neither "unit" nor "layer".
        """
        scale = self.fair(layer, scale)
        largest = np.abs(self.of(layer)).max((1, 2))
        if scale == "layer":
            largest = np.full_like(largest, largest.max())
        # A map of zeros is drawn as zeros.
        scales: NDArray[np.float32] = np.where(largest > 0, largest, 1).astype(np.float32)
        return scales

    def fair(self, layer: str, scale: str) -> str:
        """The scale that a layer is drawn by: of single values each would be the largest of its own.

        Raises:
            UnknownName: if the layer's maps are not here, or the scale is neither "unit" nor "layer".
        """
        if scale not in SCALES:
            raise UnknownName.of("scale", scale, SCALES, "it is 'unit' or 'layer'")
        return "layer" if map_size(self.of(layer)) == (1, 1) else scale

    def overlay(self, unit: str, scale: str = "unit") -> UInt8[np.ndarray, "height width 3"]:
        """The map of a unit, written LAYER:INDEX, over the image at its own size: blue negative, red positive.

        Raises:
            UnknownName: if its map is not here.
            FilterscopeError: if it has no place on the image: the unit sees all of it, or its field is not known.
        """
        layer, _, index = unit.rpartition(":")
        maps = self.of(layer)
        if not index.isdecimal() or int(index) >= len(maps):
            raise UnknownName(f"no unit {unit!r}; a unit is written LAYER:INDEX, here {layer}:0 to :{len(maps) - 1}")
        number = int(index)
        box = self.box(layer)
        if box is None:
            raise FilterscopeError(f"the map of {unit} has no place on the image: {no_place(self.layers[layer])}")
        height, width = self.picture.shape[:2]
        one = slice(number, number + 1)
        pictures = laid_over(self.picture, maps[one], self.scales(layer, scale)[one], box, (height, width))
        return np.asarray(pictures[0])

    def box(self, layer: str) -> tuple[Span, Span] | None:
        """Where the layer's maps lie on the image, see `Layer.map_box`; None: nowhere in particular."""
        return self.layers[layer].map_box(map_size(self.of(layer)))

    def of(self, layer: str) -> Float[np.ndarray, "unit row column"]:
        """The maps of a layer.

        Raises:
            UnknownName: if they are not here.
        """
        if layer not in self.maps:
            raise UnknownName.of("maps of", layer, self.maps, f"there are those of {len(self.maps)} layers")
        return self.maps[layer]

    def sheet(self, layer: str, scale: str = "unit") -> Picture:
        """A layer's sheet: a card a unit, the strongest first, with its map and the same over the image."""
        maps, scales, order = self.of(layer), self.scales(layer, scale), self.strongest(layer)
        scale = self.fair(layer, scale)
        captions = [caption(maps[unit], float(scales[unit]), scale) for unit in range(len(maps))]
        room = LETTER * (len(str(len(maps) - 1)) + 1 + max(map(len, captions)))
        columns, tiles = self.tiles(layer, scales, room)
        cards = tuple(Card(unit, captions[unit], tiles[unit], columns) for unit in order)
        title = f"{layer}: activation maps of {self.name}"
        return Picture(layer, LENS, ActivationMap.table, title, self.legend(layer), cards)

    def tiles(
        self, layer: str, scales: Float[np.ndarray, "unit"], room: int
    ) -> tuple[int, UInt8[np.ndarray, "unit tile height width 3"]]:
        """Pictures side by side and how many; together at least ``room`` pixels wide."""
        maps, box = self.of(layer), self.box(layer)
        if box is None:
            if map_size(maps) == (1, 1):
                return 1, enlarged(coloured(maps, scales), room)[:, None, :SINGLE]
            side = fitting(map_size(maps), ALONE)
            return 1, drawn(maps, scales, (side[0], max(side[1], room)))[:, None]
        height, width = self.picture.shape[:2]
        longest = next((side for most, side in SIDES if len(maps) <= most), LEAST_SIDE)
        size = fitting((height, width), longest)
        if 2 * size[1] < room:
            size = fitting((height, width), round(longest * room / (2 * size[1])))
        return 2, np.stack([drawn(maps, scales, size), laid_over(self.picture, maps, scales, box, size)], 1)

    def legend(self, layer: str) -> str:
        """What the sheet shows, in a line."""
        maps, known = self.of(layer), self.layers[layer]
        off = int((maps.max((1, 2)) <= 0).sum())
        parts = [f"{len(maps)} units, maps of {maps.shape[1]} x {maps.shape[2]}"]
        if known.calls > 1:
            parts.append(f"the first of {known.calls} calls")
        if known.field_size is not None:
            parts.append(f"receptive field {known.field_size[0]} x {known.field_size[1]} px")
        if known.gated and known.field_size is not None:
            parts.append("a global gate lets in the whole image beside it")
        parts.append(f"{off} off (nowhere above zero)" if off else "none is off")
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        rows = []
        for layer in list(self.maps)[:SHOWN_LAYERS]:
            maps = self.of(layer)
            about = f"<code>{escape(layer)}</code><br>{len(maps)} units, {maps.shape[1]} x {maps.shape[2]}"
            rows.append(f"<tr><td style='text-align:left'>{about}</td><td>{self.strip(layer)}</td></tr>")
        more = len(self.maps) - len(rows)
        rest = f"<p>and {more} layers more</p>" if more > 0 else ""
        image = as_html(viewable(self.picture), self.name)
        text = f"the {SHOWN} strongest units of every layer; blue negative, red positive, scaled by unit"
        return f"<div>{escape(repr(self))}<br>{image}<br>{text}<table>{''.join(rows)}</table>{rest}</div>"

    def strip(self, layer: str) -> str:
        """The strongest units of a layer, side by side, as HTML."""
        units = self.strongest(layer)[:SHOWN]
        some = ActivationMaps(self.picture, {layer: self.of(layer)[units]}, {layer: self.layers[layer]})
        box, scales = some.box(layer), some.scales(layer)
        size = fitting(map_size(self.of(layer)) if box is None else map_size(self.picture[None, ..., 0]), SHOWN_SIDE)
        tiles = drawn(some.of(layer), scales, size)
        if box is not None:
            tiles = np.concatenate([tiles, laid_over(self.picture, some.of(layer), scales, box, size)], 2)
        gap = np.full((size[0], 8, 3), 255, np.uint8)
        pieces = [piece for tile in tiles for piece in (tile, gap)]
        return as_html(np.concatenate(pieces[:-1], 1), f"{layer}: units {', '.join(map(str, units))}")


def activations(
    network: Network | str | Path, image: Any, layers: Sequence[str] | str | None = None, *, name: str | None = None
) -> ActivationMaps:
    """See what every unit of some layers does with one image, in one forward pass; the network stays as it was.

    Args:
        network: a network, or what :func:`filterscope.load` takes.
        image: a path, a PIL image, an array (height, width[, channel]) or a tensor (channel, height, width), of uint8
            or of floats from 0 to 1. It is resized and cut as the network has it.
        layers: names of layers or of any modules; None: every convolution.
        name: what to call the image; None: the name of its file.
    Raises:
        BadImages: if the image cannot be read or does not fit the network; if a layer gives NaN or infinity for it.
        UnknownName: if there is no such layer.
        BadModel: if a layer does not run.
    Example:
        >>> maps = activations("demo", np.zeros((64, 64, 3), np.uint8), "block1.conv1")
        >>> maps.maps["block1.conv1"].shape
        (24, 64, 64)
    """
    network = network if isinstance(network, Network) else load(network)
    name = name or (Path(image).name if isinstance(image, str | Path) else "the image")
    picture = as_seen(image, network.preprocessing)
    names = [layers] if isinstance(layers, str) else layers
    chosen = network.layers() if names is None else [network.layer(one) for one in dict.fromkeys(names)]
    chosen = sorted(chosen, key=lambda layer: layer.position)
    maps = read_maps(network, picture, chosen, name)
    return ActivationMaps(picture, maps, {layer.name: layer for layer in chosen}, name)


def as_seen(image: Any, preprocessing: Preprocessing) -> UInt8[np.ndarray, "height width channel"]:
    """An image as the network sees it, in bytes, colours in the order RGB.

    Raises:
        BadImages: if it is none, cannot be read or does not fit the network.
    """
    return fit(decode(image) if isinstance(image, str | Path) else pixels_of(image), preprocessing)


def read_maps(
    network: Network, picture: UInt8[np.ndarray, "height width channel"], layers: Sequence[Layer], name: str
) -> dict[str, Float[np.ndarray, "unit row column"]]:
    """The maps of ``layers`` for an image as the network sees it, on the CPU, in the order of the layers.

    Raises:
        BadImages: if one holds NaN or infinity.
    """
    wanted: dict[str, list[Layer]] = {}
    for layer in layers:
        wanted.setdefault(layer.observed, []).append(layer)
    calls = {layer.observed: layer.calls for layer in layers}
    found: dict[str, NDArray[np.float32]] = {}

    def visit(module: str, call: int, output: Tensor) -> None:
        if call:
            return
        for layer in wanted[module]:
            # Copied at once: what comes next may change the tensor in place.
            maps = units_last(output, layer)[0].movedim(-1, 0).to("cpu", torch.float32, copy=True)
            found[layer.name] = maps.contiguous().numpy()

    images = normalise(picture[None], network.preprocessing, device=network.device, dtype=network.dtype)
    # How often a module is called may depend on the image: where one is called again, the pass goes to its end.
    stop = all(count == 1 for count in calls.values())
    with torch.no_grad(), tap(network.module, list(wanted), stop=stop, calls=calls) as read:
        read.visit(images, visit)
    for broken in (one for one, maps in found.items() if not np.isfinite(maps).all()):
        raise BadImages(
            f"layer {broken} gives NaN or infinity for {name}; look for broken weights or preprocessing of the network"
        )
    return {layer.name: found[layer.name] for layer in layers}


def map_size(maps: NDArray[Any]) -> Pair:
    """Rows and columns."""
    return int(maps.shape[1]), int(maps.shape[2])


def caption(unit: Float[np.ndarray, "row column"], scale: float, by: str) -> str:
    """What stands beside a unit's index: its largest pre-activation, and what full colour is where that is its own."""
    largest = float(unit.max())
    own = f" / ±{short(scale)}" if by == "unit" else ""
    return f"{short(largest)}{own}{' off' if largest <= 0 else ''}"


def short(value: float) -> str:
    """Three digits, without an exponent where there is room for none.

    Example:
        >>> short(1234.5), short(-0.04567), short(2.0)
        ('1234', '-0.0457', '2')
    """
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def no_place(layer: Layer) -> str:
    """Why a layer's maps cannot be laid over the image."""
    return "every unit sees all of it" if layer.whole_image else "the receptive field is not known"


def as_html(picture: NDArray[np.uint8], words: str) -> str:
    """A picture for a notebook."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, format="PNG", optimize=True)
    address = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return f'<img src="{address}" alt="{escape(words, quote=True)}" style="max-width:none">'
