"""P12: ADBench's bundle adjustment: the whole sparse Jacobian, assembled as CSR, at the size of its problem ba1.

Cameras and points differ, and some cameras do not turn or hardly (ADBench's files repeat one of each). All but one of
the contestants write the values into a structure made beforehand; hand-written C++ takes part in that way, and also
as ADBench's manual code does, which makes the whole structure at every call. The first answer of ours includes making
it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from .adbench import claim_accuracy, native
from .adbench.ba import BLOCK, Assembled, Scene, by_hand, generate, reprojection, residuals
from .array_peers import TIERS, functions
from .harness import Bench, Contestant, Run, ratio
from .peers import Problem, heyoka_run, jax_modules, own, peer, torch_contestants

TITLE = "ADBench bundle adjustment: sparse Jacobian"
#: cameras, points, observations
CASES = {"tiny": (12, 20, 60), "full": (49, 7_776, 31_843)}
OWN, SPARSE = "diffkit, fused", "diffkit, fused, sparse=True"
VALUES, STRUCTURE = "C++, values", "C++, values and structure"


def assembled_run(scene: Scene, machine: str = "cpu") -> Run:
    jacobian = Assembled(scene, machine)

    def run() -> list[np.ndarray]:
        return [jacobian(scene.cameras, scene.points, scene.weights).data]

    return run


def sparse_run(scene: Scene, machine: str = "cpu") -> Run:
    """The public call on all residuals at once. Its pattern holds no structural zeros."""
    import diffkit as dk

    def all_residuals(cameras: Any, points: Any, weights: Any) -> Any:
        return residuals(cameras, points, weights, scene)

    call = dk.jacobian(all_residuals, argnums=(0, 1, 2), sparse=True, machine=machine)
    return lambda: [call(scene.cameras, scene.points, scene.weights).data]


def without_zeros(scene: Scene, data: np.ndarray) -> np.ndarray:
    """The values of the Jacobian but for u's by v0 and v's by u0."""
    kept = np.ones((scene.observations, 2, BLOCK), bool)
    kept[:, 0, 8] = kept[:, 1, 7] = False
    return data[np.concatenate([kept.reshape(-1), np.ones(scene.observations, bool)])]


# ---- peers ------------------------------------------------------------------------------------------------------------------
def _columns(scene: Scene, cameras: Any, points: Any, weights: Any, seen: Any) -> list[Any]:
    camera, point = cameras[scene.by_camera], points[scene.of_point]
    return [*(camera[:, k] for k in range(11)), *(point[:, k] for k in range(3)), weights, seen[:, 0], seen[:, 1]]


def _values(xp: Any, columns: list[Any], weights: Any, vjp: Callable, ones: Callable) -> Any:
    """All values of the Jacobian by pulling back both components of all errors."""
    moving, fixed = columns[:BLOCK], columns[BLOCK:]
    (u, v), pullback = vjp(lambda *z: reprojection(xp, [*z, *fixed]), *moving)
    one, zero = ones(u), ones(v) * 0
    rows = [xp.stack(pullback(seed), -1) for seed in ((one, zero), (zero, one))]
    return xp.concatenate([xp.reshape(xp.stack(rows, 1), (-1,)), -2 * weights], 0)


def jax_run(scene: Scene) -> Run:
    jax, _ = jax_modules()
    xp = functions("jax")

    def derivatives(cameras: Any, points: Any, weights: Any, seen: Any) -> Any:
        columns = _columns(scene, cameras, points, weights, seen)
        return _values(xp, columns, weights, jax.vjp, jax.numpy.ones_like)

    compiled = jax.jit(derivatives)
    given = [jax.numpy.asarray(a) for a in (scene.cameras, scene.points, scene.weights, scene.seen)]
    return lambda: [compiled(*given).block_until_ready()]


def torch_run(scene: Scene, compiled: bool = False) -> Run:
    import torch

    xp, by_camera, of_point = functions("torch"), torch.from_numpy(scene.by_camera), torch.from_numpy(scene.of_point)
    places: Any = SimpleNamespace(by_camera=by_camera, of_point=of_point)

    def derivatives(cameras: Any, points: Any, weights: Any, seen: Any) -> Any:
        columns = _columns(places, cameras, points, weights, seen)
        return _values(xp, columns, weights, torch.func.vjp, torch.ones_like)

    if compiled:
        torch._dynamo.reset()
        derivatives = torch.compile(derivatives, fullgraph=True, dynamic=False)
    given = [torch.from_numpy(a.copy()) for a in (scene.cameras, scene.points, scene.weights, scene.seen)]
    return lambda: [derivatives(*given)]


def heyoka_assembled(scene: Scene) -> Run:
    """Blocks of columns, transposed into place."""
    inputs = scene.columns()
    names = tuple(f"z{k}" for k in range(len(inputs)))
    blocks = heyoka_run(Problem(lambda m, *z: reprojection(m, z), inputs, names, outputs=2, wrt=BLOCK, values=False))
    p, data = scene.observations, np.full(31 * scene.observations, 0.0)

    def run() -> list[np.ndarray]:
        np.take(scene.cameras.T, scene.by_camera, axis=1, out=inputs[:11])
        np.take(scene.points.T, scene.of_point, axis=1, out=inputs[11:14])
        inputs[14] = scene.weights
        data[: 30 * p].reshape(p, 30)[...] = np.asarray(blocks()).T
        np.multiply(scene.weights, -2.0, out=data[30 * p :])
        return [data]

    return run


def _with_structure(scene: Scene) -> Run:
    call = native.ba_run(scene, structure=True)
    return lambda: call()[:1]


def contestants(scene: Scene, tiny: bool) -> list[Contestant]:
    return [
        *own(partial(assembled_run, scene), "dk.jacobian of one observation, written into place", TIERS),
        native.contestant(VALUES, "values in place", partial(native.ba_run, scene), native.EXACT),
        native.contestant(STRUCTURE, "indices and row pointers too", partial(_with_structure, scene), native.EXACT),
        *torch_contestants(
            partial(torch_run, scene), None if tiny else partial(torch_run, scene, True), "func.vjp on columns"
        ),
        peer("jax", "JAX", "jit of vjp on columns, XLA's own threads", partial(jax_run, scene)),
        peer("heyoka", "heyoka", "cfunc on columns, transposed into place", partial(heyoka_assembled, scene)),
    ]


def run(bench: Bench) -> None:
    scene = generate(*CASES[bench.size])
    data = by_hand(scene)
    table = bench.table(TITLE, contestants(scene, bench.tiny), [data], work=scene.observations, per="observation")
    public = bench.table(
        f"{TITLE}, of all residuals", own(partial(sparse_run, scene), "dk.jacobian", TIERS, ", sparse=True"),
        [without_zeros(scene, data)], work=scene.observations, per="observation",
        note="The first answer includes pattern and colouring.",
    )  # fmt: skip
    mine = table.figure(OWN)
    bench.claim(f"diffkit ÷ {STRUCTURE}", ratio(mine, table.figure(STRUCTURE)), 0.5)
    bench.claim(f"diffkit ÷ {VALUES}", ratio(mine, table.figure(VALUES)), 0.5)
    bench.claim(f"diffkit, sparse=True ÷ {STRUCTURE}", ratio(public.figure(SPARSE), table.figure(STRUCTURE)), 0.5)
    claim_accuracy(bench, table, OWN, "values", partial(assembled_run, scene), [data])
