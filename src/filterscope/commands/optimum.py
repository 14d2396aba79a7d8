"""`filterscope optimum`: the image that a unit or a class would love to see."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterscope.commands.chunk import CHUNK, figures_in
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
    it when the picture is disturbed; for a class the network's probability. Interrupted, it keeps what is finished; run
    again, it goes on with what is missing.
    """
    from filterscope.ascent.recipes import recipe
    from filterscope.commands.progress import Bar
    from filterscope.model import load

    units, classes = units or [], classes or []
    check(units, classes, negative, diverse, judge)
    recipe(preset, steps=steps)
    network = load(model)
    move(network, device)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    how: dict[str, Any] = {"preset": preset, "steps": steps, "seed": seed}
    orders = ordered(network, units, classes, negative, diverse, out, preset, seed)
    settings = {**how, "judge": judge, "network": network.digest}
    made = {} if force else already_made(orders, settings, gif)
    second = load(judge) if judge else None
    facts = []
    with Bar() as bar:
        bar.stage("optima", "pictures", sum(len(order.paths) for order in orders), 0)
        for order in orders:
            for found in made.get(order) or make(order, network, second, gif, how, settings):
                facts.append(found)
                if not as_json:
                    typer.echo(found["caption"])
                bar.advance(1)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    fresh = sum(len(order.paths) for order in orders if order not in made)
    if fresh:
        typer.echo(f"wrote {fresh} picture{'s' * (fresh != 1)}{' and animations' * gif} to {out}")
    else:
        typer.echo(f"nothing to do, all is there already: {out}")


@dataclass(frozen=True)
class Order:
    """What is to be made of one unit or class, and where its pictures go."""

    target: str
    is_class: bool
    negative: bool
    diverse: int
    paths: tuple[Path, ...]


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


def ordered(
    network: "Network",
    units: list[str],
    classes: list[str],
    negative: bool,
    diverse: int,
    out: Path,
    preset: str,
    seed: int,
) -> list[Order]:
    """Everything asked for; what does not exist is refused before any work is done."""
    from filterscope.ascent.objectives import class_number

    sign = "negative." if negative else ""
    orders = []
    for unit in dict.fromkeys(units):
        network.unit(unit)
        numbers = [f"diverse-{number}." for number in range(1, diverse + 1)] or [""]
        names = [f"{unit.replace(':', '_')}.{sign}{number}{preset}.seed{seed}" for number in numbers]
        orders.append(Order(unit, False, negative, diverse, tuple(place(out, name) for name in names)))
    for name in dict.fromkeys(classes):
        number = class_number(network, name)
        label = network.classes[number] if network.classes else str(number)
        path = place(out, f"class_{label}.{sign}{preset}.seed{seed}")
        orders.append(Order(name, True, negative, 0, (path,)))
    return orders


def place(out: Path, name: str) -> Path:
    """Where a picture of that name goes."""
    from filterscope.atlas.sheets import file_name

    return out / f"{file_name(name)}.png"


def already_made(orders: list[Order], settings: dict[str, Any], gif: bool) -> dict[Order, list[dict[str, Any]]]:
    """The orders whose pictures are all there, made with these settings, and the figures that were written into them.

    Raises:
        FilterscopeError: if a picture would be overwritten that was made otherwise.
    """
    made = {}
    for order in orders:
        found = [figures_in(path) for path in order.paths]
        known = [facts for facts in found if facts is not None and facts["settings"] == settings]
        others = [path for path, facts in zip(order.paths, found, strict=True) if path.exists() and facts not in known]
        # An animation is written after its picture: one without is somebody else's.
        alone = [path.with_suffix(".gif") for path in order.paths if gif and not path.exists()]
        if strangers := [path for path in (*others, *alone) if path.exists()]:
            raise FilterscopeError(
                f"{strangers[0]} exists already and was made otherwise; choose another --out or --seed, or give --force"
            )
        animated = all(path.with_suffix(".gif").exists() for path in order.paths) or not gif
        if animated and len(known) == len(order.paths):
            made[order] = [{key: facts[key] for key in facts if key != "settings"} for facts in known]
    return made


def make(
    order: Order,
    network: "Network",
    judge: "Network | None",
    gif: bool,
    how: dict[str, Any],
    settings: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """Make, write and describe the pictures of an order."""
    from PIL.PngImagePlugin import PngInfo

    from filterscope.ascent import diverse_optima, optimum
    from filterscope.ascent.objectives import class_evidence
    from filterscope.atlas.sheets import save

    if order.diverse:
        images = diverse_optima(network, order.target, order.diverse, animate=gif, **how)
    else:
        target = class_evidence(order.target) if order.is_class else order.target
        judging = judge if order.is_class and not order.negative else None
        images = [optimum(network, target, negative=order.negative, judge=judging, animate=gif, **how)]
    for image, path in zip(images, order.paths, strict=True):
        facts = as_object(image, path)
        info = PngInfo()
        info.add_text(CHUNK, json.dumps({**facts, "settings": settings}))
        save(image.image(), path, info)
        if gif:
            image.save_animation(path.with_suffix(".gif"))
        yield facts


def as_object(image: "OptimalImage", path: Path) -> dict[str, Any]:
    """An image's figures as the JSON that `--json` prints."""
    names = ("target", "preset", "seed", "score", "status", "steps", "seconds", "selectivity_rank", "robustness")
    facts = {name: getattr(image, name) for name in (*names, "probability")}
    # JSON knows no NaN.
    facts["score"] = image.score if math.isfinite(image.score) else None
    verdict = None if image.verdict is None else {**vars(image.verdict), "agrees": image.verdict.agrees}
    return {**facts, "judge": verdict, "picture": str(path), "caption": image.caption}
