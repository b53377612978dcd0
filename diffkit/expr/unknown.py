"""What only a number has, asked of an expression: errors that name the line and what to write instead."""

from __future__ import annotations

from typing import Any

from ..errors import MissingAttributeError, TracingError

#: attributes of NumPy's and JAX's arrays that an expression has not, and what to write
_INSTEAD = {
    "at": "dk.where(mask, a, b) chooses elements, dk.scatter_add(x, index, values) adds to them",
    "flat": "x.ravel() has all elements in a row",
    "nonzero": "its length would depend on values; dk.where(mask, a, b) keeps the shape",
    "view": "x.astype(dtype) and x.reshape(shape) make new values",
    "numpy": "its value is not known yet; evaluate it: f(x=...)",
    "detach": "dk.stop_gradient(x) is x without a derivative",
    "argpartition": "x.argsort() gives the order of all",
}


class Unknown:
    """The part of `Expr` that says its value is not known yet."""

    __slots__ = ()

    def _no_number(self: Any, wanted: str, remedy: str) -> TracingError:
        from .printing import brief

        return TracingError(
            f"{wanted} needs a number, but {brief(self)!r} is an expression whose value is not known yet. {remedy}"
        )

    def __bool__(self) -> bool:
        raise self._no_number(
            "Python's truth test (`if`, `while`, `and`, `or`, `not`, `max`, `min`)",
            "Write dk.where(condition, a, b) to choose between values (& | ~ for and, or, not; np.maximum, np.minimum for max, "
            "min), dk.cond(condition, f, g, *operands) to choose between functions, and dk.scan(step, carry, xs) for a loop "
            "whose steps are fixed in number.",
        )

    def __float__(self) -> float:
        if self.number is not None:
            return float(self.number)
        raise self._no_number(
            "float()",
            "Keep it as an expression: NumPy's functions and dk's take it (np.sin, not math.sin), dk.where and dk.cond choose by "
            "it. Or evaluate it: f(x=...).",
        )

    def __int__(self) -> int:
        raise self._no_number(
            "int()",
            "dk.floor and dk.trunc give the integer part as an expression, dk.where and dk.cond choose by it. Or hand the number "
            "over as a Python int, which is not traced.",
        )

    def __index__(self) -> int:
        raise self._no_number(
            "A count or an index of Python's (range(), a list's [], a shape)",
            "Hand it over as a Python int, which is not traced. dk.scan(step, carry, xs) loops along an array without "
            "unrolling, with dk.where or dk.cond for what depends on a value; dk.take picks elements of an array by an index.",
        )

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        raise self._no_number(
            f"The format {spec!r}",
            'Write it without a format (f"{x}" shows the expression), or evaluate it first: f(x=...).',
        )

    def __round__(self, digits: int | None = None) -> Any:
        raise self._no_number("round()", "dk.round gives the nearest whole number as an expression.")

    def __complex__(self) -> complex:
        raise self._no_number("complex()", "diffkit works on real numbers.")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TracingError(
            "An expression cannot be changed in place: build the array of its parts (np.stack, np.concatenate), choose with "
            "dk.where(mask, a, b), or add to elements with dk.scatter_add(x, index, values)"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Python and libraries look for
            raise AttributeError(name)
        remedy = "dir(dk) lists the functions there are; most are methods as well"
        raise MissingAttributeError(f"an expression has no attribute {name!r}: {_INSTEAD.get(name, remedy)}")

    def __xor__(self, other: Any) -> Any:
        raise TracingError("^ is not a power in Python; write ** (in text, dk.parse reads both as power)")

    __rxor__ = __xor__
