"""What follows from a gap between training and validation: impostors first, then overfitting, then its cure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from filterscope.atlas.diagnosis import NETWORK, WHOLE, Finding
from filterscope.findings.generalisation import kinds
from filterscope.findings.generalisation.generalised import Measured, numbers
from filterscope.findings.generalisation.memorising import Memorising
from filterscope.findings.generalisation.probe_gap import FINAL
from filterscope.findings.generalisation.set_sizes import UNEVEN
from filterscope.findings.generalisation.shift import APART
from filterscope.findings.generalisation.weight_spectra import OVER, UNDER
from filterscope.findings.generalisation.wrong_labels import WrongLabels
from filterscope.findings.intervals import Interval, share
from filterscope.findings.resampling import difference, in_points, percent, plain

WRONG = 0.005
"""Share of wrong labels from which on they are reported, by its lower bound. Of clean sets it was at most 0.0012."""

NORM_GAIN = 0.01
"""Gain in accuracy by the statistics of batches, from which on running ones count as wrong, by its lower bound."""

MOVED = 0.1
"""Share of validation images that would have to change class."""

CERTAIN = 0.001
"""Chance of a difference between class shares, below which it is none."""

HOT = 1.1
"""Temperature from which on a network is over-confident."""


@dataclass(frozen=True)
class Explained:
    """The gap in accuracy as it would be without an impostor."""

    kind: str
    gap: Interval


def verdicts(measured: Measured, memorising: Sequence[Memorising], tolerance: float) -> tuple[Finding, ...]:
    """Every finding, impostors first.

    Args:
        measured: the numbers.
        memorising: units whose ablation was measured and that memorise.
        tolerance: gap in accuracy up to which a network does not overfit.
    """
    found = [one for one in impostors(measured, tolerance) if one is not None]
    told = {one.kind for one in found}
    if measured.gap is not None:
        found.append(gap_finding(measured))
        found += over_confident(measured, told, tolerance)
        if overfits(measured, told, tolerance):
            found += overfitting(measured, told)
            found += [memorises(one) for one in memorising]
    found += single(measured)
    found += hints(measured)
    return tuple(found)


def suspected(measured: Measured, tolerance: float) -> bool:
    """Whether the network overfits, so that it is worth while to look for filters that memorise."""
    told = {one.kind for one in impostors(measured, tolerance) if one is not None}
    return overfits(measured, told, tolerance)


def of_network(kind: str, number: Interval | float, evidence: str) -> Finding:
    """A finding about the network."""
    value = number if isinstance(number, Interval) else Interval(number, float("nan"), float("nan"))
    known = isinstance(number, Interval)
    return Finding(
        NETWORK, WHOLE, kind, value.value, value.low if known else None, value.high if known else None, evidence
    )


def impostors(measured: Measured, tolerance: float) -> Iterator[Finding | None]:
    """What passes for overfitting, or hides it."""
    yield twins(measured)
    yield (found_shift := shifted(measured))
    yield from classes(measured)
    yield wrong(measured, kinds.WRONG_IN_TRAINING, measured.wrong_training, "training")
    # Of pictures that are made otherwise the network may be wrong, rather than their labels.
    if found_shift is None:
        yield wrong(measured, kinds.WRONG_IN_VALIDATION, measured.wrong_validation, "validation")
    yield norms(measured)
    yield too_small(measured, tolerance)


def twins(measured: Measured) -> Finding | None:
    """Images that are in both sets."""
    if not measured.twins:
        return None
    found, seen = share(len(measured.twins), measured.validation.seen), measured.training.seen
    pairs = ", ".join(f"{one.validation} = {one.training}" for one in measured.twins[:6])
    without = measured.without_twins
    all_of_them = measured.training.images / max(seen, 1)
    more = f"; in all {measured.training.images} about {all_of_them:.0f} times as many" if all_of_them > 1.5 else ""
    gap = f" Without them the gap in accuracy is {in_points(without)}." if without else ""
    return of_network(
        kinds.TWINS,
        found,
        f"{percent(found)} of {measured.validation.seen} validation images are among {seen} training images{more} "
        f"(validation = training: {pairs}).{gap} Overturned by pictures of these pairs that differ.",
    )


def shifted(measured: Measured) -> Finding | None:
    """Sets that can be told apart by how their pictures are made."""
    one = measured.shift
    if one is None or one.pictures.low <= APART:
        return None
    gap = f"; the gap of {in_points(measured.gap.accuracy)} is not laid on overfitting" if measured.gap else ""
    return of_network(
        kinds.SHIFT,
        one.pictures,
        f"a classifier tells validation from training pictures by statistics of their pixels alone, AUC "
        f"{plain(one.pictures)} (0.5: not at all), most by {one.most}, {one.by:+.1f} standard deviations{gap}. "
        "Overturned by sets drawn and decoded alike that are still told apart.",
    )


def classes(measured: Measured) -> Iterator[Finding]:
    """Classes filled otherwise in one set than in the other, or unevenly."""
    one = measured.balance
    if one is None:
        return
    if one.lacking or (one.p is not None and one.p < CERTAIN and one.moved > MOVED):
        lacking = f"; the training set lacks {numbers_of(one.lacking)}" if one.lacking else ""
        chance = "" if one.p is None else f", which drawing by chance does with p = {one.p:.1g}"
        yield of_network(
            kinds.CLASS_SHARES,
            one.moved,
            f"{100 * one.moved:.0f} % of the validation images would have to change class for classes to be filled "
            f"as in the training set{chance}{lacking}.{balanced(measured)} Exact for these sets. Overturned by a gap "
            "in the balanced accuracy that is as large.",
        )
    if one.ratio > UNEVEN:
        yield of_network(
            kinds.UNEVEN,
            one.ratio,
            f"the training set has {one.ratio:.0f} times as many images of {one.largest} as of {one.smallest}: "
            f"accuracy speaks of the large classes.{balanced(measured)} Exact for this set. Overturned by a balanced "
            "gap that is as large as the plain one.",
        )


def numbers_of(names: Sequence[str]) -> str:
    """Names of classes in a sentence."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def balanced(measured: Measured) -> str:
    """The gap with classes counted alike, as a sentence."""
    return f" With every class counted alike the gap is {in_points(measured.balanced)}." if measured.balanced else ""


def wrong(measured: Measured, kind: str, labels: WrongLabels | None, where: str) -> Finding | None:
    """Images whose label the network and their neighbours contradict."""
    if labels is None or labels.share.low <= WRONG:
        return None

    def name(number: int) -> str:
        return measured.classes[number] if number < len(measured.classes) else str(number)

    some = ", ".join(f"{one.image} ({name(one.given)}, rather {name(one.told)})" for one in labels.suspects[:5])
    return of_network(
        kind,
        labels.share,
        f"about {percent(labels.share)} of {labels.images} {where} images have a wrong label: {len(labels.suspects)} "
        f"are contradicted by the network and by their nearest neighbours: {some}; "
        f"images {numbers([one.image for one in labels.suspects], 40)}. Overturned by looking at these.",
    )


def norms(measured: Measured) -> Finding | None:
    """Running statistics that are not those of the data."""
    one = measured.norms
    if one is None or one.better is None or one.better.low <= NORM_GAIN:
        return None
    far = max(one.layers, key=lambda layer: layer.shift)
    again = measured.in_batch_mode
    gap = f" In that mode the gap is {in_points(again)}." if again else ""
    return of_network(
        kinds.NORMS,
        one.better,
        f"with the statistics of batches in the place of running ones the accuracy on {len(one.rows)} training "
        f"images rises by {in_points(one.better)}; running means are off most in {far.name}, by {far.shift:.1f} "
        f"standard deviations (deviations by a factor of {far.factor:.2g}).{gap} Overturned if it does not rise "
        "after running statistics are recalibrated on training images.",
    )


def too_small(measured: Measured, tolerance: float) -> Finding | None:
    """Sets of which nothing can be said."""
    if measured.gap is None or measured.visible is None or measured.visible <= tolerance:
        return None
    gap = measured.gap.accuracy
    if gap.low > tolerance or gap.high <= tolerance:
        return None
    first, second = measured.training.labelled, measured.validation.labelled
    return of_network(
        kinds.TOO_SMALL,
        measured.visible,
        f"{first} training and {second} validation images show gaps in accuracy from {100 * measured.visible:.1f} % "
        f"on (in four of five measurements); measured was {in_points(gap)}. Computed, not measured. Overturned by more "
        "images.",
    )


def gap_finding(measured: Measured) -> Finding:
    """The number itself."""
    gap, ours, theirs = measured.gap, measured.training_score, measured.validation_score
    assert gap is not None
    assert ours is not None
    assert theirs is not None
    return of_network(
        kinds.GAP,
        gap.accuracy,
        f"accuracy {percent(ours.accuracy)} on {ours.images} training images, {percent(theirs.accuracy)} on "
        f"{theirs.images} validation images; loss {plain(ours.loss)} and {plain(theirs.loss)}, calibration error "
        f"{percent(ours.error)} and {percent(theirs.error)}. Overturned by other samples of the same sets.",
    )


def over_confident(measured: Measured, told: set[str], tolerance: float) -> Iterator[Finding]:
    """A loss that is high because the network is too sure, not because it errs more often."""
    gap = measured.gap
    assert gap is not None
    if told & {kinds.SHIFT, kinds.NORMS} or overfits(measured, told, tolerance):
        return
    if gap.temperature > HOT and gap.loss.low > 0 and gap.cooled.value < gap.loss.value / 2:
        gone = 100 * (1 - gap.cooled.value / gap.loss.value)
        yield of_network(
            kinds.OVER_CONFIDENT,
            gap.loss,
            f"the validation loss is {plain(gap.loss)} above the training loss, but {gone:.0f} % "
            f"of that goes when logits are divided by {gap.temperature:.2f}, and accuracy falls by "
            f"{in_points(gap.accuracy)} only: too sure rather than overfitted; cured by a temperature. Overturned if "
            "it does not on other images.",
        )


def explained(measured: Measured, told: set[str]) -> list[Explained]:
    """The gap, and what it would be without each impostor that was found."""
    assert measured.gap is not None
    base = measured.gap.accuracy if measured.without_twins is None else measured.without_twins
    found = [Explained(kinds.GAP, base)]
    noisy = [measured.wrong_validation, measured.wrong_training]
    if told & {kinds.WRONG_IN_TRAINING, kinds.WRONG_IN_VALIDATION} and noisy[0] and noisy[1]:
        found.append(Explained(kinds.WRONG_IN_VALIDATION, difference(base, difference(noisy[0].share, noisy[1].share))))
    if told & {kinds.UNEVEN, kinds.CLASS_SHARES} and measured.balanced:
        found.append(Explained(kinds.UNEVEN, measured.balanced))
    if kinds.NORMS in told and measured.in_batch_mode:
        found.append(Explained(kinds.NORMS, measured.in_batch_mode))
    return found


def overfits(measured: Measured, told: set[str], tolerance: float) -> bool:
    """Whether the gap is above ``tolerance`` for sure, with every impostor taken away; with a shift nothing is sure."""
    if measured.gap is None or kinds.SHIFT in told:
        return False
    return min(one.gap.low for one in explained(measured, told)) > tolerance


def overfitting(measured: Measured, told: set[str]) -> Iterator[Finding]:
    """That it does, where it begins, and what would help."""
    smallest = min(explained(measured, told), key=lambda one: one.gap.low)
    ruled = "; ".join(one for one in measured.left_out) or "nothing was left out"
    how = "as it is" if smallest.kind == kinds.GAP else f"corrected for {smallest.kind}"
    yield of_network(
        kinds.OVERFITS,
        smallest.gap,
        f"training accuracy is {in_points(smallest.gap)} above validation accuracy ({how}), and no impostor explains "
        f"it ({ruled}). Validation images of the largest loss: {numbers(measured.worst)}. Overturned by fresh images "
        "of the same source as the training set on which the gap is gone.",
    )
    first = measured.opens
    if first is not None:
        yield opens(measured)
    if (curve := measured.curve) is None:
        return
    steps = ", ".join(
        f"{100 * one.value:.1f} % by {count} images" for one, count in zip(curve.accuracy, curve.images, strict=True)
    )
    if curve.rising:
        yield of_network(
            kinds.MORE_DATA,
            curve.gain,
            f"the likelier cure: on the features of {curve.layer}, which are still alike for both sets, the accuracy "
            f"of a probe still rises ({steps}): the second half brought {in_points(curve.gain)}. "
            "Overturned by a network trained on twice the images with the same gap.",
        )
    else:
        yield of_network(
            kinds.SMALLER,
            curve.gain,
            f"the likelier cure (or stronger regularisation): on the features of {curve.layer} the accuracy of a "
            f"probe is {steps}: the second half brought {in_points(curve.gain)}, so more images promise little. "
            "Overturned by a network trained on twice the images with a smaller gap.",
        )


def opens(measured: Measured) -> Finding:
    """The layer from which on training images are told better than validation images."""
    one = measured.opens
    assert one is not None
    names = [probe.layer for probe in measured.probes]
    before = measured.probes[names.index(one.layer) - 1] if one.layer != names[0] else None
    said = f"; in {before.layer}, before it, {in_points(before.gap)}" if before else ""
    layer = NETWORK if one.layer == FINAL else one.layer
    return Finding(
        layer,
        WHOLE,
        kinds.OPENS,
        one.gap.value,
        one.gap.low,
        one.gap.high,
        f"from here on a linear probe names training images (that it had not seen) rightly more often than validation "
        f"images, by {in_points(one.gap)}{said}; at the end {in_points(measured.probes[-1].gap)}. Overturned by a "
        "probe of this layer, fitted on other images, without that gap.",
    )


def memorises(one: Memorising) -> Finding:
    """A unit that helps on training images alone."""
    return Finding(
        one.layer,
        one.unit,
        kinds.MEMORISES,
        one.apart.value,
        one.apart.low,
        one.apart.high,
        f"switched off, the margin of the right class falls by {plain(one.training)} on {one.training_images} training "
        f"images and by {plain(one.validation)} on {one.validation_images} validation images; false discovery rate 5 "
        f"%. Training images that lose most: {numbers(one.images)}. Overturned by validation images that lose as much.",
    )


def single(measured: Measured) -> Iterator[Finding]:
    """Units that one image makes fire."""
    for one in measured.single_images:
        yield Finding(
            one.layer,
            one.unit,
            kinds.SINGLE_IMAGE,
            one.share,
            None,
            None,
            f"training image {one.image} alone makes {100 * one.share:.0f} % of what the unit gives at its strongest "
            f"over {one.images} training images. Exact for these. Overturned by other images that make it fire as "
            "much.",
        )


def hints(measured: Measured) -> Iterator[Finding]:
    """What weights alone suggest; never a verdict."""
    for one in measured.spectra:
        if one.alpha is None or one.error is None or OVER - 2 * one.error <= one.alpha <= UNDER + 2 * one.error:
            continue
        what = "over-trained" if one.alpha < OVER else "under-trained"
        yield Finding(
            one.layer,
            WHOLE,
            kinds.HINT,
            one.alpha,
            one.alpha - 2 * one.error,
            one.alpha + 2 * one.error,
            f"a hint from weights alone, not a measurement of generalisation: the tail of {one.tail} eigenvalues falls "
            f"with the exponent {one.alpha:.1f}, as of {what} layers (below {OVER:.0f}: over-, above {UNDER:.0f}: "
            f"under-trained); largest singular value {one.norm:.2f}. Overturned by any gap that is measured.",
        )
