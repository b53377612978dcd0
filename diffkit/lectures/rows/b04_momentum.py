"""B4: momentum in its two forms."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, landscape
from ..row import Claim, Row


def example() -> dict:
    f = lambda x: (x[0] ** 2 + 25 * x[1] ** 2) / 2
    slope = dk.grad(f)
    drop = dk.optim.schedules.step(lr=0.03, step_size=15, gamma=0.1)

    paths = {}
    for name, rate in {"constant": 0.03, "dropped": drop}.items():
        forms = {
            "y ← γy + g, x ← x − αy": dk.optim.SGD(learning_rate=rate, momentum=0.9),
            "v ← ρv − αg, x ← x + v": dk.optim.SGD(learning_rate=rate, momentum=0.9, flavor="DS"),
        }
        for form, optimizer in forms.items():
            x = np.array([-4.0, 1.0])
            state, path = optimizer.init(x), [x]
            for _ in range(60):
                x, state = optimizer.update(slope(x), state, x)
                path.append(x)
            paths[name, form] = np.array(path)

    plain = dk.optim.SGD(learning_rate=0.03)
    x = np.array([-4.0, 1.0])
    state, path = plain.init(x), [x]
    for _ in range(60):
        x, state = plain.update(slope(x), state, x)
        path.append(x)

    # a gradient that is always 1: what the velocity grows to
    optimizer = dk.optim.SGD(learning_rate=1.0, momentum=0.9)
    x, velocity = np.array(0.0), []
    state = optimizer.init(x)
    for _ in range(100):
        x, state = optimizer.update(np.array(1.0), state, x)
        velocity.append(float(state.slots["v"]))
    return {"f": f, "paths": paths, "plain": np.array(path), "velocity": np.array(velocity)}


def claims(r: dict) -> list[Claim]:
    (a, b), (c, d) = ([p for (n, _), p in r["paths"].items() if n == name] for name in ("constant", "dropped"))
    same, other = float(np.max(np.abs(a - b))), np.max(np.abs(c - d), axis=1)
    v = r["velocity"][-1]
    away = [float(np.linalg.norm(p[-1])) for p in (r["plain"], a)]
    return [
        Claim(
            f"At a constant rate both forms take the same 60 steps: {same:.0e} apart at most.",
            same < 1e-13,
            {"largest difference": same},
        ),
        Claim(
            "When the rate falls to a tenth every 15 steps they are the same up to the first fall, to "
            f"{other[:16].max():.0e}, and then part, by up to {other.max():.2g}: in the second form old gradients keep "
            "their old rate.",
            bool(other[:16].max() < 1e-13 and other.max() > 0.05),
            {"largest difference": float(other.max())},
        ),
        Claim(
            f"The average is not normalised: under a constant gradient of 1 the velocity is {v:.4f} after 100 steps, on "
            "its way to 1/(1 − 0.9) = 10.",
            abs(v - 10 * (1 - 0.9**100)) < 1e-12,
            {"velocity": float(v)},
        ),
        Claim(
            f"After 60 steps momentum is {away[1]:.2g} from the minimum, plain gradient descent at the same "
            f"rate {away[0]:.2g}.",
            away[1] < away[0],
            {"momentum": away[1], "plain": away[0]},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    paths, steps = r["paths"], np.arange(61)
    first, second = (form for name, form in paths if name == "constant")
    kept = paths["constant", first]
    land = landscape(r["f"], (-4.5, 4.5), (-1.5, 1.5))
    return [
        Chart(
            "With and without momentum",
            "x",
            "y",
            [Line.through(r["plain"], "gradient descent", "both"), Line.through(kept, "momentum 0.9", "both")],
            landscape=land,
            caption="½(x² + 25y²), α = 0.03, 60 steps.",
        ),
        Chart(
            "The rate falls to a tenth every 15 steps",
            "step",
            "x",
            [
                Line(steps, paths["dropped", first][:, 0], first),
                Line(steps, paths["dropped", second][:, 0], second),
                Line(steps, kept[:, 0], "both forms, constant rate", "theory"),
            ],
            caption="The first form slows down at once; the second runs on with the velocity that it has.",
        ),
        Chart(
            "An average that is not normalised",
            "step",
            "velocity",
            [
                Line(np.arange(1, 101), r["velocity"], "velocity under g = 1"),
                Line([1, 100], [10, 10], "1/(1 − γ)", "theory"),
            ],
        ),
    ]


ROW = Row(
    id="B4",
    title="Momentum",
    says="Steps follow a running sum of gradients that fades: what changes sign cancels, what keeps its sign adds up. Two "
    "forms are in use; they give the same iterates as long as the learning rate is constant.",
    formulas=(
        r"y_{n+1} = \gamma y_n + g_n \qquad x_{n+1} = x_n - \alpha_n y_{n+1}",
        r"v_{n+1} = \rho v_n - \alpha_n g_n \qquad x_{n+1} = x_n + v_{n+1}",
        r"y_1 = 0: \quad y_{n+1} = \sum_{j=1}^n \gamma^{n-j} g_j",
    ),
    example=example,
    claims=claims,
    charts=charts,
    slips=(
        "C6 calls the two forms equivalent: they are while the learning rate is constant (the first two claims).",
        "L2 and C6 call the velocity a running mean: it is a sum, 1/(1 − γ) times as large (the third claim).",
        "L2 writes the sum out with γᵏ before the first gradient; by its own recursion the power is γᵏ⁻¹.",
    ),
    sources="L2, R7, C6 (first form); C6, DS (second)",
)
