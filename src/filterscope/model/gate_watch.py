"""A watcher below autograd: which basic operations that act on activations are affine, and which are not."""

from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from filterscope.model.bounds import Operation
from filterscope.model.gate_call import is_active, words
from filterscope.model.running import tensors_in

AFFINE = frozenset(
    words("""
    view _unsafe_view reshape _reshape_alias _reshape_copy permute transpose t expand squeeze unsqueeze select slice
    split split_with_sizes unbind as_strided detach alias diagonal unfold narrow clone contiguous _to_copy copy copy_
    lift lift_fresh flip roll rot90 cat stack index_select gather index index_put _index_put_impl scatter scatter_add
    index_add index_copy slice_scatter select_scatter masked_fill masked_select masked_scatter take repeat
    constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d im2col col2im pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d
    _upsample_bilinear2d_aa _upsample_bicubic2d_aa avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d
    _adaptive_avg_pool3d adaptive_avg_pool1d max_unpool2d max_unpool3d mean sum cumsum add sub rsub neg fill zero
    tril triu diag_embed trace where view_as_real view_as_complex _fft_r2c _fft_c2r _fft_c2c _conj real imag
    fft_fftshift empty_like zeros_like ones_like full_like rand_like randn_like new_zeros new_ones new_empty new_full
    new_empty_strided set_ is_same_size
    """)
)
"""Operations that are affine in all tensors together (what they take beside them are numbers, sizes and indices)."""

ONE_OF = {
    "mul": ("self", "other"),
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "mv": ("self", "vec"),
    "dot": ("self", "tensor"),
    "addmm": ("mat1", "mat2"),
    "addmv": ("mat", "vec"),
    "baddbmm": ("batch1", "batch2"),
    "addbmm": ("batch1", "batch2"),
    "addcmul": ("tensor1", "tensor2"),
    "linear": ("input", "weight"),
    "convolution": ("input", "weight"),
    "_convolution": ("input", "weight"),
    "_trilinear": ("i1", "i2", "i3"),
    "lerp": ("weight",),
}
"""Operations that are affine while at most one of these is an activation."""

FIXED = {
    "div": ("other",),
    "native_batch_norm": ("weight", "bias", "running_mean", "running_var"),
    "grid_sampler_2d": ("grid",),
    "grid_sampler_3d": ("grid",),
    "lerp": ("weight",),
}
"""Operations that are affine while none of these is an activation."""


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types here, nor below
    """Notes each operation on activations that is not affine, while ``open``; nothing else is touched.

    Everything that a network does in PyTorch comes through here, also what is called from C++ (a compiled module), and
    whatever it is made of.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler, which takes seconds: the network is run here, not compiled."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.open = True
        self.seen: list[str] = []
        self.reads = False
        """Whether a value was taken out of a tensor: by bool(), float(), item()."""
        self.outside: Callable[[str], None] | None = None
        """Told of an operation that no torch function called."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.open and any(is_active(tensor) for tensor in tensors_in((args, kwargs))):
            self._look(Operation.of(func, args, kwargs))
        return func(*args, **kwargs)

    def _look(self, operation: Operation) -> None:
        if operation.name == "_local_scalar_dense":
            self.reads = True
        if not is_affine(operation):
            self.seen.append(operation.name)
            if self.outside is not None:
                self.outside(operation.name)


def is_affine(operation: Operation) -> bool:
    """Whether an operation is affine in the activations that it takes."""
    name, given = operation.name, operation.given

    def active(argument: str) -> bool:
        return any(is_active(tensor) for tensor in tensors_in(given.get(argument)))

    if name == "div" and given.get("rounding_mode"):
        return False
    if name == "native_batch_norm" and given["training"]:
        return False
    if name == "native_dropout" and not given["train"]:
        return True
    if name in ONE_OF or name in FIXED:
        fixed = any(map(active, FIXED.get(name, ())))
        return not fixed and sum(map(active, ONE_OF.get(name, ()))) <= 1
    return name in AFFINE
