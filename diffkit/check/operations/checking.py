"""`check_op`: the order of the work, and which field of the record is wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...engines.engine import needs_derivative
from ...ops import Op
from ...truth import Truth, certify
from ..gradients.suspects import Suspect
from . import derivatives
from .derivatives import Found
from .result import Fault, OpCheck, Row
from .subject import Subject, drawn, find
from .values import attempt, truth_row, value_rows

#: points, and numbers of a structured operation's arguments, that SymPy's form is evaluated at
MOST_TRUTH, MOST_ELEMENTS = 24, 16
#: check_gradient speaks of gradients; a rule gives partials
_PARTIAL = ("gradient", "partial")


def check_op(
    op: Any,
    *,
    params: Mapping[str, Any] | None = None,
    at: Any = None,
    shapes: Sequence[tuple[int, ...]] | None = None,
    seed: int = 0,
) -> OpCheck:
    """Check an operation's record: its rules against each other, against SymPy, and against differences of its values.

    op:     its name, its function (what dk.register_op returned) or its record.
    params: its static parameters, where not the defaults.
    at:     arguments to check it at, by position (a tuple) or by name (a dict): points (points,) of an elementwise operation,
            one array each of a structured one. By default they are drawn: inside the record's `intervals`, near their ends, at
            0, ±1 and large numbers; of a structured operation by `shapes`, one core shape an argument.
    seed:   of what is drawn.

    Compared are values (NumPy function, lowered form, the cpu machine's kernel, SymPy form in certified arithmetic, float32,
    extreme numbers), dtype and shape, first derivatives (rule, differences with error bars, SymPy's, the lowered form's, forward
    and reverse) and second ones. `print(r)` is a table of all; `r.faults` name the fields of the record that are wrong. At kinks,
    and of operations whose derivative is decreed, derivatives are not compared, and `r.notes` say so.

    Returns an OpCheck; `bool(r)` is True where nothing is wrong. Raises OpError for what is not an operation, or cannot be run at
    the points; UnsupportedError for one that is to be differentiated and has no derivative rule.

        >>> import diffkit as dk
        >>> f = dk.register_op("halved", lower=lambda o, x: x * x / 2, partials=lambda o, out, x: (2 * x,))
        >>> r = dk.check_op(f)
        >>> r.ok, r.faults[0].field, r.faults[0].code
        (False, 'partials', 'factor')
    """
    started = time.perf_counter()
    found = find(op)
    subject = drawn(found, params, at, shapes, seed)
    differentiable = bool(subject.numeric) and found.result not in ("bool", "int")
    if differentiable and found.lower is None:
        needs_derivative(subject.expression.kind)
    result = OpCheck(found.name, subject.params, subject.names)
    result.rows += value_rows(subject)
    truth, truth_value = _truth(subject)
    result.rows.append(truth_value)
    _blame_values(result, found)
    if differentiable:
        _derivatives(result, subject, truth, truth_value, seed)
    else:
        result.notes.append("conditions and integers have no derivative")
    result.seconds = time.perf_counter() - started
    return result


# ---- values -------------------------------------------------------------------------------------------------------
def _truth(subject: Subject) -> tuple[Truth | None, Row]:
    """SymPy's form and its derivative in balls, at some of the points."""
    row = Row("value", "NumPy function", "SymPy form", subject.dtype, 0, "not compared")
    if not subject.numeric or subject.op.result == "int":
        row.note = "it has no argument that is a real number"
        return None, row
    if not subject.elementwise and sum(c.size for c in subject.columns) > MOST_ELEMENTS:
        row.note = f"its arguments have more than {MOST_ELEMENTS} numbers"
        return None, row
    found: list[Truth] = []

    def work() -> Row:
        f = subject.expression
        used = {n: v[:MOST_TRUTH] for n, v in subject.values.items() if n in f.variables}
        wrt = [subject.names[k] for k in subject.numeric if subject.names[k] in used]
        value = truth_row(subject.at(np.arange(min(MOST_TRUTH, subject.points))), certify(f, [], used))
        found.append(certify(f, wrt, used))
        return value

    row = attempt(row, work)
    return (found[0] if found else None), row


def _blame_values(result: OpCheck, op: Op) -> None:
    """Which way of computing the value is not like the others; the NumPy function, if all the others are alike."""
    off = {r.other: r for r in result.rows if r.what.startswith("value") and r.verdict == "differ"}
    for r in result.rows:
        if r.what == "dtype and shape" and r.verdict == "differ":
            result.faults.append(Fault("shape" if "a point" in r.note else "result", r.note))
    ways = {
        r.other for r in result.rows if r.what == "value" and r.verdict != "not compared" and r.other != "in float32"
    }
    # without a SymPy form of its own, SymPy's is the lowered form
    if len(ways) > 1 and ways <= set(off) and None not in (op.lower, op.sympy):
        result.faults.append(Fault("numpy", "the NumPy function is not what the lowered form and the SymPy form say"))
        return
    fields = {
        "lowered form": "lower",
        "SymPy form": "sympy" if op.sympy is not None else "lower",
        "in float32": "numpy",
    }
    for other, row in off.items():
        field = fields.get(other) or (
            "kernel" if op.kernel is not None else "lower" if op.lower is not None else "numpy"
        )
        if any(f.field == field for f in result.faults):
            continue
        what = {"numpy": "in float32 it is another function"}.get(field, f"the {other} is not the NumPy function")
        where = f" {row.worst}" if row.worst is not None else f": {row.note}" if row.note else ""
        result.faults.append(Fault(field, what + where))


# ---- derivatives --------------------------------------------------------------------------------------------------
def _derivatives(result: OpCheck, subject: Subject, truth: Truth | None, truth_value: Row, seed: int) -> None:
    op, found = subject.op, Found()
    some = subject.at(np.arange(min(MOST_TRUTH, subject.points))) if truth is not None else subject
    right = truth_value.verdict in ("agree", "remark")

    def work() -> Row:
        nonlocal found
        way = derivatives.elementwise if subject.elementwise else derivatives.structured
        found = way(some, truth, right, seed)
        return row

    row = Row("derivatives", "record", "rules", subject.dtype, 0, "agree")
    row = attempt(row, work)
    lowered = all(r.verdict != "differ" for r in result.rows if r.other == "lowered form")
    for r in found.rows:
        if r.other == "derivative of the lowered form" and not lowered:
            r.verdict, r.worst, r.note = "not compared", None, "the lowered form is not the NumPy function"
    result.rows += found.rows if row.verdict == "agree" else [row]
    result.notes += found.notes
    _blame_derivatives(result, op, found, subject)


def _blame_derivatives(result: OpCheck, op: Op, found: Found, subject: Subject) -> None:
    if any(f.field == "numpy" for f in result.faults):
        return  # whose differences are those of another function
    rule = "partials" if op.partials is not None else "jvp" if op.jvp is not None and op.vjp is None else "vjp"
    if not op.differentiable:
        rule = "lower"
    for s in found.suspects:
        text, field = str(s), rule
        if subject.elementwise:
            text = text.replace(*_PARTIAL)
        elif ": " in text:
            field, _, text = text.partition(": ")
        if s.code == "zero" and subject.elementwise:
            text += " (if that is meant, state detached=True)"
        result.faults.append(Fault(field, _by(text, s), s.leaves, s.code))
    for row in result.rows:
        if row.verdict != "differ" or row.what.startswith(("value", "dtype")):
            continue
        field, message = _row_fault(row, op, rule)
        if all(f.field != field for f in result.faults) and not (found.suspects and field == rule):
            where = f" {row.worst}" if row.worst is not None else f": {row.note}" if row.note else ""
            result.faults.append(Fault(field, message + where, _argument(row, subject)))


def _by(text: str, s: Suspect) -> str:
    return text if any(n in text.split() for n in s.leaves) or not s.leaves else f"{text} (by {', '.join(s.leaves)})"


def _row_fault(row: Row, op: Op, rule: str) -> tuple[str, str]:
    if row.what.startswith("⟨"):
        return "jvp", "jvp is not the transpose of vjp"
    if row.what.startswith(("∂²", "second")):
        return rule, f"{row.what}: the derivative of the rule is not that of its value"
    if row.other == "derivative of the lowered form":
        return "lower", f"its {row.what} is not that of the rule"
    return rule, f"{row.what} is not what {row.other} say" if row.other != "rules" else row.note


def _argument(row: Row, subject: Subject) -> tuple[str, ...]:
    return tuple(n for n in subject.names if row.what.endswith(n))
