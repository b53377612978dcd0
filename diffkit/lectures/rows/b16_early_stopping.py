"""B16: early stopping."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Mark
from ..row import Claim, Row


def example() -> dict:
    # 40 noisy examples, 60 weights: there are many ways to fit the noise
    rng = np.random.default_rng(0)
    truth = rng.normal(size=60) / 8
    X, held_out = rng.normal(size=(40, 60)), rng.normal(size=(500, 60))
    data = X, X @ truth + rng.normal(size=40)
    validation = held_out, held_out @ truth + rng.normal(size=500)

    def loss(w, batch):
        X, y = batch
        return np.mean((X @ w - y) ** 2)

    setting = {
        "optimizer": dk.optim.SGD(learning_rate=0.005),
        "batch_size": 10,
        "validation": validation,
        "progress": False,
    }
    to_the_end = dk.optim.fit(loss, np.zeros(60), data, epochs=400, **setting)
    stopping = dk.optim.EarlyStopping(patience=15)
    stopped = dk.optim.fit(loss, np.zeros(60), data, epochs=400, early_stopping=stopping, **setting)
    found = {"to the end": to_the_end, "stopped": stopped}
    held = {name: float(loss(fit.params, validation)) for name, fit in found.items()}
    return {"fits": found, "held": held, "size": {name: np.linalg.norm(fit.params) for name, fit in found.items()}}


def claims(r: dict) -> list[Claim]:
    end, stopped = r["fits"].values()
    lost, kept = r["held"].values()
    train, valid = end.history["epoch_loss"], end.history["validation_loss"]
    best = int(np.argmin(valid))
    return [
        Claim(
            f"Training loss goes on falling, from {train[0]:.2f} to {train[-1]:.3f}; the held-out loss has "
            f"its minimum, {valid[best]:.3f}, after epoch {best + 1} and rises to {valid[-1]:.3f}.",
            bool(train[-1] < train[best] and valid[-1] > 1.1 * valid[best] and 0 < best < len(valid) - 1),
            {"lowest held-out loss": float(valid[best]), "at the end": float(valid[-1])},
        ),
        Claim(
            f"Stopped after {stopped.epochs} of 400 epochs, {stopped.epochs - (best + 1)} without "
            f"improvement, and back at its best parameters: held-out loss {kept:.3f} rather than {lost:.3f}.",
            bool(
                stopped.stopped == "early stopping"
                and stopped.epochs == best + 1 + 15
                and kept < lost
                and abs(kept - valid[best]) < 1e-9
            ),
            {"stopped": kept, "to the end": lost},
        ),
        Claim(
            f"It regularises: the weights it keeps have the norm {r['size']['stopped']:.2f}, those of the "
            f"full run {r['size']['to the end']:.2f}.",
            bool(r["size"]["stopped"] < r["size"]["to the end"]),
            {k: float(v) for k, v in r["size"].items()},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    end, stopped = r["fits"].values()
    train, valid = end.history["epoch_loss"], end.history["validation_loss"]
    n, best = np.arange(1, len(train) + 1), int(np.argmin(valid))
    lines = [
        Line(n, train, "training"),
        Line(n, valid, "held out"),
        Line([stopped.epochs] * 2, [0, float(valid[stopped.epochs - 1])], "early stopping", "theory"),
    ]
    return [
        Chart(
            "Training and held-out loss",
            "epoch",
            "mean squared error",
            lines,
            "x",
            f"Stopped after epoch {stopped.epochs}; the parameters kept are those of epoch {best + 1}.",
            marks=[Mark(best + 1, float(valid[best]), "kept")],
        )
    ]


ROW = Row(
    id="B16",
    title="Early stopping",
    says="A part of the data is held out. When the loss on it has not improved for some epochs, training "
    "stops, and the best parameters so far are kept.",
    formulas=(r"\theta = \theta_{n^\ast} \qquad n^\ast = \mathrm{arg\,min}_n\; L_{\text{held out}}(\theta_n)",),
    example=example,
    claims=claims,
    charts=charts,
    sources="R7, DS",
)
