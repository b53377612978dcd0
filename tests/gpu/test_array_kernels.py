"""The kernels of array programs compiled for real, for GPUs of three generations. No GPU takes part."""

import numpy as np
import pytest

from diffkit.errors import UnavailableError
from diffkit.machines.cpu.arrays.compiling.groups import Body, Pointer
from diffkit.machines.cuda.arrays import moving, multiplying, products, sources
from diffkit.machines.cuda.arrays.launches import bound
from diffkit.machines.cuda.arrays.sources import Fold
from diffkit.machines.cuda.assembling import GENERATIONS, assembled, assembler, kinds
from diffkit.machines.cuda.elementwise import function
from diffkit.machines.cuda.package import package

try:
    assembler()
except UnavailableError as missing:
    pytest.skip(f"kernels are not compiled here: {missing}", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore::Warning:numba")
#: registers of a thread: a block of launches.BLOCK threads has 255 for each
MOST = 224

types = kinds()
NAMED = {
    "d": types.float64[::1],
    "f": types.float32[::1],
    "b": types.uint8[::1],
    "w": types.int64[::1],
    "i": types.int64,
}


def check(kernel, given, generation):
    ptx, _ = package().cuda.compile_ptx(kernel, tuple(NAMED[g] for g in given), cc=generation)
    found = assembled(ptx, generation)
    assert (found.stack, found.spilled) == (0, 0) and found.registers <= MOST


def pointer(letter, read):
    return Pointer(letter, False, read)


WRITTEN = [
    (sources.each, Body((pointer("b", True), pointer("b", False)), (), ((1, -1),)), 1),
    (sources.each, Body((pointer("f", True), pointer("b", False)), (("equal_f", (-1, -1)),), ((1, 0),)), 3),
    (
        sources.each,
        Body(
            (pointer("d", True), pointer("b", True), pointer("d", False)),
            (("exp_d", (-1,)), ("where_d", (-2, 0, -1))), ((2, 1),),
        ),
        2,
    ),
    (sources.sequence, Fold("fold_wide_f", "zero", "f"), 1, 2),
    (sources.sequence, Fold("fold_product_d", "memory", "d"), 1, 1),
    (sources.sequence, Fold("fold_maximum_f", "first", "f"), 2, 1),
    (sources.tree, Fold("fold_wide_f", "zero", "f"), 1, 2, sources.TREE),
    (sources.tree, Fold("fold_add_d", "zero", "d", True), 2, 1, sources.TREE),
    (sources.tree, Fold("fold_minimum_d", "first", "d"), 1, 1, sources.TREE),
]  # fmt: skip
BOUND = [
    *((moving.take, {}, f"{t}iwi") for t in "dfb"),
    *((moving.add_at, {}, f"{t}iwi") for t in "df"),
    *((moving.gather, {"MOVES": True}, f"{t}idwi") for t in "dfb"),
    *((moving.scatter_add, {"CONDITIONS": t == "b"}, f"{t}i{wide}idwii") for t, wide in ("dd", "fd", "bb")),
    (moving.note, {}, "dwii"),
    (moving.step, {}, "wiiiiii"),
    *((moving.copy, {}, f"{t}i{u}ii") for t, u in ("dd", "df", "bb")),
    *(
        (multiplying.tiled, {"KIND": kind, "TILE": products.TILE, "ADDS": adds}, f"{t}iwi")
        for t, kind in (("d", np.float64), ("f", np.float32))
        for adds in (False, True)
    ),
]
generations = pytest.mark.parametrize("generation", [GENERATIONS[0], GENERATIONS[-1]], ids=lambda g: f"sm_{g[0]}{g[1]}")


@generations
@pytest.mark.parametrize("key", WRITTEN, ids=lambda k: f"{k[0].__name__}-{k[2:]}")
def test_written(key, generation):
    make, *rest = key
    check(function(make(*rest), package()), "dfbwi", generation)


@generations
@pytest.mark.parametrize(("kernel", "names", "given"), BOUND, ids=lambda v: getattr(v, "__name__", str(v)))
def test_bound(kernel, names, given, generation):
    check(bound(kernel, **names), given, generation)
