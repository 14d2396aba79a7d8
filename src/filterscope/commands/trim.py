"""`filterscope trim`: a smaller network, the proof of what it still does, and a folder that loads by itself."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterscope.commands.inspect import MODEL_HELP, move
from filterscope.errors import FilterscopeError

if TYPE_CHECKING:
    from filterscope.commands.progress import Bar
    from filterscope.images import ImageSource
    from filterscope.model import Network
    from filterscope.surgery import Trimmed
    from filterscope.surgery.forms import Form
    from filterscope.surgery.proof import Proof

OPTIMA = 256
"""Filters for which an optimum is made, unless another number is asked for."""


def trim(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Images that were not trained on, as for inspect; best with labels."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where it goes; default: MODEL.trimmed.")
    ] = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Only what provably changes no answer goes. The default.")
    ] = False,
    observed: Annotated[
        bool, typer.Option("--observed", help="Filters that never fired in the images go as well; not proven.")
    ] = False,
    max_drop: Annotated[
        float | None, typer.Option(metavar="POINTS", help="Go on while at most so many points of accuracy are lost.")
    ] = None,
    keep: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Go on until this share of the FLOPs is left: 0.6, say.")
    ] = None,
    no_blocks: Annotated[
        bool, typer.Option("--no-blocks", help="With --max-drop or --keep: leave no block of layers out.")
    ] = False,
    round_to: Annotated[
        int, typer.Option(min=1, metavar="N", help="Widths that were cut stay multiples of N; 8 suits many machines.")
    ] = 1,
    finetune: Annotated[
        int, typer.Option(min=0, metavar="EPOCHS", help="Train the smaller network further on --train.")
    ] = 0,
    train: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Training images with labels, for --finetune.")
    ] = None,
    beside: Annotated[
        bool, typer.Option("--finetune-original", help="Train the original as long, and compare with that as well.")
    ] = False,
    plan: Annotated[
        Path | None, typer.Option(metavar="PLAN.json", help="Do what this plan says, which may have been edited.")
    ] = None,
    atlas: Annotated[
        Path | None, typer.Option(metavar="ATLAS", help="Take the pictures of what went from it; default: make them.")
    ] = None,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="A page without pictures of what went.")] = False,
    optima: Annotated[
        int, typer.Option(min=0, metavar="N", help="Optima on the page: of the first N filters that went.")
    ] = OPTIMA,
    seed: Annotated[int, typer.Option(min=0, help="Which images choose and which prove.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Replace a trimmed network that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proof as JSON, as proof.json holds it.")] = False,
) -> None:
    """Make a network smaller, and prove what it still does.

    By default only what provably changes no answer goes: dead, unread, constant and duplicate filters. --max-drop or
    --keep go on with what matters least; that is chosen on one half of the images, and the other half tells what was
    lost. The folder that is written loads by itself, without filterscope: build.py with model.safetensors, model.pt2
    (torch.export), model.onnx; and MODEL may be that folder. In it are plan.json, proof.json, and a page, index.html:
    before and after, with every filter that went and the reason.

    Exit code 1 if more accuracy was lost than --max-drop allows.
    """
    from filterscope.commands.progress import Bar
    from filterscope.commands.trim_folder import Job
    from filterscope.images import open_images
    from filterscope.model import load
    from filterscope.surgery.folder import check_place
    from filterscope.surgery.proof import EXCEEDED, check_drop

    check_options(images, lossless, observed, max_drop, keep, no_blocks, finetune, train, plan)
    if beside and not (finetune and images is not None):
        raise FilterscopeError("--finetune-original goes with --finetune EPOCHS, and --images DIR to compare the two")
    check_drop(max_drop)
    target = out or default_place(model)
    check_place(target, force=force)
    network = load(model)
    move(network, device)
    if network.note:
        typer.echo(f"filterscope: {network.note}", err=True)
    source = open_images(images, classes=network.classes or None) if images is not None else None
    checkpoints = target.with_name(f"{target.name}.finetuning")
    with Bar() as bar:
        asked: dict[str, Any] = {"level": "observed" if observed else "lossless", "max_drop": max_drop, "keep": keep}
        asked |= {"blocks": not no_blocks, "round_to": round_to, "seed": seed}
        trimmed = cut(network, source, plan, asked, bar)
        smaller = trimmed.network
        notes = [*plain_notes(trimmed, asked | {"plan": plan})]
        original = None
        if finetune and train is not None:
            smaller, note = trained(smaller, source, train, finetune, checkpoints, bar)
            notes.append(note)
            if beside:
                original, _ = trained(network, source, train, finetune, checkpoints / "original", bar)
        # The half that a plan was chosen on is that of its own seed.
        seeds = [one.seed for one in trimmed.plan.steps if one.images]
        by = (bool(seeds), seeds[0] if seeds else seed)
        proof = proven(network, smaller, source, *by, max_drop, bar)
        as_long = proven(original, smaller, source, *by, None, bar, timed=False) if original is not None else None
        job = Job(network, smaller, trimmed, proof, source, atlas, tuple(notes), not no_pictures, optima, as_long)
        forms = job.write(target, bar)
    shutil.rmtree(checkpoints, ignore_errors=True)
    if as_json:
        typer.echo((target / "proof.json").read_text(), nl=False)
    else:
        for line in lines(trimmed, proof, as_long, forms, notes, target):
            typer.echo(line)
    if proof.verdict == EXCEEDED:
        typer.echo(
            f"filterscope: more than {max_drop:g} points of accuracy were lost; allow more, or keep more", err=True
        )
        raise typer.Exit(1)


def check_options(
    images: Path | None,
    lossless: bool,
    observed: bool,
    max_drop: float | None,
    keep: float | None,
    no_blocks: bool,
    finetune: int,
    train: Path | None,
    plan: Path | None,
) -> None:
    """Refuse options that do not go together, before anything is loaded."""
    budgets = [name for name, value in (("--max-drop", max_drop), ("--keep", keep)) if value is not None]
    levels = [name for name, value in (("--lossless", lossless), ("--observed", observed)) if value]
    if len(budgets) == 2 or len(levels) == 2:
        raise FilterscopeError(f"{' and '.join(budgets if len(budgets) == 2 else levels)}: choose one")
    if lossless and budgets:
        raise FilterscopeError(f"--lossless loses nothing, {budgets[0]} allows a loss: choose one")
    if plan is not None and (budgets or levels):
        raise FilterscopeError(f"--plan says what is done: leave {(budgets + levels)[0]} out")
    if images is None and (budgets or observed):
        raise FilterscopeError(f"{(budgets or levels)[0]} is chosen by images; give some with --images DIR")
    if keep is not None and not 0 < keep <= 1:
        raise FilterscopeError(f"--keep is the share of FLOPs that stays, above 0 and at most 1, not {keep:g}")
    if no_blocks and not budgets:
        raise FilterscopeError("--no-blocks goes with --max-drop or --keep: without these no block goes anyway")
    if bool(finetune) != (train is not None):
        raise FilterscopeError("--finetune EPOCHS and --train DIR go together: how long, and on which images")


def default_place(model: str) -> Path:
    """Where a trimmed network goes: here, named after the whole one."""
    from filterscope.commands.inspect import default_atlas

    return default_atlas(model).with_suffix(".trimmed")


def cut(
    network: "Network", source: "ImageSource | None", plan: Path | None, asked: dict[str, Any], bar: "Bar"
) -> "Trimmed":
    """Do what the plan says, or make one; see :func:`filterscope.trim`."""
    from filterscope import surgery

    if plan is not None:
        return surgery.apply(network, surgery.Plan.open(plan), source)
    usual = {"level": "lossless", "max_drop": None, "keep": None, "blocks": True, "round_to": 1, "seed": 0}
    given = {name: value for name, value in asked.items() if value != usual[name]}
    if given.keys() & {"max_drop", "keep"}:
        given["progress"] = searching(bar, asked["keep"])
    return surgery.trim(network, source, **given)


def searching(bar: "Bar", keep: float | None) -> Callable[[float, str], None]:
    """Move a bar while the search goes on: per cent of the FLOPs that went, of those that are to go."""
    bar.stage("search", "% of FLOPs", round(100 * (1 - (keep or 0))), 0)
    gone = 0

    def progress(left: float, _words: str) -> None:
        nonlocal gone
        now = round(100 * (1 - left))
        bar.advance(max(now - gone, 0))
        gone = max(now, gone)

    return progress


def trained(
    network: "Network", proving: "ImageSource | None", train: Path, epochs: int, checkpoints: Path, bar: "Bar"
) -> "tuple[Network, str]":
    """The network after further training, and what is to be said of it. Interrupted, it goes on from its checkpoint."""
    from filterscope.images import open_images
    from filterscope.surgery.finetune import finetune

    source = open_images(train, classes=network.classes or None)
    if proving is not None and source.digest == proving.digest:
        raise FilterscopeError("--train and --images are the same images: those that prove must not be trained on")
    done = 0

    def progress(steps: int, total: int, _loss: float) -> None:
        nonlocal done
        if not done:
            bar.stage("fine-tuning", "steps", total, 0)
        bar.advance(steps - done)
        done = steps

    found = finetune(network, source, epochs, folder=checkpoints, progress=progress)
    note = f"fine-tuned for {epochs} epochs on {found.images:,} images; loss {found.losses[-1]:.3f} in the last one"
    return found.network, note


def proven(
    network: "Network",
    smaller: "Network",
    source: "ImageSource | None",
    chosen: bool,
    seed: int,
    max_drop: float | None,
    bar: "Bar",
    *,
    timed: bool = True,
) -> "Proof":
    """Measure both networks."""
    from filterscope.inspection import choose_workers
    from filterscope.surgery.proof import prove
    from filterscope.surgery.speed import BATCHES

    bar.stage("proof", "images", (len(source) + 1) // 2 if source and chosen else len(source or ()), 0)
    return prove(
        network,
        smaller,
        source,
        all_images=not chosen,
        seed=seed,
        max_drop=max_drop,
        batches=BATCHES if timed else (),
        workers=choose_workers(source) if source is not None else 0,
        tick=bar.advance,
    )


def plain_notes(trimmed: "Trimmed", asked: dict[str, Any]) -> list[str]:
    """What the user should know of the cut itself."""
    from filterscope.surgery.plan import SEEN_ONLY

    notes = []
    if trimmed.unproven:
        notes.append(trimmed.unproven)
    if any(one.kind in SEEN_ONLY and not one.images for one in trimmed.plan.steps):
        notes.append("the plan does not say in which images filters never fired: those that prove may be among them")
    held = sum(map(len, trimmed.masked.values()))
    if held:
        notes.append(
            f"{held} filters are only held at what they always are, not cut: {trimmed.having('masked')[0].reason}"
        )
    if not trimmed.having("done"):
        further = [*["--observed, "] * (asked["level"] != "observed"), "--max-drop 0.5 or --keep 0.8"]
        more = "" if asked["max_drop"] or asked["keep"] or asked["plan"] else f"; to go further: {''.join(further)}"
        why = "what was found could not go" if trimmed.outcomes else "nothing was found that could go"
        notes.append(f"no filter went: {why}{more}")
    return notes


def lines(
    trimmed: "Trimmed", proof: "Proof", as_long: "Proof | None", forms: "list[Form]", notes: list[str], target: Path
) -> list[str]:
    """A screen: what went, what is left, what it does, and what was written where."""
    from filterscope.surgery.forms import missing

    units = sum(map(len, trimmed.removed.values()))
    found = []
    if units:
        layers = len(trimmed.removed)
        found.append(f"{units} filter{'s' * (units > 1)} went, from {layers} layer{'s' * (layers > 1)}")
    if trimmed.bypassed:
        found.append(f"left out as a whole: {', '.join(trimmed.bypassed)}")
    left = len(trimmed.having("refused")) + len(trimmed.having("undone"))
    if left:
        steps = "1 step was" if left == 1 else f"{left} steps were"
        found.append(f"{steps} refused or undone; the page has the reasons")
    for name in ("parameters", "flops"):
        before, after = getattr(proof, name)
        title = "FLOPs" if name == "flops" else name
        found.append(f"{title}: {before:,} before, {after:,} after ({after / before - 1:+.1%})")
    found += answer_lines(proof)
    if as_long is not None:
        found += [f"beside the original fine-tuned as long: {line}" for line in answer_lines(as_long)]
    found += [
        f"time at batch {one.batch}: {one.before.median:.2f} ms before, {one.after.median:.2f} ms after; "
        f"{one.ratio.value:.2f} times as long ({one.ratio.low:.2f} to {one.ratio.high:.2f})"
        for one in proof.speeds
    ]
    found += [*notes, *proof.notes, *missing(forms)]
    files = ", ".join(one.file for one in forms if one.written)
    return [*found, f"wrote {target}: {files}, plan.json, proof.json; open {target / 'index.html'} in a browser"]


def answer_lines(proof: "Proof") -> list[str]:
    """What became of the answers."""
    from filterscope.commands.ablate import plain, points

    found = []
    for title, one in (("", proof.plain), (" slightly altered", proof.altered)):
        if one is None:
            continue
        of = " that did not choose" if proof.held_back else ""
        words = f"{one.images:,}{title} images{of}: {one.agreement.value:.1%} answers stay"
        if one.accuracy is not None:
            some = f" of the {one.labelled:,} whose class the network knows" if one.labelled < one.images else ""
            words += f"; accuracy{some} {one.accuracy.before:.1%} before, {one.accuracy.after:.1%} after, "
            words += f"{points(one.accuracy.change)} points; loss {plain(one.loss.change if one.loss else None)}"
        found.append(words)
    if proof.verdict is not None:
        found.append(f"a loss of at most {proof.max_drop:g} points: {VERDICTS[proof.verdict]}")
    return found


VERDICTS = {
    "holds": "holds, the whole interval lies within",
    "not excluded": "measured so, but the interval does not exclude a larger one",
    "exceeded": "does not hold",
}
"""How the proof's verdict is read."""
