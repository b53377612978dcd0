"""Vectors in memory, which need not be aligned: read and written whole, or some of their lanes."""

from __future__ import annotations

from llvmlite import ir

from .vectors import DOUBLE, FLOAT, I8, I32

POINTER = ir.PointerType(I8)

#: element types of registers in memory: a condition is a byte
MEMORY: dict[str, ir.Type] = {"d": DOUBLE, "f": FLOAT, "b": I8}
MEMORY_BYTES = {"d": 8, "f": 4, "b": 1}
#: as LLVM's intrinsics spell them
_NAME = {"d": "f64", "f": "f32", "b": "i8"}


def load(b: ir.IRBuilder, letter: str, pointer: ir.Value, width: int) -> ir.Value:
    """A vector from memory, which need not be aligned."""
    kind = ir.VectorType(MEMORY[letter], width)
    value = b.load(b.bitcast(pointer, kind.as_pointer()), typ=kind)
    value.align = MEMORY_BYTES[letter]
    return b.icmp_unsigned("!=", value, ir.Constant(kind, [0] * width)) if letter == "b" else value


def store(b: ir.IRBuilder, letter: str, value: ir.Value, pointer: ir.Value) -> None:
    kind = ir.VectorType(MEMORY[letter], value.type.count)
    if letter == "b":
        value = b.zext(value, kind)
    b.store(value, b.bitcast(pointer, kind.as_pointer())).align = MEMORY_BYTES[letter]


def load_some(b: ir.IRBuilder, letter: str, pointer: ir.Value, mask: ir.Value, others: int = 1) -> ir.Value:
    """The lanes of the mask from memory, ones or zeros in the others."""
    width = mask.type.count
    kind = ir.VectorType(MEMORY[letter], width)
    address = b.bitcast(pointer, kind.as_pointer())
    signature = ir.FunctionType(kind, [address.type, I32, mask.type, kind])
    size = ir.Constant(I32, MEMORY_BYTES[letter])
    value = b.call(_declared(b, "load", letter, signature), [address, size, mask, ir.Constant(kind, [others] * width)])
    return b.icmp_unsigned("!=", value, ir.Constant(kind, [0] * width)) if letter == "b" else value


def store_some(b: ir.IRBuilder, letter: str, value: ir.Value, pointer: ir.Value, mask: ir.Value) -> None:
    kind = ir.VectorType(MEMORY[letter], mask.type.count)
    value = b.zext(value, kind) if letter == "b" else value
    address = b.bitcast(pointer, kind.as_pointer())
    signature = ir.FunctionType(ir.VoidType(), [kind, address.type, I32, mask.type])
    b.call(_declared(b, "store", letter, signature), [value, address, ir.Constant(I32, MEMORY_BYTES[letter]), mask])


def _declared(b: ir.IRBuilder, what: str, letter: str, signature: ir.FunctionType) -> ir.Function:
    width = (signature.args[0] if what == "store" else signature.return_type).count
    name = f"llvm.masked.{what}.v{width}{_NAME[letter]}.p0"
    found = b.module.globals.get(name)
    return found or ir.Function(b.module, signature, name)
