"""Trace tables: forward mode's values and tangents, reverse mode's values and then adjoints, node by node, as written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engines.engine import differentiable_tape
from ..errors import ArgumentError, ShapeError
from ..expr import latex
from ..expr.node import Expr
from ..expr.printing import brief
from ..machines.protocol import Signature
from ..tape import record
from ..transforms.arguments import bind_names, distinct_variables, expression_of
from ..transforms.programs import check_differentiable
from .grid import Grid, number
from .nodes import Formula, Nodes
from .sweeps import Row, elements, forward_rows, reverse_rows


@dataclass(frozen=True, eq=False)
class TraceTable:
    """What `trace_table` returns: `rows` as data (also by name, ``table["v1"]``). Printed, it is a table."""

    function: Formula
    mode: str
    point: Mapping[str, Any]
    rows: Sequence[Row]
    #: forward: one name a direction (`x1`, or `x[0]` of an array); reverse: the inputs whose adjoints end the table
    columns: Sequence[str]
    #: derivatives of f by each of `columns`
    gradient: Mapping[str, Any]

    def grids(self) -> list[Grid]:
        """Forward: one table. Reverse: the values, and the adjoints from the output down."""
        return [_forward_grid(self)] if self.mode == "forward" else [_value_grid(self), _adjoint_grid(self)]

    def __str__(self) -> str:
        return "\n\n".join(g.to_text() for g in self.grids())

    def __repr__(self) -> str:
        return f"<TraceTable of {self.function}, {self.mode} mode, {len(self.rows)} rows>"

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no node {name!r}; there are {', '.join(r.name for r in self.rows)}")

    def to_markdown(self) -> str:
        return "\n\n".join(g.to_markdown() for g in self.grids())

    def to_latex(self) -> str:
        """Display mathematics, one array a table."""
        return "\n\n".join(f"\\[\n{g.to_latex()}\n\\]" for g in self.grids())

    def _repr_html_(self) -> str:
        return "".join(g.to_html() for g in self.grids())


_ROWS = {"forward": forward_rows, "reverse": reverse_rows}


def trace_table(f: Any, at: Any, mode: str = "forward", wrt: Any = None) -> TraceTable:
    """The lecture's table of a derivative at one point: every node of the expression as written, nothing simplified.

    f: an expression or text. at: a dict by name, or a tuple in the order of `f.variables`.
    mode: "forward" gives each node's value, the rule of its tangent, and its tangent for each variable; "reverse" gives
    the values and then the adjoints, from the output down: v̄_i = Σ v̄_j ∂v_j/∂v_i over the users j of i.
    wrt: one variable or several; by default all that have a derivative.

        print(dk.trace_table("(exp(x1/x2) + x1/x2) * (x1/x2 - log(x2))", at=(0.5, 1)))
    """
    if mode not in _ROWS:
        raise ArgumentError(f"there is no mode {mode!r}; choose forward or reverse")
    f = expression_of(f)
    if mode == "reverse" and f.size != 1:
        raise ShapeError(
            f"reverse mode starts from one number, but the expression has core shape {f.shape}; reduce it, or use mode='forward'"
        )
    variables = distinct_variables(f)
    names: list[str] = [v.name for v in variables]  # type: ignore[misc]
    chosen = _positions(variables, wrt)
    tape = differentiable_tape(record(f, variables, as_written=True))
    given = bind_names(names, tuple(at) if isinstance(at, (tuple, list)) else (at,), {})
    arrays, loop = Signature(tape).bind([given[n] for n in names])
    if loop:
        raise ArgumentError(
            f"a trace table is of one point, but the values have loop dims {loop}; choose one of the points"
        )
    nodes = Nodes(tape)
    rows = _ROWS[mode](nodes, chosen, [a[None] for a in arrays])
    by_name: dict[str, Mapping[str, Any]] = {r.name: r.derivatives for r in rows}
    if mode == "reverse":
        columns = [names[k] for k in chosen]
        gradient = {c: by_name[c]["f"] for c in columns}
    else:  # a function that is a constant has no row
        columns = [c for k in chosen for c in elements(names[k], variables[k].shape)]
        gradient = dict(by_name.get(nodes.name(nodes.output), dict.fromkeys(columns, np.zeros(f.shape)[()])))
    point = {n: a[()] for n, a in zip(names, arrays, strict=True)}
    return TraceTable(Formula(brief(f, 100), latex.to_latex(f)), mode, point, rows, columns, gradient)


def _positions(variables: Sequence[Expr], wrt: Any) -> list[int]:
    """Positions of the variables to differentiate by."""
    names = [v.name for v in variables]
    if wrt is None:
        return [k for k, v in enumerate(variables) if v.dtype.startswith("float")]
    wanted = [w.name if isinstance(w, Expr) else w for w in ([wrt] if isinstance(wrt, (str, Expr)) else wrt)]
    for w in wanted:
        if w not in names:
            raise ArgumentError(
                f"the expression has no variable {w!r}; its variables are {', '.join(map(str, names)) or '(none)'}"
            )
    check_differentiable([v for v in variables if v.name in wanted])
    return [names.index(w) for w in wanted]


# ---- as grids ---------------------------------------------------------------------------------------------------
def _heading(t: TraceTable) -> str:
    point = ", ".join(f"{n} = {number(v)}" for n, v in t.point.items())
    return f"f = {t.function}" + (f" at {point}" if point else "")


def _by(column: str, above: str = "") -> Formula:
    """∂f/∂x."""
    name, bracket, index = column.partition("[")
    below = latex.name(name) + (f"_{{{index[:-1]}}}" if bracket else "")
    return Formula(f"∂{above}/∂{column}", rf"\frac{{\partial {above}}}{{\partial {below}}}")


def _forward_grid(t: TraceTable) -> Grid:
    rows = [
        [r.name, _is(r), number(r.value), r.rule, *(number(r.derivatives.get(c)) for c in t.columns)] for r in t.rows
    ]
    numbers = frozenset({2, *range(4, 4 + len(t.columns))})
    return Grid(
        f"{_heading(t)}, forward mode", ["node", "expression", "value", "tangent", *map(_by, t.columns)], rows, numbers
    )


def _is(row: Row) -> str:
    return "input" if row.name == row.expression else row.expression


def _value_grid(t: TraceTable) -> Grid:
    rows = [[r.name, _is(r), number(r.value)] for r in t.rows]
    return Grid(
        f"{_heading(t)}, reverse mode: values, from the inputs up",
        ["node", "expression", "value"],
        rows,
        frozenset({2}),
    )


def _adjoint_grid(t: TraceTable) -> Grid:
    nodes = [r for r in reversed(t.rows) if r.derivatives and r.name not in t.point]
    inputs = [r for r in t.rows if r.name in t.columns]
    rows = [[r.name, r.rule, number(r.derivatives["f"])] for r in nodes]
    rows += [[_by(r.name, "f"), r.rule, number(r.derivatives["f"])] for r in inputs]
    return Grid("Adjoints, from the output down", ["node", "adjoint", "value"], rows, frozenset({2}))
