"""`check_gradient`: the order of the work, and the verdict."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...engines import ENGINES
from ...errors import ArgumentError
from ...numerics import ulp
from . import evidence as known
from .behaviour import Behaviour, elsewhere, gradients_again, remembers, repeated
from .blame import blame
from .causes.diagnosis import diagnose
from .causes.jumps import jumps
from .causes.locate import located
from .causes.shapes import of_other_shapes
from .causes.values import value_origins
from .evidence import Evidence, Tolerances
from .functions.dress import function_of
from .functions.function import Function, StructureError
from .functions.second import second_derivatives
from .numeric import KINK, SMOOTH, Dense, Differences, Entries, Surroundings, scales, surroundings
from .numeric.complex_step import complex_slopes
from .result import CheckResult, Curve, Entry, Leafwise
from .suspects import Suspect

#: functions of more entries are looked at along random directions
MOST_ENTRIES = 2_000
#: entries times outputs beyond which outputs are summed with random weights
MOST_NUMBERS = 4_000_000
#: directions over all entries, over each leaf, leaves that get their own; entries measured beside them
TOGETHER, EACH, MOST_LEAVES, PICKED = 6, 3, 32, 32
#: directions in doubt that are examined with all steps, at most; of large arguments
MOST_EXAMINED, MOST_EXAMINED_LARGE = 64, 8
#: entries of the result that are listed
LISTED = 50
#: where so many directions were not what two steps made of them, the function is a rough one, and bars are widened by a factor
ROUGH, DOUBT = 3, 4.0
#: a difference of so many tolerances is not in doubt
CLEAR = 30.0
#: noise of so many unit roundoffs of the value is called noise
NOISY = 1e4

MEMO = Suspect(
    "stale",
    "the gradient is the same at another point, though the function's slope is not: a cache that is not renewed",
)


def check_gradient(
    fun: Any,
    at: Any,
    grad: Any = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    order: int = 1,
    seed: int = 0,
    hvp: Callable | None = None,
    engine: str = "reverse",
    advance: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Check a gradient against differences of values, and say what is wrong with it.

    fun:   Expr, text, Python function on NumPy arrays, PyTorch function or module, JAX function, or SciPy's pair (fun, jac).
    at:    the point: a tuple is the positional arguments, a dict is by name, anything else is the single argument. Floating-point
           leaves are differentiated by; anything else is handed on.
    grad:  a callable that gives the gradient (of several outputs the Jacobian, outputs' axes first), called as `fun` is, in the
           structure of the arguments; for text also a dict of texts; True if `fun` returns (value, gradient). None: the framework's
           own (diffkit's `engine`, PyTorch's autograd, jax.vjp).
    rtol, atol: what a right gradient may be off by beside the error bar of the numeric side. By default what the dtype
           suggests: 1e-7 and 2e-4 of an entry for float64 and float32, and 1e-12 and 2e-6 of the largest.
    order: 2 checks second derivatives, after the first: the Hessian against differences of the gradient. `grad` is then a pair
           (gradient, Hessian), or None for the framework's own; with `hvp`, a callable (arguments…, vector…) in the arguments'
           structure, products of the Hessian are checked instead.
    seed:  of random directions.
    advance: called with (done, total) while derivatives are measured.

    Returns a CheckResult: `bool(r)` is True only where the verdict is "pass"; `print(r)` says why. Raises ArgumentError where `fun`
    cannot be called at the point.

        >>> r = check_gradient("sin(x)*y", {"x": 0.3, "y": 2.0}, {"x": "cos(x)", "y": "sin(x)"})
        >>> r.verdict, r.suspects[0].code
        ('fail', 'factor')
    """
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not (isinstance(value, (int, float, np.number)) and value >= 0):
            raise ArgumentError(f"{name} is a number ≥ 0, or None for what the dtype suggests; not {value!r}")
    if not isinstance(seed, (int, np.integer)):
        raise ArgumentError(f"seed is a whole number, not {seed!r}")
    if engine not in ENGINES:
        raise ArgumentError(f"engine is one of {', '.join(ENGINES)}; not {engine!r}")
    started = time.perf_counter()

    def checked(function: Function, own: bool) -> CheckResult:
        try:
            result = _Check(function, Tolerances(True, rtol, atol), seed, advance).run(own)
        finally:
            function.close()
        result.seconds = time.perf_counter() - started
        return result

    if order == 1 and hvp is None:
        return checked(function_of(fun, at, grad, engine=engine), grad is None)
    first, gradient = second_derivatives(fun, at, grad, hvp, order, engine)
    result = checked(first, grad is None)
    if result.verdict in ("fail", "nondeterministic"):
        result.notes.append("the gradient itself was checked first; its own derivatives were not looked at")
        return result
    return checked(gradient, False)


class _Check:
    def __init__(
        self, function: Function, tolerances: Tolerances, seed: int, advance: Callable[[int, int], None] | None
    ) -> None:
        self.function, self.tolerances, self.seed, self.advance = function, tolerances, abs(int(seed)), advance
        self.large = False
        self.weights: np.ndarray | None = None
        self.entries: Differences | None = None
        self.dense: Differences | None = None
        self._noise = np.zeros(1)

    def run(self, own: bool) -> CheckResult:
        """own: the gradient is the framework's, so that a part of the framework may be to blame."""
        function = self.function
        at_x = function.start()
        if not np.isfinite(at_x).all():
            return self._result("undecided", value_origins(function, at_x), None, None, Behaviour(np.zeros(1)))
        behaviour = repeated(function, at_x)
        if not behaviour.random:
            self._choose(function.outputs)
        if self.weights is not None:
            function.weigh(self.weights)
            at_x = self.weights @ at_x
            behaviour.spread = np.abs(self.weights) @ behaviour.spread
        self.tolerances.double = function.roundoff < 1e-10
        if behaviour.random:
            return self._result("nondeterministic", behaviour.suspects, None, None, behaviour)
        scale = scales(function)
        try:
            given = function.gradient(function.point, self.weights)
            gradients_again(function, given, self.weights, behaviour)
        except StructureError as problem:
            return self._of_wrong_structure(problem, at_x, scale, behaviour)
        near = surroundings(function, at_x, scale, self.seed)
        noise = np.maximum(near.noise, behaviour.spread)
        if behaviour.random:
            return self._result("nondeterministic", behaviour.suspects, None, given, behaviour, near, at_x)
        elsewhere(function, given, self.weights, near, behaviour)
        self.tolerances.variation = near.variation(at_x)
        found = self._measure(at_x, noise, scale, given)
        return self._judge(found, given, behaviour, near, at_x, own)

    def _choose(self, outputs: int) -> None:
        """All entries, or directions; all outputs, or weighted sums of them."""
        self.large = self.function.size > MOST_ENTRIES
        if outputs > 1 and (self.large or self.function.size * outputs > MOST_NUMBERS):
            random = np.random.default_rng([self.seed, 7])
            signs = random.integers(0, 2, (1, outputs)) * 2.0 - 1.0
            self.weights = signs * random.uniform(0.5, 1.5, (1, outputs))

    # ---- measuring ----
    def _measure(self, at_x: np.ndarray, noise: np.ndarray, scale: np.ndarray, given: np.ndarray) -> Evidence:
        function = self.function
        self._noise = noise
        picked = np.arange(function.size) if not self.large else self._picked(given)
        self.entries = Differences(function, Entries(function, picked, scale), at_x, noise, self.tolerances.variation)
        total = len(picked)
        done = 0
        if self.large:
            leaves: list[Any] = [None] * TOGETHER
            for leaf in sorted(function.leaves, key=lambda leaf: -leaf.size)[:MOST_LEAVES]:
                leaves += [leaf] * EACH
            seeds = [(self.seed, 2, k) for k in range(len(leaves))]
            self.dense = Differences(function, Dense(function, seeds, leaves, self._typical(scale)), at_x, noise)
            total += len(leaves)

        def tell(count: int) -> None:
            nonlocal done
            done += count
            if self.advance is not None:
                self.advance(done, total)

        for each in (self.dense, self.entries):
            if each is not None:
                each.measure(tell)
        return self._settled(given)

    def _picked(self, given: np.ndarray) -> np.ndarray:
        """Some entries of every leaf: random ones, the ends, the largest of the gradient, some zeros of it."""
        random = np.random.default_rng([self.seed, 3])
        found: list[int] = []
        each = max(4, PICKED // len(self.function.leaves))
        for leaf in self.function.leaves[: 4 * MOST_LEAVES]:
            own = np.abs(given[0, leaf.entries])
            some = min(leaf.size, each)
            chosen = {0, leaf.size - 1, *random.choice(leaf.size, some, replace=False).tolist()}
            chosen |= {int(i) for i in np.argpartition(-np.nan_to_num(own), some - 1)[: some // 4]}
            bad = np.flatnonzero(~np.isfinite(own))
            zero = np.flatnonzero(own == 0)
            chosen |= {int(i) for i in (*bad[:2], *zero[:2])}
            found += [leaf.start + i for i in sorted(chosen)]
        return np.array(found)

    def _typical(self, scale: np.ndarray) -> np.ndarray:
        """How far entries move in random directions: no less than a tenth of what is usual in their leaf."""
        found = scale.copy()
        for leaf in self.function.leaves:
            own = found[leaf.entries]
            np.maximum(own, 0.1 * np.median(own), out=own)
        return found

    def _evidence(self, given: np.ndarray) -> Evidence:
        assert self.entries is not None
        if self.dense is None:
            return known.by_entries(self.function, given, self.entries, self.tolerances)
        return known.by_rows(self.function, given, self.entries, self.dense, self.tolerances)

    def _settled(self, given: np.ndarray) -> Evidence:
        """What disagrees is measured again with more steps until it is beyond doubt."""
        for differences in (self.dense, self.entries):
            if differences is None:
                continue
            off, margin = self._off(differences, given)
            for k in np.flatnonzero(off & (margin < CLEAR)):
                differences.sharpen(int(k))
            off, margin = self._off(differences, given)
            order = np.argsort(-np.where(off, np.nan_to_num(margin, nan=np.inf, posinf=1e300), -1))
            examined = odd = 0
            for k in order[: int(off.sum())]:
                doubtful = margin[k] < CLEAR or bool((differences.estimates.state[k] != SMOOTH).any())
                if examined and not doubtful and not odd:
                    continue
                if examined >= (MOST_EXAMINED_LARGE if self.large else MOST_EXAMINED):
                    break
                differences.examine(int(k))
                examined += 1
                if self._off(differences, given)[0][k] and margin[k] < CLEAR:
                    differences.sample_noise(int(k))
                odd += bool((differences.estimates.state[k] != SMOOTH).any()) or not self._off(differences, given)[0][k]
            if odd:  # of an odd function two steps prove nothing
                differences.forget([int(k) for k in order[: int(off.sum())]])
            if odd >= ROUGH:
                differences.estimates.bar[differences.estimates.examined] *= DOUBT
        return self._evidence(given)

    def _off(self, differences: Differences, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which directions disagree in some output, and by how many tolerances."""
        e, d = differences.estimates, differences.directions
        own = np.array([d.dot(k, given) for k in range(d.count)]).reshape(e.value.shape)
        tolerance = self.tolerances.of(e.value, e.bar, d.scale)
        with np.errstate(all="ignore"):
            margin = np.where(np.isfinite(e.value), np.abs(own - e.value) / tolerance, 0.0)
            margin = np.asarray(np.where(np.isfinite(own), margin, np.inf))
        return np.any(margin > 1, axis=1), np.max(margin, axis=1)

    # ---- judging ----
    def _judge(
        self,
        found: Evidence,
        given: np.ndarray,
        behaviour: Behaviour,
        near: Surroundings,
        at_x: np.ndarray,
        own: bool,
    ) -> CheckResult:
        suspects = list(behaviour.suspects)
        for who, leaf in self.function.events.written.items():
            suspects.insert(0, Suspect("in-place", f"{who} writes into its argument {leaf}", (leaf,)))
        if found.off:
            if not any(p.off.any() for p in found.parts):
                # only sums over all leaves are off: there are more leaves than got directions of their own
                suspects += [Suspect("missing-term", "the gradient is off along random directions over all arguments")]
            else:
                alone = located(self.function, found, self.dense, given, self.seed) if self.dense is not None else []
                suspects += diagnose(self.function, found, given, self.weights, alone)
            if self._memo(behaviour, found):
                place = 0 if remembers(self.function) else len(suspects)
                suspects.insert(place, MEMO)
            verdict = "fail"
        elif self._memo(behaviour, found) and remembers(self.function):
            suspects.insert(0, MEMO)
            verdict = "fail"
        elif any(s.code in ("in-place", "stale") for s in suspects):
            verdict = "fail"
        elif found.kinks:
            verdict = "kink"
        elif behaviour.spread.any():
            verdict = "noise"
            suspects.append(Suspect("nondeterministic", "values at one point differ a little from call to call"))
        elif found.unresolved and not self._confirmed(found, given):
            verdict = "noise" if self._noisy(near, at_x) else "undecided"
            if self.entries is not None and self.entries.grain:
                words = f"values stay as they are at small steps, and then move in jumps of {self.entries.grain:.2g}"
                suspects.append(Suspect("step-function", words))
        else:
            suspects += jumps(self.function, found, at_x, self._noise, scales(self.function), self.seed)
            verdict = "pass"
        if found.kinks:
            suspects.append(
                Suspect(
                    "kink", self._kink_words(found), tuple(p.leaf.name for p in found.parts if (p.state == KINK).any())
                )
            )
        result = self._result(verdict, suspects, found, given, behaviour, near, at_x)
        if verdict == "fail" and own and found.off:
            result.blame = blame(self.function, self.function.point)
        return result

    def _memo(self, behaviour: Behaviour, found: Evidence) -> bool:
        """The gradient is the same elsewhere though the slope is not, and no kink or step explains it."""
        return behaviour.memo and all((p.state == SMOOTH).all() for p in found.parts)

    def _noisy(self, near: Surroundings, at_x: np.ndarray) -> bool:
        """Whether values are far less exact than rounding makes them."""
        assert self.entries is not None
        size = np.fmax(np.abs(at_x), np.fmax.reduce(np.abs(near.values), axis=0))
        return bool((self.entries.noise > NOISY * self.function.roundoff * size).any())

    def _confirmed(self, found: Evidence, given: np.ndarray) -> bool:
        """Whether what differences cannot resolve agrees with the complex step; it is resolved then."""
        if self.entries is None or self.large:
            return False
        doubtful = np.flatnonzero(found.doubtful.any(axis=1))
        scale = scales(self.function)
        slopes = complex_slopes(self.function, doubtful, scale)
        if slopes is None or slopes.shape != found.doubtful[doubtful].shape:
            return False
        own = given.T[doubtful]
        with np.errstate(all="ignore"):
            right = np.abs(own - slopes) <= self.tolerances.of(slopes, np.zeros_like(slopes), scale[doubtful])
        found.doubtful[doubtful] &= ~right
        return not found.doubtful.any()

    def _kink_words(self, found: Evidence) -> str:
        part = next(p for p in found.parts if (p.state == KINK).any())
        row = int(np.flatnonzero(part.state == KINK)[0])
        where = self._row_name(part, row)
        return f"left and right slopes differ at {where}: {part.left[row]:.6g} and {part.right[row]:.6g}"

    def _row_name(self, part: known.Part, row: int) -> str:
        if not part.whole:
            assert self.entries is not None
            picked = self.entries.directions.entries  # type: ignore[attr-defined]
            own = picked[(picked >= part.leaf.start) & (picked < part.leaf.entries.stop)]
            return (
                self.function.entry_name(int(own[row])) if row < len(own) else f"a random direction in {part.leaf.name}"
            )
        size = max(1, part.leaf.size)
        name = self.function.entry_name(part.leaf.start + row % size)
        rows = part.given.size // size
        if rows == 1:
            return name
        at = np.unravel_index(row // size, self.function.out_shape)
        return f"out[{', '.join(str(int(i)) for i in at)}] by {name}"

    def _of_wrong_structure(
        self, problem: StructureError, at_x: np.ndarray, scale: np.ndarray, behaviour: Behaviour
    ) -> CheckResult:
        found = None
        if not self.large and self.weights is None:
            near = surroundings(self.function, at_x, scale, self.seed)
            self.entries = Differences(
                self.function, Entries(self.function, np.arange(self.function.size), scale), at_x, near.noise
            )
            found = self.entries.measure()
        suspects = of_other_shapes(self.function, problem.given, found, str(problem))
        return self._result("fail", suspects, None, None, behaviour)

    # ---- the result ----
    def _result(
        self, verdict: str, suspects: list[Suspect], found: Evidence | None, given: np.ndarray | None, behaviour: Behaviour,
        near: Surroundings | None = None, at_x: np.ndarray | None = None,
    ) -> CheckResult:  # fmt: skip
        function, events = self.function, self.function.events
        notes = list(events.notes)
        if events.raised:
            notes.append(f"fun raised at {events.raised} of {events.calls} points near by, first {events.first_raised}")
        method = "every entry"
        if self.large and self.dense is not None:
            assert self.entries is not None
            method = f"{self.dense.directions.count} random directions and {self.entries.directions.count} entries"
        if self.weights is not None:
            method += f", {self.weights.shape[1]:,} outputs summed with random weights"
        result = CheckResult(
            function.name,
            function.framework,
            "float64" if function.roundoff < 1e-10 else "float32",
            verdict,
            suspects,
            [],
            sum(int(p.known.sum() + (p.state == KINK).sum()) for p in found.parts) if found else 0,
            found.wrong_rows + found.off_together if found else 0,
            method,
            events.calls,
            events.gradient_calls,
            0.0,
            notes,
            spread=float(behaviour.spread.max(initial=0.0)),
            kinks=found.kinks if found else 0,
            unresolved=found.unresolved if found else 0,
        )
        if near is not None and at_x is not None and given is not None:
            result.noise = float(near.noise.max(initial=0.0))
            slope = near.direction.dot(0, given)
            if len(slope) == len(at_x):
                result.taylor_order = near.order(at_x, slope)
                result.taylor = near.remainders(at_x, slope)
        if found is not None:
            result.resolution = found.resolution
            result.leaves = [_leafwise(p) for p in found.parts]
            self._list(result, found, at_x)
        return result

    def _list(self, result: CheckResult, found: Evidence, at_x: np.ndarray | None) -> None:
        """The worst entries, and the curve of the worst of all."""
        dtype = result.dtype
        rows = []
        for p in found.parts:
            with np.errstate(all="ignore"):
                margin = np.abs(p.own - p.expected) / p.tolerance
            margin = np.where(np.isfinite(margin), margin, np.inf)
            rows += [(float(margin[r]), p, int(r)) for r in np.flatnonzero(p.off)]
        rows.sort(key=lambda row: -row[0])
        for _, p, r in rows[:LISTED]:
            size = max(1, p.leaf.size)
            whole = p.whole
            index = p.leaf.index(p.leaf.start + r % size) if whole else ()
            output = (
                tuple(int(i) for i in np.unravel_index(r // size, self.function.out_shape))
                if whole and self.function.out_shape
                else ()
            )
            with np.errstate(all="ignore"):
                ulps = float(np.abs(p.own[r] - p.expected[r]) / ulp(p.expected[r : r + 1], dtype)[0])
            kinked = p.state[r] == KINK
            result.entries.append(
                Entry(
                    self._row_name(p, r),
                    p.leaf.name,
                    index,
                    output,
                    float(p.own[r]),
                    float(p.expected[r]),
                    float(p.bar[r]),
                    ulps,
                    float(p.left[r]) if kinked else math.nan,
                    float(p.right[r]) if kinked else math.nan,
                )
            )
        result.curve = self._curve(found, rows[0][1:] if rows else None, at_x)

    def _curve(self, found: Evidence, worst: tuple[known.Part, int] | None, at_x: np.ndarray | None) -> Curve | None:
        if worst is None or at_x is None or self.entries is None:
            return None
        part, row = worst
        if not part.whole:
            return None
        direction, output = part.leaf.start + row % max(1, part.leaf.size), row // max(1, part.leaf.size)
        walk = self.entries.walks[direction]
        with np.errstate(all="ignore"):
            wide = walk.ahead + walk.behind
            return Curve(
                self._row_name(part, row),
                wide / 2,
                walk.quotients(at_x)[:, output],
                2 * self.entries.noise[output] / wide,
                float(part.own[row]),
                float(part.expected[row]),
                float(part.bar[row]),
                float(self.entries.estimates.step[direction, output]),
            )


def _leafwise(part: known.Part) -> Leafwise:
    shape = part.given.shape
    bar, tolerance = (a.reshape(shape) if part.whole else None for a in (part.bar, part.tolerance))
    axes = len(shape) - len(part.leaf.shape)
    return Leafwise(part.leaf.name, part.given, part.target, bar, part.wrong, tolerance, axes)
