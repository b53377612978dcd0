"""Kind: what a value is, apart from its arguments. Expressions and tapes share kinds.

Integers. ``+ - * // % abs negative fmod maximum minimum clip where`` between int64 values (with Python ints and booleans among
them) are int64, as in NumPy; whatever else is computed of integers is float64, as is an integer with a float64 or a Python float.
What is only moved keeps its dtype. Division and remainder by zero are 0, as in NumPy; overflow is not looked for. An integer
has no derivative.

It is a rule of dtypes (`Op.integers`), and not casts around the float operation, because machines need nothing new for it: a
compiled one holds integers as doubles, whose sums, differences, products and remainders are exact up to 2**53 (the numpy
machine has them up to 2**63), and programs, printed forms and sources stay as short as what was written.
"""

from __future__ import annotations

import itertools
import struct
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import DtypeError, ShapeError
from ..ops import CAST, CONSTANT, Op

#: A weak dtype is a Python number's: it takes on the dtype of whatever it meets (float64 where it meets nothing).
WEAK = "weak"
DTYPES = ("float64", "float32", "int64", "bool")


class Kind:
    """What a node is, apart from its arguments: operation, static parameters, core shape and dtype of the result.

    Kinds are interned: one object for each distinct one, shared by expressions and tapes.
    """

    __slots__ = ("__weakref__", "dtype", "kwargs", "large", "number", "op", "params", "shape", "signature")
    _numbers = itertools.count()

    def __init__(self, op: Op, params: tuple, shape: tuple[int, ...], dtype: str) -> None:
        self.op, self.params, self.shape, self.dtype = op, params, shape, dtype
        self.kwargs = dict(params)
        #: whether it holds so much that nothing should keep it for later (an array as a constant or an index, a body)
        self.large = bool(params) and _bytes_of(params) > SMALL
        self.number = next(Kind._numbers)
        #: a number for all of this value that what is written about it depends on
        self.signature = _signatures.setdefault((shape, dtype, _trait(op, params)), next(Kind._numbers))

    def __repr__(self) -> str:
        parameters = "".join(f", {k}={v!r}" for k, v in self.params)
        return f"<kind {self.op.name}{parameters} {self.dtype}{list(self.shape)}>"


def _trait(op: Op, params: tuple) -> str | None:
    """What matters beside shape and dtype: of a constant which neutral number it is; a reciprocal (a factor to divide by)."""
    if op is not CONSTANT:
        return "reciprocal" if op.name == "reciprocal" else None
    ((_, value),) = params
    return repr(float(value)) if isinstance(value, (int, float)) and value in (0, 1, -1) else "constant"


_signatures: dict[tuple, int] = {}
_kinds: dict[tuple, Kind] = {}
#: those that hold much (arrays as constants and indices, bodies): as long as somebody has them
_large: weakref.WeakValueDictionary[tuple, Kind] = weakref.WeakValueDictionary()
_inferred: dict[tuple, Kind] = {}
#: bytes that a kind may hold and be kept
SMALL = 1024


def intern_kind(op: Op, params: tuple, shape: tuple[int, ...], dtype: str) -> Kind:
    key = (op, parameter_bits(params), shape, dtype)
    kind = _kinds.get(key)
    if kind is None:
        kind = (params and _large.get(key)) or Kind(op, params, shape, dtype)
        kind = (_large if kind.large else _kinds).setdefault(key, kind)
    return kind


def _bytes_of(value: Any) -> int:
    """About how much memory a parameter holds; of an object of which nothing is known: much."""
    if type(value) is tuple:
        return 8 * len(value) + sum(map(_bytes_of, value))
    if type(value) in (bytes, str):
        return len(value)
    return 8 if value is None or isinstance(value, (int, float, np.generic)) else 1 << 20


def parameter_bits(params: tuple) -> tuple:
    """Parameters as a key that tells 0.0 from -0.0, 1 from True and one NaN payload from another."""
    return tuple((k, *_value_bits(v)) for k, v in params)


def _value_bits(v: Any) -> tuple:
    if type(v) is float:
        return ("f", struct.pack("<d", v))
    if type(v) is tuple:
        return ("t", *(_value_bits(x) for x in v))
    return (type(v).__name__, v)


def infer(op: Op, params: tuple, arguments: tuple[Kind, ...]) -> Kind:
    """The kind of `op` applied to arguments of these kinds; ShapeError or DtypeError where it cannot be applied."""
    key = (op, parameter_bits(params) if params else (), *[a.signature for a in arguments])
    kind = _inferred.get(key)
    if kind is None:
        shapes = [a.shape for a in arguments]
        kind = intern_kind(
            op, params, _result_shape(op, shapes, dict(params)), _result_dtype(op, arguments, dict(params))
        )
        if not kind.large:
            _inferred[key] = kind
    return kind


def _result_shape(op: Op, shapes: list[tuple[int, ...]], params: dict) -> tuple[int, ...]:
    try:
        if op.shape is None:
            return shapes[0] if len(set(shapes)) == 1 else tuple(int(n) for n in np.broadcast_shapes(*shapes))
        return tuple(int(n) for n in op.shape(*shapes, **params))
    except (ValueError, IndexError) as problem:
        shown = " and ".join(str(s) for s in shapes)
        raise ShapeError(f"{op.name}: core shapes {shown} do not fit: {problem}") from None


def _result_dtype(op: Op, arguments: tuple[Kind, ...], params: dict) -> str:
    for a in arguments[op.indices :] if op.indices is not None else ():
        if a.dtype != "int64":
            raise DtypeError(f"{op.name}: an index is of dtype int64, not {a.dtype}")
    if op.result in ("bool", "int"):
        return "bool" if op.result == "bool" else "int64"
    if op is CAST:
        return params["dtype"]
    return _common(op, [a.dtype for a in arguments[op.conditions : op.indices]])


def operand_dtypes(op: Op, have: Sequence[str]) -> tuple[str, ...]:
    """The dtypes that operands of these are brought to: conditions, one dtype for all numbers, indices."""
    numbers = have[op.conditions : op.indices]
    target = _common(op, numbers)
    indices = len(have) - op.conditions - len(numbers)
    return ("bool",) * op.conditions + (target,) * len(numbers) + ("int64",) * indices


def _common(op: Op, numbers: Sequence[str]) -> str:
    """The dtype that an operation's numbers are brought to."""
    if op.integers and set(numbers) <= {"int64", "bool"} and "int64" in numbers:
        return "int64"
    return promote(*numbers, keep=op.result == "same")


def promote(*dtypes: str, keep: bool = False) -> str:
    """The dtype of a result. Integers become float64 once they are computed with (`keep`: moved only), and so do booleans, but
    beside float32, as in NumPy."""
    strong = {d for d in dtypes if d != WEAK}
    if not strong:
        return WEAK
    if keep and len(strong) == 1:
        return strong.pop()
    return "float32" if strong - {"bool"} == {"float32"} else "float64"


def constant_value(kind: Kind) -> np.ndarray:
    """A constant's value as a read-only array of its own dtype (float64 for a weak one)."""
    value = kind.kwargs["value"]
    dtype = "float64" if kind.dtype == WEAK else kind.dtype
    if isinstance(value, tuple):
        return np.frombuffer(value[2], dtype=dtype).reshape(value[1])
    return np.asarray(value, dtype=dtype)
