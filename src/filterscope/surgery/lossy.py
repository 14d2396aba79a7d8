"""The steps that lose something, done to a copy: parts left out, units cut, weights fitted anew, norms told anew."""

from functools import cached_property
from typing import Any

from filterscope.errors import BadModel
from filterscope.findings.recalibration import Norm, norms_of, recalibrate
from filterscope.model import Network
from filterscope.model.running import copied
from filterscope.surgery.bypass import bypass, bypass_complaint, bypasses
from filterscope.surgery.cost import costs
from filterscope.surgery.ensembles import held_complaint, zeroed
from filterscope.surgery.graph import MAKERS
from filterscope.surgery.moments import FIT, Gathering
from filterscope.surgery.plan import BYPASS, FOLD, RECALIBRATE, REFIT, REMOVE, Step
from filterscope.surgery.refit import can_fit, refit, rows_of, set_rows
from filterscope.surgery.refused import Refused
from filterscope.surgery.sample import Sample, choosing
from filterscope.surgery.table import Table, as_before, renewed


class Lossy:
    """Does budgeted steps on a table, one after the other.

    Args:
        table: the operating table.
        images: a tensor as the network takes it, or what :func:`filterscope.open_images` takes; None: nothing can be
            fitted.
        sample: the half of them that chooses, where it is known.
    """

    def __init__(self, table: Table, images: Any = None, sample: Sample | None = None) -> None:
        self.table = table
        self.images = images
        self._sample = sample

    def do(self, step: Step) -> bool:
        """Do a step; what cannot be done is listed. Whether it was."""
        try:
            _ = self._base
            ways = {BYPASS: self._bypass, REFIT: self._refit, RECALIBRATE: self._recalibrate}
            if step.kind in (FOLD, REMOVE):
                return self._cut(step)
            remark = ways[step.kind](step)
        except (Refused, BadModel) as no:
            return self.table.note(step, "refused", str(no))
        return self.table.note(step, "done", remark)

    @cached_property
    def _base(self) -> tuple[Network, dict[str, list[int]]]:
        """The network as it was before the first of these steps, in its own type; and its units' numbers."""
        table = self.table
        module = copied(table.network.module)
        as_before(module, table.original.module)
        makers = [name for name, own in module.named_modules() if isinstance(own, MAKERS)]
        return renewed(table.original, module), {name: list(table.numbers(name)) for name in makers}

    def _cut(self, step: Step) -> bool:
        table = self.table
        ready = table.ready(step)
        if ready is None:
            return False
        numbers = table.numbers(step.layer)
        module = copied(table.network.module)
        graph = table.state.graph.on(module)
        try:
            coupling = graph.coupling(step.layer, [numbers.index(unit) for unit in ready.units])
            graph.cut(coupling)
        except Refused as no:
            return table.note(ready, "refused", str(no))
        complaint = held_complaint(table.network.module, module, zeroed(coupling), table.oracle.inputs)
        if complaint:
            return table.note(ready, "undone", complaint)
        table.commit(graph, module, [coupling])
        return table.note(ready, "done", "")

    def _bypass(self, step: Step) -> str:
        table = self.table
        modules = bypasses(table.network).get(step.layer)
        if modules is None:
            raise Refused(f"{step.layer} does not give what it takes, in size, or has no layer in it")
        after = copied(table.network.module)
        bypass(after, modules)
        complaint = bypass_complaint(table.network.module, after, modules, table.oracle.inputs)
        if complaint:
            raise Refused(complaint)
        self.table.go_on_with(after)
        return f"with {modules[1]}" if len(modules) > 1 else ""

    def _refit(self, step: Step) -> str:
        sample, remark = self._images(step)
        base, base_numbers = self._base
        network = self.as_is()
        modules = dict(network.module.named_modules())
        names = [one.layer for one in costs(network) if can_fit(modules[one.layer])]
        units = {
            name: [base_numbers[name].index(unit) for unit in self.table.numbers(name)]
            for name in names
            if name in base_numbers
        }
        gathering = Gathering(base.module, sample.parted(FIT, step.seed)[0], list(units), step.seed)
        before = {name: rows_of(modules[name]) for name in units}
        refit(network.module, before, gathering, {}, units=units)
        exact = copied(self.table.network.module)
        for name in units:
            set_rows(exact.get_submodule(name), rows_of(modules[name]))
        self.table.go_on_with(exact)
        return remark

    def _recalibrate(self, step: Step) -> str:
        sample, remark = self._images(step)
        network = self.as_is()
        norms = norms_of(network.module)
        if not norms:
            raise Refused("it has no batch norm that keeps means and variances")
        recalibrate(network.module, sample.parted(FIT, step.seed)[0])
        exact = copied(self.table.network.module)
        for name, own in norms.items():
            norm: Any = exact.get_submodule(name)
            assert isinstance(norm, Norm)
            for buffer in ("running_mean", "running_var"):
                getattr(norm, buffer).copy_(getattr(own, buffer))
        self.table.go_on_with(exact)
        return remark

    def _images(self, step: Step) -> tuple[Sample, str]:
        """The half that chooses, and a word where it is not the plan's."""
        if self._sample is None:
            if self.images is None:
                raise Refused("it is fitted to images, and there are none; give those that the plan was made with")
            self._sample = choosing(self._base[0], self.images, step.seed)
        other = bool(step.images) and self._sample.digest != step.images
        return self._sample, "fitted to other images than the plan was made with" * other

    def as_is(self) -> Network:
        """The network as it is now, in the original's type."""
        module = copied(self.table.network.module)
        as_before(module, self.table.original.module)
        return renewed(self.table.original, module)


def step_of_part(kind: str, layer: str, why: str, expects: str, sample: Sample, seed: int) -> Step:
    """A step that has no units."""
    return Step(kind, layer, (), (why,), expects, images=sample.digest, seed=seed)
