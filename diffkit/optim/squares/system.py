"""A residual as a function of one vector: its value and its exact Jacobian, made once and then only run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optree

from ...engines import cheaper_mode
from ...errors import ArgumentError, DtypeError, ShapeError
from ...expr.node import Expr
from ...expr.trace import flatten, is_traced, names_of, trace_call
from ...machines import machine as find_machine
from ...machines.protocol import as_input
from ...tape import Tape, record
from ...transforms.arguments import bind_names, distinct_variables
from ...transforms.programs import check_differentiable, make_program


class Unknowns:
    """The nest x0 as a vector of doubles, and back; `names` has one an element: a dict's own names, x[0] … otherwise.

    Raises DtypeError for a leaf that is no real number.
    """

    def __init__(self, x0: Any) -> None:
        leaves, self.structure = flatten(x0)
        leaf_names = [n.removeprefix(".") for n in names_of(x0, "" if isinstance(x0, dict) else "x")]
        if not leaves:
            raise ArgumentError(f"x0 has no parameters: it is {x0!r}")
        arrays = [_doubles(leaf, name) for leaf, name in zip(leaves, leaf_names, strict=True)]
        self.shapes = [a.shape for a in arrays]
        self.names = [
            name + (f"[{', '.join(map(str, at))}]" if at else "")
            for name, a in zip(leaf_names, arrays, strict=True)
            for at in np.ndindex(a.shape)
        ]
        self.start = np.concatenate([a.ravel() for a in arrays])
        ends = np.cumsum([0, *(a.size for a in arrays)]).tolist()
        self.slices = list(map(slice, ends, ends[1:]))

    def pieces(self, vector: np.ndarray) -> list[np.ndarray]:
        """The leaves as arrays, which are views."""
        return [vector[piece].reshape(shape) for piece, shape in zip(self.slices, self.shapes, strict=True)]

    def nest(self, vector: np.ndarray) -> Any:
        """The leaves as numbers and arrays of their own."""
        return optree.tree_unflatten(self.structure, [np.copy(p)[()] for p in self.pieces(vector)])

    def vector(self, given: Any, what: str) -> np.ndarray:
        """A nest like x0, or a number for all elements, as a vector."""
        if isinstance(given, (int, float)):
            return np.full(len(self.start), float(given))
        leaves, structure = flatten(given)
        shapes = [np.shape(leaf) for leaf in leaves]
        if structure != self.structure or shapes != self.shapes:
            raise ArgumentError(f"{what} must be one number or a nest with the structure and shapes of x0")
        return np.concatenate([_doubles(leaf, what).ravel() for leaf in leaves])


def _doubles(leaf: Any, name: str) -> np.ndarray:
    if isinstance(leaf, (bool, np.bool_, str, Expr)) or leaf is None or np.asarray(leaf).dtype.kind not in "fiu":
        raise DtypeError(f"x0 has {leaf!r} for {name}; an unknown is a real number or an array of them")
    return np.asarray(leaf, float)


class System:
    """Residuals of all observations as a vector (m,), and their Jacobian (m, n), by n unknowns.

    `root_weights`, (m,) or None, multiplies both.
    """

    def __init__(
        self, unknowns: Unknowns, tape: Tape, wrt: Sequence[int], values: list[Any], engine: str | None, machine: str
    ) -> None:
        """values: the tape's inputs in order, with anything in the places `wrt`, which the unknowns' leaves take."""
        self.unknowns, self._wrt, self._values = unknowns, list(wrt), values
        outputs = sum(math.prod(tape.kinds[o].shape) for o in tape.outputs)
        engine = engine or cheaper_mode(len(unknowns.start), outputs)
        where = find_machine(machine)
        self._value = where.compile(tape)
        self._derivative = make_program(tape, wrt, engine, 1).on(where)
        first = self._value(self._at(unknowns.start))
        #: shape of the residuals, where they are one array
        self.shape = first[0].shape if len(first) == 1 else (sum(o.size for o in first),)
        self.root_weights: np.ndarray | None = None

    def _at(self, vector: np.ndarray) -> list[Any]:
        values = self._values
        for position, leaf in zip(self._wrt, self.unknowns.pieces(vector), strict=True):
            values[position] = leaf
        return values

    def residuals(self, vector: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            r = _joined(self._value(self._at(vector)))
        return r if self.root_weights is None else self.root_weights * r

    def linearised(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(residuals, Jacobian)."""
        with np.errstate(all="ignore"):
            outputs, blocks = self._derivative(self._at(vector))
        r = _joined(outputs)
        jacobian = np.empty((len(r), len(vector)))
        row = 0
        for output, columns in zip(outputs, blocks, strict=True):
            rows = np.size(output)
            for block, piece in zip(columns, self.unknowns.slices, strict=True):
                jacobian[row : row + rows, piece] = np.reshape(block, (rows, piece.stop - piece.start))
            row += rows
        if self.root_weights is not None:
            r = self.root_weights * r
            jacobian *= self.root_weights[:, None]
        return r, jacobian


def _joined(outputs: Sequence[Any]) -> np.ndarray:
    if len(outputs) == 1:
        return np.asarray(outputs[0], float).reshape(-1)
    return np.concatenate([np.asarray(o, float).reshape(-1) for o in outputs])


def of_expression(f: Expr, x0: Any, data: Any, engine: str | None, machine: str) -> System:
    """Parameters and data by name; data have loop dims, one residual a point."""
    if not isinstance(x0, Mapping):
        raise ArgumentError(f'x0 of an expression is a dict by name, such as {{"a": 1.0}}, not {type(x0).__name__}')
    if isinstance(data, tuple) and not data:
        data = {}
    if not isinstance(data, Mapping):
        raise ArgumentError(f"data of an expression are a dict by name, not {type(data).__name__}")
    twice = [name for name in x0 if name in data]
    if twice:
        raise ArgumentError(f"{twice[0]!r} is in x0 and in data; it is either fitted or given")
    variables = distinct_variables(f)
    names = [v.name for v in variables]
    given = bind_names(names, ({**x0, **data},), {})
    unknowns = Unknowns(x0)
    fitted = [n.removeprefix(".") for n in names_of(x0, "")]
    if sorted(fitted) != sorted(x0):
        nested = next(n for n in x0 if n not in fitted)
        raise ArgumentError(f"x0 has {x0[nested]!r} for {nested!r}; an expression takes a number or an array there")
    by_name = dict(zip(names, variables, strict=True))
    check_differentiable([by_name[n] for n in fitted])
    for name, shape in zip(fitted, unknowns.shapes, strict=True):
        if shape != by_name[name].shape:
            raise ShapeError(
                f"the parameter {name!r} has core shape {by_name[name].shape}, but x0 has shape {shape} for it; only data have "
                "loop dims"
            )
    values = [
        None if v.name in x0 else as_input(given[v.name], v.name, v.shape, "float64" if v.dtype == "weak" else v.dtype)
        for v in variables
    ]
    return System(unknowns, record(f, variables), [names.index(n) for n in fitted], list(values), engine, machine)


def of_function(f: Any, x0: Any, data: Any, engine: str | None, machine: str) -> System:
    """`f(x, *data)` gives an array of residuals, or a nest of arrays."""
    unknowns = Unknowns(x0)
    extra = tuple(data) if isinstance(data, (tuple, list)) else (data,)
    traced = trace_call(f, (unknowns.nest(unknowns.start), *extra))
    name = getattr(f, "__name__", "the function")
    for o in traced.outputs:
        if o.dtype in ("bool", "int64"):
            raise DtypeError(f"{name} returned residuals of dtype {o.dtype}; they must be floating-point numbers")
    if traced.captured:
        raise ArgumentError(f"{name} uses variables of a trace that is still going on; least_squares needs numbers")
    if not traced.outputs:
        raise ShapeError(f"{name} returned no residuals")
    given = [leaf for leaf in flatten(extra)[0] if is_traced(leaf)]
    count = len(unknowns.shapes)
    tape = record(traced.outputs, traced.inputs, [f"output{k}" for k in range(len(traced.outputs))])
    return System(unknowns, tape, range(count), [*[None] * count, *given], engine, machine)
