"""Is what was planted found, and nothing else? Dead, constant, unread and repeated filters in real networks.

    python benchmarks/diagnosis/planted.py [--models DIR] [--plantings 200] [--quick]

A planting takes a network, makes one or two units dead, constant, unread or copies of others, in one of eight ways, and
asks for the redundancy, from the weights alone. What the network had before is known from a run without planting, and
is not held against it.
"""

import argparse
import copy
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import filterscope as fs
from filterscope.atlas.diagnosis import Finding
from filterscope.atlas.records import Layer
from filterscope.findings.affine import affine
from filterscope.findings.duplicates import COMBINATION, EQUAL, SCALED
from filterscope.findings.silence import CONSTANT, DEAD, UNREAD

NETWORKS = ("squeezenet1_1", "resnet20_cifar10", "demo")
PROVEN = (DEAD, EQUAL, UNREAD)
"""Kinds that must never be said of a unit that is not so."""

Planting = Callable[["Patient", Layer, np.random.Generator], dict[int, set[str]] | None]
"""Changes a layer; gives the units and the kinds of which one has to be said of each. None: not possible there."""


class Patient:
    """A network to plant in: its layers, and who reads each of them."""

    def __init__(self, network: fs.Network) -> None:
        self.network = fs.Network(copy.deepcopy(network.module), network.preprocessing, network.classes, network.name)
        self.layers = {layer.name: layer for layer in self.network.layers()}
        self.readers = consumers(self.network)

    def own(self, layer: Layer) -> Any:
        """The convolution."""
        return self.network.module.get_submodule(layer.name)

    def norm(self, layer: Layer) -> Any:
        """The batch norm behind it."""
        return None if layer.observed == layer.name else self.network.module.get_submodule(layer.observed)

    def set(self, layer: Layer, unit: int, weight: Tensor, bias: float) -> bool:
        """Give a unit these weights and this bias as seen behind the batch norm."""
        own, norm = self.own(layer), self.norm(layer)
        if norm is None and own.bias is None:
            return False
        own.weight.data[unit] = weight.to(own.weight)
        if norm is None:
            own.bias.data[unit] = bias
            return True
        if own.bias is not None:
            own.bias.data[unit] = 0
        norm.weight.data[unit] = torch.sqrt(norm.running_var[unit] + norm.eps)
        norm.running_mean[unit] = 0
        norm.bias.data[unit] = bias
        return True

    def unit(self, layer: Layer, unit: int) -> tuple[Tensor, float]:
        """A unit's weights and bias, batch norm folded in."""
        found = affine(self.network, layer)
        assert found is not None
        return torch.from_numpy(found.weights[unit]), float(found.bias[unit])


def consumers(network: fs.Network) -> dict[str, list[tuple[str, int]]]:
    """For layers read by convolutions alone: (reader, first channel) of each, by the graph, which knows no weights."""
    nodes = {node.id: node for node in network.graph()}
    found: dict[str, list[tuple[str, int]]] = {}
    spoilt = {one.name for node in nodes.values() if node.kind == "output" for one in [nodes[node.inputs[0]]]}
    for node in nodes.values():
        for source in node.inputs:
            parts = nodes[source].inputs if nodes[source].kind == "cat" else (source,)
            start = 0
            for part in parts:
                one = nodes[part]
                if one.kind == "layer" and one.name:
                    if node.kind == "layer" and node.name:
                        found.setdefault(one.name, []).append((node.name, start))
                    elif node.kind != "cat":
                        spoilt.add(one.name)
                start += one.channels or 0
    return {name: some for name, some in found.items() if name not in spoilt}


def dead_by_bias(to: Patient, layer: Layer, dice: np.random.Generator) -> dict[int, set[str]] | None:
    """A bias below anything that the weights can bring."""
    if layer.name not in to.readers:
        return None
    unit = int(dice.integers(layer.channels))
    weight, _ = to.unit(layer, unit)
    return {unit: {DEAD}} if to.set(layer, unit, weight, -1e30) else None


def dead_by_weights(to: Patient, layer: Layer, dice: np.random.Generator) -> dict[int, set[str]] | None:
    """No weight above zero, behind a rectifier, and a bias below zero."""
    if layer.position == 0 or layer.name not in to.readers:
        return None
    unit = int(dice.integers(layer.channels))
    weight, _ = to.unit(layer, unit)
    return {unit: {DEAD}} if to.set(layer, unit, -weight.abs(), -0.01) else None


def dead_by_input(to: Patient, layer: Layer, dice: np.random.Generator) -> dict[int, set[str]] | None:
    """It reads one unit alone, and that one is dead."""
    found = [(reader, start) for reader, start in to.readers.get(layer.name, []) if to.layers[reader].groups == 1]
    if not found:
        return None
    reader, start = found[int(dice.integers(len(found)))]
    source = int(dice.integers(layer.channels))
    unit = int(dice.integers(to.layers[reader].channels))
    weight, _ = to.unit(layer, source)
    other, _ = to.unit(to.layers[reader], unit)
    other[:] = 0
    other[start + source] = 1
    if not to.set(layer, source, weight, -1e30) or not to.set(to.layers[reader], unit, other, -0.5):
        return None
    # What is added to others before it is rectified is constant there, and not dead.
    return {source: {DEAD}, -1 - unit: {DEAD} if reader in to.readers else {CONSTANT}}


def constant_by_norm(to: Patient, layer: Layer, dice: np.random.Generator) -> dict[int, set[str]] | None:
    """Weights of zero and a bias above it, as batch norm's beta leaves them."""
    unit = int(dice.integers(layer.channels))
    weight, _ = to.unit(layer, unit)
    return {unit: {CONSTANT}} if to.set(layer, unit, 0 * weight, float(dice.uniform(0.1, 2))) else None


def copied(factor: Callable[[np.random.Generator], float], kind: str) -> Planting:
    """A copy of another unit, times a factor."""

    def plant(to: Patient, layer: Layer, dice: np.random.Generator) -> dict[int, set[str]] | None:
        per_group = layer.channels // (layer.groups or 1)
        if per_group < 2:
            return None
        group = int(dice.integers(layer.groups or 1))
        one, other = (group * per_group + dice.choice(per_group, 2, replace=False)).tolist()
        weight, bias = to.unit(layer, one)
        scale = factor(dice)
        return {max(one, other): {kind}} if to.set(layer, other, scale * weight, scale * bias) else None

    return plant


def combination(to: Patient, layer: Layer, dice: np.random.Generator) -> dict[int, set[str]] | None:
    """A sum of two others, where there are fewer units than weights."""
    own = to.own(layer)
    if layer.channels > own.weight[0].numel() or layer.channels < 4 or (layer.groups or 1) > 1:
        return None
    one, other, unit = dice.choice(layer.channels, 3, replace=False).tolist()
    parts = [to.unit(layer, part) for part in (one, other)]
    first, second = dice.uniform(0.3, 2, 2)
    weight, bias = (first * a + second * b for a, b in zip(*parts, strict=True))
    return {unit: {COMBINATION}} if to.set(layer, unit, weight, bias) else None


def unread(to: Patient, layer: Layer, dice: np.random.Generator) -> dict[int, set[str]] | None:
    """Every reader's weight for it is zero."""
    if not to.readers.get(layer.name):
        return None
    unit = int(dice.integers(layer.channels))
    for reader, start in to.readers[layer.name]:
        to.own(to.layers[reader]).weight.data[:, start + unit] = 0
    return {unit: {UNREAD}}


PLANTINGS: dict[str, Planting] = {
    "dead by bias": dead_by_bias,
    "dead by weights": dead_by_weights,
    "dead by unreachable input": dead_by_input,
    "constant by batch norm": constant_by_norm,
    "equal": copied(lambda _dice: 1.0, EQUAL),
    "scaled": copied(lambda dice: float(dice.uniform(0.2, 5)), SCALED),
    "linear combination": combination,
    "unread": unread,
}


def told(network: fs.Network) -> set[tuple[str, int, str]]:
    """What is said of a network, from its weights alone."""
    with tempfile.TemporaryDirectory() as folder:
        atlas = fs.inspect(network, None, f"{folder}/one.atlas", lenses=["redundancy"])
        return {(one.layer, one.unit, one.kind) for one in atlas.records(Finding)}


def follows(to: Patient, layer: Layer, planted: dict[int, set[str]]) -> set[tuple[str, int]]:
    """Units of which something true may be said beside what was planted, checked against the weights by brute force."""
    found = {(layer.name, unit) for unit in planted if unit >= 0}
    for other in to.layers.values():
        units = affine(to.network, other)
        if units is None:
            continue
        rows = units.vectors()
        size = np.abs(rows).max(1)
        for unit in range(len(rows)):
            near = np.abs(rows - rows[unit]).max(1) <= 1e-5 * size[unit]
            if near.sum() > 1:
                found.add((other.name, unit))
    return found


def main() -> None:
    """Plant, ask, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path(__file__).resolve().parents[3] / "shared/models")
    parser.add_argument("--plantings", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="24 plantings")
    options = parser.parse_args()
    dice = np.random.default_rng(0)
    networks = {
        name: fs.load("demo" if name == "demo" else options.models / name)
        for name in NETWORKS
        if name == "demo" or (options.models / name).is_dir()
    }
    before = {name: told(network) for name, network in networks.items()}
    asked, found, missed = Counter[str](), Counter[str](), []
    false: list[str] = []
    done = 0
    kinds = list(PLANTINGS)
    while done < (24 if options.quick else options.plantings):
        name = list(networks)[done % len(networks)]
        kind = kinds[(done // len(networks)) % len(kinds)]
        patient = Patient(networks[name])
        layer = list(patient.layers.values())[int(dice.integers(len(patient.layers)))]
        planted = PLANTINGS[kind](patient, layer, dice)
        if planted is None:
            continue
        done += 1
        now = told(patient.network)
        for unit, wanted in planted.items():
            where = layer.name
            if unit < 0:
                where, unit = next(reader for reader, _ in patient.readers[layer.name]), -1 - unit
                hits = {(one[0], one[1]) for one in now if one[2] in wanted}
                hit = any((reader, unit) in hits for reader, _ in patient.readers[layer.name])
            else:
                hit = any((where, unit, one) in now for one in wanted)
            asked[kind] += 1
            found[kind] += hit
            if not hit:
                missed.append(f"{kind} in {name} {where}:{unit}")
        true = follows(patient, layer, planted)
        for where, unit, what in now - before[name]:
            if what == EQUAL and (where, unit) not in true:
                false.append(f"{what}: {name} {where}:{unit} ({kind})")
            if what == UNREAD and not is_unread(patient, where, unit):
                false.append(f"{what}: {name} {where}:{unit} ({kind})")
            if what == DEAD and fires(patient, where, unit):
                false.append(f"{what}: {name} {where}:{unit} ({kind})")
    print(f"{'planted':28}{'units':>7}{'found':>7}{'recall':>8}")
    for kind in kinds:
        print(f"{kind:28}{asked[kind]:7}{found[kind]:7}{found[kind] / max(asked[kind], 1):8.3f}")
    print(f"{'all':28}{asked.total():7}{found.total():7}{found.total() / max(asked.total(), 1):8.3f}   asked: 0.95")
    print(f"false '{DEAD}', '{EQUAL}' or '{UNREAD}' in {done} plantings: {len(false)}   asked: 0")
    for line in (*missed, *false):
        print("  ", line)


def is_unread(to: Patient, where: str, unit: int) -> bool:
    """Whether the answer to images stays as it is when the unit says something else; by plain hooks."""
    layer = to.layers[where]
    images = torch.rand(2, *to.network.example().shape[1:], generator=torch.Generator().manual_seed(1))

    def change(_module: nn.Module, _given: object, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, unit] += 3
        return output

    with torch.no_grad():
        to.network.module.eval()
        before = to.network.module(images)
        handle = to.network.module.get_submodule(layer.observed).register_forward_hook(change)
        after = to.network.module(images)
        handle.remove()
    return torch.equal(before, after)


def fires(to: Patient, where: str, unit: int) -> bool:
    """Whether gradient ascent from noise, within the range of pixels, brings the pre-activation above zero."""
    layer = to.layers[where]
    preprocessing = to.network.preprocessing
    mean, std = (torch.tensor(one).reshape(1, -1, 1, 1) for one in (preprocessing.mean, preprocessing.std))
    pixels = torch.rand(8, *to.network.example().shape[1:], generator=torch.Generator().manual_seed(2)).requires_grad_()
    climb = torch.optim.Adam([pixels], 0.05)
    for _ in range(20):
        with to.network.tap([layer.name if layer.observed == layer.name else layer.observed]) as read:
            output = read((pixels.clamp(0, 1) - mean) / std)[layer.observed]
            assert isinstance(output, Tensor)
            value = output[:, unit].amax((1, 2))
        if float(value.detach().max()) > 0:
            return True
        climb.zero_grad()
        (-value.sum()).backward()  # type: ignore[no-untyped-call]  # PyTorch has no types here
        climb.step()
    return False


if __name__ == "__main__":
    main()
