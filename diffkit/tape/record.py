"""From expressions to a tape, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..errors import ArgumentError
from ..expr.collector import paused
from ..expr.functions import RULES
from ..expr.kind import Kind
from ..expr.node import Expr, node, topological
from ..ops import VARIABLE
from .tape import Builder, Tape


def record(
    roots: Expr | Sequence[Expr],
    inputs: Sequence[Expr] | None = None,
    labels: Iterable[str] = ("value",),
    *,
    as_written: bool = False,
) -> Tape:
    """The tape that computes `roots`. Inputs are the free variables in order of first appearance unless given.

    `as_written` keeps every node as an instruction of its own: nothing is folded or simplified (tables for people).
    """
    roots = (roots,) if isinstance(roots, Expr) else tuple(roots)
    with paused():
        return _recorded(roots, inputs, labels, as_written)


def _recorded(roots: Sequence[Expr], inputs: Sequence[Expr] | None, labels: Iterable[str], as_written: bool) -> Tape:
    order = topological(*roots)
    variables = [n for n in order if n.kind.op is VARIABLE] if inputs is None else inputs
    builder = Builder()
    write = builder.append if as_written else builder.again
    place: dict[Expr, int] = {v: builder.leaf(v.kind) for v in variables}
    for n in order:
        args = n.args
        if len(args) == 2:  # nearly all have two arguments or one
            x, y = args
            place[n] = write(n.kind, (place[x], place[y]))
        elif len(args) == 1:
            place[n] = write(n.kind, (place[args[0]],))
        elif args:
            place[n] = write(n.kind, tuple([place[a] for a in args]))
        elif n in place:
            continue
        elif n.kind.op is VARIABLE:
            raise ArgumentError(f"the expression uses {n.name!r}, which is not among its inputs")
        else:
            place[n] = builder.leaf(n.kind)
    return builder.finish([place[v] for v in variables], [place[r] for r in roots], labels)


def expressions(tape: Tape, inputs: Mapping[int, Expr] | Sequence[Expr] | None = None) -> list[Expr]:
    """The outputs as expressions, with `inputs` in the place of the tape's (its own variables by default)."""
    given = (
        None
        if inputs is None
        else dict(zip(tape.inputs, inputs, strict=True))
        if not isinstance(inputs, Mapping)
        else inputs
    )
    values: list[Expr] = []
    for i, (kind, args) in enumerate(zip(tape.kinds, tape.args, strict=True)):
        if given is not None and i in given:
            values.append(given[i])
        elif args:
            values.append(_applied(kind, tuple([values[a] for a in args])))
        else:
            values.append(node(kind, ()))
    return [values[i] for i in tape.outputs]


def _applied(kind: Kind, args: tuple[Expr, ...]) -> Expr:
    return RULES.primitive(kind.op.name, *args, **kind.kwargs)
