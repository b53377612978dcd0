"""Random scalar expressions from the op table (Hypothesis), inside their domains by construction."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import diffkit as dk
from diffkit.expr.functions import RULES
from diffkit.expr.node import Expr, constant
from diffkit.ops import CAST, TABLE, Op

NAMES = ("x", "y", "lambda")
NUMBERS = (2.0, 3.0, 0.5, -1.25, 0.1, 1e-3, -7.0, 1 / 3, 100.0)

#: parameters to choose from; other operations have their defaults
PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "pow": [{"p": p} for p in (2.0, 3.0, -1.0, 0.5, 1.5, -2.0)],
    "polygamma": [{"n": 1}, {"n": 2}],
    "step": [{"at": 0.5}, {"at": 0.0}],
}


def numeric_ops() -> list[Op]:
    """Operations of scalars that give a number, with the derivative that it has."""
    numbers = (op for op in TABLE.values() if op.family == "elementwise" and op.result == "float")
    return [op for op in numbers if op is not CAST and not op.detached]


def _comparisons() -> list[Op]:
    return [op for op in TABLE.values() if op.result == "bool" and not op.name.startswith("logical")]


def into(x: Expr, interval: tuple[float, float]) -> Expr:
    """An expression of x whose value lies inside the interval."""
    low, high = interval
    if np.isinf(low) and np.isinf(high):
        return x
    if np.isinf(high):
        return dk.square(x) + (low + 0.25)
    return dk.tanh(x) * (0.45 * (high - low)) + (low + high) / 2


@st.composite
def expressions(draw: st.DrawFn, most: int = 8, ops: list[Op] | None = None) -> Expr:
    """A scalar expression of 2 to `most` operations: each takes the last result, and other parts that may be shared."""
    op_names = st.sampled_from([op.name for op in ops or numeric_ops()])
    variables, numbers = st.sampled_from([dk.symbol(n) for n in NAMES]), st.sampled_from([constant(c) for c in NUMBERS])
    made: list[Expr] = [draw(variables)]
    for name in draw(st.lists(op_names, min_size=2, max_size=most)):
        op, place = TABLE[name], draw(st.integers(0, 2))
        part = st.one_of(variables, st.sampled_from(made), numbers)
        arguments = [made[-1] if k == place % (op.arity or 1) else draw(part) for k in range(op.arity or 0)]
        if op.name == "where":
            compare = draw(st.sampled_from(_comparisons()))
            arguments[0] = getattr(RULES, compare.name)(arguments[0], draw(part))
        else:
            whole_line = ((-np.inf, np.inf),) * len(arguments)
            arguments = [into(a, i) for a, i in zip(arguments, op.intervals or whole_line, strict=True)]
        made.append(getattr(RULES, op.name)(*arguments, **draw(st.sampled_from(PARAMETERS.get(op.name, [{}])))))
    return made[-1]


def points(count: int = 3) -> st.SearchStrategy[dict[str, np.ndarray]]:
    """Values for every name, `count` points. Odd fractions keep them off the kinks at round numbers and at ties of two names."""
    columns = {}
    for name, odd in zip(NAMES, (0.000371337, 0.000513719, 0.000718273), strict=True):
        value = st.integers(-2500, 2500).map(lambda n, odd=odd: n / 1000 + odd)
        columns[name] = st.lists(value, min_size=count, max_size=count).map(np.array)
    return st.fixed_dictionaries(columns)


def given_to(f: Expr, at: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [at[name] for name in f.variables]
