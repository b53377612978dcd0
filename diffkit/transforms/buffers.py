"""out=: the arrays that a derivative is written into, checked in one place for both ways of calling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError
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
    wrong structure, ShapeError for a wrong array, or two that share memory.
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
    return [*(np.empty((*loop, *core), dtype) for _, core, dtype in values[:unseen]), *buffers]


def check_out_applies(out: Any, order: int, reduce: str | None, values: Sequence[Any]) -> None:
    if out is None:
        return
    if order == 2 or reduce:
        raise ArgumentError("out= is for values, gradients and Jacobians; leave it out here")
    if any(isinstance(v, Expr) for v in values):
        raise ArgumentError("out= is for numbers; called with expressions, a derivative is an expression: leave it out")
