"""Cases of indexing, order and cumulative operations for the generated rule tests (see helpers_arrays)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import helpers_arrays
import numpy as np
from mpmath import mpf

import diffkit as dk
from diffkit.expr.functions import RULES

_ROWS, _GRID = np.array([2, 0, -1, 2]), np.array([[0, 1], [-1, 0]])


def gathered(x: Any, *indices: np.ndarray, axis: int) -> Any:
    return x[(..., *indices, *(slice(None),) * (-axis - len(indices)))]


def scattered(updates: Any, *indices: np.ndarray, axis: int, shape: tuple[int, ...]) -> Any:
    out = np.full(shape, mpf(0), dtype=object)
    places = gathered(np.arange(out.size).reshape(shape), *indices, axis=axis)
    for place, update in zip(places.reshape(-1), updates.reshape(-1), strict=True):
        out.reshape(-1)[place] += update
    return out


def recurred(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    a, b = (np.moveaxis(x, axis, 0)[:: -1 if reverse else 1] for x in (a, b))
    y = [b[0]] if len(b) else []
    for factor, step in zip(a[1:], b[1:], strict=True):
        y.append(factor * y[-1] + step)
    return np.moveaxis(np.array(y, dtype=object).reshape(b.shape)[:: -1 if reverse else 1], 0, axis)


def run_means(x: Any, key: Any, axis: int) -> Any:
    """Means over runs of equal keys, run by run."""
    out, (x, key) = np.empty(x.shape, object), (np.moveaxis(v, axis, -1) for v in (x, key))
    target = np.moveaxis(out, axis, -1)
    for row in np.ndindex(x.shape[:-1]):
        start = 0
        while start < x.shape[-1]:
            end = start + 1
            while end < x.shape[-1] and key[row][end] == key[row][start]:
                end += 1
            target[row][start:end] = np.sum(x[row][start:end]) / (end - start)
            start = end
    return out


def _operation(op: str, detail: str, shapes: Any, exact: Callable[..., Any], *more: Any, **params: Any) -> Any:
    """The operation itself; `more` are known arguments after the inputs."""
    return helpers_arrays.ArrayCase(
        f"{op}{detail}", op, shapes, lambda *xs: getattr(RULES, op)(*xs, *more, **params),
        lambda *xs: exact(*xs, *more, **params),
    )  # fmt: skip


def _function(op: str, detail: str, shape: tuple[int, ...], f: Callable[..., Any], exact: Callable[..., Any]) -> Any:
    return helpers_arrays.ArrayCase(f"{op}{detail}", op, (shape,), f, exact)


def _extreme(name: str, shape: tuple[int, ...], axis: int | None) -> Any:
    """An index has no derivative: what is tested is the element there, whose place is looked for in floats."""

    def f(x: Any) -> Any:
        places = getattr(dk, name)(x, axis, keepdims=axis is not None)
        return dk.take(x, places) if axis is None else dk.take_along_axis(x, places, axis)

    def exact(x: Any) -> Any:
        places = getattr(np, name)(np.asarray(x, float), axis, keepdims=axis is not None)
        return x.reshape(-1)[places] if axis is None else np.take_along_axis(x, places, axis)

    return _function(name, f"{list(shape)}-axis={axis}", shape, f, exact)


def _ordered(shape: tuple[int, ...], axis: int) -> Any:
    return _function(
        "argsort", f"{list(shape)}-axis={axis}", shape,
        lambda x: dk.take_along_axis(x, dk.argsort(x, axis), axis) ** 2, lambda x: np.sort(x, axis) ** 2,
    )  # fmt: skip


_ALONG = [((3,), -1), ((1,), -1), ((2, 3), -1), ((3, 2), -2), ((2, 3, 2), -2), ((2, 1, 2), -2)]
_KEYS = np.array([[1.0, 1.0, 2.0], [0.0, 2.0, 2.0]])


_EDGES = np.array([-1.0, 0.5, 1.0])


def _placed(right: bool) -> Any:
    """As in `_extreme`: the elements at the places found are tested."""
    side = "right" if right else "left"
    return _function(
        "searchsorted", f"-{side}", (4,), lambda x: dk.take(x, dk.searchsorted(_EDGES, x, side)) ** 2,
        lambda x: x[np.searchsorted(_EDGES, x.astype(float), side)] ** 2,
    )  # fmt: skip


def indexing_cases() -> list[Any]:
    cumulative = [
        _operation(name, f"{list(shape)}{axis}{'-reverse' * reverse}", (shape,), exact, axis=axis, reverse=reverse)
        for name, function in (("cumsum", np.cumsum), ("cumprod", np.cumprod))
        for exact in [
            lambda x, axis, reverse, f=function: np.flip(f(np.flip(x, axis), axis), axis) if reverse else f(x, axis)
        ]
        for shape, axis in _ALONG
        for reverse in (False, True)
    ]
    return [
        _operation("gather", "", ((3, 2),), gathered, _ROWS, axis=-2),
        _operation("gather", "-last", ((2, 3),), gathered, _GRID, axis=-1),
        _operation("gather", "-scalar", ((2, 3),), gathered, np.array(1), axis=-2),
        _operation("gather", "-two", ((2, 3, 2),), gathered, np.array([1, 0, 1]), np.array([[2], [-1]]), axis=-3),
        _operation("scatter_add", "", ((4, 2),), scattered, _ROWS, axis=-2, shape=(3, 2)),
        _operation("scatter_add", "-last", ((2, 2, 2),), scattered, _GRID, axis=-1, shape=(2, 3)),
        _operation("scatter_add", "-two", ((2, 3, 2),), scattered, np.array([1, 0, 1]), np.array([[2], [-1]]), axis=-3,
                   shape=(2, 3, 2)),
        *cumulative,
        *(_operation("linear_recurrence", f"{list(shape)}{axis}{'-reverse' * reverse}", (shape, shape), recurred, axis=axis,
                     reverse=reverse) for shape, axis in _ALONG for reverse in (False, True)),
        *(_operation("sort", f"{list(shape)}{axis}", (shape,), np.sort, axis=axis) for shape, axis in _ALONG),
        *(_function("tied_mean", f"-{axis}", (2, 3), lambda x, axis=axis: RULES.tied_mean(x, _KEYS.astype(x.dtype), axis=axis),
                    lambda x, axis=axis: run_means(x, _KEYS, axis)) for axis in (-1, -2)),
        *(_placed(right) for right in (False, True)),
        *(_ordered(shape, axis) for shape, axis in _ALONG),
        *(_extreme(name, shape, axis) for name in ("argmax", "argmin") for shape, axis in [*_ALONG, ((2, 3), None)]),
    ]  # fmt: skip
