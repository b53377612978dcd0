"""Comparisons, selections and everything with a kink or a jump."""

from __future__ import annotations

import numpy as np

from .kernels import remainder
from .kinks import jump_slope, step_value
from .op import define


def _real(compare):
    """Complex step: a comparison looks at the real parts."""

    def function(x, y):
        return compare(np.real(x), np.real(y))

    return function


for _name, _ufunc, _symbol, _doc, _relation in (
    ("less", np.less, "<", "x < y", lambda k, x, y: x < y),
    ("less_equal", np.less_equal, "<=", "x ≤ y", lambda k, x, y: x <= y),
    ("greater", np.greater, ">", "x > y", lambda k, x, y: x > y),
    ("greater_equal", np.greater_equal, ">=", "x ≥ y", lambda k, x, y: x >= y),
    ("equal", np.equal, "==", "x = y", lambda k, x, y: x == y),
    ("not_equal", np.not_equal, "!=", "x ≠ y", lambda k, x, y: x != y),
):
    define(
        _name, 2, _doc, _real(_ufunc), cost="compare", kernel=_relation, result="bool", infix=(_symbol, 5), analytic=True,
        sympy=lambda s, x, y, name=_name: s.compare(name, x, y),
        kinks=lambda o, x, y: (x - y,),
        spelling={"numpy": f"({{0}} {_symbol} {{1}})", "jax": f"({{0}} {_symbol} {{1}})",
                  "torch": f"({{0}} {_symbol} {{1}})", "c": f"({{0}} {_symbol} {{1}})"},
    )

define(
    "logical_and", 2, "both", np.logical_and, cost="compare", result="bool", conditions=2, analytic=True,
    kernel=lambda k, x, y: x & y,
    sympy=lambda s, x, y: s.And(x, y), spelling={"c": "({0} && {1})"},
)
define(
    "logical_or", 2, "either or both", np.logical_or, cost="compare", result="bool", conditions=2, analytic=True,
    kernel=lambda k, x, y: x | y,
    sympy=lambda s, x, y: s.Or(x, y), spelling={"c": "({0} || {1})"},
)
define(
    "logical_not", 1, "not", np.logical_not, cost="compare", result="bool", conditions=1, analytic=True,
    kernel=lambda k, x: ~x,
    sympy=lambda s, x: s.Not(x), spelling={"c": "(!{0})"},
)
define(
    "where", 3, "x where the condition holds, else y", np.where, cost="compare", conditions=1, analytic=True, integers=True,
    kernel=lambda k, c, x, y: k.select(c, x, y),
    partials=lambda o, out, c, x, y: (None, 1, 1),
    selects=lambda o, c, x, y: (None, c, o.logical_not(c)),
    sympy=lambda s, c, x, y: s.Piecewise((x, c), (y, True)),
    spelling={"c": "({0} ? {1} : {2})"},
    convention="the derivative of the branch taken; the other branch cannot touch it",
)
def _step(x, y, at):
    """Not a Heaviside function of x − y, which is NaN at equal infinities."""
    x, y = np.asarray(x), np.asarray(y)
    value = np.where(x > y, 1.0, np.where(x < y, 0.0, np.where(x == y, at, np.nan)))
    return value.astype(np.result_type(x, y), copy=False) if np.result_type(x, y).kind == "f" else value


define(
    "step", 2, "1 where x > y, 0 where x < y, `at` where equal", _step, cost="compare",
    params={"at": 0.5},
    partials=lambda o, out, x, y, at: (0, 0),
    lower=lambda o, x, y, at: o.where(
        o.greater(x, y), 1, o.where(o.less(x, y), 0, o.where(o.equal(x, y), at, np.nan))
    ),
    sympy=lambda s, x, y, at: s.step(x, y, at),
    kinks=lambda o, x, y, at: (x - y,),
    convention="0 everywhere, as for every jump",
)


def _sign_at(o, x, jax=None):
    """Slope of |x|: ±1, and at the kink what the policy says."""
    at = step_value(0.5, jax)
    return o.sign(x) if at == 0.5 else 2 * o.step(x, 0, at=at) - 1


def _flat(o, x, jump):
    slope = jump_slope()
    return 0 if slope == 0 else o.step(x, jump(o, x), at=slope) * 0


def _nearest_jump(o, x):
    return o.round(x)


def _nearest_half(o, x):
    return o.floor(x) + 0.5


define(
    "abs", 1, "absolute value", np.abs, cost="add", aliases=("absolute", "fabs"), integers=True,
    kernel=lambda k, x: k.abs(x),
    partials=lambda o, out, x: (_sign_at(o, x, jax=1.0),),
    sympy=lambda s, x: s.abs(x, step_value(0.5, 1.0)),
    kinks=lambda o, x: (x,),
    spelling={"c": "fabs"},
    convention="0 at x = 0",
)
define(
    "sign", 1, "−1, 0 or 1", np.sign, cost="compare",
    kernel=lambda k, x: k.select(x > 0, 1.0, k.select(x < 0, -1.0, k.abs(x))),  # of -0.0 it is 0.0, as in NumPy
    partials=lambda o, out, x: (0 if jump_slope() == 0 else o.step(x, 0, at=jump_slope()) * 0,),
    lower=lambda o, x: o.where(o.greater(x, 0), 1, o.where(o.less(x, 0), -1, o.abs(x))),  # NaN stays NaN
    sympy=lambda s, x: s.sign(x, jump_slope()),
    kinks=lambda o, x: (x,),
    convention="0 everywhere",
)
for _name, _function, _kernel, _doc, _aliases, _spelling in (
    ("floor", np.floor, lambda k, x: k.floor(x), "largest integer ≤ x", (), {}),
    ("ceil", np.ceil, lambda k, x: k.ceil(x), "smallest integer ≥ x", ("ceiling",), {}),
    ("round", np.round, lambda k, x: k.rint(x), "nearest integer, halves to even", ("rint",), {"c": "rint"}),
    ("trunc", np.trunc, lambda k, x: k.trunc(x), "integer part, towards 0", ("fix",), {}),
):
    define(
        _name, 1, _doc, _function, kernel=_kernel, cost="compare", aliases=_aliases, spelling=_spelling,
        partials=lambda o, out, x, jump=_nearest_half if _name == "round" else _nearest_jump: (_flat(o, x, jump),),
        sympy=lambda s, x, name=_name: getattr(s, name)(x, jump_slope()),
        kinks=(lambda o, x: (x - o.floor(x) - 0.5,)) if _name == "round" else (lambda o, x: (x - o.round(x),)),
        convention="0 everywhere",
    )


def _fmod_partials(o, out, x, y):
    """The quotient from the remainder: x / y itself may be rounded up to an integer."""
    jump = 0 if jump_slope() == 0 else _flat(o, x / y, _nearest_jump)
    return 1 + jump, jump - o.round((x - out) / y)


define(
    "fmod", 2, "remainder of x / y with the sign of x", np.fmod, cost="div", integers=True,
    kernel=remainder.fmod,
    partials=_fmod_partials,
    sympy=lambda s, x, y: x - y * s.trunc(x / y, jump_slope()),
    kinks=lambda o, x, y: (x / y - o.round(x / y),),
    spelling={"c": "fmod"},
    domain="y ≠ 0",
    convention="by x 1, by y the quotient rounded towards 0, negative",
)


def _at(default, jax=None):
    return step_value(default, jax)


def _maximum_partials(o, out, x, y):
    first = o.step(x, y, at=_at(0.5))
    return first, 1 - first


def _minimum_partials(o, out, x, y):
    second = o.step(x, y, at=_at(0.5))
    return 1 - second, second


define(
    "maximum", 2, "the larger of two", np.maximum, cost="compare", integers=True,
    kernel=lambda k, x, y: k.select((x > y) | k.isnan(x), x, y),  # a NaN on either side wins
    partials=_maximum_partials,
    # (not less) rather than greater_equal: a NaN selects both, and stays seen
    selects=lambda o, x, y: (o.logical_not(o.less(x, y)), o.logical_not(o.less(y, x))),
    sympy=lambda s, x, y: s.maximum(x, y, _at(0.5)),
    kinks=lambda o, x, y: (x - y,),
    spelling={"c": "({0} > {1} || {0} != {0} ? {0} : {1})"},
    convention="a tie is shared evenly",
)
define(
    "minimum", 2, "the smaller of two", np.minimum, cost="compare", integers=True,
    kernel=lambda k, x, y: k.select((x < y) | k.isnan(x), x, y),
    partials=_minimum_partials,
    selects=lambda o, x, y: (o.logical_not(o.less(y, x)), o.logical_not(o.less(x, y))),
    sympy=lambda s, x, y: s.minimum(x, y, _at(0.5)),
    kinks=lambda o, x, y: (x - y,),
    spelling={"c": "({0} < {1} || {0} != {0} ? {0} : {1})"},
    convention="a tie is shared evenly",
)


def _clip_partials(o, out, x, low, high):
    """As min(max(x, low), high), which is what it is where low > high too."""
    above_low, above_high = o.step(x, low, at=_at(0.5)), o.step(o.maximum(x, low), high, at=_at(0.5))
    below_high = 1 - above_high
    return above_low * below_high, (1 - above_low) * below_high, above_high


def _clip_selects(o, x, low, high):
    raised = o.maximum(x, low)
    cut = o.greater(raised, high)
    return (
        o.logical_not(o.logical_or(o.less(x, low), cut)),
        o.logical_not(o.logical_or(o.greater(x, low), cut)),
        o.logical_not(o.less(raised, high)),
    )


define(
    "clip", 3, "x kept between low and high", np.clip, cost="compare", integers=True,
    partials=_clip_partials,
    lower=lambda o, x, low, high: o.minimum(o.maximum(x, low), high),
    selects=_clip_selects,
    sympy=lambda s, x, low, high: s.minimum(s.maximum(x, low, _at(0.5)), high, _at(0.5)),
    kinks=lambda o, x, low, high: (x - low, x - high),
    spelling={"torch": "torch.clamp"},
    convention="½ at a bound",
)
define(
    "stop_gradient", 1, "x, taken for a constant by every derivative", np.positive, cost="move",
    partials=lambda o, out, x: (None,),
    lower=lambda o, x: o.where(True, x, x),  # a loop that does nothing but copy is not a kernel
    detached=True,
    spelling={"numpy": "(+{0})", "jax": "jax.lax.stop_gradient", "torch": "{0}.detach()", "c": "({0})"},
    convention="0 everywhere, by decree",
)
define(
    "relu", 1, "x where positive, else 0", lambda x: np.maximum(x, 0), cost="compare",
    kernel=lambda k, x: k.select((x > 0) | k.isnan(x), x, 0.0),
    partials=lambda o, out, x: (o.step(x, 0, at=_at(0.0, 0.0)),),
    lower=lambda o, x: o.maximum(x, 0),
    selects=lambda o, x: (o.logical_not(o.less(x, 0)),),
    sympy=lambda s, x: s.maximum(x, 0, _at(0.0, 0.0)),
    kinks=lambda o, x: (x,),
    spelling={"numpy": "numpy.maximum({0}, 0)", "jax": "jax.nn.relu", "torch": "torch.relu"},
    convention="0 at x = 0",
)
