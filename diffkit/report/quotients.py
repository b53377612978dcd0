"""Difference quotients over the step, at one point: the figure every text on finite differences draws, from this formula.

Plain quotients with plain steps, none of the finite engine's care: one-sided (f(x + h) − f(x))/h, central, and the complex step
Im f(x + ih)/h where the formula takes complex numbers. Beside them what Richardson extrapolation makes of values alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compare import Comparison
from ..engines.finite import ComplexStep, FiniteProgram
from ..errors import DiffkitError
from ..expr.latex import name as latex_name
from ..machines import machine as find_machine
from ..machines.numpy import run
from ..numerics import UNIT_ROUNDOFF
from ..tape import Tape, record

#: steps relative to |x|, from where x + h is the next double or so
EXPONENTS = np.linspace(-15.5, 0.0, 63)


def step_curve(c: Comparison) -> dict[str, Any] | None:
    """Relative errors of quotients against the step, or None where no scalar derivative is certified and not zero.

    The variable is the one on which the value depends most (largest median of |g·x|), the point the certified one at which
    the finite engine's relative error is the median.
    """
    column = c.columns.get("finite")
    if column is None or not column.gradient or any(v.ndim > 1 for v in c.at.values()):
        return None
    weight = {
        w: np.where(column.decided[w] & (c.truth.gradient[w] != 0), np.abs(c.truth.gradient[w] * c.at[w]), np.nan)
        for w in c.wrt
    }
    weight = {w: a for w, a in weight.items() if np.isfinite(a).any()}
    if not weight:
        return None
    w = max(weight, key=lambda w: float(np.nanmedian(weight[w])))
    usable = np.flatnonzero(np.isfinite(weight[w]))
    k = int(usable[np.argsort(column.relative_error[w][usable], kind="stable")[len(usable) // 2]])
    tape, names = record(c.f), list(c.at)
    point, truth = [v[k] for v in c.at.values()], float(c.truth.gradient[w][k])
    curve = errors(tape, names.index(w), point, truth)
    return {
        "wrt": w,
        "wrt_latex": latex_name(w),
        "at": dict(zip(names, map(float, point), strict=True)),
        "truth": truth,
        **curve,
    }


def errors(tape: Tape, position: int, point: list[np.ndarray], truth: float) -> dict[str, Any]:
    """Steps, and the relative error of each quotient at each of them."""
    executable = find_machine("numpy").compile(tape)
    x = float(point[position])
    h = 10.0**EXPONENTS * (abs(x) or 1.0)

    def at(shifted: np.ndarray) -> np.ndarray:
        return executable([shifted if i == position else v for i, v in enumerate(point)])[0]

    with np.errstate(all="ignore"):
        above, below, here = x + h, x - h, float(at(np.array([x]))[0])
        up, down = at(above), at(below)
        found = {
            "forward": (up - here) / (above - x),
            "central": (up - down) / (above - below),
            "complex": _complex_step(tape, position, point, h),
        }
        off = {name: np.abs(q - truth) / abs(truth) for name, q in found.items() if q is not None}
    central = off["central"]
    return {
        "h": [short(v) for v in h],
        **{name: [short(v) for v in e] for name, e in off.items()},
        "richardson": _richardson(tape, position, point, truth),
        "rounding": UNIT_ROUNDOFF["float64"] * abs(here / truth),
        "truncation": _quadratic(h, central),
    }


def short(x: float) -> float:
    """Four digits: enough for a figure."""
    return float(f"{x:.4g}")


def _complex_step(tape: Tape, position: int, point: list[np.ndarray], h: np.ndarray) -> np.ndarray | None:
    if isinstance(ComplexStep.of(tape, position), str):
        return None
    inputs = [np.reshape(v, 1) if i != position else v + 1j * h for i, v in enumerate(point)]
    try:
        return np.broadcast_to(run(tape, inputs)[tape.outputs[0]], h.shape).imag / h
    except TypeError:
        return None


def _richardson(tape: Tape, position: int, point: list[np.ndarray], truth: float) -> dict[str, float] | None:
    try:
        found = FiniteProgram(tape, (position,), "richardson").examine(find_machine("numpy"), point)
    except DiffkitError:
        return None
    return {"h": float(found.step[0][0]), "error": abs(float(found.blocks[0][0]) - truth) / abs(truth)}


def _quadratic(h: np.ndarray, central: np.ndarray) -> float | None:
    """c of the truncation error c·h², from the steps where it is seen: above the best one, and still small."""
    seen = np.isfinite(central)
    if not seen.any():
        return None
    best = int(np.nanargmin(np.where(seen, central, np.inf)))
    clear = seen & (np.arange(len(h)) > best) & (central > 30 * central[best]) & (central < 1e-2)
    return float(np.median(central[clear] / h[clear] ** 2)) if clear.sum() >= 3 else None
