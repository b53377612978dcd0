"""Elements at indices that are values, as instructions of array programs: against the numpy machine, bit for bit."""

import itertools

import numpy as np
import pytest
from helpers import NUMPY
from test_native_loops import loops

import diffkit as dk
from diffkit.engines.forward import tangent_tape
from diffkit.engines.reverse import adjoint_tape
from diffkit.errors import ShapeError
from diffkit.expr.node import make, variable
from diffkit.machines.cpu import set_tier
from diffkit.machines.cpu.arrays import ArrayExecutable
from diffkit.machines.cpu.arrays.axes import best_axis
from diffkit.machines.cpu.arrays.program import Host, Lanes
from diffkit.ops import TABLE
from diffkit.tape import record


@pytest.fixture(autouse=True)
def _settings():
    yield
    set_tier("auto")
    dk.set_threads(None)


def tape_of(f, *arguments):
    inputs = [variable(f"x{k}", a.shape, str(a.dtype)) for k, a in enumerate(arguments)]
    outputs = f(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return record(list(outputs), inputs, [f"o{k}" for k in range(len(outputs))])


def phases(tape, kind):
    return sum(isinstance(p, kind) for p in ArrayExecutable(tape).point().program.phases)


def agree(tape, values, tolerance=None):
    """The same bits as the numpy machine's (or nearly), and no operation by its NumPy function."""
    assert phases(tape, Host) == 0
    expected = NUMPY.compile(tape)(values)
    executable = ArrayExecutable(tape)
    for tier in ("interpreted", "fused"):
        set_tier(tier)
        for c, e in zip(executable(values), expected, strict=True):
            assert c.shape == e.shape and c.dtype == e.dtype
            if tolerance is None:
                assert c.tobytes() == e.tobytes()
            else:
                np.testing.assert_allclose(c, e, rtol=tolerance, atol=tolerance)


def check(f, *cores, loop=None, tolerance=None):
    """A function, its tangent and its adjoint. cores: an argument each; loop: loop dims of each."""
    tape, loop = tape_of(f, *cores), loop or [()] * len(cores)
    values = [np.broadcast_to(a, (*n, *a.shape)).copy() for a, n in zip(cores, loop, strict=True)]
    for v, n in zip(values, loop, strict=True):  # every lane has its own
        v.reshape(*v.shape[: len(n)], -1).sort(axis=-1) if len(n) and v.size else None
    agree(tape, values, tolerance)
    rng = np.random.default_rng(5)
    wrt = [k for k, a in enumerate(cores) if a.dtype.kind == "f"]
    if not wrt or tape.kinds[tape.outputs[0]].dtype not in ("float32", "float64"):
        return
    tangents = [rng.standard_normal(values[k].shape).astype(values[k].dtype) for k in wrt]
    agree(tangent_tape(tape, wrt), [*values, *tangents], tolerance)
    loops = np.broadcast_shapes(*loop)
    kinds = [tape.kinds[o] for o in tape.outputs]
    seeds = [rng.standard_normal((*loops, *k.shape)).astype(k.dtype) for k in kinds]
    agree(adjoint_tape(tape, wrt), [*values, *seeds], tolerance)


RNG = np.random.default_rng(0)
LOOKED_UP = {
    "one of the middle": (lambda x, i: x[:, i], (7, 5, 6), [(4, 3)]),
    "one of the first": (lambda x, i: x[i], (5, 4), [(8,)]),
    "one of the last": (lambda x, i: x[..., i], (6, 5), [(2, 3)]),
    "a number": (lambda x, i: x[:, i], (3, 5), [()]),
    "a number of a vector": (lambda x, i: x[i], (5,), [()]),
    "two": (lambda x, i, j: x[:, i, j], (2, 5, 6), [(4, 3), (3,)]),
    "two apart": (lambda x, i, j: x[i, :, j], (5, 3, 7), [(4, 1), (2,)]),
    "three and none beside them": (lambda x, i, j, k: x[i, j, k], (5, 6, 7), [(3,), (3,), ()]),
    "along an axis": (lambda x, i: dk.take_along_axis(x, i, 1), (3, 5, 2), [(3, 4, 2)]),
    "what is turned": (lambda x, i: dk.transpose(x)[::-1][i], (4, 5), [(6,)]),
    "one entry": (lambda x, i: x[i % 1], (1, 3), [(4,)]),
    "none": (lambda x, i: x[:, i], (3, 5), [(0,)]),
    "of nothing beside": (lambda x, i: x[i], (5, 0), [(3,)]),
    "neighbours": (lambda x, i: x[(i + 1) % 5], (5,), [(5,)]),
}
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])


def arguments(shape, indices, dtype, n=5):
    x = (3 * RNG.standard_normal(shape)).astype(dtype)
    return x, *(RNG.integers(-n, n, i) for i in indices)


@DTYPES
@pytest.mark.parametrize("name", LOOKED_UP)
def test_elements_at_indices(name, dtype):
    f, shape, indices = LOOKED_UP[name]
    check(f, *arguments(shape, indices, dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", LOOKED_UP)
def test_loop_dims_of_any_argument(name, dtype):
    f, shape, indices = LOOKED_UP[name]
    cores = arguments(shape, indices, dtype)
    for some in itertools.product([(), (19,)], repeat=len(cores)):
        if any(some):
            check(f, *cores, loop=some)
    check(f, *cores, loop=[(3, 1), *((4,) for _ in indices)])


@DTYPES
@pytest.mark.parametrize("loop", [(), (9,)], ids=str)
def test_elements_are_added_in_order(dtype, loop):
    updates, index = (1000 * RNG.standard_normal((*loop, 2, 40, 3))).astype(dtype), RNG.integers(-4, 4, (*loop, 40))
    inputs = [variable("u", (2, 40, 3), dtype), variable("i", (40,), "int64")]
    out = make(TABLE["scatter_add"], tuple(inputs), {"axis": -2, "shape": (2, 4, 3)})
    agree(record([out], inputs), [updates, index])


def test_sums_of_singles_are_rounded_once():
    updates = np.full(10**5, 0.1, np.float32)
    inputs = [variable("u", updates.shape, "float32"), variable("i", updates.shape, "int64")]
    tape = record([make(TABLE["scatter_add"], tuple(inputs), {"axis": -1, "shape": (2,)})], inputs)
    (found,) = ArrayExecutable(tape)([updates, np.arange(10**5) % 2])
    assert (found == np.float32(np.sum(updates[::2], dtype=np.float64))).all()


# ---- along lanes ----
def worked(x):
    """Work enough for a loop over lanes."""
    for k in range(6):
        x = dk.sin(x * 0.9 + 0.1 * k) + x * 0.5
    return x


def picked_by_label(z, labels):
    z = worked(z)
    return dk.mean((z - dk.logsumexp(z, axis=1, keepdims=True))[np.arange(z.shape[0]), labels])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_labels_of_a_batch_run_over_lanes(dtype):
    z, labels = RNG.standard_normal((3000, 7)).astype(dtype), RNG.integers(-7, 7, 3000)
    tape = tape_of(picked_by_label, z, labels)
    for t in (tape, adjoint_tape(tape, [0])):
        assert best_axis(t).lanes == 3000 and 1 <= phases(t, Lanes) <= 2
    check(picked_by_label, z, labels, tolerance=1e-6 if dtype == "float32" else 1e-13)


LANED = {
    "a table for all": (lambda t, i: worked(t[i]).sum(axis=1), (30, 8), (500,)),
    "pairs": (lambda t, i: worked(t[i[:, 0]] * t[i[:, 1]]).sum(axis=-1), (30, 8), (500, 2)),
    "a row's own": (lambda t, i: dk.take_along_axis(worked(t), i, 1) - 1, (500, 8), (500, 3)),
    "columns for all": (lambda t, i: worked(t)[:, i % 8] * 2, (500, 8), (5,)),
    "rows in front": (lambda t, i: worked(t)[i % 8] * 2, (8, 500), (5,)),
    "an own and a given": (lambda t, i: worked(t)[np.arange(500), i % 8, 1] * 2, (500, 8, 2), (500,)),
    "a column of rows and an own": (lambda t, i: worked(t)[np.arange(500)[:, None], i[:, None] % 8], (500, 8), (500,)),
    "added to an own": (lambda t, i: dk.scatter_add(worked(t), i % 8, t[:, :3] * t[:, 1:4], 1), (500, 8), (3,)),
    "a number for all": (lambda t, i: worked(t)[:, i[0] % 8], (500, 8), (1,)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", LANED)
def test_lookups_over_lanes(name, dtype):
    f, shape, index = LANED[name]
    assert phases(tape_of(f, np.ones(shape), np.zeros(index, int)), Lanes)
    check(
        f, RNG.standard_normal(shape).astype(dtype), RNG.integers(0, 8, index),
        tolerance=1e-5 if dtype == "float32" else 1e-12,
    )  # fmt: skip


def test_the_same_bits_at_any_number_of_threads():
    table, index = RNG.standard_normal((300, 40)), RNG.integers(-300, 300, 9000)
    z, labels = RNG.standard_normal((20000, 9)), RNG.integers(0, 9, 20000)
    lookup = tape_of(lambda t, i: t[i], table, index)
    named = tape_of(picked_by_label, z, labels)
    for tape, values, seed in ((lookup, (table, index), (9000, 40)), (named, (z, labels), ())):
        adjoint, found = adjoint_tape(tape, [0]), []
        for threads in (1, 2, 3):
            dk.set_threads(threads)
            results = [*ArrayExecutable(tape)(values), *ArrayExecutable(adjoint)([*values, np.full(seed, 1.1)])]
            found.append(b"".join(r.tobytes() for r in results))
        assert len(set(found)) == 1


# ---- out of range ----
def failures(tape, values):
    """What both machines say."""
    said = []
    for machine in (NUMPY.compile(tape), ArrayExecutable(tape)):
        with pytest.raises(ShapeError, match="out of range") as caught:
            machine(values)
        said.append(str(caught.value))
    return said


@pytest.mark.parametrize("bad", [5, -6, 2**40])
@pytest.mark.parametrize("loop", [(), (3,)], ids=str)
@pytest.mark.parametrize("tier", ["interpreted", "fused"])
def test_an_index_out_of_range_is_the_numpy_machines_error(bad, loop, tier):
    set_tier(tier)
    index = np.zeros((*loop, 4), np.int64)
    index[..., 2] = bad
    tape = tape_of(lambda x, i: x[:, i] * 2, np.ones((2, 5)), index.reshape(-1, 4)[0])
    a, b = failures(tape, [np.ones((2, 5)), index])
    assert a == b and str(bad) in a and "(2, 5)" in a
    index[...] = 1
    assert (ArrayExecutable(tape)([np.ones((2, 5)), index])[0] == 2).all()


def test_errors_of_additions_of_empty_axes_and_of_numbers_that_are_none():
    inputs = [variable("u", (3,), "float64"), variable("i", (3,), "int64")]
    tape = record([make(TABLE["scatter_add"], tuple(inputs), {"axis": -1, "shape": (2,)})], inputs)
    a, b = failures(tape, [np.ones(3), np.array([0, 2, 5])])
    assert a == b and "scatter_add" in a
    for shape in ((0, 2), (5, 0), (0,)):
        tape = tape_of(lambda x, i: x[i], np.ones(shape), np.ones(2, np.int64))
        a, b = failures(tape, [np.ones(shape), np.array([7, 7])])
        assert a == b
    tape = tape_of(lambda x, y: x[(y * 2).astype("int64")], np.ones(3), np.ones(2))
    with np.errstate(invalid="ignore"):
        a, b = failures(tape, [np.ones(3), np.array([0.0, np.nan])])
    assert a == b


def test_a_later_call_knows_nothing_of_an_error():
    x, index = RNG.standard_normal((40, 30)), np.arange(50) % 40
    executable = ArrayExecutable(tape_of(lambda x, i: x[i].sum(axis=1), x, index))
    expected = executable([x, index])[0].copy()
    for _ in range(2):
        with pytest.raises(ShapeError):
            executable([x, index + 1])
        assert (executable([x, index])[0] == expected).all()


# ---- in loops ----
def looked_up(x, i, c):
    def step(c, i):
        new = dk.sin(c + x[i] * x[(i + 1) % x.shape[0]])
        return new, new * c

    return dk.scan(step, c, i)


def ring(x, i, c):
    """Neighbours of a ring, and one place a step that is added to."""
    there = np.arange(x.shape[0])

    def step(c, i):
        new = 0.5 * (c + c[(there + i) % x.shape[0]]) + x[i]
        return dk.scatter_add(new, i, dk.tanh(new[i])), new[i]

    return dk.scan(step, x * c, i)


def paths(x, i, c):
    """Two tables, two indices, negative ones too."""
    rows = dk.reshape(dk.concatenate([x, x * c]), (2, -1))
    step = lambda c, i: (c * rows[i % 2, -1 - i] + dk.sum(rows[:, i]), rows[i % 2, i])
    return dk.scan(step, c, i)


@pytest.mark.parametrize("checkpoints", [None, 3])
@pytest.mark.parametrize("size", [3, 90], ids=["small", "large"])
@pytest.mark.parametrize("f", [looked_up, ring, paths])
def test_lookups_in_loops(f, size, checkpoints, monkeypatch):
    scan = dk.scan
    if checkpoints:
        monkeypatch.setattr(dk, "scan", lambda *args: scan(*args, checkpoints=checkpoints))
    x, i = RNG.standard_normal(size) / 3, RNG.integers(0, size, 17)
    check(f, x, i, np.array(0.3), tolerance=1e-12)


@pytest.mark.parametrize("tier", ["interpreted", "fused"])
@pytest.mark.parametrize("size", [3, 90], ids=["small", "large"])
def test_an_index_out_of_range_in_a_loop(size, tier, monkeypatch):
    set_tier(tier)
    x, index = np.linspace(0, 1, size), np.arange(3000) % size
    tape = tape_of(lambda x, i, c: looked_up(x, i, c)[0], x, index, np.array(0.3))
    ArrayExecutable(tape)([x, index, 0.3])
    index[[1234, 1300]] = size, size + 1
    a, b = failures(tape, [x, index, 0.3])
    assert a == b and f"index {size} " in a
    scan = dk.scan
    for kept in (None, 3):
        monkeypatch.setattr(dk, "scan", lambda *args, kept=kept: scan(*args, checkpoints=kept))
        adjoint = adjoint_tape(tape_of(lambda x, i, c: looked_up(x, i, c)[0], x, index, np.array(0.3)), [0])
        a, b = failures(adjoint, [x, index, 0.3, np.ones(())])
        assert a == b


def mixed(x, i, c):
    """Singles, whole numbers and conditions, all carried and all looked up."""

    def step(carry, row):
        c, k, on = carry
        n, flag = row
        new = dk.where(flag, c * x[k] + x[n], c - x[k])
        return (new, (k + n) % x.shape[0], (flag | on) & (new < 1)), (x[n], k, flag)

    begin = (c, np.int64(1), np.False_)
    (c, k, on), (xs, ks, flags) = dk.scan(step, begin, (i, i % 2 == 0))
    return c, k, on, xs, ks, flags


@pytest.mark.parametrize("checkpoints", [None, 3])
def test_loops_of_several_dtypes(checkpoints, monkeypatch):
    scan = dk.scan
    if checkpoints:
        monkeypatch.setattr(dk, "scan", lambda *args: scan(*args, checkpoints=checkpoints))
    x, i = (RNG.standard_normal(5) / 3).astype(np.float32), RNG.integers(0, 5, 301)
    tape = tape_of(mixed, x, i, np.float32(0.3))
    assert loops(tape) == (1, 0)
    agree(tape, [x, i, np.float32(0.3)])
    tape = tape_of(lambda *a: mixed(*a)[0], x, i, np.float32(0.3))
    agree(adjoint_tape(tape, [0, 2]), [x, i, np.float32(0.3), np.float32(1)])


def test_tables_of_whole_numbers_and_conditions_in_a_loop():
    def f(x, i):
        on = i > 2
        step = lambda c, k: (dk.where(on[k], c + i[k], -c) * 0.5, (i[k - 1], on[k]))
        end, (ks, flags) = dk.scan(step, x, i % 5)
        return end, ks, flags

    agree(tape_of(f, np.array(0.3), np.arange(40)), [np.array(0.3), RNG.integers(0, 40, 40)])


@pytest.mark.parametrize(("f", "size", "native"), [
    (looked_up, 3, 2), (looked_up, 1000, 1), (paths, 3, 2), (paths, 1000, 1), (ring, 3, 2), (ring, 90, 0),
])  # fmt: skip
def test_which_lookups_are_part_of_a_kernel(f, size, native):
    """From what a body is given any, from what it computes or carries, and additions, those of few elements."""
    x, i = RNG.standard_normal(size) / 3, RNG.integers(0, size, 17)
    tape = tape_of(lambda *a: dk.sum(f(*a)[0]), x, i, np.array(0.3))
    assert loops(tape) == (int(native > 0), int(native == 0))
    assert loops(adjoint_tape(tape, [0])) == ((2, 0) if native == 2 else (native, 2 - native))


def test_a_lookup_in_a_loop_in_a_loop():
    def f(x, i, c):
        inner = lambda c, k: (c + x[k] * x[(k * k + 1) % 4], None)
        outer = lambda c, row: (dk.scan(inner, dk.sin(c), row)[0], x[row[0]])
        return dk.scan(outer, c, i)

    check(f, RNG.standard_normal(4), RNG.integers(-4, 4, (6, 5)), np.array(0.3), tolerance=1e-12)
