"""out=: the arrays that a derivative is written into, checked in one place for both ways of calling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..expr.node import Expr
from ..machines.protocol import Wanted, check_buffers, is_on_device


def out_buffers(
    out: Any,
    values: Sequence[Wanted],
    derivatives: Sequence[Wanted],
    arranged: Callable[[Any], Sequence[Any]],
    loop: tuple[int, ...],
    with_value: bool,
) -> list[Any]:
    """The arrays of `out` in the order of a program's outputs: the values first, then the derivatives.

    with_value: `out` is a pair (value, derivatives); otherwise the values go where nobody looks (None, beside arrays on a device).
    arranged: the arrays of the derivatives in order, from the structure that they were given in. Raises ArgumentError for a
    wrong structure, ShapeError for a wrong array.
    """
    unseen = 0 if with_value else len(values)
    buffers: list[Any]
    if not with_value:
        buffers = list(arranged(out))
    elif isinstance(out, (tuple, list)) and len(out) == 2:
        buffers = [out[0], *arranged(out[1])]
    else:
        given = f"{len(out)} items" if isinstance(out, (tuple, list)) else f"a value of type {type(out).__name__}"
        raise ArgumentError(f"out= of value_and_grad is a pair (array for the value, gradient), not {given}")
    wanted = [*values, *derivatives][unseen:]
    check_buffers(buffers, wanted, loop, device=True)
    if any(map(is_on_device, buffers)):  # whose machine has room for what nobody looks at
        return [*(None for _ in range(unseen)), *buffers]
    _check_apart(buffers, [name for name, _, _ in wanted])
    return [*(np.empty((*loop, *core), dtype) for _, core, dtype in values[:unseen]), *buffers]


def _check_apart(buffers: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Nothing is written over: in the order of their first bytes, an array is compared with those that begin within it."""
    if len(buffers) < 2:
        return
    lowest = [
        b.__array_interface__["data"][0] + sum([(n - 1) * s for n, s in zip(b.shape, b.strides, strict=True) if s < 0])
        for b in buffers
    ]
    order = sorted([k for k, b in enumerate(buffers) if b.size], key=lowest.__getitem__)
    for place, k in enumerate(order):
        for j in order[place + 1 :]:
            if not np.may_share_memory(buffers[k], buffers[j]):
                break
            if np.shares_memory(buffers[k], buffers[j]):
                first, second = sorted((k, j))
                raise ShapeError(
                    f"out= has the same memory for {names[first]} and {names[second]}; give each its own array"
                )


def check_out_applies(out: Any, order: int, reduce: str | None, values: Sequence[Any]) -> None:
    if out is None:
        return
    if order == 2 or reduce:
        raise ArgumentError("out= is for values, gradients and Jacobians; leave it out here")
    if any(isinstance(v, Expr) for v in values):
        raise ArgumentError("out= is for numbers; called with expressions, a derivative is an expression: leave it out")
