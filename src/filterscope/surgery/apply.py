"""Do what a plan says to a copy of a network, every edit checked and undone where it is not exact."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from filterscope.errors import BadModel, BadPlan
from filterscope.model import Network
from filterscope.model.running import copied, one_line, tensors_in
from filterscope.surgery import edits
from filterscope.surgery.edits import Edited, State
from filterscope.surgery.evidence import look
from filterscope.surgery.graph import MAKERS, Graph, Refused, width_of
from filterscope.surgery.oracle import TOLERANCE, Oracle
from filterscope.surgery.plan import FOLD_CONSTANTS, MERGE, REMOVE_DEAD, REMOVE_UNREAD, Plan, Step, steps

Status = Literal["done", "refused", "undone"]


@dataclass(frozen=True)
class Outcome:
    """What became of a step, or of a part of it.

    ``refused``: it was not begun, for this reason; ``undone``: it was done, the oracle said no, and it was taken back.
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
    """

    network: Network
    plan: Plan
    outcomes: tuple[Outcome, ...]
    difference: float
    rounding: float
    sizes: tuple[tuple[int, int], ...]
    parameters: tuple[int, int]

    def having(self, status: Status) -> list[Outcome]:
        """The outcomes of one status."""
        return [one for one in self.outcomes if one.status == status]

    @property
    def removed(self) -> dict[str, tuple[int, ...]]:
        """The units that went by a step of their own, layer by layer; numbered as in the original."""
        found: dict[str, tuple[int, ...]] = {}
        for one in self.having("done"):
            found[one.step.layer] = tuple(sorted({*found.get(one.step.layer, ()), *one.step.units}))
        return found

    def __str__(self) -> str:
        before, after = self.parameters
        lines = [f"{before:,} parameters before, {after:,} after; the answers differ by {self.difference:.1e}"]
        for one in self.outcomes:
            units = ", ".join(map(str, one.step.units))
            lines.append(
                f"{one.status}: {one.step.kind} {one.step.layer}:{units}" + f" ({one.reason})" * bool(one.reason)
            )
        return "\n".join(lines)


def apply(network: Network, plan: Plan, images: Tensor | None = None, *, tolerance: float = TOLERANCE) -> Trimmed:
    """Do what a plan says, on a copy in float64.

    A step that cannot be proven is refused, one that changes the answer is undone, and the rest goes on.

    Args:
        network: the network that the plan is for; it is left as it is.
        plan: what to do.
        images: real images as the network takes them, (image, channel, height, width), to compare the answers on as
            well as on random ones.
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
    table = Table(network, images, tolerance)
    for step in plan.steps:
        table.do(step)
    return table.result(plan.steps)


def trim(network: Network, images: Tensor | None = None, *, tolerance: float = TOLERANCE, rounds: int = 10) -> Trimmed:
    """Make the lossless plan and apply it, again and again until nothing more is found in what is left.

    Args:
        network: left as it is.
        images: see :func:`apply`.
        tolerance: see :func:`apply`.
        rounds: at most so many.
    Raises:
        BadModel: if the network cannot be copied, or does not run in float64.
    """
    table = Table(network, images, tolerance)
    asked: list[Step] = []
    for _ in range(rounds):
        found = [
            table.numbered(step) for step in steps(look(table.network), [one.name for one in table.network.layers()])
        ]
        new = [step for one in found if (step := table.untried(one)) is not None]
        asked += new
        done = [table.do(step) for step in new]
        if not any(done):
            break
    return table.result(asked)


class Table:
    """The operating table: a copy in float64, how its units were numbered, and what has been done to it."""

    def __init__(self, network: Network, images: Tensor | None, tolerance: float) -> None:
        self.original = network
        self.network = in_double(network)
        try:
            self.oracle = Oracle(self.network, images, tolerance=tolerance)
        except Exception as error:
            raise BadModel(f"the network does not run in float64: {one_line(error)}") from error
        self.outcomes: list[Outcome] = []
        self._left: dict[str, list[int]] = {}
        self._tried: set[tuple[str, str, int]] = set()
        self._state = State(self.network)

    def numbered(self, step: Step) -> Step:
        """A step for the network as it is, in the numbers of the original."""
        left = self._numbers(step.layer)
        units, into = (tuple(left[unit] for unit in some) for some in (step.units, step.into))
        return replace(step, units=units, into=into)

    def untried(self, step: Step) -> Step | None:
        """A step without what was tried before."""
        places = [at for at, unit in enumerate(step.units) if (step.kind, step.layer, unit) not in self._tried]
        # A constant that had to stay takes in those that come later.
        if step.kind == FOLD_CONSTANTS and places:
            return step
        return step.only(places) if places else None

    def do(self, step: Step) -> bool:
        """Do a step as far as it can be done; what cannot is listed. Whether anything was done."""
        self._tried |= {(step.kind, step.layer, unit) for unit in step.units}
        strange = self._strange(step)
        if strange:
            return self._note(step, "refused", f"the network has no {strange}")
        left = set(self._numbers(step.layer))
        gone = [at for at, unit in enumerate(step.units) if unit not in left]
        if gone:
            self._note(step.only(gone), "done", "went together with units of another layer")
        if len(gone) == len(step.units):
            return False
        step = step.only([at for at in range(len(step.units)) if at not in gone])
        if set(step.into) - left:
            return self._note(step, "refused", "a unit that it should go into is gone")
        return self._attempt(step)

    def _strange(self, step: Step) -> str:
        """The layer or a unit, where the original never had it."""
        own = dict(self.original.module.named_modules()).get(step.layer)
        if not isinstance(own, MAKERS):
            return f"convolution or linear layer {step.layer}"
        return next((f"{step.layer}:{unit}" for unit in step.all_units if not 0 <= unit < width_of(own, "makes")), "")

    def _attempt(self, step: Step) -> bool:
        module = copied(self.network.module)
        stage: Status = "refused"
        try:
            graph = Graph(module, self.network.example())
            edited = self._edit(graph, step)
            stage = "undone"
            complaint, difference = self.oracle.complaint(self.network.module, module, edited.holds)
            if complaint:
                raise Refused(complaint)
        except (Refused, BadModel) as no:
            return self._with_less(step, no, stage)
        cut = {self._numbers(step.layer)[unit] for unit in edited.coupling.units}
        self._commit(module, edited)
        for unit in set(step.units) - cut:
            self._note(step.only([step.units.index(unit)]), "refused", f"it stays: {edited.remark}")
        done = step.only([at for at, unit in enumerate(step.units) if unit in cut])
        self._note(done, "done", edited.remark, difference)
        return True

    def _with_less(self, step: Step, no: Refused | BadModel, stage: Status) -> bool:
        """Do again what may be done of a step that was refused as a whole."""
        if isinstance(no, BadModel):
            return self._note(step, stage, str(no))
        numbers = self._numbers(step.layer)
        instead = {numbers[unit] for unit in no.instead}
        if instead and instead < set(step.units):
            rest = [at for at, unit in enumerate(step.units) if unit not in instead]
            self._note(step.only(rest), stage, str(no))
            return self._attempt(step.only([at for at, unit in enumerate(step.units) if unit in instead]))
        if no.whole or len(step.units) == 1:
            return self._note(step, stage, str(no))
        half = len(step.units) // 2
        parts = [step.only(range(half)), step.only(range(half, len(step.units)))]
        done = [self._attempt(part) for part in parts]
        return any(done)

    def _edit(self, graph: Graph, step: Step) -> Edited:
        numbers = self._numbers(step.layer)
        units, into = ([numbers.index(unit) for unit in some] for some in (step.units, step.into))
        if step.kind == MERGE:
            return edits.merge(self._state, graph, step.layer, units, into, step.scales)
        if step.kind == REMOVE_UNREAD:
            return edits.remove_unread(self._state, graph, step.layer, units)
        assert step.kind in (REMOVE_DEAD, FOLD_CONSTANTS)
        return edits.remove_fixed(self._state, graph, step.layer, units)

    def _commit(self, module: nn.Module, edited: Edited) -> None:
        for one in edited.coupling.touched:
            if one.role != "reads":
                left = self._numbers(one.name)
                self._left[one.name] = [unit for at, unit in enumerate(left) if at not in one.channels]
        self.network = renewed(self.network, module)
        self._state = State(self.network)

    def _numbers(self, name: str) -> list[int]:
        """The original's numbers of the units that a module still has."""
        if name not in self._left:
            self._left[name] = list(range(width_of(self._state.modules[name], "makes")))
        return self._left[name]

    def _note(self, step: Step, status: Status, reason: str, difference: float | None = None) -> bool:
        self.outcomes.append(Outcome(step, status, reason, difference))
        return status == "done"

    def result(self, asked: Sequence[Step]) -> Trimmed:
        """The network in the original's type, and what was done."""
        module = copied(self.network.module)
        as_before(module, self.original.module)
        return Trimmed(
            renewed(self.original, module),
            Plan(self.original.name, self.original.digest, tuple(asked)),
            tuple(self.outcomes),
            self.oracle.difference(self.network.module),
            self.oracle.difference(copy.deepcopy(module).double()),
            self.oracle.sizes,
            (size_of(self.original.module), size_of(module)),
        )


def in_double(network: Network) -> Network:
    """A copy in float64 and eval mode."""
    module = copied(network.module).double()
    for child in module.modules():
        child.training = False
    try:
        answers = list(tensors_in(module(network.example().double())))
    except Exception as error:
        raise BadModel(f"the network does not run in float64: {one_line(error)}") from error
    if not answers:
        raise BadModel("the network's answer holds no tensor; there is nothing that could be compared")
    return renewed(network, module)


def renewed(network: Network, module: nn.Module) -> Network:
    """Another module with a network's preprocessing and classes."""
    return Network(module, network.preprocessing, network.classes, network.name, network.note)


def as_before(module: nn.Module, original: nn.Module) -> None:
    """Give a cut copy the types, modes and flags of the original."""
    named = dict(original.named_modules())
    types = {name: one.dtype for name, one in (*original.named_parameters(), *original.named_buffers())}
    flags = {name: one.requires_grad for name, one in original.named_parameters()}
    usual = next((one.dtype for one in original.parameters()), torch.float32)
    for name, child in module.named_modules():
        child.training = named[name].training
    for name, parameter in module.named_parameters():
        parameter.data = parameter.data.to(types.get(name, usual))
        parameter.requires_grad_(flags.get(name, True))
    for name, buffer in module.named_buffers():
        buffer.data = buffer.data.to(types.get(name, usual))


def size_of(module: nn.Module) -> int:
    """How many parameters a module has."""
    return sum(one.numel() for one in module.parameters())
