"""Is surgery exact, or refused, on networks of every kind? Random weights, random planted removals.

    python benchmarks/trim.py [--only NAME ...] [--bare]
    python benchmarks/trim.py --planted MODEL ...

Of every architecture six layers are chosen. In each a quarter of the units is made useless in a way of its own: dead by
its weights or by its bias, constant, equal to others, a multiple of others, read by nobody; in a residual stream, at
all that is added there. Then the network is trimmed. What surgery says it did is held against another road: the answers
of the original and of the trimmed network to images that surgery has not seen, in float64.

Exact: the network is smaller, and the answers are equal to 1e-9. Refused: nothing went, and a reason was given. Wrong:
the answers differ. 'images' is by how much the answers to two images differ, beside which 'apart' has to be seen.

With --bare torch-pruning is asked to remove those of the same units that need nothing else: the answers are the same
when whoever reads them is given zero. With --planted trained networks are widened, layer by layer, by units that are
dead, equal to others, a multiple of others, or constant, and have to come back to the size that they had.
"""

import argparse
import copy
import time
import warnings
from collections import Counter

import numpy as np
import timm
import torch
from torch import nn
from trim_planting import ZEROED, Planted, plant
from trim_widening import widen

import filterscope as fs
from filterscope.errors import FilterscopeError
from filterscope.images.tensors import standardise
from filterscope.surgery.graph import Graph
from filterscope.surgery.oracle import Hold, answer, apart, pixels

NAMES = (
    "resnet18 resnet50d wide_resnet50_2 vgg16_bn densenet121 inception_v3 inception_v4 mobilenetv2_100 "
    "mobilenetv3_large_100 mobilenetv4_conv_small efficientnet_b0 tf_efficientnetv2_s mnasnet_100 seresnet33ts "
    "repvgg_a0 hrnet_w18_small dla34 ghostnet_100 ese_vovnet19b_dw xception41 mobileone_s0 selecsls42b gernet_s "
    "hardcorenas_a resnext50_32x4d regnetx_002 regnety_002 skresnet18 resnest14d res2net50_26w_4s cspresnet50 "
    "mixnet_s nf_resnet26 tresnet_m rexnet_100 edgenext_xx_small fastvit_t8 dpn68 eca_resnet33ts "
    "convnext_atto convnextv2_atto convnext_femto"
)
TORCHVISION = ("alexnet", "squeezenet1_1", "googlenet", "mobilenet_v2", "mnasnet0_5", "shufflenet_v2_x0_5")
"""Those on which pruning libraries were compared before: see docs/explanation/trim.md."""

SIZES = {"inception_v3": 107, "inception_v4": 107, "googlenet": 64, "alexnet": 96, "xception41": 64}
"""Input sizes, where the usual one is too small."""


def built(name: str) -> fs.Network:
    """An architecture with random weights in float64, its norms as if they had seen images."""
    torch.manual_seed(0)
    size = SIZES.get(name, 64)
    if name in TORCHVISION:
        import torchvision

        given = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        module = getattr(torchvision.models, name)(weights=None, num_classes=10, **given)
    else:
        module = timm.create_model(name, pretrained=False, num_classes=10)
    network = fs.Network(module.double().eval(), fs.Preprocessing((size, size)), name=name)
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.affine]
    for norm in norms:
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(0, 0.2)
        # The next batch alone tells mean and variance: else what random weights make of an image fades with depth.
        norm.momentum = 1.0
        norm.training = True
    with torch.no_grad():
        module(pictures(network, 8, seed=1))
    for norm in norms:
        norm.training = False
    return network


def pictures(network: fs.Network, count: int, seed: int) -> torch.Tensor:
    """Random images that differ in colour and contrast, as the network takes them."""
    dice = torch.Generator().manual_seed(seed)
    noise = torch.rand((count, 3, *network.preprocessing.input_size), generator=dice)
    level, contrast = torch.rand((count, 3, 1, 1), generator=dice), torch.rand((count, 1, 1, 1), generator=dice)
    return standardise((level + contrast * (noise - level)).double(), network.preprocessing)


def judged(name: str, bare: bool, rounds: int) -> tuple[str, str]:
    """The verdict on one architecture, and its numbers."""
    network = built(name)
    planted = plant(network, np.random.default_rng(0))
    network = fs.Network(network.module, network.preprocessing, name=name)
    if bare:
        return by_torch_pruning(network, planted)
    asked = sum(len(one.units) for one in planted)
    begin = time.process_time()
    try:
        small = fs.trim(network, rounds=rounds)
    except FilterscopeError as error:
        return "refused", f"{asked:5}{0:6}{0:8}  {error}"
    spent = time.process_time() - begin
    apart = difference(network, small.network.module)
    gone = small.parameters[0] - small.parameters[1]
    units = sum(map(len, small.removed.values()))
    left = sum(len(one.step.units) for one in small.outcomes if one.status != "done")
    verdict = "WRONG" if not apart <= 1e-9 else "exact" if gone else "refused" if left else "nothing"
    if verdict == "nothing" and not planted:
        verdict = "refused"
    reason = next((one.reason for one in small.outcomes if one.status != "done"), "")
    if verdict == "refused" and not reason:
        reason = why_nothing(network)
    numbers = f"{asked:5}{units:6}{left:8}{apart:10.1e}{dependence(network):10.1e}{spent:7.1f}"
    return verdict, f"{numbers}  {reason[:120]}"


def dependence(network: fs.Network) -> float:
    """By how much the answers to two images differ, as a share of the largest: where it is nothing, equality is."""
    with torch.no_grad():
        one, other = network.module(pictures(network, 2, seed=5))
    return float((one - other).abs().max() / torch.maximum(one.abs(), other.abs()).max())


def why_nothing(network: fs.Network) -> str:
    """Why nothing could be planted: the reason that most units have for staying."""
    graph = Graph(network.module, network.example())
    reasons = Counter(graph.channels.locked(int(one)) for made in graph.channels.makes.values() for one in made)
    return next((reason for reason, _ in reasons.most_common() if reason), "no convolution of eight or more units")


def difference(network: fs.Network, after: nn.Module) -> float:
    """Of the answers to images that surgery has not seen, as a share of the largest; infinite where it does not run."""
    images = pictures(network, 2, seed=5)
    with torch.no_grad():
        before = network.module(images)
        return float((before - after(images)).abs().max() / before.abs().max())


def by_torch_pruning(network: fs.Network, planted: list[Planted]) -> tuple[str, str]:
    """Ask the library itself to remove the units that need nothing but removing."""
    import torch_pruning

    asked = [one for one in planted if one.kind in ZEROED and needs_nothing_else(network, one)]
    units, gone = sum(len(one.units) for one in asked), 0
    module = copy.deepcopy(network.module).requires_grad_(True)
    before = parameters(module)
    begin = time.process_time()
    try:
        for one in asked:
            graph = torch_pruning.DependencyGraph().build_dependency(module, (network.example(),), verbose=False)
            own = module.get_submodule(one.layer)
            prune = graph.get_pruner_of_module(own).prune_out_channels
            group = graph.get_pruning_group(own, prune, list(one.units))
            if not graph.check_pruning_group(group):
                continue
            group.prune()
            gone += len(one.units)
        apart = difference(network, module)
    except Exception as error:  # noqa: BLE001  # whatever it raises is the verdict
        text = " ".join(str(error).split()) or type(error).__name__
        return (
            "crash",
            f"{units:5}{gone:6}{0:8}{'':10}{time.process_time() - begin:7.1f}  {type(error).__name__}: {text[:100]}",
        )
    smaller = parameters(module) < before
    verdict = "WRONG" if not apart <= 1e-9 else "exact" if smaller else "refused"
    return verdict, f"{units:5}{gone:6}{units - gone:8}{apart:10.1e}{'':10}{time.process_time() - begin:7.1f}"


def needs_nothing_else(network: fs.Network, one: Planted) -> bool:
    """Whether the answer is the same when whoever reads these units is given zero."""
    graph = Graph(network.module, network.example())
    readers = graph.coupled(one.layer, one.units).having("reads")
    holds = [Hold(reader.name, reader.channels, (0.0,) * len(reader.channels)) for reader in readers]
    images = pixels(network, network.preprocessing.input_size, 1)
    return apart(answer(network.module, images), answer(network.module, images, holds)) <= 1e-12


def widened(models: list[str]) -> None:
    """Widen trained networks and trim them; one line a network."""
    print(f"{'network':24}{'before':>12}{'widened':>12}{'trimmed':>12}{'apart':>10}{'s':>7}  added")
    for model in models:
        loaded = fs.load(model)
        given = loaded.preprocessing
        if max(given.input_size) > 64:
            given = fs.Preprocessing((64, 64), mean=given.mean, std=given.std)
        original = fs.Network(loaded.module.double().eval(), given)
        wide = fs.Network(copy.deepcopy(original.module), given)
        added = widen(wide, np.random.default_rng(0))
        wide = fs.Network(wide.module, given)
        begin = time.process_time()
        small = fs.trim(wide)
        spent = time.process_time() - begin
        sizes = "".join(f"{size:12,}" for size in (parameters(original.module), *small.parameters))
        kinds = ", ".join(f"{count} {kind}" for kind, count in added.items())
        distance = difference(original, small.network.module)
        print(f"{model.rpartition('/')[2]:24}{sizes}{distance:10.1e}{spent:7.1f}  {kinds}", flush=True)
        for one in small.outcomes:
            if one.status != "done":
                print(f"    {one.status} {one.step.layer}:{','.join(map(str, one.step.units))} {one.reason[:140]}")


def parameters(module: nn.Module) -> int:
    """How many there are."""
    return sum(one.numel() for one in module.parameters())


def main() -> None:
    """Plant, trim, compare; one line an architecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[*TORCHVISION, *NAMES.split()])
    parser.add_argument("--bare", action="store_true", help="ask torch-pruning instead, without any check")
    parser.add_argument("--rounds", type=int, default=3, help="of looking and cutting")
    parser.add_argument("--planted", nargs="+", metavar="MODEL", help="widen these networks, and trim them")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.planted:
        widened(options.planted)
        return
    found: dict[str, int] = {}
    columns = f"{'planted':>5}{'gone':>6}{'refused':>8}{'apart':>10}{'images':>10}{'s':>7}"
    print(f"{'architecture':24}{'':9}{columns}  the first reason")
    for name in options.only:
        verdict, numbers = judged(name, options.bare, options.rounds)
        found[verdict] = found.get(verdict, 0) + 1
        print(f"{name:24}{verdict:9}{numbers}", flush=True)
    print(", ".join(f"{verdict}: {count}" for verdict, count in sorted(found.items())), "of", len(options.only))


if __name__ == "__main__":
    main()
