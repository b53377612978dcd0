"""Right gradients in PyTorch's dress: its own, of functions and modules; right `autograd.Function`s; gradients written by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from .cases import VERDICTS, Collection
from .wrong_torch import Network, function, normal

TORCH = Collection("torch")
right = TORCH.right

#: functions of one tensor (4, 5)
PLAIN: dict[str, Any] = {
    "tanh-sum": lambda x: torch.tanh(x).sum(),
    "vector": lambda x: torch.sin(x).sum(0),
    "matrix-to-matrix": lambda x: x @ x.T,
    "softmax": lambda x: (torch.softmax(x, 1) * torch.arange(5)).sum(),
    "logsumexp": lambda x: torch.logsumexp(x, 1).sum(),
    "norm": lambda x: torch.linalg.norm(x),
    "singular-values": lambda x: torch.linalg.svdvals(x).sum(),
    "layer-norm": lambda x: (F.layer_norm(x, (5,)) ** 3).sum(),
    "gelu": lambda x: F.gelu(x).sum(),
    "silu": lambda x: F.silu(x).mean(),
    "elu": lambda x: F.elu(x).sum(),
    "relu": lambda x: (F.relu(x) * 3).sum(),
    "largest": lambda x: x.max(),
    "sorted": lambda x: (x.sort(1).values * torch.arange(5)).sum(),
    "cumulative": lambda x: x.cumsum(1).pow(2).sum(),
    "product": lambda x: x.prod(1).sum(),
    "indexed": lambda x: x[[0, 2, 2]].exp().sum(),
    "where": lambda x: torch.where(x > 0, x**2, -x).sum(),
    "conv": lambda x: F.conv1d(x[None], torch.ones(2, 4, 3, dtype=x.dtype)).square().sum(),
    "cross-entropy": lambda x: F.cross_entropy(x, torch.tensor([0, 3, 1, 4])),
    "detached-constant": lambda x: (x * torch.ones_like(x.detach())).sum(),
    "erf": lambda x: torch.erf(x).sum(),
    "lgamma": lambda x: torch.lgamma(x**2 + 1).sum(),
}
for _k, (_name, _f) in enumerate(PLAIN.items()):
    TORCH.add(_name, lambda g=_f, k=_k: (g, normal(200 + k, 4, 5), None))

for _name in ("tanh-sum", "softmax", "layer-norm", "cross-entropy", "matrix-to-matrix", "relu", "conv"):
    TORCH.add(f"{_name}-float32", lambda g=PLAIN[_name]: (g, normal(240, 4, 5, dtype=torch.float32), None))


@right
def linear_module():
    torch.manual_seed(250)
    return nn.Linear(5, 3).double(), normal(250, 2, 5), None


@right
def network():
    return Network("nowhere"), normal(251, 3, 4), None


@right
def parameters_by_name():
    module, x = Network("nowhere"), normal(252, 3, 4)
    at = ({k: v.detach().clone() for k, v in module.named_parameters()},)
    return lambda p: torch.func.functional_call(module, p, (x,)), at, None


@right
def recurrent_cell():
    torch.manual_seed(253)
    cell = nn.LSTMCell(3, 4).double()
    return lambda x, h, c: cell(x, (h, c))[0].sum(), (normal(254, 2, 3), normal(255, 2, 4), normal(256, 2, 4)), None


@right
def attention():
    return (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v).square().sum(),
        (normal(257, 1, 4, 3), normal(258, 1, 4, 3), normal(259, 1, 4, 3)),
        None,
    )


@right
def dropout_in_eval_mode():
    torch.manual_seed(260)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1)).double().eval(), normal(261, 2, 4), None


@right
def batch_norm_in_train_mode():
    """Its running averages change at every call; its value does not depend on them."""
    torch.manual_seed(262)
    return nn.Sequential(nn.BatchNorm1d(4), nn.Tanh()).double(), normal(263, 6, 4), None


@right
def module_in_float32():
    torch.manual_seed(264)
    return nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 2)), normal(265, 3, 4, dtype=torch.float32), None


@right
def function_with_its_backward():
    swish = function(
        lambda x: x * torch.sigmoid(x), lambda g, x: g * torch.sigmoid(x) * (1 + x * (1 - torch.sigmoid(x)))
    )
    return lambda x: swish(x).sum(), normal(266, 7), None


@right
def matrix_product_with_its_backward():
    product = function(lambda x, w: x @ w, lambda g, x, w: (g @ w.T, x.T @ g))
    return lambda x, w: torch.tanh(product(x, w)).sum(), (normal(267, 5, 4), normal(268, 4, 4)), None


@right
def stable_softplus_with_its_backward():
    softplus = function(F.softplus, lambda g, x: g * torch.sigmoid(x))
    return lambda x: softplus(x).sum(), torch.tensor([-300.0, -1.0, 15.0, 800.0], dtype=torch.float64), None


@right
def gradient_by_hand():
    labels = torch.tensor([0, 2, 1])

    def grad(z):
        return (torch.softmax(z, 1) - F.one_hot(labels, 3)) / 3

    return lambda z: F.cross_entropy(z, labels), normal(269, 3, 3), grad


@right
def needs_no_gradient_of_one_argument():
    return lambda x, n: (x ** n.detach()).sum(), (normal(270, 4).abs() + 0.5, torch.tensor(3)), None


@right
def input_that_requires_grad():
    return lambda x: (x**3).sum(), normal(271, 4).requires_grad_(), None


@right
def operations_in_place_on_a_copy():
    def fun(x):
        y = x.clone()
        y[0] = y[1] * 2
        y.mul_(3)
        return (y**2).sum()

    return fun, normal(272, 5), None


TORCH.add("float32-inside", lambda: (lambda x: torch.sin(x.float()).double().sum(), normal(273, 5), None), noisy=True,
          verdicts=VERDICTS - {"fail"})  # fmt: skip


@right
def thirty_thousand_entries():
    return lambda x: F.softplus(x).mul(normal(274, 30_000)).sum(), normal(275, 30_000), None
