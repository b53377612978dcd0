"""What the writers of compiled kernels share: operations on vectors of any width, and the library's functions that they call."""

from __future__ import annotations

from functools import cache

from llvmlite import ir

from .access import POINTER
from .emit import Primitive, by_symbol, vector_function
from .library import library
from .vectors import I8, I32, I64, LINK, linked

#: bodies of at most so many instructions are written out and longer ones called: the first limit that keeps the kernel
#: within so many instructions of LLVM, each of which takes 0.08 ms to compile (docs/decisions/0004)
LIMITS, SHORT = (60, 20), 1_500
#: a call with the shuffles around it
CALL_LENGTH = 4
#: kernels longer than this are not made: compiling takes half a second, registers spill, and dispatch no longer matters
LONGEST = 6_000
#: registers a value, so that one chain of operations fills the time in which another waits
UNROLL = 2


@cache
def body_length(symbol: str) -> int:
    """Instructions of a primitive's body."""
    module, primitive = ir.Module(), by_symbol()[symbol]
    function = ir.Function(module, vector_function(primitive)[1], "body")
    b = ir.IRBuilder(function.append_basic_block())
    primitive.write(b, list(function.args))
    return sum(len(block.instructions) for block in function.blocks)


class KernelWriter:
    """Writes kernels into a module."""

    #: where instructions go, and lanes of the vectors
    b: ir.IRBuilder
    width: int

    def __init__(self, module: ir.Module, inline: int) -> None:
        """inline: up to which length the bodies of operations are written out."""
        self.module, self.inline = module, inline

    def link(self) -> None:
        """``link(table)``: takes the addresses of the library's functions that the kernel calls, in the order of `needs`."""
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER]), "link")
        b = ir.IRBuilder(function.append_basic_block())
        for k, name in enumerate(self.needs()):
            held = self.module.globals[name + LINK]
            word = b.load(b.gep(function.args[0], [ir.Constant(I64, 8 * k)], source_etype=I8), typ=I64)
            b.store(b.inttoptr(word, held.type.pointee), held)
        b.ret_void()

    def needs(self) -> list[str]:
        """Names of the library's functions that the kernel calls."""
        return [name.removesuffix(LINK) for name in self.module.globals if name.endswith(LINK)]

    def apply(self, primitive: Primitive, values: list[ir.Value]) -> ir.Value:
        if body_length(primitive.symbol) <= self.inline:
            return primitive.write(self.b, values, library().exported)
        function = linked(self.b, *vector_function(primitive))
        w, own = self.width, primitive.wide
        if w == own:
            return self.b.call(function, values)
        if w < own:
            wide = [self.shuffled([v], [k % w for k in range(own)]) for v in values]
            return self.shuffled([self.b.call(function, wide)], list(range(w)))
        parts = [
            self.b.call(function, [self.shuffled([v], list(range(k, k + own))) for v in values])
            for k in range(0, w, own)
        ]
        while len(parts) > 1:
            size = 2 * parts[0].type.count
            parts = [self.shuffled([x, y], list(range(size))) for x, y in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    def shuffled(self, vectors: list[ir.Value], mask: list[int]) -> ir.Value:
        first = vectors[0]
        second = vectors[1] if len(vectors) > 1 else ir.Constant(first.type, ir.Undefined)
        return self.b.shuffle_vector(first, second, ir.Constant(ir.VectorType(I32, len(mask)), mask))
