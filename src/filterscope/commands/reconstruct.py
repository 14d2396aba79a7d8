"""`filterscope reconstruct`: the affine model that a network is for one image, its pictures and its proof."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from filterscope.commands.inspect import MODEL_HELP, move
from filterscope.commands.place import place_in
from filterscope.errors import FilterscopeError, UnknownName

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image as PillowImage

    from filterscope.lenses.goal import Position
    from filterscope.lenses.reconstruction import Reconstruction
    from filterscope.model import Network

PROOF, TABLE, MODEL = "proof.json", "table.csv", "model.safetensors"
SHEETS = ("weights.png", "evidence.png", "difference.png", "structure.png")

DRAWN = 20
"""Outputs on a sheet at the most: of more the strongest."""

PRECISIONS = ("float32", "float64")

LEAST = "top5"
"""What is explained if nothing else is asked for: the five strongest outputs or units."""


def reconstruct(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--classes",
            metavar="NAME,...",
            help="Classes by name or number, 'top5' (or another number) for the strongest, or 'all'; may be repeated. "
            "Default: top5.",
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="LAYER", help="A layer whose units are explained in place of the output.")
    ] = None,
    units: Annotated[
        list[str] | None,
        typer.Option(
            "--units",
            metavar="N,...",
            help="Units of the layer, 'top5' (or another number) or 'all'; may be repeated. Default: top5.",
        ),
    ] = None,
    position: Annotated[
        str,
        typer.Option(
            metavar="max|centre|mean|Y,X",
            help="Of a unit with a map: its largest value, the middle, the mean, or row and column.",
        ),
    ] = "max",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where everything goes; default: IMAGE.reconstruction.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="float32|float64", help="What W and b are computed in; default: the network's own."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The table and the proof as one object.")] = False,
) -> None:
    """Make the affine model W x + b that equals the network on one image, and show it.

    All that the network decides for the image (ReLU masks, pooling switches, the values of smooth gates) is held fixed.
    What is left has weights of the image's own shape: they are drawn, and what each pixel adds to an output is, too.
    The table shows the outputs of the network and of the model side by side; the proof measures how far they are apart.
    Exit code 1 if they are not equal.

    Written are weights.png, evidence.png, difference.png (of the first two outputs), structure.png, table.csv,
    proof.json, and the model itself, model.safetensors, which runs without the network. Run again, it makes what is
    missing.
    """
    from filterscope.images import decode, fit
    from filterscope.model import load

    wanted = asked(layer, units, classes)
    place = position_of(position)
    if precision is not None and precision not in PRECISIONS:
        raise UnknownName.of("precision", precision, PRECISIONS, "it is float32 or float64")
    pixels = decode(image)
    network = load(model)
    move(network, device)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    pixels = np.ascontiguousarray(fit(pixels, network.preprocessing))
    settings = {
        "network": network.digest,
        "image": hashlib.sha256(pixels.tobytes()).hexdigest()[:32],
        "layer": layer,
        "outputs": wanted,
        "position": position,
        "precision": precision,
    }
    out = Path(f"{image.stem}.reconstruction") if out is None else out
    facts = earlier(out, settings, force)
    missing = [name for name in facts["files"] if not (out / name).exists()] if facts else None
    if missing is None or missing:
        at(network, precision)
        made = compute(network, pixels, layer, classes_of(network, wanted) if layer is None else wanted, place)
        facts, missing = write(made, out, settings, f"{called(model)} on {image.name}", missing)
    assert facts is not None
    show(facts, out, missing, as_json)
    if not facts["proof"]["ok"]:
        typer.echo("filterscope: the proof failed: W x + b is not the network; see proof.json", err=True)
        raise typer.Exit(1)


def called(model: str) -> str:
    """A network's name on a sheet."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def asked(layer: str | None, units: list[str] | None, classes: list[str] | None) -> Any:
    """What is to be explained: 'top5' and its like, None for all, units by number, or classes as they were given.

    Raises:
        FilterscopeError: if the options do not go together, or a unit is no number.
    """
    from filterscope.lenses.goal import TOP

    if layer is None and units:
        raise FilterscopeError("--units are those of a layer; name it with --layer, or give --classes")
    if layer is not None and classes:
        raise FilterscopeError("--classes are those of the network's output; with --layer give --units")
    given = units if layer is not None else classes
    if not given:
        return LEAST
    if len(given) == 1 and (given[0] == "all" or TOP.fullmatch(given[0])):
        return None if given[0] == "all" else given[0]
    if layer is None:
        return given
    parts = [part.strip() for text in given for part in text.split(",")]
    wrong = next((part for part in parts if not part.isdecimal()), None)
    if wrong is not None:
        raise FilterscopeError(f"no unit {wrong!r}; units are numbers such as 3,5, or top5, or all")
    return [int(part) for part in parts]


def classes_of(network: "Network", wanted: Any) -> Any:
    """Classes one by one; a name may hold commas itself."""
    if not isinstance(wanted, list):
        return wanted
    found: list[str] = []
    for text in wanted:
        found += [text] if text in network.classes else [part.strip() for part in text.split(",")]
    return found


def position_of(text: str) -> "Position":
    """Where a unit is explained.

    Raises:
        FilterscopeError: if it is no position.
    """
    refusal = f"no position {text!r}; it is max, centre, mean, or row and column such as 3,5"
    position: Position = place_in(text, ("max", "centre", "mean"), refusal)
    return position


def at(network: "Network", precision: str | None) -> None:
    """Bring a network that was just loaded to a precision."""
    import torch

    if precision is not None:
        network.module.to(torch.float64 if precision == "float64" else torch.float32)


def earlier(out: Path, settings: dict[str, Any], force: bool) -> dict[str, Any] | None:
    """What an earlier run of the same kind has found; None if there was none.

    Raises:
        FilterscopeError: if something else would be overwritten.
    """
    if force:
        return None
    try:
        facts = json.loads((out / PROOF).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = None
    if isinstance(facts, dict) and facts.get("settings") == settings:
        return facts
    there = [name for name in (PROOF, TABLE, MODEL, *SHEETS) if (out / name).exists()]
    if there:
        raise FilterscopeError(
            f"{out / there[0]} exists already and was made otherwise; choose another --out, or give --force"
        )
    return None


def compute(
    network: "Network", pixels: "np.ndarray[Any, Any]", layer: str | None, units: Any, position: "Position"
) -> "Reconstruction":
    """The model and its proof, with a bar if it takes long."""
    from filterscope.commands.progress import Bar
    from filterscope.lenses.reconstruction import reconstruct as lens

    done = 0
    with Bar() as bar:

        def watch(count: int, total: int) -> None:
            nonlocal done
            if not done:
                bar.stage("weights", "outputs", total, 0)
            bar.advance(count - done)
            done = count

        return lens(network, pixels, layer, units, position=position, watch=watch)


def write(
    made: "Reconstruction", out: Path, settings: dict[str, Any], about: str, missing: list[str] | None
) -> tuple[dict[str, Any], list[str]]:
    """Write everything, or what is ``missing``; the figures and what was written.

    What the settings are known by goes first: a run that is interrupted can be told from another one.
    """
    from filterscope.atlas.sheets import save

    sheets = drawings(made, about)
    table = table_of(made)
    files = [PROOF, TABLE, MODEL, *sheets]
    facts = {
        "proof": made.proof.figures(),
        "outputs": json.loads(table.to_json(orient="records", double_precision=15)),
        "files": files,
        "settings": settings,
    }
    chosen = files if missing is None else [name for name in files if name in missing]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in chosen:
            if name == PROOF:
                write_text(out / name, json.dumps(facts, indent=2) + "\n")
            elif name == TABLE:
                write_text(out / name, table.to_csv(index=False))
            elif name == MODEL:
                made.save(out / name, overwrite=True)
            else:
                save(sheets[name](), out / name)
    except OSError as error:
        raise FilterscopeError(f"cannot write to {out}: {error.strerror or error}") from error
    return facts, chosen


def drawings(made: "Reconstruction", about: str) -> Mapping[str, Callable[[], "PillowImage"]]:
    """The sheets by their names, drawn when asked for."""
    from filterscope.commands import reconstruction_sheets as sheets

    count = len(made.names)
    chosen = list(range(count))
    if count > DRAWN:
        chosen = np.argsort(-made.proof.table["original"].to_numpy(), kind="stable")[:DRAWN].tolist()
        about = f"{about} (the {DRAWN} strongest of {count} outputs)"
    pictures = made.pictures(chosen)
    found: dict[str, Callable[[], PillowImage]] = {
        "weights.png": lambda: sheets.weights_sheet(pictures, about),
        "evidence.png": lambda: sheets.evidence_sheet(pictures, about),
    }
    if count > 1:
        found["difference.png"] = lambda: sheets.difference_sheet(pictures, 0, 1, about)
    if count > 1 or pictures.weight.shape[1] > 1:
        found["structure.png"] = lambda: sheets.structure_sheet(pictures, about)
    return found


def table_of(made: "Reconstruction") -> "pd.DataFrame":
    """A row for each output: where it is, the network's answer and the model's in both precisions, and its parts."""
    table = made.proof.table.assign(**dict(made.share()))
    table.insert(0, "row", [None if place is None else place[0] for place in made.positions])
    table.insert(1, "column", [None if place is None else place[1] for place in made.positions])
    return table.astype({"row": "Int64", "column": "Int64"}).reset_index()


def write_text(path: Path, text: str) -> None:
    """So that ``path`` never holds half of it."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def show(facts: dict[str, Any], out: Path, written: list[str], as_json: bool) -> None:
    """Print the table, the proof and what was written."""
    from filterscope.lenses.proof import told

    if as_json:
        files = [str(out / name) for name in facts["files"]]
        shown = {"outputs": facts["outputs"], "proof": facts["proof"], "files": files, "written": written}
        typer.echo(json.dumps(shown, indent=2))
        return
    for line in lines(facts["outputs"]):
        typer.echo(line)
    typer.echo("")
    typer.echo(told(facts["proof"]))
    if written:
        typer.echo(f"wrote {len(written)} file{'s' * (len(written) != 1)} to {out}: {', '.join(written)}")
    else:
        typer.echo(f"nothing to do, all is there already: {out}")


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """The table for people: to two decimals, or as many as it takes where all outputs are small."""
    largest = max((abs(row["original"]) for row in rows), default=1.0) or 1.0
    decimals = 2 if largest >= 1 else 2 - int(np.floor(np.log10(largest)))
    titles = ("output", "original", "reconstructed", "from W x", "from b")
    columns = ("original", "reconstructed", "from_pixels", "from_bias")
    cells: list[tuple[str, ...]] = [titles]
    for row in rows:
        where = "" if row["row"] is None else f" at {row['row']},{row['column']}"
        cells.append((f"{row['output']}{where}", *(f"{row[name]:.{decimals}f}" for name in columns)))
    first, *widths = (max(map(len, column)) for column in zip(*cells, strict=True))
    return [
        "  ".join([name.ljust(first), *(text.rjust(width) for text, width in zip(numbers, widths, strict=True))])
        for name, *numbers in cells
    ]
