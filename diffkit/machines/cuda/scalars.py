"""What the kernels of the op table are written with, as the source of a Python function that Numba compiles for a GPU.

A kernel is plain Python over a namespace `k` (see ops/kernels/__init__.py). Here `k` writes a line for every instruction, of one
thread for one point. Multiplications go through a function, lest the compiler joins them with additions: a point's
answer is the same, bit for bit, as that of the cpu machine's kernel.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

#: types of values: doubles, singles, integers as wide as each, masks
DOUBLE, FLOAT, INT64, INT32, MASK = "d", "f", "i", "j", "b"
_INT_OF, _FLOAT_OF = {DOUBLE: INT64, FLOAT: INT32}, {INT64: DOUBLE, INT32: FLOAT}
#: what the source calls the types of NumPy
TYPES = {"f64": np.float64, "f32": np.float32, "i64": np.int64, "i32": np.int32, "u64": np.uint64, "u32": np.uint32}
_CAST = {DOUBLE: "f64", FLOAT: "f32", INT64: "i64", INT32: "i32"}


class Source:
    """Lines of a function's body, and the constants that they name."""

    def __init__(self, indent: int = 1) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self._indent, self._count = indent, 0

    def line(self, text: str) -> None:
        self.lines.append("    " * self._indent + text)

    @contextmanager
    def indented(self) -> Iterator[None]:
        self._indent += 1
        yield
        self._indent -= 1

    def fresh(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def assigned(self, text: str) -> str:
        """The name of a new variable with this value."""
        name = self.fresh()
        self.line(f"{name} = {text}")
        return name

    def named(self, value: Any) -> str:
        """The name of a constant that has no spelling of its own."""
        key = value.tobytes() if isinstance(value, np.ndarray) else repr(value)
        for name, (known, _) in self.names.items():
            if known == (type(value), getattr(value, "dtype", None), key):
                return name
        name = f"c{len(self.names)}"
        self.names[name] = ((type(value), getattr(value, "dtype", None), key), value)
        return name


class Scalar:
    """A value of a kernel: a variable of the source, or an expression of constants."""

    __slots__ = ("k", "kind", "text")

    def __init__(self, k: Scalars, text: str, kind: str) -> None:
        self.k, self.text, self.kind = k, text, kind

    def _other(self, other: Any) -> str:
        return other.text if isinstance(other, Scalar) else self.k.literal(other, self.kind)

    def _arithmetic(self, sign: str, other: Any, swapped: bool = False) -> Scalar:
        x, y = self.text, self._other(other)
        if swapped:
            x, y = y, x
        if sign == "*" and self.kind in (DOUBLE, FLOAT):
            return self.k.make(f"mul{self.kind}({x}, {y})", self.kind)
        return self.k.make(f"{x} {sign} {y}", self.kind)

    def __add__(self, other: Any) -> Scalar:
        return self._arithmetic("+", other)

    def __radd__(self, other: Any) -> Scalar:
        return self._arithmetic("+", other, True)

    def __sub__(self, other: Any) -> Scalar:
        return self._arithmetic("-", other)

    def __rsub__(self, other: Any) -> Scalar:
        return self._arithmetic("-", other, True)

    def __mul__(self, other: Any) -> Scalar:
        return self._arithmetic("*", other)

    def __rmul__(self, other: Any) -> Scalar:
        return self._arithmetic("*", other, True)

    def __truediv__(self, other: Any) -> Scalar:
        return self._arithmetic("/", other)

    def __rtruediv__(self, other: Any) -> Scalar:
        return self._arithmetic("/", other, True)

    def __neg__(self) -> Scalar:
        return self.k.make(f"-{self.text}", self.kind)

    def __and__(self, other: Any) -> Scalar:
        return self._arithmetic("&", other)

    def __or__(self, other: Any) -> Scalar:
        return self._arithmetic("|", other)

    def __xor__(self, other: Any) -> Scalar:
        return self._arithmetic("^", other)

    def __lshift__(self, count: Any) -> Scalar:
        return self._arithmetic("<<", count)

    def __rshift__(self, count: Any) -> Scalar:
        unsigned = "u64" if self.kind == INT64 else "u32"
        return self.k.make(f"{unsigned}({self.text}) >> {unsigned}({self._other(count)})", self.kind)

    def __invert__(self) -> Scalar:
        return self.k.make(f"not {self.text}" if self.kind == MASK else f"~{self.text}", self.kind)

    def _compare(self, sign: str, other: Any) -> Scalar:
        return self.k.make(f"{self.text} {sign} {self._other(other)}", MASK)

    def __lt__(self, other: Any) -> Scalar:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Scalar:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Scalar:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Scalar:
        return self._compare(">=", other)

    def __eq__(self, other: Any) -> Scalar:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: Any) -> Scalar:  # type: ignore[override]
        return self._compare("!=", other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("a kernel is written once, for any point: use k.select, or k.rarely")


class Scalars:
    """The namespace `k`, in one precision; lines go to `source`."""

    def __init__(self, source: Source, letter: str) -> None:
        self.source, self.letter = source, letter
        self.double = letter != "f"
        self.kind = DOUBLE if self.double else FLOAT

    # ---- constants ----
    def literal(self, value: Any, kind: str) -> str:
        if kind == MASK:
            return repr(bool(value))
        if kind in (INT64, INT32):
            bits = 64 if kind == INT64 else 32
            value = (int(value) + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
            return f"({value})" if kind == INT64 else f"i32({value})"
        value = float(value)
        text = f"({value!r})" if math.isfinite(value) else self.source.named(value)
        return text if kind == DOUBLE else f"f32({text})"

    def make(self, text: str, kind: str) -> Scalar:
        """A new variable. What Numba computes in a wider type than its operands' is cut back."""
        narrow = kind == INT32 or (kind == INT64 and text.startswith("u64("))
        return Scalar(self, self.source.assigned(f"{_CAST[kind]}({text})" if narrow else text), kind)

    def number(self, value: float) -> Scalar:
        return Scalar(self, self.literal(value, self.kind), self.kind)

    def int(self, value: builtins.int) -> Scalar:
        kind = _INT_OF[self.kind]
        return Scalar(self, self.literal(value, kind), kind)

    # ---- single instructions ----
    def _function(self, name: str, *args: Any) -> Scalar:
        kind = next(a.kind for a in args if isinstance(a, Scalar))
        texts = [a.text if isinstance(a, Scalar) else self.literal(a, kind) for a in args]
        return self.make(f"{name}{kind}({', '.join(texts)})", kind)

    def fma(self, x: Any, y: Any, z: Any) -> Scalar:
        return self._function("fma", x, y, z)

    def sqrt(self, x: Scalar) -> Scalar:
        return self._function("sqrt", x)

    def abs(self, x: Scalar) -> Scalar:
        return self._function("fabs", x)

    def floor(self, x: Scalar) -> Scalar:
        return self._function("floor", x)

    def ceil(self, x: Scalar) -> Scalar:
        return self._function("ceil", x)

    def trunc(self, x: Scalar) -> Scalar:
        return self._function("trunc", x)

    def rint(self, x: Scalar) -> Scalar:
        return self._function("rint", x)

    def copysign(self, size: Any, sign: Any) -> Scalar:
        return self._function("copysign", size, sign)

    def isnan(self, x: Scalar) -> Scalar:
        return self.make(f"{x.text} != {x.text}", MASK)

    def select(self, mask: Scalar, x: Any, y: Any) -> Scalar:
        kind = next((v.kind for v in (x, y) if isinstance(v, Scalar)), self.kind)
        a, b = (v.text if isinstance(v, Scalar) else self.literal(v, kind) for v in (x, y))
        if kind == MASK:
            return self.make(f"{a} if {mask.text} else {b}", kind)
        # one instruction; Numba would make four blocks of Python's own conditional, and compile for several times as long
        return self.make(f"cuda.selp({mask.text}, {a}, {b})", kind)

    # ---- bits ----
    def as_int(self, x: Scalar) -> Scalar:
        return self.make(f"bits{x.kind}({x.text})", _INT_OF[x.kind])

    def as_float(self, x: Scalar) -> Scalar:
        kind = _FLOAT_OF[x.kind]
        return self.make(f"floats{kind}({x.text})", kind)

    def shift_signed(self, x: Scalar, count: Any) -> Scalar:
        return x._arithmetic(">>", count)

    def mask_to_float(self, mask: Scalar) -> Scalar:
        return self.select(mask, 1.0, 0.0)

    def gather(self, table: Sequence[float | builtins.int], index: Scalar) -> Scalar:
        integers = isinstance(table[0], builtins.int)
        kind = _INT_OF[self.kind] if integers else self.kind
        if integers:
            bits = 64 if kind == INT64 else 32
            table = [(v + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1) for v in table]
        held = self.source.named(np.array(table, TYPES[_CAST[kind]]))
        return self.make(f"cuda.const.array_like({held})[{index.text}]", kind)

    # ---- precision ----
    def wide(self, x: Scalar) -> Scalar:
        return Scalar(self, self.source.assigned(f"f64({x.text})"), DOUBLE)

    def narrow(self, x: Scalar) -> Scalar:
        return Scalar(self, self.source.assigned(f"f32({x.text})"), FLOAT)

    def in_double(self, function: Callable, *args: Scalar) -> Scalar:
        k = Scalars(self.source, "d")
        result = function(k, *(Scalar(k, self.wide(a).text, DOUBLE) for a in args))
        return self.narrow(result)

    # ---- functions and branches ----
    def call(self, function: Callable, *args: Scalar) -> Scalar:
        """In line: a function of its own could not be compiled where there is no GPU."""
        return function(self, *args)

    def rarely(self, mask: Scalar, slow: Callable, fast: Scalar, *args: Scalar) -> Scalar:
        result = Scalar(self, self.source.assigned(fast.text), fast.kind)
        self.source.line(f"if {mask.text}:")
        with self.source.indented():
            corrected = slow(self, *args)
            self.source.line(f"{result.text} = {corrected.text}")
        return result
