"""What goes wrong at given points: NaN and where it arose, digits lost, overflow, kinks that are met, infinite derivatives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...engines.rounding import evaluate_template
from ...expr.node import Expr
from ...machines.numpy import laned_inputs, run
from ...numerics import unit_roundoff
from ...ops import TABLE
from ...tape import record, templates
from ...transforms.arguments import distinct_variables
from ...transforms.programs import make_program
from .findings import Finding, place
from .graph import Graph
from .origin import counting, finite_lanes, nan_origin
from .singular import inside
from .static import Findings, convention, kink_code, switching_place

#: a sum is reported when its result is smaller than its terms by this factor
CANCELLED = 1e4
#: and a kink when its switching quantity is within this of zero, relative to what it is a difference of
NEAR = 1e-8
_SUMS = {TABLE["add"], TABLE["subtract"]}
#: operations that give 0 from operands that are not 0 by underflow alone
_NEVER_ZERO = {
    TABLE[n] for n in ("multiply", "divide", "reciprocal", "square", "pow", "power", "exp", "exp2", "sigmoid", "erfc")
}


class Point:
    """The values of every node of a graph at one or many points."""

    def __init__(self, graph: Graph, given: Mapping[str, Any]) -> None:
        self.graph = graph
        self.variables = distinct_variables(graph.root)
        self.given = [given[v.name] for v in self.variables]  # type: ignore[index]
        tape = record(graph.order, self.variables, as_written=True)
        inputs, self.loop = laned_inputs(tape, self.given)
        self.inputs = inputs
        computed = run(tape, inputs)
        self.values = {id(n): computed[o] for n, o in zip(graph.order, tape.outputs, strict=True)}
        self._reaching: dict[int, set[int]] = {}

    def of(self, n: Expr) -> np.ndarray:
        return self.values[id(n)]

    def operands(self, n: Expr) -> list[np.ndarray]:
        """Operands with one rank, so that they broadcast."""
        rank = 1 + n.ndim
        return [
            v.reshape(v.shape[0], *(1,) * (rank - v.ndim), *v.shape[1:]) if v.ndim < rank else v
            for v in map(self.of, n.args)
        ]

    def name(self, lane: int) -> str:
        """``x = 0.5, y = 1``, the scalars of one point."""
        scalars = [
            (v.name, x[min(lane, x.shape[0] - 1)])
            for v, x in zip(self.variables, self.inputs, strict=True)
            if not v.shape
        ]
        shown = ", ".join(f"{name} = {float(x):.6g}" for name, x in scalars[:6])
        return shown if shown else f"point {lane}" if self.loop else "this point"

    def reaches(self, n: Expr, lane: int) -> bool:
        """Whether a node can influence the result at one point; the branch of a `where` that is not taken cannot."""
        if lane not in self._reaching:
            reaching = {id(self.graph.root)}
            for m in reversed(self.graph.order):
                if id(m) in reaching:
                    counts = counting(
                        m.kind, [a.kind for a in m.args], [v[min(lane, len(v) - 1)][None] for v in map(self.of, m.args)]
                    )
                    reaching.update(id(a) for a, counted in zip(m.args, counts, strict=True) if counted)
            self._reaching[lane] = reaching
        return id(n) in self._reaching[lane]


def findings_at(graph: Graph, given: Mapping[str, Any]) -> Findings:
    """Findings that the points bring out, each at the first point that shows it."""
    point = Point(graph, given)
    found: Findings = {}
    value_ok = np.broadcast_to(finite_lanes(point.of(graph.root)), (max(1, math.prod(point.loop)),))
    if not value_ok.all():
        found.update(_not_finite(graph, point))
    found.update(_infinite_derivative(graph, point, value_ok))
    for n in graph.order:
        if not n.args or (n.dtype in ("bool", "int64") and n.op.kinks is None):
            continue
        for finding in (*_cancelled(n, point), *_overflowed(n, point, value_ok), *_on_kink(n, point)):
            found[finding.code, id(n)] = finding
    return found


def _first_lane(hit: np.ndarray) -> int | None:
    """The first lane with any element hit."""
    lanes = hit.reshape(hit.shape[0], -1).any(axis=1)
    return int(np.argmax(lanes)) if lanes.any() else None


def _pick(value: np.ndarray, lane: int, hit: np.ndarray) -> float:
    """The first element that was hit, in one lane of a value that broadcasts against `hit`."""
    return float(np.broadcast_to(value, hit.shape)[lane][hit[lane]].ravel()[0])


# ---- not finite -----------------------------------------------------------------------------------------------------
def _not_finite(graph: Graph, point: Point) -> Findings:
    origin = nan_origin(record(graph.root, point.variables, as_written=True), point.given)
    if origin is None:
        return {}
    code = "overflow" if origin.overflow else "domain"
    return {(code, id(graph.root)): Finding(code, "error", origin.expression, str(origin))}


def _infinite_derivative(graph: Graph, point: Point, value_ok: np.ndarray) -> Findings:
    """The value is finite, a derivative is not: the first instruction of the derivative's tape where that arises."""
    wrt = [k for k, v in enumerate(point.variables) if v.dtype.startswith("float")]
    if graph.root.size != 1 or not wrt or graph.root.dtype in ("bool", "int64"):
        return {}
    tape = make_program(record(graph.root, point.variables), wrt, "reverse", 1).tape
    computed = run(tape, point.inputs)
    for k, o in zip(wrt, tape.outputs[1:], strict=True):
        lane = _first_lane(~np.broadcast_to(finite_lanes(computed[o]), value_ok.shape) & value_ok)
        if lane is not None:
            values = [x[min(lane, x.shape[0] - 1)] for x in point.inputs]
            origin = nan_origin(tape, values)
            slope = float(np.ravel(computed[o][min(lane, computed[o].shape[0] - 1)])[0])
            finite = f"the value is finite at {point.name(lane)}"
            message = f"{finite}, but the derivative by {point.variables[k].name} is {slope:g}: {origin}"
            spot = origin.expression if origin else place(graph.root)
            return {("zero-times-infinity", id(graph.root)): Finding("zero-times-infinity", "error", spot, message)}
    return {}


def _overflowed(n: Expr, point: Point, value_ok: np.ndarray) -> Iterator[Finding]:
    """Infinite from finite operands though the result is finite, or 0 from operands that are not 0."""
    value = point.of(n)
    if value.dtype.kind != "f":
        return
    operands = point.operands(n)
    fine = np.ones(value.shape, bool)
    for v in operands if n.op.family == "elementwise" else ():
        fine = fine & np.isfinite(v)
    lane = _first_lane(np.isinf(value) & fine & _lanes_of(value_ok, value))
    if lane is not None and point.reaches(n, lane):
        here = [v[min(lane, v.shape[0] - 1)] for v in operands]
        code = "overflow" if inside(n.kind, [a.kind for a in n.args], here) else "domain"
        message = f"is infinite at {point.name(lane)}, though the result is finite: derivatives can be inf/inf or 0·inf"
        yield Finding(code, "warning", place(n), message)
    elif n.op in _NEVER_ZERO:
        zero = (value == 0) & fine
        for v in operands:
            zero = zero & (v != 0)
        lane = _first_lane(zero)
        if lane is not None and point.reaches(n, lane):
            message = f"underflows to 0 at {point.name(lane)}: its logarithm and quotients by it are lost"
            yield Finding("overflow", "note", place(n), message)


def _lanes_of(lanes: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A mask of points beside a value: all of them must agree where the value has one lane."""
    mask = lanes if like.shape[0] == len(lanes) else np.array([lanes.all()])
    return mask.reshape(-1, *(1,) * (like.ndim - 1))


# ---- digits -----------------------------------------------------------------------------------------------------------
def _cancelled(n: Expr, point: Point) -> Iterator[Finding]:
    """A difference much smaller than its operands, of which at least one was rounded (inputs and constants are exact)."""
    if n.op not in _SUMS or not any(a.args for a in n.args):
        return
    value, operands = np.abs(point.of(n)), [np.abs(v) for v in point.operands(n)]
    largest = np.maximum(*operands)
    hit = (value * CANCELLED <= largest) & np.isfinite(largest) & (largest > 0)
    lane = _first_lane(hit)
    if lane is None:
        return
    result, size = _pick(value, lane, hit), _pick(largest, lane, hit)
    all_digits = -math.log10(unit_roundoff(n.dtype))
    lost = min(all_digits, math.log10(size / result) if result else all_digits)
    much = "all" if lost == all_digits else f"{lost:.1f} of {all_digits:.0f}"
    message = f"{much} digits cancel at {point.name(lane)}: terms of size {size:.3g} leave {result:.3g}"
    yield Finding("cancellation", "warning", place(n), message)


# ---- kinks ------------------------------------------------------------------------------------------------------------
def _on_kink(n: Expr, point: Point) -> Iterator[Finding]:
    template = templates.kinks(n.kind, [a.kind for a in n.args]) if n.op.kinks is not None else None
    if template is None or not point.graph.variables[id(n)]:
        return
    operands = point.operands(n)
    size = np.zeros(())
    for v in operands:
        size = np.maximum(size, np.abs(v.astype(float)))
    with np.errstate(all="ignore"):
        quantities = evaluate_template(template, operands)
        near = [np.abs(np.asarray(q)) <= NEAR * size for q in quantities]
    for hit in near:
        lane = _first_lane(np.atleast_1d(hit))
        if lane is not None:
            there = "that of the branch taken" if n.op.result == "bool" else convention(n)
            switch = f"{switching_place(n)} (or within {NEAR:g} of it, relatively)"
            message = f"{point.name(lane)} lies on the switch {switch}; the derivative there: {there}"
            yield Finding(kink_code(n), "warning", place(n), message)
            return
