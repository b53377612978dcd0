"""Activations, element by element (softmax and log_softmax: along an axis), under torch.nn.functional's names and defaults.

sigmoid, tanh, relu, softplus, softmax and log_softmax are diffkit's own. torch's softplus is x above 20; here it is exact.

Where an activation has a kink, at x = 0, its derivative there is torch's, that of the lower side: relu 0, leaky_relu its
negative_slope, prelu its weight, elu its alpha (with alpha = 1 there is no kink), selu scale·alpha. `dk.kinks` selects relu's.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import ArgumentError
from ..expr import functions as dk
from ..expr.functions import log_softmax, relu, sigmoid, softmax, softplus, tanh
from .arguments import as_array, check_spread

__all__ = [
    "elu", "gelu", "identity", "leaky_relu", "log_softmax", "prelu", "relu", "selu", "sigmoid", "silu", "softmax", "softplus",
    "swish", "tanh",
]  # fmt: skip

#: the fixed point of mean 0 and variance 1 (Klambauer et al. 2017, equation 14)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def identity(x: Any) -> Any:
    """x."""
    return as_array(x)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x where x > 0, else negative_slope·x. (max(negative_slope·x, x) is the same for slopes up to 1 only.)"""
    return prelu(x, negative_slope)


def prelu(x: Any, weight: Any) -> Any:
    """x where x > 0, else weight·x, with a slope to be learnt; it broadcasts as in arithmetic: one for all, or of the last axis.

    Raises ShapeError where it does not. (A slope a channel of images is of shape (C, 1, 1).)
    """
    x = as_array(x)
    if not isinstance(weight, (int, float)):
        weight = as_array(weight)
        check_spread("prelu", "a weight", weight, x, "give one number, or one for each of the last axis")
    return dk.where(x > 0, x, weight * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else alpha·(eˣ − 1)."""
    x = as_array(x)
    above = x > 0
    return dk.where(above, x, alpha * dk.expm1(dk.where(above, 0, x)))  # the inner choice: no overflow


def selu(x: Any) -> Any:
    """scale·(x where x > 0, else alpha·(eˣ − 1)), which keeps mean 0 and variance 1 through layers of lecun_normal weights."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def swish(x: Any, beta: Any = 1.0) -> Any:
    """x·sigmoid(beta·x); its derivative at 0 is ½. silu is swish with beta = 1."""
    x = as_array(x)
    return x * dk.sigmoid(beta * x)


def silu(x: Any) -> Any:
    """x·sigmoid(x)."""
    x = as_array(x)
    return x * dk.sigmoid(x)


def gelu(x: Any, approximate: str = "none") -> Any:
    """x·Φ(x), Φ the distribution function of the normal distribution.

    approximate: "none", or "tanh" for x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2 (Hendrycks and Gimpel 2016). Both are
    written so that nothing cancels where x is far below 0. Raises ArgumentError for any other.
    """
    x = as_array(x)
    if approximate == "none":
        return 0.5 * x * dk.erfc(-x * math.sqrt(0.5))
    if approximate != "tanh":
        raise ArgumentError(f"gelu: approximate={approximate!r} is not known; choose 'none' or 'tanh'")
    return x * dk.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))  # (1 + tanh u)/2 = sigmoid(2u)
