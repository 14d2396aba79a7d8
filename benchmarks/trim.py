"""Is surgery exact, or refused, on networks of every kind? Random weights, random planted removals.

    python benchmarks/trim.py [--only NAME ...] [--plantings 3]

Of every architecture some convolutions are chosen. In every other one a quarter of the units gets weights and bias of
zero, batch norm included; in the rest some units become copies of others. Then the network is trimmed, in one round.
What surgery says it did is held against another road: the answers of the original and of the trimmed network to images
that surgery has not seen, in float64.

Exact: something went, and the answers are equal to 1e-9. Refused: nothing went, and a reason was given. Wrong: the
answers differ.
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

import filterscope as fs
from filterscope.errors import FilterscopeError
from filterscope.images.tensors import standardise

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
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None and part.affine:
            part.running_mean.normal_(0, 0.1)
            assert part.running_var is not None
            part.running_var.uniform_(0.5, 1.5)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.2)
    return fs.Network(module.double().eval(), fs.Preprocessing((size, size)), name=name)


def plant(network: fs.Network, count: int, dice: np.random.Generator) -> int:
    """Make units useless in some layers; gives how many."""
    layers = [one for one in network.layers() if one.channels >= 8]
    planted = 0
    for turn, at in enumerate(dice.choice(len(layers), min(count, len(layers)), replace=False).tolist()):
        layer = layers[at]
        own: Any = network.module.get_submodule(layer.name)
        # A batch norm with its activation inside is observed at a module within it.
        places = [layer.observed, layer.observed.rpartition(".")[0]] if layer.observed != layer.name else []
        norms = [network.module.get_submodule(place) for place in places if place]
        norm = next((one for one in norms if isinstance(one, nn.modules.batchnorm._BatchNorm)), None)
        holder: Any = own if norm is None else norm
        bias = getattr(holder, "bias", None)
        if not isinstance(bias, torch.Tensor) or not isinstance(own, nn.Conv2d):
            continue
        units = dice.choice(layer.channels, max(layer.channels // 4, 2), replace=False).tolist()
        with torch.no_grad():
            if turn % 2 == 0:
                # Behind a norm zero weights would leave what the norm adds.
                for tensor in (bias, holder.weight, own.weight):
                    tensor[units] = 0
                planted += len(units)
                continue
            for unit, other in zip(units[::2], units[1::2], strict=False):
                own.weight[unit] = own.weight[other]
                for tensor in {own.bias, *holder.state_dict().values()} if holder is not own else {own.bias}:
                    if isinstance(tensor, torch.Tensor) and tensor.ndim:
                        tensor[unit] = tensor[other]
                planted += 1
    return planted


def judged(name: str, count: int) -> tuple[str, str]:
    """The verdict on one architecture, and its numbers."""
    dice = np.random.default_rng(0)
    network = built(name)
    planted = plant(network, count, dice)
    network = fs.Network(network.module, network.preprocessing, name=name)
    begin = time.process_time()
    try:
        small = fs.trim(network, rounds=1)
    except FilterscopeError as error:
        return "refused", f"{planted:5}{0:6}{0:8}  {error}"
    spent = time.process_time() - begin
    pixels = torch.rand((2, 3, *network.preprocessing.input_size), generator=torch.Generator().manual_seed(5))
    images = standardise(pixels.double(), network.preprocessing)
    with torch.no_grad():
        before, after = network.module(images), small.network.module(images)
    apart = float((before - after).abs().max() / before.abs().max())
    gone = sum(map(len, small.removed.values()))
    left = sum(len(one.step.units) for one in small.outcomes if one.status != "done")
    verdict = "WRONG" if not apart <= 1e-9 else "exact" if gone else "refused" if left else "nothing"
    reason = next((one.reason for one in small.outcomes if one.status != "done"), "")
    return verdict, f"{planted:5}{gone:6}{left:8}{apart:10.1e}{spent:7.1f}  {reason[:110]}"


def main() -> None:
    """Plant, trim, compare; one line an architecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[*TORCHVISION, *NAMES.split()])
    parser.add_argument("--plantings", type=int, default=3, help="layers in which units are planted")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found: dict[str, int] = {}
    print(f"{'architecture':24}{'':9}{'planted':>5}{'gone':>6}{'refused':>8}{'apart':>10}{'s':>7}  the first reason")
    for name in options.only:
        verdict, numbers = judged(name, options.plantings)
        found[verdict] = found.get(verdict, 0) + 1
        print(f"{name:24}{verdict:9}{numbers}", flush=True)
    print(", ".join(f"{verdict}: {count}" for verdict, count in sorted(found.items())), "of", len(options.only))


if __name__ == "__main__":
    main()
