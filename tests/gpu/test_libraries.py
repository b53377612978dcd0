"""Arrays of CuPy, PyTorch and JAX on a GPU, in and out, on their streams."""

import contextlib
from importlib import import_module

import numpy as np
import pytest

import diffkit as dk
from diffkit.machines.cuda.package import package, problem
from diffkit.machines.resident import resident

missing = problem()
if missing or package().simulated:
    pytest.skip(missing or "the simulator has no arrays of other libraries", allow_module_level=True)

pytestmark = pytest.mark.gpu
TEXT, N = "exp(sin(x))*y", 1 << 22


class Library:
    """How a library makes an array, takes a result by DLPack, has streams, and brings arrays to the host."""

    def __init__(self, name):
        self.name, self.module = name, pytest.importorskip({"jax": "jax.numpy"}.get(name, name))
        if name == "torch" and not self.module.cuda.is_available():
            pytest.skip("PyTorch has no GPU")
        if name == "jax" and import_module("jax").default_backend() != "gpu":
            pytest.skip("JAX has no GPU")

    def array(self, value):
        made = self.module.asarray(value)
        return made.cuda() if self.name == "torch" else made

    def taken(self, result):
        source = import_module("jax.dlpack") if self.name == "jax" else self.module
        return source.from_dlpack(result)

    def stream(self):
        if self.name == "cupy":
            return self.module.cuda.Stream(non_blocking=True)
        return self.module.cuda.stream(self.module.cuda.Stream()) if self.name == "torch" else contextlib.nullcontext()

    def host(self, array):
        return (
            self.module.asnumpy(array)
            if self.name == "cupy"
            else array.cpu().numpy()
            if self.name == "torch"
            else np.asarray(array)
        )


@pytest.fixture(params=["cupy", "torch", "jax"])
def library(request):
    return Library(request.param)


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(1, 2, N).astype("f4") for _ in range(2))
    f = dk.symbol("x", dtype="float32"), dk.symbol("y", dtype="float32")
    value = dk.exp(dk.sin(f[0])) * f[1]
    return dk.grad(value, machine="cuda"), x, y, dk.grad(value)(x, y)


def test_work_is_ordered_on_the_librarys_stream(library, columns):
    """What it queues before and after, also when memory is used again at once."""
    g, x, y, expected = columns
    for _ in range(3):
        with library.stream():
            a, b = library.array(x), library.array(y)
            for _ in range(20):  # work that is still queued when the call is made
                a = a * 2 / 2
            found = g(a, b)
            del a
            again = library.array(np.full(N, np.nan, "f4"))
            taken = {k: library.taken(v) * 2 / 2 for k, v in found.items()}
            host = {k: library.host(v) for k, v in taken.items()}
            del again
        for k in expected:
            np.testing.assert_array_equal(host[k], expected[k])


def test_layouts(library):
    x = library.array(np.arange(24.0, dtype="f4").reshape(4, 6))
    f = dk.sin(dk.symbol("x", dtype="float32"))
    for given in (x[1:, ::2], x.T, x[0, 0]):
        found = dk.grad(f, machine="cuda")(given)["x"]
        np.testing.assert_array_equal(found.copy_to_host(), dk.grad(f)(library.host(given))["x"])


def test_buffers(library, columns):
    if library.name == "jax":
        pytest.skip("JAX's arrays are not written to")
    g, x, y, expected = columns
    with library.stream():
        out = {k: library.array(np.zeros((N, 2), "f4"))[:, 0] for k in expected}
        assert g(library.array(x), library.array(y), out=out) is out
        host = {k: library.host(v * 1) for k, v in out.items()}
    for k in expected:
        np.testing.assert_array_equal(host[k], expected[k])


def test_results_name_the_stream(library):
    with library.stream():
        a = library.array(np.ones(4))
        named = resident(a).stream
        found = dk.grad("sin(x)", wrt="x", machine="cuda")(a)
        assert found.__cuda_array_interface__["stream"] == (named or 1)
