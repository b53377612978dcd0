"""Finite differences and the complex step: derivatives from values alone.

The value is evaluated at shifted points, and never a derivative rule asked for the answer. Two methods share the work:

* complex step: g = Im f(x + ih)/h with h so small that h² vanishes. Nothing is subtracted, so it is as accurate as the
  evaluation itself (Squire and Trapp 1998; Lyness 1967). It needs every operation on the way from x to be analytic and NumPy's
  function for it to take complex numbers. The real parts are those of the real evaluation, bit for bit: at a
  branch cut, where NumPy's complex logarithm of −1 is finite, the real value is NaN and so is the answer.
* differences with Richardson extrapolation (steps.py), for all else: abs, erf, maximum, arctan2, ...

Local partials are looked at for two purposes, never for the answer: how rounding spreads (the error bars, as in
rounding.py), and whether a complex function did what its real one does. Where Im out is not Σ partial·Im arg (a negative base
to the 200th power is 1e-14 off the real axis; a square root at 0), the point is left to differences. A wrong rule in an
operation's record therefore costs time or a wide bar; it cannot bend the answer.

What differences can see and formulas cannot: where left and right slopes differ beyond their bars the point is a *kink*,
and both slopes are reported. The value given there is their mean, with a bar that covers both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import DtypeError, UnsupportedError
from ..expr.node import Kind, constant, constant_value
from ..machines import Executable, Machine
from ..machines.numpy import call, laned_inputs, run
from ..numerics import UNIT_ROUNDOFF, tiniest, unit_roundoff
from ..ops import CAST, CONSTANT
from ..tape import Builder, Tape, templates
from ..tape.lower import lower
from . import steps
from .engine import Blocks, differentiable_tape, shapes_of
from .rounding import SAFETY, _ranked, _Rules, evaluate_template, rounding_bound, roundings

U = UNIT_ROUNDOFF["float64"]
METHODS = ("auto", "complex", "richardson", "central", "forward")

#: doubles in the registers of one batch of shifted points
BATCH = 2**21
#: the bound of rounding.py grants 8u to every operation; half of it is still 2 ulp for each. Measured on 153 formulas at 6,000
#: points, 2,178,000 entries: none outside its bar; the bar is 34 times the error (median) for auto, 58 for differences alone
NOISE_SHARE = 0.5
#: complex steps relative to x: h² is then below the last bit of anything, and h·v above the subnormals for |v| > 1e-170
COMPLEX_STEP, COMPLEX_STEP_AT_0, LEAST_COMPLEX_STEP = -400, -700, -1000
#: how well Im out and Σ partial·Im arg have to agree; NumPy's complex power is off by |y log x| ulp, 1e-13 at the end of the range
FAITHFUL = 1e-12
#: differences reach a bar of about 2⁹·noise/scale; a complex step whose bar is larger (sin(x)/x at 1e-8) is compared with them
BLUNT = 2.0**10
#: a comparison that comes out otherwise this near (relative to x) is a matter for one-sided slopes
NEAR = 2.0**-44
#: relative change of arguments for derivatives of rules
NUDGE = 2.0**-20
#: a factor that takes an integer to a number beside it that is none
BESIDE = 1 + 0.7 * 2.0**-30
#: classical steps relative to max(1, |x|): √u and ∛u
CLASSICAL = {"forward": 2.0**-26, "central": 2.0**-17}

OK, KINK, NONFINITE = 0, 1, 2
OUTCOMES = np.array(["ok", "kink", "nonfinite"])
METHOD_CODES = {m: i for i, m in enumerate(METHODS)}
METHOD_NAMES = np.array(METHODS)
WORDS = {
    "auto": "none",
    "complex": "complex step",
    "richardson": "Richardson extrapolation",
    "central": "central differences",
    "forward": "forward differences",
}


@dataclass
class Estimate:
    """Everything known about the derivative: blocks as in engine.py (output by output, input by input)."""

    outputs: list[np.ndarray]
    blocks: Blocks
    bars: Blocks
    #: one-sided slopes and their bars; away from kinks, unless asked for, the two-sided answer
    left: Blocks
    left_bars: Blocks
    right: Blocks
    right_bars: Blocks
    #: "ok", "kink" or "nonfinite"
    outcome: Blocks
    #: the step the answer rests on (extrapolation: the smallest step that entered it)
    step: Blocks
    #: which of METHODS it came from
    method: Blocks
    #: value evaluations a point
    evaluations: int


class _Table:
    """Results of one input: (elements, points, outputs) each."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.value, self.left, self.right = (np.full(shape, np.nan) for _ in range(3))
        self.bar, self.left_bar, self.right_bar = (np.full(shape, np.inf) for _ in range(3))
        self.step = np.zeros(shape)
        self.outcome = np.full(shape, NONFINITE, np.int8)
        self.method = np.zeros(shape, np.int8)

    def put(
        self,
        at: tuple,
        method: str,
        value: Any,
        bar: Any,
        step: Any,
        sides: Sequence[Any] | None = None,
        kink: Any = False,
    ) -> None:
        """Answers by one method, where what is there has no smaller bar."""
        left, left_bar, right, right_bar = sides or (value, bar, value, bar)
        outcome = np.where(kink, KINK, np.where(np.isfinite(value) & np.isfinite(bar), OK, NONFINITE))
        better = ~(self.bar[at] <= bar) | np.isinf(self.bar[at])
        new = {"value": value, "bar": bar, "step": step, "method": METHOD_CODES[method], "outcome": outcome}
        for name, given in {**new, "left": left, "left_bar": left_bar, "right": right, "right_bar": right_bar}.items():
            old = getattr(self, name)
            old[at] = np.where(better, given, old[at])

    def forget(self, at: tuple) -> None:
        self.value[at], self.bar[at], self.outcome[at] = np.nan, np.inf, NONFINITE


# ---- programs ---------------------------------------------------------------------------------------------------------
class _Examined:
    """What the programs of first and second derivatives share: `examine` is the full answer, the rest are views of it.

    Nothing is kept from one call to the next but how much work the last one was (`evaluations`, `notes`).
    """

    engine = "finite"
    tape: Tape
    wrt: tuple[int, ...]
    out_shapes: list[tuple[int, ...]]
    in_shapes: list[tuple[int, ...]]
    notes: dict[str, Any]
    evaluations: int

    def examine(self, machine: Machine, values: Sequence[Any]) -> Estimate:
        raise NotImplementedError

    def on(self, machine: Machine) -> Callable[..., tuple[list[np.ndarray], Blocks]]:
        """A callable (values, out=None) -> (outputs, blocks)."""
        executable = machine.compile(self.tape)

        def run_program(
            values: Sequence[Any], out: Sequence[np.ndarray] | None = None
        ) -> tuple[list[np.ndarray], Blocks]:
            found = self.examine(machine, values)
            if out is not None:
                results = [*found.outputs, *(b for row in found.blocks for b in row)]
                for buffer, result in zip(out, results, strict=True):
                    buffer[...] = result
            return found.outputs, found.blocks

        run_program.register_bytes = getattr(executable, "register_bytes", 0)  # type: ignore[attr-defined]
        return run_program

    def bars(self, machine: Machine, values: Sequence[Any]) -> Blocks:
        return self.examine(machine, values).bars

    def _check_inputs(self) -> None:
        for w in self.wrt:
            kind = self.tape.kinds[self.tape.inputs[w]]
            if kind.dtype in ("int64", "bool"):
                raise DtypeError(
                    f"{kind.kwargs['name']!r} is {kind.dtype}; a derivative needs a floating-point variable"
                )

    def _estimate(self, outputs: list[np.ndarray], study: _Study, tables: list[_Table]) -> Estimate:
        """Tables (elements, points, outputs) of every input as blocks, in the inputs' dtypes."""
        self.evaluations = study.evaluations()
        self.notes["method"] = _methods(tables)
        dtypes = [self.tape.kinds[self.tape.inputs[w]].dtype for w in self.wrt]

        def blocks(name: str) -> Blocks:
            rows, start = [], 0
            for o in self.out_shapes:
                part = slice(start, start + math.prod(o))
                start = part.stop
                rows.append(
                    [
                        np.moveaxis(getattr(t, name)[:, :, part], 0, -1).reshape((*study.loop, *o, *i))
                        for t, i in zip(tables, self.in_shapes, strict=True)
                    ]
                )
            return rows

        def rounded(value: str, bar: str) -> tuple[Blocks, Blocks]:
            """A derivative has its input's dtype; rounding to it widens the bar."""
            values, bars = blocks(value), blocks(bar)
            # values near the end of the range round absolutely, and a quotient of them knows nothing below that
            bars = [[b + np.finfo(np.float64).smallest_normal for b in row] for row in bars]
            for row, bar_row in zip(values, bars, strict=True):
                for k, d in enumerate(dtypes):
                    if d != "float64":
                        bar_row[k] = bar_row[k] + unit_roundoff(d) * np.abs(row[k]) + tiniest(d)
                        row[k] = row[k].astype(d)
            return values, bars

        with np.errstate(all="ignore"):
            value, bar = rounded("value", "bar")
            left, left_bar = rounded("left", "left_bar")
            right, right_bar = rounded("right", "right_bar")
        outcome = [[OUTCOMES[b] for b in row] for row in blocks("outcome")]
        method = [[METHOD_NAMES[b] for b in row] for row in blocks("method")]
        return Estimate(
            outputs,
            value,
            bar,
            left,
            left_bar,
            right,
            right_bar,
            outcome,
            blocks("step"),
            method,
            self.evaluations,
        )


def _methods(tables: Sequence[_Table]) -> str:
    """In words, the methods that answers came from."""
    count = np.zeros(len(METHODS), int)
    for t in tables:
        count += np.bincount(t.method.reshape(-1), minlength=len(METHODS))
    names = [WORDS[m] for m in METHODS if count[METHOD_CODES[m]]]
    return " and ".join(names)


@dataclass(eq=False)
class FiniteProgram(_Examined):
    """Derivatives of all outputs of a tape by some of its inputs, from values."""

    tape: Tape
    wrt: tuple[int, ...]
    method: str = "auto"
    #: forward and central: the step relative to max(1, |x|)
    step: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_inputs()
        self.out_shapes, self.in_shapes = shapes_of(self.tape, self.wrt)
        self._wide = widened(self.tape)
        self._kinky = any(k.op.kinks is not None or k.op.convention or k.op.result == "bool" for k in self._wide.kinds)
        tries_complex = self.method in ("auto", "complex")
        self._complex = {w: ComplexStep.of(self._wide, w) for w in self.wrt} if tries_complex else {}
        if self.method == "complex":
            for w, way in self._complex.items():
                if isinstance(way, str):
                    raise UnsupportedError(f"no complex step by {self.tape.names[w]!r}: {way}")
        self._executables: dict[Machine, tuple[Executable, Executable]] = {}
        self.evaluations = self._expected()

    def _expected(self) -> int:
        """Value evaluations a point, before anything is run."""
        total = 1
        for w, shape in zip(self.wrt, self.in_shapes, strict=True):
            way = self._complex.get(w, "")
            if self.method in CLASSICAL:
                each = 2 if self.method == "forward" else 4
            elif not isinstance(way, str):
                each = 1 + 2 * way.compares
            else:
                each = 2 * (steps.COARSE_LEVELS + (steps.FINE_LEVELS if self._kinky else 0))
            total += each * math.prod(shape)
        return total

    def _compiled(self, machine: Machine) -> tuple[Executable, Executable]:
        """The tape, and its double-precision form, on a machine."""
        if machine not in self._executables:
            own = machine.compile(self.tape)
            self._executables[machine] = (own, own if self._wide is self.tape else machine.compile(self._wide))
        return self._executables[machine]

    def examine(self, machine: Machine, values: Sequence[Any]) -> Estimate:
        """Derivatives, bars, one-sided slopes and outcomes."""
        own, wide = self._compiled(machine)
        with np.errstate(all="ignore"):
            outputs = own(values)
            known = outputs if wide is own else None
            study = _Study(_Value(self._wide, wide), values, self.method, self.step, self._kinky, self._complex, known)
            tables = [study.by_input(w) for w in self.wrt]
        return self._estimate(outputs, study, tables)

    def one_sided(self, machine: Machine, values: Sequence[Any]) -> tuple[Blocks, Blocks, Blocks, Blocks]:
        """(left slopes, right slopes, bars of the left, bars of the right), by differences everywhere."""
        found = FiniteProgram(self.tape, self.wrt, "richardson").examine(machine, values)
        return found.left, found.right, found.left_bars, found.right_bars


@dataclass(eq=False)
class SecondProgram(_Examined):
    """Second derivatives: differences, extrapolated, of first derivatives that this engine finds itself.

    The outputs are the first derivatives, output by output and input by input; every one of them has a row of blocks.
    """

    tape: Tape
    wrt: tuple[int, ...]
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_inputs()
        outs, self.in_shapes = shapes_of(self.tape, self.wrt)
        self.out_shapes = [(*o, *i) for o in outs for i in self.in_shapes]
        self._own = FiniteProgram(self.tape, self.wrt)
        self._first = FiniteProgram(widened(self.tape), self.wrt)
        count = sum(math.prod(i) for i in self.in_shapes)
        self.evaluations = self._first.evaluations * (1 + 2 * steps.COARSE_LEVELS * count)

    def examine(self, machine: Machine, values: Sequence[Any]) -> Estimate:
        """Second derivatives, bars and outcomes; a kink is one of the first derivative, or of the value."""
        first = self._own.examine(machine, values)
        with np.errstate(all="ignore"):
            study = _Study(_Slope(self._first, machine), values, "richardson", None, self._first._kinky, {})
            tables = [study.by_input(w) for w in self.wrt]
        return self._estimate([b for row in first.blocks for b in row], study, tables)


def second_program(tape: Tape, wrt: Sequence[int]) -> SecondProgram:
    """All second derivatives by the inputs at positions `wrt`."""
    return SecondProgram(differentiable_tape(tape), tuple(wrt))


def widened(tape: Tape) -> Tape:
    """The same formula in double precision: the derivative of what is written, not of its rounding to float32."""
    if all(k.dtype != "float32" for k in tape.kinds):
        return tape
    builder = Builder()
    place: list[int] = []
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        given = tuple(place[a] for a in args)
        if i in tape.inputs:
            p = kind.kwargs
            place.append(
                builder.input(p["name"], kind.shape, "float64" if kind.dtype == "float32" else kind.dtype, p["uid"])
            )
        elif kind.op is CONSTANT:
            place.append(
                builder.leaf(
                    constant(constant_value(kind).astype(np.float64)).kind if kind.dtype == "float32" else kind
                )
            )
        elif kind.op is CAST and kind.dtype == "float32":
            place.append(builder.emit(CAST, (("dtype", "float64"),), given))
        else:
            place.append(builder.emit(kind.op, kind.params, given))
    return builder.finish((place[i] for i in tape.inputs), (place[o] for o in tape.outputs), tape.labels)


# ---- what is differenced ----------------------------------------------------------------------------------------------
class _Value:
    """The outputs of a tape, side by side, and a bound of their error."""

    def __init__(self, tape: Tape, executable: Executable) -> None:
        self.tape, self.executable = tape, executable
        #: values a lane holds at once
        self.size = sum(max(1, math.prod(k.shape)) for k in tape.kinds)
        #: evaluations of the value a call makes at each point
        self.cost = 1.0
        self.floating = np.concatenate(
            [
                np.full(math.prod(k.shape), k.dtype not in ("bool", "int64"))
                for k in (tape.kinds[o] for o in tape.outputs)
            ]
        )

    def __call__(
        self, inputs: Sequence[np.ndarray], loop: tuple[int, ...], known: Sequence[np.ndarray] | None = None
    ) -> np.ndarray:
        """(points, outputs); `known` are the outputs if they have been computed."""
        if known is not None:
            known = [
                np.reshape(a, (*loop, *self.tape.kinds[o].shape)) for a, o in zip(known, self.tape.outputs, strict=True)
            ]
        return self._side_by_side(self.executable(inputs) if known is None else known, loop)

    def _side_by_side(self, outputs: Sequence[np.ndarray], loop: tuple[int, ...]) -> np.ndarray:
        count = math.prod(loop)
        cores = [self.tape.kinds[o].shape for o in self.tape.outputs]
        full = [
            np.broadcast_to(a, (*loop, *c)).reshape(count, math.prod(c)) for a, c in zip(outputs, cores, strict=True)
        ]
        return np.concatenate(full, axis=1, dtype=np.float64)

    def bound(self, inputs: Sequence[np.ndarray], count: int) -> np.ndarray:
        """NOISE_SHARE of the rounding bound; where that is not finite, or a rule is missing, a bound from all values' sizes."""
        try:
            found = rounding_bound(differentiable_tape(self.tape), inputs)
            bound = NOISE_SHARE * self._side_by_side(found.entries, (count,))
        except (UnsupportedError, TypeError, AssertionError):
            bound = np.full((count, len(self.floating)), np.nan)
        bad = ~np.isfinite(bound)
        if bad.any():
            total = np.zeros(count)

            def add(i: int, value: np.ndarray) -> None:
                if value.dtype.kind == "f" and self.tape.kinds[i].op.family != "leaf":
                    sizes = np.abs(value).reshape(value.shape[0], -1).max(axis=1, initial=0.0)
                    total[...] += np.where(np.isfinite(sizes), sizes, 0.0)

            run(self.tape, inputs, add)
            bound = np.where(bad, SAFETY * U * total[:, None] + tiniest("float64"), bound)
        return bound


class _Slope:
    """First derivatives, side by side, and their bars; NaN at kinks."""

    def __init__(self, program: FiniteProgram, machine: Machine) -> None:
        self.program, self.machine, self.tape = program, machine, program.tape
        inputs, outputs = (sum(math.prod(s) for s in shapes) for shapes in (program.in_shapes, program.out_shapes))
        self.size = sum(max(1, math.prod(k.shape)) for k in self.tape.kinds) + 8 * inputs * outputs
        self.cost = float(program.evaluations)
        self.floating = np.ones(inputs * outputs, bool)

    def _examined(self, inputs: Sequence[np.ndarray]) -> Estimate:
        found = self.program.examine(self.machine, inputs)
        self.cost = float(found.evaluations)
        return found

    def __call__(self, inputs: Sequence[np.ndarray], loop: tuple[int, ...], known: Any = None) -> np.ndarray:
        found = self._examined(inputs)
        smooth = [np.where(o == "ok", b, np.nan) for b, o in self._pairs(found.blocks, found.outcome)]
        return self._side_by_side(smooth, math.prod(loop))

    def bound(self, inputs: Sequence[np.ndarray], count: int) -> np.ndarray:
        found = self._examined(inputs)
        return self._side_by_side([b for row in found.bars for b in row], count)

    @staticmethod
    def _pairs(first: Blocks, second: Blocks) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)]

    @staticmethod
    def _side_by_side(blocks: Sequence[np.ndarray], count: int) -> np.ndarray:
        return np.concatenate([b.reshape(count, -1) if b.size else np.empty((count, 0)) for b in blocks], axis=1)


# ---- one run ----------------------------------------------------------------------------------------------------------
class _Study:
    """One run of a program: points as lanes, outputs side by side."""

    def __init__(
        self,
        function: _Value | _Slope,
        values: Sequence[Any],
        method: str,
        step: float | None,
        kinky: bool,
        ways: Mapping[int, ComplexStep | str],
        known: Sequence[np.ndarray] | None = None,
    ) -> None:
        self.function, self.tape = function, function.tape
        self.method, self.step, self.kinky, self.ways = method, step, kinky, ways
        self.inputs, self.loop = laned_inputs(self.tape, values)
        self.points = math.prod(self.loop)
        self.at_x = function(self.inputs, (self.points,), known)
        self.counted = self.points * function.cost
        self._noise: np.ndarray | None = None
        self._last: tuple[tuple, Real] | None = None

    def evaluations(self) -> int:
        return math.ceil(self.counted / max(self.points, 1))

    def by_input(self, w: int) -> _Table:
        kind = self.tape.kinds[self.tape.inputs[w]]
        elements = math.prod(kind.shape)
        table = _Table((elements, self.points, self.at_x.shape[1]))
        way = self.ways.get(w, "")
        if self.method in CLASSICAL:
            self._all(table, lambda j, p: self._classical(w, table, j, p))
        elif isinstance(way, str):
            self._all(table, lambda j, p: self._differences(w, table, j, p))
        else:
            left = self._complex(w, way, table)
            if self.method == "auto" and left.any():
                j, p = np.nonzero(left)
                self._in_batches(j, p, lambda a, b: self._differences(w, table, a, b))
        for name in ("value", "bar", "left", "left_bar", "right", "right_bar", "outcome"):
            # conditions and integers have derivative 0, as in the other engines
            getattr(table, name)[..., ~self.function.floating] = 0
        return table

    def _all(self, table: _Table, do: Callable[[np.ndarray, np.ndarray], None]) -> None:
        j, p = (a.reshape(-1) for a in np.indices(table.value.shape[:2]))
        self._in_batches(j, p, do)

    def _in_batches(
        self, elements: np.ndarray, points: np.ndarray, do: Callable[[np.ndarray, np.ndarray], None]
    ) -> None:
        levels = steps.COARSE_LEVELS + steps.FINE_LEVELS
        size = max(1, BATCH // (2 * levels * self.function.size))
        for start in range(0, len(points), size):
            do(elements[start : start + size], points[start : start + size])

    # -- evaluating
    def _scalars(self, w: int, elements: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The elements to be shifted, (columns,)."""
        given = self.inputs[w]
        return given.reshape(given.shape[0], -1)[points if given.shape[0] > 1 else 0, elements]

    def _shifted(self, w: int, elements: np.ndarray, points: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
        """All inputs at these columns, with `x` (shifts, columns) in the place of the elements."""
        inputs = [a if a.shape[0] == 1 else a[points] for a in self.inputs]
        core = self.inputs[w].shape[1:]
        if core:
            full = np.broadcast_to(inputs[w].reshape(-1, math.prod(core)), (*x.shape, math.prod(core))).copy()
            np.put_along_axis(full, np.broadcast_to(elements[:, None], (*x.shape, 1)), x[..., None], axis=-1)
            inputs[w] = full.reshape(*x.shape, *core)
        else:
            inputs[w] = x
        return inputs

    def _evaluate(self, w: int, elements: np.ndarray, points: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Values with the elements replaced by `x` (shifts, columns): (shifts, columns, outputs)."""
        values = self.function(self._shifted(w, elements, points, x), x.shape)
        self.counted += x.size * self.function.cost
        return values.reshape(*x.shape, -1)

    def _noise_at(self, points: np.ndarray) -> np.ndarray:
        """Error bound of the values at x, (columns, outputs)."""
        if self._noise is None:
            self._noise = np.full(self.at_x.shape, np.nan)
        missing = np.unique(points[np.isnan(self._noise[points]).any(axis=1)])
        if missing.size:
            inputs = [a if a.shape[0] == 1 else a[missing] for a in self.inputs]
            self._noise[missing] = self.function.bound(inputs, len(missing))
            # sums of integers are exact, and the bound knows; beside them they are not
            beside = [a * np.where(a == np.rint(a), BESIDE, 1.0) if a.dtype.kind == "f" else a for a in inputs]
            if any((a != b).any() for a, b in zip(inputs, beside, strict=True)):
                there = self.function.bound(beside, len(missing))
                self._noise[missing] = np.fmax(self._noise[missing], np.where(np.isfinite(there), there, 0.0))
        return self._noise[points]

    def bound_at(self, w: int, elements: np.ndarray, points: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Error bound of the values with the elements replaced by `x`, (columns, outputs)."""
        shifted = self._shifted(w, elements, points, x[None])
        return self.function.bound([a[0] if k == w else a for k, a in enumerate(shifted)], len(x))

    # -- differences
    def _differences(self, w: int, table: _Table, elements: np.ndarray, points: np.ndarray) -> None:
        """Richardson extrapolation at these columns."""
        x, every = self._scalars(w, elements, points), np.arange(len(points))
        ladder = steps.ladder(x)
        search = _Search(self, w, elements, points, x, self.at_x[points], self._noise_at(points))
        first = len(ladder) if self.kinky else steps.COARSE_LEVELS
        search.extend(every, ladder[:first])
        found = search.slopes(every)
        if first < len(ladder):
            doubtful = np.flatnonzero(search.doubtful(found))
            if doubtful.size:
                rest = search.subset(doubtful)
                rest.extend(every[: len(doubtful)], ladder[first:, doubtful])
                self._finish(rest, rest.slopes(every[: len(doubtful)]), table)
                sure = np.setdiff1d(every, doubtful)
                search, found = search.subset(sure), {k: v[sure] for k, v in found.items()}
        self._finish(search, found, table)

    @staticmethod
    def _renew(found: dict[str, np.ndarray], columns: np.ndarray, search: _Search) -> None:
        """What was found for these columns, found again; those with equally many steps together."""
        levels = np.isfinite(search.exponents[:, columns]).sum(axis=0)
        for count in np.unique(levels):
            part = columns[levels == count]
            for name, array in search.slopes(part).items():
                found[name][part] = array

    def _finish(self, search: _Search, found: dict[str, np.ndarray], table: _Table) -> None:
        """More steps about the best where they are far apart, and the noise where the best is; then into the table."""
        columns = np.arange(len(search.x))
        for _ in range(4):
            wide, best = search.sparse(found, columns)
            columns = columns[wide]
            if not columns.size:
                break
            search.insert(columns, steps.spread(search.exponents[:, columns], best[wide]))
            self._renew(found, columns, search)
        for _ in range(3):
            louder = search.listen(found)
            if not louder.size:
                break
            self._renew(found, louder, search)
        at = (search.elements, search.points)
        sides = (found["left"], found["left_bar"], found["right"], found["right_bar"])
        table.put(at, "richardson", found["value"], found["bar"], found["step"], sides, found["kink"])

    def _classical(self, w: int, table: _Table, elements: np.ndarray, points: np.ndarray) -> None:
        """One quotient; a second one of twice the step tells its truncation error."""
        method = self.method
        x, at_x, noise = self._scalars(w, elements, points), self.at_x[points], self._noise_at(points)
        h = (self.step or CLASSICAL[method]) * np.maximum(1.0, np.abs(x))
        one_sided = method == "forward"
        shifts = np.stack([x + h, x + 2 * h] if one_sided else [x + h, x + 2 * h, x - h, x - 2 * h])
        f = self._evaluate(w, elements, points, shifts)
        low, low_x = (at_x, x) if one_sided else (f[2:], shifts[2:])
        width = (shifts[:2] - low_x)[..., None]
        quotient = (f[:2] - low) / width
        error = 2 * noise + 4 * U * (np.abs(f[0]) + np.abs(at_x))
        bar = steps.SAFETY * np.abs(quotient[1] - quotient[0]) + error / np.abs(width[0]) + 4 * U * np.abs(quotient[0])
        value = np.where(np.isfinite(at_x), quotient[0], np.nan)
        table.put((elements, points), method, value, np.where(np.isfinite(value), bar, np.inf), h[:, None])

    # -- complex step
    def _complex(self, w: int, way: ComplexStep, table: _Table) -> np.ndarray:
        """Fills the table; returns which (elements, points) it could not answer."""
        elements = table.value.shape[0]
        left = np.zeros((elements, self.points), bool)
        width = max(1, BATCH // (4 * self.function.size))
        for p in range(0, self.points, width):
            points = slice(p, min(p + width, self.points))
            count = points.stop - p
            real = self._real(way.tape, points)
            block = max(1, width // count)
            for j in range(0, elements, block):
                chosen = np.arange(j, min(j + block, elements))
                self.counted += count * len(chosen)
                found = way.directions(real, chosen, count)
                good = found.good & np.isfinite(self.at_x[points])
                value = np.where(good, found.value, np.nan)
                bar = np.where(good, found.bar, np.inf)
                table.put((slice(j, chosen[-1] + 1), points), "complex", value, bar, found.step[..., None])
                left[j : chosen[-1] + 1, points] = ~(good & found.sharp | ~np.isfinite(self.at_x[points])).all(axis=2)
        if way.compares:
            flips = self._near_a_switch(w, way, elements)
            table.forget(np.nonzero(flips))
            left |= flips
        return left

    def _real(self, tape: Tape, points: slice) -> Real:
        """Real values at these points; all inputs share those of the last batch."""
        key = (tape, points.start)
        if self._last is None or self._last[0] != key:
            inputs = [a if a.shape[0] == 1 else a[points] for a in self.inputs]
            self._last = key, Real(tape, run(tape, inputs))
        return self._last[1]

    def _near_a_switch(self, w: int, way: ComplexStep, elements: int) -> np.ndarray:
        """Where a comparison comes out otherwise just beside x: (elements, points)."""
        flips = np.zeros((elements, self.points), bool)
        j, p = (a.reshape(-1) for a in np.indices(flips.shape))
        size = max(1, BATCH // (2 * self.function.size))
        for start in range(0, len(p), size):
            a, b = j[start : start + size], p[start : start + size]
            x = self._scalars(w, a, b)
            aside = np.where(x == 0, 2.0**-1000, np.abs(x) * NEAR)
            three = [self._conditions(w, way, a, b, at) for at in (x - aside, x, x + aside)]
            differs = np.zeros(len(b), bool)
            for low, here, high in zip(*three, strict=True):
                other = (low != here) | (high != here)
                differs |= other.reshape(other.shape[0], -1).any(axis=1)
            self.counted += 2 * len(b)
            flips[a, b] = differs
        return flips

    def _conditions(
        self, w: int, way: ComplexStep, elements: np.ndarray, points: np.ndarray, x: np.ndarray
    ) -> list[np.ndarray]:
        """How every comparison that depends on the input comes out at these values of its elements."""
        inputs = [v[0] if k == w else v for k, v in enumerate(self._shifted(w, elements, points, x[None]))]
        values = run(way.tape, inputs)
        return [v for i, v in enumerate(values) if way.active[i] and way.tape.kinds[i].dtype == "bool"]


class _Search:
    """Values at growing numbers of steps about some columns."""

    def __init__(
        self,
        study: _Study,
        w: int,
        elements: np.ndarray,
        points: np.ndarray,
        x: np.ndarray,
        at_x: np.ndarray,
        noise: np.ndarray,
    ) -> None:
        self.study, self.w, self.elements, self.points = study, w, elements, points
        self.x, self.at_x = x, at_x
        #: bounds of the error of values: at x, at `reach` below and above, and the values there
        self.noise, self.reach = noise, np.full(len(x), np.inf)
        self.bounds, self.seen = (np.zeros((2, *at_x.shape)) for _ in range(2))
        columns, outputs = at_x.shape
        self.exponents = np.empty((0, columns))
        self.above, self.below = np.empty((0, columns)), np.empty((0, columns))
        self.up, self.down = np.empty((0, columns, outputs)), np.empty((0, columns, outputs))

    def subset(self, columns: np.ndarray) -> _Search:
        part = _Search(
            self.study,
            self.w,
            *(a[columns] for a in (self.elements, self.points, self.x, self.at_x, self.noise)),
        )
        part.reach, part.bounds, part.seen = self.reach[columns], self.bounds[:, columns], self.seen[:, columns]
        for name in ("exponents", "above", "below", "up", "down"):
            setattr(part, name, getattr(self, name)[:, columns])
        return part

    def _values(self, columns: np.ndarray, exponents: np.ndarray) -> tuple[np.ndarray, ...]:
        h, x = np.exp2(exponents), self.x[columns]
        above, below = x + h, x - h
        f = self.study._evaluate(self.w, self.elements[columns], self.points[columns], np.concatenate([above, below]))
        return exponents, above, below, f[: len(h)], f[len(h) :]

    def extend(self, columns: np.ndarray, exponents: np.ndarray) -> None:
        """Smaller steps, for all columns."""
        for name, new in zip(
            ("exponents", "above", "below", "up", "down"), self._values(columns, exponents), strict=True
        ):
            setattr(self, name, np.concatenate([getattr(self, name), new]))

    def insert(self, columns: np.ndarray, exponents: np.ndarray) -> None:
        """Steps in between, for some columns; the others' levels are filled up with NaN, which no limit uses."""
        new = self._values(columns, exponents)
        count = len(exponents)
        for name, values in zip(("exponents", "above", "below", "up", "down"), new, strict=True):
            old = getattr(self, name)
            filler = np.full((count, *old.shape[1:]), -np.inf if name == "exponents" else np.nan)
            filler[:, columns] = values
            setattr(self, name, np.concatenate([old, filler]))
        order = np.argsort(-self.exponents, axis=0, kind="stable")
        for name in ("exponents", "above", "below", "up", "down"):
            a = getattr(self, name)
            setattr(self, name, np.take_along_axis(a, order if a.ndim == 2 else order[..., None], axis=0))

    def slopes(self, columns: np.ndarray) -> dict[str, np.ndarray]:
        """(columns, outputs) arrays, every output with its own best step."""
        levels, outputs = len(self.exponents), self.at_x.shape[1]
        count = int(np.isfinite(self.exponents[:, columns]).sum(axis=0).max(initial=0)) if levels else 0
        pick = (slice(0, count), columns)

        def flat(a: np.ndarray) -> np.ndarray:
            return np.repeat(a[pick], outputs, axis=1) if a.ndim == 2 else a[pick].reshape(count, -1)

        found = steps.slopes(
            np.repeat(self.x[columns], outputs),
            flat(self.above),
            flat(self.below),
            self.at_x[columns].reshape(-1),
            flat(self.up),
            flat(self.down),
            self._noise(columns),
        )
        return {name: getattr(found, name).reshape(len(columns), outputs) for name in steps.Slopes.__dataclass_fields__}

    def _noise(self, columns: np.ndarray) -> steps.Noise:
        """(columns · outputs)"""
        at_x = self.noise[columns].reshape(-1)
        if not np.isfinite(self.reach).any():
            return steps.Noise.unknown_beside(at_x)
        reach = np.repeat(self.reach[columns], self.at_x.shape[1])
        return steps.Noise.seen_beside(at_x, reach, *(a[:, columns].reshape(2, -1) for a in (self.bounds, self.seen)))

    def listen(self, found: dict[str, np.ndarray]) -> np.ndarray:
        """Bounds the error of the values that the answers rest on; returns the columns where that changes anything."""
        level, every = found["level"].min(axis=1), np.arange(len(self.x))
        x = np.stack([self.below[level, every], self.above[level, every]])
        reach = np.abs(x[1] - x[0]) / 2
        moved = np.flatnonzero(np.isfinite(reach) & ~((reach > self.reach / 4) & (reach < self.reach * 4)))
        if not moved.size:
            return moved
        was = np.where(np.isfinite(self.reach[moved]), np.inf, 1.25)  # the first time, a little more is no news
        known = was * self.noise[moved].T + 4 * U * np.abs(self.at_x[moved].T)
        self.reach[moved] = reach[moved]
        self.seen[:, moved] = np.stack([self.down[level, every], self.up[level, every]])[:, moved]
        self.bounds[:, moved] = [
            self.study.bound_at(self.w, self.elements[moved], self.points[moved], a) for a in x[:, moved]
        ]
        news = (self.bounds[:, moved] > known.T).any(axis=(0, 2)) | np.isinf(was)
        return moved[news]

    def doubtful(self, found: dict[str, np.ndarray]) -> np.ndarray:
        """Columns that smaller steps could improve."""
        scale = np.maximum(np.abs(found["value"]), np.abs(self.at_x / self.x[:, None]))
        sure = (
            np.isfinite(found["bar"])
            & (found["bar"] <= 1e-8 * scale)
            & (found["level"] < len(self.exponents) - 3)
            & ~found["kink"]
        )
        near = np.exp2(self.exponents[-1]) < np.abs(self.x) * 2.0**-20
        return ~((sure & near[:, None]) | ~np.isfinite(self.at_x)).all(axis=1)

    def sparse(self, found: dict[str, np.ndarray], columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of the columns have neighbours of the best step more than 2.7 octaves away, and their best levels."""
        with np.errstate(all="ignore"):
            vague = found["bar"][columns] / np.abs(found["value"][columns])
        worst = np.argmax(np.where(np.isnan(vague), np.inf, vague), axis=1)
        best = found["level"][columns, worst]
        e = self.exponents[:, columns]
        at = np.arange(len(columns))
        gap = np.fmax(
            e[np.maximum(best - 1, 0), at] - e[best, at], e[best, at] - e[np.minimum(best + 1, len(e) - 1), at]
        )
        wide = (gap > 2.7) & np.isfinite(self.at_x[columns]).any(axis=1)
        return wide, best


# ---- the complex step -------------------------------------------------------------------------------------------------
@dataclass
class Directions:
    """Derivatives by some elements: (elements, points, outputs)."""

    value: np.ndarray
    bar: np.ndarray
    #: the complex functions did what the real ones do, and nothing underflowed
    good: np.ndarray
    #: differences could hardly do better
    sharp: np.ndarray
    #: (elements, points)
    step: np.ndarray


class Real:
    """Real values of a tape, how much each may be off by rounding, and local partials (each computed when first asked for)."""

    def __init__(self, tape: Tape, values: list[np.ndarray]) -> None:
        self.tape, self.values = tape, values
        self.roundings = roundings(tape, values)
        self._rules = _Rules(tape, values)
        self._partials: dict[int, list[Any]] = {}

    def partials(self, i: int) -> list[Any]:
        if i not in self._partials:
            args = self.tape.args[i]
            kinds, operands = [self.tape.kinds[a] for a in args], [self.values[a] for a in args]
            found = self._rules._numeric_partials(i, self.tape.kinds[i], kinds, operands)
            self._partials[i] = [p.astype(float) if isinstance(p, np.ndarray) else p for p in found]
        return self._partials[i]

    def repeated(self, count: int) -> Real:
        return Real(
            self.tape, [np.tile(v, (count, *(1,) * (v.ndim - 1))) if v.shape[0] > 1 else v for v in self.values]
        )


class ComplexStep:
    """Complex step by the elements of one input of a tape."""

    def __init__(self, tape: Tape, w: int, active: bytearray) -> None:
        self.tape, self.w, self.active = tape, w, active
        self.compares = any(active[i] and k.dtype == "bool" for i, k in enumerate(tape.kinds))

    @classmethod
    def of(cls, tape: Tape, w: int) -> ComplexStep | str:
        """The way to do it, or why there is none."""
        for candidate in (tape, lower(tape, lambda k: not (k.op.analytic and _takes_complex(k)))):
            active = _reached(candidate, candidate.inputs[w])
            obstacle = next(
                (why for i in range(len(candidate.kinds)) if active[i] and (why := _obstacle(candidate, i))), None
            )
            if obstacle is None:
                return cls(candidate, w, active)
        return str(obstacle)

    def directions(self, real: Real, elements: np.ndarray, points: int) -> Directions:
        """Derivatives at the points with these real values."""
        columns = len(elements) * points
        if len(elements) > 1:
            real = real.repeated(len(elements))
        h, values = self._run(real.values, elements, columns)
        value, bar, good, noise = self._judged(real, values, h)
        reach = np.maximum(h * 2.0**-COMPLEX_STEP, 1.0)[:, None]  # the larger of |x|, about, and 1
        sharp = ~(bar > np.maximum(np.maximum(BLUNT * noise / reach, 1e-10 * np.abs(value)), 2.0**-1000))
        value, bar, good, sharp = (a.reshape(len(elements), points, -1) for a in (value, bar, good, sharp))
        return Directions(value, bar, good, sharp, h.reshape(len(elements), points))

    def _run(
        self, reals: Sequence[np.ndarray], elements: np.ndarray, columns: int
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Steps (columns,) and all values, complex where the step is felt; real parts are those of the real evaluation."""
        tape = self.tape
        base = reals[tape.inputs[self.w]]
        core = base.shape[1:]
        flat = np.broadcast_to(base, (columns, *core)).reshape(columns, -1)
        which = np.repeat(elements, columns // len(elements))
        x = flat[np.arange(columns), which]
        exponent = np.where(x == 0, COMPLEX_STEP_AT_0, np.maximum(np.frexp(x)[1] + COMPLEX_STEP, LEAST_COMPLEX_STEP))
        h = np.ldexp(1.0, exponent)
        shifted = flat.astype(complex)
        shifted.imag[np.arange(columns), which] = h
        values: list[np.ndarray] = []
        for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
            if i == tape.inputs[self.w]:
                value = shifted.reshape(columns, *core)
            elif not self.active[i] or kind.dtype == "bool":
                value = reals[i]
            else:
                value = call(kind, [values[a] for a in args])
                if kind.op.family != "movement" and value.dtype.kind == "c":
                    value = np.array(value)  # some results are views of their arguments
                    value.real[...] = reals[i]
            values.append(value)
        return h, values

    def _judged(self, real: Real, values: list[np.ndarray], h: np.ndarray) -> tuple[np.ndarray, ...]:
        """(derivative, bar, good, noise of the value) for every output, (columns, outputs).

        A value v̂ = v + ihv̇ rounds in its real part, by at most ρ, and in its imaginary part, by hρ̇. To first order the output's
        imaginary part is off by Σ |Im v̄|·ρ + |Re v̄|·hρ̇, with v̄ the complex adjoint at x + ih.
        """
        tape, columns = self.tape, len(h)
        rules = _Rules(tape, values)
        kept: list[tuple[np.ndarray, ...]] = []
        imaginary: dict[int, tuple[Any, Any, Any]] = {}
        for o in tape.outputs:
            core = tape.kinds[o].shape
            width = math.prod(core)
            out = np.broadcast_to(values[o], (columns, *core)).reshape(columns, width)
            value = out.imag / h[:, None] if out.dtype.kind == "c" else np.zeros((columns, width))
            sums = _Sums(columns, width)
            for e in range(width if self.active[o] else 0):
                self._sweep(o, e, values, real, rules, imaginary, h, sums)
            bar = NOISE_SHARE * sums.rounding + sums.off + sums.small
            # a bar that is mostly underflow of the imaginary part: differences do better
            lost = (sums.small > bar / 2) & (sums.small > 1e-12 * np.abs(value))
            # an exact 0 may be an overflow inside NumPy's complex division
            vanished = (value == 0) & bool(self.active[o])
            good = sums.good & np.isfinite(value) & np.isfinite(bar) & ~lost & ~vanished
            kept.append((value, bar + tiniest("float64"), good, sums.noise))
        return tuple(np.concatenate(part, axis=1) for part in zip(*kept, strict=True))  # type: ignore[return-value]

    def _sweep(
        self,
        output: int,
        element: int,
        values: list[np.ndarray],
        real: Real,
        rules: _Rules,
        imaginary: dict[int, tuple[Any, Any, Any]],
        h: np.ndarray,
        sums: _Sums,
    ) -> None:
        """One output element's adjoints at x + ih, added up."""
        tape = self.tape
        seed = np.zeros((1, *tape.kinds[output].shape))
        seed.reshape(-1)[element] = 1.0
        adjoints: dict[int, np.ndarray] = {output: seed}
        least = tiniest("float64")
        for i in range(output, -1, -1):
            adjoint = adjoints.pop(i, None)
            kind, args = tape.kinds[i], tape.args[i]
            if adjoint is None or kind.dtype in ("bool", "int64"):
                continue
            if any(tape.kinds[a].dtype not in ("bool", "int64") for a in args):
                if i not in rules._partials and kind.op.partials is not None:
                    self._prepare(i, values, real, rules, h)
                for a, c in zip(args, rules.contributions(i, adjoint), strict=True):
                    if c is not None and tape.kinds[a].dtype not in ("bool", "int64"):
                        c = c.astype(complex if c.dtype.kind == "c" else float, copy=False)
                        adjoints[a] = c if a not in adjoints else adjoints[a] + c
            alive, weight, size = adjoint != 0, np.abs(adjoint.real), real.roundings[i]
            if size is not None:
                sums.add("noise", element, np.where(alive, weight * size, 0.0))
                if adjoint.dtype.kind == "c":
                    sums.add("rounding", element, np.where(alive, np.abs(adjoint.imag) * size, 0.0), h)
            if not (self.active[i] and args and kind.op.family != "movement"):
                continue
            if i not in imaginary:
                imaginary[i] = self._imaginary(i, values, real, h)
            size, off, faithful = imaginary[i]
            sums.add("rounding", element, np.where(alive, weight * size, 0.0))
            sums.add("off", element, np.where(alive, weight * off, 0.0))
            sums.add("small", element, np.where(alive & (size > 0), weight * least, 0.0), h)
            if faithful is not True:
                unfaithful = alive & ~faithful
                sums.good[:, element] &= ~unfaithful.reshape(unfaithful.shape[0], -1).any(axis=1)

    def _prepare(self, i: int, values: list[np.ndarray], real: Real, rules: _Rules, h: np.ndarray) -> None:
        """Partials at x + ih of an operation whose rule is not analytic (sech² written with |x|): real ones, and by differences
        how they move with x. That is exact enough for an error bar."""
        kind, args = self.tape.kinds[i], self.tape.args[i]
        arguments = [self.tape.kinds[a] for a in args]
        moving = any(values[a].dtype.kind == "c" for a in args)
        if not moving or _analytic(templates.partials(kind, arguments)):
            return
        rank = values[i].ndim
        step = h.reshape(-1, *(1,) * (rank - 1))
        operands = [_ranked(values[a], rank) for a in args]
        at = [v.real for v in operands]
        tangents = [v.imag / step if v.dtype.kind == "c" else np.zeros(1) for v in operands]
        room = [
            np.where(t != 0, np.where(v != 0, np.abs(v), 1.0) / np.abs(t), np.inf)
            for v, t in zip(at, tangents, strict=True)
        ]
        t = NUDGE * np.minimum.reduce(np.broadcast_arrays(*room))
        t = np.where(np.isfinite(t), t, 1.0)
        sides = []
        for sign in (1, -1):
            moved = [v + sign * t * d if d.any() else v for v, d in zip(at, tangents, strict=True)]
            sides.append(evaluate_template(templates.partials(kind, arguments), [call(kind, moved), *moved]))
        made = []
        for p, high, low in zip(real.partials(i), *sides, strict=True):
            if not isinstance(p, np.ndarray):
                made.append(p)
                continue
            slope = np.where(p == 0, 0.0, np.asarray(high - low, float) / (2 * t))
            made.append(p + 1j * step * slope)
        rules._partials[i] = made

    def _imaginary(self, i: int, values: list[np.ndarray], real: Real, h: np.ndarray) -> tuple[Any, Any, Any]:
        """Of the imaginary part of value i, over h: how much rounding may put it off, how much it is off from what the
        partials make it, and whether that is little."""
        kind, args, rank = self.tape.kinds[i], self.tape.args[i], values[i].ndim
        step = h.reshape(-1, *(1,) * (rank - 1))
        if kind.op.partials is None:
            return SAFETY * U * _grown(kind, [values[a] for a in args], h), 0.0, True
        out = values[i].imag / step
        size, total, plain = np.zeros(1), np.zeros(1), True
        for p, a in zip(real.partials(i), args, strict=True):
            if p is None or values[a].dtype.kind != "c":
                continue
            tangent = _ranked(values[a].imag, rank) / step
            plain = plain and not isinstance(p, np.ndarray)
            # a partial of exactly zero says: not this branch, whatever its tangent
            term = np.where(p == 0, 0.0, p * tangent)
            size, total = size + np.abs(term), total + term
        if plain:  # the operation works on the two parts separately
            return SAFETY * U * np.abs(out), 0.0, True
        off = np.abs(out - total)
        return SAFETY * U * size, off, off <= FAITHFUL * size + 16 * tiniest("float64") / step


class _Sums:
    """What a sweep adds up, for each column and output element."""

    def __init__(self, columns: int, width: int) -> None:
        #: bound of rounding in the derivative, and in the value
        self.rounding, self.noise = np.zeros((columns, width)), np.zeros((columns, width))
        #: errors of complex functions, and underflow of imaginary parts
        self.off, self.small = np.zeros((columns, width)), np.zeros((columns, width))
        self.good = np.ones((columns, width), bool)

    def add(self, name: str, element: int, terms: np.ndarray, h: np.ndarray | None = None) -> None:
        """Terms summed over their core axes, over h."""
        total = terms.reshape(terms.shape[0], -1).sum(axis=1)
        getattr(self, name)[:, element] += total if h is None else total / h


def _grown(kind: Kind, args: Sequence[np.ndarray], h: np.ndarray) -> np.ndarray:
    """First-order growth of an array operation's magnitude when arguments |v| grow by their tangents |v̇|."""
    sizes = [np.abs(a.real) for a in args]
    moves = [
        np.abs(a.imag) / h.reshape(-1, *(1,) * (a.ndim - 1)) if a.dtype.kind == "c" else np.zeros_like(a) for a in args
    ]
    most = max(float(np.max(s, initial=0.0)) for s in sizes) or 1.0
    fastest = max(float(np.max(m, initial=0.0)) for m in moves) or 1.0
    t = 2.0**-20 * most / fastest

    def magnitude(by: float) -> np.ndarray:
        grown = [s + by * m for s, m in zip(sizes, moves, strict=True)]
        out = call(kind, grown)
        return np.abs(out) if kind.op.magnitude is None else np.asarray(kind.op.magnitude(out, *grown, **kind.kwargs))

    return np.maximum(magnitude(t) - magnitude(0.0), 0.0) / t


def _reached(tape: Tape, source: int) -> bytearray:
    """Which values depend on value `source`, other than through integers."""
    active = bytearray(len(tape.kinds))
    active[source] = 1
    for i, args in enumerate(tape.args):
        if any(active[a] and tape.kinds[a].dtype != "int64" for a in args):
            active[i] = 1
    return active


def _obstacle(tape: Tape, i: int) -> str | None:
    """Why there is no complex step through value `i`."""
    kind = tape.kinds[i]
    if kind.op.family == "leaf" or kind.dtype == "bool":
        return None if kind.op.analytic or kind.op.family == "leaf" else f"{kind.op.name} does not compare real parts"
    if not kind.op.analytic or not _takes_complex(kind):
        return f"{kind.op.name} is not analytic, or NumPy has no complex form of it"
    arguments = [tape.kinds[a] for a in tape.args[i]]
    if kind.op.partials is None and kind.op.vjp is None:
        return f"{kind.op.name} has no rule, which the error bar needs"
    if kind.op.partials is None and not _analytic(templates.vjp(kind, arguments)):
        return f"the rule of {kind.op.name}, which the error bar needs, is not analytic"
    return None


def _analytic(rule: templates.Template) -> bool:
    """Whether a rule can be evaluated at complex values."""
    return all(k.op.family == "leaf" or (k.op.analytic and _takes_complex(k)) for k, _ in rule.steps)


_TAKES: dict[Kind, bool] = {}


def _takes_complex(kind: Kind) -> bool:
    """Whether NumPy's function for an elementwise operation takes complex numbers."""
    if kind.op is CAST or kind.op.family != "elementwise" or kind.dtype == "bool":
        return kind.op is not CAST
    if kind not in _TAKES:
        try:
            with np.errstate(all="ignore"):
                kind.op.numpy(*[np.array([0.5 + 1e-9j])] * (kind.op.arity or 1), **kind.kwargs)
            _TAKES[kind] = True
        except TypeError:
            _TAKES[kind] = False
    return _TAKES[kind]


# ---- the engine -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Finite:
    """Derivatives from values. `method` is one of METHODS; auto takes the complex step where it can and differences elsewhere.

    `step` is for "forward" and "central" alone, relative to max(1, |x|); √u and ∛u by default.
    """

    method: str = "auto"
    step: float | None = None
    name: str = "finite"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnsupportedError(f"there is no method {self.method!r}; choose one of {', '.join(METHODS)}")
        if self.step is not None and self.method not in CLASSICAL:
            raise UnsupportedError(
                f"the method {self.method!r} chooses its own steps; step= goes with forward or central"
            )

    def program(self, tape: Tape, wrt: Sequence[int]) -> FiniteProgram:
        return FiniteProgram(differentiable_tape(tape), tuple(wrt), self.method, self.step)


ENGINE = Finite()
