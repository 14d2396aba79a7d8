"""`filterscope ablate`: switch filters off, together and each alone, and see what becomes of the answers."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterscope.commands.inspect import MODEL_HELP, move
from filterscope.errors import FilterscopeError

if TYPE_CHECKING:
    from rich.table import Table

    from filterscope.findings.ablation import Ablated, Effect
    from filterscope.findings.intervals import Interval

NOTHING = "-"
"""Where nothing can be said."""


def ablate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    units: Annotated[
        list[str] | None, typer.Argument(metavar="UNIT...", help="Units, written LAYER:INDEX.", show_default=False)
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder (class subfolders, labels.csv, or no labels) or .npz with x and y."),
    ] = None,
    mean: Annotated[
        bool, typer.Option("--mean", help="Hold each unit at its mean over the images; default: at 0.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="So many images at most, spread over all; default: every one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the table here as well, as .csv.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="An object: the images, and what each row says.")] = False,
) -> None:
    """Switch filters off, together and each alone, and see what becomes of the network's answers.

    A filter is switched off by holding its pre-activation at 0 everywhere (--mean: at its mean), so that what reads it
    after a ReLU reads 0. The answers are compared with those of the network as it is to the same images: accuracy, loss
    and margin of the right class with 95 % intervals, the share of answers that stay, the class that loses most.
    """
    from filterscope.commands.progress import Bar
    from filterscope.findings.ablation import ablate_groups
    from filterscope.findings.reading import spread
    from filterscope.images import open_images
    from filterscope.inspection import choose_workers
    from filterscope.model import load

    chosen = list(dict.fromkeys(units or []))
    if not chosen:
        raise FilterscopeError("nothing to switch off: give units (LAYER:INDEX, see: filterscope layers MODEL)")
    if images is None:
        raise FilterscopeError("nothing to compare answers on; give images with --images DIR")
    check_out(out, force)
    network = load(model)
    move(network, device)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    alone = [((layer.name, index),) for layer, index in map(network.unit, chosen)]
    groups = [tuple(one for group in alone for one in group), *alone] if len(alone) > 1 else alone
    source = open_images(images, classes=network.classes or None)
    with Bar() as bar:
        bar.stage("answers", "images", len(groups) * len(spread(len(source), limit)), 0)
        found = ablate_groups(
            network,
            source,
            groups,
            value="mean" if mean else 0.0,
            limit=limit,
            workers=choose_workers(source),
            tick=bar.advance,
        )
    rows = [as_row(found, number) for number in range(len(groups))]
    if out is not None:
        write(rows, out)
    if as_json:
        typer.echo(json.dumps({**of_all(found, mean), "ablations": rows}, indent=2))
        return
    show(found, mean)
    if out is not None:
        typer.echo(f"wrote {out}")


def check_out(out: Path | None, force: bool) -> None:
    """Refuse a file that cannot be written, or must not be."""
    if out is None:
        return
    if out.suffix.lower() != ".csv":
        raise FilterscopeError(f"the table is a file .csv, not {out.name!r}")
    if out.is_dir():
        raise FilterscopeError(f"{out} is a folder; give --out a file")
    if out.exists() and not force:
        raise FilterscopeError(f"{out} exists already; choose another --out, or give --force")


def write(rows: list[dict[str, Any]], out: Path) -> None:
    """The table as a file, whole or not at all."""
    import pandas

    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f"{out.name}.part")
    pandas.DataFrame(rows).to_csv(unfinished, index=False)
    unfinished.replace(out)


def of_all(found: "Ablated", mean: bool) -> dict[str, Any]:
    """What is the same for every row."""
    known = found.labels >= 0
    some = bool(known.any())
    return {
        "images": len(found.ids),
        "of_a_known_class": int(known.sum()),
        "held_at": "mean" if mean else 0,
        "accuracy": float(found.bare_correct()[known].mean()) if some else None,
        "loss": float(found.bare.loss[known].mean()) if some else None,
        "margin": float(found.bare.margin[known].mean()) if some else None,
    }


def as_row(found: "Ablated", number: int) -> dict[str, Any]:
    """What switching a group off does, as JSON and tables have it: changes are after less before."""
    effect = found.effect(number)
    row: dict[str, Any] = {
        "units": " ".join(f"{layer}:{unit}" for layer, unit in effect.units),
        "held": " ".join(f"{level:.6g}" for level in found.held[number]),
        "agreement": effect.agreement,
        "lost": effect.lost if effect.accuracy else None,
        "won": effect.won if effect.accuracy else None,
    }
    for name in ("accuracy", "loss", "margin"):
        interval = getattr(effect, name) or (None, None, None)
        for part, value in zip(("change", "low", "high"), interval, strict=True):
            row[f"{name}_{part}"] = value if value is not None and math.isfinite(value) else None
    return {**row, "worst_class": effect.worst_class, "worst_change": effect.worst_change}


def show(found: "Ablated", mean: bool) -> None:
    """Print what the network does with all filters, and a table of what it does without."""
    from rich.console import Console

    facts = of_all(found, mean)
    typer.echo(f"{facts['images']} images; switched off: pre-activation held at {'its mean' if mean else '0'}")
    if found.is_labelled:
        typer.echo(
            f"with all filters: {facts['accuracy']:.1%} right, loss {facts['loss']:.3f}, margin {facts['margin']:+.2f}"
        )
    else:
        typer.echo("no image has a class that the network knows: only whether answers stay the same can be told")
    for layer, reason in found.whole.items():
        typer.echo(f"{layer}: measured in whole forward passes, since {reason}")
    console = Console()
    # Written to a file or a pipe, a table is as wide as it needs to be.
    Console(width=None if console.is_terminal else 200).print(as_table(found))


def as_table(found: "Ablated") -> "Table":
    """A line a group of filters."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("without", overflow="fold")
    table.add_column("same answer", justify="right")
    if found.is_labelled:
        for title in ("accuracy, points", "lost, won", "loss", "margin"):
            table.add_column(title, justify="right")
        table.add_column("worst class, points")
    for effect in found.effects():
        table.add_row(*cells(effect))
    return table


def cells(effect: "Effect") -> list[str]:
    """A line of the table."""
    names = [f"{layer}:{unit}" for layer, unit in effect.units]
    row = [names[0] if len(names) == 1 else f"all {len(names)} together", f"{effect.agreement:.1%}"]
    if effect.accuracy is None:
        return row
    row += [points(effect.accuracy), f"{effect.lost}, {effect.won}", plain(effect.loss), plain(effect.margin)]
    worst = NOTHING if effect.worst_change is None else f"{effect.worst_class} {100 * effect.worst_change:+.1f}"
    return [*row, worst]


def points(interval: "Interval") -> str:
    """A change of a share in points."""
    value, low, high = (100 * one for one in interval)
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def plain(interval: "Interval | None") -> str:
    """A mean change, with its interval where there is one."""
    if interval is None:
        return NOTHING
    value, low, high = interval
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]" if math.isfinite(low) else f"{value:+.3f}"
