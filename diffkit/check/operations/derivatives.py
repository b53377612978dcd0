"""The derivative rules of a record against differences, SymPy, the lowered form and each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...engines import engine
from ...engines.forward import tangent_tape
from ...engines.reverse import adjoint_tape
from ...expr.functions import RULES
from ...expr.node import Expr
from ...machines import machine
from ...numerics import unit_roundoff
from ...tape import Tape, record
from ...tape.lower import lower
from ...transforms import derivative
from ...truth import Truth
from ..gradients import check_gradient
from ..gradients.causes import constants, entrywise, rearranged
from ..gradients.evidence import Part
from ..gradients.numeric import KINK
from ..gradients.suspects import Suspect
from .measuring import Pointwise, measured, parts
from .result import Disagreement, Row
from .subject import Subject
from .values import compare

#: arguments this large, or this near to 0 or to an end of their interval, are left out of differences: functions there are
#: constant, or beyond all bounds
MODERATE = (1e-6, 100.0)
#: an inner product of tangents and one of adjoints differ by so many roundings of their terms
TRANSPOSED = 1e3
#: entries of a structured operation's arguments that second derivatives are checked up to
SMALL = 12


@dataclass
class Found:
    """Rows, and what the derivative by differences said about the rule."""

    rows: list[Row] = field(default_factory=list)
    #: causes of what is off, with names of the arguments
    suspects: list[Suspect] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def partials_at(subject: Subject, tape: Tape | None = None, by: str = "reverse") -> tuple[np.ndarray, np.ndarray]:
    """(numeric arguments, points) of an elementwise operation, and their error bars."""
    program = engine(by).program(subject.tape if tape is None else tape, subject.numeric)
    _, (blocks,) = program.on(machine("numpy"))(subject.columns)
    (bars,) = program.bars(machine("numpy"), subject.columns)
    n = (subject.points,)
    both = [np.array([np.broadcast_to(a, n) for a in arrays], np.float64) for arrays in (blocks, bars)]
    return both[0], both[1]


def switching(subject: Subject) -> np.ndarray:
    """(points,): where a switching quantity that the record names is zero."""
    at = np.zeros(subject.points, bool)
    if subject.op.kinks is not None:
        variables = subject.variables
        for q in subject.op.kinks(RULES, *variables, **subject.params):
            if isinstance(q, Expr):
                value = machine("numpy").compile(record(q, variables))(subject.columns)[0]
                at |= np.broadcast_to(value == 0, at.shape)
    return at


# ---- elementwise --------------------------------------------------------------------------------------------------
def moderate(subject: Subject) -> Subject:
    """At points where differences can tell something."""
    keep = np.isfinite(subject.run())
    for k in subject.numeric:
        c = subject.columns[k]
        keep &= (np.abs(c) <= MODERATE[1]) & ((np.abs(c) >= MODERATE[0]) | (c == 0))
        if subject.op.intervals:
            low, high = subject.op.intervals[k]
            keep &= ~(np.minimum(np.abs(c - low), np.abs(high - c)) < MODERATE[0] * np.maximum(1.0, np.abs(c)))
    return subject.at(keep)


def directions(subject: Subject) -> np.ndarray:
    """(numeric arguments, points): how far to move each, powers of two, well inside the intervals."""
    sizes = []
    for k in subject.numeric:
        c = subject.columns[k].astype(np.float64)
        size = np.where(c == 0, 0.25, np.abs(c) / 4)
        if subject.op.intervals:
            low, high = subject.op.intervals[k]
            inside = np.minimum(c - low, high - c)
            size = np.where(inside > 0, np.minimum(size, inside / 4), size)
        sizes.append(np.exp2(np.floor(np.log2(size))))
    return np.array(sizes)


def against_differences(
    subject: Subject, f: Expr, given: np.ndarray, what: str, seed: int
) -> tuple[list[Row], list[Part]]:
    """given: the derivatives of f by the numeric arguments, (arguments, points). A row an argument."""
    names = [subject.names[k] for k in subject.numeric]
    n, scale = subject.points, directions(subject)
    function = Pointwise(f, subject.variables, subject.values)
    vectors = np.zeros((len(names), function.size))
    for k in range(len(names)):
        vectors[k, k * n : (k + 1) * n] = scale[k]
    with np.errstate(all="ignore"):
        found = measured(function, vectors, given * scale, seed)
        evidence = parts(found, given, scale, function.leaves)
    rows = []
    for k, (name, part) in enumerate(zip(names, evidence, strict=True)):
        row = Row(what.format(name), "rule", "differences", subject.dtype, int(found.known[k].sum()), "agree")
        if part.off.any():
            row.verdict, row.worst = "differ", _worst(subject, part)
        elif not row.points:
            row.verdict, row.note = "not compared", "differences tell nothing at these points"
        rows.append(row)
    return rows, evidence


def _worst(subject: Subject, part: Part) -> Disagreement:
    with np.errstate(all="ignore"):
        margin = np.abs(part.own - part.expected) / part.tolerance
    i = int(np.argmax(np.where(part.off, np.nan_to_num(margin, nan=1e300, posinf=1e300), -1.0)))
    expected = part.expected[i] if part.state[i] != KINK else part.left[i]
    return Disagreement(subject.point(i), float(part.own[i]), float(expected), float(part.tolerance[i]))


def causes(evidence: Sequence[Part]) -> list[Suspect]:
    """What the mistake looks like, of partials that are off."""
    bad = [p for p in evidence if p.off.any()]
    if not bad:
        return []
    moved = rearranged.exchanged(evidence)
    if moved:
        return moved
    found: list[Suspect] = []
    for p in bad:
        name = (p.leaf.name,)
        if not np.isfinite(p.own[p.off]).all():
            found.append(Suspect("nan-origin", "the gradient is not finite where the value is", name))
            continue
        own = entrywise.zeros(p) or constants.factors(p, ())
        other = next((q for q in evidence if q is not p and p.fits(q.given)), None)
        if not own and other is not None:
            own = [Suspect("permuted", f"the gradient is that by {other.leaf.name}", name)]
        words = f"the gradient is off at {int(p.off.sum())} of {p.off.size} points"
        found += (
            own or entrywise.factor_of_some(p) or [Suspect("missing-term", f"{words}, by no constant factor", name)]
        )
    return found


def elementwise(subject: Subject, truth: Truth | None, value_is_right: bool, seed: int) -> Found:
    """All comparisons of an elementwise operation's partials. truth: at the subject's points; None where there is none."""
    found, op = Found(), subject.op
    if op.detached:
        found.notes.append("its derivative is decreed (detached=True), so nothing of its value can contradict it")
        return found
    inner = moderate(subject)
    given, _ = partials_at(inner)
    at_kink = switching(inner)
    rows, evidence = against_differences(inner, inner.expression, given, "∂/∂{}", seed)
    found.suspects = causes(evidence)
    found.rows += rows
    _note_kinks(found, inner, at_kink, evidence)
    single = inner.at(inner.ordinary).rounded("float32")
    if single.points and single.expression.dtype == "float32":
        found.rows += against_differences(single, single.expression, partials_at(single)[0], "∂/∂{}", seed)[0]
    given, bars = partials_at(subject)
    smooth = ~switching(subject) & np.isfinite(subject.run())
    if truth is not None:
        found.rows += _against_truth(subject, truth, given, bars, smooth, value_is_right)
    found.rows += _against_each_other(subject, given, bars, smooth, all(r.ok for r in found.rows))
    found.rows += _second(inner.at(~at_kink), seed)
    return found


def _note_kinks(found: Found, subject: Subject, known: np.ndarray, evidence: Sequence[Part]) -> None:
    kinky = np.any([p.state == KINK for p in evidence], axis=0)
    if (kinky & known).any():
        said = f": {subject.op.convention}" if subject.op.convention else ""
        found.notes.append(f"{int((kinky & known).sum())} points are kinks, where the convention holds{said}")
    unsaid = np.flatnonzero(kinky & ~known)
    if len(unsaid):
        at = ", ".join(f"{n}={float(v):.6g}" for n, v in subject.point(int(unsaid[0])).items())
        found.notes.append(f"there is a kink or jump at {at} that the record does not tell of: state kinks=")


def _against_truth(
    subject: Subject, truth: Truth, given: np.ndarray, bars: np.ndarray, smooth: np.ndarray, value_is_right: bool
) -> list[Row]:
    rows = []
    some = np.flatnonzero((truth.outcome == "ok") & smooth)
    for k, position in enumerate(subject.numeric):
        name = subject.names[position]
        row = Row(f"∂/∂{name}", "rule", "SymPy's derivative", subject.dtype, 0, "not compared")
        if not value_is_right:
            row.note = "the SymPy form is not the NumPy function"
        elif not len(some):
            row.note = "it is not decided at any of the points"
        else:
            # a first-order bound knows nothing of squares of u
            allowed = bars[k, some] * (1 + 1e-6)
            at = subject.at(some)
            row = compare(
                row.what, row.one, row.other, at, given[k, some], truth.gradient[name][some], allowed, coarse=False
            )
        rows.append(row)
    return rows


def _against_each_other(
    subject: Subject, given: np.ndarray, bars: np.ndarray, smooth: np.ndarray, settled: bool
) -> list[Row]:
    """Forward mode, and the derivative of the lowered form where the rule is another. settled: the rule is known to be right."""
    rows = []
    ways: list[tuple[str, Tape, str]] = [("forward mode", subject.tape, "forward")]
    if subject.op.lower is not None and subject.op.partials is not None:
        lowered = lower(subject.tape)
        if lowered is not subject.tape:
            ways.append(("derivative of the lowered form", lowered, "reverse"))
    for other, tape, by in ways:
        theirs, their_bars = partials_at(subject, tape, by)
        for k, position in enumerate(subject.numeric):
            known = np.flatnonzero(smooth & np.isfinite(theirs[k]) & np.isfinite(bars[k]) & np.isfinite(their_bars[k]))
            if not len(known):
                continue
            allowed = bars[k, known] + their_bars[k, known]
            a, b, what = given[k, known], theirs[k, known], f"∂/∂{subject.names[position]}"
            row = compare(what, "rule", other, subject.at(known), a, b, allowed, np.abs(b))
            if row.verdict == "differ" and by == "reverse" and settled:
                row.verdict, row.note = "remark", "the lowered form has a switch here that the operation has not"
            rows.append(row)
    return rows


def _second(subject: Subject, seed: int) -> list[Row]:
    """Derivatives of the rules against differences of them."""
    rows: list[Row] = []
    variables = subject.variables
    for position in subject.numeric:
        first = derivative(subject.expression, variables[position], engine="reverse")
        if not set(first.variables) & {subject.names[k] for k in subject.numeric}:
            continue
        tape = record(first, variables)
        some = subject.at(np.isfinite(subject.run(tape)))
        if some.points:
            what = f"∂²/∂{subject.names[position]}∂{{}}"
            rows += against_differences(some, first, partials_at(some, tape)[0], what, seed)[0]
    return rows


# ---- structured ---------------------------------------------------------------------------------------------------
def structured(subject: Subject, truth: Truth | None, value_is_right: bool, seed: int) -> Found:
    """vjp against differences, jvp against vjp, vjp against SymPy; second derivatives of small arguments."""
    found, op = Found(), subject.op
    if op.detached:
        found.notes.append("its derivative is decreed (detached=True), so nothing of its value can contradict it")
        return found
    f, names = subject.expression, [subject.names[k] for k in subject.numeric]
    at = {n: v[0] for n, v in subject.values.items() if n in f.variables}
    transposed = _transposed(subject, seed)
    found.rows.append(transposed)
    for by, rule in (("reverse", "vjp"), ("forward", "jvp")):
        if by == "forward" and transposed.ok:
            break
        result = check_gradient(f, at, seed=seed, engine=by)
        row = Row(f"∂/∂({', '.join(names)})", rule, "differences", subject.dtype, result.judged, "agree")
        if result.verdict == "fail":
            e = result.entries[0] if result.entries else None
            row.verdict = "differ"
            row.worst = Disagreement({"entry": e.name}, e.given, e.expected, e.bar) if e else None
            found.suspects += [Suspect(s.code, f"{rule}: {s.message}", s.leaves) for s in result.suspects]
        elif result.verdict != "pass":
            row.verdict, row.note = "remark", f"{result.verdict}: {'; '.join(map(str, result.suspects))}"
        found.rows.append(row)
    if truth is not None and truth.outcome[0] == "ok" and value_is_right:
        found.rows += _jacobian_against_truth(subject, truth)
    elif truth is not None:
        why = truth.why[0] if value_is_right else "the SymPy form is not the NumPy function"
        found.rows.append(
            Row(f"∂/∂({', '.join(names)})", "vjp", "SymPy's derivative", subject.dtype, 0, "not compared", note=why)
        )
    if sum(v.size for v in at.values()) <= SMALL and found.rows[1].verdict == "agree":
        found.rows.append(_hessian(subject, f, at, seed))
    return found


def _transposed(subject: Subject, seed: int) -> Row:
    """⟨w, J v⟩ = ⟨Jᵀ w, v⟩: jvp is the transpose of vjp."""
    random = np.random.default_rng([seed, 31])
    tape, wrt = subject.tape, subject.numeric
    values = [c[0] for c in subject.columns]
    v = [random.standard_normal(np.shape(values[k])) for k in wrt]
    run = lambda t, *given: machine("numpy").compile(t)(list(given))
    out, jv = run(tangent_tape(tape, wrt), *values, *v)
    w = random.standard_normal(out.shape)
    _, *jw = run(adjoint_tape(tape, wrt), *values, w)
    one, other = float(np.sum(w * jv)), float(sum(np.sum(a * b) for a, b in zip(jw, v, strict=True)))
    size = float(np.sum(np.abs(w * jv)) + sum(np.sum(np.abs(a * b)) for a, b in zip(jw, v, strict=True)))
    allowed = TRANSPOSED * unit_roundoff(subject.dtype) * size * math.sqrt(1 + out.size)
    row = Row("⟨w, Jv⟩ = ⟨Jᵀw, v⟩", "jvp", "vjp", subject.dtype, 1, "agree")
    if not abs(one - other) <= allowed:
        row.verdict, row.worst = "differ", Disagreement({"direction": "random"}, one, other, allowed)
    return row


def _jacobian_against_truth(subject: Subject, truth: Truth) -> list[Row]:
    program = engine("reverse").program(subject.tape, subject.numeric)
    values = [c[0] for c in subject.columns]
    _, (blocks,) = program.on(machine("numpy"))(values)
    (bars,) = program.bars(machine("numpy"), values)
    rows = []
    for k, block, bar in zip(subject.numeric, blocks, bars, strict=True):
        right = truth.gradient[subject.names[k]]
        rows.append(
            compare(
                f"∂/∂{subject.names[k]}", "vjp", "SymPy's derivative", subject, block[None], right, bar[None], coarse=False
            )
        )  # fmt: skip
    return rows


def _hessian(subject: Subject, f: Expr, at: dict[str, np.ndarray], seed: int) -> Row:
    """Of a random sum of the outputs."""
    weights = np.random.default_rng([seed, 37]).uniform(0.5, 1.5, f.shape)
    total = RULES.sum(f * weights, axes=tuple(range(-f.ndim, 0)), keepdims=False) if f.ndim else f
    result = check_gradient(total, at, order=2, seed=seed)
    row = Row("second derivatives", "vjp", "differences", subject.dtype, result.judged, "agree")
    if result.verdict == "fail":
        e = result.entries[0] if result.entries else None
        row.verdict = "differ"
        row.worst = Disagreement({"entry": e.name}, e.given, e.expected, e.bar) if e else None
    elif result.verdict != "pass":
        row.verdict, row.note = "remark", result.verdict
    return row
