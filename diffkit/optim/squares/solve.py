"""least_squares: what it is called with, checked; the method; the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...engines import check_engine
from ...errors import ArgumentError, ShapeError
from ...machines import check_machine
from ...transforms.arguments import expression_of, is_text_or_expr
from ..result import Path
from .marquardt import STATUS, Found, levenberg_marquardt, square
from .norms import length, lengths
from .result import LeastSquaresResult, covariance
from .system import System, Unknowns, of_expression, of_function

METHODS = ("lm", "scipy:lm", "scipy:trf", "scipy:dogbox")
#: evaluations for every unknown before the search is given up; the longest of NIST's problems takes 270
BUDGET = 1000


def least_squares(
    residual: Any,
    x0: Any,
    data: Any = (),
    *,
    method: str | None = None,
    ftol: float | None = None,
    xtol: float | None = None,
    gtol: float | None = None,
    max_nfev: int | None = None,
    bounds: Any = None,
    sigma: Any = None,
    weights: Any = None,
    absolute_sigma: bool = False,
    keep_path: bool = False,
    engine: str | None = None,
    machine: str = "cpu",
) -> LeastSquaresResult:
    """The x that makes ½ Σ rᵢ(x)² smallest, by the Levenberg–Marquardt method on the exact Jacobian.

    residual: a Python function ``residual(x, *data)`` of any nest x, giving an array (or a nest) of residuals; or an expression or
        text, with x0 and data by name, data with loop dims, one residual a point:
        ``least_squares("b1*(1 - exp(-b2*t)) - y", {"b1": 500, "b2": 1e-4}, {"t": t, "y": y})``.
    x0: the nest to start from. Integers and float32 are taken as float64, in which everything is computed.
    data: further arguments of the function, as a tuple or list (anything else is one argument); by name for an expression.
    method: "lm" here, a trust region in Moré's form (`marquardt.py`); "scipy:lm", "scipy:trf", "scipy:dogbox" give residuals and
        Jacobian to `scipy.optimize.least_squares`. By default "lm", and "scipy:trf" where there are bounds.
    ftol, xtol, gtol: relative change of the sum of squares, length of a step relative to x, and cosine between residuals and a
        column of the Jacobian (as for SciPy's "lm") at which to stop. By default None: "lm" goes on to the last digit that rounding
        leaves, which is mostly a few evaluations more; SciPy's methods take their own 1e-8.
    max_nfev: evaluations of the residuals at most, by default 1000 for every unknown.
    bounds: (lower, upper), each a number or a nest like x0.
    sigma, weights: standard deviations of the residuals, which are divided by them; or weights of their squares. Of the residuals'
        shape, or one that broadcasts to it. absolute_sigma=True: `covariance` takes sigma as it is, not scaled by the residuals.
    engine: how J is made; by default forward or reverse, whichever takes fewer passes.

    The result has SciPy's fields, `covariance`, `x_sd` (standard errors), and with keep_path=True `path`. Points where a residual
    or a derivative is not finite are refused and approached by shorter steps; where nothing better is found though the gradient is
    not 0, success is False and `message` says why. Raises ArgumentError for a start at which a residual or derivative is not
    finite (named), for tolerances that are not positive and other wrong options, ShapeError for fewer residuals than unknowns,
    DtypeError for unknowns that are no real numbers.
    """
    method = _method(method, bounds)
    if engine is not None:
        check_engine(engine)
    check_machine(machine)
    for name, tolerance in (("ftol", ftol), ("xtol", xtol), ("gtol", gtol)):
        if tolerance is not None and not (isinstance(tolerance, (float, np.floating)) and 0 < tolerance < 1):
            raise ArgumentError(f"{name} is a number between 0 and 1, or None (to the last digit), not {tolerance!r}")
    if max_nfev is not None and (
        isinstance(max_nfev, bool) or not isinstance(max_nfev, (int, np.integer)) or max_nfev < 1
    ):
        raise ArgumentError(f"max_nfev is a positive whole number, not {max_nfev!r}")

    if is_text_or_expr(residual):
        system = of_expression(expression_of(residual), x0, data, engine, machine)
    elif callable(residual):
        system = of_function(residual, x0, data, engine, machine)
    else:
        raise ArgumentError(f"the residual is a function, an expression or text, not {type(residual).__name__}")
    unknowns = system.unknowns
    system.root_weights = _root_weights(sigma, weights, system.shape)
    x = unknowns.start
    r, jacobian = _first(system, x)
    counted = len(r) if system.root_weights is None else int(np.count_nonzero(system.root_weights))
    if counted < len(x):
        raise ShapeError(
            f"{counted} residual{'s' * (counted != 1)} for {len(x)} unknowns ({_listed(unknowns.names)}): they do not determine "
            "them; give more data, or fit fewer"
        )

    points, costs = [x], [float(r @ r) / 2]

    def visit(at: np.ndarray, total: float) -> None:
        if keep_path:
            points.append(at.copy())
            costs.append(total / 2)

    budget = BUDGET * len(x) if max_nfev is None else max_nfev
    tolerances = {"ftol": ftol, "xtol": xtol, "gtol": gtol}
    if method == "lm":
        found = levenberg_marquardt(system, x, r, jacobian, max_nfev=budget, visit=visit, **tolerances)
        message = STATUS[found.status]
    else:
        found, message = _through_scipy(system, method.removeprefix("scipy:"), bounds, budget, tolerances, visit)
    path = Path(np.array(points), np.array(costs)) if keep_path else None
    return _result(system, found, message, method, counted - len(x), absolute_sigma, path)


def _method(method: str | None, bounds: Any) -> str:
    if method is None:
        return "lm" if bounds is None else "scipy:trf"
    if method not in METHODS:
        raise ArgumentError(f"there is no method {method!r}; choose one of {', '.join(METHODS)}")
    if bounds is not None and method.endswith("lm"):
        raise ArgumentError(f'{method!r} knows no bounds; "scipy:trf" and "scipy:dogbox" do')
    return method


def _root_weights(sigma: Any, weights: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Factors of the residuals, (m,)."""
    if sigma is None and weights is None:
        return None
    if sigma is not None and weights is not None:
        raise ArgumentError("sigma and weights say the same: weights = 1/sigma². Give one of them")
    name, given = ("sigma", sigma) if weights is None else ("weights", weights)
    try:
        values = np.broadcast_to(np.asarray(given, float), shape).ravel()
    except ValueError:
        raise ShapeError(f"{name} has shape {np.shape(given)}, the residuals {shape}") from None
    right = (values > 0) if weights is None else (values >= 0)
    wrong = np.flatnonzero(~(right & np.isfinite(values)))
    if len(wrong):
        at = np.unravel_index(wrong[0], shape)
        least = "greater than 0" if weights is None else "at least 0"
        raise ArgumentError(f"{name}{_at(at)} is {values[wrong[0]]}; it must be finite and {least}")
    return 1 / values if weights is None else np.sqrt(values)


def _first(system: System, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residuals and Jacobian at the start. ArgumentError where they are not finite."""
    r, jacobian = system.linearised(x)
    remedy = "start elsewhere, or look for a NaN in the data"
    bad = np.flatnonzero(~np.isfinite(r))
    if len(bad):
        others = f", and {len(bad) - 1} more are not finite" if len(bad) > 1 else ""
        at = np.unravel_index(bad[0], system.shape)
        raise ArgumentError(f"the residual{_at(at)} is {r[bad[0]]} at x0{others}; {remedy}")
    if not np.isfinite(square(r)):
        raise ArgumentError("the sum of squares overflows at x0; start elsewhere, or scale the residuals")
    rows, columns = np.nonzero(~np.isfinite(jacobian))
    if len(rows):
        at = np.unravel_index(rows[0], system.shape)
        raise ArgumentError(
            f"the derivative of residual{_at(at)} by {system.unknowns.names[columns[0]]} is "
            f"{jacobian[rows[0], columns[0]]} at x0; {remedy}"
        )
    return r, jacobian


def _at(index: Any) -> str:
    return f"[{', '.join(str(int(k)) for k in index)}]" if len(index) else ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _through_scipy(
    system: System, method: str, bounds: Any, budget: int, tolerances: dict[str, float | None],
    visit: Callable[[np.ndarray, float], None],
) -> tuple[Found, str]:  # fmt: skip
    """By `scipy.optimize.least_squares`, which is handed residuals and exact Jacobian."""
    from scipy.optimize import least_squares as by_scipy

    unknowns = system.unknowns
    options: dict[str, Any] = {name: value for name, value in tolerances.items() if value is not None}
    if bounds is not None:
        options["bounds"] = _bounds(bounds, unknowns)

    def jacobian(x: np.ndarray) -> np.ndarray:
        r, j = system.linearised(x)
        if not np.array_equal(x, unknowns.start):
            visit(x, float(r @ r))
        return j

    try:
        with np.errstate(over="ignore", invalid="ignore"):  # of points that it looks at and refuses
            result = by_scipy(system.residuals, unknowns.start, jacobian, method=method, max_nfev=budget, **options)
    except ValueError as problem:
        raise ArgumentError(f"scipy.optimize.least_squares, method {method!r}: {problem}") from None
    njev = result.nfev if result.njev is None else result.njev
    x = np.asarray(result.x, float)
    found = Found(x, *system.linearised(x), int(result.status), int(njev), int(result.nfev), int(njev))
    return found, str(result.message)


def _bounds(bounds: Any, unknowns: Unknowns) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise ArgumentError("bounds are a pair (lower, upper), each a number or a nest like x0")
    lower, upper = unknowns.vector(bounds[0], "the lower bound"), unknowns.vector(bounds[1], "the upper bound")
    for name, low, at, high in zip(unknowns.names, lower, unknowns.start, upper, strict=True):
        if not low < high or not low <= at <= high:
            raise ArgumentError(
                f"{name} starts at {at:g}, and its bounds are {low:g} and {high:g}; it must start between them"
            )
    return lower, upper


def _result(
    system: System, found: Found, message: str, method: str, freedom: int, absolute: bool, path: Path | None
) -> LeastSquaresResult:
    r, jacobian, unknowns = found.r, found.jacobian, system.unknowns
    grad = r @ jacobian
    size, norms = length(r), lengths(jacobian)
    matrix, sd, rank = covariance(jacobian, 1.0 if absolute else size / np.sqrt(freedom) if freedom else np.inf)
    # the angle between residuals and columns, of neither of which the squares need be numbers
    along = np.abs((r / (size or 1.0)) @ (jacobian / np.where(norms > 0, norms, 1.0)))
    return LeastSquaresResult(
        x=unknowns.nest(found.x),
        cost=square(r) / 2,
        fun=r,
        jac=jacobian,
        grad=grad,
        optimality=float(np.max(np.abs(grad))),
        cosine=float(np.max(along)),
        nit=found.nit,
        nfev=found.nfev,
        njev=found.njev,
        status=found.status,
        success=found.status > 0,
        message=message,
        method=method,
        names=unknowns.names,
        rank=rank,
        degrees_of_freedom=freedom,
        covariance=matrix,
        x_sd=unknowns.nest(sd),
        path=path,
    )
