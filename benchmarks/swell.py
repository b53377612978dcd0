"""Expression swell, measured: the symbolic gradient of a small tanh network against its depth and width, and reverse mode's.

    python benchmarks/swell.py                                            the table
    python benchmarks/swell.py --write docs/swell.md --json swell.json    into a document (behind its marker), and as data

The function is the sum of the outputs of h ↦ tanh(W h), repeated; it is differentiated by all elements of all matrices.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import diffkit as dk
from diffkit.engines import engine
from diffkit.engines.symbolic import MAX_OPS, SECONDS, Symbolic
from diffkit.errors import ExceededError
from diffkit.expr.node import Expr, free_variables
from diffkit.tape import Tape, record
from diffkit.tape.store import write_atomically

MARKER = "<!-- made by benchmarks/swell.py -->"
#: (depth, width): deeper at one width, wider at one depth, and both
NETWORKS = (
    *((depth, 2) for depth in range(1, 8)),
    *((2, width) for width in (3, 4, 6, 8, 12)),
    *((3, 3), (3, 4), (4, 3), (4, 6), (3, 64)),
)
HEADINGS = (
    "depth", "width", "weights", "f", "derivative, tree", "graph", "after CSE", "reverse", "tree / f", "CSE / reverse",
    "symbolic s", "reverse s",
)  # fmt: skip


@dataclass
class Row:
    """Operations and seconds of one network; None where the symbolic derivative was given up, and then the reason."""

    depth: int
    width: int
    weights: int
    #: scalar operations of the value
    f: int
    #: of the derivative as SymPy gives it: as a tree, with equal parts once, after sympy.cse
    tree: int | None
    graph: int | None
    cse: int | None
    #: of reverse mode's tape, value included
    reverse: int
    symbolic_seconds: float
    reverse_seconds: float
    exceeded: str = ""


def network(depth: int, width: int) -> Expr:
    """The sum of the outputs of a tanh network, as an expression of its matrices and its input `x`."""
    h = dk.symbol("x", (width,))
    for k in range(depth):
        h = dk.tanh(dk.symbol(f"W{k}", (width, width)) @ h)
    return dk.sum(h)


def scalar_operations(tape: Tape) -> int:
    """Operations on single numbers: a product of matrices is its multiplications and additions, a move is none."""
    total = 0
    for kind, args in zip(tape.kinds, tape.args, strict=True):
        size = math.prod(kind.shape)
        if kind.op.name == "matmul":
            total += size * (2 * tape.kinds[args[0]].shape[-1] - 1)
        elif kind.op.family == "reduction":
            total += math.prod(tape.kinds[args[0]].shape) - size
        elif kind.op.family not in ("leaf", "movement"):
            total += size
    return total


def measure(depth: int, width: int, symbolic: Symbolic) -> Row:
    """One network, by the symbolic engine and by reverse mode."""
    f = network(depth, width)
    variables = free_variables(f)
    tape = record(f, variables)
    wrt = [k for k, v in enumerate(variables) if v.name != "x"]
    start = perf_counter()
    reverse = engine("reverse").program(tape, wrt)
    middle = perf_counter()
    swell, reason = {"tree": None, "graph": None, "cse": None}, ""
    try:
        program = symbolic.program(tape, wrt)
        swell, counting = program.notes["swell"]["derivative"], program.notes["seconds"]["count"]
    except ExceededError as problem:
        reason, counting = str(problem).removeprefix("symbolic: "), 0.0
    seconds = perf_counter() - middle - counting
    weights = depth * width**2
    operations = (scalar_operations(t) for t in (tape, reverse.tape))
    value, derivative = operations
    return Row(depth, width, weights, value, **swell, reverse=derivative, symbolic_seconds=seconds,
               reverse_seconds=middle - start, exceeded=reason)  # fmt: skip


def line(r: Row) -> str:
    """A row of the Markdown table."""

    def ratio(a: int | None, b: int) -> str:
        return "" if a is None else f"{a / b:.3g}"

    counts = ["exceeded" if r.exceeded else f"{r.tree:,}", *("" if n is None else f"{n:,}" for n in (r.graph, r.cse))]
    cells = [
        r.depth, r.width, f"{r.weights:,}", f"{r.f:,}", *counts, f"{r.reverse:,}", ratio(r.tree, r.f), ratio(r.cse, r.reverse),
        f"{r.symbolic_seconds:.2g}", f"{r.reverse_seconds:.1g}",
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The Markdown table, and why some of it is missing."""
    yield f"| {' | '.join(HEADINGS)} |"
    yield f"|{'--:|' * len(HEADINGS)}"
    yield from map(line, rows)
    if any(r.exceeded for r in rows):
        yield ""
    for r in rows:
        if r.exceeded:
            yield f"- depth {r.depth}, width {r.width}: {r.exceeded}"


def write(path: Path, lines: Sequence[str]) -> None:
    """Put the table behind the document's marker."""
    before, marker, _ = path.read_text(encoding="utf-8").partition(MARKER)
    if not marker:
        raise SystemExit(f"{path} has no line {MARKER}")
    write_atomically(path, "\n".join([before + MARKER, *lines, ""]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="a Markdown file with the marker behind which the table goes")
    parser.add_argument("--json", type=Path, help="a file for the figures as data")
    parser.add_argument("--max-ops", type=int, default=MAX_OPS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--largest", type=int, default=None, help="leave out networks of more weights")
    given = parser.parse_args(arguments)
    symbolic = Symbolic(given.max_ops, given.seconds)
    measure(1, 1, symbolic)  # loads SymPy
    rows = []
    for depth, width in NETWORKS:
        if given.largest is None or depth * width**2 <= given.largest:
            rows.append(measure(depth, width, symbolic))
            print(line(rows[-1]), flush=True)
    if given.write:
        write(given.write, list(table(rows)))
    if given.json:
        write_atomically(given.json, json.dumps([asdict(r) for r in rows], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
