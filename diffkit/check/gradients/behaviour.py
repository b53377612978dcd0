"""How a function and its gradient behave when they are called again, here and elsewhere: noise from run to run, caches, buffers."""

from __future__ import annotations

import dis
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import optree

from .functions.function import Function
from .numeric import Surroundings
from .suspects import Suspect

#: two gradients at one point that differ by no more than this times their size are the same: sums in another order
SAME = 1e-12
#: a function whose values at one point differ by more than this part of them is random, not noisy
RANDOM = 1e-6
#: words in somebody's code that tell of dropout
DROPOUT = (
    "dropout",
    "keep_prob",
    "keep_rate",
    "drop_rate",
    "drop_prob",
    "p_drop",
    "bernoulli",
    "binomial",
    "dropped",
    "droprate",
)


@dataclass
class Behaviour:
    #: (outputs,): largest difference of values at the point
    spread: np.ndarray
    #: largest difference of gradients at the point, relative to their size
    gradient_spread: float = 0.0
    suspects: list[Suspect] = field(default_factory=list)
    #: the gradient is the same at another point, though the slope is not
    memo: bool = False

    @property
    def random(self) -> bool:
        return any(s.code in ("nondeterministic", "dropout-active") for s in self.suspects)


def repeated(function: Function, at_x: np.ndarray) -> Behaviour:
    """Values at the point: whether they are the same each time."""
    values = [at_x, function.value(function.point)]
    if not np.array_equal(values[0], values[1], equal_nan=True):
        values += [function.value(function.point) for _ in range(3)]
    with np.errstate(invalid="ignore"):
        spread = np.ptp(values, axis=0)
    found = Behaviour(np.nan_to_num(spread))
    size = np.abs(at_x).max()
    if found.spread.max() > RANDOM * size or (size == 0 and found.spread.any()):
        relative = found.spread.max() / size if size else np.inf
        said = f"values at one point differ by {relative:.2g} of their size from call to call"
        found.suspects += random(function, f"the function is random: {said}", zeros=_drops(values))
    return found


def _drops(values: list[np.ndarray]) -> bool:
    """Of several outputs some are zero in one run and not in another."""
    zero = np.array([v == 0 for v in values])
    return bool(zero.shape[1] > 2 and (zero.any(axis=0) & ~zero.all(axis=0)).any())


def random(function: Function, message: str, zeros: bool) -> list[Suspect]:
    """zeros: numbers that are zero in one run and not in another, as dropout makes them."""
    plain = Suspect("nondeterministic", message)
    active = function.dropout_active()
    named = ", ".join(active) if active else _mentioned(function)
    if named:
        return [
            Suspect("dropout-active", f"dropout is active ({named}): switch it off, or fix its mask, for a check"),
            plain,
        ]
    if zeros:
        words = "numbers are zero in one call and not in the next, as dropout makes them: switch it off for a check"
        return [Suspect("dropout-active", words), plain]
    return [plain]


def _mentioned(function: Function) -> str:
    """A name in the user's code that tells of dropout."""
    seen: set[int] = set()
    stack = [getattr(function, "fun", None), getattr(function, "grad", None)]
    while stack and len(seen) < 200:
        f = stack.pop()
        f = getattr(f, "__func__", f)
        code = getattr(f, "__code__", None)
        if code is None or id(code) in seen:
            continue
        seen.add(id(code))
        for name in (*code.co_names, *code.co_varnames, *code.co_freevars, code.co_name):
            if any(word in name.lower() for word in DROPOUT):
                return f"{name!r} in {code.co_name}"
        stack += [c.cell_contents for c in getattr(f, "__closure__", None) or () if callable(_content(c))]
        stack += [
            g for n in code.co_names if callable(g := getattr(f, "__globals__", {}).get(n)) and hasattr(g, "__code__")
        ]
    return ""


def _content(cell: object) -> object:
    try:
        return cell.cell_contents  # type: ignore[attr-defined]
    except ValueError:
        return None


def gradients_again(function: Function, given: np.ndarray, weights: np.ndarray | None, found: Behaviour) -> None:
    """The gradient at the point once more, and thrice where it is another."""
    again = function.gradient(function.point, weights)
    size = _size(given)
    found.gradient_spread = _apart(again, given) / size
    if found.gradient_spread <= SAME:
        return
    third = function.gradient(function.point, weights)
    fourth = function.gradient(function.point, weights)
    grows = _apart(third - again, again - given) <= 1e-9 * size and _apart(fourth - third, third - again) <= 1e-9 * size
    if grows and given.shape == again.shape:
        found.suspects.append(
            Suspect("stale", "the gradient grows with every call: it is added to a buffer that is never cleared")
        )
        return
    if _apart(third, again) <= SAME * size and _apart(fourth, again) <= SAME * size:
        found.suspects.append(
            Suspect("stale", "the second gradient at one point is another than the first: a state is left behind")
        )
        return
    zero = np.array([g == 0 for g in (given, again, third, fourth)]).reshape(4, -1)
    drops = bool(given.size > 2 and (zero.any(axis=0) & ~zero.all(axis=0)).any())
    words = f"gradients at one point differ by {found.gradient_spread:.2g} of their size from call to call"
    known = {s.code for s in found.suspects}
    found.suspects += [s for s in random(function, words, drops) if s.code not in known]


def elsewhere(
    function: Function,
    given: np.ndarray,
    weights: np.ndarray | None,
    near: Surroundings,
    found: Behaviour,
) -> None:
    """The gradient at another point and then here again: caches that are not renewed, buffers that are handed out."""
    reachable = np.flatnonzero(np.isfinite(near.values).all(axis=1))
    if not reachable.size or found.random:
        return
    k = int(reachable[np.argmax(np.abs(near.distances[reachable]))])
    there = near.point(k)
    raw = function.returned
    before = _fingerprints(raw)
    value = function.value(there)
    try:
        other = function.gradient(there, weights)
    except Exception as problem:
        function.events.note(f"the gradient raised {type(problem).__name__} at a point nearby: {problem}")
        return
    if raw is not None and before != _fingerprints(raw):
        words = "an array that the gradient returned was overwritten by its next call: return a copy"
        found.suspects.append(Suspect("stale", words))
    back = function.gradient(function.point, weights)
    size = _size(given)
    if _apart(back, given) > max(SAME, 10 * found.gradient_spread) * size:
        words = "the gradient here is another after calls elsewhere: it uses what an earlier call left behind"
        found.suspects.append(Suspect("stale", words))
    elif (
        np.array_equal(other, given)
        and np.any(given)
        and np.isfinite(given).all()
        and _moves(function, near, k, value, other)
    ):
        found.memo = True


def _moves(function: Function, near: Surroundings, k: int, there: np.ndarray, other: np.ndarray) -> bool:
    """Whether the slope at point k, along the way there, is another than the gradient given there: by four values."""
    t = float(near.distances[k])
    h = 0.3 * abs(t)
    z = [near.direction.shifted(0, t + s)[0] for s in (h, -h, h / 3, -h / 3)]
    up, down, nearer_up, nearer_down = function.values(z)
    with np.errstate(all="ignore"):
        wide, narrow = (up - down) / (2 * h), (nearer_up - nearer_down) / (2 * h / 3)
        slope = narrow + (narrow - wide) / 8
        bar = np.abs(narrow - wide) + 8 * near.noise / h
        if other.shape[0] != len(slope):
            return False
        claimed = near.direction.dot(0, other)
        here = near.slope
        left = (near.values[2] - near.values[0]) / (near.distances[2] - near.distances[0])
        right = (near.values[5] - near.values[3]) / (near.distances[5] - near.distances[3])
        if (np.abs(right - left) > 0.3 * np.abs(here - slope)).any():
            return False  # a kink at the point
        ahead, behind = (nearer_up - there) / (h / 3), (there - nearer_down) / (h / 3)
        if (np.abs(ahead - behind) > 0.3 * np.abs(claimed - slope)).any():
            return False  # a kink there
        bar = 3 * bar + 1e-6 * np.abs(slope) + 8 * near.noise / abs(near.distances[0])
        return bool(((np.abs(claimed - slope) > bar) & (np.abs(here - slope) > bar)).any())


def remembers(function: Function) -> bool:
    """Whether the user's gradient has somewhere to keep things: an object of its own, a container or cache that it closes over."""
    grad = getattr(function, "grad", None)
    if grad is None:
        return False
    if getattr(grad, "__self__", None) is not None or not hasattr(grad, "__code__"):
        return True
    held = [_content(c) for c in grad.__closure__ or ()]
    held += [grad.__globals__.get(n) for n in grad.__code__.co_names]
    if any(isinstance(v, (dict, list, set)) or hasattr(v, "cache_info") for v in held):
        return True
    stores = any(i.opname in ("STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR") for i in dis.get_instructions(grad))
    inner = [v for v in held if hasattr(v, "__code__") and v is not grad]
    return stores or any(
        isinstance(_content(c), (dict, list, set)) for v in inner for c in getattr(v, "__closure__", None) or ()
    )


def _size(a: np.ndarray) -> float:
    finite = np.abs(a[np.isfinite(a)])
    return float(finite.max(initial=0.0)) or 1.0


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return np.inf
    with np.errstate(invalid="ignore"):
        off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    return float(np.nan_to_num(off, nan=np.inf).max(initial=0.0))


def _fingerprints(raw: object) -> list[bytes]:
    """Of the arrays that a gradient's function returned."""
    leaves: list[Any] = optree.tree_leaves(raw, none_is_leaf=True)  # type: ignore[arg-type]
    return [
        blake2b(np.ascontiguousarray(a).view(np.uint8).data if a.ndim else a.tobytes()).digest()
        for a in leaves
        if isinstance(a, np.ndarray)
    ]
