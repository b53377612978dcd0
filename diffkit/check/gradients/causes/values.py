"""What numbers themselves tell: NaN and infinities, and digits that were lost."""

from __future__ import annotations

import numpy as np

from ....engines.rounding import rounding_bound
from ....tape import record
from ...linting.origin import Origin, nan_origin
from ..evidence import Evidence
from ..functions.function import Function
from ..functions.traced import Written, written, written_gradient
from ..suspects import Suspect

#: relative moves of the point at which the gradient is looked at again
MOVES = (3e-15, -5e-15, 8e-15, -1.3e-14)
MOVES_SINGLE = (3e-7, -5e-7, 9e-7, -1.5e-6)
#: the gradient scatters by so much of what it is off by
SHARE = 0.02


def nonfinite(function: Function, evidence: Evidence) -> list[Suspect]:
    """Where NaN and infinities of the gradient come from."""
    leaves = tuple(p.leaf.name for p in evidence.parts if not np.isfinite(p.own[p.off]).all())
    if not leaves:
        return []
    given = np.concatenate([p.given.reshape(-1) for p in evidence.parts])
    return origins(function, "the gradient", leaves, bool(np.isnan(given).any()), written_gradient(function))


def origins(
    function: Function, what: str, leaves: tuple[str, ...], has_nan: bool, trace: Written | None
) -> list[Suspect]:
    """Suspects for something that is not finite: overflow first where that began it."""
    text = function.nan_origin(function.point)
    origin = _origin(trace) if text is None else None
    if origin is not None:
        text = str(origin)
    events = function.events.floating
    overflow = (
        origin.overflow
        if origin is not None
        else " overflowed" in (text or "").partition("\n")[0] or "overflow" in events
    )
    if origin is None and not has_nan and not events & {"divide by zero", "invalid value"}:
        overflow = True
    kind = "not a number" if has_nan else "infinite"
    because = f": {text}" if text else f" ({', '.join(sorted(events - {'underflow'}))} on the way)" if events else ""
    nan = Suspect("nan-origin", f"{what} is {kind}{because}", leaves)
    if overflow:
        return [Suspect("overflow", f"{what} is {kind}, and something overflowed on the way{because}", leaves), nan]
    return [nan]


def _origin(trace: Written | None) -> Origin | None:
    if trace is None:
        return None
    try:
        return nan_origin(record(trace.outputs, trace.inputs), trace.values)
    except Exception:  # a diagnosis must not fail where the check did not
        return None


def value_origins(function: Function, value: np.ndarray) -> list[Suspect]:
    """Of a function that is not finite at the point."""
    with np.errstate(all="call", call=lambda kind, _: function.events.floating.add(kind)):
        function.evaluate(function.arrays(function.point))
    return origins(function, "the value", (), bool(np.isnan(value).any()), written(function))


def cancellation(
    function: Function, evidence: Evidence, given: np.ndarray, weights: np.ndarray | None
) -> list[Suspect]:
    """Digits lost: a move of the point by a few ulps changes the gradient by as much as it is off."""
    double = function.roundoff < 1e-10
    leaves = tuple(p.leaf.name for p in evidence.bad_parts)
    scatter = np.zeros(given.shape)
    for move in MOVES if double else MOVES_SINGLE:
        try:
            again = function.gradient(function.point * (1 + move), weights)
        except Exception:
            return []
        with np.errstate(invalid="ignore"):
            scatter = np.fmax(scatter, np.abs(again - given))
    shares = []
    for p in evidence.bad_parts:
        noise = np.abs(p.rows(scatter[:, p.leaf.entries].reshape(p.given.shape)))
        with np.errstate(all="ignore"):
            # what the move itself changes of a right gradient is no more than a few times its size
            share = (noise[p.off] - 1e-13 * np.abs(p.expected[p.off])) / np.abs(p.own[p.off] - p.expected[p.off])
        shares.append(share)
    if shares and np.median(np.concatenate(shares)) > SHARE:
        return [
            Suspect(
                "cancellation",
                "the gradient loses digits: it changes as much when the point moves by a few ulps",
                leaves,
            )
        ]
    single = all(_single(p.given, p.own - p.expected, p.expected, p.off) for p in evidence.bad_parts)
    if double and single:
        return [Suspect("cancellation", "the gradient has the accuracy of single precision only", leaves)]
    return _by_bound(function, evidence, leaves)


def _single(given: np.ndarray, error: np.ndarray, expected: np.ndarray, off: np.ndarray) -> bool:
    with np.errstate(all="ignore"):
        return bool(
            (given == given.astype(np.float32)).all() and (np.abs(error[off]) <= 1e-5 * np.abs(expected[off])).all()
        )


def _by_bound(function: Function, evidence: Evidence, leaves: tuple[str, ...]) -> list[Suspect]:
    """Of a gradient that can be traced: the rounding bound of its own program explains what it is off by."""
    trace = written_gradient(function)
    if trace is None or function.size > 200 or function.outputs != 1 or any(not p.whole for p in evidence.parts):
        return []
    try:
        bounds = rounding_bound(record(trace.outputs, trace.inputs), trace.values).entries
    except Exception:
        return []
    line = np.concatenate([np.asarray(b, np.float64).reshape(-1) for b in bounds])
    if line.size != function.size:
        return []
    for p in evidence.bad_parts:
        if (np.abs(p.own - p.expected)[p.off] > 10 * line[p.leaf.entries][p.off]).any():
            return []
    return [
        Suspect(
            "cancellation",
            "the gradient loses digits: rounding errors of its own formula are as large as what it is off by",
            leaves,
        )
    ]
