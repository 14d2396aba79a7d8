"""`filterscope figure`: one figure for a paper, as PNG, SVG or PDF."""

from pathlib import Path
from typing import Annotated

import typer

from filterscope.errors import FilterscopeError

ENDINGS = (".png", ".svg", ".pdf")


def figure(
    atlas: Annotated[Path, typer.Argument(metavar="ATLAS", help="An atlas, NAME.atlas.", show_default=False)],
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="LAYER[:UNIT]...",
            help="A layer, or units: LAYER:4, LAYER:4,7,9, LAYER:0-7; or capacity: probes and widths of all layers.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help=".png, .svg or .pdf; default: a PNG named after the target."),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="optimum, patches, backprojections or kernel alone; family: a unit's copies; default: all.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Order of a layer's units: max, firing_rate, ratio, ..., largest first; -COLUMN: smallest first.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", help="So many units of a layer at most.")] = 64,
    width: Annotated[float, typer.Option(metavar="MM", help="85: one column of a paper, 170: both.")] = 170,
    dpi: Annotated[float, typer.Option(help="Pixels of the pictures per inch.")] = 300,
    title: Annotated[bool, typer.Option("--title/--no-title", help="The name above.")] = True,
    caption: Annotated[bool, typer.Option("--caption/--no-caption", help="What it shows, below.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Draw a layer's filters, or a filter with its optimum and strongest patches, as a figure for a paper.

    All pictures of a kind are at one scale, and a bar says how long some pixels of the input are. Text stays text.
    """
    from filterscope.atlas.sheets import file_name

    path = out or Path(f"{file_name('_'.join(targets))}.png")
    check_out(path, force)
    from filterscope.report.figure import figure as draw

    drawn = draw(atlas, targets, show=show, sort=sort, count=count, width=width, dpi=dpi, title=title, caption=caption)
    drawn.write(path)
    across, down = drawn.get_size_inches() * 25.4
    typer.echo(f"wrote {path}: {across:.0f} x {down:.0f} mm")


def check_out(path: Path, force: bool) -> None:
    """Refuse a file that cannot be written, or must not be."""
    if path.suffix.lower() not in ENDINGS:
        raise FilterscopeError(f"a figure is a file {', '.join(ENDINGS)}, not {path.name!r}")
    if path.is_dir():
        raise FilterscopeError(f"{path} is a folder; give --out a file")
    if path.exists() and not force:
        raise FilterscopeError(f"{path} exists already; choose another --out, or give --force")
