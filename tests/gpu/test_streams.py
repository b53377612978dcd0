"""Arrays of other libraries and the order of work: in the simulator with streams that are as late as they may be."""

import gc
import sys
import types
import weakref

import numpy as np
import pytest
from helpers_cuda import FEW_THREADS, difference
from helpers_streams import DEFAULT, Foreign, OnlyDLPack, Queues, Unnamed

import diffkit as dk
from diffkit.errors import ArgumentError, DtypeError, ShapeError
from diffkit.machines import machine as find_machine
from diffkit.machines.cuda import executable, streams
from diffkit.machines.cuda.package import package, problem
from diffkit.machines.resident import is_on_device, resident
from diffkit.tape import record

missing = problem()
if missing:
    pytest.skip(f"{missing}; NUMBA_ENABLE_CUDASIM=1 runs these tests in a simulator", allow_module_level=True)
if not package().simulated:
    pytest.skip("these streams are stand-ins; tests/gpu/test_libraries.py has a GPU's own", allow_module_level=True)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::Warning:numba"),
]
rng = np.random.default_rng(3)


@pytest.fixture
def queues(monkeypatch):
    made = Queues()
    made.install(monkeypatch)
    monkeypatch.setattr(executable, "BLOCK", FEW_THREADS)
    monkeypatch.setattr("diffkit.machines.cuda.transfer.BLOCK", FEW_THREADS)
    monkeypatch.setattr(streams, "_kept", [])
    return made


def tape_of(large):
    """One kernel; or an array program with constants in its memory, a reduction, and memory of its own to write over."""
    shape = (70,) if large else ()
    x, y = dk.symbol("x", shape=shape), dk.symbol("y", shape=shape)
    z = dk.sin(x) * y + (np.arange(70.0) if large else 3.0)
    return record([z, dk.sum(dk.exp(dk.tanh(z)) * x)], [x, y])


def values_of(large, count=2):
    return [rng.standard_normal((3, 70) if large else 5) for _ in range(count)]


def same(found, expected):
    wrong = difference(found, expected)
    if wrong:  # of reductions the order of terms may be another
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


both = pytest.mark.parametrize("large", [False, True], ids=["one kernel", "array program"])
kinds = pytest.mark.parametrize("kind", [Foreign, OnlyDLPack, Unnamed])


# ---- order ----------------------------------------------------------------------------------------------------------
@both
def test_a_call_works_on_the_stream_that_its_arrays_name(large, queues):
    tape, (x, y) = tape_of(large), values_of(large)
    run, expected = find_machine("cuda").compile(tape), find_machine("cpu").compile(tape)([x, y])
    run([x, y])
    given = [queues.foreign(v, 7) for v in (x, y)]
    results = run(given)
    assert [int(r.stream) for r in results] == [7, 7]
    assert all((g.array == 7).all() for g in given)  # nothing was waited for
    same([queues.read(r, 7) for r in results], expected)
    again = run([results[0], y])  # a result as an argument, and an array of NumPy
    same([queues.read(r, 7) for r in again], find_machine("cpu").compile(tape)([expected[0], y]))


@both
@kinds
def test_makers_are_waited_for_and_wait(large, kind, queues):
    """Of several streams: the default one works, after all of them; and they work on after it."""
    tape, (x, y) = tape_of(large), values_of(large)
    expected = find_machine("cpu").compile(tape)([x, y])
    first, second = queues.foreign(x, 7), queues.foreign(y, 8, kind)
    results = find_machine("cuda").compile(tape)([first, second])
    named = 7 if kind is not Foreign else DEFAULT  # the only one that is named
    assert {int(r.stream) or DEFAULT for r in results} == {named}
    queues.add(7, lambda: first.array.fill(np.nan))  # memory used again by its maker
    queues.drain(7)
    same([queues.read(r, named) for r in results], expected)


@both
@pytest.mark.parametrize("kind", [OnlyDLPack, Unnamed])
def test_arrays_of_unknown_streams_are_kept_until_they_are_read(large, kind, queues):
    tape, (x, y) = tape_of(large), values_of(large)
    run, expected = find_machine("cuda").compile(tape), find_machine("cpu").compile(tape)([x, y])
    given = queues.foreign(x, 9, kind)
    alive = weakref.ref(given)
    results = run([given, y])
    del given
    gc.collect()
    assert alive() is not None
    same([queues.read(r, DEFAULT) for r in results], expected)
    run([queues.foreign(x, 9, kind), y])
    gc.collect()
    assert alive() is None


@both
def test_buffers_belong_to_their_streams(large, queues):
    tape, (x, y) = tape_of(large), values_of(large)
    expected = find_machine("cpu").compile(tape)([x, y])
    wide = np.zeros((*expected[0].shape, 2))
    out = [Foreign(queues, wide[..., 0], 7), Foreign(queues, np.zeros_like(expected[1]), 8)]
    queues.add(8, lambda: out[1].array.fill(5.0))  # what was queued before comes before
    given = find_machine("cuda").compile(tape)([x, y], out)
    assert all(a is b for a, b in zip(given, out, strict=True))
    same([queues.read(o, o.on) for o in out], expected)
    assert not wide[..., 1].any()


@both
def test_calls_on_several_streams_do_not_share_memory(large, queues):
    tape = tape_of(large)
    run, reference = find_machine("cuda").compile(tape), find_machine("cpu").compile(tape)
    calls = []
    for stream in (7, 8, DEFAULT, 7, 8, 9):
        values = values_of(large)
        calls.append((stream, run([queues.foreign(v, stream) for v in values]), reference(values)))
    on_host = values_of(large)
    same(run(on_host), reference(on_host))
    for stream, found, expected in reversed(calls):
        same([queues.read(r, stream) for r in found], expected)
    values = values_of(large)
    same([queues.read(r, 10) for r in run([queues.foreign(v, 10) for v in values])], reference(values))
    if large:  # a memory that is done with serves another stream
        (lowered,) = [low for runs in run._programs.values() for low in runs._lowered.values()]
        assert len(lowered._spare) == 4


@kinds
def test_transforms(kind, queues):
    x, y = rng.uniform(1, 2, (4, 3)), rng.uniform(1, 2, 3)

    def mapped(m, *given):
        return dk.vmap(lambda a, b: a[:3] * np.sin(b), in_axes=(1, None), machine=m)(*given)

    def jacobian(m, *given):
        return dk.jacobian(lambda a, b: np.sin(b) * b[0], argnums=1, machine=m)(*given)

    def pulled(m, a, b):
        return dk.vjp(lambda p: p["a"] * p["b"], {"a": a, "b": b}, machine=m)[1](a)[0]["b"]

    for call in (mapped, jacobian, pulled):
        found = call("cuda", queues.foreign(x, 7, kind), queues.foreign(y, 7, kind))
        np.testing.assert_allclose(found.copy_to_host(), call("cpu", x, y), rtol=1e-12)


# ---- descriptions ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "cut", [np.s_[:], np.s_[::2, ::-1], np.s_[::-1], np.s_[:, 1:2], np.s_[:0], np.s_[1, ::3]], ids=str
)
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i4", "u1", "?", "i8"])
@kinds
def test_any_layout_and_dtype(kind, dtype, cut, queues):
    array = (rng.standard_normal((6, 5)) * 9).astype(dtype)[cut]
    given = kind(queues, array, 7)
    assert is_on_device(given)
    found = resident(given)
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    if array.size:
        assert (found.address, found.strides) == (array.__array_interface__["data"][0], array.strides)
    x, y = dk.symbol("x"), dk.symbol("y")
    tape = record(x * y, [x, y])
    (result,) = find_machine("cuda").compile(tape)([given, 2.5])
    same([result.copy_to_host()], find_machine("cpu").compile(tape)([array, 2.5]))


def test_pytorch_tensors_name_its_current_stream(queues, monkeypatch):
    class Tensor(Unnamed):
        device = 0

    current = types.SimpleNamespace(cuda_stream=5)
    torch = types.SimpleNamespace(Tensor=Tensor, cuda=types.SimpleNamespace(current_stream=lambda device: current))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert resident(Tensor(queues, np.ones(2), 5)).stream == 5
    current.cuda_stream = 0
    assert resident(Tensor(queues, np.ones(2), 5)).stream == DEFAULT


class Refusing(OnlyDLPack):
    def __dlpack__(self, **options):
        raise BufferError("it requires a gradient: detach() it")


def test_what_is_not_given_away(queues):
    g = dk.grad("sin(x)", machine="cuda")
    with pytest.raises(
        ArgumentError, match=r"'x' lies on a GPU and cannot be taken as it is: it requires a gradient: detach"
    ):
        g(Refusing(queues, np.ones(3), 7))
    with pytest.raises(DtypeError, match="real numbers"):
        g(Foreign(queues, np.ones(3, complex), 7))
    with pytest.raises(DtypeError, match="real numbers"):
        g(Foreign(queues, np.ones(3, ">f8"), 7))
    with pytest.raises(ArgumentError, match="mask"):
        masked = type("Masked", (Foreign,), {})(queues, np.ones(3), 7)
        masked.__class__.__cuda_array_interface__ = property(
            lambda self: {**Foreign.__cuda_array_interface__.fget(self), "mask": object()}
        )
        g(masked)
    fixed = np.ones(3)
    fixed.flags.writeable = False
    with pytest.raises(ShapeError, match="read-only"):
        dk.grad("sin(x)", wrt="x", machine="cuda")(np.ones(3), out=Foreign(queues, fixed, 7))
