"""The convention for derivatives at kinks, selectable with `dk.kinks(...)`.

Each operation has its own convention (abs'(0) = 0, relu'(0) = 0, ties shared evenly). Partials write a kink as a
step whose value *at* the kink is looked up here, so one choice holds in symbolic, forward and reverse alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: left, right: the switching quantity (x of abs, a − b of maximum, x − lo of clip, ...) approached from below, from above
POLICIES = ("default", "left", "right", "nan", "jax")

_policy: ContextVar[str] = ContextVar("diffkit_kinks", default="default")


def current() -> str:
    return _policy.get()


@contextmanager
def kinks(policy: str) -> Iterator[None]:
    """Select what a derivative is at a kink: "default" (each operation's own), "left", "right", "nan" or "jax"."""
    if policy not in POLICIES:
        raise ValueError(f"unknown convention {policy!r}; choose one of {', '.join(POLICIES)}")
    token = _policy.set(policy)
    try:
        yield
    finally:
        _policy.reset(token)


def step_value(default: float, jax: float | None = None) -> float:
    """The value, at its jump, of a step from 0 to 1 under the policy in force."""
    policy = _policy.get()
    if policy == "default":
        return default
    if policy == "jax":
        return default if jax is None else jax
    return {"left": 0.0, "right": 1.0, "nan": float("nan")}[policy]


def jump_slope() -> float:
    """The derivative of a piecewise constant function at its jump: 0, or NaN under "nan"."""
    return float("nan") if _policy.get() == "nan" else 0.0
