"""Wrong gradients in PyTorch's dress: `autograd.Function`s with a wrong backward, paths that are cut, tricks in place, dropout."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from .cases import Collection

TORCH = Collection("torch")
wrong = TORCH.wrong


def normal(seed: int, *shape: int, dtype: Any = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def function(forward: Any, backward: Any) -> Any:
    """An autograd.Function of one or more tensors; `backward(cotangent, *arguments)`."""

    def of_context(ctx, *args):
        ctx.save_for_backward(*args)
        return forward(*args)

    made = type(
        "Custom",
        (torch.autograd.Function,),
        {
            "forward": staticmethod(of_context),
            "backward": staticmethod(lambda ctx, g: backward(g, *ctx.saved_tensors)),
        },
    )
    return made.apply


# ---- rules with a wrong backward ---------------------------------------------------------------------------------------
@wrong("factor")
def square_without_its_two():
    square = function(torch.square, lambda g, x: g * x)
    return lambda x: square(x).sum(), normal(1, 7), None


@wrong("factor")
def scale_applied_twice_in_float32():
    scaled = function(lambda x: 3 * torch.tanh(x), lambda g, x: 9 * g * (1 - torch.tanh(x) ** 2))
    return lambda x: scaled(x).sum(), normal(2, 5, 4, dtype=torch.float32), None


@wrong("factor")
def vector_of_sines_by_a_thousandth():
    sine = function(torch.sin, lambda g, x: 1.001 * g * torch.cos(x))
    return sine, normal(3, 4), None


@wrong("sign")
def gradient_reversal():
    reverse = function(lambda x: x.view_as(x), lambda g, x: -g)
    return lambda x: (reverse(torch.tanh(x)) ** 2).sum(), normal(4, 6), None


@wrong("sign")
def cosine_with_the_sine():
    cosine = function(torch.cos, lambda g, x: g * torch.sin(x))
    return lambda x: cosine(x).sum(), normal(5, 3, 3), None


@wrong("mean-or-sum")
def mean_with_the_backward_of_a_sum():
    mean = function(lambda x: (x**2).mean(), lambda g, x: 2 * g * x)
    return mean, normal(6, 9), None


@wrong("transposed")
def square_matrix_product_transposed():
    product = function(lambda x, w: x @ w, lambda g, x, w: (g @ w.T, g.T @ x))
    return lambda x, w: torch.tanh(product(x, w)).sum(), (normal(7, 6, 4), normal(8, 4, 4)), None


@wrong("permuted")
def axes_put_back_the_wrong_way():
    moved = function(lambda x: x.permute(1, 2, 0).clone(), lambda g, x: g.permute(1, 2, 0))
    weight = normal(9, 3, 3, 3)
    return lambda x: (weight * torch.sin(moved(x))).sum(), normal(10, 3, 3, 3), None


@wrong("permuted")
def gradients_in_the_wrong_order():
    bilinear = function(lambda a, b: (a**2 * b).sum(), lambda g, a, b: (g * a**2, 2 * g * a * b))
    return bilinear, (normal(11, 5), normal(12, 5)), None


@wrong("shifted")
def rolled_the_same_way_again():
    rolled = function(lambda x: torch.roll(x, 1), lambda g, x: torch.roll(g, 1))
    weight = normal(13, 9)
    return lambda x: (weight * rolled(x)).sum(), normal(14, 9), None


@wrong("shifted")
def causal_padding_on_the_wrong_side():
    """y₁ … yₙ = 0, x₁ … xₙ₋₁; the backward leaves the cotangent where it is."""
    late = function(lambda x: F.pad(x[:-1], (1, 0)), lambda g, x: g)
    weight = normal(15, 12)
    return lambda x: (weight * late(x)).sum(), normal(16, 12), None


@wrong("missing-term")
def product_rule_half_done():
    swish = function(lambda x: x * torch.sigmoid(x), lambda g, x: g * torch.sigmoid(x))
    return lambda x: swish(x).sum(), normal(17, 8), None


@wrong("extra-term")
def weight_decay_hidden_in_a_backward():
    linear = function(lambda x, w: x @ w, lambda g, x, w: (g @ w.T, x.T @ g + 0.1 * w))
    return lambda x, w: (linear(x, w) ** 2).mean(), (normal(18, 10, 4), normal(19, 4, 3)), None


@wrong("wrong-axis")
def bias_summed_over_features():
    biased = function(lambda x, b: x + b, lambda g, x, b: (g, g.sum(1)))
    return lambda x, b: torch.tanh(biased(x, b)).sum(), (normal(20, 5, 5), normal(21, 5)), None


@wrong("wrong-axis")
def softmax_over_the_rows_in_backward():
    def backward(g, x):
        s = torch.softmax(x, 1)
        return s * (g - (g * s).sum(0, keepdim=True))

    soft, weight = function(lambda x: torch.softmax(x, 1), backward), normal(22, 4, 4)
    return lambda x: (weight * soft(x)).sum(), normal(23, 4, 4), None


@wrong("single-entry", "missing-term")
def lookup_that_forgets_the_second_use():
    """table[rows], where one row is used twice; its backward assigns where it should add."""
    rows = torch.tensor([0, 2, 3, 2])

    def backward(g, table):
        out = torch.zeros_like(table)
        out[rows] = g
        return out

    lookup = function(lambda table: table[rows], backward)
    return lambda table: (normal(24, 4) * torch.exp(lookup(table))).sum(), normal(25, 6), None


@wrong("wrong-shape")
def backward_with_a_shape_of_its_own():
    product = function(lambda x, w: x @ w, lambda g, x, w: (g @ w.T, g.T @ x))
    return lambda x, w: product(x, w).sum(), (normal(26, 6, 4), normal(27, 4, 3)), None


@wrong("nondeterministic")
def backward_with_noise():
    noise = torch.Generator().manual_seed(28)
    rounded = function(
        torch.tanh,
        lambda g, x: g * (1 - torch.tanh(x) ** 2) + 1e-2 * torch.randn(x.shape, generator=noise, dtype=x.dtype),
    )
    return lambda x: rounded(x).sum(), normal(29, 5), None


@wrong("stale")
def activations_saved_once():
    """The backward uses what the first forward saved, on the function and not on its context."""
    kept: list[torch.Tensor] = []

    def forward(x):
        kept or kept.append(torch.exp(x.detach()))
        return torch.exp(x)

    exponential = function(forward, lambda g, x: g * kept[0])
    x = normal(30, 5)
    exponential(x + 0.25)
    return lambda x: exponential(x).sum(), x, None


@wrong("step-function")
def straight_through_quantiser():
    quantise = function(lambda x: torch.round(4 * x) / 4, lambda g, x: g)
    return lambda x: (normal(31, 6) * quantise(x)).sum(), normal(32, 6), None


@wrong("step-function")
def straight_through_by_detach():
    return lambda x: (x + (torch.sign(x) - x).detach()).sum(), normal(33, 5), None


@wrong("overflow", "nan-origin")
def naive_logsumexp():
    lse = function(
        lambda z: torch.logsumexp(z, 1).sum(),
        lambda g, z: g * torch.exp(z) / torch.exp(z).sum(1, keepdim=True),
    )
    return lse, 900 + normal(34, 3, 4), None


# ---- graphs that are cut ------------------------------------------------------------------------------------------------
class Network(nn.Module):
    """Two layers; `cut` says which path is detached."""

    def __init__(self, cut: str) -> None:
        super().__init__()
        self.first, self.second, self.cut = nn.Linear(4, 6), nn.Linear(6, 2), cut
        self.double()
        for k, p in enumerate(self.parameters()):
            p.data = normal(40 + k, *p.shape) / 2

    def forward(self, x):
        h = torch.tanh(self.first(x))
        if self.cut == "hidden":
            h = h.detach()
        y = self.second(h)
        if self.cut == "gate":
            y = y * torch.sigmoid(y.detach())
        if self.cut == "bias":
            y = F.linear(h, self.second.weight, self.second.bias.detach())
        return (y**2).sum()


@wrong("zero")
def hidden_layer_detached():
    return Network("hidden"), normal(41, 3, 4), None


@wrong("missing-term", "zero")
def gate_detached():
    return Network("gate"), normal(42, 3, 4), None


@wrong("zero")
def bias_detached_in_a_module():
    """The input's gradient is right; that of a parameter is not."""
    return Network("bias"), normal(43, 3, 4), None


@wrong("zero")
def bias_detached_by_name():
    network, x = Network("bias"), normal(44, 3, 4)
    at = ({k: v.detach().clone() for k, v in network.named_parameters()},)
    return lambda p: torch.func.functional_call(network, p, (x,)), at, None


@wrong("zero")
def attention_weights_detached():
    def fun(q, k, v):
        return (torch.softmax(q @ k.T, 1).detach() @ v).square().sum()

    return fun, (normal(45, 4, 3), normal(46, 4, 3), normal(47, 4, 3)), None


@wrong("zero")
def through_numpy_and_back():
    return lambda x: torch.from_numpy(x.detach().numpy() ** 2).sum() + 0 * x.sum(), normal(48, 5), None


@wrong("zero")
def under_no_grad():
    def fun(x):
        with torch.no_grad():
            return torch.exp(x).sum()

    return fun, normal(49, 5), None


@wrong("missing-term", "zero")
def scale_taken_as_a_number():
    """x / |x|.mean(), the mean by .item()."""
    return lambda x: (normal(50, 6) * x / x.abs().mean().item()).sum(), normal(51, 6), None


@wrong("missing-term", "zero")
def variance_detached_in_a_layer_norm():
    weight = normal(52, 3, 5)

    def fun(x):
        centred = x - x.mean(1, keepdim=True)
        return (weight * centred / centred.square().mean(1, keepdim=True).sqrt().detach()).sum()

    return fun, normal(53, 3, 5), None


# ---- state, chance, kinks, NaN ---------------------------------------------------------------------------------------------
@wrong("in-place")
def clamps_its_input():
    def fun(x):
        with torch.no_grad():
            x.clamp_(min=0)
        return (x**2).sum()

    return fun, torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64), None


@wrong("dropout-active")
def dropout_in_train_mode():
    torch.manual_seed(54)
    module = nn.Sequential(nn.Linear(5, 30), nn.Tanh(), nn.Dropout(0.4), nn.Linear(30, 1)).double()
    return module, normal(55, 2, 5), None


@wrong("dropout-active")
def dropout_called_without_its_flag():
    torch.manual_seed(56)
    return lambda x: F.dropout(torch.exp(x), 0.5).sum(), normal(57, 20), None


@wrong("kink")
def relu_at_zero():
    return lambda x: F.relu(x).sum(), torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64), None


@wrong("kink", "nan-origin")
def square_root_of_a_square_at_zero():
    return lambda x: torch.sqrt(x**2).sum(), torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64), None


@wrong("nan-origin")
def square_root_in_a_where():
    return (
        lambda x: torch.where(x > 0, torch.sqrt(x), torch.zeros_like(x)).sum(),
        torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64),
        None,
    )


@wrong("nan-origin")
def square_root_of_a_fourth_power():
    return lambda x: torch.sqrt(x**4).sum(), torch.tensor([0.0, 1.3], dtype=torch.float64), None


@wrong("overflow", "nan-origin")
def softplus_written_out():
    return lambda x: torch.log1p(torch.exp(x)).sum(), torch.tensor([1.0, 800.0], dtype=torch.float64), None


# ---- gradients written by hand ------------------------------------------------------------------------------------------
@wrong("mean-or-sum", "factor")
def cross_entropy_by_hand_not_divided():
    labels = torch.tensor([0, 2, 1, 1, 0])

    def grad(z):
        return torch.softmax(z, 1) - F.one_hot(labels, 3)

    return lambda z: F.cross_entropy(z, labels), normal(58, 5, 3), grad


@wrong("factor")
def huber_by_hand():
    return lambda x: F.mse_loss(x, torch.ones_like(x), reduction="sum"), normal(59, 6), lambda x: x - 1
