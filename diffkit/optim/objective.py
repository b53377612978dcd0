"""A scalar function of a nest of parameters, seen as one of a flat vector: what line searches and Hessians are about.

The function is traced with the flat vector as its argument, so that a gradient is one array and a Hessian one matrix; every
program is traced and compiled once. Vectors are float64; leaves of float32 are float32 within the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import optree

from ..engines import check_engine
from ..engines import engine as find_engine
from ..engines.engine import gradient_only
from ..engines.forward import tangent_tape
from ..errors import ArgumentError, DtypeError, NotFiniteError, ShapeError, TracingError
from ..expr.trace import flatten, is_traced, names_of, trace_call
from ..machines import check_machine
from ..machines import machine as find_machine
from ..tape import record
from ..transforms import hessian, value_and_grad
from ..transforms.arguments import bind_names, distinct_variables, expression_of, is_text_or_expr
from ..transforms.programs import check_scalar


class Point(NamedTuple):
    """A vector, the value there and the gradient, a vector as well."""

    x: np.ndarray
    value: float
    gradient: np.ndarray

    @property
    def norm(self) -> float:
        """The largest entry of the gradient by size; NaN where one is."""
        return float(np.max(np.abs(self.gradient), initial=0.0))

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.norm)

    def times(self, scale: float) -> Point:
        """The same of the function times a number."""
        return self if scale == 1.0 else Point(self.x, scale * self.value, scale * self.gradient)


@dataclass(frozen=True)
class Layout:
    """How a nest lies in a flat vector: leaf after leaf, each in C order."""

    structure: Any
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]

    @classmethod
    def of(cls, tree: Any, what: str) -> Layout:
        """Integers count as float64. Raises DtypeError for a leaf that is not real."""
        leaves, structure = flatten(tree)
        names = names_of(tree, what)
        dtypes = []
        for name, leaf in zip(names, leaves, strict=True):
            dtype = np.asarray(leaf).dtype
            if dtype.kind not in "fiu" or dtype.itemsize > 8:
                given = "an expression" if is_traced(leaf) and dtype.kind == "O" else f"{type(leaf).__name__}, {dtype}"
                raise DtypeError(f"{name} is {given}; what is minimised by are real numbers, float64 or float32")
            dtypes.append(np.dtype("float32" if dtype.kind == "f" and dtype.itemsize < 8 else "float64"))
        if not leaves:
            raise ArgumentError(f"{what} holds no parameter")
        return cls(structure, tuple(names), tuple(np.shape(leaf) for leaf in leaves), tuple(dtypes))

    @cached_property
    def sizes(self) -> list[int]:
        return [math.prod(s) for s in self.shapes]

    @cached_property
    def size(self) -> int:
        return sum(self.sizes)

    @cached_property
    def plain(self) -> bool:
        """Whether the nest is a vector of float64 already."""
        return len(self.shapes) == 1 and self.one and self.dtypes[0] == np.float64 and len(self.shapes[0]) == 1

    @cached_property
    def one(self) -> bool:
        """Whether the nest is one array."""
        return bool(self.structure.is_leaf())

    @cached_property
    def eps(self) -> float:
        """The relative spacing of numbers within the function."""
        return max(float(np.finfo(d).eps) for d in self.dtypes)

    def flat(self, tree: Any, what: str) -> np.ndarray:
        """The vector of a nest like this one, always a new array. Raises ArgumentError or ShapeError for another."""
        leaves, structure = flatten(tree)
        if structure != self.structure:
            if self.one or len(leaves) == 1 == len(self.shapes):  # a list of numbers, as SciPy takes it
                leaves = [np.asarray(tree, np.float64)]
            else:
                raise ArgumentError(f"{what} must be structured as the parameters: {_brief(self.names)}")
        for leaf, name, shape in zip(leaves, self.names, self.shapes, strict=True):
            if np.shape(leaf) != shape:
                raise ShapeError(f"{what} has shape {np.shape(leaf)} where {name} has {shape}")
        if len(leaves) == 1:
            return np.array(leaves[0], np.float64).reshape(-1)
        return np.concatenate([np.asarray(leaf, np.float64).reshape(-1) for leaf in leaves])

    def pieces(self, x: Any) -> list[Any]:
        """The leaves as parts of a vector, which may be an expression; dtypes are the vector's."""
        if self.plain:
            return [x]
        ends = np.cumsum(self.sizes).tolist()
        return [x[e - n : e].reshape(shape) for e, n, shape in zip(ends, self.sizes, self.shapes, strict=True)]

    def nest(self, x: np.ndarray) -> Any:
        """The nest that a vector stands for, of arrays of its own; numbers for leaves without dims."""
        leaves = [p.astype(d)[()] for p, d in zip(self.pieces(x), self.dtypes, strict=True)]
        return optree.tree_unflatten(self.structure, leaves)

    def traced(self, x: Any) -> Any:
        """The nest within a trace."""
        leaves = [p if d == np.float64 else p.astype(d) for p, d in zip(self.pieces(x), self.dtypes, strict=True)]
        return optree.tree_unflatten(self.structure, leaves)

    def entry(self, k: int) -> str:
        """What element k of a vector is called: params.w[2, 0]."""
        for name, n, shape in zip(self.names, self.sizes, self.shapes, strict=True):
            if k < n:
                place = ", ".join(str(int(i)) for i in np.unravel_index(k, shape))
                return f"{name}[{place}]" if shape else name
            k -= n
        raise IndexError(k)


class Objective:
    """A scalar function of a nest like `x0`, of vectors; counts what it evaluates.

    f: a Python function of the nest and `args`, or an expression or text, of a dict by name. jac: None, diffkit's gradient; a
    callable, the gradient, f being called as it is; True: f gives (value, gradient); False: f is called as it is and has no
    gradient. hess, hessp: callables of (nest, *args) and (nest, vector, *args), in the place of diffkit's Hessian (n, n) and its
    products.
    """

    def __init__(
        self, f: Any, x0: Any, args: Sequence[Any] = (), *, jac: Any = None, hess: Any = None, hessp: Any = None,
        engine: str = "reverse", machine: str = "cpu",
    ) -> None:  # fmt: skip
        check_engine(engine)
        check_machine(machine)
        self.f, self.jac, self.hess, self.hessp, self.engine, self.machine = f, jac, hess, hessp, engine, machine
        self.args = tuple(args) if isinstance(args, (tuple, list)) else (args,)
        if is_text_or_expr(f):
            self.call = self._expression(f, x0)
        elif callable(f):
            self.call = f
        else:
            raise ArgumentError(f"a function, an expression or text is needed, not {type(f).__name__}")
        for name, given in (("jac", jac), ("hess", hess), ("hessp", hessp)):
            if not (given is None or callable(given) or (name == "jac" and isinstance(given, bool))):
                raise ArgumentError(f"{name} is a callable{', True, False' * (name == 'jac')} or None, not {given!r}")
        self.layout = Layout.of(x0, "x0")
        self.nfev = self.njev = self.nhev = 0
        self.eps = self.layout.eps

        def of_vector(x: Any, *args: Any) -> Any:
            """The function, within a trace."""
            return self.call(self.layout.traced(x), *args)

        # errors of a trace name the function: that is the caller's
        of_vector.__name__ = "the expression" if self.call is not f else getattr(f, "__name__", "the function")
        self.of_vector = of_vector

    def _expression(self, f: Any, x0: Any) -> Callable[[Any], Any]:
        expression = expression_of(f)
        if not isinstance(x0, Mapping):
            raise ArgumentError(
                f"the parameters of an expression are a dict by name, x0={{{', '.join(f'{v!r}: …' for v in _names(expression))}}}"
            )
        if self.args:
            raise ArgumentError("args belong to Python functions; an expression takes all its variables from x0")
        bind_names(_names(expression), (dict(x0),), {})
        return lambda nest: expression(dict(nest))

    # ---- values and gradients ----
    @cached_property
    def _value_and_gradient(self) -> Callable[..., Any]:
        return value_and_grad(self.of_vector, engine=self.engine, machine=self.machine)

    def point(self, x: np.ndarray) -> Point:
        """Value and gradient at a vector, which is kept, not copied."""
        self.nfev += 1
        self.njev += 1
        if self.jac is None:
            try:
                value, gradient = self._value_and_gradient(x, *self.args)
            except TracingError as problem:
                raise _untraceable(problem) from None
            return Point(x, float(value), gradient)
        if self.jac is False:
            raise ArgumentError("this method needs a gradient; with jac=False there is none")
        nest = self.layout.nest(x)
        if self.jac is True:
            value, gradient = self.call(nest, *self.args)
        else:
            value, gradient = self.call(nest, *self.args), self.jac(nest, *self.args)
        return Point(x, _number(value), self.layout.flat(gradient, "the gradient"))

    @cached_property
    def _value(self) -> Callable[[Sequence[Any]], Any]:
        run = find_machine(self.machine).compile(record(*self._traced))
        # without an array argument that is not exactly what the tape declares, the shorter way serves
        short = run.point() if hasattr(run, "point") and not self.args else run
        return lambda values: short(values)[0]

    def value(self, x: np.ndarray) -> float:
        if self.jac is None:
            result = self._value([x, *self._arguments])
        else:
            result = self.call(self.layout.nest(x), *self.args)
            result = result[0] if self.jac is True else result
        self.nfev += 1
        return _number(result)

    # ---- curvature ----
    @cached_property
    def _hessian(self) -> Callable[..., Any]:
        return hessian(self.of_vector, engine=self.engine, machine=self.machine)

    def hessian(self, x: np.ndarray) -> np.ndarray:
        """(n, n), dense."""
        self.nhev += 1
        if self.hess is not None:
            found = np.asarray(self.hess(self.layout.nest(x), *self.args), np.float64)
            if found.shape != (len(x), len(x)):
                raise ShapeError(
                    f"hess gives shape {found.shape} for {len(x)} parameters; the Hessian is ({len(x)}, {len(x)})"
                )
            return found
        self._check_second("hess")
        return self._hessian(x, *self.args)

    def product(self, x: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """The Hessian times a vector, without forming it: forward over reverse."""
        self.nhev += 1
        if self.hessp is not None:
            nest, vector = self.layout.nest(x), self.layout.nest(direction)
            return self.layout.flat(self.hessp(nest, vector, *self.args), "the product hessp gives")
        if self.hess is not None:
            self.nhev -= 1
            return self.hessian(x) @ direction
        self._check_second("hess or hessp")
        return np.asarray(self._product([x, *self._arguments, direction])[1], np.float64)

    @cached_property
    def _product(self) -> Callable[[Sequence[Any]], Any]:
        gradient = gradient_only(find_engine("reverse").program(record(*self._traced), [0]))
        run = find_machine(self.machine).compile(tangent_tape(gradient, [0]))
        return run.point() if hasattr(run, "point") and not self.args else run

    def _check_second(self, remedy: str) -> None:
        if self.jac is True or self.jac is False:
            raise ArgumentError(
                f"with jac={self.jac} diffkit does not differentiate f: this method needs {remedy}= as well"
            )

    @cached_property
    def _traced(self) -> tuple[list[Any], list[Any]]:
        """Output and inputs of a trace of the function."""
        try:
            traced = trace_call(self.of_vector, (np.zeros(self.layout.size), *self.args))
        except TracingError as problem:
            raise _untraceable(problem) from None
        if len(traced.outputs) != 1:
            raise ShapeError(f"one scalar result is needed, but the function returned {len(traced.outputs)}")
        check_scalar(traced.outputs[0].shape, "the result of the function")
        return traced.outputs, traced.inputs

    @cached_property
    def _arguments(self) -> list[Any]:
        return [leaf for leaf in flatten(self.args)[0] if is_traced(leaf)]

    # ---- where a search starts ----
    def start(self, x0: Any) -> Point:
        """The point to start from. Raises NotFiniteError, naming what is not finite there."""
        x = self.layout.flat(x0, "x0")
        if not np.isfinite(x).all():
            k = int(np.argmin(np.isfinite(x)))
            raise NotFiniteError(f"{self.layout.entry(k)} is {x[k]}: give a finite point to start from")
        at = self.point(x)
        if not math.isfinite(at.value):
            raise NotFiniteError(f"the function is {at.value} at x0: start where it is finite")
        if not at.finite:
            k = int(np.argmin(np.isfinite(at.gradient)))
            raise NotFiniteError(
                f"the derivative by {self.layout.entry(k)} is {at.gradient[k]} at x0, where the function is {at.value:.6g}: start "
                "where it has a derivative, or guard the operation (dk.lint shows where)"
            )
        return at


class Scaled(Objective):
    """Another objective times a number: what a step evaluates where squares of the gradient would leave the range of doubles.

    Evaluations count for the other one.
    """

    def __init__(self, objective: Objective, scale: float) -> None:
        self.objective, self.scale = objective, scale

    def point(self, x: np.ndarray) -> Point:
        return self.objective.point(x).times(self.scale)

    def value(self, x: np.ndarray) -> float:
        return self.scale * self.objective.value(x)

    def hessian(self, x: np.ndarray) -> np.ndarray:
        return self.scale * self.objective.hessian(x)

    def product(self, x: np.ndarray, direction: np.ndarray) -> np.ndarray:
        return self.scale * self.objective.product(x, direction)


def _names(expression: Any) -> list[str]:
    return [v.name for v in distinct_variables(expression)]


def _brief(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:8])}, … ({len(names)} leaves)"


def _number(value: Any) -> float:
    if np.size(value) != 1:
        raise ShapeError(f"one scalar result is needed, but the function gives shape {np.shape(value)}")
    return float(np.asarray(value).reshape(()))


def _untraceable(problem: TracingError) -> TracingError:
    return TracingError(
        f"{problem}\nA function that cannot be traced is minimised with a gradient of yours, jac=gradient (or jac=True where it "
        'gives (value, gradient)), or without one, method="scipy:Nelder-Mead" and jac=False',
        where=problem.where,
    )
