"""Points at which engines are compared: a dict, a tuple, a list of either, or arrays with loop dims."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..expr.node import Expr
from ..machines.protocol import as_input
from ..transforms.arguments import bind_names


def points_of(variables: Sequence[Expr], at: Any) -> dict[str, np.ndarray]:
    """Every variable as an array (points, *core) of its dtype."""
    names: list[str] = [v.name for v in variables]
    if isinstance(at, list):
        if not at:
            raise ArgumentError("at= is an empty list; give at least one point")
        each = [bind_names(names, *_form(p)) for p in at]
        given: dict[str, Any] = {n: np.stack([np.asarray(p[n]) for p in each]) for n in names}
    else:
        given = bind_names(names, *_form(at))
    arrays = {v.name: as_input(given[v.name], v.name, v.shape, v.dtype) for v in variables}
    loops = {v.name: arrays[v.name].shape[: arrays[v.name].ndim - len(v.shape)] for v in variables}
    try:
        loop = np.broadcast_shapes(*loops.values())
    except ValueError:
        shown = "; ".join(f"{n}: loop {s}" for n, s in loops.items())
        raise ShapeError(f"the loop dims of the points do not broadcast: {shown}") from None
    count = math.prod(loop)
    if count == 0:
        raise ArgumentError("there are no points to compare at")
    return {
        v.name: np.ascontiguousarray(np.broadcast_to(arrays[v.name], (*loop, *v.shape)).reshape((count, *v.shape)))
        for v in variables
    }


def _form(point: Any) -> tuple[tuple, dict]:
    if isinstance(point, Mapping):
        return (point,), {}
    if isinstance(point, tuple):
        return point, {}
    if isinstance(point, (int, float, np.ndarray, np.number)):
        return (point,), {}
    raise ArgumentError(f"a point is a dict by name or a tuple by position, not {type(point).__name__}")
