"""What an optimum costs, and what it is worth, beside those of other tools.

    python benchmarks/optima.py [MODEL] [--peers PYTHON] [--layers NAME ...] [--units N] [--slow N]
    python benchmarks/optima.py [MODEL] --sweep NEW.atlas [--images DIR]
    python benchmarks/optima.py --gpu

The first compares: all tools take turns in one run on the units of each layer, and every image is scored alike. Then it
shows where our time goes and how it grows (`optima_cost.py`). Peers run in an environment of their own (`peers.txt`);
without ``--peers`` there is our side alone. The second makes an optimum for every filter of the feature layers, beside
its strongest real patches. The third needs a graphics card.

CPU time is that of each process' own clock. Ours is that of the whole search, its measuring included.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import optima_cost
import pandas as pd
import torch
import torch.nn.functional as F
from optima_cost import print_table

import filterscope as fs
from filterscope.ascent import fit_canvas, recipe
from filterscope.ascent.ascend import seen
from filterscope.ascent.search import search

Images = npt.NDArray[np.float32]
"""(unit, height, width, RGB) within [0, 1]"""

ASKED = {"lucent-default": 100, "lucent-128": 10}
"""How many times less CPU time a filter than these, at a score at least equal, in the median over the layers."""

DRAWS, SHIFT, RESCALED = 16, 8, (0.9, 1.1)
"""How images are disturbed for their second score: so many times, by up to so many pixels, by such factors."""

OURS = "filterscope"


@dataclass(frozen=True)
class Turn:
    """What a tool made in one go: images of units, each by its number, and what they cost together."""

    tool: str
    units: tuple[int, ...]
    seconds: float
    steps: float
    clean: npt.NDArray[np.float64]
    """By unit: its largest activation on the image."""
    disturbed: npt.NDArray[np.float64]
    """The same, the mean over random shifts and scales."""


def main() -> None:
    """Compare, or sweep, or measure the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default="../shared/models/squeezenet1_1")
    layers = [f"features.{block}.expand3x3" for block in (3, 7, 11)]
    parser.add_argument("--layers", nargs="+", default=layers, help="that are compared")
    parser.add_argument("--units", type=int, default=16, help="of each layer")
    parser.add_argument("--slow", type=int, default=16, help="units of each layer for the peers that are slow")
    parser.add_argument("--peers", metavar="PYTHON", help="of the peers' environment")
    # With more threads their waiting for each other counts as CPU time too; the peers have one.
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sweep", type=Path, metavar="ATLAS", help="make an optimum for every filter of features.*")
    parser.add_argument("--images", default="../shared/images/imagenet_samples", help="for the sweep")
    parser.add_argument("--gpu", action="store_true", help="all filters of vgg16, preset full")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}")
    if options.gpu:
        optima_cost.measure_card()
    elif options.sweep:
        sweep(options)
    else:
        compare(options)
        optima_cost.where_time_goes(fs.load(options.model), options.layers, options.units)
        optima_cost.growth(fs.load(options.model))


def compare(options: argparse.Namespace) -> None:
    """All tools, layer by layer."""
    network = fs.load(options.model)
    ratios: dict[str, list[float]] = {}
    with workers(options.peers, options.model) as ask:
        for name in options.layers:
            layer = network.layer(name)
            units = range(min(options.units, layer.channels))
            canvas = fit_canvas(network, [layer])
            print(f"{name}: {len(units)} units, canvas {canvas.size[0]} x {canvas.size[1]} px, preset quick")
            # What is imported or cached at first use is no image's cost, on either side.
            ours(network, name, units[:1], 0, steps=1)
            turns = [
                peer(network, ask, tool, name, chosen) if tool != OURS else ours(network, name, chosen, seed)
                for tool, chosen, seed in order(units, options.slow)
                if tool == OURS or ask
            ]
            for tool, ratio in table(turns).items():
                ratios.setdefault(tool, []).append(ratio)
    for tool, found in ratios.items():
        asked = f" (asked for: {ASKED[tool]})" if tool in ASKED else ""
        print(f"CPU time a filter, {tool} by ours, median over layers: {statistics.median(found):.1f}{asked}")


def order(units: Sequence[int], slow: int) -> Iterator[tuple[str, Sequence[int], int]]:
    """Tool, units and seed, turn by turn: ours between the others, so that the machine's drift hits all alike."""
    few = units[:slow]
    half = len(few) // 2
    yield "lucent-default", few[:half], 0
    yield OURS, units, 0
    yield "lucent-128", units, 0
    yield OURS, units, 1
    yield "lucent-default", few[half:], 0
    yield "dreamlens", few, 0
    yield OURS, units, 2
    yield "torch-dreams", few, 0


def ours(network: fs.Network, name: str, units: Sequence[int], seed: int, steps: int | None = None) -> Turn:
    """All units in one batch, from the noise to the figures."""
    layer = network.layer(name)
    how = recipe("quick", steps=steps)
    begun = time.process_time()
    canvas = fit_canvas(network, [layer], size=how.canvas)
    found = search(network, layer, canvas, how, units, seeds=[seed])
    seconds = time.process_time() - begun
    images = np.asarray(seen(np.stack([one.picture for one in found]), canvas.size) / 255, np.float32)
    return Turn(
        OURS, tuple(units), seconds, statistics.mean(one.steps for one in found), *scores(network, name, images, units)
    )


Ask = Callable[[str, str, Sequence[int]], tuple[dict[str, float], Images]]
"""From a peer's name, a layer and units to what it took and the images."""


def peer(network: fs.Network, ask: Ask | None, tool: str, name: str, units: Sequence[int]) -> Turn | None:
    """The same by another tool; None where it fails or there is nothing to do.

    Each image is scored as it is and at the size at which the tool showed it to the network; the better one counts.
    """
    if ask is None or not units:
        return None
    try:
        cost, images = ask(tool, name, units)
    except RuntimeError as error:
        print(f"  {tool} fails: {error}")
        return None
    found = [
        scores(network, name, resized(images, size), units) for size in {images.shape[1], int(cost["native_size"])}
    ]
    clean, disturbed = (np.max([one[place] for one in found], axis=0) for place in (0, 1))
    return Turn(tool, tuple(units), cost["cpu_seconds"], cost["steps"], clean, disturbed)


@contextmanager
def workers(python: str | None, model: str) -> Iterator[Ask | None]:
    """Start the peers' worker, and end it afterwards; None without one."""
    if python is None:
        yield None
        return
    command = [python, str(Path(__file__).with_name("optima_peers.py")), model]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory() as folder,
        (Path(folder) / "said.txt").open("w+") as said,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, env=environment
        ) as worker,
    ):
        assert worker.stdin is not None
        assert worker.stdout is not None
        requests, answers = worker.stdin, worker.stdout

        def ask(tool: str, layer: str, units: Sequence[int]) -> tuple[dict[str, float], Images]:
            out = Path(folder) / "optima.npz"
            request = {"peer": tool, "layer": layer, "units": list(units), "out": str(out)}
            print(json.dumps(request), file=requests, flush=True)
            line = answers.readline()
            if not line:
                said.seek(0)
                sys.exit(f"the peers' worker has ended with exit code {worker.wait()}: {said.read()[-1000:]}")
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(answer["error"])
            with np.load(out) as arrays:
                return answer, arrays["images"]

        yield ask


def resized(images: Images, side: int) -> Images:
    """Images (square) with sides of so many pixels."""
    if images.shape[1] == side:
        return images
    x = torch.from_numpy(images).movedim(3, 1)
    smooth = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return np.asarray(smooth.movedim(1, 3).numpy(), np.float32)


def scores(
    network: fs.Network, name: str, images: Images, units: Sequence[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """By unit its largest activation anywhere on its own image, and the mean of that over shifts and scales.

    Edges are repeated before a shift, so that nothing of an image is lost. All images meet the same draws.
    """
    x = torch.from_numpy(images).movedim(3, 1)
    draws = np.random.default_rng(0)
    changed = []
    for _ in range(DRAWS):
        down, right = (int(shift) for shift in draws.integers(-SHIFT, SHIFT + 1, 2))
        side = round(images.shape[1] * float(draws.uniform(*RESCALED)))
        moved = F.pad(x, (SHIFT + right, SHIFT - right, SHIFT + down, SHIFT - down), mode="replicate")
        changed.append(resized(moved.movedim(1, 3).numpy(), side + round(2 * SHIFT * side / images.shape[1])))
    every = [largest(network, name, some, units) for some in (images, *changed)]
    return every[0], np.mean(every[1:], axis=0)


def largest(network: fs.Network, name: str, images: Images, units: Sequence[int]) -> npt.NDArray[np.float64]:
    """By unit, the largest value of its pre-activation on its image."""
    preprocessing = network.preprocessing
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    x = (torch.from_numpy(images).movedim(3, 1) - mean) / std
    layer = network.layer(name)
    with network.tap([layer.observed]) as read, torch.inference_mode():
        output = read(x)[layer.observed]
    assert isinstance(output, torch.Tensor)
    own = output[range(len(units)), list(units)]
    return np.asarray(own.flatten(1).amax(1).double().numpy())


def table(turns: Sequence[Turn | None]) -> dict[str, float]:
    """Print what each tool's images cost and are worth; returns, by peer, its CPU time a filter by ours."""
    mine = [turn for turn in turns if turn and turn.tool == OURS]
    cost = statistics.median(turn.seconds / len(turn.units) for turn in mine)
    own = np.mean([turn.clean for turn in mine], axis=0), np.mean([turn.disturbed for turn in mine], axis=0)
    rows: list[dict[str, object]] = [
        {
            "tool": OURS,
            "units": len(mine[0].units),
            "CPU s/filter": f"{cost:.4f}",
            "steps": f"{np.mean([turn.steps for turn in mine]):.0f}",
            "clean": f"{np.median(own[0]):.2f}",
            "disturbed": f"{np.median(own[1]):.2f}",
        }
    ]
    ratios = {}
    for tool in dict.fromkeys(turn.tool for turn in turns if turn and turn.tool != OURS):
        some = [turn for turn in turns if turn and turn.tool == tool]
        chosen = [unit for turn in some for unit in turn.units]
        seconds = sum(turn.seconds for turn in some) / len(chosen)
        ratios[tool] = seconds / cost
        row = {"tool": tool, "units": len(chosen), "CPU s/filter": f"{seconds:.4f}", "steps": f"{some[0].steps:.0f}"}
        for place, name in enumerate(("clean", "disturbed")):
            theirs = np.concatenate([(turn.clean, turn.disturbed)[place] for turn in some])
            there = own[place][chosen]
            row[name] = f"{np.median(theirs):.2f}"
            row[f"ours, {name}"] = f"{np.median(there):.2f}"
            row[f"ours >=, {name}"] = f"{np.mean(there >= theirs):.0%}"
        rows.append({**row, "CPU ratio": f"{ratios[tool]:.1f}"})
    print_table(rows)
    spread = ", ".join(f"{turn.seconds / len(turn.units):.4f}" for turn in mine)
    print(f"  ours in its {len(mine)} turns: {spread} CPU s/filter; its scores are the mean of as many seeds")
    return ratios


def sweep(options: argparse.Namespace) -> None:
    """An optimum for every filter of the feature layers, and what the atlas says of them."""
    network = fs.load(options.model)
    wanted = ["features.*"]
    spent = {}
    for lens in ("patches", "optima"):
        begun = cpu_of_all()
        lenses = ["patches"] if lens == "patches" else ["patches", "optima"]
        atlas = fs.inspect(network, options.images, options.sweep, layers=wanted, lenses=lenses)
        spent[lens] = cpu_of_all() - begun
    optima = atlas.optima()
    optima = optima[optima["rank"] == 1]
    print(f"{len(optima)} filters of {optima['layer'].nunique()} layers, preset quick")
    groups = [(str(name), group) for name, group in optima.groupby("layer", sort=False)]
    print_table([verdict(name, group) for name, group in [*groups, ("all", optima)]])
    print("asked for, of all: ratio > 1 in at least 95 % of those that fire, rank 1 in at least 80 %")
    print(
        f"CPU minutes: optima {spent['optima'] / 60:.1f} (asked for: at most 20), patches before them "
        f"{spent['patches'] / 60:.1f}"
    )


def verdict(name: str, optima: pd.DataFrame) -> dict[str, object]:
    """What the optima of some filters are worth."""
    fires = optima[optima["natural"] > 0]
    return {
        "layer": name,
        "units": len(optima),
        "fire": len(fires),
        "ratio > 1": f"{(fires['ratio'] > 1).mean():.1%}",
        "rank 1": f"{(optima['selectivity_rank'] == 1).mean():.1%}",
        "no stimulus": int((optima["status"] == "no stimulus found").sum()),
        "robustness": f"{optima['robustness'].median():.2f}",
        "path": f"{optima['path_similarity'].median():.2f}",
        "path of patches": f"{optima['path_natural'].median():.2f}",
        "began from a patch": int((optima["start"] == "patch").sum()),
        "ascent CPU s": f"{optima['seconds'].sum():.1f}",
    }


def cpu_of_all() -> float:
    """CPU seconds of this process and of those that it has started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
