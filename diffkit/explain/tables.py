"""Trace tables: forward mode's values and tangents, reverse mode's values and then adjoints, node by node, as written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._calls import _same_variable, bind_names, check_differentiable, check_scalar, expression_of
from ..engines.engine import differentiable_tape, filled, float_dtype
from ..engines.forward import _unit_seeds, push
from ..engines.reverse import Sweep
from ..errors import ArgumentError
from ..expr.node import Expr
from ..expr.printing import brief
from ..machines.machine import bind
from ..machines.numpy import run
from ..ops import CONSTANT, VARIABLE
from ..tape import Builder, Tape, record
from .grid import Grid, number
from .nodes import ADJOINT, TANGENT, Formula, Nodes, equation, formula, marked
from .rules import contributions, tangent, total

MODES = ("forward", "reverse")
#: forward mode has a column for every element of every input; more do not fit a page
MOST_COLUMNS = 8


@dataclass(frozen=True)
class Row:
    """One node. `rule` says what its tangent (its adjoint) is in terms of others; empty where it has none.

    `derivatives`: forward, the node's tangent for each direction; reverse, ``{"f": adjoint}``.
    """

    name: Formula
    expression: Formula
    value: Any
    rule: Formula | str
    derivatives: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class TraceTable:
    """What `trace_table` returns: `rows` as data; printed, a table; also Markdown, LaTeX, and HTML in notebooks."""

    function: str
    mode: str
    point: Mapping[str, Any]
    rows: Sequence[Row]
    #: forward: the directions; reverse: the inputs by which the gradient is listed
    columns: Sequence[str]
    #: the derivatives of f by each column, as numbers
    gradient: Mapping[str, Any]

    def grids(self) -> list[Grid]:
        return [_forward_grid(self)] if self.mode == "forward" else _reverse_grids(self)

    def __str__(self) -> str:
        return "\n\n".join(g.to_text() for g in self.grids())

    def __repr__(self) -> str:
        return f"<TraceTable of {self.function}, {self.mode} mode, {len(self.rows)} rows>"

    def __getitem__(self, name: str) -> Row:
        """A row by the node's name."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def to_markdown(self) -> str:
        return "\n\n".join(g.to_markdown() for g in self.grids())

    def to_latex(self) -> str:
        return "\n\n".join(f"\\[\n{g.to_latex()}\n\\]" for g in self.grids())

    def _repr_html_(self) -> str:
        return "".join(g.to_html() for g in self.grids())


def trace_table(f: Any, at: Any, mode: str = "forward", wrt: str | Sequence[str] | None = None) -> TraceTable:
    """The lecture's table of a derivative at one point: every node of the expression as written, nothing simplified.

    f: an expression or text. at: a dict by name, or a tuple in the order of `f.variables`.
    mode "forward": each node's value, the rule of its tangent, and its tangent for each variable.
    mode "reverse": the values, and then the adjoints from the output down, v̄_i = Σ v̄_j ∂v_j/∂v_i over the users j of i.
    wrt: one variable or several; by default all that have a derivative.

        print(dk.trace_table("(exp(x1/x2) + x1/x2) * (x1/x2 - log(x2))", at=(0.5, 1)))
    """
    if mode not in MODES:
        raise ArgumentError(f"there is no mode {mode!r}; choose forward or reverse")
    f = expression_of(f)
    variables = _same_variable(f)
    chosen = _chosen(variables, wrt)
    tape = differentiable_tape(record(f, variables, as_written=True))
    names = [v.name for v in variables]
    given = bind_names(names, tuple(at) if isinstance(at, (tuple, list)) else (at,), {})  # type: ignore[arg-type]
    arrays, loop = bind(tape, [given[n] for n in names])
    if loop:
        raise ArgumentError(f"a trace table is of one point, but the values have loop dims {loop}; choose one of the points")
    values = [a[None] for a in arrays]
    nodes = Nodes(tape)
    rows, columns, gradient = (_forward_rows if mode == "forward" else _reverse_rows)(nodes, chosen, values)
    return TraceTable(brief(f, 200), mode, {n: a[()] for n, a in zip(names, arrays, strict=True)}, rows, columns, gradient)


def _chosen(variables: Sequence[Expr], wrt: Any) -> list[int]:
    """Positions of the variables to differentiate by."""
    names = [v.name for v in variables]
    if wrt is None:
        return [k for k, v in enumerate(variables) if v.dtype.startswith("float")]
    wanted = [w.name if isinstance(w, Expr) else w for w in ([wrt] if isinstance(wrt, (str, Expr)) else wrt)]
    for w in wanted:
        if w not in names:
            raise ArgumentError(f"the expression has no variable {w!r}; its variables are {', '.join(map(str, names)) or '(none)'}")
    check_differentiable([v for v in variables if v.name in wanted])
    return [names.index(w) for w in wanted]


def _shown(tape: Tape) -> list[int]:
    """Inputs in their order, then instructions; constants are shown inside expressions."""
    return [*tape.inputs, *tape.instructions()]


def _evaluated(tape: Tape, builder: Builder, wanted: Sequence[int | None], values: Sequence[np.ndarray]) -> list[Any]:
    """Numbers of values written onto the builder; None stays None."""
    present = sorted({i for i in wanted if i is not None})
    computed = run(program := builder.finish(tape.inputs, present), values)
    found = {i: computed[o][0] for i, o in zip(present, program.outputs, strict=True)}
    return [None if i is None else found[i] for i in wanted]


def _varies(tape: Tape, i: int) -> bool:
    return tape.kinds[i].dtype not in ("bool", "int64")


# ---- forward ----------------------------------------------------------------------------------------------------
def _forward_rows(nodes: Nodes, chosen: list[int], values: list[np.ndarray]) -> tuple[list[Row], list[str], dict[str, Any]]:
    tape, shown = nodes.tape, _shown(nodes.tape)
    sizes = [math.prod(tape.kinds[tape.inputs[w]].shape) for w in chosen]
    if sum(sizes) > MOST_COLUMNS:
        raise ArgumentError(f"forward mode needs a column for each of {sum(sizes)} input elements; choose some with wrt=, or mode='reverse'")
    columns = [_element(tape.names[w], tape.kinds[tape.inputs[w]].shape, k) for w, n in zip(chosen, sizes, strict=True) for k in range(n)]
    builder = Builder.copy_of(tape)
    seeds, _ = _unit_seeds(builder, tape, chosen)
    pushed = push(builder, len(tape.kinds), seeds, shown) if chosen else [[] for _ in shown]
    primal = _evaluated(tape, builder, shown, values)
    numbers = iter(_evaluated(tape, builder, [t for row in pushed for t in row], values))
    rules = _tangent_rules(nodes)
    rows = []
    for i, value in zip(shown, primal, strict=True):
        moved = {c: next(numbers) for c in columns}
        if _varies(tape, i):
            moved = {c: np.zeros(np.shape(value)) if t is None else np.reshape(t, np.shape(value)) for c, t in moved.items()}
        else:
            moved = {}
        rows.append(Row(formula(nodes.symbols[i]), nodes.expression(i), value, rules.get(i, ""), moved))
    result = rows[shown.index(nodes.output)].derivatives if nodes.output in shown else dict.fromkeys(columns, 0.0)
    return rows, columns, {c: t for c, t in result.items()}


def _element(name: str, shape: tuple[int, ...], k: int) -> str:
    return f"{name}[{', '.join(str(int(j)) for j in np.unravel_index(k, shape))}]" if shape else name


def _tangent_rules(nodes: Nodes) -> dict[int, Formula]:
    """v̇ = … for every node that depends on a variable."""
    tape, rules = nodes.tape, {}
    dots: dict[int, Expr] = {i: marked(nodes.symbols[i], TANGENT) for i in tape.inputs if _varies(tape, i)}
    for i in tape.instructions():
        if not _varies(tape, i) or not any(a in dots for a in tape.args[i]):
            continue
        right = tangent(tape.kinds[i], nodes.symbols[i], nodes.arguments(i), [dots.get(a) for a in tape.args[i]])
        dots[i] = marked(nodes.symbols[i], TANGENT)
        rules[i] = equation(dots[i], filled_zero(nodes, i) if right is None else right)
    return rules


def filled_zero(nodes: Nodes, i: int) -> Expr:
    from ..expr.node import constant

    return constant(0.0)


def _forward_grid(t: TraceTable) -> Grid:
    derivative = [Formula(f"∂/∂{c}", rf"\partial/\partial {_name(c)}") for c in t.columns]
    rows = [
        [r.name, r.expression, number(r.value), r.rule, *(number(r.derivatives[c]) if r.derivatives else "–" for c in t.columns)] for r in t.rows
    ]
    numbers = frozenset({2, *range(4, 4 + len(derivative))})
    return Grid(f"{_heading(t)}: forward mode", ["node", "is", "value", "tangent", *derivative], rows, numbers)
