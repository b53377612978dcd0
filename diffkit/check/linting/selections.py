"""What can go wrong around a `where`: a branch that is NaN where it is not taken, and branches that do not meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ...expr.functions import RULES
from ...expr.node import Expr, free_variables, node, topological
from ...expr.printing import brief
from ...machines.numpy import run
from ...ops import TABLE
from ...tape import record
from .findings import NODES, Finding, place, size, text
from .graph import Graph
from .singular import domains

_WHERE = TABLE["where"]


# ---- branches that are not protected ------------------------------------------------------------------------------
def unsafe_wheres(graph: Graph) -> dict[int, Finding]:
    """`where(c, a, b)` with an operation in a or b that leaves its domain where c chooses the other, unguarded."""
    conditions = Counter(id(n.args[0]) for n in graph.order if n.op is _WHERE)
    hazards = {id(n): ks for n in graph.order if (ks := _hazards(graph, n, conditions))}
    exposed: dict[int, bool] = {}
    found: dict[int, Finding] = {}
    for n in graph.order:
        if n.op is _WHERE:
            guarded = [_related(graph, n, b, hazards, exposed) for b in (1, 2)]
            if any(guarded):
                found[id(n)] = _unsafe(n, guarded, hazards)
                continue  # reported here; a `where` around this one has nothing to add
        exposed[id(n)] = id(n) in hazards or any(exposed.get(id(a), False) for a in n.args)
    return found


def _hazards(graph: Graph, n: Expr, conditions: Counter) -> list[int]:
    """Arguments that can leave the domain of `n`. A `where` by a condition that chooses elsewhere too is taken for a guard."""
    limits = domains(n)
    if limits is None:
        return []

    def guarded(a: Expr) -> bool:
        return a.op is _WHERE and conditions[id(a.args[0])] > 1

    reach = [
        graph.variables[id(a)] and not graph.ranges[id(a)].within(d.safe) for a, d in zip(n.args, limits, strict=True)
    ]
    return [k for k, a in enumerate(n.args) if reach[k] and not guarded(a)]


def _related(graph: Graph, n: Expr, branch: int, hazards: dict[int, list[int]], exposed: dict[int, bool]) -> list[Expr]:
    """Hazards in a branch whose argument has a variable in common with the condition."""
    condition = graph.variables[id(n.args[0])]
    found, stack, seen = [], [n.args[branch]], set()
    while stack:
        m = stack.pop()
        if id(m) in seen or not exposed.get(id(m), False):
            continue
        seen.add(id(m))
        if any(graph.variables[id(m.args[k])] & condition for k in hazards.get(id(m), ())):
            found.append(m)
        stack += m.args
    return found


def _unsafe(n: Expr, guarded: Sequence[Sequence[Expr]], hazards: dict[int, list[int]]) -> Finding:
    first = next(m for branch in guarded for m in branch)
    message = (
        f"{brief(first, 60)} is evaluated also where its branch is not taken, "
        f"and is not finite outside its domain ({first.op.domain}). diffkit's derivative is not touched by it; "
        "in JAX and PyTorch it is NaN. Guard the argument inside as well"
    )
    if size(n, NODES) > NODES:
        return Finding("unsafe-where", "warning", place(n), message)
    branches = [_guarded(n.args[0], k == 1, n.args[k], ms, hazards) for k, ms in zip((1, 2), guarded, strict=True)]
    return Finding("unsafe-where", "warning", place(n), message, text(RULES.where(n.args[0], *branches)))


def _guarded(condition: Expr, holds: bool, branch: Expr, nodes: Sequence[Expr], hazards: dict[int, list[int]]) -> Expr:
    """The branch with each dangerous argument replaced by one well inside the domain where the branch is not taken."""
    dangerous = {id(m) for m in nodes}
    made: dict[int, Expr] = {}
    for m in topological(branch):
        args = [made[id(a)] for a in m.args]
        if id(m) in dangerous:
            for k in hazards[id(m)]:
                inside = domains(m)[k].inside  # type: ignore[index]
                args[k] = RULES.where(condition, args[k], inside) if holds else RULES.where(condition, inside, args[k])
        made[id(m)] = m if all(a is b for a, b in zip(args, m.args, strict=True)) else node(m.kind, tuple(args))
    return made[id(branch)]


# ---- branches that do not meet --------------------------------------------------------------------------------------
#: random pairs of points tried for a switch of the condition, and instructions spent on all conditions together
PAIRS, BUDGET = 64, 20_000
_HALVINGS = 50
_STEP = 1e-6


def switches(graph: Graph) -> dict[int, Finding]:
    """For each `where` whether its value jumps, or only its slope, where the condition switches (tried at random points)."""
    found: dict[int, Finding] = {}
    budget = BUDGET
    for n in (n for n in graph.order if n.op is _WHERE and n.shape == () and graph.variables[id(n.args[0])]):
        budget -= size(n, budget)
        if budget < 0:
            break
        finding = _switch(n)
        if finding is not None:
            found[id(n)] = finding
    return found


def _switch(n: Expr) -> Finding | None:
    variables = free_variables(n)
    if any(v.dtype in ("int64", "bool") for v in variables):
        return None
    tape = record([n, n.args[0]], variables, as_written=True)

    def along(t: np.ndarray, start: list[np.ndarray], step: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        points = [a + t.reshape(-1, *(1,) * (a.ndim - 1)) * s for a, s in zip(start, step, strict=True)]
        computed = run(tape, points)
        return tuple(np.broadcast_to(computed[o], len(t)) for o in tape.outputs)  # type: ignore[return-value]

    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-1, 2, PAIRS)
    start, end = (
        [rng.standard_normal((PAIRS, *v.shape)) * scale.reshape(-1, *(1,) * len(v.shape)) for v in variables]
        for _ in range(2)
    )
    step = [b - a for a, b in zip(start, end, strict=True)]
    low, high = np.zeros(PAIRS), np.ones(PAIRS)
    first, last = along(low, start, step)[1], along(high, start, step)[1]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        same = along(middle, start, step)[1] == first
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    with np.errstate(all="ignore"):
        a, b = (along(low - k * _STEP, start, step)[0] for k in (1, 2))
        c, d = (along(high + k * _STEP, start, step)[0] for k in (1, 2))
        size, moved = np.abs(a) + np.abs(c), np.abs(a - b) + np.abs(c - d)
        gap, bend = np.abs((2 * a - b) - (2 * c - d)), np.abs((a - b) - (d - c))
        crossing = (first != last) & np.isfinite(a + b + c + d)
        jumps = crossing & (gap > 1e-5 * size + 5 * moved)
        bends = crossing & (bend > 0.01 * moved + 1e-13 * size)
    where = np.flatnonzero(jumps if jumps.any() else bends)
    if not where.size:
        return None
    k = int(where[0])
    point = ", ".join(
        f"{v.name} = {_near(s[k], high[k] * d[k])}"
        for v, s, d in zip(variables, start, step, strict=True)
        if not v.shape
    )
    if jumps.any():
        message = (
            f"the two branches do not meet ({a[k]:.6g} against {c[k]:.6g} near {point}); no derivative sees the jump"
        )
        return Finding("discontinuity", "note", place(n), message)
    message = f"the slope changes where the condition switches (near {point}); the derivative there is that of the branch taken"
    return Finding("kink", "note", place(n), message)


def _near(start: float, moved: float) -> str:
    """start + moved, where what is left of a cancellation counts as 0."""
    found = start + moved
    return f"{found:.4g}" if abs(found) > 1e-9 * abs(start) else "0"
