"""Shared by the tests: cases made from the op table, points to test them at, and running tapes on the `numpy` machine."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from typing import Any

import helpers_oracles as oracles
import numpy as np
import pytest
from mpmath import mpf

from diffkit.check.gradients.functions.expressions import ExprFunction
from diffkit.check.operations.measuring import Measured, measured
from diffkit.engines import engine as find_engine
from diffkit.expr.functions import RULES
from diffkit.expr.node import Expr, variable
from diffkit.machines import machine as find_machine
from diffkit.machines.cpu import set_tier
from diffkit.numerics import tiniest, unit_roundoff
from diffkit.ops import TABLE, Op
from diffkit.tape import Tape, expressions, record

DTYPES = ("float64", "float32")
NUMPY = find_machine("numpy")
#: the engines that read the table's derivative rules
RULE_ENGINES = ("forward", "reverse")


def engine_or_skip(name: str) -> Any:
    """An engine; a skip while its module is still being written."""
    if importlib.util.find_spec(f"diffkit.engines.{name}") is None:
        pytest.skip(f"the {name} engine is not there yet")
    return find_engine(name)


def run(tape: Tape, *values: Any, machine: Any = NUMPY) -> list[np.ndarray]:
    return machine.compile(tape)(list(values))


# ---- one elementwise operation as a case --------------------------------------------------------------------------
@dataclass(frozen=True)
class Case:
    """An elementwise operation with its parameters; `oracle` gives its value over mpmath numbers."""

    op: Op
    params: dict[str, Any] = field(default_factory=dict, hash=False)
    oracle: Callable[..., Any] | None = field(default=None, hash=False)

    @property
    def id(self) -> str:
        return "-".join(
            [self.op.name, *(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in self.params.items())]
        )

    @property
    def conditions(self) -> tuple[int, ...]:
        return oracles.CONDITIONS.get(self.op.name, ())

    @property
    def numeric(self) -> list[int]:
        """Positions of the arguments that are numbers."""
        return [k for k in range(self.op.arity or 0) if k not in self.conditions]

    def exact(self, *args: Any) -> Any:
        return (self.oracle or oracles.ELEMENTWISE[self.op.name])(*args, **self.params)

    def variables(self, dtype: str) -> list[Expr]:
        return [variable(f"x{k}", dtype="bool" if k in self.conditions else dtype) for k in range(self.op.arity or 0)]

    def expression(self, dtype: str = "float64") -> Expr:
        return RULES.primitive(self.op.name, *self.variables(dtype), **self.params)

    def tape(self, dtype: str) -> Tape:
        return record(self.expression(dtype), self.variables(dtype))

    def columns(self, dtype: str) -> list[np.ndarray]:
        return _columns(self, dtype)

    def truths(self, dtype: str) -> list[mpf | None]:
        return _truths(self, dtype)

    def slopes(self, dtype: str, k: int) -> list[mpf | None]:
        """The derivative by argument k at every point; None where there is none."""
        return _slopes(self, dtype, k)


#: their derivatives go through x², whose overflow (in float32 from 1.8e19) leaves an infinite, that is an honest, error bar
SQUARED_ON_THE_WAY = ("erf", "erfc", "arctan")


@cache
def _columns(case: Case, dtype: str) -> list[np.ndarray]:
    columns = list(points(case, dtype))
    if dtype == "float32" and case.op.name in SQUARED_ON_THE_WAY:
        columns = [np.clip(c, -1e18, 1e18) for c in columns]
    return columns


@cache
def _truths(case: Case, dtype: str) -> list[mpf | None]:
    return oracles.values_on(case.exact, case.columns(dtype))


@cache
def _slopes(case: Case, dtype: str, k: int) -> list[mpf | None]:
    orders = [int(j == k) for j in range(case.op.arity or 0)]
    at_kink = kinks_at(case, dtype)
    return [
        None if kink or truth is None else oracles.derivative(case.exact, point, orders)
        for point, truth, kink in zip(zip(*case.columns(dtype), strict=True), case.truths(dtype), at_kink, strict=True)
    ]


@cache
def cases() -> tuple[Case, ...]:
    """Every elementwise operation of the table, with each set of parameters worth testing."""
    return tuple(
        Case(op, params)
        for op in TABLE.values()
        if op.family == "elementwise"
        for params in oracles.VARIANTS.get(op.name, [dict(op.params)])
    )


def differentiable_cases() -> list[Case]:
    """Those whose derivative is that of the value."""
    return [c for c in cases() if c.op.differentiable and not c.op.detached]


def each(items: Sequence[Case]) -> Any:
    return pytest.mark.parametrize("case", items, ids=lambda c: c.id)


# ---- points -------------------------------------------------------------------------------------------------------
#: places where implementations go wrong: near 1, at tiny and huge arguments, near zeros and overflow thresholds
_AWKWARD = np.array([
    0.0, 1.0, 0.5, np.nextafter(1, 2), np.nextafter(1, 0), 1e-300, 1e-30, 1e-16, 1e-8, 1e-4, 0.1, 2.0, 3.0, 10.0, 18.5,
    36.0, 88.0, 500.0,
    700.0, np.pi, np.pi / 2, 1e8, 1e15, 1e22,
])  # fmt: skip


def _inside(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: (x > low) & (x < high)


def _ordinary(rng: np.random.Generator, low: float, high: float, n: int) -> np.ndarray:
    spread = 10.0 ** rng.uniform(-5, 2, n)
    if np.isinf(low) and np.isinf(high):
        return np.where(rng.random(n) < 0.5, 2 * rng.standard_normal(n), spread * rng.choice([-1, 1], n))
    if np.isinf(high):
        return low + spread
    return low + (high - low) * np.where(rng.random(n) < 0.6, rng.random(n), 10.0 ** -rng.uniform(1, 8, n))


def _awkward(low: float, high: float) -> np.ndarray:
    near = [np.nextafter(low, np.inf), low + 1e-9, low + 1e-4] if np.isfinite(low) else []
    near += [np.nextafter(high, -np.inf), high - 1e-9] if np.isfinite(high) else []
    candidates = np.concatenate([_AWKWARD, -_AWKWARD, near]) + 0.0  # no -0.0: mpmath has none
    return np.unique(candidates[_inside(low, high)(candidates)])


def points(case: Case, dtype: str, ordinary: int = 16) -> Iterator[np.ndarray]:
    """One column of values an argument: ordinary points first, then awkward ones, then those outside the intervals."""
    rng = np.random.default_rng(zlib.crc32(case.id.encode()))
    arity = case.op.arity or 0
    intervals = case.op.intervals or ((-np.inf, np.inf),) * arity
    awkward = [_awkward(*i) for i in intervals]
    count = len(awkward[0]) if arity == 1 else 2 * max(map(len, awkward))
    more = np.array(oracles.MORE_POINTS.get(case.op.name, []), float).reshape(-1, arity)
    columns = []
    for k, (low, high) in enumerate(intervals):
        chosen = awkward[k] if arity == 1 else rng.choice(awkward[k], count)
        column = np.concatenate([_ordinary(rng, low, high, ordinary), chosen, more[:, k]])
        columns.append(rng.random(len(column)) < 0.5 if k in case.conditions else column)
    with np.errstate(over="ignore"):
        columns = [
            c if c.dtype == bool else c.astype(dtype) + 0 for c in columns
        ]  # (+ 0: a tiny negative has become -0.0)
    keep = np.all([np.isfinite(c) for c in columns], axis=0)
    for c, (low, high) in zip(columns, intervals, strict=True):
        if c.dtype != bool and len(more) == 0:
            keep &= _inside(low, high)(c.astype(float))  # rounding to float32 may reach an end
    return (c[keep] for c in columns)


def kinks_at(case: Case, dtype: str) -> np.ndarray:
    """Where a switching quantity of the operation is zero."""
    columns = case.columns(dtype)
    at = np.zeros(len(columns[0]), bool)
    if case.op.kinks is not None:
        for q in case.op.kinks(RULES, *case.variables(dtype), **case.params):
            if isinstance(q, Expr):
                at |= run(record(q, case.variables(dtype)), *columns)[0] == 0
    return at


def tame(case: Case, shape: tuple[int, ...], dtype: str = "float64", salt: str = "") -> list[np.ndarray]:
    """Values well inside the intervals, one array an argument."""
    rng = np.random.default_rng(zlib.crc32(f"{case.id}{salt}".encode()))
    columns = []
    for k, (low, high) in enumerate(case.op.intervals or ((-np.inf, np.inf),) * (case.op.arity or 0)):
        if k in case.conditions:
            columns.append(rng.random(shape) < 0.5)
        elif np.isinf(low):
            columns.append((rng.uniform(0.3, 1.2, shape) * rng.choice([-1, 1], shape)).astype(dtype))
        else:
            columns.append((low + (1.5 if np.isinf(high) else high - low) * rng.uniform(0.2, 0.8, shape)).astype(dtype))
    return columns


def special(dtype: str) -> np.ndarray:
    least, most = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    return np.array([0.0, -0.0, 1, -1, 2, least, -least, most, -most, np.inf, -np.inf, np.nan], dtype)


def special_columns(case: Case, dtype: str) -> list[np.ndarray]:
    options = [[True, False] if k in case.conditions else special(dtype) for k in range(case.op.arity or 0)]
    return [np.array(c) for c in zip(*product(*options), strict=True)]


# ---- judging ------------------------------------------------------------------------------------------------------
def granted(case: Case, columns: Sequence[np.ndarray], out: np.ndarray, dtype: str) -> np.ndarray:
    """The error that the rounding bound takes for granted of one operation: 8·u·M."""
    with np.errstate(all="ignore"):
        magnitude = np.abs(out) if case.op.magnitude is None else case.op.magnitude(out, *columns, **case.params)
        return 8 * unit_roundoff(dtype) * np.asarray(magnitude, float) + tiniest(dtype)


@dataclass
class Verdicts:
    """What was wrong, and how many points were judged (a test that judges none must fail)."""

    wrong: list[str] = field(default_factory=list)
    judged: int = 0

    def judge(self, what: str, point: Sequence[Any], computed: Any, truth: mpf, allowed: float, dtype: str) -> None:
        """Fail-closed: anything but a proven small error is wrong. Beyond the largest number an infinity is right.

        A truth in the subnormal range may come out as zero: first-order bounds know nothing of underflow on the way.
        """
        self.judged += 1
        least = float(np.finfo(dtype).smallest_normal)
        if abs(truth) < least:
            allowed = max(allowed, least)
        if abs(truth) > oracles.MAX[dtype]:
            ok = (bool(np.isinf(computed)) and (computed > 0) == (truth > 0)) or abs(computed) >= 0.9999 * float(
                oracles.MAX[dtype]
            )
        else:
            ok = bool(np.isfinite(computed)) and np.isfinite(allowed) and oracles.error(computed, truth) <= allowed
        if not ok:
            shown = ", ".join(repr(p.item()) for p in point)
            self.wrong.append(f"{what} at ({shown}): {computed!r}, truth {float(truth)!r}, allowed error {allowed:.3g}")

    @cached_property
    def text(self) -> str:
        return f"{len(self.wrong)} of {self.judged} wrong:\n" + "\n".join(self.wrong[:12])


def value_verdicts(case: Case, dtype: str, tape: Tape | None = None, machine: Any = NUMPY) -> Verdicts:
    """Values of the operation (or of `tape`, which should be the same function) against the oracle."""
    columns = case.columns(dtype)
    (computed,) = run(tape or case.tape(dtype), *columns, machine=machine)
    verdicts = Verdicts()
    if computed.dtype != case.expression(dtype).dtype:
        verdicts.wrong.append(f"dtype {computed.dtype}")
    allowed = granted(case, columns, computed, dtype) if case.op.result != "bool" else np.zeros(len(computed))
    for point, y, truth, e in zip(zip(*columns, strict=True), computed, case.truths(dtype), allowed, strict=True):
        if truth is not None:
            verdicts.judge(case.id, point, y, truth, e, dtype)
    return verdicts


#: bars wider than this (in units of roundoff of the derivative, as the median over points) would hide a wrong rule
LOOSE = 2000


def slope_verdicts(case: Case, dtype: str, engine: str, machine: Any = NUMPY) -> Verdicts:
    """Partials by an engine against differences of the oracle, within the engine's own error bars."""
    columns, tape = case.columns(dtype), case.tape(dtype)
    program = find_engine(engine).program(tape, case.numeric)
    _, (blocks,) = program.on(machine)(columns)
    (bars,) = program.bars(machine, columns)
    verdicts = Verdicts()
    for k, block, bar in zip(case.numeric, blocks, bars, strict=True):
        if block.dtype != dtype:
            verdicts.wrong.append(f"by x{k}: dtype {block.dtype}")
        widths = []
        for point, d, truth, e in zip(zip(*columns, strict=True), block, case.slopes(dtype, k), bar, strict=True):
            if truth is None:
                continue
            verdicts.judge(f"{case.id} by x{k}", point, d, truth, e, dtype)
            if truth != 0 and np.isfinite(e):
                widths.append(float(mpf(float(e)) / abs(truth)) / unit_roundoff(dtype))
        if widths and not np.median(widths) <= LOOSE:
            verdicts.wrong.append(f"by x{k}: bars are {np.median(widths):.3g} u wide")
    return verdicts


def differences(
    tape: Tape, values: Sequence[Any], wrt: Sequence[int], v: Sequence[np.ndarray], jv: np.ndarray
) -> Measured:
    """What differences of the tape's values along v say of the tangent jv."""
    (f,) = expressions(tape)
    names = [tape.kinds[i].kwargs["name"] for i in tape.inputs]
    used = [k for k in range(len(names)) if names[k] in f.variables]
    function = ExprFunction(f, {names[k]: values[k] for k in used}, None)
    line = [np.ravel(v[list(wrt).index(k)]) for k in used if names[k] in [leaf.name for leaf in function.leaves]]
    return measured(function, np.concatenate(line)[None], np.ravel(jv)[None])


def same_bits_in_both_tiers(executable: Any, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The answers of the interpreter and of compiled kernels, compared; of NaN only that it is one."""
    found = []
    for tier in ("interpreted", "fused"):
        set_tier(tier)
        found.append([a.copy() for a in executable(values)])
    for a, b in zip(*found, strict=True):
        assert a.dtype == b.dtype
        if a.dtype.kind == "f":
            a, b = (np.where(np.isnan(x), np.nan, x) for x in (a, b))
        assert a.tobytes() == b.tobytes()
    return found[1]
