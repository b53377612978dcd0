"""A tape as a static parameter: the body of a loop (`scan`) or of a call (`checkpoint`).

A body is interned: one object for all tapes that say the same, so kinds that carry one are equal when their bodies are. It
carries what a rule in the op table, which imports nothing, needs of it: its evaluator, its derivatives, its form in other algebras.

Inputs and outputs are positional. Every output has a dtype of its own (none is weak), and every input is brought to the
dtype that it is declared with.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ..errors import ExceededError
from ..expr.elements import scalar_work, write
from ..expr.functions import RULES
from ..expr.kind import WEAK, constant_value, intern_kind
from ..expr.node import Expr, topological, variable
from ..ops import CONSTANT, TABLE, VARIABLE
from ..ops.kinks import current as kink_policy
from ..ops.loops import repeated
from .record import expressions, record
from .tape import Builder, Tape

#: most instructions of a loop that is written out in scalars
WRITTEN = 20_000
#: marks the inputs of bodies, so that they are nobody else's variables
_UID = -11
#: (tape, positions of the inputs to differentiate by) -> tape, by name: the engines enter theirs ("tangent", "adjoint")
DIFFERENTIATORS: dict[str, Callable[[Tape, Sequence[int]], Tape]] = {}

_bodies: weakref.WeakValueDictionary[tuple, Body] = weakref.WeakValueDictionary()
_T = TypeVar("_T")


class Body:
    """An interned tape. `inputs` and `outputs` are (core shape, dtype) of each."""

    __slots__ = ("__weakref__", "_derived", "_steps", "bases", "extensions", "inputs", "outputs", "tape")

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.inputs = tuple((tape.kinds[i].shape, tape.kinds[i].dtype) for i in tape.inputs)
        self.outputs = tuple((tape.kinds[o].shape, tape.kinds[o].dtype) for o in tape.outputs)
        #: bodies that compute the same and more -> the positions of the inputs and of the outputs there
        self.extensions: dict[Body, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        #: the other way round: bodies of which this computes all
        self.bases: dict[Body, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        #: what was made of it, by what was asked for
        self._derived: dict[tuple, Any] = {}
        self._steps: tuple[list, list] | None = None

    @staticmethod
    def of(tape: Tape) -> Body:
        """The one body that says what `tape` says, whatever its inputs are called."""
        builder = Builder()
        place: list[int] = []
        number = {i: n for n, i in enumerate(tape.inputs)}
        for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
            if i in number:
                place.append(builder.input(f"x{number[i]}", kind.shape, kind.dtype, _UID))
            else:
                place.append(builder.append(kind, tuple([place[a] for a in args])))
        outputs = [builder.cast(place[o], "float64") if tape.kinds[o].dtype == WEAK else place[o] for o in tape.outputs]
        plain = builder.finish([place[i] for i in tape.inputs], outputs)
        key = (tuple([k.number for k in plain.kinds]), tuple(plain.args), plain.inputs, plain.outputs)
        found = _bodies.get(key)
        return _bodies.setdefault(key, Body(plain)) if found is None else found

    @staticmethod
    def recorded(outputs: Sequence[Expr], inputs: Sequence[Expr]) -> Body:
        """The body that computes expressions of `inputs`, which are all the variables that they have."""
        return Body.of(record(outputs, inputs))

    @staticmethod
    def written(rule: Callable[..., Sequence[Expr]], like: Sequence[Expr]) -> Body:
        """The body of what `rule(o, *inputs)` writes for inputs of the shapes and dtypes of `like`."""
        inputs = [variable(f"x{k}", x.shape, x.dtype, _UID) for k, x in enumerate(like)]
        return Body.recorded(rule(RULES, *inputs), inputs)

    def __repr__(self) -> str:
        return f"<body of {len(self.tape)} instructions, {len(self.inputs)} inputs, {len(self.outputs)} outputs>"

    def __reduce__(self) -> tuple:
        tape = self.tape
        rows = [(k.op.name, k.params, k.shape, k.dtype, args) for k, args in zip(tape.kinds, tape.args, strict=True)]
        return (_rebuild, (rows, tape.inputs, tape.outputs))

    def __call__(self, *args: Expr) -> list[Expr]:
        """The outputs as expressions of `args`."""
        return expressions(self.tape, self._cast(args))

    def _cast(self, args: Sequence[Expr]) -> list[Expr]:
        return [
            x if x.kind.dtype == dtype else RULES.cast(x, dtype=dtype)
            for x, (_, dtype) in zip(args, self.inputs, strict=True)
        ]

    # ---- evaluation ----
    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for inputs (lanes, *core), as the numpy machine computes them; lanes 1 where nothing varies."""
        if self._steps is None:
            self._steps = self._prepared()
        constants, steps = self._steps
        values = list(constants)
        for i, x, (_, dtype) in zip(self.tape.inputs, inputs, self.inputs, strict=True):
            values[i] = x if x.dtype == dtype else x.astype(dtype)
        for i, function, params, operands, dtype in steps:
            args = [values[a] if rank is None else _ranked(values[a], rank) for a, rank in operands]
            value = function(*args, **params) if params else function(*args)
            if dtype is not None and value.dtype != dtype:
                value = value.astype(dtype)
            values[i] = value
        return [values[o] for o in self.tape.outputs]

    def _prepared(self) -> tuple[list, list]:
        tape = self.tape
        constants: list[Any] = [None] * len(tape.kinds)
        steps = []
        for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
            if kind.op is CONSTANT:
                constants[i] = constant_value(kind)[None]
            elif kind.op is not VARIABLE:
                own = len(kind.shape)
                align = kind.op.family == "elementwise"
                operands = [(a, own if align and len(tape.kinds[a].shape) != own else None) for a in args]
                dtype = np.dtype(kind.dtype) if kind.dtype in ("float32", "float64") else None
                steps.append((i, kind.op.numpy, kind.kwargs, operands, dtype))
        return constants, steps

    # ---- derivatives ----
    def reached(self, active: Sequence[bool]) -> tuple[bool, ...]:
        """Which outputs can vary, as numbers, with the active inputs."""
        tape = self.tape
        on = {i for i, a in zip(tape.inputs, active, strict=True) if a}
        for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
            if kind.dtype not in ("bool", "int64") and any(a in on for a in args):
                on.add(i)
        return tuple(o in on for o in tape.outputs)

    def tangent(self, active: Sequence[bool], wanted: Sequence[bool] | None = None) -> Body:
        """Inputs, then a tangent for each active one; outputs, then the tangents of those `wanted` (those `reached`)."""
        wanted = self.reached(active) if wanted is None else tuple(wanted)
        return self._made(("tangent", kink_policy(), *active, *wanted), lambda: self._tangent(active, wanted))

    def _tangent(self, active: Sequence[bool], wanted: Sequence[bool]) -> Body:
        made = DIFFERENTIATORS["tangent"](self.tape, [k for k, on in enumerate(active) if on])
        count = len(self.outputs)
        tangents = [t for t, on in zip(made.outputs[count:], wanted, strict=True) if on]
        return _reselected(made, made.inputs, (*made.outputs[:count], *tangents))

    def adjoint(self) -> Body:
        """Inputs, then an adjoint for each output that is a float; the adjoints of the inputs that are floats."""
        return self._made(("adjoint", kink_policy()), self._adjoint)

    def _adjoint(self) -> Body:
        made = DIFFERENTIATORS["adjoint"](self.tape, floats(self.inputs))
        count = len(self.inputs)
        seeds = [made.inputs[count + k] for k in floats(self.outputs)]
        return _reselected(made, (*made.inputs[:count], *seeds), made.outputs[len(self.outputs) :])

    def backward(self, carries: int, xs: int) -> Body:
        """One step of a loop, backwards, as the body of a loop in the other direction.

        Inputs: the adjoint of the new carry, sums of the constants' adjoints so far; the carry that the step began with, the step's
        x, the adjoint of its y; the constants. Outputs: the adjoint of the old carry, the new sums; the adjoint of x. Adjoints
        are those of floats alone.
        """

        def make() -> Body:
            whole = self._whole_step(carries, xs)
            return _reselected(whole, whole.inputs, whole.outputs[len(self.outputs) :])

        return self._made(("backward", kink_policy(), carries, xs), make)

    def halves(self, carries: int, xs: int) -> tuple[Body, Body]:
        """The step forwards, which puts out after its results what its reversal needs of it, and the step backwards.

        The second is `backward` with those values in the place of the carry. It does nothing again that is dear, but for inner
        loops, so that what those compute inside is kept for one step at a time.
        """
        return self._made(("halves", kink_policy(), carries, xs), lambda: self._halves(carries, xs))

    def _whole_step(self, carries: int, xs: int) -> Tape:
        """Inputs as of `backward`; the outputs of the step, and behind them those of `backward`."""
        moving, count = floats(self.inputs), len(self.inputs)
        made = DIFFERENTIATORS["adjoint"](self.tape, moving)
        builder = Builder.copy_of(made)
        outputs = list(made.outputs[len(self.outputs) :])
        in_carry, in_xs = (sum(1 for k in moving if k < end) for end in (carries, carries + xs))
        sums = []
        for n in range(in_xs, len(moving)):
            shape, dtype = self.inputs[moving[n]]
            sums.append(builder.input(f"sum{n}", shape, dtype, _UID))
            outputs[n] = builder.cast(builder.again(TABLE["add"], (sums[-1], outputs[n])), dtype)
        ends, ys = (
            [made.inputs[count + k] for k in floats(self.outputs) if (k < carries) == end] for end in (True, False)
        )
        taken = made.inputs[:count]
        order = (*ends, *sums, *taken[: carries + xs], *ys, *taken[carries + xs :])
        adjoints = (*outputs[:in_carry], *outputs[in_xs:], *outputs[in_carry:in_xs])
        return builder.finish(order, (*made.outputs[: len(self.outputs)], *adjoints))

    def _halves(self, carries: int, xs: int) -> tuple[Body, Body]:
        whole, count = self._whole_step(carries, xs), len(self.outputs)
        first = sum(1 for k in floats(self.outputs) if k < carries) + sum(
            1 for k in floats(self.inputs) if k >= carries + xs
        )
        split = first + carries + xs
        ys = split + sum(1 for k in floats(self.outputs) if k >= carries)
        carry, rows = whole.inputs[first : first + carries], whole.inputs[first + carries : split]
        constants, late = whole.inputs[ys:], (*whole.inputs[:first], *whole.inputs[split:ys])
        behind, again, stored = _divided(whole, late, (*carry, *rows), carry, whole.outputs[count:])
        forward = _reselected(whole, (*carry, *rows, *constants), (*whole.outputs[:count], *stored))
        builder = Builder()
        place = {i: builder.leaf(whole.kinds[i]) for i in (*late, *rows, *constants)}
        for n, i in enumerate(stored):
            place[i] = builder.input(f"stored{n}", whole.kinds[i].shape, whole.kinds[i].dtype, _UID)
        inputs = [place[i] for i in (*late[:first], *stored, *rows, *late[first:], *constants)]
        for i, (kind, args) in enumerate(zip(whole.kinds, whole.args, strict=True)):
            if i not in place and (behind[i] or i in again):
                place[i] = builder.again(kind, tuple([place[a] for a in args])) if args else builder.leaf(kind)
        backward = Body.of(builder.finish(inputs, [place[o] for o in whole.outputs[count:]]))
        return forward.extend(self, range(len(self.inputs)), range(count)), backward

    # ---- other bodies ----
    def read_by(self, outputs: Sequence[int]) -> tuple[bool, ...]:
        """Which inputs these outputs are computed from."""
        tape = self.tape
        needed = bytearray(len(tape.kinds))
        for k in outputs:
            needed[tape.outputs[k]] = 1
        for i in range(len(tape.kinds) - 1, -1, -1):
            if needed[i]:
                for a in tape.args[i]:
                    needed[a] = 1
        return tuple(bool(needed[i]) for i in tape.inputs)

    def tidied(self) -> Body:
        """The same without what is not read of loops inside."""
        from .tidy import tidied

        return self._made(("tidied",), lambda: Body.of(tidied(self.tape)))

    def extend(self, base: Body, inputs: Sequence[int], outputs: Sequence[int]) -> Body:
        """Note that this body computes what `base` does: of these inputs, as these outputs."""
        base.extensions[self] = self.bases[base] = (tuple(inputs), tuple(outputs))
        return self

    def arranged(self, inputs: Sequence[int], outputs: Sequence[int]) -> Body:
        """The inputs in another order, and some of the outputs in any order. An input may be left out if nothing reads it."""

        def make() -> Body:
            tape = self.tape
            return _reselected(tape, [tape.inputs[k] for k in inputs], [tape.outputs[k] for k in outputs])

        return self._made(("arranged", tuple(inputs), tuple(outputs)), make)

    def storing(self, carries: int) -> Body:
        """The step of a loop that puts out, after its results, the carry that it began with."""

        def make() -> Body:
            tape = self.tape
            made = _reselected(tape, tape.inputs, (*tape.outputs, *tape.inputs[:carries]))
            return made.extend(self, range(len(self.inputs)), range(len(self.outputs)))

        return self._made(("storing", carries), make)

    def advancing(self, carries: int) -> Body:
        """The step of a loop that computes the new carry alone."""
        return self.arranged(range(len(self.inputs)), range(carries))

    def _made(self, key: tuple, make: Callable[[], _T]) -> _T:
        found = self._derived.get(key)
        if found is None:
            found = self._derived[key] = make()
        return found

    def write_on(self, builder: Builder, inputs: Sequence[int]) -> list[int]:
        """The outputs, written on a tape for these values of it."""
        given = dict(zip(self.tape.inputs, inputs, strict=True))
        place: list[int] = []
        for i, (kind, args) in enumerate(zip(self.tape.kinds, self.tape.args, strict=True)):
            if i in given:
                place.append(builder.cast(given[i], kind.dtype))
            else:
                place.append(builder.again(kind, tuple([place[a] for a in args])) if args else builder.leaf(kind))
        return [place[o] for o in self.tape.outputs]

    # ---- other algebras ----
    def check_written(self, s: Any, times: int) -> None:
        """ExceededError if writing it out so many times is more than the allowance of `s`, or than WRITTEN where it has none."""
        steps, work = self._made(("work",), self._work)
        if s.allowance is not None:
            s.allowance.foresee(times * work, f"a loop of {times:,} steps of {work:,} operations")
        elif times * max(1, steps) > WRITTEN:
            raise ExceededError(
                f"a loop of {times:,} steps of {steps:,} instructions is too long to be written out in scalars "
                f"(at most {WRITTEN:,} instructions)"
            )

    def _work(self) -> tuple[int, int]:
        """Instructions, and about how many scalar operations they are, with the steps of loops inside."""
        steps = work = 0
        for n in topological(*self._roots()):
            inner = [(times, body._made(("work",), body._work)) for body, times in repeated(n.kind.kwargs)]
            steps += sum(times * of[0] for times, of in inner) if inner else n.kind.op.family != "leaf"
            work += sum(times * of[1] for times, of in inner) if inner else scalar_work(n)
        return steps, work

    def _roots(self) -> list[Expr]:
        return self._made(("roots",), lambda: expressions(self.tape))

    def write(self, s: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs in the algebra of `s` (see expr/elements.py): object arrays of their core shapes."""
        names = {
            self.tape.kinds[i].kwargs["name"]: np.asarray(x, dtype=object)
            for i, x in zip(self.tape.inputs, inputs, strict=True)
        }
        return write(self._roots(), s, lambda v: names[v.name])


def floats(signature: Sequence[tuple[tuple[int, ...], str]]) -> list[int]:
    """Positions of the inputs or outputs that have derivatives."""
    return [k for k, (_, dtype) in enumerate(signature) if dtype not in ("bool", "int64")]


#: what is done again rather than stored
CHEAP = ("move", "add", "mul", "compare")


def _divided(
    tape: Tape, late: Sequence[int], varying: Sequence[int], carry: Sequence[int], outputs: Sequence[int]
) -> tuple[bytearray, set[int], list[int]]:
    """Which values depend on `late` inputs; of the others that these or `outputs` need: which to compute again, which to store."""
    behind, inner = bytearray(len(tape.kinds)), bytearray(len(tape.kinds))
    for i in late:
        behind[i] = 1
    for i in varying:
        inner[i] = 1
    waiting = []
    for i, args in enumerate(tape.args):
        if any(behind[a] for a in args):
            behind[i] = 1
            waiting += [a for a in args if not behind[a]]
        elif any(inner[a] for a in args):
            inner[i] = 1
    waiting += [o for o in outputs if not behind[o]]
    begun, again, stored = set(carry), set(), set()
    while waiting:
        i = waiting.pop()
        if i in again or i in stored:
            continue
        kind = tape.kinds[i]
        # (a number chosen by a condition is weak, which a stored value cannot be)
        free = not inner[i] or not tape.args[i] or kind.op.cost in CHEAP or kind.dtype == WEAK
        if i in begun or not free:
            stored.add(i)
        else:
            again.add(i)
            waiting += tape.args[i]
    return behind, again, sorted(stored)


def _reselected(tape: Tape, inputs: Sequence[int], outputs: Sequence[int]) -> Body:
    return Body.of(Builder.copy_of(tape).finish(inputs, outputs))


def _ranked(x: np.ndarray, rank: int) -> np.ndarray:
    return x.reshape(x.shape[0], *(1,) * (rank + 1 - x.ndim), *x.shape[1:])


def _rebuild(rows: list[tuple], inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Body:
    kinds = [intern_kind(TABLE[name], params, shape, dtype) for name, params, shape, dtype, _ in rows]
    return Body.of(Tape(kinds, [tuple(row[4]) for row in rows], inputs, outputs))
