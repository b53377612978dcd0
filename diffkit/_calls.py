"""Calling conventions: how arguments reach a tape's inputs and results leave it, for expressions and for Python functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import optree

from .engines import engine as find_engine
from .engines.engine import Program, derivative_tape, gradient_only
from .engines.forward import tangent_tape
from .engines.reverse import adjoint_tape
from .errors import ArgumentError, DtypeError, ShapeError
from .expr.functions import stack
from .expr.node import Expr, free_variables
from .expr.trace import Traced, flatten, is_leaf, is_traced, names_of, parameter_names, signature, trace_call
from .machines import machine as find_machine
from .ops.kinks import current as kink_policy
from .tape import Tape, expressions, record


def is_text_or_expr(f: Any) -> bool:
    return isinstance(f, (str, Expr))


def expression_of(f: Any) -> Expr:
    """An expression from an expression or text."""
    if isinstance(f, Expr):
        return f
    if isinstance(f, str):
        from .expr.text import parse

        return parse(f)
    raise ArgumentError(f"an expression or text is needed here, not {type(f).__name__}")


# ---- arguments of an expression ----------------------------------------------------------------------------------------
def bind_names(variables: Sequence[str], args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, from positions, names, or one dict."""
    if len(args) == 1 and isinstance(args[0], Mapping) and not kwargs:
        given = dict(args[0])
    else:
        if len(args) > len(variables):
            raise ArgumentError(f"{len(args)} values for {len(variables)} variables ({', '.join(variables) or 'none'})")
        given = dict(zip(variables, args, strict=False))
        for name, value in kwargs.items():
            if name in given:
                raise ArgumentError(f"{name!r} is given twice, by position and by name")
            given[name] = value
    unknown = [n for n in given if n not in variables]
    if unknown:
        raise ArgumentError(f"the expression has no variable {unknown[0]!r}; its variables are {', '.join(variables) or '(none)'}")
    missing = [n for n in variables if n not in given]
    if missing:
        raise ArgumentError(f"no value for {', '.join(repr(n) for n in missing)}; the variables are {', '.join(variables)}")
    return given


def _same_variable(f: Expr) -> list[Expr]:
    """The variables; two of one name with different shapes or dtypes cannot be told apart by name."""
    variables = list(free_variables(f))
    names = [v.name for v in variables]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(f"two different variables are named {name!r} (another shape, dtype or trace); rename one")
    return variables


@lru_cache(maxsize=512)
def _value_executable(f: Expr, machine: str) -> Callable:
    return find_machine(machine).compile(record(f, _same_variable(f)))


def run_value(f: Expr, args: tuple, kwargs: Mapping[str, Any], machine: str = "cpu") -> Any:
    variables = free_variables(f)
    out = kwargs.pop("out", None) if isinstance(kwargs, dict) and "out" not in [v.name for v in variables] else None
    values = bind_names([v.name for v in variables], args, kwargs)
    ordered = [values[v.name] for v in variables]
    if any(isinstance(v, Expr) for v in ordered):
        return substitute(f, variables, ordered)
    (result,) = _value_executable(f, machine)(ordered, None if out is None else [out])
    return plain(result)


def substitute(f: Expr, variables: Sequence[Expr], values: Sequence[Any]) -> Expr:
    """The expression with other expressions (or constants) in the place of variables."""
    from .expr.functions import as_expr

    tape = record(f, variables, as_written=True)
    return expressions(tape, _fitting(variables, [as_expr(v) for v in values]))[0]


def _fitting(variables: Sequence[Expr], values: Sequence[Expr]) -> list[Expr]:
    for v, x in zip(variables, values, strict=True):
        if v.shape != x.shape:
            raise ShapeError(f"{v.name!r} has core shape {v.shape}, the expression given for it {x.shape}")
    return list(values)


def plain(array: np.ndarray) -> Any:
    """A zero-dimensional array as a NumPy scalar."""
    return array[()] if array.ndim == 0 else array


def check_differentiable(variables: Sequence[Expr]) -> None:
    for v in variables:
        if v.dtype in ("int64", "bool"):
            raise DtypeError(f"{v.name!r} is {v.dtype}; a derivative needs a floating-point variable (write 3.0 rather than 3)")


def check_scalar(shape: tuple[int, ...], what: str) -> None:
    if shape != ():
        raise ShapeError(
            f"grad needs a scalar result, but {what} has core shape {shape}; use jacobian, or reduce it, for example with .sum()"
        )


def make_program(tape: Tape, wrt: Sequence[int], engine: str, order: int) -> Program:
    """First or second derivatives of a tape's outputs."""
    if order == 1:
        return find_engine(engine).program(tape, wrt)
    if engine == "finite":
        from .engines.finite import second_program

        return second_program(tape, wrt)
    first = gradient_only(find_engine(engine).program(tape, wrt))
    return find_engine("forward" if engine == "reverse" else engine).program(first, wrt)


class ExprCall:
    """A transform of an expression: called by name, loop dims welcome."""

    def __init__(
        self, f: Expr, wrt: Any, *, engine: str = "reverse", machine: Any = "cpu", order: int = 1, scalar: bool = False,
        value: bool = False, reduce: str | None = None,
    ) -> None:  # fmt: skip
        self.f = f
        self.engine, self.machine, self.order, self.value, self.reduce = engine, machine, order, value, reduce
        if reduce not in (None, "sum"):
            raise ArgumentError(f'reduce is "sum" or None, not {reduce!r}')
        if scalar:
            check_scalar(f.shape, "the expression")
        self.variables = _same_variable(f)
        self.names: list[str] = [v.name for v in self.variables]
        self.single = isinstance(wrt, (str, Expr))
        chosen = self.names if wrt is None else [wrt] if self.single else list(wrt)
        self.wrt = [w.name if isinstance(w, Expr) else w for w in chosen]
        for w in self.wrt:
            if w not in self.names:
                raise ArgumentError(f"the expression has no variable {w!r}; its variables are {', '.join(self.names) or '(none)'}")
        if wrt is None:
            floats = [v.name for v in self.variables if v.dtype not in ("int64", "bool")]
            self.wrt = [w for w in self.wrt if w in floats]
        check_differentiable([v for v in self.variables if v.name in self.wrt])
        self._made: dict[str, tuple[Program, Callable]] = {}

    def __repr__(self) -> str:
        return f"<{'hessian' if self.order == 2 else 'derivative'} of {self.f!r} by {', '.join(self.wrt)}, engine {self.engine}>"

    def program(self) -> Program:
        tape = record(self.f, self.variables)
        return make_program(tape, [self.names.index(w) for w in self.wrt], self.engine, self.order)

    def _runner(self) -> tuple[Program, Callable]:
        policy = kink_policy()
        if policy not in self._made:
            program = self.program()
            self._made[policy] = (program, program.on(find_machine(self.machine)))
        return self._made[policy]

    @property
    def tape(self) -> Tape:
        """The tape that a call runs."""
        return self._runner()[0].tape

    def prepare(self, **shapes: Any) -> ExprCall:
        """Build now what the first call would build. Shapes are loop dims; the tape does not depend on them."""
        self._runner()
        return self

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if "out" in self.names and out is not None:
            kwargs["out"], out = out, None
        given = bind_names(self.names, args, kwargs)
        values = [given[n] for n in self.names]
        if any(isinstance(v, Expr) for v in values):
            return self._symbolic(values)
        outputs, blocks = self._runner()[1](values, None if out is None else self._buffers(out))
        if self.order == 2:
            result: Any = {w: dict(zip(self.wrt, map(plain, row), strict=True)) for w, row in zip(self.wrt, blocks, strict=True)}
            return result[self.wrt[0]][self.wrt[0]] if self.single else result
        if out is not None:
            return out
        row = [plain(self._reduced(b, given[w], w)) for b, w in zip(blocks[0], self.wrt, strict=True)]
        result = row[0] if self.single else dict(zip(self.wrt, row, strict=True))
        return (plain(outputs[0]), result) if self.value else result

    def _reduced(self, block: np.ndarray, value: Any, name: str) -> np.ndarray:
        if self.reduce is None:
            return block
        core = len(self.f.shape) + len(self.variables[self.names.index(name)].shape)
        own = np.ndim(value) - len(self.variables[self.names.index(name)].shape)
        loop = block.ndim - core
        summed = block.sum(axis=tuple(range(loop - own)), dtype=np.float64)
        stretched = tuple(k for k in range(own) if np.shape(value)[k] == 1 and summed.shape[k] != 1)
        return summed.sum(axis=stretched, keepdims=True).astype(block.dtype, copy=False)

    def _buffers(self, out: Any) -> list[np.ndarray]:
        """The arrays of out= in the order of the tape's outputs: the value first, then the gradient."""
        if self.order == 2 or self.reduce:
            raise ArgumentError("out= is for values, gradients and Jacobians")
        value, gradient = out if self.value else (None, out)
        if self.single:
            buffers = [gradient]
        elif isinstance(gradient, Mapping):
            missing = [w for w in self.wrt if w not in gradient]
            if missing:
                raise ArgumentError(f"out= has no array for {missing[0]!r}")
            buffers = [gradient[w] for w in self.wrt]
        else:
            buffers = list(gradient)
        if value is None:  # the program writes its value too
            loop = buffers[0].ndim - len(self.f.shape) - len(self.variables[self.names.index(self.wrt[0])].shape)
            value = np.empty((*buffers[0].shape[:loop], *self.f.shape), self.f.dtype)
        return [value, *buffers]

    def _symbolic(self, values: list[Any]) -> Any:
        """Called with expressions: the derivative as expressions."""
        from .expr.functions import as_expr

        made = derivative_tape(self._runner()[0])
        outputs = expressions(made, _fitting(self.variables, [as_expr(v) for v in values]))
        if self.order == 2:
            n = len(self.wrt)
            rows = [dict(zip(self.wrt, outputs[n + k * n : n + (k + 1) * n], strict=True)) for k in range(n)]
            result: Any = dict(zip(self.wrt, rows, strict=True))
            return result[self.wrt[0]][self.wrt[0]] if self.single else result
        row = outputs[1:]
        result = row[0] if self.single else dict(zip(self.wrt, row, strict=True))
        return (outputs[0], result) if self.value else result

    # ---- products with vectors ----
    def jvp(self, primals: Mapping[str, Any], tangents: Mapping[str, Any]) -> tuple[Any, Any]:
        given = bind_names(self.names, (dict(primals),), {})
        wrt = self._moving(tangents)
        made = tangent_tape(record(self.f, self.variables), [self.names.index(w) for w in wrt])
        values = [*(given[n] for n in self.names), *(tangents[w] for w in wrt)]
        out, tangent = find_machine(self.machine).compile(made)(values)
        return plain(out), plain(tangent)

    def vjp(self, primals: Mapping[str, Any]) -> tuple[Any, Callable[[Any], dict[str, Any]]]:
        given = bind_names(self.names, (dict(primals),), {})
        floats = [v for v in self.variables if v.dtype not in ("int64", "bool")]
        made = adjoint_tape(record(self.f, self.variables), [self.names.index(v.name) for v in floats])
        values = [given[n] for n in self.names]
        executable = find_machine(self.machine).compile(made)
        out = run_value(self.f, (given,), {}, self.machine)

        def pullback(cotangent: Any) -> dict[str, Any]:
            if np.shape(cotangent) != np.shape(out):
                raise ShapeError(f"the cotangent has shape {np.shape(cotangent)}, the output {np.shape(out)}; they must be the same")
            _, *adjoints = executable([*values, cotangent])
            return {v.name: plain(_sum_to_shape(a, np.shape(given[v.name]))) for v, a in zip(floats, adjoints, strict=True)}

        return out, pullback

    def hvp(self, primals: Mapping[str, Any], tangents: Mapping[str, Any]) -> dict[str, Any]:
        check_scalar(self.f.shape, "the expression")
        given = bind_names(self.names, (dict(primals),), {})
        wrt = self._moving(tangents)
        positions = [self.names.index(w) for w in self.wrt]
        gradient = gradient_only(find_engine("reverse").program(record(self.f, self.variables), positions))
        made = tangent_tape(gradient, [self.names.index(w) for w in wrt])
        results = find_machine(self.machine).compile(made)([*(given[n] for n in self.names), *(tangents[w] for w in wrt)])
        return dict(zip(self.wrt, map(plain, results[len(self.wrt) :]), strict=True))

    def _moving(self, tangents: Mapping[str, Any]) -> list[str]:
        for name in tangents:
            if name not in self.names:
                raise ArgumentError(f"a tangent for {name!r}, but the variables are {', '.join(self.names)}")
        if not tangents:
            raise ArgumentError("no tangent is given")
        check_differentiable([v for v in self.variables if v.name in tangents])
        return [n for n in self.names if n in tangents]


def _sum_to_shape(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Summed over the leading and stretched dims that broadcasting added."""
    extra = array.ndim - len(shape)
    summed = array.sum(axis=tuple(range(extra)))
    return summed.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1 and summed.shape[k] != 1), keepdims=True)


# ---- Python functions --------------------------------------------------------------------------------------------------
class PythonCall:
    """A transform of a Python function: whole arrays, nested arguments, results structured as in JAX."""

    def __init__(
        self, f: Callable, argnums: int | Sequence[int], *, engine: str = "reverse", machine: Any = "cpu", order: int = 1,
        scalar: bool = False, value: bool = False, reduce: None = None,
    ) -> None:  # fmt: skip
        self.f, self.engine, self.machine, self.order, self.scalar, self.value = f, engine, machine, order, scalar, value
        self.single = not isinstance(argnums, (tuple, list))
        self.argnums: list[int] = [argnums] if self.single else list(argnums)  # type: ignore[list-item,arg-type]
        if not all(isinstance(a, int) and not isinstance(a, bool) for a in self.argnums):
            raise ArgumentError(f"argnums is a position or a tuple of positions, not {argnums!r}")
        self._made: dict[tuple, tuple[Traced, Any]] = {}

    @property
    def __name__(self) -> str:
        return getattr(self.f, "__name__", "function")

    def _traced(self, args: tuple) -> tuple[Traced, bool]:
        traced = trace_call(self.f, args)
        return traced, bool(traced.captured)

    def _key(self, args: tuple) -> tuple | None:
        leaves, structure = flatten(args)
        key = (structure, kink_policy(), *(signature(leaf) for leaf in leaves))
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def _positions(self, args: tuple) -> list[list[int]]:
        """For every argnum the numbers of its traced leaves among all traced leaves."""
        counts = [[is_traced(leaf) for leaf in flatten(a)[0]] for a in args]
        starts = np.cumsum([0, *(sum(c) for c in counts)])
        positions = []
        names = parameter_names(self.f, len(args))
        for n in self.argnums:
            if not -len(args) <= n < len(args):
                raise ArgumentError(f"argnums names argument {n}, but the function was called with {len(args)}")
            n %= len(args)
            leaves = flatten(args[n])[0]
            for leaf, name in zip(leaves, names_of(args[n], names[n]), strict=True):
                if not is_traced(leaf) or np.asarray(leaf if not isinstance(leaf, Expr) else 0.0).dtype.kind not in "f":
                    raise DtypeError(
                        f"the argument {name!r} is {type(leaf).__name__} {_brief(leaf)}; a derivative needs a floating-point number or array "
                        "(write 3.0 rather than 3)"
                    )
            positions.append(list(range(int(starts[n]), int(starts[n + 1]))))
        return positions

    def _prepared(self, args: tuple) -> tuple[Traced, Any]:
        key = self._key(args)
        if key is not None and key in self._made:
            return self._made[key]
        traced, captures = self._traced(args)
        if self.scalar:
            name = self.__name__
            if len(traced.outputs) != 1:
                raise ShapeError(f"grad needs one scalar result, but {name} returned {len(traced.outputs)}; use jacobian")
            check_scalar(traced.outputs[0].shape, f"the result of {name}")
        tape = record(traced.outputs, [*traced.inputs, *traced.captured], [f"output{k}" for k in range(len(traced.outputs))])
        wrt = [p for group in self._positions(args) for p in group]
        program = make_program(tape, wrt, self.engine, self.order)
        made = (traced, program)
        if key is not None and not captures:
            made = (traced, (program, program.on(find_machine(self.machine))))
            self._made[key] = made
        return made

    def prepare(self, *args: Any) -> PythonCall:
        """Trace and build now for arguments of these shapes (values are not used)."""
        self._prepared(args)
        return self

    def __call__(self, *args: Any, out: Any = None) -> Any:
        traced, made = self._prepared(args)
        leaves = [leaf for leaf in flatten(args)[0] if is_traced(leaf)]
        symbolic = bool(traced.captured) or any(isinstance(leaf, Expr) for leaf in leaves)
        program, run = made if isinstance(made, tuple) else (made, None)
        if symbolic:
            outputs, blocks = self._symbolic(program, traced, leaves)
        else:
            outputs, blocks = run(leaves, None if out is None else self._buffers(out, traced))
        structures = [flatten(args[n])[1] for n in self.argnums]
        result = self._second(blocks, structures) if self.order == 2 else self._first(blocks, structures, traced)
        if not self.value:
            return result
        return (plain(outputs[0]) if not symbolic else outputs[0], result)

    def _buffers(self, out: Any, traced: Traced) -> list[np.ndarray]:
        value, gradient = out if self.value else (None, out)
        buffers = flatten(gradient)[0]
        return [np.empty(traced.outputs[0].shape, traced.outputs[0].dtype) if value is None else value, *buffers]

    def _symbolic(self, program: Program, traced: Traced, leaves: list[Any]) -> tuple[list[Expr], list[list[Expr]]]:
        from .expr.functions import as_expr

        made = derivative_tape(program)
        flat = expressions(made, [*(as_expr(v) for v in leaves), *traced.captured])
        rows = len(program.out_shapes)  # type: ignore[attr-defined]
        columns = len(program.in_shapes)  # type: ignore[attr-defined]
        outputs, rest = flat[:rows], flat[rows:]
        return outputs, [rest[k * columns : (k + 1) * columns] for k in range(rows)]

    def _arguments(self, row: list[Any], structures: list[Any]) -> Any:
        """One block a leaf, back in the structure of the arguments."""
        pieces, results = iter([plain(b) if isinstance(b, np.ndarray) else b for b in row]), []
        for s in structures:
            results.append(optree.tree_unflatten(s, [next(pieces) for _ in range(s.num_leaves)]))
        return results[0] if self.single else tuple(results)

    def _first(self, blocks: list[list[Any]], structures: list[Any], traced: Traced) -> Any:
        if self.scalar:
            return self._arguments(blocks[0], structures)
        return optree.tree_unflatten(traced.structure, [self._arguments(row, structures) for row in blocks])

    def _second(self, blocks: list[list[Any]], structures: list[Any]) -> Any:
        return self._arguments([self._arguments(row, structures) for row in blocks], structures)

    # ---- products with vectors ----
    def _matched(self, primals: tuple, tangents: tuple) -> tuple[list[Any], list[Any]]:
        given, structure = flatten(primals)
        moving, other = flatten(tangents)
        if structure != other:
            raise ArgumentError("the tangents must have the structure of the primals")
        for p, t in zip(given, moving, strict=True):
            if is_traced(p) and np.shape(p) != np.shape(t) and not isinstance(t, Expr):
                raise ShapeError(f"a tangent has shape {np.shape(t)}, its primal {np.shape(p)}")
        pairs = [(p, t) for p, t in zip(given, moving, strict=True) if is_traced(p)]
        return [p for p, _ in pairs], [t for _, t in pairs]

    def _run_tape(self, tape: Tape, leaves: list[Any], traced: Traced, seeds: list[Any]) -> list[Any]:
        """On the machine, or as expressions where an argument is one."""
        if traced.captured or any(isinstance(v, Expr) for v in (*leaves, *seeds)):
            from .expr.functions import as_expr

            return list(expressions(tape, [as_expr(v) for v in (*leaves, *traced.captured, *seeds)]))
        return [plain(r) for r in find_machine(self.machine).compile(tape)([*leaves, *seeds])]

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        traced = trace_call(self.f, primals)
        leaves, moving = self._matched(primals, tangents)
        tape = tangent_tape(record(traced.outputs, [*traced.inputs, *traced.captured]), range(len(leaves)))
        results = self._run_tape(tape, leaves, traced, moving)
        n = len(traced.outputs)
        return optree.tree_unflatten(traced.structure, results[:n]), optree.tree_unflatten(traced.structure, results[n:])

    def vjp(self, primals: tuple) -> tuple[Any, Callable[[Any], tuple]]:
        traced = trace_call(self.f, primals)
        leaves = [leaf for leaf in flatten(primals)[0] if is_traced(leaf)]
        base = record(traced.outputs, [*traced.inputs, *traced.captured], [f"output{k}" for k in range(len(traced.outputs))])
        tape = adjoint_tape(base, range(len(leaves)))
        out = optree.tree_unflatten(traced.structure, self._run_tape(base, leaves, traced, []))

        def pullback(cotangent: Any) -> tuple:
            seeds, structure = flatten(cotangent)
            if structure != traced.structure:
                raise ArgumentError("the cotangent must have the structure of the output")
            for s, o in zip(seeds, traced.outputs, strict=True):
                if np.shape(s) != o.shape and not isinstance(s, Expr):
                    raise ShapeError(f"a cotangent has shape {np.shape(s)}, its output {o.shape}; they must be the same")
            adjoints = iter(self._run_tape(tape, leaves, traced, seeds)[len(traced.outputs) :])
            back = []
            for p in primals:
                items, form = flatten(p)
                back.append(optree.tree_unflatten(form, [next(adjoints) if is_traced(x) else None for x in items]))
            return tuple(back)

        return out, pullback

    def hvp(self, primals: tuple, tangents: tuple) -> Any:
        traced = trace_call(self.f, primals)
        check_scalar(traced.outputs[0].shape, f"the result of {self.__name__}")
        leaves, moving = self._matched(primals, tangents)
        base = record(traced.outputs, [*traced.inputs, *traced.captured])
        gradient = gradient_only(find_engine("reverse").program(base, range(len(leaves))))
        tape = tangent_tape(gradient, range(len(leaves)))
        products = iter(self._run_tape(tape, leaves, traced, moving)[len(leaves) :])
        results = []
        for p in primals:
            items, form = flatten(p)
            results.append(optree.tree_unflatten(form, [next(products) if is_traced(x) else None for x in items]))
        return results[0] if len(results) == 1 else tuple(results)

    def mapped(self, args: tuple, axes: Sequence[int | None]) -> Any:
        """vmap: the mapped axis is a loop dim of the tape."""
        flat = [(leaf, axis) for a, axis in zip(args, axes, strict=True) for leaf in flatten(a)[0] if is_traced(leaf)]
        sizes = {np.shape(x)[ax] if not isinstance(x, Expr) else x.shape[ax] for x, ax in flat if ax is not None}
        if len(sizes) != 1:
            raise ShapeError(f"vmap: the mapped axes have different lengths {sorted(sizes)}" if sizes else "vmap: no argument is mapped")
        (n,) = sizes
        one = [optree.tree_map(lambda x, ax=axis: _slice(x, ax, 0), a, is_leaf=is_leaf, none_is_leaf=True) for a, axis in zip(args, axes, strict=True)]
        if any(isinstance(x, Expr) for x, _ in flat):
            return self._unrolled(args, axes, n)
        traced = trace_call(self.f, one)
        if traced.captured:
            return self._unrolled(args, axes, n)
        tape = record(traced.outputs, traced.inputs)
        values = [np.asarray(x) if ax is None else np.moveaxis(np.asarray(x), ax, 0) for x, ax in flat]
        results = find_machine(self.machine).compile(tape)(values)
        full = [r if any(ax is not None for _, ax in flat) else np.broadcast_to(r, (n, *r.shape)) for r in results]
        return optree.tree_unflatten(traced.structure, full)

    def _unrolled(self, args: tuple, axes: Sequence[int | None], n: int) -> Any:
        """Within another trace: one copy of the function an element."""
        rows = []
        for k in range(n):
            one = [optree.tree_map(lambda x, ax=axis, k=k: _slice(x, ax, k), a, is_leaf=is_leaf, none_is_leaf=True) for a, axis in zip(args, axes, strict=True)]
            rows.append(flatten(self.f(*one)))
        return optree.tree_unflatten(rows[0][1], [stack([r[0][j] for r in rows]) for j in range(len(rows[0][0]))])


def _slice(x: Any, axis: int | None, k: int) -> Any:
    if axis is None or not is_traced(x):
        return x
    if isinstance(x, Expr):
        return x[(*(slice(None),) * (axis % x.ndim), k)]
    return np.take(x, k, axis=axis)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…"
