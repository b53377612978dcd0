"""Expressions and text: values of many shifted points at once, gradients by an engine, by other expressions, or by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ....errors import ArgumentError
from ....expr.node import Expr
from ....expr.printing import brief
from ....machines import machine
from ....tape import record
from ....transforms import hessian, jacobian
from ....transforms.arguments import bind_names, distinct_variables, expression_of
from .arguments import Arguments
from .function import Function, leaves_of

#: numbers of a batch of shifted points
BATCH = 1 << 20


class ExprFunction(Function):
    """Of an expression; where its arguments have loop dims, of the sum over them."""

    framework = "expr"

    def __init__(self, f: Expr | str, at: Any, grad: Any, engine: str = "reverse") -> None:
        super().__init__()
        self.expression = expression_of(f)
        self.name = brief(self.expression, 60)
        self.engine = engine
        variables = self.variables = distinct_variables(self.expression)
        self._names: list[str] = [v.name for v in variables]  # type: ignore[misc]
        positional = tuple(at) if isinstance(at, (tuple, list)) and not isinstance(at, Mapping) else (at,)
        given = bind_names(self._names, positional, {})
        values = {
            v.name: np.asarray(given[v.name], v.dtype if v.dtype != "float64" else np.float64)  # type: ignore[index]
            for v in variables
        }
        self.arguments = Arguments(values, lambda **names: None)
        self.leaves = leaves_of(self.arguments.arrays, self.arguments.leaf_names)
        self.point = np.concatenate([a.reshape(-1).astype(np.float64) for a in self.arguments.arrays])
        cores = {v.name: v.shape for v in variables}
        self.loop = np.broadcast_shapes(*(a.shape[: a.ndim - len(cores[n])] for n, a in values.items()))
        self.cores = {n: cores[n] for n in self._names}
        self._every = values
        self._run = machine("numpy" if self.expression.size <= 1000 else "cpu").compile(
            record(self.expression, variables)
        )
        self._grad = grad
        self._derivative: Any = None

    def evaluate(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        return [self._summed(self._run(self.inputs(arrays))[0])]

    def inputs(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = dict(self._every)
        found.update(zip(self.arguments.leaf_names, arrays, strict=True))
        return [found[n] for n in self._names]

    def _summed(self, value: np.ndarray, ahead: int = 0) -> np.ndarray:
        axes = tuple(range(ahead, ahead + len(self.loop)))
        return np.asarray(np.sum(value, axis=axes, dtype=np.float64)) if axes else value

    def values(self, points: Iterable[np.ndarray]) -> np.ndarray:
        """Many points are further loop dims of one call."""
        left, each = iter(points), max(1, BATCH // max(1, self.size))
        found = [np.zeros((0, self.outputs))]
        while part := list(islice(left, each)):
            batch = np.array(part)
            self.events.calls += len(batch)
            arrays = []
            for leaf in self.leaves:
                core = self.cores[leaf.name]
                own = leaf.shape[: len(leaf.shape) - len(core)]
                ones = (1,) * (len(self.loop) - len(own))
                arrays.append(batch[:, leaf.entries].astype(leaf.dtype).reshape(len(batch), *ones, *leaf.shape))
            with np.errstate(all="ignore"):
                value = self._run(self.inputs(arrays))[0]
                full = np.broadcast_to(value, (len(batch), *self.loop, *self.expression.shape))
                found.append(self.weighed(self._summed(full, 1).reshape(len(batch), -1).astype(np.float64)))
        return np.concatenate(found)

    @property
    def given(self) -> list[np.ndarray]:
        """The values of all variables at the point, in order."""
        return [self._every[n] for n in self._names]

    def differentiate(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        found = self.arguments.read(self._given(arrays), self.out_shapes, self.events.note)
        return found if weights is None else weights @ found

    def _given(self, arrays: Sequence[np.ndarray]) -> Any:
        values = dict(zip(self._names, self.inputs(arrays), strict=True))
        if callable(self._grad) and not isinstance(self._grad, Expr):
            self.returned = self._grad(**values)
            return self.returned
        if self._grad is not None:
            return self._from_expressions(values)
        if self._derivative is None:
            wrt = [leaf.name for leaf in self.leaves]
            self._derivative = jacobian(self.expression, wrt=wrt, engine=self.engine)
        found = self._derivative(values)
        return {leaf.name: self._reduced(found[leaf.name], leaf.shape, self.cores[leaf.name]) for leaf in self.leaves}

    def second(self, arrays: list[np.ndarray], weights: np.ndarray | None) -> np.ndarray:
        if self.loop:
            raise ArgumentError("second derivatives are checked at one point: give values without loop dims")
        names = [leaf.name for leaf in self.leaves]
        values = dict(zip(self._names, self.inputs(arrays), strict=True))
        found = hessian(self.expression, wrt=names, engine=self.engine)(values)
        rows = [[np.asarray(found[a][b], np.float64) for b in names] for a in names]
        table = [
            np.concatenate([block.reshape(leaf.size, -1) for block in row], axis=1)
            for leaf, row in zip(self.leaves, rows, strict=True)
        ]
        whole = np.concatenate(table)
        return whole if weights is None else weights @ whole

    def _reduced(self, per_point: np.ndarray, shape: tuple[int, ...], core: tuple[int, ...]) -> np.ndarray:
        """Derivatives per point, (loop, output's core, core), of the sum over all points: (output's core, the argument's shape)."""
        out, loop = len(self.expression.shape), len(self.loop)
        own = shape[: len(shape) - len(core)]
        full = np.broadcast_to(per_point, (*self.loop, *self.expression.shape, *core))
        lined = (1,) * (loop - len(own)) + own
        summed = full.sum(axis=tuple(a for a in range(loop) if lined[a] == 1), keepdims=True)
        moved = np.moveaxis(summed, range(loop), range(out, out + loop))
        return moved.reshape((*self.expression.shape, *shape))

    def _from_expressions(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """grad={"x": "cos(x)*y", …}, texts or expressions, one an argument; a single one where there is one argument."""
        names = [leaf.name for leaf in self.leaves]
        given = self._grad if isinstance(self._grad, Mapping) else {names[0]: self._grad}
        if set(given) != set(names):
            raise ArgumentError(
                f"grad= gives {', '.join(map(repr, given))}; the variables are {', '.join(map(repr, names))}"
            )
        found = {}
        for leaf in self.leaves:
            formula = expression_of(given[leaf.name])
            own = [v.name for v in distinct_variables(formula)]
            value = formula({n: values[n] for n in own if n in values})  # type: ignore[index]
            if self.expression.shape:
                found[leaf.name] = value
            else:
                found[leaf.name] = self._reduced(value, leaf.shape, self.cores[leaf.name])
        return found
