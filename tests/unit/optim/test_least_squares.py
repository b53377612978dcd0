"""least_squares: the answers, what the result says of them, and what is refused."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

import diffkit as dk
from diffkit.optim.squares.marquardt import Linear, levenberg_marquardt
from diffkit.optim.squares.norms import length, lengths, unit_of
from diffkit.optim.squares.result import LeastSquaresResult

RNG = np.random.default_rng(7)
T = np.linspace(0.0, 5.0, 40)
Y = 2.5 * np.exp(-1.3 * T) + 0.5 + 0.05 * RNG.normal(size=40)
TEXT = "a*exp(-k*t) + c - y"
START = {"a": 1, "k": 1.0, "c": 0.0}


def decay(x, t, y):
    return x["a"] * np.exp(-x["k"] * t) + x["c"] - y


def solve(residual=TEXT, x0=None, data=None, **options) -> LeastSquaresResult:
    return dk.optim.least_squares(residual, x0 or START, {"t": T, "y": Y} if data is None else data, **options)


def rosenbrock(x):
    return np.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


# ---- answers ----------------------------------------------------------------------------------------------------------
def test_text_and_function_agree_and_carry_scipys_names() -> None:
    by_text, by_function = solve(), solve(decay, data=(T, Y))
    for found in (by_text, by_function):
        assert found.success and found.status > 0 and found.message and found.method == "lm"
        assert found.fun.shape == (40,) and found.jac.shape == (40, 3) and found.grad.shape == (3,)
        assert found.cost == pytest.approx(0.5 * float(found.fun @ found.fun), rel=1e-15)
        assert found.optimality == np.max(np.abs(found.grad)) and found.cosine < 1e-12
        assert 0 < found.nit < found.nfev and found.njev <= found.nfev
        assert found.path is None
    assert set(by_text.x) == {"a", "c", "k"} and by_text.names == ["a", "c", "k"]
    assert by_function.names == ["a", "c", "k"]
    for name, value in by_text.x.items():
        assert value == pytest.approx(by_function.x[name], rel=1e-12)
        assert type(value) is np.float64


def test_linear_problem_is_solved_as_by_lstsq_with_the_usual_covariance() -> None:
    A, b = RNG.normal(size=(30, 4)), RNG.normal(size=30)
    found = dk.optim.least_squares(lambda x, A, b: A @ x - b, np.zeros(4), (A, b))
    expected, square, *_ = np.linalg.lstsq(A, b, rcond=None)
    assert found.x == pytest.approx(expected, rel=1e-12) and found.x.shape == (4,)
    assert found.degrees_of_freedom == 26 and found.rank == 4
    covariance = np.linalg.inv(A.T @ A) * square[0] / 26
    assert found.covariance == pytest.approx(covariance, rel=1e-10)
    assert found.x_sd == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-10)


@pytest.mark.parametrize("absolute", [False, True])
def test_weights_as_scipys_curve_fit(absolute: bool) -> None:
    from scipy.optimize import curve_fit

    sigma = RNG.uniform(0.5, 2.0, 40)
    f = lambda t, a, c, k: a * np.exp(-k * t) + c
    x, covariance = curve_fit(
        f, T, Y, [1, 0, 1], sigma=sigma, absolute_sigma=absolute, ftol=1e-15, xtol=1e-15, gtol=1e-15
    )
    for options in ({"sigma": sigma}, {"weights": sigma**-2.0}):
        found = solve(absolute_sigma=absolute, **options)
        assert [found.x[n] for n in "ack"] == pytest.approx(x, rel=1e-6)
        assert found.covariance == pytest.approx(covariance, rel=1e-5)


def test_weight_0_leaves_an_observation_out() -> None:
    weights = np.ones(40)
    weights[::4] = 0
    kept = weights > 0
    out, shorter = solve(weights=weights), solve(data={"t": T[kept], "y": Y[kept]})
    assert out.degrees_of_freedom == shorter.degrees_of_freedom == 27
    for name in "ack":
        assert out.x[name] == pytest.approx(shorter.x[name], rel=1e-12)
        assert out.x_sd[name] == pytest.approx(shorter.x_sd[name], rel=1e-10)


@pytest.mark.parametrize("method", ["scipy:lm", "scipy:trf", "scipy:dogbox"])
def test_through_scipy(method: str) -> None:
    ours, theirs = solve(), solve(method=method, keep_path=True)
    assert theirs.success and theirs.method == method and theirs.message
    for name in "ack":
        assert theirs.x[name] == pytest.approx(ours.x[name], rel=1e-5)
    assert len(theirs.path) > 1 and list(theirs.path.points[0]) == [1, 0, 1]


def test_bounds_go_to_scipy() -> None:
    found = solve(bounds=({"a": 0, "k": 0, "c": -1}, {"a": 9, "k": 9, "c": 0.25}))
    assert found.method == "scipy:trf" and found.x["c"] == pytest.approx(0.25, rel=1e-6)
    assert solve(bounds=(-10, 10)).x["c"] == pytest.approx(solve().x["c"], rel=1e-5)


def test_any_nest_and_several_arrays_of_residuals() -> None:
    def f(x, t):
        (w, rest) = x
        return {
            "first": w[0] * t + w[1] - 1.0,
            "second": [np.reshape(rest["s"] * t**2 - 2.0, (2, 20)), rest["s"] - 1.0],
        }

    found = dk.optim.least_squares(f, ([1, 0.0], {"s": 1}), T)
    assert isinstance(found.x, tuple) and isinstance(found.x[0], list)
    assert found.fun.shape == (81,) and found.jac.shape == (81, 3)
    assert found.x[0] == pytest.approx([0, 1], abs=1e-12) and found.names == ["x[0][0]", "x[0][1]", "x[1].s"]
    matrix = dk.optim.least_squares(lambda x: (x @ x - 2 * np.eye(2)).ravel(), np.array([[1.0, 0.1], [0.1, 1.0]]))
    assert matrix.x.shape == (2, 2) and matrix.x @ matrix.x == pytest.approx(2 * np.eye(2), abs=1e-13)
    assert matrix.names == ["x[0, 0]", "x[0, 1]", "x[1, 0]", "x[1, 1]"]


def test_an_expressions_parameter_may_be_an_array() -> None:
    w, z, y = dk.symbol("w", (2,)), dk.symbol("z", (2,)), dk.symbol("y")
    points = RNG.normal(size=(25, 2))
    found = dk.optim.least_squares(dk.sum(w * z) - y, {"w": np.zeros(2)}, {"z": points, "y": points @ [3.0, -2.0]})
    assert found.x["w"] == pytest.approx([3, -2], rel=1e-13) and found.names == ["w[0]", "w[1]"]


@pytest.mark.parametrize("engine", ["symbolic", "forward", "reverse", "finite"])
@pytest.mark.parametrize("residual", [TEXT, decay])
def test_engines(engine: str, residual) -> None:
    data = {"t": T, "y": Y} if residual is TEXT else (T, Y)
    found = solve(residual, data=data, engine=engine, machine="numpy")
    assert found.success and found.x["k"] == pytest.approx(solve().x["k"], rel=1e-8)


def test_float32_data_are_fitted_in_double_precision() -> None:
    found = solve(decay, data=(T.astype(np.float32), Y.astype(np.float32)))
    assert found.fun.dtype == np.float64 and found.x["a"] == pytest.approx(solve().x["a"], rel=1e-5)


def test_a_function_is_traced_once() -> None:
    calls = []

    def f(x):
        calls.append(x)
        return rosenbrock(x)

    assert dk.optim.least_squares(f, np.array([-1.2, 1.0])).nfev > 5
    assert len(calls) == 1


# ---- the method -------------------------------------------------------------------------------------------------------
def test_units_make_no_difference() -> None:
    """Scaled by powers of two, the unknowns run through the same points, to the bit."""
    plain = dk.optim.least_squares(rosenbrock, np.array([-1.2, 1.0]), keep_path=True)
    scale = np.array([2.0**40, 2.0**-30])
    other = dk.optim.least_squares(lambda x: rosenbrock(x / scale), np.array([-1.2, 1.0]) * scale, keep_path=True)
    assert plain.nfev == other.nfev and len(plain.path) == plain.nit + 1
    assert np.array_equal(plain.path.points * scale, other.path.points)
    assert np.array_equal(plain.path.values, other.path.values)
    assert plain.x == pytest.approx([1, 1], rel=1e-15)


def test_costs_fall_along_the_path() -> None:
    path = solve(keep_path=True).path
    assert list(path.points[0]) == [1, 0, 1] and path.points.shape == (len(path), 3)
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(path.values))


@pytest.mark.parametrize("radius", [1e-8, 1e-3, 0.1, 0.9])
@pytest.mark.parametrize("rank", [3, 2])
def test_the_step_is_the_best_within_the_radius(radius: float, rank: int) -> None:
    """It meets the conditions of the constrained minimum: (JᵀJ + λ D²) p = -Jᵀr with |D p| = Δ."""
    J, r = RNG.normal(size=(8, 3)) * [1e3, 1.0, 1e-3], RNG.normal(size=8)
    if rank == 2:
        J[:, 2] = 1e-4 * J[:, 0]
    model = Linear(np.ones(3), r, J, np.zeros(3))
    D = np.linalg.norm(J, axis=0)
    full = model.step(math.inf)
    assert full.damping == 0 and D * full.p == pytest.approx(-np.linalg.pinv(J / D, rcond=1e-12) @ r, rel=1e-9)
    step = model.step(radius * full.length)
    assert np.linalg.norm(D * step.p) == pytest.approx(step.length)
    assert (
        step.length <= (1.01 if step.damping else 1.1) * radius * full.length
        and step.length >= 0.9 * radius * full.length
    )
    left = J.T @ (J @ step.p) + step.damping * D**2 * step.p
    assert left / D == pytest.approx(-J.T @ r / D, rel=1e-6, abs=1e-9)
    gained = r @ r - np.sum((r + J @ step.p) ** 2)
    assert step.predicted == pytest.approx(gained, rel=1e-6)
    assert step.descent == pytest.approx(-step.p @ J.T @ r, rel=1e-6)


def test_it_goes_on_when_the_sum_of_squares_is_flat() -> None:
    """Large residuals: where the sum of squares has no more digits to give, x still has."""
    t, y = np.arange(1.0, 11), np.array([9.0, 1, 8, 2, 7, 3, 6, 4, 5, 0]) * 100
    f = lambda x, t, y: x[0] * np.exp(-x[1] * t) - y
    found = dk.optim.least_squares(f, [500.0, 0.1], (t, y))
    sooner = dk.optim.least_squares(
        f, [500.0, 0.1], (t, y), method="scipy:lm", ftol=2.3e-16, xtol=2.3e-16, gtol=2.3e-16
    )
    assert found.success and found.cosine < 1e-14 < 10 * sooner.cosine
    assert found.x == pytest.approx(sooner.x, rel=1e-5)


def test_points_that_are_not_finite_are_refused() -> None:
    found = dk.optim.least_squares("log(a) - y", {"a": 10}, {"y": [-7.0, -7.1]})  # the first full step is to a < 0
    assert found.success and found.x["a"] == pytest.approx(math.exp(-7.05), rel=1e-13)
    wall = dk.optim.least_squares("exp(exp(a)) - y", {"a": 0.0}, {"y": [1e6, 1e6]})
    assert wall.x["a"] == pytest.approx(math.log(math.log(1e6)), rel=1e-13)


def test_an_edge_is_not_a_solution() -> None:
    found = dk.optim.least_squares("a + where(a < 1, 0/(a - a), 0)", {"a": 2.0})
    assert not found.success and found.status == -1 and "edge" in found.message
    assert found.x["a"] == pytest.approx(1, rel=1e-12)


def test_exact_fits() -> None:
    found = solve(data={"t": T, "y": 2 * np.exp(-3 * T) + 1})
    assert found.success and [found.x[n] for n in "ack"] == pytest.approx([2, 1, 3], rel=1e-13)
    zero = dk.optim.least_squares("a - y", {"a": 3.0}, {"y": [1.0, 1.0]})
    assert zero.success and zero.cost < 1e-30 and zero.x["a"] == pytest.approx(1, rel=1e-15)
    there = dk.optim.least_squares("a - y", {"a": 1.0}, {"y": [1.0]})
    assert (there.status, there.nfev, there.cost, there.x["a"]) == (6, 1, 0, 1)


def test_unknowns_that_do_the_same() -> None:
    found = dk.optim.least_squares("a*t + b*t - y", {"a": 1.0, "b": 0.0}, {"t": T, "y": 3 * T + 0.01 * np.sin(T)})
    assert found.success and found.rank == 1 and "rank 1 of 2" in repr(found)
    assert np.all(np.isinf(found.covariance)) and found.x_sd["a"] == math.inf


def test_no_influence_at_all() -> None:
    found = dk.optim.least_squares("0*a + y", {"a": 1.0}, {"y": [1.0, 2.0]})
    assert found.status == 1 and found.rank == 0 and found.x["a"] == 1


@pytest.mark.parametrize(
    ("options", "status"),
    [({"gtol": 1e-3}, 1), ({"ftol": 1e-3}, 2), ({"xtol": 1e-3}, 3), ({"ftol": 0.1, "xtol": 0.1}, 4), ({}, 5)],
)
def test_tolerances(options: dict, status: int) -> None:
    near = {"a": 2.5, "c": 0.48, "k": 1.3}
    found, exact = solve(x0=near, **options), solve(x0=near)
    assert found.status == status and found.success
    assert found.nfev <= exact.nfev
    assert next(iter([*options, "rounding"])) in found.message


def test_the_budget() -> None:
    for budget in (1, 3):
        found = solve(max_nfev=budget)
        assert found.nfev == budget and found.status == 0 and not found.success and "max_nfev" in found.message
    assert solve(method="scipy:trf", max_nfev=2).status == 0


def test_a_function_of_ones_own_system() -> None:
    """The method asks of a system no more than residuals and their linear model."""

    class Circle:
        def residuals(self, x):
            return np.array([x @ x - 1, x[0] - x[1]])

        def linearised(self, x):
            return self.residuals(x), np.array([2 * x, [1.0, -1.0]])

    found = levenberg_marquardt(
        Circle(),
        x := np.array([3.0, 1.0]),
        *Circle().linearised(x),
        ftol=None,
        xtol=None,
        gtol=None,
        max_nfev=100,
        visit=lambda x, square: None,
    )
    assert found.x == pytest.approx([math.sqrt(0.5)] * 2, rel=1e-14)


# ---- the result -------------------------------------------------------------------------------------------------------
def test_in_order() -> None:
    found = solve(keep_path=True)
    other = found.in_order(["k", "a", "c"])
    assert list(other.x) == [found.x[n] for n in "kac"] and list(other.x_sd) == [found.x_sd[n] for n in "kac"]
    assert other.covariance[0, 1] == found.covariance[2, 0] and other.names == ["k", "a", "c"]
    assert np.array_equal(other.fun, found.fun) and np.array_equal(other.jac[:, 0], found.jac[:, 2])
    assert list(other.path.points[0]) == [1, 1, 0]
    with pytest.raises(dk.ArgumentError, match="the result has a, c, k, not a, b"):
        found.in_order(["a", "b"])


def test_printed() -> None:
    text = repr(solve())
    assert "rounding" in text and "a = 2.5" in text and "±" in text and len(text) < 400
    assert "… 10 more" in repr(dk.optim.least_squares(lambda x: x - 1.0, np.zeros(30)))


def test_no_degrees_of_freedom() -> None:
    found = dk.optim.least_squares(rosenbrock, [-1.2, 1.0])
    assert found.degrees_of_freedom == 0 and np.all(np.isinf(found.x_sd)) and found.rank == 2
    assert np.all(np.isfinite(dk.optim.least_squares(rosenbrock, [-1.2, 1.0], absolute_sigma=True).x_sd))


# ---- what is refused --------------------------------------------------------------------------------------------------
def test_too_few_residuals() -> None:
    with pytest.raises(dk.ShapeError, match=r"2 residuals for 3 unknowns \(a, c, k\)"):
        solve(data={"t": T[:2], "y": Y[:2]})
    with pytest.raises(dk.ShapeError, match="2 residuals"):
        solve(weights=np.arange(40) < 2)


def test_starts_that_are_not_finite() -> None:
    y = Y.copy()
    y[[7, 9]] = np.nan, np.inf
    with pytest.raises(
        dk.ArgumentError, match=r"the residual\[7\] is nan at x0, and 1 more are not finite.*NaN in the data"
    ):
        solve(data={"t": T, "y": y})
    with pytest.raises(dk.ArgumentError, match=r"derivative of residual\[0\] by x\[0\] is inf at x0"):
        dk.optim.least_squares(lambda x, t: np.sqrt(x[0]) * t, [0.0], np.array([1.0, 2.0]))
    with pytest.raises(dk.ArgumentError, match="overflows at x0"):
        dk.optim.least_squares("a*t", {"a": 1e200}, {"t": T})


@pytest.mark.parametrize(
    ("x0", "message"),
    [
        (["a", 1.0], r"x0 has 'a' for x\[0\]"),
        ([None, 1.0], r"x0 has None for x\[0\]"),
        ([1.0, 1j], r"x0 has 1j for x\[1\]"),
        ([1.0, True], r"x0 has True for x\[1\]"),
    ],
)
def test_unknowns_that_are_no_numbers(x0: list, message: str) -> None:
    with pytest.raises(dk.DtypeError, match=message):
        dk.optim.least_squares(rosenbrock, x0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x0": [1.0, 1.0, 0.0]}, dk.ArgumentError, "x0 of an expression is a dict by name"),
        ({"x0": {**START, "a": [1.0]}}, dk.ArgumentError, r"x0 has \[1.0\] for 'a'"),
        ({"data": (T, Y)}, dk.ArgumentError, "data of an expression are a dict by name"),
        ({"data": {"t": T}}, dk.ArgumentError, "no value for 'y'"),
        ({"data": {"t": T, "y": Y, "z": Y}}, dk.ArgumentError, "no variable 'z'"),
        ({"data": {"t": T, "y": Y, "a": 1.0}}, dk.ArgumentError, "'a' is in x0 and in data"),
        ({"data": {"t": T, "y": Y[:3]}}, dk.ShapeError, "broadcast"),
        ({"x0": {**START, "a": np.ones(3)}}, dk.ShapeError, "'a' has core shape"),
        ({"residual": 3.0}, dk.ArgumentError, "a function, an expression or text, not float"),
        ({"residual": lambda x: np.arange(3)}, dk.DtypeError, "residuals of dtype int64"),
        ({"residual": lambda x: []}, dk.ShapeError, "no residuals"),
        ({"residual": rosenbrock, "x0": ()}, dk.ArgumentError, "no parameters"),
        ({"method": "newton"}, dk.ArgumentError, "choose one of lm, scipy:lm, scipy:trf, scipy:dogbox"),
        ({"method": "lm", "bounds": (0, 1)}, dk.ArgumentError, "knows no bounds"),
        ({"method": "scipy:lm", "ftol": 1e-300, "xtol": 1e-300, "gtol": 1e-300}, dk.ArgumentError, "scipy"),
        ({"bounds": 3}, dk.ArgumentError, "a pair"),
        ({"bounds": (2, 3)}, dk.ArgumentError, "a starts at 1, and its bounds are 2 and 3"),
        ({"bounds": ({"a": 1}, 3)}, dk.ArgumentError, "the lower bound must be one number or a nest"),
        ({"sigma": 1.0, "weights": 1.0}, dk.ArgumentError, "Give one of them"),
        ({"sigma": np.zeros(40)}, dk.ArgumentError, r"sigma\[0\] is 0.0; it must be finite and greater than 0"),
        ({"weights": -np.ones(40)}, dk.ArgumentError, "at least 0"),
        ({"sigma": np.ones(3)}, dk.ShapeError, r"sigma has shape \(3,\), the residuals \(40,\)"),
        ({"ftol": 0.0}, dk.ArgumentError, "ftol is a number between 0 and 1"),
        ({"xtol": -1e-8}, dk.ArgumentError, "xtol is a number"),
        ({"gtol": math.nan}, dk.ArgumentError, "gtol is a number"),
        ({"max_nfev": 0}, dk.ArgumentError, "max_nfev is a positive whole number"),
        ({"engine": "magic"}, dk.ArgumentError, "there is no engine 'magic'"),
        ({"machine": "abacus"}, dk.ArgumentError, "there is no machine 'abacus'"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Setting `.tol` below")
def test_refused(change: dict, error: type, message: str) -> None:
    if callable(change.get("residual")):
        change = {"data": (), **change}
        with pytest.raises(error, match=message):
            dk.optim.least_squares(change["residual"], change.get("x0", [1.0]), ())
        return
    with pytest.raises(error, match=message):
        solve(**change)


def test_a_result_is_read_as_scipys_are() -> None:
    found = dk.optim.least_squares(lambda p: p - 3.0, np.zeros(2))
    np.testing.assert_allclose(found["x"], 3.0)
    assert dict(found)["success"] is found.success
    assert "x" in found and "nothing" not in found and "jac" in list(found)
    with pytest.raises(AttributeError):
        found["nothing"]


# ---- squares that are no numbers ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1e-140, 1e-170, 1e-250])
@pytest.mark.parametrize("text", ["a*exp(-b*t) - y", "{size}*a*exp(-b*t) - y"])
def test_residuals_whose_squares_underflow(text: str, size: float) -> None:
    """The answers are those of residuals of an ordinary size."""
    y = Y + 1
    usual = dk.optim.least_squares("a*exp(-b*t) - y", {"a": 1.0, "b": 0.1}, {"t": T, "y": y})
    small = dk.optim.least_squares(text.format(size=size), {"a": 1.0, "b": 0.1}, {"t": T, "y": size * y})
    assert small.status == 5 and small.success and small.cosine < 1e-12
    unit = {"a": 1.0 if "{" in text else size, "b": 1.0}
    for name in ("a", "b"):
        assert small.x[name] == pytest.approx(usual.x[name] * unit[name], rel=1e-9, abs=0)
        assert small.x_sd[name] == pytest.approx(usual.x_sd[name] * unit[name], rel=1e-9, abs=0)
    np.testing.assert_allclose(small.fun / size, usual.fun, atol=1e-9)


def test_zero_is_said_of_zeros_only() -> None:
    t = np.linspace(0, 5, 30)
    exact = dk.optim.least_squares("a*t - y", {"a": 1.0}, {"t": t, "y": 1e-200 * t})
    assert exact.x["a"] == pytest.approx(1e-200, rel=1e-14, abs=0)
    assert np.max(np.abs(exact.fun)) < 1e-214
    noisy = 1e-170 * (t + np.sin(np.arange(30)))
    found = dk.optim.least_squares("a*t - y", {"a": 1.0}, {"t": t, "y": noisy})
    assert found.x["a"] == pytest.approx(noisy @ t / (t @ t), rel=1e-13, abs=0) and "are 0" not in found.message
    sd = 1e-170 * np.sqrt(np.sum((found.fun / 1e-170) ** 2) / 29 / (t @ t))
    assert found.x_sd["a"] == pytest.approx(sd, rel=1e-12, abs=0)


def test_lengths_of_any_size() -> None:
    v = np.array([3.0, 0.0, -4.0])
    for size in (1.0, 1e-170, 1e-300, 1e200, 1e300):
        assert length(size * v) == pytest.approx(5 * size, rel=1e-14, abs=0)
        np.testing.assert_allclose(lengths(np.stack([v, size * v], 1)), [5, 5 * size], rtol=1e-14)
        unit = unit_of(size * v)
        assert unit == 1 if size >= 1 else 0.5 <= 4 * size / unit < 1
    assert length(np.zeros(2)) == 0 and unit_of(np.zeros(2)) == 1
    assert length(np.array([1.0, np.inf])) == np.inf and np.isnan(length(np.array([1.0, np.nan])))


def test_what_is_determined_has_a_standard_error_beside_what_is_not() -> None:
    t = np.linspace(0, 5, 40)
    y = 2.5 * np.exp(-1.3 * t) + 0.01 * np.cos(37 * t)
    product = dk.optim.least_squares("a*b*exp(-k*t) - y", {"a": 1.0, "b": 1.0, "k": 1.0}, {"t": t, "y": y})
    single = dk.optim.least_squares("a*exp(-k*t) - y", {"a": 1.0, "k": 1.0}, {"t": t, "y": y})
    assert product.rank == 2 and np.isinf([product.x_sd["a"], product.x_sd["b"]]).all()
    degrees = np.sqrt(38 / 37)  # one unknown more
    np.testing.assert_allclose(product.x_sd["k"], single.x_sd["k"] * degrees, rtol=1e-6)
