"""The complex step: g = Im f(x + ih)/h, its error bar, and where NumPy's complex functions can be trusted (see finite.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..expr.kind import Kind
from ..machines.numpy import call
from ..numerics import UNIT_ROUNDOFF, tiniest
from ..ops import CAST
from ..tape import Tape, templates
from ..tape.lower import lower
from .rounding import SAFETY, Rules, evaluate_template, ranked, roundings

U = UNIT_ROUNDOFF["float64"]
#: the bound of rounding.py grants 8u to every operation; half of it is still 2 ulp for each. Measured on 153 formulas at 6,000
#: points, 2,178,000 entries: none outside its bar; the bar is 34 times the error (median) for auto, 58 for differences alone
NOISE_SHARE = 0.5
#: complex steps relative to x: h² is then below the last bit of anything, and h·v above the subnormals for |v| > 1e-170
COMPLEX_STEP, COMPLEX_STEP_AT_0, LEAST_COMPLEX_STEP = -400, -700, -1000
#: how well Im out and Σ partial·Im arg have to agree; NumPy's complex power is off by |y log x| ulp, 1e-13 at the end of the range
FAITHFUL = 1e-12
#: differences reach a bar of about 2⁹·noise/scale; a complex step whose bar is larger (sin(x)/x at 1e-8) is compared with them
BLUNT = 2.0**10
#: relative change of arguments for derivatives of rules
NUDGE = 2.0**-20
#: a factor that takes an integer to a number beside it that is none
BESIDE = 1 + 0.7 * 2.0**-30


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
        self._rules = Rules(tape, values)
        self._partials: dict[int, list[Any]] = {}

    def partials(self, i: int) -> list[Any]:
        if i not in self._partials:
            found = self._rules.computed(i)
            self._partials[i] = [p.astype(float) if isinstance(p, np.ndarray) else p for p in found]
        return self._partials[i]

    def repeated(self, count: int) -> Real:
        return Real(
            self.tape, [np.tile(v, (count, *(1,) * (v.ndim - 1))) if v.shape[0] > 1 else v for v in self.values]
        )


class _ComplexRules(Rules):
    """Local partials at x + ih."""

    def __init__(self, tape: Tape, values: list[np.ndarray], real: Real, h: np.ndarray) -> None:
        super().__init__(tape, values)
        self.real, self.h = real, h

    def contributions(self, i: int, adjoint: np.ndarray) -> list[np.ndarray | None]:
        """Of an operation on real values the two parts of an adjoint go their own ways: it need not know complex numbers."""
        if adjoint.dtype.kind != "c" or any(self.values[v].dtype.kind == "c" for v in (i, *self.tape.args[i])):
            return super().contributions(i, adjoint)
        parts = (super(_ComplexRules, self).contributions(i, part) for part in (adjoint.real, adjoint.imag))
        return [None if re is None or im is None else re + 1j * im for re, im in zip(*parts, strict=True)]

    def computed(self, i: int) -> list[Any]:
        """Of an operation whose rule is not analytic (sech² written with |x|): real ones, and by differences how they move with x.
        That is exact enough for an error bar."""
        kind, args, values = self.tape.kinds[i], self.tape.args[i], self.values
        rule = templates.partials(kind, [self.tape.kinds[a] for a in args])
        if not any(values[a].dtype.kind == "c" for a in args) or _analytic(rule):
            return super().computed(i)
        rank = values[i].ndim
        step = self.h.reshape(-1, *(1,) * (rank - 1))
        operands = [ranked(values[a], rank) for a in args]
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
            sides.append(evaluate_template(rule, [call(kind, moved), *moved]))
        made = []
        for p, high, low in zip(self.real.partials(i), *sides, strict=True):
            if not isinstance(p, np.ndarray):
                made.append(p)
                continue
            slope = np.where(p == 0, 0.0, np.asarray(high - low, float) / (2 * t))
            made.append(p + 1j * step * slope)
        return made


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
        rules = _ComplexRules(tape, values, real, h)
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
        rules: Rules,
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
            tangent = ranked(values[a].imag, rank) / step
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
    sizes = [np.abs(a.real) if a.dtype.kind in "fc" else a for a in args]  # an index stays what it is
    moves = [
        np.abs(a.imag) / h.reshape(-1, *(1,) * (a.ndim - 1)) if a.dtype.kind == "c" else np.zeros_like(a) for a in args
    ]
    most = max(float(np.max(s, initial=0.0)) for s in sizes if s.dtype.kind == "f") or 1.0
    fastest = max(float(np.max(m, initial=0.0)) for m in moves) or 1.0
    t = 2.0**-20 * most / fastest

    def magnitude(by: float) -> np.ndarray:
        grown = [s + by * m if s.dtype.kind == "f" else s for s, m in zip(sizes, moves, strict=True)]
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
