"""Sparse Jacobians and Hessians, of expressions and of Python functions: called as the dense ones, they give scipy.sparse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError, UnsupportedError
from ..expr.collector import paused
from ..expr.node import Expr
from ..expr.trace import flatten, is_traced, trace_call
from ..machines import machine as find_machine
from ..ops.kinks import current as kink_policy
from ..sparse.derivative import SparseDerivative
from ..tape import Tape, record
from .arguments import bind_names
from .by_name import ExprCall
from .by_position import PythonCall, call_key, traced_positions
from .device import examples, fetched
from .programs import check_scalar


@dataclass(frozen=True, eq=False)
class Prepared:
    """A sparse derivative, and the same on a machine."""

    derivative: SparseDerivative
    run: Callable[..., Any]


class SparseCall:
    """A sparse Jacobian or Hessian: a callable that gives a `scipy.sparse.csr_array`.

    Rows are the elements of the outputs, one output after the other, each in C order; columns likewise those of the inputs
    differentiated by, in the order of `wrt` (`argnums`, and the leaves of nested arguments). The pattern, its colouring and the
    tapes are made at the first call, or by `prepare`, and serve every later call (of a Python function: with the same shapes and
    dtypes). The stored entries are the pattern's: those that by the tape may differ from zero. ``out=`` takes a matrix that an
    earlier call has given, and the entries are written into it.

    Where the function moves arrays out of its arguments (x[1:], cameras[number]), it is differentiated by those if that takes fewer
    directions, and the entries are moved back, and added where several are one entry of the result.

    ``.pattern``, ``.colours``, ``.lower_bound``, ``.mode`` and ``.colouring`` are those of the latest derivative made; printed, it
    says them in one line. A pattern that would have more than 200,000,000 entries is an ExceededError.
    """

    def __init__(self, call: ExprCall | PythonCall) -> None:
        engine, order = call.engine, call.order
        if engine not in (None, "forward", "reverse") or (order == 2 and engine == "forward"):
            kind, ways = (
                ("Hessian", "forward over reverse") if order == 2 else ("Jacobian", "by forward or reverse mode")
            )
            raise UnsupportedError(
                f"a sparse {kind} is computed {ways}, not by engine={engine!r}: leave engine= out, or sparse=True"
            )
        self.engine, self.machine, self.order = engine, call.machine, order
        self._made: dict[Any, Prepared] = {}
        self._latest: Prepared | None = None

    def _build(self, tape: Tape, wrt: Sequence[int]) -> Prepared:
        with paused():
            made = SparseDerivative(tape, wrt, self.order, self.engine if self.order == 1 else None)
        return Prepared(made, made.on(find_machine(self.machine)))

    def _of_latest(self) -> SparseDerivative:
        if self._latest is None:
            raise ArgumentError(
                "the pattern is known once the shapes of the arguments are: call this, or .prepare(*arguments), first"
            )
        return self._latest.derivative

    @property
    def pattern(self) -> Any:
        """A csr_array of bool: True where an entry is stored."""
        made = self._of_latest()
        return made.matrix(np.ones(made.rows.count, bool))

    @property
    def colours(self) -> int:
        """How many directions a call evaluates."""
        return self._of_latest().colouring.count

    @property
    def lower_bound(self) -> int:
        """No colouring of this pattern, by this mode, has fewer colours."""
        return self._of_latest().colouring.lower_bound

    @property
    def colouring(self) -> np.ndarray:
        """The colour of every element differentiated by (mode "reverse": of every row), -1 where it has no entry."""
        return self._of_latest().colouring.of.copy()

    @property
    def mode(self) -> str:
        """ "forward" (columns share a direction), "reverse" (rows do) or, of a Hessian, "forward over reverse"."""
        return self._of_latest().mode

    @property
    def tape(self) -> Tape:
        """The tape that a call runs."""
        return self._of_latest().directions.tape

    def _described(self, what: str) -> str:
        name = "jacobian" if self.order == 1 else "hessian"
        if self._latest is None:
            return f"<sparse {name} of {what}>"
        (m, n), count = self._of_latest().shape, self._of_latest().rows.count
        colours = f"{self.colours} colour{'s' * (self.colours != 1)} (at least {self.lower_bound})"
        entries = "entry" if count == 1 else "entries"
        return f"<sparse {name} of {what}: {m} × {n}, {count} {entries}, {colours}, {self.mode}>"


class SparseExprCall(SparseCall):
    """A sparse Jacobian or Hessian of an expression: called by name, position or one dict, at one point (without loop dims).

    It gives a `scipy.sparse.csr_array`; `SparseCall` says in which order.
    """

    def __init__(self, call: ExprCall) -> None:
        super().__init__(call)
        self.call = call

    def __repr__(self) -> str:
        return self._described(repr(self.call.f))

    def prepare(self) -> SparseExprCall:
        """Make now what the first call would make."""
        self._prepared()
        return self

    def _prepared(self) -> Prepared:
        policy = kink_policy()
        if policy not in self._made:
            tape = record(self.call.f, self.call.variables)
            self._made[policy] = self._build(tape, [self.call.names.index(w) for w in self.call.wrt])
        made = self._latest = self._made[policy]
        return made

    def _of_latest(self) -> SparseDerivative:
        self._prepared()
        return super()._of_latest()

    def __call__(self, /, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if "out" in self.call.names and out is not None and not (len(args) == 1 and isinstance(args[0], Mapping)):
            kwargs["out"], out = out, None
        given = bind_names(self.call.names, args, kwargs)
        values = fetched(self.machine, [given[n] for n in self.call.names])
        _check_numbers(values)
        for v, value in zip(self.call.variables, values, strict=True):
            if np.ndim(value) > v.ndim:
                raise ShapeError(
                    f"a sparse derivative is taken at one point: {v.name!r} has core shape {v.shape}, but the value has shape "
                    f"{np.shape(value)}, which adds loop dims. Call it point by point, or leave sparse=True out"
                )
        return self._prepared().run(values, out)


class SparsePythonCall(SparseCall):
    """A sparse Jacobian or Hessian of a Python function: called by position, with arrays and nests of them.

    It gives a `scipy.sparse.csr_array`; `SparseCall` says in which order.
    """

    def __init__(self, call: PythonCall) -> None:
        super().__init__(call)
        self.call = call

    def __repr__(self) -> str:
        return self._described(self.call.__name__)

    def prepare(self, *args: Any) -> SparsePythonCall:
        """Make now what the first call with arguments of these shapes would make."""
        self._prepared(examples(args))
        return self

    def _prepared(self, args: tuple) -> Prepared:
        _check_numbers(flatten(args)[0])
        key = call_key(args)
        made = None if key is None else self._made.get(key)
        if made is None:
            made = self._make(args)
            if key is not None:
                self._made[key] = made
        self._latest = made
        return made

    def _make(self, args: tuple) -> Prepared:
        traced = trace_call(self.call.f, args)
        _check_numbers(traced.captured)
        if self.order == 2:
            if len(traced.outputs) != 1:
                raise ShapeError(
                    f"hessian needs one scalar result, but {self.call.__name__} returned {len(traced.outputs)}"
                )
            check_scalar(traced.outputs[0].shape, f"the result of {self.call.__name__}")
        tape = record(traced.outputs, traced.inputs)
        return self._build(tape, [p for group in traced_positions(self.call.f, self.call.argnums, args) for p in group])

    def __call__(self, *args: Any, out: Any = None) -> Any:
        args = fetched(self.machine, args)
        return self._prepared(examples(args)).run([leaf for leaf in flatten(args)[0] if is_traced(leaf)], out)


def _check_numbers(values: Sequence[Any]) -> None:
    if any(isinstance(v, Expr) for v in values):
        raise UnsupportedError(
            "a sparse derivative is a matrix of numbers; of expressions, or within another trace, leave sparse=True out"
        )
