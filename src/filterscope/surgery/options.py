"""What a budget allows."""

from dataclasses import dataclass

from filterscope.errors import BadPlan


@dataclass(frozen=True)
class Options:
    """What a search may do.

    Attributes:
        max_drop: points of accuracy (without labels: of agreement) that may be lost; None: ``keep`` decides.
        keep: share of the FLOPs to come down to.
        blocks: whether whole parts may be left out.
        round_to: numbers of units that stay are multiples of it, where there are as many.
        seed: of the places that are looked at.
        start: FLOPs that shares are counted from; None: those of the network that is searched.
    """

    max_drop: float | None = None
    keep: float | None = None
    blocks: bool = True
    round_to: int = 1
    seed: int = 0
    start: float | None = None


def checked(max_drop: float | None, keep: float | None, round_to: int) -> None:
    """Refuse budgets that are none.

    Raises:
        BadPlan: one line saying what is allowed.
    """
    if max_drop is not None and keep is not None:
        raise BadPlan("give max_drop or keep, not both: what is lost, or what is left, decides where to stop")
    if max_drop is not None and not 0 <= max_drop <= 100:
        raise BadPlan(f"max_drop is in points of accuracy, from 0 to 100, not {max_drop}")
    if keep is not None and not 0 < keep <= 1:
        raise BadPlan(f"keep is a share of the FLOPs, above 0 and at most 1, not {keep}")
    if round_to < 1:
        raise BadPlan(f"round_to is a number of units, 1 or more, not {round_to}")
