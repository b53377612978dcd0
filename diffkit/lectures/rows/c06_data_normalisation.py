"""C6: standardised inputs."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Landscape, Line, Mark, Table
from ..row import Claim, Row


def example() -> dict:
    # three inputs of unlike sizes, away from 0: metres, degrees, thousands
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) * [0.5, 5.0, 80.0] + [1.0, 20.0, 300.0]
    X_new = rng.normal(size=(200, 3)) * [0.5, 5.0, 80.0] + [1.0, 20.0, 300.0]
    truth = lambda X: X @ [2.0, -0.3, 0.01] + 1.0
    y, y_new = truth(X), truth(X_new)

    # mean and deviation are those of the training data, for new data as well
    mean, std = X.mean(axis=0), X.std(axis=0)
    inputs = {
        "as they are": (X, X_new),
        "centred": (X - mean, X_new - mean),
        "standardised": ((X - mean) / std, (X_new - mean) / std),
    }
    found = {}
    for name, (A, A_new) in inputs.items():

        def loss(w):
            return np.mean((A @ w[:3] + w[3] - y) ** 2) / 2

        H = dk.hessian(loss)(np.zeros(4))
        eigenvalues = np.linalg.eigvalsh(H)
        slope, w, losses = dk.value_and_grad(loss), np.zeros(4), []
        rate = 1 / eigenvalues[-1]  # as large as is safe for every direction
        for _ in range(201):
            value, g = slope(w)
            losses.append(float(value))
            w = w - rate * g
        found[name] = {
            "eigenvalues": eigenvalues,
            "condition": float(np.linalg.cond(H)),
            "losses": np.array(losses),
            "new": float(np.mean((A_new @ w[:3] + w[3] - y_new) ** 2) / 2),
            "rate": float(rate),
            "hessian": H,
            "by formula": np.c_[A, np.ones(200)].T @ np.c_[A, np.ones(200)] / 200,
        }

    # level lines and paths for two inputs: the first two, of deviations 0.5 and 5, with the minimum at (1, 1)
    paths = {}
    for name in ("centred", "standardised"):
        A = inputs[name][0][:, :2]
        f = lambda w: np.mean((A @ (w - 1)) ** 2) / 2
        H, slope, w = dk.hessian(f)(np.zeros(2)), dk.grad(f), np.array([-0.5, 1.8])
        path = [w]
        for _ in range(60):
            w = w - slope(w) / np.linalg.eigvalsh(H)[-1]
            path.append(w)
        paths[name] = np.array(path), H
    return {
        "found": found,
        "paths": paths,
        "moments": (inputs["standardised"][0].mean(axis=0), inputs["standardised"][0].std(axis=0)),
    }


def claims(r: dict) -> list[Claim]:
    found = r["found"]
    kappa = {n: f["condition"] for n, f in found.items()}
    ends = {n: float(f["losses"][-1] / f["losses"][0]) for n, f in found.items()}
    mean, std = (float(np.max(np.abs(m - v))) for m, v in zip(r["moments"], (0, 1), strict=True))
    off = max(float(np.abs(f["hessian"] / f["by formula"] - 1)[f["by formula"] > 1e-9].max()) for f in found.values())
    rate, new = {n: f["rate"] for n, f in found.items()}, {n: f["new"] for n, f in found.items()}
    return [
        Claim(
            f"Standardised inputs have mean 0 to {mean:.0e} and deviation 1 to {std:.0e}.",
            mean < 1e-13 and std < 1e-13,
            {"mean": mean, "deviation": std},
        ),
        Claim(
            "The condition number of the loss, from the exact Hessian, is "
            + ", ".join(f"{v:.3g} {n}" for n, v in kappa.items())
            + f". The Hessian is XᵀX/n, with a column of ones in X for the bias, to {off:.0e}.",
            kappa["as they are"] > 1e6 and kappa["centred"] > 1e3 and kappa["standardised"] < 3 and off < 1e-10,
            kappa,
        ),
        Claim(
            "The rate, 1 over the largest eigenvalue, grows: "
            + ", ".join(f"{v:.2g} {n}" for n, v in rate.items())
            + ".",
            rate["as they are"] < rate["centred"] < rate["standardised"] and rate["standardised"] > 0.5,
            rate,
        ),
        Claim(
            "200 steps of gradient descent at this rate leave this share of the loss: "
            + ", ".join(f"{v:.1g} {n}" for n, v in ends.items())
            + f". On new inputs, changed by the training data's mean and deviation, the loss is {new['standardised']:.0e}.",
            ends["standardised"] < 1e-12 and ends["as they are"] > 1e-3 and new["standardised"] < 1e-10,
            ends,
        ),
    ]


def charts(r: dict) -> list[Chart]:
    found = [
        Chart(
            "Gradient descent",
            "step",
            "loss",
            [Line(np.arange(201), np.maximum(f["losses"], 1e-30), n) for n, f in r["found"].items()],
            "y",
            y_range=(1e-16, 100),
        ),
        Chart(
            "Curvatures",
            "eigenvalue of the Hessian, by size",
            "its value",
            [Line(np.arange(1, 5), f["eigenvalues"], n, "both") for n, f in r["found"].items()],
            "y",
            x_range=(0.5, 4.5),
        ),
    ]
    across, up = (
        np.linspace(-0.9, 2.9, 121),
        np.linspace(-0.17, 2.17, 121),
    )  # as wide and high as the picture: circles are round
    for name, (path, H) in r["paths"].items():
        a, b = np.meshgrid(across - 1, up - 1)
        z = (H[0, 0] * a * a + 2 * H[0, 1] * a * b + H[1, 1] * b * b) / 2
        found.append(
            Chart(
                f"Two inputs, {name}",
                "w₁",
                "w₂",
                [Line.through(path, "60 steps", "both")],
                landscape=Landscape(across, up, z, z.max() * np.linspace(0, 1, 9)[1:-1] ** 2),
                marks=[Mark(1.0, 1.0, "minimum")],
            )
        )
    return found


def tables(r: dict) -> list[Table]:
    rows = [
        [n, f"{f['condition']:.3g}", f"{f['rate']:.2g}", f"{f['losses'][-1]:.1e}", f"{f['new']:.1e}"]
        for n, f in r["found"].items()
    ]
    return [
        Table(
            "Three inputs and a bias",
            ["inputs", "condition number", "rate", "loss, 200 steps", "on new data"],
            rows,
        )
    ]


ROW = Row(
    id="C6",
    title="Data normalisation",
    says="Inputs that differ in size make valleys that are steep one way and flat the other. Taking off the mean and "
    "dividing by the deviation makes them round, and gradient descent goes straight down.",
    formulas=(
        r"\tilde{x}_j = \frac{x_j - \mu_j}{\sigma_j} \qquad "
        r"\kappa = \frac{\lambda_{\max}(H)}{\lambda_{\min}(H)} \qquad H = \frac{1}{n} X^T X",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="R7, C6",
)
