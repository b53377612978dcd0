"""Patterns of loops: against sets that are followed step by step, against the same loop written out, and what they hold."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ExceededError
from diffkit.sparse import known, loops
from diffkit.sparse import rows as rows_module
from diffkit.sparse.loops import Loop
from diffkit.sparse.rows import Rows

MACHINE = "numpy"


def rows_of(matrix: np.ndarray) -> Rows:
    ptr = np.append(0, np.cumsum(matrix.sum(axis=1))).astype(np.int64)
    return Rows(ptr, np.nonzero(matrix)[1].astype(np.int32), matrix.shape[1])


def dense(rows: Rows) -> np.ndarray:
    full = np.zeros((len(rows), rows.columns), bool)
    full[rows.owners(), rows.index] = True
    return full


def step_by_step(made, carries, results, given, begins, strides, length, reverse):
    arguments, hubs = len(begins), len(made) - results
    carry, ys = given[begins[:carries]], np.zeros((length, results - carries, given.shape[1]), bool)
    for n in range(length - 1, -1, -1) if reverse else range(length):
        known = np.concatenate(
            [carry, given[begins[carries:] + n * strides[carries:]], np.zeros((hubs, given.shape[1]), bool)]
        )
        for k in range(hubs):  # each is made of arguments and of hubs before it
            known[arguments + k] = (made[results + k] @ known) > 0
        new = (made[:results] @ known) > 0
        carry, ys[n] = new[:carries], new[carries:]
    return carry, ys.reshape(-1, given.shape[1])


@pytest.mark.parametrize("seed", range(150))
def test_random_loops(seed) -> None:
    rng = np.random.default_rng(seed)
    carries, xs, constants, ys, hubs = (int(n) for n in rng.integers(0, [7, 4, 4, 5, 4]))
    length, reverse, columns = int(rng.integers(0, 12)), bool(rng.integers(2)), int(rng.integers(1, 20))
    arguments, results = carries + xs + constants, carries + ys
    made = rng.random((results + hubs, arguments + hubs)) < rng.choice([0.1, 0.2, 0.5])
    if results and rng.random() < 0.5:  # several equal rows
        made[rng.integers(0, results, results)] = made[rng.integers(0, results, results)]
    for k in range(hubs):
        made[results + k, arguments + k :] = False
    given = rng.random((carries + xs * length + constants, columns)) < 0.2
    begins = np.concatenate([np.arange(carries + xs), np.arange(constants) + carries + xs * length])
    strides = np.repeat([0, xs, 0], [carries, xs, constants])
    how = (begins, strides, length, reverse)
    found = Loop(rows_of(made), carries, results, rows_of(given), *how).followed()
    for rows, expected in zip(found, step_by_step(made, carries, results, given, *how), strict=True):
        assert np.array_equal(dense(rows), expected)
        assert all((np.diff(rows.index[a:b]) > 0).all() for a, b in zip(rows.ptr, rows.ptr[1:], strict=False))


STEPS = {
    "heat": lambda c, x: (c + 0.1 * (np.roll(c, 1) - 2 * c + np.roll(c, -1)), None),
    "elementwise": lambda c, x: (np.sin(c) * x, c * x),
    "sum over steps": lambda c, x: (c + x**2, x**3),
    "shifted register": lambda c, x: (np.concatenate([x[:1] * 2, c[:-1]]), c[-1] ** 2),
    "swapped": lambda c, x: (c[::-1], c[0]),
    "mixed by a matrix": lambda c, x: (np.tanh(MIXED @ c + x), np.sum(c)),
    "sum of everything": lambda c, x: (c * 0.5 + np.sum(c), np.sum(c) * x),
    "a loop inside": lambda c, x: dk.scan(lambda d, z: (d * z + x, d[:2]), c, c[:2]),
    "nothing that moves": lambda c, x: (c * 0 + 1, np.floor(x)),
}
MIXED = np.random.default_rng(3).normal(size=(4, 4))


def written_out(step, carry, xs, reverse):
    ys = {}
    for n in range(len(xs) - 1, -1, -1) if reverse else range(len(xs)):
        carry, ys[n] = step(carry, xs[n])
    return carry, None if ys[0] is None else np.stack([ys[n] for n in range(len(xs))])


def both(f):
    """Every part of a nest, in one vector."""
    return lambda *args: np.concatenate([np.reshape(v, (-1,)) for v in f(*args) if v is not None])


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("hub", [16, 1])
def test_as_the_loop_written_out(monkeypatch, step, reverse, hub) -> None:
    monkeypatch.setattr(loops, "HUB", hub)
    rng = np.random.default_rng(2)
    args = rng.normal(size=4), rng.normal(size=(5, 4))
    loop = both(lambda c, xs: dk.scan(step, c, xs, reverse=reverse))
    plain = both(lambda c, xs: written_out(step, c, xs, reverse))
    J = [dk.jacobian(f, argnums=(0, 1), sparse=True, machine=MACHINE) for f in (loop, plain)]
    np.testing.assert_allclose(J[0](*args).toarray(), J[1](*args).toarray(), rtol=1e-13, atol=1e-300)
    assert np.array_equal(J[0].pattern.toarray(), J[1].pattern.toarray())
    H = [
        dk.hessian(lambda *a, f=f: np.sum(f(*a) ** 2), argnums=(0, 1), sparse=True, machine=MACHINE)
        for f in (loop, plain)
    ]
    one, other = (h(*args).toarray() for h in H)
    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)
    assert (H[0].pattern.toarray() | (other == 0)).all()


def heat(steps: int):
    """Explicit Euler steps between ends that are held at zero."""
    inner = lambda u: u[1:-1] + 0.1 * (u[:-2] - 2 * u[1:-1] + u[2:])
    return lambda u: dk.scan(lambda u, _: (np.pad(inner(u), 1), None), u, length=steps)[0]


def test_a_heat_equation_is_banded() -> None:
    n, steps = 400, 30
    J = dk.jacobian(heat(steps), sparse=True, machine=MACHINE).prepare(np.ones(n))
    apart = abs(np.subtract.outer(np.arange(n), np.arange(n)))
    expected = apart <= steps
    expected[[0, -1]] = False
    assert np.array_equal(J.pattern.toarray(), expected)
    assert J.colours == J.lower_bound == 2 * steps + 1


@pytest.mark.parametrize("reverse", [False, True])
def test_ys_follow_the_xs_before_them(reverse) -> None:
    n = 300
    J = dk.jacobian(
        lambda x: dk.scan(lambda c, x: (c * x, c), 1.0, x, reverse=reverse)[1], sparse=True, machine=MACHINE
    )
    below = np.tri(n, k=-1, dtype=bool)
    assert np.array_equal(J.prepare(np.ones(n)).pattern.toarray(), below.T if reverse else below)


def test_short_loops_over_known_xs_are_followed_with_what_is_known() -> None:
    step = lambda u, i: (np.where(np.arange(6) == i, u * np.roll(u, 1), u), None)
    loop, plain = (
        dk.jacobian(f, sparse=True, machine=MACHINE).prepare(np.ones(6)).pattern.toarray()
        for f in (
            lambda u: dk.scan(step, u, np.arange(3))[0],
            lambda u: written_out(step, u, np.arange(3), False)[0],
        )
    )
    assert np.array_equal(loop, plain)
    assert loop[3:].sum() == 3


def test_long_loops_take_work_that_is_linear_in_their_steps(monkeypatch) -> None:
    n = 50_000
    monkeypatch.setattr(loops, "WORK", 40 * n)

    def f(x):  # what is added up holds all columns in the end, but nobody asks for it on the way
        (_, total), y = dk.scan(lambda c, x: ((c[0] + 1, c[1] + x**2), c[0] * np.sin(x)), (0.0, 0.0), x)
        return total, y

    J = dk.jacobian(f, sparse=True, machine=MACHINE).prepare(np.ones(n))
    assert (J.pattern.nnz, J.colours, J.mode) == (2 * n, 2, "reverse")
    H = dk.hessian(lambda x: f(x)[0], sparse=True, machine=MACHINE).prepare(np.ones(n))
    assert (H.pattern.nnz, H.colours) == (n, 1)


def test_a_loop_that_has_come_to_rest_is_followed_no_further(monkeypatch) -> None:
    monkeypatch.setattr(loops, "WORK", 100_000)
    J = dk.jacobian(heat(10**6), sparse=True, machine=MACHINE)
    assert J.prepare(np.ones(12)).pattern.nnz == 120


@pytest.mark.parametrize("most", [0, 10_000])
def test_a_linear_loop_of_known_seeds_is_run_or_known(monkeypatch, most) -> None:
    monkeypatch.setattr(known, "COMPUTED", most)
    n, steps = 30, 7
    J = dk.jacobian(heat(steps), sparse=True, machine=MACHINE, engine="reverse")
    once = np.eye(n) + 0.1 * (np.eye(n, k=1) - 2 * np.eye(n) + np.eye(n, k=-1))
    once[[0, -1]] = 0
    np.testing.assert_allclose(
        J(np.linspace(0, 1, n)).toarray(), np.linalg.matrix_power(once, steps), rtol=1e-12, atol=1e-300
    )
    loops_run = [k.op.name for k in J.tape.kinds].count("scan")  # the value's own, and one a sweep
    assert loops_run == (1 if most else 1 + J.colours)


def test_checkpoints_change_no_pattern() -> None:
    def total(checkpoints):
        def f(x):
            c, y = dk.scan(lambda c, x: (x * 0.5, c * x), x[0], x, checkpoints=checkpoints)
            return np.sum(np.sin(y)) + c**2

        return dk.hessian(f, sparse=True, machine=MACHINE).prepare(np.ones(9))

    plain, kept = total(None), total(2)
    assert np.array_equal(plain.pattern.toarray(), kept.pattern.toarray())
    assert kept.pattern.nnz < 40


def test_over_the_budget_it_says_what_to_do(monkeypatch) -> None:
    f = lambda x: dk.scan(lambda c, x: (c * x, c), 1.0, x)[1]
    monkeypatch.setattr(rows_module, "LIMIT", 1000)
    with pytest.raises(ExceededError, match=r"^scan .*more than the 1,000.*argnums.*sparse=True out.*jvp"):
        dk.jacobian(f, sparse=True, machine=MACHINE)(np.ones(100))
    monkeypatch.undo()
    monkeypatch.setattr(loops, "WORK", 1000)
    with pytest.raises(ExceededError, match=r"^scan .* 100 steps .*1,000 entries.* step .*argnums"):
        dk.jacobian(f, sparse=True, machine=MACHINE)(np.ones(100))
    with pytest.raises(ExceededError, match=r"^scan .* rows of the last carry"):
        dk.jacobian(lambda x: dk.scan(lambda c, x: (c * x, None), x[0], x)[0], sparse=True, machine=MACHINE)(
            np.ones((3000, 4))
        )
