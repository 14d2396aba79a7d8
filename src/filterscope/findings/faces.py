"""Family faces: the typical kernels of each function over many networks, and which of them a new kernel is like."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from filterscope.atlas.linkage import groups
from filterscope.errors import FilterscopeError
from filterscope.findings import alignment, clusters, matching
from filterscope.findings.alignment import AXES, Form, Kernel, Turn
from filterscope.findings.kernels import identified, kernels_of
from filterscope.findings.naming import SHARES
from filterscope.findings.pixel_kernels import PixelKernels, Records
from filterscope.model import Network

if TYPE_CHECKING:
    import pandas

THRESHOLD = 0.8
"""Correlation that kernels of one face have on average.

Of random kernels, 3 x 3 as well as 5 x 5, no two of 60 are as alike as this.
"""

SIDE = 21
"""Pixels of a face's picture."""

ROUNDS = 4
"""A face is the mean of kernels as they lie on the face: so many times it is made again."""

SHUFFLED = 100
"""Kernels that tell how many have a face by chance."""

FUNCTIONS = (*SHARES, "unstructured")
"""Functions that kernels are grouped by."""


@dataclass(frozen=True)
class Source:
    """A network's kernels that see pixels, or an atlas's effective kernels."""

    name: str
    digest: str
    """Of the network: the same network given twice counts once."""
    layers: tuple[PixelKernels, ...]

    @property
    def count(self) -> int:
        """How many kernels there are."""
        return sum(len(one.weights) for one in self.layers)

    @property
    def content(self) -> str:
        """The SHA-256 of its kernels, in hexadecimal: other images give an atlas other effective kernels."""
        found = hashlib.sha256()
        for layer in self.layers:
            found.update(f"{layer.layer} {layer.weights.shape} {layer.colours}".encode())
            found.update(np.ascontiguousarray(layer.weights).tobytes())
        return found.hexdigest()


@dataclass(frozen=True, eq=False)
class Shown:
    """One kernel of a network, ready to be compared."""

    network: str
    layer: str
    unit: int
    function: str
    kernel: Kernel

    def colours(self) -> Float[np.ndarray, "colour height width"]:
        """Its weights of red, green and blue; of a kernel without colours its strongest pattern in grey."""
        return np.asarray(np.einsum("ac,ahw->chw", AXES, self.kernel.weights))


@dataclass(frozen=True, eq=False)
class Member:
    """A kernel of a face, and how it lies on it."""

    shown: Shown
    correlation: float
    """With the mean of the face's other kernels."""
    turn: Turn


@dataclass(frozen=True, eq=False)
class Face:
    """A typical kernel: the mean of kernels that are alike once they are shifted, turned and have the same signs."""

    function: str
    number: int
    """Within its function, from 1: the commonest."""
    mean: Float[np.ndarray, "colour side side"]
    """Of kernels of energy one, on the square around the disc that kernels are compared on; red first."""
    spread: Float[np.ndarray, "side side"]
    """Standard deviation of the kernels from the mean, over all colours."""
    form: Form
    """The mean on the disc, of energy one: what new kernels are compared with."""
    correlation: float
    """Of a kernel with the mean of the others, on average."""
    interval: tuple[float, float] | None
    """The 90 % interval of that average by bootstrap; None of two kernels."""
    period: float | None
    """After how many degrees it looks the same, whatever its signs; None: from all sides, so it has no orientation."""
    members: tuple[Member, ...]
    """The most typical first."""

    @property
    def name(self) -> str:
        """Such as 'edge 1'."""
        return f"{self.function} {self.number}"

    def orientation(self, turn: Turn) -> float | None:
        """Of a kernel's line in degrees, anticlockwise from horizontal; None where a face has none."""
        return None if self.period is None else turn.angle % self.period


@dataclass(frozen=True, eq=False)
class Likeness:
    """A kernel of a new network beside the face that it is most like."""

    shown: Shown
    nearest: Face
    turn: Turn
    known: bool
    """Whether it is as like as kernels of a face are; if not, the kernel is without a face."""


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces of some networks, by function and then by how common they are."""

    faces: tuple[Face, ...]
    alone: tuple[Shown, ...]
    """Kernels that are like no other."""
    counts: dict[str, int]
    """How many kernels each network has: those that see pixels and are not zero."""
    digests: dict[str, str]
    threshold: float
    notes: tuple[str, ...] = ()
    """What has to be said of the networks, a line each."""

    @property
    def total(self) -> int:
        """Kernels of all networks."""
        return sum(self.counts.values())

    def frame(self) -> "pandas.DataFrame":
        """A row a face: kernels, networks, its share of all kernels and the mean correlation with 90 % intervals."""
        import pandas

        return pandas.DataFrame([self.row(face) for face in self.faces])

    def row(self, face: Face) -> dict[str, object]:
        """A face in figures."""
        low, high = clusters.share_interval(len(face.members), self.total)
        correlation_low, correlation_high = face.interval or (math.nan, math.nan)
        return {
            "function": face.function,
            "face": face.number,
            "kernels": len(face.members),
            "networks": sum(count > 0 for count in self.count(face).values()),
            "share": len(face.members) / self.total,
            "share_low": low,
            "share_high": high,
            "correlation": face.correlation,
            "correlation_low": correlation_low,
            "correlation_high": correlation_high,
            "period": math.nan if face.period is None else face.period,
        }

    def by_network(self) -> "pandas.DataFrame":
        """A row a face and network: kernels, and their share of the network's with a 90 % interval."""
        import pandas

        rows = []
        for face in self.faces:
            for name, count in self.count(face).items():
                low, high = clusters.share_interval(count, self.counts[name])
                share = {"share": count / max(1, self.counts[name]), "share_low": low, "share_high": high}
                key = {"function": face.function, "face": face.number, "network": name}
                rows.append({**key, "kernels": count, **share})
        return pandas.DataFrame(rows)

    def count(self, face: Face) -> dict[str, int]:
        """How many kernels of each network have a face."""
        found = Counter(one.shown.network for one in face.members)
        return {name: found[name] for name in self.counts}

    def members(self) -> "pandas.DataFrame":
        """A row a kernel that has a face: correlation with the others, and what was undone to lay it on them."""
        import pandas

        return pandas.DataFrame([member_row(face, one) for face in self.faces for one in face.members])

    def nearest(
        self,
        model: "Network | Records | str | Source",
        layer: str | None = None,
        tick: Callable[[int], object] = bool,
    ) -> list[Likeness]:
        """Every kernel of a network beside the face that it is most like.

        Args:
            model: a network (or what `load` takes), or an open atlas with effective kernels.
            layer: one layer by its name; None: all.
            tick: is called with 1 after each kernel.
        Raises:
            FilterscopeError: if no kernel sees pixels, or all are zero.
        """
        source = model if isinstance(model, Source) else source_of(model, layer)
        shown = list(kernels_shown(source, tick))
        if not shown:
            raise FilterscopeError(f"{source.name} has no kernels to compare: all are zero, or of too low linearity")
        forms = [face.form for face in self.faces]
        return [self._nearest(one, forms) for one in shown]

    def _nearest(self, shown: Shown, forms: Sequence[Form]) -> Likeness:
        number, turn = alignment.nearest(shown.kernel.form(), forms)
        return Likeness(shown, self.faces[number], turn, turn.likeness >= self.threshold)

    def by_chance(self, shown: Sequence[Shown]) -> float:
        """How many of these kernels have a face if their pixels are shuffled, as a share."""
        rng = np.random.default_rng(0)
        forms = [face.form for face in self.faces]
        times = math.ceil(SHUFFLED / len(shown))
        chosen = sorted(shown, key=lambda one: one.kernel.weights.tobytes())[:: math.ceil(len(shown) / SHUFFLED)]
        known = []
        for one in chosen:
            weights = one.kernel.weights
            for flat in matching.rearranged(weights.reshape(3, -1), times, rng):
                shuffled = flat.reshape(weights.shape)
                own = Kernel(shuffled, alignment.centre_of_energy(shuffled))
                known.append(alignment.nearest(own.form(), forms)[1].likeness >= self.threshold)
        return float(np.mean(known))

    def save(self, path: str | Path) -> None:
        """Write them to an .npz, which `faces_of` opens."""
        from filterscope.findings.faces_file import save

        save(self, Path(path))


def member_row(face: Face, one: Member) -> dict[str, object]:
    """A kernel of a face in figures."""
    orientation = face.orientation(one.turn)
    return {
        "function": face.function,
        "face": face.number,
        "network": one.shown.network,
        "layer": one.shown.layer,
        "unit": one.shown.unit,
        "correlation": one.correlation,
        "orientation": math.nan if orientation is None else orientation,
        "polarity": one.turn.polarity,
        "colours": one.turn.colours,
        **offset(one.shown.kernel),
    }


def offset(kernel: Kernel) -> dict[str, float]:
    """How far the centre of its energy is from that of its window, in its taps, to the right and up."""
    return {name: at / kernel.step for name, at in zip("xy", kernel.centre, strict=True)}


def faces(
    models: "Network | Records | str | Source | Sequence[Network | Records | str | Source]",
    *,
    threshold: float = THRESHOLD,
    tick: Callable[[int], object] = bool,
) -> Faces:
    """Find the typical kernels of each function over any number of networks.

    Kernels that see pixels are told apart by function, as `identify_kernels` does it. Within a function, those that are
    alike once shift, orientation, polarity and the sign of colours are undone make a face, their mean; size within the
    window and hue are not undone.

    Args:
        models: networks (or what `load` takes), and open atlases with effective kernels. One that is given twice
            counts once.
        threshold: correlation that kernels of a face have on average, above 0 and below 1.
        tick: is called with 1 after each kernel.
    Returns:
        All faces; ``frame()`` has a row a face, ``members()`` a row a kernel, ``nearest(model)`` the kernels of another
        network beside them.
    Raises:
        FilterscopeError: if the threshold is out of its range, a network has no kernels that see pixels, there are
            fewer than two kernels, or no two are alike.
    """
    if not 0 < threshold < 1:
        raise FilterscopeError(f"a threshold is a correlation above 0 and below 1, not {threshold}")
    given = [models] if isinstance(models, Source | Network | str) or hasattr(models, "records") else list(models)
    sources, notes = distinct([one if isinstance(one, Source) else source_of(one) for one in given])
    shown = [one for source in sources for one in kernels_shown(source, tick)]
    if len(shown) < 2:
        what = "that are not zero " if len(shown) < sum(one.count for one in sources) else ""
        raise FilterscopeError(f"faces need at least two kernels {what}and there is {len(shown)}; give more networks")
    # By content: faces must not depend on the order of kernels or networks.
    shown.sort(key=lambda one: (one.kernel.weights.shape, one.kernel.weights.tobytes(), one.network, one.unit))
    found, alone = [], []
    for function in FUNCTIONS:
        own, rest = of_function(function, [one for one in shown if one.function == function], threshold)
        found += own
        alone += rest
    if not found:
        raise FilterscopeError(
            f"no two of the {len(shown)} kernels are alike by a correlation of {threshold:g}; give more networks or "
            "a lower threshold"
        )
    totals = Counter(one.network for one in shown)
    counts = {source.name: totals[source.name] for source in sources}
    digests = {source.name: source.digest for source in sources}
    notes += [note for source in sources if (note := about(source))]
    return Faces(tuple(found), tuple(alone), counts, digests, threshold, tuple(notes))


def source_of(model: "Network | Records | str", layer: str | None = None) -> Source:
    """The kernels of a network or atlas."""
    from filterscope.model import load

    opened = load(model) if isinstance(model, str) else model
    layers = tuple(kernels_of(opened, layer))
    if isinstance(opened, Network):
        name = Path(opened.name).name or type(opened.module).__name__
        return Source(name, opened.digest, layers)
    facts: dict[str, str] = getattr(opened, "facts", {})
    folder = getattr(opened, "folder", None)
    name = Path(folder).stem if folder else facts.get("network", "atlas")
    return Source(name, facts.get("network_digest", str(id(opened))), layers)


def distinct(sources: Sequence[Source]) -> tuple[list[Source], list[str]]:
    """Every network once, each with a name of its own, and a line for what was left out.

    Raises:
        FilterscopeError: if there is none.
    """
    if not sources:
        raise FilterscopeError("faces need at least one network")
    kept: dict[str, Source] = {}
    notes = []
    for source in sources:
        if source.digest in kept:
            notes.append(f"{source.name} is the same network as {kept[source.digest].name} and counts once")
            continue
        names = {one.name for one in kept.values()}
        name = next(
            name
            for number in range(1, len(kept) + 2)
            if (name := source.name if number == 1 else f"{source.name} ({number})") not in names
        )
        kept[source.digest] = Source(name, source.digest, source.layers)
    return list(kept.values()), notes


def about(source: Source) -> str | None:
    """What has to be said of a network's input: without colours, kernels are compared by one pattern."""
    plain = next((one for one in source.layers if not one.colours), None)
    if plain is None:
        return None
    count = plain.weights.shape[1]
    if count == 1:
        return f"{source.name} sees grey: its kernels are compared by brightness alone"
    return f"{source.name} sees {count} channels, no colours: of each kernel its strongest pattern is compared"


def kernels_shown(source: Source, tick: Callable[[int], object] = bool) -> Iterator[Shown]:
    """A network's kernels with their functions; those of zeros, and those that are no one kernel, are left out."""
    for layer in source.layers:
        matches = identified(layer, tick=tick).matches
        for match, kernel in zip(matches, alignment.kernels(layer), strict=True):
            if match.label in FUNCTIONS:
                yield Shown(source.name, layer.layer, match.unit, match.label, kernel)


def of_function(function: str, shown: list[Shown], threshold: float) -> tuple[list[Face], list[Shown]]:
    """The faces of a function, the commonest first, and the kernels that are like no other."""
    if not shown:
        return [], []
    forms = np.stack([one.kernel.form() for one in shown])
    likeness, _ = alignment.turns(forms, forms)
    group = groups(likeness, threshold)
    inside = [np.flatnonzero(group == number) for number in range(group.max() + 1)]
    found = [
        made(function, [shown[index] for index in indices], likeness[np.ix_(indices, indices)])
        for indices in inside
        if len(indices) > 1
    ]
    found.sort(key=lambda face: (-len(face.members), -round(face.correlation, 9)))
    alone = [shown[indices[0]] for indices in inside if len(indices) == 1]
    return [numbered(face, number) for number, face in enumerate(found, 1)], alone


def numbered(face: Face, number: int) -> Face:
    """The same face with its place among those of its function."""
    return replace(face, number=number)


def made(function: str, shown: Sequence[Shown], likeness: NDArray[np.float64]) -> Face:
    """The face of kernels that are alike: begun with the most typical one, then the mean as they lie on the last."""
    forms = [one.kernel.form() for one in shown]
    mean = forms[int(np.round(likeness.sum(0), 9).argmax())]
    for last in (False,) * (ROUNDS - 1) + (True,):
        mean = alignment.undone(mean, alignment.upright(mean)) if last else mean
        turns = [alignment.turn(one, mean) for one in forms]
        laid = np.stack([alignment.undone(one, by) for one, by in zip(forms, turns, strict=True)])
        mean = alignment.unit_form(laid.mean(0))
    correlations = with_the_others(laid)
    pictures = np.stack([alignment.picture(one.kernel, by, SIDE) for one, by in zip(shown, turns, strict=True)])
    # The order of a float's last digits is no order.
    order = sorted(range(len(shown)), key=lambda index: (-round(float(correlations[index]), 9), index))
    return Face(
        function=function,
        number=0,
        mean=pictures.mean(0),
        spread=np.sqrt(((pictures - pictures.mean(0)) ** 2).sum(1).mean(0)),
        form=mean,
        correlation=float(correlations.mean()),
        interval=clusters.mean_interval(correlations),
        period=alignment.period(mean),
        members=tuple(Member(shown[index], float(correlations[index]), turns[index]) for index in order),
    )


def with_the_others(laid: Float[np.ndarray, "kernel three rings spokes"]) -> Float[np.ndarray, "kernel"]:
    """Of every kernel the correlation with the mean of the others: with its own mean even noise would agree."""
    others = laid.sum(0) - laid
    norm = np.sqrt((others**2).sum((1, 2, 3)))
    return np.asarray((laid * others).sum((1, 2, 3)) / np.where(norm > 0, norm, 1))
