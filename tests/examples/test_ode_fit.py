"""examples/ode_fit.py finds what SciPy finds: an adaptive solver, and Jacobians by differences."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import diffkit as dk

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "ode_fit.py"))
PELTS = EXAMPLE["PELTS"]


def solved(p: np.ndarray) -> np.ndarray:
    alpha, beta, gamma, delta, *begin = p
    slope = lambda t, z: [z[0] * (alpha - beta * z[1]), z[1] * (delta * z[0] - gamma)]
    return solve_ivp(slope, (0, 20), begin, "DOP853", np.arange(21), rtol=1e-10, atol=1e-10).y.T


def test_against_scipy() -> None:
    found = dk.optim.least_squares(EXAMPLE["residuals"], EXAMPLE["START"], PELTS)
    assert found.success
    nest = lambda p: [p["alpha"], p["beta"], p["gamma"], p["delta"], *p["begin"]]
    residuals = lambda p: np.log(solved(p) / PELTS).ravel()
    known = least_squares(
        residuals, nest(EXAMPLE["START"]), "3-point", x_scale="jac", xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    np.testing.assert_allclose(nest(found.x), known.x, rtol=1e-5)
    covariance = 2 * known.cost / (42 - 6) * np.linalg.inv(known.jac.T @ known.jac)
    np.testing.assert_allclose(nest(found.x_sd), np.sqrt(np.diag(covariance)), rtol=1e-4)
    # what is fitted is the equation's solution: the error of the steps is far below that of the data
    np.testing.assert_allclose(np.exp(EXAMPLE["solution"](found.x)), solved(np.array(nest(found.x))), rtol=1e-4)


def test_main_prints_the_period(capsys) -> None:
    assert 0.2 < EXAMPLE["main"]() < 0.3
    assert "9.6 years" in capsys.readouterr().out
