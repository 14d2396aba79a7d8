"""Controls: units that have no function of their own, and the same functions in networks that are built otherwise."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from circuit import Circuit, Side, normed
from constructed import MEAN, STD, Constructed, Truth
from mechanisms import NONE
from mixtures import SCENES, best_responses
from torch import Tensor, nn

from filterscope.images.preprocessing import Preprocessing
from filterscope.model.network import Network

Rename = Callable[[str, int], tuple[str, int]]


def changed(
    one: Constructed,
    name: str,
    edit: Callable[[Circuit], None],
    truths: Sequence[Truth] | None = None,
    preprocessing: Preprocessing | None = None,
) -> Constructed:
    """A copy of a network with an edit done to its module."""
    module = deepcopy(one.network.module)
    assert isinstance(module, Circuit)
    edit(module)
    title = f"{one.name}, {name}"
    network = Network(module.eval(), preprocessing or one.network.preprocessing, name=title)
    return Constructed(title, network, tuple(one.truths if truths is None else truths))


def last_layer(module: Circuit) -> tuple[str, nn.Conv2d, nn.BatchNorm2d | None]:
    """The convolution of the last stage, its name, and its batch norm if there is one."""
    body = branches(module.stages[-1])[0]
    name = f"stages.{len(module.stages) - 1}.0"
    if isinstance(body, nn.Sequential):
        convolution, norm = body
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        return f"{name}.0", convolution, norm
    assert isinstance(body, nn.Conv2d)
    return name, body, None


def fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> nn.Conv2d:
    """One convolution that does what the two do."""
    if norm is None:
        return convolution
    assert norm.running_var is not None
    assert norm.running_mean is not None
    height, width = convolution.kernel_size
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    folded = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (height, width),
        padding=(height // 2, width // 2),
    ).requires_grad_(False)
    folded.weight.copy_(convolution.weight * gain[:, None, None, None])
    assert folded.bias is not None
    folded.bias.copy_(norm.bias - gain * norm.running_mean)
    return folded


def at_last(one: Constructed) -> list[Truth]:
    """The truths of the last layer."""
    assert isinstance(one.network.module, Circuit)
    name = last_layer(one.network.module)[0]
    return [truth for truth in one.truths if truth.layer == name]


def plain_last(module: Circuit) -> tuple[str, nn.Conv2d]:
    """Give the last stage one convolution without a norm; its name and itself."""
    _, convolution, norm = last_layer(module)
    first = module.stages[-1]
    assert isinstance(first, nn.Sequential)
    first[0] = fold(convolution, norm)
    name, convolution, _ = last_layer(module)
    return name, convolution


def plain_name(one: Constructed) -> str:
    """The name of the last layer once it is one convolution without a norm."""
    assert isinstance(one.network.module, Circuit)
    return f"stages.{len(one.network.module.stages) - 1}.0"


def remix(one: Constructed, name: str, mix: Tensor, truths: Sequence[Truth]) -> Constructed:
    """The last layer's channels replaced by sums of them: (new unit, old unit)."""

    def edit(module: Circuit) -> None:
        _, convolution = plain_last(module)
        assert convolution.bias is not None
        convolution.weight.copy_(torch.einsum("nu,uchw->nchw", mix, convolution.weight))
        convolution.bias.copy_(mix @ convolution.bias)

    layer = plain_name(one)
    return changed(one, name, edit, [replace(truth, layer=layer) for truth in truths])


def rotated(one: Constructed, seed: int = 0, count: int = SCENES) -> Constructed:
    """The last layer in a random orthogonal basis, each unit first brought to the same strength: all are mixed.

    Shares are those of the coefficients' absolute values; strengths are measured on ``count`` scenes.
    """
    known = {truth.unit: truth for truth in at_last(one)}
    best = best_responses(one.network, count)
    scale = torch.tensor(
        [1 / float(best[unit]) if unit in known and best[unit] > 0.05 else 0.0 for unit in range(len(best))]
    )
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(best), len(best), generator=generator)).Q
    truths = []
    for unit in range(len(best)):
        shares: dict[str, float] = {}
        weights = basis[unit].abs() * (scale > 0)
        for source, truth in known.items():
            for family, share in truth.shares.items():
                shares[family] = shares.get(family, 0.0) + share * float(weights[source] / weights.sum())
        truths.append(Truth("", unit, "rotated", shares, "mixed"))
    return remix(one, "rotated", basis * scale, truths)


def dead(one: Constructed, every: int = 5) -> Constructed:
    """Every fifth unit of the last layer has a bias of -1000; only these are scored."""
    chosen = at_last(one)[::every]

    def edit(module: Circuit) -> None:
        _, convolution = plain_last(module)
        assert convolution.bias is not None
        convolution.bias[[truth.unit for truth in chosen]] = -1000.0

    layer = plain_name(one)
    return changed(one, "dead", edit, [Truth(layer, truth.unit, "dead", {NONE: 1.0}, "dead") for truth in chosen])


def duplicated(one: Constructed, seed: int = 0) -> Constructed:
    """The second half of the scored units of the last layer are copies of the first half, some twice as strong."""
    truths = at_last(one)
    half = len(truths) // 2
    order = np.random.default_rng(seed).permutation(half)
    mix = torch.zeros(*(2 * [len(last_units(one))]))
    found = []
    for number, truth in enumerate(truths[:half]):
        copy = truths[half + int(order[number])].unit
        mix[truth.unit, truth.unit], mix[copy, truth.unit] = 1.0, 1.0 + number % 2
        found += [truth, replace(truth, unit=copy)]
    return remix(one, "duplicated", mix, found)


def negated(one: Constructed) -> Constructed:
    """The units of the last layer with their sign turned: they fall where they rose, and never rise above grey."""
    mix = -torch.eye(len(last_units(one)))
    truths = [replace(t, mechanism="negated", shares={NONE: 1.0}, family="negated") for t in at_last(one)]
    return remix(one, "negated", mix, truths)


def last_units(one: Constructed) -> range:
    """The indices of the last layer's units."""
    assert isinstance(one.network.module, Circuit)
    return range(last_layer(one.network.module)[1].out_channels)


def random_networks(count: int = 2, seed: int = 0) -> list[Constructed]:
    """Networks with the weights that training begins with: their units have no function.

    Args:
        count: of each design.
        seed: of the weights.
    """
    found = []
    designs: Mapping[str, Callable[[], nn.Module]] = {
        "three layers": lambda: stack((24, 32, 48), norm=False),
        "five layers with batch norm": lambda: stack((16, 24, 32, 48, 64), norm=True),
        "resnet18": lambda: torchvision_part("resnet18", 7),
        "squeezenet1_1": lambda: torchvision_part("squeezenet1_1", 9),
    }
    for number in range(count):
        for name, make in designs.items():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1000 * seed + number)
                module = make().eval().requires_grad_(False)
            title = f"random {name} {number}"
            network = Network(module, Preprocessing((64, 64), MEAN, STD), name=title)
            truths = [
                Truth(layer.name, unit, f"random {name}", {NONE: 1.0}, NONE)
                for layer in network.layers()
                for unit in range(min(layer.channels, 16))
            ]
            found.append(Constructed(title, network, tuple(truths)))
    return found


def stack(widths: Sequence[int], norm: bool) -> nn.Sequential:
    """Convolutions of 3 by 3 with rectifiers; every second one is followed by a pool."""
    blocks: list[nn.Module] = []
    before = 3
    for number, width in enumerate(widths):
        blocks.append(nn.Conv2d(before, width, 5 if number == 0 else 3, padding=2 if number == 0 else 1, bias=not norm))
        blocks += [nn.BatchNorm2d(width)] if norm else []
        blocks.append(nn.ReLU())
        blocks += [nn.MaxPool2d(2)] if number % 2 else []
        before = width
    return nn.Sequential(*blocks)


def torchvision_part(name: str, depth: int) -> nn.Module:
    """The first layers of a known design, at random weights."""
    import torchvision

    whole = getattr(torchvision.models, name)(weights=None)
    children = list(getattr(whole, "features", whole).children())
    return nn.Sequential(*children[:depth])


# What follows changes a network and not what its units do.


def branches(stage: nn.Module) -> list[nn.Module]:
    """The convolutions of a stage, each with its norm if it has one."""
    body = stage[0]  # type: ignore[index]
    return list(body.branches) if isinstance(body, Side) else [body]


def core(branch: nn.Module) -> nn.Conv2d:
    """The convolution of a branch."""
    found = branch[0] if isinstance(branch, nn.Sequential) else branch
    assert isinstance(found, nn.Conv2d)
    return found


def take_rows(branch: nn.Module, rows: Tensor) -> None:
    """Put the output channels of a branch in another order."""
    for part in branch if isinstance(branch, nn.Sequential) else [branch]:
        for name, value in [*part.named_parameters(), *part.named_buffers()]:
            if value.ndim and value is not None:
                value.copy_(value[rows].clone())
                assert name


def permuted(one: Constructed, seed: int = 0) -> Constructed:
    """The channels of every layer in another order."""
    generator = torch.Generator().manual_seed(seed)
    moved: dict[tuple[str, int], int] = {}

    def edit(module: Circuit) -> None:
        came_from: Tensor | None = None
        for number, stage in enumerate(module.stages):
            here = []
            start = 0
            for position, branch in enumerate(branches(stage)):
                body = stage[0]  # type: ignore[index]
                if came_from is not None:
                    goes_to = torch.argsort(came_from)
                    if isinstance(body, Side):
                        body.picked[position] = goes_to[body.picked[position]].tolist()
                    else:
                        core(branch).weight.copy_(core(branch).weight[:, came_from].clone())
                order = torch.randperm(core(branch).out_channels, generator=generator)
                take_rows(branch, order)
                name = f"stages.{number}.0" + (f".branches.{position}" if isinstance(body, Side) else "")
                name += ".0" if isinstance(branch, nn.Sequential) else ""
                moved.update({(name, int(old)): new for new, old in enumerate(order)})
                here.append(order + start)
                start += len(order)
            came_from = torch.cat(here)

    found = changed(one, "permuted", edit)
    truths = tuple(replace(truth, unit=moved[truth.layer, truth.unit]) for truth in one.truths)
    return replace(found, truths=truths)


def scaled(one: Constructed, seed: int = 0) -> Constructed:
    """Every channel times a positive number, which the next layer undoes; the last layer's stay scaled."""
    generator = torch.Generator().manual_seed(seed)

    def edit(module: Circuit) -> None:
        before: Tensor | None = None
        for stage in module.stages:
            here = []
            for position, branch in enumerate(branches(stage)):
                body, convolution = stage[0], core(branch)  # type: ignore[index]
                if before is not None:
                    sources = body.picked[position] if isinstance(body, Side) else list(range(len(before)))
                    convolution.weight /= before[sources][:, None, None]
                factor = torch.exp2(4 * torch.rand(convolution.out_channels, generator=generator) - 2)
                last = branch[1] if isinstance(branch, nn.Sequential) else convolution
                assert isinstance(last, (nn.Conv2d, nn.BatchNorm2d))
                assert last.bias is not None
                last.weight *= factor.reshape(-1, *(1,) * (last.weight.ndim - 1))
                last.bias *= factor
                here.append(factor)
            before = torch.cat(here)

    return changed(one, "scaled", edit)


def folded(one: Constructed) -> Constructed:
    """Without batch norms."""
    return rebuilt(one, "folded", lambda b: fold(b[0], b[1]) if isinstance(b, nn.Sequential) else b)  # type: ignore[arg-type]


def unfolded(one: Constructed) -> Constructed:
    """With a batch norm after every convolution."""
    return rebuilt(one, "unfolded", lambda b: b if isinstance(b, nn.Sequential) else normed(core(b)))


def rebuilt(one: Constructed, name: str, make: Callable[[nn.Module], nn.Module]) -> Constructed:
    """Every branch replaced; truths follow it to its new name."""
    renamed: dict[str, str] = {}

    def edit(module: Circuit) -> None:
        for number, stage in enumerate(module.stages):
            body = stage[0]  # type: ignore[index]
            for position, branch in enumerate(branches(stage)):
                new = make(branch)
                path = f"stages.{number}.0" + (f".branches.{position}" if isinstance(body, Side) else "")
                ends = [".0" if isinstance(each, nn.Sequential) else "" for each in (branch, new)]
                renamed[path + ends[0]] = path + ends[1]
                if isinstance(body, Side):
                    body.branches[position] = new
                else:
                    assert isinstance(stage, nn.Sequential)
                    stage[0] = new

    found = changed(one, name, edit)
    return replace(found, truths=tuple(replace(t, layer=renamed[t.layer]) for t in one.truths))


def bgr(one: Constructed) -> Constructed:
    """For images whose channels come in the order blue, green, red."""
    given = one.network.preprocessing
    preprocessing = replace(given, channels="BGR", mean=given.mean[::-1], std=given.std[::-1])

    def edit(module: Circuit) -> None:
        for branch in branches(module.stages[0]):
            core(branch).weight.copy_(core(branch).weight.flip(1).clone())

    return changed(one, "BGR", edit, preprocessing=preprocessing)


def strided(one: Constructed) -> Constructed:
    """The last layer leaves out every second position."""

    def edit(module: Circuit) -> None:
        last_layer(module)[1].stride = (2, 2)

    return changed(one, "strided", edit)


def dilated(one: Constructed) -> Constructed:
    """The last pool that makes maps smaller does not, and all kernels after it are dilated: the same, more densely."""

    def edit(module: Circuit) -> None:
        pools = [
            (number, layer)
            for number, stage in enumerate(module.stages)
            for layer in stage.children()
            if isinstance(layer, nn.MaxPool2d) and layer.stride == 2
        ]
        after, pool = pools[-1]
        pool.stride = 1
        for stage in module.stages[after + 1 :]:
            for convolution in map(core, branches(stage)):
                height, width = convolution.kernel_size
                convolution.dilation = (2, 2)
                convolution.padding = (2 * (height // 2), 2 * (width // 2))

    return changed(one, "dilated", edit)


def depthwise(one: Constructed) -> Constructed:
    """A depthwise convolution, a slight blur, after the last layer; there the units of the last layer are scored."""
    name = ""

    def edit(module: Circuit) -> None:
        nonlocal name
        name, last = plain_last(module)
        count = last.out_channels
        blur = nn.Conv2d(count, count, 3, padding=1, groups=count, bias=False).requires_grad_(False)
        line = torch.tensor([1.0, 6.0, 1.0]) / 8
        blur.weight.copy_((line[:, None] * line).expand(count, 1, 3, 3))
        module.stages[-1] = nn.Sequential(last, nn.ReLU(), blur)

    found = changed(one, "depthwise", edit)
    layer = name.removesuffix("0") + "2"
    return replace(found, truths=tuple(replace(truth, layer=layer) for truth in at_last(one)))


SAME: Mapping[str, Callable[[Constructed], Constructed]] = {
    "permuted": permuted,
    "scaled": scaled,
    "folded": folded,
    "unfolded": unfolded,
    "BGR": bgr,
    "strided": strided,
    "dilated": dilated,
    "depthwise": depthwise,
}
"""Changes that leave every unit its function."""
