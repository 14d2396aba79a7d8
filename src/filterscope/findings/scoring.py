"""What a network answers to labelled images, image by image: its class, the loss, the margin of the right class."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filterscope.errors import BadModel
from filterscope.images import ImageSource
from filterscope.lenses.classes import every_logit
from filterscope.model.running import tensors_in

NONE = -1
"""The class of an image that has none, or one that the network does not know."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Answers, image by image; in more axes where there are several answers to an image. The last axis is images.

    Attributes:
        answer: the class with the highest score.
        loss: cross entropy of the right class in nats; NaN where there is none.
        margin: score of the right class less the highest other; NaN where there is none.
    """

    answer: NDArray[np.int32]
    loss: NDArray[np.float32]
    margin: NDArray[np.float32]

    @classmethod
    def of(cls, answer: Any, labels: NDArray[np.int64]) -> "Scores":
        """Score a network's answer to some images; of maps the mean, of a softmax the logarithm counts.

        Args:
            answer: what the module gave.
            labels: (image), the right class's number; -1: none.
        Raises:
            BadModel: if the answer has no class scores.
        """
        return cls.of_several([class_scores(answer, len(labels)).detach()], labels)[0]

    @classmethod
    def of_several(cls, answers: Sequence[Tensor], labels: NDArray[np.int64]) -> "Scores":
        """Score several answers to the same images, as :func:`class_scores` gives them, at once: (answer, image)."""
        logits = every_logit(torch.cat(list(answers)))
        every = torch.from_numpy(labels).repeat(len(answers))
        known = every >= 0
        score = logits.gather(1, every.clamp_min(0)[:, None])[:, 0]
        loss = logits.logsumexp(1) - score
        others = logits.scatter(1, every.clamp_min(0)[:, None], -torch.inf).amax(1)
        found = (
            logits.argmax(1).to(torch.int32),
            torch.where(known, loss, torch.nan).float(),
            torch.where(known, score - others, torch.nan).float(),
        )
        return cls(*(one.reshape(len(answers), len(labels)).numpy() for one in found))

    @classmethod
    def joined(cls, parts: "list[Scores]") -> "Scores":
        """Put those of several batches in a row."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts], -1) for name in cls.__annotations__))

    @classmethod
    def under_each_other(cls, parts: "list[Scores]") -> "Scores":
        """Put those of several answers (answer, image) to the same images under each other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))

    def __getitem__(self, place: Any) -> "Scores":
        return Scores(self.answer[place], self.loss[place], self.margin[place])


class NoScores(BadModel):
    """A network's answer holds no class scores."""


def class_scores(answer: Any, count: int) -> Tensor:
    """The tensor of a network's answer that has the scores of classes: (image, class, ...); differentiable.

    Args:
        answer: what the module gave.
        count: how many images it was given.
    Raises:
        NoScores: if it has none.
    """
    tensor = next(tensors_in(answer), None)
    if tensor is None or tensor.ndim < 2 or tensor.shape[1] < 2 or len(tensor) != count:
        raise NoScores("the network's answer holds no class scores: there is nothing that a change could be told by")
    return tensor


def class_numbers(source: ImageSource, classes: tuple[str, ...], count: int | None = None) -> NDArray[np.int64]:
    """The number of every image's class among the network's, -1 where it has none of them.

    A label is a class's name, a name with its number behind it where two classes bear one (``crane (134)``), or, where
    the classes have no names, the number itself.

    Args:
        source: the images.
        classes: the names that the network's outputs have; empty: none.
        count: how many outputs there are, where it is known: a larger number is none of them.
    """
    numbers = {name: _number(name, classes) for name in source.labels}
    most = count if count is not None else max(len(classes), 1 + max(numbers.values(), default=NONE))
    found = [numbers.get(source.label(image) or "", NONE) for image in range(len(source))]
    return np.array([number if number < most else NONE for number in found], np.int64)


def _number(label: str, classes: tuple[str, ...]) -> int:
    if not classes:
        return int(label) if label.isdecimal() else NONE
    if label in classes:
        return classes.index(label)
    written = re.fullmatch(r"(.*) \((\d+)\)", label)
    if written and int(written[2]) < len(classes) and classes[int(written[2])] == written[1]:
        return int(written[2])
    return NONE
