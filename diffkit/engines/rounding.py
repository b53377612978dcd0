"""First-order rounding bound of a tape's outputs: E = Σ_i |∂g/∂v_i|·max(8·u·M_i, η) + η, η the smallest subnormal.

The sum runs over every value of the tape that defines g, constants included. M_i is |v_i| for an operation that rounds
its own result once or a few times; an operation that rounds inside (a sum of many terms, lgamma near its
zeros) states a larger magnitude in its record. The sensitivities ∂g/∂v_i come from sweeping the tape backwards
numerically, once for each entry of g, so the bound sees cancellation that the condition of g alone does not. An operation whose
result is subnormal rounds by η rather than relatively, and what follows may magnify that.
(Linnainmaa 1976; Griewank and Walther, *Evaluating Derivatives*, 2nd ed., section 3.4.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ExceededError
from ..expr.kind import Kind, constant_value
from ..machines.numpy import call, laned_inputs, run
from ..numerics import tiniest, unit_roundoff
from ..ops import CONSTANT, VARIABLE
from ..tape import Tape, templates
from ..tape.inlined import inlined
from ..tape.lower import lower
from ..tape.templates import Ref, Template

#: sensitivities are products of many partials, of which some under- or overflow long before the product with M does (a chain
#: through cosh 250, say): they are kept in extended precision, for its range, where the platform has it
WIDE = np.longdouble

#: most values of a tape with its loops written out
LONGEST = 100_000

#: roundings granted to one operation: a library function is trusted to 4 ulp
SAFETY = 8.0


@dataclass
class Bounds:
    #: the bound of every output, (*loop, *core)
    entries: list[np.ndarray]
    #: Σ|∂g/∂x|·|x| over the inputs alone: divided by |g| it is the condition of g with respect to its inputs
    from_inputs: list[np.ndarray]
    loop: tuple[int, ...]


def evaluate_template(template: Template, inputs: Sequence[np.ndarray]) -> list[Any]:
    """A template's outputs as arrays (lanes, *core), plain numbers or None."""
    values = list(inputs)
    for kind, args in template.steps:
        if kind.op is CONSTANT:
            values.append(constant_value(kind)[None])
        else:
            values.append(_aligned_call(kind, [values[a] for a in args]))
    return [values[o.index] if isinstance(o, Ref) else o for o in template.outputs]


def _aligned_call(kind: Kind, args: list[np.ndarray]) -> np.ndarray:
    """As machines.numpy.call, but elementwise rules are shape-blind: ranks come from the arrays."""
    if kind.op.family == "elementwise":
        rank = max(a.ndim for a in args)
        args = [a if a.ndim == rank else a.reshape(a.shape[0], *(1,) * (rank - a.ndim), *a.shape[1:]) for a in args]
        return np.asarray(kind.op.numpy(*args, **kind.kwargs))
    return call(kind, args)


def roundings(tape: Tape, values: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """max(8·u·M_i, η) for every value; None for conditions, inputs and movements, which do not round."""
    sizes: list[np.ndarray | None] = []
    for i, (kind, m) in enumerate(zip(tape.kinds, _magnitudes(tape, values), strict=True)):
        size = None if m is None else np.maximum(SAFETY * unit_roundoff(kind.dtype) * m, tiniest(kind.dtype))
        if size is not None and (kind.op is CONSTANT or (kind.op.cost == "add" and kind.op.family == "elementwise")):
            whole = [_whole(ranked(values[v], values[i].ndim)) for v in (i, *tape.args[i])]
            size = np.where(np.logical_and.reduce(np.broadcast_arrays(*whole)), 0.0, size)
        sizes.append(size)
    return sizes


def _whole(value: np.ndarray) -> np.ndarray:
    """Where a value is an integer small enough that it is exact itself, and so are sums of such."""
    return (np.abs(value) <= (2.0**24 if value.dtype == np.float32 else 2.0**53)) & (value == np.rint(value))


def _magnitudes(tape: Tape, values: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    result: list[np.ndarray | None] = []
    for i, (kind, value) in enumerate(zip(tape.kinds, values, strict=True)):
        if kind.dtype in ("bool", "int64") or kind.op.family == "movement" or kind.op is VARIABLE:
            result.append(None)
        elif kind.op.magnitude is None:
            result.append(np.abs(value))
        else:
            args = [values[a] for a in tape.args[i]]
            if kind.op.family == "elementwise":
                rank = value.ndim
                args = [a.reshape(a.shape[0], *(1,) * (rank - a.ndim), *a.shape[1:]) for a in args]
            result.append(np.asarray(kind.op.magnitude(value, *args, **kind.kwargs)))
    return result


def rounding_bound(tape: Tape, values: Sequence[Any], skip: int = 0) -> Bounds:
    """Bounds for the tape's outputs from number `skip` on, at these input values.

    Loops are written out, so that what rounds inside counts. Raises ExceededError where that is too long (LONGEST).
    """
    written = inlined(tape, LONGEST)
    if written is None:
        raise ExceededError(f"a rounding bound over loops that are more than {LONGEST:,} operations when written out")
    tape = lower(written, lambda kind: kind.op.result != "bool" and not kind.op.differentiable)
    inputs, loop = laned_inputs(tape, values)
    points = math.prod(loop)
    computed = run(tape, inputs)
    with np.errstate(all="ignore"):
        sizes = roundings(tape, computed)
        rules = Rules(tape, computed)
        entries, from_inputs = [], []
        undefined = np.zeros(points, bool)  # where a value is NaN there is no derivative to bound
        for o in tape.outputs[:skip]:
            undefined |= np.isnan(computed[o]).reshape(computed[o].shape[0], -1).any(axis=1)
        for o in tape.outputs[skip:]:
            kind = tape.kinds[o]
            bound, inherited = _entry_bounds(tape, computed, sizes, rules, o, points)
            # nothing is known, so nothing is promised
            lost = _lost(tape, computed, rules, o, points) | undefined
            bound = np.where(np.isnan(bound) | lost[:, None], np.inf, bound + tiniest(kind.dtype))
            entries.append(bound.reshape((*loop, *kind.shape)))
            from_inputs.append(inherited.reshape((*loop, *kind.shape)))
    return Bounds(entries, from_inputs, loop)


def _lost(tape: Tape, values: list[np.ndarray], rules: Rules, output: int, points: int) -> np.ndarray:
    """(points,): where a value that can influence the output has overflowed, which no first-order bound sees."""
    overflowed: dict[int, np.ndarray] = {}
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        if args and kind.dtype in ("float64", "float32", "weak") and np.isinf(values[i]).any():
            new = np.isinf(values[i]).any(axis=tuple(range(1, values[i].ndim)))
            for a in args:
                if tape.kinds[a].dtype != "bool":
                    new = new & np.isfinite(values[a]).all(axis=tuple(range(1, values[a].ndim)))
            overflowed[i] = new
    lost = np.zeros(points, bool)
    alive: dict[int, np.ndarray] = {output: np.ones(1, bool)} if overflowed else {}
    for i in range(output, -1, -1):
        here = alive.pop(i, None)
        if here is None:
            continue
        if i in overflowed:
            lost |= here & overflowed[i]
        for a, mask in zip(tape.args[i], rules.masks(i), strict=True):
            reached = here if mask is None else here & mask.any(axis=tuple(range(1, mask.ndim)))
            alive[a] = alive[a] | reached if a in alive else reached
    return lost


class Rules:
    """Local partials of every instruction as numbers, computed once and used for every output."""

    def __init__(self, tape: Tape, values: list[np.ndarray]) -> None:
        self.tape, self.values = tape, values
        self._partials: dict[int, list[Any]] = {}

    def contributions(self, i: int, adjoint: np.ndarray) -> list[np.ndarray | None]:
        kind, args = self.tape.kinds[i], self.tape.args[i]
        arguments = [self.tape.kinds[a] for a in args]
        operands = [self.values[a] for a in args]
        if kind.op.partials is None:
            template = templates.vjp(kind, arguments)
            if adjoint.shape[0] == 1 and any(v.shape[0] > 1 for v in operands):
                adjoint = np.broadcast_to(adjoint, (max(v.shape[0] for v in operands), *adjoint.shape[1:]))
            inputs = [adjoint, _wide(self.values[i]), *map(_wide, operands)]
            return [None if c is None else np.asarray(c) for c in evaluate_template(template, inputs)]
        results: list[np.ndarray | None] = []
        for p, argument in zip(self.partials(i), arguments, strict=True):
            if p is None or (not isinstance(p, np.ndarray) and p == 0):
                results.append(None)
                continue
            p = ranked(p, adjoint.ndim) if isinstance(p, np.ndarray) else p
            # an adjoint of zero says that the value does not matter here, whatever the partial
            term = np.where(adjoint == 0, 0.0, adjoint * p)
            results.append(_sum_to(term, argument.shape))
        return results

    def masks(self, i: int) -> list[Any]:
        """For every argument where it can matter; None: everywhere."""
        arguments = [self.tape.kinds[a] for a in self.tape.args[i]]
        chosen = templates.selects(self.tape.kinds[i], arguments)
        if chosen is None:
            return [None] * len(arguments)
        return evaluate_template(chosen, [ranked(self.values[a], self.values[i].ndim) for a in self.tape.args[i]])

    def partials(self, i: int) -> list[Any]:
        """By every argument: an array, a number, or None where there is none; zero where the argument cannot matter."""
        if i not in self._partials:
            self._partials[i] = self.computed(i)
        return self._partials[i]

    def computed(self, i: int) -> list[Any]:
        """The partials, computed anew."""
        kind, args, rank = self.tape.kinds[i], self.tape.args[i], self.values[i].ndim
        arguments = [self.tape.kinds[a] for a in args]
        aligned = [_wide(ranked(self.values[a], rank)) for a in args]
        partials = evaluate_template(templates.partials(kind, arguments), [_wide(self.values[i]), *aligned])
        chosen = templates.selects(kind, arguments)
        if chosen is None:
            return partials
        masks = evaluate_template(chosen, aligned)
        return [p if m is None or p is None else np.where(m, p, 0.0) for p, m in zip(partials, masks, strict=True)]


def _wide(a: np.ndarray) -> np.ndarray:
    return a.astype(WIDE) if a.dtype.kind == "f" else a


def ranked(a: np.ndarray, rank: int) -> np.ndarray:
    return a if a.ndim >= rank else a.reshape(a.shape[0], *(1,) * (rank - a.ndim), *a.shape[1:])


def _sum_to(a: np.ndarray, core: tuple[int, ...]) -> np.ndarray:
    extra = a.ndim - 1 - len(core)
    axes = tuple(k for k in range(1, a.ndim) if k <= extra or (core[k - 1 - extra] == 1 and a.shape[k] != 1))
    return a.sum(axis=axes, keepdims=True).reshape(a.shape[0], *core) if axes else a


def _entry_bounds(
    tape: Tape, values: list[np.ndarray], sizes: list[np.ndarray | None], rules: Rules, output: int, points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Σ|∂g/∂v|·(rounding of v) over operations and constants, and Σ|∂g/∂x|·|x| over inputs.

    For every element g of one output; one sweep an element.
    """
    core = tape.kinds[output].shape
    bounds, inherited = np.zeros((points, math.prod(core))), np.zeros((points, math.prod(core)))
    for element in range(math.prod(core)):
        seed = np.zeros((1, *core), WIDE)
        seed.reshape(-1)[element] = 1.0
        adjoints: dict[int, np.ndarray] = {output: seed}
        for i in range(output, -1, -1):
            adjoint = adjoints.pop(i, None)
            if adjoint is None:
                continue
            variable = tape.kinds[i].op is VARIABLE
            size = np.abs(values[i]) if variable else sizes[i]
            if size is not None:
                term = np.where((adjoint == 0) | (size == 0), 0.0, np.abs(adjoint) * size)
                (inherited if variable else bounds)[:, element] += term.reshape(term.shape[0], -1).sum(axis=1)
            if not tape.args[i] or tape.kinds[i].dtype in ("bool", "int64"):
                continue
            for a, c in zip(tape.args[i], rules.contributions(i, adjoint), strict=True):
                if c is not None and tape.kinds[a].dtype not in ("bool", "int64"):
                    adjoints[a] = c if a not in adjoints else adjoints[a] + c
    return bounds, inherited
