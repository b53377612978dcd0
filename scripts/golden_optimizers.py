"""Golden values of optimisers: parameters after fixed gradients, by PyTorch and Optax, in float64.

    python scripts/golden_optimizers.py            writes tests/golden/optimizers.json
    python scripts/golden_optimizers.py --check    compares what diffkit gives now with both, live

Needs torch, jax and optax. Every case names diffkit's optimiser, its options, and the framework that says what is right.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

STEPS, SHAPES, KEPT = 200, {"w": (3, 4), "b": (5,)}, (1, 2, 3, 10, 50, 200)
FILE = Path(__file__).parent.parent / "tests" / "golden" / "optimizers.json"

#: (diffkit's class, options as both know them), for torch's formulas
TORCH: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.02, "momentum": 0.95, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("AdaGrad", {}),
    ("AdaGrad", {"lr": 0.3, "lr_decay": 0.05, "weight_decay": 0.02}),
    ("AdaGrad", {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3, "maximize": True}),
    ("AdaDelta", {}),
    ("AdaDelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.03, "maximize": True}),
    ("RMSProp", {}),
    ("RMSProp", {"lr": 0.02, "alpha": 0.9, "eps": 1e-6, "weight_decay": 0.02}),
    ("RMSProp", {"lr": 0.02, "momentum": 0.9}),
    ("RMSProp", {"lr": 0.005, "alpha": 0.95, "momentum": 0.7, "centered": True, "weight_decay": 0.01}),
    ("RMSProp", {"centered": True, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "weight_decay": 0.02, "maximize": True}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.03, "betas": (0.85, 0.95), "eps": 1e-5, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.03, "amsgrad": True, "maximize": True}),
]
OPTAX: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"learning_rate": 0.1}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("AdaGrad", {"learning_rate": 0.1}),
    ("AdaGrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.0, "eps": 1e-2}),
    ("AdaDelta", {"learning_rate": 0.7}),
    ("AdaDelta", {"learning_rate": 0.7, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSProp", {"learning_rate": 0.01}),
    ("RMSProp", {"learning_rate": 0.01, "decay": 0.8, "eps": 1e-3, "initial_scale": 1.0}),
    ("RMSProp", {"learning_rate": 0.01, "eps_in_sqrt": False, "momentum": 0.9}),
    ("RMSProp", {"learning_rate": 0.01, "centered": True, "momentum": 0.8, "nesterov": True}),
    ("RMSProp", {"learning_rate": 0.01, "bias_correction": True}),
    ("RMSProp", {"learning_rate": 0.01, "bias_correction": True, "centered": True, "eps": 10.0}),
    ("Adam", {"learning_rate": 0.02}),
    ("Adam", {"learning_rate": 0.02, "b1": 0.8, "b2": 0.95, "eps": 1e-4, "eps_root": 1e-3}),
    ("Adam", {"learning_rate": 0.02, "nesterov": True}),
    ("AdamW", {"learning_rate": 0.02}),
    ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.1, "nesterov": True, "eps_root": 1e-6}),
    ("LAMB", {"learning_rate": 0.02}),
    ("LAMB", {"learning_rate": 0.02, "b1": 0.85, "b2": 0.98, "weight_decay": 0.05, "eps_root": 1e-5, "eps": 1e-4}),
]
TORCH_NAMES = {"AdaGrad": "Adagrad", "AdaDelta": "Adadelta", "RMSProp": "RMSprop"}


def start() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2015)
    return {n: rng.normal(size=s) for n, s in SHAPES.items()}


def gradients() -> list[dict[str, np.ndarray]]:
    """Of very different sizes from entry to entry, some of them 0, growing and shrinking as steps go by."""
    rng = np.random.default_rng(1904)
    scale = {n: 10.0 ** rng.uniform(-3, 2, s) for n, s in SHAPES.items()}
    made = []
    for k in range(STEPS):
        wave = 1 + np.sin(0.1 * k)
        made.append(
            {n: wave * scale[n] * (rng.normal(size=s) + 0.3) * (rng.uniform(size=s) > 0.05) for n, s in SHAPES.items()}
        )
    return made


def by_torch(name: str, options: dict[str, Any]) -> list[dict[str, np.ndarray]]:
    import torch

    params = {n: torch.tensor(v, requires_grad=True) for n, v in start().items()}
    optimizer = getattr(torch.optim, TORCH_NAMES.get(name, name))(params.values(), **options)
    path = []
    for g in gradients():
        for n, p in params.items():
            p.grad = torch.tensor(g[n])
        optimizer.step()
        path.append({n: p.detach().numpy().copy() for n, p in params.items()})
    return path


def by_optax(name: str, options: dict[str, Any]) -> list[dict[str, np.ndarray]]:
    import jax

    jax.config.update("jax_enable_x64", True)
    import optax

    params = {n: jax.numpy.asarray(v) for n, v in start().items()}
    optimizer = getattr(optax, name.lower())(**options)
    state = optimizer.init(params)
    path = []
    for g in gradients():
        updates, state = optimizer.update(g, state, params)
        params = optax.apply_updates(params, updates)
        path.append({n: np.asarray(v) for n, v in params.items()})
    return path


def by_diffkit(name: str, options: dict[str, Any], flavor: str) -> list[dict[str, np.ndarray]]:
    import diffkit as dk

    optimizer = getattr(dk.optim, name)(**options, flavor=flavor)
    params = start()
    state = optimizer.init(params)
    path = []
    for g in gradients():
        params, state = optimizer.update(g, state, params)
        path.append(params)
    return path


def cases() -> list[tuple[str, str, dict[str, Any]]]:
    return [("torch", n, o) for n, o in TORCH] + [("optax", n, o) for n, o in OPTAX]


def worst(path: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> float:
    """The largest relative difference of any entry at any step."""
    return max(
        float(np.max(np.abs(np.asarray(p[n]) - np.asarray(w[n])) / np.abs(np.asarray(w[n]))))
        for p, w in zip(path, wanted, strict=True)
        for n in SHAPES
    )


def main() -> None:
    found = []
    for flavor, name, options in cases():
        path = by_torch(name, options) if flavor == "torch" else by_optax(name, options)
        if "--check" in sys.argv:
            print(f"{flavor:6}{name:10}{worst(by_diffkit(name, options, flavor), path):9.1e}  {options}")
        kept = {str(k): {n: v.ravel().tolist() for n, v in path[k - 1].items()} for k in KEPT}
        found.append({"flavor": flavor, "name": name, "options": options, "params": kept})
    if "--check" not in sys.argv:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text("[\n" + ",\n".join(json.dumps(c) for c in found) + "\n]\n", encoding="utf-8")
        print(f"{FILE}: {len(found)} cases")


if __name__ == "__main__":
    main()
