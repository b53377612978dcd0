"""P17: backward through a long loop: 100,000 explicit Euler steps of h = 1e-3, float64, by `scan`.

c' = tanh(P c) with c in R³, the gradient of |c|² at the end by the 3×3 matrix P; and Lorenz's equations, of the same
by their three parameters. At the usual ρ = 28 those are chaotic: after 100 units of time the gradient is beyond 1e35
and all digits of it are rounding, in which no two tools agree. At ρ = 14 the solution settles where |c|² is
2β(ρ − 1) + (ρ − 1)², and the work is the same.

JAX keeps all carries; so does diffkit, and with `checkpoints` it keeps a hundred and recomputes the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .array_peers import TIERS, Loss, diffkit_run, jax_run
from .harness import Bench, Contestant, ratio
from .peers import own, peer

TITLE = "Euler steps by scan: gradient"
STEPS = {"tiny": 300, "full": 100_000}
CHECKPOINTS = {"tiny": 10, "full": 100}
H = 1e-3
MATRIX = np.array([[-0.01, 1.0, -0.5], [-1.0, -0.01, 0.8], [0.5, -0.8, -0.01]])
LORENZ = np.array([10.0, 14.0, 8 / 3])
START = np.array([1.0, 0.5, -0.25])
OWN = "diffkit, fused"
#: rounding adds up along the steps
TOLERANCE = 1e-8


def bent(xp: Any, P: Any, c: Any) -> Any:
    return xp.tanh(P @ c)


def lorenz(xp: Any, p: Any, c: Any) -> Any:
    x, y, z = c[0], c[1], c[2]
    return xp.stack([p[0] * (y - x), x * (p[1] - z) - y, x * y - p[2] * z])


SYSTEMS: dict[str, tuple[Callable[..., Any], np.ndarray]] = {
    "c' = tanh(P c)": (bent, MATRIX),
    "Lorenz": (lorenz, LORENZ),
}


def loss(name: str, steps: int, **options: Any) -> Loss:
    """|c|² after so many steps; `options` go to scan."""
    slope, parameters = SYSTEMS[name]

    def objective(xp: Any, params: Any, c: Any) -> Any:
        def step(c: Any, nothing: Any) -> tuple[Any, None]:
            return c + H * slope(xp, params[0], c), None

        c, _ = xp.scan(step, c, None, length=steps, **options)
        return xp.sum(c * c)

    return Loss(objective, (parameters,), (START,))


# ---- by hand: the reference ---------------------------------------------------------------------------------------------
def by_hand(name: str, steps: int) -> np.ndarray:
    """Tangents carried along, by the chain rule in plain floating-point numbers."""
    return _bent_by_hand(steps) if name != "Lorenz" else _lorenz_by_hand(steps)


def _bent_by_hand(steps: int) -> np.ndarray:
    c, by_P = START.copy(), np.zeros((3, 9))
    inner = np.zeros((3, 9))
    for _ in range(steps):
        value = np.tanh(MATRIX @ c)
        for i in range(3):
            inner[i, 3 * i : 3 * i + 3] = c
        by_P = by_P + H * (1 - value * value)[:, None] * (MATRIX @ by_P + inner)
        c = c + H * value
    return (2 * c @ by_P).reshape(3, 3)


def _lorenz_by_hand(steps: int) -> np.ndarray:
    s, r, b = LORENZ.tolist()
    (x, y, z), moved = START.tolist(), [[0.0, 0.0, 0.0] for _ in range(3)]
    for _ in range(steps):
        for k, (dx, dy, dz) in enumerate(moved):
            by_x = s * (dy - dx) + (y - x if k == 0 else 0.0)
            by_y = dx * (r - z) - x * dz - dy + (x if k == 1 else 0.0)
            by_z = dx * y + x * dy - b * dz - (z if k == 2 else 0.0)
            moved[k] = [dx + H * by_x, dy + H * by_y, dz + H * by_z]
        x, y, z = x + H * s * (y - x), y + H * (x * (r - z) - y), z + H * (x * y - b * z)
    return np.array([2 * (x * dx + y * dy + z * dz) for dx, dy, dz in moved])


def contestants(name: str, steps: int, checkpoints: int) -> list[Contestant]:
    work = loss(name, steps)
    kept = loss(name, steps, checkpoints=checkpoints)
    return [
        *own(partial(diffkit_run, work), "dk.grad, dk.scan, all carries kept", TIERS),
        *own(partial(diffkit_run, kept), "dk.grad, dk.scan(checkpoints=…)", TIERS, f", {checkpoints} carries"),
        peer("jax", "JAX", "jit of grad, lax.scan", partial(jax_run, work)),
    ]


def run(bench: Bench) -> None:
    steps, checkpoints = STEPS[bench.size], CHECKPOINTS[bench.size]
    for name in SYSTEMS:
        table = bench.table(
            f"{TITLE}, {name}, {steps:,} steps", contestants(name, steps, checkpoints), [by_hand(name, steps)],
            per="gradient", tolerance=TOLERANCE,
            note="PyTorch has only a loop of Python's, of a second and more; compiled, it would be unrolled.",
        )  # fmt: skip
        theirs = table.figure("JAX")
        bench.claim(f"{name}: diffkit ÷ JAX", ratio(table.figure(OWN), theirs), 1.0)
        few = table.figure(f"{OWN}, {checkpoints} carries")
        bench.claim(f"{name}: diffkit, {checkpoints} carries ÷ JAX", ratio(few, theirs), 4.0)
