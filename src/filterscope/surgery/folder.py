"""The folder of a trimmed network: all of its forms, the plan, and a model.toml that opens it again."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from filterscope.errors import FilterscopeError
from filterscope.model import Network, load
from filterscope.model.running import one_line
from filterscope.surgery.forms import CLOSE, Form, Forms, toml_of
from filterscope.surgery.plan import Plan

MARK = "proof.json"
"""A folder with this file and a plan was written by a trim, and may be replaced by another."""


def check_place(folder: Path, *, force: bool) -> None:
    """Refuse a place where a trimmed network cannot go.

    Raises:
        FilterscopeError: if something else is there, or an earlier one that may not be replaced.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MARK).is_file() or not (folder / "plan.json").is_file():
        raise FilterscopeError(f"{folder} exists and is no trimmed network; nothing was touched; choose another --out")
    if not force:
        raise FilterscopeError(f"{folder} holds a trimmed network already; choose another --out, or give --force")


@contextmanager
def put_in_place(folder: Path) -> Iterator[Path]:
    """Give a new folder beside the place, which takes it when all in it was written."""
    unfinished = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_forms(network: Network, plan: Plan, folder: Path, original: Network | None = None) -> list[Form]:
    """Write a network and the plan that made it; every form is run and compared with the network.

    Args:
        network: the trimmed one.
        plan: what was done.
        folder: where to; it exists and is empty.
        original: the network before, for comments in the source.
    Returns:
        The forms; those that failed have their reason and no file.
    """
    plan.save(folder / "plan.json")
    writer = Forms(network, folder, original)
    forms = writer.write()
    if network.classes:
        (folder / "classes.json").write_text(json.dumps(list(network.classes), ensure_ascii=False, indent=0) + "\n")
    return [*forms, _opened(writer, forms)]


def _opened(writer: Forms, forms: list[Form]) -> Form:
    """Write the model.toml, and open it as a user would."""
    network, folder = writer.network, writer.folder
    name, file = "folder that filterscope opens", "model.toml"
    if not forms[0].written:
        return Form(name, file, None, "there is no source that it could build the network from")
    path = folder / file
    path.write_text(toml_of(network, classes=bool(network.classes)), encoding="utf-8")
    try:
        again = load(folder)
        again.module.to(network.dtype)
        with torch.no_grad():
            difference = writer.difference(again.module)
        if not difference <= CLOSE:
            raise FilterscopeError(f"opened again, its answers differ by {difference:.1e} of their size")
        if again.classes != network.classes or again.preprocessing != network.preprocessing:
            raise FilterscopeError("opened again, it has other classes or another preprocessing")
        found, wanted = ({one.name: one.channels for one in each.layers()} for each in (again, network))
        if found != wanted:
            gone = sorted(set(wanted) - set(found))
            raise FilterscopeError(f"opened again, it shows other layers; {', '.join(gone[:3])} is none of them")
    except (FilterscopeError, RuntimeError) as error:
        path.unlink()
        return Form(name, file, None, one_line(error))
    return Form(name, file, difference)
