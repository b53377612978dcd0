"""The interpreters, in native code that holds no lock: one over blocks of points, one for a single point.

Over a block, every instruction runs over the whole block before the next. A block's registers lie in one workspace, core-major and
lane-minor: a value with d core elements is d rows of `block` lanes. A place (plan.py) that is not negative is an offset in bytes a
lane, so its address is base + place · block; a negative one is a slot, which lies in the caller's memory.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic

from .addresses import call, pointer, read, take, words, write
from .jit import native
from .plan import ADD, CALL, COPY, FOLD
from .shared import Shared


@intrinsic
def _quotient(typingctx, x, y):  # type: ignore[no-untyped-def]
    """x / y as IEEE 754 has it, without Python's exception at zero."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.fdiv(*args)

    return types.float64(types.float64, types.float64), codegen


@njit(nogil=True)
def _transpose(source, target, like, size, rows, count, source_row, source_lane, target_row, target_lane):  # type: ignore[no-untyped-def]
    """Elements (row, lane) from one layout to another; strides in bytes."""
    for k in range(count):
        for r in range(rows):
            value = read(source + r * source_row + k * source_lane, like)
            write(target + r * target_row + k * target_lane, value)


@native("(int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def _move(source, target, size, rows, count, source_row, source_lane, target_row, target_lane):  # type: ignore[no-untyped-def]
    strides = (source_row, source_lane, target_row, target_lane)
    if size == 8:
        _transpose(source, target, np.uint64(0), 8, rows, count, *strides)
    elif size == 4:
        _transpose(source, target, np.uint32(0), 4, rows, count, *strides)
    else:
        _transpose(source, target, np.uint8(0), 1, rows, count, *strides)


@native("(int64, int64, int64)")
def _copy(target, source, size):  # type: ignore[no-untyped-def]
    s, t = carray(pointer(source), size, np.uint8), carray(pointer(target), size, np.uint8)
    for i in range(size):
        t[i] = s[i]


@native("int64(int64, int64, int64, int64[::1])")
def _at(place, base, block, here):  # type: ignore[no-untyped-def]
    return base + place * block if place >= 0 else here[-1 - place]


@native("(int64[:, ::1], int64[::1], int64[::1], int64, int64, int64, int64, int64[::1])")
def _execute(code, table, addresses, p, base, block, count, here):  # type: ignore[no-untyped-def]
    """One instruction over the first `count` lanes of a block (all of it where it has several rows)."""
    opcode, kernel, rows, first, size = code[p, 0], addresses[code[p, 1]], code[p, 6], code[p, 7], code[p, 8]
    dst = _at(code[p, 2], base, block, here)
    if opcode == CALL:
        lanes = count if rows == 1 else rows * block
        a, b, c = (
            _at(code[p, 3], base, block, here),
            _at(code[p, 4], base, block, here),
            _at(code[p, 5], base, block, here),
        )
        call(kernel, dst, a, b, c, lanes)
    elif opcode == COPY:
        for r in range(rows):
            _copy(dst + r * size * block, _at(table[first + r], base, block, here), size * count)
    elif opcode == FOLD:
        terms = code[p, 5]
        for r in range(rows):
            target = dst + r * size * block
            _copy(target, _at(table[first + r * terms], base, block, here), size * count)
            for k in range(1, terms):
                call(kernel, target, _at(table[first + r * terms + k], base, block, here), 0, 0, count)
    elif opcode == ADD:
        for k in range(code[p, 5]):
            call(kernel, dst, _at(table[first + k], base, block, here), 0, 0, count)
    else:
        terms, columns, multiply = code[p, 5], table[first], addresses[table[first + 1]]
        left, right = _at(code[p, 3], base, block, here), _at(code[p, 4], base, block, here)
        step = size * block
        for r in range(rows):
            row, column = r // columns, r % columns
            target, x, y = dst + r * step, left + row * terms * step, right + column * step
            call(multiply, target, x, y, 0, count)
            for k in range(1, terms):
                call(kernel, target, x + k * step, y + k * columns * step, 0, count)


@native(
    "(int64[:, ::1], int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    "int64, int64, int64, int64, int64[::1])"
)
def _run_block(code, table, addresses, slots, loads, stores, base, block, lane, count, here):  # type: ignore[no-untyped-def]
    """Run the code over the points lane … lane + count."""
    for i in range(slots.shape[0]):
        step = slots[i, 1]
        here[i] = slots[i, 0] + lane * step if step else base + slots[i, 0] * block
    for i in range(loads.shape[0]):
        size, rows = loads[i, 2], loads[i, 3]
        source, target = loads[i, 0] + lane * rows * size, base + loads[i, 1] * block
        _move(source, target, size, rows, count, size, rows * size, size * block, size)
    for p in range(code.shape[0]):
        if code[p, 0] == CALL and code[p, 6] == 1:
            dst, a, b, c = code[p, 2], code[p, 3], code[p, 4], code[p, 5]
            dst = base + dst * block if dst >= 0 else here[np.uint64(-1 - dst)]
            a = base + a * block if a >= 0 else here[np.uint64(-1 - a)]
            b = base + b * block if b >= 0 else here[np.uint64(-1 - b)]
            c = base + c * block if c >= 0 else here[np.uint64(-1 - c)]
            call(addresses[np.uint64(code[p, 1])], dst, a, b, c, count)
        else:
            _execute(code, table, addresses, p, base, block, count, here)
    for i in range(stores.shape[0]):
        size, rows = stores[i, 2], stores[i, 3]
        source, target = _at(stores[i, 1], base, block, here), stores[i, 0] + lane * rows * size
        _move(source, target, size, rows, count, size * block, size, size, rows * size)


@Shared
def interpret(told, order_at, who):  # type: ignore[no-untyped-def]
    """Run the code over pieces of the points until none are left: a job (team.py), whose order is threads.share's.

    told: (address, length) of code, table, addresses, slots, uniform, loads and stores, then where the workspaces are, bytes of
    each, lanes in a block.
    slots: (address, bytes from lane to lane), or where one value serves all (offset in the workspace of a block of it, 0).
    uniform: (address, place, bytes an element, rows): one value a row, repeated over the lanes once, here.
    loads, stores: (address, place, bytes an element, rows): (points, rows) in the caller's memory, moved block by block.
    """
    t, order = words(told), words(order_at)
    code = carray(pointer(t[0]), (t[1], 9), np.int64)
    table, addresses = carray(pointer(t[2]), t[3], np.int64), carray(pointer(t[4]), t[5], np.int64)
    slots = carray(pointer(t[6]), (t[7], 2), np.int64)
    uniform, loads, stores = (
        carray(pointer(t[8]), (t[9], 4), np.int64),
        carray(pointer(t[10]), (t[11], 4), np.int64),
        carray(pointer(t[12]), (t[13], 4), np.int64),
    )
    base, block = t[14] + who * t[15], t[16]
    here = np.zeros(max(1, slots.shape[0]), np.int64)
    for i in range(uniform.shape[0]):
        size = uniform[i, 2]
        _move(uniform[i, 0], base + uniform[i, 1] * block, size, uniform[i, 3], block, size, 0, size * block, size)
    points, back = order[2], order[3]
    while True:
        taken = take(order_at)
        if taken >= points + back:
            break
        end = min(points, taken + order[1] - back)
        lane = max(0, taken - back)
        while lane < end:
            count = min(block - (lane + back) % block, end - lane)
            _run_block(code, table, addresses, slots, loads, stores, base, block, lane, count, here)
            lane += count


#: operations that the interpreter of a single point does itself, by number
SWITCH = (
    "add", "subtract", "multiply", "divide", "negative", "square", "reciprocal", "sqrt",
    "multiply_add_0", "multiply_add_1", "multiply_subtract_0", "multiply_subtract_1", "multiply_multiply_0",
    "multiply_multiply_1", "add_add_0", "add_multiply_0", "subtract_add_0", "square_add_1", "multiply_divide_0",
    "multiply_negative_0", "divide_multiply_1", "equal", "where",
)  # fmt: skip


@native("(int64[::1],)")
def interpret_point(parts):  # type: ignore[no-untyped-def]
    """Run the code for one point: doubles of a single row in a switch, everything else as in a block of one lane.

    parts: (address, length) of switch, code, table, addresses, here and the workspace `w` of doubles (one array costs a caller
    less than six). A row of switch: (operation, dst, a, b, c), operands as positions in `w`. Operation: a number in SWITCH;
    -2 - symbol to call a kernel; -1 for everything else.
    """
    switch = carray(pointer(parts[0]), (parts[1], 5), np.int32)
    code = carray(pointer(parts[2]), (parts[3], 9), np.int64)
    table = carray(pointer(parts[4]), parts[5], np.int64)
    addresses = carray(pointer(parts[6]), parts[7], np.int64)
    here = carray(pointer(parts[8]), parts[9], np.int64)
    base = parts[10]
    w = carray(pointer(base), parts[11], np.float64)
    for p in range(switch.shape[0]):
        o, d, a, b, c = switch[p, 0], switch[p, 1], switch[p, 2], switch[p, 3], switch[p, 4]
        if o == 2:
            w[d] = w[a] * w[b]
        elif o == 0:
            w[d] = w[a] + w[b]
        elif o < -1:
            call(addresses[np.uint64(-2 - o)], base + 8 * d, base + 8 * a, base + 8 * b, base + 8 * c, 1)
        elif o == -1:
            _execute(code, table, addresses, p, base, 1, 1, here)
        elif o == 1:
            w[d] = w[a] - w[b]
        elif o == 3:
            w[d] = _quotient(w[a], w[b])
        elif o == 4:
            w[d] = -w[a]
        elif o == 5:
            w[d] = w[a] * w[a]
        elif o == 6:
            w[d] = _quotient(1.0, w[a])
        elif o == 7:
            w[d] = np.sqrt(w[a])
        elif o == 8:
            w[d] = w[a] * w[b] + w[c]
        elif o == 9:
            w[d] = w[c] + w[a] * w[b]
        elif o == 10:
            w[d] = w[a] * w[b] - w[c]
        elif o == 11:
            w[d] = w[c] - w[a] * w[b]
        elif o == 12:
            w[d] = (w[a] * w[b]) * w[c]
        elif o == 13:
            w[d] = w[c] * (w[a] * w[b])
        elif o == 14:
            w[d] = (w[a] + w[b]) + w[c]
        elif o == 15:
            w[d] = (w[a] + w[b]) * w[c]
        elif o == 16:
            w[d] = (w[a] - w[b]) + w[c]
        elif o == 17:
            w[d] = w[b] + w[a] * w[a]
        elif o == 18:
            w[d] = _quotient(w[a] * w[b], w[c])
        elif o == 19:
            w[d] = -(w[a] * w[b])
        elif o == 20:
            w[d] = w[c] * _quotient(w[a], w[b])
        elif o == 21:
            write(base + 8 * d, np.uint8(w[a] == w[b]))
        else:
            w[d] = w[b] if read(base + 8 * a, np.uint8(0)) else w[c]
