"""Rounds: look, plan and cut, again and again until nothing more is found."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from filterscope.errors import BadPlan
from filterscope.model import Network
from filterscope.surgery.oracle import TOLERANCE
from filterscope.surgery.plan import (
    Level,
    Step,
    check_level,
)
from filterscope.surgery.seen import Images, pixels_of, see
from filterscope.surgery.table import Table
from filterscope.surgery.trimmed import Trimmed


def in_rounds(
    network: Network,
    images: Images | None = None,
    *,
    level: Level = "lossless",
    tolerance: float = TOLERANCE,
    rounds: int = 10,
) -> Trimmed:
    """Make the plan of a level and apply it, again and again until nothing more is found in what is left.

    Args:
        network: left as it is.
        images: real images: a tensor as the network takes them, or whatever `open_images` takes. The lossless level
            compares answers on a few of them; the observed one looks at all.
        level: "lossless": what is proven of all images. "observed": then also units that never fired in ``images``,
            which is no proof: each reason says by the rule of three how often they may yet.
        tolerance: see :func:`apply`.
        rounds: at most so many.
    Raises:
        BadPlan: if there is no such level, or the observed one is asked for without images.
        BadImages: if the images cannot be read.
        BadModel: if the network cannot be copied, or does not run in float64.
    """
    check_level(level)
    if level == "observed" and images is None:
        raise BadPlan('level "observed" removes what never fired in images; give some, or take level "lossless"')
    seen = see(network, images) if level == "observed" and images is not None else None
    table = Table(network, pixels_of(network, images) if seen is None else seen.pixels, tolerance)
    asked: list[Step] = []
    finders: list[Callable[[], list[Step]]] = [table.lossless, table.composable]
    if seen is not None:
        finders.append(partial(table.observed, seen))
    for turn in range(1, rounds + 1):
        done = False
        for find in finders:
            new = [replace(step, round=turn) for step in find()]
            asked += new
            done = table.do(new)
            if done:
                break
        if not done:
            break
    return table.result(asked)
