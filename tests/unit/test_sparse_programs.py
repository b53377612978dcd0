"""Sparse derivatives of random array programs: the same numbers as the dense ones, and a pattern that misses none of them."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk

MACHINE = "numpy"


def step_with_window(c, z):
    return 0.5 * np.roll(c, 1) * c + z, c[:1] * z


def nested_step(c, z):
    return dk.scan(lambda d, _: (d * z + 0.1, d), c, length=2)


#: (v, x, r) -> v: vectors of any length above 0; r draws fixed numbers
STEPS = {
    "elementwise": lambda v, x, r: [np.sin(v), v**3, np.exp(-v * v), abs(v), np.floor(v) * v][r.integers(5)],
    "product of gathered": lambda v, x, r: v * x[r.integers(0, len_(x), len_(v))],
    "gather": lambda v, x, r: v[r.integers(0, len_(v), r.integers(1, 8))],
    "slice": lambda v, x, r: np.concatenate([v[:: r.choice([-2, -1, 2, 3])], v[r.integers(0, len_(v)) :][:2]]),
    "concatenate": lambda v, x, r: np.concatenate([v, x[: r.integers(0, len_(x) + 1)], numbers(x, r, 2)]),
    "sum": lambda v, x, r: np.concatenate([v * 0.5, np.sum(v[: r.integers(1, len_(v) + 1)], keepdims=True)]),
    "matrix": lambda v, x, r: numbers(x, r, 4, len_(v)) @ v,
    "scatter": lambda v, x, r: dk.scatter_add(numbers(x, r, 6) * x[0], r.integers(0, 6, len_(v)), v),
    "where, known": lambda v, x, r: np.where(r.random(len_(v)) > 0.5, v, v[::-1] * 2),
    "where": lambda v, x, r: np.where(v > 0.1, v, np.sin(v) * 3),
    "mask": lambda v, x, r: v[np.append(True, r.random(len_(v) - 1) > 0.5)],
    "cumsum": lambda v, x, r: np.cumsum(v),
    "cumprod": lambda v, x, r: np.cumprod(v[:5]),
    "log_softmax": lambda v, x, r: np.concatenate([v[:2], dk.log_softmax(v[1:])]),
    "sort": lambda v, x, r: np.sort(v),
    "max": lambda v, x, r: np.concatenate([np.max(v, keepdims=True), v * v]),
    "window": lambda v, x, r: dk.max_pool2d(np.tile(v, 2)[None, None, None, :], (1, 2)).reshape(-1),
    "convolution": lambda v, x, r: dk.conv2d(np.pad(v, 1)[None, None, None, :], numbers(x, r, 1, 1, 1, 2)).reshape(-1),
    "outer": lambda v, x, r: np.outer(v[:3], v[-3:]).reshape(-1),
    "roll": lambda v, x, r: np.roll(v, r.integers(-3, 4)) * v,
    "along": lambda v, x, r: np.take_along_axis(v, r.integers(0, len_(v), 5), 0),
    "logsumexp": lambda v, x, r: np.concatenate([v[1:], dk.logsumexp(v, keepdims=True)]),
    "tril": lambda v, x, r: np.tril(np.outer(v[:2], v[:2])).reshape(-1),
    "solve": lambda v, x, r: dk.linalg.solve(np.outer(v[:1], v[:1]) + 2.0, v[-1:]),
    "einsum": lambda v, x, r: np.einsum("i,j,j->i", v[:3], v[:2], v[:2]),
    "cond": lambda v, x, r: dk.cond(v[0] > 0, lambda v: v * v, lambda v: np.sin(v) * v[::-1], v),
    "checkpoint": lambda v, x, r: dk.checkpoint(lambda v: np.sin(v) * v[::-1] + x[0])(v),
    "scan": lambda v, x, r: flat(dk.scan(step_with_window, v, v[: r.integers(1, 5)], reverse=bool(r.integers(2)))),
    "scan over constants": lambda v, x, r: flat(dk.scan(step_with_window, v, numbers(x, r, r.integers(0, 4)))),
    "scan, checkpointed": lambda v, x, r: dk.scan(
        lambda c, _: (np.sin(c) + 0.1 * x[0] * np.roll(c, 2), None), v, length=r.integers(0, 9), checkpoints=2
    )[0],
    "scan in a scan": lambda v, x, r: flat(dk.scan(nested_step, v[0], v[:4])),
}  # fmt: skip


def len_(v) -> int:
    return v.shape[0]


def numbers(x, r, *shape) -> np.ndarray:
    """Constants, some of them zero, of the dtype of x."""
    return r.integers(-1, 2, shape).astype(str(x.dtype))


def flat(parts):
    return np.concatenate([np.reshape(p, (-1,)) for p in parts])[:12]


def program(rng: np.random.Generator, names: list[str]):
    chosen = [(STEPS[name], int(rng.integers(1 << 30))) for name in rng.choice(names, rng.integers(1, 5))]

    def f(x):
        v = x
        for step, seed in chosen:
            v = step(v, x, np.random.default_rng(seed))
        return v

    return f


def check(seed: int, *names: str) -> None:
    rng = np.random.default_rng(seed)
    single = seed % 5 == 0
    f, x = (
        program(rng, list(names or STEPS)),
        rng.normal(size=rng.integers(1, 8)).astype(np.float32 if single else np.float64),
    )
    close = {"rtol": 2e-3, "atol": 1e-4} if single else {"rtol": 1e-8, "atol": 1e-12}
    D = dk.jacobian(f, machine=MACHINE)(x)
    J = dk.jacobian(f, engine=(None, "forward", "reverse")[seed % 3], sparse=True, machine=MACHINE)
    S = J(x)
    assert (S.shape, S.dtype, S.has_canonical_format) == (D.shape, D.dtype, True)
    scale = np.abs(D).max(initial=1.0)
    np.testing.assert_allclose(S.toarray() / scale, D / scale, **close)
    assert (J.pattern.toarray() | (D == 0)).all()
    assert J.lower_bound <= J.colours
    again = J(x, out=J(1.1 * x))
    assert np.array_equal(again.toarray(), S.toarray(), equal_nan=True)
    w = rng.normal(size=len(D)).astype(x.dtype)
    g = lambda x: np.sum(w * f(x) * f(x))
    D = dk.hessian(g, machine=MACHINE)(x)
    H = dk.hessian(g, sparse=True, machine=MACHINE)
    S, scale = H(x).toarray(), np.abs(D).max(initial=1.0)
    np.testing.assert_allclose(S / scale, D / scale, **close)
    assert np.array_equal(S, S.T)
    assert (H.pattern.toarray() | (D == 0)).all()
    assert H.lower_bound <= H.colours


@pytest.mark.parametrize("name", STEPS)
def test_each_operation(name) -> None:
    check(1, name)


@pytest.mark.parametrize("seed", range(40))
def test_programs(seed) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 400))
def test_more_programs(seed) -> None:
    check(seed)
