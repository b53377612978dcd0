"""Gradients made no longer than they may be, over a whole nest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optree

from ..errors import ArgumentError, DtypeError
from ..expr.trace import flatten, names_of
from ..machines.resident import is_on_device
from ..transforms.device import apply, fetched

FLAVORS = ("optax", "torch")


def global_norm(tree: Any) -> float:
    """The Euclidean norm of all arrays of a nest, seen as one vector; accumulated in float64, without overflow on the way."""
    leaves = _leaves(tree)
    squares = [_squares(leaf, 1.0) for leaf in leaves]
    total = math.fsum(squares) if all(map(math.isfinite, squares)) else math.nan
    if math.isfinite(total) and total > 1e-280:
        return math.sqrt(total)
    largest = max((_largest(leaf) for leaf in leaves), default=0.0, key=lambda x: math.inf if math.isnan(x) else x)
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(math.fsum(_squares(leaf, largest) for leaf in leaves))


def clip_by_norm(grads: Any, max_norm: float, *, flavor: str = "optax") -> Any:
    """Gradients scaled so that their `global_norm` is at most `max_norm` (Pascanu, Mikolov, Bengio 2013, algorithm 1).

    flavor: "optax" scales by max_norm/norm where the norm is larger; "torch" (clip_grad_norm_) by max_norm/(norm + 1e-6) where that
    is below 1. A NaN or an infinity in one gradient makes all of them NaN: it is not hidden.
    """
    if not max_norm > 0:
        raise ArgumentError(f"max_norm must be positive, not {max_norm}")
    if flavor not in FLAVORS:
        raise ArgumentError(f"clip_by_norm has the flavors {', '.join(FLAVORS)}; there is no {flavor!r}")
    norm = global_norm(grads)
    scale = max_norm / (norm + (1e-6 if flavor == "torch" else 0.0)) if norm else 1.0
    if math.isinf(norm):
        scale = math.nan
    return grads if scale >= 1 else _mapped(_Scaled(scale), grads)


def clip_by_value(grads: Any, max_value: float) -> Any:
    """Every entry brought into [-max_value, max_value]; a NaN stays one."""
    if not max_value > 0:
        raise ArgumentError(f"max_value must be positive, not {max_value}")
    return _mapped(_Clipped(max_value), grads)


class _Scaled:
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, x: Any) -> list[Any]:
        return [x * self.scale]


class _Clipped:
    def __init__(self, most: float) -> None:
        self.most = most

    def __call__(self, x: Any) -> list[Any]:
        return [np.clip(x, -self.most, self.most)]


def _mapped(function: Any, tree: Any) -> Any:
    """Of every leaf, in its dtype and where it lies."""
    structure = flatten(tree)[1]
    changed = [
        apply("cuda", function, leaf)[0] if is_on_device(leaf) else function(leaf)[0].astype(leaf.dtype, copy=False)
        for leaf in _leaves(tree)
    ]
    return optree.tree_unflatten(structure, changed)


def _leaves(tree: Any) -> list[Any]:
    """Arrays of real numbers, integers as float64; those on a device as they are."""
    found = []
    for name, leaf in zip(names_of(tree, "grads"), flatten(tree)[0], strict=True):
        array = leaf if is_on_device(leaf) else np.asarray(leaf)
        if not is_on_device(leaf) and array.dtype.kind not in "fiu":
            raise DtypeError(f"{name} has dtype {array.dtype}; gradients are arrays of real numbers")
        found.append(array.astype(np.float64) if not is_on_device(leaf) and array.dtype.kind != "f" else array)
    return found


def _squares(leaf: Any, scale: float) -> float:
    if is_on_device(leaf):
        return float(fetched("cuda", apply("cuda", _Squares(scale), leaf))[0])
    array = np.asarray(leaf, np.float64).ravel()
    with np.errstate(over="ignore"):
        array = array if scale == 1 else array / scale
        return float(np.dot(array, array))


def _largest(leaf: Any) -> float:
    array = np.asarray(fetched("cuda", leaf))
    return float(np.max(np.abs(array))) if array.size else 0.0


class _Squares:
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, x: Any) -> list[Any]:
        return [np.sum((x.astype("float64") / self.scale) ** 2)]
