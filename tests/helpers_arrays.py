"""Operations on arrays as cases: the same function over expressions and, independently, over NumPy arrays of mpmath numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp, mpf

import diffkit as dk
from diffkit.expr.node import Expr, make, variable
from diffkit.ops import TABLE
from diffkit.tape import Tape, record


@dataclass(frozen=True)
class ArrayCase:
    """`build` makes an expression of the inputs; `exact` is the same over object arrays of mpmath numbers."""

    id: str
    op: str
    shapes: tuple[tuple[int, ...], ...]
    build: Callable[..., Expr]
    exact: Callable[..., Any]

    def inputs(self, dtype: str) -> list[Expr]:
        return [variable(f"x{k}", s, dtype) for k, s in enumerate(self.shapes)]

    def tape(self, dtype: str = "float64") -> Tape:
        inputs = self.inputs(dtype)
        return record(self.build(*inputs), inputs)

    def values(self, dtype: str = "float64", loop: tuple[int, ...] = ()) -> list[np.ndarray]:
        rng = np.random.default_rng(len(self.id))
        return [
            (rng.uniform(0.3, 1.5, (*loop, *s)) * rng.choice([-1, 1], (*loop, *s))).astype(dtype) for s in self.shapes
        ]


def _log(x: Any) -> Any:
    return np.vectorize(mp.log, otypes=[object])(x)


def _exp(x: Any) -> Any:
    return np.vectorize(mp.exp, otypes=[object])(x)


def _root(x: Any) -> Any:
    return np.vectorize(mp.sqrt, otypes=[object])(x)


_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "logsumexp": lambda x, **how: _log(np.sum(_exp(x), **how)),
    "norm": lambda x, **how: _root(np.sum(x * x, **how)),
}

_AXES = [((3,), None), ((2, 3), None), ((2, 3), 0), ((2, 3), -1), ((2, 3, 2), (0, 2)), ((2, 1, 3), (1,))]


def _reductions() -> list[ArrayCase]:
    made = []
    for op in TABLE.values():
        if op.family == "reduction":
            for shape, axis in _AXES:
                for keepdims in (False, True):
                    how = {"axis": axis, "keepdims": keepdims}
                    made.append(ArrayCase(
                        f"{op.name}{list(shape)}-axis={axis}{'-keepdims' * keepdims}", op.name, (shape,),
                        lambda x, op=op, how=how: getattr(dk, op.name)(x, **how),
                        lambda x, op=op, how=how: _REDUCTIONS[op.name](x, **how),
                    ))  # fmt: skip
    return made


def _same(id: str, op: str, shapes: Any, f: Callable[..., Any]) -> ArrayCase:
    """A function that is written alike over expressions and over object arrays."""
    return ArrayCase(id, op, shapes, f, f)


def _scatter_exact(x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    out = np.full(shape, mpf(0), dtype=object)
    for position in np.ndindex(x.shape):
        out[index[position[0]], *position[1:]] += x[position]
    return out


_ROWS = np.array([2, 0, 2])
_INDICES = {
    "int": 1, "negative": -1, "slice": np.s_[1:], "step": np.s_[::2, ::-1], "ellipsis": np.s_[..., 1],
    "newaxis": np.s_[None, 1:, None],
    "array": np.s_[_ROWS], "arrays": np.s_[_ROWS, [0, 1, 1]], "split": np.s_[_ROWS, :, None], "mask": np.array([True, False, True]),
    "grid": np.s_[_ROWS[:, None], [0, 3]],
}  # fmt: skip

_PRODUCTS = [
    ((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 2, 3), (3, 2)), ((2, 1, 2, 3), (4, 3, 1)),
    ((1, 3), (3, 1)),
]  # fmt: skip


def array_cases() -> list[ArrayCase]:
    from helpers_convolution import convolution_cases  # made of the class above
    from helpers_indexing import indexing_cases
    from helpers_linalg import linalg_cases
    from helpers_loops import loop_cases

    scatter = {"index": (("array", (3,), _ROWS.astype(np.int64).tobytes()), Ellipsis), "shape": (4, 2)}
    return [
        *_reductions(),
        *(ArrayCase(f"log_softmax{list(shape)}-axis={axis}", "log_softmax", (shape,), lambda x, axis=axis: dk.log_softmax(x, axis),
                    lambda x, axis=axis: x - _log(np.sum(_exp(x), axis=axis, keepdims=True))) for shape, axis in _AXES[:-1]),
        *linalg_cases(),
        *convolution_cases(),
        *indexing_cases(),
        *loop_cases(),
        *(_same(f"getitem-{name}", "getitem", ((3, 4),), lambda x, i=i: x[i]) for name, i in _INDICES.items()),
        *(_same(f"matmul{list(a)}{list(b)}", "matmul", (a, b), np.matmul) for a, b in _PRODUCTS),
        _same("reshape", "reshape", ((2, 3),), lambda x: np.reshape(x, (3, 2))),
        _same("reshape-flat", "reshape", ((2, 3),), lambda x: np.reshape(x, (-1,))),
        _same("transpose", "transpose", ((2, 3),), np.transpose),
        _same("transpose-axes", "transpose", ((2, 3, 4),), lambda x: np.transpose(x, (1, 2, 0))),
        _same("broadcast_to", "broadcast_to", ((3, 1),), lambda x: np.broadcast_to(x, (2, 3, 4))),
        _same("broadcast_to-scalar", "broadcast_to", ((),), lambda x: np.broadcast_to(x, (2, 3))),
        _same("concatenate", "concatenate", ((2, 3), (1, 3), (2, 3)), lambda *x: np.concatenate(x)),
        _same("concatenate-last", "concatenate", ((2, 1), (2, 3)), lambda *x: np.concatenate(x, axis=-1)),
        _same("stack", "stack", ((2, 3), (2, 3)), lambda *x: np.stack(x)),
        _same("stack-middle", "stack", ((2, 3), (2, 3), (2, 3)), lambda *x: np.stack(x, axis=1)),
        ArrayCase("scatter", "scatter", ((3, 2),), lambda x: make(TABLE["scatter"], (x,), scatter),
                  lambda x: _scatter_exact(x, _ROWS, (4, 2))),
    ]  # fmt: skip


def exactly(x: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda v: mpf(float(v)), otypes=[object])(x) if x.size else x.astype(object)


def as_floats(x: Any) -> np.ndarray:
    return np.asarray(np.vectorize(float)(x), float)


def value_exact(case: ArrayCase, values: list[np.ndarray]) -> np.ndarray:
    with mp.workdps(60):
        return as_floats(case.exact(*map(exactly, values)))


def tangent_exact(case: ArrayCase, values: list[np.ndarray], directions: list[np.ndarray]) -> np.ndarray:
    """The derivative along a direction, by a central difference at 130 digits."""
    with mp.workdps(130):
        h = mpf(10) ** -30
        x, v = [exactly(a) for a in values], [exactly(a) for a in directions]
        ends = [case.exact(*(a + s * h * d for a, d in zip(x, v, strict=True))) for s in (1, -1)]
        return as_floats((ends[0] - ends[1]) / (2 * h))
