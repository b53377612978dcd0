"""A training run for test_checkpoints.py to kill: `python run_killed.py FOLDER RESULT [DATA]`."""

import os
import sys
import time

import numpy as np

import diffkit as dk

random = np.random.default_rng(3)
x = random.normal(size=(101, 6))
y = np.sin(x.sum(axis=1))


def loss(p, batch, rng=None):
    a, t = batch
    h = np.tanh(a @ p["layers"][0] + p["b"])
    if rng is not None:
        h = h * (rng.random(h.shape) < 0.8) / 0.8
    return np.mean((h @ p["layers"][1] - t) ** 2), {"size": np.mean(np.abs(h))}


def main(folder, result, kind="arrays"):
    start = np.random.default_rng(0)
    params = {"layers": [start.normal(size=(6, 8)) * 0.3, start.normal(size=8)], "b": np.zeros(8)}
    data = {"arrays": (x, y), "list": [(x[k : k + 9], y[k : k + 9]) for k in range(0, 101, 9)]}[kind]
    slowly = lambda run: time.sleep(0.005) if folder else None
    fit = dk.optim.fit(
        loss, params, data, optimizer=dk.optim.Adam(dk.optim.schedules.plateau(0.02, patience=2)), batch_size=9, epochs=12,
        validation=(x[:20], y[:20]), early_stopping=50, checkpoint=folder or None, checkpoint_every=5, clip_norm=1.0,
        callbacks=slowly,
    )  # fmt: skip
    columns = {f"history/{k}": v for k, v in fit.history.items() if k != "seconds"}
    leaves = dk.optim.fitting.recovery.state_leaves(fit.state)[0]
    np.savez(
        f"{result}.part.npz", steps=fit.steps, best=fit.best_step, w0=fit.params["layers"][0], w1=fit.params["layers"][1],
        b=fit.params["b"], bb=fit.best_params["b"], **{f"state/{k}": v for k, v in enumerate(leaves)}, **columns,
    )  # fmt: skip
    os.replace(f"{result}.part.npz", result)


if __name__ == "__main__":
    main(*sys.argv[1:])
