"""`filterscope faces`: the typical kernels of each function over many networks, and a new network beside them."""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterscope.commands.chunk import CHUNK, figures_in
from filterscope.commands.inspect import MODEL_HELP, move
from filterscope.errors import FilterscopeError

if TYPE_CHECKING:
    import pandas
    from PIL import Image

    from filterscope.findings.faces import Faces, Likeness, Source

SEEN = 0.1
"""Share of a face's energy that its brightness, or its colours, must have for their sign to be seen."""

TOGETHER = 0.8
"""The default threshold, told here since the help must not wait for torch."""


def faces(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL...", help=f"{MODEL_HELP} Or an atlas, X.atlas.", show_default=False),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Another network or atlas: each of its kernels beside its nearest face."),
    ] = None,
    saved: Annotated[
        Path | None,
        typer.Option("--faces", metavar="FILE", help="Faces that were made before (faces.npz), instead of MODEL..."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="R", help=f"Correlation that kernels of a face have on average; default: {TOGETHER}."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the sheets and tables go.")] = Path("faces"),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One object: the faces, and the kernels beside them.")
    ] = False,
) -> None:
    """Find the typical kernels of each function over any number of networks: their mean, spread, and how common.

    For kernels that see pixels, as in identify. Kernels of one function that are alike, once shift, orientation,
    polarity and the sign of colours are undone, make a face. Writes faces.png, faces.npz and three tables: faces.csv (a
    row a face), networks.csv (a row a face and network), kernels.csv (a row a kernel). With --beside, every kernel of
    another network is shown beside the face that it is most like; what is like none is without a face.
    """
    check(models, saved, beside, threshold)
    from filterscope.commands.progress import Bar

    fresh: list[Path] = []
    with Bar() as bar:
        if saved is not None:
            from filterscope.findings.faces_file import faces_of

            found = faces_of(saved)
        else:
            sources = [opened(model, device) for model in models or []]
            found, fresh = made(sources, threshold or TOGETHER, out, force, bar)
        for note in found.notes:
            typer.echo(f"filterscope: {note}", err=True)
        alike: list[Likeness] = []
        if beside is not None:
            alike, written = compared(found, opened(beside, device), out, force, bar)
            fresh = [*fresh, *written]
    if as_json:
        typer.echo(json.dumps(as_object(found, alike), indent=2))
        return
    for text in [*lines(found), *beside_lines(found, alike)]:
        typer.echo(text)
    if fresh:
        typer.echo(f"wrote {', '.join(path.name for path in fresh)} to {out}")
    else:
        typer.echo(f"nothing to write, all is there already: {out}")


def check(models: list[str] | None, saved: Path | None, beside: str | None, threshold: float | None) -> None:
    """Refuse what cannot be meant, before anything is loaded."""
    if saved is not None and models:
        raise FilterscopeError("give MODEL... to make faces, or --faces FILE to use some that were made, not both")
    if saved is None and not models:
        raise FilterscopeError("whose faces? give MODEL..., or --faces FILE and --beside MODEL")
    if saved is not None and beside is None:
        raise FilterscopeError(f"what is to be compared with the faces of {saved}? give --beside MODEL")
    if saved is not None and threshold is not None:
        raise FilterscopeError(f"the faces of {saved} have their threshold; --threshold is for making faces")
    if threshold is not None and not 0 < threshold < 1:
        raise FilterscopeError(f"--threshold is a correlation above 0 and below 1, not {threshold}")


def opened(model: str, device: str) -> "Source":
    """The kernels of a network or atlas."""
    from filterscope.atlas.previous import DATABASE
    from filterscope.findings.faces import source_of

    path = Path(model)
    if path.suffix == ".atlas" or (path / DATABASE).is_file():
        from filterscope.atlas import Atlas

        return source_of(Atlas(path))
    from filterscope.model import load

    network = load(model)
    move(network, device)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    return source_of(network)


def made(sources: "list[Source]", threshold: float, out: Path, force: bool, bar: Any) -> "tuple[Faces, list[Path]]":
    """The faces of networks, from their file if they were made in the same way; and what was written."""
    from filterscope.commands import faces_sheet
    from filterscope.findings.faces import faces as find
    from filterscope.findings.faces_file import VERSION, faces_of

    settings = {"kernels": sorted(one.content for one in sources), "threshold": threshold, "version": VERSION}
    paths = [out / name for name in ("faces.npz", "faces.csv", "networks.csv", "kernels.csv", "faces.png")]
    if not force and not is_needed(paths, settings):
        return faces_of(paths[0]), []
    bar.stage("kernels", "units", sum(one.count for one in sources), 0)
    found = find(sources, threshold=threshold, tick=bar.advance)
    out.mkdir(parents=True, exist_ok=True)
    found.save(paths[0])
    write_table(found.frame(), paths[1])
    write_table(found.by_network(), paths[2])
    write_table(found.members(), paths[3])
    write_sheet(faces_sheet.drawn(found), paths[4], settings)
    return found, paths


@dataclass(frozen=True)
class Place:
    """Where a network beside the faces goes."""

    table: Path
    sheet: Path


def compared(found: "Faces", source: "Source", out: Path, force: bool, bar: Any) -> "tuple[list[Likeness], list[Path]]":
    """The kernels of a network beside their nearest faces; and what was written."""
    from filterscope.atlas.sheets import file_name
    from filterscope.commands import beside_sheet

    digest = hashlib.sha256(b"".join(face.form.tobytes() for face in found.faces)).hexdigest()
    settings = {"faces": digest, "threshold": found.threshold, "kernels": source.content}
    place = Place(*(out / f"{file_name(source.name)}.beside.{kind}" for kind in ("csv", "png")))
    fresh = force or is_needed([place.table, place.sheet], settings)
    bar.stage(f"kernels of {source.name}", "units", source.count, 0)
    alike = found.nearest(source, tick=bar.advance)
    if not fresh:
        return alike, []
    out.mkdir(parents=True, exist_ok=True)
    write_table(beside_table(alike), place.table)
    write_sheet(beside_sheet.drawn(alike, found, source.name), place.sheet, settings)
    return alike, [place.table, place.sheet]


def is_needed(paths: list[Path], settings: dict[str, Any]) -> bool:
    """Whether something is still to be written; the sheet comes last, and says how all were made.

    Raises:
        FilterscopeError: if something else would be overwritten.
    """
    facts = figures_in(paths[-1]) if paths[-1].exists() else None
    if facts is not None and facts["settings"] == settings:
        return not all(path.exists() for path in paths)
    if there := next((path for path in paths if path.exists()), None):
        raise FilterscopeError(f"{there} exists already and was made otherwise; choose another --out, or give --force")
    return True


def write_table(frame: "pandas.DataFrame", path: Path) -> None:
    """A CSV that is never half there."""
    unfinished = path.with_name(path.name + ".part")
    frame.to_csv(unfinished, index=False)
    unfinished.replace(path)


def write_sheet(sheet: "Image.Image", path: Path, settings: dict[str, Any]) -> None:
    """A PNG that says how it was made."""
    from PIL.PngImagePlugin import PngInfo

    from filterscope.atlas.sheets import save

    info = PngInfo()
    info.add_text(CHUNK, json.dumps({"settings": settings}))
    save(sheet, path, info)


def beside_row(one: "Likeness") -> dict[str, Any]:
    """A kernel beside its nearest face, in figures."""
    return {
        "layer": one.shown.layer,
        "unit": one.shown.unit,
        "function": one.shown.function,
        "face": one.nearest.name if one.known else None,
        "nearest": one.nearest.name,
        "correlation": one.turn.likeness,
        "orientation": one.nearest.orientation(one.turn),
        "polarity": one.turn.polarity,
        "colours": one.turn.colours,
    }


def beside_table(alike: "list[Likeness]") -> "pandas.DataFrame":
    """A row a kernel."""
    import pandas

    return pandas.DataFrame([beside_row(one) for one in alike])


def as_object(found: "Faces", alike: "list[Likeness]") -> dict[str, Any]:
    """All as the JSON that `--json` prints: what is not applicable is null."""
    told = []
    for face in found.faces:
        row = {name: plain(value) for name, value in found.row(face).items()}
        kernels = [[one.shown.network, f"{one.shown.layer}:{one.shown.unit}"] for one in face.members]
        orientations = [face.orientation(one.turn) for one in face.members]
        told.append({**row, "by_network": found.count(face), "members": kernels, "orientations": orientations})
    alone = [[one.network, f"{one.layer}:{one.unit}", one.function] for one in found.alone]
    facts = {"threshold": found.threshold, "networks": found.counts, "faces": told, "alone": alone}
    return {**facts, "beside": [beside_row(one) for one in alike]} if alike else facts


def plain(value: Any) -> Any:
    """JSON knows no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def lines(found: "Faces") -> list[str]:
    """A line a face, one a function, one for all."""
    from filterscope.findings.faces import FUNCTIONS

    told = []
    for function in FUNCTIONS:
        own = [face for face in found.faces if face.function == function]
        alone = sum(one.function == function for one in found.alone)
        inside = sum(len(face.members) for face in own)
        told += [face_line(found.row(face)) for face in own]
        if inside + alone:
            told.append(f"{function}, {counted(inside + alone, 'kernel')}: {rest(inside, len(own), alone)}")
    where = counted(len(found.counts), "network")
    told.append(f"{counted(len(found.faces), 'face')} of {counted(found.total, 'kernel')} of {where}")
    return told


def face_line(row: dict[str, Any]) -> str:
    """A face in a line."""
    many = f"{counted(row['kernels'], 'kernel')} of {counted(row['networks'], 'network')}"
    return f"{row['function']} {row['face']}: {many}; {common(row)}; {agreement(row)}"


def common(row: dict[str, Any]) -> str:
    """How common a face is."""
    return f"{row['share']:.0%} ({row['share_low']:.0%} to {row['share_high']:.0%}) of all".replace("%", " %")


def agreement(row: dict[str, Any]) -> str:
    """How alike its kernels are."""
    told = f"r {row['correlation']:.2f}"
    if math.isnan(row["correlation_low"]):
        return told
    return f"{told} ({row['correlation_low']:.2f} to {row['correlation_high']:.2f})"


def rest(inside: int, faces: int, alone: int) -> str:
    """How many kernels of a function have a face."""
    parts = [f"{inside} in {counted(faces, 'face')}"] if inside else []
    return ", ".join([*parts, *([f"{alone} like no other"] if alone else [])])


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(2, "face")
        '2 faces'
    """
    return f"{count} {noun}{'s' * (count != 1)}"


def beside_lines(found: "Faces", alike: "list[Likeness]") -> list[str]:
    """A line a kernel of the network beside the faces, and one for all."""
    if not alike:
        return []
    told = [f"{one.shown.layer}:{one.shown.unit}: {one.shown.function}; {likeness_line(one)}" for one in alike]
    known = sum(one.known for one in alike)
    chance = found.by_chance([one.shown for one in alike])
    told.append(
        f"{known} of {counted(len(alike), 'kernel')} have a face; of shuffled kernels {chance:.0%}".replace("%", " %")
    )
    return told


def likeness_line(one: "Likeness") -> str:
    """What a kernel is like, and what lies between."""
    between = f"r {one.turn.likeness:.2f}{''.join(f', {part}' for part in differences(one))}"
    if one.known:
        return f"face {one.nearest.name}, {between}"
    return f"without a face; nearest {one.nearest.name}, r {one.turn.likeness:.2f}"


def differences(one: "Likeness") -> list[str]:
    """What lies between a kernel and its face, in words; a sign that is not seen is not told."""
    from filterscope.findings.alignment import PARTS

    orientation = one.nearest.orientation(one.turn)
    told = [] if orientation is None else [f"at {orientation:.3g}°"]
    strength = [float((one.nearest.form[axes] ** 2).sum()) for axes in PARTS]
    signs = [sign for sign, share in zip((one.turn.polarity, one.turn.colours), strength, strict=True) if share > SEEN]
    if len(set(signs)) == 1:
        return [*told, *(["negated"] if signs[0] < 0 else [])]
    return [*told, "light and dark exchanged" if signs[0] < 0 else "colours exchanged"]
