"""`filterscope diagnose`: which filters are good or bad, too many or too few, and why the network overfits."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterscope.commands.inspect import MODEL_HELP
from filterscope.errors import FilterscopeError, UnknownName

if TYPE_CHECKING:
    from filterscope.atlas import Atlas
    from filterscope.report.verdicts import Verdict

MOST = 10
"""Verdicts that are printed, so that they fit on one screen."""

ATLAS = ".atlas"


def diagnose(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"{MODEL_HELP} Or an atlas, X.atlas.")],
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Validation images, as for inspect, best with labels."),
    ] = None,
    train: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Training images, to ask whether it overfits and why.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="ATLAS", help="Where the atlas goes, or one to go on with; default: MODEL.diagnosis.atlas."
        ),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", metavar="NAME", help="Layer or pattern (features.*); may be repeated. Default: all."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Every finding of this kind, each with its evidence.")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="KIND", help="Exit code 1 if there is a finding of it; may be repeated."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All verdicts, not the worst ten alone.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Begin the atlas anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The verdicts with all of their findings.")] = False,
) -> None:
    """Say which filters are good or bad, too many or too few, and why the network overfits; worst first.

    From the weights: filters that are dead whatever the image, constant, read by nothing, equal to others or sums of
    them. With images: filters that never fired, respond as others do or are turned copies of others; layers with more
    filters than their responses have directions, blocks that can be left out. With training images: whether it
    overfits, what else can pass for it, where the gap opens, which filters memorise, and what would help. Every
    verdict has its number; what it rests on, and what would overturn it, is shown by --kind and on the report's page.

    Exit code 1 if a kind of --fail-on was found. Kinds: see docs/explanation/diagnosis.md.
    """
    from filterscope.report.verdicts import KINDS

    for one in (*([kind] if kind else []), *(fail_on or ())):
        if one not in KINDS:
            raise UnknownName.of("kind of finding", one, KINDS, f"there are: {', '.join(KINDS)}")
    atlas, found = looked_at(model, images, train, out, layers, device, force=force)
    if not found:
        typer.echo(f"nothing was found; {seen(atlas)}", err=as_json)
    shown = [one for one in found if kind in (None, one.kind)]
    if as_json:
        typer.echo(json.dumps([as_object(one) for one in shown], indent=2))
    elif kind is not None:
        for line in lines_of_kind(shown, kind):
            typer.echo(line)
    else:
        for line in lines(shown, atlas, every=every):
            typer.echo(line)
    there = {one.kind for one in found}
    if failed := [one for one in fail_on or () if one in there]:
        typer.echo(f"filterscope: found what must not be: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def looked_at(
    model: str,
    images: Path | None,
    train: Path | None,
    out: Path | None,
    layers: list[str] | None,
    device: str,
    *,
    force: bool,
) -> "tuple[Atlas, list[Verdict]]":
    """The atlas and its verdicts: of a network that is looked at now, or of an atlas as it is."""
    from filterscope.report.verdicts import verdicts

    if model.rstrip("/").endswith(ATLAS) and Path(model).is_dir():
        from filterscope.atlas import Atlas

        if images is not None or train is not None:
            raise FilterscopeError(f"{model} is an atlas, which knows its images; leave --images and --train out")
        atlas = Atlas(Path(model))
        found = verdicts(atlas)
        if not found and not has_diagnosis(atlas):
            raise FilterscopeError(
                f"{model} holds no diagnosis; make one with: filterscope diagnose MODEL --out {model}"
            )
        return atlas, found
    if train is not None and images is None:
        raise FilterscopeError("--train is compared with validation images; give those with --images DIR")
    from filterscope import diagnosis
    from filterscope.commands.inspect import default_atlas, move
    from filterscope.commands.progress import Bar
    from filterscope.model import load

    network = load(model)
    move(network, device)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    target = out or default_atlas(model).with_suffix(f".diagnosis{ATLAS}")
    with Bar() as bar:
        made = diagnosis.diagnose(network, images, train, target, layers=layers, force=force, watcher=bar)
    return made.atlas, list(made.verdicts)


def has_diagnosis(atlas: "Atlas") -> bool:
    """Whether filters were judged in it."""
    return "redundancy" in atlas.lenses()


def seen(atlas: "Atlas") -> str:
    """What was looked at, in a few words."""
    images = atlas.images()
    read = len(images) - int(images["problem"].notna().sum()) if len(images) else 0
    what = f"{len(atlas.layers())} layers, {int(atlas.layers()['channels'].sum()):,} filters"
    return f"{what}, {read:,} images" if read else f"{what}, no images: by weights alone"


def lines(found: "list[Verdict]", atlas: "Atlas", *, every: bool) -> list[str]:
    """A screen: the worst verdicts, each with the command that shows more."""
    from filterscope.report.verdicts import LEFT_OUT, WARNING

    told = [one for one in found if one.level != LEFT_OUT]
    missing = [one for one in found if one.level == LEFT_OUT]
    some = told if every else told[:MOST]
    made = [f"{atlas.facts['network']}: {seen(atlas)}"]
    for one in some:
        made += [f"{'!' if one.level == WARNING else ' '} {one.claim}", f"      {one.more}"]
    if len(told) > len(some):
        rest = ", ".join(one.kind for one in told[len(some) :])
        made.append(f"  and {rest}: filterscope diagnose {atlas.folder} --all")
    made += [f"  {one.claim}" for one in missing]
    made += [f"  the images in question: {sheet}" for sheet in atlas.sheets() if ".generalisation." in sheet.name]
    made.append(f"wrote {atlas.folder}; see it with: filterscope report {atlas.folder}")
    return made


def lines_of_kind(found: "list[Verdict]", kind: str) -> list[str]:
    """Every finding of a kind with its evidence."""
    from filterscope.report.verdicts import place

    if not found:
        return [f"no finding of the kind '{kind}'"]
    return [f"{place(one)}: {one.evidence}" for verdict in found for one in verdict.findings]


def as_object(one: "Verdict") -> dict[str, Any]:
    """A verdict as JSON has it."""
    return {
        "kind": one.kind,
        "level": one.level,
        "claim": one.claim,
        "more": one.more,
        "findings": [vars(finding) for finding in one.findings],
    }
