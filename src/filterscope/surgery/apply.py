"""Do what a plan says to a copy of a network, every edit checked and undone where it is not exact."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from filterscope.errors import BadPlan
from filterscope.model import Network
from filterscope.surgery.lossy import Lossy
from filterscope.surgery.oracle import TOLERANCE
from filterscope.surgery.plan import (
    BUDGETED,
    Plan,
    Step,
)
from filterscope.surgery.seen import Images, pixels_of
from filterscope.surgery.table import Table
from filterscope.surgery.trimmed import Trimmed

COMPARED = 2
"""Images on which the cuts of a budgeted plan are compared, beside random ones."""


def apply(network: Network, plan: Plan, images: Images | None = None, *, tolerance: float = TOLERANCE) -> Trimmed:
    """Do what a plan says, on a copy in float64.

    A step that cannot be proven is refused, one that changes the answer is undone, and the rest goes on. Steps of the
    budgeted level may change the answer; they are undone where the cut network is not the one with the channels held.

    Args:
        network: the network that the plan is for; it is left as it is.
        plan: what to do.
        images: real images as the network takes them, (image, channel, height, width), to compare the answers on as
            well as on random ones; or what :func:`filterscope.open_images` takes: steps that were fitted to images
            need those.
        tolerance: by how much answers may differ in float64, as a share of the largest. Weights that equal each other
            only to the steps of float32 pass with 1e-6 and not with less.
    Raises:
        BadPlan: if the plan is for another network.
        BadModel: if the network cannot be copied, or does not run in float64.
    """
    if plan.digest != network.digest:
        raise BadPlan(
            f"the plan is for another network ({plan.digest[:12]}, not {network.digest[:12]}); "
            "make one for this one with filterscope.plan"
        )
    some = pixels_of(network, images)
    if some is not None and any(step.kind in BUDGETED for step in plan.steps):
        # Such a step is compared with channels held at zero, which a few images tell as well as thousands.
        some = some[:COMPARED]
    table = Table(network, some, tolerance)
    replay(table, plan.steps, images)
    return table.result(plan.steps)


def replay(table: Table, asked: Sequence[Step], images: Any = None) -> None:
    """Do steps one round after the other."""
    lossy = Lossy(table, images)
    for (_, budgeted), some in groupby(asked, key=lambda step: (step.round, step.kind in BUDGETED)):
        if budgeted:
            for step in some:
                lossy.do(step)
        else:
            table.do(list(some))
