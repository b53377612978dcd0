"""Matrix products in tiles of registers, against sums written out."""

from itertools import product

import numpy as np
import pytest
from helpers import NUMPY
from numba import njit

import diffkit as dk
from diffkit.engines.reverse import adjoint_tape
from diffkit.expr.node import variable
from diffkit.machines.cpu.arrays import ArrayExecutable
from diffkit.machines.cpu.arrays.interpreting.tiling import (
    DEPTH,
    FEW,
    LEAST,
    MOST,
    PANEL_BYTES,
    in_tiles,
    multiply,
    table,
)
from diffkit.machines.cpu.arrays.memory import address_of, zeroed
from diffkit.machines.cpu.arrays.opcodes import LEAST_TILED, SCRATCH
from diffkit.machines.cpu.emit import has_masks
from diffkit.tape import record

TILES = pytest.mark.skipif(not has_masks(), reason="tiles need vectors of 512 bits with masks")

DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])
#: which of A, B and C lie by columns
LAYOUTS = list(product((False, True), repeat=3))
GUARD = 64


def laid(values, by_columns, gap=0):
    """The values in memory of NaNs, with gaps between rows or columns; the memory, its begin, strides in bytes."""
    rows, columns = values.shape
    line = (rows if by_columns else columns) + gap
    memory = np.full(line * (columns if by_columns else rows) + 2 * GUARD, np.nan, values.dtype)
    strides = (1, line) if by_columns else (line, 1)
    inside(memory, values.shape, [s * values.itemsize for s in strides])[...] = values
    return memory, address_of(memory) + GUARD * values.itemsize, [s * values.itemsize for s in strides]


def inside(memory, shape, strides):
    return np.lib.stride_tricks.as_strided(memory[GUARD:], shape, strides)


def multiplied(a, b, c, layout, add, gap=0):
    """C = A·B or C + A·B in tiles. Nothing around C, and nothing behind the scratch memory, is written to."""
    scratch, at = zeroed(PANEL_BYTES + 64)
    fence = scratch[at - address_of(scratch) + PANEL_BYTES :]
    fence[:] = 171
    (m, k), n, dtype = a.shape, b.shape[1], a.dtype
    held, places = [], []
    for values, by_columns in zip((a, b, c), layout, strict=True):
        memory, place, strides = laid(values, by_columns, gap)
        held.append(memory)
        places += [place, *strides]
    expected = held[2].copy()
    multiply(
        address_of(table("tiles_d" if dtype == np.float64 else "tiles_f")),
        dtype.itemsize,
        m,
        n,
        k,
        *places,
        int(add),
        at,
    )
    found = inside(held[2], (m, n), strides).copy()
    inside(expected, (m, n), strides)[...] = found
    np.testing.assert_array_equal(held[2], expected)
    assert (fence == 171).all()
    return found


def whole_numbers(rng, *shape, dtype):
    """Sums of products of these are exact."""
    return rng.integers(-4, 5, shape).astype(dtype)


@TILES
@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("k", [1, 2, 7, 16, 33, DEPTH, DEPTH + 1, 3 * DEPTH - 5])
def test_every_shape(k, layout, dtype):
    rng = np.random.default_rng(k)
    a, b, c = (whole_numbers(rng, *s, dtype=dtype) for s in ((70, k), (k, 40), (70, 40)))
    exact = a.astype(np.int64) @ b.astype(np.int64)
    step = 1 if k == 7 else 6
    for m, n in product((*range(1, 41, step), 70), range(1, 41, step)):
        found = multiplied(a[:m], b[:, :n], c[:m, :n], layout, (m + n) % 2, gap=m % 3)
        np.testing.assert_array_equal(found, exact[:m, :n] + (c[:m, :n] if (m + n) % 2 else 0))


@TILES
@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_many_rows(layout, dtype):
    """Rows of several tiles are turned at once where the sum is short, as many as scratch memory holds."""
    rng = np.random.default_rng(5)
    for k in (*range(1, 50, 3), 63, 64, 65, DEPTH - 1, DEPTH):
        for m, n in ((500, 2), (3, 500)):
            a, b, c = (whole_numbers(rng, *s, dtype=dtype) for s in ((m, k), (k, n), (m, n)))
            np.testing.assert_array_equal(multiplied(a, b, c, layout, True), c + a @ b)


@TILES
@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_rounding(layout, dtype):
    """Within k units of the sum of magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, 3.5)."""
    rng = np.random.default_rng(0)
    for m, n, k in ((33, 70, 5), (50, 21, 130), (9, 11, 2000), (130, 64, 300)):
        a, b, c = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (m, n)))
        wide = np.longdouble
        exact = c.astype(wide) + a.astype(wide) @ b.astype(wide)
        bound = (k + 1) * np.finfo(dtype).eps * (np.abs(c) + np.abs(a).astype(wide) @ np.abs(b).astype(wide))
        assert (np.abs(multiplied(a, b, c, layout, True) - exact) <= bound).all()


@TILES
@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_what_is_no_number_goes_through(layout, dtype):
    rng = np.random.default_rng(1)
    for m, n, k in ((19, 23, 9), (40, 6, 140)):
        a, b, c = (whole_numbers(rng, *s, dtype=dtype) for s in ((m, k), (k, n), (m, n)))
        a[3, 2], a[m - 1, k - 1], b[1, 5], c[0, 0] = np.nan, np.inf, -np.inf, np.nan
        b[2, 0] = b[k - 1, 4] = 0.0
        with np.errstate(invalid="ignore"):
            exact = (a[:, :, None] * b).sum(1)
            np.testing.assert_array_equal(multiplied(a, b, c, layout, False), exact)
            np.testing.assert_array_equal(multiplied(a, b, c, layout, True), c + exact)


@TILES
@DTYPES
def test_bits_are_those_of_any_part(dtype):
    """An entry depends on its row and its column alone, not on how the matrices lie or what is computed beside it."""
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((90, 333)).astype(dtype), rng.standard_normal((333, 75)).astype(dtype)
    c = np.zeros((90, 75), dtype)
    whole = multiplied(a, b, c, LAYOUTS[0], False)
    for layout in LAYOUTS[1:]:
        np.testing.assert_array_equal(multiplied(a, b, c, layout, False), whole)
    for i, j, m, n in ((0, 0, 1, 1), (32, 0, 32, 75), (3, 17, 50, 9), (0, 64, 90, 11)):
        part = multiplied(a[i : i + m], b[:, j : j + n], c[i : i + m, j : j + n], LAYOUTS[3], False)
        np.testing.assert_array_equal(part, whole[i : i + m, j : j + n])


@TILES
def test_which_products():
    rule, place = njit(in_tiles), address_of(table("tiles_d"))
    chosen = lambda m, n, k, ak=8, bk=72: rule(place, m, n, k, ak, bk, 8)
    assert not chosen(0, 40, 40) and not chosen(40, 40, 0)
    side = round(LEAST ** (1 / 3))
    assert not chosen(side, side, side) and chosen(side, side, side + 1)
    assert chosen(1000, MOST // 1000, 1) and not chosen(1001, MOST // 1000, 1)
    few = LEAST_TILED // FEW
    assert chosen(FEW, 2, few, 8, 8) and not chosen(FEW, 2, few, 8, 72) and not chosen(FEW, 1, few + 1, 8, 8)
    assert not rule(address_of(table("gemm_d")), 200, 200, 200, 8, 8, 8)  # as on a processor without masks


def test_programs_of_small_products_do_without_tiles():
    symbols = lambda *shapes: (
        ArrayExecutable(record(dk.tanh(variable("x", shapes[0]) @ variable("w", shapes[1])))).point().program.symbols
    )
    assert "gemm_d" in symbols((50, 20), (20, 30)) and "tiles_d" in symbols((500, 90), (90, 30))


def test_scratch_memory_is_enough():
    assert PANEL_BYTES <= SCRATCH


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_programs(dtype):
    """A layer over blocks of lanes, with the derivatives by weights and inputs, and a product of whole matrices; the bits of any
    number of threads."""
    x, w, v = (variable(name, s, dtype) for name, s in (("x", (700, 150)), ("w", (150, 90)), ("v", (90, 700))))
    tape = record(dk.sum(dk.tanh(x @ w / 12.0)) + dk.sum(dk.cos(w @ v)), [x, w, v])
    rng = np.random.default_rng(3)
    values = [rng.standard_normal(i.shape).astype(dtype) for i in (x, w, v)]
    bound = 1e-10 if dtype == "float64" else 2e-3
    for each, given in ((tape, values), (adjoint_tape(tape, range(3)), [*values, np.ones((), dtype)])):
        results = []
        for threads in (1, 2, 3):
            dk.set_threads(threads)
            results.append(ArrayExecutable(each)(given))
        dk.set_threads(None)
        for *found, expected in zip(*results, NUMPY.compile(each)(given), strict=True):
            np.testing.assert_allclose(found[0], expected, rtol=bound, atol=bound)
            for other in found[1:]:
                np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("n", [8, 24, 96, 300])
def test_subnormal_singles_count_as_zero_in_products_and_nowhere_else(n):
    """Or they take some fifty times as long. n: from loops by way of tiles to BLAS; loops keep them."""

    def times(dtype, *values):
        x, y = (variable(name, (n, n), dtype) for name in "xy")
        return ArrayExecutable(record(x @ y, [x, y]))(values)[0]

    eye, small = np.eye(n, dtype="float32"), np.full((n, n), 1e-40, "float32")
    assert (np.abs(times("float32", eye, small) - small) <= np.finfo("float32").tiny).all()
    np.testing.assert_array_equal(times("float32", eye, np.full_like(small, 2e-38)), np.float32(2e-38))
    tiny = np.full((n, n), 1e-310)
    np.testing.assert_array_equal(times("float64", np.eye(n), tiny), tiny)
    assert np.float32(1e-38) * np.float32(0.1) > 0  # the thread goes on as it was
