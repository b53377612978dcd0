"""Learning rates of torch.optim.lr_scheduler and of optax, for tests/golden/schedules.json.

    python scripts/golden_schedules.py            # write the file (needs torch and optax)
    python scripts/golden_schedules.py --check    # hold diffkit against both as they are installed

Each case has a schedule's public name, its arguments, and the rates of the first steps; of `plateau` also the losses. Torch's
schedulers are stepped once after every update.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parents[1] / "tests" / "golden" / "schedules.json"
STEPS = 40
PLATEAUS: list[dict[str, Any]] = [
    {"lr": 0.1, "patience": 2},
    {"lr": 0.1, "patience": 0, "factor": 0.5, "min_lr": 0.01},
    {"lr": 0.1, "patience": 1, "factor": 0.5, "cooldown": 3},
    {"lr": 0.1, "patience": 1, "threshold": 0.05, "threshold_mode": "abs"},
    {"lr": 0.1, "patience": 1, "threshold": 0.05, "threshold_mode": "rel", "mode": "max"},
    {"lr": 0.1, "patience": 2, "threshold": 0.05, "threshold_mode": "abs", "mode": "max", "cooldown": 1},
    {"lr": 0.1, "patience": 0, "factor": 0.1, "eps": 1e-4},
]


def losses(seed: int) -> list[float]:
    """A noisy loss that goes down, stays, and is NaN once."""
    rng = np.random.default_rng(seed)
    values = np.exp(-np.arange(STEPS) / 5) + rng.normal(0, 0.03, STEPS)
    values[7] = np.nan
    return values.tolist()


def torch_cases() -> list[dict[str, Any]]:
    import torch
    from torch.optim import lr_scheduler as torch_schedules

    def rates(make: Any, lr: float = 0.1, values: list[float] | None = None) -> list[float]:
        optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr=lr)
        scheduler, found = make(optimizer, torch_schedules), []
        for k in range(STEPS):
            found.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step(*([values[k]] if values is not None else []))
        return found

    def case(name: str, make: Any, lr: float = 0.1, **arguments: Any) -> dict[str, Any]:
        found = rates(lambda optimizer, schedules: make(optimizer, schedules, arguments), lr)
        named = arguments if name in ("one_cycle", "cyclic") else {"lr": lr, **arguments}
        return {"source": "torch", "name": name, "arguments": named, "rates": found}

    def plain(name: str, class_name: str, **arguments: Any) -> dict[str, Any]:
        return case(name, lambda o, s, a: getattr(s, class_name)(o, **a), **arguments)

    cycle = {"cycle_momentum": False}
    cases = [
        plain("step", "StepLR", step_size=3),
        plain("step", "StepLR", step_size=7, gamma=0.7, lr=0.3),
        plain("multistep", "MultiStepLR", milestones=[2, 5, 30], gamma=0.3),
        plain("exponential", "ExponentialLR", gamma=0.93),
        plain("warmup", "LinearLR"),
        plain("warmup", "LinearLR", start_factor=0.01, end_factor=0.7, total_iters=17),
        plain("polynomial_decay", "PolynomialLR"),
        plain("polynomial_decay", "PolynomialLR", total_iters=30, power=2.5),
        plain("cosine", "CosineAnnealingLR", T_max=12),
        plain("cosine", "CosineAnnealingLR", T_max=50, eta_min=1e-3),
        plain("cosine", "CosineAnnealingLR", T_max=7, eta_min=0.02),
        plain("restarts", "CosineAnnealingWarmRestarts", T_0=5),
        plain("restarts", "CosineAnnealingWarmRestarts", T_0=3, T_mult=2, eta_min=1e-3),
        plain("restarts", "CosineAnnealingWarmRestarts", T_0=1, T_mult=3),
    ]
    for arguments in (
        {"max_lr": 0.1, "total_steps": STEPS},
        {"max_lr": 0.2, "total_steps": STEPS, "pct_start": 0.2, "anneal_strategy": "linear"},
        {"max_lr": 0.1, "total_steps": STEPS, "pct_start": 0.0},
        {"max_lr": 0.1, "total_steps": STEPS, "three_phase": True},
        {"max_lr": 0.1, "total_steps": STEPS, "three_phase": True, "anneal_strategy": "linear", "pct_start": 0.4},
        {"max_lr": 0.1, "total_steps": STEPS + 1, "pct_start": 0.3, "div_factor": 10.0, "final_div_factor": 100.0},
    ):
        cases.append(case("one_cycle", lambda o, s, a: s.OneCycleLR(o, **a, **cycle), **arguments))
    for arguments in (
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4},
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "step_size_down": 7, "mode": "triangular2"},
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5, "mode": "exp_range", "gamma": 0.97},
    ):
        cases.append(case("cyclic", lambda o, s, a: s.CyclicLR(o, **a, **cycle), **arguments))
    for seed, arguments in enumerate(PLATEAUS):
        options, values = {k: v for k, v in arguments.items() if k != "lr"}, losses(seed)
        found = rates(lambda o, s, a=options: s.ReduceLROnPlateau(o, **a), arguments["lr"], values)
        cases.append({"source": "torch", "name": "plateau", "arguments": arguments, "losses": values, "rates": found})
    return cases


def optax_cases() -> list[dict[str, Any]]:
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import optax

    def case(name: str, schedule: Any, **arguments: Any) -> dict[str, Any]:
        # counts as int64: as a 32-bit number Optax would compute in single precision
        found = [float(schedule(jnp.asarray(k, jnp.int64))) for k in range(STEPS)]
        return {"source": "optax", "name": name, "arguments": arguments, "rates": found}

    cases = [
        case("constant", optax.constant_schedule(0.1), lr=0.1),
        case("polynomial_decay", optax.polynomial_schedule(0.1, 0.01, 2.0, 17), lr=0.1, end_value=0.01, power=2.0, total_iters=17),
        case("polynomial_decay", optax.linear_schedule(0.1, 0.05, 25), lr=0.1, end_value=0.05, total_iters=25),
        case("exponential", optax.exponential_decay(0.1, 1, 0.9), lr=0.1, gamma=0.9),
        case("step", optax.exponential_decay(0.1, 6, 0.5, staircase=True), lr=0.1, step_size=6, gamma=0.5),
        case(
            "piecewise_constant", optax.piecewise_constant_schedule(0.1, {5: 0.5, 20: 0.2}),
            boundaries=[5, 20], values=[0.1, 0.1 * 0.5, 0.1 * 0.5 * 0.2],
        ),
    ]  # fmt: skip
    for arguments in (
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10, "decay_steps": 30},
        {"init_value": 0.01, "peak_value": 0.1, "warmup_steps": 4, "decay_steps": 35, "end_value": 0.002},
        {
            "init_value": 0.01,
            "peak_value": 0.1,
            "warmup_steps": 4,
            "decay_steps": 60,
            "end_value": 0.002,
            "exponent": 1.7,
        },
        {"init_value": 0.01, "peak_value": 0.1, "warmup_steps": 0, "decay_steps": 20},
    ):
        cases.append(case("warmup_cosine", optax.warmup_cosine_decay_schedule(**arguments), **arguments))
    return cases


def ours(case: dict[str, Any]) -> list[float]:
    """The same rates by diffkit."""
    import diffkit as dk

    schedule = getattr(dk.optim.schedules, case["name"])(**case["arguments"])
    if case["name"] != "plateau":
        return schedule(np.arange(len(case["rates"]))).tolist()
    memory, found = schedule.start(), []
    for k, value in enumerate(case["losses"]):
        found.append(schedule.rate(k, memory))
        memory = schedule.watch(memory, value)
    return found


def difference(case: dict[str, Any]) -> float:
    """The largest difference, relative to the rate; near a rate of 0, to the largest rate times 1e-3."""
    expected, found = np.asarray(case["rates"]), np.asarray(ours(case))
    return float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), 1e-3 * np.max(np.abs(expected)))))


def main() -> int:
    warnings.simplefilter("ignore")
    cases = [*torch_cases(), *optax_cases()]
    if "--check" in sys.argv[1:]:
        worst = [(difference(c), c) for c in cases]
        for off, c in worst:
            print(f"{off:8.1e}  {c['source']:5}  {c['name']}  {c['arguments']}")
        return int(any(not off <= 1e-12 for off, _ in worst))
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n", encoding="utf-8")
    print(f"{len(cases)} cases in {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
