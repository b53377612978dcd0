"""The derivation of a derivative, step by step: for each node that depends on x the rule used and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from ..engines.engine import differentiable_tape
from ..errors import ArgumentError, ExceededError
from ..expr import latex
from ..expr.functions import RULES, as_expr
from ..expr.kind import Kind
from ..expr.node import Expr, node, variable
from ..expr.printing import brief, to_text
from ..ops.kinks import current as kink_policy
from ..tape import record
from ..transforms import derivative
from ..transforms.arguments import distinct_variables, expression_of
from ..transforms.programs import check_differentiable, check_scalar
from .grid import Grid
from .nodes import PRIME, Formula, Nodes, equation, formula, marked
from .rules import ONE, tangent

#: rules for what combines its arguments, by the operation and, where that matters, which arguments depend on x
#: a derivation of more steps is refused
MOST_STEPS = 4_000

COMBINING: dict[str | tuple[str, int], str] = {
    "add": "sum rule", "subtract": "difference rule", "negative": "constant factor rule", "sum": "sum rule",
    "multiply": "product rule", "matmul": "product rule", "divide": "quotient rule", "where": "the branch taken",
    ("multiply", 0): "constant factor rule", ("multiply", 1): "constant factor rule", ("matmul", 0): "constant factor rule",
    ("matmul", 1): "constant factor rule", ("divide", 0): "constant factor rule",
}  # fmt: skip
#: names of rules for functions; one that is not here is "derivative of <its name>"
FUNCTIONS = {
    "pow": "power rule",
    "square": "power rule",
    "power": "power with variable exponent",
    "reciprocal": "reciprocal rule",
}
FAMILIES = {"movement": "element by element"}


#: the letters of general formulas carry this uid
_UID = -11


@dataclass(frozen=True)
class Step:
    """One node: what it is, the rule, the rule's general formula (elementwise operations), and what it gives here."""

    node: Formula
    rule: str
    formula: str
    derivative: Formula


@dataclass(frozen=True, eq=False)
class Explanation:
    """What `explain` returns: `steps` as data, `result` as an expression. Printed, the derivation."""

    function: Formula
    wrt: str
    steps: Sequence[Step]
    #: nodes that do not depend on the variable, and so have derivative 0
    constants: Sequence[Formula]
    result: Expr
    #: where the derivative is a convention, in words
    kinks: Sequence[str]

    @property
    def derivative(self) -> Formula:
        """The whole derivative as text and LaTeX."""
        try:
            text = to_text(self.result)
        except ExceededError:
            text = brief(self.result, 400)
        return Formula(text, latex.to_latex(self.result))

    def _grid(self) -> Grid:
        rows = [[s.node, s.rule, s.formula, s.derivative] for s in self.steps]
        return Grid(
            f"f = {self.function}, differentiated by {self.wrt}", ["node", "rule", "in general", "derivative"], rows
        )

    def _notes(self) -> list[str]:
        held = [f"held constant: {', '.join(self.constants)}"] if self.constants else []
        return [*held, *self.kinks]

    def __str__(self) -> str:
        return "\n".join([self._grid().to_text(), "", f"df/d{self.wrt} = {self.derivative}", *self._notes()])

    def __repr__(self) -> str:
        return f"<Explanation of d/d{self.wrt} of {self.function}, {len(self.steps)} steps>"

    def _equation(self) -> str:
        return rf"\frac{{\partial f}}{{\partial {latex.name(self.wrt)}}} = {self.derivative.latex}"

    def to_markdown(self) -> str:
        """A numbered list with LaTeX formulas."""
        lines = [f"$f = {self.function.latex}$, differentiated by ${latex.name(self.wrt)}$:", ""]
        for k, s in enumerate(self.steps, 1):
            general = f" (${s.formula.latex}$)" if isinstance(s.formula, Formula) else ""
            lines.append(f"{k}. ${s.node.latex}$: {s.rule}{general}, so ${s.derivative.latex}$")
        return "\n".join([*lines, "", f"$${self._equation()}$$", *(f"\n{note}" for note in self._notes())])

    def to_latex(self) -> str:
        """The steps as an array and the result below, in display mathematics."""
        return f"\\[\n{self._grid().to_latex()}\n\\]\n\n\\[\n{self._equation()}\n\\]"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def explain(f: Any, wrt: str | Expr | None = None) -> Explanation:
    """The derivative of a scalar expression (or text) by one scalar variable, step by step, in text and LaTeX.

    wrt: the variable; it may be left out where there is only one.

        print(dk.explain("x**2 * sin(x)"))
    """
    f = expression_of(f)
    check_scalar(f.shape, "the expression")
    variables = distinct_variables(f)
    x = _variable(variables, wrt)
    if (count := len(record(f, variables))) > MOST_STEPS:
        raise ExceededError(
            f"explain: {count:,} operations are more than {MOST_STEPS:,}, too many steps to read; see dk.tape(f, wrt=…)"
        )
    nodes = Nodes(differentiable_tape(record(f, variables, as_written=True)))
    tape = nodes.tape
    (source,) = [i for i in tape.inputs if tape.kinds[i] is x.kind]
    moved: dict[int, Expr] = {source: ONE}
    steps, constants, kinks = [], [], []
    for i in tape.instructions():
        args = tape.args[i]
        if not any(a in moved for a in args):
            constants.append(_definition(nodes, i))
            continue
        kinks += _switches(tape.kinds[i], nodes.symbols[i], nodes.arguments(i))
        if not nodes.varies(i):
            continue
        gives = tangent(tape.kinds[i], nodes.symbols[i], nodes.arguments(i), [moved.get(a) for a in args])
        rule, general = _rule(tape.kinds[i], nodes.arguments(i), [a in moved for a in args], inner=source not in args)
        moved[i] = marked(nodes.symbols[i], PRIME)
        steps.append(
            Step(_definition(nodes, i), rule, general, equation(moved[i], as_expr(0.0) if gives is None else gives))
        )
    return Explanation(
        Formula(brief(f, 200), latex.to_latex(f)), x.name, steps, constants, derivative(f, x.name), kinks
    )  # type: ignore[arg-type]


def _variable(variables: Sequence[Expr], wrt: str | Expr | None) -> Expr:
    names = [v.name for v in variables]
    wanted = wrt.name if isinstance(wrt, Expr) else wrt
    if wanted is None and len(names) == 1:
        wanted = names[0]
    if wanted not in names:
        listed = f"its variables are {', '.join(map(str, names)) or '(none)'}"
        raise ArgumentError(
            f"explain needs a variable: wrt=; {listed}"
            if wanted is None
            else f"the expression has no variable {wanted!r}; {listed}"
        )
    x = variables[names.index(wanted)]
    check_differentiable([x])
    if x.shape:
        raise ArgumentError(
            f"explain differentiates by a scalar; {wanted!r} has core shape {x.shape} (trace_table shows arrays)"
        )
    return x


def _definition(nodes: Nodes, i: int) -> Formula:
    return equation(nodes.symbols[i], nodes.defined(i), nodes.expression(i))


# ---- rules by name ----------------------------------------------------------------------------------------------
def _rule(kind: Kind, args: Sequence[Expr], active: Sequence[bool], inner: bool) -> tuple[str, str]:
    """The rule's name and its general formula; `inner`: its argument is not x itself, so the chain rule is used too."""
    op = kind.op
    only = active.index(True) if sum(active) == 1 else -1
    name = COMBINING.get((op.name, only)) or COMBINING.get(op.name) or FAMILIES.get(op.family)
    if name is None:
        name = FUNCTIONS.get(op.name, f"derivative of {op.name}") + (", chain rule" if inner else "")
    return name, "" if op.partials is None else _general(kind, args, active)


def _general(kind: Kind, args: Sequence[Expr], active: Sequence[bool]) -> Formula:
    """The rule on letters: u, v, w depend on x, a, b, c do not; numbers as they are."""
    moving, held = cycle("uvw"), cycle("abc")
    letters = [
        a if a.number is not None else variable(next(moving if moves else held), (), a.dtype, _UID)
        for a, moves in zip(args, active, strict=True)
    ]
    out = RULES.primitive(kind.op.name, *letters, **kind.kwargs)
    primes = [marked(u, PRIME) if moves else None for u, moves in zip(letters, active, strict=True)]
    gives = tangent(kind, out, letters, primes)
    left, right = formula(out), formula(as_expr(0.0) if gives is None else gives)
    return Formula(f"({left})' = {right}", rf"\left({left.latex}\right)' = {right.latex}")


def _switches(kind: Kind, out: Expr, args: Sequence[Expr]) -> list[str]:
    """Where an operation has a kink or a jump, and what its derivative is there."""
    op = kind.op
    if op.kinks is None:
        return [f"{out.name}: {op.convention}"] if op.convention and op.partials is None else []
    places = " or ".join(_zero(as_expr(q)) for q in op.kinks(RULES, *args, **kind.kwargs))
    policy = kink_policy()
    there = op.convention if policy == "default" else f'dk.kinks("{policy}") decides'
    return [
        f"{out.name} = {brief(node(kind, tuple(args)))} switches where {places}"
        + (f"; the derivative there: {there}" if there else "")
    ]


def _zero(quantity: Expr) -> str:
    """``a = b`` for a difference, ``q = 0`` for anything else."""
    left, right = quantity.args if quantity.op.name == "subtract" else (quantity, as_expr(0.0))
    return f"{brief(left)} = {brief(right)}"
