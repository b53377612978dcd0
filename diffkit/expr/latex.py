r"""LaTeX of an expression as it was written.

An operation's form is a template in TeX's own way: `\sqrt{#1}`, where #1 is the first argument. With it go how
strongly the result binds and how strongly each argument must (0: any, it is fenced). A record may bring its own
template as `spelling={"latex": ...}`; an operation without one is `\operatorname{name}\left(...\right)`.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any, NamedTuple

from .node import Expr
from .printing import Pieces, emit, length, operations, params_text, value_text

#: binding strengths; unary minus binds like a product, so that -x y needs no parentheses
RELATION, SUM, PRODUCT, FRACTION, POWER, ATOM = 5, 10, 20, 35, 40, 100


class Form(NamedTuple):
    template: str
    strength: int = ATOM
    least: tuple[int, ...] = ()


def _call(name: str) -> Form:
    return Form(rf"{name}\left(#1\right)")


def _relation(symbol: str) -> Form:
    return Form(f"#1 {symbol} #2", RELATION, (SUM, SUM))


FORMS = {
    "add": Form("#1 + #2", SUM, (SUM, SUM)),
    "subtract": Form("#1 - #2", SUM, (SUM, PRODUCT)),
    "multiply": Form("#1*#2", PRODUCT, (PRODUCT, PRODUCT)),
    "matmul": Form("#1*#2", PRODUCT, (PRODUCT, PRODUCT)),
    "divide": Form(r"\frac{#1}{#2}", FRACTION),
    "negative": Form("-#1", PRODUCT, (PRODUCT,)),
    "reciprocal": Form(r"\frac{1}{#1}", FRACTION),
    "power": Form("#1^{#2}", POWER, (POWER + 1, 0)),
    "square": Form("#1^{2}", POWER, (POWER + 1,)),
    "sqrt": Form(r"\sqrt{#1}"),
    "cbrt": Form(r"\sqrt[3]{#1}"),
    "hypot": Form(r"\sqrt{#1^{2} + #2^{2}}", ATOM, (POWER + 1, POWER + 1)),
    "exp": Form("e^{#1}", POWER),
    "exp2": Form("2^{#1}", POWER),
    "expm1": Form("e^{#1} - 1", SUM),
    "log": _call(r"\ln"),
    "log2": _call(r"\log_{2}"),
    "log10": _call(r"\log_{10}"),
    "log1p": Form(r"\ln\left(1 + #1\right)", ATOM, (SUM,)),
    "logaddexp": Form(r"\ln\left(e^{#1} + e^{#2}\right)"),
    **{f: _call(rf"\{f}") for f in ("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh")},
    "sech_squared": _call(r"\operatorname{sech}^{2}"),
    "arcsinh": _call(r"\operatorname{arsinh}"),
    "arccosh": _call(r"\operatorname{arcosh}"),
    "arctanh": _call(r"\operatorname{artanh}"),
    "arctan2": Form(r"\operatorname{atan2}\left(#1, #2\right)"),
    "abs": Form(r"\left|#1\right|"),
    "floor": Form(r"\left\lfloor #1\right\rfloor"),
    "ceil": Form(r"\left\lceil #1\right\rceil"),
    "sign": _call(r"\operatorname{sgn}"),
    "maximum": Form(r"\max\left(#1, #2\right)"),
    "minimum": Form(r"\min\left(#1, #2\right)"),
    "lgamma": Form(r"\ln\left|\Gamma\left(#1\right)\right|"),
    "digamma": _call(r"\psi"),
    "where": Form(r"\begin{cases} #2 & \text{if } #1 \\ #3 & \text{otherwise} \end{cases}", RELATION),
    "less": _relation("<"),
    "less_equal": _relation(r"\le"),
    "greater": _relation(">"),
    "greater_equal": _relation(r"\ge"),
    "equal": _relation("="),
    "not_equal": _relation(r"\ne"),
    "logical_and": Form(r"#1 \land #2", RELATION - 1, (RELATION, RELATION)),
    "logical_or": Form(r"#1 \lor #2", RELATION - 1, (RELATION, RELATION)),
    "logical_not": Form(r"\lnot #1", SUM, (SUM,)),
    "transpose": Form(r"#1^{\mathsf{T}}", POWER, (POWER + 1,)),
}

#: functions whose power is written sin²(x)
_POWER_INSIDE = {"sin", "cos", "tan", "sinh", "cosh", "tanh", "log"}

GREEK = frozenset(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma "  # noqa: SIM905
    "tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega".split()
)


def to_latex(f: Expr, limit: int = 4000) -> str:
    r"""LaTeX of the expression; \text{(1,234 operations)} where it would be longer than `limit` characters."""
    writer = _Writer()
    if length(f, writer.spell, limit) > limit:
        return rf"\text{{({operations(f):,} operations)}}"
    return "".join(emit(f, writer.spell))


class _Writer:
    """Spells nodes. A node's first character decides about signs and dots; arguments are spelled before users."""

    def __init__(self) -> None:
        self.first: dict[int, str] = {}

    def spell(self, n: Expr) -> Pieces:
        pieces = self._pieces(n)
        head = pieces[0]
        self.first[id(n)] = head[0] if isinstance(head, str) else self.first[id(head)]
        return pieces

    def _pieces(self, n: Expr) -> Pieces:
        if n.op.family == "leaf":
            return [_leaf(n)]
        if n.op.name == "pow":
            return self._power(n.args[0], n.params["p"])
        form = _form(n)
        pieces: list[str | Expr] = []
        for i, part in enumerate(re.split(r"#(\d)", form.template)):
            if i % 2:
                which = int(part) - 1
                pieces += self._argument(n.args[which], form.least[which] if form.least else 0, leads=not pieces)
            elif part:
                pieces.append(self._times(n.args[1]) if part == "*" else part)
        return pieces

    def _times(self, right: Expr) -> str:
        """Nothing but a thin space, except before a digit."""
        return r" \cdot " if strength(right) >= PRODUCT and self.first[id(right)].isdigit() else r" \, "

    def _argument(self, a: Expr, least: int, leads: bool) -> Pieces:
        """In parentheses where it binds too weakly, or where its minus would follow something."""
        bare = not least or (strength(a) >= least and (leads or self.first[id(a)] != "-"))
        return [a] if bare else [r"\left(", a, r"\right)"]

    def _power(self, base: Expr, p: float) -> Pieces:
        exponent = f"^{{{number(p)}}}"
        if base.op.name in _POWER_INSIDE and p > 1 and p.is_integer():
            command, rest = FORMS[base.op.name].template.split(r"\left", 1)
            opening, closing = rest.split("#1")
            return [rf"{command}{exponent}\left{opening}", base.args[0], closing]
        return [*self._argument(base, POWER + 1, True), exponent]


def _form(n: Expr) -> Form:
    op = n.op
    if "latex" in op.spelling:
        return Form(op.spelling["latex"])
    if op.name in FORMS:
        return FORMS[op.name]
    if op.name == "polygamma":
        return _call(rf"\psi^{{\left({n.params['n']}\right)}}")
    places = [*(f"#{i}" for i in range(1, len(n.args) + 1)), *(rf"\text{{{_escape(p)}}}" for p in params_text(n))]
    return Form(rf"\operatorname{{{_escape(op.name)}}}\left({', '.join(places)}\right)")


def strength(n: Expr) -> int:
    if n.op.name == "pow":
        return POWER
    value = n.number
    if value is not None and not isinstance(value, bool):
        text = number(value)
        return PRODUCT if text[0] == "-" or "cdot" in text else POWER if "^" in text else ATOM
    return _form(n).strength if n.args else ATOM


def _leaf(n: Expr) -> str:
    if n.name is not None:
        return name(n.name)
    value: Any = n.params["value"]
    if isinstance(value, bool):
        return r"\text{true}" if value else r"\text{false}"
    return number(value) if isinstance(value, (int, float)) else rf"\text{{{value_text(value)}}}"


# ---- numbers and names ------------------------------------------------------------------------------------------
def number(value: float) -> str:
    r"""A number: 1.5 \cdot 10^{-3} for the very large and small, \pi for pi."""
    sign, size = "-" if math.copysign(1, value) < 0 else "", abs(value)
    if size == math.pi:
        return rf"{sign}\pi"
    if not math.isfinite(size):
        return rf"{sign}\infty" if size == math.inf else rf"{sign}\mathrm{{NaN}}"
    decimal = Decimal(repr(float(size))).normalize()
    exponent = decimal.adjusted()
    if -3 < exponent < 6 or 0 < exponent < len(decimal.as_tuple().digits) + 3:
        return f"{sign}{decimal:f}"
    mantissa, power = decimal.scaleb(-exponent), f"10^{{{exponent}}}"
    return sign + (power if mantissa == 1 else rf"{mantissa} \cdot {power}")


def name(text: str) -> str:
    r"""A variable's name: Greek letters, digits and what follows _ as subscripts, \mathrm for words."""
    base, *subscripts = [part for part in text.split("_") if part] or [text]
    stem, digits = re.fullmatch(r"(.*?)([0-9]*)", base, re.DOTALL).groups()  # type: ignore[union-attr]
    if not stem or text.endswith("_") or text.startswith("_"):
        return rf"\mathrm{{{_escape(text)}}}"
    subscripts = [*([digits] if digits else []), *subscripts]
    return _word(stem) + (f"_{{{','.join(map(_word, subscripts))}}}" if subscripts else "")


def _word(text: str) -> str:
    if text in GREEK:
        return f"\\{text}"
    return text if text.isdigit() or (text.isalpha() and len(text) == 1) else rf"\mathrm{{{_escape(text)}}}"


def _escape(text: str) -> str:
    special = {"\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim "}
    return re.sub(r"[\\{}$&#^_%~]", lambda m: special.get(m[0], f"\\{m[0]}"), text)
