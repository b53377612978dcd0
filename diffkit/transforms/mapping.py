"""vmap: a Python function mapped over an axis of its arguments, without a copy of it for every element.

On numbers the axis becomes a loop dim of the tape. Within another trace, where values are expressions, it becomes a core axis in
front of all that depend on it (`batched`): elementwise operations and reductions take it as it is, products and movements with
another spelling, and only an operation of which neither is known is written once an element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from ..engines import Program
from ..engines.engine import TapeProgram, derivative_tape
from ..errors import ArgumentError, ShapeError
from ..expr import functions
from ..expr.functions import as_expr
from ..expr.kind import Kind
from ..expr.node import Expr, make, node, variable
from ..expr.trace import Traced, flatten, is_leaf, is_traced, signature, trace_call
from ..machines import machine as find_machine
from ..machines.resident import is_on_device, resident
from ..ops.kinks import current as kink_policy
from ..tape import Tape, expressions, record
from .arguments import plain
from .device import First, Placed, apply, example

_WHOLE = ("slice", None, None, None)


def batched(tape: Tape, values: Sequence[Expr], mapped: Sequence[bool], n: int) -> list[tuple[Expr, bool]]:
    """A tape's outputs with expressions for its inputs, where some carry an axis of length `n` in front of their core shape.

    Every output with whether it carries that axis.
    """
    found: list[tuple[Expr, bool]] = []
    given = dict(zip(tape.inputs, zip(values, mapped, strict=True), strict=True))
    for i, (kind, places) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        if i in given:
            found.append(given[i])
        elif not places:
            found.append((node(kind, ()), False))
        else:
            args = [found[a] for a in places]
            if any(on for _, on in args):
                found.append((_batched(kind, args, [tape.kinds[a].shape for a in places], n), True))
            else:
                found.append((_written(kind, [x for x, _ in args], kind.kwargs), False))
    return [found[o] for o in tape.outputs]


def _written(kind: Kind, args: Sequence[Expr], params: dict[str, Any]) -> Expr:
    return make(kind.op, tuple(args), params, canonical=False)


def _batched(kind: Kind, args: list[tuple[Expr, bool]], cores: list[tuple[int, ...]], n: int) -> Expr:
    rule = _RULES.get(kind.op.name) or _FAMILIES.get(kind.op.family, _one_by_one)
    return rule(kind, args, cores, n)


def _stretched(x: Expr, on: bool, core: tuple[int, ...], n: int) -> Expr:
    """With the axis in front, whether it has it or not."""
    return x if on else functions.broadcast_to(x, (n, *core))


def _aligned(args: list[tuple[Expr, bool]], cores: list[tuple[int, ...]], n: int) -> list[Expr]:
    """Core shapes of different lengths broadcast from the last axis, so the axis goes in front of the longest."""
    rank = max(map(len, cores))
    return [
        functions.reshape(x, (n, *(1,) * (rank - len(core)), *core)) if on and len(core) < rank else x
        for (x, on), core in zip(args, cores, strict=True)
    ]


def _broadcasting(kind: Kind, args: list[tuple[Expr, bool]], cores: list[tuple[int, ...]], n: int) -> Expr:
    return _written(kind, _aligned(args, cores, n), kind.kwargs)


def _trailing(kind: Kind, args: list[tuple[Expr, bool]], cores: list[tuple[int, ...]], n: int) -> Expr:
    """Axes in parameters count from the end, so one more in front changes nothing."""
    stretched = [_stretched(x, on, core, n) for (x, on), core in zip(args, cores, strict=True)]
    return _written(kind, stretched, kind.kwargs)


def _reshaped(kind: Kind, args: list[tuple[Expr, bool]], cores: list[tuple[int, ...]], n: int) -> Expr:
    return functions.reshape(args[0][0], (n, *kind.shape))


def _transposed(kind: Kind, args: list[tuple[Expr, bool]], cores: list[tuple[int, ...]], n: int) -> Expr:
    return _written(kind, [args[0][0]], {"axes": (-len(cores[0]) - 1, *kind.kwargs["axes"])})


def _broadcast(kind: Kind, args: list[tuple[Expr, bool]], cores: list[tuple[int, ...]], n: int) -> Expr:
    core = (1,) * (len(kind.shape) - len(cores[0])) + cores[0]
    return functions.broadcast_to(functions.reshape(args[0][0], (n, *core)), (n, *kind.shape))


def _indexed(kind: Kind, args: list[tuple[Expr, bool]], cores: list[tuple[int, ...]], n: int) -> Expr:
    """The axis goes last while indexing, so that integer arrays keep NumPy's placing of their axes."""
    params = dict(kind.kwargs)
    params["index"] = (*params["index"], _WHOLE)
    if "shape" in params:
        params["shape"] = (*params["shape"], n)
    return functions.moveaxis(_written(kind, [functions.moveaxis(args[0][0], 0, -1)], params), -1, 0)


def _one_by_one(kind: Kind, args: list[tuple[Expr, bool]], cores: list[tuple[int, ...]], n: int) -> Expr:
    if not n:
        return functions.broadcast_to(as_expr(0.0), (0, *kind.shape))
    return functions.stack([_written(kind, [x[k] if on else x for x, on in args], kind.kwargs) for k in range(n)])


_FAMILIES: dict[str, Callable[..., Expr]] = {"elementwise": _broadcasting, "reduction": _trailing}
_RULES: dict[str, Callable[..., Expr]] = {
    "matmul": _broadcasting, "reshape": _reshaped, "transpose": _transposed, "broadcast_to": _broadcast, "getitem": _indexed,
    "scatter": _indexed, "concatenate": _trailing, "stack": _trailing, "log_softmax": _trailing,
}  # fmt: skip


def derivative_expressions(program: Program, values: Sequence[Expr]) -> list[Expr]:
    """A program's outputs and blocks as expressions of its inputs; a program of many directions is mapped over its seeds."""
    if not isinstance(program, TapeProgram) or not program.seeded:
        return expressions(derivative_tape(program), values)
    n, seeds = program.directions, [as_expr(s) for s in program.seeds()]
    flags = [False] * len(values) + [True] * len(seeds)
    found = batched(program.tape, [*values, *seeds], flags, n)
    count = len(program.out_shapes)
    outputs = [x[0] if on else x for x, on in found[:count]]
    shapes = [program.tape.kinds[o].shape for o in program.tape.outputs[count:]]
    rest = [_stretched(x, on, core, n) for (x, on), core in zip(found[count:], shapes, strict=True)]
    blocks, row = [], 0
    for k, o in enumerate(program.out_shapes):
        column, size = 0, int(np.prod(o, dtype=int))
        for j, i in enumerate(program.in_shapes):
            if program.layout == "seeded columns":
                width = int(np.prod(i, dtype=int))
                piece = functions.moveaxis(rest[k][column : column + width], 0, -1)
                column += width
            else:
                piece = rest[j][row : row + size]
            blocks.append(functions.reshape(piece, (*o, *i)))
        row += size
    return [*outputs, *blocks]


class Mapped:
    """A Python function mapped over an axis of its arguments; traced once for each structure, shapes and dtypes of these."""

    def __init__(self, f: Callable, in_axes: Any = 0, out_axes: Any = 0, *, machine: Any = "cpu") -> None:
        self.f, self.in_axes, self.out_axes, self.machine = f, in_axes, out_axes, machine
        self.__name__ = f"vmap_{getattr(f, '__name__', 'function')}"
        self.__doc__ = getattr(f, "__doc__", None)
        self._made: dict[tuple, tuple[Traced, Tape, Callable[..., Any] | None]] = {}

    def __repr__(self) -> str:
        return f"<{self.__name__}>"

    def __call__(self, *args: Any) -> Any:
        leaves, structure = flatten(args)
        axes = self._axes(args)
        seen = list(map(example, leaves))
        n = _length(seen, axes)
        elements = list(map(_element, seen, axes))
        traced, tape, run = self._traced(elements, structure)
        values = [(x, axis) for x, s, axis in zip(leaves, seen, axes, strict=True) if is_traced(s)]
        mapped = [axis is not None for _, axis in values] + [False] * len(traced.captured)
        results: list[tuple[Any, bool]]
        if run is None or any(isinstance(x, Expr) for x, _ in values):
            moved = [as_expr(x) if axis is None else functions.moveaxis(as_expr(x), axis, 0) for x, axis in values]
            results = [*batched(tape, [*moved, *traced.captured], mapped, n)]
        else:
            arrays = [x if axis is None else moved_first(x, axis) for x, axis in values]
            results = []
            for r, core, on in zip(
                run(arrays), [o.shape for o in traced.outputs], _dependent(tape, mapped), strict=True
            ):
                # what depends on no mapped argument is the same for all
                if not on and r.ndim != len(core):
                    r = np.zeros(core) if not n else apply(self.machine, First(), r)[0] if is_on_device(r) else r[0]
                results.append((r, on))
        tree = optree.tree_unflatten(traced.structure, [r for r, _ in results])
        places = _prefix(self.out_axes, tree, "out_axes", "the result")
        cores = [o.shape for o in traced.outputs]
        full = [
            _placed(r, on, place, n, core, self.machine)
            for (r, on), place, core in zip(results, places, cores, strict=True)
        ]
        return optree.tree_unflatten(traced.structure, full)

    def _traced(self, examples: list[Any], structure: Any) -> tuple[Traced, Tape, Callable[..., Any] | None]:
        """The trace of one element, its tape, and that on the machine (None where values are expressions)."""
        key = (structure, kink_policy(), *map(signature, examples))
        try:
            if key in self._made:
                return self._made[key]
        except TypeError:  # an argument that is not traced and has no hash
            key = ()
        args: Any = optree.tree_unflatten(structure, examples)
        traced = trace_call(self.f, args)
        tape = record(traced.outputs, [*traced.inputs, *traced.captured])
        symbolic = traced.captured or any(isinstance(x, Expr) for x in examples)
        made = traced, tape, None if symbolic else find_machine(self.machine).compile(tape)
        if key and not traced.captured:  # another call may close over other variables
            self._made[key] = made
        return made

    def _axes(self, args: tuple) -> list[int | None]:
        """One axis for each leaf of the arguments."""
        if isinstance(self.in_axes, (tuple, list)) and len(self.in_axes) != len(args):
            raise ArgumentError(f"vmap: in_axes has {len(self.in_axes)} entries for {len(args)} arguments")
        given = tuple(self.in_axes) if isinstance(self.in_axes, list) else self.in_axes
        return _prefix(given, args, "in_axes", "the arguments")


def _prefix(axes: Any, tree: Any, name: str, what: str) -> list[int | None]:
    """One axis for each leaf of a tree, from a nest that ends where the tree may go on."""
    try:
        found = optree.broadcast_prefix(axes, tree, is_leaf=is_leaf, none_is_leaf=True)
    except ValueError as problem:
        raise ArgumentError(f"vmap: {name}={axes!r} is not structured as {what}: {problem}") from None
    for axis in found:
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)):
            raise ArgumentError(f"vmap: {name} names axes by integers or None, not {axis!r}")
    return list(found)


def _length(leaves: list[Any], axes: list[int | None]) -> int:
    """The length that all mapped axes have."""
    sizes = set()
    for x, axis in zip(leaves, axes, strict=True):
        if axis is None or not is_traced(x):
            continue
        shape = x.shape if isinstance(x, Expr) else np.shape(x)
        if not -len(shape) <= axis < len(shape):
            raise ShapeError(f"vmap: in_axes names axis {axis!r} of an argument of shape {shape}")
        sizes.add(shape[axis])
    if len(sizes) != 1:
        problem = f"the mapped axes have different lengths {sorted(sizes)}" if sizes else "no argument is mapped"
        raise ShapeError(f"vmap: {problem}")
    return sizes.pop()


def _element(x: Any, axis: int | None) -> Any:
    """An argument without its mapped axis, as far as a trace looks at it."""
    if not is_traced(x) or (axis is None and not isinstance(x, Expr)):
        return x
    shape = list(x.shape if isinstance(x, Expr) else np.shape(x))
    if axis is not None:
        del shape[axis]
    return variable("element", tuple(shape), x.dtype) if isinstance(x, Expr) else np.zeros(shape, np.asarray(x).dtype)


def _dependent(tape: Tape, mapped: Sequence[bool]) -> list[bool]:
    """Which outputs depend on a mapped input."""
    on = [False] * len(tape.kinds)
    for i, flag in zip(tape.inputs, mapped, strict=True):
        on[i] = flag
    for i, args in enumerate(tape.args):
        on[i] = on[i] or any(on[a] for a in args)
    return [on[o] for o in tape.outputs]


def moved_first(x: Any, axis: int) -> Any:
    """With an axis in front; of what lies on a device another view."""
    array = resident(x)
    if array is None:
        return np.moveaxis(np.asarray(x), axis, 0)
    if not -array.ndim <= axis < array.ndim:
        raise ShapeError(f"vmap: in_axes names axis {axis!r} of an argument of shape {array.shape}")
    return array.moved(axis, 0)


def _placed(result: Any, on: bool, axis: int | None, n: int, core: tuple[int, ...], machine: Any) -> Any:
    """A result with the mapped axis where out_axes wants it."""
    if axis is None:
        if on:
            raise ShapeError("vmap: out_axes is None for a result that differs from element to element; name an axis")
        return result if isinstance(result, Expr) else plain(result)
    if not -len(core) - 1 <= axis <= len(core):
        raise ShapeError(f"vmap: out_axes names axis {axis} of a result of shape {(n, *core)}")
    if isinstance(result, Expr):
        return functions.moveaxis(_stretched(result, on, core, n), 0, axis)
    if is_on_device(result):
        return result if on and axis == 0 else apply(machine, Placed(on, axis, n), result)[0]
    return np.moveaxis(result if on else np.broadcast_to(result, (n, *core)), 0, axis)
