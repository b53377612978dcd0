"""Statistics under NumPy's names, composed of operations: moments, those that leave NaN out, covariances, softmax; counts.

Arguments as in compositions.py. Quantiles, which need an order, are in indexing.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import ShapeError
from . import functions as dk
from .elementary import isnan
from .functions import RULES
from .node import Expr
from .operands import as_expr, axes_of, holds_expr, refuse, stays
from .publishing import composition

o = RULES


# ---- moments ------------------------------------------------------------------------------------------------------
def _deviations(name: str, a: Any, axis: Any, where: Any) -> tuple[Expr, tuple[int, ...], Any]:
    """What is left of the mean (0 outside `where`), the axes, and how many elements they have."""
    x = as_expr(a)
    axes = axes_of(axis, x.ndim, name)
    if where is True or where is np._NoValue:
        return x - dk.mean(x, axes, keepdims=True), axes, math.prod(x.shape[i] for i in axes)
    count = _count(o.where(where, dk.ones_like(x), 0), axes, True)
    rest = x - dk.sum(x, axes, keepdims=True, where=where) / count
    return o.where(where, rest, 0), axes, count


def _count(ones: Expr, axes: tuple[int, ...], kept: bool) -> Expr:
    return dk.sum(ones, axes, keepdims=kept)


def _spread(name: str, a: Any, axis: Any, ddof: float, keepdims: Any, where: Any) -> tuple[Expr, tuple[int, ...], Any]:
    """Deviations, the axes, and the degrees of freedom (none left: a division by zero, as in NumPy)."""
    rest, axes, count = _deviations(name, a, axis, where)
    if not isinstance(count, Expr):
        return rest, axes, max(count - ddof, 0)
    freedom = o.maximum(count - ddof, 0)
    return rest, axes, freedom if stays(keepdims) else dk.reshape(freedom, dk.sum(rest, axes).shape)


@composition
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, *,
    where: Any = True, mean: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """Mean squared deviation from the mean over axes (all by default), over n - ddof; `where`: of these elements alone."""
    refuse("var", {"dtype": dtype, "out": out, "mean": mean})
    rest, axes, freedom = _spread("var", a, axis, _ddof(ddof, correction), keepdims, where)
    return dk.sum(o.square(rest), axes, keepdims=stays(keepdims)) / freedom


@composition
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, *,
    where: Any = True, mean: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """Root of the variance over axes (all by default). Where all elements are equal its derivative is 0, as that of norm."""
    refuse("std", {"dtype": dtype, "out": out, "mean": mean})
    rest, axes, freedom = _spread("std", a, axis, _ddof(ddof, correction), keepdims, where)
    if not rest.size:  # no length either, but of no elements it is not a number
        return o.sqrt(dk.sum(rest, axes, keepdims=stays(keepdims)) / freedom)
    root = o.sqrt(freedom) if isinstance(freedom, Expr) else math.sqrt(freedom)
    return dk.norm(rest, axis=axes, keepdims=stays(keepdims)) / root


def _ddof(ddof: float, correction: Any) -> float:
    return ddof if correction is None or correction is np._NoValue else correction


@composition
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    """Mean with weights of the shape of `a`, or of its lengths along `axis`; `returned`: with the sums of the weights.

    Weights that sum to zero divide by zero.
    """
    x, kept = as_expr(a), stays(keepdims)
    axes = axes_of(axis, x.ndim, "average")
    w = as_expr(1.0 if weights is None else weights)
    if weights is not None and w.shape != x.shape:
        named = [i % x.ndim for i in (axis if isinstance(axis, Iterable) else (axis,))] if axis is not None else []
        if axis is None or w.shape != tuple(x.shape[i] for i in named):
            raise ShapeError(f"average: weights of core shape {w.shape} do not fit core shape {x.shape}, axis {axis}")
        w = dk.transpose(w, np.argsort(named))
        w = dk.reshape(w, tuple(n if i in named else 1 for i, n in enumerate(x.shape)))
    total = dk.sum(dk.broadcast_to(w, x.shape), axes, keepdims=kept)
    found = dk.mean(x, axes, keepdims=kept) if weights is None else dk.sum(x * w, axes, keepdims=kept) / total
    return (found, total) if returned else found


@composition
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    """Largest minus smallest element over axes (all by default)."""
    refuse("ptp", {"out": out})
    x, kept = as_expr(a), stays(keepdims)
    return dk.max(x, axis, keepdims=kept) - dk.min(x, axis, keepdims=kept)


@composition
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None, fweights: Any = None,
    aweights: Any = None, *, dtype: Any = None,
) -> Any:  # fmt: skip
    """Covariances (k, k) of k variables, which are the rows of `m` and `y` (`rowvar` false: the columns); of one, a scalar.

    Divided by n - 1, or n - ddof (`bias`: n). `fweights`: how often each observation occurs; `aweights`: its weight.
    """
    refuse("cov", {"dtype": dtype})
    x = _variables("cov", m, y, rowvar)
    freedom = (0 if bias else 1) if ddof is None else int(ddof)
    n = x.shape[1]
    w = None
    for given, name in ((fweights, "fweights"), (aweights, "aweights")):
        if given is not None:
            weights = as_expr(given)
            if weights.shape != (n,):
                raise ShapeError(f"cov: {name} of core shape {weights.shape} for {n} observations")
            w = weights if w is None else w * weights
    if w is None:
        rest, total = x - dk.mean(x, 1, keepdims=True), float(n)
        scaled, left = rest, max(total - freedom, 0.0)
    else:
        total = dk.sum(w)
        rest = x - dk.reshape(dk.sum(x * w, 1), (-1, 1)) / total
        used = 1.0 if aweights is None else dk.sum(w * as_expr(aweights)) / total
        scaled, left = rest * w, o.maximum(total - freedom * used, 0.0)
    found = dk.matmul(scaled, dk.transpose(rest)) / left
    return dk.reshape(found, ()) if found.shape == (1, 1) else found


def _variables(name: str, m: Any, y: Any, rowvar: bool) -> Expr:
    """Variables in rows, observations in columns."""
    parts = []
    for given in (m,) if y is None else (m, y):
        x = as_expr(given)
        if x.ndim > 2:
            raise ShapeError(f"{name}: core shape {x.shape} has more than two axes")
        x = x if x.ndim == 2 else dk.reshape(x, (1, -1))
        parts.append(dk.transpose(x) if not rowvar and x.shape[0] != 1 else x)
    return parts[0] if len(parts) == 1 else dk.concatenate(parts, 0)


@composition
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Correlations (k, k) of k variables: covariances over the deviations of both. NaN for a variable that does not vary."""
    refuse("corrcoef", {"dtype": dtype})
    c = cov(as_expr(x), y, rowvar)
    if not c.shape:
        return c / c
    deviations = o.sqrt(dk.diagonal(c))
    return c / dk.reshape(deviations, (-1, 1)) / deviations


# ---- without NaN --------------------------------------------------------------------------------------------------
def _present(x: Expr, axis: Any, keepdims: Any, name: str) -> tuple[Expr, Expr]:
    """Where an element is a number, and how many there are over the axes."""
    there = o.logical_not(isnan(x))
    ones = o.where(there, dk.ones_like(x), 0)
    return there, dk.sum(ones, axes_of(axis, x.ndim, name), keepdims=stays(keepdims))


def _without_nan(name: str, of: str, neutral: float) -> None:
    @_composition_named(name)
    def function(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **how: Any
    ) -> Any:
        refuse(name, {"dtype": dtype, "out": out})
        x = as_expr(a)
        return getattr(dk, of)(o.where(isnan(x), neutral, x), axis, keepdims=stays(keepdims), **how)

    function.__doc__ = f"{of} over axes (all by default) of the elements that are not NaN."


def _composition_named(name: str) -> Callable[..., Any]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__name__ = function.__qualname__ = name
        return composition(function)

    return decorate


_without_nan("nansum", "sum", 0.0)
_without_nan("nanprod", "prod", 1.0)


def _extreme_without_nan(name: str, of: str, bottom: float) -> None:
    @_composition_named(name)
    def function(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **how: Any) -> Any:
        refuse(name, {"out": out})
        x = as_expr(a)
        _, count = _present(x, axis, keepdims, name)
        found = getattr(dk, of)(o.where(isnan(x), bottom, x), axis, keepdims=stays(keepdims), **how)
        return o.where(o.equal(count, 0), math.nan, found)

    function.__doc__ = (
        f"{of} over axes (all by default) of the elements that are not NaN; NaN where all are. Ties are shared."
    )


_extreme_without_nan("nanmax", "max", -math.inf)
_extreme_without_nan("nanmin", "min", math.inf)


@composition
def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    """Mean over axes (all by default) of the elements that are not NaN; NaN where all are."""
    refuse("nanmean", {"dtype": dtype, "out": out})
    x = as_expr(a)
    return dk.mean(x, axis, keepdims=stays(keepdims), where=_and(o.logical_not(isnan(x)), where))


def _and(mask: Expr, where: Any) -> Expr:
    return mask if where is True or where is np._NoValue else mask & as_expr(where)


@composition
def nanvar(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, *,
    where: Any = True, mean: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """Variance over axes (all by default) of the elements that are not NaN."""
    x = as_expr(a)
    there = _and(o.logical_not(isnan(x)), where)
    return _nan_where_free(var(x, axis, dtype, out, ddof, keepdims, where=there, mean=mean, correction=correction))


@composition
def nanstd(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, *,
    where: Any = True, mean: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """Standard deviation over axes (all by default) of the elements that are not NaN."""
    x = as_expr(a)
    there = _and(o.logical_not(isnan(x)), where)
    return _nan_where_free(std(x, axis, dtype, out, ddof, keepdims, where=there, mean=mean, correction=correction))


def _nan_where_free(found: Expr) -> Expr:
    """NumPy has NaN where no degree of freedom is left, and never an infinity."""
    return o.where(o.equal(found, math.inf), math.nan, found)


@composition
def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    """Cumulative sum in which NaN counts as 0."""
    x = as_expr(a)
    return dk.cumsum(o.where(isnan(x), 0, x), axis, dtype, out)


@composition
def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    """Cumulative product in which NaN counts as 1."""
    x = as_expr(a)
    return dk.cumprod(o.where(isnan(x), 1, x), axis, dtype, out)


# ---- counts and tests ---------------------------------------------------------------------------------------------
def _nonzero(x: Expr) -> Expr:
    return x if x.dtype == "bool" else o.not_equal(x, 0)


def _number_of(name: str, flags: Expr, axis: Any, keepdims: Any, where: Any = True) -> Expr:
    axes_of(axis, flags.ndim, name)
    return dk.sum(o.cast(flags, dtype="float64"), axis, keepdims=stays(keepdims), where=where)


@composition
def any(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Any:
    """Whether an element over axes (all by default) is true: not zero. NaN is not zero."""
    refuse("any", {"out": out})
    return o.greater(_number_of("any", _nonzero(as_expr(a)), axis, keepdims, where), 0)


@composition
def all(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Any:
    """Whether all elements over axes (all by default) are true: not zero. NaN is not zero."""
    refuse("all", {"out": out})
    return o.equal(_number_of("all", o.logical_not(_nonzero(as_expr(a))), axis, keepdims, where), 0)


@composition
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """How many elements over axes (all by default) are not zero, int64."""
    return o.cast(_number_of("count_nonzero", _nonzero(as_expr(a)), axis, keepdims), dtype="int64")


@composition
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all elements are close (see isclose): a condition, for dk.where or dk.cond."""
    return all(dk.isclose(as_expr(a), b, rtol, atol, equal_nan))


@composition
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether shapes and all elements are equal: a condition, for dk.where or dk.cond."""
    a, b = as_expr(a1), as_expr(a2)
    if a.shape != b.shape:
        return False
    same = o.equal(a, b)
    return all(same | (isnan(a) & isnan(b)) if equal_nan else same)


# ---- softmax ------------------------------------------------------------------------------------------------------
@composition
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """Logarithm of softmax over an axis or several (None: all). What elements have in common takes no digits from it."""
    x = as_expr(x) if holds_expr(x) else np.asarray(x) if isinstance(x, (list, tuple)) else x
    axes = axes_of(axis, dk.ndim(x), "log_softmax")
    return o.log_softmax(x, axes=axes) if axes and dk.size(x) else x - x


@composition
def softmax(x: Any, axis: Any = -1) -> Any:
    """exp(x) over its sum along an axis or several (None: all), without overflow."""
    return o.exp(log_softmax(x, axis))
