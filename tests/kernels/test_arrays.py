"""Array programs of the cpu machine against the numpy machine: every operation, random programs, threads, memory."""

import helpers_arrays
import numpy as np
import pytest
from helpers import NUMPY

import diffkit as dk
from diffkit.engines.forward import tangent_tape
from diffkit.engines.reverse import adjoint_tape
from diffkit.expr.node import variable
from diffkit.machines.cpu.arrays import ArrayExecutable
from diffkit.machines.cpu.arrays.axes import best_axis
from diffkit.machines.cpu.arrays.executable import Ready
from diffkit.machines.cpu.arrays.planning.planner import plan_arrays
from diffkit.tape import record

CASES = pytest.mark.parametrize("case", helpers_arrays.array_cases(), ids=lambda c: c.id)


def agree(tape, values, tolerance=1e-12, single=1e-5):
    """Both machines on the same values."""
    computed = ArrayExecutable(tape)(values)
    expected = NUMPY.compile(tape)(values)
    for c, e in zip(computed, expected, strict=True):
        assert c.shape == e.shape and c.dtype == e.dtype
        scale = max(1.0, float(np.nanmax(np.abs(e), initial=0.0)))
        np.testing.assert_allclose(c, e, rtol=0, atol=(tolerance if c.dtype == np.float64 else single) * scale)


SLOW = pytest.mark.slow


@CASES
@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=SLOW)])
@pytest.mark.parametrize("loop", [(), pytest.param((5,), marks=SLOW), pytest.param((2, 3), marks=SLOW)], ids=str)
def test_every_operation_and_its_derivatives(case, dtype, loop):
    tape = case.tape(dtype)
    values = case.values(dtype, loop)
    single = 1e-4 if case.op == "pinv" else 1e-5  # its derivative multiplies by the inverse three times
    agree(tape, values, single=single)
    wrt = [k for k, v in enumerate(values) if v.dtype.kind == "f"]
    if not wrt or tape.kinds[tape.outputs[0]].dtype not in ("float64", "float32"):
        return
    rng = np.random.default_rng(1)
    tangents = [rng.standard_normal(values[k].shape).astype(dtype) for k in wrt]
    agree(tangent_tape(tape, wrt), [*values, *tangents], 1e-10, single)
    cotangent = rng.standard_normal((*loop, *tape.kinds[tape.outputs[0]].shape)).astype(
        tape.kinds[tape.outputs[0]].dtype
    )
    agree(adjoint_tape(tape, wrt), [*values, cotangent], 1e-10, single)


@pytest.mark.slow
@CASES
def test_arguments_of_which_some_have_loop_dims(case):
    values = case.values("float64", (4,))
    for k in range(len(values)):
        mixed = [v if j == k else v[0] for j, v in enumerate(values)]
        agree(case.tape(), mixed)


class Random:
    """Programs over arrays that share an axis, as a batch does."""

    def __init__(self, seed, n, dtype="float64"):
        self.rng, self.n, self.dtype = np.random.default_rng(seed), n, dtype
        sizes = [int(self.rng.integers(1, 6)) for _ in range(3)]
        a, b, c = sizes
        shapes = [(n, a), (n, b), (n,), (a, b), (b, c), (b,), (c,), (), (n, a, b), (1, b)]
        self.inputs = [variable(f"x{k}", s, dtype) for k, s in enumerate(shapes)]
        self.pool = list(self.inputs)

    def pick(self):
        return self.pool[int(self.rng.integers(len(self.pool)))]

    def step(self):
        rng, x = self.rng, self.pick()
        choice = int(rng.integers(14))
        if choice < 4:
            y = self.pick()
            try:
                np.broadcast_shapes(x.shape, y.shape)
            except ValueError:
                return None
            return [x + y, x * y, x - y * 0.5, dk.where(x > y, x, dk.sin(y))][choice]
        if choice == 4:
            return dk.tanh(x)
        if choice == 5 and x.ndim:
            return dk.sum(x, axis=int(rng.integers(x.ndim)), keepdims=bool(rng.integers(2))) / x.size
        if choice == 6 and x.ndim:
            return dk.max(x, axis=int(rng.integers(x.ndim)))
        if choice == 7:
            y = self.pick()
            if x.ndim and y.ndim and x.shape[-1] == y.shape[-2 if y.ndim > 1 else -1]:
                try:
                    return dk.matmul(x, y) / x.shape[-1]
                except dk.ShapeError:
                    return None
            return None
        if choice == 8 and x.ndim > 1:
            return dk.transpose(x, tuple(int(k) for k in rng.permutation(x.ndim)))
        if choice == 9 and x.ndim:
            axis = int(rng.integers(x.ndim))
            index = [slice(None)] * x.ndim
            index[axis] = [slice(None, None, -1), slice(1, None), slice(0, 1), slice(None, None, 2)][
                int(rng.integers(4))
            ]
            return x[tuple(index)]
        if choice == 10 and x.ndim > 1:
            return dk.reshape(x, (x.shape[0], -1))
        if choice == 11 and x.ndim > 1:
            index = rng.integers(0, x.shape[-1], 3)
            return x[..., index]
        if choice == 12:
            return dk.concatenate([x, dk.square(x)], axis=-1) if x.ndim else None
        if choice == 13 and x.ndim > 1:
            return dk.softmax(x, axis=-1)
        return None

    def program(self, length):
        while length:
            made = self.step()
            if made is not None and made.size and made.size <= 4000 and all(made is not x for x in self.pool):
                self.pool.append(made)
                length -= 1
        return self.pool

    def values(self):
        return [np.asarray(self.rng.standard_normal(x.shape)).astype(self.dtype) for x in self.inputs]


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed):
    random = Random(seed, [7, 40, 300][seed % 3])
    pool = random.program(12)
    outputs = pool[-4:]
    agree(record(outputs, random.inputs, [f"o{k}" for k in range(4)]), random.values())
    total = dk.sum(dk.tanh(outputs[-1])) + dk.sum(dk.tanh(outputs[-2]))
    tape = record(total, random.inputs)
    agree(adjoint_tape(tape, range(len(random.inputs))), [*random.values(), np.float64(1.0)], 1e-10)
    agree(tangent_tape(tape, range(len(random.inputs))), [*random.values(), *random.values()], 1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_with_loop_dims(seed):
    random = Random(seed, 9)
    pool = random.program(10)
    tape = record(pool[-3:], random.inputs, ["a", "b", "c"])
    rng = np.random.default_rng(seed)
    values = [rng.standard_normal((*((6,) if rng.integers(2) else ()), *x.shape)) for x in random.inputs]
    agree(tape, values)


def mlp(parameters, x, y):
    h = np.tanh(x @ parameters["w"] + parameters["b"])
    z = h @ parameters["v"]
    return np.mean(dk.logsumexp(z, axis=1) - np.sum(z * y, axis=1))


def mlp_arguments(n=300, a=30, b=24, c=5, dtype=np.float64):
    rng = np.random.default_rng(0)
    parameters = {"w": rng.standard_normal((a, b)), "b": rng.standard_normal(b), "v": rng.standard_normal((b, c))}
    x, y = rng.standard_normal((n, a)), np.eye(c)[rng.integers(0, c, n)]
    return {k: v.astype(dtype) for k, v in parameters.items()}, x.astype(dtype), y.astype(dtype)


def test_a_batch_is_run_over_lanes():
    arguments = mlp_arguments()
    traced = dk.trace(mlp, *arguments)
    assert best_axis(record(traced)).lanes == 300


def test_the_number_of_threads_does_not_change_a_bit():
    arguments = mlp_arguments(3000)
    results = []
    for threads in (1, 2, 3):
        dk.set_threads(threads)
        results.append(dk.value_and_grad(mlp)(*arguments))
    dk.set_threads(None)
    for value, gradient in results[1:]:
        assert value == results[0][0]
        for k, g in gradient.items():
            np.testing.assert_array_equal(g, results[0][1][k])


AWKWARD = {
    "sum of a reversed row": lambda x, y: dk.sum(x[:, ::-1], axis=1),
    "maximum of every other": lambda x, y: dk.max(x[:, ::-2], axis=1),
    "product of a reversed matrix": lambda x, y: x[:, ::-1] @ y,
    "product of every other row": lambda x, y: x[::2, ::2] @ y[::2, ::2],
    "sum over columns": lambda x, y: dk.sum(x.T[::-1] * 2.0, axis=0),
    "mean of all": lambda x, y: dk.mean(x[::-1, ::-1]),
    "elementwise on a transpose": lambda x, y: dk.exp(x.T) + y,
    "windows": lambda x, y: dk.max_pool2d(dk.reshape(x, (1, 1, 600, 700)), 2),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_large_arrays_in_parts(name):
    """Whole arrays that are cut into parts for threads, read along strides that need a copy first."""
    x, y = variable("x", (600, 700)), variable("y", (700, 600))
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(x.shape), rng.standard_normal(y.shape)]
    tape = record(AWKWARD[name](x, y), [x, y])
    whole = Ready(plan_arrays(tape, None), 1, *(ArrayExecutable(tape).takes, ArrayExecutable(tape).gives))
    (expected,) = NUMPY.compile(tape)(values)
    np.testing.assert_allclose(whole(values)[0], expected, rtol=1e-11, atol=1e-11)
    agree(tape, values, 1e-11)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("image", "kernel", "how"),
    [
        ((1, 1, 1, 200), (3, 1, 1, 5), {}),
        ((2, 1, 200, 9), (3, 1, 4, 1), {"stride": (2, 1)}),
        ((2, 4, 40, 30), (4, 2, 3, 1), {"groups": 2, "padding": 1}),
        ((2, 3, 30, 40), (6, 1, 1, 4), {"groups": 3, "dilation": (1, 2)}),
        ((200, 1, 9, 1), (2, 1, 3, 1), {}),
    ],
)
def test_windows_that_overlap_are_not_matrices_for_blas(image, kernel, how, dtype):
    """Rows of windows along one axis lie one element apart: BLAS refuses a matrix whose rows overlap."""
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(s).astype(dtype) for s in (image, kernel)]
    x, w = (variable(n, v.shape, dtype) for n, v in zip("xw", values, strict=True))
    tape = record(dk.conv2d(x, w, **how), [x, w])
    agree(tape, values, single=1e-4)
    cotangent = rng.standard_normal(tape.kinds[tape.outputs[0]].shape).astype(dtype)
    agree(adjoint_tape(tape, [0, 1]), [*values, cotangent], single=1e-4)
    agree(tangent_tape(tape, [0, 1]), [*values, *values], single=1e-4)


_LABELS = np.random.default_rng(5).integers(0, 10, 100)
PICKED = {
    "one a row": lambda x: dk.log_softmax(x)[np.arange(100), _LABELS],
    "every row": lambda x: dk.tanh(x)[np.arange(100)],
    "every row, one column": lambda x: dk.tanh(x)[np.arange(100), 3],
    "every row, every other column": lambda x: dk.tanh(x)[np.arange(100), ::2],
    "columns of a transpose": lambda x: dk.tanh(x).T[:, np.arange(100)],
    "a mask of all": lambda x: dk.tanh(x)[np.ones(100, bool)],
    "the diagonal": lambda x: dk.diagonal(dk.tanh(x[:10])),
    "added to every row": lambda x: dk.scatter_add(dk.tanh(x), np.arange(100), dk.sin(x)),
    "a row's own columns": lambda x: dk.take_along_axis(
        dk.tanh(x), np.argsort(np.arange(1000).reshape(100, 10) % 7), 1
    ),
}


@pytest.mark.parametrize("name", PICKED)
def test_an_index_that_names_every_lane(name):
    values = [np.random.default_rng(1).standard_normal((100, 10))]
    x = variable("x", (100, 10))
    tape = record(PICKED[name](x), [x])
    agree(tape, values)
    agree(adjoint_tape(tape, [0]), [*values, NUMPY.compile(tape)(values)[0]])
