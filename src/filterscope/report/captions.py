"""What stands below a figure: what it shows, and what its numbers are."""

from collections.abc import Sequence

import numpy as np

from filterscope.atlas import Atlas
from filterscope.atlas.records import Layer, Pair
from filterscope.atlas.views import UnitView, input_size, network_name, short
from filterscope.report.panels import Group, Panel

MADE_OF = {
    "optimum": "an image made by gradient ascent to drive the filter as far as can be",
    "patches": "what the filter sees of real images where they drive it most",
}


NAMES = {"optimum": "Optimum", "patches": "Patches", "backprojections": "Back-projections", "kernel": "Kernel"}


def unit_caption(atlas: Atlas, group: Group) -> str:
    """What the figure of a unit shows, and the numbers."""
    unit, found = group.units[0], group.panels
    sentences = [f"Filter {unit.name} of {network_name(atlas)}."]
    # Of three the last stands elsewhere where there is little room.
    places = [NAMES[panel.kind] for panel in found] if len(found) > 2 else ["Left", "Right"]
    for place, panel in zip(places, found, strict=False):
        words = sentence(panel, unit)
        sentences.append(f"{place}: {words}" if len(found) > 1 else f"{words[0].upper()}{words[1:]}")
    numbers = activation_sentence(unit)
    return " ".join(filter(None, [*sentences, numbers, seen(unit.layer, input_size(atlas)), bars(found)]))


def rows_caption(atlas: Atlas, groups: Sequence[Group]) -> str:
    """What rows show."""
    kinds = {panel.kind: panel for group in groups for panel in group.panels}
    network = network_name(atlas)
    layers = ", ".join(group.layer.name for group in groups)
    parts = [f"Filters of {layers} of {network}, a row each."]
    if "optimum" in kinds:
        parts.append(f"Optimum: {MADE_OF['optimum']}.")
    if "patches" in kinds:
        grey = "".join({edges(panel, group.units) for group in groups for panel in group.panels})
        parts.append(f"Patches: {MADE_OF['patches']}, the strongest first{grey}.")
    if "backprojections" in kinds:
        units = [unit for group in groups for unit in group.units]
        parts.append(f"Back-projections: {carried_back(units)}.")
    if "kernel" in kinds:
        parts.append(f"Kernel: {kernel_legend(groups[0].layer, kinds['kernel'])}.")
    parts.append(numbers_legend([unit for group in groups for unit in group.units]))
    parts.append(fields([group.layer for group in groups], input_size(atlas)))
    parts.append(bars([panel for group in groups for panel in group.panels]))
    return " ".join(filter(None, parts))


def layer_caption(atlas: Atlas, group: Group, sort: str | None) -> str:
    """What the figure of a layer shows."""
    layer, units, panel = group.layer, group.units, group.panels[0]
    network = network_name(atlas)
    whole = len(units) == layer.channels
    some = f"All {len(units)} filters" if whole else f"{len(units)} of the {layer.channels} filters"
    order = ""
    if sort:
        column = sort.removeprefix("-")
        first = "smallest" if sort.startswith("-") else "largest"
        order = f", the {first} {column} first (number at the right)"
    what = carried_back(units) if panel.kind == "backprojections" else MADE_OF.get(panel.kind, "")
    if panel.kind == "kernel":
        what = kernel_legend(layer, panel)
    if panel.kind == "patches":
        what += f", the {panel.most} strongest{edges(panel, units)}"
    sentences = [f"{some} of {layer.name} of {network}{order}.", f"Of each {what}."]
    return " ".join(filter(None, [*sentences, seen(layer, input_size(atlas)), bars([panel])]))


def sentence(panel: Panel, unit: UnitView) -> str:
    """What a panel shows of a unit."""
    if panel.kind == "patches":
        count = len(panel.pictures[unit.unit])
        images = f" of {unit.activation.images} images" if unit.activation else ""
        return f"{MADE_OF['patches']}, the {count} strongest{images}{edges(panel, [unit])}."
    if panel.kind == "backprojections":
        return f"{carried_back([unit])}."
    if panel.kind == "kernel":
        return f"{kernel_legend(unit.layer, panel)}."
    record = unit.optimum
    assert record is not None
    if record.status in ("no stimulus found", "not finite"):
        return f"{MADE_OF['optimum']}; {record.status} (faded)."
    times = ""
    if record.ratio is not None:
        times = f", {short(record.ratio)} times that on its strongest patch"
    return f"{MADE_OF['optimum']} (pre-activation {short(record.activation)} at its centre{times})."


def carried_back(units: Sequence[UnitView]) -> str:
    """What back-projections show."""
    method = next((back.method for unit in units for back in unit.backprojections), "")
    return (
        f"the activations on the strongest patches carried back to the pixels ({method}), each picture scaled by "
        "itself; mid grey is zero"
    )


def activation_sentence(unit: UnitView) -> str:
    """The numbers of a unit over the images."""
    numbers = {number.name: number for number in unit.numbers()}
    if "max" not in numbers:
        return ""
    fires = numbers.get("fires")
    if fires is None:
        return f"Largest pre-activation {numbers['max'].value}."
    if fires.value.startswith("0 "):
        return f"Largest pre-activation {numbers['max'].value}: never above zero ({fires.meaning})."
    return f"Largest pre-activation {numbers['max'].value}, above zero at {fires.value} of the positions."


def seen(layer: Layer, full: Pair | None) -> str:
    """How much of the input the layer sees."""
    if layer.field_size is None:
        return f"The filter sees the whole image ({times(full)} px)." if full else "The filter sees the whole image."
    beyond = full and (layer.field_size[0] > full[0] or layer.field_size[1] > full[1])
    whole = f"{', more than' if beyond else ' of'} the {times(full)} px input" if full else ""
    return f"Receptive field: {times(layer.field_size)} px{whole}."


def fields(layers: Sequence[Layer], full: Pair | None) -> str:
    """How much of the input layers see."""
    if len(layers) == 1:
        return seen(layers[0], full)
    each = [f"{layer.name} {times(layer.field_size)} px" if layer.field_size else layer.name for layer in layers]
    return f"Receptive fields: {', '.join(each)}."


def times(size: Pair | None) -> str:
    """A size as text."""
    return f"{size[0]} \N{MULTIPLICATION SIGN} {size[1]}" if size else "?"


def bars(found: Sequence[Panel]) -> str:
    """What the bars are."""
    count = sum(panel.size is not None for panel in found)
    return "" if not count else "Bar: pixels of the input." if count == 1 else "Bars: pixels of the input."


def edges(panel: Panel, units: Sequence[UnitView]) -> str:
    """That some patches reach over the edge of the image, if they do."""
    if panel.kind != "patches" or panel.size is None:
        return ""
    height, width = panel.size
    clipped = any(
        patch.bottom - patch.top < height or patch.right - patch.left < width for one in units for patch in one.patches
    )
    return "; grey: beyond the edge of the image" if clipped else ""


def kernel_legend(layer: Layer, panel: Panel) -> str:
    """What kernels show."""
    size = f"{times(layer.kernel)} " if layer.kernel else ""
    if panel.most > 1 or not coloured(panel):
        some = f"the {panel.most} strongest input channels of the {size}kernel" if panel.most > 1 else f"{size}kernel"
        return f"{some}; blue negative, red positive"
    return f"the {size}kernel in the colours of the image; mid grey is zero"


def coloured(panel: Panel) -> bool:
    """Whether zero is drawn as mid grey, and not as paper: mid grey never occurs between blue, white and red."""
    pictures = np.concatenate([one.reshape(-1, 3) for some in panel.pictures.values() for one in some])
    return bool(np.median(pictures.max(1)) < 200)


def numbers_legend(units: Sequence[UnitView]) -> str:
    """What the numbers beside rows are."""
    names = {number.name for unit in units for number in unit.numbers()}
    images = next((unit.activation.images for unit in units if unit.activation), 0)
    parts = []
    if "max" in names:
        parts.append(f"max: largest pre-activation in {images} images")
    if "fires" in names:
        never = any(unit.activation and not unit.activation.image_firing_rate for unit in units)
        parts.append(f"fires: share of positions where it is above zero{', 0 % in none of the images' * never}")
    if "ratio" in names:
        parts.append("ratio: the optimum's pre-activation by that of the strongest patch")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
