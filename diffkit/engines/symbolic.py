"""Symbolic differentiation: SymPy derives the formula, and the derivative comes back as an expression.

The function is written out in scalars, SymPy differentiates it by each of them, and what it gives is recorded as it is,
after SymPy's own simplifications and no others. How much longer the derivative is than the function ("expression swell")
depends on how operations are counted, so `notes["swell"]` has three counts: as trees, as a graph in which equal parts are
one, and after `sympy.cse`.

All of this has a budget, `max_ops` operations and `seconds`: `Symbolic(max_ops=…, seconds=…)` is an engine like ``"symbolic"`` with
another one. Beyond it ExceededError says which of the two, and how far it got; it is found as early as it can be foreseen, and
found once: the same question with no larger budget is refused at once. An operation that has no form in scalars is an
UnsupportedError that names it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import ExceededError, UnsupportedError
from ..expr import functions
from ..expr.bounded import within
from ..expr.elements import scalar_work, written_with_others
from ..expr.node import Expr, node, topological
from ..ops.kinks import current as kink_policy
from ..tape import Builder, Tape, expressions, record
from .engine import TapeProgram, as_dtype, float_dtype, shapes_of

#: scalar operations of the function written out, and of all its partial derivatives together as a graph
MAX_OPS = 20_000
#: seconds for one program; counting its swell has as many again, but without them `sympy.cse` is left out
SECONDS = 20.0
#: operations of the function as a tree: SymPy walks trees, so shared parts cost their weight each time they are used
MAX_TREE = 1_000_000
#: deriving stops early when it would take so many times the seconds, judged by some derivatives that took a part of them
FORESEEN, ENOUGH, SEEN = 4, 8, 0.1
#: failures that are kept in mind
REMEMBERED = 256
#: what was asked -> the budget that did not do, how much of it there was, and the message
_failures: dict[tuple, tuple[str, float, str]] = {}


class Counter:
    """Operations in SymPy expressions: a sum or product of k parts is k − 1 of them, a power or function one."""

    def __init__(self) -> None:
        #: expression -> operations in its tree
        self._trees: dict[Any, int] = {}
        self.graph = 0

    def tree(self, root: Any) -> int:
        """Operations when shared parts count each time they are used. Walks every distinct part once."""
        trees = self._trees
        stack = [(root, False)]
        while stack:
            e, ready = stack.pop()
            if e in trees:
                continue
            if not ready:
                stack.append((e, True))
                stack.extend((a, False) for a in e.args if a not in trees)
                continue
            own = (len(e.args) - 1 if e.is_Add or e.is_Mul else 1) if e.args else 0
            trees[e] = own + sum(trees[a] for a in e.args)
            self.graph += own
        return trees[root]


def count(roots: Sequence[Any], seconds: float = math.inf) -> dict[str, int | None]:
    """Operations of SymPy expressions together: in their trees, in their common graph, and after `sympy.cse` (None: no time)."""
    counter = Counter()
    tree = sum(counter.tree(r) for r in roots)
    try:
        cse = within(min(seconds, SECONDS), lambda: _after_cse(roots), "sympy.cse")
    except ExceededError:
        cse = None
    return {"tree": tree, "graph": counter.graph, "cse": cse}


def _after_cse(roots: Sequence[Any]) -> int:
    import sympy

    replacements, reduced = sympy.cse(list(roots), order="none")
    # each right-hand side stands alone: what is left in common in them is computed twice
    return sum(Counter().tree(e) for e in (*(e for _, e in replacements), *reduced))


class OverBudgetError(ExceededError):
    """A budget is used up, or would be; `which` of them: "max_ops" or "seconds"."""

    def __init__(self, message: str, which: str = "") -> None:
        super().__init__(message)
        self.which = which


class Budget:
    """What one derivation may take, what it has taken, and where it is. It is the `allowance` of what is written out."""

    def __init__(self, max_ops: int = MAX_OPS, seconds: float = SECONDS) -> None:
        self.max_ops, self.seconds = max_ops, seconds
        self.began = time.perf_counter()
        #: scalar operations written out; of the derivatives there are, once there are some
        self.operations = 0
        self.at = "the beginning"
        self._places: dict[Expr, int] = {}

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.began

    def over(self, which: str) -> OverBudgetError:
        return OverBudgetError(f"symbolic: over the budget {self._limit(which)}: {self.reached()}", which)

    def foreseen(self, which: str, what: str) -> OverBudgetError:
        return OverBudgetError(
            f"symbolic: {what} would be over the budget {self._limit(which)}: stopped at {self.reached()}", which
        )

    def _limit(self, which: str) -> str:
        return f"max_ops={self.max_ops:,}" if which == "max_ops" else f"seconds={self.seconds:g}"

    def reached(self) -> str:
        return f"{self.operations:,} operations after {self.elapsed:.1f} s, at {self.at}"

    # ---- writing out ----
    def visit(self, roots: Sequence[Expr]) -> None:
        """What is going to be written out."""
        nodes = [n for n in topological(*roots) if n.kind.op.family != "leaf"]
        self._places = {n: k for k, n in enumerate(nodes, 1)}

    def spend(self, n: Expr) -> None:
        if n in self._places:  # (not one inside a loop, or that another is written with)
            self.at = f"node {self._places[n]:,} of {len(self._places):,} ({n.kind.op.name})"
        if not written_with_others(n.kind.op):
            self.operations += scalar_work(n)
        if self.operations > self.max_ops:
            raise self.over("max_ops")

    def foresee(self, operations: int, what: str) -> None:
        if self.operations + operations > self.max_ops:
            raise self.foreseen("max_ops", what)

    # ---- deriving ----
    def derived(self, done: int, total: int, operations: int, since: float) -> None:
        """So many derivatives that are not 0 for sure are there, as so many operations, begun at the time `since`."""
        self.operations, self.at = operations, f"partial derivative {done:,} of {total:,}"
        if operations > self.max_ops:
            raise self.over("max_ops")
        spent = time.perf_counter() - since
        if done >= ENOUGH and spent > SEEN * self.seconds and spent / done * total > FORESEEN * self.seconds:
            raise self.foreseen("seconds", f"about {spent / done * total:,.0f} s for all")


class Derivation:
    """A tape's outputs as SymPy expressions, and their derivatives by the elements of some inputs."""

    def __init__(self, tape: Tape, wrt: Sequence[int], budget: Budget | None = None) -> None:
        from ..expr.elements import write
        from ..expr.sympy_bridge import symbols_for
        from ..expr.sympy_forms import Evaluable

        self.budget = budget = budget or Budget()
        self.inputs = tuple(node(tape.kinds[i], ()) for i in tape.inputs)
        self.outputs = expressions(tape)
        by = [self.inputs[w] for w in wrt]
        self.total = sum(o.size for o in self.outputs) * sum(v.size for v in by)
        budget.foresee(self.total, f"{self.total:,} partial derivatives")
        elements = sum(v.size for v in self.inputs)
        budget.foresee(elements, f"{elements:,} elements of the inputs")
        self._symbols = symbols_for(self.inputs)
        self.by = [self._symbols[v] for v in by]
        budget.visit(self.outputs)
        algebra = Evaluable()
        algebra.allowance = budget
        self.written = write(self.outputs, algebra, self._symbols.__getitem__)

    def derive(self) -> list[list[np.ndarray]]:
        """For every output and input an array of derivatives, of shape output core + input core."""
        import sympy

        tree = sum(Counter().tree(e) for f in self.written for e in f.flat)
        if tree > MAX_TREE:
            raise ExceededError(
                f"symbolic: the function is {tree:.3g} operations as a tree, which SymPy walks; that is more than {MAX_TREE:,}"
            )
        since = time.perf_counter()
        wanted = {x for by in self.by for x in by.flat}
        inside = {e: e.free_symbols & wanted for f in self.written for e in f.flat}
        total = sum(len(inside[e]) for f in self.written for e in f.flat)
        counter, done = Counter(), 0
        blocks = []
        for f in self.written:
            row = []
            for by in self.by:
                block = np.full((*f.shape, *by.shape), sympy.S.Zero, dtype=object)
                for i in np.ndindex(f.shape):
                    for j in np.ndindex(by.shape):
                        if by[j] in inside[f[i]]:
                            block[(*i, *j)] = derivative = self._derivative(f[i], by[j])
                            counter.tree(derivative)
                            done += 1
                            self.budget.derived(done, total, counter.graph, since)
                row.append(block)
            blocks.append(row)
        return blocks

    @staticmethod
    def _derivative(f: Any, x: Any) -> Any:
        try:
            return f.diff(x)
        except (TypeError, ValueError, AttributeError, NotImplementedError) as problem:
            raise UnsupportedError(f"symbolic: SymPy cannot derive this: {problem}") from None

    def read(self, blocks: Iterable[Iterable[np.ndarray]]) -> list[Expr]:
        """The blocks as expressions of the tape's inputs."""
        from ..expr.sympy_reader import Reader

        place = {s: (v if v.shape == () else v[p]) for v, ss in self._symbols.items() for p, s in np.ndenumerate(ss)}
        reader = Reader(lambda symbol, dtype: place[symbol])
        return [_array([reader(e) for e in block.flat], block.shape) for row in blocks for block in row]


def _array(elements: list[Expr], shape: tuple[int, ...]) -> Expr:
    if shape == ():
        return elements[0]
    return functions.reshape(functions.stack(elements), shape) if elements else functions.as_expr(np.zeros(shape))


class Symbolic:
    """SymPy's derivative, evaluated like the other engines' on the machines, within a budget of operations and seconds."""

    name = "symbolic"

    def __init__(self, max_ops: int = MAX_OPS, seconds: float = SECONDS) -> None:
        self.max_ops, self.seconds = max_ops, seconds

    def within(self, *, max_ops: int | None = None, seconds: float | None = None) -> Symbolic:
        """This engine with another budget."""
        return Symbolic(self.max_ops if max_ops is None else max_ops, self.seconds if seconds is None else seconds)

    def __repr__(self) -> str:
        return f"Symbolic(max_ops={self.max_ops}, seconds={self.seconds})"

    def program(self, tape: Tape, wrt: Sequence[int]) -> TapeProgram:
        outs, ins = shapes_of(tape, wrt)
        key = _meaning(tape, wrt)
        self._check_given_up(key)
        budget = Budget(self.max_ops, self.seconds)
        try:
            doing = f"symbolic: deriving {len(tape):,} operations by {sum(map(math.prod, ins)):,} variables"
            derivation, blocks, derived, clock = within(self.seconds, lambda: self._derived(tape, wrt, budget), doing)
        except OverBudgetError as problem:
            raise _given_up(key, problem, self) from None
        except ExceededError as problem:
            if budget.elapsed >= self.seconds:
                raise _given_up(key, budget.over("seconds"), self) from None
            raise ExceededError(f"{problem}; {budget.reached()}") from None
        swell = {
            "f": count([e for f in derivation.written for e in f.flat], self.seconds),
            "derivative": count([e for row in blocks for block in row for e in block.flat], self.seconds),
        }
        clock.append(time.perf_counter())
        seconds = dict(zip(("write", "derive", "read", "count"), np.diff(clock).tolist(), strict=True))
        return TapeProgram(self.name, derived, outs, ins, "blocks", notes={"swell": swell, "seconds": seconds})

    def _check_given_up(self, key: tuple) -> None:
        """OverBudgetError where the same was tried before with no less."""
        which, most, message = _failures.get(key, ("", -1.0, ""))
        if which and most >= getattr(self, which):
            raise OverBudgetError(f"{message} (found before; a larger {which} tries again)", which)

    def _derived(
        self, tape: Tape, wrt: Sequence[int], budget: Budget
    ) -> tuple[Derivation, list[list[np.ndarray]], Tape, list[float]]:
        """The derivation, its derivatives, their tape, and when each was ready; `budget` is kept up to date on the way."""
        clock = [time.perf_counter()]
        budget.began = clock[0]
        derivation = Derivation(tape, wrt, budget)
        clock.append(time.perf_counter())
        blocks = derivation.derive()
        clock.append(time.perf_counter())
        budget.at = "the end, where they become expressions"
        derived = self._tape(tape, wrt, derivation, derivation.read(blocks))
        clock.append(time.perf_counter())
        return derivation, blocks, derived, clock

    def _tape(self, tape: Tape, wrt: Sequence[int], derivation: Derivation, derivatives: list[Expr]) -> Tape:
        labels = [f"d/d{tape.names[w]}" for w in wrt] * len(tape.outputs)
        whole = record([*derivation.outputs, *derivatives], derivation.inputs)
        builder = Builder.copy_of(whole)
        count = len(tape.outputs)
        dtypes = [float_dtype(tape.kinds[tape.inputs[w]]) for w in wrt] * count
        results = [as_dtype(builder, o, dtype) for o, dtype in zip(whole.outputs[count:], dtypes, strict=True)]
        return builder.finish(whole.inputs, (*whole.outputs[:count], *results), (*tape.labels, *labels))


def _meaning(tape: Tape, wrt: Sequence[int]) -> tuple:
    """Equal for the same question, however it was recorded."""
    return tuple([k.number for k in tape.kinds]), tuple(tape.args), tape.inputs, tape.outputs, tuple(wrt), kink_policy()


def _given_up(key: tuple, problem: OverBudgetError, engine: Symbolic) -> OverBudgetError:
    """The problem, noted, so that the next to ask need not wait for it."""
    while len(_failures) >= REMEMBERED:
        _failures.pop(next(iter(_failures)), None)
    _failures[key] = problem.which, getattr(engine, problem.which), str(problem)
    return problem


ENGINE = Symbolic()
