"""Parts of a function (operations, submodules, equations) are checked alone, at the arguments that they have in the call.

A part is wrong if, along a random direction of some argument, its own derivative rule and differences of its values disagree. So
a wrong rule is found wherever it stands, whatever lies before and behind it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from types import FrameType

import numpy as np

from ....errors import Place, module_of
from ..evidence import Tolerances
from ..functions.function import Function
from ..numeric import SMOOTH, STEP, Differences, Estimates, scales, surroundings
from ..numeric.directions import Dense

#: a part is wrong where it is off by so many tolerances, along two directions: it is only asked for suspects
CLEARLY = 4.0
#: packages that lie between the user's code and an operation
_BETWEEN = frozenset(
    {"contextlib", "diffkit", "functools", "importlib", "jax", "jaxlib", "numpy", "optree", "threading", "torch"}
)


@dataclass(frozen=True)
class Blame:
    """A part whose derivative is wrong. `str()` is a sentence and a place."""

    #: the operation, submodule, autograd.Function, custom_vjp or primitive
    what: str
    #: file, line and text of the user's code, or the instruction as text; "" where nobody knows
    place: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.what}: {self.evidence}" + (f"\n{self.place}" if self.place else "")


def blame(function: Function, point: np.ndarray | None = None) -> list[Blame]:
    """The parts that are wrong, in the order of the computation; none where all are right, or where parts cannot be told.

    Meant for a function whose own gradient was found wrong at `point` (all entries; its own point by default). Parts that cannot be
    checked alone are not blamed.
    """
    at = function.point if point is None else np.asarray(point, np.float64)
    if function.framework == "torch":
        from .torch import blame_torch

        return blame_torch(function, at)  # type: ignore[arg-type]
    if function.framework == "jax":
        from .jax import blame_jax

        return blame_jax(function, at)  # type: ignore[arg-type]
    from .expressions import blame_expressions

    return blame_expressions(function, at)


# ---- a part alone ----
@dataclass(frozen=True)
class Misfit:
    """The derivative of a random sum of a part's outputs along a random direction of one of its arguments."""

    leaf: str
    given: float
    expected: float
    bar: float

    def __str__(self) -> str:
        return (
            f"along a random direction of {self.leaf} its rule gives {self.given:.8g}, "
            f"differences of its values {self.expected:.8g} ± {self.bar:.1g}"
        )


class _Summed(Function):
    """One output: the sum of a function's outputs by weights."""

    def __init__(self, function: Function, weights: np.ndarray) -> None:
        super().__init__()
        self.function, self.weights = function, weights
        self.name, self.leaves, self.point = function.name, function.leaves, function.point
        self.out_shapes, self.dtype, self.events = [()], function.dtype, function.events

    def values(self, points: Iterable[np.ndarray]) -> np.ndarray:
        with np.errstate(all="ignore"):
            return (self.function.values(points) @ self.weights)[:, None]


def misfit(function: Function, seed: int = 0, only: Collection[str] | None = None) -> Misfit | None:
    """Where a part's own gradient is wrong, if it is; None also where that cannot be told. only: names of the leaves to look at.

    Errors of a part that cannot be called or differentiated alone pass.
    """
    value = function.start()
    random = np.random.default_rng([seed, 7])
    weights = random.uniform(0.5, 1.5, value.size) * random.choice([-1.0, 1.0], value.size)
    leaves = [leaf for leaf in function.leaves if leaf.size and (only is None or leaf.name in only)]
    if not leaves or not np.isfinite(value).all():
        return None
    given = function.gradient(function.point, weights[None])
    summed = _Summed(function, weights)
    at_x = np.array([value @ weights])
    scale = scales(function)
    noise = surroundings(summed, at_x, scale, seed).noise
    noise = np.maximum(noise, function.roundoff * float(np.abs(value) @ np.abs(weights)))
    seeds = [(seed, 11, leaf.start, k) for leaf in leaves for k in (0, 1)]
    directions = Dense(function, seeds, [leaf for leaf in leaves for _ in (0, 1)], scale)
    found = Differences(summed, directions, at_x, noise).measure()
    own = np.array([float(directions.dot(d, given[0])) for d in range(directions.count)])
    sizes = np.array([_size(directions, d, given[0]) for d in range(directions.count)])
    tolerance = Tolerances(function.roundoff < 1e-10, None, None).of(found.value, found.bar, directions.scale)[:, 0]
    tolerance = CLEARLY * (tolerance + 64 * function.roundoff * sizes)
    for k, leaf in enumerate(leaves):
        if all(_off(found, d, own[d], tolerance[d]) for d in (2 * k, 2 * k + 1)):
            d = 2 * k
            return Misfit(leaf.name, own[d], float(found.value[d, 0]), float(found.bar[d, 0]))
    return None


def _off(found: Estimates, d: int, own: float, tolerance: float) -> bool:
    judged = found.state[d, 0] in (SMOOTH, STEP) and np.isfinite(found.value[d, 0])
    return bool(judged and not abs(own - found.value[d, 0]) <= tolerance)


def _size(directions: Dense, d: int, row: np.ndarray) -> float:
    part, v = directions.vector(d)
    with np.errstate(all="ignore"):
        return float(np.nan_to_num(np.abs(row[part]) @ np.abs(v), posinf=0.0))


# ---- infinities ----
#: operations that are infinite, or have an infinite derivative, where an operand is 0: beginnings of their names in torch and JAX
_POLES = (
    "div", "true_div", "truediv", "log", "pow", "integer_pow", "reciprocal", "rsqrt", "sqrt", "norm", "linalg", "xlog",
)  # fmt: skip
#: and at other operands
_OTHER_POLES = ("log1p", "acos", "asin", "atanh", "erf_inv", "erfinv", "logit", "lgamma", "digamma")


def how_made(name: str, first: float, zero: bool) -> str:
    """How an operation made something that is not finite of finite operands: by overflow, or at a pole.

    zero: whether some operand is 0 somewhere.
    """
    plain = name.strip("_").lower()
    pole = plain.startswith(_OTHER_POLES) or (zero and plain.removeprefix("r").startswith(_POLES))
    if first == first and not pole:
        return f"{name} overflowed: it made {first:g} of finite operands"
    return f"{name} made {first:g} of finite operands"


# ---- places ----
def users_line() -> Place | None:
    """The innermost call on the stack that is neither ours nor a framework's; None where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not between(module_of(frame.f_globals)):
            return Place.of(frame)
        frame = frame.f_back
    return None


def between(module: str) -> bool:
    """Whether a module lies between the user's code and an operation."""
    return module.partition(".")[0] in _BETWEEN


def between_file(file: str) -> bool:
    """The same of a file."""
    return file.startswith(("<", *_roots(_BETWEEN & set(sys.modules))))


@cache
def _roots(names: frozenset[str]) -> tuple[str, ...]:
    """The folders of packages, and the files of modules."""
    found: list[str] = []
    for module in map(sys.modules.__getitem__, sorted(names)):
        folders = [os.path.join(folder, "") for folder in getattr(module, "__path__", ())]
        found += folders or [module.__file__ or "<"]
    return tuple(found)


def shown(place: Place | None) -> str:
    return str(place) if place is not None else ""
