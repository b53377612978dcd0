"""Products of one large matrix with several vectors, made one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..expr.kind import Kind
from ..ops import TABLE
from .tape import Builder

_CONCATENATE, _GETITEM, _MATMUL, _RESHAPE, _TRANSPOSE = (
    TABLE[n] for n in ("concatenate", "getitem", "matmul", "reshape", "transpose")
)
#: a matrix of at least so many elements is read once for all vectors rather than once for each (measured: no slower from 2 vectors
#: on; from 32 on 1.5 times as fast, and 6 times where the matrix lies outside the cache)
LARGE_MATRIX = 2**14


def meets_large_matrix(builder: Builder, kind: Kind, args: tuple[int, ...], moving: int) -> bool:
    """Whether `kind` is the product of a vector, its operand number `moving`, with a large matrix."""
    if kind.op is not _MATMUL or any(len(builder.kinds[a].shape) != 2 for a in args):
        return False
    return kind.shape[moving] == 1 and math.prod(builder.kinds[args[1 - moving]].shape) >= LARGE_MATRIX


def product_of_each(
    builder: Builder, kind: Kind, args: tuple[int, ...], moving: int, vectors: Sequence[int | None]
) -> list[int | None]:
    """Such a product with each of these vectors (some of them None) in the operand's place: they are rows of one more matrix."""
    emit, matrix = builder.emit, args[1 - moving]
    row = (("shape", (1, math.prod(builder.kinds[args[moving]].shape))),)
    rows = tuple(emit(_RESHAPE, row, (v,)) for v in vectors if v is not None)
    if moving == 1:
        matrix = emit(_TRANSPOSE, (("axes", (-1, -2)),), (matrix,))
    product = emit(_MATMUL, (), (emit(_CONCATENATE, (("axis", -2),), rows), matrix))
    found: list[int | None] = []
    begin = 0
    for v in vectors:
        if v is None:
            found.append(None)
            continue
        index = (("slice", begin, begin + 1, None), ("slice", None, None, None))
        found.append(emit(_RESHAPE, (("shape", kind.shape),), (emit(_GETITEM, (("index", index),), (product,)),)))
        begin += 1
    return found
