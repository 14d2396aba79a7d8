"""Verdicts: the findings of an atlas as a few sentences, worst first, each with its number and where there is more."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filterscope.atlas.diagnosis import NETWORK, WHOLE, Finding, Spectrum
from filterscope.atlas.records import Layer

if TYPE_CHECKING:
    from filterscope.atlas import Atlas

WARNING, NOTE, LEFT_OUT = "warning", "note", "left out"
"""How a verdict is meant: something to look at; something to know; something that could not be measured."""

FILTERS, LAYERS, SHARE, POINTS, NUMBER, NOTHING = "filters", "layers", "share", "points", "number", "none"
"""What the number of a verdict is. What two shares differ by is in points: 60 % is 20 points above 40 %, not 20 %."""

NAMED = 3
"""Filters or layers that a claim names."""


@dataclass(frozen=True)
class Verdict:
    """What all findings of one kind come to.

    ``claim`` is one line with the number that it rests on; ``evidence`` that of its first finding, with what would
    overturn it; ``more`` the command that shows more.
    """

    kind: str
    level: str
    claim: str
    evidence: str
    more: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Among:
    """What findings are counted among: all filters of the network, and the widths of layers with a spectrum."""

    filters: int
    widths: Mapping[str, int]


@dataclass(frozen=True)
class Kind:
    """How findings of a kind are told.

    ``tell`` gives the claim; ``counts`` says what its number is: FILTERS or LAYERS that are counted, a SHARE, POINTS,
    a plain NUMBER, or NOTHING.
    """

    level: str
    tell: Callable[[Sequence[Finding], Among], str]
    counts: str


def verdicts(atlas: "Atlas") -> list[Verdict]:
    """The verdicts on a network, worst first; none where no diagnosis was made."""
    # By records and not by a frame: reports are written without pandas.
    every = sorted(atlas.records(Layer), key=lambda one: one.position)
    order = {layer.name: number for number, layer in enumerate(every)}
    found: dict[str, list[Finding]] = {}
    for one in atlas.records(Finding):
        found.setdefault(one.kind, []).append(one)
    for some in found.values():
        some.sort(key=lambda one: (order.get(one.layer, -1), one.unit))
    among = Among(sum(layer.channels for layer in every), {one.layer: one.width for one in atlas.records(Spectrum)})
    told = [verdict(kind, found[kind], among, str(atlas.folder)) for kind in KINDS if kind in found]
    levels = (WARNING, NOTE, LEFT_OUT)
    return sorted((one for one in told if one is not None), key=lambda one: levels.index(one.level))


def verdict(kind: str, findings: Sequence[Finding], among: Among, folder: str) -> Verdict | None:
    """One of them; None where nothing is left to say."""
    how = KINDS[kind]
    said = how.tell(findings, among)
    first = findings[0]
    if not said:
        return None
    if how.counts in (FILTERS, LAYERS) or len(findings) > 1:
        more = f'filterscope diagnose {folder} --kind "{kind}"'
    else:
        more = f"filterscope report {folder}"
    return Verdict(kind, how.level, said, first.evidence, more, tuple(findings))


def names(findings: Iterable[Finding]) -> str:
    """The first few filters or layers in words."""
    every = list(dict.fromkeys(place(one) for one in findings))
    rest = f" and {len(every) - NAMED} more" if len(every) > NAMED + 1 else ""
    return ", ".join(every[:NAMED] if rest else every) + rest


def place(one: Finding) -> str:
    """A filter as LAYER:INDEX, a layer by its name."""
    if one.layer == NETWORK:
        return "the network"
    return one.layer if one.unit == WHOLE else f"{one.layer}:{one.unit}"


def filters(level: str, phrase: str, phrase_of_one: str) -> Kind:
    """Claims about single filters."""

    def tell(findings: Sequence[Finding], among: Among) -> str:
        count = len({(one.layer, one.unit) for one in findings})
        what = phrase_of_one if count == 1 else phrase
        return f"{count:,} of {among.filters:,} filters {what}: {names(findings)}"

    return Kind(level, tell, FILTERS)


def never_fired(findings: Sequence[Finding], among: Among) -> str:
    """With the bound that so many images give."""
    bound = max(one.high or 0 for one in findings)
    told = filters(WARNING, "never fired in the images", "never fired in the images").tell(findings, among)
    return f"{told}; each fires in fewer than {100 * bound:.2g} % of such images (95 %)"


def layers(level: str, phrase: str) -> Kind:
    """Claims about layers."""

    def tell(findings: Sequence[Finding], _among: Among) -> str:
        count = len({one.layer for one in findings})
        return f"{count} layer{'s' if count > 1 else ''} {phrase}: {names(findings)}"

    return Kind(level, tell, LAYERS)


def widths(level: str, one_has: str, more_have: str) -> Kind:
    """Claims about layers whose responses have fewer directions than they have filters, or as many."""

    def tell(findings: Sequence[Finding], among: Among) -> str:
        worst = sorted(findings, key=lambda one: (one.value or 0) / among.widths.get(one.layer, 1))[:NAMED]
        shown = [
            f"{one.layer} ({one.value:.0f} of {among.widths[one.layer]})" if one.layer in among.widths else one.layer
            for one in worst
        ]
        rest = f" and {len(findings) - NAMED} more" if len(findings) > NAMED else ""
        count = f"{len(findings)} layers {more_have}" if len(findings) > 1 else f"1 layer {one_has}"
        return f"{count} directions in their responses (99 % of the variance): {', '.join(shown)}{rest}"

    return Kind(level, tell, LAYERS)


def share(level: str, phrase: str) -> Kind:
    """A claim about the network with a share and its interval."""

    def tell(findings: Sequence[Finding], _among: Among) -> str:
        one = findings[0]
        where = "" if one.layer == NETWORK else f" ({one.layer})"
        return f"{phrase}{where}: {percent(one)}"

    return Kind(level, tell, SHARE)


def in_points(level: str, phrase: str) -> Kind:
    """A claim about what two shares differ by."""

    def tell(findings: Sequence[Finding], _among: Among) -> str:
        one = findings[0]
        where = "" if one.layer == NETWORK else f" ({one.layer})"
        if one.value is None:
            return f"{phrase}{where}"
        span = "" if one.low is None or one.high is None else f" ({100 * one.low:.1f} to {100 * one.high:.1f})"
        return f"{phrase}{where}: {100 * one.value:.1f} points{span}"

    return Kind(level, tell, POINTS)


def number(level: str, phrase: str) -> Kind:
    """The same with a plain number."""

    def tell(findings: Sequence[Finding], _among: Among) -> str:
        one = findings[0]
        span = "" if one.low is None or one.high is None else f" ({one.low:.2f} to {one.high:.2f})"
        return phrase if one.value is None else f"{phrase}: {one.value:.2f}{span}"

    return Kind(level, tell, NUMBER)


def percent(one: Finding) -> str:
    """A share with its interval."""
    if one.value is None:
        return "not known"
    span = "" if one.low is None or one.high is None else f" ({100 * one.low:.1f} to {100 * one.high:.1f})"
    return f"{100 * one.value:.1f} %{span}"


def in_families(findings: Sequence[Finding], _among: Among) -> str:
    """How many filters are copies; nothing where none are."""
    there = [one for one in findings if one.value]
    if not there:
        return ""
    return f"{len(there)} layers have filters that are turned, mirrored or shifted copies, no waste: {names(there)}"


def left_out(findings: Sequence[Finding], _among: Among) -> str:
    """Why something is not there."""
    reasons = list(dict.fromkeys(one.evidence for one in findings))
    more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
    where = "" if findings[0].layer == NETWORK else f" ({names(findings)})"
    return f"{findings[0].kind}{where}: {reasons[0]}{more}"


KINDS: dict[str, Kind] = {
    # What makes all else doubtful comes first: a gap may be no overfitting at all.
    "near-duplicates": share(WARNING, "validation images are among the training images"),
    "shift between the sets": number(WARNING, "training and validation pictures can be told apart, AUC"),
    "batch norm statistics": in_points(WARNING, "batch norm's running statistics are wrong; better ones gain"),
    "wrong labels in training": share(WARNING, "training images have wrong labels"),
    "wrong labels in validation": share(WARNING, "validation images have wrong labels"),
    "other classes in validation": share(WARNING, "validation images would have to change class"),
    "overfits": in_points(WARNING, "it overfits, training accuracy above validation accuracy"),
    "gap opens": in_points(WARNING, "from here on a linear probe is better on training images"),
    "memorises": filters(WARNING, "serve training images alone", "serves training images alone"),
    "more data": in_points(NOTE, "more data is the likelier cure, twice the images brought"),
    "smaller network": in_points(NOTE, "a smaller network is the likelier cure, twice the images brought"),
    "over-confident": number(WARNING, "it is too sure rather than overfitted, loss above training by"),
    "sets too small": share(WARNING, "the sets are too small to tell gaps below"),
    "provably dead": filters(WARNING, "are dead, whatever the image", "is dead, whatever the image"),
    "unread": filters(WARNING, "are read by nothing", "is read by nothing"),
    "constant": filters(WARNING, "say the same whatever they see", "says the same whatever it sees"),
    "equal": filters(WARNING, "equal another one", "equals another one"),
    "scaled": filters(WARNING, "equal another one up to a factor", "equals another one up to a factor"),
    "never fired": Kind(WARNING, never_fired, FILTERS),
    "no stimulus found": filters(NOTE, "were not moved by gradient ascent", "was not moved by gradient ascent"),
    "combination": filters(NOTE, "are exact sums of others", "is an exact sum of others"),
    "near": filters(NOTE, "respond nearly as another one", "responds nearly as another one"),
    "near combination": filters(
        NOTE, "are given by the others to 99 % and more", "is given by the others to 99 % and more"
    ),
    "block can be bypassed": layers(WARNING, "begin a block that can be left out"),
    "too many filters": widths(WARNING, "has more filters than", "have more filters than"),
    "candidate for more filters": widths(
        NOTE,
        "uses all of its filters, and may want more:",
        "use all of their filters, and may want more:",
    ),
    "sees the whole image before": layers(NOTE, "come where the whole image was already seen"),
    "probe accuracy saturates": share(NOTE, "a linear probe is no better behind any later layer"),
    "gap": in_points(NOTE, "training accuracy less validation accuracy"),
    "uneven classes": number(NOTE, "the largest class has so many times the images of the smallest"),
    "fires for a single image": filters(NOTE, "owe all to a single image", "owes all to a single image"),
    "antiphase": filters(NOTE, "are the opposite of another one", "is the opposite of another one"),
    "families": Kind(NOTE, in_families, LAYERS),
    "family": filters(NOTE, "belong to a family of copies, which is no waste", "belongs to a family of copies"),
    "rotation-invariant": filters(NOTE, "see no turn", "sees no turn"),
    "hint": layers(NOTE, "have a spectrum of weights that hints at something, from weights alone"),
    "spectrum left out": Kind(LEFT_OUT, left_out, NOTHING),
    "probes left out": Kind(LEFT_OUT, left_out, NOTHING),
    "blocks left out": Kind(LEFT_OUT, left_out, NOTHING),
}
"""Every kind of finding, worst first within its level."""

OF_UNITS = frozenset(kind for kind, how in KINDS.items() if how.counts == FILTERS)
OF_LAYERS = frozenset(kind for kind, how in KINDS.items() if how.counts == LAYERS)
