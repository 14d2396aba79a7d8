"""Where the time of an ascent goes, how it grows with the work, and how busy a graphics card is: for optima.py."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import numpy as np
import pandas as pd
import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

import filterscope as fs
from filterscope.ascent import Canvas, Job, Recipe, ascend, fit_canvas, recipe
from filterscope.ascent.ascend import Ascent, Climber, quantised
from filterscope.ascent.objectives import units as units_objective
from filterscope.ascent.parametrisations import Parametrisation, Space
from filterscope.ascent.quality import measure
from filterscope.ascent.search import search
from filterscope.atlas.records import Layer

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

FORWARD, BACKWARD, POOLING = "convolutions forward", "convolutions backward", "ReLU, pooling, concatenation"
COLOURS, JITTER, STEP, MEASURING = "Fourier transforms and colours", "jitter", "optimiser step", "measuring"
REST = "reading, normalising, Python"

OPERATIONS = {
    "aten::conv2d": FORWARD,
    "ConvolutionBackward0": BACKWARD,
    **dict.fromkeys(("aten::relu", "aten::relu_", "aten::max_pool2d", "aten::cat"), POOLING),
    **dict.fromkeys(("ReluBackward0", "MaxPool2DWithIndicesBackward0", "CatBackward0"), POOLING),
    **dict.fromkeys(("FftC2RBackward0", "SigmoidBackward0", "BmmBackward0", "ViewAsComplexBackward0"), COLOURS),
    **dict.fromkeys(("StackBackward0", "SliceBackward0", "UnbindBackward0"), JITTER),
    **{label: label for label in (COLOURS, JITTER, STEP, MEASURING)},
}
"""What an operation, or the backward pass of one, is counted as; those within it go with it."""

DEEPER = ("features.0", *(f"features.{block}.expand3x3" for block in (3, 4, 6, 7, 9, 10, 11, 12)))
"""Layers of squeezenet1_1 from shallow to deep."""

LARGE = 1000
"""Pixels of a canvas beyond which the fixed cost of a step no longer matters much."""

MIDDLE = "features.7.expand3x3"
"""The one of which numbers of units and steps are compared."""


def where_time_goes(network: fs.Network, layers: Sequence[str], units: int) -> None:
    """Print the share of each part of the work, layer by layer. The profiler's own cost falls on all alike."""
    shares = []
    for name in layers:
        layer = network.layer(name)
        chosen = range(min(units, layer.channels))
        make(network, layer, chosen, recipe("quick", steps=2))
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            begun = time.perf_counter()
            pictures = make(network, layer, chosen, labelled_parts(recipe("quick")))
            canvas = fit_canvas(network, [layer])
            labelled(MEASURING, measure)(network, layer, canvas, pictures, chosen)
            whole = 1e6 * (time.perf_counter() - begun)
        spent = counted(profiled.events() or ())
        spent[REST] += whole - sum(spent.values())
        shares.append({part: time_of / whole for part, time_of in spent.items()})
    print("where our time goes, of the whole:")
    parts = (FORWARD, BACKWARD, POOLING, COLOURS, JITTER, STEP, MEASURING, REST)
    print_table(
        [
            {"part": part, **{name: f"{share.get(part, 0):.1%}" for name, share in zip(layers, shares, strict=True)}}
            for part in parts
        ]
    )


def print_table(rows: Sequence[dict[str, object]]) -> None:
    """Rows with a column a key, blank where one lacks it."""
    print(pd.DataFrame(list(rows)).fillna("").to_string(index=False))


def make(network: fs.Network, layer: Layer, units: Sequence[int], how: Recipe, **options: int) -> np.ndarray:
    """Pictures of units."""
    ascents = climbed(network, layer, fit_canvas(network, [layer], size=how.canvas), units, how, **options)
    return np.stack([quantised(ascent.image) for ascent in sorted(ascents, key=lambda ascent: ascent.job.item)])


def climbed(
    network: fs.Network, layer: Layer, canvas: Canvas, units: Sequence[int], how: Recipe, **options: int
) -> list[Ascent]:
    """The ascents of units."""
    jobs = [Job(f"{layer.name}:{unit}", 0, item) for item, unit in enumerate(units)]
    return list(ascend(network, units_objective(layer.name, units, how.position), jobs, canvas, how, **options))


def labelled(label: str, work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The same work, under a name in the profile."""

    def named(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        with record_function(label):
            return work(*arguments, **options)

    return named


def labelled_parts(how: Recipe) -> Recipe:
    """The same recipe, its parts under their names in the profile."""

    def parametrise(space: Space) -> Parametrisation:
        plain = how.parametrise(space)
        return replace(plain, image=labelled(COLOURS, plain.image))

    return replace(
        how,
        parametrise=parametrise,
        transform=lambda size: labelled(JITTER, how.transform(size)),
        optimiser=labelled(STEP, how.optimiser),
    )


def counted(events: Iterable[FunctionEvent]) -> dict[str, float]:
    """Microseconds of each part: an operation is counted where the outermost one around it belongs."""
    spent: defaultdict[str, float] = defaultdict(float)
    for event in events:
        around = [event]
        while around[-1].cpu_parent is not None:
            around.append(around[-1].cpu_parent)
        names = [one.name.removeprefix("autograd::engine::evaluate_function: ") for one in reversed(around)]
        part = next((OPERATIONS[name] for name in names if name in OPERATIONS), REST)
        spent[part] += event.self_cpu_time_total
    return spent


@dataclass(frozen=True)
class Point:
    """What an ascent of some units took."""

    layer: str
    pixels: int
    units: int
    steps: int
    seconds: float
    flops: int
    """Of one unit's step."""

    @property
    def each(self) -> float:
        """CPU seconds of one unit's step."""
        return self.seconds / (self.units * self.steps)

    @property
    def row(self) -> dict[str, object]:
        """A row of the table."""
        return {
            "layer": self.layer,
            "units": self.units,
            "steps": self.steps,
            "pixels": self.pixels,
            "CPU ms a unit's step": f"{1000 * self.each:.3f}",
            "ns a unit's step and pixel": f"{1e9 * self.each / self.pixels:.1f}",
            "MFLOP a unit's step": f"{self.flops / 1e6:.2f}",
            "GFLOP/s": f"{self.flops / self.each / 1e9:.1f}",
        }


def growth(network: fs.Network) -> None:
    """Print how the CPU time of a step grows with depth, units and steps."""
    known = {layer.name for layer in network.layers()}
    points = [measured(network, network.layer(name), 16, 16) for name in DEEPER if name in known]
    middle = network.layer(MIDDLE) if MIDDLE in known else network.layers()[-1]
    others = [
        measured(network, middle, units, steps)
        for units, steps in ((4, 16), (8, 16), (32, 16), (64, 16), (16, 8), (16, 32), (16, 64))
    ]
    print("how our time grows (preset quick, all steps made):")
    print_table([point.row for point in (*points, *others)])
    large = [point for point in points if point.pixels >= LARGE]
    if len(large) > 2:
        spent = np.log([point.each for point in large])
        by_pixels, by_flops = (
            np.polyfit(np.log(work), spent, 1)[0]
            for work in ([point.pixels for point in large], [point.flops for point in large])
        )
        print(
            f"  over the {len(large)} layers of at least {LARGE} pixels, CPU time grows as pixels to the power of "
            f"{by_pixels:.2f}, as FLOPs to the power of {by_flops:.2f} (1: in proportion)"
        )


def measured(network: fs.Network, layer: Layer, units: int, steps: int, times: int = 3) -> Point:
    """The least CPU time of some equal ascents."""
    how = replace(recipe("quick", steps=steps), patience=None)
    chosen = range(min(units, layer.channels))
    make(network, layer, chosen, replace(how, steps=1), slots=16)
    spent = []
    for _ in range(times):
        begun = time.process_time()
        make(network, layer, chosen, how, slots=16)
        spent.append(time.process_time() - begun)
    canvas = fit_canvas(network, [layer])
    pixels = canvas.size[0] * canvas.size[1]
    return Point(layer.name, pixels, len(chosen), steps, min(spent), flops(network, layer, canvas, how))


def flops(network: fs.Network, layer: Layer, canvas: Canvas, how: Recipe) -> int:
    """Of the network in one step of one unit, forward and backward; two for a multiplication with its addition."""
    objective = units_objective(layer.name, [0], how.position)
    image = torch.rand(1, network.preprocessing.channel_count, *canvas.size, device=network.device).requires_grad_()
    with (
        Climber(network, objective, canvas, how) as climber,
        FlopCounterMode(display=False) as counter,
        torch.enable_grad(),
    ):
        score = climber.scores(image, torch.zeros(1, dtype=torch.long, device=network.device))
        torch.autograd.grad(score.sum(), [image])
    return int(counter.get_total_flops())


def measure_card(model: str = "torchvision:vgg16", steps: int | None = None) -> None:
    """Print how long all filters of a network take on the graphics card, and how near its peak convolutions come."""
    if not torch.cuda.is_available():
        print("there is no graphics card that torch can use here: nothing measured")
        return
    print(torch.cuda.get_device_name())
    network = fs.load(model)
    network.module.to("cuda")
    how = recipe("full", steps=steps)
    whole = Load()
    for layer in network.layers():
        load = loaded(network, layer, how)
        print(f"  {layer.name:14}{load.line}")
        whole = whole + load
    print(f"  {'all':14}{whole.line}")
    for name, peak in peaks().items():
        print(
            f"  peak by a large matrix product in {name}: {peak / 1e12:.1f} TFLOP/s; the convolutions alone reach "
            f"{whole.flops_profiled / max(whole.convolving, 1e-9) / peak:.1%} of it, the whole search "
            f"{whole.flops / whole.seconds / peak:.1%}"
        )
    print(f"  float32 convolutions in TF32: {torch.backends.cudnn.allow_tf32}")


@dataclass(frozen=True)
class Load:
    """What the optima of a layer took on the card: filters, seconds, FLOPs; and of a profiled part of it, the FLOPs and
    the seconds within convolutions."""

    filters: int = 0
    seconds: float = 0.0
    flops: float = 0.0
    flops_profiled: float = 0.0
    convolving: float = 0.0

    def __add__(self, other: "Load") -> "Load":
        return Load(
            self.filters + other.filters,
            self.seconds + other.seconds,
            self.flops + other.flops,
            self.flops_profiled + other.flops_profiled,
            self.convolving + other.convolving,
        )

    @property
    def line(self) -> str:
        """The figures in one line."""
        alone = self.flops_profiled / max(self.convolving, 1e-9) / 1e12
        return (
            f"{self.filters:6} filters{self.seconds:9.1f} s{self.flops / self.seconds / 1e12:8.2f} TFLOP/s; "
            f"convolutions alone {alone:.2f} TFLOP/s"
        )


def loaded(network: fs.Network, layer: Layer, how: Recipe) -> Load:
    """All filters of a layer."""
    canvas = fit_canvas(network, [layer], size=how.canvas)
    each = flops(network, layer, canvas, how)
    units = range(layer.channels)
    few = replace(how, steps=4, patience=None)
    climbed(network, layer, canvas, units, few)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        climbed(network, layer, canvas, units, few)
    # The forward pass' operation is inside aten::convolution, the backward one's inside aten::convolution_backward.
    events = [
        event for event in profiled.key_averages() if event.key in ("aten::convolution", "aten::convolution_backward")
    ]
    convolving = sum(event.device_time_total for event in events) / 1e6
    torch.cuda.synchronize()
    begun = time.perf_counter()
    found = search(network, layer, canvas, how, units)
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begun
    made = sum(one.steps for one in found)
    return Load(len(units), seconds, float(made * each), float(few.steps * len(units) * each), convolving)


def peaks(side: int = 8192, times: int = 20) -> dict[str, float]:
    """FLOP/s of a large matrix product on the card, by precision."""
    found = {}
    before = torch.get_float32_matmul_precision()
    for name, dtype, precision in (
        ("float32", torch.float32, "highest"),
        ("TF32", torch.float32, "high"),
        ("bfloat16", torch.bfloat16, before),
    ):
        torch.set_float32_matmul_precision(precision)
        a, b = (torch.randn(side, side, device="cuda", dtype=dtype) for _ in range(2))
        a @ b
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(times):
            a @ b
        torch.cuda.synchronize()
        found[name] = 2 * side**3 * times / (time.perf_counter() - begun)
    torch.set_float32_matmul_precision(before)
    return found
