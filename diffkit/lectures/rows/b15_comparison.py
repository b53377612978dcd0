"""B15: optimisers raced."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table, landscape
from ..row import Claim, Row


def example() -> dict:
    problems = {  # function, start, size of the noise in the gradient
        "ill-conditioned quadratic": (lambda x: (x[0] ** 2 + 100 * x[1] ** 2) / 2, [-4.0, 1.0], 0.0),
        "narrow valley": (lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, [-1.2, 1.0], 0.0),
        "saddle": (lambda x: x[0] ** 2 / 2 - x[1] ** 2 / 2 + x[1] ** 4 / 4, [-1.0, 1e-6], 0.0),
        "noisy gradient": (lambda x: (x[0] ** 2 + 100 * x[1] ** 2) / 2, [-4.0, 1.0], 3.0),
    }
    makers = {
        "gradient descent": lambda rate: dk.optim.GradientDescent(rate),
        "momentum": lambda rate: dk.optim.SGD(rate, momentum=0.9),
        "Nesterov": lambda rate: dk.optim.SGD(rate, momentum=0.9, nesterov=True),
        "RMSProp": lambda rate: dk.optim.RMSProp(rate, alpha=0.9),
        "Adam": lambda rate: dk.optim.Adam(rate),
    }
    grid = 10.0 ** np.arange(-3.5, -0.4, 0.5)  # of learning rates, the same for all: the best one counts

    races, leaving = {}, dict.fromkeys(makers, np.inf)
    for problem, (f, start, size) in problems.items():
        slope = dk.value_and_grad(f)
        for name, make in makers.items():
            for rate in grid:
                optimizer, noise, x = make(rate), np.random.default_rng(0), np.array(start)
                state, path, values = optimizer.init(x), [x], []
                for _ in range(120):
                    value, g = slope(x)
                    values.append(float(value))
                    if not abs(value) < 1e10:
                        break
                    x, state = optimizer.update(g + size * noise.normal(size=2), state, x)
                    path.append(x)
                if problem == "saddle" and min(values) < -0.2:
                    leaving[name] = min(leaving[name], int(np.argmax(np.array(values) < -0.2)))
                score = np.mean(values[-20:]) if len(values) == 120 else np.inf
                if (problem, name) not in races or score < races[problem, name]["score"]:
                    run = {"score": score, "rate": rate, "path": np.array(path), "values": np.array(values)}
                    races[problem, name] = run

    # a shallow minimum on the way to the deep one, at the same small rate
    dent = lambda x: 0.05 * (x[0] - 3) ** 2 - 0.25 * np.exp(-8 * (x[0] + 1) ** 2) + x[1] ** 2 / 2
    rolls = {}
    for name in ("gradient descent", "momentum"):
        optimizer, slope, x = makers[name](0.05), dk.grad(dent), np.array([-3.0, 1.0])
        state, path = optimizer.init(x), [x]
        for _ in range(600):
            x, state = optimizer.update(slope(x), state, x)
            path.append(x)
        rolls[name] = np.array(path)

    # how often is a critical point a minimum? Hessians drawn at random, symmetric and Gaussian
    rng, minima = np.random.default_rng(0), {}
    for n in range(1, 6):
        A = rng.normal(size=(100_000, n, n))
        minima[n] = np.mean(np.linalg.eigvalsh(A + A.transpose(0, 2, 1))[:, 0] > 0)

    eigenvalues = np.linalg.eigvalsh(dk.hessian(problems["ill-conditioned quadratic"][0])(np.zeros(2)))
    condition = eigenvalues[-1] / eigenvalues[0]
    functions = {problem: f for problem, (f, _, _) in problems.items()}
    return {
        "races": races,
        "leaving": leaving,
        "f": functions,
        "dent": dent,
        "rolls": rolls,
        "minima": minima,
        "condition": condition,
    }


#: exact: the chance that a symmetric Gaussian matrix of 1, 2 or 3 dimensions has no negative eigenvalue
EXACT = {1: 1 / 2, 2: (2 - np.sqrt(2)) / 4, 3: (np.pi - 2 * np.sqrt(2)) / (4 * np.pi)}


def claims(r: dict) -> list[Claim]:
    races, m = r["races"], r["minima"]
    score = lambda problem: {name: run["score"] for (p, name), run in races.items() if p == problem}
    quadratic = score("ill-conditioned quadratic")
    leaving = r["leaving"]
    rolls = {k: float(p[-1, 0]) for k, p in r["rolls"].items()}
    off = max(abs(m[n] - p) / np.sqrt(p * (1 - p) / 100_000) for n, p in EXACT.items())
    valley, noisy = score("narrow valley"), score("noisy gradient")
    floored = ("momentum", "Nesterov", "Adam")
    best = min(valley, key=lambda k: valley[k])
    return [
        Claim(
            f"The quadratic's condition number, from its exact Hessian, is {r['condition']:g}. There momentum ends at "
            f"f = {quadratic['momentum']:.1e}, gradient descent, at its own best rate, at "
            f"{quadratic['gradient descent']:.1e} (means of the last 20 of 120 steps, here and below).",
            bool(r["condition"] == 100 and quadratic["momentum"] < quadratic["gradient descent"] / 10),
            {"condition number": float(r["condition"]), **{k: float(v) for k, v in quadratic.items()}},
        ),
        Claim(
            f"In the narrow valley {best} gets lowest, to {valley[best]:.1e}, and gradient descent to "
            f"{valley['gradient descent']:.1e}.",
            bool(valley[best] < valley["gradient descent"]),
            {k: float(v) for k, v in valley.items()},
        ),
        Claim(
            "All leave the saddle from 1e-6 beside it, but adaptive methods do not mind how small a gradient "
            f"is. At the rate that leaves soonest it takes gradient descent {leaving['gradient descent']} "
            f"steps, momentum {leaving['momentum']}, RMSProp {leaving['RMSProp']}, Adam {leaving['Adam']}.",
            max(leaving["RMSProp"], leaving["Adam"]) < min(leaving["gradient descent"], leaving["momentum"])
            and max(leaving.values()) < np.inf,
            {f"steps, {k}": v for k, v in leaving.items()},
        ),
        Claim(
            "Noise sets a floor. On the same quadratic, with noise of deviation 3 in every gradient, "
            + ", ".join(f"{k} stays at {noisy[k]:.1e} ({quadratic[k]:.1e} without)" for k in floored)
            + f". Gradient descent is still on the way, at {noisy['gradient descent']:.1e}.",
            all(noisy[k] > 20 * quadratic[k] for k in floored),
            {f"with noise, {k}": float(v) for k, v in noisy.items()},
        ),
        Claim(
            "Momentum rolls through a shallow minimum that keeps gradient descent at the same rate: they end "
            f"at x = {rolls['momentum']:.2f} and {rolls['gradient descent']:.2f}; the deep minimum is at 3.",
            abs(rolls["momentum"] - 3) < 0.1 and abs(rolls["gradient descent"] + 1) < 0.2,
            rolls,
        ),
        Claim(
            f"Saddles outnumber minima as dimension grows: of random Hessians {m[1]:.1%}, {m[2]:.1%}, "
            f"{m[3]:.1%}, {m[4]:.2%}, {m[5]:.3%} have no negative eigenvalue in 1 to 5 dimensions. For 1 to 3 "
            f"the exact chances are met to {off:.1f} standard errors.",
            bool(off < 4 and all(m[n + 1] < m[n] / 2 for n in range(1, 5))),
            {f"share in {n} dimensions": float(v) for n, v in m.items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    races = r["races"]
    run = lambda problem: [(name, x) for (p, name), x in races.items() if p == problem]
    lands = {
        "ill-conditioned quadratic": landscape(r["f"]["ill-conditioned quadratic"], (-4.5, 2), (-1.2, 1.2)),
        "narrow valley": landscape(lambda x: np.log1p(r["f"]["narrow valley"](x)), (-1.8, 1.8), (-0.8, 2.2)),
        "saddle": landscape(lambda x: np.cbrt(r["f"]["saddle"](x) + 0.25), (-1.2, 0.6), (-1.5, 1.5)),
    }
    found = [
        chart
        for problem, land in lands.items()
        for chart in (
            Chart(
                f"{problem.capitalize()}: paths",
                "x",
                "y",
                [Line.through(x["path"], name) for name, x in run(problem)],
                landscape=land,
            ),
            Chart(
                f"{problem.capitalize()}: values",
                "step",
                "f" if problem != "saddle" else "f + 1/4",
                [
                    Line(np.arange(len(x["values"])), x["values"] + 0.25 * (problem == "saddle"), name)
                    for name, x in run(problem)
                ],
                "y",
                y_range=(1e-4, 1e3) if problem == "narrow valley" else (1e-12, 100),
            ),
        )
    ]
    n = np.array(list(r["minima"]))
    share = np.array(list(r["minima"].values()))
    dent = landscape(r["dent"], (-3.4, 4), (-1.2, 1.2))
    return [
        *found,
        Chart(
            "Noisy gradient: values",
            "step",
            "f",
            [Line(np.arange(len(x["values"])), x["values"], name) for name, x in run("noisy gradient")],
            "y",
        ),
        Chart(
            "A shallow minimum on the way",
            "x",
            "y",
            [Line.through(p, name) for name, p in r["rolls"].items()],
            landscape=dent,
            caption="The same rate, 0.05, for both.",
        ),
        Chart(
            "How often a random critical point is a minimum",
            "dimension",
            "share",
            [
                Line(n, share, "of 100,000 random Hessians", "both"),
                Line(list(EXACT), list(EXACT.values()), "exact", "dots"),
            ],
            "y",
            y_range=(5e-5, 1),
        ),
    ]


def tables(r: dict) -> list[Table]:
    names = list(dict.fromkeys(name for _, name in r["races"]))
    problems = list(dict.fromkeys(p for p, _ in r["races"]))
    rows = [
        [p, *(f"{r['races'][p, n]['score']:.1e} ({r['races'][p, n]['rate']:.2g})" for n in names)] for p in problems
    ]
    return [
        Table(
            "Mean value over the last 20 of 120 steps (and the learning rate, the best of seven)",
            ["problem", *names],
            rows,
            "The saddle's lowest value is −1/4.",
        )
    ]


ROW = Row(
    id="B15",
    title="Optimisers compared",
    says="What is hard, and for whom: a large condition number, a narrow valley, saddles, shallow minima, noise. Each "
    "optimiser runs at the best of seven learning rates, the same seven for all.",
    formulas=(
        r"\kappa = \frac{\lambda_{\max}(\nabla^2 f)}{\lambda_{\min}(\nabla^2 f)}",
        r"P_n(\lambda_{\min} > 0) = \frac{1}{2}, \ \frac{2 - \sqrt{2}}{4}, \ \frac{\pi - 2\sqrt{2}}{4\pi} \qquad "
        r"\text{in } n = 1, 2, 3 \text{ dimensions, at random}",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="L2, R7, C6",
)
