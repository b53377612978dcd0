"""C9: polynomials of rising degree, and the balls of two penalties."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Landscape, Line, Mark, Table
from ..row import Claim, Row


def example() -> dict:
    # 12 noisy points of a sine; polynomials in Legendre's basis, in which the sizes of parameters can be compared
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(-1, 1, 12))
    y = np.sin(3 * x) + 0.2 * rng.normal(size=12)
    new = np.linspace(x[0], x[-1], 200)
    truth, basis = np.sin(3 * new), np.polynomial.legendre.legvander
    error = lambda w, x, y, degree: np.mean((basis(x, degree) @ w - y) ** 2)
    fitted = lambda degree, penalty: (
        dk.optim.minimize(
            lambda w: error(w, x, y, degree) + penalty(w), np.zeros(degree + 1), method="newton", gtol=1e-9
        ).x
    )
    degrees = list(range(12))
    plain = {k: fitted(k, lambda w: 0.0) for k in degrees}
    ridge = {k: fitted(k, lambda w: dk.nn.l2(w, 0.02)) for k in degrees}
    tables = {}
    for name, ws in {"no penalty": plain, "L2, λ = 0.02": ridge}.items():
        tables[name] = np.array(
            [[error(w, x, y, k), error(w, new, truth, k), np.linalg.norm(w), np.abs(w).sum()] for k, w in ws.items()]
        )

    # two parameters: minima of loss + λ·penalty, for more and more of the penalty
    H, centre = np.array([[2.0, 0.6], [0.6, 1.0]]), np.array([1.6, 0.7])
    f = lambda w: np.sum((w - centre) * (H @ (w - centre))) / 2
    slope, lambdas = dk.grad(f), np.linspace(0, 4, 41)
    paths = {"L2": [], "L1": []}
    for lam in lambdas:
        ridge_minimum = dk.optim.minimize(lambda w: f(w) + dk.nn.l2(w, float(lam)), centre, method="newton").x
        paths["L2"].append(ridge_minimum)
        w = centre
        for _ in range(300):  # after a step of gradient descent |w| is made smaller by 0.4 λ, down to 0 at most
            w = w - 0.4 * slope(w)
            w = np.sign(w) * np.maximum(np.abs(w) - 0.4 * lam, 0)
        paths["L1"].append(w)
    return {
        "points": (x, y, new, truth),
        "curves": {k: (basis(new, k) @ plain[k], basis(new, k) @ ridge[k]) for k in (1, 3, 11)},
        "tables": tables,
        "lambdas": lambdas,
        "paths": {name: np.array(ws) for name, ws in paths.items()},
        "quadratic": (H, centre),
    }


def _loss(r: dict, w: np.ndarray) -> np.ndarray:
    """Of points (2, ...)."""
    H, centre = r["quadratic"]
    a, b = w[0] - centre[0], w[1] - centre[1]
    return (H[0, 0] * a * a + 2 * H[0, 1] * a * b + H[1, 1] * b * b) / 2


def _border(name: str, radius: float, n: int = 4001) -> np.ndarray:
    """The border of a ball around 0, shape (2, n)."""
    t = np.linspace(0, 2 * np.pi, n)
    circle = np.array([np.cos(t), np.sin(t)])
    return radius * circle / (1.0 if name == "L2" else np.abs(circle).sum(axis=0))


def _size(name: str, w: np.ndarray) -> float:
    return float(np.linalg.norm(w) if name == "L2" else np.abs(w).sum())


def claims(r: dict) -> list[Claim]:
    plain, ridge = r["tables"].values()
    training = plain[:, 0]
    best = int(np.argmin(plain[:, 1]))
    # lower on the border of the ball than the penalised minimum is: nothing, for a minimum outside of the ball
    better = {}
    for name, path in r["paths"].items():
        inside = [w for lam, w in zip(r["lambdas"], path, strict=True) if lam > 0 and w.any()]
        better[name] = max(float(_loss(r, w) - _loss(r, _border(name, _size(name, w))).min()) for w in inside)
    L1, L2 = r["paths"]["L1"], r["paths"]["L2"]
    first, all_zero = (float(r["lambdas"][mask][0]) for mask in (L1[:, 1] == 0, (L1 == 0).all(axis=1)))
    H, centre = r["quadratic"]
    edge = float(np.max(np.abs(H @ centre)))  # the largest slope at 0
    closed = [np.linalg.solve(H + lam * np.eye(2), H @ centre) for lam in r["lambdas"]]
    off = float(np.max(np.abs(L2 - closed)))
    # where w₂ = 0 and w₁ is best for it, the slope by w₂ is −(a + bλ), which λ outweighs from a/(1 − b) on
    b = H[0, 1] / H[0, 0]
    corner = float((H[1, 1] - b * H[0, 1]) * centre[1] / (1 - b))
    return [
        Claim(
            f"From degree 0 to 11 the training loss never rises, from {training[0]:.2g} to {training[-1]:.0e}: 12 "
            f"parameters meet 12 points. Between the points the loss is least at degree {best}, "
            f"{plain[best, 1]:.2g}, and {plain[-1, 1]:.2g} at degree 11.",
            bool((np.diff(training) < 1e-9).all() and training[-1] < 1e-4 and plain[-1, 1] > 10 * plain[best, 1]),
            {"training, degree 11": float(training[-1]), "between, degree 11": float(plain[-1, 1])},
        ),
        Claim(
            f"The parameters tell: ‖w‖ is {plain[best, 2]:.2g} at degree {best} and {plain[-1, 2]:.3g} at degree 11, ‖w‖₁ "
            f"{plain[best, 3]:.2g} and {plain[-1, 3]:.3g}.",
            bool(plain[-1, 2] > 5 * plain[best, 2] and plain[-1, 3] > 5 * plain[best, 3]),
            {"L2, degree 11": float(plain[-1, 2]), "L1, degree 11": float(plain[-1, 3])},
        ),
        Claim(
            f"With a little L2 the degree hardly matters: from degree 3 to 11 ‖w‖ stays between {ridge[3:, 2].min():.2f} and "
            f"{ridge[3:, 2].max():.2f}, and the loss between the points is at most {ridge[3:, 1].max():.2g}.",
            bool(ridge[3:, 1].max() < plain[-1, 1] / 3 and np.ptp(ridge[3:, 2]) < 0.25 * ridge[3, 2]),
            {"between, at most": float(ridge[3:, 1].max()), "L2, degree 11": float(ridge[-1, 2])},
        ),
        Claim(
            "A penalty is a ball: at each λ, of 4,001 points that have the size of the penalised minimum none has a loss that "
            f"is lower by more than {max(*better.values(), 1e-16):.0e}. Those of L2 solve (H + λI)w = Hc, to {off:.0e}.",
            max(better.values()) < 1e-6 and off < 1e-9,
            better | {"L2, by the equations": off},
        ),
        Claim(
            f"The corners of the L1 ball make zeros: on a grid of λ, w₂ is exactly 0 from {first:.1f} on, both from "
            f"{all_zero:.1f} on; in theory from {corner:.2f} and {edge:.2f}. With L2 neither is ever: at λ = 4 they are "
            f"{L2[-1, 0]:.2f} and {L2[-1, 1]:.2f}.",
            bool(corner <= first < corner + 0.1 and edge <= all_zero < edge + 0.1 and np.abs(L2).min() > 0.1),
            {"w₂ is 0 from": first, "in theory": corner, "all are 0 from": all_zero, "all, in theory": edge},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    x, y, new, truth = r["points"]
    found = []
    for k, (plain, ridge) in r["curves"].items():
        lines = [
            Line(x, y, "data", "dots"),
            Line(new, truth, "truth", "theory"),
            Line(new, plain, "no penalty"),
            Line(new, ridge, "L2, λ = 0.02"),
        ]
        found.append(Chart(f"Degree {k}", "x", "y", lines, y_range=(-2.2, 2.2)))
    degrees, (plain, ridge) = np.arange(12), r["tables"].values()
    found += [
        Chart(
            "Loss against degree",
            "degree",
            "mean squared error",
            [
                Line(degrees, np.maximum(plain[:, 0], 1e-9), "training", "both", 0),
                Line(degrees, plain[:, 1], "between the points", "both", 1),
                Line(degrees, ridge[:, 0], "training, L2", "dashed", 0),
                Line(degrees, ridge[:, 1], "between, L2", "dashed", 1),
            ],
            "y",
            y_range=(1e-5, 1e3),
        ),
        Chart(
            "Parameters against degree",
            "degree",
            "norm",
            [
                Line(degrees, plain[:, 2], "‖w‖", "both", 0),
                Line(degrees, plain[:, 3], "‖w‖₁", "both", 1),
                Line(degrees, ridge[:, 2], "‖w‖, L2", "dashed", 0),
                Line(degrees, ridge[:, 3], "‖w‖₁, L2", "dashed", 1),
            ],
            "y",
        ),
    ]
    for name, path in r["paths"].items():
        w, centre = path[10], r["quadratic"][1]
        land = _landscape(r, float(_loss(r, w)))
        border = Line.through(
            _border(name, _size(name, w), 401).T, f"‖w‖{'₁' if name == 'L1' else ''} = {_size(name, w):.2f}"
        )
        found.append(
            Chart(
                f"The {name} ball",
                "w₁",
                "w₂",
                [
                    border,
                    Line.through(path, "minima for λ from 0 to 4"),
                    Line.through(_level(r, w), f"level line, loss {_loss(r, w):.2f}", "dashed"),
                ],
                landscape=land,
                marks=[Mark(centre[0], centre[1], "no penalty"), Mark(w[0], w[1], "", "cross")],
                caption="The cross is the minimum for λ = 1: there the dashed level line touches the ball.",
            )
        )
    return found


def _level(r: dict, w: np.ndarray, n: int = 400) -> np.ndarray:
    """The ellipse of all points that have the loss of w, shape (n + 1, 2), from w back to it."""
    H, centre = r["quadratic"]
    root = np.linalg.cholesky(H).T  # the loss is |root (w − centre)|²/2
    x, y = root @ (w - centre)
    t = np.linspace(0, 2 * np.pi, n + 1)
    circle = np.array([x * np.cos(t) - y * np.sin(t), x * np.sin(t) + y * np.cos(t)])
    return np.linalg.solve(root, circle).T + centre


def _landscape(r: dict, touched: float) -> Landscape:
    """Level lines, as multiples of the loss where the ball is touched."""
    # as wide and high as the picture: balls are round
    across, up = np.linspace(-2.05, 2.9, 121), np.linspace(-1.53, 1.53, 121)
    levels = touched * np.array([0.2, 0.5, 2, 4, 8, 14])
    return Landscape(across, up, _loss(r, np.array(np.meshgrid(across, up))), levels)


def tables(r: dict) -> list[Table]:
    plain, ridge = r["tables"].values()
    rows = [[str(k), *(f"{v:.2g}" for v in (*p, *q))] for k, (p, q) in enumerate(zip(plain, ridge, strict=True))]
    of = ["training", "between", "‖w‖", "‖w‖₁"]
    return [
        Table(
            "Polynomials of rising degree",
            ["degree", *of, *(f"{name}, L2" for name in of)],
            rows,
            "Losses at the 12 points and between them; norms of the coefficients in Legendre's basis.",
        )
    ]


ROW = Row(
    id="C9",
    title="Polynomials and penalty balls",
    says="The more parameters, the closer a polynomial comes to its points, and the larger the parameters grow. A penalty "
    "keeps them in a ball, the larger λ the smaller: the solution is where the loss's level lines first touch it.",
    formulas=(
        r"p_w(x) = \sum_{k=0}^{K} w_k P_k(x) \qquad "
        r"\min_w \frac{1}{n} \sum_i (p_w(x_i) - y_i)^2 + \frac{\lambda}{2} \|w\|^2",
        r"\min_w f(w) + \lambda R(w) \qquad "
        r"\min_w f(w) \quad \text{where } R(w) \le r \qquad "
        r"R = \tfrac{1}{2} \|w\|^2 \text{ or } \|w\|_1",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="DS",
)
