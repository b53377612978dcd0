"""A function under check, or its gradient, written down as an expression: for those that diffkit can trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....expr.node import Expr
from ....expr.trace import flatten, is_traced, trace_call
from .arguments import Arguments
from .expressions import ExprFunction
from .function import Function
from .numpy_functions import NumpyFunction, own_kind


@dataclass
class Written:
    outputs: list[Expr]
    #: variables of the trace, their values at the point, and which of them are the leaves under check
    inputs: list[Expr]
    values: list[np.ndarray]
    wrt: list[int]

    @property
    def output(self) -> Expr:
        return self.outputs[0]

    @property
    def variables(self) -> list[Expr]:
        return [self.inputs[w] for w in self.wrt]


def written(function: Function) -> Written | None:
    """The function itself; None where it cannot be traced."""
    if isinstance(function, ExprFunction):
        if function.expression.shape or function.loop:
            return None
        variables, values = function.variables, function.given
        names = [leaf.name for leaf in function.leaves]
        wrt = [next(k for k, v in enumerate(variables) if v.name == name) for name in names]
        return Written([function.expression], variables, values, wrt)
    if isinstance(function, NumpyFunction):
        return _traced(function.positional, function.arguments)
    return None


def written_gradient(function: Function) -> Written | None:
    """The gradient that the user wrote; None where it cannot be traced, or is not written by hand."""
    if isinstance(function, NumpyFunction) and function.grad is not None:
        grad, arguments = function.grad, function.arguments
        if arguments.by_name:
            return _traced(lambda *values: grad(**dict(zip(arguments.names, values, strict=True))), arguments)
        return _traced(grad, arguments)
    return None


def _traced(f: Callable[..., Any], arguments: Arguments) -> Written | None:
    top: Sequence[Any] = arguments.filled([a.copy() for a in arguments.arrays], own_kind)
    try:
        found = trace_call(f, tuple(top))
    except Exception:  # whatever a function does that was not written for expressions
        return None
    if found.captured:
        return None
    leaves = [leaf for argument in top for leaf in flatten(argument)[0]]
    traced = [leaf for leaf in leaves if is_traced(leaf)]
    wrt, k = [], 0
    for leaf, place in zip(leaves, arguments.places, strict=True):
        if is_traced(leaf):
            if place is not None:
                wrt.append(k)
            k += 1
    return Written(found.outputs, found.inputs, [np.asarray(v) for v in traced], wrt)
