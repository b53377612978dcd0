"""Lynx and hare: the parameters of a differential equation from 21 years of furs, through the steps that solve it.

Hares x multiply and are eaten, lynxes y multiply by eating and starve (Lotka and Volterra):

    x' = (α − β y) x        y' = (δ x − γ) y

The data are the pelts, in thousands, that the Hudson's Bay Company bought from 1900 to 1920 (C. G. Hewitt, The Conservation
of the Wild Life of Canada, 1921). Errors are relative ones, so the logarithms are fitted: four rates and where both begin.

pip install diffkit
python examples/ode_fit.py
"""

from __future__ import annotations

import numpy as np

import diffkit as dk

HARES = "30 47.2 70.2 77.4 36.3 20.6 18.1 21.4 22 25.4 27.1 40.3 57 76.6 52.3 19.5 11.2 7.6 14.6 16.2 24.7"
LYNXES = "4 6.1 9.8 35.2 59.4 41.7 19 13 8.3 9.1 7.4 8 12.3 19.5 45.7 51.1 29.7 15.8 9.7 10.1 8.6"
PELTS = np.array([HARES.split(), LYNXES.split()], float).T  # (21, 2)
START = {"alpha": 0.5, "beta": 0.02, "gamma": 0.9, "delta": 0.03, "begin": PELTS[0]}
STEPS = 20  # of Runge and Kutta's method, a year


def slope(p, z):
    """The derivative by time, of the logarithms z = (log x, log y)."""
    x, y = np.exp(z[0]), np.exp(z[1])
    return np.stack([p["alpha"] - p["beta"] * y, p["delta"] * x - p["gamma"]])


def solution(p, years: int = len(PELTS), steps: int = STEPS):
    """The logarithms of both at the beginning of each year, (years, 2). A loop in a loop: each is one operation, traced once."""
    h = 1 / steps

    def step(z, _):
        a = slope(p, z)
        b = slope(p, z + h / 2 * a)
        c = slope(p, z + h / 2 * b)
        return z + h / 6 * (a + 2 * b + 2 * c + slope(p, z + h * c)), None

    def year(z, _):
        return dk.scan(step, z, length=steps)[0], z

    return dk.scan(year, np.log(p["begin"]), length=years)[1]


def residuals(p, pelts):
    return solution(p, len(pelts)) - np.log(pelts)


def main() -> float:
    """The standard deviation of the logarithms from the solution: a relative error."""
    found = dk.optim.least_squares(residuals, START, PELTS)
    print(found)
    period = 2 * np.pi / np.sqrt(found.x["alpha"] * found.x["gamma"])
    print(f"small swings take 2π/√(αγ) = {period:.1f} years")
    return float(np.sqrt(2 * found.cost / found.degrees_of_freedom))


if __name__ == "__main__":
    print(f"a year's furs are off the equation's by {main():.0%}, typically")
