"""What a smaller network's answers are worth on the images that choose: accuracy or agreement, and divergence."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from filterscope.findings.scoring import NONE, class_scores
from filterscope.lenses.classes import every_logit
from filterscope.model.running import evaluating
from filterscope.surgery.sample import Sample


@dataclass(frozen=True)
class Worth:
    """Of answers to some images.

    Attributes:
        share: of the images that are answered rightly; without labels, as the original answers them.
        divergence: Kullback-Leibler, of the original's answers from these, in nats; a mean.
    """

    share: float
    divergence: float


class Judge:
    """Keeps the original's answers to some images and judges others by them.

    Args:
        original: the network.
        sample: the images.
    Raises:
        BadModel: if the answer has no class scores.
    """

    def __init__(self, original: nn.Module, sample: Sample) -> None:
        self.sample = sample
        self._wanted = self._answers(original)
        self._right = torch.from_numpy(sample.labels) if sample.is_labelled else self._wanted.argmax(1)
        self.base = self._worth(self._wanted)

    @property
    def counts(self) -> str:
        """What ``share`` is the share of, in one word."""
        return "accuracy" if self.sample.is_labelled else "agreement"

    def worth(self, module: nn.Module) -> Worth:
        """Judge a network."""
        return self._worth(self._answers(module))

    def _answers(self, module: nn.Module) -> Tensor:
        found: list[Tensor] = []
        read: list[int] = []
        with torch.no_grad(), evaluating(module):
            for here, pixels in self.sample:
                found.append(every_logit(class_scores(module(pixels), len(pixels))).log_softmax(1))
                read += here.tolist()
        answers = torch.full((len(self.sample), found[0].shape[1]), np.nan, dtype=torch.float64)
        answers[read] = torch.cat(found)
        return answers

    def _worth(self, answers: Tensor) -> Worth:
        # An image that cannot be read has no answer; one without a label tells nothing of accuracy.
        known = ~answers[:, 0].isnan()
        counted = known & (self._right != NONE)
        share = float((answers.argmax(1) == self._right)[counted].double().mean()) if counted.any() else 0.0
        gap = (self._wanted.exp() * (self._wanted - answers)).sum(1)[known]
        return Worth(share, float(gap.mean()))
