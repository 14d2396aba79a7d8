"""`filterscope identify`: what each filter and each layer does, in per cent, by behaviour or by kernels."""

from pathlib import Path
from typing import Annotated

import typer

from filterscope.commands.inspect import MODEL_HELP
from filterscope.errors import FilterscopeError, UnknownName

METHOD_NAMES = ("behaviour", "kernels", "l2")


def identify(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"{MODEL_HELP} Or an atlas, X.atlas.")],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Photographs for --method behaviour, as for inspect; without, scenes are drawn."
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER",
            help="A line for each of its filters. Default: a line a layer (behaviour), or all kernels of pixels.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="behaviour|kernels|l2",
            help="What filters answer to, in all layers; or, of kernels that see pixels, correlation over shift, "
            "rotation, scale, polarity, phase and colour; or the plain L2 distance, to see how it fails.",
        ),
    ] = "behaviour",
    threshold: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Lower bound from which on a function is named in a compound label."),
    ] = 0.1,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where sheets, tables and the atlas go.")] = Path(
        "identified"
    ),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Objects: of units (kernels, l2), or of layers and units (behaviour).")
    ] = False,
) -> None:
    """Say in per cent what each filter and each layer does: colour, edge, texture, part, whole.

    By behaviour: what drawn stimuli do to each filter, and what is left of its response to the strongest parts of
    images when colour, detail, arrangement, surround or one tile is taken from them; told by a classifier that was
    fitted on networks whose filters have a known function, with 90 % intervals. All layers.

    By kernels: which classic filter each kernel is like. For layers that see the image's pixels, which is the first
    convolution in most networks, and for the effective kernels of an atlas (filterscope identify X.atlas).
    """
    if method not in METHOD_NAMES:
        raise UnknownName.of("method", method, METHOD_NAMES, "it is 'behaviour', 'kernels' or 'l2'")
    if method == "behaviour":
        from filterscope.commands.identify_behaviour import by_behaviour

        by_behaviour(model, images, layer, threshold, out, device, force=force, as_json=as_json)
        return
    if images is not None:
        raise FilterscopeError(f"--method {method} looks at weights and at no images; leave --images out")
    from filterscope.commands.identify_kernels import by_kernels

    by_kernels(model, layer, method, out, device, force=force, as_json=as_json)
