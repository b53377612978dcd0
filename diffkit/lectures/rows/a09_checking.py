"""A9: gradient checking, at kinks too."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(30, 4)), rng.normal(size=30), rng.normal(size=4)
    loss = lambda w: np.mean(np.tanh(X @ w - y) ** 2)

    def right(w):
        t = np.tanh(X @ w - y)
        return X.T @ (2 * t * (1 - t**2)) / 30

    gradients = {
        "right": right,
        "0.1% too long": lambda w: 1.001 * right(w),
        "a sum for a mean": lambda w: 30 * right(w),
        "one entry lost": lambda w: right(w) - right(w) * [0, 0, 1, 0],
    }

    # the textbook's test: relative error against central differences, for many steps
    h = np.logspace(-13, 0, 53)
    numeric = np.array([[(loss(w + e) - loss(w - e)) / (2 * s) for e in s * np.eye(4)] for s in h])
    size = lambda v: np.linalg.norm(v, axis=-1)
    textbook = {k: size(g(w) - numeric) / np.maximum(size(g(w)), size(numeric)) for k, g in gradients.items()}

    # the same, without a step to choose
    checks = {k: dk.check_gradient(loss, w, g) for k, g in gradients.items()}

    # beside a kink: central differences of max(x, 0) with h = 1e-5
    x, step = np.concatenate([-np.logspace(-3, -8, 40), [0.0], np.logspace(-8, -3, 40)]), 1e-5
    relu = lambda x: np.maximum(x, 0.0)
    quotient = (relu(x + step) - relu(x - step)) / (2 * step)
    given = dk.grad(lambda x: np.sum(np.maximum(x, 0.0)))(x)
    engine = dk.grad("maximum(x, 0)", wrt="x", engine="finite")(x=x)

    # at it: a network whose second unit is exactly at 0
    inputs, weights = np.array([1.0, 2.0]), np.array([[1.0, 1.0], [2.0, -1.0], [0.5, -1.0]])
    kinked = dk.check_gradient(lambda w: np.sum(relu(w @ inputs)), weights)
    point = dk.compare("maximum(x, 0)", at={"x": 0.0}, timing=False)
    slopes = [s.item() for s in point["finite"].slopes["x"]]
    conventions = {}
    for name in ("default", "left", "right", "jax"):
        with dk.kinks(name):
            conventions[name] = dk.grad("maximum(x, 0)", wrt="x")(x=0.0).item()
    smooth = {"h": h, "textbook": textbook, "checks": checks}
    near = {"x": x, "step": step, "quotient": quotient, "given": given, "engine": engine}
    return {**smooth, **near, "kinked": kinked, "point": point.outcome, "slopes": slopes, "conventions": conventions}


def claims(r: dict) -> list[Claim]:
    lowest = int(np.argmin(r["textbook"]["right"]))
    best = {k: float(v[lowest]) for k, v in r["textbook"].items()}
    checks = r["checks"]
    away = r["x"] != 0
    wrong = np.abs(r["quotient"] - r["given"])[away] > 1e-6
    over = np.abs(r["x"][away]) < r["step"]  # where the quotient reaches over the kink
    off = float(np.max(np.abs(r["engine"] - r["given"])[away]))
    kinked, c = r["kinked"], r["conventions"]
    return [
        Claim(
            f"The right gradient's relative error falls to {best['right']:.0e} at the best step. There a gradient that "
            f"is 0.1% too long is at {best['0.1% too long']:.0e}. At steps where quotients are worse than that, nothing "
            "tells the two apart.",
            best["right"] < 1e-9 and 5e-4 < best["0.1% too long"] < 2e-3,
            best,
        ),
        Claim(
            f"Without a step to choose: {sum(bool(v) for v in checks.values())} of {len(checks)} gradients pass, the "
            "right one; the others "
            "are told for what they are, "
            + ", ".join(f"“{v.suspects[0].code}”" for v in checks.values() if not v)
            + ".",
            bool(checks["right"]) and all(checks[k].verdict == "fail" for k in checks if k != "right"),
            {"resolution": float(checks["right"].resolution)},
        ),
        Claim(
            f"Central differences with h = 10⁻⁵ are wrong at {wrong.sum()} of {wrong.size} points beside the kink of "
            f"max(x, 0): at each that is nearer to it than h, and at no other. The finite engine is off by {off:.0e} at "
            "most, at any distance.",
            np.array_equal(wrong, over) and off < 1e-9,
            {"points where quotients are wrong": int(wrong.sum()), "finite engine": off},
        ),
        Claim(
            f"At 0 itself its verdict is “{r['point']}”: slopes {r['slopes'][0]:.0f} from the left and "
            f"{r['slopes'][1]:.0f} from the right.",
            r["point"] == "kink" and abs(r["slopes"][0]) < 1e-9 and abs(r["slopes"][1] - 1) < 1e-9,
            {"left": r["slopes"][0], "right": r["slopes"][1]},
        ),
        Claim(
            f"A network with one unit of 3 exactly at its kink: the verdict is “{kinked.verdict}”, {kinked.kinks} of "
            f"{kinked.judged} weights have two slopes. That is no failure: any slope between them is a subgradient.",
            kinked.verdict == "kink" and kinked.kinks > 0,
            {"kinks": kinked.kinks},
        ),
        Claim(
            f"Which one an engine gives can be chosen: at 0 the derivative of max(x, 0) is {c['default']:g} by default, "
            f"{c['left']:g} from the left, {c['right']:g} from the right, {c['jax']:g} as in JAX.",
            (c["default"], c["left"], c["right"], c["jax"]) == (0.5, 0, 1, 0.5),
            c,
        ),
    ]


def charts(r: dict) -> list[Chart]:
    x = r["x"]
    positive, negative = x > 0, x < 0
    lines = [
        Line(x[side], np.maximum(np.abs(r[what] - r["given"])[side], 1e-17), label, "both", k)
        for k, (what, label) in enumerate(
            (("quotient", "central differences, h = 10⁻⁵"), ("engine", "the finite engine"))
        )
        for side, label in ((positive, label),)
    ]
    lines.append(
        Line(
            -x[negative],
            np.maximum(np.abs(r["quotient"] - r["given"])[negative], 1e-17),
            "central, left of 0",
            "dashed",
            2,
        )
    )
    return [
        Chart(
            "The textbook's test",
            "step h",
            "relative error",
            [Line(r["h"], np.maximum(v, 1e-17), k) for k, v in r["textbook"].items()],
            "xy",
            "Only the right gradient has the V: truncation on its right, round-off on its left.",
        ),
        Chart(
            "Beside a kink",
            "distance from the kink of max(x, 0)",
            "error of the derivative",
            lines,
            "xy",
            "A quotient that reaches over the kink averages two slopes. An error of 0 is drawn at 10⁻¹⁷.",
            y_range=(1e-18, 10),
        ),
    ]


def tables(r: dict) -> list[Table]:
    lowest = int(np.argmin(r["textbook"]["right"]))
    rows = [
        [k, f"{r['textbook'][k][lowest]:.0e}", v.verdict, str(v.suspects[0]) if v.suspects else "–"]
        for k, v in r["checks"].items()
    ]
    columns = ["gradient", "relative error", "verdict", "what it looks like"]
    return [Table("Four gradients of one loss, at the best step", columns, rows, words=frozenset({2, 3}))]


ROW = Row(
    id="A9",
    title="Gradient checking",
    says="A gradient by formulas is held against quotients of values. The relative error says whether they agree, if "
    "the step was right. At a kink there are two slopes and no single derivative, and a quotient that reaches over one is "
    "wrong without saying so.",
    formulas=(
        r"\frac{\|g - \tilde g\|}{\max(\|g\|, \|\tilde g\|)} \qquad \tilde g_i = \frac{f(x + h e_i) - f(x - h e_i)}{2h}",
        r"\text{at } x = 0: \quad \max(x, 0)' = 0 \text{ from the left},\ 1 \text{ from the right}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="C6, L2",
)
