"""Terms that are missing, counted twice, of the wrong sign: what is off is the gradient through some part of the function, or a
multiple of an argument (a penalty)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ....expr.node import Expr, node, topological
from ....expr.printing import brief
from ....machines import machine
from ....tape import record
from ....transforms.programs import make_program
from ..evidence import Evidence, Part
from ..functions.function import Function
from ..functions.traced import Written, written
from ..suspects import Suspect
from .constants import fitted

#: paths of a traced function that are tried, from its result downwards
MOST_PATHS = 150
#: entries of gradients through paths that are worth computing
MOST_ENTRIES = 200_000
#: what multiple of a path's gradient is missing, and what that means
READINGS = {
    1.0: ("missing-term", "the path through {term} is missing"),
    -1.0: ("extra-term", "the path through {term} is counted twice"),
    2.0: ("sign", "the path through {term} has the wrong sign"),
    0.5: ("factor", "the path through {term} counts half"),
}


def paths(function: Function, evidence: Evidence) -> list[Suspect]:
    """Where the function can be traced: the path from an argument to the result that, left out or counted otherwise, gives what was
    given."""
    if function.size > MOST_ENTRIES or function.outputs != 1:
        return []
    trace = written(function)
    if trace is None:
        return []
    whole = _gradient(trace, trace.output)
    if whole is None:
        return []
    for term, detached in _detached(trace.output, trace):
        without = _gradient(trace, detached)
        if without is None:
            continue
        through = [w - o for w, o in zip(whole, without, strict=True)]
        if not any(np.any(t) for t in through):
            continue
        for alpha, (code, words) in READINGS.items():
            if all(p.fits(p.given + alpha * through[p.number].reshape(p.given.shape)) for p in evidence.parts):
                moved = tuple(p.leaf.name for p in evidence.parts if np.any(through[p.number]))
                return [Suspect(code, words.format(term=brief(term, 60)), moved)]
    return []


def _detached(f: Expr, trace: Written) -> Iterator[tuple[Expr, Expr]]:
    """(an operand, the function with it held constant where one operation uses it): of all operations with several operands that
    depend on the arguments, nearest to the result first."""
    from ....expr.scan import stop_gradient

    order = topological(f)
    depends: dict[int, bool] = {}
    wanted = set(map(id, trace.variables))
    for n in order:
        depends[id(n)] = id(n) in wanted or any(depends[id(a)] for a in n.args)
    tried = 0
    for k in range(len(order) - 1, -1, -1):
        n = order[k]
        if sum(depends[id(a)] for a in n.args) < 2:
            continue
        for j, a in enumerate(n.args):
            if not depends[id(a)] or a.dtype not in ("float64", "float32"):
                continue
            if tried >= MOST_PATHS:
                return
            tried += 1
            args = list(n.args)
            args[j] = stop_gradient(a)
            yield a, _rebuilt(order[k:], n, node(n.kind, tuple(args)))


def _rebuilt(order: Sequence[Expr], old: Expr, new: Expr) -> Expr:
    """The last of a topological order, with one node exchanged."""
    made = {id(old): new}
    for n in order:
        if id(n) not in made and any(id(a) in made for a in n.args):
            made[id(n)] = node(n.kind, tuple(made.get(id(a), a) for a in n.args))
    return made.get(id(order[-1]), order[-1])


def _gradient(trace: Written, f: Expr) -> list[np.ndarray] | None:
    """By every leaf, on the machine that needs no compiler."""
    try:
        program = make_program(record(f, trace.inputs), trace.wrt, "reverse", 1)
        _, blocks = program.on(machine("numpy"))(trace.values)
    except Exception:  # a path that cannot be differentiated explains nothing
        return None
    return [np.asarray(b, np.float64).reshape(-1) for b in blocks[0]]


def penalties(part: Part, function: Function, primal: np.ndarray, others: dict[str, np.ndarray]) -> list[Suspect]:
    """A multiple of the argument, of its signs, of one, or of another argument: the gradients of usual penalties and terms."""
    name = part.leaf.name
    with np.errstate(all="ignore"):
        terms = {
            name: primal, f"sign({name})": np.sign(primal), "a constant": np.ones_like(primal), f"{name}**2": primal**2,
            f"1/{name}": 1 / primal, f"{name}**3": primal**3,
        }  # fmt: skip
    terms |= {other: array for other, array in others.items() if array.shape == primal.shape and other != name}
    residual = part.expected - part.own
    if part.given.shape != primal.shape or int(part.known.sum()) < 2:
        return []
    for words, term in terms.items():
        if not np.isfinite(term).all() or not np.any(term):
            continue
        alpha = _multiple(part, term, residual)
        if alpha is None or not part.fits(part.given + alpha * term):
            continue
        ratio = fitted(part, part.given)
        if ratio is not None and part.fits(ratio * part.given):
            return []  # the whole gradient is such a multiple: a factor says it better
        text = words if words == "a constant" else f"{abs(alpha):.4g}·{words}"
        if words == "a constant":
            text = f"the constant {abs(alpha):.4g}"
        # penalties grow with the argument; of anything else, who has more has a term more
        if alpha > 0 or _norm(part.expected, part) > _norm(part.own, part):
            sign = "" if alpha > 0 else "-"
            return [Suspect("missing-term", f"the term {sign}{text} is missing", (name,))]
        return [Suspect("extra-term", f"there is a term {text} too many", (name,))]
    return []


def unexplained(part: Part) -> list[Suspect]:
    """What is off is neither a multiple nor a rearrangement of the right gradient: some term is, then."""
    words = "what is off is neither a multiple nor a rearrangement of the gradient: a term"
    leaves = (part.leaf.name,)
    found = [Suspect("missing-term", f"{words} is missing or wrong", leaves)]
    if _norm(part.expected, part) < 0.9 * _norm(part.own, part):
        found.append(Suspect("extra-term", f"{words} is too many", leaves))
    return found


def _norm(rows: np.ndarray, part: Part) -> float:
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.sum(rows[part.known] ** 2)))


def _multiple(part: Part, term: np.ndarray, residual: np.ndarray) -> float | None:
    own, tolerance = part.rows(term)[part.known], part.tolerance[part.known]
    if int((own != 0).sum()) < 2:
        return None
    with np.errstate(all="ignore"):
        weights = 1 / tolerance**2
        alpha = np.sum(weights * own * residual[part.known]) / np.sum(weights * own * own)
    return float(alpha) if np.isfinite(alpha) and alpha != 0 else None
