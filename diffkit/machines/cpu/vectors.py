"""What the kernels of the op table are written with, as LLVM IR over vectors of lanes.

A kernel is plain Python over a namespace `k` (see ops/kernels/__init__.py). Here `k` writes vector instructions: one value is a
vector of `width` lanes. No fast-math flag is set and nothing is contracted, so a lane's answer depends on nothing
but its operands: not on the lane, not on the neighbours, and not on the kernel that the instructions stand in.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from llvmlite import ir
from llvmlite.binding import llvm_version_info

I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
DOUBLE, FLOAT = ir.DoubleType(), ir.FloatType()

#: lanes of a vector: one register of 512 bits of doubles, which LLVM cuts up for narrower machines
WIDTH = 8

#: element type by letter: a condition is a bit here and a byte in memory
ELEMENT: dict[str, ir.Type] = {"d": DOUBLE, "f": FLOAT, "b": I1}

_SUFFIX = {DOUBLE: "f64", FLOAT: "f32", I1: "i1"}
_FLOAT_OF, _INT_OF = {I64: DOUBLE, I32: FLOAT}, {DOUBLE: I64, FLOAT: I32}


def vector_type(letter: str, width: int = WIDTH) -> ir.VectorType:
    return ir.VectorType(ELEMENT[letter], width)


class Splat(ir.Constant):
    """One number in every lane, in LLVM's short spelling where it has one."""

    def __init__(self, element: ir.Type, value: Any, width: int) -> None:
        number = ir.Constant(element, value)
        super().__init__(ir.VectorType(element, width), [number] * width)
        self._short = f"splat ({element} {number.get_reference()})"

    def _get_reference(self) -> str:
        return self._short if llvm_version_info[0] >= 19 else super()._get_reference()


@lru_cache(maxsize=4096)
def _splat(element: ir.Type, value: Any, width: int, sign: float) -> Splat:
    return Splat(element, value, width)


def splat(element: ir.Type, value: Any, width: int) -> Splat:
    """A constant vector; made once, because its text is long."""
    value = float(value) if element in (DOUBLE, FLOAT) else int(value)
    return _splat(element, value, width, math.copysign(1, value))


class Vector:
    """A value of a kernel: floats, signed integers of the same width, or a mask."""

    __slots__ = ("k", "value")

    def __init__(self, k: Kernels, value: ir.Value) -> None:
        self.k, self.value = k, value

    @property
    def element(self) -> ir.Type:
        return self.value.type.element

    def _both(self, other: Any) -> ir.Value:
        return other.value if isinstance(other, Vector) else self.k.splat(other, self.element)

    def _arithmetic(self, float_op: str, int_op: str | None, other: Any, swapped: bool = False) -> Vector:
        x, y = self.value, self._both(other)
        if swapped:
            x, y = y, x
        name = float_op if self.element in (DOUBLE, FLOAT) else int_op
        if name is None:
            raise TypeError(f"{float_op} is not for integers")
        return Vector(self.k, getattr(self.k.builder, name)(x, y))

    def __add__(self, other: Any) -> Vector:
        return self._arithmetic("fadd", "add", other)

    def __radd__(self, other: Any) -> Vector:
        return self._arithmetic("fadd", "add", other, True)

    def __sub__(self, other: Any) -> Vector:
        return self._arithmetic("fsub", "sub", other)

    def __rsub__(self, other: Any) -> Vector:
        return self._arithmetic("fsub", "sub", other, True)

    def __mul__(self, other: Any) -> Vector:
        return self._arithmetic("fmul", "mul", other)

    def __rmul__(self, other: Any) -> Vector:
        return self._arithmetic("fmul", "mul", other, True)

    def __truediv__(self, other: Any) -> Vector:
        return self._arithmetic("fdiv", None, other)

    def __rtruediv__(self, other: Any) -> Vector:
        return self._arithmetic("fdiv", None, other, True)

    def __neg__(self) -> Vector:
        b = self.k.builder
        return Vector(self.k, b.fneg(self.value) if self.element in (DOUBLE, FLOAT) else b.neg(self.value))

    def _integer(self, name: str, other: Any) -> Vector:
        return Vector(self.k, getattr(self.k.builder, name)(self.value, self._both(other)))

    def __and__(self, other: Any) -> Vector:
        return self._integer("and_", other)

    def __or__(self, other: Any) -> Vector:
        return self._integer("or_", other)

    def __xor__(self, other: Any) -> Vector:
        return self._integer("xor", other)

    def __lshift__(self, count: Any) -> Vector:
        return self._integer("shl", count)

    def __rshift__(self, count: Any) -> Vector:
        return self._integer("lshr", count)

    def __invert__(self) -> Vector:
        return Vector(self.k, self.k.builder.not_(self.value))

    def _compare(self, symbol: str, other: Any) -> Vector:
        b, y = self.k.builder, self._both(other)
        if self.element not in (DOUBLE, FLOAT):
            return Vector(self.k, b.icmp_signed(symbol, self.value, y))
        # "not equal" is true for NaN, the others are false
        compare = b.fcmp_unordered if symbol == "!=" else b.fcmp_ordered
        return Vector(self.k, compare(symbol, self.value, y))

    def __lt__(self, other: Any) -> Vector:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Vector:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Vector:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Vector:
        return self._compare(">=", other)

    def __eq__(self, other: Any) -> Vector:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: Any) -> Vector:  # type: ignore[override]
        return self._compare("!=", other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("a kernel runs on many lanes at once: use k.select, or k.rarely")


LINK = ".address"


def linked(builder: ir.IRBuilder, name: str, kind: ir.FunctionType) -> ir.Value:
    """A function of another object, through a pointer of this module's own that is set when it is loaded.

    A call by name would reach no further than 2 GB, and two objects may lie further apart.
    """
    module = builder.module
    held = module.globals.get(name + LINK)
    if held is None:
        held = ir.GlobalVariable(module, kind.as_pointer(), name + LINK)
        held.linkage, held.initializer = "internal", ir.Constant(kind.as_pointer(), None)  # type: ignore[assignment]
    return builder.load(held, typ=kind.as_pointer())


class Kernels:
    """The namespace `k`: instructions go to `builder`, functions of their own to its module."""

    def __init__(
        self, builder: ir.IRBuilder, letter: str, width: int = WIDTH, elsewhere: frozenset[str] = frozenset()
    ) -> None:
        self.builder, self.letter, self.width = builder, letter, width
        #: functions that another object has: they are declared only
        self.elsewhere = elsewhere
        #: the precision that the kernel computes in
        self.double = letter != "f"
        self.element = DOUBLE if self.double else FLOAT
        self.integer = _INT_OF[self.element]

    # ---- constants ----
    def splat(self, value: Any, element: ir.Type | None = None) -> ir.Value:
        element = element or self.element
        return splat(element, value, self.width)

    def number(self, value: float) -> Vector:
        return Vector(self, self.splat(value))

    def int(self, value: builtins.int) -> Vector:
        return Vector(self, self.splat(value, self.integer))

    # ---- single instructions ----
    def _intrinsic(self, name: str, *args: Any) -> Vector:
        first = next(a for a in args if isinstance(a, Vector))
        values = [a.value if isinstance(a, Vector) else self.splat(a, first.element) for a in args]
        return Vector(self, self.builder.call(self._declared(name, first.value.type, len(values)), values))

    def _declared(
        self, name: str, operand: ir.VectorType, count: builtins.int, result: ir.Type | None = None
    ) -> ir.Function:
        """An intrinsic of LLVM on vectors of this type."""
        module = self.builder.module
        full = f"llvm.{name}.v{operand.count}{_SUFFIX[operand.element]}"
        found = module.globals.get(full)
        return found or ir.Function(module, ir.FunctionType(result or operand, [operand] * count), full)

    def fma(self, x: Any, y: Any, z: Any) -> Vector:
        return self._intrinsic("fma", x, y, z)

    def sqrt(self, x: Vector) -> Vector:
        return self._intrinsic("sqrt", x)

    def abs(self, x: Vector) -> Vector:
        return self._intrinsic("fabs", x)

    def floor(self, x: Vector) -> Vector:
        return self._intrinsic("floor", x)

    def ceil(self, x: Vector) -> Vector:
        return self._intrinsic("ceil", x)

    def trunc(self, x: Vector) -> Vector:
        return self._intrinsic("trunc", x)

    def rint(self, x: Vector) -> Vector:
        return self._intrinsic("rint", x)

    def copysign(self, size: Any, sign: Any) -> Vector:
        return self._intrinsic("copysign", size, sign)

    def isnan(self, x: Vector) -> Vector:
        return Vector(self, self.builder.fcmp_unordered("uno", x.value, x.value))

    def select(self, mask: Vector, x: Any, y: Any) -> Vector:
        element = next((v.element for v in (x, y) if isinstance(v, Vector)), self.element)
        a, b = (v.value if isinstance(v, Vector) else self.splat(v, element) for v in (x, y))
        return Vector(self, self.builder.select(mask.value, a, b))

    # ---- bits ----
    def _cast(self, instruction: str, x: Vector, element: ir.Type) -> Vector:
        cast = getattr(self.builder, instruction)
        return Vector(self, cast(x.value, ir.VectorType(element, self.width)))

    def as_int(self, x: Vector) -> Vector:
        """The bits of floats as integers."""
        return self._cast("bitcast", x, _INT_OF[x.element])

    def as_float(self, x: Vector) -> Vector:
        """Integers as the floats that have these bits."""
        return self._cast("bitcast", x, _FLOAT_OF[x.element])

    def shift_signed(self, x: Vector, count: Any) -> Vector:
        """Shifted right, the sign kept (>> fills with zeros)."""
        return x._integer("ashr", count)

    def mask_to_float(self, mask: Vector) -> Vector:
        """1 where it holds, 0 elsewhere."""
        return self.select(mask, 1.0, 0.0)

    def gather(self, table: Sequence[float | builtins.int], index: Vector) -> Vector:
        """Constants by integer index, lane by lane (slow: for what is rarely needed)."""
        integers = isinstance(table[0], builtins.int)
        element = self.integer if integers else self.element
        array = ir.ArrayType(element, len(table))
        name = f"table.{element}.{hash(tuple(table)) & 0xFFFFFFFFFFFF:x}"
        held = self.builder.module.globals.get(name)
        if held is None:
            held = ir.GlobalVariable(self.builder.module, array, name)
            held.global_constant, held.linkage = True, "internal"
            held.initializer = ir.Constant(array, list(table))  # type: ignore[assignment]
        result: ir.Value = ir.Constant(ir.VectorType(element, self.width), ir.Undefined)
        for lane in range(self.width):
            position = ir.Constant(I32, lane)
            place = self.builder.extract_element(index.value, position)
            pointer = self.builder.gep(held, [ir.Constant(I32, 0), place], source_etype=array)
            result = self.builder.insert_element(result, self.builder.load(pointer, typ=element), position)
        return Vector(self, result)

    # ---- precision ----
    def wide(self, x: Vector) -> Vector:
        """Singles as doubles."""
        return self._cast("fpext", x, DOUBLE)

    def narrow(self, x: Vector) -> Vector:
        """Doubles rounded to singles."""
        return self._cast("fptrunc", x, FLOAT)

    def in_double(self, function: Callable, *args: Vector) -> Vector:
        """A single's function computed by the double's, and rounded."""
        k = Kernels(self.builder, "d", self.width, self.elsewhere)
        results = function(k, *(Vector(k, self.wide(a).value) for a in args))
        return self.narrow(Vector(self, results.value))

    # ---- functions and branches ----
    def call(self, function: Callable, *args: Vector) -> Vector:
        """The kernel as a function of its own, written once a module: for what is long, or used in several places."""
        name = f"diffkit.{function.__module__.rpartition('.')[2]}.{function.__name__}.{self.letter}.{self.width}"
        module = self.builder.module
        kind = ir.FunctionType(ir.VectorType(self.element, self.width), [a.value.type for a in args])
        if name in self.elsewhere:
            return Vector(self, self.builder.call(linked(self.builder, name, kind), [a.value for a in args]))
        found = module.globals.get(name)
        if found is None:
            found = ir.Function(module, kind, name)
            found.attributes.add("noinline")
            entry = ir.IRBuilder(found.append_basic_block("entry"))
            inner = Kernels(entry, self.letter, self.width, self.elsewhere)
            inner.builder.ret(function(inner, *(Vector(inner, a) for a in found.args)).value)
        return Vector(self, self.builder.call(found, [a.value for a in args]))

    def rarely(self, mask: Vector, slow: Callable, fast: Vector, *args: Vector) -> Vector:
        """`fast`, but slow(k, *args) in the lanes of the mask; a branch skips it where no lane needs it."""
        b = self.builder
        reduce = self._declared("vector.reduce.or", mask.value.type, 1, I1)
        here = b.block
        needed, done = b.append_basic_block("rare"), b.append_basic_block("join")
        b.cbranch(b.call(reduce, [mask.value]), needed, done).set_weights([1, 1000])
        b.position_at_end(needed)
        corrected = self.select(mask, self.call(slow, *args), fast)
        there = b.block
        b.branch(done)
        b.position_at_end(done)
        joined = b.phi(fast.value.type)
        joined.add_incoming(fast.value, here)
        joined.add_incoming(corrected.value, there)
        return Vector(self, joined)
