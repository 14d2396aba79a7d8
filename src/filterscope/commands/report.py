"""`filterscope report`: atlases as a page that opens from disk."""

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterscope.errors import FilterscopeError

if TYPE_CHECKING:
    from filterscope.atlas import Atlas
    from filterscope.report import Written

OPEN_HELP = "Show the report in the browser."
NO_REPORT_HELP = "Write the atlas alone."


def report(
    atlases: Annotated[
        list[Path], typer.Argument(metavar="ATLAS...", help="One atlas, or several that the page can compare.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Where the report goes; default: beside the first atlas, X.report."),
    ] = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="One .html with everything in it, to be mailed.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help=OPEN_HELP)] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there already.")] = False,
) -> None:
    """Write a page that shows everything an atlas holds; a double click opens it.

    It needs no server, no network and no installation. A folder by default, whose pictures are loaded when they come
    into view; keep it together when it is moved. An atlas that is not finished is shown as far as it goes.
    """
    from filterscope.commands.progress import Bar
    from filterscope.report import publish

    with Bar() as bar:
        written = publish(atlases, out, single_file=single_file, force=force, watcher=bar)
    finish(written, show=show)


def follow_up(atlas: "Atlas", *, show: bool, force: bool) -> None:
    """Write the report of an atlas that was just made, beside it, and say so.

    It replaces an earlier report of the same network without a question, since it can be written again at any time. A
    place that is taken by something else is no reason to fail: the atlas is there.
    """
    from filterscope.commands.progress import Bar
    from filterscope.report import publish

    try:
        with Bar() as bar:
            written = publish(atlas, force=force, renew=True, watcher=bar)
    except FilterscopeError as error:
        notify([f"no report was written: {error}"])
        return
    finish(written, show=show)


def finish(written: "Written", *, show: bool) -> None:
    """Say what was written where, and open it if that was asked for."""
    notify(written.notes)
    size = f"{written.size / 1e6:.1f} MB" if written.size >= 1e6 else f"{written.size / 1e3:.0f} kB"
    typer.echo(f"wrote {written.path}: {written.layers} layers, {written.units} units, {size}; open it in a browser")
    if show and not webbrowser.open(written.path.resolve().as_uri()):
        notify([f"no browser could be started; open {written.path} by hand"])


def notify(notes: Sequence[str]) -> None:
    """What the user should know, on standard error."""
    for note in notes:
        typer.echo(f"filterscope: {note}", err=True)
