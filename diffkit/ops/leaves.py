"""The leaves of an expression: variables and constants."""

from __future__ import annotations

from .op import define


def _no_value(*args, **params):
    raise TypeError("a leaf has no arguments to compute from")


#: `uid` tells apart variables of the same name made by different traces (0: the user's own)
VARIABLE = define("variable", 0, "an input", _no_value, family="leaf", cost="move", params={"name": "", "uid": 0})
#: `value` is a Python number of weak dtype, or ("array", shape, bytes) of the node's own dtype
CONSTANT = define("constant", 0, "a number or array", _no_value, family="leaf", cost="move", params={"value": 0.0})
#: 1 turned into another dtype
CAST = define(
    "cast", 1, "the same number in another dtype", lambda x, dtype: x.astype(dtype, copy=False), cost="move",
    params={"dtype": "float64"},
    jvp=lambda o, tangents, out, x, dtype: o.cast(tangents[0], dtype=dtype),
    vjp=lambda o, adjoint, out, x, dtype: (o.cast(adjoint, dtype=x.dtype),),
    sympy=lambda s, x, dtype: (
        x if dtype.startswith("float") else s.compare("not_equal", x, s.number(0)) if dtype == "bool" else s.trunc(x, 0.0)
    ),
)
