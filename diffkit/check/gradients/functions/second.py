"""Second derivatives: a gradient as a function whose Jacobian, the Hessian, is checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....errors import ArgumentError
from .arguments import Arguments
from .dress import function_of
from .function import Function


def second_derivatives(
    fun: Any, at: Any, grad: Any, hvp: Callable | None, order: int, engine: str
) -> tuple[Function, Function]:
    """The function with the gradient that its second derivatives are differences of, and that gradient as a function."""
    if order not in (1, 2):
        raise ArgumentError(f"order is 1 (gradients) or 2 (Hessians), not {order!r}")
    gradient, hessian = _pair(grad, hvp)
    first = function_of(fun, at, gradient, engine=engine)
    return first, GradientFunction(first, hessian, hvp)


def _pair(grad: Any, hvp: Callable | None) -> tuple[Any, Callable | None]:
    if isinstance(grad, (tuple, list)):
        if len(grad) != 2 or not callable(grad[1]):
            raise ArgumentError(
                "for order=2, grad is a pair (gradient, Hessian) of callables, or None for the framework's own"
            )
        return grad[0], grad[1]
    if hvp is not None:
        return grad, None
    if callable(grad):
        raise ArgumentError(
            "for order=2, grad is a pair (gradient, Hessian); (None, hessian) takes the framework's own gradient, and hvp=… is for "
            "products with a vector"
        )
    return grad, None


class GradientFunction(Function):
    """The gradient of a function of one output."""

    def __init__(self, first: Function, hessian: Callable | None, hvp: Callable | None) -> None:
        super().__init__()
        self.first, self.hessian, self.product = first, hessian, hvp
        self.framework, self.leaves, self.point = first.framework, first.leaves, first.point
        self.name = f"{first.name} (second derivatives)"
        self.arguments: Arguments = first.arguments  # type: ignore[attr-defined]
        first.start()
        if first.outputs != 1:
            raise ArgumentError(f"second derivatives are checked of one number; {first.name} returns {first.outputs}")

    def evaluate(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        row = self.first.gradient(_line(arrays), None)[0]
        return [np.array(row[leaf.entries], leaf.dtype).reshape(leaf.shape) for leaf in self.leaves]

    def differentiate(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        if self.product is not None:
            rows = np.eye(self.size) if weights is None else weights
            return np.array([self._times(arrays, row) for row in rows])
        if self.hessian is None:
            return self.first.second(arrays, weights)
        given = self.returned = self.arguments.call(self.hessian, arrays, self.first.lift)
        found = self.arguments.read(_plain(given), [leaf.shape for leaf in self.leaves], self.events.note)
        return found if weights is None else weights @ found

    def _times(self, arrays: list[np.ndarray], vector: np.ndarray) -> np.ndarray:
        """The Hessian times a vector, by the user's function: the vector behind the arguments, in their structure."""
        assert self.product is not None
        parts = [np.array(vector[leaf.entries], leaf.dtype).reshape(leaf.shape) for leaf in self.leaves]
        values = self.arguments.filled([a.copy() for a in arrays], self.first.lift)
        tangents = self.arguments.filled(parts, self.first.lift)
        if self.arguments.by_name:
            names = self.arguments.names
            given = self.product(dict(zip(names, values, strict=True)), dict(zip(names, tangents, strict=True)))
        elif len(values) > 1 and len(_positions(self.product)) == 2:
            given = self.product(tuple(values), tuple(tangents))  # as dk.hvp takes them
        else:
            given = self.product(*values, *tangents)
        self.returned = given
        return self.arguments.read(_plain(given), [()], self.events.note)[0]

    def close(self) -> None:
        self.first.close()


def _line(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([a.reshape(-1).astype(np.float64) for a in arrays])


def _positions(f: Callable) -> list[str]:
    try:
        return [
            p.name
            for p in inspect.signature(f).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        return []


def _plain(given: Any) -> Any:
    """Tensors as arrays."""
    import optree

    return optree.tree_map(lambda g: g.detach().cpu().numpy() if hasattr(g, "detach") else g, given, none_is_leaf=True)
