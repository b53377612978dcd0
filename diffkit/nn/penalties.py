"""Penalties on parameters, to be added to a loss: L2, L1, elastic net, over any nest of arrays.

only: which arrays count, as biases often do not: a nest of True and False like the parameters, or a function of an array's name and
the array, such as `lambda name, w: w.ndim > 1` (names as in error messages: "params.layers[0].weight").
Raises ArgumentError for a negative strength, an unknown convention, or an `only` that does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError
from ..expr import functions as dk
from ..expr.trace import flatten, names_of
from .arguments import as_array, check_number

_CONVENTIONS = ("half", "full", "norm")


def l2(params: Any, lam: float, convention: str = "half", *, only: Any = None) -> Any:
    """ "half": lam/2·‖w‖², whose gradient is lam·w, as torch's weight_decay; "full": lam·‖w‖²; "norm": lam·‖w‖, not squared.

    "norm" takes the norm of each array by itself and adds them up; its gradient at an array of zeros is 0, one of the
    subgradients there.
    """
    if convention not in _CONVENTIONS:
        raise ArgumentError(f"l2: convention={convention!r} is not known; choose one of {', '.join(_CONVENTIONS)}")
    strength = check_number("l2", "lam", lam)
    if convention == "norm":
        return strength * _summed("l2", params, only, lambda w: dk.norm(dk.ravel(w)))
    return strength * (0.5 if convention == "half" else 1.0) * _squares("l2", params, only)


def l1(params: Any, lam: float, *, only: Any = None) -> Any:
    """lam·Σ|w|; of the subgradients at w = 0, [−lam, lam], the gradient is 0 (`dk.kinks` selects another)."""
    return check_number("l1", "lam", lam) * _summed("l1", params, only, _absolute)


def elastic_net(
    params: Any, beta: float | None = None, lam: float = 1.0, *, l1_ratio: float | None = None, only: Any = None
) -> Any:
    """lam·(beta·‖w‖² + ‖w‖₁), or with l1_ratio instead of beta scikit-learn's lam·(l1_ratio·‖w‖₁ + (1 − l1_ratio)/2·‖w‖²).

    lam is scikit-learn's alpha. The gradient of |w| at 0 is 0.
    """
    strength = check_number("elastic_net", "lam", lam)
    if (beta is None) == (l1_ratio is None):
        raise ArgumentError(
            "elastic_net: give beta, for beta·‖w‖² + ‖w‖₁, or l1_ratio, for scikit-learn's form, not both"
        )
    if l1_ratio is None:
        squares, absolutes = check_number("elastic_net", "beta", beta), 1.0
    else:
        absolutes = check_number("elastic_net", "l1_ratio", l1_ratio, 1)
        squares = (1 - absolutes) / 2
    return strength * (
        squares * _squares("elastic_net", params, only) + absolutes * _summed("elastic_net", params, only, _absolute)
    )


# ---- sums over a nest ---------------------------------------------------------------------------------------------
def _absolute(w: Any) -> Any:
    return dk.sum(dk.abs(w))


def _squares(name: str, params: Any, only: Any) -> Any:
    return _summed(name, params, only, lambda w: dk.sum(dk.square(w)))


def _summed(name: str, params: Any, only: Any, function: Callable[[Any], Any]) -> Any:
    """The sum of a function of each array that counts, in the order of the nest."""
    leaves, structure = flatten(params)
    chosen = [True] * len(leaves)
    if callable(only):
        chosen = [bool(only(n, leaf)) for n, leaf in zip(names_of(params, "params"), leaves, strict=True)]
    elif only is not None:
        chosen, told = flatten(only)
        if told != structure or not all(isinstance(c, bool) for c in chosen):
            raise ArgumentError(
                f"{name}: `only` is not a nest of True and False like the parameters; or give a function of name and array"
            )
    terms = [function(as_array(leaf)) for leaf, use in zip(leaves, chosen, strict=True) if use]
    return sum(terms[1:], start=terms[0]) if terms else 0.0
