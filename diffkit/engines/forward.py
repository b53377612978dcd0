"""Forward mode: every value carries its tangents along.

`push` is the sweep on a tape, with any number of tangents a pass (the partials are shared between them). `Dual` is the
textbook's dual number over anything with arithmetic: numbers, arrays, expressions, and duals.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..expr.collector import paused
from ..expr.functions import apply
from ..expr.kind import Kind
from ..expr.node import constant
from ..ops import TABLE, Op
from ..tape import Builder, Tape, templates
from ..tape.products import meets_large_matrix, product_of_each
from ..tape.templates import Ref, Template
from ..tape.tidy import tidied
from .engine import (
    TapeProgram,
    as_dtype,
    differentiable_tape,
    filled,
    float_dtype,
    needs_derivative,
    scaled,
    shapes_of,
)

_ADD, _WHERE = TABLE["add"], TABLE["where"]

#: partials, and where an argument can influence the result (None: everywhere)
Rule = tuple[Template, "Template | None"]
#: a value's tangents, one a direction; None where it does not depend on that direction
Tangents = dict[int, list[int | None]]


def push(
    builder: Builder,
    size: int,
    seeds: Mapping[int, Sequence[int | None]],
    targets: Sequence[int],
    reached: Callable[[int], Sequence[bool]] | None = None,
) -> list[list[int | None]]:
    """Write the tangents of the first `size` values of a builder; `seeds` gives each input one tangent a direction.

    reached: for a value which directions can move it, where more is known than which values it is computed from.
    Returns the targets' tangents, one a direction, None where a target does not depend on that direction.
    """
    directions = len(next(iter(seeds.values()))) if seeds else 0
    tangents: Tangents = {i: list(s) for i, s in seeds.items()}
    kinds = builder.kinds
    rules: dict[tuple, Rule] = {}
    for i in range(size):
        args, kind = builder.args[i], kinds[i]
        if i in tangents or not any(a in tangents for a in args) or not needs_derivative(kind):
            continue
        can_move = None if reached is None else reached(i)
        if can_move is not None and not any(can_move):
            continue
        if kind.op.jvp is not None:
            moved = _structured(builder, kind, i, args, tangents, directions)
        else:
            key = (kind, *[kinds[a].signature for a in args])
            rule = rules.get(key)
            if rule is None:
                arguments = [kinds[a] for a in args]
                rule = rules[key] = (templates.partials(kind, arguments), templates.selects(kind, arguments))
            moved = _elementwise(builder, rule, i, args, tangents, directions)
        if can_move is not None:
            moved = [t if can else None for t, can in zip(moved, can_move, strict=True)]
        if any(t is not None for t in moved):
            tangents[i] = moved
    return [[_in_full(builder, t, o) for t in tangents.get(o, [None] * directions)] for o in targets]


def _elementwise(
    builder: Builder, rule: Rule, i: int, args: tuple[int, ...], tangents: Tangents, directions: int
) -> list[int | None]:
    """Of the result of an elementwise operation, one a direction."""
    partials = rule[0].expand(builder, [i, *args])
    masks = rule[1].expand(builder, args) if rule[1] else [None] * len(args)
    totals: list[int | None] = [None] * directions
    for a, partial, mask in zip(args, partials, masks, strict=True):
        if a not in tangents or partial is None or partial == 0:
            continue
        for d, tangent in enumerate(tangents[a]):
            if tangent is None:
                continue
            term = scaled(builder, tangent, partial)
            if mask is not None:
                term = builder.emit(_WHERE, (), (mask.index, term, builder.number(0.0)))
            total = totals[d]
            totals[d] = term if total is None else builder.again(_ADD, (total, term))
    return totals


def _structured(
    builder: Builder, kind: Kind, i: int, args: tuple[int, ...], tangents: Tangents, directions: int
) -> list[int | None]:
    """Of the result of an operation with a rule of its own, one a direction."""
    moving = [k for k, a in enumerate(args) if a in tangents]
    if len(moving) == 1 and meets_large_matrix(builder, kind, args, moving[0]):
        vectors = [_in_full(builder, t, args[moving[0]]) for t in tangents[args[moving[0]]]]
        if sum(t is not None for t in vectors) > 1:
            return product_of_each(builder, kind, args, moving[0], vectors)
    arguments = [builder.kinds[a] for a in args]
    totals: list[int | None] = []
    for d in range(directions):
        given = [_in_full(builder, tangents[a][d], a) if a in tangents else None for a in args]
        active = tuple(t is not None for t in given)
        if not any(active):
            totals.append(None)
            continue
        template = templates.jvp(kind, arguments, active)
        (moved,) = template.expand(builder, [*(t for t in given if t is not None), i, *args])
        totals.append(moved.index if isinstance(moved, Ref) else builder.number(moved))
    return totals


def _in_full(builder: Builder, tangent: int | None, i: int) -> int | None:
    """A value's tangent in its shape: elementwise operations leave one that is the same everywhere as it is."""
    shape = builder.kinds[i].shape
    if tangent is None or builder.kinds[tangent].shape == shape:
        return tangent
    return builder.emit(TABLE["broadcast_to"], (("shape", shape),), (tangent,))


class Dual:
    """A number and its tangent: (a + ȧε) with ε² = 0, over anything with arithmetic.

    Tags keep the ε of nested differentiations apart (perturbation confusion): the dual with the newest tag is outermost.

        x = Dual(0.5, 1.0)
        y = dk.exp(x) * x        # y.primal, y.tangent
    """

    __slots__ = ("primal", "tag", "tangent")
    _tags = itertools.count(1)

    def __init__(self, primal: Any, tangent: Any = 1.0, tag: int | None = None) -> None:
        self.primal, self.tangent = primal, tangent
        self.tag = next(Dual._tags) if tag is None else tag

    def __repr__(self) -> str:
        return f"Dual({self.primal!r}, {self.tangent!r})"

    @staticmethod
    def __dk_apply__(op: Op, args: tuple, params: dict[str, Any]) -> Any:
        tag = max(a.tag for a in args if isinstance(a, Dual))
        primals = [a.primal if isinstance(a, Dual) and a.tag == tag else a for a in args]
        with np.errstate(all="ignore"):
            return Dual._applied(op, args, primals, params, tag)

    @staticmethod
    def _applied(op: Op, args: tuple, primals: list[Any], params: dict[str, Any], tag: int) -> Any:
        out = apply(op, tuple(primals), params)
        if op.result == "bool":
            return out
        if op.partials is None:
            raise UnsupportedError(f"dual numbers carry elementwise operations; {op.name} is not one")
        rules = _DualRules
        partials = op.partials(rules, out, *primals, **{**op.params, **params})
        masks = op.selects(rules, *primals) if op.selects else [None] * len(args)
        tangent: Any = 0.0
        for a, partial, mask in zip(args, partials, masks, strict=True):
            if not (isinstance(a, Dual) and a.tag == tag) or partial is None:
                continue
            term = a.tangent * partial
            if mask is not None:
                term = apply(_WHERE, (mask, term, 0.0), {})
            tangent = term if isinstance(tangent, float) and tangent == 0.0 else tangent + term
        return Dual(out, tangent, tag)


class _AnyRules:
    """The namespace of rules, over whatever the dual is made of; plain numbers become arrays, so 1/0 is IEEE's."""

    def __getattr__(self, name: str) -> Any:
        op = TABLE[name]

        def compute(*args: Any, **params: Any) -> Any:
            with np.errstate(all="ignore"):
                return apply(op, tuple(np.float64(a) if isinstance(a, (int, float)) else a for a in args), params)

        return compute


_DualRules = _AnyRules()


def _dual_operator(name: str, swap: bool = False) -> Any:
    op = TABLE[name]

    def operate(self: Dual, *others: Any) -> Any:
        args = (*others, self) if swap else (self, *others)
        return Dual.__dk_apply__(op, tuple(np.float64(a) if isinstance(a, (int, float)) else a for a in args), {})

    return operate


for _symbol, _name in (
    ("add", "add"),
    ("sub", "subtract"),
    ("mul", "multiply"),
    ("truediv", "divide"),
    ("pow", "power"),
):
    setattr(Dual, f"__{_symbol}__", _dual_operator(_name))
    setattr(Dual, f"__r{_symbol}__", _dual_operator(_name, swap=True))
for _symbol, _name in (("neg", "negative"), ("abs", "abs")):
    setattr(Dual, f"__{_symbol}__", _dual_operator(_name))
for _symbol, _name in (("lt", "less"), ("le", "less_equal"), ("gt", "greater"), ("ge", "greater_equal")):
    setattr(Dual, f"__{_symbol}__", _dual_operator(_name))


def _dual_ufunc(self: Dual, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if method != "__call__" or ufunc.__name__ not in TABLE or kwargs:
        raise UnsupportedError(f"numpy.{ufunc.__name__} is not an operation on dual numbers")
    return Dual.__dk_apply__(TABLE[ufunc.__name__], inputs, {})


Dual.__array_ufunc__ = _dual_ufunc  # type: ignore[attr-defined]


class Forward:
    """One pass an input element: cheap for many outputs, dear for many inputs."""

    name = "forward"
    #: up to this many directions are written out in one pass, sharing the primal's work; more become a loop dim
    UNROLLED = 32

    def program(self, tape: Tape, wrt: Sequence[int]) -> TapeProgram:
        with paused():
            return self._program(tape, wrt)

    def _program(self, tape: Tape, wrt: Sequence[int]) -> TapeProgram:
        outs, ins = shapes_of(tape, wrt)
        unrolled = sum(math.prod(s) for s in ins) <= self.UNROLLED
        tape = differentiable_tape(tidied(tape))
        builder = Builder.copy_of(tape)
        seeds, seed_inputs = (_unit_seeds if unrolled else _input_seeds)(builder, tape, wrt)
        tangents = push(builder, len(tape.kinds), seeds, tape.outputs)
        dtypes = _direction_dtypes(tape, wrt) if unrolled else None
        outputs = []
        for o, row in zip(tape.outputs, tangents, strict=True):
            for d, t in enumerate(row):
                dtype = dtypes[d] if dtypes else float_dtype(tape.kinds[o])
                outputs.append(
                    filled(builder, 0.0, tape.kinds[o].shape, dtype) if t is None else as_dtype(builder, t, dtype)
                )
        made = tidied(builder.finish((*tape.inputs, *seed_inputs), (*tape.outputs, *outputs)))
        return TapeProgram(
            self.name,
            made,
            outs,
            ins,
            "columns" if unrolled else "seeded columns",
            in_dtypes=[float_dtype(tape.kinds[tape.inputs[w]]) for w in wrt],
        )


def _direction_dtypes(tape: Tape, wrt: Sequence[int]) -> list[str]:
    """A derivative has its input's dtype: one entry a direction."""
    kinds = [tape.kinds[tape.inputs[w]] for w in wrt]
    return [float_dtype(k) for k in kinds for _ in range(math.prod(k.shape))]


def _unit_seeds(builder: Builder, tape: Tape, wrt: Sequence[int]) -> tuple[dict[int, list[int | None]], list[int]]:
    """One direction for every element of every input, as constants."""
    sizes = [math.prod(tape.kinds[tape.inputs[w]].shape) for w in wrt]
    seeds: dict[int, list[int | None]] = {}
    start = 0
    for w, n in zip(wrt, sizes, strict=True):
        kind = tape.kinds[tape.inputs[w]]
        directions: list[int | None] = [None] * sum(sizes)
        for k, unit in enumerate(np.eye(n).reshape(n, *kind.shape)):
            directions[start + k] = builder.leaf(constant(unit.astype(float_dtype(kind))).kind)
        seeds[tape.inputs[w]] = directions
        start += n
    return seeds, []


def _input_seeds(builder: Builder, tape: Tape, wrt: Sequence[int]) -> tuple[dict[int, list[int | None]], list[int]]:
    """One direction a pass, given from outside."""
    seeds: dict[int, list[int | None]] = {}
    for w in wrt:
        kind = tape.kinds[tape.inputs[w]]
        seeds[tape.inputs[w]] = [builder.input(f"{kind.kwargs['name']}'", kind.shape, float_dtype(kind), uid=-2)]
    return seeds, [s[0] for s in seeds.values()]  # type: ignore[misc]


def tangent_tape(tape: Tape, wrt: Sequence[int]) -> Tape:
    """Inputs followed by a tangent for each of `wrt`; outputs followed by their tangents (a Jacobian-vector product)."""
    tape = differentiable_tape(tidied(tape))
    builder = Builder.copy_of(tape)
    seeds, seed_inputs = _input_seeds(builder, tape, wrt)
    tangents = push(builder, len(tape.kinds), seeds, tape.outputs)
    outputs = []
    for o, (t,) in zip(tape.outputs, tangents, strict=True):
        kind = tape.kinds[o]
        outputs.append(
            filled(builder, 0.0, kind.shape, float_dtype(kind))
            if t is None
            else as_dtype(builder, t, float_dtype(kind))
        )
    return tidied(builder.finish((*tape.inputs, *seed_inputs), (*tape.outputs, *outputs)))


ENGINE = Forward()
