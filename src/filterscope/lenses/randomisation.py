"""The randomised-weights check: does a back-projection depend on what the network has learnt?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from filterscope.atlas.records import Layer
from filterscope.lenses.backprojection import Projection, Settings, project, strength
from filterscope.lenses.seeds import Place, Start, Target, start
from filterscope.lenses.way_back import forward
from filterscope.model import Network
from filterscope.model.running import copied

STAGES = (0.0, 1 / 3, 2 / 3, 1.0)
"""Shares of the layers below whose weights are shuffled, beside the layer itself, from the top down."""


AROUND = 24
"""The deviation of what counts as around a pixel: one in so many of the longer side."""


@dataclass(frozen=True, eq=False)
class Randomised:
    """A back-projection through a network some of whose layers have shuffled weights."""

    layers: tuple[str, ...]
    """The layers whose weights were shuffled, the last one first; none: the network as it is."""
    projection: Projection
    likeness: float
    """Spearman's rank correlation with the first picture, over what the seed sees: 1, the same; 0, nothing in
    common. Of coloured pictures their detail is compared, see ``compared``. NaN where one is the same everywhere."""


def randomised(
    network: Network,
    image: Tensor,
    unit: str | None,
    method: str,
    *,
    class_name: str | int | None = None,
    seed: Place = "max",
    settings: Settings | None = None,
    random_seed: int = 0,
) -> Iterator[Randomised]:
    """Carry a unit back through the network as it is, and then through copies with ever more layers shuffled.

    The weights of a layer are put into another order, so that their size and distribution stay; from the layer of the
    unit down to the first. A method whose picture stays the same shows the image, not what the network has learnt.

    Args:
        network: the network; it is copied and left as it was.
        image: one image, as the network takes it (1, channel, height, width).
        unit, method, class_name, seed, settings: as for ``backproject``; the seed stays where it is in the network
            as it is.
        random_seed: of the shuffling.
    Yields:
        First the network as it is, then the unit's own layer shuffled, that and a third of the layers below, two
        thirds, all.
    Raises:
        BadModel: if the network cannot be copied.
    Source: Adebayo et al. (2018), Sanity checks for saliency maps, arXiv:1810.03292.
    """
    settings = settings or Settings()
    target = Target.of(network, unit, class_name)
    with torch.no_grad():
        begun = start(forward(network, image, target.layer, "gradient"), target, seed)
    first = project(network, image, unit, method, class_name, seed, settings, begun)
    yield Randomised((), first, 1.0)
    weighty = with_weights(network.module, target.layer)
    own = target.layer.name if target.layer is not None else weighty[0] if weighty else ""
    chain = [own, *(name for name in weighty if name != own)] if own in weighty else weighty
    done: set[int] = set()
    for share in STAGES:
        count = max(1, round(share * (len(chain) - 1)) + 1) if chain else 0
        if count in done or not chain:
            continue
        done.add(count)
        names = tuple(chain[:count])
        shuffled = copy_shuffled(network, names, random_seed)
        projection = project(shuffled, image, unit, method, class_name, seed, settings, in_copy(shuffled, image, begun))
        yield Randomised(names, projection, likeness(first, projection))


def in_copy(network: Network, image: Tensor, begun: Start) -> Start:
    """The same start, with the values that the copy has there."""
    with torch.no_grad():
        maps = [given.detach() for given in forward(network, image, begun.target.layer, "gradient")]
        value = float(begun.score(maps)[0])
        own = maps[begun.call][0, ..., begun.target.index]
    return replace(begun, value=value, largest=float(own.max()))


def with_weights(module: nn.Module, layer: Layer | None) -> list[str]:
    """The modules with kernels or matrices, in the order of their definition, the last one first.

    Of those behind ``layer`` none: what they do does not reach it.
    """
    names = [
        name
        for name, child in module.named_modules()
        if isinstance(weight := getattr(child, "weight", None), Tensor) and weight.ndim > 1
    ]
    if layer is not None and layer.name in names:
        names = names[: names.index(layer.name) + 1]
    return names[::-1]


def copy_shuffled(network: Network, names: Sequence[str], random_seed: int) -> Network:
    """A copy of the network, the weights of some of its modules in another order."""
    module = copied(network.module)
    generator = torch.Generator().manual_seed(random_seed)
    with torch.no_grad():
        for name in names:
            weight = module.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return Network(module, network.preprocessing, network.classes, network.name)


def likeness(one: Projection, other: Projection) -> float:
    """Spearman's rank correlation of two pictures: of the values of maps, of the detail of coloured pictures."""
    given = [compared(each.cropped(each.values)).ravel() for each in (one, other)]
    if any(np.ptp(values) == 0 for values in given):
        return float("nan")
    ranks = [ranked(values) for values in given]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def compared(values: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "height width"]:
    """What of a picture is compared.

    Of several colours it is the strength of each pixel by the mean strength around it: whatever the weights, all
    pictures are strong in the middle of the receptive field and weak at its rim, and so far alike.
    """
    if values.shape[2] == 1:
        return np.asarray(values[..., 0], np.float64)
    strong = strength(values)[..., 0].astype(np.float64)
    around = gaussian_filter(strong, max(strong.shape) / AROUND, mode="reflect")
    return np.asarray(np.divide(strong, around, out=np.zeros_like(strong), where=around > 0), np.float64)


def ranked(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """The rank of every value; equal ones share theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[places]
