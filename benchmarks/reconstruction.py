"""What reconstruction costs, and how exact it is: W x + b beside the network, over many architectures.

    python benchmarks/reconstruction.py [--outputs N] [--probes N] [--batch N] [--skip exact|cost|memory]

Exactness: each architecture at its own input size on a random image, in float64 and in its own float32, for a few
outputs (`Proof.relative64` and `Proof.relative`). Cost: all outputs of squeezenet1_1 for one image, beside bare
backward passes of the same network (no gradient for weights on either side) and beside orthonormal probing, of which a
part is measured and the rest extrapolated. Memory: its peak while W is made, for a part of the outputs and for all.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

import filterscope as fs
from filterscope.model import Network, load, record
from filterscope.model.gate_weights import bias_of, columns_by_probing, rows_by_backward

ARCHITECTURES = (
    "vgg16",
    "resnet50",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "convnext_tiny",
    "densenet121",
    "vit_b_16",
)

FOLDERS = ("squeezenet1_1", "resnet20_cifar10")


def main() -> None:
    """Measure exactness, cost and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=Path, default=Path("../shared/models"))
    parser.add_argument("--outputs", type=int, default=1000, help="of squeezenet1_1, for cost and memory")
    parser.add_argument("--probes", type=int, default=96, help="of the probing, the rest is extrapolated")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--skip", action="append", default=[], choices=["exact", "cost", "memory"])
    parser.add_argument("--memory-of", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.memory_of:
        show_memory(options)
        return
    print(f"{platform.machine()}, 1 thread, torch {torch.__version__}")
    if "exact" not in options.skip:
        measure_exactness(options.models)
    if "cost" not in options.skip:
        measure_cost(options)
    if "memory" not in options.skip:
        measure_memory(options)


def seconds(work: Callable[[], object]) -> float:
    """CPU time of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def measure_exactness(folder: Path) -> None:
    """The proof of every architecture, four outputs each."""
    print("network, float64, float32, gates, near zero, flipped, elsewhere from gated / from original, CPU s")
    for name in (*ARCHITECTURES, *FOLDERS):
        network = random_network(name) if name in ARCHITECTURES else load(str(folder / name))
        height, width = network.preprocessing.input_size
        image = torch.randn(3, height, width)
        begun = time.process_time()
        proof = fs.reconstruct(network, image, units=[0, 1, 2, 3]).proof
        print(
            f"{name}, {proof.relative64:.1e}, {proof.relative:.1e}, {proof.gates}, {proof.near_zero}, {proof.flipped}, "
            f"{proof.elsewhere64:.1e} / {proof.original_elsewhere64:.1e}, {time.process_time() - begun:.1f}, "
            f"{'ok' if proof.ok else 'NOT EQUAL'}"
        )


def random_network(name: str) -> Network:
    """One of torchvision's, its statistics as if it were trained: an untrained one forgets its image."""
    module: Any = getattr(torchvision.models, name)()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    if name == "vit_b_16":
        nn.init.normal_(module.heads.head.weight, std=0.1)
    return Network(module, name=name)


def measure_cost(options: argparse.Namespace) -> None:
    """Ours, bare backward passes in turn with it, and a part of the probing."""
    network = load(str(options.models / "squeezenet1_1"))
    module = network.module.eval()
    image = torch.randn(1, 3, 224, 224)
    gates: list[Any] = []
    recording = seconds(lambda: gates.append(record(module, image)))

    def select(outputs: Any) -> Tensor:
        answer: Tensor = outputs[""]
        return answer[:, : options.outputs]

    single, batched = bare(module, image, 1), bare(module, image, options.batch)
    rows = rows_by_backward(gates[0], select, image, options.batch)
    ours, alone, together = 0.0, [], []
    for number in range(-(-options.outputs // options.batch)):
        # In turns: the machine is shared, and its speed changes.
        if number % 4 == 0:
            alone.append(seconds(single))
            together.append(seconds(batched) / options.batch)
        ours += seconds(lambda: next(rows))
    extra = recording + seconds(lambda: bias_of(gates[0], select))
    each = (ours + extra) / options.outputs
    one, many = sorted(alone)[len(alone) // 2], sorted(together)[len(together) // 2]
    print(f"squeezenet1_1, {options.outputs} outputs: {ours + extra:.1f} CPU s, of it gates and b {extra:.2f}")
    print(f"an output: {1000 * each:.2f} ms; bare backward pass {1000 * one:.2f} ms, in batches {1000 * many:.2f} ms")
    print(f"in bare backward passes: {each / one:.2f}, in bare batched ones {each / many:.2f} (at most 1.5 asked for)")
    probe = columns_by_probing(gates[0], select, image, options.batch)
    next(probe)
    batches = options.probes // options.batch
    part = seconds(lambda: [next(probe) for _ in range(batches)]) / (batches * options.batch)
    whole = part * image.numel()
    print(
        f"probing: {1000 * part:.2f} ms a probe, measured on {batches * options.batch} of {image.numel()}; "
        f"extrapolated {whole:.0f} CPU s: {whole / (ours + extra):.0f} times as much (at least 50 asked for)"
    )


def bare(module: nn.Module, image: Tensor, batch: int) -> Callable[[], object]:
    """A backward pass of the network as it is, from ``batch`` of its outputs to the image, for each an image."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    x = image.repeat(batch, 1, 1, 1).requires_grad_()
    answers = module(x)
    seeds = torch.eye(answers.shape[1])[:batch]
    return lambda: torch.autograd.grad(answers, x, seeds, retain_graph=True)


def measure_memory(options: argparse.Namespace) -> None:
    """Peak memory of making W: it must not grow with the number of outputs."""
    for outputs in (max(1, options.outputs // 4), options.outputs):
        command = [sys.executable, __file__, "--memory-of", str(outputs), "--models", str(options.models)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def show_memory(options: argparse.Namespace) -> None:
    """Make W of some outputs in a file, in a process of its own."""
    network = load(str(options.models / "squeezenet1_1"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.npy"
        fs.reconstruct(
            network,
            torch.randn(3, 224, 224),
            units=range(options.memory_of),
            path=path,
            prove=False,
            batch=options.batch,
        )
        size = path.stat().st_size / 2**20
        # Not ru_maxrss: a process starts with the peak of the one that started it.
        status = Path("/proc/self/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        print(f"{options.memory_of} outputs: W of {size:.0f} MiB on disk, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
