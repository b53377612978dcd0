"""Optimisers on the device: parameters and state that lie there stay there, and have the cpu machine's bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import optree
import pytest
from helpers_cuda import FEW_THREADS

import diffkit as dk
from diffkit.machines.cuda import executable
from diffkit.machines.cuda.package import package, problem
from diffkit.machines.cuda.transfer import placed
from diffkit.machines.resident import is_on_device

missing = problem()
if missing:
    pytest.skip(f"{missing}; NUMBA_ENABLE_CUDASIM=1 runs these tests in a simulator", allow_module_level=True)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # the simulator computes with NumPy's scalars
    pytest.mark.filterwarnings("ignore::Warning:numba"),  # of launches too small to fill a GPU
]


@pytest.fixture(autouse=True, scope="module")
def few_threads():
    patch = pytest.MonkeyPatch()
    if package().simulated:
        patch.setattr(executable, "BLOCK", FEW_THREADS)
        patch.setattr("diffkit.machines.cuda.transfer.BLOCK", FEW_THREADS)
    yield
    patch.undo()


ALL = [
    dk.optim.GradientDescent,
    dk.optim.SGD,
    dk.optim.AdaGrad,
    dk.optim.AdaDelta,
    dk.optim.RMSProp,
    dk.optim.Adam,
    dk.optim.AdamW,
    dk.optim.LAMB,
]
CASES = [(cls, flavor) for cls in ALL for flavor in cls.flavors]


def host(tree: Any) -> Any:
    return optree.tree_map(lambda x: x.copy_to_host() if is_on_device(x) else np.asarray(x), tree)


def walked(optimizer: Any, move: Any, in_place: bool) -> Any:
    rng = np.random.default_rng(0)
    params = optree.tree_map(move, {"w": rng.normal(size=(2, 3)), "b": rng.normal(size=3).astype(np.float32)})
    state = optimizer.init(params)
    for _ in range(2):
        slopes = optree.tree_map(move, {"w": rng.normal(size=(2, 3)), "b": rng.normal(size=3).astype(np.float32)})
        params, state = optimizer.update(slopes, state, params, in_place=in_place)
    return params, state.slots


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(("cls", "flavor"), CASES, ids=[f"{c.__name__}-{f}" for c, f in CASES])
def test_on_the_device(cls: Any, flavor: str, in_place: bool) -> None:
    wanted = walked(cls(0.1, flavor=flavor), np.array, False)
    found = walked(cls(0.1, flavor=flavor, machine="cuda"), placed, in_place)
    assert all(map(is_on_device, optree.tree_leaves(found)))
    for a, b in zip(optree.tree_leaves(host(found)), optree.tree_leaves(wanted), strict=True):
        if cls is dk.optim.LAMB or not package().simulated:
            np.testing.assert_allclose(a, b, rtol=1e-6 if a.dtype == np.float32 else 1e-12)
        else:
            np.testing.assert_array_equal(a, b)


def test_clipping() -> None:
    grads = {"w": np.array([3.0, 4.0]), "b": np.array([12.0])}
    there = optree.tree_map(placed, grads)
    assert dk.optim.global_norm(there) == pytest.approx(13.0)
    for clip in (lambda g: dk.optim.clip_by_norm(g, 1.0), lambda g: dk.optim.clip_by_value(g, 3.5)):
        for a, b in zip(optree.tree_leaves(host(clip(there))), optree.tree_leaves(clip(grads)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-15)
