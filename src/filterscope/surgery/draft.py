"""Where a search is: what was taken, what makes up for it, and what it came to."""

import copy
from dataclasses import dataclass, field, replace

from torch import nn

from filterscope.surgery.ensembles import Ensemble
from filterscope.surgery.judge import Worth


@dataclass(frozen=True)
class Taken:
    """A bite that was taken: what went, why, and what was left then.

    ``units`` are those of one ensemble, ``layer`` its first maker, ``told`` the share of what each tells its readers
    that the units that stay tell as well; or ``bypassed`` are the modules that went.
    """

    layer: str
    units: tuple[int, ...]
    bypassed: tuple[str, ...]
    why: str
    told: tuple[float, ...] = ()


@dataclass(frozen=True)
class Stage:
    """Where a search stood: everything taken so far, and what it came to on the images that choose."""

    taken: tuple[Taken, ...]
    flops: float
    worth: Worth

    @property
    def has_parts_gone(self) -> bool:
        """Whether more than filters went."""
        return any(one.bypassed for one in self.taken)


@dataclass(eq=False)
class Draft:
    """The network as it would be, at full size: what is gone is multiplied by zero, or replaced by nothing.

    Attributes:
        module: with the weights that make up for what is gone.
        taken: every bite, in order.
        bypassed: the modules that were replaced.
        gone: by the layer of an ensemble, which of its units.
        ensembles: what belongs together without the modules that were replaced.
    """

    module: nn.Module
    taken: list[Taken] = field(default_factory=list)
    bypassed: tuple[str, ...] = ()
    gone: dict[str, frozenset[int]] = field(default_factory=dict)
    ensembles: tuple[Ensemble, ...] = ()

    def copied(self) -> "Draft":
        """The same, to go back to."""
        return replace(self, module=copy.deepcopy(self.module), taken=list(self.taken), gone=dict(self.gone))

    def of(self, ensemble: Ensemble) -> frozenset[int]:
        """Which of its units are gone."""
        return self.gone.get(ensemble.layer, frozenset())
