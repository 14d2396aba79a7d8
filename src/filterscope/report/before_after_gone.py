"""What went in a trim, and what stays, on its page: every filter with its pictures and the reason."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filterscope.atlas.sheets import file_name
from filterscope.report.before_after_words import Facts, text

Pictures = Mapping[tuple[str, int], Mapping[str, Sequence[NDArray[np.uint8]]]]
"""By unit (layer, index) and kind: kernel, optimum, patches."""

Links = Mapping[tuple[str, int], Mapping[str, str]]
"""The files of the same, relative to the page."""

TITLES = {"kernel": "kernel", "optimum": "optimum", "patches": "strongest patches"}

OPEN = 24
"""Filters after which the layers that follow are shown when they are asked for."""

SHARP = 48
"""Pictures of up to so many pixels a side are shown with square pixels."""

GAP = 2
"""Pixels between pictures in a row, on a picture that is 64 pixels high."""


def done(facts: Facts) -> list[Facts]:
    """What was done, step by step."""
    return [one for one in facts["outcomes"] if one["status"] == "done"]


def gone(facts: Facts, links: Links) -> str:
    """Every filter that went, layer by layer, with its pictures and the reason."""
    names = [(before or after)["layer"] for before, after in facts["layers"]]
    went = {(one["step"]["layer"], unit) for one in done(facts) for unit in one["step"]["units"]}
    by_layer: dict[str, list[str]] = {}
    for one in done(facts):
        step = one["step"]
        found = by_layer.setdefault(step["layer"], [])
        if not step["units"]:
            other = f" with {step['other']}" if step.get("other") else ""
            title = f"<b>{text(step['layer'] or 'all layers')}</b> · {text(step['kind'] + other)}"
            found.append(f'<li><p>{title}<br><span class="faint">{text(reason(one, 0))}</span></p></li>')
        for place, unit in enumerate(step["units"]):
            into = step["into"][place] if step["into"] else None
            found.append(gone_item(one, place, (step["layer"], unit), into, links, later=(step["layer"], into) in went))
    if not by_layer:
        return ""
    shown, before = [], 0
    for layer, some in sorted(by_layer.items(), key=lambda one: place_of(one[0], names)):
        title = f"{text(layer or 'all layers')} <small>{len(some)}</small>"
        look = " open" if before < OPEN else ""
        items = f'<ul class="gone">{"".join(some)}</ul>'
        shown.append(f'<details class="layer"{look}><summary>{title}</summary>{items}</details>')
        before += len(some)
    words = " ".join(filter(None, ["Filters are numbered as in the network before.", facts["pictures"]]))
    return f'<h2 id="gone">What went, and why</h2><p class="faint">{text(words)}</p>{"".join(shown)}'


def place_of(name: str, layers: Sequence[str]) -> int:
    """Where a layer, or a part of several, stands in the network; what is of all of it stands last."""
    inside = [place for place, one in enumerate(layers) if name and (one == name or one.startswith(f"{name}."))]
    return inside[0] if inside else len(layers)


def gone_item(
    one: Facts,
    place: int,
    unit: tuple[str, int],
    into: int | None,
    links: Links,
    *,
    later: bool,
) -> str:
    """One filter; ``later``: the one that it went into went as well."""
    layer, number = unit
    stays = ""
    if into is not None:
        label = f"{layer}:{into}"
        shown = figures(label, links.get((layer, into), {}))
        words = "stood for it, and went itself later" if later else "stays and stands for it"
        stays = f'<div class="stays"><p>{words}: <b>{text(label)}</b></p>{shown}</div>'
    label = f"{layer}:{number}"
    return (
        f"<li><p><b>{text(label)}</b> · {text(one['step']['kind'])}<br>"
        f'<span class="faint">{text(reason(one, place))}</span></p>{figures(label, links.get(unit, {}))}{stays}</li>'
    )


def reason(one: Facts, place: int) -> str:
    """Why a unit went: the finding, and what is to be said of the edit."""
    why = one["step"]["why"]
    return "; ".join(filter(None, [why[place] if place < len(why) else "", one["reason"]]))


def figures(label: str, links: Mapping[str, str]) -> str:
    """The pictures of a filter."""
    made = []
    for kind, title in TITLES.items():
        if kind in links:
            source, _, sharp = links[kind].partition("#")
            look = ' class="pixels"' if sharp else ""
            made.append(
                f'<figure><img src="{text(source)}"{look} loading="lazy" alt="{title} of {text(label)}">'
                f"<figcaption>{title}</figcaption></figure>"
            )
    return f'<div class="pictures">{"".join(made)}</div>' if made else ""


def left(facts: Facts) -> str:
    """What was asked for and not done."""
    rest = [one for one in facts["outcomes"] if one["status"] != "done"]
    if not rest:
        return ""
    items = "".join(
        f"<li><code>{text(one['step']['layer'])}:{', '.join(map(str, one['step']['units']))}</code> "
        f"{text(one['step']['kind'])}: {text(one['status'])}, {text(one['reason'])}</li>"
        for one in rest
    )
    title = f"{len(rest)} steps were refused or undone" if len(rest) > 1 else "1 step was refused or undone"
    return f'<h2>What stays, and why</h2><details><summary>{title}</summary><ul class="plain">{items}</ul></details>'


def drawn(folder: Path, unit: tuple[str, int], kinds: Mapping[str, Sequence[NDArray[np.uint8]]]) -> dict[str, str]:
    """Write a unit's pictures, a file for each kind; gives their links, '#sharp' behind those with square pixels."""
    place = folder / "pictures"
    place.mkdir(exist_ok=True)
    links = {}
    for kind, some in kinds.items():
        if len(some):
            name = f"{file_name(unit[0])}_{unit[1]}_{kind}.png"
            Image.fromarray(row(some)).save(place / name)
            sharp = max(some[0].shape[:2]) <= SHARP
            links[kind] = f"pictures/{name}" + "#sharp" * sharp
    return links


def row(some: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures side by side, small ones enlarged by a whole factor so that the gaps between them are thin."""
    factor = max(1, math.ceil(64 / max(some[0].shape[:2])))
    larger = [np.asarray(one).repeat(factor, 0).repeat(factor, 1) for one in some]
    height = max(len(one) for one in larger)
    gap = max(1, round(GAP * height / 64))
    columns: list[NDArray[np.uint8]] = []
    for one in larger:
        tall = np.pad(one, ((0, height - len(one)), (0, 0), (0, 0)), constant_values=128)
        columns += [tall, np.full((height, gap, one.shape[2]), 128, np.uint8)]
    return np.concatenate(columns[:-1], 1)
