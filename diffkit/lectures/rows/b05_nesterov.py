"""B5: Nesterov's momentum, looking ahead and rewritten."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, landscape
from ..row import Claim, Row


def example() -> dict:
    f = lambda x: (x[0] ** 2 + 25 * x[1] ** 2) / 2 + np.sin(x[0] + x[1])
    slope, start = dk.grad(f), np.array([-4.0, 1.0])

    # look-ahead: the gradient is taken where the velocity alone would lead, so the optimiser is given the function
    ahead = dk.optim.SGD(learning_rate=0.02, momentum=0.9, nesterov=True, flavor="paper")
    x, state = start, ahead.init(start)
    paths, shifted = {"look-ahead": [x]}, [x]
    for _ in range(80):
        x, state = ahead.update(slope(x), state, x, fun=f)
        paths["look-ahead"].append(x)
        shifted.append(x + 0.9 * state.slots["v"])

    # rewritten for x̃ = x + ρv: a gradient at the parameters themselves is all it needs
    others = {
        "rewritten": dk.optim.SGD(learning_rate=0.02, momentum=0.9, nesterov=True, flavor="C6"),
        "PyTorch": dk.optim.SGD(learning_rate=0.02, momentum=0.9, nesterov=True),
        "momentum": dk.optim.SGD(learning_rate=0.02, momentum=0.9),
    }
    for name, optimizer in others.items():
        x, state = start, optimizer.init(start)
        paths[name] = [x]
        for _ in range(80):
            x, state = optimizer.update(slope(x), state, x)
            paths[name].append(x)
    lowest = dk.optim.minimize(f, start, method="newton").fun
    values = {name: np.array([f(x) - lowest for x in path]) for name, path in paths.items()}
    return {"f": f, "paths": {k: np.array(p) for k, p in paths.items()}, "shifted": np.array(shifted), "values": values}


def claims(r: dict) -> list[Claim]:
    p = r["paths"]
    same, torch = (float(np.max(np.abs(r["shifted"] - p[n]))) for n in ("rewritten", "PyTorch"))
    moved = float(np.max(np.abs(p["look-ahead"] - p["rewritten"])))
    swing = {n: float(r["values"][n][40:].max()) for n in ("look-ahead", "momentum")}
    return [
        Claim(
            f"The rewritten form visits x̃ = x + ρv of the look-ahead form at each of 80 steps, to {same:.0e}.",
            same < 1e-12,
            {"largest difference": same},
        ),
        Claim(
            "The form that PyTorch uses, a step along g + ρy with the y of the first form of momentum, visits the same "
            f"points, to {torch:.0e}.",
            torch < 1e-12,
            {"largest difference": torch},
        ),
        Claim(
            f"x and x̃ themselves differ, by up to {moved:.2g}: the two forms report different points of one motion.",
            moved > 0.1,
            {"largest difference": moved},
        ),
        Claim(
            f"Looking ahead damps the swing: from step 40 on f is at most {swing['look-ahead']:.1e} above its minimum, "
            f"with plain momentum {swing['momentum']:.1e}.",
            swing["look-ahead"] < swing["momentum"],
            swing,
        ),
    ]


def charts(r: dict) -> list[Chart]:
    p, steps = r["paths"], np.arange(81)
    land = landscape(r["f"], (-4.5, 4), (-1.6, 1.6))
    return [
        Chart(
            "Two forms, one motion",
            "x",
            "y",
            [
                Line.through(p["look-ahead"], "look-ahead, x", "both"),
                Line.through(r["shifted"], "look-ahead, x + ρv"),
                Line.through(p["rewritten"], "rewritten, x̃", "dots"),
            ],
            landscape=land,
            caption="½(x² + 25y²) + sin(x + y), α = 0.02, ρ = 0.9.",
        ),
        Chart(
            "Beside plain momentum",
            "step",
            "f − f*",
            [Line(steps, r["values"][n], n) for n in ("momentum", "look-ahead", "rewritten")],
            "y",
        ),
    ]


ROW = Row(
    id="B5",
    title="Nesterov's momentum",
    says="The gradient is taken where the velocity is about to lead. In coordinates that run ahead by the "
    "velocity the same method needs the "
    "gradient at its own parameters only.",
    formulas=(
        r"v_{n+1} = \rho v_n - \alpha \nabla f(x_n + \rho v_n) \qquad x_{n+1} = x_n + v_{n+1}",
        r"\tilde{x}_{n+1} = \tilde{x}_n + v_{n+1} + \rho (v_{n+1} - v_n) \qquad \tilde{x}_n = x_n + \rho v_n",
    ),
    example=example,
    claims=claims,
    charts=charts,
    sources="L2, R7, C6",
)
