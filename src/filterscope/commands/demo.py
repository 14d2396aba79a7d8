"""`filterscope demo`: the bundled network and its drawn images, everything at once."""

from pathlib import Path
from typing import Annotated

import typer

from filterscope.commands.report import NO_REPORT_HELP, OPEN_HELP


def demo(
    out: Annotated[Path, typer.Option(metavar="ATLAS", help="Where the atlas goes.")] = Path("demo.atlas"),
    images: Annotated[int, typer.Option(min=1, max=100_000, help="How many creatures are drawn.")] = 600,
    force: Annotated[bool, typer.Option("--force", help="Begin the atlas anew.")] = False,
    show: Annotated[bool, typer.Option("--open", help=OPEN_HELP)] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help=NO_REPORT_HELP)] = False,
) -> None:
    """Look into the bundled network with images drawn on the spot. Needs no network connection.

    A small VGG-style network that tells drawn creatures apart: an atlas with every filter's kernel, statistics,
    strongest patches and optimum, a picture sheet per layer, and beside it
    the report: a page that shows it all.
    """
    from filterscope import inspection
    from filterscope.commands.inspect import summary
    from filterscope.commands.progress import Bar
    from filterscope.commands.report import follow_up
    from filterscope.demo.creatures import CLASSES, Creatures
    from filterscope.images import open_images
    from filterscope.lenses import Perturbations
    from filterscope.model import load

    # Half of the usual parts of images: the network is small, and nobody wants to wait for a demonstration.
    lenses = [
        Perturbations(crops=96) if name == "perturbations" else kind() for name, kind in inspection.LENSES.items()
    ]
    source = open_images(Creatures(images, seed=1), classes=CLASSES)
    with Bar() as bar:
        atlas = inspection.inspect(load("demo"), source, out, lenses=lenses, force=force, watcher=bar)
    typer.echo(summary(atlas, bar.written))
    if not no_report:
        follow_up(atlas, show=show, force=force)
