"""Gates: a gated network equals the network on its image, is affine, and what cannot be replayed is named.

The oracle for W is never the code under test: the Jacobian of the network itself where it is piecewise linear,
superposition and the original's answer elsewhere, and plain backward hooks for guided backprop and the deconvnet.
"""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hard_networks import CeilPooling, Gated, Hourglass, Inception, Residual, Shared, Shuffled, Straight
from torch import Tensor, nn

from filterscope.errors import BadImages, BadModel
from filterscope.model import Network, record, replay
from filterscope.model.gates import WHOLE


class Between(nn.Module):
    """A convolution, any function, a convolution; the function gets maps of about -3 to 3, both signs."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.first = nn.Conv2d(2, 4, 3)
        self.last = nn.LazyConv2d(3, 1)

    def forward(self, x):
        return self.last(self.function(3 * self.first(x)))


def seeded(network, shape=(2, 6, 6)):
    torch.manual_seed(0)
    for parameter in network.parameters():
        if not isinstance(parameter, nn.parameter.UninitializedParameter):
            nn.init.normal_(parameter, std=0.3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    network.double().eval()
    image = torch.randn(1, *shape, dtype=torch.float64)
    with torch.no_grad():
        network(image)
    return network, image


def answer(gates, images, backward="exact"):
    return replay(gates, images, backward)[WHOLE]


def jacobian(function, image):
    return torch.autograd.functional.jacobian(function, image)


def check_affine(network, image):
    """The gated network equals the network on its image, obeys superposition, and is not the network elsewhere."""
    gates = record(network, image)
    with torch.no_grad():
        original = network(image.clone())
    torch.testing.assert_close(gates.outputs[WHOLE], original, rtol=0, atol=0)
    torch.testing.assert_close(answer(gates, image), original, rtol=1e-10, atol=1e-12)
    one, two, zero = torch.randn_like(image), torch.randn_like(image), torch.zeros_like(image)
    bias = answer(gates, zero)
    mixed = answer(gates, 2 * one - 3 * two) - bias
    parts = 2 * (answer(gates, one) - bias) - 3 * (answer(gates, two) - bias)
    torch.testing.assert_close(mixed, parts, rtol=1e-10, atol=1e-10)
    weight = jacobian(lambda x: answer(gates, x), image)
    affine = (weight * image).flatten(-4).sum(-1) + bias
    torch.testing.assert_close(affine, original, rtol=1e-10, atol=1e-11)
    there = (weight * one).flatten(-4).sum(-1) + bias
    torch.testing.assert_close(there, answer(gates, one), rtol=1e-10, atol=1e-10)
    return gates, weight


def halved(x):
    return x[:, :2], x[:, 2:]


def squeeze_and_excite(x):
    gate = torch.sigmoid(F.adaptive_avg_pool2d(x, 1))
    return x * gate


def swapped_gate(x):
    return torch.sigmoid(x.mean((2, 3), keepdim=True)) * x


def changed_views(x):
    one, two = x.chunk(2, 1)
    one.relu_()
    two += one
    return x


def written_into(x):
    out = torch.zeros_like(x)
    out[:, ::2] = x[:, 1::2].relu()
    out[:, 1::2] = x[:, ::2].tanh()
    return out


def by_hand(x):
    return torch.where(x > 0, x, 0.1 * x) + torch.where(x.abs() < 1, x, torch.zeros_like(x))


def branching(x):
    return x.relu() if x.mean() > 0 else (-x).relu()


def attention(x):
    tokens = x.flatten(2).transpose(1, 2)
    weights = (tokens @ tokens.transpose(1, 2) / 2).softmax(-1)
    return (weights @ tokens).transpose(1, 2).reshape(x.shape)


def dot_product(x):
    tokens = x.flatten(2).transpose(1, 2)[:, None]
    causal = F.scaled_dot_product_attention(tokens, 2 * tokens, tokens, is_causal=True)
    mask = torch.eye(tokens.shape[2], dtype=torch.float64)
    masked = F.scaled_dot_product_attention(tokens, tokens, 0.5 * tokens, attn_mask=mask, scale=0.3)
    return (causal + masked)[:, 0].transpose(1, 2).reshape(x.shape)


def channel_norm(x):
    mean = x.mean(1, keepdim=True)
    return (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-6)


PIECEWISE = {
    "relu": F.relu,
    "relu in place": lambda x: F.relu(x, inplace=True),
    "torch.relu_": lambda x: torch.relu_(x),
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "aten": torch.ops.aten.relu,
    "module": nn.ReLU(inplace=True),
    "clamp": lambda x: x.clamp(min=0),
    "clamp both": lambda x: torch.clamp(x, -1, 0.5),
    "clamp_min": lambda x: x.clamp_min(0),
    "clip in place": lambda x: x.clip_(0, 2),
    "relu6": F.relu6,
    "hardtanh": nn.Hardtanh(-0.5, 0.7, inplace=True),
    "leaky": lambda x: F.leaky_relu(x, 0.1, inplace=True),
    "prelu": nn.PReLU(4),
    "rrelu": nn.RReLU(),
    "threshold": nn.Threshold(0.3, 5.0),
    "max_pool": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_pool ceil": nn.MaxPool2d(3, 2, ceil_mode=True),
    "max_pool and unpool": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    "max_pool1d": lambda x: F.max_pool1d(x.flatten(2), 2).reshape(x.shape[0], 4, 2, -1),
    "max_pool3d": lambda x: F.max_pool3d(x[:, None], (2, 2, 2))[:, 0],
    "adaptive max": lambda x: F.adaptive_max_pool2d(x, 3),
    "max along": lambda x: x.max(dim=1, keepdim=True).values * torch.ones(1, 4, 1, 1, dtype=x.dtype),
    "max without axis": lambda x: x + x.min(dim=2).values[:, :, None],
    "amax": lambda x: x - x.amax((2, 3), keepdim=True),
    "whole max": lambda x: x - x.max(),
    "maxout": lambda x: torch.maximum(*halved(x)) + torch.min(*halved(x)),
    "topk": lambda x: x.flatten(2).topk(8, dim=-1).values.reshape(x.shape[0], 4, 2, 4),
    "sort": lambda x: x.sort(dim=2, descending=True)[0],
    "abs": torch.abs,
    "where": by_hand,
    "mask": lambda x: x * (x > 0),
    "mask index": lambda x: x.masked_fill(x < 0, 0.0),
    "branch": branching,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "hardsigmoid": F.hardsigmoid,
    "several": lambda x: F.relu(F.max_pool2d(F.relu(x - 0.5), 2)).sub(0.1).relu_(),
    "changed views": changed_views,
    "resize": lambda x: F.interpolate(F.relu(x), scale_factor=2, mode="bilinear"),
    "numpy of weights": lambda x: F.relu(x) * torch.from_numpy(np.full((1, 4, 1, 1), 2.0)),
    "no_grad": torch.no_grad()(lambda x: F.relu(x)),
    "detached": lambda x: F.relu(x.detach()) + x.data,
}
"""Piecewise linear functions: the gated network's W is the Jacobian of the network itself."""

CUT = ("no_grad", "detached", "changed views")
"""Those whose Jacobian autograd does not give."""

SMOOTH = {
    "silu": nn.SiLU(inplace=True),
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hardswish": nn.Hardswish(inplace=True),
    "hardswish by hand": lambda x: x * F.relu6(x + 3) / 6,
    "sigmoid": torch.sigmoid,
    "sigmoid_": lambda x: x.sigmoid_(),
    "tanh": nn.Tanh(),
    "softplus": F.softplus,
    "mish": F.mish,
    "elu": lambda x: F.elu(x, inplace=True),
    "selu": F.selu,
    "celu": lambda x: F.celu(x, 0.7),
    "logsigmoid": F.logsigmoid,
    "softsign": F.softsign,
    "softmax": lambda x: x.softmax(1),
    "softmin": lambda x: F.softmin(x, 1),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "glu": lambda x: F.glu(x, 1),
    "square": lambda x: x**2 + x.square() + x.pow(3) + x * x,
    "exp": lambda x: torch.exp(x) + 2**x,
    "roots": lambda x: x.abs().add(0.1).sqrt() + (x * x + 1).rsqrt() + x.abs().log1p() + (x.abs() + 2).log(),
    "root of zero": lambda x: x.relu().sqrt(),
    "reciprocal": lambda x: 1 / (x.abs() + 1) + (x.exp() + 1).reciprocal() + torch.div(2.0, x.abs() + 1),
    "quotient": lambda x: x / (1 + x.abs().sum(1, keepdim=True)),
    "normalize": F.normalize,
    "std": lambda x: (x - x.mean()) / x.std() + x.var((2, 3), keepdim=True) + x.logsumexp(1, keepdim=True),
    "squeeze and excite": squeeze_and_excite,
    "swapped": swapped_gate,
    "in place gate": lambda x: x.mul_(torch.sigmoid(x)),
    "gate changed in place": lambda x: torch.sigmoid(x).mul_(x),
    "attention": attention,
    "dot product": dot_product,
    "einsum": lambda x: torch.einsum("nchw,ndhw->ncdh", x, x.softmax(1)),
    "dynamic filter": lambda x: F.conv2d(x, x.mean((2, 3)).tanh().reshape(4, 1, 1, 1), groups=4),
    "layer_norm": nn.LayerNorm([4, 4, 4]),
    "group_norm": nn.GroupNorm(2, 4),
    "instance_norm": nn.InstanceNorm2d(4, affine=True),
    "instance_norm with statistics": nn.InstanceNorm2d(4, track_running_stats=True),
    "rms_norm": nn.RMSNorm([4]),
    "batch_norm": nn.BatchNorm2d(4),
    "batch_norm without statistics": nn.BatchNorm2d(4, track_running_stats=False),
    "local_response_norm": nn.LocalResponseNorm(2),
    "norm by hand": channel_norm,
    "written into": written_into,
    "lp_pool": nn.LPPool2d(2, 2),
}


@pytest.mark.parametrize("name", PIECEWISE)
def test_gates_of_piecewise_linear_functions_give_the_jacobian_of_the_network(name):
    network, image = seeded(Between(PIECEWISE[name]))
    _, weight = check_affine(network, image)
    if name not in CUT:
        torch.testing.assert_close(weight, jacobian(network, image.clone()), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_are_affine_and_exact_with_their_gates_fixed(name):
    check_affine(*seeded(Between(SMOOTH[name])))


@pytest.mark.parametrize("make", [Residual, Inception, Gated, CeilPooling, Hourglass, Shared, Shuffled])
def test_hard_networks_are_affine_and_exact_with_their_gates_fixed(make):
    check_affine(*seeded(make(), (3, 16, 16)))


class Tokens(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.stem, self.layer, self.head = nn.Conv2d(2, 8, 2, 2), layer, nn.Linear(8, 3)

    def forward(self, x):
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        tokens = self.layer(tokens)
        return self.head((tokens[0] if isinstance(tokens, tuple) else tokens).mean(1))


class SelfAttention(nn.Module):
    def __init__(self, need_weights):
        super().__init__()
        self.attention, self.need_weights = nn.MultiheadAttention(8, 2, batch_first=True), need_weights

    def forward(self, x):
        return self.attention(x, x, x, need_weights=self.need_weights)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: SelfAttention(True),
        lambda: SelfAttention(False),
        # In eval mode and without gradients these run as one fused function.
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", norm_first=True),
    ],
)
def test_attention_modules_are_affine_and_exact_also_where_they_are_fused(layer):
    network, image = seeded(Tokens(layer()))
    gates = record(network, image)
    with torch.no_grad():
        torch.testing.assert_close(gates.outputs[WHOLE], network(image), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(answer(gates, image), gates.outputs[WHOLE], rtol=1e-12, atol=1e-12)
    one, zero = torch.randn_like(image), torch.zeros_like(image)
    twice = 2 * answer(gates, one) - answer(gates, zero)
    torch.testing.assert_close(answer(gates, 2 * one), twice, rtol=1e-10, atol=1e-10)


def test_the_gate_of_a_product_is_the_saturating_factor_whichever_side_it_stands_on():
    for function in (squeeze_and_excite, swapped_gate):
        network, image = seeded(Between(function))
        _, weight = check_affine(network, image)
        with torch.no_grad():
            values = 3 * network.first(image)
            scale = torch.sigmoid(values.mean((2, 3)))[0]
        opened = lambda x, scale=scale, network=network: network.last(3 * network.first(x) * scale[:, None, None])  # noqa: E731
        torch.testing.assert_close(weight, jacobian(opened, image), rtol=1e-10, atol=1e-12)


def test_softmax_holds_the_sum_of_its_exponentials_and_goes_through_its_value_at_zero():
    network, image = seeded(Between(lambda x: x.softmax(1)))
    _, weight = check_affine(network, image)
    with torch.no_grad():
        scores = 3 * network.first(image)
        total = scores.exp().sum(1, keepdim=True)
        slope = (scores.exp() - 1) / scores / total

    def lines(x):
        return network.last(1 / total + slope * 3 * network.first(x))

    torch.testing.assert_close(weight, jacobian(lines, image), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(answer(record(network, image), 0 * image), lines(0 * image).detach())


@pytest.mark.parametrize(
    ("function", "gate"),
    [(F.silu, torch.sigmoid), (F.gelu, lambda x: (1 + torch.erf(x / 2**0.5)) / 2), (F.hardswish, F.hardsigmoid)],
)
def test_the_gate_of_a_smooth_activation_is_what_multiplies_its_input(function, gate):
    network, image = seeded(Between(function))
    _, weight = check_affine(network, image)
    with torch.no_grad():
        slope = gate(3 * network.first(image))
    expected = jacobian(lambda x: network.last(slope * 3 * network.first(x)), image)
    torch.testing.assert_close(weight, expected, rtol=1e-9, atol=1e-12)


def test_attention_weights_are_the_gate_and_values_the_signal():
    network, image = seeded(Between(attention))
    _, weight = check_affine(network, image)
    with torch.no_grad():
        tokens = (3 * network.first(image)).flatten(2).transpose(1, 2)
        weights = (tokens @ tokens.transpose(1, 2) / 2).softmax(-1)

    def mixed(x):
        values = 3 * network.first(x)
        return network.last((weights @ values.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(values.shape))

    torch.testing.assert_close(weight, jacobian(mixed, image), rtol=1e-10, atol=1e-12)


def test_each_image_of_a_batch_has_gates_of_its_own():
    network, _ = seeded(Residual(), (3, 16, 16))
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    others = torch.randn_like(images)
    together = answer(record(network, images), others)
    for image, other, expected in zip(images, others, together, strict=True):
        torch.testing.assert_close(
            answer(record(network, image[None]), other[None])[0], expected, rtol=1e-10, atol=1e-12
        )


def test_the_network_is_left_as_it_was_also_after_an_error():
    network, image = seeded(Residual(), (3, 16, 16))
    network.train()
    network.second.eval()
    network.stem.weight.requires_grad_(False)
    network.last.weight.grad = torch.ones_like(network.last.weight)

    def state():
        flags = [(module.training, len(module._forward_hooks)) for module in network.modules()]
        own = [(p.requires_grad, p._version, None if p.grad is None else p.grad.clone()) for p in network.parameters()]
        return flags, str(own), {key: value.clone() for key, value in network.state_dict().items()}

    flags, own, values = state()
    kept = image.clone().requires_grad_()
    answer(record(network, kept), kept).sum().backward()
    with pytest.raises(BadModel):
        record(network, image[:, :2])
    assert state()[:2] == (flags, own)
    assert all(torch.equal(value, values[key]) for key, value in network.state_dict().items())
    assert torch.equal(kept, image)
    assert kept.grad is not None
    assert not torch.overrides._get_current_function_mode()


def guided_by_hooks(network, image, rule):
    """Guided backprop and deconvnet of a network of ReLU modules that are not re-used, by module hooks."""

    def hook(_module, into, out):
        return ((into if rule == "guided" else out)[0].clamp(min=0),)

    handles = [module.register_full_backward_hook(hook) for module in network.modules() if isinstance(module, nn.ReLU)]
    x = image.clone().requires_grad_()
    network(x)[0, 1].sum().backward()
    for handle in handles:
        handle.remove()
    return x.grad


def chain():
    """Three ReLU modules that are not re-used, and a max pooling."""
    stem, middle = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 6, 3)
    deep, last = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 3, 1)
    return nn.Sequential(stem, nn.ReLU(), middle, nn.ReLU(), nn.MaxPool2d(2), deep, nn.ReLU(), last)


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_the_way_back_is_that_of_hooks_on_modules_and_the_same_for_functions(rule):
    network, image = seeded(chain(), (2, 12, 12))

    class Functions(nn.Module):
        def __init__(self):
            super().__init__()
            self.chain = network

        def forward(self, x):
            x = self.chain[2](F.relu_(self.chain[0](x)))
            x = self.chain[5](F.max_pool2d(x.clamp(min=0), 2))
            return self.chain[7](torch.relu(x))

    expected = guided_by_hooks(network, image, rule)
    plain = jacobian(lambda x: network(x)[0, 1].sum(), image)
    for either in (network, Functions()):
        gates = record(either, image)
        x = image.clone().requires_grad_()
        output = answer(gates, x, rule)
        torch.testing.assert_close(output.detach(), network(image).detach())
        (found,) = torch.autograd.grad(output[0, 1].sum(), x)
        torch.testing.assert_close(found, expected)
        assert not torch.allclose(found, plain)


def test_several_ways_back_at_once_are_those_one_by_one():
    network, image = seeded(chain(), (2, 12, 12))
    for rule in ("exact", "guided", "deconvnet"):
        x = image.clone().requires_grad_()
        outputs = answer(record(network, image), x, rule).flatten()[:5]
        seeds = torch.eye(5, dtype=x.dtype)
        (together,) = torch.autograd.grad(outputs, x, seeds, retain_graph=True, is_grads_batched=True)
        for seed, expected in zip(seeds, together, strict=True):
            torch.testing.assert_close(torch.autograd.grad(outputs, x, seed, retain_graph=True)[0], expected)


class Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        result = x * 2
        ctx.mark_non_differentiable(result)
        return result

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def positive_part(x: Tensor) -> Tensor:
    return torch.relu(x) if x.dim() == 4 else x


def compiled(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(positive_part)(x)


UNKNOWN = {
    "custom function": (Straight.apply, "Straight"),
    "custom function without gradient": (lambda x: x + Hidden.apply(x), "cut off"),
    "numpy": (lambda x: torch.from_numpy(np.maximum(x.detach().numpy(), 0)), "numpy"),
    "numpy array": (lambda x: x + torch.from_numpy(np.asarray(x.detach())), "numpy"),
    "list": (lambda x: x + torch.tensor(x.tolist(), dtype=x.dtype), "tolist"),
    "item": (lambda x: x * x.mean().item(), "item"),
    "float": (lambda x: x * float(x.mean()), "float"),
    "tensor": (lambda x: x + torch.tensor(x), "tensor"),
    "linalg": (lambda x: x @ torch.linalg.inv(x), "linalg_inv"),
    "svd": (lambda x: torch.linalg.svd(x)[0], "linalg_svd"),
    "cumprod": (lambda x: x.cumprod(1), "cumprod"),
    "prod": (lambda x: x * x.prod(1, keepdim=True), "prod"),
    "remainder": (lambda x: x % 0.3, "remainder"),
    "floor division": (lambda x: x.div(0.3, rounding_mode="floor"), "div"),
    "lgamma": (lambda x: torch.lgamma(x.abs() + 1), "lgamma"),
    "cosine": (lambda x: x * F.cosine_similarity(x, x.flip(1), dim=1)[:, None], "cosine_similarity"),
    "sampling": (lambda x: F.grid_sample(x, x.permute(0, 2, 3, 1)[..., :2], align_corners=False), "grid_sampl"),
    "lstm": (nn.LSTM(4, 4, batch_first=True), "lstm"),
    "dropout": (lambda x: F.dropout(x), "random"),
    "noise": (lambda x: x + torch.randn_like(x), "random"),
    "bounds": (lambda x: x.clamp(min=x.mean()), "clamp"),
    "data": (lambda x: setattr(x, "data", x.data * 2) or x, "data"),
    "compiled": (compiled, "relu"),
    "three factors": (lambda x: torch.einsum("nchw,nchw,nchw->nchw", x, x, x), "einsum"),
    "in place comparison": (lambda x: x.gt_(0), "gt"),
    "copysign": (lambda x: torch.copysign(x, x.flip(1)), "copysign"),
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_replayed_is_named(name):
    function, word = UNKNOWN[name]
    torch.manual_seed(0)
    if isinstance(function, nn.LSTM):
        layer = function.double()
        function = lambda x: layer(x[:, 0])[0][:, None].expand_as(x)  # noqa: E731
    first = nn.Conv2d(2, 4, 3).double()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = first

        def forward(self, x):
            return function(self.first(x)) * 1.5

    with pytest.raises(BadModel, match=word) as error:
        record(Net(), torch.randn(1, 2, 6, 6, dtype=torch.float64))
    assert "\n" not in str(error.value)


def test_an_output_that_does_not_come_from_the_image_is_refused():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(1, 3, dtype=x.dtype)

    with pytest.raises(BadModel, match="does not follow from the image"):
        record(Constant(), torch.zeros(1, 2, 4, 4))


def test_a_network_that_takes_another_way_is_refused():
    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            Counting.calls += 1
            for _ in range(Counting.calls):
                x = F.relu(x)
            return x

    images = torch.randn(1, 2, 4, 4)
    gates = record(Counting(), images)
    with pytest.raises(BadModel, match="took another way"):
        replay(gates, images)
    Counting.calls = 2
    gates = record(Counting(), images)
    Counting.calls = 0
    with pytest.raises(BadModel, match="took another way"):
        replay(gates, images)
    longer = dataclasses.replace(gates, entries=(*gates.entries, gates.entries[0]))
    Counting.calls = 2
    with pytest.raises(BadModel, match="1 of its recorded calls to go"):
        replay(longer, images)


def test_images_of_another_shape_and_values_that_are_no_numbers_are_refused():
    network, image = seeded(Residual(), (3, 16, 16))
    gates = record(network, image)
    with pytest.raises(BadImages, match="1 x 3 x 12 x 12"):
        replay(gates, image[..., :12, :12])
    with pytest.raises(BadImages, match="2 x 3 x 16 x 16"):
        replay(gates, image.expand(2, -1, -1, -1))
    with pytest.raises(BadImages, match="not finite"):
        record(network, image / 0 * 0)


def test_layers_of_a_network_are_read_and_the_pass_ends_at_the_last():
    module, image = seeded(Residual(), (3, 16, 16))
    network = Network(module)
    network.preprocessing = type(network.preprocessing)((16, 16))
    gates = record(network, image, ["first", "stem"])
    assert set(gates.outputs) == {"first", "stem"}
    assert len(gates.entries) < len(record(network, image).entries)
    found = replay(gates, image)["first"]
    torch.testing.assert_close(found, module.first(F.relu(module.stem(image))).detach())


def test_relus_near_zero_are_counted():
    network, image = seeded(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()), (1, 4, 4))
    nn.init.ones_(network[0].weight)
    nn.init.zeros_(network[0].bias)
    image = torch.linspace(0.5, 1, 16, dtype=torch.float64).reshape(1, 1, 4, 4)
    assert record(network, image).near_zero == 0
    image[0, 0, 0, :2] = torch.tensor([1e-17, -1e-16])
    gates = record(network, image)
    assert (gates.near_zero, gates.count) == (2, 16)
