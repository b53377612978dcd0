"""C8: weight decay on a regression with few examples."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    rng, d, n = np.random.default_rng(0), 200, 20

    def drawn(count):
        X = rng.normal(size=(count, d))
        return X, 0.05 + 0.01 * X.sum(axis=1) + 0.01 * rng.normal(size=count)

    training, validation = drawn(n), drawn(500)

    def loss(params, batch):
        X, y = batch
        return np.mean((dk.nn.linear(X, params["w"], params["b"])[:, 0] - y) ** 2) / 2

    unseen = np.eye(d) - np.linalg.pinv(training[0]) @ training[0]  # takes out what some example sees
    start = {"w": dk.nn.init_normal((d, 1), seed=1), "b": np.zeros(1)}
    runs = {}
    for lam in (0.0, 0.3, 3.0):
        # the weights decay, the bias does not
        penalised = lambda p, batch: loss(p, batch) + dk.nn.l2({"w": p["w"]}, lam)
        run = dk.optim.fit(
            penalised,
            start,
            training,
            optimizer=dk.optim.SGD(learning_rate=0.01),
            batch_size=5,
            epochs=50,
            validation=lambda p: {
                "loss": loss(p, validation),
                "training": loss(p, training),
                "size": np.linalg.norm(p["w"]),
            },
            progress=False,
        )
        runs[lam] = {k: run.history[k] for k in run.history if k.startswith("validation")} | {
            "bias": float(run.params["b"][0]),
            "unseen": np.linalg.norm(unseen @ run.params["w"]) / np.linalg.norm(unseen @ start["w"]),
        }

    # where each λ ends, by the normal equations
    X, y = training[0], training[1]
    lambdas, best = np.geomspace(1e-3, 100, 41), []
    for lam in lambdas:
        A = np.hstack([X, np.ones((n, 1))])
        penalty = np.diag(np.r_[np.full(d, lam), 0.0])
        w = np.linalg.solve(A.T @ A / n + penalty, A.T @ y / n)
        p = {"w": w[:d, None], "b": w[d:]}
        best.append([float(loss(p, training)), float(loss(p, validation))])
    constant = float(np.mean((validation[1] - 0.05) ** 2) / 2)  # the loss of saying 0.05 of every example
    return {"runs": runs, "lambdas": lambdas, "best": np.array(best), "constant": constant}


def claims(r: dict) -> list[Claim]:
    runs, best = r["runs"], r["best"]
    ends = {lam: {k: float(v[-1]) for k, v in run.items() if k.startswith("validation")} for lam, run in runs.items()}
    without, strong = ends[0.0], ends[3.0]
    gap = without["validation_loss"] / without["validation_training"]
    near = float(strong["validation_loss"] / strong["validation_training"])
    size = {lam: end["validation_size"] for lam, end in ends.items()}
    first = float(runs[0.0]["validation_size"][0])
    unseen = {lam: run["unseen"] for lam, run in runs.items()}
    off = float(max(abs(v / (1 - 0.01 * lam) ** 200 - 1) for lam, v in unseen.items()))
    train, held = best.T
    return [
        Claim(
            f"200 weights, 20 examples. Without decay the training loss ends at {without['validation_training']:.1e} and "
            f"the validation loss at {without['validation_loss']:.2g}, {gap:.0e} times it: nothing was learnt.",
            without["validation_training"] < 1e-4 and gap > 1e5,
            {"training": without["validation_training"], "validation": without["validation_loss"]},
        ),
        Claim(
            f"With λ = 3 the validation loss ends at {strong['validation_loss']:.2g}, "
            f"{without['validation_loss'] / strong['validation_loss']:,.0f} times lower, and is {near:.0f} times the training "
            f"loss, {strong['validation_training']:.1e}.",
            strong["validation_loss"] < without["validation_loss"] / 100 and near < gap / 10,
            {"training": strong["validation_training"], "validation": strong["validation_loss"]},
        ),
        Claim(
            "Decay is seen in the weights: ‖w‖ ends at "
            + ", ".join(f"{v:.2f} for λ = {lam:g}" for lam, v in size.items())
            + f"; without it, it stays near where it began ({first:.2f} after the first epoch).",
            bool(size[0.0] > size[0.3] > size[3.0] and size[0.0] > 0.9 * first and size[3.0] < 0.3 * size[0.0]),
            {f"λ = {lam:g}": v for lam, v in size.items()},
        ),
        Claim(
            "20 examples say nothing of 180 directions. There only decay acts, by the factor 1 − αλ: after 200 steps "
            + ", ".join(f"{v:.3g} is left for λ = {lam:g}" for lam, v in unseen.items())
            + f", and (1 − αλ)²⁰⁰ is that, to {off:.0e}.",
            off < 1e-9,
            {f"left, λ = {lam:g}": float(v) for lam, v in unseen.items()},
        ),
        Claim(
            f"At the exact minima training loss rises with λ, from {train[0]:.1e} to {train[-1]:.1e}, and validation loss is "
            f"{held.min():.2g} to {held.max():.2g}. Saying 0.05 of every example has {r['constant']:.2g}: 20 examples cannot "
            "tell 200 small weights. What decay takes away is the start, which makes nearly all of the loss without it.",
            bool((np.diff(train) > 0).all() and held.max() < 0.01 * without["validation_loss"])
            and 0.5 < held.min() / r["constant"] < held.max() / r["constant"] < 1.5,
            {"lowest validation loss": float(held.min()), "of a constant": r["constant"]},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    runs = r["runs"]
    epochs = np.arange(1, len(runs[0.0]["validation_loss"]) + 1)
    found = [
        Chart(
            "Without decay" if not lam else f"λ = {lam:g}",
            "epoch",
            "loss",
            [Line(epochs, run["validation_training"], "training"), Line(epochs, run["validation_loss"], "validation")],
            "y",
            y_range=(1e-11, 1e3),
        )
        for lam, run in runs.items()
    ]
    return [
        *found,
        Chart(
            "Size of the weights",
            "epoch",
            "‖w‖",
            [Line(epochs, run["validation_size"], f"λ = {lam:g}") for lam, run in runs.items()],
            "y",
        ),
        Chart(
            "Where training would end",
            "λ",
            "loss",
            [Line(r["lambdas"], r["best"][:, 0], "training"), Line(r["lambdas"], r["best"][:, 1], "validation")],
            "xy",
            "The minimum of the penalised loss, by the normal equations.",
        ),
    ]


def tables(r: dict) -> list[Table]:
    rows = [
        [f"{lam:g}", *(f"{run[f'validation_{k}'][-1]:.2g}" for k in ("training", "loss", "size")), f"{run['bias']:.2g}"]
        for lam, run in r["runs"].items()
    ]
    return [Table("After 50 epochs", ["λ", "training loss", "validation loss", "‖w‖", "b (truth 0.05)"], rows)]


ROW = Row(
    id="C8",
    title="Weight decay, an example",
    says="A regression with ten times more weights than examples can be fitted without any error, and then says nothing "
    "of new examples. Weight decay takes the weights that no example asks for back to 0.",
    formulas=(
        r"y = 0.05 + \sum_{i=1}^{d} 0.01 x_i + \epsilon \qquad "
        r"\epsilon \;\sim\; \mathcal{N}(0, 0.01^2) \qquad d = 200,\ n = 20",
        r"w \leftarrow (1 - \alpha\lambda) w - \frac{\alpha}{|B|} \sum_{i \in B} x_i e_i \qquad "
        r"e_i = w^T x_i + b - y_i",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="L2",
)
