"""The figures of one formula as plain data: what results.json holds, and what every page is drawn from.

Accuracy and cost are measured apart. Accuracy depends on nothing but the seed, so formulas can be judged side by side on all
processors; times depend on what else the machine is doing, so they are taken afterwards, one formula at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..compare import Column, Comparison, compare
from ..compare.result import WELL_CONDITIONED
from ..compare.show import column_dict, finite_or_none
from ..engines import engine as find_engine
from ..errors import DiffkitError
from ..expr.latex import name as latex_name
from ..expr.latex import to_latex
from ..expr.node import Expr
from ..expr.printing import brief, operations
from ..expr.text import parse
from ..machines import machine as find_machine
from ..machines.cpu.threads import set_threads
from ..tape import record
from .corpus import Formula, Variable
from .quotients import short, step_curve

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
#: errors are counted in bins of a quarter of a decade; the first bin, at 0.01 ulp, holds all smaller ones
BINS_PER_DECADE, FIRST_DECADE = 4, -2
#: points of a timed run; runs are repeated until they have taken so long, one that takes very long is not
BATCH, ENOUGH_SECONDS, LONG_SECONDS = 16_384, 0.005, 0.02
#: an error of a well-conditioned entry should not be above this
FEW_ULP = 8.0
#: longest LaTeX of one derivative, and of all of a formula, in characters
DERIVATIVE_LENGTH, DERIVATIVES_LENGTH = 1200, 4000


#: what an engine may fail with; the reason is in its column
_FAILURES = (ArithmeticError, MemoryError, RecursionError, ValueError, TypeError)


class Job(NamedTuple):
    """A formula and how to measure it."""

    formula: Formula
    points: int
    seed: int
    engines: tuple[str, ...]
    machine: str


# ---- the two measurements, each run in a worker process --------------------------------------------------------------
def accuracy(job: Job) -> dict[str, Any]:
    """Everything about a formula but times."""
    set_threads(1)
    f = parse(job.formula.text)
    points = job.formula.points(job.points, job.seed)
    comparison = compare(f, {n: points[n] for n in f.variables}, engines=job.engines, machine=job.machine, timing=False)
    return describe(comparison, job.formula)


def costs(job: Job) -> dict[str, Any]:
    """Times of a formula a point, on one thread: of the value, and of making and running every engine.

    A thousand points are over in the time that a call takes to begin, so they are repeated up to BATCH. An engine that evaluates
    the value many times a point makes large batches by itself, and runs over the points as they are.
    """
    set_threads(1)
    _warm(job.engines, job.machine)
    f = parse(job.formula.text)
    points = job.formula.points(job.points, job.seed)
    drawn = [points[n] for n in f.variables]
    many = [np.resize(v, max(BATCH, job.points)) for v in drawn]
    tape, machine = record(f), find_machine(job.machine)
    executable = machine.compile(tape)
    value = _seconds_a_point(executable, many)
    engines: dict[str, Any] = {}
    for name in job.engines:
        try:
            start = perf_counter()
            program = find_engine(name).program(tape, range(len(drawn)))
            run = program.on(machine)
            build = perf_counter() - start - _counting(program.notes)
            seconds = _seconds_a_point(run, drawn if program.evaluations > 1 else many)
        except (DiffkitError, *_FAILURES):
            continue  # accuracy has said why
        engines[name] = {"build_seconds": build, "seconds_a_point": seconds, "ratio_to_value": seconds / value}
    return {"value_seconds_a_point": value, "engines": engines}


def _seconds_a_point(run: Callable[[list[np.ndarray]], Any], values: list[np.ndarray]) -> float:
    """Median over three runs or more after a first one; a run that takes long is not repeated."""
    times: list[float] = []
    while not times or (times[0] < LONG_SECONDS and (len(times) < 4 or sum(times) < ENOUGH_SECONDS)):
        start = perf_counter()
        run(values)
        times.append(perf_counter() - start)
    return float(np.median(times[1:] or times)) / len(values[0])


@cache
def _warm(engines: tuple[str, ...], machine: str) -> None:
    """Imports and first-time loading are no formula's cost."""
    compare("x*exp(x)", {"x": np.linspace(0.1, 1, 8)}, engines=engines, machine=machine)


def _counting(notes: dict[str, Any]) -> float:
    """Time that a program spent on counting its own swell: measured for readers, no part of making it."""
    return notes.get("seconds", {}).get("count", 0.0)


def with_costs(entry: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """`entry` with its times."""
    engines = [{**e, **measured["engines"].get(e["engine"], {})} for e in entry["engines"]]
    return {**entry, "value_seconds_a_point": measured["value_seconds_a_point"], "engines": engines}


# ---- a comparison as data ---------------------------------------------------------------------------------------------
def describe(c: Comparison, formula: Formula | None = None) -> dict[str, Any]:
    """A comparison as plain data. Without a formula of a corpus it is named by its text."""
    reasons = Counter(
        f"{o}: {w}" if w else str(o) for o, w in zip(c.point_outcome, c.point_reason, strict=True) if o != "ok"
    )
    formula = formula or Formula(brief(c.f, 60), brief(c.f, 2000), ())
    ranges = {v.name: v for v in formula.variables}
    return finite_or_none(
        {
            **given(formula),
            "latex": _latex(c.f),
            "variables": [_variable(n, v, ranges.get(n)) for n, v in c.at.items()],
            "wrt": list(c.wrt),
            "outcome": c.outcome,
            "reason": "; ".join(
                f"{n}: {col.reason}" for n, col in c.columns.items() if col.reason and col.outcome != "unsupported"
            ),
            "points": c.points,
            "certified": c.decided,
            "point_outcomes": dict(Counter(map(str, c.point_outcome))),
            "point_reasons": [{"reason": r, "points": n} for r, n in reasons.most_common(3)],
            "machine": c.machine,
            "value_ops": c.value_ops,
            "value_seconds_a_point": c.seconds_value / c.points,
            "truth": {
                "method": c.truth.method,
                "reason": c.truth.reason,
                "checked": c.truth.checked,
                "bits": c.truth.bits,
            },
            "input_condition": _spread(_entries(next(iter(c.columns.values())), c.input_condition))
            if c.columns
            else None,
            "derivatives": derivatives(c.f, c.wrt),
            "step_curve": step_curve(c),
            "engines": [_column(c, col) for col in c.columns.values()],
        }
    )


def given(formula: Formula) -> dict[str, Any]:
    """What an entry takes over from the corpus."""
    texts = {key: getattr(formula, key) for key in ("name", "title", "field", "source", "notes", "line", "text")}
    return {**texts, "unused": list(formula.unused)}


def failed(formula: Formula, outcome: str, reason: str) -> dict[str, Any]:
    """The entry of a formula of which nothing could be measured."""
    ranges = [
        {"name": v.name, "latex": latex_name(v.name), "low": v.low, "high": v.high, "unit": v.unit, "shape": []}
        for v in formula.variables
    ]
    return {
        **given(formula),
        "latex": "",
        "variables": ranges,
        "wrt": [],
        "outcome": outcome,
        "reason": reason,
        "points": 0,
        "certified": 0,
        "point_outcomes": {},
        "point_reasons": [],
        "machine": "",
        "value_ops": {},
        "value_seconds_a_point": None,
        "truth": None,
        "input_condition": None,
        "derivatives": [],
        "step_curve": None,
        "engines": [],
    }


def _variable(name: str, at: np.ndarray, declared: Variable | None) -> dict[str, Any]:
    low, high = (declared.low, declared.high) if declared else (float(np.min(at)), float(np.max(at)))
    return {
        "name": name,
        "latex": latex_name(name),
        "low": low,
        "high": high,
        "unit": declared.unit if declared else "",
        "shape": list(at.shape[1:]),
    }


def _entries(column: Column, parts: dict[str, np.ndarray]) -> np.ndarray:
    """The decided entries of all variables in one row."""
    rows = [parts[w][column.decided[w]].ravel() for w in parts if w in column.decided]
    return np.concatenate(rows) if rows else np.empty(0)


def _column(c: Comparison, column: Column) -> dict[str, Any]:
    ulp = _entries(column, column.ulp)
    return {
        **{k: v for k, v in column_dict(column).items() if k != "seconds"},
        "seconds_a_point": column.seconds / c.points,
        "entries": int(ulp.size),
        "outside": column.outside,
        "max_scaled_error": _scaled_error(c, column),
        "well_conditioned": _well_conditioned(c, column),
        "ulp_quantiles": [short(q) for q in np.quantile(ulp, QUANTILES, method="nearest")] if ulp.size else None,
        "ulp_histogram": histogram(ulp),
        "program_condition": _spread(_entries(column, column.program_condition)),
        "method": str(column.notes.get("method", "")),
    }


def _spread(found: np.ndarray) -> dict[str, float] | None:
    return {"median": float(np.median(found)), "max": float(np.max(found))} if found.size else None


def histogram(ulp: np.ndarray) -> dict[str, Any]:
    """Entries by size of their error: bin k begins at 10 ** (FIRST_DECADE + k / BINS_PER_DECADE) ulp."""
    finite = ulp[np.isfinite(ulp)]
    with np.errstate(divide="ignore"):
        bins = np.maximum(0, np.floor((np.log10(finite) - FIRST_DECADE) * BINS_PER_DECADE)).astype(int)
    counts = np.bincount(bins).tolist()
    first = next((i for i, n in enumerate(counts) if n), 0)
    return {"first": first, "counts": counts[first:], "nonfinite": int(ulp.size - finite.size)}


def _scaled_error(c: Comparison, column: Column) -> float | None:
    """Largest error over max(|g|, |f/x|): what a difference of values can be asked for."""
    worst = []
    for w, error in column.error.items():
        if error.ndim > 1 or column.value is None:
            continue
        with np.errstate(all="ignore"):
            ratio = np.abs(error) / np.maximum(np.abs(c.truth.gradient[w]), np.abs(column.value / c.at[w]))
        ratio = ratio[column.decided[w] & ~np.isnan(ratio)]
        worst += [float(np.max(ratio))] if ratio.size else []
    return max(worst) if worst else None


def _well_conditioned(c: Comparison, column: Column) -> dict[str, dict[str, int]]:
    """How many entries have a small condition, and how many of those are within a few ulp.

    Once by the formula's condition with respect to its inputs, once by the program's with respect to all its values.
    """
    ulp, found = _entries(column, column.ulp), {}
    for kind, condition in (("input", c.input_condition), ("program", column.program_condition)):
        each = _entries(column, condition)
        good = each <= WELL_CONDITIONED if each.size == ulp.size else np.zeros(ulp.size, bool)
        found[kind] = {"entries": int(good.sum()), "few_ulp": int(np.sum(ulp[good] <= FEW_ULP))}
    return found


# ---- formulas to be typeset -------------------------------------------------------------------------------------------
def _latex(f: Expr, limit: int = 4000) -> str:
    try:
        return to_latex(f, limit)
    except (DiffkitError, RecursionError):
        return rf"\text{{({operations(f):,} operations)}}"


def derivatives(f: Expr, wrt: Sequence[str]) -> list[dict[str, Any]]:
    """The derivative by every variable, to be read: SymPy's, or reverse's where SymPy cannot."""
    from ..engines.symbolic import Derivation
    from ..transforms import derivative

    engine = "symbolic"
    try:
        derivation = Derivation(record(f), [f.variables.index(w) for w in wrt])
        made = derivation.read(derivation.derive())
    except (DiffkitError, *_FAILURES):
        engine = "reverse"
        try:
            made = [derivative(f, w) for w in wrt]
        except (DiffkitError, *_FAILURES):
            return []
    found, left = [], DERIVATIVES_LENGTH
    for w, g in zip(wrt, made, strict=True):
        latex = _latex(g, max(60, min(DERIVATIVE_LENGTH, left)))
        left -= len(latex)
        found.append(
            {"wrt": w, "wrt_latex": latex_name(w), "latex": latex, "operations": operations(g), "engine": engine}
        )
    return found
