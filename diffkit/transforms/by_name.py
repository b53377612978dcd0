"""Transforms of expressions: called by name, loop dims welcome, results as dicts by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..engines import Program, cheaper_mode
from ..engines import engine as find_engine
from ..engines.engine import derivative_tape, gradient_only
from ..engines.forward import tangent_tape
from ..engines.reverse import adjoint_tape
from ..errors import ArgumentError, ShapeError
from ..expr.functions import as_expr
from ..expr.node import Expr
from ..machines import machine as find_machine
from ..machines.protocol import Signature, Wanted
from ..machines.resident import is_on_device
from ..ops.kinks import current as kink_policy
from ..tape import Tape, expressions, record
from .arguments import bind_names, distinct_variables, fitting, plain, run_value
from .buffers import check_out_applies, out_buffers
from .device import SummedTo, apply, shape_of, with_device
from .mapping import derivative_expressions
from .programs import check_differentiable, check_scalar, make_program
from .single import SinglePoint


class ExprCall:
    """A transform of an expression: called by name, loop dims welcome.

    engine: one by name; None chooses forward or reverse by the shapes. `mode` says which it is.
    """

    def __init__(
        self, f: Expr, wrt: Any, *, engine: str | None = "reverse", machine: Any = "cpu", order: int = 1, scalar: bool = False,
        value: bool = False, reduce: str | None = None,
    ) -> None:  # fmt: skip
        self.f = f
        self.engine, self.machine, self.order, self.value, self.reduce = engine, machine, order, value, reduce
        if reduce not in (None, "sum"):
            raise ArgumentError(f'reduce is "sum" or None, not {reduce!r}')
        if scalar:
            check_scalar(f.shape, "the expression")
        self.variables = distinct_variables(f)
        self.names: list[str] = [v.name for v in self.variables]
        self.single = isinstance(wrt, (str, Expr))
        chosen = self.names if wrt is None else [wrt] if self.single else list(wrt)
        self.wrt = [w.name if isinstance(w, Expr) else w for w in chosen]
        for w in self.wrt:
            if w not in self.names:
                raise ArgumentError(
                    f"the expression has no variable {w!r}; its variables are {', '.join(self.names) or '(none)'}"
                )
        if len(set(self.wrt)) < len(self.wrt):
            twice = next(w for w in self.wrt if self.wrt.count(w) > 1)
            raise ArgumentError(f"wrt names {twice!r} twice")
        if wrt is None:
            floats = [v.name for v in self.variables if v.dtype not in ("int64", "bool")]
            self.wrt = [w for w in self.wrt if w in floats]
        check_differentiable([v for v in self.variables if v.name in self.wrt])
        elements = sum(v.size for v in self.variables if v.name in self.wrt)
        self._engine: str = cheaper_mode(elements, f.size) if engine is None else engine
        #: how it differentiates: an engine, or "forward over reverse"
        self.mode = mode_of(self._engine, order)
        self.__doc__ = described(repr(f), self.mode, order, elements, f.size, engine is None)
        self._made: dict[str, tuple[Program, Callable]] = {}
        self._single: SinglePoint | None = None

    def __repr__(self) -> str:
        return f"<{'hessian' if self.order == 2 else 'derivative'} of {self.f!r} by {', '.join(self.wrt)}, engine {self.mode}>"

    def program(self) -> Program:
        tape = record(self.f, self.variables)
        return make_program(tape, [self.names.index(w) for w in self.wrt], self._engine, self.order)

    def expression(self) -> Expr:
        """What a call gives as an expression, where that is one array."""
        if not self.single or self.value or self.order != 1:
            raise ArgumentError(
                "only the derivative by one variable can be differentiated again: name it with wrt='x', or use hessian"
            )
        return expressions(derivative_tape(self.program()))[1]

    def _runner(self) -> tuple[Program, Callable]:
        policy = kink_policy()
        if policy not in self._made:
            program = self.program()
            run = program.on(find_machine(self.machine))
            self._made[policy] = (program, with_device(program, run, self.machine))
        return self._made[policy]

    @property
    def tape(self) -> Tape:
        """The tape that a call runs."""
        return self._runner()[0].tape

    @property
    def memory(self) -> int:
        """Bytes, planned beforehand, that a call for one point works in beside its arguments and results."""
        return int(getattr(self._runner()[1], "register_bytes", 0))

    def prepare(self, **shapes: Any) -> ExprCall:
        """Build now what the first call would build. Shapes are loop dims; the tape does not depend on them."""
        self._runner()
        return self

    def __call__(self, /, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if self._single is not None:
            in_order = args if not kwargs else () if args else self._in_order(kwargs)
            at_point = self._single(in_order, out)
            if at_point is not None:
                return at_point
        if "out" in self.names and out is not None and not (len(args) == 1 and isinstance(args[0], Mapping)):
            kwargs["out"], out = out, None
        given = bind_names(self.names, args, kwargs)
        values = [given[n] for n in self.names]
        check_out_applies(out, self.order, self.reduce, values)
        if any(isinstance(v, Expr) for v in values):
            return self._symbolic(values)
        program, run = self._runner()
        outputs, blocks = run(values, None) if out is None else run(*self._with_buffers(values, out))
        at_one = isinstance(outputs[0], np.ndarray) and outputs[0].ndim == len(self.f.shape)
        if self.order == 1 and self.reduce is None and at_one:
            self._single = SinglePoint.of(program, run, self.value, None if self.single else self._gathered)
        if self.order == 2:
            result: Any = {
                w: dict(zip(self.wrt, map(plain, row), strict=True)) for w, row in zip(self.wrt, blocks, strict=True)
            }
            return result[self.wrt[0]][self.wrt[0]] if self.single else result
        if out is not None:
            return out
        row = [plain(self._reduced(b, given[w], w)) for b, w in zip(blocks[0], self.wrt, strict=True)]
        result = row[0] if self.single else dict(zip(self.wrt, row, strict=True))
        return (plain(outputs[0]), result) if self.value else result

    def _in_order(self, kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The values by position; empty where the general path has to say what is wrong."""
        try:
            return tuple([kwargs[n] for n in self.names]) if len(kwargs) == len(self.names) else ()
        except KeyError:
            return ()

    def _gathered(self, derivatives: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.wrt, derivatives))  # noqa: B905 (`strict` costs half a microsecond)

    def _reduced(self, block: np.ndarray, value: Any, name: str) -> np.ndarray:
        if self.reduce is None:
            return block
        core = len(self.f.shape) + len(self.variables[self.names.index(name)].shape)
        shape = shape_of(value)
        own = len(shape) - len(self.variables[self.names.index(name)].shape)
        loop = block.ndim - core
        if is_on_device(block):
            stretched = tuple(k for k in range(own) if shape[k] == 1 and block.shape[loop - own + k] != 1)
            return apply(self.machine, SummedTo(loop - own, stretched, "float64"), block)[0]
        summed = block.sum(axis=tuple(range(loop - own)), dtype=np.float64)
        stretched = tuple(k for k in range(own) if shape[k] == 1 and summed.shape[k] != 1)
        return summed.sum(axis=stretched, keepdims=True).astype(block.dtype, copy=False)

    @cached_property
    def _signature(self) -> Signature:
        return Signature(record(self.f, self.variables))

    def _with_buffers(self, values: list[Any], out: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The values as arrays, and the arrays of out= in the order of the tape's outputs."""
        bound, loop = self._signature.bind(values, device=True)
        return bound, out_buffers(out, *self._wanted, self._arranged, loop, self.value)

    @cached_property
    def _wanted(self) -> tuple[list[Wanted], list[Wanted]]:
        """What the arrays of out= are for: the value, and the derivatives."""
        by_name = {v.name: v for v in self.variables}
        return [("the value", self.f.shape, np.dtype(self.f.dtype))], [
            (f"the derivative by {w!r}", (*self.f.shape, *by_name[w].shape), np.dtype(by_name[w].dtype))
            for w in self.wrt
        ]

    def _arranged(self, out: Any) -> list[Any]:
        """The buffers of the derivatives in the order of wrt."""
        if self.single:
            return [out]
        wanted = ", ".join(map(repr, self.wrt)) or "(no variable)"
        if isinstance(out, Mapping):
            missing, unknown = [w for w in self.wrt if w not in out], [n for n in out if n not in self.wrt]
            if missing:
                raise ArgumentError(f"out= has no array for {missing[0]!r}; it is a dict with arrays for {wanted}")
            if unknown:
                raise ArgumentError(
                    f"out= has an array for {unknown[0]!r}; it is a dict with arrays for {wanted} alone"
                )
            return [out[w] for w in self.wrt]
        if not isinstance(out, (list, tuple)) or len(out) != len(self.wrt):
            given = f"{len(out)} items" if isinstance(out, (list, tuple)) else f"a value of type {type(out).__name__}"
            raise ArgumentError(f"out= is a dict by name, or a list, of arrays for {wanted}, not {given}")
        return list(out)

    def _symbolic(self, values: list[Any]) -> Any:
        """Called with expressions: the derivative as expressions."""
        outputs = derivative_expressions(self._runner()[0], fitting(self.variables, [as_expr(v) for v in values]))
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
            if shape_of(cotangent) != shape_of(out):
                raise ShapeError(
                    f"the cotangent has shape {shape_of(cotangent)}, the output {shape_of(out)}; they must be the same"
                )
            _, *adjoints = executable([*values, cotangent])
            return {
                v.name: plain(_sum_to_shape(a, shape_of(given[v.name]), self.machine))
                for v, a in zip(floats, adjoints, strict=True)
            }

        return out, pullback

    def hvp(self, primals: Mapping[str, Any], tangents: Mapping[str, Any]) -> dict[str, Any]:
        check_scalar(self.f.shape, "the expression")
        given = bind_names(self.names, (dict(primals),), {})
        wrt = self._moving(tangents)
        positions = [self.names.index(w) for w in self.wrt]
        gradient = gradient_only(find_engine("reverse").program(record(self.f, self.variables), positions))
        made = tangent_tape(gradient, [self.names.index(w) for w in wrt])
        results = find_machine(self.machine).compile(made)(
            [*(given[n] for n in self.names), *(tangents[w] for w in wrt)]
        )
        return dict(zip(self.wrt, map(plain, results[len(self.wrt) :]), strict=True))

    def _moving(self, tangents: Mapping[str, Any]) -> list[str]:
        for name in tangents:
            if name not in self.names:
                raise ArgumentError(f"a tangent for {name!r}, but the variables are {', '.join(self.names)}")
        if not tangents:
            raise ArgumentError("no tangent is given")
        check_differentiable([v for v in self.variables if v.name in tangents])
        return [n for n in self.names if n in tangents]


def mode_of(engine: Any, order: int) -> str:
    """How an engine makes derivatives of this order, in words; an engine object counts by its name."""
    name = engine if isinstance(engine, str) else engine.name
    return "forward over reverse" if order == 2 and name == "reverse" else name


def described(f: str, mode: str, order: int, inputs: int, outputs: int, chosen: bool) -> str:
    """The docstring of a derivative: what it is of, and by which mode."""
    what = "Second derivatives" if order == 2 else "Derivative"
    sizes = f"{inputs:,} input and {outputs:,} output element{'s' * (outputs != 1)}"
    return f"{what} of {f} by {mode}{' mode, chosen' * chosen} for {sizes}."


def _sum_to_shape(array: Any, shape: tuple[int, ...], machine: Any) -> Any:
    """Summed over the leading and stretched dims that broadcasting added; on the machine, where it lies on a device."""
    extra = array.ndim - len(shape)
    if is_on_device(array):
        stretched = tuple(k for k, n in enumerate(shape) if n == 1 and array.shape[extra + k] != 1)
        return apply(machine, SummedTo(extra, stretched, array.dtype.name), array)[0]
    summed = array.sum(axis=tuple(range(extra)))
    return summed.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1 and summed.shape[k] != 1), keepdims=True)
