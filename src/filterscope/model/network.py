"""Network: a module with what it takes (preprocessing), what it tells (class names), and its layers."""

import hashlib
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cached_property

import torch
from torch import Tensor, nn

from filterscope.atlas.records import Layer, Node
from filterscope.errors import BadModel, UnknownName
from filterscope.images.preprocessing import Preprocessing
from filterscope.model.graph import find_graph
from filterscope.model.layers import describe, find_layers
from filterscope.model.running import module_named
from filterscope.model.tap import Reader, tap


class Network:
    """A network as something to look into. Nothing here changes the module.

    What is asked for once is kept (digest, layers, graph): after training or editing the module, make a new Network
    of it.

    Args:
        module: any `nn.Module` that takes (image, channel, height, width).
        preprocessing: what its input looks like; three channels, 224 by 224, values from 0 to 1 if it is not told.
        classes: names of its outputs, in their order.
        name: how it is called on the command line, for messages.
        note: something that whoever uses it has to know, e.g. that its weights are random.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocessing: Preprocessing | None = None,
        classes: Iterable[str] = (),
        name: str = "",
        note: str = "",
    ) -> None:
        self.module = module
        self.preprocessing = preprocessing or Preprocessing()
        self.classes = tuple(classes)
        self.name = name
        self.note = note
        self._described: dict[str, Layer] = {}

    def __repr__(self) -> str:
        height, width = self.preprocessing.input_size
        size = f"{self.preprocessing.channel_count} x {height} x {width}"
        return f"<Network {self.name or type(self.module).__name__}: {size}, {len(self.classes)} classes>"

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of weights, structure and preprocessing, in hexadecimal."""
        digest = hashlib.sha256()
        # A repr can hold addresses of functions, which differ from run to run.
        structure = re.sub(r"0x[0-9a-fA-F]+", "", repr(self.module))
        for text in (type(self.module).__qualname__, structure, repr(self.preprocessing)):
            digest.update(f"{len(text)}:{text}".encode())
        for key, value in sorted(self.module.state_dict().items()):
            if isinstance(value, Tensor):
                digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
                # bfloat16 has no numpy type: bytes have.
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((tensor.device for tensor in self._floating()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are, and the input has to be."""
        return next((tensor.dtype for tensor in self._floating()), torch.float32)

    def example(self, batch: int = 1, size: tuple[int, int] | None = None) -> Tensor:
        """Give zeros that the network takes: (image, channel, height, width), at ``size`` or its own input size."""
        shape = (batch, self.preprocessing.channel_count, *(size or self.preprocessing.input_size))
        try:
            return torch.zeros(shape, dtype=self.dtype, device=self.device)
        except (RuntimeError, MemoryError) as error:
            raise BadModel(f"an input of {' x '.join(map(str, shape))} does not fit into memory") from error

    def layers(self) -> list[Layer]:
        """List the convolutions in the order in which they run; the network runs once for it, and is then remembered.

        Raises:
            BadModel: if there is none, or the network refuses its input size.
        """
        return list(self._layers)

    def graph(self) -> list[Node]:
        """List the nodes of the graph in the order in which they run, see `filterscope.model.graph`.

        Raises:
            BadModel: if the network refuses its input size.
        """
        return list(self._graph)

    def layer(self, name: str) -> Layer:
        """Describe a module by its dotted name: a convolution of ``layers()``, or any other module.

        Raises:
            UnknownName: if there is none: the nearest names, and the command that lists them.
            BadModel: if it does not run.
        """
        if name not in self._described:
            self._check(name)
            found = {layer.name: layer for layer in self._layers} if self.has_convolution else {}
            self._described[name] = found.get(name) or describe(self.module, name, self.example())
        return self._described[name]

    def unit(self, text: str) -> tuple[Layer, int]:
        """Read a unit written ``LAYER:INDEX``, e.g. ``features.9.expand3x3:17``.

        Raises:
            UnknownName: if it is not written so, or there is no such layer or index.
        """
        name, colon, index = text.rpartition(":")
        if not colon or not name or not index.isdecimal():
            raise UnknownName(f"{text!r} is no unit; a unit is written LAYER:INDEX, e.g. {self._layers[0].name}:0")
        layer = self.layer(name)
        if int(index) >= layer.channels:
            raise UnknownName(f"no unit {text!r}; layer {name!r} has the units 0 to {layer.channels - 1}")
        return layer, int(index)

    def tap(self, names: Iterable[str], *, stop: bool = True) -> AbstractContextManager[Reader]:
        """Open the module for reading, see `filterscope.model.tap`; the first read stops early as well."""
        names = tuple(names)
        for name in names:
            self._check(name)
        return tap(self.module, names, stop=stop, calls={name: self.layer(name).calls for name in names})

    @cached_property
    def _layers(self) -> list[Layer]:
        return find_layers(self.module, self.example())

    @cached_property
    def _graph(self) -> list[Node]:
        return find_graph(self.module, self.example())

    @property
    def has_convolution(self) -> bool:
        """Whether there is a 2-d convolution at all."""
        return any(isinstance(child, (nn.Conv2d, nn.ConvTranspose2d)) for child in self.module.modules())

    def _check(self, name: str) -> None:
        module_named(self.module, name, self.name or "MODEL")

    def _floating(self) -> Iterable[Tensor]:
        tensors = (*self.module.parameters(), *self.module.buffers())
        return (tensor for tensor in tensors if tensor.is_floating_point())
