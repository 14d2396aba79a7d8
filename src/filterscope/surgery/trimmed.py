"""What became of a trim: the smaller network, and what was done for it, step by step."""

from dataclasses import dataclass, replace
from typing import Literal

from filterscope.model import Network
from filterscope.surgery.plan import (
    BUDGETED,
    BYPASS,
    SEEN_ONLY,
    Plan,
    Step,
)

Status = Literal["done", "masked", "refused", "undone"]


@dataclass(frozen=True)
class Outcome:
    """What became of a step, or of a part of it.

    ``refused``: it was not begun, for this reason; ``undone``: it was done, the oracle said no, and it was taken back;
    ``masked``: it was only held at what it always is, since nothing of the network could be cut.
    ``difference`` is the largest between the original's answers and those after the step, as a share of the largest.
    """

    step: Step
    status: Status
    reason: str
    difference: float | None


@dataclass(frozen=True, eq=False)
class Trimmed:
    """A smaller network, and what was done for it.

    Attributes:
        network: the new one, of the original's type, preprocessing and classes.
        plan: the steps that were asked for; applied to the original it gives this network again.
        outcomes: what became of each, in order.
        difference: between the answers of the two networks in float64, as a share of the largest answer, at ``sizes``.
        rounding: the same after the new weights were rounded to the original's type.
        sizes: the input sizes that were compared.
        parameters: how many there were, and are.
        finetuned: whether it was trained after the cut; differences are those before.
    """

    network: Network
    plan: Plan
    outcomes: tuple[Outcome, ...]
    difference: float
    rounding: float
    sizes: tuple[tuple[int, int], ...]
    parameters: tuple[int, int]
    finetuned: bool = False

    def having(self, status: Status) -> list[Outcome]:
        """The outcomes of one status."""
        return [one for one in self.outcomes if one.status == status]

    @property
    def removed(self) -> dict[str, tuple[int, ...]]:
        """The units that went by a step of their own, layer by layer; numbered as in the original."""
        found: dict[str, tuple[int, ...]] = {}
        for one in (one for one in self.having("done") if one.step.units):
            found[one.step.layer] = tuple(sorted({*found.get(one.step.layer, ()), *one.step.units}))
        return found

    @property
    def is_proven(self) -> bool:
        """Whether the answers are proven to be the same for all images, and not only seen to be in some."""
        return (
            not self.finetuned
            and not self.is_lossy
            and not any(one.step.kind in SEEN_ONLY for one in self.having("done"))
        )

    @property
    def is_lossy(self) -> bool:
        """Whether steps were done that change the answers, within a budget."""
        return any(one.step.kind in BUDGETED for one in self.having("done"))

    @property
    def bypassed(self) -> tuple[str, ...]:
        """The parts that were left out as a whole, in order."""
        return tuple(one.step.layer for one in self.having("done") if one.step.kind == BYPASS)

    @property
    def masked(self) -> dict[str, tuple[int, ...]]:
        """The units that are still there, and only held at what they always are; numbered as in the original."""
        found: dict[str, tuple[int, ...]] = {}
        for one in self.having("masked"):
            found[one.step.layer] = tuple(sorted({*found.get(one.step.layer, ()), *one.step.units}))
        return found

    @property
    def unproven(self) -> str:
        """What is to be known of units that went because they never fired, in a sentence; "": there are none."""
        steps = [one.step for one in self.having("done") if one.step.kind in SEEN_ONLY]
        count = sum(len(step.units) for step in steps)
        at_most = max((step.at_most for step in steps), default=0.0)
        if not count:
            return ""
        one, each = ("1 filter", "it") if count == 1 else (f"{count} filters", "each")
        said = f"not proven: {one} went that never fired in the images that were looked at"
        if at_most:
            # Of one or two images the bound is all of them.
            share = f"3/{round(3 / at_most)} ({100 * at_most:.2g} %)" if at_most < 1 else "100 %"
            said += f"; with 95 % confidence {each} fires in fewer than {share} of such images"
        return (
            f"{said}. An image that makes one fire is answered otherwise: watch the answers to images unlike those, "
            "above all of classes that they do not show"
        )

    def looked_at(self, images: str, seed: int) -> "Trimmed":
        """The same, its steps that rest on images naming those: their digest, and the seed of the half that chose."""

        def told(step: Step) -> Step:
            return replace(step, images=images, seed=seed) if step.kind in SEEN_ONLY else step

        plan = replace(self.plan, steps=tuple(map(told, self.plan.steps)))
        return replace(self, plan=plan, outcomes=tuple(replace(one, step=told(one.step)) for one in self.outcomes))

    def __str__(self) -> str:
        before, after = self.parameters
        lines = [f"{before:,} parameters before, {after:,} after; the answers differ by {self.difference:.1e}"]
        if self.is_lossy:
            lines.append("not lossless: units or parts went that the answers needed, within a budget")
        if self.unproven:
            lines.append(self.unproven)
        if self.finetuned:
            lines.append("fine-tuned after that: what the answers are now, a proof has to tell")
        for one in self.outcomes:
            units = ", ".join(map(str, one.step.units)) or one.step.other
            lines.append(
                f"{one.status}: {one.step.kind} {one.step.layer}:{units}" + f" ({one.reason})" * bool(one.reason)
            )
        return "\n".join(lines)
