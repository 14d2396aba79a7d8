"""`filterscope optimum`: the image that a unit or a class would love to see."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterscope.commands.inspect import MODEL_HELP, move
from filterscope.errors import FilterscopeError

if TYPE_CHECKING:
    from filterscope.ascent import OptimalImage
    from filterscope.model import Network


def optimum(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    units: Annotated[
        list[str] | None, typer.Argument(metavar="UNIT...", help="Units, written LAYER:INDEX.", show_default=False)
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="NAME", help="A class, by name or number; may be repeated.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="quick, full, keras2017, yosinski (yosinski-1 to -4), lucid, maco.")
    ] = "quick",
    negative: Annotated[bool, typer.Option("--negative", help="As far down as can be.")] = False,
    diverse: Annotated[int, typer.Option(min=0, metavar="N", help="N images of each unit that differ.")] = 0,
    steps: Annotated[int | None, typer.Option(metavar="N", help="At most so many; default: the preset's.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same image.")] = 0,
    gif: Annotated[bool, typer.Option("--gif", help="Write the ascent as an animation as well.")] = False,
    judge: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A second network; says whether class images convince it too.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pictures go.")] = Path("optima"),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Overwrite pictures that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects, the figures of every image.")] = False,
) -> None:
    """Make the image that a unit or a class would love to see, by gradient ascent, as PNG.

    The figures of each stand in its line: pre-activation on the clean picture, its rank in the layer, what is left of
    it when the picture is disturbed; for a class the network's probability.
    """
    from filterscope.ascent.recipes import recipe
    from filterscope.model import load

    units, classes = units or [], classes or []
    check(units, classes, negative, diverse, judge)
    recipe(preset, steps=steps)
    network = load(model)
    move(network, device)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    paths = planned(network, units, classes, preset, negative, diverse, seed, out)
    refuse_overwriting([*paths, *([path.with_suffix(".gif") for path in paths] if gif else [])], force)
    settings: dict[str, Any] = {"preset": preset, "steps": steps, "seed": seed, "animate": gif}
    second = load(judge) if judge else None
    images = made(network, units, classes, negative, diverse, second, settings)
    facts = []
    for path, image in zip(paths, images, strict=True):
        write(image, path, gif)
        facts.append(as_object(image, path))
        if not as_json:
            typer.echo(image.caption)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        typer.echo(f"wrote {len(paths)} picture{'s' * (len(paths) != 1)}{' and animations' * gif} to {out}")


def check(units: list[str], classes: list[str], negative: bool, diverse: int, judge: str | None) -> None:
    """Refuse what does not go together."""
    if not units and not classes:
        raise FilterscopeError(
            "nothing to make: give units (LAYER:INDEX, see: filterscope layers MODEL) or --class NAME"
        )
    if diverse and (classes or negative):
        raise FilterscopeError("--diverse is for units, without --class and --negative")
    if diverse == 1:
        raise FilterscopeError("--diverse: at least 2 images can differ")
    if judge and not classes:
        raise FilterscopeError("--judge says what a second network makes of class images: give --class NAME")


def planned(
    network: "Network",
    units: list[str],
    classes: list[str],
    preset: str,
    negative: bool,
    diverse: int,
    seed: int,
    out: Path,
) -> list[Path]:
    """Where each picture goes; everything that does not exist is refused before any work is done."""
    from filterscope.ascent.objectives import class_number

    sign = "negative." if negative else ""
    names = []
    for unit in units:
        network.unit(unit)
        numbers = [f"diverse-{number}." for number in range(1, diverse + 1)] or [""]
        names += [f"{unit.replace(':', '_')}.{sign}{number}{preset}.seed{seed}" for number in numbers]
    for name in classes:
        number = class_number(network, name)
        label = network.classes[number] if network.classes else str(number)
        names.append(f"class_{label}.{sign}{preset}.seed{seed}")
    return [out / f"{''.join(c if c.isalnum() or c in '._-' else '_' for c in name)}.png" for name in names]


def refuse_overwriting(paths: list[Path], force: bool) -> None:
    """Nothing is overwritten without --force."""
    there = [path for path in paths if path.exists()]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise FilterscopeError(f"{there[0]}{more} exists already; choose another --out or --seed, or give --force")


def made(
    network: "Network",
    units: list[str],
    classes: list[str],
    negative: bool,
    diverse: int,
    judge: "Network | None",
    settings: dict[str, Any],
) -> "Iterator[OptimalImage]":
    """The images, one after the other, in the order in which they were asked for."""
    from filterscope.ascent import diverse_optima, optimum
    from filterscope.ascent.objectives import class_evidence

    for unit in units:
        if diverse:
            yield from diverse_optima(network, unit, diverse, **settings)
        else:
            yield optimum(network, unit, negative=negative, **settings)
    for name in classes:
        yield optimum(network, class_evidence(name), negative=negative, judge=judge, **settings)


def write(image: "OptimalImage", path: Path, gif: bool) -> None:
    """Save a picture, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.part.png")
    image.save(unfinished)
    unfinished.replace(path)
    if gif:
        image.save_animation(path.with_suffix(".gif"))


def as_object(image: "OptimalImage", path: Path) -> dict[str, Any]:
    """An image's figures as the JSON that `--json` prints."""
    names = ("target", "preset", "seed", "score", "status", "steps", "seconds", "selectivity_rank", "robustness")
    facts = {name: getattr(image, name) for name in (*names, "probability")}
    verdict = None if image.verdict is None else {**vars(image.verdict), "agrees": image.verdict.agrees}
    return {**facts, "judge": verdict, "picture": str(path)}
