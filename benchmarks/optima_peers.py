"""The peers' side of optima.py: a worker that renders optima with other tools, one JSON request a line.

It runs in an environment of its own (peers.txt), never in the project's, and imports nothing of the project:

    python benchmarks/optima_peers.py MODEL

Request: {"peer": "lucent-128", "layer": "features.7.expand3x3", "units": [3, 5], "out": "optima.npz"}, and if wanted
"seed" (0) and "steps" (the peer's own). Answer: {"cpu_seconds", "steps", "images", "native_size"} or {"error"}. The
images lie in the file ``out`` as ``images``, float32 (unit, height, width, RGB) within [0, 1]. ``native_size`` is the
height in pixels that the whole image has where the peer shows it to the network unscaled by its random transforms.

CPU time is that of the process, on one thread, of the rendering alone. Peers run on the CPU, with the C library's
memory settings as they are.
"""

import copy
import importlib
import importlib.util
import json
import os
import random
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

# lucent moves its images to a graphics card as soon as it sees one, the network stays where it is.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Images = npt.NDArray[np.float32]
"""(unit, height, width, RGB) within [0, 1]"""
Render = Callable[[nn.Module, str, Sequence[int], int], Images]
"""(network, layer, units, steps) -> images"""


@dataclass(frozen=True)
class Peer:
    """A tool at one setting: ``load`` imports it and returns how it renders; ``steps`` are its own."""

    load: Callable[[], Render]
    steps: int
    native_size: int


def lucent_default() -> Render:
    """Lucent as its first example shows it, one unit after the other: 128 pixels, upsampled to 224, 512 steps."""
    render = importlib.import_module("lucent.optvis.render")

    def images(module: nn.Module, layer: str, units: Sequence[int], steps: int) -> Images:
        rendered = []
        for unit in units:
            # Of a copy each: lucent leaves its hooks on the network, and every later render would be slower for it.
            objective = f"{layer.replace('.', '_')}:{unit}"
            rendered += render.render_vis(
                copy.deepcopy(module), objective, thresholds=(steps,), show_image=False, progress=False
            )
        return np.concatenate(rendered)

    return images


def lucent_128() -> Render:
    """Lucent at its strongest for its time: all units in a batch, 128 pixels to the network, weights frozen."""
    objectives = importlib.import_module("lucent.optvis.objectives")
    param = importlib.import_module("lucent.optvis.param")
    render = importlib.import_module("lucent.optvis.render")

    def images(module: nn.Module, layer: str, units: Sequence[int], steps: int) -> Images:
        name = layer.replace(".", "_")
        channels = [objectives.channel(name, unit, batch=entry) for entry, unit in enumerate(units)]
        rendered: list[Images] = render.render_vis(
            copy.deepcopy(module).requires_grad_(False),
            objectives.Objective.sum(channels),
            lambda: param.image(128, batch=len(units), fft=True, decorrelate=True),
            thresholds=(steps,),
            fixed_image_size=128,
            show_image=False,
            progress=False,
        )
        return rendered[-1]

    return images


def dreamlens() -> Render:
    """DreamLens at its defaults, all units in a batch: 256 pixels, 120 steps, the mean of the channel.

    Its first example takes the channel's norm, which strongly negative values raise as well: its other reduction, the
    default of ``maximize_channels``, is the one that can be compared.
    """
    library = importlib.import_module("dreamlens")

    def images(module: nn.Module, layer: str, units: Sequence[int], steps: int) -> Images:
        visualizer = library.FeatureVisualizer(module, quiet=True, normalize=True)
        result = visualizer.maximize_channels(layer, units, config=library.RenderConfig(steps=steps))
        nchw: Tensor = result.as_nchw()
        return nchw.permute(0, 2, 3, 1).numpy()

    return images


def torch_dreams() -> Render:
    """torch-dreams at its defaults, all units in a batch: 256 pixels, 120 steps, the mean of the channel."""
    library = importlib.import_module("torch_dreams")
    batched_objective = importlib.import_module("torch_dreams.batched_objective")
    batched_image_param = importlib.import_module("torch_dreams.batched_image_param")

    def channel(unit: int) -> Callable[[list[Tensor]], Tensor]:
        return lambda outputs: -outputs[0][:, unit].mean()

    def images(module: nn.Module, layer: str, units: Sequence[int], steps: int) -> Images:
        result = library.Dreamer(module, quiet=True, device="cpu").render(
            layers=[module.get_submodule(layer)],
            image_parameter=batched_image_param.BatchedAutoImageParam(batch_size=len(units), device="cpu"),
            iters=steps,
            custom_func=batched_objective.BatchedObjective([channel(unit) for unit in units]),
        )
        return np.stack([result[entry].to_hwc_tensor().numpy() for entry in range(len(units))])

    return images


PEERS = {
    # lucent pads its 128 pixels to 152, then resizes those to the network's input: 128 * 224 / 152 and 128 * 128 / 152.
    "lucent-default": Peer(lucent_default, steps=512, native_size=189),
    "lucent-128": Peer(lucent_128, steps=128, native_size=108),
    "dreamlens": Peer(dreamlens, steps=120, native_size=256),
    "torch-dreams": Peer(torch_dreams, steps=120, native_size=256),
}


def main() -> None:
    """Answer every line of standard input with one on standard output, until there is no more."""
    if len(sys.argv) != 2:
        sys.exit("usage: optima_peers.py MODEL (a folder with model.toml)")
    torch.set_num_threads(1)
    answers = answers_alone()
    module = load(Path(sys.argv[1]))
    warm: dict[str, Render] = {}
    for line in sys.stdin:
        try:
            answer = answered(json.loads(line), module, warm)
        # Whatever a peer fails with must not end the comparison of the others.
        except Exception as error:  # noqa: BLE001
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def answers_alone() -> TextIO:
    """Standard output as it was; what else is printed from here on, by compiled code too, lands on standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def load(folder: Path) -> nn.Module:
    """The network that the folder's model.toml names the builder of: FILE.py:FUNCTION."""
    file, _, function = tomllib.loads((folder / "model.toml").read_text())["builder"].partition(":")
    spec = importlib.util.spec_from_file_location("builder", folder / file)
    if spec is None or spec.loader is None:
        sys.exit(f"{folder / file} is not a Python file")
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    module: nn.Module = getattr(builder, function)()
    return module.eval()


def answered(request: dict[str, Any], module: nn.Module, warm: dict[str, Render]) -> dict[str, Any]:
    """Render what is asked for, save it, and say what it took. ``warm`` keeps the peers that have run before."""
    if request["peer"] not in PEERS:
        raise ValueError(f"no peer {request['peer']!r}; there are {', '.join(PEERS)}")
    peer = PEERS[request["peer"]]
    layer, units, steps = request["layer"], list(request["units"]), request.get("steps", peer.steps)
    if request["peer"] not in warm:
        render = peer.load()
        # What is imported, compiled or cached at first use is nobody's cost of an image.
        render(module, layer, units[:1], 1)
        warm[request["peer"]] = render
    seed(request.get("seed", 0))
    begun = time.process_time()
    images = warm[request["peer"]](module, layer, units, steps)
    spent = time.process_time() - begun
    # The tools that do not freeze the weights leave gradients on them.
    module.zero_grad(set_to_none=True)
    np.savez(request["out"], images=images.astype(np.float32))
    return {"cpu_seconds": spent, "steps": steps, "images": len(images), "native_size": peer.native_size}


def seed(number: int) -> None:
    """Each peer draws from a different one of these."""
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


if __name__ == "__main__":
    main()
