"""`filterscope backproject`: which pixels of an image made a filter, or a class, as active as it is."""

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterscope.commands.chunk import CHUNK, figures_in
from filterscope.commands.inspect import MODEL_HELP, move
from filterscope.commands.place import place_in
from filterscope.errors import FilterscopeError, UnknownName

if TYPE_CHECKING:
    from torch import Tensor

    from filterscope.lenses.backprojection import Projection, Settings
    from filterscope.lenses.randomisation import Randomised
    from filterscope.model import Network

FIRST = "guided,deconvnet,gradient"
"""Methods that are used where none is named."""

Rows = list[tuple[str, list["Randomised"]]]
"""What the weights are, and one picture a method."""


def backproject(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    units: Annotated[
        list[str] | None, typer.Argument(metavar="UNIT...", help="Units, written LAYER:INDEX.", show_default=False)
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="NAME", help="A class, by name or number; may be repeated.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="gradient, 'gradient x input', guided, deconvnet, 'integrated gradients', occlusion, "
            "'class activation map', or all.",
        ),
    ] = FIRST,
    seed: Annotated[
        str,
        typer.Option(
            metavar="max|map|y,x",
            help="Where on the unit's map to start: its largest value, all of it weighted by activation, a position.",
        ),
    ] = "max",
    show: Annotated[
        str, typer.Option(metavar="signed|absolute", help="Colours with their sign, or how strong each pixel is.")
    ] = "signed",
    baseline: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="mean, black, white or blurred: where integrated gradients begin, what occlusion covers with.",
        ),
    ] = "mean",
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Of integrated gradients; default: until the sum is right to 1 %.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(metavar="PX", help="Of occlusion; default: an eighth of what the unit sees.")
    ] = None,
    stride: Annotated[int | None, typer.Option(metavar="PX", help="Of occlusion; default: half the window.")] = None,
    randomise: Annotated[
        bool,
        typer.Option("--randomise", help="Check each method: the same with shuffled weights, layer by layer."),
    ] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the sheets go.")] = Path("backprojections"),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Overwrite sheets that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects, the figures of every picture.")] = False,
) -> None:
    """Show which pixels of an image made a filter or a class as active as it is: a PNG with a picture a method.

    Every picture says what full colour stands for. With --randomise the weights are shuffled, from the unit's layer
    down: a method whose picture stays the same shows the image, not what the network has learnt.
    """
    from filterscope.commands.progress import Bar
    from filterscope.images import decode
    from filterscope.lenses.backprojection import SHOWS, Settings
    from filterscope.lenses.given import as_input
    from filterscope.lenses.seeds import Target
    from filterscope.model import load

    asked = [(unit, None) for unit in dict.fromkeys(units or [])] + [
        (None, one) for one in dict.fromkeys(classes or [])
    ]
    if not asked:
        raise FilterscopeError(
            "nothing to carry back: give units (LAYER:INDEX, see: filterscope layers MODEL) or --class"
        )
    methods, place = chosen(method), place_of(seed)
    if show not in SHOWS:
        raise UnknownName.of("way to show", show, SHOWS, "it is signed or absolute")
    pixels = decode(image)
    network = load(model)
    move(network, device)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    x = as_input(network, pixels)
    how = Settings(baseline, steps, window, stride)
    seen = hashlib.sha256(x.cpu().numpy().tobytes()).hexdigest()[:32]
    settings = {**vars(how), "methods": methods, "seed": seed, "show": show, "randomise": randomise}
    settings |= {"network": network.digest, "image": seen}
    targets = [Target.of(network, unit, name) for unit, name in asked]
    paths = [place_for(out, image, target.name, seed, show, randomise) for target in targets]
    made = [None if force else already_made(path, settings) for path in paths]
    facts: list[dict[str, Any]] = []
    with Bar() as bar:
        bar.stage("back-projections", "pictures", len(methods) * len(asked), 0)
        for (unit, name), path, known in zip(asked, paths, made, strict=True):
            if known is None:
                rows = carried(network, x, unit, name, methods, place, how, randomise, bar.advance)
                known = write(rows, path, image, show, settings)
            facts += known
            if not as_json:
                for line in lines(known, path):
                    typer.echo(line)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    fresh = sum(known is None for known in made)
    if fresh:
        typer.echo(f"wrote {fresh} sheet{'s' * (fresh != 1)} to {out}")
    else:
        typer.echo(f"nothing to do, all is there already: {out}")


def chosen(given: str) -> list[str]:
    """The methods by name, in the order given.

    Raises:
        UnknownName: if one is none.
    """
    from filterscope.lenses.backprojection import METHODS

    if given.strip() == "all":
        return list(METHODS)
    names = list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    for name in names:
        if name not in METHODS:
            raise UnknownName.of("method", name, METHODS, f"there are: {', '.join(METHODS)}, all")
    if not names:
        raise FilterscopeError(f"no method was given; there are: {', '.join(METHODS)}, all")
    return names


def place_of(text: str) -> Any:
    """Where to start, as it is written on the command line."""
    refusal = f"--seed is max, map or a position y,x (row and column of the map), not {text!r}"
    return place_in(text, ("max", "map"), refusal)


def place_for(out: Path, image: Path, name: str, seed: str, show: str, randomise: bool) -> Path:
    """Where a sheet goes."""
    from filterscope.atlas.sheets import file_name

    parts = [image.stem, name.replace(":", "_"), f"seed_{seed.replace(',', '_')}", show]
    return out / f"{file_name('.'.join([*parts, *['randomised'] * randomise]))}.png"


def already_made(path: Path, settings: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The figures of a sheet that is there, made with these settings; None: there is none.

    Raises:
        FilterscopeError: if it was made otherwise.
    """
    if not path.exists():
        return None
    facts = figures_in(path)
    if facts is None or facts["settings"] != json.loads(json.dumps(settings)):
        raise FilterscopeError(f"{path} exists already and was made otherwise; choose another --out, or give --force")
    pictures: list[dict[str, Any]] = facts["pictures"]
    return pictures


def carried(
    network: "Network",
    x: "Tensor",
    unit: str | None,
    name: str | None,
    methods: list[str],
    place: Any,
    how: "Settings",
    randomise: bool,
    tick: Any,
) -> Rows:
    """All pictures of a unit or class, row by row: the network as it is, then with shuffled weights."""
    from filterscope.lenses.backprojection import project
    from filterscope.lenses.randomisation import Randomised, randomised

    columns: list[list[Randomised]] = []
    for method in methods:
        if randomise:
            columns.append(list(randomised(network, x, unit, method, class_name=name, seed=place, settings=how)))
        else:
            columns.append([Randomised((), project(network, x, unit, method, name, place, how), 1.0)])
        tick(1)
    return [(words(stage[0].layers), list(stage)) for stage in zip(*columns, strict=True)]


def words(layers: tuple[str, ...]) -> str:
    """What was shuffled."""
    if not layers:
        return "the network as it is"
    return f"weights of {layers[0]} {f'to {layers[-1]} ' if len(layers) > 1 else ''}shuffled"


def write(rows: Rows, path: Path, image: Path, show: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Draw and write a sheet; returns the figures of its pictures."""
    from PIL.PngImagePlugin import PngInfo

    from filterscope.atlas.sheets import save
    from filterscope.commands.backprojection_sheet import drawn

    facts = [as_object(one.projection, show, one.layers, one.likeness, path) for _, stage in rows for one in stage]
    info = PngInfo()
    info.add_text(CHUNK, json.dumps({"pictures": facts, "settings": settings}))
    save(drawn(rows, image.name, show), path, info)
    return facts


def as_object(found: "Projection", show: str, layers: tuple[str, ...], likeness: float, path: Path) -> dict[str, Any]:
    """A picture's figures as the JSON that `--json` prints."""
    return {
        "unit": found.unit,
        "method": found.method,
        "activation": found.activation,
        "seed": found.seed,
        "position": found.position,
        "box": {"rows": found.box[0], "columns": found.box[1]},
        "full_colour": found.full(show),
        "measured_in": found.measured_in,
        "figures": dict(found.figures),
        "note": found.note,
        "shuffled": list(layers),
        # JSON knows no NaN.
        "likeness": likeness if math.isfinite(likeness) else None,
        "picture": str(path),
    }


def lines(facts: list[dict[str, Any]], path: Path) -> list[str]:
    """What is told of a sheet's pictures."""
    from filterscope.lenses.activations import short

    first = facts[0]
    rows, columns = first["box"]["rows"], first["box"]["columns"]
    told = [
        f"{first['unit']}: {short(first['activation'])} at {first['seed']}; sees rows {rows[0]} to {rows[1]}, columns "
        f"{columns[0]} to {columns[1]}; {path}"
    ]
    if first["note"]:
        told.append(f"  {first['note']}")
    shuffled = [fact for fact in facts if fact["shuffled"]]
    for fact in facts:
        if not fact["shuffled"]:
            figures = ", ".join(f"{name} {short(value)}" for name, value in fact["figures"].items())
            told.append(f"  {fact['method']}{': ' + figures if figures else ''}")
            same = [one["likeness"] for one in shuffled if one["method"] == fact["method"]]
            if same:
                numbers = ", ".join("none" if one is None else f"{one:.2f}" for one in same)
                told.append(f"    rank correlation with shuffled weights, more and more layers: {numbers}")
    return told
