"""Symbolic differentiation: SymPy derives the formula, and the derivative comes back as an expression.

The function is written out in scalars, SymPy differentiates it by each of them, and what it gives is recorded as it is,
after SymPy's own simplifications and no others. How much longer the derivative is than the function ("expression swell")
depends on how operations are counted, so `notes["swell"]` has three counts: as trees, as a graph in which equal parts are
one, and after `sympy.cse`.

All of this has a budget, `max_ops` operations and `seconds`: `Symbolic(max_ops=…, seconds=…)` is an engine like ``"symbolic"`` with
another one. Beyond it ExceededError says how far it got. An operation that has no form in scalars is an UnsupportedError that
names it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import ExceededError, UnsupportedError
from ..expr import functions
from ..expr.bounded import within
from ..expr.node import Expr, node
from ..tape import Builder, Tape, expressions, record
from .engine import TapeProgram, as_dtype, float_dtype, shapes_of

#: scalar operations of the function written out, and of all its partial derivatives together as a graph
MAX_OPS = 20_000
#: seconds for one program; counting its swell has as many again, but without them `sympy.cse` is left out
SECONDS = 20.0
#: operations of the function as a tree: SymPy walks trees, so shared parts cost their weight each time they are used
MAX_TREE = 1_000_000


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


class Derivation:
    """A tape's outputs as SymPy expressions, and their derivatives by the elements of some inputs."""

    def __init__(self, tape: Tape, wrt: Sequence[int], max_ops: int) -> None:
        from ..expr.elements import Allowance, write
        from ..expr.sympy_bridge import symbols_for
        from ..expr.sympy_forms import Derivable

        self.max_ops = max_ops
        self.inputs = tuple(node(tape.kinds[i], ()) for i in tape.inputs)
        self.outputs = expressions(tape)
        by = [self.inputs[w] for w in wrt]
        self.total = sum(o.size for o in self.outputs) * sum(v.size for v in by)
        if self.total > max_ops:
            raise ExceededError(
                f"symbolic: {self.total:,} partial derivatives are more than the budget of {max_ops:,} operations; none was derived"
            )
        elements = sum(v.size for v in self.inputs)
        if elements > max_ops:
            raise ExceededError(
                f"symbolic: {elements:,} elements of the inputs are more than the budget of {max_ops:,} operations; nothing was "
                "written out"
            )
        self._symbols = symbols_for(self.inputs)
        self.by = [self._symbols[v] for v in by]
        allowance = Allowance.of(max_ops, self.outputs, "symbolic")
        self.written = write(self.outputs, Derivable(), self._symbols.__getitem__, allowance=allowance)

    def derive(self, progress: Callable[[int], None] = lambda done: None) -> list[list[np.ndarray]]:
        """For every output and input an array of derivatives, of shape output core + input core."""
        total, max_ops = self.total, self.max_ops
        tree = sum(Counter().tree(e) for f in self.written for e in f.flat)
        if tree > MAX_TREE:
            raise ExceededError(
                f"symbolic: the function is {tree:.3g} operations as a tree, which SymPy walks; that is more than {MAX_TREE:,}"
            )
        counter, done = Counter(), 0
        blocks = []
        for f in self.written:
            row = []
            for by in self.by:
                block = np.empty((*f.shape, *by.shape), dtype=object)
                for i in np.ndindex(f.shape):
                    for j in np.ndindex(by.shape):
                        block[(*i, *j)] = derivative = self._derivative(f[i], by[j])
                        counter.tree(derivative)
                        done += 1
                        progress(done)
                        if counter.graph > max_ops:
                            raise ExceededError(
                                f"symbolic: {counter.graph:,} operations after {done:,} of {total:,} partial derivatives "
                                f"are more than the budget of {max_ops:,}"
                            )
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
        scalars = sum(map(math.prod, ins))
        doing = f"symbolic: deriving {len(tape):,} operations by {scalars:,} variables"
        reached = ["nothing was derived"]
        try:
            found = within(self.seconds, lambda: self._derived(tape, wrt, reached), doing)
        except ExceededError as problem:
            if doing not in str(problem):  # it says itself how far it got
                raise
            raise ExceededError(f"{problem}; {reached[0]}") from None
        derivation, blocks, derived, clock = found
        swell = {
            "f": count([e for f in derivation.written for e in f.flat], self.seconds),
            "derivative": count([e for row in blocks for block in row for e in block.flat], self.seconds),
        }
        clock.append(time.perf_counter())
        seconds = dict(zip(("write", "derive", "read", "count"), np.diff(clock).tolist(), strict=True))
        return TapeProgram(self.name, derived, outs, ins, "blocks", notes={"swell": swell, "seconds": seconds})

    def _derived(
        self, tape: Tape, wrt: Sequence[int], reached: list[str]
    ) -> tuple[Derivation, list[list[np.ndarray]], Tape, list[float]]:
        """The derivation, its derivatives, their tape, and when each was ready; `reached` is kept up to date on the way."""
        clock = [time.perf_counter()]
        derivation = Derivation(tape, wrt, self.max_ops)
        clock.append(time.perf_counter())

        def progress(done: int) -> None:
            reached[0] = f"{done:,} of {derivation.total:,} partial derivatives were there"

        progress(0)
        blocks = derivation.derive(progress)
        clock.append(time.perf_counter())
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


ENGINE = Symbolic()
