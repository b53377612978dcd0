"""E2: first- and second-order models."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Mark, landscape
from ..row import Claim, Row


def example() -> dict:
    # one dimension: the models at x = 1, and the step that each takes
    f = lambda x: np.log(1 + np.exp(2 * x)) - x + 0.1 * (x - 1) ** 2
    at = np.array(1.0)
    value, slope = dk.value_and_grad(f)(at)
    curvature = dk.hessian(f)(at)
    linear = lambda h: value + slope * h
    quadratic = lambda h: value + slope * h + curvature * h**2 / 2
    steps = {"first order": -0.5 * slope, "second order": -slope / curvature}  # the first needs a rate: 0.5

    # how wrong the models are, as the step shrinks
    h = np.geomspace(1e-3, 1, 25)
    wrong = {"first order": np.abs(f(at + h) - linear(h)), "second order": np.abs(f(at + h) - quadratic(h))}

    # two dimensions: where each step leads
    g = lambda x: (1 - x[0]) ** 2 + 5 * (x[1] - x[0] ** 2) ** 2
    point = np.array([-0.6, 0.2])
    G, H = dk.grad(g)(point), dk.hessian(g)(point)
    newton = point - np.linalg.solve(H, G)
    downhill = point - 0.05 * G
    model = lambda x: g(point) + G @ (x - point) + (x - point) @ H @ (x - point) / 2
    bottom = np.abs(dk.grad(model)(newton)).max() / np.abs(G).max()
    line = {"f": f, "at": float(at), "linear": linear, "quadratic": quadratic, "steps": steps, "h": h, "wrong": wrong}
    return {**line, "g": g, "point": point, "newton": newton, "downhill": downhill, "bottom": bottom, "G": G, "H": H}


def claims(r: dict) -> list[Claim]:
    small = r["h"] < 0.1
    powers = {k: float(np.polyfit(np.log(r["h"][small]), np.log(w[small]), 1)[0]) for k, w in r["wrong"].items()}
    f, at, s = r["f"], r["at"], r["steps"]
    before, first, second = (float(f(at + h)) for h in (0.0, s["first order"], s["second order"]))
    model = float(r["quadratic"](s["second order"]))
    low, high = np.linalg.eigvalsh(r["H"])
    g = [float(r["g"](p)) for p in (r["point"], r["downhill"], r["newton"])]
    return [
        Claim(
            f"The error of the first-order model shrinks like the power {powers['first order']:.2f} of the "
            f"step, that of the second-order model like {powers['second order']:.2f}.",
            abs(powers["first order"] - 2) < 0.05 and abs(powers["second order"] - 3) < 0.1,
            powers,
        ),
        Claim(
            "The first-order model has no minimum, so its step needs a rate; with 0.5 it goes by "
            f"{s['first order']:.2f} and f from {before:.2f} to {first:.2f}. The second-order step, "
            f"{s['second order']:.2f}, needs none: its model says {model:.2f}, f is {second:.2f} there.",
            max(first, second) < before,
            {"before": before, "first order": first, "second order": second},
        ),
        Claim(
            f"Newton's step lands at the quadratic model's minimum: the eigenvalues of the Hessian are {low:.2f} and {high:.2f}, "
            f"and the model's gradient is 0 there, to {r['bottom']:.0e}.",
            bool(r["bottom"] < 1e-13 and low > 0),
            {"relative gradient": float(r["bottom"])},
        ),
        Claim(
            f"In the plane f falls from {g[0]:.2f} to {g[1]:.2f} by the first-order step and to {g[2]:.2f} by "
            "Newton's.",
            g[1] < g[0] and g[2] < g[0],
            {"before": g[0], "first order": g[1], "second order": g[2]},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    s, f, at = r["steps"], r["f"], r["at"]
    x = np.linspace(-2, 2.2, 300)
    first, second = at + float(s["first order"]), at + float(s["second order"])
    curves = [
        Line(x, f(x), "f"),
        Line(x, r["linear"](x - at), "first-order model", "dashed"),
        Line(x, r["quadratic"](x - at), "second-order model", "dashed"),
    ]
    marks = [
        Mark(at, float(f(at)), "", "cross"),
        Mark(first, float(f(first))),
        Mark(second, float(f(second))),
    ]
    p = r["point"]
    model = lambda z: (
        lambda d: r["g"](p) + np.tensordot(r["G"], d, 1) + np.einsum("i...,ij,j...->...", d, r["H"], d) / 2
    )(z - p.reshape(2, *[1] * (z.ndim - 1)))
    steps = [
        Line.through([p, r["downhill"]], "first-order step", "both"),
        Line.through([p, r["newton"]], "Newton's step", "both"),
    ]
    window = (-1.6, 1.6), (-0.8, 2.0)
    return [
        Chart(
            "Models at x = 1",
            "x",
            "value",
            curves,
            caption=f"The cross is at x = 1; the stars are f after the first-order step, at {first:.2f}, and after the "
            f"second-order step, at {second:.2f}.",
            marks=marks,
            y_range=(-0.2, 3),
        ),
        Chart(
            "How wrong the models are",
            "length of the step",
            "|f − model|",
            [Line(r["h"], w, k, "both") for k, w in r["wrong"].items()],
            "xy",
        ),
        Chart(
            "The function, and two steps",
            "x",
            "y",
            steps,
            landscape=landscape(r["g"], *window),
            marks=[Mark(1.0, 1.0, "minimum")],
        ),
        Chart(
            "The quadratic model, and the same steps",
            "x",
            "y",
            steps,
            landscape=landscape(model, *window),
            marks=[Mark(1.0, 1.0, "minimum of f")],
        ),
    ]


ROW = Row(
    id="E2",
    title="Linear and quadratic models",
    says="Near a point a function is almost its Taylor polynomial. The linear model says which way is down, the quadratic "
    "one also how far to go.",
    formulas=(
        r"m_1(h) = f(x) + \nabla f(x)^T h \qquad m_2(h) = m_1(h) + \frac{1}{2} h^T \nabla^2 f(x)\, h",
        r"h_1 = -\alpha \nabla f(x) \qquad h_2 = -\left(\nabla^2 f(x)\right)^{-1} \nabla f(x)",
    ),
    example=example,
    claims=claims,
    charts=charts,
    sources="L2, C6",
)
