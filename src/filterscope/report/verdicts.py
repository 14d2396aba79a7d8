"""Verdicts: the findings of an atlas as a few sentences, worst first, each with its number and where there is more."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filterscope.atlas.diagnosis import NETWORK, WHOLE, Finding, Spectrum
from filterscope.atlas.records import Layer

if TYPE_CHECKING:
    from filterscope.atlas import Atlas

WARNING, NOTE, LEFT_OUT = "warning", "note", "left out"
"""How a verdict is meant: something to look at; something to know; something that could not be measured."""

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
class Kind:
    """How findings of a kind are told; ``tell`` gives the claim."""

    level: str
    tell: Callable[[Sequence[Finding], int], str]


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
    units = sum(layer.channels for layer in every)
    widths = {one.layer: one.width for one in atlas.records(Spectrum)}
    told = [verdict(kind, found[kind], units, widths, str(atlas.folder)) for kind in KINDS if kind in found]
    levels = (WARNING, NOTE, LEFT_OUT)
    return sorted((one for one in told if one is not None), key=lambda one: levels.index(one.level))


def verdict(kind: str, findings: Sequence[Finding], units: int, widths: dict[str, int], folder: str) -> Verdict | None:
    """One of them; None where nothing is left to say."""
    how = KINDS[kind]
    said = how.tell(findings, units) if kind not in WIDTHS else of_width(kind, findings, widths)
    first = findings[0]
    if not said:
        return None
    if kind in OF_UNITS or kind in OF_LAYERS or len(findings) > 1:
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


def filters(phrase: str, phrase_of_one: str) -> Callable[[Sequence[Finding], int], str]:
    """Claims about single filters."""

    def tell(findings: Sequence[Finding], units: int) -> str:
        count = len({(one.layer, one.unit) for one in findings})
        what = phrase_of_one if count == 1 else phrase
        return f"{count:,} of {units:,} filters {what}: {names(findings)}"

    return tell


def never_fired(findings: Sequence[Finding], units: int) -> str:
    """With the bound that so many images give."""
    bound = max(one.high or 0 for one in findings)
    told = filters("never fired in the images", "never fired in the images")(findings, units)
    return f"{told}; each fires in fewer than {100 * bound:.2g} % of such images (95 %)"


def layers(phrase: str) -> Callable[[Sequence[Finding], int], str]:
    """Claims about layers."""

    def tell(findings: Sequence[Finding], _units: int) -> str:
        count = len({one.layer for one in findings})
        return f"{count} layer{'s' if count > 1 else ''} {phrase}: {names(findings)}"

    return tell


def of_width(kind: str, findings: Sequence[Finding], widths: dict[str, int]) -> str:
    """Layers with more filters than their responses have directions, or as many."""
    shown = [
        f"{one.layer} ({one.value:.0f} of {widths[one.layer]})" if one.layer in widths else one.layer
        for one in sorted(findings, key=lambda one: (one.value or 0) / widths.get(one.layer, 1))[:NAMED]
    ]
    rest = f" and {len(findings) - NAMED} more" if len(findings) > NAMED else ""
    count = f"{len(findings)} layer{'s' if len(findings) > 1 else ''}"
    have, use = ("have", "use all of their filters") if len(findings) > 1 else ("has", "uses all of its filters")
    what = f"{have} more filters than" if kind == "too many filters" else f"{use}, and may want more:"
    many = "directions in their responses (99 % of the variance)"
    return f"{count} {what} {many}: {', '.join(shown)}{rest}"


def share(phrase: str) -> Callable[[Sequence[Finding], int], str]:
    """A claim about the network with a share and its interval."""

    def tell(findings: Sequence[Finding], _units: int) -> str:
        one = findings[0]
        where = "" if one.layer == NETWORK else f" ({one.layer})"
        return f"{phrase}{where}: {percent(one)}"

    return tell


def number(phrase: str) -> Callable[[Sequence[Finding], int], str]:
    """The same with a plain number."""

    def tell(findings: Sequence[Finding], _units: int) -> str:
        one = findings[0]
        span = "" if one.low is None or one.high is None else f" ({one.low:.2f} to {one.high:.2f})"
        return phrase if one.value is None else f"{phrase}: {one.value:.2f}{span}"

    return tell


def percent(one: Finding) -> str:
    """A share with its interval."""
    if one.value is None:
        return "not known"
    span = "" if one.low is None or one.high is None else f" ({100 * one.low:.1f} to {100 * one.high:.1f})"
    return f"{100 * one.value:.1f} %{span}"


def in_families(findings: Sequence[Finding], units: int) -> str:
    """How many filters are copies; nothing where none are."""
    there = [one for one in findings if one.value]
    if not there:
        return ""
    return f"{len(there)} layers have filters that are turned, mirrored or shifted copies, no waste: {names(there)}"


def left_out(findings: Sequence[Finding], _units: int) -> str:
    """Why something is not there."""
    reasons = list(dict.fromkeys(one.evidence for one in findings))
    more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
    where = "" if findings[0].layer == NETWORK else f" ({names(findings)})"
    return f"{findings[0].kind}{where}: {reasons[0]}{more}"


KINDS: dict[str, Kind] = {
    # What makes all else doubtful comes first: a gap may be no overfitting at all.
    "near-duplicates": Kind(WARNING, share("validation images are among the training images")),
    "shift between the sets": Kind(WARNING, number("training and validation pictures can be told apart, AUC")),
    "batch norm statistics": Kind(WARNING, share("batch norm's running statistics are wrong; better ones gain")),
    "wrong labels in training": Kind(WARNING, share("training images have wrong labels")),
    "wrong labels in validation": Kind(WARNING, share("validation images have wrong labels")),
    "other classes in validation": Kind(WARNING, share("validation images would have to change class")),
    "overfits": Kind(WARNING, share("it overfits: training accuracy is above validation accuracy by")),
    "gap opens": Kind(WARNING, share("the gap opens here")),
    "memorises": Kind(WARNING, filters("serve training images alone", "serves training images alone")),
    "more data": Kind(NOTE, share("more data is the likelier cure: doubling them brought")),
    "smaller network": Kind(NOTE, share("a smaller network is the likelier cure: twice the data brought")),
    "over-confident": Kind(WARNING, number("it is too sure rather than overfitted, loss above training by")),
    "sets too small": Kind(WARNING, share("the sets are too small to tell gaps below")),
    "provably dead": Kind(WARNING, filters("are dead, whatever the image", "is dead, whatever the image")),
    "unread": Kind(WARNING, filters("are read by nothing", "is read by nothing")),
    "constant": Kind(WARNING, filters("say the same whatever they see", "says the same whatever it sees")),
    "equal": Kind(WARNING, filters("equal another one", "equals another one")),
    "scaled": Kind(WARNING, filters("equal another one up to a factor", "equals another one up to a factor")),
    "never fired": Kind(WARNING, never_fired),
    "no stimulus found": Kind(NOTE, filters("were not moved by gradient ascent", "was not moved by gradient ascent")),
    "combination": Kind(NOTE, filters("are exact sums of others", "is an exact sum of others")),
    "near": Kind(NOTE, filters("respond nearly as another one", "responds nearly as another one")),
    "near combination": Kind(
        NOTE, filters("are given by the others to 99 % and more", "is given by the others to 99 % and more")
    ),
    "block can be bypassed": Kind(WARNING, layers("begin a block that can be left out")),
    "too many filters": Kind(WARNING, layers("have more filters than directions")),
    "candidate for more filters": Kind(NOTE, layers("use all of their filters")),
    "sees the whole image before": Kind(NOTE, layers("come where the whole image was already seen")),
    "probe accuracy saturates": Kind(NOTE, share("a linear probe is no better behind any later layer")),
    "gap": Kind(NOTE, share("training accuracy less validation accuracy")),
    "uneven classes": Kind(NOTE, number("the largest class has so many times the images of the smallest")),
    "fires for a single image": Kind(NOTE, filters("owe all to a single image", "owes all to a single image")),
    "antiphase": Kind(NOTE, filters("are the opposite of another one", "is the opposite of another one")),
    "families": Kind(NOTE, in_families),
    "family": Kind(NOTE, filters("belong to a family of copies, which is no waste", "belongs to a family of copies")),
    "rotation-invariant": Kind(NOTE, filters("see no turn", "sees no turn")),
    "hint": Kind(NOTE, layers("have a spectrum of weights that hints at something, from weights alone")),
    "spectrum left out": Kind(LEFT_OUT, left_out),
    "probes left out": Kind(LEFT_OUT, left_out),
    "blocks left out": Kind(LEFT_OUT, left_out),
}
"""Every kind of finding, worst first within its level."""

WIDTHS = frozenset({"too many filters", "candidate for more filters"})
OF_LAYERS = frozenset({*WIDTHS, "block can be bypassed", "sees the whole image before", "families", "hint"})
OF_UNITS = frozenset(
    {
        "memorises",
        "provably dead",
        "unread",
        "constant",
        "equal",
        "scaled",
        "never fired",
        "no stimulus found",
        "combination",
        "near",
        "near combination",
        "fires for a single image",
        "antiphase",
        "family",
        "rotation-invariant",
    }
)
"""Kinds of findings about single filters."""
