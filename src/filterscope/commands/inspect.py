"""`filterscope inspect`: every lens over every layer, into an atlas."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterscope.commands.report import NO_REPORT_HELP, OPEN_HELP
from filterscope.errors import FilterscopeError

if TYPE_CHECKING:
    from filterscope.atlas import Atlas
    from filterscope.lenses import Lens
    from filterscope.model import Network

MODEL_HELP = (
    "demo, torchvision:NAME[@WEIGHTS], timm:NAME[@WEIGHTS] (WEIGHTS: DEFAULT, a name, or a file; without: random), "
    "or a folder with model.toml."
)

LENS_NAMES = (
    "kernels, patches, backprojections, effective_kernels, tuning, perturbations, functions, "
    "optima, classes, activations, moments, redundancy, families, capacity, generalisation"
)


def inspect(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder (class subfolders, labels.csv, or no labels) or .npz with x and y."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="ATLAS", help="Where the atlas goes; default: MODEL.atlas.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers", metavar="NAME", help="Layer, pattern such as 'features.*', or any module; may be repeated."
        ),
    ] = None,
    lens: Annotated[
        list[str] | None,
        typer.Option(
            "--lens", help=f"{LENS_NAMES}; may be repeated. Default: all up to activations; diagnose uses the rest."
        ),
    ] = None,
    patches: Annotated[int, typer.Option(min=1, max=100, help="Strongest patches per unit.")] = 9,
    tile: Annotated[
        int, typer.Option(min=8, max=512, help="Side of a patch on the sheets, in pixels, at the most.")
    ] = 64,
    kernel_scale: Annotated[
        str, typer.Option(metavar="layer|unit", help="What full colour of a kernel stands for.")
    ] = "unit",
    back_projection: Annotated[
        list[str] | None,
        typer.Option(
            "--back-projection",
            metavar="METHOD",
            help="Of the patches: guided, deconvnet, gradient or 'gradient x input'; may be repeated. Default: guided.",
        ),
    ] = None,
    map_image: Annotated[
        list[str] | None,
        typer.Option(
            "--map-image",
            metavar="IMAGE",
            help="Name or number of an image whose activation maps are kept; may be repeated. Default: of each class.",
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="How optima and classes are made: quick, full, keras2017, yosinski (yosinski-1 to -4), lucid, maco."
        ),
    ] = "quick",
    steps: Annotated[int | None, typer.Option(metavar="N", help="Steps of an ascent; default: the preset's.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Optima per unit.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the first optimum, and of the class images.")] = 0,
    order: Annotated[str, typer.Option(metavar="activation|index", help="Of the optima on a sheet.")] = "activation",
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--classes",
            metavar="NAME",
            help="Class that gets an image, or 'all'; may be repeated. Default: all, where there are at most 100.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images at a time.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that decode images.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Begin the atlas anew.")] = False,
    show: Annotated[bool, typer.Option("--open", help=OPEN_HELP)] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help=NO_REPORT_HELP)] = False,
) -> None:
    """Look at every unit of every layer and keep what is seen in an atlas.

    Kernels, activation statistics over the images, the strongest real patches of every unit and what in them it answers
    to, the one linear filter of pixels that comes nearest to what it does, and its optimum: the image that it would
    love to see. For every class such an image too, and the units that speak for it. The activation maps
    of a dozen images. With a picture sheet per layer and lens. Interrupted, it goes on where it was; run again, it does
    nothing.

    Beside the atlas goes its report, a page that shows it all: MODEL.report/index.html.
    """
    from filterscope import inspection
    from filterscope.commands.progress import Bar
    from filterscope.commands.report import follow_up
    from filterscope.lenses.classes import chosen_classes
    from filterscope.model import load

    lenses = chosen(
        lens,
        images is not None,
        patches={"count": patches, "tile": tile},
        backprojections={"methods": tuple(back_projection)} if back_projection else {},
        kernels={"scale": kernel_scale},
        activations={"chosen": tuple(int(one) if one.isdecimal() else one for one in map_image or ())},
        optima={"preset": preset, "steps": steps, "seeds": seeds, "seed": seed, "order": order},
        classes={"classes": tuple(classes) if classes else None, "preset": preset, "steps": steps, "seed": seed},
    )
    network = load(model)
    move(network, device)
    if classes:
        # A name that does not exist is refused before the other lenses have worked for it.
        chosen_classes(network, classes)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    target = out or default_atlas(model)
    with Bar() as bar:
        atlas = inspection.inspect(
            network,
            images,
            target,
            layers=layers,
            lenses=lenses,
            batch_size=batch_size,
            workers=workers,
            force=force,
            watcher=bar,
        )
    typer.echo(summary(atlas, bar.written))
    if not no_report:
        follow_up(atlas, show=show, force=force)


def move(network: "Network", device: str) -> None:
    """Bring a network that was just loaded to the device asked for."""
    if device.partition(":")[0] not in ("cpu", "cuda", "mps", "xpu"):
        raise FilterscopeError(f"no device {device!r}; a device is cpu, cuda, cuda:1, mps or xpu")
    try:
        network.module.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise FilterscopeError(f"device {device!r} cannot be used here: {reason}; choose --device cpu") from None


def default_atlas(model: str) -> Path:
    """Where the atlas of ``model`` goes: here, named after it."""
    from filterscope.atlas.sheets import file_name

    name = Path(model).resolve().name if Path(model).is_dir() else model
    return Path(f"{file_name(name)}.atlas")


def chosen(names: list[str] | None, with_images: bool, **settings: dict[str, Any]) -> "list[Lens | str]":
    """The lenses asked for (none: all that can be used) with their settings, each lens' by its name."""
    from filterscope.inspection import LENSES, usual

    made = {name: lens(**settings.get(name, {})) for name, lens in LENSES.items()}
    names = names or usual(with_images=with_images)
    return [made.get(name, name) for name in names]


def summary(atlas: "Atlas", written: int) -> str:
    """The last line: what was written where, and which images were skipped."""
    images = atlas.images()
    bad = images[images["problem"].notna()]
    parts = [f"{len(atlas.layers())} layers", f"{len(atlas.units())} units"]
    if len(images):
        parts.append(f"{len(images) - len(bad)} images")
    line = f"{', '.join(parts)}: {atlas.folder} (pictures in {atlas.folder / 'sheets'})"
    line = f"wrote {line}" if written else f"nothing to do, all is there already: {line}"
    if len(bad):
        some = "; ".join(f"{row.source}: {row.problem}" for row in bad.head(3).itertuples())
        more = f"; and {len(bad) - 3} more, see the table 'image'" if len(bad) > 3 else ""
        line += f"; skipped {len(bad)} images ({some}{more})"
    return line
