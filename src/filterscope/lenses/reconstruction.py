"""The network as it is for one image: the affine model W x + b, and the proof that it is equal."""

import html
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from filterscope.errors import BadImages, BadModel, FilterscopeError, UnknownName
from filterscope.images import Preprocessing
from filterscope.lenses.activations import as_html
from filterscope.lenses.given import as_input, as_network
from filterscope.lenses.goal import Goal, Position, goal_of
from filterscope.lenses.proof import Proof, proof_of
from filterscope.lenses.tiles import enlarged
from filterscope.lenses.weight_pictures import WeightPictures, weight_pictures
from filterscope.model import Network
from filterscope.model.gate_weights import MEMORY_LIMIT, Store, bias_of, columns_by_probing, rows_by_backward

Watch = Callable[[int, int], None]
"""Told how many outputs (or pixels) of W are done, and of how many."""

SHOWN, SHOWN_SIDE = 5, 112
"""Outputs shown in a notebook, and the longer side of a small picture."""


class Reconstruction(nn.Module):
    """The affine model that equals the network on one image. It runs, and can be saved, without the network.

    W x + b takes what the network takes: preprocessed images. ``weight`` is therefore in output per unit of the
    normalised pixel; for output per grey level (0 to 255) multiply channel c with (high - low) / (255 std_c) of the
    preprocessing.
    """

    weight: Float[Tensor, "output channel height width"]
    bias: Float[Tensor, "output"]
    image: Float[Tensor, "channel height width"]

    def __init__(
        self,
        weight: Float[Tensor, "output channel height width"],
        bias: Float[Tensor, "output"],
        image: Float[Tensor, "channel height width"],
        names: Sequence[str],
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("image", image)
        self.names = tuple(names)
        self.preprocessing = preprocessing
        """How pixels become what it takes; None: not known."""
        self.positions: tuple[tuple[int, int] | None, ...] = (None,) * len(self.names)
        """(row, column) of each output on its layer's map; None: it has no map, or the mean was taken."""
        self._proof: Proof | None = None

    @property
    def proof(self) -> Proof:
        """The measured difference from the network.

        Raises:
            FilterscopeError: if it was made without one.
        """
        if self._proof is None:
            raise FilterscopeError("this reconstruction was made with prove=False; make it again without that")
        return self._proof

    def forward(self, images: Tensor) -> Float[Tensor, "image output"]:
        """W x + b of one preprocessed image (channel, height, width), or of a batch of them.

        Raises:
            BadImages: if the size is not that of the image that the model was made for.
        """
        if images.shape[-3:] != self.weight.shape[1:] or images.ndim not in (3, 4):
            wanted = " x ".join(map(str, self.weight.shape[1:]))
            raise BadImages(f"the reconstruction takes images of {wanted}, not {' x '.join(map(str, images.shape))}")
        images = images if images.ndim == 4 else images[None]
        return torch.nn.functional.linear(images.flatten(1), self.weight.flatten(1), self.bias)

    def evidence(self) -> Float[Tensor, "output channel height width"]:
        """W x, pixel by pixel: what each adds to the output. Its sum and the bias are the output."""
        return self.weight * self.image

    def share(self) -> pd.DataFrame:
        """How much of each output comes from W x, and how much from b."""
        from_pixels = torch.nn.functional.linear(self.image.flatten(), self.weight.flatten(1))
        columns = {"from_pixels": from_pixels.tolist(), "from_bias": self.bias.tolist()}
        return pd.DataFrame(columns, index=pd.Index(self.names, name="output"))

    def pictures(self, outputs: Iterable[int | str] | None = None) -> WeightPictures:
        """W and W x of some outputs (None: all) as pictures, in true colours.

        Raises:
            UnknownName: if there is no such output.
        """
        rows = [self._number(output) for output in (range(len(self.names)) if outputs is None else outputs)]
        names = [self.names[row] for row in rows]
        return weight_pictures(self.weight[rows], self.bias[rows], self.image, names, self.preprocessing)

    def _number(self, output: int | str) -> int:
        """Where an output stands, by that number or by its name."""
        if isinstance(output, int) and 0 <= output < len(self.names):
            return output
        if output not in self.names:
            raise UnknownName.of("output", str(output), self.names, "only outputs that were reconstructed are here")
        return self.names.index(str(output))

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write it as safetensors: weight, bias and image; names, positions and preprocessing as JSON in the metadata.

        Raises:
            FilterscopeError: if the file is there already, or the disk has no room for it.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise FilterscopeError(f"{str(path)!r} is there already; give another path, or overwrite=True")
        path.parent.mkdir(parents=True, exist_ok=True)
        size, free = self.weight.numel() * self.weight.element_size(), shutil.disk_usage(path.parent).free
        if size > free:
            raise FilterscopeError(
                f"the model takes {size / 2**30:.1f} GiB and {str(path.parent)!r} has {free / 2**30:.1f} left; "
                "choose fewer units, or another path"
            )
        known: dict[str, Any] = {"names": self.names, "positions": self.positions}
        if self.preprocessing is not None:
            known["preprocessing"] = asdict(self.preprocessing)
        unfinished = path.with_name(path.name + ".part")
        try:
            tensors = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
            # The library makes files that only their owner can read: this one is to be like any other.
            unfinished.touch()
            mode = unfinished.stat().st_mode
            save_file(tensors, unfinished, {name: json.dumps(value) for name, value in known.items()})
            unfinished.chmod(mode)
            unfinished.replace(path)
        except OSError as error:
            raise FilterscopeError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "Reconstruction":
        """Read what ``save`` wrote. The proof is not in the file.

        Raises:
            FilterscopeError: if the file is no such one.
        """
        try:
            with safe_open(path, "pt") as file:
                weight, bias, image = (file.get_tensor(name) for name in ("weight", "bias", "image"))
                known = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
            positions, names = known["positions"], known["names"]
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise FilterscopeError(f"{str(path)!r} holds no reconstruction: {error}") from error
        told = known.get("preprocessing")
        if told is not None:
            lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
            told = Preprocessing(**{**told, **lists})
        model = cls(weight, bias, image, names, told)
        model.positions = tuple(None if place is None else (place[0], place[1]) for place in positions)
        return model

    def extra_repr(self) -> str:
        """What a module shows of itself."""
        return f"outputs={len(self.names)}, image={tuple(self.weight.shape[1:])}"

    def _repr_html_(self) -> str:
        strongest = torch.argsort(self(self.image)[0], descending=True)[:SHOWN].tolist()
        pictures = self.pictures(strongest)
        smooth = pictures.smoothed()
        factor = max(1, SHOWN_SIDE // max(self.weight.shape[2:]))
        rows = []
        for title, drawn in (("W", pictures.weights()), ("W x, smoothed, over the image", smooth.over_image())):
            cells = [
                f"<td>{as_html(enlarged(tile, factor), f'{name}: {title}')}<br>{html.escape(name)}</td>"
                for tile, name in zip(drawn.pictures, pictures.names, strict=True)
            ]
            rows.append(f"<tr><th>{title}<br>full colour: {drawn.full[0]:.2g}</th>{''.join(cells)}</tr>")
        told = html.escape(str(self._proof)) if self._proof else "not proven"
        return (
            f"<div><table>{''.join(rows)}</table><p>W: mid grey is zero; more of a pixel's colour raises the output. "
            f"W x: red raises the output, blue lowers it. A row has one scale.</p><pre>{told}</pre></div>"
        )


def reconstruct(
    network: Network | nn.Module | str | Path,
    image: Any,
    layer: str | None = None,
    units: Iterable[int | str] | str | None = None,
    *,
    position: Position = "max",
    method: Literal["backward", "probing"] = "backward",
    batch: int = 8,
    path: str | Path | None = None,
    prove: bool = True,
    watch: Watch | None = None,
) -> Reconstruction:
    """Make the affine model W x + b that the network is for one image.

    One forward pass records what the network decides for the image: the mask of every ReLU, the switches of every
    pooling, the value of every smooth gate. With these held fixed nothing but additions and multiplications by
    constants is left. W is read off either by one backward pass for each output or by probing with one pixel at a time;
    b is the gated network's answer to an image of zeros, so that W x + b = f(x) is a test.

    Args:
        network: a network, any module, or what :func:`filterscope.load` takes.
        image: a tensor (channel, height, width), or a batch of one, preprocessed as the network takes it; or a uint8
            array (height, width, channel), a Pillow image or the path of a file, which are preprocessed here.
        layer: a layer's name, or None for the network's own output. A convolution is read at its pre-activation.
        units: their indices, at the network's output also class names; "top5": the five strongest, or any other number
            of them; None: all.
        position: of units that have a map: ``max`` (each unit's own largest value), ``centre``, ``mean`` over the map,
            or (row, column). Of a layer that is called several times the first call is explained.
        method: ``backward``, or ``probing`` (slow: a forward pass for each pixel; no derivative is used).
        batch: so many outputs, or probes, at once.
        path: a new ``.npy`` file for W, written as it is made. Without one a W of more than 512 MiB goes to a temporary
            file.
        prove: measure the difference from the network, in its own precision and in float64 (which takes a copy of it).
        watch: told how far it is.
    Raises:
        BadModel: if something that the network does can be neither replayed nor shown to be affine: it is named; if W
            is not finite.
        BadImages: for anything but one image of a size that the network takes, without NaN, also in the answer.
        UnknownName: if there is no such layer, unit or class.
        FilterscopeError: if there is no room for W on disk.
    Source: Srinivas, Fleuret (2019), arXiv:1905.00780, for networks of ReLUs; docs/explanation/reconstruction.md.
    """
    if method not in ("backward", "probing"):
        raise FilterscopeError(f"the method is backward or probing, not {method!r}")
    if batch < 1:
        raise FilterscopeError(f"a batch is at least 1, not {batch}")
    network = as_network(network, image)
    x = as_input(network, image)
    goal = goal_of(network, x, layer, units, position)
    store = Store((len(goal.names), *x.shape[1:]), x.dtype, None if path is None else Path(path), MEMORY_LIMIT)
    fill(store, goal, x, method, batch, watch)
    bias = bias_of(goal.gates, goal.select).cpu()
    model = Reconstruction(store.finish(), bias, x[0].cpu(), goal.names, network.preprocessing)
    model.positions = goal.positions
    if prove:
        model._proof = proof_of(network.module, goal, model, x, batch)
    return model


def fill(store: Store, goal: Goal, x: Tensor, method: str, batch: int, watch: Watch | None) -> None:
    """Make W, row by row or column by column."""
    total = len(goal.names) if method == "backward" else x.numel()
    ways = {"backward": (rows_by_backward, store.put_rows, 0), "probing": (columns_by_probing, store.put_columns, 1)}
    make, put, axis = ways[method]
    done = 0
    for first, part in make(goal.gates, goal.select, x, batch):
        if not bool(torch.isfinite(part).all()):
            raise BadModel("W is not finite: somewhere the network divides by zero, or its values are too large")
        put(first, part)
        done += part.shape[axis]
        if watch:
            watch(done, total)
