"""Faces as a file: one .npz with the pictures as arrays and all else as JSON. Nothing in it is run."""

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from filterscope.errors import FilterscopeError
from filterscope.findings.alignment import RINGS, SPOKES, Kernel, Turn
from filterscope.findings.faces import Face, Faces, Member, Shown

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 1
"""Of the file. Forms depend on rings and spokes, so a change of those is another version."""

AGAIN = "make it again with: filterscope faces MODEL..."


def save(faces: Faces, path: Path) -> None:
    """Write faces, so that ``path`` never holds half of them."""
    shown = [*(one.shown for face in faces.faces for one in face.members), *faces.alone]
    facts = {
        "version": VERSION,
        "disc": [RINGS, SPOKES],
        "threshold": faces.threshold,
        "counts": faces.counts,
        "digests": faces.digests,
        "notes": faces.notes,
        "faces": [as_facts(face) for face in faces.faces],
        "kernels": [kernel_facts(one) for one in shown],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as file:
        np.savez_compressed(
            file,
            facts=np.array(json.dumps(facts)),
            mean=np.stack([face.mean for face in faces.faces]),
            spread=np.stack([face.spread for face in faces.faces]),
            form=np.stack([face.form for face in faces.faces]),
            weights=np.concatenate([one.kernel.weights.ravel() for one in shown]),
        )
    unfinished.replace(path)


def as_facts(face: Face) -> dict[str, Any]:
    """A face without its pictures; its kernels are the next ones of the file."""
    return {
        "function": face.function,
        "number": face.number,
        "correlation": face.correlation,
        "interval": face.interval,
        "period": face.period,
        "members": [
            [one.correlation, one.turn.likeness, one.turn.angle, one.turn.polarity, one.turn.colours]
            for one in face.members
        ],
    }


def kernel_facts(shown: Shown) -> list[Any]:
    """A kernel without its weights."""
    size = shown.kernel.weights.shape[1:]
    return [shown.network, shown.layer, shown.unit, shown.function, size, shown.kernel.centre]


def faces_of(path: str | Path) -> Faces:
    """Open faces that were saved.

    Raises:
        FilterscopeError: if there is no such file, or it holds something else or another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            arrays = {name: np.asarray(file[name]) for name in ("mean", "spread", "form", "weights")}
        version = facts["version"]
    except FileNotFoundError:
        raise FilterscopeError(f"no such file: {path}; {AGAIN}") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        raise FilterscopeError(f"{path} holds no faces; {AGAIN}") from None
    if version != VERSION or facts["disc"] != [RINGS, SPOKES]:
        raise FilterscopeError(f"{path} is of version {version}, and this program reads version {VERSION}; {AGAIN}")
    return opened(facts, arrays)


def opened(facts: dict[str, Any], arrays: dict[str, NDArray[np.float64]]) -> Faces:
    """Faces from the contents of a file."""
    shown = iter(list(kernels_in(facts, arrays["weights"])))
    found = []
    for number, one in enumerate(facts["faces"]):
        members = tuple(
            Member(next(shown), correlation, Turn(likeness, angle, polarity, colours))
            for correlation, likeness, angle, polarity, colours in one["members"]
        )
        interval = None if one["interval"] is None else (one["interval"][0], one["interval"][1])
        mean, spread, form = (arrays[name][number] for name in ("mean", "spread", "form"))
        figures = one["correlation"], interval, one["period"]
        found.append(Face(one["function"], one["number"], mean, spread, form, *figures, members))
    kept = facts["counts"], facts["digests"], facts["threshold"]
    return Faces(tuple(found), tuple(shown), *kept, tuple(facts["notes"]))


def kernels_in(facts: dict[str, Any], weights: NDArray[np.float64]) -> "Iterator[Shown]":
    """The kernels one by one, as they were written."""
    first = 0
    for network, layer, unit, function, size, centre in facts["kernels"]:
        last = first + 3 * size[0] * size[1]
        kernel = Kernel(weights[first:last].reshape(3, *size), (centre[0], centre[1]))
        yield Shown(network, layer, unit, function, kernel)
        first = last
