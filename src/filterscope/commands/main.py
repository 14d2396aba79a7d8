"""The program `filterscope`: its commands, and how a user's mistake is shown."""

import sys

import typer

from filterscope.commands.ablate import ablate
from filterscope.commands.activations import activations
from filterscope.commands.backproject import backproject
from filterscope.commands.demo import demo
from filterscope.commands.diagnose import diagnose
from filterscope.commands.faces import faces
from filterscope.commands.figure import figure
from filterscope.commands.identify import identify
from filterscope.commands.inspect import inspect
from filterscope.commands.layers import layers
from filterscope.commands.optimum import optimum
from filterscope.commands.reconstruct import reconstruct
from filterscope.commands.report import report
from filterscope.commands.trim import trim
from filterscope.errors import FilterscopeError

app = typer.Typer(
    name="filterscope",
    help="Open a trained convolutional network and see what every filter looks for.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
app.command()(demo)
app.command()(layers)
app.command()(inspect)
app.command()(optimum)
app.command()(activations)
app.command()(backproject)
app.command()(reconstruct)
app.command()(identify)
app.command()(faces)
app.command()(diagnose)
app.command()(ablate)
app.command()(trim)
app.command()(report)
app.command()(figure)


def show_version(wanted: bool) -> bool:
    """Print the version and end."""
    if wanted:
        from filterscope import __version__

        typer.echo(__version__)
        raise typer.Exit
    return wanted


@app.callback()
def program(
    version: bool = typer.Option(False, "--version", callback=show_version, is_eager=True, help="Show the version."),
) -> None:
    """Open a trained convolutional network and see what every filter looks for."""


def main() -> None:
    """Run a command. Exit code 0: done, 1: a check said no, 2: the user's mistake, told in one line."""
    try:
        app()
    except FilterscopeError as error:
        tell(str(error))
        sys.exit(2)
    except SystemExit as ended:
        # Ctrl-C: typer has turned it into the exit code that shells expect.
        if ended.code == 130:
            tell("interrupted; what was finished is kept, run the same command again to go on")
        raise


def tell(text: str) -> None:
    """One line on standard error."""
    typer.echo(f"filterscope: {' '.join(text.split())}", err=True)
