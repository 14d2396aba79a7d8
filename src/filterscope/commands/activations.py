"""`filterscope activations`: what every filter of a layer does with one image, a sheet a layer."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from filterscope.commands.chunk import CHUNK, figures_in
from filterscope.commands.inspect import MODEL_HELP, move
from filterscope.errors import FilterscopeError, UnknownName

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from filterscope.atlas.records import Layer
    from filterscope.lenses.activations import ActivationMaps

SCALE_NAMES = ("unit", "layer")

BAR = (260, 14)
"""Width and height of the scale in pixels."""

THUMBNAIL = 120
"""Longer side of the image on a sheet."""

STRONGEST = 5
"""Units that are told of every layer."""


def activations(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    layers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LAYER...",
            help="Layers, patterns such as 'features.*', or any modules; default: every convolution.",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        str, typer.Option(metavar="unit|layer", help="Full colour is the largest value of each unit, or of the layer.")
    ] = "unit",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the sheets go.")] = Path("activations"),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Overwrite sheets that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects, the figures of every layer.")] = False,
) -> None:
    """Show what every filter of a layer does with one image: its pre-activation over space, as a PNG a layer.

    The strongest filters come first. Blue is negative, red positive. Each map stands beside the same map laid over the
    image in its true place: every position where its receptive field has its centre. Run again, it goes on with what
    is missing.
    """
    from filterscope.commands.progress import Bar
    from filterscope.images import decode, fit
    from filterscope.inspection import choose_layers
    from filterscope.lenses import activations as lens
    from filterscope.model import load

    if scale not in SCALE_NAMES:
        raise UnknownName.of("scale", scale, SCALE_NAMES, "it is 'unit' or 'layer'")
    pixels = decode(image)
    network = load(model)
    move(network, device)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    pixels = fit(pixels, network.preprocessing)
    seen = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:32]
    chosen = choose_layers(network, layers or None)
    settings = {"network": network.digest, "image": seen, "scale": scale}
    sheets = [sheet_of(layer, image, scale, out, settings, force) for layer in chosen]
    left = [sheet for sheet in sheets if sheet.made is None]
    facts = [sheet.made for sheet in sheets]
    if left:
        names = [sheet.layer.name for sheet in left]
        maps = lens.activations(network, pixels, names, name=image.name)
        with Bar() as bar:
            bar.stage("activation maps", "sheets", len(sheets), len(sheets) - len(left))
            for number, sheet in enumerate(sheets):
                if sheet.made is None:
                    facts[number] = write(maps, sheet, scale, settings)
                    bar.advance(1)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for found in facts:
        typer.echo(line(found))
    if left:
        typer.echo(f"wrote {len(left)} sheet{'s' * (len(left) != 1)} to {out}")
    else:
        typer.echo(f"nothing to do, all is there already: {out}")


@dataclass(frozen=True)
class Sheet:
    """A layer's sheet: where it goes, and its figures where it is there already."""

    layer: "Layer"
    path: Path
    made: Any


def sheet_of(layer: "Layer", image: Path, scale: str, out: Path, settings: dict[str, Any], force: bool) -> Sheet:
    """What is to be done for a layer.

    Raises:
        FilterscopeError: if something else would be overwritten.
    """
    from filterscope.atlas.sheets import file_name

    path = out / f"{file_name(f'{image.stem}.{layer.position:03d}_{layer.name}.{scale}')}.png"
    if force or not path.exists():
        return Sheet(layer, path, None)
    made = figures_in(path)
    if made is None or made["settings"] != settings:
        raise FilterscopeError(f"{path} exists already and was made otherwise; choose another --out, or give --force")
    return Sheet(layer, path, {key: made[key] for key in made if key != "settings"})


def write(maps: "ActivationMaps", sheet: Sheet, scale: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Draw and write a layer's sheet; returns its figures."""
    from PIL.PngImagePlugin import PngInfo

    from filterscope.atlas.sheets import save

    name = sheet.layer.name
    own = maps.of(name)
    largest = own.max((1, 2))
    facts = {
        "layer": name,
        "units": len(own),
        "rows": own.shape[1],
        "columns": own.shape[2],
        "in_place": maps.box(name) is not None,
        "off": int((largest <= 0).sum()),
        "strongest": [[unit, float(largest[unit])] for unit in maps.strongest(name)[:STRONGEST]],
        "scale": scale,
        "full": float(np.abs(own).max()),
        "picture": str(sheet.path),
    }
    info = PngInfo()
    info.add_text(CHUNK, json.dumps({**facts, "settings": settings}))
    save(drawn(maps, name, scale), sheet.path, info)
    return facts


def line(facts: dict[str, Any]) -> str:
    """A layer's figures in a line."""
    from filterscope.lenses.activations import short

    strongest = ", ".join(f"{unit} ({short(value)})" for unit, value in facts["strongest"][:3])
    parts = [f"{facts['layer']}: {facts['units']} maps of {facts['rows']} x {facts['columns']}"]
    parts += [f"strongest {strongest}", f"{facts['off']} off"]
    if not facts["in_place"]:
        parts.append("shown without the image")
    return f"{'; '.join(parts)}; {facts['picture']}"


def drawn(maps: "ActivationMaps", layer: str, scale: str) -> "PillowImage":
    """A layer's sheet: below its title a band with the image and the scale, then a card a unit."""
    from PIL import Image, ImageDraw

    from filterscope.atlas import sheets

    scale = maps.fair(layer, scale)
    picture = maps.sheet(layer, scale)
    grid = sheets.lay_out(picture)
    body = sheets.draw(picture, grid)
    words = band_words(maps, layer, scale)
    thumbnail = small(maps.picture)
    left = sheets.MARGIN + thumbnail.width + 24
    least = left + max(BAR[0], *(sheets.text_width(text, sheets.LEGEND_SIZE) for text in words)) + sheets.MARGIN
    head, band = grid.tops[0] - sheets.CAPTION - 8, max(thumbnail.height, BAR[1] + 26 + 20 * len(words)) + 30
    canvas = Image.new("RGB", (max(body.width, least), body.height + band), sheets.PAPER)
    canvas.paste(body.crop((0, 0, body.width, head)), (0, 0))
    canvas.paste(body.crop((0, head, body.width, body.height)), (0, head + band))
    canvas.paste(thumbnail, (sheets.MARGIN, head))
    pen = ImageDraw.Draw(canvas)
    draw_scale(canvas, pen, (left, head), scale_ends(maps, layer, scale))
    for number, text in enumerate(words):
        top = head + BAR[1] + 28 + 20 * number
        pen.text((left, top), text, sheets.FAINT, sheets.font(sheets.LEGEND_SIZE))
    return canvas


def small(picture: "np.ndarray[Any, np.dtype[np.uint8]]") -> "PillowImage":
    """The image as the network sees it, as large as on every sheet."""
    from PIL import Image

    from filterscope.lenses.overlay import fitting
    from filterscope.lenses.tiles import viewable

    height, width = fitting((picture.shape[0], picture.shape[1]), THUMBNAIL)
    kind = Image.Resampling.BOX if height <= picture.shape[0] else Image.Resampling.NEAREST
    return Image.fromarray(np.ascontiguousarray(viewable(picture))).resize((width, height), kind)


def scale_ends(maps: "ActivationMaps", layer: str, scale: str) -> tuple[str, str]:
    """What stands below the two ends of the scale."""
    from filterscope.lenses.activations import short

    if scale == "unit":
        return "-m", "+m"
    full = short(float(np.abs(maps.of(layer)).max()))
    return f"-{full}", f"+{full}"


def band_words(maps: "ActivationMaps", layer: str, scale: str) -> list[str]:
    """What the colours and the places mean, line by line."""
    from filterscope.lenses.activations import no_place

    if scale == "unit":
        words = ["m: the largest absolute value of each filter's own map. Two maps are not to be compared by colour."]
        words.append("Above a map: index of the filter, its largest pre-activation / ±m. 'off': nowhere above zero.")
    else:
        words = ["One scale for all filters of the layer: its largest absolute value."]
        words.append("Above a map: index of the filter, its largest pre-activation. 'off': nowhere above zero.")
    if maps.box(layer) is None:
        words.append(f"Without the image: {no_place(maps.layers[layer])}, so a position has no place on it.")
    else:
        words.append("Right: the map over the image, every position at the centre of its receptive field.")
    return words


def draw_scale(canvas: "PillowImage", pen: Any, corner: tuple[int, int], ends: tuple[str, str]) -> None:
    """The colours from the lowest to the highest value, with zero in the middle."""
    from PIL import Image

    from filterscope.atlas import sheets
    from filterscope.lenses.tiles import signed

    left, top = corner
    width, height = BAR
    colours = signed(np.linspace(-1, 1, width, dtype=np.float32), 1.0)
    canvas.paste(Image.fromarray(np.repeat(colours[None], height, 0)), corner)
    pen.rectangle((left - 1, top - 1, left + width, top + height), outline=sheets.LINES)
    font = sheets.font(sheets.CAPTION_SIZE)
    below = top + height + 3
    pen.text((left, below), ends[0], sheets.INK, font)
    pen.text((left + width / 2, below), "0", sheets.INK, font, anchor="ma")
    pen.text((left + width, below), ends[1], sheets.INK, font, anchor="ra")
