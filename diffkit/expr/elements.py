"""Expressions written in another algebra, element by element: SymPy, Arb balls.

The `sympy` rule of an operation is plain Python over a namespace `s`, so it can write in any algebra whose values have
arithmetic. Arrays become NumPy object arrays of scalars of that algebra, on which most array operations run as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import DiffkitError, UnsupportedError
from ..ops import CONSTANT, TABLE, VARIABLE, Op
from .functions import RULES
from .kind import constant_value
from .node import Expr, topological, variable


class ArrayFunctions:
    """The part of a namespace `s` that is the same in every algebra."""

    #: what is written out is spent of it; None: there is no end
    allowance: Allowance | None = None

    @staticmethod
    def map(function: Callable[..., Any], *arrays: Any) -> np.ndarray:
        """`function` applied to every element; the arrays broadcast."""
        with np.errstate(all="ignore"):  # NumPy reports flags that Python's own arithmetic with NaN left behind
            return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), dtype=object)

    @staticmethod
    def fold(function: Callable[..., Any], array: np.ndarray, axes: Sequence[int], keepdims: bool) -> np.ndarray:
        """A function of any number of arguments applied to all elements along `axes`."""
        axes = sorted(a % array.ndim for a in axes)
        rest = [a for a in range(array.ndim) if a not in axes]
        rows = array.transpose(*rest, *axes).reshape(*(array.shape[a] for a in rest), -1)
        out = np.empty(rows.shape[:-1], dtype=object)
        for position in np.ndindex(out.shape):
            out[position] = function(*rows[position])
        return out.reshape([1 if a in axes else n for a, n in enumerate(array.shape)]) if keepdims else out

    # ---- logarithms of sums of exponentials, of which an algebra may have forms of its own ----
    def logaddexp(self, x: Any, y: Any) -> Any:
        return self.log(self.exp(x) + self.exp(y))  # type: ignore[attr-defined]

    def logsumexp(self, x: Any, axes: Sequence[int], keepdims: bool) -> Any:
        return self.map(self.log, self.fold(self.Add, self.map(self.exp, x), axes, keepdims))  # type: ignore[attr-defined]

    def log_softmax(self, x: Any, axes: Sequence[int]) -> Any:
        return x - self.logsumexp(x, axes, True)


class Rules:
    """The namespace `o` of operations, for rules that are to be written in the algebra of `s`."""

    def __init__(self, s: Any) -> None:
        self._s = s

    def __getattr__(self, name: str) -> Callable[..., Any]:
        op, s = TABLE[name], self._s
        return lambda *args, **params: scalar(op, s, [_scalar(s, a) for a in args], {**op.params, **params})

    def primitive(self, name: str, *args: Any, **params: Any) -> Any:
        return getattr(self, name)(*args, **params)


def _scalar(s: Any, value: Any) -> Any:
    return s.number(value) if isinstance(value, (int, float)) else value


def scalar(op: Op, s: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """An elementwise operation on scalars of the algebra."""
    if op.sympy is not None:
        return op.sympy(s, *args, **params)
    if op.detached:
        raise UnsupportedError(f"the derivative of {op.name!r} is not that of its value, and so of no formula of it")
    if op.lower is not None:
        return op.lower(Rules(s), *args, **params)
    raise UnsupportedError(f"the operation {op.name!r} has no SymPy form; give its record sympy=")


def scalar_work(n: Expr) -> int:
    """About how many scalars and scalar operations a node is when it is written out."""
    if n.kind.op.cost == "matmul":
        return n.size * 2 * max(1, n.args[0].shape[-1] if n.args[0].shape else 1)
    if n.kind.op.family == "movement":
        return 0
    return max(n.size, *(a.size for a in n.args), 0) if n.kind.op.family != "elementwise" else n.size


def written_with_others(op: Op) -> bool:
    """Whether what is written out of an array operation are the operations that it is written with."""
    return (op.family != "elementwise" and op.sympy is None and op.lower is not None) or "body" in op.params


class Allowance(Protocol):
    """What may be written out (see engines/symbolic.py)."""

    def spend(self, n: Expr) -> None:
        """A node is about to be written out. ExceededError where that is too much."""
        ...

    def foresee(self, operations: int, what: str) -> None:
        """So many scalar operations are ahead. ExceededError where that is too much."""
        ...


def write(
    roots: Sequence[Expr],
    s: Any,
    variables: Callable[[Expr], np.ndarray],
    after: Callable[[Expr, Any, Sequence[Any]], Any] = lambda node, value, args: value,
) -> list[np.ndarray]:
    """The roots as object arrays of their core shapes. `after(node, value, args)` may wrap what an elementwise op gave.

    UnsupportedError, which names the operation, for one that has no form in scalars; ExceededError beyond the
    allowance of `s`.
    """
    values: dict[int, np.ndarray] = {}
    for n in topological(*roots):
        op, params = n.kind.op, n.kind.kwargs
        if s.allowance is not None:
            s.allowance.spend(n)
        if op is VARIABLE:
            value = variables(n)
        elif op is CONSTANT:
            value = ArrayFunctions.map(s.number, constant_value(n.kind).astype(object))
        elif op.family == "elementwise":

            def function(*args: Any, n: Expr = n, op: Op = op, params: dict[str, Any] = params) -> Any:
                return after(n, scalar(op, s, args, params), args)

            value = ArrayFunctions.map(function, *(values[id(a)] for a in n.args))
        elif op.sympy is None and op.lower is not None:
            value = _lowered(n, s, [values[id(a)] for a in n.args], after)
        else:
            value = _structured(op, s, [values[id(a)] for a in n.args], params)
        values[id(n)] = value
    return [values[id(r)] for r in roots]


def _lowered(
    n: Expr, s: Any, args: Sequence[np.ndarray], after: Callable[[Expr, Any, Sequence[Any]], Any]
) -> np.ndarray:
    """An array operation without a `sympy` rule, as it is written with other operations."""
    operands = [variable(f"argument {k}", a.shape, a.dtype, uid=-4) for k, a in enumerate(n.args)]
    given = dict(zip(operands, args, strict=True))
    assert n.kind.op.lower is not None
    lowered = n.kind.op.lower(RULES, *operands, **n.kind.kwargs)
    return write([lowered], s, given.__getitem__, after)[0]


def _structured(op: Op, s: Any, args: Sequence[np.ndarray], params: dict[str, Any]) -> np.ndarray:
    """An array operation by its `sympy` rule, else by its NumPy definition run on objects; both see one lane axis."""
    laned = [a[None] for a in args]
    if op.sympy is not None:
        return np.asarray(op.sympy(s, *laned, **params)[0], dtype=object)
    try:
        found = np.asarray(op.numpy(*laned, **params)[0], dtype=object)
        return ArrayFunctions.map(lambda v: _scalar(s, v), found)  # zeros that NumPy filled in
    except (DiffkitError, MemoryError, RecursionError):
        raise
    except Exception as problem:  # a NumPy function that meets objects can fail in any way
        raise UnsupportedError(
            f"the operation {op.name!r} cannot be written out in scalars: its record has no form for that (sympy= or lower=), and "
            f"NumPy's does not take symbols ({type(problem).__name__})"
        ) from None
