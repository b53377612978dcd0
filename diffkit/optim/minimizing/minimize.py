"""`minimize`: a function of any nest, by diffkit's optimisers or SciPy's."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...expr.trace import flatten
from ..objective import Objective, Point
from ..optimizer import Optimizer
from ..result import Path, result
from ..second_order.bfgs import BFGS
from ..second_order.descent import Backtracking
from ..second_order.lbfgs import LBFGS
from ..second_order.method import VectorOptimizer
from ..second_order.newton import Newton
from ..second_order.trust import TrustNCG
from .iterating import Outcome, Rules, iterate, nest_steps, vector_steps


def _descent(**options: Any) -> Optimizer:
    if "learning_rate" not in options and "lr" not in options:
        return Backtracking(**options)
    from ..first_order.gradient import GradientDescent

    return GradientDescent(**options)


#: what `minimize` does itself
METHODS: dict[str, Callable[..., Optimizer]] = {
    "gd": _descent,
    "newton": lambda **o: Newton(**{"line_search_fn": "strong_wolfe", **o}),
    "bfgs": BFGS,
    "lbfgs": lambda **o: LBFGS(**{"flavor": "paper", **o}),
    "trust-ncg": TrustNCG,
}


def minimize(
    f: Any,
    x0: Any,
    method: Any = "lbfgs",
    *,
    args: Any = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    gtol: float | None = None,
    ftol: float | None = None,
    xtol: float | None = None,
    max_iter: int | None = None,
    max_nfev: int | None = None,
    callback: Callable[..., Any] | None = None,
    keep_path: bool = False,
    disp: bool = False,
    engine: str = "reverse",
    machine: str = "cpu",
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> Any:
    """The parameters at which a scalar function is least, found from x0 downhill.

    f: a Python function of x0 and `args`, traced and compiled once; or an expression or text, x0 then being a dict by name. x0: any
    nest of numbers and float arrays (a list or tuple of plain numbers is an array); float32 leaves are float32 in the function,
    the search itself is in float64. The gradient is diffkit's (`engine`, `machine`), or `jac`'s, for functions that cannot be
    traced: a callable of the same arguments, True if f gives (value, gradient), False if there is none and the method needs none.
    hess, hessp: SciPy's, in the place of diffkit's.

    method:

    - "gd": gradient descent, backtracking, or fixed with learning_rate=…
    - "newton": exact Hessian, shifted where it is not positive definite, line search
    - "bfgs", "lbfgs": with a strong Wolfe line search (history_size=10)
    - "trust-ncg": Steihaug's conjugate gradients on exact Hessian-vector products
    - an `Optimizer`, such as ``dk.optim.Adam(lr=0.1)``: up to max_iter of its updates
    - "scipy:NAME": any of ``scipy.optimize.minimize``, with exact gradient, and Hessian or products where it takes them

    bounds: pairs (low, high), one an element, None for none; SciPy's `Bounds`; or a dict {name: (low, high)} for a dict of
    parameters. With method "lbfgs" bounds mean "scipy:L-BFGS-B"; other methods of diffkit take none. constraints: SciPy's, of the
    vector of all parameters, for its methods alone.

    gtol: largest entry of the gradient at the end, by default the square root of the function's precision, 1.5e-8 (3.5e-4 of
    float32). ftol, xtol: stop as well when a step lowers the value, or moves the parameters, by less than this part; 0, never.
    tol: gtol, by SciPy's name. SciPy's methods keep their own defaults. max_iter: 1000 or 200 n, the larger; max_nfev: no limit.
    callback: called with every new iterate (or with ``intermediate_result=``, if its argument is named so); may raise
    StopIteration. keep_path: the result's `path` has all iterates. disp: prints a line an iteration. Further options are the
    optimiser's; for SciPy's methods they are its `options`.

    Returns SciPy's OptimizeResult: x and grad structured as x0, fun, jac (the gradient as a vector), nit, nfev, njev, nhev,
    success, status, message, path. success is True only where the gradient is at most gtol (or ftol or xtol, where given, was
    met), or where no step goes lower and the gradient is what round-off leaves: moving the parameters by an ulp changes it by at
    least a tenth of its size, and moving them further by ever more. At a kink, where it jumps, success is False, whether or not it
    is a minimum. status: 0 converged, 1 a limit was reached, 2 stopped at round-off or a kink, 3 NaN, 4 unbounded below, 99
    stopped by the callback; of SciPy's methods, SciPy's.

    Raises ArgumentError for a method or option that there is not, NotFiniteError where the function or its gradient is not finite
    at x0, TracingError for a function that cannot be traced.
    """
    x0 = _as_parameters(x0)
    more = {**(options or {}), **more}
    name = method if isinstance(method, str) else None
    if name == "lbfgs" and bounds is not None:
        name, more = "scipy:L-BFGS-B", _renamed(more, {"history_size": "maxcor", "memory_size": "maxcor"})
    limits = {"gtol": gtol, "ftol": ftol, "xtol": xtol, "max_iter": max_iter, "max_nfev": max_nfev}
    for limit, value in (*limits.items(), ("tol", tol)):
        if value is None:
            continue
        if isinstance(value, bool) or not (isinstance(value, (int, float, np.number)) and value >= 0):
            raise ArgumentError(f"{limit} must be 0 or more, not {value!r}")
        endless = limit == "max_nfev" and value == math.inf
        if limit.startswith("max_") and not endless and value % 1 != 0:
            raise ArgumentError(f"{limit} is a whole number, not {value!r}")
    through_scipy = name is not None and name.lower().startswith("scipy:")
    if not through_scipy:
        optimizer = _optimizer(method, more, bounds, constraints)
    objective = Objective(f, x0, args, jac=jac, hess=hess, hessp=hessp, engine=engine, machine=machine)
    follower = Follower(objective, callback, keep_path, disp)
    if through_scipy:
        from .through_scipy import scipy_minimize

        assert name is not None
        found = scipy_minimize(objective, x0, name[6:], bounds, constraints, tol, limits, more, follower)
        return result(**found, path=follower.path(), method=name)
    start = objective.start(x0)
    gtol = gtol if gtol is not None else tol if tol is not None else math.sqrt(objective.eps)
    most = max(1000, 200 * objective.layout.size) if max_iter is None else int(max_iter)
    rules = Rules(gtol, ftol or 0.0, xtol or 0.0, most, math.inf if max_nfev is None else max_nfev)
    if isinstance(optimizer, VectorOptimizer):
        searches = optimizer.searches or isinstance(optimizer, TrustNCG)
        steps = vector_steps(optimizer, objective)
    else:
        searches, steps = False, nest_steps(optimizer, objective, start.x)
    with np.errstate(over="ignore", invalid="ignore"):  # a step too far is judged by its value
        outcome = iterate(objective, start, *steps, rules, follower, searches)
    shown = name or repr(method)
    return result(**described(objective, outcome), path=follower.path(), method=shown)


def described(objective: Objective, outcome: Outcome) -> dict[str, Any]:
    """The fields of a result."""
    nest, at = objective.layout.nest, outcome.at
    return {
        "message": outcome.message,
        "success": outcome.success,
        "status": outcome.status,
        "fun": at.value,
        "x": nest(at.x),
        "nit": outcome.iterations,
        "grad": nest(at.gradient),
        "jac": at.gradient.copy(),
        "nfev": objective.nfev,
        "njev": objective.njev,
        "nhev": objective.nhev,
    }


class Follower:
    """What looks on: the callback, the path, the printed lines."""

    def __init__(self, objective: Objective, callback: Callable[..., Any] | None, keep: bool, disp: bool) -> None:
        if callback is not None and not callable(callback):
            raise ArgumentError(f"callback is a callable, not {type(callback).__name__}")
        self.objective, self.callback, self.keep, self.disp = objective, callback, keep, disp
        self.points: list[np.ndarray] = []
        self.values: list[float] = []
        self.before: np.ndarray | None = None
        self.by_name = callback is not None and _takes_result(callback)

    def __call__(self, at: Point, done: int) -> None:
        if at.x is self.before:  # an iteration that only forgot what it had learned
            return
        self.before = at.x
        if self.keep:
            self.points.append(at.x.copy())
            self.values.append(at.value)
        if self.disp:
            print(f"{done:6d}  f {at.value: .10e}  |gradient| {at.norm:.3e}  evaluations {self.objective.nfev}")
        if self.callback is None or done == 0:
            return
        nest = self.objective.layout.nest
        if self.by_name:
            seen = result(x=nest(at.x), fun=at.value, grad=nest(at.gradient), jac=at.gradient.copy(), nit=done)
            self.callback(intermediate_result=seen)
        else:
            self.callback(nest(at.x))

    def path(self) -> Path | None:
        return Path(np.array(self.points), np.array(self.values)) if self.keep else None


def _takes_result(callback: Callable[..., Any]) -> bool:
    try:
        return list(inspect.signature(callback).parameters) == ["intermediate_result"]
    except (TypeError, ValueError):
        return False


def _as_parameters(x0: Any) -> Any:
    """A list or tuple of plain numbers (or of lists of such) is an array, as in SciPy; every other nest is itself."""
    if isinstance(x0, (list, tuple)) and not hasattr(x0, "_fields"):
        leaves = flatten(x0)[0]
        if leaves and all(isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in leaves):
            try:
                return np.array(x0, np.float64)
            except (TypeError, ValueError):  # ragged, or with dicts inside: a nest
                return x0
    return x0


def _optimizer(method: Any, options: dict[str, Any], bounds: Any, constraints: Any) -> Optimizer:
    if isinstance(method, Optimizer):
        if options:
            raise ArgumentError(
                f"minimize has no option {next(iter(options))!r}; an optimiser's options are given to it"
            )
        optimizer, shown = method, method.name
    elif not isinstance(method, str):
        raise ArgumentError(f"method is a name or an optimiser (dk.optim.Adam(…)), not {type(method).__name__}")
    elif method not in METHODS:
        raise ArgumentError(f"there is no method {method!r}{_hint(method)} {_listed()}")
    else:
        optimizer, shown = METHODS[method](**options), method
    if bounds is not None:
        raise ArgumentError(
            f'{shown} takes no bounds; method="lbfgs" with bounds is SciPy\'s L-BFGS-B, or "scipy:TNC" and others'
        )
    if constraints not in ((), [], None):
        raise ArgumentError(f'{shown} takes no constraints; "scipy:SLSQP" and "scipy:trust-constr" do')
    return optimizer


def _listed() -> str:
    return f'Methods are {", ".join(METHODS)}, an optimiser such as dk.optim.Adam(lr=0.1), and "scipy:NAME"'


def _hint(method: str) -> str:
    from .through_scipy import KNOWN

    scipy = {_bare(n): f"'scipy:{n}'" for n in KNOWN}
    own = {**{_bare(n): repr(n) for n in METHODS}, "gradientdescent": "'gd'", "steepestdescent": "'gd'"}
    first_order = {
        n.lower(): f"dk.optim.{n}(…)" for n in ("SGD", "AdaGrad", "AdaDelta", "RMSProp", "Adam", "AdamW", "LAMB")
    }
    meant = {**scipy, **first_order, **own}
    close = get_close_matches(_bare(method), meant, 1)
    return f"; did you mean {meant[close[0]]}?" if close else "."


def _bare(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _renamed(options: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(n, n): v for n, v in options.items()}
