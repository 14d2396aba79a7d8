"""The operating table: steps are done to a copy, together where they can be, and undone where they are not exact."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from filterscope.errors import BadModel
from filterscope.model import Network
from filterscope.model.running import copied, one_line, tensors_in
from filterscope.surgery import edits
from filterscope.surgery.composing import adjacent, compose
from filterscope.surgery.cost import parameters
from filterscope.surgery.edits import Edited, State
from filterscope.surgery.evidence import look
from filterscope.surgery.graph import MAKERS, Coupling, Graph, Untraced, width_of
from filterscope.surgery.masking import mask
from filterscope.surgery.oracle import BROKEN, Oracle
from filterscope.surgery.plan import (
    COMPOSE,
    FOLD_CONSTANTS,
    MERGE,
    REMOVE_DEAD,
    REMOVE_SILENT,
    REMOVE_UNREAD,
    SEEN_ONLY,
    WHOLE,
    Plan,
    Step,
    compositions,
    steps,
)
from filterscope.surgery.refused import Refused
from filterscope.surgery.seen import Seen
from filterscope.surgery.trimmed import Outcome, Status, Trimmed

NO_UNIT = -1
"""Stands for the layer as a whole among what was tried."""

COARSE = 4
"""So many times what a last digit does to answers, they differ by rounding alone."""

Part = tuple[Step, Edited]
"""A step, and what it did to the weights of a copy."""


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
        self.state = State(self.network)

    def lossless(self) -> list[Step]:
        """What is found in the network as it is and was not tried yet: units that are proven useless."""
        return self._new(steps(look(self.network), self._names()))

    def observed(self, seen: Seen) -> list[Step]:
        """What never fired."""
        left = seen.left(self.numbers, self._names())
        every = steps(look(self.network, left), self._names(), "observed")
        return self._new([step for step in every if step.kind in SEEN_ONLY])

    def composable(self) -> list[Step]:
        """Layers that one layer could do; whether it is worth it shows when it is done."""
        try:
            every = compositions(adjacent(self.network))
        except BadModel:
            return []
        return [step for step in every if (step.kind, step.layer, NO_UNIT) not in self._tried]

    def _names(self) -> list[str]:
        return [one.name for one in self.network.layers()]

    def _new(self, found: Sequence[Step]) -> list[Step]:
        return [step for one in found if (step := self.untried(self.numbered(one))) is not None]

    def numbered(self, step: Step) -> Step:
        """A step for the network as it is, in the numbers of the original."""
        left = self.numbers(step.layer)
        units, into = (tuple(left[unit] for unit in some) for some in (step.units, step.into))
        return replace(step, units=units, into=into)

    def untried(self, step: Step) -> Step | None:
        """A step without what was tried before."""
        places = [at for at, unit in enumerate(step.units) if (step.kind, step.layer, unit) not in self._tried]
        # A constant that had to stay takes in those that come later.
        if step.kind == FOLD_CONSTANTS and places:
            return step
        return step.only(places) if places else None

    def do(self, asked: Sequence[Step]) -> bool:
        """Do steps as far as they can be done, those together that can be; what cannot is listed.

        Returns:
            Whether anything was cut.
        """
        self._tried |= {(step.kind, step.layer, unit) for step in asked for unit in step.units or (NO_UNIT,)}
        proven = [step for step in asked if step.kind not in (*SEEN_ONLY, *WHOLE)]
        done = self._do(proven)
        for step in asked:
            if step.kind == COMPOSE:
                done |= self._compose(step)
        return self._do([step for step in asked if step.kind in SEEN_ONLY]) or done

    def _do(self, asked: Sequence[Step]) -> bool:
        done, queue = False, list(asked)
        while queue:
            ready = [found for step in queue if (found := self.ready(step)) is not None]
            try:
                now, queue = apart_from_each_other(self.state.graph, self.numbers, ready)
            except Untraced as no:
                for step in ready:
                    self._mask(step, str(no))
                return done
            done |= self._together(now)
        return done

    def ready(self, step: Step) -> Step | None:
        """A step without what is gone or never was; None: nothing of it is left to do."""
        strange = self._strange(step)
        if strange:
            self.note(step, "refused", f"the network has no {strange}")
            return None
        left = set(self.numbers(step.layer))
        gone = [at for at, unit in enumerate(step.units) if unit not in left]
        if gone:
            self.note(step.only(gone), "done", "went together with units of another layer")
        if len(gone) == len(step.units):
            return None
        step = step.only([at for at in range(len(step.units)) if at not in gone])
        if set(step.into) - left:
            self.note(step, "refused", "a unit that it should go into is gone")
            return None
        return step

    def _strange(self, step: Step) -> str:
        """The layer or a unit, where the original never had it."""
        own = dict(self.original.module.named_modules()).get(step.layer)
        if not isinstance(own, MAKERS):
            return f"convolution or linear layer {step.layer}"
        return next((f"{step.layer}:{unit}" for unit in step.all_units if not 0 <= unit < width_of(own, "makes")), "")

    def _together(self, some: Sequence[Step]) -> bool:
        """Do steps that have nothing to do with each other on one copy, and ask the oracle once for all of them."""
        if not some:
            return False
        module = copied(self.network.module)
        graph = self.state.graph.on(module)
        parts = [part for step in some for part in self._edited(graph, step)]
        over = graph.unbalanced(frozenset().union(*(edited.coupling.roots for _, edited in parts)))
        if over:
            return self._together([step for one, _ in parts for step in self._without(graph, one, over)])
        if not parts:
            return False
        try:
            graph.cut(*(edited.coupling for _, edited in parts))
            complaint, difference = self._complaint(module, [edited for _, edited in parts])
        except Refused as no:
            complaint, difference = str(no), float("inf")
        if complaint:
            return self._with_less([step for step, _ in parts], complaint)
        for step, edited in parts:
            self._note_done(step, edited, difference)
        if any(edited.only_seen for _, edited in parts):
            self.oracle.go_on_from(module)
        self.commit(graph, module, [edited.coupling for _, edited in parts])
        return True

    def _edited(self, graph: Graph, step: Step) -> list[Part]:
        """Prove a step and change the weights for it, as far as it can be done; note the rest."""
        try:
            return [(step, self._edit(graph, step))]
        except BadModel as no:
            self.note(step, "refused", str(no))
            return []
        except Refused as no:
            numbers = self.numbers(step.layer)
            instead = {numbers[unit] for unit in no.instead}
            if instead and instead < set(step.units):
                rest = [at for at, unit in enumerate(step.units) if unit not in instead]
                self.note(step.only(rest), "refused", str(no))
                return self._edited(graph, step.only([at for at, unit in enumerate(step.units) if unit in instead]))
            if no.whole or len(step.units) == 1:
                self.note(step, "refused", str(no))
                return []
            return [part for half in halves_of(step) for part in self._edited(graph, half)]

    def _without(self, graph: Graph, step: Step, over: Mapping[int, str]) -> list[Step]:
        """A step without the units that have to stay for balance."""
        numbers = self.numbers(step.layer)
        roots = [graph.root_of(step.layer, numbers.index(unit)) for unit in step.units]
        stay = [at for at, root in enumerate(roots) if root in over]
        for at in stay:
            self.note(step.only([at]), "refused", next(why for root, why in over.items() if root == roots[at]))
        rest = [at for at in range(len(step.units)) if at not in stay]
        return [step.only(rest)] if rest else []

    def _complaint(self, module: nn.Module, edited: Sequence[Edited]) -> tuple[str, float]:
        holds = [hold for one in edited for hold in one.holds]
        only_seen = any(one.only_seen for one in edited)
        return self.oracle.complaint(self.network.module, module, holds, only_seen=only_seen)

    def _with_less(self, some: Sequence[Step], complaint: str) -> bool:
        """Do again what may be done of steps that went wrong together."""
        rounding = self.oracle.rounding
        if rounding > self.oracle.tolerance / COARSE:
            why = f"the last digit of an input alone moves the answers by {rounding:.1e}, more than is compared"
            for step in some:
                self.note(step, "undone", f"{complaint}; {why}")
            return False
        if len(some) > 1:
            half = len(some) // 2
            parts = [some[:half], some[half:]]
        elif len(some[0].units) == 1 or complaint.startswith(BROKEN):
            return self.note(some[0], "undone", complaint)
        else:
            parts = [[one] for one in halves_of(some[0])]
        done = [self._together(part) for part in parts]
        return any(done)

    def _edit(self, graph: Graph, step: Step) -> Edited:
        numbers = self.numbers(step.layer)
        units, into = ([numbers.index(unit) for unit in some] for some in (step.units, step.into))
        if step.kind == MERGE:
            return edits.merge(self.state, graph, step.layer, units, into, step.scales)
        if step.kind == REMOVE_UNREAD:
            return edits.remove_unread(self.state, graph, step.layer, units)
        if step.kind == REMOVE_SILENT:
            return edits.remove_silent(graph, step.layer, units)
        assert step.kind in (REMOVE_DEAD, FOLD_CONSTANTS)
        return edits.remove_fixed(self.state, graph, step.layer, units)

    def _note_done(self, step: Step, edited: Edited, difference: float) -> None:
        cut = {self.numbers(step.layer)[unit] for unit in edited.coupling.units}
        for unit in set(step.units) - cut:
            self.note(step.only([step.units.index(unit)]), "refused", f"it stays: {edited.remark}")
        done = step.only([at for at, unit in enumerate(step.units) if unit in cut])
        self.note(done, "done", edited.remark, difference)

    def commit(self, graph: Graph, module: nn.Module, couplings: Sequence[Coupling]) -> None:
        """Go on with a module that was cut, and with the numbers of what is left."""
        gone: dict[str, set[int]] = {}
        for one in (touched for coupling in couplings for touched in coupling.touched):
            if one.role != "reads" and isinstance(graph.modules.get(one.name), MAKERS):
                gone.setdefault(one.name, set()).update(one.channels)
        for name, channels in gone.items():
            self._left[name] = [unit for at, unit in enumerate(self.numbers(name)) if at not in channels]
        self.go_on_with(module)

    def go_on_with(self, module: nn.Module) -> None:
        """Make another module the network that the next step is done to."""
        self.network = renewed(self.network, module)
        self.state = State(self.network)

    def _compose(self, step: Step) -> bool:
        """Let one layer do what two did."""
        if self._strange(step) or self._strange(replace(step, layer=step.other)):
            return self.note(step, "refused", f"the network has no layers {step.layer} and {step.other}")
        module = copied(self.network.module)
        try:
            pair = next(
                (one for one in adjacent(self.network) if (one.first, one.second) == (step.layer, step.other)), None
            )
            if pair is None:
                raise Refused(f"{step.other} is not given what {step.layer} makes, or is not the only one")
            compose(self.network, module, pair)
        except (Refused, BadModel) as no:
            return self.note(step, "refused", str(no))
        complaint, difference = self.oracle.complaint(self.network.module, module, ())
        if complaint:
            return self.note(step, "undone", complaint)
        self._left[step.layer] = []
        self.go_on_with(module)
        return self.note(step, "done", f"{step.other} does both", difference)

    def _mask(self, step: Step, why: str) -> None:
        """Hold units at what they are said to be, where nothing can be cut."""
        module = copied(self.network.module)
        try:
            if step.kind == MERGE:
                raise Refused(why)
            mask(self.state, module, step.layer, step.units)
            complaint, difference = self.oracle.complaint(self.network.module, module, ())
        except (Refused, BadModel) as no:
            self.note(step, "refused", str(no))
            return
        if complaint and len(step.units) > 1:
            for half in halves_of(step):
                self._mask(half, why)
        elif complaint:
            self.note(step, "undone", complaint)
        else:
            self.note(step, "masked", f"held at what it is, not cut: {why}", difference)
            self.network = renewed(self.network, module)

    def numbers(self, name: str) -> list[int]:
        """The original's numbers of the units that a module still has."""
        if name not in self._left:
            self._left[name] = list(range(width_of(self.state.modules[name], "makes")))
        return self._left[name]

    def note(self, step: Step, status: Status, reason: str, difference: float | None = None) -> bool:
        """Write an outcome down; whether anything was done."""
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
            (parameters(self.original.module), parameters(module)),
        )


def halves_of(step: Step) -> list[Step]:
    """A step of several units as two."""
    half = len(step.units) // 2
    return [step.only(range(half)), step.only(range(half, len(step.units)))]


def apart_from_each_other(
    graph: Graph, numbers: Callable[[str], list[int]], asked: Sequence[Step]
) -> tuple[list[Step], list[Step]]:
    """Steps that have no channel in common, and those that have to wait for them."""
    now: list[Step] = []
    later: list[Step] = []
    cut: set[int | None] = set()
    kept: set[int | None] = set()
    for step in asked:
        left = numbers(step.layer)
        roots, into = ([graph.root_of(step.layer, left.index(unit)) for unit in some]
                       for some in (step.units, step.into))  # fmt: skip
        waits = [at for at, root in enumerate(roots) if root is not None and (root in cut | kept)]
        waits = sorted({*waits, *(at for at, root in enumerate(into) if root in cut)})
        rest = [at for at in range(len(roots)) if at not in waits]
        cut |= {roots[at] for at in rest} - {None}
        kept |= {into[at] for at in rest if into}
        now += [step.only(rest)] if rest else []
        later += [step.only(waits)] if waits else []
    return now, later


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
