"""The search for the smallest network within a budget: filters and layers in one, by what they cost and save."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from filterscope.errors import BadModel
from filterscope.model import Network
from filterscope.surgery.bypass import bypass, bypass_complaint, bypasses
from filterscope.surgery.cost import costs
from filterscope.surgery.draft import Draft, Stage, Taken
from filterscope.surgery.ensembles import (
    Ensemble,
    columns_gone,
    complaint_about,
    find_ensembles,
    flops_without,
)
from filterscope.surgery.judge import Judge
from filterscope.surgery.leastsquares import Losing, Moments, elimination, fitted
from filterscope.surgery.moments import FIT, Gathering, curvature
from filterscope.surgery.options import Options
from filterscope.surgery.patches import columns_of
from filterscope.surgery.refit import can_fit, refit, rows_of, set_rows
from filterscope.surgery.sample import Sample

Progress = Callable[[float, str], None]
"""Called with the share of the FLOPs that are left, and what was just done."""

RANK = 256
"""Images on which candidates are measured; at most, of those that choose."""

BITE, GROWTH, LARGEST, SMALLEST = 0.02, 1.25, 0.1, 0.004
"""Shares of what is left: what the first bite takes, by what bites grow, what they end at, where backtracking ends."""

PRIOR = 2e-3, 1e-3
"""Nats that filters were measured to cost, and did, before any was taken."""

PARTS = 3
"""Into so many candidates a bite is divided, so that several layers can give their best."""

LEAST = 0.05
"""Share of a layer's units that always stays, and never fewer than two."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    """What could go next.

    Attributes:
        taken: a part; or units of a layer, which of them is told once they are measured.
        saves: FLOPs.
        count: how many units.
        ratio: its loss in nats for all FLOPs, at the rate at which it saves them.
    """

    taken: Taken
    saves: float
    count: int = 0
    ratio: float = math.inf


class Search:
    """Takes bites until the budget is spent.

    Args:
        network: in the type that it runs in; it is left as it is.
        sample: the images that choose.
        exact: the same network in float64, and images for it: what cannot be cut exactly there is not tried.
        inputs: those images.
        options: what it may do.
        progress: told after every bite.
    """

    def __init__(
        self,
        network: Network,
        sample: Sample,
        exact: Network,
        inputs: Sequence[Tensor],
        options: Options,
        progress: Progress | None = None,
    ) -> None:
        self.network, self.exact, self.inputs, self.options = network, exact, list(inputs), options
        self.progress = progress or (lambda _left, _text: None)
        fit, judged = sample.parted(FIT, options.seed)
        self.judge = Judge(network.module, judged)
        self.ranking = Judge(network.module, judged.first(RANK))
        self.costs = costs(network)
        self.total = float(sum(one.flops for one in self.costs))
        modules = dict(network.module.named_modules())
        self.layers = [one.layer for one in self.costs if can_fit(modules[one.layer])]
        self.before = {name: rows_of(modules[name]) for name in self.layers}
        self.gathering = Gathering(network.module, fit, self.layers, options.seed)
        self.curvature = curvature(copy.deepcopy(network.module), fit.first(RANK), self.layers, options.seed)
        self.refused: dict[str, str] = {}
        self.draft = Draft(copy.deepcopy(network.module))
        self.draft.ensembles = self._ensembles(self.draft.bypassed)
        self.parts = self._parts() if options.blocks else {}
        self.moments: dict[str, Moments] = {}
        self._stale: dict[tuple[str, ...], float] = {}
        self._banned: set[tuple[str, ...]] = set()
        self._last: list[_Candidate] = []
        self._predicted, self._realised = PRIOR
        self._fork: tuple[float, Draft, dict[str, Moments], dict[tuple[str, ...], float]] | None = None

    def stages(self) -> list[Stage]:
        """Take bites; gives where it stood after each, the best within the budget last.

        Once a part has gone the search is made again from there on with filters alone: a part that is cheap when it
        goes need not be so in the end. Best is what has the fewest FLOPs; or, where their share is the budget, of what
        keeps to it the one whose answers moved least.
        """
        self._settle(self.layers)
        stages = self._onwards([self._stage()], BITE)
        if self._fork is not None:
            bite, self.draft, self.moments, self._stale = self._fork
            self.parts = {}
            filters = [one for one in stages if not one.has_parts_gone]
            self.progress(
                filters[-1].flops / self._start,
                f"{self._told(filters[-1])}; on from here once more, with filters alone",
            )
            stages += self._onwards(list(filters), bite)[len(filters) :]
        return sorted(stages, key=self._goodness)

    def _goodness(self, stage: Stage) -> tuple[bool, float]:
        small = self.options.keep is not None and stage.flops <= self.options.keep * self._start
        return small, -stage.worth.divergence if small else -stage.flops

    def _onwards(self, stages: list[Stage], bite: float) -> list[Stage]:
        """Take bites until the budget is spent."""
        while (want := self._wanted(bite)) > 0:
            kept, moments, stale = self.draft.copied(), self.moments, dict(self._stale)
            if not self._bite(want):
                break
            self._settle(self._touched())
            self._learn()
            stage = self._stage()
            if self._within(stage):
                stages.append(stage)
                if self._fork is None and stage.has_parts_gone:
                    self._fork = bite, kept, moments, stale
                self.progress(stage.flops / self._start, self._told(stage))
                bite = min(bite * GROWTH, LARGEST)
                continue
            self.draft, self.moments = kept, moments
            parts = {one.taken.bypassed for one in self._last if one.taken.bypassed}
            self._banned |= parts
            bite = bite if parts else bite / 2
            if bite < SMALLEST:
                break
        return stages

    @property
    def _start(self) -> float:
        return self.options.start or self.total

    def _wanted(self, bite: float) -> float:
        """FLOPs to take next."""
        if self.options.keep is None:
            return bite * self._flops()
        return min(bite * self._flops(), self._flops() - self.options.keep * self._start)

    def _within(self, stage: Stage) -> bool:
        if self.options.max_drop is None:
            return True
        return stage.worth.share >= self.judge.base.share - self.options.max_drop / 100 - 1e-12

    def _told(self, stage: Stage) -> str:
        drop = 100 * (self.judge.base.share - stage.worth.share)
        return f"{stage.flops / self._start:.1%} of the FLOPs, {-drop:+.1f} points of {self.judge.counts}"

    def _stage(self) -> Stage:
        return Stage(tuple(self.draft.taken), self._flops(), self.judge.worth(self.draft.module))

    def _flops(self, draft: Draft | None = None) -> float:
        draft = draft or self.draft
        costs = [one for one in self.costs if not inside(one.layer, draft.bypassed)]
        return flops_without(costs, draft.ensembles, draft.gone)

    def _settle(self, layers: Sequence[str]) -> None:
        """Fit layers to the original's answers, given what the draft now hands them."""
        self.moments = dict(self.moments)
        self._refit(self.draft, layers, self.moments.__setitem__)

    def _touched(self) -> list[str]:
        """The layers that the last bite may have changed the input of; all before them are given what they were."""
        changed = {name for one in self._last for name in one.taken.bypassed}
        for one in self._last:
            changed |= {name for some in self.draft.ensembles if some.layer == one.taken.layer for name in some.readers}
        return self._behind(tuple(changed))

    def _refit(self, draft: Draft, layers: Sequence[str], told: Callable[[str, Moments], None] | None = None) -> None:
        here = {name: self.before[name] for name in layers if not inside(name, draft.bypassed)}
        gone = {name: columns_gone(draft.ensembles, draft.gone, name) for name in here}
        refit(draft.module, here, self.gathering, gone, told=told)

    def _behind(self, modules: Sequence[str]) -> list[str]:
        """The layers that run after the first of some modules has begun; those before are given what they were."""
        first = min((at for at, name in enumerate(self.layers) if inside(name, modules)), default=0)
        return self.layers[first:]

    def _learn(self) -> None:
        """Compare what the last filters were measured to cost with what they did once all layers had made up for it."""
        if self._last and not any(one.taken.bypassed for one in self._last):
            self._predicted += sum(one.ratio * one.saves / self.total for one in self._last)
            self._realised += max(self.ranking.worth(self.draft.module).divergence - self._now, 0)

    def _rank(self, one: _Candidate) -> float:
        """What candidates are compared by: what they will cost for what they save.

        Filters are measured with their readers fitted anew, parts with all that runs behind them: less of what filters
        are measured to cost is left in the end.
        """
        left = min(max(self._realised / self._predicted, 0.1), 1.0)
        return one.ratio if one.taken.bypassed else one.ratio * left

    def _bite(self, want: float) -> bool:
        """Take what costs least for what it saves, measured, until so many FLOPs are gone."""
        self._last = []
        self._now = self.ranking.worth(self.draft.module).divergence
        fresh: list[_Candidate] = []
        waiting = self._candidates(want / PARTS)
        saved = 0.0
        chosen: list[_Candidate] = []
        while saved < want and (waiting or fresh):
            best = min(fresh, key=self._rank, default=None)
            # What was measured before, or estimated, is measured anew only where it could still be the best.
            if waiting and (best is None or self._rank(waiting[0]) <= self._rank(best)):
                measured = self._measured(waiting.pop(0))
                fresh += [measured] if measured.saves > 0 else []
                continue
            assert best is not None
            fresh.remove(best)
            if best.taken.bypassed and chosen:
                break
            chosen.append(best)
            saved += best.saves
            if best.taken.bypassed:
                break
        for one in chosen:
            self._take(one)
        return bool(chosen)

    def _take(self, one: _Candidate) -> None:
        draft = self.draft
        draft.taken.append(one.taken)
        self._last.append(one)
        if one.taken.bypassed:
            self._bypassed(draft, one.taken.bypassed)
            return
        draft.gone[one.taken.layer] = draft.gone.get(one.taken.layer, frozenset()) | set(one.taken.units)

    def _bypassed(self, draft: Draft, names: tuple[str, ...]) -> None:
        bypass(draft.module, names)
        draft.bypassed = (*draft.bypassed, *names)
        draft.ensembles = self._ensembles(draft.bypassed)
        known = {one.layer for one in draft.ensembles}
        draft.gone = {layer: units for layer, units in draft.gone.items() if layer in known}

    def _ensembles(self, bypassed: tuple[str, ...]) -> tuple[Ensemble, ...]:
        module = copy.deepcopy(self.exact.module)
        bypass(module, bypassed)
        network = Network(module, self.network.preprocessing, self.network.classes)
        found, refused = find_ensembles(network, network.example())
        good = []
        for one in found:
            # What belongs together is looked up anew without a part; what is as it was need not be tried anew.
            complaint = "" if one in self.draft.ensembles else complaint_about(network, one, self.inputs)
            if complaint:
                refused[one.layer] = complaint
            else:
                good.append(one)
        self.refused = {**refused, **self.refused}
        return tuple(good)

    def _parts(self) -> dict[str, tuple[str, ...]]:
        found = {}
        try:
            parts = bypasses(self.network)
        except BadModel:
            return {}
        for name, modules in parts.items():
            after = copy.deepcopy(self.exact.module)
            bypass(after, modules)
            complaint = bypass_complaint(self.exact.module, after, modules, self.inputs)
            if complaint:
                self.refused[name] = complaint
            else:
                found[name] = modules
        return found

    def _candidates(self, want: float) -> list[_Candidate]:
        """What could go, those first that seemed cheapest when last measured; what never was comes first of all."""
        found = [one for ensemble in self.draft.ensembles if (one := self._fewer(ensemble, want)) is not None]
        now = self._flops()
        for modules in self.parts.values():
            if modules[0] in self.draft.bypassed or modules in self._banned:
                continue
            draft = Draft(nn.Identity(), [], (*self.draft.bypassed, *modules), self.draft.gone, self.draft.ensembles)
            found.append(_Candidate(Taken("", (), modules, ""), now - self._flops(draft)))
        found = [replace(one, ratio=self._stale.get(_key(one), -math.inf)) for one in found if one.saves > 0]
        return sorted(found, key=self._rank)

    def _fewer(self, ensemble: Ensemble, want: float) -> _Candidate | None:
        """So many units of an ensemble as save about so many FLOPs; a share of it always stays."""
        gone = self.draft.of(ensemble)
        left = [unit for unit in ensemble.units if unit not in gone]
        least = max(2, math.ceil(LEAST * len(ensemble.units)))
        now = self._flops()
        each = now - self._flops_with(ensemble, [left[0]])
        if each <= 0 or any(not self._knows(reader) for reader in ensemble.readers):
            return None
        count = rounded(len(left), max(1, round(want / each)), self.options.round_to)
        if count < 1 or len(left) - count < least:
            return None
        return _Candidate(Taken(ensemble.layer, (), (), ""), now - self._flops_with(ensemble, left[:count]), count)

    def _knows(self, reader: str) -> bool:
        return reader in self.moments and reader in self.curvature

    def _flops_with(self, ensemble: Ensemble, units: Sequence[int]) -> float:
        gone = {**self.draft.gone, ensemble.layer: self.draft.of(ensemble) | set(units)}
        return self._flops(replace(self.draft, gone=gone))

    def _least_missed(self, ensemble: Ensemble, count: int) -> Taken:
        """The units of an ensemble that cost least once others make up for them."""
        gone = self.draft.of(ensemble)
        left = [unit for unit in ensemble.units if unit not in gone]
        lost = elimination([self._losing(ensemble, reader, left) for reader in ensemble.readers], count)
        return Taken(ensemble.layer, tuple(left[one.bundle] for one in lost), (), "", tuple(one.told for one in lost))

    def _losing(self, ensemble: Ensemble, reader: str, left: Sequence[int]) -> Losing:
        own = self.draft.module.get_submodule(reader)
        return Losing(
            self.moments[reader],
            rows_of(own),
            self.curvature[reader],
            tuple(tuple(columns_of(own, ensemble.readers[reader][unit])) for unit in left),
            tuple(columns_of(own, columns_gone(self.draft.ensembles, self.draft.gone, reader))),
        )

    def _measured(self, one: _Candidate) -> _Candidate:
        """What it really costs: the readers made up for it, the network run."""
        draft = self.draft.copied()
        if one.taken.bypassed:
            self._bypassed(draft, one.taken.bypassed)
            # Who reads what is known only now: what was cut in front of a part is read by others without it.
            one = replace(one, saves=self._flops() - self._flops(draft))
            if one.saves <= 0:
                self._banned.add(one.taken.bypassed)
                return one
            self._refit(draft, self._behind(one.taken.bypassed))
        else:
            ensemble = next(some for some in draft.ensembles if some.layer == one.taken.layer)
            one = replace(one, taken=self._least_missed(ensemble, one.count))
            draft.gone[ensemble.layer] = draft.of(ensemble) | set(one.taken.units)
            for reader in ensemble.readers:
                own = draft.module.get_submodule(reader)
                gone = columns_of(own, columns_gone(draft.ensembles, draft.gone, reader))
                set_rows(own, fitted(self.moments[reader], self.before[reader], gone))
        loss = self.ranking.worth(draft.module).divergence - self._now
        # Below what float32 and some hundred images tell apart all losses are alike, and what saves most goes first.
        ratio = max(loss, 1e-6) * self.total / one.saves
        self._stale[_key(one)] = ratio
        together = f" with {len(one.taken.units) - 1} others" if len(one.taken.units) > 1 else ""
        saved = f"saves {one.saves / self.total:.2%} of the FLOPs{together}"
        why = f"{saved}, the answers move by {loss:+.4f} nats on {len(self.ranking.sample)} images"
        return replace(one, ratio=ratio, taken=replace(one.taken, why=why))


def _key(one: _Candidate) -> tuple[str, ...]:
    return one.taken.bypassed or (one.taken.layer,)


def rounded(left: int, count: int, to: int) -> int:
    """How many units to take so that what stays is a multiple of ``to``; what is fewer than ``to`` stays."""
    if to == 1:
        return count
    stays = max((left - count) // to * to, to)
    return left - stays


def inside(name: str, modules: Sequence[str]) -> bool:
    """Whether a module is one of some, or in one of them."""
    return any(name == one or name.startswith(f"{one}.") for one in modules)
