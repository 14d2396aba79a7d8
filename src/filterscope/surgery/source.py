"""A network written out as plain PyTorch: a Python file that builds it at its new widths, without its own code."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, fx, nn

from filterscope.errors import BadModel
from filterscope.model.running import evaluating, one_line

INDENT = "        "

FILE = '''"""{title}

Written by filterscope trim. It needs {needs} and nothing else:

    from build import load
    network = load()  # with the weights of model.safetensors beside this file

Preprocessing is in model.toml, and the order of the classes, where they have names, in classes.json.
"""

from pathlib import Path

import torch
from torch import nn
{imports}

class {name}(nn.Module):
    """The network in eval mode, layer by layer."""

    def __init__(self):
        super().__init__()
{modules}

{forward}

def build():
    """The network without its weights."""
    return {name}().eval()


def load(folder=Path(__file__).parent):
    """The network with its weights."""
    from safetensors.torch import load_file

    network = build()
    network.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return network
'''


def source_of(module: nn.Module, title: str, original: nn.Module | None = None) -> str:
    """Write a module as Python: every layer that runs in eval mode with its widths, and the forward pass.

    Its state has the names that the module's has. Layers of ``torch.nn`` stay layers; code of others is followed into
    the functions that it calls (`torch.fx`).

    Args:
        module: what is written; it is left as it is.
        title: the first line of the file.
        original: the network as it was: layers whose width differs bear the old one in a comment.
    Raises:
        BadModel: if it cannot be followed, or what it needs cannot be written: one line with the reason.
    """
    try:
        with evaluating(module):
            graph = fx.GraphModule(module, fx.Tracer(param_shapes_constant=True).trace(module)).graph
    except Exception as error:
        raise BadModel(f"its code cannot be followed by torch.fx: {one_line(error)}") from error
    graph.eliminate_dead_code()
    code = graph.python_code("self")
    forward = "\n".join(line for line in code.src.splitlines() if line and not line.startswith("torch.fx."))
    imports, libraries = _imports(code.globals, forward)
    return FILE.format(
        title=title.replace('"""', "'''"),
        needs=" and ".join(["PyTorch", *libraries]),
        imports="".join(f"{line}\n" for line in imports),
        name=_class_name(module),
        modules="\n".join(f"{INDENT}{line}" for line in _modules(module, graph, original)),
        forward="\n".join(f"    {line}" for line in forward.splitlines()) + "\n",
    )


def _class_name(module: nn.Module) -> str:
    name = type(module).__name__
    return "Network" if hasattr(nn, name) or not name.isidentifier() else name


def _modules(module: nn.Module, graph: fx.Graph, original: nn.Module | None) -> Iterator[str]:
    """The lines that make all layers, and containers for them."""
    called = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    wanted = {above for name in called | read for above in _above(name)} - called - read
    old = dict(original.named_modules()) if original is not None else {}
    for name, child in module.named_modules(remove_duplicate=False):
        if name in called:
            yield _set(name, _constructor(name, child)) + _was(child, old.get(name))
        elif name in wanted and name:
            yield _set(name, "nn.Module()")
    buffers = {name for name, _ in module.named_buffers(remove_duplicate=False)}
    persistent = set(module.state_dict())
    for name in sorted(read):
        tensor = _tensor(module, name)
        empty = f"torch.zeros({tuple(tensor.shape)}, dtype={tensor.dtype})"
        above, _, own = name.rpartition(".")
        if name in buffers:
            if name not in persistent:
                raise BadModel(f"{name} is no part of the network's state, so that no file of weights holds it")
            yield f'{_place(above)}.register_buffer("{own}", {empty})'
        else:
            yield f'{_place(above)}.register_parameter("{own}", nn.Parameter({empty}))'


def _above(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts)))


def _tensor(module: nn.Module, name: str) -> Tensor:
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part)
    if not isinstance(value, Tensor):
        raise BadModel(f"{name}, which is used, is {type(value).__name__} and cannot be written")
    return value


def _constructor(name: str, layer: nn.Module) -> str:
    """The expression that makes a layer: what it prints, if that makes the same layer again, without what is usual."""
    try:
        call = ast.parse(f"nn.{layer!r}", mode="eval").body
        if not isinstance(call, ast.Call) or not _makes(call, layer):
            raise ValueError("it is not what it prints")
    except Exception as error:
        raise BadModel(f"{name}, {type(layer).__name__}, cannot be written: {one_line(error)}") from error
    for given in list(call.keywords):
        # Other releases of PyTorch know other arguments: fewer of them are read by more.
        shorter = ast.Call(call.func, call.args, [one for one in call.keywords if one is not given])
        call = shorter if _makes(shorter, layer) else call
    return ast.unparse(call)


def _makes(call: ast.Call, layer: nn.Module) -> bool:
    """Whether an expression makes a layer like this one; on "meta" it takes no memory and no random numbers."""
    try:
        with torch.device("meta"):
            again = eval(ast.unparse(call), {"nn": nn})  # the printed form of a layer of torch.nn
    except TypeError:
        return False
    return repr(again) == repr(layer) and _shapes(again) == _shapes(layer)


def _shapes(layer: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in layer.state_dict().items()}


def _was(layer: nn.Module, old: nn.Module | None) -> str:
    for width in ("out_channels", "out_features"):
        now, before = getattr(layer, width, None), getattr(old, width, None)
        if before is not None and now != before:
            return f"  # {before} before"
    return ""


def _place(name: str) -> str:
    """The expression for a module of this name."""
    place = "self"
    for part in filter(None, name.split(".")):
        place = f"{place}.{part}" if part.isidentifier() else f'getattr({place}, "{part}")'
    return place


def _set(name: str, value: str) -> str:
    above, _, own = name.rpartition(".")
    if own.isidentifier():
        return f"{_place(above)}.{own} = {value}"
    return f'{_place(above)}.add_module("{own}", {value})'


def _imports(names: dict[str, Any], forward: str) -> tuple[list[str], list[str]]:
    """The lines that bring what the forward pass calls, and the libraries beside torch that it takes."""
    lines, libraries = [], set()
    for name, value in names.items():
        if name == "torch" or not re.search(rf"(?<![\w.]){re.escape(name)}\b", forward):
            continue
        if name in ("inf", "nan"):
            lines.append(f'{name} = float("{name}")')
        elif value is type(None):
            lines.append(f"{name} = type(None)")
        elif value is torch.device:
            lines.append(f"from torch import device as {name}")
        else:
            lines.append(_import(name, value))
            libraries.add(lines[-1].split()[1].partition(".")[0])
    return lines, sorted(libraries - {"torch", *sys.stdlib_module_names})


def _import(name: str, value: Any) -> str:
    where, own = getattr(value, "__module__", None), getattr(value, "__name__", "")
    if where is None and own:
        return f"import {own} as {name}"
    root = str(where).partition(".")[0]
    try:
        found = getattr(import_module(str(where)), own) is value
    except Exception:  # noqa: BLE001  # whatever a module of somebody's raises, it cannot be imported from
        found = False
    if not found or root.startswith("filterscope"):
        raise BadModel(f"it calls {own or name} of {where}, which cannot be imported elsewhere")
    return f"from {where} import {own} as {name}"
