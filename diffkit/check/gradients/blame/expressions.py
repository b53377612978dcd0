"""Expressions, and Python functions that diffkit traces: every instruction's rule against differences of its NumPy function."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import numpy as np

from ....errors import DiffkitError, Place
from ....expr import node as nodes
from ....expr.functions import RULES
from ....expr.node import Expr, variable
from ....expr.printing import brief
from ....expr.trace import flatten, is_traced, trace_call
from ....machines.numpy import laned_inputs, run
from ....ops import CONSTANT, Op
from ....tape import Builder, Tape, expressions, record
from ....tape.inlined import inlined
from ..functions.expressions import ExprFunction
from ..functions.function import Function
from ..functions.numpy_functions import NumpyFunction, own_kind
from .blame import Blame, misfit, shown, users_line

#: instructions of one operation that are looked at: a wrong rule is wrong nearly everywhere
EACH = 8
#: loops are written out to so many instructions
LONGEST = 20_000


def blame_expressions(function: Function, at: np.ndarray) -> list[Blame]:
    """Of an ExprFunction, or of a NumpyFunction without a gradient of its own."""
    if isinstance(function, ExprFunction):
        variables = function.variables
        tape = record(function.expression, variables, as_written=True)
        values: Sequence[Any] = function.inputs(function.arrays(at))
        again: Callable[[], Any] | None = None
        engine = function.engine
    elif isinstance(function, NumpyFunction) and function.grad is None:
        arguments = function.arguments.filled(function.arrays(at), own_kind)
        fun = function.positional if function.arguments.by_name else function.fun
        again = lambda: trace_call(fun, arguments)
        traced = again()
        tape = record(traced.outputs, traced.inputs, as_written=True)
        values = [leaf for argument in arguments for leaf in flatten(argument)[0] if is_traced(leaf)]
        engine = "reverse"
    else:
        return []
    wrong = _wrong(inlined(tape, LONGEST) or tape, values, engine)
    places = _places(again, {op for op, _, _ in wrong}) if wrong and again is not None else {}
    found = []
    for op, text, evidence in wrong:
        place = places.get((op, text)) or places.get((op, ""))
        found.append(Blame(f"the operation {op.name}", shown(place) or f"  in {text}", f"in {text}, {evidence}"))
    return found


def _wrong(tape: Tape, values: Sequence[Any], engine: str) -> list[tuple[Op, str, str]]:
    """Operations with wrong rules: an instruction of each, as text, and what shows it."""
    inputs, _ = laned_inputs(tape, values)
    computed = run(tape, inputs)
    varying = _varying(tape)
    found: list[tuple[Op, str, str]] = []
    seen: Counter[Op] = Counter()
    settled: set[Op] = set()
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        op = kind.op
        if not args or not varying[i] or op in settled or seen[op] >= EACH:
            continue
        seen[op] += 1
        wrong = None
        with suppress(DiffkitError):  # it has no rule, or an operand is not finite: nothing can be told of it alone
            active = [f"x{k}" for k, a in enumerate(args) if varying[a]]
            wrong = misfit(_alone(tape, computed, i, engine), i, active)
        if wrong is not None:
            settled.add(op)
            (text,) = expressions(Builder.copy_of(tape).finish(tape.inputs, [i]))
            decreed = " (it is decreed, not derived from its value)" if op.detached else ""
            found.append((op, brief(text), f"{wrong}{decreed}"))
    return found


def _varying(tape: Tape) -> list[bool]:
    """Which values depend on a floating-point input by way of floating-point values."""
    found: list[bool] = []
    given = set(tape.inputs)
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        floating = kind.dtype not in ("bool", "int64")
        found.append(floating and (i in given or any(found[a] for a in args)))
    return found


def _alone(tape: Tape, computed: Sequence[np.ndarray], i: int, engine: str) -> ExprFunction:
    """Instruction i as a function of its operands x0, x1, …, at the values that they have."""
    kind = tape.kinds[i]
    operands: list[Expr] = []
    values: dict[str, np.ndarray] = {}
    for k, a in enumerate(tape.args[i]):
        own = tape.kinds[a]
        if own.op is CONSTANT:
            operands.append(nodes.node(own, ()))
            continue
        dtype = "float64" if own.dtype == "weak" else own.dtype
        operands.append(variable(f"x{k}", own.shape, dtype))
        values[f"x{k}"] = np.asarray(computed[a][0] if computed[a].shape[0] == 1 else computed[a], dtype)
    return ExprFunction(RULES.primitive(kind.op.name, *operands, **kind.kwargs), values, None, engine)


# ---- lines of the user's code ----
def _places(trace: Callable[[], Any], ops: Collection[Op]) -> dict[tuple[Op, str], Place]:
    """Where nodes of these operations are made, by operation and text; by "" where the first of them is.

    The function is traced again under a profile hook that looks at what `node` returns, so that making nodes costs nothing more
    at any other time.
    """
    found: dict[tuple[Op, str], Place] = {}
    making = nodes.node.__code__

    def watch(frame: FrameType, event: str, result: Any) -> None:
        if event == "return" and frame.f_code is making and isinstance(result, Expr) and result.op in ops:
            sys.setprofile(None)
            try:
                place = users_line()
                if place is not None:
                    found.setdefault((result.op, brief(result)), place)
                    found.setdefault((result.op, ""), place)
            finally:
                sys.setprofile(watch)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        trace()
    finally:
        sys.setprofile(before)
    return found
