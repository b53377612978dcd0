"""Text to expressions: a small grammar, read by Lark's LALR parser and never evaluated by Python.

The parser builds nodes while it reads, so there is no tree and no recursion: depth is limited by the length of the
text alone. Functions are the elementwise operations of the table, under their names and aliases. What is written is
kept (`x*1` stays a product); only a constant part is also evaluated, so that `1/0` is refused where it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache, reduce
from typing import Any, NamedTuple

import numpy as np
from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput

from ..errors import ArgumentError, ParseError
from ..ops import CAST, TABLE, Op
from .functions import RULES
from .node import Expr, constant, variable
from .printing import shorten

#: a text longer than this is refused before it is looked at
MAX_CHARACTERS = 100_000

#: One rule a level of binding strength, as in Python's own grammar; comparisons do not chain.
GRAMMAR = r"""
?start: comparison
?comparison: sum | sum COMPARE sum -> binary
?sum: product | sum SIGN product -> binary
?product: signed | product TIMES signed -> binary
?signed: power | SIGN signed -> prefix
?power: atom | atom POWER signed -> binary
?atom: NUMBER -> number
     | NAME -> name
     | LPAR comparison RPAR -> group
     | NAME LPAR [argument (_COMMA argument)*] RPAR -> call
?argument: comparison | NAME _EQUALS comparison -> named

COMPARE: /[<>=!]=|[<>]/
SIGN: /[+-]/
TIMES: /[*\/]/
POWER: /\*\*|\^/
LPAR: "("
RPAR: ")"
_COMMA: ","
_EQUALS: "="
NUMBER: /([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?/
NAME: /[^\W0-9]\w*/
%ignore /\s+/
"""

CONSTANTS = {"pi": math.pi, "π": math.pi, "True": True, "False": False}
#: constants that are written as calls, which leaves the bare names to variables
CALLED_CONSTANTS = {"inf": math.inf, "nan": math.nan, "true": True, "false": False}

#: everyday and SymPy names that the table does not have; `pow` there is the form with a constant exponent
SYNONYMS = {
    "pow": "power", "Abs": "abs", "sgn": "sign",
    "max": "maximum", "Max": "maximum", "min": "minimum", "Min": "minimum",
    "And": "logical_and", "Or": "logical_or", "Not": "logical_not",
    "Eq": "equal", "Ne": "not_equal", "Lt": "less", "Le": "less_equal", "Gt": "greater", "Ge": "greater_equal",
}  # fmt: skip
#: operations that text also takes of more than two arguments
FOLDED = {"maximum", "minimum", "logical_and", "logical_or"}

#: everyday functions of one or two arguments that are written with operations
COMPOSED: dict[str, tuple[int, Callable[..., Any]]] = {
    "cot": (1, lambda x: RULES.reciprocal(RULES.tan(x))),
    "sec": (1, lambda x: RULES.reciprocal(RULES.cos(x))),
    "csc": (1, lambda x: RULES.reciprocal(RULES.sin(x))),
    "coth": (1, lambda x: RULES.reciprocal(RULES.tanh(x))),
    "sech": (1, lambda x: RULES.reciprocal(RULES.cosh(x))),
    "csch": (1, lambda x: RULES.reciprocal(RULES.sinh(x))),
    "root": (2, lambda x, n: RULES.power(x, RULES.divide(1, n))),
    "Heaviside": (1, lambda x: RULES.step(x, 0)),
}

#: names of operations that are better known as letters: without parentheses they are variables
LETTERS = {"psi"}


class Part(NamedTuple):
    """A piece of the text that has been read: its expression, where it stands, its value if it is constant."""

    expr: Expr
    start: int
    end: int
    value: np.float64 | None = None


class Named(NamedTuple):
    """A named argument, `at=0.5`."""

    name: Token
    part: Part


class Fault(Exception):  # noqa: N818  (never leaves this module)
    """What is wrong with a piece of the text; "{}" in the problem stands for the piece."""

    def __init__(self, problem: str, place: Token | Part | int, remedy: str = "") -> None:
        self.problem, self.place, self.remedy = problem, place, remedy

    def on(self, text: str) -> ParseError:
        start, end = (self.place, self.place) if isinstance(self.place, int) else _span(self.place)
        piece = shorten(" ".join(text[start:end].split()), 60)
        return ParseError(self.problem.replace("{}", piece), text, start, self.remedy)


def _span(place: Token | Part) -> tuple[int, int]:
    if isinstance(place, Part):
        return place.start, place.end
    return place.start_pos or 0, place.end_pos or 0  # Lark's types leave room for tokens without a place


def parse(text: str, dtype: str = "float64") -> Expr:
    """The expression that `text` writes; its variables are scalars of `dtype`. ParseError says what is wrong where."""
    if not isinstance(text, str):
        raise ArgumentError(f"parse() reads a string, not {type(text).__name__}")
    if len(text) > MAX_CHARACTERS:
        raise ParseError(
            f"the text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read", text, MAX_CHARACTERS,
            "Build long expressions in Python, with dk.symbols and operators, or trace a function with dk.trace.",
        )  # fmt: skip
    parser = _parser(variable("x", dtype=dtype).dtype)
    try:
        with np.errstate(all="ignore"):
            return parser.parse(text).expr  # type: ignore[attr-defined]
    except UnexpectedInput as error:
        raise _explain(parser, text, error).on(text) from None
    except Fault as fault:
        raise fault.on(text) from None


@cache
def _parser(dtype: str) -> Lark:
    return Lark(GRAMMAR, parser="lalr", lexer="basic", transformer=_Builder(dtype), maybe_placeholders=False)


# ---- building ---------------------------------------------------------------------------------------------------
class _Builder(Transformer):
    """Makes the nodes; one method a rule of the grammar, called as soon as the rule has been read."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self.dtype = dtype

    def number(self, children: list[Token]) -> Part:
        (token,) = children
        value = np.float64(token)
        if not np.isfinite(value):
            remedy = "The largest is 1.797e308; infinity is written inf()."
            raise Fault("the number {} is too large for float64", token, remedy)
        return Part(constant(float(value)), *_span(token), value)

    def name(self, children: list[Token]) -> Part:
        (token,) = children
        _check_name(token)
        if token in CONSTANTS:
            value = CONSTANTS[token]
            return Part(constant(value), *_span(token), np.float64(value))
        if _is_function(token) and token not in LETTERS:
            raise _bare_function(token)
        return Part(variable(str(token), dtype=self.dtype), *_span(token))

    def group(self, children: list) -> Part:
        opening, part, closing = children
        return part._replace(start=opening.start_pos, end=closing.end_pos)

    def prefix(self, children: list) -> Part:
        sign, part = children
        if sign == "+":
            return part._replace(start=sign.start_pos)
        return _applied(RULES.negative, [part], sign.start_pos, part.end)

    def binary(self, children: list) -> Part:
        left, symbol, right = children
        return _applied(getattr(RULES, _infix()[symbol]), [left, right], left.start, right.end)

    def named(self, children: list) -> Named:
        return Named(*children)

    def call(self, children: list) -> Part:
        name, _, *arguments, closing = children
        start, end = name.start_pos, closing.end_pos
        positional = [a for a in arguments if isinstance(a, Part)]
        named = [a for a in arguments if isinstance(a, Named)]
        _check_name(name)
        if name in CALLED_CONSTANTS:
            _check_arguments(name, 0, {}, positional, named)
            value = CALLED_CONSTANTS[name]
            return Part(constant(value), start, end, np.float64(value))
        if name in COMPOSED:
            arity, build = COMPOSED[name]
            _check_arguments(name, arity, {}, positional, named)
            return _applied(build, positional, start, end)
        op = _find(name)
        if op.name in FOLDED and len(positional) > 2:
            _check_arguments(name, None, op.params, positional, named)
            return _applied(lambda *args: reduce(getattr(RULES, op.name), args), positional, start, end)
        params = _check_arguments(name, op.arity, op.params, positional, named)
        return _applied(getattr(RULES, op.name), positional, start, end, params)


def _applied(build: Callable, parts: list[Part], start: int, end: int, params: dict[str, Any] | None = None) -> Part:
    """`build` applied to the expressions, and where all are constant to their values, which must give a real number."""
    params = params or {}
    expr = build(*(p.expr for p in parts), **params)
    values = [p.value for p in parts if p.value is not None]
    if len(values) < len(parts):
        return Part(expr, start, end)
    value = np.float64(build(*values, **params))
    if not np.isfinite(value) and np.all(np.isfinite(values)):  # an infinity written on purpose may go through
        why = _why_not_finite(build, values, params, value)
        remedy = "Infinity is written inf(), not-a-number nan()."
        raise Fault(f"the constant {{}} is {why}", Part(expr, start, end), remedy)
    return Part(expr, start, end, value)


def _why_not_finite(build: Callable, values: list[np.float64], params: dict[str, Any], value: np.float64) -> str:
    if np.isnan(value):
        return "not a real number"
    try:
        with np.errstate(over="raise"):
            build(*values, **params)
    except FloatingPointError:
        return "too large for float64"
    return "infinite"


@cache
def _infix() -> dict[str, str]:
    """Operator symbols with two operands, from the table."""
    return {"^": "power", **{op.infix[0]: op.name for op in TABLE.values() if op.infix and op.arity == 2}}


def _in_text(op: Op) -> bool:
    return op.family == "elementwise" and op is not CAST


def _is_function(name: str) -> bool:
    return name in SYNONYMS or name in COMPOSED or (name in TABLE and _in_text(TABLE[name]))


def _find(name: Token) -> Op:
    if name in SYNONYMS:
        return TABLE[SYNONYMS[name]]
    if _is_function(name):
        return TABLE[name]
    if name in TABLE:
        raise Fault("{} works on arrays, and text has only scalars", name, f"Write it in Python, as dk.{name}(...).")
    of_table = (n for op in TABLE.values() if _in_text(op) for n in (op.name, *op.aliases))
    near = get_close_matches(name, [*SYNONYMS, *COMPOSED, *CALLED_CONSTANTS, *of_table], n=3)
    remedy = f"Did you mean {' or '.join(near)}? " if near else ""
    raise Fault("there is no function {}", name, f"{remedy}A product is written {name}*(...).")


def _check_name(name: Token) -> None:
    if not name.isidentifier():  # \w has characters that no identifier has, such as ²
        raise Fault("{} is not a name", name, "Names have letters, digits and _; powers are written x**2.")


def _bare_function(name: Token) -> Fault:
    return Fault("{} is a function", name, f"Write {name}(...), with its argument in parentheses.")


def _check_arguments(
    name: Token, arity: int | None, params: Mapping[str, Any], parts: list[Part], named: list[Named]
) -> dict[str, Any]:
    """The static parameters, once the call has been found to fit."""
    usage = ", ".join([*(["x", "..."] if arity is None else "xyzw"[:arity]), *(f"{k}={v}" for k, v in params.items())])
    if arity is not None and len(parts) != arity:
        problem = f"{name} takes {arity} argument{'s' * (arity != 1)}, {len(parts)} given"
        raise Fault(problem, name, f"Write {name}({usage}).")
    bound: dict[str, Any] = {}
    for key, part in named:
        if key not in params:
            raise Fault(f"{name} has no parameter {key}", key, f"Write {name}({usage}).")
        if key in bound:
            raise Fault("the parameter {} is given twice", key, "Give it once.")
        wanted = type(params[key])
        if part.value is None or (wanted is int and part.value != np.trunc(part.value)):
            kind = "an integer" if wanted is int else "a number"
            raise Fault(f"the parameter {key} must be {kind}, not {{}}", part, f"Write {name}({usage}).")
        bound[key] = wanted(part.value)
    return bound


# ---- explaining -------------------------------------------------------------------------------------------------
#: what to write instead of a character that the language does not have
_INSTEAD = {
    **dict.fromkeys("−–—", "Write - for minus."), **dict.fromkeys("·×∙⋅", "Write * for a product."),
    "÷": "Write / for a quotient.", "√": "Write sqrt(x).", "∞": "Write inf().",
    "≤": "Write <=.", "≥": "Write >=.", "≠": "Write !=.",
    "&": "Write logical_and(a, b).", "|": "Write logical_or(a, b), or abs(x).",
    "!": "Write logical_not(a), or != to compare.", "~": "Write logical_not(a).",
    "%": "Write x - floor(x/y)*y for a remainder.", "@": "Matrix products are written in Python.",
    ".": "Functions have no module in front: write sin(x), not np.sin(x).",
    **dict.fromkeys("[]{}", "Write parentheses ( ); arrays and indexing are written in Python."),
    **dict.fromkeys("'\"`;:\\#", "The text is one expression, not Python code."),
}  # fmt: skip
_LANGUAGE = "An expression is made of numbers, names, + - * / **, comparisons, parentheses and functions."
_OPERATORS = {"SIGN", "TIMES", "POWER", "COMPARE", "_COMMA", "_EQUALS"}
_OPERAND_ENDS = {"NUMBER", "NAME", "RPAR"}


def _explain(parser: Lark, text: str, error: UnexpectedInput) -> Fault:
    """The fault behind a syntax error, from the token that did not fit and those before it."""
    if isinstance(error, UnexpectedCharacters):
        at = error.pos_in_stream or 0
        problem = f"the character {text[at]!r} has no meaning in an expression"
        return Fault(problem, at, _INSTEAD.get(text[at], _LANGUAGE))
    here: Token = error.token  # type: ignore[attr-defined]
    at_end = here.type == "$END"
    before = list(parser.lex(text if at_end else text[: here.start_pos]))
    last = before[-1] if before else None
    if last is not None and last.type in _OPERAND_ENDS:
        return _unclosed(before) if at_end else _after_operand(last, here)
    if last is not None and last.type in _OPERATORS and (at_end or here.type in ("RPAR", "_COMMA")):
        return Fault("nothing follows {}", last, "Write what stands to its right, or remove it.")
    if last is not None and here.type == "RPAR":
        return Fault("there is nothing between these parentheses", last, "Write an expression, or remove them.")
    if last is None and at_end:
        return Fault("the text is empty", 0, "Write an expression, such as x**2 + 1.")
    if at_end:
        return _unclosed(before)
    remedy = "Write floor(x/y) for the integer part of a quotient." if here == last == "/" else _LANGUAGE
    return Fault("something is missing before {}", here, remedy)


def _after_operand(last: Token, here: Token) -> Fault:
    """The text stops fitting right after a number, a name or a closing parenthesis."""
    if here.type == "COMPARE":
        return Fault("comparisons cannot be chained", here, "Write logical_and(a < b, b < c) for a < b < c.")
    if here.type == "_EQUALS":
        remedy = "Write == to compare; values are given when the function is called, as in f(x=3)."
        return Fault("= gives a name a value, which an expression does not do", here, remedy)
    if here.type == "_COMMA":
        remedy = "Decimals have a point: write 1.5."
        return Fault("a comma stands only between the arguments of a function", here, remedy)
    if here.type == "RPAR":
        return Fault("this ) closes nothing", here, "Remove it, or write the ( that it belongs to.")
    if last.type == "NAME" and _is_function(last):
        return _bare_function(last)
    if {str(here), str(last)} & {"and", "or", "not"}:
        remedy = "Write logical_and(a, b), logical_or(a, b) or logical_not(a)."
    elif last.type == here.type == "NUMBER":
        remedy = "Write the operator."
    elif last.type == "RPAR" or here.type == "LPAR":
        remedy = "Write * for a product."
    else:
        remedy = f"Write {last}*{here} for the product."
    return Fault(f"an operator is missing between {last} and {here}", here, remedy)


def _unclosed(tokens: list[Token]) -> Fault:
    """The innermost parenthesis that is still open at the end."""
    still_open: list[Token] = []
    for token in tokens:
        if token.type == "LPAR":
            still_open.append(token)
        elif token.type == "RPAR":
            still_open.pop()
    return Fault("this ( is never closed", still_open[-1], "Write the ) that is missing.")
