"""The catalogue of races: every minimum is one, and names, options and what is missing are told."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, UnavailableError
from diffkit.optim.objective import Objective
from diffkit.optim.racing import catalogue, landscapes, problem

#: several options of each that has some
VARIANTS = [
    "quadratic:cond=1e6,n=5", "quadratic:cond=1,n=1", "noisy-quadratic:cond=3,n=4,sigma=0.1", "rastrigin:n=3", "rosenbrock:n=6",
    "logistic:l2=0.1", "powell-singular:n=8", "variably-dimensioned:n=4", "trigonometric:n=3", "brown-almost-linear:n=5",
]  # fmt: skip
ALL = [*catalogue(), *VARIANTS]


def made(text: str):
    if text.startswith("logistic"):
        pytest.importorskip("sklearn")
    return problem(text)


@pytest.mark.parametrize("text", ALL)
def test_known_minima_are_minima(text):
    p = made(text)
    assert p.minimum is not None and p.minimisers
    objective = Objective(p.function, p.start)
    start = objective.point(p.start)
    assert start.finite and start.value > p.minimum
    for best in p.minimisers:
        at = objective.point(best)
        assert abs(at.value - p.minimum) <= 1e-12 * max(abs(p.minimum), 1e-9 * start.value, 1e-18), (
            at.value,
            p.minimum,
        )
        # what rounding the minimiser leaves in the gradient: the curvature times half an ulp
        h = objective.hessian(best)
        left = np.abs(h) @ (np.spacing(np.abs(best)) + 1e-16) + 1e-12 * np.max(np.abs(start.gradient)) * 1e-2
        assert (np.abs(at.gradient) <= 8 * left + 1e-15).all(), at.gradient
        assert np.linalg.eigvalsh(h)[0] >= -1e-10 * np.linalg.norm(h)


@pytest.mark.parametrize("text", ALL)
def test_nothing_lies_below_the_minimum_nearby(text):
    p = made(text)
    rng = np.random.default_rng(0)
    for best in p.minimisers:
        for size in (1e-4, 1e-2, 1.0):
            x = best + size * rng.normal(size=best.shape) * np.maximum(np.abs(best), 1e-6)
            assert p.function(x) >= p.minimum * (1 - 1e-12) - 1e-25


@pytest.mark.parametrize("text", ALL)
def test_numpy_and_the_trace_agree_on_values_and_gradients(text):
    p = made(text)
    at = Objective(p.function, p.start).point(p.start)
    assert np.isclose(at.value, p.function(p.start), rtol=1e-12)
    forward = dk.grad(p.function, engine="forward")(p.start)
    assert np.allclose(at.gradient, forward, rtol=1e-9, atol=1e-9 * np.max(np.abs(forward)))


@pytest.mark.parametrize("text", [t for t in ALL if not t.startswith("logistic")])
def test_sums_of_squares_are_those_of_their_residuals(text):
    p = problem(text)
    if p.residuals is not None:
        assert np.isclose(sum(float(r) ** 2 for r in p.residuals(p.start)), p.function(p.start), rtol=1e-12)


def test_more_garbow_hillstrom_values_at_their_starts():
    """Computed from the paper's definitions by hand or with other programs."""
    known = {
        "rosenbrock": 24.2,
        "freudenstein-roth": 400.5,
        "powell-singular": 215.0,
        "beale": 14.203125,
        "wood": 19192.0,
    }
    known |= {"helical-valley": 2500.0, "brown-badly-scaled": 999998000003.0, "brown-dennis": 7926693.33699743}
    for name, value in known.items():
        p = problem(name)
        assert np.isclose(p.function(p.start), value, rtol=1e-9), name


@pytest.mark.parametrize(("cond", "n"), [(10.0, 2), (1e4, 5), (1e8, 3)])
def test_quadratic_has_the_condition_number(cond, n):
    p = problem(f"quadratic:cond={cond:g},n={n}")
    values = np.linalg.eigvalsh(dk.hessian(p.function)(p.start))
    assert np.isclose(values[-1] / values[0], cond, rtol=1e-6)
    assert np.isclose(p.function(p.start), n)


def test_monkey_saddle_has_no_curvature_at_the_saddle():
    p = problem("monkey-saddle")
    assert np.all(dk.hessian(p.function)(np.zeros(2)) == 0)
    assert np.all(dk.grad(p.function)(np.zeros(2)) == 0)


def test_names_and_variables():
    p = problem("Powell_Singular")
    assert p.name == "powell-singular" and p.variables == ("x1", "x2", "x3", "x4")
    assert problem(" rosenbrock : n=4 ").name == "rosenbrock:n=4" and problem("rosenbrock").variables == ("x", "y")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rosenbrok", "did you mean 'rosenbrock'"), ("nothing", "There are quadratic"),
        ("beale:n=3", "it has none"), ("quadratic:kappa=3", "its options are cond, n"),
        ("quadratic:cond=much", "is a number, not 'much'"), ("quadratic:n=2.5", "is a whole number"),
        ("quadratic:cond=0.5", "below 1"), ("quadratic:n", "is a whole number"), ("rosenbrock:n=3", "no positive multiple of 2"),
        ("powell-singular:n=6", "multiple of 4"), ("quadratic:cond=nan", "is a number"),
        ("noisy-quadratic:sigma=0", "not positive"),
    ],
)  # fmt: skip
def test_wrong_names_and_options_are_told(text, said):
    with pytest.raises(ArgumentError, match=said):
        problem(text)


def test_a_missing_scikit_learn_is_told(monkeypatch):
    landscapes._patients.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UnavailableError, match=r"diffkit\[data\]"):
        problem("logistic")
