"""The operation under check, and the points it is checked at."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from ...errors import ArgumentError, DiffkitError, OpError
from ...expr.functions import RULES
from ...expr.node import Expr, variable
from ...expr.publishing import COMPOSITIONS
from ...machines import machine
from ...ops import TABLE, Op
from ...tape import Tape, record

#: points drawn inside the domain, and where they are looked for if the record names no interval
ORDINARY, NEAR_ENDS = 20, 1e-4
#: arguments at which functions are often special, and large ones
NOTED = (0.0, 1.0, -1.0, 0.5, 2.0, -2.0)
LARGE = (30.0, -30.0, 700.0, -700.0, 1e8, -1e8)
#: combinations of the extreme numbers, at most
MOST_EXTREME = 200
#: core shapes that a structured operation is tried with
SHAPES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((3,), (3,)), ((2, 3), (3, 2)), ((3, 3), (3,)), ((3, 3), (3, 3)), ((1, 2, 4, 4), (2, 2, 3, 3)),
)  # fmt: skip


def find(op: Any) -> Op:
    """The record of a name, of a function of the table, or a record itself. OpError for anything else, saying what to do."""
    if isinstance(op, Op):
        return op
    name = op if isinstance(op, str) else getattr(op, "__name__", "")
    if name in TABLE:
        found = TABLE[name]
        if found.family == "leaf":
            raise OpError(f"{name} is a leaf of expressions and has no rule to check")
        return found
    if name in COMPOSITIONS:
        raise OpError(f"{name} is written with other operations and has no rule of its own; check_gradient checks it")
    near = difflib.get_close_matches(name, list(TABLE), 3)
    hint = f"; there is {', '.join(near)}" if near else "; dk.register_op enters one"
    raise OpError(f"there is no operation {name or op!r}{hint}")


def argument_names(op: Op, count: int) -> tuple[str, ...]:
    """As the rules call their arguments; x0, x1, … where they do not say."""
    for rule, leading in ((op.partials, 2), (op.lower, 1), (op.numpy, 0)):
        try:
            given = [
                p.name for p in inspect.signature(rule).parameters.values()  # type: ignore[arg-type]
                if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
            ][leading : leading + count]  # fmt: skip
        except (TypeError, ValueError):
            continue
        if len(given) == count and all(n.isidentifier() for n in given):
            return tuple(given)
    return tuple(f"x{k}" for k in range(count))


@dataclass
class Subject:
    """An operation with its parameters and arguments; values: (points, *core) of each argument, by name."""

    op: Op
    params: Mapping[str, Any]
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    values: dict[str, np.ndarray]
    dtype: str = "float64"
    #: (points,): neither at the ends of the domain nor at extreme numbers
    ordinary: np.ndarray = field(default_factory=lambda: np.ones(1, bool))

    @property
    def elementwise(self) -> bool:
        return self.op.family == "elementwise"

    @property
    def columns(self) -> list[np.ndarray]:
        return [self.values[n] for n in self.names]

    @property
    def points(self) -> int:
        return len(self.columns[0])

    @property
    def variables(self) -> list[Expr]:
        return [
            variable(n, s, self.dtype if v.dtype.kind == "f" else str(v.dtype))
            for n, s, v in zip(self.names, self.shapes, self.columns, strict=True)
        ]

    @property
    def numeric(self) -> list[int]:
        """Positions of the arguments that are differentiated by."""
        return [k for k, c in enumerate(self.columns) if c.dtype.kind == "f"]

    @property
    def expression(self) -> Expr:
        return RULES.primitive(self.op.name, *self.variables, **self.params)

    @property
    def tape(self) -> Tape:
        variables = self.variables
        return record(RULES.primitive(self.op.name, *variables, **self.params), variables, as_written=True)

    def run(self, tape: Tape | None = None, on: str = "numpy") -> np.ndarray:
        """(points, *core of the result): of the operation, or of a tape of the same inputs."""
        tape = self.tape if tape is None else tape
        with np.errstate(all="ignore"):
            value = machine(on).compile(tape)(self.columns)[0]
        return np.broadcast_to(value, (self.points, *tape.kinds[tape.outputs[0]].shape))

    def at(self, keep: np.ndarray) -> Subject:
        """At some of the points."""
        return replace(self, values={n: v[keep] for n, v in self.values.items()}, ordinary=self.ordinary[keep])

    def rounded(self, dtype: str) -> Subject:
        """At the points rounded to another dtype, those of them that it has and that do not fall onto an end of an interval."""
        with np.errstate(over="ignore"):
            values = {n: v.astype(dtype) if v.dtype.kind == "f" else v for n, v in self.values.items()}
        keep = np.ones(self.points, bool)
        for (low, high), old, new in zip(self._intervals(), self.columns, values.values(), strict=False):
            keep &= np.isfinite(new) | ~np.isfinite(old)
            keep &= (old <= low) | (old >= high) | ((new > low) & (new < high)) | ~np.isfinite(old)
        return replace(self, values=values, dtype=dtype).at(keep)

    def _intervals(self) -> tuple[tuple[float, float], ...]:
        return self.op.intervals if self.elementwise else ()

    def point(self, i: int) -> dict[str, Any]:
        """The arguments at a point, for messages."""
        return {n: v[i] for n, v in self.values.items()}


def drawn(op: Op, params: Mapping[str, Any] | None, at: Any, shapes: Any, seed: int) -> Subject:
    """Raises OpError where no arguments can be found, ArgumentError where those that are given do not fit."""
    try:
        given = {**op.params, **dict(op.bind(params or {}))}
    except TypeError as problem:
        raise OpError(str(problem)) from None
    if at is not None:
        return _given(op, given, at, shapes)
    random = np.random.default_rng([seed, 23])
    if op.family == "elementwise":
        return _elementwise(op, given, random)
    if op.family == "reduction" and "axes" not in (params or {}):
        given["axes"] = (-1,)
    return _structured(op, given, shapes, random)


def _given(op: Op, params: dict[str, Any], at: Any, shapes: Any) -> Subject:
    """The user's point or points: a number, or (points,) of them, an argument; (*core) of a structured operation."""
    values = list(at.values()) if isinstance(at, Mapping) else list(at) if isinstance(at, (tuple, list)) else [at]
    if op.arity is not None and len(values) != op.arity:
        raise ArgumentError(f"{op.name} has {op.arity} arguments; at= gives {len(values)}")
    names = argument_names(op, len(values))
    if isinstance(at, Mapping):
        if set(at) != set(names) and set(at) != {f"x{k}" for k in range(len(names))}:
            raise ArgumentError(f"at= names {', '.join(at)}; the arguments of {op.name} are {', '.join(names)}")
        values = [at[n] if n in at else at[f"x{k}"] for k, n in enumerate(names)]
    arrays = [_typed(v) for v in values]
    if op.family != "elementwise":
        own = tuple(a.shape for a in arrays)
        if shapes is not None and tuple(map(tuple, shapes)) != own:
            raise ArgumentError(f"at= has arrays of shapes {own}, shapes= says {shapes}")
        return Subject(op, params, names, own, {n: a[None] for n, a in zip(names, arrays, strict=True)})
    try:
        columns = np.broadcast_arrays(*(a.reshape(-1) for a in arrays))
    except ValueError:
        raise ArgumentError(f"{op.name}: at= gives arguments at different numbers of points") from None
    found = {n: np.array(c) for n, c in zip(names, columns, strict=True)}
    return Subject(op, params, names, ((),) * len(names), found, ordinary=np.ones(len(columns[0]), bool))


def _typed(v: Any) -> np.ndarray:
    array = np.asarray(v)
    return array if array.dtype == bool else array.astype(np.int64 if array.dtype.kind in "iu" else np.float64)


# ---- elementwise --------------------------------------------------------------------------------------------------
def _elementwise(op: Op, params: dict[str, Any], random: np.random.Generator) -> Subject:
    arity = op.arity or 0
    if not arity:
        raise OpError(f"{op.name} has no argument, so there is nothing to check")
    names = argument_names(op, arity)
    intervals = op.intervals or ((-np.inf, np.inf),) * arity
    ordinary = [_inside(low, high, random) for low, high in intervals]
    special = [_special(low, high) for low, high in intervals]
    count = max(map(len, special)) * min(arity, 2)
    columns = []
    for k in range(arity):
        chosen = special[k] if arity == 1 else random.choice(special[k], count)
        column = np.concatenate([ordinary[k], chosen])
        columns.append(random.random(len(column)) < 0.5 if k < op.conditions else column + 0.0)
    made = Subject(op, params, names, ((),) * arity, dict(zip(names, columns, strict=True)))
    made.ordinary = np.arange(made.points) < ORDINARY
    # without intervals the domain is where the value is a number
    defined = np.isfinite(made.run()) if op.result == "float" else np.ones(made.points, bool)
    if not op.intervals and made.ordinary.any() and defined[:ORDINARY].sum() < ORDINARY // 4:
        raise OpError(
            f"{op.name} is a number at {int(defined[:ORDINARY].sum())} of {ORDINARY} points drawn from all reals: "
            "state intervals=, one an argument, in its record, or give at="
        )
    return made


def _inside(low: float, high: float, random: np.random.Generator) -> np.ndarray:
    if np.isinf(low) and np.isinf(high):
        wide = random.choice([-1.0, 1.0], ORDINARY) * 10.0 ** random.uniform(-2, 1, ORDINARY)
        return np.where(random.random(ORDINARY) < 0.6, 2 * random.standard_normal(ORDINARY), wide)
    if np.isinf(high):
        return low + 10.0 ** random.uniform(-2, 1.3, ORDINARY)
    if np.isinf(low):
        return high - 10.0 ** random.uniform(-2, 1.3, ORDINARY)
    return low + (high - low) * random.uniform(0.01, 0.99, ORDINARY)


def _special(low: float, high: float) -> np.ndarray:
    """Noted and large arguments inside the interval, and some near its ends."""
    ends = [e + s * NEAR_ENDS * max(1.0, abs(e)) for e, s in ((low, 1), (high, -1)) if np.isfinite(e)]
    ends += [np.nextafter(e, -s * np.inf) for e, s in ((low, -1), (high, 1)) if np.isfinite(e)]
    candidates = np.array([*NOTED, *LARGE, *ends])
    return candidates[(candidates > low) & (candidates < high)]


def extremes(subject: Subject) -> Subject:
    """Zeros of both signs, the smallest and the largest numbers, infinities and NaN, in combinations."""
    info = np.finfo(subject.dtype)
    numbers = [0.0, -0.0, 1.0, info.smallest_subnormal, info.max, -info.max, np.inf, -np.inf, np.nan]
    options = [[True, False] if c.dtype == bool else numbers for c in subject.columns]
    rows = list(product(*options))
    rows = rows[:: -(-len(rows) // MOST_EXTREME)]
    columns = (np.array(c, v.dtype) for c, v in zip(zip(*rows, strict=True), subject.columns, strict=True))
    return replace(
        subject, values=dict(zip(subject.names, columns, strict=True)), ordinary=np.zeros(len(rows), bool)
    )  # fmt: skip


# ---- structured ---------------------------------------------------------------------------------------------------
def _structured(op: Op, params: dict[str, Any], shapes: Any, random: np.random.Generator) -> Subject:
    count = op.arity or 2
    tried = [tuple(map(tuple, shapes))] if shapes is not None else [_enough(s, count) for s in SHAPES]
    why = ""
    for own in tried:
        for positive in (False, True):
            made = _of_shapes(op, params, own, random, positive)
            try:
                value = made.run()
            except (DiffkitError, TypeError, ValueError, IndexError, KeyError, AttributeError) as problem:
                why = f": {type(problem).__name__}: {problem}"
                break
            if value.size and np.isfinite(value).all():
                return made
            why = ": its value is not finite there"
    said = f"shapes {', '.join(map(str, tried[0]))}" if shapes is not None else "the shapes that are tried"
    raise OpError(f"{op.name} cannot be run with {said}{why}\ngive shapes= or at=, and params= where it needs some")


def _enough(shapes: Sequence[tuple[int, ...]], count: int) -> tuple[tuple[int, ...], ...]:
    return tuple(shapes[min(k, len(shapes) - 1)] for k in range(count))


def _of_shapes(
    op: Op, params: dict[str, Any], shapes: tuple[tuple[int, ...], ...], random: np.random.Generator, positive: bool
) -> Subject:
    """positive: square matrices are symmetric and positive definite."""
    names = argument_names(op, len(shapes))
    values = {}
    for k, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        value = random.uniform(0.3, 1.5, shape) * random.choice([-1.0, 1.0], shape)
        if positive and len(shape) > 1 and shape[-1] == shape[-2]:
            value = value @ np.swapaxes(value, -1, -2) + np.eye(shape[-1])
        if k < op.conditions:
            value = value > 0
        elif op.indices is not None and k >= op.indices:
            value = random.integers(0, max(1, min(shapes[0], default=1)), shape)
        values[name] = np.asarray(value)[None]
    return Subject(op, params, names, shapes, values)
