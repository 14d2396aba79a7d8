"""A layer and a unit of an atlas as objects: what was found of them, in one place. A notebook shows them."""

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from filterscope.atlas.records import (
    Activation,
    BackProjection,
    EffectiveKernel,
    Kernel,
    Layer,
    Node,
    Optimum,
    Pair,
    Patch,
)
from filterscope.errors import UnknownName

if TYPE_CHECKING:
    from filterscope.atlas.atlas import Atlas


class Number(NamedTuple):
    """A number with its name and what it says."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class UnitView:
    """A unit: its statistics, kernel, optima (the best first) and patches (the strongest first).

    ``backprojections`` are those of the patches, method by method. What was not looked at is None, or empty.
    """

    atlas: "Atlas" = field(repr=False)
    layer: Layer = field(repr=False)
    unit: int
    activation: Activation | None
    kernel: Kernel | None
    optima: tuple[Optimum, ...]
    patches: tuple[Patch, ...]
    backprojections: tuple[BackProjection, ...] = ()
    effective_kernel: EffectiveKernel | None = None

    def __repr__(self) -> str:
        return f"<unit {self.name} of {self.atlas.folder}>"

    @property
    def name(self) -> str:
        """As the user writes it, LAYER:INDEX."""
        return f"{self.layer.name}:{self.unit}"

    @property
    def optimum(self) -> Optimum | None:
        """The best of its optima."""
        return self.optima[0] if self.optima else None

    def numbers(self) -> list[Number]:
        """What was measured of it."""
        return [
            *activation_numbers(self.activation),
            *optimum_numbers(self.optimum),
            *kernel_numbers(self.kernel),
            *effective_numbers(self.effective_kernel),
        ]

    def value(self, column: str) -> float | None:
        """A number by the name of its column, see `COLUMNS`; None: not known.

        Raises:
            UnknownName: if there is no such column.
        """
        if column not in COLUMNS:
            raise UnknownName.of("column", column, COLUMNS, f"there are: {', '.join(COLUMNS)}")
        records = {
            "activation": self.activation,
            "optimum": self.optimum,
            "kernel": self.kernel,
            "effective_kernel": self.effective_kernel,
        }
        found = getattr(records[COLUMNS[column]], column, None)
        return None if found is None or math.isnan(found) else float(found)

    def _repr_html_(self) -> str:
        from filterscope.atlas import notebook

        return notebook.unit_html(self)

    def _repr_png_(self) -> bytes | None:
        from filterscope.atlas import notebook

        return notebook.unit_png(self)


COLUMNS = {
    "max": "activation",
    "mean": "activation",
    "std": "activation",
    "firing_rate": "activation",
    "image_firing_rate": "activation",
    "activation": "optimum",
    "natural": "optimum",
    "ratio": "optimum",
    "robustness": "optimum",
    "agreement": "optimum",
    "path_similarity": "optimum",
    "selectivity_rank": "optimum",
    "norm": "kernel",
    "chroma": "kernel",
    "linearity": "effective_kernel",
}
"""Numbers of units that can be asked for, and in which table they are."""


@dataclass(frozen=True)
class LayerView:
    """A layer and all of its units."""

    atlas: "Atlas" = field(repr=False)
    layer: Layer
    units: tuple[UnitView, ...] = field(repr=False)

    def __repr__(self) -> str:
        return f"<layer {self.name} of {self.atlas.folder}: {len(self.units)} units>"

    @property
    def name(self) -> str:
        """Its dotted name."""
        return self.layer.name

    def sorted_by(self, column: str) -> list[UnitView]:
        """Its units, those with the largest value first; ``-COLUMN``: the smallest first. Unknown values come last.

        Raises:
            UnknownName: if there is no such column.
        """
        sign = 1.0 if column.startswith("-") else -1.0
        values = {one.unit: one.value(column.removeprefix("-")) for one in self.units}

        def place(one: UnitView) -> tuple[float, int]:
            value = values[one.unit]
            return (math.inf if value is None else sign * value, one.unit)

        return sorted(self.units, key=place)

    def _repr_html_(self) -> str:
        from filterscope.atlas import notebook

        return notebook.layer_html(self)


def layer_view(atlas: "Atlas", name: str) -> LayerView:
    """A layer by its name.

    Raises:
        UnknownName: if there is none of that name; the nearest are offered.
    """
    layer = layer_named(atlas, name)
    return LayerView(atlas, layer, tuple(unit_views(atlas, layer)))


def unit_view(atlas: "Atlas", text: str) -> UnitView:
    """A unit, written LAYER:INDEX.

    Raises:
        UnknownName: if it is not written so, or there is no such layer or index.
    """
    name, colon, index = text.rpartition(":")
    if not colon or not name or not index.isdecimal():
        raise UnknownName(f"{text!r} is no unit; a unit is written LAYER:INDEX, e.g. {layer_names(atlas)[0]}:0")
    layer = layer_named(atlas, name)
    return unit_views(atlas, layer, checked_unit(layer, int(index)))[0]


def checked_unit(layer: Layer, unit: int) -> int:
    """The index, if the layer has such a unit.

    Raises:
        UnknownName: if it has not.
    """
    if unit >= layer.channels:
        raise UnknownName(
            f"no unit '{layer.name}:{unit}'; layer {layer.name!r} has the units 0 to {layer.channels - 1}"
        )
    return unit


def layer_names(atlas: "Atlas") -> list[str]:
    """Names of all layers, in execution order."""
    return [layer.name for layer in sorted(atlas.records(Layer), key=lambda layer: layer.position)]


def layer_named(atlas: "Atlas", name: str) -> Layer:
    """The record of a layer.

    Raises:
        UnknownName: if there is none of that name; the nearest are offered.
    """
    found = atlas.records(Layer, name=name)
    if not found:
        raise UnknownName.of("layer", name, layer_names(atlas), "the atlas holds them all under Atlas.layers()")
    return found[0]


def unit_views(atlas: "Atlas", layer: Layer, unit: int | None = None) -> list[UnitView]:
    """All units of a layer, or one."""
    where: dict[str, object] = {"layer": layer.name} if unit is None else {"layer": layer.name, "unit": unit}
    activations = {record.unit: record for record in atlas.records(Activation, **where)}
    kernels = {record.unit: record for record in atlas.records(Kernel, **where)}
    optima: dict[int, list[Optimum]] = {}
    for optimum in sorted(atlas.records(Optimum, variant="positive", **where), key=lambda record: record.rank):
        optima.setdefault(optimum.unit, []).append(optimum)
    patches: dict[int, list[Patch]] = {}
    for patch in atlas.records(Patch, **where):
        patches.setdefault(patch.unit, []).append(patch)
    back: dict[int, list[BackProjection]] = {}
    for one in sorted(atlas.records(BackProjection, **where), key=lambda record: (record.method, record.rank)):
        back.setdefault(one.unit, []).append(one)
    effective = {record.unit: record for record in atlas.records(EffectiveKernel, **where)}
    return [
        UnitView(
            atlas,
            layer,
            index,
            activations.get(index),
            kernels.get(index),
            tuple(optima.get(index, ())),
            tuple(patches.get(index, ())),
            tuple(back.get(index, ())),
            effective.get(index),
        )
        for index in (range(layer.channels) if unit is None else [unit])
    ]


def slices(kernel: Kernel) -> list[Kernel]:
    """A kernel's pictures, one record each: one in colour, or its strongest slices, strongest first."""
    if kernel.row is None or kernel.column is None:
        return []
    count = max(1, len(kernel.slices))
    # As they are laid out on the sheet: as near to a square as can be.
    across = math.ceil(math.sqrt(count))
    return [
        replace(kernel, row=kernel.row + number // across, column=kernel.column + number % across)
        for number in range(count)
    ]


def input_size(atlas: "Atlas") -> Pair | None:
    """Height and width of what the network takes, in pixels; None where it is not known."""
    return next((node.size for node in atlas.records(Node, kind="input")), None)


def network_name(atlas: "Atlas") -> str:
    """What the network is called: that of a folder by its last part."""
    name = atlas.facts.get("network") or "the network"
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2] or name


def short(value: float) -> str:
    """Three digits, and no exponent where there is room for none.

    Example:
        >>> short(1359.6), short(45.44), short(0.00123)
        ('1360', '45.4', '0.00123')
    """
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def activation_numbers(record: Activation | None) -> list[Number]:
    """Of the real images."""
    if record is None:
        return []
    numbers = [Number("max", short(record.max), f"largest pre-activation in {record.images} images")]
    if record.image_firing_rate > 0:
        numbers.append(Number("fires", percent(record.firing_rate), "of positions are above zero"))
    elif record.images:
        # The rule of three.
        bound = percent(min(1.0, 3 / record.images))
        numbers.append(
            Number("fires", f"0 in {record.images} images", f"it fires in fewer than {bound}, with 95 % confidence")
        )
    return numbers


def percent(share: float) -> str:
    """A share in percent, two digits.

    Example:
        >>> percent(0.0412), percent(0.5), percent(0.00031), percent(1)
        ('4.1 %', '50 %', '0.031 %', '100 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"


def optimum_numbers(record: Optimum | None) -> list[Number]:
    """Of the made image."""
    if record is None:
        return []
    if record.status == "no stimulus found":
        return [Number("optimum", record.status, "no start brought the pre-activation above zero")]
    if record.status == "not finite":
        return [Number("optimum", record.status, "the ascent met NaN or infinity")]
    numbers = [Number("optimum", short(record.activation), "pre-activation on the made image, at its centre")]
    if record.ratio is not None:
        numbers.append(Number("ratio", short(record.ratio), "that by the pre-activation of the strongest patch"))
    if record.robustness is not None:
        numbers.append(Number("robustness", percent(record.robustness), "of it is left when the image is disturbed"))
    return numbers


def kernel_numbers(record: Kernel | None) -> list[Number]:
    """Of the weights."""
    if record is None:
        return []
    numbers = [Number("norm", short(record.norm), "L2 norm of the kernel")]
    if record.chroma is not None:
        numbers.append(Number("chroma", percent(record.chroma), "of the kernel's energy is colour"))
    return numbers


def effective_numbers(record: EffectiveKernel | None) -> list[Number]:
    """Of the mean of the exact weights over images."""
    if record is None or record.linearity is None:
        return []
    meaning = f"how far one linear filter of pixels describes it, over {record.images} images"
    if record.floor is not None:
        meaning += f"; nothing in common would give {record.floor:.2f}"
    return [Number("linearity", f"{record.linearity:.2f}", meaning)]
