"""Pieces of models: pure functions over arrays, to be called inside any function that diffkit differentiates, or on NumPy's arrays.

`layers/` what has parameters; `activations`, `losses`, `penalties` what has not; `initialisers` first values of parameters, from a
seed. Parameters are plain arrays in any nest of dicts, lists and tuples. Names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    **dict.fromkeys(("linear", "mlp"), ".layers.linear"),
    **dict.fromkeys(
        (
            "elu", "gelu", "identity", "leaky_relu", "log_softmax", "prelu", "relu", "selu", "sigmoid", "silu", "softmax",
            "softplus", "swish", "tanh",
        ),
        ".activations",
    ),
    **dict.fromkeys(
        (
            "binary_cross_entropy", "binary_cross_entropy_with_logits", "multiclass_hinge", "softmax_cross_entropy",
            "squared_error",
        ),
        ".losses",
    ),
    **dict.fromkeys(("elastic_net", "l1", "l2"), ".penalties"),
    **dict.fromkeys(
        (
            "gain_of", "init_kaiming_normal", "init_kaiming_uniform", "init_lecun_normal", "init_linear", "init_mlp", "init_normal",
            "init_orthogonal", "init_uniform", "init_xavier_normal", "init_xavier_uniform", "init_zeros",
        ),
        ".initialisers",
    ),
}  # fmt: skip
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
