"""What a second network says of an image that was made to convince the first."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from filterscope.ascent.objectives import class_number, is_distribution
from filterscope.errors import UnknownName
from filterscope.images.preprocessing import fit
from filterscope.images.tensors import normalise
from filterscope.model import Network
from filterscope.model.running import buffers_kept, evaluating, tensors_in


@dataclass(frozen=True)
class Verdict:
    """A second network's opinion: the probability it gives the class, the class' rank (1: the likeliest), its own
    first choice."""

    judge: str
    probability: float
    rank: int
    first: str

    @property
    def agrees(self) -> bool:
        """Whether it would say the same."""
        return self.rank == 1

    def __str__(self) -> str:
        if self.agrees:
            return f"{self.judge} agrees ({self.probability:.2f})"
        return f"convinces only its own network: {self.judge} says {self.first} (this class: rank {self.rank})"


def judged_class(judge: Network, name: str) -> int:
    """The number of a class among the judge's.

    Raises:
        UnknownName: if it knows no class of that name.
    """
    if judge.classes and name not in judge.classes:
        raise UnknownName.of("class", name, judge.classes, "the judge has other classes: choose one that shares them")
    return class_number(judge, name)


def probabilities(network: Network, picture: UInt8[np.ndarray, "height width channel"]) -> Float[Tensor, "class"]:
    """The network's probabilities for a picture of its input size; one that gives logits goes through a softmax.

    Raises:
        BadImages: if the picture's channels do not fit it.
    """
    x = normalise(picture[None], network.preprocessing, device=network.device, dtype=network.dtype)
    with evaluating(network.module), buffers_kept(network.module), torch.no_grad():
        answer = next(tensors_in(network.module(x))).float()
    answer = answer.flatten(2).mean(2) if answer.ndim > 2 else answer
    shares: Tensor = (answer if is_distribution(answer) else answer.softmax(1))[0]
    return shares


def judge_class(judge: Network, name: str, picture: UInt8[np.ndarray, "height width channel"]) -> Verdict:
    """Ask ``judge`` what it sees; the picture is fitted to it.

    Raises:
        UnknownName: if it knows no class of that name.
        BadImages: if the picture's channels do not fit it.
    """
    number = judged_class(judge, name)
    shares = probabilities(judge, fit(picture, judge.preprocessing))
    first = int(shares.argmax())
    return Verdict(
        judge.name or type(judge.module).__name__,
        float(shares[number]),
        int((shares > shares[number]).sum()) + 1,
        judge.classes[first] if judge.classes else str(first),
    )
