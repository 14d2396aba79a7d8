"""The forms in which a network is handed on: source, weights, torch.export, ONNX; each run and compared."""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from filterscope.errors import BadModel, FilterscopeError, MissingExtra
from filterscope.model import Network
from filterscope.model.running import copied, one_line, run_once, tensors_in
from filterscope.surgery.oracle import apart
from filterscope.surgery.source import source_of

CLOSE = 1e-5
"""Largest difference between a form's answers and the network's, as a share of the largest answer: float32 in another
order of operations."""

COMPARED = (1, 3)
"""Batch sizes at which they are compared: a form that takes only the one it was made with is not written."""

EXTRA = "export"
"""What brings ONNX."""


@dataclass(frozen=True)
class Form:
    """One file, or why there is none.

    Attributes:
        name: what it is.
        file: its name in the folder.
        difference: from the network's answers, as a share of the largest; None: it was not written.
        reason: why it was not written.
    """

    name: str
    file: str
    difference: float | None
    reason: str = ""

    @property
    def written(self) -> bool:
        """Whether the file is there, was run and answers alike."""
        return self.difference is not None


class Forms:
    """Writes a network into a folder in several forms.

    Args:
        network: what is written.
        folder: where to.
        original: the network as it was before it was cut, for comments in the source.
    """

    def __init__(self, network: Network, folder: Path, original: Network | None = None) -> None:
        self.network = network
        self.folder = folder
        self.original = original
        # Files are for any machine: what is compared runs on the CPU, as they do.
        self.module = copied(network.module).cpu().eval()
        dice = torch.Generator().manual_seed(0)
        shape = network.example().shape[1:]
        self.inputs = [torch.randn(batch, *shape, generator=dice).to(network.dtype) for batch in COMPARED]
        self.answers = [self._plain(run_once(self.module, one)) for one in self.inputs]
        self._program: Any = None

    def write(self) -> list[Form]:
        """Write all forms, each compared; what fails is listed with its reason and leaves no file."""
        ways: list[tuple[str, str, Callable[[Path], Callable[[Tensor], Any]]]] = [
            ("source", "build.py", self._source),
            ("weights", "model.safetensors", self._weights),
            ("torch.export program", "model.pt2", self._export),
            ("ONNX", "model.onnx", self._onnx),
        ]
        forms = [self._one(*way) for way in ways]
        if forms[0].written and not forms[1].written:
            (self.folder / "build.py").unlink()
            forms[0] = Form("source", "build.py", None, "its weights could not be written")
        return forms

    def _one(self, name: str, file: str, way: Callable[[Path], Callable[[Tensor], Any]]) -> Form:
        path = self.folder / file
        try:
            with warnings.catch_warnings():
                # Exporters warn of their own future.
                warnings.simplefilter("ignore")
                difference = self.difference(way(path))
            if not difference <= CLOSE:
                raise BadModel(f"its answers differ by {difference:.1e} of their size from the network's")
        except Exception as error:  # noqa: BLE001  # exporters raise anything; one form less is no failure of the rest
            path.unlink(missing_ok=True)
            reason = str(error) if isinstance(error, FilterscopeError) else f"{type(error).__name__}: {one_line(error)}"
            return Form(name, file, None, reason)
        return Form(name, file, difference)

    def difference(self, run: Callable[[Tensor], Any]) -> float:
        """How far answers are from the network's, at their worst."""
        return max(apart(kept, self._plain(run(one))) for kept, one in zip(self.answers, self.inputs, strict=True))

    @staticmethod
    def _plain(answer: Any) -> list[Tensor]:
        return [one.detach().cpu() for one in tensors_in(answer)]

    def _source(self, path: Path) -> Callable[[Tensor], Any]:
        name = Path(self.network.name).name or type(self.module).__name__
        before = self.original.module if self.original is not None else None
        path.write_text(source_of(self.module, f"{name}, trimmed.", before))
        built = built_from(path)
        state = self.module.state_dict()
        built.load_state_dict({key: state[key] for key in built.state_dict()})
        built.to(self.network.dtype)
        return lambda images: run_once(built, images)

    def _weights(self, path: Path) -> Callable[[Tensor], Any]:
        source = self.folder / "build.py"
        state = self.module.state_dict()
        # Heads that do not run in eval mode are not in the source, nor need their weights be in the file.
        keys = built_from(source).state_dict() if source.exists() else state
        # Not save_file: what it writes only its owner may read.
        path.write_bytes(save({key: state[key].clone().contiguous() for key in keys}))
        again = built_from(source) if source.exists() else copied(self.module)
        again.to(self.network.dtype).load_state_dict(load_file(path))
        return lambda images: run_once(again, images)

    def _export(self, path: Path) -> Callable[[Tensor], Any]:
        torch.export.save(self._exported(), path)
        again = torch.export.load(path).module()
        return self._without_gradients(again)

    def _exported(self) -> Any:
        if self._program is None:
            batch = torch.export.Dim("batch")
            # An example of one image would fix the batch at one.
            example = self.inputs[-1][:2]
            self._program = torch.export.export(self.module, (example,), dynamic_shapes=({0: batch},))
        return self._program

    def _onnx(self, path: Path) -> Callable[[Tensor], Any]:
        for library in ("onnx", "onnxscript", "onnxruntime"):
            if importlib.util.find_spec(library) is None:
                raise MissingExtra.of(library, EXTRA)
        from onnxruntime import InferenceSession, SessionOptions

        program = torch.onnx.export(self._exported(), input_names=["images"], dynamo=True, verbose=False)
        assert program is not None
        program.save(path, external_data=False)
        quiet = SessionOptions()
        quiet.log_severity_level = 3
        session = InferenceSession(path, quiet, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0].name
        return lambda images: [torch.from_numpy(one) for one in session.run(None, {given: images.numpy()})]

    @staticmethod
    def _without_gradients(run: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
        def answer(images: Tensor) -> Any:
            with torch.no_grad():
                return run(images)

        return answer


def built_from(path: Path) -> nn.Module:
    """What a written source builds, without weights."""
    spec = spec_from_file_location("trimmed_network", path)
    assert spec is not None
    assert spec.loader is not None
    code = module_from_spec(spec)
    # Not the loader: it would leave a __pycache__ beside the file.
    exec(compile(path.read_text(), str(path), "exec"), code.__dict__)
    # Weights are drawn, only to be overwritten: the user's random numbers stay where they are.
    with torch.random.fork_rng(devices=[]):
        built: nn.Module = code.build()
    return built


def toml_of(network: Network, *, classes: bool) -> str:
    """The model.toml that tells how the folder is opened again."""
    how = network.preprocessing
    lines = ['builder = "build.py:build"', 'weights = "model.safetensors"']
    if classes:
        lines.append('classes = "classes.json"')
    lines += [f"{key} = {list(getattr(how, key))}" for key in ("input_size", "mean", "std", "value_range")]
    if how.resize is not None:
        lines.append(f"resize = {how.resize}")
    lines += [f'{key} = "{getattr(how, key)}"' for key in ("channels", "interpolation")]
    return "\n".join(lines) + "\n"


def missing(forms: Sequence[Form]) -> list[str]:
    """One line for every form that was not written."""
    return [f"{one.file} was not written: {one.reason}" for one in forms if not one.written]
