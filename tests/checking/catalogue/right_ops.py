"""Right gradients from the op table: every differentiable operation at several points, array operations, formulas of the corpus.

A point belongs here if a difference can tell a slope there at all: two steps that agree (see `resolvable`). Neither an engine nor
`check_gradient` is asked.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import islice
from typing import Any

import helpers
import numpy as np
from helpers_arrays import array_cases

import diffkit as dk
from diffkit.expr.functions import RULES
from diffkit.expr.node import Expr, variable
from diffkit.expr.text import parse
from diffkit.ops import TABLE
from diffkit.report.corpus import Formula, read_corpus
from diffkit.tape import record

from .cases import Collection

EXPR = Collection("expr")

#: relative steps, and the agreement of two of them that is enough
STEPS, AGREEMENT = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6), 1e-6
#: places where mistakes of a check show: at zero, tiny, large, and near an end of the interval (as a part of its width)
PLACES, NEAR_ENDS = (0.0, 1e-6, -1e-3, 0.7, -2.3, 20.0, 3e3), (1e-6, 1e-3)
POINTS = 4


def resolvable(expression: Expr, names: Sequence[str], point: Sequence[float]) -> bool:
    """Whether central differences of two neighbouring steps agree in every argument, everything being finite."""
    tape = record(expression, [variable(n) for n in names])
    at = lambda values: helpers.run(tape, *(np.float64(v) for v in values))[0]
    with np.errstate(all="ignore"):
        for k, x in enumerate(point):
            slopes = []
            for step in STEPS:
                h = step * (abs(x) or 1.0)
                up, down = ([*point[:k], x + s * h, *point[k + 1 :]] for s in (1, -1))
                slopes.append((at(up) - at(down)) / (up[k] - down[k]))
            a, b = np.array(slopes[:-1]), np.array(slopes[1:])
            if not np.all(np.isfinite(slopes)) or not np.any(np.abs(a - b) <= AGREEMENT * np.abs(b)):
                return False
    return True


def at_kink(case: helpers.Case, names: Sequence[str], point: Sequence[float]) -> bool:
    """Whether a switching quantity of the operation is zero."""
    inputs, values = [variable(n) for n in names], [np.float64(v) for v in point]
    quantities = case.op.kinks(RULES, *inputs, **case.params) if case.op.kinks else ()
    return any(helpers.run(record(q, inputs), *values)[0] == 0 for q in quantities if isinstance(q, Expr))


def candidates(case: helpers.Case) -> Any:
    """Points of an operation, ordinary ones first."""
    rng = np.random.default_rng(zlib.crc32(case.id.encode()))
    for salt in "ab":
        yield [float(v) for v in helpers.tame(case, (), salt=salt)]
    choices = []
    for low, high in case.op.intervals or ((-np.inf, np.inf),) * (case.op.arity or 0):
        width = high - low if np.isfinite(high - low) else 1.0
        ends = [low + part * width for part in NEAR_ENDS if np.isfinite(low)]
        ends += [high - part * width for part in NEAR_ENDS if np.isfinite(high)]
        choices.append([x for x in (*ends, *PLACES) if low < x < high])
    for _ in range(12):
        yield [float(rng.choice(c)) for c in choices]


def operations() -> None:
    for case in helpers.differentiable_cases():
        if case.conditions:
            continue
        expression, names = case.expression(), [f"x{k}" for k in range(case.op.arity or 0)]
        found: list[list[float]] = []
        for point in candidates(case):
            if point not in found and not at_kink(case, names, point) and resolvable(expression, names, point):
                found.append(point)
        for number, point in enumerate(islice(found, POINTS)):
            at = dict(zip(names, point, strict=True))
            EXPR.add(f"{case.id}-{number}", lambda e=expression, at=at: (e, dict(at), None))


def arrays() -> None:
    """One case of each operation on arrays: its result weighted and summed."""
    seen: set[str] = set()
    for case in array_cases():
        op = TABLE.get(case.op)
        result = case.build(*case.inputs("float64")) if case.op not in seen else None
        if result is None or (op and (op.detached or not op.differentiable)) or result.dtype != "float64":
            continue
        seen.add(case.op)
        weight = np.random.default_rng(len(case.id)).uniform(0.5, 1.5, result.shape)
        weighted, at = dk.sum(result * weight), {f"x{k}": v for k, v in enumerate(case.values())}
        EXPR.add(f"arrays-{case.op}", lambda e=weighted, at=at: (e, dict(at), None))


def formulas() -> None:
    """Every fifth formula of the corpus, as text."""
    for entry in read_corpus()[1::5]:
        if not isinstance(entry, Formula):
            continue
        at = {name: float(column[0]) for name, column in entry.points(1, seed=1).items() if name not in entry.unused}
        if resolvable(parse(entry.text), list(at), list(at.values())):
            EXPR.add(f"text-{entry.name}", lambda e=entry.text, at=at: (e, dict(at), None))


operations()
arrays()
formulas()
