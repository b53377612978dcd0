"""The operators of Expr, the methods that NumPy's arrays have, and NumPy's protocols, through which `np.sin(x)` is `dk.sin(x)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DiffkitError, TracingError, UnsupportedCallError
from ..ops import TABLE
from . import functions as dk
from .arranging import matrix_transpose
from .calling import BUILD
from .compositions import diagonal, trace
from .elementary import around, imag
from .functions import apply
from .node import Expr, make
from .operands import as_expr, whole_number
from .publishing import COMPOSITIONS


# ---- operators ----------------------------------------------------------------------------------------------------
def _binary(name: str) -> tuple[Callable, Callable]:
    op = TABLE[name]
    integers, test = op.integers, op.result == "bool"

    def forward(self: Expr, other: Any) -> Any:
        if isinstance(other, Expr):
            return make(op, (self, other))
        if hasattr(type(other), "__dk_apply__") or (test and isinstance(other, (str, bytes, dict, set))):
            return NotImplemented
        if integers and other.__class__ is int and self.kind.dtype == "int64":
            return make(op, (self, whole_number(other)))
        return make(op, (self, as_expr(other)))

    def backward(self: Expr, other: Any) -> Any:
        if integers and other.__class__ is int and self.kind.dtype == "int64":
            return make(op, (whole_number(other), self))
        return make(op, (as_expr(other), self))

    return forward, backward


for _symbol, _name in (
    ("add", "add"),
    ("sub", "subtract"),
    ("mul", "multiply"),
    ("truediv", "divide"),
    ("pow", "power"),
    ("and", "logical_and"),
    ("or", "logical_or"),
):
    _forward, _backward = _binary(_name)
    setattr(Expr, f"__{_symbol}__", _forward)
    setattr(Expr, f"__r{_symbol}__", _backward)
for _symbol, _name in (
    ("lt", "less"),
    ("le", "less_equal"),
    ("gt", "greater"),
    ("ge", "greater_equal"),
    ("eq", "equal"),
    ("ne", "not_equal"),
):
    setattr(Expr, f"__{_symbol}__", _binary(_name)[0])
setattr(Expr, "__hash__", object.__hash__)  # identity; == is an elementwise comparison
for _symbol, _method in (
    ("neg", lambda self: make(TABLE["negative"], (self,))),
    ("pos", lambda self: self),
    ("abs", lambda self: make(TABLE["abs"], (self,))),
    ("invert", lambda self: make(TABLE["logical_not"], (self,))),
    ("matmul", dk.matmul),
    ("rmatmul", lambda self, other: dk.matmul(other, self)),
):
    setattr(Expr, f"__{_symbol}__", _method)


def _of_functions(name: str) -> tuple[Callable, Callable]:
    """An operator that is a composition; looked up when it is used."""

    def forward(self: Expr, other: Any) -> Any:
        return getattr(dk, name)(self, other)

    def backward(self: Expr, other: Any) -> Any:
        return getattr(dk, name)(other, self)

    return forward, backward


for _symbol, _name in (("mod", "remainder"), ("floordiv", "floor_divide"), ("divmod", "divmod")):
    _forward, _backward = _of_functions(_name)
    setattr(Expr, f"__{_symbol}__", _forward)
    setattr(Expr, f"__r{_symbol}__", _backward)


# ---- methods ------------------------------------------------------------------------------------------------------
def _method_of(name: str) -> Callable[..., Any]:
    """The function of that name as a method; looked up when it is called, for some are added later."""

    def method(self: Expr, *args: Any, **kwargs: Any) -> Any:
        return getattr(dk, name)(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"As dk.{name}."
    return method


for _name in (
    "all", "any", "argmax", "argmin", "argsort", "astype", "conj", "conjugate", "cumprod", "cumsum", "diagonal", "dot", "max",
    "mean", "min", "prod", "ravel", "repeat", "reshape", "searchsorted", "sort", "squeeze", "std", "sum", "swapaxes", "take",
    "trace", "var",
):  # fmt: skip
    setattr(Expr, _name, _method_of(_name))


def _clip(self: Expr, min: Any = None, max: Any = None, **ignored: Any) -> Any:
    """Kept between two bounds; None is no bound."""
    return _bounded(self, min, max, **ignored)


def _bounded(x: Any, low: Any = None, high: Any = None, **ignored: Any) -> Any:
    """numpy.clip, which takes None, and its bounds by several names."""
    low, high = (ignored.pop(n, v) for n, v in (("min", low), ("max", high)))
    low, high = (ignored.pop(n, v) for n, v in (("a_min", low), ("a_max", high)))
    if any(v is not None for v in ignored.values()):
        raise UnsupportedCallError(f"clip: the argument {next(iter(ignored))!r} has no meaning here; leave it out")
    if low is not None and high is not None:
        return apply(TABLE["clip"], (x, low, high), {})
    if low is not None:
        return apply(TABLE["maximum"], (x, low), {})
    return x if high is None else apply(TABLE["minimum"], (x, high), {})


setattr(Expr, "clip", _clip)
setattr(Expr, "round", lambda self, decimals=0: around(self, decimals))
setattr(Expr, "flatten", lambda self, order="C": dk.ravel(self, order))
setattr(Expr, "copy", lambda self, order="C": self)
setattr(Expr, "transpose", lambda self, *axes: dk.transpose(self, (axes[0] if len(axes) == 1 else axes) or None))
setattr(Expr, "mT", property(lambda self: matrix_transpose(self)))
setattr(Expr, "real", property(lambda self: self))
setattr(Expr, "imag", property(lambda self: imag(self)))


def _number_wanted(name: str) -> Callable[..., Any]:
    def method(self: Expr, *args: Any) -> Any:
        raise TracingError(
            f".{name}() needs numbers, and this is an expression whose value is not known yet. Leave it out: NumPy's functions and "
            "dk's take expressions as they are. Or evaluate it: f(x=...)."
        )

    method.__name__ = method.__qualname__ = name
    return method


def _in_place(name: str, remedy: str) -> Callable[..., Any]:
    def method(self: Expr, *args: Any, **kwargs: Any) -> Any:
        raise TracingError(f".{name}() would change an expression in place, which cannot be. Write {remedy}.")

    method.__name__ = method.__qualname__ = name
    return method


for _name in ("item", "tolist", "tobytes"):
    setattr(Expr, _name, _number_wanted(_name))
for _name, _remedy in (
    ("fill", "np.full_like(x, value)"),
    ("put", "dk.where(mask, a, b), or dk.scatter_add(x, index, values)"),
    ("resize", "x.reshape(...)"),
    ("partition", "np.sort(x)"),
):
    setattr(Expr, _name, _in_place(_name, _remedy))


# ---- NumPy's protocols --------------------------------------------------------------------------------------------
def _spelled(function: Any) -> str:
    """`numpy.linalg.eig`, `scipy.special.gammainc`: a function with the path to it."""
    name = function.__name__
    module = getattr(function, "__module__", None) or ("numpy" if hasattr(np, name) else "scipy.special")
    return f"{module}.{name}"


#: what to write for some of NumPy's functions that are not there
_INSTEAD = {
    **dict.fromkeys(("eig", "eigvals"), "np.linalg.eigh and eigvalsh are, for symmetric matrices"),
    **dict.fromkeys(
        ("argwhere", "compress", "extract", "flatnonzero", "nonzero", "trim_zeros", "unique"),
        "the length of its result would depend on values; dk.where(mask, a, b) keeps the shape",
    ),
    **dict.fromkeys(
        ("copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask", "at"), f"it changes an array; {BUILD}"
    ),
    **dict.fromkeys(("argpartition", "partition"), "np.sort and np.argsort are"),
    **dict.fromkeys(("bincount", "histogram"), "dk.scatter_add(np.zeros(n), index, 1.0) counts by an index"),
    "apply_along_axis": "dk.vmap(f) goes along an axis",
    "accumulate": "np.cumsum and np.cumprod are",
    "outer": "np.outer(a, b) is, and a[:, None] op b for any operation",
    "reduce": "np.sum, np.prod, np.max and np.min are",
}


def _not_there(call: str) -> UnsupportedCallError:
    remedy = _INSTEAD.get(call.rpartition(".")[2], "dir(dk) lists the functions that are, and dk.register_op adds one")
    return UnsupportedCallError(f"{call} is not an operation of diffkit on expressions: {remedy}")


def _array_ufunc(self: Expr, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    name = ufunc.__name__
    if method != "__call__":
        raise _not_there(f"{_spelled(ufunc)}.{method}")
    composed = COMPOSITIONS.get(name)
    if composed is None and name not in TABLE:
        raise _not_there(_spelled(ufunc))
    if ufunc is np.matmul:
        return dk.matmul(*inputs)
    if kwargs.get("out") is not None and any(isinstance(o, np.ndarray) for o in kwargs["out"]):
        raise TracingError(
            f"{_spelled(ufunc)}: an expression cannot be written into an array of numbers (out=, or an operator like +=). Write "
            "y = y + x, which makes a new value"
        )
    given = [k for k, v in kwargs.items() if v is not None]
    if given:
        raise UnsupportedCallError(f"{_spelled(ufunc)}: the argument {given[0]!r} has no meaning here; leave it out")
    return composed(*inputs) if composed is not None else apply(TABLE[name], inputs, {})


def _where(condition: Any, *choices: Any) -> Any:
    if choices:
        return dk.where(condition, *choices)
    raise UnsupportedCallError(f"numpy.where of a condition alone: {_INSTEAD['nonzero']}")


#: functions of NumPy that dk. has under another name, or with other arguments
_OTHERWISE: dict[Callable, Callable] = {
    np.round: lambda a, decimals=0, out=None: around(a, decimals, out),
    np.clip: _bounded,
    np.where: _where,
    np.copy: lambda a, order="K", subok=False: a,
    # of the last two axes, unlike NumPy's functions of these names
    np.linalg.diagonal: lambda x, *, offset=0: diagonal(x, offset, -2, -1),
    np.linalg.trace: lambda x, *, offset=0, dtype=None: trace(x, offset, -2, -1, dtype),
}
#: functions of NumPy that are not what dk. has under their name
_OTHERS = {np.linalg.cond}


def _array_function(self: Expr, func: Callable, types: Any, args: tuple, kwargs: dict) -> Any:
    ours = _OTHERWISE.get(func) or getattr(dk, func.__name__, None)
    if ours is None or func.__name__.startswith("_") or func in _OTHERS:
        raise _not_there(_spelled(func))
    try:
        return ours(*args, **kwargs)
    except TypeError as problem:
        if isinstance(problem, DiffkitError) or _takes(ours, args, kwargs):
            raise
        raise UnsupportedCallError(f"{_spelled(func)} on expressions: {problem}; leave that argument out") from None


def _takes(function: Callable, args: tuple, kwargs: dict) -> bool:
    """Whether a function can be called with these arguments at all."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


setattr(Expr, "__array_ufunc__", _array_ufunc)
setattr(Expr, "__array_function__", _array_function)
