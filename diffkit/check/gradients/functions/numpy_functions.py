"""Functions on NumPy arrays, with a gradient written by hand or, without one, diffkit's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optree

from ....errors import DtypeError
from .arguments import Arguments
from .function import Function, StructureError, leaves_of, real_arrays


class NumpyFunction(Function):
    framework = "numpy"

    def __init__(self, fun: Callable, at: Any, grad: Callable | None) -> None:
        super().__init__()
        self.fun, self.grad = fun, grad
        self.name = getattr(fun, "__name__", type(fun).__name__)
        self.arguments = Arguments(at, fun)
        self.hint = self.arguments.hint
        self.leaves = leaves_of(self.arguments.arrays, self.arguments.leaf_names)
        self._jacobian: Callable | None = None
        self.point = np.concatenate([np.asarray(a, np.float64).reshape(-1) for a in self.arguments.arrays])

    def evaluate(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        result = self.arguments.call(self.fun, arrays, own_kind)
        return self.read_outputs(result)

    def read_outputs(self, result: Any) -> list[np.ndarray]:
        leaves = optree.tree_leaves(result, none_is_leaf=True)
        if isinstance(result, list) and result and not any(np.ndim(v) for v in leaves):
            self.events.note("fun returned a Python list; it is taken for an array (return np.array([...]))")
            try:
                leaves = [np.asarray(result)]
            except ValueError:
                raise DtypeError(
                    f"{self.name} returned lists of unlike lengths; it must return an array or several"
                ) from None
        return real_arrays(leaves, self.name)

    def differentiate(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        if self.grad is None:
            return self._traced(arrays, weights)
        given = self.returned = self.arguments.call(self.grad, arrays, own_kind)
        if given is None:
            raise StructureError("the gradient is None: its function returns nothing")
        found = self.arguments.read(given, self.out_shapes, self.events.note)
        return found if weights is None else weights @ found

    def _traced(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        """diffkit's reverse engine."""
        from ....transforms import jacobian, vjp

        values = self.arguments.filled(arrays, own_kind)
        if weights is None:
            if self._jacobian is None:
                chosen = [k for k, count in enumerate(self.arguments.counts()) if count]
                self._jacobian = jacobian(self.positional, argnums=tuple(chosen) if len(values) > 1 else 0)
            return self.arguments.read(self._jacobian(*values), self.out_shapes, self.events.note)
        result, pullback = vjp(self.positional, *values)
        leaves, structure = optree.tree_flatten(result, none_is_leaf=True)
        rows = []
        for row in weights:
            parts = np.split(row, np.cumsum([np.size(v) for v in leaves])[:-1])
            cotangents = [
                p.reshape(np.shape(v)).astype(np.asarray(v).dtype) for p, v in zip(parts, leaves, strict=True)
            ]
            back = optree.tree_leaves(pullback(optree.tree_unflatten(structure, cotangents)))
            rows.append(np.concatenate([np.asarray(b, np.float64).reshape(-1) for b in back]))
        return np.array(rows)

    def second(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        from ....transforms import hessian, hvp

        values = self.arguments.filled(arrays, own_kind)
        chosen = tuple(k for k, count in enumerate(self.arguments.counts()) if count)
        if weights is None:
            found = hessian(self.positional, argnums=chosen if len(values) > 1 else 0)(*values)
            return self.arguments.read(found, [leaf.shape for leaf in self.leaves], self.events.note)
        rows = []
        for row in weights:
            parts = [np.array(row[leaf.entries], leaf.dtype).reshape(leaf.shape) for leaf in self.leaves]
            found = hvp(self.positional, tuple(values), tuple(self.arguments.filled(parts, own_kind)))
            rows.append(np.concatenate([np.asarray(g, np.float64).reshape(-1) for g in optree.tree_leaves(found)]))
        return np.array(rows)

    def lift(self, array: np.ndarray, original: Any) -> Any:
        return own_kind(array, original)

    def positional(self, *values: Any) -> Any:
        if self.arguments.by_name:
            return self.fun(**dict(zip(self.arguments.names, values, strict=True)))
        return self.fun(*values)


def own_kind(array: np.ndarray, original: Any) -> Any:
    """A leaf as the user gave it: a number for a number."""
    if isinstance(original, (float, np.floating)):
        return type(original)(array[()]) if isinstance(original, np.floating) else float(array)
    return array
