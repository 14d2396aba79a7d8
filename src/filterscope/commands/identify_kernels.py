"""`filterscope identify --method kernels`: which classic filter each kernel of pixels is like, and what it does."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from filterscope.commands.chunk import CHUNK, figures_in
from filterscope.commands.inspect import move
from filterscope.errors import FilterscopeError

if TYPE_CHECKING:
    import pandas

    from filterscope.findings.pixel_kernels import PixelKernels

TOLD = 0.005
"""Smaller shares are not told in a line."""


def by_kernels(
    model: str, layer: str | None, method: str, out: Path, device: str, *, force: bool, as_json: bool
) -> None:
    """Print what the kernels do, and write a sheet and a table a layer."""
    from filterscope.commands.progress import Bar
    from filterscope.findings.kernels import kernels_of

    source, name, digest = opened(model, device)
    settings = {"method": method, "source": digest}
    found = kernels_of(source, layer)
    paths = [place(out, name, one, method) for one in found]
    fresh = [path for path in paths if force or is_needed(path, settings)]
    frames = []
    with Bar() as bar:
        bar.stage("kernels", "units", sum(len(kernels.weights) for kernels in found), 0)
        for kernels, path in zip(found, paths, strict=True):
            frames.append(made(kernels, method, path if path in fresh else None, settings, bar.advance))
    if as_json:
        typer.echo(json.dumps([row for frame in frames for row in objects(frame)], indent=2))
        return
    for frame in frames:
        for text in [*lines(frame), *summary(frame)]:
            typer.echo(text)
    if fresh:
        sheets = f"{len(fresh)} sheet{'s' * (len(fresh) != 1)} (PNG) and table{'s' * (len(fresh) != 1)} (CSV)"
        typer.echo(f"wrote {sheets} to {out}")
    else:
        typer.echo(f"nothing to write, all is there already: {out}")


def opened(model: str, device: str) -> tuple[Any, str, str]:
    """The network or atlas, what files are named after, and its digest."""
    from filterscope.atlas.previous import DATABASE

    path = Path(model)
    if path.suffix == ".atlas" or (path / DATABASE).is_file():
        from filterscope.atlas import Atlas

        atlas = Atlas(path)
        facts = atlas.facts
        return atlas, path.stem, f"atlas {facts.get('network_digest')} {facts.get('images_digest')}"
    from filterscope.model import load

    network = load(model)
    move(network, device)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    return network, path.name or model, network.digest


def place(out: Path, name: str, kernels: "PixelKernels", method: str) -> Path:
    """Where a layer's sheet goes; its table lies beside it."""
    from filterscope.atlas.sheets import file_name

    kind = "" if kernels.linearity is None else "effective."
    return out / f"{file_name(f'{name}.{kernels.layer}.{kind}{method}')}.png"


def is_needed(path: Path, settings: dict[str, Any]) -> bool:
    """Whether sheet and table are still to be written.

    Raises:
        FilterscopeError: if something else would be overwritten.
    """
    table = path.with_suffix(".csv")
    facts = figures_in(path) if path.exists() else None
    if facts is not None and facts["settings"] == settings:
        return not table.exists()
    if there := next((one for one in (path, table) if one.exists()), None):
        raise FilterscopeError(f"{there} exists already and was made otherwise; choose another --out, or give --force")
    return True


def made(
    kernels: "PixelKernels", method: str, path: Path | None, settings: dict[str, Any], tick: Callable[[int], object]
) -> "pandas.DataFrame":
    """Identify a layer's kernels; write the sheet and the table where they are wanted."""
    from filterscope.commands import kernels_sheet
    from filterscope.findings.kernels import editing, identified, nearest

    if method == "l2":
        frame = nearest(kernels)
        tick(len(frame))
        shape = kernels.stored.shape
        beside = {one.name: one.kernel(shape[1]) for one in editing((shape[2], shape[3]))}
        drawn = (kernels.stored, [beside[name] for name in frame["reference"]])
    else:
        found = identified(kernels, tick=tick)
        frame = found.frame()
        drawn = (kernels.weights, list(found.fitted))
    if path is not None:
        sheet = kernels_sheet.drawn(kernels, frame, *drawn)
        write(sheet, frame, path, settings)
    return frame


def write(sheet: Any, frame: "pandas.DataFrame", path: Path, settings: dict[str, Any]) -> None:
    """The table first, then the sheet, which says that both are there."""
    from PIL.PngImagePlugin import PngInfo

    from filterscope.atlas.sheets import save

    path.parent.mkdir(parents=True, exist_ok=True)
    table = path.with_suffix(".csv")
    unfinished = table.with_name(table.name + ".part")
    frame.to_csv(unfinished, index=False)
    unfinished.replace(table)
    info = PngInfo()
    info.add_text(CHUNK, json.dumps({"settings": settings}))
    save(sheet, path, info)


def objects(frame: "pandas.DataFrame") -> list[dict[str, Any]]:
    """The rows as the JSON that `--json` prints: what is not applicable is null."""
    rows = json.loads(frame.to_json(orient="records", double_precision=10))
    return [dict(row) for row in rows]


def lines(frame: "pandas.DataFrame") -> list[str]:
    """A line a unit."""
    return [line(row) for row in objects(frame)]


def line(row: dict[str, Any]) -> str:
    """A unit in a line."""
    unit = f"{row['layer']}:{row['unit']}"
    if "distance" in row:
        return f"{unit}: {row['reference']} ({row['function']}); distance {row['distance']:.3g}, norm {row['norm']:.3g}"
    if row["reference"] is None:
        return f"{unit}: zero; the kernel has no weights but 0"
    parts = [f"{unit}: {row['compound']}", f"like {described(row)}, {fit(row)}"]
    parts += [shares] if (shares := percent(shares_of(row))) else []
    if row.get("linearity") is not None:
        parts.append(f"linearity {row['linearity']:.2f}")
    return "; ".join(parts)


def fit(row: dict[str, Any]) -> str:
    """Correlation and p, where that was tested."""
    tested = "" if row["p"] is None else f", p {row['p']:.2g}"
    return f"r {row['correlation']:.2f}{tested}"


def described(row: dict[str, Any]) -> str:
    """The reference with its direction, polarity and colours.

    Example:
        >>> described({"reference": "bar", "orientation": 45.0, "polarity": -1, "hue": None})
        'bar 45°, dark'
    """
    return ", ".join(filter(None, [turned(row), detail(row)]))


def turned(row: dict[str, Any]) -> str:
    """The reference with its direction."""
    angle = row["orientation"]
    return f"{row['reference']}{'' if angle is None or math.isnan(angle) else f' {angle:.3g}°'}"


def detail(row: dict[str, Any]) -> str:
    """Bright or dark, or the colours; of an edge on which side."""
    side = on_side(row) if str(row["reference"]).endswith("edge") else ""
    if row["hue"] is not None:
        return f"{row['hue'].partition('-')[0]} {side}, {row['hue'].partition('-')[2]}" if side else str(row["hue"])
    if row["polarity"] is None or math.isnan(row["polarity"]):
        return ""
    return f"bright {side}" if side else "bright" if row["polarity"] > 0 else "dark"


def on_side(row: dict[str, Any]) -> str:
    """On which side of its line an edge is bright, or has the first of its colours."""
    towards = row["orientation"] + (-90 if (row["polarity"] or 1) < 0 else 90)
    return ("right", "above", "left", "below")[round(towards / 90) % 4]


def shares_of(row: dict[str, Any]) -> dict[str, float]:
    """What there is of every function, the largest first, what is unstructured last."""
    from filterscope.findings.naming import SHARES

    found = {name: row[name] for name in SHARES if row.get(name) is not None and row[name] >= TOLD}
    ordered = dict(sorted(found.items(), key=lambda item: -item[1]))
    rest = row["unstructured"] or 0.0
    return {**ordered, **({"unstructured": rest} if rest >= TOLD else {})}


def percent(shares: dict[str, float]) -> str:
    """Shares in words."""
    return ", ".join(f"{name} {value:.0%}".replace("%", " %") for name, value in shares.items())


def summary(frame: "pandas.DataFrame") -> list[str]:
    """The layer in a line or two."""
    layer = frame["layer"].iloc[0]
    what = "reference" if "distance" in frame else "label"
    counts = ", ".join(f"{count} {name}" for name, count in frame[what].value_counts().items())
    told = [f"{layer}, {len(frame)} kernels: {counts}"]
    if what == "label":
        from filterscope.findings.kernels import layer_shares

        mean = objects(layer_shares(frame).reset_index())
        told += [f"{layer}, of the energy: {percent(shares_of(mean[0]))}"] if mean else []
    return told
