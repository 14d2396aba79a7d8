"""What the last weights of a forward pass read: the features that a network's answer is made of."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

READERS = ("linear", "conv2d")


class LastRead(TorchFunctionMode):
    """While it is on, ``taken`` is the input of the last linear map or convolution that ran: (image, unit[, y, x]).

    It sees functional calls as well, and touches neither module nor tensors. The input is the network's own tensor:
    to be read before the network runs again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.taken: Tensor | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in READERS:
            self.taken = args[0] if args else (kwargs or {})["input"]
        return func(*args, **(kwargs or {}))
