"""Transforms of Python functions: whole arrays, nested arguments by position, results structured as in JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optree

from ..engines import Program, cheaper_mode
from ..engines import engine as find_engine
from ..engines.engine import gradient_only
from ..engines.forward import tangent_tape
from ..engines.reverse import adjoint_tape
from ..errors import ArgumentError, DtypeError, ShapeError
from ..expr.functions import as_expr
from ..expr.node import Expr
from ..expr.trace import Traced, flatten, is_traced, names_of, parameter_names, signature, trace_call
from ..machines import machine as find_machine
from ..ops.kinks import current as kink_policy
from ..tape import Tape, expressions, record
from .arguments import plain
from .buffers import check_out_applies, out_buffers
from .by_name import described, mode_of
from .device import example, examples, with_device
from .mapping import derivative_expressions
from .programs import check_scalar, make_program
from .single import SinglePoint

#: shapes of arguments that a callable keeps programs for
REMEMBERED = 128


@dataclass(eq=False)
class Prepared:
    """A trace, the program made of it, and (unless it closed over an enclosing trace) the program on a machine."""

    traced: Traced
    program: Program
    run: Callable[..., Any] | None
    #: how it differentiates, and that in a sentence
    mode: str
    doc: str


class PythonCall:
    """A transform of a Python function: whole arrays, nested arguments, results structured as in JAX.

    engine: one by name; None chooses forward or reverse by the shapes of each call. `mode` says which the latest call (or
    `prepare`) used, None before the first.
    """

    def __init__(
        self, f: Callable, argnums: int | Sequence[int], *, engine: str | None = "reverse", machine: Any = "cpu", order: int = 1,
        scalar: bool = False, value: bool = False, reduce: None = None,
    ) -> None:  # fmt: skip
        self.f, self.engine, self.machine, self.order, self.scalar, self.value = (
            f,
            engine,
            machine,
            order,
            scalar,
            value,
        )
        self.single = not isinstance(argnums, (tuple, list))
        self.argnums: list[int] = [argnums] if self.single else list(argnums)  # type: ignore[list-item,arg-type]
        if not all(isinstance(a, int) and not isinstance(a, bool) for a in self.argnums):
            raise ArgumentError(f"argnums is a position or a tuple of positions, not {argnums!r}")
        self.mode: str | None = None if engine is None else mode_of(engine, order)
        self._made: dict[tuple, Prepared] = {}
        self._single: SinglePoint | None = None
        self._memory: int | None = None
        #: of the arguments that it is for
        self._structure: optree.PyTreeSpec | None = None

    @property
    def __name__(self) -> str:
        return getattr(self.f, "__name__", "function")

    @property
    def memory(self) -> int | None:
        """Bytes, planned beforehand, that the latest call, or `prepare`, works in beside its arguments and results for one point;
        None before."""
        return self._memory

    def _prepared(self, args: tuple) -> Prepared:
        key = call_key(args)
        made = self._made.get(key) if key is not None else None
        if made is None:
            made = self._make(args)
            if key is not None and made.run is not None:
                while len(self._made) >= REMEMBERED:  # ragged batches: a program has memory of its own
                    self._made.pop(next(iter(self._made)), None)
                self._made[key] = made
        self.mode, self.__doc__, self._memory = made.mode, made.doc, getattr(made.run, "register_bytes", None)
        return made

    def _make(self, args: tuple) -> Prepared:
        traced = trace_call(self.f, args)
        if self.scalar:
            name = self.__name__
            if len(traced.outputs) != 1:
                raise ShapeError(
                    f"grad needs one scalar result, but {name} returned {len(traced.outputs)}; use jacobian"
                )
            check_scalar(traced.outputs[0].shape, f"the result of {name}")
        tape = record(
            traced.outputs, [*traced.inputs, *traced.captured], [f"output{k}" for k in range(len(traced.outputs))]
        )
        wrt = [p for group in traced_positions(self.f, self.argnums, args) for p in group]
        inputs, outputs = sum(traced.inputs[p].size for p in wrt), sum(o.size for o in traced.outputs)
        engine = cheaper_mode(inputs, outputs) if self.engine is None else self.engine
        program = make_program(tape, wrt, engine, self.order)
        mode = mode_of(engine, self.order)
        doc = described(self.__name__, mode, self.order, inputs, outputs, self.engine is None)
        # where it closes over an enclosing trace, another call may close over other variables
        run = None if traced.captured else with_device(program, program.on(find_machine(self.machine)), self.machine)
        return Prepared(traced, program, run, mode, doc)

    def prepare(self, *args: Any) -> PythonCall:
        """Trace and build now for arguments of these shapes (values are not used)."""
        self._prepared(examples(args))
        return self

    def __call__(self, *args: Any, out: Any = None, **named: Any) -> Any:
        if named:
            raise ArgumentError(
                f"{self.__name__} was given {next(iter(named))!r} by name; arguments of a Python function are given by position"
            )
        if self._single is not None:
            given, structure = optree.tree_flatten(args, none_is_leaf=True)  # type: ignore[arg-type,var-annotated]
            if structure == self._structure:
                result = self._single(given, out)
                if result is not None:
                    return result
        seen = examples(args)
        made = self._prepared(seen)
        traced = made.traced
        leaves = traced_leaves(args, seen)
        check_out_applies(out, self.order, None, [*leaves, *traced.captured])
        if made.run is None or any(isinstance(leaf, Expr) for leaf in leaves):
            outputs, blocks = self._symbolic(made.program, traced, leaves)
        else:
            outputs, blocks = made.run(leaves, None if out is None else self._buffers(out, seen, traced))
            if self.order == 1 and self.scalar and len(leaves) == len(flatten(args)[0]):
                self._structure = optree.tree_structure(args, none_is_leaf=True)  # type: ignore[arg-type]
                self._single = SinglePoint.of(made.program, made.run, self.value, *self._nest(args))
        if out is not None:
            return out
        structures = [flatten(args[n])[1] for n in self.argnums]
        result = self._second(blocks, structures) if self.order == 2 else self._first(blocks, structures, traced)
        if not self.value:
            return result
        return plain(outputs[0]), result

    def _nest(self, args: tuple) -> tuple[Callable[[Sequence[Any]], Any] | None, optree.PyTreeSpec | None]:
        """What becomes of the derivatives of one call, one a leaf: a function, and the structure that it gives."""
        if self.single and isinstance(args[self.argnums[0]], np.ndarray | float | np.floating):
            return None, None
        structures = [optree.tree_structure(args[n], none_is_leaf=True) for n in self.argnums]
        if self.single:
            return partial(optree.tree_unflatten, structures[0]), structures[0]
        if all(s.is_leaf() for s in structures):
            return tuple, optree.tree_structure((0,) * len(structures))  # type: ignore[arg-type]
        whole = optree.treespec_tuple(structures, none_is_leaf=True)
        return partial(optree.tree_unflatten, whole), whole

    def _buffers(self, out: Any, args: tuple, traced: Traced) -> list[np.ndarray]:
        """The arrays of out= in the order of the tape's outputs."""
        inputs = [traced.inputs[p] for group in traced_positions(self.f, self.argnums, args) for p in group]
        parameters = parameter_names(self.f, len(args))
        names = [n for k in self.argnums for n in names_of(args[k], parameters[k])]
        values = [("the value", o.shape, np.dtype(o.dtype)) for o in traced.outputs]
        rows = [
            [
                (f"the derivative by {n!r}", (*o.shape, *i.shape), np.dtype(i.dtype))
                for n, i in zip(names, inputs, strict=True)
            ]
            for o in traced.outputs
        ]
        shown = [[f"{dtype}{list(shape)}" for _, shape, dtype in row] for row in rows]
        result = self._first(shown, [flatten(args[n])[1] for n in self.argnums], traced)

        def arranged(derivatives: Any) -> list[Any]:
            several = self.scalar and not self.single  # a list does for the tuple of arguments, as for text
            buffers, structure = flatten(tuple(derivatives) if several and type(derivatives) is list else derivatives)
            if structure != flatten(result)[1]:
                raise ArgumentError(
                    f"out= must be structured as the result, {_brief(result)}, not {_brief(derivatives)}"
                )
            return buffers

        return out_buffers(out, values, [w for row in rows for w in row], arranged, (), self.value)

    def _symbolic(self, program: Program, traced: Traced, leaves: list[Any]) -> tuple[list[Any], list[list[Any]]]:
        flat: list[Any] = derivative_expressions(program, [*(as_expr(v) for v in leaves), *traced.captured])
        rows = len(program.out_shapes)  # type: ignore[attr-defined]
        columns = len(program.in_shapes)  # type: ignore[attr-defined]
        outputs, rest = flat[:rows], flat[rows:]
        return outputs, [rest[k * columns : (k + 1) * columns] for k in range(rows)]

    def _arguments(self, row: list[Any], structures: list[Any]) -> Any:
        """One block a leaf, back in the structure of the arguments."""
        pieces, results = iter([plain(b) for b in row]), []
        for s in structures:
            results.append(optree.tree_unflatten(s, [next(pieces) for _ in range(s.num_leaves)]))
        return results[0] if self.single else tuple(results)

    def _first(self, blocks: list[list[Any]], structures: list[Any], traced: Traced) -> Any:
        if self.scalar:
            return self._arguments(blocks[0], structures)
        return optree.tree_unflatten(traced.structure, [self._arguments(row, structures) for row in blocks])

    def _second(self, blocks: list[list[Any]], structures: list[Any]) -> Any:
        return self._arguments([self._arguments(row, structures) for row in blocks], structures)

    def _matched(self, primals: tuple, tangents: tuple) -> tuple[list[Any], list[Any]]:
        given, structure = flatten(primals)
        moving, other = flatten(tangents)
        if structure != other:
            raise ArgumentError("the tangents must have the structure of the primals")
        seen, directions = list(map(example, given)), list(map(example, moving))
        for p, t in zip(seen, directions, strict=True):
            if is_traced(p) and np.shape(p) != np.shape(t) and not isinstance(t, Expr):
                raise ShapeError(f"a tangent has shape {np.shape(t)}, its primal {np.shape(p)}")
        names = [
            n for a, name in zip(primals, parameter_names(self.f, len(primals)), strict=True) for n in names_of(a, name)
        ]
        for name, p, t in zip(names, seen, directions, strict=True):
            if not is_traced(p) and isinstance(t, (int, float)) and t != 0:
                raise DtypeError(
                    f"the argument {name!r} is {type(p).__name__} {_brief(p)}; a derivative needs a floating-point number "
                    "(write 3.0 rather than 3), and another argument a tangent of 0"
                )
        pairs = [(p, t) for s, p, t in zip(seen, given, moving, strict=True) if is_traced(s)]
        return [p for p, _ in pairs], [t for _, t in pairs]

    def _run_tape(self, tape: Tape, leaves: list[Any], traced: Traced, seeds: list[Any]) -> list[Any]:
        """On the machine, or as expressions where an argument is one."""
        if traced.captured or any(isinstance(v, Expr) for v in (*leaves, *seeds)):
            return list(expressions(tape, [as_expr(v) for v in (*leaves, *traced.captured, *seeds)]))
        return [plain(r) for r in find_machine(self.machine).compile(tape)([*leaves, *seeds])]

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        traced = trace_call(self.f, examples(primals))
        leaves, moving = self._matched(primals, tangents)
        tape = tangent_tape(record(traced.outputs, [*traced.inputs, *traced.captured]), range(len(leaves)))
        results = self._run_tape(tape, leaves, traced, moving)
        n = len(traced.outputs)
        return optree.tree_unflatten(traced.structure, results[:n]), optree.tree_unflatten(
            traced.structure, results[n:]
        )

    def vjp(self, primals: tuple) -> tuple[Any, Callable[[Any], tuple]]:
        seen = examples(primals)
        traced = trace_call(self.f, seen)
        leaves = traced_leaves(primals, seen)
        base = record(
            traced.outputs, [*traced.inputs, *traced.captured], [f"output{k}" for k in range(len(traced.outputs))]
        )
        tape = adjoint_tape(base, range(len(leaves)))
        out = optree.tree_unflatten(traced.structure, self._run_tape(base, leaves, traced, []))

        def pullback(cotangent: Any) -> tuple:
            seeds, structure = flatten(cotangent)
            if structure != traced.structure:
                raise ArgumentError("the cotangent must have the structure of the output")
            for s, o in zip(map(example, seeds), traced.outputs, strict=True):
                if np.shape(s) != o.shape and not isinstance(s, Expr):
                    raise ShapeError(
                        f"a cotangent has shape {np.shape(s)}, its output {o.shape}; they must be the same"
                    )
            adjoints = iter(self._run_tape(tape, leaves, traced, seeds)[len(traced.outputs) :])
            back = []
            for p in seen:
                items, form = flatten(p)
                back.append(optree.tree_unflatten(form, [next(adjoints) if is_traced(x) else None for x in items]))
            return tuple(back)

        return out, pullback

    def hvp(self, primals: tuple, tangents: tuple) -> Any:
        seen = examples(primals)
        traced = trace_call(self.f, seen)
        if len(traced.outputs) != 1:
            raise ShapeError(f"hvp needs one scalar result, but {self.__name__} returned {len(traced.outputs)}")
        check_scalar(traced.outputs[0].shape, f"the result of {self.__name__}")
        leaves, moving = self._matched(primals, tangents)
        base = record(traced.outputs, [*traced.inputs, *traced.captured])
        gradient = gradient_only(find_engine("reverse").program(base, range(len(leaves))))
        tape = tangent_tape(gradient, range(len(leaves)))
        products = iter(self._run_tape(tape, leaves, traced, moving)[len(leaves) :])
        results = []
        for p in seen:
            items, form = flatten(p)
            results.append(optree.tree_unflatten(form, [next(products) if is_traced(x) else None for x in items]))
        return results[0] if len(results) == 1 else tuple(results)


def traced_leaves(args: tuple, seen: tuple) -> list[Any]:
    """The arguments' leaves that a trace of `seen` has variables for."""
    return [leaf for leaf, shown in zip(flatten(args)[0], flatten(seen)[0], strict=True) if is_traced(shown)]


def call_key(args: tuple) -> tuple | None:
    """What a tape made for these arguments serves: their structure, shapes and dtypes; None if that cannot be looked up."""
    leaves, structure = flatten(args)
    key = (structure, kink_policy(), *(signature(leaf) for leaf in leaves))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def traced_positions(f: Any, argnums: Sequence[int], args: tuple) -> list[list[int]]:
    """For every argnum the numbers of its traced leaves among all traced leaves of the arguments.

    Raises ArgumentError for an argument that is not there or named twice, DtypeError for one without a derivative.
    """
    counts = [[is_traced(leaf) for leaf in flatten(a)[0]] for a in args]
    starts = np.cumsum([0, *(sum(c) for c in counts)])
    positions = []
    seen: set[int] = set()
    names = parameter_names(f, len(args))
    for n in argnums:
        if not -len(args) <= n < len(args):
            raise ArgumentError(f"argnums names argument {n}, but the function was called with {len(args)}")
        n %= len(args)
        if n in seen:
            raise ArgumentError(f"argnums names argument {n} twice")
        seen.add(n)
        leaves = flatten(args[n])[0]
        for leaf, name in zip(leaves, names_of(args[n], names[n]), strict=True):
            if not is_traced(leaf) or np.asarray(leaf if not isinstance(leaf, Expr) else 0.0).dtype.kind not in "f":
                raise DtypeError(
                    f"the argument {name!r} is {type(leaf).__name__} {_brief(leaf)}; a derivative needs a floating-point "
                    "number or array (write 3.0 rather than 3)"
                )
        positions.append(list(range(int(starts[n]), int(starts[n + 1]))))
    return positions


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…"
