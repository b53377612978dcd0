"""The ways a record has of computing its value, held against the first of them, its NumPy function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...engines.rounding import SAFETY, rounding_bound
from ...errors import DiffkitError
from ...numerics import tiniest, unit_roundoff
from ...tape import Tape
from ...tape.lower import lower
from ...truth import Truth
from .result import Disagreement, Row
from .subject import Subject, extremes

#: beyond the rounding that the record grants, but no more than this part of the value, or so many roundings of a number near 1 or
#: of what errors of the arguments make of it: less exact, not another function
INEXACT, ROUNDINGS = 1e-7, 1e3


def granted(subject: Subject, out: np.ndarray) -> np.ndarray:
    """The error that rounding bounds take for granted of the operation: 8·u·M."""
    op = subject.op
    if op.result in ("bool", "int"):
        return np.zeros(out.shape)
    with np.errstate(all="ignore"):
        size = np.abs(out) if op.magnitude is None else op.magnitude(out, *subject.columns, **subject.params)
        return SAFETY * unit_roundoff(subject.dtype) * np.asarray(size, float) + tiniest(subject.dtype)


def bound_of(tape: Tape, subject: Subject, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The rounding bound of a tape at the subject's points, and what relative errors of size 1 of the arguments do to its value."""
    try:
        found = rounding_bound(tape, subject.columns)
    except DiffkitError:
        return np.zeros(shape), np.zeros(shape)
    return np.broadcast_to(found.entries[0], shape), np.broadcast_to(found.from_inputs[0], shape)


def compare(
    what: str, one: str, other: str, subject: Subject, a: np.ndarray, b: np.ndarray, allowed: np.ndarray,
    condition: np.ndarray | float = 0.0, strict: bool = True, coarse: bool = True,
) -> Row:  # fmt: skip
    """A row of two arrays of answers, (points, …). What is not finite in one of them alone is a remark at points that are not
    ordinary, unless `strict`; what is less exact than `allowed` but no other function is one too, if `coarse`."""
    a, b = np.asarray(a), np.asarray(b)
    row = Row(what, one, other, subject.dtype, a.size, "agree")
    if a.dtype.kind != "f" or b.dtype.kind != "f":
        off = a != b
        severe, gap = off, off.astype(float)
        allowed = np.zeros(a.shape)
    else:
        a, b = a.astype(np.float64), b.astype(np.float64)
        allowed = np.maximum(allowed, float(np.finfo(subject.dtype).smallest_normal))
        u, largest = unit_roundoff(subject.dtype), float(np.finfo(subject.dtype).max)
        with np.errstate(all="ignore"):
            gap = np.abs(a - b)
            size = np.maximum(np.abs(a), np.abs(b))
            same = (a == b) | (np.isnan(a) & np.isnan(b)) | (gap <= allowed)
            # one of them overflowed, the other is about to
            same |= (
                (np.isinf(a) | np.isinf(b))
                & (np.sign(a) == np.sign(b))
                & (np.minimum(abs(a), abs(b)) > 0.9999 * largest)
            )
            off = ~same & ~np.isnan(allowed)
            slack = np.maximum(max(INEXACT, ROUNDINGS * u) * size, ROUNDINGS * u * np.maximum(1.0, condition))
            severe = off & ~(gap <= (slack if coarse else allowed))
        if not strict:
            finite = np.isfinite(a) & np.isfinite(b)
            severe &= finite | subject.ordinary.reshape(-1, *(1,) * (a.ndim - 1))
        with np.errstate(all="ignore"):
            gap = np.where(np.isnan(gap), np.inf, gap / np.where(allowed > 0, allowed, 1.0))
    if not off.any():
        return row
    row.verdict = "differ" if severe.any() else "remark"
    row.note = "" if severe.any() else "less exact than the record says, or not finite where the other is"
    worst = np.unravel_index(int(np.argmax(np.where(severe if severe.any() else off, gap, -1.0))), a.shape)
    row.worst = Disagreement(subject.point(int(worst[0])), float(a[worst]), float(b[worst]), float(allowed[worst]))
    return row


def attempt(row: Row, work: Callable[[], Row]) -> Row:
    """What `work` finds; where it cannot, why not. row: what it is about."""
    try:
        return work()
    except (DiffkitError, ImportError) as problem:
        row.verdict, row.note = "not compared", str(problem).splitlines()[0]
    except Exception as problem:  # a rule is the user's code, and may raise anything
        row.verdict, row.note = "differ", f"{row.other} raises {type(problem).__name__}: {problem}"
    row.points = 0
    return row


def value_rows(subject: Subject) -> list[Row]:
    """NumPy function against lowered form, cpu machine, float32; dtype and shape of the result. At extreme numbers too."""
    out = subject.run()
    rows = [_kind(subject), *_machines(subject, out, "value")]
    if subject.elementwise:
        further = extremes(subject)
        rows += _machines(further, further.run(), "value at extreme numbers", strict=False)
    if subject.op.result == "float" and subject.dtype == "float64" and subject.numeric:
        rows.append(attempt(Row("value", "NumPy function", "in float32", "float32", 0, ""), lambda: _single(subject)))
    return rows


def _machines(subject: Subject, out: np.ndarray, what: str, strict: bool = True) -> list[Row]:
    op, tape, rows = subject.op, subject.tape, []
    lowered = lower(tape) if op.lower is not None else None
    allowed, condition = 2 * granted(subject, out), np.zeros(out.shape)
    if op.result == "float":
        condition = bound_of(tape, subject, out.shape)[1]
    wider = allowed
    if lowered is not None and lowered is not tape:
        wider = allowed + (bound_of(lowered, subject, out.shape)[0] if op.result == "float" else 0.0)
        row = Row(what, "NumPy function", "lowered form", subject.dtype, 0, "")
        rows.append(
            attempt(row, lambda: compare(
                what, row.one, row.other, subject, out, subject.run(lowered), wider, condition, strict=False
            ))
        )  # fmt: skip
    form = "kernel" if op.kernel is not None else "lowered form" if lowered is not None else "NumPy function"
    row = Row(what, "NumPy function", f"{form}, cpu machine", subject.dtype, 0, "")
    bar = allowed if op.kernel is not None else wider
    kernel = strict and op.kernel is not None
    rows.append(
        attempt(row, lambda: compare(
            what, row.one, row.other, subject, out, subject.run(on="cpu"), bar, condition, strict=kernel
        ))
    )  # fmt: skip
    return rows


def _kind(subject: Subject) -> Row:
    """dtype and shape of what the NumPy function returns, against the record's rules."""
    kind = subject.expression.kind
    row = Row("dtype and shape", "record", "NumPy function", subject.dtype, 0, "agree")

    def work() -> Row:
        with np.errstate(all="ignore"):
            found = np.asarray(subject.op.numpy(*subject.columns, **subject.params))
        shape = np.broadcast_shapes(found.shape, (subject.points,) if subject.elementwise else (1, *kind.shape))
        right = (subject.points,) if subject.elementwise else (1, *kind.shape)
        if found.shape not in (right, right[1:] if subject.elementwise else right) or shape != right:
            row.verdict, row.note = (
                "differ",
                f"the record says {right[1:]} a point, NumPy's result is {found.shape[1:]}",
            )
        elif found.dtype != kind.dtype and subject.op.result in ("bool", "int"):
            row.verdict, row.note = "differ", f"the record says {kind.dtype}, NumPy's result is {found.dtype}"
        return row

    return attempt(row, work)


def _single(subject: Subject) -> Row:
    """In single precision, against double precision at the same points."""
    single = subject.rounded("float32")
    double = single.rounded("float64")
    if not single.points:
        return Row("value", "NumPy function", "in float32", "float32", 0, "not compared", note="no point of float32")
    a, b = double.run(), single.run()
    if b.dtype != np.float32:
        note = f"of float32 arguments the result is {b.dtype}, as the record says"
        if single.expression.dtype == b.dtype:
            return Row("value", "NumPy function", "in float32", "float32", 0, "not compared", note=note)
        note = f"of float32 arguments the result is {b.dtype}; the record says {single.expression.dtype}"
        return Row("value", "NumPy function", "in float32", "float32", 0, "remark", note=note)
    condition = bound_of(single.tape, single, b.shape)[1]
    return compare("value", "NumPy function", "in float32", single, a, b, granted(single, b), condition, strict=False)


def truth_row(subject: Subject, truth: Truth) -> Row:
    """The NumPy function against the SymPy form in balls."""
    out, form = subject.run(), "SymPy form"
    row = Row("value", "NumPy function", form, subject.dtype, 0, "")
    finite = np.isfinite(truth.value).reshape(subject.points, -1).all(axis=1)
    decided = np.flatnonzero(np.isin(truth.outcome, ("ok", "nonfinite")) | finite)
    if not len(decided):
        row.verdict, row.note = "not compared", f"the SymPy form is not decided: {truth.why[0]}"
        return row
    some = subject.at(decided)
    condition = bound_of(some.tape, some, out[decided].shape)[1]
    right = np.where(np.isfinite(truth.value[decided]), truth.value[decided], np.nan)
    computed = np.where(np.isfinite(out[decided]), out[decided], np.nan)
    return compare(
        "value", "NumPy function", form, some, computed, right, granted(some, computed), condition, strict=False
    )
