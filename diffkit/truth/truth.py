"""The certified derivative of an expression at given points.

`certify` evaluates SymPy's derivative in balls at a precision that is doubled until nothing is left to decide, checks the domain on
the expression as it was written, and compares with differences of the value alone. What cannot be decided is said so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flint import arb

from ..errors import ArgumentError, ExceededError, UnsupportedError
from ..expr.node import Expr, free_variables
from .balls import LOCK, workprec
from .derivative import Derivative
from .differences import WANTED, accurate, differences, telling
from .program import Program, Refusal

#: precisions tried, in bits; the last is as far as it goes
BITS = (128, 256, 512, 1024, 2048, 4096)

OK, KINK, NONFINITE, UNDECIDED = "ok", "kink", "nonfinite", "undecided"


@dataclass(eq=False)
class Truth:
    """Values and derivatives that are right to the last bit of a double, with what is left below it.

    `value` is (n, *core of f), `gradient[name]` is (n, *core of f, *core of the variable); NaN at points whose `outcome` is
    not "ok" (a value is given at kinks too).
    """

    value: np.ndarray
    gradient: dict[str, np.ndarray]
    #: at every point: "ok", "kink", "nonfinite" (outside the domain, or infinite) or "undecided", and why it is not ok
    outcome: np.ndarray
    why: list[str]
    #: truth − its rounding
    value_rest: np.ndarray
    gradient_rest: dict[str, np.ndarray]
    #: "sympy"; "sympy, function by function" where the whole was too large; "differences" alone where that was too
    method: str
    #: why not "sympy"
    reason: str = ""
    #: points cross-checked by differences, and the largest precision used
    checked: int = 0
    bits: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> np.ndarray:
        return self.outcome == OK

    def error(self, name: str, computed: np.ndarray) -> np.ndarray:
        """computed − truth for the derivative by `name`: exact to a few units in the last place of the error itself."""
        return _difference(computed, self.gradient[name], self.gradient_rest[name])

    def value_error(self, computed: np.ndarray) -> np.ndarray:
        """computed − truth for the value."""
        return _difference(computed, self.value, self.value_rest)


def _difference(computed: np.ndarray, truth: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(computed − truth) is exact where they are within a factor of two (Sterbenz), and dominates `rest` elsewhere."""
    with np.errstate(invalid="ignore", over="ignore"):
        return (np.asarray(computed, dtype=np.float64) - truth) - rest


def certify(f: Expr, wrt: Sequence[Expr | str], points: Mapping[str, Any], cross_check: int | bool = 64) -> Truth:
    """Value and derivatives of `f` by `wrt` at points given by name as (n,) or (n, *core) arrays.

    `cross_check`: at how many points, spread evenly, differences are compared with the derivative (True: all).
    """
    variables = free_variables(f)
    by_name = {v.name: v for v in variables}
    chosen = [w if isinstance(w, Expr) else by_name[w] if w in by_name else _unknown(w, by_name) for w in wrt]
    arrays, count = _as_points(variables, points)
    with LOCK:
        return _Certification(f, chosen, arrays, count, count if cross_check is True else int(cross_check)).run()


def _unknown(name: str, known: Mapping[str, Expr]) -> Expr:
    raise ArgumentError(f"the expression has no variable {name!r}; it has {', '.join(known) or 'none'}")


def _as_points(variables: Sequence[Expr], points: Mapping[str, Any]) -> tuple[list[np.ndarray], int]:
    """For every variable its values as (n, elements)."""
    arrays = []
    for v in variables:
        if v.name not in points:
            raise ArgumentError(f"no points are given for {v.name!r}")
        array = np.asarray(points[v.name], dtype=v.dtype if v.dtype != "bool" else "float64").astype("float64")
        if array.shape[max(0, array.ndim - v.ndim) :] != v.shape or array.ndim > v.ndim + 1:
            core = "".join(f", {k}" for k in v.shape)
            raise ArgumentError(f"the points for {v.name!r} must have shape (n{core}), not {array.shape}")
        arrays.append(array.reshape(-1, math.prod(v.shape)))
    count = max((len(a) for a in arrays), default=1)
    if any(len(a) not in (1, count) for a in arrays):
        raise ArgumentError(
            f"the variables are given at different numbers of points: {sorted({len(a) for a in arrays})}"
        )
    return [np.broadcast_to(a, (count, a.shape[1])) for a in arrays], count


class _Certification:
    """One call of `certify`."""

    def __init__(self, f: Expr, wrt: list[Expr], arrays: list[np.ndarray], count: int, checks: int) -> None:
        self.wrt, self.count = wrt, count
        self.columns = np.concatenate(arrays, axis=1) if arrays else np.empty((count, 0))
        self.derivative = Derivative(f, wrt)
        self.shape = f.shape
        guarded = list(self.derivative.guarded.flat)
        self.value = Program(self.derivative.graph, guarded)
        self.size = len(guarded)
        #: for every entry of every block of derivatives (output element, input number)
        self.entries = [(o, i) for v in wrt for o in range(self.size) for i in self._input_numbers(v)]
        try:
            blocks, self.method, self.reason = self.derivative.terms()
            self.program: Program | None = Program(
                self.derivative.graph, [*guarded, *(t for b in blocks for t in b.flat)]
            )
        except (ExceededError, UnsupportedError) as problem:
            self.program, self.method, self.reason = None, "differences", str(problem)
        self.checked = (
            set(np.linspace(0, count - 1, min(count, checks)).round().astype(int).tolist()) if checks else set()
        )
        self.high = np.full((count, self.size + len(self.entries)), math.nan)
        self.low = np.zeros_like(self.high)
        self.outcome = np.full(count, OK, dtype=object)
        self.why = [""] * count
        self.bits = 0

    def _input_numbers(self, v: Expr) -> list[int]:
        """Numbers of a variable's elements among the inputs; −1 for a variable that f does not use."""
        start = 0
        for u in self.derivative.variables:
            if u is v:
                return list(range(start, start + u.size))
            start += u.size
        return [-1] * v.size

    def run(self) -> Truth:
        for p in range(self.count):
            x = [arb(v) for v in self.columns[p].tolist()]
            found = self._enclosures(p, x)
            if found is not None:
                self._store(p, found)
        bad = self.outcome != OK
        self.high[bad, self.size :] = math.nan
        self._values_at_kinks()
        self.high, self.low = _renormalised(self.high, self.low)
        return self._truth()

    # ---- one point ----
    def _enclosures(self, p: int, x: list[arb]) -> Sequence[arb] | None:
        """Balls of the value and all derivatives, accurate enough; None and an outcome where there are none."""
        program = self.program or self.value
        refusal = Refusal(UNDECIDED, "", False)
        for bits in BITS:
            self.bits = max(self.bits, bits)
            with workprec(bits):
                found = program(x, bits)
                if all(map(accurate, found)):
                    return self._confirmed(p, x, found)
                broken = next((k for k, ball in enumerate(found) if not ball.is_finite()), None)
                if broken is None:
                    refusal = Refusal(UNDECIDED, f"a result is not known to {WANTED} bits", False)
                    continue
                refusal = program.refusal(broken, x, _shown)
                if refusal.certain:
                    break
        outcome = refusal.outcome if refusal.certain or refusal.outcome == KINK else UNDECIDED
        self.outcome[p] = outcome
        self.why[p] = refusal.why if refusal.certain else f"{refusal.why} with {BITS[-1]:,} bits"
        return None

    def _confirmed(self, p: int, x: list[arb], found: Sequence[arb]) -> Sequence[arb] | None:
        """The balls, unless differences of the value contradict them (or are all there is and do not give a derivative)."""
        if self.program is None:
            return self._by_differences(p, x, found)
        return found if p not in self.checked or self._agrees(p, x, found) else None

    def _by_differences(self, p: int, x: list[arb], values: Sequence[arb]) -> Sequence[arb] | None:
        inputs = {i for _, i in self.entries if i >= 0}
        quotients = {i: differences(self.value, x, i, lambda found: all(map(accurate, found))) for i in inputs}
        results = [arb(0) if i < 0 else quotients[i][o] for o, i in self.entries]
        if not all(d.is_finite() for d in results):
            self._refuse(p, "the function is not defined on both sides of the point")
            return None
        if not all(map(accurate, results)):
            self._refuse(p, f"differences of the value do not give {WANTED} bits of the derivative")
            return None
        return [*values, *results]

    def _agrees(self, p: int, x: list[arb], found: Sequence[arb]) -> bool:
        by_input: dict[int, list[tuple[int, arb]]] = {}
        for k, (o, i) in enumerate(self.entries, self.size):
            by_input.setdefault(i, []).append((o, found[k]))
        by_input.pop(-1, None)
        for i, expected in by_input.items():
            scale = [abs(v / x[i] if x[i] != 0 else v).upper() for v in found[: self.size]]

            def enough(differences: list[arb], expected: list = expected, scale: list = scale) -> bool:
                return all(telling(g, differences[o], scale[o]) and _compatible(g, differences[o]) for o, g in expected)

            balls = differences(self.value, x, i, enough)
            for o, g in expected:
                if not _compatible(g, balls[o]):
                    shown = f"{_shown(g)} and differences of the value, {_shown(balls[o])}"
                    self._refuse(p, f"the derivative {shown}, contradict each other")
                    return False
        return True

    def _refuse(self, p: int, why: str) -> None:
        self.outcome[p], self.why[p] = UNDECIDED, why

    def _store(self, p: int, found: Sequence[arb]) -> None:
        high = [float(ball) for ball in found]
        with workprec(BITS[-1]):
            self.low[p] = [float(ball - h) if math.isfinite(h) else 0.0 for ball, h in zip(found, high, strict=True)]
        self.high[p] = high
        if not all(map(math.isfinite, high)):
            self.outcome[p], self.why[p] = NONFINITE, "the result is larger than any double"

    def _values_at_kinks(self) -> None:
        """At a kink there is no derivative, but there is a value."""
        kinks = np.flatnonzero(self.outcome == KINK)
        if not len(kinks):
            return
        program = Program(self.derivative.graph, list(self.derivative.values.flat))
        for p in kinks:
            with workprec(BITS[2]):
                found = program([arb(v) for v in self.columns[p].tolist()], BITS[2])
                self.high[p, : self.size] = [float(ball) for ball in found]

    # ---- all points ----
    def _truth(self) -> Truth:
        parts = [slice(0, self.size)]
        for v in self.wrt:
            start = parts[-1].stop
            parts.append(slice(start, start + self.size * v.size))
        (value, value_rest), *blocks = [
            tuple(a[:, part].reshape(self.count, *self.shape, *core) for a in (self.high, self.low))
            for part, core in zip(parts, [(), *(v.shape for v in self.wrt)], strict=True)
        ]
        names = [v.name for v in self.wrt]
        gradient = {n: b[0] for n, b in zip(names, blocks, strict=True)}
        rest = {n: b[1] for n, b in zip(names, blocks, strict=True)}
        checked = self.count if self.program is None else len(self.checked)
        return Truth(
            value, gradient, self.outcome, self.why, value_rest, rest, self.method, self.reason, checked, self.bits
        )


def _compatible(derivative: arb, difference: arb) -> bool:
    """False where two enclosures have no point in common. A difference that is not defined contradicts nothing."""
    return not difference.is_finite() or bool(derivative.overlaps(difference))


def _shown(ball: arb) -> str:
    return f"{float(ball):.17g}" if ball.is_finite() else ball.str(5)


def _renormalised(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same sums with `high` the nearest double (Dekker's fast two-sum)."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = high + low
        return total, np.where(np.isfinite(total), low - (total - high), 0.0)
