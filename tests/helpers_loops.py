"""Operations with a body as cases for the rule tests, and a loop that is written out, for comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optree
from helpers_arrays import ArrayCase

import diffkit as dk
from diffkit.expr.trace import is_leaf


def python_scan(
    step: Callable, carry: Any, xs: Any = None, length: int | None = None, reverse: bool = False, **ignored: Any
):  # type: ignore[no-untyped-def]
    """What `dk.scan` means: a Python loop over expressions. At least one step."""
    rows, structure = optree.tree_flatten(xs, is_leaf=is_leaf)
    steps = rows[0].shape[0] if rows else length
    ys: list[Any] = [None] * steps
    for n in range(steps - 1, -1, -1) if reverse else range(steps):
        carry, ys[n] = step(carry, optree.tree_unflatten(structure, [x[n] for x in rows]))
    flat = [optree.tree_flatten(y, is_leaf=is_leaf) for y in ys]
    stacked = [dk.stack([leaves[k] for leaves, _ in flat]) for k in range(len(flat[0][0]))]
    return carry, optree.tree_unflatten(flat[0][1], stacked)


def _recurrence(c: Any, x: Any, w: Any) -> Any:
    return c * c * x - w * c + x


def _looped(reverse: bool = False, **how: Any) -> Callable[..., Any]:
    """c ← c²x − wc + x with y = cx, packed: the final c, then ys."""

    def build(c: Any, xs: Any, w: Any) -> Any:
        end, ys = dk.scan(lambda c, x: (_recurrence(c, x, w), c * x), c, xs, reverse=reverse, **how)
        return dk.concatenate([np.reshape(end, (-1,)), np.reshape(ys, (-1,))])

    return build


def _looped_exact(reverse: bool = False) -> Callable[..., Any]:
    def exact(c: Any, xs: Any, w: Any) -> Any:
        ys = [None] * len(xs)
        for n in range(len(xs))[:: -1 if reverse else 1]:
            c, ys[n] = _recurrence(c, xs[n], w), c * xs[n]
        return np.concatenate([np.reshape(c, -1), *(np.reshape(y, -1) for y in ys)])

    return exact


def _reversed_loop(which: int, checkpoints: int) -> Callable[..., Any]:
    """The gradient of Σ c·c + Σ ys by one of (c, xs, w), by a checkpointed reversal."""

    def f(c: Any, xs: Any, w: Any) -> Any:
        end, ys = dk.scan(lambda c, x: (_recurrence(c, x, w), c * x), c, xs, checkpoints=checkpoints)
        return np.sum(end * end) + np.sum(ys)

    return lambda *args: dk.grad(f, argnums=which)(*args)


def _reversed_exact(which: int) -> Callable[..., Any]:
    def exact(c: Any, xs: Any, w: Any) -> Any:
        cs = [c]
        for x in xs:
            cs.append(_recurrence(cs[-1], x, w))
        adjoint, of_w, of_xs = 2 * cs[-1], 0 * w, [None] * len(xs)
        for n in range(len(xs))[::-1]:
            of_xs[n] = adjoint * (cs[n] * cs[n] + 1) + cs[n]
            of_w = of_w - adjoint * cs[n]
            adjoint = adjoint * (2 * cs[n] * xs[n] - w) + xs[n]
        return (adjoint, np.stack(of_xs), of_w)[which]

    return exact


def _called(x: Any, w: Any) -> Any:
    """A function whose inside is computed again in reverse."""

    @dk.checkpoint
    def inside(x: Any, w: Any) -> Any:
        return {"y": _recurrence(x, w, x * w), "z": np.sum(x * w)}

    made = inside(x, w)
    return made["y"] * made["z"]


def loop_cases() -> list[ArrayCase]:
    loops = {"scan": {}, "scan-reverse": {"reverse": True}}
    shapes = ((2,), (3, 2), (2,))
    return [
        *(ArrayCase(name, "scan", shapes, _looped(**how), _looped_exact(**how)) for name, how in loops.items()),
        ArrayCase("scan-scalar", "scan", ((), (4,), ()), _looped(), _looped_exact()),
        ArrayCase("scan-one-step", "scan", ((2,), (1, 2), (2,)), _looped(), _looped_exact()),
        ArrayCase("scan-checkpoints", "scan", shapes, _looped(checkpoints=2), _looped_exact()),
        *(
            ArrayCase(
                f"scan_adjoint-{which}-{k}", "scan_adjoint", shapes, _reversed_loop(which, k), _reversed_exact(which)
            )
            for which in range(3)
            for k in (1, 2)
        ),
        ArrayCase("call", "call", ((3,), (3,)), _called, lambda x, w: _recurrence(x, w, x * w) * np.sum(x * w)),
    ]
