"""SymPy functions of our own, for operations whose SymPy counterpart has no usable derivative.

SymPy differentiates `Abs` of a symbol to derivatives of real and imaginary parts, `Max` to nested Heavisides, `Heaviside` to
`DiracDelta`, `floor` to `Derivative(floor)`, and has neither a real cube root, log |Γ| nor rounding to even. These classes
evaluate nothing by themselves, so they keep the domain, and state real derivatives, written here from mathematics and
not from the op table: the symbolic engine and the certified truth rest on them. The derivative at a kink is a parameter, since
the convention (`dk.kinks`) belongs to the expression: SymPy's cache cannot mix two conventions.
"""

from __future__ import annotations

import sympy
from sympy.core.function import ArgumentIndexError


class Own(sympy.Function):
    """Base: nothing is evaluated on construction; piecewise constant unless `fdiff` says otherwise."""

    #: the operation it stands for, and the names of the parameters that its last SymPy arguments hold
    op = ""
    parameters: tuple[str, ...] = ()
    #: how many of its first arguments are known integers that choose the function
    static = 0

    @classmethod
    def eval(cls, *args):
        return None

    def _eval_evalf(self, prec):
        return None

    def fdiff(self, argindex=1):
        return sympy.S.Zero

    def _latex(self, printer, exp=None):
        text = rf"\operatorname{{{self.op.replace('_', ' ')}}}\left({', '.join(map(printer._print, self.args))}\right)"
        return text if exp is None else f"{text}^{{{exp}}}"


class Conditional(Own):
    """`where(condition, x, y)`, with numbers for truth values: 0 is false."""

    op = "where"
    nargs = 3

    def _eval_derivative(self, s):
        condition, x, y = self.args
        dx, dy = x.diff(s), y.diff(s)
        return dx if dx == dy else Conditional(condition, dx, dy)


class Step(Own):
    """1 where x > y, 0 where x < y, `at` where equal. Its derivative is 0: the jump carries none."""

    op = "step"
    parameters = ("at",)
    nargs = 3


class AbsoluteValue(Own):
    """|x|, with slope 2·step(x, 0, at) − 1."""

    op = "abs"
    parameters = ("at",)
    nargs = 2

    def fdiff(self, argindex=1):
        x, at = self.args
        return 2 * Step(x, 0, at) - 1 if argindex == 1 else sympy.S.Zero


def _selected(x, y, above, below, at):
    """`above` where x > y, `below` where x < y, shared at a tie; a derivative that is not chosen cannot touch it (0·∞ would)."""
    if above == below:
        return above
    tie = at * above + (1 - at) * below
    return Conditional(CONDITIONS["greater"](x, y), above, Conditional(CONDITIONS["less"](x, y), below, tie))


class Maximum(Own):
    """The larger of x and y; `at` is the share of x at a tie."""

    op = "maximum"
    parameters = ("at",)
    nargs = 3

    def _eval_derivative(self, s):
        x, y, at = self.args
        return _selected(x, y, x.diff(s), y.diff(s), at)


class Minimum(Own):
    """The smaller of x and y; `at` is the share of *y* at a tie (x − y from 0 to 1 turns the slope from x to y)."""

    op = "minimum"
    parameters = ("at",)
    nargs = 3

    def _eval_derivative(self, s):
        x, y, at = self.args
        return _selected(x, y, y.diff(s), x.diff(s), at)


class Share(Own):
    """`Share(i, sign, x₁, …, at)`: argument i's share of the largest (sign 1) or smallest (−1) of the x.

    A tie is shared evenly; where `at` is NaN, it is NaN for those that take part in it.
    """

    op = "share of extreme"
    parameters = ("at",)
    static = 2


class Largest(Own):
    """The largest of any number of arguments, the last of which is the convention at a tie (see `Share`)."""

    op = "max"
    parameters = ("at",)
    sign = 1

    def fdiff(self, argindex=1):
        return sympy.S.Zero if argindex == len(self.args) else Share(argindex - 1, self.sign, *self.args)


class Smallest(Largest):
    """The smallest of any number of arguments."""

    op = "min"
    sign = -1


class FixedPower(Own):
    """x to a constant power p. SymPy's own power of a number to an arbitrary double would be worked out as an integer root."""

    op = "pow"
    parameters = ("p",)
    nargs = 2

    def fdiff(self, argindex=1):
        x, p = self.args
        return p * FixedPower(x, p - 1) if argindex == 1 else sympy.S.Zero


class CubeRoot(Own):
    """The real cube root; d∛x = 1 / (3 ∛x²)."""

    op = "cbrt"
    nargs = 1

    def fdiff(self, argindex=1):
        return 1 / (3 * self**2)


class Hypotenuse(Own):
    """√(x² + y²); at the origin its derivative is 0, the subgradient of least norm."""

    op = "hypot"
    nargs = 2

    def _eval_derivative(self, s):
        x, y = self.args
        return Conditional(CONDITIONS["equal"](self, 0), sympy.S.Zero, (x * x.diff(s) + y * y.diff(s)) / self)


class LogAbsGamma(Own):
    """log |Γ(x)|; its derivative is ψ(x) on either side of 0 (DLMF 5.2.2)."""

    op = "lgamma"
    nargs = 1

    def fdiff(self, argindex=1):
        return Polygamma(0, self.args[0])


class Polygamma(Own):
    """ψ⁽ⁿ⁾(x). SymPy's own expands at shifted arguments and rational points, which costs accuracy and time."""

    op = "polygamma"
    static = 1
    nargs = 2

    def fdiff(self, argindex=1):
        n, x = self.args
        if argindex != 2:
            raise ArgumentIndexError(self, argindex)
        return Polygamma(n + 1, x)


class ComplementaryError(Own):
    """erfc. SymPy turns its own erfc(−x) into 2 − erfc(x), which cancels in the tail that erfc is there for."""

    op = "erfc"
    nargs = 1

    def fdiff(self, argindex=1):
        return -2 * sympy.exp(-(self.args[0] ** 2)) / sympy.sqrt(sympy.pi)


class Sigmoid(Own):
    """1 / (1 + e⁻ˣ), whose derivative σ(x)·σ(−x) neither cancels nor overflows."""

    op = "sigmoid"
    nargs = 1

    def fdiff(self, argindex=1):
        return self * Sigmoid(-self.args[0])


class Softplus(Own):
    """log(1 + eˣ) without overflow."""

    op = "softplus"
    nargs = 1

    def fdiff(self, argindex=1):
        return Sigmoid(self.args[0])


class LogSumExp(Own):
    """log Σ exp(x_j) of any number of arguments. SymPy's derivative of that form, exp(x_i) / Σ exp(x_j), overflows."""

    op = "logsumexp"

    @classmethod
    def eval(cls, *xs):
        return None if xs else sympy.S.NegativeInfinity

    def fdiff(self, argindex=1):
        return sympy.exp(LogSoftmax(argindex - 1, *self.args))


class LogSoftmax(Own):
    """`LogSoftmax(i, x₁, …)`: argument i less the log of the sum of all exponentials. Its derivatives need no quotient."""

    op = "log_softmax"
    static = 1

    def fdiff(self, argindex=1):
        i, *xs = self.args
        return int(argindex - 2 == i) - sympy.exp(LogSoftmax(argindex - 2, *xs))


class ArcCosine(Own):
    """acos. SymPy turns its own acos(−x) into π − acos(x), which cancels near x = −1."""

    op = "arccos"
    nargs = 1

    def fdiff(self, argindex=1):
        return -1 / sympy.sqrt(1 - self.args[0] ** 2)


class HyperbolicSine(Own):
    """sinh. SymPy's own hyperbolic functions ask whether their argument is real by its real and imaginary parts, written out: in a
    chain of them, such as the layers of a network, that takes time exponential in its length."""

    op = "sinh"
    nargs = 1

    def fdiff(self, argindex=1):
        return HyperbolicCosine(self.args[0])


class HyperbolicCosine(Own):
    """cosh."""

    op = "cosh"
    nargs = 1

    def fdiff(self, argindex=1):
        return HyperbolicSine(self.args[0])


class HyperbolicTangent(Own):
    """tanh; its derivative is the one that SymPy writes."""

    op = "tanh"
    nargs = 1

    def fdiff(self, argindex=1):
        return 1 - self**2


class Sign(Own):
    """−1, 0 or 1; `slope` is its derivative at the jump (0, or NaN under that convention)."""

    op = "sign"
    parameters = ("slope",)
    nargs = 2

    def fdiff(self, argindex=1):
        x, slope = self.args
        return Conditional(CONDITIONS["equal"](x, self._jump(x)), slope, 0) if slope != 0 else slope

    def _jump(self, x):
        """The nearest place of a jump."""
        return sympy.S.Zero


class Floor(Sign):
    """The largest integer ≤ x."""

    op = "floor"

    def _jump(self, x):
        return Round(x, 0)


class Ceil(Floor):
    """The smallest integer ≥ x."""

    op = "ceil"


class Trunc(Floor):
    """The integer part, towards 0."""

    op = "trunc"


class Round(Floor):
    """The nearest integer, halves to even."""

    op = "round"

    def _jump(self, x):
        return Floor(x, 0) + sympy.S.Half


def _condition(name: str) -> type[Own]:
    body = {
        "op": name,
        "nargs": 1 if name == "logical_not" else 2,
        "__doc__": f"{name}, as 1 or 0.",
        "__module__": __name__,
    }
    return type(Own)(name.title().replace("_", ""), (Own,), body)  # type: ignore[misc]


#: comparisons and logic as functions with values 0 and 1
CONDITIONS: dict[str, type[Own]] = {
    name: _condition(name)
    for name in (
        "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or", "logical_not"
    )
}  # fmt: skip
