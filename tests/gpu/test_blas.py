"""Products of matrices that are handed over to cuBLAS, against NumPy's: by a stand-in for nvmath's bindings that does the
arithmetic on memory of the host, as cuBLAS's documentation says, and by the library itself where there is a GPU."""

import ctypes
import inspect
import math
import threading
from enum import IntEnum
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.errors import UnavailableError
from diffkit.machines.cpu.arrays import ArrayExecutable
from diffkit.machines.cuda.arrays import CudaArrayExecutable, blas, products
from diffkit.machines.cuda.arrays.nests import Address, Operand
from diffkit.machines.cuda.package import package
from diffkit.machines.cuda.package import problem as missing
from diffkit.tape import record

TYPES = {"d": (np.float64, ctypes.c_double), "f": (np.float32, ctypes.c_float)}


# ---- the stand-in -------------------------------------------------------------------------------------------------
def columns(at, letter, rows, count, leading):
    """A matrix in columns at an address."""
    kind, c = TYPES[letter]
    assert leading >= max(1, rows), "the leading dimension must not be less than the rows"
    held = (c * (leading * (count - 1) + rows)).from_address(at)
    return np.ndarray((rows, count), kind, held, strides=(np.dtype(kind).itemsize, leading * np.dtype(kind).itemsize))


def scalar(at, letter):
    return TYPES[letter][1].from_address(at).value


class CublasError(Exception):
    pass


class Bindings:
    """nvmath.bindings.cublas as far as it is used: its functions, names and orders of arguments, which a test compares."""

    class PointerMode(IntEnum):
        HOST, DEVICE = 0, 1

    class Math(IntEnum):
        DEFAULT_MATH = 0

    class AtomicsMode(IntEnum):
        NOT_ALLOWED, ALLOWED = 0, 1

    def __init__(self):
        self.handles, self.products, self.fails = [], [], False

    def create(self):
        self.handles.append(SimpleNamespace(stream=0, workspace=None, busy=threading.Lock()))
        return len(self.handles)

    def get_version(self, handle):
        return 130100

    def set_pointer_mode(self, handle, mode):
        self.handles[handle - 1].pointers = mode

    def set_math_mode(self, handle, mode):
        self.handles[handle - 1].math = mode

    def set_atomics_mode(self, handle, mode):
        self.handles[handle - 1].atomics = mode

    def set_stream(self, handle, stream_id):
        self.handles[handle - 1].stream = stream_id
        self.handles[handle - 1].workspace = None  # as documented

    def set_workspace(self, handle, workspace, workspace_size_in_bytes):
        self.handles[handle - 1].workspace = workspace, workspace_size_in_bytes

    def dgemm_64(self, handle, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        self._product(handle, "d", transa, transb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1)

    def sgemm_64(self, handle, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        self._product(handle, "f", transa, transb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1)

    def dgemm_strided_batched_64(
        self, handle, transa, transb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc, stride_c, batch_count
    ):  # fmt: skip
        self._product(
            handle, "d", transa, transb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc, stride_c, batch_count
        )  # fmt: skip

    def sgemm_strided_batched_64(
        self, handle, transa, transb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc, stride_c, batch_count
    ):  # fmt: skip
        self._product(
            handle, "f", transa, transb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc, stride_c, batch_count
        )  # fmt: skip

    def _product(
        self, handle, letter, ta, tb, m, n, k, alpha, a, lda, to_a, b, ldb, to_b, beta, c, ldc, to_c, count
    ):  # fmt: skip
        if self.fails:
            raise CublasError("CUBLAS_STATUS_ALLOC_FAILED (3)")
        used = self.handles[handle - 1]
        assert used.busy.acquire(blocking=False), "a handle is used by two threads at once"
        assert (used.pointers, used.math, used.atomics) == (0, 0, 0) and used.workspace
        self.products.append((used.stream, used.workspace, (m, n, k), count))
        size = np.dtype(TYPES[letter][0]).itemsize
        for p in range(count):
            x = columns(a + p * to_a * size, letter, *((k, m) if ta else (m, k)), lda)
            y = columns(b + p * to_b * size, letter, *((n, k) if tb else (k, n)), ldb)
            z = columns(c + p * to_c * size, letter, m, n, ldc)
            found = scalar(alpha, letter) * ((x.T if ta else x) @ (y.T if tb else y))
            z[...] = found + scalar(beta, letter) * z if scalar(beta, letter) else found
        used.busy.release()


USED = [name for name, value in vars(Bindings).items() if inspect.isfunction(value) and not name.startswith("_")]


@pytest.fixture
def bindings(monkeypatch):
    """The library with the stand-in; a memory's address is one of the host's."""
    found = Bindings()
    held = blas.Library(found, 4096)
    monkeypatch.setattr(blas, "_loaded", lambda: held)
    monkeypatch.setattr(blas, "native", lambda memory: (7, memory.bytes._ary.ctypes.data))
    return found


@pytest.fixture
def any_size(monkeypatch):
    """However small a product is."""
    for name in ("LEAST_WORK", "LEAST_EACH", "LEAST_TERMS"):
        monkeypatch.setattr(products, name, 1)


# ---- one product, without a GPU -----------------------------------------------------------------------------------
ORDERS = ("rows", "columns", "rows with gaps", "columns with gaps")


def operand(rng, letter, loops, rows, count, order, kept, at):
    """Memory of a matrix in a layout, and strides. kept: loops that have one, in the order they lie in."""
    inner = [rows, count] if order.startswith("rows") else [count, rows]
    lies = [loops[d] for d in kept] + inner
    lies[-1] += 3 * order.endswith("gaps")
    memory = rng.standard_normal(math.prod(lies) + at).astype(TYPES[letter][0])
    strides = np.array([math.prod(lies[d + 1 :]) for d in range(len(lies))]) * memory.itemsize
    full = [0] * len(loops)
    for d, s in zip(kept, strides, strict=False):
        full[d] = int(s)
    ends = strides[-2:] if order.startswith("rows") else strides[:-3:-1]
    return memory, (*full, *map(int, ends))


def one(rng, letter, extents, loops, orders, kept, adds):
    """A product in one memory: operands, what they hold, what is expected."""
    m, n, k = extents
    shapes, pieces, sides, arrays, begin = [(m, k), (k, n), (m, n)], [], [], [], 0
    for (rows, count), order, loop in zip(shapes, orders, kept, strict=True):
        memory, told = operand(rng, letter, loops, rows, count, order, loop, 2)
        sides.append(Operand(letter, Address(begin + 2 * memory.itemsize), told))
        pieces.append(memory)
        begin += memory.nbytes
    held = np.concatenate(pieces)
    for o, (rows, count) in zip(sides, shapes, strict=True):
        arrays.append(
            np.lib.stride_tricks.as_strided(held[o.address.offset // held.itemsize :], (*loops, rows, count), o.strides)
        )
    expected = np.matmul(arrays[0].copy(), arrays[1].copy()) + (arrays[2] if adds else 0)
    return held, sides, arrays[2], expected


def run(held, calls):
    memory = SimpleNamespace(bytes=SimpleNamespace(_ary=held), stream=7)
    blas.Calls(calls, 256).run(memory)


def drawn():
    rng = np.random.default_rng(11)
    for case in range(240):
        loops = [int(v) for v in rng.integers(1, 5, rng.integers(0, 4))]
        extents = tuple(int(v) for v in rng.integers(1, 9, 3))
        orders = tuple(ORDERS[i] for i in rng.integers(0, 4, 3))
        kept = []
        for o in range(3):  # loops in any order; A and B may lack some
            order = rng.permutation(len(loops)).tolist() if rng.random() < 0.5 else list(range(len(loops)))
            kept.append([d for d in order if o == 2 or rng.random() < 0.7])
        yield case, "df"[case % 2], extents, loops, orders, kept, bool(rng.integers(0, 2))


@pytest.mark.parametrize("simplified", [False, True])
def test_against_numpy(simplified, bindings, monkeypatch):
    """Rows and columns, with and without gaps, loops in any order and repeated operands, added or not; nothing else is written."""
    monkeypatch.setattr(blas, "MOST_TOGETHER", 3)
    monkeypatch.setattr(blas, "MOST_CALLS", 32)
    rng, handed = np.random.default_rng(12), 0
    for case, letter, extents, loops, orders, kept, adds in drawn():
        held, sides, result, expected = one(rng, letter, extents, loops, orders, kept, adds)
        before, sizes = held.copy(), loops
        inside = np.zeros(held.shape, bool)
        at = sides[2].address.offset // held.itemsize
        np.lib.stride_tricks.as_strided(inside[at:], result.shape, [s // held.itemsize for s in sides[2].strides])[
            ...
        ] = True
        if simplified:
            extents, sizes, sides = products.joined(extents, sizes, sides)
        calls = blas.gemms(extents, sizes, sides, adds)
        if not calls:
            continue
        handed += 1
        run(held, calls)
        np.testing.assert_allclose(
            result, expected, rtol=1e-4 if letter == "f" else 1e-12, atol=1e-5, err_msg=f"case {case}"
        )
        assert (held[~inside] == before[~inside]).all()
    assert handed >= 220


def test_loops_become_rows_and_columns():
    """x[p, i, :] @ w is one product of p·i rows; so with columns; loops that an operand lacks in between stay."""
    strides = [(80 * 5, 80, 8), (0, 48, 8), (48 * 5, 48, 8)]
    sides = [Operand("d", Address(0), s) for s in strides]
    extents, sizes, made = products.joined((5, 6, 10), (7,), sides)
    assert (extents, sizes) == ([35, 6, 10], []) and [o.strides for o in made] == [s[1:] for s in strides]
    turned = [Operand("d", Address(0), s) for s in ((0, 8, 48), (80 * 5, 8, 80), (48 * 5, 8, 48))]
    assert products.joined((6, 5, 10), (7,), turned)[:2] == ([6, 35, 10], [])
    apart = [o._replace(strides=(80 * 5, *o.strides)) for o in sides]  # w differs from one of them to the next
    assert products.joined((5, 6, 10), (3, 7), apart)[:2] == ([35, 6, 10], [3])


def plain(*shape):
    return tuple(8 * math.prod(shape[d + 1 :]) for d in range(len(shape)))


FINE = [plain(4, 6), plain(6, 5), plain(4, 5)]
UNFIT = {
    "gaps both ways": ((4, 5, 6), (), [(96, 16), FINE[1], FINE[2]]),
    "repeated rows": ((4, 5, 6), (), [(0, 8), FINE[1], FINE[2]]),
    "repeated elements": ((4, 5, 6), (), [(0, 0), FINE[1], FINE[2]]),
    "backwards": ((4, 5, 6), (), [(-48, 8), FINE[1], FINE[2]]),
    "loops backwards": ((4, 5, 6), (3,), [(-192, *FINE[0]), (0, *FINE[1]), (160, *FINE[2])]),
    "one result for all": ((4, 5, 6), (3,), [(192, *FINE[0]), (0, *FINE[1]), (0, *FINE[2])]),
    "no terms": ((4, 5, 0), (), FINE),
    "no rows": ((0, 5, 6), (), FINE),
    "many calls": ((4, 5, 6), (17, 18), [(192, 0, *FINE[0]), (0, 240, *FINE[1]), (160 * 18, 160, *FINE[2])]),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_not_handed_over(name, monkeypatch):
    monkeypatch.setattr(blas, "MOST_CALLS", 16)
    extents, sizes, strides = UNFIT[name]
    assert blas.gemms(extents, sizes, [Operand("d", Address(0), s) for s in strides], False) == []


def test_addresses_of_the_device_are_not_handed_over():
    sides = [Operand("d", Address(0, word), s) for word, s in zip((0, 4, 0), FINE, strict=True)]
    assert blas.gemms((4, 5, 6), (), sides, False) == []
    assert len(blas.gemms((4, 5, 6), (), [o._replace(address=Address(0)) for o in sides], False)) == 1


def test_many_matrices_in_several_calls(monkeypatch):
    monkeypatch.setattr(blas, "MOST_TOGETHER", 4)
    sides = [Operand("d", Address(8), s) for s in ((192, *FINE[0]), (240, *FINE[1]), (160, *FINE[2]))]
    calls = blas.gemms((4, 5, 6), (10,), sides, True)
    assert [c.count for c in calls] == [4, 4, 2]
    # in rows, so B comes first
    assert [c.at for c in calls] == [(8 + 960 * p, 8 + 768 * p, 8 + 640 * p) for p in range(3)]


def test_not_a_number_is_passed_on(bindings):
    """What a result is written over does not matter, what it is added to does."""
    rng = np.random.default_rng(0)
    for adds in (False, True):
        held, sides, result, _ = one(rng, "d", (3, 4, 5), [], ("rows",) * 3, [[], [], []], adds)
        result[1, 2] = np.nan
        run(held, blas.gemms((3, 4, 5), (), sides, adds))
        assert np.isnan(result).sum() == adds
        held[sides[0].address.offset // 8] = np.inf
        run(held, blas.gemms((3, 4, 5), (), sides, False))
        assert not np.isfinite(result[0]).any() and np.isfinite(result[1:]).all()


def test_failure_says_what_was_to_be_computed(bindings):
    rng = np.random.default_rng(0)
    held, sides, *_ = one(rng, "d", (3, 4, 5), [], ("columns",) * 3, [[], [], []], False)
    bindings.fails = True
    with pytest.raises(
        UnavailableError, match=r"cuBLAS failed in products of 3×5 and 5×4 matrices: CUBLAS_STATUS_ALLOC"
    ) as caught:
        run(held, blas.gemms((3, 4, 5), (), sides, False))
    assert "pip uninstall nvmath-python" in str(caught.value)
    bindings.fails = False
    run(held, blas.gemms((3, 4, 5), (), sides, False))
    assert len(bindings.handles) == 1  # that of the call that failed


def test_handles_are_for_one_thread_at_a_time(bindings):
    library = blas.library()
    with library.handle(1, 256) as first, library.handle(2, 512) as second:
        assert first != second
        assert [bindings.handles[h - 1].stream for h in (first, second)] == [1, 2]
        assert [bindings.handles[h - 1].workspace for h in (first, second)] == [(256, 4096), (512, 4096)]
    with library.handle(3, 256) as third:
        assert third in (first, second)
    assert len(bindings.handles) == 2


def test_stream_and_address(monkeypatch):
    """Of Numba's own streams, and the default one's number."""
    array = SimpleNamespace(__cuda_array_interface__={"data": (4096, False)})
    assert blas.native(SimpleNamespace(stream=0, bytes=array)) == (0, 4096)
    monkeypatch.setenv("NUMBA_CUDA_PER_THREAD_DEFAULT_STREAM", "1")
    assert blas.native(SimpleNamespace(stream=0, bytes=array)) == (2, 4096)
    if not package().simulated and package().name.startswith("numba-cuda"):
        stream = import_module("numba.cuda.cudadrv.driver").Stream(12345)
        assert blas.native(SimpleNamespace(stream=stream, bytes=array)) == (12345, 4096)


def test_without_the_library_the_reason_is_said(monkeypatch):
    blas._loaded.cache_clear()
    if not blas.problem():
        assert "cuBLAS" in blas.state()
        return
    assert "kernels of diffkit's own" in blas.state() and blas.problem() in blas.state()
    with pytest.raises(UnavailableError):
        blas.library()


def test_state_with_the_library(bindings, monkeypatch):
    monkeypatch.setattr(blas, "version", lambda name: "1.0.0")
    assert blas.state() == "products of matrices by cuBLAS 13.1 (nvmath-python 1.0.0)"


# ---- the real bindings --------------------------------------------------------------------------------------------
@pytest.mark.skipif(find_spec("nvmath") is None, reason="nvmath-python is not installed")
@pytest.mark.parametrize("name", USED)
def test_real_signature(name):
    """The first line of a function's text is its declaration."""
    real = getattr(import_module("nvmath.bindings.cublas"), name)
    declared = real.__doc__.splitlines()[0].split("(", 1)[1].split(")")[0]
    names = [p.split()[-1] for p in declared.split(", ") if p]
    assert names == list(inspect.signature(getattr(Bindings(), name)).parameters)


@pytest.mark.skipif(find_spec("nvmath") is None, reason="nvmath-python is not installed")
@pytest.mark.parametrize("mode", [Bindings.PointerMode, Bindings.Math, Bindings.AtomicsMode], ids=lambda m: m.__name__)
def test_real_modes(mode):
    real = getattr(import_module("nvmath.bindings.cublas"), mode.__name__)
    assert all(getattr(real, member.name) == member for member in mode)
    operation = import_module("nvmath.bindings.cublas").Operation
    assert (operation.N, operation.T) == (False, True)  # as which they are told


# ---- tapes, on a GPU or in the simulator --------------------------------------------------------------------------
gpu = pytest.mark.gpu
simulated = pytest.mark.skipif(
    bool(missing()) or not package().simulated, reason="NUMBA_ENABLE_CUDASIM=1 runs this in the simulator"
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::Warning:numba"),
]


class Arrays:
    def __init__(self, name, executable):
        self.name, self.compile = name, executable


CPU, CUDA = Arrays("cpu arrays", ArrayExecutable), Arrays("cuda arrays", CudaArrayExecutable)


def same(f, *values, loop=(), tolerance=1e-11):
    """The value and the gradient on both machines; the first argument is given for every point of a loop."""
    inputs = [dk.symbol(f"x{k}", shape=v.shape, dtype=str(v.dtype)) for k, v in enumerate(values)]
    program = find_engine("reverse").program(record(f(*inputs), inputs), range(len(values)))
    rng = np.random.default_rng(1)
    given = [(rng.uniform(0.9, 1.1, (*loop, *values[0].shape)) * values[0]).astype(values[0].dtype), *values[1:]]
    found = []
    for machine in (CUDA, CUDA, CPU):
        outputs, blocks = program.on(machine)(given)
        found.append([np.asarray(a) for a in (*outputs, *(b for row in blocks for b in row))])
    for a, again, expected in zip(*found, strict=True):
        assert (a.shape, a.dtype) == (expected.shape, expected.dtype) and a.tobytes() == again.tobytes()
        np.testing.assert_allclose(a, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max(initial=0))


TAPES = {
    "one": lambda x, y: dk.sum(dk.sin(x @ y)),
    "turned": lambda x, y: dk.sum(dk.sin(dk.transpose(y) @ dk.transpose(x))),
    "of columns": lambda x, y: dk.sum(dk.sin(dk.transpose(dk.transpose(x) * 2.0) @ y)),
    "with a vector": lambda x, y: dk.sum(dk.sin(x @ y[:, 0])),
}


@simulated
@gpu
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", TAPES)
def test_tapes_with_the_stand_in(name, dtype, bindings, any_size):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((3, 7)).astype(dtype), rng.standard_normal((7, 4)).astype(dtype)
    for loop in ((), (5,)):
        bindings.products.clear()
        same(TAPES[name], x, y, loop=loop, tolerance=1e-4 if dtype == "float32" else 1e-11)
        assert bindings.products and all(stream == 7 for stream, *_ in bindings.products)


@simulated
@gpu
def test_batches_with_the_stand_in(bindings, any_size):
    rng = np.random.default_rng(4)
    same(lambda x, y: dk.sum(dk.sin(x @ y)), rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 5, 2)))
    assert all(count == 4 for *_, count in bindings.products)
    bindings.products.clear()
    same(lambda x, y: dk.sum(dk.sin(x @ y)), rng.standard_normal((4, 3, 5)), rng.standard_normal((5, 2)))
    assert any(12 in extents for *_, extents, _ in bindings.products)  # one product, for all of the batch


@simulated
@gpu
def test_workspace_is_a_part_of_the_memory(bindings, any_size, monkeypatch):
    """One for all products of a program; cuBLAS asks for a multiple of 256 bytes."""
    used = []
    monkeypatch.setattr(blas, "native", lambda memory: used.append(memory) or (7, memory.bytes._ary.ctypes.data))
    rng = np.random.default_rng(4)
    same(lambda x, y: dk.sum(dk.sin(x @ y) @ dk.transpose(y)), rng.standard_normal((6, 5)), rng.standard_normal((5, 8)))
    places = set()
    for memory, (_, (workspace, size), *_) in zip(used, bindings.products, strict=True):
        places.add(workspace - memory.bytes._ary.ctypes.data)
        assert size == 4096 and 0 <= max(places) <= memory.layout.size - size
    assert len(used) > 4 and len(places) == 1 and not max(places) % 256


@simulated
@gpu
def test_loops_keep_to_our_kernels_where_addresses_change(bindings, any_size):
    rng = np.random.default_rng(5)

    def f(w, xs, h):
        last, _ = dk.scan(lambda h, x: (dk.tanh(w @ h + x), dk.sum(h)), h, xs)
        return dk.sum(last)

    same(f, rng.standard_normal((5, 5)) / 3, rng.standard_normal((6, 5)), rng.standard_normal(5))


@simulated
@gpu
def test_small_products_stay_with_our_kernels(bindings):
    rng = np.random.default_rng(4)
    same(TAPES["one"], rng.standard_normal((3, 40)), rng.standard_normal((40, 4)))
    assert not bindings.products


@gpu
@pytest.mark.skipif(bool(missing()), reason=missing() or "-")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_terms_in_parts(dtype, monkeypatch):
    """Without cuBLAS, few tiles of many terms: a rest, loops, what is added."""
    monkeypatch.setattr(blas, "_loaded", lambda: "not for this test")
    monkeypatch.setattr(products, "PART", 8)
    monkeypatch.setattr(products, "BLOCKS", 12)
    monkeypatch.setattr(products, "FEW_TERMS", 4)
    monkeypatch.setattr(products, "TILE", 4)
    parts = []
    tiles = products._in_tiles
    monkeypatch.setattr(products, "_in_tiles", lambda w, *told: (parts.append((told[0][2], *told[1])), tiles(w, *told)))
    rng = np.random.default_rng(6)
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    x, y = rng.standard_normal((3, 29)).astype(dtype), rng.standard_normal((29, 2)).astype(dtype)
    same(TAPES["of columns"], x, y, loop=(2,), tolerance=tolerance)
    batch = rng.standard_normal((2, 3, 29)).astype(dtype), rng.standard_normal((2, 29, 2)).astype(dtype)
    same(lambda x, y: dk.sum(dk.sin(x @ y)), *batch, tolerance=tolerance)
    # of 29 terms, two times 12 and 5; for one product and for two
    assert {(12, 2), (5,), (12, 2, 2), (5, 2)} <= set(parts)


# ---- the library itself -------------------------------------------------------------------------------------------
@gpu
@pytest.mark.skipif(
    bool(missing()) or package().simulated or bool(blas.problem()),
    reason="needs a GPU and cuBLAS through nvmath-python",
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_with_cublas(dtype, any_size):
    """Against the cpu machine, twice with the same bits: tapes, batches, and singles without TF32, whose products are exact in 24
    bits but not in 11."""
    rng = np.random.default_rng(7)
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    x, y = rng.standard_normal((130, 257)).astype(dtype), rng.standard_normal((257, 65)).astype(dtype)
    for name in TAPES:
        same(TAPES[name], x, y, loop=(3,), tolerance=tolerance)
    batch = rng.standard_normal((9, 30, 50)).astype(dtype), rng.standard_normal((9, 50, 20)).astype(dtype)
    same(lambda x, y: dk.sum(dk.sin(x @ y)), *batch, tolerance=tolerance)
    a, b = dk.symbol("a", shape=(256, 256), dtype=dtype), dk.symbol("b", shape=(256, 256), dtype=dtype)
    exact = rng.integers(2**11, 2**12, (256, 256)) * np.eye(256)
    (found,) = CUDA.compile(record(a @ b, [a, b]))([exact.astype(dtype), exact.T.astype(dtype)])
    assert (found == exact @ exact.T).all()
