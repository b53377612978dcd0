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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import DtypeError, UnsupportedError
from ..machines import Executable, Machine
from ..numerics import tiniest, unit_roundoff
from ..tape import Tape
from . import steps
from .columns import Sample
from .complex_step import ComplexStep
from .differenced import Slope, Value, widened
from .engine import Blocks, differentiable_tape, shapes_of
from .study import CLASSICAL, METHOD_CODES, METHODS, Study, Table

OUTCOMES = np.array(["ok", "kink", "nonfinite"])
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
        detached = next((k.op.name for k in self.tape.kinds if k.op.detached), None)
        if detached:
            raise UnsupportedError(
                f"finite: the derivative of {detached!r} is not that of its value, and values are all that differences see"
            )
        for w in self.wrt:
            kind = self.tape.kinds[self.tape.inputs[w]]
            if kind.dtype in ("int64", "bool"):
                raise DtypeError(
                    f"{kind.kwargs['name']!r} is {kind.dtype}; a derivative needs a floating-point variable"
                )

    def _estimate(self, outputs: list[np.ndarray], study: Study, tables: list[Table]) -> Estimate:
        """Tables (elements, points, outputs) of every input as blocks, in the inputs' dtypes."""
        self.evaluations = study.sample.evaluations()
        self.notes["method"] = _methods(tables)
        dtypes = [self.tape.kinds[self.tape.inputs[w]].dtype for w in self.wrt]

        def blocks(name: str) -> Blocks:
            rows, start = [], 0
            for o in self.out_shapes:
                part = slice(start, start + math.prod(o))
                start = part.stop
                rows.append(
                    [
                        np.moveaxis(getattr(t, name)[:, :, part], 0, -1).reshape((*study.sample.loop, *o, *i))
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


def _methods(tables: Sequence[Table]) -> str:
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
        #: whether the function may have kinks
        self.kinky = any(k.op.kinks is not None or k.op.convention or k.op.result == "bool" for k in self._wide.kinds)
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
                each = 2 * (steps.COARSE_LEVELS + (steps.FINE_LEVELS if self.kinky else 0))
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
            sample = Sample(Value(self._wide, wide), values, known)
            study = Study(sample, self.method, self.step, self.kinky, self._complex)
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
            study = Study(Sample(Slope(self._first, machine), values), "richardson", None, self._first.kinky, {})
            tables = [study.by_input(w) for w in self.wrt]
        return self._estimate([b for row in first.blocks for b in row], study, tables)


def second_program(tape: Tape, wrt: Sequence[int]) -> SecondProgram:
    """All second derivatives by the inputs at positions `wrt`."""
    return SecondProgram(differentiable_tape(tape), tuple(wrt))


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
