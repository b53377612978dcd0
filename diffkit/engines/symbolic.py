"""Symbolic differentiation: SymPy derives the formula, and the derivative comes back as an expression.

The function is written out in scalars, SymPy differentiates it by each of them, and what it gives is recorded as it is,
after SymPy's own simplifications and no others. How much longer the derivative is than the function ("expression swell")
depends on how operations are counted, so `notes["swell"]` has three counts: as trees, as a graph in which equal parts are
one, and after `sympy.cse`.
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
from ..expr.node import Expr, node
from ..tape import Builder, Tape, expressions, record
from .engine import TapeProgram, as_dtype, float_dtype, shapes_of

#: operations of all partial derivatives together, as a graph
MAX_OPS = 20_000
#: seconds for one program
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


def count(roots: Sequence[Any]) -> dict[str, int]:
    """Operations of SymPy expressions together: in their trees, in their common graph, and after `sympy.cse`."""
    import sympy

    counter = Counter()
    tree = sum(counter.tree(r) for r in roots)
    replacements, reduced = sympy.cse(list(roots), order="none")
    # each right-hand side stands alone: what is left in common in them is computed twice
    cse = sum(Counter().tree(e) for e in (*(e for _, e in replacements), *reduced))
    return {"tree": tree, "graph": counter.graph, "cse": cse}


class Derivation:
    """A tape's outputs as SymPy expressions, and their derivatives by the elements of some inputs."""

    def __init__(self, tape: Tape, wrt: Sequence[int]) -> None:
        from ..expr.elements import write
        from ..expr.sympy_bridge import symbols_for
        from ..expr.sympy_forms import Derivable

        self.inputs = tuple(node(tape.kinds[i], ()) for i in tape.inputs)
        self.outputs = expressions(tape)
        self._symbols = symbols_for(self.inputs)
        self.by = [self._symbols[self.inputs[w]] for w in wrt]
        self.written = write(self.outputs, Derivable(), self._symbols.__getitem__)

    def derive(self, max_ops: int) -> list[list[np.ndarray]]:
        """For every output and input an array of derivatives, of shape output core + input core."""
        total = sum(w.size for w in self.written) * sum(b.size for b in self.by)
        if total > max_ops:
            raise ExceededError(
                f"symbolic: {total:,} partial derivatives are more than the budget of {max_ops:,} operations"
            )
        tree = sum(Counter().tree(e) for f in self.written for e in f.flat)
        if tree > MAX_TREE:
            raise ExceededError(
                f"symbolic: {tree:.3g} operations as a tree, which SymPy walks, are more than {MAX_TREE:,}"
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
    """SymPy's derivative, evaluated like the other engines' on the machines."""

    name = "symbolic"

    def __init__(self, max_ops: int = MAX_OPS, seconds: float = SECONDS) -> None:
        self.max_ops, self.seconds = max_ops, seconds

    def program(self, tape: Tape, wrt: Sequence[int]) -> TapeProgram:
        scalars = sum(math.prod(shape) for shape in shapes_of(tape, wrt)[1])
        doing = f"symbolic: deriving {len(tape):,} operations by {scalars:,} variables"
        return within(self.seconds, lambda: self._program(tape, wrt), doing)

    def _program(self, tape: Tape, wrt: Sequence[int]) -> TapeProgram:
        clock = [time.perf_counter()]
        derivation = Derivation(tape, wrt)
        clock.append(time.perf_counter())
        blocks = derivation.derive(self.max_ops)
        clock.append(time.perf_counter())
        derivatives = derivation.read(blocks)
        outs, ins = shapes_of(tape, wrt)
        result = self._tape(tape, wrt, derivation, derivatives)
        clock.append(time.perf_counter())
        swell = {
            "f": count([e for f in derivation.written for e in f.flat]),
            "derivative": count([e for row in blocks for block in row for e in block.flat]),
        }
        clock.append(time.perf_counter())
        seconds = dict(zip(("write", "derive", "read", "count"), np.diff(clock).tolist(), strict=True))
        return TapeProgram(self.name, result, outs, ins, "blocks", notes={"swell": swell, "seconds": seconds})

    def _tape(self, tape: Tape, wrt: Sequence[int], derivation: Derivation, derivatives: list[Expr]) -> Tape:
        labels = [f"d/d{tape.names[w]}" for w in wrt] * len(tape.outputs)
        whole = record([*derivation.outputs, *derivatives], derivation.inputs)
        builder = Builder.copy_of(whole)
        count = len(tape.outputs)
        dtypes = [float_dtype(tape.kinds[tape.inputs[w]]) for w in wrt] * count
        results = [as_dtype(builder, o, dtype) for o, dtype in zip(whole.outputs[count:], dtypes, strict=True)]
        return builder.finish(whole.inputs, (*whole.outputs[:count], *results), (*tape.labels, *labels))


ENGINE = Symbolic()
