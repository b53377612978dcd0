"""SciPy's minimisers, handed the value, the exact gradient, and Hessians or products where they take them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from ...errors import ArgumentError, ShapeError
from ..objective import Layout, Objective, Point
from .iterating import STOPPED

#: how each method spells the limits of `minimize`; a limit that is not there cannot be given to it
KNOWN: dict[str, dict[str, str]] = {
    "Nelder-Mead": {"xtol": "xatol", "ftol": "fatol", "max_iter": "maxiter", "max_nfev": "maxfev"},
    "Powell": {"xtol": "xtol", "ftol": "ftol", "max_iter": "maxiter", "max_nfev": "maxfev"},
    "CG": {"gtol": "gtol", "max_iter": "maxiter"},
    "BFGS": {"gtol": "gtol", "xtol": "xrtol", "max_iter": "maxiter"},
    "Newton-CG": {"xtol": "xtol", "max_iter": "maxiter"},
    "L-BFGS-B": {"gtol": "gtol", "ftol": "ftol", "max_iter": "maxiter", "max_nfev": "maxfun"},
    "TNC": {"gtol": "gtol", "ftol": "ftol", "xtol": "xtol", "max_nfev": "maxfun"},
    "COBYLA": {"max_nfev": "maxiter"},
    "COBYQA": {"max_iter": "maxiter", "max_nfev": "maxfev"},
    "SLSQP": {"ftol": "ftol", "max_iter": "maxiter"},
    "trust-constr": {"gtol": "gtol", "xtol": "xtol", "max_iter": "maxiter"},
    **{n: {"gtol": "gtol", "max_iter": "maxiter"} for n in ("dogleg", "trust-ncg", "trust-krylov", "trust-exact")},
}
_VALUES_ONLY = ("Nelder-Mead", "Powell", "COBYLA", "COBYQA")
_BOUNDED = ("Nelder-Mead", "Powell", "L-BFGS-B", "TNC", "SLSQP", "trust-constr", "COBYLA", "COBYQA")
_CONSTRAINED = ("SLSQP", "trust-constr", "COBYLA", "COBYQA")
_MATRIX = ("dogleg", "trust-exact")
_PRODUCTS = ("Newton-CG", "trust-ncg", "trust-krylov", "trust-constr")


def scipy_minimize(
    objective: Objective, x0: Any, name: str, bounds: Any, constraints: Any, tol: float | None,
    limits: Mapping[str, Any], options: dict[str, Any], watch: Callable[[Point, int], None],
) -> dict[str, Any]:  # fmt: skip
    """The fields of a result, `message`, `status` and `success` being SciPy's."""
    from scipy.optimize import OptimizeWarning, minimize

    known = {n.lower(): n for n in KNOWN}
    if name.lower() not in known:
        close = get_close_matches(name.lower(), known, 1)
        hint = f"; did you mean {'scipy:' + known[close[0]]!r}?" if close else ""
        raise ArgumentError(f"SciPy has no method {name!r}{hint}; its methods are {', '.join(KNOWN)}")
    name = known[name.lower()]
    options = {**options, **_spelled(name, limits)}
    if bounds is not None and name not in _BOUNDED:
        raise ArgumentError(f"SciPy's {name} takes no bounds; {', '.join(_BOUNDED)} do")
    if constraints not in ((), [], None) and name not in _CONSTRAINED:
        raise ArgumentError(f"SciPy's {name} takes no constraints; {', '.join(_CONSTRAINED)} do")
    layout = objective.layout
    tape = _Tape(objective, name not in _VALUES_ONLY)
    start = tape.start(x0)
    handed: dict[str, Any] = {"jac": True} if name not in _VALUES_ONLY else {}
    if name in _MATRIX:
        handed["hess"] = objective.hessian
    elif name in _PRODUCTS:
        handed["hessp"] = objective.product
    if bounds is not None:
        handed["bounds"] = flat_bounds(bounds, layout)
    if name in _CONSTRAINED and constraints not in (None, []):
        handed["constraints"] = constraints
    done = 0

    def callback(xk: np.ndarray, *_: Any) -> None:
        nonlocal done
        done += 1
        watch(tape.at(np.array(xk, np.float64)), done)

    stopped = None
    try:
        watch(start, 0)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Unknown solver options", OptimizeWarning)
            found = minimize(tape, start.x, method=name, tol=tol, options=options, callback=callback, **handed)
    except OptimizeWarning as warning:
        unknown = str(warning).partition(": ")[2]
        raise ArgumentError(
            f"SciPy's {name} has no option {unknown}; scipy.optimize.show_options('minimize', {name!r}) lists them"
        ) from None
    except StopIteration:  # where SciPy does not catch it
        stopped = tape.last
    counts = {"nfev": objective.nfev, "njev": objective.njev, "nhev": objective.nhev}
    if stopped is not None:
        at, told = (
            stopped,
            {"message": "the callback raised StopIteration", "success": False, "status": STOPPED, "nit": done},
        )
    else:
        at = tape.at(np.asarray(found.x, np.float64))
        told = {"message": str(found.message), "success": bool(found.success), "status": int(found.status)}
        told["nit"] = int(found.get("nit", done))
        extra = {k: found[k] for k in ("hess_inv", "maxcv", "constr_violation", "v", "multipliers") if k in found}
        told |= extra
    grads = {} if name in _VALUES_ONLY else {"grad": layout.nest(at.gradient), "jac": at.gradient.copy()}
    return {**told, "fun": at.value, "x": layout.nest(at.x), **grads, **counts}


class _Tape:
    """What SciPy calls: (value, gradient) or the value; remembers the latest point."""

    def __init__(self, objective: Objective, gradients: bool) -> None:
        self.objective, self.gradients = objective, gradients
        self.last: Point

    def start(self, x0: Any) -> Point:
        if self.gradients:
            self.last = self.objective.start(x0)
        else:
            self.last = self.evaluated(self.objective.layout.flat(x0, "x0"))
        return self.last

    def evaluated(self, x: np.ndarray) -> Point:
        if self.gradients:
            return self.objective.point(x)
        return Point(x, self.objective.value(x), np.empty(0))

    def at(self, x: np.ndarray) -> Point:
        if not np.array_equal(x, self.last.x):
            self.last = self.evaluated(x.copy())
        return self.last

    def __call__(self, x: np.ndarray) -> Any:
        point = self.at(np.asarray(x, np.float64))
        return (point.value, point.gradient.copy()) if self.gradients else point.value


def _spelled(name: str, limits: Mapping[str, Any]) -> dict[str, Any]:
    spelled = KNOWN[name]
    for limit, value in limits.items():
        if value is not None and limit not in spelled:
            raise ArgumentError(
                f"SciPy's {name} has no {limit}; it has {', '.join(spelled)}, and options={{…}} of its own"
            )
    return {spelled[k]: v for k, v in limits.items() if v is not None}


def flat_bounds(bounds: Any, layout: Layout) -> Any:
    """SciPy's `Bounds` of the vector of parameters.

    bounds: such a thing already; pairs, one an element; or a dict by name of pairs (numbers, or arrays that broadcast to the
    leaf), for a flat dict of parameters. Raises ArgumentError for an unknown name, a NaN or a pair the wrong way round,
    ShapeError for another number of them.
    """
    from scipy.optimize import Bounds

    if isinstance(bounds, Bounds):
        low, high = (np.broadcast_to(np.asarray(b, float), layout.size) for b in (bounds.lb, bounds.ub))
    elif isinstance(bounds, Mapping):
        low, high = np.full(layout.size, -math.inf), np.full(layout.size, math.inf)
        ends = np.cumsum(layout.sizes).tolist()
        where = {n.partition(".")[2]: k for k, n in enumerate(layout.names)}
        for name, pair in bounds.items():
            if name not in where:
                raise ArgumentError(f"bounds for {name!r}, which is no parameter; these are {', '.join(where)}")
            k = where[name]
            for side, given in zip((low, high), _pair(pair, name), strict=True):
                side[ends[k] - layout.sizes[k] : ends[k]] = np.broadcast_to(given, layout.shapes[k]).reshape(-1)
    else:
        pairs = [_pair(p, f"element {k}") for k, p in enumerate(bounds)]
        if len(pairs) != layout.size:
            raise ShapeError(f"{len(pairs)} bounds for {layout.size} parameters")
        low, high = (np.array([float(p[side]) for p in pairs]) for side in (0, 1))
    if np.isnan(low).any() or np.isnan(high).any():
        k = int(np.argmax(np.isnan(low) | np.isnan(high)))
        raise ArgumentError(f"a bound of {layout.entry(k)} is NaN; where there is none, it is None or infinite")
    if (low > high).any():
        k = int(np.argmax(low > high))
        raise ArgumentError(f"the lower bound of {layout.entry(k)}, {low[k]:g}, is above the upper one, {high[k]:g}")
    return Bounds(low, high)


def _pair(pair: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(pair, (tuple, list, np.ndarray)) or len(pair) != 2:
        raise ArgumentError(f"the bounds of {name} are a pair (low, high), None for none, not {pair!r}")
    low, high = pair
    return (-math.inf if low is None else np.asarray(low, float)), (
        math.inf if high is None else np.asarray(high, float)
    )
