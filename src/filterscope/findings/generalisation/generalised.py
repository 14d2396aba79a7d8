"""What was measured of a network on a training and a validation set, before any of it is judged."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterscope.atlas.diagnosis import Finding
from filterscope.findings.generalisation.kinds import OVERFITS
from filterscope.findings.generalisation.learning_curve import LearningCurve
from filterscope.findings.generalisation.memorising import Memorising
from filterscope.findings.generalisation.norms import Norms
from filterscope.findings.generalisation.probe_gap import ProbeGap
from filterscope.findings.generalisation.scores import Gap, Score
from filterscope.findings.generalisation.set_sizes import Balance
from filterscope.findings.generalisation.shift import Shift
from filterscope.findings.generalisation.single_images import SingleImage
from filterscope.findings.generalisation.twins import Twin
from filterscope.findings.generalisation.weight_spectra import WeightSpectrum
from filterscope.findings.generalisation.wrong_labels import WrongLabels
from filterscope.findings.intervals import Interval


@dataclass(frozen=True)
class SetOfImages:
    """A set as it was looked at: ``seen`` of ``images``, ``labelled`` of the seen with a class the network knows."""

    images: int
    seen: int
    labelled: int
    unread: int
    classes: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Measured:
    """The numbers. What could not be measured is None or empty, and named in ``left_out``, with the reason.

    ``visible`` is the smallest gap in accuracy that sets of this size show; ``balanced`` the gap with every class
    counted alike; ``without_twins`` that without the validation images that have a twin; ``in_batch_mode`` that with
    the statistics of batches. ``worst`` are the validation images of the largest loss.
    """

    training: SetOfImages
    validation: SetOfImages
    training_score: Score | None
    validation_score: Score | None
    gap: Gap | None
    visible: float | None
    balanced: Interval | None
    without_twins: Interval | None
    in_batch_mode: Interval | None
    worst: tuple[int, ...]
    twins: tuple[Twin, ...]
    shift: Shift | None
    balance: Balance | None
    wrong_training: WrongLabels | None
    wrong_validation: WrongLabels | None
    norms: Norms | None
    probes: tuple[ProbeGap, ...]
    opens: ProbeGap | None
    curve: LearningCurve | None
    single_images: tuple[SingleImage, ...]
    spectra: tuple[WeightSpectrum, ...]
    classes: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Generalised:
    """What was measured, what follows, and the filters that memorise (looked for where there is something to explain).

    It prints as its findings, a line each.
    """

    measured: Measured
    memorising: tuple[Memorising, ...]
    findings: tuple[Finding, ...]

    @property
    def overfits(self) -> bool:
        """Whether the network does, and nothing else explains it."""
        return any(one.kind == OVERFITS for one in self.findings)

    def __str__(self) -> str:
        lines = [f"{place(one)}{one.kind}: {one.evidence}" for one in self.findings]
        return "\n".join(lines + [f"left out: {one}" for one in self.measured.left_out])


def place(finding: Finding) -> str:
    """Of what a finding speaks, with a colon behind it; nothing for the network."""
    if not finding.layer:
        return ""
    return f"{finding.layer}: " if finding.unit < 0 else f"{finding.layer}:{finding.unit}: "


def numbers(images: NDArray[np.int64] | list[int] | tuple[int, ...], most: int = 8) -> str:
    """Image numbers as they stand in a sentence.

    Example:
        >>> numbers([4, 8, 15], most=2)
        '4, 8 and 1 more'
    """
    some = ", ".join(str(int(one)) for one in images[:most])
    return some if len(images) <= most else f"{some} and {len(images) - most} more"
