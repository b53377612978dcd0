"""The complex step, where differences of values cannot tell: the imaginary part of f(x + ih) is f'(x)·h, and nothing is subtracted.

It is right for functions that take complex numbers and are analytic, and silently wrong for others (abs, comparisons, conjugates).
So it only ever confirms: a derivative that differences cannot resolve counts as right where it and the complex step agree.
"""

from __future__ import annotations

import warnings

import numpy as np

from ....engines.finite import FiniteProgram
from ....machines import machine
from ....tape import record
from ..functions.expressions import ExprFunction
from ..functions.function import Function
from ..functions.numpy_functions import NumpyFunction

#: the step in units of the scale: h² vanishes beside anything
STEP = 1e-100
#: entries that it is taken by, at most
MOST = 2_000


def complex_slopes(function: Function, entries: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
    """(entries, outputs), NaN where nothing is known; None where the function does not take complex numbers."""
    if len(entries) > MOST:
        return None
    try:
        if isinstance(function, ExprFunction):
            return _of_expression(function, entries)
        if isinstance(function, NumpyFunction):
            return _of_callable(function, entries, scale)
    except Exception:  # a function that is not for complex numbers may raise anything
        return None
    return None


def _of_callable(function: NumpyFunction, entries: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
    if any(leaf.dtype != "float64" for leaf in function.leaves):
        return None
    real = function.value(function.point)
    found = []
    for i in entries:
        h = STEP * float(scale[i])
        z = function.point.astype(np.complex128)
        z[i] += 1j * h
        arrays = [z[leaf.entries].reshape(leaf.shape) for leaf in function.leaves]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            result = function.arguments.call(function.fun, arrays, lambda array, _: array if array.ndim else array[()])
        function.events.calls += 1
        value = function.weighed(np.atleast_1d(np.asarray(result)).reshape(-1))
        if value.dtype.kind != "c" or value.shape != real.shape or not np.allclose(value.real, real, 1e-9, 0.0):
            return None
        found.append(value.imag / h)
    return np.array(found)


def _of_expression(function: ExprFunction, entries: np.ndarray) -> np.ndarray | None:
    """By the finite engine, which knows where the complex step is allowed, and says how good it is."""
    if function.loop or function.weighs:
        return None
    variables = function.variables
    wrt = [k for k, v in enumerate(variables) if any(leaf.name == v.name for leaf in function.leaves)]
    order = [variables[w].name for w in wrt]
    estimate = FiniteProgram(record(function.expression, variables), tuple(wrt)).examine(
        machine("numpy"), function.given
    )
    rows = function.outputs
    table = np.full((function.size, rows), np.nan)
    for name, value, bar in zip(order, estimate.blocks[0], estimate.bars[0], strict=True):
        leaf = next(leaf for leaf in function.leaves if leaf.name == name)
        with np.errstate(all="ignore"):
            known = np.where(bar <= 1e-3 * np.abs(value) + 1e-300, value, np.nan)
        table[leaf.entries] = known.reshape(rows, leaf.size).T
    return table[entries]
