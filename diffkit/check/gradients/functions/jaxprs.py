"""Running a jaxpr equation by equation, into calls, loops and branches, with somebody looking on. Imported where JAX is already."""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from ....errors import Place
from ..blame.blame import between_file

#: equations that run a jaxpr once on their operands, and the parameter that holds it
CALLS = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "remat2": "jaxpr",
    "checkpoint": "jaxpr", "custom_lin": "call_jaxpr",
}  # fmt: skip
CUSTOM = ("custom_vjp_call", "custom_vjp_call_jaxpr", "custom_jvp_call")


@dataclass(frozen=True)
class Value:
    """A value of a run."""

    data: Any
    #: told apart by number: one that is handed into a call keeps its own
    number: int
    #: depends on the inputs by way of floating-point numbers
    varies: bool

    @property
    def finite(self) -> bool:
        return not self.floating or bool(np.isfinite(self.array).all())

    @property
    def nan(self) -> bool:
        return self.floating and bool(np.isnan(self.array).any())

    @property
    def floating(self) -> bool:
        return bool(jax.numpy.issubdtype(getattr(self.data, "dtype", type(self.data)), jax.numpy.floating))

    @property
    def array(self) -> np.ndarray:
        return np.asarray(self.data, np.float64)


#: called with an equation, its operands and its results
Look = Callable[[Any, Sequence[Value], Sequence[Value]], None]


class Run:
    """One run. into: whether to look inside of an equation that has a body; it is looked at as a whole otherwise."""

    def __init__(self, look: Look, into: Callable[[Any], bool], steps: int) -> None:
        """steps: of a loop, that are looked into."""
        self.look, self.into, self.steps = look, into, steps
        #: the equations that the present one lies in, from the outermost
        self.around: list[Any] = []
        self._numbers = itertools.count()

    def value(self, data: Any, varies: bool = False) -> Value:
        return Value(data, next(self._numbers), varies)

    def line(self, eqn: Any) -> str:
        """The user's line of an equation that is being looked at."""
        return line_of(eqn, *reversed(self.around))

    def run(self, closed: ClosedJaxpr, operands: Sequence[Value]) -> list[Value]:
        return self._body(closed.jaxpr, [self.value(c) for c in closed.consts], operands)

    def _body(self, jaxpr: Jaxpr, consts: Sequence[Value], operands: Sequence[Value]) -> list[Value]:
        known = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, operands, strict=True))
        read = lambda v: self.value(v.val) if isinstance(v, Literal) else known[v]
        for eqn in jaxpr.eqns:
            given = [read(v) for v in eqn.invars]
            self.around.append(eqn)
            found = self._inside(eqn, given) if self.into(eqn) else None
            self.around.pop()
            if found is None:
                varies = any(v.varies for v in given)
                found = [self.value(r) for r in applied(eqn, [v.data for v in given])]
                found = [Value(v.data, v.number, varies and v.floating) for v in found]
                self.look(eqn, given, found)
            known.update(zip(eqn.outvars, found, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def _inside(self, eqn: Any, given: Sequence[Value]) -> list[Value] | None:
        """The results of an equation with a body, equation by equation; None where it has none that can be run so."""
        name = eqn.primitive.name
        if name in CALLS and CALLS[name] in eqn.params:
            body = eqn.params[CALLS[name]]
            closed = body if isinstance(body, ClosedJaxpr) else ClosedJaxpr(body, [])
            return self.run(closed, given)
        if name in CUSTOM and "call_jaxpr" in eqn.params:
            return self.run(eqn.params["call_jaxpr"], given)
        if name == "cond":
            branches = eqn.params["branches"]
            return self.run(branches[int(np.clip(int(given[0].data), 0, len(branches) - 1))], given[1:])
        if name == "scan":
            return self._scan(eqn, given)
        return None

    def _scan(self, eqn: Any, given: Sequence[Value]) -> list[Value]:
        """The first steps are looked into; the results are those of the whole."""
        p = eqn.params
        consts, carry = list(given[: p["num_consts"]]), list(given[p["num_consts"] : p["num_consts"] + p["num_carry"]])
        over = given[p["num_consts"] + p["num_carry"] :]
        rows: list[list[Value]] = []
        order = range(p["length"])[:: -1 if p["reverse"] else 1]
        for k in order[: self.steps]:
            now = [self.value(v.data[k], v.varies) for v in over]
            for part, whole in zip(now, over, strict=True):
                self.look(None, [whole], [part])
            found = self.run(p["jaxpr"], [*consts, *carry, *now])
            carry = found[: p["num_carry"]]
            rows.append(found[p["num_carry"] :])
        varies = any(v.varies for v in given)
        results = [self.value(r, varies) for r in applied(eqn, [v.data for v in given])]
        results = [Value(v.data, v.number, v.varies and v.floating) for v in results]
        self.look(None, [*carry, *(v for row in rows for v in row)], results)
        return results


def applied(eqn: Any, operands: Sequence[Any]) -> list[Any]:
    """The results of an equation."""
    bound = eqn.primitive.get_bind_params(eqn.params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)  # a pair before JAX 0.10
    found = eqn.primitive.bind(*functions, *operands, **params)
    return list(found) if eqn.primitive.multiple_results else [found]


def _frames(eqn: Any) -> list[tuple[Any, bool]]:
    """Where an equation was made, innermost first, and whether that is a library's code."""
    trace = getattr(getattr(eqn, "source_info", None), "traceback", None)
    return [(frame, between_file(frame.file_name)) for frame in getattr(trace, "frames", ())]


def line_of(*equations: Any) -> str:
    """The user's line that the first of these came from of which JAX tells one, as text; "" where it tells none."""
    for eqn in equations:
        for frame, library in _frames(eqn):
            if not library:
                source = linecache.getline(frame.file_name, frame.line_num).strip()
                return str(Place(frame.file_name, frame.line_num, frame.function_name, source, (0, 0)))
    return ""


def within_library(eqn: Any, function: str) -> bool:
    """Whether an equation was made by a call of JAX's function of this name that JAX's own code made."""
    frames = [(f, library) for f, library in _frames(eqn) if "traceback_util" not in f.file_name]
    called = [k for k, (f, library) in enumerate(frames) if library and f.function_name == function]
    return bool(called) and called[-1] + 1 < len(frames) and frames[called[-1] + 1][1]
