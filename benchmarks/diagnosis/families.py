"""Families of filters: planted copies that are found, copies told of random networks, and what it costs.

python benchmarks/diagnosis/families.py [--quick]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from turning_networks import Planted, Truth, displaced, equivariant, moved, planted

from filterscope.atlas.diagnosis import WHOLE, Finding
from filterscope.atlas.records import Relation
from filterscope.findings.families import FAMILIES, FAMILY, Families
from filterscope.findings.kernel_families import arranged, copies
from filterscope.findings.links import SHIFTED, Link
from filterscope.findings.pixel_kernels import PixelKernels, of_network
from filterscope.images import fit, open_images
from filterscope.images.tensors import normalise
from filterscope.inspection import inspect
from filterscope.lenses import Patches
from filterscope.model import Network, load

SHARED = Path(__file__).resolve().parents[3] / "shared"
FIRST = {
    "squeezenet1_1": str(SHARED / "models/squeezenet1_1"),
    "demo": "demo",
    "resnet20_cifar10": str(SHARED / "models/resnet20_cifar10"),
}
IMAGES = {
    "squeezenet1_1": SHARED / "images/imagenet_samples",
    "demo": SHARED / "images/imagenet_samples",
    "resnet20_cifar10": SHARED / "images/cifar10_test_5000.npz",
}

WIDENED = {
    "squeezenet1_1": ("features.4.expand3x3", "features.7.expand3x3", "features.10.expand3x3"),
    "resnet20_cifar10": ("layer1.1.conv1", "layer2.1.conv1", "layer3.1.conv1"),
}
"""Deep layers whose kernels are moved within larger ones."""


def row(what: str, asked: str, measured: str) -> None:
    """A line of the table."""
    print(f"{what:<62} {asked:>10} {measured:>28}", flush=True)


def first_layers(times: int) -> None:
    """Copies planted one after the other in first layers."""
    for name, path in FIRST.items():
        kernels = of_network(load(path))[0]
        side = kernels.weights.shape[2]
        kinds = ["rotated", "mirrored", "shifted", *(["turned by 15"] if side >= 5 else [])]
        for kind in kinds:
            found, right, tried = planted_in(kernels, kind, times)
            row(
                f"{name}, {side} x {side} x {kernels.weights.shape[1]}: {kind} kernel found (and rightly told)",
                ">= 0.95",
                f"{found / tried:.2f} ({right / tried:.2f}) of {tried}",
            )


def planted_in(kernels: PixelKernels, kind: str, times: int) -> tuple[int, int, int]:
    """How many of the planted pairs are found, told rightly, and planted."""
    dice = np.random.default_rng(0)
    usable = np.flatnonzero(arranged(kernels.weights))
    found = right = tried = 0
    for _ in range(20 * times):
        source, target = (int(one) for one in dice.choice(usable, 2, replace=False))
        made = planted(kernels.weights, kind, source, dice)
        if made is None:
            continue
        weights = kernels.weights.copy()
        weights[target] = made[0] * dice.uniform(0.5, 2)
        links = copies(replace(kernels, weights=weights))
        pair = [one for link in links for one in (link, link.reversed()) if (one.unit, one.other) == (source, target)]
        tried += 1
        found += bool(pair)
        right += any(explains(one, kernels.weights[source], made) for one in pair)
        if tried == times:
            break
    return found, right, tried


def explains(link: Link, own: NDArray[np.float64], made: Planted) -> bool:
    """Whether what was told is what was done, or comes to the same: a symmetric kernel is mirrored by a turn, too."""
    copy, (mirrored, angle, dy, dx) = made
    if (link.mirrored, link.dy, link.dx) == (mirrored, dy, dx) and abs(link.angle - angle) <= 15:
        return True
    if link.dy or link.dx or link.angle % 90:
        return False
    again = moved(own, (link.mirrored, round(link.angle / 90)))
    return abs(float((again * copy).sum())) >= 0.9 * float(np.linalg.norm(again) * np.linalg.norm(copy))


def deep(seeds: range, out: Path) -> None:
    """Copies that are exact, in the second layer of networks that commute with quarter turns and mirrors."""
    found = right = tried = false = told = 0
    for seed in seeds:
        network, truths = equivariant(seed)
        atlas = inspect(network, None, out / f"equivariant{seed}.atlas", lenses=[Families(scenes=128)])
        known = {(one.unit, one.other): one for one in truths if one.layer == "2"}
        pairs = {(one.other, one.unit): one for one in atlas.records(Relation, layer="2") if one.angle is not None}
        for pair, truth in known.items():
            link = pairs.get(pair) or pairs.get(pair[::-1])
            tried += 1
            found += link is not None
            right += pair in pairs and agrees(pairs[pair], truth)
        every = {*known, *(pair[::-1] for pair in known)}
        false += sum(pair not in every for pair in pairs) // 2
        told += len(pairs) // 2
    row("second layer, by responses to drawn scenes: pairs found (rightly)", ">= 0.95", shares(found, right, tried))
    row("   pairs told of two eights, whose filters answer alike", "", f"{false / max(told, 1):.2f} of {told}")


def displaced_in_depth(seeds: range, out: Path, images: int) -> None:
    """Copies in deep layers of trained networks, their kernels moved by a place within larger ones."""
    for name, layers in WIDENED.items():
        found = right = tried = others = 0
        for layer, seed in ((layer, seed) for layer in layers for seed in seeds):
            network = load(FIRST[name])
            firing = fire(network, layer, some_of(name, images))
            dice = np.random.default_rng(seed)
            truths = displaced(network, layer, network.layer(layer).channels // 8, dice, firing)
            network = Network(network.module, network.preprocessing, network.classes, f"{name}, widened")
            atlas = inspect(
                network,
                some_of(name, images),
                out / f"{name}{layer}{seed}.atlas",
                lenses=[Families()],
                layers=[layer],
            )
            told = {(one.other, one.unit): one for one in atlas.records(Relation, layer=layer, kind=SHIFTED)}
            tried += len(truths)
            found += sum(pair in told for pair in truths)
            right += sum(pair in told and (told[pair].dy, told[pair].dx) == place for pair, place in truths.items())
            others += sum(pair not in truths and pair[::-1] not in truths for pair in told) // 2
        row(f"{name}, deep: kernel moved by a place found (rightly)", ">= 0.95", shares(found, right, tried))
        row("   other pairs told to be moved", "", str(others))


def fire(network: Network, layer: str, images: list[NDArray[np.uint8]]) -> list[int]:
    """The units that fire for one of the images at least: of others responses say nothing."""
    observed = network.layer(layer).observed
    shown = normalise(np.stack([fit(one, network.preprocessing) for one in images]), network.preprocessing)
    with network.tap([observed]) as read, torch.no_grad():
        maps = read(shown)[observed]
    assert isinstance(maps, torch.Tensor)
    return [int(unit) for unit in torch.nonzero(maps.amax((0, 2, 3)) > 0).flatten()]


def some_of(name: str, images: int) -> list[NDArray[np.uint8]]:
    """Some of a network's images, evenly spread."""
    source = open_images(IMAGES[name])
    return [source.load(int(one)) for one in np.linspace(0, len(source) - 1, images)]


def agrees(relation: Relation, truth: Truth) -> bool:
    """Whether the angle is right, and the mirror."""
    return relation.mirrored == truth.mirrored and relation.angle == truth.angle


def shares(found: int, right: int, tried: int) -> str:
    """As a table has them."""
    return f"{found / tried:.2f} ({right / tried:.2f}) of {tried}"


def random_networks(seeds: range, out: Path, images: int) -> None:
    """Units told to be in families where weights are those that training begins with."""
    for name, make in (("squeezenet1_1", squeezenet), ("resnet20_cifar10", resnet)):
        by_kernels = by_responses = units = first = 0
        worst = 0.0
        for seed in seeds:
            network = make(seed)
            atlas = inspect(
                network, some_of(name, images), out / f"{name}{seed}.atlas", lenses=[Families(parts=32)], force=True
            )
            weighing = {one.layer for one in of_network(network)}
            for finding in atlas.records(Finding, kind=FAMILIES):
                channels = network.layer(finding.layer).channels
                inside = len(atlas.records(Finding, kind=FAMILY, layer=finding.layer))
                if finding.layer in weighing:
                    by_kernels, first = by_kernels + inside, first + channels
                else:
                    by_responses, units = by_responses + inside, units + channels
                worst = max(worst, inside / channels)
        what = f"random {name}, {len(seeds)} seeds"
        row(f"{what}: units in families by kernels", "<= 0.05", f"{by_kernels / first:.3f} of {first}")
        row(f"{what}: by responses", "<= 0.05", f"{by_responses / units:.3f} of {units}")
        row(f"{what}: the worst layer", "", f"{worst:.3f}")


def squeezenet(seed: int) -> Network:
    """squeezenet1_1 before any training."""
    return anew(load(FIRST["squeezenet1_1"]), seed)


def resnet(seed: int) -> Network:
    """resnet20 before any training."""
    return anew(load(FIRST["resnet20_cifar10"]), seed)


def anew(network: Network, seed: int) -> Network:
    """Every module as it begins."""
    torch.manual_seed(seed)
    for module in network.module.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    return Network(network.module, network.preprocessing, name=f"{network.name}, random {seed}")


def cost(out: Path) -> None:
    """All of squeezenet1_1 on 700 photographs."""
    atlas = out / "trained.atlas"
    inspect(FIRST["squeezenet1_1"], IMAGES["squeezenet1_1"], atlas, lenses=[Patches()])
    begun = time.process_time()
    found = inspect(FIRST["squeezenet1_1"], IMAGES["squeezenet1_1"], atlas, lenses=[Families()])
    row("squeezenet1_1, 700 photographs, patches known: CPU seconds", "<= 120", f"{time.process_time() - begun:.0f}")
    for finding in found.records(Finding, kind=FAMILIES, unit=WHOLE):
        print(f"   {finding.layer:<26} {finding.value:6.1%}  {finding.evidence.split(';')[0]}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    quick = parser.parse_args().quick
    parts: list[Callable[[Path], None]] = [
        lambda _: first_layers(5 if quick else 60),
        lambda out: deep(range(1 if quick else 5), out),
        lambda out: displaced_in_depth(range(1 if quick else 2), out, 150),
        lambda out: random_networks(range(1 if quick else 3), out, 32 if quick else 100),
        *([] if quick else [cost]),
    ]
    row("", "asked", "measured")
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            part(Path(folder))


if __name__ == "__main__":
    main()
