"""What is taken from the pixels after a step, so that they do not turn to noise: the classic four, of Yosinski.

Source: Yosinski, Clune, Nguyen, Fuchs, Lipson (2015), Understanding neural networks through deep visualization,
arXiv:1506.06579, section 3. There the values are those of an image minus its mean: here, of pixels minus mid grey.
Total variation is an objective (`filterscope.ascent.objectives.total_variation`), since it has a gradient.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

GREY = 0.5

Regulariser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From images (item, channel, height, width) in 0 to 1, the gradient of the last step, and age (item) to images."""

Images = Float[Tensor, "item channel height width"]


def decay(share: float) -> Regulariser:
    """L2 decay: every pixel loses ``share`` of its distance from grey."""
    return lambda images, gradient, age: GREY + (1 - share) * (images - GREY)


def blur(width: float, every: int) -> Regulariser:
    """A Gaussian of standard deviation ``width`` pixels, every ``every`` steps."""
    # Three standard deviations to either side hold 99.7 % of it.
    side = 2 * max(1, round(3 * width)) + 1

    def blurred(images: Tensor, gradient: Tensor, age: Tensor) -> Tensor:
        due = age.remainder(every) == 0
        if not due.any() or side // 2 >= min(images.shape[2:]):
            return images
        smooth = gaussian_blur(images, [side, side], [width, width])
        return torch.where(due.to(images.device).reshape(-1, 1, 1, 1), smooth, images)

    return blurred


def clip_small_norm(percent: float) -> Regulariser:
    """Pixels whose colour is nearest to grey become grey: ``percent`` of them."""

    def clipped(images: Tensor, gradient: Tensor, age: Tensor) -> Tensor:
        return without(images, (images - GREY).norm(dim=1), percent)

    return clipped


def clip_small_contribution(percent: float) -> Regulariser:
    """Pixels that contribute least to the score become grey: ``percent`` of them.

    The contribution is estimated to first order: |sum over colours of value times gradient|.
    """

    def clipped(images: Tensor, gradient: Tensor, age: Tensor) -> Tensor:
        return without(images, ((images - GREY) * gradient).sum(1).abs(), percent)

    return clipped


def without(images: Images, weight: Float[Tensor, "item height width"], percent: float) -> Images:
    """The images with the lightest ``percent`` of their pixels grey."""
    count = int(weight[0].numel() * percent / 100)
    if not count:
        return images
    border = weight.flatten(1).kthvalue(count, dim=1).values
    return torch.where((weight <= border[:, None, None])[:, None], torch.full_like(images, GREY), images)
