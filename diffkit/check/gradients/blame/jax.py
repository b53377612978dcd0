"""JAX: the equations of a function's jaxpr, each checked alone at the operands it has in one call; and where a NaN was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..functions.jax_functions import JaxFunction
from ..functions.jaxprs import CALLS, CUSTOM, Run, Value, applied, within_library
from .blame import Blame, between_file, how_made, misfit

#: equations of one primitive, or calls of one custom_vjp, that are looked at
EACH = 4
#: equations with a body, into which the search goes
_LOOPS = ("cond", "scan")


def blame_jax(function: JaxFunction, at: np.ndarray) -> list[Blame]:
    """Of a JaxFunction without a gradient of its own."""
    if function.grad is not None:
        return []
    found: dict[str, Blame] = {}
    seen: Counter[str] = Counter()

    def look(eqn: Any, given: Sequence[Value], results: Sequence[Value]) -> None:
        if eqn is None or not any(v.varies for v in results):
            return
        what, defined = _called(eqn)
        if what in found or seen[what] >= EACH or (what == "stop_gradient" and within_library(eqn, what)):
            return
        seen[what] += 1
        wrong = _checked(eqn, given, seen[what])
        if wrong:
            place = "\n".join(p for p in (f"  defined at {defined}" if defined else "", run.line(eqn)) if p)
            found[what] = Blame(what, place, wrong)

    run = Run(look, lambda eqn: eqn.primitive.name in CALLS or eqn.primitive.name in _LOOPS, steps=1)
    with suppress(Exception):  # what cannot be run so cannot be blamed
        leaves = [jnp.array(a) for a in function.arrays(at)]
        run.run(jax.make_jaxpr(function._flat)(*leaves), [run.value(a, True) for a in leaves])
    # a path that is cut on purpose is the culprit only where nothing else is
    stopped = found.pop("stop_gradient", None)
    return list(found.values()) or ([stopped] if stopped else [])


def _called(eqn: Any) -> tuple[str, str]:
    """What an equation is, and where the function is defined that it calls by a rule of its own."""
    name = eqn.primitive.name
    if name not in CUSTOM:
        return name, ""
    info = getattr(getattr(eqn.params.get("call_jaxpr"), "jaxpr", None), "debug_info", None)
    function, _, defined = str(getattr(info, "func_src_info", "") or "").partition(" at ")
    kind = "custom_jvp" if "jvp" in name else "custom_vjp"
    # one of JAX's functions may have been given a rule of the user's
    return f"the {kind} function {function or '(unnamed)'}", "" if between_file(defined) else defined


def _checked(eqn: Any, given: Sequence[Value], seed: int) -> str:
    """What is wrong with an equation's gradient; "" where nothing is, or nothing can be told."""
    floating = [v.floating for v in given]

    def alone(*operands: Any) -> list[Any]:
        return applied(eqn, operands)

    with suppress(Exception):
        function = JaxFunction(alone, tuple(v.data for v in given))
        names = [f"arg{k}" for k, v in enumerate(given) if floating[k] and v.varies]
        return str(misfit(function, seed, names) or "")
    return ""


# ---- NaN ----
@dataclass(frozen=True, eq=False)
class _Made:
    """A value that is not finite, and the equation that made it. `str()` is a sentence and a place."""

    #: None: a piece of a loop's operands or results
    eqn: Any
    given: Sequence[Value]
    result: Value
    line: str

    @property
    def fresh(self) -> bool:
        return all(v.finite for v in self.given)

    def __str__(self) -> str:
        values = self.result.array.reshape(-1)
        first = values[~np.isfinite(values)][0]
        name = self.eqn.primitive.name
        zero = any(v.floating and bool((v.array == 0).any()) for v in self.given)
        form = {"mul": " (0 · inf: where a branch was not taken, say)", "div": " (0 / 0)" * self.fresh}.get(name, "")
        what = _called(self.eqn)[0]
        told = how_made(what, first, zero) if self.fresh else f"{what} made {first:g} of infinities"
        return told + form * bool(zero and np.isnan(first)) + (f"\n{self.line}" if self.line else "")


def origin(function: JaxFunction, z: np.ndarray) -> str | None:
    """See JaxFunction.nan_origin."""
    leaves = [jnp.array(a) for a in function.arrays(z)]

    def gradient(*leaves: Any) -> Any:
        outputs, pullback = jax.vjp(function._flat, *leaves)
        return [*outputs, *pullback([jnp.ones_like(o) for o in outputs])]

    made: dict[int, _Made] = {}

    def look(eqn: Any, given: Sequence[Value], results: Sequence[Value]) -> None:
        line = run.line(eqn) if eqn is not None and not all(r.finite for r in results) else ""
        made.update({r.number: _Made(eqn, given, r, line) for r in results if not r.finite})

    run = Run(look, lambda eqn: True, steps=1000)
    results = run.run(jax.make_jaxpr(gradient)(*leaves), [run.value(a, True) for a in leaves])
    guilty = _reaching(made, [r for r in results if not r.finite])
    first = next((m for m in guilty if m.fresh), None)
    # where an infinity became NaN
    later = next((m for m in guilty if m.result.nan and not m.fresh and not any(v.nan for v in m.given)), None)
    return "\n".join(str(m) for m in dict.fromkeys([first, later]) if m is not None) or None


def _reaching(made: dict[int, _Made], bad: Sequence[Value]) -> list[_Made]:
    """Of the values that are not finite, those that these came from, in the order of the computation."""
    stack, seen = [v.number for v in bad], set()
    while stack:
        number = stack.pop()
        if number in seen or number not in made:
            continue
        seen.add(number)
        stack += [v.number for v in made[number].given if not v.finite]
    return [made[n] for n in sorted(seen) if made[n].eqn is not None]
