"""The interpreter: for every block of points, every instruction over the whole block.

A block's registers lie in one workspace, core-major and lane-minor: register r of a value with d core elements is
d rows of `block` lanes. Offsets are in bytes a lane, so an address is base + offset · block.

Code rows: (opcode, kernel address, dst, a, b, c, rows, table start, table length), all int64.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

CALL, COPY, FOLD, PRODUCT, ADD = 0, 1, 2, 3, 4
COLUMNS = 9


@intrinsic
def _call(typingctx, address, dst, a, b, c, n):  # type: ignore[no-untyped-def]
    """Call the kernel at an address."""
    signature = types.void(types.int64, types.int64, types.int64, types.int64, types.int64, types.int64)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        pointer, word = ir.PointerType(ir.IntType(8)), ir.IntType(64)
        function = ir.FunctionType(ir.VoidType(), [pointer] * 4 + [word])
        target = builder.inttoptr(args[0], function.as_pointer())
        builder.call(target, [builder.inttoptr(x, pointer) for x in args[1:5]] + [args[5]])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _pointer(typingctx, address):  # type: ignore[no-untyped-def]
    """An address as a pointer that carray takes."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


_KERNEL = "(int64[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1], uint8[::1], int64, int64, int64, int64)"


@njit("(int64, int64, int64, int64, int64, int64, int64)", nogil=True, cache=True)
def _load(source, target, size, rows, lane, count, block):  # type: ignore[no-untyped-def]
    """(points, rows) of the caller to (rows, block) of the workspace."""
    if size == 8:
        s8, t8 = (
            carray(_pointer(source), (lane + count) * rows, np.uint64),
            carray(_pointer(target), rows * block, np.uint64),
        )
        for k in range(count):
            for r in range(rows):
                t8[r * block + k] = s8[(lane + k) * rows + r]
    elif size == 4:
        s4, t4 = (
            carray(_pointer(source), (lane + count) * rows, np.uint32),
            carray(_pointer(target), rows * block, np.uint32),
        )
        for k in range(count):
            for r in range(rows):
                t4[r * block + k] = s4[(lane + k) * rows + r]
    else:
        s1, t1 = (
            carray(_pointer(source), (lane + count) * rows, np.uint8),
            carray(_pointer(target), rows * block, np.uint8),
        )
        for k in range(count):
            for r in range(rows):
                t1[r * block + k] = s1[(lane + k) * rows + r]


@njit("(int64, int64, int64, int64, int64, int64, int64)", nogil=True, cache=True)
def _store(source, target, size, rows, lane, count, block):  # type: ignore[no-untyped-def]
    """(rows, block) of the workspace to (points, rows) of the caller."""
    if size == 8:
        s8, t8 = (
            carray(_pointer(source), rows * block, np.uint64),
            carray(_pointer(target), (lane + count) * rows, np.uint64),
        )
        for k in range(count):
            for r in range(rows):
                t8[(lane + k) * rows + r] = s8[r * block + k]
    elif size == 4:
        s4, t4 = (
            carray(_pointer(source), rows * block, np.uint32),
            carray(_pointer(target), (lane + count) * rows, np.uint32),
        )
        for k in range(count):
            for r in range(rows):
                t4[(lane + k) * rows + r] = s4[r * block + k]
    else:
        s1, t1 = (
            carray(_pointer(source), rows * block, np.uint8),
            carray(_pointer(target), (lane + count) * rows, np.uint8),
        )
        for k in range(count):
            for r in range(rows):
                t1[(lane + k) * rows + r] = s1[r * block + k]


@njit("(int64, int64, int64, int64, int64)", nogil=True, cache=True)
def _spread(source, target, size, rows, block):  # type: ignore[no-untyped-def]
    """One value a row, repeated over the lanes."""
    if size == 8:
        s8, t8 = carray(_pointer(source), rows, np.uint64), carray(_pointer(target), rows * block, np.uint64)
        for r in range(rows):
            for k in range(block):
                t8[r * block + k] = s8[r]
    elif size == 4:
        s4, t4 = carray(_pointer(source), rows, np.uint32), carray(_pointer(target), rows * block, np.uint32)
        for r in range(rows):
            for k in range(block):
                t4[r * block + k] = s4[r]
    else:
        s1, t1 = carray(_pointer(source), rows, np.uint8), carray(_pointer(target), rows * block, np.uint8)
        for r in range(rows):
            for k in range(block):
                t1[r * block + k] = s1[r]


@njit("(int64, int64, int64)", nogil=True, cache=True)
def _copy(target, source, size):  # type: ignore[no-untyped-def]
    s, t = carray(_pointer(source), size, np.uint8), carray(_pointer(target), size, np.uint8)
    for i in range(size):
        t[i] = s[i]


@njit(_KERNEL, nogil=True, cache=True)
def interpret(code, table, inputs, outputs, workspace, block, begin, end, step):  # type: ignore[no-untyped-def]
    """Run the code over the points of chunks begin, begin + step, … (a chunk is `CHUNK` blocks).

    inputs, outputs: rows of (address, offset, bytes an element, rows, points: 1 or all).
    table: source offsets of copies and folds. end: number of points; the last entry of `table` is the chunk's blocks.
    """
    base = workspace.ctypes.data
    base += (64 - base % 64) % 64
    chunk = table[-1] * block
    for i in range(inputs.shape[0]):
        if inputs[i, 4] == 1:
            _spread(inputs[i, 0], base + inputs[i, 1] * block, inputs[i, 2], inputs[i, 3], block)
    start = begin * chunk
    while start < end:
        for lane in range(start, min(start + chunk, end), block):
            count = min(block, end - lane)
            for i in range(inputs.shape[0]):
                if inputs[i, 4] != 1:
                    _load(inputs[i, 0], base + inputs[i, 1] * block, inputs[i, 2], inputs[i, 3], lane, count, block)
            for p in range(code.shape[0]):
                opcode, kernel, rows = code[p, 0], code[p, 1], code[p, 6]
                dst, a, b, c = (
                    base + code[p, 2] * block,
                    base + code[p, 3] * block,
                    base + code[p, 4] * block,
                    base + code[p, 5] * block,
                )
                first = code[p, 7]
                if opcode == CALL:
                    _call(kernel, dst, a, b, c, rows * block)
                elif opcode == COPY:
                    size = code[p, 8]
                    for r in range(rows):
                        _copy(dst + r * size * block, base + table[first + r] * block, size * block)
                elif opcode == FOLD:
                    size, terms = code[p, 8], code[p, 5]
                    for r in range(rows):
                        target = dst + r * size * block
                        _copy(target, base + table[first + r * terms] * block, size * block)
                        for k in range(1, terms):
                            _call(kernel, target, base + table[first + r * terms + k] * block, 0, 0, block)
                elif opcode == ADD:
                    for k in range(code[p, 5]):
                        _call(kernel, dst, base + table[first + k] * block, 0, 0, block)
                else:
                    size, inner, columns = code[p, 8], code[p, 5], table[first]
                    multiply = table[first + 1]
                    for r in range(rows):
                        row, column = r // columns, r % columns
                        target = dst + r * size * block
                        left = a + row * inner * size * block
                        right = b + column * size * block
                        _call(multiply, target, left, right, 0, block)
                        for k in range(1, inner):
                            _call(kernel, target, left + k * size * block, right + k * columns * size * block, 0, block)
            for i in range(outputs.shape[0]):
                _store(base + outputs[i, 1] * block, outputs[i, 0], outputs[i, 2], outputs[i, 3], lane, count, block)
        start += step * chunk
