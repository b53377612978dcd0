"""minimize: on the functions of Moré, Garbow and Hillstrom and on quadratics, beside SciPy; nests, text, bounds; how it ends."""

import math
import pickle

import numpy as np
import pytest
import scipy.optimize as so
from helpers_more_garbow import PROBLEMS
from hypothesis import given
from hypothesis import strategies as st

import diffkit as dk
from diffkit.errors import ArgumentError, DiffkitError, DtypeError, NotFiniteError, ShapeError, TracingError
from diffkit.optim.minimizing.minimize import METHODS
from diffkit.optim.minimizing.through_scipy import KNOWN, flat_bounds
from diffkit.optim.objective import Layout, Objective

minimize = dk.optim.minimize
NATIVE = list(METHODS)
SECOND = ["newton", "bfgs", "lbfgs", "trust-ncg"]
START = np.array([-1.2, 1.0])


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def quadratic(n, condition, seed):
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    a = q @ np.diag(np.logspace(0, np.log10(condition), n)) @ q.T
    a, b = (a + a.T) / 2, rng.normal(size=n)
    return (lambda x: 0.5 * x @ (a @ x) - b @ x), np.linalg.solve(a, b)


# ---- right answers ----
@pytest.mark.parametrize("method", SECOND)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_more_garbow_hillstrom(problem, method):
    found = minimize(problem, problem.start, method)
    assert found.success, found.message
    minima = problem.minimum if isinstance(problem.minimum, tuple) else (problem.minimum,)
    assert min(abs(found.fun - m) / max(m, 1e-2) for m in minima) < 1e-6, found.fun
    assert found.status == 2 or np.abs(found.jac).max() <= 1.5e-8


def test_as_few_evaluations_as_scipys():
    """Geometric means over the problems, to the same gradient."""
    pairs = {"bfgs": ("BFGS", {}), "lbfgs": ("L-BFGS-B", {"ftol": 0.0}), "trust-ncg": ("trust-ncg", {})}
    for own, (name, options) in pairs.items():
        ratios = []
        for p in PROBLEMS:
            x0 = np.array(p.start, float)
            ours, theirs = minimize(p, x0, own, gtol=1e-6), minimize(p, x0, f"scipy:{name}", gtol=1e-6, **options)
            if theirs.success or np.abs(theirs.jac).max() <= 1e-6:
                ratios.append(ours.nfev / theirs.nfev)
        assert len(ratios) > 18
        assert np.exp(np.mean(np.log(ratios))) < 1.1, (own, ratios)


@given(st.integers(1, 12), st.floats(0, 3), st.integers(0, 10**6))
def test_strictly_convex_quadratics(n, exponent, seed):
    f, solution = quadratic(n, 10**exponent, seed)
    for method in SECOND:
        found = minimize(f, np.ones(n), method)
        assert found.success, (method, found.message)
        np.testing.assert_allclose(found.x, solution, atol=1e-7)  # the least eigenvalue is 1
    if exponent < 1.5:
        found = minimize(f, np.ones(n), "gd", gtol=1e-6)
        assert found.success and np.abs(found.x - solution).max() < 1e-5


@pytest.mark.parametrize("method", ["newton", "bfgs", "trust-ncg"])
def test_condition_1e8(method):
    f, solution = quadratic(10, 1e8, 1)
    found = minimize(f, np.zeros(10), method)
    assert found.success, found.message
    np.testing.assert_allclose(found.x, solution, atol=1e-6)
    assert method != "newton" or found.nit <= 2


@pytest.mark.parametrize("shift", [1e4, 1e8])
@pytest.mark.parametrize("method", SECOND)
def test_a_large_constant_hides_the_decrease(method, shift):
    """The values near the minimum are equal to the last bit; the gradient still leads there."""
    found = minimize(lambda x: rosenbrock(x) + shift, START, method)
    assert found.success and np.abs(found.x - 1).max() < 1e-7


@pytest.mark.parametrize("method", SECOND)
def test_scales(method):
    assert np.abs(minimize(lambda x: 1e12 * rosenbrock(x), START, method, gtol=1.0).x - 1).max() < 1e-9
    assert np.abs(minimize(lambda x: 1e-12 * rosenbrock(x), START, method, gtol=1e-18).x - 1).max() < 1e-4


@pytest.mark.parametrize("method", SECOND)
def test_round_off_is_a_success_only_where_it_is_round_off(method):
    exact = minimize(lambda x: (rosenbrock(x) + 1.0) * 1e3 + (x * x).sum() / 3, START, method, gtol=0.0)
    assert exact.success and np.abs(exact.jac).max() < 1e-9
    kinked = minimize(lambda x: np.abs(x - 0.3).sum(), np.array([0.7, 2.0]), method, max_iter=100)
    assert not kinked.success or np.abs(kinked.jac).max() == 0
    wrong = minimize(lambda x: (x**2).sum(), np.array([2.0, 1.0]), method, jac=lambda x: -2 * x)
    assert not wrong.success and wrong.fun == pytest.approx(5, abs=1e-6)


def test_gradient_descent():
    f, solution = quadratic(4, 30, 0)
    assert np.abs(minimize(f, np.zeros(4), "gd").x - solution).max() < 1e-7
    fixed = minimize(f, np.zeros(4), "gd", learning_rate=1 / 30, keep_path=True)
    assert fixed.success and np.abs(fixed.x - solution).max() < 1e-6
    steps = fixed.path.points[1] - fixed.path.points[0]
    np.testing.assert_allclose(steps, -dk.grad(f)(np.zeros(4)) / 30, rtol=1e-14)


def test_an_optimiser_as_method():
    f, solution = quadratic(3, 5, 0)
    found = minimize(f, np.zeros(3), dk.optim.Adam(lr=0.05), max_iter=3000, gtol=1e-6)
    assert found.success and np.abs(found.x - solution).max() < 1e-5 and found.nfev == found.nit + 1
    assert found.method.startswith("Adam(")
    short = minimize(f, np.zeros(3), dk.optim.Adam(lr=0.05), max_iter=5)
    assert not short.success and short.status == 1 and "max_iter=5" in short.message and short.nit == 5
    assert minimize(rosenbrock, START, dk.optim.LBFGS(flavor="optax")).success
    assert minimize(rosenbrock, START, dk.optim.Newton()).success  # no line search: full steps


# ---- what can be minimised ----
@pytest.mark.parametrize("method", [*SECOND, "scipy:BFGS"])
def test_nests(method):
    def f(p, x, y):
        return ((x @ p["w"] + p["b"] - y) ** 2).mean() + 0.1 * (p["w"] ** 2).sum() + (p["more"][0] - 2) ** 2

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    x0 = {"w": np.zeros((3, 2)), "b": np.zeros(2), "more": [0.5]}
    found = minimize(f, x0, method, args=(x, y), gtol=1e-9)
    assert found.success
    assert found.x["w"].shape == (3, 2) and found.x["more"][0] == pytest.approx(2)
    one, weights = np.ones((20, 1)), np.diag([0.1] * 3 + [0]) * 20 * 2
    full = np.hstack([x, one])
    expected = np.linalg.solve(full.T @ full + weights, full.T @ y)
    np.testing.assert_allclose(found.x["w"], expected[:3], atol=1e-7)
    np.testing.assert_allclose(found.x["b"], expected[3], atol=1e-7)
    assert found.grad["w"].shape == (3, 2) and found.jac.shape == (9,)


@pytest.mark.parametrize("method", SECOND)
def test_text_and_expressions(method):
    text = "100*(y - x**2)**2 + (1 - x)**2"
    found = minimize(text, {"y": 1, "x": -1.2}, method)
    assert list(found.x) == ["y", "x"] and found.x["x"] == pytest.approx(1) and found.x["y"] == pytest.approx(1)
    (x,) = (dk.symbols("x"),)
    assert minimize((x - 3) ** 2 + 1, {"x": 0.0}, method).x["x"] == pytest.approx(3)


@pytest.mark.parametrize("method", SECOND)
def test_float32(method):
    found = minimize(rosenbrock, START.astype(np.float32), method)
    assert found.success and found.x.dtype == np.float32 and found.grad.dtype == np.float32
    np.testing.assert_allclose(found.x, 1, atol=1e-3)
    tight = minimize(lambda x: rosenbrock(x) + 5, START.astype(np.float32), method, gtol=0.0)
    np.testing.assert_allclose(tight.x, 1, atol=2e-3)


def test_numbers_and_lists():
    assert minimize(lambda x: (x - 3) ** 2, 0.0).x == pytest.approx(3)
    found = minimize(rosenbrock, [-1, 1])
    assert isinstance(found.x, np.ndarray) and found.x.dtype == np.float64
    nested = minimize(lambda p: (p[0] - 1) ** 2 + ((p[1] - 2) ** 2).sum(), [0.0, np.zeros(2)])
    assert nested.x[0] == pytest.approx(1) and nested.x[1].shape == (2,)


@pytest.mark.parametrize("engine", ["forward", "symbolic"])
def test_engines(engine):
    assert minimize("100*(y - x**2)**2 + (1 - x)**2", {"x": -1.2, "y": 1}, "newton", engine=engine).success


@pytest.mark.parametrize("method", SECOND)
def test_the_numpy_machine(method):
    found = minimize(rosenbrock, START, method, machine="numpy")
    assert found.success and np.abs(found.x - 1).max() < 1e-7


def test_gradients_of_the_callers():
    def untraceable(x):
        return rosenbrock(x) if float(x[0]) < 1e9 else 0.0

    def gradient(x):
        return np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])

    for method in ("bfgs", "lbfgs", "scipy:CG"):
        assert np.abs(minimize(untraceable, START, method, jac=gradient).x - 1).max() < 1e-4
        both = minimize(lambda x: (untraceable(x), gradient(x)), START, method, jac=True)
        assert np.abs(both.x - 1).max() < 1e-4
    hess = lambda x: so.rosen_hess(x)
    assert minimize(untraceable, START, "newton", jac=gradient, hess=hess).success
    assert minimize(untraceable, START, "trust-ncg", jac=gradient, hess=hess).success
    assert minimize(untraceable, START, "trust-ncg", jac=gradient, hessp=lambda x, p: hess(x) @ p).success
    assert minimize(untraceable, START, "scipy:Nelder-Mead", jac=False).success
    with pytest.raises(TracingError, match=r"jac=gradient"):
        minimize(untraceable, START)
    with pytest.raises(ArgumentError, match=r"needs hess= as well"):
        minimize(lambda x: (untraceable(x), gradient(x)), START, "newton", jac=True)
    with pytest.raises(ArgumentError, match=r"needs a gradient"):
        minimize(untraceable, START, jac=False)
    with pytest.raises(ShapeError, match=r"the gradient has shape \(3,\)"):
        minimize(untraceable, START, jac=lambda x: np.ones(3))
    with pytest.raises(ShapeError, match=r"hess gives shape"):
        minimize(rosenbrock, START, "newton", hess=lambda x: np.ones(3))


# ---- SciPy's methods ----
@pytest.mark.parametrize("name", [n for n in KNOWN if n not in ("COBYLA", "dogleg")])
def test_scipys_methods(name):
    found = minimize(rosenbrock, START, f"scipy:{name}")
    assert isinstance(found, so.OptimizeResult) and np.abs(found.x - 1).max() < 2e-3
    assert found.nfev > 0 and found.message
    if name not in ("Nelder-Mead", "Powell", "COBYQA"):
        np.testing.assert_array_equal(found.jac, dk.grad(rosenbrock)(found.x))
        assert found.njev > 0
    assert (found.nhev > 0) == (name.startswith("trust") or name == "Newton-CG")


def test_scipys_own_run_is_the_same():
    """With the exact gradient handed over, the iterates are those of SciPy called by hand."""
    gradient = dk.value_and_grad(rosenbrock)
    theirs = so.minimize(lambda x: gradient(x), START, jac=True, method="BFGS")
    ours = minimize(rosenbrock, START, "scipy:bfgs")
    np.testing.assert_array_equal(ours.x, theirs.x)
    assert (ours.nit, ours.nfev) == (theirs.nit, theirs.nfev)


BOUNDS = [
    [(None, 0.5), (-1, None)],
    so.Bounds([-np.inf, -1], [0.5, np.inf]),
]


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("method", ["lbfgs", "scipy:TNC", "scipy:SLSQP", "scipy:trust-constr"])
def test_bounds(method, bounds):
    found = minimize(rosenbrock, START, method, bounds=bounds)
    assert found.x[0] == pytest.approx(0.5, abs=1e-5) and found.x[1] == pytest.approx(0.25, abs=1e-4)


def test_bounds_by_name_and_bad_ones():
    f = lambda p: ((p["w"] - 3) ** 2).sum() + (p["b"] + 1) ** 2
    x0 = {"w": np.zeros((2, 2)), "b": 0.5}
    found = minimize(f, x0, bounds={"w": (None, [1.0, 5.0])})
    np.testing.assert_allclose(found.x["w"], [[1, 3], [1, 3]], atol=1e-6)
    assert found.x["b"] == pytest.approx(-1)
    layout = Layout.of(x0, "x0")
    with pytest.raises(ArgumentError, match=r"'c', which is no parameter; these are w, b|'c', which is no parameter"):
        flat_bounds({"c": (0, 1)}, layout)
    with pytest.raises(ArgumentError, match=r"w\[0, 0\], 2, is above"):
        flat_bounds({"w": (2, 1)}, layout)
    with pytest.raises(ShapeError, match="2 bounds for 5 parameters"):
        flat_bounds([(0, 1)] * 2, layout)
    with pytest.raises(ArgumentError, match=r"pair \(low, high\)"):
        flat_bounds([3] * 5, layout)
    for method in ("bfgs", "newton", "scipy:CG"):
        with pytest.raises(ArgumentError, match="takes no bounds"):
            minimize(rosenbrock, START, method, bounds=[(0, 1)] * 2)


def test_constraints():
    on_circle = {"type": "eq", "fun": lambda x: x @ x - 1, "jac": lambda x: 2 * x}
    found = minimize(lambda x: x[0] + x[1], np.array([0.1, -1.0]), "scipy:SLSQP", constraints=[on_circle])
    np.testing.assert_allclose(found.x, -(0.5**0.5), atol=1e-5)
    with pytest.raises(ArgumentError, match="takes no constraints"):
        minimize(rosenbrock, START, "lbfgs", constraints=[on_circle])


# ---- how it ends, and what it tells ----
def test_the_result():
    found = minimize(rosenbrock, START, "newton", keep_path=True)
    assert isinstance(found, so.OptimizeResult)
    fields = {
        "x",
        "fun",
        "grad",
        "jac",
        "nit",
        "nfev",
        "njev",
        "nhev",
        "success",
        "status",
        "message",
        "path",
        "method",
    }
    assert fields <= set(found)
    assert found.nfev == found.njev >= found.nit and found.nhev == found.nit
    assert found.path.points.shape == (found.nit + 1, 2) and len(found.path) == found.nit + 1
    np.testing.assert_array_equal(found.path.points[0], START)
    np.testing.assert_array_equal(found.path.points[-1], found.x)
    np.testing.assert_allclose(found.path.values, [rosenbrock(x) for x in found.path.points], rtol=1e-12)
    assert (np.diff(found.path.values) <= 0).all()
    again = pickle.loads(pickle.dumps(found))
    assert again.fun == found.fun and type(again) is type(found)
    assert minimize(rosenbrock, START).path is None
    at_once = minimize(rosenbrock, np.ones(2))
    assert at_once.nit == 0 and at_once.nfev == 1 and at_once.success


@pytest.mark.parametrize("method", SECOND)
def test_limits(method):
    short = minimize(rosenbrock, START, method, max_iter=3)
    assert (short.nit, short.status, short.success) == (3, 1, False) and "max_iter=3" in short.message
    for most in (1, 5, 17):
        few = minimize(rosenbrock, START, method, max_nfev=most)
        assert few.nfev <= most and few.status == 1 and f"max_nfev={most}" in few.message
        assert few.fun <= rosenbrock(START)
    loose = minimize(rosenbrock, START, method, xtol=0.1)
    assert loose.success and "xtol" in loose.message
    assert minimize(rosenbrock, START, method, tol=1e-2).nfev < minimize(rosenbrock, START, method).nfev


def test_ftol():
    found = minimize(lambda x: (x**4).sum(), np.array([2.0, 1.0]), "newton", ftol=0.9)
    assert found.success and "ftol" in found.message and found.nit < 5


@pytest.mark.parametrize("method", NATIVE)
def test_unbounded(method):
    for f in (lambda x: (x * np.array([1.0, 2.0])).sum(), lambda x: -(x**4).sum()):
        found = minimize(f, np.array([1.0, 2.0]), method)
        assert found.status == 4 and not found.success and "unbounded" in found.message, found.message


@pytest.mark.parametrize("method", NATIVE)
def test_undefined_regions_are_kept_out_of(method):
    found = minimize(lambda x: (x - np.log(x)).sum(), np.array([100.0, 1e-3]), method)
    assert found.success and np.abs(found.x - 1).max() < 1e-5


def test_nan_on_the_way():
    """Full Newton steps leave the domain; the point before is given."""
    found = minimize(lambda x: (x - np.log(x)).sum(), np.array([5.0]), dk.optim.Newton())
    assert found.status == 3 and not found.success and found.x[0] == 5.0
    assert "nan" in found.message and "step 1" in found.message


def test_nan_at_the_start():
    with pytest.raises(NotFiniteError, match="the function is nan at x0"):
        minimize(lambda x: np.log(x).sum(), np.array([-1.0, 1.0]))
    with pytest.raises(NotFiniteError, match=r"the derivative by x0\.w\[1\] is inf"):
        minimize(lambda p: np.sqrt(p["w"]).sum(), {"w": np.array([1.0, 0.0])})
    with pytest.raises(NotFiniteError, match=r"x0\[1\] is nan"):
        minimize(rosenbrock, np.array([1.0, np.nan]))
    assert issubclass(NotFiniteError, DiffkitError)


@pytest.mark.parametrize("method", ["lbfgs", "scipy:BFGS", "scipy:TNC", "scipy:trust-constr"])
def test_callbacks(method):
    seen = []

    def stop(x):
        seen.append(x)
        if len(seen) == 3:
            raise StopIteration

    found = minimize(rosenbrock, START, method, callback=stop)
    assert len(seen) == 3 and not found.success
    np.testing.assert_array_equal(found.x, seen[-1])
    results = []
    done = minimize(rosenbrock, START, method, callback=lambda intermediate_result: results.append(intermediate_result))
    assert len(results) == done.nit or method == "scipy:trust-constr"
    assert results[0].fun == pytest.approx(rosenbrock(results[0].x))

    def interrupt(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimize(rosenbrock, START, method, callback=interrupt)


def test_only_disp_prints(capsys):
    minimize(rosenbrock, START, max_iter=3)
    assert capsys.readouterr() == ("", "")
    minimize(rosenbrock, START, max_iter=3, disp=True)
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: minimize(rosenbrock, START, "lbgfs"), ArgumentError, "did you mean 'lbfgs'"),
        (lambda: minimize(rosenbrock, START, "L-BFGS-B"), ArgumentError, "did you mean 'scipy:L-BFGS-B'"),
        (lambda: minimize(rosenbrock, START, "adam"), ArgumentError, r"did you mean dk\.optim\.Adam"),
        (lambda: minimize(rosenbrock, START, "zzz"), ArgumentError, "Methods are gd, newton, bfgs, lbfgs, trust-ncg"),
        (lambda: minimize(rosenbrock, START, 3), ArgumentError, "method is a name or an optimiser"),
        (lambda: minimize(rosenbrock, START, "scipy:BFSG"), ArgumentError, "did you mean 'scipy:BFGS'"),
        (lambda: minimize(rosenbrock, START, "scipy:SLSQP", gtol=1e-3), ArgumentError, "SLSQP has no gtol"),
        (lambda: minimize(rosenbrock, START, "bfgs", history_size=3), ArgumentError, "no option 'history_size'"),
        (lambda: minimize(rosenbrock, START, dk.optim.Adam(), c1=3), ArgumentError, "has no option 'c1'"),
        (lambda: minimize(rosenbrock, START, gtol=-1.0), ArgumentError, "gtol must be 0 or more"),
        (lambda: minimize(rosenbrock, START, jac="2-point"), ArgumentError, "jac is a callable"),
        (lambda: minimize(rosenbrock, START, callback=3), ArgumentError, "callback is a callable"),
        (lambda: minimize(3, START), ArgumentError, "a function, an expression or text"),
        (lambda: minimize(rosenbrock, START, engine="x"), ArgumentError, "engine"),
        (lambda: minimize(rosenbrock, np.array([True, False])), DtypeError, "real numbers"),
        (lambda: minimize(rosenbrock, np.array([1j, 0])), DtypeError, "real numbers"),
        (lambda: minimize(lambda p: p["a"], {"a": None}), DtypeError, "x0.a is NoneType"),
        (lambda: minimize(lambda p: 1.0, {}), ArgumentError, "holds no parameter"),
        (lambda: minimize(lambda x: x * 2, START), ShapeError, "scalar"),
        (lambda: minimize("x**2 + y", [1.0, 2.0]), ArgumentError, "a dict by name"),
        (lambda: minimize("x**2 + y", {"x": 1.0}), ArgumentError, "no value for 'y'"),
        (lambda: minimize("x**2", {"x": 1.0, "z": 1.0}), ArgumentError, "no variable 'z'"),
        (lambda: minimize("x**2", {"x": 1.0}, args=(2,)), ArgumentError, "args belong to Python functions"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- the function as one of vectors ----
def test_programs_are_made_once():
    """However many points and products are asked for, the function is called once for each kind of program."""
    calls = []

    def f(x):
        calls.append(1)
        return rosenbrock(x)

    objective = Objective(f, START)
    for k in range(5):
        x = START + k
        at = objective.point(x)
        assert objective.value(x) == at.value
        h = objective.hessian(x)
        np.testing.assert_allclose(objective.product(x, np.array([1.0, 2.0])), h @ [1.0, 2.0], rtol=1e-12)
    assert len(calls) <= 3
    assert (objective.nfev, objective.njev, objective.nhev) == (10, 5, 10)


def test_vectors_and_nests():
    tree = {"a": np.arange(6.0).reshape(2, 3), "b": (np.float32(7), 8)}
    layout = Layout.of(tree, "p")
    x = layout.flat(tree, "p")
    np.testing.assert_array_equal(x, [0, 1, 2, 3, 4, 5, 7, 8])
    back = layout.nest(x)
    assert back["b"][0].dtype == np.float32 and math.isclose(back["b"][1], 8)
    assert [layout.entry(k) for k in (0, 4, 6, 7)] == ["p.a[0, 0]", "p.a[1, 1]", "p.b[0]", "p.b[1]"]
    with pytest.raises(ArgumentError, match="structured as the parameters"):
        layout.flat({"a": 1.0}, "q")
    with pytest.raises(ShapeError, match=r"q has shape \(3, 2\) where p\.a has \(2, 3\)"):
        layout.flat({"a": np.ones((3, 2)), "b": (1.0, 2.0)}, "q")
