"""Subnormal numbers taken for zero, for a while, in one thread.

Matrix products of them took x86 some fifty times as long (docs/decisions/0009). Single-precision gradients get there in ordinary
networks (the slope of a saturated tanh), where nothing depends on numbers below 1.2e-38; double-precision ones do not.
"""

from __future__ import annotations

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: bits of the control word of x86's vector units: take subnormal operands as zero, and give zero for subnormal results
_FLUSH = 0x8040


@intrinsic
def flush_subnormals(typingctx):  # type: ignore[no-untyped-def]
    """From now on: gives what `restore` is to be told. Elsewhere than on x86 nothing happens."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        word = ir.IntType(32)
        if not _is_x86():
            return ir.Constant(ir.IntType(64), 0)
        place = cgutils.alloca_once(builder, word)
        _control(builder, "stmxcsr", place)
        before = builder.load(place, typ=word)
        builder.store(builder.or_(before, ir.Constant(word, _FLUSH)), place)
        _control(builder, "ldmxcsr", place)
        return builder.zext(before, ir.IntType(64))

    return types.int64(), codegen


@intrinsic
def restore(typingctx, before):  # type: ignore[no-untyped-def]
    """The control word of this thread as `flush_subnormals` found it."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        if _is_x86():
            place = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(builder.trunc(args[0], ir.IntType(32)), place)
            _control(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _control(builder: ir.IRBuilder, name: str, place: ir.Value) -> None:
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}")
    builder.call(function, [builder.bitcast(place, pointer)])


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")
