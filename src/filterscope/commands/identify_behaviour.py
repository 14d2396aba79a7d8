"""`filterscope identify --method behaviour`: the shares of all layers and units, a sheet, two tables and the atlas."""

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from filterscope.commands.identify_kernels import opened
from filterscope.errors import FilterscopeError

if TYPE_CHECKING:
    import pandas

    from filterscope.atlas import Atlas

INSTEAD = "run filterscope inspect MODEL --lens tuning --lens perturbations --lens functions --out {atlas}"


def by_behaviour(
    model: str,
    images: Path | None,
    layer: str | None,
    threshold: float,
    out: Path,
    device: str,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Print what layers do (or one layer's units), and write sheet and tables."""
    source, name, _ = opened(model, device)
    if hasattr(source, "layers") and hasattr(source, "records"):
        if images is not None:
            raise FilterscopeError(f"{model} is an atlas, which knows its images; leave --images out")
        atlas, folder = source, None
    else:
        folder = out / f"{file_stem(name)}.functions.atlas"
        atlas = looked_at(source, images, layer, threshold, folder, force=force)
    layers, units = tables(atlas, layer)
    if layers.empty:
        raise FilterscopeError(f"{model} holds no functions; {INSTEAD.format(atlas=model)}")
    written = write(layers, units, atlas, out / f"{file_stem(name)}{f'.{layer}' if layer else ''}.functions")
    if as_json:
        typer.echo(json.dumps({"layers": objects(layers), "units": objects(units)}, indent=2))
        return
    for line in lines(layers, units if layer else None):
        typer.echo(line)
    kept = f"; all that was seen: {folder} (filterscope report {folder})" if folder else ""
    typer.echo(f"wrote {written[0]} and the tables beside it{kept}")


def file_stem(name: str) -> str:
    """What files are named after."""
    from filterscope.atlas.sheets import file_name

    return file_name(name)


def looked_at(
    network: Any, images: Path | None, layer: str | None, threshold: float, out: Path, *, force: bool
) -> "Atlas":
    """The atlas with the functions; what an earlier call found is not looked for again."""
    from filterscope import inspection
    from filterscope.commands.progress import Bar
    from filterscope.findings.functions import Functions

    lenses: list[Any] = ["tuning", "perturbations", Functions(threshold=threshold)]
    if images is not None:
        lenses.insert(0, "patches")
    with Bar() as bar:
        return inspection.inspect(
            network,
            images,
            out,
            layers=None if layer is None else [layer],
            lenses=lenses,
            force=force,
            watcher=bar,
        )


def tables(atlas: "Atlas", layer: str | None) -> "tuple[pandas.DataFrame, pandas.DataFrame]":
    """The tables of layers and of units, in the order of the network."""
    import pandas

    from filterscope.atlas.records import Function, LayerFunction

    order = {name: number for number, name in enumerate(atlas.layers()["name"])}
    where = {} if layer is None else {"layer": layer}
    frames = []
    for kind in (LayerFunction, Function):
        columns = [one.name for one in fields(kind)]
        frame = pandas.DataFrame([vars(one) for one in atlas.records(kind, **where)], columns=columns)
        frames.append(frame.sort_values("layer", key=lambda names: names.map(order), kind="stable", ignore_index=True))
    return frames[0], frames[1]


def write(layers: "pandas.DataFrame", units: "pandas.DataFrame", atlas: "Atlas", stem: Path) -> list[Path]:
    """The sheet, and the tables of layers and units."""
    from filterscope.atlas.sheets import save
    from filterscope.commands.functions_sheet import drawn

    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}{ending}") for ending in (".png", ".layers.csv", ".csv")]
    for frame, path in ((layers, paths[1]), (units, paths[2])):
        unfinished = path.with_name(f"{path.name}.part")
        frame.to_csv(unfinished, index=False)
        unfinished.replace(path)
    save(drawn(layers, units), paths[0])
    return paths


def objects(frame: "pandas.DataFrame") -> list[dict[str, Any]]:
    """Rows as JSON has them: what is not applicable is null."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=6))
    return rows


def lines(layers: "pandas.DataFrame", units: "pandas.DataFrame | None") -> list[str]:
    """A line a layer; of one layer also a line a unit."""
    shown = [line(row, row["layer"]) for row in objects(layers) if not row["weighted"]]
    weighted = [row for row in objects(layers) if row["weighted"]]
    if units is None:
        return shown
    told = [line(row, f"{row['layer']}:{row['unit']}") for row in objects(units)]
    return [*told, *shown, *(line(row, f"{row['layer']}, by importance") for row in weighted)]


def line(row: dict[str, Any], name: str) -> str:
    """What one does: the compound label first, then all shares with their intervals."""
    from filterscope.findings.functions import DEAD, MIXED, NAMES

    if row["label"] == DEAD:
        return f"{name}: dead; nothing that was shown brought it above zero"
    shares = ", ".join(
        f"{one} {100 * row[one]:.0f} % ({100 * row[f'{one}_low']:.0f}-{100 * row[f'{one}_high']:.0f})"
        for one in NAMES
        if row[one] is not None
    )
    label = f"{row['label']}: " if row["label"] in (MIXED, "bag of parts") and row["label"] != row["compound"] else ""
    counted = f"; {row['units']} filters" + (f", {row['dead']} dead" if row["dead"] else "") if "units" in row else ""
    few = f"; without {row['missing']}" if row.get("missing") else ""
    return f"{name}: {label}{row['compound']}; {shares}{counted}{few}"
