"""The two sweeps as rows of a table: rules as formulas, numbers from the engines that compute gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engines.engine import filled, float_dtype
from ..engines.forward import push
from ..engines.reverse import Sweep
from ..errors import ArgumentError
from ..expr.functions import as_expr
from ..expr.node import Expr, constant
from ..machines.numpy import run
from ..tape import Builder
from .nodes import ADJOINT, TANGENT, Formula, Nodes, equation, formula, marked
from .rules import Term, contributions, tangent, total

#: forward mode has a column for every element of every input; more do not fit a page
MOST_COLUMNS = 8


@dataclass(frozen=True)
class Row:
    """One node. `rule` says what its tangent (its adjoint) is in terms of others; empty where it has none.

    `derivatives`: forward, the node's tangent for each direction; reverse, ``{"f": adjoint}``. Empty where it has none.
    """

    name: Formula
    expression: Formula
    value: Any
    rule: str
    derivatives: Mapping[str, Any]


def forward_rows(nodes: Nodes, wrt: Sequence[int], values: Sequence[np.ndarray]) -> list[Row]:
    """One tangent for each element of the inputs at positions `wrt`."""
    tape, shown = nodes.tape, nodes.shown
    columns = [c for w in wrt for c in elements(tape.names[w], tape.kinds[tape.inputs[w]].shape)]
    if len(columns) > MOST_COLUMNS:
        raise ArgumentError(
            f"forward mode needs a column for each of {len(columns)} input elements, and {MOST_COLUMNS} fit; "
            "choose fewer with wrt=, or mode='reverse'"
        )
    builder = Builder.copy_of(tape)
    pushed = push(builder, len(tape.kinds), _unit_tangents(nodes, builder, wrt), shown)
    primal = _numbers(nodes, builder, shown, values)
    tangents = [_numbers(nodes, builder, row, values) for row in pushed]
    rules = _tangent_rules(nodes)
    return [
        _row(nodes, i, value, rules.get(i, ""), dict(zip(columns, row, strict=True)) if columns else {})
        for i, value, row in zip(shown, primal, tangents, strict=True)
    ]


def _unit_tangents(nodes: Nodes, builder: Builder, wrt: Sequence[int]) -> dict[int, list[int | None]]:
    """For each input its tangent in every direction: one direction an element, None where it is zero."""
    kinds = {i: nodes.tape.kinds[i] for i in (nodes.tape.inputs[w] for w in wrt)}
    total = sum(math.prod(k.shape) for k in kinds.values())
    seeds, start = {}, 0
    for i, kind in kinds.items():
        units = np.eye(math.prod(kind.shape), dtype=float_dtype(kind))
        row: list[int | None] = [None] * total
        for k, unit in enumerate(units, start):
            row[k] = (
                builder.leaf(constant(unit.reshape(kind.shape)).kind) if kind.shape else builder.number(1.0, kind.dtype)
            )
        seeds[i], start = row, start + len(units)
    return seeds


def reverse_rows(nodes: Nodes, wrt: Sequence[int], values: Sequence[np.ndarray]) -> list[Row]:
    """Adjoints of all nodes on the way from the output down to the inputs, seeded with 1."""
    tape, shown = nodes.tape, nodes.shown
    builder = Builder.copy_of(tape)
    sweep = Sweep(builder, len(tape.kinds), [i for i in tape.inputs if nodes.varies(i)])
    sweep.seed(nodes.output, filled(builder, 1.0, tape.kinds[nodes.output].shape, tape.kinds[nodes.output].dtype))
    sweep.run()
    primal = _numbers(nodes, builder, shown, values)
    adjoints = _numbers(nodes, builder, [sweep.adjoint.get(i) for i in shown], values)
    rules = _adjoint_rules(nodes, [i for i in shown if i in sweep.adjoint])
    return [
        _row(nodes, i, value, rules.get(i, ""), {"f": adjoint} if i in sweep.adjoint or i in tape.inputs else {})
        for i, value, adjoint in zip(shown, primal, adjoints, strict=True)
    ]


def _row(nodes: Nodes, i: int, value: Any, rule: str, derivatives: Mapping[str, Any]) -> Row:
    """Where nothing depends on a direction, the derivative is zero."""
    shape = nodes.tape.kinds[i].shape
    full = {k: np.zeros(shape)[()] if d is None else np.broadcast_to(d, shape)[()] for k, d in derivatives.items()}
    return Row(formula(nodes.symbols[i]), nodes.expression(i), value, rule, full if nodes.varies(i) else {})


def _numbers(nodes: Nodes, builder: Builder, wanted: Sequence[int | None], values: Sequence[np.ndarray]) -> list[Any]:
    """Numbers of values that were written onto the builder; None stays None."""
    present = sorted({i for i in wanted if i is not None})
    program = builder.finish(nodes.tape.inputs, present)
    computed = run(program, values)
    found = {i: computed[o][0] for i, o in zip(present, program.outputs, strict=True)}
    return [None if i is None else found[i] for i in wanted]


def elements(name: str, shape: tuple[int, ...]) -> list[str]:
    """``x`` for a scalar, ``x[0]``, ``x[1]``, … for an array."""
    return [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(shape)] if shape else [name]


def _tangent_rules(nodes: Nodes) -> dict[int, Formula]:
    """v̇ = … for every node that depends on a variable."""
    tape, rules = nodes.tape, {}
    dots: dict[int, Expr] = {i: marked(nodes.symbols[i], TANGENT) for i in tape.inputs if nodes.varies(i)}
    for i in tape.instructions():
        if nodes.varies(i) and any(a in dots for a in tape.args[i]):
            moved = tangent(tape.kinds[i], nodes.symbols[i], nodes.arguments(i), [dots.get(a) for a in tape.args[i]])
            dots[i] = marked(nodes.symbols[i], TANGENT)
            rules[i] = equation(dots[i], as_expr(0.0) if moved is None else moved)
    return rules


def _adjoint_rules(nodes: Nodes, reached: Sequence[int]) -> dict[int, Formula]:
    """v̄_i = Σ v̄_j ∂v_j/∂v_i over the users j of i, users in order of evaluation."""
    tape = nodes.tape
    bars = {i: marked(nodes.symbols[i], ADJOINT) for i in reached}
    terms: dict[int, list[Term]] = {i: [(1, as_expr(1.0))] if i == nodes.output else [] for i in reached}
    for j in reached:
        if tape.args[j]:
            handed = contributions(tape.kinds[j], nodes.symbols[j], nodes.arguments(j), bars[j])
            for a, term in zip(tape.args[j], handed, strict=True):
                if a in terms and term is not None:
                    terms[a].append(term)
    sums = {i: total(t) for i, t in terms.items()}
    return {i: equation(bars[i], as_expr(0.0) if s is None else s) for i, s in sums.items()}
