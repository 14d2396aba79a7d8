"""What `filterscope trim` writes: the network's forms, the proof, and the page with the pictures of what went."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from filterscope.errors import BadAtlas, FilterscopeError

if TYPE_CHECKING:
    from filterscope.atlas import Atlas
    from filterscope.atlas.records import Layer
    from filterscope.commands.progress import Bar
    from filterscope.images import ImageSource
    from filterscope.model import Network
    from filterscope.surgery import Trimmed
    from filterscope.surgery.forms import Form
    from filterscope.surgery.proof import Proof

KINDS = ("kernel", "optimum", "patches")
"""Of pictures, as the page shows them."""

PATCHES = 5
"""Of a filter."""

IMAGES = 2000
"""That are looked at for patches, spread over all."""

Pictures = dict[tuple[str, int], dict[str, list[NDArray[np.uint8]]]]
"""By unit and kind."""


@dataclass(frozen=True, eq=False)
class Job:
    """All that is written of one trim."""

    network: "Network"
    smaller: "Network"
    trimmed: "Trimmed"
    proof: "Proof"
    source: "ImageSource | None"
    atlas: Path | None
    notes: tuple[str, ...]
    pictures: bool
    optima: int
    as_long: "Proof | None" = None
    """The same proof beside the original that was fine-tuned as long."""

    def write(self, target: Path, bar: "Bar") -> "list[Form]":
        """Write the folder, whole or not at all."""
        from filterscope.report.before_after import write_page
        from filterscope.surgery.folder import put_in_place, write_forms

        units = self.units() if self.pictures else {}
        shown = self.shown(units, bar)
        with put_in_place(target) as folder:
            bar.stage("forms", "forms", 1, 0)
            forms = write_forms(self.smaller, self.trimmed.plan, folder, self.network)
            bar.advance(1)
            data = self.as_json(forms) | {"pictures": self.left_out(units)}
            (folder / "proof.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
            write_page(folder, data, shown)
        return forms

    def as_json(self, forms: "list[Form]") -> dict[str, Any]:
        """What proof.json holds, and the page shows."""
        from filterscope.surgery.proof import plainly

        trimmed, as_long = self.trimmed, self.as_long
        return {
            **json.loads(self.proof.to_json()),
            "original_finetuned": as_long and {"plain": plainly(as_long.plain), "altered": plainly(as_long.altered)},
            "notes": [*self.notes, *self.proof.notes],
            "difference": plainly(trimmed.difference),
            "rounding": plainly(trimmed.rounding),
            "sizes": plainly(trimmed.sizes),
            "outcomes": [plainly(one) for one in trimmed.outcomes],
            "forms": [asdict(one) | {"written": one.written} for one in forms],
        }

    def units(self) -> dict[str, list[int]]:
        """The filters that are shown, layer by layer: every one that went, and those that took one in."""
        wanted: dict[str, set[int]] = {}
        for one in self.trimmed.having("done"):
            wanted.setdefault(one.step.layer, set()).update(one.step.units, one.step.into)
        return {layer.name: sorted(wanted[layer.name]) for layer in self.network.layers() if wanted.get(layer.name)}

    def left_out(self, units: Mapping[str, list[int]]) -> str:
        """Which pictures the page has not, in a sentence, and how to get them; "": it has them all."""
        every = sum(map(len, units.values()))
        if self.atlas is not None or every <= self.optima:
            return ""
        made = f"the first {self.optima:,} of {every:,} filters" if self.optima else f"none of {every:,} filters"
        return f"Optima were made for {made}; for all of them: --optima {every}."

    def shown(self, units: Mapping[str, list[int]], bar: "Bar") -> Pictures:
        """The pictures of filters."""
        if not units:
            return {}
        layers = {layer.name: layer for layer in self.network.layers() if layer.name in units}
        if self.atlas is not None:
            return from_atlas(opened(self.atlas, self.network), units)
        with tempfile.TemporaryDirectory() as folder:
            found = from_atlas(self.looked_at(Path(folder), list(units), bar), units)
        add_optima(self.network, layers, units, found, self.optima, bar)
        return found

    def looked_at(self, folder: Path, layers: list[str], bar: "Bar") -> "Atlas":
        """An atlas with kernels and, where there are images, patches of some layers."""
        from filterscope import inspection
        from filterscope.findings.reading import spread
        from filterscope.images.subset import Subset
        from filterscope.lenses import Patches

        some = None
        lenses: list[Any] = ["kernels"]
        if self.source is not None:
            some = Subset(self.source, tuple(map(int, spread(len(self.source), IMAGES))))
            lenses.append(Patches(count=PATCHES))
        return inspection.inspect(self.network, some, folder / "trim.atlas", layers=layers, lenses=lenses, watcher=bar)


def opened(folder: Path, network: "Network") -> "Atlas":
    """An atlas of this network."""
    from filterscope.atlas import Atlas

    atlas = Atlas(folder)
    if atlas.facts.get("network_digest") != network.digest:
        raise BadAtlas(
            f"{folder} is of another network; make one of this one with: filterscope inspect, or leave it out"
        )
    return atlas


def from_atlas(atlas: "Atlas", units: Mapping[str, list[int]]) -> Pictures:
    """What an atlas shows of some units."""
    from filterscope.report.panels import panels

    found: Pictures = {}
    for name, some in units.items():
        try:
            views = [atlas.unit(f"{name}:{unit}") for unit in some]
        except FilterscopeError:
            continue
        for panel in panels(atlas, views[0].layer, views, KINDS):
            for unit, pictures in panel.pictures.items():
                found.setdefault((name, unit), {})[panel.kind] = pictures[:PATCHES]
    return found


def add_optima(
    network: "Network",
    layers: "Mapping[str, Layer]",
    units: Mapping[str, list[int]],
    found: Pictures,
    most: int,
    bar: "Bar",
) -> None:
    """Make the optimum of each unit, of the first ``most`` of them."""
    from filterscope.ascent import fit_canvas, recipe
    from filterscope.ascent.ascend import seen
    from filterscope.ascent.search import search
    from filterscope.lenses.tiles import viewable

    how = recipe("quick")
    left = most
    bar.stage("optima of what went", "filters", min(most, sum(map(len, units.values()))), 0)
    for name, some in units.items():
        chosen, left = some[:left], left - min(left, len(some))
        if not chosen:
            break
        layer = layers[name]
        canvas = fit_canvas(network, [layer], size=how.canvas)
        for one in search(network, layer, canvas, how, chosen, tick=bar.advance):
            # What gradient ascent could not move would be noise.
            if one.status not in ("no stimulus found", "not finite"):
                picture = viewable(seen(one.picture[None], canvas.size)[0])
                found.setdefault((name, one.unit), {})["optimum"] = [picture]
