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
def enter(typingctx, address, *values):  # type: ignore[no-untyped-def]
    """Call the function of words (shared.py) at an address."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        function = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * len(values))
        builder.call(builder.inttoptr(args[0], function.as_pointer()), cgutils.unpack_tuple(builder, args[1]))
        return context.get_dummy_value()

    return types.void(types.int64, types.StarArgUniTuple(types.int64, len(values))), codegen


@intrinsic
def pointer(typingctx, address):  # type: ignore[no-untyped-def]
    """An address as a pointer that carray takes."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@intrinsic
def items(typingctx, address, like):  # type: ignore[no-untyped-def]
    """What lies at an address, to be indexed (from 0 up): items of the type of `like`. Numba compiles it sooner than carray's."""
    kind = types.CPointer(like)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[0], context.get_value_type(kind))

    return kind(types.int64, like), codegen


@intrinsic
def words(typingctx, address):  # type: ignore[no-untyped-def]
    """The int64 words at an address, to be indexed."""
    kind = types.CPointer(types.int64)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[0], context.get_value_type(kind))

    return kind(types.int64), codegen


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
def move(typingctx, target, source, count):  # type: ignore[no-untyped-def]
    """`count` bytes from one place to another; they may overlap."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        to, from_ = (builder.inttoptr(x, cgutils.voidptr_t) for x in args[:2])
        cgutils.raw_memmove(builder, to, from_, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def take(typingctx, order):  # type: ignore[no-untyped-def]
    """The first of the words at an address, raised by the second in one step that no other thread can come between."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        first = _word(builder, args[0])
        size = builder.load(builder.gep(first, [ir.Constant(ir.IntType(64), 1)]))
        return builder.atomic_rmw("add", first, size, "monotonic")

    return types.int64(types.int64), codegen


# ---- words that threads tell each other by: what one wrote before it, others see after it ----
@intrinsic
def look(typingctx, address):  # type: ignore[no-untyped-def]
    """The word at an address."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.load_atomic(_word(builder, args[0]), "acquire", 8)

    return types.int64(types.int64), codegen


@intrinsic
def tell(typingctx, address, value):  # type: ignore[no-untyped-def]
    """Put a word at an address."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        builder.store_atomic(args[1], _word(builder, args[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def change(typingctx, address, before, after):  # type: ignore[no-untyped-def]
    """Put a word where another is; False where it is not (any more)."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        found = builder.cmpxchg(_word(builder, args[0]), args[1], args[2], "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(types.int64, types.int64, types.int64), codegen


@intrinsic
def raised(typingctx, address, by):  # type: ignore[no-untyped-def]
    """What a word was before it is raised, here."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.atomic_rmw("add", _word(builder, args[0]), args[1], "acq_rel")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def pause(typingctx):  # type: ignore[no-untyped-def]
    """A moment in which the processor may do something else."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        if context.codegen().target_data is not None and "x86_64" in builder.module.triple:
            name = "llvm.x86.sse2.pause"
            function = builder.module.globals.get(name) or ir.Function(
                builder.module, ir.FunctionType(ir.VoidType(), []), name
            )
            builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), codegen


def _word(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.inttoptr(address, ir.IntType(64).as_pointer())
