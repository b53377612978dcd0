"""`dk.check_gradient` as its users call it: forms of arguments, verdicts with their evidence, second derivatives, bad input."""

import json
import random

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod

import diffkit as dk
from diffkit.check.gradients import CODES
from diffkit.errors import ArgumentError, DiffkitError, DtypeError

X = np.array([1.0, 2.0, 3.0])
SQUARES = lambda x: np.sum(x**2)
TWICE = lambda x: 2 * x


def codes(r):
    return [s.code for s in r.suspects]


# ---- forms ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fun", "at", "grad"),
    [
        ("sin(x)*y", {"x": 0.3, "y": 2.0}, None),
        ("sin(x)*y", (0.3, 2.0), {"x": "cos(x)*y", "y": "sin(x)"}),
        ("sin(x)*y", {"x": np.linspace(0.1, 1, 5), "y": 2.0}, None),
        ("sin(x)*y", {"x": np.linspace(0.1, 1, 5), "y": 2.0}, lambda x, y: {"x": np.cos(x) * y, "y": np.sum(np.sin(x))}),
        (SQUARES, X, TWICE),
        (SQUARES, X, None),
        (SQUARES, (X,), lambda x: (2 * x,)),
        (lambda x: x**2, 3.0, TWICE),
        (lambda x: x**2, np.array(3.0), TWICE),
        (lambda a, b: np.sum(a * b), {"a": X, "b": X + 1}, lambda a, b: {"b": a, "a": b}),
        (lambda a, n: np.sum(a**n), (X, 3), lambda a, n: n * a ** (n - 1)),
        (lambda p: np.sum(p["w"][0] * p["b"]), ({"w": [X], "b": X + 1},), lambda p: {"w": [p["b"]], "b": p["w"][0]}),
        ((rosen, rosen_der), X, None),
        (lambda x: (SQUARES(x), 2 * x), X, True),
        (lambda x: np.array([x[0] * x[1], np.sin(x[2])]), X, lambda x: np.array([[x[1], x[0], 0], [0, 0, np.cos(x[2])]])),
        (lambda x: (np.sum(x**2), np.sum(x)), X, lambda x: (2 * x, np.ones(3))),
        (lambda x: {"a": x**2, "b": np.sum(x)}, X, None),
        (lambda x: np.outer(x, x), X, None),
    ],
)  # fmt: skip
def test_right_gradients_pass(fun, at, grad):
    r = dk.check_gradient(fun, at, grad)
    assert r.ok, str(r)
    assert r.verdict == "pass"
    assert not r.suspects
    assert r.exit_status == 0


def test_the_engine_that_is_checked_may_be_chosen():
    assert dk.check_gradient("exp(x)/y", (0.3, 2.0), engine="forward").ok


def test_the_default_tolerance_gives_way_to_the_users():
    slightly = lambda x: 2 * x * (1 + 1e-5)
    assert dk.check_gradient(SQUARES, X, slightly).verdict == "fail"
    assert dk.check_gradient(SQUARES, X, slightly, rtol=1e-4).ok
    assert dk.check_gradient(SQUARES, X, lambda x: 2 * x + 1e-4, atol=1e-3).ok


# ---- verdicts and evidence ------------------------------------------------------------------------------------------
def test_a_wrong_entry_is_listed_with_bar_and_ulps():
    def wrong(x):
        g = rosen_der(x)
        g[1] += 0.25
        return g

    r = dk.check_gradient(rosen, X, wrong)
    assert r.verdict == "fail"
    assert codes(r) == ["single-entry"]
    (entry,) = r.entries
    assert (entry.name, entry.index) == ("x[1]", (1,))
    assert abs(entry.given - entry.expected - 0.25) < 1e-6
    assert 0 < entry.bar < 1e-3
    assert entry.ulps > 1e9
    assert "x[1]" in str(r)
    assert r.curve is not None
    assert r.curve.name == "x[1]"
    assert r.exit_status == 1


def test_taylor_order():
    assert abs(dk.check_gradient(rosen, X, rosen_der).taylor_order - 2) < 0.1
    assert abs(dk.check_gradient(rosen, X, lambda x: 2 * rosen_der(x)).taylor_order - 1) < 0.1


def test_a_kink_shows_both_slopes():
    r = dk.check_gradient(lambda x: np.sum(np.abs(x)), np.array([0.0, 1.0]), np.sign)
    assert r.verdict == "kink"
    assert codes(r) == ["kink"]
    assert r.kinks == 1
    assert "-1 and 1" in str(r)
    assert r.exit_status == 3


def test_a_value_beyond_both_slopes_of_a_kink_is_wrong():
    r = dk.check_gradient(lambda x: np.sum(np.abs(x)), np.array([0.0, 1.0]), lambda x: np.array([5.0, 1.0]))
    assert r.verdict == "fail"


def test_noise_that_hides_everything():
    noisy = lambda x: np.sum(x**2) + 1e3 * np.sin(1e12 * np.sum(x))
    assert dk.check_gradient(noisy, X, TWICE).verdict in ("noise", "undecided")


def test_random_functions():
    r = dk.check_gradient(lambda x: np.sum(x**2) + random.random(), X, TWICE)
    assert r.verdict == "nondeterministic"
    assert not r
    assert r.spread > 0


def test_a_value_that_is_not_a_number_is_traced_to_its_origin():
    r = dk.check_gradient(lambda x: np.sum(np.log(x - 2)), X, lambda x: 1 / (x - 2))
    assert r.verdict == "undecided"
    assert codes(r) == ["nan-origin"]
    assert "log(x) is defined for x > 0" in str(r)


def test_a_function_beyond_what_doubles_resolve():
    """tanh at 20: differences see nothing, and the complex step tells."""
    assert dk.check_gradient(lambda x: np.tanh(x), 20.0, lambda x: 4 * np.exp(-2 * x)).ok
    assert dk.check_gradient(lambda x: 1e16 + x, 1.5, lambda x: 2.0).verdict != "pass"


def test_what_moves_in_jumps_is_said():
    """The gradient of floor is zero, which is right, and of no use."""
    r = dk.check_gradient(lambda x: np.sum(np.floor(x)), np.array([0.3, 1.2]), np.zeros_like)
    assert r.ok
    assert codes(r) == ["step-function"]
    assert not dk.check_gradient(lambda x: np.sum(np.maximum(x, 0)), np.array([-2.0, -1.0]), np.zeros_like).suspects


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_fast_oscillation(seed, dtype):
    """Neither is a right gradient failed nor a wrong one passed."""
    w = {"float64": 1000.0, "float32": 10.0}[dtype]
    x = (np.random.default_rng(seed).normal(size=20) * 3).astype(dtype)
    f, g = (lambda x: np.sin(w * x).sum(dtype=x.dtype)), (lambda x: w * np.cos(w * x))
    assert dk.check_gradient(f, x, g, seed=seed).verdict != "fail"
    assert dk.check_gradient(f, x, lambda x: 1.02 * g(x), seed=seed).verdict != "pass"


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6, 1e-8])
def test_near_a_kink(distance):
    x = np.array([0.5, 1 + distance, -1 + distance, 3])
    r = dk.check_gradient(lambda x: np.clip(x, -1, 1).sum(), x, lambda x: (np.abs(x) < 1) * 1.0)
    assert r.verdict in ("pass", "kink")


def test_a_constant_that_cannot_remember_is_no_cache():
    r = dk.check_gradient(lambda x: abs(x[0] - x[1]), np.array([0.7, 0.7 + 1e-4]), lambda x: np.array([-1.0, 1.0]))
    assert r.verdict != "fail"


def test_the_function_is_called_seldom():
    """At most three times as often as by central differences, and thirty times more."""
    for grad in (rosen_der, lambda x: 2 * rosen_der(x), lambda x: rosen_der(x)[::-1]):
        x = np.linspace(0.3, 1.7, 20)
        r = dk.check_gradient(rosen, x, grad)
        assert r.calls <= 6 * x.size + 30


def test_the_same_answer_twice():
    one, other = (dk.check_gradient(rosen, X, lambda x: -rosen_der(x)).to_dict() for _ in range(2))
    assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}


def test_progress_is_told():
    told = []
    dk.check_gradient(rosen, np.linspace(0, 1, 200), rosen_der, advance=lambda done, total: told.append((done, total)))
    assert told[-1] == (200, 200)
    assert len(told) > 2


# ---- causes that need more than one array ----------------------------------------------------------------------------
def test_gradients_in_each_others_places():
    r = dk.check_gradient(lambda a, b: np.sum(a * b**2), (X, X + 1), lambda a, b: (2 * a * b, b**2))
    assert codes(r)[0] == "permuted"
    assert r.suspects[0].leaves == ("a", "b")


def test_a_part_of_a_formula_is_named():
    r = dk.check_gradient("sin(x)*y + x**2", (0.3, 2.0), {"x": "cos(x)*y", "y": "sin(x)"})
    assert codes(r)[0] == "missing-term"
    assert "x**2" in str(r.suspects[0])


def test_each_argument_gets_its_own_cause():
    def loss(w, b):
        return np.mean((A @ w + b) ** 2)

    def grad(w, b):
        e = A @ w + b
        return -2 * A.T @ e / e.size, 2 * np.sum(e) * np.ones(1)

    A = np.random.default_rng(0).normal(size=(7, 3))
    r = dk.check_gradient(loss, (X, np.ones(1)), grad)
    named = {s.leaves: s.code for s in reversed(r.suspects)}
    assert named[("w",)] == "sign"
    assert named[("b",)] == "mean-or-sum"


def test_codes_are_a_closed_list():
    with pytest.raises(ValueError, match="no such code"):
        dk.check.Suspect("typo", "")
    assert len(CODES) == 21


# ---- second derivatives -----------------------------------------------------------------------------------------------
def test_hessians():
    assert dk.check_gradient(rosen, X, (rosen_der, rosen_hess), order=2).ok
    assert dk.check_gradient(rosen, X, rosen_der, hvp=rosen_hess_prod, order=2).ok
    assert dk.check_gradient("x**2*sin(y)", (1.0, 2.0), order=2).ok
    assert dk.check_gradient(lambda a, b: np.sum(np.sin(a) * b), (X, X + 1), order=2).ok
    r = dk.check_gradient(rosen, X, (rosen_der, lambda x: rosen_hess(x) / 2), order=2)
    assert codes(r)[0] == "factor"
    assert "second derivatives" in str(r)
    lower = dk.check_gradient(rosen, X, (rosen_der, lambda x: np.tril(rosen_hess(x))), order=2)
    assert lower.verdict == "fail"
    product = dk.check_gradient(rosen, X, rosen_der, hvp=lambda x, v: -rosen_hess_prod(x, v), order=2)
    assert codes(product)[0] == "sign"


def test_a_wrong_gradient_is_told_before_its_hessian():
    r = dk.check_gradient(rosen, X, (lambda x: 2 * rosen_der(x), rosen_hess), order=2)
    assert codes(r)[0] == "factor"
    assert any("checked first" in n for n in r.notes)


# ---- large arguments --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda g: g, None),
        (lambda g: 2 * g, "factor"),
        (lambda g: -g, "sign"),
        (lambda g: np.roll(g, 1), "shifted"),
        (lambda g: np.where(np.arange(g.size) == 12_345, 1.5 * g, g), "single-entry"),
        (lambda g: np.where(np.arange(g.size) < 9_000, 0.0, g), "zero"),
    ],
)
def test_large_arguments_by_projection(change, code):
    x = np.random.default_rng(1).normal(size=20_000)
    r = dk.check_gradient(lambda x: np.sum(np.sin(x)) + x @ x / 2, x, lambda x: change(np.cos(x) + x))
    assert r.ok == (code is None), str(r)
    assert "random directions" in r.method
    assert not code or codes(r)[0] == code


def test_many_outputs_are_summed_with_random_weights():
    x = np.random.default_rng(1).normal(size=3000)
    assert dk.check_gradient(lambda x: np.sin(x) * 2, x).ok
    r = dk.check_gradient(np.sin, x, lambda x: np.diag(np.cos(x) * 1.001))
    assert codes(r)[0] == "factor"


# ---- bad input --------------------------------------------------------------------------------------------------------
def raises_beside(x):
    if not np.array_equal(x, X):
        raise ValueError("only there")
    return np.sum(x**2)


def raises_below(x):
    if x[0] < 1:
        raise ValueError("negative")
    return np.sum(x**2)


def doubles_its_argument(x):
    x *= 2
    return np.sum(x**2) / 4


def test_a_function_that_raises_near_by():
    r = dk.check_gradient(raises_beside, X, TWICE)
    assert r.verdict == "undecided"
    assert "ValueError: only there" in str(r)
    below = dk.check_gradient(raises_below, X, TWICE)
    assert below.ok
    assert "ValueError: negative" in str(below)


def test_arguments_that_are_written_into():
    r = dk.check_gradient(doubles_its_argument, X.copy(), TWICE)
    assert r.verdict == "fail"
    assert codes(r) == ["in-place"]
    assert "fun writes into its argument x" in str(r)

    def grad(x):
        x *= 2
        return x

    assert codes(dk.check_gradient(SQUARES, X, grad)) == ["in-place"]
    np.testing.assert_array_equal(X, [1, 2, 3])


@pytest.mark.parametrize(
    ("grad", "code"),
    [
        (lambda x: np.ones(4), "wrong-shape"),
        (lambda x: (2 * x)[:, None], "wrong-shape"),
        (lambda x: None, "wrong-shape"),
        (lambda x: {"x": 2 * x, "y": x}, "wrong-shape"),
        (lambda x: np.sum(2 * x), "wrong-shape"),
    ],
)
def test_wrong_shapes(grad, code):
    r = dk.check_gradient(SQUARES, X, grad)
    assert r.verdict == "fail"
    assert codes(r)[0] == code


def test_a_transposed_gradient_of_unlike_extents():
    w = np.arange(6.0).reshape(2, 3)
    r = dk.check_gradient(SQUARES, w, lambda w: 2 * w.T)
    assert codes(r) == ["transposed", "wrong-shape"]


@pytest.mark.parametrize("what", ["fun", "grad"])
def test_lists_are_taken_for_arrays_and_said(what):
    fun = (lambda x: [float(v * v) for v in x]) if what == "fun" else SQUARES
    grad = (lambda x: np.diag(2 * x)) if what == "fun" else (lambda x: [2 * float(v) for v in x])
    r = dk.check_gradient(fun, X, grad)
    assert r.ok
    assert f"{what} returned a Python list" in str(r)


@pytest.mark.parametrize(
    ("fun", "at", "grad", "error", "says"),
    [
        (lambda x: 1 / 0, X, TWICE, ArgumentError, "ZeroDivisionError at the point"),
        (lambda x: None, X, TWICE, DtypeError, "lack a return"),
        (lambda x: "text", X, TWICE, DtypeError, "must return numbers"),
        (lambda x: np.sum(x) * 1j, X, TWICE, DtypeError, "complex"),
        (lambda x: [[1.0], [1.0, 2.0]], X, TWICE, DtypeError, "unlike lengths"),
        (SQUARES, X, lambda x: 1 / 0, ArgumentError, "gradient of <lambda> raised ZeroDivisionError"),
        (SQUARES, X, lambda x: 2 * x + 0j, DtypeError, "complex"),
        (SQUARES, np.array([1, 2]), TWICE, ArgumentError, "nothing to differentiate by"),
        (SQUARES, np.zeros(0), TWICE, ArgumentError, "nothing to differentiate by"),
        (SQUARES, np.array([1.0, np.nan]), TWICE, ArgumentError, r"nan at \[1\]"),
        (SQUARES, {"y": X}, TWICE, ArgumentError, "not its parameters' names"),
        (3, X, TWICE, ArgumentError, "cannot be checked"),
        (SQUARES, X, 3, ArgumentError, "grad= is a int"),
        ("x*y", {"x": 1.0}, None, ArgumentError, "no value for 'y'"),
        ("x*y", (1.0, 2.0), {"x": "y"}, ArgumentError, "grad= gives 'x'"),
    ],
)
def test_what_cannot_be_checked(fun, at, grad, error, says):
    with pytest.raises(error, match=says) as caught:
        dk.check_gradient(fun, at, grad)
    assert isinstance(caught.value, DiffkitError)


def test_keywords_are_looked_at():
    with pytest.raises(ArgumentError, match="order is 1"):
        dk.check_gradient(SQUARES, X, TWICE, order=3)
    with pytest.raises(ArgumentError, match="rtol"):
        dk.check_gradient(SQUARES, X, TWICE, rtol=-1)
    with pytest.raises(ArgumentError, match="seed"):
        dk.check_gradient(SQUARES, X, TWICE, seed="a")
    with pytest.raises(ArgumentError, match="engine"):
        dk.check_gradient("x**2", 1.0, engine="bogus")
    with pytest.raises(ArgumentError, match="pair"):
        dk.check_gradient(SQUARES, X, TWICE, order=2)


def test_the_keyboard_is_heeded():
    def fun(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dk.check_gradient(fun, X, TWICE)


# ---- what the result can do -------------------------------------------------------------------------------------------
def test_plain_data(tmp_path):
    r = dk.check_gradient(lambda x: np.sum(np.abs(x)), np.array([0.0, 1.0]), lambda x: np.array([5.0, np.nan]))
    r.to_json(tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["verdict"] == "fail"
    assert {"given", "expected", "bar", "ulps"} <= set(found["entries"][0])


def test_raise_if_failed():
    assert dk.check_gradient(SQUARES, X, TWICE).raise_if_failed().ok
    with pytest.raises(AssertionError, match="factor"):
        dk.check_gradient(SQUARES, X, lambda x: x).raise_if_failed()
