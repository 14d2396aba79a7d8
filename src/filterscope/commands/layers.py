"""`filterscope layers`: the layers of a network: shape, kernel, receptive field, parameters, FLOPs."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterscope.commands.inspect import MODEL_HELP

if TYPE_CHECKING:
    from rich.table import Table

    from filterscope.atlas.records import Layer, Pair


def layers(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects; pairs are [height, width].")] = False,
) -> None:
    """List the convolutions in execution order: shape, kernel, receptive field, parameters, FLOPs."""
    from rich.console import Console

    from filterscope.model import load

    network = load(model)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    found = network.layers()
    if as_json:
        typer.echo(json.dumps([as_object(layer) for layer in found], indent=2))
        return
    console = Console()
    # Written to a file or a pipe, a table is as wide as it needs to be.
    Console(width=None if console.is_terminal else 200).print(as_table(found))


def as_object(layer: "Layer") -> dict[str, Any]:
    """A layer as the JSON that `--json` prints."""
    names = [
        "name",
        "kind",
        "channels",
        "kernel",
        "stride",
        "padding",
        "dilation",
        "groups",
        "output_size",
        "parameters",
        "flops",
        "calls",
    ]
    field = None
    if layer.field_size is not None:
        field = {"size": layer.field_size, "stride": layer.field_stride, "start": layer.field_start}
    return {
        **{name: getattr(layer, name) for name in names},
        "receptive_field": field,
        "whole_image": layer.whole_image,
        "gated": layer.gated,
        "observed": layer.observed,
    }


def pair(value: "Pair | None") -> str:
    """A pair as people write it: 3, or 3x5."""
    if value is None:
        return "-"
    return str(value[0]) if value[0] == value[1] else f"{value[0]}x{value[1]}"


def count(value: int | None) -> str:
    """A large number in thousands or millions.

    Example:
        >>> count(1_234_567), count(640)
        ('1.23 M', '640')
    """
    if value is None:
        return "-"
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if value >= size:
            return f"{value / (1000 if letter == 'k' else size):.3g} {letter}"
    return str(value)


def as_table(found: "list[Layer]") -> "Table":
    """The layers as a table for people."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("", "layer", "kind", "units"):
        table.add_column(title, justify="right" if title in ("", "units") else "left", no_wrap=True)
    for title in (
        "kernel",
        "stride",
        "pad",
        "dil.",
        "groups",
        "output",
        "field",
        "f. stride",
        "params",
        "FLOPs",
        "calls",
    ):
        table.add_column(title, justify="right", no_wrap=True)
    for layer in found:
        field = "image" if layer.whole_image else pair(layer.field_size)
        table.add_row(
            str(layer.position),
            layer.name,
            layer.kind,
            str(layer.channels),
            *(pair(value) for value in (layer.kernel, layer.stride, layer.padding, layer.dilation)),
            str(layer.groups or "-"),
            pair(layer.output_size),
            f"{field} + gate" if layer.gated else field,
            pair(layer.field_stride),
            count(layer.parameters),
            count(layer.flops),
            str(layer.calls),
        )
    return table
