"""Memory and kernels by their addresses, in native code."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def call(typingctx, address, dst, a, b, c, n):  # type: ignore[no-untyped-def]
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
def pointer(typingctx, address):  # type: ignore[no-untyped-def]
    """An address as a pointer that carray takes."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@intrinsic
def read(typingctx, address, like):  # type: ignore[no-untyped-def]
    """The value at an address, of the type of `like`."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        kind = context.get_value_type(like)
        value = builder.load(builder.inttoptr(args[0], kind.as_pointer()), typ=kind)
        value.align = 1
        return value

    return like(types.int64, like), codegen


@intrinsic
def write(typingctx, address, value):  # type: ignore[no-untyped-def]
    """Put a value at an address."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        builder.store(args[1], builder.inttoptr(args[0], args[1].type.as_pointer())).align = 1
        return context.get_dummy_value()

    return types.void(types.int64, value), codegen


@intrinsic
def take(typingctx, order):  # type: ignore[no-untyped-def]
    """order[0], raised by order[1] in one step."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        array = cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0])
        size = builder.load(cgutils.gep_inbounds(builder, array.data, 1))
        return builder.atomic_rmw("add", array.data, size, "monotonic")

    return types.int64(order), codegen
